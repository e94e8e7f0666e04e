//! Failures of embedders: what a service that the nodes ask does to a step.
//!
//! One server fails the task, and so does the fleet: settings are voted down, chunks of documents are rejected. But such a
//! failure depends on the moment and on the node, where any other one follows from the documents and the settings. So chunks
//! are voted on, too: a replica that has failed with one alone *stands* there, and the chunk has its verdict when every
//! required replica of its shard stands. Nobody is sent what has such a verdict. If one has taken it instead, the others try
//! again a few times, and are rebuilt from it then (copies bring their vectors along). Nobody is tried for ever: what comes
//! after a failure, a correction of the settings above all, must come through.

use std::collections::VecDeque;

use super::Fleet;
use super::feed::{Feed, Purpose, Sent, SentEnd, Stand, Sync, Vote};
use super::node::End;
use super::step::{StepInfo, is_voted};
use crate::logic::ids::{Monotonic, NodeIndexUid, Position, ShardId};
use crate::meili::embedding_failure::{EmbeddingFailure, embedding_failure};
use crate::meili::error::ErrorBody;

/// Tries of a step that others have passed. A node tries for itself, too, before it says that a service does not answer.
const TRIES: u32 = 6;

/// What is to be done about a step that embedders have to do with.
pub(super) enum Stance {
    /// It may be sent.
    Send,
    /// Others have yet to come to it.
    Wait,
    /// It was passed, or is cut now.
    Changed,
}

impl Fleet {
    /// An embedder has failed, and the step is to be sent again: others have passed it, or nobody knows whether this replica
    /// has. Of a chunk that it took when it was sent before, in flow, a verdict would be wrong: its documents are there.
    pub(super) fn must_try_again(&self, node: usize, uid: &NodeIndexUid, sent: &Sent, error: &ErrorBody) -> bool {
        if embedding_failure(error).is_none() {
            return false;
        }
        let feed = self.feed(node, uid);
        let is_patient = feed.failures + 1 < TRIES;
        match sent.purpose {
            Purpose::Bootstrap => true,
            Purpose::Revert => is_patient && !matches!(feed.vote, Some(Vote::Rejected(_))),
            Purpose::Do if sent.kind.is_document() => {
                is_patient && sent.shards.iter().any(|&shard| feed.taken.contains(&(sent.position, shard)))
            }
            Purpose::Do => is_voted(sent.kind) && is_patient && self.decision(uid, sent.position) == Some(true),
            Purpose::Copy { .. } | Purpose::Mark | Purpose::Mend => false,
        }
    }

    /// An embedder has failed with documents that were alone. False: it is not about that.
    pub(super) fn stand(
        &mut self,
        node: usize,
        uid: &NodeIndexUid,
        sent: &Sent,
        end: &SentEnd,
        now: Monotonic,
    ) -> bool {
        let End::Rejected(error) = &end.end else { return false };
        let Some(failure) = embedding_failure(error) else { return false };
        // What is not about single documents fails for all: the shards are not tried one by one, which takes minutes each.
        let is_least = sent.is_split || sent.shards.len() == 1 || failure == EmbeddingFailure::Unavailable;
        let is_alone = self.feed(node, uid).is_careful() && !end.was_shared && is_least;
        if sent.purpose != Purpose::Do || !sent.kind.is_document() || !is_alone {
            return false;
        }
        let (position, shards, error) = (sent.position, sent.shards.clone(), error.clone());
        self.feed_mut(node, uid).stand = Some(Stand { position, shards, error });
        self.back_off_index(node, uid, now);
        self.attention.insert(uid.clone());
        for other in &mut self.nodes {
            other.active.insert(uid.clone());
        }
        true
    }

