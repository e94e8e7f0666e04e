//! What nodes do for themselves because a client wants it: compactions and snapshots.

use serde_json::{Value, json};

use crate::support::fleet::START_LIMIT;
use crate::support::{Fleet, FleetOptions, real_meilisearch};

/// Tasks of this type that succeeded on a node.
fn done(fleet: &Fleet, node: usize, kind: &str) -> u64 {
    let target = format!("/tasks?types={kind}&statuses=succeeded");
    fleet.nodes[node].client().get(&target).expect(200).json["total"].as_u64().expect("a number")
}

fn task(fleet: &Fleet, target: &str) -> Value {
    let client = fleet.client();
    let accepted = client.ask("POST", target, None).expect(202).json;
    assert_eq!(accepted["status"], "enqueued", "{accepted}");
    client.wait_for_task(accepted["taskUid"].as_u64().expect("a number"))
}

/// Goal: a task of a compaction or of a snapshot is done when every node has done it. Method: the nodes' own task lists are
/// looked at when the task has ended.
#[test]
fn what_clients_want_of_all_nodes_is_done_when_all_have_done_it() {
    let fleet = Fleet::start(&FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() });
    let is_real = fleet.nodes[0].is_real();
    let documents: Value = (0..200).map(|id| json!({"id": id, "text": format!("word{id} ").repeat(20)})).collect();
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&documents));
    let compacted = task(&fleet, "/indexes/films/compact");
    assert_eq!((&compacted["status"], &compacted["type"]), (&json!("succeeded"), &json!("indexCompaction")));
    assert_eq!(compacted["details"].get("preCompactionSize").is_some(), is_real, "{compacted}");
    assert_eq!([0, 1, 2].map(|node| done(&fleet, node, "indexCompaction")), [1, 1, 1]);

    let snapshot = task(&fleet, "/snapshots");
    assert_eq!((&snapshot["type"], &snapshot["indexUid"]), (&json!("snapshotCreation"), &Value::Null));
    if is_real {
        assert_eq!(snapshot["status"], "succeeded", "{snapshot}");
        assert_eq!([0, 1, 2].map(|node| done(&fleet, node, "snapshotCreation")), [1, 1, 1]);
    } else {
        // The embedded node makes none.
        assert_eq!(
            (&snapshot["status"], &snapshot["error"]["code"]),
            (&json!("failed"), &json!("miroir_not_supported"))
        );
    }
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!([{"id": 1000}])));
    assert_eq!(fleet.client().get("/indexes/films/documents?limit=0").expect(200).json["total"], 201);
}

/// Goal: the store of Miroir becomes smaller when it is asked to, nothing is lost, and nobody has to restart anything. Method: a
/// write that comes right behind the compaction is taken; all is there, also after a restart.
#[test]
fn the_store_is_compacted_without_a_restart() {
    let mut fleet = Fleet::start(&FleetOptions::new());
    let client = fleet.client();
    assert_eq!(client.ask("POST", "/tasks/compact", None).code(), "feature_not_enabled");
    let feature = json!({"taskQueueCompactionRoute": true});
    client.ask("PATCH", "/experimental-features", Some(&feature)).expect(200);
    let documents: Value = (0..200).map(|id| json!({"id": id, "text": format!("word{id} ").repeat(20)})).collect();
    client.write_well("POST", "/indexes/films/documents", Some(&documents));
    let tasks = || fleet.client().get("/tasks").expect(200).json["results"].clone();
    let before = tasks();
    let summary = client.ask("POST", "/tasks/compact", None).expect(200).json;
    assert_eq!(summary["status"], "succeeded", "{summary}");
    assert!(summary["preSize"].is_string() && summary["postSize"].is_string(), "{summary}");
    assert!(summary.get("actionRequired").is_none(), "{summary}");
    assert_eq!(tasks(), before);
    client.write_well("POST", "/indexes/films/documents", Some(&json!([{"id": 1000}])));
    fleet.kill_miroir();
    fleet.start_miroir();
    fleet.client().wait_until_healthy(START_LIMIT);
    assert_eq!(fleet.client().get("/indexes/films/documents?limit=0").expect(200).json["total"], 201);
}
