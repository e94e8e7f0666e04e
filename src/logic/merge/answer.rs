//! A node's answer to a search, taken apart without building anything.

use sonic_rs::to_array_iter;

use super::MergeError;
use crate::logic::marker::members;

/// Slices of one node's answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeAnswer<'a> {
    /// The hits, each an object.
    pub hits: Vec<&'a str>,
    /// `totalHits` or `estimatedTotalHits`.
    pub total: u64,
    /// An object of objects, if facets were asked for.
    pub facet_distribution: Option<&'a str>,
    /// An object of objects, if facets were asked for.
    pub facet_stats: Option<&'a str>,
    /// A string with its quotes.
    pub request_uid: Option<&'a str>,
}

impl<'a> NodeAnswer<'a> {
    /// Takes an answer apart.
    pub fn read(body: &'a str) -> Result<Self, MergeError> {
        let mut answer = Self::default();
        let mut has_hits = false;
        for member in members(body) {
            let member = member?;
            match member.key.as_ref() {
                "hits" => {
                    answer.hits = elements(member.value)?;
                    has_hits = true;
                }
                "totalHits" | "estimatedTotalHits" => {
                    answer.total = member.value.parse().map_err(|_| MergeError::Malformed)?;
                }
                "facetDistribution" => answer.facet_distribution = Some(member.value),
                "facetStats" => answer.facet_stats = Some(member.value),
                "requestUid" => answer.request_uid = Some(member.value),
                _ => {}
            }
        }
        if has_hits { Ok(answer) } else { Err(MergeError::Malformed) }
    }
}

/// The elements of a JSON array as they stand in the text.
pub(crate) fn elements(array: &str) -> Result<Vec<&str>, MergeError> {
    let base = array.as_ptr() as usize;
    let slice = |element: sonic_rs::Result<sonic_rs::LazyValue<'_>>| {
        let element = element.map_err(|_| MergeError::Malformed)?;
        let start = element.as_raw_str().as_ptr() as usize - base;
        Ok(start..start + element.as_raw_str().len())
    };
    to_array_iter(array).map(|element| slice(element).map(|range| &array[range])).collect()
}
