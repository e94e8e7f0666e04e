//! Members of the fleet and moves of shards.

use std::collections::BTreeSet;

use super::{Harness, is_refused, sample_outcome};
use crate::logic::ids::{EntryId, JobId, NodeId, NodeIndexUid, NodeTask, Position, ShardId, Timestamp};
use crate::logic::plan_history::{PlanOutcome, PlanRecord};
use crate::logic::topology::{
    BootstrapRecord, BootstrapStage, JobKind, JobRecord, JobStep, JoinRecord, JoinState, NodeRecord, NodeState, Tables,
};
use crate::meili::tasks::TaskStatus;
use crate::store::{ProtocolDelta, ProtocolState};

fn node(id: &str) -> NodeRecord {
    NodeRecord {
        id: NodeId::new(id),
        url: format!("http://{id}:7700"),
        zone: Some("a".into()),
        weight: 1.5,
        state: NodeState::Active,
        life: 0,
        has_identity: false,
    }
}

fn tables(version: u64, owners: &[&[&str]]) -> Tables {
    let owners: Vec<Vec<NodeId>> =
        owners.iter().map(|owners| owners.iter().map(|id| NodeId::new(*id)).collect()).collect();
    Tables { plan: owners.clone(), owners, replication_factor: 1, version, ..Tables::default() }
}

fn job(id: u64, step: JobStep) -> JobRecord {
    JobRecord {
        id: JobId(id),
        kind: JobKind::Move,
        shard: ShardId(1),
        target: Some(NodeId::new("n2")),
        old_owner: None,
        step,
        cleaned: BTreeSet::from([NodeIndexUid::new("a-0")]),
        hollow: BTreeSet::new(),
    }
}

fn join(job: u64, index: &str, state: JoinState) -> JoinRecord {
    JoinRecord { job: JobId(job), index: NodeIndexUid::new(index), state, cursor: Position(u64::MAX >> 1) }
}

fn bootstrap(node: &str, index: &str, stage: BootstrapStage) -> BootstrapRecord {
    BootstrapRecord { node: NodeId::new(node), index: NodeIndexUid::new(index), at: Position(9), stage }
}

/// Two members, two jobs with two joins each, two bootstraps.
fn filled() -> ProtocolDelta {
    ProtocolDelta {
        // Not in the order of their names.
        nodes: vec![node("n10"), node("n2")],
        tables: Some(tables(1, &[&["n10"], &["n10"]])),
        jobs: vec![job(0, JobStep::Announce), job(1, JobStep::Copy)],
        joins: vec![
            join(0, "a-0", JoinState::Clear),
            join(0, "b-1", JoinState::Clear),
            join(1, "a-0", JoinState::Clear),
            join(1, "b-1", JoinState::Joined),
        ],
        bootstraps: vec![bootstrap("n2", "a-0", BootstrapStage::Drop), bootstrap("n2", "b-1", BootstrapStage::Create)],
        ..ProtocolDelta::default()
    }
}

fn reopened(harness: &dyn Harness, deltas: &[ProtocolDelta]) -> ProtocolState {
    let store = harness.open();
    for delta in deltas {
        store.commit(delta).unwrap();
    }
    drop(store);
    harness.open().protocol_state().unwrap()
}

fn pair(node: &str, index: &str) -> (NodeId, NodeIndexUid) {
    (NodeId::new(node), NodeIndexUid::new(index))
}

