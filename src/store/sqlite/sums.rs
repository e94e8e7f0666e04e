//! Checksums of rows: what has become of the bytes of a row on the disk, SQLite does not see, and one other bit makes an entry
//! another one.
//!
//! Every row carries a checksum of its columns, which triggers write. They are compared when the store is opened, before
//! anything is done by what it says. Payloads have checksums of their own, over what may be in a file.

use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Transaction};
use xxhash_rust::xxh3::Xxh3;

use super::payload_files::{PayloadFolder, decode};
use crate::logic::ids::EntryId;
use crate::store::StoreError;

/// The tables with checksums: all but the payloads.
const TABLES: [&str; 17] = [
    "meta",
    "entries",
    "watermarks",
    "next_tasks",
    "out_of_sync",
    "needs_rebuild",
    "verdicts",
    "decisions",
    "heads",
    "indexes",
    "nodes",
    "jobs",
    "joins",
    "bootstraps",
    "keys",
    "unannounced",
    "lines",
];

/// Makes `row_sum` known to a connection: without it nothing can be written.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("row_sum", -1, flags, |context| {
        let mut hash = Xxh3::new();
        for place in 0..context.len() {
            add(&mut hash, context.get_raw(place));
        }
        Ok(hash.digest().cast_signed())
    })
}

/// With its kind and its length, so that no two rows are written the same way.
fn add(hash: &mut Xxh3, value: ValueRef<'_>) {
    let mut part = |kind: u8, bytes: &[u8]| {
        hash.update(&[kind]);
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    match value {
        ValueRef::Null => part(0, &[]),
        ValueRef::Integer(number) => part(1, &number.to_le_bytes()),
        ValueRef::Real(number) => part(2, &number.to_bits().to_le_bytes()),
        ValueRef::Text(text) => part(3, text),
        ValueRef::Blob(bytes) => part(4, bytes),
    }
}

/// Gives all tables their checksums, and the triggers that write them from now on.
pub(super) fn add_to_all(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    for table in TABLES {
        let columns = columns(transaction, table)?;
        let listed = |prefix: &str, columns: &[(String, bool)]| {
            columns.iter().map(|(name, _)| format!("{prefix}\"{name}\"")).collect::<Vec<_>>().join(", ")
        };
        let (own, new) = (listed("", &columns), listed("NEW.", &columns));
        let keys = columns.iter().filter(|(_, is_key)| *is_key).map(|(name, _)| format!("\"{name}\" = NEW.\"{name}\""));
        let row = keys.collect::<Vec<_>>().join(" AND ");
        let write = format!("BEGIN UPDATE {table} SET sum = row_sum({new}) WHERE {row}; END;");
        transaction.execute_batch(&format!(
            "ALTER TABLE {table} ADD COLUMN sum INTEGER;
             UPDATE {table} SET sum = row_sum({own});
             CREATE TRIGGER {table}_inserted AFTER INSERT ON {table} {write}
             CREATE TRIGGER {table}_updated AFTER UPDATE OF {own} ON {table} {write}"
        ))?;
    }
    Ok(())
}

/// The columns of a table that its checksum is of; true for those of its key.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<(String, bool)>> {
    let mut statement =
        connection.prepare("SELECT name, pk > 0 FROM pragma_table_info(?1) WHERE name <> 'sum' ORDER BY cid")?;
    let columns = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    columns.collect()
}

/// All rows are as they were written.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    for table in TABLES {
        let columns = columns(connection, table)?;
        let listed = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let sql = format!("SELECT count(*) FROM {table} WHERE sum IS NOT row_sum({listed})");
        expect_none(connection, &sql, &format!("rows of the table {table} are not as they were written"))?;
    }
    Ok(())
}

/// All payloads are there; those in the database as they were written, those in files with all their bytes. What is in the
/// files is compared when it is read.
pub(super) fn check_payloads(connection: &Connection, folder: &PayloadFolder) -> Result<(), StoreError> {
    let lost = "SELECT count(*) FROM entries WHERE payload_bytes > 0
                AND NOT EXISTS (SELECT 1 FROM payloads WHERE entry = entries.id)";
    expect_none(connection, lost, "entries lack their payloads")?;
    let strange = "SELECT count(*) FROM payloads WHERE NOT EXISTS (SELECT 1 FROM entries WHERE id = payloads.entry)";
    expect_none(connection, strange, "payloads belong to no entry")?;
    let mut statement = connection.prepare("SELECT entry, byte_count, checksum, sections, bytes FROM payloads")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (entry, byte_count) = (EntryId(row.get::<_, i64>(0)? as u64), row.get::<_, i64>(1)? as u64);
        if let Some(sections) = row.get::<_, Option<Vec<u8>>>(3)? {
            let bytes = row.get::<_, Option<Vec<u8>>>(4)?.unwrap_or_default();
            let checksum = row.get::<_, i64>(2)?.cast_unsigned();
            decode(entry, bytes.into(), Some(&sections), byte_count as usize, checksum)?;
            continue;
        }
        let length = folder.length(entry).map_err(|error| damaged(&format!("payload of entry {entry}: {error}")))?;
        if length < byte_count {
            return Err(damaged(&format!("payload of entry {entry}: its file is too short")));
        }
    }
    Ok(())
}

fn expect_none(connection: &Connection, sql: &str, what: &str) -> Result<(), StoreError> {
    match connection.query_row(sql, [], |row| row.get::<_, i64>(0))? {
        0 => Ok(()),
        count => Err(damaged(&format!("{count} {what}"))),
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}
