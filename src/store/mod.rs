//! Durable state: one trait, one set of records, one contract suite for all implementations.
//!
//! Every method that changes something returns only after the change is durable. Each call is one transaction. What is
//! stored when is the feeder protocol's business (`docs/FEEDER-PROTOCOL.md`); the store only keeps its word.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::logic::entry::{Entry, Resolution};
use crate::logic::feeder::Needed;
use crate::logic::ids::{EntryId, IndexUid, JobId, NodeId, NodeIndexUid, NodeTask, Position, ShardId, Timestamp};
use crate::logic::payload::Payload;
use crate::logic::plan_history::PlanRecord;
use crate::logic::topology::{BootstrapRecord, JobRecord, JoinRecord, NodeRecord, Tables};
use crate::meili::error::ErrorBody;
use crate::meili::keys::ApiKey;
use crate::meili::tasks::{TaskQuery, TaskStatus};
use crate::meili::webhooks::Webhooks;

#[cfg(test)]
pub mod contract;
pub mod sqlite;

/// The settings vote of the fleet, written once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Decision {
    /// Every required replica took them.
    Commit,
    /// Some required replica rejected them: all go back to the settings before.
    Abort,
}

/// How an entry ended, written once.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Succeeded, failed or canceled.
    pub status: TaskStatus,
    /// Why it failed.
    pub error: Option<ErrorBody>,
    /// Numbers for the task's details, by what they count.
    pub counts: OutcomeCounts,
    /// The entry that canceled it.
    pub canceled_by: Option<EntryId>,
    /// When the first node began.
    pub started_at: Option<Timestamp>,
    /// When it was reported.
    pub finished_at: Timestamp,
}

/// What an entry did, each document counted once.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OutcomeCounts {
    /// Documents put.
    pub indexed: Option<u64>,
    /// Documents deleted.
    pub deleted: Option<u64>,
    /// Tasks canceled or deleted.
    pub tasks: Option<u64>,
    /// Of an index on all nodes, before and after it was compacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<(u64, u64)>,
    /// Documents sent to another server, by index.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exported: BTreeMap<IndexUid, u64>,
}

/// An index as of the last entry in the journal, which may be ahead of what readers see: what new writes are checked
/// against. Belongs to the journal writer; the coordinator's is [`IndexRecord`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeadRecord {
    /// The nodes' name.
    pub node_uid: NodeIndexUid,
    /// Given or inferred by an entry up to now.
    pub primary_key: Option<String>,
    /// Some entry put documents and none deleted them all since: the primary key cannot change any more.
    pub may_hold_documents: bool,
}

/// What an append makes of an index's head; none when the last entry deletes the index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeadChange {
    /// The client's name.
    pub uid: IndexUid,
    /// What it is from now on.
    pub head: Option<HeadRecord>,
}

/// An index as of the applied entries, from its creation on. Belongs to the coordinator, which makes it of the entry that
/// creates the index, and keeps it after the deletion as long as entries refer to it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct IndexRecord {
    /// The client's name.
    pub uid: IndexUid,
    /// The nodes' name.
    pub node_uid: NodeIndexUid,
    /// The entry that created it.
    pub created_by: EntryId,
    /// The entry that deletes it.
    pub dropped_by: Option<EntryId>,
    /// Known once given or inferred.
    pub primary_key: Option<String>,
    /// The user's settings as of the last committed change.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Readers see it: its creation was reported and its deletion was not.
    pub is_visible: bool,
}

/// A verdict: this chunk was rejected when it was alone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The step.
    pub position: Position,
    /// The chunk.
    pub shard: ShardId,
    /// What the node said, with index names mapped back.
    pub error: ErrorBody,
}

