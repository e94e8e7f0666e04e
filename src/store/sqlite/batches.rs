//! Batches as SQL: there is no table of them, they are read off the tasks. A batch is a task that has begun, with those
//! that it canceled; its number is that of the task.

use rusqlite::types::Value;
use rusqlite::{Transaction, params, params_from_iter};

use super::journal::{COLUMNS, record};
use super::task_query::{Selection, not_paged};
use crate::logic::ids::EntryId;
use crate::meili::tasks::TaskQuery;
use crate::store::{BatchRecord, BatchRecordPage, StoreError};

/// Tasks that have begun are batches of their own, unless they were canceled. Those that may have canceled others are
/// looked at by themselves: only there is more than one task to match.
const SINGLE: &str = "is_deleted = 0 AND started_at IS NOT NULL AND canceled_by IS NULL AND kind <> 'taskCancelation'";
/// All batches of cancelations. Of some only the canceled tasks are left.
const CANCELERS: &str =
    "SELECT id FROM entries WHERE kind = 'taskCancelation' AND started_at IS NOT NULL AND is_deleted = 0
     UNION SELECT canceled_by FROM entries WHERE canceled_by IS NOT NULL AND is_deleted = 0";

/// The numbers of the batches that match, as a query with its arguments; whatever page is asked for.
fn matching(query: &TaskQuery) -> Selection {
    let mut all = Selection { condition: "SELECT id AS uid FROM entries WHERE ".to_owned(), arguments: Vec::new() };
    all.condition.push_str(SINGLE);
    let single = TaskQuery { canceled_by: None, ..query.clone() };
    for filter in filters(&single) {
        all.and(filter);
    }
    if query.canceled_by.is_some() {
        // These are batches of cancelations.
        all.condition.push_str(" AND 0");
    }
    all.condition.push_str(" UNION SELECT uid FROM (SELECT id AS uid FROM (");
    all.condition.push_str(CANCELERS);
    // One server, too, leaves out what belongs to no index where one is named, or not all may be seen.
    let is_of_indexes = query.index_uids.is_some() || query.visible.is_some();
    all.condition.push_str(if is_of_indexes { ")) WHERE 0" } else { ")) WHERE 1" });
    if let Some(cancelers) = &query.canceled_by {
        let uids = TaskQuery { uids: Some(cancelers.clone()), ..TaskQuery::default() };
        for filter in filters(&uids) {
            all.and_some_task(filter, "status = 2 AND kind = 'taskCancelation' AND ");
        }
    }
    for filter in filters(&single) {
        all.and_some_task(filter, "");
    }
    all
}

/// Each filter by itself, as a condition on one task.
fn filters(query: &TaskQuery) -> Vec<Selection> {
    let none = || TaskQuery::default();
    let TaskQuery { batch_uids, uids, types, statuses, index_uids, .. } = query.clone();
    let TaskQuery { visible, enqueued, started, finished, .. } = query.clone();
    let parts = [
        TaskQuery { batch_uids, ..none() },
        TaskQuery { uids, ..none() },
        TaskQuery { types, ..none() },
        TaskQuery { statuses, ..none() },
        TaskQuery { index_uids, ..none() },
        TaskQuery { visible, ..none() },
        TaskQuery { enqueued, ..none() },
        TaskQuery { started, ..none() },
        TaskQuery { finished, ..none() },
    ];
    parts.iter().filter(|part| **part != none()).map(not_paged).collect()
}

impl Selection {
    fn and(&mut self, filter: Selection) {
        self.condition.extend([" AND (", &filter.condition, ")"]);
        self.arguments.extend(filter.arguments);
    }

    /// Some task of the batch `uid` matches.
    fn and_some_task(&mut self, filter: Selection, besides: &str) {
        self.condition.extend([
            " AND EXISTS (SELECT 1 FROM entries WHERE (id = uid OR canceled_by = uid) AND ",
            besides,
            &filter.condition,
            ")",
        ]);
        self.arguments.extend(filter.arguments);
    }
}

pub(super) fn batches(transaction: &Transaction<'_>, query: &TaskQuery) -> Result<BatchRecordPage, StoreError> {
    let Selection { condition, mut arguments } = matching(query);
    let total: i64 = transaction
        .prepare_cached(&format!("SELECT count(*) FROM ({condition})"))?
        .query_row(params_from_iter(arguments.iter()), |row| row.get(0))?;
    let (comparison, order) = if query.reverse { (">=", "ASC") } else { ("<=", "DESC") };
    let mut page = format!("SELECT uid FROM ({condition})");
    if let Some(from) = query.from {
        page.extend([" WHERE uid ", comparison, " ?"]);
        arguments.push(Value::Integer(i64::try_from(from).unwrap_or(i64::MAX)));
    }
    let limit = query.limit.saturating_add(1).min(i64::MAX as u64);
    let mut statement = transaction.prepare_cached(&format!("{page} ORDER BY uid {order} LIMIT {limit}"))?;
    let rows = statement.query_map(params_from_iter(arguments.iter()), |row| row.get::<_, i64>(0))?;
    let mut uids: Vec<i64> = rows.collect::<Result<_, _>>()?;
    let next = (uids.len() as u64 > query.limit).then(|| uids.pop()).flatten().map(|uid| EntryId(uid as u64));
    let batches = uids.into_iter().map(|uid| batch(transaction, uid)).collect::<Result<_, _>>()?;
    Ok(BatchRecordPage { batches, total: total as u64, next })
}

fn batch(transaction: &Transaction<'_>, uid: i64) -> Result<BatchRecord, StoreError> {
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entries WHERE is_deleted = 0 AND (id = ?1 OR canceled_by = ?1) ORDER BY id"
    ))?;
    let mut rows = statement.query(params![uid])?;
    let mut tasks = Vec::new();
    while let Some(row) = rows.next()? {
        tasks.push(record(row)?);
    }
    Ok(BatchRecord { uid: EntryId(uid as u64), tasks })
}
