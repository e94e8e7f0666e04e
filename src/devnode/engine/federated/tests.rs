//! Federated searches on small indexes.

use serde_json::{Value, json};

use super::*;
use crate::devnode::engine::{Payload, Settings};

fn index(uid: &str, documents: &Value) -> Index {
    let settings = json!({"filterableAttributes": ["color"], "sortableAttributes": ["size"]});
    let mut index = Index::new(Some("id".to_owned()));
    index.set_uid(uid);
    index.set_settings(Settings::from_json(settings.as_object().unwrap()).unwrap()).unwrap();
    let documents = documents.as_array().unwrap().iter().map(|document| document.as_object().unwrap().clone());
    index.apply(&[Payload::Replace(documents.collect())]).unwrap();
    index
}

fn animals() -> Index {
    let documents = json!([
        {"id": 1, "t": "red cat", "color": "red", "size": 1},
        {"id": 2, "t": "blue cat", "color": ["blue", "Red"], "size": 2},
        {"id": 3, "t": "cat dog", "color": "green"},
    ]);
    index("a", &documents)
}

fn others() -> Index {
    let documents = json!([
        {"id": 1, "t": "cat", "color": "red", "size": 5},
        {"id": 2, "t": "dog", "color": "black", "size": 2.5},
        {"id": 3, "t": "a red dog", "color": "Black"},
    ]);
    index("b", &documents)
}

fn query(position: usize, weight: f64, body: &Value) -> FederatedQuery {
    FederatedQuery { search: SearchQuery::from_json(body.as_object().unwrap()).unwrap(), weight, position }
}

fn part(distinct: Option<&str>) -> FederatedPart<'_> {
    FederatedPart { needed_hits: 20, is_exhaustive: false, distinct, facets: None }
}

/// Index, id and query of each hit.
fn shown(hits: &[Map<String, Value>]) -> Vec<String> {
    let show = |hit: &Map<String, Value>| {
        let federation = &hit["_federation"];
        format!("{}{} of {}", federation["indexUid"].as_str().unwrap(), hit["id"], federation["queriesPosition"])
    };
    hits.iter().map(show).collect()
}

#[test]
fn a_document_of_several_queries_is_shown_once_by_the_best() {
    let index = animals();
    let queries = [query(0, 1.0, &json!({"q": "cat"})), query(1, 1.0, &json!({"q": "dog"}))];
    let found = index.federated(&queries, &part(None)).unwrap();
    assert_eq!(found.total, 3);
    let page = merge(vec![found], 0, 20, None);
    assert_eq!(shown(&page.hits), ["a3 of 0", "a1 of 0", "a2 of 0"]);
    let queries = [query(0, 0.5, &json!({"q": "cat"})), query(1, 1.0, &json!({"q": "dog"}))];
    let page = merge(vec![index.federated(&queries, &part(None)).unwrap()], 0, 20, None);
    assert_eq!(shown(&page.hits), ["a3 of 1", "a1 of 0", "a2 of 0"]);
}

#[test]
fn more_rules_win_where_values_cannot_be_compared() {
    let cats = animals().federated(&[query(0, 1.0, &json!({"q": "cat", "sort": ["size:asc"]}))], &part(None)).unwrap();
    let others = others().federated(&[query(1, 1.0, &json!({"q": "cat"}))], &part(None)).unwrap();
    // Seen on Meilisearch 1.50, though the document of `b` has the best score.
    assert_eq!(shown(&merge(vec![cats, others], 0, 20, None).hits), ["a1 of 0", "a2 of 0", "a3 of 0", "b1 of 1"]);
}

#[test]
fn a_value_is_shown_once_over_all_indexes() {
    let find = |needed_hits| {
        let part = FederatedPart { needed_hits, ..part(Some("color")) };
        let cats = animals().federated(&[query(0, 1.0, &json!({"q": "cat"}))], &part).unwrap();
        let dogs = others().federated(&[query(1, 1.0, &json!({"q": "dog"}))], &part).unwrap();
        merge(vec![cats, dogs], 0, needed_hits, Some("color"))
    };
    let page = find(20);
    assert_eq!((shown(&page.hits), page.total), (vec!["b2 of 1".into(), "a3 of 0".into(), "a1 of 0".into()], 3));
    // What a shorter page does not look at still counts: totals seen on Meilisearch 1.50.
    assert_eq!((shown(&find(1).hits), find(1).total), (vec!["b2 of 1".into()], 4));
    assert_eq!(find(0).total, 5);
}

#[test]
fn values_of_rejected_documents_are_taken_out_of_counts() {
    let mut distribution = json!({"color": {"Black": 2, "red": 1, "5": 3}});
    let distribution = distribution.as_object_mut().unwrap();
    for document in [json!({"color": ["black", 5]}), json!({"color": "RED"}), json!({"other": "red"})] {
        remove_from_counts(distribution, document.as_object().unwrap());
    }
    assert_eq!(Value::Object(distribution.clone()), json!({"color": {"Black": 1, "5": 2}}));
}
