//! The node's two SQLite files: `tasks.sqlite` (the queue) and `indexes.sqlite` (documents, settings).
//!
//! Every commit is synced before the call returns. The two files are never changed in one transaction: a batch first
//! commits what it did to an index and then, separately, that its tasks are done, as Meilisearch does.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde_json::{Map, Value};

use super::engine::Document;
use super::queue::{BatchRecord, Task};

fn open(path: &Path, schema: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(schema)?;
    Ok(connection)
}

fn encode(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain values with text keys serialize")
}

fn decode<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))
}

/// `tasks.sqlite`.
pub struct QueueFile {
    connection: Connection,
}

/// What a finished batch changes in the queue.
#[derive(Default)]
pub struct QueueChange<'a> {
    /// Tasks in their new state.
    pub tasks: Vec<&'a Task>,
    /// The batch.
    pub batch: Option<&'a BatchRecord>,
    /// Tasks to forget.
    pub deleted_tasks: Vec<u64>,
    /// Batches to forget.
    pub deleted_batches: Vec<u64>,
}

impl QueueFile {
    /// Opens or creates the file in `folder`.
    pub fn open(folder: &Path) -> rusqlite::Result<Self> {
        let schema = "CREATE TABLE IF NOT EXISTS tasks (uid INTEGER PRIMARY KEY, task TEXT NOT NULL, payload BLOB);
             CREATE TABLE IF NOT EXISTS batches (uid INTEGER PRIMARY KEY, batch TEXT NOT NULL);";
        Ok(Self { connection: open(&folder.join("tasks.sqlite"), schema)? })
    }

    /// Everything, in order of numbers.
    pub fn load(&self) -> rusqlite::Result<(Vec<Task>, Vec<BatchRecord>)> {
        let mut statement = self.connection.prepare("SELECT task FROM tasks ORDER BY uid")?;
        let tasks = statement
            .query_map([], |row| row.get::<_, String>(0))?
            .map(|text| decode(&text?))
            .collect::<rusqlite::Result<_>>()?;
        let mut statement = self.connection.prepare("SELECT batch FROM batches ORDER BY uid")?;
        let batches = statement
            .query_map([], |row| row.get::<_, String>(0))?
            .map(|text| decode(&text?))
            .collect::<rusqlite::Result<_>>()?;
        Ok((tasks, batches))
    }

    /// Stores a new task with the documents of a put.
    pub fn register(&mut self, task: &Task, payload: Option<&[u8]>) -> rusqlite::Result<()> {
        let uid = task.uid as i64;
        self.connection
            .prepare_cached("INSERT INTO tasks (uid, task, payload) VALUES (?1, ?2, ?3)")?
            .execute(params![uid, encode(task), payload])?;
        Ok(())
    }

    /// The documents of a put.
    pub fn payload(&self, uid: u64) -> rusqlite::Result<Vec<u8>> {
        let payload: Option<Option<Vec<u8>>> = self
            .connection
            .query_row("SELECT payload FROM tasks WHERE uid = ?1", [uid as i64], |row| row.get(0))
            .optional()?;
        Ok(payload.flatten().unwrap_or_default())
    }

    /// Stores what a batch did, in one transaction. Payloads of finished tasks go.
    pub fn apply(&mut self, change: &QueueChange<'_>) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut update = transaction.prepare_cached("UPDATE tasks SET task = ?2, payload = NULL WHERE uid = ?1")?;
            for task in &change.tasks {
                update.execute(params![task.uid as i64, encode(task)])?;
            }
            let mut delete = transaction.prepare_cached("DELETE FROM tasks WHERE uid = ?1")?;
            for uid in &change.deleted_tasks {
                delete.execute([*uid as i64])?;
            }
            let mut delete = transaction.prepare_cached("DELETE FROM batches WHERE uid = ?1")?;
            for uid in &change.deleted_batches {
                delete.execute([*uid as i64])?;
            }
            if let Some(batch) = change.batch {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO batches (uid, batch) VALUES (?1, ?2)")?
                    .execute(params![batch.uid as i64, encode(batch)])?;
            }
        }
        transaction.commit()
    }
}

/// `indexes.sqlite`.
pub struct IndexFile {
    connection: Connection,
}

/// What is stored of an index beside its documents.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexRow {
    /// The row's number; stays when the index changes.
    pub row: i64,
    /// Its name.
    pub uid: String,
    /// Once known.
    pub primary_key: Option<String>,
    /// As `GET /settings` shows them.
    pub settings: Map<String, Value>,
    /// Microseconds since the Unix epoch.
    pub created_at: i64,
    /// Microseconds since the Unix epoch.
    pub updated_at: i64,
}

