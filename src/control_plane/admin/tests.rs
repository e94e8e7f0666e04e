//! Answers from a made-up snapshot.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::Method;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::*;
use crate::bridge::topology::{TopologyRequest, WhatIf};
use crate::control_plane::status::NodeLook;
use crate::logic::ids::{Epoch, IndexUid, NodeId, NodeIndexUid, NodeSlot, ShardId, Timestamp};
use crate::logic::snapshot::{CoveringSet, IndexView, NodeView, RoutingSnapshot, UpdatedAt};

fn snapshot() -> RoutingSnapshot {
    let node = |id: &str, reachable| NodeView {
        id: NodeId::new(id),
        url: format!("http://{id}:7700"),
        address: None,
        zone: None,
        weight: 1.0,
        reachable,
    };
    let films = IndexView {
        uid: IndexUid::new("films"),
        node_uid: NodeIndexUid::new("films-1"),
        primary_key: None,
        settings: Arc::default(),
        created_at: Timestamp(0),
        updated_at: UpdatedAt::default(),
        out_of_sync: vec![NodeSlot(1)],
        covers: Arc::new([CoveringSet { parts: vec![], missing: vec![ShardId(1)] }]),
    };
    RoutingSnapshot {
        epoch: Epoch(7),
        nodes: vec![node("a", true), node("b", false)],
        placement: vec![vec![NodeSlot(0), NodeSlot(1)], vec![NodeSlot(1)]],
        foreign: vec![],
        indexes: [(films.uid.clone(), Arc::new(films))].into(),
        ..RoutingSnapshot::default()
    }
}

/// The status and body of an answer that needs no control plane, or one that answers from `tasks`.
fn ask(key: Option<&str>, target: &str, authorization: Option<&'static str>) -> (u16, Value) {
    let (bridge, commands) = Bridge::new(1);
    bridge.publish(snapshot());
    let looks = Looks::default();
    for (node, version) in [("a", "1.50.0"), ("b", "1.51.0")] {
        looks.note(&NodeId::new(node), NodeLook { version: Some(version.to_owned()), ..NodeLook::default() });
    }
    let api = AdminApi::new(bridge, Troubles::default(), looks, key.map(Secret::new));
    let mut request = Request::new(Method::GET, target);
    if let Some(value) = authorization {
        request = request.with_header(AUTHORIZATION, HeaderValue::from_static(value));
    }
    let mut answer = pin!(api.answer(request));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10 {
        if let Poll::Ready(response) = answer.as_mut().poll(&mut context) {
            return (response.status, serde_json::from_slice(&response.body).unwrap_or_default());
        }
        match commands.try_recv() {
            Ok(Command::Tasks(query, reply)) => {
                reply.send(Ok(TaskPage { results: vec![], total: 3, limit: query.limit, from: None, next: None }));
            }
            Ok(Command::Topology(request, reply)) => reply.send(Ok(json!({"asked": format!("{request:?}")}))),
            _ => panic!("it waits for something else"),
        }
    }
    panic!("it asks without end");
}

#[test]
fn status_counts_what_matters() {
    let (status, body) = ask(None, "/_miroir/status", None);
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "epoch": 7,
        "acknowledgedEpoch": 0,
        "drainedEpoch": 7,
        "shards": 2,
        "unreadableShards": 1,
        "replicationFactor": 1,
        "nodes": {"total": 2, "reachable": 1, "outOfSync": 1},
        "nodeVersions": [
            {"version": "1.50.0", "nodes": ["a"], "fitness": "tested"},
            {"version": "1.51.0", "nodes": ["b"], "fitness": "untested"},
        ],
        "indexes": 1,
        "tasks": {"unfinished": 3},
        "storeTrouble": null,
        "heldUp": [],
        "quarantines": [],
        "differences": 0,
        "driftCheckedAt": null,
        "driftPutRight": 0,
        "drift": [],
    });
    assert_eq!((status, body), (200, expected));
}

#[test]
fn nodes_and_shards_are_listed() {
    let (_, body) = ask(None, "/_miroir/nodes", None);
    let second = json!({
        "id": "b", "url": "http://b:7700", "address": null, "zone": null, "weight": 1.0, "reachable": false, "shards": 2,
        "outOfSync": ["films"],
    });
    assert_eq!(body["results"][1], second);
    let (_, body) = ask(None, "/_miroir/shards", None);
    assert_eq!(body, json!({"results": [{"shard": 0, "nodes": ["a", "b"]}, {"shard": 1, "nodes": ["b"]}]}));
}

