//! Answers from a store and a snapshot made up for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::bridge::topology::PaceChange;
use crate::control_plane::publisher::Publisher;
use crate::logic::entry::Operation;
use crate::logic::feeder::Publication;
use crate::logic::ids::{EntryId, IndexUid, JobId, NodeIndexUid, Position, ShardId, Timestamp};
use crate::logic::snapshot::NodeView;
use crate::logic::throttle::HourSpan;
use crate::logic::topology::{
    BootstrapRecord, BootstrapStage, JobKind, JobRecord, JobStep, JoinRecord, JoinState, NodeState, Tables,
};
use crate::store::contract::{sample_entry, sample_put};
use crate::store::sqlite::SqliteStore;
use crate::store::{IndexRecord, ProtocolDelta};

/// For anything that takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Nodes a to d; shard 0 on a and b, 1 on b and c, 2 on c, 3 on a and b. One index, with a creation (task 0) and a put into
/// shards 0 and 3 (task 1).
struct Fleet {
    operator: Operator,
    publisher: Publisher,
    members: NoMembers,
    _folder: tempfile::TempDir,
}

/// Takes in nobody.
#[derive(Clone, Default)]
struct NoMembers {
    /// Members that are away, for long.
    away: Arc<parking_lot::Mutex<Vec<NodeId>>>,
    /// How often something was to be changed.
    changes: Arc<std::sync::atomic::AtomicUsize>,
}

impl Members for NoMembers {
    fn enrol(
        &self,
        _node: &NodeRecord,
        _next_task: NodeTask,
        _change: &mut dyn FnMut(&mut crate::logic::feeder::Fleet),
    ) -> Result<(), String> {
        Err("nobody is taken in here".to_owned())
    }

    fn remove(&self, _node: &NodeId) -> Result<bool, String> {
        Ok(false)
    }

    fn change(&self, _change: &mut dyn FnMut(&mut crate::logic::feeder::Fleet)) -> Result<(), String> {
        self.changes.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        Err("nothing is changed in here".to_owned())
    }

    fn away(&self) -> Vec<(NodeId, u64)> {
        self.away.lock().iter().map(|id| (id.clone(), u64::MAX)).collect()
    }

    fn audit_report(&self) -> crate::logic::feeder::AuditReport {
        crate::logic::feeder::AuditReport::default()
    }

    fn check_settings(&self) {}

    fn problems(&self) -> BTreeMap<JobId, Arc<str>> {
        BTreeMap::from([(JobId(5), "the node takes nothing".into())])
    }

    fn await_unread(&self, _node: &NodeId, _limit: Duration) -> bool {
        false
    }

    fn has_resting_target(&self) -> bool {
        false
    }

    fn compacting(&self) -> Vec<(NodeId, NodeIndexUid)> {
        Vec::new()
    }

    fn documents_sent(&self) -> u64 {
        0
    }
}

fn node(id: &str) -> NodeRecord {
    let url = format!("http://{id}.invalid:1");
    NodeRecord {
        id: NodeId::new(id),
        url,
        zone: None,
        weight: 1.0,
        state: NodeState::Active,
        life: 0,
        has_identity: false,
    }
}

fn ids(names: &[&str]) -> Vec<NodeId> {
    names.iter().map(|name| NodeId::new(*name)).collect()
}

fn films() -> NodeIndexUid {
    NodeIndexUid::new("films-0")
}

