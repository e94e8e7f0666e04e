//! One list out of a list of hits by words and one by vectors.
//!
//! The engine takes the first hits of each, as many as the end of the page, compares them by their scores times how much
//! their list counts, and leaves out what it has shown already. With good hits by words it does not look at vectors at all.

use std::collections::HashSet;

use super::MergeError;
use super::answer::NodeAnswer;
use super::deep::id_of;
use super::distinct::{Distinct, DistinctHits, Kept};
use super::list::{MergedHits, RankedHit};
use super::score_values::{ScoreValues, Suppositions};

/// What a hit by words must score after weighing to be good enough.
const GOOD_ENOUGH: f64 = 0.45;

/// A hit with what decides among both lists.
#[derive(Debug)]
pub struct ScoredHit<'a> {
    /// The hit.
    pub ranked: RankedHit<'a>,
    scores: ScoreValues<'a>,
    id: String,
}

/// The first hits of one list, over all nodes.
#[derive(Debug, Default)]
pub struct ScoredHits<'a> {
    /// In order.
    pub hits: Vec<ScoredHit<'a>>,
    /// What its distinct hits say about others.
    pub kept: Kept,
    /// A node ran out of time.
    pub is_cut_off: bool,
}

/// Which list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// By words.
    Words,
    /// By vectors.
    Vectors,
}

/// What both lists have in common.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// By which hits are told apart.
    pub primary_key: &'a str,
    /// One hit for each value.
    pub distinct: Option<Distinct<'a>>,
}

impl<'a> ScoredHits<'a> {
    /// The first `wanted` hits of nodes that were asked for their first `asked`.
    ///
    /// # Errors
    /// [`MergeError`]; after `TooShallow` the nodes can be asked again.
    pub fn of(
        answers: &[NodeAnswer<'a>],
        source: Source,
        common: Common<'_>,
        asked: u64,
        wanted: u64,
    ) -> Result<Self, MergeError> {
        let merged = match source {
            Source::Words => MergedHits::of(answers, asked),
            Source::Vectors => MergedHits::by_vector(answers, asked),
        };
        let mut list = Self::default();
        match common.distinct {
            None => {
                let mut merged = merged;
                list.take(wanted, common, || merged.next_hit())?;
                list.is_cut_off = merged.is_cut_off();
            }
            Some(distinct) => {
                let mut merged = DistinctHits::of(merged, distinct);
                list.take(wanted, common, || merged.next_hit())?;
                list.is_cut_off = merged.is_cut_off();
                list.kept = merged.kept().clone();
            }
        }
        Ok(list)
    }

    fn take(
        &mut self,
        wanted: u64,
        common: Common<'_>,
        mut next_hit: impl FnMut() -> Result<Option<RankedHit<'a>>, MergeError>,
    ) -> Result<(), MergeError> {
        let mut suppositions = Suppositions::default();
        for _ in 0..wanted {
            let Some(ranked) = next_hit()? else { break };
            let (score, details) = ranked.hit.scores().ok_or(MergeError::Malformed)?;
            let scores = ScoreValues::read(details, score, &mut suppositions)?;
            let id = id_of(ranked.hit.text(), common.primary_key)?;
            self.hits.push(ScoredHit { ranked, scores, id });
        }
        Ok(())
    }

    /// Whether these hits by words make others needless: as many as are `wanted`, and each of them good.
    pub fn are_good_enough(&self, wanted: u64, semantic_ratio: f32) -> bool {
        let weight = f64::from(1.0 - semantic_ratio);
        self.hits.len() as u64 >= wanted && self.hits.iter().all(|hit| hit.scores.global * weight >= GOOD_ENOUGH)
    }
}

/// Whether hits by words can be good enough at all.
pub fn can_words_be_enough(semantic_ratio: f32) -> bool {
    f64::from(1.0 - semantic_ratio) >= GOOD_ENOUGH
}

/// Both lists as one.
#[derive(Debug, Default)]
pub struct Combined<'a> {
    /// In order.
    pub hits: Vec<RankedHit<'a>>,
    /// What they say about others.
    pub kept: Kept,
}

impl<'a> Combined<'a> {
    /// The first `wanted` hits.
    ///
    /// # Errors
    /// [`MergeError::Malformed`].
    pub fn of(
        vectors: ScoredHits<'a>,
        words: ScoredHits<'a>,
        semantic_ratio: f32,
        distinct: Option<&str>,
        wanted: u64,
    ) -> Result<Self, MergeError> {
        let weights = (f64::from(semantic_ratio), f64::from(1.0 - semantic_ratio));
        let (mut vectors, mut words) = (vectors.hits.into_iter().peekable(), words.hits.into_iter().peekable());
        let mut combined = Self::default();
        let mut seen = HashSet::new();
        while combined.kept.hits < wanted {
            let source = match (vectors.peek(), words.peek()) {
                (Some(vector), Some(word))
                    if vector.scores.compare_lists(weights.0, &word.scores, weights.1).is_lt() =>
                {
                    Source::Words
                }
                (Some(_), _) => Source::Vectors,
                (None, Some(_)) => Source::Words,
                (None, None) => break,
            };
            let next = match source {
                Source::Words => words.next(),
                Source::Vectors => vectors.next(),
            };
            let Some(hit) = next.filter(|hit| seen.insert(hit.id.clone())) else { continue };
            let is_kept = match distinct {
                Some(attribute) => combined.kept.keeps(&hit.ranked.hit.facet_values(attribute)?),
                None => combined.kept.counts(),
            };
            if is_kept {
                combined.hits.push(hit.ranked);
            }
        }
        Ok(combined)
    }
}

#[cfg(test)]
mod tests;
