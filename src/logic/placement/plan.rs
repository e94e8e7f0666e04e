//! From what an operator wants to the moves that lead there, and what they cost.
//!
//! [`next_table`] says who is to own each shard, [`steps`] in which order the owners follow, one replica at a time,
//! [`cost`] what that means in documents, bytes and disk.

use std::collections::{BTreeMap, BTreeSet};

use super::{PlacementNode, PlacementProblem, place_around, zone_numbers};
use crate::logic::ids::{NodeId, ShardId};
use crate::logic::topology::{NodeRecord, NodeState};

/// A node's database grows to this many times what it uses while documents come in (2 to 3 were seen).
const DISK_GROWTH: u64 = 3;

/// What a plan starts from.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// Every node that was ever added.
    pub members: &'a [NodeRecord],
    /// Replicas of each shard that are wanted.
    pub replication_factor: u16,
    /// By shard: who owns it now.
    pub owners: &'a [Vec<NodeId>],
}

/// Who is to own what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NextTable {
    /// By shard.
    pub plan: Vec<Vec<NodeId>>,
    /// What the operator should know.
    pub warnings: Vec<PlanWarning>,
}

/// There is no such plan.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// Nobody could own anything.
    #[error("there is no active node; add one, or end the draining or maintenance of one")]
    NoNodes,
    /// Each replica of a shard needs a node of its own.
    #[error(
        "{shards} shards cannot have {replication_factor} replicas on {usable} nodes that take shards \
         (draining nodes take none, nodes in maintenance nothing new); add nodes or lower the replication factor"
    )]
    TooFewNodes {
        /// As wanted.
        replication_factor: u16,
        /// Active nodes.
        usable: usize,
        /// How many shards would have fewer.
        shards: usize,
    },
}

/// The plan is not all that one would want.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanWarning {
    /// A zone that is lost takes more than one replica of these with it.
    #[error(
        "{shards} shards have two or more replicas in one zone: there are {zones} zones for {replication_factor} replicas"
    )]
    ZonesShared {
        /// How many.
        shards: usize,
        /// Zones of active nodes and of those in maintenance; a node without a zone is one of its own.
        zones: usize,
        /// As wanted.
        replication_factor: u16,
    },
}

/// The table that the owners are to follow: as few moves from the owners as balance and zones allow.
///
/// Draining and removed nodes own nothing in it; nodes in maintenance keep what they own and get nothing new. For nodes
/// that are lost for good give the replication factor that is left, or this is an error.
///
/// # Errors
/// Too few nodes.
pub fn next_table(input: &PlanInput<'_>) -> Result<NextTable, PlanError> {
    let held = |node: &&NodeRecord| match node.state {
        NodeState::Active | NodeState::Maintenance => true,
        NodeState::Draining | NodeState::Removed => false,
    };
    let place_of =
        |node: &NodeRecord| PlacementNode { id: node.id.clone(), zone: node.zone.clone(), weight: node.weight };
    let nodes: Vec<PlacementNode> = input.members.iter().filter(held).map(place_of).collect();
    let in_maintenance = |node: &&NodeRecord| node.state == NodeState::Maintenance;
    let closed: Vec<NodeId> = input.members.iter().filter(in_maintenance).map(|node| node.id.clone()).collect();
    let usable = nodes.len() - closed.len();
    if usable == 0 {
        return Err(PlanError::NoNodes);
    }
    let (shard_count, replication_factor) = (input.owners.len() as u16, input.replication_factor);
    let problem = PlacementProblem { nodes: &nodes, shard_count, replication_factor, current: input.owners };
    let plan = place_around(&problem, &closed);
    match plan.iter().filter(|row| row.len() < usize::from(replication_factor)).count() {
        0 => Ok(NextTable { warnings: shared_zones(&nodes, &plan, replication_factor).into_iter().collect(), plan }),
        shards => Err(PlanError::TooFewNodes { replication_factor, usable, shards }),
    }
}

/// What operators should know of a plan that was made otherwise. `members` has every node that the plan names.
pub fn warnings_of(members: &[NodeRecord], plan: &[Vec<NodeId>], replication_factor: u16) -> Vec<PlanWarning> {
    let named: BTreeSet<&NodeId> = plan.iter().flatten().collect();
    let place_of =
        |node: &NodeRecord| PlacementNode { id: node.id.clone(), zone: node.zone.clone(), weight: node.weight };
    let nodes: Vec<PlacementNode> = members.iter().filter(|node| named.contains(&node.id)).map(place_of).collect();
    shared_zones(&nodes, plan, replication_factor).into_iter().collect()
}

fn shared_zones(nodes: &[PlacementNode], plan: &[Vec<NodeId>], replication_factor: u16) -> Option<PlanWarning> {
    let numbers = zone_numbers(nodes);
    let zone_of: BTreeMap<&NodeId, usize> = nodes.iter().map(|node| &node.id).zip(numbers.iter().copied()).collect();
    let is_shared =
        |row: &&Vec<NodeId>| row.iter().map(|node| zone_of[node]).collect::<BTreeSet<_>>().len() < row.len();
    let zones = numbers.iter().collect::<BTreeSet<_>>().len();
    match plan.iter().filter(is_shared).count() {
        0 => None,
        shards => Some(PlanWarning::ZonesShared { shards, zones, replication_factor }),
    }
}

