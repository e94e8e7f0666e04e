//! Searches against nodes played by a function: scatter, retry, degraded answers.

use std::rc::Rc;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::data_plane::fake::{FakeUpstream, block_on, core_with};
use crate::data_plane::handlers::route;
use crate::data_plane::upstream::{NodeRequest, NodeResponse, UpstreamError};
use crate::logic::covering::{CoverInput, covering_sets};
use crate::logic::ids::{Epoch, IndexUid, NodeId, NodeIndexUid, NodeSlot, Timestamp};
use crate::logic::snapshot::{IndexView, NodeView, RoutingSnapshot, UpdatedAt};
use crate::telemetry::clock;

/// A fleet with one index `movies` (`movies-1` on the nodes); `placement` names the nodes of each shard.
pub(in crate::data_plane::handlers) fn fleet(placement: &[&[u16]], out_of_sync: &[u16]) -> RoutingSnapshot {
    fleet_with_foreign(placement, out_of_sync, &[])
}

/// The same with nodes that may hold what is not theirs.
pub(in crate::data_plane::handlers) fn fleet_with_foreign(
    placement: &[&[u16]],
    out_of_sync: &[u16],
    foreign: &[u16],
) -> RoutingSnapshot {
    let slots = |nodes: &[u16]| nodes.iter().copied().map(NodeSlot).collect::<Vec<_>>();
    let placement: Vec<Vec<NodeSlot>> = placement.iter().map(|nodes| slots(nodes)).collect();
    let count = placement.iter().flatten().map(|node| node.0 + 1).max().unwrap_or(0);
    let view = |slot: u16| NodeView {
        id: NodeId::new(format!("n{slot}")),
        url: format!("http://n{slot}"),
        address: None,
        zone: None,
        weight: 1.0,
        reachable: true,
    };
    let (out_of_sync, foreign) = (slots(out_of_sync), slots(foreign));
    let input =
        CoverInput { placement: &placement, out_of_sync: &out_of_sync, unreachable: &[], may_hold_foreign: &foreign };
    let index = IndexView {
        uid: IndexUid::new("movies"),
        node_uid: NodeIndexUid::new("movies-1"),
        primary_key: Some("id".into()),
        settings: Arc::new(serde_json::Map::from_iter([("filterableAttributes".to_owned(), json!(["a"]))])),
        created_at: Timestamp(0),
        updated_at: UpdatedAt::default(),
        covers: covering_sets(input),
        out_of_sync,
    };
    RoutingSnapshot {
        epoch: Epoch(1),
        nodes: (0..count).map(view).collect(),
        placement,
        foreign,
        indexes: [(index.uid.clone(), Arc::new(index))].into(),
        ..RoutingSnapshot::default()
    }
}

/// A fleet whose index has these settings, too.
pub(in crate::data_plane::handlers) fn fleet_with(mut snapshot: RoutingSnapshot, settings: &Value) -> RoutingSnapshot {
    for index in snapshot.indexes.values_mut() {
        let own = settings.as_object().expect("an object").clone();
        Arc::make_mut(&mut Arc::make_mut(index).settings).extend(own);
    }
    snapshot
}

/// Answers a request to that fleet.
pub(in crate::data_plane::handlers) fn ask(
    upstream: &Rc<FakeUpstream>,
    snapshot: RoutingSnapshot,
    request: Request,
) -> Response {
    let core = core_with(upstream.clone());
    core.bridge.snapshot.store(Arc::new(snapshot));
    block_on(route(&core, request))
}

pub(in crate::data_plane::handlers) fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).expect("JSON")
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a fake node returns")]
pub(in crate::data_plane::handlers) fn ok(body: &Value) -> Result<NodeResponse, UpstreamError> {
    Ok(NodeResponse { status: 200, body: body.to_string().into() })
}

pub(in crate::data_plane::handlers) fn down(node: &NodeView) -> Result<NodeResponse, UpstreamError> {
    Err(UpstreamError::Unreachable { node: node.id.clone(), reason: "down".to_owned() })
}

fn search_for(body: &Value) -> Request {
    Request::new(Method::POST, "/indexes/movies/search").with_json(body.to_string())
}