/// All protocol state that a restart needs.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ProtocolState {
    /// Watermarks: every step up to and including it that touches the node is resolved there.
    pub applied: BTreeMap<(NodeId, NodeIndexUid), Position>,
    /// First task number that is not accounted for.
    pub next_task: BTreeMap<NodeId, NodeTask>,
    /// Not in sync.
    pub out_of_sync: BTreeSet<(NodeId, NodeIndexUid)>,
    /// Differ from their peers in a way that no replay repairs: out of sync until they are rebuilt.
    pub needs_rebuild: BTreeSet<(NodeId, NodeIndexUid)>,
    /// Chunks rejected alone, of entries that are not reported yet.
    pub verdicts: Vec<Verdict>,
    /// Decisions on steps that some node has not passed yet, and the last one of each index.
    pub decisions: BTreeMap<Position, Decision>,
    /// Everybody who ever was a member, in the order in which they came.
    pub nodes: Vec<NodeRecord>,
    /// Which nodes own which shards; empty before the first start.
    pub tables: Tables,
    /// Replicas on their way, in the order in which they were begun.
    pub jobs: Vec<JobRecord>,
    /// The number that the next job gets. Never goes back, even when jobs end.
    pub next_job: JobId,
    /// How far the indexes of the jobs are.
    pub joins: Vec<JoinRecord>,
    /// What is brought to a position before its main stream begins.
    pub bootstraps: Vec<BootstrapRecord>,
    /// The last plans, the newest last.
    pub plans: Vec<PlanRecord>,
}

/// A change of protocol state; one transaction.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ProtocolDelta {
    /// New watermarks.
    pub applied: Vec<(NodeId, NodeIndexUid, Position)>,
    /// New task numbers.
    pub next_task: Vec<(NodeId, NodeTask)>,
    /// Leaving the in-sync set.
    pub went_out: Vec<(NodeId, NodeIndexUid)>,
    /// Back in the in-sync set.
    pub came_back: Vec<(NodeId, NodeIndexUid)>,
    /// To be rebuilt from their peers.
    pub needs_rebuild: Vec<(NodeId, NodeIndexUid)>,
    /// New verdicts.
    pub verdicts: Vec<Verdict>,
    /// New decisions.
    pub decisions: Vec<(Position, Decision)>,
    /// Steps whose decisions nobody needs any more.
    pub passed: Vec<Position>,
    /// Entries that give indexes other names, with the pairs of clients' names that change places in all entries before
    /// them. Done once for an entry, however often it is asked for.
    pub renamed: Vec<(EntryId, Vec<(IndexUid, IndexUid)>)>,
    /// Entries that ended. A second outcome for one entry is an error of the caller.
    pub outcomes: Vec<(EntryId, Outcome)>,
    /// Entries some node has begun with.
    pub started: Vec<(EntryId, Timestamp)>,
    /// Index records to write over those with the same node name.
    pub indexes: Vec<IndexRecord>,
    /// When documents of these indexes changed, without the rest of their records.
    pub updated: BTreeMap<NodeIndexUid, Timestamp>,
    /// Index records that nothing refers to any more, with their watermarks, joins and bootstraps, whatever else is said
    /// of them here.
    pub forgotten_indexes: Vec<NodeIndexUid>,
    /// Members as they are from now on, written over by id.
    pub nodes: Vec<NodeRecord>,
    /// Which nodes own which shards from now on.
    pub tables: Option<Tables>,
    /// Jobs as they are from now on, written over by id.
    pub jobs: Vec<JobRecord>,
    /// Jobs that are done, with their joins, whatever else is said of them here.
    pub ended_jobs: Vec<JobId>,
    /// How far indexes of jobs are from now on.
    pub joins: Vec<JoinRecord>,
    /// Joins that are done, whatever else is said of them here.
    pub ended_joins: Vec<(JobId, NodeIndexUid)>,
    /// Bootstraps as they are from now on.
    pub bootstraps: Vec<BootstrapRecord>,
    /// Bootstraps that are done; one that is begun anew in the same transaction stays.
    pub ended_bootstraps: Vec<(NodeId, NodeIndexUid)>,
    /// Were rebuilt from their peers; one that differs anew in the same transaction stays to be rebuilt.
    pub rebuilt: Vec<(NodeId, NodeIndexUid)>,
    /// Nodes of which only their record is kept: their watermarks, task numbers and bootstraps go, whatever else is said of
    /// them here.
    pub removed_nodes: Vec<NodeId>,
    /// The last plans, in place of those that were there.
    pub plans: Option<Vec<PlanRecord>>,
}

impl ProtocolDelta {
    /// Nothing to store.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A change of API keys: first some go, then some are written over those of the same uid.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KeyChanges {
    /// No keys any more; those that are not there do not matter.
    pub removed: Vec<Uuid>,
    /// Keys as they are from now on.
    pub written: Vec<ApiKey>,
}

