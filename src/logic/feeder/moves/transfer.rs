//! Reading shards at a held position: to copy them to a node, or to compare two replicas.
//!
//! Two feeds of one index are held at a position: nothing beyond it is sent. When the replicas that are read have applied
//! all up to there and nothing is under way to them, the documents are read while they stand still. What is read is
//! therefore exactly what the journal says up to that position. Chunks of a copy go to the target through its own feed
//! before anything beyond the position, so from there on its main stream can carry the shards. Nothing here survives a
//! start, a rewind of a held feed, or a hold that takes too long: the joins begin anew.

mod begin;
mod busy;
mod filling;

use std::collections::BTreeMap;

use self::busy::BusyTime;
use super::{FoundStrays, Join, UnequalShard};
use crate::logic::feeder::index::Lookup;
use crate::logic::feeder::step::{JournalUnavailable, JournalView};
use crate::logic::feeder::{Alarm, Fleet};
use crate::logic::ids::{JobId, Monotonic, NodeId, NodeIndexUid, Position, ShardId};
use crate::logic::topology::JobStep;

/// Transfers that are read at once: drivers are to have as many threads for it, so that no writes are held up while nobody
/// reads.
pub const LOOKS_AT_ONCE: usize = 2;

/// Names a transfer in one life of the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TransferId(pub u64);

/// What a driver reads now: all documents of these shards, mostly while the nodes stand still.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Look {
    /// To answer with.
    pub transfer: TransferId,
    /// By the nodes' name.
    pub index: NodeIndexUid,
    /// Ascending.
    pub shards: Vec<ShardId>,
    /// The nodes stand here; none: they do not stand still.
    pub at: Option<Position>,
    /// What for.
    pub kind: LookKind,
    /// How often chunks of these shards were too large for the target: they must become smaller each time.
    pub cuts: u32,
}

/// See [`Look`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookKind {
    /// Offer them in chunks ([`Fleet::offer`]).
    Copy {
        /// Where they are.
        source: usize,
        /// Where they go.
        target: usize,
    },
    /// Say of which shards the two nodes have different documents.
    Compare {
        /// Both stand still, but for a glance.
        nodes: [usize; 2],
    },
    /// Say which documents of these shards the node has, and which without any marker: none belongs there.
    Strays {
        /// It does not stand still.
        node: usize,
    },
}

/// What came of a look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LookOutcome {
    /// All is read and was offered in so many chunks.
    Copied {
        /// Numbered from 0.
        chunks: u32,
    },
    /// Both were read.
    Compared {
        /// Shards whose documents differ.
        unequal: Vec<UnequalShard>,
    },
    /// The node was searched.
    Strays {
        /// By shard.
        found: Vec<FoundStrays>,
    },
    /// Why not.
    Failed(String),
}

#[derive(Clone, PartialEq, Debug)]
struct Transfer {
    index: NodeIndexUid,
    kind: LookKind,
    /// By shard, the job that it is read for; none when replicas are audited.
    parts: Vec<(Option<JobId>, ShardId)>,
    at: Position,
    /// Writes are held up from the first moment, and all is read before the second.
    since: Monotonic,
    until: Monotonic,
    /// Once all is read: before this the target takes a chunk, or it is given up.
    stalls_at: Monotonic,
    stage: TransferStage,
    /// Chunks that the driver has, that the target has, and that ended well there.
    offered: u32,
    registered: u32,
    ended: u32,
    /// Nothing else is sent to the target before the chunks have ended.
    is_alone: bool,
    /// The target has had a chunk since then.
    began: Option<Monotonic>,
}

#[derive(Clone, PartialEq, Debug)]
enum TransferStage {
    /// The nodes are not there yet.
    Hold,
    /// The driver reads.
    Reading,
    /// Read. The nodes must answer once more, so that it was not another life of them that was read.
    Confirming { outcome: LookOutcome, polls: [u64; 2] },
    /// The target gets the chunks.
    Sending { chunks: u32 },
}

/// Nodes are expected to stand still within this part of a hold.
const STANDS_SOON: u64 = 10;

/// All that are under way.
#[derive(Debug, Default)]
pub(in crate::logic::feeder) struct Transfers {
    open: BTreeMap<TransferId, Transfer>,
    next: u64,
    busy: BusyTime,
    /// At this hour only shards are copied that lack replicas.
    pub is_off_hours: bool,
}

