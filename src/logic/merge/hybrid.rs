//! One list out of a list of hits by words and one by vectors.
//!
//! The engine takes the first hits of each, as many as the end of the page, compares them by their scores times how much
//! their list counts, and leaves out what it has shown already. With good hits by words it does not look at vectors at all.

use std::collections::HashSet;
use std::iter::Peekable;
use std::vec::IntoIter;

use super::MergeError;
use super::answer::NodeAnswer;
use super::distinct::{Distinct, DistinctHits, Kept};
use super::hit::Hit;
use super::list::{MergedHits, RankedHit};
use super::pins::{Pinned, Pins};
use super::score_values::{ScoreValues, Suppositions};
use crate::logic::primary_key::id_in;

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

/// The last hit of a node that may have more.
#[derive(Debug)]
struct End<'a> {
    scores: ScoreValues<'a>,
    source: Source,
}

/// The first hits of one list, over all nodes.
#[derive(Debug, Default)]
pub struct ScoredHits<'a> {
    /// In order.
    pub hits: Vec<ScoredHit<'a>>,
    /// Those of its hits that rules have pinned, in order, with their ids.
    pins: Vec<(String, RankedHit<'a>)>,
    /// They may be in another order than on one server.
    are_pins_unsure: bool,
    /// What its distinct hits say about others.
    pub kept: Kept,
    /// A node ran out of time.
    pub is_cut_off: bool,
    /// What is behind these is not known.
    ends: Vec<End<'a>>,
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
    /// A rule that only the nodes have: it orders ties within a list, and does not decide between the lists.
    pub hidden_rule: Option<&'a str>,
    /// Where rules may have pinned hits.
    pub pinned: Option<Pinned<'a>>,
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
        let pins = common.pinned.filter(|_| wanted > 0).map(|pinned| Pins::of(answers, pinned, asked));
        let pins = pins.transpose()?.unwrap_or_default();
        let mut list = Self { are_pins_unsure: pins.are_unsure, ..Self::default() };
        match common.distinct {
            None => {
                let mut merged = merged;
                list.take(wanted, common, pins, || merged.next_hit())?;
                list.is_cut_off = merged.is_cut_off();
                list.end(merged.ends(), common)?;
            }
            Some(distinct) => {
                let mut merged = DistinctHits::of(merged, distinct);
                list.take(wanted, common, pins, || merged.next_hit())?;
                list.is_cut_off = merged.is_cut_off();
                list.kept = merged.kept().clone();
                list.end(merged.ends(), common)?;
            }
        }
        Ok(list)
    }

    fn take(
        &mut self,
        wanted: u64,
        common: Common<'_>,
        mut pins: Pins<'a>,
        mut next_hit: impl FnMut() -> Result<Option<RankedHit<'a>>, MergeError>,
    ) -> Result<(), MergeError> {
        let mut suppositions = Suppositions::default();
        for place in 0..wanted {
            let Some(ranked) = pins.next(place, &mut next_hit)? else { break };
            let id = id_in(common.primary_key, ranked.hit.text()).map_err(|_| MergeError::Malformed)?.into_owned();
            if ranked.pin.is_some() {
                self.pins.push((id, ranked));
                continue;
            }
            let (score, details) = ranked.hit.scores().ok_or(MergeError::Malformed)?;
            let scores = ScoreValues::read_without(common.hidden_rule, details, score, &mut suppositions)?;
            self.hits.push(ScoredHit { ranked, scores, id });
        }
        Ok(())
    }

    fn end(&mut self, ends: &[&'a str], common: Common<'_>) -> Result<(), MergeError> {
        let mut suppositions = [Suppositions::default(), Suppositions::default()];
        for text in ends {
            let (hit, rank) = Hit::read(text)?;
            let (score, details) = hit.scores().ok_or(MergeError::Malformed)?;
            let source = if rank.is_by_vector() { Source::Vectors } else { Source::Words };
            let suppositions = &mut suppositions[usize::from(source == Source::Words)];
            let scores = ScoreValues::read_without(common.hidden_rule, details, score, suppositions)?;
            self.ends.push(End { scores, source });
        }
        Ok(())
    }

    /// Whether these hits by words make others needless: as many as are `wanted`, and each of them good.
    pub fn are_good_enough(&self, wanted: u64, semantic_ratio: f32) -> bool {
        let weight = f64::from(1.0 - semantic_ratio);
        // What is pinned is as good as can be.
        (self.hits.len() + self.pins.len()) as u64 >= wanted
            && self.hits.iter().all(|hit| hit.scores.global * weight >= GOOD_ENOUGH)
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
    /// Hits that rules have pinned may be in another order than on one server.
    pub are_pins_unsure: bool,
}

/// What is left of both lists.
struct Both<'a, 'd> {
    vectors: Peekable<IntoIter<ScoredHit<'a>>>,
    words: Peekable<IntoIter<ScoredHit<'a>>>,
    /// How much vectors count.
    ratio: f32,
    distinct: Option<&'d str>,
    seen: HashSet<String>,
    kept: Kept,
    /// The last hit that was taken.
    last: Option<(ScoreValues<'a>, Source)>,
}

impl<'a> Both<'a, '_> {
    fn weight(&self, source: Source) -> f64 {
        match source {
            Source::Vectors => f64::from(self.ratio),
            Source::Words => f64::from(1.0 - self.ratio),
        }
    }

    fn next_hit(&mut self) -> Result<Option<RankedHit<'a>>, MergeError> {
        let weights = (self.weight(Source::Vectors), self.weight(Source::Words));
        loop {
            let source = match (self.vectors.peek(), self.words.peek()) {
                (Some(vector), Some(word))
                    if vector.scores.compare_lists(weights.0, &word.scores, weights.1).is_lt() =>
                {
                    Source::Words
                }
                (Some(_), _) => Source::Vectors,
                (None, Some(_)) => Source::Words,
                (None, None) => return Ok(None),
            };
            let next = match source {
                Source::Words => self.words.next(),
                Source::Vectors => self.vectors.next(),
            };
            let Some(hit) = next.filter(|hit| self.seen.insert(hit.id.clone())) else { continue };
            let is_kept = match self.distinct {
                Some(attribute) => self.kept.keeps(&hit.ranked.hit.facet_values(attribute)?),
                None => self.kept.counts(),
            };
            if is_kept {
                self.last = Some((hit.scores, source));
                return Ok(Some(hit.ranked));
            }
        }
    }

    /// Whether no hit behind this one can come before the last that was taken.
    fn is_before(&self, end: &End<'_>) -> bool {
        self.last.as_ref().is_none_or(|(scores, source)| {
            scores.compare_lists(self.weight(*source), &end.scores, self.weight(end.source)).is_ge()
        })
    }
}

