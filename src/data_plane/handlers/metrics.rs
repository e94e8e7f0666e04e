//! `/metrics`: Miroir's own numbers, as Prometheus reads them.
//!
//! What one server has too bears its name, so that dashboards go on working: of the whole fleet, each document counted
//! once. What only a fleet has begins with `miroir_`. Sizes of nodes' queues and what a single batch does have no meaning
//! for a fleet and are not there.

use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::Value;

use super::arguments::Arguments;
use super::routes::ROUTES;
use super::stats;
use super::tasks::ask;
use crate::bridge::Command;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::dates::{self, DayEnd};
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Feature;
use crate::meili::keys::Grant;
use crate::meili::task_query::parse_listing;
use crate::meili::tasks::{TaskPage, TaskStatus};
use crate::telemetry::clock;
use crate::telemetry::exposition::{self, Exposition, MetricKind};
use crate::telemetry::requests::{BOUNDS_US, RouteTotals};

pub(super) async fn get(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    core.bridge.features.load().require(Feature::Metrics, "Getting metrics")?;
    if !arguments.grant().allows_all_indexes() {
        let mut error = Grant::refusal();
        error.message.push_str(" The API key for the `/metrics` route must allow access to all indexes.");
        return Err(error);
    }
    let mut text = Exposition::default();
    write_requests(core, &mut text);
    write_indexes(core, arguments, &mut text).await?;
    write_tasks(core, &mut text).await?;
    write_fleet(core, &mut text).await?;
    let headers = vec![(CONTENT_TYPE, HeaderValue::from_static(exposition::CONTENT_TYPE))];
    Ok(Response { status: 200, headers, body: text.into_text().into() })
}

fn write_requests(core: &Core, text: &mut Exposition) {
    const COUNT: &str = "meilisearch_http_requests_total";
    const TIME: &str = "meilisearch_http_response_time_seconds";
    let totals: Vec<_> =
        ROUTES.iter().filter_map(|route| Some((route, core.bridge.requests.totals(route.place)?))).collect();
    text.metric(COUNT, "Requests answered", MetricKind::Counter);
    for (route, RouteTotals { by_status, .. }) in &totals {
        for (status, count) in by_status {
            let status = if *status == 0 { "other".to_owned() } else { status.to_string() };
            text.sample(COUNT, &[("method", route.method), ("path", &route.path), ("status", &status)], count);
        }
    }
    text.metric(TIME, "Time that answers took, in seconds", MetricKind::Histogram);
    let bounds = BOUNDS_US.iter().map(|bound| (*bound as f64 / 1e6).to_string()).chain(["+Inf".to_owned()]);
    let bounds: Vec<String> = bounds.collect();
    for (route, RouteTotals { within_bounds, duration, .. }) in &totals {
        let labels = [("method", route.method), ("path", route.path.as_str())];
        for (bound, count) in bounds.iter().zip(within_bounds) {
            text.sample(&format!("{TIME}_bucket"), &[labels[0], labels[1], ("le", bound)], count);
        }
        text.sample(&format!("{TIME}_sum"), &labels, duration.as_secs_f64());
        text.sample(&format!("{TIME}_count"), &labels, within_bounds.last().copied().unwrap_or_default());
    }
}

async fn write_indexes(core: &Core, arguments: &Arguments, text: &mut Exposition) -> Result<(), ApiError> {
    const DOCUMENTS: &str = "meilisearch_index_docs_count";
    let request = Request::new(http::Method::GET, "/stats");
    let stats = stats::all(core, &request, arguments).await?;
    let stats: Value =
        serde_json::from_slice(&stats.body).map_err(|error| ApiError::new(Code::Internal, error.to_string()))?;
    text.gauge("meilisearch_db_size_bytes", "Size of the databases of all nodes, in bytes", &stats["databaseSize"]);
    text.gauge("meilisearch_used_db_size_bytes", "What of that is in use, in bytes", &stats["usedDatabaseSize"]);
    let empty = serde_json::Map::new();
    let indexes = stats["indexes"].as_object().unwrap_or(&empty);
    text.gauge("meilisearch_index_count", "Indexes", indexes.len());
    text.metric(DOCUMENTS, "Documents of an index, each counted once", MetricKind::Gauge);
    for (uid, index) in indexes {
        text.sample(DOCUMENTS, &[("index", uid)], &index["numberOfDocuments"]);
    }
    if let Some(at) = stats["lastUpdate"].as_str().and_then(microseconds) {
        text.gauge("meilisearch_last_update", "When an index last changed, in seconds since 1970", at / 1_000_000);
    }
    Ok(())
}

