//! The process dies before and after every stored step of every workflow, while writes go on: each ends right.

use super::mortal::Side;
use super::*;
use crate::logic::feeder::RepairState;
use crate::logic::ids::NodeTask;
use crate::logic::topology::{JobStep, NodeState};
use crate::store::ProtocolState;

/// Quick, so that many lives fit into a test.
const QUICK: Timing = Timing {
    quarantine_ms: 40,
    in_sync_timeout_ms: 2_000,
    poll_idle_ms: 20,
    poll_busy_ms: (1, 10),
    backoff_ms: (5, 50),
    window: 16,
    hold_ms: 5_000,
    keep_ms: 100,
    housekeeping: 50,
};
/// Of the nodes.
const BATCH_TIME: Duration = Duration::from_millis(1);
/// While a workflow runs.
const WRITES: usize = 24;
/// Of every workflow that moves shards.
const STEPS_MIN: usize = 6;
/// Of those that move none: what is ordered, and what comes of it.
const FEW_STEPS: usize = 2;
/// Of two repairs, which take their steps one after the other or at once.
const REPAIR_STEPS: usize = 4;
/// The longest life of a process that dies again and again, in steps.
const LIVES: usize = 5;
const INDEXES: [&str; 2] = ["a", "b"];

/// When the process dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plot {
    /// Before such a step; then, in the life that follows, after the step that it stores first.
    At(usize),
    /// In each life, at its first, second, ... step in turn.
    Again(Side),
}

/// A fleet whose orchestrator dies, and somebody who writes all the while.
struct Rehearsal {
    fleet: Fixture,
    plot: Option<Plot>,
    deaths: usize,
    /// In this round.
    written: usize,
    /// Since the beginning.
    number: usize,
    entries: Vec<(EntryId, bool)>,
}

impl Rehearsal {
    fn new(nodes: usize, replicas: usize) -> Self {
        let mut fleet = Fixture::with(nodes, replicas, QUICK, BATCH_TIME);
        for index in INDEXES {
            let settings = fleet.settings(index, json!({ "filterableAttributes": ["_geo"] }));
            let filled = fleet.put(index, PutMode::Replace, &documents(0, 60, "one"));
            fleet.succeeded(settings);
            fleet.succeeded(filled);
        }
        Self { fleet, plot: None, deaths: 0, written: 0, number: 0, entries: Vec::new() }
    }

    /// One workflow in which the process dies. Returns how often it did.
    fn round(&mut self, plot: Plot, workflow: impl Fn(&mut Self)) -> usize {
        (self.plot, self.deaths, self.written) = (Some(plot), 0, 0);
        self.begin_life();
        workflow(self);
        self.plot = None;
        self.fleet.kill();
        self.begin_life();
        self.check();
        self.deaths
    }

    fn begin_life(&mut self) {
        if self.fleet.running.is_some() {
            self.fleet.kill();
        }
        let dies_at = match self.plot {
            Some(Plot::At(step)) if self.deaths == 0 => Some((step, Side::Before)),
            Some(Plot::At(_)) if self.deaths == 1 => Some((1, Side::After)),
            Some(Plot::Again(side)) => Some((1 + self.deaths % LIVES, side)),
            Some(Plot::At(_)) | None => None,
        };
        self.fleet.start_with(dies_at);
    }

    /// A life follows on the one that ended.
    fn revive(&mut self) {
        if !self.fleet.mortal.as_ref().is_some_and(|mortal| mortal.is_dead()) {
            return;
        }
        self.deaths += 1;
        self.begin_life();
    }

    /// What an operator orders, as often as it takes.
    fn order(
        &mut self,
        is_stored: impl Fn(&ProtocolState) -> bool,
        order: impl Fn(&Arc<Coordinator>) + Send + Sync + Clone + 'static,
    ) {
        let deadline = clock::instant() + PATIENCE;
        while !is_stored(&self.fleet.store.protocol_state().unwrap()) {
            assert!(clock::instant() < deadline, "the order is refused: {:?}", self.plot);
            let coordinator = self.fleet.coordinator();
            let order = order.clone();
            let thread = std::thread::spawn(move || order(&coordinator));
            // It ends when the process does.
            self.go_on("the order", |_| thread.is_finished());
            thread.join().unwrap();
        }
    }

