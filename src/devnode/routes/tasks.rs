//! `/tasks` and `/batches`.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime, Time};

use super::Node;
use super::params::{Params, check_uid};
use crate::devnode::http::{Request, Response};
use crate::devnode::queue::Content;
use crate::meili::error::{ApiError, Code};
use crate::meili::tasks::{TaskQuery, TimeRange};

const PAGE: &[&str] = &["limit", "from", "reverse"];
const FILTERS: &[&str] = &["uids", "batchUids", "canceledBy", "types", "statuses", "indexUids"];
const DATES: &[&str] = &[
    "afterEnqueuedAt",
    "beforeEnqueuedAt",
    "afterStartedAt",
    "beforeStartedAt",
    "afterFinishedAt",
    "beforeFinishedAt",
];

const TYPES: &str = "`documentAdditionOrUpdate`, `documentEdition`, `documentDeletion`, `settingsUpdate`, \
    `indexCreation`, `indexDeletion`, `indexUpdate`, `indexSwap`, `taskCancelation`, `taskDeletion`, `dumpCreation`, \
    `snapshotCreation`, `export`, `upgradeDatabase`, `indexCompaction`, `networkTopologyChange`, `dsrUpdate`, \
    `dsrClear`";
const STATUSES: &str = "`enqueued`, `processing`, `succeeded`, `failed`, `canceled`";

fn named<T: DeserializeOwned>(text: &str, what: &str, all: &str, available: &str) -> Result<T, String> {
    serde_json::from_value(Value::from(text))
        .map_err(|_| format!("`{text}` is not a valid task {what}. Available {available} are {all}."))
}

fn filters(params: &Params) -> Result<TaskQuery, ApiError> {
    let range = |after: &str, after_code, before: &str, before_code| -> Result<TimeRange, ApiError> {
        Ok(TimeRange {
            after: moment(params, after, after_code, true)?,
            before: moment(params, before, before_code, false)?,
        })
    };
    Ok(TaskQuery {
        limit: params.number("limit", Code::InvalidTaskLimit)?.unwrap_or(20),
        from: params.number("from", Code::InvalidTaskFrom)?,
        reverse: params.boolean("reverse", Code::InvalidTaskReverse)?.unwrap_or(false),
        batch_uids: params.numbers("batchUids", Code::InvalidBatchUids)?,
        uids: params.numbers("uids", Code::InvalidTaskUids)?,
        canceled_by: params.numbers("canceledBy", Code::InvalidTaskCanceledBy)?,
        types: params.list_of("types", Code::InvalidTaskTypes, |text| named(text, "type", TYPES, "types"))?,
        statuses: params
            .list_of("statuses", Code::InvalidTaskStatuses, |text| named(text, "status", STATUSES, "statuses"))?,
        index_uids: params.list_of("indexUids", Code::InvalidIndexUid, |text| {
            check_uid(text).map(str::to_owned).map_err(|error| error.message)
        })?,
        enqueued: range(
            "afterEnqueuedAt",
            Code::InvalidTaskAfterEnqueuedAt,
            "beforeEnqueuedAt",
            Code::InvalidTaskBeforeEnqueuedAt,
        )?,
        started: range(
            "afterStartedAt",
            Code::InvalidTaskAfterStartedAt,
            "beforeStartedAt",
            Code::InvalidTaskBeforeStartedAt,
        )?,
        finished: range(
            "afterFinishedAt",
            Code::InvalidTaskAfterFinishedAt,
            "beforeFinishedAt",
            Code::InvalidTaskBeforeFinishedAt,
        )?,
    })
}

/// A date, which is read as the end of the day for a lower bound, or a date-time; microseconds since the Unix epoch.
fn moment(params: &Params, name: &str, code: Code, after: bool) -> Result<Option<i64>, ApiError> {
    if params.text(name) == Some("*") {
        return Ok(None);
    }
    params.parsed(name, code, |text| {
        let day = format_description!("[year repr:full base:calendar]-[month repr:numerical]-[day]");
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok().or_else(|| {
            let midnight = Date::parse(text, day).ok()?.with_time(Time::MIDNIGHT).assume_utc();
            if after { midnight.checked_add(Duration::days(1)) } else { Some(midnight) }
        });
        let reason = "is an invalid date-time. It should follow the YYYY-MM-DD or RFC 3339 date-time format.";
        let moment = moment.ok_or_else(|| format!("`{text}` {reason}"))?;
        Ok((moment.unix_timestamp_nanos() / 1000) as i64)
    })
}

fn page_params(request: &Request) -> Result<Params, ApiError> {
    let mut names = PAGE.to_vec();
    names.extend(["batchUids", "uids", "canceledBy", "types", "statuses", "indexUids"]);
    names.extend(DATES);
    Params::parse(&request.query, &names)
}

/// `GET /tasks`.
pub fn list(node: &Node, request: &Request) -> Result<Response, ApiError> {
    let query = filters(&page_params(request)?)?;
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
fn selection(node: &Node, request: &Request, verb: &str) -> Result<(String, Vec<u64>), ApiError> {
    let mut names = FILTERS.to_vec();
    names.extend(DATES);
    let params = Params::parse(&request.query, &names)?;
    if params.is_empty() {
        let message = format!(
            "Query parameters to filter the tasks to {verb} are missing. Available query parameters are: `uids`, \
             `indexUids`, `statuses`, `types`, `canceledBy`, `beforeEnqueuedAt`, `afterEnqueuedAt`, `beforeStartedAt`, \
             `afterStartedAt`, `beforeFinishedAt`, `afterFinishedAt`."
        );
        return Err(ApiError::new(Code::MissingTaskFilters, message));
    }
    let uids = node.queue.matching(&filters(&params)?);
    Ok((format!("?{}", request.query), uids))
}

/// `POST /tasks/cancel`.
pub fn cancel(node: &Node, request: &Request) -> Result<Response, ApiError> {
    let (query, uids) = selection(node, request, "cancel")?;
    let task = node.queue.register(None, Content::CancelTasks { query, uids }, None, None)?;
    Ok(Response::json(200, &task))
}

/// `DELETE /tasks`.
pub fn delete(node: &Node, request: &Request) -> Result<Response, ApiError> {
    let (query, uids) = selection(node, request, "delete")?;
    let task = node.queue.register(None, Content::DeleteTasks { query, uids }, None, None)?;
    Ok(Response::json(200, &task))
}

/// `GET /batches`.
pub fn list_batches(node: &Node, request: &Request) -> Result<Response, ApiError> {
    let query = filters(&page_params(request)?)?;
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
