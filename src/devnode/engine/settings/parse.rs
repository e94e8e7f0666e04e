//! Settings from JSON, key by key. Meilisearch's codes; the messages say the same in the same sense.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{FacetOrder, Faceting, PrefixSearch, ProximityPrecision, RankingRule, Settings, TypoTolerance, embedders};
use crate::meili::bad_value;
use crate::meili::error::{ApiError, Code};
use crate::meili::filterable::{FilterFeatures, FilterableRule};

/// A value together with where it stands, for messages.
#[derive(Clone, Copy)]
pub(super) struct Located<'a> {
    pub(super) value: &'a Value,
    pub(super) path: &'a str,
    pub(super) code: Code,
}

impl Located<'_> {
    pub(super) fn wrong(self, expected: &str) -> ApiError {
        bad_value::wrong_type(self.code, &format!(".{}", self.path), expected, self.value)
    }

    pub(super) fn text(self) -> Result<String, ApiError> {
        self.value.as_str().map(str::to_owned).ok_or_else(|| self.wrong("a string"))
    }

    pub(super) fn flag(self) -> Result<bool, ApiError> {
        self.value.as_bool().ok_or_else(|| self.wrong("a boolean"))
    }

    pub(super) fn count(self) -> Result<u64, ApiError> {
        self.value.as_u64().ok_or_else(|| self.wrong("a positive integer"))
    }

    fn texts(self) -> Result<Vec<String>, ApiError> {
        let list = self.value.as_array().ok_or_else(|| self.wrong("an array"))?;
        list.iter()
            .enumerate()
            .map(|(place, value)| {
                let path = format!("{}[{place}]", self.path);
                Located { value, path: &path, code: self.code }.text()
            })
            .collect()
    }

    fn set(self) -> Result<BTreeSet<String>, ApiError> {
        Ok(self.texts()?.into_iter().collect())
    }

    fn object(self) -> Result<&'static str, ApiError> {
        if self.value.is_object() { Ok("") } else { Err(self.wrong("an object")) }
    }

    /// Runs `read` on each key of an object.
    pub(super) fn each(self, mut read: impl FnMut(&str, Located<'_>) -> Result<(), ApiError>) -> Result<(), ApiError> {
        self.object()?;
        for (key, value) in self.value.as_object().into_iter().flatten() {
            let path = format!("{}.{key}", self.path);
            read(key, Located { value, path: &path, code: self.code })?;
        }
        Ok(())
    }

    pub(super) fn unknown_field(self, key: &str, known: &[&str]) -> ApiError {
        bad_value::unknown_field(self.code, &format!(".{}", self.path), key, known)
    }
}

/// See [`Settings::patched`].
pub(super) fn patched(old: &Settings, patch: &Map<String, Value>) -> Result<Settings, ApiError> {
    let mut settings = old.clone();
    for (key, value) in patch {
        patch_key(&mut settings, key, value)?;
    }
    Ok(settings)
}

fn code_of(key: &str) -> Option<Code> {
    Some(match key {
        "displayedAttributes" => Code::InvalidSettingsDisplayedAttributes,
        "searchableAttributes" => Code::InvalidSettingsSearchableAttributes,
        "filterableAttributes" => Code::InvalidSettingsFilterableAttributes,
        "sortableAttributes" => Code::InvalidSettingsSortableAttributes,
        "rankingRules" => Code::InvalidSettingsRankingRules,
        "stopWords" => Code::InvalidSettingsStopWords,
        "nonSeparatorTokens" => Code::InvalidSettingsNonSeparatorTokens,
        "separatorTokens" => Code::InvalidSettingsSeparatorTokens,
        "dictionary" => Code::InvalidSettingsDictionary,
        "synonyms" => Code::InvalidSettingsSynonyms,
        "distinctAttribute" => Code::InvalidSettingsDistinctAttribute,
        "proximityPrecision" => Code::InvalidSettingsProximityPrecision,
        "typoTolerance" => Code::InvalidSettingsTypoTolerance,
        "faceting" => Code::InvalidSettingsFaceting,
        "pagination" => Code::InvalidSettingsPagination,
        "embedders" => Code::InvalidSettingsEmbedders,
        "searchCutoffMs" => Code::InvalidSettingsSearchCutoffMs,
        "localizedAttributes" => Code::InvalidSettingsLocalizedAttributes,
        "facetSearch" => Code::InvalidSettingsFacetSearch,
        "prefixSearch" => Code::InvalidSettingsPrefixSearch,
        "chat" | "foreignKeys" | "vectorStore" => Code::BadRequest,
        _ => return None,
    })
}

