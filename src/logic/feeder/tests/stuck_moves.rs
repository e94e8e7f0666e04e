//! Moves that do not get on.

use super::*;
use crate::logic::entry::StepKind;
use crate::logic::topology::{BootstrapStage, JobStep, Pace};

impl World {
    fn plan(&mut self, plan: &[&[usize]]) {
        self.fleet.set_plan(&table(plan), 1);
        self.commit();
    }

    fn owners(&self) -> Vec<Vec<NodeId>> {
        self.fleet.tables_now().owners
    }

    /// Everything that can be done at this moment, reading apart.
    fn settle(&mut self) {
        for _ in 0..20 {
            for node in 0..self.nodes.len() {
                while self.act(node) {}
            }
            self.control();
        }
    }

    /// What is to be read now.
    fn settled_look(&mut self) -> Option<Look> {
        self.settle();
        self.fleet.next_look(self.now, &self.journal).unwrap()
    }

    /// Reads it: one chunk, or no difference.
    fn read(&mut self, look: &Look) {
        self.answer(look);
        self.settle();
    }

    fn answer(&mut self, look: &Look) {
        let outcome = match look.kind {
            LookKind::Copy { .. } => {
                self.fleet.offer(look.transfer, 0);
                LookOutcome::Copied { chunks: 1 }
            }
            LookKind::Compare { .. } => LookOutcome::Compared { unequal: Vec::new() },
            LookKind::Strays { .. } => LookOutcome::Strays { found: Vec::new() },
        };
        self.fleet.looked(look.transfer, outcome, self.now);
    }

    /// Until the owners are those.
    fn run_until_owned(&mut self, owners: &[&[usize]]) {
        let owners = table(owners);
        for _ in 0..10_000 {
            if let Some(look) = self.settled_look() {
                self.read(&look);
            }
            if self.owners() == owners && self.fleet.topology.jobs.is_empty() {
                return;
            }
            self.now = self.now.plus_ms(100);
        }
        panic!("{:?}, {:?}", self.owners(), self.fleet.topology.jobs);
    }

    /// Until this holds, looked at after each round of the protocol. Whatever it wants to read is read.
    fn run_until_sees(&mut self, holds: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            for node in 0..self.nodes.len() {
                while self.act(node) {}
            }
            self.control();
            if holds(self) {
                return;
            }
            if let Some(look) = self.fleet.next_look(self.now, &self.journal).unwrap() {
                self.answer(&look);
            }
            self.now = self.now.plus_ms(10);
        }
        panic!("{:?}, {:?}", self.owners(), self.fleet.topology.jobs);
    }

    /// A node dies, and its peers do without it.
    fn lose(&mut self, node: usize) {
        self.nodes[node] = None;
        self.fleet.unreachable(node, self.now);
    }

    /// What is planned without nodes that are gone: the owners follow, whatever they are still to do.
    fn run_until_planned(&mut self, plan: &[&[usize]], replicas: u16) {
        self.fleet.set_plan(&table(plan), replicas);
        self.commit();
        let sorted = |mut owners: Vec<Vec<NodeId>>| {
            for of_shard in &mut owners {
                of_shard.sort_unstable();
            }
            owners
        };
        let planned = sorted(table(plan));
        self.run_until_sees(|world| sorted(world.owners()) == planned);
    }

    fn has_switched(&self) -> bool {
        self.fleet.topology.jobs.values().any(|job| job.step == JobStep::Switched)
    }

    /// The next copy to this node, read and offered.
    fn begin_copy(&mut self, to: usize) -> Look {
        for _ in 0..1_000 {
            if let Some(look) = self.settled_look() {
                self.read(&look);
                if matches!(look.kind, LookKind::Copy { target, .. } if target == to) {
                    return look;
                }
            }
            self.now = self.now.plus_ms(100);
        }
        panic!("nothing is copied to n{to}: {:?}", self.fleet.topology.jobs);
    }
}

