//! Search: ask one replica of every shard, merge, answer as one server would.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};

use super::arguments::{Arguments, require_json};
use super::indexes::not_found;
use super::write::overloaded;
use crate::data_plane::core::{Core, PartialPolicy};
use crate::data_plane::scatter::{NodeRefusal, PartAnswer, ScatterScope, Scattered, is_refusal, scatter};
use crate::data_plane::upstream::NodeRequest;
use crate::http_types::{Request, Response};
use crate::logic::ids::{IndexUid, ShardId};
use crate::logic::merge::{AnswerFrame, AnswerSettings, MergeError, merge};
use crate::logic::replica_choice::query_hash;
use crate::logic::snapshot::{CoverPart, IndexView, RoutingSnapshot};
use crate::meili::error::{ApiError, Code};
use crate::meili::search::{NodeQuery, SearchRequest};
use crate::meili::search_message::client_error;

/// Which shards an answer lacks.
const DEGRADED: HeaderName = HeaderName::from_static("x-miroir-degraded");

/// `allow` or `deny`: what one request wants instead of the configured policy.
const PARTIAL: &str = "x-miroir-partial";

/// `GET /indexes/{index}/search`.
///
/// # Errors
/// As one server; `miroir_reserved_field`, `miroir_not_supported`, `miroir_shard_unavailable`.
pub async fn get(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let search = SearchRequest::from_query(&request.query)?;
    answer(core, request, &arguments.index()?, &search).await
}

/// `POST /indexes/{index}/search`.
///
/// # Errors
/// As [`get`].
pub async fn post(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let search = SearchRequest::from_json(&request.body)?;
    answer(core, request, &arguments.index()?, &search).await
}

async fn answer(core: &Core, request: &Request, uid: &IndexUid, search: &SearchRequest) -> Result<Response, ApiError> {
    let started = core.now();
    let snapshot = core.snapshot();
    let index = snapshot.indexes.get(uid).ok_or_else(|| not_found(uid))?;
    search.check()?;
    let policy = partial_policy(core, request)?;
    let settings = AnswerSettings::from_settings(&index.settings);
    let scope = ScatterScope { snapshot: &snapshot, index, deadline: core.read_deadline() };
    let target = format!("/indexes/{}/search", index.node_uid);
    let (offset, limit) = search.paging.window(settings.max_total_hits());
    let make = |part: &CoverPart, is_alone: bool| {
        let first_hits = (!is_alone).then_some(offset + limit);
        let marker_filter = part.filter.as_deref();
        let query = NodeQuery { marker_filter, first_hits, displayed: &settings.displayed };
        NodeRequest::post_read(target.clone(), search.node_body(query))
    };
    let set = scope.choose(core, hash_of(uid, search)).ok_or_else(nothing_to_read)?;
    let scattered = match scatter(core, scope, set, make).await {
        Ok(scattered) => scattered,
        Err(refusal) => {
            let explain = NodeRequest::post_read(target, search.explain_body());
            let error = explained(core, scope, refusal, explain).await;
            if error.code == Code::InvalidSearchFacets {
                search.check_facets(&index.settings)?;
            }
            return Err(error);
        }
    };
    check_complete(&scattered, policy)?;
    // After the nodes, which find everything else that may be wrong first, and take a pattern that covers their marker alone.
    search.check_facets(&index.settings)?;
    let frame = AnswerFrame {
        processing_time_ms: core.now().0.saturating_sub(started.0),
        is_degraded: !scattered.missing.is_empty(),
        is_final_page: scattered.is_alone(),
    };
    let bodies = bodies_of(&scattered, &snapshot)?;
    let text = merge(search, &settings, &bodies, &frame).map_err(merge_failed)?;
    Ok(with_missing(Response::json_bytes(200, Bytes::from(text)), &scattered.missing))
}

pub(super) fn nothing_to_read() -> ApiError {
    ApiError::new(Code::MiroirShardUnavailable, "No replica of this index can be read.")
}

