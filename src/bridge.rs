//! The only place where the data plane and the control plane meet.
//!
//! * Downwards (control to data): the routing snapshot and the journal heads, each behind an `ArcSwap`; every core says
//!   on the [`AckBoard`] which epoch it works with, and the control plane sees which snapshots are still held.
//! * Upwards (data to control): [`Command`]s on one queue, bounded by their number and by the bytes of the writes among
//!   them. A full queue is an answer (503), never a wait. Each command carries a reply channel whose receiver is a future
//!   that any executor can await.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use crate::logic::entry::Operation;
use crate::logic::feeder::ReaderProgress;
use crate::logic::ids::{EntryId, IndexUid, NodeIndexUid, Timestamp};
use crate::logic::payload::Payload;
use crate::logic::snapshot::RoutingSnapshot;
use crate::meili::batches::BatchPage;
use crate::meili::error::{ApiError, ErrorBody};
use crate::meili::features::{Features, FeaturesPatch};
use crate::meili::keys::ApiKey;
use crate::meili::tasks::{TaskPage, TaskQuery, TaskView};
use crate::telemetry::requests::Requests;

pub mod acks;
pub mod errands;
pub mod keys;
pub mod memory;
pub mod pipe;
mod published;
pub mod reply;
pub mod rules;
pub mod topology;
pub mod waiting;
pub mod webhooks;

use acks::AckBoard;
use errands::Errands;
use keys::KeyChange;
use memory::Memory;
use published::Published;
use reply::{Reply, ReplyFuture, reply_channel};
use rules::RulesView;
use topology::TopologyRequest;
use waiting::{Claim, Waiting, WaitingWrite};
use webhooks::WebhookRequest;

/// Commands that may wait for the control plane; past this the client gets 503.
const COMMANDS_MAX: usize = 1024;
/// Bytes of writes on their way from the cores to the end of their commit; past this the client gets 503.
const WRITES_MAX_BYTES: u64 = 512 * 1024 * 1024;
/// Bytes of requests and answers, unless configured otherwise.
const MEMORY_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// An index as of the last committed entry, which may be ahead of what readers see. Absent: does not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexHead {
    /// The nodes' name.
    pub node_uid: NodeIndexUid,
    /// Given or inferred by an entry up to now.
    pub primary_key: Option<Arc<str>>,
}

/// All indexes as of the last committed entry.
pub type JournalHeads = HashMap<IndexUid, IndexHead>;

/// A write, checked and cut by shard on a core.
#[derive(Debug)]
pub struct NewWrite {
    /// The client's name of the index; none for task operations.
    pub index: Option<IndexUid>,
    /// What to do.
    pub operation: Operation,
    /// What the core believed of the index when it prepared this; the journal writer refuses with
    /// [`WriteRefusal::HeadMoved`] if that is no longer so.
    pub assumed_head: Option<IndexHead>,
    /// Documents or ids.
    pub payload: Option<Payload>,
    /// See [`crate::logic::entry::Entry::rejection`].
    pub rejection: Option<ErrorBody>,
    /// `customMetadata` of the request.
    pub custom_metadata: Option<String>,
}

impl NewWrite {
    /// What the store will count, about: settings and filters may be as large as documents.
    pub fn bytes(&self) -> u64 {
        let operation = serde_json::to_string(&self.operation).map_or(0, |text| text.len());
        (operation + self.payload.as_ref().map_or(0, |payload| payload.bytes.len())) as u64
    }
}

/// A committed write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The client's `taskUid`.
    pub entry: EntryId,
    /// The task's `enqueuedAt`.
    pub enqueued_at: Timestamp,
}

/// Why a write was not committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WriteRefusal {
    /// The index changed since the core looked: prepare again with the new head.
    HeadMoved(Option<IndexHead>),
    /// To be shown to the client.
    Error(ApiError),
}

/// Something of the whole fleet that is read and changed as one value.
#[derive(Clone, PartialEq, Debug)]
pub struct Keep {
    /// Its name.
    pub name: &'static str,
    /// What it is believed to be.
    pub before: Option<serde_json::Value>,
    /// What it is to be.
    pub value: serde_json::Value,
}

/// The name of what is kept of chats: workspaces with what was set.
pub const CHATS: &str = "chats";

