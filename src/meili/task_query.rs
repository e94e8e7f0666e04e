//! The query strings of the task routes.

use super::bad_value::bad_parameter;
use super::dates::{self, DayEnd};
use super::error::{ApiError, Code};
use super::index::check_index_uid;
use super::query_string::{QueryString, parse_number};
use super::tasks::{TaskKind, TaskQuery, TaskStatus, TimeRange};

const PAGING: [&str; 3] = ["limit", "from", "reverse"];
const FILTERS: [&str; 12] = [
    "batchUids",
    "uids",
    "canceledBy",
    "types",
    "statuses",
    "indexUids",
    "afterEnqueuedAt",
    "beforeEnqueuedAt",
    "afterStartedAt",
    "beforeStartedAt",
    "afterFinishedAt",
    "beforeFinishedAt",
];
/// The order in which the routes that cancel and delete name them.
const SELECTING: [&str; 12] = [
    "uids",
    "batchUids",
    "canceledBy",
    "types",
    "statuses",
    "indexUids",
    "afterEnqueuedAt",
    "beforeEnqueuedAt",
    "afterStartedAt",
    "beforeStartedAt",
    "afterFinishedAt",
    "beforeFinishedAt",
];
const LIMIT_DEFAULT: u32 = 20;

/// What a selection of tasks is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selection {
    /// `POST /tasks/cancel`.
    Cancel,
    /// `DELETE /tasks`.
    Delete,
}

/// The query of `GET /tasks`, and of `GET /batches`.
///
/// # Errors
/// `invalid_task_...`, `bad_request` for unknown parameters.
pub fn parse_listing(query: &str) -> Result<TaskQuery, ApiError> {
    let allowed: Vec<&str> = PAGING.into_iter().chain(FILTERS).collect();
    let query = QueryString::parse(query, &allowed)?;
    let limit = query.number::<u32>("limit", Code::InvalidTaskLimit)?.unwrap_or(LIMIT_DEFAULT);
    let from = query.number::<u32>("from", Code::InvalidTaskFrom)?;
    let reverse = query.boolean("reverse", Code::InvalidTaskReverse)?.unwrap_or(false);
    Ok(TaskQuery { limit: u64::from(limit), from: from.map(u64::from), reverse, ..filters(&query)? })
}

/// The query of the routes that cancel and delete; `limit` is 0 and is the caller's to set.
///
/// # Errors
/// As [`parse_listing`], and `missing_task_filters`.
pub fn parse_selection(query: &str, selection: Selection) -> Result<TaskQuery, ApiError> {
    let query = QueryString::parse(query, &SELECTING)?;
    if SELECTING.iter().all(|name| query.get(name).is_none()) {
        let verb = match selection {
            Selection::Cancel => "cancel",
            Selection::Delete => "delete",
        };
        let message = format!(
            "Query parameters to filter the tasks to {verb} are missing. Available query parameters are: `uids`, `indexUids`, \
             `statuses`, `types`, `canceledBy`, `beforeEnqueuedAt`, `afterEnqueuedAt`, `beforeStartedAt`, `afterStartedAt`, \
             `beforeFinishedAt`, `afterFinishedAt`."
        );
        return Err(ApiError::new(Code::MissingTaskFilters, message));
    }
    filters(&query)
}

fn filters(query: &QueryString) -> Result<TaskQuery, ApiError> {
    let numbers =
        |name: &'static str, code| query.list(name, |item| parse_number::<u32>(name, item, code).map(u64::from));
    let batch_uids = numbers("batchUids", Code::InvalidBatchUids)?;
    let uids = numbers("uids", Code::InvalidTaskUids)?;
    let canceled_by = numbers("canceledBy", Code::InvalidTaskCanceledBy)?;
    let types = query.list("types", read_kind)?;
    let statuses = query.list("statuses", read_status)?;
    let index_uids = query.list("indexUids", |item| {
        check_index_uid(item)
            .map(ToOwned::to_owned)
            .map_err(|error| bad_parameter(Code::InvalidIndexUid, "indexUids", &error.message))
    })?;
    let date = |name: &str, day_end, code| read_date(query, name, day_end, code);
    let enqueued = TimeRange {
        after: date("afterEnqueuedAt", DayEnd::End, Code::InvalidTaskAfterEnqueuedAt)?,
        before: date("beforeEnqueuedAt", DayEnd::Start, Code::InvalidTaskBeforeEnqueuedAt)?,
    };
    let started = TimeRange {
        after: date("afterStartedAt", DayEnd::End, Code::InvalidTaskAfterStartedAt)?,
        before: date("beforeStartedAt", DayEnd::Start, Code::InvalidTaskBeforeStartedAt)?,
    };
    let finished = TimeRange {
        after: date("afterFinishedAt", DayEnd::End, Code::InvalidTaskAfterFinishedAt)?,
        before: date("beforeFinishedAt", DayEnd::Start, Code::InvalidTaskBeforeFinishedAt)?,
    };
    Ok(TaskQuery {
        batch_uids,
        uids,
        canceled_by,
        types,
        statuses,
        index_uids,
        enqueued,
        started,
        finished,
        ..TaskQuery::default()
    })
}

