//! Federated answers from answers to queries.

use serde_json::json;

use super::*;
use crate::meili::multi_search::MultiSearch;
use crate::meili::search::{Displayed, Retrieved};

/// A hit with one rule about words, `matching` of ten, and members of its own.
fn hit(id: u64, matching: u64, members: &Value) -> Value {
    let mut hit = json!({"id": id, "_miroir": "x"});
    let fields = hit.as_object_mut().unwrap();
    fields.extend(members.as_object().unwrap().clone());
    let score = matching as f64 / 10.0;
    fields.insert("_rankingScore".to_owned(), json!(score));
    let words = json!({"order": 0, "matchingWords": matching, "maxMatchingWords": 10, "score": score});
    fields.insert("_rankingScoreDetails".to_owned(), json!({"words": words}));
    hit
}

fn answer(hits: &[Value], total: u64, more: &Value) -> String {
    let mut answer = json!({"hits": hits, "query": "", "estimatedTotalHits": total});
    answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    answer.to_string()
}

fn view<'a>(displayed: &'a Displayed, retrieved: &'a Retrieved) -> HitView<'a> {
    HitView {
        displayed,
        retrieved,
        shows_details: false,
        hidden_rule: None,
        only_rule: None,
        hides_score: true,
        federation: None,
        pin: None,
    }
}

/// Queries of indexes: index, weight, answer; two queries of one index must stand beside each other.
fn merged(federation: &Value, queries: &[(&str, f64, &str)], unions: &[Union<'_>]) -> Value {
    let request = json!({"queries": [], "federation": federation});
    let federation = MultiSearch::from_value(request).unwrap().federation.unwrap();
    let (displayed, retrieved, limits) = (Displayed::All, Retrieved::default(), FacetLimits::default());
    let view = view(&displayed, &retrieved);
    let mut indexes: Vec<IndexAnswer<'_>> = Vec::new();
    for (position, (uid, weight, answer)) in queries.iter().enumerate() {
        let answer = NodeAnswer::read(answer).unwrap();
        let query = QueryAnswer {
            position,
            weight: *weight,
            answer,
            view,
            is_semantic: position == 9,
            retrieves_vectors: position == 8,
        };
        match indexes.last_mut() {
            Some(index) if index.uid == *uid => index.queries.push(query),
            Some(_) | None => indexes.push(IndexAnswer {
                uid,
                queries: vec![query],
                primary_key: Some("id"),
                limits: &limits,
                hits_max: 1000,
                patterns: federation.facets_by_index.get(*uid).and_then(Option::as_deref),
                union: None,
                unused_facets: None,
            }),
        }
    }
    let several = indexes.iter_mut().filter(|index| index.queries.len() > 1);
    several.zip(unions).for_each(|(index, union)| index.union = Some(union.clone()));
    let merged = merge(&federation, &indexes, &FederationFrame::default()).unwrap();
    serde_json::from_str(&merged.body).unwrap()
}

fn shown(answer: &Value) -> Vec<String> {
    let show = |hit: &Value| {
        let federation = &hit["_federation"];
        format!("{}{} of {}", federation["indexUid"].as_str().unwrap(), hit["id"], federation["queriesPosition"])
    };
    answer["hits"].as_array().unwrap().iter().map(show).collect()
}

fn union(total: u64) -> Union<'static> {
    Union { total, facets: None, distinct: None }
}

#[test]
fn hits_of_several_indexes_come_in_the_order_of_weighted_scores() {
    let nothing = json!({});
    let first = answer(&[hit(1, 9, &nothing), hit(2, 4, &nothing)], 2, &json!({"requestUid": "u"}));
    let second = answer(&[hit(1, 10, &nothing), hit(2, 8, &nothing)], 7, &nothing);
    let found = merged(&json!({"limit": 3}), &[("a", 1.0, &first), ("b", 0.5, &second)], &[]);
    assert_eq!(shown(&found), ["a1 of 0", "b1 of 1", "a2 of 0"]);
    let federation = json!({"indexUid": "b", "queriesPosition": 1, "weightedRankingScore": 0.5});
    assert_eq!(found["hits"][1], json!({"id": 1, "_federation": federation}));
    let keys: Vec<&String> = found.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["hits", "processingTimeMs", "limit", "offset", "estimatedTotalHits", "requestUid"]);
    assert_eq!((&found["estimatedTotalHits"], &found["limit"]), (&json!(9), &json!(3)));
    let page = merged(&json!({"page": 2, "hitsPerPage": 3}), &[("a", 1.0, &first), ("b", 0.5, &second)], &[]);
    assert_eq!(
        (shown(&page), &page["totalPages"], &page["totalHits"]),
        (vec!["b2 of 1".to_owned()], &json!(3), &json!(9))
    );
}

