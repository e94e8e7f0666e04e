//! The ranking rules at work: each cuts a set of documents into buckets, best first.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use roaring::RoaringBitmap;
use serde_json::Value;

use super::conditions::GraphRule;
use super::context::Context;
use super::graph::QueryGraph;
use super::graph_rule::GraphWalk;
use super::terms::ExactTerm;
use crate::devnode::engine::geo::Point;
use crate::devnode::engine::index::Index;
use crate::devnode::engine::postings::WordId;
use crate::devnode::engine::query::MatchingStrategy;
use crate::devnode::engine::score::{ExactMatch, Score};
use crate::devnode::engine::settings::RankingRule;
use crate::devnode::engine::sort::{self, Criterion, SortKey};
use crate::devnode::engine::tokenize::bucketed_position;
use crate::devnode::engine::vectors;

/// One bucket of a rule.
pub(super) struct Bucket {
    /// The query as the rules that follow see it; `None` in a placeholder search.
    pub(super) graph: Option<Rc<QueryGraph>>,
    pub(super) documents: RoaringBitmap,
    pub(super) score: Score,
}

/// A rule, not yet at work.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    Graph(GraphRule),
    ExactAttribute,
    Sort(Criterion),
    Vector(Nearness),
}

/// A vector to be near to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) vector: Vec<f32>,
    /// The name of the embedder.
    pub(super) embedder: String,
}

/// A search by a vector.
#[derive(Clone, Debug)]
pub(super) struct Nearness {
    pub(super) target: Rc<Target>,
    /// How many documents are looked for at a time, among the first vectors, the second ones and so on.
    pub(super) limit: usize,
}

/// What stands for the rules about words.
pub(super) enum Words {
    /// Nothing: every document is found.
    None,
    Strategy(MatchingStrategy),
    Vector(Nearness),
}

/// A rule at work on one set of documents.
pub(super) enum RunningRule<'i> {
    Graph(Box<GraphWalk>),
    /// Buckets do not depend on the query; the last takes the rest.
    Listed {
        graph: Option<Rc<QueryGraph>>,
        buckets: Box<dyn Iterator<Item = (RoaringBitmap, Score)> + 'i>,
        rest: Score,
    },
    Nearest {
        nearness: Nearness,
        /// Distances and documents that were found and not yet given.
        found: VecDeque<(f32, u32)>,
    },
}

/// The rules of a search, in order. Rules about words are left out of a placeholder search, a vector takes the place of
/// the first; what is sorted by twice counts once.
pub(super) fn rules(settings: &[RankingRule], words: &Words, criteria: &[Criterion]) -> Vec<Rule> {
    let mut list = RuleList { rules: Vec::new(), sorted: BTreeSet::new(), seen: Vec::new() };
    for rule in settings {
        match rule {
            RankingRule::Sort if list.first_time(rule) => {
                for criterion in criteria {
                    list.sort(criterion.clone());
                }
            }
            RankingRule::Sort => {}
            RankingRule::Asc(field) | RankingRule::Desc(field) => {
                let is_ascending = matches!(rule, RankingRule::Asc(_));
                list.sort(Criterion { key: SortKey::Attribute(field.clone()), is_ascending });
            }
            RankingRule::Words
            | RankingRule::Typo
            | RankingRule::Proximity
            | RankingRule::Attribute
            | RankingRule::AttributeRank
            | RankingRule::WordPosition
            | RankingRule::Exactness => match words {
                Words::None => {}
                Words::Strategy(strategy) => list.about_words(rule, *strategy),
                Words::Vector(nearness) => {
                    if list.first_time(&RankingRule::Words) {
                        list.rules.push(Rule::Vector(nearness.clone()));
                    }
                }
            },
        }
    }
    list.rules
}

struct RuleList {
    rules: Vec<Rule>,
    sorted: BTreeSet<String>,
    seen: Vec<RankingRule>,
}

impl RuleList {
    fn first_time(&mut self, rule: &RankingRule) -> bool {
        let first = !self.seen.contains(rule);
        self.seen.push(rule.clone());
        first
    }

    fn sort(&mut self, criterion: Criterion) {
        let fresh = match &criterion.key {
            SortKey::Attribute(name) => self.sorted.insert(name.clone()),
            SortKey::Distance(_) => true,
        };
        if fresh {
            self.rules.push(Rule::Sort(criterion));
        }
    }

