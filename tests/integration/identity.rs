//! Another server answers at a node's URL: nothing there is read, written or deleted.

use std::time::Duration;

use serde_json::{Value, json};

use crate::replicas::wait_until_equal;
use crate::support::fleet::{Node, START_LIMIT};
use crate::support::{Fleet, FleetOptions, real_meilisearch, wait_for};

const LIMIT: Duration = Duration::from_mins(1);

/// In the index.
const DOCUMENTS: usize = 200;

fn filled(replication_factor: usize) -> Fleet {
    let configuration = "in_sync_timeout: 500ms\nfeeder: {quarantine: 1s}\nprobe: {interval: 200ms, timeout: 2s}\n\
        repair_delay: 1h\n"
        .to_owned();
    let meilisearch = real_meilisearch();
    let options = FleetOptions { replication_factor, shards: 12, configuration, meilisearch, ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    fleet.client().write_well("POST", "/indexes/films/documents?primaryKey=id", Some(&films(0..DOCUMENTS)));
    wait_until_equal(&fleet, "films", "id", replication_factor);
    fleet
}

fn films(ids: std::ops::Range<usize>) -> Value {
    ids.map(|id| json!({"id": id, "title": format!("film {id}")})).collect()
}

/// Documents of clients on each node, by what it says itself.
fn held(fleet: &Fleet) -> Vec<u64> {
    let held = |stats: Value| {
        let indexes = stats["indexes"].as_object().expect("indexes by name").clone();
        let of_clients = indexes.iter().filter(|(name, _)| name.starts_with("films-"));
        of_clients.map(|(_, index)| index["numberOfDocuments"].as_u64().expect("a number")).sum()
    };
    fleet.nodes.iter().map(|node| held(node.client().get("/stats").expect(200).json)).collect()
}

/// What an operator reads about a node.
fn error_of(fleet: &Fleet, node: &str) -> String {
    let nodes = fleet.admin().get("/fleet").expect(200).json["nodes"].clone();
    let of_it = nodes.as_array().expect("a list").iter().find(|of| of["id"] == node).expect("it is a member");
    of_it["error"].as_str().unwrap_or_default().to_owned()
}

/// All is found, or the answer says that it is not all.
fn check_search(fleet: &Fleet) {
    let answer = fleet.client().post("/indexes/films/search", &json!({"q": "film", "hitsPerPage": 1}));
    let is_whole = answer.status == 200 && answer.json["totalHits"].as_u64() >= Some(DOCUMENTS as u64);
    let is_said = answer.status >= 500 || answer.json["degraded"] == true;
    assert!(is_whole || is_said, "{} {}", answer.status, answer.text);
}

fn restart_with(fleet: &mut Fleet, change: impl Fn(&str) -> String) {
    fleet.kill_miroir();
    let configuration = std::fs::read_to_string(fleet.config_path()).expect("it was written");
    std::fs::write(fleet.config_path(), change(&configuration)).expect("the temporary folder is writable");
    fleet.start_miroir();
    fleet.client().wait_until_healthy(START_LIMIT);
}

fn swap_urls_and_back(replication_factor: usize) {
    let mut fleet = filled(replication_factor);
    let before = held(&fleet);
    let urls = [fleet.nodes[1].port.url(), fleet.nodes[2].port.url()];
    let swapped = |text: &str| text.replace(&urls[0], "FIRST").replace(&urls[1], &urls[0]).replace("FIRST", &urls[1]);
    restart_with(&mut fleet, swapped);
    for (node, other) in [("node-1", "node-2"), ("node-2", "node-1")] {
        let expected = format!("the server at this url is node {other}, not {node}");
        wait_for("the operator to be told", LIMIT, || {
            check_search(&fleet);
            let error = error_of(&fleet, node);
            if error.starts_with(&expected) { Ok(()) } else { Err(error) }
        });
    }
    // None of this may touch what is there.
    let put = fleet.client().post("/indexes/films/documents", &films(DOCUMENTS..DOCUMENTS + 50)).expect(202);
    fleet.admin().post("/verify", &json!({"repair": true})).expect(200);
    wait_for("the comparison", LIMIT, || {
        check_search(&fleet);
        let report = fleet.admin().get("/verify").expect(200);
        if report.json["state"] == "done" { Ok(()) } else { Err(report.text) }
    });
    let now = held(&fleet);
    assert_eq!(now[1..], before[1..], "what is at the wrong places is left alone");
    restart_with(&mut fleet, swapped);
    fleet.client().wait_for_task(put.json["taskUid"].as_u64().expect("a number"));
    assert_eq!(wait_until_equal(&fleet, "films", "id", replication_factor).len(), DOCUMENTS + 50);
    wait_for("all to be found", LIMIT, || {
        let answer = fleet.client().post("/indexes/films/search", &json!({"q": "film", "hitsPerPage": 1})).expect(200);
        let is_whole = answer.json["totalHits"] == DOCUMENTS + 50 && answer.json["degraded"].is_null();
        if is_whole { Ok(()) } else { Err(answer.text) }
    });
    assert_eq!((error_of(&fleet, "node-1"), error_of(&fleet, "node-2")), (String::new(), String::new()));
}

#[test]
fn two_nodes_with_each_others_urls_are_left_alone_with_one_replica() {
    swap_urls_and_back(1);
}

#[test]
fn two_nodes_with_each_others_urls_are_left_alone_with_two_replicas() {
    swap_urls_and_back(2);
}

/// Goal: a server of somebody else that takes a node's place while Miroir runs, with an index of the same name, gives no hit
/// and gets no write; when the node is back it goes on where it was.
#[test]
fn a_server_of_somebody_else_in_a_nodes_place_is_neither_read_nor_written() {
    let mut fleet = filled(2);
    let before = held(&fleet);
    let mut theirs = Node::new("theirs", fleet.folder.path(), real_meilisearch());
    theirs.start();
    theirs.client().wait_until_healthy(START_LIMIT);
    let documents = json!([{"id": 100_000, "title": "film of somebody else"}]);
    theirs.client().write_well("POST", "/indexes/films-0/documents?primaryKey=id", Some(&documents));
    theirs.kill();
    fleet.nodes[1].kill();
    let folder = |name: &str| fleet.folder.path().join(name);
    std::fs::rename(folder("node-1"), folder("ours")).expect("nobody uses it");
    std::fs::rename(folder("theirs"), folder("node-1")).expect("nobody uses it");
    fleet.nodes[1].start();
    let node = fleet.nodes[1].client();
    node.wait_until_healthy(START_LIMIT);
    let tasks = || node.get("/tasks?limit=1").expect(200).json["results"][0]["uid"].clone();
    let theirs_before = tasks();
    wait_for("the operator to be told", LIMIT, || {
        let error = error_of(&fleet, "node-1");
        if error.contains("has indexes, but nothing says that it is node-1") { Ok(()) } else { Err(error) }
    });
    for _ in 0..20 {
        check_search(&fleet);
    }
    let put = fleet.client().write_well("POST", "/indexes/films/documents", Some(&films(DOCUMENTS..DOCUMENTS + 50)));
    assert_eq!(put["status"], "succeeded", "the others do without it");
    assert_eq!((tasks(), held(&fleet)[1]), (theirs_before, 1), "nothing was sent there");
    fleet.nodes[1].kill();
    fleet.nodes[1].wipe();
    std::fs::rename(fleet.folder.path().join("ours"), fleet.folder.path().join("node-1")).expect("nobody uses it");
    fleet.nodes[1].start();
    assert_eq!(wait_until_equal(&fleet, "films", "id", 2).len(), DOCUMENTS + 50);
    assert!(held(&fleet)[1] >= before[1], "it goes on where it was");
    assert_eq!(error_of(&fleet, "node-1"), "");
}
