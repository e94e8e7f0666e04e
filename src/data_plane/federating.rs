//! A federated search: every query is answered over all shards by itself, then all answers are merged into one.
//!
//! Queries that find the same documents are counted once. Where several queries are about one index, its nodes are asked
//! for that as well: each counts, in a federated search of its own, what the queries find together in its shards.
//!
//! One server works through the indexes in the order of their names and stops at the first thing that is wrong. What can be
//! wrong without nodes is found first here; it counts behind what nodes find wrong in queries before it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::core::{Core, PartialPolicy};
use super::foreign_keys::{ForeignIndexes, Rewritten};
use super::gather::in_order;
use super::reading::{bodies_of, check_complete, nothing_to_read};
use super::scatter::{ScatterScope, Scattered, scatter};
use super::searching::{SearchAnswer, Searching, merge_failed};
use super::upstream::NodeRequest;
use crate::logic::ids::{IndexUid, Monotonic, ShardId};
use crate::logic::json::members;
use crate::logic::merge::answer::NodeAnswer;
use crate::logic::merge::facets::{FacetMerge, normalize};
use crate::logic::merge::federation::{
    FederationError, FederationFrame, IndexAnswer, QueryAnswer, Union, UnionDistinct, merge,
};
use crate::logic::merge::hit::HitView;
use crate::logic::merge::hydration::Keys;
use crate::logic::merge::{AnswerSettings, MergeError, Part};
use crate::logic::replica_choice::query_hash;
use crate::logic::snapshot::{CoverPart, IndexView, RoutingSnapshot};
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Feature;
use crate::meili::filterable::{check_facets, rules_of_settings};
use crate::meili::multi_search::ranking_rules::{Comparability, RankedQuery, ranking_rules_of};
use crate::meili::multi_search::{Federation, ListedQuery, MultiSearch, UnionQuestion, inside_facets, inside_query};
use crate::meili::search::{Displayed, Retrieved, SearchRequest, Used, Widening};
use crate::meili::settings::foreign_keys;

/// Questions of one request that are under way at a time; each goes to several nodes.
const AT_ONCE: usize = 8;

/// Hits that all queries of a request may ask for together. They are in memory at once.
const HITS_MAX: u64 = 100_000;

/// One federated search.
#[derive(Clone, Copy)]
pub struct Federating<'a> {
    /// Where it runs.
    pub core: &'a Core,
    /// The fleet.
    pub snapshot: &'a RoutingSnapshot,
    /// The whole request.
    pub searches: &'a MultiSearch,
    /// What it says about the list.
    pub federation: &'a Federation,
    /// Whether shards may be missing.
    pub policy: PartialPolicy,
}

/// One query, as it is answered over all shards.
struct QueryPlan<'a> {
    position: usize,
    query: &'a ListedQuery,
    /// As the client asks.
    request: SearchRequest,
    /// With all that the merge needs.
    wide: SearchRequest,
    /// What of that only the merge needs.
    retrieved: Retrieved,
}

/// The queries of one index.
struct IndexPlan<'a> {
    index: &'a IndexView,
    settings: AnswerSettings,
    /// The same, with nothing hidden.
    wide_settings: AnswerSettings,
    patterns: Option<&'a [String]>,
    queries: Vec<QueryPlan<'a>>,
    /// For an index without queries: the search that says which facets it has.
    facets_request: Option<SearchRequest>,
}

/// What has to be asked.
#[derive(Clone, Copy)]
enum Question<'a> {
    /// One query.
    Query(&'a IndexPlan<'a>, &'a QueryPlan<'a>),
    /// All queries of an index together.
    Union(&'a IndexPlan<'a>),
    /// The facets of an index without queries.
    Facets(&'a IndexPlan<'a>, &'a SearchRequest),
}

/// What was answered.
enum Answer {
    Query(SearchAnswer),
    Union(UnionAnswer),
}

/// What the queries of an index find together.
#[derive(Default)]
struct UnionAnswer {
    total: u64,
    is_total_exact: bool,
    /// A JSON object with the facets as members of their own.
    facets: String,
    are_facets_exact: bool,
    by_value: HashMap<String, u64>,
    missing: Vec<ShardId>,
}

