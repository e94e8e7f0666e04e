//! Members that come, go, or lose what they had.

use std::collections::BTreeSet;

use super::{Bootstrap, Job, Join};
use crate::logic::feeder::feed::{Feed, Stage, Sync};
use crate::logic::feeder::node::{NodeState, Unclear};
use crate::logic::feeder::{Alarm, Fleet};
use crate::logic::ids::{Monotonic, NodeIndexUid, NodeTask, Position, ShardId};
use crate::logic::topology::{BootstrapStage, JobKind, JobStep, NodeRecord};

impl Fleet {
    /// A new member; it must be empty. Gets every index, and no shard before the plan names it. Returns its number. The
    /// name must be new.
    pub fn enrol(&mut self, record: NodeRecord, next_task: NodeTask, now: Monotonic) -> usize {
        let node = self.topology.add_member();
        let mut state = NodeState::new(record, next_task);
        state.poll_at = now;
        self.nodes.push(state);
        for state in self.indexes.values_mut() {
            state.feeds.push(Feed::new(state.created.before()));
        }
        self.pending.nodes.insert(node);
        self.pending.next_task.insert(node);
        let indexes: Vec<NodeIndexUid> = self.indexes.keys().cloned().collect();
        for uid in indexes {
            self.begin_bootstrap(node, &uid, BootstrapStage::Create);
        }
        self.want_publication();
        node
    }

    /// The main stream of this (node, index) begins now, with an empty index.
    fn begin_bootstrap(&mut self, node: usize, uid: &NodeIndexUid, stage: BootstrapStage) {
        let at = self.base(uid);
        let version = self.version;
        let is_used = stage == BootstrapStage::Drop;
        let state = self.indexes.get_mut(uid).expect("indexes are kept while anything refers to them");
        let is_born = at >= state.created;
        let at = if is_born { at } else { state.created.before() };
        let is_gone = !state.is_read();
        let at = match state.dropped {
            Some(dropped) if is_gone => at.max(dropped),
            // Somebody reads it: it is deleted when its turn comes.
            Some(dropped) => at.min(dropped.before()),
            None => at,
        };
        let bootstrap = Bootstrap { at, stage, gate: is_used.then(|| Stage::new(version)) };
        let before = &state.feeds[node];
        state.feeds[node] = Feed {
            sync: match before.sync {
                Sync::In | Sync::Returning(_) => Sync::Leaving(Stage::new(version)),
                Sync::Leaving(stage) => Sync::Leaving(stage),
                Sync::Out | Sync::Joining => Sync::Out,
            },
            came_back_in: before.came_back_in,
            bootstrap: (is_used || is_born && !is_gone).then_some(bootstrap),
            changed_in: version,
            must_store: true,
            settings_sent: before.settings_sent + 1,
            ..Feed::new(at)
        };
        self.need_from(uid, Position(at.0 + 1));
        self.pending.applied.insert((node, uid.clone()));
        self.pending.sync.insert((node, uid.clone()), true);
        self.pending.bootstraps.insert((node, uid.clone()));
        self.want_publication();
        self.feeds_changed(node, uid);
    }

    /// The last position with everything up to it decided and resolved: what nobody can need to see again.
    fn base(&self, uid: &NodeIndexUid) -> Position {
        let state = self.index(uid);
        let open = state.undecided.keys().next().and_then(|at| at.entry());
        let open = open.into_iter().chain(state.unresolved.keys().next().copied()).min();
        open.map_or(self.head, |entry| Position::of(entry, 0).before())
    }

    /// What is stored of a replica is not all that it should have: no reader may use it yet.
    pub(in crate::logic::feeder) fn is_rebuilding(&self, node: usize, uid: &NodeIndexUid) -> bool {
        self.feed(node, uid).bootstrap.is_some() || self.topology.is_repairing(node, uid)
    }

    /// The node is not the one that it was: nothing on it can be trusted, and nobody reads it. It is rebuilt as soon as its
    /// peers have all it had; until then it is left alone, since it may have the only copy of something.
    pub(in crate::logic::feeder) fn lost(&mut self, node: usize, next_task: Option<NodeTask>) {
        let name = self.nodes[node].id.clone();
        self.pending.alarms.push(Alarm::NodeLost { node: name });
        let indexes: Vec<NodeIndexUid> = self.indexes.keys().cloned().collect();
        let is_covered = indexes.iter().all(|uid| self.is_spared(node, uid));
        let Some(next_task) = next_task.filter(|_| is_covered && self.rules.rebuild) else {
            self.nodes[node].is_lost = true;
            for uid in indexes {
                if self.feed(node, &uid).is_in_sync() {
                    self.leave(node, &uid);
                }
                self.give_up(node, &uid);
            }
            return;
        };
        self.restart_node(node, next_task);
        for uid in &indexes {
            self.rebuild_index(node, uid);
        }
    }

