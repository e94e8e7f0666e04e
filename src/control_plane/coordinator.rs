//! Drives the feeder protocol: holds its state, makes it durable, publishes it, and keeps one thread per node feeding.
//!
//! The rules are in [`crate::logic::feeder`]; here are only locks, threads and the order of effects. Lock order: `commits`
//! before `state`; no I/O happens under `state` except reads of the journal for nodes that lag. A transaction is taken
//! from the fleet, committed and reported back while `commits` is held, so transactions are durable in the order in which
//! they were taken. A store that fails is tried again until it works: nothing else goes on meanwhile. After a panic under a
//! lock nothing is sent, stored or reported any more; the process ends, and the next start goes on from what is stored.

mod attending;
mod compacting;
mod comparing;
mod drift;
mod dumping;
mod exporting;
mod feeding;
mod fragile;
mod index_book;
mod journal_view;
mod material;
mod moving;
mod outcome;
mod resolving;
mod ruling;
mod start;
#[cfg(test)]
mod tests;
mod trimming;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Condvar;

use self::attending::Attendance;
use self::fragile::{Fragile, Held};
use self::index_book::IndexBook;
use self::journal_view::StoreView;
use self::outcome::{Reported, outcome, updated};
use super::chunks::Chunks;
use super::journal;
use super::publisher::Publisher;
use super::troubles::{Place, Quarantine, Troubles};
use crate::bridge::Bridge;
use crate::logic::entry::{Entry, Operation, Resolution};
use crate::logic::feeder::{Alarm, Changes, Fleet, Needs, ReaderProgress};
use crate::logic::ids::{EntryId, Epoch, IndexUid, NodeId, Position, Timestamp};
use crate::logic::payload::Payload;
use crate::logic::plan_history::{PlanHistory, PlanRecord};
use crate::logic::throttle::Throttle;
use crate::logic::topology::Tables;
use crate::store::{Decision, ProtocolDelta, Store, StoreError, Verdict};
use crate::telemetry::clock;

pub use self::attending::EnrolError;
pub(super) use self::material::Material;
pub use self::start::{CoordinatorParts, Running, StartError};

/// What to do about a node with a lower limit than its peers.
const TOO_LARGE: &str = "Start the node with a higher --http-payload-size-limit, and set feeder.max_body to the lowest \
                         limit of all nodes.";

/// While cores or requests follow an older snapshot: how often to look.
const READERS_POLL: Duration = Duration::from_millis(2);
/// Otherwise, if nothing happens.
const CONTROL_IDLE: Duration = Duration::from_millis(200);
/// Between two tries of a store that fails.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// See the module.
pub struct Coordinator {
    store: Arc<dyn Store>,
    publisher: Arc<Publisher>,
    bridge: Arc<Bridge>,
    troubles: Troubles,
    commits: Fragile<()>,
    state: Fragile<State>,
    /// Something that feeders may wait for has happened.
    feeders: Condvar,
    /// Something that the control thread and the resolver may wait for has happened.
    control: Condvar,
    /// There is something to read.
    movers: Condvar,
    /// A round of looks at all nodes is due.
    rounds: Condvar,
    /// There may be changes of search rules.
    ruling: Condvar,
    /// The threads are asked to end.
    stopping: Condvar,
    is_stopping: AtomicBool,
    attendance: Attendance,
    /// See [`ClusterRecord::cluster_id`].
    cluster_id: String,
    node_key: Option<String>,
    /// Bytes of a body that every node takes.
    body_max: u64,
    /// The primary key is the nodes' last ranking rule.
    sort_ties_by_id: bool,
    /// Parts of copies on their way.
    chunks: Chunks,
    throttle: parking_lot::Mutex<Throttle>,
    /// Of the cluster; never changes.
    shard_count: u16,
}

/// Everything behind the lock.
struct State {
    fleet: Fleet,
    book: IndexBook,
    /// Entries without an outcome.
    open: HashMap<EntryId, OpenEntry>,
    /// Members as of the last publication of the coordinator, and its epoch.
    members: Vec<NodeId>,
    published: Epoch,
    /// What the protocol was last told of the readers.
    readers: ReaderProgress,
    /// Set when the control thread has something to do.
    is_due: bool,
    /// Set when somebody wants to know now whether settings were changed on the nodes.
    is_check_asked: bool,
    /// As of the last transaction that was taken from the fleet.
    tables: Tables,
    plans: PlanHistory,
}