impl<'a> Federating<'a> {
    /// The client's answer.
    ///
    /// # Errors
    /// As one server; `miroir_reserved_field`, `miroir_not_supported`, `miroir_shard_unavailable`, `internal` for what no
    /// node should answer.
    pub async fn answer(&self) -> Result<SearchAnswer, ApiError> {
        let started = self.core.now();
        self.searches.check_federated(self.federation)?;
        self.federation.refuse_reserved()?;
        let foreign = self.foreign_indexes();
        let (filters, missing) = self.filters(foreign).await?;
        let is_rewritten = filters.iter().any(Option::is_some);
        let searches = if is_rewritten { &self.searches.with_filters(filters) } else { self.searches };
        let answer = Federating { searches, ..*self }.answer_from_nodes(foreign.deadline, started).await?;
        let keys = searches.queries.iter().map(|query| self.index(&query.index_uid));
        let keys: Vec<_> =
            keys.map(|index| index.map(|index| foreign_keys(&index.settings)).unwrap_or_default()).collect();
        foreign.hydrate(answer.lacking(missing), Keys::OfQueries(&keys)).await
    }

    /// The filters of the queries without conditions on documents of other indexes, and what nobody answered for.
    async fn filters(&self, foreign: ForeignIndexes<'_>) -> Result<(Vec<Option<Value>>, Vec<ShardId>), ApiError> {
        if !self.core.bridge.features.load().has(Feature::ForeignKeys) {
            // What is wrong with it is found out about in its turn.
            return Ok((Vec::new(), Vec::new()));
        }
        let asked = self.searches.queries.iter().map(|query| Ok((self.index(&query.index_uid)?, query.filter())));
        let asked = asked.collect::<Result<Vec<_>, ApiError>>()?;
        for (position, (_, filter)) in asked.iter().enumerate() {
            foreign.check_features(*filter).map_err(|error| inside_query(position, &error))?;
        }
        let Rewritten { filters, missing } = foreign.rewrite_all(&asked).await?;
        Ok((filters, missing))
    }

