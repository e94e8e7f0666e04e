//! A search: parameters checked, documents chosen, ranked and shown.

mod bucket_sort;
mod conditions;
mod context;
mod graph;
mod graph_rule;
mod parse;
mod proximity;
mod resolve;
mod rules;
mod terms;
#[cfg(test)]
mod tests;

pub(super) use context::Context;
pub(super) use parse::LocatedTerm;

use std::rc::Rc;

use roaring::RoaringBitmap;

use self::bucket_sort::{Ranking, Request};

use self::context::{RestrictedFields, SearchedWord};
use self::graph::QueryGraph;
use self::terms::{QueryTerm, TermId};
use super::fields::FieldId;
use super::format::{HitMaker, MatchingWords};
use super::index::Index;
use super::query::{HitsInfo, MatchingStrategy, SearchQuery, SearchResult};
use super::settings::RankingRule;
use super::sort::{self, Criterion};
use super::{facet_counts, filter_eval};
use crate::meili::attribute_pattern;
use crate::meili::error::{ApiError, Code};

/// Hits of a page when neither `limit` nor `hitsPerPage` says.
const PAGE_HITS: usize = 20;

impl Context<'_> {
    /// A term of the query.
    pub(super) fn term(&self, term: TermId) -> &QueryTerm {
        &self.terms[term]
    }
}

/// Answers a search.
pub(super) fn search(index: &Index, query: &SearchQuery) -> Result<SearchResult, ApiError> {
    let (offset, limit) = page(index, query);
    let wants_scores =
        query.show_ranking_score || query.show_ranking_score_details || query.ranking_score_threshold.is_some();
    let extent = Extent { offset, limit, is_exhaustive: query.is_paged(), wants_scores };
    let found = find(index, query, extent)?;
    answer(index, query, found)
}

/// How much of the list of hits is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) offset: usize,
    pub(super) limit: usize,
    /// Whether totals must be exact.
    pub(super) is_exhaustive: bool,
    /// Whether every rule must be applied, for scores.
    pub(super) wants_scores: bool,
}

/// What a search found, not yet shown.
pub(super) struct Found {
    pub(super) ranking: Ranking,
    pub(super) words: MatchingWords,
    pub(super) criteria: Vec<Criterion>,
}

/// Checks and ranks.
pub(super) fn find(index: &Index, query: &SearchQuery, extent: Extent) -> Result<Found, ApiError> {
    let refused = |message| ApiError::new(Code::InvalidSearchSort, message);
    let criteria = sort::parse(query.sort.as_deref().unwrap_or_default()).map_err(refused)?;
    let mut context = Context::new(index);
    context.restricted = restricted_fields(index, query)?;
    let distinct = distinct_field(index, query)?;
    let mut universe = match &query.filter {
        Some(filter) => filter_eval::evaluate(index, filter, Code::InvalidSearchFilter)?,
        None => None,
    }
    .unwrap_or_else(|| index.all.clone());
    let graph = read_query(&mut context, query, &mut universe);
    check_sort(index, &criteria)?;
    let (graph, terms) = graph.unzip();
    if let Some(graph) = &graph {
        universe &= possible_documents(&mut context, graph, query.matching_strategy, &universe);
    }
    let rules = rules::rules(&index.settings.ranking_rules, query.matching_strategy, &criteria, graph.is_some());
    let request = Request {
        rules: &rules,
        graph: graph.map(Rc::new),
        universe,
        offset: extent.offset,
        limit: extent.limit,
        wants_scores: extent.wants_scores,
        threshold: query.ranking_score_threshold,
        exhaustive_limit: extent.is_exhaustive.then_some(index.settings.max_total_hits),
        distinct,
    };
    let mut ranking = bucket_sort::rank(&mut context, &request);
    if let (Some(field), true) = (distinct, extent.is_exhaustive) {
        ranking.candidates = bucket_sort::distinct(index, field, &ranking.candidates).0;
    }
    let words = MatchingWords::new(&context, terms.as_deref().unwrap_or_default());
    Ok(Found { ranking, words, criteria })
}

fn answer(index: &Index, query: &SearchQuery, found: Found) -> Result<SearchResult, ApiError> {
    let Found { ranking, words, criteria } = found;
    let counts = query
        .facets
        .as_ref()
        .filter(|facets| !facets.is_empty())
        .map(|facets| facet_counts::count(index, facets, &ranking.candidates));
    let (facet_distribution, facet_stats) = counts.transpose()?.unzip();
    let hits = index.text_rules.with_highlight_tokenizer(|tokenizer| {
        let maker = HitMaker::new(index, query, tokenizer, words, &criteria);
        ranking.page.iter().map(|(document, scores)| maker.hit(*document, scores)).collect()
    });
    Ok(SearchResult {
        hits,
        query: query.q.clone().unwrap_or_default(),
        hits_info: hits_info(query, &ranking.candidates),
        facet_distribution,
        facet_stats,
    })
}

fn hits_info(query: &SearchQuery, candidates: &RoaringBitmap) -> HitsInfo {
    // Hits past `maxTotalHits` cannot be paged to, but they count.
    let total = candidates.len() as usize;
    if query.is_paged() {
        let hits_per_page = query.hits_per_page.unwrap_or(PAGE_HITS);
        let total_pages = if hits_per_page == 0 { 0 } else { total.div_ceil(hits_per_page) };
        HitsInfo::Pages { hits_per_page, page: query.page.unwrap_or(1), total_pages, total_hits: total }
    } else {
        HitsInfo::Offsets { limit: query.limit, offset: query.offset, estimated_total_hits: total }
    }
}

