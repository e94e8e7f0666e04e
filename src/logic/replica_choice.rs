//! Which of an index's covering sets answers a query.
//!
//! The same query takes the same nodes, so that pages fit together and the nodes' caches stay warm; different queries
//! spread over all alternatives. The choice is made by the name of the first node and not by its number, so it outlives
//! snapshots. Of the two alternatives that a query prefers most, the second is taken when the first is much busier.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::ids::NodeSlot;
use super::snapshot::{CoverPart, CoveringSet, NodeView};

/// How much longer than twice as long the preferred nodes may take, in microseconds, before others are asked: less than
/// that is noise, and other nodes order ties otherwise.
const PATIENCE_US: f64 = 5_000.0;

/// The hash of what makes two queries the same for the choice: index, text, filter, sort (not the page).
pub fn query_hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    // Lengths go in too, so that "ab" + "c" and "a" + "bc" differ.
    parts.into_iter().fold(0, |hash, part| xxh3_64_with_seed(part, hash.rotate_left(17) ^ part.len() as u64))
}

/// The covering set for this query; none when the index has none (snapshots hold at least one for every index).
/// `expected_us` is how long an answer of a node is expected to take, in microseconds; 0 when nothing is known.
pub fn choose<'a>(
    covers: &'a [CoveringSet],
    nodes: &[NodeView],
    query_hash: u64,
    expected_us: impl Fn(NodeSlot) -> f64,
) -> Option<&'a CoveringSet> {
    let affinity = |set: &CoveringSet| {
        let node = set.parts.first().and_then(|part| nodes.get(usize::from(part.node.0)));
        node.map_or(0, |node| xxh3_64_with_seed(node.id.as_str().as_bytes(), query_hash))
    };
    let first = covers.iter().max_by_key(|set| affinity(set))?;
    let second = covers.iter().filter(|set| !std::ptr::eq(*set, first)).max_by_key(|set| affinity(set));
    let cost = |set: &CoveringSet| {
        let of_part = |part: &CoverPart| expected_us(part.node);
        set.parts.iter().map(of_part).fold(0.0, f64::max)
    };
    let better = second.filter(|second| cost(first) > 2.0 * cost(second) + PATIENCE_US);
    Some(better.unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::covering::{CoverInput, covering_sets};
    use crate::logic::ids::NodeId;

    fn nodes() -> Vec<NodeView> {
        let view = |place| NodeView {
            id: NodeId::new(format!("node-{place}")),
            url: String::new(),
            address: None,
            zone: None,
            weight: 1.0,
            reachable: true,
        };
        (0..3).map(view).collect()
    }

    fn ring() -> std::sync::Arc<[CoveringSet]> {
        let placement: Vec<Vec<NodeSlot>> =
            (0..3).map(|shard| vec![NodeSlot(shard), NodeSlot((shard + 1) % 3)]).collect();
        covering_sets(CoverInput { placement: &placement, out_of_sync: &[], unreachable: &[], may_hold_foreign: &[] })
    }

    #[test]
    fn queries_spread_over_the_alternatives_and_stay_where_they_are() {
        let (covers, nodes) = (ring(), nodes());
        let mut chosen = [0; 3];
        for query in 0..300u32 {
            let hash = query_hash([query.to_string().as_bytes(), b"index"]);
            let set = choose(&covers, &nodes, hash, |_| 0.0).expect("some");
            assert_eq!(Some(set), choose(&covers, &nodes, hash, |_| 900.0));
            chosen[usize::from(set.parts[0].node.0)] += 1;
        }
        assert!(chosen.iter().all(|&count| count > 60), "{chosen:?}");
    }

    #[test]
    fn a_query_moves_to_its_second_choice_when_the_first_is_much_busier() {
        let placement = vec![vec![NodeSlot(0), NodeSlot(1), NodeSlot(2)]; 2];
        let input = CoverInput { placement: &placement, out_of_sync: &[], unreachable: &[], may_hold_foreign: &[] };
        let (covers, nodes) = (covering_sets(input), nodes());
        for query in 0..50u32 {
            let hash = query_hash([query.to_string().as_bytes()]);
            let first_node = |expected_us: &dyn Fn(NodeSlot) -> f64| {
                choose(&covers, &nodes, hash, expected_us).map(|set| set.parts[0].node).expect("some")
            };
            let usual = first_node(&|_| 0.0);
            assert_eq!(first_node(&|node| if node == usual { 6_000.0 } else { 1_000.0 }), usual);
            let other = first_node(&|node| if node == usual { 90_000.0 } else { 1_000.0 });
            assert_ne!(other, usual);
            let neither = |node| if node == usual || node == other { 90_000.0 } else { 1_000.0 };
            assert_eq!(first_node(&neither), usual, "only two are looked at");
        }
    }

    #[test]
    fn the_hash_depends_on_where_parts_end() {
        assert_ne!(query_hash([b"ab".as_slice(), b"c"]), query_hash([b"a".as_slice(), b"bc"]));
    }
}
