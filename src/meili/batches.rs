//! Batches as the Meilisearch API shows them. Miroir has one batch per task that has begun, with the task's number; a task
//! that cancels others is one batch with them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::tasks::{TaskKind, TaskStatus};

/// One batch.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchView {
    /// Its number, the `batchUid` of its tasks.
    pub uid: u64,
    /// Always null: what nodes do is not followed step by step.
    pub progress: Option<Value>,
    /// Those of its tasks, added up.
    pub details: Map<String, Value>,
    /// What it consists of.
    pub stats: BatchStats,
    /// ISO 8601; none while it is processed.
    pub duration: Option<String>,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339; none while it is processed.
    pub finished_at: Option<String>,
    /// Why no more tasks are in it.
    pub batch_strategy: String,
}

/// What a batch consists of.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchStats {
    /// Tasks.
    pub total_nb_tasks: u64,
    /// Tasks by status.
    pub status: BTreeMap<TaskStatus, u64>,
    /// Tasks by type.
    pub types: BTreeMap<TaskKind, u64>,
    /// Tasks by the client's name of their index.
    pub index_uids: BTreeMap<String, u64>,
    /// How long its steps took, in words (`1.20s`), once it has ended. Here it has one step.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub progress_trace: BTreeMap<String, String>,
}

/// Why nothing else is in the batch of a task of this type with this number, in the words of one server that takes one task
/// at a time.
pub fn strategy(kind: TaskKind, uid: u64) -> String {
    let name = kind.name();
    match kind {
        TaskKind::IndexCreation
        | TaskKind::IndexUpdate
        | TaskKind::IndexSwap
        | TaskKind::TaskCancelation
        | TaskKind::DumpCreation
        | TaskKind::Export
        | TaskKind::IndexCompaction => format!(
            "created batch containing only task with id {uid} of type `{name}` that cannot be batched with any other task."
        ),
        TaskKind::TaskDeletion | TaskKind::SnapshotCreation | TaskKind::UpgradeDatabase => {
            format!(
                "stopped after the last task of type `{name}` because they cannot be batched with tasks of any other type."
            )
        }
        TaskKind::IndexDeletion => format!("stopped after task with id {uid} because it deletes the index"),
        TaskKind::NetworkTopologyChange => {
            format!("stopped after task with id {uid} because it is a network topology change task")
        }
        TaskKind::DocumentAdditionOrUpdate
        | TaskKind::DocumentEdition
        | TaskKind::DocumentDeletion
        | TaskKind::SettingsUpdate
        | TaskKind::DsrUpdate
        | TaskKind::DsrClear => "batched up to configured batch limit of 1 tasks".to_owned(),
    }
}

/// One page of batches.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BatchPage {
    /// The batches, newest first unless reversed.
    pub results: Vec<BatchView>,
    /// All batches that match.
    pub total: u64,
    /// As asked.
    pub limit: u64,
    /// The first one here.
    pub from: Option<u64>,
    /// The first one of the next page.
    pub next: Option<u64>,
}
