//! Plans are reached by their steps, near the fewest moves, balanced, and keep zones apart.

use proptest::prelude::*;

use super::*;

fn member(name: usize, zone: Option<usize>, state: NodeState) -> NodeRecord {
    NodeRecord {
        id: NodeId::new(format!("n{name}")),
        url: format!("http://n{name}"),
        zone: zone.map(|zone| format!("z{zone}").into()),
        weight: 1.0,
        state,
        life: 0,
        has_identity: false,
    }
}

fn equal(count: usize) -> Vec<NodeRecord> {
    (0..count).map(|name| member(name, None, NodeState::Active)).collect()
}

fn plan(members: &[NodeRecord], replication_factor: u16, owners: &[Vec<NodeId>]) -> Vec<Vec<NodeId>> {
    next_table(&PlanInput { members, replication_factor, owners }).unwrap().plan
}

fn loads(members: &[NodeRecord], table: &[Vec<NodeId>]) -> Vec<usize> {
    members.iter().map(|node| table.iter().filter(|row| row.contains(&node.id)).count()).collect()
}

fn empty(shards: usize) -> Vec<Vec<NodeId>> {
    vec![Vec::new(); shards]
}

/// Copies that a plan needs.
fn copies(owners: &[Vec<NodeId>], plan: &[Vec<NodeId>]) -> usize {
    super::super::moves(owners, plan).len()
}

/// Every node is at most one shard off its fair share.
fn assert_balanced(members: &[NodeRecord], replication_factor: u16, table: &[Vec<NodeId>]) {
    let share = table.len() as f64 * f64::from(replication_factor) / members.len() as f64;
    for load in loads(members, table) {
        assert!((load as f64 - share).abs() <= 1.0 + 1e-9, "{load} of {share} on {} nodes", members.len());
    }
}

/// From N to N+1 the new node's fair share must move, from N to N-1 what the node held.
#[test]
fn growing_and_shrinking_node_by_node_moves_hardly_more_than_must_move() {
    const SHARDS: usize = 64;
    for replication_factor in 1..=3_u16 {
        let first = usize::from(replication_factor).max(2);
        let mut owners = plan(&equal(first), replication_factor, &empty(SHARDS));
        for count in first + 1..=64 {
            let next = plan(&equal(count), replication_factor, &owners);
            let least = SHARDS * usize::from(replication_factor) / count;
            let moved = copies(&owners, &next);
            assert!(moved * 100 <= least * 105, "R {replication_factor}, to {count} nodes: {moved} of {least}");
            assert_balanced(&equal(count), replication_factor, &next);
            owners = next;
        }
        for count in (first..64).rev() {
            let mut members = equal(count + 1);
            // Not always the last one that came.
            let leaving = (count * 7) % (count + 1);
            members[leaving].state = NodeState::Draining;
            let next = plan(&members, replication_factor, &owners);
            let least = loads(&members, &owners)[leaving];
            let moved = copies(&owners, &next);
            assert!(moved * 100 <= least * 105, "R {replication_factor}, to {count} nodes: {moved} of {least}");
            members.remove(leaving);
            assert_balanced(&members, replication_factor, &next);
            // It comes back under the name that is free, so that the next round has nodes 0 to `count` again.
            let (gone, last) = (NodeId::new(format!("n{leaving}")), NodeId::new(format!("n{count}")));
            let renamed = |node: &NodeId| if *node == last { gone.clone() } else { node.clone() };
            owners = next.iter().map(|row| row.iter().map(renamed).collect()).collect();
        }
    }
}

#[test]
fn a_node_in_maintenance_keeps_what_it_has_and_gets_nothing() {
    let owners = plan(&equal(4), 2, &empty(64));
    let mut members = equal(6);
    members[0].state = NodeState::Maintenance;
    members[1].state = NodeState::Draining;
    members[5].state = NodeState::Removed;
    let next = plan(&members, 2, &owners);
    let held = |table: &[Vec<NodeId>], name: usize| {
        table.iter().map(|row| row.contains(&members[name].id)).collect::<Vec<bool>>()
    };
    assert_eq!(held(&next, 0), held(&owners, 0));
    assert_eq!((loads(&members, &next)[1], loads(&members, &next)[5]), (0, 0));
    // The others share the rest.
    let rest = loads(&members, &next);
    assert!((31..=33).contains(&rest[2]) && (31..=33).contains(&rest[3]) && (31..=33).contains(&rest[4]), "{rest:?}");
    // A new node in maintenance stays empty.
    let mut members = equal(4);
    members[3].state = NodeState::Maintenance;
    let next = plan(&members, 2, &plan(&equal(3), 2, &empty(64)));
    assert_eq!(loads(&members, &next)[3], 0);
}

