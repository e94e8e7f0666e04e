//! Compares answers to a search as the client asked it, without score details: the same fields and nothing that was only
//! added to compare hits; and the same hits that Miroir has just shown with details.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::case::Case;
use super::{Aspect, Difference, difference, equal, field_names};
use crate::support::Answer;

/// Differences of the plain answers; `detailed` is Miroir's answer with score details.
pub fn compare_plain(case: &Case<'_>, one: &Answer, miroir: &Answer, detailed: &Answer) -> Vec<Difference> {
    let mut found = Vec::new();
    let (left, right) = (field_names(&one.json), field_names(&miroir.json));
    if one.status != miroir.status || left != right {
        found.push(difference(Aspect::Fields, "without details", &one.json, &miroir.json));
        return found;
    }
    let (left, right) = (special_fields(&one.json), special_fields(&miroir.json));
    if left != right {
        found.push(difference(Aspect::Fields, "fields of hits", &json!(left), &json!(right)));
    }
    let hits = |answer: &Answer| answer.json["hits"].as_array().cloned().unwrap_or_default();
    let (plain, detailed) = (hits(miroir), hits(detailed));
    if plain.len() != detailed.len() {
        found.push(difference(Aspect::Order, "with details", &json!(detailed.len()), &json!(plain.len())));
        return found;
    }
    let details = |hit: &Value| hit["_rankingScoreDetails"].clone();
    for (place, (hit, expected)) in plain.iter().zip(&detailed).enumerate() {
        // Ties may come in another order, from other replicas: then the hit stands elsewhere among them, or the page cuts
        // them.
        let mut ties = detailed.iter().filter(|other| details(other) == details(expected));
        let is_cut =
            details(expected) == details(&detailed[0]) || details(expected) == details(&detailed[detailed.len() - 1]);
        if !is_cut && !ties.any(|tie| is_same(case, hit, tie)) {
            found.push(difference(Aspect::Body, &format!("hit {place}, with details"), expected, hit));
            break;
        }
    }
    found
}

/// Whether all that a plain hit shows is in the one with details.
fn is_same(case: &Case<'_>, plain: &Value, detailed: &Value) -> bool {
    let added = ["_rankingScore", "_rankingScoreDetails", "_formatted", case.corpus.primary_key];
    let fields = |hit: &Value| {
        let fields = hit.as_object().into_iter().flatten();
        fields
            .filter(|(name, _)| !added.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    equal(&Value::Object(fields(plain)), &Value::Object(fields(detailed)))
}

/// Names of hits' fields that the engine adds. Which of several ties are on the page may decide about `_geo`.
fn special_fields(answer: &Value) -> BTreeSet<&str> {
    let hits = answer["hits"].as_array().into_iter().flatten().filter_map(Value::as_object);
    hits.flatten().map(|(name, _)| name.as_str()).filter(|name| name.starts_with('_') && *name != "_geo").collect()
}
