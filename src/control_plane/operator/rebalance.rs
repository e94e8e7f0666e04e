//! What moves at the moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::picture::Picture;
use super::progress::{Progress, Watch, Work};
use crate::logic::ids::{EntryId, JobId, NodeId, NodeIndexUid, ShardId};
use crate::logic::placement::plan::steps;
use crate::logic::plan_history::{PlanOutcome, PlanRecord};
use crate::logic::topology::{
    BootstrapStage, CompactionRecord, CompactionWish, JobKind, JobRecord, JobStep, JoinState, NodeRecord, NodeState,
    Pace, Tables,
};
use crate::meili::dates::rfc3339;

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
    /// Nodes that do not answer, and that moves wait for.
    absent: Vec<NodeId>,
    /// The same of nodes in maintenance.
    in_maintenance: Vec<NodeId>,
    /// Why less moves than could.
    held_up_by: Vec<HeldUpBy>,
    /// Shards with fewer replicas on nodes that answer than are planned.
    lacking_replicas: usize,
    /// What is left to be deleted on nodes that do not answer. Nobody waits for that.
    owed: Vec<Owed>,
    /// How fast it may go.
    limits: Pace,
    nodes: Vec<NodeLoad>,
    jobs: Vec<JobView>,
    /// Indexes that are brought to a node before anything else is.
    bootstraps: Vec<BootstrapView>,
    /// Indexes whose disk space is given back, or is to be.
    compactions: Vec<CompactionView>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum RebalanceState {
    /// The table is as planned, and nothing is left to clean up but what is owed.
    Idle,
    Running,
    Paused,
}

/// What an operator has set that holds moves up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum HeldUpBy {
    /// Nothing new is copied, not even what lacks replicas.
    Pause,
    /// Only shards are copied that lack replicas.
    Hours,
    /// `busyPercent` or `bytesPerSecond`: for a moment.
    Limits,
}

/// A clean-up that waits for its node to return.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Owed {
    node: NodeId,
    /// Ascending.
    shards: Vec<ShardId>,
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
    /// Why it does not get on; it is tried again.
    problem: Option<Arc<str>>,
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

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CompactionView {
    node: NodeId,
    /// The nodes' name.
    node_index: NodeIndexUid,
    /// Since the last time.
    deleted_documents: u64,
    /// The node works on it.
    is_running: bool,
}

/// Those that somebody waits for.
fn compactions(picture: &Picture, under_way: &[(NodeId, NodeIndexUid)]) -> Vec<CompactionView> {
    let tables = &picture.protocol.tables;
    let is_wanted = |record: &&CompactionRecord| match record.wish {
        CompactionWish::Small => false,
        CompactionWish::Due => tables.pace.compact,
        CompactionWish::Asked => true,
    };
    let view = |record: &CompactionRecord| {
        let CompactionRecord { node, index, deleted, .. } = record.clone();
        let is_running = under_way.iter().any(|(at, of)| *at == node && *of == index);
        CompactionView { node, node_index: index, deleted_documents: deleted, is_running }
    };
    tables.compactions.iter().filter(is_wanted).map(view).collect()
}

/// The part of the answer that is not stored.
pub(super) struct Current<'a> {
    /// How far the moves are.
    pub watch: &'a Watch,
    /// What is left.
    pub work: Work,
    /// Indexes whose disk space is given back.
    pub compacting: &'a [(NodeId, NodeIndexUid)],
    /// Some node that a shard is coming to gets none for the moment.
    pub is_resting: bool,
    /// Of the day, UTC.
    pub hour: u8,
}

