//! Turns what depends on the documents into what does not, by asking one in-sync replica of each shard.
//!
//! A delete by filter becomes ids; an edit by function becomes documents and ids; clearing or deleting an index becomes a
//! number of documents; of a put that skips what does not exist, the documents that exist are found. The caller guarantees
//! that every replica named as readable has applied all that comes before the entry, and that nothing of the index is
//! sent past it meanwhile. So the list of a node's matching documents stands still, and is read in pages: no request
//! takes long, no answer is large, and when a node fails only its part is asked of others.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};

use super::node_client::{FetchedDocuments, NodeClient, NodeError};
use crate::logic::covering::{CoverInput, cover_again};
use crate::logic::entry::{Entry, Operation, Resolution};
use crate::logic::feeder::Publication;
use crate::logic::ids::{IndexUid, NodeId, NodeIndexUid, NodeSlot, ShardId};
use crate::logic::marker;
use crate::logic::payload::Payload;
use crate::logic::primary_key::id_in;
use crate::logic::snapshot::{CoverPart, CoveringSet, NodeView};
use crate::logic::split::split_ids;
use crate::meili::error::{ApiError, Code, ErrorBody};
use crate::meili::filter::{denied_attributes, knows_attribute, node_form};
use crate::meili::hidden_distinct;
use crate::meili::search_message::client_message;
use crate::meili::settings::Object;

mod dumping;
mod editing;
mod existing;
#[cfg(test)]
mod tests;

/// Ids in one answer at most.
const IDS_PER_PAGE: u64 = 10_000;
/// Bytes of one answer at most, about.
const PAGE_BYTES: u64 = 16 * 1024 * 1024;
/// Ids that a node is asked for at once.
const IDS_AT_ONCE: usize = 1_000;
/// Of an id with all around it but the name of the primary key.
const ID_BYTES_MAX: u64 = 530;

/// What is to be resolved.
#[derive(Clone, Copy, Debug)]
pub struct ResolveRequest<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// Its index, by the client's name.
    pub uid: &'a IndexUid,
    /// The same by the nodes' name.
    pub index: &'a NodeIndexUid,
    /// Of the index at this position; none when it never had documents.
    pub primary_key: Option<&'a str>,
    /// The user's settings at this position.
    pub settings: &'a Object,
    /// As of the moment when it became due.
    pub fleet: ReadableFleet<'a>,
    /// The documents of a put.
    pub documents: Option<&'a Payload>,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug)]
pub struct ReadableFleet<'a> {
    /// Owners, and replicas that may not be asked.
    pub readable: &'a Publication,
    /// What is known of the members. Those that do not answer the prober are asked only for what nobody else has.
    pub nodes: &'a [NodeView],
}

/// Why it could not be resolved now.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ResolveError {
    /// No replica of these shards may be asked.
    #[error("no replica in sync of shards {0:?}")]
    NotCovered(Vec<ShardId>),
    /// A node did not answer: try again.
    #[error("node {node}: {error}")]
    Node {
        /// Which.
        node: NodeId,
        /// What it said.
        error: NodeError,
    },
    /// What must stand still did not: try again.
    #[error("node {node}: its documents changed while they were listed")]
    Changed {
        /// Which.
        node: NodeId,
    },
    /// A document that is none: another replica may have it whole.
    #[error("node {node}: a document cannot be read: {reason}")]
    Unreadable {
        /// Which.
        node: NodeId,
        /// What is wrong with it.
        reason: String,
    },
    /// A replica was sent something again while it was read: try again.
    #[error("a replica went back while it was read")]
    Moved,
    /// What was read cannot be kept.
    #[error("{0}")]
    Unwritable(String),
    /// The caller does not want to know any more.
    #[error("stopping")]
    Stopping,
}

/// What came out: to be stored together.
#[derive(Clone, PartialEq, Debug)]
pub struct Resolved {
    /// See there.
    pub resolution: Resolution,
    /// Ids to delete.
    pub payload: Option<Payload>,
}