/// Each node has one hit: its number, with as many matching words.
fn numbered(node: &NodeView, _: &NodeRequest) -> Result<NodeResponse, UpstreamError> {
    let number: u64 = node.id.as_str()[1..].parse().expect("a number");
    let details = json!({"words": {"order": 0, "matchingWords": number, "maxMatchingWords": 9, "score": 0.5}});
    ok(&json!({"hits": [{"_miroir": "x", "id": number, "_rankingScoreDetails": details}], "estimatedTotalHits": 1}))
}

#[test]
fn hits_of_all_shards_are_merged() {
    let upstream = FakeUpstream::new(numbered);
    let response =
        ask(&upstream, fleet(&[&[0], &[1], &[2]], &[]), search_for(&json!({"q": "a", "limit": 2, "offset": 1})));
    assert_eq!(response.status, 200);
    let answer = json_of(&response);
    assert_eq!(answer["hits"], json!([{"id": 1}, {"id": 0}]));
    assert_eq!((&answer["estimatedTotalHits"], &answer["offset"], &answer["limit"]), (&json!(3), &json!(1), &json!(2)));
    assert_eq!(answer.get("degraded"), None);
    let requests = upstream.requests.borrow();
    assert_eq!(requests.len(), 3);
    for (_, request) in requests.iter() {
        assert_eq!(request.target, "/indexes/movies-1/search");
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        assert_eq!(body, json!({"q": "a", "offset": 0, "limit": 3, "showRankingScoreDetails": true}));
    }
}

#[test]
fn a_node_that_holds_everything_is_asked_as_the_client_asked() {
    let upstream = FakeUpstream::new(numbered);
    let body = json!({"q": "a", "limit": 2, "offset": 1});
    let response = ask(&upstream, fleet(&[&[0, 1], &[1, 0]], &[]), search_for(&body));
    assert_eq!(json_of(&response)["hits"].as_array().map(Vec::len), Some(1));
    let requests = upstream.requests.borrow();
    let asked: Value = serde_json::from_slice(&requests[0].1.body).expect("JSON");
    assert_eq!(
        (requests.len(), asked),
        (1, json!({"q": "a", "limit": 2, "offset": 1, "showRankingScoreDetails": true}))
    );
}

#[test]
fn another_replica_stands_in_for_a_node_that_fails() {
    for status in [None, Some(500), Some(429), Some(403)] {
        let upstream = FakeUpstream::new(move |node, request| match status {
            _ if node.id.as_str() != "n1" => numbered(node, request),
            None => down(node),
            Some(status) => Ok(NodeResponse { status, body: "{}".into() }),
        });
        let response = ask(&upstream, fleet(&[&[0, 1], &[1, 2], &[2, 0]], &[]), search_for(&json!({})));
        assert_eq!(response.status, 200, "{status:?}");
        assert_eq!(response.header("x-miroir-degraded"), None);
        let asked: Vec<String> = upstream.requests.borrow().iter().map(|(node, _)| node.to_string()).collect();
        assert!(asked.contains(&"n0".to_owned()) || asked.contains(&"n2".to_owned()));
    }
}

#[test]
fn another_replica_is_asked_too_when_a_node_hangs() {
    let upstream = FakeUpstream::new(|node, request| {
        let hangs = node.id.as_str() == "n1";
        if hangs { Err(UpstreamError::TimedOut { node: node.id.clone() }) } else { numbered(node, request) }
    });
    let half_of_the_deadline = std::time::Duration::from_secs(5);
    for query in 0..8 {
        let begun = clock::instant();
        let placement: [&[u16]; 4] = [&[0, 1], &[1, 2], &[2, 0], &[1, 0]];
        let response = ask(&upstream, fleet(&placement, &[]), search_for(&json!({"q": query.to_string()})));
        assert_eq!((response.status, response.header("x-miroir-degraded")), (200, None));
        assert!(begun.elapsed() < half_of_the_deadline, "{:?}", begun.elapsed());
    }
    assert!(upstream.requests.borrow().iter().any(|(node, _)| node.as_str() == "n1"));
}

