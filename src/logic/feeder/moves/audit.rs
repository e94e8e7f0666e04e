//! Comparing the replicas that are in sync, shard by shard, at a held position: what no checksum of one node can show.
//!
//! Every owner of a shard is compared with the first one. Which side of a difference is wrong is not guessed: with three
//! owners or more the one that differs from the first, when the others do not, is rebuilt if that was asked for; else the
//! difference is only reported.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::logic::feeder::feed::Sync;
use crate::logic::feeder::{Alarm, Fleet};
use crate::logic::ids::{Monotonic, NodeId, NodeIndexUid, ShardId};

use super::LookKind;

/// Tries of one comparison before it is given up.
const TRIES: u32 = 5;

/// Two replicas of some shards of an index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pair {
    index: NodeIndexUid,
    nodes: [usize; 2],
    shards: Vec<ShardId>,
    tries: u32,
}

/// A comparison of all replicas, under way or ended.
#[derive(Debug)]
pub(in crate::logic::feeder) struct Audit {
    waiting: VecDeque<Pair>,
    /// The one that is being compared.
    open: Option<(super::TransferId, Pair)>,
    report: AuditReport,
    is_repairing: bool,
}

impl Default for Audit {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), open: None, report: AuditReport::none(), is_repairing: false }
    }
}

/// How a comparison of all replicas stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditReport {
    /// Comparisons of two replicas of some shards, all in all.
    pub total: usize,
    /// Those that were made.
    pub done: usize,
    /// Those that could not be made: a replica left the in-sync set, or did not answer.
    pub skipped: usize,
    /// Shards of an index that two nodes do not have alike.
    pub unequal: Vec<UnequalReplicas>,
    /// Replicas that are rebuilt because they differ from all others.
    pub rebuilt: Vec<(NodeId, NodeIndexUid)>,
    /// Nothing is left to be compared.
    pub is_done: bool,
}

impl AuditReport {
    /// There was none yet.
    fn none() -> Self {
        Self { is_done: true, ..Self::default() }
    }
}

/// See [`AuditReport`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnequalReplicas {
    /// By the nodes' name.
    pub index: NodeIndexUid,
    /// Which shard.
    pub shard: ShardId,
    /// The two.
    pub nodes: [NodeId; 2],
}

impl Fleet {
    /// Begins to compare all replicas that are in sync, one pair after the other, beside everything else. An audit that is
    /// under way goes on, with this wish for repair.
    pub fn begin_audit(&mut self, is_repairing: bool) {
        self.audit.is_repairing = is_repairing;
        if self.audit.open.is_some() || !self.audit.waiting.is_empty() {
            return;
        }
        let mut waiting = VecDeque::new();
        for uid in self.live() {
            let mut pairs: BTreeMap<[usize; 2], Vec<ShardId>> = BTreeMap::new();
            for (number, owners) in self.topology.owners().iter().enumerate() {
                let mut whole = owners.iter().copied().filter(|&node| self.is_complete(node, &uid));
                let Some(first) = whole.next() else { continue };
                for other in whole {
                    pairs.entry([first, other]).or_default().push(ShardId(number as u16));
                }
            }
            for (nodes, shards) in pairs {
                let parts = shards.chunks(self.tables.pace.shards_per_copy.max(1));
                waiting.extend(parts.map(|shards| Pair {
                    index: uid.clone(),
                    nodes,
                    shards: shards.to_vec(),
                    tries: 0,
                }));
            }
        }
        let report = AuditReport { total: waiting.len(), ..AuditReport::default() };
        self.audit = Audit { waiting, open: None, report, is_repairing };
    }

    /// How the last audit stands; all zero if there was none in this life.
    pub fn audit_report(&self) -> &AuditReport {
        &self.audit.report
    }

    fn is_complete(&self, node: usize, uid: &NodeIndexUid) -> bool {
        let feed = self.feed(node, uid);
        feed.sync == Sync::In && !feed.needs_rebuild && !self.is_rebuilding(node, uid)
    }

    /// Starts the next comparison, if the last one has ended. Moves go first.
    pub(super) fn advance_audit(&mut self, now: Monotonic) {
        if let Some((_, pair)) = self.audit.open.take_if(|(id, _)| !self.transfers.is_open(*id)) {
            // It was given up: what it held has changed.
            self.try_again(pair);
        }
        if self.audit.open.is_some() {
            return;
        }
        while let Some(pair) = self.audit.waiting.pop_front() {
            let is_there = self.indexes.get(&pair.index).is_some_and(|state| state.dropped.is_none());
            let owns = |node: usize| pair.shards.iter().all(|&shard| self.topology.owns(node, shard));
            let is_whole = |&node: &usize| is_there && owns(node) && self.is_complete(node, &pair.index);
            if !pair.nodes.iter().all(is_whole) {
                self.audit.report.skipped += 1;
                continue;
            }
            let is_busy = |&node: &usize| {
                let feed = self.feed(node, &pair.index);
                feed.held.is_some() || feed.is_careful() || feed.split.is_some() || feed.vote.is_some()
            };
            if pair.nodes.iter().any(is_busy) {
                self.audit.waiting.push_front(pair);
                return;
            }
            let parts = pair.shards.iter().map(|&shard| (None, shard)).collect();
            let id = self.start_transfer(pair.index.clone(), LookKind::Compare { nodes: pair.nodes }, parts, now);
            self.audit.open = Some((id, pair));
            return;
        }
        if !std::mem::replace(&mut self.audit.report.is_done, true) && self.audit.is_repairing {
            self.repair_minorities();
        }
    }

    fn try_again(&mut self, mut pair: Pair) {
        pair.tries += 1;
        if pair.tries < TRIES {
            self.audit.waiting.push_back(pair);
        } else {
            self.audit.report.skipped += 1;
        }
    }

    /// What the comparison of a pair came to.
    pub(super) fn audited(&mut self, unequal: &[ShardId]) {
        let Some((_, pair)) = self.audit.open.take() else { return };
        self.audit.report.done += 1;
        for &shard in unequal {
            let nodes = pair.nodes.map(|node| self.nodes[node].id.clone());
            let index = pair.index.clone();
            self.pending.alarms.push(Alarm::ReplicasDiffer { nodes: nodes.clone(), index: index.clone(), shard });
            self.audit.report.unequal.push(UnequalReplicas { index, shard, nodes });
        }
    }

    /// A replica that differs from the first owner, when all the others do not, is the one that is wrong.
    fn repair_minorities(&mut self) {
        let mut suspects: BTreeSet<(usize, NodeIndexUid)> = BTreeSet::new();
        for found in &self.audit.report.unequal {
            let owners = self.topology.owners_of(found.shard).to_vec();
            let same = |of: &&UnequalReplicas| of.index == found.index && of.shard == found.shard;
            let odd: Vec<&NodeId> = self.audit.report.unequal.iter().filter(same).map(|of| &of.nodes[1]).collect();
            // Of two nobody knows which is wrong; nor when several differ from the first, which were not compared with
            // each other.
            let suspect = if let [one] = odd[..] { (owners.len() > 2).then(|| one.clone()) } else { None };
            let number = suspect.and_then(|id| owners.iter().copied().find(|&node| self.nodes[node].id == id));
            suspects.extend(number.map(|node| (node, found.index.clone())));
        }
        for (node, uid) in suspects {
            if self.is_spared(node, &uid) {
                self.audit.report.rebuilt.push((self.nodes[node].id.clone(), uid.clone()));
                self.rebuild_index(node, &uid);
            }
        }
    }
}
