//! What a node's task list says: answers that got lost, strangers, and how our tasks ended.

use std::collections::VecDeque;

use super::feed::{Purpose, Sent, SentEnd, Vote};
use super::identity::concerns_identity;
use super::node::{End, InFlight, SeenKind, SeenTask};
use super::step::{JournalUnavailable, JournalView, is_voted};
use super::{Alarm, Fleet};
use crate::logic::entry::StepKind;
use crate::logic::ids::{Monotonic, NodeIndexUid, NodeTask, Position, ShardId};
use crate::meili::embedding_failure::embedding_failure;
use crate::meili::error::ErrorBody;

impl Fleet {
    /// The node's answer to [`super::Action::Poll`]: those of the asked tasks (ascending) that exist. Returns whether it says
    /// anything new.
    pub fn polled(
        &mut self,
        node: usize,
        asked: &[NodeTask],
        mut seen: Vec<SeenTask>,
        now: Monotonic,
        journal: &dyn JournalView,
    ) -> bool {
        if !self.topology.is_member(node) {
            // It was asked before it left.
            return false;
        }
        seen.sort_unstable_by_key(|task| task.task);
        let state = &mut self.nodes[node];
        state.is_reachable = true;
        state.away_since = None;
        let polls = state.polls_begun;
        state.is_doubtful |= state.newest_known().is_some_and(|newest| {
            // A later one proves as much.
            asked.binary_search(&newest).is_ok() && seen.last().is_none_or(|last| last.task < newest)
        });
        let is_unknown = |task: &&SeenTask| task.task >= state.next_task && !state.known_ahead.contains(&task.task);
        let unknown: Vec<SeenTask> = seen.iter().filter(is_unknown).cloned().collect();
        let mut has_news = !unknown.is_empty();
        if state.unclear.is_some() {
            self.adopt(node, &unknown);
        }
        let state = &mut self.nodes[node];
        // It was asked after the last moment at which the request could come, however long it was away since.
        state.unclear.take_if(|unclear| unclear.is_over);
        let was_adopted = unknown.first().is_some_and(|task| task.task < state.next_task);
        if state.unclear.is_some() || was_adopted {
            // Until that is clear nothing else is concluded.
            has_news = was_adopted;
        } else if self.account(node, &unknown, &seen, journal).is_ok() {
            self.nodes[node].polls_answered = polls;
            has_news |= self.collect(node, asked, &seen, now);
        }
        self.plan_poll(node, has_news, now);
        has_news
    }

    fn plan_poll(&mut self, node: usize, has_news: bool, now: Monotonic) {
        let is_working = self.nodes[node].upkeep.is_some()
            || self.nodes[node].identifying.is_some()
            || self.nodes[node].active.iter().any(|index| !self.feed(node, index).sent.is_empty());
        let (first, last) = self.timing.poll_busy_ms;
        let state = &mut self.nodes[node];
        let is_waiting = is_working || state.unclear.is_some() || !state.known_ahead.is_empty();
        let gap = if has_news { first } else { state.poll_gap_ms.saturating_mul(2).clamp(first, last) };
        state.poll_gap_ms = gap;
        let idle = if self.rules.poll || !state.active.is_empty() { self.timing.poll_idle_ms } else { 1 << 40 };
        state.poll_at = now.plus_ms(if is_waiting { gap } else { idle });
    }

    /// Exactly one unknown task, and it is the one whose answer got lost: that is the answer.
    fn adopt(&mut self, node: usize, unknown: &[SeenTask]) {
        let state = &mut self.nodes[node];
        let [task] = unknown else { return };
        let what = state.unclear.as_ref().and_then(|unclear| unclear.what.clone());
        let is_it = match &what {
            Some(InFlight::Step { send, .. }) => task.matches(send),
            Some(InFlight::Upkeep(upkeep)) => task.kind == SeenKind::Upkeep && task.index.as_ref() == upkeep.index(),
            Some(InFlight::Identity) => concerns_identity(task),
            Some(InFlight::Housekeeping(_)) | None => false,
        };
        if !is_it || !state.known_ahead.is_empty() {
            return;
        }
        state.unclear = None;
        state.account(task.task);
        self.pending.next_task.insert(node);
        match what {
            Some(InFlight::Step { send, ids }) => self.answered(node, send, ids, task.task),
            Some(InFlight::Upkeep(_)) => self.upkeep_registered(node, task.task),
            Some(InFlight::Identity) => self.nodes[node].identifying = Some(task.task),
            Some(InFlight::Housekeeping(_)) | None => {}
        }
    }

