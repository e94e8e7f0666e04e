//! Bodies of lists of searches: what is read, and what is refused.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::meili::search::Paging;

fn refused(body: &Value) -> (&'static str, String) {
    let error = match MultiSearch::from_value(body.clone()) {
        Err(error) => error,
        Ok(request) => {
            let federation = request.federation.clone().expect("only federated requests are refused later");
            request.check_federated(&federation).expect_err("the request is wrong")
        }
    };
    (error.code.name(), error.message)
}

fn check(table: &[(Value, &'static str, &str)]) {
    for (body, code, message) in table {
        assert_eq!(refused(body), (*code, (*message).to_owned()), "{body}");
    }
}

/// As Meilisearch 1.50 answered them.
#[test]
fn wrong_queries_are_refused_in_the_words_of_one_server() {
    check(&[
        (json!({}), "bad_request", "Missing field `queries`"),
        (json!([]), "bad_request", "Invalid value type: expected an object, but found an array: `[]`"),
        (
            json!({"queries": null}),
            "bad_request",
            "Invalid value type at `.queries`: expected an array, but found null",
        ),
        (
            json!({"queries": [1]}),
            "bad_request",
            "Invalid value type at `.queries[0]`: expected an object, but found a positive integer: `1`",
        ),
        (json!({"queries": [{}]}), "missing_index_uid", "Missing field `indexUid` inside `.queries[0]`"),
        (
            json!({"queries": [{"indexUid": null}]}),
            "invalid_index_uid",
            "Invalid value type at `.queries[0].indexUid`: expected a string, but found null",
        ),
        (
            json!({"querie": []}),
            "bad_request",
            "Unknown field `querie`: did you mean `queries`? expected one of `queries`, `federation`",
        ),
        (
            json!({"queries": [{"indexUid": "a", "limit": "x"}]}),
            "invalid_search_limit",
            "Invalid value type at `.queries[0].limit`: expected a positive integer, but found a string: `\"x\"`",
        ),
        (
            json!({"queries": [{"indexUid": "a", "federationOptions": {"weight": -1}}]}),
            "invalid_multi_search_weight",
            "Invalid value at `.queries[0].federationOptions.weight`: the value of `weight` is invalid, expected a positive float (>= 0.0).",
        ),
    ]);
}

/// As Meilisearch 1.50 answered them.
#[test]
fn wrong_federations_are_refused_in_the_words_of_one_server() {
    check(&[
        (
            json!({"queries": [], "federation": {"limit": null}}),
            "invalid_search_limit",
            "Invalid value type at `.federation.limit`: expected a positive integer, but found null",
        ),
        (
            json!({"queries": [], "federation": {"facetsByIndex": {"a b": []}}}),
            "invalid_multi_search_facets_by_index",
            "Invalid value at `.federation.facetsByIndex`: the key \"a b\" could not be deserialized into the key type `meilisearch_types::index_uid::IndexUid`",
        ),
        (
            json!({"queries": [], "federation": {"facetsByIndex": {"a": [1]}}}),
            "invalid_multi_search_facets_by_index",
            "Invalid value type at `.federation.facetsByIndex.a[0]`: expected a string, but found a positive integer: `1`",
        ),
        (
            json!({"queries": [], "federation": {"mergeFacets": {"foo": 1}}}),
            "invalid_multi_search_merge_facets",
            "Unknown field `foo` inside `.federation.mergeFacets`: expected one of `maxValuesPerFacet`",
        ),
        (
            json!({"queries": [{"indexUid": "a", "offset": 0, "page": 1}], "federation": {}}),
            "invalid_multi_search_query_pagination",
            "Inside `.queries[0]`: Using pagination options is not allowed in federated queries.\n - Hint: remove `offset` from the query or remove `federation` from the request\n - Hint: pass `federation.limit` and `federation.offset` for pagination in federated search",
        ),
        (
            json!({"queries": [{"indexUid": "a", "facets": ["color", "x\"y"]}], "federation": {}}),
            "invalid_multi_search_query_facets",
            "Inside `.queries[0]`: Using facet options is not allowed in federated queries.\n - Hint: remove `facets` from the query or remove `federation` from the request\n - Hint: pass `federation.facetsByIndex.a: [\"color\", \"x\\\"y\"]` for facets in federated search",
        ),
        (
            json!({"queries": [{"indexUid": "a"}, {"indexUid": "a", "federationOptions": {"remote": "x"}}], "federation": {}}),
            "feature_not_enabled",
            "Inside `.queries[1]`: Performing a remote federated search requires enabling the `network` experimental feature. See https://github.com/orgs/meilisearch/discussions/805",
        ),
        (
            json!({"queries": [{"indexUid": "a", "limit": 1}, {"indexUid": "a", "filter": "foo ="}], "federation": {}}),
            "invalid_search_filter",
            "Inside `.queries[1]`: Was expecting a value but instead got nothing.\n6:6 foo =",
        ),
    ]);
}

#[test]
fn nulls_that_mean_nothing_are_left_out() {
    let body = json!({
        "queries": [{"indexUid": "a", "q": null, "limit": null, "showPerformanceDetails": null, "federationOptions": null}],
        "federation": {"page": null, "distinct": null, "mergeFacets": null, "facetsByIndex": {"a": null}},
    });
    let request = MultiSearch::from_value(body).unwrap();
    assert_eq!(request.queries[0].parameters, Map::new());
    assert_eq!(request.queries[0].options, None);
    let federation = request.federation.unwrap();
    assert_eq!(federation.paging, Paging::Window { offset: 0, limit: 20 });
    assert_eq!(federation.facets_by_index, BTreeMap::from([("a".to_owned(), None)]));
    let absent = MultiSearch::from_value(json!({"queries": [], "federation": null})).unwrap();
    assert_eq!(absent.federation, None);
}

#[test]
fn a_page_begins_where_the_one_before_ends() {
    let window = |federation: Value| {
        let request = MultiSearch::from_value(json!({"queries": [], "federation": federation})).unwrap();
        let federation = request.federation.unwrap();
        (federation.window(), federation.needed_hits(), federation.is_exhaustive())
    };
    assert_eq!(window(json!({"offset": 5, "limit": 2})), ((5, 2), 7, false));
    assert_eq!(window(json!({"page": 3, "hitsPerPage": 4})), ((8, 4), 12, true));
    assert_eq!(window(json!({"hitsPerPage": 4})), ((0, 4), 4, true));
    assert_eq!(window(json!({"page": 0})), ((0, 0), 0, true));
    assert_eq!(window(json!({"offset": u64::MAX, "limit": 2})), ((u64::MAX, 2), u64::MAX, false));
}
