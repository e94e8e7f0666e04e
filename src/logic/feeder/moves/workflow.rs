//! The steps of jobs: announce, copy, switch, clean. Each is stored before it has an effect, and waits until every reader
//! knows what it must know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::logic::feeder::Fleet;
use crate::logic::feeder::feed::{Feed, ReaderProgress, Stage};
use crate::logic::feeder::index::IndexState;
use crate::logic::feeder::step::JournalView;
use crate::logic::ids::{JobId, Monotonic, NodeIndexUid, ShardId};
use crate::logic::topology::{JobKind, JobStep, JoinState, NodeState as Wanted};

use super::{Job, Join};

impl Fleet {
    /// Makes the table follow the plan. Part of [`Fleet::control`].
    pub(in crate::logic::feeder) fn advance_jobs(
        &mut self,
        progress: ReaderProgress,
        now: Monotonic,
        journal: &dyn JournalView,
    ) {
        self.make_jobs(now);
        let jobs: Vec<JobId> = self.topology.jobs.keys().copied().collect();
        // By target; what happens here changes nothing of it.
        let mut current: BTreeMap<usize, bool> = BTreeMap::new();
        for id in jobs {
            // A job may have ended another one.
            let Some(step) = self.topology.jobs.get(&id).map(|job| job.step) else { continue };
            match step {
                JobStep::Announce | JobStep::Copy if self.is_off_plan(id) => self.take_back(id),
                JobStep::Announce => self.announced(id, progress),
                JobStep::Copy => self.copied(id, &mut current, journal),
                JobStep::Switched => self.switched(id, progress),
                JobStep::Clean | JobStep::Undo => self.cleaned(id),
            }
        }
        self.advance_transfers(now);
    }

    /// One replica of a shard at a time is brought to a node, as many shards as the limits allow. A job that has switched, or is
    /// only to delete something yet, may wait for nodes that are away: it holds up no move, but one to the same node.
    fn make_jobs(&mut self, now: Monotonic) {
        if self.tables.is_paused {
            return;
        }
        let held_off = self.held_off(now);
        let mut moving: BTreeSet<ShardId> = BTreeSet::new();
        // By node: shards on their way there, and of those that are not copied at this hour: they are in nobody's way.
        let mut coming: [Vec<usize>; 2] = [(); 2].map(|()| vec![0; self.nodes.len()]);
        let is_held_off = |shard: ShardId| usize::from(held_off.contains(&shard));
        for job in self.topology.jobs.values() {
            if job.kind == JobKind::Move && matches!(job.step, JobStep::Announce | JobStep::Copy) {
                moving.insert(job.shard);
            }
            if let Some(target) = job.target.filter(|_| matches!(job.step, JobStep::Announce | JobStep::Copy)) {
                coming[is_held_off(job.shard)][target] += 1;
            }
        }
        for number in 0..self.topology.plan.len() {
            let shard = ShardId(number as u16);
            let coming = &mut coming[is_held_off(shard)];
            let owners = self.topology.owners_of(shard);
            let plan = &self.topology.plan[number];
            let mut missing = plan.iter().copied().filter(|node| !owners.contains(node)).peekable();
            let is_surplus = missing.peek().is_none() && owners.iter().any(|node| !plan.contains(node));
            let clean = missing.filter(|&node| !self.topology.has_rest(node, shard));
            let target = clean.min_by_key(|&node| (coming[node], node));
            if target.is_none() && !is_surplus || moving.contains(&shard) {
                continue;
            }
            if target.is_some_and(|node| coming[node] >= self.tables.pace.moves_per_node) {
                continue;
            }
            self.add_job(Job::new(JobKind::Move, shard, target, self.version));
            if let Some(target) = target {
                coming[target] += 1;
                self.want_publication();
            }
        }
    }

    /// Shards that are not copied at this hour: those that have as many replicas as are planned, on nodes that are there.
    pub(super) fn held_off(&self, now: Monotonic) -> BTreeSet<ShardId> {
        if !self.transfers.is_off_hours {
            return BTreeSet::new();
        }
        let is_gone = |since: Monotonic| now.0 >= since.0.saturating_add(self.timing.in_sync_timeout_ms);
        let is_sound = |&&node: &&usize| {
            let state = &self.nodes[node];
            self.topology.is_member(node)
                && !state.is_lost
                && (!state.away_since.is_some_and(is_gone) || state.record.state == Wanted::Maintenance)
        };
        let plan = self.topology.plan.iter().map(Vec::len);
        let has_all = |(owners, planned): (&Vec<usize>, usize)| owners.iter().filter(is_sound).count() >= planned;
        let by_shard = (0_u16..).map(ShardId).zip(self.topology.owners().iter().zip(plan));
        by_shard.filter(|(_, shard)| has_all(*shard)).map(|(shard, _)| shard).collect()
    }

