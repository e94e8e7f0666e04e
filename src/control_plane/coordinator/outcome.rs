//! What is stored when an entry ends.

use std::collections::BTreeMap;

use crate::logic::entry::{Entry, Operation, Resolution};
use crate::logic::feeder::{Report, ReportStatus};
use crate::logic::ids::{IndexUid, NodeIndexUid, Timestamp};
use crate::meili::tasks::TaskStatus;
use crate::store::{Outcome, OutcomeCounts};

/// What a report is completed with.
pub(super) struct Reported<'a> {
    pub entry: &'a Entry,
    pub resolution: Option<&'a Resolution>,
    /// Distinct documents of a put.
    pub documents: Option<u64>,
    pub started_at: Option<Timestamp>,
    /// Documents sent to another server.
    pub exported: BTreeMap<IndexUid, u64>,
}

/// The outcome of a reported entry.
pub(super) fn outcome(report: &Report, reported: &Reported<'_>, now: Timestamp) -> Outcome {
    let (status, error, canceled_by) = match &report.status {
        ReportStatus::Succeeded => (TaskStatus::Succeeded, None, None),
        ReportStatus::Failed(error) => (TaskStatus::Failed, Some(error.clone()), None),
        ReportStatus::Canceled(by) => (TaskStatus::Canceled, None, Some(*by)),
    };
    let counts = match status {
        TaskStatus::Succeeded => counts(report, reported),
        TaskStatus::Enqueued | TaskStatus::Processing | TaskStatus::Failed | TaskStatus::Canceled => {
            OutcomeCounts::default()
        }
    };
    let finished_at = now.max(reported.started_at.unwrap_or_default());
    Outcome { status, error, counts, canceled_by, started_at: reported.started_at, finished_at }
}

/// The index of an entry that changed documents with this outcome. Puts and clears count always, as on one server.
pub(super) fn updated<'a>(entry: &'a Entry, outcome: &Outcome) -> Option<(&'a IndexUid, &'a NodeIndexUid)> {
    let changed = match &entry.operation {
        Operation::PutDocuments { .. } | Operation::ClearDocuments => true,
        Operation::DeleteDocuments { .. } | Operation::DeleteByFilter { .. } => {
            outcome.counts.deleted.is_some_and(|deleted| deleted > 0)
        }
        Operation::EditDocuments { .. } => outcome.counts.indexed.is_some_and(|edited| edited > 0),
        // These change the record itself.
        Operation::CreateIndex { .. }
        | Operation::UpdateIndex { .. }
        | Operation::DeleteIndex
        | Operation::UpdateSettings { .. }
        | Operation::SwapIndexes { .. }
        | Operation::CompactIndex
        | Operation::CreateSnapshot
        | Operation::ChangeRules(_)
        | Operation::CreateDump
        | Operation::Export(_)
        | Operation::CancelTasks { .. }
        | Operation::DeleteTasks { .. } => false,
    };
    let changed = changed && outcome.status == TaskStatus::Succeeded;
    entry.index.as_ref().zip(entry.target.as_ref()).filter(|_| changed)
}

fn counts(report: &Report, reported: &Reported<'_>) -> OutcomeCounts {
    let none = OutcomeCounts::default();
    match &reported.entry.operation {
        Operation::PutDocuments { .. } => {
            OutcomeCounts { indexed: Some(reported.documents.unwrap_or_default()), ..none }
        }
        Operation::DeleteDocuments { .. } => {
            OutcomeCounts { deleted: Some(report.deleted.unwrap_or_default()), ..none }
        }
        Operation::DeleteByFilter { .. } | Operation::ClearDocuments | Operation::DeleteIndex => {
            let deleted = match reported.resolution {
                Some(Resolution::Ids { count, .. } | Resolution::Count(count)) => Some(*count),
                Some(
                    Resolution::Existing { .. }
                    | Resolution::Edited { .. }
                    | Resolution::Settings { .. }
                    | Resolution::PrimaryKey { .. }
                    | Resolution::Failed(_),
                )
                | None => None,
            };
            OutcomeCounts { deleted, ..none }
        }
        Operation::Export(_) => OutcomeCounts { exported: reported.exported.clone(), ..none },
        Operation::CompactIndex => OutcomeCounts { bytes: report.sizes, ..none },
        Operation::ChangeRules(_) => OutcomeCounts { deleted: report.deleted, ..none },
        Operation::EditDocuments { .. } => match reported.resolution {
            // One server does not tell edited and deleted ones apart.
            Some(Resolution::Edited { documents, .. }) => {
                OutcomeCounts { indexed: Some(*documents), deleted: Some(*documents), ..none }
            }
            Some(_) | None => none,
        },
        Operation::CancelTasks { .. } => OutcomeCounts { tasks: Some(report.canceled.unwrap_or_default()), ..none },
        Operation::CreateIndex { .. }
        | Operation::UpdateIndex { .. }
        | Operation::UpdateSettings { .. }
        | Operation::SwapIndexes { .. }
        | Operation::CreateSnapshot
        | Operation::CreateDump
        | Operation::DeleteTasks { .. } => none,
    }
}
