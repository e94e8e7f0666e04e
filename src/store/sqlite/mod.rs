//! The store on SQLite: one database file and a folder of large payloads under the data folder.
//!
//! Invariants: one process per data folder (a lock file); every change is one transaction and on disk when the call
//! returns (write-ahead log, `synchronous = FULL`); readers never wait for the writer, since each has a connection of
//! its own; outcomes, resolutions and decisions are written once, checked inside the transaction that writes them.

mod announcements;
mod backup;
mod batches;
mod codes;
mod journal;
mod keys;
mod payload_files;
mod protocol;
mod renaming;
mod schema;
mod sums;
mod task_query;
#[cfg(test)]
mod tests;
mod topology;
mod trimming;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{
    BacklogSize, BackupRecord, BatchRecordPage, ClusterRecord, Compaction, HeadChange, HeadRecord, IndexRecord,
    KeyChanges, ProtocolDelta, ProtocolState, Store, StoreError, TaskRecord, TaskRecordPage,
};
use crate::logic::entry::{Entry, Resolution};
use crate::logic::feeder::Needed;
use crate::logic::ids::{EntryId, IndexUid, NodeIndexUid};
use crate::logic::payload::Payload;
use crate::meili::keys::ApiKey;
use crate::meili::tasks::TaskQuery;
use crate::meili::webhooks::Webhooks;
pub use backup::{BackupError, check as check_backup, restore as restore_backup};
use payload_files::PayloadFolder;

/// Idle reader connections that are kept.
const READERS_MAX: usize = 4;

/// Why a data folder cannot be used. Each message names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No right to write, no space, not a folder …
    #[error(
        "data_dir {path} cannot be used: {source}; it must be a folder that this user may create files in: fix its owner \
         and rights, or set data_dir to another folder"
    )]
    NotUsable {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the lock.
    #[error(
        "data_dir {path} is in use by another miroir process: stop that one, or give this one a data_dir of its own"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// Written by a newer program.
    #[error(
        "{path} was written by a newer miroir (schema {found}, this one knows up to {known}): start the newer version, \
         or restore a backup made before the upgrade"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A database of something else.
    #[error("{path} is a database, but not miroir's: set data_dir to another folder")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Not readable as what it should be.
    #[error(
        "{path} is damaged ({detail}): stop miroir, check the disk, and restore data_dir from a backup; the nodes' \
         documents are not affected"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// The rest.
    #[error("{path} cannot be opened: {detail}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
}

impl OpenError {
    fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Damaged { path, detail: error.to_string() }
            }
            Some(
                rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::PermissionDenied,
            ) => Self::NotUsable { path, source: io::Error::other(error.to_string()) },
            Some(_) | None => Self::Failed { path, detail: error.to_string() },
        }
    }

    fn from_store(path: &Path, error: StoreError) -> Self {
        let path = path.to_owned();
        match error {
            StoreError::Damaged(detail) => Self::Damaged { path, detail },
            StoreError::Failed(detail) | StoreError::Full(detail) | StoreError::Refused(detail) => {
                Self::Failed { path, detail }
            }
        }
    }
}

/// A connection to a store beside the one that has it open, for tests that meddle with it: whoever writes there must write
/// the checksums of rows, too.
pub fn connect(data_dir: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(data_dir.join("miroir.db"))?;
    schema::configure(&connection)?;
    Ok(connection)
}

/// See the module.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    payloads: PayloadFolder,
    /// Held as long as the store is open.
    _lock: File,
}

