//! One search over all shards of an index: ask one replica of each, merge, and ask deeper until the page is whole.
//!
//! Nodes are asked for the first hits that the page can need. Where hits are left out for being alike (`distinct`), that may
//! turn out to be too few: then they are asked again, for several times as many. Far from the beginning they are asked for
//! ranks alone, and for the documents of the page afterwards.

mod rules;
mod semantic;

use std::fmt::Write as _;

use serde_json::Value;

use super::core::{Core, PartialPolicy};
use super::denying::unknown_attributes;
use super::gather::both;
use super::reading::{Refusal, bodies_of, check_complete, explained, node_error, nothing_to_read};
use super::scatter::{ScatterScope, Scattered, scatter};
use super::upstream::NodeRequest;
use crate::bridge::rules::RulesView;
use crate::logic::ids::{Monotonic, ShardId};
use crate::logic::merge::answer::NodeAnswer;
use crate::logic::merge::deep::{Documents, id_of};
use crate::logic::merge::distinct::{Distinct, Walk};
use crate::logic::merge::distinct_totals::ValueCounts;
use crate::logic::merge::hydration::degraded;
use crate::logic::merge::list::RankedHit;
use crate::logic::merge::page::Page;
use crate::logic::merge::pins::Pinned;
use crate::logic::merge::{AnswerFrame, AnswerSettings, MergeError, Merged, Part, Question, write};
use crate::logic::replica_choice::{choose, query_hash};
use crate::logic::shard_hash::shard_of;
use crate::logic::snapshot::{CoverPart, CoveringSet};
use crate::meili::error::{ApiError, Code};
use crate::meili::hidden_distinct;
use crate::meili::search::{Asked, NodeQuery, SearchKind, SearchRequest, Used};
use crate::meili::settings::{sorts_by, tie_rule};
use crate::telemetry::clock;
use rules::Verdict;

/// How often a search is asked again because rules have changed meanwhile.
const RULES_TRIES_MAX: u32 = 3;

/// How many times deeper nodes are asked when their hits were too few.
const DEEPER: u64 = 4;

/// Hits beyond the page that nodes are asked for where the total depends on what ties with its last hit.
const TIES: u64 = 10;

/// Nodes are asked for so many hits at most for the sake of those that are distinct. A page that needs more is made of what
/// the nodes themselves keep apart, and says so.
const WALK_MAX: u64 = 50_000;

/// The same where hits come with their documents, highlighted maybe.
const WALK_OF_DOCUMENTS_MAX: u64 = 5_000;

/// Nodes that are asked for so many hits are asked for ranks alone. Below that the second question costs more time than the
/// documents do (docs/PERFORMANCE.md).
const DEEP: u64 = 150;

/// What the client gets.
#[derive(Clone, PartialEq, Debug)]
pub struct SearchAnswer {
    /// A JSON object.
    pub body: String,
    /// Shards that nobody answered for, ascending.
    pub missing: Vec<ShardId>,
    /// Parts of it that may be a little off what one server would say.
    pub approximate: Vec<Part>,
    /// What of a search by vectors decided.
    pub used: Used,
}

impl SearchAnswer {
    /// The same answer where these shards are missing, too.
    #[must_use]
    pub fn lacking(mut self, missing: Vec<ShardId>) -> Self {
        if missing.is_empty() {
            return self;
        }
        self.missing.extend(missing);
        self.missing.sort_unstable();
        self.missing.dedup();
        Self { body: degraded(self.body), ..self }
    }
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
    semantic: SemanticHits<'a>,
    /// Hits have a `_rankingScore` that the client has not asked for.
    hides_score: bool,
    /// Where rules may pin hits.
    rules: Option<&'a RulesView>,
}

/// Which hits count as found by vectors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SemanticHits<'a> {
    /// Nobody asked for that.
    Uncounted,
    /// None: words were enough.
    None,
    /// All; the vector as JSON, if it is known and the client wants to see it.
    All(Option<&'a str>),
}

/// What the nodes are asked this time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Attempt {
    /// Of each node, where there are several.
    first_hits: u64,
    /// Who leaves out hits that are alike.
    walk: Walk,
    /// Hits may come without their documents.
    may_be_bare: bool,
}

