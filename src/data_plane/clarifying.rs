//! A second round for facets: nodes whose lists of values were cut are asked for the counts of those values that could still
//! change the answer.
//!
//! A node that does not answer, or may not be asked so (filters on the attribute can be forbidden), leaves its doubt: the
//! merge says then that the facet is approximate.

use super::gather::all_in_order;
use super::reading::bodies_of;
use super::scatter::{Scattered, scatter};
use super::searching::Searching;
use super::upstream::NodeRequest;
use crate::logic::merge::MergeError;
use crate::logic::merge::answer::NodeAnswer;
use crate::logic::merge::facets::{Clarification, Doubt, FacetMerge};
use crate::logic::snapshot::{CoverPart, CoveringSet};

/// Questions about doubts that are under way at a time.
const AT_ONCE: usize = 8;

impl Searching<'_> {
    /// The facets of these answers, with as little doubt as can be; none where the client asks for none.
    ///
    /// # Errors
    /// An answer that is none.
    pub(super) async fn facets<'b>(
        &self,
        answers: &[NodeAnswer<'b>],
        scattered: &Scattered,
    ) -> Result<Option<FacetMerge<'b>>, MergeError> {
        if !self.request.has_facets() {
            return Ok(None);
        }
        let limits = &self.settings.facets;
        let (mut facets, doubts) = self.timed(|| {
            let facets = FacetMerge::of(answers, limits, &self.request.facets())?;
            let doubts = facets.doubts();
            Ok::<_, MergeError>((facets, doubts))
        })?;
        // Elsewhere one more filter would change more than what is counted.
        if !doubts.is_empty() && self.distinct().is_none() && self.request.counts_all_that_match() {
            let clarifications = self.clarify(doubts, scattered).await;
            self.timed(|| facets.clarify(&clarifications, limits))?;
        }
        Ok(Some(facets))
    }

    async fn clarify(&self, doubts: Vec<Doubt>, scattered: &Scattered) -> Vec<Clarification> {
        let asked = doubts.into_iter().map(|doubt| {
            let part = scattered.answers[doubt.answer].part.clone();
            self.clarify_one(doubt, part)
        });
        all_in_order(asked, AT_ONCE).await.into_iter().flatten().collect()
    }

    async fn clarify_one(&self, doubt: Doubt, part: CoverPart) -> Option<Clarification> {
        let target = format!("/indexes/{}/search", self.scope.index.node_uid);
        let make = |part: &CoverPart, _is_alone: bool| {
            let body = self.request.clarifying_body(&doubt.facet, &doubt.filter, part.filter.as_deref());
            NodeRequest::post_read(target.clone(), body)
        };
        let set = CoveringSet { parts: vec![part], missing: Vec::new() };
        let answered = scatter(self.core, self.scope, &set, make).await.ok()?;
        let bodies = bodies_of(&answered, self.scope.snapshot).ok()?.into_iter().map(str::to_owned).collect();
        answered.missing.is_empty().then_some(Clarification { facet: doubt.facet, answer: doubt.answer, bodies })
    }
}
