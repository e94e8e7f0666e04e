//! Compares hits: the same sequence of sort keys, the same documents among ties that no page cuts, the same bodies.

use std::collections::{BTreeMap, BTreeSet};

use miroir::logic::merge::sort_values::sort_value;
use serde_json::{Map, Value, json};

use super::super::case::Case;
use super::super::walk::{distinct_values, repeated_value};
use super::{Aspect, Difference, difference, equal, rounded};

/// The hits of both.
pub struct Hits<'a> {
    /// The searches that found them, of which a hit of a federated one names its own by its number.
    pub cases: &'a [Case<'a>],
    /// The first hit and the number of hits that are asked for.
    pub window: (u64, u64),
    /// Where hits are distinct, all of them are.
    pub is_one_walk: bool,
    /// Of the one server.
    pub left: &'a [Value],
    /// Of Miroir.
    pub right: &'a [Value],
}

impl Hits<'_> {
    /// All differences between them.
    pub fn compare(&self, found: &mut Vec<Difference>) {
        let keys = |hits: &[Value]| hits.iter().map(|hit| sort_key(self.case(hit), hit)).collect::<Vec<_>>();
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
        let (offset, limit) = self.window;
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
            if is_whole && a != b && !self.are_distinct() {
                found.push(difference(Aspect::Ties, &format!("ties from {start} to {end}"), &json!(a), &json!(b)));
            }
            start = end;
        }
        let repeated = |hits| repeated_value(hits, |hit| distinct_values(self.case(hit), hit));
        if self.is_one_walk
            && let Some(value) = repeated(self.right)
            && repeated(self.left).is_none()
        {
            found.push(difference(
                Aspect::Ties,
                "a value that is to be distinct is there twice",
                &Value::Null,
                &json!(value),
            ));
        }
        let ids: Vec<String> = self.right.iter().filter_map(|hit| self.id(hit)).collect();
        if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
            found.push(difference(Aspect::Ties, "a document is there twice", &Value::Null, &json!(ids)));
        }
    }

    fn are_distinct(&self) -> bool {
        self.cases.iter().any(|case| case.distinct().is_some())
    }

    fn case(&self, hit: &Value) -> &Case<'_> {
        let number = hit["_federation"]["queriesPosition"].as_u64().unwrap_or_default();
        self.cases.get(number as usize).unwrap_or(&self.cases[0])
    }

    /// Its index and its id, if that is shown.
    fn id(&self, hit: &Value) -> Option<String> {
        let corpus = self.case(hit).corpus;
        Some(format!("{} {}", corpus.index, hit.get(corpus.primary_key)?))
    }

    /// What a hit is called: by its id, or, where that is not shown, by all that is shown.
    fn name(&self, hit: &Value) -> String {
        let body = || {
            let fields = hit.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with('_'));
            rounded(&fields.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
        };
        self.id(hit).unwrap_or_else(body)
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
        let case = self.case(hit);
        let Some(id) = hit.get(case.corpus.primary_key) else { return };
        let Some(written) = case.corpus.document(id) else {
            found.push(difference(Aspect::Body, "a document that nobody wrote", &Value::Null, hit));
            return;
        };
        // A field of which only parts are shown is cut out of the document: those are left to the others.
        let names_parts = case.has("attributesToRetrieve") || case.corpus.settings.contains_key("displayedAttributes");
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

/// The score details, with the values of hidden sort rules, which the details do not tell; and what a hit of a federated
/// search says of its place.
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
    if let Some(federation) = hit.get("_federation") {
        key.insert("_federation".to_owned(), rounded(federation));
    }
    json!(key).to_string()
}
