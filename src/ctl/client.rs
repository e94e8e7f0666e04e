//! One request to the admin listener; every failure says what to check.

use std::time::Duration;

use serde_json::Value;

use crate::program::Failure;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

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

    /// The JSON answer of a GET.
    pub fn get(&self, target: &str) -> Result<Value, Failure> {
        let admin = &self.admin;
        let mut request = self.agent.get(format!("{admin}{target}"));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let unreachable = |error: ureq::Error| {
            Failure::Unreachable(format!(
                "{admin} does not answer ({error}); is Miroir running, and is this its admin.listen?"
            ))
        };
        let mut response = request.call().map_err(unreachable)?;
        let status = response.status();
        let text = response.body_mut().read_to_string().map_err(unreachable)?;
        if status.is_success() {
            return serde_json::from_str(&text).map_err(|_| {
                Failure::Operation(format!("{admin} answers, but not as Miroir's admin listener; check --admin"))
            });
        }
        if matches!(status.as_u16(), 401 | 403) {
            return Err(Failure::Operation(format!(
                "{admin} refuses the key; give the server's admin.key with --admin-key"
            )));
        }
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let message = body["message"].as_str().unwrap_or("no message");
        Err(Failure::Operation(format!("{admin} answers {status}: {message}; check --admin and the server's log")))
    }
}