#[test]
fn a_node_has_all_the_time_for_shards_that_nobody_else_has() {
    for (out_of_sync, seconds) in [(&[2][..], 9..11), (&[], 4..6)] {
        let upstream = FakeUpstream::new(numbered);
        let begun = clock::monotonic();
        for query in 0..8 {
            let fleet = fleet(&[&[0, 1], &[0, 2]], out_of_sync);
            ask(&upstream, fleet, search_for(&json!({"q": query.to_string()})));
        }
        let (requests, deadlines) = (upstream.requests.borrow(), upstream.deadlines.borrow());
        let asked_alone = requests.iter().zip(&*deadlines).find(|((node, _), _)| node.as_str() == "n0");
        let (_, deadline) = asked_alone.expect("n0 has everything");
        // To the nearest second: some queries were answered before this one.
        let patience = (deadline.0 - begun.0 + 500) / 1_000;
        assert!(seconds.contains(&patience), "{out_of_sync:?}: {patience} s");
    }
}

#[test]
fn a_node_that_the_prober_cannot_reach_has_all_the_time_if_nobody_better_can_be_read() {
    // The whole fleet is slow: every probe has failed.
    for (placement, seconds) in [(&[&[0][..], &[1]][..], [10, 10]), (&[&[0, 1], &[1, 0]], [5, 10])] {
        let upstream = FakeUpstream::new(|node, request| {
            let is_second = node.id.as_str() == "n1";
            if is_second { numbered(node, request) } else { down(node) }
        });
        let mut snapshot = fleet(placement, &[]);
        snapshot.nodes.iter_mut().for_each(|node| node.reachable = false);
        let begun = clock::monotonic();
        ask(&upstream, snapshot, search_for(&json!({})));
        let patience: Vec<u64> =
            upstream.deadlines.borrow().iter().map(|deadline| (deadline.0 - begun.0 + 500) / 1_000).collect();
        assert!(patience.iter().all(|given| seconds.contains(given)), "{placement:?}: {patience:?} s");
    }
}

#[test]
fn what_nobody_answers_is_said_or_refused() {
    let fleet = || fleet(&[&[0], &[1], &[1]], &[]);
    let upstream =
        FakeUpstream::new(|node, request| if node.id.as_str() == "n1" { down(node) } else { numbered(node, request) });
    let response = ask(&upstream, fleet(), search_for(&json!({})));
    assert_eq!((response.status, response.header("x-miroir-degraded")), (200, Some("shards=1,2")));
    assert_eq!(json_of(&response)["degraded"], json!(true));
    let deny = search_for(&json!({})).with_header(HeaderName::from_static(PARTIAL), HeaderValue::from_static("deny"));
    let response = ask(&upstream, fleet(), deny);
    assert_eq!((response.status, json_of(&response)["code"].as_str()), (503, Some("miroir_shard_unavailable")));
    let response = ask(&FakeUpstream::refusing(), fleet(), search_for(&json!({})));
    assert_eq!(response.status, 503, "nothing at all is no partial answer");
    let other = search_for(&json!({})).with_header(HeaderName::from_static(PARTIAL), HeaderValue::from_static("foo"));
    let response = ask(&upstream, fleet(), other);
    let message = "The header `X-Miroir-Partial` must be `allow` or `deny`, found `foo`.";
    assert_eq!((response.status, json_of(&response)["message"].as_str()), (400, Some(message)));
}

#[test]
fn nodes_that_are_asked_too_much_are_an_overload_and_no_missing_shards() {
    let busy = |node: &NodeView| Err(UpstreamError::Busy { node: node.id.clone() });
    let upstream = FakeUpstream::new(
        move |node, request| if node.id.as_str() == "n1" { busy(node) } else { numbered(node, request) },
    );
    let response = ask(&upstream, fleet(&[&[0], &[1]], &[]), search_for(&json!({})));
    assert_eq!((response.status, json_of(&response)["code"].as_str()), (503, Some("miroir_overloaded")));
    assert!(response.header("retry-after").is_some());
    let response = ask(&upstream, fleet(&[&[0], &[1, 2]], &[]), search_for(&json!({})));
    assert_eq!((response.status, response.header("x-miroir-degraded")), (200, None), "another replica has time");
    let all = FakeUpstream::new(move |node, _| busy(node));
    let response = ask(&all, fleet(&[&[0, 1], &[1, 0]], &[]), search_for(&json!({})));
    assert_eq!((response.status, json_of(&response)["code"].as_str()), (503, Some("miroir_overloaded")));
}

