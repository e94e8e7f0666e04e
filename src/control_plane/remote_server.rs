//! A server that is no node of the fleet and gets indexes: an export speaks to it.
//!
//! What may pass is tried again, with longer and longer pauses, until [`TRYING`] is over. Redirects are not followed: the key
//! and the documents are for the server that the client has named.

use std::io::{self, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{Method, Request};
use serde_json::{Map, Value, json};
use ureq::Agent;

use super::public_addresses;
use crate::meili::error::{ApiError, Code, ErrorBody};
use crate::meili::export::refused_by_destination;
use crate::telemetry::clock;

/// For one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// How long one request is tried, as one server does.
const TRYING: Duration = Duration::from_mins(15);
/// After the first try that failed; half as long again after each, as one server waits.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// For all servers that clients name.
pub(super) fn agent(may_be_private: bool) -> Agent {
    let config = Agent::config_builder()
        .user_agent("miroir")
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(ANSWER_TIMEOUT))
        .build();
    public_addresses::agent(config, may_be_private, "webhooks.private_addresses")
}

/// See the module.
pub(super) struct RemoteServer<'a> {
    agent: &'a Agent,
    url: &'a str,
    key: Option<&'a str>,
    /// Waits so long; false when nobody wants to go on.
    waits: &'a dyn Fn(Duration) -> bool,
}

/// Why it did not do something.
#[derive(Debug)]
pub(super) enum RemoteError {
    /// It said so, or was not there.
    Failed {
        /// What the task fails with.
        error: ErrorBody,
        /// What the server gave as its reason.
        code: Option<String>,
    },
    /// Nobody wants it any more.
    Unwanted,
}

/// Of one try.
struct Failure {
    /// Another try may do.
    is_passing: bool,
    error: Box<ErrorBody>,
    code: Option<String>,
}

type Body<'a> = (&'static str, Option<&'static str>, &'a [u8]);

impl<'a> RemoteServer<'a> {
    pub(super) fn new(
        agent: &'a Agent,
        (url, key): (&'a str, Option<&'a str>),
        waits: &'a dyn Fn(Duration) -> bool,
    ) -> Self {
        Self { agent, url: url.trim_end_matches('/'), key, waits }
    }

    pub(super) fn has_index(&self, uid: &str) -> Result<bool, RemoteError> {
        match self.send(&Method::GET, &format!("/indexes/{uid}"), None) {
            Ok(()) => Ok(true),
            Err(RemoteError::Failed { code: Some(code), .. }) if code == Code::IndexNotFound.name() => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn create_index(&self, uid: &str, primary_key: Option<&str>) -> Result<(), RemoteError> {
        self.send_json(&Method::POST, "/indexes", &json!({ "uid": uid, "primaryKey": primary_key }))
    }

    pub(super) fn set_primary_key(&self, uid: &str, primary_key: Option<&str>) -> Result<(), RemoteError> {
        self.send_json(&Method::PATCH, &format!("/indexes/{uid}"), &json!({ "primaryKey": primary_key }))
    }

    pub(super) fn set_settings(&self, uid: &str, settings: &Map<String, Value>) -> Result<(), RemoteError> {
        self.send_json(&Method::PATCH, &format!("/indexes/{uid}/settings"), settings)
    }

    /// Documents by lines.
    pub(super) fn put_documents(&self, uid: &str, lines: &[u8]) -> Result<(), RemoteError> {
        let body = compressed(lines).map_err(|error| failed(&error))?;
        let body = ("application/x-ndjson", Some("gzip"), &body[..]);
        self.send(&Method::POST, &format!("/indexes/{uid}/documents"), Some(body))
    }

    fn send_json(&self, method: &Method, path: &str, body: &impl serde::Serialize) -> Result<(), RemoteError> {
        let body = serde_json::to_vec(body).map_err(|error| failed(&error))?;
        self.send(method, path, Some(("application/json", None, &body)))
    }

    /// Sends until it is answered for good.
    fn send(&self, method: &Method, path: &str, body: Option<Body<'_>>) -> Result<(), RemoteError> {
        let begun = clock::instant();
        let mut tries = 0;
        loop {
            if !(self.waits)(Duration::ZERO) {
                return Err(RemoteError::Unwanted);
            }
            let Err(Failure { is_passing, error, code }) = self.send_once(method, path, body) else { return Ok(()) };
            tries += 1;
            let elapsed = clock::instant().saturating_duration_since(begun);
            let Some(pause) = pause_after(tries, elapsed).filter(|_| is_passing) else {
                return Err(RemoteError::Failed { error: *error, code });
            };
            tracing::warn!(error = error.message, tries, "the destination of an export cannot be told; trying again");
            if !(self.waits)(pause) {
                return Err(RemoteError::Unwanted);
            }
        }
    }

    fn send_once(&self, method: &Method, path: &str, body: Option<Body<'_>>) -> Result<(), Failure> {
        let no_request = |error: http::Error| Failure { is_passing: false, error: internal(&error).into(), code: None };
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(key) = self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let answer = match body {
            Some((kind, coding, bytes)) => {
                request = request.header(CONTENT_TYPE, kind);
                if let Some(coding) = coding {
                    request = request.header(CONTENT_ENCODING, coding);
                }
                self.agent.run(request.body(bytes).map_err(no_request)?)
            }
            None => self.agent.run(request.body(()).map_err(no_request)?),
        };
        let mut answer = answer.map_err(|error| Failure {
            is_passing: is_passing(&error),
            error: internal(&error).into(),
            code: None,
        })?;
        let status = answer.status().as_u16();
        let read = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        if (200..300).contains(&status) {
            // Whatever it says, and even if it does not say it to the end.
            return Ok(());
        }
        let said: Result<ErrorBody, String> = read
            .map_err(|error| error.to_string())
            .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| format!("json: {error}")));
        let (error, code) = match said {
            Ok(said) => (refused_by_destination(&said), Some(said.code)),
            Err(reason) => (internal(&reason), None),
        };
        Err(Failure { is_passing: matches!(status, 408 | 429 | 500 | 502 | 503 | 504), error: error.into(), code })
    }
}

