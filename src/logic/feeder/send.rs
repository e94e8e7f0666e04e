//! What a node gets next: rules of the window, of steps that must be alone, and of votes; back-pressure.

use std::collections::VecDeque;

use super::embedding::Stance;
use super::feed::{Feed, Purpose, Sent, SentEnd, Sync, Vote};
use super::index::Lookup;
use super::mend::changes_settings;
use super::node::{End, InFlight, Send, SendOutcome, Unclear};
use super::step::{JournalUnavailable, JournalView, Needs, StepInfo};
use super::upkeep::Upkeep;
use super::{Alarm, Fleet};
use crate::logic::entry::StepKind;
use crate::logic::ids::{Monotonic, NodeIndexUid, NodeTask, Position, ShardId, Timestamp};
use crate::meili::error::ErrorBody;

/// Unknown task numbers looked for with one request.
const UNKNOWN_TASKS: u64 = 64;

/// Tasks of ours asked for with one request, so that it stays short however many indexes are written to. A node works
/// from the oldest on, so the oldest are asked for.
const OPEN_TASKS: usize = 400;

/// Tries of what a node keeps refusing between two alarms.
const ALARM_EVERY: u32 = 16;

/// A look at the node is not put off further than this, whatever the settings of the poll say.
const NEVER_MS: u64 = 1 << 40;

/// What the driver of one node does next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Ask for these tasks (numbers that do not exist are left out by the node), then call [`Fleet::polled`].
    Poll(Vec<NodeTask>),
    /// Ask who it is, then for the newest of all its tasks, then call [`Fleet::newest_answer`].
    AskNewest,
    /// Let it carry who it is, then call [`Fleet::sent`].
    Identify {
        /// See [`crate::logic::topology::NodeRecord::life`].
        life: u64,
    },
    /// Ask whether any task of the index waits or runs, then call [`Fleet::idle_answer`].
    CheckIdle(NodeIndexUid),
    /// Read the payload, call [`Fleet::begin`], send, call [`Fleet::sent`].
    Send(Send),
    /// Delete finished tasks on the node, then call [`Fleet::sent`].
    DeleteTasks(Vec<NodeTask>),
    /// Let the node do something for itself, then call [`Fleet::sent`].
    Maintain(Upkeep),
    /// Commit the changes first, then ask again.
    Store,
    /// Nothing to do before that moment, unless something else happens.
    Wait(Monotonic),
}

pub(super) enum Turn {
    Act(Action),
    /// Something is under way or in the way.
    Blocked(Option<Monotonic>),
    /// Nothing left.
    Done,
}

impl Fleet {
    /// What to do for a node now. The driver does it and reports before it asks again.
    pub fn next(&mut self, node: usize, now: Monotonic, journal: &dyn JournalView) -> Action {
        self.seen_at = now;
        let idle_ms = if self.rules.poll { self.timing.poll_idle_ms } else { NEVER_MS };
        let state = &mut self.nodes[node];
        if state.is_lost || !self.topology.is_member(node) {
            return Action::Wait(now.plus_ms(self.timing.poll_idle_ms));
        }
        if now < state.wait_until {
            return Action::Wait(state.wait_until);
        }
        if let Some(unclear) = state.unclear.as_mut().filter(|unclear| !unclear.is_over && now >= unclear.until) {
            unclear.is_over = true;
            state.poll_at = now;
        }
        if state.is_doubtful {
            return Action::AskNewest;
        }
        if now >= state.poll_at {
            state.polls_begun += 1;
            return Action::Poll(self.poll_list(node));
        }
        if state.unclear.is_some() || !state.known_ahead.is_empty() {
            return Action::Wait(state.poll_at);
        }
        let mut wake = state.poll_at;
        if let Some(action) = self.turn_for_identity(node).or_else(|| self.turn_for_upkeep(node)) {
            return action;
        }
        for _ in 0..self.nodes[node].active.len() {
            let Some(index) = self.nodes[node].turn() else { break };
            match self.turn(node, &index, now, journal) {
                Ok(Turn::Act(action)) => return action,
                Ok(Turn::Blocked(until)) => wake = until.map_or(wake, |until| wake.min(until)),
                Ok(Turn::Done) => {
                    self.nodes[node].active.remove(&index);
                }
                Err(JournalUnavailable) => wake = wake.min(now.plus_ms(idle_ms)),
            }
        }
        if self.timing.housekeeping > 0 && self.nodes[node].finished.len() >= self.timing.housekeeping {
            return Action::DeleteTasks(self.begin_housekeeping(node));
        }
        Action::Wait(wake)
    }

