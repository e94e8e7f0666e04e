//! What operators ask about nodes, shards and moves (`docs/ADMIN-API.md`).

use crate::logic::ids::{IndexUid, NodeId, ShardId};

/// One request; the answer is JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
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
}
