//! The indexes of the node in memory, with what is stored of them.
//!
//! Only the queue's thread changes an index; handlers read. A change goes to memory first and to disk second; when the
//! disk refuses, the index is read back from it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::disk::{DocumentsChange, IndexFile, IndexRow};
use super::engine::{Index, Settings};
use crate::meili::error::{ApiError, Code};
use crate::telemetry::clock;

/// One index.
pub struct NamedIndex {
    /// Its name.
    pub uid: String,
    row: i64,
    created_at: i64,
    content: RwLock<IndexContent>,
}

/// What changes of an index.
pub struct IndexContent {
    /// Documents, settings, search.
    pub engine: Index,
    /// Microseconds since the Unix epoch.
    pub updated_at: i64,
}

impl NamedIndex {
    /// When it was created, microseconds since the Unix epoch.
    pub fn created_at(&self) -> i64 {
        self.created_at
    }

    /// Reads it; no batch changes it meanwhile.
    pub fn read(&self) -> parking_lot::RwLockReadGuard<'_, IndexContent> {
        self.content.read()
    }

    /// Changes it; for the queue's thread.
    pub fn write(&self) -> parking_lot::RwLockWriteGuard<'_, IndexContent> {
        self.content.write()
    }
}

/// All indexes.
pub struct Indexes {
    by_uid: RwLock<BTreeMap<String, Arc<NamedIndex>>>,
    file: Mutex<IndexFile>,
}

/// The error for an index that is not there.
pub fn not_found(uid: &str) -> ApiError {
    ApiError::new(Code::IndexNotFound, format!("Index `{uid}` not found."))
}

/// The error for a disk that refuses.
pub fn disk_error(error: &rusqlite::Error) -> ApiError {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
        return ApiError::new(
            Code::NoSpaceLeftOnDevice,
            "There is no more space left on the device. Consider increasing the size of the disk/partition.",
        );
    }
    ApiError::new(Code::Internal, error.to_string())
}

/// What keeps an index from being read back from disk.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    Disk(#[from] rusqlite::Error),
    /// The engine refuses what is stored.
    #[error("the index `{uid}` cannot be restored: {error}")]
    Engine {
        /// Which index.
        uid: String,
        /// Why.
        error: ApiError,
    },
}

/// An empty engine for the index of this name.
pub fn fresh(uid: &str, primary_key: Option<&str>) -> Index {
    let mut engine = Index::new(primary_key.map(str::to_owned));
    engine.set_uid(uid);
    engine
}

fn restore(file: &mut IndexFile, row: &IndexRow) -> Result<Index, LoadError> {
    let engine_error = |error| LoadError::Engine { uid: row.uid.clone(), error };
    // A fresh index has stored no settings yet.
    let settings = if row.settings.is_empty() {
        Settings::default()
    } else {
        Settings::from_json(&row.settings).map_err(engine_error)?
    };
    let documents = file.documents(row.row)?;
    if documents.is_empty() {
        let mut index = fresh(&row.uid, row.primary_key.as_deref());
        index.set_settings(settings).map_err(engine_error)?;
        return Ok(index);
    }
    let mut index = Index::restore(row.primary_key.clone(), settings, documents).map_err(engine_error)?;
    index.set_uid(&row.uid);
    Ok(index)
}

impl Indexes {
    /// Reads all indexes from the file in `folder`.
    pub fn open(folder: &Path) -> Result<Self, LoadError> {
        let mut file = IndexFile::open(folder)?;
        let mut by_uid = BTreeMap::new();
        for row in file.indexes()? {
            let engine = restore(&mut file, &row)?;
            let content = RwLock::new(IndexContent { engine, updated_at: row.updated_at });
            let index = NamedIndex { uid: row.uid.clone(), row: row.row, created_at: row.created_at, content };
            by_uid.insert(row.uid, Arc::new(index));
        }
        Ok(Self { by_uid: RwLock::new(by_uid), file: Mutex::new(file) })
    }

    /// The index of this name.
    ///
    /// # Errors
    /// `index_not_found`.
    pub fn get(&self, uid: &str) -> Result<Arc<NamedIndex>, ApiError> {
        self.by_uid.read().get(uid).cloned().ok_or_else(|| not_found(uid))
    }

    /// All indexes by name.
    pub fn list(&self) -> Vec<Arc<NamedIndex>> {
        self.by_uid.read().values().cloned().collect()
    }

    /// Creates an index.
    ///
    /// # Errors
    /// `internal`, `no_space_left_on_device`.
    pub fn create(&self, uid: &str, primary_key: Option<&str>) -> Result<Arc<NamedIndex>, ApiError> {
        let now = clock::timestamp().0;
        let row = self.file.lock().create(uid, primary_key, now).map_err(|error| disk_error(&error))?;
        let content = IndexContent { engine: fresh(uid, primary_key), updated_at: now };
        let index = Arc::new(NamedIndex { uid: uid.to_owned(), row, created_at: now, content: RwLock::new(content) });
        self.by_uid.write().insert(uid.to_owned(), Arc::clone(&index));
        Ok(index)
    }

    /// Deletes an index.
    ///
    /// # Errors
    /// `internal`, `no_space_left_on_device`.
    pub fn delete(&self, index: &NamedIndex) -> Result<(), ApiError> {
        self.file.lock().delete(index.row).map_err(|error| disk_error(&error))?;
        self.by_uid.write().remove(&index.uid);
        Ok(())
    }

    /// Stores what a batch did to `content`.
    ///
    /// # Errors
    /// `internal`, `no_space_left_on_device`; `content` is as before the batch then.
    pub fn store(
        &self,
        index: &NamedIndex,
        content: &mut IndexContent,
        documents: &DocumentsChange,
    ) -> Result<(), ApiError> {
        content.updated_at = clock::timestamp().0;
        let row = IndexRow {
            row: index.row,
            uid: index.uid.clone(),
            primary_key: content.engine.primary_key().map(str::to_owned),
            settings: content.engine.settings().to_json(),
            created_at: index.created_at,
            updated_at: content.updated_at,
        };
        let mut file = self.file.lock();
        let Err(error) = file.apply(&row, documents) else { return Ok(()) };
        let stored = file.indexes().ok().and_then(|rows| rows.into_iter().find(|stored| stored.row == index.row));
        if let Some(engine) = stored.and_then(|stored| restore(&mut file, &stored).ok()) {
            content.engine = engine;
        }
        Err(disk_error(&error))
    }
}
