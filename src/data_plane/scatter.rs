//! One read, asked of all nodes of a covering set at once; what fails or takes too long is asked again elsewhere.
//!
//! * A part whose node fails, is overloaded or has lost the index is covered again by other replicas in sync, within the
//!   deadline. As long as others can take over all of it, a node has only half of the time that is left.
//! * A part whose node takes longer than it takes for nineteen of twenty answers is hedged: others are asked too, and
//!   whoever is complete first counts. Once per part, and within a budget (see [`HedgeBudget`]).
//! * A node that does not answer the prober is asked only when nobody else has its shards (see [`super::patience`]).
//! * What no replica answers is `missing` in the result: partial results are part of the type, never silent.
//! * What is missing only because this core asks more than the nodes can answer is told apart: that is overload, and no
//!   reason for partial results.
//! * A node that calls the *client's* request wrong ends the whole: its answer is the client's. Only what a node finds wrong
//!   because it lacks documents is left out for that node: it is wrong when all nodes say so.
//!
//! Cancel safety: dropping the future closes the connections of what is in flight.

use std::cell::{Cell, RefCell};
use std::pin::pin;

use bytes::Bytes;

use super::core::Core;
use super::gather::Gather;
use super::trace::{Occasion, Trace};
use super::upstream::{LocalFuture, NodeLoad, NodeRequest, NodeResponse, UpstreamError};
use crate::logic::covering::{CoverInput, cover_again};
use crate::logic::ids::{Monotonic, NodeSlot, ShardId};
use crate::logic::replica_choice::choose;
use crate::logic::snapshot::{CoverPart, CoveringSet, IndexView, RoutingSnapshot};
use crate::meili::error::ErrorBody;
use crate::meili::unsearchable::Unsearchable;

/// No hedge before that, in milliseconds.
const HEDGE_AFTER_MIN_MS: u64 = 10;

/// The latest hedge, as a part of the time left.
const HEDGE_LATEST_SHARE: u64 = 4;

/// A node that has answered nothing for so long, in milliseconds, though it was asked, is hedged at no cost: it hangs.
const SILENCE_MS: u64 = 100;

/// A node says what it refuses, and what else it would refuse can be told from that; more often it is not asked again.
const REFUSALS_MAX: usize = 4;

/// What one node answered for its part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartAnswer {
    /// Its part.
    pub part: CoverPart,
    /// The body of its answer; the status was 2xx.
    pub body: Bytes,
    /// It was asked as the only one.
    is_alone: bool,
    /// What was left out for this node, which refuses it.
    left_out: Vec<LeftOut>,
}

/// What all nodes answered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scattered {
    /// In the order of the covering set; stand-ins in the place of whom they stand in for.
    pub answers: Vec<PartAnswer>,
    /// Shards that nobody answered for, ascending.
    pub missing: Vec<ShardId>,
    /// Some of them are missing because their node, which is well, was asked too much.
    pub is_overloaded: bool,
}

impl Scattered {
    fn lacking(shards: Vec<ShardId>) -> Self {
        Self { answers: Vec::new(), missing: shards, is_overloaded: false }
    }

    /// Blames the load for what is missing.
    fn overloaded(self) -> Self {
        Self { is_overloaded: !self.missing.is_empty(), ..self }
    }

    /// The same answers where these shards are missing, too.
    #[must_use]
    pub fn lacking_too(mut self, shards: Vec<ShardId>) -> Self {
        self.missing.extend(shards);
        self.missing.sort_unstable();
        self.missing.dedup();
        self
    }

    /// There is one answer, and its node was asked as the only one.
    pub fn is_alone(&self) -> bool {
        matches!(&self.answers[..], [answer] if answer.is_alone)
    }

    /// The refusal of all nodes, if there is something that all of them refuse.
    fn refused_by_all(&self) -> Option<NodeRefusal> {
        let first = self.answers.first()?;
        let names = |answer: &PartAnswer, name: &String| answer.left_out.iter().any(|left| left.names.contains(name));
        let mut refused = first.left_out.iter().flat_map(|left_out| &left_out.names);
        let name = refused.find(|name| self.answers.iter().all(|answer| names(answer, name)))?;
        let reasons = self.answers.iter().flat_map(|answer| &answer.left_out).map(|left_out| &left_out.reason);
        let response = NodeResponse { status: 400, body: Unsearchable::united(reasons, name)?.into() };
        Some(NodeRefusal { node: first.part.node, response, left_out: Vec::new() })
    }
}

