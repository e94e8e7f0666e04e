//! Federated search: the hits of several queries as one list, as Meilisearch 1.50 puts them together.
//!
//! First the queries of each index ([`search`]): the best hit of any query comes first, each document once, by its best
//! query. Then the lists of the indexes ([`merge`]). At each step only the first hits of the lists are compared, so
//! a list stays in its own order whatever the comparison says.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};

use roaring::RoaringBitmap;
use serde_json::{Map, Number, Value, json};

use super::documents::Document;
use super::facet_counts;
use super::format::HitMaker;
use super::index::Index;
use super::query::SearchQuery;
use super::score::{self, Score, WeightedScore};
use super::search::{self as searches, Extent, Found};
use super::settings::FacetOrder;
use crate::meili::attribute_pattern::wildcard;
use crate::meili::error::ApiError;
use crate::meili::facet_text::facet_key;

/// One query of a federated search.
#[derive(Clone, PartialEq, Debug)]
pub struct FederatedQuery {
    /// What is searched; paging and facets do not count.
    pub search: SearchQuery,
    /// How much its scores count.
    pub weight: f64,
    /// Its place in the request.
    pub position: usize,
}

/// What is wanted of one index.
#[derive(Clone, Copy, Debug)]
pub struct FederatedPart<'a> {
    /// Hits that can have a part in the page.
    pub needed_hits: usize,
    /// Whether totals must be exact.
    pub is_exhaustive: bool,
    /// Each value of this attribute once.
    pub distinct: Option<&'a str>,
    /// Facets to count.
    pub facets: Option<&'a [String]>,
}

/// One hit, with what decides about its place.
#[derive(Clone, Debug)]
pub struct FederatedHit {
    /// As it is shown, `_federation` included.
    pub fields: Map<String, Value>,
    /// The whole document.
    document: Document,
    score: WeightedScore,
    position: usize,
    /// Vectors were compared.
    is_semantic: bool,
}

/// Counts and stats by facet.
pub type FederatedFacets = (Map<String, Value>, Map<String, Value>);

/// What one index found.
#[derive(Clone, Debug)]
pub struct FederatedIndex {
    /// Its name.
    pub uid: String,
    /// In order.
    pub hits: Vec<FederatedHit>,
    /// Documents that some query matches.
    pub total: usize,
    /// What queries that retrieve vectors searched by, with their places.
    pub query_vectors: Vec<(usize, Vec<f32>)>,
    /// There when facets were asked for.
    pub facets: Option<FederatedFacets>,
}

/// What all indexes found.
#[derive(Clone, Debug)]
pub struct FederatedHits {
    /// The page.
    pub hits: Vec<Map<String, Value>>,
    /// Hits in all.
    pub total: usize,
    /// How many hits of the page vectors brought.
    pub semantic_hit_count: usize,
    /// What queries that retrieve vectors searched by, with their places.
    pub query_vectors: Vec<(usize, Vec<f32>)>,
    /// By index.
    pub facets: Vec<(String, FederatedFacets)>,
    /// Documents whose values have no part in the facets any more, with their index.
    pub rejected: Vec<(String, Document)>,
}

/// What went wrong, and with which query of the request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FederatedError {
    /// A query.
    Query(usize, ApiError),
    /// The facets.
    Facets(ApiError),
}

/// One found document of one query.
struct Candidate {
    document: u32,
    scores: Vec<Score>,
    score: WeightedScore,
}