    pub(super) fn add_job(&mut self, job: Job) -> JobId {
        let id = self.next_job;
        self.next_job = JobId(id.0 + 1);
        let target = job.target;
        self.topology.jobs.insert(id, job);
        self.pending.jobs.insert(id);
        self.jobs_changed(target);
        id
    }

    /// Forgets a job; what it held up goes on.
    pub(super) fn end_job(&mut self, id: JobId) {
        self.abort_job(id);
        let Some(job) = self.topology.end_job(id) else { return };
        self.pending.jobs.remove(&id);
        self.pending.joins.retain(|(job, _)| *job != id);
        self.pending.ended_jobs.insert(id);
        self.jobs_changed(job.target.into_iter().chain(job.old_owner));
        self.require_anew();
        self.want_publication();
    }

    /// The target of a move is not to own the shard any more.
    fn is_off_plan(&self, id: JobId) -> bool {
        let job = &self.topology.jobs[&id];
        let plan = &self.topology.plan[usize::from(job.shard.0)];
        match job.kind {
            JobKind::Move => job.target.is_some_and(|target| !plan.contains(&target)),
            JobKind::Repair => false,
        }
    }

    fn take_back(&mut self, id: JobId) {
        self.abort_job(id);
        let stage = Stage::new(self.version);
        let Some(job) = self.topology.jobs.get_mut(&id) else { return };
        job.joins.clear();
        (job.step, job.stage, job.is_ready) = (JobStep::Undo, stage, false);
        let target = job.target;
        self.pending.jobs.insert(id);
        self.jobs_changed(target);
        self.require_anew();
        if let Some(target) = target {
            self.store_first(target);
        }
    }

    /// Documents of shards that lie on a node without any right, and that no job is about, are deleted from an index like
    /// those of a move that was taken back.
    pub(super) fn add_undos(&mut self, node: usize, uid: &NodeIndexUid, shards: &[ShardId]) -> Vec<JobId> {
        let others: BTreeSet<NodeIndexUid> = self.indexes.keys().filter(|other| *other != uid).cloned().collect();
        let mut jobs = Vec::new();
        for &shard in shards {
            let mut job = Job::new(JobKind::Move, shard, Some(node), self.version);
            (job.step, job.cleaned) = (JobStep::Undo, others.clone());
            jobs.push(self.add_job(job));
        }
        if !jobs.is_empty() {
            self.want_publication();
            self.store_first(node);
        }
        jobs
    }

    /// The node gets nothing before what jobs are to do there is stored: after a start that would not be known.
    fn store_first(&mut self, node: usize) {
        for state in self.indexes.values_mut() {
            state.feeds[node].store_first(self.version);
        }
        self.wake_all_indexes(node);
    }

    /// Every reader asks the target with the filter, since it may get documents; or, where a replica is put right, does not
    /// read it any more.
    fn announced(&mut self, id: JobId, progress: ReaderProgress) {
        let is_shown = self.is_past(self.topology.jobs[&id].stage, progress);
        let job = self.topology.jobs.get_mut(&id).expect("the caller has looked at it");
        // A removal brings nothing to any node.
        if !is_shown && job.target.is_some() {
            return;
        }
        if job.target.is_some() && job.kind == JobKind::Move {
            job.joins = self.indexes.keys().map(|uid| (uid.clone(), Join::clear())).collect();
        }
        job.step = JobStep::Copy;
        self.pending.joins.extend(job.joins.keys().map(|uid| (id, uid.clone())));
        self.pending.jobs.insert(id);
        let target = job.target;
        self.jobs_changed(target);
    }

    /// Told to readers, acknowledged, and everything that began before has ended.
    fn is_past(&self, stage: Stage, progress: ReaderProgress) -> bool {
        stage.is_acknowledged(progress.acknowledged) && (stage.is_drained(progress) || !self.rules.drain)
            || !self.rules.announce
    }

    /// `current` remembers which targets can take over shards.
    fn copied(&mut self, id: JobId, current: &mut BTreeMap<usize, bool>, journal: &dyn JournalView) {
        let job = &self.topology.jobs[&id];
        let (kind, shard, target) = (job.kind, job.shard, job.target);
        let Some(target) = target else {
            return self.take_away(id, shard);
        };
        let is_live = |uid: &NodeIndexUid| self.indexes.get(uid).is_some_and(IndexState::is_read);
        let is_verified = |join: &Join| join.state == JoinState::Joined && (join.is_verified || !self.rules.verify);
        if !job.joins.iter().all(|(uid, join)| is_verified(join) || !is_live(uid)) {
            return;
        }
        match kind {
            // An unreadable journal: the next round tries again.
            JobKind::Repair => {
                if self.pass_copies(id, journal) != Ok(true) {
                    return;
                }
                let job = &self.topology.jobs[&id];
                let indexes: Vec<NodeIndexUid> = job.joins.keys().cloned().collect();
                self.end_job(id);
                for uid in indexes {
                    self.feeds_changed(target, &uid);
                }
            }
            JobKind::Move => {
                if !job.is_ready {
                    self.topology.jobs.get_mut(&id).expect("just read").is_ready = true;
                }
                let is_current = match current.get(&target) {
                    Some(&is_current) => is_current,
                    None => self.is_current(target, journal) == Ok(true),
                };
                current.insert(target, is_current);
                if is_current && self.pass_copies(id, journal) == Ok(true) {
                    self.switch(id);
                }
            }
        }
    }

