//! Attributes that a filter denies (`a != 1`): whether some document of the fleet has, or had, them.
//!
//! To one server of which no document ever had the attribute such a condition finds nothing; to all others it finds every
//! document that has another value, or none. A node with a part of the documents cannot tell which of the two holds.

use serde_json::Value;

use super::core::Core;
use super::gather::in_order;
use super::reading::{Refusal, bodies_of, explained};
use super::scatter::{ScatterScope, scatter};
use super::searching::merge_failed;
use super::upstream::NodeRequest;
use crate::logic::merge::answer::NodeAnswer;
use crate::logic::snapshot::{CoverPart, CoveringSet};
use crate::meili::error::ApiError;
use crate::meili::filter::denied_attributes;
use crate::meili::search::SearchRequest;

/// Questions of one request that are under way at a time; each goes to several nodes.
const AT_ONCE: usize = 8;

/// Attributes that the filter denies and that no node knows: none of its documents ever had them. `explain` makes a node say
/// in the client's words what is wrong with the request.
///
/// # Errors
/// What a node says about the request; `miroir_overloaded`; `internal` for what no node should answer.
pub(super) async fn unknown_attributes(
    core: &Core,
    scope: ScatterScope<'_>,
    set: &CoveringSet,
    filter: Option<&Value>,
    explain: impl Fn() -> NodeRequest,
) -> Result<Vec<String>, ApiError> {
    let denied = filter.map(denied_attributes).unwrap_or_default();
    if set.parts.len() < 2 {
        // The only node means by it what one server means.
        return Ok(denied);
    }
    let known = denied.iter().map(|attribute| is_known(core, scope, set, attribute, &explain));
    let known = in_order(known, AT_ONCE).await.map_err(|(_, error)| error)?;
    Ok(denied.into_iter().zip(known).filter(|(_, is_known)| !is_known).map(|(attribute, _)| attribute).collect())
}

/// Whether any node knows the attribute. Shards that nobody answers for are taken to do: then nothing is left out.
async fn is_known(
    core: &Core,
    scope: ScatterScope<'_>,
    set: &CoveringSet,
    attribute: &str,
    explain: &impl Fn() -> NodeRequest,
) -> Result<bool, ApiError> {
    let target = format!("/indexes/{}/search", scope.index.node_uid);
    let body = SearchRequest::knowing_body(attribute);
    let make = |_: &CoverPart, _: bool| NodeRequest::post_read(target.clone(), body.clone());
    let scattered = match scatter(core, scope, set, make).await {
        Ok(scattered) => scattered,
        Err(refusal) => {
            return match explained(core, scope, refusal, explain()).await {
                Refusal::OfRequest(error) => Err(error),
                // Who refuses this condition and takes the filter never comes to it: nothing is left of what stands before it.
                Refusal::OfQuestion => Ok(true),
            };
        }
    };
    if scattered.is_overloaded {
        return Err(ApiError::overloaded("too many requests wait for the nodes"));
    }
    let bodies = bodies_of(&scattered, scope.snapshot)?;
    let answers = bodies.iter().map(|body| NodeAnswer::read(body)).collect::<Result<Vec<_>, _>>();
    let finds_any = answers.map_err(merge_failed)?.iter().any(|answer| answer.total > 0);
    Ok(finds_any || !scattered.missing.is_empty())
}
