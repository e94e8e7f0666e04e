//! One request to the admin listener; every failure says what to check.

use std::time::Duration;

use http::{Method, Request};
use serde_json::Value;

use crate::program::Failure;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// One request.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// None: no body.
    pub body: Option<Value>,
}

impl Call {
    /// A question.
    pub fn get(target: impl Into<String>) -> Self {
        Self { method: Method::GET, target: target.into(), body: None }
    }

    /// A request with a JSON body.
    pub fn with(method: Method, target: impl Into<String>, body: Value) -> Self {
        Self { method, target: target.into(), body: Some(body) }
    }
}

/// A connection to one admin listener.
pub struct Client {
    agent: ureq::Agent,
    admin: String,
    authorization: Option<String>,
}

impl Client {
    /// `admin` is `http://HOST:PORT`; without the scheme it is added.
    pub fn new(admin: &str, key: Option<&str>) -> Result<Self, Failure> {
        let admin = admin.trim_end_matches('/');
        let admin = if admin.contains("://") { admin.to_owned() } else { format!("http://{admin}") };
        if !admin.starts_with("http://") {
            return Err(Failure::Usage(format!("--admin {admin}: only http:// is spoken; write http://HOST:PORT")));
        }
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(DEADLINE));
        Ok(Self { agent: config.build().new_agent(), admin, authorization: key.map(|key| format!("Bearer {key}")) })
    }

    /// The JSON answer to a request; null when it has no body. `target` is a path with or without a query.
    pub fn send(&self, call: &Call) -> Result<Value, Failure> {
        let admin = &self.admin;
        let unreachable = |error: ureq::Error| {
            Failure::Unreachable(format!(
                "{admin} does not answer ({error}); is Miroir running, and is this its admin.listen?"
            ))
        };
        let mut request = Request::builder().method(call.method.clone()).uri(format!("{admin}{}", call.target));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let unusable = |error: http::Error| Failure::Usage(format!("--admin {admin}: {error}; write http://HOST:PORT"));
        let answer = match &call.body {
            None => self.agent.run(request.body(()).map_err(unusable)?),
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string()).map_err(unusable)?)
            }
        };
        let mut response = answer.map_err(unreachable)?;
        let text = response.body_mut().read_to_string().map_err(unreachable)?;
        self.read(response.status().as_u16(), &text)
    }

    fn read(&self, status: u16, text: &str) -> Result<Value, Failure> {
        let admin = &self.admin;
        let body = if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str::<Value>(text) };
        match (status, body) {
            (200..300, Ok(body)) => Ok(body),
            (401 | 403, _) => {
                Err(Failure::Refused(format!("{admin} refuses the key; give the server's admin.key with --admin-key")))
            }
            (400..500, Ok(body)) if body["message"].is_string() => {
                Err(Failure::Refused(body["message"].as_str().unwrap_or_default().to_owned()))
            }
            (500.., Ok(body)) if body["message"].is_string() => {
                let message = body["message"].as_str().unwrap_or_default();
                Err(Failure::Operation(format!("{admin} answers {status}: {message}; see the server's log")))
            }
            (_, _) => Err(Failure::Operation(format!(
                "{admin} answers {status}, but not as the admin listener of this version of Miroir; check --admin"
            ))),
        }
    }
}