fn patch_key(settings: &mut Settings, key: &str, value: &Value) -> Result<(), ApiError> {
    let Some(code) = code_of(key) else {
        return Err(ApiError::new(Code::BadRequest, format!("Unknown field `{key}`")));
    };
    let at = Located { value, path: key, code };
    if value.is_null() {
        reset(settings, key);
        return Ok(());
    }
    match key {
        "displayedAttributes" => settings.displayed_attributes = all_or_list(at.texts()?),
        "searchableAttributes" => settings.searchable_attributes = all_or_list(at.texts()?),
        "filterableAttributes" => settings.filterable_attributes = filterable_rules(at)?,
        "sortableAttributes" => settings.sortable_attributes = at.set()?,
        "rankingRules" => settings.ranking_rules = ranking_rules(at)?,
        "stopWords" => settings.stop_words = at.set()?,
        "nonSeparatorTokens" => settings.non_separator_tokens = at.set()?,
        "separatorTokens" => settings.separator_tokens = at.set()?,
        "dictionary" => settings.dictionary = at.set()?,
        "synonyms" => settings.synonyms = synonyms(at)?,
        "distinctAttribute" => settings.distinct_attribute = Some(at.text()?),
        "proximityPrecision" => settings.proximity_precision = proximity_precision(at)?,
        "typoTolerance" => patch_typo_tolerance(&mut settings.typo_tolerance, at)?,
        "faceting" => patch_faceting(&mut settings.faceting, at)?,
        "pagination" => at.each(|name, field| {
            match name {
                "maxTotalHits" if field.value.is_null() => settings.max_total_hits = Settings::default().max_total_hits,
                "maxTotalHits" => settings.max_total_hits = field.count()? as usize,
                _ => return Err(at.unknown_field(name, &["maxTotalHits"])),
            }
            Ok(())
        })?,
        "embedders" => at.each(|name, field| {
            if field.value.is_null() {
                settings.embedders.remove(name);
            } else {
                let embedder = embedders::patched(settings.embedders.get(name), field)?;
                settings.embedders.insert(name.to_owned(), embedder);
            }
            Ok(())
        })?,
        "searchCutoffMs" => settings.search_cutoff_ms = Some(at.count()?),
        "localizedAttributes" => settings.localized_attributes = Some(value.clone()),
        "facetSearch" => settings.facet_search = at.flag()?,
        "prefixSearch" => settings.prefix_search = prefix_search(at)?,
        _ => {
            settings.other.insert(key.to_owned(), value.clone());
        }
    }
    Ok(())
}

fn reset(settings: &mut Settings, key: &str) {
    let fresh = Settings::default();
    match key {
        "displayedAttributes" => settings.displayed_attributes = fresh.displayed_attributes,
        "searchableAttributes" => settings.searchable_attributes = fresh.searchable_attributes,
        "filterableAttributes" => settings.filterable_attributes = fresh.filterable_attributes,
        "sortableAttributes" => settings.sortable_attributes = fresh.sortable_attributes,
        "rankingRules" => settings.ranking_rules = fresh.ranking_rules,
        "stopWords" => settings.stop_words = fresh.stop_words,
        "nonSeparatorTokens" => settings.non_separator_tokens = fresh.non_separator_tokens,
        "separatorTokens" => settings.separator_tokens = fresh.separator_tokens,
        "dictionary" => settings.dictionary = fresh.dictionary,
        "synonyms" => settings.synonyms = fresh.synonyms,
        "distinctAttribute" => settings.distinct_attribute = fresh.distinct_attribute,
        "proximityPrecision" => settings.proximity_precision = fresh.proximity_precision,
        "typoTolerance" => settings.typo_tolerance = fresh.typo_tolerance,
        "faceting" => settings.faceting = fresh.faceting,
        "pagination" => settings.max_total_hits = fresh.max_total_hits,
        "embedders" => settings.embedders = fresh.embedders,
        "searchCutoffMs" => settings.search_cutoff_ms = fresh.search_cutoff_ms,
        "localizedAttributes" => settings.localized_attributes = fresh.localized_attributes,
        "facetSearch" => settings.facet_search = fresh.facet_search,
        "prefixSearch" => settings.prefix_search = fresh.prefix_search,
        _ => {
            settings.other.remove(key);
        }
    }
}