async fn tasks(core: &Core, query: &str) -> Result<TaskPage, ApiError> {
    let query = parse_listing(query)?;
    ask(core, |reply| Command::Tasks(Box::new(query), reply)).await
}

async fn write_tasks(core: &Core, text: &mut Exposition) -> Result<(), ApiError> {
    const TASKS: &str = "meilisearch_nb_tasks";
    let mut counts = Vec::new();
    for status in TaskStatus::ALL {
        let page = tasks(core, &format!("limit=1&statuses={}", status.name())).await?;
        counts.push((status, page.total));
    }
    text.metric(TASKS, "Tasks by what they are", MetricKind::Gauge);
    for (status, count) in &counts {
        text.sample(TASKS, &[("kind", "statuses"), ("value", status.name())], count);
    }
    let is_processing = counts.iter().any(|(status, count)| *status == TaskStatus::Processing && *count > 0);
    text.gauge("meilisearch_is_indexing", "1 while nodes work on a task", u8::from(is_processing));
    let waiting = tasks(core, "limit=1&reverse=true&statuses=enqueued,processing").await?;
    let since = waiting.results.first().and_then(|task| microseconds(&task.enqueued_at));
    let waits_us = since.map_or(0, |since| (clock::timestamp().0 - since).max(0));
    text.gauge(
        "meilisearch_task_queue_latency_seconds",
        "For how long the oldest task that has not ended has been there, in seconds",
        waits_us as f64 / 1e6,
    );
    Ok(())
}

/// Name, help, and what it is of a node.
type NodeGauge = (&'static str, &'static str, fn(&Value) -> Option<Value>);

/// Of each node, and of the replicas of all shards.
async fn write_fleet(core: &Core, text: &mut Exposition) -> Result<(), ApiError> {
    const GAUGES: [NodeGauge; 5] = [
        ("miroir_node_up", "1 if the node answers", |node| node["reachable"].as_bool().map(|up| u8::from(up).into())),
        ("miroir_node_lag_entries", "Entries that the node has yet to apply", |node| number(&node["lag"])),
        ("miroir_node_out_of_sync_indexes", "Indexes that are not read from the node", |node| {
            Some(node["outOfSync"].as_array()?.len().into())
        }),
        ("miroir_node_documents", "Documents of the node, as last seen", |node| number(&node["documents"])),
        ("miroir_node_db_size_bytes", "Size of the node's database, as last seen, in bytes", |node| {
            number(&node["databaseSize"])
        }),
    ];
    let fleet = ask::<Value>(core, Command::Fleet).await?;
    let nodes = || fleet["nodes"].as_array().into_iter().flatten();
    for (name, help, read) in GAUGES {
        text.metric(name, help, MetricKind::Gauge);
        for node in nodes() {
            if let Some(value) = read(node) {
                text.sample(name, &[("node", node["id"].as_str().unwrap_or_default())], value);
            }
        }
    }
    let shards = || fleet["shards"].as_array().into_iter().flatten();
    let in_sync = |shard: &Value| {
        let replicas = shard["replicas"].as_array().into_iter().flatten();
        replicas.filter(|replica| replica["inSync"] == Value::Bool(true)).count()
    };
    text.gauge("miroir_shards", "Shards", shards().count());
    text.gauge(
        "miroir_shards_unreadable",
        "Shards of which no replica is in sync for every index",
        shards().filter(|shard| in_sync(shard) == 0).count(),
    );
    text.gauge("miroir_replicas_in_sync", "Replicas of shards that are in sync", shards().map(in_sync).sum::<usize>());
    text.gauge("miroir_snapshot_epoch", "Version of the routing snapshot", core.snapshot().epoch.0);
    Ok(())
}

fn microseconds(date: &str) -> Option<i64> {
    dates::parse(date, DayEnd::Start)
}

fn number(value: &Value) -> Option<Value> {
    value.is_number().then(|| value.clone())
}
