//! Exports of a whole fleet to another server: what arrives there, and what becomes of one that does not.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fleet::{NODE_KEY, Node, START_LIMIT};
use crate::support::{Client, Fleet, FleetOptions, real_meilisearch, wait_for};

const SECRET: &str = "a-very-secret-key-of-ours";
const LIMIT: Duration = Duration::from_mins(2);
const CONFIGURATION: &str = "webhooks: {private_addresses: on}\n";

fn fleet() -> Fleet {
    let configuration = CONFIGURATION.to_owned();
    Fleet::start(&FleetOptions { configuration, meilisearch: real_meilisearch(), ..FleetOptions::new() })
}

/// A server that is no node of the fleet.
fn server(fleet: &Fleet) -> Node {
    let mut server = Node::new("destination", fleet.folder.path(), real_meilisearch());
    server.start();
    server.client().wait_until_healthy(START_LIMIT);
    server
}

fn enqueue(client: &Client, export: &Value) -> u64 {
    let accepted = client.post("/export", export).expect(200).json;
    assert_eq!((&accepted["type"], &accepted["indexUid"]), (&json!("export"), &Value::Null), "{accepted}");
    accepted["taskUid"].as_u64().expect("a number")
}

/// The task at its end.
fn export(client: &Client, export: &Value) -> Value {
    client.wait_for_task(enqueue(client, export))
}

/// Everything that was sent to it is done.
fn settle(server: &Client) {
    wait_for("the tasks of the destination", LIMIT, || {
        let left = server.get("/tasks?statuses=enqueued,processing&limit=1").expect(200).json;
        if left["total"] == 0 { Ok(()) } else { Err(left.to_string()) }
    });
}

/// All documents of an index, by their ids; without vectors where there are none.
fn documents(client: &Client, index: &str) -> BTreeMap<String, Value> {
    let answer = client.get(&format!("/indexes/{index}/documents?limit=10000&retrieveVectors=true")).expect(200);
    let mut found = answer.json["results"].as_array().expect("a list").clone();
    for document in found.iter_mut().filter_map(Value::as_object_mut) {
        document.retain(|name, value| name != "_vectors" || *value != json!({}));
    }
    found.into_iter().map(|document| (document["id"].to_string(), document)).collect()
}

fn shown(client: &Client, target: &str) -> Value {
    client.get(target).expect(200).json
}

fn primary_key(client: &Client, index: &str) -> Value {
    shown(client, &format!("/indexes/{index}"))["primaryKey"].clone()
}

/// The embedded node knows one source of vectors.
fn fill(client: &Client, is_real: bool) {
    let films: Value = (0..700)
        .map(|id| json!({"id": id, "title": format!("film {id}"), "year": 1900 + id % 120, "n": 0.1}))
        .collect();
    client.write_well("POST", "/indexes/films/documents", Some(&films));
    client.write_well("POST", "/indexes", Some(&json!({"uid": "empty"})));
    let settings =
        json!({"filterableAttributes": ["year"], "stopWords": ["the"], "rankingRules": ["words", "year:asc"]});
    client.write_well("PATCH", "/indexes/films/settings", Some(&settings));
    let asked = json!({
        "source": "rest", "url": "http://127.0.0.1:9/", "apiKey": SECRET, "dimensions": 2,
        "request": {"input": "{{text}}"}, "response": {"data": "{{embedding}}"},
    });
    let own = json!({"source": "userProvided", "dimensions": 2});
    let embedders = json!({"own": own, "asked": if is_real { &asked } else { &own }});
    client.write_well("PATCH", "/indexes/vectors/settings", Some(&json!({"embedders": embedders})));
    let vectors = json!([
        {"id": "a", "_vectors": {"own": [0.5, 0.25], "asked": {"embeddings": [[1.0, 2.0]], "regenerate": false}}},
        {"id": "b", "_vectors": {"own": [[0.5, 0.5], [0.25, 0.5]], "asked": null}},
        {"id": "c", "_vectors": {"own": null, "asked": null}},
    ]);
    client.write_well("POST", "/indexes/vectors/documents?primaryKey=id", Some(&vectors));
}

