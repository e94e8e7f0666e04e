//! The trimmer: what the protocol says that no node needs any more is gone. A request that is made of it after all is a
//! violation.

use miroir::logic::feeder::Timing;
use miroir::logic::ids::{EntryId, Monotonic};

use crate::random::Random;
use crate::world::{QUARANTINE, TIMING, World};

/// How often it has its turn.
const TURNS: f64 = 0.2;
/// How often somebody has deleted a task before.
const DELETED: f64 = 0.3;
/// How often it ends at an entry, as in a crash.
const ENDS: f64 = 0.01;

pub struct Trimmer {
    /// Not the world's, so that a seed stays what it is.
    random: Random,
    keep_ms: u64,
}

impl Trimmer {
    /// What comes far too late may need what was kept for it; nothing else does.
    pub fn new(mut random: Random, is_far: bool) -> Self {
        let keep_ms = if is_far { TIMING.keep_ms } else { random.pick(&[0, 0, QUARANTINE, TIMING.keep_ms]) };
        Self { random, keep_ms }
    }

    pub fn timing(&self) -> Timing {
        Timing { keep_ms: self.keep_ms, ..TIMING }
    }
}

impl World {
    /// One step of the trimmer.
    pub fn trim(&mut self) {
        if !self.trimmer.random.chance(TURNS) {
            return;
        }
        let Some(needed) = self.fleet.take_needed(Monotonic(self.now), &self.durable) else { return };
        let is_over = |record: &&crate::durable::Record| {
            record.outcome.is_some() && record.entry.id < needed.from_of(record.entry.target.as_ref())
        };
        let over: Vec<EntryId> = self.durable.records.iter().filter(is_over).map(|record| record.entry.id).collect();
        for entry in over {
            if self.trimmer.random.chance(ENDS) {
                return;
            }
            let is_deleted = self.trimmer.random.chance(DELETED);
            *self.durable.trimmed.entry(entry).or_default() |= is_deleted;
            self.log(|| format!("trimmed {entry}, deleted {is_deleted}"));
        }
    }
}