impl<'a> Combined<'a> {
    /// The first `wanted` hits. A node that gave as many hits by both as it was asked for may have more by vectors: none that
    /// comes before its last one.
    ///
    /// # Errors
    /// [`MergeError`]; after `TooShallow` the nodes can be asked again.
    pub fn of(
        vectors: ScoredHits<'a>,
        words: ScoredHits<'a>,
        semantic_ratio: f32,
        distinct: Option<&str>,
        wanted: u64,
    ) -> Result<Self, MergeError> {
        let are_pins_unsure = vectors.are_pins_unsure || words.are_pins_unsure;
        let ends = vectors.ends;
        let mut pinned = HashSet::new();
        let pins = words.pins.into_iter().chain(vectors.pins).filter(|(id, _)| pinned.insert(id.clone()));
        let pins = Pins { hits: pins.map(|(_, hit)| hit).collect(), are_unsure: are_pins_unsure };
        let mut pins = pins.by_position();
        let mut both = Both {
            vectors: vectors.hits.into_iter().peekable(),
            words: words.hits.into_iter().peekable(),
            ratio: semantic_ratio,
            distinct,
            seen: pinned,
            kept: Kept::default(),
            last: None,
        };
        let mut hits = Vec::new();
        while (hits.len() as u64) < wanted
            && let Some(hit) = pins.next(hits.len() as u64, || both.next_hit())?
        {
            hits.push(hit);
        }
        let is_full = hits.len() as u64 >= wanted;
        if !ends.iter().all(|end| is_full && both.is_before(end)) {
            return Err(MergeError::TooShallow);
        }
        Ok(Self { hits, kept: both.kept, are_pins_unsure })
    }
}

#[cfg(test)]
mod tests;
