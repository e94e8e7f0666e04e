//! Tasks as one server would show them, made of journal entries. Pure.

use serde_json::{Map, Value, json};

use crate::logic::entry::Operation;
use crate::logic::ids::Timestamp;
use crate::meili::dates::{dump_uid, rfc3339};
use crate::meili::search_rules::RulesChange;
use crate::meili::settings::task_details;
use crate::meili::sizes::shown_size;
use crate::meili::tasks::{TaskPage, TaskQuery, TaskStatus, TaskView};
use crate::store::{OutcomeCounts, TaskRecord, TaskRecordPage};

/// One page as it is answered.
pub fn task_page(query: &TaskQuery, page: &TaskRecordPage) -> TaskPage {
    let results: Vec<TaskView> = page.records.iter().map(task_view).collect();
    let from = results.first().map(|task| task.uid);
    TaskPage { results, total: page.total, limit: query.limit, from, next: page.next.map(|entry| entry.0) }
}

/// One task.
pub fn task_view(record: &TaskRecord) -> TaskView {
    let TaskRecord { entry, outcome, .. } = record;
    let ended = outcome.as_ref();
    let finished_at = ended.map(|outcome| outcome.finished_at);
    // What ends without having begun (a rejection, a cancelation) begins when it ends, as one server shows it.
    let started_at = ended.and_then(|outcome| outcome.started_at).or(record.started_at).or(finished_at);
    let status = match (ended, started_at) {
        (Some(outcome), _) => outcome.status,
        (None, Some(_)) => TaskStatus::Processing,
        (None, None) => TaskStatus::Enqueued,
    };
    let canceled_by = ended.and_then(|outcome| outcome.canceled_by).map(|entry| entry.0);
    TaskView {
        uid: entry.id.0,
        batch_uid: started_at.map(|_| canceled_by.unwrap_or(entry.id.0)),
        index_uid: entry.index.as_ref().map(ToString::to_string),
        status,
        kind: entry.operation.task_kind(),
        canceled_by,
        details: details(&entry.operation, (status, started_at), ended.map(|outcome| &outcome.counts)),
        error: ended.and_then(|outcome| outcome.error.clone()),
        duration: started_at.zip(finished_at).map(|(start, end)| duration(start, end)),
        enqueued_at: rfc3339(entry.enqueued_at),
        started_at: started_at.map(rfc3339),
        finished_at: finished_at.map(rfc3339),
        custom_metadata: entry.custom_metadata.clone(),
    }
}

const SECONDS_PER_DAY: i64 = 86_400;

/// ISO 8601 in days and seconds, with as many digits after the point as one server writes.
pub(super) fn duration(start: Timestamp, end: Timestamp) -> String {
    let microseconds = end.0.saturating_sub(start.0).max(0);
    let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
    let days = match seconds / SECONDS_PER_DAY {
        0 => String::new(),
        days => format!("{days}D"),
    };
    let fraction = match rest {
        0 => String::new(),
        rest if rest % 1_000 == 0 => format!(".{:03}", rest / 1_000),
        rest => format!(".{rest:06}"),
    };
    format!("P{days}T{}{fraction}S", seconds % SECONDS_PER_DAY)
}

