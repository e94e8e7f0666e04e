//! What operators ask about nodes, shards and moves (`docs/ADMIN-API.md`).

use std::sync::Arc;

use serde::Deserialize;

use crate::logic::ids::{IndexUid, NodeId, ShardId};
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
    /// What would move if the fleet were another one. Changes nothing.
    Preview(WhatIf),
    /// Make the fleet another one, without new nodes: a plan that its shards follow.
    Start(WhatIf),
    /// Stop moves where they are, or let them go on.
    Pause {
        /// Stop.
        is_paused: bool,
    },
    /// Let every shard stay where it is now; what is half moved is taken back.
    Abort,
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
    },
}

/// Another fleet than the one that is there; by default the same one, balanced.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WhatIf {
    /// Replicas of each shard.
    pub replication_factor: Option<u16>,
    /// Members that would own nothing.
    pub drain: Vec<NodeId>,
    /// Nodes that would join.
    pub add: Vec<NewNode>,
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
