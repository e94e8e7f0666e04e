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
mod compaction;
mod dumping;
mod embedding;
mod feed;
mod identity;
mod in_sync;
mod index;
mod mend;
mod moves;
mod node;
mod renaming;
mod report;
mod rewind;
mod send;
mod step;
#[cfg(test)]
mod tests;
mod topology;
mod trimming;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use changes::{Alarm, Changes, Publication, Report, ReportStatus};
pub use compaction::DueCompaction;
pub use dumping::{DueDump, Reading};
pub use feed::{Purpose, ReaderProgress};
pub use identity::{Bearer, IDENTITY_INDEX, is_itself};
pub use mend::SettingsMark;
pub use moves::{
    AuditOrigin, AuditReport, AuditStage, BackgroundAudit, FoundStrays, LOOKS_AT_ONCE, LastCopy, Look, LookKind,
    LookOutcome, NotCompared, RepairState, StrayDocuments, TransferId, UnequalReplicas, UnequalShard,
};
pub use node::{End, Label, SeenKind, SeenTask, Send, SendOutcome};
pub use renaming::Renaming;
pub use report::Resolve;
pub use send::Action;
pub use step::{JournalUnavailable, JournalView, Needs, StepInfo, steps_of};
pub use trimming::Needed;
pub use upkeep::Upkeep;

use self::feed::{Feed, Sync, Version};
use self::index::IndexState;
use self::moves::{Audit, Bootstrap, Job, Transfers};
use self::node::{NodeState, Unclear};
use self::report::Task;
use self::topology::Topology;
use self::trimming::Noted;
use super::entry::{Entry, Operation, Resolution};
use super::ids::{EntryId, IndexUid, JobId, Monotonic, NodeId, NodeIndexUid, NodeTask, Position, ShardId};
use super::topology::{BootstrapRecord, JobRecord, JoinRecord, NodeRecord, Tables};
use crate::meili::error::ErrorBody;

/// What is over is remembered so many quarantines long, for requests that come too late.
pub const QUARANTINES_REMEMBERED: u64 = 10;

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
    /// How long writes to a replica may be held up while its documents are read.
    pub hold_ms: u64,
    /// What every node has applied stays in the journal this long, for requests that come too late.
    pub keep_ms: u64,
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
            hold_ms: 30_000,
            keep_ms: 30_000 * QUARANTINES_REMEMBERED,
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
    /// Before a node gets a foreign document every core knows that it must be asked with the filter, and before an old
    /// owner loses its documents every core knows that it does not own them any more.
    pub announce: bool,
    /// Requests that began before have ended, too.
    pub drain: bool,
    /// A copy is compared with its source before the table changes.
    pub verify: bool,
    /// An old owner is fed until every new owner is in sync.
    pub old_fed: bool,
    /// What a node has lost is rebuilt from its peers.
    pub rebuild: bool,
    /// What a late request may have done to documents that no feed repairs is done away with.
    pub stray: bool,
    /// Nothing of an index is sent past a renaming before every core knows the new name.
    pub rename: bool,
    /// Nothing of an index is sent past a dump before its documents are read.
    pub dump: bool,
    /// The journal keeps what any member may come to, not only those that verdicts need.
    pub trim: bool,
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
        announce: true,
        drain: true,
        verify: true,
        old_fed: true,
        rebuild: true,
        stray: true,
        rename: true,
        dump: true,
        trim: true,
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
    /// What ended entries carry that come before this one may be gone.
    pub needed_from: EntryId,
}

