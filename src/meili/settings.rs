//! Settings as the user sees them and as the nodes get them: both directions in one module.
//!
//! The *user's settings* are a JSON object with what was set and nothing else; an absent key has its default. A *patch* is
//! what a request changes: `null` resets. The *node settings* are derived from the user's settings alone and name every
//! key, so that a node ends in the same state whatever it had before; they are the same bytes at every replay.
//!
//! Invariants: the rule for `_miroir` is the first of the nodes' `filterableAttributes` (the first rule that matches wins);
//! the nodes display everything and give as many hits as they are asked for; they never leave out hits for being like
//! others unless a search asks for it, and can do so by the user's distinct attribute; no user's setting names `_miroir` or
//! turns a marker's characters into words.

use serde_json::{Map, Value, json};

use super::bad_value::{parse_json, unknown_field, wrong_type};
use super::error::{ApiError, Code};
use super::features::{Feature, Features};
use super::hidden_distinct;
use crate::logic::marker;

mod drift;
mod embedders;
mod shape;
mod table;

pub use drift::{differences, long_locale, node_display};
pub use embedders::{FIELDS as EMBEDDER_FIELDS, SOURCES as EMBEDDER_SOURCES};
pub use table::{LOCALES, SETTINGS, Setting, Verb};

/// A JSON object.
pub type Object = Map<String, Value>;

/// The setting with this part of a path, `stop-words` for example.
pub fn by_route(route: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.route == route)
}

