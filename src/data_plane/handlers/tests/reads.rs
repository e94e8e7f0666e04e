//! What holds for every handler that asks nodes: it follows one snapshot, holds it as long as it does so, and takes from no
//! node what is not the node's.

use std::cell::OnceCell;
use std::rc::Rc;

use http::Method;
use serde_json::{Value, json};

use crate::data_plane::core::Core;
use crate::data_plane::fake::{FakeUpstream, block_on, core_with};
use crate::data_plane::handlers::route;
use crate::data_plane::handlers::search::tests::{ask, fleet, fleet_with_foreign, ok};
use crate::data_plane::upstream::{NodeRequest, NodeResponse, UpstreamError};
use crate::http_types::Request;
use crate::logic::ids::Epoch;
use crate::logic::marker;
use crate::logic::snapshot::RoutingSnapshot;

/// One request for each way to read from nodes.
fn reads() -> Vec<Request> {
    let get = |target: &str| Request::new(Method::GET, target);
    let post = |target: &str, body: &Value| Request::new(Method::POST, target).with_json(body.to_string());
    vec![
        get("/indexes/movies/search?q=a"),
        post("/indexes/movies/search", &json!({"filter": "a = 1"})),
        get("/indexes/movies/documents"),
        get("/indexes/movies/documents?sort=a:asc&offset=1"),
        post("/indexes/movies/documents/fetch", &json!({"ids": ["1", "2"], "filter": "a = 1"})),
        get("/indexes/movies/documents/1"),
        get("/indexes/movies/stats"),
        get("/stats"),
    ]
}

/// One document on every node.
fn answer(request: &NodeRequest) -> Result<NodeResponse, UpstreamError> {
    let document = json!({"_miroir": "x", "id": "1", "a": 1});
    ok(&match request.target.rsplit('/').next().expect("a path") {
        "search" => json!({"hits": [], "estimatedTotalHits": 0, "facetDistribution": {"a": {"1": 1}}}),
        "fetch" => json!({"results": [document], "offset": 0, "limit": 20, "total": 1}),
        "stats" => json!({"databaseSize": 1, "usedDatabaseSize": 1, "indexes": {"movies-1": {"numberOfDocuments": 1}}}),
        _ => document,
    })
}

#[test]
fn a_read_holds_its_snapshot_until_the_last_node_has_answered_and_no_longer() {
    for request in reads() {
        let target = request.path.clone();
        let shared: Rc<OnceCell<Core>> = Rc::default();
        let core = shared.clone();
        let upstream = FakeUpstream::new(move |_, request| {
            let core = core.get().expect("set before anything is asked");
            let newest = core.snapshot();
            core.bridge
                .publish(RoutingSnapshot { epoch: Epoch(newest.epoch.0 + 1), ..RoutingSnapshot::clone(&newest) });
            drop(newest);
            // As every core does at once.
            core.snapshot();
            assert_eq!(core.bridge.progress().drained, Epoch(1), "{}", request.target);
            answer(request)
        });
        let core = shared.get_or_init(|| core_with(upstream.clone()));
        core.bridge.publish(fleet(&[&[0], &[1], &[1]], &[]));
        let response = block_on(route(core, request));
        assert_eq!(response.status, 200, "{target}: {:?}", response.body);
        let asked = upstream.requests.borrow().len() as u64;
        assert!(asked > 0, "{target}");
        assert_eq!(core.bridge.progress().drained, Epoch(1 + asked), "{target}");
    }
}

/// A request that names one document is for an owner of its shard, which has that document once.
fn names_one_document(request: &NodeRequest) -> bool {
    request.target.ends_with("/documents/1")
}

#[test]
fn a_node_with_foreign_documents_is_asked_with_the_filter_by_every_read() {
    for request in reads() {
        for is_foreign in [false, true] {
            let target = request.path.clone();
            let is_wanted = move |request: &NodeRequest| {
                let body = String::from_utf8_lossy(&request.body);
                request.method == Method::GET || body.contains(marker::FIELD) == is_foreign
            };
            let upstream = FakeUpstream::new(move |_, request| {
                assert!(is_wanted(request), "{is_foreign}: {request:?}");
                if request.method == Method::GET && !request.target.ends_with("/stats") {
                    assert!(names_one_document(request), "{request:?}");
                }
                answer(request)
            });
            let foreign = if is_foreign { vec![0] } else { vec![] };
            let snapshot = fleet_with_foreign(&[&[0], &[0]], &[], &foreign);
            let response = ask(&upstream, snapshot, request.clone());
            assert_eq!(response.status, 200, "{target}: {:?}", response.body);
            if target.ends_with("stats") {
                // What nodes say of themselves counts documents that are not theirs.
                let is_counted = upstream.requests.borrow().iter().any(|(_, asked)| asked.target.ends_with("/fetch"));
                assert_eq!(is_counted, is_foreign, "{target}");
            }
        }
    }
}