#[test]
fn a_copy_that_its_target_does_not_take_is_given_up_and_begins_anew_while_others_go_on() {
    let mut world = World::with_owners(3, &[&[0], &[0]]);
    world.create();
    world.put();
    world.run();
    world.answers = |node, send| (node == 1 && send.purpose.transfer().is_some()).then_some(SendOutcome::Busy);
    world.plan(&[&[1], &[2]]);
    let stuck = world.begin_copy(1).transfer;
    let begun = world.now;
    while world.fleet.needs_chunk(stuck, 0) {
        assert!(world.now.0 < begun.0 + 31_000, "its chunk is kept for ever");
        world.now = world.now.plus_ms(500);
        if let Some(look) = world.settled_look() {
            world.read(&look);
        }
    }
    assert!(world.now.0 >= begun.0 + 29_000, "it had all the time that a hold may take");
    let alarms = world.fleet.take_alarms();
    assert!(alarms.iter().any(|alarm| matches!(alarm, Alarm::CopyFailed { node, .. } if node.as_str() == "n1")));
    assert_eq!(world.owners(), table(&[&[0], &[2]]), "the other shard has moved");
    let again = world.begin_copy(1).transfer;
    assert!(again > stuck);
    world.answers = |_, _| None;
    world.run_until_owned(&[&[1], &[2]]);
}

#[test]
fn a_request_for_another_index_does_not_delay_a_hold() {
    let mut world = World::with_owners(2, &[&[0]]);
    world.create();
    world.add_to("b", &[0], Operation::CreateIndex { primary_key: None });
    world.put();
    world.run();
    world.put_into("b", &[0]);
    // The source is busy with the other index from now on.
    while world.fleet.nodes[0].in_flight.is_none() {
        let now = (world.now, crate::logic::ids::Timestamp(0));
        if let Action::Send(send) = world.fleet.next(0, world.now, &world.journal) {
            assert!(world.fleet.begin(0, &send, Vec::new(), now, &world.journal));
        } else {
            assert!(world.act(0), "nothing is sent");
        }
    }
    world.plan(&[&[1]]);
    let waited = |world: &mut World| {
        world.now = world.now.plus_ms(100);
        world.settled_look()
    };
    let look = (0..100).find_map(|_| waited(&mut world)).expect("one index does not wait for the other");
    assert_eq!(look.index.as_str(), INDEX);
    assert_eq!((0..10).find_map(|_| waited(&mut world)), None, "something may still come to the other index");
    let task = world.nodes[0].unwrap();
    world.nodes[0] = Some(task + 1);
    world.fleet.sent(0, SendOutcome::Registered(NodeTask(task)), world.now);
    world.read(&look);
    world.run_until_owned(&[&[1]]);
}

#[test]
fn a_clean_up_on_a_node_that_is_away_holds_up_no_other_move_of_the_shard() {
    let mut world = World::with_owners(3, &[&[0]]);
    world.create();
    world.put();
    world.run();
    world.plan(&[&[1]]);
    // The old owner goes away when it has nothing left to do but to delete.
    world.answers = |node, send| (node == 0 && send.purpose == Purpose::Mark).then_some(SendOutcome::Busy);
    let is_cleaning = |world: &World| world.fleet.topology.jobs.values().any(|job| job.step == JobStep::Clean);
    while !is_cleaning(&world) {
        if let Some(look) = world.settled_look() {
            world.read(&look);
        }
        world.now = world.now.plus_ms(100);
        assert!(world.now.0 < START.0 + 60_000, "{:?}", world.fleet.topology.jobs);
    }
    let back = world.nodes[0].take();
    world.plan(&[&[2]]);
    for _ in 0..1_000 {
        if let Some(look) = world.settled_look() {
            world.read(&look);
        }
        world.now = world.now.plus_ms(100);
    }
    assert_eq!(world.owners(), table(&[&[2]]));
    assert!(is_cleaning(&world), "it is kept in mind");
    // Not to where it is not deleted yet.
    world.plan(&[&[0]]);
    world.settle();
    assert_eq!(world.fleet.topology.jobs.len(), 1, "{:?}", world.fleet.topology.jobs);
    world.nodes[0] = back;
    world.answers = |_, _| None;
    world.run_until_owned(&[&[0]]);
}

