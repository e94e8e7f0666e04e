//! Entries, their payloads and their place in the task list.

use std::collections::BTreeMap;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, params_from_iter};

use super::codes::status_code;
use super::payload_files::{PayloadFolder, StoredPayload, decode};
use super::{SqliteStore, decode_json, encode_json, renaming, task_query};
use crate::logic::entry::{Entry, Resolution};
use crate::logic::ids::{EntryId, IndexUid, NodeIndexUid, Timestamp};
use crate::logic::payload::Payload;
use crate::meili::tasks::{TaskQuery, TaskStatus};
use crate::store::{HeadChange, HeadRecord, StoreError, TaskRecord, TaskRecordPage};

/// What a [`TaskRecord`] is read from.
pub(super) const COLUMNS: &str = "body, started_at, resolution, outcome, is_deleted,
    (SELECT uid FROM lines WHERE number = line),
    CASE WHEN swapped IS NOT NULL THEN (SELECT json_group_array(uid) FROM
        (SELECT uid FROM json_each(swapped) AS place JOIN lines ON number = place.value ORDER BY place.key)) END";

impl SqliteStore {
    /// Files first and synced, then one transaction.
    pub(super) fn append_all(
        &self,
        entries: &[(Entry, Option<Payload>)],
        heads: &[HeadChange],
    ) -> Result<(), StoreError> {
        let due = self.read(next_entry)?;
        if let Some((first, _)) = entries.first()
            && first.id != due
        {
            // Before any file is written: it could be another entry's.
            return Err(StoreError::Refused(format!("entry {} appended where {due} is due", first.id)));
        }
        let mut stored = Vec::with_capacity(entries.len());
        for (entry, payload) in entries {
            stored.push(payload.as_ref().map(|payload| self.write_file(entry.id, payload)).transpose()?);
        }
        if stored.iter().flatten().any(|stored| !stored.is_inline()) {
            self.payloads.sync().map_err(|error| file_failed(&error))?;
        }
        self.write(|transaction| {
            let mut next = next_entry(transaction)?;
            for ((entry, payload), stored) in entries.iter().zip(&stored) {
                if entry.id != next {
                    return Err(StoreError::Refused(format!("entry {} appended where {next} is due", entry.id)));
                }
                insert_entry(transaction, entry, payload.as_ref())?;
                if let (Some(payload), Some(stored)) = (payload, stored) {
                    insert_payload(transaction, entry.id, payload, stored)?;
                }
                next = EntryId(next.0 + 1);
            }
            set_next_entry(transaction, next)?;
            save_heads(transaction, heads)
        })
    }

    /// Writes the resolution, and the payload that it brings, once.
    pub(super) fn resolve_once(
        &self,
        id: EntryId,
        resolution: &Resolution,
        payload: Option<&Payload>,
    ) -> Result<(), StoreError> {
        let record = self.read(|transaction| Ok(select(transaction, "id = ?1", id, 1)?.pop()))?;
        let refused = |what: &str| StoreError::Refused(format!("entry {id} {what}"));
        let mut record = record.ok_or_else(|| refused("does not exist"))?;
        if record.resolution.is_some() {
            return Err(refused("is resolved already"));
        }
        if payload.is_some() && self.read(|transaction| has_payload(transaction, id))? {
            return Err(refused("has a payload already"));
        }
        match resolution {
            Resolution::Ids { shards, .. } | Resolution::Existing { shards, .. } => {
                record.entry.shards.clone_from(shards);
            }
            Resolution::Edited { put, deleted, .. } => {
                record.entry.shards = put.iter().chain(deleted).copied().collect();
                record.entry.shards.sort_unstable();
                record.entry.shards.dedup();
            }
            Resolution::Count(_) | Resolution::Settings { .. } | Resolution::PrimaryKey { .. } => {}
            Resolution::Failed(_) => record.entry.shards.clear(),
        }
        let stored = payload.map(|payload| self.write_file(id, payload)).transpose()?;
        if stored.as_ref().is_some_and(|stored| !stored.is_inline()) {
            self.payloads.sync().map_err(|error| file_failed(&error))?;
        }
        self.write(|transaction| {
            let changed = transaction
                .prepare_cached(
                    "UPDATE entries SET resolution = ?2, body = ?3, payload_bytes = payload_bytes + ?4 WHERE id = ?1 AND resolution IS NULL",
                )?
                .execute(params![
                    id.0 as i64,
                    encode_json(resolution)?,
                    encode_json(&record.entry)?,
                    payload.map_or(0, |payload| payload.bytes.len() as i64)
                ])?;
            if changed == 0 {
                return Err(refused("is resolved already"));
            }
            if let (Some(payload), Some(stored)) = (payload, &stored) {
                insert_payload(transaction, id, payload, stored)?;
            }
            Ok(())
        })
    }

    fn write_file(&self, id: EntryId, payload: &Payload) -> Result<StoredPayload, StoreError> {
        let stored = StoredPayload::of(payload);
        if !stored.is_inline() {
            self.payloads.write(id, payload, &stored).map_err(|error| file_failed(&error))?;
        }
        Ok(stored)
    }
}

