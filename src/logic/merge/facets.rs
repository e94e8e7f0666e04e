//! Facets of several answers: counts added up, in the engine's order, cut as one server cuts; minimum and maximum.
//!
//! The engine returns the numbers of a facet before its texts. Texts that are equal once normalised are one value, shown
//! as the first answer spells it. By value, numbers are ordered as texts as long as no more than
//! [`FACET_NUMBERS_AS_TEXTS`] documents match, and by value beyond; a node whose order is not that of the whole is read to
//! the end, of the others only the first values. By count, the most frequent values come first; equal ones come in falling
//! order, as they mostly do in the engine (there it follows a tree of values, which nobody else has).
//!
//! Nodes return more values than the user wants to see, but not without end. By count the lists that were cut leave doubts,
//! and bounds: what such a list lacks counts there no more than its last value. So at most some values have to be asked for
//! once more ([`FacetMerge::doubts`]), with a filter that names them; then all is known, unless more values than that lie
//! so near to each other. See [`FacetMerge::is_exact`].

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::MergeError;
use super::answer::NodeAnswer;
use crate::logic::json::{ObjectWriter, members};
use crate::logic::marker::FIELD;
use crate::meili::attribute_pattern::wildcard;
pub use crate::meili::facet_text::stored_key as normalize;
use crate::meili::hidden_distinct;
use crate::meili::settings::{FACET_NUMBERS_AS_TEXTS, node_facet_values_max};

mod facet;
pub(super) mod kind;
pub(super) mod list;

pub(super) use facet::DOUBTS_MAX;
use facet::{Facet, FacetOrder};
use list::{Listing, list_values};

/// Values that are returned for one facet, unless the settings say otherwise.
const VALUES_PER_FACET_DEFAULT: u64 = 100;

/// The user's `faceting` settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FacetLimits {
    /// `maxValuesPerFacet`.
    pub values_max: u64,
    /// The same on the nodes.
    pub node_values_max: u64,
    /// Facets that are ordered by count; `*` stands for all others, a facet with `false` is ordered by value.
    by_count: HashMap<String, bool>,
    /// No facet of the user's: nodes tell hits apart by it.
    hidden: Option<String>,
}

impl Default for FacetLimits {
    fn default() -> Self {
        Self::from_settings(&Map::new())
    }
}

impl FacetLimits {
    /// From the user's settings.
    pub fn from_settings(settings: &Map<String, Value>) -> Self {
        let faceting = settings.get("faceting");
        let field = |name: &str| faceting.and_then(|faceting| faceting.get(name));
        let orders = field("sortFacetValuesBy").and_then(Value::as_object);
        Self {
            values_max: field("maxValuesPerFacet").and_then(Value::as_u64).unwrap_or(VALUES_PER_FACET_DEFAULT),
            node_values_max: node_facet_values_max(settings),
            by_count: orders.into_iter().flatten().map(|(facet, order)| (facet.clone(), order == "count")).collect(),
            hidden: hidden_distinct::attribute(settings).map(str::to_owned),
        }
    }

    /// Whether the values of this facet are ordered by count where it is asked for by its own name.
    pub fn is_by_count(&self, facet: &str) -> bool {
        let own = self.by_count.get(facet).or_else(|| self.by_count.get("*"));
        own.copied().unwrap_or(false)
    }

    /// Whether a facet of a node is one of the user's.
    fn shows(&self, facet: &str) -> bool {
        facet != FIELD && self.hidden.as_deref() != Some(facet)
    }

    /// The same for a facet of an answer. One that is there only because it lies below another one has the order of `*`.
    fn is_listed_by_count(&self, facet: &str, patterns: &[&str]) -> bool {
        let is_named = patterns.iter().any(|pattern| wildcard(pattern, facet).is_yes());
        self.is_by_count(if is_named { facet } else { "*" })
    }
}

/// Some values of one facet of which an answer does not say how often they are there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Doubt {
    /// The facet.
    pub facet: String,
    /// Which of the answers.
    pub answer: usize,
    /// The values, as a filter: `facet IN [...]`. What the node counts with it beside its own is the answer.
    pub filter: String,
}

/// What nodes say to a doubt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clarification {
    /// The facet.
    pub facet: String,
    /// Which of the answers it clarifies.
    pub answer: usize,
    /// The bodies of the nodes that were asked for the shards of that answer; each shard is in one of them.
    pub bodies: Vec<String>,
}

/// All facets of a search.
#[derive(Clone, PartialEq, Debug)]
pub struct FacetMerge<'a> {
    facets: BTreeMap<String, Facet<'a>>,
    stats: BTreeMap<String, (f64, f64)>,
    /// Some answer has the member, though perhaps nothing in it.
    has_distribution: bool,
    has_stats: bool,
}