    fn about_words(&mut self, rule: &RankingRule, strategy: MatchingStrategy) {
        // `words` goes before every other rule about words; it has nothing to do where all words are needed.
        if self.first_time(&RankingRule::Words) && strategy != MatchingStrategy::All {
            self.rules.push(Rule::Graph(GraphRule::Words(strategy)));
        }
        let (unified, rank, position) = (RankingRule::Attribute, RankingRule::AttributeRank, RankingRule::WordPosition);
        let seen = |rules: &[&RankingRule]| rules.iter().any(|rule| self.seen.contains(rule));
        let taken = match rule {
            RankingRule::Attribute => seen(&[&unified, &rank, &position]),
            RankingRule::AttributeRank => seen(&[&unified, &rank]),
            RankingRule::WordPosition => seen(&[&unified, &position]),
            RankingRule::Words => true,
            RankingRule::Typo
            | RankingRule::Proximity
            | RankingRule::Sort
            | RankingRule::Exactness
            | RankingRule::Asc(_)
            | RankingRule::Desc(_) => seen(&[rule]),
        };
        if taken {
            return;
        }
        self.seen.push(rule.clone());
        self.rules.extend(match rule {
            RankingRule::Typo => vec![Rule::Graph(GraphRule::Typo)],
            RankingRule::Proximity => vec![Rule::Graph(GraphRule::Proximity)],
            RankingRule::Attribute => vec![Rule::Graph(GraphRule::Field), Rule::Graph(GraphRule::Position)],
            RankingRule::AttributeRank => vec![Rule::Graph(GraphRule::Field)],
            RankingRule::WordPosition => vec![Rule::Graph(GraphRule::Position)],
            RankingRule::Exactness => vec![Rule::ExactAttribute, Rule::Graph(GraphRule::Exactness)],
            RankingRule::Words | RankingRule::Sort | RankingRule::Asc(_) | RankingRule::Desc(_) => Vec::new(),
        });
    }
}

impl Rule {
    /// Puts the rule to work on the documents of a bucket of the rule before.
    pub(super) fn start<'i>(
        &self,
        context: &mut Context<'i>,
        graph: Option<&Rc<QueryGraph>>,
        universe: &RoaringBitmap,
    ) -> RunningRule<'i> {
        match (self, graph) {
            (Self::Graph(rule), Some(query)) => RunningRule::Graph(Box::new(GraphWalk::new(context, *rule, query))),
            (Self::ExactAttribute, Some(query)) => {
                let [whole, start] = exact_attributes(context, query, universe);
                let buckets = vec![
                    (whole, Score::ExactAttribute(ExactMatch::Whole)),
                    (start, Score::ExactAttribute(ExactMatch::Start)),
                ];
                let rest = Score::ExactAttribute(ExactMatch::No);
                RunningRule::Listed { graph: graph.cloned(), buckets: Box::new(buckets.into_iter()), rest }
            }
            (Self::Vector(nearness), _) => {
                RunningRule::Nearest { nearness: nearness.clone(), found: nearness.find(context.index, universe) }
            }
            (Self::Sort(criterion), _) => sorted(context, criterion, graph, universe),
            (Self::Graph(_) | Self::ExactAttribute, None) => {
                unreachable!("rules about words are left out of placeholder searches")
            }
        }
    }
}

impl Nearness {
    /// The nearest documents, `limit` of the first vectors of documents, `limit` of the second ones, and so on.
    fn find(&self, index: &Index, universe: &RoaringBitmap) -> VecDeque<(f32, u32)> {
        let mut found = Vec::new();
        for place in 0.. {
            let distance = |document: u32| {
                let vector = index.embeddings(document, &self.target.embedder).get(place)?;
                Some((vectors::distance(&self.target.vector, vector), document))
            };
            let mut documents: Vec<(f32, u32)> = universe.iter().filter_map(distance).collect();
            if documents.is_empty() {
                break;
            }
            documents.sort_by(|left, right| left.0.total_cmp(&right.0));
            documents.truncate(self.limit);
            found.extend(documents);
        }
        found.sort_by(|left, right| left.0.total_cmp(&right.0));
        found.into()
    }

    /// The nearest documents of those found; when they are used up others are looked for.
    fn next_bucket(&self, index: &Index, found: &mut VecDeque<(f32, u32)>, universe: &RoaringBitmap) -> Bucket {
        let bucket = |documents, similarity| Bucket { graph: None, documents, score: Score::Vector(similarity) };
        for _ in 0..2 {
            while let Some((distance, _)) = found.front().copied() {
                let mut documents = RoaringBitmap::new();
                while let Some((_, document)) = found.pop_front_if(|(other, _)| other.total_cmp(&distance).is_eq()) {
                    documents.insert(document);
                }
                documents &= universe;
                if !documents.is_empty() {
                    let embedder = index.settings.embedders.get(&self.target.embedder);
                    return bucket(documents, embedder.map(|embedder| vectors::similarity(distance, embedder)));
                }
            }
            *found = self.find(index, universe);
        }
        bucket(universe.clone(), None)
    }
}