fn change_documents(
    transaction: &Transaction<'_>,
    row: i64,
    changes: &[(String, Option<Document>)],
) -> rusqlite::Result<()> {
    let mut free = free_numbers(transaction, row)?;
    let mut update =
        transaction.prepare_cached("UPDATE documents SET document = ?3 WHERE index_row = ?1 AND id = ?2")?;
    let mut insert = transaction
        .prepare_cached("INSERT INTO documents (index_row, number, id, document) VALUES (?1, ?2, ?3, ?4)")?;
    let mut delete = transaction.prepare_cached("DELETE FROM documents WHERE index_row = ?1 AND id = ?2")?;
    for (id, document) in changes {
        let Some(document) = document else {
            delete.execute(params![row, id])?;
            continue;
        };
        let document = encode(document);
        if update.execute(params![row, id, document])? == 0 {
            insert.execute(params![row, free.next(), id, document])?;
        }
    }
    Ok(())
}

fn numbers(connection: &Connection, row: i64) -> rusqlite::Result<Vec<i64>> {
    let mut statement =
        connection.prepare_cached("SELECT number FROM documents WHERE index_row = ?1 ORDER BY number")?;
    statement.query_map([row], |row| row.get(0))?.collect()
}

/// The numbers that new documents of a batch get, as the engine gives them: those free before the batch, lowest first.
/// Ties and listings follow them, and are to be the same after a restart.
fn free_numbers(connection: &Connection, row: i64) -> rusqlite::Result<impl Iterator<Item = i64>> {
    let taken: BTreeSet<i64> = numbers(connection, row)?.into_iter().collect();
    Ok((0..).filter(move |number| !taken.contains(number)))
}

/// The engine numbers what it reads back without gaps; so must the file.
fn close_gaps(connection: &mut Connection, row: i64) -> rusqlite::Result<()> {
    let taken = numbers(connection, row)?;
    let transaction = connection.transaction()?;
    {
        let mut update =
            transaction.prepare_cached("UPDATE documents SET number = ?3 WHERE index_row = ?1 AND number = ?2")?;
        for (wanted, number) in (0_i64..).zip(taken) {
            if wanted != number {
                update.execute(params![row, number, wanted])?;
            }
        }
    }
    transaction.commit()
}

/// What a batch does to the stored documents of one index.
pub enum DocumentsChange {
    /// External ids with their new state, `None` for deleted.
    Some(Vec<(String, Option<Document>)>),
    /// All are deleted.
    Clear,
}

impl IndexFile {
    /// Opens or creates the file in `folder`.
    pub fn open(folder: &Path) -> rusqlite::Result<Self> {
        let schema =
            "CREATE TABLE IF NOT EXISTS indexes (row INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE,
                 primary_key TEXT, settings TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS documents (index_row INTEGER NOT NULL, number INTEGER NOT NULL,
                 id TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (index_row, number), UNIQUE (index_row, id));";
        Ok(Self { connection: open(&folder.join("indexes.sqlite"), schema)? })
    }

    /// All indexes.
    pub fn indexes(&self) -> rusqlite::Result<Vec<IndexRow>> {
        let mut statement = self
            .connection
            .prepare("SELECT row, uid, primary_key, settings, created_at, updated_at FROM indexes ORDER BY uid")?;
        statement
            .query_map([], |row| {
                Ok(IndexRow {
                    row: row.get(0)?,
                    uid: row.get(1)?,
                    primary_key: row.get(2)?,
                    settings: decode(&row.get::<_, String>(3)?)?,
                    created_at: row.get(4)?,
                    updated_at: row.get(5)?,
                })
            })?
            .collect()
    }

    /// The documents of one index in the order of the numbers that the engine gave them.
    pub fn documents(&mut self, row: i64) -> rusqlite::Result<Vec<Document>> {
        close_gaps(&mut self.connection, row)?;
        let mut statement =
            self.connection.prepare("SELECT document FROM documents WHERE index_row = ?1 ORDER BY number")?;
        statement.query_map([row], |row| decode(&row.get::<_, String>(0)?))?.collect()
    }

    /// Stores a new, empty index; its row number.
    pub fn create(&mut self, uid: &str, primary_key: Option<&str>, now: i64) -> rusqlite::Result<i64> {
        self.connection.execute(
            "INSERT INTO indexes (uid, primary_key, settings, created_at, updated_at) VALUES (?1, ?2, '{}', ?3, ?3)",
            params![uid, primary_key, now],
        )?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Stores the index's row and what became of its documents, in one transaction.
    pub fn apply(&mut self, index: &IndexRow, documents: &DocumentsChange) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        transaction
            .prepare_cached("UPDATE indexes SET primary_key = ?2, settings = ?3, updated_at = ?4 WHERE row = ?1")?
            .execute(params![index.row, index.primary_key, encode(&index.settings), index.updated_at])?;
        match documents {
            DocumentsChange::Clear => {
                transaction.execute("DELETE FROM documents WHERE index_row = ?1", [index.row])?;
            }
            DocumentsChange::Some(changes) => change_documents(&transaction, index.row, changes)?,
        }
        transaction.commit()
    }

    /// Removes an index with its documents.
    pub fn delete(&mut self, row: i64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        transaction.execute("DELETE FROM documents WHERE index_row = ?1", [row])?;
        transaction.execute("DELETE FROM indexes WHERE row = ?1", [row])?;
        transaction.commit()
    }
}