impl Transfers {
    pub(super) fn is_open(&self, id: TransferId) -> bool {
        self.open.contains_key(&id)
    }

    /// How many keep a driver from reading something else, or soon will.
    fn for_drivers(&self, now: Monotonic) -> usize {
        let is_soon = |transfer: &&Transfer| match transfer.stage {
            // One whose nodes have not come to a stand by then may take as long as it likes.
            TransferStage::Hold => (now.0 - transfer.since.0) * STANDS_SOON < transfer.until.0 - transfer.since.0,
            TransferStage::Reading => true,
            TransferStage::Confirming { .. } | TransferStage::Sending { .. } => false,
        };
        self.open.values().filter(is_soon).count()
    }

    /// Not given before.
    pub(super) fn new_id(&mut self) -> TransferId {
        self.next += 1;
        TransferId(self.next - 1)
    }

    /// Reading, or chunks, kept a node busy from the one time to the other.
    pub(super) fn was_busy(&mut self, node: usize, began: Monotonic, ended: Monotonic) {
        self.busy.count(node, began, ended);
    }
}

impl LookKind {
    /// The replicas that are read.
    pub(super) fn read(self) -> Vec<usize> {
        match self {
            Self::Copy { source, .. } => vec![source],
            Self::Compare { nodes } => nodes.to_vec(),
            Self::Strays { node } => vec![node],
        }
    }

    fn held(self) -> [usize; 2] {
        match self {
            Self::Copy { source, target } => [source, target],
            Self::Compare { nodes } => nodes,
            Self::Strays { node } => [node, node],
        }
    }
}

impl Fleet {
    /// What may be read now; handed out once.
    pub fn next_look(&mut self, now: Monotonic, journal: &dyn JournalView) -> Result<Option<Look>, JournalUnavailable> {
        let waiting = self.transfers.open.iter().filter(|(_, transfer)| transfer.stage == TransferStage::Hold);
        let waiting: Vec<TransferId> = waiting.map(|(&id, _)| id).collect();
        for id in waiting {
            let transfer = &self.transfers.open[&id];
            let (uid, kind, at) = (transfer.index.clone(), transfer.kind, transfer.at);
            let mut stands = now < transfer.until;
            for node in kind.held() {
                let is_read = kind.read().contains(&node);
                stands = stands && self.stands(node, &uid, at, is_read, journal)?;
            }
            let Some(transfer) = self.transfers.open.get_mut(&id).filter(|_| stands) else { continue };
            transfer.stage = TransferStage::Reading;
            let shards = transfer.parts.iter().map(|&(_, shard)| shard).collect();
            let joins = transfer.parts.iter().filter_map(|(job, _)| self.topology.join(*job.as_ref()?, &uid));
            let cuts = joins.map(|join| join.cuts).max().unwrap_or(0);
            return Ok(Some(Look { transfer: id, index: uid, shards, at: Some(at), kind, cuts }));
        }
        Ok(self.next_glance(now))
    }

    /// The driver has a chunk for the target. False: nobody wants it any more.
    pub fn offer(&mut self, id: TransferId, number: u32) -> bool {
        let Some(transfer) = self.transfers.open.get_mut(&id) else { return false };
        transfer.offered = transfer.offered.max(number + 1);
        let (target, uid) = (transfer.kind.held()[1], transfer.index.clone());
        self.nodes[target].active.insert(uid);
        true
    }

    /// Whether a chunk may still have to be sent, or sent again.
    pub fn needs_chunk(&self, id: TransferId, number: u32) -> bool {
        self.transfers.open.get(&id).is_some_and(|transfer| number >= transfer.registered)
    }

    /// For how many milliseconds copies kept their targets busy, since the last call.
    pub fn take_busy(&mut self) -> Vec<(NodeId, u64)> {
        let busy = self.transfers.busy.take();
        busy.into_iter().map(|(node, milliseconds)| (self.nodes[node].id.clone(), milliseconds)).collect()
    }

    /// Whether this is an hour at which only shards are copied that lack replicas.
    pub fn set_off_hours(&mut self, is_off: bool) {
        self.transfers.is_off_hours = is_off;
    }

