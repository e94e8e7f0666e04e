//! What moves ask of a node, against the embedded node and, where there is one, against a real Meilisearch.

use std::time::Duration;

use miroir::control_plane::node_client::{NodeClient, NodeError, NodeTaskQuery, NodeWrite, SendOutcome};
use miroir::logic::digest::{ShardDigest, differences, document_digest};
use miroir::logic::ids::{NodeIndexUid, NodeTask, ShardId};
use miroir::logic::marker;
use miroir::meili::tasks::{TaskKind, TaskStatus, TaskView};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::fleet::{NODE_KEY, Node, START_LIMIT};
use crate::support::{Random, real_meilisearch, seed, wait_for};

/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(20);
const SHARDS: u16 = 16;

/// A running node and both ways to speak to it.
pub struct Spoken {
    pub node: Node,
    pub client: NodeClient,
    /// No embedded node.
    pub is_real: bool,
    _folder: tempfile::TempDir,
}

impl Spoken {
    /// One of each kind of server that there is.
    pub fn all() -> impl Iterator<Item = Self> {
        [None].into_iter().chain(real_meilisearch().map(Some)).map(|program| {
            let folder = tempfile::tempdir().expect("the temporary folder is writable");
            let is_real = program.is_some();
            let node = Node::new("node", folder.path(), program);
            let client = NodeClient::new(node.port.url(), Some(NODE_KEY));
            let mut server = Self { node, client, is_real, _folder: folder };
            server.start();
            server
        })
    }

    fn start(&mut self) {
        self.node.start();
        self.node.client().wait_until_healthy(START_LIMIT);
    }

    /// An index with these settings and documents; its name.
    pub fn index(&self, uid: &str, primary_key: &str, settings: &Value, documents: &[Value]) -> NodeIndexUid {
        let http = self.node.client();
        http.write_well("POST", "/indexes", Some(&json!({ "uid": uid, "primaryKey": primary_key })));
        http.write_well("PATCH", &format!("/indexes/{uid}/settings"), Some(settings));
        http.write_well("POST", &format!("/indexes/{uid}/documents"), Some(&documents.into()));
        NodeIndexUid::new(uid)
    }

    /// The task at its end.
    pub fn write(&self, index: &NodeIndexUid, write: &NodeWrite<'_>) -> TaskView {
        let outcome = self.client.write(index, write, TIMEOUT);
        let SendOutcome::Registered(task) = outcome else { panic!("{write:?}: {outcome:?}") };
        self.ended(task)
    }

    fn ended(&self, task: NodeTask) -> TaskView {
        let query = NodeTaskQuery { uids: vec![task], limit: 1, ..NodeTaskQuery::default() };
        wait_for("the end of a task", START_LIMIT, || {
            let mut page = self.client.tasks(&query, TIMEOUT).map_err(|error| error.to_string())?;
            let view = page.results.pop().ok_or("no such task")?;
            if view.status.is_terminal() { Ok(view) } else { Err(format!("{view:?}")) }
        })
    }
}

/// The documents of a shard.
fn filter(shard: u16) -> Value {
    json!(marker::filter_text(&[ShardId(shard)], SHARDS))
}

#[test]
fn a_shard_is_listed_read_and_deleted_and_its_space_given_back() {
    for server in Spoken::all() {
        let document = |id: u64| {
            let shard = marker::marker(ShardId((id % 4) as u16), SHARDS);
            json!({ "id": id, "_miroir": shard, "text": format!("text {id}") })
        };
        let documents: Vec<Value> = (0..2000).map(document).collect();
        let index = server.index("a", "id", &json!({ "filterableAttributes": ["_miroir"] }), &documents);

        let list = server.client.fetch_ids(&index, &filter(3), "id", TIMEOUT).expect("listed");
        let mut ids: Vec<u64> = list.iter().map(|id| id.parse().expect("a number")).collect();
        ids.sort_unstable();
        assert_eq!(ids, (3..2000).step_by(4).collect::<Vec<u64>>());
        assert!(server.client.fetch_ids(&index, &filter(7), "id", TIMEOUT).expect("listed").is_empty());

        let asked = ["7", "3", "unknown"].into_iter().chain(list.range(100..150));
        let stored = server.client.fetch_stored(&index, asked, TIMEOUT).expect("read");
        let mut stored: Vec<Value> =
            stored.iter().map(|text| serde_json::from_str(text.get()).expect("JSON")).collect();
        stored.sort_by_key(|document| document["id"].as_u64());
        assert_eq!(stored.len(), 52, "more than the 20 of a request without a limit");
        assert_eq!(stored[0], json!({ "id": 3, "_miroir": "\u{2E00}\u{2E07}", "text": "text 3", "_vectors": {} }));

        let filter_of_three = filter(3);
        let mark = NodeWrite::DeleteByFilter { filter: &filter_of_three, metadata: "miroir:job.1" };
        let view = server.write(&index, &mark);
        assert_eq!((view.status, view.custom_metadata.as_deref()), (TaskStatus::Succeeded, Some("miroir:job.1")));
        assert_eq!(view.details.expect("of a deletion")["deletedDocuments"], 500);
        assert!(server.client.fetch_ids(&index, &filter(3), "id", TIMEOUT).expect("listed").is_empty());

        let view = server.write(&index, &NodeWrite::Compact);
        assert_eq!((view.status, view.kind), (TaskStatus::Succeeded, TaskKind::IndexCompaction));
        let view = server.write(&NodeIndexUid::new("none"), &NodeWrite::Compact);
        assert_eq!(view.error.expect("no such index").code, "index_not_found");
    }
}

