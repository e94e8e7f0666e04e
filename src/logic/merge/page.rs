//! The hits of the client's page, out of the answers of all nodes.

use super::answer::NodeAnswer;
use super::distinct::{Distinct, DistinctHits, Walk};
use super::distinct_totals::DistinctTotal;
use super::hit::Hits;
use super::list::{MergedHits, RankedHit};
use super::pins::{Pins, in_place};
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
    /// Hits that rules have pinned may be in another order than on one server.
    pub are_pins_unsure: bool,
    /// Hits by vectors from the first one to the end of the page, where rules have pinned some of the others.
    pub by_vector: Option<u64>,
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
        let wanted = offset.saturating_add(limit);
        let pins = question.pinned.filter(|_| wanted > 0).map(|pinned| Pins::of(answers, pinned, asked));
        let pins = pins.transpose()?.unwrap_or_default();
        let mut page = Self { are_pins_unsure: pins.are_unsure, ..Self::default() };
        let mut hits = MergedHits::of(answers, asked);
        let Some((distinct, counts)) = distinct else {
            if pins.hits.is_empty() {
                page.fill(|| hits.next_hit(), offset, limit)?;
            } else {
                page.fill_among(pins, || hits.next_hit(), wanted)?;
                page.cut(None, offset)?;
            }
            page.is_cut_off = hits.is_cut_off();
            return Ok(page);
        };
        let pins_found = pins.hits.len() as u64;
        let others = counts.less(&pins.facet_values(distinct.attribute)?);
        let mut kept = DistinctHits::of(hits, distinct);
        page.fill_among(pins, || kept.next_hit(), wanted)?;
        // One server looks for as many as if none were pinned.
        let last = kept.walk_to(wanted)?;
        let lacks_hits = kept.kept().hits < others.values_and_without();
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
        // Pins hide nothing that is like them, and nothing hides them, unless all that is alike counts once.
        let (counts, more) = match paging {
            Paging::Window { .. } => (&*others, pins_found),
            Paging::Page { .. } => (counts, 0),
        };
        let total = counts.total(paging, kept.kept(), by_nodes);
        page.total = Some(DistinctTotal { total: (total.total + more).saturating_sub(dropped), ..total });
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

    /// How many hits of the page are there for their vectors; where some are pinned one server counts from the first hit on.
    pub fn semantic_hit_count(&self) -> u64 {
        self.by_vector.unwrap_or_else(|| by_vector(&self.hits))
    }

    /// Counts hits by vectors, if any is pinned. To be done before the page is cut.
    pub fn count_by_vector(&mut self) {
        let has_pins = self.hits.iter().any(|ranked| ranked.pin.is_some());
        self.by_vector = has_pins.then(|| by_vector(&self.hits));
    }

    /// Leaves out all hits with an empty text but the first one, as one server does with the hits up to the end of its page
    /// where the client names the attribute: the page is not full then. Gives how many those are.
    fn drop_blank_texts(&mut self, attribute: &str) -> Result<u64, MergeError> {
        let mut is_first = true;
        let mut shown = Vec::with_capacity(self.hits.len());
        let mut dropped = 0;
        for ranked in self.hits.drain(..) {
            let is_blank = ranked.pin.is_none() && ranked.hit.facet_values(attribute)?.has_blank_text();
            if is_blank && !std::mem::take(&mut is_first) {
                dropped += 1;
            } else {
                shown.push(ranked);
            }
        }
        self.hits = shown;
        Ok(dropped)
    }

    /// The hits from `offset` on, at most `limit`.
    fn fill(
        &mut self,
        mut next_hit: impl FnMut() -> Result<Option<RankedHit<'a>>, MergeError>,
        offset: u64,
        limit: u64,
    ) -> Result<(), MergeError> {
        for taken in 1..=offset.saturating_add(limit) {
            let Some(ranked) = next_hit()? else { break };
            if taken > offset {
                self.hits.push(ranked);
            }
        }
        Ok(())
    }

    /// The first hits, so many, with the pins in their places.
    fn fill_among(
        &mut self,
        mut pins: Pins<'a>,
        mut next_hit: impl FnMut() -> Result<Option<RankedHit<'a>>, MergeError>,
        wanted: u64,
    ) -> Result<(), MergeError> {
        while (self.hits.len() as u64) < wanted {
            let Some(hit) = pins.next(self.hits.len() as u64, &mut next_hit)? else { break };
            self.hits.push(hit);
        }
        self.hits = in_place(std::mem::take(&mut self.hits));
        self.count_by_vector();
        Ok(())
    }

    /// The page as the only node that was asked gives it.
    fn whole(answers: &[NodeAnswer<'a>]) -> Result<Self, MergeError> {
        let mut page = Self::default();
        for (place, answer) in answers.iter().enumerate() {
            let mut list = Hits::new(answer.hits);
            while let Some((hit, rank)) = list.next_hit()? {
                page.is_cut_off |= rank.is_cut_off();
                page.hits.push(RankedHit { hit, rank, answer: place, pin: None });
            }
        }
        Ok(page)
    }
}

fn by_vector(hits: &[RankedHit<'_>]) -> u64 {
    hits.iter().filter(|ranked| ranked.rank.is_by_vector()).count() as u64
}