    /// Whether some node that a shard is coming to gets none for the moment, so that it is not too busy.
    pub fn has_resting_target(&self, now: Monotonic) -> bool {
        let targets = self.topology.jobs.values().filter(|job| job.step == JobStep::Copy).filter_map(|job| job.target);
        targets.into_iter().any(|target| now < self.nodes[target].rest_until)
    }

    /// No copy to this node begins before.
    pub fn rest(&mut self, id: &NodeId, until: Monotonic) {
        if let Some(node) = self.nodes.iter_mut().find(|node| node.id == *id) {
            node.rest_until = until;
        }
    }

    /// Whether any replica is on its way.
    pub fn has_jobs(&self) -> bool {
        !self.topology.jobs.is_empty()
    }

    /// Whether anything is to be read, or on its way.
    pub fn has_transfers(&self) -> bool {
        !self.transfers.open.is_empty() || self.audit.has_glance()
    }

    /// Whether chunks of this transfer may still be sent, or a look at it is still awaited.
    pub fn is_wanted(&self, id: TransferId) -> bool {
        self.transfers.open.contains_key(&id) || self.audit.is_glance(id)
    }

    /// Its target may have got something.
    pub(super) fn has_begun(&self, id: TransferId) -> bool {
        self.transfers.open.get(&id).is_none_or(|transfer| transfer.stage != TransferStage::Hold)
    }

    /// A feed is held, and not longer than is planned for.
    pub(in crate::logic::feeder) fn is_held_back(&self, node: usize, uid: &NodeIndexUid, now: Monotonic) -> bool {
        let held = self.feed(node, uid).held.and_then(|(id, _)| self.transfers.open.get(&id));
        held.is_some_and(|transfer| now < transfer.until)
    }

    /// What came of a look.
    pub fn looked(&mut self, id: TransferId, outcome: LookOutcome, now: Monotonic) {
        self.seen_at = now;
        if self.audit.is_glance(id) {
            return self.glanced(outcome, now);
        }
        let Some(transfer) = self.transfers.open.get_mut(&id) else { return };
        let is_late = now >= transfer.until;
        let (kind, index) = (transfer.kind, transfer.index.clone());
        let failure = match &outcome {
            LookOutcome::Failed(reason) => Some(reason.clone()),
            _ if is_late => Some("reading took longer than writes can be held up".to_owned()),
            LookOutcome::Copied { .. } | LookOutcome::Compared { .. } | LookOutcome::Strays { .. } => None,
        };
        if let Some(reason) = failure {
            self.note_failure(id, &reason);
            self.each_join(id, |join| join.problem = Some(reason.as_str().into()));
            let node = self.nodes[kind.held()[0]].id.clone();
            self.pending.alarms.push(Alarm::LookFailed { node, index, reason });
            self.abort(id);
        } else if let Some(transfer) = self.transfers.open.get_mut(&id) {
            // A question may be on its way already; the next one is asked later than this.
            let polls = kind.held().map(|node| self.nodes[node].polls_begun + 1);
            for node in kind.read() {
                self.nodes[node].poll_at = now;
            }
            transfer.stage = TransferStage::Confirming { outcome, polls };
        }
    }

    /// Holds new pairs of feeds, ends what took too long, goes on with what was read.
    pub(super) fn advance_transfers(&mut self, now: Monotonic) {
        let open: Vec<TransferId> = self.transfers.open.keys().copied().collect();
        for id in open {
            let transfer = self.transfers.open[&id].clone();
            match &transfer.stage {
                TransferStage::Hold | TransferStage::Reading | TransferStage::Confirming { .. }
                    if now >= transfer.until || !self.is_intact(id) =>
                {
                    self.abort(id);
                }
                TransferStage::Hold | TransferStage::Reading => {}
                TransferStage::Confirming { outcome, polls } => {
                    // One that lacks its newest task may be another life: it is asked first.
                    let answered = |node: usize, polls: u64| {
                        let state = &self.nodes[node];
                        state.polls_answered >= polls && !state.is_doubtful
                    };
                    let [first, second] = transfer.kind.held();
                    let is_second_read = transfer.kind.read().len() == 2;
                    if answered(first, polls[0]) && (!is_second_read || answered(second, polls[1])) {
                        self.read(id, outcome.clone());
                    }
                }
                TransferStage::Sending { chunks } if now >= transfer.stalls_at && transfer.registered < *chunks => {
                    self.give_up_target(id);
                }
                TransferStage::Sending { .. } => self.fill(id),
            }
        }
        if !self.tables.is_paused {
            self.start_transfers(now);
        }
        self.advance_audit(now);
    }

