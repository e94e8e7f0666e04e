//! How much of requests and answers is in memory, all cores together: bodies of clients, what is made of them, answers of
//! nodes, and answers to clients until they are sent.
//!
//! Bytes carry their share with them, so that nobody has to remember to give it back. Who finds no room is refused; nothing
//! waits for memory, or two that have a part each would wait for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// Shorter bytes carry no share: their number is bounded, and so are they.
pub const UNCOUNTED_MAX: usize = 4 * 1024;

/// The bound, and what is taken of it.
#[derive(Debug)]
pub struct Memory {
    taken: AtomicU64,
    max: u64,
}

/// A part of the memory, given back by the drop.
#[derive(Debug)]
pub struct Share {
    memory: Arc<Memory>,
    bytes: u64,
}

struct Carried {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Carried {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Memory {
    /// Nothing is taken.
    pub fn new(max: u64) -> Arc<Self> {
        Arc::new(Self { taken: AtomicU64::new(0), max })
    }

    /// What is taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// A share of nothing, which may grow.
    pub fn share(self: &Arc<Self>) -> Share {
        Share { memory: self.clone(), bytes: 0 }
    }

    /// The same bytes with their share; none when there is no room for them.
    pub fn carry(self: &Arc<Self>, bytes: Bytes) -> Option<Bytes> {
        if bytes.len() <= UNCOUNTED_MAX {
            return Some(bytes);
        }
        let mut share = self.share();
        share.grow(bytes.len() as u64).then(|| share.carried_by(bytes))
    }
}

impl Share {
    /// Takes so much more; false, and nothing taken, when there is no room.
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        let Memory { taken, max } = &*self.memory;
        let grown = |taken: u64| taken.checked_add(bytes).filter(|grown| grown <= max);
        let has_room = taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown).is_ok();
        self.bytes += if has_room { bytes } else { 0 };
        has_room
    }

    /// The share is given back when the last of these bytes are gone.
    pub fn carried_by(self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 { bytes } else { Bytes::from_owner(Carried { bytes, _share: self }) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.taken.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_bounded_and_comes_back() {
        let memory = Memory::new(10_000);
        let mut share = memory.share();
        assert!(share.grow(6_000) && !share.grow(6_000) && !share.grow(u64::MAX) && share.grow(1_000));
        assert_eq!(memory.taken(), 7_000);
        assert!(memory.carry(vec![0; 5_000].into()).is_none());
        assert!(memory.carry(vec![0; UNCOUNTED_MAX].into()).is_some_and(|_| memory.taken() == 7_000));
        drop(share);
        let mut carried = memory.carry(vec![0; 5_000].into()).expect("there is room");
        let piece = carried.split_to(10);
        drop(carried);
        assert_eq!(memory.taken(), 5_000, "a piece of it is still there");
        drop(piece);
        assert_eq!(memory.taken(), 0);
    }
}
