//! Which snapshots are still in use: how the control plane knows that nothing that began with an older one is under way.
//!
//! A request holds its snapshot to its end, and so does everything else that acts on one. So a snapshot that nobody holds
//! has no effects any more.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::logic::ids::Epoch;
use crate::logic::snapshot::RoutingSnapshot;

/// Every snapshot that was published and may still be held, oldest first.
#[derive(Debug, Default)]
pub struct Published(Mutex<VecDeque<(Epoch, Weak<RoutingSnapshot>)>>);

impl Published {
    /// To be called before anybody can take the snapshot.
    pub(super) fn note(&self, snapshot: &Arc<RoutingSnapshot>) {
        let mut published = self.0.lock();
        published.retain(|(_, snapshot)| snapshot.strong_count() > 0);
        published.push_back((snapshot.epoch, Arc::downgrade(snapshot)));
    }

    /// The oldest epoch whose snapshot is still held; epoch 0 before the first.
    pub(super) fn oldest_held(&self) -> Epoch {
        let mut published = self.0.lock();
        while let Some((_, snapshot)) = published.front()
            && snapshot.strong_count() == 0
        {
            published.pop_front();
        }
        published.front().map_or(Epoch(0), |&(epoch, _)| epoch)
    }
}

#[cfg(test)]
mod tests {
    use crate::bridge::Bridge;
    use crate::logic::ids::Epoch;
    use crate::logic::snapshot::RoutingSnapshot;

    #[test]
    fn who_holds_a_snapshot_holds_back_what_is_drained() {
        let (bridge, _commands) = Bridge::new(0);
        let drained = || bridge.progress().drained;
        let publish = |epoch| bridge.publish(RoutingSnapshot { epoch: Epoch(epoch), ..RoutingSnapshot::default() });
        assert_eq!(drained(), Epoch(0));
        publish(1);
        let first = bridge.snapshot.load_full();
        publish(2);
        // Taken without a count of its own, as long as it is the current one.
        let second = bridge.snapshot.load();
        assert_eq!(drained(), Epoch(1));
        publish(3);
        publish(4);
        let third = std::thread::spawn(move || first.epoch);
        assert_eq!(third.join().unwrap(), Epoch(1));
        assert_eq!((drained(), second.epoch), (Epoch(2), Epoch(2)));
        drop(second);
        assert_eq!(drained(), Epoch(4), "nobody ever took the third");
    }
}
