//! Giving indexes other names: swaps and renames.
//!
//! No node is concerned: what an index is called is known to the cores alone. A renaming is due when every earlier entry of
//! its indexes is reported; then the new names are stored and published all at once, and it is reported when every core
//! knows them and every search that began before has ended. Nothing of these indexes that comes after it is sent before (rule *rename*): whoever still reads an old name
//! would see what was written under the new one.

use super::Fleet;
use super::feed::{ReaderProgress, Stage};
use super::index::IndexState;
use super::report::Task;
use super::upkeep::Chore;
use crate::logic::entry::Entry;
use crate::logic::ids::{EntryId, IndexUid, NodeIndexUid, Position};

/// What a renaming changes, in one transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Renaming {
    /// The entry that wants it.
    pub entry: EntryId,
    /// What each index is called from now on.
    pub names: Vec<(NodeIndexUid, IndexUid)>,
    /// Names that change places in the tasks before this entry. To be done once, even if this is asked for again after a
    /// crash.
    pub exchanged: Vec<(IndexUid, IndexUid)>,
}

/// How far the names of an entry are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Names {
    /// As before.
    Old,
    /// The new ones, as of the transaction that readers are told of.
    Given,
    /// The new ones, and no reader goes by the old ones any more.
    Known,
}

impl Renaming {
    /// None when all names stay.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let names = entry.new_names();
        (!names.is_empty()).then(|| Self { entry: entry.id, names, exchanged: entry.exchanged_names() })
    }
}

impl Fleet {
    /// Closes indexes behind a new entry: those that it renames, or all of them if it is a dump or an export.
    pub(super) fn close_gates(&mut self, task: &mut Task) {
        if let Some(renaming) = &task.renaming {
            task.gates = renaming.names.iter().map(|(uid, _)| uid.clone()).collect();
            self.renaming.insert(task.entry);
        }
        if task.chore.as_ref().is_some_and(Chore::reads_all) {
            task.gates = self.indexes_at(task.entry);
            if !self.rules.dump {
                return;
            }
        }
        for uid in &task.gates {
            if let Some(state) = self.indexes.get_mut(uid) {
                state.gates.insert(Position::of(task.entry, 0));
                self.attention.insert(uid.clone());
            }
        }
    }

    /// Gives the names that are due, and reports what concerns names alone.
    pub(super) fn rename_indexes(&mut self, progress: ReaderProgress) {
        for entry in self.renaming.iter().copied().collect::<Vec<EntryId>>() {
            let task = &self.tasks[&entry];
            let Some(renaming) = task.renaming.clone() else { continue };
            if task.names == Names::Old {
                if self.is_renaming_due(task, &renaming) {
                    self.pending.renamed.push(renaming);
                    self.tasks.get_mut(&entry).expect("just read").names = Names::Given;
                    self.show(Some(entry));
                }
                continue;
            }
            // A search that began with the old names goes on with them.
            let is_known = |stage: Stage| stage.is_acknowledged(progress.acknowledged) && stage.is_drained(progress);
            if !task.shown.is_some_and(is_known) {
                continue;
            }
            match &task.target.clone() {
                // It has steps, too, and is reported with them.
                Some(uid) => {
                    self.tasks.get_mut(&entry).expect("just read").names = Names::Known;
                    self.indexes.get_mut(uid).expect("kept while an entry is unreported").candidates.insert(entry);
                    self.attention.insert(uid.clone());
                }
                None => self.report(entry),
            }
        }
    }

    fn is_renaming_due(&self, task: &Task, renaming: &Renaming) -> bool {
        // What nodes do for themselves has no part in what an index is called.
        let is_chore = |entry: &EntryId| self.tasks.get(entry).is_some_and(|task| task.chore.is_some());
        let position = Position::of(task.entry, 0);
        let is_first = |uid: &NodeIndexUid| {
            let is_first_of = |state: &IndexState| {
                state.unreported.range(..task.entry).all(is_chore) && !state.is_behind_gate(position)
            };
            self.indexes.get(uid).is_none_or(is_first_of)
        };
        let is_applied =
            |uid: &NodeIndexUid| self.index(uid).is_covered(uid, &self.topology) && self.is_settled(uid, task);
        task.after.iter().all(|earlier| !self.tasks.contains_key(earlier))
            && renaming.names.iter().all(|(uid, _)| is_first(uid))
            && task.target.as_ref().is_none_or(is_applied)
    }

    /// The entry has ended: its indexes go on.
    pub(super) fn open_gates(&mut self, task: &Task) {
        for uid in &task.gates {
            let Some(state) = self.indexes.get_mut(uid) else { continue };
            state.gates.remove(&Position::of(task.entry, 0));
            self.attention.insert(uid.clone());
            for node in &mut self.nodes {
                node.active.insert(uid.clone());
            }
        }
        self.renaming.remove(&task.entry);
    }
}
