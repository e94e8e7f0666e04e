//! Tasks as the Meilisearch API shows them, and the query that selects them.

use serde::{Deserialize, Serialize};

use super::error::{ApiError, Code, ErrorBody};
use super::keys::IndexPattern;

/// Where a task stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskStatus {
    /// Waiting.
    Enqueued,
    /// Some node works on it.
    Processing,
    /// Done.
    Succeeded,
    /// Could not be done.
    Failed,
    /// Taken back before any node got it.
    Canceled,
}

impl TaskStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Enqueued, Self::Processing, Self::Succeeded, Self::Failed, Self::Canceled];

    /// The text of the `status` field.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Processing => "processing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// No further change comes.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Enqueued | Self::Processing => false,
            Self::Succeeded | Self::Failed | Self::Canceled => true,
        }
    }
}

macro_rules! kinds {
    ($(($variant:ident, $name:literal),)*) => {
        /// The `type` field. All of Meilisearch's types, so that filters on any of them are accepted.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        #[expect(missing_docs, reason = "the names are Meilisearch's and say what they mean")]
        pub enum TaskKind {
            $($variant,)*
        }

        impl TaskKind {
            /// Every type, in Meilisearch's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The text of the `type` field.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    (DocumentAdditionOrUpdate, "documentAdditionOrUpdate"),
    (DocumentEdition, "documentEdition"),
    (DocumentDeletion, "documentDeletion"),
    (SettingsUpdate, "settingsUpdate"),
    (IndexCreation, "indexCreation"),
    (IndexDeletion, "indexDeletion"),
    (IndexUpdate, "indexUpdate"),
    (IndexSwap, "indexSwap"),
    (TaskCancelation, "taskCancelation"),
    (TaskDeletion, "taskDeletion"),
    (DumpCreation, "dumpCreation"),
    (SnapshotCreation, "snapshotCreation"),
    (Export, "export"),
    (UpgradeDatabase, "upgradeDatabase"),
    (IndexCompaction, "indexCompaction"),
    (NetworkTopologyChange, "networkTopologyChange"),
    (DsrUpdate, "dsrUpdate"),
    (DsrClear, "dsrClear"),
}

/// One task.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    /// `taskUid`.
    pub uid: u64,
    /// Miroir has one batch per task.
    pub batch_uid: Option<u64>,
    /// The client's name.
    pub index_uid: Option<String>,
    /// See [`TaskStatus`].
    pub status: TaskStatus,
    /// See [`TaskKind`].
    #[serde(rename = "type")]
    pub kind: TaskKind,
    /// The task that canceled this one.
    pub canceled_by: Option<u64>,
    /// By kind: what one server would report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Map<String, serde_json::Value>>,
    /// Why it failed.
    pub error: Option<ErrorBody>,
    /// ISO 8601, `PT0.5S`.
    pub duration: Option<String>,
    /// RFC 3339.
    pub enqueued_at: String,
    /// RFC 3339.
    pub started_at: Option<String>,
    /// RFC 3339.
    pub finished_at: Option<String>,
    /// `customMetadata` of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_metadata: Option<String>,
}

/// `task_not_found`.
pub fn task_not_found(uid: u64) -> ApiError {
    ApiError::new(Code::TaskNotFound, format!("Task `{uid}` not found."))
}

/// `task_file_not_found`.
pub fn task_without_documents(uid: u64) -> ApiError {
    let message = format!(
        "Task `{uid}` does not contain any documents. Only `documentAdditionOrUpdate` tasks with the statuses `enqueued` \
         or `processing` contain documents"
    );
    ApiError::new(Code::TaskFileNotFound, message)
}

/// One page of tasks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TaskPage {
    /// The tasks, newest first unless reversed.
    pub results: Vec<TaskView>,
    /// All tasks that match.
    pub total: u64,
    /// As asked.
    pub limit: u64,
    /// The first one here.
    pub from: Option<u64>,
    /// The first one of the next page.
    pub next: Option<u64>,
}

/// Which tasks. An absent list does not restrict (`*`, too).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TaskQuery {
    /// Tasks per page.
    pub limit: u64,
    /// First task of the page.
    pub from: Option<u64>,
    /// Oldest first.
    pub reverse: bool,
    /// `batchUids`.
    pub batch_uids: Option<Vec<u64>>,
    /// `uids`.
    pub uids: Option<Vec<u64>>,
    /// `canceledBy`.
    pub canceled_by: Option<Vec<u64>>,
    /// `types`.
    pub types: Option<Vec<TaskKind>>,
    /// `statuses`.
    pub statuses: Option<Vec<TaskStatus>>,
    /// `indexUids`.
    pub index_uids: Option<Vec<String>>,
    /// The indexes whose tasks may be seen; none: all tasks, those that belong to no index included.
    pub visible: Option<Vec<IndexPattern>>,
    /// Exclusive bounds, microseconds since the Unix epoch.
    pub enqueued: TimeRange,
    /// The same for `startedAt`.
    pub started: TimeRange,
    /// The same for `finishedAt`.
    pub finished: TimeRange,
}

/// Exclusive bounds in microseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TimeRange {
    /// `after...At`.
    pub after: Option<i64>,
    /// `before...At`.
    pub before: Option<i64>,
}
