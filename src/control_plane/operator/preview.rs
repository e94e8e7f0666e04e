//! What would move if the fleet were another one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::ASK_TIMEOUT;
use super::picture::Picture;
use super::rebalance::missing;
use crate::bridge::topology::{NewNode, WhatIf};
use crate::control_plane::node_client::{NodeClient, NodeStats};
use crate::logic::ids::{NodeId, ShardId};
use crate::logic::placement::plan::{IndexSizes, NodeSizes, PlanError, PlanInput, cost, next_table, steps};
use crate::logic::topology::{NodeRecord, NodeState};
use crate::meili::error::{ApiError, Code};
use crate::telemetry::clock;

/// Most replicas of a shard, as in the configuration.
const REPLICATION_FACTOR_MAX: u16 = 5;
/// For all nodes together; those that are not asked by then count as silent.
const ASK_ALL_MAX: Duration = Duration::from_secs(6);

/// The table that would be planned.
pub(super) struct Next {
    /// Members, as they would be.
    pub nodes: Vec<NodeRecord>,
    /// Of now, without those that would be gone.
    pub owners: Vec<Vec<NodeId>>,
    pub plan: Vec<Vec<NodeId>>,
    /// That is wanted; the plan has fewer if members are gone.
    pub replication_factor: u16,
    /// The plan does without those that stay away.
    pub is_without_absent: bool,
    pub warnings: Vec<String>,
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Preview {
    replicas_to_come: usize,
    replicas_to_go: usize,
    /// Copied, about; none when no node answers.
    documents: Option<u64>,
    /// Of JSON, about; none when no node says how long its documents are.
    bytes: Option<u64>,
    warnings: Vec<String>,
    nodes: Vec<NodePreview>,
    steps: Vec<StepPreview>,
}

/// One node, before and after.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodePreview {
    node: NodeId,
    shards: usize,
    planned: usize,
    /// Bytes now.
    disk: Option<u64>,
    /// Bytes at most.
    peak_disk: Option<u64>,
}

/// One replica that comes, goes, or both.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct StepPreview {
    shard: ShardId,
    to: Option<NodeId>,
    from: Option<NodeId>,
}

/// Active members that stay away get nothing if the others allow it.
///
/// # Errors
/// `bad_request`, `miroir_node_unknown`, `miroir_node_exists`, `miroir_plan_impossible`.
pub(super) fn next(picture: &Picture, what_if: &WhatIf, absent: &BTreeSet<NodeId>) -> Result<Next, ApiError> {
    let tables = &picture.protocol.tables;
    let replication_factor = what_if.replication_factor.unwrap_or(tables.replication_factor);
    if !(1..=REPLICATION_FACTOR_MAX).contains(&replication_factor) {
        let message = format!("`replicationFactor` is {replication_factor}; it must be 1 to {REPLICATION_FACTOR_MAX}.");
        return Err(ApiError::new(Code::BadRequest, message));
    }
    let mut nodes = wished(picture, what_if)?;
    let mut owners = tables.owners.clone();
    for row in &mut owners {
        row.retain(|id| !what_if.lost.contains(id));
    }
    let table = |members: &[NodeRecord], replication_factor| {
        next_table(&PlanInput { members, replication_factor, owners: &owners })
    };
    let mut warnings = Vec::new();
    let mut others = nodes.clone();
    let is_left_out = |node: &NodeRecord| node.state == NodeState::Active && absent.contains(&node.id);
    others.iter_mut().filter(|node| is_left_out(node)).for_each(|node| node.state = NodeState::Draining);
    let is_without_absent = others != nodes && table(&others, replication_factor).is_ok();
    if is_without_absent {
        let names: Vec<&str> = nodes.iter().filter(|node| is_left_out(node)).map(|node| node.id.as_str()).collect();
        warnings.push(format!("nothing is planned for nodes that have been away for long: {}", names.join(", ")));
    }
    let members = if is_without_absent { &others } else { &nodes };
    let mut found = table(members, replication_factor);
    if !what_if.lost.is_empty() {
        // What is lost cannot wait for more nodes.
        for fewer in (1..replication_factor).rev() {
            if matches!(found, Err(PlanError::TooFewNodes { .. })) {
                found = table(members, fewer);
                warnings.retain(|warning| !warning.starts_with(FEWER));
                warnings.push(format!("{FEWER} {fewer} until there are more nodes and a rebalance is started"));
            }
        }
    }
    let found =
        found.map_err(|error| ApiError::new(Code::MiroirPlanImpossible, format!("There is no such plan: {error}.")))?;
    warnings.extend(found.warnings.iter().map(ToString::to_string));
    nodes.retain(|node| node.state.is_member());
    Ok(Next { nodes, owners, plan: found.plan, replication_factor, is_without_absent, warnings })
}

/// Begins a warning.
const FEWER: &str = "replicas of each shard:";

