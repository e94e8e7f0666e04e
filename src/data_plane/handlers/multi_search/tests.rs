//! Lists of searches against nodes played by a function.

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::data_plane::fake::FakeUpstream;
use crate::data_plane::handlers::search::tests::{ask, down, fleet, json_of, ok};
use crate::data_plane::upstream::{NodeRequest, NodeResponse, UpstreamError};
use crate::logic::ids::NodeIndexUid;
use crate::logic::snapshot::NodeView;
use crate::meili::error::Code;

fn searches(body: &Value) -> Request {
    Request::new(Method::POST, "/multi-search").with_json(body.to_string())
}

/// Each node has one hit: what was asked for.
fn echo(node: &NodeView, request: &NodeRequest) -> Result<NodeResponse, UpstreamError> {
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    if body["q"] == "wrong" {
        let error = ApiError::new(Code::InvalidSearchSort, "Index `movies-1`: no.").body();
        return Ok(NodeResponse { status: 400, body: serde_json::to_vec(&error).expect("JSON").into() });
    }
    if body["q"] == "half" && node.id.as_str() == "n1" {
        return down(node);
    }
    let words = if node.id.as_str() == "n0" { 2 } else { 1 };
    let details = json!({"words": {"order": 0, "matchingWords": words, "maxMatchingWords": 2, "score": 1.0}});
    let hit = json!({"id": format!("{}-{}", node.id, body["q"]), "_rankingScoreDetails": details});
    ok(&json!({"hits": [hit], "estimatedTotalHits": 1}))
}

#[test]
fn each_query_is_answered_as_if_it_had_come_alone() {
    let upstream = FakeUpstream::new(echo);
    let queries: Vec<Value> = (0..20).map(|number| json!({"indexUid": "movies", "q": number.to_string()})).collect();
    let response = ask(&upstream, fleet(&[&[0], &[1]], &[]), searches(&json!({"queries": queries})));
    assert_eq!(response.status, 200);
    let answer = json_of(&response);
    let results = answer["results"].as_array().expect("a list");
    assert_eq!(results.len(), 20);
    for (number, result) in results.iter().enumerate() {
        let ids = json!([{"id": format!("n0-\"{number}\"")}, {"id": format!("n1-\"{number}\"")}]);
        assert_eq!((&result["indexUid"], &result["hits"]), (&json!("movies"), &ids));
        assert_eq!(result["query"], number.to_string());
    }
    assert_eq!(
        json_of(&ask(&upstream, fleet(&[&[0]], &[]), searches(&json!({"queries": []})))),
        json!({"results": []})
    );
}

#[test]
fn the_first_query_that_is_wrong_decides() {
    let refused = |queries: Value| {
        let upstream = FakeUpstream::new(echo);
        let response = ask(&upstream, fleet(&[&[0], &[1]], &[]), searches(&json!({"queries": queries})));
        (response.status, json_of(&response)["message"].as_str().unwrap_or_default().to_owned())
    };
    let movies = json!({"indexUid": "movies"});
    let wrong = json!({"indexUid": "movies", "q": "wrong"});
    let nowhere = json!({"indexUid": "nowhere"});
    assert_eq!(refused(json!([movies, nowhere])), (400, "Inside `.queries[1]`: Index `nowhere` not found.".into()));
    assert_eq!(refused(json!([movies, wrong, nowhere])), (400, "Inside `.queries[1]`: Index `movies`: no.".into()));
    assert_eq!(refused(json!([nowhere, wrong])), (400, "Inside `.queries[0]`: Index `nowhere` not found.".into()));
    let reserved = json!({"indexUid": "movies", "filter": "_miroir = 1"});
    assert!(refused(json!([movies, reserved])).1.starts_with("Inside `.queries[1]`: `_miroir` is reserved"));
    let (status, message) = refused(json!([{"indexUid": "movies", "federationOptions": {}}]));
    assert!(status == 400 && message.starts_with("Inside `.queries[0]`: Using `federationOptions`"), "{message}");
}

#[test]
fn what_one_query_lacks_is_said_of_the_whole() {
    let upstream = FakeUpstream::new(echo);
    let body = json!({"queries": [{"indexUid": "movies", "q": "a"}, {"indexUid": "movies", "q": "half"}]});
    let response = ask(&upstream, fleet(&[&[0], &[1]], &[]), searches(&body));
    assert_eq!((response.status, response.header("x-miroir-degraded")), (200, Some("shards=1")));
    let answer = json_of(&response);
    assert_eq!((answer["results"][0].get("degraded"), &answer["results"][1]["degraded"]), (None, &json!(true)));
    let header = http::header::HeaderName::from_static("x-miroir-partial");
    let denied = searches(&body).with_header(header, http::HeaderValue::from_static("deny"));
    let response = ask(&upstream, fleet(&[&[0], &[1]], &[]), denied);
    assert_eq!(response.status, 503);
    assert!(
        json_of(&response)["message"].as_str().is_some_and(|text| text.starts_with("Inside `.queries[1]`: No replica"))
    );
}

