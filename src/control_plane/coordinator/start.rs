//! Start and stop: everything is read from the store, then the threads begin.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::attending::Attendance;
use super::dumping::Dumper;
use super::fragile::Fragile;
use super::index_book::IndexBook;
use super::journal_view::{StoreView, steps_of_record};
use super::moving::{Mover, new_throttle};
use super::resolving::is_edit;
use super::{Coordinator, OpenEntry, State};
use crate::bridge::Bridge;
use crate::config::DriftSettings;
use crate::control_plane::chunks::Chunks;
use crate::control_plane::journal::is_for_the_desk;
use crate::control_plane::prober::ProbeTiming;
use crate::control_plane::publisher::Publisher;
use crate::control_plane::remote_server;
use crate::control_plane::resolver::Resolver;
use crate::control_plane::rules_keeper::RulesKeeper;
use crate::control_plane::status::Looks;
use crate::control_plane::threads::Threads;
use crate::control_plane::troubles::Troubles;
use crate::logic::feeder::{Fleet, IndexStart, LOOKS_AT_ONCE, Rules, Start, Timing};
use crate::logic::ids::{EntryId, NodeIndexUid, Position};
use crate::logic::plan_history::PlanHistory;
use crate::logic::throttle::ThrottleLimits;
use crate::logic::topology::NodeRecord;
use crate::store::{Decision, IndexRecord, ProtocolDelta, ProtocolState, Store, StoreError, TaskRecord};
use crate::telemetry::clock;

/// Entries read at once.
const PAGE: usize = 1_000;

/// What a coordinator is made of.
pub struct CoordinatorParts {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// Tells the cores. Knows every member that is stored.
    pub publisher: Arc<Publisher>,
    /// Knows what the cores have acknowledged.
    pub bridge: Arc<Bridge>,
    /// The key that all nodes know.
    pub node_key: Option<String>,
    /// How patient the protocol is.
    pub timing: Timing,
    /// Bytes of a body that every node takes.
    pub body_max: u64,
    /// The primary key is the nodes' last ranking rule.
    pub sort_ties_by_id: bool,
    /// For one answer of a node to the resolver.
    pub resolve_timeout: Duration,
    /// Where dumps are put.
    pub dump_folder: PathBuf,
    /// Exports may go to addresses that are not of the public internet.
    pub exports_may_be_private: bool,
    /// How members are looked at.
    pub probes: ProbeTiming,
    /// Where what is seen then is kept.
    pub looks: Looks,
    /// How settings are looked at, and what is done about those that somebody else has changed.
    pub drift: DriftSettings,
    /// Told what an operator should know.
    pub troubles: Troubles,
    /// Takes the threads.
    pub threads: Threads,
}

/// A coordinator and its threads. Dropping it ends them.
pub struct Running {
    coordinator: Arc<Coordinator>,
    threads: Threads,
}

/// Why a coordinator does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What is stored cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no thread for it.
    #[error(transparent)]
    Thread(#[from] std::io::Error),
}

impl Coordinator {
    /// Reads the state, publishes the first snapshot, and starts the threads.
    pub fn start(mut parts: CoordinatorParts) -> Result<Running, StartError> {
        let threads = std::mem::take(&mut parts.threads);
        let [mut resolver, mut editor] =
            [(); 2].map(|()| Resolver::new(parts.node_key.as_deref(), parts.resolve_timeout));
        let mut dumper = Dumper {
            folder: parts.dump_folder.clone(),
            resolver: Resolver::new(parts.node_key.as_deref(), parts.resolve_timeout),
            agent: remote_server::agent(parts.exports_may_be_private),
        };
        let attendance = Attendance {
            looks: parts.looks.clone(),
            probes: parts.probes,
            threads: threads.group(),
            groups: Mutex::default(),
        };
        let drift = parts.drift.clone();
        let mut rules = RulesKeeper::open(parts.store.clone(), parts.bridge.clone(), parts.node_key.clone())?;
        let (coordinator, nodes) = Self::load(parts, attendance)?;
        let mut running = Running { coordinator: Arc::new(coordinator), threads };
        for (number, node) in nodes.iter().enumerate().filter(|(_, node)| node.state.is_member()) {
            running.coordinator.attend(number, node)?;
        }
        for number in 0..LOOKS_AT_ONCE {
            running.spawn(format!("mover-{number}"), |shared| shared.run_mover(&mut Mover::default()))?;
        }
        running.spawn("drift".to_owned(), move |shared| shared.run_drift(&drift))?;
        running.spawn("compactor".to_owned(), Self::run_compactor)?;
        running.spawn("rules".to_owned(), move |shared| shared.run_rules(&mut rules))?;
        running.spawn("trimmer".to_owned(), Self::run_trimmer)?;
        running.spawn("control".to_owned(), Self::run_control)?;
        running.spawn("resolver".to_owned(), move |shared| {
            shared.run_resolver(&mut resolver, |operation| !is_edit(operation));
        })?;
        running.spawn("editor".to_owned(), move |shared| shared.run_resolver(&mut editor, is_edit))?;
        running.spawn("dumper".to_owned(), move |shared| shared.run_dumper(&mut dumper))?;
        Ok(running)
    }

