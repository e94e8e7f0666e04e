//! Documents that have moved away give their disk space back: the limits of moves come from the configuration, and
//! operators change them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fleet::{Fleet, FleetOptions, START_LIMIT};
use crate::support::{real_meilisearch, rounds, wait_for};

/// Until all shards have moved.
const MOVED: Duration = Duration::from_mins(5);

fn status(fleet: &Fleet) -> Value {
    fleet.admin().get("/rebalance").expect(200).json
}

fn limits(fleet: &Fleet, body: &Value) -> Value {
    fleet.admin().ask("PATCH", "/rebalance/limits", Some(body)).expect(200).json
}

fn wait_until_idle(fleet: &Fleet) -> Value {
    wait_for("the rebalance", MOVED, || {
        let status = status(fleet);
        if status["state"] == "idle" { Ok(status) } else { Err(status.to_string()) }
    })
}

/// Indexes that a node has compacted since it last deleted its tasks.
fn compacted(fleet: &Fleet, node: usize) -> u64 {
    let tasks = fleet.nodes[node].client().get("/tasks?types=indexCompaction&statuses=succeeded").expect(200);
    tasks.json["total"].as_u64().expect("a number")
}

fn disk(fleet: &Fleet, node: usize) -> u64 {
    fleet.nodes[node].client().get("/stats").expect(200).json["databaseSize"].as_u64().expect("a number")
}

/// Goal: a node that has lost its documents to others gives their space back, when that is wanted. Method: a node is
/// drained, first while compaction is off. `MIROIR_TEST_ROUNDS` thousands of documents; figures with `--no-capture`.
#[test]
fn documents_that_have_moved_away_give_their_disk_space_back() {
    let configuration = "rebalance: {compact: off, busy_percent: 100}\n".to_owned();
    let mut fleet =
        Fleet::start(&FleetOptions { configuration, meilisearch: real_meilisearch(), ..FleetOptions::new() });
    let words = |id: usize| -> String {
        let words: Vec<String> = (0..60).map(|word| format!("word{}", (id * 7919 + word * 104_729) % 50_000)).collect();
        words.join(" ")
    };
    for thousand in 0..rounds(2) {
        let document = |id| json!({"id": id, "title": format!("film {id}"), "text": words(id)});
        let documents: Vec<Value> = (thousand * 1000..(thousand + 1) * 1000).map(document).collect();
        fleet.client().write_well("POST", "/indexes/films/documents", Some(&documents.into()));
    }
    fleet.client().write_well("POST", "/indexes/empty/documents", Some(&json!([])));
    let before = disk(&fleet, 0);
    fleet.admin().post("/nodes/node-0/drain", &json!({})).expect(200);
    let moved = wait_until_idle(&fleet);
    assert_eq!((&moved["compactions"], compacted(&fleet, 0)), (&json!([]), 0), "nobody wants it");
    let between = disk(&fleet, 0);

    // What was deleted is known after a restart, too.
    fleet.kill_miroir();
    fleet.start_miroir();
    fleet.client().wait_until_healthy(START_LIMIT);
    limits(&fleet, &json!({"compact": true}));
    wait_for("the compaction", MOVED, || match compacted(&fleet, 0) {
        1 => Ok(()),
        count => Err(format!("{count}: {}", status(&fleet))),
    });
    assert_eq!(wait_until_idle(&fleet)["compactions"], json!([]));
    let after = disk(&fleet, 0);
    eprintln!("node-0: {before} bytes on disk, {between} when its documents had moved, {after} compacted");
    if fleet.nodes[0].is_real() {
        assert!(after * 4 < between, "{between} bytes, then {after}");
    }
    assert_eq!([1, 2].map(|node| compacted(&fleet, node)), [0, 0], "they have lost nothing");

    // On demand everything is compacted that there is.
    let answer = fleet.admin().post("/nodes/node-1/compact", &json!({})).expect(200).json;
    assert_eq!((&answer["node"], &answer["indexes"]), (&json!("node-1"), &json!(2)), "{answer}");
    wait_for("the compactions", MOVED, || match compacted(&fleet, 1) {
        2 => Ok(()),
        count => Err(format!("{count}: {}", status(&fleet))),
    });
    assert_eq!(fleet.admin().post("/nodes/node-9/compact", &json!({})).code(), "miroir_node_unknown");
}

#[test]
fn limits_come_from_the_configuration_until_an_operator_changes_them() {
    let configuration = "rebalance: {moves_per_node: 4, bytes_per_second: 10MB, hours: 22-6}\n".to_owned();
    let mut fleet =
        Fleet::start(&FleetOptions { nodes: 1, replication_factor: 1, configuration, ..FleetOptions::new() });
    let hours = json!({"from": 22, "to": 6});
    let configured = json!({
        "movesPerNode": 4, "shardsPerCopy": 16, "bytesPerSecond": 10_000_000, "busyPercent": 25, "hours": hours, "compact": true,
    });
    assert_eq!(limits(&fleet, &json!({})), configured);
    let mut restart = |from: &str, to: &str| {
        fleet.kill_miroir();
        let text = std::fs::read_to_string(fleet.config_path()).expect("it was written");
        std::fs::write(fleet.config_path(), text.replace(from, to)).expect("the temporary folder is writable");
        fleet.start_miroir();
        fleet.client().wait_until_healthy(START_LIMIT);
        fleet.admin()
    };
    let patch = |admin: &crate::support::Client, body: Value| {
        admin.ask("PATCH", "/rebalance/limits", Some(&body)).expect(200).json
    };
    // Nobody has changed them: the configuration is followed.
    let admin = restart("moves_per_node: 4", "moves_per_node: 5");
    assert_eq!(patch(&admin, json!({}))["movesPerNode"], 5);
    assert_eq!(patch(&admin, json!({"busyPercent": 50}))["busyPercent"], 50);
    // From now on all of them are as they were set.
    let admin = restart("moves_per_node: 5", "moves_per_node: 6");
    let kept = patch(&admin, json!({}));
    assert_eq!((&kept["movesPerNode"], &kept["busyPercent"]), (&json!(5), &json!(50)));
    let back = patch(&admin, json!({"configured": true}));
    assert_eq!((&back["movesPerNode"], &back["busyPercent"]), (&json!(6), &json!(25)));
    let admin = restart("moves_per_node: 6", "moves_per_node: 7");
    assert_eq!(patch(&admin, json!({}))["movesPerNode"], 7);
}