/// A node refused the request as the client's mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRefusal {
    /// Which node.
    pub node: NodeSlot,
    /// Its answer, an error body.
    pub response: NodeResponse,
    /// What it had refused before, and was asked without.
    pub left_out: Vec<LeftOut>,
}

/// What a node is not asked for because it refuses it for want of documents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// What it said about the first of them.
    pub reason: Unsearchable,
    /// In the order of the request.
    names: Vec<String>,
}

impl LeftOut {
    /// In the order of the request.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// Hedges that a core may still send: one for twenty requests, and some at once.
#[derive(Debug)]
pub struct HedgeBudget(Cell<f64>);

impl Default for HedgeBudget {
    fn default() -> Self {
        Self(Cell::new(Self::MAX))
    }
}

impl HedgeBudget {
    const MAX: f64 = 64.0;
    const OF_A_REQUEST: f64 = 0.05;

    fn earn(&self) {
        self.0.set((self.0.get() + Self::OF_A_REQUEST).min(Self::MAX));
    }

    fn spend(&self) -> bool {
        let has_one = self.0.get() >= 1.0;
        if has_one {
            self.0.set(self.0.get() - 1.0);
        }
        has_one
    }
}

/// Of one read.
#[derive(Clone, Copy)]
pub struct ScatterScope<'a> {
    /// The fleet.
    pub snapshot: &'a RoutingSnapshot,
    /// The index.
    pub index: &'a IndexView,
    /// When the answer must be there.
    pub deadline: Monotonic,
    /// Where to note what was asked, if anybody wants to know.
    pub trace: Option<&'a Trace>,
}

impl<'a> ScatterScope<'a> {
    /// Replicas for these shards.
    pub fn cover(&self, shards: &[ShardId], excluded: &[NodeSlot]) -> CoveringSet {
        let RoutingSnapshot { nodes, placement, foreign, .. } = self.snapshot;
        let slots = nodes.iter().zip(0..).filter(|(node, _)| !node.reachable);
        let unreachable: Vec<NodeSlot> = slots.map(|(_, slot)| NodeSlot(slot)).collect();
        let out_of_sync = &self.index.out_of_sync;
        let input = CoverInput { placement, out_of_sync, unreachable: &unreachable, may_hold_foreign: foreign };
        cover_again(input, shards, excluded)
    }

    /// The covering set for a query, by its hash and how busy the nodes are.
    pub fn choose(&self, core: &Core, query_hash: u64) -> Option<&'a CoveringSet> {
        let nodes = &self.snapshot.nodes;
        let expected_us = |node: NodeSlot| core.upstream.load(&nodes[usize::from(node.0)].id).expected_us();
        choose(&self.index.covers, nodes, query_hash, expected_us)
    }

    /// Whether anybody else may be read for shards of the part.
    fn stand_ins(&self, part: &CoverPart, excluded: &[NodeSlot]) -> StandIns {
        let has_others = |shard: &ShardId| {
            let replicas = &self.snapshot.placement[usize::from(shard.0)];
            replicas.iter().any(|node| !excluded.contains(node) && !self.index.out_of_sync.contains(node))
        };
        match part.shards.iter().filter(|shard| has_others(shard)).count() {
            0 => StandIns::None,
            count if count < part.shards.len() => StandIns::Some,
            _ => StandIns::All,
        }
    }
}

/// For how many shards of a part somebody else may be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StandIns {
    None,
    /// A hedge may help; but without the node itself the answer is not whole.
    Some,
    All,
}

/// Asks every part. `make` writes a node's request; its second argument says that this node is the only one asked.
pub async fn scatter(
    core: &Core,
    scope: ScatterScope<'_>,
    set: &CoveringSet,
    make: impl Fn(&CoverPart, bool) -> NodeRequest,
) -> Result<Scattered, NodeRefusal> {
    let asking = Asking { core, scope, make: &make, failed: RefCell::default() };
    let way = Way { is_alone: true, is_hedge: false, tried: Vec::new() };
    let mut result = asking.all_of(set, &way).await?;
    result.missing.sort_unstable();
    result.missing.dedup();
    result.refused_by_all().map_or(Ok(result), Err)
}

/// How a part came to be asked for.
#[derive(Clone)]
struct Way {
    is_alone: bool,
    is_hedge: bool,
    /// Who was asked for these shards before.
    tried: Vec<NodeSlot>,
}

impl Way {
    fn occasion(&self) -> Occasion {
        if self.is_hedge {
            Occasion::Hedge
        } else if self.tried.is_empty() {
            Occasion::Chosen
        } else {
            Occasion::Retry
        }
    }
}

