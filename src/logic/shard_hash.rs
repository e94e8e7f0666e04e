//! Which shard a document belongs to: `xxh3_64(canonical id) % S`.
//!
//! Must never change: every stored document lies where this function said. `shard_hash/golden.txt` pins it.

use xxhash_rust::xxh3::xxh3_64;

use super::ids::ShardId;

/// Most shards a cluster may have.
pub const SHARD_COUNT_MAX: u16 = 4096;

/// XXH3-64 of a canonical document id (see [`super::document_id`]).
pub fn id_hash(canonical_id: &str) -> u64 {
    xxh3_64(canonical_id.as_bytes())
}

/// The shard of a hash made by [`id_hash`].
///
/// # Panics
/// If `shard_count` is 0.
pub fn shard_of_hash(hash: u64, shard_count: u16) -> ShardId {
    ShardId((hash % u64::from(shard_count)) as u16)
}

/// The shard of a document.
///
/// # Panics
/// If `shard_count` is 0.
pub fn shard_of(canonical_id: &str, shard_count: u16) -> ShardId {
    shard_of_hash(id_hash(canonical_id), shard_count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_vectors_hold() {
        let golden = include_str!("shard_hash/golden.txt");
        let mut checked = 0;
        for line in golden.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [id, hash, of_64, of_4096] = fields[..] else { panic!("malformed line {line:?}") };
            assert_eq!(format!("{:016x}", id_hash(id)), hash, "{id}");
            assert_eq!(shard_of(id, 64).to_string(), of_64, "{id}");
            assert_eq!(shard_of(id, 4096).to_string(), of_4096, "{id}");
            checked += 1;
        }
        assert!(checked >= 20, "only {checked} vectors");
    }
}
