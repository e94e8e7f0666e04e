//! Mistakes of operators: each is answered with a message that names the cause and the remedy, and a fitting exit code.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use miroir::telemetry::clock::timestamp;
use serde_json::{Value, json};

use crate::support::fleet::{MASTER_KEY, Node, START_LIMIT, node_index};
use crate::support::process::{miroir, miroir_ctl};
use crate::support::{Fleet, FleetOptions, wait_for};

/// How long a refusal may take.
const LIMIT: Duration = Duration::from_secs(30);

fn one_node() -> FleetOptions {
    FleetOptions { nodes: 1, replication_factor: 1, shards: 4, ..FleetOptions::new() }
}

/// Starts Miroir, waits until it has ended, and gives its exit code and what it said.
fn refusal(fleet: &mut Fleet) -> (Option<i32>, String) {
    fleet.start_miroir();
    let process = fleet.miroir.as_mut().expect("just started");
    let status = process.wait(LIMIT);
    (status.code(), process.output())
}

/// Waits until Miroir has said all of these on its log or as its last words.
fn says(fleet: &Fleet, words: &[&str]) {
    let process = fleet.miroir.as_ref().expect("Miroir was started");
    wait_for(&format!("{words:?}"), LIMIT, || {
        let output = process.output();
        if words.iter().all(|word| output.contains(word)) { Ok(()) } else { Err(output) }
    });
}

#[test]
fn all_mistakes_of_a_configuration_are_named_at_once() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let path = folder.path().join("miroir.yaml");
    std::fs::write(&path, "listen: somewhere\nshrads: 3\nnodes: [{id: a}]\n").expect("the folder is writable");
    for subcommand in ["check-config", "serve"] {
        let output = miroir().args([subcommand, "--config"]).arg(&path).output().expect("miroir runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        for word in ["listen:", "127.0.0.1:7700", "shrads: unknown key (did you mean `shards`?)", "nodes[0].url:"] {
            assert!(said.contains(word), "{word} is not in: {said}");
        }
    }
}

#[test]
fn a_start_that_waits_for_a_node_ends_when_asked() {
    let mut fleet = Fleet::prepare(&one_node(), MASTER_KEY);
    fleet.start_miroir();
    says(&fleet, &["waiting for it"]);
    let process = fleet.miroir.as_mut().expect("just started");
    process.signal(nix::sys::signal::Signal::SIGTERM);
    // Far less than the node is waited for.
    let status = process.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{}", process.output());
}

#[test]
fn a_port_in_use_is_named() {
    let mut fleet = Fleet::prepare(&one_node(), MASTER_KEY);
    let _taken = TcpListener::bind(fleet.port.address()).expect("the port is reserved for this test");
    let (code, said) = refusal(&mut fleet);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&fleet.port.address().to_string()) && said.contains("in use"), "{said}");
}

#[test]
fn a_second_start_on_one_data_directory_is_refused() {
    let fleet = Fleet::start(&one_node());
    let mut second = Fleet::prepare(&one_node(), MASTER_KEY);
    let data_dir = fleet.folder.path().join("miroir");
    let yaml = std::fs::read_to_string(second.config_path()).expect("it was written");
    let own = second.folder.path().join("miroir").display().to_string();
    let yaml = yaml.replace(&own, &data_dir.display().to_string());
    std::fs::write(second.config_path(), yaml).expect("the folder is writable");
    let (code, said) = refusal(&mut second);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("data_dir") && said.contains(&data_dir.display().to_string()), "{said}");
}

#[test]
fn a_data_dir_that_cannot_be_written_is_named() {
    let mut fleet = Fleet::prepare(&one_node(), MASTER_KEY);
    // A file in its place stops even a privileged user; permissions alone would not.
    let data_dir = fleet.folder.path().join("miroir");
    std::fs::write(&data_dir, "in the way").expect("the folder is writable");
    std::fs::set_permissions(&data_dir, std::fs::Permissions::from_mode(0o400)).expect("it is ours");
    let (code, said) = refusal(&mut fleet);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("data_dir") && said.contains(&data_dir.display().to_string()), "{said}");
}

