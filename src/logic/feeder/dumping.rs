//! Dumps: entries for which the documents of all indexes are read as they are at one position.
//!
//! A dump is a gate of every index that there is: nothing of them that comes after it is sent before all of them are read
//! (rule *dump*). It is due when everything before it is reported, so every replica in sync has applied what comes before
//! the dump, and nothing else. Indexes that are created later do not wait for it. While some shard has no replica that can
//! be read, the gates would hold up the whole fleet: after the quarantine the dump fails. After a restart it begins anew. An export is a dump here: where the documents go makes
//! no difference to the feeds.

use std::collections::BTreeSet;

use super::Fleet;
use super::feed::{Sync, Version};
use super::upkeep::Chore;
use crate::logic::ids::{EntryId, Monotonic, NodeIndexUid, Position};
use crate::meili::error::{ApiError, Code, ErrorBody};

/// A dump that is to be made now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DueDump {
    /// Its entry.
    pub entry: EntryId,
    /// All indexes at its position, by the nodes' names.
    pub indexes: Vec<NodeIndexUid>,
}

/// The replicas of an index that may be read, as they were when the reading began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading(Vec<Option<Version>>);

/// Those that are not reported.
#[derive(Debug, Default)]
pub(super) struct Dumps {
    waiting: BTreeSet<EntryId>,
    /// The first of them, and the transaction that says so.
    begun: Option<Version>,
    /// Some shard cannot be read since then.
    unread_since: Option<Monotonic>,
}

impl Dumps {
    pub(super) fn add(&mut self, entry: EntryId) {
        self.waiting.insert(entry);
    }
}

impl Fleet {
    /// The indexes that there are where an entry stands.
    pub(super) fn indexes_at(&self, entry: EntryId) -> Vec<NodeIndexUid> {
        let position = Position::of(entry, 0);
        let indexes = self.indexes.iter();
        let there = indexes
            .filter(|(_, state)| state.created < position && state.dropped.is_none_or(|dropped| dropped > position));
        there.map(|(uid, _)| uid.clone()).collect()
    }

    /// Begins the first dump when it is due, or gives it up.
    pub(super) fn advance_dumps(&mut self, now: Monotonic) {
        let Some(&entry) = self.dumps.waiting.first() else { return };
        if !self.tasks[&entry].gates.iter().all(|uid| self.is_answered_for(uid)) {
            let since = *self.dumps.unread_since.get_or_insert(now);
            if now >= since.plus_ms(self.timing.quarantine_ms) {
                let message =
                    "Not all documents can be read: some shard has no replica in sync on a node that answers.";
                let is_export = self.tasks[&entry].chore == Some(Chore::Export);
                let code = if is_export { Code::Internal } else { Code::DumpProcessFailed };
                self.fail_chore(entry, ApiError::new(code, message).body());
                self.report(entry);
            }
            return;
        }
        self.dumps.unread_since = None;
        let is_first = self.tasks.first_key_value().is_some_and(|(first, _)| *first == entry);
        if is_first && self.dumps.begun.is_none() {
            self.dumps.begun = Some(self.version);
            self.pending.begun.push(entry);
        }
    }

    /// Every shard of an index has a replica that is read, on a node that answers.
    fn is_answered_for(&self, uid: &NodeIndexUid) -> bool {
        let Some(state) = self.indexes.get(uid) else { return true };
        let answers = |node: &usize| {
            let of_node = &self.nodes[*node];
            let is_there = of_node.is_reachable && !of_node.is_lost && !of_node.is_doubtful;
            is_there && state.feeds[*node].sync == Sync::In
        };
        self.topology.owners().iter().all(|nodes| nodes.iter().any(answers))
    }

    /// The dump to be made now. The same one until [`Self::dumped`] is called, or it is canceled.
    pub fn due_dump(&self) -> Option<DueDump> {
        let entry = *self.dumps.waiting.first()?;
        self.dumps.begun.filter(|begun| *begun <= self.stored)?;
        Some(DueDump { entry, indexes: self.tasks[&entry].gates.clone() })
    }

    /// It is still to be made.
    pub fn is_dump_wanted(&self, entry: EntryId) -> bool {
        self.dumps.waiting.contains(&entry)
    }

    /// To be asked before an index is read for a dump, together with the replicas that may be read.
    pub fn begin_reading(&self, index: &NodeIndexUid) -> Reading {
        let Some(state) = self.indexes.get(index) else { return Reading(Vec::new()) };
        Reading(state.feeds.iter().map(|feed| (feed.sync == Sync::In).then_some(feed.changed_in)).collect())
    }

    /// Whether all these replicas stood where they stood in the meantime: none of them was sent anything again.
    pub fn was_still(&self, index: &NodeIndexUid, reading: &Reading) -> bool {
        let Reading(now) = self.begin_reading(index);
        reading.0.iter().enumerate().all(|(node, before)| before.is_none() || now.get(node) == Some(before))
    }

    /// The dump is made, or cannot be made. False if nobody wants it any more.
    pub fn dumped(&mut self, entry: EntryId, error: Option<ErrorBody>) -> bool {
        if !self.is_dump_wanted(entry) {
            return false;
        }
        if let Some(error) = error {
            self.fail_chore(entry, error);
        }
        self.report(entry);
        true
    }

    pub(super) fn forget_dump(&mut self, entry: EntryId) {
        if self.dumps.waiting.first() == Some(&entry) {
            (self.dumps.begun, self.dumps.unread_since) = (None, None);
        }
        self.dumps.waiting.remove(&entry);
    }
}
