//! What is checked and decided before the control plane starts: who is a member, and who owns which shard.
//!
//! The configuration names the first fleet. At the first start its nodes must be there and empty, the placement is computed,
//! and all is stored; from then on the store is the truth, and the configuration only says where its members are. Other
//! differences are logged with the remedy and change nothing. A fleet is refused when continuing could destroy data or answer
//! wrongly. Each refusal names cause and remedy.

use std::collections::BTreeSet;
use std::time::Duration;

use super::identity::Identity;
use super::node_client::NodeError;
use super::prober::resolve;
use crate::config::{NodeSettings, Settings};
use crate::logic::feeder::is_itself;
use crate::logic::ids::{EntryId, NodeId};
use crate::logic::placement::{PlacementNode, PlacementProblem, place};
use crate::logic::snapshot::NodeView;
use crate::logic::topology::{NodeRecord, NodeState, Tables};
use crate::meili::node_version::NodeVersion;
use crate::store::{ClusterRecord, ProtocolDelta, ProtocolState, Store, StoreError};
use crate::telemetry::clock;
use configured::{described_anew, differences};
use first_look::{client_of, names, refusal};

mod configured;
mod first_look;
mod older;
mod restored;
#[cfg(test)]
mod tests;

pub use first_look::{FirstLook, first_look};

/// For one answer of a node at the start.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why this fleet is refused.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// Nobody there, though it is to join.
    #[error("node {node} at {url} does not answer ({error}); a node that joins must: start it, or correct its url")]
    Unreachable {
        /// Which.
        node: NodeId,
        /// There.
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
        /// There.
        url: String,
        /// What it says.
        message: String,
    },
    /// Something else answers.
    #[error("node {node} at {url} cannot be used: {error}; check that its url is that of a Meilisearch")]
    NotUsable {
        /// Which.
        node: NodeId,
        /// There.
        url: String,
        /// What it says.
        error: String,
    },
    /// It lacks what Miroir needs.
    #[error(
        "node {node} at {url} is Meilisearch {version}, and the least that can be a node is {least}: start it with that \
         version or a later one"
    )]
    TooOld {
        /// Which.
        node: NodeId,
        /// There.
        url: String,
        /// Its own.
        version: String,
        /// See there.
        least: NodeVersion,
    },
    /// Data that is not ours.
    #[error(
        "node {node} at {url} holds indexes of somebody else ({names}); a node that joins must be empty: delete these \
         indexes or use another node, or, if they are those of an older cluster, start with its data_dir"
    )]
    Foreign {
        /// Which.
        node: NodeId,
        /// There.
        url: String,
        /// Some of the indexes.
        names: String,
    },
    /// It is, or was, a member, here or elsewhere.
    #[error(
        "the server at {url} is or was node {other} of {whose}, so it cannot be {node}: correct the url, or start it with \
         an empty data directory"
    )]
    Taken {
        /// Which was to join.
        node: NodeId,
        /// There.
        url: String,
        /// The one that it says it is.
        other: NodeId,
        /// Of which cluster.
        whose: String,
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
    /// The journal ends before what the node has.
    #[error(
        "node {node} has documents of task {entry}, but the journal in data_dir ends before task {next}: it is an older copy, \
         and its next writes would get numbers that others have had. Put the newest data_dir in its place, or restore a backup \
         (miroir restore); if there is neither, start with empty nodes and an empty data_dir, and import a dump (docs/OPERATIONS.md)"
    )]
    Older {
        /// Which.
        node: NodeId,
        /// There.
        entry: EntryId,
        /// In the store.
        next: EntryId,
    },
    /// After a restore, a member cannot be looked at.
    #[error(
        "data_dir comes from a backup, and node {node} cannot be asked what it has got since ({why}); start it for this start, or, \
         if it is lost, an empty Meilisearch in its place, which is rebuilt"
    )]
    Needed {
        /// Which.
        node: NodeId,
        /// Of people.
        why: String,
    },
    /// After a restore, nobody knows where shards are.
    #[error(
        "data_dir comes from a backup, and since then nodes {nodes:?} were emptied, or shards were moved to or from them: nobody \
         knows any more who has all of {shards} shards, and nothing was changed. Restore a later backup; if there is none, \
         start with empty nodes and an empty data_dir, and import a dump (docs/OPERATIONS.md)"
    )]
    Scattered {
        /// How many.
        shards: usize,
        /// Of which nobody knows what they have.
        nodes: Vec<NodeId>,
    },
    /// The store is from before members were stored, so only the configuration knows where it is.
    #[error(
        "node {node} holds shards of this cluster but is not configured, and this data_dir, written by an older miroir, does \
         not say where it is; put it back into nodes for this start"
    )]
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
    /// Members that have shown just now that they are where they are said to be.
    pub present: BTreeSet<NodeId>,
}

impl StoredFleet {
    /// Without those that were removed.
    pub fn members(&self) -> impl Iterator<Item = &NodeRecord> {
        self.nodes.iter().filter(|node| node.state.is_member())
    }
}

