//! The embedded node over real sockets: routes and errors, and the queue manners that Miroir is built on, one by one.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Faults, Server, ServerOptions};
use crate::telemetry::clock;

mod documents;
mod queue;
mod routes;

const KEY: &str = "test-master-key";

/// A node in a directory of its own, and a client of it.
struct Fixture {
    folder: TempDir,
    server: Option<Server>,
    agent: ureq::Agent,
}

/// Status and body (null when empty or no JSON).
type Answer = (u16, Value);

impl Fixture {
    fn new() -> Self {
        Self::with(Faults::default())
    }

    fn with(faults: Faults) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let agent = agent();
        let mut fixture = Self { folder, server: None, agent };
        fixture.start(faults);
        fixture
    }

    fn options(&self, faults: Faults) -> ServerOptions {
        ServerOptions { faults, ..ServerOptions::new("127.0.0.1:0", self.folder.path(), Some(KEY.to_owned())) }
    }

    fn start(&mut self, faults: Faults) {
        self.server = Some(Server::start(self.options(faults)).unwrap());
    }

    fn restart(&mut self) {
        self.server.take();
        self.start(Faults::default());
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn request(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Answer {
        self.try_request(method, path, content_type, body).unwrap()
    }

    fn try_request(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server().url()))
            .header("Authorization", format!("Bearer {KEY}"));
        if !content_type.is_empty() {
            request = request.header("Content-Type", content_type);
        }
        let mut response = self.agent.run(request.body(body).unwrap())?;
        let text = response.body_mut().with_config().limit(1 << 30).read_to_string()?;
        Ok((response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "", b"")
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.request(method, path, "application/json", body.to_string().as_bytes())
    }

    /// Sends what must be accepted; the task's number.
    fn enqueue(&self, method: &str, path: &str, body: &Value) -> u64 {
        let (status, answer) =
            if body.is_null() { self.request(method, path, "", b"") } else { self.send(method, path, body) };
        assert!(status == 202 || status == 200, "{method} {path}: {status} {answer}");
        answer["taskUid"].as_u64().unwrap()
    }

    /// Waits for the end of a task; the task.
    fn wait(&self, uid: u64) -> Value {
        let deadline = clock::instant() + Duration::from_secs(20);
        loop {
            let (_, task) = self.get(&format!("/tasks/{uid}"));
            if matches!(task["status"].as_str(), Some("succeeded" | "failed" | "canceled")) {
                return task;
            }
            assert!(clock::instant() < deadline, "task {uid} does not end: {task}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Sends and waits; the task.
    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        self.wait(self.enqueue(method, path, body))
    }

    /// The documents of an index, by id.
    fn documents(&self, index: &str) -> Vec<Value> {
        let (_, answer) = self.get(&format!("/indexes/{index}/documents?limit=1000"));
        let mut documents = answer["results"].as_array().cloned().unwrap_or_default();
        documents.sort_by_key(|document| document["id"].to_string());
        documents
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into()
}

/// The `code` of an error answer or of a failed task.
fn code(value: &Value) -> &str {
    value["error"]["code"].as_str().or_else(|| value["code"].as_str()).unwrap_or_default()
}

/// Faults under which the tasks behind a first one make one batch.
fn slow() -> Faults {
    Faults { batch_time: Duration::from_millis(300), ..Faults::default() }
}

fn null() -> Value {
    json!(null)
}
