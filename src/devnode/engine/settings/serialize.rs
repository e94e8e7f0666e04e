//! Settings as the JSON of `GET /settings`.

use serde_json::{Map, Value, json};

use super::{FacetOrder, PrefixSearch, ProximityPrecision, RankingRule, Settings};
use crate::meili::filterable::FilterableRule;

/// All keys in Meilisearch's order, then those that were only kept.
pub(super) fn to_json(settings: &Settings) -> Map<String, Value> {
    let typo = &settings.typo_tolerance;
    let facet_orders: Map<String, Value> = settings
        .faceting
        .sort_values_by
        .iter()
        .map(|(facet, order)| {
            let name = match order {
                FacetOrder::Alpha => "alpha",
                FacetOrder::Count => "count",
            };
            (facet.clone(), name.into())
        })
        .collect();
    let rules: Vec<String> = settings.ranking_rules.iter().map(RankingRule::to_text).collect();
    let filterable: Vec<Value> = settings.filterable_attributes.iter().map(filterable_rule).collect();
    let keys = [
        ("displayedAttributes", wildcard_list(settings.displayed_attributes.as_ref())),
        ("searchableAttributes", wildcard_list(settings.searchable_attributes.as_ref())),
        ("filterableAttributes", filterable.into()),
        ("sortableAttributes", json!(settings.sortable_attributes)),
        ("rankingRules", json!(rules)),
        ("stopWords", json!(settings.stop_words)),
        ("nonSeparatorTokens", json!(settings.non_separator_tokens)),
        ("separatorTokens", json!(settings.separator_tokens)),
        ("dictionary", json!(settings.dictionary)),
        ("synonyms", json!(settings.synonyms)),
        ("distinctAttribute", json!(settings.distinct_attribute)),
        (
            "proximityPrecision",
            match settings.proximity_precision {
                ProximityPrecision::ByWord => "byWord".into(),
                ProximityPrecision::ByAttribute => "byAttribute".into(),
            },
        ),
        (
            "typoTolerance",
            json!({
                "enabled": typo.enabled,
                "minWordSizeForTypos": {"oneTypo": typo.one_typo, "twoTypos": typo.two_typos},
                "disableOnWords": typo.disable_on_words,
                "disableOnAttributes": typo.disable_on_attributes,
                "disableOnNumbers": typo.disable_on_numbers,
            }),
        ),
        (
            "faceting",
            json!({"maxValuesPerFacet": settings.faceting.max_values_per_facet, "sortFacetValuesBy": facet_orders}),
        ),
        ("pagination", json!({"maxTotalHits": settings.max_total_hits})),
        ("embedders", embedders(settings)),
        ("searchCutoffMs", json!(settings.search_cutoff_ms)),
        ("localizedAttributes", json!(settings.localized_attributes)),
        ("facetSearch", settings.facet_search.into()),
        (
            "prefixSearch",
            match settings.prefix_search {
                PrefixSearch::IndexingTime => "indexingTime".into(),
                PrefixSearch::Disabled => "disabled".into(),
            },
        ),
    ];
    let mut object: Map<String, Value> = keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    object.extend(settings.other.clone());
    object
}

fn embedders(settings: &Settings) -> Value {
    settings.embedders.iter().map(|(name, embedder)| (name.clone(), embedder.to_json())).collect::<Map<_, _>>().into()
}

fn wildcard_list(list: Option<&Vec<String>>) -> Value {
    list.map_or_else(|| json!(["*"]), |names| json!(names))
}

fn filterable_rule(rule: &FilterableRule) -> Value {
    match rule {
        FilterableRule::Field(field) => field.as_str().into(),
        FilterableRule::Patterns { patterns, features } => json!({
            "attributePatterns": patterns,
            "features": {
                "facetSearch": features.facet_search,
                "filter": {"equality": features.equality, "comparison": features.comparison},
            },
        }),
    }
}

impl RankingRule {
    /// The rule as the settings write it.
    pub(in super::super) fn to_text(&self) -> String {
        match self {
            Self::Words => "words".to_owned(),
            Self::Typo => "typo".to_owned(),
            Self::Proximity => "proximity".to_owned(),
            Self::Attribute => "attribute".to_owned(),
            Self::AttributeRank => "attributeRank".to_owned(),
            Self::WordPosition => "wordPosition".to_owned(),
            Self::Sort => "sort".to_owned(),
            Self::Exactness => "exactness".to_owned(),
            Self::Asc(field) => format!("{field}:asc"),
            Self::Desc(field) => format!("{field}:desc"),
        }
    }
}
