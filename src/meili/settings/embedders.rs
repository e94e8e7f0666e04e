//! `embedders`: who makes vectors of documents and of searches. Miroir makes none itself: nodes ask the sources.
//!
//! A node keeps an embedder until it is told to forget it. So a removed one stays in the user's settings as `null`, which
//! nobody sees, as long as there are others; where there are none, nodes forget them all. Keys are kept as they are, sent to
//! the nodes, and shown shortened. Templates go to the nodes guarded ([`crate::meili::template`]), the default one too.

use serde_json::{Map, Value, json};

use super::Object;
use super::shape::{Place, Shape};
use crate::meili::bad_value::{missing_field, unexpected, unknown_field, wrong_type};
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Feature;
use crate::meili::secret::shown_secret;
use crate::meili::template::{DEFAULT_TEMPLATE, guarded, guarded_value};

mod sources;

pub use sources::{FIELDS, SOURCES};
use sources::{Nesting, Source, Status};

/// Bytes of a rendered template where nobody says.
const TEMPLATE_BYTES: u64 = 400;

/// All embedders, by name.
pub(super) const EMBEDDERS: Shape = Shape::MapOf { keys: &Shape::Text, values: &Shape::Nullable(&EMBEDDER) };

const EMBEDDER: Shape = Shape::Fields(&[
    ("source", Shape::OneOf(&SOURCES)),
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
    ("searchEmbedder", NESTED_EMBEDDER),
    ("indexingEmbedder", NESTED_EMBEDDER),
    ("distribution", Shape::Anything),
]);
/// The same fields, in the order of its messages.
const NESTED_EMBEDDER: Shape = Shape::Fields(&[
    ("source", Shape::OneOf(&SOURCES)),
    ("model", Shape::Text),
    ("revision", Shape::Text),
    ("pooling", Shape::OneOf(&["useModel", "forceCls", "forceMean"])),
    ("apiKey", Shape::Text),
    ("dimensions", Shape::Integer { min: 0, max: u64::MAX }),
    ("documentTemplate", Shape::Text),
    ("documentTemplateMaxBytes", Shape::Integer { min: 0, max: u64::MAX }),
    ("url", Shape::Text),
    ("indexingFragments", Shape::Anything),
    ("searchFragments", Shape::Anything),
    ("request", Shape::Anything),
    ("response", Shape::Anything),
    ("headers", Shape::Anything),
    ("distribution", Shape::Anything),
    ("binaryQuantized", Shape::Boolean),
    ("searchEmbedder", Shape::Anything),
    ("indexingEmbedder", Shape::Anything),
]);

/// Fields that are embedders themselves, each with what it is for.
const NESTED: [(&str, Nesting); 2] = [("searchEmbedder", Nesting::Search), ("indexingEmbedder", Nesting::Indexing)];
/// Fields from names to templates.
const FRAGMENTS: [&str; 2] = ["indexingFragments", "searchFragments"];

fn is_set(embedder: &Object, field: &str) -> bool {
    embedder.get(field).is_some_and(|value| !value.is_null())
}

fn has_fragments(embedder: &Object) -> bool {
    let is_full = |field: &str| embedder.get(field).and_then(Value::as_object).is_some_and(|names| !names.is_empty());
    FRAGMENTS.iter().any(|field| is_full(field))
}

/// Checks a patch: what can be known of it without what was set before.
///
/// # Errors
/// `invalid_settings_embedders`, `miroir_reserved_field`, `miroir_not_supported`.
pub(super) fn check(patch: &Value, place: Place<'_>) -> Result<(), ApiError> {
    for (name, embedder) in patch.as_object().into_iter().flatten() {
        let Value::Object(fields) = embedder else { continue };
        let location = format!("{}.{name}", place.location);
        let place = Place { code: place.code, location: &location };
        check_fields(name, fields, Nesting::None)?;
        check_templates(fields)?;
        if fields.get("dimensions") == Some(&json!(0)) {
            let message = format!("`.embedders.{name}.dimensions`: `dimensions` cannot be zero");
            return Err(ApiError::new(place.code, message));
        }
        if let Some(distribution) = fields.get("distribution").filter(|value| !value.is_null()) {
            let location = format!("{location}.distribution");
            check_distribution(distribution, Place { code: place.code, location: &location })?;
        }
        for (field, nesting) in NESTED {
            if let Some(Value::Object(inner)) = fields.get(field) {
                check_fields(name, inner, nesting)?;
                check_templates(inner)?;
            }
        }
    }
    Ok(())
}

