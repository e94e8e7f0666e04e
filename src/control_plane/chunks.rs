//! Parts of copies between the mover that read them and the feeder that sends them; bounded by bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use crate::logic::feeder::TransferId;

/// Bytes kept at once. A single part may be larger.
const BYTES_MAX: usize = 64 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    kept: Mutex<Kept>,
    has_room: Condvar,
}

#[derive(Debug, Default)]
struct Kept {
    chunks: BTreeMap<(TransferId, u32), Chunk>,
    bytes: usize,
}

/// Documents by lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Chunk {
    pub bytes: Bytes,
    pub documents: u32,
}

impl Chunks {
    /// Keeps a part. Gives it back if there is no room for so long.
    pub(super) fn put(&self, key: (TransferId, u32), chunk: Chunk, limit: Duration) -> Result<(), Chunk> {
        let mut kept = self.kept.lock();
        let length = chunk.bytes.len();
        if kept.bytes > 0 && kept.bytes + length > BYTES_MAX {
            self.has_room.wait_for(&mut kept, limit);
            if kept.bytes > 0 && kept.bytes + length > BYTES_MAX {
                return Err(chunk);
            }
        }
        kept.bytes += length;
        kept.chunks.insert(key, chunk);
        Ok(())
    }

    /// A part, as long as it is kept.
    pub(super) fn get(&self, transfer: TransferId, number: u32) -> Option<Chunk> {
        self.kept.lock().chunks.get(&(transfer, number)).cloned()
    }

    /// Forgets all that nobody needs any more.
    pub(super) fn keep(&self, is_needed: impl Fn(TransferId, u32) -> bool) {
        let mut kept = self.kept.lock();
        kept.chunks.retain(|&(transfer, number), _| is_needed(transfer, number));
        kept.bytes = kept.chunks.values().map(|chunk| chunk.bytes.len()).sum();
        self.has_room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_waits_for_room_and_is_given_back_without() {
        let chunks = Chunks::default();
        let large = Chunk { bytes: Bytes::from(vec![0; BYTES_MAX]), documents: 1 };
        let one = TransferId(1);
        chunks.put((one, 0), large.clone(), Duration::ZERO).unwrap();
        assert_eq!(chunks.put((one, 1), large.clone(), Duration::ZERO), Err(large.clone()));
        chunks.keep(|_, number| number > 0);
        assert_eq!(chunks.get(one, 0), None);
        chunks.put((one, 1), large.clone(), Duration::ZERO).unwrap();
        assert_eq!(chunks.get(one, 1), Some(large));
    }
}
