//! Hits that rules have pinned, among those that were found.
//!
//! Each node puts the pins of its documents at the beginning of its hits, under marks that say which pin of which rule it
//! has followed (see [`crate::logic::pins`]). Here they are taken out of the lists of the nodes, brought into the order of
//! their rules, and put among the other hits twice, as one server does:
//!
//! * First in the order of the rules: a pin whose place comes later holds up those behind it. This says which hits there are
//!   up to the end of the page.
//! * Then these are put in their places again, this time the pins in the order of their places.

use std::collections::VecDeque;

use super::MergeError;
use super::answer::NodeAnswer;
use super::facet_values::FacetValues;
use super::hit::Hits;
use super::list::RankedHit;
use crate::logic::pins::{FoundPin, PINS_MAX, PinBook};
use crate::logic::primary_key::id_in;

/// What is known of the pins of a search.
#[derive(Clone, Copy, Debug)]
pub struct Pinned<'a> {
    /// All pins.
    pub book: &'a PinBook,
    /// The client's name of the index.
    pub uid: &'a str,
    /// By which documents are told apart.
    pub primary_key: &'a str,
}

/// The pins of all nodes in the order of their rules.
#[derive(Debug, Default)]
pub struct Pins<'a> {
    /// Each with its place.
    pub hits: VecDeque<RankedHit<'a>>,
    /// They may be in another order or place than on one server, or some of them among the others.
    pub are_unsure: bool,
}

impl<'a> Pins<'a> {
    /// Of nodes that were asked for their first `asked` hits.
    ///
    /// # Errors
    /// [`MergeError::TooShallow`] when a node may have more pins, [`MergeError::Malformed`].
    pub fn of(answers: &[NodeAnswer<'a>], pinned: Pinned<'_>, asked: u64) -> Result<Self, MergeError> {
        let mut found: Vec<(usize, RankedHit<'a>)> = Vec::new();
        let mut unsure = 0;
        for (place, answer) in answers.iter().enumerate() {
            let mut list = Hits::new(answer.hits);
            let (mut read, mut others) = (0, 0);
            // Behind so many others no pin follows.
            while others <= pinned.book.marks() {
                let Some((hit, rank)) = list.next_hit()? else {
                    if read >= asked {
                        return Err(MergeError::TooShallow);
                    }
                    break;
                };
                read += 1;
                let Some(mark) = rank.pin() else {
                    others += 1;
                    continue;
                };
                let id = id_in(pinned.primary_key, hit.text()).map_err(|_| MergeError::Malformed)?;
                let unknown = FoundPin { order: usize::MAX, position: mark, is_sure: false };
                let pin = pinned.book.find(pinned.uid, &id, mark).unwrap_or(unknown);
                unsure += usize::from(!pin.is_sure);
                found.push((pin.order, RankedHit { hit, rank, answer: place, pin: Some(pin.position) }));
            }
        }
        found.sort_by_key(|(order, _)| *order);
        // Alone it has the place that it has.
        let are_unsure = unsure > 0 && found.len() > 1 || found.len() > PINS_MAX;
        Ok(Self { hits: found.into_iter().map(|(_, hit)| hit).collect(), are_unsure })
    }

    /// The next hit at this place of the whole list; the others come from `next_hit`.
    ///
    /// # Errors
    /// Those of `next_hit`.
    pub fn next(
        &mut self,
        place: u64,
        next_hit: impl FnOnce() -> Result<Option<RankedHit<'a>>, MergeError>,
    ) -> Result<Option<RankedHit<'a>>, MergeError> {
        let is_due = self.hits.front().and_then(|hit| hit.pin).is_some_and(|position| u64::from(position) <= place);
        if is_due {
            return Ok(self.hits.pop_front());
        }
        let other = next_hit()?;
        // Where there are no others left, late pins come before their places.
        Ok(other.or_else(|| self.hits.pop_front()))
    }

    /// The values that they have of an attribute, those of each.
    ///
    /// # Errors
    /// [`MergeError::Malformed`].
    pub fn facet_values(&self, attribute: &str) -> Result<Vec<FacetValues>, MergeError> {
        self.hits.iter().map(|ranked| ranked.hit.facet_values(attribute)).collect()
    }

    /// In the order of their places, those of one place as they are.
    #[must_use]
    pub fn by_position(mut self) -> Self {
        self.hits.make_contiguous().sort_by_key(|hit| hit.pin);
        self
    }
}

/// The same hits, with the pins in the order of their places.
pub fn in_place(hits: Vec<RankedHit<'_>>) -> Vec<RankedHit<'_>> {
    if hits.iter().all(|hit| hit.pin.is_none()) {
        return hits;
    }
    let wanted = hits.len();
    let (pins, others): (Vec<_>, Vec<_>) = hits.into_iter().partition(|hit| hit.pin.is_some());
    let mut pins = Pins { hits: pins.into(), are_unsure: false }.by_position();
    let mut others = others.into_iter();
    let mut placed = Vec::with_capacity(wanted);
    while let Ok(Some(hit)) = pins.next(placed.len() as u64, || Ok(others.next())) {
        placed.push(hit);
    }
    placed
}

#[cfg(test)]
mod tests;
