//! One hit for each value of the distinct attribute: the engine's own walk, over the hits of all nodes.
//!
//! From the best hit on, a hit is kept unless a hit that was kept before has one of its values; hits without a value are
//! all kept. Nodes may do the same walk for their own hits first, which makes their lists short: that changes nothing as
//! long as every hit that is kept by its node and dropped here has one value only. Whatever such a hit hid on its node has
//! that value too, so it would be dropped here as well. A hit with several values may have hidden one that would be kept:
//! then the nodes are asked again for all of their hits ([`MergeError::HiddenByDropped`]).

use std::collections::HashSet;

use super::MergeError;
use super::facet_values::FacetValues;
use super::list::{MergedHits, RankedHit};
use super::rank::Rank;

/// One value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum DistinctValue {
    /// By its bits.
    Number(u64),
    /// Normalised.
    Text(String),
}

/// How hits are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Distinct<'a> {
    /// The path of the attribute.
    pub attribute: &'a str,
    /// Who walks.
    pub walk: Walk,
    /// It is the client's parameter: then a page shows empty texts once, too.
    pub is_parameter: bool,
}

/// Who leaves out hits that are alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Walk {
    /// The nodes among their own hits first. Where that may hide what the whole would show, it is found out.
    NodesFirst,
    /// Nobody but the merge.
    Here,
    /// The nodes first, whatever they hide: there are too many hits to look at all of them.
    NodesAnyway,
}

impl Walk {
    /// Whether nodes are asked to leave out hits.
    pub fn is_pushed_down(self) -> bool {
        match self {
            Self::NodesFirst | Self::NodesAnyway => true,
            Self::Here => false,
        }
    }
}

/// What the hits that were kept say about the others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    values: HashSet<DistinctValue>,
    /// How many they are.
    pub hits: u64,
    /// There are no others.
    pub is_all: bool,
    /// All hits were looked at that tie with the last one kept.
    pub has_all_ties: bool,
}

impl Kept {
    /// Whether a hit with these values is kept; if so, no other one is with any of them.
    pub fn keeps(&mut self, values: &FacetValues) -> bool {
        let values = values_of(values);
        let is_kept = values.iter().all(|value| !self.values.contains(value));
        if is_kept {
            self.values.extend(values);
            self.hits += 1;
        }
        is_kept
    }

    /// Keeps a hit where none is left out.
    pub fn counts(&mut self) -> bool {
        self.hits += 1;
        true
    }

    /// Takes over the values of others; says whether some were new.
    pub fn adopt(&mut self, others: &Self) -> bool {
        let before = self.values.len();
        self.values.extend(others.values.iter().cloned());
        self.values.len() > before
    }

    /// Their values, written as facets are.
    pub fn values(&self) -> impl Iterator<Item = String> {
        self.values.iter().map(|value| match value {
            DistinctValue::Number(bits) => f64::from_bits(*bits).to_string(),
            DistinctValue::Text(text) => text.clone(),
        })
    }
}

/// The walk.
#[derive(Debug)]
pub struct DistinctHits<'a, 'd> {
    hits: MergedHits<'a>,
    distinct: Distinct<'d>,
    kept: Kept,
    /// Of the last hit that was kept.
    last_rank: Option<Rank<'a>>,
}

impl<'a, 'd> DistinctHits<'a, 'd> {
    /// Over hits in order.
    pub fn of(hits: MergedHits<'a>, distinct: Distinct<'d>) -> Self {
        Self { hits, distinct, kept: Kept::default(), last_rank: None }
    }

    /// The next hit that is kept.
    ///
    /// # Errors
    /// As [`MergedHits::next_hit`], and [`MergeError::HiddenByDropped`].
    pub fn next_hit(&mut self) -> Result<Option<RankedHit<'a>>, MergeError> {
        while let Some(ranked) = self.hits.next_hit()? {
            if self.keeps(&ranked)? {
                self.last_rank = Some(ranked.rank.clone());
                return Ok(Some(ranked));
            }
        }
        self.kept.is_all = true;
        Ok(None)
    }

    fn keeps(&mut self, ranked: &RankedHit<'_>) -> Result<bool, MergeError> {
        let values = ranked.hit.facet_values(self.distinct.attribute)?;
        if self.distinct.walk == Walk::NodesFirst && values.has_blank_text() {
            // To the engine's walk an empty text is no value, but a node shows only one of those on its page.
            return Err(MergeError::HiddenByDropped);
        }
        if self.kept.keeps(&values) {
            return Ok(true);
        }
        if self.distinct.walk == Walk::NodesFirst && values_of(&values).len() > 1 {
            return Err(MergeError::HiddenByDropped);
        }
        Ok(false)
    }

    /// Walks on until so many hits are kept. Gives the rank of the last one of these; none if there are fewer.
    ///
    /// # Errors
    /// As [`Self::next_hit`].
    pub fn walk_to(&mut self, wanted: u64) -> Result<Option<Rank<'a>>, MergeError> {
        while self.kept.hits < wanted && self.next_hit()?.is_some() {}
        Ok(self.last_rank.clone().filter(|_| self.kept.hits >= wanted && wanted > 0))
    }

    /// Ends the walk as one server does: behind the last hit of a full page it looks at all that tie with it.
    ///
    /// # Errors
    /// As [`Self::next_hit`]; the values kept so far are not lost.
    pub fn walk_ties(&mut self, last: Option<&Rank<'_>>) -> Result<(), MergeError> {
        while let Some(last) = last {
            if last.is_unranked() {
                // One server stops at the page's last hit; which of all that tie come before it is chance.
                return Ok(());
            }
            match self.hits.next_hit()? {
                Some(ranked) if ranked.rank.compare(last).is_eq() => drop(self.keeps(&ranked)?),
                Some(_) | None => break,
            }
        }
        self.kept.has_all_ties = true;
        Ok(())
    }

    /// What the walk has found so far.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// See [`MergedHits::ends`].
    pub fn ends(&self) -> &[&'a str] {
        self.hits.ends()
    }

    /// See [`MergedHits::is_cut_off`].
    pub fn is_cut_off(&self) -> bool {
        self.hits.is_cut_off()
    }
}

/// Each once.
fn values_of(values: &FacetValues) -> HashSet<DistinctValue> {
    // Adding 0 makes -0 the same as 0.
    let numbers = values.numbers.iter().map(|number| DistinctValue::Number((number + 0.0).to_bits()));
    numbers.chain(values.texts.iter().map(|text| DistinctValue::Text(text.clone()))).collect()
}
