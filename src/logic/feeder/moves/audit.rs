//! Comparing the replicas that are in sync, shard by shard: what no checksum of one node can show.
//!
//! Every owner of a shard is compared with the first one, at a glance: both are read while everything goes on, and what is
//! equal then is equal. What is not may only be on its way to one of them, so it is compared once more while both feeds are
//! **held** at one position. If that differs too, all owners of the shard are compared with each other, and [`judge`] says
//! who is wrong, if there is a sign. Besides, every member is searched for **strays**: documents that belong to no shard
//! which it has. What is known to be wrong is put right ([`repair`]) if that is wanted, and reported in any case.
//!
//! One look at a time. Moves go first. In the background looks are spread over the interval, and the time that a node was
//! read counts as time that moves kept it busy. Nothing of this survives a start but the repairs, which are jobs.

mod judge;
mod repair;
mod report;
mod run;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::judge::{Doubt, Match, Matches, judge};
use self::repair::Repair;
use super::Job;
use crate::logic::feeder::feed::Sync;
use crate::logic::feeder::{Alarm, Fleet, LookKind, LookOutcome};
use crate::logic::ids::{JobId, Monotonic, NodeId, NodeIndexUid, ShardId};
use crate::logic::topology::{JobStep, NodeState as Wanted};

pub use self::report::{
    AuditOrigin, AuditReport, AuditStage, BackgroundAudit, FoundStrays, NotCompared, RepairState, StrayDocuments,
    UnequalReplicas, UnequalShard,
};

/// Readings of one check that may fail before it is given up.
const FAILURES_MAX: u32 = 3;

/// A look at two replicas of some shards, or a search of one node for strays.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Check {
    index: NodeIndexUid,
    kind: LookKind,
    /// Ascending; empty for a search.
    shards: Vec<ShardId>,
    /// The nodes stand still.
    is_held: bool,
    failures: u32,
    /// It cannot be made since then.
    waits_since: Option<Monotonic>,
    not_before: Monotonic,
}

/// The check that is being made.
#[derive(Debug)]
struct Open {
    id: super::TransferId,
    check: Check,
    since: Monotonic,
    /// A driver has it.
    is_handed: bool,
    /// Why it failed.
    failure: Option<String>,
}

/// A shard that was found unequal while its replicas stood still.
#[derive(Debug)]
struct Case {
    /// All that owned it then.
    owners: Vec<usize>,
    matches: Matches,
    documents: u64,
    examples: Vec<String>,
}

/// What is known of a shard.
#[derive(Clone, Debug)]
struct Unequal {
    /// The audit that saw it last.
    audit: u64,
    documents: u64,
    examples: Vec<String>,
    alike: Vec<Vec<usize>>,
    wrong: Vec<usize>,
    repair: RepairState,
}

/// What is known of documents where they do not belong.
#[derive(Clone, Debug)]
struct Stray {
    /// The audit that saw them last.
    audit: u64,
    documents: u64,
    examples: Vec<String>,
    repair: RepairState,
}

/// The node, and the shard by the marker.
type StrayPlace = (NodeIndexUid, usize, Option<ShardId>);

/// The comparison that is under way, or the last one.
#[derive(Debug, Default)]
pub(in crate::logic::feeder) struct Audit {
    number: u64,
    background: Option<BackgroundAudit>,
    /// The life of the process began.
    started_at: Monotonic,
    origin: AuditOrigin,
    is_repairing: bool,
    /// Wrong where nothing else says who is.
    doubt: Doubt,
    stage: AuditStage,
    began: Monotonic,
    ended: Option<Monotonic>,
    /// What is yet to be looked at.
    checks: VecDeque<Check>,
    open: Option<Open>,
    done: usize,
    /// All at the beginning.
    planned: usize,
    /// Shards in one check: as many as are read within a second.
    at_once: usize,
    /// No check is due before.
    idle_until: Monotonic,
    /// No glance begins before: those of the background are spread over their interval.
    glance_after: Monotonic,
    /// No hold begins before: writes that the last one held up go first.
    hold_after: Monotonic,
    /// Holds so far, and how long the longest lasted.
    holds: usize,
    longest_hold_ms: u64,
    not_compared: Vec<(NodeIndexUid, LookKind, Vec<ShardId>, String)>,
    cases: BTreeMap<(NodeIndexUid, ShardId), Case>,
    /// Ids of documents without a marker.
    unmarked: BTreeMap<(usize, NodeIndexUid), BTreeSet<String>>,
    unequal: BTreeMap<(NodeIndexUid, ShardId), Unequal>,
    strays: BTreeMap<StrayPlace, Stray>,
    repairs: VecDeque<Repair>,
    /// The repair that is under way, by these jobs.
    repairing: Option<(Repair, Vec<JobId>)>,
    /// Where documents without a marker are to be deleted.
    sweeps: BTreeSet<(usize, NodeIndexUid)>,
}

