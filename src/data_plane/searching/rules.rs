//! Searches while search rules change: nodes are told one after the other, and what they say is read by what they were told.

use std::sync::Arc;
use std::time::Duration;

use super::Searching;
use crate::bridge::rules::RulesView;
use crate::logic::snapshot::{CoverPart, CoveringSet};
use crate::meili::features::Feature;
use crate::telemetry::clock;

/// Nodes that are told are expected to have the rules within this time; longer nobody waits for them.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// A search waits so long for them, in milliseconds.
const WAIT_MAX_MS: u64 = 1_000;
/// Between two looks, in milliseconds.
const LOOK_EVERY_MS: u64 = 10;

/// The rules that a search goes by; none where no rule concerns the index.
pub(super) struct SearchedBy(Option<Arc<RulesView>>);

/// How the rules stand once an answer is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// All nodes have gone by them.
    Right,
    /// They were changed while nodes were asked.
    Changed,
    /// Some node may not have gone by them.
    Unsettled,
}

impl SearchedBy {
    /// The rules themselves.
    pub(super) fn view(&self) -> Option<&RulesView> {
        self.0.as_deref()
    }

    pub(super) fn judge(&self, searching: &Searching<'_>, set: &CoveringSet) -> Verdict {
        let now = searching.core.bridge.rules.load();
        match &self.0 {
            None if !now.book.concerns(searching.scope.index.uid.as_str()) => return Verdict::Right,
            Some(view) if view.version == now.version => {}
            None | Some(_) => return Verdict::Changed,
        }
        if searching.is_told(&now, set) { Verdict::Right } else { Verdict::Unsettled }
    }
}

impl Searching<'_> {
    /// The rules once all nodes have them that are asked, or after having waited for that.
    pub(super) async fn settled_rules(&self, set: &CoveringSet) -> SearchedBy {
        let until = self.core.now().plus_ms(WAIT_MAX_MS);
        loop {
            // Most searches are concerned by none: they count no reference.
            if !self.core.bridge.rules.load().book.concerns(self.scope.index.uid.as_str()) {
                return SearchedBy(None);
            }
            let view = self.core.bridge.rules.load_full();
            if self.is_told(&view, set) {
                return SearchedBy(Some(view));
            }
            let is_new = view.changed_at.is_some_and(|at| clock::instant().duration_since(at) < TOLD_WITHIN);
            let is_hopeful = is_new || !view.has_name(self.scope.index);
            if !is_hopeful || self.core.now() >= until {
                return SearchedBy(Some(view));
            }
            self.core.timers.sleep_until(self.core.now().plus_ms(LOOK_EVERY_MS)).await;
        }
    }

    /// Whether the nodes that this search asks go by these rules.
    fn is_told(&self, view: &RulesView, set: &CoveringSet) -> bool {
        if !self.core.bridge.features.load().has(Feature::DynamicSearchRules) {
            return true;
        }
        let nodes = &self.scope.snapshot.nodes;
        let is_told = |part: &CoverPart| view.told.contains(&nodes[usize::from(part.node.0)].id);
        view.has_name(self.scope.index) && set.parts.iter().all(is_told)
    }
}
