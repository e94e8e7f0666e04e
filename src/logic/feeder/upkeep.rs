//! What nodes do for themselves, and which changes no document: compacting an index, making a snapshot.
//!
//! It is none of the feed: its task jumps the node's queue, so nothing waits for it but the node itself, and one at a time
//! is under way on a node. Clients may want it by an entry. A compaction is done when every replica that is needed for
//! verdicts has done it; one whose node has not answered for as long as the quarantine lasts is left out. Snapshots go from one member to the next, so that searches find all others; a member that does not
//! answer for as long as the quarantine lasts is left out, and the entry fails. After a restart an entry begins anew.

use std::collections::{BTreeSet, VecDeque};

use super::Fleet;
use super::node::{End, InFlight, SeenTask};
use super::report::Task;
use super::send::Action;
use crate::logic::entry::{Entry, Operation};
use crate::logic::ids::{EntryId, Monotonic, NodeId, NodeIndexUid, NodeTask};
use crate::logic::topology::CompactionWish;
use crate::meili::error::{ApiError, Code, ErrorBody};

/// What a node does for itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Upkeep {
    /// Gives back the disk space of an index.
    Compact(NodeIndexUid),
    /// Makes a snapshot of itself.
    Snapshot,
}

impl Upkeep {
    /// The index that it concerns.
    pub fn index(&self) -> Option<&NodeIndexUid> {
        match self {
            Self::Compact(index) => Some(index),
            Self::Snapshot => None,
        }
    }
}

/// One that was begun, or is about to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct UnderWay {
    pub upkeep: Upkeep,
    /// Once the node has it.
    pub task: Option<NodeTask>,
}

impl UnderWay {
    pub(super) fn new(upkeep: Upkeep) -> Self {
        Self { upkeep, task: None }
    }
}

/// What an entry wants of nodes beside their feeds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Chore {
    Compaction {
        is_begun: bool,
        /// Bytes before and after, of the nodes that have done it.
        sizes: Option<(u64, u64)>,
    },
    Snapshot,
    /// Somebody else tells the nodes, and says when they know.
    Rules {
        /// Rules that were deleted, if all were to be.
        deleted: Option<u64>,
    },
    /// See [`super::dumping`].
    Dump,
    /// To the feeds the same as a dump.
    Export,
}

impl Chore {
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        match (&entry.rejection, &entry.operation) {
            (None, Operation::CompactIndex) => Some(Self::Compaction { is_begun: false, sizes: None }),
            (None, Operation::CreateSnapshot) => Some(Self::Snapshot),
            (None, Operation::ChangeRules(_)) => Some(Self::Rules { deleted: None }),
            (None, Operation::CreateDump) => Some(Self::Dump),
            (None, Operation::Export(_)) => Some(Self::Export),
            (Some(_) | None, _) => None,
        }
    }

    /// All documents are read at its position.
    pub(super) fn reads_all(&self) -> bool {
        match self {
            Self::Dump | Self::Export => true,
            Self::Compaction { .. } | Self::Snapshot | Self::Rules { .. } => false,
        }
    }

    /// Bytes before and after a compaction.
    pub(super) fn sizes(&self) -> Option<(u64, u64)> {
        match self {
            Self::Compaction { sizes, .. } => *sizes,
            Self::Snapshot | Self::Rules { .. } | Self::Dump | Self::Export => None,
        }
    }

    /// What it has deleted.
    pub(super) fn deleted(&self) -> Option<u64> {
        match self {
            Self::Rules { deleted } => *deleted,
            Self::Compaction { .. } | Self::Snapshot | Self::Dump | Self::Export => None,
        }
    }
}

/// Snapshots that clients want.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    waiting: BTreeSet<EntryId>,
    round: Option<Round>,
}

/// One node after the other.
#[derive(Debug)]
struct Round {
    entry: EntryId,
    left: VecDeque<usize>,
    /// The node that makes one now.
    at: Option<usize>,
    /// The next node is waited for since then.
    since: Monotonic,
}

impl Fleet {
    pub(super) fn note_chore(&mut self, task: &Task) {
        match task.chore {
            Some(Chore::Compaction { .. }) => drop(self.compactions.insert(task.entry)),
            Some(Chore::Snapshot) => drop(self.snapshots.waiting.insert(task.entry)),
            Some(Chore::Rules { .. }) => drop(self.rule_changes.insert(task.entry)),
            Some(Chore::Dump | Chore::Export) => self.dumps.add(task.entry),
            None => {}
        }
    }

