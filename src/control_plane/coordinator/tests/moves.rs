//! Shards move between servers while writes go on.

use super::*;
use crate::logic::ids::NodeTask;
use crate::logic::plan_history::PlanOutcome;
use crate::logic::topology::NodeState;

impl Fixture {
    /// A new server, which becomes a member; returns its number.
    fn enrol_node(&mut self) -> usize {
        let record = self.add_node();
        self.running.as_ref().unwrap().coordinator().enrol(&record, NodeTask(0), |_| {}).unwrap();
        self.listens.len() - 1
    }

    /// Who is to own the shards from now on: by shard, the numbers of the nodes.
    fn plan(&self, of: impl Fn(usize) -> Vec<usize>) -> Vec<Vec<NodeId>> {
        let named = |nodes: Vec<usize>| nodes.into_iter().map(|node| NodeId::new(format!("n{node}"))).collect();
        let plan: Vec<Vec<NodeId>> = (0..usize::from(SHARDS)).map(|shard| named(of(shard))).collect();
        let copies = plan[0].len() as u16;
        self.running.as_ref().unwrap().coordinator().change_fleet(|fleet| fleet.set_plan(&plan, copies)).unwrap();
        plan
    }

    fn has_moved(&self, plan: &[Vec<NodeId>]) -> bool {
        let state = self.store.protocol_state().unwrap();
        let sorted = |table: &[Vec<NodeId>]| {
            let mut table = table.to_vec();
            for nodes in &mut table {
                nodes.sort();
            }
            table
        };
        sorted(&state.tables.owners) == sorted(plan) && state.jobs.is_empty()
    }
}

#[test]
fn shards_move_to_a_new_node_and_back_while_writes_go_on() {
    let mut fleet = Fixture::new(2, 1);
    let created = fleet.append("a", Operation::CreateIndex { primary_key: None }, None);
    let filled = fleet.put("a", PutMode::Replace, &documents(0, 400, "one"));
    let settings = fleet.settings("a", json!({ "filterableAttributes": ["number"] }));
    for entry in [created, filled, settings] {
        fleet.succeeded(entry);
    }
    let node = fleet.enrol_node();
    let plan = fleet.plan(|shard| vec![if shard % 3 == 0 { node } else { shard % 2 }]);
    let mut entries = Vec::new();
    for round in 0..20 {
        entries.push(fleet.put("a", PutMode::Update, &[json!({ "id": format!("d{round}"), "more": round })]));
        entries.push(fleet.put("a", PutMode::Replace, &documents(1_000 + round, 1_001 + round, "new")));
        entries.push(fleet.delete("a", &[&format!("d{}", 100 + round)]));
    }
    entries.push(fleet.settings("a", json!({ "stopWords": ["the"] })));
    entries.push(fleet.put("b", PutMode::Replace, &documents(0, 50, "another index")));
    for entry in entries {
        fleet.succeeded(entry);
    }
    wait_for("the moves", || fleet.has_moved(&plan));
    fleet.check_replicas("a");
    fleet.check_replicas("b");

    let plan = fleet.plan(|shard| vec![shard % 2, (shard + 1) % 2]);
    let more = fleet.put("a", PutMode::Replace, &documents(300, 350, "two"));
    fleet.succeeded(more);
    wait_for("the moves", || fleet.has_moved(&plan));
    wait_for("all in sync", || fleet.out_of_sync() == 0);
    let more = fleet.put("a", PutMode::Replace, &documents(340, 345, "three"));
    fleet.succeeded(more);
    wait_for("all in sync", || fleet.out_of_sync() == 0);
    fleet.check_replicas("a");
    fleet.check_replicas("b");

    // What both plans came to is kept.
    fleet.kill();
    fleet.start();
    let plans = fleet.store.protocol_state().unwrap().plans;
    assert_eq!(plans.iter().map(|plan| plan.number).collect::<Vec<_>>(), [1, 2]);
    for plan in plans {
        assert_eq!((plan.outcome, plan.moved), (PlanOutcome::Done, plan.planned), "{plan:?}");
        assert!(plan.planned > 0 && plan.documents > 0 && plan.bytes > plan.documents, "{plan:?}");
        assert!(plan.ended_at > Some(plan.began_at), "{plan:?}");
    }
}

