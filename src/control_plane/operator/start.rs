//! Operators make the plan: shards begin to move, pause, or stay where they are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::picture::Picture;
use super::preview::{next, preview};
use super::{Operator, json};
use crate::bridge::topology::WhatIf;
use crate::logic::feeder::Fleet;
use crate::logic::topology::NodeState;
use crate::meili::error::{ApiError, Code};

impl Operator {
    /// The answer is that of a preview, without asking the nodes for sizes.
    ///
    /// # Errors
    /// As of a preview.
    pub(super) fn start(&self, picture: &Picture, to: &WhatIf) -> Result<Value, ApiError> {
        let mut next = next(picture, to)?;
        self.change(|fleet| {
            to.drain.iter().for_each(|id| fleet.set_node_state(id, NodeState::Draining));
            fleet.set_plan(&next.plan, next.replication_factor);
        })?;
        if picture.protocol.tables.is_paused {
            next.warnings.push("moves are paused; nothing begins before they are resumed".to_owned());
        }
        let begun = preview(picture, &next, &BTreeMap::new());
        self.watch.begin(begun.moves());
        let (moves, replication_factor) = (begun.moves(), next.replication_factor);
        tracing::info!(moves, replication_factor, drained = ?to.drain, "an operator started a rebalance");
        json(&begun)
    }

    pub(super) fn pause(&self, is_paused: bool) -> Result<Value, ApiError> {
        self.change(|fleet| fleet.set_paused(is_paused))?;
        tracing::info!(is_paused, "an operator paused or resumed the rebalance");
        Ok(json!({ "paused": is_paused }))
    }

    /// What the operator wants of nodes stays, and so does the replication factor: another start goes on.
    pub(super) fn abort(&self) -> Result<Value, ApiError> {
        self.change(|fleet| {
            // As of this moment: a move that has switched meanwhile is not undone.
            let now = fleet.tables_now();
            fleet.set_plan(&now.owners, now.replication_factor);
        })?;
        self.watch.begin(0);
        tracing::info!("an operator aborted the rebalance");
        Ok(json!({ "aborted": true }))
    }

    /// Durable when this returns.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Fleet) -> T) -> Result<T, ApiError> {
        let (mut change, mut changed) = (Some(change), None);
        let once = &mut |fleet: &mut Fleet| changed = change.take().map(|change| change(fleet));
        self.members.change(once).map_err(|message| ApiError::new(Code::Internal, message))?;
        changed.ok_or_else(|| ApiError::new(Code::Internal, "The fleet was not changed."))
    }
}
