//! Reading documents: one by id from a replica of its shard, or lists over a covering set.
//!
//! Without `sort`, a list is the nodes' lists one behind the other, in the order of the covering set: on an unchanged fleet
//! pages neither repeat nor skip. With `sort`, the nodes' lists are merged by the values of the documents.

use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::arguments::{Arguments, require_json};
use super::indexes::not_found;
use super::search::{partial_policy, with_missing};
use crate::data_plane::core::{Core, Turns};
use crate::data_plane::denying::unknown_attributes;
use crate::data_plane::foreign_keys::{ForeignIndexes, Rewritten};
use crate::data_plane::reading::{bodies_of, check_complete, explained, node_error, nothing_to_read};
use crate::data_plane::scatter::{NodeRefusal, ScatterScope, Scattered, scatter};
use crate::data_plane::upstream::NodeRequest;
use crate::http_types::{Request, Response};
use crate::logic::ids::{IndexUid, ShardId};
use crate::logic::marker::strip;
use crate::logic::merge::documents::{DocumentPage, ListWriter, NodePage, SortedMerge, page_windows};
use crate::logic::replica_choice::{choose, query_hash};
use crate::logic::shard_hash::shard_of;
use crate::logic::snapshot::{CoverPart, CoveringSet};
use crate::meili::documents_query::{DocumentQuery, DocumentsQuery};
use crate::meili::error::{ApiError, Code};
use crate::meili::hidden_distinct;

/// `GET /indexes/{index}/documents`.
///
/// # Errors
/// As one server; `miroir_reserved_field`, `miroir_shard_unavailable`.
pub async fn list(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let query = DocumentsQuery::from_query(&request.query)?;
    answer_list(core, request, &arguments.index()?, &query).await
}

/// `POST /indexes/{index}/documents/fetch`.
///
/// # Errors
/// As [`list`].
pub async fn fetch(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let query = DocumentsQuery::from_json(&request.body)?;
    answer_list(core, request, &arguments.index()?, &query).await
}

