//! Speaks to one node over plain HTTP, blocking. One client per thread: it keeps its own connections.
//!
//! A write may go out once only, so nothing here retries. What became of a write is told as exactly as it can be known:
//! see [`SendOutcome`]. Whatever is not certain is [`SendOutcome::Unclear`], never guessed; a refusal counts only when
//! the body is an error as Meilisearch writes them, since anything else may come from a proxy in between.

use std::io::{self, Read};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body, SendBody};

use crate::logic::entry::PutMode;
use crate::logic::ids::{NodeIndexUid, NodeTask, ShardId};
use crate::logic::payload::Payload;
use crate::meili::error::ErrorBody;
use crate::meili::tasks::{TaskPage, TaskStatus};

#[cfg(test)]
mod tests;

/// Establishing a connection takes no longer than this; nothing was sent when it fails.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections idle for longer are not used again: the node may be closing them.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// An answer.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What became of a write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SendOutcome {
    /// The node has it, as this task.
    Registered(NodeTask),
    /// No byte left: it can be sent again at once.
    NotSent(String),
    /// The connection ended before all of the body was sent, so the node cannot have taken it. It does so when a body is
    /// larger than it takes, and when it dies.
    CutOff(String),
    /// It may arrive, now or later, or not: only the node's task list can tell.
    Unclear(String),
    /// The node takes no writes now and registered nothing.
    Busy(String),
    /// The node refused it and registered nothing.
    Refused {
        /// HTTP status.
        status: u16,
        /// As the node sent it.
        error: ErrorBody,
    },
}

/// Why a question has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NodeError {
    /// No connection, or it broke, or took too long.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// The node said no.
    #[error("{} ({status} {})", .error.message, .error.code)]
    Refused {
        /// HTTP status.
        status: u16,
        /// As the node sent it.
        error: ErrorBody,
    },
    /// Something answered, but not as Meilisearch does.
    #[error("this is not how a Meilisearch answers: {0}")]
    BadAnswer(String),
}

/// A write to one node. Each becomes one task there.
#[derive(Clone, Debug)]
pub enum NodeWrite<'a> {
    /// Create an index.
    CreateIndex {
        /// If it is known already.
        primary_key: Option<&'a str>,
    },
    /// Set the primary key.
    SetPrimaryKey {
        /// The attribute; none changes nothing.
        primary_key: Option<&'a str>,
    },
    /// Send the full settings, every key present.
    Settings(&'a Map<String, Value>),
    /// Put documents.
    Put {
        /// Replace or update.
        mode: PutMode,
        /// Always named, so that the node infers nothing.
        primary_key: Option<&'a str>,
        /// `customMetadata` by which the task is recognised.
        metadata: &'a str,
        /// NDJSON.
        body: BodyParts,
    },
    /// Delete documents by id.
    Delete {
        /// `customMetadata` by which the task is recognised.
        metadata: &'a str,
        /// A JSON array.
        body: BodyParts,
    },
    /// Delete all documents.
    Clear {
        /// `customMetadata` by which the task is recognised.
        metadata: &'a str,
    },
    /// Delete the index.
    DropIndex,
}

/// A body that is sent slice by slice, without a copy of the whole.
#[derive(Clone, Debug, Default)]
pub struct BodyParts(Vec<Bytes>);

impl BodyParts {
    /// The lines of the wanted shards.
    pub fn lines(payload: &Payload, wanted: impl Fn(ShardId) -> bool) -> Self {
        Self(Self::sections(payload, wanted).collect())
    }

    /// The ids of the wanted shards as one JSON array.
    pub fn array(payload: &Payload, wanted: impl Fn(ShardId) -> bool) -> Self {
        let mut parts = vec![Bytes::from_static(b"[")];
        for section in Self::sections(payload, wanted) {
            if parts.len() > 1 {
                parts.push(Bytes::from_static(b","));
            }
            parts.push(section);
        }
        parts.push(Bytes::from_static(b"]"));
        Self(parts)
    }

    fn sections(payload: &Payload, wanted: impl Fn(ShardId) -> bool) -> impl Iterator<Item = Bytes> {
        payload.sections.iter().filter(move |section| wanted(section.shard)).map(|section| {
            let start = section.start as usize;
            payload.bytes.slice(start..start + section.length as usize)
        })
    }

