//! Tasks: list, show, cancel, delete. All of it is the journal's; here queries are read and answers awaited.

use crate::bridge::Command;
use crate::bridge::reply::Reply;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::logic::entry::Operation;
use crate::logic::ids::EntryId;
use crate::meili::error::{ApiError, Code};
use crate::meili::task_query::{Selection, parse_listing, parse_selection, parse_task_uid};
use crate::meili::tasks::{TaskPage, TaskQuery};

use super::arguments::Arguments;
use super::write::{commit, overloaded};

/// Tasks asked for at a time when the matching ones are gathered.
const GATHERED_PER_PAGE: u64 = 1_000;

async fn ask<T>(core: &Core, command: impl FnOnce(Reply<Result<T, ApiError>>) -> Command) -> Result<T, ApiError> {
    let reply = core.bridge.ask(command).ok_or_else(|| overloaded("too many requests wait for the journal"))?;
    match core.before(core.read_deadline(), reply).await {
        Some(Some(answer)) => answer,
        Some(None) => Err(overloaded("the journal is closing")),
        None => Err(overloaded("the journal did not answer in time")),
    }
}

async fn page(core: &Core, query: TaskQuery) -> Result<TaskPage, ApiError> {
    ask(core, |reply| Command::Tasks(Box::new(query), reply)).await
}

pub(super) async fn list(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    let query = parse_listing(&request.query)?;
    Ok(Response::json(200, &page(core, query).await?))
}

pub(super) async fn get(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let entry = EntryId(parse_task_uid(arguments.text(0))?);
    let task = ask(core, |reply| Command::Task(entry, reply)).await?;
    Ok(Response::json(200, &task))
}

/// The tasks that match now.
async fn matching(core: &Core, query: TaskQuery) -> Result<Vec<EntryId>, ApiError> {
    let mut matched = Vec::new();
    let mut from = None;
    loop {
        let query = TaskQuery { limit: GATHERED_PER_PAGE, from, ..query.clone() };
        let TaskPage { results, next, .. } = page(core, query).await?;
        matched.extend(results.iter().map(|task| EntryId(task.uid)));
        match next {
            // Newest first: the next page begins with an older task, so this ends.
            Some(next) if from.is_none_or(|from| next < from) => from = Some(next),
            Some(_) => return Err(ApiError::new(Code::Internal, "the pages of the task list do not end")),
            None => break,
        }
    }
    matched.sort_unstable();
    Ok(matched)
}

pub(super) async fn cancel(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    let matched = matching(core, parse_selection(&request.query, Selection::Cancel)?).await?;
    let operation = Operation::CancelTasks { original_filter: format!("?{}", request.query), matched };
    // 200 and not 202: so does one server.
    commit(core, None, operation, None).await.map(|task| Response::json(200, &task))
}

pub(super) async fn delete(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    let matched = matching(core, parse_selection(&request.query, Selection::Delete)?).await?;
    let operation = Operation::DeleteTasks { original_filter: format!("?{}", request.query), matched };
    commit(core, None, operation, None).await.map(|task| Response::json(200, &task))
}
