//! How many hits there are where only one of each value is shown.
//!
//! The nodes cannot say: what one of them shows, another may leave out. They count the documents of every value instead,
//! beside the search. One server counts in two ways, both over documents with one value each:
//!
//! * With `page`: one document for each value, and all that have none.
//! * With `limit`: every match, less those that are left out for the sake of a hit that was looked at. Looked at are the hits
//!   up to the end of the page, and with ranking rules all that tie with the last one.
//!
//! Where there are no more hits than those that were looked at, those are the total.
//!
//! With several values in a document both are approximate: the first depends on the order of the documents in one server, and
//! who is left out for which value is not counted, but taken from how many values a document has on average.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::MergeError;
use super::answer::NodeAnswer;
use super::distinct::Kept;
use super::facet_values::FacetValues;
use super::facets::normalize;
use crate::logic::json::members;
use crate::meili::search::Paging;

/// Documents that match, by their value.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ValueCounts {
    /// All that match.
    total: u64,
    /// Those of them that have no value.
    without: u64,
    by_value: HashMap<String, u64>,
    /// No node has more values than it said.
    is_complete: bool,
    /// Else the nodes could not be asked, and all else is nothing.
    is_counted: bool,
}

/// A total, and whether it is that of one server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DistinctTotal {
    /// Hits.
    pub total: u64,
    /// Else it may be a little off.
    pub is_exact: bool,
}

impl ValueCounts {
    /// From answers that list the values of the attribute as a facet, `values_max` of them at most, and answers about the
    /// documents without a value.
    ///
    /// # Errors
    /// [`MergeError::Malformed`].
    pub fn read(bodies: &[&str], without: &[&str], attribute: &str, values_max: u64) -> Result<Self, MergeError> {
        let mut counts = Self { is_complete: true, is_counted: true, ..Self::default() };
        for body in without {
            counts.without += NodeAnswer::read(body)?.total;
        }
        for body in bodies {
            let answer = NodeAnswer::read(body)?;
            counts.total += answer.total;
            let Some(distribution) = answer.facet_distribution else { continue };
            for facet in members(distribution) {
                let facet = facet?;
                if facet.key != attribute {
                    continue;
                }
                let mut listed = 0;
                for value in facet.value.members()? {
                    let value = value?;
                    let count: u64 = value.value.text.parse().map_err(|_| MergeError::Malformed)?;
                    *counts.by_value.entry(normalize(&value.key)).or_default() += count;
                    listed += 1;
                }
                counts.is_complete &= listed < values_max;
            }
        }
        Ok(counts)
    }

    /// The same, when some shards were not counted.
    #[must_use]
    pub fn of_some_shards(self) -> Self {
        Self { is_complete: false, ..self }
    }

    /// Without documents that have these values.
    #[must_use]
    pub fn less(&self, documents: &[FacetValues]) -> Cow<'_, Self> {
        if documents.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut less = self.clone();
        for values in documents {
            less.total = less.total.saturating_sub(1);
            if values.numbers.is_empty() && values.texts.is_empty() {
                less.without = less.without.saturating_sub(1);
            }
            let numbers = values.numbers.iter().map(|number| (number + 0.0).to_string());
            for value in numbers.chain(values.texts.iter().cloned()) {
                if let Entry::Occupied(mut count) = less.by_value.entry(value) {
                    *count.get_mut() -= 1;
                    if *count.get() == 0 {
                        count.remove();
                    }
                }
            }
        }
        Cow::Owned(less)
    }

    /// So many hits there are at most: one for each value, and those that have none.
    pub fn values_and_without(&self) -> u64 {
        if !self.is_counted {
            return u64::MAX;
        }
        self.by_value.len() as u64 + self.without
    }

    /// What one server would say after it has kept these hits. `by_nodes` is the sum of what the nodes say, each of its own
    /// hits: the best that is left where there are more values than they list.
    pub fn total(&self, paging: Paging, kept: &Kept, by_nodes: u64) -> DistinctTotal {
        if !self.is_counted {
            return DistinctTotal { total: by_nodes.max(kept.hits), is_exact: false };
        }
        let with_values: u64 = self.by_value.values().sum();
        let has_several = with_values + self.without != self.total;
        match paging {
            Paging::Page { .. } => {
                let total = if self.is_complete { self.values_and_without() } else { by_nodes.max(kept.hits) };
                DistinctTotal { total, is_exact: self.is_complete && !has_several }
            }
            Paging::Window { .. } if kept.is_all => DistinctTotal { total: kept.hits, is_exact: !has_several },
            Paging::Window { .. } => {
                let left_out = |value: String| self.by_value.get(&value).map_or(0, |count| count.saturating_sub(1));
                let left_out: u64 = kept.values().map(left_out).sum();
                let left_out = if has_several { self.documents_of(left_out, with_values) } else { left_out };
                let is_exact = self.is_complete && !has_several && kept.has_all_ties;
                DistinctTotal { total: self.total.saturating_sub(left_out).max(kept.hits), is_exact }
            }
        }
    }

    /// About how many documents have so many of all the values that documents have.
    fn documents_of(&self, values: u64, with_values: u64) -> u64 {
        let documents = u128::from(self.total.saturating_sub(self.without));
        (u128::from(values) * documents / u128::from(with_values.max(1))) as u64
    }
}
