//! Every route, and what it asks. `docs/admin-api.yaml` lists the same ones.

use http::Method;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::topology;
use crate::bridge::topology::{TopologyRequest, WhatIf};
use crate::http_types::Request;
use crate::meili::error::{ApiError, Code};
use crate::meili::tasks::TaskQuery;

/// Tasks per page unless asked otherwise.
const TASKS_DEFAULT: u64 = 20;
/// Tasks per page at most.
const TASKS_MAX: u64 = 1000;

/// What a request asks.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Question {
    Health,
    Status,
    Nodes,
    Shards,
    Fleet,
    Tasks(Box<TaskQuery>),
    Topology(Box<TopologyRequest>),
}

impl From<TopologyRequest> for Question {
    fn from(request: TopologyRequest) -> Self {
        Self::Topology(Box::new(request))
    }
}

/// A method and a path with names in braces, which stand for one segment each.
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Without `/_miroir`.
    pub path: &'static str,
    ask: fn(&Captures<'_>) -> Result<Question, ApiError>,
}

/// All of them.
pub const ROUTES: &[Route] = &[
    get("/health", |_| Ok(Question::Health)),
    get("/status", |_| Ok(Question::Status)),
    get("/nodes", |_| Ok(Question::Nodes)),
    get("/shards", |_| Ok(Question::Shards)),
    get("/fleet", |_| Ok(Question::Fleet)),
    get("/tasks", |path| tasks(path.request)),
    post("/nodes", |path| Ok(topology::add_node(path)?.into())),
    Route { method: Method::DELETE, path: "/nodes/{id}", ask: |path| Ok(topology::remove_node(path)?.into()) },
    get("/nodes/{id}/can-stop", |path| Ok(topology::can_stop(path).into())),
    get("/shards/{shard}/explain", |path| Ok(topology::explain_shard(path)?.into())),
    get("/indexes/{index}/documents/{document}/explain", |path| Ok(topology::explain_document(path).into())),
    get("/rebalance", |_| Ok(TopologyRequest::RebalanceStatus.into())),
    get("/rebalance/history", |_| Ok(TopologyRequest::RebalanceHistory.into())),
    post("/rebalance/plan", |path| Ok(TopologyRequest::Preview(path.body()?).into())),
    post("/rebalance/start", |path| Ok(topology::start(path, WhatIf::default())?.into())),
    post("/rebalance/pause", |path| Ok(topology::pause(path, true)?.into())),
    post("/rebalance/resume", |path| Ok(topology::pause(path, false)?.into())),
    post("/rebalance/abort", |path| Ok(topology::abort(path)?.into())),
    Route {
        method: Method::PATCH,
        path: "/rebalance/limits",
        ask: |path| Ok(TopologyRequest::SetPace(path.body()?).into()),
    },
    post("/nodes/{id}/drain", |path| Ok(topology::drain(path)?.into())),
    Route { method: Method::DELETE, path: "/nodes/{id}/drain", ask: |path| Ok(topology::keep(path)?.into()) },
    post("/nodes/{id}/replace", |path| Ok(topology::replace_node(path)?.into())),
    put("/nodes/{id}/maintenance", |path| Ok(topology::maintain(path)?.into())),
    get("/verify", |_| Ok(TopologyRequest::VerifyStatus.into())),
    post("/verify", |path| Ok(topology::verify(path)?.into())),
    post("/nodes/{id}/compact", |path| Ok(topology::compact(path)?.into())),
    post("/drift/check", |_| Ok(TopologyRequest::CheckSettings.into())),
    get("/backup", |_| Ok(TopologyRequest::BackupStatus.into())),
    post("/backup", |path| Ok(topology::back_up(path)?.into())),
    put("/replication-factor", |path| Ok(topology::replication_factor(path)?.into())),
];

const fn get(path: &'static str, ask: fn(&Captures<'_>) -> Result<Question, ApiError>) -> Route {
    Route { method: Method::GET, path, ask }
}

const fn post(path: &'static str, ask: fn(&Captures<'_>) -> Result<Question, ApiError>) -> Route {
    Route { method: Method::POST, path, ask }
}

const fn put(path: &'static str, ask: fn(&Captures<'_>) -> Result<Question, ApiError>) -> Route {
    Route { method: Method::PUT, path, ask }
}

/// The segments of a path that stand where a route has names, and the request.
pub(super) struct Captures<'a> {
    pub request: &'a Request,
    segments: Vec<&'a str>,
}

impl Captures<'_> {
    /// Decoded; what is no UTF-8 matches nothing that exists.
    ///
    /// # Panics
    /// If the route has fewer names.
    pub fn text(&self, number: usize) -> String {
        percent_decode_str(self.segments[number]).decode_utf8_lossy().into_owned()
    }

    /// The JSON body; that of an empty object when there is none. Nothing else is asked for: a `dryRun` in the URL, where
    /// nobody looks for it, must not be taken for the real thing.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        self.no_query_but(&[])?;
        let body: &[u8] = if self.request.body.is_empty() { b"{}" } else { &self.request.body };
        let malformed = |error| {
            ApiError::new(Code::MalformedPayload, format!("The json payload provided is malformed. `{error}`."))
        };
        serde_json::from_slice(body).map_err(malformed)
    }

    /// Refuses parameters in the URL that have other names.
    pub fn no_query_but(&self, names: &[&str]) -> Result<(), ApiError> {
        let pairs = self.request.query.split('&').filter(|pair| !pair.is_empty());
        let mut found = pairs.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
        match found.find(|name| !names.contains(name)) {
            None => Ok(()),
            Some(other) => {
                let message = format!("`{other}` is no parameter of this URL; a body has what changes something.");
                Err(ApiError::new(Code::BadRequest, message))
            }
        }
    }
}

/// Why there is no question.
pub(super) enum NoQuestion {
    /// The path exists with other methods, these.
    Method(String),
    /// It does not, or what stands in it makes no sense.
    Error(ApiError),
}

/// `path` is without `/_miroir`.
pub(super) fn question(path: &str, request: &Request) -> Result<Question, NoQuestion> {
    let mut allowed = Vec::new();
    for route in ROUTES {
        let Some(segments) = segments(route.path, path) else { continue };
        if route.method == request.method {
            return (route.ask)(&Captures { request, segments }).map_err(NoQuestion::Error);
        }
        allowed.push(route.method.as_str());
    }
    if !allowed.is_empty() {
        return Err(NoQuestion::Method(allowed.join(", ")));
    }
    let known: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
    let message = format!("`{path}` is not a route of the admin API. Its routes are: {}.", known.join(", "));
    Err(NoQuestion::Error(ApiError::new(Code::MiroirRouteUnknown, message)))
}

/// The segments that stand where the pattern has names; none if it is another path.
fn segments<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let mut found = Vec::new();
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(found),
            (Some(name), Some(segment)) if name.starts_with('{') && !segment.is_empty() => found.push(segment),
            (Some(word), Some(segment)) if word == segment => {}
            (Some(_) | None, Some(_) | None) => return None,
        }
    }
}

fn tasks(request: &Request) -> Result<Question, ApiError> {
    let query = TaskQuery { limit: limit_of(&request.query)?, ..TaskQuery::default() };
    Ok(Question::Tasks(Box::new(query)))
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
