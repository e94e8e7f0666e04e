//! The documents or ids of one entry, cut by shard.
//!
//! The bytes are a concatenation of sections, one a shard, ascending. A put's section is NDJSON, one document a line,
//! each ending in a line feed, each with the shard marker as its first field; a deletion's section is the ids as JSON
//! values separated by commas. So the body for any set of shards is made by joining slices. A put may hold an id more than
//! once, in order; its hash occurs once.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ids::ShardId;
use super::json::Malformed;
use super::marker;

/// The part of one shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Section {
    /// Whose part this is.
    pub shard: ShardId,
    /// First byte in the payload.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// XXH3-64 of each canonical id in the section, in order. Two entries that share a value may touch the same
    /// document.
    pub id_hashes: Vec<u64>,
}

/// The whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Payload {
    /// By shard, ascending, none empty.
    pub sections: Vec<Section>,
    /// All sections.
    pub bytes: Bytes,
}

impl Payload {
    /// The shards that have a section.
    pub fn shards(&self) -> Vec<ShardId> {
        self.sections.iter().map(|section| section.shard).collect()
    }

    /// Bytes of the largest body that cannot be cut: the section of one shard, as an array of ids in its brackets.
    pub fn largest_body(&self) -> u64 {
        self.sections.iter().map(|section| section.length + 2).max().unwrap_or(0)
    }

    /// Distinct documents or ids.
    pub fn count(&self) -> u64 {
        self.sections.iter().map(|section| section.id_hashes.len() as u64).sum()
    }

    /// The documents of a put without their markers, as NDJSON, shard by shard.
    pub fn unmarked(&self) -> Result<Bytes, Malformed> {
        let mut documents = String::with_capacity(self.bytes.len());
        for line in String::from_utf8_lossy(&self.bytes).lines() {
            documents.push_str(&marker::strip(line)?);
            documents.push('\n');
        }
        Ok(documents.into())
    }

    /// The slices of the wanted shards, in order.
    pub fn slices<'a>(&'a self, wanted: impl Fn(ShardId) -> bool + 'a) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.sections.iter().filter(move |section| wanted(section.shard)).map(|section| {
            let start = section.start as usize;
            &self.bytes[start..start + section.length as usize]
        })
    }
}