#[test]
fn a_node_that_cannot_be_reached_is_named_and_used_when_it_comes() {
    let mut fleet = Fleet::prepare(&one_node(), MASTER_KEY);
    fleet.start_miroir();
    says(&fleet, &["node-0", &fleet.nodes[0].port.url()]);
    fleet.nodes[0].start();
    fleet.client().wait_until_healthy(START_LIMIT);
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!([{"id": 1}])));
}

#[test]
fn a_wrong_node_key_is_named() {
    let mut fleet = Fleet::prepare(&one_node(), MASTER_KEY);
    let yaml = std::fs::read_to_string(fleet.config_path()).expect("it was written");
    let yaml = yaml.replace("node_master_key: ", "node_master_key: not-");
    std::fs::write(fleet.config_path(), yaml).expect("the folder is writable");
    fleet.nodes.iter_mut().for_each(Node::start);
    fleet.nodes[0].client().wait_until_healthy(START_LIMIT);
    fleet.start_miroir();
    says(&fleet, &["node-0", "node_master_key"]);
}

#[test]
fn a_node_with_foreign_data_is_refused_and_left_alone() {
    let mut fleet = Fleet::prepare(&one_node(), MASTER_KEY);
    fleet.nodes[0].start();
    let node = fleet.nodes[0].client();
    node.wait_until_healthy(START_LIMIT);
    node.write_well("POST", "/indexes/precious/documents", Some(&json!([{"id": 1, "title": "not ours"}])));
    fleet.start_miroir();
    says(&fleet, &["node-0", "precious"]);
    assert_eq!(node.get("/indexes/precious/documents/1").expect(200).json["title"], "not ours");
}

