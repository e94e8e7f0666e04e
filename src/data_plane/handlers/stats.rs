//! Statistics, each document counted once.
//!
//! While all replicas of an index are in sync and answer, and no node holds more than its shards, counts are the nodes' sums
//! divided by the number of replicas. Otherwise documents are counted exactly over a covering set; how often each field
//! occurs, and how many embeddings there are, is then estimated from the nodes' own counts in the proportion of their
//! documents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::documents_read::malformed;
use super::indexes::not_found;
use super::search::with_missing;
use crate::data_plane::core::{Core, PartialPolicy};
use crate::data_plane::gather::Gather;
use crate::data_plane::reading::{check_complete, node_error};
use crate::data_plane::scatter::{ScatterScope, scatter};
use crate::data_plane::upstream::NodeRequest;
use crate::http_types::{Request, Response};
use crate::logic::ids::{NodeSlot, ShardId};
use crate::logic::marker;
use crate::logic::merge::documents::NodePage;
use crate::logic::snapshot::{IndexView, RoutingSnapshot};
use crate::meili::bad_value::unknown_parameter_value;
use crate::meili::dates::rfc3339;
use crate::meili::documents_query::DocumentsQuery;
use crate::meili::error::{ApiError, Code};
use crate::meili::query_string::QueryString;
use crate::meili::sizes::shown_size;

/// Of one index, on a node or for the client.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct IndexStats {
    number_of_documents: u64,
    raw_document_db_size: u64,
    avg_document_size: u64,
    is_indexing: bool,
    /// Only where they were asked for.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    internal_database_sizes: Map<String, Value>,
    number_of_embeddings: u64,
    number_of_embedded_documents: u64,
    field_distribution: BTreeMap<String, u64>,
}

/// Of a node.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeStats {
    database_size: u64,
    used_database_size: u64,
    indexes: BTreeMap<String, IndexStats>,
}

/// What the query string says.
struct StatsQuery {
    shows_internal_sizes: bool,
    /// Sizes with a unit, for people.
    is_human: bool,
}

impl StatsQuery {
    fn parse(query: &str) -> Result<Self, ApiError> {
        const FORMATS: [&str; 2] = ["human", "raw"];
        let query = QueryString::parse(query, &["showInternalDatabaseSizes", "sizeFormat"])?;
        let shown = query.boolean("showInternalDatabaseSizes", Code::InvalidStatsShowInternalDatabaseSizes)?;
        let format = query.get("sizeFormat").unwrap_or("raw");
        if !FORMATS.contains(&format) {
            return Err(unknown_parameter_value(Code::InvalidStatsSizeFormat, "sizeFormat", format, &FORMATS));
        }
        Ok(Self { shows_internal_sizes: shown.unwrap_or(false), is_human: format == "human" })
    }

    /// What nodes are asked: raw, for sizes are summed.
    fn target(&self) -> &'static str {
        if self.shows_internal_sizes { "/stats?showInternalDatabaseSizes=true" } else { "/stats" }
    }

    fn size(&self, bytes: u64) -> Value {
        if self.is_human { shown_size(bytes).into() } else { bytes.into() }
    }

    fn shown(&self, mut stats: IndexStats) -> Value {
        for size in stats.internal_database_sizes.values_mut() {
            *size = self.size(size.as_u64().unwrap_or(0));
        }
        let (database, document) = (self.size(stats.raw_document_db_size), self.size(stats.avg_document_size));
        let mut shown = json!(stats);
        shown["rawDocumentDbSize"] = database;
        shown["avgDocumentSize"] = document;
        shown
    }
}

/// `GET /stats`.
///
/// # Errors
/// `bad_request`, `invalid_stats_show_internal_database_sizes`, `invalid_stats_size_format`, `miroir_shard_unavailable`.
pub async fn all(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let query = StatsQuery::parse(&request.query)?;
    let snapshot = core.snapshot();
    let nodes = node_stats(core, &snapshot, query.target()).await;
    let is_shown = |view: &&IndexView| arguments.grant().allows_index(view.uid.as_str());
    let mut views: Vec<&IndexView> = snapshot.indexes.values().map(AsRef::as_ref).filter(is_shown).collect();
    views.sort_by(|left, right| left.uid.cmp(&right.uid));
    let mut indexes = serde_json::Map::new();
    let mut missing: Vec<ShardId> = Vec::new();
    for view in &views {
        let (stats, lacking) = index_stats(core, &snapshot, view, &nodes).await?;
        missing.extend(lacking);
        indexes.insert(view.uid.to_string(), query.shown(stats));
    }
    missing.sort_unstable();
    missing.dedup();
    let last_update = views.iter().map(|view| view.updated_at.get()).max().map_or(Value::Null, |at| json!(rfc3339(at)));
    let sum = |size: fn(&NodeStats) -> u64| query.size(nodes.values().map(size).sum());
    let body = json!({
        "databaseSize": sum(|node| node.database_size),
        "usedDatabaseSize": sum(|node| node.used_database_size),
        "lastUpdate": last_update,
        "indexes": indexes,
    });
    Ok(with_missing(Response::json(200, &body), &missing))
}

/// `GET /indexes/{index}/stats`.
///
/// # Errors
/// As [`all`]; `index_not_found`.
pub async fn one(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let query = StatsQuery::parse(&request.query)?;
    let uid = arguments.index()?;
    let snapshot = core.snapshot();
    let view = snapshot.indexes.get(&uid).ok_or_else(|| not_found(&uid))?;
    let nodes = node_stats(core, &snapshot, query.target()).await;
    let (stats, missing) = index_stats(core, &snapshot, view, &nodes).await?;
    Ok(with_missing(Response::json(200, &query.shown(stats)), &missing))
}

