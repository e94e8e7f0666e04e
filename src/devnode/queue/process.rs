//! What one batch does to its index, and what becomes of each of its tasks.
//!
//! Errors found while reading a payload (a missing or bad id, no primary key) are the task's own; any other error
//! fails every task of the batch and nothing is applied. The index that a put or settings create stays even then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::batching::{Batch, BatchKind};
use super::task::{Content, PutMethod, Task};
use crate::devnode::disk::DocumentsChange;
use crate::devnode::engine::{Document, Index, Payload, document_id};
use crate::devnode::indexes::{IndexContent, Indexes, NamedIndex, fresh};
use crate::devnode::payload;
use crate::meili::error::{ApiError, Code};

/// What became of one task: its count (`None`: succeeded unread), or its error.
pub type Outcome = Result<Option<u64>, ApiError>;

/// Reads the documents of a put, by task number.
pub type ReadPayload<'a> = dyn Fn(u64) -> Result<Vec<u8>, ApiError> + 'a;

/// Processes one batch of one index; one outcome per task.
pub fn process(
    indexes: &Indexes,
    index_uid: &str,
    batch: &Batch,
    tasks: &[Task],
    read_payload: &ReadPayload<'_>,
) -> Vec<Outcome> {
    let outcomes = match batch.kind {
        BatchKind::Create => create(indexes, index_uid, &tasks[0]),
        BatchKind::Update => update(indexes, index_uid, &tasks[0]),
        BatchKind::DeleteIndex => delete_index(indexes, index_uid, batch, tasks),
        BatchKind::Compact => indexes.get(index_uid).map(|_| vec![Ok(None)]),
        BatchKind::Documents
        | BatchKind::Deletions { .. }
        | BatchKind::Clear
        | BatchKind::Settings
        | BatchKind::ClearAndSettings => open(indexes, index_uid, batch.creates_index).and_then(|index| {
            let work = Work { indexes, index: &index, tasks };
            match batch.kind {
                BatchKind::Documents => work.documents(batch.primary_key.as_deref(), read_payload),
                BatchKind::Deletions { .. } => work.deletions(),
                BatchKind::Clear => work.clear(),
                BatchKind::Settings => work.settings(false),
                BatchKind::ClearAndSettings => work.settings(true),
                BatchKind::Create | BatchKind::Update | BatchKind::DeleteIndex | BatchKind::Compact => {
                    unreachable!("handled above")
                }
            }
        }),
    };
    outcomes.unwrap_or_else(|error| vec![Err(error); tasks.len()])
}

fn open(indexes: &Indexes, uid: &str, create: bool) -> Result<Arc<NamedIndex>, ApiError> {
    match indexes.get(uid) {
        Err(error) if error.code == Code::IndexNotFound && create => indexes.create(uid, None),
        found => found,
    }
}

fn create(indexes: &Indexes, uid: &str, task: &Task) -> Result<Vec<Outcome>, ApiError> {
    if indexes.get(uid).is_ok() {
        return Err(ApiError::new(Code::IndexAlreadyExists, format!("Index `{uid}` already exists.")));
    }
    let Content::CreateIndex { primary_key } = &task.content else { unreachable!("a creation stands alone") };
    indexes.create(uid, primary_key.as_deref())?;
    Ok(vec![Ok(None)])
}

fn update(indexes: &Indexes, uid: &str, task: &Task) -> Result<Vec<Outcome>, ApiError> {
    let index = indexes.get(uid)?;
    let Content::UpdateIndex { primary_key } = &task.content else { unreachable!("an update stands alone") };
    let mut content = index.write();
    if let Some(primary_key) = primary_key {
        content.engine.set_primary_key(primary_key)?;
    }
    indexes.store(&index, &mut content, &DocumentsChange::Some(Vec::new()))?;
    Ok(vec![Ok(None)])
}

