//! Foreign keys over nodes played by a function: who is asked for what, and what an answer that lacks something says.

use super::*;
use crate::data_plane::fake::core_with;
use crate::data_plane::handlers::search::tests::{down, fleet, fleet_with, json_of, ok};
use crate::data_plane::upstream::{NodeRequest, NodeResponse, UpstreamError};
use crate::logic::shard_hash::shard_of;

/// `movies`, whose `director` names documents of `people`.
fn two_indexes(placement: &[&[u16]]) -> RoutingSnapshot {
    let settings = json!({
        "foreignKeys": [{"foreignIndexUid": "people", "fieldName": "director"}],
        "filterableAttributes": ["director", "a"],
        "embedders": {"e": {"source": "userProvided", "dimensions": 1}},
    });
    let mut snapshot = fleet_with(fleet(placement, &[]), &settings);
    let mut people = (*snapshot.indexes[&IndexUid::new("movies")]).clone();
    people.uid = IndexUid::new("people");
    people.node_uid = NodeIndexUid::new("people-2");
    people.settings = Arc::new(serde_json::Map::new());
    snapshot.indexes.insert(people.uid.clone(), Arc::new(people));
    snapshot
}

fn ask(upstream: &Rc<FakeUpstream>, snapshot: RoutingSnapshot, request: Request) -> Response {
    let core = core_with(upstream.clone());
    core.bridge.snapshot.store(Arc::new(snapshot));
    core.bridge.features.store(Arc::new(Features::from_json(&json!({"foreignKeys": true}))));
    block_on(route(&core, request))
}

fn post(target: &str, body: &Value) -> Request {
    Request::new(Method::POST, target).with_json(body.to_string())
}

fn body_of(request: &NodeRequest) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

/// The first node finds one movie by these directors. Every node has the people whom it is asked for, but for `nobody`.
fn movies_by(directors: Value) -> impl Fn(&NodeView, &NodeRequest) -> Result<NodeResponse, UpstreamError> {
    move |node, request| {
        let body = body_of(request);
        if request.target.ends_with("people-2/documents/fetch") {
            let ids = body["ids"].as_array().cloned().unwrap_or_default();
            let ids = ids.into_iter().filter(|id| id != "nobody");
            let people: Vec<Value> = ids.map(|id| json!({"_miroir": "x", "id": id, "name": "N"})).collect();
            return ok(&json!({"total": people.len(), "results": people}));
        }
        let details = json!({"words": {"order": 0, "matchingWords": 1, "maxMatchingWords": 1, "score": 0.5}});
        let hit = json!({"_miroir": "x", "id": 1, "director": directors, "_rankingScoreDetails": details});
        let hits = if node.id.as_str() == "n0" { vec![hit] } else { vec![] };
        ok(&json!({"hits": hits, "estimatedTotalHits": hits.len()}))
    }
}

/// Texts of `shards` shards, so many of each.
fn ids(shards: u16, of_each: usize) -> Vec<String> {
    let of = |shard| {
        let names = (0..).map(|number| format!("p{number}"));
        names.filter(move |id| shard_of(id, shards) == ShardId(shard)).take(of_each)
    };
    (0..shards).flat_map(of).collect()
}

#[test]
fn documents_are_fetched_in_one_round_from_owners_of_their_shards() {
    let directors = ids(2, 3);
    let named: Vec<Value> = directors.iter().map(|id| json!(id)).chain([json!("nobody")]).collect();
    let upstream = FakeUpstream::new(movies_by(Value::from([named.clone(), named].concat())));
    let response = ask(&upstream, two_indexes(&[&[0], &[1]]), post("/indexes/movies/search", &json!({})));
    let person = |id: &str| if id == "nobody" { json!({}) } else { json!({"id": id, "name": "N"}) };
    let people: Vec<Value> = directors.iter().map(String::as_str).chain(["nobody"]).map(person).collect();
    assert_eq!(json_of(&response)["hits"][0]["director"], Value::from([people.clone(), people].concat()));
    assert_eq!(response.header("x-miroir-degraded"), None);
    let requests = upstream.requests.borrow();
    let fetches = requests.iter().filter(|(_, request)| request.target == "/indexes/people-2/documents/fetch");
    let mut fetched = 0;
    for (node, request) in fetches.clone() {
        let body = body_of(request);
        for id in body["ids"].as_array().expect("a list") {
            let shard = shard_of(id.as_str().expect("a text"), 2);
            assert_eq!(node.to_string(), format!("n{shard}"));
            fetched += 1;
        }
        assert_eq!(body["limit"], json!(body["ids"].as_array().map_or(0, Vec::len)));
    }
    assert_eq!((fetches.count(), fetched, requests.len()), (2, directors.len() + 1, 4));
}

