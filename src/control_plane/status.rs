//! The state of the fleet for operators: what each node holds, how far it lags, and which replicas are read.
//!
//! Assembled on the task desk from three sources: the published snapshot (what readers go by), the probers' last look
//! at each node, and the watermarks in the store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use crate::logic::entry::{Entry, StepKind};
use crate::logic::ids::{IndexUid, NodeId, NodeSlot, Position, ShardId, Timestamp};
use crate::logic::snapshot::RoutingSnapshot;
use crate::logic::topology::{NodeRecord, NodeState};
use crate::store::{IndexRecord, ProtocolState, Store, StoreError};
use crate::telemetry::clock;

/// Entries of one index that are looked at to tell how far a node lags.
const LAG_MAX: usize = 10_000;

/// A node that answers, but has lost what it had.
const NEEDS_REBUILD: &str = "it lost data or fell too far behind, and must be rebuilt; until then its indexes that are out \
                             of sync are neither read nor written there";

/// What a prober last saw of its node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeLook {
    /// Of Meilisearch; none before the first answer.
    pub version: Option<String>,
    /// All documents of all indexes, every replica counted.
    pub documents: Option<u64>,
    /// Bytes.
    pub database_size: Option<u64>,
    /// Why it does not answer.
    pub error: Option<String>,
}

/// The last look at each node, and when it last said how many documents it has. Shared by probers, the task desk and the
/// operator's thread.
#[derive(Clone, Debug, Default)]
pub struct Looks(Arc<Mutex<HashMap<NodeId, Counted>>>);

type Counted = (NodeLook, Option<Timestamp>);

impl Looks {
    /// Notes a look; what a failed one could not see stays as it was.
    pub fn note(&self, node: &NodeId, look: NodeLook) {
        let mut looks = self.0.lock();
        let (known, counted_at) = looks.entry(node.clone()).or_default();
        if look.documents.is_some() {
            *counted_at = Some(clock::timestamp());
        }
        known.version = look.version.or(known.version.take());
        known.documents = look.documents.or(known.documents);
        known.database_size = look.database_size.or(known.database_size);
        known.error = look.error;
    }

    fn of(&self, node: &NodeId) -> Counted {
        self.0.lock().get(node).cloned().unwrap_or_default()
    }

    /// Of Meilisearch, as last seen.
    pub fn version(&self, node: &NodeId) -> Option<String> {
        self.0.lock().get(node)?.0.version.clone()
    }

    /// Documents of all indexes on a node, as last seen.
    pub fn documents(&self, node: &NodeId) -> Option<u64> {
        self.0.lock().get(node)?.0.documents
    }
}

/// The whole fleet.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetStatus {
    /// Made at the first start.
    pub cluster_id: String,
    /// The members, in the order in which they came.
    pub nodes: Vec<NodeStatus>,
    /// In order.
    pub shards: Vec<ShardStatus>,
}

/// One node.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The operator's name.
    pub id: NodeId,
    /// Where it is.
    pub url: String,
    /// `active` when it holds shards, `joining` when it holds none yet, `draining` or `maintenance` when the operator wants
    /// that.
    pub state: &'static str,
    /// As last seen.
    pub reachable: bool,
    /// Of Meilisearch.
    pub version: Option<String>,
    /// All indexes, as last seen.
    pub documents: Option<u64>,
    /// So many seconds ago.
    pub documents_age: Option<u64>,
    /// Bytes, as last seen.
    pub database_size: Option<u64>,
    /// Entries that it has yet to apply.
    pub lag: u64,
    /// Indexes that are not read from it.
    pub out_of_sync: Vec<IndexUid>,
    /// Ascending.
    pub shards: Vec<ShardId>,
    /// Why it does not answer, or is not used.
    pub error: Option<String>,
}

/// One shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatus {
    /// Its number.
    pub shard: ShardId,
    /// Who holds it.
    pub replicas: Vec<ReplicaStatus>,
}

/// One replica of a shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Where.
    pub node: NodeId,
    /// Read for every index.
    pub in_sync: bool,
}

