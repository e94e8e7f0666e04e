//! Putting right the settings of an index on one node, which somebody else has changed there.
//!
//! A driver may compare what a node answers with the settings that the fleet has decided on, while they *stand*: the node
//! has passed every change that was decided, was sent none that is not, and nothing that changes them is under way. A
//! [`SettingsMark`] that is the same before and after a look shows that they stood all the time. A difference counts when it
//! is seen in two looks and the node's task list was read in between: what came over the net late is repaired by other
//! rules ([`super::rewind`]), and changes the mark.
//!
//! What is to be put right goes out through the node's feed, alone, between two steps, and only while the settings stand:
//! never before or after a change of settings that the journal has in another order. That it is due is stored before it is
//! sent: settings tasks carry no label, and one that arrives late must not be taken for a far stranger.

use std::ops::Bound::{Excluded, Unbounded};

use super::feed::{Feed, Purpose, Sync};
use super::node::{End, Send};
use super::send::{Action, Turn};
use super::{Alarm, Fleet};
use crate::logic::entry::StepKind;
use crate::logic::ids::{NodeIndexUid, Position};
use crate::logic::topology::{Mend, MendRecord};

/// Stands for the settings that a (node, index) was sent: another one after any change of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SettingsMark {
    /// Of the node.
    life: u64,
    /// Requests that change them, in this life of the process.
    sent: u64,
}

/// What is due first.
fn next(mend: Mend) -> Option<StepKind> {
    match mend {
        Mend { primary_key: true, .. } => Some(StepKind::PrimaryKey),
        Mend { settings: true, .. } => Some(StepKind::Settings),
        Mend { primary_key: false, settings: false } => None,
    }
}

fn without(mend: Mend, kind: StepKind) -> Mend {
    Mend {
        primary_key: mend.primary_key && kind != StepKind::PrimaryKey,
        settings: mend.settings && kind != StepKind::Settings,
    }
}

/// Changes what a node says of the settings, the primary key or the existence of an index.
pub(super) fn changes_settings(kind: StepKind) -> bool {
    match kind {
        StepKind::Create | StepKind::Settings | StepKind::PrimaryKey | StepKind::Drop => true,
        StepKind::Put(_) | StepKind::Delete | StepKind::Clear => false,
    }
}