impl Fleet {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path()).unwrap();
        let owners = vec![ids(&["a", "b"]), ids(&["b", "c"]), ids(&["c"]), ids(&["a", "b"])];
        let record = IndexRecord {
            uid: IndexUid::new("films"),
            node_uid: films(),
            created_by: EntryId(0),
            dropped_by: None,
            primary_key: None,
            settings: serde_json::Map::new(),
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
            is_visible: true,
        };
        let create = sample_entry(0, "films", Operation::CreateIndex { primary_key: None });
        store.append(&[(create, None), (sample_entry(1, "films", sample_put()), None)], &[]).unwrap();
        let applied = |node: &str, entry, step| (NodeId::new(node), films(), Position::of(EntryId(entry), step));
        let plan = owners.clone();
        let tables = Tables { owners: owners.clone(), plan, replication_factor: 2, version: 3, ..Tables::default() };
        let delta = ProtocolDelta {
            nodes: ["a", "b", "c", "d"].map(node).to_vec(),
            tables: Some(tables),
            indexes: vec![record.clone()],
            applied: vec![applied("a", 1, 0), applied("b", 0, 1), applied("c", 1, 0)],
            ..ProtocolDelta::default()
        };
        store.commit(&delta).unwrap();
        let (bridge, _commands) = Bridge::new(0);
        let publisher = Publisher::new(
            bridge.clone(),
            delta.nodes.iter().map(|node| NodeView { reachable: true, ..NodeView::of(node) }).collect(),
        );
        let mut publication = Publication::default();
        publication.nodes = delta.nodes.iter().map(|node| node.id.clone()).collect();
        publication.owners = owners;
        publisher.publish_indexes(&[record], &publication);
        let nobody = NoMembers::default();
        let members = Box::new(nobody.clone());
        let (watch, absent) = (Watch::default(), Absent::new(PATIENCE));
        let configured_pace = Pace::default();
        let store = Arc::new(store);
        let (looks, drifts) = (Looks::default(), Drifts::default());
        let backups = Backups::new(folder.path().join("backups"));
        let operator =
            Operator { store, bridge, members, node_key: None, watch, absent, configured_pace, looks, drifts, backups };
        Self { operator, publisher, members: nobody, _folder: folder }
    }

    fn commit(&self, delta: &ProtocolDelta) {
        self.operator.store.commit(delta).unwrap();
    }

    fn ask(&self, request: &TopologyRequest) -> Result<Value, ApiError> {
        self.operator.answer(request)
    }

    /// The shards in the way of stopping a node.
    fn in_the_way(&self, node: &str) -> Vec<u64> {
        let answer = self.ask(&TopologyRequest::CanStop { node: NodeId::new(node) }).unwrap();
        let shards: Vec<u64> =
            answer["shards"].as_array().unwrap().iter().map(|shard| shard["shard"].as_u64().unwrap()).collect();
        assert_eq!(answer["ok"], json!(shards.is_empty()));
        shards
    }
}

#[test]
fn a_node_can_stop_when_every_shard_of_it_is_read_elsewhere() {
    let fleet = Fleet::new();
    let all = || ["a", "b", "c", "d"].map(|node| fleet.in_the_way(node));
    let none: Vec<u64> = vec![];
    assert_eq!(all(), [none.clone(), none.clone(), vec![2], none.clone()], "only c has shard 2, and d owns nothing");
    // b is out of sync: nobody else has shards 0 and 3, and 1.
    fleet.commit(&ProtocolDelta { went_out: vec![(NodeId::new("b"), films())], ..ProtocolDelta::default() });
    assert_eq!(all(), [vec![0, 3], none.clone(), vec![1, 2], none.clone()]);
    fleet.commit(&ProtocolDelta { came_back: vec![(NodeId::new("b"), films())], ..ProtocolDelta::default() });
    // a is in maintenance, c does not answer.
    let resting = NodeRecord { state: NodeState::Maintenance, ..node("a") };
    fleet.commit(&ProtocolDelta { nodes: vec![resting], ..ProtocolDelta::default() });
    fleet.publisher.publish_node(&NodeId::new("c"), |view| view.reachable = false);
    assert_eq!(all(), [none.clone(), vec![0, 1, 3], vec![2], none]);
    let answer = fleet.ask(&TopologyRequest::CanStop { node: NodeId::new("b") }).unwrap();
    let expected = json!({"shard": 1, "indexes": ["films"], "others": [
        {"node": "c", "reachable": false, "read": true, "outOfSync": []},
    ]});
    assert_eq!(answer["shards"][1], expected);
    assert_eq!(answer["shards"][0]["others"][0]["read"], json!(false));
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let fleet = Fleet::new();
    let removed = NodeRecord { state: NodeState::Removed, ..node("d") };
    fleet.commit(&ProtocolDelta { nodes: vec![removed], ..ProtocolDelta::default() });
    let error = fleet.ask(&TopologyRequest::CanStop { node: NodeId::new("d") }).unwrap_err();
    assert_eq!((error.code, error.message.ends_with("Its members are: a, b, c.")), (Code::MiroirNodeUnknown, true));
    let error = fleet.ask(&TopologyRequest::ExplainShard { shard: ShardId(4) }).unwrap_err();
    assert_eq!(error.code, Code::MiroirShardUnknown);
    let document = TopologyRequest::ExplainDocument { index: IndexUid::new("x"), document: "1".to_owned() };
    assert_eq!(fleet.ask(&document).unwrap_err().code, Code::IndexNotFound);
}

