//! What values a setting may have: checked, and brought into the one form in which they are kept.
//!
//! The words of the errors are Meilisearch's. Names of attributes may not be `_miroir`; words may not hold the characters
//! that markers are made of.

use serde_json::{Map, Value, json};

use super::table::LOCALES;
use crate::logic::marker;
use crate::meili::bad_value::{missing_field, unexpected, unknown_field, unknown_value, wrong_type};
use crate::meili::error::{ApiError, Code};

/// A kind of value.
#[derive(Debug)]
pub enum Shape {
    /// `true` or `false`.
    Boolean,
    /// From `min` (0 or 1) to `max`.
    Integer {
        /// Least.
        min: u64,
        /// Greatest.
        max: u64,
    },
    /// A number from 0 to 1.
    Share,
    /// What makes a search hybrid.
    Hybrid,
    /// Any text.
    Text,
    /// The name of an attribute, or a pattern.
    Attribute,
    /// A text that becomes a word.
    Word,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// `words`, `price:asc`, ...
    RankingRule,
    /// An attribute, or an object with patterns and features.
    FilterableRule,
    /// Kept in the order of the request.
    List(&'static Shape),
    /// Kept in order, each once.
    Set(&'static Shape),
    /// From texts to values, kept in order.
    MapOf {
        /// Of the keys.
        keys: &'static Shape,
        /// Of the values.
        values: &'static Shape,
    },
    /// An object with these fields; each may be left out or `null`.
    Fields(&'static [(&'static str, Shape)]),
    /// An object with all of these fields.
    Required(&'static [(&'static str, Shape)]),
    /// This, or `null`.
    Nullable(&'static Shape),
    /// Anything at all, or `null`.
    Anything,
}

pub(super) const TYPO_TOLERANCE: Shape = Shape::Fields(&[
    ("enabled", Shape::Boolean),
    ("minWordSizeForTypos", MIN_WORD_SIZE),
    ("disableOnWords", Shape::Set(&Shape::Text)),
    ("disableOnAttributes", Shape::Set(&Shape::Attribute)),
    ("disableOnNumbers", Shape::Boolean),
]);
const MIN_WORD_SIZE: Shape = Shape::Fields(&[
    ("oneTypo", Shape::Integer { min: 0, max: 255 }),
    ("twoTypos", Shape::Integer { min: 0, max: 255 }),
]);
pub(super) const FACETING: Shape = Shape::Fields(&[
    ("maxValuesPerFacet", Shape::Integer { min: 0, max: u64::MAX }),
    ("sortFacetValuesBy", Shape::MapOf { keys: &Shape::Attribute, values: &Shape::OneOf(&["alpha", "count"]) }),
]);
/// `searchParameters` of chats.
pub(super) const SEARCH_PARAMETERS: Shape = Shape::Fields(&[
    ("hybrid", Shape::Hybrid),
    ("limit", Shape::Integer { min: 0, max: u64::MAX }),
    ("sort", Shape::List(&Shape::Text)),
    ("distinct", Shape::Attribute),
    ("matchingStrategy", Shape::OneOf(&["last", "all", "frequency"])),
    ("attributesToSearchOn", Shape::List(&Shape::Attribute)),
    ("rankingScoreThreshold", Shape::Share),
]);
pub(super) const PAGINATION: Shape = Shape::Fields(&[("maxTotalHits", Shape::Integer { min: 1, max: u64::MAX })]);
pub(super) const LOCALIZED_RULE: Shape = Shape::Required(&[
    ("attributePatterns", Shape::List(&Shape::Attribute)),
    ("locales", Shape::List(&Shape::OneOf(LOCALES))),
]);

/// The fields of an object that is patched field by field.
pub(super) fn field_names(key: &str) -> Option<Vec<&'static str>> {
    let shape = match key {
        "typoTolerance" => &TYPO_TOLERANCE,
        "minWordSizeForTypos" => &MIN_WORD_SIZE,
        "faceting" => &FACETING,
        "pagination" => &PAGINATION,
        _ => return None,
    };
    match shape {
        Shape::Fields(fields) => Some(fields.iter().map(|(name, _)| *name).collect()),
        Shape::Boolean
        | Shape::Integer { .. }
        | Shape::Share
        | Shape::Hybrid
        | Shape::Text
        | Shape::Attribute
        | Shape::Word
        | Shape::OneOf(_)
        | Shape::RankingRule
        | Shape::FilterableRule
        | Shape::List(_)
        | Shape::Set(_)
        | Shape::MapOf { .. }
        | Shape::Required(_)
        | Shape::Nullable(_)
        | Shape::Anything => None,
    }
}

/// Where a value stands and whose error it is.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) code: Code,
    pub(super) location: &'a str,
}

impl Place<'_> {
    fn wrong_type(self, accepted: &str, value: &Value) -> ApiError {
        wrong_type(self.code, self.location, accepted, value)
    }

    fn within<T>(self, step: &str, check: impl FnOnce(Place<'_>) -> T) -> T {
        check(Place { code: self.code, location: &format!("{}{step}", self.location) })
    }
}

