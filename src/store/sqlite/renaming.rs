//! What the indexes of tasks are called: when clients' names change places, those of all earlier tasks do so too.
//!
//! However many tasks there are, that must not take long. So a task does not carry the name of its index but a *line*: all
//! tasks of one line always have the same name, which is written down once, beside them. A renaming ends the lines of its
//! names when it is journalled, so that what comes after it is in others; when its time comes, the lines from before it
//! get their new names.

use rusqlite::{OptionalExtension, Transaction, params};

use super::decode_json;
use crate::logic::entry::{Entry, Operation};
use crate::logic::ids::{EntryId, IndexUid};
use crate::store::StoreError;

/// The line of a new task of this index.
pub(super) fn line_of(transaction: &Transaction<'_>, entry: EntryId, uid: &IndexUid) -> Result<i64, StoreError> {
    let open: Option<i64> = transaction
        .prepare_cached("SELECT number FROM lines WHERE uid = ?1 AND is_open = 1")?
        .query_row([uid.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(number) = open {
        return Ok(number);
    }
    transaction
        .prepare_cached("INSERT INTO lines (uid, first, is_open) VALUES (?1, ?2, 1)")?
        .execute(params![uid.as_str(), entry.0 as i64])?;
    Ok(transaction.last_insert_rowid())
}

/// To be called before the entry gets its line: what was before it, and is renamed by it, ends here.
pub(super) fn end_lines(transaction: &Transaction<'_>, entry: &Entry) -> Result<(), StoreError> {
    for (left, right) in entry.exchanged_names() {
        transaction
            .prepare_cached("UPDATE lines SET is_open = 0 WHERE uid IN (?1, ?2) AND is_open = 1")?
            .execute([left.as_str(), right.as_str()])?;
    }
    Ok(())
}

/// The lines of the names in a swap, which later renamings change, too; none for other entries.
pub(super) fn lines_of_swap(transaction: &Transaction<'_>, entry: &Entry) -> Result<Option<String>, StoreError> {
    let Operation::SwapIndexes { swaps, .. } = &entry.operation else { return Ok(None) };
    let mut lines = Vec::with_capacity(swaps.len() * 2);
    for swap in swaps {
        lines.push(line_of(transaction, entry.id, &swap.indexes.0)?);
        lines.push(line_of(transaction, entry.id, &swap.indexes.1)?);
    }
    Ok(Some(serde_json::Value::from(lines).to_string()))
}

/// The swap with its names as they are now, in the order of [`lines_of_swap`].
pub(super) fn name_swaps(entry: &mut Entry, names: Vec<IndexUid>) {
    let Operation::SwapIndexes { swaps, .. } = &mut entry.operation else { return };
    let mut names = names.into_iter();
    for swap in swaps {
        if let (Some(left), Some(right)) = (names.next(), names.next()) {
            swap.indexes = (left, right);
        }
    }
}

/// Once for an entry: what is asked for again after a crash would bring the old names back.
pub(super) fn rename_tasks(
    transaction: &Transaction<'_>,
    entry: EntryId,
    exchanged: &[(IndexUid, IndexUid)],
) -> Result<(), StoreError> {
    let id = entry.0 as i64;
    let is_due = transaction
        .prepare_cached("UPDATE entries SET is_renamed = 1 WHERE id = ?1 AND is_renamed = 0")?
        .execute([id])?;
    if is_due == 0 {
        return Ok(());
    }
    for (left, right) in exchanged {
        transaction
            .prepare_cached(
                "UPDATE lines SET uid = CASE uid WHEN ?2 THEN ?3 ELSE ?2 END WHERE first < ?1 AND uid IN (?2, ?3)",
            )?
            .execute(params![id, left.as_str(), right.as_str()])?;
    }
    Ok(())
}

/// Gives the tasks of a store of schema 4 their lines. What was renamed there has its new name.
pub(super) fn bring_to_lines(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let mut statement = transaction.prepare(
        "SELECT id, index_uid, outcome IS NULL, CASE WHEN kind IN ('indexSwap', 'indexUpdate') THEN body END
         FROM entries ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = EntryId(row.get::<_, i64>(0)? as u64);
        let body = row.get::<_, Option<String>>(3)?;
        let entry: Option<Entry> = body.map(|body| decode_json("journal entry", &body)).transpose()?;
        if let Some(entry) = entry.as_ref().filter(|_| matches!(row.get(2), Ok(true))) {
            end_lines(transaction, entry)?;
        }
        let uid = row.get::<_, Option<String>>(1)?.map(IndexUid::new);
        let line = uid.map(|uid| line_of(transaction, id, &uid)).transpose()?;
        let swapped = entry.as_ref().map(|entry| lines_of_swap(transaction, entry)).transpose()?.flatten();
        transaction.prepare_cached("UPDATE entries SET line = ?2, swapped = ?3 WHERE id = ?1")?.execute(params![
            id.0 as i64,
            line,
            swapped
        ])?;
    }
    Ok(())
}
