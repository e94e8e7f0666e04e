//! `/tasks` and `/batches`.

use serde_json::json;

use super::Node;
use crate::devnode::http::{Request, Response};
use crate::devnode::queue::Content;
use crate::meili::error::{ApiError, Code};
use crate::meili::task_query::{Selection, parse_listing, parse_selection};

/// `GET /tasks`.
pub fn list(node: &Node, request: &Request) -> Result<Response, ApiError> {
    let query = parse_listing(&request.query)?;
    Ok(Response::json(200, &node.queue.tasks(&query)))
}

/// `GET /tasks/{uid}`.
pub fn get(node: &Node, text: &str) -> Result<Response, ApiError> {
    let Ok(uid) = text.parse::<u32>() else {
        let message = format!("Task uid `{text}` is invalid. It should only contain numeric characters.");
        return Err(ApiError::new(Code::InvalidTaskUids, message));
    };
    let missing = || ApiError::new(Code::TaskNotFound, format!("Task `{uid}` not found."));
    let task = node.queue.task(u64::from(uid)).ok_or_else(missing)?;
    Ok(Response::json(200, &task.view()))
}

/// The tasks that a cancelation or deletion names, and its query as shown in the details.
fn selection(node: &Node, request: &Request, selection: Selection) -> Result<(String, Vec<u64>), ApiError> {
    let uids = node.queue.matching(&parse_selection(&request.query, selection)?);
    Ok((format!("?{}", request.query), uids))
}

/// `POST /tasks/cancel`.
pub fn cancel(node: &Node, request: &Request) -> Result<Response, ApiError> {
    let (query, uids) = selection(node, request, Selection::Cancel)?;
    let task = node.queue.register(None, Content::CancelTasks { query, uids }, None, None)?;
    Ok(Response::json(200, &task))
}

/// `DELETE /tasks`.
pub fn delete(node: &Node, request: &Request) -> Result<Response, ApiError> {
    let (query, uids) = selection(node, request, Selection::Delete)?;
    let task = node.queue.register(None, Content::DeleteTasks { query, uids }, None, None)?;
    Ok(Response::json(200, &task))
}

/// `GET /batches`.
pub fn list_batches(node: &Node, request: &Request) -> Result<Response, ApiError> {
    let query = parse_listing(&request.query)?;
    Ok(Response::json(200, &node.queue.batches(&query)))
}

/// `GET /batches/{uid}`.
pub fn get_batch(node: &Node, text: &str) -> Result<Response, ApiError> {
    let Ok(uid) = text.parse::<u32>() else {
        let message = format!("Batch uid `{text}` is invalid. It should only contain numeric characters.");
        return Err(ApiError::new(Code::InvalidBatchUids, message));
    };
    let missing = || ApiError::new(Code::BatchNotFound, format!("Batch `{uid}` not found."));
    let batch = node.queue.batch(u64::from(uid)).ok_or_else(missing)?;
    Ok(Response::json(200, &json!(batch.view())))
}