    /// The tasks whose end is awaited, the last one known, and the numbers that the next unknown ones would have.
    fn poll_list(&self, node: usize) -> Vec<NodeTask> {
        let state = &self.nodes[node];
        let sent = state.active.iter().flat_map(|index| &self.feed(node, index).sent);
        let mut tasks: Vec<NodeTask> = sent.filter(|sent| sent.end.is_none()).map(|sent| sent.task).collect();
        tasks.sort_unstable();
        tasks.truncate(OPEN_TASKS);
        tasks.extend(state.identifying);
        tasks.extend(state.upkeep.as_ref().and_then(|under_way| under_way.task));
        tasks.extend(state.newest_known());
        tasks.extend((0..UNKNOWN_TASKS).map(|offset| NodeTask(state.next_task.0 + offset)));
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }

    fn begin_housekeeping(&mut self, node: usize) -> Vec<NodeTask> {
        let state = &mut self.nodes[node];
        let count = state.finished.len().min(self.timing.housekeeping);
        let tasks: Vec<NodeTask> = state.finished.drain(..count).collect();
        state.in_flight = Some(InFlight::Housekeeping(tasks.clone()));
        tasks
    }

    fn turn(
        &mut self,
        node: usize,
        uid: &NodeIndexUid,
        now: Monotonic,
        journal: &dyn JournalView,
    ) -> Result<Turn, JournalUnavailable> {
        loop {
            let stored = self.stored;
            let dropped = self.index(uid).dropped.filter(|_| self.index(uid).is_hidden);
            let feed = self.feed_mut(node, uid);
            if feed.needs_rebuild {
                // Nothing repairs it, but it can be deleted.
                let Some(dropped) = dropped.filter(|&dropped| feed.applied < dropped) else { return Ok(Turn::Done) };
                if feed.pos < dropped.before() {
                    feed.pos = dropped.before();
                    feed.sent.clear();
                }
            }
            if feed.must_store && feed.changed_in > stored {
                return Ok(Turn::Act(Action::Store));
            }
            feed.must_store = false;
            if let Some(turn) = self.turn_for_jobs(node, uid, now) {
                return Ok(turn);
            }
            let feed = self.feed(node, uid);
            if let Some(blocked) = self.blocked(feed, now) {
                return Ok(blocked);
            }
            let held = feed.held;
            let step = self.step_after_pos(node, uid, journal)?;
            self.end_care(node, uid, step.as_ref().map(|step| step.position));
            let Some(step) = step.filter(|step| held.is_none_or(|(_, at)| step.position <= at)) else {
                if let Some(chunk) = self.due_chunk(node, uid) {
                    return Ok(Turn::Act(chunk));
                }
                let feed = self.feed(node, uid);
                if held.is_some() && feed.sent.is_empty() && feed.awaits_idle && !feed.is_idle {
                    // Or it would not stand still.
                    return Ok(Turn::Act(Action::CheckIdle(uid.clone())));
                }
                let is_done = feed.sent.is_empty() && held.is_none();
                return Ok(if is_done { Turn::Done } else { Turn::Blocked(None) });
            };
            if step.kind.is_document() && self.is_trimmed(uid, step.position) && !self.index(uid).is_read() {
                // It has come to shards without what they had in an index that nobody reads any more: only its deletion is due.
                if !self.feed(node, uid).sent.is_empty() {
                    return Ok(Turn::Blocked(None));
                }
                self.advance(node, uid, step.position);
                self.feed_mut(node, uid).pos = step.position;
                continue;
            }
            match self.stance(node, uid, &step) {
                Stance::Send => {}
                Stance::Wait => return Ok(Turn::Blocked(None)),
                Stance::Changed => continue,
            }
            match self.send_of(node, uid, &step) {
                Next::Pass => self.pass_barrier(node, uid, step.position, step.kind),
                Next::Wait => return Ok(Turn::Blocked(None)),
                Next::GiveUp => self.give_up(node, uid),
                Next::Act(action) => return Ok(Turn::Act(action)),
            }
        }
    }