impl Check {
    fn new(index: NodeIndexUid, kind: LookKind, shards: Vec<ShardId>, is_held: bool) -> Self {
        Self { index, kind, shards, is_held, failures: 0, waits_since: None, not_before: Monotonic(0) }
    }

    /// What it counts for.
    fn size(&self) -> usize {
        self.shards.len().max(1)
    }
}

impl Audit {
    /// None yet, in a life that begins now.
    pub(in crate::logic::feeder) fn new(now: Monotonic) -> Self {
        Self { started_at: now, ..Self::default() }
    }

    /// A look that no feed is held for.
    pub(super) fn is_glance(&self, id: super::TransferId) -> bool {
        self.open.as_ref().is_some_and(|open| open.id == id && !open.check.is_held)
    }

    pub(super) fn has_glance(&self) -> bool {
        self.open.as_ref().is_some_and(|open| !open.check.is_held)
    }

    /// Documents without a marker are to be deleted there.
    pub(super) fn is_swept(&self, node: usize, uid: &NodeIndexUid) -> bool {
        self.sweeps.iter().any(|(of, index)| *of == node && index == uid)
    }

    /// They are.
    pub(super) fn swept(&mut self, node: usize, uid: &NodeIndexUid) {
        self.sweeps.remove(&(node, uid.clone()));
    }

    fn left(&self) -> usize {
        let waiting: usize = self.checks.iter().map(Check::size).sum();
        waiting + self.open.as_ref().map_or(0, |open| open.check.size())
    }

    /// Writes were held up from the one time to the other; the next ones go on for as long.
    fn held(&mut self, since: Monotonic, now: Monotonic) {
        let took = now.0.saturating_sub(since.0);
        self.hold_after = now.plus_ms(took);
        self.holds += 1;
        self.longest_hold_ms = self.longest_hold_ms.max(took);
    }

    /// First of all checks.
    fn push_first(&mut self, check: Check) {
        self.idle_until = Monotonic(0);
        self.checks.push_front(check);
    }

    /// Two replicas are compared while they stand still; shards of the same two wait together.
    fn compare_held(&mut self, index: &NodeIndexUid, nodes: [usize; 2], shard: ShardId) {
        let kind = LookKind::Compare { nodes };
        let is_same = |check: &&mut Check| check.is_held && check.index == *index && check.kind == kind;
        let Some(check) = self.checks.iter_mut().find(is_same) else {
            return self.push_first(Check::new(index.clone(), kind, vec![shard], true));
        };
        if let Err(place) = check.shards.binary_search(&shard) {
            check.shards.insert(place, shard);
        }
    }
}

