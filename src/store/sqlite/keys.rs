//! API keys: one row each, the record as JSON.

use rusqlite::{Transaction, params};

use super::{decode_json, encode_json};
use crate::meili::keys::ApiKey;
use crate::store::{KeyChanges, StoreError};

pub(super) fn all(transaction: &Transaction<'_>) -> Result<Vec<ApiKey>, StoreError> {
    let mut statement = transaction.prepare_cached("SELECT body FROM keys ORDER BY uid")?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(decode_json("a key", &row.get::<_, String>(0)?)?);
    }
    Ok(keys)
}

pub(super) fn change(transaction: &Transaction<'_>, changes: &KeyChanges) -> Result<(), StoreError> {
    for uid in &changes.removed {
        transaction.prepare_cached("DELETE FROM keys WHERE uid = ?1")?.execute([uid.to_string()])?;
    }
    for key in &changes.written {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO keys (uid, body) VALUES (?1, ?2)")?
            .execute(params![key.uid.to_string(), encode_json(key)?])?;
    }
    Ok(())
}
