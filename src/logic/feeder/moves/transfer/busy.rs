//! How long copies kept their targets busy: what the throttle counts.

use std::collections::BTreeMap;

use crate::logic::ids::Monotonic;

/// Of targets, by their place.
#[derive(Debug, Default)]
pub(super) struct BusyTime {
    /// Milliseconds that were not taken yet.
    new: Vec<(usize, u64)>,
    /// Up to when the time of a target is counted: copies of several groups of shards overlap, its time does not.
    counted: BTreeMap<usize, Monotonic>,
}

impl BusyTime {
    /// A target had chunks of one copy to do from the one time to the other. Copies are counted in the order of their ends.
    pub fn count(&mut self, target: usize, began: Monotonic, ended: Monotonic) {
        let counted = self.counted.entry(target).or_insert(began);
        let milliseconds = ended.0.saturating_sub(began.max(*counted).0);
        *counted = ended.max(*counted);
        self.new.push((target, milliseconds));
    }

    /// What came since the last call: targets and milliseconds.
    pub fn take(&mut self) -> Vec<(usize, u64)> {
        std::mem::take(&mut self.new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_two_copies_share_is_counted_once() {
        let mut busy = BusyTime::default();
        for (target, began, ended) in [(0, 100, 400), (0, 110, 900), (1, 300, 350), (0, 950, 1000), (0, 120, 990)] {
            busy.count(target, Monotonic(began), Monotonic(ended));
        }
        assert_eq!(busy.take(), [(0, 300), (0, 500), (1, 50), (0, 50), (0, 0)]);
        assert_eq!(busy.take(), []);
    }
}
