//! Nodes that join and leave.

use std::time::Duration;

use serde_json::{Value, json};

use super::can_stop::can_stop;
use super::picture::Picture;
use super::preview::{ask_sizes, preview};
use super::{Operator, json};
use crate::bridge::topology::{NewNode, WhatIf};
use crate::control_plane::prober::resolve;
use crate::control_plane::startup::{FirstLook, first_look};
use crate::logic::feeder::{Fleet, LastCopy};
use crate::logic::ids::{NodeId, NodeTask, ShardId};
use crate::logic::placement::plan::warnings_of;
use crate::logic::topology::{NodeRecord, NodeState};
use crate::meili::error::{ApiError, Code};
use crate::meili::node_version::{Fitness, NodeVersion, fitness_of};
use crate::telemetry::clock;

/// What is asked of a node's maintenance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Maintenance {
    pub is_on: bool,
    /// Even if some documents are not found then.
    pub force: bool,
    /// Only say what would not be found.
    pub dry_run: bool,
}

impl Operator {
    /// # Errors
    /// `miroir_node_exists`, `miroir_node_unusable`.
    pub(super) fn add(&self, picture: &Picture, node: &NodeRecord, dry_run: bool) -> Result<Value, ApiError> {
        let look = self.look_at(picture, node)?;
        if !dry_run {
            self.enrol(node, look.next_task, &mut |_| {})?;
            tracing::info!(node = %node.id, url = node.url, "an operator added a node");
        }
        let warnings = self.version_warnings(picture, &look.version);
        Ok(json!({"node": node.id, "version": look.version, "warnings": warnings, "dryRun": dry_run}))
    }

    /// Whether it can join.
    fn look_at(&self, picture: &Picture, node: &NodeRecord) -> Result<FirstLook, ApiError> {
        check_new(picture, node)?;
        let unusable = |message: String| ApiError::new(Code::MiroirNodeUnusable, message);
        let cluster = self.store.cluster().map_err(|error| ApiError::new(Code::Internal, error.to_string()))?;
        let cluster_id = cluster.map(|cluster| cluster.cluster_id).unwrap_or_default();
        let look = first_look(node, &cluster_id, self.node_key.as_ref(), clock::instant());
        let look = look.map_err(|error| unusable(format!("{error}.")))?;
        Ok(look)
    }

    fn enrol(
        &self,
        node: &NodeRecord,
        next_task: NodeTask,
        change: &mut dyn FnMut(&mut Fleet),
    ) -> Result<(), ApiError> {
        self.members.enrol(node, next_task, change).map_err(|message| ApiError::new(Code::Internal, message))
    }

    /// The new node gets what is planned for the old one; if that is nothing, its share of all. The answer is that of a
    /// preview.
    ///
    /// # Errors
    /// As of an addition, and of a preview.
    pub(super) fn replace(
        &self,
        picture: &Picture,
        old: &NodeId,
        new: &NodeRecord,
        dry_run: bool,
    ) -> Result<Value, ApiError> {
        let look = self.look_at(picture, new)?;
        let add = vec![NewNode { id: new.id.clone(), zone: new.zone.clone(), weight: new.weight }];
        let mut next = self.next(picture, &WhatIf { drain: vec![old.clone()], add, ..WhatIf::default() })?;
        let planned = &picture.protocol.tables.plan;
        if planned.iter().any(|row| row.contains(old)) {
            next.plan = planned.iter().map(|row| swapped(row, old, &new.id)).collect();
            // Those were of the plan that is not taken.
            let warnings = warnings_of(&next.nodes, &next.plan, next.replication_factor);
            next.warnings = warnings.iter().map(ToString::to_string).collect();
        }
        if dry_run {
            return json(&preview(picture, &next, &ask_sizes(picture, self.node_key())));
        }
        // All in one transaction: without its part in the plan the new node would be a member that nobody has asked for.
        self.enrol(new, look.next_task, &mut |fleet| {
            fleet.set_node_state(old, NodeState::Draining);
            fleet.set_plan(&next.plan, next.replication_factor);
        })?;
        tracing::info!(%old, new = %new.id, url = new.url, "an operator replaces a node");
        self.begun(picture, &mut next)
    }

