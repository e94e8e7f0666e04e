//! One search over all shards of an index: ask one replica of each, merge, and ask deeper until the page is whole.
//!
//! Nodes are asked for the first hits that the page can need. Where hits are left out for being alike (`distinct`), that may
//! turn out to be too few: then they are asked again, for several times as many.

use super::core::{Core, PartialPolicy};
use super::gather::Gather;
use super::reading::{bodies_of, check_complete, explained, nothing_to_read};
use super::scatter::{ScatterScope, Scattered, scatter};
use super::upstream::NodeRequest;
use crate::logic::ids::ShardId;
use crate::logic::merge::distinct::Distinct;
use crate::logic::merge::distinct_totals::ValueCounts;
use crate::logic::merge::{AnswerFrame, AnswerSettings, MergeError, Merged, Part, Question, merge};
use crate::logic::replica_choice::query_hash;
use crate::logic::snapshot::{CoverPart, CoveringSet};
use crate::meili::error::{ApiError, Code};
use crate::meili::search::{Asked, NodeQuery, SearchRequest};

/// How many times deeper nodes are asked when their hits were too few.
const DEEPER: u64 = 4;

/// Hits beyond the page that nodes are asked for where the total depends on what ties with its last hit.
const TIES: u64 = 10;

/// What the client gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SearchAnswer {
    /// A JSON object.
    pub body: String,
    /// Shards that nobody answered for, ascending.
    pub missing: Vec<ShardId>,
    /// Parts of it that may be a little off what one server would say.
    pub approximate: Vec<Part>,
}

/// One search.
#[derive(Clone, Copy)]
pub struct Searching<'a> {
    /// Where it runs.
    pub core: &'a Core,
    /// The fleet, the index, and the time there is.
    pub scope: ScatterScope<'a>,
    /// What the client asks for.
    pub request: &'a SearchRequest,
    /// The user's settings.
    pub settings: &'a AnswerSettings,
    /// Whether shards may be missing.
    pub policy: PartialPolicy,
}

/// What the nodes are asked this time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Attempt {
    /// Of each node, where there are several.
    first_hits: u64,
    /// Nodes leave out hits that are alike.
    is_pushed_down: bool,
}

impl Attempt {
    /// What to try after a merge that could not be ended; none when that does not help.
    fn after(self, error: MergeError) -> Option<Self> {
        match error {
            MergeError::TooShallow => Some(Self { first_hits: self.first_hits.saturating_mul(DEEPER), ..self }),
            MergeError::HiddenByDropped => Some(Self { is_pushed_down: false, ..self }),
            MergeError::Malformed | MergeError::TooManyFacetValues => None,
        }
    }
}