    /// With all nodes in the order of the protocol's numbers.
    fn load(parts: CoordinatorParts, attendance: Attendance) -> Result<(Self, Vec<NodeRecord>), StoreError> {
        let CoordinatorParts { store, publisher, bridge, node_key, .. } = parts;
        let CoordinatorParts { timing, troubles, body_max, sort_ties_by_id, .. } = parts;
        let cluster_id = store.cluster()?.map(|cluster| cluster.cluster_id).unwrap_or_default();
        let stored = store.protocol_state()?;
        let next_entry = store.next_entry()?;
        let open = unreported(&*store)?;
        let mut book = IndexBook::new(store.indexes()?);
        for record in &open {
            book.note(&record.entry);
        }
        let mut start = start_of(&stored, indexes(&*store, &book.all(), &stored, next_entry)?, next_entry);
        start.decisions = decisions(&*store, &book, &stored)?;
        let mut fleet = Fleet::start(&start, timing, Rules::ALL, clock::monotonic());
        for record in &open {
            fleet.load(&record.entry, record.resolution.as_ref());
        }
        // An unreadable journal only makes the start slower.
        let _ = fleet.end_needless_quarantine(&StoreView { store: &*store, book: &book });
        let shard_count = stored.tables.owners.len() as u16;
        let shown = fleet.view();
        let epoch = publisher.publish_indexes(&book.all(), &shown);
        fleet.published(&shown, epoch);
        let open = open.into_iter().map(|record| {
            let entry = OpenEntry::new(Arc::new(record.entry), record.resolution, record.started_at);
            (entry.entry.id, entry)
        });
        let state = State {
            fleet,
            book,
            open: open.collect(),
            members: shown.nodes,
            published: epoch,
            readers: bridge.progress(),
            is_due: true,
            is_check_asked: false,
            tables: stored.tables,
            plans: PlanHistory::new(stored.plans, &stored.jobs),
        };
        let coordinator = Self {
            store,
            publisher,
            bridge,
            troubles,
            commits: Fragile::new(()),
            state: Fragile::new(state),
            feeders: Condvar::new(),
            control: Condvar::new(),
            movers: Condvar::new(),
            rounds: Condvar::new(),
            ruling: Condvar::new(),
            stopping: Condvar::new(),
            is_stopping: AtomicBool::new(false),
            attendance,
            cluster_id,
            node_key,
            body_max,
            sort_ties_by_id,
            chunks: Chunks::default(),
            throttle: new_throttle(ThrottleLimits::default()),
            shard_count,
        };
        Ok((coordinator, stored.nodes))
    }
}

impl Running {
    /// Told of every commit by the journal writer.
    pub fn coordinator(&self) -> Arc<Coordinator> {
        self.coordinator.clone()
    }

    fn spawn(&mut self, name: String, work: impl FnOnce(&Coordinator) + Send + 'static) -> std::io::Result<()> {
        let coordinator = self.coordinator.clone();
        self.threads.spawn(name, move |stop| {
            work(&coordinator);
            coordinator.outlive_the_guilty(stop);
        })
    }

    /// As a crash would: the threads end, and what was not stored is lost.
    #[cfg(test)]
    pub(super) fn kill(mut self) {
        self.end();
    }

    /// Lets every request end, ends the threads, stores what is known.
    pub fn stop(mut self) {
        self.end();
        if self.coordinator.commit().is_err() {
            tracing::warn!("the last changes could not be stored; they are found again at the next start");
        }
    }