    /// Accounts for tasks that nobody was told about, and does what they call for.
    fn account(
        &mut self,
        node: usize,
        unknown: &[SeenTask],
        seen: &[SeenTask],
        journal: &dyn JournalView,
    ) -> Result<(), JournalUnavailable> {
        // First all lookups, which may fail, then all changes.
        let mut remedies = Vec::new();
        for task in unknown {
            remedies.push((self.touched_by(node, task, journal)?, self.remedy_of(node, task, journal)?));
        }
        let is_hiding = self.rules.hide;
        for (task, (touched, remedy)) in unknown.iter().zip(remedies) {
            self.nodes[node].account(task.task);
            self.pending.next_task.insert(node);
            if let (Some(touched), Some(index)) = (touched, &task.index) {
                self.touched(node, index, &touched);
            }
            if let (Some(remedy), Some(index)) = (remedy, &task.index) {
                self.apply(node, index, remedy);
            }
            if task.end.is_some() {
                self.nodes[node].finished.push(task.task);
            } else if let Some(index) = task.index.as_ref().filter(|uid| self.indexes.contains_key(*uid)) {
                // What it touches is not known.
                let feed = self.feed_mut(node, index);
                feed.awaits_idle |= is_hiding;
                // The node may have said so before this task came.
                feed.is_idle = false;
            }
        }
        if let Some(last) = seen.last().filter(|last| last.task >= self.nodes[node].next_task) {
            // A number in between does not exist: somebody deleted tasks on the node.
            self.nodes[node].account(last.task);
            self.pending.next_task.insert(node);
        }
        Ok(())
    }

    /// Returns whether anything ended.
    fn collect(&mut self, node: usize, asked: &[NodeTask], seen: &[SeenTask], now: Monotonic) -> bool {
        let mut has_news = self.collect_upkeep(node, asked, seen) | self.collect_identity(node, asked, seen, now);
        let active: Vec<NodeIndexUid> = self.nodes[node].active.iter().cloned().collect();
        for uid in active {
            let feed = self.feed_mut(node, &uid);
            let mut is_lost = false;
            for sent in feed.sent.iter_mut().filter(|sent| sent.end.is_none()) {
                match seen.binary_search_by_key(&sent.task, |task| task.task) {
                    Ok(found) => sent.end = end_of(&seen[found], seen),
                    Err(_) => is_lost |= asked.binary_search(&sent.task).is_ok(),
                }
                feed.is_hidden &= sent.end.is_none();
                has_news |= sent.end.is_some();
            }
            if is_lost {
                // Emptied, or somebody deletes tasks there: its newest one tells.
                (self.nodes[node].is_missing, self.nodes[node].is_doubtful) = (true, true);
                return true;
            }
            self.collect_index(node, &uid, now);
        }
        has_news
    }

    fn collect_index(&mut self, node: usize, uid: &NodeIndexUid, now: Monotonic) {
        let feed = self.feed(node, uid);
        let has_failed = |sent: &Sent| match sent.end.as_ref().map(|end| &end.end) {
            Some(End::Rejected(_) | End::Retry(_)) => sent.kind.is_document() && !sent.purpose.is_of_job(),
            Some(End::Succeeded) | None => false,
        };
        if !feed.is_careful() && feed.sent.iter().any(has_failed) {
            if feed.sent.iter().any(|sent| sent.end.is_none()) {
                return;
            }
            // No verdict: from the first failure on everything is sent again, one at a time.
            let first = feed.sent.iter().find(|sent| has_failed(sent)).expect("one has failed").position;
            while self.feed(node, uid).sent.front().is_some_and(|sent| sent.position < first) {
                self.collect_front(node, uid, now);
            }
            self.finish_all(node, uid);
            self.rewind(node, uid, first);
            return;
        }
        while self.feed(node, uid).sent.front().is_some_and(|sent| sent.end.is_some()) {
            self.collect_front(node, uid, now);
        }
    }

    fn collect_front(&mut self, node: usize, uid: &NodeIndexUid, now: Monotonic) {
        let Some(sent) = self.feed_mut(node, uid).sent.pop_front() else { return };
        self.nodes[node].finished.push(sent.task);
        self.ended(node, uid, &sent, now);
    }

    fn finish_all(&mut self, node: usize, uid: &NodeIndexUid) {
        let tasks: Vec<NodeTask> = self.feed(node, uid).sent.iter().map(|sent| sent.task).collect();
        self.nodes[node].finished.extend(tasks);
    }

    /// A task of ours has ended, and everything before it has succeeded.
    pub(super) fn ended(&mut self, node: usize, uid: &NodeIndexUid, sent: &Sent, now: Monotonic) {
        if sent.purpose.transfer().is_some() {
            return self.job_ended(node, uid, sent);
        }
        let Some(sent_end) = sent.end.clone() else { return };
        let again = match &sent_end.end {
            End::Retry(reason) => Some(reason.clone()),
            End::Rejected(error) if self.must_try_again(node, uid, sent, error) => Some(error.message.clone()),
            End::Rejected(_) | End::Succeeded => None,
        };
        if let Some(reason) = again {
            let (node_id, index, position) = (self.nodes[node].id.clone(), uid.clone(), sent.position);
            self.pending.alarms.push(Alarm::Retried { node: node_id, index, position, reason });
            self.back_off_index(node, uid, now);
            return;
        }
        if self.stand(node, uid, sent, &sent_end, now) {
            return;
        }
        let SentEnd { end, was_shared, deleted } = sent_end;
        self.feed_mut(node, uid).failures = 0;
        if sent.purpose.is_of_job() {
            self.job_ended(node, uid, sent);
        } else if sent.purpose == Purpose::Bootstrap {
            self.bootstrap_ended(node, uid, end, now);
        } else if is_voted(sent.kind) {
            self.voted(node, uid, sent, end, now);
        } else if sent.kind.is_barrier() {
            // A creation or deletion that finds its work done counts as done.
            self.pass_barrier(node, uid, sent.position, sent.kind);
        } else {
            let error = match end {
                End::Succeeded => None,
                End::Rejected(error) => Some(error),
                End::Retry(_) => return,
            };
            if let (None, StepKind::Delete, Some(deleted)) = (&error, sent.kind, deleted) {
                self.count_deleted(node, sent, deleted);
            }
            self.document_ended(node, uid, sent, error, was_shared);
        }
    }

