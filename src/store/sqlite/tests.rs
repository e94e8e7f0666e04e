//! The contract, and what only a file can get wrong.

mod backup;
mod damage;
mod renaming;
mod trimming;

use std::fs;

use super::{OpenError, SqliteStore};
use crate::logic::ids::{EntryId, JobId, NodeId, NodeTask, Timestamp};
use crate::logic::topology::Tables;
use crate::meili::keys::ApiKey;
use crate::store::contract::{Harness, sample_entry, sample_payload, sample_put};
use crate::store::{ClusterRecord, KeyChanges, Store, StoreError};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn database(&self) -> std::path::PathBuf {
        self.0.path().join("miroir.db")
    }

    fn open_error(&self) -> OpenError {
        SqliteStore::open(self.0.path()).expect_err("it is unusable")
    }
}

impl Harness for Folder {
    fn open(&self) -> Box<dyn Store> {
        Box::new(SqliteStore::open(self.0.path()).unwrap())
    }
}

crate::contract_tests!(Folder::new());

/// As before schema 7.
fn without_sums(connection: &rusqlite::Connection) {
    let mut statement =
        connection.prepare("SELECT DISTINCT tbl_name FROM sqlite_master WHERE type = 'trigger'").unwrap();
    let tables: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    drop(statement);
    for table in tables {
        let sql = format!(
            "DROP TRIGGER {table}_inserted; DROP TRIGGER {table}_updated; ALTER TABLE {table} DROP COLUMN sum;"
        );
        connection.execute_batch(&sql).unwrap();
    }
}

fn with_large_payload() -> Folder {
    let folder = Folder::new();
    folder.open().append(&[(sample_entry(0, "a", sample_put()), Some(sample_payload(70_000)))], &[]).unwrap();
    folder
}

#[test]
fn a_second_process_is_refused_until_the_first_is_gone() {
    let folder = Folder::new();
    let first = folder.open();
    let error = folder.open_error();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(first);
    folder.open();
}