impl Attempt {
    /// What to try after a merge that could not be ended; none when that does not help.
    fn after(self, error: MergeError) -> Option<Self> {
        match error {
            MergeError::TooShallow if self.walk == Walk::Here && self.first_hits >= self.walk_max() => {
                Some(Self { walk: Walk::NodesAnyway, ..self })
            }
            MergeError::TooShallow => Some(Self { first_hits: self.first_hits.saturating_mul(DEEPER), ..self }),
            MergeError::HiddenByDropped => Some(Self { walk: Walk::Here, ..self }),
            MergeError::DocumentGone => Some(Self { may_be_bare: false, ..self }),
            MergeError::Malformed => None,
        }
    }
}

impl Attempt {
    /// How many hits of a node are walked.
    fn walk_max(self) -> u64 {
        if self.may_be_bare { WALK_MAX } else { WALK_OF_DOCUMENTS_MAX }
    }

    /// Hits come without their documents.
    fn is_bare(self, asked: Asked) -> bool {
        match asked {
            Asked::Page => false,
            Asked::First(first_hits) => self.may_be_bare && first_hits >= DEEP,
        }
    }
}

impl<'a> Searching<'a> {
    /// A search that nobody has looked at yet.
    pub fn of(
        core: &'a Core,
        scope: ScatterScope<'a>,
        request: &'a SearchRequest,
        settings: &'a AnswerSettings,
        policy: PartialPolicy,
    ) -> Self {
        Self {
            core,
            scope,
            request,
            settings,
            policy,
            semantic: SemanticHits::Uncounted,
            hides_score: false,
            rules: None,
        }
    }
}