    /// Begins what entries want, and reports what is done.
    pub(super) fn do_chores(&mut self, now: Monotonic) {
        for entry in self.compactions.iter().copied().collect::<Vec<EntryId>>() {
            self.advance_compaction(entry, now);
        }
        self.advance_snapshots(now);
        self.advance_dumps(now);
    }

    /// Changes of search rules that are not done yet, the oldest first.
    pub fn rule_changes(&self) -> Vec<EntryId> {
        self.rule_changes.iter().copied().collect()
    }

    /// Somebody has begun with a change of search rules.
    pub fn rule_change_begun(&mut self, entry: EntryId) {
        if self.rule_changes.contains(&entry) {
            self.pending.begun.push(entry);
        }
    }

    /// A change of search rules is done, and has deleted so many where all were to be deleted.
    pub fn rule_change_done(&mut self, entry: EntryId, count: Option<u64>) {
        if !self.rule_changes.remove(&entry) {
            return;
        }
        if let Some(Chore::Rules { deleted }) = self.tasks.get_mut(&entry).and_then(|task| task.chore.as_mut()) {
            *deleted = count;
        }
        self.report(entry);
    }

    /// A client wants an index compacted, and some node can begin with it.
    pub fn is_compaction_wanted(&self) -> bool {
        !self.compactions.is_empty() && self.compactions_due().iter().any(|due| due.is_asked)
    }

    /// It has not answered for as long as a request may be under way: its file stays as it is.
    fn is_long_away(&self, node: usize, now: Monotonic) -> bool {
        self.nodes[node].away_since.is_some_and(|since| now >= since.plus_ms(self.timing.quarantine_ms))
    }

    fn advance_compaction(&mut self, entry: EntryId, now: Monotonic) {
        let task = &self.tasks[&entry];
        let Some(uid) = task.target.clone() else { return };
        let Some(Chore::Compaction { is_begun, .. }) = task.chore else { return };
        let is_gone = self.indexes.get(&uid).is_none_or(|state| state.dropped.is_some());
        let is_needed = |node: &usize| self.feed(*node, &uid).is_required() && !self.is_long_away(*node, now);
        let members = if is_gone { Vec::new() } else { self.member_numbers() };
        let needed: Vec<usize> = members.into_iter().filter(is_needed).collect();
        if needed.is_empty() && !is_gone {
            return; // Nobody is there.
        }
        if !is_begun && !is_gone {
            if !needed.iter().all(|&node| self.may_compact(node, &uid)) {
                return; // It is not there yet.
            }
            for node in self.member_numbers() {
                if self.may_compact(node, &uid) {
                    self.compaction_mut(node, &uid).wish = CompactionWish::Asked;
                }
            }
            self.pending.begun.push(entry);
            if let Some(Chore::Compaction { is_begun, .. }) =
                self.tasks.get_mut(&entry).and_then(|task| task.chore.as_mut())
            {
                *is_begun = true;
            }
            return;
        }
        let is_wanted = |node: &usize| {
            let id = &self.nodes[*node].id;
            let asked = |record: &crate::logic::topology::CompactionRecord| {
                record.node == *id && record.index == uid && record.wish == CompactionWish::Asked
            };
            self.tables.compactions.iter().any(asked)
        };
        if is_gone || !needed.iter().any(is_wanted) {
            self.compactions.remove(&entry);
            self.report(entry);
        }
    }

    fn advance_snapshots(&mut self, now: Monotonic) {
        if self.snapshots.round.is_none() {
            let Some(&entry) = self.snapshots.waiting.first() else { return };
            let left = self.member_numbers().into();
            self.snapshots.round = Some(Round { entry, left, at: None, since: now });
            self.pending.begun.push(entry);
        }
        let Some(mut round) = self.snapshots.round.take() else { return };
        if let Some(node) = round.at {
            let is_making = |under_way: &UnderWay| under_way.upkeep == Upkeep::Snapshot;
            if self.nodes[node].upkeep.as_ref().is_some_and(is_making) {
                if !self.is_long_away(node, now) {
                    self.snapshots.round = Some(round);
                    return;
                }
                self.nodes[node].upkeep = None;
                self.fail_chore(round.entry, no_snapshot(&self.nodes[node].id));
            }
            (round.at, round.since) = (None, now);
        }
        while let Some(&node) = round.left.front() {
            if !self.topology.is_member(node) {
                round.left.pop_front();
                continue;
            }
            let state = &self.nodes[node];
            let answers = state.is_reachable && !state.is_lost && !state.is_doubtful && state.unclear.is_none();
            if answers && state.upkeep.is_none() {
                round.left.pop_front();
                round.at = Some(node);
                self.nodes[node].upkeep = Some(UnderWay::new(Upkeep::Snapshot));
                self.snapshots.round = Some(round);
                return;
            }
            if state.upkeep.is_some() || now < round.since.plus_ms(self.timing.quarantine_ms) {
                self.snapshots.round = Some(round);
                return;
            }
            let error = no_snapshot(&state.id);
            round.left.pop_front();
            round.since = now;
            self.fail_chore(round.entry, error);
        }
        self.snapshots.waiting.remove(&round.entry);
        self.report(round.entry);
    }

