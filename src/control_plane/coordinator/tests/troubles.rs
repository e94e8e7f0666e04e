//! What does not get on is shown as long as it does not.

use super::*;

#[test]
fn a_write_that_no_node_can_help_with_is_shown_until_one_can() {
    let mut fleet = Fixture::new(2, 2);
    let settings = fleet.settings("a", json!({ "filterableAttributes": ["number"] }));
    let put = fleet.put("a", PutMode::Replace, &documents(0, 10, "one"));
    fleet.succeeded(settings);
    fleet.succeeded(put);
    for node in 0..2 {
        fleet.stop_node(node);
    }
    let entry = fleet.append("a", Operation::DeleteByFilter { filter: json!("number >= 5") }, None);
    wait_for("the trouble", || fleet.troubles.writes().iter().any(|held| held.failures > 1));
    let held = fleet.troubles.writes().remove(0);
    assert_eq!((held.node, held.task, held.index), (None, Some(entry), IndexUid::new("a")));
    // The last one that was asked, or nobody left to ask.
    let is_told = ["no answer", "no replica in sync"].iter().any(|text| held.error.contains(text));
    assert!(is_told, "{}", held.error);
    for node in 0..2 {
        fleet.start_node(node);
    }
    assert_eq!(fleet.succeeded(entry).counts.deleted, Some(5));
    assert_eq!(fleet.troubles.writes(), []);
}