/// Answers the queries of one index, at least one.
pub(super) fn search(
    index: &Index,
    queries: &[FederatedQuery],
    part: &FederatedPart<'_>,
) -> Result<FederatedIndex, FederatedError> {
    let needed = part.needed_hits.min(index.settings.max_total_hits);
    let extent = Extent { offset: 0, limit: needed, is_exhaustive: part.is_exhaustive, wants_scores: true };
    let mut searches = Vec::new();
    for query in queries {
        let mut search = query.search.clone();
        if let Some(distinct) = part.distinct {
            search.distinct = Some(distinct.to_owned());
        }
        let found = searches::find(index, &search, extent);
        searches.push((query, found.map_err(|error| FederatedError::Query(query.position, error))?));
    }
    let mut candidates = RoaringBitmap::new();
    for (_, found) in &searches {
        candidates |= &found.ranking.candidates;
    }
    let vectors = searches.iter().filter(|(query, _)| query.search.retrieve_vectors);
    let vectors = vectors.filter_map(|(query, found)| Some((query.position, found.query_vector.clone()?)));
    let query_vectors = vectors.collect();
    let hits = index.text_rules.with_highlight_tokenizer(|tokenizer| {
        let mut lists = Vec::new();
        let mut makers = Vec::new();
        for (query, Found { ranking, words, criteria, .. }) in searches {
            let list = ranking.page.into_iter().map(|(document, scores)| {
                let score = score::weighted(&scores, query.weight);
                (query.position, Candidate { document, scores, score })
            });
            lists.push(list.collect());
            makers.push((query.position, HitMaker::new(index, &query.search, tokenizer, words, &criteria)));
        }
        let merged = merged(lists, |(position, candidate)| (&candidate.score, *position));
        let mut taken = Taken::new(part.distinct);
        let mut documents = RoaringBitmap::new();
        let mut hits = Vec::new();
        for (position, candidate) in merged {
            if hits.len() == needed {
                break;
            }
            if !documents.insert(candidate.document) {
                continue;
            }
            let document = index.document(candidate.document).cloned().unwrap_or_default();
            if !taken.take(&document) {
                candidates.remove(candidate.document);
                continue;
            }
            let maker = makers.iter().find(|(of, _)| *of == position).map(|(_, maker)| maker);
            let maker = maker.expect("each query has its maker");
            let federation = json!({
                "indexUid": index.uid, "queriesPosition": position, "weightedRankingScore": candidate.score.global,
            });
            let fields = maker.federated_hit(candidate.document, &candidate.scores, federation).fields;
            let is_semantic = candidate.scores.iter().any(|score| matches!(score, Score::Vector(_)));
            hits.push(FederatedHit { fields, document, score: candidate.score, position, is_semantic });
        }
        hits
    });
    let counts = part.facets.map(|facets| facet_counts::count(index, facets, &candidates)).transpose();
    let facets = counts.map_err(FederatedError::Facets)?;
    Ok(FederatedIndex { uid: index.uid.clone(), hits, total: candidates.len() as usize, query_vectors, facets })
}

/// Puts the lists of the indexes, in the order of their names, together.
pub fn merge(indexes: Vec<FederatedIndex>, offset: usize, limit: usize, distinct: Option<&str>) -> FederatedHits {
    let (mut total, mut semantic_hit_count) = (0, 0);
    let (mut facets, mut lists, mut query_vectors) = (Vec::new(), Vec::new(), Vec::new());
    for index in indexes {
        total += index.total;
        query_vectors.extend(index.query_vectors);
        facets.extend(index.facets.map(|counts| (index.uid.clone(), counts)));
        lists.push(index.hits.into_iter().map(|hit| (index.uid.clone(), hit)).collect());
    }
    let mut taken = Taken::new(distinct);
    let (mut hits, mut rejected) = (Vec::new(), Vec::new());
    let mut passed = 0;
    for (uid, hit) in merged(lists, |(_, hit): &(String, FederatedHit)| (&hit.score, hit.position)) {
        // With a distinct attribute all hits are looked at, for totals and facets; without one the page is enough.
        if hits.len() == limit && distinct.is_none() {
            break;
        }
        if !taken.take(&hit.document) {
            total = total.saturating_sub(1);
            rejected.push((uid, hit.document));
            continue;
        }
        if passed >= offset && hits.len() < limit {
            semantic_hit_count += usize::from(hit.is_semantic);
            hits.push(hit.fields);
        }
        passed += 1;
    }
    FederatedHits { hits, total, semantic_hit_count, query_vectors, facets, rejected }
}

