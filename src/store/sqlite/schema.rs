//! The tables, and what the file must be before it is used: ours, not newer than this program, not damaged.

use std::path::Path;

use rusqlite::{Connection, Transaction};
use serde::Deserialize;

use super::{OpenError, renaming, sums};
use crate::logic::ids::NodeId;
use crate::logic::topology::Tables;
use crate::store::{ClusterRecord, StoreError};

/// Marks the file as Miroir's (`PRAGMA application_id`, "MIRR").
const APPLICATION_ID: i64 = 0x4d49_5252;

/// The version of the tables below (`PRAGMA user_version`). A change adds a step to [`migrate`].
pub(super) const SCHEMA_VERSION: i64 = 7;

/// From here on rows have checksums.
const WITH_SUMS: i64 = 7;

/// Schema 1.
const TABLES: &str = "
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- One row per journal entry. `body` is the entry; the columns beside it are what queries select by.
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    index_uid TEXT,
    kind TEXT NOT NULL,
    status INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    canceled_by INTEGER,
    is_deleted INTEGER NOT NULL DEFAULT 0,
    payload_bytes INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL,
    resolution TEXT,
    outcome TEXT
);
CREATE INDEX entries_index_uid ON entries (index_uid);
CREATE INDEX entries_kind ON entries (kind);
CREATE INDEX entries_status ON entries (status);
CREATE INDEX entries_enqueued_at ON entries (enqueued_at);
CREATE INDEX entries_started_at ON entries (started_at) WHERE started_at IS NOT NULL;
CREATE INDEX entries_finished_at ON entries (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX entries_canceled_by ON entries (canceled_by) WHERE canceled_by IS NOT NULL;
CREATE INDEX entries_unreported ON entries (id, payload_bytes) WHERE outcome IS NULL;
CREATE INDEX entries_deleted ON entries (id) WHERE is_deleted = 1;
CREATE INDEX entries_payload ON entries (id, payload_bytes) WHERE payload_bytes > 0;

-- `sections` and `bytes` are NULL when both are in a file of their own.
CREATE TABLE payloads (
    entry INTEGER PRIMARY KEY,
    byte_count INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    sections BLOB,
    bytes BLOB
);

CREATE TABLE watermarks (
    node TEXT NOT NULL,
    node_uid TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (node, node_uid)
) WITHOUT ROWID;

CREATE TABLE next_tasks (
    node TEXT PRIMARY KEY,
    task INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE out_of_sync (
    node TEXT NOT NULL,
    node_uid TEXT NOT NULL,
    PRIMARY KEY (node, node_uid)
) WITHOUT ROWID;

CREATE TABLE needs_rebuild (
    node TEXT NOT NULL,
    node_uid TEXT NOT NULL,
    PRIMARY KEY (node, node_uid)
) WITHOUT ROWID;

CREATE TABLE verdicts (
    position INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (position, shard)
) WITHOUT ROWID;

CREATE TABLE decisions (
    position INTEGER PRIMARY KEY,
    decision TEXT NOT NULL
);

CREATE TABLE heads (
    uid TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE indexes (
    node_uid TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;
";

/// What schema 2 adds: members of the fleet in the order in which they came, and moves of shards. Each `body` is a record
/// of `logic::topology`; the columns beside it are its key.
const TOPOLOGY_TABLES: &str = "
CREATE TABLE nodes (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
);

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    body TEXT NOT NULL
);

CREATE TABLE joins (
    job INTEGER NOT NULL,
    node_uid TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job, node_uid)
) WITHOUT ROWID;

CREATE TABLE bootstraps (
    node TEXT NOT NULL,
    node_uid TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (node, node_uid)
) WITHOUT ROWID;
";

/// What schema 3 adds: API keys.
const KEY_TABLES: &str = "
CREATE TABLE keys (
    uid TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;
";

/// What schema 4 adds: the nodes' name of each entry's index, since clients may change theirs; whether an entry that does so
/// has done it; and the entries whose end webhooks are to be told of.
const NAMES_AND_WEBHOOKS: &str = "
ALTER TABLE entries ADD COLUMN target TEXT;
ALTER TABLE entries ADD COLUMN is_renamed INTEGER NOT NULL DEFAULT 0;
UPDATE entries SET target = json_extract(body, '$.target');
CREATE INDEX entries_target ON entries (target, id);

CREATE TABLE unannounced (
    entry INTEGER PRIMARY KEY
);
";

/// What schema 5 changes: the names of the indexes of tasks are beside the tasks, see `renaming`.
const LINES: &str = "
CREATE TABLE lines (
    number INTEGER PRIMARY KEY,
    uid TEXT NOT NULL,
    -- The first entry in it.
    first INTEGER NOT NULL,
    -- New tasks join it.
    is_open INTEGER NOT NULL
);
CREATE INDEX lines_uid ON lines (uid);
ALTER TABLE entries ADD COLUMN line INTEGER;
ALTER TABLE entries ADD COLUMN swapped TEXT;
CREATE INDEX entries_line ON entries (line);
";

/// What schema 5 does without, once the lines are there.
const NAMES_WITHIN_TASKS: &str = "
DROP INDEX entries_index_uid;
ALTER TABLE entries DROP COLUMN index_uid;
";

/// What schema 6 changes: what can be removed is found index by index, and the swaps without a look at all tasks.
const TRIMMING: &str = "
DROP INDEX entries_deleted;
DROP INDEX entries_payload;
CREATE INDEX entries_deleted ON entries (target, id) WHERE is_deleted = 1;
CREATE INDEX entries_payload ON entries (target, id) WHERE payload_bytes > 0;
CREATE INDEX entries_swapped ON entries (id) WHERE swapped IS NOT NULL;
";

/// Settings of every connection.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    sums::register(connection)
}

/// Makes the file ready: creates the tables in a new one, refuses what is not ours, newer or damaged, and brings what an
/// older program wrote to this schema.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| OpenError::from_sqlite(path, &error);
    let application: i64 = pragma(connection, "application_id").map_err(failed)?;
    let version: i64 = pragma(connection, "user_version").map_err(failed)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).map_err(failed)?;
    let is_new = application == 0 && version == 0 && tables == 0;
    if !is_new && application != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    if version > SCHEMA_VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found: version, known: SCHEMA_VERSION });
    }
    configure(connection).map_err(failed)?;
    if is_new {
        return create(connection).map_err(failed);
    }
    // The indexes, too: a step that is not found there would never reach a node.
    let verdict: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        // Several lines of its own; the message is one.
        return Err(OpenError::Damaged { path: path.to_owned(), detail: verdict.replace('\n', " ") });
    }
    let checked = if version < WITH_SUMS { Ok(()) } else { sums::check(connection) };
    checked.and_then(|()| migrate(connection, version)).map_err(|error| OpenError::from_store(path, error))
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(TOPOLOGY_TABLES)?;
    transaction.execute_batch(KEY_TABLES)?;
    transaction.execute_batch(NAMES_AND_WEBHOOKS)?;
    transaction.execute_batch(LINES)?;
    transaction.execute_batch(NAMES_WITHIN_TASKS)?;
    transaction.execute_batch(TRIMMING)?;
    sums::add_to_all(&transaction)?;
    transaction.execute("INSERT INTO meta (key, value) VALUES ('next_entry', '0')", [])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// One transaction per step: a crash in between goes on where it was.