#[test]
fn what_cannot_be_is_told_to_the_operator() {
    let owners = plan(&equal(3), 2, &empty(8));
    let mut members = equal(3);
    let told = |members: &[NodeRecord], replication_factor| {
        next_table(&PlanInput { members, replication_factor, owners: &owners }).map_err(|error| error.to_string())
    };
    members[0].state = NodeState::Draining;
    let error = told(&members, 3).expect_err("two are left");
    assert!(error.starts_with("8 shards cannot have 3 replicas on 2 nodes that take shards"), "{error}");
    members[1].state = NodeState::Maintenance;
    let error = told(&members, 2).expect_err("one takes shards, the other not all");
    assert!(error.contains("cannot have 2 replicas on 1 nodes"), "{error}");
    members[2].state = NodeState::Removed;
    assert_eq!(
        told(&members, 1).expect_err("nobody"),
        "there is no active node; add one, or end the draining or maintenance of one"
    );
    let crowded: Vec<NodeRecord> = (0..3).map(|name| member(name, Some(0), NodeState::Active)).collect();
    let next = told(&crowded, 2).expect("there are nodes");
    assert_eq!(next.warnings, [PlanWarning::ZonesShared { shards: 8, zones: 1, replication_factor: 2 }]);
    assert_eq!(
        next.warnings[0].to_string(),
        "8 shards have two or more replicas in one zone: there are 1 zones for 2 replicas"
    );
    assert_eq!(told(&equal(3), 2).expect("no zones").warnings, []);
}

#[test]
fn lost_redundancy_comes_first_and_moves_of_one_target_together() {
    let row = |names: &[usize]| names.iter().map(|name| NodeId::new(format!("n{name}"))).collect::<Vec<_>>();
    let owners = [row(&[0, 1]), row(&[0]), row(&[]), row(&[0, 1, 2]), row(&[1, 0]), row(&[1, 0])];
    let plan = [row(&[0, 3]), row(&[0, 2]), row(&[1, 3]), row(&[1, 0]), row(&[3, 0]), row(&[2, 0])];
    let told: Vec<String> = steps(&owners, &plan)
        .iter()
        .map(|MoveWish { shard, to, from }| {
            let name = |node: &Option<NodeId>| node.as_ref().map_or("-".to_owned(), ToString::to_string);
            format!("{shard}: {} > {}", name(from), name(to))
        })
        .collect();
    assert_eq!(told, ["2: - > n1", "1: - > n2", "2: - > n3", "5: n1 > n2", "0: n1 > n3", "4: n1 > n3", "3: n2 > -"]);
}

#[test]
fn costs_are_what_is_copied_and_the_disk_grows_on_targets_and_where_it_is_compacted() {
    let row = |name: usize| vec![NodeId::new(format!("n{name}"))];
    let wish = |shard: u16, to: usize, from: usize| MoveWish {
        shard: ShardId(shard),
        to: Some(NodeId::new(format!("n{to}"))),
        from: Some(NodeId::new(format!("n{from}"))),
    };
    let indexes = [
        IndexSizes { documents: vec![10, 20, 30], document_bytes: 100 },
        IndexSizes { documents: vec![1], document_bytes: 1000 },
    ];
    let node = |name: usize, used_bytes, database_bytes| {
        (NodeId::new(format!("n{name}")), NodeSizes { database_bytes, used_bytes })
    };
    // 7,000 bytes of JSON take 70,000 of disk.
    let nodes = BTreeMap::from([node(0, 70_000, 500_000), node(1, 0, 4_096)]);
    let wishes = [wish(0, 1, 0), wish(2, 1, 0)];
    let owners = [row(0), row(0), row(0)];
    for (is_compacting, of_the_old_owner) in [(false, 500_000), (true, 570_000)] {
        let found = cost(&wishes, &owners, &indexes, &nodes, is_compacting);
        let peak = BTreeMap::from([(NodeId::new("n0"), of_the_old_owner), (NodeId::new("n1"), 3 * 50_000)]);
        assert_eq!(found, PlanCost { moves: 2, documents: 41, bytes: 5_000, peak_disk: peak });
    }
    let away = MoveWish { shard: ShardId(0), to: None, from: Some(NodeId::new("n0")) };
    assert_eq!(cost(&[away], &[row(0)], &indexes, &BTreeMap::new(), true), PlanCost::default());
}

