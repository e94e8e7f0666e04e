//! Putting right what is known to be wrong, one thing after the other, by the steps of moves.
//!
//! A replica of a shard that differs gets a job of its own: readers are told that the (node, index) is not in sync, what
//! the node has of the shard is deleted and copied from another replica at a held position, and compared. What lies where
//! it does not belong is deleted by its marker, as after a move that was taken back; a deletion of what has no marker can
//! never hit anything that we wrote, however late it arrives.

use super::{AuditOrigin, AuditStage, RepairState};
use crate::logic::feeder::Fleet;
use crate::logic::feeder::feed::Sync;
use crate::logic::feeder::moves::{Job, Join};
use crate::logic::ids::{JobId, Monotonic, NodeIndexUid, ShardId};
use crate::logic::topology::JobKind;

/// In the background what is found within this time is put right together.
const BATCH_MS: u64 = 60_000;

/// What is to be put right together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Repair {
    index: NodeIndexUid,
    what: Wrong,
    /// Found.
    since: Monotonic,
    /// No other replica is complete since then.
    waits_since: Option<Monotonic>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Wrong {
    /// These nodes are wrong about these shards.
    Replicas { nodes: Vec<usize>, shards: Vec<ShardId> },
    /// Documents of these shards, or without a marker, do not belong on this node.
    Strays { node: usize, shards: Vec<ShardId>, is_unmarked: bool },
}

enum Begin {
    Begun(Vec<JobId>),
    Wait,
    /// No other replica is complete.
    NoOther,
    /// The shards have moved, or the index is gone.
    Moved,
}

impl Fleet {
    /// What this audit found, and is known to be wrong, gets its turn, if that is wanted.
    pub(super) fn plan_repairs(&mut self) {
        let (number, now) = (self.audit.number, self.seen_at);
        if !self.audit.is_repairing {
            return;
        }
        let mut due: Vec<(NodeIndexUid, Wrong)> = Vec::new();
        for ((uid, shard), found) in &mut self.audit.unequal {
            if found.audit == number && found.repair == RepairState::NotAsked {
                found.repair = RepairState::Waiting;
                due.push((uid.clone(), Wrong::Replicas { nodes: found.wrong.clone(), shards: vec![*shard] }));
            }
        }
        for ((uid, node, shard), found) in &mut self.audit.strays {
            if found.audit == number && found.repair == RepairState::NotAsked {
                found.repair = RepairState::Waiting;
                let (shards, is_unmarked) = (shard.iter().copied().collect(), shard.is_none());
                due.push((uid.clone(), Wrong::Strays { node: *node, shards, is_unmarked }));
            }
        }
        for (index, what) in due {
            if !self.audit.repairs.iter_mut().any(|repair| repair.index == index && repair.what.take_in(&what)) {
                self.audit.repairs.push_back(Repair { index, what, since: now, waits_since: None });
            }
        }
    }

    /// A replica is being put right.
    pub(super) fn is_in_repair(&self, node: usize, uid: &NodeIndexUid) -> bool {
        self.audit.repairing.as_ref().is_some_and(|(repair, _)| repair.index == *uid && repair.what.is_about(node))
    }

    pub(super) fn advance_repairs(&mut self, now: Monotonic) {
        if let Some((repair, jobs)) = self.audit.repairing.take() {
            if !self.is_repaired(&repair, &jobs) {
                self.audit.repairing = Some((repair, jobs));
                return;
            }
            self.set_repair(&repair, RepairState::Done);
        }
        let is_comparing = self.audit.stage == AuditStage::Comparing;
        let is_slow = self.audit.origin == AuditOrigin::Background;
        for _ in 0..self.audit.repairs.len() {
            let Some(mut repair) = self.audit.repairs.pop_front() else { return };
            let is_due = !is_comparing || is_slow && now >= repair.since.plus_ms(BATCH_MS);
            let begin = if is_due { self.begin_repair(&mut repair) } else { Begin::Wait };
            match begin {
                Begin::Begun(jobs) => {
                    self.set_repair(&repair, RepairState::UnderWay);
                    self.audit.repairing = Some((repair, jobs));
                    return;
                }
                Begin::Wait => self.audit.repairs.push_back(repair),
                Begin::Moved => self.set_repair(&repair, RepairState::Moved),
                Begin::NoOther => {
                    // Another complete replica is waited for.
                    let patience = 2 * self.timing.hold_ms;
                    if now < repair.waits_since.get_or_insert(now).plus_ms(patience) {
                        self.audit.repairs.push_back(repair);
                    } else {
                        self.set_repair(&repair, RepairState::NoOther);
                    }
                }
            }
        }
    }

    /// Nothing of it is left to do.
    fn is_repaired(&mut self, repair: &Repair, jobs: &[JobId]) -> bool {
        if let Wrong::Strays { node, is_unmarked: true, .. } = repair.what
            && (!self.topology.is_member(node) || !self.is_live(&repair.index))
        {
            self.audit.swept(node, &repair.index);
        }
        let is_swept = matches!(repair.what, Wrong::Strays { node, .. } if self.audit.is_swept(node, &repair.index));
        !is_swept && !jobs.iter().any(|job| self.topology.jobs.contains_key(job))
    }

