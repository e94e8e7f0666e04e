//! How a (node, index) comes to the point where its main stream can begin: the index is deleted if it may be left over,
//! created, and given its settings as they are now. Documents follow with the joins.

use crate::logic::entry::StepKind;
use crate::logic::feeder::feed::{Purpose, Stage};
use crate::logic::feeder::node::{End, SeenKind, Send};
use crate::logic::feeder::{Alarm, Fleet};
use crate::logic::ids::{Monotonic, NodeIndexUid, Position};
use crate::logic::topology::BootstrapStage;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::logic::feeder) struct Bootstrap {
    /// The main stream begins after it.
    pub at: Position,
    pub stage: BootstrapStage,
    /// Readers must know that the replica is not to be read before anything is sent to it.
    pub gate: Option<Stage>,
}

impl Bootstrap {
    pub(in crate::logic::feeder) fn send(self, index: &NodeIndexUid) -> Send {
        let kind = match self.stage {
            BootstrapStage::Drop => StepKind::Drop,
            BootstrapStage::Create => StepKind::Create,
            BootstrapStage::Settings => StepKind::Settings,
        };
        let (index, position) = (index.clone(), self.at);
        Send { index, position, kind, shards: Vec::new(), is_split: false, purpose: Purpose::Bootstrap }
    }

    /// Where it goes on after a task of the index that no answer named, if anything must be done about that: mostly a
    /// request of an earlier life of this process. One that did what is due counts as done, and none that does no harm
    /// leads back, so that every life gets on, however soon it ends. `is_under_way`: a request of this life is.
    pub(in crate::logic::feeder) fn after_stranger(self, kind: SeenKind, is_under_way: bool) -> Option<BootstrapStage> {
        match (kind, self.stage) {
            (SeenKind::Create, BootstrapStage::Create) => Some(BootstrapStage::Settings),
            (SeenKind::Drop, BootstrapStage::Drop | BootstrapStage::Create | BootstrapStage::Settings) => {
                Some(BootstrapStage::Create)
            }
            // They may have come after ours.
            (SeenKind::Settings, BootstrapStage::Settings) => Some(BootstrapStage::Settings),
            (
                SeenKind::Create | SeenKind::Settings | SeenKind::Deletion | SeenKind::Housekeeping | SeenKind::Upkeep,
                _,
            ) => None,
            (SeenKind::Put | SeenKind::PrimaryKey | SeenKind::Foreign, BootstrapStage::Drop) if !is_under_way => None,
            (SeenKind::Put | SeenKind::PrimaryKey | SeenKind::Foreign, _) => Some(BootstrapStage::Drop),
        }
    }
}

impl Fleet {
    pub(in crate::logic::feeder) fn bootstrap_ended(
        &mut self,
        node: usize,
        uid: &NodeIndexUid,
        end: End,
        now: Monotonic,
    ) {
        let is_dropped = self.index(uid).dropped.is_some_and(|dropped| self.feed(node, uid).applied >= dropped);
        let Some(mut bootstrap) = self.feed(node, uid).bootstrap else { return };
        let next = match (bootstrap.stage, end) {
            (_, End::Retry(_)) => return,
            // What finds its work done is done.
            (BootstrapStage::Drop, _) => (!is_dropped).then_some(BootstrapStage::Create),
            (BootstrapStage::Create, _) => Some(BootstrapStage::Settings),
            (BootstrapStage::Settings, End::Succeeded) => None,
            (BootstrapStage::Settings, End::Rejected(error)) => {
                let (node_id, index, position) = (self.nodes[node].id.clone(), uid.clone(), bootstrap.at);
                self.pending.alarms.push(Alarm::Stuck { node: node_id, index, position, reason: error.message });
                self.back_off_index(node, uid, now);
                return;
            }
        };
        self.feed_mut(node, uid).bootstrap = next.map(|stage| {
            bootstrap.stage = stage;
            bootstrap
        });
        self.pending.bootstraps.insert((node, uid.clone()));
        self.attention.insert(uid.clone());
    }
}