/// One shard with some documents.
fn with_owners(nodes: usize, owners: &[usize]) -> World {
    let mut world = World::with_owners(nodes, &[owners]);
    world.create();
    world.put();
    world.run();
    world
}

#[test]
fn a_node_that_dies_as_soon_as_another_one_is_rebuilt_is_rebuilt_too() {
    let mut world = with_owners(4, &[0, 1]);
    world.lose(0);
    world.fleet.set_plan(&table(&[&[1, 2]]), 2);
    // The other owner dies when the table has switched, so that what n0 is to delete waits for it.
    world.run_until_sees(World::has_switched);
    world.lose(1);
    world.run_until_planned(&[&[2, 3]], 2);
    world.put();
    world.run();
}

#[test]
fn two_of_three_replicas_that_die_together_are_rebuilt_one_after_the_other() {
    let mut world = with_owners(5, &[0, 1, 2]);
    world.lose(0);
    world.lose(1);
    world.run_until_planned(&[&[2, 3, 4]], 3);
    world.put();
    world.run();
}

#[test]
fn a_target_that_dies_while_it_is_copied_to_is_given_up_for_another_one() {
    let mut world = with_owners(4, &[0, 1]);
    world.lose(0);
    world.fleet.set_plan(&table(&[&[1, 2]]), 2);
    world.begin_copy(2);
    world.lose(2);
    world.run_until_planned(&[&[1, 3]], 2);
    let left = world.fleet.topology.jobs.values().filter(|job| job.cleans() == Some(2)).count();
    assert_eq!(left, 1, "what it may have got is kept in mind");
}

#[test]
fn a_comparison_that_takes_too_long_is_made_of_fewer_shards_each_time() {
    let mut world = World::with_owners(2, &[&[0], &[0], &[0], &[0]]);
    world.create();
    world.put_to(&[0, 1, 2, 3]);
    world.run();
    world.fleet.set_pace(Pace { shards_per_copy: 4, ..Pace::default() }, true);
    world.plan(&[&[1], &[1], &[1], &[1]]);
    let mut compared = Vec::new();
    for _ in 0..10_000 {
        match world.settled_look() {
            Some(look) if matches!(look.kind, LookKind::Compare { .. }) && look.shards.len() > 1 => {
                compared.push(look.shards.len());
                world.now = world.now.plus_ms(world.fleet.timing.hold_ms);
                world.read(&look);
                let problems = world.fleet.job_problems();
                assert!(problems.values().any(|problem| problem.contains("reading took longer")), "{problems:?}");
            }
            Some(look) => world.read(&look),
            None => {}
        }
        if world.owners() == table(&[&[1], &[1], &[1], &[1]]) {
            break;
        }
        world.now = world.now.plus_ms(100);
    }
    assert_eq!(compared, [4, 2, 2]);
    assert_eq!(world.fleet.job_problems().len(), 0);
}

#[test]
fn no_more_writes_are_held_up_than_can_be_read_at_once() {
    const INDEXES: [&str; 5] = ["a", "b", "c", "d", "e"];
    let mut world = World::with_owners(2, &[&[0]]);
    for index in INDEXES {
        world.add_to(index, &[0], Operation::CreateIndex { primary_key: None });
        world.put_into(index, &[0]);
    }
    world.run();
    world.plan(&[&[1]]);
    let held = |world: &World| {
        let feeds = world.fleet.indexes.values().flat_map(|state| &state.feeds);
        feeds.filter(|feed| feed.held.is_some()).count()
    };
    let mut most = 0;
    for _ in 0..10_000 {
        world.settle();
        most = most.max(held(&world));
        if let Some(look) = world.settled_look() {
            world.read(&look);
        }
        if world.owners() == table(&[&[1]]) {
            break;
        }
        world.now = world.now.plus_ms(10);
    }
    assert_eq!(world.owners(), table(&[&[1]]));
    assert_eq!(most, 2 * LOOKS_AT_ONCE, "each holds two feeds");
}

