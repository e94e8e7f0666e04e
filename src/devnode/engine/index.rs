//! One index: its documents and the structures that searches read.
//!
//! Invariants: `all` holds exactly the numbers of `documents`; postings and facets hold exactly what the stored
//! documents give under the settings in force.

mod batch;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use roaring::RoaringBitmap;
use serde_json::{Map, Value};

use super::documents::{self, Document, DocumentsPage, DocumentsQuery};
use super::facets::Facets;
use super::federated::{FederatedError, FederatedIndex, FederatedPart, FederatedQuery};
use super::fields::Fields;
use super::geo;
use super::postings::Postings;
use super::query::{FacetSearchQuery, SearchQuery, SearchResult};
use super::settings::{FacetOrder, Settings};
use super::similar::{self, SimilarResult};
use super::tokenize::{self, TextRules};
use super::vectors::{self, DocumentVectors, Missing};
use super::{facet_search, federated, filter_eval, search, sort};
use crate::meili::error::{ApiError, Code};
use crate::meili::fields::{Selection, select};
use crate::meili::filterable::check_facets;
use crate::meili::search::Displayed;
use crate::meili::search_message::without_hidden;
use crate::meili::similar::SimilarRequest;

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
    /// error (a missing or invalid id: nothing of that payload is applied, the others are). Payloads before a clear
    /// succeed with 0 whatever they hold.
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
    /// Vectors of all embedders.
    pub number_of_embeddings: u64,
    /// Documents with a vector.
    pub number_of_embedded_documents: u64,
    /// Documents that have a top-level field, by its name.
    pub field_distribution: BTreeMap<String, u64>,
}

/// Documents with their settings and search structures.
#[derive(Clone, Debug)]
pub struct Index {
    pub(super) uid: String,
    primary_key: Option<String>,
    pub(super) settings: Settings,
    pub(super) text_rules: TextRules,
    pub(super) fields: Fields,
    pub(super) all: RoaringBitmap,
    documents: BTreeMap<u32, Document>,
    /// What configured embedders have of each document.
    vectors: BTreeMap<u32, DocumentVectors>,
    numbers: HashMap<String, u32>,
    pub(super) postings: Postings,
    pub(super) facets: Facets,
    distribution: BTreeMap<String, u64>,
}

impl Default for Index {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Index {
    /// An empty index with default settings.
    pub fn new(primary_key: Option<String>) -> Self {
        let settings = Settings::default();
        let mut fields = Fields::default();
        if let Some(key) = primary_key.as_deref().filter(|key| !key.contains('.')) {
            fields.id_or_insert(key);
        }
        Self {
            uid: String::new(),
            primary_key,
            text_rules: TextRules::new(&settings),
            settings,
            fields,
            all: RoaringBitmap::new(),
            documents: BTreeMap::new(),
            vectors: BTreeMap::new(),
            numbers: HashMap::new(),
            postings: Postings::default(),
            facets: Facets::default(),
            distribution: BTreeMap::new(),
        }
    }

    /// An index read back from disk. Documents come in the order in which they are to be numbered, that of
    /// [`Index::documents`] without sort when they were saved.
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

