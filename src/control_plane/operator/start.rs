//! Operators make the plan: shards begin to move, pause, or stay where they are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::picture::Picture;
use super::preview::{Next, next, preview};
use super::{Operator, json};
use crate::bridge::topology::{PaceChange, WhatIf};
use crate::logic::feeder::Fleet;
use crate::logic::ids::NodeId;
use crate::logic::throttle::ThrottleLimits;
use crate::logic::topology::{NodeState, Pace};
use crate::meili::error::{ApiError, Code};

impl Operator {
    /// The answer is that of a preview, without asking the nodes for sizes.
    ///
    /// # Errors
    /// As of a preview.
    pub(super) fn start(&self, picture: &Picture, to: &WhatIf) -> Result<Value, ApiError> {
        let mut next = self.next(picture, to)?;
        let is_draining = |id: &&NodeId| picture.member(id).is_ok_and(|node| node.state == NodeState::Draining);
        self.change(|fleet| {
            to.keep.iter().filter(is_draining).for_each(|id| fleet.set_node_state(id, NodeState::Active));
            to.drain.iter().for_each(|id| fleet.set_node_state(id, NodeState::Draining));
            fleet.set_plan(&next.plan, next.replication_factor);
        })?;
        tracing::info!(drained = ?to.drain, kept = ?to.keep, "an operator started a rebalance");
        self.begun(picture, &mut next)
    }

    /// What is planned now.
    pub(super) fn begun(&self, picture: &Picture, next: &mut Next) -> Result<Value, ApiError> {
        if picture.protocol.tables.is_paused {
            next.warnings.push("moves are paused; nothing begins before they are resumed".to_owned());
        }
        let begun = preview(picture, next, &BTreeMap::new());
        self.watch.begin(begun.moves());
        tracing::info!(moves = begun.moves(), replication_factor = next.replication_factor, "a new plan");
        json(&begun)
    }

    /// What is planned for the fleet that an operator wants.
    pub(super) fn next(&self, picture: &Picture, to: &WhatIf) -> Result<Next, ApiError> {
        next(picture, to, &self.absent.now())
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

    /// The answer is the whole pace.
    ///
    /// # Errors
    /// `bad_request`.
    pub(super) fn set_pace(&self, picture: &Picture, change: &PaceChange) -> Result<Value, ApiError> {
        let now = if change.configured { self.configured_pace } else { picture.protocol.tables.pace };
        let pace = changed_pace(now, change).map_err(|wrong| ApiError::new(Code::BadRequest, wrong.to_owned()))?;
        let is_asked = *change == PaceChange::default();
        if !is_asked {
            let is_configured = change.configured && pace == self.configured_pace;
            self.change(|fleet| fleet.set_pace(pace, is_configured))?;
            tracing::info!(?pace, is_configured, "an operator changed how fast shards move");
        }
        json(&pace)
    }

    /// The answer says how many indexes; they follow one after the other.
    ///
    /// # Errors
    /// `miroir_node_unknown`.
    pub(super) fn compact(&self, picture: &Picture, node: &NodeId) -> Result<Value, ApiError> {
        picture.member(node)?;
        let indexes = self.change(|fleet| fleet.ask_compaction(node))?.unwrap_or(0);
        tracing::info!(%node, indexes, "an operator asked a node to give back disk space");
        Ok(json!({ "node": node, "indexes": indexes }))
    }

    /// Durable when this returns.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Fleet) -> T) -> Result<T, ApiError> {
        let (mut change, mut changed) = (Some(change), None);
        let once = &mut |fleet: &mut Fleet| changed = change.take().map(|change| change(fleet));
        self.members.change(once).map_err(|message| ApiError::new(Code::Internal, message))?;
        changed.ok_or_else(|| ApiError::new(Code::Internal, "The fleet was not changed."))
    }
}

fn changed_pace(now: Pace, change: &PaceChange) -> Result<Pace, &'static str> {
    let pace = Pace {
        moves_per_node: change.moves_per_node.unwrap_or(now.moves_per_node),
        shards_per_copy: change.shards_per_copy.unwrap_or(now.shards_per_copy),
        compact: change.compact.unwrap_or(now.compact),
        throttle: ThrottleLimits {
            bytes_per_second: change.bytes_per_second.after(now.throttle.bytes_per_second),
            busy_percent: change.busy_percent.unwrap_or(now.throttle.busy_percent),
            hours: change.hours.after(now.throttle.hours),
        },
    };
    let at_once = 1..=AT_ONCE_MAX;
    if !at_once.contains(&pace.moves_per_node) || !at_once.contains(&pace.shards_per_copy) {
        return Err("`movesPerNode` and `shardsPerCopy` must be 1 to 4096.");
    }
    if !(1..=100).contains(&pace.throttle.busy_percent) {
        return Err("`busyPercent` must be 1 to 100.");
    }
    if pace.throttle.bytes_per_second == Some(0) {
        return Err("`bytesPerSecond` must be above 0, or null for no limit; `pause` stops all moves.");
    }
    if pace.throttle.hours.is_some_and(|hours| hours.from > 23 || hours.to > 23) {
        return Err("`hours` must be from 0 to 23 (UTC).");
    }
    Ok(pace)
}

/// As many as there can be shards.
const AT_ONCE_MAX: usize = 4096;