#[test]
fn miroir_ctl_says_what_to_check() {
    let fleet = Fleet::start(&one_node());
    let run = |admin: &str, key: &str, words: &[&str]| {
        let mut command = miroir_ctl();
        let output =
            command.args(["--admin", admin, "--admin-key", key]).args(words).output().expect("miroir-ctl runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (url, key) = (fleet.admin_port.url(), crate::support::fleet::ADMIN_KEY);
    for command in ["status", "nodes", "shards", "tasks"] {
        let (code, table, said) = run(&url, key, &[command]);
        assert_eq!((code, said.as_str()), (Some(0), ""), "{command}: {table}");
        let (code, json, _) = run(&url, key, &["--json", command]);
        assert_eq!(code, Some(0));
        assert!(serde_json::from_str::<Value>(&json).is_ok_and(|json| json.is_object()), "{json}");
    }
    let (code, table, said) = run(&url, key, &["node", "can-stop", "node-0"]);
    assert_eq!((code, said.as_str()), (Some(3), ""), "{table}");
    assert!(table.starts_with("no: without node-0"), "{table}");
    let (code, _, said) = run(&url, key, &["node", "can-stop", "other"]);
    assert!(code == Some(4) && said.contains("Its members are: node-0."), "{code:?} {said}");
    let (code, table, _) = run(&url, key, &["rebalance", "status"]);
    assert!(code == Some(0) && table.starts_with("state               idle\n"), "{code:?} {table}");
    let (code, _, said) = run(&url, "wrong", &["status"]);
    assert!(code == Some(4) && said.contains("--admin-key"), "{code:?} {said}");
    let nobody = crate::support::Port::reserve();
    let (code, _, said) = run(&nobody.url(), key, &["status"]);
    assert!(code == Some(5) && said.contains("does not answer"), "{code:?} {said}");
}

#[test]
fn a_document_is_explained_by_the_replicas_that_have_it() {
    let fleet = Fleet::start(&FleetOptions { nodes: 2, replication_factor: 2, shards: 4, ..FleetOptions::new() });
    let client = fleet.client();
    let documents = json!([{"id": "a-1", "title": "one"}]);
    client.write_well("POST", "/indexes/films/documents", Some(&documents));
    let explain = |id: &str| {
        let output = miroir_ctl()
            .args(["--admin", &fleet.admin_port.url(), "--admin-key", crate::support::fleet::ADMIN_KEY, "--json"])
            .args(["explain", "document", "films", id])
            .output()
            .expect("miroir-ctl runs");
        serde_json::from_slice::<Value>(&output.stdout).expect("an answer in JSON")
    };
    let there = explain("a-1");
    let replicas = there["replicas"].as_array().expect("a list");
    assert_eq!(replicas.len(), 2);
    for replica in replicas {
        assert_eq!((&replica["found"], &replica["inSync"], &replica["lag"]), (&json!(true), &json!(true), &json!(0)));
        assert_eq!(replica["contentHash"], replicas[0]["contentHash"]);
    }
    let output = miroir_ctl()
        .args(["--admin", &fleet.admin_port.url(), "--admin-key", crate::support::fleet::ADMIN_KEY, "--json"])
        .args(["rebalance", "plan", "--add", "new"])
        .output()
        .expect("miroir-ctl runs");
    let plan: Value = serde_json::from_slice(&output.stdout).expect("an answer in JSON");
    // Of 8 replicas a third, and one document spread over 4 shards counts as one for each.
    assert!(plan["replicasToCome"].as_u64().is_some_and(|count| (2..=3).contains(&count)), "{plan}");
    assert_eq!(plan["documents"], plan["replicasToCome"]);
    let missing = explain("a-2");
    assert_eq!(
        (&missing["replicas"][0]["found"], &missing["replicas"][0]["contentHash"]),
        (&json!(false), &json!(null))
    );
}

#[test]
fn a_node_joins_gets_the_indexes_and_leaves() {
    let mut fleet = Fleet::start(&one_node());
    let restart = |fleet: &mut Fleet| {
        fleet.kill_miroir();
        fleet.start_miroir();
        fleet.client().wait_until_healthy(START_LIMIT);
    };
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!([{"id": 1}])));
    let mut new = Node::new("new", fleet.folder.path(), None);
    let body = |dry_run: bool| json!({"id": "new", "url": new.port.url(), "dryRun": dry_run});
    let refused = fleet.admin().post("/nodes", &body(false));
    assert_eq!((refused.status, refused.code()), (409, "miroir_node_unusable"), "{}", refused.text);
    let (trial, real) = (body(true), body(false));
    new.start();
    new.client().wait_until_healthy(START_LIMIT);
    fleet.admin().post("/nodes", &trial).expect(200);
    assert_eq!(
        fleet.admin().get("/nodes").json["results"].as_array().map(Vec::len),
        Some(1),
        "a trial changes nothing"
    );
    fleet.admin().post("/nodes", &real).expect(200);
    assert_eq!(fleet.admin().post("/nodes", &real).code(), "miroir_node_exists");
    wait_for("the new node has the index", LIMIT, || {
        node_index(&new.client(), "films").ok_or_else(|| "it is not there".to_owned())
    });
    restart(&mut fleet);
    says(&fleet, &["node new at", "is a member but not configured"]);
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!([{"id": 2}])));
    for query in ["", "?dryRun=true"] {
        let refused = fleet.admin().ask("DELETE", &format!("/nodes/node-0{query}"), None);
        assert_eq!(refused.code(), "miroir_node_not_empty");
    }
    fleet.admin().ask("DELETE", "/nodes/new?dryRun=true", None).expect(200);
    let trial = fleet.admin().post("/nodes/node-0/compact", &json!({"dryRun": true})).expect(200).json;
    assert_eq!((&trial["indexes"], &trial["dryRun"]), (&json!(1), &json!(true)));
    fleet.admin().ask("DELETE", "/nodes/new", None).expect(200);
    let nodes = fleet.admin().get("/nodes").json;
    assert_eq!(nodes["results"].as_array().map(Vec::len), Some(1), "{nodes}");
    restart(&mut fleet);
    assert_eq!(fleet.admin().get("/nodes").json, nodes);
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!([{"id": 3}])));
}

/// Asks Miroir as an operator until nothing moves any more.
fn wait_until_idle(fleet: &Fleet) -> Value {
    let mut last = json!(null);
    wait_for("the rebalance", LIMIT, || {
        last = fleet.admin().get("/rebalance").expect(200).json;
        if last["state"] == "idle" { Ok(()) } else { Err(last.to_string()) }
    });
    last
}

/// Shards that each node owns, by the answer of `GET /rebalance`.
fn loads(status: &Value) -> Vec<(String, u64)> {
    let nodes = status["nodes"].as_array().expect("a list");
    let load = |node: &Value| {
        let shards = node["shards"].as_u64().expect("a number");
        (node["node"].as_str().expect("a name").to_owned(), shards)
    };
    nodes.iter().map(load).collect()
}