    /// The feeds are still held by this transfer, and the replicas that are read are complete.
    fn is_intact(&self, id: TransferId) -> bool {
        let transfer = &self.transfers.open[&id];
        let uid = &transfer.index;
        let Some(state) = self.indexes.get(uid) else { return false };
        let is_held = |&node: &usize| state.feeds[node].held == Some((id, transfer.at));
        let [first, target] = transfer.kind.held();
        let is_source = |&(job, shard): &(Option<JobId>, ShardId)| {
            let is_other_whole = job.is_some() || self.is_source(target, first, uid, shard);
            is_other_whole && self.is_source(first, target, uid, shard)
        };
        transfer.kind.held().iter().all(is_held) && transfer.parts.iter().all(is_source)
    }

    /// Everything up to a position has been sent to a node, or, if it is to be read, has been applied there.
    fn stands(
        &mut self,
        node: usize,
        uid: &NodeIndexUid,
        at: Position,
        is_read: bool,
        journal: &dyn JournalView,
    ) -> Result<bool, JournalUnavailable> {
        let lookup = Lookup { index: uid, topology: &self.topology, journal };
        let Some(state) = self.indexes.get_mut(uid) else { return Ok(false) };
        let feed = &state.feeds[node];
        let is_clear = !self.nodes[node].may_still_get(uid);
        // One that is cut, but not sent in part, waits beyond the hold like any other.
        let is_whole = feed.split.is_none() || feed.split_at > at;
        let is_plain = !feed.is_careful() && is_whole && feed.goal <= feed.applied.max(feed.pos);
        let is_idle = !feed.awaits_idle || feed.is_idle;
        let is_quiet = !is_read || feed.sent.is_empty() && is_clear && is_idle && feed.goal <= feed.applied;
        let from = if is_read { feed.applied } else { feed.pos };
        if !is_plain || !is_quiet || feed.held.is_none() {
            return Ok(false);
        }
        Ok(state.step_after(node, from, &lookup)?.is_none_or(|step| step.position > at))
    }

    /// A shard of an index can be read there now, for this target.
    pub(super) fn is_source(&self, node: usize, target: usize, uid: &NodeIndexUid, shard: ShardId) -> bool {
        let state = &self.nodes[node];
        let has_it = self.topology.owns(node, shard) || self.topology.is_leaving(node, uid, shard);
        node != target
            && has_it
            && self.topology.is_member(node)
            && self.is_complete(node, uid)
            && state.is_reachable
            && !state.is_lost
    }

    /// What was read is what it should be.
    fn read(&mut self, id: TransferId, outcome: LookOutcome) {
        let Some(transfer) = self.transfers.open.get_mut(&id) else { return };
        match outcome {
            LookOutcome::Copied { chunks } => {
                transfer.stage = TransferStage::Sending { chunks };
                transfer.stalls_at = self.seen_at.plus_ms(self.timing.hold_ms);
                let (source, uid) = (transfer.kind.held()[0], transfer.index.clone());
                self.release(source, &uid, id, self.timing.poll_busy_ms.1);
                self.fill(id);
            }
            LookOutcome::Compared { unequal } => {
                let Some(transfer) = self.transfers.open.remove(&id) else { return };
                for node in transfer.kind.held() {
                    self.release(node, &transfer.index, id, self.timing.poll_busy_ms.1);
                }
                self.compared(&transfer, &unequal);
            }
            LookOutcome::Strays { .. } | LookOutcome::Failed(_) => self.abort(id),
        }
    }

    fn compared(&mut self, transfer: &Transfer, unequal: &[UnequalShard]) {
        let target = transfer.kind.held()[1];
        for &(job, shard) in &transfer.parts {
            let is_equal = !unequal.iter().any(|found| found.shard == shard);
            let Some(job) = job else { continue };
            let Some(join) = self.topology.join_mut(job, &transfer.index) else { continue };
            if is_equal {
                (join.is_verified, join.problem) = (true, None);
                continue;
            }
            join.restart();
            self.pending.joins.insert((job, transfer.index.clone()));
            let version = self.version;
            self.feed_mut(target, &transfer.index).store_first(version);
            let (node, index) = (self.nodes[target].id.clone(), transfer.index.clone());
            self.pending.alarms.push(Alarm::CopyDiffers { node, index, shard });
        }
        if transfer.parts.iter().any(|(job, _)| job.is_none()) {
            self.audited(unequal);
        }
        self.feeds_changed(target, &transfer.index);
    }