    fn foreign_indexes(&self) -> ForeignIndexes<'a> {
        let Self { core, snapshot, policy, .. } = *self;
        ForeignIndexes { core, snapshot, deadline: core.read_deadline(), policy }
    }

    async fn answer_from_nodes(&self, deadline: Monotonic, started: Monotonic) -> Result<SearchAnswer, ApiError> {
        let (plans, stop) = self.plan();
        self.check_size(&plans)?;
        let mut questions = Vec::new();
        for plan in &plans {
            questions.extend(plan.queries.iter().map(|query| Question::Query(plan, query)));
            if plan.queries.len() > 1 {
                questions.push(Question::Union(plan));
            }
            questions.extend(plan.facets_request.iter().map(|request| Question::Facets(plan, request)));
        }
        let scope = |index| ScatterScope { snapshot: self.snapshot, index, deadline, trace: None };
        let mut answers: Vec<Option<Answer>> = questions.iter().map(|_| None).collect();
        for is_late in [false, true] {
            let places: Vec<usize> =
                (0..questions.len()).filter(|place| questions[*place].is_late() == is_late).collect();
            let asked = places.iter().map(|place| {
                let question = &questions[*place];
                self.ask(*question, scope(question.index()), used_by(&questions, &answers, *question))
            });
            let answered = in_order(asked, AT_ONCE).await;
            let answered = answered.map_err(|(place, error)| match questions[places[place]].position() {
                Some(position) => inside_query(position, &error),
                None => error,
            })?;
            for (place, answer) in places.into_iter().zip(answered) {
                answers[place] = Some(answer);
            }
        }
        let answers: Vec<Answer> = answers.into_iter().flatten().collect();
        if let Some(error) = stop {
            return Err(error);
        }
        let processing_time_ms = self.core.now().0.saturating_sub(started.0);
        self.finish(&plans, &answers, processing_time_ms)
    }

    /// All hits that may be shown are in memory at once, for each query.
    fn check_size(&self, plans: &[IndexPlan<'_>]) -> Result<(), ApiError> {
        let hits = |plan: &IndexPlan<'_>| self.needed_hits(plan).saturating_mul(plan.queries.len() as u64);
        let hits = plans.iter().map(hits).fold(0, u64::saturating_add);
        if hits <= HITS_MAX {
            return Ok(());
        }
        let message = format!(
            "The queries of a federated search ask for {hits} hits together: `offset` and `limit`, or the end of the page, times the queries. More than {HITS_MAX} are not supported by Miroir."
        );
        Err(ApiError::new(Code::MiroirNotSupported, message))
    }

    /// How many hits of each query of an index can have a part in the page.
    fn needed_hits(&self, plan: &IndexPlan<'_>) -> u64 {
        self.federation.needed_hits().min(plan.settings.max_total_hits())
    }

    /// The indexes in the order of their names up to the first thing that is wrong, and that.
    fn plan(&self) -> (Vec<IndexPlan<'a>>, Option<ApiError>) {
        let mut by_index: BTreeMap<&str, Vec<(usize, &'a ListedQuery)>> = BTreeMap::new();
        for (position, query) in self.searches.queries.iter().enumerate() {
            by_index.entry(&query.index_uid).or_default().push((position, query));
        }
        let mut plans = Vec::with_capacity(by_index.len());
        let mut comparability = Comparability::default();
        for (uid, queries) in &by_index {
            let index = match self.index(uid) {
                Ok(index) => index,
                Err(error) => return (plans, Some(inside_query(queries[0].0, &error))),
            };
            let checked = check_patterns(index, self.patterns(uid));
            let mut plan = IndexPlan::new(index, self.patterns(uid).filter(|_| checked.is_ok()));
            let planned = queries.iter().try_for_each(|(position, query)| {
                let is_one_of_many = queries.len() > 1;
                let planned = self.plan_query(&plan, (*position, query), is_one_of_many, &mut comparability);
                plan.queries.push(planned.map_err(|error| inside_query(*position, &error))?);
                Ok(())
            });
            // One server finds out about facets when it has answered the queries.
            let checked = planned
                .and_then(|()| checked.map_err(|error| inside_query(queries[0].0, &inside_facets(uid, true, &error))));
            plans.push(plan);
            if let Err(error) = checked {
                return (plans, Some(error));
            }
        }
        for (uid, patterns) in &self.federation.facets_by_index {
            if by_index.contains_key(uid.as_str()) {
                continue;
            }
            match self.plan_unused(uid, patterns.as_deref()) {
                Ok(plan) => plans.push(plan),
                Err(error) => return (plans, Some(inside_facets(uid, false, &error))),
            }
        }
        (plans, self.federation.check_personalization().err())
    }

    /// An index that is named for its facets alone.
    fn plan_unused(&self, uid: &str, patterns: Option<&'a [String]>) -> Result<IndexPlan<'a>, ApiError> {
        let index = self.index(uid)?;
        check_patterns(index, patterns)?;
        let mut plan = IndexPlan::new(index, patterns);
        if let Some(patterns) = patterns.filter(|patterns| !patterns.is_empty())
            && self.federation.merge_facets.is_some()
        {
            let parameters = [("limit".to_owned(), Value::from(0)), ("facets".to_owned(), patterns.into())];
            plan.facets_request = Some(SearchRequest::from_parameters(parameters.into_iter().collect())?);
        }
        Ok(plan)
    }

    fn index(&self, uid: &str) -> Result<&'a IndexView, ApiError> {
        let uid = IndexUid::new(uid);
        let index = self.snapshot.indexes.get(&uid).map(|index| &**index);
        index.ok_or_else(|| ApiError::new(Code::IndexNotFound, format!("Index `{uid}` not found.")))
    }

    fn patterns(&self, uid: &str) -> Option<&'a [String]> {
        self.federation.facets_by_index.get(uid).and_then(Option::as_deref)
    }

    fn plan_query(
        &self,
        plan: &IndexPlan<'a>,
        (position, query): (usize, &'a ListedQuery),
        is_one_of_many: bool,
        comparability: &mut Comparability,
    ) -> Result<QueryPlan<'a>, ApiError> {
        let settings = &plan.index.settings;
        let request = SearchRequest::from_parameters(query.parameters.clone())?;
        request.check(plan.index.uid.as_str(), settings)?;
        request.check_media(**self.core.bridge.features.load())?;
        comparability.add(&RankedQuery {
            position,
            index_uid: &query.index_uid,
            ranking_rules: &ranking_rules_of(settings),
            sort: query.texts("sort").as_deref(),
            needs_all_words: query.parameters.get("matchingStrategy").is_some_and(|strategy| strategy == "all"),
            kind: query.kind(),
        })?;
        let mut needed: Vec<&str> = self.federation.distinct.as_deref().into_iter().collect();
        if is_one_of_many {
            // The same document may be found by others, too, or another one with the same value.
            needed.extend(plan.index.primary_key.as_deref());
            needed.extend(plan.settings.distinct.as_deref());
        }
        if self.federation.distinct.is_some() {
            // Documents that are left out for those of other indexes do not count.
            let names = plan.patterns.unwrap_or_default().iter().map(String::as_str);
            needed.extend(names.filter(|name| !name.contains('*')));
        }
        let (wide, retrieved) = request.widened(&Widening {
            displayed: &plan.settings.displayed,
            needed: &needed,
            hits: self.federation.needed_hits(),
            is_exhaustive: self.federation.is_exhaustive(),
            // Facets of several queries are counted together.
            facets: plan.patterns.filter(|patterns| !is_one_of_many && !patterns.is_empty()),
            distinct: self.federation.distinct.as_deref(),
        });
        wide.check(plan.index.uid.as_str(), settings)?;
        Ok(QueryPlan { position, query, request, wide, retrieved })
    }

    async fn ask(&self, question: Question<'_>, scope: ScatterScope<'_>, used: Vec<Used>) -> Result<Answer, ApiError> {
        let (plan, request) = match question {
            Question::Query(plan, query) => (plan, &query.wide),
            Question::Facets(plan, request) => (plan, request),
            Question::Union(plan) => return self.unite(plan, scope, &used).await.map(Answer::Union),
        };
        let (core, settings, policy) = (self.core, &plan.wide_settings, self.policy);
        Searching::of(core, scope, request, settings, policy).answer().await.map(Answer::Query)
    }

    /// Asks the nodes of an index for what its queries find together; `used` is what was used of each query, if that is known.
    async fn unite(
        &self,
        plan: &IndexPlan<'_>,
        scope: ScatterScope<'_>,
        used: &[Used],
    ) -> Result<UnionAnswer, ApiError> {
        let index = plan.index;
        let identity = plan.queries.iter().flat_map(|query| query.wide.identity());
        let identity: Vec<Vec<u8>> = std::iter::once(index.uid.as_str().as_bytes().to_vec()).chain(identity).collect();
        let set = scope.choose(self.core, query_hash(identity.iter().map(Vec::as_slice)));
        let set = set.ok_or_else(nothing_to_read)?;
        let mut queries = Vec::with_capacity(plan.queries.len());
        for (place, query) in plan.queries.iter().enumerate() {
            let (request, settings) = (&query.wide, &plan.wide_settings);
            let searching = Searching::of(self.core, scope, request, settings, self.policy);
            let request = query.request.with_unknown(searching.unknown_attributes(set).await?);
            queries.push(used.get(place).map_or(request.clone(), |used| request.by_used(used)));
        }
        let distinct = self.distinct_of(plan);
        let mut facets: Vec<String> = plan.patterns.unwrap_or_default().to_vec();
        facets.extend(distinct.map(str::to_owned));
        let question = UnionQuestion {
            node_uid: index.node_uid.as_str(),
            queries: &queries,
            marker_filter: None,
            hits: self.needed_hits(plan),
            is_exhaustive: self.federation.is_exhaustive(),
            facets: (!facets.is_empty()).then_some(&facets),
        };
        let make = |part: &CoverPart, _: bool| {
            let question = UnionQuestion { marker_filter: part.filter.as_deref(), ..question };
            NodeRequest::post_read("/multi-search".to_owned(), question.node_body())
        };
        // Each query is asked by itself, too, and what is wrong with it is found there: this is Miroir's own question.
        let refused = |_| ApiError::new(Code::Internal, "A node does not count what several queries find together.");
        let scattered = scatter(self.core, scope, set, make).await.map_err(refused)?;
        check_complete(&scattered, self.policy)?;
        read_union(&scattered, self.snapshot, plan, distinct).map_err(merge_failed)
    }

    /// The attribute that makes the hits of an index distinct.
    fn distinct_of<'p>(&'p self, plan: &'p IndexPlan<'_>) -> Option<&'p str> {
        let of_query = || plan.queries.iter().find_map(|query| query.request.distinct());
        self.federation.distinct.as_deref().or_else(of_query).or(plan.settings.distinct.as_deref())
    }

    /// Puts the answers together.
    fn finish(
        &self,
        plans: &[IndexPlan<'_>],
        answers: &[Answer],
        processing_time_ms: u64,
    ) -> Result<SearchAnswer, ApiError> {
        let mut lacking = Lacking::default();
        let mut indexes = Vec::with_capacity(plans.len());
        let mut rest = answers.iter();
        for plan in plans {
            let mut next_answer = || match rest.next() {
                Some(Answer::Query(answer)) => NodeAnswer::read(&answer.body).map(|read| (answer, read)),
                Some(Answer::Union(_)) | None => Err(MergeError::Malformed),
            };
            let mut queries = Vec::with_capacity(plan.queries.len());
            for query in &plan.queries {
                let (answer, read) = next_answer().map_err(merge_failed)?;
                lacking.missing.extend(&answer.missing);
                // What several queries count is counted for all of them together.
                let is_counted = |part: &Part| plan.queries.len() == 1 || *part == Part::Hits;
                lacking.approximate.extend(answer.approximate.iter().copied().filter(is_counted));
                queries.push(query.answered(plan, read));
            }
            let facets = plan.facets_request.as_ref().map(|_| next_answer()).transpose().map_err(merge_failed)?;
            lacking.missing.extend(facets.iter().flat_map(|(answer, _)| &answer.missing));
            let united = match rest.clone().next() {
                Some(Answer::Union(union)) if plan.queries.len() > 1 => rest.next().and(Some(union)),
                Some(_) | None => None,
            };
            if let Some(united) = united {
                lacking.missing.extend(&united.missing);
                lacking.approximate.extend((!united.are_facets_exact).then_some(Part::Facets));
                lacking.approximate.extend((!united.is_total_exact).then_some(Part::Totals));
            }
            let counted = facets.map(|(_, answer)| (answer.facet_distribution, answer.facet_stats));
            indexes.push(IndexAnswer {
                uid: plan.index.uid.as_str(),
                queries,
                primary_key: plan.index.primary_key.as_deref(),
                limits: &plan.settings.facets,
                hits_max: plan.settings.max_total_hits(),
                patterns: plan.patterns,
                union: united.map(|united| united.as_union(self.distinct_of(plan))),
                unused_facets: counted.map(|(distribution, _)| distribution.unwrap_or("{}")),
            });
        }
        let frame = FederationFrame { processing_time_ms, is_degraded: !lacking.missing.is_empty() };
        let federated = merge(self.federation, &indexes, &frame).map_err(|error| match error {
            FederationError::Merge(error) => merge_failed(error),
            FederationError::FacetOrder(conflict) => {
                let error = ApiError::new(Code::InvalidMultiSearchFacetOrder, conflict.message());
                let position = self.searches.queries.iter().position(|query| query.index_uid == conflict.current);
                let error = inside_facets(&conflict.current, position.is_some(), &error);
                position.map_or(error.clone(), |position| inside_query(position, &error))
            }
        })?;
        lacking.approximate.extend(federated.approximate);
        Ok(lacking.of(federated.body))
    }
}