/// A move of shard 0 to d, which began.
fn moving() -> ProtocolDelta {
    let job = JobRecord {
        id: JobId(5),
        kind: JobKind::Move,
        shard: ShardId(0),
        target: Some(NodeId::new("d")),
        old_owner: None,
        step: JobStep::Copy,
        cleaned: BTreeSet::new(),
        hollow: BTreeSet::new(),
    };
    let join = JoinRecord { job: job.id, index: films(), state: JoinState::Clear, cursor: Position(4) };
    let at = Position::of(EntryId(1), 0);
    let bootstrap = BootstrapRecord { node: NodeId::new("d"), index: films(), at, stage: BootstrapStage::Settings };
    let owners = vec![ids(&["a", "b"]), ids(&["b", "c"]), ids(&["c"]), ids(&["a", "b"])];
    let plan = vec![ids(&["a", "d"]), ids(&["b", "c"]), ids(&["c", "d"]), ids(&["a", "b"])];
    ProtocolDelta {
        tables: Some(Tables { owners, plan, replication_factor: 2, version: 4, ..Tables::default() }),
        jobs: vec![job],
        joins: vec![join],
        bootstraps: vec![bootstrap],
        ..ProtocolDelta::default()
    }
}

#[test]
fn a_shard_is_explained_by_its_owners_and_what_moves() {
    let fleet = Fleet::new();
    fleet.commit(&moving());
    fleet.commit(&ProtocolDelta { needs_rebuild: vec![(NodeId::new("b"), films())], ..ProtocolDelta::default() });
    let answer = fleet.ask(&TopologyRequest::ExplainShard { shard: ShardId(0) }).unwrap();
    let index = |in_sync: bool, task: u64, lag: u64| json!([{"index": "films", "inSync": in_sync, "needsRebuild": !in_sync, "appliedTask": task, "lag": lag}]);
    let expected = json!({
        "shard": 0,
        "owners": [
            {"node": "a", "reachable": true, "indexes": index(true, 1, 0)},
            {"node": "b", "reachable": true, "indexes": index(false, 0, 1)},
        ],
        "plan": ["a", "d"],
        "jobs": [{"id": 5, "kind": "move", "shard": 0, "step": "copy", "to": "d", "from": null,
                  "indexes": {"clear": 1, "joined": 0, "cleaned": 0}, "problem": "the node takes nothing"}],
    });
    assert_eq!(answer, expected);
    let answer = fleet.ask(&TopologyRequest::ExplainShard { shard: ShardId(1) }).unwrap();
    assert_eq!((&answer["owners"][0]["indexes"][0]["lag"], &answer["jobs"]), (&json!(0), &json!([])), "not of shard 1");
}

#[test]
fn a_document_is_explained_even_if_no_owner_answers() {
    let fleet = Fleet::new();
    fleet.publisher.publish_node(&NodeId::new("a"), |view| view.reachable = false);
    // As the golden vectors say.
    let (document, shard) = ("1", crate::logic::shard_hash::shard_of("1", 4));
    let request = TopologyRequest::ExplainDocument { index: IndexUid::new("films"), document: document.to_owned() };
    let answer = fleet.ask(&request).unwrap();
    assert_eq!((&answer["document"], &answer["shard"]), (&json!("1"), &json!(shard)));
    for replica in answer["replicas"].as_array().unwrap() {
        assert_eq!((&replica["index"], &replica["found"]), (&json!("films"), &Value::Null));
        assert!(replica["error"].is_string(), "{replica}");
    }
}