    /// Whatever waits for a copy on this feed begins anew.
    pub(in crate::logic::feeder) fn abort_on(&mut self, node: usize, uid: &NodeIndexUid) {
        self.abort_where(|transfer| transfer.index == *uid && transfer.kind.held().contains(&node));
    }

    /// Nothing is copied for this job any more.
    pub(super) fn abort_job(&mut self, job: JobId) {
        self.abort_where(|transfer| transfer.parts.iter().any(|&(of, _)| of == Some(job)));
    }

    fn abort_where(&mut self, is_hit: impl Fn(&Transfer) -> bool) {
        let open = self.transfers.open.iter().filter(|(_, transfer)| is_hit(transfer));
        let ids: Vec<TransferId> = open.map(|(&id, _)| id).collect();
        for id in ids {
            self.abort(id);
        }
    }

    pub(super) fn abort(&mut self, id: TransferId) {
        let Some(transfer) = self.transfers.open.remove(&id) else { return };
        let ((first, last), now) = (self.timing.backoff_ms, self.seen_at);
        let target = transfer.kind.held()[1];
        let is_compare = matches!(transfer.kind, LookKind::Compare { .. });
        let mut failures = 0;
        for job in transfer.parts.iter().filter_map(|(job, _)| *job) {
            let Some(join) = self.topology.join_mut(job, &transfer.index) else { continue };
            if join.filling == Some(id) {
                join.restart();
            } else if is_compare {
                join.failures += 1;
            }
            failures = failures.max(join.failures);
        }
        if self.indexes.contains_key(&transfer.index) {
            for node in transfer.kind.held() {
                self.release(node, &transfer.index, id, now.0.saturating_sub(transfer.since.0));
            }
            let pause = first.saturating_mul(1 << failures.min(20)).min(last);
            let feed = self.feed_mut(target, &transfer.index);
            feed.moves_wait = feed.moves_wait.max(now.plus_ms(pause));
            self.feeds_changed(target, &transfer.index);
        }
    }

    /// These joins of an index on a node begin anew.
    pub(in crate::logic::feeder) fn restart_joins(
        &mut self,
        node: usize,
        uid: &NodeIndexUid,
        hit: impl Fn(ShardId, &Join) -> bool,
    ) {
        let is_hit = |(id, join): &(JobId, &Join)| hit(self.topology.jobs[id].shard, join);
        let hit: Vec<JobId> = self.topology.joins_of(node, uid).filter(is_hit).map(|(id, _)| id).collect();
        if hit.is_empty() {
            return;
        }
        self.abort_on(node, uid);
        for id in hit {
            if let Some(job) = self.topology.jobs.get_mut(&id) {
                job.is_ready = false;
                job.joins.get_mut(uid).into_iter().for_each(Join::restart);
                self.pending.joins.insert((id, uid.clone()));
            }
        }
        let version = self.version;
        self.feed_mut(node, uid).store_first(version);
        self.feeds_changed(node, uid);
        self.require_anew();
    }

    /// What was held up goes on, and is not held up again at once.
    fn release(&mut self, node: usize, uid: &NodeIndexUid, id: TransferId, pause_ms: u64) {
        let Some(state) = self.indexes.get_mut(uid) else { return };
        let feed = &mut state.feeds[node];
        if feed.held.is_some_and(|(by, _)| by == id) {
            feed.held = None;
            feed.moves_wait = feed.moves_wait.max(self.seen_at.plus_ms(pause_ms));
            // What it could not do meanwhile is no sign of slowness.
            feed.lag = None;
        }
        self.nodes[node].active.insert(uid.clone());
        self.attention.insert(uid.clone());
    }

    /// What a node is fed of an index has changed: what was read ahead for it is not what it gets.
    pub(in crate::logic::feeder) fn feeds_changed(&mut self, node: usize, uid: &NodeIndexUid) {
        let Some(state) = self.indexes.get_mut(uid) else { return };
        state.feeds[node].reroute(|shard, at| self.topology.is_fed(node, uid, shard, at));
        self.nodes[node].active.insert(uid.clone());
        self.attention.insert(uid.clone());
    }
}
