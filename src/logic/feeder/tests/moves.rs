//! Single situations of moves.

use super::*;

impl World {
    /// Rounds of all threads, without the movers, until something holds.
    fn run_until(&mut self, what: &str, holds: impl Fn(&mut Self) -> bool) {
        for _ in 0..10_000 {
            for node in 0..self.nodes.len() {
                while self.act(node) {}
            }
            self.control();
            if holds(self) {
                return;
            }
            self.now = self.now.plus_ms(10);
        }
        panic!("never: {what}");
    }

    /// What movers do, as if every replica had the same.
    fn copy_nothing(&mut self) {
        while let Some(look) = self.look() {
            let outcome = match look.kind {
                LookKind::Copy { .. } => LookOutcome::Copied { chunks: 0 },
                LookKind::Compare { .. } => LookOutcome::Compared { unequal: Vec::new() },
                LookKind::Strays { .. } => LookOutcome::Strays { found: Vec::new() },
            };
            self.fleet.looked(look.transfer, outcome, self.now);
        }
    }

    /// Shard 0, the only one, goes from n0 to n1.
    fn moved() -> Self {
        let mut world = Self::with_owners(2, &[&[0]]);
        world.create();
        world.put();
        world.run();
        world.fleet.set_plan(&table(&[&[1]]), 1);
        world.end_jobs();
        world
    }

    fn end_jobs(&mut self) {
        self.run_until("the end of all jobs", |world| {
            world.copy_nothing();
            world.control();
            let tables = world.fleet.tables_now();
            world.fleet.topology.jobs.is_empty() && tables.owners == tables.plan
        });
    }

    /// Deletions by marker that a node has got.
    fn marks(&self, node: usize) -> usize {
        self.sent.iter().filter(|(of, send)| *of == node && send.purpose == Purpose::Mark).count()
    }

    /// A node has one more task, which no answer named.
    fn surprise(&mut self, node: usize, label: Label) {
        let task = NodeTask(self.nodes[node].expect("it is up"));
        self.nodes[node] = Some(task.0 + 1);
        let seen = vec![stranger(task, SeenKind::Put, Some(label))];
        self.fleet.polled(node, &[task], seen, self.now, &self.journal);
    }

    /// What a mover may read now.
    fn look(&mut self) -> Option<Look> {
        self.fleet.next_look(self.now, &self.journal).unwrap()
    }
}

#[test]
fn a_step_that_was_cut_but_not_sent_does_not_keep_its_node_from_standing_still() {
    let mut world = World::with_owners(2, &[&[0], &[0]]);
    world.create();
    world.run();
    world.fleet.set_plan(&table(&[&[0], &[1]]), 1);
    let uid = NodeIndexUid::new(INDEX);
    world.run_until("a deletion by marker", |world| {
        let is_mark = |sent: &feed::Sent| sent.purpose == Purpose::Mark;
        world.fleet.feed(1, &uid).sent.iter().any(is_mark)
    });
    // It ends, and before the copy begins there is something that is larger than its source takes.
    world.now = world.now.plus_ms(1_000);
    while world.act(0) || world.act(1) {}
    world.put_to(&[0, 1]);
    let Action::Send(send) = world.fleet.next(0, world.now, &world.journal) else { panic!("it is due") };
    world.fleet.too_large(0, &send, world.now, &world.journal);
    world.control();
    let feed = world.fleet.feed(0, &uid);
    assert!(feed.held.is_some() && feed.split.is_some());
    let until = world.now.plus_ms(1_000);
    world.run_until("a look", |world| world.look().is_some());
    assert!(world.now < until, "not in another hold");
}

#[test]
fn copies_that_come_to_nothing_do_not_hold_up_writes_for_ever() {
    let mut world = World::with_owners(3, &[&[0], &[0], &[0]]);
    world.create();
    world.run();
    world.fleet.set_plan(&table(&[&[0], &[1], &[2]]), 1);
    // Whoever reads never comes to an end.
    world.run_until("a look", |world| world.look().is_some());
    let put = world.put();
    world.run_until("a report", |world| {
        world.look();
        world.reports.iter().any(|report| report.entry == put)
    });
}

