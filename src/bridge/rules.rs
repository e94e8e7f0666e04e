//! What the cores know of search rules.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::logic::ids::NodeId;
use crate::logic::pins::{NodeNames, PinBook};
use crate::logic::snapshot::IndexView;
use crate::meili::search_rules::SearchRules;

/// As of the last change that was begun.
#[derive(Clone, Debug, Default)]
pub struct RulesView {
    /// As clients know them.
    pub rules: Arc<SearchRules>,
    /// What the marks of nodes stand for that have them.
    pub book: Arc<PinBook>,
    /// What the indexes that rules name are called on these nodes.
    pub names: Arc<NodeNames>,
    /// Those that have them.
    pub told: BTreeSet<NodeId>,
    /// Grows with every change of what nodes are told.
    pub version: u64,
    /// When that was; none: there never was any.
    pub changed_at: Option<Instant>,
}

impl RulesView {
    /// Whether nodes that have the rules know an index by the name that it has there by now, if a rule names it.
    pub fn has_name(&self, index: &IndexView) -> bool {
        !self.book.names(index.uid.as_str()) || self.names.get(&index.uid) == Some(&index.node_uid)
    }
}
