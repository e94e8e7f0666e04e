//! Operators make the plan: shards begin to move, pause, or stay where they are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::picture::Picture;
use super::preview::{Next, next, preview};
use super::{ASK_TIMEOUT, Operator, json};
use crate::bridge::topology::{PaceChange, WhatIf};
use crate::control_plane::node_client::{NodeClient, NodeStats};
use crate::logic::feeder::Fleet;
use crate::logic::ids::NodeId;
use crate::logic::placement::plan::steps;
use crate::logic::throttle::ThrottleLimits;
use crate::logic::topology::{JobKind, JobRecord, JobStep, NodeState, Pace};
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
        self.watch.begin(self.work(picture, &steps(&next.owners, &next.plan)));
        tracing::info!(moves = begun.moves(), replication_factor = next.replication_factor, "a new plan");
        json(&begun)
    }

    /// What is planned for the fleet that an operator wants.
    pub(super) fn next(&self, picture: &Picture, to: &WhatIf) -> Result<Next, ApiError> {
        next(picture, to, &self.absent.now())
    }

    /// The answer counts the moves that are left.
    pub(super) fn pause(&self, picture: &Picture, is_paused: bool, dry_run: bool) -> Result<Value, ApiError> {
        let tables = &picture.protocol.tables;
        if !dry_run {
            self.change(|fleet| fleet.set_paused(is_paused))?;
            tracing::info!(is_paused, "an operator paused or resumed the rebalance");
        }
        let left = steps(&tables.owners, &tables.plan).len();
        Ok(json!({ "paused": is_paused, "left": left, "dryRun": dry_run }))
    }

    /// What the operator wants of nodes stays, and so does the replication factor: another start goes on. The answer counts
    /// moves that are not made, and those of them that had begun.
    pub(super) fn abort(&self, picture: &Picture, dry_run: bool) -> Result<Value, ApiError> {
        let tables = &picture.protocol.tables;
        let dropped = steps(&tables.owners, &tables.plan).len();
        let taken_back = picture.protocol.jobs.iter().filter(|job| is_half_moved(job)).count();
        let answer = json!({ "aborted": !dry_run, "dropped": dropped, "takenBack": taken_back, "dryRun": dry_run });
        if dry_run {
            return Ok(answer);
        }
        self.change(|fleet| {
            // As of this moment: a move that has switched meanwhile is not undone.
            let now = fleet.tables_now();
            fleet.set_plan(&now.owners, now.replication_factor);
        })?;
        self.watch.begin(self.work(picture, &[]));
        tracing::info!(dropped, taken_back, "an operator aborted the rebalance");
        Ok(answer)
    }

    /// The answer is the whole pace, as it is then, or would be.
    ///
    /// # Errors
    /// `bad_request`.
    pub(super) fn set_pace(&self, picture: &Picture, change: &PaceChange) -> Result<Value, ApiError> {
        let now = if change.configured { self.configured_pace } else { picture.protocol.tables.pace };
        let pace = changed_pace(now, change).map_err(|wrong| ApiError::new(Code::BadRequest, wrong.to_owned()))?;
        let is_asked = *change == PaceChange::default();
        if !is_asked && !change.dry_run {
            let is_configured = change.configured && pace == self.configured_pace;
            self.change(|fleet| fleet.set_pace(pace, is_configured))?;
            tracing::info!(?pace, is_configured, "an operator changed how fast shards move");
        }
        json(&pace)
    }

    /// The answer says how many indexes, which follow one after the other, and how many bytes of the node's files they do
    /// not use, null when it does not say.
    ///
    /// # Errors
    /// `miroir_node_unknown`.
    pub(super) fn compact(&self, picture: &Picture, node: &NodeId, dry_run: bool) -> Result<Value, ApiError> {
        let url = picture.member(node)?.url.clone();
        let unused = |stats: NodeStats| Some(stats.database_size.saturating_sub(stats.used_database_size?));
        let ask = || NodeClient::new(url, self.node_key()).stats(ASK_TIMEOUT).ok();
        let stats = picture.is_reachable(node).then(ask).flatten();
        let indexes =
            self.change(|fleet| if dry_run { fleet.compactable(node).len() } else { fleet.ask_compaction(node) })?;
        if !dry_run {
            tracing::info!(%node, indexes, "an operator asked a node to give back disk space");
        }
        Ok(json!({ "node": node, "indexes": indexes, "unusedBytes": stats.and_then(unused), "dryRun": dry_run }))
    }

    /// Durable when this returns.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Fleet) -> T) -> Result<T, ApiError> {
        let (mut change, mut changed) = (Some(change), None);
        let once = &mut |fleet: &mut Fleet| changed = change.take().map(|change| change(fleet));
        self.members.change(once).map_err(|message| ApiError::new(Code::Internal, message))?;
        changed.ok_or_else(|| ApiError::new(Code::Internal, "The fleet was not changed."))
    }
}

/// Documents may be on their way to a node that does not own the shard yet.
fn is_half_moved(job: &JobRecord) -> bool {
    match (job.kind, job.step) {
        (JobKind::Move, JobStep::Announce | JobStep::Copy) => job.target.is_some(),
        (JobKind::Move, JobStep::Switched | JobStep::Clean | JobStep::Undo) | (JobKind::Repair, _) => false,
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
