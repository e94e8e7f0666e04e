//! One read, asked of all nodes of a covering set at once; what fails is asked again elsewhere.
//!
//! * A part whose node fails, is overloaded or has lost the index is covered again by other replicas in sync, within the
//!   deadline. As long as others can take over, a node has only half of the time that is left.
//! * What no replica answers is `missing` in the result: partial results are part of the type, never silent.
//! * A node that calls the *client's* request wrong ends the whole: its answer is the client's.
//!
//! Cancel safety: dropping the future closes the connections of what is in flight.

use bytes::Bytes;

use super::core::Core;
use super::gather::Gather;
use super::upstream::{NodeRequest, NodeResponse, UpstreamError};
use crate::logic::covering::{CoverInput, cover_again};
use crate::logic::ids::{Monotonic, NodeSlot, ShardId};
use crate::logic::snapshot::{CoverPart, CoveringSet, IndexView, RoutingSnapshot};

/// What one node answered for its part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartAnswer {
    /// Its part.
    pub part: CoverPart,
    /// The body of its answer; the status was 2xx.
    pub body: Bytes,
    /// Which part of the original set this is or stands in for, then which of several stand-ins. Decides the order.
    place: (usize, usize),
}

/// What all nodes answered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scattered {
    /// In the order of the covering set.
    pub answers: Vec<PartAnswer>,
    /// Shards that nobody answered for, ascending.
    pub missing: Vec<ShardId>,
    /// There is one answer, and its node was asked as the only one.
    pub is_alone: bool,
}

/// A node refused the request as the client's mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRefusal {
    /// Which node.
    pub node: NodeSlot,
    /// Its answer, an error body.
    pub response: NodeResponse,
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
}

impl ScatterScope<'_> {
    fn cover_input(&self) -> CoverInput<'_> {
        CoverInput { placement: &self.snapshot.placement, out_of_sync: &self.index.out_of_sync, may_hold_foreign: &[] }
    }

    /// Other replicas for these shards.
    pub fn cover(&self, shards: &[ShardId], excluded: &[NodeSlot]) -> CoveringSet {
        cover_again(self.cover_input(), shards, excluded)
    }
}

/// Asks every part. `make` writes a node's request; its second argument says that this node is the only one asked.
pub async fn scatter(
    core: &Core,
    scope: ScatterScope<'_>,
    set: &CoveringSet,
    make: impl Fn(&CoverPart, bool) -> NodeRequest,
) -> Result<Scattered, NodeRefusal> {
    let mut result = Scattered { missing: set.missing.clone(), ..Scattered::default() };
    let mut failed: Vec<NodeSlot> = Vec::new();
    let mut in_flight = Gather::new();
    let ask = |part: &CoverPart, is_alone: bool, failed: &[NodeSlot]| {
        let request = make(part, is_alone);
        let deadline = attempt_deadline(core, &scope, part, failed);
        let node = &scope.snapshot.nodes[usize::from(part.node.0)];
        core.upstream.send(node, request, deadline)
    };
    for (place, part) in set.parts.iter().enumerate() {
        let is_alone = set.parts.len() == 1;
        in_flight.push((part.clone(), (place, 0), is_alone), ask(part, is_alone, &failed));
    }
    while let Some(((part, place, is_alone), outcome)) = in_flight.next().await {
        match verdict(outcome) {
            Verdict::Answer(body) => {
                result.is_alone = is_alone;
                result.answers.push(PartAnswer { part, body, place });
            }
            Verdict::Refused(response) => return Err(NodeRefusal { node: part.node, response }),
            Verdict::Failed(reason) => {
                let node = &scope.snapshot.nodes[usize::from(part.node.0)].id;
                tracing::debug!(%node, reason, "a node did not answer a read");
                failed.push(part.node);
                let again = scope.cover(&part.shards, &failed);
                result.missing.extend(&again.missing);
                if core.now() >= scope.deadline {
                    result.missing.extend(again.parts.iter().flat_map(|part| &part.shards));
                    continue;
                }
                let is_alone = is_alone && again.parts.len() == 1;
                for (stand_in, part) in again.parts.iter().enumerate() {
                    // Stand-ins of stand-ins keep their order behind it.
                    let place = (place.0, place.1 * 64 + stand_in);
                    in_flight.push((part.clone(), place, is_alone), ask(part, is_alone, &failed));
                }
            }
        }
    }
    result.answers.sort_by_key(|answer| answer.place);
    result.missing.sort_unstable();
    result.missing.dedup();
    Ok(result)
}

/// All the time that is left, or half of it while others could take over.
fn attempt_deadline(core: &Core, scope: &ScatterScope<'_>, part: &CoverPart, failed: &[NodeSlot]) -> Monotonic {
    let excluded: Vec<NodeSlot> = failed.iter().copied().chain([part.node]).collect();
    let has_stand_ins = part.shards.first().is_some_and(|shard| {
        let replicas = &scope.snapshot.placement[usize::from(shard.0)];
        replicas.iter().any(|node| !excluded.contains(node) && !scope.index.out_of_sync.contains(node))
    });
    let now = core.now();
    let left = scope.deadline.0.saturating_sub(now.0);
    if has_stand_ins { now.plus_ms(left / 2) } else { scope.deadline }
}

enum Verdict {
    Answer(Bytes),
    Refused(NodeResponse),
    Failed(String),
}

/// Whose fault it is when it is not an answer.
fn verdict(outcome: Result<NodeResponse, UpstreamError>) -> Verdict {
    match outcome {
        Ok(response) if (200..300).contains(&response.status) => Verdict::Answer(response.body),
        // A key that does not fit, an index that is gone, time-outs and overload are the node's state, not the client's
        // request.
        Ok(response) if matches!(response.status, 401 | 403 | 408 | 429) => {
            Verdict::Failed(format!("status {}", response.status))
        }
        Ok(response) if response.status == 404 && names_index(&response.body) => {
            Verdict::Failed("the index is not there".to_owned())
        }
        Ok(response) if (400..500).contains(&response.status) => Verdict::Refused(response),
        Ok(response) => Verdict::Failed(format!("status {}", response.status)),
        Err(error) => Verdict::Failed(error.to_string()),
    }
}

fn names_index(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"index_not_found").is_some()
}