/// An entry without an outcome.
#[derive(Clone)]
struct OpenEntry {
    entry: Arc<Entry>,
    resolution: Option<Arc<Resolution>>,
    started_at: Option<Timestamp>,
    /// Distinct documents of a put, known once some node got it.
    documents: Option<u64>,
    /// Documents sent to another server, known once all are.
    exported: BTreeMap<IndexUid, u64>,
}

impl OpenEntry {
    fn new(entry: Arc<Entry>, resolution: Option<Resolution>, started_at: Option<Timestamp>) -> Self {
        Self { entry, resolution: resolution.map(Arc::new), started_at, documents: None, exported: BTreeMap::new() }
    }
}

/// The threads are asked to end, or one of them has died.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("stopping")]
pub struct Stopping;

impl State {
    /// The fleet, and the journal that it may look into.
    fn split<'a>(&'a mut self, store: &'a dyn Store) -> (&'a mut Fleet, StoreView<'a>) {
        (&mut self.fleet, StoreView { store, book: &self.book })
    }

    fn note(&mut self, entry: &Arc<Entry>, resolution: Option<Resolution>, started_at: Option<Timestamp>) {
        self.book.note(entry);
        self.open.insert(entry.id, OpenEntry::new(entry.clone(), resolution, started_at));
    }

    /// The last plans, if these changes say anything of them.
    fn note_plans(&mut self, changes: &Changes, now: Timestamp) -> Option<Vec<PlanRecord>> {
        self.plans.jobs_changed(&changes.jobs, &changes.ended_jobs);
        if let Some(tables) = &changes.tables {
            let before = std::mem::replace(&mut self.tables, tables.clone());
            self.plans.tables_changed(&before, tables, now);
        }
        self.plans.take_changed()
    }
}

impl journal::Coordinator for Coordinator {
    fn entries_committed(&self, entries: Vec<Arc<Entry>>) {
        let mut state = self.state.lock();
        for entry in entries.iter().filter(|entry| !journal::is_for_the_desk(&entry.operation)) {
            state.note(entry, None, None);
            state.fleet.add(entry);
        }
        if !state.fleet.rule_changes().is_empty() {
            self.ruling.notify_all();
        }
        self.wake(state, true);
    }
}