/// Puts it together.
pub fn fleet_status(store: &dyn Store, snapshot: &RoutingSnapshot, looks: &Looks) -> Result<FleetStatus, StoreError> {
    let cluster_id = store.cluster()?.map(|cluster| cluster.cluster_id).unwrap_or_default();
    let protocol = store.protocol_state()?;
    let records = store.indexes()?;
    let out_of_sync = out_of_sync(snapshot, &protocol, &records);
    let lost: BTreeSet<&NodeId> = protocol.needs_rebuild.iter().map(|(node, _)| node).collect();
    let mut nodes = Vec::new();
    for (node, slot) in snapshot.nodes.iter().zip(0..).map(|(node, slot)| (node, NodeSlot(slot))) {
        let shards = shards_of(snapshot, slot);
        let (look, counted_at) = looks.of(&node.id);
        let age = |at: Timestamp| clock::timestamp().0.saturating_sub(at.0).max(0) as u64 / 1_000_000;
        nodes.push(NodeStatus {
            id: node.id.clone(),
            url: node.url.clone(),
            state: state_of(protocol.nodes.iter().find(|record| record.id == node.id), &shards),
            reachable: node.reachable,
            version: look.version,
            documents: look.documents,
            documents_age: counted_at.map(age),
            database_size: look.database_size,
            lag: lag(store, &node.id, &shards, (&protocol, &records))?,
            out_of_sync: out_of_sync.get(&node.id).into_iter().flatten().cloned().collect(),
            shards,
            error: look.error.or_else(|| lost.contains(&node.id).then(|| NEEDS_REBUILD.to_owned())),
        });
    }
    let replica = |slot: &NodeSlot| {
        let node = snapshot.nodes[usize::from(slot.0)].id.clone();
        ReplicaStatus { in_sync: !out_of_sync.contains_key(&node), node }
    };
    let shard = |(shard, holders): (u16, &Vec<NodeSlot>)| ShardStatus {
        shard: ShardId(shard),
        replicas: holders.iter().map(replica).collect(),
    };
    let shards = (0..).zip(&snapshot.placement).map(shard).collect();
    Ok(FleetStatus { cluster_id, nodes, shards })
}

fn state_of(record: Option<&NodeRecord>, shards: &[ShardId]) -> &'static str {
    match record.map(|record| record.state) {
        Some(NodeState::Draining) => "draining",
        Some(NodeState::Maintenance) => "maintenance",
        Some(NodeState::Removed) => "removed",
        Some(NodeState::Active) | None if shards.is_empty() => "joining",
        Some(NodeState::Active) | None => "active",
    }
}

/// By node: the indexes that readers do not read from it, and those not yet visible that it lags with.
pub(super) fn out_of_sync(
    snapshot: &RoutingSnapshot,
    protocol: &ProtocolState,
    records: &[IndexRecord],
) -> BTreeMap<NodeId, BTreeSet<IndexUid>> {
    let mut found: BTreeMap<NodeId, BTreeSet<IndexUid>> = BTreeMap::new();
    for index in snapshot.indexes.values() {
        for slot in &index.out_of_sync {
            let node = &snapshot.nodes[usize::from(slot.0)].id;
            found.entry(node.clone()).or_default().insert(index.uid.clone());
        }
    }
    for (node, node_uid) in protocol.out_of_sync.iter().chain(&protocol.needs_rebuild) {
        if let Some(record) = records.iter().find(|record| record.node_uid == *node_uid) {
            found.entry(node.clone()).or_default().insert(record.uid.clone());
        }
    }
    found
}

fn shards_of(snapshot: &RoutingSnapshot, slot: NodeSlot) -> Vec<ShardId> {
    let holders = (0..).zip(&snapshot.placement);
    holders.filter(|(_, holders)| holders.contains(&slot)).map(|(shard, _)| ShardId(shard)).collect()
}

/// Entries after the node's watermarks that touch it.
fn lag(
    store: &dyn Store,
    node: &NodeId,
    shards: &[ShardId],
    (protocol, records): (&ProtocolState, &[IndexRecord]),
) -> Result<u64, StoreError> {
    let mut lag = 0;
    for record in records.iter().filter(|_| !shards.is_empty()) {
        let key = (node.clone(), record.node_uid.clone());
        lag += lag_of_index(store, record, protocol.applied.get(&key).copied().unwrap_or_default(), shards)?;
    }
    Ok(lag)
}

/// Entries of an index after this watermark that touch one of these shards.
pub(super) fn lag_of_index(
    store: &dyn Store,
    record: &IndexRecord,
    applied: Position,
    shards: &[ShardId],
) -> Result<u64, StoreError> {
    let first = applied.entry().unwrap_or(record.created_by);
    let behind = store.index_entries_from(&record.node_uid, first, LAG_MAX)?;
    let is_behind = |entry: &Entry| {
        let last = entry.steps().into_iter().rev().find(|step| touches(step.kind, entry, shards));
        last.is_some_and(|step| step.position > applied)
    };
    let is_live = |outcome: Option<&crate::store::Outcome>| outcome.is_none_or(|outcome| outcome.canceled_by.is_none());
    Ok(behind.iter().filter(|task| is_live(task.outcome.as_ref()) && is_behind(&task.entry)).count() as u64)
}

