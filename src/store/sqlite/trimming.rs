//! Removing what nobody needs any more: payloads of ended entries, and the rows of those that were deleted from the task list.
//!
//! What goes is looked for beside the writer, index by index, and removed in small transactions, so that whoever writes waits
//! for one of them at most. Within an index what is older goes first, payloads before rows: where there is a payload,
//! nothing after it was trimmed ([`first_payload`]). The space that becomes free in the database is used again; its file
//! becomes smaller only when it is asked to ([`compact`]).

use std::path::Path;
use std::{fs, io};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::SqliteStore;
use crate::logic::feeder::Needed;
use crate::logic::ids::{EntryId, NodeIndexUid};
use crate::store::{Compaction, StoreError};

/// Entries trimmed in one transaction.
const AT_ONCE: i64 = 200;

/// What is removed of an entry, with the condition for it.
#[derive(Clone, Copy)]
enum What {
    Payload,
    Row,
}

impl What {
    /// Those that have it.
    fn condition(self) -> &'static str {
        match self {
            Self::Payload => "payload_bytes > 0",
            Self::Row => "is_deleted = 1",
        }
    }
}

impl SqliteStore {
    pub(super) fn trim_all(&self, needed: &Needed, may_go_on: &dyn Fn() -> bool) -> Result<u64, StoreError> {
        let (mut payloads, mut rows) = (0, 0);
        let mut index = None;
        while may_go_on() {
            let from = needed.from_of(index.as_ref());
            payloads += self.trim_index(What::Payload, index.as_ref(), from, may_go_on)?;
            rows += self.trim_index(What::Row, index.as_ref(), from, may_go_on)?;
            index = self.read(|transaction| next_index(transaction, index.as_ref()))?;
            if index.is_none() {
                break;
            }
        }
        if rows > 0 {
            self.write(|transaction| remove_lines(transaction, needed.from_of_others))?;
        }
        Ok(payloads + rows)
    }

    fn trim_index(
        &self,
        what: What,
        index: Option<&NodeIndexUid>,
        from: EntryId,
        may_go_on: &dyn Fn() -> bool,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        while may_go_on() {
            let found = self.read(|transaction| find(transaction, what, index, from))?;
            if found.is_empty() {
                break;
            }
            let files = self.write(|transaction| remove(transaction, what, &found))?;
            self.payloads.remove(&files);
            count += found.len() as u64;
        }
        Ok(count)
    }
}

/// The next index, in no order that means anything, of which there may be something to remove.
fn next_index(transaction: &Transaction<'_>, after: Option<&NodeIndexUid>) -> Result<Option<NodeIndexUid>, StoreError> {
    let mut next: Option<String> = None;
    for what in [What::Payload, What::Row] {
        let condition = what.condition();
        let found: Option<String> = transaction
            .prepare_cached(&format!(
                "SELECT target FROM entries WHERE {condition} AND target > ?1 ORDER BY target LIMIT 1"
            ))?
            .query_row([after.map_or("", NodeIndexUid::as_str)], |row| row.get(0))
            .optional()?;
        next = next.into_iter().chain(found).min();
    }
    Ok(next.map(NodeIndexUid::new))
}

fn find(
    transaction: &Transaction<'_>,
    what: What,
    index: Option<&NodeIndexUid>,
    from: EntryId,
) -> Result<Vec<EntryId>, StoreError> {
    let condition = what.condition();
    let besides = match what {
        What::Payload => "",
        // Webhooks are to be told of it.
        What::Row => "AND NOT EXISTS (SELECT 1 FROM unannounced WHERE entry = id)",
    };
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT id FROM entries WHERE {condition} AND target IS ?1 AND id < ?2 AND outcome IS NOT NULL {besides}
         ORDER BY id LIMIT {AT_ONCE}"
    ))?;
    let rows =
        statement.query_map(params![index.map(NodeIndexUid::as_str), from.0 as i64], |row| row.get::<_, i64>(0))?;
    Ok(rows.map(|row| row.map(|id| EntryId(id as u64))).collect::<Result<_, _>>()?)
}

/// Returns the entries whose files may go after the commit.
fn remove(transaction: &Transaction<'_>, what: What, entries: &[EntryId]) -> Result<Vec<EntryId>, StoreError> {
    let mut files = Vec::new();
    for &entry in entries {
        let id = entry.0 as i64;
        match what {
            What::Payload => {
                let is_file: Option<bool> = transaction
                    .prepare_cached("DELETE FROM payloads WHERE entry = ?1 RETURNING sections IS NULL")?
                    .query_row([id], |row| row.get(0))
                    .optional()?;
                files.extend(is_file.filter(|is_file| *is_file).map(|_| entry));
                transaction.prepare_cached("UPDATE entries SET payload_bytes = 0 WHERE id = ?1")?.execute([id])?;
            }
            What::Row => {
                // One without a single byte may be left.
                for sql in ["DELETE FROM payloads WHERE entry = ?1", "DELETE FROM entries WHERE id = ?1"] {
                    transaction.prepare_cached(sql)?.execute([id])?;
                }
            }
        }
    }
    Ok(files)
}

/// Names that no task goes by any more. Swaps name lines that may have no task.
fn remove_lines(transaction: &Transaction<'_>, below: EntryId) -> Result<(), StoreError> {
    transaction
        .prepare_cached(
            "DELETE FROM lines WHERE first < ?1 AND NOT EXISTS (SELECT 1 FROM entries WHERE line = lines.number)
             AND number NOT IN (SELECT named.value FROM entries, json_each(swapped) AS named WHERE swapped IS NOT NULL)",
        )?
        .execute([below.0 as i64])?;
    Ok(())
}

pub(super) fn first_payload(
    transaction: &Transaction<'_>,
    index: &NodeIndexUid,
) -> Result<Option<EntryId>, StoreError> {
    let first: Option<i64> = transaction
        .prepare_cached("SELECT id FROM entries WHERE payload_bytes > 0 AND target = ?1 ORDER BY id LIMIT 1")?
        .query_row([index.as_str()], |row| row.get(0))
        .optional()?;
    Ok(first.map(|id| EntryId(id as u64)))
}

/// Writes the database anew, and empties the log. A reader that is under way keeps the old pages: then the file becomes smaller
/// at a later checkpoint.
pub(super) fn compact(writer: &Connection, path: &Path) -> Result<Compaction, StoreError> {
    let before = size(path)?;
    writer.execute_batch("VACUUM")?;
    writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(Compaction { before, after: size(path)? })
}

/// The database with its log, in bytes.
fn size(path: &Path) -> Result<u64, StoreError> {
    let failed = |error: io::Error| StoreError::Failed(format!("{}: {error}", path.display()));
    let log = path.with_extension("db-wal");
    let log = fs::metadata(log).map_or(0, |found| found.len());
    Ok(fs::metadata(path).map_err(failed)?.len() + log)
}