#[test]
fn a_rebalance_is_what_the_plan_wants_and_what_is_under_way() {
    let fleet = Fleet::new();
    let idle = fleet.ask(&TopologyRequest::RebalanceStatus).unwrap();
    assert_eq!((&idle["state"], &idle["version"], &idle["jobs"]), (&json!("idle"), &json!(3), &json!([])));
    fleet.commit(&moving());
    let running = fleet.ask(&TopologyRequest::RebalanceStatus).unwrap();
    assert_eq!(running["state"], json!("running"));
    assert_eq!((&running["replicasToCome"], &running["replicasToGo"]), (&json!(2), &json!(1)));
    assert_eq!((&running["progress"]["done"], &running["progress"]["left"]), (&json!(0), &json!(2)));
    assert_eq!((&idle["progress"], &running["absent"]), (&Value::Null, &json!([])));
    assert_eq!(running["progress"]["documentsPlanned"], Value::Null, "no node has said how many it has");
    fleet.publisher.publish_node(&NodeId::new("d"), |view| view.reachable = false);
    assert_eq!(fleet.ask(&TopologyRequest::RebalanceStatus).unwrap()["absent"], json!(["d"]));
    assert_eq!(running["nodes"][3], json!({"node": "d", "state": "active", "shards": 0, "planned": 2}));
    let bootstrap = json!({"node": "d", "nodeIndex": "films-0", "stage": "settings", "task": 1});
    assert_eq!((&running["bootstraps"], &running["jobs"][0]["step"]), (&json!([bootstrap]), &json!("copy")));
    let mut paused = moving();
    paused.tables.as_mut().unwrap().is_paused = true;
    fleet.commit(&paused);
    assert_eq!(fleet.ask(&TopologyRequest::RebalanceStatus).unwrap()["state"], json!("paused"));
}

#[test]
fn a_trial_says_what_would_be_and_changes_nothing() {
    let fleet = Fleet::new();
    fleet.commit(&moving());
    let before = fleet.operator.store.protocol_state().unwrap();
    // Whatever changed something would fail here.
    let ask = |request| fleet.ask(&request).unwrap();
    let aborted = ask(TopologyRequest::Abort { dry_run: true });
    assert_eq!(aborted, json!({"aborted": false, "dropped": 2, "takenBack": 1, "dryRun": true}));
    let paused = ask(TopologyRequest::Pause { is_paused: true, dry_run: true });
    assert_eq!(paused, json!({"paused": true, "left": 2, "dryRun": true}));
    let change = PaceChange { busy_percent: Some(60), dry_run: true, ..PaceChange::default() };
    assert_eq!(ask(TopologyRequest::SetPace(change))["busyPercent"], json!(60));
    let maintain = |id: &str, force| {
        let node = NodeId::new(id);
        fleet.ask(&TopologyRequest::Maintain { node, is_on: true, force, dry_run: true })
    };
    assert_eq!(maintain("a", false).unwrap()["notFound"], json!([]));
    assert_eq!(maintain("c", false).unwrap_err().code, Code::MiroirNodeNeeded);
    assert_eq!(maintain("c", true).unwrap()["notFound"], json!([2]));
    assert_eq!(fleet.operator.store.protocol_state().unwrap(), before);
}

#[test]
fn a_rebalance_says_what_holds_it_up() {
    let fleet = Fleet::new();
    let status = || fleet.ask(&TopologyRequest::RebalanceStatus).unwrap();
    let of = |status: &Value| (status["inMaintenance"].clone(), status["jobs"][0]["problem"].clone());
    let mut waiting = moving();
    waiting.jobs[0].id = JobId(6);
    waiting.joins.clear();
    fleet.commit(&waiting);
    assert_eq!(of(&status()), (json!([]), Value::Null));
    assert_eq!(
        (&status()["heldUpBy"], &status()["lackingReplicas"]),
        (&json!([]), &json!(1)),
        "shard 2 has one of two"
    );
    fleet.publisher.publish_node(&NodeId::new("d"), |view| view.reachable = false);
    assert_eq!(of(&status()), (json!([]), json!("it waits for d, which does not answer")));
    fleet.publisher.publish_node(&NodeId::new("d"), |view| view.reachable = true);
    let resting = NodeRecord { state: NodeState::Maintenance, ..node("d") };
    fleet.commit(&ProtocolDelta { nodes: vec![resting], ..ProtocolDelta::default() });
    assert_eq!(of(&status()), (json!(["d"]), json!("it waits for d, which is in maintenance")));
    // A switch waits for the owners.
    let switched = JobRecord { step: JobStep::Switched, old_owner: Some(NodeId::new("c")), ..waiting.jobs[0].clone() };
    let resting = NodeRecord { state: NodeState::Maintenance, ..node("b") };
    fleet.commit(&ProtocolDelta { nodes: vec![resting, node("d")], jobs: vec![switched], ..ProtocolDelta::default() });
    assert_eq!(of(&status()), (json!(["b"]), json!("it waits for b, which is in maintenance")));

    let tables = waiting.tables.as_mut().unwrap();
    tables.is_paused = true;
    let hour = hour_of(clock::timestamp());
    tables.pace.throttle.hours = Some(HourSpan { from: (hour + 12) % 24, to: (hour + 13) % 24 });
    fleet.commit(&ProtocolDelta { tables: waiting.tables.clone(), ..ProtocolDelta::default() });
    assert_eq!(status()["heldUpBy"], json!(["pause", "hours"]));
}