#[test]
fn nothing_is_fetched_where_hits_name_nothing() {
    for (directors, search) in
        [(json!("no id"), json!({})), (json!(null), json!({})), (json!("p1"), json!({"limit": 0}))]
    {
        let upstream = FakeUpstream::new(movies_by(directors.clone()));
        let response = ask(&upstream, two_indexes(&[&[0], &[1]]), post("/indexes/movies/search", &search));
        assert_eq!(response.status, 200);
        assert_eq!(upstream.requests.borrow().len(), 2, "{directors}: the search alone");
    }
}

#[test]
fn what_nobody_has_of_the_other_index_stays_as_it_is_and_is_said() {
    let directors = ids(2, 1);
    let named = json!(directors);
    let movies = movies_by(named.clone());
    let upstream = FakeUpstream::new(move |node, request| {
        let is_down = node.id.as_str() == "n1" && request.target.contains("people");
        if is_down { down(node) } else { movies(node, request) }
    });
    let search = || post("/indexes/movies/search", &json!({}));
    let response = ask(&upstream, two_indexes(&[&[0], &[1]]), search());
    let answer = json_of(&response);
    assert_eq!(answer["hits"][0]["director"], json!([{"id": directors[0], "name": "N"}, directors[1]]));
    assert_eq!((response.header("x-miroir-degraded"), &answer["degraded"]), (Some("shards=1"), &json!(true)));
    let deny = http::header::HeaderName::from_static("x-miroir-partial");
    let response =
        ask(&upstream, two_indexes(&[&[0], &[1]]), search().with_header(deny, HeaderValue::from_static("deny")));
    assert_eq!((response.status, json_of(&response)["code"].as_str()), (503, Some("miroir_shard_unavailable")));
    let all = FakeUpstream::new({
        let movies = movies_by(named);
        move |node, request| if request.target.contains("people") { down(node) } else { movies(node, request) }
    });
    let response = ask(&all, two_indexes(&[&[0], &[1]]), search());
    assert_eq!(json_of(&response)["hits"][0]["director"], json!(directors), "the hits are there");
    assert_eq!((response.status, response.header("x-miroir-degraded")), (200, Some("shards=0,1")));
}

#[test]
fn too_many_documents_are_refused() {
    let named: Vec<Value> = (0..20_001).map(Value::from).collect();
    let upstream = FakeUpstream::new(movies_by(Value::from(named)));
    let response = ask(&upstream, two_indexes(&[&[0], &[1]]), post("/indexes/movies/search", &json!({})));
    assert_eq!((response.status, json_of(&response)["code"].as_str()), (501, Some("miroir_not_supported")));
    assert_eq!(upstream.requests.borrow().len(), 2, "nobody is asked for them");
}

/// Every node finds the person `pN`, where N is its number, and answers what looks for movies with an empty list.
fn people_by_node(node: &NodeView, request: &NodeRequest) -> Result<NodeResponse, UpstreamError> {
    if request.target.contains("people") {
        let id = node.id.as_str().replace('n', "p");
        return ok(&json!({"results": [{"id": id}], "total": 1}));
    }
    ok(&json!({"hits": [], "results": [], "facetHits": [], "estimatedTotalHits": 0, "total": 0, "facetQuery": null}))
}