    /// A replica too many goes when every other one is complete.
    fn take_away(&mut self, id: JobId, shard: ShardId) {
        let Some(node) = self.superfluous(shard, None) else {
            self.end_job(id);
            return;
        };
        let others = self.topology.owners_of(shard).iter().filter(|&&other| other != node);
        if self.are_whole(others) {
            self.switch(id);
        }
    }

    /// The old owner goes on until no reader uses it, and until every new owner is complete. If it is to own the shard again,
    /// it does: it has all of it.
    fn switched(&mut self, id: JobId, progress: ReaderProgress) {
        let job = &self.topology.jobs[&id];
        let plan = &self.topology.plan[usize::from(job.shard.0)];
        if job.hollow.is_empty() && job.old_owner.is_some_and(|old| plan.contains(&old) && self.topology.is_member(old))
        {
            return self.give_back(id);
        }
        if !self.is_past(job.stage, progress) {
            return;
        }
        let Some(old_owner) = job.old_owner.filter(|&node| self.topology.is_member(node)) else {
            self.end_job(id);
            return;
        };
        let owners = self.topology.owners_of(job.shard);
        if !self.are_whole(owners) && self.rules.old_fed {
            return;
        }
        let stage = Stage::new(self.version);
        let job = self.topology.jobs.get_mut(&id).expect("just read");
        (job.step, job.stage) = (JobStep::Clean, stage);
        self.pending.jobs.insert(id);
        self.jobs_changed([old_owner]);
        self.require_anew();
        self.store_first(old_owner);
    }

    /// The old owner was fed all the time: it owns the shard as it did before.
    fn give_back(&mut self, id: JobId) {
        let job = &self.topology.jobs[&id];
        let mut owners = self.topology.owners().to_vec();
        owners[usize::from(job.shard.0)].extend(job.old_owner);
        self.topology.set_owners(owners);
        self.tables_changed();
        self.end_job(id);
    }

    /// Nothing of the shard is left.
    fn cleaned(&mut self, id: JobId) {
        let job = &self.topology.jobs[&id];
        let node = job.cleans().filter(|&node| self.topology.is_member(node));
        let is_left = |uid: &&NodeIndexUid| {
            let state = self.index(uid);
            let is_dropped =
                |feed: &Feed| state.dropped.is_some_and(|dropped| feed.applied >= dropped && feed.bootstrap.is_none());
            node.is_some_and(|node| !is_dropped(&state.feeds[node])) && !job.cleaned.contains(*uid)
        };
        let is_done = !self.indexes.keys().any(|uid| is_left(&uid));
        if is_done {
            self.end_job(id);
        }
    }

    /// The index is forgotten.
    pub(in crate::logic::feeder) fn forget_joins(&mut self, uid: &NodeIndexUid) {
        for job in self.topology.jobs.values_mut() {
            job.joins.remove(uid);
            job.cleaned.remove(uid);
            job.hollow.remove(uid);
        }
    }

    /// What these nodes are fed may have changed.
    pub(super) fn jobs_changed(&mut self, nodes: impl IntoIterator<Item = usize>) {
        self.topology.sort_jobs();
        for node in nodes {
            for (uid, state) in &mut self.indexes {
                state.feeds[node].reroute(|shard, at| self.topology.is_fed(node, uid, shard, at));
            }
            self.wake_all_indexes(node);
        }
    }

    /// Reports, votes and verdicts may need other nodes than before.
    pub(super) fn require_anew(&mut self) {
        for (uid, state) in &mut self.indexes {
            state.required.clear();
            self.attention.insert(uid.clone());
        }
    }

    fn wake_all_indexes(&mut self, node: usize) {
        self.nodes[node].active.extend(self.indexes.keys().cloned());
    }

    /// Jobs whose last copy or comparison came to nothing, each with the reason.
    pub fn job_problems(&self) -> BTreeMap<JobId, Arc<str>> {
        let problem = |job: &Job| job.joins.values().find_map(|join| join.problem.clone());
        self.topology.jobs.iter().filter_map(|(&id, job)| Some((id, problem(job)?))).collect()
    }

    /// The table or the plan changed: stored and shown with the next transaction.
    pub(super) fn tables_changed(&mut self) {
        self.tables.version += 1;
        self.pending.tables = true;
        self.want_publication();
    }
}
