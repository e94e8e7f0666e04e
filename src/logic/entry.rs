//! Journal entries and the steps that they consist of.
//!
//! An entry is what a client asked for and what its task shows; a step is what a node does for it, and the unit of the
//! feeder protocol. Most entries have one step; adding documents to an index that does not exist has three (create,
//! settings, put). Steps are derived from the entry alone, hence the same at every replay.

use serde::{Deserialize, Serialize};

use super::ids::{EntryId, IndexUid, NodeIndexUid, Position, ShardId, Timestamp};
use crate::meili::error::ErrorBody;
use crate::meili::export::Export;
use crate::meili::search_rules::RulesChange;
use crate::meili::tasks::TaskKind;

/// How a put treats a document that exists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum PutMode {
    /// The new document takes its place (`POST /documents`).
    Replace,
    /// The new document's fields are written over it (`PUT /documents`).
    Update,
}

/// One pair of a swap.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Swap {
    /// The two names; of a rename the old one and the new one.
    pub indexes: (IndexUid, IndexUid),
    /// The second name is not taken.
    #[serde(rename = "rename")]
    pub is_rename: bool,
}

/// What a client asked for. Payloads (documents, ids) are kept beside the entry, see [`super::payload`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Operation {
    /// Add documents; the payload holds them by shard.
    PutDocuments {
        /// Replace or update.
        mode: PutMode,
        /// Documents in the request, duplicates counted.
        received: u64,
        /// The primary key that all steps of this entry use; none when there is no document to find it in, or when the
        /// entry is rejected because it could not be inferred.
        primary_key: Option<String>,
        /// The index does not exist at this position and is created first. Of a write that waits for the journal: the index
        /// may be created by it.
        creates_index: bool,
        /// The index exists without a primary key and gets one first.
        sets_primary_key: bool,
        /// Documents that do not exist at this position are left out.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        skips_missing: bool,
    },
    /// Delete documents by id; the payload holds the ids by shard.
    DeleteDocuments {
        /// Ids in the request, duplicates counted.
        provided: u64,
    },
    /// Delete the documents that match. Resolved to ids at its position before any node gets anything.
    DeleteByFilter {
        /// As the client sent it: a string or nested arrays.
        filter: serde_json::Value,
    },
    /// Run a function on the documents that match. Resolved to the documents that it changes, and the ids of those that it
    /// deletes, at its position before any node gets anything.
    EditDocuments {
        /// As the client sent it; none: all documents.
        filter: Option<serde_json::Value>,
        /// In the language Rhai.
        function: String,
        /// What the function finds as `context`.
        context: Option<serde_json::Map<String, serde_json::Value>>,
    },
    /// Delete all documents.
    ClearDocuments,
    /// Create an index.
    CreateIndex {
        /// As the client sent it.
        primary_key: Option<String>,
    },
    /// Change the primary key of an index without documents, or its name.
    UpdateIndex {
        /// As the client sent it.
        primary_key: Option<String>,
        /// From which name to which one, which may be the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rename: Option<(IndexUid, IndexUid)>,
    },
    /// Let indexes change their names.
    SwapIndexes {
        /// In the order of the request; every name occurs once.
        swaps: Vec<Swap>,
        /// What each index is called from here on, by the nodes' names.
        names: Vec<(NodeIndexUid, IndexUid)>,
    },
    /// Delete an index with all it holds.
    DeleteIndex,
    /// Change settings.
    UpdateSettings {
        /// The user's settings to change; `null` resets one. Single routes are written as the whole route would be.
        patch: serde_json::Value,
        /// The task shows the patch as a deletion (`DELETE` routes).
        is_deletion: bool,
        /// The index does not exist at this position and is created first. Of a write that waits for the journal: the index
        /// may be created by it.
        creates_index: bool,
    },
    /// Give the free space of an index back to the disks of all nodes.
    CompactIndex,
    /// Let every node make a snapshot of itself.
    CreateSnapshot,
    /// Change which documents are pinned to which places of searches.
    ChangeRules(RulesChange),
    /// Write all that there is at this position into a file.
    CreateDump,
    /// Send what there is at this position to another server.
    Export(Export),
    /// Cancel entries that no feeder has sent.
    CancelTasks {
        /// The query string, as the task shows it.
        original_filter: String,
        /// The entries that matched when the request was accepted.
        matched: Vec<EntryId>,
    },
    /// Delete ended entries from the task list.
    DeleteTasks {
        /// The query string, as the task shows it.
        original_filter: String,
        /// The entries that matched when the request was accepted.
        matched: Vec<EntryId>,
    },
}