fn by_key(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The body of `PATCH /settings` as a patch: checked, sets in order, rules with all their fields.
///
/// # Errors
/// As Meilisearch, and `miroir_reserved_field`, `miroir_not_supported`.
pub fn parse_patch(body: &[u8]) -> Result<Object, ApiError> {
    let Value::Object(fields) = object_or_error(parse_json(body)?)? else { return Ok(Object::new()) };
    let mut patch = Object::new();
    for (key, value) in fields {
        let Some(setting) = by_key(&key) else {
            let keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
            return Err(unknown_field(Code::BadRequest, "", &key, &keys));
        };
        patch.insert(key, setting.check(value, &format!(".{}", setting.key))?);
    }
    Ok(patch)
}

fn object_or_error(value: Value) -> Result<Value, ApiError> {
    if value.is_object() { Ok(value) } else { Err(wrong_type(Code::BadRequest, "", "an object", &value)) }
}

/// The body of a single route (`PUT /settings/stop-words`) as a patch.
///
/// # Errors
/// As [`parse_patch`].
pub fn parse_single(setting: &Setting, body: &[u8]) -> Result<Object, ApiError> {
    let value = setting.check(parse_json(body)?, "")?;
    Ok(Object::from_iter([(setting.key.to_owned(), value)]))
}

/// The patch of a `DELETE` route: one setting, or all.
pub fn reset_patch(setting: Option<&Setting>) -> Object {
    let resets = |setting: &Setting| (setting.key.to_owned(), Value::Null);
    setting.map_or_else(|| SETTINGS.iter().map(resets).collect(), |setting| Object::from_iter([resets(setting)]))
}

/// The patch as the details of its task show it.
pub fn task_details(patch: &Object) -> Object {
    let mut details = Object::new();
    // In the order of the table, as one server shows it.
    for setting in SETTINGS {
        if let Some(value) = patch.get(setting.key) {
            let is_wildcard = value.is_null() && matches!(setting.key, "displayedAttributes" | "searchableAttributes");
            let value = match setting.key {
                _ if is_wildcard => json!(["*"]),
                "embedders" => embedders::with_short_keys(value),
                _ => value.clone(),
            };
            details.insert(setting.key.to_owned(), value);
        }
    }
    details
}

/// Whether what a patch sets may be set while these experimental features are on.
///
/// # Errors
/// `feature_not_enabled`.
pub fn check_features(patch: &Object, features: Features) -> Result<(), ApiError> {
    let is_set = |key: &str| patch.get(key).is_some_and(|value| !value.is_null());
    for (feature, doing) in patch.get("embedders").map(embedders::needed_features).unwrap_or_default() {
        features.require(feature, doing)?;
    }
    if is_set("chat") {
        features.require(Feature::ChatCompletions, "setting `chat` in the index settings")?;
    }
    if is_set("foreignKeys") {
        features.require(Feature::ForeignKeys, "setting `foreignKeys` in the index settings")?;
    }
    Ok(())
}

/// Objects whose fields are patched one by one.
const PATCHED_BY_FIELD: [&str; 6] =
    ["typoTolerance", "minWordSizeForTypos", "faceting", "pagination", "chat", "searchParameters"];

/// The user's settings after a patch.
#[must_use]
pub fn merge(user: &Object, patch: &Object) -> Object {
    let mut merged = user.clone();
    for (key, value) in patch {
        merge_field(&mut merged, key, &as_kept(key, value));
    }
    merged
}

/// A value as the engine keeps it, which is not always as the task shows it.
fn as_kept(key: &str, value: &Value) -> Value {
    let mut kept = value.clone();
    match (key, &mut kept) {
        ("displayedAttributes" | "searchableAttributes", Value::Array(names)) => {
            if names.iter().any(|name| name == "*") {
                return Value::Null;
            }
            let mut seen = Vec::new();
            names.retain(|name| {
                let is_new = !seen.contains(name);
                seen.push(name.clone());
                is_new
            });
        }
        ("typoTolerance", Value::Object(fields)) => {
            if let Some(Value::Array(words)) = fields.get_mut("disableOnWords") {
                let mut lower: Vec<String> = words.iter().filter_map(Value::as_str).map(str::to_lowercase).collect();
                lower.sort();
                lower.dedup();
                *words = lower.into_iter().map(Value::from).collect();
            }
        }
        _ => {}
    }
    kept
}

fn merge_field(fields: &mut Object, key: &str, value: &Value) {
    match value {
        Value::Null => {
            fields.shift_remove(key);
        }
        Value::Object(changes) if PATCHED_BY_FIELD.contains(&key) => {
            let mut inner = fields.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
            for (key, value) in changes {
                merge_field(&mut inner, key, value);
            }
            // An object without fields is as good as none.
            merge_field_plain(fields, key, if inner.is_empty() { Value::Null } else { Value::Object(inner) });
        }
        Value::Object(changes) if key == "embedders" => {
            let merged = embedders::merge(fields.get(key), changes);
            merge_field_plain(fields, key, merged);
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            merge_field_plain(fields, key, value.clone());
        }
    }
}

fn merge_field_plain(fields: &mut Object, key: &str, value: Value) {
    if value.is_null() {
        fields.shift_remove(key);
    } else {
        fields.insert(key.to_owned(), value);
    }
}

/// What can only be wrong in the whole: checked on the user's settings after a patch. The task fails with this.
///
/// # Errors
/// `invalid_settings_typo_tolerance`, `invalid_settings_embedders`.
pub fn check_merged(user: &Object) -> Result<(), ApiError> {
    embedders::check_merged(user)?;
    let shown = display(user);
    let sizes = &shown["typoTolerance"]["minWordSizeForTypos"];
    shape::check_word_sizes(sizes).map_err(|reason| ApiError::new(Code::InvalidSettingsTypoTolerance, reason))
}

/// The dimensions of the vectors of an embedder, if they are known; none where there is no such embedder.
pub fn dimensions_of_embedder(user: &Object, name: &str) -> Option<Option<u64>> {
    let embedder = user.get("embedders")?.get(name)?.as_object()?;
    Some(embedder.get("dimensions").and_then(Value::as_u64))
}

/// All settings as `GET /settings` shows them.
pub fn display(user: &Object) -> Object {
    SETTINGS
        .iter()
        .filter(|setting| setting.is_listed)
        .map(|setting| (setting.key.to_owned(), setting.display(user)))
        .collect()
}

/// The same while these experimental features are on, some of which bring settings along.
pub fn display_with(user: &Object, features: Features) -> Object {
    let is_shown = |setting: &Setting| match setting.key {
        "chat" => features.has(Feature::ChatCompletions),
        "foreignKeys" => features.has(Feature::ForeignKeys),
        _ => setting.is_listed,
    };
    let shown = SETTINGS.iter().filter(|setting| is_shown(setting));
    shown.map(|setting| (setting.key.to_owned(), setting.display(user))).collect()
}

/// As a dump has them: with defaults, which another version may have others of, and with whole keys.
pub fn dumped(user: &Object) -> Object {
    let there = SETTINGS.iter().filter(|setting| setting.is_listed || user.contains_key(setting.key));
    let mut dumped: Object = there.map(|setting| (setting.key.to_owned(), setting.display(user))).collect();
    if let Some(embedders) = user.get("embedders") {
        dumped.insert("embedders".to_owned(), embedders::dumped(embedders));
    }
    dumped
}

/// The template of an embedder as the user sees it, for a kind of template that can be rendered (`documentTemplate`, …).
pub fn embedder_template(user: &Object, embedder: &str, kind: &str, fragment: Option<&str>) -> Option<Value> {
    embedders::template(user, embedder, kind, fragment)
}

/// A field whose values are ids of documents of another index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignKey {
    /// The client's name of the other index, which need not be there.
    pub index_uid: String,
    /// The path of the field.
    pub field: String,
}

/// The foreign keys, in the order of the setting.
pub fn foreign_keys(user: &Object) -> Vec<ForeignKey> {
    let keys = user.get("foreignKeys").and_then(Value::as_array).into_iter().flatten();
    let text = |key: &Value, name: &str| key[name].as_str().unwrap_or_default().to_owned();
    keys.map(|key| ForeignKey { index_uid: text(key, "foreignIndexUid"), field: text(key, "fieldName") }).collect()
}

