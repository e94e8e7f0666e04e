//! Which of an index's covering sets answers a query.
//!
//! The same query takes the same nodes, so that pages fit together and the nodes' caches stay warm; different queries
//! spread over all alternatives. The choice is made by the name of the first node and not by its number, so it outlives
//! snapshots. A node that the prober cannot reach is avoided, never given up: the set is taken if there is no better.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::ids::NodeSlot;
use super::snapshot::{CoveringSet, NodeView};

/// The hash of what makes two queries the same for the choice: index, text, filter, sort (not the page).
pub fn query_hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    // Lengths go in too, so that "ab" + "c" and "a" + "bc" differ.
    parts.into_iter().fold(0, |hash, part| xxh3_64_with_seed(part, hash.rotate_left(17) ^ part.len() as u64))
}

/// The covering set for this query; none when the index has none (snapshots hold at least one for every index).
pub fn choose<'a>(covers: &'a [CoveringSet], nodes: &[NodeView], query_hash: u64) -> Option<&'a CoveringSet> {
    let rank = |set: &CoveringSet| {
        let unreachable_shards: usize =
            set.parts.iter().filter(|part| !is_reachable(nodes, part.node)).map(|part| part.shards.len()).sum();
        let affinity = set
            .parts
            .first()
            .and_then(|part| nodes.get(usize::from(part.node.0)))
            .map_or(0, |node| xxh3_64_with_seed(node.id.as_str().as_bytes(), query_hash));
        (unreachable_shards, std::cmp::Reverse(affinity))
    };
    covers.iter().min_by_key(|set| rank(set))
}

fn is_reachable(nodes: &[NodeView], slot: NodeSlot) -> bool {
    nodes.get(usize::from(slot.0)).is_some_and(|node| node.reachable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::covering::{CoverInput, covering_sets};
    use crate::logic::ids::NodeId;

    fn nodes(reachable: &[bool]) -> Vec<NodeView> {
        let view = |(place, &reachable): (usize, &bool)| NodeView {
            id: NodeId::new(format!("node-{place}")),
            url: String::new(),
            address: None,
            zone: None,
            weight: 1.0,
            reachable,
        };
        reachable.iter().enumerate().map(view).collect()
    }

    fn ring() -> std::sync::Arc<[CoveringSet]> {
        let placement: Vec<Vec<NodeSlot>> =
            (0..3).map(|shard| vec![NodeSlot(shard), NodeSlot((shard + 1) % 3)]).collect();
        covering_sets(CoverInput { placement: &placement, out_of_sync: &[], may_hold_foreign: &[] })
    }

    #[test]
    fn queries_spread_over_the_alternatives_and_stay_where_they_are() {
        let (covers, nodes) = (ring(), nodes(&[true, true, true]));
        let mut chosen = [0; 3];
        for query in 0..300u32 {
            let hash = query_hash([query.to_string().as_bytes(), b"index"]);
            let set = choose(&covers, &nodes, hash).expect("some");
            assert_eq!(Some(set), choose(&covers, &nodes, hash));
            chosen[usize::from(set.parts[0].node.0)] += 1;
        }
        assert!(chosen.iter().all(|&count| count > 60), "{chosen:?}");
    }

    #[test]
    fn sets_with_unreachable_nodes_are_avoided_while_others_exist() {
        let placement = vec![vec![NodeSlot(0), NodeSlot(1)]; 2];
        let covers = covering_sets(CoverInput { placement: &placement, out_of_sync: &[], may_hold_foreign: &[] });
        for query in 0..50u32 {
            let hash = query_hash([query.to_string().as_bytes()]);
            let first_node = |reachable: &[bool]| choose(&covers, &nodes(reachable), hash).map(|set| set.parts[0].node);
            assert_eq!(first_node(&[false, true]), Some(NodeSlot(1)));
            assert!(first_node(&[false, false]).is_some());
        }
    }

    #[test]
    fn the_hash_depends_on_where_parts_end() {
        assert_ne!(query_hash([b"ab".as_slice(), b"c"]), query_hash([b"a".as_slice(), b"bc"]));
    }
}
