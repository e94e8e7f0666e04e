//! A plain HTTP client of the Meilisearch API.

use std::time::Duration;

use serde_json::Value;

use super::wait_for;

/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_mins(1);

/// How long a task may take.
pub const TASK_LIMIT: Duration = Duration::from_mins(2);

/// Speaks to one server.
#[derive(Clone, Debug)]
pub struct Client {
    /// `http://HOST:PORT`.
    pub base: String,
    key: Option<String>,
    headers: Vec<(&'static str, &'static str)>,
    agent: ureq::Agent,
}

/// What a server said.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Lower-case names, in order.
    pub headers: Vec<(String, String)>,
    /// As received.
    pub text: String,
    /// As JSON; null when it is none.
    pub json: Value,
}

impl Answer {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The answer, if the status is this one.
    ///
    /// # Panics
    /// Otherwise, with the whole answer.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// `code` of an error.
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }
}

impl Client {
    /// Connects when the first request is made.
    pub fn new(base: &str, key: Option<&str>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(REQUEST_LIMIT));
        Self {
            base: base.to_owned(),
            key: key.map(str::to_owned),
            headers: Vec::new(),
            agent: config.build().new_agent(),
        }
    }

    /// The same server, with another key or none.
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self { key: key.map(str::to_owned), ..self.clone() }
    }

    /// The same server, with one more header in every request.
    pub fn with_header(&self, name: &'static str, value: &'static str) -> Self {
        let mut client = self.clone();
        client.headers.push((name, value));
        client
    }

    /// One request; the error is one of the connection.
    pub fn send(
        &self,
        method: &str,
        target: &str,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let mut request = http::Request::builder().method(method).uri(format!("{}{target}", self.base));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_vec()).expect("the tests write valid requests");
        let mut response = if body.is_empty() && content_type.is_none() {
            self.agent.run(request.map(|_| ()))?
        } else {
            self.agent.run(request)?
        };
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let headers = headers.collect();
        let text = response.body_mut().with_config().limit(u64::MAX).read_to_string()?;
        let json = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer { status, headers, text, json })
    }

    /// A request without a body.
    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, None)
    }

    /// A POST of JSON.
    #[track_caller]
    pub fn post(&self, target: &str, body: &Value) -> Answer {
        self.ask("POST", target, Some(body))
    }

    /// Any request with JSON or nothing.
    ///
    /// # Panics
    /// If the server does not answer.
    #[track_caller]
    pub fn ask(&self, method: &str, target: &str, body: Option<&Value>) -> Answer {
        self.try_ask(method, target, body).unwrap_or_else(|error| panic!("{method} {}{target}: {error}", self.base))
    }

    /// Any request with JSON or nothing.
    pub fn try_ask(&self, method: &str, target: &str, body: Option<&Value>) -> Result<Answer, ureq::Error> {
        match body {
            Some(body) => self.send(method, target, Some("application/json"), body.to_string().as_bytes()),
            None => self.send(method, target, None, &[]),
        }
    }

    /// Waits until the server says that it is available.
    pub fn wait_until_healthy(&self, limit: Duration) {
        wait_for(&format!("{} to be healthy", self.base), limit, || match self.try_ask("GET", "/health", None) {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(answer.text),
            Err(error) => Err(error.to_string()),
        });
    }

    /// Waits for the end of a task and gives it.
    #[track_caller]
    pub fn wait_for_task(&self, uid: u64) -> Value {
        wait_for(&format!("task {uid} of {}", self.base), TASK_LIMIT, || {
            let task = self.get(&format!("/tasks/{uid}")).expect(200).json;
            let is_over = matches!(task["status"].as_str(), Some("succeeded" | "failed" | "canceled"));
            if is_over { Ok(task) } else { Err(task.to_string()) }
        })
    }

    /// A write of JSON, its 202, and the number of its task.
    #[track_caller]
    pub fn enqueue(&self, method: &str, target: &str, body: &Value) -> u64 {
        self.enqueue_any(method, target, Some(body))
    }

    #[track_caller]
    fn enqueue_any(&self, method: &str, target: &str, body: Option<&Value>) -> u64 {
        let answer = self.ask(method, target, body).expect(202);
        answer.json["taskUid"].as_u64().unwrap_or_else(|| panic!("no taskUid in {}", answer.text))
    }

    /// A write, its 202, and the task at its end.
    #[track_caller]
    pub fn write(&self, method: &str, target: &str, body: Option<&Value>) -> Value {
        self.wait_for_task(self.enqueue_any(method, target, body))
    }

    /// The same, and the task must have succeeded.
    #[track_caller]
    pub fn write_well(&self, method: &str, target: &str, body: Option<&Value>) -> Value {
        let task = self.write(method, target, body);
        assert_eq!(task["status"], "succeeded", "{task}");
        task
    }
}
