//! Covering sets: which nodes answer one search, and for which shards each.
//!
//! Every shard is counted exactly once: in one part, or in `missing` when no replica of it may be read. A set has few
//! parts: it starts with one node and adds the node that covers most of what is left. There is one alternative per node
//! to start with, so that load spreads while each query keeps its nodes. The order of parts decides ties between equal
//! hits, so it depends on the placement alone.

use std::sync::Arc;

use super::ids::{NodeSlot, ShardId};
use super::marker;
use super::snapshot::{CoverPart, CoveringSet};

/// What covering sets are computed from.
#[derive(Clone, Copy, Debug)]
pub struct CoverInput<'a> {
    /// By [`ShardId`]: the nodes that hold the shard.
    pub placement: &'a [Vec<NodeSlot>],
    /// Nodes that may not be read for this index.
    pub out_of_sync: &'a [NodeSlot],
    /// Nodes that do not answer the prober: taken only for what nobody else has.
    pub unreachable: &'a [NodeSlot],
    /// Nodes that may hold documents of shards that the placement does not give them (a move is under way): always asked
    /// with the filter. They are busy with what comes or goes, so others are asked before them for what both have.
    pub may_hold_foreign: &'a [NodeSlot],
}

/// Most alternatives that are kept for one index.
const ALTERNATIVES_MAX: usize = 64;

/// All alternatives, at least one (without parts when nothing can be read).
pub fn covering_sets(input: CoverInput<'_>) -> Arc<[CoveringSet]> {
    let all: Vec<ShardId> = (0..input.placement.len()).map(|shard| ShardId(shard as u16)).collect();
    let holdings = Holdings::new(input, &[]);
    let mut sets: Vec<CoveringSet> = Vec::new();
    let best = holdings.nodes().map(|node| input.rank(node)).max();
    let starts = holdings.nodes().filter(|&node| Some(input.rank(node)) == best);
    for start in starts.take(ALTERNATIVES_MAX) {
        let set = holdings.cover(&all, Some(start));
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    if sets.is_empty() {
        sets.push(CoveringSet { parts: Vec::new(), missing: all });
    }
    sets.into()
}

/// Covers some shards without certain nodes: what is asked again after those failed within a request.
pub fn cover_again(input: CoverInput<'_>, shards: &[ShardId], excluded: &[NodeSlot]) -> CoveringSet {
    Holdings::new(input, excluded).cover(shards, None)
}

impl CoverInput<'_> {
    /// Greater: rather asked.
    fn rank(&self, node: NodeSlot) -> (bool, bool) {
        (!self.unreachable.contains(&node), !self.may_hold_foreign.contains(&node))
    }
}

/// Who may be read for what.
struct Holdings<'a> {
    input: CoverInput<'a>,
    /// By node: all shards that the placement gives it, ascending; none when it may not be read.
    by_node: Vec<Option<Vec<ShardId>>>,
}

impl<'a> Holdings<'a> {
    fn new(input: CoverInput<'a>, excluded: &[NodeSlot]) -> Self {
        let mut by_node: Vec<Option<Vec<ShardId>>> = Vec::new();
        for (shard, nodes) in input.placement.iter().enumerate() {
            for &node in nodes {
                if input.out_of_sync.contains(&node) || excluded.contains(&node) {
                    continue;
                }
                let place = usize::from(node.0);
                if by_node.len() <= place {
                    by_node.resize(place + 1, None);
                }
                by_node[place].get_or_insert_default().push(ShardId(shard as u16));
            }
        }
        Self { input, by_node }
    }

    fn nodes(&self) -> impl Iterator<Item = NodeSlot> {
        let slots = self.by_node.iter().enumerate();
        slots.filter(|(_, shards)| shards.is_some()).map(|(slot, _)| NodeSlot(slot as u16))
    }