impl Coordinator {
    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire) || self.is_broken()
    }

    /// A thread panicked while it held a lock, or changes were lost: what is left cannot be trusted.
    fn is_broken(&self) -> bool {
        self.state.is_broken() || self.commits.is_broken()
    }

    /// Something happened: feeders look again, and the control thread too if it is concerned.
    fn wake(&self, mut state: Held<'_, State>, is_control_due: bool) {
        state.is_due |= is_control_due;
        drop(state);
        if is_control_due {
            self.control.notify_all();
        }
        self.feeders.notify_all();
    }

    /// The control thread: votes and what they are about, reports, the in-sync set, publications.
    fn run_control(&self) {
        while !self.is_stopping() {
            let mut state = self.state.lock();
            self.await_work(&mut state);
            let readers = state.readers;
            if state.fleet.has_jobs() {
                // Copies begin in this step.
                self.throttle_moves(&mut state);
            }
            let (fleet, journal) = state.split(&*self.store);
            fleet.control(clock::monotonic(), readers, &journal);
            let has_changes = fleet.has_changes();
            // An unreadable journal: the next round tries again.
            let votes = fleet.next_to_resolve(Needs::Before, &journal).unwrap_or_default();
            let alarms = fleet.take_alarms();
            let quarantines = fleet.quarantines(clock::monotonic());
            let differences = fleet.differing();
            if fleet.has_transfers() {
                self.movers.notify_all();
            }
            if fleet.is_compaction_wanted() {
                self.rounds.notify_all();
            }
            drop(state);
            self.troubles.wait(quarantines.into_iter().map(quarantine).collect());
            self.troubles.differ(differences);
            for alarm in alarms {
                self.alarm(alarm);
            }
            self.resolve_votes(&votes);
            if has_changes && self.commit().is_err() {
                return;
            }
        }
    }

    /// Waits until something happened, readers got on, or it is time to look all the same.
    fn await_work(&self, state: &mut Held<'_, State>) {
        let until = clock::instant() + CONTROL_IDLE;
        loop {
            let readers = self.bridge.progress();
            let left = until.saturating_duration_since(clock::instant());
            if state.is_due || readers != state.readers || left.is_zero() || self.is_stopping() {
                state.is_due = false;
                state.readers = readers;
                return;
            }
            let are_current = readers.acknowledged.min(readers.drained) >= state.published;
            state.wait(&self.control, if are_current { left } else { left.min(READERS_POLL) });
        }
    }

    /// Makes everything durable that happened up to now, then publishes what readers must hear of.
    pub(super) fn commit(&self) -> Result<(), Stopping> {
        let commits = self.commits.lock();
        if self.is_broken() {
            return Err(Stopping);
        }
        let (changes, version, mut delta) = {
            let mut state = self.state.lock();
            let (changes, version) = state.fleet.take_changes();
            let delta = delta(&mut state, &changes);
            (changes, version, delta)
        };
        let now = clock::timestamp();
        for report in &changes.reports {
            let open = self.state.lock().open.remove(&report.entry);
            let Some(open) = open else { continue };
            let reported = Reported {
                entry: &open.entry,
                resolution: open.resolution.as_deref(),
                documents: open.documents.or_else(|| self.count_documents(&open.entry)),
                started_at: open.started_at,
                exported: open.exported,
            };
            let outcome = outcome(report, &reported, now);
            if let Some((uid, index)) = updated(&open.entry, &outcome) {
                let at = outcome.finished_at;
                self.state.lock().book.update(index, at);
                delta.updated.insert(index.clone(), at);
                // Before anybody sees that the task succeeded.
                self.publisher.show_update(uid, index, at);
            }
            delta.outcomes.push((report.entry, outcome));
        }
        self.store_until_done(&delta)?;
        for (node, index, position) in &delta.applied {
            self.troubles.got_on(&(Some(node.clone()), index.clone()), *position);
        }
        delta.forgotten_indexes.iter().for_each(|index| self.troubles.forget(index));
        delta.removed_nodes.iter().for_each(|node| self.troubles.forget_node(node));
        let mut state = self.state.lock();
        state.fleet.stored(version);
        let publication = state.fleet.publication();
        let mut left = Vec::new();
        if let Some(publication) = publication {
            let records = state.book.all();
            // Still under `commits`: what is published is exactly what is stored.
            let epoch = state.unlocked(|| self.publisher.publish_indexes(&records, &publication));
            state.fleet.published(&publication, epoch);
            state.published = epoch;
            left = std::mem::replace(&mut state.members, publication.nodes);
            left.retain(|node| !state.members.contains(node));
        }
        drop(commits);
        self.wake(state, is_control_due_after(&changes));
        for node in &left {
            self.dismiss(node);
        }
        Ok(())
    }

    fn count_documents(&self, entry: &Entry) -> Option<u64> {
        self.store.payload(entry.id).ok().flatten().map(|payload| payload.count())
    }

    /// Nothing may go on that depends on this transaction, so it is tried until it is done.
    fn store_until_done(&self, delta: &ProtocolDelta) -> Result<(), Stopping> {
        loop {
            match self.store.commit(delta) {
                Ok(()) => break,
                // What is stored is not what this life believes: only a start can bring them together again.
                Err(StoreError::Refused(reason)) => panic!("the store refuses protocol state: {reason}"),
                Err(error @ (StoreError::Failed(_) | StoreError::Full(_) | StoreError::Damaged(_))) => {
                    tracing::error!(%error, "protocol state cannot be stored; nothing is reported until it can");
                    self.troubles.store_failed(error.to_string(), clock::timestamp());
                }
            }
            let mut state = self.state.lock();
            if !self.is_stopping() {
                state.wait(&self.stopping, STORE_RETRY);
            }
            if self.is_stopping() {
                // What was taken from the fleet is lost; nothing that follows may be stored without it.
                self.commits.break_for_good();
                return Err(Stopping);
            }
        }
        self.troubles.store_works();
        Ok(())
    }

    /// For the log, and for `miroir-ctl status` as long as it lasts.
    fn alarm(&self, alarm: Alarm) {
        match alarm {
            Alarm::FarStranger { node, index } => {
                tracing::error!(%node, %index, "a request arrived long after it was given up; the replica needs a rebuild");
            }
            Alarm::LateRejection { node, index, position, reason } => {
                tracing::error!(%node, %index, ?position, reason, "a node rejects settings that its peers took");
            }
            Alarm::Stuck { node, index, position, reason } => {
                tracing::error!(%node, %index, ?position, reason, "a node refuses what no node may refuse; trying again");
                self.held_up((Some(node), index), position, reason);
            }
            Alarm::TooLarge { node, index, position, reason } => {
                let reason = format!("{reason} {TOO_LARGE}");
                tracing::error!(%node, %index, ?position, reason, "a node takes no body as large as one shard's part");
                self.held_up((Some(node), index), position, reason);
            }
            Alarm::Retried { node, index, position, reason } => {
                tracing::warn!(%node, %index, ?position, reason, "a node failed by itself; trying again");
                self.held_up((Some(node), index), position, reason);
            }
            Alarm::NodeLost { node } => {
                tracing::error!(%node, "the node's task numbers went back: it lost its data, and is not used any more");
            }
            Alarm::LookFailed { node, index, reason } => {
                tracing::warn!(%node, %index, reason, "the documents of a shard cannot be read; trying again");
            }
            Alarm::CopyFailed { node, index, reason } => {
                tracing::warn!(%node, %index, reason, "a node did not take a copy of a shard; it begins anew");
            }
            Alarm::CopyDiffers { node, index, shard } => {
                tracing::error!(%node, %index, %shard, "a copy is not what its source has; it begins anew");
            }
            Alarm::ReplicasDiffer { index, shard, alike, wrong, documents, examples } => {
                tracing::error!(%index, %shard, ?alike, ?wrong, documents, ?examples, "replicas do not have the same documents");
            }
            Alarm::Strays { node, index, shard, documents, examples } => {
                tracing::error!(%node, %index, ?shard, documents, ?examples, "a node has documents that do not belong there");
            }
            Alarm::Audited { is_wanted, compared, skipped, differing } if is_wanted || skipped + differing > 0 => {
                tracing::info!(compared, skipped, differing, "all replicas were compared");
            }
            Alarm::Audited { .. } => tracing::debug!("all replicas were compared, and are equal"),
            Alarm::NotCompacted { node, index, reason } => {
                tracing::warn!(%node, %index, reason, "a node could not give back the disk space of an index");
            }
            Alarm::Mended { node, index } => {
                tracing::info!(%node, %index, "the settings of an index on a node are as they should be again");
                self.troubles.drifts().put_right(&(node, index));
            }
            Alarm::MendRejected { node, index, reason } => {
                tracing::error!(%node, %index, reason, "a node does not take the settings that it should have");
                self.troubles.drifts().rejected(&(node, index), reason);
            }
            Alarm::Foreign { node, task } => {
                tracing::error!(%node, %task, "somebody else writes to this node");
            }
        }
    }

    /// Notes that a write does not get on at a node, or, without one, in the fleet.
    fn held_up(&self, place: Place, position: Position, error: String) {
        let uid = self.state.lock().book.get(&place.1).map(|record| record.uid.clone());
        if let Some(uid) = uid {
            self.troubles.held_up(place, position, (uid, error), clock::timestamp());
        }
    }

    /// Asks all threads to end.
    fn stop(&self) {
        let state = self.state.lock();
        self.is_stopping.store(true, Ordering::Release);
        self.stopping.notify_all();
        self.movers.notify_all();
        self.rounds.notify_all();
        self.ruling.notify_all();
        self.wake(state, true);
    }

    /// An entry with its resolution: from the open ones, or from the store for a node that lags.
    pub(super) fn entry(&self, id: EntryId) -> Option<(Arc<Entry>, Option<Arc<Resolution>>)> {
        if let Some(open) = self.state.lock().open.get(&id) {
            return Some((open.entry.clone(), open.resolution.clone()));
        }
        let record = self.store.entry(id).ok().flatten()?;
        Some((Arc::new(record.entry), record.resolution.map(Arc::new)))
    }

    /// The payload of an entry.
    pub(super) fn payload(&self, id: EntryId) -> Result<Option<Payload>, StoreError> {
        let payload = self.store.payload(id)?;
        let count = payload.as_ref().map(Payload::count);
        if let Some(open) = self.state.lock().open.get_mut(&id) {
            open.documents = count;
        }
        Ok(payload)
    }
}

