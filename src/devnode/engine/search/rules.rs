//! The ranking rules at work: each cuts a set of documents into buckets, best first.

use std::collections::BTreeSet;
use std::rc::Rc;

use roaring::RoaringBitmap;
use serde_json::Value;

use super::conditions::GraphRule;
use super::context::Context;
use super::graph::QueryGraph;
use super::graph_rule::GraphWalk;
use super::terms::ExactTerm;
use crate::devnode::engine::geo::Point;
use crate::devnode::engine::postings::WordId;
use crate::devnode::engine::query::MatchingStrategy;
use crate::devnode::engine::score::{ExactMatch, Score};
use crate::devnode::engine::settings::RankingRule;
use crate::devnode::engine::sort::{self, Criterion, SortKey};
use crate::devnode::engine::tokenize::bucketed_position;

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
}

/// The rules of a search, in order. Rules about words are left out of a placeholder search; what is sorted by twice
/// counts once.
pub(super) fn rules(
    settings: &[RankingRule],
    strategy: MatchingStrategy,
    criteria: &[Criterion],
    has_words: bool,
) -> Vec<Rule> {
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
            | RankingRule::Exactness
                if has_words =>
            {
                list.about_words(rule, strategy);
            }
            RankingRule::Words
            | RankingRule::Typo
            | RankingRule::Proximity
            | RankingRule::Attribute
            | RankingRule::AttributeRank
            | RankingRule::WordPosition
            | RankingRule::Exactness => {}
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
            (Self::Sort(criterion), _) => sorted(context, criterion, graph, universe),
            (Self::Graph(_) | Self::ExactAttribute, None) => {
                unreachable!("rules about words are left out of placeholder searches")
            }
        }
    }
}

impl RunningRule<'_> {
    /// The next bucket of the documents in `universe`; `None` after the last.
    pub(super) fn next_bucket(&mut self, context: &mut Context<'_>, universe: &RoaringBitmap) -> Option<Bucket> {
        match self {
            Self::Graph(walk) => walk.next_bucket(context, universe),
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
