//! The threads of each member: they come and go with it while everything else runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam::channel::{Receiver, TryRecvError};
use parking_lot::Mutex;

use super::{Coordinator, Stopping};
use crate::control_plane::feeder::Feeder;
use crate::control_plane::node_client::NodeClient;
use crate::control_plane::prober::{ProbeTiming, Prober};
use crate::control_plane::status::Looks;
use crate::control_plane::threads::Threads;
use crate::logic::feeder::{AuditReport, BackgroundAudit, Fleet};
use crate::logic::ids::{NodeId, NodeTask};
use crate::logic::topology::NodeRecord;
use crate::telemetry::clock;

/// What the threads of members are made with, and where they are.
pub(super) struct Attendance {
    pub looks: Looks,
    pub probes: ProbeTiming,
    /// Has no threads itself: deaths of all that come from it are heard of in one place.
    pub threads: Threads,
    /// By member, those that were removed included until the end.
    pub groups: Mutex<BTreeMap<NodeId, Threads>>,
}

/// Why a node is not fed.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// Whether it is a member shows after the next start.
    #[error(transparent)]
    Stopping(#[from] Stopping),
    /// It is a member, but gets nothing before the next start.
    #[error(
        "no thread can be started for the node: {0}; raise the limit of processes of this user, and restart Miroir"
    )]
    Thread(#[from] std::io::Error),
}

/// A thread is asked to end.
pub(super) fn is_over(stop: &Receiver<()>) -> bool {
    stop.try_recv() == Err(TryRecvError::Disconnected)
}

impl Coordinator {
    /// Makes a node a member: it gets every index, and shards as soon as the plan names it. It must be empty, and its name
    /// new; `next_task` is the number that its next task gets. Durable, published and fed when this returns.
    pub fn enrol(self: &Arc<Self>, node: &NodeRecord, next_task: NodeTask) -> Result<(), EnrolError> {
        // Before a publication names it.
        self.publisher.set_node(node);
        let number = self.state.lock().fleet.enrol(node.clone(), next_task, clock::monotonic());
        self.commit()?;
        Ok(self.attend(number, node)?)
    }

    /// Changes what the fleet is to be; returns when that is durable.
    pub fn change_fleet<T>(&self, change: impl FnOnce(&mut Fleet) -> T) -> Result<T, Stopping> {
        let mut state = self.state.lock();
        let changed = change(&mut state.fleet);
        self.wake(state, true);
        self.commit()?;
        Ok(changed)
    }

    /// Members that do not answer, and for how many milliseconds.
    pub fn away(&self) -> Vec<(NodeId, u64)> {
        self.state.lock().fleet.away(clock::monotonic())
    }

    /// All replicas are compared again and again from now on, or only when somebody asks for it.
    pub fn audit_in_background(&self, background: Option<BackgroundAudit>) {
        self.state.lock().fleet.set_background_audit(background);
    }

    /// How the comparison of all replicas stands.
    pub fn audit_report(&self) -> AuditReport {
        self.state.lock().fleet.audit_report()
    }

    /// Takes a member away that owns nothing and has no part in a move; false if it still has. Durable and published when
    /// this returns; its threads bring to its end what they are about.
    pub fn remove(&self, node: &NodeId) -> Result<bool, Stopping> {
        let is_removed = self.state.lock().fleet.remove(node);
        if is_removed {
            self.commit()?;
        }
        Ok(is_removed)
    }

    /// Starts the threads of a member that the protocol knows by this number and the publisher by its name. Waits for those
    /// that it had before, if any.
    pub(super) fn attend(self: &Arc<Self>, number: usize, node: &NodeRecord) -> std::io::Result<()> {
        // Two feeders would send at the same time. Not under the lock: they may need it to end.
        let before = self.attendance.groups.lock().remove(&node.id);
        drop(before);
        let mut groups = self.attendance.groups.lock();
        if self.is_stopping() {
            return Ok(());
        }
        let mut group = self.attendance.threads.group();
        let key = self.node_key.as_deref();
        let (shared, feeder) = (self.clone(), Feeder::new(number, node, key));
        group.spawn(format!("feeder-{}", node.id), move |stop| {
            shared.run_feeder(&feeder, stop);
            shared.outlive_the_guilty(stop);
        })?;
        let prober = Prober {
            id: node.id.clone(),
            url: node.url.clone(),
            client: NodeClient::new(node.url.clone(), key),
            publisher: self.publisher.clone(),
            looks: self.attendance.looks.clone(),
            timing: self.attendance.probes,
        };
        group.spawn(format!("prober-{}", node.id), move |stop| prober.run(stop))?;
        groups.insert(node.id.clone(), group);
        Ok(())
    }

    /// Asks the threads of a node to end, without waiting for them: what is under way is brought to its end.
    pub(super) fn dismiss(&self, node: &NodeId) {
        if let Some(group) = self.attendance.groups.lock().get_mut(node) {
            group.ask_to_stop();
        }
        self.wake(self.state.lock(), false);
    }

    /// Asks everything to end, and waits for the threads of members.
    pub(super) fn dismiss_all(&self) {
        let mut groups = self.attendance.groups.lock();
        groups.values_mut().for_each(Threads::ask_to_stop);
        self.stop();
        let ending = std::mem::take(&mut *groups);
        drop(groups);
        drop(ending);
    }

    /// To be called by a thread that is about to end: if another one died, it is that one's name that the operator must see.
    pub(super) fn outlive_the_guilty(&self, stop: &Receiver<()>) {
        if self.is_broken() {
            let _ = stop.recv();
        }
    }
}
