//! What the journal may forget, and when.

use super::*;

const KEEP: u64 = 300_000;

fn index() -> NodeIndexUid {
    NodeIndexUid::new(INDEX)
}

impl World {
    /// What is needed after a while, by what is known at its beginning.
    fn needed_later(&mut self) -> EntryId {
        let first = self.fleet.take_needed(self.now, &self.journal);
        assert_eq!(first, None, "nothing was noted yet");
        self.now = self.now.plus_ms(KEEP);
        self.commit();
        self.fleet.take_needed(self.now, &self.journal).expect("it has stood long enough").from_of(Some(&index()))
    }

    /// A put of this entry, which nobody has waited for any more, shows up on a node.
    fn late_put(&mut self, node: usize, entry: EntryId) {
        let task = self.fleet.nodes[node].next_task;
        let label = Some(Label::Step { position: Position::of(entry, 0), shard: None });
        self.nodes[node] = Some(task.0 + 1);
        self.fleet.polled(node, &[task], vec![stranger(task, SeenKind::Put, label)], self.now, &self.journal);
    }
}

#[test]
fn what_every_node_has_is_forgotten_after_a_while_and_not_before() {
    let mut world = World::new(2);
    world.create();
    world.put();
    world.run();
    assert_eq!(world.fleet.take_needed(world.now, &world.journal), None);
    world.now = world.now.plus_ms(KEEP - 1);
    assert_eq!(world.fleet.take_needed(world.now, &world.journal), None);
    let put = world.put();
    world.now = world.now.plus_ms(1);
    world.commit();
    let needed = world.fleet.take_needed(world.now, &world.journal).expect("it has stood long enough");
    assert_eq!((needed.from_of(Some(&index())), needed.from_of(None)), (put, put));
}

#[test]
fn what_a_node_has_not_applied_is_kept_though_nobody_waits_for_it() {
    let mut world = World::new(2);
    world.create();
    world.run();
    let node = world.nodes[1].take();
    let missed = world.put();
    world.put();
    world.run();
    assert_eq!(world.status(missed), &ReportStatus::Succeeded);
    assert_eq!(world.needed_later(), missed);
    world.nodes[1] = node;
    world.now = world.now.plus_ms(10_000);
    for _ in 0..100 {
        while world.act(1) {}
        world.control();
        world.now = world.now.plus_ms(10);
    }
    world.now = world.now.plus_ms(KEEP);
    world.commit();
    world.fleet.take_needed(world.now, &world.journal).expect("noted while it was away");
    world.now = world.now.plus_ms(KEEP);
    let needed = world.fleet.take_needed(world.now, &world.journal).expect("noted afterwards");
    assert_eq!(needed.from_of(Some(&index())), EntryId(3));
}

#[test]
fn a_late_request_brings_back_what_is_kept_and_nothing_that_is_gone() {
    for is_late in [false, true] {
        let mut world = World::new(2);
        world.create();
        let put = world.put();
        world.run();
        world.fleet.take_needed(world.now, &world.journal);
        if is_late {
            world.now = world.now.plus_ms(KEEP);
            world.fleet.take_needed(world.now, &world.journal).expect("it has stood long enough");
        }
        world.late_put(1, put);
        let is_far = world.fleet.take_alarms().iter().any(|alarm| matches!(alarm, Alarm::FarStranger { .. }));
        assert_eq!(is_far, is_late);
        if !is_late {
            world.now = world.now.plus_ms(KEEP);
            world.commit();
            let needed = world.fleet.take_needed(world.now, &world.journal).expect("it has stood long enough");
            assert_eq!(needed.from_of(Some(&index())), put, "it is to be sent again");
        }
    }
}