    fn end(&mut self) {
        self.threads.ask_to_stop();
        self.coordinator.dismiss_all();
        self.threads.stop();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// All entries without an outcome, deletions of tasks left out.
fn unreported(store: &dyn Store) -> Result<Vec<TaskRecord>, StoreError> {
    let mut open = Vec::new();
    let mut first = EntryId(0);
    loop {
        let page = store.unreported_from(first, PAGE)?;
        let Some(last) = page.last() else { return Ok(open) };
        first = EntryId(last.entry.id.0 + 1);
        open.extend(page.into_iter().filter(|record| !is_for_the_desk(&record.entry.operation)));
    }
}

fn indexes(
    store: &dyn Store,
    records: &[IndexRecord],
    stored: &ProtocolState,
    next_entry: EntryId,
) -> Result<Vec<IndexStart>, StoreError> {
    // The watermarks of each index, the lowest: what lies before was applied everywhere.
    let mut lowest: BTreeMap<&NodeIndexUid, Position> = BTreeMap::new();
    for ((_, index), &applied) in &stored.applied {
        lowest.entry(index).and_modify(|lowest| *lowest = applied.min(*lowest)).or_insert(applied);
    }
    let start = |record: &IndexRecord| {
        let from = lowest.get(&record.node_uid).and_then(|position| position.entry()).unwrap_or(record.created_by);
        Ok(IndexStart {
            index: record.node_uid.clone(),
            created_by: record.created_by,
            dropped_by: record.dropped_by,
            top_reported: top_reported(store, record, from)?,
            // Without any payload nobody knows how much was trimmed.
            needed_from: store.first_payload(&record.node_uid)?.unwrap_or(next_entry),
        })
    };
    records.iter().map(start).collect()
}

/// The last step of the last reported entry, if it lies at or after `first`.
fn top_reported(store: &dyn Store, record: &IndexRecord, mut first: EntryId) -> Result<Position, StoreError> {
    let mut top = Position(0);
    loop {
        let page = store.index_entries_from(&record.node_uid, first, PAGE)?;
        for entry in page.iter().filter(|entry| entry.outcome.is_some()) {
            top = top.max(steps_of_record(entry).last().map_or(top, |step| step.position));
        }
        match page.last() {
            Some(last) if page.len() == PAGE => first = EntryId(last.entry.id.0 + 1),
            Some(_) | None => return Ok(top),
        }
    }
}

/// The decisions with their indexes. Those of entries and indexes that are gone are needed by nobody.
fn decisions(
    store: &dyn Store,
    book: &IndexBook,
    stored: &ProtocolState,
) -> Result<BTreeMap<Position, (NodeIndexUid, bool)>, StoreError> {
    let mut found = BTreeMap::new();
    let mut passed = Vec::new();
    for (&at, decision) in &stored.decisions {
        let record = at.entry().map(|entry| store.entry(entry)).transpose()?.flatten();
        let target = record.and_then(|record| record.entry.target).filter(|target| book.get(target).is_some());
        match (target, decision) {
            (Some(index), Decision::Commit) => drop(found.insert(at, (index, true))),
            (Some(index), Decision::Abort) => drop(found.insert(at, (index, false))),
            (None, Decision::Commit | Decision::Abort) => passed.push(at),
        }
    }
    if !passed.is_empty() {
        store.commit(&ProtocolDelta { passed, ..ProtocolDelta::default() })?;
    }
    Ok(found)
}

/// Without the decisions.
fn start_of(stored: &ProtocolState, indexes: Vec<IndexStart>, next_entry: EntryId) -> Start {
    let verdicts = stored.verdicts.iter().map(|verdict| (verdict.position, verdict.shard, verdict.error.clone()));
    Start {
        nodes: stored.nodes.clone(),
        tables: stored.tables.clone(),
        jobs: stored.jobs.clone(),
        joins: stored.joins.clone(),
        next_job: stored.next_job,
        bootstraps: stored.bootstraps.clone(),
        applied: stored.applied.clone(),
        next_task: stored.next_task.clone(),
        out_of_sync: stored.out_of_sync.clone(),
        needs_rebuild: stored.needs_rebuild.clone(),
        verdicts: verdicts.collect(),
        decisions: BTreeMap::new(),
        indexes,
        next_entry,
    }
}
