//! The state of one node: its task numbers, the request under way, and what its task list shows.

use std::collections::BTreeSet;

use super::feed::Purpose;
use super::upkeep::{UnderWay, Upkeep};
use crate::logic::entry::StepKind;
use crate::logic::ids::{Monotonic, NodeId, NodeIndexUid, NodeTask, Position, ShardId};
use crate::logic::topology::NodeRecord;
use crate::meili::error::ErrorBody;

/// One request to a node. Equal requests do the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Send {
    /// The index by the nodes' name.
    pub index: NodeIndexUid,
    /// Which step.
    pub position: Position,
    /// What it does.
    pub kind: StepKind,
    /// The shards whose chunks make the body; empty for index-wide steps.
    pub shards: Vec<ShardId>,
    /// A step sent shard by shard.
    pub is_split: bool,
    /// The step, or the way back.
    pub purpose: Purpose,
}

impl Send {
    /// What the task carries as `customMetadata` on routes that take it.
    pub fn label(&self) -> Label {
        let shard = if self.is_split { self.shards.first().copied() } else { None };
        match self.purpose {
            Purpose::Do | Purpose::Revert | Purpose::Bootstrap | Purpose::Mend => {
                Label::Step { position: self.position, shard }
            }
            Purpose::Copy { transfer, number } => {
                Label::Copy { transfer: transfer.0, at: self.position, number, shards: self.shards.clone() }
            }
            Purpose::Mark => Label::Mark { shards: self.shards.clone() },
        }
    }
}

/// Tells which send a task on a node comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Label {
    /// `miroir:ENTRY.STEP` or `miroir:ENTRY.STEP.SHARD`.
    Step {
        /// Which step.
        position: Position,
        /// Set when the step was sent shard by shard.
        shard: Option<ShardId>,
    },
    /// `miroir:copy:TRANSFER.POSITION.NUMBER.SHARD.SHARD…`: a chunk of a copy.
    Copy {
        /// See [`super::TransferId`].
        transfer: u64,
        /// As of where the documents were read.
        at: Position,
        /// From 0 on.
        number: u32,
        /// Of the whole copy, ascending.
        shards: Vec<ShardId>,
    },
    /// `miroir:mark:SHARD.SHARD…`: all documents of these shards are deleted; `miroir:mark:`: all without a valid marker.
    Mark {
        /// Ascending.
        shards: Vec<ShardId>,
    },
}

impl Label {
    /// Reads a task's `customMetadata`; none when it is not ours.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("miroir:")?;
        let numbers = |text: &str| -> Option<Vec<u64>> { text.split('.').map(|part| part.parse().ok()).collect() };
        let shard = |number: u64| u16::try_from(number).ok().map(ShardId);
        if let Some(copy) = text.strip_prefix("copy:") {
            let [transfer, at, number, ref shards @ ..] = numbers(copy)?[..] else { return None };
            let shards = shards.iter().copied().map(shard).collect::<Option<Vec<ShardId>>>()?;
            return Some(Self::Copy { transfer, at: Position(at), number: u32::try_from(number).ok()?, shards });
        }
        if let Some(mark) = text.strip_prefix("mark:") {
            let marked = if mark.is_empty() { Vec::new() } else { numbers(mark)? };
            let shards = marked.into_iter().map(shard).collect::<Option<Vec<ShardId>>>()?;
            return Some(Self::Mark { shards });
        }
        let (entry, step, part) = match numbers(text)?[..] {
            [entry, step] => (entry, step, None),
            [entry, step, part] => (entry, step, Some(shard(part)?)),
            _ => return None,
        };
        let is_step = step < Position::STEPS_PER_ENTRY;
        is_step.then(|| Self::Step { position: Position::of(crate::logic::ids::EntryId(entry), step), shard: part })
    }
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |f: &mut std::fmt::Formatter<'_>, shards: &[ShardId], between: &str| {
            shards.iter().enumerate().try_for_each(|(place, shard)| {
                let dot = if place == 0 { between } else { "." };
                write!(f, "{dot}{shard}")
            })
        };
        match self {
            Self::Step { position, shard } => {
                let entry = position.entry().unwrap_or_default();
                write!(f, "miroir:{entry}.{}", position.step())?;
                shard.map_or(Ok(()), |shard| write!(f, ".{shard}"))
            }
            Self::Copy { transfer, at, number, shards } => {
                write!(f, "miroir:copy:{transfer}.{at}.{number}")?;
                list(f, shards, ".")
            }
            Self::Mark { shards } => {
                write!(f, "miroir:mark:")?;
                list(f, shards, "")
            }
        }
    }
}

