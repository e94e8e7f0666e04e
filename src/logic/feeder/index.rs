//! The state of one index: its steps in the window, and the feeds of all nodes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::feed::{Feed, Stage, Version};
use super::step::{JournalUnavailable, JournalView, Needs, StepInfo};
use super::topology::Topology;
use crate::logic::entry::StepKind;
use crate::logic::ids::{EntryId, Monotonic, NodeIndexUid, Position, ShardId};

/// Steps read from the journal at once for a node that lags.
const AHEAD: usize = 128;

/// Reported steps that stay in the window, so that small lags need no read.
const RECENT: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct IndexState {
    /// Its first step.
    pub created: Position,
    /// Its last step, once that is in the journal.
    pub dropped: Option<Position>,
    /// Every step after `complete_after`.
    pub steps: VecDeque<StepInfo>,
    pub complete_after: Position,
    /// By node.
    pub feeds: Vec<Feed>,
    pub unreported: BTreeSet<EntryId>,
    /// Of those, the ones that may have become due for their report: with a long backlog all cannot be looked at again and
    /// again.
    pub candidates: BTreeSet<EntryId>,
    /// By node: whether verdicts needed it when all were looked at last.
    pub required: Vec<bool>,
    /// Unreported steps that the fleet has not decided on.
    pub undecided: BTreeMap<Position, StepKind>,
    /// Unreported entries that are not resolved yet.
    pub unresolved: BTreeMap<EntryId, Needs>,
    /// Commit (true) or abort, and the transaction that stores it: as long as some replica may come to the step.
    pub decisions: BTreeMap<Position, (bool, Version)>,
    /// Chunks of reported entries that were rejected since an embedder failed, and that some replica has not come to.
    pub judged: BTreeSet<(Position, ShardId)>,
    /// Unreported renamings and dumps: nothing beyond the first one is sent.
    pub gates: BTreeSet<Position>,
    /// The last step of any reported entry.
    pub top_reported: Position,
    /// The journal may have forgotten what ended entries before this one carry.
    pub needed_from: EntryId,
    /// Readers are told that it is gone, before any node loses it.
    pub hidden: Option<Stage>,
    /// `hidden` was acknowledged by every core.
    pub is_hidden: bool,
    /// Deleted everywhere and reported.
    pub dead_since: Option<Monotonic>,
}

impl IndexState {
    pub(super) fn new(created: Position, node_count: usize) -> Self {
        Self {
            created,
            dropped: None,
            steps: VecDeque::new(),
            complete_after: created.before(),
            feeds: vec![Feed::new(created.before()); node_count],
            unreported: BTreeSet::new(),
            candidates: BTreeSet::new(),
            required: Vec::new(),
            undecided: BTreeMap::new(),
            unresolved: BTreeMap::new(),
            decisions: BTreeMap::new(),
            judged: BTreeSet::new(),
            gates: BTreeSet::new(),
            top_reported: Position(0),
            needed_from: EntryId(0),
            hidden: None,
            is_hidden: false,
            dead_since: None,
        }
    }

    /// Some reader may still use it: its deletion, if there is one, is not known to all.
    pub(super) fn is_read(&self) -> bool {
        self.dropped.is_none() || !self.is_hidden
    }

    /// It comes after a renaming that is not known to all readers, or after a dump that has not ended.
    pub(super) fn is_behind_gate(&self, position: Position) -> bool {
        self.gates.first().is_some_and(|&gate| position > gate)
    }

    /// The first step after a position that touches a node.
    pub(super) fn step_after(
        &mut self,
        node: usize,
        after: Position,
        lookup: &Lookup<'_>,
    ) -> Result<Option<StepInfo>, JournalUnavailable> {
        let mut at = after;
        while at < self.complete_after {
            let feed = &mut self.feeds[node];
            feed.ahead.keep_from(feed.applied, at);
            if let Some(step) = feed.ahead.steps.iter().find(|step| step.position > at) {
                return Ok(Some(step.clone()));
            }
            if feed.ahead.to >= self.complete_after {
                break;
            }
            let read = lookup.journal.steps(lookup.index, feed.ahead.to, AHEAD)?;
            at = feed.ahead.to.max(at);
            let is_end = read.len() < AHEAD;
            let last = read.last().map_or(self.complete_after, |step| step.position);
            feed.ahead.to = if is_end { self.complete_after } else { last.min(self.complete_after) };
            let to = feed.ahead.to;
            let touching = read
                .into_iter()
                .filter(|step| step.position <= to && lookup.topology.touches(node, lookup.index, step));
            feed.ahead.steps.extend(touching);
        }
        Ok(self.step_in_window(node, after, lookup))
    }

