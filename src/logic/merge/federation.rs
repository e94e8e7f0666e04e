//! One list of hits out of the answers to several queries, as the engine makes it.
//!
//! Each query was answered over all shards, and its hits are in order. Then, as on one server:
//!
//! * The lists of the queries of one index are merged; a document of several queries is shown once, by its best.
//! * The lists of the indexes, in the order of their names, are merged.
//! * At each step only the first hits of the lists are compared (see [`ScoreValues`]), equal ones come in the order of the
//!   queries, and every list is cut at the end of the page.
//! * Hits that rules have pinned are taken out before that and put in their places afterwards, in the list of each index and
//!   in the whole. Each query has its own.
//! * With a distinct attribute a hit is left out when one of its values was there before, first within its index, then over
//!   all.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use super::answer::NodeAnswer;
use super::facets::{FacetLimits, normalize};
use super::hit::{Hit, HitView, Hits};
use super::score_values::{ScoreValues, Suppositions};
use super::{MergeError, Part};
use crate::logic::primary_key::id_in;
use crate::meili::multi_search::Federation;
use crate::meili::search::Paging;

pub mod facets;

use facets::{FederatedFacets, IndexFacets};

/// The answer to one query.
#[derive(Clone, Copy, Debug)]
pub struct QueryAnswer<'a> {
    /// The place of the query in the request.
    pub position: usize,
    /// How much its scores count.
    pub weight: f64,
    /// Its hits up to the end of the page, with scores, every attribute that was asked for, and score details of hidden
    /// attributes.
    pub answer: NodeAnswer<'a>,
    /// How its hits are shown.
    pub view: HitView<'a>,
    /// It searches vectors.
    pub is_semantic: bool,
    /// The vector that it searches by is shown.
    pub retrieves_vectors: bool,
}

/// The answers to all queries of one index.
#[derive(Clone, Debug)]
pub struct IndexAnswer<'a> {
    /// The client's name of the index.
    pub uid: &'a str,
    /// In the order of the request.
    pub queries: Vec<QueryAnswer<'a>>,
    /// The path of the id; none before the index has one, and hits.
    pub primary_key: Option<&'a str>,
    /// `faceting`.
    pub limits: &'a FacetLimits,
    /// Hits that can be reached, `pagination.maxTotalHits`.
    pub hits_max: u64,
    /// Patterns of facets to count; none: none are.
    pub patterns: Option<&'a [String]>,
    /// What several queries find together.
    pub union: Option<Union<'a>>,
    /// The distribution of facets of an index without queries: nothing of it is counted, but its order of values must be
    /// that of the others.
    pub unused_facets: Option<&'a str>,
}

/// The documents that some query of an index finds.
#[derive(Clone, Debug)]
pub struct Union<'a> {
    /// How many.
    pub total: u64,
    /// Their facets, as JSON: distribution and stats.
    pub facets: Option<(&'a str, &'a str)>,
    /// Where hits are distinct.
    pub distinct: Option<UnionDistinct<'a>>,
}

/// How many documents of a union have each value of a distinct attribute.
#[derive(Clone, Debug)]
pub struct UnionDistinct<'a> {
    /// Its path.
    pub attribute: &'a str,
    /// By the normalised value.
    pub by_value: HashMap<String, u64>,
}

/// The client's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Federated {
    /// A JSON object.
    pub body: String,
    /// Parts of it that may be a little off what one server would say.
    pub approximate: Vec<Part>,
}

/// What else goes into the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FederationFrame {
    /// The whole, measured by who asks.
    pub processing_time_ms: u64,
    /// Shards are missing: the answer says `"degraded": true`.
    pub is_degraded: bool,
}

/// What is wrong with the facets, or with an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FederationError {
    /// An answer cannot be read.
    Merge(MergeError),
    /// Two indexes order the values of a facet differently.
    FacetOrder(facets::OrderConflict),
}

impl From<MergeError> for FederationError {
    fn from(error: MergeError) -> Self {
        Self::Merge(error)
    }
}