#[test]
fn shards_follow_what_operators_start_and_all_documents_stay() {
    let mut fleet = Fleet::start(&FleetOptions { nodes: 2, replication_factor: 1, shards: 8, ..FleetOptions::new() });
    let documents: Vec<_> = (0..200).map(|id| json!({"id": id, "title": format!("film {id}")})).collect();
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!(documents)));
    let count = |fleet: &Fleet| fleet.client().get("/indexes/films/documents?limit=1").json["total"].as_u64();
    let load = |name: &str, shards: u64| (name.to_owned(), shards);

    // A third node: it owns nothing before a start, and its share after it.
    let mut new = Node::new("new", fleet.folder.path(), None);
    new.start();
    new.client().wait_until_healthy(START_LIMIT);
    fleet.admin().post("/nodes", &json!({"id": "new", "url": new.port.url()})).expect(200);
    let trial = fleet.admin().post("/rebalance/start", &json!({"dryRun": true})).expect(200).json;
    assert!(trial["replicasToCome"].as_u64().is_some_and(|count| (2..=3).contains(&count)), "{trial}");
    assert_eq!(loads(&wait_until_idle(&fleet)), [load("node-0", 4), load("node-1", 4), load("new", 0)]);
    let started = fleet.admin().post("/rebalance/start", &json!({})).expect(200).json;
    assert_eq!(started["steps"], trial["steps"]);
    let spread = loads(&wait_until_idle(&fleet));
    assert!(spread.iter().all(|(_, shards)| (2..=3).contains(shards)), "{spread:?}");
    assert_eq!(count(&fleet), Some(200));

    // More replicas, as many as there are nodes.
    let refused = fleet.admin().ask("PUT", "/replication-factor", Some(&json!({"value": 4})));
    assert_eq!((refused.status, refused.code()), (409, "miroir_plan_impossible"), "{}", refused.text);
    fleet.admin().ask("PUT", "/replication-factor", Some(&json!({"value": 2}))).expect(200);
    let doubled = wait_until_idle(&fleet);
    assert_eq!(loads(&doubled).iter().map(|(_, shards)| shards).sum::<u64>(), 16);
    assert_eq!(doubled["replicationFactor"], 2);

    // A drained node can go, and is not needed any more.
    let output = miroir_ctl()
        .args(["--admin", &fleet.admin_port.url(), "--admin-key", crate::support::fleet::ADMIN_KEY])
        .args(["node", "drain", "node-0"])
        .output()
        .expect("miroir-ctl runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("started: "), "{said}");
    let output = miroir_ctl()
        .args(["--admin", &fleet.admin_port.url(), "--admin-key", crate::support::fleet::ADMIN_KEY])
        .args(["rebalance", "status", "--follow"])
        .output()
        .expect("miroir-ctl runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.ends_with("all shards are where they are to be\n"), "{said}");
    assert_eq!(loads(&wait_until_idle(&fleet)), [load("node-0", 0), load("node-1", 8), load("new", 8)]);
    fleet.admin().ask("DELETE", "/nodes/node-0", None).expect(200);
    fleet.nodes[0].kill();
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!([{"id": "one-more"}])));
    assert_eq!(count(&fleet), Some(201));
}

#[test]
fn a_paused_rebalance_stands_still_and_an_aborted_one_is_taken_back() {
    let fleet = Fleet::start(&FleetOptions { nodes: 3, replication_factor: 2, shards: 8, ..FleetOptions::new() });
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!([{"id": 1}, {"id": 2}])));
    let before = loads(&wait_until_idle(&fleet));
    let paused = fleet.admin().post("/rebalance/pause", &json!({})).expect(200).json;
    assert_eq!(paused, json!({"paused": true, "left": 0, "dryRun": false}));
    let drain = fleet.admin().post("/nodes/node-2/drain", &json!({})).expect(200).json;
    assert!(drain["warnings"].to_string().contains("paused"), "{drain}");
    let status = fleet.admin().get("/rebalance").json;
    assert_eq!(
        (&status["state"], &status["jobs"], &status["progress"]["done"]),
        (&json!("paused"), &json!([]), &json!(0))
    );
    assert_eq!(status["nodes"][2]["state"], "draining");
    fleet.admin().post("/rebalance/abort", &json!({})).expect(200);
    fleet.admin().post("/rebalance/resume", &json!({})).expect(200);
    assert_eq!(loads(&wait_until_idle(&fleet)), before);
    fleet.admin().post("/rebalance/start", &json!({})).expect(200);
    assert_eq!(loads(&wait_until_idle(&fleet))[2].1, 0, "it is still to be drained");
}