    /// The answer is that of a preview.
    ///
    /// # Errors
    /// `miroir_node_unknown`, `miroir_node_needed`, `miroir_plan_impossible`.
    pub(super) fn remove_by_force(&self, picture: &Picture, node: &NodeId, dry_run: bool) -> Result<Value, ApiError> {
        picture.member(node)?;
        let mut next = self.next(picture, &WhatIf { lost: vec![node.clone()], ..WhatIf::default() })?;
        let removed = self.change(|fleet| {
            if dry_run {
                let shards = fleet.last_copies(node);
                return if shards.is_empty() { Ok(()) } else { Err(LastCopy { shards }) };
            }
            fleet.remove_by_force(node)?;
            fleet.set_plan(&next.plan, next.replication_factor);
            Ok(())
        })?;
        removed.map_err(|LastCopy { shards }| {
            let message = format!(
                "No other node has all documents of these shards, they would be lost with `{node}`: {}. Bring it back, or \
                 wait until others have them.",
                listed(&shards)
            );
            ApiError::new(Code::MiroirNodeNeeded, message)
        })?;
        if dry_run {
            return json(&preview(picture, &next, &ask_sizes(picture, self.node_key())));
        }
        tracing::warn!(%node, "an operator gave up a node; it must not come back with its data");
        self.begun(picture, &mut next)
    }

    /// The answer names the shards of which some documents are not found while the node is stopped, and says whether readers
    /// may still use it.
    ///
    /// # Errors
    /// `miroir_node_unknown`, `miroir_node_draining`, `miroir_node_needed`.
    pub(super) fn maintain(&self, picture: Picture, node: &NodeId, asked: Maintenance) -> Result<Value, ApiError> {
        let Maintenance { is_on, force, dry_run } = asked;
        let state = picture.member(node)?.state;
        if state == NodeState::Draining {
            let message =
                format!("Node `{node}` is being drained; it can be stopped and removed once it owns no shards.");
            return Err(ApiError::new(Code::MiroirNodeDraining, message));
        }
        let in_the_way = if is_on { can_stop(&picture, node)?.shards() } else { Vec::new() };
        if !force && !in_the_way.is_empty() {
            let message = format!(
                "No other node that is read has all documents of these shards: {}. `can-stop` says more; with `force` they \
                 are not found while `{node}` is stopped.",
                listed(&in_the_way)
            );
            return Err(ApiError::new(Code::MiroirNodeNeeded, message));
        }
        let mut answer =
            json!({ "node": node, "maintenance": is_on, "notFound": in_the_way, "isRead": !is_on, "dryRun": dry_run });
        if dry_run {
            return Ok(answer);
        }
        let state = if is_on { NodeState::Maintenance } else { NodeState::Active };
        self.change(|fleet| fleet.set_node_state(node, state))?;
        self.absent.forget(node);
        tracing::info!(%node, is_on, "an operator began or ended the maintenance of a node");
        if is_on {
            // It holds a snapshot of before.
            drop(picture);
            answer["isRead"] = json!(!self.members.await_unread(node, UNREAD_LIMIT));
        }
        Ok(answer)
    }

    /// # Errors
    /// `miroir_node_unknown`, `miroir_node_not_empty`.
    pub(super) fn remove(&self, picture: &Picture, node: &NodeId, dry_run: bool) -> Result<Value, ApiError> {
        picture.member(node)?;
        let is_removed = if dry_run {
            self.change(|fleet| fleet.is_removable(node))?
        } else {
            self.members.remove(node).map_err(|message| ApiError::new(Code::Internal, message))?
        };
        if !is_removed {
            let message = format!("Node `{node}` still owns shards, or has a part in a move of one.");
            return Err(ApiError::new(Code::MiroirNodeNotEmpty, message));
        }
        if !dry_run {
            tracing::info!(%node, "an operator removed a node");
        }
        Ok(json!({ "node": node, "dryRun": dry_run }))
    }

    /// What speaks against a node of this version, and not enough to refuse it.
    fn version_warnings(&self, picture: &Picture, version: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        if fitness_of(version) == Fitness::Untested {
            warnings.push(format!("Meilisearch {version} is newer than the tested {}", NodeVersion::LEAST));
        }
        let members = picture.members().filter_map(|member| self.looks.version(&member.id));
        if let Some(other) = members.into_iter().find(|other| other != version) {
            warnings
                .push(format!("it is Meilisearch {version}, and a member is {other}: let all be of one version soon"));
        }
        warnings
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

fn swapped(row: &[NodeId], old: &NodeId, new: &NodeId) -> Vec<NodeId> {
    row.iter().map(|id| if id == old { new.clone() } else { id.clone() }).collect()
}

/// How long an operator waits until nobody reads a node; the listener's deadline is 10 s.
const UNREAD_LIMIT: Duration = Duration::from_secs(5);

/// The first of them.
fn listed(shards: &[ShardId]) -> String {
    let mut names: Vec<String> = shards.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    if shards.len() > LISTED_MAX {
        names.push(format!("and {} more", shards.len() - LISTED_MAX));
    }
    names.join(", ")
}

/// Shards in a message.
const LISTED_MAX: usize = 20;