#[test]
fn equal_hits_come_in_the_order_of_the_queries_and_a_document_comes_once() {
    let nothing = json!({});
    let first = answer(&[hit(1, 5, &nothing), hit(2, 5, &nothing)], 2, &nothing);
    let second = answer(&[hit(3, 5, &nothing), hit(2, 5, &nothing), hit(1, 1, &nothing)], 3, &nothing);
    let found = merged(&json!({}), &[("a", 1.0, &first), ("a", 1.0, &second)], &[union(3)]);
    assert_eq!(
        (shown(&found), &found["estimatedTotalHits"]),
        (vec!["a1 of 0".into(), "a2 of 0".into(), "a3 of 1".into()], &json!(3))
    );
    let found = merged(&json!({}), &[("a", 0.1, &first), ("a", 1.0, &second)], &[union(3)]);
    assert_eq!(shown(&found), ["a3 of 1", "a2 of 1", "a1 of 1"]);
}

#[test]
fn a_list_that_is_in_another_order_stays_in_it() {
    let nothing = json!({});
    // All hits of a query that counts nothing are equal.
    let first = answer(&[hit(1, 2, &nothing), hit(2, 9, &nothing)], 2, &nothing);
    let second = answer(&[hit(1, 1, &nothing)], 1, &nothing);
    let found = merged(&json!({}), &[("a", 0.0, &first), ("b", 1.0, &second)], &[]);
    assert_eq!(shown(&found), ["b1 of 1", "a1 of 0", "a2 of 0"]);
}

#[test]
fn hits_of_other_indexes_with_a_value_that_was_there_are_left_out_and_do_not_count() {
    let facets = |counts: Value| json!({"facetDistribution": {"color": counts}, "facetStats": {}});
    let cats = answer(
        &[hit(1, 9, &json!({"color": ["Red", "blue"]})), hit(2, 3, &json!({"color": "green"}))],
        2,
        &facets(json!({"Red": 1, "blue": 1, "green": 1})),
    );
    let dogs = answer(
        &[hit(1, 8, &json!({"color": "red"})), hit(2, 7, &json!({"color": 5})), hit(3, 2, &json!({}))],
        3,
        &facets(json!({"5": 1, "red": 2})),
    );
    let queries: [(&str, f64, &str); 2] = [("a", 1.0, &cats), ("b", 1.0, &dogs)];
    let by_index = json!({"distinct": "color", "facetsByIndex": {"a": ["color"], "b": ["color"]}});
    let found = merged(&by_index, &queries, &[]);
    assert_eq!(shown(&found), ["a1 of 0", "b2 of 1", "a2 of 0", "b3 of 1"]);
    assert_eq!(found["estimatedTotalHits"], 4);
    assert_eq!(found["facetsByIndex"]["b"]["distribution"]["color"], json!({"5": 1, "red": 1}));
    let merged_facets =
        json!({"distinct": "color", "facetsByIndex": {"a": ["color"], "b": ["color"]}, "mergeFacets": {}});
    let found = merged(&merged_facets, &queries, &[]);
    assert_eq!(found["facetDistribution"]["color"], json!({"5": 1, "blue": 1, "green": 1, "red": 2}));
    assert_eq!(found.get("facetsByIndex"), None);
    let cut = json!({"facetsByIndex": {"a": ["color"], "b": []}, "mergeFacets": {"maxValuesPerFacet": 2}});
    assert_eq!(merged(&cut, &queries, &[])["facetDistribution"], json!({"color": {"Red": 1, "blue": 1}}));
}

