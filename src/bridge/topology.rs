//! What operators ask about nodes, shards and moves (`docs/ADMIN-API.md`).

use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use crate::logic::ids::{IndexUid, NodeId, ShardId};
use crate::logic::throttle::HourSpan;
use crate::logic::topology::NodeRecord;

/// One request; the answer is JSON.
#[derive(Clone, PartialEq, Debug)]
pub enum TopologyRequest {
    /// Would every document still be found without this node?
    CanStop {
        /// Which.
        node: NodeId,
    },
    /// Who owns a shard, how well, and what moves.
    ExplainShard {
        /// Which; may be no shard of this cluster.
        shard: ShardId,
    },
    /// Where a document is, and whether it is there.
    ExplainDocument {
        /// Of this index.
        index: IndexUid,
        /// Its id, as text.
        document: String,
    },
    /// What moves at the moment, and why.
    RebalanceStatus,
    /// What became of the last plans.
    RebalanceHistory,
    /// What would move if the fleet were another one. Changes nothing.
    Preview(WhatIf),
    /// Make the fleet another one, without new nodes: a plan that its shards follow.
    Start(WhatIf),
    /// Stop moves where they are, or let them go on.
    Pause {
        /// Stop.
        is_paused: bool,
        /// Only say what waits then.
        dry_run: bool,
    },
    /// Let every shard stay where it is now; what is half moved is taken back.
    Abort {
        /// Only say what would not move.
        dry_run: bool,
    },
    /// Let shards move faster or slower.
    SetPace(PaceChange),
    /// Let a node give back the disk space that its indexes do not use.
    Compact {
        /// Which.
        node: NodeId,
        /// Only say what it would come to.
        dry_run: bool,
    },
    /// Compare the settings on all nodes with those that they should have, now.
    CheckSettings,
    /// Make this node a member; it gets every index, and no shard yet.
    AddNode {
        /// Active.
        node: NodeRecord,
        /// Only say whether it could be.
        dry_run: bool,
    },
    /// Take a member away that owns nothing.
    RemoveNode {
        /// Which.
        node: NodeId,
        /// Only say whether it could be.
        dry_run: bool,
    },
    /// Give up a member that is gone, whatever it owns.
    RemoveByForce {
        /// Which.
        node: NodeId,
        /// Only say whether it could be, and what would move then.
        dry_run: bool,
    },
    /// Let a new node get exactly what a member has, which is drained.
    ReplaceNode {
        /// The member.
        old: NodeId,
        /// Who comes. Without a zone it gets that of the member.
        new: NodeRecord,
        /// Otherwise it gets that of the member.
        has_weight: bool,
        /// Only say whether it could be, and what would move then.
        dry_run: bool,
    },
    /// Read from a node, or not.
    Maintain {
        /// Which.
        node: NodeId,
        /// Not any more.
        is_on: bool,
        /// Even if some documents are not found then.
        force: bool,
        /// Only say what would not be found.
        dry_run: bool,
    },
    /// Compare all replicas; one comparison at a time.
    Verify {
        /// Put right what is known to be wrong.
        is_repairing: bool,
        /// This member is wrong where nothing else says which one is.
        distrust: Option<NodeId>,
    },
    /// How the last comparison of all replicas stands.
    VerifyStatus,
    /// Make a backup of Miroir's own store.
    BackUp,
    /// How the last backup stands.
    BackupStatus,
}

/// Another fleet than the one that is there; by default the same one, balanced.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WhatIf {
    /// Replicas of each shard.
    pub replication_factor: Option<u16>,
    /// Members that would own nothing.
    pub drain: Vec<NodeId>,
    /// Draining members that would stay after all.
    pub keep: Vec<NodeId>,
    /// Members that would be gone. As many replicas as the others allow will do then.
    pub lost: Vec<NodeId>,
    /// Nodes that would join.
    pub add: Vec<NewNode>,
}

/// What of the pace becomes another one.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PaceChange {
    /// See [`crate::logic::topology::Pace`].
    pub moves_per_node: Option<usize>,
    /// The same.
    pub shards_per_copy: Option<usize>,
    /// The same.
    pub bytes_per_second: Limit<u64>,
    /// 1 to 100.
    pub busy_percent: Option<u8>,
    /// The same.
    pub hours: Limit<HourSpan>,
    /// Nodes give back the disk space of what they lost to others.
    pub compact: Option<bool>,
    /// First everything becomes as configured.
    pub configured: bool,
    /// Only say what it would be.
    pub dry_run: bool,
}

/// What becomes of a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Limit<T> {
    /// It stays; nothing was said.
    #[default]
    Same,
    /// It is lifted: null.
    Lifted,
    /// It becomes this one.
    Set(T),
}

impl<T> Limit<T> {
    /// What it is after this, none for no limit.
    pub fn after(self, now: Option<T>) -> Option<T> {
        match self {
            Self::Same => now,
            Self::Lifted => None,
            Self::Set(limit) => Some(limit),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Limit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Lifted, Self::Set))
    }
}

/// A node that would join.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewNode {
    /// Its name.
    pub id: NodeId,
    /// Rack or room.
    #[serde(default)]
    pub zone: Option<Arc<str>>,
    /// Share of shards relative to the others; 1 when left out.
    #[serde(default = "one")]
    pub weight: f64,
}

fn one() -> f64 {
    1.0
}