impl SqliteStore {
    /// Opens the data folder, or makes a new one.
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        let not_usable = |source| OpenError::NotUsable { path: data_dir.to_owned(), source };
        fs::create_dir_all(data_dir).map_err(not_usable)?;
        let mut lock = lock(data_dir)?;
        let was_here = lock.metadata().map_err(not_usable)?.len() > 0;
        let payloads = PayloadFolder::open(data_dir).map_err(not_usable)?;
        let path = data_dir.join("miroir.db");
        if was_here && fs::metadata(&path).map_or(true, |found| found.len() == 0) {
            // SQLite would make a new one, and delete what is left of the old one.
            return Err(OpenError::Damaged { path, detail: "it is empty or missing, and was not before".to_owned() });
        }
        let mut writer = Connection::open(&path).map_err(|error| OpenError::from_sqlite(&path, &error))?;
        schema::prepare(&mut writer, &path)?;
        if !was_here {
            lock.write_all(WAS_HERE.as_bytes()).and_then(|()| lock.sync_all()).map_err(not_usable)?;
        }
        sums::check_payloads(&writer, &payloads).map_err(|error| OpenError::from_store(&path, error))?;
        let files = journal::entries_with_files(&writer).map_err(|error| OpenError::from_sqlite(&path, &error))?;
        let orphans = payloads.remove_orphans(&payloads.paths(&files)).map_err(not_usable)?;
        if orphans > 0 {
            tracing::info!(orphans, "removed payload files of writes that were never committed");
        }
        Ok(Self { path, writer: Mutex::new(writer), readers: Mutex::new(Vec::new()), payloads, _lock: lock })
    }

    /// One transaction; nothing is changed when `change` fails.
    fn write<T>(&self, change: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut writer = self.writer.lock();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = change(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// One consistent view, beside the writer.
    fn read<T>(&self, query: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.readers.lock().pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => self.open_reader()?,
        };
        let value = {
            let transaction = reader.transaction()?;
            query(&transaction)?
        };
        let mut readers = self.readers.lock();
        if readers.len() < READERS_MAX {
            readers.push(reader);
        }
        Ok(value)
    }

    fn open_reader(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.path)?;
        schema::configure(&connection)?;
        connection.pragma_update(None, "query_only", "ON")?;
        Ok(connection)
    }
}

fn lock(data_dir: &Path) -> Result<File, OpenError> {
    let path = data_dir.join("lock");
    let not_usable = |source| OpenError::NotUsable { path: data_dir.to_owned(), source };
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(not_usable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: data_dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(not_usable(source)),
    }
}

/// What the lock file says from the first start on, so that a lost or emptied database is not taken for a new folder.
const WAS_HERE: &str = "Miroir keeps its data here. To begin anew, empty the whole folder.\n";

const RESTORE: &str = "stop miroir, check the disk, and restore data_dir from a backup";

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Damaged(format!("{error}; {RESTORE}"))
            }
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full(format!("{error}; make space on the disk of data_dir")),
            Some(_) | None => Self::Failed(error.to_string()),
        }
    }
}

/// A stored JSON text that must be readable, since this program wrote it.
fn decode_json<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged(format!("{what}: {error}; {RESTORE}")))
}

fn encode_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed(error.to_string()))
}

/// A value of which there is one.
fn meta<T: serde::de::DeserializeOwned>(transaction: &Transaction<'_>, key: &str) -> Result<Option<T>, StoreError> {
    let text: Option<String> = transaction
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    text.map(|text| decode_json(key, &text)).transpose()
}

fn save_meta<T: serde::Serialize>(transaction: &Transaction<'_>, key: &str, value: &T) -> Result<(), StoreError> {
    transaction
        .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute(params![key, encode_json(value)?])?;
    Ok(())
}

impl Store for SqliteStore {
    fn append(&self, entries: &[(Entry, Option<Payload>)], heads: &[HeadChange]) -> Result<(), StoreError> {
        self.append_all(entries, heads)
    }

    fn heads(&self) -> Result<BTreeMap<IndexUid, HeadRecord>, StoreError> {
        self.read(journal::heads)
    }

    fn next_entry(&self) -> Result<EntryId, StoreError> {
        self.read(journal::next_entry)
    }

    fn index_entries_from(
        &self,
        index: &NodeIndexUid,
        first: EntryId,
        limit: usize,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        self.read(|transaction| journal::select_of_index(transaction, index, first, limit))
    }

    fn unreported_from(&self, first: EntryId, limit: usize) -> Result<Vec<TaskRecord>, StoreError> {
        self.read(|transaction| journal::select(transaction, "outcome IS NULL AND id >= ?1", first, limit))
    }

    fn entry(&self, id: EntryId) -> Result<Option<TaskRecord>, StoreError> {
        self.read(|transaction| Ok(journal::select(transaction, "id = ?1", id, 1)?.pop()))
    }

    fn payload(&self, id: EntryId) -> Result<Option<Payload>, StoreError> {
        self.read(|transaction| journal::payload(transaction, &self.payloads, id))
    }

    fn tasks(&self, query: &TaskQuery) -> Result<TaskRecordPage, StoreError> {
        self.read(|transaction| journal::tasks(transaction, query))
    }

    fn batches(&self, query: &TaskQuery) -> Result<BatchRecordPage, StoreError> {
        self.read(|transaction| batches::batches(transaction, query))
    }

