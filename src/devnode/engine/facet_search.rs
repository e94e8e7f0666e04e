//! A search in the values of one facet: its texts, found by their beginning and with typos, counted over the documents that
//! a search chooses.
//!
//! Texts are compared without marks, and several keys may be one text then. Values come in the order of these texts, or, most
//! frequent first, out of a heap in which later ones of equal count push out earlier ones, as the engine's do.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use levenshtein_automata::{DFA, Distance, LevenshteinAutomatonBuilder};
use roaring::RoaringBitmap;
use serde_json::{Map, Value, json};

use super::facets::StringValue;
use super::index::Index;
use super::query::FacetSearchQuery;
use super::settings::FacetOrder;
use super::{filter_eval, search};
use crate::meili::error::{ApiError, Code};
use crate::meili::facet_text::{KEY_BYTES_MAX, searched_key};
use crate::meili::filterable::check_facet_search;
use crate::meili::search::Displayed;

/// `facetHits` and `facetQuery`.
///
/// # Errors
/// Those of a search, without the name of the index; `facet_search_disabled`, `invalid_facet_search_facet_name`.
pub(super) fn facet_search(index: &Index, query: &FacetSearchQuery) -> Result<Map<String, Value>, ApiError> {
    let prefix = index.message("");
    let unnamed = |error: ApiError| {
        let message = error.message.strip_prefix(&prefix).unwrap_or(&error.message).to_owned();
        ApiError { message, ..error }
    };
    if let Some(filter) = &query.search.filter {
        filter_eval::evaluate(index, filter, Code::InvalidSearchFilter).map_err(unnamed)?;
    }
    let settings = &index.settings;
    if !settings.facet_search {
        return Err(ApiError::new(Code::FacetSearchDisabled, "The facet search is disabled for this index"));
    }
    let found = search::candidates(index, &query.search).map_err(unnamed)?;
    let displayed = settings.displayed_attributes.clone().map_or(Displayed::All, Displayed::Only);
    check_facet_search(&settings.filterable_attributes, &displayed, &query.facet_name)?;
    let hits = values(index, query, &found);
    let hits: Vec<Value> = hits.into_iter().map(|(value, count)| json!({"value": value, "count": count})).collect();
    Ok(Map::from_iter([
        ("facetHits".to_owned(), Value::Array(hits)),
        ("facetQuery".to_owned(), query.facet_query.clone().into()),
    ]))
}

fn values<'i>(index: &'i Index, query: &FacetSearchQuery, found: &RoaringBitmap) -> Vec<(&'i str, u64)> {
    let facets = index.fields.id(&query.facet_name).and_then(|field| index.facets.field(field));
    let Some(facets) = facets else { return Vec::new() };
    let chosen: Vec<(&String, &StringValue)> = match &query.facet_query {
        None => facets.strings.iter().collect(),
        Some(text) => {
            // Every text with the keys that it stands for.
            let mut texts: BTreeMap<String, Vec<(&String, &StringValue)>> = BTreeMap::new();
            for (key, value) in &facets.strings {
                texts.entry(cut(&searched_key(key))).or_default().push((key, value));
            }
            let wanted = Wanted::of(index, &query.facet_name, text);
            texts.into_iter().filter(|(text, _)| wanted.takes(text)).flat_map(|(_, values)| values).collect()
        }
    };
    let counted = chosen.into_iter().filter_map(|(key, value)| {
        let count = value.documents.intersection_len(found);
        let first = value.documents.min()?;
        (count > 0).then(|| (value.original(key, first), count))
    });
    let faceting = &index.settings.faceting;
    match faceting.order_of(&query.facet_name) {
        FacetOrder::Alpha => counted.take(faceting.max_values_per_facet).collect(),
        FacetOrder::Count => most_frequent(counted, faceting.max_values_per_facet),
    }
}

fn cut(text: &str) -> String {
    text.char_indices().take_while(|(place, _)| *place < KEY_BYTES_MAX).map(|(_, letter)| letter).collect()
}

fn most_frequent<'i>(values: impl Iterator<Item = (&'i str, u64)>, max: usize) -> Vec<(&'i str, u64)> {
    let mut heap: BinaryHeap<Reverse<(u64, &str)>> = BinaryHeap::new();
    for (value, count) in values {
        if heap.len() < max {
            heap.push(Reverse((count, value)));
        } else if let Some(mut last) = heap.peek_mut()
            && last.0.0 <= count
        {
            *last = Reverse((count, value));
        }
    }
    heap.into_sorted_vec().into_iter().map(|Reverse((count, value))| (value, count)).collect()
}

/// Which texts a query finds.
enum Wanted {
    /// This one alone: a word that must be written right.
    Exactly(String),
    /// Those that begin so.
    Beginning(String),
    /// Those that begin so, but for some typos.
    Nearly(DFA),
}

impl Wanted {
    fn of(index: &Index, facet: &str, query: &str) -> Self {
        let text = searched_key(query);
        let typo = &index.settings.typo_tolerance;
        if !typo.enabled || index.settings.is_exact_attribute(facet) {
            return Self::Beginning(text);
        }
        if typo.disable_on_words.contains(&text) {
            return Self::Exactly(text);
        }
        let typos = match text.len() {
            length if length < usize::from(typo.one_typo) => 0,
            length if length < usize::from(typo.two_typos) => 1,
            _ => 2,
        };
        Self::Nearly(LevenshteinAutomatonBuilder::new(typos, true).build_prefix_dfa(&text))
    }

    fn takes(&self, text: &str) -> bool {
        match self {
            Self::Exactly(wanted) => text == wanted,
            Self::Beginning(wanted) => text.starts_with(wanted.as_str()),
            Self::Nearly(automaton) => matches!(automaton.eval(text), Distance::Exact(_)),
        }
    }
}
