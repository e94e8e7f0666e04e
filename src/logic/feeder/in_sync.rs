//! Which replicas may be read, and the control step that goes over all indexes.

use super::Fleet;
use super::feed::{Feed, Stage, Sync, Vote};
use super::index::Lookup;
use super::step::{JournalUnavailable, JournalView};
use crate::logic::entry::StepKind;
use crate::logic::ids::{Epoch, Monotonic, NodeIndexUid, Position};

/// A deleted index is remembered so many quarantines long, for requests that come too late.
const QUARANTINES_REMEMBERED: u64 = 10;

impl Fleet {
    /// Leave, come back, decide votes, report: all that follows from what the nodes have applied. `acknowledged` is the
    /// epoch that every core has reached. What it changes comes out of [`Fleet::take_changes`].
    pub fn control(&mut self, now: Monotonic, acknowledged: Epoch, journal: &dyn JournalView) {
        let indexes: Vec<NodeIndexUid> = self.attention.iter().cloned().collect();
        for uid in indexes {
            self.acknowledge(&uid, acknowledged);
            // An unreadable journal: the next round tries again.
            if let Ok(due) = self.due_steps(&uid, journal) {
                self.come_back(&uid, &due);
                self.leave_laggards(&uid, &due, now);
                self.decide(&uid, &due);
                self.report_index(&uid, acknowledged);
            }
            self.settle_index(&uid, now);
        }
        self.report_task_operations();
    }

    fn acknowledge(&mut self, uid: &NodeIndexUid, acknowledged: Epoch) {
        let waits = self.rules.leave;
        let Some(state) = self.indexes.get_mut(uid) else { return };
        for feed in &mut state.feeds {
            match feed.sync {
                Sync::Leaving(stage) if stage.is_acknowledged(acknowledged) || !waits => feed.sync = Sync::Out,
                Sync::Returning(stage) if stage.is_acknowledged(acknowledged) => feed.sync = Sync::In,
                Sync::In | Sync::Out | Sync::Leaving(_) | Sync::Returning(_) => {}
            }
        }
        if state.hidden.is_some_and(|stage| stage.is_acknowledged(acknowledged)) {
            state.is_hidden = true;
        }
    }

    /// By node: the first step that is not resolved there. None as well for a node without shards.
    pub(super) fn due_steps(
        &mut self,
        uid: &NodeIndexUid,
        journal: &dyn JournalView,
    ) -> Result<Vec<Option<Position>>, JournalUnavailable> {
        let lookup = Lookup { index: uid, holdings: &self.holdings, journal };
        let Some(state) = self.indexes.get_mut(uid) else { return Ok(vec![None; self.nodes.len()]) };
        (0..self.nodes.len())
            .map(|node| {
                let applied = state.feeds[node].applied;
                Ok(state.step_after(node, applied, &lookup)?.map(|step| step.position))
            })
            .collect()
    }

    fn come_back(&mut self, uid: &NodeIndexUid, due: &[Option<Position>]) {
        let top_reported = self.index(uid).top_reported;
        for (node, due) in due.iter().enumerate() {
            let feed = self.feed(node, uid);
            let is_done = due.is_none_or(|due| due > top_reported && feed.applied >= feed.goal);
            if feed.sync != Sync::Out || feed.needs_rebuild || !is_done {
                continue;
            }
            let version = self.version;
            let is_required = self.rules.required;
            let feed = self.feed_mut(node, uid);
            feed.sync = if is_required { Sync::In } else { Sync::Returning(Stage::new(version)) };
            feed.came_back_in = version;
            feed.lag = None;
            self.pending.sync.insert((node, uid.clone()), false);
            self.want_publication();
        }
    }

    fn leave_laggards(&mut self, uid: &NodeIndexUid, due: &[Option<Position>], now: Monotonic) {
        let end = Position(u64::MAX);
        // Up to where each node is, counting a step that it has voted on.
        let reached = |feed: &Feed, due: Option<Position>| match due {
            None => end,
            Some(due) if feed.vote.is_some() => due,
            Some(due) => due.before(),
        };
        for node in 0..self.nodes.len() {
            let Some(my_due) = due[node] else {
                self.feed_mut(node, uid).lag = None;
                continue;
            };
            let feeds = &self.index(uid).feeds;
            let peers = (0..feeds.len()).filter(|&peer| peer != node && feeds[peer].is_required());
            let peers = peers.filter(|&peer| !self.holdings.of(peer).is_empty());
            let peers_at = peers.map(|peer| reached(&feeds[peer], due[peer])).min().unwrap_or_default();
            let is_behind = feeds[node].is_in_sync() && peers_at >= my_due && feeds[node].vote.is_none();
            let is_slow = match feeds[node].lag {
                Some((mark, since)) if is_behind && my_due <= mark => {
                    now.0 >= since.0.saturating_add(self.timing.in_sync_timeout_ms)
                }
                Some(_) | None => {
                    self.feed_mut(node, uid).lag = is_behind.then_some((peers_at, now));
                    false
                }
            };
            if is_slow && self.has_cover(node, uid) {
                self.leave(node, uid);
            }
        }
    }

