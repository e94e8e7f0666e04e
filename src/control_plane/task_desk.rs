//! The task desk: the thread that answers questions about tasks and webhooks, and deletes tasks from the list.
//!
//! It reads the store beside the journal writer. A deletion is an entry like any other, durable before it is carried out;
//! one that a crash interrupted is carried out at the next start, which does no harm. As on one server it passes what waits,
//! but not what is worked on: that ends first, if it does so soon. Cancelations are not its business: only the coordinator
//! knows what no node has got.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, never, select, tick};
use serde_json::json;

use super::batch_view::batch_page;
use super::journal::{error_code, is_for_the_desk};
use super::status::{Looks, fleet_status};
use super::task_view::{task_page, task_view};
use super::webhooks::Registry;
use crate::bridge::reply::Reply;
use crate::bridge::webhooks::WebhookRequest;
use crate::bridge::{Bridge, Keep};
use crate::logic::entry::{Entry, Operation};
use crate::logic::ids::{EntryId, Timestamp};
use crate::meili::batches::BatchPage;
use crate::meili::error::{ApiError, Code};
use crate::meili::sizes::shown_size;
use crate::meili::tasks::{TaskPage, TaskQuery, TaskStatus, TaskView, task_not_found};
use crate::store::{Compaction, Outcome, OutcomeCounts, ProtocolDelta, Store, StoreError};
use crate::telemetry::clock;