#[test]
fn a_drain_does_not_end_a_maintenance() {
    let fleet = Fleet::new();
    let resting = NodeRecord { state: NodeState::Maintenance, ..node("a") };
    fleet.commit(&ProtocolDelta { nodes: vec![resting], ..ProtocolDelta::default() });
    let error = preview_of(&fleet, &json!({"drain": ["a"]})).unwrap_err();
    assert_eq!(error.code, Code::MiroirPlanImpossible);
    assert!(error.message.contains("miroir-ctl node maintenance a off"), "{}", error.message);
}

#[test]
fn what_a_node_that_is_away_is_to_delete_keeps_nobody_waiting() {
    let fleet = Fleet::new();
    let mut cleaning = moving();
    cleaning.joins.clear();
    cleaning.bootstraps.clear();
    let tables = cleaning.tables.as_mut().unwrap();
    tables.owners = tables.plan.clone();
    let job = JobRecord { step: JobStep::Clean, old_owner: Some(NodeId::new("b")), ..cleaning.jobs[0].clone() };
    cleaning.jobs = vec![job];
    fleet.commit(&cleaning);
    let status = || fleet.ask(&TopologyRequest::RebalanceStatus).unwrap();
    let there = status();
    assert_eq!((&there["state"], &there["owed"]), (&json!("running"), &json!([])));
    fleet.publisher.publish_node(&NodeId::new("b"), |view| view.reachable = false);
    let away = status();
    let owed = json!([{"node": "b", "shards": [0]}]);
    assert_eq!((&away["state"], &away["owed"], &away["absent"]), (&json!("idle"), &owed, &json!([])));
    assert_eq!((&away["progress"], &away["jobs"][0]["step"]), (&Value::Null, &json!("clean")));
    fleet.publisher.publish_node(&NodeId::new("d"), |view| view.reachable = false);
    assert_eq!(status()["absent"], json!([]), "it has nothing to do");
}

#[test]
fn the_thread_answers_and_ends_when_asked() {
    let fleet = Fleet::new();
    let (jobs, requests) = crossbeam::channel::bounded(JOBS_MAX);
    let (stop, stopped) = crossbeam::channel::bounded::<()>(0);
    let (reply, answer) = crate::bridge::reply::reply_channel();
    jobs.send(OperatorJob { request: Box::new(TopologyRequest::RebalanceStatus), reply }).unwrap();
    let (refused, refusal) = crate::bridge::reply::reply_channel();
    let Fleet { operator, .. } = fleet;
    let thread = std::thread::spawn(move || operator.run(&requests, &stopped));
    assert_eq!(answer.wait(PATIENCE).unwrap().unwrap()["state"], json!("idle"));
    drop(stop);
    thread.join().unwrap();
    OperatorJob { request: Box::new(TopologyRequest::RebalanceStatus), reply: refused }.refuse();
    assert_eq!(refusal.wait(PATIENCE).unwrap().unwrap_err().code, Code::MiroirOverloaded);
}

#[test]
fn a_plan_for_a_node_that_is_away_is_made_until_it_is_stored_and_again_when_another_one_follows() {
    let fleet = Fleet::new();
    let look = || {
        fleet.operator.look_for_absent();
        fleet.members.changes.swap(0, std::sync::atomic::Ordering::AcqRel)
    };
    assert_eq!(look(), 0);
    *fleet.members.away.lock() = ids(&["a"]);
    assert_eq!([look(), look()], [1, 1], "nothing can be changed in here");
    // As if it had been: nothing is planned for a.
    let without = |names: [&str; 2]| {
        let rows = vec![ids(&names); 4];
        let tables =
            Tables { owners: rows.clone(), plan: rows, replication_factor: 2, version: 4, ..Tables::default() };
        fleet.commit(&ProtocolDelta { tables: Some(tables), ..ProtocolDelta::default() });
    };
    without(["b", "c"]);
    assert_eq!([look(), look()], [0, 0]);
    *fleet.members.away.lock() = ids(&["a", "b"]);
    assert_eq!(look(), 1);
    without(["c", "d"]);
    assert_eq!(look(), 0);
    // Too few are left without c: that is said once.
    *fleet.members.away.lock() = ids(&["a", "b", "c"]);
    assert_eq!([look(), look()], [0, 0]);
    fleet.commit(&ProtocolDelta { nodes: vec![node("e")], ..ProtocolDelta::default() });
    assert_eq!(look(), 1, "another one makes it possible");
}