    /// What was to be sent one by one, or again, may have gone to another node meanwhile, with its shard.
    fn end_care(&mut self, node: usize, uid: &NodeIndexUid, next: Option<Position>) {
        let feed = self.feed_mut(node, uid);
        if feed.sent.is_empty() && feed.split.is_none() {
            for upto in [&mut feed.careful, &mut feed.goal] {
                if next.is_none_or(|next| next > *upto) {
                    *upto = Position(0);
                }
            }
        }
    }

    pub(super) fn step_after_pos(
        &mut self,
        node: usize,
        uid: &NodeIndexUid,
        journal: &dyn JournalView,
    ) -> Result<Option<StepInfo>, JournalUnavailable> {
        let lookup = Lookup { index: uid, topology: &self.topology, journal };
        let state = self.indexes.get_mut(uid).expect("indexes are kept while anything refers to them");
        let pos = state.feeds[node].pos;
        state.step_after(node, pos, &lookup)
    }

    /// What holds up this feed whatever the next step is.
    fn blocked(&self, feed: &Feed, now: Monotonic) -> Option<Turn> {
        if now < feed.wait_until {
            return Some(Turn::Blocked(Some(feed.wait_until)));
        }
        let has_failed =
            |sent: &Sent| sent.kind.is_document() && !sent.purpose.is_of_job() && !is_success(sent.end.as_ref());
        let is_leaving = match feed.sync {
            Sync::Leaving(_) => self.rules.hold,
            Sync::In | Sync::Out | Sync::Joining | Sync::Returning(_) => false,
        };
        let is_blocked = is_leaving
            || feed.is_hidden
            || feed.sent.iter().filter(|sent| !sent.purpose.is_of_job()).count() >= self.timing.window
            || feed.sent.iter().any(|sent| sent.end.is_some() && has_failed(sent))
            || feed.sent.back().is_some_and(|last| last.kind.is_barrier());
        is_blocked.then_some(Turn::Blocked(None))
    }

    fn send_of(&self, node: usize, uid: &NodeIndexUid, step: &StepInfo) -> Next {
        let feed = self.feed(node, uid);
        let state = self.index(uid);
        if step.needs != Needs::Nothing && self.rules.resolve {
            return Next::Wait;
        }
        if self.rules.rename && state.is_behind_gate(step.position) {
            return Next::Wait;
        }
        if self.is_unknown(node, uid, step) {
            return Next::GiveUp;
        }
        let is_apart = feed.split.is_some() && self.rules.apart;
        let is_alone = feed.is_careful() || is_apart || feed.awaits_idle || step.kind.is_barrier();
        if is_alone && !feed.sent.is_empty() {
            return Next::Wait;
        }
        debug_assert!(!step.is_voted() || self.is_fit_to_vote(node, uid), "marks go first, and chunks have ended");
        if step.kind == StepKind::Drop && self.rules.map && !state.is_hidden {
            return Next::Wait;
        }
        let purpose = match self.vote_of(uid, feed, step) {
            Ok(purpose) => purpose,
            Err(next) => return next,
        };
        if is_alone && self.rules.idle && !feed.is_idle {
            return Next::Act(Action::CheckIdle(uid.clone()));
        }
        if step.kind.is_barrier() && self.rules.store && feed.changed_in > self.stored {
            return Next::Act(Action::Store);
        }
        let shards = match (&feed.split, step.kind.is_document()) {
            (_, false) => Vec::new(),
            (Some(split), true) => split.front().copied().into_iter().collect(),
            (None, true) => self.topology.part(node, uid, step),
        };
        Next::Act(Action::Send(Send {
            index: uid.clone(),
            position: step.position,
            kind: step.kind,
            shards,
            is_split: step.kind.is_document() && feed.split.is_some(),
            purpose,
        }))
    }