impl RunningRule<'_> {
    /// The next bucket of the documents in `universe`; `None` after the last.
    pub(super) fn next_bucket(&mut self, context: &mut Context<'_>, universe: &RoaringBitmap) -> Option<Bucket> {
        match self {
            Self::Graph(walk) => walk.next_bucket(context, universe),
            Self::Nearest { nearness, found } => Some(nearness.next_bucket(context.index, found, universe)),
            Self::Listed { graph, buckets, rest } => Some(match buckets.next() {
                Some((documents, score)) => Bucket { graph: graph.clone(), documents: documents & universe, score },
                None => Bucket { graph: graph.clone(), documents: universe.clone(), score: rest.clone() },
            }),
        }
    }
}

fn sorted<'i>(
    context: &Context<'i>,
    criterion: &Criterion,
    graph: Option<&Rc<QueryGraph>>,
    universe: &RoaringBitmap,
) -> RunningRule<'i> {
    let (index, is_ascending) = (context.index, criterion.is_ascending);
    let graph = graph.cloned();
    match &criterion.key {
        SortKey::Attribute(field) => {
            let displayed = index.settings.displayed_attributes.as_ref();
            let is_hidden = displayed.is_some_and(|list| !list.contains(field));
            let field = field.clone();
            let groups = sort::value_groups(index, &field, is_ascending, universe);
            let score = move |value: Value| Score::Sort { field: field.clone(), is_ascending, value, is_hidden };
            let rest = score(Value::Null);
            RunningRule::Listed {
                graph,
                buckets: Box::new(groups.map(move |(value, group)| (group, score(value)))),
                rest,
            }
        }
        SortKey::Distance(target) => {
            let target = *target;
            let score = move |point: Option<Point>| Score::Geo { target, is_ascending, point };
            let groups = sort::distance_groups(index, target, is_ascending, universe).into_iter();
            let buckets = Box::new(groups.map(move |(point, group)| (group, score(Some(point)))));
            RunningRule::Listed { graph, buckets, rest: score(None) }
        }
    }
}

/// Documents with an attribute that is the whole query, and those with one that begins with it.
fn exact_attributes(context: &mut Context<'_>, graph: &QueryGraph, universe: &RoaringBitmap) -> [RoaringBitmap; 2] {
    let mut terms: Vec<(u8, u16, ExactTerm, u16)> = graph
        .terms()
        .filter_map(|(_, term)| {
            let exact = context.exact_term(term.subset)?;
            let width = term.positions.1.wrapping_sub(term.positions.0) + 1;
            Some((term.term_numbers.0, term.positions.0, exact, width))
        })
        .collect();
    terms.sort_by_key(|term| term.0);
    terms.dedup_by_key(|term| term.0);
    let has_hole = terms.iter().enumerate().any(|(place, term)| usize::from(term.0) != place);
    if terms.is_empty() || has_hole {
        return Default::default();
    }
    let word_count: usize = terms.iter().map(|term| usize::from(term.3)).sum();
    let placed: Vec<(WordId, u16)> = terms
        .iter()
        .flat_map(|(_, start, exact, _)| {
            let words = match exact {
                ExactTerm::Word(word) => vec![Some(*word)],
                ExactTerm::Phrase(phrase) => context.phrase(*phrase).clone(),
            };
            let places = words.into_iter().zip(*start..);
            places.filter_map(|(word, place)| Some((word?, place))).collect::<Vec<_>>()
        })
        .collect();
    let postings = &context.index.postings;
    let mut candidates = universe.clone();
    for (word, place) in &placed {
        let at_place = postings.postings(*word).and_then(|entry| entry.by_position.get(&bucketed_position(*place)));
        match at_place {
            Some(documents) => candidates &= documents,
            None => candidates.clear(),
        }
    }
    let [mut whole, mut start] = [RoaringBitmap::new(), RoaringBitmap::new()];
    if candidates.is_empty() {
        return [whole, start];
    }
    let settings = &context.index.settings;
    for (field, _) in context.index.fields.iter().filter(|(_, name)| settings.searchable(name).0.is_yes()) {
        if !context.is_searched(field) {
            continue;
        }
        let in_field = placed.iter().try_fold(candidates.clone(), |all, (word, _)| {
            postings.postings(*word).and_then(|entry| entry.by_field.get(&field)).map(|documents| all & documents)
        });
        let Some(in_field) = in_field.filter(|documents| !documents.is_empty()) else { continue };
        let counted = u8::try_from(word_count).ok().and_then(|count| postings.with_word_count(field, count));
        match counted {
            Some(counted) => {
                whole |= &in_field & counted;
                start |= in_field - counted;
            }
            None => start |= in_field,
        }
    }
    [whole, start]
}
