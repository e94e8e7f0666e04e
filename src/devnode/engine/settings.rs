//! The settings of one index, with Meilisearch's defaults.
//!
//! Values that the engine does not act on (localized attributes, foreign keys, chat) are kept as they are.

mod embedders;
mod parse;
mod serialize;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub use self::embedders::Embedder;
use crate::meili::attribute_pattern::{Match, is_at_or_below, plain};
use crate::meili::error::ApiError;
use crate::meili::filterable::{FilterFeatures, FilterableRule, deciding_rule, names_that};

/// Parsed settings. [`Settings::default`] is what a fresh index has.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Attributes shown in hits; `None` is `["*"]`.
    pub displayed_attributes: Option<Vec<String>>,
    /// Attributes searched, the most important first; `None` is `["*"]`.
    pub searchable_attributes: Option<Vec<String>>,
    /// Rules for filters and facets; the first that matches an attribute decides.
    pub filterable_attributes: Vec<FilterableRule>,
    /// Attributes that `sort` may name.
    pub sortable_attributes: BTreeSet<String>,
    /// Ranking rules, most significant first.
    pub ranking_rules: Vec<RankingRule>,
    /// Words that are not searched.
    pub stop_words: BTreeSet<String>,
    /// Strings that are no separators although they are by default.
    pub non_separator_tokens: BTreeSet<String>,
    /// Strings that separate words in addition.
    pub separator_tokens: BTreeSet<String>,
    /// Strings that are words.
    pub dictionary: BTreeSet<String>,
    /// Words by what they also find.
    pub synonyms: BTreeMap<String, Vec<String>>,
    /// The attribute of which each value is shown once.
    pub distinct_attribute: Option<String>,
    /// How proximity is measured.
    pub proximity_precision: ProximityPrecision,
    /// When typos are forgiven.
    pub typo_tolerance: TypoTolerance,
    /// Facet values: how many, in which order.
    pub faceting: Faceting,
    /// The most hits that any search can page through.
    pub max_total_hits: usize,
    /// Embedders by name.
    pub embedders: BTreeMap<String, Embedder>,
    /// Time limit of a search in milliseconds, kept but not enforced.
    pub search_cutoff_ms: Option<u64>,
    /// Locales per attribute, opaque: without dictionaries they change nothing here.
    pub localized_attributes: Option<Value>,
    /// Whether facet search is on.
    pub facet_search: bool,
    /// Whether the last word of a query finds longer words.
    pub prefix_search: PrefixSearch,
    /// Keys that are accepted and returned only when they were set.
    pub other: Map<String, Value>,
}

/// One ranking rule of the settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RankingRule {
    /// More of the query's words first.
    Words,
    /// Fewer typos first.
    Typo,
    /// Words closer together first.
    Proximity,
    /// `attributeRank` and `wordPosition` together.
    Attribute,
    /// More important attributes first.
    AttributeRank,
    /// Words nearer to their place in the query first.
    WordPosition,
    /// What the request's `sort` asks for.
    Sort,
    /// Exact words first.
    Exactness,
    /// Smaller values of an attribute first.
    Asc(String),
    /// Larger values of an attribute first.
    Desc(String),
}

/// How proximity is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProximityPrecision {
    /// In words.
    #[default]
    ByWord,
    /// Same attribute or not.
    ByAttribute,
}

/// Whether the last word of a query finds longer words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PrefixSearch {
    /// Yes.
    #[default]
    IndexingTime,
    /// No.
    Disabled,
}

/// When typos are forgiven.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypoTolerance {
    /// At all.
    pub enabled: bool,
    /// Letters from which one typo is forgiven.
    pub one_typo: u8,
    /// Letters from which two typos are forgiven.
    pub two_typos: u8,
    /// Words that must be written right.
    pub disable_on_words: BTreeSet<String>,
    /// Attributes whose words must be written right.
    pub disable_on_attributes: BTreeSet<String>,
    /// Whether numbers must be written right.
    pub disable_on_numbers: bool,
}

/// Facet values: how many, in which order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Faceting {
    /// Values per facet at most.
    pub max_values_per_facet: usize,
    /// Order by facet; `*` is the default.
    pub sort_values_by: BTreeMap<String, FacetOrder>,
}

/// Order of facet values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FacetOrder {
    /// By value.
    #[default]
    Alpha,
    /// By falling count.
    Count,
}

impl Faceting {
    /// The order for one facet.
    pub fn order_of(&self, facet: &str) -> FacetOrder {
        self.sort_values_by.get(facet).or_else(|| self.sort_values_by.get("*")).copied().unwrap_or_default()
    }
}

impl Default for TypoTolerance {
    fn default() -> Self {
        Self {
            enabled: true,
            one_typo: 5,
            two_typos: 9,
            disable_on_words: BTreeSet::new(),
            disable_on_attributes: BTreeSet::new(),
            disable_on_numbers: false,
        }
    }
}

impl Default for Faceting {
    fn default() -> Self {
        Self { max_values_per_facet: 100, sort_values_by: BTreeMap::from([("*".to_owned(), FacetOrder::Alpha)]) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            displayed_attributes: None,
            searchable_attributes: None,
            filterable_attributes: Vec::new(),
            sortable_attributes: BTreeSet::new(),
            ranking_rules: RankingRule::defaults(),
            stop_words: BTreeSet::new(),
            non_separator_tokens: BTreeSet::new(),
            separator_tokens: BTreeSet::new(),
            dictionary: BTreeSet::new(),
            synonyms: BTreeMap::new(),
            distinct_attribute: None,
            proximity_precision: ProximityPrecision::default(),
            typo_tolerance: TypoTolerance::default(),
            faceting: Faceting::default(),
            max_total_hits: 1000,
            embedders: BTreeMap::new(),
            search_cutoff_ms: None,
            localized_attributes: None,
            facet_search: true,
            prefix_search: PrefixSearch::default(),
            other: Map::new(),
        }
    }
}