    /// A new life: nothing is known of it but the number of its next task.
    fn restart_node(&mut self, node: usize, next_task: NodeTask) {
        let state = &mut self.nodes[node];
        let mut record = state.record.clone();
        (record.life, record.has_identity) = (record.life + 1, false);
        // A request to the life before may still arrive.
        let unclear = state.unclear.take().map(|unclear| Unclear { what: None, ..unclear });
        let is_reachable = state.is_reachable;
        *state = NodeState { is_reachable, unclear, is_doubtful: true, ..NodeState::new(record, next_task) };
        state.poll_at = self.seen_at;
        self.pending.nodes.insert(node);
        self.pending.next_task.insert(node);
    }

    /// Every shard that the node has for readers, or may soon have again, has another complete replica of the index, on a
    /// node that answers: one that does not may come back without its data.
    pub(in crate::logic::feeder) fn is_spared(&self, node: usize, uid: &NodeIndexUid) -> bool {
        let leaves = |shard: &ShardId| self.topology.is_leaving(node, uid, *shard);
        let left = self.topology.jobs.values().map(|job| job.shard).filter(leaves);
        let mut shards = self.topology.owned(node).iter().copied().chain(left);
        let is_elsewhere = |shard| self.other_copies(node, shard, uid).any(|other| self.answers(other));
        !self.index(uid).is_read() || shards.all(is_elsewhere)
    }

    /// One index of a node begins anew, with what its peers have.
    pub(in crate::logic::feeder) fn rebuild_index(&mut self, node: usize, uid: &NodeIndexUid) {
        self.abort_on(node, uid);
        if std::mem::take(&mut self.feed_mut(node, uid).needs_rebuild) {
            self.pending.needs_rebuild.retain(|of| *of != (node, uid.clone()));
        }
        self.pending.rebuilt.insert((node, uid.clone()));
        let id = self.nodes[node].id.clone();
        self.forget_compactions(|record| record.node == id && record.index == *uid);
        self.begin_bootstrap(node, uid, BootstrapStage::Drop);
        let mut repaired = BTreeSet::new();
        for (&id, job) in &mut self.topology.jobs {
            let is_target = job.target == Some(node);
            match (job.kind, job.step) {
                (JobKind::Repair, _) if is_target => {
                    repaired.insert(job.shard);
                    job.joins.insert(uid.clone(), Join::clear());
                    self.pending.joins.insert((id, uid.clone()));
                }
                (JobKind::Move, JobStep::Copy) if is_target => {
                    job.is_ready = false;
                    job.joins.insert(uid.clone(), Join::clear());
                    self.pending.joins.insert((id, uid.clone()));
                }
                (_, JobStep::Switched) if job.old_owner == Some(node) => {
                    job.hollow.insert(uid.clone());
                    self.pending.jobs.insert(id);
                }
                (_, JobStep::Clean | JobStep::Undo) if job.cleans() == Some(node) => {
                    job.cleaned.remove(uid);
                    self.pending.jobs.insert(id);
                }
                (JobKind::Move | JobKind::Repair, _) => {}
            }
        }
        if self.index(uid).is_read() {
            let owned = self.topology.owned(node).to_vec();
            for shard in owned.into_iter().filter(|shard| !repaired.contains(shard)) {
                self.add_repair(node, shard, uid);
            }
        }
        self.jobs_changed([node]);
        self.require_anew();
    }

    fn add_repair(&mut self, node: usize, shard: ShardId, uid: &NodeIndexUid) {
        let mut job = Job::new(JobKind::Repair, shard, Some(node), self.version);
        // Nobody reads the replica: nothing is to be announced.
        job.step = JobStep::Copy;
        job.joins.insert(uid.clone(), Join::clear());
        let id = self.add_job(job);
        self.pending.joins.insert((id, uid.clone()));
    }

    /// Rebuilds what was given up, as far as peers have it. Part of [`Fleet::control`].
    pub(in crate::logic::feeder) fn rebuild_given_up(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].is_lost && self.indexes.keys().all(|uid| self.is_spared(node, uid)) {
                // Asked for its newest task once more, it is found lost once more, and rebuilt.
                (self.nodes[node].is_lost, self.nodes[node].is_doubtful) = (false, true);
            }
        }
        let mut due = Vec::new();
        for (uid, state) in &self.indexes {
            for (node, feed) in state.feeds.iter().enumerate() {
                let is_member = self.topology.is_member(node) && !self.nodes[node].is_lost;
                if feed.needs_rebuild && feed.sync == Sync::Out && state.is_read() && is_member {
                    due.push((node, uid.clone()));
                }
            }
        }
        for (node, uid) in due {
            if self.is_spared(node, &uid) {
                self.rebuild_index(node, &uid);
            }
        }
    }
}
