//! Backups: a consistent copy of a store that is in use, and a new data folder made of one.
//!
//! A backup is a folder with the database, the payload files that its rows name, and [`RECORD`], which is written last. It
//! is made under another name, synced, checked, and only then gets its own: what has that name is whole. It holds the
//! values that keys are made of, so nobody else may read it.
//!
//! While it is made, writers go on: the database is copied by a connection of its own, as of one moment, and payload files
//! that are trimmed meanwhile stay until their copies are there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::payload_files::{PayloadFolder, decode};
use super::{SqliteStore, WAS_HERE, journal, meta, schema, sums};
use crate::logic::ids::EntryId;
use crate::logic::restoring::{RESTORED, Restored};
use crate::store::{BackupRecord, ClusterRecord, StoreError};

/// The file that says what the backup holds.
const RECORD: &str = "backup.json";
const DATABASE: &str = "miroir.db";
const PAYLOADS: &str = "payloads";
/// What is not whole begins so.
const UNFINISHED: &str = ".unfinished-";
/// What this program writes and reads.
const FORMAT: u32 = 1;

/// [`RECORD`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordFile {
    format: u32,
    #[serde(flatten)]
    record: BackupRecord,
    /// Over the bytes of the database.
    checksum: String,
}

/// Why a backup is not made, or not used. The message names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The backup is no whole one.
    #[error("{path} is no whole backup ({detail}): nothing was restored from it; use another backup")]
    Damaged {
        /// The backup.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Made by a newer program.
    #[error("{path} was made by a newer miroir: restore it with that version")]
    Newer {
        /// The backup.
        path: PathBuf,
    },
    /// Something is there.
    #[error(
        "{path} is not empty: a backup is restored into a folder of its own; move away what is there, or set data_dir to another folder"
    )]
    Occupied {
        /// The data folder.
        path: PathBuf,
    },
    /// The system said no.
    #[error("{path}: {source}; check its rights and the space on its disk")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl SqliteStore {
    /// See [`crate::store::Store::back_up`].
    pub(super) fn back_up_to(&self, folder: &Path, name: &str) -> Result<BackupRecord, StoreError> {
        let (unfinished, whole) = (folder.join(format!("{UNFINISHED}{name}")), folder.join(name));
        if whole.exists() {
            return Err(StoreError::Refused(format!("{} is there already", whole.display())));
        }
        let made = private_folder(folder, true)
            .and_then(|()| remove_unfinished(folder))
            .and_then(|()| private_folder(&unfinished, false))
            .map_err(|error| failed(folder, &error))
            .and_then(|()| self.copy_to(&unfinished));
        let named = made.and_then(|record| {
            let renamed = fs::rename(&unfinished, &whole).and_then(|()| sync(folder));
            renamed.map(|()| record).map_err(|error| failed(&whole, &error))
        });
        if named.is_err() {
            // Perhaps it was not even made.
            let _ = fs::remove_dir_all(&unfinished);
        }
        named
    }

    fn copy_to(&self, target: &Path) -> Result<BackupRecord, StoreError> {
        let _pinned = self.payloads.pin();
        let database = target.join(DATABASE);
        private_file(&database).map_err(|error| failed(&database, &error))?;
        let source = Connection::open(&self.path)?;
        schema::configure(&source)?;
        source.execute("VACUUM INTO ?1", [database.to_string_lossy()]).map_err(|error| copy_failed(target, error))?;
        drop(source);
        let copied = open_copy(&database)?;
        let entries = journal::entries_with_files(&copied)?;
        let (next_entry, cluster_id) = facts(copied)?;
        let payload_bytes =
            self.payloads.copy_to(&entries, &target.join(PAYLOADS)).map_err(|error| failed(target, &error))?;
        let checksum = hash_of(&database).map_err(|error| failed(&database, &error))?;
        let database_bytes = fs::metadata(&database).map_err(|error| failed(&database, &error))?.len();
        let record =
            BackupRecord { cluster_id, next_entry, database_bytes, payload_files: entries.len() as u64, payload_bytes };
        let file = RecordFile { format: FORMAT, record: record.clone(), checksum };
        write_record(target, &file).and_then(|()| sync(target)).map_err(|error| failed(target, &error))?;
        check(target).map_err(|error| StoreError::Damaged(error.to_string()))?;
        Ok(record)
    }
}

/// Looks at every byte of a backup.
///
/// # Errors
/// It is not whole, or not as it was written.
pub fn check(backup: &Path) -> Result<BackupRecord, BackupError> {
    let damaged = |detail: String| BackupError::Damaged { path: backup.to_owned(), detail };
    let text = fs::read(backup.join(RECORD)).map_err(|error| damaged(format!("{RECORD}: {error}")))?;
    let file: RecordFile = serde_json::from_slice(&text).map_err(|error| damaged(format!("{RECORD}: {error}")))?;
    if file.format > FORMAT {
        return Err(BackupError::Newer { path: backup.to_owned() });
    }
    let database = backup.join(DATABASE);
    let checksum = hash_of(&database).map_err(|error| damaged(format!("{DATABASE}: {error}")))?;
    if checksum != file.checksum {
        return Err(damaged(format!("{DATABASE} is not as it was written")));
    }
    let store = |error: StoreError| damaged(error.to_string());
    let copy = open_copy(&database).map_err(store)?;
    let version: i64 = copy
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| damaged(format!("{DATABASE}: {error}")))?;
    if version > schema::SCHEMA_VERSION {
        return Err(BackupError::Newer { path: backup.to_owned() });
    }
    check_rows(&copy, &PayloadFolder::at(backup.join(PAYLOADS))).map_err(store)?;
    let (next_entry, cluster_id) = facts(copy).map_err(store)?;
    if (next_entry, &cluster_id) != (file.record.next_entry, &file.record.cluster_id) {
        return Err(damaged(format!("{RECORD} is of another backup")));
    }
    Ok(file.record)
}