/// What every node says of itself; nodes that do not answer are left out.
async fn node_stats(core: &Core, snapshot: &RoutingSnapshot, target: &str) -> BTreeMap<NodeSlot, NodeStats> {
    let deadline = core.read_deadline();
    let mut in_flight = Gather::new();
    for (slot, node) in snapshot.nodes.iter().enumerate() {
        let patience = core.patience.with(node, core.now(), deadline);
        in_flight.push(NodeSlot(slot as u16), core.upstream.send(node, NodeRequest::get(target), patience));
    }
    let mut stats = BTreeMap::new();
    while let Some((slot, outcome)) = in_flight.next().await {
        core.patience.note(&snapshot.nodes[usize::from(slot.0)].id, &outcome, core.now());
        let body = outcome.ok().filter(|response| response.status == 200).map(|response| response.body);
        if let Some(node) = body.and_then(|body| serde_json::from_slice(&body).ok()) {
            stats.insert(slot, node);
        }
    }
    stats
}

/// The statistics of an index, and the shards that they lack.
async fn index_stats(
    core: &Core,
    snapshot: &RoutingSnapshot,
    view: &IndexView,
    nodes: &BTreeMap<NodeSlot, NodeStats>,
) -> Result<(IndexStats, Vec<ShardId>), ApiError> {
    let of_node = |slot: &NodeSlot| nodes.get(slot).and_then(|node| node.indexes.get(view.node_uid.as_str()));
    let mut holders: Vec<NodeSlot> = snapshot.placement.iter().flatten().copied().collect();
    holders.sort_unstable();
    holders.dedup();
    let known: Vec<&IndexStats> = holders.iter().filter_map(of_node).collect();
    let mut summed = IndexStats::default();
    for stats in &known {
        summed.add(stats);
    }
    summed.field_distribution.remove(marker::FIELD);
    let replicas = snapshot.placement.first().map_or(0, Vec::len);
    let is_even = replicas > 0 && snapshot.placement.iter().all(|nodes| nodes.len() == replicas);
    if is_even && snapshot.foreign.is_empty() && view.out_of_sync.is_empty() && known.len() == holders.len() {
        summed.divide(replicas as u64);
        return Ok((summed, Vec::new()));
    }
    let scope = ScatterScope { snapshot, index: view, deadline: core.read_deadline(), trace: None };
    let set = scope.cover(&(0..snapshot.placement.len() as u16).map(ShardId).collect::<Vec<_>>(), &[]);
    let target = format!("/indexes/{}/documents/fetch", view.node_uid);
    let count = DocumentsQuery::default();
    let scattered = scatter(core, scope, &set, |part, _| {
        NodeRequest::post_read(target.clone(), count.node_body(0, 0, part.filter.as_deref()))
    });
    let scattered = scattered.await.map_err(|refusal| node_error(&refusal.response.body, view))?;
    check_complete(&scattered, PartialPolicy::Partial)?;
    let mut counted = 0;
    let mut fields: BTreeMap<String, f64> = BTreeMap::new();
    let (mut embeddings, mut embedded_documents) = (0.0, 0.0);
    for answer in &scattered.answers {
        let text = std::str::from_utf8(&answer.body).map_err(|_| malformed())?;
        let total = NodePage::read(text).map_err(|_| malformed())?.total;
        counted += total;
        if let Some(stats) = of_node(&answer.part.node).filter(|stats| stats.number_of_documents > 0) {
            let share = total as f64 / stats.number_of_documents as f64;
            for (field, count) in &stats.field_distribution {
                *fields.entry(field.clone()).or_default() += *count as f64 * share;
            }
            embeddings += stats.number_of_embeddings as f64 * share;
            embedded_documents += stats.number_of_embedded_documents as f64 * share;
        }
    }
    fields.remove(marker::FIELD);
    summed.number_of_documents = counted;
    summed.number_of_embeddings = embeddings.round() as u64;
    summed.number_of_embedded_documents = embedded_documents.round() as u64;
    summed.field_distribution = fields
        .into_iter()
        .map(|(field, count)| (field, count.round() as u64))
        .filter(|(_, count)| *count > 0)
        .collect();
    Ok((summed, scattered.missing))
}

impl IndexStats {
    fn add(&mut self, other: &Self) {
        let bytes =
            self.avg_document_size * self.number_of_documents + other.avg_document_size * other.number_of_documents;
        self.number_of_documents += other.number_of_documents;
        self.avg_document_size = bytes.checked_div(self.number_of_documents).unwrap_or(0);
        self.raw_document_db_size += other.raw_document_db_size;
        self.is_indexing |= other.is_indexing;
        for (database, size) in &other.internal_database_sizes {
            let total = self.internal_database_sizes.get(database).and_then(Value::as_u64).unwrap_or(0);
            let total = total + size.as_u64().unwrap_or(0);
            self.internal_database_sizes.insert(database.clone(), total.into());
        }
        self.number_of_embeddings += other.number_of_embeddings;
        self.number_of_embedded_documents += other.number_of_embedded_documents;
        for (field, count) in &other.field_distribution {
            *self.field_distribution.entry(field.clone()).or_default() += count;
        }
    }

    fn divide(&mut self, replicas: u64) {
        self.number_of_documents /= replicas;
        self.number_of_embeddings /= replicas;
        self.number_of_embedded_documents /= replicas;
        for count in self.field_distribution.values_mut() {
            *count /= replicas;
        }
        self.field_distribution.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests;
