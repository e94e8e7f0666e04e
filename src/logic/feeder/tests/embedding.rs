//! What becomes of steps for which an embedder fails.

use super::*;
use crate::logic::feeder::feed::Purpose;
use crate::meili::error::{ApiError, Code};

fn unreachable() -> SendOutcome {
    let message = "Error while generating embeddings: runtime error: could not reach embedding server";
    SendOutcome::Refused(ApiError::new(Code::VectorEmbeddingError, message).body())
}

fn refused() -> SendOutcome {
    let message = "While embedding documents for embedder `default`: user error: could not authenticate";
    SendOutcome::Refused(ApiError::new(Code::VectorEmbeddingError, message).body())
}

/// The second entry itself, not what goes before it or after it.
fn is_second(send: &Send) -> bool {
    send.position.entry() == Some(EntryId(1)) && send.purpose == Purpose::Do
}

fn change_settings(world: &mut World) -> EntryId {
    let patch = serde_json::json!({});
    world.add(Operation::UpdateSettings { patch, is_deletion: false, creates_index: false })
}

fn is_given_up(world: &World, node: usize) -> bool {
    let uid = NodeIndexUid::new(INDEX);
    world.fleet.feed(node, &uid).needs_rebuild || world.fleet.is_rebuilding(node, &uid)
}

#[test]
fn settings_whose_embedder_fails_anywhere_fail_and_the_correction_goes_through() {
    for is_bad in [|node: usize| node == 1, |_: usize| true] {
        let mut world = World::new(2);
        world.create();
        world.run();
        world.answers = if is_bad(0) {
            |_, send| is_second(send).then(unreachable)
        } else {
            |node, send| (node == 1 && is_second(send)).then(unreachable)
        };
        let wrong = change_settings(&mut world);
        let right = change_settings(&mut world);
        let put = world.put();
        world.run();
        assert!(matches!(world.status(wrong), ReportStatus::Failed(_)));
        assert_eq!(world.status(right), &ReportStatus::Succeeded);
        assert_eq!(world.status(put), &ReportStatus::Succeeded);
        assert!(!is_given_up(&world, 0) && !is_given_up(&world, 1));
    }
}

#[test]
fn documents_that_no_replica_can_embed_fail_and_what_comes_after_goes_through() {
    for answer in
        [(|_, send| is_second(send).then(unreachable)) as fn(usize, &Send) -> Option<SendOutcome>, |_, send| {
            is_second(send).then(refused)
        }]
    {
        let mut world = World::with_owners(2, &[&[0, 1], &[1, 0]]);
        world.create();
        world.run();
        world.answers = answer;
        let put = world.put_to(&[0, 1]);
        let correction = change_settings(&mut world);
        world.run();
        assert!(matches!(world.status(put), ReportStatus::Failed(_)));
        assert_eq!(world.status(correction), &ReportStatus::Succeeded);
        assert!(!is_given_up(&world, 0) && !is_given_up(&world, 1));
    }
}

#[test]
fn a_replica_that_cannot_embed_what_its_peer_has_embedded_is_rebuilt_from_it() {
    let mut world = World::new(2);
    world.create();
    world.run();
    world.answers = |node, send| (node == 1 && is_second(send)).then(unreachable);
    let away = world.nodes[1].take();
    let put = world.put();
    for _ in 0..100 {
        world.act(0);
        world.control();
    }
    world.nodes[1] = away;
    world.run();
    assert_eq!(world.status(put), &ReportStatus::Succeeded);
    for _ in 0..10_000 {
        if is_given_up(&world, 1) {
            return;
        }
        while world.act(1) {}
        world.control();
        world.now = world.now.plus_ms(10);
    }
    panic!("it tries for ever");
}

#[test]
fn what_all_that_were_there_could_not_embed_is_not_sent_to_who_returns() {
    let mut world = World::new(2);
    world.create();
    world.run();
    world.answers = |node, send| (node == 0 && is_second(send)).then(refused);
    let away = world.nodes[1].take();
    let put = world.put();
    world.run();
    assert!(matches!(world.status(put), ReportStatus::Failed(_)));
    world.nodes[1] = away;
    let next = world.put();
    world.run();
    for _ in 0..1_000 {
        while world.act(1) {}
        world.control();
        world.now = world.now.plus_ms(10);
    }
    assert_eq!(world.status(next), &ReportStatus::Succeeded);
    assert!(!world.sent.iter().any(|(_, send)| is_second(send)));
    assert!(world.sent.iter().any(|(node, send)| *node == 1 && send.position.entry() == Some(next)));
    assert!(!is_given_up(&world, 0) && !is_given_up(&world, 1));
}

/// Each of them would have to go, and none can: every pair has a shard of its own.
#[test]
fn replicas_that_nobody_can_do_without_are_never_given_up() {
    let mut world = World::with_owners(3, &[&[0, 1], &[1, 2], &[2, 0]]);
    world.create();
    world.run();
    // One shard here, another there.
    world.answers = |node, send| {
        let is_its_turn = send.shards.first().is_some_and(|shard| usize::from(shard.0) == node);
        (is_second(send) && is_its_turn).then(refused)
    };
    world.put_to(&[0, 1, 2]);
    for _ in 0..3_000 {
        for node in 0..3 {
            while world.act(node) {}
        }
        world.control();
        let given_up = (0..3).filter(|&node| is_given_up(&world, node)).count();
        assert!(given_up <= 1, "{given_up}");
        world.now = world.now.plus_ms(10);
    }
    world.answers = |_, _| None;
    assert!((0..3).any(|node| !is_given_up(&world, node)));
}