/// One per thread: it has its own clients.
#[derive(Debug)]
pub struct Resolver {
    node_key: Option<String>,
    timeout: Duration,
    /// With where they were seen: a connection that is kept would go on with the server of before.
    clients: HashMap<NodeId, (Option<SocketAddr>, String, NodeClient)>,
    /// What a client's function makes of documents may be so long.
    edited_bytes_max: usize,
}

impl Resolver {
    /// `timeout` is for one answer.
    pub fn new(node_key: Option<&str>, timeout: Duration) -> Self {
        Self {
            node_key: node_key.map(str::to_owned),
            timeout,
            clients: HashMap::new(),
            edited_bytes_max: editing::BYTES_MAX,
        }
    }

    /// Another bound for what a client's function makes of documents.
    #[must_use]
    pub fn with_edited_bytes_max(self, edited_bytes_max: usize) -> Self {
        Self { edited_bytes_max, ..self }
    }

    /// Asks the nodes, and before each request whether to stop. An answer that the entry cannot be done is a resolution
    /// too.
    pub fn resolve(&mut self, request: ResolveRequest<'_>, stops: &dyn Fn() -> bool) -> Result<Resolved, ResolveError> {
        self.meet(request.fleet.nodes);
        Resolving::new(self, request, stops).resolve()
    }

    /// Has a client for each of these nodes, and for no other.
    fn meet(&mut self, nodes: &[NodeView]) {
        let key = self.node_key.as_deref();
        let is_same = |id: &NodeId, address: Option<SocketAddr>, url: &str| {
            nodes.iter().any(|node| node.id == *id && node.address == address && node.url == url)
        };
        self.clients.retain(|id, (address, url, _)| is_same(id, *address, url));
        for node in nodes {
            let client = || (node.address, node.url.clone(), NodeClient::new(&*node.url, key));
            self.clients.entry(node.id.clone()).or_insert_with(client);
        }
    }
}

/// One entry being resolved.
struct Resolving<'a> {
    resolver: &'a Resolver,
    request: ResolveRequest<'a>,
    stops: &'a dyn Fn() -> bool,
    /// By shard: the slots of its owners. Slots are places in `fleet.nodes`.
    owners: Vec<Vec<NodeSlot>>,
    out_of_sync: Vec<NodeSlot>,
    unreachable: Vec<NodeSlot>,
    foreign: Vec<NodeSlot>,
}

impl<'a> Resolving<'a> {
    fn new(resolver: &'a Resolver, request: ResolveRequest<'a>, stops: &'a dyn Fn() -> bool) -> Self {
        let ReadableFleet { readable, nodes } = request.fleet;
        let slots: HashMap<&NodeId, NodeSlot> = nodes.iter().map(|node| &node.id).zip((0..).map(NodeSlot)).collect();
        let slot = |id: &NodeId| slots.get(id).copied();
        let out_of_sync = readable.out_of_sync.iter().filter(|(_, index)| index == request.index);
        let unreachable = nodes.iter().filter(|node| !node.reachable);
        // Whoever answers at their URLs has not shown that it is the node.
        let strange = nodes.iter().filter(|node| node.address.is_none()).filter_map(|node| slot(&node.id));
        Self {
            resolver,
            request,
            stops,
            owners: readable.owners.iter().map(|owners| owners.iter().filter_map(slot).collect()).collect(),
            out_of_sync: out_of_sync.filter_map(|(id, _)| slot(id)).chain(strange).collect(),
            unreachable: unreachable.filter_map(|node| slot(&node.id)).collect(),
            foreign: readable.foreign.iter().filter_map(slot).collect(),
        }
    }

