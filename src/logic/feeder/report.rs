//! Unreported entries: what may be resolved, when each is reported and as what, and cancellation.

use std::collections::BTreeMap;

use super::changes::{Report, ReportStatus};
use super::feed::{Sent, Stage};
use super::in_sync::changes_view;
use super::renaming::{Names, Renaming};
use super::step::{JournalUnavailable, JournalView, Needs, StepInfo, steps_of};
use super::upkeep::Chore;
use super::{Fleet, feed};
use crate::logic::entry::{Entry, Operation, Resolution, StepKind};
use crate::logic::ids::{EntryId, Epoch, NodeIndexUid, Position, ShardId};
use crate::meili::error::ErrorBody;

/// An entry without an outcome.
#[derive(Debug)]
pub(super) struct Task {
    pub entry: EntryId,
    pub target: Option<NodeIndexUid>,
    pub steps: Vec<StepInfo>,
    /// It fails whatever the nodes say.
    pub error: Option<ErrorBody>,
    /// What nodes are to do for it that is none of their feeds.
    pub chore: Option<Chore>,
    /// The entries that it wants to cancel.
    pub cancels: Option<Vec<EntryId>>,
    /// Some node may have got it: it cannot be canceled.
    pub is_sent: bool,
    pub is_started: bool,
    /// Readers must hear of the index before it is reported.
    pub shown: Option<Stage>,
    /// The deletions and renamings that free its names: reported first, as on one server.
    pub after: Vec<EntryId>,
    /// The names that it gives.
    pub renaming: Option<Renaming>,
    /// How far these are.
    pub names: Names,
    /// Of these nothing that comes after it is sent before it has ended.
    pub gates: Vec<NodeIndexUid>,
    /// What each node says that it deleted.
    pub deleted: BTreeMap<(usize, ShardId), u64>,
}

impl Task {
    pub(super) fn new(entry: &Entry, resolution: Option<&Resolution>, is_sent: bool) -> Self {
        let cancels = match &entry.operation {
            Operation::CancelTasks { matched, .. } => Some(matched.clone()),
            Operation::PutDocuments { .. }
            | Operation::DeleteDocuments { .. }
            | Operation::DeleteByFilter { .. }
            | Operation::EditDocuments { .. }
            | Operation::ClearDocuments
            | Operation::CreateIndex { .. }
            | Operation::UpdateIndex { .. }
            | Operation::DeleteIndex
            | Operation::UpdateSettings { .. }
            | Operation::SwapIndexes { .. }
            | Operation::CompactIndex
            | Operation::CreateSnapshot
            | Operation::ChangeRules(_)
            | Operation::CreateDump
            | Operation::Export(_)
            | Operation::DeleteTasks { .. } => None,
        };
        let steps = steps_of(entry, resolution);
        Self {
            entry: entry.id,
            target: entry.target.clone(),
            error: entry.rejection.clone().or_else(|| resolution_error(resolution)),
            steps,
            chore: Chore::of(entry),
            cancels,
            is_sent,
            is_started: is_sent,
            shown: None,
            after: Vec::new(),
            renaming: Renaming::of(entry),
            names: Names::Old,
            gates: Vec::new(),
            deleted: BTreeMap::new(),
        }
    }

    fn has(&self, is_wanted: impl Fn(StepKind) -> bool) -> bool {
        self.steps.iter().any(|step| is_wanted(step.kind))
    }

    /// Another index may have a name of this one afterwards.
    pub(super) fn frees_names(&self) -> bool {
        self.renaming.is_some() || self.has(|kind| kind == StepKind::Drop)
    }

    /// No node has it, and no later entry counts on it.
    fn is_cancelable(&self) -> bool {
        let is_head = |kind| match kind {
            // After a clearing the primary key may be changed.
            StepKind::Create | StepKind::PrimaryKey | StepKind::Clear | StepKind::Drop => true,
            StepKind::Settings | StepKind::Put(_) | StepKind::Delete => false,
        };
        // Nodes have nothing to do with a dump.
        let reads_all = self.chore.as_ref().is_some_and(Chore::reads_all);
        reads_all || (!self.is_sent && !self.steps.is_empty() && !self.has(is_head))
    }
}

fn resolution_error(resolution: Option<&Resolution>) -> Option<ErrorBody> {
    match resolution? {
        Resolution::Failed(error) => Some(error.clone()),
        Resolution::Ids { .. }
        | Resolution::Existing { .. }
        | Resolution::Edited { .. }
        | Resolution::Count(_)
        | Resolution::Settings { .. }
        | Resolution::PrimaryKey { .. } => None,
    }
}

