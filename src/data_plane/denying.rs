//! Attributes that a filter denies (`a != 1`): whether some document of the fleet has them.
//!
//! To one server of which no document has the attribute such a condition finds nothing; to all others it finds every
//! document that has another value, or none. A node with a part of the documents cannot tell which of the two holds.

use serde_json::Value;

use super::core::Core;
use super::reading::{bodies_of, explained};
use super::scatter::{ScatterScope, scatter};
use super::searching::merge_failed;
use super::upstream::NodeRequest;
use crate::logic::merge::answer::NodeAnswer;
use crate::logic::snapshot::{CoverPart, CoveringSet};
use crate::meili::error::ApiError;
use crate::meili::filter::denied_attributes;
use crate::meili::search::SearchRequest;

/// Attributes that the filter denies and that are in no document. `explain` makes a node say in the client's words what is
/// wrong with the request.
///
/// # Errors
/// What a node says about the request; `internal` for what no node should answer.
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
    let target = format!("/indexes/{}/search", scope.index.node_uid);
    let mut unknown = Vec::new();
    for attribute in denied {
        let make = |part: &CoverPart, _: bool| {
            NodeRequest::post_read(target.clone(), SearchRequest::having_body(part.filter.as_deref(), &attribute))
        };
        let scattered = match scatter(core, scope, set, make).await {
            Ok(scattered) => scattered,
            Err(refusal) => return Err(explained(core, scope, refusal, explain()).await),
        };
        let bodies = bodies_of(&scattered, scope.snapshot)?;
        let read = bodies.iter().map(|body| NodeAnswer::read(body)).collect::<Result<Vec<_>, _>>();
        if read.map_err(merge_failed)?.iter().all(|answer| answer.total == 0) {
            unknown.push(attribute);
        }
    }
    Ok(unknown)
}
