//! Which check is made next, and when; what becomes of one that cannot be made.

use std::collections::BTreeMap;

use super::{
    Audit, AuditOrigin, AuditReport, AuditStage, BackgroundAudit, Check, Doubt, FAILURES_MAX, Match, NotCompared, Open,
    RepairState, Stray, StrayDocuments, Unequal, UnequalReplicas,
};
use crate::logic::feeder::{Alarm, Fleet, Look, LookKind, TransferId};
use crate::logic::ids::{Monotonic, NodeId, NodeIndexUid, Position, ShardId};

/// A check aims at this time of reading.
const READ_MS: u64 = 1_000;
/// Shards in one check at most.
const AT_ONCE_MAX: usize = 64;
/// The first audit of the background begins so long after the start, or after one interval if that is shorter.
const FIRST_MS: u64 = 60_000;

/// What is in the way of a check.
enum Hindrance {
    None,
    /// There is nothing to be looked at any more.
    Gone,
    /// Until then it is only put off.
    Wait(Monotonic),
    /// It is given up when this lasts for so many milliseconds.
    Obstacle(String, u64),
}

impl Fleet {
    /// Begins to compare all replicas that are in sync, beside everything else, and gives the number of the audit. One that
    /// an operator began and that is under way goes on, with this wish for repair if it had none; one of the background is
    /// given up for it. A distrusted node is wrong where nothing else says which one is.
    pub fn begin_audit(&mut self, is_repairing: bool, distrusted: Option<&NodeId>) -> u64 {
        let distrusted = distrusted.and_then(|id| (0..self.nodes.len()).find(|&node| self.nodes[node].id == *id));
        let is_under_way = matches!(self.audit.stage, AuditStage::Comparing | AuditStage::Repairing);
        if is_under_way && self.audit.origin == AuditOrigin::Operator {
            self.audit.is_repairing |= is_repairing;
            if let Some(node) = distrusted {
                self.audit.doubt = Doubt::Of(node);
            }
            self.plan_repairs();
            return self.audit.number;
        }
        self.start_audit(AuditOrigin::Operator, is_repairing, self.seen_at);
        self.audit.doubt = distrusted.map_or(Doubt::Open, Doubt::Of);
        self.audit.number
    }

    /// Makes all replicas equal after the journal went back to what it was before: of two that differ, the one that had come
    /// further counts.
    pub fn begin_audit_after_restore(&mut self, furthest: &[NodeId]) -> u64 {
        let number = |id: &NodeId| (0..self.nodes.len()).find(|&node| self.nodes[node].id == *id);
        let doubt = Doubt::AllButFirst(furthest.iter().filter_map(number).collect());
        self.start_audit(AuditOrigin::Operator, true, self.seen_at);
        self.audit.doubt = doubt;
        self.audit.number
    }

    /// All replicas are compared again and again, or only when somebody asks for it.
    pub fn set_background_audit(&mut self, background: Option<BackgroundAudit>) {
        self.audit.background = background;
    }

    fn start_audit(&mut self, origin: AuditOrigin, is_repairing: bool, now: Monotonic) {
        if let Some(open) = self.audit.open.take() {
            self.abort(open.id);
        }
        let before = std::mem::take(&mut self.audit);
        let (mut unequal, mut strays) = (before.unequal, before.strays);
        unequal.retain(|_, found| found.repair.is_open());
        strays.retain(|_, found| found.repair.is_open());
        // What waits for its repair is found once more.
        let repairs = unequal.values_mut().map(|found| &mut found.repair);
        let repairs = repairs.chain(strays.values_mut().map(|found| &mut found.repair));
        repairs.filter(|repair| **repair == RepairState::Waiting).for_each(|repair| *repair = RepairState::NotAsked);
        self.audit = Audit {
            number: before.number + 1,
            origin,
            is_repairing,
            stage: AuditStage::Comparing,
            began: now,
            at_once: 1,
            unequal,
            strays,
            background: before.background,
            started_at: before.started_at,
            repairing: before.repairing,
            sweeps: before.sweeps,
            ..Audit::default()
        };
        let mut indexes: Vec<NodeIndexUid> = self.live().cloned().collect();
        if !indexes.is_empty() && origin == AuditOrigin::Background {
            // After a restart not always the same ones come first.
            let first = (self.head.0 / Position::STEPS_PER_ENTRY) as usize % indexes.len();
            indexes.rotate_left(first);
        }
        for uid in indexes {
            let checks = self.checks_of(&uid);
            self.audit.checks.extend(checks);
        }
        self.audit.planned = self.audit.left();
    }

