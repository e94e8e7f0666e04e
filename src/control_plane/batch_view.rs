//! Batches as one server would show them, made of the tasks in them. Pure.

use std::time::Duration;

use serde_json::{Map, Value};

use super::task_view::{duration, task_view};
use crate::logic::ids::Timestamp;
use crate::meili::batches::{BatchPage, BatchStats, BatchView, strategy};
use crate::meili::dates::rfc3339;
use crate::meili::tasks::{TaskKind, TaskQuery, TaskStatus};
use crate::store::{BatchRecord, BatchRecordPage, TaskRecord};

/// One page as it is answered.
pub fn batch_page(query: &TaskQuery, page: &BatchRecordPage) -> BatchPage {
    let results: Vec<BatchView> = page.batches.iter().map(batch_view).collect();
    let from = results.first().map(|batch| batch.uid);
    BatchPage { results, total: page.total, limit: query.limit, from, next: page.next.map(|uid| uid.0) }
}

/// One batch.
pub fn batch_view(record: &BatchRecord) -> BatchView {
    let BatchRecord { uid, tasks } = record;
    let mut stats = BatchStats::default();
    let mut details = Map::new();
    for task in tasks {
        let view = task_view(task);
        stats.total_nb_tasks += 1;
        *stats.status.entry(view.status).or_default() += 1;
        *stats.types.entry(view.kind).or_default() += 1;
        if let Some(index) = view.index_uid {
            *stats.index_uids.entry(index).or_default() += 1;
        }
        accumulate(&mut details, view.details.unwrap_or_default());
    }
    let is_processing = stats.status.contains_key(&TaskStatus::Processing);
    if !is_processing {
        // Once it has ended, one server leaves out what is null.
        details.retain(|_, value| !value.is_null());
    }
    let started_at = tasks.iter().filter_map(begun).min().unwrap_or_default();
    let ended = |task: &TaskRecord| task.outcome.as_ref().map(|outcome| outcome.finished_at);
    let finished_at = tasks.iter().filter_map(ended).max().filter(|_| !is_processing);
    if let Some(end) = finished_at {
        let took = Duration::from_micros(u64::try_from(end.0.saturating_sub(started_at.0)).unwrap_or(0));
        stats.progress_trace.insert("processing tasks".to_owned(), format!("{took:.2?}"));
    }
    // Where only canceled tasks are left, the one that canceled them is gone.
    let own = tasks.iter().find(|task| task.entry.id == *uid);
    let kind = own.map_or(TaskKind::TaskCancelation, |task| task.entry.operation.task_kind());
    BatchView {
        uid: uid.0,
        progress: None,
        details,
        stats,
        duration: finished_at.map(|end| duration(started_at, end)),
        started_at: rfc3339(started_at),
        finished_at: finished_at.map(rfc3339),
        batch_strategy: strategy(kind, uid.0),
    }
}

fn begun(task: &TaskRecord) -> Option<Timestamp> {
    let outcome = task.outcome.as_ref();
    outcome.and_then(|outcome| outcome.started_at.or(Some(outcome.finished_at))).or(task.started_at)
}

