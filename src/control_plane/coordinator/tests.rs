//! The driver against nodes: replicas are equal in the end, and every verdict is right.
//!
//! The nodes are embedded ones in this process, or with `MIROIR_TEST_MEILISEARCH=path` real servers, which are killed
//! where embedded ones are shut down.

mod attending;
mod audit;
mod crashes;
mod mortal;
mod moves;
#[path = "../../../tests/support/ports.rs"]
mod ports;
mod store;
mod trimming;
mod troubles;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use self::mortal::{Mortal, Side};
use self::ports::Port;
use super::*;
use crate::config::{DriftAction, DriftSettings};
use crate::control_plane::admission::{Stamp, admit};
use crate::control_plane::drift::DriftReport;
use crate::control_plane::journal::Coordinator as _;
use crate::control_plane::node_client::NodeClient;
use crate::control_plane::prober::ProbeTiming;
use crate::control_plane::status::Looks;
use crate::control_plane::threads::Threads;
use crate::devnode::{Faults, Server, ServerOptions};
use crate::logic::entry::{Operation, PutMode};
use crate::logic::feeder::Timing;
use crate::logic::ids::{IndexUid, ShardId};
use crate::logic::marker;
use crate::logic::payload::Section;
use crate::logic::shard_hash::{id_hash, shard_of_hash};
use crate::logic::snapshot::NodeView;
use crate::logic::split::split_ids;
use crate::logic::topology::{NodeRecord, Tables};
use crate::meili::tasks::TaskStatus;
use crate::store::sqlite::SqliteStore;
use crate::store::{Outcome, TaskRecord};

const SHARDS: u16 = 8;
const KEY: &str = "node-key-of-the-tests";
/// All that test documents have.
const FIELDS: &[&str] = &[marker::FIELD, "id", "text", "number", "more", "_geo"];
const PATIENCE: Duration = Duration::from_mins(1);
/// Real servers sync the disk for every batch.
const PATIENCE_REAL: Duration = Duration::from_mins(10);

const TIMING: Timing = Timing {
    quarantine_ms: 300,
    in_sync_timeout_ms: 500,
    poll_idle_ms: 50,
    poll_busy_ms: (2, 20),
    backoff_ms: (10, 100),
    window: 16,
    hold_ms: 5_000,
    keep_ms: 600,
    housekeeping: 50,
};

const PROBES: ProbeTiming = ProbeTiming { interval: Duration::from_millis(200), timeout: Duration::from_secs(2) };

/// Looks without an end: whatever it finds here is a false alarm.
const DRIFT: DriftSettings = DriftSettings { action: DriftAction::Repair, interval: Duration::from_millis(50) };

enum Node {
    Embedded(Server),
    Real(Child),
}