/// A fleet in any state, with a table that may be anything.
fn fleets() -> impl Strategy<Value = (Vec<NodeRecord>, Vec<Vec<NodeId>>)> {
    let state = prop_oneof![
        4 => Just(NodeState::Active),
        1 => Just(NodeState::Draining),
        1 => Just(NodeState::Maintenance),
        1 => Just(NodeState::Removed),
    ];
    let members = proptest::collection::vec((proptest::option::of(0usize..3), state), 1..9);
    (members, proptest::collection::vec(proptest::collection::btree_set(0usize..9, 0..4), 1..40)).prop_map(
        |(members, rows)| {
            let members: Vec<NodeRecord> =
                members.into_iter().enumerate().map(|(name, (zone, state))| member(name, zone, state)).collect();
            let row = |row: std::collections::BTreeSet<usize>| {
                row.into_iter().filter_map(|name| members.get(name)).map(|node| node.id.clone()).collect()
            };
            let rows = rows.into_iter().map(row).collect();
            (members, rows)
        },
    )
}

proptest! {
    #[test]
    fn a_plan_is_reached_by_its_steps_and_keeps_to_the_states_of_nodes(
        (members, owners) in fleets(),
        replication_factor in 1..=3_u16,
    ) {
        let Ok(next) = next_table(&PlanInput { members: &members, replication_factor, owners: &owners }) else {
            return Ok(());
        };
        let state = |id: &NodeId| members.iter().find(|node| node.id == *id).map(|node| node.state);
        let mut table = owners.clone();
        for MoveWish { shard, to, from } in steps(&owners, &next.plan) {
            let row = &mut table[usize::from(shard.0)];
            let before = row.len();
            if let Some(to) = to {
                prop_assert_eq!(state(&to), Some(NodeState::Active));
                prop_assert!(!row.contains(&to));
                row.push(to);
            }
            if let Some(from) = from {
                prop_assert!(row.contains(&from));
                row.retain(|node| *node != from);
            }
            prop_assert!(row.len() >= before.min(usize::from(replication_factor)), "no replica goes before its time");
        }
        for ((reached, planned), before) in table.iter_mut().zip(&next.plan).zip(&owners) {
            let mut planned = planned.clone();
            prop_assert_eq!(planned.len(), usize::from(replication_factor));
            for node in &planned {
                let is_kept = state(node) == Some(NodeState::Maintenance) && before.contains(node);
                prop_assert!(is_kept || state(node) == Some(NodeState::Active));
            }
            reached.sort();
            planned.sort();
            prop_assert_eq!(&*reached, &planned);
        }
    }

    #[test]
    fn zones_are_kept_apart_when_there_are_enough(
        zones in proptest::collection::vec(0usize..4, 2..10),
        replication_factor in 1..=3_u16,
        leaving in 0usize..10,
    ) {
        let mut members: Vec<NodeRecord> =
            zones.iter().enumerate().map(|(name, zone)| member(name, Some(*zone), NodeState::Active)).collect();
        let Ok(before) = next_table(&PlanInput { members: &members, replication_factor, owners: &empty(64) }) else {
            return Ok(());
        };
        let leaving = leaving % members.len();
        members[leaving].state = NodeState::Draining;
        let Ok(after) = next_table(&PlanInput { members: &members, replication_factor, owners: &before.plan }) else {
            return Ok(());
        };
        let left = members.iter().filter(|node| node.state == NodeState::Active).map(|node| &node.zone);
        let is_possible = left.collect::<BTreeSet<_>>().len() >= usize::from(replication_factor);
        prop_assert_eq!(after.warnings.is_empty(), is_possible);
    }
}

#[test]
fn a_plan_that_was_made_otherwise_is_warned_of_by_what_it_names() {
    let zones = [("a", "x"), ("b", "y"), ("c", "y"), ("d", "x")];
    let members =
        zones.map(|(id, zone)| NodeRecord { zone: Some(zone.into()), ..NodeRecord::active(NodeId::new(id), "") });
    let row = |ids: [&str; 2]| ids.map(NodeId::new).to_vec();
    assert_eq!(warnings_of(&members, &[row(["a", "b"]), row(["c", "d"])], 2), []);
    let shared = PlanWarning::ZonesShared { shards: 1, zones: 1, replication_factor: 2 };
    assert_eq!(warnings_of(&members, &[row(["b", "c"])], 2), [shared]);
}
