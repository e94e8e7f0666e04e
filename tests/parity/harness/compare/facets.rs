//! Compares the facets of two answers: the same facets with the same values in the same order and the same counts.
//!
//! Two things may differ. Values with equal counts may stand in any order where counts decide it, and where the list is cut
//! there, others of them may be at its end. Of several spellings of one value any may be shown.

use std::collections::BTreeMap;

use miroir::logic::merge::facets::normalize;
use serde_json::{Value, json};

use super::super::case::Case;
use super::{Aspect, Difference, difference, equal};

/// Normalised values and their counts, in order.
pub type Counts = Vec<(String, u64)>;

/// All differences between the facets of two answers.
pub fn compare_facets(case: &Case<'_>, one: &Value, miroir: &Value, found: &mut Vec<Difference>) {
    let by_count_max = |facet: &str| case.is_by_count(facet).then(|| case.facet_values_max());
    compare_distributions(Order::OfValues, by_count_max, one, miroir, found);
}

/// The same, where `by_count_max` says of a facet whether its values come in the order of their counts, and how many are
/// shown then.
pub fn compare_distributions(
    order: Order,
    by_count_max: impl Fn(&str) -> Option<usize>,
    one: &Value,
    miroir: &Value,
    found: &mut Vec<Difference>,
) {
    if !equal(&one["facetStats"], &miroir["facetStats"]) {
        found.push(difference(Aspect::Facets, "facetStats", &one["facetStats"], &miroir["facetStats"]));
    }
    let empty = serde_json::Map::new();
    let (left, right) = (&one["facetDistribution"], &miroir["facetDistribution"]);
    let (left, right) = (left.as_object().unwrap_or(&empty), right.as_object().unwrap_or(&empty));
    if !left.keys().eq(right.keys()) {
        let names = |facets: &serde_json::Map<String, Value>| json!(facets.keys().collect::<Vec<_>>());
        found.push(difference(Aspect::Facets, "names of facets", &names(left), &names(right)));
        return;
    }
    for ((facet, left), right) in left.iter().zip(right.values()) {
        let (a, b) = (counts(left), counts(right));
        let is_merged_equal = order == Order::OfSpellings && are_equal_but_for_spellings(&a, &b);
        let is_equal =
            is_merged_equal || by_count_max(facet).map_or_else(|| a == b, |max| are_equal_by_count(&a, &b, max));
        if !is_equal {
            let at = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            let from = |counts: &Counts| json!(counts.iter().skip(at.saturating_sub(1)).take(9).collect::<Vec<_>>());
            let what = format!("facet {facet}, {} and {} values, from {at} on", a.len(), b.len());
            found.push(difference(Aspect::Facets, &what, &from(&a), &from(&b)));
        }
    }
}

/// What decides where a text stands that is spelled in several ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Its normalised form.
    OfValues,
    /// The spelling that happens to be shown, as in merged facets: then it may also fall behind the end of the list.
    OfSpellings,
}

/// The same counts for what both have; and few values that only one of them has, equally many on both sides.
fn are_equal_but_for_spellings(one: &Counts, miroir: &Counts) -> bool {
    const CUT_MAX: usize = 3;
    let map = |counts: &Counts| counts.iter().cloned().collect::<BTreeMap<String, u64>>();
    let (one, miroir) = (map(one), map(miroir));
    let are_equal = one.iter().all(|(value, count)| miroir.get(value).is_none_or(|other| other == count));
    let lacking = one.keys().filter(|value| !miroir.contains_key(*value)).count();
    are_equal && one.len() == miroir.len() && lacking <= CUT_MAX
}

fn counts(values: &Value) -> Counts {
    let values = values.as_object().into_iter().flatten();
    values.map(|(value, count)| (normalize(value), count.as_u64().unwrap_or(u64::MAX))).collect()
}

/// The same counts one after the other, and the same values for each count but the last one of a list that is cut.
pub fn are_equal_by_count(one: &Counts, miroir: &Counts, values_max: usize) -> bool {
    let sequence = |counts: &Counts| counts.iter().map(|(_, count)| *count).collect::<Vec<_>>();
    let of_last = if one.len() < values_max { None } else { one.last().map(|(_, count)| *count) };
    let groups = |counts: &Counts| {
        let mut groups: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for (value, count) in counts.iter().filter(|(_, count)| Some(*count) != of_last) {
            groups.entry(*count).or_default().push(value.clone());
        }
        for values in groups.values_mut() {
            values.sort();
        }
        groups
    };
    sequence(one) == sequence(miroir) && groups(one) == groups(miroir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Counts {
        text.split(' ').map(|pair| pair.split_once('=').unwrap()).map(|(a, b)| (a.into(), b.parse().unwrap())).collect()
    }

    #[test]
    fn equal_counts_may_stand_in_any_order_and_only_they() {
        let one = list("a=5 b=3 c=3 d=1");
        assert!(are_equal_by_count(&one, &list("a=5 c=3 b=3 d=1"), 100));
        assert!(!are_equal_by_count(&one, &list("b=3 a=5 c=3 d=1"), 100));
        assert!(!are_equal_by_count(&one, &list("a=5 b=3 x=3 d=1"), 4));
        assert!(!are_equal_by_count(&one, &list("a=5 b=3 c=3 x=1"), 100));
        assert!(are_equal_by_count(&one, &list("a=5 b=3 c=3 x=1"), 4), "the list is cut within the last count");
        assert!(!are_equal_by_count(&one, &list("a=5 b=3 c=3 d=2"), 4));
    }
}
