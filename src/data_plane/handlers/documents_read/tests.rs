//! Reads of documents against nodes played by a function.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::data_plane::core::Timers;
use crate::data_plane::fake::{FakeUpstream, block_on, core_with};
use crate::data_plane::handlers::route;
use crate::data_plane::handlers::search::tests::{ask, down, fleet, json_of, ok};
use crate::data_plane::upstream::{LocalFuture, NodeResponse, UpstreamError};
use crate::logic::ids::Monotonic;
use crate::logic::snapshot::NodeView;

/// Each node has three documents, `N0` to `N2`, with values that interleave.
fn documents_of(node: &NodeView, request: &NodeRequest) -> Result<NodeResponse, UpstreamError> {
    let number: u64 = node.id.as_str()[1..].parse().expect("a number");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let (offset, limit) = (body["offset"].as_u64().expect("sent"), body["limit"].as_u64().expect("sent"));
    let document = |place: u64| {
        let mut document = json!({"_miroir": "x", "id": format!("{number}{place}"), "p": place * 10 + number});
        if let Some(fields) = body["fields"].as_array() {
            document.as_object_mut().expect("an object").retain(|key, _| fields.contains(&json!(key)));
        }
        document
    };
    let results: Vec<Value> = (0..3).skip(offset as usize).take(limit as usize).map(document).collect();
    ok(&json!({"results": results, "offset": offset, "limit": limit, "total": 3}))
}

fn ids(target: &str) -> Vec<String> {
    let upstream = FakeUpstream::new(documents_of);
    let response = ask(&upstream, fleet(&[&[0], &[1], &[2]], &[]), Request::new(Method::GET, target));
    assert_eq!(response.status, 200, "{target}: {:?}", response.body);
    let list = json_of(&response);
    assert_eq!(list["total"], json!(9));
    assert!(!String::from_utf8_lossy(&response.body).contains("_miroir"));
    list["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|document| document["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[test]
fn pages_go_through_the_nodes_one_by_one() {
    let all = ids("/indexes/movies/documents");
    assert_eq!(all.len(), 9);
    for limit in [1, 2, 4] {
        let pages = (0..9usize)
            .step_by(limit)
            .map(|offset| ids(&format!("/indexes/movies/documents?offset={offset}&limit={limit}")));
        assert_eq!(pages.collect::<Vec<_>>().concat(), all);
    }
}

#[test]
fn sorted_lists_are_merged_by_value_whatever_fields_are_shown() {
    let expected = ["00", "10", "20", "01", "11"];
    assert_eq!(ids("/indexes/movies/documents?sort=p:asc&limit=5"), expected);
    assert_eq!(ids("/indexes/movies/documents?sort=p:asc&limit=3&offset=2&fields=id"), expected[2..]);
}

/// A node sets memory aside for every document that it is asked for.
#[test]
fn no_more_sorted_documents_are_asked_for_than_there_may_be() {
    let most = std::rc::Rc::new(std::cell::Cell::new(0));
    let seen = most.clone();
    let upstream = FakeUpstream::new(move |node, request| {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        seen.set(body["limit"].as_u64().expect("sent").max(seen.get()));
        documents_of(node, request)
    });
    for range in ["offset=50000000000000&limit=5", "limit=18446744073709551615&offset=9"] {
        for nodes in [&[&[0][..], &[1], &[2]][..], &[&[0]]] {
            let target = format!("/indexes/movies/documents?sort=p:asc&{range}");
            let response = ask(&upstream, fleet(nodes, &[]), Request::new(Method::GET, &target));
            assert_eq!((response.status, &json_of(&response)["results"]), (200, &json!([])), "{target}");
        }
    }
    assert_eq!(most.get(), SORTED_FIRST);
}

/// What the first answers are too short for is asked for again.
#[test]
fn deep_sorted_pages_are_whole() {
    let many = SORTED_FIRST + 50;
    let upstream = FakeUpstream::new(move |node, request| {
        let number: u64 = node.id.as_str()[1..].parse().expect("a number");
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let limit = body["limit"].as_u64().expect("sent").min(many);
        let document = |place| json!({"_miroir": "x", "id": 2 * place + number, "p": 2 * place + number});
        ok(&json!({"results": (0..limit).map(document).collect::<Vec<_>>(), "total": many}))
    });
    let target = format!("/indexes/movies/documents?sort=p:asc&fields=id&limit=30&offset={}", 2 * SORTED_FIRST);
    let response = ask(&upstream, fleet(&[&[0], &[1]], &[]), Request::new(Method::GET, &target));
    let expected: Vec<Value> = (2 * SORTED_FIRST..).take(30).map(|id| json!({"id": id})).collect();
    assert_eq!(json_of(&response)["results"], json!(expected));
}

#[test]
fn documents_and_what_they_are_sorted_by_are_read_at_once() {
    // A node that is written to: each of its lists is another one.
    let lists = Cell::new(0);
    let upstream = FakeUpstream::new(move |node, request| {
        lists.set(lists.get() + 1);
        if lists.get() > 3 { ok(&json!({"results": [], "total": 0})) } else { documents_of(node, request) }
    });
    let target = "/indexes/movies/documents?sort=p:asc&limit=3&fields=id";
    let response = ask(&upstream, fleet(&[&[0], &[1], &[2]], &[]), Request::new(Method::GET, target));
    assert_eq!(response.status, 200, "{:?}", response.body);
    assert_eq!(json_of(&response)["results"], json!([{"id": "00"}, {"id": "10"}, {"id": "20"}]));
}

#[test]
fn a_page_near_the_beginning_is_counted_and_read_at_once() {
    // A node that is written to: what it counted is gone when it is asked again.
    for (query, expected) in [
        ("limit=4", json!([{"id": "00"}, {"id": "01"}, {"id": "02"}, {"id": "10"}])),
        ("offset=5&limit=2", json!([{"id": "12"}, {"id": "20"}])),
        ("limit=0", json!([])),
    ] {
        let lists = Cell::new(0);
        let upstream = FakeUpstream::new(move |node, request| {
            lists.set(lists.get() + 1);
            if lists.get() > 3 { ok(&json!({"results": [], "total": 0})) } else { documents_of(node, request) }
        });
        let target = format!("/indexes/movies/documents?fields=id&{query}");
        let response = ask(&upstream, fleet(&[&[0], &[1], &[2]], &[]), Request::new(Method::GET, &target));
        assert_eq!((&json_of(&response)["results"], &json_of(&response)["total"]), (&expected, &json!(9)), "{query}");
        assert_eq!(upstream.requests.borrow().len(), 3, "{query}");
    }
}

#[test]
fn a_page_further_on_is_read_where_it_is() {
    let many = 2 * NEAR;
    let upstream = FakeUpstream::new(move |node, request| {
        let number: u64 = node.id.as_str()[1..].parse().expect("a number");
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let (offset, limit) = (body["offset"].as_u64().expect("sent"), body["limit"].as_u64().expect("sent"));
        let documents =
            (offset..many).take(limit as usize).map(|place| json!({"_miroir": "x", "id": number * many + place}));
        ok(&json!({"results": documents.collect::<Vec<_>>(), "total": many}))
    });
    let target = format!("/indexes/movies/documents?offset={}&limit=6", many - 3);
    let response = ask(&upstream, fleet(&[&[0], &[1]], &[]), Request::new(Method::GET, &target));
    let found: Vec<u64> =
        json_of(&response)["results"].as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
    assert_eq!(found, (many - 3..many + 3).collect::<Vec<u64>>());
    assert_eq!(upstream.requests.borrow().len(), 4, "counted, then read");
}

/// Counts how often others got their turn.
struct CountingTimers {
    timers: Rc<dyn Timers>,
    turns: Cell<usize>,
}

impl Timers for CountingTimers {
    fn now(&self) -> Monotonic {
        self.timers.now()
    }

    fn sleep_until(&self, deadline: Monotonic) -> LocalFuture<'static, ()> {
        self.timers.sleep_until(deadline)
    }

    fn yield_now(&self) -> LocalFuture<'static, ()> {
        self.turns.set(self.turns.get() + 1);
        self.timers.yield_now()
    }
}