/// A hit of some query.
struct Candidate<'a> {
    hit: Hit<'a>,
    scores: ScoreValues<'a>,
    query: QueryAnswer<'a>,
    uid: &'a str,
    /// The place that a rule has pinned it to.
    pin: Option<u32>,
}

impl Candidate<'_> {
    /// `Greater` comes first.
    fn compare(&self, other: &Self) -> Ordering {
        let by_scores = self.scores.compare(self.query.weight, &other.scores, other.query.weight);
        by_scores.then(other.query.position.cmp(&self.query.position))
    }
}

/// The client's answer from those to the queries, index by index in the order of their names.
///
/// # Errors
/// [`FederationError`].
pub fn merge(
    federation: &Federation,
    indexes: &[IndexAnswer<'_>],
    frame: &FederationFrame,
) -> Result<Federated, FederationError> {
    let processing_time_ms = frame.processing_time_ms;
    let needed = federation.needed_hits();
    let distinct = federation.distinct.as_deref();
    let mut facets = FederatedFacets::default();
    let mut totals = Totals::default();
    let mut lists = Vec::with_capacity(indexes.len());
    for index in indexes {
        let list = merge_index(index, needed.min(index.hits_max), distinct)?;
        totals.add(index, federation.paging, &list);
        if let Some(patterns) = index.patterns {
            let (distribution, stats) = index.facets();
            let counts = IndexFacets::read(distribution, stats, patterns).map_err(MergeError::from)?;
            if federation.merge_facets.is_some() {
                let checked = facets.check_order(index.uid, patterns, index.limits, &counts);
                checked.map_err(FederationError::FacetOrder)?;
            }
            if !index.queries.is_empty() {
                facets.add(index.uid, counts);
            }
        }
        lists.push(list.hits);
    }
    let page = Page::of(federation, lists)?;
    for rejected in &page.rejected {
        totals.total = totals.total.saturating_sub(1);
        facets.reject(rejected.uid, document_of(&rejected.hit)?);
    }
    let mut body = String::from("{\"hits\":[");
    for (place, candidate) in page.hits.iter().enumerate() {
        if place > 0 {
            body.push(',');
        }
        candidate.write(&mut body)?;
    }
    body.push(']');
    write_query_vectors(indexes, &mut body);
    write!(body, ",\"processingTimeMs\":{processing_time_ms}").expect("strings take all");
    super::write_totals(federation.paging, totals.total, &mut body);
    facets.write(federation.merge_facets, &mut body);
    let answers = || indexes.iter().flat_map(|index| &index.queries);
    if let Some(request_uid) = answers().find_map(|query| query.answer.request_uid) {
        write!(body, ",\"requestUid\":{request_uid}").expect("strings take all");
    }
    if answers().any(|query| query.is_semantic) {
        let semantic = page.semantic_hit_count;
        write!(body, ",\"semanticHitCount\":{semantic}").expect("strings take all");
    }
    if federation.shows_performance {
        write!(body, ",\"performanceDetails\":{{\"search\":\"{processing_time_ms}.00ms\"}}").expect("strings take all");
    }
    if frame.is_degraded || answers().any(|query| query.answer.is_degraded) {
        body.push_str(",\"degraded\":true");
    }
    body.push('}');
    Ok(Federated { body, approximate: totals.approximate(!facets.is_empty()) })
}

/// The vectors of all queries that have one, by their places, where some query retrieves vectors.
fn write_query_vectors(indexes: &[IndexAnswer<'_>], text: &mut String) {
    let mut queries: Vec<&QueryAnswer<'_>> = indexes.iter().flat_map(|index| &index.queries).collect();
    if !queries.iter().any(|query| query.retrieves_vectors) {
        return;
    }
    queries.sort_by_key(|query| query.position);
    text.push_str(",\"queryVectors\":{");
    let vectors = queries.iter().filter_map(|query| Some((query.position, query.answer.query_vector?)));
    for (place, (position, vector)) in vectors.enumerate() {
        let comma = if place > 0 { "," } else { "" };
        write!(text, "{comma}\"{position}\":{vector}").expect("strings take all");
    }
    text.push('}');
}

impl<'a> IndexAnswer<'a> {
    /// The facets of what its queries find, as JSON.
    fn facets(&self) -> (&'a str, &'a str) {
        const NOTHING: (&str, &str) = ("{}", "{}");
        if let Some(distribution) = self.unused_facets {
            return (distribution, "{}");
        }
        match &self.union {
            Some(union) => union.facets.unwrap_or(NOTHING),
            None => self.queries.first().map_or(NOTHING, |query| {
                (query.answer.facet_distribution.unwrap_or("{}"), query.answer.facet_stats.unwrap_or("{}"))
            }),
        }
    }
}

/// The hits of one index.
struct IndexHits<'a> {
    hits: Vec<Candidate<'a>>,
    /// Values that they have of the attribute that makes the union distinct.
    shown: HashSet<DistinctValue>,
    /// Hits that were left out for one of these.
    rejected: u64,
}

fn merge_index<'a>(index: &IndexAnswer<'a>, needed: u64, distinct: Option<&str>) -> Result<IndexHits<'a>, MergeError> {
    let list = |query: &QueryAnswer<'a>| QueryHits {
        rest: Hits::new(query.answer.hits),
        suppositions: Suppositions::default(),
        query: *query,
        uid: index.uid,
    };
    let is_alone = index.queries.len() < 2;
    let mut documents = HashSet::new();
    let mut taken = Taken::new(distinct);
    let of_union = index.union.as_ref().and_then(|union| union.distinct.as_ref());
    let mut shown = Taken::new(of_union.map(|distinct| distinct.attribute));
    let (mut hits, mut rejected) = (Vec::new(), 0);
    let lists: Vec<QueryHits<'_>> = index.queries.iter().map(list).collect();
    let mut pins = Vec::new();
    for list in &lists {
        pins.extend(list.pins()?);
    }
    let mut candidates = Merged::of(lists)?;
    while (hits.len() as u64) < needed
        && let Some(candidate) = candidates.next_candidate()?
    {
        if !is_alone {
            let key = index.primary_key.ok_or(MergeError::Malformed)?;
            let id = id_in(key, candidate.hit.text()).map_err(|_| MergeError::Malformed)?;
            if !documents.insert(id) {
                continue;
            }
        }
        if taken.take(&candidate.hit)? {
            shown.take(&candidate.hit)?;
            hits.push(candidate);
        } else {
            rejected += 1;
        }
    }
    let hits = among(pins, hits, needed);
    Ok(IndexHits { hits, shown: shown.values, rejected })
}

