//! A search: parameters checked, documents chosen, ranked and shown.

mod bucket_sort;
mod conditions;
mod context;
mod graph;
mod graph_rule;
mod hybrid;
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
use self::hybrid::{Kind, Lists};
use self::rules::{Nearness, Rule, Target, Words};
use self::terms::{QueryTerm, TermId};
use super::federated::Taken;
use super::fields::FieldId;
use super::format::{HitMaker, MatchingWords};
use super::index::Index;
use super::query::{HitsInfo, MatchingStrategy, SearchQuery, SearchResult};
use super::score::Score;
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
    let is_exhaustive = query.is_paged();
    if query.distinct.is_none() && index.settings.distinct_attribute.is_none() {
        let found = find(index, query, Extent { offset, limit, is_exhaustive, wants_scores })?;
        return answer(index, query, found);
    }
    // Distinct hits are walked from the first one on. What the walk takes for different may be equal as it is written: under
    // the parameter that is left out of the hits up to the end of the page, which is not full then.
    let mut found = find(index, query, Extent { offset: 0, limit: offset + limit, is_exhaustive, wants_scores })?;
    let mut taken = Taken::new(query.distinct.as_deref());
    let ranking = &mut found.ranking;
    ranking.page.retain(|(number, _)| {
        let is_new = index.document(*number).is_none_or(|document| taken.take(document));
        if !is_new {
            ranking.candidates.remove(*number);
        }
        is_new
    });
    ranking.page.drain(..ranking.page.len().min(offset));
    let by_vector =
        ranking.page.iter().filter(|(_, scores)| scores.iter().any(|score| matches!(score, Score::Vector(_)))).count();
    found.semantic_hit_count = found.semantic_hit_count.map(|_| by_vector);
    answer(index, query, found)
}

/// The documents over which values of facets are counted. Where vectors are searched by, too, the filter alone chooses.
pub(super) fn candidates(index: &Index, query: &SearchQuery) -> Result<RoaringBitmap, ApiError> {
    match Kind::of(index, query)? {
        Kind::Words => {
            let (offset, limit) = page(index, query);
            let wants_scores = query.ranking_score_threshold.is_some();
            let extent = Extent { offset, limit, is_exhaustive: query.is_paged(), wants_scores };
            Ok(find(index, query, extent)?.ranking.candidates)
        }
        Kind::Vector(_) | Kind::Hybrid { .. } => {
            let filter = query.filter.as_ref();
            let chosen =
                filter.map(|filter| filter_eval::evaluate(index, filter, Code::InvalidSearchFilter)).transpose()?;
            Ok(chosen.flatten().unwrap_or_else(|| index.all.clone()))
        }
    }
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
    /// The vector that was searched by.
    pub(super) query_vector: Option<Vec<f32>>,
    /// How many hits of the page vectors brought; `None` in a search by words only.
    pub(super) semantic_hit_count: Option<usize>,
}

/// Checks and ranks.
pub(super) fn find(index: &Index, query: &SearchQuery, extent: Extent) -> Result<Found, ApiError> {
    let kind = Kind::of(index, query)?;
    let refused = |message| ApiError::new(Code::InvalidSearchSort, message);
    let criteria = sort::parse(query.sort.as_deref().unwrap_or_default()).map_err(refused)?;
    let run = Run { index, query, criteria: &criteria, distinct: distinct_field(index, query)? };
    let (ranking, words, target, semantic_hit_count) = match kind {
        Kind::Words => {
            let (ranking, words) = run.by_words(extent)?;
            (ranking, words, None, None)
        }
        Kind::Vector(target) => {
            let ranking = run.by_vector(&target, None, extent)?;
            let count = ranking.page.len();
            (ranking, MatchingWords::default(), Some(target), Some(count))
        }
        Kind::Hybrid { target, semantic_ratio } => {
            let Extent { offset, limit, .. } = extent;
            let whole = Extent { offset: 0, limit: offset + limit, wants_scores: true, ..extent };
            let (mut by_words, words) = run.by_words(whole)?;
            match target.filter(|_| !hybrid::is_good_enough(&by_words.page, whole.limit, semantic_ratio)) {
                None => {
                    by_words.page = by_words.page.into_iter().skip(offset).take(limit).collect();
                    (by_words, words, None, Some(0))
                }
                Some(target) => {
                    let by_vector = run.by_vector(&target, query.q.as_deref(), whole)?;
                    let lists = Lists { words: by_words, vector: by_vector, semantic_ratio };
                    let (ranking, count) = lists.combined(index, run.distinct, offset, limit);
                    (ranking, words, Some(target), Some(count))
                }
            }
        }
    };
    let query_vector = target.map(|target| target.vector.clone());
    Ok(Found { ranking, words, criteria, query_vector, semantic_hit_count })
}