    /// The replica is read, and each of its shards has another one that will be.
    pub(super) fn has_cover(&self, node: usize, uid: &NodeIndexUid) -> bool {
        let feeds = &self.index(uid).feeds;
        let is_other = |other: &usize| *other != node && feeds[*other].is_in_sync() && !feeds[*other].needs_rebuild;
        let by_shard = self.holdings.by_shard();
        feeds[node].is_in_sync()
            && self
                .holdings
                .of(node)
                .iter()
                .all(|shard| by_shard[usize::from(shard.0)].iter().any(|other| is_other(other)))
    }

    /// Out of the in-sync set: stored, then published; verdicts need it until every core has acknowledged that.
    pub(super) fn leave(&mut self, node: usize, uid: &NodeIndexUid) {
        let version = self.version;
        let feed = self.feed_mut(node, uid);
        feed.sync = Sync::Leaving(Stage::new(version));
        feed.lag = None;
        if self.rules.outdur {
            self.pending.sync.insert((node, uid.clone()), true);
        }
        self.attention.insert(uid.clone());
        self.want_publication();
    }

    /// The fleet has voted when every required replica stands at the step with a vote.
    fn decide(&mut self, uid: &NodeIndexUid, due: &[Option<Position>]) {
        let state = self.index(uid);
        let steps = state.unreported.iter().filter_map(|entry| self.tasks.get(entry)).flat_map(|task| &task.steps);
        let Some(step) = steps.filter(|step| step.is_voted()).find(|step| !self.decisions.contains_key(&step.position))
        else {
            return;
        };
        let (position, kind) = (step.position, step.kind);
        let voters: Vec<usize> = (0..state.feeds.len())
            .filter(|&node| state.feeds[node].is_required() && !self.holdings.of(node).is_empty())
            .collect();
        let votes: Vec<&Vote> = voters
            .iter()
            .filter(|&&node| due[node] == Some(position))
            .filter_map(|&node| state.feeds[node].vote.as_ref())
            .collect();
        if votes.len() < voters.len() || !state.is_covered(&self.holdings) {
            return;
        }
        let rejection = votes.iter().find_map(|vote| match vote {
            Vote::Rejected(error) => Some(error.clone()),
            Vote::Took => None,
        });
        self.store_decision(uid, position, kind, rejection);
    }

    fn settle_index(&mut self, uid: &NodeIndexUid, now: Monotonic) {
        let holdings = &self.holdings;
        let Some(state) = self.indexes.get_mut(uid) else { return };
        let mut feeds = state.feeds.iter().enumerate().filter(|(node, _)| !holdings.of(*node).is_empty());
        let is_dead =
            |feed: &Feed| state.dropped.is_some_and(|dropped| feed.applied >= dropped) && feed.sent.is_empty();
        if state.unreported.is_empty() && state.dropped.is_some() && feeds.clone().all(|(_, feed)| is_dead(feed)) {
            let since = *state.dead_since.get_or_insert(now);
            let remembered = self.timing.quarantine_ms.saturating_mul(QUARANTINES_REMEMBERED);
            if now.0 >= since.0.saturating_add(remembered) {
                self.indexes.remove(uid);
                self.attention.remove(uid);
                self.nodes.iter_mut().for_each(|node| {
                    node.active.remove(uid);
                });
                self.pending.forgotten.push(uid.clone());
            }
            return;
        }
        state.dead_since = None;
        let is_settled = feeds.all(|(_, feed)| feed.sync == Sync::In || feed.needs_rebuild && feed.sync == Sync::Out);
        if is_settled && state.unreported.is_empty() && state.dropped.is_none() {
            self.attention.remove(uid);
        }
    }
}

/// Readers see more of an index than its documents change with it.
pub(super) fn changes_view(kind: StepKind) -> bool {
    match kind {
        StepKind::Create | StepKind::Settings | StepKind::PrimaryKey => true,
        StepKind::Put(_) | StepKind::Delete | StepKind::Clear | StepKind::Drop => false,
    }
}