#[test]
fn a_start_goes_on_with_the_moves() {
    let mut fleet = Fixture::new(2, 2);
    let filled = fleet.put("a", PutMode::Replace, &documents(0, 300, "one"));
    fleet.succeeded(filled);
    let node = fleet.enrol_node();
    let plan = fleet.plan(|shard| vec![shard % 2, node]);
    for _ in 0..4 {
        let entry = fleet.put("a", PutMode::Update, &documents(0, 10, "again"));
        fleet.succeeded(entry);
        fleet.kill();
        fleet.start();
    }
    wait_for("the moves", || fleet.has_moved(&plan));
    wait_for("all in sync", || fleet.out_of_sync() == 0);
    fleet.check_replicas("a");
}

#[test]
fn a_killed_node_is_removed_by_force_and_what_it_had_is_copied_elsewhere() {
    let mut fleet = Fixture::new(3, 2);
    let filled = fleet.put("a", PutMode::Replace, &documents(0, 200, "one"));
    fleet.succeeded(filled);
    fleet.stop_node(1);
    let waiting = fleet.put("a", PutMode::Update, &documents(0, 50, "two"));
    let gone = NodeId::new("n1");
    let coordinator = fleet.running.as_ref().unwrap().coordinator();
    coordinator.change_fleet(|state| state.remove_by_force(&gone)).unwrap().unwrap();
    // Nobody waits for it any more.
    fleet.succeeded(waiting);
    let plan = fleet.plan(|_| vec![0, 2]);
    wait_for("the moves", || fleet.has_moved(&plan));
    let last = coordinator.change_fleet(|state| {
        state.remove_by_force(&NodeId::new("n0")).unwrap();
        state.remove_by_force(&NodeId::new("n2"))
    });
    assert_eq!(last.unwrap().unwrap_err().shards.len(), usize::from(SHARDS), "the last copy of everything stays");
    drop(coordinator);
    fleet.listens.truncate(1);
}

#[test]
fn a_node_in_maintenance_is_not_read_and_catches_up_afterwards() {
    let mut fleet = Fixture::new(3, 2);
    let filled = fleet.put("a", PutMode::Replace, &documents(0, 100, "one"));
    fleet.succeeded(filled);
    let (coordinator, node) = (fleet.running.as_ref().unwrap().coordinator(), NodeId::new("n1"));
    coordinator.change_fleet(|state| state.set_node_state(&node, NodeState::Maintenance)).unwrap();
    wait_for("it is out", || fleet.out_of_sync() == 1);
    fleet.stop_node(1);
    let meanwhile = fleet.put("a", PutMode::Update, &documents(0, 50, "two"));
    fleet.succeeded(meanwhile);
    fleet.start_node(1);
    coordinator.change_fleet(|state| state.set_node_state(&node, NodeState::Active)).unwrap();
    wait_for("it is back", || fleet.out_of_sync() == 0);
    fleet.check_replicas("a");
}

#[test]
fn parts_that_a_node_does_not_take_become_smaller_and_a_document_that_it_does_not_take_is_named() {
    let mut fleet = Fixture::new(1, 1);
    fleet.timing.hold_ms = 1_000;
    fleet.kill();
    fleet.start();
    let filled = fleet.put("a", PutMode::Replace, &documents(0, 400, "small"));
    let large = fleet.put("a", PutMode::Replace, &[json!({ "id": "large", "text": "x".repeat(20_000) })]);
    fleet.succeeded(filled);
    fleet.succeeded(large);
    fleet.body_limits.insert(1, 10_000);
    fleet.enrol_node();
    let coordinator = fleet.running.as_ref().unwrap().coordinator();
    let plan = fleet.plan(|_| vec![1]);
    let is_named = |shard: ShardId| {
        let left = fleet.store.protocol_state().unwrap().jobs;
        let problems = coordinator.job_problems();
        let is_told = |problem: &Arc<str>| problem.contains("--http-payload-size-limit");
        left.len() == 1 && left[0].shard == shard && problems.get(&left[0].id).is_some_and(is_told)
    };
    // The others have moved, however many were copied together with it at first.
    wait_for("the shard to be named", || is_named(ShardId(shard_of("large"))));
    fleet.stop_node(1);
    fleet.body_limits.clear();
    fleet.start_node(1);
    wait_for("the large document", || fleet.has_moved(&plan));
    assert_eq!(coordinator.job_problems(), BTreeMap::new());
    fleet.check_replicas("a");
}