/// Offset and limit, within what may be paged through.
fn page(index: &Index, query: &SearchQuery) -> (usize, usize) {
    let (offset, limit) = if query.is_paged() {
        let size = query.hits_per_page.unwrap_or(PAGE_HITS);
        match query.page.unwrap_or(1).checked_sub(1) {
            Some(before) => (size.saturating_mul(before), size),
            None => (0, 0),
        }
    } else {
        (query.offset, query.limit)
    };
    let most = index.settings.max_total_hits;
    let offset = offset.min(most);
    (offset, limit.min(most - offset))
}

/// Reads the words of the query and takes out what negative words find. `None` is a placeholder search.
fn read_query(
    context: &mut Context<'_>,
    query: &SearchQuery,
    universe: &mut RoaringBitmap,
) -> Option<(QueryGraph, Vec<LocatedTerm>)> {
    let text = query.q.as_deref().filter(|text| !text.trim().is_empty())?;
    let rules = &context.index.text_rules;
    rules.with_tokenizer(|tokenizer| {
        let parsed = parse::parse(context, tokenizer, text);
        for word in parsed.negative_words {
            let mut found = RoaringBitmap::new();
            context.add_word_documents(None, SearchedWord { word, is_derived: false }, &mut found);
            *universe -= found;
        }
        for phrase in parsed.negative_phrases {
            *universe -= &*context.phrase_documents(phrase);
        }
        (!parsed.terms.is_empty()).then(|| QueryGraph::new(context, tokenizer, &parsed.terms))
    })
}

/// The documents that match when all words are dropped that may be.
fn possible_documents(
    context: &mut Context<'_>,
    graph: &QueryGraph,
    strategy: MatchingStrategy,
    universe: &RoaringBitmap,
) -> RoaringBitmap {
    let dropped = match strategy {
        MatchingStrategy::Last => graph.drop_order_last(context),
        MatchingStrategy::Frequency => graph.drop_order_frequency(context),
        MatchingStrategy::All => Vec::new(),
    };
    let mut reduced = graph.clone();
    reduced.remove_keeping_paths(dropped.into_iter().flatten());
    context.graph_documents(&reduced, universe)
}

fn check_sort(index: &Index, criteria: &[Criterion]) -> Result<(), ApiError> {
    if criteria.is_empty() {
        return Ok(());
    }
    let refused = |message| Err(ApiError::new(Code::InvalidSearchSort, message));
    if !index.settings.ranking_rules.contains(&RankingRule::Sort) {
        return refused(index.message(
            "You must specify where `sort` is listed in the rankingRules setting to use the sort parameter at search \
             time.",
        ));
    }
    sort::check(index, criteria).or_else(refused)
}

fn distinct_field(index: &Index, query: &SearchQuery) -> Result<Option<FieldId>, ApiError> {
    if let Some(name) = &query.distinct
        && !index.settings.filterable_rule(name).is_some_and(|(_, features)| features.is_filterable())
    {
        let names: Vec<&str> = index.settings.filterable_names().into_iter().collect();
        let available = if names.is_empty() {
            "This index does not have configured filterable attributes.".to_owned()
        } else {
            format!("Available filterable attributes patterns are: `{}`.", names.join(", "))
        };
        let message = index.message(&format!(
            "Attribute `{name}` is not filterable and thus, cannot be used as distinct attribute. {available}"
        ));
        return Err(ApiError::new(Code::InvalidSearchDistinct, message));
    }
    let name = query.distinct.as_ref().or(index.settings.distinct_attribute.as_ref());
    Ok(name.and_then(|name| index.fields.id(name)))
}

/// The fields of `attributesToSearchOn`; `None` searches all.
fn restricted_fields(index: &Index, query: &SearchQuery) -> Result<Option<RestrictedFields>, ApiError> {
    let Some(wanted) = &query.attributes_to_search_on else { return Ok(None) };
    let settings = &index.settings;
    let searchable: Vec<(FieldId, &str)> =
        index.fields.iter().filter(|(_, name)| settings.searchable(name).0.is_yes()).collect();
    let mut fields = RestrictedFields::default();
    let mut everything = false;
    for wanted in wanted {
        if wanted == "*" {
            everything = true;
            continue;
        }
        let mut covered: Vec<(FieldId, &str)> = searchable.iter().copied().filter(|(_, name)| name == wanted).collect();
        if covered.is_empty() && wanted.contains('*') {
            covered = searchable
                .iter()
                .copied()
                .filter(|(_, name)| attribute_pattern::wildcard(wanted, name).is_yes())
                .collect();
        }
        if covered.is_empty()
            && let Some(list) = &settings.searchable_attributes
            && !list.contains(wanted)
        {
            let names: std::collections::BTreeSet<&str> = searchable.iter().map(|(_, name)| *name).collect();
            let names: Vec<&str> = names.into_iter().collect();
            let message = index.message(&format!(
                "Attribute `{wanted}` is not searchable. Available searchable attributes are: `{}`.",
                names.join(", ")
            ));
            return Err(ApiError::new(Code::InvalidSearchAttributesToSearchOn, message));
        }
        for (field, name) in covered {
            if settings.is_exact_attribute(name) { &mut fields.exact } else { &mut fields.tolerant }.push(field);
        }
    }
    Ok((!everything).then_some(fields))
}
