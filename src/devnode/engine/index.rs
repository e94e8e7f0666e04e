//! One index: its documents and the structures that searches read.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::documents::{Document, DocumentsPage, DocumentsQuery};
use super::query::{FacetSearchQuery, SearchQuery, SearchResult};
use super::settings::Settings;
use crate::meili::error::{ApiError, Code};

/// One document task of a batch.
#[derive(Clone, PartialEq, Debug)]
pub enum Payload {
    /// Put documents, whole.
    Replace(Vec<Document>),
    /// Put documents, field by field over what is stored.
    Update(Vec<Document>),
    /// Delete these external ids.
    Delete(Vec<String>),
    /// Delete every document.
    Clear,
}

/// What a batch did.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BatchReport {
    /// For each payload in order: the documents it put or deleted (`indexedDocuments`, `deletedDocuments`), or its own
    /// error (a missing or invalid id: nothing of that payload is applied, the others are).
    pub outcomes: Vec<Result<u64, ApiError>>,
    /// External ids of all documents that were stored or deleted, each once. Whoever keeps the documents on disk reads
    /// the new state by [`Index::get`]; `None` there means deleted.
    pub changed: Vec<String>,
}

/// `numberOfDocuments` and `fieldDistribution` of `GET /indexes/{uid}/stats`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IndexStats {
    /// Documents stored.
    pub number_of_documents: u64,
    /// Documents that have a field, by its flattened name.
    pub field_distribution: BTreeMap<String, u64>,
}

/// Documents with their settings and search structures.
#[derive(Clone, Debug, Default)]
pub struct Index {
    primary_key: Option<String>,
    settings: Settings,
}

fn not_there() -> ApiError {
    ApiError::new(Code::MiroirNotSupported, "not there yet")
}

impl Index {
    /// An empty index with default settings.
    pub fn new(primary_key: Option<String>) -> Self {
        Self { primary_key, settings: Settings::default() }
    }

    /// An index read back from disk. Documents come in the order in which they were stored with their internal
    /// numbers where known.
    ///
    /// # Errors
    /// As [`Index::apply`] and [`Index::set_settings`].
    pub fn restore(
        primary_key: Option<String>,
        settings: Settings,
        documents: Vec<Document>,
    ) -> Result<Self, ApiError> {
        let mut index = Self::new(primary_key);
        index.set_settings(settings)?;
        index.apply(&[Payload::Replace(documents)])?;
        Ok(index)
    }

    /// The primary key, once it is known.
    pub fn primary_key(&self) -> Option<&str> {
        self.primary_key.as_deref()
    }

    /// Sets or changes the primary key.
    ///
    /// # Errors
    /// `index_primary_key_already_exists` when documents are stored under another one.
    pub fn set_primary_key(&mut self, primary_key: &str) -> Result<(), ApiError> {
        self.primary_key = Some(primary_key.to_owned());
        Ok(())
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Applies one batch of document tasks of one index, all or nothing. The primary key must be set before (the
    /// caller takes it from the task's `primaryKey`).
    ///
    /// # Errors
    /// An error that fails every task of the batch: `invalid_document_geo_field` when the last state of a document in
    /// this batch has a bad `_geo` and `_geo` is filterable or sortable. Nothing is applied then.
    pub fn apply(&mut self, payloads: &[Payload]) -> Result<BatchReport, ApiError> {
        let _ = payloads;
        Err(not_there())
    }

    /// Replaces the settings and rebuilds the search structures where needed.
    ///
    /// # Errors
    /// `invalid_document_geo_field` when `_geo` becomes filterable or sortable and a stored one is bad; the old
    /// settings stay in force then.
    pub fn set_settings(&mut self, settings: Settings) -> Result<(), ApiError> {
        self.settings = settings;
        Ok(())
    }

    /// Answers a search.
    ///
    /// # Errors
    /// Those of Meilisearch, `invalid_search_filter` for example.
    pub fn search(&self, query: &SearchQuery) -> Result<SearchResult, ApiError> {
        let _ = query;
        Err(not_there())
    }

    /// Answers a search in the values of one facet: `facetHits` (`value`, `count`) and `facetQuery`.
    ///
    /// # Errors
    /// Those of Meilisearch, `invalid_facet_search_facet_name` for example.
    pub fn facet_search(&self, query: &FacetSearchQuery) -> Result<Map<String, Value>, ApiError> {
        let _ = query;
        Err(not_there())
    }

    /// Lists documents.
    ///
    /// # Errors
    /// `invalid_document_filter`, `invalid_document_sort`.
    pub fn documents(&self, query: &DocumentsQuery) -> Result<DocumentsPage, ApiError> {
        let _ = query;
        Err(not_there())
    }

    /// External ids of the documents that a filter matches, for a delete by filter.
    ///
    /// # Errors
    /// `invalid_document_filter`.
    pub fn ids_matching(&self, filter: &Value) -> Result<Vec<String>, ApiError> {
        let _ = filter;
        Err(not_there())
    }

    /// One document by its external id, all its fields.
    pub fn get(&self, id: &str) -> Option<Document> {
        let _ = id;
        None
    }

    /// Counts.
    pub fn stats(&self) -> IndexStats {
        IndexStats::default()
    }
}
