//! Tasks under other names: when clients' names of indexes change places, those of all earlier tasks do so too.

use rusqlite::{Transaction, params};

use super::{decode_json, encode_json};
use crate::logic::entry::{Entry, Operation};
use crate::logic::ids::{EntryId, IndexUid};
use crate::store::StoreError;

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
                "UPDATE entries SET index_uid = CASE index_uid WHEN ?2 THEN ?3 ELSE ?2 END
                 WHERE id < ?1 AND index_uid IN (?2, ?3)",
            )?
            .execute(params![id, left.as_str(), right.as_str()])?;
    }
    rename_swaps(transaction, id, exchanged)
}

/// Swaps of before name the indexes as they are called now, too.
fn rename_swaps(
    transaction: &Transaction<'_>,
    before: i64,
    exchanged: &[(IndexUid, IndexUid)],
) -> Result<(), StoreError> {
    let mut statement =
        transaction.prepare_cached("SELECT id, body FROM entries WHERE kind = 'indexSwap' AND id < ?1")?;
    let rows = statement.query_map([before], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    let rows: Vec<(i64, String)> = rows.collect::<Result<_, _>>()?;
    let renamed = |uid: &IndexUid| {
        let pair = exchanged.iter().find(|(left, right)| uid == left || uid == right);
        pair.map_or_else(|| uid.clone(), |(left, right)| if uid == left { right.clone() } else { left.clone() })
    };
    for (id, body) in rows {
        let mut entry: Entry = decode_json("journal entry", &body)?;
        let Operation::SwapIndexes { swaps, .. } = &mut entry.operation else { continue };
        for swap in swaps {
            swap.indexes = (renamed(&swap.indexes.0), renamed(&swap.indexes.1));
        }
        let changed = encode_json(&entry)?;
        if changed != body {
            transaction.prepare_cached("UPDATE entries SET body = ?2 WHERE id = ?1")?.execute(params![id, changed])?;
        }
    }
    Ok(())
}
