//! The routing snapshot: all that a core needs to know to answer a request, immutable, with an epoch.
//!
//! Invariants: every shard of the placement is in each covering set exactly once, either in a part or in `missing`;
//! the replicas in a covering set are in sync for that index.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::ids::{Epoch, IndexUid, NodeId, NodeIndexUid, NodeSlot, ShardId, Timestamp};
use super::topology::NodeRecord;
use crate::meili::keys::KeyRing;

/// One node.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeView {
    /// The operator's name.
    pub id: NodeId,
    /// `http://host:port`, without a slash at the end.
    pub url: String,
    /// Where the node was seen; none while whoever answers at its URL has not shown that it is the node.
    pub address: Option<SocketAddr>,
    /// The operator's label.
    pub zone: Option<Arc<str>>,
    /// Share of shards relative to the others, above 0.
    pub weight: f64,
    /// What the prober last saw. A hint for the choice among replicas, never a reason to leave a shard out.
    pub reachable: bool,
}

impl NodeView {
    /// A node that nobody has looked at yet.
    pub fn of(record: &NodeRecord) -> Self {
        let NodeRecord { id, url, zone, weight, .. } = record.clone();
        Self { id, url, address: None, zone, weight, reachable: false }
    }
}

/// One node's part in a covering set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoverPart {
    /// Which node.
    pub node: NodeSlot,
    /// The shards that it answers for, ascending.
    pub shards: Vec<ShardId>,
    /// `_miroir IN [...]`; none when the node holds exactly those shards.
    pub filter: Option<Arc<str>>,
}

/// Which nodes answer one search, and for which shards each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CoveringSet {
    /// In a fixed order, which decides ties.
    pub parts: Vec<CoverPart>,
    /// Shards without a replica in sync.
    pub missing: Vec<ShardId>,
}

/// One index as readers see it, as of the applied entries.
#[derive(Clone, Debug)]
pub struct IndexView {
    /// The client's name.
    pub uid: IndexUid,
    /// The nodes' name.
    pub node_uid: NodeIndexUid,
    /// Known once it was given or inferred.
    pub primary_key: Option<Arc<str>>,
    /// The user's settings, as stored: only what was set.
    pub settings: Arc<serde_json::Map<String, serde_json::Value>>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: UpdatedAt,
    /// Nodes whose replicas of this index may not be read.
    pub out_of_sync: Vec<NodeSlot>,
    /// Alternatives, at least one; a request picks one by the hash of its query.
    pub covers: Arc<[CoveringSet]>,
}

/// When an index last changed. Every write of documents moves it, so it moves without a new snapshot: clones share it.
#[derive(Clone, Debug, Default)]
pub struct UpdatedAt(Arc<AtomicI64>);

impl UpdatedAt {
    /// At first.
    pub fn new(at: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(at.0)))
    }

    /// Now.
    pub fn get(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    /// Never goes back.
    pub fn raise(&self, at: Timestamp) {
        self.0.fetch_max(at.0, Ordering::Relaxed);
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct RoutingSnapshot {
    /// Its version.
    pub epoch: Epoch,
    /// By [`NodeSlot`].
    pub nodes: Vec<NodeView>,
    /// By [`ShardId`]: the nodes that hold the shard.
    pub placement: Vec<Vec<NodeSlot>>,
    /// Nodes that may hold documents of shards that the placement does not give them: always asked with the filter.
    pub foreign: Vec<NodeSlot>,
    /// By the client's name.
    pub indexes: HashMap<IndexUid, Arc<IndexView>>,
    /// Who may do what.
    pub keys: Arc<KeyRing>,
}