/// Goal: another server has after an export what the fleet has, as much of it as was asked for, and a real one exports the
/// same. Method: all indexes, then one pattern with a filter and small payloads, then the settings with and without override.
#[test]
fn another_server_gets_what_was_asked_for() {
    let fleet = fleet();
    let client = fleet.client();
    let destination = server(&fleet);
    let there = destination.client();
    fill(&client, destination.is_real());
    let to = |more: Value| {
        let mut body = json!({"url": destination.url(), "apiKey": NODE_KEY});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let task = export(&client, &to(json!({})));
    let indexes = |counts: [(&str, u64); 3]| -> Value {
        let details = |count| json!({"filter": null, "overrideSettings": false, "matched_documents": count});
        counts
            .into_iter()
            .map(|(uid, count)| (uid.to_owned(), details(count)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    assert_eq!(task["details"]["indexes"], indexes([("empty", 0), ("films", 700), ("vectors", 3)]), "{task}");
    assert!(!task.to_string().contains(NODE_KEY), "{task}");
    assert_eq!((&task["status"], &task["error"], &task["indexUid"]), (&json!("succeeded"), &Value::Null, &Value::Null));
    let batch = shown(&client, &format!("/batches/{}", task["batchUid"]));
    assert_eq!((&batch["details"], &batch["stats"]["types"]), (&task["details"], &json!({"export": 1})));
    settle(&there);
    for index in ["empty", "films", "vectors"] {
        assert_eq!(documents(&there, index), documents(&client, index), "{index}");
        assert_eq!(primary_key(&there, index), primary_key(&client, index), "{index}");
        let target = format!("/indexes/{index}/settings");
        assert_eq!(shown(&there, &target), shown(&client, &target), "{target}");
    }

    there.write_well("DELETE", "/indexes/films", None);
    let filter = json!(["year > 1910", ["year = 1911", "year = 1912"]]);
    let task = export(&client, &to(json!({"payloadSize": "1KiB", "indexes": {"fi*": {"filter": filter}}})));
    let details = json!({"films": {"filter": filter, "overrideSettings": false, "matched_documents": 12}});
    assert_eq!((&task["details"]["indexes"], &task["details"]["payloadSize"]), (&details, &json!("1 KiB")), "{task}");
    settle(&there);
    let mut expected = documents(&client, "films");
    expected.retain(|_, film| film["year"] == 1911 || film["year"] == 1912);
    assert_eq!(documents(&there, "films"), expected);

    let settings = "/indexes/films/settings";
    there.write_well("PATCH", settings, Some(&json!({"stopWords": ["a"]})));
    for (overrides, stop_words) in [(false, "a"), (true, "the")] {
        let films = json!({"films": {"overrideSettings": overrides}});
        assert_eq!(export(&client, &to(json!({"indexes": films})))["status"], "succeeded");
        settle(&there);
        assert_eq!(shown(&there, settings)["stopWords"], json!([stop_words]));
        assert_eq!(documents(&there, "films").len(), 700);
    }
    let task = export(&client, &to(json!({"indexes": {"nothing*": {}}})));
    assert_eq!((&task["status"], &task["details"]["indexes"]), (&json!("succeeded"), &json!({})));
    if destination.is_real() {
        compare(&client, &there);
    }
}

/// One server exports what it was sent, and both show the same, whatever comes of it.
fn compare(client: &Client, one_server: &Client) {
    let (refusing, at_once) = (answering(403, &refusal()), answering(403, "<html>no</html>"));
    let films = |filter: Value| json!({"films": {"filter": filter}});
    for body in [
        json!({"url": refusing, "apiKey": "0123456789"}),
        json!({"url": at_once, "payloadSize": 123_456_789, "indexes": films(Value::Null)}),
        json!({"url": refusing, "indexes": films(json!("title = x"))}),
        json!({"url": refusing, "indexes": films(json!("title ! x"))}),
        json!({"url": refusing, "indexes": films(json!(3))}),
        json!({"url": refusing, "indexes": {}}),
        json!({"url": answering(200, "{}"), "payloadSize": 1, "indexes": films(json!("year IN [1901, 1902]"))}),
    ] {
        let told = |client: &Client| {
            let mut task = export(client, &body);
            let batch = shown(client, &format!("/batches/{}", task["batchUid"]))["details"].clone();
            for name in ["uid", "batchUid", "duration", "enqueuedAt", "startedAt", "finishedAt"] {
                assert!(!task[name].is_null(), "{name} of {task}");
                task[name] = Value::Null;
            }
            (task, batch)
        };
        assert_eq!(told(client), told(one_server), "{body}");
    }
    for body in [json!({"url": 1}), json!({"indexes": {"a b": {}}}), json!({"payloadSize": "1 XB"}), json!([])] {
        let answer = |client: &Client| client.post("/export", &body).expect(400).json;
        assert_eq!(answer(client), answer(one_server), "{body}");
    }
}

fn refusal() -> String {
    json!({"message": "no", "code": "invalid_api_key", "type": "auth", "link": "https://a"}).to_string()
}

/// A server that always says the same. Ends with the test.
fn answering(status: u16, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut head = String::new();
            while stream.read_line(&mut head).is_ok_and(|length| length > 2) {}
            let length = head
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .map(|rest| rest.lines().next().unwrap_or_default().trim().parse::<u64>().expect("a number"));
            let _ = std::io::copy(&mut std::io::Read::take(&mut stream, length.unwrap_or(0)), &mut std::io::sink());
            let _ = stream.get_mut().write_all(answer.as_bytes());
        }
    });
    url
}

/// Goal: an export ends by itself or by a client's wish whatever its destination is, holds up nothing then, and is not lost
/// with Miroir. Method: destinations that refuse it, have no time, and are not there until later.
#[test]
fn an_export_fails_is_canceled_and_survives_a_crash() {
    let mut fleet = fleet();
    let client = fleet.client();
    client.write_well("POST", "/indexes/films/documents", Some(&json!([{"id": 1}, {"id": 2}])));
    let failed = export(&client, &json!({"url": answering(403, &refusal()), "apiKey": SECRET}));
    let message = "Failed to export documents to remote server invalid_api_key (auth): no <https://a>";
    assert_eq!((&failed["error"]["code"], &failed["error"]["message"]), (&json!("internal"), &json!(message)));
    assert_eq!(failed["details"]["indexes"], json!({"*": {"filter": null, "overrideSettings": false}}));
    assert_eq!(failed["details"]["apiKey"], "a-vXXXXX...");
    assert_eq!(export(&client, &json!({"url": "nonsense"}))["status"], "failed");

    let is_processing = |client: &Client, uid: u64| {
        wait_for("the export", LIMIT, || match shown(client, &format!("/tasks/{uid}")) {
            task if task["status"] == "processing" => Ok(()),
            task => Err(task.to_string()),
        });
    };
    let canceled = enqueue(&client, &json!({"url": answering(503, &refusal())}));
    is_processing(&client, canceled);
    // All writes wait for it.
    let behind = client.enqueue("POST", "/indexes/films/documents", &json!([{"id": 3}]));
    assert_eq!(shown(&client, &format!("/tasks/{behind}"))["status"], "enqueued");
    client.ask("POST", &format!("/tasks/cancel?uids={canceled}"), None).expect(200);
    assert_eq!(client.wait_for_task(canceled)["status"], "canceled");
    assert_eq!(client.wait_for_task(behind)["status"], "succeeded");

    let mut destination = Node::new("destination", fleet.folder.path(), real_meilisearch());
    let late = enqueue(&client, &json!({"url": destination.url(), "apiKey": NODE_KEY}));
    is_processing(&client, late);
    fleet.kill_miroir();
    fleet.start_miroir();
    let client = fleet.client();
    client.wait_until_healthy(START_LIMIT);
    destination.start();
    let task = client.wait_for_task(late);
    assert_eq!(task["details"]["indexes"]["films"]["matched_documents"], 3, "{task}");
    settle(&destination.client());
    assert_eq!(documents(&destination.client(), "films"), documents(&client, "films"));
    let log = fleet.miroir.as_ref().expect("it runs").output();
    assert!(!log.contains(SECRET) && !log.contains(NODE_KEY), "{log}");
}

/// Goal: who may export cannot make Miroir ask what only it can reach, unless an operator allows it.
#[test]
fn private_addresses_are_for_operators_to_allow() {
    let fleet = Fleet::start(&FleetOptions::new());
    let client = fleet.client();
    client.write_well("POST", "/indexes", Some(&json!({"uid": "films"})));
    let task = export(&client, &json!({"url": answering(200, "{}")}));
    let reason = task["error"]["message"].as_str().unwrap_or_default();
    assert!(task["status"] == "failed" && reason.contains("private_addresses"), "{task}");
}
