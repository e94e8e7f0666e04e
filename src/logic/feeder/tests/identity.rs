//! Who answers at a node's address.

use super::*;

/// A node that is away and comes back; what is about to be done there, question after question, before it is asked for tasks.
fn return_of_the_second(world: &mut World) {
    let back = world.nodes[1].take();
    world.put();
    world.run();
    world.nodes[1] = back;
    world.now = world.now.plus_ms(60_000);
}

/// Two replicas, all written.
fn two() -> World {
    let mut world = World::new(2);
    world.create();
    world.put();
    world.run();
    world
}

fn sent_to(world: &World, node: usize) -> usize {
    world.sent.iter().filter(|(to, _)| *to == node).count()
}

#[test]
fn a_new_member_learns_who_it_is_before_it_gets_anything_else() {
    let mut world = two();
    let record = NodeRecord::active(name(2), "");
    assert_eq!(world.fleet.enrol(record, NodeTask(0), world.now), 2);
    world.nodes.push(Some(0));
    world.commit();
    let mut actions = Vec::new();
    while sent_to(&world, 2) == 0 {
        let action = world.fleet.next(2, world.now, &world.journal);
        if action == (Action::Identify { life: 0 }) {
            // What follows must wait for it.
            world.nodes[2] = Some(1);
            world.fleet.sent(2, SendOutcome::Registered(NodeTask(0)), world.now);
            assert!(matches!(world.fleet.next(2, world.now, &world.journal), Action::Wait(_)));
            actions.push("identify");
        } else if action == Action::AskNewest {
            actions.push("ask");
            world.act(2);
        } else {
            world.act(2);
            world.control();
            world.now = world.now.plus_ms(10);
        }
        assert!(actions.len() < 10, "{actions:?}");
    }
    assert_eq!(actions, ["identify", "ask"]);
    assert!(world.fleet.nodes[2].record.has_identity);
}

#[test]
fn nothing_is_read_or_written_where_another_server_answers() {
    for stranger in [Bearer::Other, Bearer::Nobody { is_empty: false }] {
        let mut world = two();
        let before = sent_to(&world, 1);
        world.bearers = match stranger {
            Bearer::Other => |node, life| if node == 1 { Bearer::Other } else { Bearer::Node { life } },
            Bearer::Node { .. } | Bearer::Nobody { .. } => {
                |node, life| if node == 1 { Bearer::Nobody { is_empty: false } } else { Bearer::Node { life } }
            }
        };
        return_of_the_second(&mut world);
        for _ in 0..100 {
            let action = world.fleet.next(1, world.now, &world.journal);
            assert!(matches!(action, Action::Wait(_) | Action::AskNewest | Action::Store), "{action:?}");
            world.act(1);
            world.control();
            world.now = world.now.plus_ms(1_000);
        }
        assert_eq!(sent_to(&world, 1), before, "{stranger:?}");
        assert_eq!(world.fleet.away(world.now).len(), 1, "it counts as away");
        assert!(world.fleet.take_alarms().is_empty(), "its data are where they were");
        // Put right, it goes on where it was.
        world.bearers = |_, life| Bearer::Node { life };
        for _ in 0..100 {
            while world.act(1) {}
            world.control();
            world.now = world.now.plus_ms(1_000);
        }
        assert!(sent_to(&world, 1) > before && world.fleet.away(world.now).is_empty());
        assert_eq!(world.fleet.nodes[1].record.life, 0);
    }
}

#[test]
fn an_emptied_node_and_one_of_an_earlier_life_begin_anew() {
    for stale in [Bearer::Nobody { is_empty: true }, Bearer::Node { life: 7 }] {
        let mut world = two();
        world.bearers = match stale {
            Bearer::Nobody { .. } => |node, life| {
                if node == 1 && life == 0 { Bearer::Nobody { is_empty: true } } else { Bearer::Node { life } }
            },
            Bearer::Node { .. } | Bearer::Other => {
                |node, life| Bearer::Node { life: if node == 1 && life == 0 { 7 } else { life } }
            }
        };
        return_of_the_second(&mut world);
        for _ in 0..10 {
            while world.act(1) {}
            world.control();
            world.now = world.now.plus_ms(1_000);
        }
        assert_eq!(world.fleet.take_alarms(), [Alarm::NodeLost { node: name(1) }], "{stale:?}");
        let record = &world.fleet.nodes[1].record;
        assert_eq!((record.life, record.has_identity), (1, true), "{stale:?}");
    }
}

#[test]
fn a_node_that_cannot_keep_who_it_is_is_not_told_again_at_once() {
    let mut world = two();
    assert_eq!(world.fleet.enrol(NodeRecord::active(name(2), ""), NodeTask(0), world.now), 2);
    world.nodes.push(Some(0));
    world.commit();
    while world.fleet.next(2, world.now, &world.journal) != (Action::Identify { life: 0 }) {
        assert!(world.act(2));
    }
    world.nodes[2] = Some(1);
    world.fleet.sent(2, SendOutcome::Registered(NodeTask(0)), world.now);
    let full = SeenTask { end: Some(End::Retry("no space".into())), ..done(NodeTask(0)) };
    world.fleet.polled(2, &[NodeTask(0)], vec![full], world.now, &world.journal);
    let later = world.now.plus_ms(Timing::default().backoff_ms.1);
    assert_eq!(world.fleet.next(2, world.now, &world.journal), Action::Wait(later));
    world.now = later;
    assert_eq!(world.fleet.next(2, world.now, &world.journal), Action::AskNewest);
    let nobody = Bearer::Nobody { is_empty: true };
    world.fleet.newest_answer(2, nobody, NodeTask(1), world.now);
    while world.fleet.next(2, world.now, &world.journal) != (Action::Identify { life: 0 }) {
        assert!(world.act(2));
    }
}

#[test]
fn an_empty_server_in_the_place_of_the_only_copy_is_not_taken_for_a_loss() {
    let mut world = World::new(1);
    world.create();
    world.put();
    world.run();
    // It was started before its disk was there.
    world.bearers = |_, _| Bearer::Nobody { is_empty: true };
    world.fleet.doubt(0);
    for _ in 0..100 {
        let action = world.fleet.next(0, world.now, &world.journal);
        assert!(matches!(action, Action::Wait(_) | Action::AskNewest | Action::Store), "{action:?}");
        world.act(0);
        world.control();
        world.now = world.now.plus_ms(1_000);
    }
    assert!(world.fleet.take_alarms().is_empty() && world.fleet.away(world.now).len() == 1);
    world.bearers = |_, life| Bearer::Node { life };
    let put = world.put();
    world.now = world.now.plus_ms(60_000);
    world.run();
    assert_eq!((world.status(put), world.fleet.nodes[0].record.life), (&ReportStatus::Succeeded, 0));
}

#[test]
fn a_task_number_that_went_back_does_not_say_who_answered() {
    let mut world = two();
    let known = world.fleet.nodes[1].next_task;
    // Another server, with fewer tasks, takes the place of the second node without a moment's interruption.
    world.bearers = |node, life| if node == 1 { Bearer::Other } else { Bearer::Node { life } };
    world.nodes[1] = Some(known.0 - 1);
    let before = sent_to(&world, 1);
    world.put();
    for _ in 0..100 {
        while world.act(1) {}
        world.control();
        world.now = world.now.plus_ms(1_000);
    }
    assert!(sent_to(&world, 1) <= before + 1, "one request could not be helped");
    assert!(world.fleet.take_alarms().is_empty() && world.fleet.away(world.now).len() == 1);
    let record = &world.fleet.nodes[1].record;
    assert_eq!((record.life, record.has_identity), (0, true));
}