/// Two indexes, `movies` and `books`, over two nodes.
fn library() -> RoutingSnapshot {
    let mut snapshot = fleet(&[&[0], &[1]], &[]);
    let movies = snapshot.indexes.values().next().expect("there is one").clone();
    let settings = serde_json::Map::from_iter([
        ("filterableAttributes".to_owned(), json!(["a"])),
        ("displayedAttributes".to_owned(), json!(["id"])),
    ]);
    let mut books = (*movies).clone();
    books.uid = IndexUid::new("books");
    books.node_uid = NodeIndexUid::new("books-2");
    books.settings = std::sync::Arc::new(settings);
    snapshot.indexes = [(movies.uid.clone(), movies), (books.uid.clone(), std::sync::Arc::new(books))].into();
    snapshot
}

/// One hit of each index on each node; node 0 is better, books are better. Federated searches count five documents.
fn library_node(node: &NodeView, request: &NodeRequest) -> Result<NodeResponse, UpstreamError> {
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    if request.target == "/multi-search" {
        let uid = body["queries"][0]["indexUid"].as_str().expect("a name");
        let facets = json!({uid: {"distribution": {"a": {"x": 2}}, "stats": {}}});
        return ok(&json!({"hits": [{}], "limit": 20, "estimatedTotalHits": 5, "facetsByIndex": facets}));
    }
    let (is_first, is_book) = (node.id.as_str() == "n0", request.target.contains("books-2"));
    let words = u64::from(is_first) * 2 + u64::from(is_book) + 1;
    let score = words as f64 / 4.0;
    let words = json!({"order": 0, "matchingWords": words, "maxMatchingWords": 4, "score": score});
    let details = json!({"words": words, "secret:asc": {"order": 1, "value": 3}});
    let hit = json!({"id": node.id, "_miroir": "x", "_rankingScore": score, "_rankingScoreDetails": details});
    ok(&json!({"hits": [hit], "estimatedTotalHits": 1, "facetDistribution": {"a": {"x": 1}}, "facetStats": {}}))
}

fn federated(body: &Value) -> (Response, Vec<(String, Value)>) {
    let upstream = FakeUpstream::new(library_node);
    let response = ask(&upstream, library(), searches(body));
    let requests = upstream.requests.borrow();
    let asked = requests
        .iter()
        .map(|(_, request)| (request.target.clone(), serde_json::from_slice(&request.body).expect("JSON")));
    (response, asked.collect())
}

#[test]
fn several_queries_become_one_list() {
    let queries = json!([{"indexUid": "movies", "q": "a"}, {"indexUid": "books", "showRankingScoreDetails": true}]);
    let facets = json!({"books": ["a"], "movies": ["a"]});
    let body = json!({"queries": queries, "federation": {"limit": 3, "facetsByIndex": facets, "mergeFacets": {}}});
    let (response, asked) = federated(&body);
    assert_eq!(response.status, 200);
    let answer = json_of(&response);
    let shown: Vec<_> =
        answer["hits"].as_array().expect("a list").iter().map(|hit| &hit["_federation"]["indexUid"]).collect();
    assert_eq!(shown, ["books", "movies", "books"]);
    let federation = json!({"indexUid": "movies", "queriesPosition": 0, "weightedRankingScore": 0.75});
    assert_eq!(answer["hits"][1], json!({"id": "n0", "_federation": federation}));
    // What is not displayed is not shown, though it has decided.
    assert_eq!(answer["hits"][0]["_rankingScoreDetails"]["<hidden-rule-1>"], json!({"order": 1, "value": "<hidden>"}));
    assert_eq!((&answer["estimatedTotalHits"], &answer["facetDistribution"]), (&json!(4), &json!({"a": {"x": 4}})));
    assert_eq!(asked.len(), 4);
    let expected = json!({
        "q": "a", "offset": 0, "limit": 3, "showRankingScore": true, "showRankingScoreDetails": true, "facets": ["a"]
    });
    assert!(asked.contains(&("/indexes/movies-1/search".to_owned(), expected)), "{asked:?}");
}