    fn voted(&mut self, node: usize, uid: &NodeIndexUid, sent: &Sent, end: End, now: Monotonic) {
        match (sent.purpose, end) {
            (Purpose::Revert, End::Succeeded) => self.pass_barrier(node, uid, sent.position, sent.kind),
            // Seen: a node whose documents make it reject one change of settings rejects them all, those from before too.
            // It never took what is reverted, so its settings are those from before.
            // And where an embedder fails for long, what comes after must get through: the drift check sees the difference.
            (Purpose::Revert, End::Rejected(error))
                if self.feed(node, uid).vote != Some(Vote::Took) || embedding_failure(&error).is_some() =>
            {
                self.pass_barrier(node, uid, sent.position, sent.kind);
            }
            (Purpose::Revert, End::Rejected(error)) => {
                self.pending.alarms.push(Alarm::Stuck {
                    node: self.nodes[node].id.clone(),
                    index: uid.clone(),
                    position: sent.position,
                    reason: error.message,
                });
                self.back_off_index(node, uid, now);
            }
            (Purpose::Do, End::Rejected(error)) => {
                if self.decision(uid, sent.position) == Some(true) {
                    self.pending.alarms.push(Alarm::LateRejection {
                        node: self.nodes[node].id.clone(),
                        index: uid.clone(),
                        position: sent.position,
                        reason: error.message.clone(),
                    });
                    self.give_up_if_covered(node, uid);
                    if !self.feed(node, uid).needs_rebuild {
                        // The only copy: it goes on, and the operator knows.
                        self.pass_barrier(node, uid, sent.position, sent.kind);
                    }
                    return;
                }
                self.feed_mut(node, uid).vote = Some(Vote::Rejected(error));
            }
            (Purpose::Do, End::Succeeded) => self.feed_mut(node, uid).vote = Some(Vote::Took),
            (Purpose::Do | Purpose::Revert, End::Retry(_))
            | (Purpose::Bootstrap | Purpose::Copy { .. } | Purpose::Mark | Purpose::Mend, _) => {}
        }
        self.attention.insert(uid.clone());
    }

    fn document_ended(
        &mut self,
        node: usize,
        uid: &NodeIndexUid,
        sent: &Sent,
        error: Option<ErrorBody>,
        was_shared: bool,
    ) {
        if error.is_none() {
            self.compare_with_verdicts(node, uid, sent);
        }
        if !self.feed(node, uid).is_careful() {
            self.advance(node, uid, sent.position);
            return;
        }
        if let Some(error) = error {
            if was_shared && self.rules.batch {
                return; // Not alone after all: sent again.
            }
            if !sent.is_split && sent.shards.len() > 1 {
                let is_fed = |shard: &ShardId| self.topology.is_fed(node, uid, *shard, sent.position);
                let shards: VecDeque<ShardId> = sent.shards.iter().copied().filter(is_fed).collect();
                if !shards.is_empty() {
                    let feed = self.feed_mut(node, uid);
                    (feed.split, feed.split_at) = (Some(shards), sent.position);
                    return;
                }
            } else if let Some(&shard) = sent.shards.first() {
                self.judge(sent.position, shard, error);
            }
        }
        let feed = self.feed_mut(node, uid);
        let left = feed.split.as_mut().map_or(0, |split| {
            split.retain(|shard| !sent.shards.contains(shard));
            split.len()
        });
        if left == 0 {
            feed.split = None;
            feed.pos = sent.position;
            self.advance(node, uid, sent.position);
        }
    }

    /// A chunk was rejected when it was alone.
    pub(super) fn judge(&mut self, position: Position, shard: ShardId, error: ErrorBody) {
        let is_reported = position.entry().is_none_or(|entry| !self.tasks.contains_key(&entry));
        if is_reported || self.verdicts.contains_key(&(position, shard)) {
            return;
        }
        self.pending.verdicts.push((position, shard, error.clone()));
        self.verdicts.insert((position, shard), error);
    }
}

fn end_of(task: &SeenTask, seen: &[SeenTask]) -> Option<SentEnd> {
    let is_other = |other: &&SeenTask| other.task != task.task && other.batch == task.batch;
    let was_shared = task.batch.is_some() && seen.iter().any(|other| is_other(&other));
    task.end.clone().map(|end| SentEnd { end, was_shared, deleted: task.deleted })
}