fn delete_index(indexes: &Indexes, uid: &str, batch: &Batch, tasks: &[Task]) -> Result<Vec<Outcome>, ApiError> {
    let number_of_documents = match indexes.get(uid) {
        Ok(index) => {
            let count = index.read().engine.stats().number_of_documents;
            indexes.delete(&index)?;
            count
        }
        // Tasks of this batch would have created it.
        Err(_) if batch.creates_index => 0,
        Err(error) => return Err(error),
    };
    let outcome = |task: &Task| match task.content {
        Content::DeleteIndex => Ok(Some(number_of_documents)),
        Content::Clear => Ok(None),
        Content::Put { .. }
        | Content::Delete { .. }
        | Content::DeleteByFilter { .. }
        | Content::Settings { .. }
        | Content::CreateIndex { .. }
        | Content::UpdateIndex { .. }
        | Content::CompactIndex
        | Content::CancelTasks { .. }
        | Content::DeleteTasks { .. } => Ok(Some(0)),
    };
    Ok(tasks.iter().map(outcome).collect())
}

/// A batch on an index that exists.
struct Work<'a> {
    indexes: &'a Indexes,
    index: &'a NamedIndex,
    tasks: &'a [Task],
}

/// Puts and deletes of a batch on their way to the engine.
#[derive(Default)]
struct Prepared {
    payloads: Vec<Payload>,
    /// For each payload: its task's position in the batch, and a count that overrides the engine's.
    owners: Vec<(usize, Option<u64>)>,
}

