//! Lists of searches against nodes played by a function.

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::data_plane::fake::FakeUpstream;
use crate::data_plane::handlers::search::tests::{ask, down, fleet, json_of, ok};
use crate::data_plane::upstream::{NodeRequest, NodeResponse, UpstreamError};
use crate::logic::snapshot::NodeView;

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