/// A list with `*` in it is "all".
fn all_or_list(names: Vec<String>) -> Option<Vec<String>> {
    if names.iter().any(|name| name == "*") {
        return None;
    }
    let mut seen = BTreeSet::new();
    Some(names.into_iter().filter(|name| seen.insert(name.clone())).collect())
}

fn filterable_rules(at: Located<'_>) -> Result<Vec<FilterableRule>, ApiError> {
    let list = at.value.as_array().ok_or_else(|| at.wrong("an array"))?;
    list.iter()
        .enumerate()
        .map(|(place, value)| {
            let path = format!("{}[{place}]", at.path);
            filterable_rule(Located { value, path: &path, code: at.code })
        })
        .collect()
}

fn filterable_rule(at: Located<'_>) -> Result<FilterableRule, ApiError> {
    if !at.value.is_object() {
        return Ok(FilterableRule::Field(at.text()?));
    }
    let mut patterns = None;
    let mut features = FilterFeatures::default();
    at.each(|key, field| {
        match key {
            "attributePatterns" => patterns = Some(field.texts()?),
            "features" => field.each(|key, feature| {
                match key {
                    "facetSearch" => features.facet_search = feature.flag()?,
                    "filter" => feature.each(|key, operator| {
                        match key {
                            "equality" => features.equality = operator.flag()?,
                            "comparison" => features.comparison = operator.flag()?,
                            _ => return Err(feature.unknown_field(key, &["equality", "comparison"])),
                        }
                        Ok(())
                    })?,
                    _ => return Err(field.unknown_field(key, &["facetSearch", "filter"])),
                }
                Ok(())
            })?,
            _ => return Err(at.unknown_field(key, &["attributePatterns", "features"])),
        }
        Ok(())
    })?;
    let Some(patterns) = patterns else {
        return Err(ApiError::new(at.code, format!("Missing field `attributePatterns` inside `.{}`", at.path)));
    };
    Ok(FilterableRule::Patterns { patterns, features })
}

fn ranking_rules(at: Located<'_>) -> Result<Vec<RankingRule>, ApiError> {
    at.texts()?
        .iter()
        .enumerate()
        .map(|(place, text)| {
            RankingRule::from_text(text).map_err(|message| {
                ApiError::new(at.code, format!("Invalid value at `.{}[{place}]`: {message}", at.path))
            })
        })
        .collect()
}

impl RankingRule {
    /// Reads one rule; the error is the message.
    pub(in super::super) fn from_text(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "`{text}` ranking rule is invalid. Valid ranking rules are words, typo, sort, proximity, attribute, \
                 attributeRank, wordPosition, exactness and custom ranking rules."
            )
        };
        Ok(match text {
            "words" => Self::Words,
            "typo" => Self::Typo,
            "proximity" => Self::Proximity,
            "attribute" => Self::Attribute,
            "attributeRank" => Self::AttributeRank,
            "wordPosition" => Self::WordPosition,
            "sort" => Self::Sort,
            "exactness" => Self::Exactness,
            _ => {
                let (field, order) = text.rsplit_once(':').ok_or_else(invalid)?;
                if field == "_geo" || field.starts_with("_geoPoint(") {
                    return Err(format!("`{field}` is a reserved keyword and thus can't be used as a ranking rule."));
                }
                match order {
                    "asc" => Self::Asc(field.to_owned()),
                    "desc" => Self::Desc(field.to_owned()),
                    _ => return Err(invalid()),
                }
            }
        })
    }
}

fn synonyms(at: Located<'_>) -> Result<BTreeMap<String, Vec<String>>, ApiError> {
    let mut synonyms = BTreeMap::new();
    at.each(|word, list| {
        synonyms.insert(word.to_owned(), list.texts()?);
        Ok(())
    })?;
    Ok(synonyms)
}

