//! What is seen in the snapshot that readers go by.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::bridge::Bridge;
use crate::control_plane::drift::DriftFinding;
use crate::control_plane::status::Looks;
use crate::control_plane::troubles::{HeldUp, Quarantine, StoreTrouble, Troubles};
use crate::logic::ids::{NodeId, NodeSlot, Timestamp};
use crate::logic::snapshot::{NodeView, RoutingSnapshot};
use crate::meili::dates::rfc3339;
use crate::meili::node_version::{Fitness, fitness_of};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeCounts {
    total: usize,
    reachable: usize,
    /// Some index is not read from it.
    out_of_sync: usize,
}

/// Members of one version of Meilisearch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct NodeVersionView {
    version: String,
    nodes: Vec<NodeId>,
    fitness: Fitness,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
struct TaskCounts {
    unfinished: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusView {
    version: &'static str,
    /// Published last.
    epoch: u64,
    /// Reached by all cores.
    acknowledged_epoch: u64,
    /// Nothing that is under way uses an older one.
    drained_epoch: u64,
    shards: usize,
    /// For which some index has no replica in sync.
    unreadable_shards: usize,
    replication_factor: usize,
    nodes: NodeCounts,
    /// More than one: mixed.
    node_versions: Vec<NodeVersionView>,
    indexes: usize,
    tasks: TaskCounts,
    store_trouble: Option<StoreTrouble>,
    held_up: Vec<HeldUp>,
    quarantines: Vec<Quarantine>,
    /// Shards whose replicas differ, and places where documents are that do not belong there, as far as known.
    differences: usize,
    /// When the settings on all members were looked at last.
    #[serde(serialize_with = "as_optional_date")]
    drift_checked_at: Option<Timestamp>,
    /// Indexes of nodes whose settings were put right since the start.
    drift_put_right: u64,
    drift: Vec<DriftFinding>,
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn as_optional_date<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(rfc3339).serialize(serializer)
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeStatusView<'a> {
    id: &'a str,
    url: &'a str,
    address: Option<String>,
    zone: Option<&'a str>,
    weight: f64,
    reachable: bool,
    /// Replicas that it holds.
    shards: usize,
    /// Indexes that are not read from it at the moment.
    out_of_sync: Vec<&'a str>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct ShardView<'a> {
    shard: usize,
    nodes: Vec<&'a str>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct ListView<T> {
    pub(super) results: Vec<T>,
}

/// Which versions the members are of, as last seen.
pub(super) fn node_versions(snapshot: &RoutingSnapshot, looks: &Looks) -> Vec<NodeVersionView> {
    let mut nodes_of: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
    for node in &snapshot.nodes {
        if let Some(version) = looks.version(&node.id) {
            nodes_of.entry(version).or_default().push(node.id.clone());
        }
    }
    let view =
        |(version, nodes): (String, Vec<NodeId>)| NodeVersionView { fitness: fitness_of(&version), version, nodes };
    nodes_of.into_iter().map(view).collect()
}

/// All is well, or what is not. `unfinished` counts tasks.
pub(super) fn status(
    bridge: &Bridge,
    snapshot: &RoutingSnapshot,
    troubles: &Troubles,
    (unfinished, node_versions): (u64, Vec<NodeVersionView>),
) -> StatusView {
    let mut out_of_sync: Vec<NodeSlot> =
        snapshot.indexes.values().flat_map(|index| index.out_of_sync.iter().copied()).collect();
    out_of_sync.sort_unstable();
    out_of_sync.dedup();
    let readers = bridge.progress();
    let drift = troubles.drifts().report();
    StatusView {
        version: env!("CARGO_PKG_VERSION"),
        epoch: snapshot.epoch.0,
        acknowledged_epoch: readers.acknowledged.0,
        drained_epoch: readers.drained.0,
        shards: snapshot.placement.len(),
        unreadable_shards: unreadable_shards(snapshot),
        replication_factor: snapshot.placement.iter().map(Vec::len).min().unwrap_or(0),
        nodes: NodeCounts {
            total: snapshot.nodes.len(),
            reachable: snapshot.nodes.iter().filter(|node| node.reachable).count(),
            out_of_sync: out_of_sync.len(),
        },
        node_versions,
        indexes: snapshot.indexes.len(),
        tasks: TaskCounts { unfinished },
        store_trouble: troubles.store(),
        held_up: troubles.writes(),
        quarantines: troubles.quarantines(),
        differences: troubles.differences(),
        drift_checked_at: drift.checked_at,
        drift_put_right: drift.put_right,
        drift: drift.findings,
    }
}

/// Shards of which some index, or all there could be, has no replica that is in sync and reachable.
fn unreadable_shards(snapshot: &RoutingSnapshot) -> usize {
    let is_readable = |holders: &[NodeSlot], out_of_sync: &[NodeSlot]| {
        let mut holders = holders.iter().filter(|slot| !out_of_sync.contains(slot));
        holders.any(|slot| snapshot.nodes[usize::from(slot.0)].reachable)
    };
    let is_unreadable = |holders: &&Vec<NodeSlot>| {
        let mut indexes = snapshot.indexes.values();
        !is_readable(holders, &[]) || indexes.any(|index| !is_readable(holders, &index.out_of_sync))
    };
    snapshot.placement.iter().filter(is_unreadable).count()
}

/// One per member.
pub(super) fn nodes(snapshot: &RoutingSnapshot) -> Vec<NodeStatusView<'_>> {
    let view = |(node, slot)| {
        let node: &NodeView = node;
        let slot = NodeSlot(slot);
        let mut out_of_sync: Vec<&str> = snapshot
            .indexes
            .values()
            .filter(|index| index.out_of_sync.contains(&slot))
            .map(|index| index.uid.as_str())
            .collect();
        out_of_sync.sort_unstable();
        NodeStatusView {
            id: node.id.as_str(),
            url: &node.url,
            address: node.address.map(|address| address.to_string()),
            zone: node.zone.as_deref(),
            weight: node.weight,
            reachable: node.reachable,
            shards: snapshot.placement.iter().filter(|holders| holders.contains(&slot)).count(),
            out_of_sync,
        }
    };
    snapshot.nodes.iter().zip(0..).map(view).collect()
}

/// One per shard.
pub(super) fn shards(snapshot: &RoutingSnapshot) -> Vec<ShardView<'_>> {
    let name = |slot: &NodeSlot| snapshot.nodes.get(usize::from(slot.0)).map_or("?", |node| node.id.as_str());
    let view =
        |(shard, holders): (usize, &Vec<NodeSlot>)| ShardView { shard, nodes: holders.iter().map(name).collect() };
    snapshot.placement.iter().enumerate().map(view).collect()
}
