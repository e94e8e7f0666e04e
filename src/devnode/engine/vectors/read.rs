//! `_vectors` of a document that is put: what is for configured embedders is taken out of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{DocumentVectors, VECTORS};
use crate::devnode::engine::documents::Document;
use crate::devnode::engine::settings::Embedder;
use crate::meili::bad_value::wrong_type;
use crate::meili::error::{ApiError, Code};

/// What one embedder has of one document.
#[derive(Clone, PartialEq, Debug, Default)]
pub(in crate::devnode::engine) struct EmbedderVectors {
    pub(super) embeddings: Vec<Vec<f32>>,
    pub(super) regenerate: bool,
}

impl EmbedderVectors {
    /// The vectors; none for a document that has opted out.
    pub(in crate::devnode::engine) fn embeddings(&self) -> &[Vec<f32>] {
        &self.embeddings
    }
}

/// Documents without the vectors that an embedder needs from outside.
#[derive(Default)]
pub(in crate::devnode::engine) struct Missing(BTreeMap<String, (String, usize)>);

impl Missing {
    fn note(&mut self, embedder: &str, id: &str) {
        self.0.entry(embedder.to_owned()).or_insert_with(|| (id.to_owned(), 0)).1 += 1;
    }

    /// The error of a batch in which documents lack vectors.
    pub(in crate::devnode::engine) fn error(&self) -> Option<ApiError> {
        let (embedder, (id, count)) = self.0.first_key_value()?;
        let others = if *count > 1 { format!(" and at least {} other document(s)", count - 1) } else { String::new() };
        let message = format!(
            "While embedding documents for embedder `{embedder}`: no vectors provided for document `{id}`{others}\n- Note: \
             `{embedder}` has `source: userProvided`, so documents must provide embeddings as an array in \
             `_vectors.{embedder}`.\n- Hint: opt-out for a document with `_vectors.{embedder}: null`"
        );
        Some(ApiError::new(Code::VectorEmbeddingError, message))
    }
}

/// An entry of `_vectors`.
struct Entry {
    /// `None` leaves them to the embedder.
    embeddings: Option<Value>,
    /// Where they stand, for messages.
    path: String,
    regenerate: bool,
}

/// Takes the vectors of configured embedders out of the document and adds them to those that it `had`.
///
/// # Errors
/// `invalid_vectors_type`, `invalid_vector_dimensions`. Documents without vectors are only noted.
pub(in crate::devnode::engine) fn read(
    document: &mut Document,
    id: &str,
    embedders: &BTreeMap<String, Embedder>,
    had: Option<&DocumentVectors>,
    missing: &mut Missing,
) -> Result<DocumentVectors, ApiError> {
    let bad = |reason: String| {
        let message = format!("Bad embedder configuration in the document with id: `{id}`. {reason}");
        ApiError::new(Code::InvalidVectorsType, message)
    };
    let mut entries = BTreeMap::new();
    if let Some(shown) = document.get_mut(VECTORS) {
        let Value::Object(shown) = shown else { return Err(no_map(shown)) };
        for (name, value) in &*shown {
            entries.insert(name.clone(), entry(name, value).map_err(bad)?);
        }
        shown.retain(|name, _| !embedders.contains_key(name));
    }
    if document.get(VECTORS).and_then(Value::as_object).is_some_and(Map::is_empty) {
        document.shift_remove(VECTORS);
    }
    let mut vectors = had.cloned().unwrap_or_default();
    vectors.retain(|name, _| embedders.contains_key(name));
    for (name, embedder) in embedders {
        let must_regenerate = |vectors: &DocumentVectors| vectors.get(name).is_none_or(|old| old.regenerate);
        match entries.remove(name) {
            Some(Entry { embeddings: Some(value), path, regenerate }) => {
                let embeddings = embeddings(&value, &path).map_err(bad)?;
                check_dimensions(&embeddings, embedder, name, id)?;
                vectors.insert(name.clone(), EmbedderVectors { embeddings, regenerate });
            }
            Some(Entry { embeddings: None, regenerate: false, .. }) => {
                vectors.entry(name.clone()).or_default();
            }
            Some(Entry { embeddings: None, regenerate: true, .. }) => missing.note(name, id),
            None if must_regenerate(&vectors) => missing.note(name, id),
            None => {}
        }
    }
    Ok(vectors)
}

