//! The operator's thread: answers what operators ask about nodes, shards and moves, one after the other.
//!
//! What it says of owners, jobs and watermarks comes from the store, where every step of a workflow is before it has an
//! effect; who is reachable and read comes from the snapshot that readers go by. No lock is held while it waits for a node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, select};
use serde_json::Value;

use super::coordinator::Coordinator;
use super::drift::Drifts;
use super::status::Looks;
use super::task_desk::api_error;
use crate::bridge::Bridge;
use crate::bridge::reply::Reply;
use crate::bridge::topology::TopologyRequest;
use crate::config::Secret;
use crate::logic::feeder::{AuditReport, Fleet};
use crate::logic::ids::{JobId, NodeId, NodeIndexUid, NodeTask};
use crate::logic::placement::plan::{MoveWish, steps};
use crate::logic::throttle::hour_of;
use crate::logic::topology::{NodeRecord, Pace};
use crate::meili::error::{ApiError, Code};
use crate::store::{Store, StoreError};
use crate::telemetry::clock;
pub use absent::Absent;
pub use backup::Backups;
use membership::Maintenance;
use picture::Picture;
pub use progress::Watch;
use progress::Work;

mod absent;
mod backup;
mod can_stop;
mod explain;
mod membership;
mod picture;
mod preview;
mod progress;
mod rebalance;
mod restored;
mod start;
#[cfg(test)]
mod tests;
mod verify;

/// Requests that may wait; past this they are refused.
pub const JOBS_MAX: usize = 16;
/// Between two looks for members that stay away.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// For one answer of a node; the listener's deadline is 10 s.
const ASK_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Work for the operator's thread.
#[derive(Debug)]
pub struct OperatorJob {
    /// What is asked.
    pub request: Box<TopologyRequest>,
    /// Who waits.
    pub reply: Reply<Result<Value, ApiError>>,
}

impl OperatorJob {
    /// Answers that there is no time for it.
    pub fn refuse(self) {
        let message = "Too many requests of operators wait. Try again later.";
        self.reply.send(Err(ApiError::new(Code::MiroirOverloaded, message)));
    }
}

/// The state of the thread.
pub struct Operator {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// What readers go by.
    pub bridge: Arc<Bridge>,
    /// Takes in and lets go.
    pub members: Box<dyn Members>,
    /// The key that all nodes know.
    pub node_key: Option<Secret>,
    /// How far the moves are.
    pub watch: Watch,
    /// Members that stay away.
    pub absent: Absent,
    /// How fast shards move unless an operator says otherwise.
    pub configured_pace: Pace,
    /// What nodes were seen to have.
    pub looks: Looks,
    /// Settings that are not as they should be.
    pub drifts: Drifts,
    /// Of the store.
    pub backups: Backups,
}

/// Whom the fleet consists of, while it runs.
pub trait Members: Send {
    /// See [`Coordinator::enrol`]; `change` is called once. The error is for people.
    fn enrol(&self, node: &NodeRecord, next_task: NodeTask, change: &mut dyn FnMut(&mut Fleet)) -> Result<(), String>;

    /// See [`Coordinator::remove`]; the error is for people.
    fn remove(&self, node: &NodeId) -> Result<bool, String>;

    /// See [`Coordinator::change_fleet`]; `change` is called once. The error is for people.
    fn change(&self, change: &mut dyn FnMut(&mut Fleet)) -> Result<(), String>;

    /// See [`Fleet::away`].
    fn away(&self) -> Vec<(NodeId, u64)>;

    /// See [`Fleet::audit_report`].
    fn audit_report(&self) -> AuditReport;

    /// See [`Coordinator::check_settings_soon`].
    fn check_settings(&self);

    /// See [`Fleet::job_problems`].
    fn problems(&self) -> BTreeMap<JobId, Arc<str>>;

    /// See [`Coordinator::await_unread`].
    fn await_unread(&self, node: &NodeId, limit: Duration) -> bool;

    /// See [`Fleet::has_resting_target`].
    fn has_resting_target(&self) -> bool;

    /// See [`Fleet::compacting`].
    fn compacting(&self) -> Vec<(NodeId, NodeIndexUid)>;

    /// Documents that were sent to their new nodes by the last plan.
    fn documents_sent(&self) -> u64;
}

impl Members for Arc<Coordinator> {
    fn enrol(&self, node: &NodeRecord, next_task: NodeTask, change: &mut dyn FnMut(&mut Fleet)) -> Result<(), String> {
        Coordinator::enrol(self, node, next_task, change).map_err(|error| error.to_string())
    }

    fn remove(&self, node: &NodeId) -> Result<bool, String> {
        Coordinator::remove(self, node).map_err(|error| error.to_string())
    }

    fn change(&self, change: &mut dyn FnMut(&mut Fleet)) -> Result<(), String> {
        self.change_fleet(change).map_err(|error| error.to_string())
    }

    fn away(&self) -> Vec<(NodeId, u64)> {
        Coordinator::away(self)
    }

    fn audit_report(&self) -> AuditReport {
        Coordinator::audit_report(self)
    }

    fn check_settings(&self) {
        self.check_settings_soon();
    }

    fn problems(&self) -> BTreeMap<JobId, Arc<str>> {
        self.job_problems()
    }

    fn await_unread(&self, node: &NodeId, limit: Duration) -> bool {
        Coordinator::await_unread(self, node, limit)
    }

    fn has_resting_target(&self) -> bool {
        Coordinator::has_resting_target(self)
    }