    /// All of one index. Strays come first: they may explain differences.
    fn checks_of(&self, uid: &NodeIndexUid) -> Vec<Check> {
        let members = (0..self.nodes.len()).filter(|&node| self.topology.is_member(node));
        let search = |node: usize| Check::new(uid.clone(), LookKind::Strays { node }, Vec::new(), false);
        let mut checks: Vec<Check> = members.map(search).collect();
        let is_fit: Vec<bool> = (0..self.nodes.len()).map(|node| self.obstacle(node, uid).is_none()).collect();
        let mut pairs: BTreeMap<[usize; 2], Vec<ShardId>> = BTreeMap::new();
        for (number, owners) in self.topology.owners().iter().enumerate() {
            let first = owners.iter().copied().find(|&node| is_fit[node]).or_else(|| owners.first().copied());
            for &other in owners {
                if let Some(first) = first.filter(|&first| first != other) {
                    pairs.entry([first, other]).or_default().push(ShardId(number as u16));
                }
            }
        }
        let compare = |(nodes, shards)| Check::new(uid.clone(), LookKind::Compare { nodes }, shards, false);
        let begin = checks.len();
        checks.extend(pairs.into_iter().map(compare));
        let compared = &mut checks[begin..];
        if !compared.is_empty() && self.audit.origin == AuditOrigin::Background {
            let first = (self.head.0 / Position::STEPS_PER_ENTRY) as usize % compared.len();
            compared.rotate_left(first);
        }
        checks
    }

    /// Starts the next check, if the last one has ended. Moves go first.
    pub(in crate::logic::feeder::moves) fn advance_audit(&mut self, now: Monotonic) {
        self.begin_background(now);
        if let Some(open) = self.audit.open.take_if(|open| open.check.is_held && !self.transfers.is_open(open.id)) {
            // It was given up: what it held has changed, or it could not be read.
            self.audit.held(open.since, now);
            let unheld = || "the nodes did not stand still for long enough".to_owned();
            self.failed(open.check, open.failure.unwrap_or_else(unheld), now);
        }
        if self.audit.stage == AuditStage::Comparing && self.audit.open.is_none() {
            self.start_check(now);
            if self.audit.open.is_none() && self.audit.checks.is_empty() {
                self.all_compared();
            }
        }
        self.advance_repairs(now);
        if self.audit.stage == AuditStage::Repairing && self.audit.repairs.is_empty() && self.audit.repairing.is_none()
        {
            (self.audit.stage, self.audit.ended) = (AuditStage::Ended, Some(now));
        }
    }

    fn begin_background(&mut self, now: Monotonic) {
        let Some(background) = self.audit.background else { return };
        let interval = background.interval_ms;
        let begins = match self.audit.stage {
            AuditStage::Never => self.audit.started_at.plus_ms(interval.min(FIRST_MS)),
            AuditStage::Ended => self.audit.began.plus_ms(interval),
            AuditStage::Comparing | AuditStage::Repairing => return,
        };
        if now >= begins {
            self.start_audit(AuditOrigin::Background, background.is_repairing, now);
        }
    }

    fn start_check(&mut self, now: Monotonic) {
        if now < self.audit.idle_until {
            return;
        }
        let mut wake = self.again(now);
        for _ in 0..self.audit.checks.len() {
            let Some(mut check) = self.audit.checks.pop_front() else { break };
            let due = check.not_before.max(if check.is_held { self.audit.hold_after } else { self.audit.glance_after });
            let hindrance = if now < due { Hindrance::Wait(due) } else { self.hindrance(&mut check, now) };
            match hindrance {
                Hindrance::None => return self.open_check(check, now),
                Hindrance::Gone => {}
                Hindrance::Wait(until) => {
                    wake = wake.min(until);
                    self.audit.checks.push_back(check);
                }
                Hindrance::Obstacle(reason, patience) => {
                    let since = *check.waits_since.get_or_insert(now);
                    if now >= since.plus_ms(patience) {
                        self.skip(check, reason);
                    } else {
                        check.not_before = self.again(now);
                        self.audit.checks.push_back(check);
                    }
                }
            }
        }
        self.audit.idle_until = wake;
    }

    /// When a check that cannot be made is tried once more.
    fn again(&self, now: Monotonic) -> Monotonic {
        now.plus_ms(self.timing.poll_idle_ms)
    }