/// Which fields a source takes and needs. A patch without a source is only checked in the whole.
fn check_fields(embedder: &str, fields: &Object, nesting: Nesting) -> Result<(), ApiError> {
    let name = nesting.name_of(embedder);
    let refuse = |message: String| Err(ApiError::new(Code::InvalidSettingsEmbedders, message));
    let source = match fields.get("source") {
        Some(source) => Source::of(source),
        None if nesting == Nesting::None => return Ok(()),
        None => {
            return refuse(format!(
                "`.embedders.{name}`: Missing field `source`.\n  - note: this field is mandatory for nested embedders"
            ));
        }
    };
    if nesting != Nesting::None && matches!(source, Source::Composite | Source::UserProvided) {
        return refuse(format!(
            "`.embedders.{name}.source`: Source `{}` is not available in a nested embedder",
            source.name()
        ));
    }
    for field in FIELDS {
        match source.status(field, nesting) {
            Status::Mandatory if !is_set(fields, field) => {
                return refuse(format!(
                    "`.embedders.{embedder}`: Missing field `{field}` (note: this field is mandatory for source `{}`)",
                    source.name()
                ));
            }
            Status::Disallowed if is_set(fields, field) => {
                let notes = sources::notes_on_disallowed(source, field, nesting);
                return refuse(format!(
                    "`.embedders.{name}`: Field `{field}` unavailable for source `{}`{}.{notes}",
                    source.name(),
                    nesting.suffix(),
                ));
            }
            Status::Mandatory | Status::Allowed | Status::Disallowed => {}
        }
    }
    Ok(())
}

/// Every template must be one that can be guarded.
fn check_templates(fields: &Object) -> Result<(), ApiError> {
    if let Some(Value::String(template)) = fields.get("documentTemplate") {
        guarded(template)?;
    }
    for field in FRAGMENTS {
        fields.get(field).map_or(Ok(Value::Null), guarded_value)?;
    }
    Ok(())
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

/// Which experimental features a patch needs, with what it does.
pub(super) fn needed_features(patch: &Value) -> Vec<(Feature, &'static str)> {
    let mut needed = Vec::new();
    for embedder in patch.as_object().into_iter().flatten().filter_map(|(_, embedder)| embedder.as_object()) {
        if embedder.get("source").is_some_and(|source| source == Source::Composite.name()) {
            needed.push((Feature::CompositeEmbedders, "using `\"composite\"` as source"));
        }
        for (field, feature, doing) in [
            ("searchEmbedder", Feature::CompositeEmbedders, "setting `searchEmbedder`"),
            ("indexingEmbedder", Feature::CompositeEmbedders, "setting `indexingEmbedder`"),
            ("indexingFragments", Feature::Multimodal, "setting `indexingFragments`"),
            ("searchFragments", Feature::Multimodal, "setting `searchFragments`"),
        ] {
            if is_set(embedder, field) {
                needed.push((feature, doing));
            }
        }
    }
    needed
}

/// The user's embedders after a patch that names some of them.
pub(super) fn merge(user: Option<&Value>, changes: &Object) -> Value {
    let mut merged = user.and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, change) in changes {
        let embedder = match (change, merged.get(name)) {
            (Value::Object(fields), before) => Value::Object(merge_one(before.and_then(Value::as_object), fields)),
            (_, Some(_)) => Value::Null,
            (_, None) => continue,
        };
        merged.insert(name.clone(), embedder);
    }
    merged.sort_keys();
    if merged.values().all(Value::is_null) { Value::Null } else { Value::Object(merged) }
}