    fn matching_tasks(&self, query: &TaskQuery) -> Result<Vec<EntryId>, StoreError> {
        self.read(|transaction| journal::matching_tasks(transaction, query))
    }

    fn task_count(&self) -> Result<u64, StoreError> {
        self.read(journal::task_count)
    }

    fn oldest_ended(&self, limit: usize) -> Result<Vec<EntryId>, StoreError> {
        self.read(|transaction| journal::oldest_ended(transaction, limit))
    }

    fn delete_tasks(&self, ids: &[EntryId]) -> Result<u64, StoreError> {
        self.write(|transaction| journal::delete_tasks(transaction, ids))
    }

    fn trim(&self, needed: &Needed, may_go_on: &dyn Fn() -> bool) -> Result<u64, StoreError> {
        self.trim_all(needed, may_go_on)
    }

    fn compact(&self) -> Result<Compaction, StoreError> {
        let writer = self.writer.lock();
        trimming::compact(&writer, &self.path)
    }

    fn first_payload(&self, index: &NodeIndexUid) -> Result<Option<EntryId>, StoreError> {
        self.read(|transaction| trimming::first_payload(transaction, index))
    }

    fn resolve(&self, id: EntryId, resolution: &Resolution, payload: Option<&Payload>) -> Result<(), StoreError> {
        self.resolve_once(id, resolution, payload)
    }

    fn protocol_state(&self) -> Result<ProtocolState, StoreError> {
        self.read(protocol::state)
    }

    fn indexes(&self) -> Result<Vec<IndexRecord>, StoreError> {
        self.read(protocol::indexes)
    }

    fn commit(&self, delta: &ProtocolDelta) -> Result<(), StoreError> {
        if delta.is_empty() {
            return Ok(());
        }
        self.write(|transaction| protocol::apply(transaction, delta))
    }

    fn backlog(&self) -> Result<BacklogSize, StoreError> {
        self.read(|transaction| {
            let (entries, bytes): (i64, i64) = transaction
                .prepare_cached(
                    "SELECT count(*), coalesce(sum(payload_bytes + octet_length(body)
                     + coalesce(octet_length(resolution), 0)), 0) FROM entries WHERE outcome IS NULL",
                )?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(BacklogSize { entries: entries as u64, bytes: bytes as u64 })
        })
    }

    fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.read(keys::all)
    }

    fn change_keys(&self, changes: &KeyChanges) -> Result<(), StoreError> {
        self.write(|transaction| keys::change(transaction, changes))
    }

    fn webhooks(&self) -> Result<Webhooks, StoreError> {
        self.read(|transaction| Ok(meta(transaction, "webhooks")?.unwrap_or_default()))
    }

    fn save_webhooks(&self, webhooks: &Webhooks) -> Result<(), StoreError> {
        self.write(|transaction| announcements::save_webhooks(transaction, webhooks))
    }

    fn unannounced(&self, limit: usize) -> Result<Vec<EntryId>, StoreError> {
        self.read(|transaction| announcements::unannounced(transaction, limit))
    }

    fn announced(&self, entries: &[EntryId]) -> Result<(), StoreError> {
        self.write(|transaction| announcements::announced(transaction, entries))
    }

    fn cluster(&self) -> Result<Option<ClusterRecord>, StoreError> {
        self.read(|transaction| meta(transaction, "cluster"))
    }

    fn save_cluster(&self, cluster: &ClusterRecord) -> Result<(), StoreError> {
        self.write(|transaction| save_meta(transaction, "cluster", cluster))
    }

    fn kept(&self, name: &str) -> Result<Option<serde_json::Value>, StoreError> {
        self.read(|transaction| meta(transaction, &format!("kept {name}")))
    }

    fn keep(&self, name: &str, value: &serde_json::Value) -> Result<(), StoreError> {
        self.write(|transaction| save_meta(transaction, &format!("kept {name}"), value))
    }

    fn back_up(&self, folder: &Path, name: &str) -> Result<BackupRecord, StoreError> {
        self.back_up_to(folder, name)
    }

    fn go_on_at(
        &self,
        next: EntryId,
        delta: &ProtocolDelta,
        (name, value): (&str, &serde_json::Value),
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            journal::go_on_at(transaction, next)?;
            protocol::apply(transaction, delta)?;
            save_meta(transaction, &format!("kept {name}"), value)
        })
    }
}
