//! What must be stored, published and logged because of what happened.

use std::collections::{BTreeMap, BTreeSet};

use super::Fleet;
use super::feed::{Sync, Version};
use crate::logic::ids::{EntryId, Epoch, NodeId, NodeIndexUid, NodeTask, Position, ShardId, Timestamp};
use crate::meili::error::ErrorBody;

/// One transaction of protocol state. The caller adds what it keeps itself: index records, the numbers of a task.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Changes {
    /// New watermarks.
    pub applied: Vec<(NodeId, NodeIndexUid, Position)>,
    /// New task numbers.
    pub next_task: Vec<(NodeId, NodeTask)>,
    /// Leaving the in-sync set.
    pub went_out: Vec<(NodeId, NodeIndexUid)>,
    /// Back in the in-sync set.
    pub came_back: Vec<(NodeId, NodeIndexUid)>,
    /// To be rebuilt from their peers.
    pub needs_rebuild: Vec<(NodeId, NodeIndexUid)>,
    /// Chunks rejected when alone; for an aborted vote one with shard 0.
    pub verdicts: Vec<(Position, ShardId, ErrorBody)>,
    /// Votes that ended: true for commit. The user's settings change with the commit.
    pub decisions: Vec<(NodeIndexUid, Position, bool)>,
    /// Steps whose decision no replica can come to any more.
    pub passed: Vec<Position>,
    /// Entries that some node begins with.
    pub started: Vec<(EntryId, Timestamp)>,
    /// Indexes that readers see from now on (true), or no longer (false).
    pub visible: Vec<(NodeIndexUid, bool)>,
    /// Entries that ended.
    pub reports: Vec<Report>,
    /// Deleted indexes that nothing refers to any more.
    pub forgotten: Vec<NodeIndexUid>,
}

impl Changes {
    /// Nothing to store.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How an entry ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// Which.
    pub entry: EntryId,
    /// How.
    pub status: ReportStatus,
    /// Documents that the nodes deleted, each counted once, as far as they said so.
    pub deleted: Option<u64>,
    /// Tasks that this task canceled.
    pub canceled: Option<u64>,
}

/// See [`Report`].
#[derive(Clone, PartialEq, Debug)]
pub enum ReportStatus {
    /// Every replica applied it.
    Succeeded,
    /// A node, or a check before, rejected a part of it.
    Failed(ErrorBody),
    /// Taken back by this entry before any node got it.
    Canceled(EntryId),
}

/// What readers must know, exactly as of one transaction.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Publication {
    /// Replicas that may not be read.
    pub out_of_sync: BTreeSet<(NodeId, NodeIndexUid)>,
    /// By shard: the nodes that are read for it.
    pub owners: Vec<Vec<NodeId>>,
    /// All members, in the order of their slots.
    pub nodes: Vec<NodeId>,
    /// Nodes that may hold documents of shards that they do not own.
    pub foreign: BTreeSet<NodeId>,
    ticket: Version,
}

/// What an operator should hear of.
#[derive(Clone, PartialEq, Debug)]
pub enum Alarm {
    /// A request from before an index-wide step arrived after all hope: this replica needs a rebuild, or, without
    /// peers, may hold old values.
    FarStranger {
        /// Where.
        node: NodeId,
        /// Of which index.
        index: NodeIndexUid,
    },
    /// A node rejects settings that its peers took.
    LateRejection {
        /// Where.
        node: NodeId,
        /// Of which index.
        index: NodeIndexUid,
        /// Which step.
        position: Position,
        /// What it says.
        reason: String,
    },
    /// A node refuses what no node may refuse; it is tried again.
    Stuck {
        /// Where.
        node: NodeId,
        /// Of which index.
        index: NodeIndexUid,
        /// Which step.
        position: Position,
        /// What it says.
        reason: String,
    },
    /// A node takes no body of this size, and it cannot be made smaller; it is tried again.
    TooLarge {
        /// Where.
        node: NodeId,
        /// Of which index.
        index: NodeIndexUid,
        /// Which step.
        position: Position,
        /// What it says.
        reason: String,
    },
    /// A node failed for a reason of its own; it is tried again.
    Retried {
        /// Where.
        node: NodeId,
        /// Of which index.
        index: NodeIndexUid,
        /// Which step.
        position: Position,
        /// What it says.
        reason: String,
    },
    /// Task numbers went back: the node lost its data.
    NodeLost {
        /// Which.
        node: NodeId,
    },
    /// Somebody else writes to the node.
    Foreign {
        /// Where.
        node: NodeId,
        /// The task.
        task: NodeTask,
    },
}

/// Collected for the next transaction.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub applied: BTreeSet<(usize, NodeIndexUid)>,
    pub next_task: BTreeSet<usize>,
    /// Out (true) or back in.
    pub sync: BTreeMap<(usize, NodeIndexUid), bool>,
    pub needs_rebuild: Vec<(usize, NodeIndexUid)>,
    pub verdicts: Vec<(Position, ShardId, ErrorBody)>,
    pub decisions: Vec<(NodeIndexUid, Position, bool)>,
    /// Of indexes that are forgotten.
    pub passed: Vec<Position>,
    pub started: Vec<(EntryId, Timestamp)>,
    pub visible: Vec<(NodeIndexUid, bool)>,
    pub reports: Vec<Report>,
    pub forgotten: Vec<NodeIndexUid>,
    pub alarms: Vec<Alarm>,
}

