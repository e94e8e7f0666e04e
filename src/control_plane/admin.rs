//! The admin API: what an operator sees of this Miroir, as JSON. Reads only, through the bridge.
//!
//! | Route | Answer |
//! |---|---|
//! | `GET /health` | the process works; needs no key |
//! | `GET /status` | version, cluster constants, counts, epochs, what does not get on |
//! | `GET /nodes` | one object per node |
//! | `GET /shards` | one object per shard: the nodes that hold it |
//! | `GET /fleet` | nodes and shards with what they hold, lag and in-sync replicas, from the store and the probers |
//! | `GET /tasks?limit=` | the newest tasks, as Meilisearch shows them |
//!
//! Each may be written with `/_miroir` in front. Shapes: `docs/ADMIN-API.md`.
//!
//! Invariant: no key of a client, node or operator is ever part of an answer.

use std::sync::Arc;

use http::Method;
use serde::Serialize;

use super::troubles::{HeldUp, Quarantine, StoreTrouble, Troubles};
use crate::bridge::{Bridge, Command};
use crate::config::Secret;
use crate::http_types::{Request, Response};
use crate::logic::ids::NodeSlot;
use crate::logic::snapshot::RoutingSnapshot;
use crate::meili::error::{ApiError, Code};
use crate::meili::tasks::{TaskPage, TaskQuery, TaskStatus};

#[cfg(test)]
mod tests;

