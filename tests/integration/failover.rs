//! A node dies and comes back; and a fleet without a second copy.

use std::time::Duration;

use serde_json::{Value, json};

use crate::replicas::wait_until_equal;
use crate::support::{Client, Fleet, FleetOptions, wait_for};

/// How long a returning node may take to be read again.
const RETURN_LIMIT: Duration = Duration::from_mins(1);

fn documents(from: usize, to: usize) -> Value {
    (from..to).map(|id| json!({"id": id, "title": format!("number {id}"), "group": id % 5})).collect()
}

fn total(client: &Client) -> Value {
    let answer = client.post("/indexes/things/search", &json!({"page": 1, "hitsPerPage": 1})).expect(200);
    // A part of the documents is no total, and the header says that it is a part.
    assert_eq!(answer.header("x-miroir-degraded"), None, "{}", answer.text);
    answer.json["totalHits"].clone()
}

fn out_of_sync(fleet: &Fleet) -> Value {
    fleet.admin().get("/status").expect(200).json["nodes"]["outOfSync"].clone()
}

/// Goal: with two replicas the death of a node changes no answer and stops no write; the node catches up when it is back.
#[test]
fn writes_go_on_without_a_node_and_it_catches_up() {
    let options = FleetOptions {
        configuration: "in_sync_timeout: 1s\nfeeder: {quarantine: 3s}\n".to_owned(),
        ..FleetOptions::new()
    };
    let mut fleet = Fleet::start(&options);
    let client = fleet.client();
    client.write_well("POST", "/indexes/things/documents", Some(&documents(0, 200)));
    client.write_well("PUT", "/indexes/things/settings/filterable-attributes", Some(&json!(["group"])));
    assert_eq!(total(&client), 200);

    fleet.nodes[2].kill();
    assert_eq!(total(&client), 200);
    client.write_well("POST", "/indexes/things/documents", Some(&documents(200, 300)));
    client.write_well("POST", "/indexes/things/documents/delete-batch", Some(&json!([0, 1, 2])));
    client.write_well("POST", "/indexes/things/documents/delete", Some(&json!({"filter": "group = 4"})));
    client.write_well("PUT", "/indexes/things/settings/sortable-attributes", Some(&json!(["id"])));
    client.write_well("POST", "/indexes", Some(&json!({"uid": "made-meanwhile", "primaryKey": "id"})));
    // 300 without 0, 1, 2 and without the 60 of group 4.
    assert_eq!(total(&client), 237);
    assert_eq!(out_of_sync(&fleet), 1);

    fleet.nodes[2].start();
    wait_until_all_in_sync(&fleet);
    assert_eq!(wait_until_equal(&fleet, "things", "id", 2).len(), 237);
    // Now it can carry the fleet with either of the others.
    fleet.nodes[0].kill();
    assert_eq!(total(&client), 237);
}

/// Goal: a node that comes back without its data is noticed though nobody writes, is not read while it lacks anything, and
/// gets all that it had from its peers, also across a restart of Miroir.
/// Method: compared is what is on the nodes themselves.
#[test]
fn a_node_that_comes_back_empty_is_rebuilt() {
    let mut fleet =
        Fleet::start(&FleetOptions { configuration: "feeder: {quarantine: 2s}\n".to_owned(), ..FleetOptions::new() });
    let client = fleet.client();
    client.write_well("POST", "/indexes/things/documents", Some(&documents(0, 200)));
    fleet.nodes[2].kill();
    fleet.nodes[2].wipe();
    fleet.nodes[2].start();
    wait_for("the loss to be noticed", RETURN_LIMIT, || {
        let answer = fleet.nodes[2].client().try_ask("GET", "/stats", None).map_err(|error| error.to_string())?;
        let has_index = answer.json["indexes"].as_object().is_some_and(|indexes| !indexes.is_empty());
        if has_index { Ok(()) } else { Err(format!("{}", answer.json)) }
    });
    for _ in 0..20 {
        assert_eq!(total(&client), 200);
    }
    fleet.kill_miroir();
    fleet.start_miroir();
    let client = fleet.client();
    client.wait_until_healthy(RETURN_LIMIT);
    client.write_well("POST", "/indexes/things/documents", Some(&documents(200, 300)));
    for _ in 0..20 {
        assert_eq!(total(&client), 300);
    }
    wait_until_all_in_sync(&fleet);
    assert_eq!(wait_until_equal(&fleet, "things", "id", 2).len(), 300);
}