    fn json(value: &Value) -> Self {
        Self(vec![Bytes::from(value.to_string())])
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads the parts one after the other.
struct PartsReader {
    parts: std::vec::IntoIter<Bytes>,
    current: Bytes,
    left: usize,
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

impl Read for PartsReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.parts.next() {
                Some(part) => self.current = part,
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        self.left -= count;
        Ok(count)
    }
}

/// Which tasks of a node.
#[derive(Clone, Debug, Default)]
pub struct NodeTaskQuery {
    /// The first one, in the direction of the list.
    pub from: Option<NodeTask>,
    /// At most so many.
    pub limit: u64,
    /// Lowest number first.
    pub reverse: bool,
    /// None: all.
    pub statuses: Vec<TaskStatus>,
    /// None: all.
    pub index: Option<NodeIndexUid>,
    /// Only these; none: all.
    pub uids: Vec<NodeTask>,
}

impl NodeTaskQuery {
    fn path(&self) -> String {
        let mut path = format!("/tasks?limit={}&reverse={}", self.limit, self.reverse);
        if let Some(from) = self.from {
            path.extend(["&from=", &from.to_string()]);
        }
        if !self.statuses.is_empty() {
            let names: Vec<_> = self.statuses.iter().map(|status| status.name()).collect();
            path.extend(["&statuses=", &names.join(",")]);
        }
        if let Some(index) = &self.index {
            path.extend(["&indexUids=", index.as_str()]);
        }
        if !self.uids.is_empty() {
            let uids: Vec<String> = self.uids.iter().map(NodeTask::to_string).collect();
            path.extend(["&uids=", &uids.join(",")]);
        }
        path
    }
}

/// What a node holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStats {
    /// Bytes.
    pub database_size: u64,
    /// By the nodes' names.
    pub indexes: std::collections::BTreeMap<String, NodeIndexStats>,
}

/// What an index of a node holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeIndexStats {
    /// Documents in it.
    pub number_of_documents: u64,
}

/// A page of documents.
#[derive(Clone, Debug, Deserialize)]
pub struct FetchedDocuments {
    /// The documents with the fields asked for.
    pub results: Vec<Map<String, Value>>,
    /// All that match.
    pub total: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisteredTask {
    task_uid: u64,
}

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

    /// Sends a write, once. The whole exchange takes no longer than `timeout`.
    pub fn write(&self, index: &NodeIndexUid, write: &NodeWrite<'_>, timeout: Duration) -> SendOutcome {
        let (method, path, content_type, body) = request_of(index, write);
        send_outcome(self.exchange(method, &path, content_type.zip(body), timeout))
    }

    /// Deletes these finished tasks from the node's list; that is a task too.
    pub fn delete_tasks(&self, tasks: &[NodeTask], timeout: Duration) -> SendOutcome {
        let uids: Vec<String> = tasks.iter().map(NodeTask::to_string).collect();
        let path = format!("/tasks?statuses=succeeded,failed,canceled&uids={}", uids.join(","));
        send_outcome(self.exchange(Method::DELETE, &path, None, timeout))
    }

    /// One page of the node's tasks.
    pub fn tasks(&self, query: &NodeTaskQuery, timeout: Duration) -> Result<TaskPage, NodeError> {
        self.get(&query.path(), timeout)
    }

    /// Whether the node says that it is well.
    pub fn health(&self, timeout: Duration) -> Result<(), NodeError> {
        let health: Value = self.get("/health", timeout)?;
        match health["status"].as_str() {
            Some("available") => Ok(()),
            Some(_) | None => Err(NodeError::BadAnswer(format!("health is {health}"))),
        }
    }

    /// The node's version, `1.50.0` for example. Needs the key.
    pub fn version(&self, timeout: Duration) -> Result<String, NodeError> {
        let version: Value = self.get("/version", timeout)?;
        let text = version["pkgVersion"].as_str();
        text.map(str::to_owned).ok_or_else(|| NodeError::BadAnswer("a version without pkgVersion".to_owned()))
    }

    /// What the node holds.
    pub fn stats(&self, timeout: Duration) -> Result<NodeStats, NodeError> {
        self.get("/stats", timeout)
    }

    /// Documents that match a filter, with these fields only; of their list, those at these places, all from one read
    /// transaction of the node. The order of the list stays the same as long as the index does.
    pub fn fetch_documents(
        &self,
        index: &NodeIndexUid,
        filter: Option<&Value>,
        fields: &[&str],
        places: Range<u64>,
        timeout: Duration,
    ) -> Result<FetchedDocuments, NodeError> {
        let mut body = json!({ "fields": fields, "offset": places.start, "limit": places.end - places.start });
        if let Some(filter) = filter {
            body["filter"] = filter.clone();
        }
        let parts = ("application/json", BodyParts::json(&body));
        decode(self.exchange(Method::POST, &format!("/indexes/{index}/documents/fetch"), Some(parts), timeout))
    }

    fn get<T: DeserializeOwned>(&self, path: &str, timeout: Duration) -> Result<T, NodeError> {
        decode(self.exchange(Method::GET, path, None, timeout))
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
        let mut reader = PartsReader { left: parts.len(), parts: parts.0.into_iter(), current: Bytes::new() };
        let answer = self.run(request.body(SendBody::from_reader(&mut reader)).map_err(ureq::Error::Http)?, timeout);
        answer.map_err(|broken| Broken { is_cut_off: reader.left > 0, ..broken })
    }

