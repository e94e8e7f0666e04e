//! Routes, keys, errors, indexes, tasks.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use crate::devnode::StartError;

#[test]
fn health_is_open_and_all_else_asks_for_the_key() {
    let node = Fixture::new();
    let url = node.server().url();
    let ask = |path: &str, header: Option<&str>| {
        let mut request = http::Request::builder().uri(format!("{url}{path}"));
        if let Some(header) = header {
            request = request.header("Authorization", header);
        }
        let mut response = node.agent.run(request.body(()).unwrap()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str::<Value>(&text).unwrap())
    };
    assert_eq!(ask("/health", None), (200, json!({ "status": "available" })));
    let (status, body) = ask("/indexes", None);
    assert_eq!((status, code(&body)), (401, "missing_authorization_header"));
    let (status, body) = ask("/indexes", Some("Basic x"));
    assert_eq!((status, code(&body)), (401, "missing_authorization_header"));
    let (status, body) = ask("/indexes", Some("Bearer wrong"));
    assert_eq!((status, code(&body)), (403, "invalid_api_key"));
    assert_eq!(node.get("/version").1["pkgVersion"], "1.50.0");
}

#[test]
fn unknown_routes_are_404_and_wrong_methods_405_without_a_body() {
    let node = Fixture::new();
    assert_eq!(node.get("/nope"), (404, Value::Null));
    assert_eq!(node.get("/indexes/a/settings/nope"), (404, Value::Null));
    assert_eq!(node.request("PATCH", "/indexes", "", b""), (405, Value::Null));
    assert_eq!(node.request("POST", "/health", "", b""), (405, Value::Null));
    let (status, body) = node.send("POST", "/swap-indexes", &json!([]));
    assert_eq!((status, code(&body)), (501, "miroir_not_supported"));
}

#[test]
fn bodies_are_refused_as_meilisearch_refuses_them() {
    let node = Fixture::new();
    let json = "application/json";
    let table: &[(&str, &str, &str, &str, u16, &str)] = &[
        ("POST", "/indexes", "", "{}", 415, "missing_content_type"),
        ("POST", "/indexes", "text/plain", "{}", 415, "invalid_content_type"),
        ("POST", "/indexes", json, "", 400, "missing_payload"),
        ("POST", "/indexes", json, "{\"uid\":", 400, "malformed_payload"),
        ("POST", "/indexes", json, "[]", 400, "bad_request"),
        ("POST", "/indexes", json, "{}", 400, "missing_index_uid"),
        ("POST", "/indexes", json, "{\"uid\":5}", 400, "invalid_index_uid"),
        ("POST", "/indexes", json, "{\"uid\":\"a b\"}", 400, "invalid_index_uid"),
        ("POST", "/indexes", json, "{\"uid\":\"a\",\"x\":1}", 400, "bad_request"),
        ("GET", "/indexes?limit=a", "", "", 400, "invalid_index_limit"),
        ("GET", "/indexes?foo=1", "", "", 400, "bad_request"),
        ("GET", "/indexes/none", "", "", 404, "index_not_found"),
        ("GET", "/indexes/a%20b", "", "", 400, "invalid_index_uid"),
        ("GET", "/indexes/none/documents", "", "", 404, "index_not_found"),
        ("GET", "/indexes/none/documents/1", "", "", 404, "index_not_found"),
        ("POST", "/indexes/a/documents", "", "{}", 415, "missing_content_type"),
        ("POST", "/indexes/a/documents", "text/html", "{}", 415, "invalid_content_type"),
        ("POST", "/indexes/a/documents", json, "", 400, "missing_payload"),
        ("POST", "/indexes/a/documents", json, "5", 400, "malformed_payload"),
        ("POST", "/indexes/a/documents", json, "[{\"id\":1},5]", 500, "internal"),
        ("POST", "/indexes/a/documents", "application/x-ndjson", "{\"id\":1}\n{\"id\":", 400, "malformed_payload"),
        ("POST", "/indexes/a/documents?csvDelimiter=;", json, "{}", 415, "invalid_content_type"),
        ("POST", "/indexes/a/documents?csvDelimiter=ab", "text/csv", "id", 400, "invalid_document_csv_delimiter"),
        ("POST", "/indexes/a/documents?foo=1", json, "{}", 400, "bad_request"),
        ("POST", "/indexes/a/documents/delete-batch", json, "{}", 400, "bad_request"),
        ("POST", "/indexes/a/documents/delete", json, "{}", 400, "missing_document_filter"),
        ("POST", "/indexes/a/documents/delete", json, "{\"filter\":\"\"}", 400, "invalid_document_filter"),
        ("GET", "/tasks?uids=1,a", "", "", 400, "invalid_task_uids"),
        ("GET", "/tasks?statuses=x", "", "", 400, "invalid_task_statuses"),
        ("GET", "/tasks?types=x", "", "", 400, "invalid_task_types"),
        ("GET", "/tasks?afterEnqueuedAt=x", "", "", 400, "invalid_task_after_enqueued_at"),
        ("GET", "/tasks/7", "", "", 404, "task_not_found"),
        ("GET", "/tasks/x", "", "", 400, "invalid_task_uids"),
        ("GET", "/batches/7", "", "", 404, "batch_not_found"),
        ("POST", "/tasks/cancel", "", "", 400, "missing_task_filters"),
        ("DELETE", "/tasks", "", "", 400, "missing_task_filters"),
    ];
    for (method, path, content_type, body, status, expected) in table {
        let (found, answer) = node.request(method, path, content_type, body.as_bytes());
        assert_eq!((found, code(&answer)), (*status, *expected), "{method} {path} {body}: {answer}");
    }
}