/// What the data plane asks of the control plane.
#[derive(Debug)]
pub enum Command {
    /// Commit a write, if its claim can be had.
    Write(Box<WaitingWrite>, Reply<Result<Accepted, WriteRefusal>>),
    /// One page of tasks.
    Tasks(Box<TaskQuery>, Reply<Result<TaskPage, ApiError>>),
    /// One page of batches.
    Batches(Box<TaskQuery>, Reply<Result<BatchPage, ApiError>>),
    /// All tasks that match, whatever page is asked for, oldest first.
    MatchingTasks(Box<TaskQuery>, Reply<Result<Vec<EntryId>, ApiError>>),
    /// One task.
    Task(EntryId, Reply<Result<TaskView, ApiError>>),
    /// The documents of an unfinished task, as NDJSON.
    TaskDocuments(EntryId, Reply<Result<Bytes, ApiError>>),
    /// Change API keys.
    Keys(Box<KeyChange>, Reply<Result<ApiKey, ApiError>>),
    /// What clients ask about webhooks; answered as JSON.
    Webhooks(Box<WebhookRequest>, Reply<Result<serde_json::Value, ApiError>>),
    /// What is kept by this name; see [`Keep`].
    Kept(&'static str, Reply<Result<Option<serde_json::Value>, ApiError>>),
    /// Keep something by a name, in the store. Answered with false, and nothing changed, if something else is kept by now
    /// than was before.
    Keep(Box<Keep>, Reply<Result<bool, ApiError>>),
    /// Switch experimental features on or off, here and on the nodes; answered with what is on then.
    Features(FeaturesPatch, Reply<Result<Features, ApiError>>),
    /// Give unused space of the store back; answered as JSON, also when it failed.
    CompactStore(Reply<Result<serde_json::Value, ApiError>>),
    /// The state of the fleet for operators, as JSON.
    Fleet(Reply<Result<serde_json::Value, ApiError>>),
    /// What an operator asks about nodes, shards and moves; answered as JSON.
    Topology(Box<TopologyRequest>, Reply<Result<serde_json::Value, ApiError>>),
}

/// Both planes hold one of these.
#[derive(Debug)]
pub struct Bridge {
    /// What readers go by. Changed by [`Bridge::publish`] alone.
    pub snapshot: ArcSwap<RoutingSnapshot>,
    /// What writers go by. Only the journal writer stores here.
    pub heads: ArcSwap<JournalHeads>,
    /// The experimental features of the fleet. Only the thread that keeps them stores here.
    pub features: ArcSwap<Features>,
    /// The search rules of the fleet. Only the thread that keeps them stores here.
    pub rules: ArcSwap<RulesView>,
    /// Which epoch each core works with.
    pub acks: AckBoard,
    /// What the cores have answered.
    pub requests: Requests,
    /// Of requests and answers.
    pub memory: Arc<Memory>,
    /// What conversations need done outside of the cores.
    pub errands: Errands,
    published: Published,
    commands: Sender<Command>,
    waiting: Waiting,
}

/// What comes of a write that was handed over.
pub type WriteAnswer = ReplyFuture<Result<Accepted, WriteRefusal>>;

impl Bridge {
    /// A bridge for so many cores, and the control plane's end of the queue.
    pub fn new(cores: usize) -> (Arc<Self>, Receiver<Command>) {
        Self::with_memory(cores, MEMORY_MAX_BYTES)
    }

    /// The same with another bound for requests and answers.
    pub fn with_memory(cores: usize, memory_max: u64) -> (Arc<Self>, Receiver<Command>) {
        let (commands, receiver) = bounded(COMMANDS_MAX);
        let bridge = Self {
            snapshot: ArcSwap::default(),
            heads: ArcSwap::default(),
            features: ArcSwap::default(),
            rules: ArcSwap::default(),
            acks: AckBoard::new(cores),
            requests: Requests::new(cores),
            memory: Memory::new(memory_max),
            errands: Errands::default(),
            published: Published::default(),
            commands,
            waiting: Waiting::new(WRITES_MAX_BYTES),
        };
        (Arc::new(bridge), receiver)
    }

    /// Shows a snapshot to readers and wakes the cores. For the publisher, which takes care that epochs grow.
    pub fn publish(&self, snapshot: RoutingSnapshot) {
        let snapshot = Arc::new(snapshot);
        self.published.note(&snapshot);
        self.snapshot.store(snapshot);
        self.acks.wake_all();
    }

    /// How far the cores, and all requests that are under way, have followed the publications.
    pub fn progress(&self) -> ReaderProgress {
        ReaderProgress { acknowledged: self.acks.acknowledged(), drained: self.published.oldest_held() }
    }

    /// Hands a write over; none when too much waits or the control plane is gone. Who takes the claim before the journal
    /// does has prevented the write.
    pub fn write(&self, write: NewWrite) -> Option<(WriteAnswer, Claim)> {
        let waiting = self.waiting.enter(write)?;
        let claim = waiting.claim.clone();
        self.ask(|reply| Command::Write(Box::new(waiting), reply)).map(|answer| (answer, claim))
    }

    /// Hands a command over; none when the queue is full or the control plane is gone.
    pub fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Option<ReplyFuture<T>> {
        let (reply, future) = reply_channel();
        match self.commands.try_send(command(reply)) {
            Ok(()) => Some(future),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }
}