/// In sync is what the feeders say; that cores may ask the node again is said by its prober, a little later.
fn wait_until_all_in_sync(fleet: &Fleet) {
    wait_for("all nodes to be read again", RETURN_LIMIT, || {
        let nodes = &fleet.admin().get("/status").expect(200).json["nodes"];
        let are_read = nodes["outOfSync"] == 0 && nodes["reachable"] == nodes["total"];
        if are_read { Ok(()) } else { Err(nodes.to_string()) }
    });
}

/// Goal: what is resolved by reading replicas is not held up by a dead one that nothing else has pushed out of sync before.
/// Method: on a quiet index each node dies in turn, so that every choice of replicas meets the dead one.
#[test]
fn a_dead_node_does_not_hold_up_what_depends_on_the_documents() {
    let configuration = "in_sync_timeout: 1s\nfeeder: {quarantine: 1s}\n".to_owned();
    let mut fleet = Fleet::start(&FleetOptions { configuration, ..FleetOptions::new() });
    let client = fleet.client();
    client.write_well("POST", "/indexes/things/documents", Some(&documents(0, 60)));
    client.write_well("PUT", "/indexes/things/settings/filterable-attributes", Some(&json!(["group"])));
    let delete_group = json!({"filter": "group = 4"});
    let operations = [
        ("POST", "/indexes/things/documents/delete", Some(&delete_group)),
        ("DELETE", "/indexes/things/documents", None),
        ("DELETE", "/indexes/things", None),
    ];
    for (node, (method, target, body)) in operations.into_iter().enumerate() {
        fleet.nodes[node].kill();
        client.write_well(method, target, body);
        fleet.nodes[node].start();
        wait_until_all_in_sync(&fleet);
    }
    client.get("/indexes/things").expect(404);
}

/// Goal: with one replica the loss of a node is never silent, and writes for its shards wait.
#[test]
fn without_a_second_copy_answers_are_marked_and_writes_wait() {
    let options = FleetOptions {
        nodes: 2,
        replication_factor: 1,
        shards: 8,
        configuration: "in_sync_timeout: 1s\nfeeder: {quarantine: 3s}\n".to_owned(),
        ..FleetOptions::new()
    };
    let mut fleet = Fleet::start(&options);
    let client = fleet.client();
    client.write_well("POST", "/indexes/things/documents", Some(&documents(0, 100)));
    fleet.nodes[1].kill();
    let answer = client.post("/indexes/things/search", &json!({"page": 1, "hitsPerPage": 100})).expect(200);
    assert_eq!(answer.json["degraded"], true, "{}", answer.text);
    let header = answer.header("x-miroir-degraded").expect("the missing shards are named").to_owned();
    assert!(header.starts_with("shards="), "{header}");
    let found = answer.json["hits"].as_array().expect("hits").len();
    assert!((1..100).contains(&found), "{found} of 100");

    let deny = ureq::post(format!("{}/indexes/things/search", client.base))
        .header("authorization", format!("Bearer {}", fleet.master_key))
        .header("x-miroir-partial", "deny")
        .content_type("application/json")
        .config()
        .http_status_as_error(false)
        .build()
        .send("{}")
        .expect("Miroir answers");
    assert_eq!(deny.status(), 503);

    let answer = client.post("/indexes/things/documents", &documents(100, 140)).expect(202);
    let uid = answer.json["taskUid"].as_u64().expect("an integer");
    let task = client.get(&format!("/tasks/{uid}")).expect(200).json;
    assert!(matches!(task["status"].as_str(), Some("enqueued" | "processing")), "{task}");
    fleet.nodes[1].start();
    assert_eq!(client.wait_for_task(uid)["status"], "succeeded");
    wait_for("complete answers", RETURN_LIMIT, || {
        let answer = client.post("/indexes/things/search", &json!({"page": 1, "hitsPerPage": 1}));
        if answer.json["totalHits"] == 140 && answer.json["degraded"].is_null() { Ok(()) } else { Err(answer.text) }
    });
    assert_eq!(wait_until_equal(&fleet, "things", "id", 1).len(), 140);
}
