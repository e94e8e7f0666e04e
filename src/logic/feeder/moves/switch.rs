//! The switch: the table names the target instead of an old owner, in one transaction.

use std::collections::BTreeSet;

use crate::logic::feeder::Fleet;
use crate::logic::feeder::feed::{Feed, Stage, Sync};
use crate::logic::feeder::step::{JournalUnavailable, JournalView};
use crate::logic::ids::{JobId, NodeIndexUid, ShardId};
use crate::logic::topology::{JobKind, JobStep};

impl Fleet {
    /// Indexes that readers use.
    pub(super) fn live(&self) -> impl Iterator<Item = &NodeIndexUid> {
        self.indexes.iter().filter(|(_, state)| state.is_read()).map(|(uid, _)| uid)
    }

    /// A node is in sync for every index.
    pub(super) fn is_whole(&self, node: usize) -> bool {
        let is_in = |uid: &NodeIndexUid| self.feed(node, uid).sync == Sync::In && !self.is_rebuilding(node, uid);
        !self.nodes[node].is_lost && self.live().all(is_in)
    }

    /// The replica of an index on a node is read, and has all it should have.
    pub(super) fn is_complete(&self, node: usize, uid: &NodeIndexUid) -> bool {
        let feed = self.feed(node, uid);
        feed.sync == Sync::In && !feed.needs_rebuild && !self.is_rebuilding(node, uid)
    }

    /// A node answers, as the one that it was.
    pub(in crate::logic::feeder) fn answers(&self, node: usize) -> bool {
        let state = &self.nodes[node];
        state.is_reachable && !state.is_doubtful && !state.is_lost
    }

    /// All owners are complete, and answer as those that they were. Those that were removed by force are left aside.
    pub(super) fn are_whole<'a>(&self, owners: impl IntoIterator<Item = &'a usize>) -> bool {
        let is_there = |node: usize| self.answers(node) && self.is_whole(node);
        owners.into_iter().all(|&node| is_there(node) || !self.topology.is_member(node))
    }

    /// A node has everything that was reported, answers, and is in sync: it can take over shards in this moment. Without any
    /// index, too: what is written next needs it.
    pub(super) fn is_current(&mut self, node: usize, journal: &dyn JournalView) -> Result<bool, JournalUnavailable> {
        let is_in = |feed: &Feed| feed.sync == Sync::In && feed.bootstrap.is_none();
        let is_there = self.answers(node) && self.nodes[node].unclear.is_none();
        if !is_there || !self.live().all(|uid| is_in(self.feed(node, uid))) {
            return Ok(false);
        }
        let live: Vec<NodeIndexUid> = self.live().cloned().collect();
        for uid in live {
            let due = self.due_step(node, &uid, journal)?;
            if due.is_some_and(|due| due <= self.index(&uid).top_reported) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Moves the watermarks of the target past what was copied: without the joins the feeds would send it again. False:
    /// something before that is still under way.
    pub(super) fn pass_copies(&mut self, job: JobId, journal: &dyn JournalView) -> Result<bool, JournalUnavailable> {
        let job = &self.topology.jobs[&job];
        let Some(target) = job.target else { return Ok(false) };
        let joins: Vec<_> = job.joins.iter().map(|(uid, join)| (uid.clone(), join.cursor)).collect();
        for (uid, cursor) in &joins {
            if self.due_step(target, uid, journal)?.is_some_and(|due| due <= *cursor) {
                return Ok(false);
            }
        }
        for (uid, cursor) in joins {
            self.advance(target, &uid, cursor);
            let feed = self.feed_mut(target, &uid);
            feed.pos = feed.pos.max(cursor);
        }
        Ok(true)
    }

    /// An owner that the plan does not name, one out of sync first; none if the shard still has too few.
    /// A plan may name nobody, when those that it named are gone: the last owner stays.
    pub(super) fn superfluous(&self, shard: ShardId, target: Option<usize>) -> Option<usize> {
        let owners = self.topology.owners_of(shard);
        let plan = &self.topology.plan[usize::from(shard.0)];
        let will_have = owners.len() + usize::from(target.is_some());
        let extra = owners.iter().copied().filter(|node| !plan.contains(node));
        extra.min_by_key(|&node| (self.is_whole(node), node)).filter(|_| will_have > plan.len().max(1))
    }

    /// All in one transaction: the table, the old owner's part, the end of repairs of what goes away.
    pub(super) fn switch(&mut self, id: JobId) {
        let (shard, target) = {
            let job = &self.topology.jobs[&id];
            (job.shard, job.target)
        };
        let old_owner = self.superfluous(shard, target);
        let is_repair_of_old = |job: &super::Job| {
            job.kind == JobKind::Repair && job.shard == shard && job.target.is_some() && job.target == old_owner
        };
        let repairs: Vec<JobId> =
            self.topology.jobs.iter().filter(|(_, job)| is_repair_of_old(job)).map(|(&id, _)| id).collect();
        let mut hollow: BTreeSet<NodeIndexUid> = BTreeSet::new();
        for repair in repairs {
            let job = &self.topology.jobs[&repair];
            // One that is only announced has deleted nothing.
            hollow.extend(job.joins.keys().filter(|_| job.step == JobStep::Copy).cloned());
            self.end_job(repair);
        }
        let mut owners = self.topology.owners().to_vec();
        let of_shard = &mut owners[usize::from(shard.0)];
        of_shard.retain(|&node| Some(node) != old_owner);
        of_shard.extend(target);
        self.topology.set_owners(owners);
        let stage = Stage::new(self.version);
        let job = self.topology.jobs.get_mut(&id).expect("the caller has looked at it");
        (job.old_owner, job.hollow, job.step, job.stage) = (old_owner, hollow, JobStep::Switched, stage);
        job.joins.clear();
        self.pending.jobs.insert(id);
        self.tables_changed();
        self.jobs_changed(target.into_iter().chain(old_owner));
        self.require_anew();
    }
}
