//! Which node owns, gets and counts for which shards: the three questions that moves keep apart.
//!
//! * *owns*: by the table; readers go by it.
//! * *fed*: the main stream of a (node, index) carries the shard's part of a step. A node that a shard is coming to gets
//!   what lies after its copy; one that a shard has just left gets everything until nobody reads it any more.
//! * *counts*: verdicts, votes and reports need the node for the shard.
//!
//! Nodes are numbered as in [`super::Start`]; a number is never given again in the life of a process.

use std::collections::{BTreeMap, BTreeSet};

use super::moves::{Job, Join};
use super::step::StepInfo;
use crate::logic::ids::{JobId, NodeIndexUid, Position, ShardId};
use crate::logic::topology::{JobKind, JobStep};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Topology {
    /// By node: has a feed.
    members: Vec<bool>,
    /// By shard.
    owners: Vec<Vec<usize>>,
    /// By node, ascending.
    owned: Vec<Vec<ShardId>>,
    /// By shard: who is to own it.
    pub plan: Vec<Vec<usize>>,
    pub jobs: BTreeMap<JobId, Job>,
    /// The job that brings a shard to a node, before the table says so; of a repair, while it lasts.
    incoming: BTreeMap<(usize, ShardId), JobId>,
    /// The job that takes a shard away from a node which is still fed.
    outgoing: BTreeMap<(usize, ShardId), JobId>,
    /// Jobs that delete what a node has of a shard.
    cleaning: BTreeSet<(usize, ShardId, JobId)>,
    /// Nodes that had documents of a shard until a job of this life deleted them.
    left: BTreeSet<(usize, ShardId)>,
}

impl Topology {
    pub(super) fn new(members: Vec<bool>, owners: Vec<Vec<usize>>, plan: Vec<Vec<usize>>) -> Self {
        let mut topology = Self { members, plan, ..Self::default() };
        topology.set_owners(owners);
        topology
    }

    pub(super) fn set_owners(&mut self, owners: Vec<Vec<usize>>) {
        self.owned = vec![Vec::new(); self.members.len()];
        for (shard, nodes) in owners.iter().enumerate() {
            for &node in nodes {
                self.owned[node].push(ShardId(shard as u16));
            }
        }
        self.owners = owners;
    }

    /// A member without shards; returns its number.
    pub(super) fn add_member(&mut self) -> usize {
        self.members.push(true);
        self.owned.push(Vec::new());
        self.members.len() - 1
    }

    pub(super) fn remove_member(&mut self, node: usize) {
        self.members[node] = false;
    }

    pub(super) fn is_member(&self, node: usize) -> bool {
        self.members[node]
    }

    /// By shard: its owners.
    pub(super) fn owners(&self) -> &[Vec<usize>] {
        &self.owners
    }

    pub(super) fn owners_of(&self, shard: ShardId) -> &[usize] {
        &self.owners[usize::from(shard.0)]
    }

    /// The shards that a node owns, ascending.
    pub(super) fn owned(&self, node: usize) -> &[ShardId] {
        &self.owned[node]
    }

    pub(super) fn owns(&self, node: usize, shard: ShardId) -> bool {
        self.owners_of(shard).contains(&node)
    }

    /// To be called after any change of a job's step, target or old owner.
    pub(super) fn sort_jobs(&mut self) {
        self.incoming.clear();
        self.outgoing.clear();
        self.cleaning.clear();
        for (&id, job) in &self.jobs {
            match job.step {
                JobStep::Announce | JobStep::Copy => {
                    if let Some(target) = job.target {
                        self.incoming.insert((target, job.shard), id);
                    }
                }
                JobStep::Switched => {
                    if let Some(old_owner) = job.old_owner {
                        self.outgoing.insert((old_owner, job.shard), id);
                    }
                }
                JobStep::Clean | JobStep::Undo => {
                    if let Some(node) = job.cleans() {
                        self.cleaning.insert((node, job.shard, id));
                    }
                }
            }
        }
    }

    /// A job is done or given up. To be followed by [`Self::sort_jobs`].
    pub(super) fn end_job(&mut self, id: JobId) -> Option<Job> {
        let job = self.jobs.remove(&id)?;
        self.left.extend(job.cleans().map(|node| (node, job.shard)));
        Some(job)
    }

    /// A job of this life has deleted what the node had of the shard.
    pub(super) fn has_left(&self, node: usize, shard: ShardId) -> bool {
        self.left.contains(&(node, shard))
    }

    /// The job that is bringing a shard to a node.
    pub(super) fn incoming(&self, node: usize, shard: ShardId) -> Option<&Job> {
        self.incoming.get(&(node, shard)).map(|id| &self.jobs[id])
    }

    /// Whether the main stream of a (node, index) carries a shard's part of the step at a position.
    pub(super) fn is_fed(&self, node: usize, uid: &NodeIndexUid, shard: ShardId, position: Position) -> bool {
        if !self.members[node] {
            return false;
        }
        if let Some(job) = self.incoming(node, shard) {
            match (job.joins.get(uid), job.kind) {
                // It is still read.
                (Some(_), JobKind::Repair) if job.step == JobStep::Announce => {}
                (Some(join), JobKind::Move | JobKind::Repair) => return join.carries(position),
                // Created while the job was copying.
                (None, JobKind::Move) => return job.step == JobStep::Copy,
                (None, JobKind::Repair) => {}
            }
        }
        self.owns(node, shard) || self.is_leaving(node, uid, shard)
    }

