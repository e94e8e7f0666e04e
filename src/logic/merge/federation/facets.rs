//! The facets of a federated answer: index by index, or all together.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{DistinctValue, each_leaf};
use crate::logic::json::{Malformed, members};
use crate::logic::merge::facets::{FacetLimits, normalize};
use crate::meili::attribute_pattern::{is_at_or_below, wildcard};
use crate::meili::multi_search::MergeFacets;

/// Values of a facet with their counts, in order.
type Values = Vec<(String, u64)>;

/// The facets of one index.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct IndexFacets {
    distribution: Vec<(String, Values)>,
    /// Minimum and maximum.
    stats: Vec<(String, (f64, f64))>,
}

/// The facets of all indexes, in the order of their names.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FederatedFacets {
    indexes: Vec<(String, IndexFacets)>,
    /// By facet: the first index that has it, and whether it orders values by count.
    orders: BTreeMap<String, (String, bool)>,
    /// Documents that are not shown for the sake of another index' document, with their index: they do not count.
    rejected: Vec<(String, Map<String, Value>)>,
}

/// Two indexes order the values of a facet differently, so they cannot be merged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderConflict {
    /// Which facet.
    pub facet: String,
    /// The first index that has it.
    pub previous: String,
    /// The one that orders it otherwise.
    pub current: String,
    /// What that one orders by.
    pub is_by_count: bool,
}

impl OrderConflict {
    /// In the words of one server.
    pub fn message(&self) -> String {
        let name = |is_by_count: bool| if is_by_count { "by count" } else { "alphabetically" };
        let Self { facet, previous, current, is_by_count } = self;
        format!(
            "Inconsistent order for values in facet `{facet}`: index `{previous}` orders {}, but index `{current}` orders {}.\n - Hint: Remove `federation.mergeFacets` or change `faceting.sortFacetValuesBy` to be consistent in settings.",
            name(!is_by_count),
            name(*is_by_count)
        )
    }
}

impl IndexFacets {
    /// From the JSON of `facetDistribution` and `facetStats`, which may hold more than was asked for.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(distribution: &str, stats: &str, patterns: &[String]) -> Result<Self, Malformed> {
        let is_asked = |facet: &str| {
            patterns.iter().any(|pattern| wildcard(pattern, facet).is_yes() || is_at_or_below(facet, pattern))
        };
        let mut facets = Self::default();
        for facet in members(distribution) {
            let facet = facet?;
            if !is_asked(&facet.key) {
                continue;
            }
            let mut values = Values::new();
            for value in facet.value.members()? {
                let value = value?;
                values.push((value.key.into_owned(), value.value.text.parse().map_err(|_| Malformed)?));
            }
            facets.distribution.push((facet.key.into_owned(), values));
        }
        for facet in members(stats) {
            let facet = facet?;
            if !is_asked(&facet.key) {
                continue;
            }
            let mut bounds = (f64::INFINITY, f64::NEG_INFINITY);
            for bound in facet.value.members()? {
                let bound = bound?;
                let number = bound.value.text.parse().map_err(|_| Malformed)?;
                if bound.key == "min" {
                    bounds.0 = number;
                } else {
                    bounds.1 = number;
                }
            }
            facets.stats.push((facet.key.into_owned(), bounds));
        }
        Ok(facets)
    }

    /// Takes the values of documents out of the counts; what nothing has any more is not shown.
    fn remove(&mut self, documents: &[&Map<String, Value>]) {
        if documents.is_empty() {
            return;
        }
        for (facet, values) in &mut self.distribution {
            let places = Places::of(values);
            for document in documents {
                each_leaf(document, facet, &mut |value| places.take_one(values, value));
            }
            values.retain(|(_, count)| *count > 0);
        }
    }

    fn to_json(&self) -> (Value, Value) {
        let values = |values: &Values| -> Map<String, Value> {
            values.iter().map(|(value, count)| (value.clone(), (*count).into())).collect()
        };
        let distribution: Map<String, Value> =
            self.distribution.iter().map(|(facet, of)| (facet.clone(), values(of).into())).collect();
        let stats: Map<String, Value> =
            self.stats.iter().map(|(facet, (min, max))| (facet.clone(), json!({"min": min, "max": max}))).collect();
        (distribution.into(), stats.into())
    }
}

/// Where values of a facet stand.
struct Places {
    /// By how they are spelled.
    shown: HashMap<String, usize>,
    /// By how they are normalised, in order.
    normalized: HashMap<String, Vec<usize>>,
}

impl Places {
    fn of(values: &Values) -> Self {
        let mut places = Self { shown: HashMap::new(), normalized: HashMap::new() };
        for (place, (shown, _)) in values.iter().enumerate() {
            places.shown.insert(shown.clone(), place);
            places.normalized.entry(normalize(shown)).or_default().push(place);
        }
        places
    }