/// One replica that is to come, to go, or both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MoveWish {
    /// Of which shard.
    pub shard: ShardId,
    /// Who gets it; none takes it away only.
    pub to: Option<NodeId>,
    /// Who loses it once the other has it; none adds a replica.
    pub from: Option<NodeId>,
}

/// How the owners come to be as planned. First the shards that lack replicas, those with the fewest before the others;
/// then moves; at last what is too much. Within these the wishes of one target stand together, since a node takes many
/// shards at once in hardly more time than one.
pub fn steps(owners: &[Vec<NodeId>], plan: &[Vec<NodeId>]) -> Vec<MoveWish> {
    let mut ranked = Vec::new();
    for (shard, wanted) in plan.iter().enumerate() {
        let present = owners.get(shard).map(Vec::as_slice).unwrap_or_default();
        let mut coming = wanted.iter().filter(|node| !present.contains(node)).cloned();
        let mut going = present.iter().filter(|node| !wanted.contains(node)).cloned();
        let mut replicas = present.len();
        let shard = ShardId(shard as u16);
        // Replicas that are missing come before any goes.
        while replicas < wanted.len()
            && let Some(to) = coming.next()
        {
            ranked.push((replicas, MoveWish { shard, to: Some(to), from: None }));
            replicas += 1;
        }
        for to in coming {
            ranked.push((MOVE, MoveWish { shard, to: Some(to), from: going.next() }));
        }
        ranked.extend(going.map(|from| (SURPLUS, MoveWish { shard, to: None, from: Some(from) })));
    }
    ranked.sort_by(|(rank, a), (other, b)| (rank, &a.to, &a.from, a.shard).cmp(&(other, &b.to, &b.from, b.shard)));
    ranked.into_iter().map(|(_, wish)| wish).collect()
}

/// Ranks after any number of replicas.
const MOVE: usize = usize::MAX - 1;
const SURPLUS: usize = usize::MAX;

/// What is known about an index.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IndexSizes {
    /// Documents of each shard, one replica of them; shards beyond the end have none.
    pub documents: Vec<u64>,
    /// Bytes of JSON of one document on average.
    pub document_bytes: u64,
}

/// What is known about a node's disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NodeSizes {
    /// Bytes on disk (`databaseSize`).
    pub database_bytes: u64,
    /// Bytes in use within it (`usedDatabaseSize`).
    pub used_bytes: u64,
}

/// What a plan comes to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PlanCost {
    /// Replicas of shards that are copied.
    pub moves: usize,
    /// Documents that are copied.
    pub documents: u64,
    /// Bytes of JSON that are copied.
    pub bytes: u64,
    /// By node: bytes on its disk at most, an estimate that errs on the high side. Nodes that lose shards need space for a
    /// copy of what they use, if they are compacted afterwards; if not, they keep their size.
    pub peak_disk: BTreeMap<NodeId, u64>,
}

/// What these moves cost. `owners` is the table before them: from it follows how much disk a document takes in this fleet,
/// with all that a node derives from it. A compaction copies an index while the old file is still there.
pub fn cost(
    wishes: &[MoveWish],
    owners: &[Vec<NodeId>],
    indexes: &[IndexSizes],
    nodes: &BTreeMap<NodeId, NodeSizes>,
    is_compacting: bool,
) -> PlanCost {
    let of_shard = |shard: usize| {
        let counts =
            indexes.iter().map(|index| (index.documents.get(shard).copied().unwrap_or(0), index.document_bytes));
        counts.fold((0, 0), |(documents, bytes), (count, each)| (documents + count, bytes + count * each))
    };
    let stored: u64 = owners.iter().enumerate().map(|(shard, row)| of_shard(shard).1 * row.len() as u64).sum();
    let used: u64 = nodes.values().map(|sizes| sizes.used_bytes).sum();
    let mut cost = PlanCost::default();
    let mut added: BTreeMap<&NodeId, u64> = BTreeMap::new();
    for wish in wishes {
        let Some(to) = &wish.to else { continue };
        let (documents, bytes) = of_shard(usize::from(wish.shard.0));
        cost.moves += 1;
        cost.documents += documents;
        cost.bytes += bytes;
        *added.entry(to).or_default() += bytes;
    }
    let disk_of = |bytes: u64| (u128::from(bytes) * u128::from(used)).div_ceil(u128::from(stored.max(1))) as u64;
    for (node, sizes) in nodes {
        let used = sizes.used_bytes + added.get(node).map_or(0, |bytes| disk_of(*bytes));
        let grown = if added.contains_key(node) { DISK_GROWTH * used } else { 0 };
        let loses = wishes.iter().any(|wish| wish.from.as_ref() == Some(node));
        let copy = if is_compacting && loses { used } else { 0 };
        cost.peak_disk.insert(node.clone(), grown.max(sizes.database_bytes) + copy);
    }
    cost
}

#[cfg(test)]
mod tests;
