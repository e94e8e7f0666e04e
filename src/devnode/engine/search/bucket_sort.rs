//! Ranks documents: buckets of the first rule, each cut by the second, and so on, until the page is full.
//!
//! What is not looked at (because the page was full before) still counts among the candidates: totals are estimates,
//! exactly as far off as Meilisearch's.

use std::rc::Rc;

use roaring::RoaringBitmap;

use super::context::Context;
use super::graph::QueryGraph;
use super::rules::{Bucket, Rule, RunningRule};
use crate::devnode::engine::fields::FieldId;
use crate::devnode::engine::index::Index;
use crate::devnode::engine::score::{Score, ranking_score};

/// What to rank.
pub(super) struct Request<'a> {
    pub(super) rules: &'a [Rule],
    pub(super) graph: Option<Rc<QueryGraph>>,
    pub(super) universe: RoaringBitmap,
    pub(super) offset: usize,
    pub(super) limit: usize,
    /// Whether every rule must be applied, for scores; else a single document needs no more rules.
    pub(super) wants_scores: bool,
    pub(super) threshold: Option<f64>,
    /// With a threshold: rank this many so that totals are exact.
    pub(super) exhaustive_limit: Option<usize>,
    pub(super) distinct: Option<FieldId>,
}

/// The page, and all documents that count as found.
pub(in crate::devnode::engine) struct Ranking {
    pub(in crate::devnode::engine) page: Vec<(u32, Vec<Score>)>,
    pub(in crate::devnode::engine) candidates: RoaringBitmap,
}

/// One rule at work with what is left of its documents.
struct Level<'i> {
    rule: RunningRule<'i>,
    universe: RoaringBitmap,
}

struct Sorter<'a, 'c, 'i> {
    request: &'a Request<'a>,
    context: &'c mut Context<'i>,
    levels: Vec<Level<'i>>,
    scores: Vec<Score>,
    ranking: Ranking,
    /// Documents passed so far, those before the page included.
    passed: usize,
}

/// Ranks the documents of a search.
pub(super) fn rank(context: &mut Context<'_>, request: &Request<'_>) -> Ranking {
    let candidates = request.universe.clone();
    let mut ranking = Ranking { page: Vec::new(), candidates };
    if (request.universe.len() as usize) < request.offset {
        return ranking;
    }
    let Some(first) = request.rules.first() else {
        return without_rules(context.index, request);
    };
    let rule = first.start(context, request.graph.as_ref(), &request.universe);
    ranking.page.reserve(request.limit.min(1_000));
    let mut sorter = Sorter {
        request,
        context,
        levels: vec![Level { rule, universe: request.universe.clone() }],
        scores: Vec::new(),
        ranking,
        passed: 0,
    };
    sorter.run();
    sorter.ranking
}

fn without_rules(index: &Index, request: &Request<'_>) -> Ranking {
    let (offset, limit) = (request.offset, request.limit);
    let Some(field) = request.distinct else {
        let page = request.universe.iter().skip(offset).take(limit).map(|document| (document, Vec::new())).collect();
        return Ranking { page, candidates: request.universe.clone() };
    };
    let mut excluded = RoaringBitmap::new();
    let mut kept = Vec::new();
    for document in &request.universe {
        if kept.len() >= offset + limit {
            break;
        }
        if !excluded.contains(document) {
            exclude_same_values(index, field, document, &mut excluded);
            kept.push(document);
        }
    }
    let mut candidates = &request.universe - &excluded;
    candidates.extend(kept.iter().copied());
    let page = kept.into_iter().skip(offset).map(|document| (document, Vec::new())).collect();
    Ranking { page, candidates }
}

impl Sorter<'_, '_, '_> {
    fn run(&mut self) {
        let rank_limit = match self.request.exhaustive_limit.filter(|_| self.request.threshold.is_some()) {
            Some(limit) => limit,
            None => self.request.limit,
        };
        while self.ranking.page.len() < rank_limit {
            let Some(level) = self.levels.last_mut() else { return };
            let is_single = !self.request.wants_scores && level.universe.len() == 1;
            if level.universe.is_empty() || is_single {
                let documents = std::mem::take(&mut level.universe);
                self.add(documents);
                self.back();
                continue;
            }
            match level.rule.next_bucket(self.context, &level.universe) {
                Some(bucket) => self.enter(bucket),
                None => self.back(),
            }
        }
    }

    /// Leaves the last rule.
    fn back(&mut self) {
        self.levels.pop();
        self.scores.truncate(self.levels.len().saturating_sub(1));
    }

    fn enter(&mut self, bucket: Bucket) {
        let Bucket { graph, documents, score } = bucket;
        self.scores.push(score);
        let is_below = self.request.threshold.is_some_and(|threshold| ranking_score(&self.scores) < threshold);
        let depth = self.levels.len();
        if let Some(level) = self.levels.last_mut() {
            level.universe -= &documents;
            if is_below {
                self.ranking.candidates -= &documents;
                self.ranking.candidates -= &level.universe;
            }
        }
        let is_last_rule = depth == self.request.rules.len();
        let is_single = !self.request.wants_scores && documents.len() <= 1;
        let is_before_page = self.passed + (documents.len() as usize) < self.request.offset;
        if is_last_rule || is_single || is_before_page || is_below {
            if !is_below {
                self.add(documents);
            }
            self.scores.pop();
            return;
        }
        let rule = self.request.rules[depth].start(self.context, graph.as_ref(), &documents);
        self.levels.push(Level { rule, universe: documents });
    }

    /// Adds the documents of a bucket, in the order of their numbers, to the page where it reaches.
    fn add(&mut self, documents: RoaringBitmap) {
        let documents = match self.request.distinct {
            Some(field) => {
                let (kept, excluded) = distinct(self.context.index, field, &documents);
                for level in &mut self.levels {
                    level.universe -= &excluded;
                }
                self.ranking.candidates -= &excluded;
                kept
            }
            None => documents,
        };
        self.ranking.candidates |= &documents;
        let skipped = self.request.offset.saturating_sub(self.passed);
        let room = self.request.limit.saturating_sub(self.ranking.page.len());
        let scores = &self.scores;
        self.ranking.page.extend(documents.iter().skip(skipped).take(room).map(|document| (document, scores.clone())));
        self.passed += documents.len() as usize;
    }
}

/// The first document of each value, and all documents that share a value with one of them.
pub(super) fn distinct(index: &Index, field: FieldId, documents: &RoaringBitmap) -> (RoaringBitmap, RoaringBitmap) {
    let (mut kept, mut excluded) = (RoaringBitmap::new(), RoaringBitmap::new());
    for document in documents {
        if !excluded.contains(document) {
            exclude_same_values(index, field, document, &mut excluded);
            kept.insert(document);
        }
    }
    (kept, excluded)
}

/// Adds the documents that share a value with one of them.
pub(super) fn exclude_same_values(index: &Index, field: FieldId, document: u32, excluded: &mut RoaringBitmap) {
    let Some(facets) = index.facets.field(field) else { return };
    let strings = facets.strings.values().map(|value| &value.documents);
    for documents in facets.numbers.values().chain(strings) {
        if documents.contains(document) {
            *excluded |= documents;
        }
    }
}