/// The hits of one query, each read when its turn comes.
struct QueryHits<'a> {
    rest: Hits<'a>,
    suppositions: Suppositions,
    query: QueryAnswer<'a>,
    uid: &'a str,
}

impl<'a> QueryHits<'a> {
    /// Those that are pinned, which the list itself passes over.
    fn pins(&self) -> Result<Vec<Candidate<'a>>, MergeError> {
        // Most lists have none, and are not read to their end.
        if !self.query.answer.hits.contains("\"pin\":") {
            return Ok(Vec::new());
        }
        let mut whole =
            Self { rest: Hits::new(self.query.answer.hits), suppositions: Suppositions::default(), ..*self };
        let mut pins = Vec::new();
        while let Some(candidate) = whole.read()? {
            pins.extend(Some(candidate).filter(|candidate| candidate.pin.is_some()));
        }
        Ok(pins)
    }

    fn read(&mut self) -> Result<Option<Candidate<'a>>, MergeError> {
        let Some((hit, rank)) = self.rest.next_hit()? else { return Ok(None) };
        let (score, details) = hit.scores().ok_or(MergeError::Malformed)?;
        let pin = rank.pin();
        let scores = match pin {
            Some(_) => ScoreValues::of_pin(score)?,
            None => ScoreValues::read(details, score, &mut self.suppositions)?,
        };
        Ok(Some(Candidate { hit, scores, query: self.query, uid: self.uid, pin }))
    }
}

