//! One server that applies the journal in order: what every task and every document must come to.

use std::collections::BTreeMap;

use miroir::logic::ids::{EntryId, NodeIndexUid};

use crate::documents::{Change, Doc, Docs, has_bad};
use crate::node::Index;

pub const SHARDS: usize = 4;

/// An operation as a client asked for it.
#[derive(Clone, PartialEq, Debug)]
pub enum Wish {
    Create,
    /// Creates the index and puts documents.
    CreateAndPut(Change),
    Drop,
    Clear,
    Settings(bool),
    Documents(Change),
    /// Deletes the documents whose `x` is set.
    DeleteByFilter,
    Cancel(Vec<EntryId>),
    /// All documents are read as they are here.
    Dump,
    /// Indexes get other names.
    Rename(Vec<(NodeIndexUid, &'static str)>),
}

#[derive(Default)]
pub struct Oracle {
    pub live: BTreeMap<NodeIndexUid, Index>,
    /// By index: the documents after each entry.
    pub history: BTreeMap<NodeIndexUid, Vec<(EntryId, Docs)>>,
    pub succeeded: BTreeMap<EntryId, bool>,
    /// By dump: the documents of all indexes.
    pub dumps: BTreeMap<EntryId, BTreeMap<NodeIndexUid, Docs>>,
    /// Documents deleted by an entry.
    pub deleted: BTreeMap<EntryId, u64>,
}

impl Oracle {
    pub fn apply(&mut self, entry: EntryId, index: Option<&NodeIndexUid>, wish: &Wish) {
        if *wish == Wish::Dump {
            let docs = self.live.iter().map(|(uid, index)| (uid.clone(), index.docs.clone()));
            self.dumps.insert(entry, docs.collect());
        }
        let Some(uid) = index else {
            self.succeeded.insert(entry, true);
            return;
        };
        if let Wish::Create | Wish::CreateAndPut(_) = wish {
            self.live.insert(uid.clone(), Index::default());
        }
        let mut is_fine = true;
        let state = self.live.get_mut(uid).expect("clients write to live indexes");
        match wish {
            Wish::Create | Wish::Cancel(_) | Wish::Rename(_) | Wish::Dump => {}
            Wish::Drop => {
                self.live.remove(uid);
            }
            Wish::Clear => state.docs.clear(),
            Wish::Settings(is_strict) => {
                is_fine = !state.docs.values().any(|doc| doc.is_against_settings(*is_strict));
                if is_fine {
                    state.is_strict = *is_strict;
                }
            }
            Wish::CreateAndPut(change) | Wish::Documents(change) => {
                let (fine, deleted) = apply_by_shard(state, change);
                is_fine = fine;
                self.deleted.insert(entry, deleted);
            }
            Wish::DeleteByFilter => {
                let ids = matching(&state.docs);
                let (_, deleted) = apply_by_shard(state, &Change::Delete { ids });
                self.deleted.insert(entry, deleted);
            }
        }
        self.succeeded.insert(entry, is_fine);
        if let Some(state) = self.live.get(uid) {
            self.history.entry(uid.clone()).or_default().push((entry, state.docs.clone()));
        }
    }

    /// What an id may be after an entry was reported: as of that entry or any later one.
    pub fn allowed(&self, uid: &NodeIndexUid, id: usize, since: EntryId) -> Vec<Option<Doc>> {
        self.allowed_between(uid, id, (since, None))
    }

    /// The same, but not as of this entry or any later one.
    pub fn allowed_between(
        &self,
        uid: &NodeIndexUid,
        id: usize,
        (since, before): (EntryId, Option<EntryId>),
    ) -> Vec<Option<Doc>> {
        let Some(history) = self.history.get(uid) else { return vec![None] };
        let first = history.iter().rposition(|(entry, _)| *entry <= since).unwrap_or(0);
        let wanted = history[first..].iter().filter(|(entry, _)| before.is_none_or(|before| *entry < before));
        wanted.map(|(_, docs)| docs.get(&id).copied()).collect()
    }
}

/// The ids that the filter of [`Wish::DeleteByFilter`] selects.
pub fn matching(docs: &Docs) -> Vec<usize> {
    docs.iter().filter(|(_, doc)| doc.x.is_some()).map(|(&id, _)| id).collect()
}

/// The chunk of a shard applies whole or not at all.
fn apply_by_shard(state: &mut Index, change: &Change) -> (bool, u64) {
    let mut is_fine = true;
    let mut deleted = 0;
    for shard in 0..SHARDS {
        let chunk = change.cut(|id| id % SHARDS == shard);
        let mut trial = state.docs.clone();
        let count = chunk.apply(&mut trial);
        if has_bad(&trial, chunk.ids(), state.is_strict) {
            is_fine = false;
        } else {
            state.docs = trial;
            deleted += count;
        }
    }
    (is_fine, deleted)
}