/// Makes a data folder of a backup. The next start finds out what nodes have got since.
///
/// # Errors
/// The backup is not whole, or the folder is not empty.
pub fn restore(backup: &Path, data_dir: &Path) -> Result<BackupRecord, BackupError> {
    let record = check(backup)?;
    let io = |source| BackupError::Io { path: data_dir.to_owned(), source };
    private_folder(data_dir, true).map_err(io)?;
    if fs::read_dir(data_dir).map_err(io)?.next().is_some() {
        return Err(BackupError::Occupied { path: data_dir.to_owned() });
    }
    // The text in the lock file keeps a start from taking the half for a new folder; the database comes last.
    let fill = || -> io::Result<()> {
        fs::write(data_dir.join("lock"), WAS_HERE)?;
        let payloads = data_dir.join(PAYLOADS);
        private_folder(&payloads, false)?;
        for item in fs::read_dir(backup.join(PAYLOADS))? {
            let item = item?;
            copy_file(&item.path(), &payloads.join(item.file_name()))?;
        }
        sync(&payloads)?;
        let unfinished = data_dir.join(format!("{DATABASE}.unfinished"));
        copy_file(&backup.join(DATABASE), &unfinished)?;
        mark_restored(&unfinished).map_err(io::Error::other)?;
        File::open(&unfinished)?.sync_all()?;
        fs::rename(&unfinished, data_dir.join(DATABASE))?;
        sync(data_dir)
    };
    fill().map_err(io)?;
    Ok(record)
}

fn mark_restored(database: &Path) -> Result<(), StoreError> {
    let mut connection = Connection::open(database)?;
    sums::register(&connection)?;
    let transaction = connection.transaction()?;
    super::save_meta(&transaction, &format!("kept {RESTORED}"), &Restored::Unprepared)?;
    Ok(transaction.commit()?)
}

fn check_rows(copy: &Connection, payloads: &PayloadFolder) -> Result<(), StoreError> {
    let verdict: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(StoreError::Damaged(verdict.replace('\n', " ")));
    }
    sums::check(copy)?;
    sums::check_payloads(copy, payloads)?;
    let mut statement =
        copy.prepare("SELECT entry, byte_count, checksum FROM payloads WHERE sections IS NULL ORDER BY entry")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (entry, byte_count) = (EntryId(row.get::<_, i64>(0)? as u64), row.get::<_, i64>(1)? as usize);
        let bytes =
            payloads.read(entry).map_err(|error| StoreError::Damaged(format!("payload of entry {entry}: {error}")))?;
        decode(entry, bytes.into(), None, byte_count, row.get::<_, i64>(2)?.cast_unsigned())?;
    }
    Ok(())
}

/// The next entry, and the cluster.
fn facts(mut copy: Connection) -> Result<(EntryId, Option<String>), StoreError> {
    let transaction = copy.transaction()?;
    let cluster: Option<ClusterRecord> = meta(&transaction, "cluster")?;
    Ok((journal::next_entry(&transaction)?, cluster.map(|cluster| cluster.cluster_id)))
}

/// Nothing is written there, and nothing beside it.
fn open_copy(database: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    sums::register(&connection)?;
    Ok(connection)
}

fn hash_of(path: &Path) -> io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Xxh3::new());
    let mut bytes = vec![0; 1 << 20];
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(format!("{:016x}", hash.digest())),
            count => hash.update(&bytes[..count]),
        }
    }
}

fn write_record(target: &Path, record: &RecordFile) -> io::Result<()> {
    File::open(target.join(DATABASE))?.sync_all()?;
    let mut file = private_file(&target.join(RECORD))?;
    file.write_all(&serde_json::to_vec_pretty(record)?)?;
    file.sync_all()
}

/// What a crash has left.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for item in fs::read_dir(folder)? {
        let item = item?;
        if item.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(item.path())?;
        }
    }
    Ok(())
}

pub(super) fn private_folder(path: &Path, may_exist: bool) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(may_exist).create(path)
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// With its bytes on the disk.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<u64> {
    let mut file = private_file(to)?;
    let bytes = io::copy(&mut File::open(from)?, &mut file)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.sync_all()?;
    Ok(bytes)
}

pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn copy_failed(target: &Path, error: rusqlite::Error) -> StoreError {
    match StoreError::from(error) {
        StoreError::Full(_) => StoreError::Full(format!("make space on the disk of {}", target.display())),
        other @ (StoreError::Failed(_) | StoreError::Damaged(_) | StoreError::Refused(_)) => other,
    }
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    let text = format!("{}: {error}; check its rights and the space on its disk", path.display());
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    if is_full { StoreError::Full(text) } else { StoreError::Failed(text) }
}
