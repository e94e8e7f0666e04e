//! Every write and question of the node client, and the resolver, against embedded nodes.

use miroir::control_plane::node_client::{BodyParts, NodeClient, NodeTaskQuery, NodeWrite, SendOutcome};
use miroir::control_plane::resolver::{ResolveRequest, Resolver};
use miroir::control_plane::startup::{node_views, settle};
use miroir::logic::entry::{Entry, Operation, PutMode, Resolution};
use miroir::logic::ids::{EntryId, IndexUid, NodeIndexUid, NodeTask, ShardId, Timestamp};
use miroir::logic::marker;
use miroir::logic::payload::{Payload, Section};
use miroir::logic::shard_hash::{id_hash, shard_of};
use miroir::logic::split::split_ids;
use miroir::meili::settings::node_settings;
use miroir::meili::tasks::{TaskStatus, TaskView};
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::fleet::{ANSWER_TIMEOUT, Fleet, until};

const SHARDS: u16 = 8;

struct Node {
    client: NodeClient,
    index: NodeIndexUid,
}

impl Node {
    fn write(&self, write: &NodeWrite<'_>) -> TaskView {
        let outcome = self.client.write(&self.index, write, ANSWER_TIMEOUT);
        let SendOutcome::Registered(task) = outcome else { panic!("{write:?}: {outcome:?}") };
        self.ended(task)
    }

    fn ended(&self, task: NodeTask) -> TaskView {
        let mut view = None;
        until(|| {
            view = self.client.task(task, ANSWER_TIMEOUT).unwrap();
            view.as_ref().is_some_and(|view| view.status.is_terminal())
        });
        view.expect("just seen")
    }

    fn count(&self) -> u64 {
        let stats = self.client.stats(ANSWER_TIMEOUT).unwrap();
        stats.indexes.get(self.index.as_str()).map_or(0, |index| index.number_of_documents)
    }

    fn prepare(&self, user: Value) {
        self.write(&NodeWrite::CreateIndex { primary_key: Some("id") });
        let Value::Object(user) = user else { panic!("settings are an object") };
        let ended = self.write(&NodeWrite::Settings(&node_settings(&user)));
        assert_eq!(ended.status, TaskStatus::Succeeded, "{:?}", ended.error);
    }
}

fn index() -> NodeIndexUid {
    NodeIndexUid::new("a-0")
}

/// Documents 0 to `count`, by shard, with the marker.
fn documents(count: u64) -> Payload {
    let mut payload = Vec::new();
    let mut sections = Vec::new();
    for shard in (0..SHARDS).map(ShardId) {
        let start = payload.len();
        let ids: Vec<u64> = (0..count).filter(|id| shard_of(&id.to_string(), SHARDS) == shard).collect();
        for id in &ids {
            let mut document = Map::from_iter([(marker::FIELD.to_owned(), json!(marker::marker(shard, SHARDS)))]);
            document.extend([("id".to_owned(), json!(id)), ("parity".to_owned(), json!(id % 2))]);
            serde_json::to_writer(&mut payload, &document).unwrap();
            payload.push(b'\n');
        }
        let id_hashes = ids.iter().map(|id| id_hash(&id.to_string())).collect();
        let length = (payload.len() - start) as u64;
        sections.push(Section { shard, start: start as u64, length, id_hashes });
    }
    Payload { sections, bytes: payload.into() }
}

