//! Every write and question of the node client against embedded nodes.

use miroir::control_plane::node_client::{BodyParts, NodeClient, NodeTaskQuery, NodeWrite, SendOutcome};
use miroir::logic::entry::PutMode;
use miroir::logic::ids::{NodeIndexUid, NodeTask, ShardId};
use miroir::logic::marker;
use miroir::logic::payload::{Payload, Section};
use miroir::logic::shard_hash::{id_hash, shard_of};
use miroir::logic::split::split_ids;
use miroir::meili::settings::node_settings;
use miroir::meili::tasks::{TaskStatus, TaskView};
use serde_json::{Map, Value, json};

use crate::fleet::{self, ANSWER_TIMEOUT, Fleet, has_index, until};

pub const SHARDS: u16 = 8;

pub struct Node {
    pub client: NodeClient,
    pub index: NodeIndexUid,
}

impl Node {
    pub fn write(&self, write: &NodeWrite<'_>) -> TaskView {
        let outcome = self.client.write(&self.index, write, ANSWER_TIMEOUT);
        let SendOutcome::Registered(task) = outcome else { panic!("{write:?}: {outcome:?}") };
        self.ended(task)
    }

    pub fn ended(&self, task: NodeTask) -> TaskView {
        let mut view = None;
        until(|| {
            view = fleet::task(&self.client, task);
            view.as_ref().is_some_and(|view| view.status.is_terminal())
        });
        view.expect("just seen")
    }

    pub fn count(&self) -> u64 {
        let stats = self.client.stats(ANSWER_TIMEOUT).unwrap();
        stats.indexes.get(self.index.as_str()).map_or(0, |index| index.number_of_documents)
    }

    pub fn prepare(&self, user: Value) {
        self.write(&NodeWrite::CreateIndex { primary_key: Some("id") });
        let Value::Object(user) = user else { panic!("settings are an object") };
        let ended = self.write(&NodeWrite::Settings(&node_settings(&user)));
        assert_eq!(ended.status, TaskStatus::Succeeded, "{:?}", ended.error);
    }
}

pub fn index() -> NodeIndexUid {
    NodeIndexUid::new("a-0")
}

/// Documents 0 to `count`, by shard, with the marker.
pub fn documents(count: u64) -> Payload {
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
    assert!(!has_index(client, &index()));
    node.prepare(json!({ "filterableAttributes": ["parity"] }));
    assert!(has_index(client, &index()));
    let again = node.write(&NodeWrite::CreateIndex { primary_key: None });
    assert_eq!(again.error.expect("it exists").code, "index_already_exists");

    let body = BodyParts::lines(&documents(20), |_| true);
    let put = NodeWrite::Put { mode: PutMode::Replace, primary_key: Some("id"), metadata: "miroir:0.2", body };
    let view = node.write(&put);
    assert_eq!((view.status, view.custom_metadata.as_deref()), (TaskStatus::Succeeded, Some("miroir:0.2")));
    assert_eq!(node.count(), 20);
    assert!(view.batch_uid.is_some(), "it ended");

    let ids = split_ids(["3", "4", "77"], SHARDS);
    let body = BodyParts::array(&ids, |_| true);
    let view = node.write(&NodeWrite::Delete { metadata: "miroir:1.0", body });
    assert_eq!(view.details.expect("a deletion has details")["deletedDocuments"], 2);
    let filter = json!("parity = 1");
    let found = client.fetch_documents(&index(), Some(&filter), &["id"], 0..3, ANSWER_TIMEOUT).unwrap();
    assert_eq!((found.results.len(), found.total), (3, 9));
    assert_eq!(found.results[0].keys().collect::<Vec<_>>(), ["id"]);
    let rest = client.fetch_documents(&index(), Some(&filter), &["id"], 2..100, ANSWER_TIMEOUT).unwrap();
    assert_eq!((rest.results.len(), &rest.results[0]), (7, &found.results[2]));

    assert_eq!(node.write(&NodeWrite::Clear { metadata: "miroir:2.0" }).status, TaskStatus::Succeeded);
    assert_eq!(node.count(), 0);
    assert_eq!(node.write(&NodeWrite::SetPrimaryKey { primary_key: Some("key") }).status, TaskStatus::Succeeded);
    assert_eq!(node.write(&NodeWrite::DropIndex).status, TaskStatus::Succeeded);
    assert!(!has_index(client, &index()));

    let query = NodeTaskQuery { from: Some(NodeTask(1)), limit: 2, reverse: true, ..NodeTaskQuery::default() };
    let page = client.tasks(&query, ANSWER_TIMEOUT).unwrap();
    assert_eq!(page.results.iter().map(|task| task.uid).collect::<Vec<_>>(), [1, 2]);
    let SendOutcome::Registered(task) = client.delete_tasks(&[NodeTask(0), NodeTask(1)], ANSWER_TIMEOUT) else {
        panic!("a deletion of tasks is a task")
    };
    assert_eq!(node.ended(task).status, TaskStatus::Succeeded);
    assert_eq!(fleet::task(client, NodeTask(0)), None);
}