impl<'a> Iterator for QueryHits<'a> {
    type Item = Result<Candidate<'a>, MergeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let is_pinned = |read: &Result<Candidate<'_>, _>| read.as_ref().is_ok_and(|candidate| candidate.pin.is_some());
        loop {
            let read = self.read().transpose();
            if !read.as_ref().is_some_and(is_pinned) {
                return read;
            }
        }
    }
}

/// Other hits with pins in their places, so many. Where there are no others left, late pins come before their places.
fn among<'a>(mut pins: Vec<Candidate<'a>>, others: Vec<Candidate<'a>>, wanted: u64) -> Vec<Candidate<'a>> {
    if pins.is_empty() {
        return others;
    }
    pins.sort_by_key(|candidate| candidate.pin);
    let (mut pins, mut others) = (pins.into_iter().peekable(), others.into_iter());
    let mut hits = Vec::new();
    while (hits.len() as u64) < wanted {
        let place = hits.len() as u64;
        let due = pins.next_if(|candidate| candidate.pin.is_some_and(|position| u64::from(position) <= place));
        let Some(hit) = due.or_else(|| others.next()).or_else(|| pins.next()) else { break };
        hits.push(hit);
    }
    hits
}

/// The best of the first hits of all lists, again and again.
struct Merged<'a, L> {
    lists: Vec<L>,
    heads: BinaryHeap<Head<'a>>,
}

/// The first hit of a list that was not taken yet.
struct Head<'a> {
    candidate: Candidate<'a>,
    list: usize,
}

impl Ord for Head<'_> {
    /// The greatest comes first; of equal ones that of the first list.
    fn cmp(&self, other: &Self) -> Ordering {
        self.candidate.compare(&other.candidate).then(other.list.cmp(&self.list))
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head<'_> {}

impl<'a, L: Iterator<Item = Result<Candidate<'a>, MergeError>>> Merged<'a, L> {
    fn of(lists: Vec<L>) -> Result<Self, MergeError> {
        let mut merged = Self { heads: BinaryHeap::with_capacity(lists.len()), lists };
        (0..merged.lists.len()).try_for_each(|list| merged.read_head(list))?;
        Ok(merged)
    }

    fn read_head(&mut self, list: usize) -> Result<(), MergeError> {
        let candidate = self.lists[list].next().transpose()?;
        self.heads.extend(candidate.map(|candidate| Head { candidate, list }));
        Ok(())
    }

    fn next_candidate(&mut self) -> Result<Option<Candidate<'a>>, MergeError> {
        let Some(Head { candidate, list }) = self.heads.pop() else { return Ok(None) };
        self.read_head(list)?;
        Ok(Some(candidate))
    }
}

/// The hits of the page, and those that were left out for a hit of another index.
struct Page<'a> {
    hits: Vec<Candidate<'a>>,
    rejected: Vec<Candidate<'a>>,
    /// Hits by vectors.
    semantic_hit_count: usize,
}

impl<'a> Page<'a> {
    fn of(federation: &Federation, lists: Vec<Vec<Candidate<'a>>>) -> Result<Self, MergeError> {
        let (offset, limit) = federation.window();
        let mut taken = Taken::new(federation.distinct.as_deref());
        let (mut hits, mut rejected, mut pins) = (Vec::new(), Vec::new(), Vec::new());
        let wanted = offset.saturating_add(limit);
        let mut lists_of_others = Vec::with_capacity(lists.len());
        for list in lists {
            let (pinned, others): (Vec<_>, Vec<_>) = list.into_iter().partition(|candidate| candidate.pin.is_some());
            pins.extend(pinned);
            lists_of_others.push(others.into_iter().map(Ok));
        }
        let mut others = Merged::of(lists_of_others)?;
        // To the end even when the page is full: what is left out behind it does not count either.
        while let Some(candidate) = others.next_candidate()? {
            if !taken.take(&candidate.hit)? {
                rejected.push(candidate);
            } else if (hits.len() as u64) < wanted {
                hits.push(candidate);
            }
        }
        let is_semantic = |candidate: &&Candidate<'_>| candidate.scores.is_semantic;
        // Where some are pinned one server counts from the first hit on.
        let from = if pins.is_empty() { offset as usize } else { 0 };
        let semantic_hit_count = hits.iter().skip(from).filter(is_semantic).count();
        let mut hits = among(pins, hits, wanted);
        hits.drain(..hits.len().min(offset as usize));
        Ok(Self { hits, rejected, semantic_hit_count })
    }
}