/// Questions that may wait; past this they are refused.
pub const JOBS_MAX: usize = 256;
/// Entries read at once while looking for interrupted operations.
const READ_MAX: usize = 1_000;
/// What is worked on when a deletion comes may take so long: a node that is away must not hold up deletions for ever.
const DELETION_WAITS: Duration = Duration::from_secs(10);
/// Tasks deleted in one transaction.
const DELETED_AT_ONCE: usize = 1_000;
/// Between two looks whether it has ended.
const LOOKS_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Work for the desk.
#[derive(Debug)]
pub enum DeskJob {
    /// One page of tasks.
    Tasks(Box<TaskQuery>, Reply<Result<TaskPage, ApiError>>),
    /// One page of batches.
    Batches(Box<TaskQuery>, Reply<Result<BatchPage, ApiError>>),
    /// All tasks that match.
    MatchingTasks(Box<TaskQuery>, Reply<Result<Vec<EntryId>, ApiError>>),
    /// One task.
    Task(EntryId, Reply<Result<TaskView, ApiError>>),
    /// What clients ask about webhooks.
    Webhooks(Box<WebhookRequest>, Reply<Result<serde_json::Value, ApiError>>),
    /// What is kept by this name.
    Kept(&'static str, Reply<Result<Option<serde_json::Value>, ApiError>>),
    /// Keep something by a name.
    Keep(Box<Keep>, Reply<Result<bool, ApiError>>),
    /// Give unused space of the store back.
    CompactStore(Reply<Result<serde_json::Value, ApiError>>),
    /// The state of the fleet.
    Fleet(Reply<Result<serde_json::Value, ApiError>>),
    /// Carry out a committed deletion of tasks.
    Execute(Arc<Entry>),
}

impl DeskJob {
    /// Answers that there is no time for it.
    pub fn refuse(self) {
        let busy = || ApiError::new(Code::MiroirOverloaded, "Too many requests about tasks wait. Try again later.");
        match self {
            Self::Tasks(_, reply) => reply.send(Err(busy())),
            Self::Batches(_, reply) => reply.send(Err(busy())),
            Self::MatchingTasks(_, reply) => reply.send(Err(busy())),
            Self::Task(_, reply) => reply.send(Err(busy())),
            Self::Webhooks(_, reply) => reply.send(Err(busy())),
            Self::Kept(_, reply) => reply.send(Err(busy())),
            Self::Keep(_, reply) => reply.send(Err(busy())),
            Self::CompactStore(reply) => reply.send(Err(busy())),
            Self::Fleet(reply) => reply.send(Err(busy())),
            Self::Execute(_) => {}
        }
    }
}

/// The state of the thread.
pub struct TaskDesk {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// What readers go by.
    pub bridge: Arc<Bridge>,
    /// What probers see.
    pub looks: Looks,
    /// Who is told of finished tasks.
    pub webhooks: Arc<Registry>,
}

/// A deletion of tasks that waits for some of them.
struct Waiting {
    entry: Arc<Entry>,
    /// Worked on when it came.
    heads: Vec<EntryId>,
    until: Instant,
}

impl TaskDesk {
    /// Works until `stop` is closed.
    pub fn run(self, jobs: &Receiver<DeskJob>, stop: &Receiver<()>) {
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut looks = never();
        loop {
            if waiting.is_empty() {
                looks = never();
            }
            select! {
                recv(stop) -> _ => return,
                recv(looks) -> _ => waiting.retain_mut(|deletion| !self.is_carried_out(deletion)),
                recv(jobs) -> job => match job {
                    Ok(DeskJob::Tasks(query, reply)) => reply.send(self.tasks(&query)),
                    Ok(DeskJob::Batches(query, reply)) => reply.send(self.batches(&query)),
                    Ok(DeskJob::MatchingTasks(query, reply)) => {
                        reply.send(self.store.matching_tasks(&query).map_err(|error| api_error(&error)));
                    }
                    Ok(DeskJob::Task(entry, reply)) => reply.send(self.task(entry)),
                    Ok(DeskJob::Webhooks(request, reply)) => reply.send(self.webhooks.answer(*request)),
                    Ok(DeskJob::Kept(name, reply)) => {
                        reply.send(self.store.kept(name).map_err(|error| api_error(&error)));
                    }
                    Ok(DeskJob::Keep(keep, reply)) => {
                        reply.send(self.keep(&keep).map_err(|error| api_error(&error)));
                    }
                    Ok(DeskJob::CompactStore(reply)) => reply.send(Ok(self.compact_store())),
                    Ok(DeskJob::Fleet(reply)) => reply.send(self.fleet()),
                    Ok(DeskJob::Execute(entry)) => {
                        let until = clock::instant() + DELETION_WAITS;
                        let mut deletion = Waiting { heads: self.heads_of(&entry), entry, until };
                        if !self.is_carried_out(&mut deletion) {
                            looks = if waiting.is_empty() { tick(LOOKS_AGAIN_AFTER) } else { looks };
                            waiting.push(deletion);
                        }
                    }
                    Err(_) => {
                        // The journal died, and is mourned under its own name.
                        let _ = stop.recv();
                        return;
                    }
                },
            }
        }
    }

    fn tasks(&self, query: &TaskQuery) -> Result<TaskPage, ApiError> {
        let page = self.store.tasks(query).map_err(|error| api_error(&error))?;
        Ok(task_page(query, &page))
    }

    fn batches(&self, query: &TaskQuery) -> Result<BatchPage, ApiError> {
        let page = self.store.batches(query).map_err(|error| api_error(&error))?;
        Ok(batch_page(query, &page))
    }

    fn task(&self, id: EntryId) -> Result<TaskView, ApiError> {
        let record = self.store.entry(id).map_err(|error| api_error(&error))?;
        match record {
            Some(record) if !record.is_deleted => Ok(task_view(&record)),
            Some(_) | None => Err(task_not_found(id.0)),
        }
    }

    /// Nobody else changes what is kept by these names.
    fn keep(&self, keep: &Keep) -> Result<bool, StoreError> {
        let is_as_before = self.store.kept(keep.name)? == keep.before;
        if is_as_before {
            self.store.keep(keep.name, &keep.value)?;
        }
        Ok(is_as_before)
    }