#[test]
fn a_newer_schema_is_refused_with_the_remedy() {
    let folder = with_large_payload();
    rusqlite::Connection::open(folder.database()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let text = folder.open_error().to_string();
    assert!(text.contains("newer miroir (schema 99") && text.contains("start the newer version"), "{text}");
}

#[test]
fn what_schema_1_left_is_brought_to_this_schema() {
    let folder = Folder::new();
    rusqlite::Connection::open(folder.database()).unwrap().execute_batch(include_str!("tests/schema_1.sql")).unwrap();
    // The second time there is nothing left to do.
    for _ in 0..2 {
        let store = folder.open();
        let cluster_id = "feb3e8ed-95a9-458c-97a8-128d6371bfd1".to_owned();
        assert_eq!(store.cluster().unwrap(), Some(ClusterRecord { shard_count: 4, cluster_id }));
        let state = store.protocol_state().unwrap();
        let node = |number: u8| NodeId::new(format!("n{number}"));
        let owners = [[2, 1], [1, 2], [0, 1], [0, 2]].map(|owners| owners.map(node).to_vec()).to_vec();
        let plan = owners.clone();
        assert_eq!(state.tables, Tables { owners, plan, replication_factor: 2, version: 1, ..Tables::default() });
        assert_eq!((state.nodes.len(), state.jobs.len(), state.next_job), (0, 0, JobId(0)));
        assert_eq!((state.applied.len(), state.next_task[&node(1)]), (6, NodeTask(6)));
        assert_eq!(store.indexes().unwrap().len(), 2);
        assert_eq!(store.heads().unwrap().len(), 2);
        assert_eq!(store.next_entry().unwrap(), EntryId(3));
        let documents = store.payload(EntryId(0)).unwrap().expect("its documents").bytes;
        assert_eq!(documents.split(|&byte| byte == b'\n').count(), 4);
    }
}

#[test]
fn what_schema_2_left_is_brought_to_this_schema() {
    let folder = Folder::new();
    rusqlite::Connection::open(folder.database()).unwrap().execute_batch(include_str!("tests/schema_2.sql")).unwrap();
    let [key, ..] = ApiKey::defaults([uuid::Uuid::from_u128(7); 4], Timestamp(0));
    // The second time there is nothing left to do.
    for keys in [vec![], vec![key.clone()]] {
        let store = folder.open();
        let cluster_id = "3bcdf23b-7e3f-4381-8195-359ed6f0083d".to_owned();
        assert_eq!(store.cluster().unwrap(), Some(ClusterRecord { shard_count: 4, cluster_id }));
        let state = store.protocol_state().unwrap();
        let node = |number: u8| NodeId::new(format!("node-{number}"));
        let owners = [[2, 1], [1, 2], [0, 1], [0, 2]].map(|owners| owners.map(node).to_vec());
        assert_eq!((state.tables.owners, state.tables.version), (owners.to_vec(), 1));
        assert_eq!(state.nodes.iter().map(|node| node.id.clone()).collect::<Vec<_>>(), [0, 1, 2].map(node));
        assert_eq!((state.applied.len(), state.next_task[&node(1)]), (6, NodeTask(7)));
        assert_eq!((store.indexes().unwrap().len(), store.heads().unwrap().len()), (2, 2));
        assert_eq!(store.next_entry().unwrap(), EntryId(3));
        assert!(store.payload(EntryId(0)).unwrap().is_some());
        assert_eq!(store.keys().unwrap(), keys);
        store.change_keys(&KeyChanges { written: vec![key.clone()], ..KeyChanges::default() }).unwrap();
    }
}

#[test]
fn what_schemas_3_to_6_left_is_brought_to_this_schema() {
    let dumps = [
        include_str!("tests/schema_3.sql"),
        include_str!("tests/schema_4.sql"),
        include_str!("tests/schema_5.sql"),
        include_str!("tests/schema_6.sql"),
    ];
    for (dump, version) in dumps.into_iter().zip(3..) {
        let folder = Folder::new();
        rusqlite::Connection::open(folder.database()).unwrap().execute_batch(dump).unwrap();
        // The second time there is nothing left to do.
        for _ in 0..2 {
            let store = folder.open();
            let cluster_id = "27ceea3c-4f86-4120-9cfe-6fcffd625f26".to_owned();
            assert_eq!(
                store.cluster().unwrap(),
                Some(ClusterRecord { shard_count: 4, cluster_id }),
                "schema {version}"
            );
            let state = store.protocol_state().unwrap();
            assert_eq!((state.nodes.len(), state.applied.len(), state.next_task.len()), (3, 6, 3));
            assert_eq!((store.indexes().unwrap().len(), store.heads().unwrap().len()), (2, 2));
            assert_eq!((store.keys().unwrap().len(), store.webhooks().unwrap().is_empty()), (5, version < 4));
            assert_eq!((store.next_entry().unwrap(), store.task_count().unwrap()), (EntryId(8), 7));
            let entry = |id| store.entry(EntryId(id)).unwrap().expect("it is there");
            let names = [0, 1, 2, 3, 6].map(|id| entry(id).entry.index.expect("it has one").as_str().to_owned());
            assert_eq!(names, ["books", "books", "films", "books", "books"], "schema {version}");
            assert!((0..8).all(|id| entry(id).outcome.is_some()) && entry(0).is_deleted && !entry(1).is_deleted);
            let with_payload: Vec<u64> = (0..8).filter(|&id| store.payload(EntryId(id)).unwrap().is_some()).collect();
            assert_eq!(with_payload, [0, 2, 3, 6]);
            let index = crate::logic::ids::NodeIndexUid::new("films-0");
            let steps = store.index_entries_from(&index, EntryId(0), 99).unwrap();
            assert_eq!(steps.iter().map(|record| record.entry.id.0).collect::<Vec<_>>(), [0, 1, 3, 6]);
        }
    }
}

#[test]
fn a_cluster_record_that_cannot_be_read_stops_the_migration() {
    let folder = Folder::new();
    let connection = rusqlite::Connection::open(folder.database()).unwrap();
    connection.execute_batch(include_str!("tests/schema_1.sql")).unwrap();
    connection.execute("UPDATE meta SET value = '{}' WHERE key = 'cluster'", []).unwrap();
    let error = folder.open_error();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 1, "nothing was changed");
}

