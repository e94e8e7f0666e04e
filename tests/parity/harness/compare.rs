//! Compares two answers to one search: what one server says, and what Miroir says.
//!
//! Equal means: the same sequence of sort keys (the score details, hidden values from the documents themselves); the same
//! documents in every group of ties that the page does not cut; equal bodies of the documents that both give, and of
//! others the bodies that were written; equal facets, totals and other fields. Ties may stand in any order, as they do
//! between two servers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::case::Case;
use crate::support::Answer;

mod facets;
mod federated;
mod hits;
mod plain;

use facets::compare_facets;
pub use facets::{Counts, are_equal_by_count};
pub use federated::{Federated, compare_federated};
use hits::Hits;
pub use plain::compare_plain;

/// What a difference is about. Classes of explained differences go by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Aspect {
    /// Status, code, type or link of the answer.
    Status,
    /// The words of an error.
    Message,
    /// Which fields the answer has, in which order, and those that echo the request.
    Fields,
    /// The number of hits, or their sort keys.
    Order,
    /// Which documents a whole group of ties holds.
    Ties,
    /// A document's body.
    Body,
    /// `facetDistribution` or `facetStats`.
    Facets,
    /// `totalHits`, `totalPages`.
    Total,
    /// `estimatedTotalHits`.
    Estimate,
}

/// One difference.
#[derive(Clone, Debug)]
pub struct Difference {
    /// What it is about.
    pub aspect: Aspect,
    /// Both sides, shortened.
    pub text: String,
}

/// A difference with both sides shortened.
pub fn difference(aspect: Aspect, what: &str, one: &Value, miroir: &Value) -> Difference {
    Difference { aspect, text: format!("{what}: one server {}, miroir {}", shortened(one), shortened(miroir)) }
}

/// The beginning of a value.
pub fn shortened(value: &Value) -> String {
    value.to_string().chars().take(600).collect()
}

/// Fields that measure, not answer.
const VOLATILE: &[&str] = &["processingTimeMs"];

/// Fields that only real servers have, new with every answer.
pub const IGNORED: &[&str] = &["requestUid"];

/// All differences between two answers with score details.
pub fn compare(case: &Case<'_>, one: &Answer, miroir: &Answer) -> Vec<Difference> {
    if one.status != 200 || miroir.status != 200 {
        return compare_errors(one, miroir);
    }
    compare_answers(case, &one.json, &miroir.json)
}

/// All differences between two answers of which at least one is an error.
pub fn compare_errors(one: &Answer, miroir: &Answer) -> Vec<Difference> {
    let mut found = Vec::new();
    let facts = |answer: &Answer| {
        let field = |name: &str| answer.json.get(name).cloned().unwrap_or_default();
        json!([answer.status, field("code"), field("type"), field("link")])
    };
    let message = |answer: &Answer| answer.json.get("message").cloned().unwrap_or_default();
    if facts(one) != facts(miroir) {
        found.push(difference(Aspect::Status, "status", &one.json, &miroir.json));
    } else if message(one) != message(miroir) {
        found.push(difference(Aspect::Message, "message", &message(one), &message(miroir)));
    }
    found
}

/// All differences between two answers that are not errors.
pub fn compare_answers(case: &Case<'_>, one: &Value, miroir: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare_fields(one, miroir, &mut found);
    compare_facets(case, one, miroir, &mut found);
    let cases = [*case];
    let hits = Hits { cases: &cases, window: case.window(), is_one_walk: true, left: hits(one), right: hits(miroir) };
    hits.compare(&mut found);
    found
}

fn hits(answer: &Value) -> &[Value] {
    answer["hits"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The names of the answer's fields in their order.
pub fn field_names(answer: &Value) -> Vec<&str> {
    let names = answer.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    names.filter(|name| !IGNORED.contains(name)).collect()
}

/// Everything beside the hits and facets.
fn compare_fields(one: &Value, miroir: &Value, found: &mut Vec<Difference>) {
    let (left, right) = (field_names(one), field_names(miroir));
    if left != right {
        found.push(difference(Aspect::Fields, "fields", &json!(left), &json!(right)));
    }
    for name in left.iter().filter(|name| right.contains(name)) {
        let aspect = match *name {
            "hits" | "facetDistribution" | "facetStats" | "facetsByIndex" => continue,
            "totalHits" | "totalPages" => Aspect::Total,
            "estimatedTotalHits" => Aspect::Estimate,
            // Which of the hits are there for their vectors.
            "semanticHitCount" => Aspect::Order,
            name if VOLATILE.contains(&name) => continue,
            _ => Aspect::Fields,
        };
        if !equal(&one[*name], &miroir[*name]) {
            found.push(difference(aspect, name, &one[*name], &miroir[*name]));
        }
    }
}

/// Keys sorted, floats to nine digits: two servers may add in another order.
pub fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            Value::from(format!("{:.9e}", number.as_f64().expect("it is one")).parse::<f64>().expect("it was printed"))
        }
        Value::Array(items) => items.iter().map(rounded).collect(),
        Value::Object(fields) => {
            let sorted: BTreeMap<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), rounded(value))).collect();
            sorted.into_iter().collect::<Map<_, _>>().into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Up to the ninth digit.
pub fn equal(one: &Value, miroir: &Value) -> bool {
    one == miroir || rounded(one) == rounded(miroir)
}

#[cfg(test)]
mod tests;
