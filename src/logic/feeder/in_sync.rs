//! Which replicas may be read, and the control step that goes over all indexes.

use super::feed::{Feed, ReaderProgress, Stage, Sync, Vote};
use super::index::Lookup;
use super::step::{JournalUnavailable, JournalView};
use super::{Fleet, QUARANTINES_REMEMBERED};
use crate::logic::entry::StepKind;
use crate::logic::ids::{Monotonic, NodeIndexUid, Position, ShardId};
use crate::logic::topology::NodeState as Wanted;

/// Entries that do not touch a node, before its watermark is stored as being past them.
const PASSED_AT_ONCE: u64 = 8;

impl Fleet {
    /// Leave, come back, decide votes, report: all that follows from what the nodes have applied. What it changes
    /// comes out of [`Fleet::take_changes`].
    pub fn control(&mut self, now: Monotonic, progress: ReaderProgress, journal: &dyn JournalView) {
        self.seen_at = now;
        let acknowledged = progress.acknowledged;
        let indexes: Vec<NodeIndexUid> = self.attention.iter().cloned().collect();
        for uid in indexes {
            self.acknowledge(&uid, progress);
            // An unreadable journal: the next round tries again.
            if let Ok(due) = self.due_steps(&uid, journal) {
                self.pass_barren(&uid, &due);
                self.compare_peers(&uid, &due, now);
                self.decide(&uid, &due);
                self.report_index(&uid, acknowledged);
            }
            self.settle_index(&uid, now);
        }
        self.rename_indexes(progress);
        self.do_chores(now);
        self.report_task_operations();
        if self.rules.rebuild {
            self.rebuild_given_up();
        }
        self.advance_jobs(progress, now, journal);
    }

    fn acknowledge(&mut self, uid: &NodeIndexUid, progress: ReaderProgress) {
        let acknowledged = progress.acknowledged;
        let waits = self.rules.leave;
        let Some(state) = self.indexes.get_mut(uid) else { return };
        for (feed, node) in state.feeds.iter_mut().zip(&mut self.nodes) {
            if let Some(bootstrap) = &mut feed.bootstrap
                && bootstrap.gate.is_some_and(|gate| gate.is_acknowledged(acknowledged) && gate.is_drained(progress))
            {
                bootstrap.gate = None;
                node.active.insert(uid.clone());
            }
            match feed.sync {
                Sync::Leaving(stage) if stage.is_acknowledged(acknowledged) || !waits => feed.sync = Sync::Out,
                Sync::Returning(stage) if stage.is_acknowledged(acknowledged) => feed.sync = Sync::In,
                Sync::In | Sync::Out | Sync::Joining | Sync::Leaving(_) | Sync::Returning(_) => {}
            }
        }
        if state.hidden.is_some_and(|stage| stage.is_acknowledged(acknowledged)) {
            state.is_hidden = true;
            // Even those may go on that were given up.
            for node in &mut self.nodes {
                node.active.insert(uid.clone());
            }
        }
    }

    /// By node: the first step that is not resolved there. None as well for a node that is no member.
    pub(super) fn due_steps(
        &mut self,
        uid: &NodeIndexUid,
        journal: &dyn JournalView,
    ) -> Result<Vec<Option<Position>>, JournalUnavailable> {
        (0..self.nodes.len()).map(|node| self.due_step(node, uid, journal)).collect()
    }

    /// The same of one node.
    pub(super) fn due_step(
        &mut self,
        node: usize,
        uid: &NodeIndexUid,
        journal: &dyn JournalView,
    ) -> Result<Option<Position>, JournalUnavailable> {
        let lookup = Lookup { index: uid, topology: &self.topology, journal };
        // For one that is no member it would be searched for in all of the journal.
        let is_member = self.topology.is_member(node);
        let Some(state) = self.indexes.get_mut(uid).filter(|_| is_member) else { return Ok(None) };
        let applied = state.feeds[node].applied;
        Ok(state.step_after(node, applied, &lookup)?.map(|step| step.position))
    }

    /// Moves watermarks past long stretches of steps that do not touch their node, or the journal would be read from there
    /// again whenever what the node is fed changes. Only past what is reported: a hold at such a watermark must not have to
    /// wait for the source.
    fn pass_barren(&mut self, uid: &NodeIndexUid, due: &[Option<Position>]) {
        let state = self.index(uid);
        let unreported = state.unreported.first().map(|&entry| Position::of(entry, 0).before());
        let end = unreported.into_iter().fold(state.complete_after, Position::min);
        for (node, due) in due.iter().enumerate() {
            let feed = self.feed(node, uid);
            let to = due.map_or(end, |due| due.before().min(end));
            let is_far = to.0 >= feed.applied.0 + PASSED_AT_ONCE * Position::STEPS_PER_ENTRY;
            if is_far && feed.is_at_rest() && self.topology.is_member(node) {
                self.advance(node, uid, to);
                let feed = self.feed_mut(node, uid);
                feed.pos = feed.pos.max(to);
            }
        }
    }