impl<'a> FacetMerge<'a> {
    /// Reads and adds up the facets of all answers. `patterns` is what the client asked for.
    ///
    /// # Errors
    /// An answer that is none.
    pub fn of(answers: &[NodeAnswer<'a>], limits: &FacetLimits, patterns: &[&str]) -> Result<Self, MergeError> {
        let matching_documents: u64 = answers.iter().map(|answer| answer.total).sum();
        let mut merged = Self {
            facets: BTreeMap::new(),
            stats: BTreeMap::new(),
            has_distribution: answers.iter().any(|answer| answer.facet_distribution.is_some()),
            has_stats: answers.iter().any(|answer| answer.facet_stats.is_some()),
        };
        // Stats first: they say which facets have numbers, in this answer or in any.
        let stats = answers.iter().map(|answer| read_stats(answer, limits)).collect::<Result<Vec<_>, _>>()?;
        for (facet, (min, max)) in stats.iter().flatten() {
            let own = merged.stats.entry(facet.clone()).or_insert((*min, *max));
            *own = (own.0.min(*min), own.1.max(*max));
        }
        for (place, answer) in answers.iter().enumerate() {
            for member in answer.facet_distribution.into_iter().flat_map(members) {
                let member = member?;
                let name = member.key.as_ref();
                if !limits.shows(name) {
                    continue;
                }
                let is_by_count = limits.is_listed_by_count(name, patterns);
                let order = FacetOrder::of(is_by_count, matching_documents);
                let facet =
                    merged.facets.entry(name.to_owned()).or_insert_with(|| Facet::new(order, limits.values_max));
                let listing = Listing {
                    order: FacetOrder::of(is_by_count, answer.total),
                    numbers: stats[place].get(name).copied(),
                    values_max: limits.node_values_max,
                    values_min: limits.values_max,
                    wanted: facet.wanted(merged.stats.contains_key(name)),
                };
                facet.add(place, list_values(member.value, listing)?, listing.order);
            }
        }
        Ok(merged)
    }

    /// What has to be known more exactly for the answer to be right; nothing as a rule.
    pub fn doubts(&self) -> Vec<Doubt> {
        let facets = self.facets.iter();
        facets
            .flat_map(|(name, facet)| {
                facet.doubts().into_iter().map(|(answer, values)| Doubt {
                    facet: name.clone(),
                    answer,
                    filter: filter_of(name, &values),
                })
            })
            .collect()
    }

    /// Takes in what nodes said to [`FacetMerge::doubts`]. A doubt that nobody clarified stays one.
    ///
    /// # Errors
    /// An answer that is none.
    pub fn clarify(&mut self, clarifications: &[Clarification], limits: &FacetLimits) -> Result<(), MergeError> {
        // All doubts as they are now: what is clarified of one answer must not hide what was asked of another.
        let asked: BTreeMap<String, Vec<(usize, Vec<String>)>> =
            self.facets.iter().map(|(name, facet)| (name.clone(), facet.doubts())).collect();
        for clarification in clarifications {
            let Clarification { facet: name, answer: place, bodies } = clarification;
            let Some(facet) = self.facets.get_mut(name) else { continue };
            let Some((_, values)) = asked[name].iter().find(|(answer, _)| answer == place) else { continue };
            let mut lists = Vec::with_capacity(bodies.len());
            for body in bodies {
                let answer = NodeAnswer::read(body)?;
                let listing = Listing {
                    order: facet.order(),
                    numbers: read_stats(&answer, limits)?.get(name).copied(),
                    values_max: limits.node_values_max,
                    values_min: limits.values_max,
                    wanted: u64::MAX,
                };
                for member in answer.facet_distribution.into_iter().flat_map(members) {
                    let member = member?;
                    if member.key == name.as_str() {
                        lists.push(list_values(member.value, listing)?);
                    }
                }
            }
            facet.clarify(*place, values, &lists);
        }
        Ok(())
    }

    /// Whether nodes should be asked for [`FacetMerge::doubts`].
    pub fn has_doubts(&self) -> bool {
        self.facets.values().any(|facet| !facet.doubts().is_empty())
    }

    /// Whether all values and counts are those of one server. If not, too many values are nearly equally frequent.
    pub fn is_exact(&self) -> bool {
        self.facets.values().all(Facet::is_exact)
    }

    /// Appends `,"facetDistribution":{…},"facetStats":{…}`.
    pub fn write(&self, text: &mut String) {
        if self.has_distribution {
            let mut distribution = ObjectWriter::with_capacity(256);
            for (name, facet) in &self.facets {
                let mut values = ObjectWriter::with_capacity(256);
                for (shown, count) in facet.shown() {
                    values.push(shown, itoa::Buffer::new().format(count));
                }
                distribution.push(name, &values.finish());
            }
            text.push_str(",\"facetDistribution\":");
            text.push_str(&distribution.finish());
        }
        if self.has_stats {
            let mut stats = ObjectWriter::with_capacity(64);
            for (name, (min, max)) in &self.stats {
                stats.push(name, &serde_json::json!({"min": min, "max": max}).to_string());
            }
            text.push_str(",\"facetStats\":");
            text.push_str(&stats.finish());
        }
    }
}

/// `"facet" IN ["a", "b"]`.
pub(super) fn filter_of(facet: &str, values: &[String]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    format!("{} IN [{}]", quoted(facet), values.join(","))
}

/// Least and greatest number of each facet that has any.
fn read_stats(answer: &NodeAnswer<'_>, limits: &FacetLimits) -> Result<BTreeMap<String, (f64, f64)>, MergeError> {
    let mut read = BTreeMap::new();
    for facet in answer.facet_stats.into_iter().flat_map(members) {
        let facet = facet?;
        if !limits.shows(&facet.key) {
            continue;
        }
        let mut bounds = (f64::MAX, f64::MIN);
        for bound in facet.value.members()? {
            let bound = bound?;
            let value = bound.value.text.parse().map_err(|_| MergeError::Malformed)?;
            match bound.key.as_ref() {
                "min" => bounds.0 = value,
                "max" => bounds.1 = value,
                _ => {}
            }
        }
        read.insert(facet.key.into_owned(), bounds);
    }
    Ok(read)
}

#[cfg(test)]
mod tests;