fn one_of<T>(at: Located<'_>, choices: [(&str, T); 2]) -> Result<T, ApiError> {
    let text = at.text()?;
    let names = [choices[0].0, choices[1].0];
    choices
        .into_iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| value)
        .ok_or_else(|| bad_value::unknown_value(at.code, &format!(".{}", at.path), &text, &names))
}

fn proximity_precision(at: Located<'_>) -> Result<ProximityPrecision, ApiError> {
    one_of(at, [("byWord", ProximityPrecision::ByWord), ("byAttribute", ProximityPrecision::ByAttribute)])
}

fn prefix_search(at: Located<'_>) -> Result<PrefixSearch, ApiError> {
    one_of(at, [("indexingTime", PrefixSearch::IndexingTime), ("disabled", PrefixSearch::Disabled)])
}

fn patch_typo_tolerance(typo: &mut TypoTolerance, at: Located<'_>) -> Result<(), ApiError> {
    const KEYS: [&str; 5] =
        ["enabled", "minWordSizeForTypos", "disableOnWords", "disableOnAttributes", "disableOnNumbers"];
    let fresh = TypoTolerance::default();
    at.each(|key, field| {
        let null = field.value.is_null();
        match key {
            "enabled" => typo.enabled = if null { fresh.enabled } else { field.flag()? },
            "minWordSizeForTypos" if null => (typo.one_typo, typo.two_typos) = (fresh.one_typo, fresh.two_typos),
            "minWordSizeForTypos" => field.each(|key, size| {
                let value =
                    || size.count().and_then(|n| u8::try_from(n).map_err(|_| size.wrong("an integer below 256")));
                match key {
                    "oneTypo" => typo.one_typo = if size.value.is_null() { fresh.one_typo } else { value()? },
                    "twoTypos" => typo.two_typos = if size.value.is_null() { fresh.two_typos } else { value()? },
                    _ => return Err(field.unknown_field(key, &["oneTypo", "twoTypos"])),
                }
                Ok(())
            })?,
            "disableOnWords" => typo.disable_on_words = if null { BTreeSet::new() } else { field.set()? },
            "disableOnAttributes" => typo.disable_on_attributes = if null { BTreeSet::new() } else { field.set()? },
            "disableOnNumbers" => typo.disable_on_numbers = if null { false } else { field.flag()? },
            _ => return Err(at.unknown_field(key, &KEYS)),
        }
        Ok(())
    })?;
    if typo.one_typo > typo.two_typos {
        return Err(ApiError::new(
            Code::InvalidSettingsTypoTolerance,
            format!(
                "Invalid value at `.typoTolerance.minWordSizeForTypos`: `minWordSizeForTypos` setting is invalid. \
                 `oneTypo` and `twoTypos` fields should be between `0` and `255`, and `twoTypos` should be greater or \
                 equals to `oneTypo` but found `oneTypo: {}` and twoTypos: {}`.",
                typo.one_typo, typo.two_typos
            ),
        ));
    }
    Ok(())
}

fn patch_faceting(faceting: &mut Faceting, at: Located<'_>) -> Result<(), ApiError> {
    let fresh = Faceting::default();
    at.each(|key, field| {
        let null = field.value.is_null();
        match key {
            "maxValuesPerFacet" => {
                faceting.max_values_per_facet = if null { fresh.max_values_per_facet } else { field.count()? as usize };
            }
            "sortFacetValuesBy" if null => faceting.sort_values_by.clone_from(&fresh.sort_values_by),
            "sortFacetValuesBy" => {
                // What was set before is forgotten.
                let mut orders = fresh.sort_values_by.clone();
                field.each(|facet, order| {
                    let order = one_of(order, [("alpha", FacetOrder::Alpha), ("count", FacetOrder::Count)])?;
                    orders.insert(facet.to_owned(), order);
                    Ok(())
                })?;
                faceting.sort_values_by = orders;
            }
            _ => return Err(at.unknown_field(key, &["maxValuesPerFacet", "sortFacetValuesBy"])),
        }
        Ok(())
    })
}