fn preview_of(fleet: &Fleet, body: &Value) -> Result<Value, ApiError> {
    fleet.ask(&TopologyRequest::Preview(serde_json::from_value(body.clone()).unwrap()))
}

#[test]
fn a_preview_says_what_would_move_and_changes_nothing() {
    let fleet = Fleet::new();
    // Nobody is asked for sizes: these nodes are nowhere.
    for id in ["a", "b", "c", "d"] {
        fleet.publisher.publish_node(&NodeId::new(id), |view| view.reachable = false);
    }
    let before = fleet.operator.store.protocol_state().unwrap();
    // Shard 2 lacks a replica, and d owns nothing.
    let answer = preview_of(&fleet, &json!({})).unwrap();
    assert!(answer["replicasToCome"].as_u64() >= Some(1), "{answer}");
    assert_eq!((&answer["documents"], &answer["bytes"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&answer["steps"][0]["shard"], &answer["steps"][0]["from"]),
        (&json!(2), &Value::Null),
        "it comes first"
    );
    let planned: u64 = answer["nodes"].as_array().unwrap().iter().map(|node| node["planned"].as_u64().unwrap()).sum();
    assert_eq!(planned, 8);
    let answer = preview_of(&fleet, &json!({"drain": ["a"], "add": [{"id": "e"}], "replicationFactor": 3})).unwrap();
    let ids: Vec<_> = answer["nodes"].as_array().unwrap().iter().map(|node| &node["node"]).collect();
    assert_eq!(ids, ["a", "b", "c", "d", "e"]);
    assert_eq!((&answer["nodes"][0]["shards"], &answer["nodes"][0]["planned"]), (&json!(2), &json!(0)));
    assert_eq!((&answer["nodes"][4]["disk"], &answer["nodes"][0]["disk"]), (&json!(0), &Value::Null));
    assert_eq!(fleet.operator.store.protocol_state().unwrap(), before);
}

#[test]
fn fleets_that_cannot_be_are_refused() {
    let fleet = Fleet::new();
    let table = [
        (json!({"replicationFactor": 0}), Code::BadRequest),
        (json!({"replicationFactor": 6}), Code::BadRequest),
        (json!({"replicationFactor": 5}), Code::MiroirPlanImpossible),
        (json!({"drain": ["x"]}), Code::MiroirNodeUnknown),
        (json!({"drain": ["a", "b", "c", "d"]}), Code::MiroirPlanImpossible),
        (json!({"add": [{"id": "a"}]}), Code::MiroirNodeExists),
        (json!({"add": [{"id": "e", "weight": 0}]}), Code::BadRequest),
    ];
    for (body, code) in table {
        assert_eq!(preview_of(&fleet, &body).unwrap_err().code, code, "{body}");
    }
}

#[test]
fn nodes_that_are_known_or_cannot_be_reached_are_not_added() {
    let fleet = Fleet::new();
    let add = |id: &str, url: &str| {
        let node = NodeRecord { url: url.to_owned(), ..node(id) };
        fleet.ask(&TopologyRequest::AddNode { node, dry_run: true }).unwrap_err()
    };
    assert_eq!(add("a", "http://127.0.0.1:1").code, Code::MiroirNodeExists);
    assert_eq!(add("e", "http://a.invalid:1").code, Code::MiroirNodeExists);
    // Port 1 of the loopback address is never listened on.
    let error = add("e", "http://127.0.0.1:1");
    assert_eq!((error.code, error.message.contains("does not answer")), (Code::MiroirNodeUnusable, true));
    let remove =
        |id: &str| fleet.ask(&TopologyRequest::RemoveNode { node: NodeId::new(id), dry_run: false }).unwrap_err().code;
    assert_eq!((remove("a"), remove("x")), (Code::MiroirNodeNotEmpty, Code::MiroirNodeUnknown));
}