impl Operation {
    /// The `type` of its task.
    pub fn task_kind(&self) -> TaskKind {
        match self {
            Self::PutDocuments { .. } => TaskKind::DocumentAdditionOrUpdate,
            Self::DeleteDocuments { .. } | Self::DeleteByFilter { .. } | Self::ClearDocuments => {
                TaskKind::DocumentDeletion
            }
            Self::EditDocuments { .. } => TaskKind::DocumentEdition,
            Self::CreateIndex { .. } => TaskKind::IndexCreation,
            Self::UpdateIndex { .. } => TaskKind::IndexUpdate,
            Self::DeleteIndex => TaskKind::IndexDeletion,
            Self::UpdateSettings { .. } => TaskKind::SettingsUpdate,
            Self::SwapIndexes { .. } => TaskKind::IndexSwap,
            Self::CompactIndex => TaskKind::IndexCompaction,
            Self::CreateSnapshot => TaskKind::SnapshotCreation,
            Self::ChangeRules(RulesChange::Clear) => TaskKind::DsrClear,
            Self::ChangeRules(RulesChange::Set { .. } | RulesChange::Delete { .. }) => TaskKind::DsrUpdate,
            Self::CreateDump => TaskKind::DumpCreation,
            Self::Export(_) => TaskKind::Export,
            Self::CancelTasks { .. } => TaskKind::TaskCancelation,
            Self::DeleteTasks { .. } => TaskKind::TaskDeletion,
        }
    }
}

/// One accepted operation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, the client's `taskUid`.
    pub id: EntryId,
    /// When it was accepted.
    pub enqueued_at: Timestamp,
    /// The index by the client's name; none for task operations.
    pub index: Option<IndexUid>,
    /// The index by the nodes' name; none when no node is concerned.
    pub target: Option<NodeIndexUid>,
    /// What to do.
    pub operation: Operation,
    /// Shards that the payload touches, ascending. Index-wide steps touch all shards whatever this says.
    pub shards: Vec<ShardId>,
    /// Set when the checks at acceptance found that it cannot succeed: its task fails with this, and it touches no node
    /// unless it creates an index first.
    pub rejection: Option<ErrorBody>,
    /// `customMetadata` of the request.
    pub custom_metadata: Option<String>,
}

/// What a node does in one step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum StepKind {
    /// Create the index under its node name, with its primary key if that is known.
    Create,
    /// Send the settings derived from the user's settings as of this step.
    Settings,
    /// Set the primary key.
    PrimaryKey,
    /// Put the documents of the node's shards.
    Put(PutMode),
    /// Delete the ids of the node's shards.
    Delete,
    /// Delete all documents.
    Clear,
    /// Delete the index.
    Drop,
}

impl StepKind {
    /// Puts and deletes by id: may be sent one after the other without waiting, and repeated in order.
    pub fn is_document(self) -> bool {
        match self {
            Self::Put(_) | Self::Delete => true,
            Self::Create | Self::Settings | Self::PrimaryKey | Self::Clear | Self::Drop => false,
        }
    }

    /// Index-wide steps: nothing of the index is pending on the node when one is sent, and nothing follows before it
    /// has ended.
    pub fn is_barrier(self) -> bool {
        !self.is_document()
    }
}

/// One step of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Its place in the journal.
    pub position: Position,
    /// What a node does.
    pub kind: StepKind,
}

/// What an entry that depends on the documents turned into at its position. Written once, before any node gets the
/// entry.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Resolution {
    /// The ids to delete are the entry's payload now.
    Ids {
        /// How many.
        count: u64,
        /// The shards that they lie in, ascending.
        shards: Vec<ShardId>,
    },
    /// Some documents of a put do not exist and are left out.
    Existing {
        /// The shards in which any is left, ascending.
        shards: Vec<ShardId>,
        /// By shard, the lines of its section that are left out, from 0 on, ascending.
        left_out: Vec<(ShardId, Vec<u32>)>,
    },
    /// The entry's payload holds now the documents to put, and behind them the ids to delete.
    Edited {
        /// Documents that the function was run on.
        documents: u64,
        /// The shards with documents to put, ascending; the first sections of the payload are theirs.
        put: Vec<ShardId>,
        /// The shards with ids to delete, ascending; the other sections are theirs.
        deleted: Vec<ShardId>,
    },
    /// Documents in the index before the step, for the task's details.
    Count(u64),
    /// The user's settings before and after the step: what every node gets now, at a replay, and on the way back when
    /// a node rejects them.
    Settings {
        /// As of the last committed change before this one.
        before: serde_json::Map<String, serde_json::Value>,
        /// With this change.
        after: serde_json::Map<String, serde_json::Value>,
    },
    /// The primary key before the step, for the way back.
    PrimaryKey {
        /// None when there was none.
        before: Option<String>,
    },
    /// It cannot be done; touches nothing, the task fails.
    Failed(ErrorBody),
}

