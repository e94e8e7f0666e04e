//! The placement of one problem in the making: first what stays, then what is missing, then zones, then loads.
//!
//! Every step keeps what the steps before achieved, and every loop either lowers a bounded number or ends.

use super::fair_share::fair_shares_around;
use super::{NodePlace, PlacementProblem, score, zone_numbers};
use crate::logic::ids::NodeId;

/// Fair shares are sums of divisions; differences below this are rounding.
const SHARE_EPSILON: f64 = 1e-6;

/// Which replicas may change places.
#[derive(Clone, Copy)]
enum Movable {
    /// Those that the current table does not have: they hold no data yet.
    New,
    /// All.
    All,
}

/// One replica that changes its place.
#[derive(Clone, Copy)]
struct Transfer {
    shard: usize,
    from: NodePlace,
    to: NodePlace,
}

/// Transfers that together take one shard's load from `start` to the last receiver; the last one first.
struct Path {
    start: NodePlace,
    transfers: Vec<Transfer>,
}

/// See the module.
pub(super) struct Balancer<'a> {
    problem: PlacementProblem<'a>,
    replicas: usize,
    zones: Vec<usize>,
    zone_count: usize,
    /// By node: it keeps what it has, and gets nothing.
    closed: Vec<bool>,
    /// By node: the fair share rounded down and up.
    least: Vec<usize>,
    most: Vec<usize>,
    shares: Vec<f64>,
    /// By shard, by node.
    scores: Vec<Vec<f64>>,
    load: Vec<usize>,
    table: Vec<Vec<NodePlace>>,
    /// The part of the current table that could be kept.
    kept: Vec<Vec<NodePlace>>,
}

impl<'a> Balancer<'a> {
    pub(super) fn new(problem: &PlacementProblem<'a>, closed: &[NodeId]) -> Self {
        let closed: Vec<bool> = problem.nodes.iter().map(|node| closed.contains(&node.id)).collect();
        let current = problem.current.iter().take(usize::from(problem.shard_count));
        let load = |node: &NodeId| current.clone().filter(|row| row.contains(node)).count();
        let held: Vec<Option<f64>> = problem
            .nodes
            .iter()
            .zip(&closed)
            .map(|(node, is_closed)| is_closed.then(|| load(&node.id) as f64))
            .collect();
        let shares = fair_shares_around(problem.nodes, problem.shard_count, problem.replication_factor, &held);
        let zones = zone_numbers(problem.nodes);
        Self {
            problem: *problem,
            replicas: usize::from(problem.replication_factor).min(problem.nodes.len()),
            zone_count: zones.iter().max().map_or(0, |last| last + 1),
            zones,
            closed,
            least: shares.iter().map(|share| (share + SHARE_EPSILON).floor() as usize).collect(),
            most: shares.iter().map(|share| (share - SHARE_EPSILON).ceil() as usize).collect(),
            shares,
            scores: (0..usize::from(problem.shard_count))
                .map(|shard| problem.nodes.iter().map(|node| score(node, shard)).collect())
                .collect(),
            load: vec![0; problem.nodes.len()],
            table: vec![Vec::new(); usize::from(problem.shard_count)],
            kept: Vec::new(),
        }
    }

    pub(super) fn table(&self) -> &[Vec<NodePlace>] {
        &self.table
    }

    /// Takes over the replicas on nodes that are still there; of too many the one that is worst for the balance goes.
    pub(super) fn adopt(&mut self, current: &[Vec<NodeId>]) {
        let place_of: std::collections::HashMap<&NodeId, NodePlace> =
            self.problem.nodes.iter().enumerate().map(|(place, node)| (&node.id, place)).collect();
        for (shard, ids) in current.iter().enumerate().take(self.table.len()) {
            for id in ids {
                if let Some(&node) = place_of.get(id)
                    && !self.table[shard].contains(&node)
                {
                    self.add(shard, node);
                }
            }
        }
        for shard in 0..self.table.len() {
            while self.table[shard].len() > self.replicas {
                let worst = self.table[shard].iter().copied().max_by(|&a, &b| {
                    let key = |node: NodePlace| (!self.closed[node], self.zone_neighbours(shard, node));
                    key(a).cmp(&key(b)).then(self.surplus(a).total_cmp(&self.surplus(b)))
                });
                self.remove(shard, worst.expect("more replicas than wanted, so there is one"));
            }
        }
        self.kept.clone_from(&self.table);
    }

