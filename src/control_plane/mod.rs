//! Plain threads with blocking calls: one file per duty. Never imports the data plane.
//!
//! | thread | does |
//! |---|---|
//! | `journal` | numbers writes and makes them durable ([`journal`]) |
//! | `task-desk` | answers questions about tasks and webhooks, deletes tasks ([`task_desk`]) |
//! | `task-documents` | shows the documents of unfinished tasks ([`task_documents`]) |
//! | `webhooks` | tells those who want to hear of it of finished tasks ([`webhooks`]) |
//! | `key-desk` | changes API keys ([`key_desk`]) |
//! | `operator` | answers what operators ask about nodes, shards and moves, and makes plans ([`operator`]) |
//! | `features` | keeps which experimental features are on, and tells the nodes ([`features`]) |
//! | `feeder-ID`, `control`, `resolver`, `editor` | carry entries to the nodes and report them ([`coordinator`]) |
//! | `dumper` | writes dumps, sends exports |
//! | `mover-N` | read what moves copy and compare |
//! | `compactor` | has nodes give back the disk space of what they lost to others |
//! | `conversations`, `conversation` | speak to language models, and render documents for them ([`conversations`]) |
//! | `rules` | keeps the search rules, and tells the nodes ([`rules_keeper`]) |
//! | `trimmer` | removes from the journal what no node needs any more |
//! | `drift` | looks whether somebody else has changed settings on the nodes, and puts them right ([`drift`]) |
//! | `prober-ID` | looks whether a node answers ([`prober`]); comes and goes with the node, as its feeder does |
//!
//! [`start`] opens the store, checks the fleet, then starts the threads; what is wrong by then has a message with the
//! remedy. [`ControlPlane::stop`] ends and joins them all.

use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::bridge::{Bridge, Command};
use crate::config::{RepairPolicy, Settings};
use crate::logic::feeder::{BackgroundAudit, QUARANTINES_REMEMBERED, Timing};
use crate::store::sqlite::{OpenError, SqliteStore};
use crate::store::{ClusterRecord, Store, StoreError};
use conversations::Conversations;
use coordinator::{Coordinator, CoordinatorParts};
use features::FeaturesKeeper;
use journal::{BacklogLimits, JournalParts, JournalWriter};
use key_desk::KeyDesk;
use operator::Operator;
use prober::ProbeTiming;
use publisher::Publisher;
use startup::FleetError;
use status::Looks;
use task_desk::{DeskJob, TaskDesk};
use task_documents::{DocumentsJob, TaskDocuments};
use threads::{DeadThread, Threads};
use troubles::Troubles;
use webhooks::{Announcer, Registry};

pub mod admin;
pub mod admission;
mod batch_view;
mod chunks;
mod conversations;
pub mod coordinator;
pub mod drift;
mod dumped_task;
mod features;
mod feeder;
pub mod identity;
pub mod journal;
pub mod key_desk;
pub mod node_client;
pub mod operator;
pub mod prober;
mod public_addresses;
pub mod publisher;
mod remote_server;
pub mod rendering;
pub mod resolver;
mod rules_keeper;
mod shard_reader;
pub mod startup;
pub mod status;
pub mod task_desk;
pub mod task_documents;
pub mod task_view;
pub mod threads;
pub mod troubles;
pub mod webhooks;

/// How long the nodes are waited for at the first start.
const FIRST_START_PATIENCE: Duration = Duration::from_secs(30);
/// For one answer of a node to the resolver: a page of ids or a number, which takes a busy node seconds at most. Whoever
/// needs longer hangs, and another replica is asked.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why the control plane did not start. Each message names cause and remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The fleet cannot be used.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No thread can be started.
    #[error("a thread cannot be started: {0}; raise the limit of processes of this user")]
    Thread(#[from] std::io::Error),
}

impl From<coordinator::StartError> for StartError {
    fn from(error: coordinator::StartError) -> Self {
        match error {
            coordinator::StartError::Store(error) => Self::Store(error),
            coordinator::StartError::Thread(error) => Self::Thread(error),
        }
    }
}

/// The running control plane. Dropping it stops it.
pub struct ControlPlane {
    threads: Threads,
    /// None once it was stopped.
    coordinator: Option<coordinator::Running>,
    cluster: ClusterRecord,
    troubles: Troubles,
    looks: Looks,
}

