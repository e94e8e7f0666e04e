//! What a store that comes from a backup must do before it is used. The nodes may have got writes since that it knows nothing
//! of: their numbers must not be given again, and what they did to a node must not be taken for what the store says.
//!
//! The nodes' own task lists say what they got. Where shards were copied or deleted since, the tables of the store may be
//! wrong about that node, so it counts as one that has lost its data and is rebuilt from its peers, if they have all.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::feeder::Label;
use super::ids::{EntryId, NodeId, NodeIndexUid, ShardId};

/// The name by which the store keeps it.
pub const RESTORED: &str = "restored";

/// Writes that may have been acknowledged since the backup and that no node shows: more than ever wait (`backlog.max_entries`
/// is at most this many), and those that need no node.
pub const NUMBERS_LEFT_OUT: u64 = 1_000_000;

/// How far a store that comes from a backup is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "stage")]
pub enum Restored {
    /// Nobody has asked the nodes what they got since.
    Unprepared,
    /// The replicas are to be compared and made equal.
    #[serde(rename_all = "camelCase")]
    Prepared {
        /// The first number that is given since.
        next: EntryId,
        /// Nodes, those that had come furthest first: where two differ and nothing else says who is wrong, the later one is.
        furthest: Vec<NodeId>,
    },
    /// They were found equal.
    Equal,
}

/// What a node has got since the backup.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Since {
    /// The last entry of which it has a task.
    pub last: Option<EntryId>,
    /// Documents were copied to it or deleted from it shard by shard, or it lost its data.
    pub is_strange: bool,
    /// Indexes that have got settings, or a primary key, or that were made or deleted.
    pub changed: BTreeSet<NodeIndexUid>,
}

impl Since {
    /// One more task, by its label.
    pub fn note(&mut self, label: &Label) {
        match label {
            Label::Step { position, .. } => self.last = self.last.max(position.entry()),
            Label::Copy { .. } | Label::Mark { .. } => self.is_strange = true,
        }
    }
}

/// The first number that is given after a restore: at least [`NUMBERS_LEFT_OUT`] after all that are known, and a round one, so
/// that people see it.
pub fn next_after(next: EntryId, seen: impl Iterator<Item = EntryId>) -> EntryId {
    let known = seen.map(|entry| EntryId(entry.0 + 1)).fold(next, EntryId::max);
    EntryId((known.0.div_ceil(NUMBERS_LEFT_OUT) + 1) * NUMBERS_LEFT_OUT)
}

/// Shards of which every owner is strange: nobody knows who has their documents.
pub fn lost_shards(owners: &[Vec<NodeId>], strange: &BTreeSet<NodeId>) -> Vec<ShardId> {
    let is_lost = |owners: &Vec<NodeId>| owners.iter().all(|owner| strange.contains(owner));
    (0..).zip(owners).filter(|(_, owners)| is_lost(owners)).map(|(shard, _)| ShardId(shard)).collect()
}

/// The nodes, those that have come furthest first.
pub fn furthest(since: &BTreeMap<NodeId, Since>) -> Vec<NodeId> {
    let mut nodes: Vec<(&NodeId, Option<EntryId>)> = since.iter().map(|(node, since)| (node, since.last)).collect();
    nodes.sort_by_key(|&(_, last)| std::cmp::Reverse(last));
    nodes.into_iter().map(|(node, _)| node.clone()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name)
    }

    #[test]
    fn numbers_go_on_far_ahead() {
        let next = |next, seen: &[u64]| next_after(EntryId(next), seen.iter().map(|&entry| EntryId(entry))).0;
        assert_eq!(next(0, &[]), 1_000_000);
        assert_eq!(next(4_200, &[4_711]), 2_000_000);
        assert_eq!(next(1_000_000, &[]), 2_000_000);
        assert_eq!(next(1_000_000, &[1_000_000]), 3_000_000);
    }

    proptest! {
        #[test]
        fn no_number_is_given_twice(next in 0u64..1 << 40, seen in proptest::collection::vec(0u64..1 << 40, 0..5)) {
            let first = next_after(EntryId(next), seen.iter().map(|&entry| EntryId(entry))).0;
            prop_assert!(first >= next + NUMBERS_LEFT_OUT);
            prop_assert!(seen.iter().all(|entry| first > entry + NUMBERS_LEFT_OUT));
        }
    }

    #[test]
    fn a_shard_is_lost_when_nobody_is_known_to_have_it() {
        let owners = [["a", "b"], ["b", "c"], ["c", "a"]].map(|owners| owners.map(node).to_vec());
        assert_eq!(lost_shards(&owners, &BTreeSet::from([node("a")])), []);
        assert_eq!(lost_shards(&owners, &BTreeSet::from([node("b"), node("c")])), [ShardId(1)]);
    }

    #[test]
    fn who_has_come_furthest_is_first() {
        let at = |last: Option<u64>| Since { last: last.map(EntryId), ..Since::default() };
        let since = [("a", at(None)), ("b", at(Some(7))), ("c", at(Some(9)))];
        let since = since.map(|(name, since)| (node(name), since)).into();
        assert_eq!(furthest(&since), [node("c"), node("b"), node("a")]);
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let kept = Restored::Prepared { next: EntryId(7), furthest: vec![node("a")] };
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Restored>(&text).unwrap(), kept);
    }
}