pub(super) fn status(picture: &Picture, current: &Current<'_>) -> RebalanceStatus {
    let tables = &picture.protocol.tables;
    let (replicas_to_come, replicas_to_go) =
        (missing(&tables.plan, &tables.owners), missing(&tables.owners, &tables.plan));
    let owed_by = |job: &JobRecord| cleans(job).filter(|node| !picture.is_reachable(node)).cloned();
    let (jobs, mut owed) = (&picture.protocol.jobs, BTreeMap::<NodeId, Vec<ShardId>>::new());
    for (node, job) in jobs.iter().filter_map(|job| Some((owed_by(job)?, job))) {
        owed.entry(node).or_default().push(job.shard);
    }
    for shards in owed.values_mut() {
        shards.sort_unstable();
    }
    let mut at_work = jobs.iter().filter(|job| owed_by(job).is_none()).peekable();
    let compactions = compactions(picture, current.compacting);
    let has_compaction = compactions.iter().any(|compaction| picture.is_reachable(&compaction.node));
    let has_work = replicas_to_come + replicas_to_go > 0 || at_work.peek().is_some() || has_compaction;
    let state = match (has_work, tables.is_paused) {
        (_, true) => RebalanceState::Paused,
        (true, false) => RebalanceState::Running,
        (false, false) => RebalanceState::Idle,
    };
    let mut progress = current.watch.progress(current.work, !has_work);
    if let Some(progress) = progress.as_mut().filter(|_| tables.is_paused) {
        progress.remaining_seconds = None;
    }
    let bootstraps = picture.protocol.bootstraps.iter().map(|bootstrap| BootstrapView {
        node: bootstrap.node.clone(),
        node_index: bootstrap.index.clone(),
        stage: bootstrap.stage,
        task: bootstrap.at.entry(),
    });
    let wishes = steps(&tables.owners, &tables.plan);
    let named: BTreeSet<&NodeId> = at_work.flat_map(|job| waits_for(picture, job)).collect();
    let is_named = |id: &NodeId| named.contains(id) || wishes.iter().any(|wish| wish.to.as_ref() == Some(id));
    let (answering, silent): (Vec<&NodeRecord>, Vec<&NodeRecord>) =
        picture.members().filter(|node| is_named(&node.id)).partition(|node| picture.is_reachable(&node.id));
    let resting = answering.into_iter().filter(|node| !picture.is_read(&node.id));
    let has_all = |shard: &usize| {
        let owners = tables.owners[*shard].iter().filter(|owner| picture.is_reachable(owner));
        owners.count() >= tables.plan[*shard].len()
    };
    let all = tables.owners.len();
    RebalanceStatus {
        state,
        version: tables.version,
        replication_factor: tables.replication_factor,
        replicas_to_come,
        replicas_to_go,
        progress,
        absent: silent.into_iter().map(|node| node.id.clone()).collect(),
        in_maintenance: resting.map(|node| node.id.clone()).collect(),
        held_up_by: if has_work { held_up_by(tables, current) } else { Vec::new() },
        lacking_replicas: all - (0..all).filter(has_all).count(),
        owed: owed.into_iter().map(|(node, shards)| Owed { node, shards }).collect(),
        limits: tables.pace,
        nodes: picture.members().map(|node| load(tables, node)).collect(),
        jobs: picture.protocol.jobs.iter().map(|job| job_view(picture, job)).collect(),
        bootstraps: bootstraps.collect(),
        compactions,
    }
}

fn held_up_by(tables: &Tables, current: &Current<'_>) -> Vec<HeldUpBy> {
    let all = [
        (HeldUpBy::Pause, tables.is_paused),
        (HeldUpBy::Hours, !tables.pace.throttle.is_open(current.hour)),
        (HeldUpBy::Limits, current.is_resting),
    ];
    all.into_iter().filter(|(_, holds_up)| *holds_up).map(|(by, _)| by).collect()
}

/// Nodes that a job cannot get on without, as long as they do not answer or are in maintenance.
fn waits_for<'a>(picture: &'a Picture, job: &'a JobRecord) -> Vec<&'a NodeId> {
    let nodes: Vec<&NodeId> = match (job.step, &job.target) {
        (JobStep::Announce | JobStep::Copy, Some(target)) => vec![target],
        // It ends when all owners are complete.
        (JobStep::Announce | JobStep::Copy | JobStep::Switched, _) => picture.owners(job.shard).iter().collect(),
        (JobStep::Clean | JobStep::Undo, _) => cleans(job).into_iter().collect(),
    };
    let is_missed = |id: &&NodeId| match job.step {
        JobStep::Announce | JobStep::Copy | JobStep::Switched => !picture.is_reachable(id) || !picture.is_read(id),
        JobStep::Clean | JobStep::Undo => !picture.is_reachable(id),
    };
    nodes.into_iter().filter(is_missed).collect()
}

/// Why a job waits, if nothing else is known.
fn waits(picture: &Picture, job: &JobRecord) -> Option<Arc<str>> {
    let node = waits_for(picture, job).into_iter().next()?;
    let reason = if picture.is_reachable(node) { "is in maintenance" } else { "does not answer" };
    Some(format!("it waits for {node}, which {reason}").into())
}

/// The answer to who asks for the last plans.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct RebalanceHistory {
    /// The newest first.
    results: Vec<PlanView>,
}

/// A plan, see [`PlanRecord`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanView {
    plan: u64,
    began_at: String,
    ended_at: Option<String>,
    outcome: PlanOutcome,
    planned: u64,
    moved: u64,
    documents: u64,
    bytes: u64,
}

pub(super) fn history(picture: &Picture) -> RebalanceHistory {
    let view = |plan: &PlanRecord| PlanView {
        plan: plan.number,
        began_at: rfc3339(plan.began_at),
        ended_at: plan.ended_at.map(rfc3339),
        outcome: plan.outcome,
        planned: plan.planned,
        moved: plan.moved,
        documents: plan.documents,
        bytes: plan.bytes,
    };
    RebalanceHistory { results: picture.protocol.plans.iter().rev().map(view).collect() }
}

/// The node that is to delete what it has of the shard.
fn cleans(job: &JobRecord) -> Option<&NodeId> {
    match job.step {
        JobStep::Clean => job.old_owner.as_ref(),
        JobStep::Undo => job.target.as_ref(),
        JobStep::Announce | JobStep::Copy | JobStep::Switched => None,
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
    let problem = picture.problems.get(&id).cloned().or_else(|| waits(picture, job));
    JobView { id, kind, shard, step, to: job.target.clone(), from: job.old_owner.clone(), indexes, problem }
}
