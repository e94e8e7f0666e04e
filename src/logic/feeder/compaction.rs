//! Giving disk space back: documents that were deleted free space within the node's database only, until the index is
//! compacted there.
//!
//! What was deleted by marks is counted by (node, index) and stored. When a node has lost all that it is to lose it becomes
//! due; a driver asks the node whether it would gain enough, and begins it. The task is none of the feed: it changes no
//! document and jumps the node's queue, so nothing waits for it but the node itself. One at a time on a node, and never on
//! two nodes that share a shard: searches pause there, and writes to the node wait.

use super::Fleet;
use super::changes::Alarm;
use super::node::{End, NodeState};
use super::upkeep::{UnderWay, Upkeep};
use crate::logic::ids::{NodeId, NodeIndexUid};
use crate::logic::topology::{CompactionRecord, CompactionWish, JobStep};

/// An index that may be worth it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DueCompaction {
    /// The number of the node.
    pub node: usize,
    /// By the nodes' name.
    pub index: NodeIndexUid,
    /// Documents that were deleted since the last time.
    pub deleted: u64,
    /// An operator wants it, whatever it gains.
    pub is_asked: bool,
}

impl Fleet {
    /// Documents were deleted on a node because others have them now.
    pub(super) fn note_deleted(&mut self, node: usize, uid: &NodeIndexUid, deleted: u64) {
        if deleted == 0 {
            return;
        }
        let record = self.compaction_mut(node, uid);
        record.deleted += deleted;
        if record.wish == CompactionWish::Small {
            record.wish = CompactionWish::Due;
        }
    }

    /// The record of a (node, index), made if there is none; stored with the next transaction.
    pub(super) fn compaction_mut(&mut self, node: usize, uid: &NodeIndexUid) -> &mut CompactionRecord {
        self.pending.tables = true;
        let id = &self.nodes[node].id;
        let records = &mut self.tables.compactions;
        let place = records.iter().position(|record| record.node == *id && record.index == *uid);
        let place = place.unwrap_or_else(|| {
            let (node, index) = (id.clone(), uid.clone());
            records.push(CompactionRecord { node, index, deleted: 0, wish: CompactionWish::Small });
            records.len() - 1
        });
        &mut records[place]
    }

    /// The indexes of a member that an operator may want compacted; none of who is no member.
    pub fn compactable(&self, id: &NodeId) -> Vec<NodeIndexUid> {
        let number = self.member_numbers().into_iter().find(|&node| self.nodes[node].id == *id);
        let may = |node: usize| self.indexes.keys().filter(move |uid| self.may_compact(node, uid)).cloned();
        number.into_iter().flat_map(may).collect()
    }

    /// An operator wants all indexes of a member compacted. Returns how many.
    pub fn ask_compaction(&mut self, id: &NodeId) -> usize {
        let indexes = self.compactable(id);
        let Some(node) = (0..self.nodes.len()).find(|&node| self.nodes[node].id == *id) else { return 0 };
        for uid in &indexes {
            self.compaction_mut(node, uid).wish = CompactionWish::Asked;
        }
        indexes.len()
    }

    /// What could be compacted now, at most one index of a node. An operator's wish counts even if no others do.
    pub fn compactions_due(&self) -> Vec<DueCompaction> {
        let mut due: Vec<DueCompaction> = Vec::new();
        for record in &self.tables.compactions {
            let number = self.member_numbers().into_iter().find(|&node| self.nodes[node].id == record.node);
            let Some(node) = number.filter(|&node| self.is_fit_to_compact(node)) else { continue };
            let is_wanted = match record.wish {
                CompactionWish::Small => false,
                CompactionWish::Due => self.tables.pace.compact && !self.tables.is_paused && !self.is_moving(node),
                CompactionWish::Asked => true,
            };
            let is_first = due.iter().all(|other| other.node != node && !self.share_a_shard(other.node, node));
            if is_wanted && is_first && self.may_compact(node, &record.index) {
                let (index, is_asked) = (record.index.clone(), record.wish == CompactionWish::Asked);
                due.push(DueCompaction { node, index, deleted: record.deleted, is_asked });
            }
        }
        due
    }

    /// The node answers, and neither it nor another one with the same documents has such a task.
    fn is_fit_to_compact(&self, node: usize) -> bool {
        let state = &self.nodes[node];
        let is_other_busy = |other: usize| {
            let is_concerned = other == node || self.answers(other) && self.share_a_shard(other, node);
            is_concerned && self.nodes[other].upkeep.is_some()
        };
        state.is_reachable
            && !state.is_lost
            && !state.is_doubtful
            && state.unclear.is_none()
            && !(0..self.nodes.len()).any(is_other_busy)
    }

    fn share_a_shard(&self, one: usize, other: usize) -> bool {
        self.topology.owned(one).iter().any(|shard| self.topology.owns(other, *shard))
    }

    /// Shards are on their way to the node or from it, or are to be.
    fn is_moving(&self, node: usize) -> bool {
        let has_job = self.topology.jobs.values().any(|job| {
            let is_target = job.target == Some(node) && job.step != JobStep::Switched && job.step != JobStep::Clean;
            is_target || job.old_owner == Some(node)
        });
        let pairs = self.topology.owners().iter().zip(&self.topology.plan);
        has_job || pairs.into_iter().any(|(owners, plan)| owners.contains(&node) != plan.contains(&node))
    }

    pub(super) fn may_compact(&self, node: usize, uid: &NodeIndexUid) -> bool {
        self.indexes.get(uid).is_some_and(|state| {
            let feed = &state.feeds[node];
            state.dropped.is_none() && feed.applied >= state.created && feed.bootstrap.is_none() && !feed.needs_rebuild
        })
    }

    /// Compacts an index of a node. False: it cannot be done now.
    pub fn compact(&mut self, due: &DueCompaction) -> bool {
        let may = self.is_fit_to_compact(due.node) && self.may_compact(due.node, &due.index);
        if may {
            self.nodes[due.node].upkeep = Some(UnderWay::new(Upkeep::Compact(due.index.clone())));
        }
        may
    }

    /// It would not gain enough.
    pub fn leave_uncompacted(&mut self, due: &DueCompaction) {
        self.compaction_mut(due.node, &due.index).wish = CompactionWish::Small;
    }

    /// What is being compacted.
    pub fn compacting(&self) -> Vec<(NodeId, NodeIndexUid)> {
        let under_way = |state: &NodeState| Some((state.id.clone(), state.upkeep.as_ref()?.upkeep.index()?.clone()));
        self.nodes.iter().filter_map(under_way).collect()
    }

    /// A compaction of an index on a node has ended.
    pub(super) fn compaction_ended(&mut self, node: usize, index: NodeIndexUid, end: End) {
        let id = self.nodes[node].id.clone();
        self.forget_compactions(|record| record.node == id && record.index == index);
        let reason = match end {
            End::Succeeded => return,
            End::Rejected(error) => error.message,
            End::Retry(reason) => reason,
        };
        // Once more only when more was deleted, or an operator says so.
        self.pending.alarms.push(Alarm::NotCompacted { node: id, index, reason });
    }

    /// These are gone, or were made anew.
    pub(super) fn forget_compactions(&mut self, is_gone: impl Fn(&CompactionRecord) -> bool) {
        let before = self.tables.compactions.len();
        self.tables.compactions.retain(|record| !is_gone(record));
        self.pending.tables |= self.tables.compactions.len() != before;
    }
}
