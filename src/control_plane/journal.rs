//! The journal writer: the one thread that gives writes their number and makes them durable.
//!
//! It takes as many writes as wait (bounded), commits them with one sync of the disk, and only then answers them. Order
//! after a commit: heads for the cores, the coordinator, the clients; so whoever has an answer sees its effect. Questions
//! about tasks are handed to the task desk and never wait behind a commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, TrySendError, select};

use self::history::History;
use super::admission::{Admitted, Stamp, admit, shown_head};
use super::features::FeaturesJob;
use super::key_desk::KeyJob;
use super::operator::OperatorJob;
use super::task_desk::DeskJob;
use super::task_documents::DocumentsJob;
use crate::bridge::reply::Reply;
use crate::bridge::waiting::{Room, WaitingWrite};
use crate::bridge::{Accepted, Bridge, Command, JournalHeads, NewWrite, WriteRefusal};
use crate::logic::entry::{Entry, Operation};
use crate::logic::ids::{EntryId, IndexUid, Timestamp};
use crate::logic::payload::Payload;
use crate::meili::error::{ApiError, Code};
use crate::store::{BacklogSize, HeadChange, HeadRecord, Store, StoreError};
use crate::telemetry::clock;

mod history;
#[cfg(test)]
mod tests;

/// Writes in one commit.
const GROUP_ENTRIES_MAX: usize = 256;
/// Bytes of payload in one commit; a single write may have more.
const GROUP_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Between two measurements of a full backlog.
const MEASURE_PAUSE: Duration = Duration::from_secs(1);

/// What the journal writer needs of the coordinator.
pub trait Coordinator: Send + Sync {
    /// These entries are durable, in order, without a gap. Deletions of tasks are among them but concern the task desk
    /// alone, which writes their outcomes. Must not block for long.
    fn entries_committed(&self, entries: Vec<Arc<Entry>>);
}

type WriteReply = Reply<Result<Accepted, WriteRefusal>>;

/// The state of the thread.
pub struct JournalWriter {
    store: Arc<dyn Store>,
    bridge: Arc<Bridge>,
    coordinator: Arc<dyn Coordinator>,
    desk: Sender<DeskJob>,
    documents: Sender<DocumentsJob>,
    keys: Sender<KeyJob>,
    operator: Sender<OperatorJob>,
    features: Sender<FeaturesJob>,
    heads: BTreeMap<IndexUid, HeadRecord>,
    next: EntryId,
    last_at: Timestamp,
    backlog: Backlog,
    history: History,
}

/// Entries that have not ended, estimated from above.
struct Backlog {
    size: BacklogSize,
    limits: BacklogLimits,
    /// Not measured again before.
    measure_at: Instant,
}

/// How much may wait for the nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BacklogLimits {
    /// `backlog.max_bytes`: of documents, ids, settings, filters.
    pub bytes: u64,
    /// `backlog.max_entries`: each is in memory until it has ended.
    pub entries: u64,
}

/// What the thread is made of.
pub struct JournalParts {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// To the cores.
    pub bridge: Arc<Bridge>,
    /// Told of every commit.
    pub coordinator: Arc<dyn Coordinator>,
    /// Takes what concerns tasks.
    pub desk: Sender<DeskJob>,
    /// Takes who asks for documents of tasks.
    pub documents: Sender<DocumentsJob>,
    /// Takes what concerns API keys.
    pub keys: Sender<KeyJob>,
    /// Takes what concerns nodes, shards and moves.
    pub operator: Sender<OperatorJob>,
    /// Takes what concerns experimental features.
    pub features: Sender<FeaturesJob>,
    /// What may wait.
    pub backlog_limits: BacklogLimits,
    /// `tasks.history_max`: tasks in the list.
    pub history_max: u64,
}

/// Writes on their way into one commit.
#[derive(Default)]
struct Group {
    entries: Vec<(Entry, Option<Payload>)>,
    changes: Vec<HeadChange>,
    replies: Vec<WriteReply>,
    rooms: Vec<Room>,
    bytes: usize,
}

impl Backlog {
    /// A single write larger than the limit goes through when nothing else waits.
    fn fits(&self, bytes: u64) -> bool {
        let Self { size, limits, .. } = self;
        size.entries == 0 || (size.entries < limits.entries && size.bytes + bytes <= limits.bytes)
    }
}

