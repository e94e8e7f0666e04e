//! Tasks: list, show, cancel, delete; and the snapshot, which is nothing but a task. All of it is the journal's; here queries
//! are read and answers awaited.

use crate::bridge::Command;
use crate::bridge::reply::Reply;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::logic::entry::Operation;
use crate::logic::ids::EntryId;
use crate::meili::error::ApiError;
use crate::meili::features::Feature;
use crate::meili::task_query::{Selection, parse_listing, parse_selection, parse_task_uid};
use crate::meili::tasks::{TaskQuery, TaskView, task_not_found};

use super::arguments::Arguments;
use super::write::{accepted, commit};

/// What the control plane answers to a command.
pub(super) async fn ask<T>(
    core: &Core,
    command: impl FnOnce(Reply<Result<T, ApiError>>) -> Command,
) -> Result<T, ApiError> {
    let answer = core.before(core.read_deadline(), ask_long(core, command)).await;
    answer.unwrap_or_else(|| Err(ApiError::overloaded("the journal did not answer in time")))
}

/// The same, however long it takes.
async fn ask_long<T>(core: &Core, command: impl FnOnce(Reply<Result<T, ApiError>>) -> Command) -> Result<T, ApiError> {
    let reply =
        core.bridge.ask(command).ok_or_else(|| ApiError::overloaded("too many requests wait for the journal"))?;
    reply.await.unwrap_or_else(|| Err(ApiError::overloaded("the journal is closing")))
}

pub(super) async fn list(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let query = visible(parse_listing(&request.query)?, arguments);
    let page = ask(core, |reply| Command::Tasks(Box::new(query), reply)).await?;
    Ok(Response::json(200, &page))
}

pub(super) async fn get(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    Ok(Response::json(200, &find(core, arguments).await?))
}

/// The task that the path names, if the caller may see it.
async fn find(core: &Core, arguments: &Arguments) -> Result<TaskView, ApiError> {
    let entry = EntryId(parse_task_uid(arguments.text(0))?);
    let task = ask(core, |reply| Command::Task(entry, reply)).await?;
    let grant = arguments.grant();
    let is_shown = |index: &String| grant.allows_index(index);
    let may_see = grant.allows_all_indexes() || task.index_uid.as_ref().is_some_and(is_shown);
    may_see.then_some(task).ok_or_else(|| task_not_found(entry.0))
}

/// What an unfinished task is about to add.
pub(super) async fn documents(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let doing = "Getting the documents of an enqueued task";
    core.bridge.features.load().require(Feature::GetTaskDocumentsRoute, doing)?;
    let entry = EntryId(find(core, arguments).await?.uid);
    let documents = ask(core, |reply| Command::TaskDocuments(entry, reply)).await?;
    Ok(Response::ndjson(200, documents))
}

/// The tasks are in Miroir's store, whose space is given back; unlike one server Miroir need not be restarted for it.
pub(super) async fn compact(core: &Core, _request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    let doing = "Using the /tasks/compact route";
    core.bridge.features.load().require(Feature::TaskQueueCompactionRoute, doing)?;
    let summary = ask_long(core, Command::CompactStore).await?;
    let status = if summary["status"] == "succeeded" { 200 } else { 500 };
    Ok(Response::json(status, &summary))
}

/// Only tasks that the caller may see.
pub(super) fn visible(query: TaskQuery, arguments: &Arguments) -> TaskQuery {
    TaskQuery { visible: arguments.grant().visible(), ..query }
}

/// Every node makes a snapshot of itself, one after the other; the task is done when all have.
pub(super) async fn create_snapshot(
    core: &Core,
    _request: &Request,
    _arguments: &Arguments,
) -> Result<Response, ApiError> {
    commit(core, None, Operation::CreateSnapshot, None).await.map(|task| accepted(&task))
}

/// Everything as it is where the dump stands in the journal.
pub(super) async fn create_dump(core: &Core, _request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    commit(core, None, Operation::CreateDump, None).await.map(|task| accepted(&task))
}

/// The tasks that match now, oldest first.
async fn matching(core: &Core, query: TaskQuery) -> Result<Vec<EntryId>, ApiError> {
    ask(core, |reply| Command::MatchingTasks(Box::new(query), reply)).await
}

pub(super) async fn cancel(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let query = visible(parse_selection(&request.query, Selection::Cancel)?, arguments);
    let matched = matching(core, query).await?;
    let operation = Operation::CancelTasks { original_filter: format!("?{}", request.query), matched };
    // 200 and not 202: so does one server.
    commit(core, None, operation, None).await.map(|task| Response::json(200, &task))
}

pub(super) async fn delete(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let query = visible(parse_selection(&request.query, Selection::Delete)?, arguments);
    let matched = matching(core, query).await?;
    let operation = Operation::DeleteTasks { original_filter: format!("?{}", request.query), matched };
    commit(core, None, operation, None).await.map(|task| Response::json(200, &task))
}
