//! How long a placement takes, and whether it keeps its promises.

use miroir::logic::ids::NodeId;
use miroir::logic::placement::{PlacementNode, PlacementProblem, fair_shares, moves, place};

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