    /// Before a step is sent: judges what all stand before, and leaves out what is judged.
    pub(super) fn stance(&mut self, node: usize, uid: &NodeIndexUid, step: &StepInfo) -> Stance {
        if !step.kind.is_document() {
            return Stance::Send;
        }
        let at = step.position;
        let stand = self.feed(node, uid).stand.clone().filter(|stand| stand.position == at);
        let part = match &self.feed(node, uid).split {
            Some(split) => split.iter().copied().collect(),
            None => self.topology.part(node, uid, step),
        };
        if let Some(stand) = &stand {
            for &shard in stand.shards.iter().filter(|shard| part.contains(shard)) {
                if !self.is_judged(uid, at, shard) && self.all_stand(node, uid, at, shard) {
                    self.judge(at, shard, stand.error.clone());
                }
            }
        }
        let (judged, open): (Vec<ShardId>, Vec<ShardId>) =
            part.into_iter().partition(|&shard| self.is_judged(uid, at, shard));
        if !judged.is_empty() {
            return self.leave_out(node, uid, at, open);
        }
        let Some(stand) = stand else { return Stance::Send };
        let is_open = |shard: &&ShardId| open.contains(shard);
        let is_taken = stand.shards.iter().filter(is_open).any(|&shard| self.is_taken(node, uid, at, shard));
        if !is_taken {
            return Stance::Wait;
        }
        let is_patient = self.feed(node, uid).failures < TRIES;
        if !is_patient && self.can_go(node, uid) {
            self.give_up(node, uid);
            return Stance::Changed;
        }
        self.feed_mut(node, uid).stand = None;
        Stance::Send
    }

    /// Goes past the chunks of a step that are judged, when all before it has ended.
    fn leave_out(&mut self, node: usize, uid: &NodeIndexUid, at: Position, open: Vec<ShardId>) -> Stance {
        if !self.feed(node, uid).sent.is_empty() {
            return Stance::Wait;
        }
        let feed = self.feed_mut(node, uid);
        feed.stand = None;
        if open.is_empty() {
            (feed.split, feed.pos) = (None, at);
            self.advance(node, uid, at);
        } else {
            (feed.split, feed.split_at) = (Some(VecDeque::from(open)), at);
        }
        Stance::Changed
    }

    /// Every other replica of the shard that verdicts need has failed with it, too.
    fn all_stand(&self, node: usize, uid: &NodeIndexUid, at: Position, shard: ShardId) -> bool {
        self.required_others(node, uid, shard).all(|other| {
            let stand = self.feed(other, uid).stand.as_ref().filter(|stand| stand.position == at);
            stand.is_some_and(|stand| stand.shards.contains(&shard))
        })
    }

    /// Some other replica that verdicts need has taken it.
    fn is_taken(&self, node: usize, uid: &NodeIndexUid, at: Position, shard: ShardId) -> bool {
        // Of a step that is sent shard by shard those that are not left in it are there.
        let is_through = |feed: &Feed| {
            feed.applied >= at
                || feed.split_at == at && feed.split.as_ref().is_some_and(|split| !split.contains(&shard))
        };
        self.required_others(node, uid, shard).any(|other| is_through(self.feed(other, uid)))
    }

    fn required_others<'a>(
        &'a self,
        node: usize,
        uid: &'a NodeIndexUid,
        shard: ShardId,
    ) -> impl Iterator<Item = usize> + 'a {
        let is_needed = move |other: &usize| {
            *other != node && self.feed(*other, uid).is_required() && self.topology.counts(*other, uid, shard)
        };
        (0..self.nodes.len()).filter(is_needed)
    }

    /// Its peers can do without it.
    fn can_go(&self, node: usize, uid: &NodeIndexUid) -> bool {
        match self.feed(node, uid).sync {
            Sync::In | Sync::Returning(_) => self.has_cover(node, uid),
            Sync::Leaving(_) | Sync::Out | Sync::Joining => true,
        }
    }

    /// Chunks were taken. One that was not needed for the verdict, and was under way then, differs from the others.
    pub(super) fn compare_with_verdicts(&mut self, node: usize, uid: &NodeIndexUid, sent: &Sent) {
        if sent.shards.iter().any(|&shard| self.is_judged(uid, sent.position, shard)) {
            self.give_up_if_covered(node, uid);
        }
    }

    /// A chunk was rejected since an embedder failed.
    fn is_judged(&self, uid: &NodeIndexUid, position: Position, shard: ShardId) -> bool {
        let key = (position, shard);
        let is_judged_now = || self.verdicts.get(&key).is_some_and(|error| embedding_failure(error).is_some());
        self.index(uid).judged.contains(&key) || is_judged_now()
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