#[test]
fn a_large_list_leaves_others_their_turn() {
    for (sort, expected) in [("", 12), ("&sort=p:asc", 30)] {
        let large = json!({"id": "a", "p": 1, "text": "x".repeat(200_000)});
        let upstream = FakeUpstream::new(move |_, _| ok(&json!({"results": vec![&large; 5], "total": 5})));
        let mut core = core_with(upstream);
        let timers = Rc::new(CountingTimers { timers: core.timers.clone(), turns: Cell::new(0) });
        core.timers = timers.clone();
        core.bridge.snapshot.store(Arc::new(fleet(&[&[0], &[1]], &[])));
        let target = format!("/indexes/movies/documents?limit=10{sort}");
        assert_eq!(block_on(route(&core, Request::new(Method::GET, &target))).status, 200);
        assert!(timers.turns.get() >= expected, "{sort}: {}", timers.turns.get());
    }
}

#[test]
fn one_document_comes_from_a_replica_of_its_shard() {
    let upstream = FakeUpstream::new(|node, request| {
        assert_eq!(request.target, "/indexes/movies-1/documents/a%2Db?fields=id%2Cp&retrieveVectors=true");
        if node.id.as_str() == "n0" { down(node) } else { ok(&json!({"id": "a-b", "_miroir": "x", "p": 1})) }
    });
    let target = "/indexes/movies/documents/a-b?fields=id,p&retrieveVectors=true";
    let response = ask(&upstream, fleet(&[&[0, 1]], &[]), Request::new(Method::GET, target));
    assert_eq!((response.status, &response.body[..]), (200, br#"{"id":"a-b","p":1}"#.as_slice()));
    let response = ask(&FakeUpstream::refusing(), fleet(&[&[0, 1]], &[]), Request::new(Method::GET, target));
    assert_eq!(response.status, 503);
}

#[test]
fn a_document_that_is_not_there_is_not_found() {
    // What the client wrote is in the message, and no index that is gone.
    let target = "/indexes/movies/documents/index_not_found";
    let upstream = FakeUpstream::new(|_, _| {
        let body = ApiError::new(Code::DocumentNotFound, "Document `index_not_found` not found.").body();
        Ok(NodeResponse { status: 404, body: serde_json::to_vec(&body).expect("plain").into() })
    });
    let response = ask(&upstream, fleet(&[&[0, 1]], &[]), Request::new(Method::GET, target));
    assert_eq!((response.status, json_of(&response)["code"].as_str()), (404, Some("document_not_found")));
}
