//! What jobs send through the feed of a (node, index), beside the steps of the journal.

use crate::logic::entry::StepKind;
use crate::logic::feeder::Fleet;
use crate::logic::feeder::feed::{Purpose, Sent, SentEnd};
use crate::logic::feeder::node::{End, Send};
use crate::logic::feeder::rewind::Touched;
use crate::logic::feeder::send::{Action, Turn};
use crate::logic::ids::{Monotonic, NodeIndexUid, NodeTask, Position, ShardId};
use crate::logic::topology::JoinState;
use crate::meili::error::ErrorBody;

impl Fleet {
    /// What goes before the next step: the making of an index, a deletion by marker. None: the step's turn.
    pub(in crate::logic::feeder) fn turn_for_jobs(
        &self,
        node: usize,
        uid: &NodeIndexUid,
        now: Monotonic,
    ) -> Option<Turn> {
        let feed = self.feed(node, uid);
        if now < feed.wait_until || feed.needs_rebuild {
            return None;
        }
        if let Some(bootstrap) = feed.bootstrap {
            let is_free = bootstrap.gate.is_none() && feed.sent.is_empty();
            return Some(if !is_free {
                Turn::Blocked(None)
            } else if self.rules.idle && !feed.is_idle {
                Turn::Act(Action::CheckIdle(uid.clone()))
            } else {
                Turn::Act(Action::Send(bootstrap.send(uid)))
            });
        }
        if let Some(turn) = self.turn_for_mend(node, uid) {
            return Some(turn);
        }
        let is_marking = feed.sent.iter().any(|sent| sent.purpose == Purpose::Mark);
        let Some(shards) = self.due_mark(node, uid, feed) else {
            return (is_marking && feed.is_apart).then_some(Turn::Blocked(None));
        };
        let is_alone = feed.is_careful() || feed.split.is_some() || feed.awaits_idle || feed.is_apart;
        if is_alone && !feed.sent.is_empty() {
            return feed.is_apart.then_some(Turn::Blocked(None));
        }
        let is_full = feed.sent.len() >= self.timing.window;
        if is_full || feed.sent.back().is_some_and(|last| last.kind.is_barrier()) {
            return None;
        }
        if is_alone && self.rules.idle && !feed.is_idle {
            return Some(Turn::Act(Action::CheckIdle(uid.clone())));
        }
        if !self.is_stored_as_dirty(node, uid, &shards) {
            return Some(Turn::Act(Action::Store));
        }
        Some(Turn::Act(Action::Send(Send {
            index: uid.clone(),
            position: feed.pos,
            kind: StepKind::Delete,
            shards,
            is_split: false,
            purpose: Purpose::Mark,
        })))
    }

    /// A task of a job has ended.
    pub(in crate::logic::feeder) fn job_ended(&mut self, node: usize, uid: &NodeIndexUid, sent: &Sent) {
        match sent.purpose {
            Purpose::Mark => self.mark_ended(node, uid, sent),
            Purpose::Copy { .. } => self.chunk_ended(node, uid, sent),
            Purpose::Mend => {
                if let Some(end) = &sent.end {
                    self.mend_ended(node, uid, sent.kind, &end.end);
                }
            }
            Purpose::Do | Purpose::Revert | Purpose::Bootstrap => {}
        }
        self.attention.insert(uid.clone());
    }

    /// The node will never take this request: as if it had failed alone.
    pub(in crate::logic::feeder) fn job_refused(&mut self, node: usize, send: &Send, error: ErrorBody) {
        let Send { index, position, kind, shards, is_split, purpose } = send.clone();
        let end = Some(SentEnd { end: End::Rejected(error), was_shared: false, deleted: None });
        let (task, ids, is_void) = (NodeTask(0), Vec::new(), false);
        let sent = Sent { task, position, kind, shards, is_split, purpose, ids, is_void, end };
        self.job_ended(node, &index, &sent);
    }

    /// A request that no answer named has touched documents: a copy that cannot be told from what it did begins anew, and
    /// what it may have brought of shards that the node is not fed is deleted.
    pub(in crate::logic::feeder) fn touched(&mut self, node: usize, uid: &NodeIndexUid, touched: &Touched) {
        let Touched { shards, since, brings_documents } = touched;
        let is_hit = |shard: &ShardId| shards.contains(shard);
        self.restart_joins(node, uid, |shard, join| {
            let is_copied = join.state == JoinState::Joined || join.filling.is_some();
            is_hit(&shard) && (join.is_marked && !is_copied || is_copied && join.cursor >= *since)
        });
        // A deletion that is under way may have been before it.
        for sent in self.feed_mut(node, uid).sent.iter_mut().filter(|sent| sent.purpose == Purpose::Mark) {
            sent.is_void |= sent.shards.iter().any(is_hit);
        }
        if !brings_documents {
            return;
        }
        let mut strays = shards.clone();
        for (&id, job) in self.topology.jobs.iter_mut().filter(|(_, job)| job.has_part(node)) {
            // What the job has brought is deleted with what it brings.
            let is_hit = strays.remove(&job.shard) || shards.contains(&job.shard);
            if is_hit && job.cleans() == Some(node) && job.cleaned.remove(uid) {
                self.pending.jobs.insert(id);
            }
            if is_hit && job.old_owner == Some(node) {
                job.emptied.remove(uid);
            }
        }
        // What was sent in this life went only where it belonged then.
        let is_older = *since < Position::of(self.first_of_this_life, 0);
        strays.retain(|&shard| !self.topology.owns(node, shard) && (is_older || self.topology.has_left(node, shard)));
        let strays: Vec<ShardId> = strays.into_iter().collect();
        self.add_undos(node, uid, &strays);
    }

    /// Whether a node has one of these shards for good.
    pub(in crate::logic::feeder) fn is_kept(&self, node: usize, uid: &NodeIndexUid, shards: &[ShardId]) -> bool {
        let is_kept = |&shard: &ShardId| {
            let is_coming = self.topology.incoming(node, shard).is_some_and(|job| job.joins.contains_key(uid));
            !is_coming && (self.topology.owns(node, shard) || self.topology.is_leaving(node, uid, shard))
        };
        shards.iter().any(is_kept)
    }
}
