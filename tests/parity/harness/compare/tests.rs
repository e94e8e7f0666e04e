//! What counts as equal, and what does not.

use super::super::corpus::{Corpus, tiny};
use super::super::queries::Object;
use super::*;

fn hit(id: u64, score: f64) -> Value {
    json!({"id": id, "_rankingScoreDetails": {"words": {"order": 0, "score": score}}})
}

fn corpus() -> Corpus {
    tiny((1..10).map(|id| json!({"id": id, "name": id})).collect())
}

fn aspects_of(body: &Value, one: &Value, miroir: &Value) -> Vec<Aspect> {
    let (corpus, body): (Corpus, Object) = (corpus(), body.as_object().unwrap().clone());
    let found = compare_answers(&Case { corpus: &corpus, body: &body }, one, miroir);
    found.into_iter().map(|difference| difference.aspect).collect()
}

fn aspects(one: &Value, miroir: &Value) -> Vec<Aspect> {
    aspects_of(&json!({}), one, miroir)
}

#[test]
fn ties_may_stand_in_any_order_and_only_ties() {
    let one = json!({"hits": [hit(1, 1.0), hit(2, 0.5), hit(3, 0.5), hit(4, 0.2)]});
    let swapped = json!({"hits": [hit(1, 1.0), hit(3, 0.5), hit(2, 0.5), hit(4, 0.2)]});
    assert_eq!(aspects(&one, &swapped), []);
    let wrong = json!({"hits": [hit(1, 1.0), hit(4, 0.2), hit(2, 0.5), hit(3, 0.5)]});
    assert_eq!(aspects(&one, &wrong), [Aspect::Order]);
    let foreign = json!({"hits": [hit(1, 1.0), hit(2, 0.5), hit(9, 0.5), hit(4, 0.2)]});
    assert_eq!(aspects(&one, &foreign), [Aspect::Ties]);
    let twice = json!({"hits": [hit(1, 1.0), hit(2, 0.5), hit(2, 0.5), hit(4, 0.2)]});
    assert_eq!(aspects(&one, &twice), [Aspect::Ties, Aspect::Ties]);
}

#[test]
fn ties_that_the_page_cuts_may_be_others() {
    let (one, other) = (json!({"hits": [hit(1, 1.0), hit(2, 0.5)]}), json!({"hits": [hit(1, 1.0), hit(3, 0.5)]}));
    assert_eq!(aspects_of(&json!({"limit": 2}), &one, &other), []);
    assert_eq!(aspects(&one, &other), [Aspect::Ties], "the page is not full, so nothing is cut");
    let (one, other) = (json!({"hits": [hit(2, 0.5), hit(1, 0.1)]}), json!({"hits": [hit(3, 0.5), hit(1, 0.1)]}));
    assert_eq!(aspects_of(&json!({"offset": 1}), &one, &other), []);
    assert_eq!(aspects(&one, &other), [Aspect::Ties], "the page begins with the first hit");
}

#[test]
fn other_documents_totals_and_facets_are_found() {
    let one =
        json!({"hits": [hit(1, 1.0)], "totalHits": 1, "facetDistribution": {"a": {"b": 1}}, "processingTimeMs": 1});
    let mut miroir = one.clone();
    miroir["processingTimeMs"] = json!(7);
    assert_eq!(aspects(&one, &miroir), []);
    miroir["totalHits"] = json!(2);
    miroir["facetDistribution"]["a"]["b"] = json!(2);
    miroir["hits"][0]["extra"] = json!(true);
    assert_eq!(aspects(&one, &miroir), [Aspect::Total, Aspect::Facets, Aspect::Body]);
}

#[test]
fn a_document_that_only_miroir_gives_is_compared_with_what_was_written() {
    let with_name = |name: u64| {
        let mut hit = hit(3, 0.5);
        hit["name"] = json!(name);
        json!({"hits": [hit]})
    };
    let one = json!({"hits": [hit(2, 0.5)]});
    assert_eq!(aspects_of(&json!({"limit": 1}), &one, &with_name(3)), []);
    assert_eq!(aspects_of(&json!({"limit": 1}), &one, &with_name(4)), [Aspect::Body]);
}

#[test]
fn hidden_values_decide_about_the_order_although_the_details_do_not_tell_them() {
    let hidden =
        |id: u64| json!({"id": id, "_rankingScoreDetails": {"<hidden-rule-0>": {"order": 0, "value": "<hidden>"}}});
    let (one, other) = (json!({"hits": [hidden(1), hidden(2)]}), json!({"hits": [hidden(2), hidden(1)]}));
    assert_eq!(aspects_of(&json!({"sort": ["name:asc"]}), &one, &one), []);
    assert_eq!(aspects_of(&json!({"sort": ["name:asc"]}), &one, &other), [Aspect::Order]);
}

#[test]
fn fields_are_compared_with_their_order() {
    let one = json!({"hits": [], "query": "a", "limit": 3});
    assert_eq!(aspects(&one, &json!({"hits": [], "limit": 3, "query": "a"})), [Aspect::Fields]);
    assert_eq!(aspects(&one, &json!({"hits": [], "query": "b", "limit": 3})), [Aspect::Fields]);
}