impl Searching<'_> {
    /// The client's answer.
    ///
    /// # Errors
    /// As one server; `miroir_shard_unavailable`, `miroir_not_supported`, `internal` for what no node should answer.
    pub async fn answer(&self) -> Result<SearchAnswer, ApiError> {
        let set = self.scope.choose(self.core, self.hash()).ok_or_else(nothing_to_read)?;
        let mut tries = 0;
        loop {
            let rules = self.settled_rules(set).await;
            let mut answer = Searching { rules: rules.view(), ..*self }.answer_by_rules(set).await?;
            match rules.judge(self, set) {
                Verdict::Right => return Ok(answer),
                Verdict::Changed if tries < RULES_TRIES_MAX => tries += 1,
                Verdict::Changed | Verdict::Unsettled => {
                    answer.approximate.push(Part::Hits);
                    answer.approximate.sort_unstable();
                    answer.approximate.dedup();
                    return Ok(answer);
                }
            }
        }
    }

    async fn answer_by_rules(&self, set: &CoveringSet) -> Result<SearchAnswer, ApiError> {
        let started = self.core.now();
        let unknown = self.unknown_attributes(set).await?;
        if unknown.is_empty() {
            return self.answer_from(set, started).await;
        }
        let request = &self.request.with_unknown(unknown);
        Searching { request, ..*self }.answer_from(set, started).await
    }

    /// Attributes that the filter denies and that no node knows.
    pub(super) async fn unknown_attributes(&self, set: &CoveringSet) -> Result<Vec<String>, ApiError> {
        let unknown = unknown_attributes(self.core, self.scope, set, self.request.filter(), || self.explaining());
        unknown.await.map_err(|error| self.judged(error))
    }

    async fn answer_from(&self, set: &CoveringSet, started: Monotonic) -> Result<SearchAnswer, ApiError> {
        let mut answer = match self.request.kind(&self.scope.index.settings)? {
            SearchKind::Words => self.list(set, started).await?,
            SearchKind::Vector(semantic) => self.by_vector(set, &semantic, started).await?,
            SearchKind::Hybrid(semantic, ratio) => self.by_both(set, (&semantic, ratio), started).await?,
        };
        if let Some(trace) = self.scope.trace {
            let preferred = choose(&self.scope.index.covers, &self.scope.snapshot.nodes, self.hash(), |_| 0.0);
            let explained = trace.explain(self.scope, set, preferred == Some(set), &answer.missing);
            add_member(&mut answer.body, "explain", &explained);
        }
        Ok(answer)
    }

    /// The answer from one list of hits.
    async fn list(&self, set: &CoveringSet, started: Monotonic) -> Result<SearchAnswer, ApiError> {
        let mut attempt = self.first_attempt();
        let mut counts = None;
        loop {
            let answered = if counts.is_none() && set.parts.len() > 1 {
                let (answered, counted) = both(self.ask(set, attempt), self.count_values(set)).await;
                counts = counted?;
                answered
            } else {
                self.ask(set, attempt).await
            };
            let scattered = match answered {
                Ok(scattered) => scattered,
                Err(Refusal::OfQuestion) if attempt.walk == Walk::NodesFirst && self.distinct().is_some() => {
                    attempt.walk = Walk::Here;
                    continue;
                }
                Err(refusal) => return Err(refusal.for_client()),
            };
            if counts.is_none() && self.asked(attempt, scattered.is_alone()) != Asked::Page {
                // Others stood in for a node that was asked alone.
                counts = self.count_values(set).await?;
            }
            check_complete(&scattered, self.policy)?;
            // After the nodes, which find everything else that may be wrong first, and take a pattern that covers their
            // own rules alone.
            self.request.check_facets(&self.scope.index.settings)?;
            match self.finish(&scattered, attempt, counts.as_ref(), started).await? {
                Ok(Merged { body, approximate }) => {
                    return Ok(SearchAnswer { body, missing: scattered.missing, approximate, used: Used::AsAsked });
                }
                Err(error) => attempt = attempt.after(error).ok_or_else(|| merge_failed(error))?,
            }
        }
    }

    /// Runs a merge, and notes how long it takes.
    pub(super) fn timed<T>(&self, merge: impl FnOnce() -> T) -> T {
        let Some(trace) = self.scope.trace else { return merge() };
        let begun = clock::instant();
        let merged = merge();
        trace.merged(begun.elapsed());
        merged
    }

    fn first_attempt(&self) -> Attempt {
        let (offset, limit) = self.request.paging.window(self.settings.max_total_hits());
        let headroom = if self.distinct().is_some() { TIES } else { 0 };
        let room = self.pinned().map_or(0, |pinned| pinned.book.room());
        let first_hits = offset.saturating_add(limit).saturating_add(headroom + room).min(u64::from(u32::MAX));
        let may_be_bare = self.primary_key().is_some() && self.request.has_plain_hits();
        Attempt { first_hits, walk: Walk::NodesFirst, may_be_bare }
    }

    /// The client's answer, or why the nodes must be asked again.
    async fn finish(
        &self,
        scattered: &Scattered,
        attempt: Attempt,
        counts: Option<&ValueCounts>,
        started: Monotonic,
    ) -> Result<Result<Merged, MergeError>, ApiError> {
        let asked = self.asked(attempt, scattered.is_alone());
        let is_bare = attempt.is_bare(asked);
        // Documents that are fetched are found again by their key.
        let needed = if is_bare { self.primary_key().into_iter().collect() } else { self.needed(attempt, asked) };
        self.merge(scattered, (asked, &needed), attempt, counts, started).await
    }

    async fn merge(
        &self,
        scattered: &Scattered,
        (asked, needed): (Asked, &[&str]),
        attempt: Attempt,
        counts: Option<&ValueCounts>,
        started: Monotonic,
    ) -> Result<Result<Merged, MergeError>, ApiError> {
        let bodies = bodies_of(scattered, self.scope.snapshot)?;
        let is_bare = attempt.is_bare(asked);
        let distinct = |attribute| self.distinct_by(attribute, attempt.walk);
        let hidden_rule = self.hidden_rule();
        let question = Question {
            request: self.request,
            settings: self.settings,
            asked,
            distinct: self.distinct().map(distinct).zip(counts),
            pinned: self.pinned(),
            retrieved: &self.request.retrieved(&self.settings.displayed, needed),
            hidden_rule: hidden_rule.as_deref(),
            hides_score: self.hides_score,
        };
        let read = || bodies.iter().map(|body| NodeAnswer::read(body)).collect::<Result<Vec<_>, _>>();
        let answers = self.timed(read).map_err(merge_failed)?;
        let page = match self.timed(|| Page::of(&question, &answers)) {
            Ok(page) => page,
            Err(error) => return Ok(Err(error)),
        };
        let facets = self.facets(&answers, scattered).await.map_err(merge_failed)?;
        let frame = |facets| AnswerFrame {
            processing_time_ms: self.core.now().0.saturating_sub(started.0),
            is_degraded: !scattered.missing.is_empty(),
            facets,
            query_vector: match self.semantic {
                SemanticHits::All(vector) => vector.map(str::to_owned),
                SemanticHits::Uncounted | SemanticHits::None => None,
            },
            semantic_hit_count: match self.semantic {
                SemanticHits::Uncounted => None,
                SemanticHits::None => Some(0),
                SemanticHits::All(_) => Some(page.semantic_hit_count()),
            },
        };
        if !is_bare {
            return Ok(self.timed(|| write(&question, &answers, &page, None, &frame(facets))));
        }
        let fetched = self.fetch(&page).await?;
        if fetched.is_overloaded {
            return Err(ApiError::overloaded("too many requests wait for the nodes"));
        }
        let bodies = bodies_of(&fetched, self.scope.snapshot)?;
        let primary_key = self.primary_key().unwrap_or_default();
        let documents = Documents::read(primary_key, &bodies).map_err(merge_failed)?;
        let is_there = |ranked: &RankedHit<'_>| documents.has(&ranked.hit).unwrap_or(false);
        if !page.hits.iter().all(is_there) {
            return Ok(Err(MergeError::DocumentGone));
        }
        Ok(self.timed(|| write(&question, &answers, &page, Some(&documents), &frame(facets))))
    }

    /// The documents of the page, from whoever may be read for their shards.
    async fn fetch(&self, page: &Page<'_>) -> Result<Scattered, ApiError> {
        let primary_key = self.primary_key().unwrap_or_default();
        let shard_count = self.scope.snapshot.placement.len() as u16;
        let mut ids: Vec<(ShardId, String)> = Vec::with_capacity(page.hits.len());
        for ranked in &page.hits {
            let id = id_of(ranked.hit.text(), primary_key).map_err(merge_failed)?;
            ids.push((shard_of(&id, shard_count), id));
        }
        let mut shards: Vec<ShardId> = ids.iter().map(|(shard, _)| *shard).collect();
        shards.sort_unstable();
        shards.dedup();
        let set = self.scope.cover(&shards, &[]);
        let target = format!("/indexes/{}/documents/fetch", self.scope.index.node_uid);
        let make = |part: &CoverPart, _: bool| {
            let own = ids.iter().filter(|(shard, _)| part.shards.contains(shard)).map(|(_, id)| id.clone());
            let own: Vec<String> = own.collect();
            let body = self.request.fetch_body(&self.settings.displayed, primary_key, &own);
            NodeRequest::post_read(target.clone(), body)
        };
        let fetched = scatter(self.core, self.scope, &set, make).await;
        fetched.map_err(|refusal| node_error(&refusal.response.body, self.scope.index))
    }

    /// How many documents have each value of the attribute that makes hits distinct.
    async fn count_values(&self, set: &CoveringSet) -> Result<Option<ValueCounts>, ApiError> {
        let Some(attribute) = self.distinct() else { return Ok(None) };
        let of_values = |part: &CoverPart, _| self.request.count_body(part.filter.as_deref(), attribute);
        let can_compare = hidden_distinct::can_compare(&self.scope.index.settings, attribute);
        let without =
            |part: &CoverPart, _| self.request.count_without_body(part.filter.as_deref(), attribute, can_compare);
        let (values, without) = both(self.scatter(set, of_values), self.scatter(set, without)).await;
        let (values, without) = match (values, without) {
            (Ok(values), Ok(without)) => (values, without),
            (Err(Refusal::OfQuestion), _) | (_, Err(Refusal::OfQuestion)) => return Ok(Some(ValueCounts::default())),
            (Err(refusal), _) | (_, Err(refusal)) => return Err(refusal.for_client()),
        };
        check_complete(&values, self.policy)?;
        check_complete(&without, self.policy)?;
        let is_whole = values.missing.is_empty() && without.missing.is_empty();
        let snapshot = self.scope.snapshot;
        let (values, without) = (bodies_of(&values, snapshot)?, bodies_of(&without, snapshot)?);
        let values_max = self.settings.facets.node_values_max;
        let counts = ValueCounts::read(&values, &without, attribute, values_max).map_err(merge_failed)?;
        Ok(Some(if is_whole { counts } else { counts.of_some_shards() }))
    }

    async fn ask(&self, set: &CoveringSet, attempt: Attempt) -> Result<Scattered, Refusal> {
        let body = |part: &CoverPart, is_alone: bool| {
            let asked = self.asked(attempt, is_alone);
            self.request.node_body(NodeQuery {
                marker_filter: part.filter.as_deref(),
                asked,
                displayed: &self.settings.displayed,
                needed: &self.needed(attempt, asked),
                distinct: self.distinct().filter(|_| asked == Asked::Page || attempt.walk.is_pushed_down()),
                is_bare: attempt.is_bare(asked),
            })
        };
        self.scatter(set, body).await
    }

    /// Sends every node its body. A refusal is put in the words that are for the client.
    async fn scatter(
        &self,
        set: &CoveringSet,
        body: impl Fn(&CoverPart, bool) -> Vec<u8>,
    ) -> Result<Scattered, Refusal> {
        let target = format!("/indexes/{}/search", self.scope.index.node_uid);
        let make = |part: &CoverPart, is_alone: bool| NodeRequest::post_read(target.clone(), body(part, is_alone));
        match scatter(self.core, self.scope, set, make).await {
            Ok(scattered) => Ok(scattered),
            Err(refusal) => Err(match explained(self.core, self.scope, refusal, self.explaining()).await {
                Refusal::OfRequest(error) => Refusal::OfRequest(self.judged(error)),
                Refusal::OfQuestion => Refusal::OfQuestion,
            }),
        }
    }

    /// The request that makes a node say what is wrong with the client's.
    fn explaining(&self) -> NodeRequest {
        let target = format!("/indexes/{}/search", self.scope.index.node_uid);
        NodeRequest::post_read(target, self.request.explain_body())
    }

    /// Which facets there are is said by the user's rules, not by the nodes'.
    fn judged(&self, error: ApiError) -> ApiError {
        if error.code != Code::InvalidSearchFacets {
            return error;
        }
        self.request.check_facets(&self.scope.index.settings).err().unwrap_or(error)
    }

    /// Which hits of a node: one that is asked alone gives the client's page, unless the user's limits cut that, rules pin
    /// hits, or the user's setting makes hits distinct: nodes can be told so only as clients tell it, which is not quite the
    /// same.
    fn asked(&self, attempt: Attempt, is_alone: bool) -> Asked {
        let is_distinct_by_setting = self.request.distinct().is_none() && self.settings.distinct.is_some();
        let is_plain = !is_distinct_by_setting && self.pinned().is_none();
        if is_alone && is_plain && self.request.is_page_whole(self.settings.max_total_hits()) {
            Asked::Page
        } else {
            Asked::First(attempt.first_hits)
        }
    }

    /// Attributes that the merge needs of every hit.
    fn needed(&self, attempt: Attempt, asked: Asked) -> Vec<&str> {
        match asked {
            Asked::Page => Vec::new(),
            Asked::First(_) => {
                let of_bare = self.primary_key().filter(|_| attempt.is_bare(asked));
                let of_pins = self.pinned().map(|pinned| pinned.primary_key);
                self.distinct().into_iter().chain(of_bare.or(of_pins)).collect()
            }
        }
    }

    /// Where documents can be told apart by one of their members.
    fn primary_key(&self) -> Option<&str> {
        self.scope.index.primary_key.as_deref().filter(|name| !name.contains('.'))
    }

    /// What is known of hits that rules may pin.
    fn pinned(&self) -> Option<Pinned<'_>> {
        let primary_key = self.scope.index.primary_key.as_deref()?;
        Some(Pinned { book: &self.rules?.book, uid: self.scope.index.uid.as_str(), primary_key })
    }

    /// The attribute whose values make hits distinct.
    pub(super) fn distinct(&self) -> Option<&str> {
        self.request.distinct().or(self.settings.distinct.as_deref())
    }

    fn distinct_by<'d>(&self, attribute: &'d str, walk: Walk) -> Distinct<'d> {
        Distinct { attribute, walk, is_parameter: self.request.shows_empty_texts_once() }
    }

    /// The rule that only the nodes have, where ties are sorted by id.
    fn hidden_rule(&self) -> Option<String> {
        let primary_key = self.scope.index.primary_key.as_deref().filter(|_| self.core.settings.sort_ties_by_id)?;
        let rules = self.scope.index.settings.get("rankingRules").and_then(Value::as_array);
        let own = rules.into_iter().flatten().filter_map(Value::as_str).chain(self.request.sort());
        (!sorts_by(own, primary_key)).then(|| tie_rule(primary_key))
    }

    /// What decides which replicas answer: two pages of one search have the same.
    fn hash(&self) -> u64 {
        let identity = self.request.identity();
        let uid = self.scope.index.uid.as_str().as_bytes();
        query_hash(std::iter::once(uid).chain(identity.iter().map(Vec::as_slice)))
    }
}

/// Adds a member to a JSON object.
fn add_member(object: &mut String, name: &str, value: &Value) {
    object.truncate(object.trim_end().len() - 1);
    write!(object, ",\"{name}\":{value}}}").expect("strings take all");
}

/// What the client reads where the nodes' answers cannot be merged.
pub(super) fn merge_failed(error: MergeError) -> ApiError {
    match error {
        // What can be asked again was; if that did not help, the node contradicts itself.
        MergeError::Malformed | MergeError::TooShallow | MergeError::HiddenByDropped | MergeError::DocumentGone => {
            ApiError::new(Code::Internal, "A node sent an answer that is not a search answer.")
        }
    }
}