#[test]
fn queries_of_one_index_are_counted_together_by_its_nodes() {
    let queries = json!([{"indexUid": "movies", "q": "a"}, {"indexUid": "movies", "q": "b", "filter": "a = 1"}]);
    let body = json!({"queries": queries, "federation": {"page": 1, "facetsByIndex": {"movies": ["a"]}}});
    let (response, asked) = federated(&body);
    let answer = json_of(&response);
    // Both queries find the same document on each node.
    let positions = |answer: &Value| -> Vec<Value> {
        answer["hits"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|hit| hit["_federation"]["queriesPosition"].clone())
            .collect()
    };
    assert_eq!((positions(&answer), &answer["totalHits"]), (vec![json!(0), json!(0)], &json!(10)));
    assert_eq!(answer["facetsByIndex"], json!({"movies": {"distribution": {"a": {"x": 4}}, "stats": {}}}));
    let united: Vec<&Value> =
        asked.iter().filter(|(target, _)| target == "/multi-search").map(|(_, body)| body).collect();
    let expected = json!({
        "queries": [
            {"q": "a", "indexUid": "movies-1", "attributesToRetrieve": []},
            {"q": "b", "filter": "a = 1", "indexUid": "movies-1", "attributesToRetrieve": []},
        ],
        "federation": {"page": 1, "hitsPerPage": 20, "facetsByIndex": {"movies-1": ["a"]}},
    });
    assert_eq!(united, [&expected, &expected]);
}

#[test]
fn the_first_wrong_thing_decides_in_the_order_of_one_server() {
    let refused = |queries: Value, federation: Value| {
        let (response, asked) = federated(&json!({"queries": queries, "federation": federation}));
        (response.status, json_of(&response)["message"].as_str().unwrap_or_default().to_owned(), asked.len())
    };
    let (movies, nowhere) = (json!({"indexUid": "movies"}), json!({"indexUid": "nowhere"}));
    let not_found = "Inside `.queries[1]`: Index `nowhere` not found.".to_owned();
    assert_eq!(refused(json!([movies, nowhere]), json!({})), (400, not_found, 2));
    let unused = "Inside `.federation.facetsByIndex.nowhere`: Index `nowhere` not found.\n - Note: index `nowhere` is not used in queries";
    assert_eq!(refused(json!([]), json!({"facetsByIndex": {"nowhere": null}})), (400, unused.to_owned(), 0));
    let (status, message, _) = refused(json!([movies]), json!({"facetsByIndex": {"movies": ["b"]}}));
    let wrong =
        "Inside `.queries[0]`: Inside `.federation.facetsByIndex.movies`: Invalid facet distribution: Pattern `b`";
    assert!(status == 400 && message.starts_with(wrong), "{message}");
    for reserved in [json!({"distinct": "_miroir"}), json!({"facetsByIndex": {"movies": ["_mir*"]}})] {
        let (status, message, asked) = refused(json!([movies]), reserved);
        assert!(status == 400 && message.starts_with("`_miroir` is reserved") && asked == 0, "{message}");
    }
    let sorted = json!([{"indexUid": "movies", "sort": ["a:asc"]}, {"indexUid": "books", "sort": ["a:desc"]}]);
    let (status, message, _) = refused(sorted, json!({}));
    assert!(status == 400 && message.contains("cannot compare two sort rules in opposite directions"), "{message}");
}

#[test]
fn queries_that_ask_for_more_hits_than_fit_into_memory_are_refused() {
    let status = |queries: usize, federation: Value| {
        let upstream = FakeUpstream::new(echo);
        let queries: Vec<Value> = (0..queries).map(|_| json!({"indexUid": "movies", "q": "wrong"})).collect();
        let body = json!({"queries": queries, "federation": federation});
        let response = ask(&upstream, fleet(&[&[0], &[1]], &[]), searches(&body));
        let asked = upstream.requests.borrow().len();
        (response.status, json_of(&response)["code"].as_str().unwrap_or_default().to_owned(), asked > 0)
    };
    let refused = (501, "miroir_not_supported".to_owned(), false);
    let asked = (400, "invalid_search_sort".to_owned(), true);
    assert_eq!(status(101, json!({"limit": 1_000_000_000})), refused);
    assert_eq!(status(100, json!({"limit": 1_000_000_000})), asked, "a query has 1,000 hits at most");
    assert_eq!(status(2_000, json!({"page": 6, "hitsPerPage": 10})), refused);
    assert_eq!(status(2_000, json!({"page": 5, "hitsPerPage": 10})), asked);
}
