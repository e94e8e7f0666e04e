//! The feeder protocol: which node gets which step when, and what is known to be applied, as a pure state machine.
//!
//! [`Fleet`] holds the protocol state of all nodes and indexes. A driver (threads in `control_plane`, a loop in the
//! simulation) asks it what to do ([`Fleet::next`]), does it, and tells it what happened; time, answers and the journal
//! are arguments. Nothing here blocks. The rules and their reasons are in `docs/FEEDER-PROTOCOL.md`.
//!
//! What the driver owes:
//! * one request at a time per node;
//! * changes ([`Fleet::take_changes`]) are committed in the order in which they were taken, and reported with
//!   [`Fleet::stored`] afterwards, never before; everything that depends on them waits for that by itself;
//! * a publication ([`Fleet::publication`]) is published as it was handed out, then reported ([`Fleet::published`]).

mod changes;
mod collect;
mod feed;
mod in_sync;
mod index;
mod node;
mod report;
mod rewind;
mod send;
mod step;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use changes::{Alarm, Changes, Publication, Report, ReportStatus};
pub use feed::{Purpose, ReaderProgress};
pub use node::{End, Label, SeenKind, SeenTask, Send, SendOutcome};
pub use report::Resolve;
pub use send::Action;
pub use step::{Holdings, JournalUnavailable, JournalView, Needs, StepInfo, steps_of};

use self::feed::{Feed, Sync, Version};
use self::index::IndexState;
use self::node::{NodeState, Unclear};
use self::report::Task;
use super::entry::{Entry, Operation, Resolution};
use super::ids::{EntryId, IndexUid, Monotonic, NodeId, NodeIndexUid, NodeTask, Position, ShardId};
use crate::meili::error::ErrorBody;

/// How patient the protocol is. Milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// An unclear request may still arrive this long.
    pub quarantine_ms: u64,
    /// A replica that is this far behind its peers leaves the in-sync set.
    pub in_sync_timeout_ms: u64,
    /// Between two looks at a node on which nothing is under way.
    pub poll_idle_ms: u64,
    /// Between two looks at a node that works for us: from the first to the second, doubling.
    pub poll_busy_ms: (u64, u64),
    /// After a node asked to come later: from the first to the second, doubling.
    pub backoff_ms: (u64, u64),
    /// Steps of one index under way on one node.
    pub window: usize,
    /// Finished tasks on a node that are deleted with one request; 0 leaves them.
    pub housekeeping: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            quarantine_ms: 30_000,
            in_sync_timeout_ms: 10_000,
            poll_idle_ms: 1_000,
            poll_busy_ms: (5, 200),
            backoff_ms: (100, 5_000),
            window: 16,
            housekeeping: 200,
        }
    }
}

/// The rules that the simulation leaves out one by one, to show that each is needed. All on outside of tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Ask the node that nothing of the index is pending before a step that must be alone.
    pub idle: bool,
    /// An aborted settings step sends the settings before it to every node, whatever is known of its vote.
    pub revert: bool,
    /// Creations and deletions are reported when every core has the new names.
    pub map: bool,
    /// No id is sent again while an unfinished put touches it.
    pub hide: bool,
    /// A failure in a batch with other tasks is no verdict.
    pub batch: bool,
    /// Look for unknown task numbers even when idle.
    pub poll: bool,
    /// A replica that comes back is needed for verdicts before it is read.
    pub required: bool,
    /// A rewind starts when every core has stopped to read the replica.
    pub hold: bool,
    /// The watermark is stored before and after each index-wide step.
    pub store: bool,
    /// The out-of-sync set is stored before it is published.
    pub outdur: bool,
    /// Nothing is sent past an entry that is not resolved.
    pub resolve: bool,
    /// A decision is stored before it is acted upon.
    pub decide: bool,
    /// Verdicts need a leaving replica until every core has stopped to read it.
    pub leave: bool,
    /// A stranger from before an index-wide step is not rewound to.
    pub far: bool,
    /// A step that goes out in parts waits until all before it has ended.
    pub apart: bool,
}

impl Rules {
    /// What runs.
    pub const ALL: Self = Self {
        idle: true,
        revert: true,
        map: true,
        hide: true,
        batch: true,
        poll: true,
        required: true,
        hold: true,
        store: true,
        outdur: true,
        resolve: true,
        decide: true,
        leave: true,
        far: true,
        apart: true,
    };
}

/// An index at the start.
#[derive(Clone, PartialEq, Debug)]
pub struct IndexStart {
    /// Its name on the nodes.
    pub index: NodeIndexUid,
    /// The entry that creates it.
    pub created_by: EntryId,
    /// The entry that deletes it, if it is in the journal.
    pub dropped_by: Option<EntryId>,
    /// The last step of the last reported entry that touches it; position 0 when none is.
    pub top_reported: Position,
}