impl Candidate<'_> {
    fn write(&self, text: &mut String) -> Result<(), MergeError> {
        let Self { hit, scores, query, uid, pin: _ } = self;
        let federation = serde_json::json!({
            "indexUid": uid,
            "queriesPosition": query.position,
            "weightedRankingScore": scores.global * query.weight,
        });
        let federation = federation.to_string();
        HitView { federation: Some(&federation), ..query.view }.write(hit, text)
    }
}

/// How many hits there are.
#[derive(Default)]
struct Totals {
    total: u64,
    is_approximate: bool,
    are_facets_approximate: bool,
}

impl Totals {
    fn add(&mut self, index: &IndexAnswer<'_>, paging: Paging, list: &IndexHits<'_>) {
        let Some(union) = &index.union else {
            let total = index.queries.first().map_or(0, |query| query.answer.total);
            self.total += total.saturating_sub(list.rejected);
            return;
        };
        let Some(UnionDistinct { by_value, .. }) = &union.distinct else {
            self.total += union.total;
            return;
        };
        // As if the documents of all queries were those of one.
        self.is_approximate = true;
        self.are_facets_approximate = true;
        self.total += match paging {
            Paging::Page { .. } => {
                let with_values: u64 = by_value.values().sum();
                by_value.len() as u64 + union.total.saturating_sub(with_values)
            }
            Paging::Window { .. } => {
                let others =
                    |value: &DistinctValue| by_value.get(&value.text()).map_or(0, |count| count.saturating_sub(1));
                union.total.saturating_sub(list.shown.iter().map(others).sum()).max(list.hits.len() as u64)
            }
        };
    }

    fn approximate(&self, has_facets: bool) -> Vec<Part> {
        let parts = [(Part::Facets, has_facets && self.are_facets_approximate), (Part::Totals, self.is_approximate)];
        parts.into_iter().filter_map(|(part, is_off)| is_off.then_some(part)).collect()
    }
}

/// A value of a distinct attribute, as it is compared between hits.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum DistinctValue {
    /// Normalised.
    Text(String),
    /// `1` and `1.0` are two values.
    Number(Number),
}

impl DistinctValue {
    /// Of a member of a document; none for what is no value.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(Self::Text(flag.to_string())),
            Value::Number(number) => Some(Self::Number(number.clone())),
            Value::String(text) => Some(Self::Text(normalize(text))),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// As facets write it.
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.as_f64().unwrap_or_default().to_string(),
        }
    }
}

/// Values that hits have already.
struct Taken<'d> {
    attribute: Option<&'d str>,
    values: HashSet<DistinctValue>,
}

impl<'d> Taken<'d> {
    fn new(attribute: Option<&'d str>) -> Self {
        Self { attribute, values: HashSet::new() }
    }

    /// Whether none of the hit's values was taken before; now they are.
    fn take(&mut self, hit: &Hit<'_>) -> Result<bool, MergeError> {
        let Some(attribute) = self.attribute else { return Ok(true) };
        let mut values = Vec::new();
        each_leaf(&document_of(hit)?, attribute, &mut |value| values.extend(DistinctValue::of(value)));
        if values.iter().any(|value| self.values.contains(value)) {
            return Ok(false);
        }
        self.values.extend(values);
        Ok(true)
    }
}

fn document_of(hit: &Hit<'_>) -> Result<Map<String, Value>, MergeError> {
    serde_json::from_str(hit.text()).map_err(|_| MergeError::Malformed)
}

/// Visits the values that a path reaches, those of arrays one by one.
fn each_leaf(document: &Map<String, Value>, path: &str, visit: &mut dyn FnMut(&Value)) {
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

#[cfg(test)]
mod tests;
