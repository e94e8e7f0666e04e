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
//! | [`list`] | the hits of all answers in that order |
//! | [`distinct`] | one hit for each value of an attribute |
//! | [`facets`] | counts, their order and limits, minimum and maximum |
//! | [`facet_values`] | what of a document is sorted, counted and told apart |
//! | [`hit`], [`select`] | what a client may see of a hit |
//! | [`documents`] | lists of documents |
//! | [`sort_values`] | values of documents in the order of `sort`, where nodes give no score details |

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::json::Malformed;
use crate::meili::search::{Asked, Displayed, MAX_TOTAL_HITS_DEFAULT, Paging, Retrieved, SearchRequest};

pub mod answer;
pub mod distinct;
pub mod documents;
pub mod facet_values;
pub mod facets;
pub mod hit;
pub mod list;
pub mod rank;
pub mod select;
pub mod sort_values;

use answer::NodeAnswer;
use distinct::{Distinct, DistinctHits};
use facets::{FacetLimits, FacetMerge};
use hit::{Hit, HitView, Hits};
use list::{MergedHits, RankedHit};

/// What the user's settings say about answers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AnswerSettings {
    /// `displayedAttributes`.
    pub displayed: Displayed,
    /// `faceting`.
    pub facets: FacetLimits,
    /// `pagination.maxTotalHits`; none: the default.
    pub max_total_hits: Option<u64>,
    /// `distinctAttribute`.
    pub distinct: Option<String>,
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
            distinct: settings.get("distinctAttribute").and_then(Value::as_str).map(str::to_owned),
        }
    }

    /// `pagination.maxTotalHits`.
    pub fn max_total_hits(&self) -> u64 {
        self.max_total_hits.unwrap_or(MAX_TOTAL_HITS_DEFAULT)
    }
}

/// What the nodes were asked, which says how their answers are read.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The client's.
    pub request: &'a SearchRequest,
    /// The user's.
    pub settings: &'a AnswerSettings,
    /// Which hits.
    pub asked: Asked,
    /// One hit for each value.
    pub distinct: Option<Distinct<'a>>,
    /// What only the merge needs.
    pub retrieved: &'a Retrieved,
}

/// What else goes into the answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AnswerFrame {
    /// The whole, measured by who asks.
    pub processing_time_ms: u64,
    /// Shards are missing: the answer says `"degraded": true`.
    pub is_degraded: bool,
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
    /// More hits of some node are needed than it was asked for: ask again for more.
    #[error("more hits are needed than the nodes were asked for")]
    TooShallow,
    /// A node left out hits for the sake of one that is left out itself: ask again, with the walk over all hits done here.
    #[error("a hit that the whole leaves out has hidden others on its node")]
    HiddenByDropped,
}

impl From<Malformed> for MergeError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The client's answer from the bodies of the nodes' answers, in the order of the covering set.
///
/// # Errors
/// [`MergeError`]; after `TooShallow` and `HiddenByDropped` the nodes can be asked again.
pub fn merge(question: &Question<'_>, bodies: &[&str], frame: &AnswerFrame) -> Result<String, MergeError> {
    let Question { request, settings, .. } = question;
    let answers = bodies.iter().map(|body| NodeAnswer::read(body)).collect::<Result<Vec<_>, _>>()?;
    let capacity: usize = bodies.iter().map(|body| body.len()).max().unwrap_or_default();
    let mut text = String::with_capacity(capacity + 256);
    text.push_str("{\"hits\":[");
    let is_cut_off = write_hits(question, &answers, &mut text)?;
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
    if frame.is_degraded || is_cut_off {
        text.push_str(",\"degraded\":true");
    }
    text.push('}');
    Ok(text)
}

/// Writes the hits of the client's page; says whether a node ran out of time before it had ranked what it gave.
fn write_hits(question: &Question<'_>, answers: &[NodeAnswer<'_>], text: &mut String) -> Result<bool, MergeError> {
    let Question { request, settings, asked, distinct, retrieved } = *question;
    let view = HitView { displayed: &settings.displayed, retrieved, shows_details: request.shows_score_details() };
    let mut page = HitWriter { view, is_first: true, text };
    let asked = match asked {
        Asked::Page => {
            let mut is_cut_off = false;
            for answer in answers {
                let mut list = Hits::new(answer.hits);
                while let Some((hit, rank)) = list.next_hit()? {
                    is_cut_off |= rank.is_cut_off();
                    page.push(&hit)?;
                }
            }
            return Ok(is_cut_off);
        }
        Asked::First(asked) => asked,
    };
    let (offset, limit) = request.paging.window(settings.max_total_hits());
    let mut hits = MergedHits::of(answers, asked);
    if let Some(distinct) = distinct {
        let mut kept = DistinctHits::of(hits, distinct);
        write_page(|| kept.next_hit(), offset, limit, &mut page)?;
        return Ok(kept.is_cut_off());
    }
    write_page(|| hits.next_hit(), offset, limit, &mut page)?;
    Ok(hits.is_cut_off())
}

/// The hits from `offset` on, at most `limit`.
fn write_page<'a>(
    mut next_hit: impl FnMut() -> Result<Option<RankedHit<'a>>, MergeError>,
    offset: u64,
    limit: u64,
    page: &mut HitWriter<'_>,
) -> Result<(), MergeError> {
    if limit == 0 {
        return Ok(());
    }
    for taken in 0..offset.saturating_add(limit) {
        let Some(ranked) = next_hit()? else { break };
        if taken >= offset {
            page.push(&ranked.hit)?;
        }
    }
    Ok(())
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
        self.view.write(hit, self.text)
    }
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
