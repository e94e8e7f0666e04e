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
//! | [`score_values`] | the order of hits of different queries |
//! | [`federation`] | from the answers to several queries to one list of hits |
//! | [`hybrid`] | hits by words and hits by vectors as one list |
//! | [`list`] | the hits of all answers in that order |
//! | [`distinct`], [`distinct_totals`] | one hit for each value of an attribute; how many there are then |
//! | [`page`], [`pins`], [`deep`] | the client's page of them, with pinned hits; pages whose documents are fetched apart |
//! | [`facets`] | counts, their order and limits, minimum and maximum |
//! | [`facet_values`] | what of a document is sorted, counted and told apart |
//! | [`facet_hits`] | facet search: the same for values that were searched for |
//! | [`hit`] | what a client may see of a hit |
//! | [`similar`] | documents near to one |
//! | [`documents`], [`hydration`] | lists of documents; documents of other indexes in the place of their ids |
//! | [`sort_values`] | values of documents in the order of `sort`, where nodes give no score details |

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::json::Malformed;
use crate::meili::search::{Asked, Displayed, MAX_TOTAL_HITS_DEFAULT, Paging, Retrieved, SearchRequest};

pub mod answer;
pub mod deep;
pub mod distinct;
pub mod distinct_totals;
pub mod documents;
pub mod facet_hits;
pub mod facet_values;
pub mod facets;
pub mod federation;
pub mod hit;
pub mod hybrid;
pub mod hydration;
pub mod list;
pub mod page;
pub mod pins;
pub mod rank;
pub mod score_values;
pub mod similar;
pub mod sort_values;

use answer::NodeAnswer;
use deep::Documents;
use distinct::Distinct;
use distinct_totals::ValueCounts;
use facets::{FacetLimits, FacetMerge};
use hit::HitView;
use page::Page;
use pins::Pinned;

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
    /// One hit for each value, and how many documents have each.
    pub distinct: Option<(Distinct<'a>, &'a ValueCounts)>,
    /// Where rules may have pinned hits.
    pub pinned: Option<Pinned<'a>>,
    /// What only the merge needs.
    pub retrieved: &'a Retrieved,
    /// A ranking rule that the nodes have and the user's settings have not.
    pub hidden_rule: Option<&'a str>,
    /// Hits have a `_rankingScore` that is not for the client.
    pub hides_score: bool,
}

/// What else goes into the answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AnswerFrame<'a> {
    /// The whole, measured by who asks.
    pub processing_time_ms: u64,
    /// Shards are missing: the answer says `"degraded": true`.
    pub is_degraded: bool,
    /// Where they were asked for.
    pub facets: Option<FacetMerge<'a>>,
    /// The vector that was searched by, as JSON, where the client wants to see it.
    pub query_vector: Option<String>,
    /// How many hits vectors brought; none in a search by words.
    pub semantic_hit_count: Option<u64>,
}

/// The client's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Merged {
    /// A JSON object.
    pub body: String,
    /// Parts of it that may be a little off what one server would say.
    pub approximate: Vec<Part>,
}

/// A part of an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// `facetDistribution` and `facetStats`.
    Facets,
    /// Which hits there are.
    Hits,
    /// How many hits there are.
    Totals,
}

impl Part {
    /// In the header `X-Miroir-Approximate`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Facets => "facets",
            Self::Hits => "hits",
            Self::Totals => "totals",
        }
    }
}

/// A node's answer is not what a node answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MergeError {
    /// It cannot be read.
    #[error("a node's answer is not a search answer")]
    Malformed,
    /// More hits of some node are needed than it was asked for: ask again for more.
    #[error("more hits are needed than the nodes were asked for")]
    TooShallow,
    /// A node left out hits for the sake of one that is left out itself: ask again, with the walk over all hits done here.
    #[error("a hit that the whole leaves out has hidden others on its node")]
    HiddenByDropped,
    /// A document was deleted between its ranking and its fetching: ask again, for both at once.
    #[error("a document of the page is gone")]
    DocumentGone,
}

