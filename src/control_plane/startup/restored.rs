//! The first start of a `data_dir` that comes from a backup: what the nodes have got since is looked for in their own task
//! lists, and stored in such a way that nothing of it is taken for what the store says ([`crate::logic::restoring`]).
//!
//! Afterwards numbers go on far ahead; every task on the nodes is accounted for; indexes that are gone are made again, and
//! settings are sent again where they were changed; nodes of which nobody knows what they have are rebuilt from their peers.
//! What else differs is made equal when Miroir runs (`operator/restored.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::first_look::{client_of, refusal};
use super::{ANSWER_TIMEOUT, FleetError, StoredFleet};
use crate::config::{Secret, Settings};
use crate::control_plane::feeder::seen_kind;
use crate::control_plane::identity::Identity;
use crate::control_plane::node_client::{NodeClient, NodeError, NodeTaskQuery};
use crate::logic::feeder::{Bearer, Label, SeenKind, is_itself};
use crate::logic::ids::{NodeId, NodeIndexUid, NodeTask, Position};
use crate::logic::restoring::{RESTORED, Restored, Since, furthest, lost_shards, next_after};
use crate::logic::topology::{BootstrapRecord, BootstrapStage, Mend, MendRecord, NodeRecord};
use crate::meili::tasks::TaskStatus;
use crate::store::{IndexRecord, ProtocolDelta, ProtocolState, Store, StoreError};

/// Tasks of a node in one answer.
const PAGE: u64 = 1_000;
/// Between two looks at a node that works.
const PAUSE: Duration = Duration::from_millis(500);

/// A node as it was found.
struct Found {
    since: Since,
    /// Of its own; none when it has lost its data, which is found again when it is asked who it is.
    next_task: Option<NodeTask>,
    indexes: BTreeSet<NodeIndexUid>,
}

/// Does nothing for a store that was not restored, or was prepared before.
pub(super) fn prepare(settings: &Settings, fleet: &mut StoredFleet, store: &dyn Store) -> Result<(), FleetError> {
    let Some(kept) = store.kept(RESTORED)? else { return Ok(()) };
    if serde_json::from_value::<Restored>(kept).ok() != Some(Restored::Unprepared) {
        return Ok(());
    }
    tracing::info!("data_dir comes from a backup: the nodes are asked what they have got since");
    let stored = store.protocol_state()?;
    let mut found = BTreeMap::new();
    for node in fleet.members() {
        let from = stored.next_task.get(&node.id).copied().unwrap_or_default();
        found.insert(
            node.id.clone(),
            look_at(node, &fleet.cluster.cluster_id, settings.node_master_key.as_ref(), from)?,
        );
    }
    let records = store.indexes()?;
    let strange: BTreeSet<NodeId> =
        found.iter().filter(|(_, found)| found.since.is_strange).map(|(node, _)| node.clone()).collect();
    let lost = lost_shards(&fleet.tables.owners, &strange);
    if !lost.is_empty() && !records.is_empty() {
        return Err(FleetError::Scattered { shards: lost.len(), nodes: strange.into_iter().collect() });
    }
    let since: BTreeMap<NodeId, Since> =
        found.iter().map(|(node, found)| (node.clone(), found.since.clone())).collect();
    let next = next_after(store.next_entry()?, since.values().filter_map(|since| since.last));
    let delta = delta(&stored, &records, &found, fleet);
    let prepared = Restored::Prepared { next, furthest: furthest(&since) };
    let kept = serde_json::to_value(&prepared).map_err(|error| StoreError::Failed(error.to_string()))?;
    store.go_on_at(next, &delta, (RESTORED, &kept))?;
    let (rebuilt, made, sent) = (delta.needs_rebuild.len(), delta.bootstraps.len(), fleet.tables.mends.len());
    tracing::warn!(
        %next, ?strange, rebuilt, made, sent,
        "restored from a backup: task numbers go on here, and replicas are compared and made equal now"
    );
    Ok(())
}