    /// How far each node is behind its peers, and what follows from it. What is read and falls behind leaves; what is not
    /// read and is close again is first waited for, so that it can catch up however much is written, and read when it has
    /// applied all that was reported.
    fn compare_peers(&mut self, uid: &NodeIndexUid, due: &[Option<Position>], now: Monotonic) {
        for (node, &my_due) in due.iter().enumerate() {
            if !self.topology.is_member(node) {
                continue;
            }
            let peers_at = self.peers_at(node, uid, due);
            let distance = self.distance(node, uid, (my_due, peers_at), now);
            if self.nodes[node].record.state == Wanted::Maintenance {
                self.stand_aside(node, uid);
                continue;
            }
            match (self.feed(node, uid).sync, distance) {
                (Sync::In, Distance::Far) if self.can_be_missed(node, uid) => self.leave(node, uid),
                (Sync::Joining, Distance::Far) => self.feed_mut(node, uid).sync = Sync::Out,
                (Sync::Out, Distance::Near) => self.come_closer(node, uid, my_due),
                (Sync::Joining, Distance::Near | Distance::Unknown) => self.come_back(node, uid, my_due),
                (Sync::In | Sync::Out | Sync::Leaving(_) | Sync::Returning(_), _) => {}
            }
        }
    }

    /// In maintenance: not read, if its peers can do without it, and not waited for.
    fn stand_aside(&mut self, node: usize, uid: &NodeIndexUid) {
        match self.feed(node, uid).sync {
            Sync::In if self.has_cover(node, uid) => self.leave(node, uid),
            Sync::Joining => self.feed_mut(node, uid).sync = Sync::Out,
            Sync::In | Sync::Out | Sync::Leaving(_) | Sync::Returning(_) => {}
        }
    }

    /// Up to where the node could do without: of each of its shards the furthest of the other replicas that verdicts need,
    /// and of these the one that is least far. Two nodes that stand still together are no excuse for each other. One that
    /// has no shard in common with others is measured by the slowest of them.
    fn peers_at(&self, node: usize, uid: &NodeIndexUid, due: &[Option<Position>]) -> Position {
        let feeds = &self.index(uid).feeds;
        let required =
            |peer: usize| (peer != node && feeds[peer].is_required()).then(|| reached(&feeds[peer], due[peer]));
        let peers: Vec<Option<Position>> = (0..feeds.len()).map(required).collect();
        let owned = self.topology.owned(node).iter();
        let furthest = |&shard: &ShardId| self.topology.owners_of(shard).iter().filter_map(|&peer| peers[peer]).max();
        let slowest = || {
            let owners = (0..feeds.len()).filter(|&peer| !self.topology.owned(peer).is_empty());
            owners.filter_map(|peer| peers[peer]).min().unwrap_or_default()
        };
        owned.filter_map(furthest).min().unwrap_or_else(slowest)
    }

    /// Measured by a mark: where the peers were at some moment, and when this replica gets there.
    fn distance(
        &mut self,
        node: usize,
        uid: &NodeIndexUid,
        (my_due, peers_at): (Option<Position>, Position),
        now: Monotonic,
    ) -> Distance {
        let timeout = self.timing.in_sync_timeout_ms;
        let is_held_back = self.is_held_back(node, uid, now);
        // Peers with nothing to do are at the end of the journal as it is now, not of what comes later.
        let mark = peers_at.min(self.head);
        let feed = self.feed_mut(node, uid);
        let here = reached(feed, my_due);
        if peers_at <= here {
            feed.lag = None;
            return Distance::Near;
        }
        if is_held_back {
            // It is not slow: it was told to stand still.
            feed.lag = None;
            return Distance::Unknown;
        }
        match feed.lag {
            None => {
                feed.lag = Some((mark, now));
                Distance::Unknown
            }
            Some((goal, since)) if here >= goal => {
                feed.lag = Some((mark, now));
                if now.0 <= since.0.saturating_add(timeout / 2) { Distance::Near } else { Distance::Unknown }
            }
            Some((_, since)) if now.0 >= since.0.saturating_add(timeout) => Distance::Far,
            Some(_) => Distance::Unknown,
        }
    }

    fn come_closer(&mut self, node: usize, uid: &NodeIndexUid, due: Option<Position>) {
        let feed = self.feed(node, uid);
        // While a vote is under way it must take part, or nothing would get on.
        let is_mending = feed.mend.is_some() && self.settings_stand(node, uid);
        let is_amiss = feed.needs_rebuild || is_mending || self.is_rebuilding(node, uid);
        if is_amiss || !self.nodes[node].is_reachable {
            return;
        }
        if self.rules.required {
            let feed = self.feed_mut(node, uid);
            feed.sync = Sync::Joining;
            feed.lag = None;
        }
        self.come_back(node, uid, due);
    }

    /// Read again, if it has applied everything that was reported.
    fn come_back(&mut self, node: usize, uid: &NodeIndexUid, due: Option<Position>) {
        let state = self.index(uid);
        let feed = &state.feeds[node];
        if due.is_some_and(|due| due <= state.top_reported || feed.applied < feed.goal) {
            return;
        }
        let version = self.version;
        let is_required = self.rules.required;
        let feed = self.feed_mut(node, uid);
        feed.sync = if is_required { Sync::In } else { Sync::Returning(Stage::new(version)) };
        feed.came_back_in = version;
        self.pending.sync.insert((node, uid.clone()), false);
        self.want_publication();
    }