fn quarantine((node, left_ms): (NodeId, u64)) -> Quarantine {
    Quarantine { node, until: Timestamp(clock::timestamp().0 + 1_000 * left_ms as i64) }
}

/// The transaction that makes the changes durable, still without outcomes; the index records are brought up to date.
fn delta(state: &mut State, changes: &Changes) -> ProtocolDelta {
    for (index, is_visible) in &changes.visible {
        state.book.change(index, |record| record.is_visible = *is_visible);
    }
    let now = clock::timestamp();
    for renaming in &changes.renamed {
        let open = state.open.get(&renaming.entry);
        let is_update = open.is_some_and(|open| matches!(open.entry.operation, Operation::UpdateIndex { .. }));
        for (index, uid) in &renaming.names {
            state.book.rename(index, uid, is_update.then_some(now));
        }
    }
    for (index, position, is_commit) in &changes.decisions {
        let open = position.entry().and_then(|entry| state.open.get(&entry).cloned());
        if let Some(open) = open.filter(|_| *is_commit) {
            state.book.commit_vote(index, *position, (&open.entry, open.resolution.as_deref()), now);
        }
    }
    let begun = changes.begun.iter().map(|entry| (*entry, now));
    let started: Vec<(EntryId, Timestamp)> = changes.started.iter().copied().chain(begun).collect();
    for (entry, at) in &started {
        if let Some(open) = state.open.get_mut(entry) {
            open.started_at.get_or_insert(*at);
        }
    }
    for index in &changes.forgotten {
        state.book.forget(index);
    }
    let decision = |is_commit| if is_commit { Decision::Commit } else { Decision::Abort };
    let verdicts = changes.verdicts.iter().cloned();
    let removed = changes.nodes.iter().filter(|node| !node.state.is_member());
    ProtocolDelta {
        applied: changes.applied.clone(),
        next_task: changes.next_task.clone(),
        went_out: changes.went_out.clone(),
        came_back: changes.came_back.clone(),
        needs_rebuild: changes.needs_rebuild.clone(),
        verdicts: verdicts.map(|(position, shard, error)| Verdict { position, shard, error }).collect(),
        decisions: changes.decisions.iter().map(|(_, position, commit)| (*position, decision(*commit))).collect(),
        passed: changes.passed.clone(),
        renamed: changes.renamed.iter().map(|renaming| (renaming.entry, renaming.exchanged.clone())).collect(),
        outcomes: Vec::new(),
        started,
        indexes: state.book.take_changed(),
        updated: BTreeMap::new(),
        forgotten_indexes: changes.forgotten.clone(),
        nodes: changes.nodes.clone(),
        tables: changes.tables.clone(),
        jobs: changes.jobs.clone(),
        ended_jobs: changes.ended_jobs.clone(),
        joins: changes.joins.clone(),
        ended_joins: Vec::new(),
        bootstraps: changes.bootstraps.clone(),
        ended_bootstraps: changes.ended_bootstraps.clone(),
        rebuilt: changes.rebuilt.clone(),
        removed_nodes: removed.map(|node| node.id.clone()).collect(),
        plans: state.note_plans(changes, now),
    }
}

/// After these the control thread has more to do at once.
fn is_control_due_after(changes: &Changes) -> bool {
    let Changes { visible, renamed, decisions, reports, went_out, came_back, .. } = changes;
    let Changes { tables, jobs, ended_jobs, joins, ended_bootstraps, .. } = changes;
    let has_entries = !(decisions.is_empty() && reports.is_empty());
    let has_moves = !(jobs.is_empty() && ended_jobs.is_empty() && joins.is_empty() && ended_bootstraps.is_empty());
    let is_shown =
        !(visible.is_empty() && renamed.is_empty() && went_out.is_empty() && came_back.is_empty()) || tables.is_some();
    has_entries || has_moves || is_shown
}
