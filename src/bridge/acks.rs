//! Which epoch each core works with: how the control plane knows that no new request follows an older snapshot.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use crate::logic::ids::Epoch;

/// One core's line. Padded, so that cores do not share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct CoreAck {
    epoch: AtomicU64,
    /// Called after each publication, so that an idle core adopts too. Touched by the core only when it starts to wait.
    waker: Mutex<Option<Waker>>,
}

/// One line per core.
#[derive(Debug)]
pub struct AckBoard {
    cores: Box<[CoreAck]>,
}

impl AckBoard {
    /// For so many cores, none of which has acknowledged anything.
    pub fn new(cores: usize) -> Self {
        Self { cores: (0..cores).map(|_| CoreAck::default()).collect() }
    }

    /// Called by a core: every request that it starts from now on uses this epoch or a later one.
    pub fn acknowledge(&self, core: usize, epoch: Epoch) {
        self.cores[core].epoch.fetch_max(epoch.0, Ordering::AcqRel);
    }

    /// Called by a core before it looks at the snapshot and waits: `waker` is woken by the next publication.
    pub fn register(&self, core: usize, waker: &Waker) {
        *self.cores[core].waker.lock() = Some(waker.clone());
    }

    /// Called by the publisher after it stored a snapshot.
    pub fn wake_all(&self) {
        for core in &self.cores {
            let waker = core.waker.lock().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// The epoch that all cores have reached.
    pub fn acknowledged(&self) -> Epoch {
        Epoch(self.cores.iter().map(|core| core.epoch.load(Ordering::Acquire)).min().unwrap_or(u64::MAX))
    }
}