impl<'a> IndexPlan<'a> {
    fn new(index: &'a IndexView, patterns: Option<&'a [String]>) -> Self {
        let settings = AnswerSettings::from_settings(&index.settings);
        let wide_settings = AnswerSettings { displayed: Displayed::All, ..settings.clone() };
        Self { index, settings, wide_settings, patterns, queries: Vec::new(), facets_request: None }
    }
}

/// What all answers lack together.
#[derive(Default)]
struct Lacking {
    missing: Vec<ShardId>,
    approximate: Vec<Part>,
}

impl Lacking {
    fn of(mut self, body: String) -> SearchAnswer {
        self.missing.sort_unstable();
        self.missing.dedup();
        self.approximate.sort_unstable();
        self.approximate.dedup();
        SearchAnswer { body, missing: self.missing, approximate: self.approximate, used: Used::AsAsked }
    }
}

/// What was used of each query of a union that is asked for after them.
fn used_by(questions: &[Question<'_>], answers: &[Option<Answer>], question: Question<'_>) -> Vec<Used> {
    let Question::Union(union) = question else { return Vec::new() };
    let of_union = questions.iter().zip(answers).filter_map(|(question, answer)| match (question, answer) {
        (Question::Query(plan, _), Some(Answer::Query(answer))) if std::ptr::eq(*plan, union) => {
            Some(answer.used.clone())
        }
        (Question::Query(..) | Question::Union(_) | Question::Facets(..), _) => None,
    });
    of_union.collect()
}

impl Question<'_> {
    /// It is asked after the others: what nodes count by goes by which lists were used over all of them.
    fn is_late(&self) -> bool {
        match self {
            Self::Query(..) | Self::Facets(..) => false,
            Self::Union(plan) => plan.queries.iter().any(|query| query.query.is_semantic()),
        }
    }

    fn index(&self) -> &IndexView {
        match self {
            Self::Query(plan, _) | Self::Union(plan) | Self::Facets(plan, _) => plan.index,
        }
    }

    /// The query that is to blame for an error.
    fn position(&self) -> Option<usize> {
        match self {
            Self::Query(_, query) => Some(query.position),
            Self::Union(plan) | Self::Facets(plan, _) => plan.queries.first().map(|query| query.position),
        }
    }
}

