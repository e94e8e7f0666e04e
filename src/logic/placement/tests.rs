//! The promises of the placement as properties, and its golden table.

use proptest::prelude::*;

use super::*;

fn node(name: usize, zone: Option<usize>, weight: f64) -> PlacementNode {
    PlacementNode { id: NodeId::new(format!("n{name}")), zone: zone.map(|zone| format!("z{zone}").into()), weight }
}

fn equal_nodes(count: usize) -> Vec<PlacementNode> {
    (0..count).map(|name| node(name, None, 1.0)).collect()
}

fn place_on(nodes: &[PlacementNode], shape: (u16, u16), current: &[Vec<NodeId>]) -> Vec<Vec<NodeId>> {
    place(&PlacementProblem { nodes, shard_count: shape.0, replication_factor: shape.1, current })
}

fn loads(nodes: &[PlacementNode], table: &[Vec<NodeId>]) -> Vec<usize> {
    nodes.iter().map(|node| table.iter().filter(|row| row.contains(&node.id)).count()).collect()
}

/// Replica counts, distinct nodes, spread over zones, and loads within one of the fair share.
fn assert_sound(nodes: &[PlacementNode], shape: (u16, u16), table: &[Vec<NodeId>]) -> Result<(), TestCaseError> {
    let replicas = usize::from(shape.1).min(nodes.len());
    let zones = zone_numbers(nodes);
    let zone_count = zones.iter().max().map_or(0, |last| last + 1);
    prop_assert_eq!(table.len(), usize::from(shape.0));
    for row in table {
        let mut used: Vec<usize> = row
            .iter()
            .map(|id| zones[nodes.iter().position(|node| node.id == *id).expect("only nodes of the problem")])
            .collect();
        used.sort_unstable();
        used.dedup();
        let mut ids = row.clone();
        ids.sort();
        ids.dedup();
        prop_assert_eq!((row.len(), ids.len()), (replicas, replicas));
        prop_assert_eq!(used.len(), replicas.min(zone_count));
    }
    let shares = fair_shares(nodes, shape.0, shape.1);
    for (load, share) in loads(nodes, table).into_iter().zip(shares) {
        prop_assert!(load as f64 <= share + 1.0 + 1e-6, "{} of {}", load, share);
    }
    Ok(())
}

#[test]
fn golden_table_holds() {
    let nodes = [node(0, Some(0), 1.0), node(1, Some(0), 2.0), node(2, Some(1), 1.0), node(3, Some(1), 1.0)];
    let lines: Vec<String> = place_on(&nodes, (64, 2), &[])
        .iter()
        .map(|row| row.iter().map(NodeId::as_str).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(lines.join("\n"), include_str!("golden.txt").trim_end(), "the new table:\n{}", lines.join("\n"));
}

#[test]
fn fewer_nodes_than_replicas_hold_everything() {
    assert_eq!(place_on(&[], (3, 2), &[]), vec![Vec::new(); 3]);
    let table = place_on(&equal_nodes(2), (5, 3), &[]);
    assert_eq!(loads(&equal_nodes(2), &table), [5, 5]);
}

#[test]
fn shares_follow_weights_up_to_what_zones_allow() {
    assert_eq!(fair_shares(&[node(0, None, 1.0), node(1, None, 3.0)], 64, 1), [16.0, 48.0]);
    // One replica per zone: the lone node of zone 0 gets every shard, whatever its weight.
    let lone = [node(0, Some(0), 1.0), node(1, Some(1), 1.0), node(2, Some(1), 1.0), node(3, Some(1), 2.0)];
    assert_eq!(fair_shares(&lone, 64, 2), [64.0, 16.0, 16.0, 32.0]);
    // No node holds a shard twice.
    assert_eq!(fair_shares(&[node(0, None, 9.0), node(1, None, 1.0), node(2, None, 1.0)], 10, 2), [10.0, 5.0, 5.0]);
}

#[test]
fn raising_the_replication_factor_keeps_what_is_there() {
    let nodes = equal_nodes(5);
    let single = place_on(&nodes, (64, 1), &[]);
    let double = place_on(&nodes, (64, 2), &single);
    assert!(moves(&single, &double).len() <= 64 + 1, "{}", moves(&single, &double).len());
    let back = place_on(&nodes, (64, 1), &double);
    assert!(moves(&double, &back).len() <= 2);
}

fn shapes() -> impl Strategy<Value = (u16, u16)> {
    (prop_oneof![1u16..20, Just(64u16), 65u16..300], 1u16..=5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn fresh_tables_are_sound(
        shape in shapes(),
        nodes in proptest::collection::vec((proptest::option::of(0usize..4), 1u8..5), 1..12),
    ) {
        let nodes: Vec<PlacementNode> =
            nodes.into_iter().enumerate().map(|(name, (zone, weight))| node(name, zone, f64::from(weight))).collect();
        let table = place_on(&nodes, shape, &[]);
        assert_sound(&nodes, shape, &table)?;
        prop_assert_eq!(&table, &place_on(&nodes, shape, &[]), "deterministic");
        prop_assert_eq!(&table, &place_on(&nodes, shape, &table), "a good table is left alone");
    }

    #[test]
    fn adding_a_node_moves_only_its_share_and_only_to_it(shape in shapes(), count in 1usize..12) {
        let before = place_on(&equal_nodes(count), shape, &[]);
        let after = place_on(&equal_nodes(count + 1), shape, &before);
        assert_sound(&equal_nodes(count + 1), shape, &after)?;
        let replicas = usize::from(shape.1).min(count + 1);
        let moved = moves(&before, &after);
        prop_assert!(moved.len() <= (usize::from(shape.0) * replicas).div_ceil(count + 1), "{} moves", moved.len());
        for (_, to) in moved {
            prop_assert_eq!(to, NodeId::new(format!("n{count}")));
        }
    }

    #[test]
    fn removing_a_node_moves_only_what_it_held(shape in shapes(), count in 2usize..12, gone in 0usize..12) {
        let gone = gone % count;
        let all = equal_nodes(count);
        let before = place_on(&all, shape, &[]);
        let left: Vec<PlacementNode> = all.iter().enumerate().filter(|(place, _)| *place != gone).map(|(_, n)| n.clone()).collect();
        let after = place_on(&left, shape, &before);
        assert_sound(&left, shape, &after)?;
        let held_by_it = |shard: &ShardId| before[usize::from(shard.0)].contains(&all[gone].id);
        let needless = moves(&before, &after).iter().filter(|(shard, _)| !held_by_it(shard)).count();
        // A handful of shards may leave no other way to keep the loads within one.
        prop_assert!(needless <= usize::from(shape.0 < 16), "{} moved without need", needless);
        prop_assert!(moves(&before, &after).len() <= loads(&all, &before)[gone] + needless);
    }

    #[test]
    fn tables_stay_sound_through_a_life_of_changes(
        shape in shapes(),
        changes in proptest::collection::vec((0usize..10, proptest::option::of(0usize..3), 1u8..4), 1..12),
    ) {
        let mut nodes: Vec<PlacementNode> = Vec::new();
        let mut table = Vec::new();
        for (name, zone, weight) in changes {
            match nodes.iter().position(|known| known.id == NodeId::new(format!("n{name}"))) {
                Some(place) if nodes.len() > 1 => {
                    nodes.remove(place);
                }
                Some(_) => {}
                None => nodes.push(node(name, zone, f64::from(weight))),
            }
            table = place_on(&nodes, shape, &table);
            assert_sound(&nodes, shape, &table)?;
        }
    }
}