    /// The entry fails in the end; the first reason counts.
    pub(super) fn fail_chore(&mut self, entry: EntryId, error: ErrorBody) {
        if let Some(task) = self.tasks.get_mut(&entry) {
            task.error.get_or_insert(error);
        }
    }

    /// What the node is to be sent, before anything of the feeds.
    pub(super) fn turn_for_upkeep(&mut self, node: usize) -> Option<Action> {
        let state = &mut self.nodes[node];
        let upkeep = state.upkeep.as_ref().filter(|under_way| under_way.task.is_none())?.upkeep.clone();
        state.in_flight = Some(InFlight::Upkeep(upkeep.clone()));
        Some(Action::Maintain(upkeep))
    }

    /// The node has it as this task.
    pub(super) fn upkeep_registered(&mut self, node: usize, task: NodeTask) {
        if let Some(under_way) = &mut self.nodes[node].upkeep {
            under_way.task = Some(task);
        }
    }

    /// Looks whether it has ended. Returns whether it has.
    pub(super) fn collect_upkeep(&mut self, node: usize, asked: &[NodeTask], seen: &[SeenTask]) -> bool {
        let Some(task) = self.nodes[node].upkeep.as_ref().and_then(|under_way| under_way.task) else {
            return false;
        };
        let (end, sizes) = match seen.binary_search_by_key(&task, |seen| seen.task) {
            Ok(found) => (seen[found].end.clone(), seen[found].sizes),
            // Its end is not known, but it had its turn.
            Err(_) if asked.binary_search(&task).is_ok() => (Some(End::Succeeded), None),
            Err(_) => (None, None),
        };
        let Some(end) = end else { return false };
        self.nodes[node].finished.push(task);
        self.upkeep_ended(node, end, sizes);
        true
    }

    /// It has ended, or the node refuses it, with the bytes of an index before and after.
    pub(super) fn upkeep_ended(&mut self, node: usize, end: End, sizes: Option<(u64, u64)>) {
        let Some(UnderWay { upkeep, .. }) = self.nodes[node].upkeep.take() else { return };
        let error = match &end {
            End::Succeeded => None,
            End::Rejected(error) => Some(error.clone()),
            End::Retry(reason) => {
                let message = format!("Node {}: {reason}", self.nodes[node].id);
                Some(ApiError::new(Code::Internal, message).body())
            }
        };
        match upkeep {
            Upkeep::Compact(index) => {
                self.note_sizes(&index, sizes, error.as_ref());
                self.compaction_ended(node, index, end);
            }
            Upkeep::Snapshot => {
                let entry = self.snapshots.round.as_ref().map(|round| round.entry);
                if let (Some(entry), Some(error)) = (entry, error) {
                    self.fail_chore(entry, error);
                }
            }
        }
    }

    /// For the entries that want the index compacted.
    fn note_sizes(&mut self, index: &NodeIndexUid, found: Option<(u64, u64)>, error: Option<&ErrorBody>) {
        for entry in self.compactions.iter().copied().collect::<Vec<EntryId>>() {
            let Some(task) = self.tasks.get_mut(&entry).filter(|task| task.target.as_ref() == Some(index)) else {
                continue;
            };
            if let (Some(Chore::Compaction { sizes, .. }), Some((before, after))) = (&mut task.chore, found) {
                let (all_before, all_after) = sizes.unwrap_or_default();
                *sizes = Some((all_before + before, all_after + after));
            }
            if let Some(error) = error {
                self.fail_chore(entry, error.clone());
            }
        }
    }
}

fn no_snapshot(node: &NodeId) -> ErrorBody {
    ApiError::new(Code::Internal, format!("Node {node} did not answer: there is no snapshot of it.")).body()
}
