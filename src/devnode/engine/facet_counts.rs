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
        let order = settings.faceting.order_of(name);
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
    match order {
        FacetOrder::Alpha => {
            if found.len() <= COUNT_BY_DOCUMENT_MAX {
                numbers.sort();
            }
            numbers.extend(strings);
        }
        FacetOrder::Count => {
            // Of equal counts the largest value comes first.
            let mut strings: Vec<(String, u64)> = strings.rev().collect();
            numbers.reverse();
            numbers.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            strings.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            numbers.extend(strings);
        }
    }
    numbers.into_iter().take(limit).map(|(value, count)| (value, count.into())).collect()
}