#[test]
fn totals_of_several_queries_that_must_be_distinct_count_each_value_once() {
    let color = |color: &str| json!({"color": color});
    let first = answer(&[hit(1, 9, &color("red")), hit(2, 8, &color("blue"))], 5, &json!({}));
    let second = answer(&[hit(3, 7, &color("RED"))], 4, &json!({}));
    let by_value = HashMap::from([("red".to_owned(), 4), ("blue".to_owned(), 2), ("green".to_owned(), 1)]);
    let united = Union { total: 8, facets: None, distinct: Some(UnionDistinct { attribute: "color", by_value }) };
    let queries: [(&str, f64, &str); 2] = [("a", 1.0, &first), ("a", 1.0, &second)];
    let found = merged(&json!({"distinct": "color"}), &queries, std::slice::from_ref(&united));
    // One document has no color. Of those with one, three more are red and one more is blue than what is shown.
    assert_eq!((shown(&found), &found["estimatedTotalHits"]), (vec!["a1 of 0".into(), "a2 of 0".into()], &json!(4)));
    let found = merged(&json!({"distinct": "color", "page": 1}), &queries, &[united]);
    assert_eq!(found["totalHits"], 4);
}

#[test]
fn answers_that_lack_something_make_the_whole_lack_it() {
    let first = answer(&[], 0, &json!({"degraded": true}));
    let second = answer(&[], 0, &json!({}));
    assert_eq!(merged(&json!({}), &[("a", 1.0, &first), ("b", 1.0, &second)], &[])["degraded"], true);
    assert_eq!(merged(&json!({}), &[("b", 1.0, &second)], &[]).get("degraded"), None);
    let lacking = FederationFrame { is_degraded: true, processing_time_ms: 7 };
    let unreadable = answer(&[json!({"id": 1})], 1, &json!({}));
    let federation = MultiSearch::from_value(json!({"queries": [], "federation": {}})).unwrap().federation.unwrap();
    let (displayed, retrieved, limits) = (Displayed::All, Retrieved::default(), FacetLimits::default());
    let view = view(&displayed, &retrieved);
    let answer = NodeAnswer::read(&unreadable).unwrap();
    let query = QueryAnswer { position: 0, weight: 1.0, answer, view, is_semantic: false, retrieves_vectors: false };
    let index = IndexAnswer {
        uid: "a",
        queries: vec![query],
        primary_key: None,
        limits: &limits,
        hits_max: 10,
        patterns: None,
        union: None,
        unused_facets: None,
    };
    let nothing = merge(&federation, &[], &lacking).unwrap().body;
    let expected = r#"{"hits":[],"processingTimeMs":7,"limit":20,"offset":0,"estimatedTotalHits":0,"degraded":true}"#;
    assert_eq!(nothing, expected);
    assert_eq!(
        merge(&federation, &[index], &FederationFrame::default()),
        Err(FederationError::Merge(MergeError::Malformed))
    );
}

#[test]
fn facets_that_are_merged_must_have_one_order() {
    let settings = |order: &str| {
        let settings = json!({"faceting": {"sortFacetValuesBy": {"color": order}}});
        FacetLimits::from_settings(settings.as_object().unwrap())
    };
    let facets = IndexFacets::read(r#"{"color":{"red":1},"size.x":{"1":2}}"#, "{}", &["color".into(), "size".into()]);
    let facets = facets.unwrap();
    let mut federated = FederatedFacets::default();
    let patterns = ["color".to_owned(), "size".to_owned()];
    assert_eq!(federated.check_order("a", &patterns, &settings("alpha"), &facets), Ok(()));
    assert_eq!(federated.check_order("b", &patterns, &settings("alpha"), &facets), Ok(()));
    let conflict = federated.check_order("c", &patterns, &settings("count"), &facets).unwrap_err();
    assert_eq!(
        conflict.message(),
        "Inconsistent order for values in facet `color`: index `a` orders alphabetically, but index `c` orders by count.\n - Hint: Remove `federation.mergeFacets` or change `faceting.sortFacetValuesBy` to be consistent in settings."
    );
}
