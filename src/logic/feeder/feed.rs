//! The state of one (node, index): the watermark, what is under way, and whether readers may use it.

use std::collections::{BTreeSet, VecDeque};

use super::moves::{Bootstrap, TransferId};
use super::step::StepInfo;
use crate::logic::entry::StepKind;
use crate::logic::ids::{Epoch, Monotonic, NodeTask, Position, ShardId};
use crate::logic::topology::Mend;
use crate::meili::error::ErrorBody;

/// Numbers the transactions of protocol state: a change belongs to one, and is durable once that one is.
pub(super) type Version = u64;

/// How far readers have followed the publications.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReaderProgress {
    /// Whatever begins from now on, on any core, uses this snapshot or a later one.
    pub acknowledged: Epoch,
    /// Nothing that is still under way uses a snapshot older than this one.
    pub drained: Epoch,
}

/// Something that must be stored, then published, then acknowledged by every core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stage {
    /// The transaction that stores it.
    pub stored_in: Version,
    /// The first snapshot that shows it.
    pub epoch: Option<Epoch>,
}

impl Stage {
    pub(super) fn new(stored_in: Version) -> Self {
        Self { stored_in, epoch: None }
    }

    /// No core begins anything with an older snapshot any more.
    pub(super) fn is_acknowledged(self, acknowledged: Epoch) -> bool {
        self.epoch.is_some_and(|epoch| epoch <= acknowledged)
    }

    /// Nothing that began with an older snapshot is under way any more.
    pub(super) fn is_drained(self, progress: ReaderProgress) -> bool {
        self.epoch.is_some_and(|epoch| epoch <= progress.drained)
    }
}

/// Whether readers may use a replica, and whether verdicts need it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sync {
    /// Read, and needed for verdicts.
    In,
    /// Not to be read, but some core may still do so: needed for verdicts.
    Leaving(Stage),
    /// Read by nobody.
    Out,
    /// Read by nobody yet, but close to its peers: reports wait for it, so that it can catch up with them.
    Joining,
    /// Only without the rule `required`: read, but not needed for verdicts until published.
    Returning(Stage),
}

/// Why a request is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The step itself.
    Do,
    /// The settings before an aborted step.
    Revert,
    /// An index is made, with its settings, as they are now.
    Bootstrap,
    /// A chunk of the documents that a transfer reads.
    Copy {
        /// Which.
        transfer: TransferId,
        /// From 0 on.
        number: u32,
    },
    /// All documents of these shards are deleted.
    Mark,
    /// Settings, or the primary key, as they are now: somebody else has changed them on the node.
    Mend,
}

/// What a node said to a step that the fleet votes on.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Vote {
    Took,
    Rejected(ErrorBody),
}

/// A node has failed with these chunks of a step since an embedder did; see [`super::embedding`].
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Stand {
    pub position: Position,
    pub shards: Vec<ShardId>,
    pub error: ErrorBody,
}

/// A task that a node has for us.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Sent {
    pub task: NodeTask,
    pub position: Position,
    pub kind: StepKind,
    /// The shards in it; empty for index-wide steps.
    pub shards: Vec<ShardId>,
    /// Sent shard by shard.
    pub is_split: bool,
    pub purpose: Purpose,
    /// Hashes of the ids that a put touches, ascending.
    pub ids: Vec<u64>,
    /// Of a deletion by marker: something may have come after it, so it counts for nothing.
    pub is_void: bool,
    pub end: Option<SentEnd>,
}

/// How a task of ours ended on its node.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct SentEnd {
    pub end: super::node::End,
    /// Its batch held other tasks.
    pub was_shared: bool,
    pub deleted: Option<u64>,
}

/// Steps read ahead from the journal for a node that lags behind the window. Only steps that touch the node.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead {
    /// Complete for `from < position <= to`.
    pub from: Position,
    pub to: Position,
    pub steps: VecDeque<StepInfo>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    /// Watermark: every step up to here that touches the node is resolved there.
    pub applied: Position,
    /// Last step that was sent, or needs no sending.
    pub pos: Position,
    pub sent: VecDeque<Sent>,
    /// One at a time up to this step; position 0 when in flow.
    pub careful: Position,
    /// The last step that was ever begun in this life, whatever became of it.
    pub begun: Position,
    /// The shards of the step after `pos` that are still to be sent alone.
    pub split: Option<VecDeque<ShardId>>,
    /// Which step that is.
    pub split_at: Position,
    pub vote: Option<Vote>,
    /// Where it waits for others, and has nothing under way.
    pub stand: Option<Stand>,
    /// Chunks beyond the watermark that the node took, and that are sent again since one before them failed.
    pub taken: BTreeSet<(Position, ShardId)>,
    /// After a rewind: back in sync only when `applied` reaches this.
    pub goal: Position,
    pub sync: Sync,
    /// The transaction that stores that it is in sync again.
    pub came_back_in: Version,
    /// No replay repairs it: nothing is sent, and it stays out.
    pub needs_rebuild: bool,
    /// The transaction that will store the last change.
    pub changed_in: Version,
    /// Nothing is sent before `changed_in` is stored.
    pub must_store: bool,
    /// The node said that nothing of the index is pending, and nothing was sent since.
    pub is_idle: bool,
    /// A task that this life has not sent is unfinished on the node: nothing joins its batch.
    pub awaits_idle: bool,
    /// The next step touches a document that an unfinished put touches.
    pub is_hidden: bool,
    /// Nothing is sent before.
    pub wait_until: Monotonic,
    pub failures: u32,
    /// The last index-wide step it passed in this life.
    pub last_barrier: Option<(Position, StepKind)>,
    /// Where its peers were while it was behind them, and when.
    pub lag: Option<(Position, Monotonic)>,
    pub ahead: Ahead,
    /// No step after the first and up to the second position touches the node.
    pub barren: (Position, Position),
    /// Nothing beyond a position is sent, for the sake of a transfer.
    pub held: Option<(TransferId, Position)>,
    /// What must be done before the main stream begins.
    pub bootstrap: Option<Bootstrap>,
    /// Marks go out alone: one has failed with its neighbours.
    pub is_apart: bool,
    /// No transfer begins before.
    pub moves_wait: Monotonic,
    /// What somebody else has changed, and is to be sent again.
    pub mend: Option<Mend>,
    /// Requests that change the settings, the primary key or the existence of the index.
    pub settings_sent: u64,
}