struct Asking<'a> {
    core: &'a Core,
    scope: ScatterScope<'a>,
    make: &'a dyn Fn(&CoverPart, bool) -> NodeRequest,
    /// By any part.
    failed: RefCell<Vec<NodeSlot>>,
}

impl Asking<'_> {
    async fn all_of(&self, set: &CoveringSet, way: &Way) -> Result<Scattered, NodeRefusal> {
        let is_alone = way.is_alone && set.parts.len() == 1;
        let mut in_flight = Gather::new();
        for (place, part) in set.parts.iter().enumerate() {
            in_flight.push(place, self.one(part, Way { is_alone, ..way.clone() }));
        }
        let mut results: Vec<(usize, Scattered)> = Vec::with_capacity(set.parts.len());
        while let Some((place, result)) = in_flight.next().await {
            results.push((place, result?));
        }
        results.sort_by_key(|(place, _)| *place);
        let mut whole = Scattered::lacking(set.missing.clone());
        for (_, result) in results {
            whole.answers.extend(result.answers);
            whole.missing.extend(result.missing);
            whole.is_overloaded |= result.is_overloaded;
        }
        Ok(whole)
    }

    /// A part from its node, or from whoever stands in for it.
    async fn one(&self, part: &CoverPart, way: Way) -> Result<Scattered, NodeRefusal> {
        let mut excluded = way.tried.clone();
        excluded.extend(self.failed.borrow().iter().copied().chain([part.node]));
        let stand_ins = self.scope.stand_ins(part, &excluded);
        let mut own = pin!(self.ask(part, &way, stand_ins));
        let answered = if stand_ins != StandIns::None && !way.is_hedge {
            self.before_hedge(part, own.as_mut()).await
        } else {
            Some(own.as_mut().await)
        };
        match answered {
            Some(Verdict::Failed) => self.stand_ins(part, way.clone()).await,
            Some(Verdict::Busy) => self.stand_ins(part, way.clone()).await.map(Scattered::overloaded),
            Some(verdict) => verdict.settle(part, way.is_alone),
            None => {
                let mut both = Gather::new();
                let hedge = Way { is_hedge: true, ..way.clone() };
                both.push((), self.stand_ins(part, hedge));
                both.push((), boxed(async { own.await.settle(part, way.is_alone) }));
                let mut best: Option<Scattered> = None;
                let mut is_overloaded = false;
                while let Some(((), result)) = both.next().await {
                    let result = result?;
                    is_overloaded |= result.is_overloaded;
                    if best.as_ref().is_none_or(|best| result.missing.len() < best.missing.len()) {
                        best = Some(result);
                    }
                    if best.as_ref().is_some_and(|best| best.missing.is_empty()) {
                        break;
                    }
                }
                let best = best.unwrap_or_default();
                Ok(if is_overloaded { best.overloaded() } else { best })
            }
        }
    }

    /// What the node answers, or none when it is time to ask others too.
    async fn before_hedge(&self, part: &CoverPart, mut own: impl Future<Output = Verdict> + Unpin) -> Option<Verdict> {
        let node = &self.scope.snapshot.nodes[usize::from(part.node.0)].id;
        let NodeLoad { slow_us, .. } = self.core.upstream.load(node);
        let latest = self.scope.deadline.0.saturating_sub(self.core.now().0) / HEDGE_LATEST_SHARE;
        let usual = if slow_us > 0.0 { (slow_us / 1_000.0) as u64 } else { latest };
        let delay = usual.max(HEDGE_AFTER_MIN_MS).min(latest.max(1));
        self.core.hedges.earn();
        loop {
            if let Some(verdict) = self.core.before(self.core.now().plus_ms(delay), &mut own).await {
                return Some(verdict);
            }
            let is_silent = self.core.upstream.load(node).silent_ms >= SILENCE_MS;
            if is_silent || self.core.hedges.spend() {
                return None;
            }
        }
    }

    fn stand_ins<'a>(&'a self, part: &'a CoverPart, way: Way) -> LocalFuture<'a, Result<Scattered, NodeRefusal>> {
        boxed(async move {
            let tried: Vec<NodeSlot> = way.tried.iter().copied().chain([part.node]).collect();
            let excluded: Vec<NodeSlot> = tried.iter().chain(&*self.failed.borrow()).copied().collect();
            if self.core.now() >= self.scope.deadline {
                return Ok(Scattered::lacking(part.shards.clone()));
            }
            let set = self.scope.cover(&part.shards, &excluded);
            self.all_of(&set, &Way { tried, ..way }).await
        })
    }

    async fn ask(&self, part: &CoverPart, way: &Way, stand_ins: StandIns) -> Verdict {
        let mut request = (self.make)(part, way.is_alone);
        let mut left_out = Vec::new();
        loop {
            match self.ask_for(part, way, stand_ins, request.clone()).await {
                Verdict::Answer { body, .. } => return Verdict::Answer { body, left_out },
                Verdict::Refused { response, .. } => {
                    let reason = Unsearchable::read(&response.body).filter(|_| left_out.len() < REFUSALS_MAX);
                    let user = &self.scope.index.settings;
                    let lesser = reason.and_then(|reason| Some((reason.left_out_of(&request.body, user)?, reason)));
                    let Some(((body, names), reason)) = lesser else { return Verdict::Refused { response, left_out } };
                    left_out.push(LeftOut { reason, names });
                    request.body = body.into();
                }
                other @ (Verdict::Failed | Verdict::Busy) => return other,
            }
        }
    }

    async fn ask_for(&self, part: &CoverPart, way: &Way, stand_ins: StandIns, request: NodeRequest) -> Verdict {
        let Self { core, scope, .. } = self;
        let now = core.now();
        let node = &scope.snapshot.nodes[usize::from(part.node.0)];
        let patience = core.patience.with(node, now, scope.deadline);
        let half = now.plus_ms(scope.deadline.0.saturating_sub(now.0) / 2);
        let deadline = if stand_ins == StandIns::All { patience.min(half) } else { patience };
        let pending = scope.trace.map(|trace| trace.begin(&request));
        let outcome = core.upstream.send(node, request, deadline).await;
        if let Some(pending) = pending {
            pending.end(part, way.occasion(), &outcome);
        }
        core.patience.note(&node.id, &outcome, core.now());
        if matches!(outcome, Err(UpstreamError::Busy { .. })) {
            return Verdict::Busy;
        }
        let verdict = verdict(outcome);
        if let Err(reason) = &verdict {
            tracing::debug!(node = %node.id, reason, "a node did not answer a read");
            self.failed.borrow_mut().push(part.node);
        }
        verdict.unwrap_or(Verdict::Failed)
    }
}