pub fn members_tables_jobs_joins_and_bootstraps_survive_a_restart(harness: &dyn Harness) {
    let empty = harness.open().protocol_state().unwrap();
    assert_eq!(empty, ProtocolState::default());
    let first = filled();
    let state = reopened(harness, std::slice::from_ref(&first));
    assert_eq!(state.nodes, first.nodes);
    assert_eq!(Some(state.tables), first.tables);
    assert_eq!((state.jobs, state.next_job), (first.jobs, JobId(2)));
    assert_eq!((state.joins, state.bootstraps), (first.joins, first.bootstraps));

    let second = ProtocolDelta {
        nodes: vec![node("n3"), NodeRecord { state: NodeState::Draining, life: 2, ..node("n10") }],
        tables: Some(Tables { is_paused: true, ..tables(2, &[&["n10"], &["n2"]]) }),
        jobs: vec![JobRecord { hollow: BTreeSet::from([NodeIndexUid::new("b-1")]), ..job(1, JobStep::Switched) }],
        joins: vec![join(0, "a-0", JoinState::Clear)],
        bootstraps: vec![bootstrap("n2", "a-0", BootstrapStage::Settings)],
        plans: Some(vec![PlanRecord {
            number: 3,
            began_at: Timestamp(1),
            ended_at: Some(Timestamp(2)),
            outcome: PlanOutcome::Done,
            planned: 4,
            moved: 5,
            documents: 6,
            bytes: 7,
        }]),
        ..ProtocolDelta::default()
    };
    let state = reopened(harness, std::slice::from_ref(&second));
    assert_eq!(Some(state.plans), second.plans);
    assert_eq!(state.nodes, [second.nodes[1].clone(), node("n2"), node("n3")], "in the order in which they came");
    assert_eq!(Some(state.tables), second.tables);
    assert_eq!((state.jobs, state.next_job), (vec![job(0, JobStep::Announce), second.jobs[0].clone()], JobId(2)));
    assert_eq!((state.joins.len(), &state.joins[0]), (4, &second.joins[0]));
    assert_eq!((state.bootstraps.len(), &state.bootstraps[0]), (2, &second.bootstraps[0]));
}

pub fn a_switch_is_all_or_nothing(harness: &dyn Harness) {
    let before = reopened(harness, &[filled()]);
    let switch = ProtocolDelta {
        nodes: vec![node("n3")],
        tables: Some(tables(2, &[&["n10"], &["n2"]])),
        jobs: vec![job(1, JobStep::Switched), job(2, JobStep::Announce)],
        joins: vec![join(2, "a-0", JoinState::Clear)],
        ended_joins: vec![(JobId(1), NodeIndexUid::new("b-1"))],
        ended_jobs: vec![JobId(0)],
        bootstraps: vec![bootstrap("n3", "a-0", BootstrapStage::Drop)],
        ended_bootstraps: vec![pair("n2", "a-0")],
        ..ProtocolDelta::default()
    };
    let store = harness.open();
    // Nobody knows this entry.
    let refused =
        ProtocolDelta { outcomes: vec![(EntryId(9), sample_outcome(TaskStatus::Succeeded))], ..switch.clone() };
    assert!(is_refused(&store.commit(&refused)));
    drop(store);
    assert_eq!(harness.open().protocol_state().unwrap(), before);

    let after = reopened(harness, std::slice::from_ref(&switch));
    assert_eq!(Some(after.tables), switch.tables);
    assert_eq!((after.jobs, after.next_job), (switch.jobs, JobId(3)));
    assert_eq!(after.joins, [join(1, "a-0", JoinState::Clear), join(2, "a-0", JoinState::Clear)]);
    assert_eq!(
        after.bootstraps,
        [bootstrap("n2", "b-1", BootstrapStage::Create), bootstrap("n3", "a-0", BootstrapStage::Drop)]
    );
}