/// What a start is made from: all of it read from the store.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Start {
    /// All nodes, numbered by their place here.
    pub nodes: Vec<NodeId>,
    /// Watermarks; a missing one stands just before the creation of its index.
    pub applied: BTreeMap<(NodeId, NodeIndexUid), Position>,
    /// See [`crate::store::ProtocolState`].
    pub next_task: BTreeMap<NodeId, NodeTask>,
    /// The same.
    pub out_of_sync: BTreeSet<(NodeId, NodeIndexUid)>,
    /// The same.
    pub needs_rebuild: BTreeSet<(NodeId, NodeIndexUid)>,
    /// The same.
    pub verdicts: Vec<(Position, ShardId, ErrorBody)>,
    /// The same, with the index of the step; true for commit.
    pub decisions: BTreeMap<Position, (NodeIndexUid, bool)>,
    /// All indexes that are kept.
    pub indexes: Vec<IndexStart>,
    /// The number of the next entry.
    pub next_entry: EntryId,
}

/// The protocol state of all nodes and indexes.
#[derive(Debug)]
pub struct Fleet {
    rules: Rules,
    timing: Timing,
    holdings: Holdings,
    nodes: Vec<NodeState>,
    indexes: BTreeMap<NodeIndexUid, IndexState>,
    /// Entries without an outcome, as far as they are loaded.
    tasks: BTreeMap<EntryId, Task>,
    /// Those that touch no index.
    without_index: BTreeSet<EntryId>,
    /// Those that changed what readers see, which no publication has shown yet.
    to_show: BTreeSet<EntryId>,
    /// The last deletion of an index of each name, while it is unreported.
    drops: BTreeMap<IndexUid, EntryId>,
    verdicts: BTreeMap<(Position, ShardId), ErrorBody>,
    /// Changes for the next transaction, which has the number `version`.
    pending: changes::Pending,
    version: Version,
    stored: Version,
    /// Transactions that readers must hear of.
    publish_in: BTreeSet<Version>,
    /// Entries below may have been sent in an earlier life.
    first_of_this_life: EntryId,
    /// Indexes that [`Fleet::control`] looks at.
    attention: BTreeSet<NodeIndexUid>,
}

impl Fleet {
    /// The state after a start: nothing is known but what was stored. Unreported entries follow with [`Fleet::load`].
    pub fn start(start: &Start, holdings: Holdings, timing: Timing, rules: Rules, now: Monotonic) -> Self {
        let until = now.plus_ms(timing.quarantine_ms);
        let nodes = start.nodes.iter().map(|id| {
            let next_task = start.next_task.get(id).copied().unwrap_or_default();
            NodeState { unclear: Some(Unclear { what: None, until }), ..NodeState::new(id.clone(), next_task) }
        });
        let mut fleet = Self {
            rules,
            timing,
            holdings,
            nodes: nodes.collect(),
            indexes: BTreeMap::new(),
            tasks: BTreeMap::new(),
            without_index: BTreeSet::new(),
            to_show: BTreeSet::new(),
            drops: BTreeMap::new(),
            verdicts: start.verdicts.iter().map(|(at, shard, error)| ((*at, *shard), error.clone())).collect(),
            pending: changes::Pending::default(),
            version: 1,
            stored: 0,
            publish_in: BTreeSet::new(),
            first_of_this_life: start.next_entry,
            attention: BTreeSet::new(),
        };
        for index in &start.indexes {
            fleet.start_index(start, index);
        }
        for (&at, (index, is_commit)) in &start.decisions {
            if let Some(state) = fleet.indexes.get_mut(index) {
                state.decisions.insert(at, (*is_commit, 0));
            }
        }
        fleet
    }

    fn start_index(&mut self, start: &Start, index: &IndexStart) {
        let created = Position::of(index.created_by, 0);
        let mut state = IndexState::new(created, self.nodes.len());
        state.top_reported = index.top_reported;
        state.dropped = index.dropped_by.map(|entry| Position::of(entry, 0));
        // Whatever is older than this life is read from the journal.
        state.complete_after = Position::of(start.next_entry, 0).before();
        for (feed, id) in state.feeds.iter_mut().zip(&start.nodes) {
            let key = (id.clone(), index.index.clone());
            *feed = Feed::new(start.applied.get(&key).copied().unwrap_or(created.before()));
            feed.needs_rebuild = start.needs_rebuild.contains(&key);
            if start.out_of_sync.contains(&key) || feed.needs_rebuild {
                feed.sync = Sync::Out;
            }
        }
        self.indexes.insert(index.index.clone(), state);
        self.attention.insert(index.index.clone());
        for node in &mut self.nodes {
            node.active.insert(index.index.clone());
        }
    }