/// The stored fleet, made of the configuration at the first start. `patience` is how long nodes are waited for then.
pub fn settle(settings: &Settings, store: &dyn Store, patience: Duration) -> Result<StoredFleet, FleetError> {
    let Some(cluster) = store.cluster()? else { return first_start(settings, store, patience) };
    let ProtocolState { nodes, tables, .. } = store.protocol_state()?;
    let mut fleet = StoredFleet { cluster, nodes, tables, present: BTreeSet::new() };
    let (configured, stored) = (u64::from(settings.shards), u64::from(fleet.cluster.shard_count));
    if configured != stored {
        return Err(FleetError::Changed { key: "shards", configured, stored });
    }
    let changed = if fleet.nodes.is_empty() {
        members_of_schema_1(settings, &fleet.tables)?
    } else {
        described_anew(settings, &fleet)
    };
    for record in &changed {
        match fleet.nodes.iter_mut().find(|node| node.id == record.id) {
            Some(node) => *node = record.clone(),
            None => fleet.nodes.push(record.clone()),
        }
    }
    check_addresses(fleet.members())?;
    let has_other_pace = !fleet.tables.is_pace_set && fleet.tables.pace != settings.rebalance;
    if has_other_pace {
        fleet.tables.pace = settings.rebalance;
    }
    let tables = has_other_pace.then(|| fleet.tables.clone());
    store.commit(&ProtocolDelta { nodes: changed, tables, ..ProtocolDelta::default() })?;
    for difference in differences(settings, &fleet) {
        tracing::warn!("{difference}");
    }
    restored::prepare(settings, &mut fleet, store)?;
    fleet.present = check_known_nodes(settings, &fleet, store)?;
    Ok(fleet)
}

fn first_start(settings: &Settings, store: &dyn Store, patience: Duration) -> Result<StoredFleet, FleetError> {
    let nodes = settings.nodes.len();
    if nodes < settings.replication_factor {
        return Err(FleetError::TooFewNodes { factor: settings.replication_factor, nodes });
    }
    let mut fleet = new_fleet(settings);
    check_addresses(fleet.members())?;
    let deadline = clock::instant() + patience;
    let mut next_task = Vec::new();
    for node in fleet.members() {
        let look = first_look(node, &fleet.cluster.cluster_id, settings.node_master_key.as_ref(), deadline)?;
        next_task.push((node.id.clone(), look.next_task));
    }
    // The cluster is stored last: a crash in between looks at the nodes again.
    let (records, tables) = (fleet.nodes.clone(), Some(fleet.tables.clone()));
    store.commit(&ProtocolDelta { next_task, nodes: records, tables, ..ProtocolDelta::default() })?;
    store.save_cluster(&fleet.cluster)?;
    let (shards, replication_factor) = (fleet.cluster.shard_count, fleet.tables.replication_factor);
    tracing::info!(shards, replication_factor, nodes, "new cluster");
    fleet.present = fleet.members().map(|node| node.id.clone()).collect();
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
        tables: Tables {
            plan: owners.clone(),
            owners,
            replication_factor,
            version: 1,
            pace: settings.rebalance,
            ..Tables::default()
        },
        present: BTreeSet::new(),
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
        has_identity: false,
    }
}

/// Those that own shards. Schema 1 did not store where they are; its other nodes got nothing, not even indexes.
fn members_of_schema_1(settings: &Settings, tables: &Tables) -> Result<Vec<NodeRecord>, FleetError> {
    let owners = || tables.owners.iter().flatten();
    if let Some(node) = owners().find(|id| !settings.nodes.iter().any(|node| node.id == **id)) {
        return Err(FleetError::Missing { node: node.clone() });
    }
    let members = settings.nodes.iter().filter(|node| owners().any(|id| *id == node.id));
    Ok(members.map(record_of).collect())
}

/// The members as cores see them at the start, in the order of their slots.
pub fn node_views(fleet: &StoredFleet) -> Vec<NodeView> {
    let view = |node: &NodeRecord| {
        let is_present = fleet.present.contains(&node.id);
        let address = resolve(&node.url).filter(|_| is_present);
        NodeView { reachable: is_present, address, ..NodeView::of(node) }
    };
    fleet.members().map(view).collect()
}

fn check_addresses<'a>(nodes: impl Iterator<Item = &'a NodeRecord>) -> Result<(), FleetError> {
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

/// At later starts a node may be away or sick, behind a proxy that answers for it or not, or another server may be where it
/// was: the others can do without it, and the prober sees when it is well. But one that answers must let us in. Returns those
/// that are there.
fn check_known_nodes(
    settings: &Settings,
    fleet: &StoredFleet,
    store: &dyn Store,
) -> Result<BTreeSet<NodeId>, FleetError> {
    let heads = store.heads()?;
    let records = store.indexes()?;
    let next = store.next_entry()?;
    let mut present = BTreeSet::new();
    for node in fleet.members() {
        let client = client_of(node, settings.node_master_key.as_ref());
        let identity = Identity { cluster: fleet.cluster.cluster_id.clone(), node: node.id.clone() };
        let asked = identity.ask(&client, ANSWER_TIMEOUT).and_then(|who| Ok((who, client.stats(ANSWER_TIMEOUT)?)));
        let (answerer, stats) = match asked {
            Ok(answers) => answers,
            Err(error @ NodeError::Refused { status: 401 | 403, .. }) => return Err(refusal(node, error)),
            Err(error) => {
                tracing::warn!(node = %node.id, url = node.url, %error, "node cannot be used; starting without it");
                continue;
            }
        };
        if !is_itself(node, answerer.bearer) {
            let why = identity.stranger(&answerer);
            tracing::error!(node = %node.id, url = node.url, why, "the node is not where it is said to be");
            continue;
        }
        older::check_journal(node, &client, next)?;
        present.insert(node.id.clone());
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
    Ok(present)
}
