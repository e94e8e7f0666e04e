//! All nodes are restarted, one by one, by the book (`docs/UPGRADING.md`), while clients write and search.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::fleet::START_LIMIT;
use crate::support::{Client, Fleet, FleetOptions, wait_for};

/// For a node to catch up, on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// Documents that never change.
const FIXED: u64 = 200;

/// Adds documents and waits for each task; returns how many were added.
fn write_until(client: &Client, is_over: &AtomicBool) -> u64 {
    let mut added = 0;
    while !is_over.load(Ordering::Relaxed) {
        let document = json!([{"id": FIXED + added, "title": format!("later {added}"), "kind": "later"}]);
        client.write_well("POST", "/indexes/films/documents", Some(&document));
        added += 1;
    }
    added
}

/// Searches for all that never changes; returns how often.
fn search_until(client: &Client, is_over: &AtomicBool, searches: &AtomicU64) {
    while !is_over.load(Ordering::Relaxed) {
        let query = json!({"q": "", "filter": "kind = fixed", "limit": 1000});
        let answer = client.post("/indexes/films/search", &query).expect(200);
        assert_eq!(answer.json["hits"].as_array().map(Vec::len), Some(FIXED as usize), "{}", answer.text);
        assert_eq!(answer.header("x-miroir-degraded"), None);
        searches.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn all_nodes_restart_one_by_one_and_no_client_notices() {
    let configuration =
        "in_sync_timeout: 500ms\nfeeder: {quarantine: 1s}\nprobe: {interval: 200ms, timeout: 500ms}\n".to_owned();
    let mut fleet = Fleet::start(&FleetOptions { configuration, ..FleetOptions::new() });
    let (client, admin) = (fleet.client(), fleet.admin());
    let settings = json!({"filterableAttributes": ["kind"]});
    client.write_well("PATCH", "/indexes/films/settings", Some(&settings));
    let fixed: Vec<_> =
        (0..FIXED).map(|id| json!({"id": id, "title": format!("film {id}"), "kind": "fixed"})).collect();
    client.write_well("POST", "/indexes/films/documents", Some(&json!(fixed)));

    let (is_over, searches) = (AtomicBool::new(false), AtomicU64::new(0));
    let added = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&client, &is_over));
        let searcher = scope.spawn(|| search_until(&client, &is_over, &searches));
        for node in &mut fleet.nodes {
            let can_stop = format!("/nodes/{}/can-stop", node.id);
            wait_for(&can_stop, LIMIT, || {
                let answer = admin.get(&can_stop).expect(200);
                if answer.json["ok"] == true { Ok(()) } else { Err(answer.text) }
            });
            let maintenance = format!("/nodes/{}/maintenance", node.id);
            let begun = admin.ask("PUT", &maintenance, Some(&json!({"on": true}))).expect(200);
            if begun.json["isRead"] != false {
                is_over.store(true, Ordering::Relaxed);
                panic!("it is not read any more: {}", begun.text);
            }
            node.kill();
            let before = searches.load(Ordering::Relaxed);
            wait_for("searches without the node", LIMIT, || {
                let after = searches.load(Ordering::Relaxed);
                if after > before + 5 || searcher.is_finished() { Ok(()) } else { Err(after.to_string()) }
            });
            node.start();
            node.client().wait_until_healthy(START_LIMIT);
            admin.ask("PUT", &maintenance, Some(&json!({"on": false}))).expect(200);
        }
        is_over.store(true, Ordering::Relaxed);
        searcher.join().expect("no search fails");
        writer.join().expect("no write fails")
    });
    assert!(added > 0 && searches.load(Ordering::Relaxed) > 15);
    let total = client.get("/indexes/films/documents?limit=1").json["total"].as_u64();
    assert_eq!(total, Some(FIXED + added));
    wait_for("all in sync", LIMIT, || {
        let status = admin.get("/status").expect(200);
        if status.json["nodes"]["outOfSync"] == 0 { Ok(()) } else { Err(status.text) }
    });
}
