//! The compactor: when a node has lost all that it is to lose it asks it whether giving back the space would gain enough,
//! and begins it. The rest is the protocol's business (`logic/feeder/compaction.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::Coordinator;
use crate::control_plane::node_client::{NodeClient, NodeStats};
use crate::logic::feeder::DueCompaction;
use crate::logic::ids::{NodeId, NodeIndexUid};
use crate::logic::throttle::hour_of;
use crate::telemetry::clock;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// For one answer of a node.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Of an index that documents were deleted from, so much must have gone; and of the node's files, so much must be free.
const WORTH_PERCENT: u64 = 10;

/// What was begun, and the size of the node's files before.
type Begun = BTreeMap<(NodeId, NodeIndexUid), (NodeClient, u64)>;

impl Coordinator {
    pub(super) fn run_compactor(&self) {
        let mut begun = Begun::new();
        loop {
            let due = {
                let mut state = self.state.lock();
                if !self.is_stopping() {
                    state.wait(&self.rounds, INTERVAL);
                }
                if self.is_stopping() {
                    return;
                }
                let under_way = state.fleet.compacting();
                let due = state.fleet.compactions_due();
                drop(state);
                tell_ended(&mut begun, &under_way);
                due
            };
            for due in due {
                self.weigh(&due, &mut begun);
            }
        }
    }

    fn weigh(&self, due: &DueCompaction, begun: &mut Begun) {
        let ((id, url), limits) = {
            let state = self.state.lock();
            (state.fleet.address(due.node), state.fleet.pace().throttle)
        };
        if !limits.is_open(hour_of(clock::timestamp())) && !due.is_asked {
            return;
        }
        let client = NodeClient::new(url, self.node_key.as_deref());
        // Asked again with the next look.
        let Ok(stats) = client.stats(ANSWER_TIMEOUT) else { return };
        let mut state = self.state.lock();
        if !due.is_asked && !is_worth_it(due, &stats) {
            state.fleet.leave_uncompacted(due);
            return self.wake(state, true);
        }
        if state.fleet.compact(due) {
            tracing::info!(node = %id, index = %due.index, deleted = due.deleted, "compacting an index");
            begun.insert((id, due.index.clone()), (client, stats.database_size));
            self.wake(state, false);
        }
    }
}

fn is_worth_it(due: &DueCompaction, stats: &NodeStats) -> bool {
    let left = stats.indexes.get(due.index.as_str()).map_or(0, |index| index.number_of_documents);
    let used = stats.used_database_size.unwrap_or(0);
    let free = stats.database_size.saturating_sub(used);
    due.deleted * 100 >= (due.deleted + left) * WORTH_PERCENT && free * 100 >= stats.database_size * WORTH_PERCENT
}

fn tell_ended(begun: &mut Begun, under_way: &[(NodeId, NodeIndexUid)]) {
    begun.retain(|place, (client, before)| {
        let is_over = !under_way.contains(place);
        if is_over && let Ok(stats) = client.stats(ANSWER_TIMEOUT) {
            let (node, index) = place;
            let (before, after) = (*before, stats.database_size);
            tracing::info!(%node, %index, before, after, "an index was compacted; the node's files in bytes");
        }
        !is_over
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control_plane::node_client::NodeIndexStats;

    #[test]
    fn it_is_worth_it_when_enough_documents_went_and_enough_is_free() {
        let table = [
            // Deleted, left, bytes on disk, of these in use.
            (1_000, 9_000, 1_000, Some(500), true),
            (999, 9_001, 1_000, Some(500), false),
            (5_000, 0, 1_000, Some(10), true),
            (5_000, 5_000, 1_000, Some(901), false),
            (5_000, 5_000, 1_000, None, true),
        ];
        for (deleted, left, database_size, used_database_size, expected) in table {
            let of_index = NodeIndexStats { number_of_documents: left, avg_document_size: None };
            let indexes = [("a-0".to_owned(), of_index)].into();
            let stats = NodeStats { database_size, used_database_size, indexes };
            let due = DueCompaction { node: 0, index: NodeIndexUid::new("a-0"), deleted, is_asked: false };
            assert_eq!(is_worth_it(&due, &stats), expected, "{due:?}, {stats:?}");
        }
    }
}
