//! Compares two answers to one search: what one server says, and what Miroir says.
//!
//! Equal means: the same sequence of sort keys (the score details); the same documents in every group of ties that the page
//! does not cut; equal bodies of the documents that both give; equal facets, totals and other fields. Ties may stand in any
//! order, as they do between two servers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// What a difference is about. Rules of exception go by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Aspect {
    /// Status or code of the answer.
    Status,
    /// Which fields the answer has, and those that echo the request.
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

fn difference(aspect: Aspect, what: &str, one: &Value, miroir: &Value) -> Difference {
    let short = |value: &Value| value.to_string().chars().take(400).collect::<String>();
    Difference { aspect, text: format!("{what}: one server {}, miroir {}", short(one), short(miroir)) }
}

/// Fields that measure, not answer.
const VOLATILE: &[&str] = &["processingTimeMs"];

/// Fields that only real servers have, new with every answer.
pub const IGNORED: &[&str] = &["requestUid"];

/// All differences between two answers with score details.
pub fn compare(primary_key: &str, one: &Value, miroir: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    fields(one, miroir, &mut found);
    let (left, right) = (hits(one), hits(miroir));
    let keys = |hits: &[Value]| hits.iter().map(sort_key).collect::<Vec<_>>();
    let (left_keys, right_keys) = (keys(left), keys(right));
    if left_keys != right_keys {
        let at = left_keys.iter().zip(&right_keys).take_while(|(a, b)| a == b).count();
        let side = |hits: &[Value]| hits.get(at).map_or(Value::Null, |hit| hit["_rankingScoreDetails"].clone());
        let what = format!("{} against {} hits, first other sort key at {at}", left.len(), right.len());
        found.push(difference(Aspect::Order, &what, &side(left), &side(right)));
        return found;
    }
    ties(primary_key, left, right, &left_keys, &mut found);
    bodies(primary_key, left, right, &mut found);
    found
}

fn hits(answer: &Value) -> &[Value] {
    answer["hits"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Everything beside the hits.
fn fields(one: &Value, miroir: &Value, found: &mut Vec<Difference>) {
    let empty = Map::new();
    let (left, right) = (one.as_object().unwrap_or(&empty), miroir.as_object().unwrap_or(&empty));
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    for name in names {
        let (a, b) = (left.get(name), right.get(name));
        if name == "hits"
            || IGNORED.contains(&name.as_str())
            || (VOLATILE.contains(&name.as_str()) && a.is_some() == b.is_some())
        {
            continue;
        }
        let aspect = match name.as_str() {
            "facetDistribution" | "facetStats" => Aspect::Facets,
            "totalHits" | "totalPages" => Aspect::Total,
            "estimatedTotalHits" => Aspect::Estimate,
            _ => Aspect::Fields,
        };
        let is_equal = match (a, b) {
            (Some(a), Some(b)) => equal(a, b),
            _ => false,
        };
        if !is_equal {
            let nothing = Value::from("(nothing)");
            found.push(difference(aspect, name, a.unwrap_or(&nothing), b.unwrap_or(&nothing)));
        }
    }
}

/// The score details without what says nothing about order.
fn sort_key(hit: &Value) -> String {
    rounded(&hit["_rankingScoreDetails"]).to_string()
}

/// Keys sorted, floats to nine digits: two servers may add in another order.
fn rounded(value: &Value) -> Value {
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

fn equal(one: &Value, miroir: &Value) -> bool {
    rounded(one) == rounded(miroir)
}

/// Groups of equal sort keys hold the same documents, unless the page may have cut them.
fn ties(primary_key: &str, left: &[Value], right: &[Value], keys: &[String], found: &mut Vec<Difference>) {
    let mut start = 0;
    while start < keys.len() {
        let end = start + keys[start..].iter().take_while(|key| **key == keys[start]).count();
        let ids =
            |hits: &[Value]| hits[start..end].iter().map(|hit| hit[primary_key].to_string()).collect::<BTreeSet<_>>();
        let (a, b) = (ids(left), ids(right));
        let is_whole = start > 0 && end < keys.len();
        if is_whole && a != b {
            let list = |ids: BTreeSet<String>| ids.into_iter().collect::<Vec<_>>().into();
            found.push(difference(Aspect::Ties, &format!("ties from {start} to {end}"), &list(a), &list(b.clone())));
        }
        if b.len() != end - start {
            let list = b.into_iter().collect::<Vec<_>>().into();
            found.push(difference(Aspect::Ties, "a document is there twice", &Value::Null, &list));
        }
        start = end;
    }
}

/// Documents that both give are equal in every field, those that begin with `_` included.
fn bodies(primary_key: &str, left: &[Value], right: &[Value], found: &mut Vec<Difference>) {
    let by_id: BTreeMap<String, &Value> = left.iter().map(|hit| (hit[primary_key].to_string(), hit)).collect();
    for hit in right {
        let Some(other) = by_id.get(&hit[primary_key].to_string()) else { continue };
        if !equal(other, hit) {
            found.push(difference(Aspect::Body, "document", other, hit));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hit(id: u64, score: f64) -> Value {
        json!({"id": id, "_rankingScoreDetails": {"words": {"order": 0, "score": score}}})
    }

    fn aspects(one: &Value, miroir: &Value) -> Vec<Aspect> {
        compare("id", one, miroir).into_iter().map(|difference| difference.aspect).collect()
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
        assert_eq!(aspects(&one, &miroir), [Aspect::Facets, Aspect::Total, Aspect::Body]);
    }
}