impl Entry {
    /// The steps in order; none for task operations, for swaps, and for rejected entries that create no index.
    pub fn steps(&self) -> Vec<Step> {
        let kinds: Vec<StepKind> = match (&self.rejection, &self.operation) {
            // One server creates the index even if the documents that came with it are refused.
            (Some(_), Operation::PutDocuments { creates_index: true, .. }) => {
                vec![StepKind::Create, StepKind::Settings]
            }
            (Some(_), _) => vec![],
            (None, Operation::PutDocuments { mode, creates_index: true, .. }) => {
                vec![StepKind::Create, StepKind::Settings, StepKind::Put(*mode)]
            }
            (None, Operation::PutDocuments { mode, sets_primary_key: true, .. }) => {
                vec![StepKind::PrimaryKey, StepKind::Put(*mode)]
            }
            (None, Operation::PutDocuments { mode, .. }) => vec![StepKind::Put(*mode)],
            (None, Operation::DeleteDocuments { .. } | Operation::DeleteByFilter { .. }) => vec![StepKind::Delete],
            (None, Operation::EditDocuments { .. }) => vec![StepKind::Put(PutMode::Replace), StepKind::Delete],
            (None, Operation::ClearDocuments) => vec![StepKind::Clear],
            (None, Operation::CreateIndex { .. }) => vec![StepKind::Create, StepKind::Settings],
            (None, Operation::UpdateIndex { .. }) => vec![StepKind::PrimaryKey],
            (None, Operation::DeleteIndex) => vec![StepKind::Drop],
            (None, Operation::UpdateSettings { creates_index: true, .. }) => vec![StepKind::Create, StepKind::Settings],
            (None, Operation::UpdateSettings { .. }) => vec![StepKind::Settings],
            (
                None,
                Operation::SwapIndexes { .. }
                | Operation::CompactIndex
                | Operation::CreateSnapshot
                | Operation::ChangeRules(_)
                | Operation::CreateDump
                | Operation::Export(_)
                | Operation::CancelTasks { .. }
                | Operation::DeleteTasks { .. },
            ) => vec![],
        };
        kinds.into_iter().zip(0..).map(|(kind, step)| Step { position: Position::of(self.id, step), kind }).collect()
    }

    /// Whether nodes get it only after it was resolved at its position.
    pub fn needs_resolution(&self) -> bool {
        self.rejection.is_none()
            && match self.operation {
                Operation::DeleteByFilter { .. }
                | Operation::EditDocuments { .. }
                | Operation::ClearDocuments
                | Operation::DeleteIndex => true,
                Operation::PutDocuments { skips_missing, .. } => skips_missing,
                Operation::DeleteDocuments { .. }
                | Operation::CreateIndex { .. }
                | Operation::UpdateIndex { .. }
                | Operation::UpdateSettings { .. }
                | Operation::SwapIndexes { .. }
                | Operation::CompactIndex
                | Operation::CreateSnapshot
                | Operation::ChangeRules(_)
                | Operation::CreateDump
                | Operation::Export(_)
                | Operation::CancelTasks { .. }
                | Operation::DeleteTasks { .. } => false,
            }
    }

    /// What indexes are called from here on, by the nodes' names; empty when all names stay.
    pub fn new_names(&self) -> Vec<(NodeIndexUid, IndexUid)> {
        match (&self.rejection, &self.operation) {
            (None, Operation::SwapIndexes { names, .. }) => names.clone(),
            (None, Operation::UpdateIndex { rename: Some((old, new)), .. }) if old != new => {
                self.target.iter().map(|target| (target.clone(), new.clone())).collect()
            }
            (Some(_) | None, _) => Vec::new(),
        }
    }

    /// The pairs of clients' names that change places here. The second one of a rename is free, or belongs to nothing but
    /// tasks of before.
    pub fn exchanged_names(&self) -> Vec<(IndexUid, IndexUid)> {
        match (&self.rejection, &self.operation) {
            (None, Operation::SwapIndexes { swaps, .. }) => swaps.iter().map(|swap| swap.indexes.clone()).collect(),
            (None, Operation::UpdateIndex { rename: Some((old, new)), .. }) if old != new => {
                vec![(old.clone(), new.clone())]
            }
            (Some(_) | None, _) => Vec::new(),
        }
    }
}
