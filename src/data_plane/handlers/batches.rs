//! Batches: list, show. They are read off the tasks by the control plane.

use super::arguments::Arguments;
use super::tasks::{ask, visible};
use crate::bridge::Command;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::batches::BatchPage;
use crate::meili::error::{ApiError, Code};
use crate::meili::task_query::{parse_batch_uid, parse_listing};
use crate::meili::tasks::TaskQuery;

async fn matching(core: &Core, query: TaskQuery, arguments: &Arguments) -> Result<BatchPage, ApiError> {
    let query = visible(query, arguments);
    ask(core, |reply| Command::Batches(Box::new(query), reply)).await
}

pub(super) async fn list(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let page = matching(core, parse_listing(&request.query)?, arguments).await?;
    Ok(Response::json(200, &page))
}

pub(super) async fn get(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let uid = parse_batch_uid(arguments.text(0))?;
    let query = TaskQuery { limit: 1, batch_uids: Some(vec![uid]), ..TaskQuery::default() };
    let page = matching(core, query, arguments).await?;
    match page.results.first() {
        Some(batch) => Ok(Response::json(200, batch)),
        None => Err(ApiError::new(Code::BatchNotFound, format!("Batch `{uid}` not found."))),
    }
}