    /// It owned the shard until a switch, and some reader may not know that yet.
    pub(super) fn is_leaving(&self, node: usize, uid: &NodeIndexUid, shard: ShardId) -> bool {
        self.outgoing.get(&(node, shard)).is_some_and(|id| !self.jobs[id].hollow.contains(uid))
    }

    /// The nodes that owned the shard until a switch, and are still fed. They may have the only complete copy.
    pub(super) fn leaving(&self, uid: &NodeIndexUid, shard: ShardId) -> impl Iterator<Item = usize> {
        let nodes = self.outgoing.keys().filter(move |(_, of)| *of == shard).map(|&(node, _)| node);
        nodes.filter(move |&node| self.is_leaving(node, uid, shard))
    }

    /// Whether verdicts, votes and reports need a node for a shard, if it is required at all.
    pub(super) fn counts(&self, node: usize, uid: &NodeIndexUid, shard: ShardId) -> bool {
        self.owns(node, shard)
            || self.incoming(node, shard).is_some_and(|job| job.is_ready)
            || self.is_leaving(node, uid, shard)
    }

    /// Whether a node counts for any shard of an index.
    pub(super) fn is_voter(&self, node: usize, uid: &NodeIndexUid) -> bool {
        let mut moving = of_node(&self.incoming, node).chain(of_node(&self.outgoing, node));
        self.members[node] && (!self.owned[node].is_empty() || moving.any(|(shard, _)| self.counts(node, uid, shard)))
    }

    /// Whether a node has a part in a step.
    pub(super) fn touches(&self, node: usize, uid: &NodeIndexUid, step: &StepInfo) -> bool {
        match &step.shards {
            None => self.members[node],
            Some(shards) => shards.iter().any(|&shard| self.is_fed(node, uid, shard, step.position)),
        }
    }

    /// The shards of a document step that a node gets, ascending.
    pub(super) fn part(&self, node: usize, uid: &NodeIndexUid, step: &StepInfo) -> Vec<ShardId> {
        let shards = step.shards.as_deref().unwrap_or_default();
        shards.iter().copied().filter(|&shard| self.is_fed(node, uid, shard, step.position)).collect()
    }

    /// Whether a step is reported only when this node, if it is required, has applied it.
    pub(super) fn must_count(&self, node: usize, uid: &NodeIndexUid, step: &StepInfo) -> bool {
        match &step.shards {
            None => self.is_voter(node, uid),
            Some(shards) => shards.iter().any(|&shard| self.counts(node, uid, shard)),
        }
    }

    /// The joins of an index on a node: of jobs that have not switched.
    pub(super) fn joins_of<'a>(
        &'a self,
        node: usize,
        uid: &'a NodeIndexUid,
    ) -> impl Iterator<Item = (JobId, &'a Join)> {
        of_node(&self.incoming, node).filter_map(|(_, id)| Some((id, self.jobs[&id].joins.get(uid)?)))
    }

    /// What is stored of an index on a node is not all that it should have.
    pub(super) fn is_repairing(&self, node: usize, uid: &NodeIndexUid) -> bool {
        self.joins_of(node, uid).any(|(id, _)| self.jobs[&id].kind == JobKind::Repair)
    }

    /// A node has documents of a shard that it does not own any more: some job deletes them, or will.
    pub(super) fn has_rest(&self, node: usize, shard: ShardId) -> bool {
        self.outgoing.contains_key(&(node, shard)) || self.cleaning_of(node).any(|(of, _)| of == shard)
    }

    fn cleaning_of(&self, node: usize) -> impl Iterator<Item = (ShardId, JobId)> {
        let all = (node, ShardId(0), JobId(0))..=(node, ShardId(u16::MAX), JobId(u64::MAX));
        self.cleaning.range(all).map(|&(_, shard, id)| (shard, id))
    }

    /// Shards of an index whose documents on a node are worth nothing, and not deleted yet; ascending.
    pub(super) fn dirty(&self, node: usize, uid: &NodeIndexUid) -> Vec<ShardId> {
        let joining = of_node(&self.incoming, node).filter(|(_, id)| {
            let job = &self.jobs[id];
            job.step == JobStep::Copy && job.joins.get(uid).is_some_and(Join::is_dirty)
        });
        let leaving = self.cleaning_of(node).chain(of_node(&self.outgoing, node));
        let cleaned = leaving.filter(|(_, id)| self.jobs[id].cleans_in(uid) == Some(node));
        let mut shards: Vec<ShardId> = joining.chain(cleaned).map(|(shard, _)| shard).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    pub(super) fn join(&self, job: JobId, uid: &NodeIndexUid) -> Option<&Join> {
        self.jobs.get(&job)?.joins.get(uid)
    }

    pub(super) fn join_mut(&mut self, job: JobId, uid: &NodeIndexUid) -> Option<&mut Join> {
        self.jobs.get_mut(&job)?.joins.get_mut(uid)
    }
}

/// The shards of a node, ascending, each with its job.
fn of_node(jobs: &BTreeMap<(usize, ShardId), JobId>, node: usize) -> impl Iterator<Item = (ShardId, JobId)> + use<'_> {
    jobs.range((node, ShardId(0))..=(node, ShardId(u16::MAX))).map(|(&(_, shard), &id)| (shard, id))
}