/// An entry with what is known about its end.
#[derive(Clone, PartialEq, Debug)]
pub struct TaskRecord {
    /// The entry, under the name that its index has by now.
    pub entry: Entry,
    /// Some node has begun.
    pub started_at: Option<Timestamp>,
    /// See [`Resolution`].
    pub resolution: Option<Resolution>,
    /// None until it ended.
    pub outcome: Option<Outcome>,
    /// Deleted from the task list; kept only because some node may still need the entry.
    pub is_deleted: bool,
}

/// Tasks that match a query.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TaskRecordPage {
    /// One page.
    pub records: Vec<TaskRecord>,
    /// All that match.
    pub total: u64,
    /// First of the next page.
    pub next: Option<EntryId>,
}

/// Tasks that belong together: one that began, with those that it canceled.
#[derive(Clone, PartialEq, Debug)]
pub struct BatchRecord {
    /// The number of the task that began.
    pub uid: EntryId,
    /// Those that are not deleted, oldest first; at least one.
    pub tasks: Vec<TaskRecord>,
}

/// Batches that match a query.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BatchRecordPage {
    /// One page.
    pub batches: Vec<BatchRecord>,
    /// All that match.
    pub total: u64,
    /// First of the next page.
    pub next: Option<EntryId>,
}

/// What waits for the nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BacklogSize {
    /// How many entries.
    pub entries: u64,
    /// Of the entries as they are stored, and of their payloads.
    pub bytes: u64,
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the database failed; nothing was changed.
    #[error("the store failed: {0}")]
    Failed(String),
    /// No space left; nothing was changed.
    #[error("no space left: {0}")]
    Full(String),
    /// What was read is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The caller broke a rule, a second outcome for example; nothing was changed.
    #[error("refused by the store: {0}")]
    Refused(String),
}

/// What [`Store::compact`] did, in bytes: of the database with its log, without the payloads in files of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compaction {
    /// Size before.
    pub before: u64,
    /// Size after.
    pub after: u64,
}

/// See the module. Implementations are shared by all control-plane threads.
pub trait Store: Send + Sync {
    /// Appends entries in order, with their payloads and what they make of the heads; one durable commit for all. The
    /// ids must follow the last one without a gap.
    fn append(&self, entries: &[(Entry, Option<Payload>)], heads: &[HeadChange]) -> Result<(), StoreError>;

    /// All indexes as of the last entry.
    fn heads(&self) -> Result<BTreeMap<IndexUid, HeadRecord>, StoreError>;

    /// The id that the next entry gets. Never goes back, even when tasks are deleted.
    fn next_entry(&self) -> Result<EntryId, StoreError>;

    /// Entries of one index, by the nodes' name, from this id on, in order, at most so many.
    fn index_entries_from(
        &self,
        index: &NodeIndexUid,
        first: EntryId,
        limit: usize,
    ) -> Result<Vec<TaskRecord>, StoreError>;

    /// Entries without an outcome from this id on, in order, at most so many.
    fn unreported_from(&self, first: EntryId, limit: usize) -> Result<Vec<TaskRecord>, StoreError>;

    /// One entry.
    fn entry(&self, id: EntryId) -> Result<Option<TaskRecord>, StoreError>;

    /// The payload of an entry; none when it has none.
    fn payload(&self, id: EntryId) -> Result<Option<Payload>, StoreError>;

    /// The entries that match and are not deleted, one page, newest first unless reversed.
    fn tasks(&self, query: &TaskQuery) -> Result<TaskRecordPage, StoreError>;

    /// The batches of entries that are not deleted, one page by their numbers, newest first unless reversed. Each filter must
    /// match some entry of the batch; `canceled_by` names cancelations, whose batches are meant.
    fn batches(&self, query: &TaskQuery) -> Result<BatchRecordPage, StoreError>;

    /// All entries that match and are not deleted, whatever page is asked for, oldest first.
    fn matching_tasks(&self, query: &TaskQuery) -> Result<Vec<EntryId>, StoreError>;

    /// How many entries are in the task list.
    fn task_count(&self) -> Result<u64, StoreError>;

    /// The oldest entries in the task list that have ended, at most so many, oldest first.
    fn oldest_ended(&self, limit: usize) -> Result<Vec<EntryId>, StoreError>;