impl Fleet {
    /// What the next transaction must store, and its number. Call [`Fleet::stored`] with it after the commit, also when
    /// there is nothing to store.
    pub fn take_changes(&mut self) -> (Changes, u64) {
        let mut pending = std::mem::take(&mut self.pending);
        let moved: BTreeSet<&NodeIndexUid> = pending.applied.iter().map(|(_, uid)| uid).collect();
        for uid in moved.into_iter().filter(|_| self.rules.far) {
            if let Some(state) = self.indexes.get_mut(uid) {
                // Stored together with the watermarks that allow it.
                pending.passed.extend(state.take_passed(&self.holdings));
            }
        }
        self.pending.alarms = pending.alarms;
        let name = |node: usize| self.nodes[node].id.clone();
        let applied = pending.applied.into_iter().filter(|(_, uid)| self.indexes.contains_key(uid));
        let (out, back): (Vec<_>, Vec<_>) = pending.sync.into_iter().partition(|&(_, is_out)| is_out);
        let named = |((node, uid), _): ((usize, NodeIndexUid), bool)| (name(node), uid);
        let changes = Changes {
            applied: applied.map(|(node, uid)| (name(node), uid.clone(), self.feed(node, &uid).applied)).collect(),
            next_task: pending.next_task.into_iter().map(|node| (name(node), self.nodes[node].next_task)).collect(),
            went_out: out.into_iter().map(named).collect(),
            came_back: back.into_iter().map(named).collect(),
            needs_rebuild: pending.needs_rebuild.into_iter().map(|(node, uid)| (name(node), uid)).collect(),
            verdicts: pending.verdicts,
            decisions: pending.decisions,
            passed: pending.passed,
            started: pending.started,
            visible: pending.visible,
            reports: pending.reports,
            forgotten: pending.forgotten,
        };
        let version = self.version;
        self.version += 1;
        (changes, version)
    }

    /// The transaction with this number, and all before it, are durable.
    pub fn stored(&mut self, version: u64) {
        self.stored = self.stored.max(version);
        for uid in &self.attention {
            if let Some(state) = self.indexes.get_mut(uid) {
                state.trim();
            }
        }
    }

    /// Whether [`Fleet::take_changes`] would give anything.
    pub fn has_changes(&self) -> bool {
        let Pending { applied, next_task, sync, needs_rebuild, verdicts, .. } = &self.pending;
        let Pending { decisions, started, visible, reports, forgotten, .. } = &self.pending;
        !(applied.is_empty() && next_task.is_empty() && sync.is_empty() && needs_rebuild.is_empty())
            || !(verdicts.is_empty() && decisions.is_empty() && started.is_empty() && visible.is_empty())
            || !(reports.is_empty() && forgotten.is_empty())
    }

    /// What an operator should hear of since the last call.
    pub fn take_alarms(&mut self) -> Vec<Alarm> {
        std::mem::take(&mut self.pending.alarms)
    }

    pub(super) fn want_publication(&mut self) {
        self.publish_in.insert(self.version);
    }

    /// What readers must hear of now; none while nothing new is stored.
    pub fn publication(&self) -> Option<Publication> {
        self.publish_in.first().is_some_and(|&first| first <= self.stored).then(|| self.view())
    }

    /// What readers may rely on as of the last transaction, whether it is new or not.
    pub fn view(&self) -> Publication {
        let mut out_of_sync = BTreeSet::new();
        for (uid, state) in &self.indexes {
            for (feed, node) in state.feeds.iter().zip(&self.nodes) {
                let is_out = match feed.sync {
                    Sync::In => feed.came_back_in > self.stored,
                    Sync::Returning(stage) => stage.stored_in > self.stored,
                    Sync::Leaving(_) | Sync::Out | Sync::Joining => true,
                };
                if is_out {
                    out_of_sync.insert((node.id.clone(), uid.clone()));
                }
            }
        }
        let name = |&node: &usize| self.nodes[node].id.clone();
        Publication {
            out_of_sync,
            owners: self.holdings.by_shard().iter().map(|owners| owners.iter().map(name).collect()).collect(),
            nodes: self.nodes.iter().map(|node| node.id.clone()).collect(),
            foreign: BTreeSet::new(),
            ticket: self.stored,
        }
    }

    /// The publication was published as this epoch.
    pub fn published(&mut self, publication: &Publication, epoch: Epoch) {
        let ticket = publication.ticket;
        self.publish_in.retain(|&version| version > ticket);
        let stamp = |stage: &mut super::feed::Stage| {
            if stage.stored_in <= ticket && stage.epoch.is_none() {
                stage.epoch = Some(epoch);
            }
        };
        for state in self.indexes.values_mut() {
            for feed in &mut state.feeds {
                match &mut feed.sync {
                    Sync::Leaving(stage) | Sync::Returning(stage) => stamp(stage),
                    Sync::In | Sync::Out | Sync::Joining => {}
                }
            }
            state.hidden.iter_mut().for_each(stamp);
        }
        let tasks = &mut self.tasks;
        self.to_show.retain(|entry| {
            let Some(stage) = tasks.get_mut(entry).and_then(|task| task.shown.as_mut()) else { return false };
            stamp(stage);
            stage.epoch.is_none()
        });
    }
}