    /// Gives every shard the replicas that it lacks.
    pub(super) fn fill(&mut self) {
        // All up to the rounded-down share first, or some nodes would stay below it while others are full.
        for rooms in [self.least.clone(), self.most.clone()] {
            for shard in 0..self.table.len() {
                let ranked = self.by_score(shard);
                while self.table[shard].len() < self.wanted(shard) {
                    let has_room = |&&node: &&NodePlace| self.load[node] < rooms[node] && self.fits(shard, node);
                    let Some(&node) = ranked.iter().find(has_room) else { break };
                    self.add(shard, node);
                }
            }
        }
        // What found no room goes to whoever can make room, or is nearest to having some.
        for shard in 0..self.table.len() {
            while self.table[shard].len() < self.wanted(shard) {
                if !self.fill_by_chain(shard) {
                    let node = self.least_crowded(shard);
                    self.add(shard, node);
                }
            }
        }
    }

    /// How many replicas the shard can have.
    fn wanted(&self, shard: usize) -> usize {
        let open = self.closed.iter().filter(|is_closed| !**is_closed).count();
        let kept = self.table[shard].iter().filter(|&&node| self.closed[node]).count();
        self.replicas.min(open + kept)
    }

    /// The node that takes one more replica of the shard with the least harm: zones first, then load.
    fn least_crowded(&self, shard: usize) -> NodePlace {
        let free = (0..self.load.len()).filter(|node| !self.closed[*node] && !self.table[shard].contains(node));
        let key = |node: NodePlace| (!self.fits(shard, node), self.surplus(node));
        free.min_by(|&a, &b| key(a).0.cmp(&key(b).0).then(key(a).1.total_cmp(&key(b).1)))
            .expect("fewer replicas than the shard can have, so one is free")
    }

    /// Finds room for one more replica of the shard where there was none. In the order of what it costs: replicas that
    /// have no data yet change places; a node goes one over a whole fair share, which the promise allows; any replica
    /// changes places.
    fn fill_by_chain(&mut self, shard: usize) -> bool {
        if self.fill_along_path(shard, Movable::New) {
            return true;
        }
        let is_whole = |node: NodePlace| self.least[node] == self.most[node];
        let slack = (0..self.load.len())
            .find(|&node| is_whole(node) && self.load[node] == self.most[node] && self.fits(shard, node));
        if let Some(node) = slack {
            self.add(shard, node);
            return true;
        }
        self.fill_along_path(shard, Movable::All)
    }

    fn fill_along_path(&mut self, shard: usize, movable: Movable) -> bool {
        let starts = self.by_score(shard).into_iter().filter(|&node| self.fits(shard, node)).collect();
        let Some(path) = self.path(starts, movable, |node| self.load[node] < self.most[node]) else { return false };
        let first = path.start;
        self.follow(path);
        self.add(shard, first);
        true
    }

    /// The shortest chain of transfers from one of the starts to a goal, breadth first.
    fn path(&self, starts: Vec<NodePlace>, movable: Movable, is_goal: impl Fn(NodePlace) -> bool) -> Option<Path> {
        let count = self.load.len();
        let mut came_by: Vec<Option<Transfer>> = vec![None; count];
        let mut is_seen: Vec<bool> = (0..count).map(|node| starts.contains(&node)).collect();
        let mut queue = starts;
        let mut next = 0;
        while let Some(&node) = queue.get(next) {
            next += 1;
            if is_goal(node) {
                let mut path = Path { start: node, transfers: Vec::new() };
                while let Some(transfer) = came_by[path.start] {
                    path.start = transfer.from;
                    path.transfers.push(transfer);
                }
                return Some(path);
            }
            for to in 0..count {
                if !is_seen[to]
                    && let Some(shard) = self.best_transfer(node, to, movable)
                {
                    is_seen[to] = true;
                    came_by[to] = Some(Transfer { shard, from: node, to });
                    queue.push(to);
                }
            }
        }
        None
    }

    fn follow(&mut self, path: Path) {
        for Transfer { shard, from, to } in path.transfers {
            self.transfer(shard, from, to);
        }
    }

    /// Moves replicas that share a zone while some zone has none of their shard (labels or nodes changed).
    pub(super) fn spread_over_zones(&mut self) {
        for shard in 0..self.table.len() {
            while self.zones_used(shard) < self.replicas.min(self.zone_count) {
                let movable = self.table[shard].iter().copied().filter(|&node| !self.closed[node]);
                let crowded = movable.filter(|&node| self.zone_neighbours(shard, node) > 0);
                let from = crowded.max_by(|&a, &b| self.surplus(a).total_cmp(&self.surplus(b)));
                let empty_zone =
                    |node: &NodePlace| self.table[shard].iter().all(|&held| self.zones[held] != self.zones[*node]);
                let to = (0..self.load.len())
                    .filter(|&node| !self.closed[node])
                    .filter(empty_zone)
                    .min_by(|&a, &b| self.surplus(a).total_cmp(&self.surplus(b)));
                let (Some(from), Some(to)) = (from, to) else { break };
                self.transfer(shard, from, to);
            }
        }
    }

    /// Moves replicas from nodes above their fair share to nodes below. What has no data yet is levelled to the rounded
    /// share; what has is moved only when a node is more than one shard above, or well below, or new.
    pub(super) fn level(&mut self) {
        while self.level_once(Movable::New) {}
        while self.level_once(Movable::All) {}
    }

