//! Nodes that die one after the other, or together, and that nobody removes.

use std::time::Duration;

use serde_json::json;

use crate::replicas::wait_until_equal;
use crate::support::{Fleet, FleetOptions, wait_for};

/// For all moves after a loss.
const LIMIT: Duration = Duration::from_mins(2);

/// In the index.
const DOCUMENTS: usize = 300;

/// A fleet that soon copies elsewhere what nodes had that stay away.
fn impatient(nodes: usize, replication_factor: usize) -> Fleet {
    let configuration = "repair_delay: 1s\nin_sync_timeout: 500ms\nfeeder: {quarantine: 1s}\n\
        probe: {interval: 200ms, timeout: 500ms}\n"
        .to_owned();
    let fleet =
        Fleet::start(&FleetOptions { nodes, replication_factor, shards: 12, configuration, ..FleetOptions::new() });
    let documents: Vec<_> = (0..DOCUMENTS).map(|id| json!({"id": id, "title": format!("film {id}")})).collect();
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!(documents)));
    fleet
}

/// kill -9. Nobody says anything of it to Miroir, and the nodes never return.
fn lose(fleet: &mut Fleet, nodes: usize) {
    fleet.nodes.drain(..nodes).for_each(|mut node| node.kill());
}

/// Every shard has as many replicas as are wanted on nodes that live, and they are equal.
fn check_all_there(fleet: &Fleet, replicas: usize, documents: usize) {
    let living: Vec<&str> = fleet.nodes.iter().map(|node| node.id.as_str()).collect();
    wait_for("every shard on nodes that live", LIMIT, || {
        let shards = fleet.admin().get("/shards").expect(200);
        let owners = shards.json["results"].as_array().expect("a list").iter().map(|shard| &shard["nodes"]);
        let lives = |owner: &serde_json::Value| owner.as_str().is_some_and(|owner| living.contains(&owner));
        let is_there = |owners: &serde_json::Value| {
            owners.as_array().is_some_and(|owners| owners.len() == replicas && owners.iter().all(lives))
        };
        if owners.into_iter().all(is_there) { Ok(()) } else { Err(shards.text) }
    });
    assert_eq!(wait_until_equal(fleet, "films", "id", replicas).len(), documents);
    let found = fleet.client().get("/indexes/films/documents?limit=1").expect(200);
    assert_eq!(found.json["total"], documents, "{}", found.text);
    wait_for("nothing to be left to do", LIMIT, || {
        let status = fleet.admin().get("/rebalance").expect(200).json;
        let is_over = status["state"] == "idle" && status["absent"] == json!([]);
        if is_over { Ok(()) } else { Err(status.to_string()) }
    });
}

#[test]
fn two_nodes_that_die_one_after_the_other_are_both_made_up_for() {
    let mut fleet = impatient(4, 2);
    for lost in 1..=2 {
        lose(&mut fleet, 1);
        check_all_there(&fleet, 2, DOCUMENTS + lost - 1);
        fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!([{"id": format!("after-{lost}")}])));
    }
    check_all_there(&fleet, 2, DOCUMENTS + 2);
}

#[test]
fn two_nodes_that_die_together_are_both_made_up_for_where_a_third_one_has_all() {
    let mut fleet = impatient(5, 3);
    lose(&mut fleet, 2);
    check_all_there(&fleet, 3, DOCUMENTS);
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!([{"id": "after"}])));
    check_all_there(&fleet, 3, DOCUMENTS + 1);
}