/// What makes the nodes those that the store knows.
fn delta(
    stored: &ProtocolState,
    records: &[IndexRecord],
    found: &BTreeMap<NodeId, Found>,
    fleet: &mut StoredFleet,
) -> ProtocolDelta {
    let mut delta = ProtocolDelta::default();
    let mut mends = fleet.tables.mends.clone();
    for (node, found) in found {
        let Some(next_task) = found.next_task else { continue };
        delta.next_task.push((node.clone(), next_task));
        for record in records {
            let (node, index) = (node.clone(), record.node_uid.clone());
            let key = (node.clone(), index.clone());
            let applied = stored.applied.get(&key).copied().unwrap_or_default();
            if applied < Position::of(record.created_by, 0) || record.dropped_by.is_some() {
                continue; // It is made, or deleted, by what comes in the journal.
            }
            let is_mended = mends.iter().any(|mend| mend.node == node && mend.index == index);
            if found.since.is_strange {
                delta.went_out.push(key.clone());
                delta.needs_rebuild.push(key);
            } else if !found.indexes.contains(&index) {
                delta.went_out.push(key);
                delta.bootstraps.push(BootstrapRecord { node, index, at: applied, stage: BootstrapStage::Create });
            } else if found.since.changed.contains(&index) && !is_mended {
                mends.push(MendRecord { node, index, mend: Mend { primary_key: false, settings: true } });
            }
        }
    }
    if mends != fleet.tables.mends {
        fleet.tables.mends = mends;
        delta.tables = Some(fleet.tables.clone());
    }
    delta
}

fn look_at(node: &NodeRecord, cluster: &str, key: Option<&Secret>, from: NodeTask) -> Result<Found, FleetError> {
    let client = client_of(node, key);
    let identity = Identity { cluster: cluster.to_owned(), node: node.id.clone() };
    let answerer = identity.ask(&client, ANSWER_TIMEOUT).map_err(|error| needed(node, error))?;
    if !is_itself(node, answerer.bearer) {
        return match answerer.bearer {
            Bearer::Node { .. } | Bearer::Nobody { is_empty: true } => {
                let since = Since { is_strange: true, ..Since::default() };
                Ok(Found { since, next_task: None, indexes: BTreeSet::new() })
            }
            Bearer::Nobody { is_empty: false } | Bearer::Other => {
                Err(FleetError::Needed { node: node.id.clone(), why: identity.stranger(&answerer) })
            }
        };
    }
    let seen = read_tasks(node, &client, from).map_err(|error| needed(node, error))?;
    let (mut since, next_task) = seen;
    if next_task < from {
        // An older copy of its disk, which is found again when its newest task is asked for.
        since.is_strange = true;
    }
    let stats = client.stats(ANSWER_TIMEOUT).map_err(|error| needed(node, error))?;
    let indexes = stats.indexes.into_keys().map(NodeIndexUid::new).collect();
    Ok(Found { since, next_task: Some(next_task).filter(|next| *next >= from), indexes })
}

fn needed(node: &NodeRecord, error: NodeError) -> FleetError {
    match error {
        NodeError::Refused { status: 401 | 403, .. } | NodeError::TooOld(_) => refusal(node, error),
        NodeError::Unreachable(_)
        | NodeError::TimedOut(_)
        | NodeError::Refused { .. }
        | NodeError::BadAnswer(_)
        | NodeError::TooLong(_) => FleetError::Needed { node: node.id.clone(), why: error.to_string() },
    }
}

/// All tasks of a node from this one on, when it works on none any more; and the number that its next one gets.
fn read_tasks(node: &NodeRecord, client: &NodeClient, from: NodeTask) -> Result<(Since, NodeTask), NodeError> {
    let statuses = vec![TaskStatus::Enqueued, TaskStatus::Processing];
    let unfinished = NodeTaskQuery { limit: 1, statuses, ..NodeTaskQuery::default() };
    let mut is_told = false;
    while !client.tasks(&unfinished, ANSWER_TIMEOUT)?.results.is_empty() {
        if !std::mem::replace(&mut is_told, true) {
            tracing::info!(node = %node.id, "waiting until the node has done what it was sent before");
        }
        std::thread::park_timeout(PAUSE);
    }
    let newest = client.newest_task(ANSWER_TIMEOUT)?;
    let next = newest.map_or(NodeTask(0), |task| NodeTask(task.0 + 1));
    let (mut since, mut at) = (Since::default(), from);
    while at < next {
        let query = NodeTaskQuery { from: Some(at), limit: PAGE, reverse: true, ..NodeTaskQuery::default() };
        let page = client.tasks(&query, ANSWER_TIMEOUT)?.results;
        // Some were deleted there: nobody knows what they did.
        since.is_strange |= at == from && page.first().is_none_or(|task| task.uid > from.0);
        let Some(last) = page.last() else { break };
        at = NodeTask(last.uid + 1);
        for task in &page {
            if let Some(label) = task.custom_metadata.as_deref().and_then(Label::parse) {
                since.note(&label);
            }
            let changes = matches!(seen_kind(task.kind), SeenKind::Settings | SeenKind::PrimaryKey | SeenKind::Create);
            since.changed.extend(task.index_uid.as_deref().filter(|_| changes).map(NodeIndexUid::new));
        }
    }
    Ok((since, next))
}