    /// What a step that the fleet votes on needs now; any other step is simply done.
    fn vote_of(&self, uid: &NodeIndexUid, feed: &Feed, step: &StepInfo) -> Result<Purpose, Next> {
        if !step.is_voted() {
            return Ok(Purpose::Do);
        }
        match (self.decision(uid, step.position), &feed.vote) {
            (Some(true) | None, None) => Ok(Purpose::Do),
            (None, Some(_)) => Err(Next::Wait),
            (Some(true), Some(Vote::Took)) => Err(Next::Pass),
            // Others committed what this one rejected: it has no vote any more.
            (Some(true), Some(Vote::Rejected(_))) => Ok(Purpose::Do),
            (Some(false), Some(Vote::Took)) => Ok(Purpose::Revert),
            (Some(false), Some(Vote::Rejected(_)) | None) if self.rules.revert => Ok(Purpose::Revert),
            (Some(false), Some(Vote::Rejected(_)) | None) => Err(Next::Pass),
        }
    }

    /// Past an index-wide step: nothing after it is sent before that is stored.
    pub(super) fn pass_barrier(&mut self, node: usize, uid: &NodeIndexUid, position: Position, kind: StepKind) {
        self.advance(node, uid, position);
        let must_store = self.rules.store;
        let feed = self.feed_mut(node, uid);
        feed.vote = None;
        feed.pos = feed.pos.max(position);
        feed.must_store |= must_store;
        feed.last_barrier = Some((position, kind));
    }

    /// Checks once more that the request is due, with the hashes of all ids that it touches, and marks it as under way.
    /// If this says no the driver drops it and asks again.
    pub fn begin(
        &mut self,
        node: usize,
        send: &Send,
        mut ids: Vec<u64>,
        now: (Monotonic, Timestamp),
        journal: &dyn JournalView,
    ) -> bool {
        match self.turn(node, &send.index, now.0, journal) {
            Ok(Turn::Act(Action::Send(due))) if due == *send => {}
            Ok(Turn::Act(_) | Turn::Blocked(_) | Turn::Done) | Err(JournalUnavailable) => return false,
        }
        let feed = self.feed(node, &send.index);
        let mut puts = feed.sent.iter().filter(|sent| sent.end.is_none() && matches!(sent.kind, StepKind::Put(_)));
        if self.rules.hide && puts.any(|put| ids.iter().any(|id| put.ids.binary_search(id).is_ok())) {
            self.feed_mut(node, &send.index).is_hidden = true;
            return false;
        }
        let feed = self.feed_mut(node, &send.index);
        feed.settings_sent += u64::from(changes_settings(send.kind));
        feed.is_idle = false;
        feed.awaits_idle = false;
        if matches!(send.purpose, Purpose::Do | Purpose::Revert) {
            feed.begun = feed.begun.max(send.position);
        }
        if send.is_split && !feed.is_careful() {
            // Its parts count one by one; after the last one the feed flows again.
            feed.careful = send.position;
        }
        let is_step = matches!(send.purpose, Purpose::Do | Purpose::Revert);
        if let Some(task) = send.position.entry().and_then(|entry| self.tasks.get_mut(&entry)).filter(|_| is_step) {
            task.is_sent = true;
            if !task.is_started {
                task.is_started = true;
                self.pending.started.push((task.entry, now.1));
            }
        }
        ids.sort_unstable();
        self.nodes[node].in_flight = Some(InFlight::Step { send: send.clone(), ids });
        true
    }

    /// Call this instead of [`Fleet::begin`] when the body is larger than what the node takes: from now on the step goes
    /// out shard by shard. A step of one shard cannot be cut and must be sent as it is.
    pub fn too_large(&mut self, node: usize, send: &Send, now: Monotonic, journal: &dyn JournalView) {
        if matches!(self.turn(node, &send.index, now, journal), Ok(Turn::Act(Action::Send(due))) if due == *send) {
            self.cut(node, send);
        }
    }

    /// Returns false when there is nothing to cut.
    fn cut(&mut self, node: usize, send: &Send) -> bool {
        let is_possible = send.kind.is_document() && send.shards.len() > 1 && !send.purpose.is_of_job();
        if is_possible {
            // It may be on its way since before the node lost one of them.
            let is_fed = |shard: &ShardId| self.topology.is_fed(node, &send.index, *shard, send.position);
            let shards: VecDeque<ShardId> = send.shards.iter().copied().filter(is_fed).collect();
            let feed = self.feed_mut(node, &send.index);
            (feed.split, feed.split_at) = ((!shards.is_empty()).then_some(shards), send.position);
        }
        is_possible
    }

