//! The journal does not keep what no node needs.

use super::*;

#[test]
fn payloads_go_when_every_node_has_them_and_rows_when_their_tasks_are_deleted() {
    let mut fleet = Fixture::new(3, 2);
    let first = fleet.put("a", PutMode::Replace, &documents(0, 30, "before"));
    fleet.succeeded(first);
    wait_for("the first payload to go", || fleet.store.payload(first).unwrap().is_none());
    fleet.stop_node(1);
    let away: Vec<EntryId> =
        (0..10).map(|round| fleet.put("a", PutMode::Replace, &documents(round, round + 20, "away"))).collect();
    for &entry in &away {
        fleet.succeeded(entry);
    }
    let elsewhere = fleet.put("b", PutMode::Replace, &documents(0, 1, "elsewhere"));
    fleet.succeeded(elsewhere);
    assert_eq!(fleet.store.delete_tasks(&[first, away[0]]).unwrap(), 2);
    wait_for("the row of the first one to go", || fleet.store.entry(first).unwrap().is_none());
    let is_kept = |entry: &EntryId| fleet.store.payload(*entry).unwrap().is_some();
    assert!(away.iter().all(is_kept), "the node that is away has none of them");
    fleet.kill();
    fleet.start();
    fleet.start_node(1);
    wait_for("the node to be in sync", || fleet.out_of_sync() == 0);
    let entries = || away.iter().chain([&elsewhere]);
    wait_for("all payloads to go", || entries().all(|entry| fleet.store.payload(*entry).unwrap().is_none()));
    wait_for("the row to go", || fleet.store.entry(away[0]).unwrap().is_none());
    fleet.check_replicas("a");
    fleet.check_replicas("b");
}