fn migrate(connection: &mut Connection, version: i64) -> Result<(), StoreError> {
    if version < 2 {
        let transaction = connection.transaction()?;
        transaction.execute_batch(TOPOLOGY_TABLES)?;
        split_cluster_record(&transaction)?;
        transaction.pragma_update(None, "user_version", 2)?;
        transaction.commit()?;
        tracing::info!("the store was brought from schema 1 to schema 2");
    }
    if version < 3 {
        let transaction = connection.transaction()?;
        transaction.execute_batch(KEY_TABLES)?;
        transaction.pragma_update(None, "user_version", 3)?;
        transaction.commit()?;
        tracing::info!("the store was brought from schema 2 to schema 3");
    }
    if version < 4 {
        let transaction = connection.transaction()?;
        transaction.execute_batch(NAMES_AND_WEBHOOKS)?;
        transaction.pragma_update(None, "user_version", 4)?;
        transaction.commit()?;
        tracing::info!("the store was brought to schema 4");
    }
    if version < 5 {
        let transaction = connection.transaction()?;
        transaction.execute_batch(LINES)?;
        renaming::bring_to_lines(&transaction)?;
        transaction.execute_batch(NAMES_WITHIN_TASKS)?;
        transaction.pragma_update(None, "user_version", 5)?;
        transaction.commit()?;
        tracing::info!("the store was brought to schema 5");
    }
    if version < 6 {
        let transaction = connection.transaction()?;
        transaction.execute_batch(TRIMMING)?;
        transaction.pragma_update(None, "user_version", 6)?;
        transaction.commit()?;
        tracing::info!("the store was brought to schema 6");
    }
    if version < WITH_SUMS {
        let transaction = connection.transaction()?;
        sums::add_to_all(&transaction)?;
        transaction.pragma_update(None, "user_version", WITH_SUMS)?;
        transaction.commit()?;
        tracing::info!("the store was brought to schema 7");
    }
    Ok(())
}

/// The cluster record of schema 1.
#[derive(Deserialize)]
struct ClusterOfSchema1 {
    shard_count: u16,
    replication_factor: u16,
    placement: Vec<Vec<NodeId>>,
    version: u64,
    cluster_id: String,
}

/// The placement becomes the table of owners. Where the nodes are is not in a store of schema 1: the next start takes it
/// from the configuration.
fn split_cluster_record(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let Some(old) = super::meta::<ClusterOfSchema1>(transaction, "cluster")? else { return Ok(()) };
    let ClusterOfSchema1 { shard_count, replication_factor, placement, version, cluster_id } = old;
    let plan = placement.clone();
    let tables = Tables { owners: placement, plan, replication_factor, version, ..Tables::default() };
    super::save_meta(transaction, "tables", &tables)?;
    super::save_meta(transaction, "cluster", &ClusterRecord { shard_count, cluster_id })
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}