impl Fleet {
    /// A driver gave its answer to a look that no feed was held for.
    pub(super) fn glanced(&mut self, outcome: LookOutcome, now: Monotonic) {
        let Some(Open { check, since, .. }) = self.audit.open.take() else { return };
        self.paced(&check, now.0.saturating_sub(since.0), now);
        match (outcome, check.kind) {
            (LookOutcome::Compared { unequal }, LookKind::Compare { nodes }) => {
                self.audit.done += check.shards.len() - unequal.len().min(check.shards.len());
                for found in unequal {
                    self.audit.compare_held(&check.index, nodes, found.shard);
                }
            }
            (LookOutcome::Strays { found }, LookKind::Strays { node }) => {
                self.audit.done += 1;
                self.strays_found(node, &check.index, found);
            }
            // Documents may have been deleted while it was reading: not so while the nodes stand still.
            (LookOutcome::Failed(_), LookKind::Compare { .. }) => {
                self.audit.push_first(Check { is_held: true, ..check });
            }
            (LookOutcome::Failed(reason), _) => self.failed(check, reason, now),
            (LookOutcome::Copied { .. } | LookOutcome::Compared { .. } | LookOutcome::Strays { .. }, _) => {
                self.failed(check, "it was answered as if something else had been asked".to_owned(), now);
            }
        }
        self.advance_audit(now);
    }

    /// What the comparison of two replicas that stood still came to.
    pub(super) fn audited(&mut self, unequal: &[UnequalShard]) {
        let Some(Open { check, since, .. }) = self.audit.open.take() else { return };
        let LookKind::Compare { nodes } = check.kind else { return };
        self.audit.held(since, self.seen_at);
        self.audit.done += check.shards.len();
        for &shard in &check.shards {
            self.matched(&check.index, nodes, shard, unequal.iter().find(|found| found.shard == shard));
        }
    }

    fn matched(&mut self, uid: &NodeIndexUid, nodes: [usize; 2], shard: ShardId, unequal: Option<&UnequalShard>) {
        let key = (uid.clone(), shard);
        let found = match unequal {
            None => Match::Equal,
            Some(unequal) => {
                let is_explained = [0, 1].map(|side| {
                    let unmarked = self.audit.unmarked.get(&(nodes[side], uid.clone()));
                    let is_unmarked = |id: &String| unmarked.is_some_and(|ids| ids.contains(id));
                    let are_all_unmarked =
                        unequal.examples.len() as u64 == unequal.documents && unequal.examples.iter().all(is_unmarked);
                    are_all_unmarked || unequal.misplaced[side] >= unequal.documents
                });
                self.open_case(&key, nodes);
                Match::Unequal { is_explained }
            }
        };
        if let (Some(case), Some(unequal)) = (self.audit.cases.get_mut(&key), unequal)
            && unequal.documents > case.documents
        {
            (case.documents, case.examples) = (unequal.documents, unequal.examples.clone());
        }
        self.decide_case(&key, nodes, found);
    }

    /// All owners of the shard are to be compared with each other.
    fn open_case(&mut self, (uid, shard): &(NodeIndexUid, ShardId), nodes: [usize; 2]) {
        let key = (uid.clone(), *shard);
        if self.audit.cases.contains_key(&key) {
            return;
        }
        let owners = self.topology.owners_of(*shard).to_vec();
        for pair in pairs(&owners).filter(|&[first, second]| !nodes.contains(&first) || !nodes.contains(&second)) {
            self.audit.compare_held(uid, pair, *shard);
        }
        let case = Case { owners, matches: Matches::new(), documents: 0, examples: Vec::new() };
        self.audit.cases.insert(key, case);
    }

    /// Notes what came of two owners, and judges when all are known.
    fn decide_case(&mut self, key: &(NodeIndexUid, ShardId), [first, second]: [usize; 2], found: Match) {
        let Some(case) = self.audit.cases.get_mut(key) else { return };
        let found = if first < second { found } else { found.turned() };
        case.matches.insert([first.min(second), first.max(second)], found);
        if !pairs(&case.owners)
            .all(|[first, second]| case.matches.contains_key(&[first.min(second), first.max(second)]))
        {
            return;
        }
        let Some(case) = self.audit.cases.remove(key) else { return };
        let judgement = judge(&case.owners, &case.matches, &self.audit.doubt);
        let repair = if judgement.wrong.is_empty() { RepairState::NoSign } else { RepairState::NotAsked };
        let (uid, shard) = key.clone();
        let named = |nodes: &Vec<usize>| self.names_of(nodes);
        self.pending.alarms.push(Alarm::ReplicasDiffer {
            index: uid,
            shard,
            alike: judgement.alike.iter().map(named).collect(),
            wrong: named(&judgement.wrong),
            documents: case.documents,
            examples: case.examples.clone(),
        });
        let found = Unequal {
            audit: self.audit.number,
            documents: case.documents,
            examples: case.examples,
            alike: judgement.alike,
            wrong: judgement.wrong,
            repair,
        };
        self.audit.unequal.insert(key.clone(), found);
        self.plan_repairs();
    }

