//! Which waiting tasks of one index make a batch: pure, Meilisearch's rules.
//!
//! Document tasks that stand beside each other are one batch (puts, deletes by id and clears; a delete by filter only
//! before puts), settings tasks likewise; creating and updating an index stand alone; deleting an index swallows what
//! waits before it. A put with a primary key of its own may cut a batch.

use super::task::Content;

/// How a batch is processed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchKind {
    /// Puts, mixed with deletes.
    Documents,
    /// Deletes by id and by filter only.
    Deletions {
        /// At least one is by filter.
        by_filter: bool,
    },
    /// A clear, and whatever stood before it: none of it is even read.
    Clear,
    /// Settings only.
    Settings,
    /// Settings with a clear: the clear goes first.
    ClearAndSettings,
    /// One creation.
    Create,
    /// One update.
    Update,
    /// A deletion of the index, with all that stood before it.
    DeleteIndex,
    /// One compaction.
    Compact,
}

/// What the choice needs to know about the index.
#[derive(Clone, Copy, Debug)]
pub struct IndexState<'a> {
    /// It exists.
    pub exists: bool,
    /// Its primary key.
    pub primary_key: Option<&'a str>,
}

/// The chosen batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// How to process it.
    pub kind: BatchKind,
    /// How many of the tasks it takes.
    pub length: usize,
    /// The first task may create the index.
    pub creates_index: bool,
    /// The primary key that its puts name.
    pub primary_key: Option<String>,
}

/// Takes the longest batch from the front of the waiting tasks of one index. `None` when there is no task.
pub fn choose<'a>(mut tasks: impl Iterator<Item = &'a Content>, index: IndexState<'_>) -> Option<Batch> {
    let first = tasks.next()?;
    let (kind, open) = start(first, index.primary_key);
    let mut batch = Batch {
        kind,
        length: 1,
        creates_index: first.creates_index(),
        primary_key: named_key(first).map(str::to_owned),
    };
    if !open {
        return Some(batch);
    }
    let exists = index.exists || batch.creates_index;
    for task in tasks {
        let key = named_key(task);
        if key.is_some_and(|key| !key_fits(&batch, key, index.primary_key)) {
            break;
        }
        let Some(kind) = extend(batch.kind, task, exists) else { break };
        let settings = matches!(batch.kind, BatchKind::Settings | BatchKind::ClearAndSettings);
        if !exists && settings && task.creates_index() {
            break;
        }
        batch.kind = kind;
        if let Some(key) = key {
            batch.primary_key = Some(key.to_owned());
        }
        batch.length += 1;
        if kind == BatchKind::DeleteIndex {
            break;
        }
    }
    Some(batch)
}

fn named_key(task: &Content) -> Option<&str> {
    match task {
        Content::Put { primary_key, .. } => primary_key.as_deref(),
        Content::Delete { .. }
        | Content::DeleteByFilter { .. }
        | Content::Clear
        | Content::Settings { .. }
        | Content::CreateIndex { .. }
        | Content::UpdateIndex { .. }
        | Content::DeleteIndex
        | Content::CompactIndex
        | Content::CancelTasks { .. }
        | Content::DeleteTasks { .. } => None,
    }
}

/// The kind that a first task begins, and whether others may join.
fn start(first: &Content, index_key: Option<&str>) -> (BatchKind, bool) {
    match first {
        Content::Put { primary_key, .. } => {
            let foreign_key = index_key.is_some() && primary_key.is_some() && primary_key.as_deref() != index_key;
            (BatchKind::Documents, !foreign_key)
        }
        Content::Delete { .. } => (BatchKind::Deletions { by_filter: false }, true),
        Content::DeleteByFilter { .. } => (BatchKind::Deletions { by_filter: true }, true),
        Content::Clear => (BatchKind::Clear, true),
        Content::Settings { .. } => (BatchKind::Settings, true),
        Content::CreateIndex { .. } => (BatchKind::Create, false),
        Content::UpdateIndex { .. } => (BatchKind::Update, false),
        Content::CompactIndex => (BatchKind::Compact, false),
        // Tasks about tasks are never asked about; alone is the safe answer.
        Content::DeleteIndex | Content::CancelTasks { .. } | Content::DeleteTasks { .. } => {
            (BatchKind::DeleteIndex, false)
        }
    }
}

/// May a put that names this primary key join the batch?
fn key_fits(batch: &Batch, key: &str, index_key: Option<&str>) -> bool {
    match index_key {
        Some(index_key) => key == index_key,
        // A batch whose puts leave the key to be inferred stays so.
        None => batch.kind != BatchKind::Documents || batch.primary_key.as_deref() == Some(key),
    }
}