fn details(
    operation: &Operation,
    (status, started_at): (TaskStatus, Option<Timestamp>),
    counts: Option<&OutcomeCounts>,
) -> Option<Map<String, Value>> {
    // Nothing was done by what failed or was canceled; what has not ended does not know yet.
    let done = |count: fn(&OutcomeCounts) -> Option<u64>| match status {
        TaskStatus::Enqueued | TaskStatus::Processing => Value::Null,
        TaskStatus::Failed | TaskStatus::Canceled => json!(counts.and_then(count).unwrap_or(0)),
        TaskStatus::Succeeded => json!(counts.and_then(count)),
    };
    let details = match operation {
        Operation::PutDocuments { received, .. } => {
            json!({ "receivedDocuments": received, "indexedDocuments": done(|counts| counts.indexed) })
        }
        Operation::DeleteDocuments { provided } => json!({
            "providedIds": provided,
            "deletedDocuments": done(|counts| counts.deleted),
            "originalFilter": null,
        }),
        Operation::DeleteByFilter { filter } => json!({
            "providedIds": 0,
            "deletedDocuments": done(|counts| counts.deleted),
            "originalFilter": filter.to_string(),
        }),
        Operation::EditDocuments { filter, function, context } => json!({
            "deletedDocuments": done(|counts| counts.deleted),
            "editedDocuments": done(|counts| counts.indexed),
            "context": context,
            "function": function,
            "originalFilter": filter.as_ref().map(Value::to_string),
        }),
        Operation::ClearDocuments | Operation::DeleteIndex => {
            json!({ "deletedDocuments": done(|counts| counts.deleted) })
        }
        Operation::CreateIndex { primary_key } | Operation::UpdateIndex { primary_key, rename: None } => {
            json!({ "primaryKey": primary_key })
        }
        Operation::UpdateIndex { primary_key, rename: Some((old, new)) } => {
            json!({ "primaryKey": primary_key, "oldIndexUid": old, "newIndexUid": new })
        }
        Operation::SwapIndexes { swaps, .. } => json!({ "swaps": swaps }),
        Operation::CompactIndex => match counts.and_then(|counts| counts.bytes) {
            Some((before, after)) => {
                json!({ "preCompactionSize": shown_size(before), "postCompactionSize": shown_size(after) })
            }
            None => json!({}),
        },
        // It is there once it is whole.
        Operation::CreateDump => {
            json!({ "dumpUid": started_at.filter(|_| status == TaskStatus::Succeeded).map(dump_uid) })
        }
        Operation::Export(export) => {
            let sent = counts.filter(|_| status == TaskStatus::Succeeded);
            export.details(sent.map(|counts| counts.exported.iter().map(|(uid, count)| (uid.as_str(), *count))))
        }
        // Shown without details.
        Operation::CreateSnapshot => Value::Null,
        Operation::ChangeRules(RulesChange::Set { fields, .. }) => json!({ "rule": fields, "updatedRules": 1 }),
        Operation::ChangeRules(RulesChange::Delete { .. }) => json!({ "updatedRules": 1 }),
        Operation::ChangeRules(RulesChange::Clear) => json!({ "deletedDocuments": done(|counts| counts.deleted) }),
        Operation::UpdateSettings { patch, .. } => patch.as_object().map(task_details).into(),
        Operation::CancelTasks { original_filter, matched } => json!({
            "matchedTasks": matched.len(),
            "canceledTasks": done(|counts| counts.tasks),
            "originalFilter": original_filter,
        }),
        Operation::DeleteTasks { original_filter, matched } => json!({
            "matchedTasks": matched.len(),
            "deletedTasks": done(|counts| counts.tasks),
            "originalFilter": original_filter,
        }),
    };
    match details {
        Value::Object(details) => Some(details),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::entry::Entry;
    use crate::logic::ids::{EntryId, IndexUid};
    use crate::meili::error::{ApiError, Code};
    use crate::store::Outcome;

    fn record(operation: Operation) -> TaskRecord {
        let entry = Entry {
            id: EntryId(3),
            enqueued_at: Timestamp(1_795_359_744_912_447),
            index: Some(IndexUid::new("a")),
            target: None,
            operation,
            shards: vec![],
            rejection: None,
            custom_metadata: None,
        };
        TaskRecord { entry, started_at: None, resolution: None, outcome: None, is_deleted: false }
    }

    fn outcome(status: TaskStatus) -> Outcome {
        Outcome {
            status,
            error: None,
            counts: OutcomeCounts { deleted: Some(4), ..OutcomeCounts::default() },
            canceled_by: None,
            started_at: Some(Timestamp(1_000_000)),
            finished_at: Timestamp(4_346_546),
        }
    }

    fn shown(record: &TaskRecord) -> Value {
        serde_json::to_value(task_view(record)).unwrap()
    }

    #[test]
    fn a_waiting_task_knows_nothing_of_its_end() {
        let mut record = record(Operation::DeleteByFilter { filter: "x = 2".into() });
        assert_eq!(
            shown(&record),
            json!({
                "uid": 3, "batchUid": null, "indexUid": "a", "status": "enqueued", "type": "documentDeletion",
                "canceledBy": null, "error": null, "duration": null, "enqueuedAt": "2026-11-22T15:02:24.912447Z",
                "startedAt": null, "finishedAt": null,
                "details": { "providedIds": 0, "deletedDocuments": null, "originalFilter": "\"x = 2\"" },
            })
        );
        record.started_at = Some(Timestamp(0));
        assert_eq!((&shown(&record)["status"], &shown(&record)["batchUid"]), (&json!("processing"), &json!(3)));
    }

    #[test]
    fn an_ended_task_shows_what_it_did_and_how_long_it_took() {
        let mut record = record(Operation::DeleteDocuments { provided: 5 });
        record.outcome = Some(outcome(TaskStatus::Succeeded));
        let view = shown(&record);
        assert_eq!(view["details"], json!({ "providedIds": 5, "deletedDocuments": 4, "originalFilter": null }));
        assert_eq!(view["duration"], "PT3.346546S");
        assert_eq!((&view["startedAt"], &view["batchUid"]), (&json!("1970-01-01T00:00:01Z"), &json!(3)));
    }

    #[test]
    fn a_canceled_task_belongs_to_the_batch_of_its_canceler_and_did_nothing() {
        let mut record = record(Operation::ClearDocuments);
        record.outcome = Some(Outcome {
            canceled_by: Some(EntryId(9)),
            counts: OutcomeCounts::default(),
            started_at: None,
            ..outcome(TaskStatus::Canceled)
        });
        let view = shown(&record);
        assert_eq!((&view["batchUid"], &view["canceledBy"]), (&json!(9), &json!(9)));
        assert_eq!(view["startedAt"], view["finishedAt"]);
        assert_eq!(view["details"], json!({ "deletedDocuments": 0 }));
    }

    #[test]
    fn a_failed_task_shows_its_error() {
        let mut record = record(Operation::DeleteIndex);
        let error = ApiError::new(Code::IndexNotFound, "Index `a` not found.").body();
        record.outcome =
            Some(Outcome { error: Some(error), counts: OutcomeCounts::default(), ..outcome(TaskStatus::Failed) });
        let view = shown(&record);
        assert_eq!(view["error"]["code"], "index_not_found");
        assert_eq!(view["details"], json!({ "deletedDocuments": 0 }));
    }

    #[test]
    fn a_dump_shows_its_name_once_it_is_there() {
        let mut record = record(Operation::CreateDump);
        assert_eq!(shown(&record)["details"], json!({ "dumpUid": null }));
        record.outcome = Some(outcome(TaskStatus::Succeeded));
        assert_eq!(shown(&record)["details"], json!({ "dumpUid": "19700101-000001000" }));
        record.outcome = Some(outcome(TaskStatus::Failed));
        assert_eq!(shown(&record)["details"], json!({ "dumpUid": null }));
    }

    #[test]
    fn reset_settings_show_their_default() {
        let patch = json!({ "displayedAttributes": null, "stopWords": null, "rankingRules": ["words"] });
        let operation = Operation::UpdateSettings { patch, is_deletion: true, creates_index: false };
        assert_eq!(
            shown(&record(operation))["details"],
            json!({ "displayedAttributes": ["*"], "rankingRules": ["words"], "stopWords": null })
        );
    }
}
