//! Threads of nodes come and go.

use super::*;
use crate::logic::ids::NodeTask;

#[test]
fn a_node_without_its_threads_gets_nothing_and_catches_up_when_it_has_them_again() {
    let mut fleet = Fixture::new(3, 2);
    let first = fleet.put("a", PutMode::Replace, &documents(0, 20, "before"));
    fleet.succeeded(first);
    let coordinator = fleet.running.as_ref().expect("it runs").coordinator();
    let node = fleet.store.protocol_state().unwrap().nodes[1].clone();
    coordinator.dismiss(&node.id);
    let away: Vec<EntryId> =
        (0..5).map(|round| fleet.put("a", PutMode::Replace, &documents(round, round + 30, "away"))).collect();
    for entry in away {
        fleet.succeeded(entry);
    }
    wait_for("the node to be left behind", || fleet.out_of_sync() == 1);
    coordinator.attend(1, &node).unwrap();
    // Again, while they work: the first ones are waited for.
    coordinator.attend(1, &node).unwrap();
    wait_for("the node to be in sync", || fleet.out_of_sync() == 0);
    fleet.check_replicas("a");
    let attended = || coordinator.attendance.groups.lock().len();
    assert_eq!(attended(), 3);
    fleet.kill();
    coordinator.attend(1, &node).unwrap();
    assert_eq!(attended(), 0, "nothing begins after the end");
}

#[test]
fn a_node_that_is_enrolled_gets_every_index_and_one_that_is_removed_is_left_alone() {
    let mut fleet = Fixture::new(2, 2);
    let settings = fleet.settings("a", json!({ "filterableAttributes": ["number"] }));
    let put = fleet.put("a", PutMode::Replace, &documents(0, 20, "before"));
    fleet.succeeded(settings);
    fleet.succeeded(put);
    let uid = fleet.store.heads().unwrap()[&IndexUid::new("a")].node_uid.clone();
    let node = fleet.add_node();
    let client = NodeClient::new(&*node.url, Some(KEY));
    let coordinator = fleet.running.as_ref().expect("it runs").coordinator();
    let names = || {
        let snapshot = coordinator.bridge.snapshot.load();
        snapshot.nodes.iter().map(|node| (node.id.to_string(), node.reachable)).collect::<Vec<_>>()
    };
    let named = |ids: &[&str]| ids.iter().map(|id| ((*id).to_owned(), true)).collect::<Vec<_>>();

    coordinator.enrol(&node, NodeTask(0), |_| {}).unwrap();
    wait_for("readers to see it", || names() == named(&["n0", "n1", "n2"]));
    assert_eq!(fleet.store.protocol_state().unwrap().nodes[2], node);
    let filter = json!("number > 1");
    let fetched = || client.fetch_documents(&uid, Some(&filter), &["id"], 0..1, PATIENCE);
    wait_for("the index with its settings", || fetched().is_ok_and(|found| found.total == 0));
    let more = fleet.settings("a", json!({ "filterableAttributes": ["number", "text"] }));
    fleet.succeeded(more);
    let filter = json!("text = x");
    wait_for("later settings", || client.fetch_documents(&uid, Some(&filter), &["id"], 0..1, PATIENCE).is_ok());

    // It comes through a restart, too.
    fleet.kill();
    fleet.start();
    let coordinator = fleet.running.as_ref().expect("it runs").coordinator();
    let again = fleet.settings("a", json!({ "filterableAttributes": ["number"] }));
    fleet.succeeded(again);
    wait_for("settings after a restart", || {
        client.fetch_documents(&uid, Some(&filter), &["id"], 0..1, PATIENCE).is_err() && fetched().is_ok()
    });

    assert!(!coordinator.remove(&NodeId::new("n0")).unwrap(), "it owns shards");
    assert!(coordinator.remove(&node.id).unwrap());
    let snapshot = coordinator.bridge.snapshot.load_full();
    assert_eq!(snapshot.nodes.len(), 2);
    let last = fleet.settings("a", json!({ "filterableAttributes": ["text"] }));
    fleet.succeeded(last);
    assert!(fetched().is_ok(), "it does not get these any more");
    fleet.check_replicas("a");
}

#[test]
fn a_node_for_which_there_is_no_thread_is_no_member_and_can_be_added_later() {
    let mut fleet = Fixture::new(2, 2);
    let node = fleet.add_node();
    let coordinator = fleet.running.as_ref().expect("it runs").coordinator();
    let members = || fleet.store.protocol_state().unwrap().nodes.len();
    let room = coordinator.attendance.threads.room.clone();
    for threads in 0..2 {
        room.store(threads, Ordering::Release);
        let refused = coordinator.enrol(&node, NodeTask(0), |_| panic!("nothing is changed"));
        assert!(matches!(refused, Err(EnrolError::Thread(_))), "{refused:?}");
        assert_eq!(members(), 2);
    }
    room.store(usize::MAX, Ordering::Release);
    coordinator.enrol(&node, NodeTask(0), |_| {}).unwrap();
    assert_eq!(members(), 3);
    let settings = fleet.settings("a", json!({ "filterableAttributes": ["number"] }));
    fleet.succeeded(settings);
    let uid = fleet.store.heads().unwrap()[&IndexUid::new("a")].node_uid.clone();
    let client = NodeClient::new(&*node.url, Some(KEY));
    let filter = json!("number > 1");
    wait_for("the index", || client.fetch_documents(&uid, Some(&filter), &["id"], 0..1, PATIENCE).is_ok());
}