    /// An entry from an earlier life that has no outcome. In order; entries of task deletion are left out.
    pub fn load(&mut self, entry: &Entry, resolution: Option<&Resolution>) {
        self.add_task(entry, resolution);
    }

    /// Ends the quarantine of the start on every node where nothing was left to do: nothing can be under way there. To be
    /// called once, after everything is loaded.
    pub fn end_needless_quarantine(&mut self, journal: &dyn JournalView) -> Result<(), JournalUnavailable> {
        let mut is_done = vec![true; self.nodes.len()];
        let indexes: Vec<NodeIndexUid> = self.indexes.keys().cloned().collect();
        for uid in indexes {
            for (done, due) in is_done.iter_mut().zip(self.due_steps(&uid, journal)?) {
                *done &= due.is_none();
            }
        }
        for (node, _) in self.nodes.iter_mut().zip(is_done).filter(|(_, is_done)| *is_done) {
            node.unclear = None;
        }
        Ok(())
    }

    /// An entry that was just committed. In order, without a gap; entries of task deletion are left out.
    pub fn add(&mut self, entry: &Entry) {
        let Some(index) = self.add_task(entry, None) else { return };
        let first = Position::of(entry.id, 0);
        let count = self.nodes.len();
        let state = self.indexes.entry(index.clone()).or_insert_with(|| IndexState::new(first, count));
        if matches!(entry.operation, Operation::DeleteIndex) {
            state.dropped = Some(first);
        }
        state.steps.extend(steps_of(entry, None));
        for node in &mut self.nodes {
            node.active.insert(index.clone());
        }
    }

    /// Returns the index if nodes are concerned.
    fn add_task(&mut self, entry: &Entry, resolution: Option<&Resolution>) -> Option<NodeIndexUid> {
        let mut task = Task::new(entry, resolution, entry.id < self.first_of_this_life);
        if let Some(name) = &entry.index {
            task.after = self.drops.get(name).copied();
            if matches!(entry.operation, Operation::DeleteIndex) {
                self.drops.insert(name.clone(), entry.id);
            }
        }
        if let Some(index) = task.target.clone() {
            let (first, count) = (Position::of(entry.id, 0), self.nodes.len());
            let state = self.indexes.entry(index.clone()).or_insert_with(|| IndexState::new(first, count));
            state.note_entry(entry.id, &task.steps);
            self.attention.insert(index);
        } else {
            self.without_index.insert(entry.id);
        }
        let index = task.target.clone();
        self.tasks.insert(entry.id, task);
        index
    }

    /// The watermark of a (node, index); none for an unknown index.
    pub fn applied(&self, node: usize, index: &NodeIndexUid) -> Option<Position> {
        self.indexes.get(index).map(|state| state.feeds[node].applied)
    }

    fn index(&self, uid: &NodeIndexUid) -> &IndexState {
        self.indexes.get(uid).expect("indexes are kept while anything refers to them")
    }

    fn feed(&self, node: usize, uid: &NodeIndexUid) -> &Feed {
        &self.index(uid).feeds[node]
    }

    fn feed_mut(&mut self, node: usize, uid: &NodeIndexUid) -> &mut Feed {
        let state = self.indexes.get_mut(uid).expect("indexes are kept while anything refers to them");
        &mut state.feeds[node]
    }

    /// Notes that the watermark changed: the next transaction stores it.
    fn changed(&mut self, node: usize, uid: &NodeIndexUid) {
        self.pending.applied.insert((node, uid.clone()));
        self.attention.insert(uid.clone());
        let version = self.version;
        self.feed_mut(node, uid).changed_in = version;
    }

    fn advance(&mut self, node: usize, uid: &NodeIndexUid, to: Position) {
        let state = self.indexes.get_mut(uid).expect("indexes are kept while anything refers to them");
        let feed = &mut state.feeds[node];
        if to > feed.applied {
            let from = std::mem::replace(&mut feed.applied, to);
            if feed.careful <= to {
                feed.careful = Position(0);
            }
            state.look_between(from, to);
            self.changed(node, uid);
        }
    }

    /// A decision that may be acted upon.
    fn decision(&self, uid: &NodeIndexUid, position: Position) -> Option<bool> {
        let &(is_commit, stored_in) = self.index(uid).decisions.get(&position)?;
        (stored_in <= self.stored || !self.rules.decide).then_some(is_commit)
    }
}