    fn compacting(&self) -> Vec<(NodeId, NodeIndexUid)> {
        Coordinator::compacting(self)
    }

    fn documents_sent(&self) -> u64 {
        Coordinator::documents_sent(self)
    }
}

impl Operator {
    /// Works until `stop` is closed; now and then it looks who stays away.
    pub fn run(self, jobs: &Receiver<OperatorJob>, stop: &Receiver<()>) {
        let mut next_look = clock::instant() + LOOK_INTERVAL;
        let mut equalizing = self.begin_equalizing();
        loop {
            select! {
                recv(stop) -> _ => return,
                recv(jobs) -> job => {
                    let Ok(OperatorJob { request, reply }) = job else {
                        // The journal died, and is mourned under its own name.
                        let _ = stop.recv();
                        return;
                    };
                    reply.send(self.answer(&request));
                },
                default(LOOK_INTERVAL) => {}
            }
            if clock::instant() >= next_look {
                self.look_for_absent();
                self.equalize(&mut equalizing);
                next_look = clock::instant() + LOOK_INTERVAL;
            }
        }
    }

    fn node_key(&self) -> Option<&str> {
        self.node_key.as_ref().map(Secret::expose)
    }

    /// What these wishes come to, as if all shards were of one size.
    fn work(&self, picture: &Picture, wishes: &[MoveWish]) -> Work {
        let tables = &picture.protocol.tables;
        let owned = |node: &NodeRecord| tables.owners.iter().filter(|owners| owners.contains(&node.id)).count() as u64;
        let seen = picture.members().filter_map(|node| Some((self.looks.documents(&node.id)?, owned(node))));
        let (documents, replicas) = seen.fold((0, 0), |sum: (u64, u64), of| (sum.0 + of.0, sum.1 + of.1));
        let copies = wishes.iter().filter(|wish| wish.to.is_some()).count() as u64;
        let documents = (documents * copies).checked_div(replicas);
        Work { moves: wishes.len(), documents, sent: self.members.documents_sent() }
    }

    fn picture(&self) -> Result<Picture, StoreError> {
        Picture::load(&*self.store, self.bridge.snapshot.load_full(), self.members.problems())
    }

    fn answer(&self, request: &TopologyRequest) -> Result<Value, ApiError> {
        let picture = self.picture().map_err(|error| api_error(&error))?;
        match request {
            TopologyRequest::CanStop { node } => json(&can_stop::can_stop(&picture, node)?),
            TopologyRequest::ExplainShard { shard } => json(&explain::shard(&picture, &*self.store, *shard)?),
            TopologyRequest::ExplainDocument { index, document } => {
                json(&explain::document(&picture, &*self.store, (index, document), self.node_key())?)
            }
            TopologyRequest::RebalanceStatus => {
                let tables = &picture.protocol.tables;
                let work = self.work(&picture, &steps(&tables.owners, &tables.plan));
                let (watch, compacting) = (&self.watch, &self.members.compacting()[..]);
                let (is_resting, hour) = (self.members.has_resting_target(), hour_of(clock::timestamp()));
                json(&rebalance::status(&picture, &rebalance::Current { watch, work, compacting, is_resting, hour }))
            }
            TopologyRequest::RebalanceHistory => json(&rebalance::history(&picture)),
            TopologyRequest::Preview(what_if) => {
                let next = self.next(&picture, what_if)?;
                json(&preview::preview(&picture, &next, &preview::ask_sizes(&picture, self.node_key())))
            }
            TopologyRequest::Start(to) => self.start(&picture, to),
            TopologyRequest::Pause { is_paused, dry_run } => self.pause(&picture, *is_paused, *dry_run),
            TopologyRequest::Abort { dry_run } => self.abort(&picture, *dry_run),
            TopologyRequest::SetPace(change) => self.set_pace(&picture, change),
            TopologyRequest::Compact { node, dry_run } => self.compact(&picture, node, *dry_run),
            TopologyRequest::CheckSettings => {
                self.members.check_settings();
                Ok(serde_json::json!({ "begun": true }))
            }
            TopologyRequest::AddNode { node, dry_run } => self.add(&picture, node, *dry_run),
            TopologyRequest::RemoveNode { node, dry_run } => self.remove(&picture, node, *dry_run),
            TopologyRequest::RemoveByForce { node, dry_run } => self.remove_by_force(&picture, node, *dry_run),
            TopologyRequest::ReplaceNode { old, new, has_weight, dry_run } => {
                let member = picture.member(old)?;
                let zone = new.zone.clone().or_else(|| member.zone.clone());
                let weight = if *has_weight { new.weight } else { member.weight };
                self.replace(&picture, old, &NodeRecord { zone, weight, ..new.clone() }, *dry_run)
            }
            TopologyRequest::Maintain { node, is_on, force, dry_run } => {
                self.maintain(picture, node, Maintenance { is_on: *is_on, force: *force, dry_run: *dry_run })
            }
            TopologyRequest::Verify { is_repairing, distrust } => {
                self.verify(&picture, *is_repairing, distrust.as_ref())
            }
            TopologyRequest::VerifyStatus => json(&self.verify_status(&picture)),
            TopologyRequest::BackUp => self.backups.begin(&self.store),
            TopologyRequest::BackupStatus => json(&self.backups.status()),
        }
    }
}

fn json(answer: &impl serde::Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(answer).map_err(|error| ApiError::new(Code::Internal, error.to_string()))
}