    /// Takes out of it what is not to be looked at any more.
    fn hindrance(&mut self, check: &mut Check, now: Monotonic) -> Hindrance {
        let uid = check.index.clone();
        let nodes = check.kind.read();
        let is_there = self.indexes.get(&uid).is_some_and(|state| state.dropped.is_none());
        if let LookKind::Compare { nodes } = check.kind {
            let is_owned = |shard: ShardId| is_there && nodes.iter().all(|&node| self.topology.owns(node, shard));
            let (left, moved): (Vec<ShardId>, Vec<ShardId>) = check.shards.iter().partition(|&&shard| is_owned(shard));
            self.audit.done += moved.len();
            for shard in moved {
                self.decide_case(&(uid.clone(), shard), nodes, Match::Unknown);
            }
            check.shards = left;
        }
        let is_search = matches!(check.kind, LookKind::Strays { .. });
        if !is_there || check.shards.is_empty() && !is_search {
            self.audit.done += usize::from(is_search);
            return Hindrance::Gone;
        }
        if nodes.iter().any(|&node| self.is_in_repair(node, &uid)) {
            return Hindrance::Wait(self.again(now));
        }
        if let Some(reason) = nodes.iter().find_map(|&node| self.obstacle(node, &uid)) {
            return Hindrance::Obstacle(reason, self.timing.in_sync_timeout_ms / 2);
        }
        let is_busy = |&&node: &&usize| {
            let feed = self.feed(node, &uid);
            let is_plain = !feed.is_careful() && feed.split.is_none() && feed.vote.is_none();
            feed.held.is_some() || !is_plain || now < feed.moves_wait
        };
        if let Some(&node) = nodes.iter().find(is_busy).filter(|_| check.is_held) {
            let reason =
                format!("writes to {} do not stand still: it is busy with moves or settings", self.nodes[node].id);
            return Hindrance::Obstacle(reason, 2 * self.timing.hold_ms);
        }
        if self.audit.origin == AuditOrigin::Background && !check.is_held {
            let rests = nodes.iter().map(|&node| self.nodes[node].rest_until).max().filter(|&until| until > now);
            let moves = (self.has_moves() || self.transfers.is_off_hours).then(|| self.again(now));
            if let Some(until) = rests.or(moves) {
                return Hindrance::Wait(until);
            }
        }
        Hindrance::None
    }

    fn open_check(&mut self, mut check: Check, now: Monotonic) {
        let rest = check.shards.split_off(check.shards.len().min(self.audit.at_once.max(1)));
        if !rest.is_empty() {
            self.audit.push_first(Check { shards: rest, ..check.clone() });
        }
        check.waits_since = None;
        let id = if check.is_held {
            let parts = check.shards.iter().map(|&shard| (None, shard)).collect();
            self.start_transfer(check.index.clone(), check.kind, parts, now)
        } else {
            self.transfers.new_id()
        };
        let is_handed = check.is_held;
        self.audit.open = Some(Open { id, check, since: now, is_handed, failure: None });
    }

    /// The look that no feed is held for; handed out once.
    pub(in crate::logic::feeder::moves) fn next_glance(&mut self, now: Monotonic) -> Option<Look> {
        let open = self.audit.open.as_mut().filter(|open| !open.is_handed)?;
        (open.is_handed, open.since) = (true, now);
        let (transfer, kind, index) = (open.id, open.check.kind, open.check.index.clone());
        let shards = match kind {
            LookKind::Strays { node } => {
                let all = (0..self.topology.owners().len()).map(|number| ShardId(number as u16));
                all.filter(|&shard| !self.may_hold(node, shard)).collect()
            }
            LookKind::Compare { .. } | LookKind::Copy { .. } => open.check.shards.clone(),
        };
        Some(Look { transfer, index, shards, at: None, kind, cuts: 0 })
    }

    /// Why a look failed; it is given up in the next round.
    pub(in crate::logic::feeder::moves) fn note_failure(&mut self, id: TransferId, reason: &str) {
        if let Some(open) = self.audit.open.as_mut().filter(|open| open.id == id) {
            open.failure = Some(reason.to_owned());
        }
    }

    /// What a glance that took so long means for the next ones.
    pub(super) fn paced(&mut self, check: &Check, took: u64, now: Monotonic) {
        let audit = &mut self.audit;
        audit.at_once = match took {
            0..250 if check.shards.len() >= audit.at_once => (audit.at_once * 2).min(AT_ONCE_MAX),
            0..=READ_MS => audit.at_once,
            _ => (audit.at_once / 2).max(1),
        };
        // Nodes are read no longer than copies may keep them busy.
        let share = u64::from(self.tables.pace.throttle.busy_percent.clamp(1, 100));
        let rested = now.plus_ms((took * (100 - share)).div_ceil(share));
        if audit.origin == AuditOrigin::Operator {
            audit.glance_after = rested;
            return;
        }
        for node in check.kind.read() {
            self.transfers.was_busy(node, Monotonic(now.0.saturating_sub(took)), now);
        }
        let audit = &mut self.audit;
        let made = audit.planned.saturating_sub(audit.left()) as u64;
        let interval = audit.background.map_or(0, |background| background.interval_ms);
        let pace = interval.saturating_mul(made) / audit.planned.max(1) as u64;
        // The throttle is to hear of it before the next one.
        audit.glance_after = audit.began.plus_ms(pace).max(rested).max(now.plus_ms(1));
    }

