//! A request that every node answers alike: one of them is asked, and those that do not answer are passed over.

use super::core::Core;
use super::reading::nothing_to_read;
use super::upstream::{NodeRequest, NodeResponse};
use crate::logic::ids::NodeSlot;
use crate::logic::snapshot::RoutingSnapshot;
use crate::meili::error::ApiError;

/// The first answer, whatever it says. `nodes` are asked one after the other, those that the prober reaches first.
///
/// # Errors
/// `miroir_shard_unavailable`: none of them answers.
pub async fn ask_one(
    core: &Core,
    snapshot: &RoutingSnapshot,
    nodes: &[NodeSlot],
    request: NodeRequest,
) -> Result<NodeResponse, ApiError> {
    let deadline = core.read_deadline();
    let mut views: Vec<_> = nodes.iter().map(|slot| &snapshot.nodes[usize::from(slot.0)]).collect();
    views.sort_by_key(|node| !node.reachable);
    for node in views {
        let patience = core.patience.with(node, core.now(), deadline);
        let outcome = core.upstream.send(node, request.clone(), patience).await;
        core.patience.note(&node.id, &outcome, core.now());
        match outcome {
            Ok(response) if response.status < 500 => return Ok(response),
            Ok(response) => tracing::debug!(node = %node.id, status = response.status, "a node cannot answer"),
            Err(error) => tracing::debug!(node = %node.id, %error, "a node does not answer"),
        }
    }
    Err(nothing_to_read())
}

/// All of them.
pub fn all_nodes(snapshot: &RoutingSnapshot) -> Vec<NodeSlot> {
    (0..snapshot.nodes.len() as u16).map(NodeSlot).collect()
}
