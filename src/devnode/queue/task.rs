//! One task of the node's queue, and how it is shown.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::meili::error::{ApiError, ErrorBody};
use crate::meili::tasks::{TaskKind, TaskStatus, TaskView};

/// How documents are put.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PutMethod {
    /// The new document takes the place of the stored one.
    Replace,
    /// Its fields are laid over the stored one.
    Update,
}

/// What a task is to do. The documents of a put are kept beside it, see [`super::super::disk::QueueFile`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Content {
    /// Add or replace, or add or update.
    Put {
        /// Replace or update.
        method: PutMethod,
        /// `?primaryKey=`.
        primary_key: Option<String>,
        /// Documents in the body.
        received: u64,
        /// `?skipCreation=true`.
        skip_creation: bool,
    },
    /// Delete by external ids.
    Delete {
        /// As they stand in the request, duplicates included.
        ids: Vec<String>,
    },
    /// Delete what a filter matches.
    DeleteByFilter {
        /// As it stands in the request.
        filter: Value,
    },
    /// Delete every document.
    Clear,
    /// Change settings.
    Settings {
        /// The body of `PATCH /settings`.
        patch: Map<String, Value>,
        /// The request was a DELETE: it does not create the index.
        reset: bool,
    },
    /// Create the index.
    CreateIndex {
        /// May be left open.
        primary_key: Option<String>,
    },
    /// Change its primary key.
    UpdateIndex {
        /// `None` changes nothing.
        primary_key: Option<String>,
    },
    /// Delete the index.
    DeleteIndex,
    /// Give the index's free space back to the disk.
    CompactIndex,
    /// Cancel waiting tasks.
    CancelTasks {
        /// The request's query, with `?`.
        query: String,
        /// The tasks it matched when it came.
        uids: Vec<u64>,
    },
    /// Forget finished tasks.
    DeleteTasks {
        /// The request's query, with `?`.
        query: String,
        /// The tasks it matched when it came.
        uids: Vec<u64>,
    },
}

impl Content {
    /// The `type` field.
    pub fn kind(&self) -> TaskKind {
        match self {
            Self::Put { .. } => TaskKind::DocumentAdditionOrUpdate,
            Self::Delete { .. } | Self::DeleteByFilter { .. } | Self::Clear => TaskKind::DocumentDeletion,
            Self::Settings { .. } => TaskKind::SettingsUpdate,
            Self::CreateIndex { .. } => TaskKind::IndexCreation,
            Self::UpdateIndex { .. } => TaskKind::IndexUpdate,
            Self::DeleteIndex => TaskKind::IndexDeletion,
            Self::CompactIndex => TaskKind::IndexCompaction,
            Self::CancelTasks { .. } => TaskKind::TaskCancelation,
            Self::DeleteTasks { .. } => TaskKind::TaskDeletion,
        }
    }

    /// May this task bring a missing index into being?
    pub fn creates_index(&self) -> bool {
        match self {
            Self::Put { .. } | Self::CreateIndex { .. } => true,
            Self::Settings { reset, .. } => !reset,
            Self::Delete { .. }
            | Self::DeleteByFilter { .. }
            | Self::Clear
            | Self::UpdateIndex { .. }
            | Self::DeleteIndex
            | Self::CompactIndex
            | Self::CancelTasks { .. }
            | Self::DeleteTasks { .. } => false,
        }
    }

    /// `details`; `count` is what was indexed, deleted or canceled, `None` while that is open.
    pub fn details(&self, count: Option<u64>) -> Map<String, Value> {
        let value = match self {
            Self::Put { received, .. } => json!({ "receivedDocuments": received, "indexedDocuments": count }),
            Self::Delete { ids } => {
                json!({ "providedIds": ids.len(), "deletedDocuments": count, "originalFilter": null })
            }
            Self::DeleteByFilter { filter } => {
                json!({ "providedIds": 0, "deletedDocuments": count, "originalFilter": filter.to_string() })
            }
            Self::Clear | Self::DeleteIndex => json!({ "deletedDocuments": count }),
            Self::Settings { patch, .. } => Value::Object(patch.clone()),
            Self::CreateIndex { primary_key } | Self::UpdateIndex { primary_key } => {
                json!({ "primaryKey": primary_key })
            }
            // Sizes before and after are shown only where there are some.
            Self::CompactIndex => json!({}),
            Self::CancelTasks { query, uids } => {
                json!({ "matchedTasks": uids.len(), "canceledTasks": count, "originalFilter": query })
            }
            Self::DeleteTasks { query, uids } => {
                json!({ "matchedTasks": uids.len(), "deletedTasks": count, "originalFilter": query })
            }
        };
        match value {
            Value::Object(map) => map,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
        }
    }
}

/// One task. Times are microseconds since the Unix epoch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Task {
    /// From 0, without gaps.
    pub uid: u64,
    /// `None` for tasks about tasks.
    pub index_uid: Option<String>,
    /// What it is to do.
    pub content: Content,
    /// `?customMetadata=`.
    pub custom_metadata: Option<String>,
    /// Never `Processing` on disk: whatever was being processed is waiting again after a restart.
    pub status: TaskStatus,
    /// The batch that took it.
    pub batch_uid: Option<u64>,
    /// The task that canceled it.
    pub canceled_by: Option<u64>,
    /// As shown.
    pub details: Map<String, Value>,
    /// Why it failed.
    pub error: Option<ErrorBody>,
    /// When it was registered.
    pub enqueued_at: i64,
    /// When its batch began.
    pub started_at: Option<i64>,
    /// When its batch ended.
    pub finished_at: Option<i64>,
}

impl Task {
    /// Ends the task with its count (`None`: it succeeded unread), or with an error.
    pub fn finish(&mut self, outcome: Result<Option<u64>, ApiError>) {
        match outcome {
            Ok(count) => {
                self.status = TaskStatus::Succeeded;
                self.details = self.content.details(count);
            }
            Err(error) => {
                self.status = TaskStatus::Failed;
                self.details = self.content.details(Some(0));
                self.error = Some(error.body());
            }
        }
    }

    /// As `GET /tasks/{uid}` shows it.
    pub fn view(&self) -> TaskView {
        TaskView {
            uid: self.uid,
            batch_uid: self.batch_uid,
            index_uid: self.index_uid.clone(),
            status: self.status,
            kind: self.content.kind(),
            canceled_by: self.canceled_by,
            details: Some(self.details.clone()),
            error: self.error.clone(),
            duration: self.started_at.zip(self.finished_at).map(|(start, end)| duration(end - start)),
            enqueued_at: date(self.enqueued_at),
            started_at: self.started_at.map(date),
            finished_at: self.finished_at.map(date),
            custom_metadata: self.custom_metadata.clone(),
        }
    }

    /// As the answer 202 shows it.
    pub fn summary(&self) -> Value {
        let mut summary = json!({
            "taskUid": self.uid,
            "indexUid": self.index_uid,
            "status": self.status,
            "type": self.content.kind(),
            "enqueuedAt": date(self.enqueued_at),
        });
        if let Some(metadata) = &self.custom_metadata {
            summary["customMetadata"] = json!(metadata);
        }
        summary
    }
}

/// RFC 3339 from microseconds since the Unix epoch.
pub fn date(micros: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).expect("a year of four digits can be written")
}

/// ISO 8601 from microseconds.
pub fn duration(micros: i64) -> String {
    let micros = micros.max(0);
    format!("PT{}.{:06}S", micros / 1_000_000, micros % 1_000_000)
}