    fn resolve(&self) -> Result<Resolved, ResolveError> {
        match &self.request.entry.operation {
            Operation::DeleteByFilter { filter } => self.resolve_filter(filter),
            Operation::PutDocuments { creates_index, .. } => self.resolve_existing(*creates_index),
            Operation::EditDocuments { filter, function, context } => {
                self.resolve_edit(filter.as_ref(), (function, context.as_ref()))
            }
            Operation::ClearDocuments
            | Operation::DeleteIndex
            | Operation::DeleteDocuments { .. }
            | Operation::CreateIndex { .. }
            | Operation::UpdateIndex { .. }
            | Operation::UpdateSettings { .. }
            | Operation::SwapIndexes { .. }
            | Operation::CompactIndex
            | Operation::CreateSnapshot
            | Operation::ChangeRules(_)
            | Operation::CreateDump
            | Operation::Export(_)
            | Operation::CancelTasks { .. }
            | Operation::DeleteTasks { .. } => {
                let count = self.count()?;
                Ok(Resolved { resolution: Resolution::Count(count), payload: None })
            }
        }
    }

    /// Which documents of a put exist.
    fn resolve_existing(&self, is_new: bool) -> Result<Resolved, ResolveError> {
        let none = Payload::default();
        let documents = self.request.documents.unwrap_or(&none);
        // Without a primary key there are no documents.
        let primary_key = self.request.primary_key.filter(|_| !is_new);
        let lines = existing::lines(documents, primary_key);
        let mut found = HashSet::new();
        if let Some(primary_key) = primary_key {
            let ids = self.ask_all(|part, _| self.existing(part, &lines, primary_key))?;
            found.extend(ids.into_iter().flatten());
        }
        let (shards, left_out) = existing::left_out(&lines, &found);
        Ok(Resolved { resolution: Resolution::Existing { shards, left_out }, payload: None })
    }

    /// The ids among the lines of the part's shards that its node has.
    fn existing(
        &self,
        part: &CoverPart,
        lines: &[existing::Line],
        primary_key: &str,
    ) -> Result<Vec<String>, ResolveError> {
        let filter = json!(marker::filter_text(&part.shards, self.shard_count()));
        let wanted =
            lines.iter().filter(|line| part.shards.contains(&line.shard)).filter_map(|line| line.id.as_deref());
        let wanted: Vec<&str> = wanted.collect();
        let mut ids = Vec::new();
        for some in wanted.chunks(IDS_AT_ONCE) {
            if (self.stops)() {
                return Err(ResolveError::Stopping);
            }
            let node = self.id(part.node);
            let (.., client) = self.resolver.clients.get(&node).expect("every node of the request was met");
            let answer = client.fetch_of(self.request.index, some, &filter, primary_key, self.resolver.timeout);
            let page = answer.map_err(|error| ResolveError::Node { node, error })?;
            ids.extend(page.results.iter().filter_map(|found| id_of(found, Some(primary_key))));
        }
        Ok(ids)
    }

    fn shard_count(&self) -> u16 {
        self.owners.len() as u16
    }