#[test]
fn a_node_does_everything_that_the_client_can_ask_for() {
    let fleet = Fleet::start(1);
    let node = Node { client: NodeClient::new(fleet.nodes[0].url(), Some("node-key")), index: index() };
    let client = &node.client;
    client.health(ANSWER_TIMEOUT).unwrap();
    assert!(client.version(ANSWER_TIMEOUT).unwrap().starts_with("1."));
    assert!(!client.has_index(&index(), ANSWER_TIMEOUT).unwrap());
    node.prepare(json!({ "filterableAttributes": ["parity"] }));
    assert!(client.has_index(&index(), ANSWER_TIMEOUT).unwrap());
    let again = node.write(&NodeWrite::CreateIndex { primary_key: None });
    assert_eq!(again.error.expect("it exists").code, "index_already_exists");

    let body = BodyParts::lines(&documents(20), |_| true);
    let put = NodeWrite::Put { mode: PutMode::Replace, primary_key: Some("id"), metadata: "miroir:0.2", body };
    let view = node.write(&put);
    assert_eq!((view.status, view.custom_metadata.as_deref()), (TaskStatus::Succeeded, Some("miroir:0.2")));
    assert_eq!(node.count(), 20);
    assert_eq!(client.batch_size(view.batch_uid.expect("it ended"), ANSWER_TIMEOUT).unwrap(), 1);

    let ids = split_ids(["3", "4", "77"], SHARDS);
    let body = BodyParts::array(&ids, |_| true);
    let view = node.write(&NodeWrite::Delete { metadata: "miroir:1.0", body });
    assert_eq!(view.details.expect("a deletion has details")["deletedDocuments"], 2);
    let filter = json!("parity = 1");
    let found = client.fetch_documents(&index(), Some(&filter), &["id"], 3, ANSWER_TIMEOUT).unwrap();
    assert_eq!((found.results.len(), found.total), (3, 9));
    assert_eq!(found.results[0].keys().collect::<Vec<_>>(), ["id"]);

    assert_eq!(node.write(&NodeWrite::Clear { metadata: "miroir:2.0" }).status, TaskStatus::Succeeded);
    assert_eq!(node.count(), 0);
    assert_eq!(node.write(&NodeWrite::SetPrimaryKey { primary_key: Some("key") }).status, TaskStatus::Succeeded);
    assert_eq!(node.write(&NodeWrite::DropIndex).status, TaskStatus::Succeeded);
    assert!(!client.has_index(&index(), ANSWER_TIMEOUT).unwrap());

    let query = NodeTaskQuery { from: Some(NodeTask(1)), limit: 2, reverse: true, ..NodeTaskQuery::default() };
    let page = client.tasks(&query, ANSWER_TIMEOUT).unwrap();
    assert_eq!(page.results.iter().map(|task| task.uid).collect::<Vec<_>>(), [1, 2]);
    let SendOutcome::Registered(task) = client.delete_tasks(&[NodeTask(0), NodeTask(1)], ANSWER_TIMEOUT) else {
        panic!("a deletion of tasks is a task")
    };
    assert_eq!(node.ended(task).status, TaskStatus::Succeeded);
    assert_eq!(client.task(NodeTask(0), ANSWER_TIMEOUT), Ok(None));
}

#[test]
fn what_depends_on_documents_is_resolved_over_all_shards_once() {
    let fleet = Fleet::start(3);
    let settings = fleet.settings();
    let cluster = settle(&settings, &fleet.store(), Duration::from_secs(5)).unwrap();
    let views = node_views(&settings);
    let payload = documents(100);
    for view in &views {
        let node = Node { client: NodeClient::new(view.url.clone(), Some("node-key")), index: index() };
        node.prepare(json!({ "filterableAttributes": ["parity"] }));
        let holds = |shard: ShardId| cluster.placement[usize::from(shard.0)].contains(&view.id);
        let body = BodyParts::lines(&payload, holds);
        node.write(&NodeWrite::Put { mode: PutMode::Replace, primary_key: Some("id"), metadata: "m", body });
    }
    let resolver = Resolver::new(&views, &cluster.placement, Some("node-key"), ANSWER_TIMEOUT);
    let resolve = |operation: Operation, out_of_sync: &[_]| {
        let entry = Entry {
            id: EntryId(3),
            enqueued_at: Timestamp(0),
            index: Some(IndexUid::new("a")),
            target: Some(index()),
            operation,
            shards: vec![],
            rejection: None,
            custom_metadata: None,
        };
        let request = ResolveRequest { entry: &entry, index: &index(), primary_key: Some("id"), out_of_sync };
        resolver.resolve(request)
    };
    let by = |filter: Value| Operation::DeleteByFilter { filter };
    for out_of_sync in [vec![], vec![views[0].id.clone()], vec![views[2].id.clone()]] {
        let resolved = resolve(by(json!(["parity = 0", ["id < 50", "id = 98"]])), &out_of_sync);
        // `id` is not filterable.
        let Resolution::Failed(error) = resolved.unwrap().resolution else { panic!("`id` is not filterable") };
        let expected =
            "Index `a`: Attribute `id` is not filterable. Available filterable attribute patterns are: `parity`.";
        assert!(error.message.starts_with(expected), "{}", error.message);
        let resolved = resolve(by(json!("parity = 0")), &out_of_sync).unwrap();
        let Resolution::Ids { count, .. } = resolved.resolution else { panic!("{resolved:?}") };
        let mut hashes: Vec<u64> = resolved.payload.unwrap().sections.into_iter().flat_map(|s| s.id_hashes).collect();
        let mut expected: Vec<u64> = (0..100).step_by(2).map(|id: u64| id_hash(&id.to_string())).collect();
        hashes.sort_unstable();
        expected.sort_unstable();
        assert_eq!((count, hashes), (50, expected));
        let resolved = resolve(Operation::ClearDocuments, &out_of_sync).unwrap();
        assert_eq!(resolved.resolution, Resolution::Count(100));
    }
    let out_of_sync = [views[0].id.clone(), views[1].id.clone()];
    let error = resolve(Operation::DeleteIndex, &out_of_sync).expect_err("some shards are on these two only");
    assert!(error.to_string().starts_with("no replica in sync of shards"), "{error}");
}
