//! Writes to a node, and what became of them.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use ureq::Body;
use ureq::http::{Method, Response};

use super::{ANSWER_BYTES_MAX, Broken, NodeClient, beginning};
use crate::logic::entry::PutMode;
use crate::logic::ids::{NodeIndexUid, NodeTask, ShardId};
use crate::logic::payload::Payload;
use crate::meili::error::ErrorBody;

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
    /// Delete the documents that a filter matches.
    DeleteByFilter {
        /// A text or nested lists.
        filter: &'a Value,
        /// `customMetadata` by which the task is recognised.
        metadata: &'a str,
    },
    /// Delete all documents.
    Clear {
        /// `customMetadata` by which the task is recognised.
        metadata: &'a str,
    },
    /// Delete the index.
    DropIndex,
    /// Give the index's free space back to the disk. Its task overtakes those that wait, and pauses searches for a moment.
    Compact,
}

/// A body that is sent slice by slice, without a copy of the whole.
#[derive(Clone, Debug, Default)]
pub struct BodyParts(Vec<Bytes>);

impl BodyParts {
    /// The lines of the wanted shards.
    pub fn lines(payload: &Payload, wanted: impl Fn(ShardId) -> bool) -> Self {
        Self(Self::sections(payload, wanted).collect())
    }

    /// The same without some lines, given by their places in the section of their shard, ascending.
    pub fn lines_without(
        payload: &Payload,
        wanted: impl Fn(ShardId) -> bool,
        left_out: &[(ShardId, Vec<u32>)],
    ) -> Self {
        if left_out.is_empty() {
            return Self::lines(payload, wanted);
        }
        let mut parts = Vec::new();
        for section in payload.sections.iter().filter(|section| wanted(section.shard)) {
            let start = section.start as usize;
            let bytes = payload.bytes.slice(start..start + section.length as usize);
            let left_out =
                left_out.iter().find(|(shard, _)| *shard == section.shard).map_or(&[][..], |(_, lines)| lines);
            parts.extend(without_lines(&bytes, left_out));
        }
        Self(parts)
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

    /// All of it.
    pub fn whole(body: Bytes) -> Self {
        Self(vec![body])
    }

    pub(super) fn json(value: &Value) -> Self {
        Self(vec![Bytes::from(value.to_string())])
    }

    pub(super) fn into_reader(self) -> PartsReader {
        PartsReader { left: self.len(), parts: self.0.into_iter(), current: Bytes::new() }
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
pub(super) struct PartsReader {
    parts: std::vec::IntoIter<Bytes>,
    current: Bytes,
    /// Bytes that were not read yet.
    pub(super) left: usize,
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

/// The stretches between lines that are left out; neighbours in one piece.
fn without_lines(bytes: &Bytes, left_out: &[u32]) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let mut left_out = left_out.iter().copied().peekable();
    let (mut begin, mut end) = (0, 0);
    for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let next = end + line.len();
        if left_out.next_if_eq(&(number as u32)).is_some() {
            parts.extend((begin < end).then(|| bytes.slice(begin..end)));
            begin = next;
        }
        end = next;
    }
    parts.extend((begin < end).then(|| bytes.slice(begin..end)));
    parts
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisteredTask {
    task_uid: u64,
}

impl NodeClient {
    /// Sends a write, once. The whole exchange takes no longer than `timeout`.
    pub fn write(&self, index: &NodeIndexUid, write: &NodeWrite<'_>, timeout: Duration) -> SendOutcome {
        let (method, path, content_type, body) = request_of(index, write);
        send_outcome(self.exchange(method, &path, content_type.zip(body), timeout))
    }

    /// Lets the node make a snapshot of itself. Its task overtakes those that wait.
    pub fn snapshot(&self, timeout: Duration) -> SendOutcome {
        // As for a compaction.
        let body = Some(("application/json", BodyParts::default()));
        send_outcome(self.exchange(Method::POST, "/snapshots", body, timeout))
    }

    /// Deletes these finished tasks from the node's list; that is a task too.
    pub fn delete_tasks(&self, tasks: &[NodeTask], timeout: Duration) -> SendOutcome {
        let uids: Vec<String> = tasks.iter().map(NodeTask::to_string).collect();
        let path = format!("/tasks?statuses=succeeded,failed,canceled&uids={}", uids.join(","));
        send_outcome(self.exchange(Method::DELETE, &path, None, timeout))
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
        NodeWrite::DeleteByFilter { filter, metadata } => {
            let path = format!("/indexes/{index}/documents/delete?customMetadata={}", encode(metadata));
            (Method::POST, path, JSON, Some(BodyParts::json(&json!({ "filter": filter }))))
        }
        NodeWrite::Clear { metadata } => {
            let path = format!("/indexes/{index}/documents?customMetadata={}", encode(metadata));
            (Method::DELETE, path, None, None)
        }
        NodeWrite::DropIndex => (Method::DELETE, format!("/indexes/{index}"), None, None),
        // An empty body rather than none, which would be sent as one in chunks.
        NodeWrite::Compact => (Method::POST, format!("/indexes/{index}/compact"), JSON, Some(BodyParts::default())),
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
        // 501: the node does not know how, and has registered nothing.
        (400..=499 | 501, Some(error)) => SendOutcome::Refused { status, error },
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