/// The kind of the batch with this task, `None` when it stays outside.
fn extend(kind: BatchKind, task: &Content, index_exists: bool) -> Option<BatchKind> {
    use BatchKind::{Clear, ClearAndSettings, DeleteIndex, Deletions, Documents, Settings};
    match task {
        Content::DeleteIndex => Some(DeleteIndex),
        Content::CreateIndex { .. }
        | Content::UpdateIndex { .. }
        | Content::CompactIndex
        | Content::CancelTasks { .. }
        | Content::DeleteTasks { .. } => None,
        Content::Put { .. } => match kind {
            Documents => Some(Documents),
            Deletions { by_filter } => (by_filter || index_exists).then_some(Documents),
            Clear
            | Settings
            | ClearAndSettings
            | BatchKind::Create
            | BatchKind::Update
            | BatchKind::Compact
            | DeleteIndex => None,
        },
        Content::Delete { .. } => match kind {
            Documents | Clear | ClearAndSettings => Some(kind),
            Deletions { by_filter } => Some(Deletions { by_filter }),
            Settings | BatchKind::Create | BatchKind::Update | BatchKind::Compact | DeleteIndex => None,
        },
        Content::DeleteByFilter { .. } => match kind {
            Clear | ClearAndSettings => Some(kind),
            Deletions { .. } => Some(Deletions { by_filter: true }),
            Documents | Settings | BatchKind::Create | BatchKind::Update | BatchKind::Compact | DeleteIndex => None,
        },
        Content::Clear => match kind {
            Documents | Deletions { .. } | Clear => Some(Clear),
            Settings | ClearAndSettings => Some(ClearAndSettings),
            BatchKind::Create | BatchKind::Update | BatchKind::Compact | DeleteIndex => None,
        },
        Content::Settings { .. } => match kind {
            Settings | ClearAndSettings => Some(kind),
            Documents
            | Deletions { .. }
            | Clear
            | BatchKind::Create
            | BatchKind::Update
            | BatchKind::Compact
            | DeleteIndex => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::super::task::PutMethod;
    use super::*;

    fn put(key: Option<&str>) -> Content {
        let primary_key = key.map(str::to_owned);
        Content::Put { method: PutMethod::Replace, primary_key, received: 1, skip_creation: false }
    }

    fn parse(text: &str) -> Vec<Content> {
        text.split_whitespace()
            .map(|word| match word {
                "put" => put(None),
                "put:id" => put(Some("id")),
                "put:x" => put(Some("x")),
                "delete" => Content::Delete { ids: vec!["1".into()] },
                "filter" => Content::DeleteByFilter { filter: json!("a = 1") },
                "clear" => Content::Clear,
                "settings" => Content::Settings { patch: Map::new(), reset: false },
                "reset" => Content::Settings { patch: Map::new(), reset: true },
                "create" => Content::CreateIndex { primary_key: None },
                "update" => Content::UpdateIndex { primary_key: None },
                "drop" => Content::DeleteIndex,
                other => panic!("unknown word {other}"),
            })
            .collect()
    }

    #[test]
    fn neighbours_make_one_batch_as_meilisearch_cuts_them() {
        use BatchKind::*;
        let table = [
            ("put put delete put settings", Documents, 4),
            ("put clear put", Clear, 2),
            ("put delete clear delete filter", Clear, 5),
            ("put filter", Documents, 1),
            ("filter put put", Documents, 3),
            ("delete put", Documents, 2),
            ("delete filter delete", Deletions { by_filter: true }, 3),
            ("clear put", Clear, 1),
            ("settings settings put", Settings, 2),
            ("settings clear delete settings put", ClearAndSettings, 4),
            ("create put", Create, 1),
            ("update put", Update, 1),
            ("put put drop put", DeleteIndex, 3),
            ("settings drop", DeleteIndex, 2),
            ("drop put", DeleteIndex, 1),
            ("put put:id put:x", Documents, 2),
            ("put:x put", Documents, 1),
        ];
        for (words, kind, length) in table {
            let tasks = parse(words);
            let index = IndexState { exists: true, primary_key: Some("id") };
            let batch = choose(tasks.iter(), index).unwrap();
            assert_eq!((batch.kind, batch.length), (kind, length), "{words}");
        }
    }

    #[test]
    fn a_missing_index_cuts_deletes_from_puts() {
        let missing = IndexState { exists: false, primary_key: None };
        for (words, length) in
            [("delete put", 1), ("filter put", 2), ("reset settings", 1), ("put:id put", 2), ("put put:id", 1)]
        {
            let tasks = parse(words);
            assert_eq!(choose(tasks.iter(), missing).unwrap().length, length, "{words}");
        }
    }
}