/// What every list of one search has in common.
struct Run<'a> {
    index: &'a Index,
    query: &'a SearchQuery,
    criteria: &'a [Criterion],
    distinct: Option<FieldId>,
}

impl<'a> Run<'a> {
    fn by_words(&self, extent: Extent) -> Result<(Ranking, MatchingWords), ApiError> {
        let (index, query) = (self.index, self.query);
        let mut context = self.context()?;
        let (mut universe, graph) = self.universe(&mut context, query.q.as_deref())?;
        let (graph, terms) = graph.unzip();
        if let Some(graph) = &graph {
            universe &= possible_documents(&mut context, graph, query.matching_strategy, &universe);
        }
        let words = if graph.is_some() { Words::Strategy(query.matching_strategy) } else { Words::None };
        let rules = rules::rules(&index.settings.ranking_rules, &words, self.criteria);
        let request = Request { graph: graph.map(Rc::new), ..self.request(&rules, universe, extent) };
        let mut ranking = bucket_sort::rank(&mut context, &request);
        if let (Some(field), true) = (self.distinct, extent.is_exhaustive) {
            ranking.candidates = bucket_sort::distinct(index, field, &ranking.candidates).0;
        }
        let words = MatchingWords::new(&context, terms.as_deref().unwrap_or_default());
        Ok((ranking, words))
    }

    /// Of `q` only the negative words count.
    fn by_vector(&self, target: &Rc<Target>, q: Option<&str>, extent: Extent) -> Result<Ranking, ApiError> {
        let mut context = self.context()?;
        let (universe, _) = self.universe(&mut context, q)?;
        let limit = extent.offset + extent.limit;
        let words = Words::Vector(Nearness { target: Rc::clone(target), limit });
        let rules = rules::rules(&self.index.settings.ranking_rules, &words, self.criteria);
        Ok(bucket_sort::rank(&mut context, &self.request(&rules, universe, extent)))
    }

    fn context(&self) -> Result<Context<'a>, ApiError> {
        let mut context = Context::new(self.index);
        context.restricted = restricted_fields(self.index, self.query)?;
        Ok(context)
    }

    /// What the filter and the negative words leave, and the words.
    fn universe(&self, context: &mut Context<'a>, q: Option<&str>) -> Result<(RoaringBitmap, Option<Terms>), ApiError> {
        let universe = match &self.query.filter {
            Some(filter) => filter_eval::evaluate(self.index, filter, Code::InvalidSearchFilter)?,
            None => None,
        };
        let mut universe = universe.unwrap_or_else(|| self.index.all.clone());
        let graph = q.and_then(|q| read_query(context, q, &mut universe));
        check_sort(self.index, self.criteria)?;
        Ok((universe, graph))
    }

    fn request<'r>(&self, rules: &'r [Rule], universe: RoaringBitmap, extent: Extent) -> Request<'r> {
        Request {
            rules,
            graph: None,
            universe,
            offset: extent.offset,
            limit: extent.limit,
            wants_scores: extent.wants_scores,
            threshold: self.query.ranking_score_threshold,
            exhaustive_limit: extent.is_exhaustive.then_some(self.index.settings.max_total_hits),
            distinct: self.distinct,
        }
    }
}

fn answer(index: &Index, query: &SearchQuery, found: Found) -> Result<SearchResult, ApiError> {
    let Found { ranking, words, criteria, query_vector, semantic_hit_count } = found;
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
        query_vector: query_vector.filter(|_| query.retrieve_vectors),
        semantic_hit_count,
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

/// The words of a query, as a graph and one by one.
type Terms = (QueryGraph, Vec<LocatedTerm>);

/// Reads the words of the query and takes out what negative words find. `None` is a placeholder search.
fn read_query(context: &mut Context<'_>, text: &str, universe: &mut RoaringBitmap) -> Option<Terms> {
    if text.trim().is_empty() {
        return None;
    }
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
