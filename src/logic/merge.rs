//! From the answers of several nodes to the one answer that one big server would have given.
//!
//! * Hits are merged from lists that are each in order already, rule by rule as the engine compares (see [`rank`]). Equal
//!   hits keep their node's order, node by node in the order of the covering set.
//! * Hits stay slices of the nodes' answers. A hit is looked at only when it comes to the head of its node's list, and
//!   copied only when it is returned.
//! * Totals and facet counts are sums, since every document is counted by exactly one node.
//!
//! | module | concern |
//! |---|---|
//! | [`answer`] | taking a node's answer apart |
//! | [`rank`] | the order of hits |
//! | [`facets`] | counts, their order and limits, minimum and maximum |
//! | [`hit`] | what a client may see of a hit |
//! | [`documents`] | lists of documents |
//! | [`sort_values`] | values of documents in the order of `sort`, where nodes give no score details |

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::json::Malformed;
use crate::meili::search::{Displayed, MAX_TOTAL_HITS_DEFAULT, Paging, SearchRequest};

pub mod answer;
pub mod documents;
pub mod facets;
pub mod hit;
pub mod rank;
pub mod sort_values;

use answer::NodeAnswer;
use facets::{FacetLimits, FacetMerge};
use hit::{Hit, HitView, Hits};
use rank::Rank;

/// What the user's settings say about answers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AnswerSettings {
    /// `displayedAttributes`.
    pub displayed: Displayed,
    /// `faceting`.
    pub facets: FacetLimits,
    /// `pagination.maxTotalHits`; none: the default.
    pub max_total_hits: Option<u64>,
}

impl AnswerSettings {
    /// From the user's settings, of which only what was set is there.
    pub fn from_settings(settings: &Map<String, Value>) -> Self {
        Self {
            displayed: Displayed::from_settings(settings),
            facets: FacetLimits::from_settings(settings),
            max_total_hits: settings
                .get("pagination")
                .and_then(|value| value.get("maxTotalHits"))
                .and_then(Value::as_u64),
        }
    }

    /// `pagination.maxTotalHits`.
    pub fn max_total_hits(&self) -> u64 {
        self.max_total_hits.unwrap_or(MAX_TOTAL_HITS_DEFAULT)
    }
}

/// What else goes into the answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AnswerFrame {
    /// The whole, measured by who asks.
    pub processing_time_ms: u64,
    /// Shards are missing: the answer says `"degraded": true`.
    pub is_degraded: bool,
    /// The hits of the only answer are the page already: nothing to skip, nothing to compare.
    pub is_final_page: bool,
}

/// A node's answer is not what a node answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MergeError {
    /// It cannot be read.
    #[error("a node's answer is not a search answer")]
    Malformed,
    /// Facet values by count: there are more than nodes return, so the most frequent ones are not known.
    #[error("too many facet values to order them by count")]
    TooManyFacetValues,
}

impl From<Malformed> for MergeError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The client's answer from the bodies of the nodes' answers, in the order of the covering set.
pub fn merge(
    request: &SearchRequest,
    settings: &AnswerSettings,
    bodies: &[&str],
    frame: &AnswerFrame,
) -> Result<String, MergeError> {
    let answers = bodies.iter().map(|body| NodeAnswer::read(body)).collect::<Result<Vec<_>, _>>()?;
    let capacity: usize = bodies.iter().map(|body| body.len()).max().unwrap_or_default();
    let mut text = String::with_capacity(capacity + 256);
    text.push_str("{\"hits\":[");
    let view = HitView { displayed: &settings.displayed, shows_details: request.shows_score_details() };
    let mut hits = HitWriter { view, is_first: true, text: &mut text };
    if frame.is_final_page {
        for answer in &answers {
            let mut list = Hits::new(answer.hits, false);
            while let Some((hit, _)) = list.next_hit()? {
                hits.push(&hit)?;
            }
        }
    } else {
        let (offset, limit) = request.paging.window(settings.max_total_hits());
        write_page(&answers, offset as usize, limit as usize, &mut hits)?;
    }
    let query = serde_json::to_string(request.text()).expect("a string is always valid JSON");
    write!(text, "],\"query\":{query},\"processingTimeMs\":{}", frame.processing_time_ms).expect("strings take all");
    write_totals(request.paging, &answers, &mut text);
    if request.has_facets() {
        FacetMerge::of(&answers, &settings.facets)?.write(&settings.facets, &mut text)?;
    }
    if let Some(request_uid) = answers.iter().find_map(|answer| answer.request_uid) {
        write!(text, ",\"requestUid\":{request_uid}").expect("strings take all");
    }
    if request.shows_performance() {
        write!(text, ",\"performanceDetails\":{{\"search\":\"{}.00ms\"}}", frame.processing_time_ms)
            .expect("strings take all");
    }
    if frame.is_degraded {
        text.push_str(",\"degraded\":true");
    }
    text.push('}');
    Ok(text)
}