#[test]
fn another_programs_database_is_refused() {
    let folder = Folder::new();
    rusqlite::Connection::open(folder.database()).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let error = folder.open_error();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
}

#[test]
fn a_damaged_database_is_refused_with_the_remedy() {
    let folder = Folder::new();
    {
        let store = folder.open();
        let entries: Vec<_> =
            (0..200).map(|id| (sample_entry(id, "a", sample_put()), Some(sample_payload(2_000)))).collect();
        store.append(&entries, &[]).unwrap();
    }
    // Everything but the header page.
    let mut bytes = fs::read(folder.database()).unwrap();
    bytes[8192..].fill(0x5a);
    fs::write(folder.database(), &bytes).unwrap();
    let error = folder.open_error();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("restore data_dir from a backup"), "{error}");
    fs::write(folder.database(), "not a database at all, but long enough to be looked at").unwrap();
    let error = folder.open_error();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

/// Goal: nobody begins anew on a folder whose database was lost, and what else is there stays. Method: see the name.
#[test]
fn a_lost_or_emptied_database_is_refused_and_the_payloads_stay() {
    let folder = Folder::new();
    {
        let store = folder.open();
        store.append(&[(sample_entry(0, "a", sample_put()), Some(sample_payload(200_000)))], &[]).unwrap();
    }
    let good = fs::read(folder.database()).unwrap();
    for is_there in [true, false] {
        fs::write(folder.database(), "").unwrap();
        if !is_there {
            fs::remove_file(folder.database()).unwrap();
        }
        let error = folder.open_error();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("restore data_dir from a backup"), "{error}");
    }
    fs::write(folder.database(), good).unwrap();
    assert_eq!(folder.open().payload(EntryId(0)).unwrap(), Some(sample_payload(200_000)));
}

#[test]
fn a_folder_that_cannot_be_used_is_named_with_the_remedy() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    // Rights would not stop a test that runs as root; a file in the way stops everybody.
    for path in [file.clone(), file.join("below")] {
        let error = SqliteStore::open(&path).expect_err("it is no folder");
        let text = error.to_string();
        assert!(matches!(error, OpenError::NotUsable { .. }), "{text}");
        assert!(text.contains("fix its owner and rights"), "{text}");
    }
}

#[test]
fn a_changed_or_missing_payload_file_is_reported_as_damage() {
    let folder = with_large_payload();
    let path = fs::read_dir(folder.0.path().join("payloads")).unwrap().next().unwrap().unwrap().path();
    let store = folder.open();
    let mut bytes = fs::read(&path).unwrap();
    bytes[1_000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(store.payload(EntryId(0)), Err(StoreError::Damaged(_))));
    fs::write(&path, &bytes[..500]).unwrap();
    assert!(matches!(store.payload(EntryId(0)), Err(StoreError::Damaged(_))));
    fs::remove_file(&path).unwrap();
    assert!(matches!(store.payload(EntryId(0)), Err(StoreError::Damaged(_))));
}

#[test]
fn payload_files_that_no_entry_refers_to_are_removed_at_the_start() {
    let folder = with_large_payload();
    let payloads = folder.0.path().join("payloads");
    fs::write(payloads.join("00000000000000000001.payload"), "left over").unwrap();
    let store = folder.open();
    assert_eq!(fs::read_dir(&payloads).unwrap().count(), 1);
    assert_eq!(store.payload(EntryId(0)).unwrap(), Some(sample_payload(70_000)));
}
