//! Handing a write to the journal, and what the client gets for it.
//!
//! Cancel safety: when the client goes away after the hand-over, the write is committed all the same. When its time is
//! over, the write is taken back, and the client told so, unless the journal has begun with it.

use http::StatusCode;
use serde::Serialize;

use crate::bridge::{Accepted, IndexHead, NewWrite, WriteRefusal};
use crate::data_plane::core::Core;
use crate::http_types::Response;
use crate::logic::entry::Operation;
use crate::logic::ids::{IndexUid, Monotonic};
use crate::meili::dates::rfc3339;
use crate::meili::error::ApiError;
use crate::meili::query_string::QueryString;
use crate::meili::tasks::{TaskKind, TaskStatus};

/// A task as it is shown to who made it.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SummarizedTask {
    task_uid: u64,
    index_uid: Option<String>,
    status: TaskStatus,
    #[serde(rename = "type")]
    kind: TaskKind,
    enqueued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_metadata: Option<String>,
}

/// What came of a hand-over.
pub(super) enum Handed {
    Accepted(SummarizedTask),
    /// The write was prepared for another head: this is the one.
    HeadMoved(Option<IndexHead>),
}

/// Hands a write over and waits for its commit.
pub(super) async fn hand_over(core: &Core, write: NewWrite, deadline: Monotonic) -> Result<Handed, ApiError> {
    let mut task = SummarizedTask {
        task_uid: 0,
        index_uid: write.index.as_ref().map(ToString::to_string),
        status: TaskStatus::Enqueued,
        kind: write.operation.task_kind(),
        enqueued_at: String::new(),
        custom_metadata: write.custom_metadata.clone(),
    };
    let asked = core.bridge.write(write);
    let (reply, claim) = asked.ok_or_else(|| ApiError::overloaded("too many writes wait for their commit"))?;
    match core.before(deadline, reply).await {
        Some(Some(Ok(Accepted { entry, enqueued_at }))) => {
            task.task_uid = entry.0;
            task.enqueued_at = rfc3339(enqueued_at);
            Ok(Handed::Accepted(task))
        }
        Some(Some(Err(WriteRefusal::HeadMoved(head)))) => Ok(Handed::HeadMoved(head)),
        Some(Some(Err(WriteRefusal::Error(error)))) => Err(error),
        Some(None) => Err(ApiError::overloaded("the journal is closing")),
        // The journal drops what it has not begun with.
        None if claim.take() => Err(ApiError::overloaded("the write was not committed in time")),
        None => Err(ApiError::overloaded("the write was not committed in time, but may still be")),
    }
}

/// A write that needs no preparation and does not depend on what the index is.
pub(super) async fn commit(
    core: &Core,
    index: Option<IndexUid>,
    operation: Operation,
    custom_metadata: Option<String>,
) -> Result<SummarizedTask, ApiError> {
    let write = NewWrite { index, operation, assumed_head: None, payload: None, rejection: None, custom_metadata };
    match hand_over(core, write, core.write_deadline()).await? {
        Handed::Accepted(task) => Ok(task),
        Handed::HeadMoved(_) => Err(ApiError::overloaded("the index changes too often")),
    }
}

/// `202` with the task.
pub(super) fn accepted(task: &SummarizedTask) -> Response {
    Response::json(StatusCode::ACCEPTED.as_u16(), task)
}

/// The one parameter of most write routes.
pub(super) fn custom_metadata(query: &str) -> Result<Option<String>, ApiError> {
    Ok(QueryString::parse(query, &["customMetadata"])?.get("customMetadata").map(str::to_owned))
}
