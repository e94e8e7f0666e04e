//! The interface towards nodes: one request, one whole answer, before a deadline.
//!
//! The node key is added behind this interface; no handler ever holds it. Implemented by the connection pool of a core
//! and by a fake for tests.
//!
//! Cancel safety: a `send` that is dropped before its answer closes its connection, which is never used again. What the
//! node did with the request is unknown then.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::Method;

use crate::logic::ids::{Monotonic, NodeId};
use crate::logic::snapshot::NodeView;

/// A future that stays on its executor.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A request to a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRequest {
    /// Its method.
    pub method: Method,
    /// Path and query, encoded, beginning with a slash.
    pub target: String,
    /// None without a body.
    pub content_type: Option<&'static str>,
    /// The body; cheap to clone.
    pub body: Bytes,
    /// Asking twice does no harm (`POST /search` too): sent once more when a reused connection turns out dead.
    pub is_repeatable: bool,
}

impl NodeRequest {
    /// A `GET`.
    pub fn get(target: impl Into<String>) -> Self {
        let target = target.into();
        Self { method: Method::GET, target, content_type: None, body: Bytes::new(), is_repeatable: true }
    }

    /// A `POST` that only reads: search, `documents/fetch`.
    pub fn post_read(target: impl Into<String>, json: impl Into<Bytes>) -> Self {
        let content_type = Some("application/json");
        Self { method: Method::POST, target: target.into(), content_type, body: json.into(), is_repeatable: true }
    }
}

/// A node's whole answer, whatever its status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeResponse {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no answer. All of them may be tried on another replica.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The node was not seen at its URL yet, or another server answers there.
    #[error("the address of node {node} is not known")]
    Unresolved {
        /// Which node.
        node: NodeId,
    },
    /// No connection; the node has seen nothing.
    #[error("node {node} cannot be reached: {reason}")]
    Unreachable {
        /// Which node.
        node: NodeId,
        /// What the system says.
        reason: String,
    },
    /// The connection broke before the answer was whole.
    #[error("node {node} broke off: {reason}")]
    Broken {
        /// Which node.
        node: NodeId,
        /// What happened.
        reason: String,
    },
    /// The deadline passed.
    #[error("node {node} did not answer in time")]
    TimedOut {
        /// Which node.
        node: NodeId,
    },
    /// The node answers, but this core asks it more than it can answer, and the request was not sent before its deadline; or
    /// there is no memory for its answer.
    #[error("too much is asked of node {node}")]
    Busy {
        /// Which node.
        node: NodeId,
    },
    /// The answer is longer than this core reads.
    #[error("the answer of node {node} is too large")]
    TooLarge {
        /// Which node.
        node: NodeId,
    },
}

impl UpstreamError {
    /// The node that it is about.
    pub fn node(&self) -> &NodeId {
        match self {
            Self::Unresolved { node }
            | Self::Unreachable { node, .. }
            | Self::Broken { node, .. }
            | Self::TimedOut { node }
            | Self::Busy { node }
            | Self::TooLarge { node } => node,
        }
    }
}

/// How busy a node is, as this core sees it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct NodeLoad {
    /// Requests of this core without an answer, those that wait for their turn among them.
    pub in_flight: u32,
    /// Moving average of the time that requests took, given up ones too, in microseconds; 0 before the first.
    pub latency_us: f64,
    /// Nineteen of twenty answers took less, in microseconds; 0 before the first.
    pub slow_us: f64,
    /// Requests are in flight, and for so long not one was answered, in milliseconds.
    pub silent_ms: u64,
}

impl NodeLoad {
    /// How long the next answer may be expected to take, in microseconds.
    pub fn expected_us(&self) -> f64 {
        self.latency_us * f64::from(self.in_flight + 1)
    }
}

/// See the module.
pub trait Upstream {
    /// Sends a request and reads the answer to its end. Never takes longer than the deadline.
    fn send<'a>(
        &'a self,
        node: &'a NodeView,
        request: NodeRequest,
        deadline: Monotonic,
    ) -> LocalFuture<'a, Result<NodeResponse, UpstreamError>>;

    /// For the choice among replicas.
    fn load(&self, node: &NodeId) -> NodeLoad;
}