    fn compact_store(&self) -> serde_json::Value {
        match self.store.compact() {
            Ok(Compaction { before, after }) => {
                tracing::info!(before, after, "the store was made smaller");
                json!({ "preSize": shown_size(before), "postSize": shown_size(after), "status": TaskStatus::Succeeded })
            }
            Err(error) => {
                tracing::error!(%error, "the store could not be made smaller");
                json!({ "status": TaskStatus::Failed, "errorMessage": error.to_string() })
            }
        }
    }

    fn fleet(&self) -> Result<serde_json::Value, ApiError> {
        let snapshot = self.bridge.snapshot.load_full();
        let status = fleet_status(&*self.store, &snapshot, &self.looks).map_err(|error| api_error(&error))?;
        serde_json::to_value(status).map_err(|error| ApiError::new(Code::Internal, error.to_string()))
    }

    /// Carries out what an earlier life accepted and did not finish.
    pub fn resume(&self) -> Result<(), StoreError> {
        let mut first = EntryId(0);
        loop {
            let records = self.store.unreported_from(first, READ_MAX)?;
            for record in &records {
                if is_for_the_desk(&record.entry.operation) {
                    self.execute(&record.entry);
                }
            }
            let Some(last) = records.last() else { return Ok(()) };
            first = EntryId(last.entry.id.0 + 1);
        }
    }

    /// The tasks to be deleted that are worked on: the first of each index. Of what cannot be read nothing is waited for.
    fn heads_of(&self, entry: &Entry) -> Vec<EntryId> {
        let Operation::DeleteTasks { matched, .. } = &entry.operation else { return Vec::new() };
        let mut seen = HashSet::new();
        let unreported = self.store.unreported_from(EntryId(0), READ_MAX).unwrap_or_default();
        let before = unreported.into_iter().map(|record| record.entry).take_while(|before| before.id < entry.id);
        let first = before.filter(|before| before.target.is_none() || seen.insert(before.target.clone()));
        first.map(|head| head.id).filter(|id| matched.binary_search(id).is_ok()).collect()
    }

    /// Carries it out if nothing keeps it waiting any more.
    fn is_carried_out(&self, deletion: &mut Waiting) -> bool {
        let is_open = |id: &EntryId| match self.store.entry(*id) {
            Ok(record) => record.is_some_and(|record| record.outcome.is_none()),
            Err(_) => false,
        };
        deletion.heads.retain(is_open);
        let is_due = deletion.heads.is_empty() || clock::instant() >= deletion.until;
        if is_due {
            self.execute(&deletion.entry);
        }
        is_due
    }

    fn execute(&self, entry: &Entry) {
        let started_at = clock::timestamp();
        let Operation::DeleteTasks { matched, .. } = &entry.operation else { return };
        // In small steps, or whoever writes would have to wait for all of it.
        let counts = matched.chunks(DELETED_AT_ONCE).map(|tasks| self.store.delete_tasks(tasks));
        let count = counts.sum::<Result<u64, StoreError>>();
        let stored = count.and_then(|count| self.report(entry.id, count, started_at));
        if let Err(error) = stored {
            // It stays unfinished, and is carried out again at the next start.
            tracing::error!(task = entry.id.0, %error, "a deletion of tasks could not be carried out");
        }
    }

    fn report(&self, id: EntryId, count: u64, started_at: Timestamp) -> Result<(), StoreError> {
        let outcome = Outcome {
            status: TaskStatus::Succeeded,
            error: None,
            counts: OutcomeCounts { tasks: Some(count), ..OutcomeCounts::default() },
            canceled_by: None,
            started_at: Some(started_at),
            finished_at: clock::timestamp().max(started_at),
        };
        self.store.commit(&ProtocolDelta { outcomes: vec![(id, outcome)], ..ProtocolDelta::default() })
    }
}

/// For an operator or a client: the store cannot be read.
pub(super) fn api_error(error: &StoreError) -> ApiError {
    ApiError::new(error_code(error), error.to_string())
}