impl JournalWriter {
    /// Reads where the journal ends, and shows the cores the heads.
    pub fn open(parts: JournalParts) -> Result<Self, StoreError> {
        let JournalParts {
            store,
            bridge,
            coordinator,
            desk,
            documents,
            keys,
            operator,
            features,
            backlog_limits,
            history_max,
        } = parts;
        let history = History::open(&*store, history_max)?;
        let heads = store.heads()?;
        let next = store.next_entry()?;
        let backlog = Backlog { size: store.backlog()?, limits: backlog_limits, measure_at: clock::instant() };
        let last_at = Timestamp(0);
        let writer = Self {
            store,
            bridge,
            coordinator,
            desk,
            documents,
            keys,
            operator,
            features,
            heads,
            next,
            last_at,
            backlog,
            history,
        };
        writer.show_heads();
        Ok(writer)
    }

    /// Works until `stop` is closed or nobody can send commands any more. Commands that wait then are answered by the
    /// drop of their replies.
    pub fn run(mut self, commands: &Receiver<Command>, stop: &Receiver<()>) {
        loop {
            select! {
                recv(stop) -> _ => return,
                recv(commands) -> command => match command {
                    Ok(command) => self.take(command, commands),
                    Err(_) => return,
                },
            }
        }
    }

    /// Handles a command and those that wait behind it.
    fn take(&mut self, first: Command, commands: &Receiver<Command>) {
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Write(write, reply) => self.prepare(*write, reply, &mut group),
                Command::Tasks(query, reply) => self.hand_over(DeskJob::Tasks(query, reply)),
                Command::Batches(query, reply) => self.hand_over(DeskJob::Batches(query, reply)),
                Command::MatchingTasks(query, reply) => self.hand_over(DeskJob::MatchingTasks(query, reply)),
                Command::Task(entry, reply) => self.hand_over(DeskJob::Task(entry, reply)),
                Command::TaskDocuments(entry, reply) => {
                    hand_to(&self.documents, DocumentsJob { entry, reply }, DocumentsJob::refuse);
                }
                Command::Keys(change, reply) => hand_to(&self.keys, KeyJob { change, reply }, KeyJob::refuse),
                Command::Webhooks(request, reply) => self.hand_over(DeskJob::Webhooks(request, reply)),
                Command::Kept(name, reply) => self.hand_over(DeskJob::Kept(name, reply)),
                Command::Keep(keep, reply) => self.hand_over(DeskJob::Keep(keep, reply)),
                Command::Features(patch, reply) => {
                    hand_to(&self.features, FeaturesJob { patch, reply }, FeaturesJob::refuse);
                }
                Command::CompactStore(reply) => self.hand_over(DeskJob::CompactStore(reply)),
                Command::Fleet(reply) => self.hand_over(DeskJob::Fleet(reply)),
                Command::Topology(request, reply) => {
                    hand_to(&self.operator, OperatorJob { request, reply }, OperatorJob::refuse);
                }
            }
            let is_full = group.entries.len() >= GROUP_ENTRIES_MAX || group.bytes >= GROUP_BYTES_MAX;
            next = if is_full { None } else { commands.try_recv().ok() };
        }
        if !group.entries.is_empty() {
            self.commit(group);
            self.bound_history();
        }
    }

    /// Deletes the oldest tasks when there are too many: an entry like any other, but nobody waits for an answer.
    fn bound_history(&mut self) {
        let operation = match self.history.due_deletion(&*self.store) {
            Ok(Some(operation)) => operation,
            Ok(None) => return,
            Err(error) => return tracing::error!(%error, "the task list cannot be measured"),
        };
        let (index, assumed_head, payload, rejection, custom_metadata) = (None, None, None, None, None);
        let write = NewWrite { index, operation, assumed_head, payload, rejection, custom_metadata };
        let at = clock::timestamp().max(self.last_at);
        let id = self.next;
        let Ok(Admitted { entry, payload, .. }) = admit(write, &self.heads, Stamp { id, at }) else { return };
        self.last_at = at;
        self.next = EntryId(id.0 + 1);
        self.history.deleted_by(id);
        self.commit(Group { entries: vec![(entry, payload)], ..Group::default() });
    }

    fn hand_over(&self, job: DeskJob) {
        hand_to(&self.desk, job, DeskJob::refuse);
    }

    /// Makes an entry of a write; heads change at once, for the writes behind it in the same group.
    fn prepare(&mut self, waiting: WaitingWrite, reply: WriteReply, group: &mut Group) {
        if !waiting.claim.take() {
            // The client was told that it is not committed.
            return;
        }
        let bytes = waiting.bytes();
        let WaitingWrite { write, room, .. } = waiting;
        if !frees_room(&write.operation) && !self.has_room(bytes) {
            let message = "Too many writes wait for the nodes. Try again later.";
            return reply.send(Err(WriteRefusal::Error(ApiError::new(Code::MiroirOverloaded, message))));
        }
        let at = clock::timestamp().max(self.last_at);
        match admit(write, &self.heads, Stamp { id: self.next, at }) {
            Err(refusal) => reply.send(Err(refusal)),
            Ok(Admitted { entry, payload, changes }) => {
                self.last_at = at;
                self.next = EntryId(self.next.0 + 1);
                for change in changes {
                    apply(&mut self.heads, &change);
                    group.changes.push(change);
                }
                group.bytes += payload.as_ref().map_or(0, |payload| payload.bytes.len());
                self.backlog.size.entries += 1;
                self.backlog.size.bytes += bytes;
                group.entries.push((entry, payload));
                group.replies.push(reply);
                group.rooms.push(room);
            }
        }
    }

    fn has_room(&mut self, bytes: u64) -> bool {
        let now = clock::instant();
        if !self.backlog.fits(bytes) && now >= self.backlog.measure_at {
            // The estimate only grows; what is really left is asked for only when it matters, and not for every refusal.
            match self.store.backlog() {
                Ok(size) => self.backlog.size = size,
                Err(error) => tracing::error!(%error, "the backlog cannot be measured"),
            }
            self.backlog.measure_at = now + MEASURE_PAUSE;
        }
        self.backlog.fits(bytes)
    }

    fn commit(&mut self, group: Group) {
        let Group { entries, changes, replies, rooms: _until_the_end, .. } = group;
        if let Err(error) = self.store.append(&entries, &changes) {
            tracing::error!(%error, entries = entries.len(), "writes could not be stored");
            self.reload();
            let refusal = WriteRefusal::Error(ApiError::new(error_code(&error), error.to_string()));
            for reply in replies {
                reply.send(Err(refusal.clone()));
            }
            return;
        }
        if !changes.is_empty() {
            self.show_heads();
        }
        let entries: Vec<Arc<Entry>> = entries.into_iter().map(|(entry, _)| Arc::new(entry)).collect();
        self.coordinator.entries_committed(entries.clone());
        for entry in &entries {
            if is_for_the_desk(&entry.operation) {
                // It must not be lost: waits when the desk is busy. The desk never waits for this thread.
                let _ = self.desk.send(DeskJob::Execute(entry.clone()));
            }
        }
        self.history.grow(entries.len());
        for (entry, reply) in entries.iter().zip(replies) {
            reply.send(Ok(Accepted { entry: entry.id, enqueued_at: entry.enqueued_at }));
        }
    }

    /// After a failed commit: what is durable counts, not what was prepared.
    fn reload(&mut self) {
        match self.store.next_entry().and_then(|next| Ok((next, self.store.heads()?))) {
            Ok((next, heads)) => {
                self.next = next;
                self.heads = heads;
            }
            // The next commit fails too then, and ends here again.
            Err(error) => tracing::error!(%error, "the journal's end cannot be read"),
        }
    }

    fn show_heads(&self) {
        let heads: JournalHeads = self.heads.iter().map(|(uid, head)| (uid.clone(), shown_head(head))).collect();
        self.bridge.heads.store(Arc::new(heads));
    }
}

