//! Errors over HTTP: status, `code`, `type` and `link` for everything that a client can get wrong. More of them, recorded on a
//! real server, are in the parity suite.

use serde_json::json;

use crate::support::{Client, Fleet, FleetOptions};

#[track_caller]
fn check(answer: &crate::support::Answer, status: u16, code: &str, kind: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text);
    assert_eq!(answer.json["type"], kind, "{}", answer.text);
    assert_eq!(answer.json["link"], format!("https://docs.meilisearch.com/errors#{code}"));
    assert!(answer.json["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", answer.text);
    assert!(answer.header("content-type").is_some_and(|value| value.starts_with("application/json")));
}

#[test]
fn every_mistake_of_a_client_gets_its_code() {
    let fleet = Fleet::start(&FleetOptions {
        nodes: 1,
        replication_factor: 1,
        shards: 4,
        configuration: "http: {max_body: 20KB}\n".to_owned(),
        ..FleetOptions::new()
    });
    let client = fleet.client();
    client.write_well("POST", "/indexes/films/documents", Some(&json!([{"id": 1, "title": "x"}])));
    let documents = "/indexes/films/documents";
    let json_type = Some("application/json");
    let send = |method: &str, target: &str, content_type: Option<&str>, body: &str| {
        client.send(method, target, content_type, body.as_bytes()).expect("the server answers")
    };
    let invalid = "invalid_request";
    check(&send("POST", documents, json_type, "[{"), 400, "malformed_payload", invalid);
    check(&send("POST", documents, json_type, ""), 400, "missing_payload", invalid);
    check(&send("POST", documents, Some("image/png"), "x"), 415, "invalid_content_type", invalid);
    check(&send("POST", documents, None, "[]"), 415, "missing_content_type", invalid);
    check(
        &send("POST", documents, json_type, &format!("[{{\"id\": 1, \"t\": \"{}\"}}]", "x".repeat(30_000))),
        413,
        "payload_too_large",
        invalid,
    );
    check(&client.get("/indexes/nowhere"), 404, "index_not_found", invalid);
    check(&client.get("/indexes/a%20b"), 400, "invalid_index_uid", invalid);
    check(&client.post("/indexes/nowhere/search", &json!({})), 404, "index_not_found", invalid);
    check(&client.post("/indexes/films/search", &json!({"q": 7})), 400, "invalid_search_q", invalid);
    check(&client.post("/indexes/films/search", &json!({"limit": -1})), 400, "invalid_search_limit", invalid);
    check(
        &client.post("/indexes/films/search", &json!({"filter": "title = x"})),
        400,
        "invalid_search_filter",
        invalid,
    );
    check(&client.get("/indexes/films/documents/404"), 404, "document_not_found", invalid);
    check(&client.get("/tasks/999"), 404, "task_not_found", invalid);
    check(&client.with_key(None).get("/indexes"), 401, "missing_authorization_header", "auth");
    check(&client.with_key(Some("wrong")).get("/indexes"), 403, "invalid_api_key", "auth");
    assert_eq!(client.get("/nowhere").status, 404);
    assert_eq!(client.ask("DELETE", "/health", None).status, 405);
    failed_tasks(&client);
    // Whatever was refused left no trace.
    assert_eq!(client.get("/indexes/films/stats").json["numberOfDocuments"], 1);
}

/// Mistakes inside documents fail the task, as on one server.
fn failed_tasks(client: &Client) {
    let cases = [
        (json!([{"title": "no id"}]), "missing_document_id"),
        (json!([{"id": "not an id"}]), "invalid_document_id"),
        (json!([{"id": 2}, {"id": 1.5}]), "invalid_document_id"),
    ];
    for (documents, code) in cases {
        let task = client.write("POST", "/indexes/films/documents", Some(&documents));
        assert_eq!((&task["status"], &task["error"]["code"]), (&json!("failed"), &json!(code)), "{task}");
        assert_eq!(task["details"]["indexedDocuments"], 0, "{task}");
    }
}
