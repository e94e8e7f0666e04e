//! `embedders`: who makes vectors of documents. Only those whose vectors the user brings along (`source: userProvided`).
//!
//! A node keeps an embedder until it is told to forget it. So a removed one stays in the user's settings as `null`, which
//! nobody sees, as long as there are others; where there are none, nodes forget them all.

use serde_json::{Map, Value, json};

use super::Object;
use super::shape::{Place, Shape};
use crate::meili::bad_value::{missing_field, unexpected, unknown_field, wrong_type};
use crate::meili::error::{ApiError, Code};

const USER_PROVIDED: &str = "userProvided";

const SOURCES: Shape = Shape::OneOf(&["openAi", "huggingFace", "ollama", USER_PROVIDED, "rest", "composite"]);

/// All embedders, by name.
pub(super) const EMBEDDERS: Shape = Shape::MapOf { keys: &Shape::Text, values: &Shape::Nullable(&EMBEDDER) };

const EMBEDDER: Shape = Shape::Fields(&[
    ("source", SOURCES),
    ("model", Shape::Text),
    ("revision", Shape::Text),
    ("pooling", Shape::OneOf(&["useModel", "forceCls", "forceMean"])),
    ("apiKey", Shape::Text),
    ("dimensions", Shape::Integer { min: 0, max: u64::MAX }),
    ("binaryQuantized", Shape::Boolean),
    ("documentTemplate", Shape::Text),
    ("documentTemplateMaxBytes", Shape::Integer { min: 1, max: u64::MAX }),
    ("url", Shape::Text),
    ("indexingFragments", Shape::Anything),
    ("searchFragments", Shape::Anything),
    ("request", Shape::Anything),
    ("response", Shape::Anything),
    ("headers", Shape::Anything),
    ("searchEmbedder", Shape::Anything),
    ("indexingEmbedder", Shape::Anything),
    ("distribution", Shape::Anything),
]);

/// The fields of an embedder whose vectors the user brings along, in the order of messages.
const FIELDS: [&str; 4] = ["source", "dimensions", "distribution", "binaryQuantized"];

/// Where else the fields are that such an embedder has not.
fn sources_of(field: &str) -> &'static [&'static str] {
    match field {
        "model" => &["openAi", "huggingFace", "ollama"],
        "revision" | "pooling" => &["huggingFace"],
        "apiKey" | "url" => &["openAi", "ollama", "rest"],
        "documentTemplate" | "documentTemplateMaxBytes" => &["openAi", "huggingFace", "ollama", "rest"],
        "indexingFragments" | "searchFragments" | "request" | "response" | "headers" => &["rest"],
        _ => &["composite"],
    }
}

/// Checks a patch: what can be known of it without what was set before.
///
/// # Errors
/// `invalid_settings_embedders`, `miroir_not_supported`.
pub(super) fn check(patch: &Value, place: Place<'_>) -> Result<(), ApiError> {
    for (name, embedder) in patch.as_object().into_iter().flatten() {
        let Value::Object(fields) = embedder else { continue };
        if fields.get("source").is_some_and(|source| source != USER_PROVIDED) {
            return Err(unsupported());
        }
        for (field, value) in fields {
            if !FIELDS.contains(&field.as_str()) && !value.is_null() {
                let quoted =
                    |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                let message = format!(
                    "`.embedders.{name}`: Field `{field}` unavailable for source `{USER_PROVIDED}`.\n  - note: `{field}` is \
                     available for sources: {}\n  - note: available fields for source `{USER_PROVIDED}`: {}",
                    quoted(sources_of(field)),
                    quoted(&FIELDS)
                );
                return Err(ApiError::new(place.code, message));
            }
        }
        if fields.contains_key("source") && fields.get("dimensions").is_none_or(Value::is_null) {
            return Err(no_dimensions(name));
        }
        if fields.get("dimensions") == Some(&json!(0)) {
            let message = format!("`.embedders.{name}.dimensions`: `dimensions` cannot be zero");
            return Err(ApiError::new(place.code, message));
        }
        if let Some(distribution) = fields.get("distribution").filter(|value| !value.is_null()) {
            let location = format!("{}.{name}.distribution", place.location);
            check_distribution(distribution, Place { code: place.code, location: &location })?;
        }
    }
    Ok(())
}

fn unsupported() -> ApiError {
    let message = "Miroir does not support embedders but those with `source: userProvided` yet.";
    ApiError::new(Code::MiroirNotSupported, message)
}

