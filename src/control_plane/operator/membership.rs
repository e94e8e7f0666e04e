//! Nodes that join and leave.

use serde_json::{Value, json};

use super::picture::Picture;
use super::{ASK_TIMEOUT, Operator};
use crate::control_plane::node_client::NodeClient;
use crate::control_plane::prober::resolve;
use crate::control_plane::startup::first_look;
use crate::logic::ids::NodeId;
use crate::logic::topology::NodeRecord;
use crate::meili::error::{ApiError, Code};
use crate::telemetry::clock;

impl Operator {
    /// # Errors
    /// `miroir_node_exists`, `miroir_node_unusable`.
    pub(super) fn add(&self, picture: &Picture, node: &NodeRecord, dry_run: bool) -> Result<Value, ApiError> {
        check_new(picture, node)?;
        let unusable = |message: String| ApiError::new(Code::MiroirNodeUnusable, message);
        let look = first_look(node, self.node_key.as_ref(), clock::instant());
        let look = look.map_err(|error| unusable(format!("{error}.")))?;
        if let Some(other) = self.version_of_members(picture).filter(|other| minor(other) != minor(&look.version)) {
            let message = format!(
                "Node `{}` is Meilisearch {}, the members are {other}. Start it with the version of the members.",
                node.id, look.version
            );
            return Err(unusable(message));
        }
        if !dry_run {
            self.members.enrol(node, look.next_task).map_err(|message| ApiError::new(Code::Internal, message))?;
            tracing::info!(node = %node.id, url = node.url, "an operator added a node");
        }
        Ok(json!({"node": node.id, "version": look.version, "dryRun": dry_run}))
    }

    /// # Errors
    /// `miroir_node_unknown`, `miroir_node_not_empty`.
    pub(super) fn remove(&self, picture: &Picture, node: &NodeId) -> Result<Value, ApiError> {
        picture.member(node)?;
        let is_removed = self.members.remove(node).map_err(|message| ApiError::new(Code::Internal, message))?;
        if !is_removed {
            let message = format!("Node `{node}` still owns shards, or has a part in a move of one.");
            return Err(ApiError::new(Code::MiroirNodeNotEmpty, message));
        }
        tracing::info!(%node, "an operator removed a node");
        Ok(json!({ "node": node }))
    }

    /// Of the first one that says it; a fleet is of one version but for the time of an upgrade.
    fn version_of_members(&self, picture: &Picture) -> Option<String> {
        let node = picture.members().find(|node| picture.is_reachable(&node.id))?;
        NodeClient::new(node.url.clone(), self.node_key()).version(ASK_TIMEOUT).ok()
    }
}

fn check_new(picture: &Picture, node: &NodeRecord) -> Result<(), ApiError> {
    let refused = |message: String| Err(ApiError::new(Code::MiroirNodeExists, message));
    if picture.protocol.nodes.iter().any(|other| other.id == node.id) {
        return refused(format!("Node `{}` is or was a member of this cluster. Names are not given twice.", node.id));
    }
    let address = resolve(&node.url);
    let is_there = |other: &&NodeRecord| other.url == node.url || address.is_some() && resolve(&other.url) == address;
    match picture.members().find(is_there) {
        Some(other) => refused(format!("Node `{}` is at {} already.", other.id, other.url)),
        None => Ok(()),
    }
}

/// `1.50` of `1.50.2`.
fn minor(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(minor, _)| minor)
}