impl Shape {
    /// The value in the form in which it is kept.
    ///
    /// # Errors
    /// The place's code, or `miroir_reserved_field`.
    pub(super) fn check(&self, value: Value, place: Place<'_>) -> Result<Value, ApiError> {
        match self {
            Self::Anything => Ok(value),
            Self::Nullable(_) if value.is_null() => Ok(value),
            Self::Nullable(shape) => shape.check(value, place),
            Self::Boolean if value.is_boolean() => Ok(value),
            Self::Boolean => Err(place.wrong_type("a boolean", &value)),
            Self::Integer { min, max } => check_integer(value, *min, *max, place),
            Self::Text | Self::Attribute | Self::Word | Self::OneOf(_) | Self::RankingRule => {
                let Value::String(text) = value else { return Err(place.wrong_type("a string", &value)) };
                self.check_text(&text, place)?;
                Ok(Value::String(text))
            }
            Self::Share => check_share(value, place),
            Self::Hybrid => check_hybrid(value, place),
            Self::FilterableRule => check_filterable_rule(value, place),
            Self::List(item) => check_items(value, item, place).map(Value::Array),
            Self::Set(item) => {
                let mut items = check_items(value, item, place)?;
                items.sort_by(|left, right| left.as_str().cmp(&right.as_str()));
                items.dedup();
                Ok(Value::Array(items))
            }
            Self::MapOf { keys, values } => check_map(value, keys, values, place),
            Self::Fields(fields) => check_object(value, fields, false, place),
            Self::Required(fields) => check_object(value, fields, true, place),
        }
    }

    fn check_text(&self, text: &str, place: Place<'_>) -> Result<(), ApiError> {
        match self {
            Self::Attribute if marker::is_reserved(text) => Err(reserved(place)),
            Self::Word if text.contains(marker::DIGITS) => Err(reserved_characters(place)),
            Self::OneOf(allowed) if !allowed.contains(&text) => {
                Err(unknown_value(place.code, place.location, text, allowed))
            }
            Self::RankingRule => check_ranking_rule(text, place),
            Self::Attribute
            | Self::Word
            | Self::OneOf(_)
            | Self::Text
            | Self::Boolean
            | Self::Integer { .. }
            | Self::Share
            | Self::Hybrid
            | Self::FilterableRule
            | Self::List(_)
            | Self::Set(_)
            | Self::MapOf { .. }
            | Self::Fields(_)
            | Self::Required(_)
            | Self::Nullable(_)
            | Self::Anything => Ok(()),
        }
    }
}

fn reserved(place: Place<'_>) -> ApiError {
    let at = if place.location.is_empty() { String::new() } else { format!(" at `{}`", place.location) };
    ApiError::new(Code::MiroirReservedField, format!("Invalid value{at}: the attribute `_miroir` is reserved."))
}

fn reserved_characters(place: Place<'_>) -> ApiError {
    let at = if place.location.is_empty() { String::new() } else { format!(" at `{}`", place.location) };
    let digits: String = marker::DIGITS.iter().collect();
    ApiError::new(Code::MiroirReservedField, format!("Invalid value{at}: the characters `{digits}` are reserved."))
}

fn check_integer(value: Value, min: u64, max: u64, place: Place<'_>) -> Result<Value, ApiError> {
    let Some(number) = value.as_u64() else { return Err(place.wrong_type("a positive integer", &value)) };
    if number < min {
        let reason = format!("a non-zero integer value lower than `{max}` was expected, but found a zero");
        return Err(unexpected(place.code, place.location, &reason));
    }
    if number > max {
        let reason = format!("value: `{number}` is too large to be deserialized, maximum value authorized is `{max}`");
        return Err(unexpected(place.code, place.location, &reason));
    }
    Ok(value)
}

fn check_share(value: Value, place: Place<'_>) -> Result<Value, ApiError> {
    let Some(number) = value.as_f64() else { return Err(place.wrong_type("a number", &value)) };
    if (0.0..=1.0).contains(&number) {
        return Ok(value);
    }
    let name = place.location.rsplit('.').next().unwrap_or_default();
    let reason = format!("the value of `{name}` is invalid, expected a float between `0.0` and `1.0`.");
    Err(unexpected(place.code, place.location, &reason))
}

fn check_hybrid(value: Value, place: Place<'_>) -> Result<Value, ApiError> {
    const HYBRID: Shape = Shape::Fields(&[("semanticRatio", Shape::Share), ("embedder", Shape::Text)]);
    let hybrid = HYBRID.check(value, place)?;
    if hybrid["embedder"].is_null() {
        return Err(missing_field(place.code, place.location, "embedder"));
    }
    let ratio = hybrid.get("semanticRatio").filter(|ratio| !ratio.is_null());
    Ok(json!({"semanticRatio": ratio.unwrap_or(&json!(0.5)), "embedder": hybrid["embedder"]}))
}

fn check_items(value: Value, item: &Shape, place: Place<'_>) -> Result<Vec<Value>, ApiError> {
    let Value::Array(items) = value else { return Err(place.wrong_type("an array", &value)) };
    let items = items.into_iter().enumerate();
    items.map(|(index, value)| place.within(&format!("[{index}]"), |place| item.check(value, place))).collect()
}

