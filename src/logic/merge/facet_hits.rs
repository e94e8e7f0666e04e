//! Facet search over several answers: counts added up, in the engine's order, cut as one server cuts.
//!
//! Which values a query finds is decided value by value, so nodes decide as the whole would. In alphabetical order the first
//! ones of each node are enough; they are merged, since nodes know better than anybody where a value belongs. By count the
//! same holds as for facets of a search (see [`super::facets`]): what a cut list lacks has a bound, and may be asked for once
//! more. The engine collects the most frequent values in a heap, which lets later ones of equal count push out earlier ones;
//! so does this.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use serde::Deserialize;

use super::MergeError;
use super::facets::FacetLimits;
use super::facets::kind::{Keyed, Kind};
use super::facets::list::{KindList, Listed, normalized};
use super::facets::{DOUBTS_MAX, filter_of};
use crate::meili::facet_text::searched_key;

/// What a node answers.
#[derive(Deserialize)]
struct NodeHits<'a> {
    #[serde(borrow, rename = "facetHits")]
    hits: Vec<NodeHit<'a>>,
}

#[derive(Deserialize)]
struct NodeHit<'a> {
    #[serde(borrow)]
    value: Cow<'a, str>,
    count: u64,
}

/// How the values are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FacetHitsOrder {
    /// The most frequent ones first.
    pub is_by_count: bool,
    /// They were searched for something, which decides about their alphabetical order.
    pub has_query: bool,
    /// Values at most.
    pub values_max: usize,
    /// The same on the nodes.
    pub node_values_max: usize,
}

impl FacetHitsOrder {
    /// For a facet under the user's settings.
    pub fn of(limits: &FacetLimits, facet: &str, has_query: bool) -> Self {
        let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            is_by_count: limits.is_by_count(facet),
            has_query,
            values_max: size(limits.values_max),
            node_values_max: size(limits.node_values_max),
        }
    }
}

/// The values found on all nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FacetHits<'a> {
    order: FacetHitsOrder,
    values: Kind<'a>,
    /// The keys of each answer in its order.
    lists: Vec<Vec<Cow<'a, str>>>,
}