    /// What a search of a node came to.
    fn strays_found(&mut self, node: usize, uid: &NodeIndexUid, found: Vec<FoundStrays>) {
        let place = (node, uid.clone());
        self.audit.unmarked.remove(&place);
        for FoundStrays { shard, documents, ids } in found {
            // It may have come to the node, or be on its way there, since the look began.
            if shard.is_some_and(|shard| self.may_hold(node, shard)) {
                continue;
            }
            let examples: Vec<String> = ids.iter().take(EXAMPLES_MAX).cloned().collect();
            if shard.is_none() {
                self.audit.unmarked.insert(place.clone(), ids.into_iter().collect());
            }
            let (id, index) = (self.nodes[node].id.clone(), uid.clone());
            let ids = examples.clone();
            self.pending.alarms.push(Alarm::Strays { node: id, index, shard, documents, examples: ids });
            let stray = Stray { audit: self.audit.number, documents, examples, repair: RepairState::NotAsked };
            self.audit.strays.insert((uid.clone(), node, shard), stray);
        }
        self.plan_repairs();
    }

    /// Sorted.
    fn names_of(&self, nodes: &[usize]) -> Vec<NodeId> {
        let mut names: Vec<NodeId> = nodes.iter().map(|&node| self.nodes[node].id.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Documents of a shard may be on a node by right: it owns the shard, or a job moves it.
    fn may_hold(&self, node: usize, shard: ShardId) -> bool {
        let mut jobs = self.topology.jobs.values();
        self.topology.owns(node, shard) || jobs.any(|job| job.shard == shard && job.has_part(node))
    }

    /// Why a replica cannot be looked at now.
    fn obstacle(&self, node: usize, uid: &NodeIndexUid) -> Option<String> {
        let (state, feed) = (&self.nodes[node], self.feed(node, uid));
        let name = &state.id;
        if !self.topology.is_member(node) {
            Some(format!("{name} is no member any more"))
        } else if state.is_lost || feed.needs_rebuild || self.is_rebuilding(node, uid) {
            Some(format!("{name} is being rebuilt"))
        } else if !state.is_reachable {
            Some(format!("{name} does not answer"))
        } else if state.record.state == Wanted::Maintenance {
            Some(format!("{name} is in maintenance"))
        } else if feed.sync != Sync::In {
            Some(format!("{name} is out of sync"))
        } else {
            None
        }
    }

    /// Shards are on their way between nodes. What waits for a node that does not answer may take for ever: it is left aside.
    fn has_moves(&self) -> bool {
        let waits_for = |job: &Job| match job.step {
            JobStep::Announce | JobStep::Copy | JobStep::Switched => {
                job.target.into_iter().chain(self.topology.owners_of(job.shard).iter().copied()).collect()
            }
            JobStep::Clean | JobStep::Undo => Vec::new(),
        };
        let gets_on = |nodes: Vec<usize>| !nodes.is_empty() && nodes.iter().all(|&node| self.nodes[node].is_reachable);
        self.topology.jobs.values().map(waits_for).any(gets_on)
    }
}

/// Ids in a report of one finding.
const EXAMPLES_MAX: usize = 10;

/// Every two of some nodes.
fn pairs(nodes: &[usize]) -> impl Iterator<Item = [usize; 2]> {
    let rest = |place: usize| nodes[place + 1..].iter().copied();
    nodes.iter().enumerate().flat_map(move |(place, &first)| rest(place).map(move |second| [first, second]))
}
