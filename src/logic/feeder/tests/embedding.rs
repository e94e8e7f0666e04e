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
fn a_replica_that_embeds_what_its_peers_could_not_is_rebuilt_from_them() {
    for is_reported in [false, true] {
        let mut world = World::new(2);
        world.create();
        world.run();
        world.answers = |node, send| (node == 0 && is_second(send)).then(refused);
        let away = world.nodes[1].take();
        let put = world.put();
        for _ in 0..100 {
            world.act(0);
            world.control();
        }
        if is_reported {
            world.run();
        }
        world.nodes[1] = away;
        world.run();
        for _ in 0..1_000 {
            while world.act(1) {}
            world.control();
            world.now = world.now.plus_ms(10);
        }
        assert!(matches!(world.status(put), ReportStatus::Failed(_)));
        assert!(is_given_up(&world, 1) && !is_given_up(&world, 0), "reported: {is_reported}");
    }
}
