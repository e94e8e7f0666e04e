//! The conditions that graph rules put on the way from one term to the next, their costs, and who meets them.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;

use super::context::Context;
use super::graph::LocatedSubset;
use super::terms::{ExactTerm, WithoutTypos};
use crate::devnode::engine::fields::FieldId;
use crate::devnode::engine::postings::DISTANCE_MAX;
use crate::devnode::engine::query::MatchingStrategy;
use crate::devnode::engine::score::{Rank, Score};

/// A ranking rule that walks the query graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum GraphRule {
    Words(MatchingStrategy),
    Typo,
    Proximity,
    /// The rank of the attribute.
    Field,
    /// The places of words.
    Position,
    Exactness,
}

/// What a document must hold for a step of a path.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Condition {
    /// A term.
    Term(LocatedSubset),
    /// A term as it was written.
    Exact(LocatedSubset),
    /// Two terms at a distance of `cost` words.
    Near { left: LocatedSubset, right: LocatedSubset, cost: u8 },
    /// A term in a field; `None` for no document (it only bounds the ranks).
    InField { term: LocatedSubset, field: Option<FieldId> },
    /// A term at one of these bucketed positions.
    AtPositions { term: LocatedSubset, positions: Vec<u16> },
}

impl Condition {
    /// What is left of the terms for the rules that follow.
    pub(super) fn subsets(&self, context: &Context<'_>) -> (Option<LocatedSubset>, LocatedSubset) {
        match self {
            Self::Term(term) | Self::InField { term, .. } | Self::AtPositions { term, .. } => (None, *term),
            Self::Near { left, right, .. } => (Some(*left), *right),
            Self::Exact(term) => {
                let mut exact = *term;
                if context.exact_term(exact.subset).is_some() {
                    exact.subset.without_typos = WithoutTypos::Exact;
                    exact.subset.one_typo = false;
                    exact.subset.two_typos = false;
                }
                exact.subset.is_mandatory = true;
                (None, exact)
            }
        }
    }
}

impl GraphRule {
    /// The costs and conditions of the steps from a term (or the start) to a term.
    pub(super) fn steps(
        self,
        context: &mut Context<'_>,
        left: Option<LocatedSubset>,
        right: LocatedSubset,
    ) -> Vec<(u32, Condition)> {
        match self {
            Self::Words(_) => vec![(0, Condition::Term(right))],
            Self::Typo => typo_steps(context, right),
            Self::Proximity => proximity_steps(left, right),
            Self::Field => field_steps(context, right),
            Self::Position => position_steps(context, right),
            Self::Exactness => vec![(0, Condition::Exact(right)), (right.width(), Condition::Term(right))],
        }
    }

    /// The score of a rank.
    pub(super) fn score(self, rank: Rank) -> Score {
        match self {
            Self::Words(_) => Score::Words(rank),
            Self::Typo => Score::Typo(rank),
            Self::Proximity => Score::Proximity(rank),
            Self::Field => Score::Field(rank),
            Self::Position => Score::Position(rank),
            Self::Exactness => Score::ExactWords(rank),
        }
    }
}

/// Joined words cost as many typos as they have words.
fn typo_steps(context: &Context<'_>, term: LocatedSubset) -> Vec<(u32, Condition)> {
    let base = if term.width() == 1 { 0 } else { term.width() };
    (0..=context.typos_left(term.subset))
        .map(|typos| {
            let mut narrowed = term;
            if typos != 0 {
                narrowed.subset.without_typos = WithoutTypos::Nothing;
            }
            narrowed.subset.one_typo &= typos == 1;
            narrowed.subset.two_typos &= typos == 2;
            (u32::from(typos) + base, Condition::Term(narrowed))
        })
        .collect()
}

fn proximity_steps(left: Option<LocatedSubset>, right: LocatedSubset) -> Vec<(u32, Condition)> {
    let width = right.width() - 1;
    // Terms that are not neighbours in the query need not be near.
    let Some(left) = left.filter(|left| left.positions.1.wrapping_add(1) == right.positions.0) else {
        return vec![(width, Condition::Term(right))];
    };
    let far = u32::from(DISTANCE_MAX) - 1 + width;
    let near = (width..far).map(|cost| (cost, Condition::Near { left, right, cost: cost as u8 + 1 }));
    near.chain([(far, Condition::Term(right))]).collect()
}