    /// Removes ended entries from the task list (others are left alone); the journal keeps them until [`Self::trim`].
    /// Returns how many.
    fn delete_tasks(&self, ids: &[EntryId]) -> Result<u64, StoreError>;

    /// Removes the payloads of ended entries that are not needed, and those that were deleted from the task list altogether,
    /// in many small transactions, as long as it may go on. Returns how many entries were trimmed.
    fn trim(&self, needed: &Needed, may_go_on: &dyn Fn() -> bool) -> Result<u64, StoreError>;

    /// Gives the space of what was deleted and trimmed back to the file system. Whoever writes waits for it; it needs as much
    /// space again for the time being, and changes nothing when that is not there.
    fn compact(&self) -> Result<Compaction, StoreError>;

    /// The first entry of an index, by the nodes' name, that has a payload.
    fn first_payload(&self, index: &NodeIndexUid) -> Result<Option<EntryId>, StoreError>;

    /// Stores what an entry turned into, with its payload; once. Also narrows the entry's shards.
    fn resolve(&self, id: EntryId, resolution: &Resolution, payload: Option<&Payload>) -> Result<(), StoreError>;

    /// All protocol state, for the start.
    fn protocol_state(&self) -> Result<ProtocolState, StoreError>;

    /// All index records that are kept.
    fn indexes(&self) -> Result<Vec<IndexRecord>, StoreError>;

    /// One transaction of protocol state.
    fn commit(&self, delta: &ProtocolDelta) -> Result<(), StoreError>;

    /// Entries without an outcome. Reads them all.
    fn backlog(&self) -> Result<BacklogSize, StoreError>;

    /// All API keys.
    fn keys(&self) -> Result<Vec<ApiKey>, StoreError>;

    /// One transaction of API keys.
    fn change_keys(&self, changes: &KeyChanges) -> Result<(), StoreError>;

    /// Who is told of finished tasks.
    fn webhooks(&self) -> Result<Webhooks, StoreError>;

    /// Writes them all. While there is any, entries that end are noted in [`Self::unannounced`]; without one, what is noted
    /// there is forgotten.
    fn save_webhooks(&self, webhooks: &Webhooks) -> Result<(), StoreError>;

    /// Entries that have ended and that webhooks were not told of, oldest first, at most so many.
    fn unannounced(&self, limit: usize) -> Result<Vec<EntryId>, StoreError>;

    /// Webhooks were told of these.
    fn announced(&self, entries: &[EntryId]) -> Result<(), StoreError>;

    /// What is fixed about the cluster; none at the first start.
    fn cluster(&self) -> Result<Option<ClusterRecord>, StoreError>;

    /// Writes them.
    fn save_cluster(&self, cluster: &ClusterRecord) -> Result<(), StoreError>;

    /// Something of the whole fleet that has a name of its own and no history; none until it is kept.
    fn kept(&self, name: &str) -> Result<Option<serde_json::Value>, StoreError>;

    /// Keeps it, over what was kept by this name.
    fn keep(&self, name: &str, value: &serde_json::Value) -> Result<(), StoreError>;

    /// Makes a backup of everything as of one moment, in a new folder of this name in `folder`, while others go on writing.
    /// It is there when it is whole, checked and durable, or not at all.
    fn back_up(&self, folder: &Path, name: &str) -> Result<BackupRecord, StoreError>;

    /// The next entry gets this id; those in between are never given. With it, all or nothing, comes what changes by the
    /// leap, and what is to be kept by its name.
    fn go_on_at(
        &self,
        next: EntryId,
        delta: &ProtocolDelta,
        kept: (&str, &serde_json::Value),
    ) -> Result<(), StoreError>;
}

/// What a backup holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRecord {
    /// None before the first start.
    pub cluster_id: Option<String>,
    /// The number of the first write that is not in it.
    pub next_entry: EntryId,
    /// Of the database.
    pub database_bytes: u64,
    /// Payloads in files of their own.
    pub payload_files: u64,
    /// Theirs.
    pub payload_bytes: u64,
}

/// What is fixed about the cluster. Its members and who owns which shard may change: see [`ProtocolState`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// Set once.
    pub shard_count: u16,
    /// Random, made at the first start, for people who look after several clusters.
    pub cluster_id: String,
}