    /// The same among the steps of the window. A long stretch without a step for the node is not searched again.
    fn step_in_window(&mut self, node: usize, after: Position, lookup: &Lookup<'_>) -> Option<StepInfo> {
        let (from, to) = self.feeds[node].barren;
        let is_known = from <= after && after < to;
        let first = self.steps.partition_point(|step| step.position <= if is_known { to } else { after });
        let others =
            self.steps.range(first..).take_while(|step| !lookup.topology.touches(node, lookup.index, step)).count();
        let is_long = is_known || others >= RECENT;
        if let Some(last) = (first + others).checked_sub(1).filter(|_| is_long && others > 0) {
            self.feeds[node].barren = (if is_known { from } else { after }, self.steps[last].position);
        }
        self.steps.get(first + others).cloned()
    }

    /// The step at a position; none if nothing is there any more.
    pub(super) fn step_at(
        &self,
        position: Position,
        lookup: &Lookup<'_>,
    ) -> Result<Option<StepInfo>, JournalUnavailable> {
        if position > self.complete_after {
            return Ok(self.steps.iter().find(|step| step.position == position).cloned());
        }
        let read = lookup.journal.steps(lookup.index, position.before(), 1)?;
        Ok(read.into_iter().find(|step| step.position == position))
    }

    /// Whether an index-wide step lies in `after < position <= upto`.
    pub(super) fn has_barrier(
        &self,
        after: Position,
        upto: Position,
        lookup: &Lookup<'_>,
    ) -> Result<bool, JournalUnavailable> {
        let mut at = after;
        while at < self.complete_after.min(upto) {
            let read = lookup.journal.steps(lookup.index, at, AHEAD)?;
            if read.iter().any(|step| step.kind.is_barrier() && step.position <= upto) {
                return Ok(true);
            }
            match read.last() {
                Some(last) if read.len() == AHEAD => at = last.position,
                Some(_) | None => break,
            }
        }
        Ok(self.steps.iter().any(|step| step.kind.is_barrier() && step.position > after && step.position <= upto))
    }

    /// Forgets steps that are reported; the journal has them.
    pub(super) fn trim(&mut self) {
        let first_unreported = self.unreported.first().map(|&entry| Position::of(entry, 0));
        while self.steps.len() > RECENT {
            let front = self.steps.front().expect("longer than a constant").position;
            if first_unreported.is_some_and(|first| front >= first) {
                return;
            }
            self.complete_after = front;
            self.steps.pop_front();
        }
    }

    /// Takes note of an unreported entry as it stands now.
    pub(super) fn note_entry(&mut self, entry: EntryId, steps: &[StepInfo]) {
        self.forget_entry(entry);
        self.unreported.insert(entry);
        self.candidates.insert(entry);
        let voted = steps.iter().filter(|step| step.is_voted() && !self.decisions.contains_key(&step.position));
        self.undecided.extend(voted.map(|step| (step.position, step.kind)));
        if let Some(step) = steps.iter().find(|step| step.needs != Needs::Nothing) {
            self.unresolved.insert(entry, step.needs);
        }
    }

    /// The entry has ended.
    pub(super) fn forget_entry(&mut self, entry: EntryId) {
        self.unreported.remove(&entry);
        self.candidates.remove(&entry);
        self.unresolved.remove(&entry);
        for step in 0..Position::STEPS_PER_ENTRY {
            self.undecided.remove(&Position::of(entry, step));
        }
    }