    /// A replica that lags on a node that answers is worth more than one that is ahead on a node that does not.
    fn can_be_missed(&self, node: usize, uid: &NodeIndexUid) -> bool {
        let is_there = |node: usize| self.nodes[node].is_reachable;
        if is_there(node) { self.has_cover_of(node, uid, is_there) } else { self.has_cover(node, uid) }
    }

    /// The replica is read, and each of its shards has another one that will be.
    pub(super) fn has_cover(&self, node: usize, uid: &NodeIndexUid) -> bool {
        self.has_cover_of(node, uid, |_| true)
    }

    /// The same, with other replicas on such nodes only.
    fn has_cover_of(&self, node: usize, uid: &NodeIndexUid, counts: impl Fn(usize) -> bool) -> bool {
        let feeds = &self.index(uid).feeds;
        let is_in = |other: usize| feeds[other].is_in_sync() && !feeds[other].needs_rebuild && counts(other);
        let is_other = |other: &usize| *other != node && is_in(*other);
        let by_shard = self.topology.owners();
        feeds[node].is_in_sync()
            && self.topology.owned(node).iter().all(|shard| by_shard[usize::from(shard.0)].iter().any(&is_other))
    }

    /// Out of the in-sync set: stored, then published; verdicts need it until every core has acknowledged that.
    pub(super) fn leave(&mut self, node: usize, uid: &NodeIndexUid) {
        let version = self.version;
        let feed = self.feed_mut(node, uid);
        feed.sync = Sync::Leaving(Stage::new(version));
        feed.lag = None;
        self.attention.insert(uid.clone());
        if self.rules.outdur {
            self.pending.sync.insert((node, uid.clone()), true);
            self.want_publication();
        } else {
            let stored = self.stored;
            self.feed_mut(node, uid).sync = Sync::Leaving(Stage::new(stored));
            self.publish_in.insert(stored);
        }
    }

    /// The fleet has voted when every required replica stands at the step with a vote.
    fn decide(&mut self, uid: &NodeIndexUid, due: &[Option<Position>]) {
        let state = self.index(uid);
        let Some((&position, &kind)) = state.undecided.first_key_value() else { return };
        let voters: Vec<usize> = (0..state.feeds.len())
            .filter(|&node| state.feeds[node].is_required() && self.topology.is_voter(node, uid))
            .collect();
        let votes: Vec<&Vote> = voters
            .iter()
            .filter(|&&node| due[node] == Some(position))
            .filter_map(|&node| state.feeds[node].vote.as_ref())
            .collect();
        if votes.len() < voters.len() || !state.is_covered(uid, &self.topology) {
            return;
        }
        let rejection = votes.iter().find_map(|vote| match vote {
            Vote::Rejected(error) => Some(error.clone()),
            Vote::Took => None,
        });
        self.store_decision(uid, position, kind, rejection);
    }

    fn settle_index(&mut self, uid: &NodeIndexUid, now: Monotonic) {
        let topology = &self.topology;
        let Some(state) = self.indexes.get_mut(uid) else { return };
        let mut feeds = state.feeds.iter().enumerate().filter(|(node, _)| topology.is_member(*node));
        let is_dead = |feed: &Feed| {
            let is_passed = state.dropped.is_some_and(|dropped| feed.applied >= dropped);
            is_passed && feed.sent.is_empty() && feed.bootstrap.is_none()
        };
        if state.unreported.is_empty() && state.dropped.is_some() && feeds.clone().all(|(_, feed)| is_dead(feed)) {
            let since = *state.dead_since.get_or_insert(now);
            let remembered = self.timing.quarantine_ms.saturating_mul(QUARANTINES_REMEMBERED);
            if now.0 >= since.0.saturating_add(remembered) {
                let decisions = self.indexes.remove(uid).map(|state| state.decisions);
                self.pending.passed.extend(decisions.unwrap_or_default().into_keys());
                self.attention.remove(uid);
                self.nodes.iter_mut().for_each(|node| {
                    node.active.remove(uid);
                });
                self.forget_joins(uid);
                self.forget_compactions(|record| record.index == *uid);
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

/// Up to where a replica is, counting a step that it has voted on.
fn reached(feed: &Feed, due: Option<Position>) -> Position {
    match due {
        None => Position(u64::MAX),
        Some(due) if feed.vote.is_some() || feed.stand.as_ref().is_some_and(|stand| stand.position == due) => due,
        Some(due) => due.before(),
    }
}

/// How far a replica is behind its peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Distance {
    /// Not behind, or less than half of the timeout.
    Near,
    /// Being measured.
    Unknown,
    /// At least the timeout.
    Far,
}

/// Readers see more of an index than its documents change with it.
pub(super) fn changes_view(kind: StepKind) -> bool {
    match kind {
        StepKind::Create | StepKind::Settings | StepKind::PrimaryKey => true,
        StepKind::Put(_) | StepKind::Delete | StepKind::Clear | StepKind::Drop => false,
    }
}
