//! What must be stored, published and logged because of what happened.

use std::collections::{BTreeMap, BTreeSet};

use super::Fleet;
use super::feed::{Sync, Version};
use super::renaming::Renaming;
use crate::logic::ids::{EntryId, Epoch, JobId, NodeId, NodeIndexUid, NodeTask, Position, ShardId, Timestamp};
use crate::logic::topology::{BootstrapRecord, JobRecord, JoinRecord, NodeRecord, Tables};
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
    /// The same, now: what is none of the feeds.
    pub begun: Vec<EntryId>,
    /// Indexes that readers see from now on (true), or no longer (false).
    pub visible: Vec<(NodeIndexUid, bool)>,
    /// Indexes with other names, each of these at once.
    pub renamed: Vec<Renaming>,
    /// Entries that ended.
    pub reports: Vec<Report>,
    /// Deleted indexes that nothing refers to any more.
    pub forgotten: Vec<NodeIndexUid>,
    /// Members that are new or have changed.
    pub nodes: Vec<NodeRecord>,
    /// Who owns what, if that has changed.
    pub tables: Option<Tables>,
    /// Jobs that are new or have changed.
    pub jobs: Vec<JobRecord>,
    /// Jobs that are done or given up, with their joins.
    pub ended_jobs: Vec<JobId>,
    /// Joins that are new or have changed.
    pub joins: Vec<JoinRecord>,
    /// The same of bootstraps.
    pub bootstraps: Vec<BootstrapRecord>,
    /// Bootstraps that are done.
    pub ended_bootstraps: Vec<(NodeId, NodeIndexUid)>,
    /// Do not need a rebuild any more: it has begun.
    pub rebuilt: Vec<(NodeId, NodeIndexUid)>,
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
    /// Bytes of an index on all nodes before and after it was compacted, as far as they said so.
    pub sizes: Option<(u64, u64)>,
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
    /// The documents of a shard could not be read from a replica; it is tried again.
    LookFailed {
        /// Where.
        node: NodeId,
        /// Of which index.
        index: NodeIndexUid,
        /// Why.
        reason: String,
    },
    /// A node did not take a copy of a shard; it begins anew.
    CopyFailed {
        /// The target.
        node: NodeId,
        /// Of which index.
        index: NodeIndexUid,
        /// What it says.
        reason: String,
    },
    /// A copy is not what its source has; it begins anew.
    CopyDiffers {
        /// The target.
        node: NodeId,
        /// Of which index.
        index: NodeIndexUid,
        /// Of which shard.
        shard: ShardId,
    },
    /// Replicas that are in sync do not have the same documents of a shard.
    ReplicasDiffer {
        /// Of which index.
        index: NodeIndexUid,
        /// Of which shard.
        shard: ShardId,
        /// Nodes that have the same.
        alike: Vec<Vec<NodeId>>,
        /// Those that are known to be wrong.
        wrong: Vec<NodeId>,
        /// Documents that differ.
        documents: u64,
        /// Ids of some of them.
        examples: Vec<String>,
    },
    /// A node has documents of a shard that it does not own, or without a marker.
    Strays {
        /// Where.
        node: NodeId,
        /// Of which index.
        index: NodeIndexUid,
        /// By their marker; none without one.
        shard: Option<ShardId>,
        /// How many.
        documents: u64,
        /// Ids of some of them.
        examples: Vec<String>,
    },
    /// All replicas were compared.
    Audited {
        /// An operator wanted it.
        is_wanted: bool,
        /// Comparisons.
        compared: usize,
        /// Pairs of nodes, by index, that could not be compared.
        skipped: usize,
        /// Shards and places that are not as they should be.
        differing: usize,
    },
    /// The disk space of an index could not be given back; it is not tried again before more is deleted there.
    NotCompacted {
        /// Where.
        node: NodeId,
        /// Of which index.
        index: NodeIndexUid,
        /// What the node says.
        reason: String,
    },
    /// Settings that somebody else had changed on a node are as they should be again.
    Mended {
        /// Where.
        node: NodeId,
        /// Of which index.
        index: NodeIndexUid,
    },
    /// A node does not take the settings that it should have; they stay as somebody else has changed them.
    MendRejected {
        /// Where.
        node: NodeId,
        /// Of which index.
        index: NodeIndexUid,
        /// What it says.
        reason: String,
    },
    /// Somebody else writes to the node.
    Foreign {
        /// Where.
        node: NodeId,
        /// The task.
        task: NodeTask,
    },
}

