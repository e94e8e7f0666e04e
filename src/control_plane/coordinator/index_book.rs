//! The coordinator's index records: made of the entries that create indexes, changed by decisions, stored with the
//! transaction that changes them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::logic::entry::{Entry, Operation, Resolution, StepKind};
use crate::logic::ids::{IndexUid, NodeIndexUid, Position, Timestamp};
use crate::meili::settings;
use crate::store::IndexRecord;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct IndexBook {
    records: BTreeMap<NodeIndexUid, IndexRecord>,
    /// Changed since the last transaction.
    changed: BTreeSet<NodeIndexUid>,
}

impl IndexBook {
    pub(super) fn new(records: Vec<IndexRecord>) -> Self {
        let records = records.into_iter().map(|record| (record.node_uid.clone(), record)).collect();
        Self { records, changed: BTreeSet::new() }
    }

    pub(super) fn get(&self, index: &NodeIndexUid) -> Option<&IndexRecord> {
        self.records.get(index)
    }

    pub(super) fn all(&self) -> Vec<IndexRecord> {
        self.records.values().cloned().collect()
    }

    /// Takes note of an entry that was committed, or that an earlier life left without an outcome.
    pub(super) fn note(&mut self, entry: &Entry) {
        let (Some(uid), Some(target)) = (&entry.index, &entry.target) else { return };
        let creates = entry.steps().first().is_some_and(|step| step.kind == StepKind::Create);
        if creates && !self.records.contains_key(target) {
            let record = IndexRecord {
                uid: uid.clone(),
                node_uid: target.clone(),
                created_by: entry.id,
                dropped_by: None,
                primary_key: created_key(entry),
                settings: Map::new(),
                created_at: entry.enqueued_at,
                updated_at: entry.enqueued_at,
                is_visible: false,
            };
            self.records.insert(target.clone(), record);
            self.changed.insert(target.clone());
        }
        if matches!(entry.operation, Operation::DeleteIndex) && entry.rejection.is_none() {
            self.change(target, |record| record.dropped_by = Some(entry.id));
        }
    }

    pub(super) fn change(&mut self, index: &NodeIndexUid, change: impl FnOnce(&mut IndexRecord)) {
        if let Some(record) = self.records.get_mut(index) {
            change(record);
            self.changed.insert(index.clone());
        }
    }

    /// Documents changed. The record is not stored for it: that would write all its settings with every report.
    pub(super) fn update(&mut self, index: &NodeIndexUid, at: Timestamp) {
        if let Some(record) = self.records.get_mut(index) {
            record.updated_at = record.updated_at.max(at);
        }
    }

    /// The fleet took the settings or the primary key of this step.
    pub(super) fn commit_vote(
        &mut self,
        index: &NodeIndexUid,
        position: Position,
        (entry, resolution): (&Entry, Option<&Resolution>),
        at: Timestamp,
    ) {
        let kind = entry.steps().into_iter().find(|step| step.position == position).map(|step| step.kind);
        let after = settings_around(entry, resolution).map(|(_, after)| after);
        let key = new_key(entry).map(str::to_owned);
        self.change(index, |record| {
            match (kind, after) {
                (Some(StepKind::Settings), Some(after)) => record.settings = after,
                (Some(StepKind::PrimaryKey), _) => record.primary_key = key.or_else(|| record.primary_key.take()),
                (Some(_) | None, _) => {}
            }
            record.updated_at = record.updated_at.max(at);
        });
    }

    /// The index has another name from now on. Where its client renamed it alone, that is a change of the index.
    pub(super) fn rename(&mut self, index: &NodeIndexUid, uid: &IndexUid, updated_at: Option<Timestamp>) {
        self.change(index, |record| {
            record.uid = uid.clone();
            record.updated_at = updated_at.map_or(record.updated_at, |at| record.updated_at.max(at));
        });
    }

    pub(super) fn forget(&mut self, index: &NodeIndexUid) {
        self.records.remove(index);
        self.changed.remove(index);
    }

    /// What the next transaction stores.
    pub(super) fn take_changed(&mut self) -> Vec<IndexRecord> {
        let changed = std::mem::take(&mut self.changed);
        changed.iter().filter_map(|index| self.records.get(index).cloned()).collect()
    }
}

/// The user's settings before and after the settings step of an entry; none while it is not resolved.
pub(super) fn settings_around(
    entry: &Entry,
    resolution: Option<&Resolution>,
) -> Option<(Map<String, Value>, Map<String, Value>)> {
    if let Some(Resolution::Settings { before, after }) = resolution {
        return Some((before.clone(), after.clone()));
    }
    let base = Map::new();
    match &entry.operation {
        Operation::UpdateSettings { patch: Value::Object(patch), creates_index: true, .. } => {
            let after = settings::merge(&base, patch);
            Some((base, after))
        }
        Operation::PutDocuments { creates_index: true, .. } | Operation::CreateIndex { .. } => {
            Some((base.clone(), base))
        }
        Operation::UpdateSettings { .. }
        | Operation::PutDocuments { .. }
        | Operation::DeleteDocuments { .. }
        | Operation::DeleteByFilter { .. }
        | Operation::EditDocuments { .. }
        | Operation::ClearDocuments
        | Operation::UpdateIndex { .. }
        | Operation::DeleteIndex
        | Operation::SwapIndexes { .. }
        | Operation::CompactIndex
        | Operation::CreateSnapshot
        | Operation::ChangeRules(_)
        | Operation::CreateDump
        | Operation::Export(_)
        | Operation::CancelTasks { .. }
        | Operation::DeleteTasks { .. } => None,
    }
}

/// The primary key that the entry's index has from its creation on.
pub(super) fn created_key(entry: &Entry) -> Option<String> {
    match &entry.operation {
        Operation::CreateIndex { primary_key } => primary_key.clone(),
        // Refused documents leave the index without a key, as on one server.
        Operation::PutDocuments { primary_key, .. } if entry.rejection.is_none() => primary_key.clone(),
        Operation::PutDocuments { .. }
        | Operation::DeleteDocuments { .. }
        | Operation::DeleteByFilter { .. }
        | Operation::EditDocuments { .. }
        | Operation::ClearDocuments
        | Operation::UpdateIndex { .. }
        | Operation::DeleteIndex
        | Operation::UpdateSettings { .. }
        | Operation::SwapIndexes { .. }
        | Operation::CompactIndex
        | Operation::CreateSnapshot
        | Operation::ChangeRules(_)
        | Operation::CreateDump
        | Operation::Export(_)
        | Operation::CancelTasks { .. }
        | Operation::DeleteTasks { .. } => None,
    }
}

/// The primary key that the entry's primary key step sets.
pub(super) fn new_key(entry: &Entry) -> Option<&str> {
    match &entry.operation {
        Operation::PutDocuments { primary_key, .. } | Operation::UpdateIndex { primary_key, .. } => {
            primary_key.as_deref()
        }
        Operation::CreateIndex { .. }
        | Operation::DeleteDocuments { .. }
        | Operation::DeleteByFilter { .. }
        | Operation::EditDocuments { .. }
        | Operation::ClearDocuments
        | Operation::DeleteIndex
        | Operation::UpdateSettings { .. }
        | Operation::SwapIndexes { .. }
        | Operation::CompactIndex
        | Operation::CreateSnapshot
        | Operation::ChangeRules(_)
        | Operation::CreateDump
        | Operation::Export(_)
        | Operation::CancelTasks { .. }
        | Operation::DeleteTasks { .. } => None,
    }
}