fn check_map(value: Value, keys: &Shape, values: &Shape, place: Place<'_>) -> Result<Value, ApiError> {
    let Value::Object(fields) = value else { return Err(place.wrong_type("an object", &value)) };
    let mut checked = Vec::new();
    for (key, value) in fields {
        let value = place.within(&format!(".{key}"), |place| {
            keys.check_text(&key, place)?;
            values.check(value, place)
        })?;
        checked.push((key, value));
    }
    checked.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(Value::Object(checked.into_iter().collect()))
}

fn check_object(
    value: Value,
    fields: &'static [(&'static str, Shape)],
    is_complete: bool,
    place: Place<'_>,
) -> Result<Value, ApiError> {
    let Value::Object(given) = value else { return Err(place.wrong_type("an object", &value)) };
    let mut checked = Map::new();
    for (key, value) in given {
        let Some((name, shape)) = fields.iter().find(|(name, _)| *name == key) else {
            let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
            return Err(unknown_field(place.code, place.location, &key, &names));
        };
        if value.is_null() && !is_complete {
            checked.insert(key, value);
            continue;
        }
        let value = place.within(&format!(".{name}"), |place| {
            let value = shape.check(value, place)?;
            if *name == "minWordSizeForTypos" {
                check_word_sizes(&value).map_err(|reason| unexpected(place.code, place.location, &reason))?;
            }
            Ok(value)
        })?;
        checked.insert(key, value);
    }
    // Always in the same order, whatever the order of the request.
    let mut ordered = Map::new();
    for (name, _) in fields {
        match checked.shift_remove(*name) {
            Some(value) => {
                ordered.insert((*name).to_owned(), value);
            }
            None if is_complete => return Err(missing_field(place.code, place.location, name)),
            None => {}
        }
    }
    Ok(Value::Object(ordered))
}

/// Checks `oneTypo` against `twoTypos` where both are given.
pub(super) fn check_word_sizes(sizes: &Value) -> Result<(), String> {
    match (sizes["oneTypo"].as_u64(), sizes["twoTypos"].as_u64()) {
        (Some(one), Some(two)) if one > two => Err(format!(
            "`minWordSizeForTypos` setting is invalid. `oneTypo` and `twoTypos` fields should be between `0` and `255`, and \
             `twoTypos` should be greater or equals to `oneTypo` but found `oneTypo: {one}` and twoTypos: {two}`."
        )),
        _ => Ok(()),
    }
}

fn check_filterable_rule(value: Value, place: Place<'_>) -> Result<Value, ApiError> {
    const FILTER: Shape = Shape::Fields(&[("equality", Shape::Boolean), ("comparison", Shape::Boolean)]);
    const FEATURES: Shape = Shape::Fields(&[("facetSearch", Shape::Boolean), ("filter", FILTER)]);
    const RULE: Shape = Shape::Fields(&[("attributePatterns", Shape::List(&Shape::Attribute)), ("features", FEATURES)]);
    if !value.is_object() {
        return Shape::Attribute.check(value, place);
    }
    let rule = RULE.check(value, place)?;
    if rule["attributePatterns"].is_null() {
        return Err(missing_field(place.code, place.location, "attributePatterns"));
    }
    let flag = |value: &Value, default: bool| value.as_bool().unwrap_or(default);
    let features = &rule["features"];
    Ok(json!({
        "attributePatterns": rule["attributePatterns"],
        "features": {
            "facetSearch": flag(&features["facetSearch"], false),
            "filter": {
                "equality": flag(&features["filter"]["equality"], true),
                "comparison": flag(&features["filter"]["comparison"], false),
            },
        },
    }))
}

fn check_ranking_rule(rule: &str, place: Place<'_>) -> Result<(), ApiError> {
    const BUILT_IN: [&str; 8] =
        ["words", "typo", "proximity", "attribute", "attributeRank", "wordPosition", "sort", "exactness"];
    if BUILT_IN.contains(&rule) {
        return Ok(());
    }
    let refuse = |reason: String| Err(unexpected(place.code, place.location, &reason));
    let Some(attribute) = rule.strip_suffix(":asc").or_else(|| rule.strip_suffix(":desc")) else {
        return refuse(format!(
            "`{rule}` ranking rule is invalid. Valid ranking rules are words, typo, sort, proximity, attribute, exactness \
             and custom ranking rules."
        ));
    };
    if marker::is_reserved(attribute) {
        return Err(reserved(place));
    }
    let name = attribute.split('(').next().unwrap_or(attribute);
    let cannot = format!("`{name}` is a reserved keyword and thus can't be used as a ranking rule");
    match name {
        "_geo" | "_geojson" | "_geoDistance" => refuse(cannot),
        "_geoPoint" => refuse(format!("{cannot}. `{name}` can only be used for sorting at search time")),
        "_geoRadius" | "_geoBoundingBox" | "_geoPolygon" => {
            refuse(format!("{cannot}. `{name}` can only be used for filtering at search time"))
        }
        _ => Ok(()),
    }
}