/// A fleet whose nodes are soon held for lost, with a hundred documents.
fn impatient(repair_delay: &str) -> Fleet {
    let configuration = format!(
        "repair_delay: {repair_delay}\nin_sync_timeout: 500ms\nfeeder: {{quarantine: 1s}}\nprobe: {{interval: 200ms, timeout: 500ms}}\n"
    );
    let fleet = Fleet::start(&FleetOptions { shards: 8, configuration, ..FleetOptions::new() });
    let documents: Vec<_> = (0..100).map(|id| json!({"id": id, "title": format!("film {id}")})).collect();
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!(documents)));
    fleet
}

fn count(fleet: &Fleet) -> Option<u64> {
    fleet.client().get("/indexes/films/documents?limit=1").json["total"].as_u64()
}

/// A node that runs and is no member.
fn new_node(fleet: &Fleet, id: &str) -> Node {
    let mut new = Node::new(id, fleet.folder.path(), None);
    new.start();
    new.client().wait_until_healthy(START_LIMIT);
    new
}

#[test]
fn a_new_node_takes_the_place_of_another_and_a_killed_one_is_given_up() {
    let mut fleet = impatient("10m");
    let before = loads(&wait_until_idle(&fleet));
    let new = new_node(&fleet, "new");
    let body = |dry_run: bool| json!({"id": "new", "url": new.port.url(), "dryRun": dry_run});
    let trial = fleet.admin().post("/nodes/node-1/replace", &body(true)).expect(200).json;
    assert_eq!(trial["replicasToCome"], before[1].1, "{trial}");
    fleet.admin().post("/nodes/node-1/replace", &body(false)).expect(200);
    let after = loads(&wait_until_idle(&fleet));
    let shards = |loads: &[(String, u64)]| loads.iter().map(|(_, shards)| *shards).collect::<Vec<u64>>();
    assert_eq!(shards(&after), [before[0].1, 0, before[2].1, before[1].1], "others keep what they have");
    fleet.admin().ask("DELETE", "/nodes/node-1", None).expect(200);

    // Of three nodes one dies for good: the two that are left take all.
    fleet.nodes[0].kill();
    let trial = fleet.admin().ask("DELETE", "/nodes/node-0?force=true&dryRun=true", None).expect(200).json;
    assert_eq!(trial["replicasToCome"], before[0].1, "{trial}");
    fleet.admin().ask("DELETE", "/nodes/node-0?force=true", None).expect(200);
    assert_eq!(shards(&loads(&wait_until_idle(&fleet))), [8, 8]);
    assert_eq!(count(&fleet), Some(100));
    // Then one of these: the last one has all, and fewer replicas than are wanted.
    let removed = fleet.admin().ask("DELETE", "/nodes/new?force=true", None).expect(200).json;
    assert!(removed["warnings"].to_string().contains("replicas of each shard: 1"), "{removed}");
    let status = wait_until_idle(&fleet);
    assert_eq!((shards(&loads(&status)), &status["replicationFactor"]), (vec![8], &json!(2)));
    let refused = fleet.admin().ask("DELETE", "/nodes/node-2?force=true", None);
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(count(&fleet), Some(100));
    // Another one, and there are two replicas again.
    let more = new_node(&fleet, "more");
    fleet.admin().post("/nodes", &json!({"id": "more", "url": more.port.url()})).expect(200);
    fleet.admin().post("/rebalance/start", &json!({})).expect(200);
    assert_eq!(shards(&loads(&wait_until_idle(&fleet))), [8, 8]);
}