impl QueryPlan<'_> {
    fn answered<'a>(&'a self, plan: &'a IndexPlan<'_>, answer: NodeAnswer<'a>) -> QueryAnswer<'a> {
        let view = HitView {
            displayed: &plan.settings.displayed,
            retrieved: &self.retrieved,
            shows_details: self.request.shows_score_details(),
            // It was left out of the answer already.
            hidden_rule: None,
            only_rule: None,
            hides_score: !self.request.shows_score(),
            federation: None,
            pin: None,
        };
        QueryAnswer {
            position: self.position,
            weight: self.query.weight(),
            answer,
            view,
            is_semantic: self.query.is_semantic(),
            retrieves_vectors: self.query.retrieves_vectors(),
        }
    }
}

impl UnionAnswer {
    fn as_union<'a>(&'a self, distinct: Option<&'a str>) -> Union<'a> {
        let facets = members(&self.facets).filter_map(Result::ok);
        let facets: HashMap<String, &str> = facets.map(|facet| (facet.key.into_owned(), facet.value.text)).collect();
        let of = |name: &str| facets.get(name).copied();
        Union {
            total: self.total,
            facets: of("facetDistribution").map(|distribution| (distribution, of("facetStats").unwrap_or("{}"))),
            distinct: distinct.map(|attribute| UnionDistinct { attribute, by_value: self.by_value.clone() }),
        }
    }
}