/// Nobody will ever answer at what is no address, or may not be asked.
fn is_passing(error: &ureq::Error) -> bool {
    if let ureq::Error::Io(error) = error {
        return error.kind() != io::ErrorKind::PermissionDenied;
    }
    !matches!(error, ureq::Error::BadUri(_) | ureq::Error::Http(_))
}

/// None: it is given up.
fn pause_after(tries: u32, elapsed: Duration) -> Option<Duration> {
    // Beyond that the pause is the longest one.
    let longer = 1.5_f64.powi(tries.clamp(1, 20) as i32 - 1);
    let pause = PAUSE_FIRST.mul_f64(longer).min(PAUSE_MAX);
    (elapsed + pause < TRYING).then_some(pause)
}

fn internal(reason: &impl ToString) -> ErrorBody {
    ApiError::new(Code::Internal, reason.to_string()).body()
}

fn failed(reason: &impl ToString) -> RemoteError {
    RemoteError::Failed { error: internal(reason), code: None }
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let pauses = [1, 2, 3, 12, 13, u32::MAX].map(|tries| pause_after(tries, Duration::ZERO).unwrap().as_millis());
        assert_eq!(pauses, [500, 750, 1_125, 43_248, 60_000, 60_000]);
        assert_eq!(pause_after(20, Duration::from_secs(839)), Some(PAUSE_MAX));
        assert_eq!(pause_after(20, Duration::from_mins(14)), None);
        let (mut elapsed, mut tries) = (Duration::ZERO, 0);
        while let Some(pause) = pause_after(tries + 1, elapsed) {
            (elapsed, tries) = (elapsed + pause, tries + 1);
        }
        assert!(tries < 40 && elapsed < TRYING, "{tries} tries, {elapsed:?}");
    }

    #[test]
    fn what_no_try_will_mend_is_not_tried_again() {
        let agent = agent(false);
        let waits = |pause: Duration| {
            assert_eq!(pause, Duration::ZERO, "no second try");
            true
        };
        for (url, key) in
            [("nonsense", "k"), ("", "k"), ("http://127.0.0.1:9", "k"), ("ftp://x", "k"), ("http://a", "\n")]
        {
            let server = RemoteServer::new(&agent, (url, Some(key)), &waits);
            match server.has_index("a") {
                Err(RemoteError::Failed { error, .. }) => assert_eq!(error.code, "internal", "{url}: {error:?}"),
                other => panic!("{url}: {other:?}"),
            }
        }
    }
}