#[test]
fn ids_are_found_inside_of_objects_and_what_has_none_is_no_list() {
    for server in Spoken::all() {
        let documents = [json!({ "meta": { "id": 5, "more": 1 }, "id": 1 }), json!({ "meta": { "id": "a-b" } })];
        let index = server.index("a", "meta.id", &json!({ "filterableAttributes": ["id"] }), &documents);
        let every = json!("id EXISTS OR id NOT EXISTS");
        let list = server.client.fetch_ids(&index, &every, "meta.id", TIMEOUT).expect("listed");
        assert_eq!(list.iter().collect::<Vec<_>>(), ["5", "a-b"]);
        let error = server.client.fetch_ids(&index, &every, "id", TIMEOUT).expect_err("one has no such id");
        assert!(matches!(error, NodeError::BadAnswer(_)), "{error}");
        let error =
            server.client.fetch_ids(&index, &json!("text = 1"), "meta.id", TIMEOUT).expect_err("not filterable");
        assert!(matches!(error, NodeError::Refused { status: 400, .. }), "{error}");
        let missing = server.client.fetch_stored(&NodeIndexUid::new("none"), ["1"], TIMEOUT).expect_err("no index");
        assert!(matches!(missing, NodeError::Refused { status: 404, .. }), "{missing}");
    }
}

/// Documents that are hard to copy without a change: numbers of all sizes and spellings, vectors, escapes.
fn difficult() -> Vec<Value> {
    let mut random = Random::new(seed());
    let mut float = move |exponents: usize| {
        let exponent = (1023 - exponents / 2 + random.below(exponents)) as u64;
        let sign = u64::from(random.percent(50));
        f64::from_bits(sign << 63 | exponent << 52 | random.next() >> 12)
    };
    let mut document = |id: u64| {
        let usual: Vec<f64> = (0..20).map(|_| float(40)).collect();
        let any: Vec<f64> = (0..20).map(|_| float(400)).collect();
        json!({
            "id": id, "_miroir": "\u{2E00}\u{2E00}", "usual": usual, "any": any,
            "whole": [u64::MAX, i64::MIN, 1, 1.0, -0.0, 0], "text": "é \" \\ \n \u{1} \u{1F600}",
            "nested": {"z": [{"b": null, "a": true}], "": {}, "é": []},
            "_vectors": {
                "given": {"embeddings": [[float(8), 1, 0.1]], "regenerate": false},
                "made": {"embeddings": [[float(8), 2, 0.5]], "regenerate": true},
                "unknown": [0.3, float(8)],
            },
        })
    };
    (0..50).map(&mut document).collect()
}

/// Goal: a copy counts as equal to its source. Method: documents are put, read, put into another index as they were read,
/// read again; every digest stays.
#[test]
fn what_is_copied_has_the_digest_of_its_source() {
    let userprovided = json!({ "source": "userProvided", "dimensions": 3 });
    for server in Spoken::all() {
        let settings = json!({ "embedders": { "given": userprovided, "made": userprovided } });
        let settings = if server.is_real { settings } else { json!({}) };
        let mut documents = difficult();
        let mut before: Option<ShardDigest> = None;
        for uid in ["a", "b", "c"] {
            let index = server.index(uid, "id", &settings, &documents);
            let ids: Vec<String> = (0..documents.len()).map(|id| id.to_string()).collect();
            let ids = ids.iter().map(String::as_str);
            let stored = server.client.fetch_stored(&index, ids, TIMEOUT).expect("read");
            let digest = |text: &RawValue| document_digest(text.get(), "id").expect("a document");
            let found: ShardDigest = stored.iter().map(|text| digest(text)).collect();
            assert_eq!(found.len(), documents.len());
            if let Some(before) = before.replace(found.clone()) {
                assert_eq!(differences(&before, &found), []);
            }
            documents = stored.iter().map(|text| serde_json::from_str(text.get()).expect("JSON")).collect();
        }
    }
}

/// Goal: tests can make a node lose its data, or fall back behind what it had, and that shows from outside: its newest task
/// is older than one that it was seen with.
#[test]
fn a_node_starts_again_with_older_data_or_with_none() {
    for mut server in Spoken::all() {
        let index = server.index("a", "id", &json!({}), &[json!({ "id": 1 })]);
        let seen = |server: &Spoken| {
            let newest = server.client.newest_task(TIMEOUT).expect("listed");
            let stats = server.client.stats(TIMEOUT).expect("answered");
            let documents = stats.indexes.get(index.as_str()).map(|index| index.number_of_documents);
            (newest.map(|task| task.0), documents)
        };
        assert_eq!(seen(&server), (Some(2), Some(1)));
        server.node.kill();
        server.node.back_up();
        server.start();
        server.node.client().write_well("POST", "/indexes/a/documents", Some(&json!([{ "id": 2 }])));
        assert_eq!(seen(&server), (Some(3), Some(2)));
        server.node.kill();
        server.node.restore();
        server.start();
        assert_eq!(seen(&server), (Some(2), Some(1)));
        server.node.kill();
        server.node.wipe();
        server.start();
        assert_eq!(seen(&server), (None, None));
        server.node.kill();
        server.node.restore();
        server.start();
        assert_eq!(seen(&server), (Some(2), Some(1)));
    }
}
