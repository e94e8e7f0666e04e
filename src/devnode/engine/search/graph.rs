//! The query graph: all ways to read the query, words alone or joined with their neighbours.
//!
//! Nodes are terms, an edge leads from a term to each that may follow; every path from start to end is one reading.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use charabia::Tokenizer;
use roaring::RoaringBitmap;

use super::context::Context;
use super::parse::LocatedTerm;
use super::terms::TermSubset;

/// The place of a node in its graph.
pub(super) type NodeId = usize;
/// The node before all terms.
pub(super) const START: NodeId = 0;
/// The node after all terms.
pub(super) const END: NodeId = 1;

/// What is left of a term, with its place in the query.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct LocatedSubset {
    pub(super) subset: TermSubset,
    /// First and last position.
    pub(super) positions: (u16, u16),
    /// First and last number among the query's terms.
    pub(super) term_numbers: (u8, u8),
}

impl LocatedSubset {
    /// How many terms of the query it stands for.
    pub(super) fn width(&self) -> u32 {
        u32::from(self.term_numbers.1 - self.term_numbers.0) + 1
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// `None` for start, end and removed nodes.
    pub(super) term: Option<LocatedSubset>,
    pub(super) before: BTreeSet<NodeId>,
    pub(super) after: BTreeSet<NodeId>,
}

/// See the head of the file.
#[derive(Clone, Debug)]
pub(super) struct QueryGraph {
    pub(super) nodes: Vec<Node>,
}

/// A path as pairs of what precedes a condition (if it looks at that) and what it ends in.
pub(super) type TermPath = Vec<(Option<LocatedSubset>, LocatedSubset)>;

impl QueryGraph {
    /// The graph of a query, and its terms with the joined ones added.
    pub(super) fn new(
        context: &mut Context<'_>,
        tokenizer: &Tokenizer<'_>,
        terms: &[LocatedTerm],
    ) -> (Self, Vec<LocatedTerm>) {
        let mut all_terms = terms.to_vec();
        let mut nodes = vec![Node::default(), Node::default()];
        for end in 0..terms.len() {
            for width in 1..=3.min(end + 1) {
                let start = end + 1 - width;
                let located = if width == 1 {
                    terms[end]
                } else {
                    match context.join_words(tokenizer, &terms[start..=end]) {
                        Some(joined) => {
                            all_terms.push(joined);
                            joined
                        }
                        None => continue,
                    }
                };
                let term = LocatedSubset {
                    subset: TermSubset::full(located.term),
                    positions: located.positions,
                    term_numbers: (start as u8, end as u8),
                };
                nodes.push(Node { term: Some(term), ..Node::default() });
            }
        }
        let mut graph = Self { nodes };
        graph.connect();
        (graph, all_terms)
    }

    /// Leads each node to those that begin at the nearest term behind it.
    fn connect(&mut self) {
        let begins = |term: &LocatedSubset| i32::from(term.term_numbers.0);
        for node in 0..self.nodes.len() {
            let end = match &self.nodes[node].term {
                Some(term) => i32::from(term.term_numbers.1),
                None if node == START => -1,
                None => continue,
            };
            let terms = self.nodes.iter().enumerate().filter_map(|(place, node)| Some((place, begins(&node.term?))));
            let behind: Vec<(NodeId, i32)> = terms.filter(|(_, begin)| *begin > end).collect();
            let after: BTreeSet<NodeId> = match behind.iter().map(|(_, begin)| *begin).min() {
                Some(nearest) => {
                    behind.iter().filter(|(_, begin)| *begin == nearest).map(|(place, _)| *place).collect()
                }
                None => BTreeSet::from([END]),
            };
            for next in &after {
                self.nodes[*next].before.insert(node);
            }
            self.nodes[node].after = after;
        }
    }

    /// Takes nodes out, leading what was before them to what was after.
    pub(super) fn remove_keeping_paths(&mut self, removed: impl IntoIterator<Item = NodeId>) {
        for node in removed {
            let Node { before, after, .. } = std::mem::take(&mut self.nodes[node]);
            for previous in &before {
                self.nodes[*previous].after.remove(&node);
                self.nodes[*previous].after.extend(&after);
            }
            for next in &after {
                self.nodes[*next].before.remove(&node);
                self.nodes[*next].before.extend(&before);
            }
        }
    }

