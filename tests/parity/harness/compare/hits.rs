//! Compares hits: the same sequence of sort keys, the same documents among ties that no page cuts, the same bodies.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

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
        self.compare_groups(&left_keys, found);
        self.compare_repetitions(found);
        self.compare_bodies(found);
    }

    /// Groups of ties hold the same documents, unless the page may have cut them.
    fn compare_groups(&self, keys: &[String], found: &mut Vec<Difference>) {
        let (offset, limit) = self.window;
        let mut start = 0;
        while start < keys.len() {
            let end = start + keys[start..].iter().take_while(|key| **key == keys[start]).count();
            let is_whole = (start > 0 || offset == 0)
                && (end < keys.len() || (end as u64) < limit)
                && !self.is_list_at_its_end(end - 1);
            // Which of several ties stands for a value is chance.
            if is_whole && !self.are_distinct() {
                self.compare_group(start..end, found);
            }
            start = end;
        }
    }

    /// Whether this may be the last hit that can be reached of its search's list, among those of a federation.
    fn is_list_at_its_end(&self, place: usize) -> bool {
        let search = |hit: &Value| hit["_federation"]["queriesPosition"].as_u64();
        let own = search(&self.left[place]);
        let before = self.left[..=place].iter().filter(|hit| search(hit) == own).count() as u64;
        own.is_some() && self.window.0 + before >= self.case(&self.left[place]).hits_max()
    }

    /// Compares a group that both show whole. Where documents do not show their ids their bodies tell them apart, as a whole.
    fn compare_group(&self, group: Range<usize>, found: &mut Vec<Difference>) {
        let what = format!("ties from {} to {}", group.start, group.end);
        let mut compare = |aspect, name: &dyn Fn(&Value) -> String| {
            let [a, b] = [self.left, self.right].map(|hits| {
                let mut names: Vec<String> = hits[group.clone()].iter().map(name).collect();
                names.sort();
                names
            });
            if a != b {
                found.push(difference(aspect, &what, &json!(a), &json!(b)));
            }
            a == b
        };
        if compare(Aspect::Ties, &|hit| self.name(hit)) {
            let nameless = |hit: &Value| if self.id(hit).is_some() { String::new() } else { rounded(hit).to_string() };
            compare(Aspect::Body, &nameless);
        }
    }

    /// No hit, and no value that is to be distinct, comes twice.
    fn compare_repetitions(&self, found: &mut Vec<Difference>) {
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
        // Where pages are put together one server may repeat a hit: combined lists are as long as the page's end is far.
        let ids = |hits: &[Value]| -> Vec<String> { hits.iter().filter_map(|hit| self.id(hit)).collect() };
        let are_repeated = |ids: &[String]| ids.iter().collect::<BTreeSet<_>>().len() < ids.len();
        let (left, right) = (ids(self.left), ids(self.right));
        if are_repeated(&right) && !are_repeated(&left) {
            found.push(difference(Aspect::Ties, "a document is there twice", &Value::Null, &json!(right)));
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
    /// it was written. Those without ids were compared among their ties.
    fn compare_bodies(&self, found: &mut Vec<Difference>) {
        let by_id: BTreeMap<String, &Value> = self.left.iter().filter_map(|hit| Some((self.id(hit)?, hit))).collect();
        for (hit, id) in self.right.iter().filter_map(|hit| Some((hit, self.id(hit)?))) {
            match by_id.get(&id) {
                Some(other) if equal(other, hit) => {}
                Some(other) => {
                    let (left, right) = (differing_fields(other, hit), differing_fields(hit, other));
                    found.push(difference(Aspect::Body, &format!("document {id}"), &left, &right));
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