/// Everybody who was ever a member, as they would be, and those who would come.
fn wished(picture: &Picture, what_if: &WhatIf) -> Result<Vec<NodeRecord>, ApiError> {
    let mut nodes = picture.protocol.nodes.clone();
    let wishes = [
        (&what_if.keep, NodeState::Active),
        (&what_if.drain, NodeState::Draining),
        (&what_if.lost, NodeState::Removed),
    ];
    for (ids, state) in wishes {
        for id in ids {
            if picture.member(id)?.state == NodeState::Maintenance && state == NodeState::Draining {
                let message = format!(
                    "Node `{id}` is in maintenance, which a drain would end without a word. End it first: `miroir-ctl node \
                     maintenance {id} off`."
                );
                return Err(ApiError::new(Code::MiroirPlanImpossible, message));
            }
            let is_meant =
                |node: &NodeRecord| node.id == *id && (state != NodeState::Active || node.state == NodeState::Draining);
            nodes.iter_mut().filter(|node| is_meant(node)).for_each(|node| node.state = state);
        }
    }
    for NewNode { id, zone, weight } in &what_if.add {
        if nodes.iter().any(|node| node.id == *id) {
            let message = format!("Node `{id}` is or was a member of this cluster. Names are not given twice.");
            return Err(ApiError::new(Code::MiroirNodeExists, message));
        }
        if !(weight.is_finite() && *weight > 0.0) {
            return Err(ApiError::new(Code::BadRequest, format!("`weight` of {id} must be a number above 0.")));
        }
        let (id, zone, weight) = (id.clone(), zone.clone(), *weight);
        nodes.push(NodeRecord {
            id,
            url: String::new(),
            zone,
            weight,
            state: NodeState::Active,
            life: 0,
            has_identity: false,
        });
    }
    Ok(nodes)
}

impl Preview {
    /// Replicas that come, go, or both.
    pub fn moves(&self) -> usize {
        self.steps.len()
    }
}

/// What each member that answers says of itself.
pub(super) fn ask_sizes(picture: &Picture, node_key: Option<&str>) -> BTreeMap<NodeId, NodeStats> {
    let deadline = clock::instant() + ASK_ALL_MAX;
    let mut found = BTreeMap::new();
    for node in picture.members().filter(|node| picture.is_reachable(&node.id)) {
        if clock::instant() >= deadline {
            break;
        }
        if let Ok(stats) = NodeClient::new(node.url.clone(), node_key).stats(ASK_TIMEOUT) {
            found.insert(node.id.clone(), stats);
        }
    }
    found
}

pub(super) fn preview(picture: &Picture, next: &Next, stats: &BTreeMap<NodeId, NodeStats>) -> Preview {
    let owners = &next.owners;
    let wishes = steps(owners, &next.plan);
    let indexes = index_sizes(picture, stats);
    let sizes = |stats: &NodeStats| NodeSizes {
        database_bytes: stats.database_size,
        used_bytes: stats.used_database_size.unwrap_or(stats.database_size),
    };
    let mut disks: BTreeMap<NodeId, NodeSizes> = stats.iter().map(|(id, stats)| (id.clone(), sizes(stats))).collect();
    let is_new = |node: &&NodeRecord| picture.protocol.nodes.iter().all(|old| old.id != node.id);
    disks.extend(next.nodes.iter().filter(is_new).map(|node| (node.id.clone(), NodeSizes::default())));
    let cost = cost(&wishes, owners, &indexes, &disks, picture.protocol.tables.pace.compact);
    let has_documents = !stats.is_empty();
    let has_bytes = has_documents && indexes.iter().all(|index| index.document_bytes > 0);
    let count = |table: &[Vec<NodeId>], id: &NodeId| table.iter().filter(|owners| owners.contains(id)).count();
    let node = |node: &NodeRecord| NodePreview {
        node: node.id.clone(),
        shards: count(owners, &node.id),
        planned: count(&next.plan, &node.id),
        disk: disks.get(&node.id).map(|sizes| sizes.database_bytes),
        peak_disk: cost.peak_disk.get(&node.id).copied().filter(|_| has_bytes),
    };
    Preview {
        replicas_to_come: missing(&next.plan, owners),
        replicas_to_go: missing(owners, &next.plan),
        documents: has_documents.then_some(cost.documents),
        bytes: has_bytes.then_some(cost.bytes),
        warnings: next.warnings.clone(),
        nodes: next.nodes.iter().map(node).collect(),
        steps: wishes.into_iter().map(|wish| StepPreview { shard: wish.shard, to: wish.to, from: wish.from }).collect(),
    }
}

/// As if all shards of an index were of one size: documents on the nodes that answer, by the shards that they own.
fn index_sizes(picture: &Picture, stats: &BTreeMap<NodeId, NodeStats>) -> Vec<IndexSizes> {
    let owners = picture.protocol.tables.owners.iter().flatten();
    let replicas = owners.filter(|id| stats.contains_key(*id)).count() as u64;
    let size = |name: &str| {
        let seen = || stats.values().filter_map(|stats| stats.indexes.get(name));
        let documents: u64 = seen().map(|index| index.number_of_documents).sum();
        let bytes: u64 = seen().map(|index| index.number_of_documents * index.avg_document_size.unwrap_or(0)).sum();
        let each = documents.div_ceil(replicas.max(1));
        let documents_of = vec![each; usize::from(picture.shard_count())];
        // An empty index has nothing to copy, however long its documents would be.
        IndexSizes { documents: documents_of, document_bytes: bytes.checked_div(documents).unwrap_or(1) }
    };
    picture.indexes.iter().map(|record| size(record.node_uid.as_str())).collect()
}