    /// Sets the name that error messages mention (``Index `uid`: ...``). Empty: none.
    pub fn set_uid(&mut self, uid: &str) {
        uid.clone_into(&mut self.uid);
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
        if let Some(current) = &self.primary_key {
            if current == primary_key {
                return Ok(());
            }
            if !self.documents.is_empty() {
                let message = self.message(&format!("Index already has a primary key: `{current}`."));
                return Err(ApiError::new(Code::IndexPrimaryKeyAlreadyExists, message));
            }
        }
        if !primary_key.contains('.') {
            self.fields.id_or_insert(primary_key);
        }
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
    /// this batch has a bad `_geo` and `_geo` is filterable or sortable; `invalid_vectors_type`,
    /// `invalid_vector_dimensions` and `vector_embedding_error` likewise. Nothing is applied then.
    pub fn apply(&mut self, payloads: &[Payload]) -> Result<BatchReport, ApiError> {
        batch::apply(self, payloads)
    }

    /// Replaces the settings and rebuilds the search structures where needed.
    ///
    /// # Errors
    /// `invalid_document_geo_field` when a stored `_geo` is bad; the old settings stay in force then. Seen on a real
    /// server: whatever is changed, and whether or not `_geo` is filterable or sortable before or after.
    /// `vector_embedding_error` and the like when stored documents have no vectors for a new embedder.
    pub fn set_settings(&mut self, settings: Settings) -> Result<(), ApiError> {
        for document in self.documents.values() {
            geo::document_point(document, &self.id_of(document)).map_err(|error| self.named(&error))?;
        }
        settings.check_whole()?;
        if settings.embedders != self.settings.embedders {
            self.set_embedders(&settings)?;
        }
        let rebuild = settings.needs_rebuild(&self.settings);
        self.text_rules = TextRules::new(&settings);
        self.settings = settings;
        if rebuild {
            self.postings = Postings::default();
            self.facets = Facets::default();
            let numbers: Vec<u32> = self.documents.keys().copied().collect();
            let rules = self.text_rules.clone();
            rules.with_tokenizer(|tokenizer| {
                for number in numbers {
                    self.index_document(tokenizer, number);
                }
            });
        }
        Ok(())
    }

    /// Answers a search.
    ///
    /// # Errors
    /// Those of Meilisearch, `invalid_search_filter` for example.
    pub fn search(&self, query: &SearchQuery) -> Result<SearchResult, ApiError> {
        search::search(self, query)
    }

    /// Answers the queries of a federated search that are about this index, at least one.
    ///
    /// # Errors
    /// Those of Meilisearch, with the query.
    pub fn federated(
        &self,
        queries: &[FederatedQuery],
        part: &FederatedPart<'_>,
    ) -> Result<FederatedIndex, FederatedError> {
        federated::search(self, queries, part)
    }

    /// The facets that patterns name, by name, with the order of their values.
    pub fn facet_orders(&self, patterns: &[String]) -> Vec<(String, FacetOrder)> {
        federated::facet_orders(self, patterns)
    }

    /// Checks that facets can be counted.
    ///
    /// # Errors
    /// `invalid_search_facets`.
    pub fn check_facets(&self, patterns: &[String]) -> Result<(), ApiError> {
        check_facets(&self.settings.filterable_attributes, patterns.iter().map(String::as_str))
    }

    /// Finds the documents that are near to one.
    ///
    /// # Errors
    /// `invalid_similar_embedder`, `invalid_similar_filter`, `not_found_similar_id`.
    pub fn similar(&self, request: &SimilarRequest) -> Result<SimilarResult, ApiError> {
        similar::similar(self, request)
    }

    /// Answers a search in the values of one facet: `facetHits` (`value`, `count`) and `facetQuery`.
    ///
    /// # Errors
    /// Those of a search; `facet_search_disabled`, `invalid_facet_search_facet_name`.
    pub fn facet_search(&self, query: &FacetSearchQuery) -> Result<Map<String, Value>, ApiError> {
        facet_search::facet_search(self, query)
    }

    /// Lists documents.
    ///
    /// # Errors
    /// `invalid_document_filter`, `invalid_document_sort`.
    pub fn documents(&self, query: &DocumentsQuery) -> Result<DocumentsPage, ApiError> {
        let criteria = sort::parse(&query.sort).map_err(|message| ApiError::new(Code::InvalidDocumentSort, message))?;
        sort::check(self, &criteria).map_err(|message| ApiError::new(Code::InvalidDocumentSort, message))?;
        let mut chosen = match &query.filter {
            Some(filter) => filter_eval::evaluate(self, filter, Code::InvalidDocumentFilter)?,
            None => None,
        }
        .unwrap_or_else(|| self.all.clone());
        if let Some(ids) = &query.ids {
            chosen &= ids.iter().filter_map(|id| self.numbers.get(id).copied()).collect::<RoaringBitmap>();
        }
        let total = chosen.len() as usize;
        let page = sort::ordered(self, &criteria, &chosen);
        let results = page
            .into_iter()
            .skip(query.offset)
            .take(query.limit)
            .filter_map(|number| self.with_vectors(number))
            .map(|document| match &query.fields {
                Some(fields) if !fields.iter().any(|field| field == "*") => {
                    select(&document, &fields.iter().map(String::as_str).collect::<Vec<_>>(), Selection::Document)
                }
                Some(_) | None => document,
            })
            .collect();
        Ok(DocumentsPage { results, total })
    }

    /// External ids of the documents that a filter matches, for a delete by filter.
    ///
    /// # Errors
    /// `invalid_document_filter`.
    pub fn ids_matching(&self, filter: &Value) -> Result<Vec<String>, ApiError> {
        let chosen = filter_eval::evaluate(self, filter, Code::InvalidDocumentFilter)?;
        let chosen = chosen.unwrap_or_else(|| self.all.clone());
        Ok(chosen
            .iter()
            .filter_map(|number| self.documents.get(&number))
            .map(|document| self.id_of(document))
            .collect())
    }

    /// One document by its external id, all its fields, its vectors among them.
    pub fn get(&self, id: &str) -> Option<Document> {
        self.with_vectors(self.number(id)?)
    }

    /// The number of a document by its external id.
    pub(super) fn number(&self, id: &str) -> Option<u32> {
        self.numbers.get(id).copied()
    }

    /// A stored document with its vectors.
    pub(super) fn with_vectors(&self, number: u32) -> Option<Document> {
        Some(vectors::with_vectors(self.documents.get(&number)?, self.vectors.get(&number)))
    }

    /// The vectors that an embedder has of a document.
    pub(super) fn embeddings(&self, number: u32, embedder: &str) -> &[Vec<f32>] {
        self.vectors.get(&number).and_then(|vectors| vectors.get(embedder)).map_or(&[], |vectors| vectors.embeddings())
    }

    /// Counts.
    pub fn stats(&self) -> IndexStats {
        IndexStats {
            number_of_documents: self.documents.len() as u64,
            number_of_embeddings: self.embedding_counts().sum(),
            number_of_embedded_documents: self.embedding_counts().filter(|count| *count > 0).count() as u64,
            field_distribution: self.distribution.clone(),
        }
    }

    /// The fields of the stored documents with those below them, with points between levels, and the primary key.
    pub fn field_names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.primary_key.iter().cloned().collect();
        for document in self.documents.values() {
            document.iter().for_each(|(key, value)| note_names(&mut names, key, value));
        }
        names
    }

