//! Tasks as a dump has them: what the next server shows of them. Pure.
//!
//! All of them have ended, so what they were to do is told as far as the format demands it, without documents and ids.

use roaring::RoaringBitmap;
use serde_json::{Map, Value, json};

use super::task_view::task_view;
use crate::logic::entry::{Operation, PutMode};
use crate::logic::ids::EntryId;
use crate::meili::export::{Export, IndexExport};
use crate::meili::search_rules::RulesChange;
use crate::meili::tasks::TaskView;
use crate::store::TaskRecord;

/// A task that has ended.
pub(super) fn dumped_task(record: &TaskRecord) -> Value {
    let view = task_view(record);
    let mut task = json!({
        "uid": view.uid,
        "indexUid": view.index_uid,
        "status": view.status,
        "type": kind(&record.entry.operation, &view),
        "enqueuedAt": view.enqueued_at,
        "startedAt": view.started_at,
        "finishedAt": view.finished_at,
    });
    let optional = [
        ("canceledBy", json!(view.canceled_by)),
        ("error", json!(view.error)),
        ("customMetadata", json!(view.custom_metadata)),
        ("details", details(&record.entry.operation, &view)),
    ];
    for (name, value) in optional {
        if !value.is_null() {
            task[name] = value;
        }
    }
    task
}

fn kind(operation: &Operation, view: &TaskView) -> Value {
    match operation {
        Operation::PutDocuments { mode, received, primary_key, .. } => json!({"documentImport": {
            "primary_key": primary_key,
            "method": match mode { PutMode::Replace => "ReplaceDocuments", PutMode::Update => "UpdateDocuments" },
            "documents_count": received,
            "allow_index_creation": true,
        }}),
        Operation::DeleteDocuments { .. } => json!({"documentDeletion": {"documents_ids": []}}),
        Operation::DeleteByFilter { filter } => json!({"documentDeletionByFilter": {"filter": filter}}),
        Operation::EditDocuments { filter, function, context } => {
            json!({"documentEdition": {"filter": filter, "context": context, "function": function}})
        }
        Operation::ClearDocuments => json!("documentClear"),
        Operation::CreateIndex { primary_key } => json!({"indexCreation": {"primary_key": primary_key}}),
        Operation::UpdateIndex { primary_key, rename } => {
            json!({"indexUpdate": {"primary_key": primary_key, "uid": rename.as_ref().map(|(_, new)| new)}})
        }
        Operation::SwapIndexes { swaps, .. } => json!({"indexSwap": {"swaps": swaps}}),
        Operation::DeleteIndex => json!("indexDeletion"),
        Operation::UpdateSettings { patch, is_deletion, .. } => json!({"settings": {
            "settings": patch,
            "is_deletion": is_deletion,
            "allow_index_creation": true,
        }}),
        Operation::CompactIndex => json!({"indexCompaction": {"index_uid": view.index_uid}}),
        Operation::CreateSnapshot => json!("snapshotCreation"),
        Operation::ChangeRules(RulesChange::Set { uid, fields }) => {
            json!({"dsrUpdate": {"createOrUpdate": {"rule_id": uid, "update": fields}}})
        }
        Operation::ChangeRules(RulesChange::Delete { uid }) => json!({"dsrUpdate": {"deletion": uid}}),
        Operation::ChangeRules(RulesChange::Clear) => json!("dsrClear"),
        Operation::CreateDump => json!({"dumpCreation": {"keys": [], "instance_uid": null}}),
        // The next server has no use for the key.
        Operation::Export(Export { url, payload_size, indexes, .. }) => {
            let settings =
                |export: &IndexExport| json!({"filter": export.filter, "overrideSettings": export.overrides_settings});
            let indexes: Map<String, Value> =
                indexes.iter().map(|(pattern, export)| (pattern.as_str().to_owned(), settings(export))).collect();
            json!({"export": {"url": url, "api_key": null, "payload_size": payload_size, "indexes": indexes}})
        }
        Operation::CancelTasks { original_filter, matched } => {
            json!({"taskCancelation": {"query": original_filter, "tasks": bitmap(matched)}})
        }
        Operation::DeleteTasks { original_filter, matched } => {
            json!({"tasksDeletion": {"query": original_filter, "tasks": bitmap(matched)}})
        }
    }
}

