//! Which shards are read next, from where, and at which position.

use std::collections::BTreeMap;

use super::super::Join;
use super::{LOOKS_AT_ONCE, LookKind, Transfer, TransferId, TransferStage};
use crate::logic::feeder::Fleet;
use crate::logic::feeder::index::IndexState;
use crate::logic::ids::{JobId, Monotonic, NodeIndexUid, Position, ShardId};
use crate::logic::topology::{JobKind, JobStep, JoinState};

/// The shards of one index that come to one node, as far as they wait for the same.
type Group = BTreeMap<(usize, NodeIndexUid, bool), Vec<Part>>;

/// One of them. In this order: what fails again and again is not in the way of the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Part {
    is_apart: bool,
    failures: u32,
    shard: ShardId,
    job: JobId,
}

impl Fleet {
    /// As many as drivers can read at once.
    pub(super) fn start_transfers(&mut self, now: Monotonic) {
        for ((target, uid, is_compare), mut parts) in self.waiting_joins(now) {
            if self.transfers.for_drivers(now) >= LOOKS_AT_ONCE {
                return;
            }
            if self.feed(target, &uid).held.is_some() {
                continue; // By the one before.
            }
            let is_held = |node: usize| {
                let feed = self.feed(node, &uid);
                feed.held.is_some() || feed.is_careful() || now < feed.moves_wait
            };
            let sources: Vec<usize> = (0..self.nodes.len()).filter(|&node| node != target && !is_held(node)).collect();
            parts.retain(|part| sources.iter().any(|&node| self.is_source(node, target, &uid, part.shard)));
            let Some(first) = parts.first().copied() else { continue };
            parts.retain(|part| (part.is_apart, part.failures) == (first.is_apart, first.failures));
            let count = |node: usize| parts.iter().filter(|of| self.is_source(node, target, &uid, of.shard)).count();
            let most = sources.into_iter().map(|node| (count(node), node)).max();
            let Some((_, source)) = most else { continue };
            parts.retain(|part| self.is_source(source, target, &uid, part.shard));
            parts.truncate(self.shards_at_once(&parts));
            parts.sort_unstable_by_key(|part| part.shard);
            let kind = if is_compare {
                LookKind::Compare { nodes: [source, target] }
            } else {
                LookKind::Copy { source, target }
            };
            let parts = parts.into_iter().map(|part| (Some(part.job), part.shard)).collect();
            self.start_transfer(uid, kind, parts, now);
        }
    }

    /// How many of these shards, all alike, are read under one hold: fewer after each failure, which may have been a hold that
    /// took too long.
    fn shards_at_once(&self, parts: &[Part]) -> usize {
        match parts.first() {
            None | Some(Part { is_apart: true, .. }) => 1,
            Some(Part { failures, .. }) => (self.tables.pace.shards_per_copy >> failures.min(&16)).max(1),
        }
    }

    /// Joins that can be copied (false) or compared (true) now, by the feed that they share.
    fn waiting_joins(&self, now: Monotonic) -> Group {
        let mut groups = Group::new();
        let held_off = self.held_off(now);
        for (&id, job) in &self.topology.jobs {
            let Some(target) = job.target.filter(|_| job.step == JobStep::Copy) else { continue };
            let is_resting =
                now < self.nodes[target].rest_until || held_off.contains(&job.shard) && job.kind == JobKind::Move;
            if !self.nodes[target].is_reachable {
                continue;
            }
            for (uid, join) in &job.joins {
                let is_wanted = match join.state {
                    JoinState::Clear => join.is_marked && join.filling.is_none() && !is_resting && now >= join.retry_at,
                    JoinState::Joined => !join.is_verified,
                };
                if is_wanted && self.indexes.get(uid).is_some_and(|state| is_free(state, target, now)) {
                    let key = (target, uid.clone(), join.state == JoinState::Joined);
                    let Join { is_apart, failures, .. } = *join;
                    groups.entry(key).or_default().push(Part { is_apart, failures, shard: job.shard, job: id });
                }
            }
        }
        for parts in groups.values_mut() {
            parts.sort_unstable();
        }
        groups
    }

    /// Holds the feeds, and reads when they stand.
    pub(in crate::logic::feeder::moves) fn start_transfer(
        &mut self,
        uid: NodeIndexUid,
        kind: LookKind,
        parts: Vec<(Option<JobId>, ShardId)>,
        now: Monotonic,
    ) -> TransferId {
        let id = self.transfers.new_id();
        let held = kind.held();
        let reached = held.iter().map(|&node| self.may_have(node, &uid));
        // A copy to be compared may be newer than anything the target got beside it.
        let jobs: Vec<JobId> = parts.iter().filter_map(|(job, _)| *job).collect();
        let copied = jobs.iter().filter_map(|job| Some(self.topology.jobs.get(job)?.joins.get(&uid)?.cursor));
        let at = reached.chain(copied).fold(self.sent_in_earlier_lives(&uid), Position::max);
        for node in held {
            self.feed_mut(node, &uid).held = Some((id, at));
            // It may have to be asked whether it is idle.
            self.nodes[node].active.insert(uid.clone());
        }
        let is_copy = matches!(kind, LookKind::Copy { .. });
        let mut failures = 0;
        for job in jobs {
            let Some(join) = self.topology.join_mut(job, &uid) else { continue };
            failures = failures.max(join.failures);
            if is_copy {
                (join.filling, join.cursor) = (Some(id), at);
            }
        }
        self.feeds_changed(held[1], &uid);
        let until = now.plus_ms(self.timing.hold_ms);
        let stage = TransferStage::Hold;
        let is_alone = is_copy && failures > 0;
        let transfer = Transfer {
            index: uid,
            kind,
            parts,
            at,
            since: now,
            until,
            stalls_at: until,
            stage,
            offered: 0,
            registered: 0,
            ended: 0,
            is_alone,
            began: None,
        };
        self.transfers.open.insert(id, transfer);
        id
    }

    /// What an earlier life has sent beyond the watermarks may have been applied: up to here.
    fn sent_in_earlier_lives(&self, uid: &NodeIndexUid) -> Position {
        let start = Position::of(self.first_of_this_life, 0).before();
        let state = self.index(uid);
        // Nothing goes beyond an open vote, and nothing past what is not resolved.
        let vote = state.undecided.keys().next().copied();
        let unresolved = state.unresolved.keys().next().map(|&entry| Position::of(entry, 0).before());
        vote.into_iter().chain(unresolved).fold(start, Position::min)
    }

    /// The last step that a node may have got in this life, answered or not.
    fn may_have(&self, node: usize, uid: &NodeIndexUid) -> Position {
        let feed = self.feed(node, uid);
        feed.pos.max(feed.applied).max(feed.goal).max(feed.begun)
    }
}

/// The feed of a target can be held. One that has voted is beyond the steps before, whatever its position says.
fn is_free(state: &IndexState, target: usize, now: Monotonic) -> bool {
    let feed = &state.feeds[target];
    let is_plain = !feed.is_careful() && feed.split.is_none() && feed.vote.is_none();
    state.is_read() && feed.bootstrap.is_none() && feed.held.is_none() && is_plain && now >= feed.moves_wait
}