fn file_failed(error: &std::io::Error) -> StoreError {
    let text = format!("a payload file could not be written: {error}; check the space and rights of data_dir");
    let is_full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
    if is_full { StoreError::Full(text) } else { StoreError::Failed(text) }
}

fn insert_entry(transaction: &Transaction<'_>, entry: &Entry, payload: Option<&Payload>) -> Result<(), StoreError> {
    renaming::end_lines(transaction, entry)?;
    let line = entry.index.as_ref().map(|uid| renaming::line_of(transaction, entry.id, uid)).transpose()?;
    transaction
        .prepare_cached(
            "INSERT INTO entries (id, line, swapped, target, kind, status, enqueued_at, payload_bytes, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            entry.id.0 as i64,
            line,
            renaming::lines_of_swap(transaction, entry)?,
            entry.target.as_ref().map(NodeIndexUid::as_str),
            entry.operation.task_kind().name(),
            status_code(TaskStatus::Enqueued),
            entry.enqueued_at.0,
            payload.map_or(0, |payload| payload.bytes.len() as i64),
            encode_json(entry)?,
        ])?;
    Ok(())
}

fn insert_payload(
    transaction: &Transaction<'_>,
    id: EntryId,
    payload: &Payload,
    stored: &StoredPayload,
) -> Result<(), StoreError> {
    let inline = stored.is_inline();
    transaction
        .prepare_cached(
            "INSERT INTO payloads (entry, byte_count, checksum, sections, bytes) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            id.0 as i64,
            stored.byte_count as i64,
            stored.checksum.cast_signed(),
            inline.then_some(&stored.sections),
            inline.then_some(&payload.bytes[..]),
        ])?;
    Ok(())
}

fn save_heads(transaction: &Transaction<'_>, heads: &[HeadChange]) -> Result<(), StoreError> {
    for change in heads {
        match &change.head {
            Some(head) => transaction
                .prepare_cached("INSERT OR REPLACE INTO heads (uid, body) VALUES (?1, ?2)")?
                .execute(params![change.uid.as_str(), encode_json(head)?])?,
            None => {
                transaction.prepare_cached("DELETE FROM heads WHERE uid = ?1")?.execute(params![change.uid.as_str()])?
            }
        };
    }
    Ok(())
}

pub(super) fn heads(transaction: &Transaction<'_>) -> Result<BTreeMap<IndexUid, HeadRecord>, StoreError> {
    let mut statement = transaction.prepare("SELECT uid, body FROM heads")?;
    let mut rows = statement.query([])?;
    let mut heads = BTreeMap::new();
    while let Some(row) = rows.next()? {
        heads.insert(IndexUid::new(row.get::<_, String>(0)?), decode_json("head", &row.get::<_, String>(1)?)?);
    }
    Ok(heads)
}

fn has_payload(transaction: &Transaction<'_>, id: EntryId) -> Result<bool, StoreError> {
    let found: Option<i64> = transaction
        .prepare_cached("SELECT 1 FROM payloads WHERE entry = ?1")?
        .query_row([id.0 as i64], |row| row.get(0))
        .optional()?;
    Ok(found.is_some())
}

pub(super) fn next_entry(transaction: &Transaction<'_>) -> Result<EntryId, StoreError> {
    let text: String = transaction
        .prepare_cached("SELECT value FROM meta WHERE key = 'next_entry'")?
        .query_row([], |row| row.get(0))?;
    decode_json::<u64>("next entry", &text).map(EntryId)
}

pub(super) fn go_on_at(transaction: &Transaction<'_>, next: EntryId) -> Result<(), StoreError> {
    let due = next_entry(transaction)?;
    if next < due {
        return Err(StoreError::Refused(format!("the journal cannot go on at {next}: {due} is due")));
    }
    set_next_entry(transaction, next)
}

fn set_next_entry(transaction: &Transaction<'_>, next: EntryId) -> Result<(), StoreError> {
    transaction.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'next_entry'")?.execute([next.0.to_string()])?;
    Ok(())
}

/// Entries that meet `condition` (`?1` is `first`), oldest first.
pub(super) fn select(
    transaction: &Transaction<'_>,
    condition: &str,
    first: EntryId,
    limit: usize,
) -> Result<Vec<TaskRecord>, StoreError> {
    let mut statement =
        transaction.prepare_cached(&format!("SELECT {COLUMNS} FROM entries WHERE {condition} ORDER BY id LIMIT ?2"))?;
    let mut rows = statement.query(params![first.0 as i64, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(record(row)?);
    }
    Ok(records)
}

pub(super) fn select_of_index(
    transaction: &Transaction<'_>,
    index: &NodeIndexUid,
    first: EntryId,
    limit: usize,
) -> Result<Vec<TaskRecord>, StoreError> {
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entries WHERE target = ?1 AND id >= ?2 ORDER BY id LIMIT ?3"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![index.as_str(), first.0 as i64, limit])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(record(row)?);
    }
    Ok(records)
}

