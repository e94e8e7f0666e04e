//! The journal of one index, read from the store for replays of nodes that lag.

use super::index_book::IndexBook;
use crate::logic::feeder::{JournalUnavailable, JournalView, StepInfo, steps_of};
use crate::logic::ids::{EntryId, NodeIndexUid, Position};
use crate::meili::embedding_failure::embedding_failure;
use crate::meili::tasks::TaskStatus;
use crate::store::{Store, TaskRecord};

/// Entries read at once.
const PAGE: usize = 256;

/// See the module.
pub(super) struct StoreView<'a> {
    pub store: &'a dyn Store,
    pub book: &'a IndexBook,
}

impl JournalView for StoreView<'_> {
    fn steps(&self, index: &NodeIndexUid, after: Position, limit: usize) -> Result<Vec<StepInfo>, JournalUnavailable> {
        if self.book.get(index).is_none() {
            return Ok(Vec::new());
        }
        let mut steps = Vec::new();
        let mut first = after.entry().unwrap_or_default();
        loop {
            let records = self.store.index_entries_from(index, first, PAGE).map_err(|error| {
                tracing::error!(%error, %index, "the journal cannot be read");
                JournalUnavailable
            })?;
            steps.extend(records.iter().flat_map(steps_of_record).filter(|step| step.position > after));
            match records.last() {
                Some(last) if records.len() == PAGE && steps.len() < limit => first = EntryId(last.entry.id.0 + 1),
                Some(_) | None => break,
            }
        }
        steps.truncate(limit);
        Ok(steps)
    }
}

/// The steps of an entry as it stands; a canceled one has none.
pub(super) fn steps_of_record(record: &TaskRecord) -> Vec<StepInfo> {
    let outcome = record.outcome.as_ref();
    if outcome.is_some_and(|outcome| outcome.status == TaskStatus::Canceled) {
        return Vec::new();
    }
    let error = outcome.and_then(|outcome| outcome.error.as_ref());
    let is_unsure = error.and_then(embedding_failure).is_some();
    let steps = steps_of(&record.entry, record.resolution.as_ref());
    steps.into_iter().map(|step| StepInfo { is_unsure, ..step }).collect()
}
