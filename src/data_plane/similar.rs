//! Similar documents: the vectors of one, and what is near to them on all nodes.

use std::fmt::Write as _;

use serde_json::Value;

use super::core::{Core, PartialPolicy};
use super::denying::unknown_attributes;
use super::gather::{both, in_order};
use super::reading::{bodies_of, check_complete, explained, nothing_to_read};
use super::scatter::{NodeRefusal, ScatterScope, Scattered, scatter};
use super::searching::SearchAnswer;
use super::upstream::NodeRequest;
use crate::logic::ids::{Monotonic, ShardId};
use crate::logic::merge::answer::NodeAnswer;
use crate::logic::merge::documents::NodePage;
use crate::logic::merge::hit::HitView;
use crate::logic::merge::similar::{SimilarPage, Wanted, vectors_of};
use crate::logic::merge::{AnswerSettings, MergeError};
use crate::logic::replica_choice::query_hash;
use crate::logic::shard_hash::shard_of;
use crate::logic::snapshot::{CoverPart, CoveringSet};
use crate::meili::error::{ApiError, Code};
use crate::meili::search::Used;
use crate::meili::similar::SimilarRequest;

/// Vectors of a document that are asked for at the same time.
const AT_ONCE: usize = 4;

/// Hits that a node is asked for at first, at most: one sets memory aside for as many.
const FIRST: u64 = 1_000;

/// Hits that a node is asked for at most where it does not give what is near first, and all of them have to be looked at.
const WALK_MAX: u64 = 20_000;

/// How many times deeper nodes are asked when their hits were too few.
const DEEPER: u64 = 4;

/// One question for similar documents.
#[derive(Clone, Copy)]
pub struct Similarity<'a> {
    /// Where it runs.
    pub core: &'a Core,
    /// The fleet, the index, and the time there is.
    pub scope: ScatterScope<'a>,
    /// What the client asks for.
    pub request: &'a SimilarRequest,
    /// The user's settings.
    pub settings: &'a AnswerSettings,
    /// Whether shards may be missing.
    pub policy: PartialPolicy,
}

