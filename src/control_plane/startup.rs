//! What is checked and decided before the control plane starts: the fleet must be the one that the store knows.
//!
//! At the first start the placement is computed and stored; from then on the table is the truth. A fleet is refused when
//! continuing could destroy data or answer wrongly: another number of shards, nodes that are missing from the
//! configuration, at the first start nodes that hold what this Miroir does not know (later it only warns, since it leaves
//! other indexes alone). Each refusal names cause and remedy.

use std::time::Duration;

use super::node_client::{NodeClient, NodeError, NodeTaskQuery};
use super::prober::resolve;
use crate::config::{NodeSettings, Secret, Settings};
use crate::logic::ids::{NodeId, NodeTask};
use crate::logic::placement::{PlacementNode, PlacementProblem, place};
use crate::logic::snapshot::NodeView;
use crate::logic::topology::{NodeRecord, NodeState, Tables};
use crate::store::{ClusterRecord, ProtocolDelta, ProtocolState, Store, StoreError};
use crate::telemetry::clock;

/// For one answer of a node at the start.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// Indexes named in a message.
const NAMES_MAX: usize = 5;

/// Why this fleet is refused.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// Nobody there, at the first start.
    #[error(
        "node {node} at {url} does not answer ({error}); at the first start every node must: start it, or correct its url"
    )]
    Unreachable {
        /// Which.
        node: NodeId,
        /// As configured.
        url: String,
        /// The last try.
        error: String,
    },
    /// It answers 401 or 403.
    #[error(
        "node {node} at {url} refuses node_master_key ({message}); set it to the master key that the node was started with"
    )]
    WrongKey {
        /// Which.
        node: NodeId,
        /// As configured.
        url: String,
        /// What it says.
        message: String,
    },
    /// Something else answers.
    #[error("node {node} at {url} cannot be used: {error}; check that its url is that of a Meilisearch")]
    NotUsable {
        /// Which.
        node: NodeId,
        /// As configured.
        url: String,
        /// What it says.
        error: String,
    },
    /// Data that is not ours.
    #[error(
        "node {node} at {url} holds indexes of somebody else ({names}); nodes of a new cluster must be empty: delete these \
         indexes or use another node, or, if the cluster is not new, start with its data_dir"
    )]
    Foreign {
        /// Which.
        node: NodeId,
        /// As configured.
        url: String,
        /// Some of the indexes.
        names: String,
    },
    /// Two names for one server.
    #[error("nodes {first} and {second} have the same address {address}; each node must be a server of its own")]
    SameAddress {
        /// One.
        first: NodeId,
        /// The other.
        second: NodeId,
        /// Theirs.
        address: std::net::SocketAddr,
    },
    /// Not what was fixed at the first start.
    #[error(
        "{key} is {configured}, but this cluster was made with {stored}, which cannot be changed; set {key} to {stored}"
    )]
    Changed {
        /// The key of the configuration.
        key: &'static str,
        /// There.
        configured: u64,
        /// In the store.
        stored: u64,
    },
    /// Its shards would be lost.
    #[error("node {node} holds shards of this cluster but is not configured; put it back into nodes")]
    Missing {
        /// Which.
        node: NodeId,
    },
    /// More replicas than nodes.
    #[error("replication_factor is {factor}, but there are only {nodes} nodes; add nodes or lower it")]
    TooFewNodes {
        /// As configured.
        factor: usize,
        /// As configured.
        nodes: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the store knows of the fleet.
#[derive(Clone, PartialEq, Debug)]
pub struct StoredFleet {
    /// What is fixed.
    pub cluster: ClusterRecord,
    /// Everybody who ever was a member, in the order in which they came.
    pub nodes: Vec<NodeRecord>,
    /// Who owns which shard.
    pub tables: Tables,
}

/// Makes sure that the configured fleet is the stored one; stores it at the first start. `patience` is how long nodes
/// are waited for then.
pub fn settle(settings: &Settings, store: &dyn Store, patience: Duration) -> Result<StoredFleet, FleetError> {
    check_addresses(&settings.nodes)?;
    if let Some(cluster) = store.cluster()? {
        let ProtocolState { nodes, tables, .. } = store.protocol_state()?;
        let mut fleet = StoredFleet { cluster, nodes, tables };
        check_cluster(settings, &fleet)?;
        if fleet.nodes.is_empty() {
            // Stored by schema 1, which did not know them.
            fleet.nodes = settings.nodes.iter().map(record_of).collect();
            store.commit(&ProtocolDelta { nodes: fleet.nodes.clone(), ..ProtocolDelta::default() })?;
        }
        check_known_nodes(settings, store)?;
        return Ok(fleet);
    }
    let nodes = settings.nodes.len();
    if nodes < settings.replication_factor {
        return Err(FleetError::TooFewNodes { factor: settings.replication_factor, nodes });
    }
    let deadline = clock::instant() + patience;
    let mut next_task = Vec::new();
    for node in &settings.nodes {
        next_task.push((node.id.clone(), first_look(node, settings.node_master_key.as_ref(), deadline)?));
    }
    let fleet = new_fleet(settings);
    // The cluster is stored last: a crash in between looks at the nodes again.
    let (nodes, tables) = (fleet.nodes.clone(), Some(fleet.tables.clone()));
    store.commit(&ProtocolDelta { next_task, nodes, tables, ..ProtocolDelta::default() })?;
    store.save_cluster(&fleet.cluster)?;
    let (shards, replication_factor) = (fleet.cluster.shard_count, fleet.tables.replication_factor);
    tracing::info!(shards, replication_factor, nodes = fleet.nodes.len(), "new cluster");
    Ok(fleet)
}

fn new_fleet(settings: &Settings) -> StoredFleet {
    let nodes: Vec<NodeRecord> = settings.nodes.iter().map(record_of).collect();
    let place_of =
        |node: &NodeRecord| PlacementNode { id: node.id.clone(), zone: node.zone.clone(), weight: node.weight };
    let places: Vec<PlacementNode> = nodes.iter().map(place_of).collect();
    let replication_factor = settings.replication_factor as u16;
    let problem = PlacementProblem { nodes: &places, shard_count: settings.shards, replication_factor, current: &[] };
    let owners = place(&problem);
    StoredFleet {
        cluster: ClusterRecord { shard_count: settings.shards, cluster_id: uuid::Uuid::new_v4().to_string() },
        nodes,
        tables: Tables { plan: owners.clone(), owners, replication_factor, version: 1, is_paused: false },
    }
}

fn record_of(node: &NodeSettings) -> NodeRecord {
    NodeRecord {
        id: node.id.clone(),
        url: node.url.clone(),
        zone: node.zone.clone(),
        weight: node.weight,
        state: NodeState::Active,
        life: 0,
    }
}

/// The nodes as cores see them at the start, in the order of their slots.
pub fn node_views(settings: &Settings) -> Vec<NodeView> {
    let view = |node: &NodeSettings| NodeView {
        id: node.id.clone(),
        url: node.url.clone(),
        address: resolve(&node.url),
        zone: node.zone.clone(),
        weight: node.weight,
        // Until the first look says otherwise.
        reachable: true,
    };
    settings.nodes.iter().map(view).collect()
}

fn check_addresses(nodes: &[NodeSettings]) -> Result<(), FleetError> {
    let mut seen: Vec<(std::net::SocketAddr, &NodeId)> = Vec::new();
    for node in nodes {
        let Some(address) = resolve(&node.url) else { continue };
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == address) {
            return Err(FleetError::SameAddress { first: (*first).clone(), second: node.id.clone(), address });
        }
        seen.push((address, &node.id));
    }
    Ok(())
}

