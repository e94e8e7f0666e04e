//! How the parts of a copy come to its target, and when a target is given up that takes none.

use super::{TransferId, TransferStage};
use crate::logic::entry::{PutMode, StepKind};
use crate::logic::feeder::feed::{Purpose, Sent, SentEnd};
use crate::logic::feeder::moves::Join;
use crate::logic::feeder::node::{End, Send};
use crate::logic::feeder::send::Action;
use crate::logic::feeder::{Alarm, Fleet};
use crate::logic::ids::{Monotonic, NodeIndexUid};
use crate::logic::topology::JoinState;

/// What to do about a document that its new node does not take.
const NEVER_FITS: &str = "Start the node with a higher --http-payload-size-limit; the move goes on by itself then.";

/// Between two tries of such a document: so many times as long as a hold may last.
const NEVER_FITS_PAUSE: u64 = 2;

impl Fleet {
    /// Lets the target go on when it has all chunks, and joins when they have ended.
    pub(super) fn fill(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.open.get(&id) else { return };
        let TransferStage::Sending { chunks } = transfer.stage else { return };
        let (uid, target) = (transfer.index.clone(), transfer.kind.held()[1]);
        let has_all = transfer.registered >= chunks && (!transfer.is_alone || transfer.ended >= chunks);
        let is_done = transfer.ended >= chunks;
        if has_all {
            self.release(target, &uid, id, self.timing.poll_busy_ms.1);
        }
        if !is_done {
            return;
        }
        let Some(transfer) = self.transfers.open.remove(&id) else { return };
        if let Some(began) = transfer.began {
            self.transfers.was_busy(target, began, self.seen_at);
        }
        for job in transfer.parts.iter().filter_map(|(job, _)| *job) {
            let Some(join) = self.topology.join_mut(job, &uid) else { continue };
            join.state = JoinState::Joined;
            (join.filling, join.problem) = (None, None);
            self.pending.joins.insert((job, uid.clone()));
        }
    }

    /// The chunk that a node gets next, of the transfer that holds its feed; none while it must wait.
    pub(in crate::logic::feeder) fn due_chunk(&self, node: usize, uid: &NodeIndexUid) -> Option<Action> {
        let feed = self.feed(node, uid);
        let (id, at) = feed.held?;
        let transfer = self.transfers.open.get(&id)?;
        let has_others = feed.sent.iter().any(|sent| sent.purpose.transfer() != Some(id));
        let is_alone = transfer.is_alone || feed.awaits_idle;
        let is_blocked = feed.is_careful() || feed.split.is_some() || is_alone && has_others;
        if transfer.kind.held()[1] != node || transfer.registered >= transfer.offered || is_blocked {
            return None;
        }
        if is_alone && feed.sent.is_empty() && !feed.is_idle && self.rules.idle {
            return Some(Action::CheckIdle(uid.clone()));
        }
        Some(Action::Send(Send {
            index: uid.clone(),
            position: at,
            kind: StepKind::Put(PutMode::Replace),
            shards: transfer.parts.iter().map(|&(_, shard)| shard).collect(),
            is_split: false,
            purpose: Purpose::Copy { transfer: id, number: transfer.registered },
        }))
    }

    /// The target has a chunk as a task.
    pub(in crate::logic::feeder) fn chunk_registered(&mut self, id: TransferId, number: u32) {
        if let Some(transfer) = self.transfers.open.get_mut(&id) {
            transfer.registered = transfer.registered.max(number + 1);
            transfer.began.get_or_insert(self.seen_at);
            transfer.stalls_at = self.seen_at.plus_ms(self.timing.hold_ms);
            self.fill(id);
        }
    }

    pub(in crate::logic::feeder) fn chunk_ended(&mut self, node: usize, uid: &NodeIndexUid, sent: &Sent) {
        let Some(id) = sent.purpose.transfer() else { return };
        let Some(SentEnd { end, .. }) = &sent.end else { return };
        match end {
            End::Succeeded => {
                if let Some(transfer) = self.transfers.open.get_mut(&id) {
                    transfer.ended += 1;
                }
                self.fill(id);
            }
            End::Rejected(error) => {
                let reason = error.message.clone();
                self.chunk_failed(node, uid, id, reason);
            }
            End::Retry(reason) => self.chunk_failed(node, uid, id, reason.clone()),
        }
    }

    /// The target takes none of the chunks: they are not kept for ever.
    pub(super) fn give_up_target(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.open.get(&id) else { return };
        let (target, uid) = (transfer.kind.held()[1], transfer.index.clone());
        let reason = format!("it has taken no part of the copy for {} s", self.timing.hold_ms / 1_000);
        self.chunk_failed(target, &uid, id, reason);
    }

    pub(in crate::logic::feeder) fn chunk_failed(
        &mut self,
        node: usize,
        uid: &NodeIndexUid,
        id: TransferId,
        reason: String,
    ) {
        if self.transfers.open.contains_key(&id) {
            self.each_join(id, |join| join.problem = Some(reason.as_str().into()));
            let (node, index) = (self.nodes[node].id.clone(), uid.clone());
            self.pending.alarms.push(Alarm::CopyFailed { node, index, reason });
            self.abort(id);
        }
    }

    pub(super) fn each_join(&mut self, id: TransferId, change: impl Fn(&mut Join)) {
        let Some(transfer) = self.transfers.open.get(&id) else { return };
        for job in transfer.parts.iter().filter_map(|(job, _)| *job) {
            self.topology.join_mut(job, &transfer.index).into_iter().for_each(&change);
        }
    }

    /// The node takes less than was believed: smaller chunks the next time.
    pub(in crate::logic::feeder) fn chunk_too_large(&mut self, node: usize, send: &Send, reason: String) {
        let Some(id) = send.purpose.transfer() else { return };
        self.each_join(id, |join| join.cuts += 1);
        self.chunk_failed(node, &send.index, id, reason);
    }

    /// A document is larger than what the node takes. Its shard is found by copying each alone; then nothing but the operator
    /// can help, and it is tried again now and then.
    pub(in crate::logic::feeder) fn chunk_never_fits(
        &mut self,
        node: usize,
        send: &Send,
        reason: &str,
        now: Monotonic,
    ) {
        let Some(id) = send.purpose.transfer() else { return };
        let is_found = self.transfers.open.get(&id).is_some_and(|transfer| transfer.parts.len() == 1);
        let pause = if is_found { NEVER_FITS_PAUSE * self.timing.hold_ms } else { 0 };
        self.each_join(id, |join| (join.is_apart, join.retry_at) = (true, now.plus_ms(pause)));
        let reason = format!("a document is larger than what the node takes: {reason} {NEVER_FITS}");
        self.chunk_failed(node, &send.index, id, reason);
    }
}
