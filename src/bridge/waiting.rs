//! Writes that wait for the journal: how many bytes of them, and whether anybody still waits for the answer.
//!
//! Invariants: the bytes of all writes between a core and their commit stay under a bound, whoever has given up on them.
//! A write is claimed once: by the journal, which then commits or refuses it, or by the core whose time is over, which
//! then may say that it was not committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::NewWrite;

/// Bytes of all writes.
#[derive(Debug)]
pub(super) struct Waiting {
    bytes: Arc<AtomicU64>,
    bytes_max: u64,
}

/// Room for one write, given back by the drop: keep it as long as the write is in memory.
#[derive(Debug)]
pub struct Room {
    all: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Who comes first has the write.
#[derive(Clone, Debug, Default)]
pub struct Claim(Arc<AtomicBool>);

impl Claim {
    /// True for the first who calls.
    pub fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// A write on its way.
#[derive(Debug)]
pub struct WaitingWrite {
    /// The write.
    pub write: NewWrite,
    /// To be taken before anything is done with it.
    pub claim: Claim,
    /// To be kept until the write has left the memory.
    pub room: Room,
}

impl WaitingWrite {
    /// Its length, about.
    pub fn bytes(&self) -> u64 {
        self.room.bytes
    }
}

impl Waiting {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { bytes: Arc::default(), bytes_max }
    }

    /// None when there is no room. A single write that is larger than the bound goes through when nothing else waits.
    pub(super) fn enter(&self, write: NewWrite) -> Option<WaitingWrite> {
        let bytes = write.bytes();
        let grown = |taken: u64| (taken == 0 || taken + bytes <= self.bytes_max).then_some(taken + bytes);
        self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown).ok()?;
        let room = Room { all: self.bytes.clone(), bytes };
        Some(WaitingWrite { write, claim: Claim::default(), room })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::entry::Operation;
    use crate::logic::payload::Payload;

    fn write(bytes: usize) -> NewWrite {
        NewWrite {
            index: None,
            operation: Operation::ClearDocuments,
            assumed_head: None,
            payload: Some(Payload { sections: Vec::new(), bytes: vec![b' '; bytes].into() }),
            rejection: None,
            custom_metadata: None,
        }
    }

    #[test]
    fn writes_that_wait_are_bounded_by_bytes_until_they_are_gone() {
        let waiting = Waiting::new(1_000);
        let large = waiting.enter(write(5_000)).expect("it is alone");
        assert!(waiting.enter(write(1)).is_none());
        drop(large);
        let first = waiting.enter(write(400)).expect("there is room");
        let second = waiting.enter(write(400)).expect("there is room");
        assert!(waiting.enter(write(400)).is_none());
        let WaitingWrite { room, .. } = first;
        assert!(waiting.enter(write(400)).is_none(), "the room is kept by whoever has the write");
        drop(room);
        assert!(waiting.enter(write(400)).is_some());
        assert!(second.claim.take() && !second.claim.take());
    }
}
