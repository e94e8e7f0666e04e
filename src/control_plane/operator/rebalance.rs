//! What moves at the moment.

use serde::Serialize;

use super::picture::Picture;
use super::progress::{Progress, Watch};
use crate::logic::ids::{EntryId, JobId, NodeId, NodeIndexUid, ShardId};
use crate::logic::placement::plan::steps;
use crate::logic::topology::{
    BootstrapStage, JobKind, JobRecord, JobStep, JoinState, NodeRecord, NodeState, Pace, Tables,
};

/// The answer.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RebalanceStatus {
    state: RebalanceState,
    /// Of the tables.
    version: u64,
    replication_factor: u16,
    /// Replicas that the plan names and the table does not: to be copied.
    replicas_to_come: usize,
    /// Replicas that the table names and the plan does not: to be taken away.
    replicas_to_go: usize,
    /// Since it began; none when it is idle.
    progress: Option<Progress>,
    /// Nodes that do not answer, and are to get shards or to delete what they had.
    absent: Vec<NodeId>,
    /// How fast it may go.
    limits: Pace,
    nodes: Vec<NodeLoad>,
    jobs: Vec<JobView>,
    /// Indexes that are brought to a node before anything else is.
    bootstraps: Vec<BootstrapView>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum RebalanceState {
    /// The table is as planned, and nothing is left to clean up.
    Idle,
    Running,
    Paused,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeLoad {
    node: NodeId,
    state: NodeState,
    /// That it owns.
    shards: usize,
    /// That it is to own.
    planned: usize,
}

/// A job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobView {
    id: JobId,
    kind: JobKind,
    shard: ShardId,
    step: JobStep,
    to: Option<NodeId>,
    /// Known once the table has switched.
    from: Option<NodeId>,
    indexes: IndexCounts,
}

/// Indexes of a job, by how far they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
struct IndexCounts {
    clear: usize,
    joined: usize,
    cleaned: usize,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BootstrapView {
    node: NodeId,
    /// The nodes' name; operators see the indexes' own names elsewhere.
    node_index: NodeIndexUid,
    stage: BootstrapStage,
    /// Settings as of this task.
    task: Option<EntryId>,
}

pub(super) fn status(picture: &Picture, watch: &Watch) -> RebalanceStatus {
    let tables = &picture.protocol.tables;
    let (replicas_to_come, replicas_to_go) =
        (missing(&tables.plan, &tables.owners), missing(&tables.owners, &tables.plan));
    let has_work = replicas_to_come + replicas_to_go > 0 || !picture.protocol.jobs.is_empty();
    let state = match (has_work, tables.is_paused) {
        (_, true) => RebalanceState::Paused,
        (true, false) => RebalanceState::Running,
        (false, false) => RebalanceState::Idle,
    };
    let bootstraps = picture.protocol.bootstraps.iter().map(|bootstrap| BootstrapView {
        node: bootstrap.node.clone(),
        node_index: bootstrap.index.clone(),
        stage: bootstrap.stage,
        task: bootstrap.at.entry(),
    });
    let wishes = steps(&tables.owners, &tables.plan);
    let is_named = |id: &NodeId| {
        let comes = wishes.iter().any(|wish| wish.to.as_ref() == Some(id));
        comes || picture.protocol.jobs.iter().any(|job| [&job.target, &job.old_owner].contains(&&Some(id.clone())))
    };
    let absent = picture.members().filter(|node| !picture.is_reachable(&node.id) && is_named(&node.id));
    RebalanceStatus {
        state,
        version: tables.version,
        replication_factor: tables.replication_factor,
        replicas_to_come,
        replicas_to_go,
        progress: watch.progress(wishes.len(), !has_work),
        absent: absent.map(|node| node.id.clone()).collect(),
        limits: tables.pace,
        nodes: picture.members().map(|node| load(tables, node)).collect(),
        jobs: picture.protocol.jobs.iter().map(|job| job_view(picture, job)).collect(),
        bootstraps: bootstraps.collect(),
    }
}

/// How many replicas the first table has and the second has not.
pub(super) fn missing(first: &[Vec<NodeId>], second: &[Vec<NodeId>]) -> usize {
    let pairs = first.iter().zip(second);
    pairs.map(|(first, second)| first.iter().filter(|node| !second.contains(node)).count()).sum()
}

fn load(tables: &Tables, node: &NodeRecord) -> NodeLoad {
    let count = |table: &[Vec<NodeId>]| table.iter().filter(|owners| owners.contains(&node.id)).count();
    NodeLoad { node: node.id.clone(), state: node.state, shards: count(&tables.owners), planned: count(&tables.plan) }
}

pub(super) fn job_view(picture: &Picture, job: &JobRecord) -> JobView {
    let mut indexes = IndexCounts { cleaned: job.cleaned.len(), ..IndexCounts::default() };
    for join in picture.protocol.joins.iter().filter(|join| join.job == job.id) {
        match join.state {
            JoinState::Clear => indexes.clear += 1,
            JoinState::Joined => indexes.joined += 1,
        }
    }
    let JobRecord { id, kind, shard, step, .. } = *job;
    JobView { id, kind, shard, step, to: job.target.clone(), from: job.old_owner.clone(), indexes }
}
