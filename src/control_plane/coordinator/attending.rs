//! The threads of each member: they come and go with it while everything else runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TryRecvError, bounded, select};
use parking_lot::Mutex;

use super::{Coordinator, READERS_POLL, Stopping};
use crate::control_plane::feeder::Feeder;
use crate::control_plane::identity::Identity;
use crate::control_plane::node_client::NodeClient;
use crate::control_plane::prober::{ProbeTiming, Prober};
use crate::control_plane::status::Looks;
use crate::control_plane::threads::Threads;
use crate::logic::feeder::{AuditReport, BackgroundAudit, Bearer, Fleet};
use crate::logic::ids::{JobId, NodeId, NodeIndexUid, NodeTask};
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
    /// It is no member.
    #[error(
        "no thread can be started for the node: {0}; nothing was changed. Raise the limit of processes of this user, and \
         try again"
    )]
    Thread(#[from] std::io::Error),
}

/// The threads of a node, before they know its number. Dropped, they end without having done anything.
struct Waiting {
    begin: Sender<usize>,
    group: Threads,
}

/// Each of them is told the number.
const THREADS_OF_A_NODE: usize = 2;

impl Waiting {
    fn begin(self, number: usize) -> Threads {
        for _ in 0..THREADS_OF_A_NODE {
            self.begin.try_send(number).expect("the channel has room for all of them");
        }
        self.group
    }
}

/// The number of the node, once there is something to do for it; none when the thread is to end.
fn awaited(number: &Receiver<usize>, stop: &Receiver<()>) -> Option<usize> {
    select! {
        recv(stop) -> _ => None,
        recv(number) -> number => {
            if number.is_err() {
                // Its end is about to be asked for.
                let _ = stop.recv();
            }
            number.ok()
        }
    }
}

/// A thread is asked to end.
pub(super) fn is_over(stop: &Receiver<()>) -> bool {
    stop.try_recv() == Err(TryRecvError::Disconnected)
}

impl Coordinator {
    /// Makes a node a member: it gets every index, and shards as soon as the plan names it. It must be empty, and its name
    /// new; `next_task` is the number that its next task gets. What else is to be changed with that, like the plan, is
    /// stored in the same transaction. Durable, published and fed when this returns.
    ///
    /// # Errors
    /// See [`EnrolError`].
    pub fn enrol(
        self: &Arc<Self>,
        node: &NodeRecord,
        next_task: NodeTask,
        change: impl FnOnce(&mut Fleet),
    ) -> Result<(), EnrolError> {
        let waiting = self.wait_for(node)?;
        // Before a publication names it.
        self.publisher.set_node(node);
        let number = {
            let mut state = self.state.lock();
            let number = state.fleet.enrol(node.clone(), next_task, clock::monotonic());
            change(&mut state.fleet);
            number
        };
        self.commit()?;
        self.begin(waiting, number, node);
        Ok(())
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

    /// Waits until no reader uses a node in maintenance, not even with a request that began before, but no longer than this.
    /// Returns whether that is so; never if nobody else has what it has.
    pub fn await_unread(&self, node: &NodeId, limit: Duration) -> bool {
        let until = clock::instant() + limit;
        // Once it stands aside: what shows that.
        let mut shown = None;
        let mut state = self.state.lock();
        loop {
            match state.fleet.is_read_in_maintenance(node) {
                Some(true) => return false,
                Some(false) if shown.is_none() => shown = Some(state.published),
                Some(false) | None => {}
            }
            let left = until.saturating_duration_since(clock::instant());
            if shown.is_some_and(|epoch| self.bridge.progress().drained >= epoch) {
                return true;
            }
            if left.is_zero() || self.is_stopping() {
                return false;
            }
            state.wait(&self.feeders, left.min(READERS_POLL));
        }
    }

    /// All replicas are compared again and again from now on, or only when somebody asks for it.
    pub fn audit_in_background(&self, background: Option<BackgroundAudit>) {
        self.state.lock().fleet.set_background_audit(background);
    }

    /// How the comparison of all replicas stands.
    pub fn audit_report(&self) -> AuditReport {
        self.state.lock().fleet.audit_report()
    }

    /// Why jobs do not get on.
    pub fn job_problems(&self) -> BTreeMap<JobId, Arc<str>> {
        self.state.lock().fleet.job_problems()
    }

    /// See [`Fleet::has_resting_target`].
    pub fn has_resting_target(&self) -> bool {
        self.state.lock().fleet.has_resting_target(clock::monotonic())
    }

    /// Indexes whose disk space is given back at the moment.
    pub fn compacting(&self) -> Vec<(NodeId, NodeIndexUid)> {
        self.state.lock().fleet.compacting()
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
        let waiting = self.wait_for(node)?;
        self.begin(waiting, number, node);
        Ok(())
    }

    fn begin(&self, waiting: Waiting, number: usize, node: &NodeRecord) {
        let mut groups = self.attendance.groups.lock();
        if !self.is_stopping() {
            groups.insert(node.id.clone(), waiting.begin(number));
        }
    }

    /// The threads of a node, which wait.
    fn wait_for(self: &Arc<Self>, node: &NodeRecord) -> std::io::Result<Waiting> {
        let mut group = self.attendance.threads.group();
        let (begin, number) = bounded(THREADS_OF_A_NODE);
        let key = self.node_key.as_deref();
        let client = || NodeClient::new(node.url.clone(), key);
        let identity = Identity { cluster: self.cluster_id.clone(), node: node.id.clone() };
        let (shared, awaits, to_prove, to_feed) = (self.clone(), number.clone(), identity.clone(), client());
        group.spawn(format!("feeder-{}", node.id), move |stop| {
            if let Some(node) = awaited(&awaits, stop) {
                shared.run_feeder(&Feeder { node, identity: to_prove, client: to_feed }, stop);
            }
            shared.outlive_the_guilty(stop);
        })?;
        let prober = Prober {
            identity,
            url: node.url.clone(),
            node_key: self.node_key.clone(),
            publisher: self.publisher.clone(),
            looks: self.attendance.looks.clone(),
            timing: self.attendance.probes,
        };
        let shared = self.clone();
        group.spawn(format!("prober-{}", node.id), move |stop| {
            if let Some(number) = awaited(&number, stop) {
                prober.run(stop, |bearer| shared.is_itself(number, bearer));
            }
        })?;
        Ok(Waiting { begin, group })
    }

    /// What its prober found at the address of a node; if that is not the node, its feeder looks too before it goes on. None:
    /// a server that cannot be a node.
    fn is_itself(&self, number: usize, bearer: Option<Bearer>) -> bool {
        let mut state = self.state.lock();
        let is_itself = bearer.is_some_and(|bearer| state.fleet.is_itself(number, bearer));
        if !is_itself {
            state.fleet.doubt(number);
            self.feeders.notify_all();
        }
        is_itself
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