/// Where one server names its details otherwise than it shows them, it is only by the case of the letters.
fn details(operation: &Operation, view: &TaskView) -> Value {
    let shown = || {
        let details = view.details.iter().flatten();
        Value::Object(details.map(|(name, value)| (snake_case(name), value.clone())).collect())
    };
    let (variant, details) = match operation {
        Operation::PutDocuments { .. } => ("DocumentAdditionOrUpdate", shown()),
        Operation::DeleteDocuments { .. } => ("DocumentDeletion", shown()),
        Operation::DeleteByFilter { .. } => ("DocumentDeletionByFilter", shown()),
        Operation::EditDocuments { .. } => ("DocumentEdition", shown()),
        Operation::ClearDocuments | Operation::DeleteIndex | Operation::ChangeRules(RulesChange::Clear) => {
            ("ClearAll", shown())
        }
        Operation::CreateIndex { .. } | Operation::UpdateIndex { .. } => ("IndexInfo", shown()),
        Operation::SwapIndexes { .. } => ("IndexSwap", shown()),
        Operation::UpdateSettings { patch, .. } => ("SettingsUpdate", json!({"settings": patch})),
        // Without the sizes, which are numbers there.
        Operation::CompactIndex => ("IndexCompaction", json!({"index_uid": view.index_uid})),
        Operation::CreateDump => ("Dump", shown()),
        Operation::Export(_) => ("Export", shown()),
        Operation::CancelTasks { .. } => ("TaskCancelation", shown()),
        Operation::DeleteTasks { .. } => ("TaskDeletion", shown()),
        Operation::CreateSnapshot | Operation::ChangeRules(_) => return Value::Null,
    };
    Value::Object(Map::from_iter([(variant.to_owned(), details)]))
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 2);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// A set of task numbers as the bytes of its portable form.
fn bitmap(tasks: &[EntryId]) -> Vec<u8> {
    let tasks: RoaringBitmap = tasks.iter().filter_map(|task| u32::try_from(task.0).ok()).collect();
    let mut bytes = Vec::with_capacity(tasks.serialized_size());
    tasks.serialize_into(&mut bytes).expect("a vector takes all");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::entry::Entry;
    use crate::logic::ids::{IndexUid, Timestamp};
    use crate::meili::error::{ApiError, Code};
    use crate::meili::tasks::TaskStatus;
    use crate::store::{Outcome, OutcomeCounts};

    fn record(operation: Operation, status: TaskStatus) -> TaskRecord {
        let entry = Entry {
            id: EntryId(7),
            enqueued_at: Timestamp(1_795_359_744_912_447),
            index: Some(IndexUid::new("a")),
            target: None,
            operation,
            shards: vec![],
            rejection: None,
            custom_metadata: None,
        };
        let failed = (status == TaskStatus::Failed).then(|| ApiError::new(Code::Internal, "no").body());
        let outcome = Outcome {
            status,
            error: failed,
            counts: OutcomeCounts { indexed: Some(2), tasks: Some(1), ..OutcomeCounts::default() },
            canceled_by: None,
            started_at: Some(Timestamp(1_795_359_745_000_000)),
            finished_at: Timestamp(1_795_359_746_000_000),
        };
        TaskRecord { entry, started_at: None, resolution: None, outcome: Some(outcome), is_deleted: false }
    }

    #[test]
    fn tasks_have_the_form_of_a_dump() {
        let put = Operation::PutDocuments {
            mode: PutMode::Update,
            received: 3,
            primary_key: Some("id".to_owned()),
            creates_index: false,
            sets_primary_key: false,
            skips_missing: false,
        };
        assert_eq!(
            dumped_task(&record(put, TaskStatus::Succeeded)),
            json!({
                "uid": 7, "indexUid": "a", "status": "succeeded",
                "type": {"documentImport": {
                    "primary_key": "id", "method": "UpdateDocuments", "documents_count": 3, "allow_index_creation": true
                }},
                "details": {"DocumentAdditionOrUpdate": {"received_documents": 3, "indexed_documents": 2}},
                "enqueuedAt": "2026-11-22T15:02:24.912447Z",
                "startedAt": "2026-11-22T15:02:25Z", "finishedAt": "2026-11-22T15:02:26Z",
            })
        );
        let task = dumped_task(&record(Operation::CreateDump, TaskStatus::Succeeded));
        assert_eq!(task["details"], json!({"Dump": {"dump_uid": "20261122-150225000"}}));
        let task = dumped_task(&record(Operation::DeleteIndex, TaskStatus::Failed));
        assert_eq!((&task["type"], &task["error"]["code"]), (&json!("indexDeletion"), &json!("internal")));
        let export = Export::parse(br#"{"url": "http://a", "apiKey": "very secret", "payloadSize": 1024}"#).unwrap();
        let task = dumped_task(&record(Operation::Export(export), TaskStatus::Failed));
        let indexes = json!({"*": {"filter": null, "overrideSettings": false}});
        assert_eq!(
            task["type"]["export"],
            json!({"url": "http://a", "api_key": null, "payload_size": 1_024, "indexes": indexes})
        );
        assert_eq!(
            task["details"]["Export"],
            json!({"url": "http://a", "api_key": "veXXXX...", "payload_size": "1 KiB", "indexes": indexes})
        );
        let cancel = Operation::CancelTasks { original_filter: "?uids=1".to_owned(), matched: vec![EntryId(1)] };
        let task = dumped_task(&record(cancel, TaskStatus::Succeeded));
        assert_eq!(task["details"]["TaskCancelation"]["canceled_tasks"], 1);
        let tasks = [0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0];
        assert_eq!(task["type"]["taskCancelation"]["tasks"], json!(tasks));
    }
}