#[test]
fn a_nodes_complaint_is_explained_in_the_clients_words() {
    let upstream = FakeUpstream::new(|_, request| {
        let is_plain = memchr::memmem::find(&request.body, b"_miroir IN").is_none();
        let shown =
            if is_plain { "2:7 \"title\" = \"1\"" } else { "23:30 (\"title\" = \"1\") AND (\"_miroir\" IN [\"a\"])" };
        let message = format!(
            "Index `movies-1`: Attribute `title` is not filterable. Available filterable attribute patterns are: `_miroir`, `genres`.\n{shown}"
        );
        let body = ApiError::new(Code::InvalidSearchFilter, message).body();
        Ok(NodeResponse { status: 400, body: serde_json::to_vec(&body).expect("plain").into() })
    });
    let response =
        ask(&upstream, fleet(&[&[0, 1], &[1, 2], &[2, 0]], &[]), search_for(&json!({"filter": "title = 1"})));
    assert_eq!(response.status, 400);
    assert_eq!(
        json_of(&response)["message"],
        json!(
            "Index `movies`: Attribute `title` is not filterable. Available filterable attribute patterns are: `genres`.\n2:7 \"title\" = \"1\""
        )
    );
}

#[test]
fn what_a_node_cannot_do_is_said_to_the_client() {
    let upstream = FakeUpstream::new(|_, _| {
        let body = ApiError::new(Code::MiroirNotSupported, "Not on this node.").body();
        Ok(NodeResponse { status: 501, body: serde_json::to_vec(&body).expect("plain").into() })
    });
    let response = ask(&upstream, fleet(&[&[0], &[1]], &[]), search_for(&json!({"filter": "_vectors EXISTS"})));
    assert_eq!((response.status, json_of(&response)["message"].as_str()), (501, Some("Not on this node.")));
}

#[test]
fn the_index_is_looked_up_after_types_and_before_the_rest() {
    let upstream = FakeUpstream::new(numbered);
    for (target, body, code) in [
        ("/indexes/nope/search", json!({"limit": "a"}), "invalid_search_limit"),
        ("/indexes/no%20pe/search", json!({}), "invalid_index_uid"),
        ("/indexes/nope/search", json!({"filter": "x ="}), "index_not_found"),
        ("/indexes/movies/search", json!({"filter": "x ="}), "invalid_search_filter"),
        ("/indexes/movies/search", json!({"sort": ["_miroir:asc"]}), "miroir_reserved_field"),
    ] {
        let request = Request::new(Method::POST, target).with_json(body.to_string());
        let response = ask(&upstream, fleet(&[&[0]], &[]), request);
        assert_eq!(json_of(&response)["code"], json!(code), "{target} {body}");
    }
    let response = ask(&upstream, fleet(&[&[0]], &[]), Request::new(Method::GET, "/indexes/movies/search?q=a&limit=1"));
    assert_eq!(json_of(&response)["query"], json!("a"));
}

#[test]
fn facets_are_judged_by_the_users_rules_alone() {
    // A node's first rule is the marker's: it takes `*` for that, and counts rules from there.
    let taken = FakeUpstream::new(numbered);
    let response = ask(&taken, fleet(&[&[0], &[1]], &[]), search_for(&json!({"facets": ["*"]})));
    let message =
        "Invalid facet distribution: Pattern `*` is not filterable. Available filterable attributes patterns are: `a`.";
    assert_eq!((response.status, json_of(&response)["message"].as_str()), (400, Some(message)));
    let refused = FakeUpstream::new(|_, _| {
        let body = ApiError::new(Code::InvalidSearchFacets, "matched rule #1").body();
        Ok(NodeResponse { status: 400, body: serde_json::to_vec(&body).expect("plain").into() })
    });
    let response = ask(&refused, fleet(&[&[0], &[1]], &[]), search_for(&json!({"facets": ["*"]})));
    assert_eq!((response.status, json_of(&response)["message"].as_str()), (400, Some(message)));
}