/// The part of the topology that readers see.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Shown {
    owners: Vec<Vec<NodeId>>,
    nodes: Vec<NodeId>,
    foreign: BTreeSet<NodeId>,
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
    pub begun: Vec<EntryId>,
    pub visible: Vec<(NodeIndexUid, bool)>,
    pub renamed: Vec<Renaming>,
    pub reports: Vec<Report>,
    pub forgotten: Vec<NodeIndexUid>,
    pub nodes: BTreeSet<usize>,
    pub tables: bool,
    pub jobs: BTreeSet<JobId>,
    pub ended_jobs: BTreeSet<JobId>,
    pub joins: BTreeSet<(JobId, NodeIndexUid)>,
    pub bootstraps: BTreeSet<(usize, NodeIndexUid)>,
    pub rebuilt: BTreeSet<(usize, NodeIndexUid)>,
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
                pending.passed.extend(state.take_passed(&self.topology));
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
            begun: pending.begun,
            visible: pending.visible,
            renamed: pending.renamed,
            reports: pending.reports,
            forgotten: pending.forgotten,
            nodes: pending.nodes.iter().map(|&node| self.nodes[node].record.clone()).collect(),
            tables: pending.tables.then(|| self.tables_now()),
            ended_jobs: pending.ended_jobs.iter().copied().collect(),
            rebuilt: pending.rebuilt.into_iter().map(|(node, uid)| (name(node), uid)).collect(),
            ..self.job_changes(&pending.jobs, &pending.joins, &pending.bootstraps)
        };
        // Whatever readers see of the topology is published.
        if self.publish_in.contains(&self.version) {
            self.shown.push_back((self.version, self.shown_now()));
        }
        let version = self.version;
        self.version += 1;
        (changes, version)
    }

    /// The transaction with this number, and all before it, are durable.
    pub fn stored(&mut self, version: u64) {
        self.stored = self.stored.max(version);
        while self.shown.get(1).is_some_and(|&(from, _)| from <= self.stored) {
            self.shown.pop_front();
        }
        for uid in &self.attention {
            if let Some(state) = self.indexes.get_mut(uid) {
                state.trim();
            }
        }
    }

    /// Whether [`Fleet::take_changes`] would give anything.
    pub fn has_changes(&self) -> bool {
        let Pending { applied, next_task, sync, needs_rebuild, verdicts, .. } = &self.pending;
        let Pending { decisions, started, begun, visible, renamed, reports, forgotten, .. } = &self.pending;
        let Pending { nodes, tables, jobs, ended_jobs, joins, bootstraps, rebuilt, .. } = &self.pending;
        !(applied.is_empty() && next_task.is_empty() && sync.is_empty() && needs_rebuild.is_empty())
            || !(verdicts.is_empty()
                && decisions.is_empty()
                && started.is_empty()
                && visible.is_empty()
                && renamed.is_empty())
            || !begun.is_empty()
            || !(reports.is_empty() && forgotten.is_empty() && nodes.is_empty() && jobs.is_empty() && joins.is_empty())
            || *tables
            || !(ended_jobs.is_empty() && bootstraps.is_empty() && rebuilt.is_empty())
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
            for (feed, node) in state.feeds.iter().zip(&self.nodes).filter(|(_, node)| node.record.state.is_member()) {
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
        let Shown { owners, nodes, foreign } =
            self.shown.front().expect("the topology of the last transaction").1.clone();
        Publication { out_of_sync, owners, nodes, foreign, ticket: self.stored }
    }

    /// The topology as readers see it once all changes up to now are stored.
    pub(super) fn shown_now(&self) -> Shown {
        let name = |node: usize| self.nodes[node].id.clone();
        let members = (0..self.nodes.len()).filter(|&node| self.topology.is_member(node));
        let foreign = self.topology.jobs.values().filter_map(super::moves::Job::foreign);
        Shown {
            owners: self.table(self.topology.owners()),
            nodes: members.map(name).collect(),
            foreign: foreign.map(name).collect(),
        }
    }

    fn table(&self, by_shard: &[Vec<usize>]) -> Vec<Vec<NodeId>> {
        let named = |nodes: &Vec<usize>| nodes.iter().map(|&node| self.nodes[node].id.clone()).collect();
        by_shard.iter().map(named).collect()
    }

    /// Who owns what, now and soon.
    pub fn tables_now(&self) -> Tables {
        let (owners, plan) = (self.table(self.topology.owners()), self.table(&self.topology.plan));
        Tables { owners, plan, mends: self.mends(), ..self.tables.clone() }
    }

    fn job_changes(
        &self,
        jobs: &BTreeSet<JobId>,
        joins: &BTreeSet<(JobId, NodeIndexUid)>,
        bootstraps: &BTreeSet<(usize, NodeIndexUid)>,
    ) -> Changes {
        let name = |node: usize| self.nodes[node].id.clone();
        let job = |&id: &JobId| Some(self.topology.jobs.get(&id)?.record(id, name));
        let join = |(job, index): &(JobId, NodeIndexUid)| {
            let join = self.topology.jobs.get(job)?.joins.get(index)?;
            Some(JoinRecord { job: *job, index: index.clone(), state: join.state, cursor: join.cursor })
        };
        let mut changes = Changes {
            jobs: jobs.iter().filter_map(job).collect(),
            joins: joins.iter().filter_map(join).collect(),
            ..Changes::default()
        };
        for (node, index) in bootstraps {
            let state = self.indexes.get(index);
            match state.and_then(|state| state.feeds[*node].bootstrap) {
                Some(bootstrap) => {
                    let (node, index) = (name(*node), index.clone());
                    changes.bootstraps.push(BootstrapRecord { node, index, at: bootstrap.at, stage: bootstrap.stage });
                }
                None => changes.ended_bootstraps.push((name(*node), index.clone())),
            }
        }
        changes
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
            let gates = state.feeds.iter_mut().filter_map(|feed| feed.bootstrap.as_mut()?.gate.as_mut());
            gates.for_each(stamp);
        }
        self.topology.jobs.values_mut().for_each(|job| stamp(&mut job.stage));
        let tasks = &mut self.tasks;
        self.to_show.retain(|entry| {
            let Some(stage) = tasks.get_mut(entry).and_then(|task| task.shown.as_mut()) else { return false };
            stamp(stage);
            stage.epoch.is_none()
        });
    }
}