/// An entry whose turn it is to be resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolve {
    /// Which.
    pub entry: EntryId,
    /// The index by the nodes' name.
    pub index: NodeIndexUid,
    /// From the documents of in-sync replicas, or from the settings or primary key before it.
    pub needs: Needs,
}

impl Fleet {
    /// The entries that can be resolved now from what is wanted, at most one an index. The same ones until
    /// [`Fleet::resolved`] is called.
    pub fn next_to_resolve(
        &mut self,
        wanted: Needs,
        journal: &dyn JournalView,
    ) -> Result<Vec<Resolve>, JournalUnavailable> {
        let mut found = Vec::new();
        let indexes: Vec<NodeIndexUid> = self.attention.iter().cloned().collect();
        for uid in indexes {
            let first = self.first_unresolved(&uid).filter(|&(_, _, needs)| needs == wanted);
            let Some((entry, position, needs)) = first else { continue };
            if self.index(&uid).is_behind_gate(position) {
                // Or a deletion would hide an index under its old name.
                continue;
            }
            let is_due = match needs {
                Needs::Nothing => false,
                Needs::Before => self.votes_before_are_decided(&uid, position),
                Needs::Documents => {
                    let due = self.due_steps(&uid, journal)?;
                    let state = self.index(&uid);
                    let mut feeds = state.feeds.iter().zip(&due);
                    // Stored, too: no replay may cross what was resolved, least of all to nothing.
                    let is_applied = |(feed, due): (&feed::Feed, &Option<Position>)| {
                        due.is_none_or(|due| due >= position) && feed.changed_in <= self.stored
                    };
                    state.is_covered(&uid, &self.topology)
                        && feeds.all(|of| !of.0.is_required() || is_applied(of))
                        && self.is_readable(&uid)
                }
            };
            if is_due {
                found.push(Resolve { entry, index: uid, needs });
            }
        }
        Ok(found)
    }

    fn first_unresolved(&self, uid: &NodeIndexUid) -> Option<(EntryId, Position, Needs)> {
        let (&entry, &needs) = self.indexes.get(uid)?.unresolved.first_key_value()?;
        Some((entry, Position::of(entry, 0), needs))
    }

    /// Nothing before is undecided, and what was decided is stored.
    fn votes_before_are_decided(&self, uid: &NodeIndexUid, position: Position) -> bool {
        let state = self.index(uid);
        let mut before = state.decisions.range(..position);
        state.undecided.range(..position).next().is_none() && before.all(|(&at, _)| self.decision(uid, at).is_some())
    }

    /// Every shard has a replica that is read and will be.
    fn is_readable(&self, uid: &NodeIndexUid) -> bool {
        let feeds = &self.index(uid).feeds;
        self.topology.owners().iter().all(|nodes| nodes.iter().any(|&node| feeds[node].sync == feed::Sync::In))
    }

    /// The resolution of an entry is stored.
    pub fn resolved(&mut self, entry: &Entry, resolution: &Resolution) {
        let Some(task) = self.tasks.get_mut(&entry.id) else { return };
        task.steps = steps_of(entry, Some(resolution));
        task.error = task.error.take().or_else(|| resolution_error(Some(resolution)));
        let Some(uid) = task.target.clone() else { return };
        let steps = task.steps.clone();
        if let Some(state) = self.indexes.get_mut(&uid) {
            state.replace_entry(entry.id, &steps);
            state.note_entry(entry.id, &steps);
        }
        for node in &mut self.nodes {
            node.active.insert(uid.clone());
        }
        self.attention.insert(uid);
    }

    pub(super) fn store_decision(
        &mut self,
        uid: &NodeIndexUid,
        position: Position,
        kind: StepKind,
        rejection: Option<ErrorBody>,
    ) {
        let is_commit = rejection.is_none();
        let state = self.indexes.get_mut(uid).expect("indexes are kept while anything refers to them");
        state.decisions.insert(position, (is_commit, self.version));
        state.undecided.remove(&position);
        self.pending.decisions.push((uid.clone(), position, is_commit));
        if let Some(error) = rejection {
            self.verdicts.insert((position, ShardId(0)), error.clone());
            self.pending.verdicts.push((position, ShardId(0), error));
        } else if changes_view(kind) {
            // A creation is shown when all its steps are done.
            let creates = |entry| self.tasks.get(&entry).is_some_and(|task| task.has(|kind| kind == StepKind::Create));
            self.show(position.entry().filter(|&entry| !creates(entry)));
        }
        for node in &mut self.nodes {
            node.active.insert(uid.clone());
        }
    }