impl<'a> FacetHits<'a> {
    /// Reads and adds up the values of all answers.
    ///
    /// # Errors
    /// An answer that is none.
    pub fn of(bodies: &[&'a str], order: FacetHitsOrder) -> Result<Self, MergeError> {
        let mut merged = Self { order, values: Kind::default(), lists: Vec::with_capacity(bodies.len()) };
        for (answer, body) in bodies.iter().enumerate() {
            let list = read(body, order)?;
            if !order.is_by_count {
                merged.lists.push(list.values.iter().map(|value| value.key.clone()).collect());
            }
            merged.values.add(answer, list);
        }
        Ok(merged)
    }

    /// Values that have to be known more exactly, for each answer: as a filter on this facet.
    pub fn doubts(&self, facet: &str) -> Vec<(usize, String)> {
        let doubts = self.doubtful().into_iter();
        doubts.map(|(answer, keys)| (answer, filter_of(facet, &keys))).collect()
    }

    fn doubtful(&self) -> Vec<(usize, Vec<String>)> {
        if !self.order.is_by_count {
            return Vec::new();
        }
        let wanted = self.order.values_max;
        let mut keys = self.values.doubtful(&self.values.first(wanted, by_count), wanted);
        keys.truncate(DOUBTS_MAX);
        let unknown = self.values.unknown(&keys).filter(|(_, keys)| !keys.is_empty());
        unknown.map(|(answer, keys)| (answer, keys.into_iter().map(str::to_owned).collect())).collect()
    }

    /// Takes in what nodes said to [`FacetHits::doubts`]: for each answer the bodies of those that were asked for its shards.
    ///
    /// # Errors
    /// An answer that is none.
    pub fn clarify(&mut self, clarifications: &[(usize, Vec<String>)]) -> Result<(), MergeError> {
        let asked: HashMap<usize, Vec<String>> = self.doubtful().into_iter().collect();
        for (answer, bodies) in clarifications {
            let Some(keys) = asked.get(answer) else { continue };
            let lists = bodies.iter().map(|body| read(body, self.order)).collect::<Result<Vec<_>, _>>()?;
            self.values.clarify(*answer, keys, &lists.iter().collect::<Vec<_>>());
        }
        Ok(())
    }

    /// Whether all values and counts are those of one server.
    pub fn is_exact(&self) -> bool {
        let wanted = self.order.values_max;
        !self.order.is_by_count
            || !self.values.is_cut()
            || self.values.is_certain(&self.values.first(wanted, by_count), wanted)
    }

    /// What is shown: values with their counts.
    pub fn shown(&self) -> Vec<(&str, u64)> {
        if self.order.is_by_count { self.most_frequent() } else { self.in_order_of_lists() }
    }

    /// What the engine compares to order values.
    fn place_of(&self, key: &str) -> (String, String) {
        (if self.order.has_query { searched_key(key) } else { String::new() }, key.to_owned())
    }

    fn in_order_of_lists(&self) -> Vec<(&str, u64)> {
        let mut rests: Vec<&[Cow<'a, str>]> = self.lists.iter().map(Vec::as_slice).collect();
        let place = |rest: &[Cow<'a, str>]| rest.first().map(|key| self.place_of(key));
        let mut heads: Vec<Option<(String, String)>> = rests.iter().map(|rest| place(rest)).collect();
        let mut seen: HashSet<&str> = HashSet::new();
        let mut shown = Vec::new();
        while shown.len() < self.order.values_max {
            let present = heads.iter().enumerate().filter_map(|(list, head)| Some((head.as_ref()?, list)));
            let Some((_, list)) = present.min() else { break };
            let (key, rest) = rests[list].split_first().expect("it has a head");
            if seen.insert(key)
                && let Some(value) = self.values.get(key)
            {
                shown.push((value.shown.as_ref(), value.count));
            }
            rests[list] = rest;
            heads[list] = place(rest);
        }
        shown
    }

    fn most_frequent(&self) -> Vec<(&str, u64)> {
        let max = self.order.values_max;
        // What is less frequent than the last that may be shown never pushes anything out.
        let least = self.values.first(max, by_count).last().map_or(0, |(_, value)| value.count);
        let frequent = self.values.iter().filter(|(_, value)| value.count >= least);
        let mut values: Vec<_> = frequent.map(|(key, value)| (self.place_of(key), value)).collect();
        values.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        let mut heap: BinaryHeap<Reverse<(u64, &str)>> = BinaryHeap::with_capacity(max.min(values.len()));
        for (_, value) in values {
            let value = Reverse((value.count, value.shown.as_ref()));
            if heap.len() < max {
                heap.push(value);
            } else if let Some(mut last) = heap.peek_mut()
                && last.0.0 <= value.0.0
            {
                *last = value;
            }
        }
        heap.into_sorted_vec().into_iter().map(|Reverse((count, shown))| (shown, count)).collect()
    }
}

fn by_count(left: &Keyed<'_, '_>, right: &Keyed<'_, '_>) -> std::cmp::Ordering {
    right.1.count.cmp(&left.1.count).then_with(|| left.0.cmp(right.0))
}

fn read(body: &str, order: FacetHitsOrder) -> Result<KindList<'_>, MergeError> {
    let NodeHits { hits } = serde_json::from_str(body).map_err(|_| MergeError::Malformed)?;
    let mut list = KindList { values: hits.into_iter().map(listed).collect(), is_cut: false };
    let is_as_told = !order.is_by_count || list.is_falling();
    list.is_cut = list.values.len() >= if is_as_told { order.node_values_max } else { order.values_max };
    Ok(list)
}

fn listed(NodeHit { value, count }: NodeHit<'_>) -> Listed<'_> {
    Listed { key: normalized(&value), shown: value, count }
}