    /// Takes one off the count of a value.
    fn take_one(&self, values: &mut Values, value: &Value) {
        let has_any = |place: &&usize| values[**place].1 > 0;
        let place = match DistinctValue::of(value) {
            None => None,
            // A spelling that is not the normalised one goes first: so it does on one server, whichever index had it.
            Some(DistinctValue::Text(text)) => {
                let alike = self.normalized.get(&text).into_iter().flatten().filter(has_any);
                let other = alike.rev().find(|place| values[**place].0 != text);
                other.or_else(|| self.shown.get(&text).filter(has_any)).copied()
            }
            Some(DistinctValue::Number(number)) => self.shown.get(&number.to_string()).filter(has_any).copied(),
        };
        if let Some(place) = place {
            values[place].1 -= 1;
        }
    }
}

impl FederatedFacets {
    /// Checks that an index, of which `patterns` say what was counted, orders values as those before.
    ///
    /// # Errors
    /// [`OrderConflict`].
    pub fn check_order(
        &mut self,
        uid: &str,
        patterns: &[String],
        limits: &FacetLimits,
        facets: &IndexFacets,
    ) -> Result<(), OrderConflict> {
        // Below an attribute that is named there are others, which are counted and not compared.
        let named = |facet: &str| patterns.iter().any(|pattern| wildcard(pattern, facet).is_yes());
        for (facet, _) in facets.distribution.iter().filter(|(facet, _)| named(facet)) {
            let is_by_count = limits.is_by_count(facet);
            let first = self.orders.entry(facet.clone()).or_insert_with(|| (uid.to_owned(), is_by_count));
            if first.1 != is_by_count {
                let (facet, previous) = (facet.clone(), first.0.clone());
                return Err(OrderConflict { facet, previous, current: uid.to_owned(), is_by_count });
            }
        }
        Ok(())
    }

    /// Adds what was counted of an index.
    pub fn add(&mut self, uid: &str, facets: IndexFacets) {
        self.indexes.push((uid.to_owned(), facets));
    }

    /// Whether nothing was to be counted.
    pub fn is_empty(&self) -> bool {
        self.indexes.is_empty()
    }

    /// Takes a document out, which is not shown for the sake of another index' document.
    pub fn reject(&mut self, uid: &str, document: Map<String, Value>) {
        self.rejected.push((uid.to_owned(), document));
    }

    /// Appends `,"facetDistribution":{…},"facetStats":{…}` or `,"facetsByIndex":{…}`, or nothing.
    pub fn write(&self, merge: Option<MergeFacets>, text: &mut String) {
        if self.is_empty() {
            return;
        }
        let Some(merge) = merge else {
            let by_index = self.indexes.iter().map(|(uid, facets)| {
                let mut facets = facets.clone();
                let rejected = self.rejected.iter().filter(|(of, _)| of == uid).map(|(_, document)| document);
                facets.remove(&rejected.collect::<Vec<_>>());
                let (distribution, stats) = facets.to_json();
                (uid.clone(), json!({"distribution": distribution, "stats": stats}))
            });
            let by_index: Map<String, Value> = by_index.collect();
            write!(text, ",\"facetsByIndex\":{}", Value::from(by_index)).expect("strings take all");
            return;
        };
        // Values that are taken out leave their place in the order empty: so does one server.
        let mut merged = self.merged(merge);
        merged.remove(&self.rejected.iter().map(|(_, document)| document).collect::<Vec<_>>());
        let (distribution, stats) = merged.to_json();
        write!(text, ",\"facetDistribution\":{distribution},\"facetStats\":{stats}").expect("strings take all");
    }

    /// Counts added up by value, in order, and cut.
    fn merged(&self, merge: MergeFacets) -> IndexFacets {
        // In the order in which they are first met, which equal counts keep, with the places of the values.
        let mut counts: BTreeMap<&str, (Values, HashMap<&str, usize>)> = BTreeMap::new();
        let mut stats: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for (_, facets) in &self.indexes {
            for (facet, values) in &facets.distribution {
                let (merged, places) = counts.entry(facet).or_default();
                for (value, count) in values {
                    let place = *places.entry(value).or_insert(merged.len());
                    match merged.get_mut(place) {
                        Some((_, known)) => *known += count,
                        None => merged.push((value.clone(), *count)),
                    }
                }
            }
            for (facet, (min, max)) in &facets.stats {
                let bounds = stats.entry(facet).or_insert((*min, *max));
                *bounds = (bounds.0.min(*min), bounds.1.max(*max));
            }
        }
        let ordered = counts.into_iter().map(|(facet, (mut values, _))| {
            if self.orders.get(facet).is_some_and(|(_, is_by_count)| *is_by_count) {
                values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            } else {
                values.sort();
            }
            values.truncate(merge.max_values_per_facet.map_or(usize::MAX, |most| most as usize));
            (facet.to_owned(), values)
        });
        let stats = stats.into_iter().map(|(facet, bounds)| (facet.to_owned(), bounds)).collect();
        IndexFacets { distribution: ordered.collect(), stats }
    }
}
