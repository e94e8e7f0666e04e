//! The thread of one node: asks the protocol what to do, does it over HTTP, reports what happened.
//!
//! One request at a time, never under a lock. Nothing is retried here: whether and when a request is sent again is the
//! protocol's business.

use std::time::Duration;

use super::coordinator::Material;
use super::identity::Identity;
use super::node_client::{NodeClient, NodeTaskQuery, NodeWrite, SendOutcome as Answer};
use crate::logic::entry::{PutMode, StepKind};
use crate::logic::feeder::{Bearer, End, Label, SeenKind, SeenTask, Send, SendOutcome, Upkeep};
use crate::logic::ids::{IndexUid, NodeIndexUid, NodeTask};
use crate::meili::error::{ErrorBody, ErrorType};
use crate::meili::search_message::client_message;
use crate::meili::sizes::read_size;
use crate::meili::tasks::{TaskKind, TaskStatus, TaskView};

/// For an answer to a question.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// For a write, and so much more for each MiB of its body.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const WRITE_TIMEOUT_PER_MIB: Duration = Duration::from_secs(1);

/// What a node's thread has of its own.
pub(super) struct Feeder {
    /// The protocol's number of the node.
    pub node: usize,
    pub identity: Identity,
    pub client: NodeClient,
}

impl Feeder {
    /// The tasks with these numbers, as the protocol sees them; none when the node does not answer.
    pub(super) fn poll(&self, tasks: &[NodeTask]) -> Option<Vec<TaskView>> {
        let query = NodeTaskQuery { uids: tasks.to_vec(), limit: tasks.len() as u64, ..NodeTaskQuery::default() };
        match self.client.tasks(&query, QUESTION_TIMEOUT) {
            Ok(page) => Some(page.results),
            Err(error) => {
                tracing::debug!(%error, "a node's tasks cannot be read");
                None
            }
        }
    }

    /// Whom the server says it is, and the number after the newest of all tasks; none when it does not answer.
    pub(super) fn newest(&self) -> Option<(Bearer, NodeTask)> {
        let answerer = self.identity.ask(&self.client, QUESTION_TIMEOUT).ok()?;
        let query = NodeTaskQuery { limit: 1, ..NodeTaskQuery::default() };
        let page = self.client.tasks(&query, QUESTION_TIMEOUT).ok()?;
        Some((answerer.bearer, page.results.first().map_or(NodeTask(0), |task| NodeTask(task.uid + 1))))
    }

    /// Lets it carry who it is.
    pub(super) fn identify(&self, life: u64) -> SendOutcome {
        tracing::info!(node = %self.identity.node, life, "telling a node who it is");
        told(self.identity.tell(&self.client, life, WRITE_TIMEOUT)).0
    }

    /// Whether nothing of the index waits or runs on the node; none when it does not answer.
    pub(super) fn is_idle(&self, index: &NodeIndexUid) -> Option<bool> {
        let statuses = vec![TaskStatus::Enqueued, TaskStatus::Processing];
        let query = NodeTaskQuery { limit: 1, statuses, index: Some(index.clone()), ..NodeTaskQuery::default() };
        self.client.tasks(&query, QUESTION_TIMEOUT).ok().map(|page| page.results.is_empty())
    }

    pub(super) fn delete_tasks(&self, tasks: &[NodeTask]) -> SendOutcome {
        told(self.client.delete_tasks(tasks, WRITE_TIMEOUT)).0
    }

    /// An older server does not know how: that is a refusal of this request alone.
    pub(super) fn maintain(&self, upkeep: &Upkeep) -> SendOutcome {
        let answer = match upkeep {
            Upkeep::Compact(index) => self.client.write(index, &NodeWrite::Compact, WRITE_TIMEOUT),
            Upkeep::Snapshot => self.client.snapshot(WRITE_TIMEOUT),
        };
        match answer {
            Answer::Refused { error, .. } => SendOutcome::Refused(error),
            answer @ (Answer::Registered(_)
            | Answer::NotSent(_)
            | Answer::CutOff(_)
            | Answer::Unclear(_)
            | Answer::Busy(_)) => told(answer).0,
        }
    }

    /// Sends it, once. When the node takes no writes, also why.
    pub(super) fn send(&self, send: &Send, material: &Material) -> (SendOutcome, Option<String>) {
        let label = send.label().to_string();
        let write = match (material, send.kind) {
            (Material::Create(primary_key), _) => NodeWrite::CreateIndex { primary_key: primary_key.as_deref() },
            (Material::PrimaryKey(primary_key), _) => NodeWrite::SetPrimaryKey { primary_key: primary_key.as_deref() },
            (Material::Settings(settings), _) => NodeWrite::Settings(settings),
            (Material::Put(body, primary_key), kind) => {
                let mode = if kind == StepKind::Put(PutMode::Update) { PutMode::Update } else { PutMode::Replace };
                NodeWrite::Put { mode, primary_key: primary_key.as_deref(), metadata: &label, body: body.clone() }
            }
            (Material::Delete(body), _) => NodeWrite::Delete { metadata: &label, body: body.clone() },
            (Material::DeleteByFilter(filter), _) => NodeWrite::DeleteByFilter { filter, metadata: &label },
            (Material::Plain, StepKind::Drop) => NodeWrite::DropIndex,
            (Material::Plain, _) => NodeWrite::Clear { metadata: &label },
        };
        let mib = (material.length() >> 20) as u32;
        told(self.client.write(&send.index, &write, WRITE_TIMEOUT + WRITE_TIMEOUT_PER_MIB * mib))
    }
}

