//! Compares two answers to one search: what one server says, and what Miroir says.
//!
//! Equal means: the same sequence of sort keys (the score details, hidden values from the documents themselves); the same
//! documents in every group of ties that the page does not cut; equal bodies of the documents that both give, and of
//! others the bodies that were written; equal facets, totals and other fields. Ties may stand in any order, as they do
//! between two servers.

use std::collections::{BTreeMap, BTreeSet};

use miroir::logic::merge::sort_values::sort_value;
use serde_json::{Map, Value, json};

use super::case::Case;
use super::walk::repeated_value;
use crate::support::Answer;

mod facets;
mod plain;

use facets::compare_facets;
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

fn compare_errors(one: &Answer, miroir: &Answer) -> Vec<Difference> {
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
    let hits = Hits { case, left: hits(one), right: hits(miroir) };
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
            "hits" | "facetDistribution" | "facetStats" => continue,
            "totalHits" | "totalPages" => Aspect::Total,
            "estimatedTotalHits" => Aspect::Estimate,
            name if VOLATILE.contains(&name) => continue,
            _ => Aspect::Fields,
        };
        if !equal(&one[*name], &miroir[*name]) {
            found.push(difference(aspect, name, &one[*name], &miroir[*name]));
        }
    }
}

/// The hits of both.
struct Hits<'a> {
    case: &'a Case<'a>,
    left: &'a [Value],
    right: &'a [Value],
}

impl Hits<'_> {
    fn compare(&self, found: &mut Vec<Difference>) {
        let keys = |hits: &[Value]| hits.iter().map(|hit| sort_key(self.case, hit)).collect::<Vec<_>>();
        let (left_keys, right_keys) = (keys(self.left), keys(self.right));
        if left_keys != right_keys {
            let at = left_keys.iter().zip(&right_keys).take_while(|(a, b)| a == b).count();
            let side = |keys: &[String]| keys.get(at).map_or(Value::Null, |key| json!(key));
            let what = format!("{} against {} hits, first other sort key at {at}", left_keys.len(), right_keys.len());
            found.push(difference(Aspect::Order, &what, &side(&left_keys), &side(&right_keys)));
            return;
        }
        self.compare_ties(&left_keys, found);
        self.compare_bodies(found);
    }

    /// Groups of equal sort keys hold the same documents, unless the page may have cut them.
    fn compare_ties(&self, keys: &[String], found: &mut Vec<Difference>) {
        let (offset, limit) = self.case.window();
        let mut start = 0;
        while start < keys.len() {
            let end = start + keys[start..].iter().take_while(|key| **key == keys[start]).count();
            let names = |hits: &[Value]| {
                let mut names: Vec<String> = hits[start..end].iter().map(|hit| self.name(hit)).collect();
                names.sort();
                names
            };
            let (a, b) = (names(self.left), names(self.right));
            let is_whole = (start > 0 || offset == 0) && (end < keys.len() || (end as u64) < limit);
            // Which of several ties stands for a value is chance.
            if is_whole && a != b && self.case.distinct().is_none() {
                found.push(difference(Aspect::Ties, &format!("ties from {start} to {end}"), &json!(a), &json!(b)));
            }
            start = end;
        }
        if let Some(value) = repeated_value(self.case, self.right)
            && repeated_value(self.case, self.left).is_none()
        {
            found.push(difference(
                Aspect::Ties,
                "a value that is to be distinct is there twice",
                &Value::Null,
                &json!(value),
            ));
        }
        let ids: Vec<String> =
            self.right.iter().filter_map(|hit| Some(hit.get(self.case.corpus.primary_key)?.to_string())).collect();
        if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
            found.push(difference(Aspect::Ties, "a document is there twice", &Value::Null, &json!(ids)));
        }
    }

    /// What a hit is called: by its id, or, where that is not shown, by all that is shown.
    fn name(&self, hit: &Value) -> String {
        hit.get(self.case.corpus.primary_key).map_or_else(|| rounded(hit).to_string(), ToString::to_string)
    }

    /// Documents that both give are equal in every field, those that begin with `_` included; of others each field is as
    /// it was written.
    fn compare_bodies(&self, found: &mut Vec<Difference>) {
        let by_name: BTreeMap<String, &Value> = self.left.iter().map(|hit| (self.name(hit), hit)).collect();
        for hit in self.right {
            match by_name.get(&self.name(hit)) {
                Some(other) if equal(other, hit) => {}
                Some(other) => {
                    let (left, right) = (differing_fields(other, hit), differing_fields(hit, other));
                    found.push(difference(Aspect::Body, &format!("document {}", self.name(hit)), &left, &right));
                    return;
                }
                None => self.compare_with_written(hit, found),
            }
        }
    }

    fn compare_with_written(&self, hit: &Value, found: &mut Vec<Difference>) {
        let Some(id) = hit.get(self.case.corpus.primary_key) else { return };
        let Some(written) = self.case.corpus.document(id) else {
            found.push(difference(Aspect::Body, "a document that nobody wrote", &Value::Null, hit));
            return;
        };
        // A field of which only parts are shown is cut out of the document: those are left to the others.
        let names_parts =
            self.case.has("attributesToRetrieve") || self.case.corpus.settings.contains_key("displayedAttributes");
        let fields = hit.as_object().into_iter().flatten();
        for (key, value) in fields.filter(|(key, _)| *key == "_geo" || !key.starts_with('_')) {
            let may_be_cut = names_parts && (value.is_object() || value.is_array());
            if !may_be_cut && !equal(value, &written[key]) {
                found.push(difference(Aspect::Body, &format!("{key} of {id}"), &written[key], value));
            }
        }
    }
}

/// The fields of a hit that the other one has not, or has differently.
fn differing_fields(hit: &Value, other: &Value) -> Value {
    let fields = hit.as_object().into_iter().flatten();
    let differing = fields.filter(|(name, value)| !other.get(*name).is_some_and(|other| equal(value, other)));
    differing.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
}

/// The score details, with the values of hidden sort rules, which the details do not tell.
fn sort_key(case: &Case<'_>, hit: &Value) -> String {
    let Some(details) = hit["_rankingScoreDetails"].as_object() else { return String::new() };
    let mut key: BTreeMap<String, Value> = details.iter().map(|(name, value)| (name.clone(), rounded(value))).collect();
    let document = hit.get(case.corpus.primary_key).and_then(|id| case.corpus.document(id));
    let mut hidden: Vec<&String> = details.keys().filter(|name| name.starts_with("<hidden")).collect();
    hidden.sort_by_key(|name| details[*name]["order"].as_u64());
    let is_shown = |name: &str| details.contains_key(name);
    let rules = case.sort_rules();
    let rules = rules
        .iter()
        .filter(|rule| !is_shown(&format!("{}:asc", rule.attribute)) && !is_shown(&format!("{}:desc", rule.attribute)));
    for (name, rule) in hidden.into_iter().zip(rules) {
        let value = document.map(|document| sort_value(document, &rule.attribute, rule.is_ascending));
        key.insert(name.clone(), json!(format!("{value:?}")));
    }
    json!(key).to_string()
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