fn hash_of(uid: &IndexUid, search: &SearchRequest) -> u64 {
    let identity = search.identity();
    query_hash(std::iter::once(uid.as_str().as_bytes()).chain(identity.iter().map(Vec::as_slice)))
}

/// What this request wants of partial results.
pub(super) fn partial_policy(core: &Core, request: &Request) -> Result<PartialPolicy, ApiError> {
    match request.header(PARTIAL) {
        Some("allow") => Ok(PartialPolicy::Partial),
        Some("deny") => Ok(PartialPolicy::Error),
        Some(other) => {
            let message = format!("The header `X-Miroir-Partial` must be `allow` or `deny`, found `{other}`.");
            Err(ApiError::new(Code::BadRequest, message))
        }
        None => Ok(core.settings.partial),
    }
}

/// Whether what was answered may be shown: all of it, or a part and the client takes it. What is missing for overload
/// alone is there a moment later: that is no partial answer.
pub(super) fn check_complete(scattered: &Scattered, policy: PartialPolicy) -> Result<(), ApiError> {
    if scattered.is_overloaded {
        return Err(overloaded("too many requests wait for the nodes"));
    }
    let is_acceptable = match policy {
        PartialPolicy::Partial => !scattered.answers.is_empty(),
        PartialPolicy::Error => scattered.missing.is_empty(),
    };
    if is_acceptable {
        return Ok(());
    }
    let shards = list(&scattered.missing);
    Err(ApiError::new(Code::MiroirShardUnavailable, format!("No replica of these shards can be read: {shards}.")))
}

/// Marks an answer that lacks shards.
pub(super) fn with_missing(response: Response, missing: &[ShardId]) -> Response {
    if missing.is_empty() {
        return response;
    }
    let value = format!("shards={}", list(missing));
    let value = HeaderValue::from_str(&value).expect("digits and commas are valid in a header");
    response.with_header(DEGRADED, value)
}

fn list(shards: &[ShardId]) -> String {
    shards.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The answers as texts.
pub(super) fn bodies_of<'a>(scattered: &'a Scattered, snapshot: &RoutingSnapshot) -> Result<Vec<&'a str>, ApiError> {
    let text = |answer: &'a PartAnswer| {
        std::str::from_utf8(&answer.body).map_err(|_| {
            let node = &snapshot.nodes[usize::from(answer.part.node.0)].id;
            ApiError::new(Code::Internal, format!("Node {node} sent an answer that is not UTF-8."))
        })
    };
    scattered.answers.iter().map(text).collect()
}

fn merge_failed(error: MergeError) -> ApiError {
    match error {
        MergeError::Malformed => ApiError::new(Code::Internal, "A node sent an answer that is not a search answer."),
        MergeError::TooManyFacetValues => {
            let message =
                "Ordering the values of a facet by count is not supported by Miroir when it has so many values.";
            ApiError::new(Code::MiroirNotSupported, message)
        }
    }
}

/// What a node said about the client's request, as the client should read it. A node's message repeats the filter, with
/// the marker in it: so the node is asked once more, with what the client sent and nothing else.
pub(super) async fn explained(
    core: &Core,
    scope: ScatterScope<'_>,
    refusal: NodeRefusal,
    explain: NodeRequest,
) -> ApiError {
    let node = &scope.snapshot.nodes[usize::from(refusal.node.0)];
    let again = core.upstream.send(node, explain, scope.deadline).await;
    let again = again.ok().filter(|response| is_refusal(response.status));
    let body = again.map_or(refusal.response.body, |response| response.body);
    node_error(&body, scope.index)
}

/// A node's error body as the client's error.
pub(super) fn node_error(body: &[u8], index: &IndexView) -> ApiError {
    client_error(body, index.node_uid.as_str(), index.uid.as_str())
        .unwrap_or_else(|| ApiError::new(Code::Internal, "A node sent an error that cannot be read."))
}

#[cfg(test)]
pub(super) mod tests;