/// Tasks per page unless asked otherwise.
const TASKS_DEFAULT: u64 = 20;
/// Tasks per page at most.
const TASKS_MAX: u64 = 1000;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeCounts {
    total: usize,
    reachable: usize,
    /// Some index is not read from it.
    out_of_sync: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
struct TaskCounts {
    unfinished: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusView {
    version: &'static str,
    /// Published last.
    epoch: u64,
    /// Reached by all cores.
    acknowledged_epoch: u64,
    /// Nothing that is under way uses an older one.
    drained_epoch: u64,
    shards: usize,
    /// For which some index has no replica in sync.
    unreadable_shards: usize,
    replication_factor: usize,
    nodes: NodeCounts,
    indexes: usize,
    tasks: TaskCounts,
    store_trouble: Option<StoreTrouble>,
    held_up: Vec<HeldUp>,
    quarantines: Vec<Quarantine>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeStatusView<'a> {
    id: &'a str,
    url: &'a str,
    address: Option<String>,
    zone: Option<&'a str>,
    weight: f64,
    reachable: bool,
    /// Replicas that it holds.
    shards: usize,
    /// Indexes that are not read from it at the moment.
    out_of_sync: Vec<&'a str>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct ShardView<'a> {
    shard: usize,
    nodes: Vec<&'a str>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct ListView<T> {
    results: Vec<T>,
}

/// See the module.
#[derive(Debug)]
pub struct AdminApi {
    bridge: Arc<Bridge>,
    troubles: Troubles,
    /// None: everyone who reaches the address.
    key: Option<Secret>,
}

impl AdminApi {
    /// In front of this bridge.
    pub fn new(bridge: Arc<Bridge>, troubles: Troubles, key: Option<Secret>) -> Self {
        Self { bridge, troubles, key }
    }

    /// Answers one request. Waits for the control plane when it needs tasks: bound it from outside.
    pub async fn answer(&self, request: Request) -> Response {
        self.try_answer(request).await.into()
    }

    async fn try_answer(&self, request: Request) -> Result<Response, ApiError> {
        let path = request.path.strip_prefix("/_miroir").unwrap_or(&request.path);
        if path == "/health" {
            return Ok(Response::json_bytes(200, r#"{"status":"available"}"#));
        }
        self.authorize(&request)?;
        if request.method != Method::GET {
            return Ok(Response::empty(405));
        }
        let snapshot = self.bridge.snapshot.load_full();
        match path {
            "/status" => Ok(Response::json(200, &self.status(&snapshot).await?)),
            "/nodes" => Ok(Response::json(200, &ListView { results: nodes(&snapshot) })),
            "/fleet" => Ok(Response::json(200, &self.fleet().await?)),
            "/shards" => Ok(Response::json(200, &ListView { results: shards(&snapshot) })),
            "/tasks" => {
                let query = TaskQuery { limit: limit_of(&request.query)?, ..TaskQuery::default() };
                Ok(Response::json(200, &self.tasks(query).await?))
            }
            _ => Ok(Response::text(404, "not a route of the admin API: see /status, /nodes, /shards, /tasks, /fleet")),
        }
    }

    fn authorize(&self, request: &Request) -> Result<(), ApiError> {
        let Some(key) = &self.key else { return Ok(()) };
        let Some(given) = request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) else {
            let message = "The Authorization header is missing. It must use the bearer authorization method.";
            return Err(ApiError::new(Code::MissingAuthorizationHeader, message));
        };
        if is_equal(given.as_bytes(), key.expose().as_bytes()) {
            Ok(())
        } else {
            Err(ApiError::new(Code::InvalidApiKey, "The provided API key is invalid."))
        }
    }

    async fn status(&self, snapshot: &RoutingSnapshot) -> Result<StatusView, ApiError> {
        let statuses = Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]);
        let unfinished = self.tasks(TaskQuery { limit: 0, statuses, ..TaskQuery::default() }).await?.total;
        let mut out_of_sync: Vec<NodeSlot> =
            snapshot.indexes.values().flat_map(|index| index.out_of_sync.iter().copied()).collect();
        out_of_sync.sort_unstable();
        out_of_sync.dedup();
        let readers = self.bridge.progress();
        Ok(StatusView {
            version: env!("CARGO_PKG_VERSION"),
            epoch: snapshot.epoch.0,
            acknowledged_epoch: readers.acknowledged.0,
            drained_epoch: readers.drained.0,
            shards: snapshot.placement.len(),
            unreadable_shards: unreadable_shards(snapshot),
            replication_factor: snapshot.placement.iter().map(Vec::len).min().unwrap_or(0),
            nodes: NodeCounts {
                total: snapshot.nodes.len(),
                reachable: snapshot.nodes.iter().filter(|node| node.reachable).count(),
                out_of_sync: out_of_sync.len(),
            },
            indexes: snapshot.indexes.len(),
            tasks: TaskCounts { unfinished },
            store_trouble: self.troubles.store(),
            held_up: self.troubles.writes(),
            quarantines: self.troubles.quarantines(),
        })
    }

    async fn fleet(&self) -> Result<serde_json::Value, ApiError> {
        let overloaded = || ApiError::new(Code::MiroirOverloaded, "The journal does not answer. Try again later.");
        self.bridge.ask(Command::Fleet).ok_or_else(overloaded)?.await.ok_or_else(overloaded)?
    }

    async fn tasks(&self, query: TaskQuery) -> Result<TaskPage, ApiError> {
        let overloaded = || ApiError::new(Code::MiroirOverloaded, "The journal does not answer. Try again later.");
        let answer = self.bridge.ask(|reply| Command::Tasks(Box::new(query), reply)).ok_or_else(overloaded)?;
        answer.await.ok_or_else(overloaded)?
    }
}

/// Shards of which some index, or all there could be, has no replica that is in sync and reachable.
fn unreadable_shards(snapshot: &RoutingSnapshot) -> usize {
    let is_readable = |holders: &[NodeSlot], out_of_sync: &[NodeSlot]| {
        let mut holders = holders.iter().filter(|slot| !out_of_sync.contains(slot));
        holders.any(|slot| snapshot.nodes[usize::from(slot.0)].reachable)
    };
    let is_unreadable = |holders: &&Vec<NodeSlot>| {
        let mut indexes = snapshot.indexes.values();
        !is_readable(holders, &[]) || indexes.any(|index| !is_readable(holders, &index.out_of_sync))
    };
    snapshot.placement.iter().filter(is_unreadable).count()
}

fn nodes(snapshot: &RoutingSnapshot) -> Vec<NodeStatusView<'_>> {
    let view = |(node, slot)| {
        let node: &crate::logic::snapshot::NodeView = node;
        let slot = NodeSlot(slot);
        let mut out_of_sync: Vec<&str> = snapshot
            .indexes
            .values()
            .filter(|index| index.out_of_sync.contains(&slot))
            .map(|index| index.uid.as_str())
            .collect();
        out_of_sync.sort_unstable();
        NodeStatusView {
            id: node.id.as_str(),
            url: &node.url,
            address: node.address.map(|address| address.to_string()),
            zone: node.zone.as_deref(),
            weight: node.weight,
            reachable: node.reachable,
            shards: snapshot.placement.iter().filter(|holders| holders.contains(&slot)).count(),
            out_of_sync,
        }
    };
    snapshot.nodes.iter().zip(0..).map(view).collect()
}

fn shards(snapshot: &RoutingSnapshot) -> Vec<ShardView<'_>> {
    let name = |slot: &NodeSlot| snapshot.nodes.get(usize::from(slot.0)).map_or("?", |node| node.id.as_str());
    let view =
        |(shard, holders): (usize, &Vec<NodeSlot>)| ShardView { shard, nodes: holders.iter().map(name).collect() };
    snapshot.placement.iter().enumerate().map(view).collect()
}

fn limit_of(query: &str) -> Result<u64, ApiError> {
    let Some(text) = query.split('&').find_map(|pair| pair.strip_prefix("limit=")) else {
        return Ok(TASKS_DEFAULT);
    };
    let limit: u64 = text.parse().map_err(|_| {
        let message = format!("Invalid value in parameter `limit`: could not parse `{text}` as a positive integer");
        ApiError::new(Code::InvalidTaskLimit, message)
    })?;
    Ok(limit.min(TASKS_MAX))
}

/// In a time that does not depend on where the texts differ.
fn is_equal(given: &[u8], expected: &[u8]) -> bool {
    let difference = given.iter().zip(expected).fold(0, |difference, (one, other)| difference | (one ^ other));
    std::hint::black_box(difference) == 0 && given.len() == expected.len()
}
