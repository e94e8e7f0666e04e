//! How far the moves are since they began.

use std::cell::Cell;
use std::time::Instant;

use serde::Serialize;

use crate::telemetry::clock;

/// Remembers when the last plan was made, and how many moves it came to. Of this life of the process only: after a restart
/// what is left then counts as all.
#[derive(Debug, Default)]
pub struct Watch {
    begun: Cell<Option<Begun>>,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Instant,
    moves: usize,
}

/// The part of the answer.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct Progress {
    /// Replicas that have moved, were added or taken away.
    pub done: usize,
    /// That are yet to.
    pub left: usize,
    /// Since it began.
    pub seconds: f64,
}

impl Watch {
    /// A plan was made.
    pub(super) fn begin(&self, moves: usize) {
        self.begun.set(Some(Begun { at: clock::instant(), moves }));
    }

    /// None when nothing is left to do.
    pub(super) fn progress(&self, left: usize, is_idle: bool) -> Option<Progress> {
        if is_idle {
            self.begun.set(None);
            return None;
        }
        let now = clock::instant();
        let begun = self.begun.get().filter(|begun| begun.moves >= left).unwrap_or(Begun { at: now, moves: left });
        self.begun.set(Some(begun));
        let seconds = now.saturating_duration_since(begun.at).as_secs_f64();
        Some(Progress { done: begun.moves - left, left, seconds })
    }
}