/// Takes the best of the first hits of all lists, again and again. Equal ones come in the order of the queries.
fn merged<T>(lists: Vec<Vec<T>>, rank: impl Fn(&T) -> (&WeightedScore, usize)) -> Vec<T> {
    let mut lists: Vec<std::iter::Peekable<std::vec::IntoIter<T>>> =
        lists.into_iter().map(|list| list.into_iter().peekable()).collect();
    let mut merged = Vec::new();
    loop {
        let mut best: Option<(usize, &WeightedScore, usize)> = None;
        for (place, list) in lists.iter_mut().enumerate() {
            let Some(head) = list.peek() else { continue };
            let (score, position) = rank(head);
            let is_better = best.is_none_or(|(_, best, best_position)| match score.compare(best) {
                Ordering::Greater => true,
                Ordering::Equal => position < best_position,
                Ordering::Less => false,
            });
            if is_better {
                best = Some((place, score, position));
            }
        }
        let Some((place, ..)) = best else { return merged };
        merged.extend(lists[place].next());
    }
}

/// A value of a distinct attribute.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum DistinctValue {
    Text(String),
    /// `1` and `1.0` are two values.
    Number(Number),
}

/// Values that hits have already.
pub(super) struct Taken<'a> {
    attribute: Option<&'a str>,
    values: HashSet<DistinctValue>,
}

impl<'a> Taken<'a> {
    /// By this attribute; without one nothing is ever taken.
    pub(super) fn new(attribute: Option<&'a str>) -> Self {
        Self { attribute, values: HashSet::new() }
    }

    /// Whether none of the document's values was taken before; now they are.
    pub(super) fn take(&mut self, document: &Document) -> bool {
        let Some(attribute) = self.attribute else { return true };
        let mut values = Vec::new();
        each_leaf(document, attribute, &mut |value| values.extend(distinct_value(value)));
        if values.iter().any(|value| self.values.contains(value)) {
            return false;
        }
        self.values.extend(values);
        true
    }
}

fn distinct_value(value: &Value) -> Option<DistinctValue> {
    match value {
        Value::Bool(flag) => Some(DistinctValue::Text(flag.to_string())),
        Value::Number(number) => Some(DistinctValue::Number(number.clone())),
        Value::String(text) => Some(DistinctValue::Text(facet_key(text))),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Visits the values that a path reaches, those of arrays one by one.
fn each_leaf(document: &Document, path: &str, visit: &mut dyn FnMut(&Value)) {
    match document.get(path) {
        Some(Value::Array(values)) => values.iter().for_each(&mut *visit),
        Some(value) => visit(value),
        None => {}
    }
    for (dot, _) in path.match_indices('.') {
        let (root, rest) = (&path[..dot], &path[dot + 1..]);
        match document.get(root) {
            Some(Value::Object(object)) => each_leaf(object, rest, visit),
            Some(Value::Array(values)) => {
                values.iter().filter_map(Value::as_object).for_each(|object| each_leaf(object, rest, visit));
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
        }
    }
}

/// Takes the values of a document out of counts; what nothing has any more is not shown.
pub fn remove_from_counts(distribution: &mut Map<String, Value>, document: &Document) {
    for (facet, counts) in distribution {
        let Value::Object(counts) = counts else { continue };
        each_leaf(document, facet, &mut |value| {
            let Some(value) = distinct_value(value) else { return };
            let shown = match &value {
                // A spelling that is not the normalised one goes first.
                DistinctValue::Text(key) => {
                    let other = counts.keys().rev().find(|shown| *shown != key && facet_key(shown) == *key);
                    other.or_else(|| counts.keys().find(|shown| *shown == key))
                }
                DistinctValue::Number(number) => counts.keys().find(|shown| **shown == number.to_string()),
            };
            if let Some(shown) = shown.cloned() {
                let count = counts[&shown].as_u64().unwrap_or_default().saturating_sub(1);
                counts[&shown] = count.into();
            }
        });
        counts.retain(|_, count| count.as_u64() != Some(0));
    }
}

/// The fields that patterns name and that can be counted, with the order of their values.
pub(super) fn facet_orders(index: &Index, patterns: &[String]) -> Vec<(String, FacetOrder)> {
    let settings = &index.settings;
    let names: BTreeSet<&str> = index
        .fields
        .iter()
        .map(|(_, name)| name)
        .filter(|name| patterns.iter().any(|wanted| wildcard(wanted, name).is_yes()))
        .filter(|name| settings.filterable_rule(name).is_some_and(|(_, features)| features.is_filterable()))
        .collect();
    names.into_iter().map(|name| (name.to_owned(), settings.faceting.order_of(name))).collect()
}

#[cfg(test)]
mod tests;