pub(super) fn record(row: &Row<'_>) -> Result<TaskRecord, StoreError> {
    let body: String = row.get(0)?;
    let resolution: Option<String> = row.get(2)?;
    let outcome: Option<String> = row.get(3)?;
    let mut entry: Entry = decode_json("journal entry", &body)?;
    // They follow their indexes when those get other names.
    entry.index = row.get::<_, Option<String>>(5)?.map(IndexUid::new);
    if let Some(names) = row.get::<_, Option<String>>(6)? {
        renaming::name_swaps(&mut entry, decode_json("names of a swap", &names)?);
    }
    Ok(TaskRecord {
        entry,
        started_at: row.get::<_, Option<i64>>(1)?.map(Timestamp),
        resolution: resolution.map(|text| decode_json("resolution", &text)).transpose()?,
        outcome: outcome.map(|text| decode_json("outcome", &text)).transpose()?,
        is_deleted: row.get(4)?,
    })
}

pub(super) fn payload(
    transaction: &Transaction<'_>,
    folder: &PayloadFolder,
    id: EntryId,
) -> Result<Option<Payload>, StoreError> {
    type Columns = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);
    let columns: Option<Columns> = transaction
        .prepare_cached("SELECT byte_count, checksum, sections, bytes FROM payloads WHERE entry = ?1")?
        .query_row([id.0 as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((byte_count, checksum, sections, bytes)) = columns else { return Ok(None) };
    let bytes = match (&sections, bytes) {
        (Some(_), bytes) => bytes.unwrap_or_default(),
        (None, _) => {
            folder.read(id).map_err(|error| StoreError::Damaged(format!("payload file of entry {id}: {error}")))?
        }
    };
    decode(id, Bytes::from(bytes), sections.as_deref(), byte_count as usize, checksum.cast_unsigned()).map(Some)
}

pub(super) fn tasks(transaction: &Transaction<'_>, query: &TaskQuery) -> Result<TaskRecordPage, StoreError> {
    let selection = task_query::not_paged(query);
    let total: i64 = transaction
        .prepare_cached(&format!("SELECT count(*) FROM entries WHERE {}", selection.condition))?
        .query_row(params_from_iter(selection.arguments.iter()), |row| row.get(0))?;
    let page = selection.page(query);
    let order = if query.reverse { "ASC" } else { "DESC" };
    let limit = query.limit.saturating_add(1).min(i64::MAX as u64);
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entries WHERE {} ORDER BY id {order} LIMIT {limit}",
        page.condition
    ))?;
    let mut rows = statement.query(params_from_iter(page.arguments.iter()))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(record(row)?);
    }
    let next = (records.len() as u64 > query.limit).then(|| records.pop()).flatten().map(|record| record.entry.id);
    Ok(TaskRecordPage { records, total: total as u64, next })
}

/// In one query: with pages, every page would sort all that match.
pub(super) fn matching_tasks(transaction: &Transaction<'_>, query: &TaskQuery) -> Result<Vec<EntryId>, StoreError> {
    let selection = task_query::not_paged(query);
    let mut statement =
        transaction.prepare_cached(&format!("SELECT id FROM entries WHERE {} ORDER BY id", selection.condition))?;
    let rows = statement.query_map(params_from_iter(selection.arguments.iter()), |row| row.get::<_, i64>(0))?;
    Ok(rows.map(|row| row.map(|id| EntryId(id as u64))).collect::<Result<_, _>>()?)
}

/// Both counts go over an index alone.
pub(super) fn task_count(transaction: &Transaction<'_>) -> Result<u64, StoreError> {
    let count: i64 = transaction
        .prepare_cached("SELECT (SELECT count(*) FROM entries) - (SELECT count(*) FROM entries WHERE is_deleted = 1)")?
        .query_row([], |row| row.get(0))?;
    Ok(count as u64)
}

pub(super) fn oldest_ended(transaction: &Transaction<'_>, limit: usize) -> Result<Vec<EntryId>, StoreError> {
    let mut statement = transaction
        .prepare_cached("SELECT id FROM entries WHERE outcome IS NOT NULL AND is_deleted = 0 ORDER BY id LIMIT ?1")?;
    let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get::<_, i64>(0))?;
    Ok(rows.map(|row| row.map(|id| EntryId(id as u64))).collect::<Result<_, _>>()?)
}

pub(super) fn delete_tasks(transaction: &Transaction<'_>, ids: &[EntryId]) -> Result<u64, StoreError> {
    let mut statement = transaction
        .prepare_cached("UPDATE entries SET is_deleted = 1 WHERE id = ?1 AND outcome IS NOT NULL AND is_deleted = 0")?;
    let mut deleted = 0;
    for id in ids {
        deleted += statement.execute([id.0 as i64])? as u64;
    }
    Ok(deleted)
}

/// Entries whose payload is in a file.
pub(super) fn entries_with_files(connection: &Connection) -> rusqlite::Result<Vec<EntryId>> {
    let mut statement = connection.prepare("SELECT entry FROM payloads WHERE sections IS NULL")?;
    let rows = statement.query_map([], |row| row.get::<_, i64>(0))?;
    rows.map(|row| row.map(|id| EntryId(id as u64))).collect()
}
