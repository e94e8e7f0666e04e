//! `facetDistribution` and `facetStats` of a search.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;
use serde_json::{Map, Value, json};

use super::facets::FieldFacets;
use super::index::Index;
use super::settings::FacetOrder;
use crate::meili::attribute_pattern::{is_at_or_below, wildcard};
use crate::meili::error::ApiError;
use crate::meili::filterable::check_facets;

/// Up to this many documents Meilisearch counts document by document and orders numbers as texts; above, as numbers.
const COUNT_BY_DOCUMENT_MAX: u64 = 3_000;

/// Counts and stats by facet, both in the order of names.
pub(super) type FacetCounts = (Map<String, Value>, Map<String, Value>);

/// Counts the facets that `patterns` name over the found documents.
///
/// # Errors
/// `invalid_search_facets`.
pub(super) fn count(index: &Index, patterns: &[String], found: &RoaringBitmap) -> Result<FacetCounts, ApiError> {
    let settings = &index.settings;
    check_facets(&settings.filterable_attributes, patterns.iter().map(String::as_str))?;
    let is_filterable =
        |name: &str| settings.filterable_rule(name).is_some_and(|(_, features)| features.is_filterable());
    let named: Vec<&str> = index
        .fields
        .iter()
        .map(|(_, name)| name)
        .filter(|name| patterns.iter().any(|wanted| wildcard(wanted, name).is_yes()) && is_filterable(name))
        .collect();
    // An object that is named brings the fields below it.
    let chosen: BTreeMap<&str, &FieldFacets> = index
        .fields
        .iter()
        .filter(|(_, name)| named.iter().any(|above| is_at_or_below(name, above)) && is_filterable(name))
        .filter_map(|(field, name)| Some((name, index.facets.field(field)?)))
        .collect();
    let (mut counts, mut stats) = (Map::new(), Map::new());
    for (name, facets) in chosen {
        // What is only below a facet that was asked for has the order of all others.
        let order = settings.faceting.order_of(if named.contains(&name) { name } else { "*" });
        let values = counted(facets, found, order, settings.faceting.max_values_per_facet);
        counts.insert(name.to_owned(), Value::Object(values));
        let mut numbers = facets.numbers.iter().filter(|(_, documents)| !documents.is_disjoint(found));
        if let Some((least, _)) = numbers.next() {
            let most = numbers.next_back().map_or(least, |(most, _)| most);
            stats.insert(name.to_owned(), json!({"min": least.0, "max": most.0}));
        }
    }
    Ok((counts, stats))
}

/// The values of one facet with their counts, as the engine puts them into the answer: numbers, then texts, of which one that
/// reads like a number takes its place. Document by document it stops at the limit; walking its tree of values it looks at
/// the limit only after it put something in, so that numbers which reach it let all texts in.
fn counted(facets: &FieldFacets, found: &RoaringBitmap, order: FacetOrder, limit: usize) -> Map<String, Value> {
    let count = |documents: &RoaringBitmap| Some(documents.intersection_len(found)).filter(|count| *count > 0);
    let mut numbers: Vec<(String, u64)> = facets
        .numbers
        .iter()
        .filter_map(|(number, documents)| Some((number.0.to_string(), count(documents)?)))
        .collect();
    let strings = facets.strings.iter().filter_map(|(key, value)| {
        let count = count(&value.documents)?;
        let first = (&value.documents & found).min()?;
        Some((value.original(key, first).to_owned(), count))
    });
    let mut strings: Vec<(String, u64)> = strings.collect();
    let is_by_document = order == FacetOrder::Alpha && found.len() <= COUNT_BY_DOCUMENT_MAX;
    match order {
        FacetOrder::Alpha if is_by_document => numbers.sort(),
        FacetOrder::Alpha => {}
        FacetOrder::Count => {
            // Of equal counts the largest value comes first.
            for values in [&mut numbers, &mut strings] {
                values.reverse();
                values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            }
        }
    }
    let mut shown = Map::new();
    if is_by_document {
        shown.extend(numbers.into_iter().take(limit).map(|(value, count)| (value, count.into())));
        let left = limit - shown.len();
        shown.extend(strings.into_iter().take(left).map(|(value, count)| (value, count.into())));
        return shown;
    }
    for values in [numbers, strings] {
        for (value, count) in values {
            shown.insert(value, count.into());
            if shown.len() == limit {
                break;
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Documents 0 to 3: a number, and a text that the number of the last one reads like.
    fn facets() -> FieldFacets {
        let mut facets = FieldFacets::default();
        for (document, value) in
            [(0, json!(1)), (0, json!("a")), (1, json!(10)), (2, json!(9)), (2, json!("b")), (3, json!("9"))]
        {
            facets.add(document, true, &value);
        }
        facets
    }

    fn shown(order: FacetOrder, documents: u32, limit: usize) -> String {
        let found = (0..documents).collect();
        Value::Object(counted(&facets(), &found, order, limit)).to_string()
    }

    #[test]
    fn numbers_that_fill_the_list_keep_texts_out_only_document_by_document() {
        let (few, many) = (4, COUNT_BY_DOCUMENT_MAX as u32 + 1);
        assert_eq!(shown(FacetOrder::Alpha, few, 3), r#"{"1":1,"10":1,"9":1}"#);
        assert_eq!(shown(FacetOrder::Alpha, few, 4), r#"{"1":1,"10":1,"9":1}"#, "a text took the place of a number");
        assert_eq!(shown(FacetOrder::Alpha, many, 3), r#"{"1":1,"9":1,"10":1}"#);
        assert_eq!(shown(FacetOrder::Alpha, many, 2), r#"{"1":1,"9":1}"#);
        assert_eq!(shown(FacetOrder::Count, few, 1), r#"{"10":1,"b":1,"a":1,"9":1}"#);
        assert_eq!(shown(FacetOrder::Alpha, few, 0), "{}");
        assert_eq!(shown(FacetOrder::Count, few, 0), r#"{"10":1,"9":1,"1":1,"b":1,"a":1}"#);
    }
}
