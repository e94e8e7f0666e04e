//! `/indexes/{uid}/settings`, whole and one by one.

use serde_json::{Map, Value};

use super::params::check_uid;
use super::{GET_PATCH_DELETE, GET_PUT_DELETE, Node, body};
use crate::devnode::engine::Settings;
use crate::devnode::http::{Request, Response};
use crate::devnode::queue::Content;
use crate::meili::error::{ApiError, Code};

/// A setting with a route of its own.
pub struct Setting {
    /// The last segment of its route.
    route: &'static str,
    /// Its key in the whole settings.
    key: &'static str,
    /// It is an object, changed by PATCH and not by PUT.
    patched: bool,
}

impl Setting {
    /// The methods of its route.
    pub fn allow(&self) -> &'static str {
        if self.patched { GET_PATCH_DELETE } else { GET_PUT_DELETE }
    }
}

/// All settings in the order in which Meilisearch shows them in details.
const SETTINGS: &[Setting] = &[
    Setting { route: "displayed-attributes", key: "displayedAttributes", patched: false },
    Setting { route: "searchable-attributes", key: "searchableAttributes", patched: false },
    Setting { route: "filterable-attributes", key: "filterableAttributes", patched: false },
    Setting { route: "sortable-attributes", key: "sortableAttributes", patched: false },
    Setting { route: "foreign-keys", key: "foreignKeys", patched: false },
    Setting { route: "ranking-rules", key: "rankingRules", patched: false },
    Setting { route: "stop-words", key: "stopWords", patched: false },
    Setting { route: "non-separator-tokens", key: "nonSeparatorTokens", patched: false },
    Setting { route: "separator-tokens", key: "separatorTokens", patched: false },
    Setting { route: "dictionary", key: "dictionary", patched: false },
    Setting { route: "synonyms", key: "synonyms", patched: false },
    Setting { route: "distinct-attribute", key: "distinctAttribute", patched: false },
    Setting { route: "proximity-precision", key: "proximityPrecision", patched: false },
    Setting { route: "typo-tolerance", key: "typoTolerance", patched: true },
    Setting { route: "faceting", key: "faceting", patched: true },
    Setting { route: "pagination", key: "pagination", patched: true },
    Setting { route: "embedders", key: "embedders", patched: true },
    Setting { route: "search-cutoff-ms", key: "searchCutoffMs", patched: false },
    Setting { route: "localized-attributes", key: "localizedAttributes", patched: false },
    Setting { route: "facet-search", key: "facetSearch", patched: false },
    Setting { route: "prefix-search", key: "prefixSearch", patched: false },
    Setting { route: "chat", key: "chat", patched: true },
];

/// The setting behind the last segment of a route.
pub fn find(route: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.route == route)
}

fn find_known(route: &str) -> &'static Setting {
    find(route).expect("the router lets only known settings pass")
}

/// `GET /indexes/{uid}/settings`.
pub fn get(node: &Node, uid: &str) -> Result<Response, ApiError> {
    let index = node.indexes.get(check_uid(uid)?)?;
    let settings = index.read().engine.settings().to_json();
    Ok(Response::json(200, &settings))
}

/// `GET /indexes/{uid}/settings/{name}`.
pub fn get_one(node: &Node, uid: &str, route: &str) -> Result<Response, ApiError> {
    let index = node.indexes.get(check_uid(uid)?)?;
    let settings = index.read().engine.settings().to_json();
    Ok(Response::json(200, settings.get(find_known(route).key).unwrap_or(&Value::Null)))
}

/// `PATCH /indexes/{uid}/settings`.
pub fn update(node: &Node, uid: &str, request: Request) -> Result<Response, ApiError> {
    let uid = check_uid(uid)?;
    let patch = body::object(request)?;
    let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
    body::known_fields(&patch, &names)?;
    Settings::default().patched(&patch)?;
    register(node, uid, patch, false)
}

/// `PUT` or `PATCH /indexes/{uid}/settings/{name}`.
pub fn update_one(node: &Node, uid: &str, route: &str, request: Request) -> Result<Response, ApiError> {
    let uid = check_uid(uid)?;
    let key = find_known(route).key;
    let mut patch = Map::new();
    patch.insert(key.to_owned(), body::json(request)?);
    Settings::default().patched(&patch).map_err(|error| {
        // Its errors tell places from the setting on, those of the whole settings from their top.
        let message = error.message.replace(&format!(" at `.{key}`"), "").replace(&format!("`.{key}"), "`");
        let message = message.replace(" inside ``", "");
        ApiError::new(error.code, message)
    })?;
    register(node, uid, patch, false)
}

/// `DELETE /indexes/{uid}/settings`.
pub fn reset(node: &Node, uid: &str) -> Result<Response, ApiError> {
    let patch = SETTINGS.iter().map(|setting| (setting.key.to_owned(), Value::Null)).collect();
    register(node, check_uid(uid)?, patch, true)
}

/// `DELETE /indexes/{uid}/settings/{name}`.
pub fn reset_one(node: &Node, uid: &str, route: &str) -> Result<Response, ApiError> {
    let mut patch = Map::new();
    patch.insert(find_known(route).key.to_owned(), Value::Null);
    register(node, check_uid(uid)?, patch, true)
}

/// Settings that are sets are shown sorted.
fn sorted(key: &str, value: Value) -> Value {
    match (key, value) {
        (
            "sortableAttributes" | "stopWords" | "nonSeparatorTokens" | "separatorTokens" | "dictionary",
            Value::Array(mut items),
        ) => {
            items.sort_by(|left, right| left.as_str().cmp(&right.as_str()));
            items.dedup();
            Value::Array(items)
        }
        ("synonyms", Value::Object(mut object)) => {
            object.sort_keys();
            Value::Object(object)
        }
        (_, value) => value,
    }
}

/// Registers the change with its keys as Meilisearch shows them: in its order, and `["*"]` for a reset of the lists
/// that are `["*"]` by default.
fn register(node: &Node, uid: &str, mut patch: Map<String, Value>, reset: bool) -> Result<Response, ApiError> {
    let mut ordered = Map::new();
    for setting in SETTINGS {
        let Some(value) = patch.remove(setting.key) else { continue };
        let starred = matches!(setting.key, "displayedAttributes" | "searchableAttributes");
        let value = if value.is_null() && starred { serde_json::json!(["*"]) } else { sorted(setting.key, value) };
        ordered.insert(setting.key.to_owned(), value);
    }
    if let Some((name, _)) = patch.into_iter().next() {
        return Err(ApiError::new(Code::BadRequest, format!("Unknown field `{name}`")));
    }
    let task = node.queue.register(Some(uid), Content::Settings { patch: ordered, reset }, None, None)?;
    Ok(Response::json(202, &task))
}
