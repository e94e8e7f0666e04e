//! Facet search against nodes played by a function.

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::data_plane::fake::FakeUpstream;
use crate::data_plane::handlers::search::tests::{ask, down, fleet, fleet_with, fleet_with_foreign, json_of, ok};
use crate::data_plane::upstream::NodeResponse;

fn facet_search(body: &Value) -> Request {
    Request::new(Method::POST, "/indexes/movies/facet-search").with_json(body.to_string())
}

#[test]
fn values_of_all_shards_are_added_up() {
    let upstream = FakeUpstream::new(|node, _| {
        let hits = match node.id.as_str() {
            "n0" => json!([{"value": "Ete", "count": 2}, {"value": "jan", "count": 1}]),
            _ => json!([{"value": "ete", "count": 3}, {"value": "Été", "count": 1}]),
        };
        ok(&json!({"facetHits": hits, "facetQuery": "e", "processingTimeMs": 1}))
    });
    let body = json!({"facetName": "a", "facetQuery": "e", "filter": "a = 1", "limit": 1});
    let response = ask(&upstream, fleet_with_foreign(&[&[0], &[1]], &[], &[1]), facet_search(&body));
    let mut answer = json_of(&response);
    answer["processingTimeMs"] = json!(0);
    let hits = json!([{"value": "Ete", "count": 5}, {"value": "Été", "count": 1}, {"value": "jan", "count": 1}]);
    assert_eq!((response.status, answer), (200, json!({"facetHits": hits, "facetQuery": "e", "processingTimeMs": 0})));
    for (node, request) in upstream.requests.borrow().iter() {
        assert_eq!(request.target, "/indexes/movies-1/facet-search");
        let sent: Value = serde_json::from_slice(&request.body).expect("JSON");
        let has_marker = sent["filter"].to_string().contains("_miroir IN");
        assert_eq!((sent.get("limit"), has_marker), (None, node.as_str() == "n1"), "{sent}");
    }
}

#[test]
fn a_shard_that_nobody_answers_for_is_said_to_lack() {
    let upstream = FakeUpstream::new(|node, _| {
        if node.id.as_str() == "n1" { down(node) } else { ok(&json!({"facetHits": [{"value": "x", "count": 1}]})) }
    });
    let response = ask(&upstream, fleet(&[&[0], &[1]], &[]), facet_search(&json!({"facetName": "a"})));
    assert_eq!((response.status, response.header("x-miroir-degraded")), (200, Some("shards=1")));
    assert_eq!((&json_of(&response)["degraded"], &json_of(&response)["facetQuery"]), (&json!(true), &json!(null)));
}

#[test]
fn what_may_be_searched_is_said_by_the_users_rules() {
    let refusing = FakeUpstream::new(|_, _| {
        let body = ApiError::new(Code::InvalidFacetSearchFacetName, "this attribute matches rule #1").body();
        Ok(NodeResponse { status: 400, body: serde_json::to_vec(&body).expect("plain").into() })
    });
    let response = ask(&refusing, fleet(&[&[0], &[1]], &[]), facet_search(&json!({"facetName": "b"})));
    let message = "Attribute `b` is not facet-searchable. Available facet-searchable attributes patterns are: `a`. To make it \
                   facet-searchable add it to the `filterableAttributes` index settings.";
    assert_eq!((response.status, json_of(&response)["message"].as_str()), (400, Some(message)));
    for (target, body, code) in [
        ("/indexes/nope/facet-search", json!({"facetName": "a"}), "index_not_found"),
        ("/indexes/nope/facet-search", json!({}), "missing_facet_search_facet_name"),
        ("/indexes/movies/facet-search", json!({"facetName": "_miroir"}), "miroir_reserved_field"),
    ] {
        let request = Request::new(Method::POST, target).with_json(body.to_string());
        assert_eq!(json_of(&ask(&refusing, fleet(&[&[0]], &[]), request))["code"], json!(code), "{target} {body}");
    }
}

#[test]
fn values_that_a_cut_list_lacks_are_asked_for_once_more() {
    // Every node has 20,000 values and more; of the last one of each list the other has many more than it lists.
    let upstream = FakeUpstream::new(|node, request| {
        let sent: Value = serde_json::from_slice(&request.body).expect("JSON");
        if sent["filter"].to_string().contains("\\\"a\\\" IN") {
            return ok(&json!({"facetHits": [{"value": "own n0", "count": 3}, {"value": "own n1", "count": 4}]}));
        }
        let mut hits = vec![json!({"value": format!("own {}", node.id), "count": 9})];
        hits.extend((1..20_000).map(|place| json!({"value": format!("{place:05}"), "count": 5})));
        ok(&json!({ "facetHits": hits }))
    });
    let settings = json!({"faceting": {"maxValuesPerFacet": 2, "sortFacetValuesBy": {"a": "count"}}});
    let snapshot = fleet_with(fleet(&[&[0], &[1]], &[]), &settings);
    let response = ask(&upstream, snapshot, facet_search(&json!({"facetName": "a"})));
    let hits = json!([{"value": "own n1", "count": 13}, {"value": "own n0", "count": 12}]);
    assert_eq!((&json_of(&response)["facetHits"], response.header("x-miroir-approximate")), (&hits, None));
    assert_eq!(upstream.requests.borrow().len(), 4);
}