    /// The terms with their nodes.
    pub(super) fn terms(&self) -> impl Iterator<Item = (NodeId, LocatedSubset)> {
        self.nodes.iter().enumerate().filter_map(|(place, node)| Some((place, node.term?)))
    }

    /// Groups of nodes in the order in which words are dropped from the end.
    pub(super) fn drop_order_last(&self, context: &Context<'_>) -> Vec<BTreeSet<NodeId>> {
        let last = self.terms().map(|(_, term)| term.term_numbers.1).max().unwrap_or(0);
        let first = self.terms().map(|(_, term)| term.term_numbers.0).min().unwrap_or(u8::MAX);
        if first >= last {
            return Vec::new();
        }
        self.drop_order(context, |number| u64::from(last - number))
    }

    /// Groups of nodes in the order in which words are dropped from the most frequent on.
    pub(super) fn drop_order_frequency(&self, context: &mut Context<'_>) -> Vec<BTreeSet<NodeId>> {
        let mut documents: BTreeMap<u8, RoaringBitmap> = BTreeMap::new();
        for (_, term) in self.terms() {
            let found = context.subset_documents(None, term.subset);
            for number in term.term_numbers.0..=term.term_numbers.1 {
                *documents.entry(number).or_default() |= &found;
            }
        }
        let frequency = |found: &RoaringBitmap| if found.is_empty() { u64::MAX } else { found.len() };
        let frequencies: BTreeMap<u8, u64> =
            documents.iter().map(|(number, found)| (*number, frequency(found))).collect();
        let ordered: BTreeSet<u64> = frequencies.values().copied().collect();
        let weight = |number: u8| {
            let own = frequencies.get(&number).copied().unwrap_or(0);
            ordered.iter().rev().take_while(|other| **other > own).count() as u64
        };
        self.drop_order(context, weight)
    }

    fn drop_order(&self, context: &Context<'_>, weight: impl Fn(u8) -> u64) -> Vec<BTreeSet<NodeId>> {
        let mut groups: BTreeMap<u64, BTreeSet<NodeId>> = BTreeMap::new();
        let mut one_stays = false;
        for (node, term) in self.terms() {
            if context.original_phrase(term.subset).is_some() || term.subset.is_mandatory {
                one_stays = true;
                continue;
            }
            let weight = (term.term_numbers.0..=term.term_numbers.1).map(&weight).max().unwrap_or(0);
            groups.entry(weight).or_default().insert(node);
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        if !one_stays {
            groups.pop();
        }
        groups
    }

    /// Words in the phrases that the user wrote.
    pub(super) fn words_in_phrases(&self, context: &Context<'_>) -> u32 {
        self.terms()
            .filter_map(|(_, term)| context.original_phrase(term.subset))
            .map(|phrase| context.phrase(phrase).iter().flatten().count() as u32)
            .sum()
    }

    /// The graph of the given paths; paths share their common ends.
    pub(super) fn from_paths(paths: &[TermPath]) -> Self {
        let mut nodes = vec![Node::default(), Node::default()];
        // A node is known by its term and all that follows it.
        let mut known: HashMap<Vec<LocatedSubset>, NodeId> = HashMap::new();
        for path in paths {
            let terms = merged(path);
            let mut previous = START;
            for place in 0..terms.len() {
                let node = *known.entry(terms[place..].to_vec()).or_insert_with(|| {
                    nodes.push(Node { term: Some(terms[place]), ..Node::default() });
                    nodes.len() - 1
                });
                nodes[previous].after.insert(node);
                nodes[node].before.insert(previous);
                previous = node;
            }
            nodes[previous].after.insert(END);
            nodes[END].before.insert(previous);
        }
        Self { nodes }
    }
}

/// The terms of a path; where one condition ends in the term that the next begins with, what both leave.
fn merged(path: &TermPath) -> Vec<LocatedSubset> {
    let mut terms: Vec<LocatedSubset> = Vec::with_capacity(path.len());
    for (start, end) in path {
        if let Some(start) = start {
            match terms.last_mut() {
                Some(last) if last.term_numbers == start.term_numbers => {
                    *last = LocatedSubset { subset: start.subset.intersection(last.subset), ..*start };
                }
                Some(_) | None => terms.push(*start),
            }
        }
        terms.push(*end);
    }
    terms
}