impl RankingRule {
    /// The rules of a fresh index.
    pub fn defaults() -> Vec<Self> {
        vec![
            Self::Words,
            Self::Typo,
            Self::Proximity,
            Self::AttributeRank,
            Self::Sort,
            Self::WordPosition,
            Self::Exactness,
        ]
    }
}

impl Settings {
    /// The settings after `patch` (the body of `PATCH /settings`): a missing key keeps its value, `null` resets it;
    /// `typoTolerance`, `faceting`, `pagination` and `embedders` are patched key by key.
    ///
    /// # Errors
    /// `invalid_settings_...` for the first key with a wrong shape, `bad_request` for an unknown key.
    pub fn patched(&self, patch: &Map<String, Value>) -> Result<Self, ApiError> {
        parse::patched(self, patch)
    }

    /// Checks what a patch may leave out and the whole may not.
    ///
    /// # Errors
    /// `miroir_not_supported` for an embedder of which nobody said whose vectors it has.
    pub(super) fn check_whole(&self) -> Result<(), ApiError> {
        if self.embedders.values().all(|embedder| embedder.is_whole) { Ok(()) } else { Err(embedders::other_source()) }
    }

    /// Settings from an object, other keys at their defaults.
    ///
    /// # Errors
    /// As [`Settings::patched`].
    pub fn from_json(value: &Map<String, Value>) -> Result<Self, ApiError> {
        Self::default().patched(value)
    }

    /// The answer of `GET /settings`, keys in Meilisearch's order.
    pub fn to_json(&self) -> Map<String, Value> {
        serialize::to_json(self)
    }

    /// The first rule of `filterableAttributes` that covers a name, with its place in the list.
    pub(super) fn filterable_rule(&self, name: &str) -> Option<(usize, FilterFeatures)> {
        deciding_rule(&self.filterable_attributes, name)
    }

    /// Names and patterns of all rules that allow filters, sorted, each once.
    pub(super) fn filterable_names(&self) -> BTreeSet<&str> {
        names_that(&self.filterable_attributes, FilterFeatures::is_filterable)
    }

    /// How `searchableAttributes` relate to a name, with the place of the entry that covers it (0 when all are
    /// searched: then the order of attributes does not matter).
    pub(super) fn searchable(&self, name: &str) -> (Match, u16) {
        let Some(attributes) = &self.searchable_attributes else { return (Match::Yes, 0) };
        let mut best = Match::No;
        for (place, attribute) in attributes.iter().enumerate() {
            let matched = plain(attribute, name);
            if matched.is_yes() {
                return (matched, place as u16);
            }
            best = best.or(matched);
        }
        (best, 0)
    }

    /// Whether words of this attribute must be written right.
    pub(super) fn is_exact_attribute(&self, name: &str) -> bool {
        self.typo_tolerance.disable_on_attributes.iter().any(|attribute| is_at_or_below(name, attribute))
    }

    /// How the attributes that need facet values (filterable, sortable, asc/desc rules, distinct) relate to a name.
    pub(super) fn faceted(&self, name: &str) -> Match {
        let mut best = Match::No;
        for rule in &self.filterable_attributes {
            let matched = rule.matches(name);
            // The first rule that covers a name decides whether its values are kept.
            if matched.is_yes() {
                best = best.or(if rule.features().is_filterable() { Match::Yes } else { Match::Parent });
                break;
            }
            best = best.or(matched);
        }
        let ranked = self.ranking_rules.iter().filter_map(|rule| match rule {
            RankingRule::Asc(field) | RankingRule::Desc(field) => Some(field),
            RankingRule::Words
            | RankingRule::Typo
            | RankingRule::Proximity
            | RankingRule::Attribute
            | RankingRule::AttributeRank
            | RankingRule::WordPosition
            | RankingRule::Sort
            | RankingRule::Exactness => None,
        });
        self.sortable_attributes
            .iter()
            .chain(ranked)
            .chain(&self.distinct_attribute)
            .fold(best, |best, setting| best.or(plain(setting, name)))
    }

    /// Whether positions of documents are read: `_geo` may be filtered or sorted by.
    pub(super) fn is_geo_enabled(&self) -> bool {
        self.is_geo_filterable() || self.sortable_attributes.contains("_geo")
    }

    /// Whether `_geoRadius` and `_geoBoundingBox` are allowed.
    pub(super) fn is_geo_filterable(&self) -> bool {
        self.filterable_attributes.iter().any(|rule| matches!(rule, FilterableRule::Field(field) if field == "_geo"))
    }

    /// Whether documents must be read again after a change from `old`: something about words or facet values differs.
    pub(super) fn needs_rebuild(&self, old: &Self) -> bool {
        self.searchable_attributes != old.searchable_attributes
            || self.filterable_attributes != old.filterable_attributes
            || self.sortable_attributes != old.sortable_attributes
            || self.ranking_rules != old.ranking_rules
            || self.stop_words != old.stop_words
            || self.non_separator_tokens != old.non_separator_tokens
            || self.separator_tokens != old.separator_tokens
            || self.dictionary != old.dictionary
            || self.distinct_attribute != old.distinct_attribute
            || self.typo_tolerance.disable_on_attributes != old.typo_tolerance.disable_on_attributes
            || self.typo_tolerance.disable_on_numbers != old.typo_tolerance.disable_on_numbers
    }
}