/// Each node has hits `n * 1000` and up, each worse than the one before; documents are fetched by their ids.
fn long_lists(node: &NodeView, request: &NodeRequest) -> Result<NodeResponse, UpstreamError> {
    let number: u64 = node.id.as_str()[1..].parse().expect("a number");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    if request.target.ends_with("/documents/fetch") {
        let ids = body["ids"].as_array().expect("ids").iter();
        let document = |id: &Value| {
            let id: u64 = id.as_str().expect("a text").parse().expect("a number");
            json!({"_miroir": "x", "id": id, "title": format!("t{id}")})
        };
        let documents: Vec<Value> = ids.map(document).collect();
        return ok(&json!({"results": documents, "offset": 0, "limit": 20, "total": documents.len()}));
    }
    let hit = |place: u64| {
        let details = json!({"p:asc": {"order": 0, "value": place * 2 + number}});
        json!({"_miroir": "x", "id": number * 1000 + place, "title": "t", "_rankingScoreDetails": details})
    };
    let hits: Vec<Value> = (0..body["limit"].as_u64().expect("a limit")).map(hit).collect();
    ok(&json!({"hits": hits, "estimatedTotalHits": 900}))
}

#[test]
fn far_pages_are_ranked_without_their_documents() {
    let upstream = FakeUpstream::new(long_lists);
    let body = json!({"offset": 150, "limit": 3, "attributesToRetrieve": ["title"], "showRankingScore": true});
    let response = ask(&upstream, fleet(&[&[0], &[1]], &[]), search_for(&body));
    let answer = json_of(&response);
    assert_eq!(answer["hits"], json!([{"title": "t75"}, {"title": "t1075"}, {"title": "t76"}]), "{answer}");
    let requests = upstream.requests.borrow();
    for (_, request) in requests.iter().filter(|(_, request)| request.target.ends_with("/search")) {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        assert_eq!((&body["attributesToRetrieve"], &body["limit"]), (&json!(["id"]), &json!(153)));
    }
    assert!(requests.iter().any(|(_, request)| request.target == "/indexes/movies-1/documents/fetch"));
}

#[test]
fn a_far_page_whose_documents_are_gone_is_asked_for_as_a_whole() {
    let upstream = FakeUpstream::new(|node, request| {
        if request.target.ends_with("/documents/fetch") {
            return ok(&json!({"results": [], "offset": 0, "limit": 20, "total": 0}));
        }
        long_lists(node, request)
    });
    let response = ask(&upstream, fleet(&[&[0], &[1]], &[]), search_for(&json!({"offset": 150, "limit": 1})));
    assert_eq!(json_of(&response)["hits"], json!([{"id": 75, "title": "t"}]));
}