/// The chat settings, defaults filled in.
pub fn chat(user: &Object) -> Value {
    by_key("chat").map_or(Value::Null, |setting| setting.display(user))
}

/// The whole `PATCH /settings` body for the nodes.
pub fn node_settings(user: &Object) -> Object {
    let mut node: Object = SETTINGS
        .iter()
        .map(|setting| (setting.key.to_owned(), user.get(setting.key).cloned().unwrap_or(Value::Null)))
        .collect();
    node["displayedAttributes"] = json!(["*"]);
    node["distinctAttribute"] = Value::Null;
    let mut filterable = vec![marker_rule()];
    filterable.extend(hidden_distinct::node_rule(user));
    filterable.extend(user.get("filterableAttributes").and_then(Value::as_array).into_iter().flatten().cloned());
    node["filterableAttributes"] = Value::Array(filterable);
    node["typoTolerance"] = with_every_field("typoTolerance", &node["typoTolerance"]);
    node["pagination"] = json!({"maxTotalHits": NODE_TOTAL_HITS});
    node["faceting"] = node_faceting(user);
    node["embedders"] = embedders::node_form(user);
    // Chats are not the nodes' business; nor are foreign keys, which name documents of other nodes.
    node["chat"] = Value::Null;
    node["foreignKeys"] = Value::Null;
    node
}

/// The settings with a last ranking rule that tells all hits apart: by the primary key. None is added where a rule sorts by
/// it already.
#[must_use]
pub fn with_tie_rule(user: &Object, primary_key: &str) -> Object {
    let mut with_rule = user.clone();
    let mut rules = display(user)["rankingRules"].as_array().cloned().unwrap_or_default();
    if !sorts_by(rules.iter().filter_map(Value::as_str), primary_key) {
        rules.push(Value::from(tie_rule(primary_key)));
        with_rule.insert("rankingRules".to_owned(), Value::Array(rules));
    }
    with_rule
}

/// The rule that tells hits apart by their primary key.
pub fn tie_rule(primary_key: &str) -> String {
    format!("{primary_key}:asc")
}

/// Whether one of the ranking rules, or of the rules of `sort`, is about this attribute.
pub fn sorts_by<'a>(rules: impl IntoIterator<Item = &'a str>, attribute: &str) -> bool {
    rules.into_iter().any(|rule| rule.rsplit_once(':').is_some_and(|(name, _)| name == attribute))
}

fn marker_rule() -> Value {
    json!({
        "attributePatterns": [marker::FIELD],
        "features": {"facetSearch": false, "filter": {"equality": true, "comparison": false}},
    })
}

/// What nodes give at most. The user's limit is kept here: under it there may be more hits on the nodes, where some are left
/// out for being like others.
const NODE_TOTAL_HITS: u64 = u32::MAX as u64;

/// So many values per facet nodes return at least where any facet is ordered by count: up to so many different values on a
/// node all counts are known at once. What it costs is in docs/decisions/0007-facets-by-count.md.
pub const FACET_VALUES_BY_COUNT: u64 = 20_000;

/// Up to this many matching documents the engine orders the numbers of a facet as texts, beyond by value.
pub const FACET_NUMBERS_AS_TEXTS: u64 = 3_000;

/// Values per facet that nodes return, given the user's settings. They are merged, ordered and cut as the user wants them
/// afterwards. A node with few of many matching documents orders numbers otherwise than the whole would: only all of its
/// values contain the right ones. With one number in each document these are no more than its documents.
pub fn node_facet_values_max(user: &Object) -> u64 {
    let shown = &display(user)["faceting"];
    let wanted = shown["maxValuesPerFacet"].as_u64().unwrap_or_default();
    wanted.max(if is_any_facet_by_count(shown) { FACET_VALUES_BY_COUNT } else { FACET_NUMBERS_AS_TEXTS })
}

/// Whose lists are cut must have cut what is least frequent, so nodes order as the user wants it.
fn node_faceting(user: &Object) -> Value {
    let shown = &display(user)["faceting"];
    let orders = if is_any_facet_by_count(shown) { &shown["sortFacetValuesBy"] } else { &Value::Null };
    json!({"maxValuesPerFacet": node_facet_values_max(user), "sortFacetValuesBy": orders})
}

fn is_any_facet_by_count(faceting: &Value) -> bool {
    faceting["sortFacetValuesBy"].as_object().is_some_and(|orders| orders.values().any(|order| order == "count"))
}

/// The fields that were not set as `null`, so that a node forgets them.
fn with_every_field(key: &str, value: &Value) -> Value {
    let Some(names) = shape::field_names(key) else { return value.clone() };
    let fields = names.iter().map(|name| ((*name).to_owned(), with_every_field(name, &value[*name])));
    Value::Object(fields.collect())
}

#[cfg(test)]
mod tests;