fn check_patterns(index: &IndexView, patterns: Option<&[String]>) -> Result<(), ApiError> {
    check_facets(&rules_of_settings(&index.settings), patterns.unwrap_or_default().iter().map(String::as_str))
}

/// Adds up what nodes have counted.
fn read_union(
    scattered: &Scattered,
    snapshot: &RoutingSnapshot,
    plan: &IndexPlan<'_>,
    distinct: Option<&str>,
) -> Result<UnionAnswer, MergeError> {
    let mut union = UnionAnswer { missing: scattered.missing.clone(), ..UnionAnswer::default() };
    let bodies = bodies_of(scattered, snapshot).map_err(|_| MergeError::Malformed)?;
    let mut answers = Vec::with_capacity(bodies.len());
    for body in bodies {
        let mut answer = NodeAnswer::read(body)?;
        union.total += answer.total;
        for index in members(answer.facets_by_index.unwrap_or("{}")) {
            for facets in index?.value.members()? {
                let facets = facets?;
                match facets.key.as_ref() {
                    "distribution" => answer.facet_distribution = Some(facets.value.text),
                    _ => answer.facet_stats = Some(facets.value.text),
                }
            }
        }
        for facet in members(answer.facet_distribution.unwrap_or("{}")) {
            let facet = facet?;
            if Some(facet.key.as_ref()) == distinct {
                for value in facet.value.members()? {
                    let value = value?;
                    let count: u64 = value.value.text.parse().map_err(|_| MergeError::Malformed)?;
                    *union.by_value.entry(normalize(&value.key)).or_default() += count;
                }
            }
        }
        answers.push(answer);
    }
    let patterns: Vec<&str> = plan.patterns.unwrap_or_default().iter().map(String::as_str).chain(distinct).collect();
    let counted = FacetMerge::of(&answers, &plan.settings.facets, &patterns)?;
    // How many hits a threshold leaves is known as deep as each node has looked, and all together have looked deeper.
    let has_threshold = plan.queries.iter().any(|query| query.wide.has_estimated_threshold());
    union.is_total_exact = answers.len() < 2 || !has_threshold;
    let are_counts_exact = union.is_total_exact || plan.patterns.unwrap_or_default().is_empty();
    union.are_facets_exact = are_counts_exact && counted.is_exact() && !counted.has_doubts();
    union.facets.push_str("{\"total\":0");
    counted.write(&mut union.facets);
    union.facets.push('}');
    Ok(union)
}