#[test]
fn a_node_that_is_away_takes_no_shard_over_even_if_there_is_nothing_to_copy() {
    let mut world = World::with_owners(2, &[&[0]]);
    world.nodes[1] = None;
    world.fleet.set_plan(&table(&[&[1]]), 1);
    for _ in 0..100 {
        while world.act(0) || world.act(1) {}
        world.control();
        world.now = world.now.plus_ms(10);
    }
    assert_eq!(world.fleet.tables_now().owners, table(&[&[0]]));
    world.nodes[1] = Some(0);
    world.end_jobs();
}

#[test]
fn documents_that_arrive_when_their_shard_has_gone_are_deleted() {
    let put = Label::Step { position: Position::of(EntryId(1), 0), shard: None };
    let chunk = Label::Copy { transfer: 7, at: Position(3), number: 0, shards: vec![ShardId(0)] };
    for label in [put, chunk] {
        let mut world = World::moved();
        assert_eq!(world.marks(0), 1, "n0 is cleaned");
        world.surprise(0, label);
        world.control();
        assert_eq!(world.fleet.view().foreign, BTreeSet::from([name(0)]), "readers leave them out");
        world.end_jobs();
        assert_eq!(world.marks(0), 2);
        assert_eq!(world.fleet.view().foreign, BTreeSet::new());
    }
}

#[test]
fn a_late_write_to_a_node_that_has_lost_no_shard_asks_for_no_deletion() {
    let mut world = World::with_owners(2, &[&[0], &[1]]);
    world.create();
    let put = world.put_to(&[0, 1]);
    world.run();
    world.surprise(0, Label::Step { position: Position::of(put, 0), shard: None });
    world.put();
    world.run();
    assert_eq!(world.marks(0), 0, "only its own part was ever sent to it");
}

#[test]
fn a_deletion_by_marker_that_was_under_way_when_documents_arrived_is_sent_again() {
    let mut world = World::with_owners(2, &[&[0]]);
    world.create();
    world.put();
    world.run();
    world.fleet.set_plan(&table(&[&[1]]), 1);
    world.run_until("a deletion", |world| world.marks(1) == 1);
    world.surprise(1, Label::Copy { transfer: 7, at: Position(3), number: 0, shards: vec![ShardId(0)] });
    world.run_until("another one", |world| world.marks(1) == 2);
    world.end_jobs();
    assert_eq!(world.marks(1), 2);
}

/// What only `n2` has of a shard that it took over from `n0` while `n1`, its other owner, was away.
fn taken_over_while_a_peer_is_away(rules: Rules) -> Vec<ShardId> {
    let mut world = World::with_owners(3, &[&[0, 1]]);
    world.fleet.rules = rules;
    world.create();
    world.run();
    world.nodes[1] = None;
    world.put();
    // They do without n1.
    world.run();
    world.fleet.set_plan(&table(&[&[1, 2]]), 2);
    world.run_until("the switch", |world| {
        world.copy_nothing();
        world.fleet.tables_now().owners[0].contains(&name(2))
    });
    for _ in 0..100 {
        world.control();
        while world.act(0) || world.act(2) {}
        world.now = world.now.plus_ms(10);
    }
    world.fleet.last_copies(&name(2))
}

#[test]
fn an_old_owner_keeps_its_documents_until_every_owner_has_them() {
    assert_eq!(taken_over_while_a_peer_is_away(Rules::ALL), []);
    // Losing n2 now would lose them.
    assert_eq!(taken_over_while_a_peer_is_away(Rules { old_fed: false, ..Rules::ALL }), [ShardId(0)]);
}

#[test]
fn nothing_is_reported_while_some_core_reads_a_replica_that_begins_anew() {
    let mut world = World::new(2);
    world.create();
    world.put();
    world.run();
    let seen = Epoch(world.fleet.stored);
    let known = ReaderProgress { acknowledged: seen, drained: seen };
    let put = world.put();
    while world.act(0) {}
    // It comes back empty.
    world.nodes[1] = Some(0);
    world.now = world.now.plus_ms(10_000);
    while world.act(1) {}
    assert_eq!(world.fleet.take_alarms(), [Alarm::NodeLost { node: name(1) }]);
    for _ in 0..100 {
        while world.act(0) || world.act(1) {}
        world.fleet.control(world.now, known, &world.journal);
        world.commit();
        world.now = world.now.plus_ms(10);
    }
    assert!(!world.reports.iter().any(|report| report.entry == put), "a core asks n1, which has not got it");
    world.run();
}