fn read_date(query: &QueryString, name: &str, day_end: DayEnd, code: Code) -> Result<Option<i64>, ApiError> {
    match query.get(name) {
        None | Some("*") => Ok(None),
        Some(text) => dates::parse(text, day_end).map(Some).ok_or_else(|| {
            let reason = format!(
                "`{text}` is an invalid date-time. It should follow the YYYY-MM-DD or RFC 3339 date-time format."
            );
            bad_parameter(code, name, &reason)
        }),
    }
}

fn read_kind(item: &str) -> Result<TaskKind, ApiError> {
    let kind = TaskKind::ALL.iter().find(|kind| kind.name().eq_ignore_ascii_case(item));
    kind.copied().ok_or_else(|| {
        let names: Vec<&str> = TaskKind::ALL.iter().map(|kind| kind.name()).collect();
        let reason = format!("`{item}` is not a valid task type. Available types are {}.", listed(&names));
        bad_parameter(Code::InvalidTaskTypes, "types", &reason)
    })
}

fn read_status(item: &str) -> Result<TaskStatus, ApiError> {
    let status = TaskStatus::ALL.into_iter().find(|status| status.name().eq_ignore_ascii_case(item));
    status.ok_or_else(|| {
        let names = TaskStatus::ALL.map(TaskStatus::name);
        let reason = format!("`{item}` is not a valid task status. Available statuses are {}.", listed(&names));
        bad_parameter(Code::InvalidTaskStatuses, "statuses", &reason)
    })
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The number in `/tasks/{uid}`.
///
/// # Errors
/// `invalid_task_uids`.
pub fn parse_task_uid(text: &str) -> Result<u64, ApiError> {
    text.parse::<u32>().map(u64::from).map_err(|_| {
        let message = format!("Task uid `{text}` is invalid. It should only contain numeric characters.");
        ApiError::new(Code::InvalidTaskUids, message)
    })
}

/// The number in `/batches/{uid}`.
///
/// # Errors
/// `invalid_batch_uids`.
pub fn parse_batch_uid(text: &str) -> Result<u64, ApiError> {
    text.parse::<u32>().map(u64::from).map_err(|_| {
        let message = format!("Batch uid `{text}` is invalid. It should only contain numeric characters.");
        ApiError::new(Code::InvalidBatchUids, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_is_read() {
        let query = parse_listing(
            "limit=3&from=7&reverse=true&uids=1,2&types=DOCUMENTDELETION,indexSwap&statuses=Failed&indexUids=a,b&\
             canceledBy=*&afterEnqueuedAt=1970-01-02&beforeFinishedAt=1970-01-02T00:00:00Z",
        )
        .expect("valid");
        assert_eq!((query.limit, query.from, query.reverse), (3, Some(7), true));
        assert_eq!(query.uids, Some(vec![1, 2]));
        assert_eq!(query.types, Some(vec![TaskKind::DocumentDeletion, TaskKind::IndexSwap]));
        assert_eq!(query.statuses, Some(vec![TaskStatus::Failed]));
        assert_eq!(query.index_uids, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(
            (query.canceled_by, query.enqueued.after, query.finished.before),
            (None, Some(172_800_000_000), Some(86_400_000_000))
        );
        assert_eq!(parse_listing("").expect("valid").limit, 20);
    }

    #[test]
    fn every_type_has_its_name() {
        for kind in TaskKind::ALL {
            assert_eq!(read_kind(kind.name()).expect("a known type"), *kind);
            assert_eq!(serde_json::to_value(kind).expect("JSON"), serde_json::Value::from(kind.name()));
        }
    }

    #[test]
    fn bad_filters_are_refused_in_meilisearchs_words() {
        for (query, code, message) in [
            (
                "limit=a",
                Code::InvalidTaskLimit,
                "Invalid value in parameter `limit`: could not parse `a` as a positive integer",
            ),
            (
                "reverse=",
                Code::InvalidTaskReverse,
                "Invalid value in parameter `reverse`: could not parse `` as a boolean, expected either `true` or `false`",
            ),
            (
                "statuses=foo",
                Code::InvalidTaskStatuses,
                "Invalid value in parameter `statuses`: `foo` is not a valid task status. Available statuses are `enqueued`, `processing`, `succeeded`, `failed`, `canceled`.",
            ),
            (
                "indexUids=a%20b",
                Code::InvalidIndexUid,
                "Invalid value in parameter `indexUids`: `a b` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric characters, hyphens (-) and underscores (_), and can not be more than 512 bytes.",
            ),
            (
                "beforeEnqueuedAt=2021",
                Code::InvalidTaskBeforeEnqueuedAt,
                "Invalid value in parameter `beforeEnqueuedAt`: `2021` is an invalid date-time. It should follow the YYYY-MM-DD or RFC 3339 date-time format.",
            ),
        ] {
            let error = parse_listing(query).expect_err(query);
            assert_eq!((error.code, error.message.as_str()), (code, message));
        }
        assert_eq!(parse_selection("", Selection::Cancel).expect_err("no filter").code, Code::MissingTaskFilters);
        assert_eq!(parse_selection("limit=1", Selection::Delete).expect_err("no filter").code, Code::BadRequest);
        assert!(parse_selection("uids=*", Selection::Delete).is_ok());
        assert_eq!(parse_task_uid("-1").expect_err("negative").code, Code::InvalidTaskUids);
        let error = parse_batch_uid("x").expect_err("no number");
        let message = "Batch uid `x` is invalid. It should only contain numeric characters.";
        assert_eq!((error.code, error.message.as_str()), (Code::InvalidBatchUids, message));
    }
}