impl Work<'_> {
    fn documents(&self, batch_key: Option<&str>, read_payload: &ReadPayload<'_>) -> Result<Vec<Outcome>, ApiError> {
        let mut content = self.index.write();
        let mut operations = Vec::with_capacity(self.tasks.len());
        for task in self.tasks {
            operations.push(Some(operation(&content.engine, task, read_payload)?));
        }
        let mut outcomes: Vec<Outcome> = vec![Ok(Some(0)); self.tasks.len()];
        let Some(key) = choose_key(&content.engine, batch_key, &mut operations, &mut outcomes) else {
            // Nothing to apply: every put has its own error.
            return Ok(outcomes);
        };
        let known = content.engine.primary_key().is_some();
        if !known {
            content.engine.set_primary_key(&key)?;
        }
        let prepared = self.prepare(&content.engine, &key, operations);
        let report = match content.engine.apply(&prepared.payloads) {
            Ok(report) => report,
            Err(error) => {
                if !known {
                    self.forget_key(&mut content)?;
                }
                return Err(error);
            }
        };
        for (outcome, (position, count)) in report.outcomes.into_iter().zip(prepared.owners) {
            outcomes[position] = outcome.map(|applied| Some(count.unwrap_or(applied)));
        }
        if outcomes.iter().all(Result::is_err) {
            if !known {
                self.forget_key(&mut content)?;
            }
            return Ok(outcomes);
        }
        self.store_changed(&mut content, report.changed)?;
        Ok(outcomes)
    }

    /// Drops the documents that `skipCreation` excludes and counts deletes the way a mixed batch does: ids, not documents.
    fn prepare(&self, engine: &Index, key: &str, operations: Vec<Option<Payload>>) -> Prepared {
        let skips = |task: &Task| matches!(task.content, Content::Put { skip_creation: true, .. });
        let mut existence = self.tasks.iter().any(skips).then(BTreeMap::new);
        let mut prepared = Prepared::default();
        for (position, operation) in operations.into_iter().enumerate() {
            let Some(mut operation) = operation else { continue };
            let mut count = None;
            if let Payload::Delete(ids) = &operation {
                count = Some(ids.iter().collect::<BTreeSet<_>>().len() as u64);
            }
            if let Some(existence) = &mut existence {
                let skipped = track_existence(engine, key, &mut operation, existence, skips(&self.tasks[position]));
                count = count.or(skipped);
            }
            prepared.payloads.push(operation);
            prepared.owners.push((position, count));
        }
        prepared
    }

    /// Takes back a primary key that a refused batch had set; such an index has no documents.
    fn forget_key(&self, content: &mut IndexContent) -> Result<(), ApiError> {
        let mut emptied = fresh(&self.index.uid, None);
        emptied.set_settings(content.engine.settings().clone())?;
        content.engine = emptied;
        Ok(())
    }

    fn deletions(&self) -> Result<Vec<Outcome>, ApiError> {
        let mut content = self.index.write();
        let mut doomed = BTreeSet::new();
        let mut outcomes = Vec::with_capacity(self.tasks.len());
        for task in self.tasks {
            let ids = match &task.content {
                Content::Delete { ids } => {
                    Ok(ids.iter().filter(|id| content.engine.get(id).is_some()).cloned().collect())
                }
                Content::DeleteByFilter { filter } => content.engine.ids_matching(filter),
                Content::Put { .. }
                | Content::Clear
                | Content::Settings { .. }
                | Content::CreateIndex { .. }
                | Content::UpdateIndex { .. }
                | Content::DeleteIndex
                | Content::CompactIndex
                | Content::CancelTasks { .. }
                | Content::DeleteTasks { .. } => unreachable!("not part of a batch of deletions"),
            };
            outcomes.push(ids.map(|ids: Vec<String>| {
                let before = doomed.len();
                doomed.extend(ids);
                Some((doomed.len() - before) as u64)
            }));
        }
        if !doomed.is_empty() {
            let payload = Payload::Delete(doomed.into_iter().collect());
            let report = content.engine.apply(&[payload])?;
            self.store_changed(&mut content, report.changed)?;
        }
        Ok(outcomes)
    }

    fn clear(&self) -> Result<Vec<Outcome>, ApiError> {
        let mut content = self.index.write();
        let count = content.engine.stats().number_of_documents;
        content.engine.apply(&[Payload::Clear])?;
        self.indexes.store(self.index, &mut content, &DocumentsChange::Clear)?;
        Ok(self.clear_outcomes(count))
    }

    /// The first clear has deleted everything, later ones nothing; what is no clear succeeded unread.
    fn clear_outcomes(&self, number_of_documents: u64) -> Vec<Outcome> {
        let mut left = number_of_documents;
        let outcome = |task: &Task| match task.content {
            Content::Clear => Ok(Some(std::mem::take(&mut left))),
            Content::Put { .. }
            | Content::Delete { .. }
            | Content::DeleteByFilter { .. }
            | Content::Settings { .. }
            | Content::CreateIndex { .. }
            | Content::UpdateIndex { .. }
            | Content::DeleteIndex
            | Content::CompactIndex
            | Content::CancelTasks { .. }
            | Content::DeleteTasks { .. } => Ok(None),
        };
        self.tasks.iter().map(outcome).collect()
    }

    fn settings(&self, clear: bool) -> Result<Vec<Outcome>, ApiError> {
        let mut content = self.index.write();
        let mut settings = content.engine.settings().clone();
        for task in self.tasks {
            if let Content::Settings { patch, .. } = &task.content {
                settings = settings.patched(patch)?;
            }
        }
        let count = content.engine.stats().number_of_documents;
        if clear {
            let mut emptied = fresh(&self.index.uid, content.engine.primary_key());
            emptied.set_settings(settings)?;
            content.engine = emptied;
            self.indexes.store(self.index, &mut content, &DocumentsChange::Clear)?;
        } else {
            content.engine.set_settings(settings)?;
            self.indexes.store(self.index, &mut content, &DocumentsChange::Some(Vec::new()))?;
        }
        Ok(self.clear_outcomes(count))
    }

    fn store_changed(&self, content: &mut IndexContent, changed: Vec<String>) -> Result<(), ApiError> {
        let changes = changed
            .into_iter()
            .map(|id| {
                let document = content.engine.get(&id);
                (id, document)
            })
            .collect();
        self.indexes.store(self.index, content, &DocumentsChange::Some(changes))
    }
}