fn merge_one(before: Option<&Object>, changes: &Object) -> Object {
    let mut embedder = before.cloned().unwrap_or_default();
    let source_before = embedder.get("source").map(Source::of);
    let source = changes.get("source").map_or(source_before.unwrap_or(Source::OpenAi), Source::of);
    if source_before != Some(source) {
        embedder.retain(|field, _| source.keeps(field));
        embedder.insert("source".to_owned(), source.name().into());
    }
    for (field, change) in changes.iter().filter(|(field, _)| *field != "source") {
        let value = match (change, embedder.get(field)) {
            // What is quantized stays so; a node that is told to forget it breaks its index.
            (Value::Null, Some(kept)) if field == "binaryQuantized" => kept.clone(),
            (Value::Object(inner), before) if NESTED.iter().any(|(name, _)| name == field) => {
                Value::Object(merge_one(before.and_then(Value::as_object), inner))
            }
            (Value::Object(names), before) if FRAGMENTS.contains(&field.as_str()) => {
                let mut fragments = before.and_then(Value::as_object).cloned().unwrap_or_default();
                fragments.extend(names.iter().map(|(name, value)| (name.clone(), value.clone())));
                fragments.retain(|_, fragment| !fragment.is_null());
                Value::Object(fragments)
            }
            (change, _) => change.clone(),
        };
        embedder.insert(field.clone(), value);
    }
    embedder.retain(|_, value| !value.is_null());
    embedder
}

/// What can only be wrong in the whole.
///
/// # Errors
/// `invalid_settings_embedders`.
pub(super) fn check_merged(user: &Object) -> Result<(), ApiError> {
    live(user.get("embedders")).try_for_each(|(name, embedder)| {
        let embedder = embedder.as_object();
        embedder.map_or(Ok(()), |embedder| check_fields(name, embedder, Nesting::None))
    })
}

/// Those that were not removed.
fn live(embedders: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    embedders.and_then(Value::as_object).into_iter().flatten().filter(|(_, embedder)| !embedder.is_null())
}

/// As `GET /settings` shows them: with defaults, keys shortened.
pub(super) fn display(embedders: &Value) -> Value {
    display_all(embedders, shown_secret)
}

/// The same with whole keys.
pub(super) fn dumped(embedders: &Value) -> Value {
    display_all(embedders, str::to_owned)
}

fn display_all(embedders: &Value, shown_key: fn(&str) -> String) -> Value {
    let shown = live(Some(embedders)).filter_map(|(name, embedder)| {
        let shown = display_one(embedder.as_object()?, Nesting::None, shown_key);
        Some((name.clone(), Value::Object(shown)))
    });
    shown.collect::<Map<_, _>>().into()
}

fn display_one(embedder: &Object, nesting: Nesting, shown_key: fn(&str) -> String) -> Object {
    let source = embedder.get("source").map_or(Source::OpenAi, Source::of);
    let mut shown = Object::new();
    for field in FIELDS {
        if source.status(field, nesting) == Status::Disallowed {
            continue;
        }
        let is_template = field.starts_with("documentTemplate");
        let default = match field {
            _ if is_template && has_fragments(embedder) => continue,
            "documentTemplate" => json!(DEFAULT_TEMPLATE),
            "documentTemplateMaxBytes" => json!(TEMPLATE_BYTES),
            "headers" => json!({}),
            _ => source.default(field, embedder).map_or(Value::Null, Value::from),
        };
        let value = match (embedder.get(field), NESTED.iter().find(|(name, _)| *name == field)) {
            (Some(Value::Object(inner)), Some((_, nesting))) => Value::Object(display_one(inner, *nesting, shown_key)),
            (Some(Value::String(key)), _) if field == "apiKey" => Value::String(shown_key(key)),
            (Some(value), _) => value.clone(),
            (None, _) => default,
        };
        let is_empty = FRAGMENTS.contains(&field) && value.as_object().is_none_or(Map::is_empty);
        if !value.is_null() && !is_empty {
            shown.insert(field.to_owned(), value);
        }
    }
    shown
}

