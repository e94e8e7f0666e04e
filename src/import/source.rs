//! Where an import comes from.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::ImportError;

/// A JSON object.
pub type Object = Map<String, Value>;

/// One index of a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceIndex {
    /// Its name.
    pub uid: String,
    /// None: it has had no documents.
    pub primary_key: Option<String>,
    /// As the source writes it.
    pub created_at: String,
    /// As the source writes it.
    pub updated_at: String,
    /// So many.
    pub documents: u64,
}

/// Some documents of an index, one behind the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<'a> {
    /// JSON, each one line.
    pub documents: Vec<Cow<'a, str>>,
    /// The place of the first of them.
    pub from: u64,
}

impl Page<'_> {
    /// The place of the next one.
    pub fn next(&self) -> u64 {
        self.from + self.documents.len() as u64
    }
}

/// What is done with each page.
pub type EachPage<'a> = dyn FnMut(Page<'_>) -> Result<(), ImportError> + 'a;

/// Where an import comes from. Places of documents stay the same as long as nobody writes to it.
pub trait Source {
    /// For people.
    fn name(&self) -> &str;

    /// Distinguishes it from other sources with the same index, whose documents may be in another order.
    fn kind(&self) -> String;

    /// What it has beyond what is copied, and should not be lost unsaid.
    fn obstacles(&self) -> Result<Vec<String>, ImportError> {
        Ok(Vec::new())
    }

    /// Experimental features that are switched on.
    fn features(&self) -> Result<Vec<String>, ImportError>;

    /// As `GET /keys` shows them, the oldest first; `key`, the value, may be missing.
    fn keys(&self) -> Result<Vec<Object>, ImportError>;

    /// As `GET /webhooks` shows them.
    fn webhooks(&self) -> Result<Vec<Object>, ImportError>;

    /// By name.
    fn indexes(&self) -> Result<Vec<SourceIndex>, ImportError>;

    /// As `GET /settings` shows them, or with embedders' keys in full.
    fn settings(&self, uid: &str) -> Result<Object, ImportError>;

    /// As a server that has these settings shows them: what Miroir, which was given some of them, is compared with.
    fn shown_settings(&self, uid: &str, _given: &Object) -> Result<Object, ImportError> {
        self.settings(uid)
    }

    /// Goes through the documents from a place on.
    fn documents(&self, index: &SourceIndex, from: u64, each: &mut EachPage<'_>) -> Result<(), ImportError>;
}