/// Hands a job over, or has it refused.
fn hand_to<J>(thread: &Sender<J>, job: J, refuse: impl FnOnce(J)) {
    match thread.try_send(job) {
        Ok(()) => {}
        Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => refuse(job),
    }
}

fn apply(heads: &mut BTreeMap<IndexUid, HeadRecord>, change: &HeadChange) {
    match &change.head {
        Some(head) => heads.insert(change.uid.clone(), head.clone()),
        None => heads.remove(&change.uid),
    };
}

/// Operations on tasks go through when nothing else does.
fn frees_room(operation: &Operation) -> bool {
    matches!(operation, Operation::CancelTasks { .. } | Operation::DeleteTasks { .. })
}

/// Carried out by the task desk, not by the coordinator.
pub fn is_for_the_desk(operation: &Operation) -> bool {
    match operation {
        Operation::DeleteTasks { .. } => true,
        Operation::CancelTasks { .. }
        | Operation::SwapIndexes { .. }
        | Operation::CompactIndex
        | Operation::CreateSnapshot
        | Operation::ChangeRules(_)
        | Operation::CreateDump
        | Operation::Export(_)
        | Operation::PutDocuments { .. }
        | Operation::DeleteDocuments { .. }
        | Operation::DeleteByFilter { .. }
        | Operation::EditDocuments { .. }
        | Operation::ClearDocuments
        | Operation::CreateIndex { .. }
        | Operation::UpdateIndex { .. }
        | Operation::DeleteIndex
        | Operation::UpdateSettings { .. } => false,
    }
}

/// What a client sees of a store that failed.
pub(super) fn error_code(error: &StoreError) -> Code {
    match error {
        StoreError::Full(_) => Code::NoSpaceLeftOnDevice,
        StoreError::Failed(_) | StoreError::Damaged(_) | StoreError::Refused(_) => Code::Internal,
    }
}
