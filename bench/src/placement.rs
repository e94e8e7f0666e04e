//! How long a placement takes, and whether it keeps its promises.

use miroir::logic::ids::NodeId;
use miroir::logic::placement::plan::{PlanInput, next_table};
use miroir::logic::placement::{PlacementNode, PlacementProblem, fair_shares, moves, place};
use miroir::logic::topology::{NodeRecord, NodeState};

/// Equal nodes.
pub fn nodes(count: usize) -> Vec<PlacementNode> {
    (0..count).map(|name| PlacementNode { id: NodeId::new(format!("node-{name}")), zone: None, weight: 1.0 }).collect()
}

/// A first placement; its replicas.
pub fn fresh(shard_count: u16, replication_factor: u16, node_count: usize) -> usize {
    table(&nodes(node_count), (shard_count, replication_factor), &[]).iter().map(Vec::len).sum()
}

fn table(nodes: &[PlacementNode], shape: (u16, u16), current: &[Vec<NodeId>]) -> Vec<Vec<NodeId>> {
    place(&PlacementProblem { nodes, shard_count: shape.0, replication_factor: shape.1, current })
}

/// What is promised, and what came out.
#[derive(Clone, Copy, Debug)]
pub struct Promises {
    /// By how many shards the fullest node exceeds its fair share; promised: at most 1.
    pub fullest_over_share: f64,
    /// Replicas that move when a node is added.
    pub added_moves: usize,
    /// `ceil(S*R/(N+1))`.
    pub added_moves_promised: usize,
    /// Replicas that move when a node is removed.
    pub removed_moves: usize,
    /// What it held: the promise.
    pub removed_held: usize,
}

impl Promises {
    /// Places on N nodes, then adds one, then removes the first of N.
    pub fn measure(shard_count: u16, replication_factor: u16, node_count: usize) -> Self {
        let shape = (shard_count, replication_factor);
        let all = nodes(node_count + 1);
        let before = table(&all[..node_count], shape, &[]);
        let load = |node: &PlacementNode| before.iter().filter(|row| row.contains(&node.id)).count();
        let shares = fair_shares(&all[..node_count], shard_count, replication_factor);
        let over = all.iter().zip(shares).map(|(node, share)| load(node) as f64 - share);
        let replicas = usize::from(shard_count) * usize::from(replication_factor);
        Self {
            fullest_over_share: over.fold(f64::MIN, f64::max),
            added_moves: moves(&before, &table(&all, shape, &before)).len(),
            added_moves_promised: replicas.div_ceil(node_count + 1),
            removed_moves: moves(&before, &table(&all[1..node_count], shape, &before)).len(),
            removed_held: load(&all[0]),
        }
    }
}

/// The worst over many plans, each for one node more or one less.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct WorstPlans {
    /// Plans that were made.
    pub plans: usize,
    /// Replicas that move, of all plans.
    pub moved: usize,
    /// The least that must move for an even spread: a new node's fair share rounded down, or what a leaving one held. Of
    /// all plans. A plan may move less, since one shard more or less than the share is let be.
    pub least: usize,
    /// The worst of one plan.
    pub moved_of_least: f64,
    /// How many shards a node is off its fair share.
    pub imbalance: f64,
}

impl WorstPlans {
    /// From N nodes to N+1 and to N-1, for each N of these, always from a first placement.
    pub fn measure(shards: usize, replication_factor: u16, node_counts: std::ops::RangeInclusive<usize>) -> Self {
        let mut worst = Self::default();
        for count in node_counts {
            let plan = |members: &[NodeRecord], owners: &[Vec<NodeId>]| {
                next_table(&PlanInput { members, replication_factor, owners }).ok().map(|next| next.plan)
            };
            let Some(before) = plan(&members(count), &vec![Vec::new(); shards]) else { continue };
            let held = |node: usize| before.iter().filter(|row| row.contains(&members(count)[node].id)).count();
            let more = members(count + 1);
            let mut less = members(count);
            less[0].state = NodeState::Draining;
            let share = shards * usize::from(replication_factor) / (count + 1);
            for (members, least) in [(more, share), (less, held(0))] {
                if let Some(after) = plan(&members, &before) {
                    worst.add(&members, (moves(&before, &after).len(), least), &after);
                }
            }
        }
        worst
    }

    fn add(&mut self, members: &[NodeRecord], (moved, least): (usize, usize), table: &[Vec<NodeId>]) {
        let held = members.iter().filter(|node| node.state == NodeState::Active);
        let loads: Vec<usize> = held.map(|node| table.iter().filter(|row| row.contains(&node.id)).count()).collect();
        let share = loads.iter().sum::<usize>() as f64 / loads.len() as f64;
        let off = loads.iter().map(|&load| (load as f64 - share).abs()).fold(0.0, f64::max);
        self.plans += 1;
        self.moved += moved;
        self.least += least;
        self.moved_of_least = self.moved_of_least.max(moved as f64 / least.max(1) as f64);
        self.imbalance = self.imbalance.max(off);
    }
}

fn members(count: usize) -> Vec<NodeRecord> {
    let member = |node: PlacementNode| NodeRecord {
        id: node.id,
        url: String::new(),
        zone: node.zone,
        weight: node.weight,
        state: NodeState::Active,
        life: 0,
        has_identity: false,
    };
    nodes(count).into_iter().map(member).collect()
}