/// What the client knows, as far as the protocol cares, and why the node takes no writes.
fn told(answer: Answer) -> (SendOutcome, Option<String>) {
    match answer {
        Answer::Registered(task) => (SendOutcome::Registered(task), None),
        Answer::NotSent(reason) => {
            tracing::debug!(reason, "a node cannot be reached");
            (SendOutcome::NotSent, None)
        }
        Answer::Unclear(reason) => {
            tracing::warn!(reason, "it is not clear whether a node got a request");
            (SendOutcome::Unclear, None)
        }
        Answer::Busy(reason) => {
            tracing::warn!(reason, "a node takes no writes now");
            (SendOutcome::Busy, Some(reason))
        }
        Answer::Refused { status: 413, error } => (SendOutcome::TooLarge(error.message), None),
        Answer::CutOff(reason) => {
            tracing::warn!(reason, "a node broke off within a request");
            (SendOutcome::TooLarge(reason), None)
        }
        // Its key or its routes are wrong, not the request.
        Answer::Refused { status, error } if status != 400 => {
            tracing::error!(status, code = error.code, message = error.message, "a node refuses writes");
            (SendOutcome::Busy, Some(format!("{} ({status} {})", error.message, error.code)))
        }
        Answer::Refused { error, .. } => (SendOutcome::Refused(error), None),
    }
}

/// A task of a node as the protocol sees it. Names of indexes in its error are the client's.
pub(super) fn seen(task: TaskView, client_uid: impl Fn(&NodeIndexUid) -> Option<IndexUid>) -> SeenTask {
    let index = task.index_uid.map(NodeIndexUid::new);
    let uid = index.as_ref().and_then(client_uid);
    let failure = |error: Option<ErrorBody>| match error {
        Some(error) if is_final(&error) => End::Rejected(shown(error, index.as_ref(), uid.as_ref())),
        Some(error) => End::Retry(format!("{} ({})", error.message, error.code)),
        None => End::Retry("failed without an error".to_owned()),
    };
    let end = match task.status {
        TaskStatus::Enqueued | TaskStatus::Processing => None,
        TaskStatus::Succeeded => Some(End::Succeeded),
        TaskStatus::Failed => Some(failure(task.error)),
        TaskStatus::Canceled => Some(End::Retry("canceled on the node".to_owned())),
    };
    let details = task.details.unwrap_or_default();
    let size = |name: &str| details.get(name)?.as_str().and_then(read_size);
    SeenTask {
        task: NodeTask(task.uid),
        kind: seen_kind(task.kind),
        label: task.custom_metadata.as_deref().and_then(Label::parse),
        end,
        batch: task.batch_uid,
        deleted: details.get("deletedDocuments").and_then(serde_json::Value::as_u64),
        sizes: size("preCompactionSize").zip(size("postCompactionSize")),
        index,
    }
}

/// One server would fail the task: the node is not to blame.
fn is_final(error: &ErrorBody) -> bool {
    error.kind == ErrorType::InvalidRequest.name()
}

fn shown(mut error: ErrorBody, index: Option<&NodeIndexUid>, uid: Option<&IndexUid>) -> ErrorBody {
    if let (Some(index), Some(uid)) = (index, uid) {
        error.message = client_message(&error.message, index.as_str(), uid.as_str(), None);
    }
    error
}

pub(super) fn seen_kind(kind: TaskKind) -> SeenKind {
    match kind {
        TaskKind::DocumentAdditionOrUpdate => SeenKind::Put,
        TaskKind::DocumentDeletion => SeenKind::Deletion,
        TaskKind::SettingsUpdate => SeenKind::Settings,
        TaskKind::IndexCreation => SeenKind::Create,
        TaskKind::IndexDeletion => SeenKind::Drop,
        TaskKind::IndexUpdate => SeenKind::PrimaryKey,
        TaskKind::TaskDeletion => SeenKind::Housekeeping,
        TaskKind::IndexCompaction | TaskKind::SnapshotCreation | TaskKind::DsrUpdate | TaskKind::DsrClear => {
            SeenKind::Upkeep
        }
        TaskKind::DocumentEdition
        | TaskKind::IndexSwap
        | TaskKind::TaskCancelation
        | TaskKind::DumpCreation
        | TaskKind::Export
        | TaskKind::UpgradeDatabase
        | TaskKind::NetworkTopologyChange => SeenKind::Foreign,
    }
}