impl Purpose {
    /// The transfer that it is a chunk of.
    pub(super) fn transfer(self) -> Option<TransferId> {
        match self {
            Self::Copy { transfer, .. } => Some(transfer),
            Self::Do | Self::Revert | Self::Bootstrap | Self::Mark | Self::Mend => None,
        }
    }

    /// Not of the journal, but of a job or a repair: its end says nothing about any step.
    pub(super) fn is_of_job(self) -> bool {
        match self {
            Self::Copy { .. } | Self::Mark | Self::Mend => true,
            Self::Do | Self::Revert | Self::Bootstrap => false,
        }
    }
}

impl Feed {
    pub(super) fn new(applied: Position) -> Self {
        Self {
            applied,
            pos: applied,
            sent: VecDeque::new(),
            careful: Position(0),
            begun: Position(0),
            split: None,
            split_at: Position(0),
            vote: None,
            stand: None,
            taken: BTreeSet::new(),
            goal: Position(0),
            sync: Sync::In,
            came_back_in: 0,
            needs_rebuild: false,
            changed_in: 0,
            must_store: false,
            is_idle: false,
            awaits_idle: false,
            is_hidden: false,
            wait_until: Monotonic(0),
            failures: 0,
            last_barrier: None,
            lag: None,
            ahead: Ahead::default(),
            barren: (Position(0), Position(0)),
            held: None,
            bootstrap: None,
            is_apart: false,
            moves_wait: Monotonic(0),
            mend: None,
            settings_sent: 0,
        }
    }

    /// What it has taken, as far as it is sent again from `first` on.
    pub(super) fn taken_from(&self, first: Position) -> BTreeSet<(Position, ShardId)> {
        let is_taken = |sent: &&Sent| {
            let is_done = sent.end.as_ref().is_some_and(|end| end.end == super::node::End::Succeeded);
            is_done && sent.purpose == Purpose::Do && sent.kind.is_document()
        };
        let now = self.sent.iter().filter(is_taken);
        let now = now.flat_map(|sent| sent.shards.iter().map(|&shard| (sent.position, shard)));
        self.taken.iter().copied().chain(now).filter(|&(position, _)| position >= first).collect()
    }

    /// What the node is fed has changed: what was read ahead, or cut, for it is not what it gets.
    pub(super) fn reroute(&mut self, is_fed: impl Fn(ShardId, Position) -> bool) {
        self.ahead = Ahead::default();
        self.barren = (Position(0), Position(0));
        let at = self.split_at;
        if let Some(split) = &mut self.split {
            split.retain(|&shard| is_fed(shard, at));
        }
        self.split.take_if(|split| split.is_empty());
    }

    /// Nothing is sent before this transaction is stored.
    pub(super) fn store_first(&mut self, version: Version) {
        (self.changed_in, self.must_store) = (version, true);
    }

    pub(super) fn is_careful(&self) -> bool {
        self.careful > Position(0)
    }

    /// Nothing of it is under way, or to be sent again, and nothing holds it up.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_plain = !self.is_careful() && self.split.is_none() && self.vote.is_none() && self.goal <= self.applied;
        is_plain && self.sent.is_empty() && self.held.is_none() && self.bootstrap.is_none() && !self.needs_rebuild
    }

    /// Verdicts need it.
    pub(super) fn is_required(&self) -> bool {
        match self.sync {
            Sync::In | Sync::Leaving(_) | Sync::Joining => true,
            Sync::Out | Sync::Returning(_) => false,
        }
    }

    /// A read may rely on it, now and in the snapshots to come.
    pub(super) fn is_in_sync(&self) -> bool {
        match self.sync {
            Sync::In | Sync::Returning(_) => true,
            Sync::Leaving(_) | Sync::Out | Sync::Joining => false,
        }
    }

    /// It begins anew, and some core does not know that yet: the watermark says nothing of what is read there.
    pub(super) fn is_read_in_vain(&self) -> bool {
        matches!(self.sync, Sync::Leaving(_)) && self.bootstrap.is_some()
    }

    /// The index-wide step that it passed last or that is under way.
    pub(super) fn barrier_reached(&self) -> Position {
        let under_way = self.sent.iter().filter(|sent| sent.kind.is_barrier()).map(|sent| sent.position).max();
        self.applied.max(under_way.unwrap_or_default())
    }
}
