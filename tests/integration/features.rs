//! Experimental features belong to the fleet: switched on once, they are on everywhere, later too.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fleet::START_LIMIT;
use crate::support::{Fleet, FleetOptions, real_meilisearch, wait_for};

fn is_on(fleet: &Fleet, node: usize) -> bool {
    let shown = fleet.nodes[node].client().get("/experimental-features").expect(200).json;
    assert_eq!(shown["network"], json!(false), "no business of nodes: {shown}");
    shown["containsFilter"] == json!(true)
}

/// Goal: a feature reaches nodes that were away, outlives a restart of Miroir, and gates what it gates on one server.
#[test]
fn a_feature_is_on_in_the_whole_fleet_also_on_nodes_that_were_away() {
    let options = FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let mut fleet = Fleet::start(&options);
    let client = fleet.client();
    assert_eq!(client.get("/experimental-features").expect(200).json["containsFilter"], json!(false));
    let by_filter = json!({"filter": "title CONTAINS a"});
    client.write_well("POST", "/indexes", Some(&json!({"uid": "things", "primaryKey": "id"})));
    let refused = client.post("/indexes/things/documents/delete", &by_filter);
    assert_eq!((refused.status, refused.code()), (400, "feature_not_enabled"));
    assert_eq!(client.get("/metrics").code(), "feature_not_enabled");

    fleet.nodes[2].kill();
    let patch = json!({"containsFilter": true, "metrics": true, "network": true});
    let answer = client.ask("PATCH", "/experimental-features", Some(&patch)).expect(200);
    assert_eq!(answer.json["containsFilter"], json!(true));
    assert!(is_on(&fleet, 0) && is_on(&fleet, 1), "it is there when the answer is");
    client.post("/indexes/things/documents/delete", &by_filter).expect(202);
    let network = client.get("/network").expect(200);
    assert_eq!(network.json["remotes"], json!({}));
    let remotes = json!({"remotes": {"a": {"url": "http://a.example"}}});
    let refused = client.ask("PATCH", "/network", Some(&remotes));
    assert_eq!((refused.status, refused.code()), (501, "miroir_not_supported"));

    fleet.nodes[2].start();
    wait_for("the node that was away to have the feature", START_LIMIT, || {
        fleet.nodes[2].client().wait_until_healthy(START_LIMIT);
        is_on(&fleet, 2).then_some(()).ok_or_else(|| "not yet".to_owned())
    });
    fleet.kill_miroir();
    fleet.start_miroir();
    fleet.client().wait_until_healthy(START_LIMIT);
    assert_eq!(fleet.client().get("/experimental-features").expect(200).json["containsFilter"], json!(true));

    let metrics = wait_for("metrics of all nodes", Duration::from_mins(1), || {
        let text = fleet.client().get("/metrics").expect(200).text;
        let up = text.lines().filter(|line| line.starts_with("miroir_node_up{") && line.ends_with(" 1")).count();
        if up == 3 { Ok(text) } else { Err(text) }
    });
    assert!(metrics.contains("meilisearch_index_docs_count{index=\"things\"} 0"), "{metrics}");
    assert!(metrics.contains("meilisearch_nb_tasks{kind=\"statuses\",value=\"succeeded\"}"), "{metrics}");
}

/// Goal: what a browser asks before it searches from a page of another origin is answered, and errors carry it too.
#[test]
fn browsers_may_search_directly() {
    let fleet = Fleet::start(&FleetOptions { nodes: 1, replication_factor: 1, ..FleetOptions::new() });
    let ask = |method: &str, target: &str, headers: &[(&str, &str)]| {
        let mut request = http::Request::builder().method(method).uri(format!("{}{target}", fleet.port.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let config = ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true);
        config.build().new_agent().run(request.body(()).expect("a request")).expect("an answer")
    };
    let origin = ("origin", "http://page.example");
    let asks = ("access-control-request-method", "POST");
    let preflight =
        ask("OPTIONS", "/indexes/movies/search", &[origin, asks, ("access-control-request-headers", "x-a")]);
    let header = |name: &str| preflight.headers().get(name).and_then(|value| value.to_str().ok());
    assert_eq!((preflight.status().as_u16(), header("access-control-allow-origin")), (200, Some("*")));
    assert_eq!(
        (header("access-control-allow-headers"), header("access-control-max-age")),
        (Some("x-a"), Some("86400"))
    );
    for (target, status) in [("/health", 200), ("/indexes", 401), ("/nowhere", 404)] {
        let answer = ask("GET", target, &[origin]);
        let allowed = answer.headers().get("access-control-allow-origin").map(|value| value.as_bytes().to_vec());
        assert_eq!((answer.status().as_u16(), allowed.as_deref()), (status, Some(&b"*"[..])), "{target}");
    }
    let unknown: Value = fleet.client().ask("PATCH", "/experimental-features", Some(&json!({"metric": true}))).json;
    assert_eq!(unknown["code"], "bad_request");
}

/// Goal: what an unfinished task is about to add can be seen, as the client sent it; what has ended has nothing to show.
/// Method: with one replica a write waits for the node that is away.
#[test]
fn documents_of_an_unfinished_task_are_shown() {
    let options = FleetOptions {
        nodes: 2,
        replication_factor: 1,
        shards: 8,
        configuration: "feeder: {quarantine: 1s}\n".to_owned(),
        ..FleetOptions::new()
    };
    let mut fleet = Fleet::start(&options);
    let client = fleet.client();
    client.write_well("POST", "/indexes", Some(&json!({"uid": "things", "primaryKey": "id"})));
    fleet.nodes[0].kill();
    let documents: Vec<Value> = (0..20).map(|id| json!({"id": id, "name": format!("thing {id}")})).collect();
    let task = client.post("/indexes/things/documents", &json!(documents)).expect(202).json["taskUid"].clone();
    let target = format!("/tasks/{task}/documents");
    assert_eq!(client.get(&target).expect(400).json["code"], "feature_not_enabled");
    client.ask("PATCH", "/experimental-features", Some(&json!({"getTaskDocumentsRoute": true}))).expect(200);

    let answer = client.get(&target).expect(200);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let line = |line: &str| serde_json::from_str(line).expect("a document a line");
    let mut shown: Vec<Value> = answer.text.lines().map(line).collect();
    shown.sort_by_key(|document| document["id"].as_u64());
    assert_eq!(shown, documents);
    assert_eq!(client.get("/tasks/999/documents").expect(404).json["code"], "task_not_found");
    assert_eq!(client.get("/tasks/x/documents").expect(400).json["code"], "invalid_task_uids");

    fleet.nodes[0].start();
    client.wait_for_task(task.as_u64().expect("an integer"));
    assert_eq!(client.get(&target).expect(404).json["code"], "task_file_not_found");
}