impl From<Malformed> for MergeError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The client's answer from the bodies of the nodes' answers, in the order of the covering set. Facets are merged as they are,
/// doubts or not.
///
/// # Errors
/// [`MergeError`]; after `TooShallow` and `HiddenByDropped` the nodes can be asked again.
pub fn merge(question: &Question<'_>, bodies: &[&str], frame: &AnswerFrame<'_>) -> Result<Merged, MergeError> {
    let answers = bodies.iter().map(|body| NodeAnswer::read(body)).collect::<Result<Vec<_>, _>>()?;
    let page = Page::of(question, &answers)?;
    let Question { request, settings, .. } = question;
    let facets = request.has_facets().then(|| FacetMerge::of(&answers, &settings.facets, &request.facets()));
    let frame = AnswerFrame { facets: facets.transpose()?, ..frame.clone() };
    write(question, &answers, &page, None, &frame)
}

/// The client's answer once its hits are known; their documents, if the nodes sent them apart.
///
/// # Errors
/// [`MergeError::Malformed`].
pub fn write(
    question: &Question<'_>,
    answers: &[NodeAnswer<'_>],
    page: &Page<'_>,
    documents: Option<&Documents<'_>>,
    frame: &AnswerFrame<'_>,
) -> Result<Merged, MergeError> {
    let Question { request, settings, retrieved, hidden_rule, hides_score, .. } = *question;
    let (displayed, shows_details) = (&settings.displayed, request.shows_score_details());
    let view =
        HitView { displayed, retrieved, shows_details, hidden_rule, hides_score, ..HitView::of(displayed, retrieved) };
    let mut text = String::with_capacity(page.hits.iter().map(|ranked| ranked.hit.text().len()).sum::<usize>() + 256);
    text.push_str("{\"hits\":[");
    for (place, ranked) in page.hits.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        let view = HitView { pin: ranked.pin, ..view };
        match documents {
            Some(documents) => documents.write(&view, &ranked.hit, &mut text)?,
            None => view.write(&ranked.hit, &mut text)?,
        }
    }
    let query = serde_json::to_string(request.text()).expect("a string is always valid JSON");
    write!(text, "],\"query\":{query}").expect("strings take all");
    let alone = || answers.first().filter(|_| question.asked == Asked::Page);
    let query_vector = frame.query_vector.as_deref().or_else(|| answers.iter().find_map(|answer| answer.query_vector));
    if let Some(query_vector) = query_vector {
        write!(text, ",\"queryVector\":{query_vector}").expect("strings take all");
    }
    write!(text, ",\"processingTimeMs\":{}", frame.processing_time_ms).expect("strings take all");
    let sum = || answers.iter().map(|answer| answer.total).sum();
    write_totals(request.paging, page.total.map_or_else(sum, |total| total.total), &mut text);
    if let Some(facets) = &frame.facets {
        facets.write(&mut text);
    }
    if let Some(request_uid) = answers.iter().find_map(|answer| answer.request_uid) {
        write!(text, ",\"requestUid\":{request_uid}").expect("strings take all");
    }
    if request.shows_performance() {
        write!(text, ",\"performanceDetails\":{{\"search\":\"{}.00ms\"}}", frame.processing_time_ms)
            .expect("strings take all");
    }
    if let Some(count) = frame.semantic_hit_count.or_else(|| alone()?.semantic_hit_count) {
        write!(text, ",\"semanticHitCount\":{count}").expect("strings take all");
    }
    if frame.is_degraded || page.is_cut_off {
        text.push_str(",\"degraded\":true");
    }
    text.push('}');
    // How many hits a threshold leaves is known as deep as each node has looked, and all together have looked deeper.
    let is_threshold_estimated = request.has_estimated_threshold() && answers.len() > 1;
    let approximate = [
        // Which document stands for a value is decided over all nodes, but each node has counted those that it shows.
        (
            Part::Facets,
            frame
                .facets
                .as_ref()
                .is_some_and(|facets| page.total.is_some() || is_threshold_estimated || !facets.is_exact()),
        ),
        (Part::Hits, page.may_lack_hits || page.are_pins_unsure),
        (Part::Totals, page.total.is_some_and(|total| !total.is_exact) || is_threshold_estimated),
    ];
    let approximate = approximate.into_iter().filter_map(|(part, is_off)| is_off.then_some(part)).collect();
    Ok(Merged { body: text, approximate })
}

/// Totals count everything that matches: `maxTotalHits` bounds what can be paged to, not what is counted.
fn write_totals(paging: Paging, total: u64, text: &mut String) {
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
