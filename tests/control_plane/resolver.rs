//! The resolver against embedded nodes: every document once, whoever fails meanwhile.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use miroir::control_plane::node_client::{BodyParts, NodeClient, NodeWrite};
use miroir::control_plane::resolver::{ReadableFleet, ResolveError, ResolveRequest, Resolved, Resolver};
use miroir::control_plane::startup::{StoredFleet, node_views, settle};
use miroir::logic::entry::{Entry, Operation, PutMode, Resolution};
use miroir::logic::feeder::Publication;
use miroir::logic::ids::{EntryId, IndexUid, NodeId, Timestamp};
use miroir::logic::shard_hash::id_hash;
use miroir::logic::snapshot::NodeView;
use miroir::meili::settings::Object;
use serde_json::{Value, json};

use crate::fleet::{ANSWER_TIMEOUT, Fleet};
use crate::nodes::{Node, documents, index};

/// Three nodes with so many documents, each shard on two of them.
fn filled(count: u64) -> (Fleet, StoredFleet, Vec<NodeView>) {
    let fleet = Fleet::start(3);
    let settings = fleet.settings();
    let stored = settle(&settings, &fleet.store(), Duration::from_secs(5)).unwrap();
    let views = node_views(&stored);
    let payload = documents(count);
    for view in &views {
        let node = Node { client: NodeClient::new(view.url.clone(), Some("node-key")), index: index() };
        node.prepare(json!({ "filterableAttributes": ["parity"] }));
        let holds = |shard: miroir::logic::ids::ShardId| stored.tables.owners[usize::from(shard.0)].contains(&view.id);
        let body = BodyParts::lines(&payload, holds);
        node.write(&NodeWrite::Put { mode: PutMode::Replace, primary_key: Some("id"), metadata: "m", body });
    }
    (fleet, stored, views)
}

fn entry(operation: Operation) -> Entry {
    Entry {
        id: EntryId(3),
        enqueued_at: Timestamp(0),
        index: Some(IndexUid::new("a")),
        target: Some(index()),
        operation,
        shards: vec![],
        rejection: None,
        custom_metadata: None,
    }
}

/// A fleet as it is stored, what is known of its nodes, and which of them are out of sync.
#[derive(Clone, Copy)]
struct Situation<'a> {
    stored: &'a StoredFleet,
    nodes: &'a [NodeView],
    out_of_sync: &'a [NodeId],
}

fn of<'a>(stored: &'a StoredFleet, nodes: &'a [NodeView], out_of_sync: &'a [NodeId]) -> Situation<'a> {
    Situation { stored, nodes, out_of_sync }
}

fn resolve_unless(
    resolver: &mut Resolver,
    operation: Operation,
    situation: Situation<'_>,
    stops: bool,
) -> Result<Resolved, ResolveError> {
    let Situation { stored, nodes, out_of_sync } = situation;
    let (entry, index) = (entry(operation), index());
    let mut readable = Publication::default();
    readable.owners.clone_from(&stored.tables.owners);
    readable.nodes = nodes.iter().map(|node| node.id.clone()).collect();
    readable.out_of_sync = out_of_sync.iter().map(|node| (node.clone(), index.clone())).collect();
    let fleet = ReadableFleet { readable: &readable, nodes };
    let request = ResolveRequest {
        entry: &entry,
        uid: &IndexUid::new("a"),
        index: &index,
        primary_key: Some("id"),
        settings: &Object::new(),
        fleet,
        documents: None,
    };
    resolver.resolve(request, &|| stops)
}

fn resolve(resolver: &mut Resolver, operation: Operation, situation: Situation<'_>) -> Result<Resolved, ResolveError> {
    resolve_unless(resolver, operation, situation, false)
}

fn by(filter: Value) -> Operation {
    Operation::DeleteByFilter { filter }
}

#[test]
fn edited_documents_are_counted_while_they_are_read() {
    let (_fleet, stored, views) = filled(100);
    let edit = || Operation::EditDocuments { filter: None, context: None, function: "doc.more = 1".to_owned() };
    let resolver = || Resolver::new(Some("node-key"), ANSWER_TIMEOUT);
    let resolved = resolve(&mut resolver(), edit(), of(&stored, &views, &[])).unwrap();
    let Resolution::Edited { documents, .. } = resolved.resolution else { panic!("{resolved:?}") };
    assert_eq!((documents, resolved.payload.unwrap().count()), (100, 100));
    // The documents of one node come to more than that.
    let resolved = resolve(&mut resolver().with_edited_bytes_max(500), edit(), of(&stored, &views, &[])).unwrap();
    let Resolution::Failed(error) = resolved.resolution else { panic!("{resolved:?}") };
    assert_eq!(error.code, "payload_too_large");
    assert!(resolved.payload.is_none());
}