    fn run(&self, request: Request<impl ureq::AsSendBody>, timeout: Duration) -> Result<Response<Body>, Broken> {
        let request = self.agent.configure_request(request).timeout_global(Some(timeout)).build();
        Ok(self.agent.run(request)?)
    }
}

fn request_of(
    index: &NodeIndexUid,
    write: &NodeWrite<'_>,
) -> (Method, String, Option<&'static str>, Option<BodyParts>) {
    const JSON: Option<&str> = Some("application/json");
    match write {
        NodeWrite::CreateIndex { primary_key } => {
            let body = json!({ "uid": index.as_str(), "primaryKey": primary_key });
            (Method::POST, "/indexes".to_owned(), JSON, Some(BodyParts::json(&body)))
        }
        NodeWrite::SetPrimaryKey { primary_key } => {
            let body = json!({ "primaryKey": primary_key });
            (Method::PATCH, format!("/indexes/{index}"), JSON, Some(BodyParts::json(&body)))
        }
        NodeWrite::Settings(settings) => {
            let body = Bytes::from(serde_json::to_vec(settings).expect("a JSON object can be written"));
            (Method::PATCH, format!("/indexes/{index}/settings"), JSON, Some(BodyParts(vec![body])))
        }
        NodeWrite::Put { mode, primary_key, metadata, body } => {
            let method = match mode {
                PutMode::Replace => Method::POST,
                PutMode::Update => Method::PUT,
            };
            let mut path = format!("/indexes/{index}/documents?customMetadata={}", encode(metadata));
            if let Some(primary_key) = primary_key {
                path.extend(["&primaryKey=", &encode(primary_key)]);
            }
            (method, path, Some("application/x-ndjson"), Some(body.clone()))
        }
        NodeWrite::Delete { metadata, body } => {
            let path = format!("/indexes/{index}/documents/delete-batch?customMetadata={}", encode(metadata));
            (Method::POST, path, JSON, Some(body.clone()))
        }
        NodeWrite::Clear { metadata } => {
            let path = format!("/indexes/{index}/documents?customMetadata={}", encode(metadata));
            (Method::DELETE, path, None, None)
        }
        NodeWrite::DropIndex => (Method::DELETE, format!("/indexes/{index}"), None, None),
    }
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn send_outcome(answer: Result<Response<Body>, Broken>) -> SendOutcome {
    let mut response = match answer {
        Ok(response) => response,
        Err(Broken { error, .. }) if never_left(&error) => return SendOutcome::NotSent(error.to_string()),
        Err(Broken { error, is_cut_off: true }) => return SendOutcome::CutOff(error.to_string()),
        Err(Broken { error, is_cut_off: false }) => return SendOutcome::Unclear(error.to_string()),
    };
    let status = response.status().as_u16();
    let body = match response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec() {
        Ok(body) => body,
        // The status alone is no proof: without its body the task number is unknown.
        Err(error) => return SendOutcome::Unclear(format!("status {status}, then {error}")),
    };
    let error: Option<ErrorBody> = serde_json::from_slice(&body).ok();
    match (status, error) {
        (200..=299, _) => match serde_json::from_slice::<RegisteredTask>(&body) {
            Ok(task) => SendOutcome::Registered(NodeTask(task.task_uid)),
            Err(error) => SendOutcome::Unclear(format!("status {status} without a task number: {error}")),
        },
        (429 | 503, error) => {
            SendOutcome::Busy(error.map_or_else(|| format!("status {status}"), |error| error.message))
        }
        (_, Some(error)) if is_full(&error.code) => SendOutcome::Busy(error.message),
        (400..=499, Some(error)) => SendOutcome::Refused { status, error },
        (_, error) => SendOutcome::Unclear(format!(
            "status {status}: {}",
            error.map_or_else(|| beginning(&body), |error| error.message)
        )),
    }
}

/// The node's task store or disk is full.
fn is_full(code: &str) -> bool {
    matches!(code, "no_space_left_on_device" | "too_many_open_files")
}

/// Errors from before the first byte.
fn never_left(error: &ureq::Error) -> bool {
    if let ureq::Error::Io(error) = error {
        return error.kind() == io::ErrorKind::ConnectionRefused;
    }
    matches!(
        error,
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Http(_)
            | ureq::Error::BadUri(_)
    )
}

fn decode<T: DeserializeOwned>(answer: Result<Response<Body>, Broken>) -> Result<T, NodeError> {
    let unreachable = |error: ureq::Error| NodeError::Unreachable(error.to_string());
    let mut response = answer.map_err(|broken| unreachable(broken.error))?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(unreachable)?;
    if (200..=299).contains(&status) {
        return serde_json::from_slice(&body).map_err(|error| NodeError::BadAnswer(error.to_string()));
    }
    match serde_json::from_slice(&body) {
        Ok(error) => Err(NodeError::Refused { status, error }),
        Err(_) => Err(NodeError::BadAnswer(format!("status {status}: {}", beginning(&body)))),
    }
}

/// Enough to recognise it by, in one line.
fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}
