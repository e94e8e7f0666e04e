//! What the configuration says of a stored fleet.

use super::configured::{described_anew, differences};
use super::*;
use crate::config;
use crate::config::environment::Environment;

fn settings(nodes: &str, more: &str) -> Settings {
    config::load_text(&format!("nodes: [{nodes}]\n{more}"), &Environment::default(), &[]).unwrap()
}

const TWO: &str = "{id: a, url: 'http://a:1', zone: r1}, {id: b, url: 'http://b:1'}";

#[test]
fn a_configuration_that_says_what_is_done_is_not_spoken_of() {
    let settings = settings(TWO, "");
    let fleet = new_fleet(&settings);
    assert_eq!(differences(&settings, &fleet), [""; 0]);
    assert_eq!(described_anew(&settings, &fleet), []);
}

#[test]
fn each_difference_is_named_with_the_remedy() {
    let mut fleet = new_fleet(&settings(TWO, ""));
    fleet.nodes.push(NodeRecord { id: NodeId::new("gone"), state: NodeState::Removed, ..fleet.nodes[0].clone() });
    let nodes = "{id: a, url: 'http://a:1', zone: r1}, {id: c, url: 'http://c:1'}, {id: gone, url: 'http://d:1'}";
    let found = differences(&settings(nodes, "replication_factor: 1"), &fleet);
    let expected = [
        "node c is configured but not a member: add it with `miroir-ctl node add c http://c:1`",
        "node gone is configured but was removed from the cluster: take it out of nodes",
        "node b at http://b:1 is a member but not configured: put it into nodes",
        "replication_factor is 1 in the configuration but 2 in the store, which is the truth: set it to 2",
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn a_member_is_described_by_the_configuration_and_nothing_else_of_it_changes() {
    let mut fleet = new_fleet(&settings(TWO, ""));
    for (node, state) in fleet.nodes.iter_mut().zip([NodeState::Draining, NodeState::Removed]) {
        *node = NodeRecord { state, life: 3, ..node.clone() };
    }
    let moved = "{id: a, url: 'http://e:2', weight: 2}, {id: b, url: 'http://e:3'}";
    let expected = NodeRecord {
        id: NodeId::new("a"),
        url: "http://e:2".to_owned(),
        zone: None,
        weight: 2.0,
        state: NodeState::Draining,
        life: 3,
        has_identity: false,
    };
    assert_eq!(described_anew(&settings(moved, ""), &fleet), [expected]);
}