/// Opens the store, checks the fleet, and starts everything. When this returns, readers see what they may see as of the
/// store.
pub fn start(
    settings: &Settings,
    bridge: &Arc<Bridge>,
    commands: Receiver<Command>,
) -> Result<ControlPlane, StartError> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&settings.data_dir)?);
    let fleet = startup::settle(settings, &*store, FIRST_START_PATIENCE)?;
    let publisher = Arc::new(Publisher::new(bridge.clone(), startup::node_views(&fleet)));
    // Before anything else is published: whoever is read has to be asked for a key.
    let key_desk = KeyDesk::open(store.clone(), publisher.clone(), bridge.clone(), settings.master_key.clone())?;
    let threads = Threads::default();
    let (troubles, looks) = (Troubles::default(), Looks::default());
    let running = Coordinator::start(CoordinatorParts {
        store: store.clone(),
        publisher,
        bridge: bridge.clone(),
        node_key: settings.node_master_key.as_ref().map(|key| key.expose().to_owned()),
        timing: timing(settings),
        body_max: settings.feeder.max_body,
        sort_ties_by_id: settings.search.sort_ties_by_id,
        resolve_timeout: RESOLVE_TIMEOUT,
        dump_folder: settings.dump_dir.clone(),
        exports_may_be_private: settings.webhooks.may_be_private,
        probes: ProbeTiming { interval: settings.probe.interval, timeout: settings.probe.timeout },
        looks: looks.clone(),
        drift: settings.drift.clone(),
        troubles: troubles.clone(),
        threads: threads.group(),
    })?;
    // Dropped, hence stopped, when a later step fails.
    let coordinator = running.coordinator();
    coordinator.audit_in_background(background_audit(settings));
    let mut plane = ControlPlane {
        threads,
        coordinator: Some(running),
        cluster: fleet.cluster.clone(),
        troubles,
        looks: looks.clone(),
    };

    let (desk, documents) = start_desks(&mut plane.threads, settings, (&store, bridge, &looks))?;
    let (keys, changes) = bounded(key_desk::JOBS_MAX);
    plane.threads.spawn("key-desk", move |stop| key_desk.run(&changes, stop))?;
    let (operator, requests) = bounded(operator::JOBS_MAX);
    let (members, node_key) = (Box::new(coordinator.clone()), settings.node_master_key.clone());
    let (watch, absent) = (operator::Watch::default(), operator::Absent::new(settings.repair_delay));
    let answering = Operator {
        store: store.clone(),
        bridge: bridge.clone(),
        members,
        node_key,
        watch,
        absent,
        configured_pace: settings.rebalance,
        looks,
        drifts: plane.troubles.drifts().clone(),
        backups: operator::Backups::new(settings.backup_dir.clone()),
    };
    plane.threads.spawn("operator", move |stop| answering.run(&requests, stop))?;
    let (features, changes) = bounded(features::JOBS_MAX);
    let keeper = FeaturesKeeper::open(store.clone(), bridge.clone(), settings.node_master_key.clone())?;
    plane.threads.spawn("features", move |stop| keeper.run(&changes, stop))?;
    let backlog_limits = BacklogLimits { bytes: settings.backlog.max_bytes, entries: settings.backlog.max_entries };
    let journal = JournalParts {
        store,
        bridge: bridge.clone(),
        coordinator,
        desk,
        documents,
        keys,
        operator,
        features,
        backlog_limits,
        history_max: settings.tasks.history_max,
    };
    let journal = JournalWriter::open(journal)?;
    plane.threads.spawn("journal", move |stop| journal.run(&commands, stop))?;
    Ok(plane)
}

/// Starts the threads that answer questions about tasks, tell of finished ones, and run errands of conversations.
fn start_desks(
    threads: &mut Threads,
    settings: &Settings,
    (store, bridge, looks): (&Arc<dyn Store>, &Arc<Bridge>, &Looks),
) -> Result<(Sender<DeskJob>, Sender<DocumentsJob>), StartError> {
    let (desk, jobs) = bounded(task_desk::JOBS_MAX);
    let registry = Arc::new(Registry::open(store.clone(), webhooks::configured(&settings.webhooks))?);
    let announcer = Announcer::new(registry.clone(), settings.webhooks.may_be_private);
    threads.spawn("webhooks", move |stop| announcer.run(stop))?;
    let task_desk = TaskDesk { store: store.clone(), bridge: bridge.clone(), looks: looks.clone(), webhooks: registry };
    task_desk.resume()?;
    threads.spawn("task-desk", move |stop| task_desk.run(&jobs, stop))?;
    let (documents, asked) = bounded(task_documents::JOBS_MAX);
    let of_tasks = TaskDocuments { store: store.clone(), bridge: bridge.clone() };
    threads.spawn("task-documents", move |stop| of_tasks.run(&asked, stop))?;
    let conversations = Conversations::new(&settings.chats, bridge.memory.clone());
    let errands = bridge.errands.waiting();
    threads.spawn("conversations", move |stop| conversations.run(&errands, stop))?;
    Ok((desk, documents))
}

fn background_audit(settings: &Settings) -> Option<BackgroundAudit> {
    let is_repairing = match settings.verify.repair {
        RepairPolicy::Known => true,
        RepairPolicy::Never => false,
    };
    settings.verify.interval.map(|interval| BackgroundAudit { interval_ms: interval.as_millis() as u64, is_repairing })
}

fn timing(settings: &Settings) -> Timing {
    Timing {
        quarantine_ms: settings.feeder.quarantine.as_millis() as u64,
        in_sync_timeout_ms: settings.in_sync_timeout.as_millis() as u64,
        keep_ms: (settings.feeder.quarantine.as_millis() as u64).saturating_mul(QUARANTINES_REMEMBERED),
        ..Timing::default()
    }
}

impl ControlPlane {
    /// Hears of every thread that dies: the process must end then.
    pub fn deaths(&self) -> &Receiver<DeadThread> {
        self.threads.deaths()
    }

    /// What is fixed about the cluster.
    pub fn cluster(&self) -> &ClusterRecord {
        &self.cluster
    }

    /// What goes wrong and is tried again.
    pub fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    /// What probers last saw.
    pub fn looks(&self) -> &Looks {
        &self.looks
    }

    /// Ends all threads and waits for them. Writes that were answered are durable; those that wait are not answered.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // First nothing new, then what is under way is stored.
        self.threads.stop();
        if let Some(coordinator) = self.coordinator.take() {
            coordinator.stop();
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.end();
    }
}
