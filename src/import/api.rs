//! One Meilisearch API, of the source or of Miroir: requests that are tried again while the server is away for a moment.

use std::cell::Cell;
use std::time::Duration;

use crossbeam::channel::after;
use http::Request;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::ImportError;
use crate::telemetry::clock;

/// For one answer. A page of documents from a busy server takes long.
const ANSWER_LIMIT: Duration = Duration::from_mins(5);
/// For a server that has answered before and does not now.
const PATIENCE: Duration = Duration::from_mins(1);
/// Before the second try, and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// Of an answer.
const ANSWER_BYTES_MAX: u64 = 4 << 30;

/// A server.
pub struct Api {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
    /// What the operator has called the address and the key.
    options: Options,
    has_answered: Cell<bool>,
}

/// Options of the command line, for messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Who it is.
    pub who: &'static str,
    /// Where the address is given.
    pub url: &'static str,
    /// Where the key is given.
    pub key: &'static str,
}

/// What a server said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// `code` of an error.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// What is sent along.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Nothing.
    None,
    /// JSON.
    Json(&'a Value),
    /// Documents, one in each line.
    Lines(&'a str),
}

/// A text as one segment of a path, or a value of a query string.
pub fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl Api {
    /// `base` is `http://HOST:PORT` or `https://HOST:PORT`, without the scheme the former.
    pub fn new(base: &str, key: Option<&str>, options: Options) -> Self {
        let base = base.trim_end_matches('/');
        let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_LIMIT));
        let authorization = key.map(|key| format!("Bearer {key}"));
        Self { agent: config.build().new_agent(), base, authorization, options, has_answered: Cell::new(false) }
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The answer to a request, whatever it is; a server that is away, or has too much to do, is waited for.
    pub fn send(&self, method: &str, target: &str, body: Body<'_>) -> Result<Answer, ImportError> {
        let since = clock::instant();
        let mut pause = PAUSES[0];
        loop {
            let failure = match self.try_once(method, target, body)? {
                Ok(answer) if matches!(answer.status, 408 | 429 | 502..=504) => {
                    let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
                    format!("answers {}: {message}", answer.status)
                }
                Ok(answer) => {
                    self.has_answered.set(true);
                    return Ok(answer);
                }
                // Who was never there is not waited for: the address may be wrong.
                Err(error) if !self.has_answered.get() => return Err(self.unreachable(&error.to_string())),
                Err(error) => format!("does not answer ({error})"),
            };
            if since.elapsed() > PATIENCE {
                let Self { base, options, .. } = self;
                let message = format!(
                    "{} at {base} {failure}; it was waited for for a minute. The same command goes on where it stopped",
                    options.who
                );
                return Err(ImportError::Unreachable(message));
            }
            let _ = after(pause).recv();
            pause = (pause * 2).min(PAUSES[1]);
        }
    }

    fn unreachable(&self, error: &str) -> ImportError {
        let Self { base, options: Options { who, url, .. }, .. } = self;
        ImportError::Unreachable(format!(
            "{who} at {base} does not answer ({error}); is it running, and is {url} right?"
        ))
    }

    /// The outer error is one of the command line.
    fn try_once(&self, method: &str, target: &str, body: Body<'_>) -> Result<Result<Answer, ureq::Error>, ImportError> {
        let mut request = Request::builder().method(method).uri(format!("{}{target}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let unusable = |error: http::Error| {
            let Options { url, key, .. } = self.options;
            ImportError::Usage(format!("{}: {error}; check {url} and {key}", self.base))
        };
        let answer = match body {
            Body::None => self.agent.run(request.body(()).map_err(unusable)?),
            Body::Json(value) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(value.to_string()).map_err(unusable)?)
            }
            Body::Lines(lines) => {
                let request = request.header("content-type", "application/x-ndjson");
                self.agent.run(request.body(lines).map_err(unusable)?)
            }
        };
        let read = |mut response: http::Response<ureq::Body>| {
            let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
            Ok(Answer { status: response.status().as_u16(), text })
        };
        Ok(answer.and_then(read))
    }

    /// The JSON answer to a request that succeeds.
    pub fn ask(&self, method: &str, target: &str, body: Body<'_>) -> Result<Value, ImportError> {
        let answer = self.send(method, target, body)?;
        self.well(&answer)?;
        Ok(answer.json())
    }

    /// The JSON answer to a question.
    pub fn get(&self, target: &str) -> Result<Value, ImportError> {
        self.ask("GET", target, Body::None)
    }

    /// Whether the answer is one of success.
    ///
    /// # Errors
    /// What it says otherwise, and what to do.
    pub fn well(&self, answer: &Answer) -> Result<(), ImportError> {
        let Self { base, options: Options { who, url, key }, .. } = self;
        let json = answer.json();
        match (answer.status, json["message"].as_str()) {
            (200..300, _) => Ok(()),
            (401 | 403, Some(message)) => Err(ImportError::Refused(format!(
                "{who} at {base} refuses the key ({message}); give its master key with {key}"
            ))),
            (_, Some(message)) => Err(ImportError::Refused(format!("{who} at {base} refuses: {message}"))),
            (status, None) => Err(ImportError::Failed(format!(
                "{who} at {base} answers {status}, but not as Meilisearch does; check {url}"
            ))),
        }
    }
}