    /// A watermark has moved: what lies between may be due for its report.
    pub(super) fn look_between(&mut self, after: Position, upto: Position) {
        let first = after.entry().unwrap_or_default();
        let last = upto.entry().unwrap_or_default();
        self.candidates.extend(self.unreported.range(first..=last));
    }

    /// What may be due for its report since the last call.
    pub(super) fn take_candidates(&mut self) -> BTreeSet<EntryId> {
        let required: Vec<bool> = self.feeds.iter().map(Feed::is_required).collect();
        if required != self.required {
            self.required = required;
            self.candidates.clone_from(&self.unreported);
        }
        std::mem::take(&mut self.candidates)
    }

    /// Forgets the decisions that no replica needs again, and names them: each has passed the step and a later index-wide
    /// one too, so that nothing brings it back there.
    pub(super) fn take_passed(&mut self, topology: &Topology) -> Vec<Position> {
        let feeds = self.feeds.iter().enumerate();
        let readers = feeds.filter(|(node, feed)| topology.is_member(*node) && !feed.needs_rebuild);
        let lowest = |feed: &Feed| match feed.last_barrier {
            Some((position, _)) => feed.applied.min(position.before()),
            None => feed.applied,
        };
        let Some(applied) = readers.clone().map(|(_, feed)| feed.applied).min() else { return Vec::new() };
        let Some(floor) = readers.map(|(_, feed)| lowest(feed)).min() else { return Vec::new() };
        self.judged.retain(|&(position, _)| position > applied);
        let is_reported = |at: &Position| at.entry().is_none_or(|entry| !self.unreported.contains(&entry));
        let passed: Vec<Position> = self.decisions.range(..=floor).map(|(&at, _)| at).filter(is_reported).collect();
        for at in &passed {
            self.decisions.remove(at);
        }
        passed
    }

    /// Where the steps of an entry are in the window.
    fn places_of(&self, entry: EntryId) -> std::ops::Range<usize> {
        let first = Position::of(entry, 0);
        let end = Position(first.0 + Position::STEPS_PER_ENTRY);
        let place = |of| self.steps.partition_point(|step| step.position < of);
        place(first)..place(end)
    }

    /// Takes a canceled entry away.
    pub(super) fn remove_entry(&mut self, entry: EntryId) {
        let places = self.places_of(entry);
        self.steps.drain(places);
        for feed in &mut self.feeds {
            // It may have been cut for its size, but not sent: the next step is not to be cut like it.
            feed.split.take_if(|_| feed.split_at.entry() == Some(entry));
        }
        self.forget_entry(entry);
    }

    /// Puts the steps of an entry that was resolved in the place of those before.
    pub(super) fn replace_entry(&mut self, entry: EntryId, steps: &[StepInfo]) {
        let places = self.places_of(entry);
        let first = places.start;
        self.steps.drain(places);
        if Position::of(entry, 0) > self.complete_after {
            for (offset, step) in steps.iter().enumerate() {
                self.steps.insert(first + offset, step.clone());
            }
        }
        for feed in &mut self.feeds {
            feed.ahead = super::feed::Ahead::default();
        }
    }

    /// Every shard has a replica that verdicts need: only then does "all required" mean anything.
    pub(super) fn is_covered(&self, uid: &NodeIndexUid, topology: &Topology) -> bool {
        let is_required = |node: usize| self.feeds[node].is_required();
        topology.owners().iter().enumerate().all(|(shard, owners)| {
            let shard = ShardId(shard as u16);
            owners.iter().any(|&node| is_required(node)) || topology.leaving(uid, shard).any(is_required)
        })
    }
}

/// What a step is looked up with.
pub(super) struct Lookup<'a> {
    pub index: &'a NodeIndexUid,
    pub topology: &'a Topology,
    pub journal: &'a dyn JournalView,
}

impl super::feed::Ahead {
    /// Makes this a stretch that begins at or before `at` and not before `applied`.
    fn keep_from(&mut self, applied: Position, at: Position) {
        let from = applied.min(at);
        if from < self.from || from > self.to {
            *self = Self { from, to: from, steps: VecDeque::new() };
            return;
        }
        while self.steps.front().is_some_and(|step| step.position <= from) {
            self.steps.pop_front();
        }
        self.from = from;
    }
}