impl Node {
    fn stop(self) {
        match self {
            Self::Embedded(server) => server.shutdown(),
            Self::Real(mut child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
fn meilisearch() -> Option<PathBuf> {
    std::env::var("MIROIR_TEST_MEILISEARCH").ok().map(PathBuf::from)
}

/// Nodes, a store, and a coordinator over them.
struct Fixture {
    folder: TempDir,
    servers: Vec<Option<Node>>,
    listens: Vec<String>,
    /// The nodes come back on them.
    ports: Vec<Port>,
    store: Arc<dyn Store>,
    running: Option<Running>,
    /// What the coordinator has of it, if that can end.
    mortal: Option<Arc<Mortal>>,
    timing: Timing,
    /// Of a node at least, for a batch.
    batch_time: Duration,
    troubles: Troubles,
    /// Of nodes that take shorter bodies than usual: bytes.
    body_limits: BTreeMap<usize, usize>,
    replicas: usize,
    /// How many of the nodes own shards.
    owners: usize,
    /// What one server would hold, by index and id.
    expected: BTreeMap<String, BTreeMap<String, Map<String, Value>>>,
}

impl Fixture {
    fn new(nodes: usize, replicas: usize) -> Self {
        Self::with(nodes, replicas, TIMING, Duration::from_millis(10))
    }

    fn with(nodes: usize, replicas: usize, timing: Timing, batch_time: Duration) -> Self {
        // What the threads log is shown when a test fails.
        let _ = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::DEBUG).try_init();
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let store = Arc::new(SqliteStore::open(&folder.path().join("store")).unwrap());
        let mut fixture = Self {
            folder,
            servers: Vec::new(),
            listens: Vec::new(),
            ports: Vec::new(),
            store,
            running: None,
            mortal: None,
            timing,
            batch_time,
            troubles: Troubles::default(),
            body_limits: BTreeMap::new(),
            replicas,
            owners: nodes,
            expected: BTreeMap::new(),
        };
        let nodes = (0..nodes).map(|_| fixture.add_node()).collect();
        let tables = Some(Tables::settled(fixture.placement(), replicas as u16));
        fixture.store.commit(&ProtocolDelta { nodes, tables, ..ProtocolDelta::default() }).unwrap();
        fixture.start();
        fixture
    }

    /// Starts a node, which nobody knows yet.
    fn add_node(&mut self) -> NodeRecord {
        let number = self.listens.len();
        let port = Port::reserve();
        let url = port.url();
        self.listens.push(port.address().to_string());
        self.ports.push(port);
        self.servers.push(None);
        self.start_node(number);
        NodeRecord::active(NodeId::new(format!("n{number}")), url)
    }

    fn options(&self, node: usize, listen: &str) -> ServerOptions {
        let data_dir: PathBuf = self.folder.path().join(format!("node{node}"));
        let faults = Faults { batch_time: self.batch_time, ..Faults::default() };
        let usual = ServerOptions::new(listen, data_dir, Some(KEY.to_owned()));
        let body_bytes_max = self.body_limits.get(&node).copied().unwrap_or(usual.body_bytes_max);
        ServerOptions { body_bytes_max, faults, ..usual }
    }

    fn placement(&self) -> Vec<Vec<NodeId>> {
        let count = self.owners;
        let holders = |shard: usize| (0..self.replicas).map(move |copy| (shard + copy) % count);
        (0..usize::from(SHARDS)).map(|s| holders(s).map(|node| NodeId::new(format!("n{node}"))).collect()).collect()
    }

    fn start(&mut self) {
        self.start_over(self.store.clone());
    }

    /// A life that ends at such a step of a workflow, or does not.
    fn start_with(&mut self, dies_at: Option<(usize, Side)>) {
        let mortal = Arc::new(Mortal::new(self.store.clone(), dies_at));
        self.mortal = Some(mortal.clone());
        self.start_over(mortal);
    }

    fn start_over(&mut self, store: Arc<dyn Store>) {
        let view = |node: &NodeRecord| NodeView { reachable: true, ..NodeView::of(node) };
        let nodes = self.store.protocol_state().unwrap().nodes.iter().map(view).collect();
        let (bridge, _commands) = Bridge::new(0);
        let publisher = Arc::new(Publisher::new(bridge.clone(), nodes));
        let running = Coordinator::start(CoordinatorParts {
            store,
            publisher,
            bridge,
            node_key: Some(KEY.to_owned()),
            timing: self.timing,
            body_max: 100 << 20,
            sort_ties_by_id: false,
            resolve_timeout: Duration::from_secs(5),
            dump_folder: self.folder.path().join("dumps"),
            exports_may_be_private: true,
            probes: PROBES,
            looks: Looks::default(),
            drift: DRIFT,
            troubles: self.troubles.clone(),
            threads: Threads::default(),
        });
        self.running = Some(running.unwrap());
    }

    /// As a crash: nothing more is stored.
    fn kill(&mut self) {
        self.running.take().expect("it runs").kill();
    }

    fn stop_node(&mut self, node: usize) {
        self.servers[node].take().expect("it runs").stop();
    }

    fn start_node(&mut self, node: usize) {
        let options = self.options(node, &self.listens[node]);
        let Some(program) = meilisearch() else {
            self.servers[node] = Some(Node::Embedded(Server::start(options).unwrap()));
            return;
        };
        let mut command = Command::new(program);
        command.args(["--no-analytics", "--http-addr", &options.listen, "--master-key", KEY]);
        command.args(["--http-payload-size-limit", &options.body_bytes_max.to_string()]);
        command.arg("--db-path").arg(&options.data_dir).stdout(Stdio::null()).stderr(Stdio::null());
        self.servers[node] = Some(Node::Real(command.spawn().unwrap()));
        let client = NodeClient::new(format!("http://{}", options.listen), Some(KEY));
        wait_for("the node", || client.health(PATIENCE).is_ok());
    }

    fn append(&self, index: &str, operation: Operation, payload: Option<Payload>) -> EntryId {
        let uid = IndexUid::new(index);
        let heads = self.store.heads().unwrap();
        let write = crate::bridge::NewWrite {
            index: Some(uid.clone()),
            operation,
            assumed_head: heads.get(&uid).map(crate::control_plane::admission::shown_head),
            payload,
            rejection: None,
            custom_metadata: None,
        };
        let stamp = Stamp { id: self.store.next_entry().unwrap(), at: clock::timestamp() };
        let admitted = admit(write, &heads, stamp).unwrap();
        self.store.append(&[(admitted.entry.clone(), admitted.payload)], &admitted.changes).unwrap();
        if let Some(running) = &self.running {
            running.coordinator().entries_committed(vec![Arc::new(admitted.entry)]);
        }
        stamp.id
    }

    /// Puts documents; those whose id begins with `bad` are expected to be rejected by the nodes.
    fn put(&mut self, index: &str, mode: PutMode, documents: &[Value]) -> EntryId {
        let held = self.expected.entry(index.to_owned()).or_default();
        let is_rejected = |shard: u16| {
            documents.iter().any(|document| shard_of(id_of(document)) == shard && document["_geo"] == json!("bad"))
        };
        for document in documents.iter().filter(|document| !is_rejected(shard_of(id_of(document)))) {
            let fields = document.as_object().unwrap().clone();
            let old = held.entry(id_of(document).to_owned()).or_default();
            match mode {
                PutMode::Replace => *old = fields,
                PutMode::Update => old.extend(fields),
            }
        }
        let operation = Operation::PutDocuments {
            mode,
            received: documents.len() as u64,
            primary_key: Some("id".to_owned()),
            creates_index: true,
            sets_primary_key: false,
            skips_missing: false,
        };
        self.append(index, operation, Some(payload_of(documents)))
    }

    fn delete(&mut self, index: &str, ids: &[&str]) -> EntryId {
        let held = self.expected.entry(index.to_owned()).or_default();
        held.retain(|id, _| !ids.contains(&id.as_str()));
        let provided = ids.len() as u64;
        self.append(index, Operation::DeleteDocuments { provided }, Some(split_ids(ids.iter().copied(), SHARDS)))
    }

    fn settings(&self, index: &str, patch: Value) -> EntryId {
        self.append(index, Operation::UpdateSettings { patch, is_deletion: false, creates_index: true }, None)
    }

    fn record(&self, entry: EntryId) -> TaskRecord {
        self.store.entry(entry).unwrap().expect("it is in the journal")
    }

    fn ended(&self, entry: EntryId) -> Outcome {
        let mut outcome = None;
        wait_for(&format!("entry {entry}"), || {
            outcome = self.record(entry).outcome;
            outcome.is_some()
        });
        outcome.expect("just seen")
    }

    fn succeeded(&self, entry: EntryId) -> Outcome {
        let outcome = self.ended(entry);
        assert_eq!(outcome.status, TaskStatus::Succeeded, "entry {entry}: {outcome:?}");
        outcome
    }

    fn failed(&self, entry: EntryId) -> Outcome {
        let outcome = self.ended(entry);
        assert_eq!(outcome.status, TaskStatus::Failed, "entry {entry}: {outcome:?}");
        outcome
    }

    fn out_of_sync(&self) -> usize {
        self.store.protocol_state().unwrap().out_of_sync.len()
    }

    /// Every node that runs holds, of each of its shards, exactly what one server would; and nobody was suspected of having
    /// other settings than it should.
    fn check_replicas(&self, index: &str) {
        let DriftReport { put_right, findings, .. } = self.troubles.drifts().report();
        assert_eq!((put_right, findings), (0, vec![]), "false alarms");
        let uid = self.store.heads().unwrap()[&IndexUid::new(index)].node_uid.clone();
        let placement = self.store.protocol_state().unwrap().tables.owners;
        let listens = self.listens.iter().enumerate();
        for (node, listen) in listens.filter(|&(node, _)| self.servers[node].is_some()) {
            let client = NodeClient::new(format!("http://{listen}"), Some(KEY));
            let fetched = client.fetch_documents(&uid, None, FIELDS, 0..100_000, PATIENCE).unwrap();
            let mut found = BTreeMap::new();
            for mut document in fetched.results {
                assert!(document.shift_remove(marker::FIELD).is_some(), "the marker is there");
                found.insert(document["id"].as_str().unwrap().to_owned(), document);
            }
            let id = NodeId::new(format!("n{node}"));
            let mut expected = self.expected[index].clone();
            expected.retain(|doc, _| placement[usize::from(shard_of(doc))].contains(&id));
            let keys = |documents: &BTreeMap<String, _>| documents.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&found), keys(&expected), "ids on {id}");
            for (doc, fields) in &expected {
                assert_eq!(Value::Object(found[doc].clone()), Value::Object(fields.clone()), "{doc} on {id}");
            }
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
        for server in self.servers.drain(..).flatten() {
            server.stop();
        }
    }
}

fn wait_for(what: &str, mut is_done: impl FnMut() -> bool) {
    let deadline = clock::instant() + if meilisearch().is_some() { PATIENCE_REAL } else { PATIENCE };
    while !is_done() {
        assert!(clock::instant() < deadline, "{what}: not in time");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn id_of(document: &Value) -> &str {
    document["id"].as_str().expect("test documents have text ids")
}

fn shard_of(id: &str) -> u16 {
    shard_of_hash(id_hash(id), SHARDS).0
}

fn payload_of(documents: &[Value]) -> Payload {
    let mut payload = Payload::default();
    let mut bytes = Vec::new();
    for shard in (0..SHARDS).map(ShardId) {
        let start = bytes.len() as u64;
        let mut id_hashes = Vec::new();
        for document in documents.iter().filter(|document| shard_of(id_of(document)) == shard.0) {
            id_hashes.push(id_hash(id_of(document)));
            let text = document.to_string();
            bytes.extend_from_slice(format!("{{{}{}\n", marker::first_member(shard, SHARDS), &text[1..]).as_bytes());
        }
        let length = bytes.len() as u64 - start;
        if length > 0 {
            payload.sections.push(Section { shard, start, length, id_hashes });
        }
    }
    payload.bytes = bytes.into();
    payload
}

fn documents(from: usize, to: usize, text: &str) -> Vec<Value> {
    (from..to).map(|id| json!({ "id": format!("d{id}"), "text": text, "number": id })).collect()
}

#[test]
fn whatever_a_client_writes_reaches_every_replica() {
    let mut fleet = Fixture::new(3, 2);
    let created = fleet.append("a", Operation::CreateIndex { primary_key: None }, None);
    let first = fleet.put("a", PutMode::Replace, &documents(0, 40, "one"));
    let update = fleet.put("a", PutMode::Update, &[json!({ "id": "d1", "more": true }), json!({ "id": "d99" })]);
    let deleted = fleet.delete("a", &["d2", "d3", "none"]);
    let settings = fleet.settings("a", json!({ "filterableAttributes": ["number"] }));
    let by_filter = fleet.append("a", Operation::DeleteByFilter { filter: json!("number >= 30") }, None);
    fleet.expected.get_mut("a").unwrap().retain(|_, fields| fields.get("number").is_none_or(|n| n.as_u64() < Some(30)));
    for entry in [created, first, update, deleted, settings, by_filter] {
        fleet.succeeded(entry);
    }
    assert_eq!(fleet.record(first).outcome.unwrap().counts.indexed, Some(40));
    assert_eq!(fleet.record(deleted).outcome.unwrap().counts.deleted, Some(2));
    assert_eq!(fleet.record(by_filter).outcome.unwrap().counts.deleted, Some(10));
    fleet.check_replicas("a");

    let cleared = fleet.append("a", Operation::ClearDocuments, None);
    fleet.expected.clear();
    let again = fleet.put("a", PutMode::Replace, &documents(5, 9, "two"));
    assert_eq!(fleet.succeeded(cleared).counts.deleted, Some(29));
    fleet.succeeded(again);
    fleet.check_replicas("a");

    let dropped = fleet.append("a", Operation::DeleteIndex, None);
    fleet.expected.clear();
    let reborn = fleet.put("a", PutMode::Replace, &documents(1, 3, "three"));
    assert_eq!(fleet.succeeded(dropped).counts.deleted, Some(4));
    fleet.succeeded(reborn);
    fleet.check_replicas("a");
    let visible = fleet.store.indexes().unwrap().into_iter().filter(|record| record.is_visible).count();
    assert_eq!(visible, 1);
}

#[test]
fn a_bad_document_fails_its_entry_and_no_other() {
    let mut fleet = Fixture::new(3, 2);
    let geo = fleet.settings("a", json!({ "filterableAttributes": ["_geo"] }));
    let mut entries = Vec::new();
    for round in 0..12 {
        let mut batch = documents(round, round + 10, &format!("round {round}"));
        let is_bad = round % 4 == 2;
        if is_bad {
            batch.push(json!({ "id": format!("bad{round}"), "_geo": "bad" }));
        }
        entries.push((fleet.put("a", PutMode::Replace, &batch), is_bad));
    }
    fleet.succeeded(geo);
    for (entry, is_bad) in entries {
        if is_bad {
            let error = fleet.failed(entry).error.expect("a failed task says why");
            assert_eq!(error.code, "invalid_document_geo_field");
            assert!(!error.message.contains("a-0"), "names are the client's: {}", error.message);
        } else {
            fleet.succeeded(entry);
        }
    }
    wait_for("all replicas in sync", || fleet.out_of_sync() == 0);
    fleet.check_replicas("a");
}

#[test]
fn settings_that_one_node_rejects_are_taken_back_everywhere() {
    let mut fleet = Fixture::new(3, 2);
    let stored = fleet.put("a", PutMode::Replace, &[json!({ "id": "x", "_geo": "bad later" })]);
    let more = fleet.put("a", PutMode::Replace, &documents(0, 20, "fine"));
    let rejected = fleet.settings("a", json!({ "sortableAttributes": ["_geo"] }));
    let after = fleet.put("a", PutMode::Replace, &[json!({ "id": "y", "_geo": "bad too" })]);
    for entry in [stored, more, after] {
        fleet.succeeded(entry);
    }
    fleet.failed(rejected);
    assert!(fleet.store.indexes().unwrap()[0].settings.is_empty(), "the user's settings stay");
    fleet.check_replicas("a");
}

#[test]
fn a_node_that_was_away_catches_up() {
    let mut fleet = Fixture::new(3, 2);
    let first = fleet.put("a", PutMode::Replace, &documents(0, 30, "before"));
    fleet.succeeded(first);
    fleet.stop_node(1);
    let away: Vec<EntryId> =
        (0..10).map(|round| fleet.put("a", PutMode::Replace, &documents(round, round + 20, "away"))).collect();
    let settings = fleet.settings("a", json!({ "filterableAttributes": ["number"] }));
    for entry in away {
        fleet.succeeded(entry);
    }
    fleet.succeeded(settings);
    assert_eq!(fleet.out_of_sync(), 1);
    fleet.start_node(1);
    wait_for("the node to be in sync", || fleet.out_of_sync() == 0);
    fleet.check_replicas("a");
}

/// A node that takes connections and never answers.
fn silent_node(listen: &str) -> TcpListener {
    let listener = TcpListener::bind(listen).unwrap();
    let accepting = listener.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        while let Ok((stream, _)) = accepting.accept() {
            open.push(stream);
        }
    });
    listener
}

#[test]
fn settings_do_not_wait_for_the_documents_of_another_index() {
    let mut fleet = Fixture::new(2, 2);
    for index in ["a", "b"] {
        let settings = fleet.settings(index, json!({ "filterableAttributes": ["number"] }));
        fleet.succeeded(settings);
    }
    // Both nodes have applied everything; now the one falls silent, and the other is gone: nobody can answer, whoever is asked
    // first.
    fleet.stop_node(0);
    fleet.stop_node(1);
    let _silent = silent_node(&fleet.listens[0]);
    let by_filter = fleet.append("a", Operation::DeleteByFilter { filter: json!("number > 1") }, None);
    let settings = fleet.settings("b", json!({ "sortableAttributes": ["number"] }));
    wait_for("the settings", || fleet.record(settings).resolution.is_some());
    assert_eq!(fleet.record(by_filter).resolution, None, "nobody has answered yet");
    fleet.start_node(1);
    wait_for("another replica to be asked", || fleet.record(by_filter).resolution.is_some());
}

#[test]
fn a_killed_orchestrator_loses_nothing() {
    let mut fleet = Fixture::new(3, 2);
    let mut entries = vec![fleet.settings("a", json!({ "filterableAttributes": ["_geo"] }))];
    let mut bad = Vec::new();
    for round in 0..8 {
        for step in 0..5 {
            let from = round * 5 + step;
            entries.push(fleet.put("a", PutMode::Update, &documents(from, from + 12, &format!("{round}.{step}"))));
        }
        let gone = format!("d{}", round * 3);
        entries.push(fleet.delete("a", &[&gone]));
        bad.push(fleet.put("a", PutMode::Replace, &[json!({ "id": format!("bad{round}"), "_geo": "bad" })]));
        // Somewhere in the middle, wherever that is.
        wait_for("some progress", || fleet.record(entries[round * 4]).outcome.is_some());
        fleet.kill();
        fleet.start();
    }
    for entry in entries {
        fleet.succeeded(entry);
    }
    for entry in bad {
        fleet.failed(entry);
    }
    wait_for("all replicas in sync", || fleet.out_of_sync() == 0);
    fleet.check_replicas("a");
}

#[test]
fn an_index_is_updated_when_its_documents_change() {
    let mut fleet = Fixture::new(1, 1);
    let entry = fleet.put("a", PutMode::Replace, &[json!({"id": "1", "text": "x"})]);
    let put = fleet.succeeded(entry).finished_at;
    let updated_at = |fleet: &Fixture| fleet.store.indexes().unwrap()[0].updated_at;
    assert_eq!(updated_at(&fleet), put);
    let entry = fleet.delete("a", &["none"]);
    fleet.succeeded(entry);
    assert_eq!(updated_at(&fleet), put, "nothing was deleted");
    let entry = fleet.delete("a", &["1"]);
    let deleted = fleet.succeeded(entry).finished_at;
    fleet.kill();
    fleet.start();
    assert_eq!(updated_at(&fleet), deleted);
}