fn no_dimensions(name: &str) -> ApiError {
    let message = format!(
        "`.embedders.{name}`: Missing field `dimensions` (note: this field is mandatory for source `{USER_PROVIDED}`)"
    );
    ApiError::new(Code::InvalidSettingsEmbedders, message)
}

fn check_distribution(distribution: &Value, place: Place<'_>) -> Result<(), ApiError> {
    let Place { code, location } = place;
    let Value::Object(fields) = distribution else { return Err(wrong_type(code, location, "an object", distribution)) };
    for (name, value) in fields {
        if name != "mean" && name != "sigma" {
            return Err(unknown_field(code, location, name, &["mean", "sigma"]));
        }
        if !value.is_number() {
            return Err(wrong_type(code, &format!("{location}.{name}"), "a number", value));
        }
    }
    let number =
        |name: &str| fields.get(name).and_then(Value::as_f64).ok_or_else(|| missing_field(code, location, name));
    let (mean, sigma) = (number("mean")? as f32, number("sigma")? as f32);
    let out_of_range = |name: &str, range: &str, found: f32| {
        let reason = format!("the distribution {name} must be in the range {range}, got {found}");
        Err(unexpected(code, location, &reason))
    };
    if !(0.0..=1.0).contains(&mean) {
        return out_of_range("mean", "[0, 1]", mean);
    }
    if sigma <= 0.0 || sigma > 1.0 {
        return out_of_range("sigma", "]0, 1]", sigma);
    }
    Ok(())
}

/// The user's embedders after a patch that names some of them.
pub(super) fn merge(user: Option<&Value>, changes: &Object) -> Value {
    let mut merged = user.and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, change) in changes {
        let embedder = match (change, merged.get(name)) {
            (Value::Object(fields), before) => {
                let mut embedder = before.and_then(Value::as_object).cloned().unwrap_or_default();
                // What is quantized stays so; a node that is told to forget it breaks its index.
                let changes = fields.iter().filter(|(field, value)| *field != "binaryQuantized" || !value.is_null());
                embedder.extend(changes.map(|(field, value)| (field.clone(), value.clone())));
                embedder.retain(|_, value| !value.is_null());
                Value::Object(embedder)
            }
            (_, Some(_)) => Value::Null,
            (_, None) => continue,
        };
        merged.insert(name.clone(), embedder);
    }
    merged.sort_keys();
    if merged.values().all(Value::is_null) { Value::Null } else { Value::Object(merged) }
}

/// What can only be wrong in the whole.
///
/// # Errors
/// `invalid_settings_embedders`, `miroir_not_supported`.
pub(super) fn check_merged(user: &Object) -> Result<(), ApiError> {
    for (name, embedder) in live(user.get("embedders")) {
        if embedder["source"] != USER_PROVIDED {
            return Err(unsupported());
        }
        if embedder["dimensions"].is_null() {
            return Err(no_dimensions(name));
        }
    }
    Ok(())
}

/// Those that were not removed.
fn live(embedders: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    embedders.and_then(Value::as_object).into_iter().flatten().filter(|(_, embedder)| !embedder.is_null())
}

/// As `GET /settings` shows them.
pub(super) fn display(embedders: &Value) -> Value {
    let shown = live(Some(embedders)).map(|(name, embedder)| {
        let fields = ["source", "dimensions", "binaryQuantized", "distribution"];
        let fields = fields.iter().filter_map(|name| Some(((*name).to_owned(), embedder.get(*name)?.clone())));
        (name.clone(), fields.collect::<Map<_, _>>().into())
    });
    shown.collect::<Map<_, _>>().into()
}

/// For the nodes: every field is named, so that it is forgotten where it was not set, but `binaryQuantized`: see [`merge`].
pub(super) fn node_form(user: &Object) -> Value {
    let Some(Value::Object(embedders)) = user.get("embedders") else { return Value::Null };
    let whole = |embedder: &Value| {
        let fields = FIELDS.iter().filter(|field| **field != "binaryQuantized" || !embedder[**field].is_null());
        let fields = fields.map(|field| ((*field).to_owned(), embedder[*field].clone()));
        fields.collect::<Map<_, _>>().into()
    };
    let named = |(name, embedder): (&String, &Value)| {
        (name.clone(), if embedder.is_null() { Value::Null } else { whole(embedder) })
    };
    embedders.iter().map(named).collect::<Map<_, _>>().into()
}