/// As the details of a task show them.
pub(super) fn with_short_keys(patch: &Value) -> Value {
    let mut patch = patch.clone();
    for embedder in patch.as_object_mut().into_iter().flatten().map(|(_, embedder)| embedder) {
        shorten_key(embedder);
        for (field, _) in NESTED {
            if let Some(inner) = embedder.get_mut(field) {
                shorten_key(inner);
            }
        }
    }
    patch
}

fn shorten_key(embedder: &mut Value) {
    if let Some(Value::String(key)) = embedder.get_mut("apiKey") {
        *key = shown_secret(key);
    }
}

/// For the nodes: every field that the source takes is named, so that it is forgotten where it was not set, but
/// `binaryQuantized`: see [`merge_one`].
pub(super) fn node_form(user: &Object) -> Value {
    let Some(Value::Object(embedders)) = user.get("embedders") else { return Value::Null };
    let named = |(name, embedder): (&String, &Value)| {
        let form = embedder.as_object().map_or(Value::Null, |embedder| Value::Object(whole(embedder, Nesting::None)));
        (name.clone(), form)
    };
    embedders.iter().map(named).collect::<Map<_, _>>().into()
}

fn whole(embedder: &Object, nesting: Nesting) -> Object {
    let source = embedder.get("source").map_or(Source::OpenAi, Source::of);
    let taken = FIELDS.iter().filter(|field| source.status(field, nesting) != Status::Disallowed);
    let fields = taken.filter(|field| **field != "binaryQuantized" || is_set(embedder, field)).map(|field| {
        let value = match (embedder.get(*field), NESTED.iter().find(|(name, _)| name == field)) {
            (Some(Value::Object(inner)), Some((_, nesting))) => Value::Object(whole(inner, *nesting)),
            (None, _) if *field == "documentTemplate" && !has_fragments(embedder) => for_node(&json!(DEFAULT_TEMPLATE)),
            (Some(value), _) if *field == "documentTemplate" || FRAGMENTS.contains(field) => for_node(value),
            (Some(value), _) => value.clone(),
            (None, _) => Value::Null,
        };
        ((*field).to_owned(), value)
    });
    fields.collect()
}

/// Templates were checked when they were set; one that an earlier version has judged otherwise stays as it is.
fn for_node(template: &Value) -> Value {
    guarded_value(template).unwrap_or_else(|_| template.clone())
}

/// Whether a node that shows `found` has what it should, `expected` being what it was sent. It may show more, and keys it
/// shows shortened.
pub(super) fn are_same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let has = |(name, value): (&String, &Value)| found.get(name).is_some_and(|found| has_all(value, found));
            expected.len() == found.len() && expected.iter().all(has)
        }
        _ => expected == found,
    }
}

fn has_all(expected: &Value, found: &Value) -> bool {
    let (Some(expected), Some(found)) = (expected.as_object(), found.as_object()) else { return expected == found };
    expected.iter().all(|(field, value)| match (field.as_str(), found.get(field)) {
        (_, None) => field == "headers",
        ("searchEmbedder" | "indexingEmbedder", Some(found)) => has_all(value, found),
        // Known to a node only by its beginning; another way to shorten it is no change.
        ("apiKey", Some(_)) => true,
        (_, Some(found)) => value == found,
    })
}

/// The template of an embedder, for a kind of template that can be rendered; as the user sees it.
pub(super) fn template(user: &Object, name: &str, kind: &str, fragment: Option<&str>) -> Option<Value> {
    let embedder = user.get("embedders")?.get(name)?.as_object()?;
    let of_fragments = |field: &str| embedder.get(field)?.get(fragment?)?.get("value").cloned();
    match kind {
        "documentTemplate" => Some(embedder.get("documentTemplate").cloned().unwrap_or(json!(DEFAULT_TEMPLATE))),
        "indexingFragment" => of_fragments("indexingFragments"),
        "searchFragment" => of_fragments("searchFragments"),
        _ => None,
    }
}
