//! Which versions of Meilisearch can be nodes: a lower one is neither taken in nor used, a higher one is, several at once are
//! for the time of an upgrade, and all of it is said.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fleet::{ADMIN_KEY, MASTER_KEY, Node, START_LIMIT};
use crate::support::process::miroir_ctl;
use crate::support::{Client, Fleet, FleetOptions, wait_for};

const LIMIT: Duration = Duration::from_mins(1);

fn options() -> FleetOptions {
    let configuration =
        "in_sync_timeout: 500ms\nfeeder: {quarantine: 1s}\nprobe: {interval: 200ms, timeout: 500ms}\n".to_owned();
    FleetOptions { configuration, ..FleetOptions::new() }
}

/// What `miroir-ctl` says, and its exit code.
fn ctl(fleet: &Fleet, words: &[&str]) -> (Option<i32>, String) {
    let mut command = miroir_ctl();
    command.args(["--admin", &fleet.admin_port.url(), "--admin-key", ADMIN_KEY]).args(words);
    let output = command.output().expect("miroir-ctl runs");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn wait_for_status(fleet: &Fleet, line: &str) {
    wait_for(line, LIMIT, || {
        let (_, text) = ctl(fleet, &["status"]);
        if text.contains(line) { Ok(()) } else { Err(text) }
    });
}

/// With another version from now on.
fn restart(node: &mut Node, version: Option<&'static str>) {
    node.kill();
    node.version = version;
    node.start();
    node.client().wait_until_healthy(START_LIMIT);
}

fn new_node(fleet: &Fleet, version: &'static str) -> Node {
    let mut node = Node::new("node-new", fleet.folder.path(), None);
    node.version = Some(version);
    node.start();
    node.client().wait_until_healthy(START_LIMIT);
    node
}

fn put(client: &Client, ids: std::ops::Range<u64>) {
    let films: Value = ids.map(|id| json!({"id": id, "title": format!("film {id}")})).collect();
    client.write_well("POST", "/indexes/films/documents", Some(&films));
}

fn count(client: &Client) -> Option<u64> {
    let answer = client.post("/indexes/films/search", &json!({"q": "", "hitsPerPage": 1})).expect(200);
    assert_eq!(answer.header("x-miroir-degraded"), None);
    answer.json["totalHits"].as_u64()
}

#[test]
fn a_fleet_does_not_begin_with_a_node_that_is_too_old() {
    let mut fleet = Fleet::prepare(&options(), MASTER_KEY);
    fleet.nodes[1].version = Some("1.49.3");
    fleet.nodes.iter_mut().for_each(Node::start);
    fleet.nodes.iter().for_each(|node| node.client().wait_until_healthy(START_LIMIT));
    fleet.start_miroir();
    let process = fleet.miroir.as_mut().expect("just started");
    let (status, said) = (process.wait(LIMIT), process.output());
    assert_eq!(status.code(), Some(1), "{said}");
    for words in ["node-1", "is Meilisearch 1.49.3", "the least that can be a node is 1.50.0", "start it with"] {
        assert!(said.contains(words), "{words} in {said}");
    }
}

#[test]
fn who_joins_must_not_be_too_old_and_may_be_newer() {
    let fleet = Fleet::start(&options());
    wait_for_status(&fleet, "node versions       1.50.0\n");
    {
        let old = new_node(&fleet, "1.49.0");
        let (code, said) = ctl(&fleet, &["node", "add", "old", &old.port.url()]);
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains("is Meilisearch 1.49.0") && said.contains("1.50.0"), "{said}");
    }
    let new = new_node(&fleet, "1.51.0");
    let (code, said) = ctl(&fleet, &["node", "add", "new", &new.port.url()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("newer than the tested 1.50.0") && said.contains("a member is 1.50.0"), "{said}");
    wait_for_status(&fleet, "node versions       mixed: 1.50.0 (node-0, node-1, node-2), 1.51.0 (new; untested)\n");
}

#[test]
fn versions_may_be_mixed_while_nodes_are_upgraded_one_by_one() {
    let mut fleet = Fleet::start(&options());
    let client = fleet.client();
    put(&client, 0..50);
    for (done, place) in (0..3).enumerate() {
        restart(&mut fleet.nodes[place], Some("1.50.1"));
        let upgraded = |id: usize| if id <= done { "1.50.1" } else { "1.50.0" };
        wait_for("the new version", LIMIT, || {
            let status = fleet.admin().get("/status").expect(200);
            let seen = |id: usize| {
                let versions = status.json["nodeVersions"].as_array().into_iter().flatten();
                let mut of = versions.filter(|of| {
                    of["nodes"].as_array().is_some_and(|nodes| nodes.contains(&json!(format!("node-{id}"))))
                });
                of.next().is_some_and(|of| of["version"] == upgraded(id))
            };
            let is_calm = status.json["nodes"] == json!({"total": 3, "reachable": 3, "outOfSync": 0});
            if (0..3).all(seen) && is_calm { Ok(()) } else { Err(status.text) }
        });
        let from = 50 * (done as u64 + 1);
        put(&client, from..from + 50);
        assert_eq!(count(&client), Some(from + 50));
    }
    wait_for_status(&fleet, "node versions       1.50.1\n");
}

#[test]
fn a_member_that_comes_back_too_old_is_not_used_until_it_is_put_right() {
    let mut fleet = Fleet::start(&options());
    let client = fleet.client();
    put(&client, 0..50);
    restart(&mut fleet.nodes[1], Some("1.48.0"));
    wait_for_status(&fleet, "mixed: 1.48.0 (node-1; too old, not used), 1.50.0 (node-0, node-2)");
    let (_, said) = ctl(&fleet, &["nodes"]);
    assert!(
        said.contains("it is Meilisearch 1.48.0, too old for a node: stop it, and start it with 1.50.0 or later"),
        "{said}"
    );
    let before = fleet.nodes[1].client().get("/tasks?limit=1").expect(200).json["total"].clone();
    put(&client, 50..100);
    assert_eq!(count(&client), Some(100), "the others have all");
    assert_eq!(
        fleet.nodes[1].client().get("/tasks?limit=1").expect(200).json["total"],
        before,
        "nothing is sent there"
    );

    // Miroir starts without it, too.
    fleet.kill_miroir();
    fleet.start_miroir();
    client.wait_until_healthy(START_LIMIT);
    wait_for_status(&fleet, "1.48.0 (node-1; too old, not used)");
    assert_eq!(count(&client), Some(100));

    restart(&mut fleet.nodes[1], None);
    wait_for("all in sync", LIMIT, || {
        let status = fleet.admin().get("/status").expect(200);
        let expected = json!({"total": 3, "reachable": 3, "outOfSync": 0});
        if status.json["nodes"] == expected { Ok(()) } else { Err(status.text) }
    });
    wait_for_status(&fleet, "node versions       1.50.0\n");
}