/// Numbers are added up, filters are put one after the other, settings are merged, and of anything else the first one that
/// is known stays.
fn accumulate(all: &mut Map<String, Value>, details: Map<String, Value>) {
    for (name, value) in details {
        let merged = match (all.remove(&name), value) {
            (None | Some(Value::Null), value) => value,
            (Some(known), Value::Null) => known,
            (Some(Value::Number(left)), Value::Number(right)) => {
                Value::from(left.as_u64().unwrap_or(0) + right.as_u64().unwrap_or(0))
            }
            (Some(Value::String(left)), Value::String(right)) if name == "originalFilter" => {
                Value::from(format!("{left}&{right}"))
            }
            (Some(known), _) => known,
        };
        all.insert(name, merged);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::logic::entry::{Entry, Operation, PutMode};
    use crate::logic::ids::{EntryId, IndexUid};
    use crate::store::{Outcome, OutcomeCounts};

    fn task(id: u64, operation: Operation) -> TaskRecord {
        let has_index = !matches!(operation, Operation::CancelTasks { .. });
        let entry = Entry {
            id: EntryId(id),
            enqueued_at: Timestamp(0),
            index: has_index.then(|| IndexUid::new("a")),
            target: None,
            operation,
            shards: vec![],
            rejection: None,
            custom_metadata: None,
        };
        TaskRecord { entry, started_at: Some(Timestamp(1_000_000)), resolution: None, outcome: None, is_deleted: false }
    }

    fn put() -> Operation {
        Operation::PutDocuments {
            mode: PutMode::Replace,
            received: 2,
            primary_key: None,
            creates_index: false,
            sets_primary_key: false,
            skips_missing: false,
        }
    }

    fn ended(task: TaskRecord, status: TaskStatus, counts: OutcomeCounts, canceled_by: Option<u64>) -> TaskRecord {
        let outcome = Outcome {
            status,
            error: None,
            counts,
            canceled_by: canceled_by.map(EntryId),
            started_at: Some(Timestamp(1_000_000)),
            finished_at: Timestamp(1_500_000),
        };
        TaskRecord { outcome: Some(outcome), ..task }
    }

    fn shown(uid: u64, tasks: Vec<TaskRecord>) -> Value {
        serde_json::to_value(batch_view(&BatchRecord { uid: EntryId(uid), tasks })).unwrap()
    }

    #[test]
    fn a_batch_shows_its_task() {
        assert_eq!(
            shown(3, vec![task(3, put())]),
            json!({
                "uid": 3, "progress": null, "details": { "receivedDocuments": 2, "indexedDocuments": null },
                "stats": {
                    "totalNbTasks": 1, "status": { "processing": 1 }, "types": { "documentAdditionOrUpdate": 1 },
                    "indexUids": { "a": 1 },
                },
                "duration": null, "startedAt": "1970-01-01T00:00:01Z", "finishedAt": null,
                "batchStrategy": "batched up to configured batch limit of 1 tasks",
            })
        );
        let create = Operation::CreateIndex { primary_key: None };
        let batch = shown(4, vec![ended(task(4, create), TaskStatus::Succeeded, OutcomeCounts::default(), None)]);
        assert_eq!((&batch["details"], &batch["duration"]), (&json!({}), &json!("PT0.500S")));
        assert_eq!(batch["finishedAt"], "1970-01-01T00:00:01.5Z");
        assert_eq!(batch["stats"]["progressTrace"], json!({"processing tasks": "500.00ms"}));
    }

    #[test]
    fn what_was_canceled_is_in_the_batch_of_its_canceler() {
        let cancel =
            Operation::CancelTasks { original_filter: "?uids=1,2".to_owned(), matched: vec![EntryId(1), EntryId(2)] };
        let counts = OutcomeCounts { tasks: Some(2), ..OutcomeCounts::default() };
        let canceled = |id| ended(task(id, put()), TaskStatus::Canceled, OutcomeCounts::default(), Some(7));
        let tasks = vec![canceled(1), canceled(2), ended(task(7, cancel), TaskStatus::Succeeded, counts, None)];
        let batch = shown(7, tasks);
        assert_eq!(
            batch["stats"],
            json!({
                "totalNbTasks": 3, "status": { "succeeded": 1, "canceled": 2 },
                "types": { "documentAdditionOrUpdate": 2, "taskCancelation": 1 }, "indexUids": { "a": 2 },
                "progressTrace": { "processing tasks": "500.00ms" },
            })
        );
        assert_eq!(
            batch["details"],
            json!({
                "receivedDocuments": 4, "indexedDocuments": 0, "matchedTasks": 2, "canceledTasks": 2,
                "originalFilter": "?uids=1,2",
            })
        );
    }
}
