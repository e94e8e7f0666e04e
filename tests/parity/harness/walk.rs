//! Hits that are made distinct by an attribute: no value twice, and what one list lacks is hidden by something in it.
//!
//! One server walks its hits from the best one on and keeps each that shares no value with those kept before. Where a
//! document has several values, which of several ties comes first decides about more than itself: two walks may then keep
//! another number of hits, and both be right.

use std::cmp::Ordering;
use std::collections::HashSet;

use miroir::logic::merge::facet_values::FacetValues;
use serde_json::Value;

use super::case::Case;
use super::order::compare_hits;

/// The values of a hit's document that make it distinct. None if nothing does, or if the hit does not show its id.
pub fn distinct_values(case: &Case<'_>, hit: &Value) -> Option<HashSet<String>> {
    let attribute = case.distinct()?;
    let document = case.corpus.document(hit.get(case.corpus.primary_key)?)?;
    Some(values_of(case, document, attribute))
}

fn values_of(case: &Case<'_>, document: &Value, attribute: &str) -> HashSet<String> {
    let FacetValues { numbers, texts, has_empty_text } = FacetValues::of(document, attribute);
    let numbers = numbers.iter().map(|number| format!("number {number}"));
    // Where the settings name the attribute, an empty text is no value.
    let empty = (has_empty_text && case.has("distinct")).then(|| "text ".to_owned());
    numbers.chain(texts.iter().map(|text| format!("text {text}"))).chain(empty).collect()
}

/// A value that two of these hits have.
pub fn repeated_value(hits: &[Value], values: impl Fn(&Value) -> Option<HashSet<String>>) -> Option<String> {
    let mut seen = HashSet::new();
    let mut all = hits.iter().filter_map(values).flatten();
    all.find(|value| !seen.insert(value.clone()))
}

/// Whether two lists of distinct hits, each from its beginning, can both be walks over the same hits: what one of them
/// lacks shares a value with something in it that is no worse. A list with `limit` hits says nothing of what is worse than
/// its last hit; nor does one that lacks no more hits than there are documents with an empty text: a page shows one of them
/// and counts all.
pub fn may_be_walks_of_the_same(case: &Case<'_>, one: &[Value], other: &[Value], limit: usize) -> bool {
    if case.distinct().is_none() {
        return false;
    }
    let blank = case.documents_with_blank_distinct_texts();
    let of_blank: HashSet<String> =
        blank.iter().flat_map(|document| values_of(case, document, case.distinct().unwrap_or_default())).collect();
    let explains = |list: &[Value], missing: &Value| {
        let is_beyond = list.len() + blank.len() >= limit
            && list.last().is_some_and(|last| compare_hits(missing, last) != Ordering::Greater);
        let Some(wanted) = distinct_values(case, missing) else { return false };
        // The walk keeps a document with an empty text, and hides others for it, that the page then leaves out.
        is_beyond
            || !of_blank.is_disjoint(&wanted)
            || list.iter().any(|hit| {
                let is_no_worse = compare_hits(hit, missing) != Ordering::Less;
                is_no_worse && distinct_values(case, hit).is_some_and(|values| !values.is_disjoint(&wanted))
            })
    };
    let id = |hit: &Value| hit.get(case.corpus.primary_key).map(ToString::to_string);
    let lacks = |list: &[Value], hit: &Value| !list.iter().any(|own| id(own) == id(hit));
    let is_explained = |list: &[Value], hits: &[Value]| hits.iter().all(|hit| !lacks(list, hit) || explains(list, hit));
    is_explained(one, other) && is_explained(other, one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::corpus::tiny;
    use super::*;

    #[test]
    fn a_hit_is_missing_only_for_the_sake_of_one_that_is_no_worse() {
        let documents = [json!([1, 2]), json!([1]), json!([2]), json!([3])];
        let documents = documents.iter().enumerate().map(|(id, tags)| json!({"id": id, "tags": tags})).collect();
        let corpus = tiny(documents);
        let body = json!({"distinct": "tags"});
        let case = Case { corpus: &corpus, body: body.as_object().unwrap() };
        let hit = |id: u64, words: u64| json!({"id": id, "_rankingScoreDetails": {"words": {"matchingWords": words}}});
        let same = |one: &[Value], other: &[Value]| may_be_walks_of_the_same(&case, one, other, 20);
        // All tie: either the first one, or the second and the third.
        assert!(same(&[hit(0, 1), hit(3, 1)], &[hit(1, 1), hit(2, 1), hit(3, 1)]));
        assert!(!same(&[hit(0, 1)], &[hit(1, 1), hit(2, 1), hit(3, 1)]), "nothing hides the last one");
        assert!(!same(&[hit(0, 1), hit(3, 1)], &[hit(1, 2), hit(2, 2), hit(3, 1)]), "hidden by a worse one");
        let repeated = |hits: &[Value]| repeated_value(hits, |hit| distinct_values(&case, hit));
        assert_eq!(repeated(&[hit(0, 1), hit(3, 1)]), None);
        assert_eq!(repeated(&[hit(0, 1), hit(2, 1)]), Some("number 2".to_owned()));
    }
}
