//! The bound of the task list: when it is full, the oldest tasks that have ended are deleted from it, by a task of its own, as
//! one server does.

use std::time::{Duration, Instant};

use crate::logic::entry::Operation;
use crate::logic::ids::EntryId;
use crate::meili::dates;
use crate::store::{Store, StoreError};
use crate::telemetry::clock;

/// Of a full list one task in so many is deleted.
const DELETED_PART: u64 = 10;
/// With one alone the list would be full of deletions in the end.
const DELETED_MIN: usize = 2;
/// Between two measurements of a full list.
const MEASURE_PAUSE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct History {
    max: u64,
    /// Tasks in the list, estimated from above.
    listed: u64,
    /// The last deletion, while it may be under way.
    deletion: Option<EntryId>,
    /// Not measured again before.
    measure_at: Instant,
}

impl History {
    pub(super) fn open(store: &dyn Store, max: u64) -> Result<Self, StoreError> {
        Ok(Self { max, listed: store.task_count()?, deletion: None, measure_at: clock::instant() })
    }

    /// So many tasks more.
    pub(super) fn grow(&mut self, tasks: usize) {
        self.listed += tasks as u64;
    }

    /// The deletion that is due, if one is.
    pub(super) fn due_deletion(&mut self, store: &dyn Store) -> Result<Option<Operation>, StoreError> {
        let now = clock::instant();
        if self.listed < self.max || now < self.measure_at {
            return Ok(None);
        }
        self.measure_at = now + MEASURE_PAUSE;
        if let Some(deletion) = self.deletion {
            if store.entry(deletion)?.is_some_and(|record| record.outcome.is_none()) {
                return Ok(None);
            }
            self.deletion = None;
        }
        self.listed = store.task_count()?;
        if self.listed < self.max {
            return Ok(None);
        }
        let most = usize::try_from(self.max / DELETED_PART).unwrap_or(usize::MAX);
        let matched = store.oldest_ended(most.max(DELETED_MIN))?;
        let newest = matched.last().map(|&last| store.entry(last)).transpose()?.flatten();
        let Some(newest) = newest.filter(|_| matched.len() >= DELETED_MIN) else {
            tracing::warn!(tasks = self.listed, "the task list is full, and none of them has ended");
            return Ok(None);
        };
        tracing::info!(tasks = matched.len(), "the task list is full: the oldest tasks that have ended are deleted");
        let mut before = newest.entry.enqueued_at;
        before.0 += 1;
        let before = dates::rfc3339(before);
        let original_filter = format!("?beforeEnqueuedAt={before}&statuses=succeeded,failed,canceled");
        Ok(Some(Operation::DeleteTasks { original_filter, matched }))
    }

    /// The deletion is in the journal.
    pub(super) fn deleted_by(&mut self, entry: EntryId) {
        self.deletion = Some(entry);
    }
}
