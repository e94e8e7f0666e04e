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
