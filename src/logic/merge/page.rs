//! The hits of the client's page, out of the answers of all nodes.

use super::answer::NodeAnswer;
use super::distinct::{Distinct, DistinctHits, Walk};
use super::distinct_totals::DistinctTotal;
use super::hit::Hits;
use super::list::{MergedHits, RankedHit};
use super::rank::Rank;
use super::{MergeError, Question};
use crate::meili::search::{Asked, Paging};

/// Nodes are asked this deep for the sake of an exact total, no deeper.
const TIES_MAX: u64 = 500;

/// The page, and what is known once its hits are.
#[derive(Debug, Default)]
pub struct Page<'a> {
    /// In order.
    pub hits: Vec<RankedHit<'a>>,
    /// A node ran out of time before it had ranked what it gave.
    pub is_cut_off: bool,
    /// Instead of the sum of the nodes' totals.
    pub total: Option<DistinctTotal>,
    /// Nodes may have left out what the whole would show.
    pub may_lack_hits: bool,
}

impl<'a> Page<'a> {
    /// What the client asks for.
    ///
    /// # Errors
    /// [`MergeError`]; after `TooShallow` and `HiddenByDropped` the nodes can be asked again.
    pub fn of(question: &Question<'_>, answers: &[NodeAnswer<'a>]) -> Result<Self, MergeError> {
        let Question { request, settings, asked, distinct, hidden_rule, .. } = *question;
        let Asked::First(asked) = asked else { return Self::whole(answers) };
        let (offset, limit) = request.paging.window(settings.max_total_hits());
        let mut page = Self::default();
        let mut hits = MergedHits::of(answers, asked);
        let Some((distinct, counts)) = distinct else {
            page.fill(|| hits.next_hit(), offset, limit)?;
            page.is_cut_off = hits.is_cut_off();
            return Ok(page);
        };
        let mut kept = DistinctHits::of(hits, distinct);
        let last = page.fill(|| kept.next_hit(), 0, offset.saturating_add(limit))?;
        let lacks_hits = kept.kept().hits < counts.values_and_without();
        if distinct.walk == Walk::NodesFirst && kept.kept().is_all && lacks_hits {
            // Some have several values; or a node gave fewer than it has, which happens where a value is the empty text.
            return Err(MergeError::HiddenByDropped);
        }
        // With a rule that tells all hits apart nobody knows which would tie without it.
        let paging = if request.is_never_exhaustive() { Paging::Window { offset, limit } } else { request.paging };
        if matches!(paging, Paging::Window { .. }) && hidden_rule.is_none() {
            match kept.walk_ties(last.as_ref()) {
                // So many ties that counting them would cost more than it is worth.
                Err(MergeError::TooShallow) if asked >= TIES_MAX => {}
                walked => walked?,
            }
        }
        page.is_cut_off = kept.is_cut_off();
        page.may_lack_hits = distinct.walk == Walk::NodesAnyway;
        let by_nodes = answers.iter().map(|answer| answer.total).sum();
        let dropped = page.cut(Some(distinct), offset)?;
        let total = counts.total(paging, kept.kept(), by_nodes);
        page.total = Some(DistinctTotal { total: total.total.saturating_sub(dropped), ..total });
        Ok(page)
    }

    /// Makes the page out of the hits from the first one to its end. Gives how many of them one server does not show.
    ///
    /// # Errors
    /// [`MergeError::Malformed`].
    pub fn cut(&mut self, distinct: Option<Distinct<'_>>, offset: u64) -> Result<u64, MergeError> {
        let dropped = match distinct {
            Some(Distinct { attribute, is_parameter: true, .. }) => self.drop_blank_texts(attribute)?,
            Some(_) | None => 0,
        };
        self.hits.drain(..self.hits.len().min(offset as usize));
        Ok(dropped)
    }

    /// How many hits of the page are there for their vectors.
    pub fn semantic_hit_count(&self) -> u64 {
        self.hits.iter().filter(|ranked| ranked.rank.is_by_vector()).count() as u64
    }

    /// Leaves out all hits with an empty text but the first one, as one server does with the hits up to the end of its page
    /// where the client names the attribute: the page is not full then. Gives how many those are.
    fn drop_blank_texts(&mut self, attribute: &str) -> Result<u64, MergeError> {
        let mut is_first = true;
        let mut shown = Vec::with_capacity(self.hits.len());
        let mut dropped = 0;
        for ranked in self.hits.drain(..) {
            let is_blank = ranked.hit.facet_values(attribute)?.has_blank_text();
            if is_blank && !std::mem::take(&mut is_first) {
                dropped += 1;
            } else {
                shown.push(ranked);
            }
        }
        self.hits = shown;
        Ok(dropped)
    }

    /// The hits from `offset` on, at most `limit`. Gives the rank of the last one if there are as many as that.
    fn fill(
        &mut self,
        mut next_hit: impl FnMut() -> Result<Option<RankedHit<'a>>, MergeError>,
        offset: u64,
        limit: u64,
    ) -> Result<Option<Rank<'a>>, MergeError> {
        let wanted = offset.saturating_add(limit);
        let mut last = None;
        for taken in 1..=wanted {
            let Some(ranked) = next_hit()? else { return Ok(None) };
            if taken == wanted {
                last = Some(ranked.rank.clone());
            }
            if taken > offset {
                self.hits.push(ranked);
            }
        }
        Ok(last)
    }

    /// The page as the only node that was asked gives it.
    fn whole(answers: &[NodeAnswer<'a>]) -> Result<Self, MergeError> {
        let mut page = Self::default();
        for (place, answer) in answers.iter().enumerate() {
            let mut list = Hits::new(answer.hits);
            while let Some((hit, rank)) = list.next_hit()? {
                page.is_cut_off |= rank.is_cut_off();
                page.hits.push(RankedHit { hit, rank, answer: place });
            }
        }
        Ok(page)
    }
}