    /// Readers must hear of what this entry changed before it is reported.
    pub(super) fn show(&mut self, entry: Option<EntryId>) {
        let stage = Stage::new(self.version);
        if let Some(task) = entry.and_then(|entry| self.tasks.get_mut(&entry)) {
            task.shown = Some(stage);
            self.to_show.insert(task.entry);
            self.want_publication();
        }
    }

    pub(super) fn report_index(&mut self, uid: &NodeIndexUid, acknowledged: Epoch) {
        self.hide_dropped(uid);
        let state = self.indexes.get_mut(uid).expect("indexes are kept while anything refers to them");
        let is_covered = state.is_covered(uid, &self.topology);
        for entry in state.take_candidates() {
            let task = &self.tasks[&entry];
            if task.chore.is_some() {
                continue; // Reported when it is done.
            }
            let is_plain = task.steps.is_empty();
            let is_settled = is_covered && self.is_settled(uid, task);
            if !is_plain && !is_settled {
                continue; // Looked at again when a watermark passes it, or others are required.
            }
            if is_plain || self.is_shown(uid, entry, acknowledged) {
                self.report(entry);
            } else if let Some(state) = self.indexes.get_mut(uid) {
                state.candidates.insert(entry);
            }
        }
    }

    /// Every required replica that it touches has applied it.
    pub(super) fn is_settled(&self, uid: &NodeIndexUid, task: &Task) -> bool {
        let feeds = &self.index(uid).feeds;
        task.steps.iter().all(|step| {
            let is_behind = |(node, feed): (usize, &feed::Feed)| {
                let has_it = feed.applied >= step.position && !feed.is_read_in_vain();
                !has_it && feed.is_required() && self.topology.must_count(node, uid, step)
            };
            let is_ready = step.needs == Needs::Nothing || !self.rules.resolve;
            is_ready && !feeds.iter().enumerate().any(is_behind)
        })
    }

    /// Every core knows what must be known before this entry is reported.
    fn is_shown(&mut self, uid: &NodeIndexUid, entry: EntryId, acknowledged: Epoch) -> bool {
        let task = &self.tasks[&entry];
        if task.renaming.is_some() && task.names != Names::Known {
            return false;
        }
        if !self.rules.map {
            return true;
        }
        let is_reported = |of: Option<EntryId>| of.is_none_or(|of| !self.tasks.contains_key(&of));
        if task.has(|kind| kind == StepKind::Create) {
            // The index that had the name before goes first.
            let is_due = task.after.iter().all(|earlier| is_reported(Some(*earlier)));
            if is_due && task.shown.is_none() {
                self.pending.visible.push((uid.clone(), true));
                self.show(Some(entry));
            }
            return self.tasks[&entry].shown.is_some_and(|stage| stage.is_acknowledged(acknowledged));
        }
        if !is_reported(self.index(uid).created.entry()) {
            return false;
        }
        if task.has(|kind| kind == StepKind::Drop) {
            return self.index(uid).is_hidden;
        }
        // None: an aborted vote, or one that was decided in an earlier life, whose start published it.
        task.shown.is_none_or(|stage| stage.is_acknowledged(acknowledged))
    }

    /// Readers are told that an index is gone before the first node deletes it.
    fn hide_dropped(&mut self, uid: &NodeIndexUid) {
        let state = self.index(uid);
        let Some(dropped) = state.dropped.filter(|_| state.hidden.is_none() && self.rules.map) else { return };
        let Some(task) = dropped.entry().and_then(|entry| self.tasks.get(&entry)) else {
            // Reported in an earlier life: nobody has seen it in this one.
            self.indexes.get_mut(uid).expect("just read").is_hidden = true;
            return;
        };
        // An index is shown before it is hidden.
        let is_born = state.created.entry().is_none_or(|born| !self.tasks.contains_key(&born));
        if is_born && task.steps.iter().all(|step| step.needs == Needs::Nothing) {
            let stage = Stage::new(self.version);
            self.indexes.get_mut(uid).expect("just read").hidden = Some(stage);
            self.pending.visible.push((uid.clone(), false));
            self.want_publication();
        }
    }