/// What became of a request.
#[derive(Clone, PartialEq, Debug)]
pub enum SendOutcome {
    /// The node has it as this task.
    Registered(NodeTask),
    /// It may have arrived, or may arrive yet.
    Unclear,
    /// No byte of it reached the node.
    NotSent,
    /// The node asks to come later, or is not fit (no space, wrong key); it has not taken it.
    Busy,
    /// The node finds the request itself wrong (400); it has not taken it.
    Refused(ErrorBody),
    /// The node takes no body of this size (413), or broke off within it; it has not taken it.
    TooLarge(String),
    /// The same of a chunk of a copy that is one document: it cannot be made smaller.
    NeverFits(String),
}

/// The `type` of a task on a node, as far as Miroir sends such.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeenKind {
    /// Documents put.
    Put,
    /// Documents deleted, some or all.
    Deletion,
    /// Index created.
    Create,
    /// Settings changed.
    Settings,
    /// Primary key set.
    PrimaryKey,
    /// Index deleted.
    Drop,
    /// Finished tasks deleted.
    Housekeeping,
    /// Disk space of an index given back, a snapshot made, or search rules told, which no feeder does.
    Upkeep,
    /// Nothing that Miroir sends.
    Foreign,
}

impl SeenKind {
    pub(super) fn of(kind: StepKind) -> Self {
        match kind {
            StepKind::Put(_) => Self::Put,
            StepKind::Delete | StepKind::Clear => Self::Deletion,
            StepKind::Create => Self::Create,
            StepKind::Settings => Self::Settings,
            StepKind::PrimaryKey => Self::PrimaryKey,
            StepKind::Drop => Self::Drop,
        }
    }

    fn has_label(self) -> bool {
        match self {
            Self::Put | Self::Deletion => true,
            Self::Create
            | Self::Settings
            | Self::PrimaryKey
            | Self::Drop
            | Self::Housekeeping
            | Self::Upkeep
            | Self::Foreign => false,
        }
    }
}

/// How a task ended.
#[derive(Clone, PartialEq, Debug)]
pub enum End {
    /// Done.
    Succeeded,
    /// One server would fail the task.
    Rejected(ErrorBody),
    /// The node's fault (disk, internal) or somebody canceled it: never a verdict.
    Retry(String),
}

/// A task as the node's list shows it.
#[derive(Clone, PartialEq, Debug)]
pub struct SeenTask {
    /// Its number.
    pub task: NodeTask,
    /// The index by the nodes' name.
    pub index: Option<NodeIndexUid>,
    /// Its type.
    pub kind: SeenKind,
    /// From `customMetadata`.
    pub label: Option<Label>,
    /// None while it waits or runs.
    pub end: Option<End>,
    /// The batch it ran in.
    pub batch: Option<u64>,
    /// `deletedDocuments`.
    pub deleted: Option<u64>,
    /// Bytes of an index before and after it was compacted, if the node says so.
    pub sizes: Option<(u64, u64)>,
}

impl SeenTask {
    /// Whether it may be the task of this request.
    pub(super) fn matches(&self, send: &Send) -> bool {
        self.kind == SeenKind::of(send.kind)
            && self.index.as_ref() == Some(&send.index)
            && (!self.kind.has_label() || self.label == Some(send.label()))
    }
}

/// A request without an answer, or the requests of an earlier life of this process.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Unclear {
    /// None after a start: whatever it was, it is not adopted.
    pub what: Option<InFlight>,
    /// After this it is not expected any more.
    pub until: Monotonic,
    /// That has passed: the next list of tasks tells whether it came.
    pub is_over: bool,
}

impl Unclear {
    pub(super) fn new(what: Option<InFlight>, until: Monotonic) -> Self {
        Self { what, until, is_over: false }
    }
}

/// The request under way.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum InFlight {
    Step {
        send: Send,
        ids: Vec<u64>,
    },
    /// These finished tasks are to be deleted.
    Housekeeping(Vec<NodeTask>),
    /// The node is to do this.
    Upkeep(Upkeep),
    /// It is told who it is.
    Identity,
}