/// The engine's form of one task, before ids are looked at.
fn operation(engine: &Index, task: &Task, read_payload: &ReadPayload<'_>) -> Result<Payload, ApiError> {
    match &task.content {
        Content::Put { method, .. } => {
            let documents = payload::documents(&read_payload(task.uid)?)?;
            Ok(match method {
                PutMethod::Replace => Payload::Replace(documents),
                PutMethod::Update => Payload::Update(documents),
            })
        }
        Content::Delete { ids } => Ok(Payload::Delete(ids.clone())),
        Content::DeleteByFilter { filter } => {
            let ids = engine.ids_matching(filter)?;
            Ok(Payload::Delete(ids))
        }
        Content::Clear
        | Content::Settings { .. }
        | Content::CreateIndex { .. }
        | Content::UpdateIndex { .. }
        | Content::DeleteIndex
        | Content::CompactIndex
        | Content::CancelTasks { .. }
        | Content::DeleteTasks { .. } => unreachable!("not part of a batch of documents"),
    }
}

/// The primary key for the batch. Puts before the first one that yields a key are taken out of `operations` with their
/// own errors, as are deletes before it, which can find nothing.
fn choose_key(
    engine: &Index,
    batch_key: Option<&str>,
    operations: &mut [Option<Payload>],
    outcomes: &mut [Outcome],
) -> Option<String> {
    match (engine.primary_key(), batch_key) {
        (Some(index_key), Some(batch_key)) if index_key != batch_key => {
            let message = format!("Index already has a primary key: `{index_key}`.");
            let error = ApiError::new(Code::IndexPrimaryKeyAlreadyExists, message);
            for (operation, outcome) in operations.iter_mut().zip(outcomes) {
                if let Some(Payload::Replace(_) | Payload::Update(_)) = operation.take() {
                    *outcome = Err(error.clone());
                }
            }
            None
        }
        (Some(key), _) | (None, Some(key)) => Some(key.to_owned()),
        (None, None) => {
            for (operation, outcome) in operations.iter_mut().zip(outcomes) {
                if let Some(Payload::Replace(documents) | Payload::Update(documents)) = &*operation {
                    match documents.first().map(infer_key) {
                        Some(Ok(key)) => return Some(key),
                        Some(Err(error)) => *outcome = Err(error),
                        None => {}
                    }
                }
                *operation = None;
            }
            None
        }
    }
}

/// The one field whose name ends with `id`, in any case.
fn infer_key(document: &Document) -> Result<String, ApiError> {
    let mut candidates: Vec<&str> =
        document.keys().map(String::as_str).filter(|name| name.to_lowercase().ends_with("id")).collect();
    candidates.sort_unstable();
    let advice = "Please specify the primary key manually using the `primaryKey` query parameter.";
    match candidates.as_slice() {
        [] => Err(ApiError::new(
            Code::IndexPrimaryKeyNoCandidateFound,
            format!(
                "The primary key inference failed as the engine did not find any field ending with `id` in its name. \
                 {advice}"
            ),
        )),
        [name] => Ok((*name).to_owned()),
        [first, second, ..] => Err(ApiError::new(
            Code::IndexPrimaryKeyMultipleCandidatesFound,
            format!(
                "The primary key inference failed as the engine found {} fields ending with `id` in their names: \
                 '{first}' and '{second}'. {advice}",
                candidates.len()
            ),
        )),
    }
}

/// Notes which ids exist after `operation` and drops the documents that it may not create. Returns the number of ids in
/// a put that skips; a put with a bad id is left to the engine, which refuses it whole.
fn track_existence(
    engine: &Index,
    key: &str,
    operation: &mut Payload,
    existence: &mut BTreeMap<String, bool>,
    skips: bool,
) -> Option<u64> {
    match operation {
        Payload::Delete(ids) => existence.extend(ids.iter().map(|id| (id.clone(), false))),
        Payload::Clear => {}
        Payload::Replace(documents) | Payload::Update(documents) => {
            let ids: Vec<String> =
                documents.iter().map(|document| document_id(document, key)).collect::<Result<_, _>>().ok()?;
            let distinct = ids.iter().collect::<BTreeSet<_>>().len() as u64;
            let exists = |id: &String| existence.get(id).copied().unwrap_or_else(|| engine.get(id).is_some());
            if skips {
                let keep: Vec<bool> = ids.iter().map(exists).collect();
                let mut keep = keep.into_iter();
                documents.retain(|_| keep.next().unwrap_or(false));
                return Some(distinct);
            }
            existence.extend(ids.into_iter().map(|id| (id, true)));
        }
    }
    None
}
