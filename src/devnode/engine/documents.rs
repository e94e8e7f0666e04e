//! Documents as the engine keeps and lists them: ids and pages.
//!
//! A document is a JSON object in the order its index numbers its fields; nested values stay as they were written.

use serde_json::{Map, Value};

use crate::meili::error::{ApiError, Code};

/// A document: top-level fields by name.
pub type Document = Map<String, Value>;

/// The longest id, in bytes.
const ID_BYTES_MAX: usize = 511;

/// What `documents/fetch` asks for.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct DocumentsQuery {
    /// The filter as it stands in the request: a string or nested arrays. `None` for all documents.
    pub filter: Option<Value>,
    /// Only these documents, as external ids (`1` and `"1"` are both `1`).
    pub ids: Option<Vec<String>>,
    /// Only these fields; `None` and `["*"]` mean all.
    pub fields: Option<Vec<String>>,
    /// `name:asc`, `name:desc` or `_geoPoint(lat,lng):asc`, most significant first.
    pub sort: Vec<String>,
    /// Documents to skip.
    pub offset: usize,
    /// Documents to return at most (Meilisearch's default is 20).
    pub limit: usize,
}

/// One page of documents.
#[derive(Clone, PartialEq, Debug)]
pub struct DocumentsPage {
    /// The documents, in internal order or as sorted.
    pub results: Vec<Document>,
    /// How many documents match in all.
    pub total: usize,
}

/// The external id of a document by its `primary_key` (dots reach into objects).
///
/// # Errors
/// `missing_document_id`, `invalid_document_id`.
pub fn document_id(document: &Document, primary_key: &str) -> Result<String, ApiError> {
    let mut found = Vec::new();
    collect(document, primary_key, &mut found);
    let value = match found.as_slice() {
        [] => {
            return Err(ApiError::new(
                Code::MissingDocumentId,
                format!("Document doesn't have a `{primary_key}` attribute: `{}`.", Value::Object(document.clone())),
            ));
        }
        [value] => *value,
        [_, _, ..] => {
            return Err(ApiError::new(
                Code::InvalidDocumentId,
                format!("Document have too many matching `{primary_key}` attribute: `{}`.", found.len()),
            ));
        }
    };
    id_text(value).ok_or_else(|| {
        ApiError::new(
            Code::InvalidDocumentId,
            format!(
                "Document identifier `{value}` is invalid. A document identifier can be of type integer or string, \
                 only composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores (_), and can not \
                 be more than 511 bytes."
            ),
        )
    })
}

/// Values that a path with dots reaches; keys may hold dots themselves.
fn collect<'a>(object: &'a Document, path: &str, found: &mut Vec<&'a Value>) {
    for (key, value) in object {
        if key == path {
            found.push(value);
        } else if let (Some(rest), Value::Object(inner)) =
            (path.strip_prefix(key.as_str()).and_then(|rest| rest.strip_prefix('.')), value)
        {
            collect(inner, rest, found);
        }
    }
}

/// The canonical text of an id, if the value is one.
fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        Value::String(text) => {
            let valid = (1..=ID_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
            valid.then(|| text.clone())
        }
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_read_or_refused_as_meilisearch_does() {
        let table = [
            (json!({"id": 1}), Ok("1")),
            (json!({"id": "01"}), Ok("01")),
            (json!({"id": -3}), Ok("-3")),
            (json!({"id": 1.0}), Err("invalid_document_id")),
            (json!({"id": "a b"}), Err("invalid_document_id")),
            (json!({"id": ""}), Err("invalid_document_id")),
            (json!({"id": null}), Err("invalid_document_id")),
            (json!({"ID": 1}), Err("missing_document_id")),
        ];
        for (document, expected) in table {
            let found = document_id(document.as_object().unwrap(), "id");
            assert_eq!(found.as_deref().map_err(|error| error.code.name()), expected, "{document}");
        }
        assert_eq!(document_id(json!({"a": {"id": 7}}).as_object().unwrap(), "a.id").as_deref(), Ok("7"));
    }
}