impl Searching<'_> {
    /// The client's answer.
    ///
    /// # Errors
    /// As one server; `miroir_shard_unavailable`, `miroir_not_supported`, `internal` for what no node should answer.
    pub async fn answer(&self) -> Result<SearchAnswer, ApiError> {
        let started = self.core.now();
        let set = self.scope.choose(self.core, self.hash()).ok_or_else(nothing_to_read)?;
        let (offset, limit) = self.request.paging.window(self.settings.max_total_hits());
        let headroom = if self.distinct().is_some() { TIES } else { 0 };
        let mut attempt = Attempt { first_hits: offset + limit + headroom, is_pushed_down: true };
        let counts = self.count_values(set).await?;
        loop {
            let scattered = self.ask(set, attempt).await?;
            check_complete(&scattered, self.policy)?;
            // After the nodes, which find everything else that may be wrong first, and take a pattern that covers their
            // own rules alone.
            self.request.check_facets(&self.scope.index.settings)?;
            let frame = AnswerFrame {
                processing_time_ms: self.core.now().0.saturating_sub(started.0),
                is_degraded: !scattered.missing.is_empty(),
            };
            let bodies = bodies_of(&scattered, self.scope.snapshot)?;
            let asked = self.asked(attempt, scattered.is_alone());
            let needed = self.needed(asked);
            let distinct = |attribute| Distinct { attribute, is_pushed_down: attempt.is_pushed_down };
            let question = Question {
                request: self.request,
                settings: self.settings,
                asked,
                distinct: self.distinct().map(distinct).zip(counts.as_ref()),
                retrieved: &self.request.retrieved(&self.settings.displayed, &needed),
            };
            match merge(&question, &bodies, &frame) {
                Ok(Merged { body, approximate }) => {
                    return Ok(SearchAnswer { body, missing: scattered.missing, approximate });
                }
                Err(error) => attempt = attempt.after(error).ok_or_else(|| merge_failed(error))?,
            }
        }
    }

    /// How many documents have each value of the attribute that makes hits distinct.
    async fn count_values(&self, set: &CoveringSet) -> Result<Option<ValueCounts>, ApiError> {
        let Some(attribute) = self.distinct() else { return Ok(None) };
        let of_values = |part: &CoverPart, _| self.request.count_body(part.filter.as_deref(), attribute);
        let without = |part: &CoverPart, _| self.request.count_without_body(part.filter.as_deref(), attribute);
        let mut both = Gather::new();
        both.push(0, self.scatter(set, of_values));
        both.push(1, self.scatter(set, without));
        let mut scattered = [Scattered::default(), Scattered::default()];
        while let Some((place, result)) = both.next().await {
            scattered[place] = result?;
            check_complete(&scattered[place], self.policy)?;
        }
        let snapshot = self.scope.snapshot;
        let (values, without) = (bodies_of(&scattered[0], snapshot)?, bodies_of(&scattered[1], snapshot)?);
        let values_max = self.settings.facets.node_values_max();
        ValueCounts::read(&values, &without, attribute, values_max).map(Some).map_err(merge_failed)
    }

    async fn ask(&self, set: &CoveringSet, attempt: Attempt) -> Result<Scattered, ApiError> {
        let body = |part: &CoverPart, is_alone: bool| {
            let asked = self.asked(attempt, is_alone);
            self.request.node_body(NodeQuery {
                marker_filter: part.filter.as_deref(),
                asked,
                displayed: &self.settings.displayed,
                needed: &self.needed(asked),
                distinct: self.distinct().filter(|_| is_alone || attempt.is_pushed_down),
            })
        };
        self.scatter(set, body).await
    }

    /// Sends every node its body. A refusal is put in the words that are for the client.
    async fn scatter(
        &self,
        set: &CoveringSet,
        body: impl Fn(&CoverPart, bool) -> Vec<u8>,
    ) -> Result<Scattered, ApiError> {
        let target = format!("/indexes/{}/search", self.scope.index.node_uid);
        let make = |part: &CoverPart, is_alone: bool| NodeRequest::post_read(target.clone(), body(part, is_alone));
        match scatter(self.core, self.scope, set, make).await {
            Ok(scattered) => Ok(scattered),
            Err(refusal) => {
                let explain = NodeRequest::post_read(target, self.request.explain_body());
                let error = explained(self.core, self.scope, refusal, explain).await;
                if error.code == Code::InvalidSearchFacets {
                    self.request.check_facets(&self.scope.index.settings)?;
                }
                Err(error)
            }
        }
    }

    /// Which hits of a node: one that is asked alone gives the client's page, unless the user's limits cut that.
    fn asked(&self, attempt: Attempt, is_alone: bool) -> Asked {
        if is_alone && self.request.is_page_whole(self.settings.max_total_hits()) {
            Asked::Page
        } else {
            Asked::First(attempt.first_hits)
        }
    }

    /// Attributes that the merge needs of every hit.
    fn needed(&self, asked: Asked) -> Vec<&str> {
        match asked {
            Asked::Page => Vec::new(),
            Asked::First(_) => self.distinct().into_iter().collect(),
        }
    }

    /// The attribute whose values make hits distinct.
    fn distinct(&self) -> Option<&str> {
        self.request.distinct().or(self.settings.distinct.as_deref())
    }

    /// What decides which replicas answer: two pages of one search have the same.
    fn hash(&self) -> u64 {
        let identity = self.request.identity();
        let uid = self.scope.index.uid.as_str().as_bytes();
        query_hash(std::iter::once(uid).chain(identity.iter().map(Vec::as_slice)))
    }
}

fn merge_failed(error: MergeError) -> ApiError {
    match error {
        // What can be asked again was; if that did not help, the node contradicts itself.
        MergeError::Malformed | MergeError::TooShallow | MergeError::HiddenByDropped => {
            ApiError::new(Code::Internal, "A node sent an answer that is not a search answer.")
        }
        MergeError::TooManyFacetValues => {
            let message =
                "Ordering the values of a facet by count is not supported by Miroir when it has so many values.";
            ApiError::new(Code::MiroirNotSupported, message)
        }
    }
}