    /// Attributes that the filter denies and that no node knows, since no document ever had them: to say that they are not
    /// equal to something finds nothing then, and on a node that is asked in its own form everything.
    fn unknown_attributes(&self, filter: &Value) -> Result<Vec<String>, ResolveError> {
        let mut unknown = Vec::new();
        for attribute in denied_attributes(filter) {
            let knowing = Value::from(knows_attribute(&attribute));
            match self.ask_all(|part, _| Ok(self.fetch(part.node, (&knowing, &[], 0..0))?.total)) {
                Ok(found) if found.iter().any(|&total| total > 0) => {}
                // What is wrong with the attribute is said about the client's filter.
                Ok(_) | Err(ResolveError::Node { error: NodeError::Refused { status: 400, .. }, .. }) => {
                    unknown.push(attribute);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(unknown)
    }

    fn resolve_filter(&self, filter: &Value) -> Result<Resolved, ResolveError> {
        let ids = match self.ask_filtered(filter, |part, filter, _| self.ids(part, filter))? {
            Ok(ids) => ids,
            Err(refused) => return Ok(Resolved { resolution: Resolution::Failed(refused), payload: None }),
        };
        let payload = split_ids(ids.iter().flatten().map(String::as_str), self.shard_count());
        let resolution = Resolution::Ids { count: payload.count(), shards: payload.shards() };
        Ok(Resolved { resolution, payload: Some(payload) })
    }

    /// Asks one replica of every shard for what a filter matches, in the form in which nodes need it; inside, why they refuse
    /// it. `ask_part` also gets what other parts have answered.
    fn ask_filtered<T>(
        &self,
        filter: &Value,
        ask_part: impl Fn(&CoverPart, &Value, &[T]) -> Result<T, ResolveError>,
    ) -> Result<Result<Vec<T>, ErrorBody>, ResolveError> {
        if let Err(error) = hidden_distinct::check_filter(self.request.settings, filter, Code::InvalidDocumentFilter) {
            return Ok(Err(shown_error(self.request, &error.body())));
        }
        let unknown = self.unknown_attributes(filter)?;
        let ask = |filter: &Value| self.ask_all(|part, found| ask_part(part, filter, found));
        let asked = match ask(&node_form(filter.clone(), &unknown)) {
            // The message repeats the filter, and is to repeat the client's.
            Err(ResolveError::Node { error: NodeError::Refused { status: 400, .. }, .. }) => ask(filter),
            asked => asked,
        };
        match asked {
            Ok(found) => Ok(Ok(found)),
            Err(ResolveError::Node { error: NodeError::Refused { status: 400, error }, .. }) => {
                Ok(Err(shown_error(self.request, &error)))
            }
            Err(error) => Err(error),
        }
    }

    fn count(&self) -> Result<u64, ResolveError> {
        let counts = self.ask_all(|part, _| {
            let filter = json!(marker::filter_text(&part.shards, self.shard_count()));
            Ok(self.fetch(part.node, (&filter, &[], 0..0))?.total)
        })?;
        Ok(counts.into_iter().sum())
    }

    /// Asks one replica of every shard; what a node does not answer is asked of others. A dead node stays in sync as long
    /// as its peers wait for this entry, so nobody else would go round it. `ask` also gets what other parts have answered.
    fn ask_all<T>(&self, ask: impl Fn(&CoverPart, &[T]) -> Result<T, ResolveError>) -> Result<Vec<T>, ResolveError> {
        let mut all = Vec::new();
        let mut failed: Vec<NodeSlot> = Vec::new();
        let mut last_error = None;
        let mut waiting: Vec<Vec<ShardId>> = vec![(0..self.shard_count()).map(ShardId).collect()];
        while let Some(shards) = waiting.pop() {
            let cover = self.cover(&shards, &failed);
            if !cover.missing.is_empty() {
                return Err(last_error.unwrap_or(ResolveError::NotCovered(cover.missing)));
            }
            for part in cover.parts {
                match ask(&part, &all) {
                    Ok(found) => all.push(found),
                    Err(error) if !is_of_the_node(&error) => return Err(error),
                    Err(error) => {
                        failed.push(part.node);
                        last_error = Some(error);
                        waiting.push(part.shards);
                    }
                }
            }
        }
        Ok(all)
    }

    /// The ids of the documents of one part that match, page by page.
    fn ids(&self, part: &CoverPart, filter: &Value) -> Result<Vec<String>, ResolveError> {
        let filter = and_marker(filter, &part.shards, self.shard_count());
        let primary_key = self.request.primary_key;
        // Without a primary key there are no documents, but the filter must be judged all the same.
        let fields = primary_key.as_slice();
        let step = ids_per_page(primary_key);
        let mut ids: Vec<String> = Vec::new();
        let mut seen = 0;
        let mut expected = None;
        loop {
            let page = self.fetch(part.node, (&filter, fields, seen..seen + step))?;
            let count = page.results.len() as u64;
            seen += count;
            ids.extend(page.results.iter().filter_map(|found| id_of(found, primary_key)));
            let is_end = seen == page.total;
            if *expected.get_or_insert(page.total) != page.total || (count == 0 && !is_end) {
                return Err(ResolveError::Changed { node: self.id(part.node) });
            }
            if is_end {
                return Ok(ids);
            }
        }
    }

    fn cover(&self, shards: &[ShardId], failed: &[NodeSlot]) -> CoveringSet {
        let input = CoverInput {
            placement: &self.owners,
            out_of_sync: &self.out_of_sync,
            unreachable: &self.unreachable,
            may_hold_foreign: &self.foreign,
        };
        cover_again(input, shards, failed)
    }

    fn fetch(
        &self,
        node: NodeSlot,
        (filter, fields, places): (&Value, &[&str], Range<u64>),
    ) -> Result<FetchedDocuments, ResolveError> {
        if (self.stops)() {
            return Err(ResolveError::Stopping);
        }
        let node = self.id(node);
        let (.., client) = self.resolver.clients.get(&node).expect("every node of the request was met");
        let answer = client.fetch_documents(self.request.index, Some(filter), fields, places, self.resolver.timeout);
        answer.map_err(|error| ResolveError::Node { node, error })
    }

    fn id(&self, node: NodeSlot) -> NodeId {
        self.request.fleet.nodes[usize::from(node.0)].id.clone()
    }
}

/// Another replica may answer better; a refused filter is refused by all.
fn is_of_the_node(error: &ResolveError) -> bool {
    match error {
        ResolveError::Node { error: NodeError::Refused { status, .. }, .. } => *status != 400,
        ResolveError::Node {
            error:
                NodeError::Unreachable(_)
                | NodeError::TimedOut(_)
                | NodeError::BadAnswer(_)
                | NodeError::TooLong(_)
                | NodeError::TooOld(_),
            ..
        }
        | ResolveError::Changed { .. }
        | ResolveError::Unreadable { .. } => true,
        ResolveError::NotCovered(_) | ResolveError::Moved | ResolveError::Unwritable(_) | ResolveError::Stopping => {
            false
        }
    }
}

/// A name may be long too, and is repeated with every id.
fn ids_per_page(primary_key: Option<&str>) -> u64 {
    let name = primary_key.map_or(0, |name| json!(name).to_string().len() as u64);
    (PAGE_BYTES / (ID_BYTES_MAX + name)).clamp(1, IDS_PER_PAGE)
}

/// The user's filter, and only these shards.
fn and_marker(filter: &Value, shards: &[ShardId], shard_count: u16) -> Value {
    let mut all = vec![json!(marker::filter_text(shards, shard_count))];
    match filter {
        // The elements of the outer array must all hold.
        Value::Array(parts) => all.extend(parts.iter().cloned()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            all.push(filter.clone());
        }
    }
    Value::Array(all)
}

fn id_of(document: &serde_json::Map<String, Value>, primary_key: Option<&str>) -> Option<String> {
    let document = serde_json::to_string(document).ok()?;
    id_in(primary_key?, &document).ok().map(std::borrow::Cow::into_owned)
}

/// A node's refusal as the task of one server shows it: with the client's name of the index and without the marker.
fn shown_error(request: ResolveRequest<'_>, error: &ErrorBody) -> ErrorBody {
    let uid = request.uid;
    let hidden = hidden_distinct::attribute(request.settings);
    let message = client_message(&error.message, request.index.as_str(), uid.as_str(), hidden);
    let prefix = format!("Index `{uid}`: ");
    let message = if message.starts_with(&prefix) { message } else { format!("{prefix}{message}") };
    ApiError::new(Code::from_name(&error.code).unwrap_or(Code::InvalidDocumentFilter), message).body()
}
