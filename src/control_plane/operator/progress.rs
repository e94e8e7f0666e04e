//! How far the moves are since they began, and how long they will take.

use std::cell::Cell;
use std::time::Instant;

use serde::Serialize;

use crate::telemetry::clock;

/// Remembers when the last plan was made, and what it came to. Of this life of the process only: after a restart what is
/// left then counts as all.
#[derive(Debug, Default)]
pub struct Watch {
    begun: Cell<Option<Begun>>,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Instant,
    work: Work,
}

/// What is to be done, and what was done before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Work {
    /// Replicas that are yet to move, to be added or taken away.
    pub moves: usize,
    /// That are to be sent for these, about; none when no node has said how many it has.
    pub documents: Option<u64>,
    /// Documents that were sent so far, by whatever plan.
    pub sent: u64,
}

/// The part of the answer.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Progress {
    /// Replicas that have moved, were added or taken away.
    pub done: usize,
    /// That are yet to.
    pub left: usize,
    /// Since it began.
    pub seconds: f64,
    /// That were sent since then.
    pub documents: u64,
    /// That are to be sent in all, about.
    pub documents_planned: Option<u64>,
    /// About; none while that cannot be said.
    pub remaining_seconds: Option<f64>,
}

impl Watch {
    /// A plan was made.
    pub(super) fn begin(&self, work: Work) {
        self.begun.set(Some(Begun { at: clock::instant(), work }));
    }

    /// None when nothing is left to do.
    pub(super) fn progress(&self, left: Work, is_idle: bool) -> Option<Progress> {
        if is_idle {
            self.begun.set(None);
            return None;
        }
        let now = clock::instant();
        let is_same = |begun: &Begun| begun.work.moves >= left.moves && begun.work.sent <= left.sent;
        let begun = self.begun.get().filter(is_same).unwrap_or(Begun { at: now, work: left });
        self.begun.set(Some(begun));
        let mut progress = Progress {
            done: begun.work.moves - left.moves,
            left: left.moves,
            seconds: now.saturating_duration_since(begun.at).as_secs_f64(),
            documents: left.sent - begun.work.sent,
            documents_planned: begun.work.documents,
            remaining_seconds: None,
        };
        progress.remaining_seconds = progress.remaining();
        Some(progress)
    }
}

impl Progress {
    /// Moves end many at once, so most of the time they say nothing; documents are sent one after the other, but then they
    /// have yet to be indexed, compared and switched. Half of each, and nothing before the first move has ended: until then
    /// nobody knows how long these take.
    fn remaining(&self) -> Option<f64> {
        let of_moves = self.done as f64 / (self.done + self.left).max(1) as f64;
        let of_documents = match self.documents_planned {
            Some(planned) if planned > 0 => (self.documents as f64 / planned as f64).min(1.0),
            Some(_) | None => of_moves,
        };
        let share = f64::midpoint(of_moves, of_documents);
        (self.done > 0 && self.left > 0).then(|| self.seconds * (1.0 - share) / share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_and_what_has_moved_say_how_long_the_rest_takes() {
        let of = |done, documents, documents_planned| {
            Progress { done, left: 8 - done, seconds: 6.0, documents, documents_planned, remaining_seconds: None }
                .remaining()
        };
        assert_eq!((of(0, 0, None), of(0, 2_000, Some(1_000))), (None, None));
        assert_eq!(of(4, 500, Some(1_000)), Some(6.0));
        assert_eq!(of(2, 500, Some(1_000)), Some(10.0));
        assert_eq!(of(4, 2_000, Some(1_000)), Some(2.0), "more was sent than was expected");
        assert_eq!(
            (of(2, 0, None), of(2, 0, Some(0))),
            (Some(18.0), Some(18.0)),
            "nobody says, or nothing is to be sent"
        );
        assert_eq!(of(8, 1_000, Some(1_000)), None);
    }

    #[test]
    fn a_plan_counts_from_its_beginning() {
        let watch = Watch::default();
        let work = |moves, sent| Work { moves, documents: Some(100), sent };
        watch.begin(work(8, 50));
        let seen = watch.progress(work(6, 80), false).expect("it is not idle");
        assert_eq!((seen.done, seen.left, seen.documents, seen.documents_planned), (2, 6, 30, Some(100)));
        let seen = watch.progress(work(9, 80), false).expect("it is not idle");
        assert_eq!((seen.done, seen.left, seen.documents), (0, 9, 0), "another plan");
        assert_eq!(watch.progress(work(0, 80), true), None);
    }
}