    /// A stored document by its number.
    pub(super) fn document(&self, number: u32) -> Option<&Document> {
        self.documents.get(&number)
    }

    /// The message with the name of the index before it, as Meilisearch writes some, and without attributes that are not
    /// displayed.
    pub(super) fn message(&self, message: &str) -> String {
        let displayed = self.settings.displayed_attributes.clone().map_or(Displayed::All, Displayed::Only);
        let message = without_hidden(message, &displayed);
        if self.uid.is_empty() { message } else { format!("Index `{}`: {message}", self.uid) }
    }

    /// How many vectors each document has.
    fn embedding_counts(&self) -> impl Iterator<Item = u64> {
        let count = |vectors: &DocumentVectors| vectors.values().map(|vectors| vectors.embeddings().len() as u64).sum();
        self.vectors.values().map(count)
    }

    /// Moves vectors between documents and embedders.
    fn set_embedders(&mut self, settings: &Settings) -> Result<(), ApiError> {
        let (mut documents, mut all) = (BTreeMap::new(), BTreeMap::new());
        let mut missing = Missing::default();
        for (number, document) in &self.documents {
            let mut document = vectors::with_vectors(document, self.vectors.get(number));
            let id = self.id_of(&document);
            let read = vectors::read(&mut document, &id, &settings.embedders, None, &mut missing);
            all.insert(*number, read.map_err(|error| self.named(&error))?);
            documents.insert(*number, document);
        }
        if let Some(error) = missing.error() {
            return Err(self.named(&error));
        }
        (self.documents, self.vectors) = (documents, all);
        Ok(())
    }

    fn named(&self, error: &ApiError) -> ApiError {
        ApiError { message: self.message(&error.message), code: error.code }
    }

    fn id_of(&self, document: &Document) -> String {
        let key = self.primary_key.as_deref().unwrap_or_default();
        documents::document_id(document, key).unwrap_or_default()
    }

    /// Adds a stored document to the search structures.
    fn index_document(&mut self, tokenizer: &charabia::Tokenizer<'_>, number: u32) {
        let Self { settings, fields, documents, postings, facets, .. } = self;
        let Some(document) = documents.get(&number) else { return };
        let typo = &settings.typo_tolerance;
        tokenize::document_words(tokenizer, settings, fields, document, &mut |word| {
            let is_number = || word.word.chars().all(|letter| letter.is_numeric() || letter.is_ascii_punctuation());
            let exact = settings.is_exact_attribute(word.name) || (typo.disable_on_numbers && is_number());
            postings.add(number, word, exact);
        });
        postings.finish(number);
        facets.add(number, document, settings, fields);
    }

    /// Takes a stored document out of the search structures.
    fn unindex_document(&mut self, number: u32) {
        let Self { settings, fields, documents, postings, facets, .. } = self;
        let Some(document) = documents.get(&number) else { return };
        postings.remove(number);
        facets.remove(number, document, settings, fields);
    }
}

fn note_names(names: &mut BTreeSet<String>, path: &str, value: &Value) {
    names.insert(path.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| note_names(names, &format!("{path}.{key}"), value));
        }
        // Objects in lists lie on the same level.
        Value::Array(items) => {
            items.iter().filter(|item| !item.is_number()).for_each(|item| note_names(names, path, item));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
