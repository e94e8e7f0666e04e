//! Everything that an answer is made of, as of one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::control_plane::status::out_of_sync;
use crate::logic::ids::{IndexUid, JobId, NodeId, ShardId};
use crate::logic::snapshot::RoutingSnapshot;
use crate::logic::topology::{JobRecord, NodeRecord, NodeState};
use crate::meili::error::{ApiError, Code};
use crate::store::{IndexRecord, ProtocolState, Store, StoreError};

/// See the module.
pub(super) struct Picture {
    pub protocol: ProtocolState,
    /// Those that readers see, by name.
    pub indexes: Vec<IndexRecord>,
    snapshot: Arc<RoutingSnapshot>,
    /// By node: indexes that are not read from it, or will not be.
    out_of_sync: BTreeMap<NodeId, BTreeSet<IndexUid>>,
    /// Why jobs do not get on.
    pub problems: BTreeMap<JobId, Arc<str>>,
}

impl Picture {
    pub fn load(
        store: &dyn Store,
        snapshot: Arc<RoutingSnapshot>,
        problems: BTreeMap<JobId, Arc<str>>,
    ) -> Result<Self, StoreError> {
        let protocol = store.protocol_state()?;
        let records = store.indexes()?;
        let out_of_sync = out_of_sync(&snapshot, &protocol, &records);
        let mut indexes: Vec<IndexRecord> = records.into_iter().filter(|record| record.is_visible).collect();
        indexes.sort_by(|one, other| one.uid.cmp(&other.uid));
        Ok(Self { protocol, indexes, snapshot, out_of_sync, problems })
    }

    pub fn members(&self) -> impl Iterator<Item = &NodeRecord> {
        self.protocol.nodes.iter().filter(|node| node.state.is_member())
    }

    pub fn member(&self, id: &NodeId) -> Result<&NodeRecord, ApiError> {
        let unknown = || {
            let known: Vec<&str> = self.members().map(|node| node.id.as_str()).collect();
            let message =
                format!("Node `{id}` is not a member of this cluster. Its members are: {}.", known.join(", "));
            ApiError::new(Code::MiroirNodeUnknown, message)
        };
        self.members().find(|node| node.id == *id).ok_or_else(unknown)
    }

    pub fn shard_count(&self) -> u16 {
        self.protocol.tables.owners.len() as u16
    }

    /// By the table; empty for a shard that does not exist.
    pub fn owners(&self, shard: ShardId) -> &[NodeId] {
        self.protocol.tables.owners.get(usize::from(shard.0)).map_or(&[], Vec::as_slice)
    }

    pub fn plan(&self, shard: ShardId) -> &[NodeId] {
        self.protocol.tables.plan.get(usize::from(shard.0)).map_or(&[], Vec::as_slice)
    }

    pub fn jobs_of(&self, shard: ShardId) -> impl Iterator<Item = &JobRecord> {
        self.protocol.jobs.iter().filter(move |job| job.shard == shard)
    }

    pub fn is_reachable(&self, id: &NodeId) -> bool {
        self.snapshot.nodes.iter().any(|node| node.id == *id && node.reachable)
    }

    pub fn is_in_sync(&self, id: &NodeId, index: &IndexUid) -> bool {
        self.out_of_sync.get(id).is_none_or(|indexes| !indexes.contains(index))
    }

    /// A node in maintenance is not read.
    pub fn is_read(&self, id: &NodeId) -> bool {
        self.members().any(|node| node.id == *id && node.state != NodeState::Maintenance)
    }
}