#[test]
fn a_node_that_alone_has_documents_is_not_given_up() {
    let fleet = Fleet::start(&FleetOptions { nodes: 2, replication_factor: 1, shards: 4, ..FleetOptions::new() });
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!([{"id": 1}])));
    let refused = fleet.admin().ask("DELETE", "/nodes/node-0?force=true", None);
    assert_eq!((refused.status, refused.code()), (409, "miroir_node_needed"), "{}", refused.text);
    let refused = fleet.admin().ask("PUT", "/nodes/node-0/maintenance", Some(&json!({"on": true})));
    assert_eq!((refused.status, refused.code()), (409, "miroir_node_needed"), "{}", refused.text);
    fleet.admin().ask("PUT", "/nodes/node-0/maintenance", Some(&json!({"on": true, "force": true}))).expect(200);
    fleet.admin().ask("PUT", "/nodes/node-0/maintenance", Some(&json!({"on": false}))).expect(200);
    fleet.admin().post("/nodes/node-0/drain", &json!({})).expect(200);
    let refused = fleet.admin().ask("PUT", "/nodes/node-0/maintenance", Some(&json!({"on": true})));
    assert_eq!((refused.status, refused.code()), (409, "miroir_node_draining"), "{}", refused.text);
    wait_until_idle(&fleet);
    fleet.admin().ask("DELETE", "/nodes/node-0/drain", None).expect(200);
    let status = wait_until_idle(&fleet);
    assert!(loads(&status).iter().all(|(_, shards)| (1..=3).contains(shards)), "it stays after all: {status}");
    assert_eq!(status["nodes"][0]["state"], "active");
}

#[test]
fn what_a_node_had_that_stays_away_is_copied_elsewhere_until_it_returns() {
    let mut fleet = impatient("2s");
    let before = loads(&wait_until_idle(&fleet));
    fleet.nodes[1].kill();
    says(&fleet, &["the node stays away; its shards are copied to others"]);
    let status = wait_for("the moves", LIMIT, || {
        let status = fleet.admin().get("/rebalance").expect(200).json;
        let has_moved = status["nodes"][1]["shards"] == 0 && status["state"] == "idle";
        if has_moved { Ok(status) } else { Err(status.to_string()) }
    });
    // What it still has of them is deleted when it returns; nobody waits for that.
    assert_eq!((&status["owed"][0]["node"], &status["absent"]), (&json!("node-1"), &json!([])));
    let lost = before.iter().find(|(node, _)| node == "node-1").map(|(_, shards)| *shards);
    assert_eq!(status["owed"][0]["shards"].as_array().map(|shards| shards.len() as u64), lost, "{status}");
    let shards: Vec<u64> = loads(&status).iter().map(|(_, shards)| *shards).collect();
    assert_eq!((shards, &status["nodes"][1]["state"]), (vec![8, 0, 8], &json!("active")), "was {before:?}");
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!([{"id": "while-away"}])));
    fleet.nodes[1].start();
    says(&fleet, &["the node is back, and planned with again"]);
    let status = wait_until_idle(&fleet);
    assert_eq!(status["owed"], json!([]));
    assert!(loads(&status).iter().all(|(_, shards)| (4..=7).contains(shards)), "{status}");
    assert_eq!(count(&fleet), Some(101));
}

#[test]
fn a_node_that_stays_away_where_no_other_can_take_its_shards_keeps_them() {
    let configuration = "repair_delay: 1s\n".to_owned();
    let mut fleet = Fleet::start(&FleetOptions { nodes: 2, shards: 4, configuration, ..FleetOptions::new() });
    fleet.nodes[1].kill();
    says(&fleet, &["too few are left to copy its shards to"]);
    let shards: Vec<u64> = loads(&wait_until_idle(&fleet)).iter().map(|(_, shards)| *shards).collect();
    assert_eq!(shards, [4, 4]);
    // Another one can: nobody has to start anything.
    let more = new_node(&fleet, "more");
    fleet.admin().post("/nodes", &json!({"id": "more", "url": more.port.url()})).expect(200);
    says(&fleet, &["the node stays away; its shards are copied to others"]);
    wait_for("the moves", LIMIT, || {
        let status = wait_until_idle(&fleet);
        let shards: Vec<u64> = loads(&status).iter().map(|(_, shards)| *shards).collect();
        if shards == [4, 0, 4] { Ok(()) } else { Err(status.to_string()) }
    });
}

/// Hours of the day that are not now, and do not come soon.
fn other_hours() -> Value {
    const HOUR: i64 = 3_600 * 1_000_000;
    let hour = timestamp().0.div_euclid(HOUR).rem_euclid(24);
    json!({"from": (hour + 2) % 24, "to": (hour + 3) % 24})
}