impl Fleet {
    /// The numbers of all members.
    pub fn member_numbers(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&node| self.topology.is_member(node)).collect()
    }

    /// Where the settings of an index on a node stand: as the fleet has decided, as far as Miroir knows. None while that
    /// cannot be said.
    pub fn settings_mark(&self, node: usize, uid: &NodeIndexUid) -> Option<SettingsMark> {
        let state = self.nodes.get(node)?;
        let is_there = self.topology.is_member(node) && !state.is_lost && !state.is_doubtful;
        let stands = is_there && self.indexes.contains_key(uid) && self.settings_stand(node, uid);
        stands.then(|| SettingsMark { life: state.record.life, sent: self.feed(node, uid).settings_sent })
    }

    /// See the module.
    pub(super) fn settings_stand(&self, node: usize, uid: &NodeIndexUid) -> bool {
        let state = self.index(uid);
        let feed = &state.feeds[node];
        let is_passed = |at: &Position| *at <= feed.applied;
        // The settings that an index is created with are decided on after its creation; and what the node was sent in an
        // earlier life, or before a rewind, it may have taken though no vote tells of it.
        let is_sent = |at: &Position| {
            at.entry() == state.created.entry()
                || at.entry().is_none_or(|entry| entry < self.first_of_this_life)
                || *at <= feed.begun
        };
        let is_decided = !state.undecided.keys().any(is_sent);
        let is_current = state.decisions.range((Excluded(feed.applied), Unbounded)).next().is_none();
        let is_changing = feed.vote.is_some() || feed.sent.iter().any(|sent| changes_settings(sent.kind));
        is_passed(&state.created)
            && is_decided
            && is_current
            && !is_changing
            && state.dropped.is_none()
            && feed.bootstrap.is_none()
            && !feed.needs_rebuild
    }

    /// How often the task list of a node was asked for. See [`Fleet::has_polled_since`].
    pub fn polls_begun(&self, node: usize) -> u64 {
        self.nodes.get(node).map_or(0, |state| state.polls_begun)
    }

    /// Whether the node has answered a question for its tasks that was asked after [`Fleet::polls_begun`] said this.
    pub fn has_polled_since(&self, node: usize, polls_begun: u64) -> bool {
        self.nodes.get(node).is_some_and(|state| state.polls_answered > polls_begun)
    }

    /// The node does not have what it was sent: it is sent again, and the replica is not read meanwhile if others can do
    /// without it. False: the settings do not stand any more as they did.
    pub fn mend(&mut self, node: usize, uid: &NodeIndexUid, mark: SettingsMark, mend: Mend) -> bool {
        if self.settings_mark(node, uid) != Some(mark) {
            return false;
        }
        self.set_mend(node, uid, next(mend).map(|_| mend));
        if self.has_cover(node, uid) {
            self.leave(node, uid);
        }
        self.nodes[node].active.insert(uid.clone());
        self.attention.insert(uid.clone());
        true
    }

    /// Stored before the next request goes to the index: a late one of ours must be known for what it is after a start.
    fn set_mend(&mut self, node: usize, uid: &NodeIndexUid, mend: Option<Mend>) {
        let version = self.version;
        let feed = self.feed_mut(node, uid);
        feed.mend = mend;
        feed.store_first(version);
        self.pending.tables = true;
    }

    /// All that is to be sent again, for the store.
    pub(super) fn mends(&self) -> Vec<MendRecord> {
        let mut found = Vec::new();
        for (index, state) in &self.indexes {
            for (feed, node) in state.feeds.iter().zip(&self.nodes) {
                let record = |mend| MendRecord { node: node.id.clone(), index: index.clone(), mend };
                found.extend(feed.mend.map(record));
            }
        }
        found
    }

    /// What an earlier life left to be sent again.
    pub(super) fn start_mend(&mut self, record: &MendRecord) {
        let node = (0..self.nodes.len()).find(|&node| self.nodes[node].id == record.node);
        if let Some(node) = node.filter(|_| self.indexes.contains_key(&record.index)) {
            self.feed_mut(node, &record.index).mend = Some(record.mend);
        }
    }

    /// What goes before the next step to put settings right. None: the step's turn.
    pub(super) fn turn_for_mend(&self, node: usize, uid: &NodeIndexUid) -> Option<Turn> {
        let feed = self.feed(node, uid);
        let kind = next(feed.mend?)?;
        let is_leaving = match feed.sync {
            Sync::Leaving(_) => true,
            Sync::In | Sync::Out | Sync::Joining | Sync::Returning(_) => false,
        };
        let is_busy = feed.is_careful() || feed.split.is_some() || feed.held.is_some();
        if is_leaving || is_busy || !self.settings_stand(node, uid) {
            return None;
        }
        Some(if !feed.sent.is_empty() {
            Turn::Blocked(None)
        } else if self.rules.idle && !feed.is_idle {
            Turn::Act(Action::CheckIdle(uid.clone()))
        } else if self.rules.store && feed.changed_in > self.stored {
            Turn::Act(Action::Store)
        } else {
            Turn::Act(Action::Send(send_of(uid, feed, kind)))
        })
    }

    /// What was sent to put settings right has ended.
    pub(super) fn mend_ended(&mut self, node: usize, uid: &NodeIndexUid, kind: StepKind, end: &End) {
        let (node_id, index) = (self.nodes[node].id.clone(), uid.clone());
        match end {
            End::Retry(_) => {}
            End::Succeeded => {
                let left = self.feed(node, uid).mend.map(|mend| without(mend, kind));
                let left = left.filter(|mend| next(*mend).is_some());
                self.set_mend(node, uid, left);
                if left.is_none() {
                    self.pending.alarms.push(Alarm::Mended { node: node_id, index });
                }
            }
            End::Rejected(error) => {
                self.set_mend(node, uid, None);
                let reason = error.message.clone();
                self.pending.alarms.push(Alarm::MendRejected { node: node_id, index, reason });
            }
        }
    }
}

fn send_of(uid: &NodeIndexUid, feed: &Feed, kind: StepKind) -> Send {
    let (index, position) = (uid.clone(), feed.pos);
    Send { index, position, kind, shards: Vec::new(), is_split: false, purpose: Purpose::Mend }
}
