//! Threads of nodes come and go.

use super::*;

#[test]
fn a_node_without_its_threads_gets_nothing_and_catches_up_when_it_has_them_again() {
    let mut fleet = Fixture::new(3, 2);
    let first = fleet.put("a", PutMode::Replace, &documents(0, 20, "before"));
    fleet.succeeded(first);
    let coordinator = fleet.running.as_ref().expect("it runs").coordinator();
    let view = fleet.view(1);
    let node = NodeRecord::active(view.id, view.url);
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