/// See the module.
#[derive(Debug)]
pub(super) struct NodeState {
    pub id: NodeId,
    pub record: NodeRecord,
    /// First number that is not accounted for.
    pub next_task: NodeTask,
    /// Answers beyond a gap: the tasks in between are not accounted for yet.
    pub known_ahead: BTreeSet<NodeTask>,
    pub in_flight: Option<InFlight>,
    pub unclear: Option<Unclear>,
    /// Nothing is asked of the node before.
    pub wait_until: Monotonic,
    pub failures: u32,
    pub poll_at: Monotonic,
    pub poll_gap_ms: u64,
    /// Indexes with something to send or to collect.
    pub active: BTreeSet<NodeIndexUid>,
    /// The index served last.
    pub cursor: Option<NodeIndexUid>,
    /// Ended and collected: may be deleted on the node.
    pub finished: Vec<NodeTask>,
    /// No copy to it begins before.
    pub rest_until: Monotonic,
    /// It has not answered since then.
    pub away_since: Option<Monotonic>,
    /// It answered when it was asked last.
    pub is_reachable: bool,
    /// It may be another server than before: it was away, or its list lacks the last task that was known.
    pub is_doubtful: bool,
    /// By this task it learns who it is.
    pub identifying: Option<NodeTask>,
    /// Its task numbers went back: it is another or an emptied server.
    pub is_lost: bool,
    /// Its list lacks a task of ours that had not ended.
    pub is_missing: bool,
    /// Questions for its tasks, and the number of the last one that it answered.
    pub polls_begun: u64,
    pub polls_answered: u64,
    /// What the node does, or is about to do, for itself.
    pub upkeep: Option<UnderWay>,
}

impl super::Fleet {
    /// All members.
    pub fn members(&self) -> Vec<NodeId> {
        let members = (0..self.nodes.len()).filter(|&node| self.topology.is_member(node));
        members.map(|node| self.nodes[node].id.clone()).collect()
    }

    /// A node's name and URL.
    pub fn address(&self, node: usize) -> (NodeId, String) {
        (self.nodes[node].id.clone(), self.nodes[node].record.url.clone())
    }

    /// Nodes that get nothing because a request may still arrive there, and for how many milliseconds.
    pub fn quarantines(&self, now: Monotonic) -> Vec<(NodeId, u64)> {
        let left = |node: &NodeState| {
            let left = node.unclear.as_ref()?.until.0.checked_sub(now.0)?;
            Some((node.id.clone(), left))
        };
        self.nodes.iter().filter_map(left).collect()
    }
}

impl NodeState {
    pub(super) fn new(record: NodeRecord, next_task: NodeTask) -> Self {
        Self {
            id: record.id.clone(),
            record,
            next_task,
            known_ahead: BTreeSet::new(),
            in_flight: None,
            unclear: None,
            wait_until: Monotonic(0),
            failures: 0,
            poll_at: Monotonic(0),
            poll_gap_ms: 0,
            active: BTreeSet::new(),
            cursor: None,
            finished: Vec::new(),
            rest_until: Monotonic(0),
            away_since: None,
            is_reachable: false,
            is_doubtful: false,
            identifying: None,
            is_lost: false,
            is_missing: false,
            polls_begun: 0,
            polls_answered: 0,
            upkeep: None,
        }
    }

    /// The last task that is accounted for.
    pub(super) fn newest_known(&self) -> Option<NodeTask> {
        self.next_task.0.checked_sub(1).map(NodeTask)
    }

    /// A request is under way to it, or may still arrive, that may change documents of this index.
    pub(super) fn may_still_get(&self, uid: &NodeIndexUid) -> bool {
        let concerns = |what: &InFlight| match what {
            InFlight::Step { send, .. } => send.index == *uid,
            InFlight::Upkeep(_) | InFlight::Housekeeping(_) | InFlight::Identity => false,
        };
        self.in_flight.as_ref().is_some_and(concerns)
            || self.unclear.as_ref().is_some_and(|unclear| unclear.what.as_ref().is_none_or(concerns))
    }

    /// Accounts for one number, and for the answers that follow it without a gap.
    pub(super) fn account(&mut self, task: NodeTask) {
        if task >= self.next_task {
            self.next_task = NodeTask(task.0 + 1);
        }
        while self.known_ahead.first().is_some_and(|&first| first <= self.next_task) {
            let first = self.known_ahead.pop_first().expect("just seen");
            self.next_task = self.next_task.max(NodeTask(first.0 + 1));
        }
    }

    /// The index after the one served last, round and round.
    pub(super) fn turn(&mut self) -> Option<NodeIndexUid> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = self.cursor.as_ref().map_or(Unbounded, Excluded);
        let next =
            self.active.range::<NodeIndexUid, _>((after, Unbounded)).next().or_else(|| self.active.first()).cloned();
        self.cursor.clone_from(&next);
        next
    }
}
