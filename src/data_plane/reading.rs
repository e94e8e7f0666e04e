//! What every read does with what the nodes answered: whether it may be shown, and what a refusal says to the client.

use serde_json::json;

use super::core::{Core, PartialPolicy};
use super::scatter::{LeftOut, NodeRefusal, PartAnswer, ScatterScope, Scattered, is_refusal, scatter};
use super::upstream::NodeRequest;
use crate::logic::ids::ShardId;
use crate::logic::snapshot::{CoverPart, IndexView, RoutingSnapshot};
use crate::meili::error::{ApiError, Code};
use crate::meili::hidden_distinct;
use crate::meili::search::Displayed;
use crate::meili::search_message::{client_error, without_hidden};
use crate::meili::unsearchable::Unsearchable;

/// There is nobody to ask.
pub fn nothing_to_read() -> ApiError {
    ApiError::new(Code::MiroirShardUnavailable, "No replica of this index can be read.")
}

/// Whether what was answered may be shown: all of it, or a part and the client takes it. What is missing for overload
/// alone is there a moment later: that is no partial answer.
///
/// # Errors
/// `miroir_overloaded`, `miroir_shard_unavailable`.
pub fn check_complete(scattered: &Scattered, policy: PartialPolicy) -> Result<(), ApiError> {
    if scattered.is_overloaded {
        return Err(ApiError::overloaded("too many requests wait for the nodes"));
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

/// Numbers with commas between them.
pub fn list(shards: &[ShardId]) -> String {
    shards.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The answers as texts.
pub fn bodies_of<'a>(scattered: &'a Scattered, snapshot: &RoutingSnapshot) -> Result<Vec<&'a str>, ApiError> {
    let text = |answer: &'a PartAnswer| {
        std::str::from_utf8(&answer.body).map_err(|_| {
            let node = &snapshot.nodes[usize::from(answer.part.node.0)].id;
            ApiError::new(Code::Internal, format!("Node {node} sent an answer that is not UTF-8."))
        })
    };
    scattered.answers.iter().map(text).collect()
}

/// Why nodes refuse what they are asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The client's request is wrong.
    OfRequest(ApiError),
    /// They take what the client asks, but not what is asked for its sake: they do not have the settings of the index yet.
    OfQuestion,
}

impl Refusal {
    /// Where there is no other way to answer.
    pub fn for_client(self) -> ApiError {
        match self {
            Self::OfRequest(error) => error,
            Self::OfQuestion => {
                let message = "Some nodes do not have the settings of this index yet. Try again in a moment.";
                ApiError::new(Code::MiroirShardUnavailable, message)
            }
        }
    }
}

/// What a node said about the client's request, as the client should read it. A node's message repeats the filter, with
/// the marker in it: so the node is asked once more, with what the client sent and nothing else. What all nodes refused is
/// said for all of them already.
pub async fn explained(
    core: &Core,
    scope: ScatterScope<'_>,
    refusal: NodeRefusal,
    mut explain: NodeRequest,
) -> Refusal {
    let of_request = |body: &[u8]| Refusal::OfRequest(node_error(body, scope.index));
    if Unsearchable::read(&refusal.response.body).is_some() {
        return of_request(&refusal.response.body);
    }
    let node = &scope.snapshot.nodes[usize::from(refusal.node.0)];
    let again = core.upstream.send(node, explain.clone(), scope.deadline).await;
    let mut again = again.ok().filter(|response| is_refusal(response.status));
    if again.as_ref().is_some_and(|response| Unsearchable::read(&response.body).is_some()) {
        // Two things are wrong, the first of them maybe with this node alone.
        if let Err(refusal) = search_on(core, scope, &refusal.left_out).await {
            return of_request(&refusal.response.body);
        }
        for left_out in &refusal.left_out {
            if let Some((body, _)) = left_out.reason.left_out_of(&explain.body, &scope.index.settings) {
                explain.body = body.into();
            }
        }
        let rest = core.upstream.send(node, explain, scope.deadline).await;
        again = rest.ok().filter(|response| is_refusal(response.status));
    }
    if let Some(response) = again {
        return of_request(&response.body);
    }
    let said = String::from_utf8_lossy(&refusal.response.body);
    tracing::warn!(node = %node.id, index = %scope.index.uid, %said, "a node refuses what is asked beside a search");
    Refusal::OfQuestion
}

/// Asks whether all nodes refuse to search on what was left out for one of them.
async fn search_on(core: &Core, scope: ScatterScope<'_>, left_out: &[LeftOut]) -> Result<(), NodeRefusal> {
    let names: Vec<&str> = left_out.iter().flat_map(LeftOut::names).collect();
    let body = json!({"attributesToSearchOn": names, "limit": 0}).to_string();
    let target = format!("/indexes/{}/search", scope.index.node_uid);
    let Some(set) = scope.choose(core, 0) else { return Ok(()) };
    let make = |_: &CoverPart, _: bool| NodeRequest::post_read(target.clone(), body.clone());
    scatter(core, scope, set, make).await.map(drop)
}

/// A node's error body as the client's error.
pub fn node_error(body: &[u8], index: &IndexView) -> ApiError {
    let hidden = hidden_distinct::attribute(&index.settings);
    let Some(mut error) = client_error(body, index.node_uid.as_str(), index.uid.as_str(), hidden) else {
        return ApiError::new(Code::Internal, "A node sent an error that cannot be read.");
    };
    // Documents are read with what is not displayed.
    if !error.code.name().starts_with("invalid_document") {
        error.message = without_hidden(&error.message, &Displayed::from_settings(&index.settings));
    }
    error
}
