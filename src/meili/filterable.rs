//! `filterableAttributes`: which rule decides about an attribute, what it allows, and what is said where it does not.
//!
//! The first rule that covers a name decides. Facets and facet search are checked here for clients of Miroir, too: a node's
//! rules begin with the one for the marker, so what a node says about rules is not what one server would say.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::attribute_pattern::{Match, plain, wildcard};
use super::error::{ApiError, Code};
use super::search::Displayed;

/// One entry of `filterableAttributes`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FilterableRule {
    /// A plain name: covers nested fields, allows everything.
    Field(String),
    /// Patterns with their features.
    Patterns {
        /// Names with `*` at the ends.
        patterns: Vec<String>,
        /// What is allowed.
        features: FilterFeatures,
    },
}

/// What a rule of `filterableAttributes` allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FilterFeatures {
    /// Facet search.
    pub facet_search: bool,
    /// `=`, `!=`, `IN`.
    pub equality: bool,
    /// `<`, `<=`, `>`, `>=`, `TO`.
    pub comparison: bool,
}

impl Default for FilterFeatures {
    /// Of patterns that name no features.
    fn default() -> Self {
        Self { facet_search: false, equality: true, comparison: false }
    }
}

impl FilterFeatures {
    /// Whether filters and facets may name the attribute at all.
    pub fn is_filterable(self) -> bool {
        self.equality || self.comparison
    }
}

impl FilterableRule {
    /// How the rule relates to the name of an attribute.
    pub fn matches(&self, name: &str) -> Match {
        match self {
            Self::Field(field) => plain(field, name),
            Self::Patterns { patterns, .. } => {
                patterns.iter().fold(Match::No, |best, pattern| best.or(wildcard(pattern, name)))
            }
        }
    }

    /// What the rule allows.
    pub fn features(&self) -> FilterFeatures {
        match self {
            Self::Field(_) => FilterFeatures { facet_search: true, equality: true, comparison: true },
            Self::Patterns { features, .. } => *features,
        }
    }

    /// The names and patterns of the rule, for messages.
    fn names(&self) -> &[String] {
        match self {
            Self::Field(field) => std::slice::from_ref(field),
            Self::Patterns { patterns, .. } => patterns,
        }
    }

    /// Whether some name could be covered by both the rule and the pattern of a facet.
    fn meets(&self, wanted: &str) -> bool {
        match self {
            // `*` covers no plain name here: so does Meilisearch 1.50.0.
            Self::Field(field) => plain(wanted, field) != Match::No,
            Self::Patterns { patterns, .. } => {
                patterns.iter().any(|own| wildcard(wanted, own) != Match::No || wildcard(own, wanted) != Match::No)
            }
        }
    }
}

/// The user's rules, from the user's settings.
pub fn rules_of_settings(settings: &Map<String, Value>) -> Vec<FilterableRule> {
    let rules = settings.get("filterableAttributes").and_then(Value::as_array);
    rules.into_iter().flatten().map(rule_of_value).collect()
}

/// Rules are kept with all their features.
fn rule_of_value(rule: &Value) -> FilterableRule {
    if let Some(field) = rule.as_str() {
        return FilterableRule::Field(field.to_owned());
    }
    let patterns = rule["attributePatterns"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let (features, default) = (&rule["features"], FilterFeatures::default());
    FilterableRule::Patterns {
        patterns: patterns.map(str::to_owned).collect(),
        features: FilterFeatures {
            facet_search: features["facetSearch"].as_bool().unwrap_or(default.facet_search),
            equality: features["filter"]["equality"].as_bool().unwrap_or(default.equality),
            comparison: features["filter"]["comparison"].as_bool().unwrap_or(default.comparison),
        },
    }
}

/// The first rule that covers a name, with its place in the list.
pub fn deciding_rule(rules: &[FilterableRule], name: &str) -> Option<(usize, FilterFeatures)> {
    let deciding = rules.iter().enumerate().find(|(_, rule)| rule.matches(name).is_yes());
    deciding.map(|(place, rule)| (place, rule.features()))
}

/// Names and patterns of all rules that allow something, sorted, each once.
pub fn names_that(rules: &[FilterableRule], allow: impl Fn(FilterFeatures) -> bool) -> BTreeSet<&str> {
    let allowing = rules.iter().filter(|rule| allow(rule.features()));
    allowing.flat_map(|rule| rule.names().iter().map(String::as_str)).collect()
}

/// Whether these patterns of facets may be counted.
///
/// # Errors
/// `invalid_search_facets`.
pub fn check_facets<'a>(rules: &[FilterableRule], patterns: impl IntoIterator<Item = &'a str>) -> Result<(), ApiError> {
    patterns.into_iter().try_for_each(|pattern| check_facet(rules, pattern))
}

