//! Walks the query graph for one ranking rule: the cheapest paths first.
//!
//! A bucket is all documents that some path of one cost finds and no cheaper path found. What follows sees only the
//! paths that found something.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::rc::Rc;

use roaring::RoaringBitmap;

use super::conditions::{Condition, GraphRule, near_documents};
use super::context::Context;
use super::graph::{END, NodeId, QueryGraph, START};
use super::proximity::PairSets;
use super::rules::Bucket;
use super::terms::TermSubset;
use crate::devnode::engine::query::MatchingStrategy;
use crate::devnode::engine::score::Rank;

/// The place of a condition among those of a walk.
type ConditionId = usize;

#[derive(Debug)]
struct Edge {
    to: NodeId,
    cost: u64,
    /// `None` skips the term.
    condition: Option<ConditionId>,
    /// Terms that must be skipped too where this one is.
    skipped_too: Rc<BTreeSet<NodeId>>,
}

/// One rule at work on the documents of one bucket of the rule before.
pub(super) struct GraphWalk {
    rule: GraphRule,
    edges: Vec<Vec<Edge>>,
    conditions: Vec<Condition>,
    documents: Vec<Option<RoaringBitmap>>,
    pairs: HashMap<(TermSubset, TermSubset), PairSets>,
    /// The costs of all ways from each node to the end.
    costs_to_end: Vec<BTreeSet<u64>>,
    next_cost: u64,
    /// One above the highest cost.
    cost_limit: u64,
}

/// The state of one walk over the paths of one cost.
struct Visit<'a, 'c, 'i> {
    walk: &'a mut GraphWalk,
    context: &'c mut Context<'i>,
    /// Documents that no path has found yet.
    remaining: RoaringBitmap,
    found: RoaringBitmap,
    path: Vec<ConditionId>,
    visited: BTreeSet<NodeId>,
    good_paths: Vec<Vec<ConditionId>>,
}

impl GraphWalk {
    pub(super) fn new(context: &mut Context<'_>, rule: GraphRule, graph: &QueryGraph) -> Self {
        let mut walk = Self {
            rule,
            edges: Vec::with_capacity(graph.nodes.len()),
            conditions: Vec::new(),
            documents: Vec::new(),
            pairs: HashMap::new(),
            costs_to_end: vec![BTreeSet::new(); graph.nodes.len()],
            next_cost: 0,
            cost_limit: 1,
        };
        let skips = walk.skips(context, graph);
        let mut known: HashMap<Condition, ConditionId> = HashMap::new();
        for node in 0..graph.nodes.len() {
            let edges = walk.edges_of(context, graph, node, &skips, &mut known);
            walk.edges.push(edges);
        }
        walk.documents = vec![None; walk.conditions.len()];
        let mut done = vec![false; graph.nodes.len()];
        walk.find_costs(START, &mut done);
        walk.cost_limit += walk.costs_to_end[START].last().copied().unwrap_or(0);
        walk
    }

    /// For each term that the matching strategy may drop: those that are dropped before it.
    fn skips(&mut self, context: &mut Context<'_>, graph: &QueryGraph) -> HashMap<NodeId, Rc<BTreeSet<NodeId>>> {
        let GraphRule::Words(strategy) = self.rule else { return HashMap::new() };
        self.cost_limit += u64::from(graph.words_in_phrases(context).saturating_sub(1));
        let order = match strategy {
            MatchingStrategy::Last => graph.drop_order_last(context),
            MatchingStrategy::Frequency => graph.drop_order_frequency(context),
            MatchingStrategy::All => Vec::new(),
        };
        let mut skips = HashMap::new();
        let mut before = Rc::new(BTreeSet::new());
        for group in order {
            skips.extend(group.iter().map(|node| (*node, Rc::clone(&before))));
            before = Rc::new(before.union(&group).copied().collect());
        }
        skips
    }

    fn edges_of(
        &mut self,
        context: &mut Context<'_>,
        graph: &QueryGraph,
        node: NodeId,
        skips: &HashMap<NodeId, Rc<BTreeSet<NodeId>>>,
        known: &mut HashMap<Condition, ConditionId>,
    ) -> Vec<Edge> {
        let nothing = Rc::new(BTreeSet::new());
        let mut edges = Vec::new();
        for &to in &graph.nodes[node].after {
            let Some(term) = graph.nodes[to].term else {
                edges.push(Edge { to, cost: 0, condition: None, skipped_too: Rc::clone(&nothing) });
                continue;
            };
            if let Some(skipped_too) = skips.get(&to) {
                let cost = u64::from(term.width());
                edges.push(Edge { to, cost, condition: None, skipped_too: Rc::clone(skipped_too) });
            }
            for (cost, condition) in self.rule.steps(context, graph.nodes[node].term, term) {
                let next = self.conditions.len();
                let id = *known.entry(condition.clone()).or_insert(next);
                if id == next {
                    self.conditions.push(condition);
                }
                let skipped_too = Rc::clone(&nothing);
                edges.push(Edge { to, cost: u64::from(cost), condition: Some(id), skipped_too });
            }
        }
        edges
    }

