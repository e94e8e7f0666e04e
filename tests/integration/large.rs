//! Writes larger than what a node takes with one request: cut into several, or refused before they are accepted.

use serde_json::{Value, json};

use crate::replicas::wait_until_equal;
use crate::support::fleet::START_LIMIT;
use crate::support::{Client, Fleet, FleetOptions, real_meilisearch, wait_for};

/// Bytes of a body that a node takes.
const LIMIT: usize = 100_000;

const DOCUMENTS: &str = "/indexes/things/documents";

fn options(node_limit: usize) -> FleetOptions {
    let configuration = format!("feeder: {{max_body: {LIMIT}}}\nin_sync_timeout: 500ms\n");
    let meilisearch = real_meilisearch();
    FleetOptions { meilisearch, body_limit: Some(node_limit), configuration, ..FleetOptions::new() }
}

fn start(node_limit: usize) -> (Fleet, Client) {
    let fleet = Fleet::start(&options(node_limit));
    let client = fleet.client();
    client.write_well("POST", "/indexes", Some(&json!({"uid": "things", "primaryKey": "id"})));
    (fleet, client)
}

fn documents(count: usize, bytes: usize) -> Value {
    (0..count).map(|id| json!({"id": id, "text": "x".repeat(bytes)})).collect()
}

/// Ids as long as they may be, so that few make a large body.
fn long_ids(count: usize) -> Value {
    (0..count).map(|id| json!(format!("{id:0>500}"))).collect()
}

/// Goal: a write whose part for a node is larger than the node takes arrives, and blocks nothing. Method: puts and
/// deletions several times as large as the limit of the nodes, then a small write.
#[test]
fn writes_larger_than_a_node_takes_go_in_several_requests() {
    let (fleet, client) = start(LIMIT);
    client.write_well("POST", DOCUMENTS, Some(&documents(1000, 1000)));
    client.write_well("PUT", DOCUMENTS, Some(&documents(1000, 800)));
    client.write_well("POST", &format!("{DOCUMENTS}/delete-batch"), Some(&long_ids(1500)));
    let ids: Value = (0..10).map(|id| json!(id)).collect();
    client.write_well("POST", &format!("{DOCUMENTS}/delete-batch"), Some(&ids));
    assert_eq!(wait_until_equal(&fleet, "things", "id", 2).len(), 990);
}

/// Goal: nothing is accepted that no node would take. Method: one document too large, a table that grows when it becomes
/// JSON, too many ids.
#[test]
fn a_part_of_one_shard_that_no_node_takes_is_refused() {
    let (_fleet, client) = start(LIMIT);
    let refused = |answer: crate::support::Answer| {
        assert_eq!(answer.status, 413, "{}", answer.text);
        let message = "The provided payload reached the size limit. The maximum accepted payload size is 100 KB.";
        assert_eq!((answer.code(), &answer.json["message"]), ("payload_too_large", &json!(message)));
    };
    refused(client.post(DOCUMENTS, &json!([{"id": 1, "text": "x".repeat(LIMIT)}])));
    let columns: Vec<String> = (0..4_000).map(|number| format!("column-{number:010}")).collect();
    let table = format!("id,{}\n1,{}", columns.join(","), ",".repeat(columns.len() - 1));
    assert!(table.len() < LIMIT, "{} bytes", table.len());
    let answer = client.send("POST", DOCUMENTS, Some("text/csv"), table.as_bytes()).expect("an answer");
    refused(answer);
    refused(client.post(&format!("{DOCUMENTS}/delete-batch"), &long_ids(6_000)));
    // Nothing was accepted, and nothing is in the way.
    assert_eq!(client.get("/tasks?limit=1").json["total"], 1);
    client.write_well("POST", DOCUMENTS, Some(&json!([{"id": 1, "text": "x".repeat(LIMIT / 2)}])));
}

/// Goal: a node that takes less than it should shows it and is repaired by its restart. Method: one shard's part is larger
/// than one of the nodes takes; its peers go on without it.
#[test]
fn a_node_with_a_lower_limit_says_so_and_catches_up_when_it_is_raised() {
    let (mut fleet, client) = start(LIMIT);
    fleet.nodes[1].kill();
    fleet.nodes[1].body_limit = Some(LIMIT / 10);
    fleet.nodes[1].start();
    fleet.nodes[1].client().wait_until_healthy(START_LIMIT);
    let large = documents(64, LIMIT / 16);
    client.write_well("POST", DOCUMENTS, Some(&large));
    wait_for("the remedy to be named", START_LIMIT, || {
        let output = fleet.miroir.as_ref().expect("it runs").output();
        if output.contains("--http-payload-size-limit") { Ok(()) } else { Err(output) }
    });
    fleet.nodes[1].kill();
    fleet.nodes[1].body_limit = Some(LIMIT);
    fleet.nodes[1].start();
    assert_eq!(wait_until_equal(&fleet, "things", "id", 2).len(), 64);
}