    /// Covers the wanted shards greedily, `start` first.
    fn cover(&self, wanted: &[ShardId], start: Option<NodeSlot>) -> CoveringSet {
        let mut is_open = vec![false; self.input.placement.len()];
        for shard in wanted {
            is_open[usize::from(shard.0)] = true;
        }
        let open_on = |node: NodeSlot, is_open: &[bool]| -> Vec<ShardId> {
            let held = self.by_node[usize::from(node.0)].as_deref().unwrap_or_default();
            held.iter().copied().filter(|shard| is_open[usize::from(shard.0)]).collect()
        };
        let mut set = CoveringSet::default();
        let mut next = start;
        loop {
            // Of equals the lowest slot: the order must not depend on chance.
            let usefulness = |&node: &NodeSlot| {
                let open = open_on(node, &is_open).len();
                (open > 0, self.input.rank(node), open, std::cmp::Reverse(node))
            };
            let node = next.take().or_else(|| self.nodes().max_by_key(usefulness));
            let Some(node) = node else { break };
            let shards = open_on(node, &is_open);
            if shards.is_empty() {
                break;
            }
            for shard in &shards {
                is_open[usize::from(shard.0)] = false;
            }
            let filter = self.filter_for(node, &shards);
            set.parts.push(CoverPart { node, shards, filter });
        }
        set.missing = wanted.iter().copied().filter(|shard| is_open[usize::from(shard.0)]).collect();
        set
    }