    /// The node's answer whether anything of an index waits or runs there.
    pub fn idle_answer(&mut self, node: usize, uid: &NodeIndexUid, is_idle: bool, now: Monotonic) {
        let gap = self.timing.poll_busy_ms.0.max(1);
        let feed = self.feed_mut(node, uid);
        feed.is_idle = is_idle;
        if !is_idle {
            feed.wait_until = now.plus_ms(gap);
        }
    }

    /// The node could not be asked; nothing was changed there.
    pub fn unreachable(&mut self, node: usize, now: Monotonic) {
        let state = &mut self.nodes[node];
        // Whoever answers next need not be the same server.
        (state.is_reachable, state.is_doubtful) = (false, true);
        state.away_since.get_or_insert(now);
        self.back_off(node, now);
    }

    /// What became of the request under way.
    pub fn sent(&mut self, node: usize, outcome: SendOutcome, now: Monotonic) {
        let Some(in_flight) = self.nodes[node].in_flight.take() else { return };
        if let InFlight::Housekeeping(tasks) = &in_flight
            && !matches!(outcome, SendOutcome::Registered(_))
        {
            // Deleting twice does no harm; only what the node will never do is given up.
            if !matches!(outcome, SendOutcome::Refused(_)) {
                self.nodes[node].finished.extend(tasks);
            }
            self.back_off(node, now);
            return;
        }
        match outcome {
            SendOutcome::Registered(task) => {
                let gap = self.timing.poll_busy_ms.0;
                let state = &mut self.nodes[node];
                state.failures = 0;
                state.poll_gap_ms = gap;
                state.poll_at = state.poll_at.min(now.plus_ms(gap));
                self.registered(node, in_flight, task, now);
            }
            SendOutcome::Unclear => {
                let until = now.plus_ms(self.timing.quarantine_ms);
                let state = &mut self.nodes[node];
                state.unclear = Some(Unclear::new(Some(in_flight), until));
                state.is_doubtful = true;
                state.poll_gap_ms = self.timing.poll_busy_ms.1;
                state.poll_at = now.plus_ms(state.poll_gap_ms);
            }
            SendOutcome::NotSent => self.unreachable(node, now),
            SendOutcome::Busy => self.back_off(node, now),
            SendOutcome::Refused(error) => match in_flight {
                InFlight::Step { send, .. } if send.purpose.is_of_job() => self.job_refused(node, &send, error),
                InFlight::Step { send, .. } => self.refused(node, &send, error, now),
                InFlight::Upkeep(_) => self.upkeep_ended(node, End::Rejected(error), None),
                InFlight::Housekeeping(_) | InFlight::Identity => self.back_off(node, now),
            },
            SendOutcome::TooLarge(reason) => match in_flight {
                InFlight::Step { send, .. } if send.purpose.transfer().is_some() => {
                    self.chunk_too_large(node, &send, reason);
                }
                InFlight::Step { send, .. } if self.cut(node, &send) => {}
                InFlight::Step { send, .. } => self.never_fits(node, &send, reason, now),
                InFlight::Upkeep(_) => self.upkeep_ended(node, End::Retry(reason), None),
                InFlight::Housekeeping(_) | InFlight::Identity => self.back_off(node, now),
            },
            SendOutcome::NeverFits(reason) => match in_flight {
                InFlight::Step { send, .. } => self.chunk_never_fits(node, &send, &reason, now),
                InFlight::Upkeep(_) => self.upkeep_ended(node, End::Retry(reason), None),
                InFlight::Housekeeping(_) | InFlight::Identity => self.back_off(node, now),
            },
        }
    }

    /// What a request is made of cannot be read now; the other indexes of the node go on.
    pub fn unreadable(&mut self, node: usize, index: &NodeIndexUid, now: Monotonic) {
        self.back_off_index(node, index, now);
    }

    /// Peers may have taken it, so this is no verdict: the replica waits for its node's limit to be raised.
    fn never_fits(&mut self, node: usize, send: &Send, reason: String, now: Monotonic) {
        if self.feed(node, &send.index).failures.is_multiple_of(ALARM_EVERY) {
            let (node, index, position) = (self.nodes[node].id.clone(), send.index.clone(), send.position);
            self.pending.alarms.push(Alarm::TooLarge { node, index, position, reason });
        }
        self.back_off_index(node, &send.index, now);
    }