/// `GET /indexes/{index}/documents/{document}`.
///
/// # Errors
/// As one server; `miroir_reserved_field`, `miroir_shard_unavailable`.
pub async fn get(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let query = DocumentQuery::from_query(&request.query)?;
    let (uid, id) = (arguments.index()?, arguments.text(1));
    let snapshot = core.snapshot();
    let index = snapshot.indexes.get(&uid).ok_or_else(|| not_found(&uid))?;
    let scope = ScatterScope { snapshot: &snapshot, index, deadline: core.read_deadline(), trace: None };
    let shard = shard_of(id, snapshot.placement.len().max(1) as u16);
    let set = scope.cover(&[shard], &[]);
    let mut target = format!("/indexes/{}/documents/{}", index.node_uid, encoded(id));
    if let Some(fields) = &query.fields {
        target.push_str("?fields=");
        target.push_str(&encoded(&fields.join(",")));
    }
    if query.retrieve_vectors {
        target.push_str(if query.fields.is_some() { "&retrieveVectors=true" } else { "?retrieveVectors=true" });
    }
    let scattered = scatter(core, scope, &set, |_, _| NodeRequest::get(target.clone())).await;
    let scattered = scattered.map_err(|refusal| node_error(&refusal.response.body, index))?;
    let bodies = bodies_of(&scattered, &snapshot)?;
    let Some(document) = bodies.first() else {
        let message = format!("No replica of shard {shard} can be read.");
        return Err(ApiError::new(Code::MiroirShardUnavailable, message));
    };
    let stripped = strip(document).map_err(|_| malformed())?;
    Ok(Response::json_bytes(200, Bytes::from(stripped.into_owned())))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

pub(super) fn malformed() -> ApiError {
    ApiError::new(Code::Internal, "A node sent an answer that cannot be read.")
}

async fn answer_list(
    core: &Core,
    request: &Request,
    uid: &IndexUid,
    query: &DocumentsQuery,
) -> Result<Response, ApiError> {
    let snapshot = core.snapshot();
    let index = snapshot.indexes.get(uid).ok_or_else(|| not_found(uid))?;
    let policy = partial_policy(core, request)?;
    let scope = ScatterScope { snapshot: &snapshot, index, deadline: core.read_deadline(), trace: None };
    let foreign = ForeignIndexes { core, snapshot: &snapshot, deadline: scope.deadline, policy };
    let Rewritten { filters: [filter], missing } = foreign.rewrite([(&**index, query.filter.as_ref())]).await?;
    let query = &DocumentsQuery { filter: filter.or_else(|| query.filter.clone()), ..query.clone() };
    query.check()?;
    if let Some(filter) = &query.filter {
        hidden_distinct::check_filter(&index.settings, filter, Code::InvalidDocumentFilter)?;
    }
    // All pages of a list must come from the same nodes: nothing but the index decides.
    let hash = query_hash([uid.as_str().as_bytes()]);
    let set = choose(&index.covers, &snapshot.nodes, hash, |_| 0.0).ok_or_else(nothing_to_read)?;
    let target = format!("/indexes/{}/documents/fetch", index.node_uid);
    let explain = || NodeRequest::post_read(target.clone(), query.explain_body());
    let unknown = unknown_attributes(core, scope, set, query.filter.as_ref(), explain).await?;
    let query = &DocumentsQuery { unknown, ..query.clone() };
    let reading = Reading { core, scope, set, query, target: target.clone() };
    let result = if query.sort.is_empty() { reading.one_behind_the_other().await } else { reading.sorted().await };
    let (documents, total, scattered) = match result {
        Ok(list) => list,
        Err(ReadError::Refused(refusal)) => {
            return Err(explained(core, scope, refusal, explain()).await.for_client());
        }
        Err(ReadError::Malformed) => return Err(malformed()),
    };
    let scattered = scattered.lacking_too(missing);
    check_complete(&scattered, policy)?;
    let page = DocumentPage { offset: query.offset, limit: query.limit, total };
    let mut list = ListWriter::default();
    let mut turns = Turns::new(core);
    for document in documents {
        list.push(&document).map_err(|_| malformed())?;
        turns.worked(document.len()).await;
    }
    let body = list.finish(page, !scattered.missing.is_empty());
    Ok(with_missing(Response::json_bytes(200, Bytes::from(body)), &scattered.missing))
}

/// Of each node's sorted list, what is asked for before it is known how long the list is.
const SORTED_FIRST: u64 = 10_000;

/// Pages that end within so many documents of the list are read with one request to each node.
const NEAR: u64 = 100;

enum ReadError {
    Refused(NodeRefusal),
    Malformed,
}

impl From<NodeRefusal> for ReadError {
    fn from(refusal: NodeRefusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Documents as JSON texts, how many match, and what was asked for it.
type Listed = Result<(Vec<String>, u64, Scattered), ReadError>;

/// One list being read.
struct Reading<'a> {
    core: &'a Core,
    scope: ScatterScope<'a>,
    set: &'a CoveringSet,
    query: &'a DocumentsQuery,
    target: String,
}

impl Reading<'_> {
    fn request(&self, body: &[u8]) -> NodeRequest {
        NodeRequest::post_read(self.target.clone(), Bytes::copy_from_slice(body))
    }

    async fn ask(
        &self,
        set: &CoveringSet,
        body: impl Fn(&CoverPart, bool) -> Vec<u8>,
    ) -> Result<Scattered, NodeRefusal> {
        scatter(self.core, self.scope, set, |part, is_alone| self.request(&body(part, is_alone))).await
    }

    /// A page near the beginning: the first documents of every part, as many as it may take, counted by the same answers.
    /// A page further on: first how many documents each part has, then the documents of those parts that it touches. While
    /// others write, a document may move between the two over the border of a page.
    async fn one_behind_the_other(&self) -> Listed {
        let query = self.query;
        let depth = if query.limit == 0 { 0 } else { query.depth() };
        let is_near = depth <= NEAR;
        let counted = self.ask(self.set, |part, is_alone| {
            let others = (0, if is_near { depth } else { 0 });
            let (offset, limit) = if is_alone { (query.offset, query.limit) } else { others };
            query.node_body(offset, limit, part.filter.as_deref())
        });
        let counted = counted.await?;
        let pages = read_pages(self.core, &counted).await?;
        let total = pages.iter().map(|page| page.total).sum();
        if counted.is_alone() {
            let documents = pages.into_iter().flat_map(|page| page.documents).map(str::to_owned).collect();
            return Ok((documents, total, counted));
        }
        let totals: Vec<u64> = pages.iter().map(|page| page.total).collect();
        let windows = page_windows(&totals, query.offset, query.limit);
        if is_near {
            let window = |(page, (offset, limit)): (NodePage<'_>, (u64, u64))| {
                let documents = page.documents.into_iter().skip(offset as usize).take(limit as usize);
                documents.map(str::to_owned).collect::<Vec<_>>()
            };
            return Ok((pages.into_iter().zip(windows).flat_map(window).collect(), total, counted));
        }
        let touched: Vec<(CoverPart, (u64, u64))> = counted
            .answers
            .iter()
            .map(|answer| answer.part.clone())
            .zip(windows)
            .filter(|(_, (_, limit))| *limit > 0)
            .collect();
        let set = CoveringSet { parts: touched.iter().map(|(part, _)| part.clone()).collect(), missing: Vec::new() };
        let asked = self.ask(&set, |part, _| {
            // A stand-in for a node that failed in between has another order: its whole window is the best that is left.
            let known = touched.iter().find(|(known, _)| known.node == part.node && known.shards == part.shards);
            let (offset, limit) = known.map_or((0, query.limit), |(_, window)| *window);
            query.node_body(offset, limit, part.filter.as_deref())
        });
        let asked = asked.await?;
        let pages = read_pages(self.core, &asked).await?;
        let documents = pages.into_iter().flat_map(|page| page.documents).take(query.limit as usize);
        let documents = documents.map(str::to_owned).collect();
        let missing: Vec<ShardId> = counted.missing.iter().chain(&asked.missing).copied().collect();
        let is_overloaded = counted.is_overloaded || asked.is_overloaded;
        Ok((documents, total, Scattered { missing, is_overloaded, ..counted }))
    }

    /// The first documents of every part, at most `most` of each, and what the sort rules look at.
    async fn ask_sorted(&self, most: u64) -> Result<Scattered, NodeRefusal> {
        let query = self.query;
        self.ask(self.set, |part, is_alone| {
            if is_alone {
                query.node_body(query.offset, query.limit.min(most), part.filter.as_deref())
            } else {
                query.sortable_body(0, query.depth().min(most), part.filter.as_deref())
            }
        })
        .await
    }

    /// The first documents of every part, merged by what the sort rules look at, which is asked for too.
    ///
    /// A node sets memory aside for a whole sorted page, however few documents it has, and dies if that is too much. So a
    /// deep page is asked for in two steps: when the first shows that there are more, the second asks for as many as there
    /// are.
    async fn sorted(&self) -> Listed {
        let query = self.query;
        let mut asked = self.ask_sorted(SORTED_FIRST).await?;
        if query.depth() > SORTED_FIRST {
            let largest = read_pages(self.core, &asked).await?.iter().map(|page| page.total).max().unwrap_or(0);
            if largest > SORTED_FIRST {
                asked = self.ask_sorted(largest).await?;
            }
        }
        let pages = read_pages(self.core, &asked).await?;
        let total = pages.iter().map(|page| page.total).sum();
        if asked.is_alone() {
            let documents = pages.into_iter().flat_map(|page| page.documents).map(str::to_owned).collect();
            return Ok((documents, total, asked));
        }
        let mut turns = Turns::new(self.core);
        let mut merge = SortedMerge::new(&query.sort);
        for document in pages.into_iter().flat_map(|page| page.documents) {
            merge.push(document).map_err(|_| ReadError::Malformed)?;
            turns.worked(document.len()).await;
        }
        let mut page = Vec::new();
        for document in merge.finish().skip(query.offset as usize).take(query.limit as usize) {
            page.push(query.shown(document).ok_or(ReadError::Malformed)?);
            turns.worked(document.len()).await;
        }
        Ok((page, total, asked))
    }
}

async fn read_pages<'a>(core: &Core, scattered: &'a Scattered) -> Result<Vec<NodePage<'a>>, ReadError> {
    let mut turns = Turns::new(core);
    let mut pages = Vec::with_capacity(scattered.answers.len());
    for answer in &scattered.answers {
        let text = std::str::from_utf8(&answer.body).map_err(|_| ReadError::Malformed)?;
        pages.push(NodePage::read(text).map_err(|_| ReadError::Malformed)?);
        turns.worked(text.len()).await;
    }
    Ok(pages)
}

#[cfg(test)]
mod tests;