#[test]
fn off_hours_only_shards_are_copied_that_lack_replicas() {
    let mut world = World::with_owners(4, &[&[3, 1], &[0, 1]]);
    world.create();
    world.put_to(&[0, 1]);
    world.run();
    world.lose(0);
    world.fleet.set_pace(Pace { moves_per_node: 1, ..Pace::default() }, true);
    world.fleet.set_plan(&table(&[&[1, 2], &[1, 2]]), 2);
    world.begin_copy(2);
    assert_eq!(world.fleet.topology.jobs.values().map(|job| job.shard).collect::<Vec<_>>(), [ShardId(0)]);
    // What has begun is not in the way of what lacks a replica.
    world.fleet.set_pace(Pace { moves_per_node: 1, shards_per_copy: 1, ..Pace::default() }, true);
    world.fleet.rest(&name(2), world.now.plus_ms(u64::MAX / 2));
    world.fleet.set_off_hours(true);
    world.settle();
    world.fleet.restart_joins(2, &NodeIndexUid::new(INDEX), |_, _| true);
    world.fleet.rest(&name(2), world.now);
    world.run_until_sees(|world| world.owners()[1].contains(&name(2)));
    assert!(!world.owners()[0].contains(&name(2)));
    for _ in 0..1_000 {
        world.settle();
        assert_eq!(world.fleet.next_look(world.now, &world.journal), Ok(None));
        world.now = world.now.plus_ms(100);
    }
    world.fleet.set_off_hours(false);
    world.run_until_planned(&[&[1, 2], &[1, 2]], 2);
}

#[test]
fn an_old_owner_takes_its_shard_back_when_another_one_dies() {
    let mut world = with_owners(3, &[0, 1]);
    world.fleet.set_plan(&table(&[&[1, 2]]), 2);
    world.run_until_sees(World::has_switched);
    world.lose(1);
    world.run_until_planned(&[&[0, 2]], 2);
    world.put();
    world.run();
}

#[test]
fn an_audit_does_not_wait_for_moves_of_nodes_that_do_not_answer() {
    let mut world = with_owners(3, &[0]);
    world.lose(2);
    world.plan(&[&[2]]);
    world.fleet.set_background_audit(Some(BackgroundAudit { interval_ms: 1_000, is_repairing: false }));
    world.run_until_sees(|world| world.fleet.audit_report().ended.is_some());
}

#[test]
fn a_document_that_never_fits_is_named_and_tried_again_only_now_and_then() {
    let mut world = World::with_owners(2, &[&[0]]);
    world.create();
    world.put();
    world.run();
    world.answers = |_, send| send.purpose.transfer().map(|_| SendOutcome::TooLarge("413".to_owned()));
    world.plan(&[&[1]]);
    let cuts: Vec<u32> = (0..3).map(|_| world.begin_copy(1).cuts).collect();
    assert_eq!(cuts, [0, 1, 2], "the parts become smaller each time");
    world.answers = |_, send| send.purpose.transfer().map(|_| SendOutcome::NeverFits("413".to_owned()));
    world.begin_copy(1);
    let begun = world.now;
    let problems = world.fleet.job_problems();
    assert!(problems.values().all(|problem| problem.contains("--http-payload-size-limit")), "{problems:?}");
    assert_eq!(problems.len(), 1);
    world.begin_copy(1);
    assert!(world.now.0 >= begun.0 + 60_000, "it is read again and again");
    world.answers = |_, _| None;
    world.run_until_owned(&[&[1]]);
    assert_eq!(world.fleet.job_problems().len(), 0);
}