    /// Writes and dies until it is done.
    fn go_on(&mut self, what: &str, is_done: impl Fn(&ProtocolState) -> bool) {
        self.go_on_until(what, |_, state| is_done(state));
    }

    fn go_on_until(&mut self, what: &str, is_done: impl Fn(&Fixture, &ProtocolState) -> bool) {
        let deadline = clock::instant() + PATIENCE;
        loop {
            self.revive();
            let state = self.fleet.store.protocol_state().unwrap();
            if is_done(&self.fleet, &state) {
                return;
            }
            assert!(clock::instant() < deadline, "{what}: not in time, {:?} {:?} {state:#?}", self.plot, self.deaths);
            self.write();
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// One write of several kinds.
    fn write(&mut self) {
        if self.written == WRITES {
            return;
        }
        let (number, fleet) = (self.number, &mut self.fleet);
        let index = INDEXES[number % 2];
        let id = |offset: usize| format!("d{}", (number * 7 + offset) % 80);
        let is_bad = number % 11 == 5;
        let entry = match number % 12 {
            _ if is_bad => {
                fleet.put(index, PutMode::Replace, &[json!({ "id": format!("bad{number}"), "_geo": "bad" })])
            }
            6 => fleet.settings(index, json!({ "stopWords": [format!("word{number}")] })),
            2 | 9 => fleet.delete(index, &[&id(1), &id(2)]),
            3 | 7 => fleet.put(index, PutMode::Replace, &documents(number % 80, number % 80 + 4, "new")),
            _ => fleet.put(index, PutMode::Update, &[json!({ "id": id(3), "more": number }), json!({ "id": id(4) })]),
        };
        self.entries.push((entry, is_bad));
        self.number += 1;
        self.written += 1;
    }

    /// Everything is as if nothing had failed.
    fn check(&mut self) {
        for (entry, is_bad) in std::mem::take(&mut self.entries) {
            let outcome = self.fleet.ended(entry);
            let expected = if is_bad { TaskStatus::Failed } else { TaskStatus::Succeeded };
            assert_eq!(outcome.status, expected, "entry {entry}: {outcome:?}");
        }
        wait_for("all in sync", || self.fleet.out_of_sync() == 0);
        let state = self.fleet.store.protocol_state().unwrap();
        assert_eq!((&state.jobs[..], &state.joins[..], &state.bootstraps[..]), (&[][..], &[][..], &[][..]));
        let members = state.nodes.iter().filter(|node| node.state.is_member()).count();
        let kept = (state.needs_rebuild, state.next_task.len());
        assert_eq!(kept, ([].into(), members), "something is kept of a node that left");
        for index in INDEXES {
            self.fleet.check_replicas(index);
        }
    }

    /// A new server becomes a member. Returns its number.
    fn enrol(&mut self) -> usize {
        self.enrol_and(|_| {})
    }

    /// The same, and something else with it.
    fn enrol_and(&mut self, change: impl Fn(&mut Fleet) + Send + Sync + Clone + 'static) -> usize {
        let record = self.fleet.add_node();
        let id = record.id.clone();
        self.order(
            move |state| state.nodes.iter().any(|node| node.id == id),
            move |coordinator| while_it_lives(coordinator.enrol(&record, NodeTask(0), &change)),
        );
        self.fleet.listens.len() - 1
    }

    /// The node that is enrolled next gets all that another one has, which is drained. Returns its number.
    fn replace(&mut self, old: usize, plan: &[Vec<NodeId>]) -> usize {
        let (id, wanted) = (NodeId::new(format!("n{old}")), plan.to_vec());
        let node = self.enrol_and(move |fleet| {
            fleet.set_node_state(&id, NodeState::Draining);
            fleet.set_plan(&wanted, wanted[0].len() as u16);
        });
        let state = self.fleet.store.protocol_state().unwrap();
        assert_eq!((state.nodes[old].state, &state.tables.plan[..]), (NodeState::Draining, plan), "{:?}", self.plot);
        node
    }

    /// Who is to own which shard: by shard, the numbers of nodes.
    fn plan(&mut self, of: impl Fn(usize) -> Vec<usize>) -> Vec<Vec<NodeId>> {
        let plan = table(of);
        let wanted = plan.clone();
        let copies = plan[0].len() as u16;
        self.order(
            |state| state.tables.plan == plan,
            move |coordinator| while_it_lives(coordinator.change_fleet(|fleet| fleet.set_plan(&wanted, copies))),
        );
        plan
    }

    fn drain(&mut self, node: usize) {
        self.set_state(node, NodeState::Draining);
    }

    fn set_state(&mut self, node: usize, to: NodeState) {
        let id = NodeId::new(format!("n{node}"));
        self.order(
            |state| state.nodes[node].state == to,
            move |coordinator| while_it_lives(coordinator.change_fleet(|fleet| fleet.set_node_state(&id, to))),
        );
    }

    /// Gives up a node that is gone, whatever it owns; the others are to have all of it.
    fn give_up(&mut self, node: usize, plan: &[Vec<NodeId>]) {
        let (id, plan) = (NodeId::new(format!("n{node}")), plan.to_vec());
        self.order(
            |state| !state.nodes[node].state.is_member(),
            move |coordinator| {
                while_it_lives(coordinator.change_fleet(|fleet| {
                    // Refused as long as nobody else has all that it has.
                    if fleet.remove_by_force(&id).is_ok() {
                        fleet.set_plan(&plan, plan[0].len() as u16);
                    }
                }));
            },
        );
    }

    /// All indexes of a node are compacted, after which nobody wants it any more.
    fn compact(&mut self, node: usize) {
        loop {
            let (coordinator, id) = (self.fleet.coordinator(), NodeId::new(format!("n{node}")));
            let asked = std::thread::spawn(move || coordinator.change_fleet(|fleet| fleet.ask_compaction(&id)));
            self.go_on("the order", |_| asked.is_finished());
            let asked = asked.join().unwrap();
            self.go_on("the compaction", |state| state.tables.compactions.is_empty());
            // Or it died before it was stored, or after: who gave the order does not know.
            if let Ok(indexes) = asked {
                assert_eq!(indexes, INDEXES.len());
                return;
            }
        }
    }

    /// So many writes more are made.
    fn write_some(&mut self, count: usize) {
        let goal = WRITES.min(self.written + count);
        while self.written < goal {
            self.revive();
            self.write();
        }
    }

    /// Takes a node away that owns nothing.
    fn remove(&mut self, node: usize) {
        let id = NodeId::new(format!("n{node}"));
        self.order(
            |state| !state.nodes[node].state.is_member(),
            move |coordinator| while_it_lives(coordinator.remove(&id)),
        );
        self.fleet.stop_node(node);
    }

    /// Compares all replicas, in as many lives as it takes, until all is put right.
    fn verify(&mut self) {
        loop {
            let coordinator = self.fleet.coordinator();
            let begin = move || while_it_lives(coordinator.change_fleet(|fleet| fleet.begin_audit(true, None)));
            let thread = std::thread::spawn(begin);
            self.go_on("the order", |_| thread.is_finished());
            thread.join().unwrap();
            // A new life knows of none.
            self.go_on_until("the audit", |fleet, state| fleet.report().is_over() && state.jobs.is_empty());
            let report = self.fleet.report();
            let is_over = report.number > 0 && report.not_compared.is_empty();
            let strays = report.strays.iter().map(|found| found.repair);
            let mut repairs = report.unequal.iter().map(|found| found.repair).chain(strays);
            if is_over && repairs.all(|repair| repair == RepairState::Done) {
                return;
            }
        }
    }

    fn settle(&mut self, plan: &[Vec<NodeId>]) {
        let sorted = |table: &[Vec<NodeId>]| {
            let mut table = table.to_vec();
            for nodes in &mut table {
                nodes.sort();
            }
            table
        };
        self.go_on("the moves", |state| sorted(&state.tables.owners) == sorted(plan) && state.jobs.is_empty());
    }
}

/// By shard, the names of nodes from their numbers.
fn table(of: impl Fn(usize) -> Vec<usize>) -> Vec<Vec<NodeId>> {
    let named = |nodes: Vec<usize>| nodes.into_iter().map(|node| NodeId::new(format!("n{node}"))).collect();
    (0..usize::from(SHARDS)).map(|shard| named(of(shard))).collect()
}

/// Who gives an order to a process that dies does not know what came of it.
fn while_it_lives<T, E>(_: Result<T, E>) {}

/// First many deaths in one run, then one at each step.
fn at_every_step(rehearsal: Rehearsal, workflow: impl Fn(&mut Rehearsal)) {
    at_each_of(STEPS_MIN, rehearsal, workflow);
}

/// The same where there are at least so many.
fn at_each_of(steps_min: usize, mut rehearsal: Rehearsal, workflow: impl Fn(&mut Rehearsal)) {
    for side in [Side::Before, Side::After] {
        rehearsal.round(Plot::Again(side), &workflow);
    }
    let mut steps = 0;
    while rehearsal.round(Plot::At(steps + 1), &workflow) > 0 {
        steps += 1;
    }
    assert!(steps >= steps_min, "{steps}");
}

/// A node comes, gets shards, is drained and leaves.
fn come_and_go(
    rehearsal: &mut Rehearsal,
    before: impl Fn(usize) -> Vec<usize>,
    with: impl Fn(usize, usize) -> Vec<usize>,
) {
    let node = rehearsal.enrol();
    let plan = rehearsal.plan(|shard| with(shard, node));
    rehearsal.settle(&plan);
    rehearsal.drain(node);
    let plan = rehearsal.plan(before);
    rehearsal.settle(&plan);
    rehearsal.remove(node);
}

#[test]
fn a_node_comes_and_goes_whenever_the_process_dies_with_one_replica() {
    at_every_step(Rehearsal::new(2, 1), |rehearsal| {
        come_and_go(rehearsal, |shard| vec![shard % 2], |shard, node| vec![if shard < 3 { node } else { shard % 2 }]);
    });
}

#[test]
fn a_node_comes_and_goes_whenever_the_process_dies_with_two_replicas() {
    at_every_step(Rehearsal::new(2, 2), |rehearsal| {
        let with = |shard, node| if shard < 3 { vec![shard % 2, node] } else { vec![0, 1] };
        come_and_go(rehearsal, |_| vec![0, 1], with);
    });
}

#[test]
fn a_node_is_replaced_and_leaves_whenever_the_process_dies() {
    at_every_step(Rehearsal::new(2, 1), |rehearsal| {
        // The one with the highest number of those that are members has some shards.
        let old = rehearsal.fleet.listens.len() - 1;
        let plan = table(|shard| vec![if shard < 3 { old + 1 } else { 0 }]);
        let node = rehearsal.replace(old, &plan);
        assert_eq!(node, old + 1);
        rehearsal.settle(&plan);
        rehearsal.remove(old);
    });
}

#[test]
fn replicas_become_more_and_fewer_whenever_the_process_dies() {
    at_every_step(Rehearsal::new(2, 1), |rehearsal| {
        let plan = rehearsal.plan(|_| vec![0, 1]);
        rehearsal.settle(&plan);
        let plan = rehearsal.plan(|shard| vec![shard % 2]);
        rehearsal.settle(&plan);
    });
}

#[test]
fn a_plan_is_taken_back_whenever_the_process_dies() {
    at_every_step(Rehearsal::new(2, 1), |rehearsal| {
        rehearsal.plan(|shard| vec![usize::from(shard > 5)]);
        let is_copied = |state: &ProtocolState| state.jobs.iter().any(|job| job.step >= JobStep::Copy);
        let is_over = |state: &ProtocolState| state.jobs.is_empty() && state.tables.owners == state.tables.plan;
        rehearsal.go_on("a copy", |state| is_copied(state) || is_over(state));
        let plan = rehearsal.plan(|shard| vec![shard % 2]);
        rehearsal.settle(&plan);
    });
}

#[test]
fn an_emptied_node_is_rebuilt_whenever_the_process_dies() {
    at_every_step(Rehearsal::new(2, 2), |rehearsal| {
        let life = rehearsal.fleet.store.protocol_state().unwrap().nodes[1].life;
        rehearsal.fleet.stop_node(1);
        std::fs::remove_dir_all(rehearsal.fleet.folder.path().join("node1")).unwrap();
        rehearsal.fleet.start_node(1);
        rehearsal.go_on("the rebuild", |state| {
            let is_settled = state.jobs.is_empty() && state.bootstraps.is_empty() && state.out_of_sync.is_empty();
            state.nodes[1].life > life && is_settled
        });
    });
}

#[test]
fn damaged_replicas_are_put_right_whenever_the_process_dies() {
    at_each_of(REPAIR_STEPS, Rehearsal::new(3, 3), |rehearsal| {
        let first = format!("fixed{}", rehearsal.number);
        // Or nobody could say who is wrong.
        let others = (0..100).map(|other| format!("{first}-{other}"));
        let second = others.into_iter().find(|id| shard_of(id) != shard_of(&first)).expect("shards are even");
        let fixed = |id: &String| json!({ "id": id, "text": "as it should be" });
        let entry = rehearsal.fleet.put("a", PutMode::Replace, &[fixed(&first), fixed(&second)]);
        rehearsal.go_on_until("the write", |fleet, _| fleet.record(entry).outcome.is_some());
        for (node, id) in [(1, first), (2, second)] {
            rehearsal.fleet.change(node, PutMode::Update, &json!({ "id": id, "text": "changed by hand" }));
        }
        rehearsal.verify();
    });
}

#[test]
fn a_dead_node_is_given_up_whenever_the_process_dies() {
    at_every_step(Rehearsal::new(3, 2), |rehearsal| {
        // The youngest; another one comes in its place.
        let dead = rehearsal.fleet.listens.len() - 1;
        rehearsal.fleet.stop_node(dead);
        rehearsal.write_some(6);
        let plan = table(|_| vec![0, 1]);
        rehearsal.give_up(dead, &plan);
        rehearsal.settle(&plan);
        let node = rehearsal.enrol();
        let plan = rehearsal.plan(|shard| vec![shard % 2, node]);
        rehearsal.settle(&plan);
    });
}

#[test]
fn strays_are_cleared_whenever_the_process_dies() {
    at_each_of(FEW_STEPS, Rehearsal::new(2, 1), |rehearsal| {
        // Shards of even numbers are the first node's.
        for (node, shard) in [(0, 1), (0, 3), (1, 2)] {
            let id = format!("stray{shard}");
            let of_other = json!({ "id": id, marker::FIELD: marker::marker(ShardId(shard), SHARDS) });
            rehearsal.fleet.change(node, PutMode::Replace, &of_other);
            rehearsal.fleet.change(node, PutMode::Replace, &json!({ "id": format!("foreign{shard}") }));
        }
        rehearsal.verify();
    });
}

#[test]
fn a_node_is_maintained_whenever_the_process_dies() {
    at_each_of(FEW_STEPS, Rehearsal::new(2, 2), |rehearsal| {
        rehearsal.set_state(1, NodeState::Maintenance);
        rehearsal.fleet.stop_node(1);
        rehearsal.write_some(8);
        rehearsal.fleet.start_node(1);
        rehearsal.set_state(1, NodeState::Active);
        rehearsal.write_some(WRITES);
        rehearsal.go_on("the others", |state| state.out_of_sync.is_empty());
    });
}

#[test]
fn a_node_is_compacted_whenever_the_process_dies() {
    at_each_of(FEW_STEPS, Rehearsal::new(2, 2), |rehearsal| {
        rehearsal.compact(1);
        rehearsal.write_some(WRITES);
    });
}