    fn set_repair(&mut self, repair: &Repair, state: RepairState) {
        let (unequal, strays) = (&mut self.audit.unequal, &mut self.audit.strays);
        match &repair.what {
            Wrong::Replicas { shards, .. } => {
                for shard in shards {
                    if let Some(found) = unequal.get_mut(&(repair.index.clone(), *shard)) {
                        found.repair = state;
                    }
                }
            }
            Wrong::Strays { node, shards, is_unmarked } => {
                let places = shards.iter().copied().map(Some).chain(is_unmarked.then_some(None));
                for shard in places {
                    if let Some(found) = strays.get_mut(&(repair.index.clone(), *node, shard)) {
                        found.repair = state;
                    }
                }
            }
        }
    }

    fn is_live(&self, uid: &NodeIndexUid) -> bool {
        self.indexes.get(uid).is_some_and(|state| state.dropped.is_none())
    }

    fn begin_repair(&mut self, repair: &mut Repair) -> Begin {
        if !self.is_live(&repair.index) {
            return Begin::Moved;
        }
        match &mut repair.what {
            Wrong::Replicas { nodes, shards } => self.begin_replicas(&repair.index, nodes, shards),
            Wrong::Strays { node, shards, is_unmarked } => {
                self.leave_out_moving(&repair.index, *node, shards);
                self.begin_removal(&repair.index, *node, shards, *is_unmarked)
            }
        }
    }

    fn begin_replicas(&mut self, uid: &NodeIndexUid, nodes: &[usize], shards: &[ShardId]) -> Begin {
        let owns = |&node: &usize| shards.iter().all(|&shard| self.topology.owns(node, shard));
        let is_given_up = |&node: &usize| self.nodes[node].is_lost || self.feed(node, uid).needs_rebuild;
        if !nodes.iter().all(owns) || nodes.iter().any(is_given_up) {
            return Begin::Moved;
        }
        let is_coming = |job: &Job| shards.contains(&job.shard) && job.target.is_some_and(|node| nodes.contains(&node));
        let is_rebuilt = |&node: &usize| self.is_rebuilding(node, uid);
        if self.tables.is_paused || self.topology.jobs.values().any(is_coming) || nodes.iter().any(is_rebuilt) {
            return Begin::Wait;
        }
        let is_right =
            |&other: &usize| !nodes.contains(&other) && self.is_complete(other, uid) && self.nodes[other].is_reachable;
        let is_spared = |&shard: &ShardId| self.topology.owners_of(shard).iter().any(is_right);
        if !nodes.iter().flat_map(|&node| self.topology.owned(node)).all(is_spared) {
            return Begin::NoOther;
        }
        let mut jobs = Vec::new();
        for &node in nodes {
            match self.feed(node, uid).sync {
                Sync::In | Sync::Returning(_) => self.leave(node, uid),
                Sync::Joining => self.feed_mut(node, uid).sync = Sync::Out,
                Sync::Leaving(_) | Sync::Out => {}
            }
            for &shard in shards {
                let mut job = Job::new(JobKind::Repair, shard, Some(node), self.version);
                job.joins.insert(uid.clone(), Join::clear());
                let id = self.add_job(job);
                self.pending.joins.insert((id, uid.clone()));
                jobs.push(id);
            }
        }
        self.want_publication();
        Begin::Begun(jobs)
    }

    /// Shards that the node owns meanwhile, or that jobs are about.
    fn leave_out_moving(&mut self, uid: &NodeIndexUid, node: usize, shards: &mut Vec<ShardId>) {
        let jobs = &self.topology.jobs;
        let is_moving = |shard: ShardId| self.topology.owns(node, shard) || jobs.values().any(|job| job.shard == shard);
        for shard in shards.extract_if(.., |shard| is_moving(*shard)) {
            if let Some(found) = self.audit.strays.get_mut(&(uid.clone(), node, Some(shard))) {
                found.repair = RepairState::Moved;
            }
        }
    }

    fn begin_removal(&mut self, uid: &NodeIndexUid, node: usize, shards: &[ShardId], is_unmarked: bool) -> Begin {
        if !self.topology.is_member(node) || shards.is_empty() && !is_unmarked {
            return Begin::Moved;
        }
        let jobs = self.add_undos(node, uid, shards);
        if is_unmarked {
            self.audit.sweeps.insert((node, uid.clone()));
            self.nodes[node].active.insert(uid.clone());
        }
        Begin::Begun(jobs)
    }
}

impl Wrong {
    fn is_about(&self, node: usize) -> bool {
        match self {
            Self::Replicas { nodes, .. } => nodes.contains(&node),
            Self::Strays { node: of, .. } => *of == node,
        }
    }

    /// Adds what concerns the same nodes. False: it does not.
    fn take_in(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Replicas { nodes, shards }, Self::Replicas { nodes: same, shards: more }) if nodes == same => {
                shards.extend(more);
                true
            }
            (
                Self::Strays { node, shards, is_unmarked },
                Self::Strays { node: same, shards: more, is_unmarked: is_also },
            ) if node == same => {
                shards.extend(more);
                *is_unmarked |= is_also;
                true
            }
            (Self::Replicas { .. } | Self::Strays { .. }, Self::Replicas { .. } | Self::Strays { .. }) => false,
        }
    }
}
