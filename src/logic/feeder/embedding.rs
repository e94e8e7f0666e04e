//! Failures of embedders: what a service that the nodes ask does to a step.
//!
//! One server fails the task, and so does the fleet: settings are voted down, chunks of documents are rejected. But such a
//! failure depends on the moment and on the node, where any other one follows from the documents and the settings. So
//! replicas may differ after it, and whoever differs is put right: who rejects what a peer has taken tries again a few times
//! and is rebuilt from its peers then (copies bring their vectors along), and so is who takes what its peers have rejected.
//! Nobody is tried for ever: what comes after a failure, a correction of the settings above all, must come through.

use super::Fleet;
use super::feed::{Purpose, Sent, SentEnd, Sync, Vote};
use super::node::End;
use super::step::{StepInfo, is_voted};
use crate::logic::ids::{NodeIndexUid, Position, ShardId};
use crate::meili::embedding_failure::{EmbeddingFailure, embedding_failure};
use crate::meili::error::ErrorBody;

/// Tries of a step that others have passed. A node tries for itself, too, before it says that a service does not answer.
const TRIES: u32 = 6;

impl Fleet {
    /// An embedder has failed, and the step is to be sent again: others have passed it, or nobody knows whether this
    /// replica has.
    pub(super) fn must_try_again(&self, node: usize, uid: &NodeIndexUid, sent: &Sent, end: &SentEnd) -> bool {
        let End::Rejected(error) = &end.end else { return false };
        if embedding_failure(error).is_none() || sent.purpose.is_of_job() {
            return false;
        }
        let feed = self.feed(node, uid);
        let is_patient = feed.failures + 1 < TRIES;
        match sent.purpose {
            Purpose::Bootstrap => true,
            Purpose::Revert => is_patient && !matches!(feed.vote, Some(Vote::Rejected(_))),
            Purpose::Do if is_voted(sent.kind) => is_patient && self.decision(uid, sent.position) == Some(true),
            Purpose::Do => {
                let is_judged = feed.is_careful() && !end.was_shared && (sent.shards.len() == 1 || is_whole(error));
                is_judged && self.is_taken(node, uid, sent) && (is_patient || !self.can_go(node, uid))
            }
            Purpose::Copy { .. } | Purpose::Mark | Purpose::Mend => false,
        }
    }

    /// Some other replica that verdicts need has taken what this one rejects.
    fn is_taken(&self, node: usize, uid: &NodeIndexUid, sent: &Sent) -> bool {
        let is_open = |shard: &&ShardId| !self.is_judged(uid, sent.position, **shard);
        sent.shards.iter().filter(is_open).any(|&shard| {
            let mut beyond = self.beyond(node, uid, shard, sent.position).into_iter();
            beyond.any(|other| self.feed(other, uid).is_required())
        })
    }

    /// The other replicas of a shard that have passed a step.
    fn beyond(&self, node: usize, uid: &NodeIndexUid, shard: ShardId, position: Position) -> Vec<usize> {
        let has_passed = |other: usize| {
            let feed = self.feed(other, uid);
            feed.applied >= position && !feed.needs_rebuild && feed.bootstrap.is_none()
        };
        let others = (0..self.nodes.len()).filter(|&other| other != node && has_passed(other));
        others.filter(|&other| self.topology.is_fed(other, uid, shard, position)).collect()
    }

    /// Its peers can do without it.
    fn can_go(&self, node: usize, uid: &NodeIndexUid) -> bool {
        match self.feed(node, uid).sync {
            Sync::In | Sync::Returning(_) => self.has_cover(node, uid),
            Sync::Leaving(_) | Sync::Out | Sync::Joining => true,
        }
    }

    /// Chunks were rejected alone since an embedder failed. False: this replica is to be rebuilt instead, for a peer has
    /// taken them.
    pub(super) fn judge_embedding(&mut self, node: usize, uid: &NodeIndexUid, sent: &Sent, error: &ErrorBody) -> bool {
        if self.is_taken(node, uid, sent) {
            self.give_up_if_covered(node, uid);
            return false;
        }
        for &shard in &sent.shards {
            if self.topology.is_fed(node, uid, shard, sent.position) && !self.is_judged(uid, sent.position, shard) {
                // They are not needed for verdicts, and have what the others have not.
                for other in self.beyond(node, uid, shard, sent.position) {
                    self.give_up(other, uid);
                }
                self.judge(sent.position, shard, error.clone());
            }
        }
        true
    }

    /// Chunks were taken. Who took what others had rejected differs from them.
    pub(super) fn compare_with_verdicts(&mut self, node: usize, uid: &NodeIndexUid, sent: &Sent) {
        let is_judged = |shard: &&ShardId| self.is_judged(uid, sent.position, **shard);
        let judged: Vec<ShardId> = sent.shards.iter().filter(is_judged).copied().collect();
        if judged.is_empty() {
            return;
        }
        if self.can_go(node, uid) {
            return self.give_up(node, uid);
        }
        for shard in judged {
            for other in self.beyond(node, uid, shard, sent.position) {
                self.give_up(other, uid);
            }
        }
    }

    /// A chunk was rejected by some replica, and is to be by all.
    fn is_judged(&self, uid: &NodeIndexUid, position: Position, shard: ShardId) -> bool {
        let key = (position, shard);
        self.verdicts.contains_key(&key) || self.index(uid).judged.contains(&key)
    }

    /// A reported verdict is of use as long as a replica may come to the step.
    pub(super) fn keep_verdict(&mut self, uid: &NodeIndexUid, key: (Position, ShardId), error: &ErrorBody) {
        if embedding_failure(error).is_some() {
            self.indexes.get_mut(uid).expect("kept while an entry is unreported").judged.insert(key);
        }
    }

    /// Its peers have this behind them since an earlier life, and nobody knows what became of it there; they can give what
    /// they have.
    pub(super) fn is_unknown(&self, node: usize, uid: &NodeIndexUid, step: &StepInfo) -> bool {
        let at = step.position;
        let all = (at, ShardId(0))..=(at, ShardId(u16::MAX));
        let is_late = step.is_unsure && step.kind.is_document() && self.index(uid).judged.range(all).next().is_none();
        is_late && !self.feed(node, uid).is_required() && self.is_spared(node, uid)
    }
}

/// What is not about single documents fails for all of them: the shards are not tried one by one, which takes minutes each.
pub(super) fn is_whole(error: &ErrorBody) -> bool {
    embedding_failure(error) == Some(EmbeddingFailure::Unavailable)
}