fn check_cluster(settings: &Settings, fleet: &StoredFleet) -> Result<(), FleetError> {
    let fixed = [
        ("shards", u64::from(settings.shards), u64::from(fleet.cluster.shard_count)),
        ("replication_factor", settings.replication_factor as u64, u64::from(fleet.tables.replication_factor)),
    ];
    for (key, configured, stored) in fixed {
        if configured != stored {
            return Err(FleetError::Changed { key, configured, stored });
        }
    }
    let is_configured = |id: &NodeId| settings.nodes.iter().any(|node| node.id == *id);
    if let Some(node) = fleet.tables.owners.iter().flatten().find(|id| !is_configured(id)) {
        return Err(FleetError::Missing { node: node.clone() });
    }
    for node in &settings.nodes {
        if !fleet.tables.owners.iter().flatten().any(|id| *id == node.id) {
            tracing::warn!(node = %node.id, "this node is new and gets no shards: moving shards is not supported yet");
        }
    }
    Ok(())
}

/// At later starts a node may be away or sick, behind a proxy that answers for it or not: the others can do without it,
/// and the prober sees when it is well. But one that answers must let us in.
fn check_known_nodes(settings: &Settings, store: &dyn Store) -> Result<(), FleetError> {
    let heads = store.heads()?;
    let records = store.indexes()?;
    for node in &settings.nodes {
        let client = client_of(node, settings.node_master_key.as_ref());
        let stats = match client.stats(ANSWER_TIMEOUT) {
            Ok(stats) => stats,
            Err(error @ NodeError::Refused { status: 401 | 403, .. }) => return Err(refusal(node, error)),
            Err(error) => {
                tracing::warn!(node = %node.id, url = node.url, %error, "node cannot be used; starting without it");
                continue;
            }
        };
        let is_known = |name: &str| {
            heads.values().any(|head| head.node_uid.as_str() == name)
                || records.iter().any(|record| record.node_uid.as_str() == name)
        };
        let unknown: Vec<&str> = stats.indexes.keys().map(String::as_str).filter(|name| !is_known(name)).collect();
        if !unknown.is_empty() {
            // Perhaps left over from a request that arrived late: not read, hence no reason to stay down.
            tracing::warn!(node = %node.id, indexes = names(&unknown), "node holds indexes that are not ours");
        }
    }
    Ok(())
}

