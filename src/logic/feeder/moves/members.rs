//! What an operator wants of members: the plan, maintenance, and leaving, in order or by force.

use super::Job;
use crate::logic::feeder::Fleet;
use crate::logic::feeder::feed::{Feed, Sync};
use crate::logic::ids::{JobId, Monotonic, NodeId, NodeIndexUid, ShardId};
use crate::logic::topology::{JobStep, NodeState as Wanted, Pace};

/// A node cannot be given up: nobody else has all of these shards.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("nobody else has all documents of {} shards", .shards.len())]
pub struct LastCopy {
    /// Ascending.
    pub shards: Vec<ShardId>,
}

impl Fleet {
    /// Who is to own what from now on; jobs make the owners follow. Names that are no members are left out.
    pub fn set_plan(&mut self, plan: &[Vec<NodeId>], replication_factor: u16) {
        let by_shard = plan.iter().map(|nodes| nodes.iter().filter_map(|id| self.number_of(id)).collect());
        self.topology.plan = by_shard.collect();
        self.tables.replication_factor = replication_factor;
        self.tables_changed();
    }

    /// No new copies begin, and no new jobs, until this is taken back. What has switched is cleaned up all the same.
    pub fn set_paused(&mut self, is_paused: bool) {
        self.tables.is_paused = is_paused;
        self.tables_changed();
    }

    /// How fast shards move from now on; `is_configured`: until the configuration says otherwise.
    pub fn set_pace(&mut self, pace: Pace, is_configured: bool) {
        (self.tables.pace, self.tables.is_pace_set) = (pace, !is_configured);
        self.tables_changed();
    }

    /// How fast shards move.
    pub fn pace(&self) -> Pace {
        self.tables.pace
    }

    /// What the operator wants of a node.
    pub fn set_node_state(&mut self, id: &NodeId, state: Wanted) {
        if let Some(node) = self.number_of(id) {
            self.nodes[node].record.state = state;
            self.pending.nodes.insert(node);
            self.attention.extend(self.indexes.keys().cloned());
        }
    }

    /// Whether readers use a node that stands aside: none when they may stop it, or are about to.
    pub fn is_read_in_maintenance(&self, id: &NodeId) -> Option<bool> {
        let node = self.number_of(id)?;
        let mut is_read = false;
        for uid in self.live() {
            match self.feed(node, uid).sync {
                Sync::In if self.has_cover(node, uid) => return None,
                Sync::Leaving(_) | Sync::Joining | Sync::Returning(_) => return None,
                Sync::In => is_read = true,
                Sync::Out => {}
            }
        }
        Some(is_read)
    }

    /// Members that do not answer, and for how many milliseconds.
    pub fn away(&self, now: Monotonic) -> Vec<(NodeId, u64)> {
        let members = (0..self.nodes.len()).filter(|&node| self.topology.is_member(node));
        let away = |node: usize| {
            let state = &self.nodes[node];
            let since = state.away_since?;
            Some((state.id.clone(), now.0.saturating_sub(since.0)))
        };
        members.filter_map(away).collect()
    }

    /// A member that owns nothing, is to own nothing, and has no part in any job.
    pub fn is_removable(&self, id: &NodeId) -> bool {
        let is_free = |node: usize| {
            let is_planned = self.topology.plan.iter().flatten().any(|&of| of == node);
            let has_job = self.topology.jobs.values().any(|job| job.has_part(node));
            !is_planned && !has_job && self.topology.owned(node).is_empty()
        };
        self.number_of(id).is_some_and(is_free)
    }

    /// Takes a member away that can be ([`Self::is_removable`]). False: it cannot yet.
    pub fn remove(&mut self, id: &NodeId) -> bool {
        let Some(node) = self.number_of(id).filter(|_| self.is_removable(id)) else { return false };
        self.end_membership(node);
        true
    }

    /// Shards that nobody but this member has all documents of, ascending.
    pub fn last_copies(&self, id: &NodeId) -> Vec<ShardId> {
        let Some(node) = self.number_of(id) else { return Vec::new() };
        let is_elsewhere = |shard: &ShardId| {
            // Without any index, too: what is written next needs an owner.
            let goes_back = |job: &Job| job.step == JobStep::Switched && job.shard == *shard && job.old_owner.is_some();
            let has_other = self.topology.owners_of(*shard).len() > 1 || self.topology.jobs.values().any(goes_back);
            has_other && self.live().all(|uid| self.other_copies(node, *shard, uid).next().is_some())
        };
        self.topology.owned(node).iter().copied().filter(|of| !is_elsewhere(of)).collect()
    }

    /// Takes away a member that is gone, whatever it owned. What it had is copied from others to where the plan says,
    /// which does not name it any more. It must not come back with its data.
    pub fn remove_by_force(&mut self, id: &NodeId) -> Result<(), LastCopy> {
        let Some(node) = self.number_of(id) else { return Ok(()) };
        let shards = self.last_copies(id);
        if !shards.is_empty() {
            return Err(LastCopy { shards });
        }
        for uid in self.indexes.keys().cloned().collect::<Vec<NodeIndexUid>>() {
            self.abort_on(node, &uid);
        }
        let mut owners = self.topology.owners().to_vec();
        for of_shard in &mut owners {
            of_shard.retain(|&owner| owner != node);
        }
        for of_shard in &mut self.topology.plan {
            of_shard.retain(|&owner| owner != node);
        }
        let jobs: Vec<JobId> = self.topology.jobs.keys().copied().collect();
        for job_id in jobs {
            let job = &self.topology.jobs[&job_id];
            let is_target = job.target == Some(node);
            let is_owner = self.topology.owns(node, job.shard);
            let goes_back = job.old_owner.filter(|&old| {
                is_owner && job.step == JobStep::Switched && self.topology.is_member(old) && job.hollow.is_empty()
            });
            if let Some(old) = goes_back {
                // It was fed all the time: it is as complete as the one that is gone.
                owners[usize::from(job.shard.0)].push(old);
            }
            let is_over = match job.step {
                JobStep::Announce | JobStep::Copy | JobStep::Undo => is_target,
                JobStep::Switched | JobStep::Clean => job.old_owner == Some(node),
            };
            if is_over || goes_back.is_some() {
                self.end_job(job_id);
            }
        }
        self.topology.set_owners(owners);
        self.tables_changed();
        self.end_membership(node);
        self.jobs_changed(0..self.nodes.len());
        Ok(())
    }

    /// The other nodes that have all of a shard of an index.
    pub(super) fn other_copies<'a>(
        &'a self,
        node: usize,
        shard: ShardId,
        uid: &'a NodeIndexUid,
    ) -> impl Iterator<Item = usize> + 'a {
        let copies = self.topology.owners_of(shard).iter().copied().chain(self.topology.leaving(uid, shard));
        copies.filter(move |&other| other != node && self.is_complete(other, uid))
    }

    fn end_membership(&mut self, node: usize) {
        self.topology.remove_member(node);
        let state = &mut self.nodes[node];
        state.record.state = Wanted::Removed;
        state.active.clear();
        (state.in_flight, state.unclear, state.upkeep, state.identifying) = (None, None, None, None);
        let id = state.id.clone();
        self.forget_compactions(|record| record.node == id);
        for state in self.indexes.values_mut() {
            state.feeds[node] = Feed { sync: Sync::Out, ..Feed::new(state.created.before()) };
        }
        self.pending.nodes.insert(node);
        self.require_anew();
        self.want_publication();
    }

    fn number_of(&self, id: &NodeId) -> Option<usize> {
        (0..self.nodes.len()).find(|&node| self.nodes[node].id == *id && self.topology.is_member(node))
    }
}