    fn back_off(&mut self, node: usize, now: Monotonic) {
        let (first, last) = self.timing.backoff_ms;
        let state = &mut self.nodes[node];
        let pause = first.saturating_mul(1 << state.failures.min(20)).min(last);
        state.failures += 1;
        state.wait_until = now.plus_ms(pause);
    }

    /// The same for one index of a node.
    pub(super) fn back_off_index(&mut self, node: usize, uid: &NodeIndexUid, now: Monotonic) {
        let (first, last) = self.timing.backoff_ms;
        let feed = self.feed_mut(node, uid);
        let pause = first.saturating_mul(1 << feed.failures.min(20)).min(last);
        feed.failures += 1;
        feed.wait_until = now.plus_ms(pause);
    }

    fn registered(&mut self, node: usize, in_flight: InFlight, task: NodeTask, now: Monotonic) {
        let state = &mut self.nodes[node];
        if task < state.next_task && task == NodeTask(0) {
            // Nobody had ever sent it anything: it was empty, whoever it is.
            self.lost(node, Some(NodeTask(1)));
            return;
        }
        if task < state.next_task {
            // It went back, or is another server: who it is tells.
            let until = now.plus_ms(self.timing.quarantine_ms);
            (state.unclear, state.is_doubtful) = (Some(Unclear::new(Some(in_flight), until)), true);
            return;
        }
        if task == state.next_task {
            state.account(task);
        } else {
            // Something came in between: it is looked at before anything else is sent.
            state.known_ahead.insert(task);
            state.poll_at = now;
        }
        self.pending.next_task.insert(node);
        match in_flight {
            InFlight::Step { send, ids } => self.answered(node, send, ids, task),
            InFlight::Housekeeping(_) => self.nodes[node].finished.push(task),
            InFlight::Upkeep(_) => self.upkeep_registered(node, task),
            InFlight::Identity => self.nodes[node].identifying = Some(task),
        }
    }

    /// The node has a step of ours as this task.
    pub(super) fn answered(&mut self, node: usize, send: Send, ids: Vec<u64>, task: NodeTask) {
        let Send { index, position, kind, shards, is_split, purpose } = send;
        self.nodes[node].active.insert(index.clone());
        let feed = self.feed_mut(node, &index);
        if !feed.is_careful() && kind.is_document() && !purpose.is_of_job() {
            feed.pos = position;
        }
        feed.sent.push_back(Sent { task, position, kind, shards, is_split, purpose, ids, is_void: false, end: None });
        if let Purpose::Copy { transfer, number } = purpose {
            self.chunk_registered(transfer, number);
        }
    }

    /// The node will never take this request. For documents and votes that is as if it had failed alone.
    fn refused(&mut self, node: usize, send: &Send, error: ErrorBody, now: Monotonic) {
        let feed = self.feed(node, &send.index);
        let is_flow = send.kind.is_document() && !feed.is_careful();
        let is_barrier = send.kind.is_barrier() && !super::step::is_voted(send.kind);
        if is_barrier || matches!(send.purpose, Purpose::Revert | Purpose::Bootstrap) {
            self.pending.alarms.push(Alarm::Stuck {
                node: self.nodes[node].id.clone(),
                index: send.index.clone(),
                position: send.position,
                reason: error.message,
            });
            self.back_off_index(node, &send.index, now);
        } else if is_flow {
            self.rewind(node, &send.index, send.position);
        } else {
            let Send { index, position, kind, shards, is_split, purpose } = send.clone();
            let end = Some(SentEnd { end: End::Rejected(error), was_shared: false, deleted: None });
            let (task, ids, is_void) = (NodeTask(0), Vec::new(), false);
            let sent = Sent { task, position, kind, shards, is_split, purpose, ids, is_void, end };
            self.ended(node, &index, &sent, now);
        }
    }
}

enum Next {
    Act(Action),
    /// Not now.
    Wait,
    /// Nothing to send: go past it.
    Pass,
    /// What its peers made of it cannot be known: it gets what they have.
    GiveUp,
}

fn is_success(end: Option<&SentEnd>) -> bool {
    match end.map(|end| &end.end) {
        Some(End::Succeeded) => true,
        Some(End::Rejected(_) | End::Retry(_)) | None => false,
    }
}