/// Waits for an empty node; returns the number of its next task.
fn first_look(node: &NodeSettings, key: Option<&Secret>, deadline: std::time::Instant) -> Result<NodeTask, FleetError> {
    let client = client_of(node, key);
    let mut is_told = false;
    let stats = loop {
        match client.stats(ANSWER_TIMEOUT) {
            Ok(stats) => break stats,
            Err(NodeError::Unreachable(error)) if clock::instant() < deadline => {
                if !is_told {
                    is_told = true;
                    let seconds = deadline.saturating_duration_since(clock::instant()).as_secs();
                    tracing::warn!(node = %node.id, url = node.url, %error, seconds, "node does not answer; waiting for it");
                }
                std::thread::park_timeout(TRY_AGAIN);
            }
            Err(error) => return Err(refusal(node, error)),
        }
    };
    let found: Vec<&str> = stats.indexes.keys().map(String::as_str).collect();
    if !found.is_empty() {
        return Err(FleetError::Foreign { node: node.id.clone(), url: node.url.clone(), names: names(&found) });
    }
    let newest = NodeTaskQuery { limit: 1, ..NodeTaskQuery::default() };
    let page = client.tasks(&newest, ANSWER_TIMEOUT).map_err(|error| refusal(node, error))?;
    Ok(page.results.first().map_or(NodeTask(0), |task| NodeTask(task.uid + 1)))
}

fn client_of(node: &NodeSettings, key: Option<&Secret>) -> NodeClient {
    NodeClient::new(node.url.clone(), key.map(Secret::expose))
}

fn refusal(settings: &NodeSettings, error: NodeError) -> FleetError {
    let (node, url) = (settings.id.clone(), settings.url.clone());
    match error {
        NodeError::Unreachable(error) => FleetError::Unreachable { node, url, error },
        NodeError::Refused { status: 401 | 403, error } => FleetError::WrongKey { node, url, message: error.message },
        NodeError::Refused { .. } | NodeError::BadAnswer(_) => {
            FleetError::NotUsable { node, url, error: error.to_string() }
        }
    }
}

fn names(found: &[&str]) -> String {
    let more = if found.len() > NAMES_MAX { " …" } else { "" };
    found[..found.len().min(NAMES_MAX)].join(", ") + more
}
