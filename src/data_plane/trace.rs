//! What one search asked of which node, and what came of it: what `X-Miroir-Explain` shows.
//!
//! Kept only for requests that want it. Times are of the monotonic clock, from the beginning of the request.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::scatter::ScatterScope;
use super::upstream::{NodeRequest, NodeResponse, UpstreamError};
use crate::logic::ids::{NodeSlot, ShardId};
use crate::logic::snapshot::{CoverPart, CoveringSet};
use crate::telemetry::clock;

/// Why a node was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Occasion {
    /// It is in the covering set.
    Chosen,
    /// For one that failed.
    Retry,
    /// Beside one that takes long.
    Hedge,
}

impl Occasion {
    fn name(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Retry => "retry",
            Self::Hedge => "hedge",
        }
    }
}

/// One request to a node and its outcome.
#[derive(Debug)]
struct Sent {
    node: NodeSlot,
    shards: Vec<ShardId>,
    target: String,
    occasion: Occasion,
    begun: Duration,
    took: Duration,
    request_bytes: usize,
    answer_bytes: usize,
    outcome: String,
}

/// See the module.
#[derive(Debug)]
pub struct Trace {
    started: Instant,
    sent: RefCell<Vec<Sent>>,
    merging: Cell<Duration>,
}

impl Default for Trace {
    fn default() -> Self {
        Self { started: clock::instant(), sent: RefCell::default(), merging: Cell::default() }
    }
}

/// A request that has no answer yet.
pub struct Pending<'a> {
    trace: &'a Trace,
    target: String,
    begun: Duration,
    request_bytes: usize,
}

impl Trace {
    /// Before a request is sent.
    pub fn begin(&self, request: &NodeRequest) -> Pending<'_> {
        let (target, request_bytes) = (request.target.clone(), request.body.len());
        Pending { trace: self, target, begun: self.started.elapsed(), request_bytes }
    }

    /// Adds to the time that reading and merging answers took.
    pub fn merged(&self, took: Duration) {
        self.merging.set(self.merging.get() + took);
    }

    /// What is shown: a JSON object. `is_first_choice`: the covering set is the one that the query prefers, however busy.
    /// `missing`: the shards that nobody answered for.
    pub fn explain(
        &self,
        scope: ScatterScope<'_>,
        set: &CoveringSet,
        is_first_choice: bool,
        missing: &[ShardId],
    ) -> Value {
        let sent = self.sent.borrow();
        let name = |node: NodeSlot| scope.snapshot.nodes[usize::from(node.0)].id.to_string();
        let request = |sent: &Sent| {
            json!({
                "node": name(sent.node),
                "target": sent.target,
                "shards": sent.shards,
                "occasion": sent.occasion.name(),
                "startedMs": milliseconds(sent.begun),
                "tookMs": milliseconds(sent.took),
                "bytesSent": sent.request_bytes,
                "bytesReceived": sent.answer_bytes,
                "outcome": sent.outcome,
            })
        };
        let count = |occasion: Occasion| sent.iter().filter(|sent| sent.occasion == occasion).count();
        let slots = (0..scope.snapshot.nodes.len()).map(|slot| NodeSlot(slot as u16));
        let nodes: Vec<Value> = slots
            .map(|slot| {
                let part = set.parts.iter().find(|part| part.node == slot);
                json!({
                    "node": name(slot),
                    "shards": part.map(|part| &part.shards[..]).unwrap_or_default(),
                    "filtered": part.is_some_and(|part| part.filter.is_some()),
                    "why": why(scope, slot, part, is_first_choice),
                })
            })
            .collect();
        json!({
            "shards": scope.snapshot.placement.len(),
            "missing": missing,
            "nodes": nodes,
            "requests": sent.iter().map(request).collect::<Vec<_>>(),
            "retries": count(Occasion::Retry),
            "hedges": count(Occasion::Hedge),
            "bytesReceived": sent.iter().map(|sent| sent.answer_bytes).sum::<usize>(),
            "mergeMs": milliseconds(self.merging.get()),
            "totalMs": milliseconds(self.started.elapsed()),
        })
    }
}

impl Pending<'_> {
    /// After its answer, or what came instead.
    pub fn end(self, part: &CoverPart, occasion: Occasion, outcome: &Result<NodeResponse, UpstreamError>) {
        let (answer_bytes, outcome) = match outcome {
            Ok(response) => (response.body.len(), format!("status {}", response.status)),
            Err(error) => (0, error.to_string()),
        };
        let took = self.trace.started.elapsed().saturating_sub(self.begun);
        let Self { trace, target, begun, request_bytes } = self;
        let (node, shards) = (part.node, part.shards.clone());
        let sent = Sent { node, shards, target, occasion, begun, took, request_bytes, answer_bytes, outcome };
        trace.sent.borrow_mut().push(sent);
    }
}

fn why(scope: ScatterScope<'_>, slot: NodeSlot, part: Option<&CoverPart>, is_first_choice: bool) -> &'static str {
    let holds_any = scope.snapshot.placement.iter().any(|replicas| replicas.contains(&slot));
    let node = &scope.snapshot.nodes[usize::from(slot.0)];
    match part {
        Some(_) if is_first_choice => "chosen: this query prefers these nodes",
        Some(_) => "chosen: the nodes that this query prefers are much busier",
        None if !holds_any => "skipped: it holds no shard",
        None if scope.index.out_of_sync.contains(&slot) => "skipped: its replicas of this index are not in sync",
        None if !node.reachable => "skipped: it did not answer the last time it was looked at",
        None => "skipped: other replicas of its shards were chosen",
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