/// Ends the recursion of types: a part may be answered by parts.
fn boxed<'a, T>(future: impl Future<Output = T> + 'a) -> LocalFuture<'a, T> {
    Box::pin(future)
}

enum Verdict {
    Answer {
        body: Bytes,
        /// See [`PartAnswer`].
        left_out: Vec<LeftOut>,
    },
    Refused {
        response: NodeResponse,
        /// See [`NodeRefusal`].
        left_out: Vec<LeftOut>,
    },
    Failed,
    /// It is well, but was not asked: see [`UpstreamError::Busy`].
    Busy,
}

impl Verdict {
    fn settle(self, part: &CoverPart, is_alone: bool) -> Result<Scattered, NodeRefusal> {
        match self {
            Self::Answer { body, left_out } => {
                let answer = PartAnswer { part: part.clone(), body, is_alone, left_out };
                Ok(Scattered { answers: vec![answer], ..Scattered::default() })
            }
            Self::Refused { response, left_out } => Err(NodeRefusal { node: part.node, response, left_out }),
            Self::Failed => Ok(Scattered::lacking(part.shards.clone())),
            Self::Busy => Ok(Scattered::lacking(part.shards.clone()).overloaded()),
        }
    }
}

/// Whose fault it is when it is not an answer; the node's: why.
fn verdict(outcome: Result<NodeResponse, UpstreamError>) -> Result<Verdict, String> {
    let response = outcome.map_err(|error| error.to_string())?;
    match response.status {
        200..300 => Ok(Verdict::Answer { body: response.body, left_out: Vec::new() }),
        // A key that does not fit, an index that is gone, time-outs and overload are the node's state, not the client's
        // request.
        404 if names_index(&response.body) => Err("the index is not there".to_owned()),
        401 | 403 | 408 | 429 => Err(format!("status {}", response.status)),
        status if is_refusal(status) => Ok(Verdict::Refused { response, left_out: Vec::new() }),
        status => Err(format!("status {status}")),
    }
}

/// Whether a status is about the request. No server has 501; the embedded node says so of what it does not do.
pub fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) || status == 501
}

/// By the code: the message may repeat what the client wrote.
fn names_index(body: &[u8]) -> bool {
    serde_json::from_slice::<ErrorBody>(body).is_ok_and(|error| error.code == "index_not_found")
}