#[test]
fn tasks_are_asked_of_the_journal() {
    assert_eq!(ask(None, "/_miroir/tasks?limit=5", None).1["limit"], 5);
    assert_eq!(ask(None, "/tasks", None).1["limit"], 20);
    let (status, body) = ask(None, "/_miroir/tasks?limit=-1", None);
    assert_eq!((status, &body["code"]), (400, &json!("invalid_task_limit")));
}

#[test]
fn a_key_is_asked_for_where_one_is_configured() {
    let table = [
        (None, 401),
        (Some("Bearer wrong!"), 403),
        (Some("Bearer secre"), 403),
        (Some("secret"), 401),
        (Some("Bearer secret"), 200),
    ];
    for (authorization, status) in table {
        assert_eq!(ask(Some("secret"), "/_miroir/nodes", authorization).0, status, "{authorization:?}");
    }
    assert_eq!(ask(Some("secret"), "/unknown", None).0, 401);
    assert_eq!(ask(Some("secret"), "/health", None).0, 200);
}

#[test]
fn unknown_routes_are_not_found() {
    for target in ["/unknown", "/nodes/a/b", "/nodes//can-stop", "/shards/1/explain/2", "/status/"] {
        let (status, body) = ask(None, target, None);
        assert_eq!((status, &body["code"]), (404, &json!("miroir_route_unknown")), "{target}");
    }
}

#[test]
fn other_methods_are_refused_with_those_that_exist() {
    let (bridge, _commands) = Bridge::new(1);
    let api = AdminApi::new(bridge, Troubles::default(), Looks::default(), None);
    let mut answer = pin!(api.answer(Request::new(Method::DELETE, "/rebalance")));
    let Poll::Ready(response) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it waits for something")
    };
    assert_eq!((response.status, response.header("allow")), (405, Some("GET")));
}

#[test]
fn bodies_are_read_strictly() {
    let table = [
        ("", Some(WhatIf::default())),
        (r#"{"drain": ["a"]}"#, Some(WhatIf { drain: vec![NodeId::new("a")], ..WhatIf::default() })),
        (r#"{"drian": ["a"]}"#, None),
        ("[", None),
    ];
    for (body, expected) in table {
        let request = Request::new(Method::POST, "/rebalance/plan").with_json(body);
        match (question("/rebalance/plan", &request), expected) {
            (Ok(question), Some(expected)) => {
                assert_eq!(question, TopologyRequest::Preview(expected).into(), "{body}");
            }
            (Err(NoQuestion::Error(error)), None) => assert_eq!(error.code, Code::MalformedPayload, "{body}"),
            (_, expected) => panic!("{body}: not {expected:?}"),
        }
    }
}

#[test]
fn a_trial_that_is_misspelled_or_misplaced_is_not_the_real_thing() {
    for (method, path, query) in [
        (Method::POST, "/nodes/a/drain", "dryRun=true"),
        (Method::PUT, "/replication-factor", "dryRun=true"),
        (Method::DELETE, "/nodes/a", "Force=true"),
        (Method::DELETE, "/nodes/a", "dry-run=true"),
        (Method::POST, "/rebalance/abort", "dryRun=true"),
        (Method::POST, "/rebalance/pause", "dryRun=true"),
        (Method::PUT, "/nodes/a/maintenance", "dryRun=true"),
        (Method::PATCH, "/rebalance/limits", "dryRun=true"),
        (Method::POST, "/nodes/a/compact", "dryRun=true"),
    ] {
        let request = Request::new(method, &format!("{path}?{query}")).with_json("{}");
        let Err(NoQuestion::Error(error)) = question(path, &request) else { panic!("{path}?{query}") };
        assert_eq!(error.code, Code::BadRequest, "{path}?{query}");
    }
}

#[test]
fn questions_about_the_topology_are_read_from_the_path() {
    let node = NodeId::new("node 1");
    let document = || "a/b".to_owned();
    let table = [
        ("/nodes/node%201/can-stop", TopologyRequest::CanStop { node }),
        ("/_miroir/shards/7/explain", TopologyRequest::ExplainShard { shard: ShardId(7) }),
        (
            "/indexes/films/documents/a%2Fb/explain",
            TopologyRequest::ExplainDocument { index: IndexUid::new("films"), document: document() },
        ),
        ("/rebalance", TopologyRequest::RebalanceStatus),
    ];
    for (target, request) in table {
        assert_eq!(ask(None, target, None), (200, json!({"asked": format!("{request:?}")})), "{target}");
    }
    for shard in ["x", "-1", "65536"] {
        let (status, body) = ask(None, &format!("/shards/{shard}/explain"), None);
        assert_eq!((status, &body["code"]), (404, &json!("miroir_shard_unknown")), "{shard}");
    }
}