/// What a start is made from: all of it read from the store.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Start {
    /// All nodes, numbered by their place here.
    pub nodes: Vec<NodeRecord>,
    /// Which of them own what, now and soon.
    pub tables: Tables,
    /// Moves that have begun.
    pub jobs: Vec<JobRecord>,
    /// Their parts by index.
    pub joins: Vec<JoinRecord>,
    /// The number of the next job.
    pub next_job: JobId,
    /// Replicas whose main stream has not begun.
    pub bootstraps: Vec<BootstrapRecord>,
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
    topology: Topology,
    /// Of the tables, what is not in the topology.
    tables: Tables,
    next_job: JobId,
    transfers: Transfers,
    audit: Audit,
    /// The last position of the journal.
    head: Position,
    nodes: Vec<NodeState>,
    indexes: BTreeMap<NodeIndexUid, IndexState>,
    /// Entries without an outcome, as far as they are loaded.
    tasks: BTreeMap<EntryId, Task>,
    /// Those that touch no index.
    without_index: BTreeSet<EntryId>,
    /// Those that changed what readers see, which no publication has shown yet.
    to_show: BTreeSet<EntryId>,
    /// The last deletion or renaming of an index of each name, while it is unreported.
    freed: BTreeMap<IndexUid, EntryId>,
    /// Unreported renamings.
    renaming: BTreeSet<EntryId>,
    /// Unreported compactions of indexes that clients want.
    compactions: BTreeSet<EntryId>,
    /// Unreported snapshots.
    snapshots: upkeep::Snapshots,
    /// Changes of search rules that are not done yet.
    rule_changes: BTreeSet<EntryId>,
    /// Unreported dumps.
    dumps: dumping::Dumps,
    verdicts: BTreeMap<(Position, ShardId), ErrorBody>,
    /// Changes for the next transaction, which has the number `version`.
    pending: changes::Pending,
    version: Version,
    stored: Version,
    /// Transactions that readers must hear of.
    publish_in: BTreeSet<Version>,
    /// The topology that readers see from each transaction on, the last stored one first.
    shown: VecDeque<(Version, changes::Shown)>,
    /// Entries below may have been sent in an earlier life.
    first_of_this_life: EntryId,
    /// What the journal is about to forget.
    noted: Option<Noted>,
    /// Indexes that [`Fleet::control`] looks at.
    attention: BTreeSet<NodeIndexUid>,
    /// The last moment that a driver has named.
    seen_at: Monotonic,
}

impl Fleet {
    /// The state after a start: nothing is known but what was stored. Unreported entries follow with [`Fleet::load`].
    pub fn start(start: &Start, timing: Timing, rules: Rules, now: Monotonic) -> Self {
        let until = now.plus_ms(timing.quarantine_ms);
        let nodes = start.nodes.iter().map(|record| {
            let next_task = start.next_task.get(&record.id).copied().unwrap_or_default();
            let state = NodeState::new(record.clone(), next_task);
            // Somebody else may have taken its place meanwhile.
            NodeState { unclear: Some(Unclear::new(None, until)), is_doubtful: true, ..state }
        });
        let mut fleet = Self {
            rules,
            timing,
            topology: topology_of(start),
            tables: Tables { owners: Vec::new(), plan: Vec::new(), mends: Vec::new(), ..start.tables.clone() },
            next_job: start.next_job,
            transfers: Transfers::default(),
            audit: Audit::new(now),
            head: Position::of(start.next_entry, 0).before(),
            shown: VecDeque::new(),
            nodes: nodes.collect(),
            indexes: BTreeMap::new(),
            tasks: BTreeMap::new(),
            without_index: BTreeSet::new(),
            to_show: BTreeSet::new(),
            freed: BTreeMap::new(),
            renaming: BTreeSet::new(),
            compactions: BTreeSet::new(),
            snapshots: upkeep::Snapshots::default(),
            rule_changes: BTreeSet::new(),
            dumps: dumping::Dumps::default(),
            verdicts: start.verdicts.iter().map(|(at, shard, error)| ((*at, *shard), error.clone())).collect(),
            pending: changes::Pending::default(),
            version: 1,
            stored: 0,
            publish_in: BTreeSet::new(),
            first_of_this_life: start.next_entry,
            noted: None,
            attention: BTreeSet::new(),
            seen_at: now,
        };
        for index in &start.indexes {
            fleet.start_index(start, index);
        }
        for record in &start.bootstraps {
            fleet.start_bootstrap(record);
        }
        start.tables.mends.iter().for_each(|record| fleet.start_mend(record));
        fleet.topology.sort_jobs();
        fleet.shown.push_back((0, fleet.shown_now()));
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
        // A deletion may have to be done again.
        state.needed_from = index.dropped_by.map_or(index.needed_from, |dropped| dropped.min(index.needed_from));
        state.dropped = index.dropped_by.map(|entry| Position::of(entry, 0));
        // Whatever is older than this life is read from the journal.
        state.complete_after = Position::of(start.next_entry, 0).before();
        for (feed, node) in state.feeds.iter_mut().zip(&start.nodes) {
            let key = (node.id.clone(), index.index.clone());
            *feed = Feed::new(start.applied.get(&key).copied().unwrap_or(created.before()));
            feed.needs_rebuild = start.needs_rebuild.contains(&key);
            if start.out_of_sync.contains(&key) || feed.needs_rebuild || !node.state.is_member() {
                feed.sync = Sync::Out;
            }
        }
        self.indexes.insert(index.index.clone(), state);
        self.attention.insert(index.index.clone());
        for node in &mut self.nodes {
            node.active.insert(index.index.clone());
        }
    }