fn check_facet(rules: &[FilterableRule], wanted: &str) -> Result<(), ApiError> {
    let refused =
        |reason: String| Err(ApiError::new(Code::InvalidSearchFacets, format!("Invalid facet distribution: {reason}")));
    for (place, rule) in rules.iter().enumerate() {
        if rule.features().is_filterable() {
            if rule.meets(wanted) {
                return Ok(());
            }
        } else if rule.matches(wanted).is_yes() {
            return refused(format!(
                "Attribute `{wanted}` matched rule #{place} in filterableAttributes, but this rule does not enable \
                 filtering.\nHint: enable filtering in rule #{place} by modifying the features.filter object\nHint: \
                 prepend another rule matching `{wanted}` with appropriate filter features before rule #{place}"
            ));
        }
    }
    let names: Vec<&str> = names_that(rules, FilterFeatures::is_filterable).into_iter().collect();
    let available = match names.len() {
        0 => "This index does not have configured filterable attributes.".to_owned(),
        _ => format!("Available filterable attributes patterns are: `{}`.", names.join(", ")),
    };
    refused(format!("Pattern `{wanted}` is not filterable. {available}"))
}

/// Whether the values of this facet may be searched. Attributes that are not displayed are not named.
///
/// # Errors
/// `invalid_facet_search_facet_name`.
pub fn check_facet_search(rules: &[FilterableRule], displayed: &Displayed, facet: &str) -> Result<(), ApiError> {
    let deciding = deciding_rule(rules, facet);
    if deciding.is_some_and(|(_, features)| features.facet_search) {
        return Ok(());
    }
    let reason = if let Some((place, _)) = deciding {
        format!(
            "Note: this attribute matches rule #{place} in filterableAttributes, but this rule does not enable \
             facetSearch.\nHint: enable facetSearch in rule #{place} by adding `\"facetSearch\": true` to the rule.\n\
             Hint: prepend another rule matching {facet} with facetSearch: true before rule #{place}"
        )
    } else {
        let all = names_that(rules, |features| features.facet_search);
        let shown: Vec<&str> = all.iter().copied().filter(|name| displayed.lists(name)).collect();
        let hidden = if shown.len() < all.len() { ", <..hidden-attributes>" } else { "" };
        let available = match shown.len() {
            0 => "This index does not have configured facet-searchable attributes.".to_owned(),
            _ => format!("Available facet-searchable attributes patterns are: `{}{hidden}`.", shown.join(", ")),
        };
        format!("{available} To make it facet-searchable add it to the `filterableAttributes` index settings.")
    };
    let message = format!("Attribute `{facet}` is not facet-searchable. {reason}");
    Err(ApiError::new(Code::InvalidFacetSearchFacetName, message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules() -> Vec<FilterableRule> {
        let settings = json!({"filterableAttributes": [
            {"attributePatterns": ["secret*"], "features": {"facetSearch": false, "filter": {"equality": false, "comparison": false}}},
            "dog",
            {"attributePatterns": ["*_tag"], "features": {"facetSearch": true, "filter": {"equality": true, "comparison": false}}},
        ]});
        rules_of_settings(settings.as_object().expect("an object"))
    }

    #[test]
    fn the_first_rule_that_covers_a_name_decides() {
        let rules = rules();
        assert_eq!(deciding_rule(&rules, "dog.age").map(|(place, _)| place), Some(1));
        assert_eq!(deciding_rule(&rules, "secret_tag").map(|(place, _)| place), Some(0));
        assert_eq!(deciding_rule(&rules, "cat"), None);
        assert_eq!(Vec::from_iter(names_that(&rules, FilterFeatures::is_filterable)), ["*_tag", "dog"]);
    }

    #[test]
    fn facets_are_allowed_where_a_rule_for_filters_may_cover_them() {
        for (pattern, message) in [
            ("dog", None),
            ("dog.age", None),
            ("red_tag", None),
            ("*", None),
            (
                "cat",
                Some(
                    "Invalid facet distribution: Pattern `cat` is not filterable. Available filterable attributes patterns are: `*_tag, dog`.",
                ),
            ),
            (
                "secret",
                Some(
                    "Invalid facet distribution: Attribute `secret` matched rule #0 in filterableAttributes, but this rule does not enable filtering.\nHint: enable filtering in rule #0 by modifying the features.filter object\nHint: prepend another rule matching `secret` with appropriate filter features before rule #0",
                ),
            ),
        ] {
            let found = check_facets(&rules(), [pattern]).err().map(|error| error.message);
            assert_eq!(found.as_deref(), message, "{pattern}");
        }
        let plain = [FilterableRule::Field("dog".to_owned())];
        assert!(check_facets(&plain, ["*"]).is_err(), "patterns cover no plain names");
    }

    #[test]
    fn facet_search_names_what_may_be_searched_and_seen() {
        let displayed = Displayed::Only(vec!["dog".to_owned()]);
        let message = |displayed: &Displayed, facet: &str| {
            check_facet_search(&rules(), displayed, facet).err().map(|error| error.message)
        };
        assert_eq!(message(&displayed, "dog.age"), None);
        assert_eq!(
            message(&displayed, "cat").as_deref(),
            Some(
                "Attribute `cat` is not facet-searchable. Available facet-searchable attributes patterns are: `dog, <..hidden-attributes>`. To make it facet-searchable add it to the `filterableAttributes` index settings."
            )
        );
        assert!(message(&Displayed::All, "secret").is_some_and(|message| message.contains("matches rule #0")));
    }
}