    /// A reading failed: once more, or not at all.
    pub(super) fn failed(&mut self, mut check: Check, reason: String, now: Monotonic) {
        check.failures += 1;
        if check.failures >= FAILURES_MAX {
            return self.skip(check, reason);
        }
        check.not_before = self.again(now);
        self.audit.idle_until = Monotonic(0);
        self.audit.checks.push_back(check);
    }

    fn skip(&mut self, check: Check, reason: String) {
        if let LookKind::Compare { nodes } = check.kind {
            for &shard in &check.shards {
                self.decide_case(&(check.index.clone(), shard), nodes, Match::Unknown);
            }
        }
        self.audit.not_compared.push((check.index, check.kind, check.shards, reason));
    }

    /// What an earlier audit found, and this one does not, is no more.
    fn all_compared(&mut self) {
        let number = self.audit.number;
        let live: Vec<NodeIndexUid> = self.live().cloned().collect();
        let Audit { unequal, strays, not_compared, .. } = &mut self.audit;
        unequal.retain(|(uid, shard), found| {
            let is_skipped = not_compared.iter().any(|(index, _, shards, _)| index == uid && shards.contains(shard));
            live.contains(uid) && (found.audit == number || is_skipped)
        });
        strays.retain(|(uid, node, _), found| {
            let search = LookKind::Strays { node: *node };
            let is_skipped = not_compared.iter().any(|(index, kind, ..)| index == uid && *kind == search);
            live.contains(uid) && (found.audit == number || is_skipped)
        });
        self.audit.cases.clear();
        self.audit.stage = AuditStage::Repairing;
        let is_wanted = self.audit.origin == AuditOrigin::Operator;
        let (compared, skipped) = (self.audit.done, self.audit.not_compared.len());
        let differing = self.differing();
        self.pending.alarms.push(Alarm::Audited { is_wanted, compared, skipped, differing });
    }

    /// Shards whose replicas are known to differ, and places where documents are that do not belong there.
    pub fn differing(&self) -> usize {
        let unequal = self.audit.unequal.values().filter(|found| found.repair.is_open()).count();
        unequal + self.audit.strays.values().filter(|found| found.repair.is_open()).count()
    }

    /// How the comparison of all replicas stands that is under way, or how the last one ended.
    pub fn audit_report(&self) -> AuditReport {
        let audit = &self.audit;
        let name = |&node: &usize| self.nodes[node].id.clone();
        let unequal = |((index, shard), found): (&(NodeIndexUid, ShardId), &Unequal)| UnequalReplicas {
            index: index.clone(),
            shard: *shard,
            documents: found.documents,
            examples: found.examples.clone(),
            alike: found.alike.iter().map(|group| self.names_of(group)).collect(),
            wrong: self.names_of(&found.wrong),
            repair: found.repair,
        };
        let stray = |((index, node, shard), found): (&super::StrayPlace, &Stray)| StrayDocuments {
            index: index.clone(),
            node: name(node),
            shard: *shard,
            documents: found.documents,
            examples: found.examples.clone(),
            repair: found.repair,
        };
        let mut not_compared: Vec<NotCompared> = Vec::new();
        for (index, kind, shards, reason) in &audit.not_compared {
            let nodes: Vec<NodeId> = kind.read().iter().map(name).collect();
            let is_same = |of: &&mut NotCompared| of.index == *index && of.nodes == nodes && of.reason == *reason;
            if let Some(same) = not_compared.iter_mut().find(is_same) {
                same.shards.extend(shards);
            } else {
                let (index, shards, reason) = (index.clone(), shards.clone(), reason.clone());
                not_compared.push(NotCompared { index, nodes, shards, reason });
            }
        }
        for of in &mut not_compared {
            of.shards.sort_unstable();
        }
        let skipped: usize = not_compared.iter().map(|of| of.shards.len().max(1)).sum();
        AuditReport {
            number: audit.number,
            origin: audit.origin,
            is_repairing: audit.is_repairing,
            stage: audit.stage,
            began: audit.began,
            ended: audit.ended,
            done: audit.done,
            total: audit.done + audit.left() + skipped,
            holds: audit.holds,
            longest_hold_ms: audit.longest_hold_ms,
            not_compared,
            unequal: audit.unequal.iter().map(unequal).collect(),
            strays: audit.strays.iter().map(stray).collect(),
        }
    }
}