#[test]
fn every_read_with_a_filter_asks_nodes_for_the_ids_that_it_finds() {
    let filter = "NOT _foreign(director, name = Bob) AND a = 1";
    for (target, body) in [
        ("/indexes/movies/search", json!({"filter": filter})),
        ("/indexes/movies/facet-search", json!({"filter": [filter], "facetName": "a"})),
        ("/indexes/movies/documents/fetch", json!({"filter": filter})),
        ("/indexes/movies/similar", json!({"filter": filter, "id": 1, "embedder": "e"})),
        ("/multi-search", json!({"queries": [{"indexUid": "movies", "filter": filter}]})),
        ("/multi-search", json!({"federation": {}, "queries": [{"indexUid": "movies", "filter": filter}]})),
    ] {
        let upstream = FakeUpstream::new(people_by_node);
        let response = ask(&upstream, two_indexes(&[&[0], &[1]]), post(target, &body));
        assert!(response.status == 200 || json_of(&response)["code"] == "not_found_similar_id", "{response:?}");
        let requests = upstream.requests.borrow();
        let (people, movies): (Vec<_>, Vec<_>) =
            requests.iter().partition(|(_, request)| request.target.contains("people"));
        for (_, request) in &people {
            let body = body_of(request);
            assert_eq!((&body["fields"], &body["limit"]), (&json!(["id"]), &json!(101)));
            assert_eq!(body["filter"].as_str().map(str::trim), Some("name = Bob"));
        }
        assert_eq!(people.len(), 2, "{target}");
        let asked = movies.iter().filter(|(_, request)| !request.body.is_empty());
        let filters: Vec<String> = asked.map(|(_, request)| body_of(request).to_string()).collect();
        assert!(filters.iter().all(|filter| !filter.contains("_foreign")), "{target}: {filters:?}");
        let rewritten = r#"NOT \"director\" IN [\"p0\", \"p1\"] AND a = 1"#;
        assert!(filters.iter().any(|filter| filter.contains(rewritten)), "{target}: {filters:?}");
    }
}

#[test]
fn a_filter_that_knows_a_part_of_the_other_index_makes_a_degraded_answer() {
    for (target, body) in [
        ("/indexes/movies/search", json!({"filter": "_foreign(director, x = 1)"})),
        ("/indexes/movies/facet-search", json!({"filter": "_foreign(director, x = 1)", "facetName": "a"})),
        ("/indexes/movies/documents/fetch", json!({"filter": "_foreign(director, x = 1)"})),
        (
            "/multi-search",
            json!({"federation": {}, "queries": [{"indexUid": "movies", "filter": "_foreign(director, x = 1)"}]}),
        ),
    ] {
        let upstream = FakeUpstream::new(|node, request| {
            let is_down = node.id.as_str() == "n1" && request.target.contains("people");
            if is_down { down(node) } else { people_by_node(node, request) }
        });
        let response = ask(&upstream, two_indexes(&[&[0], &[1]]), post(target, &body));
        assert_eq!((response.status, response.header("x-miroir-degraded")), (200, Some("shards=1")), "{target}");
        assert_eq!(json_of(&response)["degraded"], json!(true), "{target}");
    }
}

#[test]
fn more_than_one_server_would_take_is_refused_over_all_nodes() {
    for (of_each, total, is_refused) in [(50, 50, false), (51, 51, true), (1, 101, true)] {
        let upstream = FakeUpstream::new(move |node, request| {
            if !request.target.contains("people") {
                return people_by_node(node, request);
            }
            let people: Vec<Value> =
                (0..of_each).map(|number| json!({"id": format!("{}-{number}", node.id)})).collect();
            ok(&json!({"results": people, "total": total}))
        });
        let search = post("/indexes/movies/search", &json!({"filter": "_foreign(director, x = 1)"}));
        let response = ask(&upstream, two_indexes(&[&[0], &[1]]), search);
        let message = "Index `people`: Foreign filter is retrieving too many documents, foreign filters can't retrieve more \
                       than 100 documents per index";
        let expected = if is_refused { (400, json!(message)) } else { (200, Value::Null) };
        assert_eq!((response.status, json_of(&response)["message"].clone()), expected, "{of_each}");
    }
}

#[test]
fn only_so_many_questions_are_asked_for_one_request() {
    let conditions = vec!["_foreign(director, x = 1)"; 101];
    let upstream = FakeUpstream::new(people_by_node);
    let filter = |count: usize| json!({"filter": [conditions[..count].to_vec()]});
    let response = ask(&upstream, two_indexes(&[&[0], &[1]]), post("/indexes/movies/search", &filter(101)));
    assert_eq!((response.status, json_of(&response)["code"].as_str()), (501, Some("miroir_not_supported")));
    assert!(upstream.requests.borrow().is_empty());
    let response = ask(&upstream, two_indexes(&[&[0], &[1]]), post("/indexes/movies/search", &filter(100)));
    assert_eq!(response.status, 200);
}