    /// Each step lowers the distance of one node from its share and raises none, so the loop above ends.
    fn level_once(&mut self, movable: Movable) -> bool {
        let count = self.load.len();
        let open = || (0..count).filter(|&node| !self.closed[node]);
        let is_new = |node: NodePlace| self.kept.iter().all(|replicas| !replicas.contains(&node));
        let least_wanted = |node: NodePlace| match movable {
            Movable::New => self.least[node],
            Movable::All if is_new(node) => self.most[node].saturating_sub(1),
            Movable::All => self.most[node].saturating_sub(2),
        };
        let most_wanted = |node: NodePlace| match movable {
            Movable::New => self.most[node],
            Movable::All => self.least[node] + 1,
        };
        let needy = self.extreme(open().filter(|&node| self.load[node] < least_wanted(node)), -1.0);
        let path = needy.and_then(|needy| {
            let mut givers: Vec<NodePlace> = open().filter(|&node| self.load[node] > self.least[node]).collect();
            givers.sort_by(|&a, &b| self.surplus(b).total_cmp(&self.surplus(a)));
            self.path(givers, movable, |node| node == needy)
        });
        let path = path.or_else(|| {
            let full = self.extreme(open().filter(|&node| self.load[node] > most_wanted(node)), 1.0)?;
            self.path(vec![full], movable, |node| self.load[node] < self.most[node])
        });
        let found = path.is_some();
        if let Some(path) = path {
            self.follow(path);
        }
        found
    }

    /// The node with the largest surplus times `sign`.
    fn extreme(&self, nodes: impl Iterator<Item = NodePlace>, sign: f64) -> Option<NodePlace> {
        nodes.max_by(|&a, &b| (sign * self.surplus(a)).total_cmp(&(sign * self.surplus(b))).then(b.cmp(&a)))
    }

    /// Of the shards that can go from one node to the other, the one that suits the receiver best compared with the giver.
    fn best_transfer(&self, from: NodePlace, to: NodePlace, movable: Movable) -> Option<usize> {
        let gain = |shard: usize| self.scores[shard][to] / self.scores[shard][from];
        (0..self.table.len())
            .filter(|&shard| self.can_transfer(shard, from, to))
            .filter(|&shard| match movable {
                Movable::All => true,
                Movable::New => !self.kept[shard].contains(&from),
            })
            .max_by(|&a, &b| gain(a).total_cmp(&gain(b)))
    }

    fn can_transfer(&self, shard: usize, from: NodePlace, to: NodePlace) -> bool {
        let replicas = &self.table[shard];
        let is_fixed = self.closed[from] || self.closed[to];
        if is_fixed || from == to || !replicas.contains(&from) || replicas.contains(&to) {
            return false;
        }
        // The spread over zones must not get worse.
        let leaves_zone_empty = self.zone_neighbours(shard, from) == 0;
        let enters_empty_zone = replicas.iter().all(|&node| node == from || self.zones[node] != self.zones[to]);
        !leaves_zone_empty || enters_empty_zone
    }

    /// Whether a further replica of the shard may be there: a zone without one, as long as there is such a zone.
    fn fits(&self, shard: usize, node: NodePlace) -> bool {
        !self.closed[node]
            && !self.table[shard].contains(&node)
            && (self.zones_used(shard) == self.zone_count
                || self.table[shard].iter().all(|&held| self.zones[held] != self.zones[node]))
    }

    fn zones_used(&self, shard: usize) -> usize {
        let replicas = &self.table[shard];
        (0..replicas.len())
            .filter(|&place| replicas[..place].iter().all(|&node| self.zones[node] != self.zones[replicas[place]]))
            .count()
    }

    /// Other replicas of the shard in the node's zone.
    fn zone_neighbours(&self, shard: usize, node: NodePlace) -> usize {
        self.table[shard].iter().filter(|&&other| other != node && self.zones[other] == self.zones[node]).count()
    }

    fn surplus(&self, node: NodePlace) -> f64 {
        self.load[node] as f64 - self.shares[node]
    }

    fn by_score(&self, shard: usize) -> Vec<NodePlace> {
        let scores = &self.scores[shard];
        let mut ranked: Vec<NodePlace> = (0..scores.len()).collect();
        ranked.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        ranked
    }

    fn add(&mut self, shard: usize, node: NodePlace) {
        self.table[shard].push(node);
        self.load[node] += 1;
    }

    fn remove(&mut self, shard: usize, node: NodePlace) {
        self.table[shard].retain(|&held| held != node);
        self.load[node] -= 1;
    }

    fn transfer(&mut self, shard: usize, from: NodePlace, to: NodePlace) {
        self.remove(shard, from);
        self.add(shard, to);
    }
}