/// Copies that are to come to a node, or are on their way.
fn coming(status: &Value, node: &str) -> usize {
    let is_coming = |job: &&Value| job["to"] == node && (job["step"] == "announce" || job["step"] == "copy");
    status["jobs"].as_array().expect("a list").iter().filter(is_coming).count()
}

/// Time goes by, in which the documents of all shards could be copied many times.
fn write_for_a_while(fleet: &Fleet) {
    for id in 0..20 {
        fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!([{"id": id, "title": "again"}])));
    }
}

#[test]
fn limits_are_checked_and_shown() {
    let fleet = Fleet::start(&one_node());
    let patch = |body: &Value| fleet.admin().ask("PATCH", "/rebalance/limits", Some(body));
    let all = json!({
        "movesPerNode": 32, "shardsPerCopy": 16, "bytesPerSecond": null, "busyPercent": 25, "hours": null, "compact": true,
    });
    assert_eq!(patch(&json!({})).expect(200).json, all);
    for wrong in [json!({"busyPercent": 0}), json!({"hours": {"from": 24, "to": 1}}), json!({"movesPerNode": 0})] {
        assert_eq!(patch(&wrong).code(), "bad_request", "{wrong}");
    }
    assert_eq!(patch(&json!({"bytes": 1})).status, 400);
    assert_eq!(fleet.admin().get("/rebalance").expect(200).json["limits"], all);
}

/// Goal: limits do what they say, as soon as they are set and in later lives too. Method: a drain under one limit after the
/// other, each so tight that it stands still by it for certain; writes go on meanwhile.
#[test]
fn limits_hold_at_once_and_after_a_restart() {
    /// Each may begin with a copy before the other has counted its own.
    const MOVERS: u64 = 2;
    const TARGETS: [&str; 2] = ["node-0", "node-1"];
    let mut fleet = impatient("10m");
    let patch =
        |fleet: &Fleet, body: Value| fleet.admin().ask("PATCH", "/rebalance/limits", Some(&body)).expect(200).json;
    let status = |fleet: &Fleet| fleet.admin().get("/rebalance").expect(200).json;
    let left = |fleet: &Fleet| status(fleet)["replicasToCome"].as_u64().expect("a number");
    patch(&fleet, json!({"hours": other_hours(), "movesPerNode": 1, "shardsPerCopy": 1, "busyPercent": 100}));
    fleet.admin().post("/nodes/node-2/drain", &json!({})).expect(200);
    let all = left(&fleet);
    assert!(all > 2 * MOVERS, "too few to see an effect: {all}");
    for count in [1, 2] {
        patch(&fleet, json!({"movesPerNode": count}));
        wait_for("as many moves as may be", LIMIT, || {
            let status = status(&fleet);
            let counts = TARGETS.map(|node| coming(&status, node));
            assert!(counts.iter().all(|coming| *coming <= count), "{status}");
            if counts == [count; 2] { Ok(()) } else { Err(status.to_string()) }
        });
    }
    write_for_a_while(&fleet);
    let resting = status(&fleet);
    assert_eq!(
        (left(&fleet), TARGETS.map(|node| coming(&resting, node))),
        (all, [2; 2]),
        "not at this hour: {resting}"
    );

    // A byte a second: the first copy goes into debt for hours, and what follows waits.
    patch(&fleet, json!({"hours": null, "bytesPerSecond": 1}));
    wait_for("the first copy", LIMIT, || if left(&fleet) < all { Ok(()) } else { Err(status(&fleet).to_string()) });
    write_for_a_while(&fleet);
    let in_debt = left(&fleet);
    assert!(in_debt + MOVERS >= all, "{in_debt} of {all} left");
    fleet.kill_miroir();
    fleet.start_miroir();
    fleet.client().wait_until_healthy(START_LIMIT);
    let limits = json!({
        "movesPerNode": 2, "shardsPerCopy": 1, "bytesPerSecond": 1, "busyPercent": 100, "hours": null, "compact": true,
    });
    assert_eq!(status(&fleet)["limits"], limits);
    // Debts are forgotten, but not what makes them.
    write_for_a_while(&fleet);
    assert!(left(&fleet) + MOVERS >= in_debt, "{} of {in_debt} left", left(&fleet));
    patch(&fleet, json!({"bytesPerSecond": null}));
    assert_eq!(loads(&wait_until_idle(&fleet))[2], ("node-2".to_owned(), 0));
}
