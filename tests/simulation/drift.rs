//! The drift check: compares the settings that nodes have with those that the fleet has decided on, whenever these stand.
//! Nobody meddles with the nodes here, so every difference that is seen twice is a false alarm (unless a request came far too
//! late, which no other rule finds: that one is mended). With `has_upkeep` settings are sent again now and then for no reason
//! at all, which must change nothing.

use miroir::logic::feeder::SettingsMark;
use miroir::logic::ids::{NodeIndexUid, Position};
use miroir::logic::topology::Mend;

use crate::node::Index;
use crate::options::Storm;
use crate::random::Random;
use crate::world::{Checked, World, violated};

/// How often a (node, index) is looked at, and how often its settings are sent again.
const LOOKS: f64 = 0.3;
const MENDS: f64 = 0.05;

pub struct Drift {
    /// Not the world's, so that a seed stays what it is.
    random: Random,
    suspects: Vec<Suspect>,
}

/// To be looked at once more.
struct Suspect {
    node: usize,
    index: NodeIndexUid,
    mark: SettingsMark,
    /// Questions for tasks up to then.
    polls: u64,
}

impl Drift {
    pub fn new(random: Random) -> Self {
        Self { random, suspects: Vec::new() }
    }

    /// What a crash leaves.
    pub fn crash(&mut self) {
        self.suspects.clear();
    }
}

impl World {
    /// One step of the drift thread.
    pub fn look_for_drift(&mut self) -> Checked {
        for suspect in std::mem::take(&mut self.drift.suspects) {
            let Suspect { node, ref index, mark, polls } = suspect;
            if self.fleet.settings_mark(node, index) != Some(mark) {
                continue;
            }
            if !self.fleet.has_polled_since(node, polls) {
                self.drift.suspects.push(suspect);
            } else if self.is_drifted(node, index) && self.can_drift() {
                self.fleet.mend(node, index, mark, Mend { primary_key: false, settings: true });
            } else if self.is_drifted(node, index) {
                return violated(format!("drift: a false alarm on n{node} of {index}"));
            }
        }
        if !self.drift.random.chance(LOOKS) {
            return Ok(());
        }
        let indexes: Vec<NodeIndexUid> = self.durable.visible.keys().cloned().collect();
        if indexes.is_empty() {
            return Ok(());
        }
        let index = indexes[self.drift.random.below(indexes.len())].clone();
        let node = self.drift.random.below(self.members);
        let Some(mark) = self.fleet.settings_mark(node, &index) else { return Ok(()) };
        if self.is_drifted(node, &index) {
            let polls = self.fleet.polls_begun(node);
            self.log(|| format!("n{node} {index} does not have the settings that it should have"));
            self.drift.suspects.push(Suspect { node, index, mark, polls });
        } else if self.options.has_upkeep && !self.is_quiet && self.drift.random.chance(MENDS) {
            self.log(|| format!("n{node} {index} gets its settings again"));
            self.fleet.mend(node, &index, mark, Mend { primary_key: false, settings: true });
        }
        Ok(())
    }

    /// It could not be given the settings for too long, or a request of before that came far too late was taken for them.
    fn can_drift(&self) -> bool {
        self.options.is_far || self.options.storm == Storm::Embedders
    }

    /// Nothing is left to mend that only this check finds.
    pub fn has_no_drift(&self) -> bool {
        let is_right = |(node, index): (usize, &NodeIndexUid)| {
            self.fleet.settings_mark(node, index).is_none() || !self.is_drifted(node, index)
        };
        !self.options.is_far
            || self.member_nodes().all(|node| self.durable.visible.keys().all(|index| is_right((node, index))))
    }

    /// What a node answers differs from what the fleet decided last. One that does not answer says nothing, nor one that
    /// went back to older data, which nobody has noticed.
    fn is_drifted(&self, node: usize, index: &NodeIndexUid) -> bool {
        if !self.nodes[node].answers() || self.losses.get(&node).is_some_and(|loss| loss.noticed_before.is_none()) {
            return false;
        }
        let is_strict = self.durable.strict_at(index, Position(u64::MAX));
        let is_right = |found: &Index| found.has_marker && found.is_strict == is_strict;
        !self.nodes[node].indexes.get(index).is_some_and(is_right)
    }
}