    pub(super) fn report(&mut self, entry: EntryId) {
        let Some(task) = self.tasks.remove(&entry) else { return };
        self.open_gates(&task);
        self.forget_dump(entry);
        if task.frees_names() {
            self.freed.retain(|_, freed| *freed != entry);
        }
        let first = Position::of(entry, 0);
        let end = Position(first.0 + Position::STEPS_PER_ENTRY);
        let range = (first, ShardId(0))..(end, ShardId(0));
        let verdict = self.verdicts.range(range.clone()).next().map(|(_, error)| error.clone());
        let judged: Vec<(Position, ShardId)> = self.verdicts.range(range).map(|(&key, _)| key).collect();
        for key in judged {
            if let (Some(error), Some(uid)) = (self.verdicts.remove(&key), &task.target) {
                self.keep_verdict(uid, key, &error);
            }
        }
        let status = task.error.clone().or(verdict).map_or(ReportStatus::Succeeded, ReportStatus::Failed);
        let deleted = task.chore.as_ref().and_then(Chore::deleted).or_else(|| self.deleted_once(&task));
        let sizes = task.chore.as_ref().and_then(Chore::sizes);
        self.pending.reports.push(Report { entry, status, deleted, canceled: None, sizes });
        let Some(uid) = task.target.clone() else { return };
        if !self.rules.map {
            let creates = task.has(|kind| kind == StepKind::Create);
            if creates || task.has(|kind| kind == StepKind::Drop) {
                self.pending.visible.push((uid.clone(), creates));
                self.want_publication();
            }
        }
        let state = self.indexes.get_mut(&uid).expect("kept while an entry is unreported");
        state.forget_entry(entry);
        let last = task.steps.last().map_or(Position(0), |step| step.position);
        state.top_reported = state.top_reported.max(last);
    }

    /// Notes what one node says that a deletion deleted there; the first answer counts, a repeat finds nothing.
    pub(super) fn count_deleted(&mut self, node: usize, sent: &Sent, deleted: u64) {
        let Some(task) = sent.position.entry().and_then(|entry| self.tasks.get_mut(&entry)) else { return };
        let shard = if sent.is_split { sent.shards.first().copied().unwrap_or_default() } else { ShardId(u16::MAX) };
        task.deleted.entry((node, shard)).or_insert(deleted);
    }

    /// The nodes' counts put together so that every document counts once: the sum over all replicas, divided by how
    /// often each shard was counted on average. Exact when every replica answered.
    fn deleted_once(&self, task: &Task) -> Option<u64> {
        let step = task.steps.iter().find(|step| step.kind == StepKind::Delete)?;
        let uid = task.target.as_ref()?;
        let shards = step.shards.as_deref().unwrap_or_default();
        let touched = shards.len() as u64;
        let mut sum = 0;
        let mut counted = 0;
        for node in 0..self.nodes.len() {
            let mut answers = task.deleted.iter().filter(|((from, _), _)| *from == node).peekable();
            if answers.peek().is_some() {
                sum += answers.map(|(_, deleted)| deleted).sum::<u64>();
                let counts = |shard: &&ShardId| self.topology.counts(node, uid, **shard);
                counted += shards.iter().filter(counts).count() as u64;
            }
        }
        (counted > 0).then(|| (sum * touched + counted / 2) / counted)
    }

    /// Task operations and entries that touch no index.
    pub(super) fn report_task_operations(&mut self) {
        for entry in std::mem::take(&mut self.without_index) {
            let Some(matched) = self.tasks[&entry].cancels.clone() else {
                self.report(entry);
                continue;
            };
            let canceled = matched.into_iter().filter(|&victim| self.cancel(victim, entry)).count() as u64;
            self.tasks.remove(&entry);
            let status = ReportStatus::Succeeded;
            let canceled = Some(canceled);
            self.pending.reports.push(Report { entry, status, deleted: None, canceled, sizes: None });
        }
    }

    fn cancel(&mut self, victim: EntryId, by: EntryId) -> bool {
        if !self.tasks.get(&victim).is_some_and(Task::is_cancelable) {
            return false;
        }
        let Some(task) = self.tasks.remove(&victim) else { return false };
        if let Some(state) = task.target.as_ref().and_then(|uid| self.indexes.get_mut(uid)) {
            state.remove_entry(victim);
        }
        self.open_gates(&task);
        self.forget_dump(victim);
        let status = ReportStatus::Canceled(by);
        self.pending.reports.push(Report { entry: victim, status, deleted: None, canceled: None, sizes: None });
        true
    }
}