fn no_map(found: &Value) -> ApiError {
    let kind = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("boolean `{flag}`"),
        Value::Number(number) if number.is_f64() => format!("floating point `{number}`"),
        Value::Number(number) => format!("integer `{number}`"),
        Value::String(text) => format!("string {text:?}"),
        Value::Array(_) => "sequence".to_owned(),
        Value::Object(_) => "map".to_owned(),
    };
    let column = if found.is_array() { 0 } else { found.to_string().len() };
    ApiError::new(Code::Internal, format!("invalid type: {kind}, expected a map at line 1 column {column}"))
}

/// The shape of an entry, which is checked for all embedders; the error is the reason.
fn entry(name: &str, value: &Value) -> Result<Entry, String> {
    let path = format!("._vectors.{name}");
    let (kind, shown) = match value {
        Value::Null => return Ok(Entry { embeddings: Some(Value::Array(Vec::new())), path, regenerate: false }),
        Value::Array(_) => return Ok(Entry { embeddings: Some(value.clone()), path, regenerate: false }),
        Value::Object(fields) => return explicit_entry(&path, fields),
        Value::Bool(flag) => ("boolean", flag.to_string()),
        Value::Number(number) if number.is_f64() => ("number", number.to_string()),
        Value::Number(number) => ("integer", number.to_string()),
        Value::String(text) => ("string", text.clone()),
    };
    Err(format!(
        "Expected `{path}` to be an array of floats, an array of arrays of floats, or an object with at least the field \
         `regenerate`, but got the {kind} `{shown}`"
    ))
}

fn explicit_entry(path: &str, fields: &Map<String, Value>) -> Result<Entry, String> {
    if let Some(other) = fields.keys().find(|key| !matches!(key.as_str(), "regenerate" | "embeddings")) {
        return Err(format!(
            "Unexpected field `{path}.{other}`\n  - note: the allowed fields are `regenerate` and `embeddings`"
        ));
    }
    let regenerate = match fields.get("regenerate") {
        Some(Value::Bool(regenerate)) => *regenerate,
        Some(value) => {
            return Err(format!("Could not parse `{path}.regenerate`: expected a boolean, got `{value}`"));
        }
        None => {
            return Err(format!(
                "Missing field `{path}.regenerate`\n  - note: `{path}` must be an array of floats, an array of arrays of \
                 floats, or an object with field `regenerate`"
            ));
        }
    };
    let embeddings = fields.get("embeddings").filter(|value| !value.is_null()).cloned();
    Ok(Entry { embeddings, path: format!("{path}.embeddings"), regenerate })
}

/// One vector or several; the error is the reason.
fn embeddings(value: &Value, path: &str) -> Result<Vec<Vec<f32>>, String> {
    let wrong =
        |path: &str, accepted: &str, value: &Value| wrong_type(Code::InvalidVectorsType, path, accepted, value).message;
    let numbers = |items: &[Value], path: &str| {
        let number = |(place, item): (usize, &Value)| match item.as_f64() {
            Some(number) => Ok(number as f32),
            None => Err(wrong(&format!("{path}[{place}]"), "a number", item)),
        };
        items.iter().enumerate().map(number).collect::<Result<Vec<f32>, String>>()
    };
    let Value::Array(items) = value else { return Err(wrong(path, "an array", value)) };
    match items.first() {
        None => Ok(Vec::new()),
        Some(Value::Number(_)) => Ok(vec![numbers(items, path)?]),
        Some(Value::Array(_)) => items
            .iter()
            .enumerate()
            .map(|(place, item)| {
                let path = format!("{path}[{place}]");
                match item {
                    Value::Array(items) => numbers(items, &path),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                        Err(wrong(&path, "an array", item))
                    }
                }
            })
            .collect(),
        Some(first @ (Value::Null | Value::Bool(_) | Value::String(_) | Value::Object(_))) => {
            Err(wrong(&format!("{path}[0]"), "a number or an array", first))
        }
    }
}

fn check_dimensions(embeddings: &[Vec<f32>], embedder: &Embedder, name: &str, id: &str) -> Result<(), ApiError> {
    let required = embedder.dimensions;
    let Some((place, wrong)) = embeddings.iter().enumerate().find(|(_, vector)| vector.len() != required) else {
        return Ok(());
    };
    let message = format!(
        "Invalid vector dimensions in document with id `{id}` in `._vectors.{name}`.\n  - note: embedding #{place} has \
         dimensions {}\n  - note: embedder `{name}` requires {required}",
        wrong.len()
    );
    Err(ApiError::new(Code::InvalidVectorDimensions, message))
}