    fn filter_for(&self, node: NodeSlot, shards: &[ShardId]) -> Option<Arc<str>> {
        let holds_exactly_these = self.by_node[usize::from(node.0)].as_deref() == Some(shards);
        if holds_exactly_these && !self.input.may_hold_foreign.contains(&node) {
            return None;
        }
        Some(marker::filter_text(shards, self.input.placement.len() as u16).into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn input<'a>(placement: &'a [Vec<NodeSlot>], out_of_sync: &'a [NodeSlot]) -> CoverInput<'a> {
        CoverInput { placement, out_of_sync, unreachable: &[], may_hold_foreign: &[] }
    }

    fn table(rows: &[&[u16]]) -> Vec<Vec<NodeSlot>> {
        rows.iter().map(|row| row.iter().copied().map(NodeSlot).collect()).collect()
    }

    #[test]
    fn one_node_that_holds_everything_is_asked_alone_and_without_filter() {
        let placement = table(&[&[0, 1], &[1, 0], &[0, 1]]);
        let sets = covering_sets(input(&placement, &[]));
        assert_eq!(sets.len(), 2);
        for set in sets.iter() {
            assert_eq!((set.parts.len(), &set.parts[0].filter), (1, &None));
        }
        assert_eq!(covering_sets(input(&placement, &[NodeSlot(0)])).len(), 1);
    }

    #[test]
    fn a_node_asked_for_part_of_what_it_holds_gets_the_filter() {
        let placement = table(&[&[0, 1], &[1, 2], &[2, 0]]);
        let sets = covering_sets(input(&placement, &[]));
        assert_eq!(sets.len(), 3);
        assert_eq!(sets[0].parts[0].shards, [ShardId(0), ShardId(2)]);
        assert_eq!(sets[0].parts[0].filter, None);
        assert_eq!(sets[0].parts[1].filter.as_deref(), Some(&*marker::filter_text(&[ShardId(1)], 3)));
        let all = [NodeSlot(0), NodeSlot(1), NodeSlot(2)];
        let moving = CoverInput { may_hold_foreign: &all, ..input(&placement, &[]) };
        assert!(covering_sets(moving)[0].parts[0].filter.is_some());
    }

    #[test]
    fn unreachable_nodes_are_asked_only_for_what_nobody_else_has() {
        let placement = table(&[&[0, 1], &[1, 2], &[2, 0], &[0]]);
        let avoiding = |nodes| CoverInput { unreachable: nodes, ..input(&placement, &[]) };
        for set in covering_sets(avoiding(&[NodeSlot(0)])).iter() {
            let of_first = set.parts.iter().find(|part| part.node == NodeSlot(0)).expect("it alone has shard 3");
            assert_eq!((&of_first.shards[..], set.missing.len()), (&[ShardId(3)][..], 0));
        }
        let again = cover_again(avoiding(&[NodeSlot(1)]), &[ShardId(0), ShardId(1)], &[NodeSlot(2)]);
        assert_eq!(again.parts.iter().map(|part| part.node).collect::<Vec<_>>(), [NodeSlot(0), NodeSlot(1)]);
        let all = [NodeSlot(0), NodeSlot(1), NodeSlot(2)];
        assert_eq!(covering_sets(avoiding(&all)), covering_sets(avoiding(&[])));
    }

    #[test]
    fn nodes_that_shards_come_to_are_asked_only_for_what_others_do_not_have() {
        let placement = table(&[&[0, 1], &[1, 2], &[2, 0], &[0]]);
        let moving = |nodes| CoverInput { may_hold_foreign: nodes, ..input(&placement, &[]) };
        for set in covering_sets(moving(&[NodeSlot(0)])).iter() {
            let of_first = set.parts.iter().find(|part| part.node == NodeSlot(0)).expect("it alone has shard 3");
            assert_eq!((&of_first.shards[..], set.missing.len()), (&[ShardId(3)][..], 0));
        }
        // One that does not answer is worse than one that is busy.
        let both = CoverInput { unreachable: &[NodeSlot(1), NodeSlot(2)], ..moving(&[NodeSlot(0)]) };
        assert_eq!(covering_sets(both)[0].parts[0].node, NodeSlot(0));
        let all = [NodeSlot(0), NodeSlot(1), NodeSlot(2)];
        let nodes = |sets: &[CoveringSet]| -> Vec<Vec<NodeSlot>> {
            sets.iter().map(|set| set.parts.iter().map(|part| part.node).collect()).collect()
        };
        assert_eq!(nodes(&covering_sets(moving(&all))), nodes(&covering_sets(moving(&[]))));
    }

    #[test]
    fn shards_without_a_readable_replica_are_missing() {
        let placement = table(&[&[0], &[1]]);
        let sets = covering_sets(input(&placement, &[NodeSlot(1)]));
        assert_eq!((sets.len(), &sets[0].missing[..]), (1, &[ShardId(1)][..]));
        let none = covering_sets(input(&placement, &[NodeSlot(0), NodeSlot(1)]));
        assert_eq!((none[0].parts.len(), none[0].missing.len()), (0, 2));
    }

    #[test]
    fn shards_of_a_failed_node_are_covered_by_others() {
        let placement = table(&[&[0, 1], &[0, 2], &[0, 1]]);
        let again = cover_again(input(&placement, &[]), &[ShardId(0), ShardId(1)], &[NodeSlot(0)]);
        assert_eq!(again.parts.iter().map(|part| part.node).collect::<Vec<_>>(), [NodeSlot(1), NodeSlot(2)]);
        assert!(again.missing.is_empty());
        // Node 1 also holds shard 2, which the first answer has already.
        assert!(again.parts[0].filter.is_some());
    }

    proptest! {
        #[test]
        fn every_shard_is_counted_exactly_once(
            rows in proptest::collection::vec(proptest::collection::btree_set(0u16..9, 0..4), 1..70),
            out_of_sync in proptest::collection::btree_set(0u16..9, 0..4),
        ) {
            let placement: Vec<Vec<NodeSlot>> =
                rows.iter().map(|row| row.iter().copied().map(NodeSlot).collect()).collect();
            let out: Vec<NodeSlot> = out_of_sync.into_iter().map(NodeSlot).collect();
            for set in covering_sets(input(&placement, &out)).iter() {
                let mut seen: Vec<ShardId> = set.missing.clone();
                for part in &set.parts {
                    prop_assert!(!out.contains(&part.node));
                    for shard in &part.shards {
                        prop_assert!(placement[usize::from(shard.0)].contains(&part.node));
                    }
                    seen.extend(&part.shards);
                }
                seen.sort();
                prop_assert_eq!(seen, (0..placement.len() as u16).map(ShardId).collect::<Vec<_>>());
                for missing in &set.missing {
                    prop_assert!(placement[usize::from(missing.0)].iter().all(|node| out.contains(node)));
                }
            }
        }
    }
}
