//! Differences that are known and explained. Each rule says which differences it covers, why they cannot be avoided, and how
//! many there may be; one more fails the test.

use super::compare::Aspect;

/// One explained class of differences.
pub struct Rule {
    /// For the report.
    pub name: &'static str,
    /// Why Miroir cannot answer the same.
    pub reason: &'static str,
    /// Applies to real nodes only; embedded ones have no caps, and no estimates but under a threshold.
    pub real_nodes_only: bool,
    /// What it covers.
    pub covers: fn(kind: &str, aspect: Aspect) -> bool,
    /// In so many percent of all queries at most.
    pub percent_max: usize,
}

/// All of them.
pub const RULES: &[Rule] = &[
    Rule {
        name: "estimated totals",
        reason: "`estimatedTotalHits` depends on how deep each node's search went; `page` and `hitsPerPage` are exact",
        real_nodes_only: true,
        covers: |_, aspect| aspect == Aspect::Estimate,
        percent_max: 5,
    },
    Rule {
        name: "totals under a score threshold",
        reason: "how many documents reach the threshold is counted only as deep as each node's search went",
        real_nodes_only: false,
        covers: |kind, aspect| kind == "ranking score threshold" && matches!(aspect, Aspect::Total | Aspect::Estimate),
        percent_max: 3,
    },
    Rule {
        name: "a node's own dictionary",
        reason: "which words a typo or a prefix expands to, and where a word is split, is capped and chosen by the words that \
                 the node itself has",
        real_nodes_only: true,
        covers: |kind, aspect| {
            ["typo", "prefix", "words", "matches", "everything"].iter().any(|part| kind.contains(part))
                && matches!(aspect, Aspect::Order | Aspect::Ties | Aspect::Body | Aspect::Total | Aspect::Facets)
        },
        percent_max: 3,
    },
];