pub fn what_ended_goes_and_job_numbers_are_not_given_again(harness: &dyn Harness) {
    let ended = ProtocolDelta {
        ended_jobs: vec![JobId(1), JobId(7)],
        // Begun and ended in one transaction.
        jobs: vec![job(7, JobStep::Undo)],
        joins: vec![join(7, "a-0", JoinState::Clear)],
        ended_joins: vec![(JobId(0), NodeIndexUid::new("b-1"))],
        // Ended and begun anew.
        ended_bootstraps: vec![pair("n2", "a-0"), pair("n2", "b-1")],
        bootstraps: vec![bootstrap("n2", "a-0", BootstrapStage::Drop)],
        ..ProtocolDelta::default()
    };
    let state = reopened(harness, &[filled(), ended]);
    assert_eq!((state.jobs, state.next_job), (vec![job(0, JobStep::Announce)], JobId(8)));
    assert_eq!(state.joins, [join(0, "a-0", JoinState::Clear)]);
    assert_eq!(state.bootstraps, [bootstrap("n2", "a-0", BootstrapStage::Drop)]);

    let last = ProtocolDelta { ended_jobs: vec![JobId(0)], ..ProtocolDelta::default() };
    let again = ProtocolDelta { jobs: vec![job(3, JobStep::Announce)], ..ProtocolDelta::default() };
    let state = reopened(harness, &[last, again]);
    assert_eq!((state.jobs, state.next_job), (vec![job(3, JobStep::Announce)], JobId(8)));
    assert_eq!(state.joins, []);
}

pub fn a_forgotten_index_takes_its_joins_and_bootstraps_along(harness: &dyn Harness) {
    let forget = ProtocolDelta {
        forgotten_indexes: vec![NodeIndexUid::new("a-0")],
        joins: vec![join(1, "a-0", JoinState::Joined)],
        bootstraps: vec![bootstrap("n2", "a-0", BootstrapStage::Settings)],
        ..ProtocolDelta::default()
    };
    let state = reopened(harness, &[filled(), forget]);
    assert_eq!(state.joins, [join(0, "b-1", JoinState::Clear), join(1, "b-1", JoinState::Joined)]);
    assert_eq!(state.bootstraps, [bootstrap("n2", "b-1", BootstrapStage::Create)]);
    assert_eq!(state.jobs.len(), 2);
}

pub fn of_a_removed_node_only_its_record_stays(harness: &dyn Harness) {
    let both = |index: &str| vec![pair("n2", index), pair("n10", index)];
    let state = ProtocolDelta {
        applied: both("a-0").into_iter().map(|(node, index)| (node, index, Position(4))).collect(),
        next_task: vec![(NodeId::new("n2"), NodeTask(1)), (NodeId::new("n10"), NodeTask(2))],
        went_out: both("a-0"),
        needs_rebuild: both("b-1"),
        ..filled()
    };
    let removed = NodeRecord { state: NodeState::Removed, ..node("n2") };
    let remove = ProtocolDelta {
        nodes: vec![removed.clone()],
        removed_nodes: vec![NodeId::new("n2")],
        // Found out just before.
        applied: vec![(NodeId::new("n2"), NodeIndexUid::new("b-1"), Position(8))],
        went_out: vec![pair("n2", "b-1")],
        ..ProtocolDelta::default()
    };
    let state = reopened(harness, &[state, remove]);
    assert_eq!(state.nodes, [node("n10"), removed]);
    assert_eq!(state.applied.into_keys().collect::<Vec<_>>(), [pair("n10", "a-0")]);
    assert_eq!(state.next_task.into_keys().collect::<Vec<_>>(), [NodeId::new("n10")]);
    assert_eq!(state.out_of_sync, BTreeSet::from([pair("n10", "a-0")]));
    assert_eq!(state.needs_rebuild, BTreeSet::from([pair("n10", "b-1")]));
    assert_eq!(state.bootstraps, []);
}

pub fn what_was_rebuilt_is_not_rebuilt_again(harness: &dyn Harness) {
    let broken = ProtocolDelta {
        needs_rebuild: vec![pair("n2", "a-0"), pair("n2", "b-1"), pair("n10", "a-0")],
        ..ProtocolDelta::default()
    };
    let rebuilt = ProtocolDelta {
        rebuilt: vec![pair("n2", "a-0"), pair("n2", "b-1")],
        // Broke again.
        needs_rebuild: vec![pair("n2", "b-1")],
        ..ProtocolDelta::default()
    };
    let state = reopened(harness, &[broken, rebuilt]);
    assert_eq!(state.needs_rebuild, BTreeSet::from([pair("n10", "a-0"), pair("n2", "b-1")]));
}
