//! Differences that are known and explained. Each rule says which differences it covers, why they cannot be avoided, and how
//! many there may be; one more fails the test.

use super::compare::Aspect;
use super::queries::Query;

/// One explained class of differences.
pub struct Rule {
    /// For the report.
    pub name: &'static str,
    /// Why Miroir cannot answer the same.
    pub reason: &'static str,
    /// Which comparisons it applies to.
    pub applies: Applies,
    /// What it covers.
    pub covers: fn(query: &Query, aspect: Aspect) -> bool,
    /// In so many percent of all queries at most.
    pub percent_max: usize,
}

/// Which comparisons a rule applies to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applies {
    /// All of them.
    Always,
    /// Those with real nodes; embedded ones have no caps, and no estimates but under a threshold.
    RealNodes,
    /// That of an embedded node with a real one.
    Model,
}

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// Miroir, or another server of the same kind, with one server.
    Fleet,
    /// An embedded node with a real one.
    Model,
}

impl Applies {
    /// Whether the rule is to be asked.
    pub fn to(self, comparison: Comparison, has_real_nodes: bool) -> bool {
        match self {
            Self::Always => true,
            Self::RealNodes => has_real_nodes,
            Self::Model => comparison == Comparison::Model,
        }
    }
}

fn has_repeated_word(query: &Query) -> bool {
    let text = query.body.get("q").and_then(|text| text.as_str()).unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.iter().enumerate().any(|(place, word)| words[..place].contains(word))
}

/// All of them.
pub const RULES: &[Rule] = &[
    Rule {
        name: "estimated totals",
        reason: "`estimatedTotalHits` depends on how deep each node's search went; `page` and `hitsPerPage` are exact",
        applies: Applies::RealNodes,
        covers: |_, aspect| aspect == Aspect::Estimate,
        percent_max: 5,
    },
    Rule {
        name: "totals under a score threshold",
        reason: "how many documents reach the threshold is counted only as deep as each node's search went",
        applies: Applies::Always,
        covers: |query, aspect| {
            query.kind == "ranking score threshold" && matches!(aspect, Aspect::Total | Aspect::Estimate)
        },
        percent_max: 3,
    },
    Rule {
        name: "a node's own dictionary",
        reason: "which words a typo or a prefix expands to, and where a word is split, is capped and chosen by the words that \
                 the node itself has",
        applies: Applies::RealNodes,
        covers: |query, aspect| {
            ["typo", "prefix", "words", "matches", "everything"].iter().any(|part| query.kind.contains(part))
                && matches!(aspect, Aspect::Order | Aspect::Ties | Aspect::Body | Aspect::Total | Aspect::Facets)
        },
        percent_max: 1,
    },
    Rule {
        name: "a word that is asked for twice",
        reason: "the embedded node finds another position for the second of them than a real one does",
        applies: Applies::Model,
        covers: |query, aspect| aspect == Aspect::Order && has_repeated_word(query),
        percent_max: 2,
    },
];
