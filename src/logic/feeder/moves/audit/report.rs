//! What the comparison of all replicas has found so far, for operators.

use crate::logic::ids::{Monotonic, NodeId, NodeIndexUid, ShardId};

/// Who wanted the comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AuditOrigin {
    /// It goes on and on, slowly.
    #[default]
    Background,
    /// Somebody waits for it.
    Operator,
}

/// All replicas are compared again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackgroundAudit {
    /// Once in so many milliseconds.
    pub interval_ms: u64,
    /// What is known to be wrong is put right.
    pub is_repairing: bool,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AuditStage {
    /// There was none in this life.
    #[default]
    Never,
    /// Replicas are compared.
    Comparing,
    /// All are compared; what is wrong is put right.
    Repairing,
    /// Nothing is left to do.
    Ended,
}

/// How a comparison of all replicas stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditReport {
    /// Counts them in this life, from 1 on.
    pub number: u64,
    /// Who wanted it.
    pub origin: AuditOrigin,
    /// What is known to be wrong is put right.
    pub is_repairing: bool,
    /// How far it is.
    pub stage: AuditStage,
    /// When it began.
    pub began: Monotonic,
    /// When it ended, if it has.
    pub ended: Option<Monotonic>,
    /// Comparisons of two replicas of a shard of an index, and searches of a node for documents that belong to no shard
    /// there: those that were made, and all.
    pub done: usize,
    /// See `done`.
    pub total: usize,
    /// How often writes to two nodes were held up, and for how long at most.
    pub holds: usize,
    /// See `holds`.
    pub longest_hold_ms: u64,
    /// Those that could not be made.
    pub not_compared: Vec<NotCompared>,
    /// Replicas that are known to differ, from earlier comparisons too as long as nothing shows the contrary.
    pub unequal: Vec<UnequalReplicas>,
    /// The same of documents that belong to no shard of their node.
    pub strays: Vec<StrayDocuments>,
}

impl AuditReport {
    /// Nothing is left to do.
    pub fn is_over(&self) -> bool {
        match self.stage {
            AuditStage::Never | AuditStage::Ended => true,
            AuditStage::Comparing | AuditStage::Repairing => false,
        }
    }
}

/// A shard of an index that its owners do not have alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnequalReplicas {
    /// By the nodes' name.
    pub index: NodeIndexUid,
    /// Which shard.
    pub shard: ShardId,
    /// Documents that differ, or that one node has and another has not: those of the two nodes that differ most.
    pub documents: u64,
    /// Ids of some of them.
    pub examples: Vec<String>,
    /// Nodes that have the same, the largest group first.
    pub alike: Vec<Vec<NodeId>>,
    /// Nodes that are known to be wrong.
    pub wrong: Vec<NodeId>,
    /// What is done about it.
    pub repair: RepairState,
}

/// Documents on a node that belong to no shard which it has, or is to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StrayDocuments {
    /// By the nodes' name.
    pub index: NodeIndexUid,
    /// Where they are.
    pub node: NodeId,
    /// By their marker; none for those without a marker.
    pub shard: Option<ShardId>,
    /// How many.
    pub documents: u64,
    /// Ids of some of them.
    pub examples: Vec<String>,
    /// What is done about it.
    pub repair: RepairState,
}

/// What could not be looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotCompared {
    /// By the nodes' name.
    pub index: NodeIndexUid,
    /// The two, or the one that could not be searched.
    pub nodes: Vec<NodeId>,
    /// Of which shards; empty when one node could not be searched.
    pub shards: Vec<ShardId>,
    /// Why not.
    pub reason: String,
}

/// What is done about something that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RepairState {
    /// Nothing: nobody wanted it.
    NotAsked,
    /// Nothing: there is no sign which side is wrong.
    NoSign,
    /// Nothing: no other replica is read and complete, for this or another shard of the index on that node.
    NoOther,
    /// Nothing: the shard has moved meanwhile, or the index is gone.
    Moved,
    /// Its turn has not come.
    Waiting,
    /// It is being put right.
    UnderWay,
    /// It was put right.
    Done,
}

impl RepairState {
    /// It is still as it was found, for all that is known.
    pub fn is_open(self) -> bool {
        match self {
            Self::NotAsked | Self::NoSign | Self::NoOther | Self::Waiting | Self::UnderWay => true,
            Self::Moved | Self::Done => false,
        }
    }
}

/// Documents that belong to no shard of the node that was searched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundStrays {
    /// By their marker; none for those without a valid one.
    pub shard: Option<ShardId>,
    /// How many.
    pub documents: u64,
    /// Of those without a marker the first thousand, of others a few.
    pub ids: Vec<String>,
}

/// A shard of which two nodes have different documents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnequalShard {
    /// Which.
    pub shard: ShardId,
    /// Documents that differ, or that only one of them has.
    pub documents: u64,
    /// How many of these have the marker of another shard than their own, on the first node and on the second.
    pub misplaced: [u64; 2],
    /// Ids of some of them, of all if they are few.
    pub examples: Vec<String>,
}

impl From<ShardId> for UnequalShard {
    /// Nothing more is known.
    fn from(shard: ShardId) -> Self {
        Self { shard, documents: 1, misplaced: [0, 0], examples: Vec::new() }
    }
}
