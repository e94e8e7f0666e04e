//! How many shards each node should hold: its share by weight, as far as zones and the number of shards allow.

use super::{PlacementNode, zone_numbers};

/// The fair share of each node, as a real number; they sum up to `S * min(R, nodes)`.
///
/// First the replicas are shared among zones by weight: no zone gets more than one replica per shard while there are
/// enough zones, and every zone gets one per shard when there are too few. Then each zone's part is shared among its
/// nodes by weight, no node getting more than all shards.
pub fn fair_shares(nodes: &[PlacementNode], shard_count: u16, replication_factor: u16) -> Vec<f64> {
    fair_shares_around(nodes, shard_count, replication_factor, &vec![None; nodes.len()])
}

/// The same where some nodes, by place, have just what they have: the others share the rest, as far as it goes.
pub(super) fn fair_shares_around(
    nodes: &[PlacementNode],
    shard_count: u16,
    replication_factor: u16,
    held: &[Option<f64>],
) -> Vec<f64> {
    let zones = zone_numbers(nodes);
    let zone_count = zones.iter().max().map_or(0, |last| last + 1);
    let replicas = usize::from(replication_factor).min(nodes.len());
    let shards = f64::from(shard_count);
    let members: Vec<Vec<usize>> =
        (0..zone_count).map(|zone| (0..nodes.len()).filter(|&node| zones[node] == zone).collect()).collect();
    let node_bounds = |node: usize| Bounds {
        weight: nodes[node].weight,
        least: held[node].unwrap_or(0.0),
        most: held[node].unwrap_or(shards),
    };
    let zone_bounds: Vec<Bounds> = members
        .iter()
        .map(|members| {
            let least: f64 = members.iter().map(|&node| node_bounds(node).least).sum();
            let most: f64 = members.iter().map(|&node| node_bounds(node).most).sum();
            let most = if zone_count >= replicas { most.min(shards).max(least) } else { most };
            let least = if zone_count <= replicas { least.max(shards.min(most)) } else { least };
            Bounds { weight: members.iter().map(|&node| nodes[node].weight).sum(), least, most }
        })
        .collect();
    let zone_shares = share(shards * replicas as f64, &zone_bounds);
    let mut shares = vec![0.0; nodes.len()];
    for (members, zone_share) in members.iter().zip(zone_shares) {
        let bounds: Vec<Bounds> = members.iter().map(|&node| node_bounds(node)).collect();
        for (&node, node_share) in members.iter().zip(share(zone_share, &bounds)) {
            shares[node] = node_share;
        }
    }
    shares
}

struct Bounds {
    weight: f64,
    least: f64,
    most: f64,
}

/// Shares a total by weight within bounds: those whose share lies out of bounds get their bound, the rest is shared
/// again among the others. A total that does not lie between the sums of the bounds is met as nearly as they allow.
fn share(total: f64, parts: &[Bounds]) -> Vec<f64> {
    let mut fixed: Vec<Option<f64>> = vec![None; parts.len()];
    loop {
        let taken: f64 = fixed.iter().flatten().sum();
        let free_weight: f64 =
            parts.iter().zip(&fixed).filter(|(_, fixed)| fixed.is_none()).map(|(part, _)| part.weight).sum();
        let proposal = |part: &Bounds| (total - taken) * part.weight / free_weight;
        let is_free = |place: &usize| fixed[*place].is_none();
        let excess: f64 = (0..parts.len())
            .filter(is_free)
            .map(|place| proposal(&parts[place]).clamp(parts[place].least, parts[place].most) - proposal(&parts[place]))
            .sum();
        // Bounds on one side are fixed per round, as their sum decides on which side too much was given.
        let out_of_bounds: Vec<(usize, f64)> = (0..parts.len())
            .filter(is_free)
            .filter_map(|place| {
                let (part, proposed) = (&parts[place], proposal(&parts[place]));
                if proposed < part.least && excess >= 0.0 {
                    Some((place, part.least))
                } else if proposed > part.most && excess <= 0.0 {
                    Some((place, part.most))
                } else {
                    None
                }
            })
            .collect();
        if out_of_bounds.is_empty() {
            return (0..parts.len()).map(|place| fixed[place].unwrap_or_else(|| proposal(&parts[place]))).collect();
        }
        for (place, bound) in out_of_bounds {
            fixed[place] = Some(bound);
        }
    }
}