/// Hits as a JSON array without its brackets.
struct HitWriter<'a> {
    view: HitView<'a>,
    is_first: bool,
    text: &'a mut String,
}

impl HitWriter<'_> {
    fn push(&mut self, hit: &Hit<'_>) -> Result<(), MergeError> {
        if !std::mem::take(&mut self.is_first) {
            self.text.push(',');
        }
        Ok(self.view.write(hit, self.text)?)
    }
}

/// One node's hits from the one on that was not taken yet.
struct HitList<'a> {
    head: Option<(Hit<'a>, Rank<'a>)>,
    rest: Hits<'a>,
}

impl<'a> HitList<'a> {
    fn of(answer: &NodeAnswer<'a>) -> Result<Self, MergeError> {
        let mut list = Self { head: None, rest: Hits::new(answer.hits, true) };
        list.take_head()?;
        Ok(list)
    }

    fn take_head(&mut self) -> Result<Option<Hit<'a>>, MergeError> {
        let next = self.rest.next_hit()?;
        Ok(std::mem::replace(&mut self.head, next).map(|(hit, _)| hit))
    }
}

/// The hits from `offset` on, at most `limit`, over all answers in order.
fn write_page(
    answers: &[NodeAnswer<'_>],
    offset: usize,
    limit: usize,
    hits: &mut HitWriter<'_>,
) -> Result<(), MergeError> {
    let mut lists = answers.iter().map(HitList::of).collect::<Result<Vec<_>, _>>()?;
    for taken in 0..offset.saturating_add(limit) {
        let Some(best) = best_head(&lists) else { break };
        let hit = lists[best].take_head()?.expect("the best head is there");
        if taken >= offset {
            hits.push(&hit)?;
        }
    }
    Ok(())
}

/// The first of the best: equal hits come in the order of the answers.
fn best_head(lists: &[HitList<'_>]) -> Option<usize> {
    let mut best: Option<(usize, &Rank)> = None;
    for (place, list) in lists.iter().enumerate() {
        if let Some((_, rank)) = &list.head
            && best.is_none_or(|(_, best_rank)| rank.is_better_than(best_rank))
        {
            best = Some((place, rank));
        }
    }
    best.map(|(place, _)| place)
}

/// Totals count everything that matches: `maxTotalHits` bounds what can be paged to, not what is counted.
fn write_totals(paging: Paging, answers: &[NodeAnswer<'_>], text: &mut String) {
    let total: u64 = answers.iter().map(|answer| answer.total).sum();
    match paging {
        Paging::Window { offset, limit } => {
            write!(text, ",\"limit\":{limit},\"offset\":{offset},\"estimatedTotalHits\":{total}")
        }
        Paging::Page { page, hits_per_page } => {
            let pages = if hits_per_page == 0 { 0 } else { total.div_ceil(hits_per_page) };
            write!(
                text,
                ",\"hitsPerPage\":{hits_per_page},\"page\":{page},\"totalPages\":{pages},\"totalHits\":{total}"
            )
        }
    }
    .expect("strings take all");
}

#[cfg(test)]
mod tests;