fn field_steps(context: &mut Context<'_>, term: LocatedSubset) -> Vec<(u32, Condition)> {
    let postings = &context.index.postings;
    let fields_of = |word| postings.postings(word).into_iter().flat_map(|entry| entry.by_field.keys().copied());
    let mut fields: BTreeSet<FieldId> = BTreeSet::new();
    for word in context.single_words(term.subset) {
        fields.extend(fields_of(word.word));
    }
    for phrase in context.all_phrases(term.subset) {
        for word in context.phrase(phrase).iter().flatten() {
            fields.extend(fields_of(*word));
        }
    }
    if let Some(prefix) = context.cached_prefix(term.subset) {
        fields.extend(context.prefix(prefix.word).by_field.keys());
    }
    let settings = &context.index.settings;
    let weights: BTreeMap<FieldId, u16> = context
        .index
        .fields
        .iter()
        .filter(|(field, _)| fields.contains(field))
        .map(|(field, name)| (field, settings.searchable(name)))
        .filter(|(_, (matched, _))| matched.is_yes())
        .map(|(field, (_, weight))| (field, weight))
        .collect();
    let cost = |weight: u16| u32::from(weight) * term.width();
    let mut steps: Vec<(u32, Condition)> = weights
        .iter()
        .map(|(field, weight)| (cost(*weight), Condition::InField { term, field: Some(*field) }))
        .collect();
    // The last attribute bounds the ranks, whether the word is there or not.
    let last = settings.searchable_attributes.as_ref().map_or(0, |list| list.len().saturating_sub(1)) as u16;
    if weights.values().max().copied().unwrap_or(0) < last {
        steps.push((cost(last), Condition::InField { term, field: None }));
    }
    steps
}

fn position_steps(context: &mut Context<'_>, term: LocatedSubset) -> Vec<(u32, Condition)> {
    let postings = &context.index.postings;
    let places_of = |word| postings.postings(word).into_iter().flat_map(|entry| entry.by_position.keys().copied());
    let mut places: BTreeSet<u16> = BTreeSet::new();
    for word in context.single_words(term.subset) {
        places.extend(places_of(word.word));
    }
    for phrase in context.all_phrases(term.subset) {
        if let Some(word) = context.phrase(phrase).iter().flatten().next() {
            places.extend(places_of(*word));
        }
    }
    if let Some(prefix) = context.cached_prefix(term.subset) {
        places.extend(context.prefix(prefix.word).by_position.keys());
    }
    let mut by_cost: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
    for place in places {
        let distance = u32::from(place.abs_diff(term.positions.0));
        let cost = (0..term.width()).map(|word| position_cost(distance + word)).sum();
        by_cost.entry(cost).or_default().push(place);
    }
    // The worst place bounds the ranks, whether a word is there or not.
    by_cost.entry(term.width() * 10).or_default();
    by_cost.into_iter().map(|(cost, positions)| (cost, Condition::AtPositions { term, positions })).collect()
}

fn position_cost(distance: u32) -> u32 {
    match distance {
        0 => 0,
        1 => 1,
        2..=4 => 2,
        5..=7 => 3,
        8..=11 => 4,
        12..=16 => 5,
        17..=24 => 6,
        25..=64 => 7,
        65..=256 => 8,
        257..=1024 => 9,
        1025.. => 10,
    }
}

impl Context<'_> {
    /// The documents of `universe` that meet a condition other than nearness.
    pub(super) fn condition_documents(&mut self, condition: &Condition, universe: &RoaringBitmap) -> RoaringBitmap {
        match condition {
            Condition::Term(term) => self.subset_documents(Some(universe), term.subset),
            Condition::Exact(term) => match self.exact_term(term.subset) {
                Some(ExactTerm::Word(word)) => self.word_documents(word) & universe,
                Some(ExactTerm::Phrase(phrase)) => &*self.phrase_documents(phrase) & universe,
                None => RoaringBitmap::new(),
            },
            Condition::InField { term, field: Some(field) } => {
                self.subset_documents_in_field(universe, term.subset, *field)
            }
            Condition::InField { field: None, .. } => RoaringBitmap::new(),
            Condition::AtPositions { term, positions } => {
                let mut found = RoaringBitmap::new();
                for position in positions {
                    found |= self.subset_documents_at_position(universe, term.subset, *position);
                }
                found
            }
            Condition::Near { left, right, cost } => {
                let sets = self.pair_sets(left.subset, right.subset, universe);
                near_documents(&sets, *right, *cost)
            }
        }
    }
}

/// The documents with two terms at a distance of `cost` words; joined words stand that much nearer.
pub(super) fn near_documents(sets: &super::proximity::PairSets, right: LocatedSubset, cost: u8) -> RoaringBitmap {
    let width = right.width() as usize;
    let (forward, backward) = (usize::from(cost) + 1 - width, usize::from(cost) - width);
    &sets.forward[forward] | &sets.backward[backward]
}