#[test]
fn indexes_are_created_listed_updated_and_deleted() {
    let node = Fixture::new();
    let task = node.done("POST", "/indexes", &json!({ "uid": "b", "primaryKey": "id" }));
    assert_eq!((&task["status"], &task["details"]), (&json!("succeeded"), &json!({ "primaryKey": "id" })));
    node.done("POST", "/indexes", &json!({ "uid": "a" }));
    let task = node.done("POST", "/indexes", &json!({ "uid": "a" }));
    assert_eq!(code(&task), "index_already_exists");
    let (_, page) = node.get("/indexes?offset=1&limit=1");
    assert_eq!((&page["total"], &page["results"][0]["uid"]), (&json!(2), &json!("b")));
    node.done("PATCH", "/indexes/a", &json!({ "primaryKey": "key" }));
    assert_eq!(node.get("/indexes/a").1["primaryKey"], "key");
    let task = node.done("DELETE", "/indexes/a", &null());
    assert_eq!(task["details"], json!({ "deletedDocuments": 0 }));
    assert_eq!(node.get("/indexes/a").0, 404);
    assert_eq!(code(&node.done("DELETE", "/indexes/a", &null())), "index_not_found");
    assert_eq!(code(&node.done("PATCH", "/indexes/a", &json!({}))), "index_not_found");
    assert_eq!(node.get("/stats").1["indexes"].as_object().unwrap().len(), 1);
}

#[test]
fn tasks_are_paged_and_filtered() {
    let node = Fixture::new();
    for uid in ["a", "b", "a", "c"] {
        node.done("POST", "/indexes", &json!({ "uid": uid }));
    }
    let uids = |query: &str| {
        let (status, page) = node.get(&format!("/tasks?{query}"));
        assert_eq!(status, 200, "{query}: {page}");
        page["results"].as_array().unwrap().iter().map(|task| task["uid"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(uids(""), [3, 2, 1, 0]);
    assert_eq!(uids("limit=2"), [3, 2]);
    assert_eq!(uids("limit=2&from=1"), [1, 0]);
    assert_eq!(uids("limit=2&reverse=true&from=1"), [1, 2]);
    assert_eq!(uids("statuses=failed"), [2]);
    assert_eq!(uids("indexUids=a,c&statuses=succeeded"), [3, 0]);
    assert_eq!(uids("uids=1,3"), [3, 1]);
    assert_eq!(uids("uids=*"), [3, 2, 1, 0]);
    assert_eq!(uids("types=indexDeletion"), [0_u64; 0]);
    assert_eq!(uids("beforeEnqueuedAt=2000-01-01"), [0_u64; 0]);
    assert_eq!(uids("afterFinishedAt=2000-01-01").len(), 4);
    let (_, page) = node.get("/tasks?limit=1&statuses=succeeded");
    assert_eq!((&page["total"], &page["from"], &page["next"]), (&json!(3), &json!(3), &json!(1)));
}

#[test]
fn several_nodes_live_in_one_process_and_a_directory_has_one_node() {
    let first = Fixture::new();
    let second = Fixture::new();
    first.done("POST", "/indexes", &json!({ "uid": "a" }));
    assert_eq!(second.get("/indexes/a").0, 404);
    let in_use = Server::start(first.options(Faults::default()));
    assert!(matches!(in_use, Err(StartError::InUse { .. })));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("VERSION"), "1.50.0").unwrap();
    let foreign = Server::start(ServerOptions::new("127.0.0.1:0", folder.path(), None));
    assert!(matches!(foreign, Err(StartError::Foreign { .. })));
    let folder = tempfile::tempdir().unwrap();
    let taken = Server::start(ServerOptions::new(first.server().address().to_string(), folder.path(), None));
    assert!(matches!(taken, Err(StartError::Bind { .. })));
}

#[test]
fn a_stopped_node_closes_its_connections_and_can_start_again_on_its_port() {
    let mut node = Fixture::new();
    node.get("/health");
    let address = node.server().address();
    let mut idle = TcpStream::connect(address).unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).unwrap();
    node.server.take();
    idle.read_to_end(&mut Vec::new()).unwrap();
    assert!(TcpStream::connect(address).is_err());
    let options = ServerOptions { listen: address.to_string(), ..node.options(Faults::default()) };
    node.server = Some(Server::start(options).unwrap());
    assert_eq!(node.get("/health").0, 200);
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let node = Fixture::new();
    let mut stream = TcpStream::connect(node.server().address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let head = format!(
        "POST /indexes HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n\
         Content-Length: 11\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut line = [0; 25];
    stream.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{\"uid\":\"a\"}").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 202");
}

#[test]
fn requests_may_follow_each_other_without_waiting() {
    let node = Fixture::new();
    let mut stream = TcpStream::connect(node.server().address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let head = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n");
    let one = |uid: &str| format!("POST /indexes HTTP/1.1\r\n{head}{{\"uid\":\"{uid}\"}}");
    stream.write_all(format!("{}{}{}", one("a"), one("b"), one("c")).as_bytes()).unwrap();
    let mut answers = Vec::new();
    let mut chunk = [0; 4096];
    while answers.windows(11).filter(|window| window == b"\"taskUid\":2").count() == 0 {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "closed after {}", String::from_utf8_lossy(&answers));
        answers.extend_from_slice(&chunk[..read]);
    }
    assert_eq!(answers.windows(12).filter(|window| window == b"HTTP/1.1 202").count(), 3);
}

#[test]
fn a_body_that_ends_early_is_not_registered() {
    let node = Fixture::new();
    let mut stream = TcpStream::connect(node.server().address()).unwrap();
    let head = format!(
        "POST /indexes/a/documents HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: 100\r\n\r\n{{\"id\":1}}\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    drop(stream);
    node.done("POST", "/indexes", &json!({ "uid": "b" }));
    assert_eq!(node.get("/tasks").1["total"], 1);
}