#[test]
fn an_explained_answer_says_who_was_asked_and_why() {
    let upstream =
        FakeUpstream::new(|node, request| if node.id.as_str() == "n1" { down(node) } else { numbered(node, request) });
    let request = |value: &'static str| {
        search_for(&json!({})).with_header(HeaderName::from_static("x-miroir-explain"), HeaderValue::from_static(value))
    };
    let snapshot = || fleet(&[&[0], &[1, 2], &[3, 0]], &[3]);
    let answer = json_of(&ask(&upstream, snapshot(), request("true")));
    let explain = &answer["explain"];
    assert_eq!(answer["hits"].as_array().map(Vec::len), Some(2), "{answer}");
    assert_eq!((&explain["shards"], &explain["missing"]), (&json!(3), &json!([])), "{explain}");
    let requests = explain["requests"].as_array().expect("requests");
    let of = |node: &str| requests.iter().find(|sent| sent["node"] == node);
    assert_eq!(of("n0").map(|sent| &sent["outcome"]), Some(&json!("status 200")));
    let received = of("n0").and_then(|sent| sent["bytesReceived"].as_u64());
    assert!(received.is_some_and(|bytes| bytes > 50), "{explain}");
    let why = |node: usize| explain["nodes"][node]["why"].as_str().expect("a text");
    assert!(why(0).starts_with("chosen"), "{explain}");
    assert_eq!(why(3), "skipped: its replicas of this index are not in sync");
    // Whichever of the two the query prefers for shard 1: when it is the dead one, the other stands in.
    let retried = u64::from(of("n1").is_some());
    assert_eq!(explain["retries"], json!(retried), "{explain}");
    assert_eq!(of("n2").map(|sent| &sent["shards"]), Some(&json!([1])), "{explain}");

    let get = Request::new(Method::GET, "/indexes/movies/search?q=x");
    let get = get.with_header(HeaderName::from_static("x-miroir-explain"), HeaderValue::from_static("true"));
    let answer = json_of(&ask(&upstream, fleet(&[&[0], &[1], &[1]], &[]), get));
    assert_eq!((&answer["degraded"], &answer["explain"]["missing"]), (&json!(true), &json!([1, 2])), "{answer}");

    assert_eq!(json_of(&ask(&upstream, snapshot(), request("false"))).get("explain"), None);
    let refused = ask(&upstream, snapshot(), request("perhaps"));
    assert_eq!((refused.status, json_of(&refused)["code"].as_str()), (400, Some("bad_request")));
}

/// An answer with as many values as a node lists: of the most frequent one the other node does not say how often it is there.
fn cut_facets(node: &NodeView) -> Result<NodeResponse, UpstreamError> {
    let values = (1..20_000).map(|place| (format!("{place:05}"), json!(5)));
    let values: serde_json::Map<_, _> = std::iter::once((format!("own {}", node.id), json!(9))).chain(values).collect();
    ok(&json!({"hits": [], "estimatedTotalHits": 40_000, "facetDistribution": {"a": values}, "facetStats": {}}))
}

