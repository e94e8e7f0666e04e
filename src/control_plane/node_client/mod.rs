//! Speaks to one node over plain HTTP, blocking. One client per thread: it keeps its own connections.
//!
//! A write may go out once only, so nothing here retries. What became of a write is told as exactly as it can be known:
//! see [`SendOutcome`]. Whatever is not certain is [`SendOutcome::Unclear`], never guessed; a refusal counts only when
//! the body is an error as Meilisearch writes them, since anything else may come from a proxy in between.
//!
//! `writes` is what is sent and what became of it, `reads` what is asked; `rules` is about search rules.

use std::time::Duration;

use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body, SendBody};

mod reads;
mod rules;
mod writes;

pub use reads::{FetchedDocuments, NodeError, NodeIndexStats, NodeStats, NodeTaskQuery};
pub use writes::{BodyParts, NodeWrite, SendOutcome};

#[cfg(test)]
mod tests;

/// Establishing a connection takes no longer than this; nothing was sent when it fails.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections idle for longer are not used again: the node may be closing them.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// An answer.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub struct NodeClient {
    agent: Agent,
    base_url: String,
    authorization: Option<String>,
}

impl NodeClient {
    /// `base_url` is `http://host:port`, without a slash at the end.
    pub fn new(base_url: impl Into<String>, master_key: Option<&str>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("miroir")
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .max_idle_age(IDLE_MAX)
            .max_idle_connections_per_host(2)
            .build();
        Self {
            agent: config.new_agent(),
            base_url: base_url.into(),
            authorization: master_key.map(|key| format!("Bearer {key}")),
        }
    }

    fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, BodyParts)>,
        timeout: Duration,
    ) -> Result<Response<Body>, Broken> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base_url));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let Some((content_type, parts)) = body else {
            return self.run(request.body(()).map_err(ureq::Error::Http)?, timeout);
        };
        // The length is said, so that the body is not sent in chunks, which small servers do not read.
        let request = request.header("content-type", content_type).header("content-length", parts.len());
        let mut reader = parts.into_reader();
        let answer = self.run(request.body(SendBody::from_reader(&mut reader)).map_err(ureq::Error::Http)?, timeout);
        answer.map_err(|broken| Broken { is_cut_off: reader.left > 0, ..broken })
    }

    fn run(&self, request: Request<impl ureq::AsSendBody>, timeout: Duration) -> Result<Response<Body>, Broken> {
        let request = self.agent.configure_request(request).timeout_global(Some(timeout)).build();
        Ok(self.agent.run(request)?)
    }
}

/// Why there is no answer.
struct Broken {
    error: ureq::Error,
    /// A part of the body was never sent.
    is_cut_off: bool,
}

impl From<ureq::Error> for Broken {
    fn from(error: ureq::Error) -> Self {
        Self { error, is_cut_off: false }
    }
}

/// Enough to recognise it by, in one line.
fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}
