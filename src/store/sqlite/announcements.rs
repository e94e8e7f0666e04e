//! Webhooks, and the ended entries that they are to be told of.

use rusqlite::{Transaction, params};

use super::{meta, save_meta};
use crate::logic::ids::EntryId;
use crate::meili::webhooks::Webhooks;
use crate::store::StoreError;

const KEY: &str = "webhooks";

pub(super) fn save_webhooks(transaction: &Transaction<'_>, webhooks: &Webhooks) -> Result<(), StoreError> {
    if webhooks.is_empty() {
        transaction.prepare_cached("DELETE FROM unannounced")?.execute([])?;
        transaction.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([KEY])?;
        return Ok(());
    }
    save_meta(transaction, KEY, webhooks)
}

/// Notes ended entries, if there is anybody to tell.
pub(super) fn note(
    transaction: &Transaction<'_>,
    ended: impl ExactSizeIterator<Item = EntryId>,
) -> Result<(), StoreError> {
    if ended.len() == 0 || meta::<Webhooks>(transaction, KEY)?.is_none() {
        return Ok(());
    }
    let mut statement = transaction.prepare_cached("INSERT OR IGNORE INTO unannounced (entry) VALUES (?1)")?;
    for entry in ended {
        statement.execute([entry.0 as i64])?;
    }
    Ok(())
}

pub(super) fn unannounced(transaction: &Transaction<'_>, limit: usize) -> Result<Vec<EntryId>, StoreError> {
    let mut statement = transaction.prepare_cached("SELECT entry FROM unannounced ORDER BY entry LIMIT ?1")?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![limit], |row| row.get::<_, i64>(0))?;
    Ok(rows.map(|row| row.map(|entry| EntryId(entry as u64))).collect::<Result<_, _>>()?)
}

pub(super) fn announced(transaction: &Transaction<'_>, entries: &[EntryId]) -> Result<(), StoreError> {
    let mut statement = transaction.prepare_cached("DELETE FROM unannounced WHERE entry = ?1")?;
    for entry in entries {
        statement.execute([entry.0 as i64])?;
    }
    Ok(())
}