#[test]
fn values_of_facets_that_a_cut_list_lacks_are_asked_for_once_more() {
    let settings = json!({"faceting": {"maxValuesPerFacet": 2, "sortFacetValuesBy": {"a": "count"}}});
    let snapshot = || fleet_with(fleet(&[&[0], &[1]], &[]), &settings);
    let search = || search_for(&json!({"q": "x", "facets": ["a"], "filter": "a EXISTS"}));
    let is_asked_again = |request: &NodeRequest| memchr::memmem::find(&request.body, br#"\"a\" IN"#).is_some();
    let upstream = FakeUpstream::new(move |node, request| {
        if !is_asked_again(request) {
            return cut_facets(node);
        }
        let sent: Value = serde_json::from_slice(&request.body).expect("JSON");
        assert_eq!((&sent["limit"], &sent["facets"], &sent["q"]), (&json!(0), &json!(["a"]), &json!("x")));
        let values = json!({"own n0": 3, "own n1": 4});
        ok(&json!({"hits": [], "estimatedTotalHits": 7, "facetDistribution": {"a": values}, "facetStats": {}}))
    });
    let response = ask(&upstream, snapshot(), search());
    assert_eq!(json_of(&response)["facetDistribution"].to_string(), r#"{"a":{"own n1":13,"own n0":12}}"#);
    assert_eq!(response.header("x-miroir-approximate"), None);
    assert_eq!(upstream.requests.borrow().len(), 4);
    let failing =
        FakeUpstream::new(move |node, request| if is_asked_again(request) { down(node) } else { cut_facets(node) });
    let response = ask(&failing, snapshot(), search());
    assert_eq!((response.status, response.header("x-miroir-approximate")), (200, Some("facets")));
}

#[test]
fn an_attribute_to_search_on_is_wrong_when_no_node_knows_it() {
    let read = |request: &NodeRequest| serde_json::from_slice::<Value>(&request.body).expect("JSON");
    // Each node refuses what it knows no document with.
    let upstream = FakeUpstream::new(move |node, request| {
        let known = if node.id.as_str() == "n0" { "title" } else { "title, owner.name" };
        let asked = read(request);
        let names = asked["attributesToSearchOn"].as_array().cloned().unwrap_or_default();
        let unknown = names.iter().filter_map(Value::as_str).find(|name| !known.split(", ").any(|is| is == *name));
        let Some(unknown) = unknown else { return numbered(node, request) };
        let message = format!(
            "Index `movies-1`: Attribute `{unknown}` is not searchable. Available searchable attributes are: `{known}`."
        );
        let body = ApiError::new(Code::InvalidSearchAttributesToSearchOn, message).body();
        Ok(NodeResponse { status: 400, body: serde_json::to_vec(&body).expect("plain").into() })
    });
    let search = |names: Value| {
        ask(&upstream, fleet(&[&[0], &[1]], &[]), search_for(&json!({"q": "w", "attributesToSearchOn": names})))
    };
    let response = search(json!(["owner.name", "title"]));
    assert_eq!((response.status, json_of(&response)["hits"].as_array().map(Vec::len)), (200, Some(2)));
    let asked: Vec<(String, Value)> = upstream
        .requests
        .borrow()
        .iter()
        .map(|(node, request)| (node.to_string(), read(request)["attributesToSearchOn"].clone()))
        .collect();
    assert!(asked.contains(&("n0".to_owned(), json!(["title"]))), "{asked:?}");
    assert!(asked.contains(&("n1".to_owned(), json!(["owner.name", "title"]))), "{asked:?}");
    assert_eq!(asked.len(), 3, "{asked:?}");
    let response = search(json!(["owner.name", "nowhere"]));
    assert_eq!(response.status, 400);
    assert_eq!(
        json_of(&response)["message"],
        json!(
            "Index `movies`: Attribute `nowhere` is not searchable. Available searchable attributes are: `owner.name, title`."
        )
    );
}

#[test]
fn a_mistake_with_many_names_costs_few_requests() {
    let upstream = FakeUpstream::new(|_, request| {
        let body = serde_json::from_slice::<Value>(&request.body).expect("JSON");
        let unknown = body["attributesToSearchOn"][0].as_str().unwrap_or("gone").to_owned();
        let message =
            format!("Attribute `{unknown}` is not searchable. Available searchable attributes are: `odd, title`.");
        let body = ApiError::new(Code::InvalidSearchAttributesToSearchOn, message).body();
        Ok(NodeResponse { status: 400, body: serde_json::to_vec(&body).expect("plain").into() })
    });
    // The fake refuses what it takes, too: nothing is believed for ever.
    let names: Vec<String> = (0..5_000).map(|number| format!("z{number}")).chain(["title".to_owned()]).collect();
    let response = ask(&upstream, fleet(&[&[0], &[1]], &[]), search_for(&json!({"attributesToSearchOn": names})));
    assert_eq!(response.status, 400);
    assert!(upstream.requests.borrow().len() < 12, "{}", upstream.requests.borrow().len());
}

#[test]
fn what_nodes_refuse_of_our_own_questions_refuses_no_search() {
    // The nodes have no rule for the distinct attribute yet.
    let upstream = FakeUpstream::new(|node, request| {
        let body = serde_json::from_slice::<Value>(&request.body).expect("JSON");
        if body.get("distinct").is_none() && body.get("facets").is_none() && !body["filter"].to_string().contains("sku")
        {
            return numbered(node, request);
        }
        let message = "Index `movies-1`: Attribute `sku` is not filterable.";
        let body = ApiError::new(Code::InvalidSearchFilter, message).body();
        Ok(NodeResponse { status: 400, body: serde_json::to_vec(&body).expect("plain").into() })
    });
    let snapshot = || fleet_with(fleet(&[&[0], &[1]], &[]), &json!({"distinctAttribute": "sku"}));
    let response = ask(&upstream, snapshot(), search_for(&json!({})));
    assert_eq!((response.status, json_of(&response)["hits"].as_array().map(Vec::len)), (200, Some(2)));
    assert_eq!(response.header("x-miroir-approximate"), Some("totals"));
    let wrong = ask(&upstream, snapshot(), search_for(&json!({"filter": "sku = 1"})));
    assert_eq!((wrong.status, json_of(&wrong)["code"].as_str()), (400, Some("invalid_search_filter")));
}
