//! Facets of several answers: counts added up, in the engine's order, cut as the settings say; minimum and maximum.
//!
//! The engine returns the numbers of a facet before its texts. Texts that are equal once normalised are one value, shown
//! as the first answer spells it. In alphabetical order numbers are ordered as texts as long as no more than
//! [`FACET_NUMBERS_AS_TEXTS`] documents match, and by value beyond. A node whose order is not that of the whole returns all
//! its values; of the others only the first ones are read. By count, the most frequent values come first and equal ones in falling order (the engine's order of
//! equal ones follows its tree of values, which nobody else has).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use charabia::normalizer::{CharNormalizer, CompatibilityDecompositionNormalizer};
use serde_json::{Map, Value};

use super::MergeError;
use super::answer::NodeAnswer;
use crate::logic::json::{ObjectWriter, Part, members};
use crate::logic::marker::FIELD;
use crate::meili::hidden_distinct;
use crate::meili::settings::{FACET_NUMBERS_AS_TEXTS, FACET_VALUES_BY_COUNT};

/// Values that are returned for one facet, unless the settings say otherwise.
const VALUES_PER_FACET_DEFAULT: u64 = 100;

/// The user's `faceting` settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FacetLimits {
    /// `maxValuesPerFacet`.
    pub values_max: u64,
    /// Facets that are ordered by count; `*` stands for all others, a facet with `false` is ordered by value.
    by_count: HashMap<String, bool>,
    /// No facet of the user's: nodes tell hits apart by it.
    hidden: Option<String>,
}

impl Default for FacetLimits {
    fn default() -> Self {
        Self { values_max: VALUES_PER_FACET_DEFAULT, by_count: HashMap::new(), hidden: None }
    }
}

impl FacetLimits {
    /// From the user's settings.
    pub fn from_settings(settings: &Map<String, Value>) -> Self {
        let hidden = hidden_distinct::attribute(settings).map(str::to_owned);
        let Some(faceting) = settings.get("faceting") else { return Self { hidden, ..Self::default() } };
        let orders = faceting.get("sortFacetValuesBy").and_then(Value::as_object);
        Self {
            values_max: faceting.get("maxValuesPerFacet").and_then(Value::as_u64).unwrap_or(VALUES_PER_FACET_DEFAULT),
            by_count: orders.into_iter().flatten().map(|(facet, order)| (facet.clone(), order == "count")).collect(),
            hidden,
        }
    }

    fn is_by_count(&self, facet: &str) -> bool {
        let own = self.by_count.get(facet).or_else(|| self.by_count.get("*"));
        own.copied().unwrap_or(false)
    }

    /// Values per facet that a node returns: more than the user wants when counts decide.
    pub fn node_values_max(&self) -> u64 {
        let has_count = self.by_count.values().any(|by_count| *by_count);
        if has_count { self.values_max.max(FACET_VALUES_BY_COUNT) } else { self.values_max }
    }
}

/// One value of a facet.
#[derive(Clone, PartialEq, Debug)]
struct FacetValue<'a> {
    shown: Cow<'a, str>,
    count: u64,
}

/// The values of one facet.
#[derive(Clone, PartialEq, Debug, Default)]
struct Facet<'a> {
    /// By their text, which is how the engine writes a number.
    numbers: BTreeMap<String, FacetValue<'a>>,
    /// By their normalised text.
    texts: BTreeMap<String, FacetValue<'a>>,
    /// The longest list of one answer.
    listed_max: u64,
}

/// All facets of a search.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FacetMerge<'a> {
    facets: BTreeMap<String, Facet<'a>>,
    stats: BTreeMap<String, (f64, f64)>,
    /// Some answer has the member, though perhaps nothing in it.
    has_distribution: bool,
    has_stats: bool,
    orders_by_value: bool,
}