fn touches(kind: StepKind, entry: &Entry, shards: &[ShardId]) -> bool {
    kind.is_barrier() || entry.shards.iter().any(|shard| shards.contains(shard))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::Bridge;
    use crate::control_plane::publisher::Publisher;
    use crate::logic::entry::Operation;
    use crate::logic::feeder::Publication;
    use crate::logic::ids::{EntryId, NodeIndexUid, Timestamp};
    use crate::logic::snapshot::NodeView;
    use crate::store::contract::{sample_entry, sample_put};
    use crate::store::sqlite::SqliteStore;
    use crate::store::{ClusterRecord, ProtocolDelta};

    fn node(id: &str) -> NodeView {
        let url = format!("http://{id}");
        NodeView { id: NodeId::new(id), url, address: None, zone: None, weight: 1.0, reachable: true }
    }

    #[test]
    fn lag_and_replicas_are_told_by_watermarks_and_the_out_of_sync_set() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path()).unwrap();
        let (n1, n2) = (NodeId::new("n1"), NodeId::new("n2"));
        let placement = vec![vec![n1.clone(), n2.clone()], vec![n1.clone()], vec![n2.clone()], vec![n2.clone()]];
        let cluster = ClusterRecord { shard_count: 4, cluster_id: "c".to_owned() };
        store.save_cluster(&cluster).unwrap();
        let create = sample_entry(0, "a", Operation::CreateIndex { primary_key: None });
        // Its documents lie in shards 0 and 3.
        let entries = [(create, None), (sample_entry(1, "a", sample_put()), None)];
        store.append(&entries, &[]).unwrap();
        let record = IndexRecord {
            uid: IndexUid::new("a"),
            node_uid: NodeIndexUid::new("a-0"),
            created_by: EntryId(0),
            dropped_by: None,
            primary_key: None,
            settings: serde_json::Map::new(),
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
            is_visible: true,
        };
        let at = |entry, step| Position::of(EntryId(entry), step);
        let draining = NodeRecord {
            id: n2.clone(),
            url: "http://n2".to_owned(),
            zone: None,
            weight: 1.0,
            state: NodeState::Draining,
            life: 0,
            has_identity: false,
        };
        let delta = ProtocolDelta {
            applied: vec![
                (n1.clone(), record.node_uid.clone(), at(1, 0)),
                (n2.clone(), record.node_uid.clone(), at(0, 0)),
            ],
            went_out: vec![(n2.clone(), record.node_uid.clone())],
            indexes: vec![record.clone()],
            nodes: vec![draining],
            ..ProtocolDelta::default()
        };
        store.commit(&delta).unwrap();
        let (bridge, _commands) = Bridge::new(0);
        let publisher = Publisher::new(bridge.clone(), vec![node("n1"), node("n2"), node("n3")]);
        let mut publication = Publication::default();
        publication.out_of_sync = store.protocol_state().unwrap().out_of_sync;
        publication.nodes = vec![n1.clone(), n2, NodeId::new("n3")];
        publication.owners = placement;
        publisher.publish_indexes(&[record], &publication);
        let looks = Looks::default();
        looks.note(&n1, NodeLook { documents: Some(7), ..NodeLook::default() });
        looks.note(&n1, NodeLook { error: Some("gone".to_owned()), ..NodeLook::default() });

        let status = fleet_status(&store, &bridge.snapshot.load(), &looks).unwrap();
        let lags: Vec<_> = status.nodes.iter().map(|node| (node.id.as_str(), node.lag, node.state)).collect();
        assert_eq!(lags, [("n1", 0, "active"), ("n2", 2, "draining"), ("n3", 0, "joining")]);
        assert_eq!((status.nodes[0].documents, status.nodes[0].error.as_deref()), (Some(7), Some("gone")));
        assert!(status.nodes[0].documents_age.is_some() && status.nodes[1].documents_age.is_none());
        assert_eq!(status.nodes[1].out_of_sync, [IndexUid::new("a")]);
        let replicas: Vec<_> = status.shards[0].replicas.iter().map(|replica| replica.in_sync).collect();
        assert_eq!(replicas, [true, false]);
    }
}