    fn start_bootstrap(&mut self, record: &BootstrapRecord) {
        let node = (0..self.nodes.len()).find(|&node| self.nodes[node].id == record.node);
        let Some(node) = node.filter(|_| self.indexes.contains_key(&record.index)) else { return };
        let feed = self.feed_mut(node, &record.index);
        feed.bootstrap = Some(Bootstrap { at: record.at, stage: record.stage, gate: Some(feed::Stage::new(0)) });
        feed.sync = Sync::Out;
    }

    /// An entry from an earlier life that has no outcome. In order; entries of task deletion are left out.
    pub fn load(&mut self, entry: &Entry, resolution: Option<&Resolution>) {
        let index = self.add_task(entry, resolution);
        if let Some(state) = index.and_then(|uid| self.indexes.get_mut(&uid)) {
            // Nothing of it is gone, whatever it carries.
            state.needed_from = state.needed_from.min(entry.id);
        }
    }

    /// Ends the quarantine of the start on every node where nothing was left to do: nothing can be under way there. To be
    /// called once, after everything is loaded.
    pub fn end_needless_quarantine(&mut self, journal: &dyn JournalView) -> Result<(), JournalUnavailable> {
        let mut is_done = vec![true; self.nodes.len()];
        let indexes: Vec<NodeIndexUid> = self.indexes.keys().cloned().collect();
        for uid in indexes {
            let due = self.due_steps(&uid, journal)?;
            let feeds = &self.index(&uid).feeds;
            for ((done, due), feed) in is_done.iter_mut().zip(due).zip(feeds) {
                *done &= due.is_none() && feed.bootstrap.is_none() && feed.mend.is_none();
            }
        }
        for job in self.topology.jobs.values() {
            // Chunks and deletions are not in the journal.
            job.target.iter().chain(&job.old_owner).for_each(|&node| is_done[node] = false);
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
        self.head = Position(first.0 + Position::STEPS_PER_ENTRY).before();
        let Some(state) = self.indexes.get_mut(&index) else { return };
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
        let exchanged = task.renaming.iter().flat_map(|renaming| &renaming.exchanged);
        let names: Vec<&IndexUid> = entry.index.iter().chain(exchanged.flat_map(|(old, new)| [old, new])).collect();
        task.after = names.iter().filter_map(|name| self.freed.get(*name).copied()).collect();
        if task.frees_names() {
            self.freed.extend(names.into_iter().map(|name| (name.clone(), entry.id)));
        }
        if let Some(index) = task.target.clone() {
            let topology = &self.topology;
            let new = || {
                let mut state = IndexState::new(Position::of(entry.id, 0), self.nodes.len());
                let gone = state.feeds.iter_mut().enumerate().filter(|(node, _)| !topology.is_member(*node));
                gone.for_each(|(_, feed)| feed.sync = Sync::Out);
                state
            };
            let state = self.indexes.entry(index.clone()).or_insert_with(new);
            state.note_entry(entry.id, &task.steps);
            self.attention.insert(index);
        } else if task.renaming.is_none() && task.chore.is_none() {
            self.without_index.insert(entry.id);
        }
        self.close_gates(&mut task);
        self.note_chore(&task);
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

fn topology_of(start: &Start) -> Topology {
    let number = |id: &NodeId| start.nodes.iter().position(|node| node.id == *id);
    let numbers = |table: &[Vec<NodeId>]| table.iter().map(|nodes| nodes.iter().filter_map(number).collect()).collect();
    let members = start.nodes.iter().map(|node| node.state.is_member()).collect();
    let mut topology = Topology::new(members, numbers(&start.tables.owners), numbers(&start.tables.plan));
    topology.jobs = start.jobs.iter().map(|record| (record.id, Job::load(record, &start.joins, number))).collect();
    topology
}
