//! A batch of document tasks: judged as a whole, then applied as a whole.
//!
//! Only the last state that a batch gives to an id is judged; payloads with a bad id fail alone.

use std::collections::HashMap;

use serde_json::Value;

use super::{BatchReport, Index, Payload};
use crate::devnode::engine::documents::{Document, document_id};
use crate::devnode::engine::geo;
use crate::devnode::engine::vectors::{self, DocumentVectors, Missing, VECTORS};
use crate::meili::error::ApiError;

/// What becomes of one external id.
struct Change {
    id: String,
    /// The document to store; `None` deletes.
    document: Option<Document>,
    /// The vectors to keep with it, those of configured embedders.
    vectors: DocumentVectors,
    /// Whether it was deleted in between, so that nothing of what is stored stays.
    is_fresh: bool,
}

/// The changes of a batch, each id once, in the order of first appearance.
#[derive(Default)]
struct Changes {
    list: Vec<Change>,
    places: HashMap<String, usize>,
}

impl Changes {
    /// The place of an id, with what is stored as its state before.
    fn place(&mut self, index: &Index, id: &str) -> usize {
        if let Some(&place) = self.places.get(id) {
            return place;
        }
        let place = self.list.len();
        self.places.insert(id.to_owned(), place);
        self.list.push(Change {
            id: id.to_owned(),
            document: index.get(id),
            vectors: DocumentVectors::new(),
            is_fresh: false,
        });
        place
    }
}

/// See [`Index::apply`].
pub(super) fn apply(index: &mut Index, payloads: &[Payload]) -> Result<BatchReport, ApiError> {
    let mut outcomes = Vec::with_capacity(payloads.len());
    let mut changes = Changes::default();
    let first = payloads.iter().rposition(|payload| *payload == Payload::Clear).unwrap_or(0);
    outcomes.extend(payloads[..first].iter().map(|payload| match payload {
        Payload::Clear => Ok(index.all.len()),
        Payload::Replace(_) | Payload::Update(_) | Payload::Delete(_) => Ok(0),
    }));
    for payload in &payloads[first..] {
        outcomes.push(add_payload(index, &mut changes, payload));
    }
    if index.settings.is_geo_enabled() {
        for Change { id, document, .. } in &changes.list {
            if let Some(document) = document {
                geo::document_point(document, id).map_err(|error| index.named(&error))?;
            }
        }
    }
    read_vectors(index, &mut changes)?;
    let changed =
        changes.list.iter().filter(|change| change.document.is_some() || index.numbers.contains_key(&change.id));
    let changed = changed.map(|change| change.id.clone()).collect();
    store(index, changes.list);
    Ok(BatchReport { outcomes, changed })
}

fn add_payload(index: &Index, changes: &mut Changes, payload: &Payload) -> Result<u64, ApiError> {
    match payload {
        Payload::Clear => {
            for document in index.documents.values() {
                let place = changes.place(index, &index.id_of(document));
                changes.list[place].delete();
            }
            Ok(index.all.len())
        }
        Payload::Delete(ids) => {
            let mut deleted = 0;
            for id in ids {
                let place = changes.place(index, id);
                deleted += u64::from(changes.list[place].delete());
            }
            Ok(deleted)
        }
        Payload::Replace(documents) => {
            let ids = ids_of(index, documents)?;
            for (id, document) in ids.iter().zip(documents) {
                let place = changes.place(index, id);
                changes.list[place].document = Some(document.clone());
            }
            Ok(distinct(ids))
        }
        Payload::Update(documents) => {
            let ids = ids_of(index, documents)?;
            for (id, document) in ids.iter().zip(documents) {
                let place = changes.place(index, id);
                let state = changes.list[place].document.get_or_insert_default();
                merge(state, document);
            }
            Ok(distinct(ids))
        }
    }
}

impl Change {
    /// Whether there was something to delete.
    fn delete(&mut self) -> bool {
        self.is_fresh = true;
        self.document.take().is_some()
    }
}

/// Field by field; `_vectors` embedder by embedder.
fn merge(state: &mut Document, document: &Document) {
    for (key, value) in document {
        match (state.get_mut(key), value) {
            (Some(Value::Object(state)), Value::Object(vectors)) if key == VECTORS => {
                state.extend(vectors.iter().map(|(name, vectors)| (name.clone(), vectors.clone())));
            }
            _ => {
                state.insert(key.clone(), value.clone());
            }
        }
    }
}

/// A document that is put without vectors keeps those it has.
fn read_vectors(index: &Index, changes: &mut Changes) -> Result<(), ApiError> {
    let mut missing = Missing::default();
    for change in &mut changes.list {
        let Some(document) = &mut change.document else { continue };
        let had =
            index.numbers.get(&change.id).filter(|_| !change.is_fresh).and_then(|number| index.vectors.get(number));
        let read = vectors::read(document, &change.id, &index.settings.embedders, had, &mut missing);
        change.vectors = read.map_err(|error| index.named(&error))?;
    }
    missing.error().map_or(Ok(()), |error| Err(index.named(&error)))
}

fn ids_of(index: &Index, documents: &[Document]) -> Result<Vec<String>, ApiError> {
    let key = index.primary_key.as_deref().unwrap_or("id");
    documents.iter().map(|document| document_id(document, key)).collect()
}

fn distinct(mut ids: Vec<String>) -> u64 {
    ids.sort_unstable();
    ids.dedup();
    ids.len() as u64
}

fn store(index: &mut Index, changes: Vec<Change>) {
    // New documents get the lowest numbers that are free before the batch.
    let last = index.all.max();
    let gaps: Vec<u32> = (0..last.unwrap_or(0)).filter(|number| !index.all.contains(*number)).collect();
    let mut free = gaps.into_iter().chain(last.map_or(0, |last| last + 1)..);
    let rules = index.text_rules.clone();
    rules.with_tokenizer(|tokenizer| {
        for Change { id, document, vectors, .. } in changes {
            let known = index.numbers.get(&id).copied();
            if let Some(number) = known {
                if document.is_some() && document.as_ref() == index.documents.get(&number) {
                    index.vectors.insert(number, vectors);
                    continue;
                }
                remove(index, number);
            }
            let Some(document) = document else {
                index.numbers.remove(&id);
                continue;
            };
            let number = known.or_else(|| free.next()).expect("fewer than 2^32 documents");
            index.numbers.insert(id, number);
            index.vectors.insert(number, vectors);
            insert(index, tokenizer, number, document);
        }
    });
}

fn remove(index: &mut Index, number: u32) {
    index.unindex_document(number);
    index.all.remove(number);
    index.vectors.remove(&number);
    for name in index.documents.remove(&number).iter().flat_map(Document::keys) {
        if let Some(count) = index.distribution.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                index.distribution.remove(name);
            }
        }
    }
}

fn insert(index: &mut Index, tokenizer: &charabia::Tokenizer<'_>, number: u32, document: Document) {
    let mut keyed: Vec<_> =
        document.into_iter().map(|(name, value)| (index.fields.id_or_insert(&name), name, value)).collect();
    keyed.sort_by_key(|(field, _, _)| *field);
    // `_vectors` counts as no field of a document.
    for (_, name, _) in keyed.iter().filter(|(_, name, _)| name != VECTORS) {
        *index.distribution.entry(name.clone()).or_default() += 1;
    }
    let document = keyed.into_iter().map(|(_, name, value)| (name, value)).collect();
    index.documents.insert(number, document);
    index.all.insert(number);
    index.index_document(tokenizer, number);
}