    fn find_costs(&mut self, node: NodeId, done: &mut [bool]) {
        if std::mem::replace(&mut done[node], true) {
            return;
        }
        if node == END {
            self.costs_to_end[END].insert(0);
            return;
        }
        let steps: Vec<(NodeId, u64)> = self.edges[node].iter().map(|edge| (edge.to, edge.cost)).collect();
        for (to, cost) in steps {
            self.find_costs(to, done);
            let costs: Vec<u64> = self.costs_to_end[to].iter().map(|rest| rest + cost).collect();
            self.costs_to_end[node].extend(costs);
        }
    }

    /// The next bucket of the documents in `universe`; `None` after the last.
    pub(super) fn next_bucket(&mut self, context: &mut Context<'_>, universe: &RoaringBitmap) -> Option<Bucket> {
        let cost = *self.costs_to_end[START].range(self.next_cost..).next()?;
        self.next_cost = cost + 1;
        let rank = Rank { rank: (self.cost_limit - cost) as u32, max: self.cost_limit as u32 };
        let score = self.rule.score(rank);
        let mut visit = Visit {
            walk: self,
            context,
            remaining: universe.clone(),
            found: RoaringBitmap::new(),
            path: Vec::new(),
            visited: BTreeSet::new(),
            good_paths: Vec::new(),
        };
        // Whether the walk ended early does not matter: what was found is in the state.
        let _ = visit.node(START, cost, universe, &BTreeSet::new());
        let (documents, good_paths) = (visit.found, visit.good_paths);
        let paths: Vec<_> = good_paths
            .iter()
            .map(|path| path.iter().map(|id| self.conditions[*id].subsets(context)).collect::<Vec<_>>())
            .collect();
        let graph = QueryGraph::from_paths(&paths);
        Some(Bucket { graph: Some(Rc::new(graph)), documents, score })
    }

    fn condition_documents(
        &mut self,
        context: &mut Context<'_>,
        id: ConditionId,
        universe: &RoaringBitmap,
    ) -> &RoaringBitmap {
        let (condition, pairs) = (&self.conditions[id], &mut self.pairs);
        self.documents[id].get_or_insert_with(|| match condition {
            Condition::Near { left, right, cost } => {
                let sets = pairs
                    .entry((left.subset, right.subset))
                    .or_insert_with(|| context.pair_sets(left.subset, right.subset, universe));
                near_documents(sets, *right, *cost)
            }
            Condition::Term(_) | Condition::Exact(_) | Condition::InField { .. } | Condition::AtPositions { .. } => {
                context.condition_documents(condition, universe)
            }
        })
    }
}

impl Visit<'_, '_, '_> {
    /// Goes on from a node with the documents that the path so far finds.
    fn node(
        &mut self,
        node: NodeId,
        budget: u64,
        documents: &RoaringBitmap,
        must_skip: &BTreeSet<NodeId>,
    ) -> ControlFlow<()> {
        for place in 0..self.walk.edges[node].len() {
            let edge = &self.walk.edges[node][place];
            let (to, condition, skipped_too) = (edge.to, edge.condition, Rc::clone(&edge.skipped_too));
            let Some(rest) = budget.checked_sub(edge.cost) else { continue };
            if !self.walk.costs_to_end[to].contains(&rest) {
                continue;
            }
            let must_skip: BTreeSet<NodeId> = must_skip.union(&skipped_too).copied().collect();
            match condition {
                None if to == END => self.end(documents)?,
                None => self.node(to, rest, documents, &must_skip)?,
                Some(condition) => {
                    if must_skip.contains(&to) || !self.visited.is_disjoint(&skipped_too) {
                        continue;
                    }
                    let met = self.walk.condition_documents(self.context, condition, &self.remaining);
                    let documents = documents & met & &self.remaining;
                    if documents.is_empty() {
                        continue;
                    }
                    self.path.push(condition);
                    let is_first_visit = self.visited.insert(to);
                    let flow = self.node(to, rest, &documents, &must_skip);
                    if is_first_visit {
                        self.visited.remove(&to);
                    }
                    self.path.pop();
                    flow?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn end(&mut self, documents: &RoaringBitmap) -> ControlFlow<()> {
        let documents = documents & &self.remaining;
        if documents.is_empty() {
            return ControlFlow::Continue(());
        }
        self.good_paths.push(self.path.clone());
        self.remaining -= &documents;
        self.found |= documents;
        if self.remaining.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
