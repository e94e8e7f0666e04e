//! Placement: which nodes hold each shard. Bounded-load weighted rendezvous, from an existing table with few moves.
//!
//! For each shard the nodes are ranked by a score (a hash of shard and node, scaled by the node's weight); a node takes
//! shards up to its fair share, rounded up. Replicas of a shard go to different zones while there are zones left; a node
//! without a zone is a zone of its own. The fair share is what the weights say as far as zones and the number of shards
//! allow it, see [`fair_share`].
//!
//! Promises: the fullest node holds at most one shard more than its fair share; adding a node to `N` equal ones moves at
//! most `ceil(S*R/(N+1))` replicas, all of them to it; removing one moves only what it held (below 16 shards perhaps one
//! replica more). The table is the truth, not this code: it is stored, and the next one is computed from it.

use std::collections::HashMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::ids::{NodeId, ShardId};

mod balance;
mod fair_share;
pub mod plan;

use balance::Balancer;
pub use fair_share::fair_shares;

/// A node that may hold shards.
#[derive(Clone, PartialEq, Debug)]
pub struct PlacementNode {
    /// Its name; decides its scores.
    pub id: NodeId,
    /// See the module.
    pub zone: Option<Arc<str>>,
    /// Relative to the others; finite and above 0.
    pub weight: f64,
}

/// What is to be placed.
#[derive(Clone, Copy, Debug)]
pub struct PlacementProblem<'a> {
    /// Distinct nodes.
    pub nodes: &'a [PlacementNode],
    /// `S`.
    pub shard_count: u16,
    /// `R`; with fewer nodes each shard is on all of them.
    pub replication_factor: u16,
    /// By [`ShardId`]: where the replicas are now. Empty at the first time. May name nodes that are gone.
    pub current: &'a [Vec<NodeId>],
}

/// A node's number within one problem.
type NodePlace = usize;

/// The new table, by [`ShardId`]. Replicas that stay keep their order and come first.
pub fn place(problem: &PlacementProblem<'_>) -> Vec<Vec<NodeId>> {
    place_around(problem, &[])
}

/// The same, but these nodes keep what they have, and get nothing. A shard has fewer replicas than wanted when there are
/// not enough other nodes.
pub fn place_around(problem: &PlacementProblem<'_>, closed: &[NodeId]) -> Vec<Vec<NodeId>> {
    let shard_count = usize::from(problem.shard_count);
    if problem.nodes.is_empty() {
        return vec![Vec::new(); shard_count];
    }
    let mut balancer = Balancer::new(problem, closed);
    balancer.adopt(problem.current);
    balancer.fill();
    balancer.spread_over_zones();
    balancer.level();
    let ids = |replicas: &Vec<NodePlace>| replicas.iter().map(|&node| problem.nodes[node].id.clone()).collect();
    balancer.table().iter().map(ids).collect()
}

/// Replicas that `next` has and `current` has not: what must be copied.
pub fn moves(current: &[Vec<NodeId>], next: &[Vec<NodeId>]) -> Vec<(ShardId, NodeId)> {
    let mut copies = Vec::new();
    for (shard, replicas) in next.iter().enumerate() {
        let before = current.get(shard).map(Vec::as_slice).unwrap_or_default();
        let new = replicas.iter().filter(|node| !before.contains(node));
        copies.extend(new.map(|node| (ShardId(shard as u16), node.clone())));
    }
    copies
}

/// Rendezvous score: the higher, the better the node suits the shard. With these scores a node wins a share of shards
/// that is proportional to its weight.
fn score(node: &PlacementNode, shard: usize) -> f64 {
    let hash = xxh3_64_with_seed(node.id.as_str().as_bytes(), shard as u64 + 1);
    // 53 bits, never 0 and never 1, so that the logarithm is finite and below 0.
    let fraction = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -node.weight / fraction.ln()
}

/// Each node's zone as a number.
fn zone_numbers(nodes: &[PlacementNode]) -> Vec<usize> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut next = 0;
    let mut fresh = || {
        next += 1;
        next - 1
    };
    nodes
        .iter()
        .map(|node| match &node.zone {
            Some(zone) => *numbers.entry(zone).or_insert_with(&mut fresh),
            None => fresh(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
