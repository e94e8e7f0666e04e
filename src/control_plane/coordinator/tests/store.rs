//! A store that fails for a while, and one that holds something else than this life believes.

use std::time::Duration;

use tempfile::TempDir;

use super::super::*;
use super::{DRIFT, PROBES};
use crate::control_plane::journal::Coordinator as _;
use crate::control_plane::status::Looks;
use crate::control_plane::threads::{DeadThread, Threads};
use crate::logic::entry::{Operation, PutMode};
use crate::logic::feeder::Timing;
use crate::logic::ids::{IndexUid, NodeIndexUid, ShardId};
use crate::logic::snapshot::NodeView;
use crate::logic::topology::{NodeRecord, Tables};
use crate::meili::error::{ApiError, Code};
use crate::store::sqlite::SqliteStore;

const PATIENCE: Duration = Duration::from_secs(30);

/// A coordinator over one node that is never there: what it reports needs no node.
struct Fixture {
    folder: TempDir,
    store: Arc<SqliteStore>,
    troubles: Troubles,
    threads: Threads,
    running: Running,
}

impl Fixture {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
        let node = NodeView {
            id: NodeId::new("n"),
            url: "http://127.0.0.1:1".to_owned(),
            address: None,
            zone: None,
            weight: 1.0,
            reachable: false,
        };
        let placement = vec![vec![node.id.clone()]];
        let delta = ProtocolDelta {
            nodes: vec![NodeRecord::active(node.id.clone(), node.url.clone())],
            tables: Some(Tables::settled(placement, 1)),
            ..ProtocolDelta::default()
        };
        store.commit(&delta).unwrap();
        let (bridge, _commands) = Bridge::new(0);
        let (troubles, threads) = (Troubles::default(), Threads::default());
        let running = Coordinator::start(CoordinatorParts {
            store: store.clone(),
            publisher: Arc::new(Publisher::new(bridge.clone(), vec![node])),
            bridge,
            node_key: None,
            timing: Timing::default(),
            body_max: 100 << 20,
            sort_ties_by_id: false,
            resolve_timeout: PATIENCE,
            dump_folder: "never used".into(),
            exports_may_be_private: false,
            probes: PROBES,
            looks: Looks::default(),
            drift: DRIFT,
            troubles: troubles.clone(),
            threads: threads.group(),
        });
        Self { folder, store, troubles, threads, running: running.unwrap() }
    }

    /// What somebody else does to the database.
    fn meddle(&self, sql: &str) {
        let other = crate::store::sqlite::connect(self.folder.path()).unwrap();
        other.busy_timeout(PATIENCE).unwrap();
        other.execute_batch(sql).unwrap();
    }

    /// An entry that fails without a node, durable but not yet known to the coordinator.
    fn append(&self) -> Arc<Entry> {
        let entry = Entry {
            id: self.store.next_entry().unwrap(),
            enqueued_at: Timestamp(0),
            index: Some(IndexUid::new("a")),
            target: None,
            operation: Operation::DeleteIndex,
            shards: vec![],
            rejection: Some(ApiError::new(Code::IndexNotFound, "Index `a` not found.").body()),
            custom_metadata: None,
        };
        self.store.append(&[(entry.clone(), None)], &[]).unwrap();
        Arc::new(entry)
    }

    fn has_outcome(&self, entry: &Entry) -> bool {
        self.store.entry(entry.id).unwrap().unwrap().outcome.is_some()
    }
}

fn wait_for(what: &str, is_done: impl Fn() -> bool) {
    let deadline = clock::instant() + PATIENCE;
    while !is_done() {
        assert!(clock::instant() < deadline, "{what}: not in time");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn a_store_that_fails_for_a_while_is_shown_and_nothing_is_lost() {
    let fixture = Fixture::new();
    let entry = fixture.append();
    fixture.meddle("ALTER TABLE entries RENAME TO away");
    fixture.running.coordinator().entries_committed(vec![entry.clone()]);
    wait_for("the trouble", || fixture.troubles.store().is_some());
    assert!(fixture.threads.deaths().is_empty());
    fixture.meddle("ALTER TABLE away RENAME TO entries");
    wait_for("the outcome", || fixture.has_outcome(&entry));
    wait_for("the end of the trouble", || fixture.troubles.store().is_none());
    fixture.running.stop();
}

#[test]
fn changes_that_could_not_be_stored_are_not_followed_by_later_ones() {
    let fixture = Fixture::new();
    let lost = fixture.append();
    fixture.meddle("ALTER TABLE entries RENAME TO away");
    fixture.running.coordinator().entries_committed(vec![lost.clone()]);
    wait_for("the trouble", || fixture.troubles.store().is_some());
    let coordinator = fixture.running.coordinator();
    let Fixture { running, store, .. } = fixture;
    // Gives up while the store still fails.
    running.kill();
    let other = crate::store::sqlite::connect(fixture.folder.path()).unwrap();
    other.execute_batch("ALTER TABLE away RENAME TO entries").unwrap();
    assert_eq!(coordinator.commit(), Err(Stopping));
    assert!(store.entry(lost.id).unwrap().unwrap().outcome.is_none());
}

#[test]
fn a_store_that_refuses_is_the_death_of_the_thread_and_the_end_of_all_reports() {
    let fixture = Fixture::new();
    let entry = fixture.append();
    let outcome = r#"{"status":"succeeded","error":null,"counts":{"indexed":null,"deleted":null,"tasks":null},
        "canceled_by":null,"started_at":null,"finished_at":1}"#;
    fixture.meddle(&format!("UPDATE entries SET outcome = '{outcome}' WHERE id = {}", entry.id));
    fixture.running.coordinator().entries_committed(vec![entry]);
    let DeadThread { name, reason } = fixture.threads.deaths().recv_timeout(PATIENCE).unwrap();
    assert_eq!(name, "control");
    assert!(reason.starts_with("the store refuses protocol state: "), "{reason}");
    let next = fixture.append();
    fixture.running.coordinator().entries_committed(vec![next.clone()]);
    assert_eq!(fixture.running.coordinator().commit(), Err(Stopping));
    fixture.running.stop();
    assert!(fixture.store.entry(next.id).unwrap().unwrap().outcome.is_none());
    assert!(fixture.threads.deaths().is_empty(), "one death, one name");
}

/// Prints what an entry takes in memory until it has ended; run by hand with `--run-ignored only --no-capture`.
#[test]
#[ignore = "a measurement"]
fn memory_of_an_entry() {
    const ENTRIES: u64 = 200_000;
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let fixture = Fixture::new();
    let entry = |id: u64| {
        let operation = Operation::PutDocuments {
            mode: PutMode::Replace,
            received: 1,
            primary_key: Some("id".to_owned()),
            creates_index: id == 0,
            sets_primary_key: false,
            skips_missing: false,
        };
        Arc::new(Entry {
            id: EntryId(id),
            enqueued_at: Timestamp(0),
            index: Some(IndexUid::new("an-index")),
            target: Some(NodeIndexUid::new("an-index-0")),
            operation,
            shards: (0..8).map(ShardId).collect(),
            rejection: None,
            custom_metadata: None,
        })
    };
    let before = resident();
    for id in 0..ENTRIES {
        fixture.running.coordinator().entries_committed(vec![entry(id)]);
    }
    println!("{} bytes per entry", (resident() - before) / ENTRIES);
}