impl Similarity<'_> {
    /// The client's answer.
    ///
    /// # Errors
    /// As one server; `miroir_shard_unavailable`, `miroir_not_supported`.
    pub async fn answer(&self) -> Result<SearchAnswer, ApiError> {
        let started = self.core.now();
        self.request.check(&self.scope.index.settings)?;
        let id = self.request.id()?;
        let hash = query_hash([self.scope.index.uid.as_str().as_bytes(), id.as_bytes()]);
        let set = self.scope.choose(self.core, hash).ok_or_else(nothing_to_read)?;
        let unknown = unknown_attributes(self.core, self.scope, set, self.request.filter(), || self.explaining());
        let request = &self.request.with_unknown(unknown.await.map_err(of_filter)?);
        Similarity { request, ..*self }.answer_about(&id, set, started).await
    }

    async fn answer_about(&self, id: &str, set: &CoveringSet, started: Monotonic) -> Result<SearchAnswer, ApiError> {
        let (vectors, is_found) = self.document(id).await?;
        let wanted = Wanted {
            primary_key: self.primary_key(),
            id,
            offset: self.request.offset(),
            limit: self.request.limit(),
            threshold: self.request.threshold(),
            are_near_first: SimilarRequest::finds_near_first(&self.scope.index.settings),
        };
        // The document itself is found, too.
        let needed = wanted.offset.saturating_add(wanted.limit).saturating_add(1);
        let mut first_hits = if wanted.are_near_first { needed.min(FIRST) } else { FIRST };
        loop {
            let answers = self.ask(set, &vectors, first_hits).await?;
            let mut missing: Vec<ShardId> = answers.iter().flat_map(|answer| &answer.missing).copied().collect();
            missing.sort_unstable();
            missing.dedup();
            let bodies = answers.iter().map(|answer| bodies_of(answer, self.scope.snapshot));
            let bodies = bodies.collect::<Result<Vec<_>, _>>()?;
            let searches =
                bodies.iter().map(|bodies| read(bodies)).collect::<Result<Vec<_>, _>>().map_err(malformed)?;
            let page = match SimilarPage::of(&searches, first_hits, wanted) {
                Ok(page) => page,
                Err(MergeError::TooShallow) => {
                    first_hits = deeper(first_hits, wanted)?;
                    continue;
                }
                Err(error) => return Err(malformed(error)),
            };
            let counted: u64 = searches.first().map_or(0, |answers| answers.iter().map(|answer| answer.total).sum());
            let total = if page.is_cut {
                wanted.offset + page.hits.len() as u64
            } else {
                counted.saturating_sub(u64::from(is_found))
            };
            let took_ms = self.core.now().0.saturating_sub(started.0);
            let body = self.write(id, &page, total, took_ms, !missing.is_empty()).map_err(malformed)?;
            return Ok(SearchAnswer { body, missing, approximate: Vec::new(), used: Used::AsAsked });
        }
    }

    /// What the nodes have near to each vector, their first hits. Without a vector one server has counted, and looked for
    /// nothing.
    async fn ask(&self, set: &CoveringSet, vectors: &[Value], first_hits: u64) -> Result<Vec<Scattered>, ApiError> {
        let answers = if vectors.is_empty() {
            vec![self.scatter(set, |part| self.request.count_body(part.filter.as_deref())).await?]
        } else {
            let (displayed, key) = (&self.settings.displayed, self.primary_key());
            let searches = vectors.iter().map(|vector| {
                self.scatter(set, move |part| {
                    self.request.node_body(displayed, key, vector, first_hits, part.filter.as_deref())
                })
            });
            in_order(searches, AT_ONCE).await.map_err(|(_, error)| error)?
        };
        answers.iter().try_for_each(|answer| check_complete(answer, self.policy))?;
        Ok(answers)
    }

    fn primary_key(&self) -> &str {
        self.scope.index.primary_key.as_deref().unwrap_or_default()
    }

    /// The vectors of the document, and whether the filter finds it, too.
    async fn document(&self, id: &str) -> Result<(Vec<Value>, bool), ApiError> {
        let shard = shard_of(id, self.scope.snapshot.placement.len().max(1) as u16);
        let set = self.scope.cover(&[shard], &[]);
        let fetched = self.fetch(&set, self.request.fetch_body(id));
        let (fetched, found) = match self.request.found_body(id) {
            None => (fetched.await?, None),
            Some(body) => {
                let (fetched, found) = both(fetched, self.fetch(&set, body)).await;
                (fetched?, Some(found))
            }
        };
        let bodies = bodies_of(&fetched, self.scope.snapshot)?;
        let Some(body) = bodies.first() else {
            let message = format!("No replica of shard {shard} can be read.");
            return Err(ApiError::new(Code::MiroirShardUnavailable, message));
        };
        let vectors = vectors_of(body, self.request.embedder()).map_err(malformed)?;
        let not_found = || ApiError::new(Code::NotFoundSimilarId, format!("Document `{id}` not found."));
        let vectors = vectors.ok_or_else(not_found)?;
        let Some(found) = found else { return Ok((vectors, true)) };
        let found = found?;
        let bodies = bodies_of(&found, self.scope.snapshot)?;
        let page = bodies.first().map(|body| NodePage::read(body)).transpose().map_err(malformed)?;
        Ok((vectors, page.is_some_and(|page| page.total > 0)))
    }

    async fn fetch(&self, set: &CoveringSet, body: Vec<u8>) -> Result<Scattered, ApiError> {
        let target = format!("/indexes/{}/documents/fetch", self.scope.index.node_uid);
        let make = |_: &CoverPart, _: bool| NodeRequest::post_read(target.clone(), body.clone());
        match scatter(self.core, self.scope, set, make).await {
            Ok(fetched) => Ok(fetched),
            Err(refusal) => Err(self.refused(refusal).await),
        }
    }

    async fn scatter(&self, set: &CoveringSet, body: impl Fn(&CoverPart) -> Vec<u8>) -> Result<Scattered, ApiError> {
        let target = format!("/indexes/{}/search", self.scope.index.node_uid);
        let make = |part: &CoverPart, _: bool| NodeRequest::post_read(target.clone(), body(part));
        match scatter(self.core, self.scope, set, make).await {
            Ok(scattered) => Ok(scattered),
            Err(refusal) => Err(self.refused(refusal).await),
        }
    }

    /// What a node says is wrong, in the words that the client has used.
    async fn refused(&self, refusal: NodeRefusal) -> ApiError {
        of_filter(explained(self.core, self.scope, refusal, self.explaining()).await.for_client())
    }

    /// Makes a node say what is wrong with the filter, in the words about documents, which do not name the index.
    fn explaining(&self) -> NodeRequest {
        let target = format!("/indexes/{}/documents/fetch", self.scope.index.node_uid);
        NodeRequest::post_read(target, self.request.explain_body())
    }

    fn write(
        &self,
        id: &str,
        page: &SimilarPage<'_>,
        total: u64,
        took_ms: u64,
        is_degraded: bool,
    ) -> Result<String, MergeError> {
        let displayed = &self.settings.displayed;
        let view = HitView {
            displayed,
            retrieved: &self.request.retrieved(displayed, self.primary_key()),
            shows_details: self.request.is_set("showRankingScoreDetails"),
            hidden_rule: None,
            only_rule: Some("vectorSort"),
            hides_score: false,
            federation: None,
            pin: None,
        };
        let mut text = "{\"hits\":[".to_owned();
        for (place, hit) in page.hits.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            view.write(hit, &mut text)?;
        }
        let (offset, limit) = (self.request.offset(), self.request.limit());
        let total = total.min(self.settings.max_total_hits());
        write!(
            text,
            "],\"id\":\"{id}\",\"processingTimeMs\":{took_ms},\"limit\":{limit},\"offset\":{offset},\
             \"estimatedTotalHits\":{total}"
        )
        .expect("strings take all");
        if self.request.is_set("showPerformanceDetails") {
            write!(text, ",\"performanceDetails\":{{\"search\":\"{took_ms}.00ms\"}}").expect("strings take all");
        }
        if is_degraded {
            text.push_str(",\"degraded\":true");
        }
        text.push('}');
        Ok(text)
    }
}

fn read<'a>(bodies: &[&'a str]) -> Result<Vec<NodeAnswer<'a>>, MergeError> {
    bodies.iter().map(|body| NodeAnswer::read(body)).collect()
}

/// What a node says about the filter of a list of documents. About operators that are not allowed every question has the
/// code of searches.
fn of_filter(mut error: ApiError) -> ApiError {
    if error.code == Code::InvalidDocumentFilter {
        error.code = Code::InvalidSimilarFilter;
    }
    error
}

/// How many hits to ask for where so many were too few.
fn deeper(asked: u64, wanted: Wanted<'_>) -> Result<u64, ApiError> {
    if wanted.are_near_first {
        return Ok(asked.saturating_mul(DEEPER));
    }
    if asked < WALK_MAX {
        return Ok(asked.saturating_mul(DEEPER).min(WALK_MAX));
    }
    let message = format!(
        "Where the first of the ranking rules is one about an attribute, Miroir finds similar documents among {WALK_MAX} of \
         a node at most. Let the filter find fewer of them, or put a rule about words first."
    );
    Err(ApiError::new(Code::MiroirNotSupported, message))
}

fn malformed(_: MergeError) -> ApiError {
    ApiError::new(Code::Internal, "A node sent an answer that cannot be read.")
}