impl<'a> FacetMerge<'a> {
    /// Reads and adds up the facets of all answers.
    pub fn of(answers: &[NodeAnswer<'a>], limits: &FacetLimits) -> Result<Self, MergeError> {
        let matching_documents = answers.iter().map(|answer| answer.total).sum();
        let mut merged = Self { orders_by_value: orders_by_value(matching_documents), ..Self::default() };
        for answer in answers {
            let has_final_order = orders_by_value(answer.total) == merged.orders_by_value;
            // Stats first: they say which facets have numbers at all.
            let stats = answer.facet_stats.map(|stats| read_stats(stats, limits)).transpose()?.unwrap_or_default();
            merged.has_stats |= answer.facet_stats.is_some();
            if let Some(distribution) = answer.facet_distribution {
                merged.has_distribution = true;
                for member in members(distribution) {
                    let member = member?;
                    if member.key != FIELD && limits.hidden.as_deref() != Some(member.key.as_ref()) {
                        let has_numbers = stats.contains_key(member.key.as_ref());
                        let values_max = if limits.is_by_count(&member.key) { u64::MAX } else { limits.values_max };
                        let reading = Reading { has_numbers, has_final_order, values_max };
                        merged.facets.entry(member.key.into_owned()).or_default().add(member.value, reading)?;
                    }
                }
            }
            for (facet, (min, max)) in stats {
                let own = merged.stats.entry(facet).or_insert((min, max));
                *own = (own.0.min(min), own.1.max(max));
            }
        }
        Ok(merged)
    }

    /// Appends `,"facetDistribution":{…},"facetStats":{…}`.
    pub fn write(&self, limits: &FacetLimits, text: &mut String) -> Result<(), MergeError> {
        if self.has_distribution {
            let mut distribution = ObjectWriter::with_capacity(256);
            for (name, facet) in &self.facets {
                let is_by_count = limits.is_by_count(name);
                if is_by_count && facet.listed_max >= limits.node_values_max() {
                    return Err(MergeError::TooManyFacetValues);
                }
                let mut values = ObjectWriter::with_capacity(256);
                let ordered = if is_by_count { facet.by_count() } else { facet.by_value(self.orders_by_value) };
                for value in ordered.into_iter().take(limits.values_max as usize) {
                    values.push(&value.shown, itoa::Buffer::new().format(value.count));
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
        Ok(())
    }
}

/// How one answer's list of values is read.
#[derive(Clone, Copy)]
struct Reading {
    /// The facet has numbers in this answer.
    has_numbers: bool,
    /// Its numbers are ordered as they are in the end.
    has_final_order: bool,
    /// So many of a list in the final order are enough.
    values_max: u64,
}

/// How the engine orders the numbers of so many documents.
fn orders_by_value(matching_documents: u64) -> bool {
    matching_documents > FACET_NUMBERS_AS_TEXTS
}

impl<'a> Facet<'a> {
    /// Adds one answer's values.
    fn add(&mut self, values: Part<'a>, reading: Reading) -> Result<(), MergeError> {
        let mut is_among_numbers = reading.has_numbers;
        let mut wanted = reading.values_max;
        let mut listed = 0;
        for member in values.members()? {
            if wanted == 0 {
                break;
            }
            let member = member?;
            listed += 1;
            let count: u64 = member.value.text.parse().map_err(|_| MergeError::Malformed)?;
            is_among_numbers = is_among_numbers && is_number_text(&member.key);
            let values = if is_among_numbers { &mut self.numbers } else { &mut self.texts };
            let key = if is_among_numbers { member.key.to_string() } else { normalize(&member.key) };
            values.entry(key).or_insert(FacetValue { shown: member.key, count: 0 }).count += count;
            wanted -= u64::from(reading.has_final_order || !is_among_numbers);
        }
        self.listed_max = self.listed_max.max(listed);
        Ok(())
    }

    fn by_value(&self, orders_by_value: bool) -> Vec<&FacetValue<'a>> {
        let mut values: Vec<&FacetValue<'a>> = self.numbers.values().collect();
        if orders_by_value {
            values.sort_by(|left, right| compare_numbers(left, right));
        }
        values.extend(self.texts.values());
        values
    }

    fn by_count(&self) -> Vec<&FacetValue<'a>> {
        let mut values: Vec<&FacetValue<'a>> = self.numbers.values().collect();
        values.sort_by(|left, right| right.count.cmp(&left.count).then_with(|| compare_numbers(right, left)));
        let mut texts: Vec<(&String, &FacetValue<'a>)> = self.texts.iter().collect();
        texts.sort_by(|left, right| right.1.count.cmp(&left.1.count).then_with(|| right.0.cmp(left.0)));
        values.extend(texts.into_iter().map(|(_, value)| value));
        values
    }
}

fn compare_numbers(left: &FacetValue<'_>, right: &FacetValue<'_>) -> Ordering {
    let number = |value: &FacetValue<'_>| value.shown.parse::<f64>().unwrap_or(f64::MAX);
    number(left).total_cmp(&number(right))
}

/// Whether this is how the engine writes a number that is a facet value.
fn is_number_text(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(|number| number.is_finite() && number.to_string() == text)
}

/// As the engine normalises facet values.
pub fn normalize(text: &str) -> String {
    CompatibilityDecompositionNormalizer.normalize_str(text.trim()).to_lowercase()
}

fn read_stats(stats: &str, limits: &FacetLimits) -> Result<BTreeMap<String, (f64, f64)>, MergeError> {
    let mut read = BTreeMap::new();
    for facet in members(stats) {
        let facet = facet?;
        if facet.key == FIELD || limits.hidden.as_deref() == Some(facet.key.as_ref()) {
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
