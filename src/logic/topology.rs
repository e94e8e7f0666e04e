//! Members of the fleet and moves of shards, as they are stored: the words of `docs/MOVE-PROTOCOL.md`.
//! What is done with them is the feeder protocol's business (`logic/feeder/moves`).
//!
//! Everything here is durable: each step of a workflow is stored before it has an effect, so a restart goes on from these
//! records alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{JobId, NodeId, NodeIndexUid, Position, ShardId};
use super::throttle::ThrottleLimits;

/// A node that gets, or once got, every index-wide step.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The operator's name; never given twice.
    pub id: NodeId,
    /// `http://HOST:PORT`, without a slash at the end.
    pub url: String,
    /// Rack or room.
    pub zone: Option<Arc<str>>,
    /// Share of shards relative to the others; finite and above 0.
    pub weight: f64,
    /// What the operator wants of it.
    pub state: NodeState,
    /// How often it lost its data. What a move read of a node belongs to one life.
    pub life: u64,
    /// It carries a document that says who it is; without it, it is not known to be the node.
    #[serde(default)]
    pub has_identity: bool,
}

/// What the operator wants of a node. Nothing here says whether it is reachable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Holds what the plan gives it.
    Active,
    /// The plan gives it nothing: its shards move away.
    Draining,
    /// Not read; writes are kept for it, and its shards stay. For upgrades.
    Maintenance,
    /// No member any more. Its name is not given again.
    Removed,
}

impl NodeRecord {
    /// A node in its first life, with the weight 1, in no zone.
    pub fn active(id: NodeId, url: impl Into<String>) -> Self {
        Self { id, url: url.into(), zone: None, weight: 1.0, state: NodeState::Active, life: 0, has_identity: false }
    }
}

impl Tables {
    /// Owners as they are planned.
    pub fn settled(owners: Vec<Vec<NodeId>>, replication_factor: u16) -> Self {
        Self { plan: owners.clone(), owners, replication_factor, version: 1, ..Self::default() }
    }
}

impl NodeState {
    /// Has a feed.
    pub fn is_member(self) -> bool {
        match self {
            Self::Active | Self::Draining | Self::Maintenance => true,
            Self::Removed => false,
        }
    }
}

/// Which nodes own which shards, now and soon.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tables {
    /// By shard: its owners. Readers and verdicts go by it.
    pub owners: Vec<Vec<NodeId>>,
    /// By shard: who is to own it. Jobs make the owners follow, one replica at a time.
    pub plan: Vec<Vec<NodeId>>,
    /// Replicas of each shard in the plan.
    pub replication_factor: u16,
    /// Grows with each change.
    pub version: u64,
    /// No new job begins, and none under way copies.
    #[serde(default)]
    pub is_paused: bool,
    /// How fast shards move.
    #[serde(default)]
    pub pace: Pace,
    /// What somebody else has changed on nodes and is to be sent again.
    #[serde(default)]
    pub mends: Vec<MendRecord>,
    /// An operator has changed that: what the configuration says does not count.
    #[serde(default)]
    pub is_pace_set: bool,
    /// Replicas whose disk space is to be given back, by node and index.
    #[serde(default)]
    pub compactions: Vec<CompactionRecord>,
}

/// A (node, index) that has lost documents to other nodes since its disk space was given back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CompactionRecord {
    /// Where.
    pub node: NodeId,
    /// Which index.
    pub index: NodeIndexUid,
    /// Documents that were deleted.
    pub deleted: u64,
    /// Whether anybody wants that.
    pub wish: CompactionWish,
}

/// Whether a replica is to be compacted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompactionWish {
    /// It would not gain much; what is deleted later counts together with this.
    Small,
    /// When its node has lost all that it is to lose: if it gains enough.
    Due,
    /// An operator wants it, whatever it gains.
    Asked,
}

/// A (node, index) that gets settings again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MendRecord {
    /// Where.
    pub node: NodeId,
    /// Which index.
    pub index: NodeIndexUid,
    /// What.
    pub mend: Mend,
}

/// What of an index on a node is to be sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Mend {
    /// Its primary key, before the settings.
    pub primary_key: bool,
    /// All its settings.
    pub settings: bool,
}

/// How fast shards move. Operators change it at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pace {
    /// Shards on their way to one node at once; 1 or more.
    pub moves_per_node: usize,
    /// Shards that are read while their source stands still; 1 or more.
    pub shards_per_copy: usize,
    /// Nodes that have lost documents to others give back their disk space.
    #[serde(default = "yes")]
    pub compact: bool,
    /// Bytes, time and hours.
    #[serde(flatten)]
    pub throttle: ThrottleLimits,
}

impl Default for Pace {
    fn default() -> Self {
        Self { moves_per_node: 32, shards_per_copy: 16, compact: true, throttle: ThrottleLimits::default() }
    }
}

fn yes() -> bool {
    true
}

/// Why a shard comes to a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// To a node that does not own it, then away from an owner that the plan does not name.
    Move,
    /// To a node that owns it and lost it.
    Repair,
}

/// How far a job is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStep {
    /// Readers are told that the target may hold documents that it does not own.
    Announce,
    /// The target gets the documents, index by index.
    Copy,
    /// The table names the target; some core may still read the old owner.
    Switched,
    /// The old owner's documents are deleted.
    Clean,
    /// The target's documents are deleted: the plan does not name it any more.
    Undo,
}

/// One replica on its way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobRecord {
    /// Never given twice.
    pub id: JobId,
    /// Why.
    pub kind: JobKind,
    /// Of which shard.
    pub shard: ShardId,
    /// Where to; none takes a replica away only.
    pub target: Option<NodeId>,
    /// Where from, once it has switched: the owner that the table does not name any more.
    pub old_owner: Option<NodeId>,
    /// How far.
    pub step: JobStep,
    /// Indexes whose documents are deleted, in the steps `clean` and `undo`.
    pub cleaned: BTreeSet<NodeIndexUid>,
    /// Indexes of which the old owner has no complete copy.
    pub hollow: BTreeSet<NodeIndexUid>,
}

/// How far one index of a job is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinState {
    /// What the target has of the shard is worth nothing: it is deleted, then copied.
    Clear,
    /// The shard was copied as of the cursor; what lies after it comes with the main stream.
    Joined,
}

/// One index of a job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinRecord {
    /// Which job.
    pub job: JobId,
    /// Of which index.
    pub index: NodeIndexUid,
    /// How far.
    pub state: JoinState,
    /// Where the main stream begins to carry the shard; nothing before it is joined.
    pub cursor: Position,
}

/// A (node, index) that is brought to a position before its main stream begins there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BootstrapRecord {
    /// Where.
    pub node: NodeId,
    /// Which index.
    pub index: NodeIndexUid,
    /// Indexes and settings as of this position; the main stream begins after it.
    pub at: Position,
    /// What is due next.
    pub stage: BootstrapStage,
}

/// What a bootstrap does next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootstrapStage {
    /// Delete what is left of the index.
    Drop,
    /// Create it.
    Create,
    /// Set its settings.
    Settings,
}
