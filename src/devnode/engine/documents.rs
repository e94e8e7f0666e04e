//! Documents as the engine keeps and lists them.
//!
//! A document is a JSON object in the order its index numbers its fields; nested values stay as they were written.

use serde_json::{Map, Value};

use crate::meili::error::{ApiError, Code};

/// A document: top-level fields by name.
pub type Document = Map<String, Value>;

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
    let _ = (document, primary_key);
    Err(ApiError::new(Code::MiroirNotSupported, "not there yet"))
}
