//! One shard on its way to a node, and its parts index by index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::TransferId;
use crate::logic::feeder::feed::{Stage, Version};
use crate::logic::ids::{JobId, Monotonic, NodeId, NodeIndexUid, Position, ShardId};
use crate::logic::topology::{JobKind, JobRecord, JobStep, JoinRecord, JoinState};

/// See [`JobRecord`], which is what of it is durable.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::logic::feeder) struct Job {
    pub kind: JobKind,
    pub shard: ShardId,
    pub target: Option<usize>,
    pub old_owner: Option<usize>,
    pub step: JobStep,
    pub joins: BTreeMap<NodeIndexUid, Join>,
    pub cleaned: BTreeSet<NodeIndexUid>,
    pub hollow: BTreeSet<NodeIndexUid>,
    /// Of those, the ones whose incomplete copy is deleted already, in this life.
    pub emptied: BTreeSet<NodeIndexUid>,
    /// What readers must know before the next step.
    pub stage: Stage,
    /// Every index is verified: reports wait for the target, so that it can catch up with its peers.
    pub is_ready: bool,
}

/// The part of a job for one index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::logic::feeder) struct Join {
    pub state: JoinState,
    /// The copy is as of here.
    pub cursor: Position,
    /// Nothing of the shard is on the target.
    pub is_marked: bool,
    /// Its copy is on its way to the target.
    pub filling: Option<TransferId>,
    /// Compared with its source since it joined.
    pub is_verified: bool,
    /// Copies and comparisons that came to nothing.
    pub failures: u32,
    /// How often its chunks were too large for the target.
    pub cuts: u32,
    /// It may be the one that has a document too large for the target: it is copied without others.
    pub is_apart: bool,
    /// It is not copied before.
    pub retry_at: Monotonic,
    /// Why the last copy or comparison came to nothing, as far as an operator should know.
    pub problem: Option<Arc<str>>,
}

impl Join {
    pub(in crate::logic::feeder) fn new(state: JoinState, cursor: Position) -> Self {
        Self {
            state,
            cursor,
            is_marked: false,
            filling: None,
            is_verified: false,
            failures: 0,
            cuts: 0,
            is_apart: false,
            retry_at: Monotonic(0),
            problem: None,
        }
    }

    /// From the beginning.
    pub(in crate::logic::feeder) fn clear() -> Self {
        Self::new(JoinState::Clear, Position(0))
    }

    /// Whether the main stream carries the shard's part of the step at a position.
    pub(in crate::logic::feeder) fn carries(&self, position: Position) -> bool {
        let is_copied = match self.state {
            JoinState::Clear => self.filling.is_some(),
            JoinState::Joined => true,
        };
        is_copied && position > self.cursor
    }

    /// What the target has of the shard is worth nothing, and is not deleted yet.
    pub(in crate::logic::feeder) fn is_dirty(&self) -> bool {
        match self.state {
            JoinState::Clear => !self.is_marked && self.filling.is_none(),
            JoinState::Joined => false,
        }
    }

    /// The copy is worth nothing: from the beginning.
    pub(in crate::logic::feeder) fn restart(&mut self) {
        *self = Self {
            failures: self.failures + 1,
            cuts: self.cuts,
            is_apart: self.is_apart,
            retry_at: self.retry_at,
            problem: self.problem.take(),
            ..Self::clear()
        };
    }
}

impl Job {
    pub(in crate::logic::feeder) fn new(
        kind: JobKind,
        shard: ShardId,
        target: Option<usize>,
        stored_in: Version,
    ) -> Self {
        Self {
            kind,
            shard,
            target,
            old_owner: None,
            step: JobStep::Announce,
            joins: BTreeMap::new(),
            cleaned: BTreeSet::new(),
            hollow: BTreeSet::new(),
            emptied: BTreeSet::new(),
            stage: Stage::new(stored_in),
            is_ready: false,
        }
    }

    /// From the store. Whatever its step waits for must be shown to readers once more.
    pub(in crate::logic::feeder) fn load(
        record: &JobRecord,
        joins: &[JoinRecord],
        number: impl Fn(&NodeId) -> Option<usize>,
    ) -> Self {
        // Later steps have no use for them.
        let has_joins = record.step <= JobStep::Copy;
        let joins = joins.iter().filter(|join| join.job == record.id && has_joins);
        Self {
            target: record.target.as_ref().and_then(&number),
            old_owner: record.old_owner.as_ref().and_then(&number),
            step: record.step,
            joins: joins.map(|join| (join.index.clone(), Join::new(join.state, join.cursor))).collect(),
            cleaned: record.cleaned.clone(),
            hollow: record.hollow.clone(),
            ..Self::new(record.kind, record.shard, None, 0)
        }
    }

    pub(in crate::logic::feeder) fn record(&self, id: JobId, name: impl Fn(usize) -> NodeId) -> JobRecord {
        JobRecord {
            id,
            kind: self.kind,
            shard: self.shard,
            target: self.target.map(&name),
            old_owner: self.old_owner.map(&name),
            step: self.step,
            cleaned: self.cleaned.clone(),
            hollow: self.hollow.clone(),
        }
    }

    /// The node whose documents of the shard are to be deleted.
    pub(in crate::logic::feeder) fn cleans(&self) -> Option<usize> {
        match self.step {
            JobStep::Clean => self.old_owner,
            JobStep::Undo => self.target,
            JobStep::Announce | JobStep::Copy | JobStep::Switched => None,
        }
    }

    /// The node whose documents of the shard are to be deleted in an index: an incomplete copy, too, before its turn comes,
    /// or it would have a say in votes.
    pub(in crate::logic::feeder) fn cleans_in(&self, uid: &NodeIndexUid) -> Option<usize> {
        match self.step {
            JobStep::Clean | JobStep::Undo => self.cleans().filter(|_| !self.cleaned.contains(uid)),
            JobStep::Switched => self.old_owner.filter(|_| self.hollow.contains(uid) && !self.emptied.contains(uid)),
            JobStep::Announce | JobStep::Copy => None,
        }
    }

    /// The node may hold documents of the shard because of this job, or is to get some.
    pub(in crate::logic::feeder) fn has_part(&self, node: usize) -> bool {
        self.target == Some(node) || self.old_owner == Some(node)
    }

    /// The node that may hold documents of the shard without owning it.
    pub(in crate::logic::feeder) fn foreign(&self) -> Option<usize> {
        match (self.kind, self.step) {
            (JobKind::Move, JobStep::Announce | JobStep::Copy | JobStep::Undo) => self.target,
            (JobKind::Move, JobStep::Switched | JobStep::Clean) => self.old_owner,
            (JobKind::Repair, _) => None,
        }
    }
}