/// One life of a process that dies as soon as a node has what it sent: its kind. `stage` and `tasks` are what is stored.
fn short_life(stage: &mut BootstrapStage, next_task: &mut NodeTask, tasks: &mut Vec<SeenKind>) -> StepKind {
    let (node, index, at) = (NodeId::new("n0"), NodeIndexUid::new(INDEX), Position::of(EntryId(0), 3));
    let key = (node.clone(), index.clone());
    let record = BootstrapRecord { node: node.clone(), index: index.clone(), at, stage: *stage };
    let mut world = World::new(1);
    world.create();
    let start = Start {
        nodes: vec![marked(node.clone())],
        tables: Tables::settled(vec![vec![node.clone()]], 1),
        bootstraps: vec![record],
        applied: BTreeMap::from([(key.clone(), at)]),
        next_task: BTreeMap::from([(node, *next_task)]),
        out_of_sync: BTreeSet::from([key]),
        indexes: vec![IndexStart {
            index: index.clone(),
            created_by: EntryId(0),
            dropped_by: None,
            top_reported: at,
            needed_from: EntryId(0),
        }],
        next_entry: EntryId(1),
        ..Start::default()
    };
    world.fleet = Fleet::start(&start, Timing::default(), Rules::ALL, START);
    let shown = world.fleet.view();
    world.fleet.published(&shown, Epoch(1));
    for _ in 0..1_000 {
        let seen = |task: &NodeTask| {
            let (index, kind) = (Some(index.clone()), *tasks.get(task.0 as usize)?);
            Some(SeenTask { index, kind, ..done(*task) })
        };
        match world.fleet.next(0, world.now, &world.journal) {
            Action::Send(send) => {
                tasks.push(SeenKind::of(send.kind));
                return send.kind;
            }
            Action::Poll(asked) => {
                let seen = asked.iter().filter_map(seen).collect();
                world.fleet.polled(0, &asked, seen, world.now, &world.journal);
            }
            Action::CheckIdle(uid) => world.fleet.idle_answer(0, &uid, true, world.now),
            Action::Wait(until) => world.now = until,
            Action::AskNewest => {
                let bearer = Bearer::Node { life: 0 };
                world.fleet.newest_answer(0, bearer, NodeTask(tasks.len() as u64), world.now);
            }
            action @ (Action::Identify { .. } | Action::Store | Action::DeleteTasks(_) | Action::Maintain(_)) => {
                panic!("{action:?}")
            }
        }
        let latest = ReaderProgress { acknowledged: Epoch(u64::MAX), drained: Epoch(u64::MAX) };
        world.fleet.control(world.now, latest, &world.journal);
        let (changes, version) = world.fleet.take_changes();
        changes.bootstraps.iter().for_each(|record| *stage = record.stage);
        changes.next_task.iter().for_each(|(_, next)| *next_task = *next);
        world.fleet.stored(version);
        if let Some(publication) = world.fleet.publication() {
            world.fleet.published(&publication, Epoch(version));
        }
    }
    panic!("nothing is sent");
}

#[test]
fn a_bootstrap_gets_on_in_every_life_however_soon_that_ends() {
    let (mut stage, mut next_task, mut tasks) = (BootstrapStage::Drop, NodeTask(0), Vec::new());
    let sent: Vec<StepKind> = (0..4).map(|_| short_life(&mut stage, &mut next_task, &mut tasks)).collect();
    assert_eq!(sent, [StepKind::Drop, StepKind::Create, StepKind::Settings, StepKind::Settings]);
}

#[test]
fn what_a_node_says_that_has_left_counts_no_more() {
    let mut world = World::with_owners(2, &[&[0]]);
    world.create();
    world.put();
    world.run();
    assert!(world.fleet.remove(&NodeId::new("n1")), "it owns nothing");
    world.commit();
    let far = stranger(world.fleet.nodes[1].next_task, SeenKind::Foreign, None);
    assert!(!world.fleet.polled(1, &[far.task], vec![far], world.now, &world.journal));
    world.fleet.newest_answer(1, Bearer::Nobody { is_empty: true }, NodeTask(0), world.now);
    let (changes, _) = world.fleet.take_changes();
    assert!(changes.needs_rebuild.is_empty() && changes.next_task.is_empty());
    assert!(world.fleet.take_alarms().is_empty());
}