/// Exactly the even ones of so many documents, each once.
fn assert_even(resolved: Resolved, documents: u64) {
    let Resolution::Ids { count, .. } = resolved.resolution else { panic!("{resolved:?}") };
    let mut hashes: Vec<u64> = resolved.payload.unwrap().sections.into_iter().flat_map(|s| s.id_hashes).collect();
    let mut expected: Vec<u64> = (0..documents).step_by(2).map(|id| id_hash(&id.to_string())).collect();
    hashes.sort_unstable();
    expected.sort_unstable();
    assert_eq!(count, documents / 2);
    assert!(hashes == expected, "{} ids found", hashes.len());
}

#[test]
fn what_depends_on_documents_is_resolved_over_all_shards_once() {
    let (_fleet, stored, views) = filled(100);
    let mut resolver = Resolver::new(Some("node-key"), ANSWER_TIMEOUT);
    for out_of_sync in [vec![], vec![views[0].id.clone()], vec![views[2].id.clone()]] {
        let resolved = resolve(
            &mut resolver,
            by(json!(["parity = 0", ["id < 50", "id = 98"]])),
            of(&stored, &views, &out_of_sync),
        );
        let Resolution::Failed(error) = resolved.unwrap().resolution else { panic!("`id` is not filterable") };
        let expected =
            "Index `a`: Attribute `id` is not filterable. Available filterable attribute patterns are: `parity`.";
        assert!(error.message.starts_with(expected), "{}", error.message);
        assert_even(resolve(&mut resolver, by(json!("parity = 0")), of(&stored, &views, &out_of_sync)).unwrap(), 100);
        let resolved = resolve(&mut resolver, Operation::ClearDocuments, of(&stored, &views, &out_of_sync)).unwrap();
        assert_eq!(resolved.resolution, Resolution::Count(100));
    }
    let out_of_sync = [views[0].id.clone(), views[1].id.clone()];
    let error = resolve(&mut resolver, Operation::DeleteIndex, of(&stored, &views, &out_of_sync))
        .expect_err("some shards are on these two only");
    assert!(error.to_string().starts_with("no replica in sync of shards"), "{error}");
}

/// A node that answers one page of ids that nobody else has, of two, and then never again. Returns how often it was
/// asked.
fn half_a_node() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if count.fetch_add(1, Ordering::SeqCst) > 0 {
                silent.push(stream);
                continue;
            }
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            // The body ends with the filter's list.
            while !request.ends_with(b"}") {
                let read = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..read]);
            }
            let results: Vec<Value> = (0..10_000).map(|id| json!({ "id": format!("strange-{id}") })).collect();
            let body = json!({ "results": results, "offset": 0, "limit": 10_000, "total": 20_000 }).to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head, body].concat().into_bytes()).unwrap();
        }
    });
    (url, asked)
}

/// Goal: many documents are found in several pages, and what a node said before it fell silent counts for nothing.
#[test]
fn many_documents_are_listed_in_pages_and_a_silent_node_is_gone_round() {
    const MANY: u64 = 50_000;
    let (_fleet, stored, mut views) = filled(MANY);
    let mut resolver = Resolver::new(Some("node-key"), ANSWER_TIMEOUT);
    assert_even(resolve(&mut resolver, by(json!("parity = 0")), of(&stored, &views, &[])).unwrap(), MANY);
    let stopped = resolve_unless(&mut resolver, by(json!("parity = 0")), of(&stored, &views, &[]), true);
    assert_eq!(stopped, Err(ResolveError::Stopping));

    // The first one is asked first, where it is now.
    let (url, asked) = half_a_node();
    views[0].url = url;
    assert_even(resolve(&mut resolver, by(json!("parity = 0")), of(&stored, &views, &[])).unwrap(), MANY);
    assert_eq!(asked.load(Ordering::SeqCst), 2);

    // Nor is it asked at all once the prober has seen it.
    views[0].reachable = false;
    assert_even(resolve(&mut resolver, by(json!("parity = 0")), of(&stored, &views, &[])).unwrap(), MANY);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}
