//! What jobs send through the feed of a (node, index), beside the steps of the journal.

use crate::logic::entry::StepKind;
use crate::logic::feeder::Fleet;
use crate::logic::feeder::feed::{Purpose, Sent, SentEnd};
use crate::logic::feeder::node::{End, Send};
use crate::logic::feeder::send::{Action, Turn};
use crate::logic::ids::{Monotonic, NodeIndexUid, NodeTask, ShardId};
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
        let sent = Sent { task: NodeTask(0), position, kind, shards, is_split, purpose, ids: Vec::new(), end };
        self.job_ended(node, &index, &sent);
    }

    pub(in crate::logic::feeder) fn job_too_large(&mut self, node: usize, send: &Send, reason: String) {
        if let Some(id) = send.purpose.transfer() {
            self.chunk_failed(node, &send.index, id, reason);
        }
    }

    /// A request of a job that no answer named: what it may have done to these shards is undone with all that the job did.
    /// True when the node has them for good meanwhile.
    pub(in crate::logic::feeder) fn job_stranger(
        &mut self,
        node: usize,
        uid: &NodeIndexUid,
        shards: &[ShardId],
    ) -> bool {
        self.restart_joins(node, uid, |shard, _| shards.contains(&shard));
        let is_kept = |&shard: &ShardId| {
            let is_coming = self.topology.incoming(node, shard).is_some_and(|job| job.joins.contains_key(uid));
            !is_coming && (self.topology.owns(node, shard) || self.topology.is_leaving(node, uid, shard))
        };
        shards.iter().any(is_kept)
    }
}
