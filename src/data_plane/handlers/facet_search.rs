//! Facet search: the values of one facet, counted over all shards.

use bytes::Bytes;

use super::arguments::{Arguments, require_json};
use super::indexes::not_found;
use super::search::{partial_policy, with_approximate, with_missing};
use crate::data_plane::core::Core;
use crate::data_plane::denying::unknown_attributes;
use crate::data_plane::foreign_keys::{ForeignIndexes, Rewritten};
use crate::data_plane::gather::all_in_order;
use crate::data_plane::reading::{bodies_of, check_complete, explained, nothing_to_read};
use crate::data_plane::scatter::{ScatterScope, Scattered, scatter};
use crate::data_plane::upstream::NodeRequest;
use crate::http_types::{Request, Response};
use crate::logic::ids::IndexUid;
use crate::logic::merge::facet_hits::{FacetHits, FacetHitsOrder};
use crate::logic::merge::facets::FacetLimits;
use crate::logic::merge::{MergeError, Part};
use crate::logic::replica_choice::query_hash;
use crate::logic::snapshot::{CoverPart, CoveringSet};
use crate::meili::error::{ApiError, Code};
use crate::meili::facet_search::FacetSearchRequest;

/// Questions about doubts that are under way at a time.
const AT_ONCE: usize = 8;

/// `POST /indexes/{index}/facet-search`.
///
/// # Errors
/// As one server; `miroir_reserved_field`, `miroir_shard_unavailable`.
pub async fn post(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let mut search = FacetSearchRequest::from_json(&request.body)?;
    let uid = arguments.index()?;
    if let Some(rule) = arguments.grant().filter_of(uid.as_str()) {
        search.restrict(rule);
    }
    let started = core.now();
    let snapshot = core.snapshot();
    let index = snapshot.indexes.get(&uid).ok_or_else(|| not_found(&uid))?;
    let policy = partial_policy(core, request)?;
    let scope = ScatterScope { snapshot: &snapshot, index, deadline: core.read_deadline(), trace: None };
    let foreign = ForeignIndexes { core, snapshot: &snapshot, deadline: scope.deadline, policy };
    let Rewritten { filters: [filter], missing } = foreign.rewrite([(&**index, search.filter())]).await?;
    let search = match filter {
        Some(filter) => search.with_filter(filter),
        None => search,
    };
    search.check(&index.settings)?;
    let searching = FacetSearching { core, scope, request: &search };
    let set = searching.choose(&uid)?;
    let unknown = unknown_attributes(core, scope, set, search.filter(), || searching.explaining()).await;
    let search = search.with_unknown(unknown.map_err(|error| searching.judged(error))?);
    let searching = FacetSearching { core, scope, request: &search };
    let scattered = searching.ask(set).await?.lacking_too(missing);
    check_complete(&scattered, policy)?;
    let limits = FacetLimits::from_settings(&index.settings);
    let order = FacetHitsOrder::of(&limits, search.facet(), search.facet_query().is_some());
    let bodies = bodies_of(&scattered, &snapshot)?;
    let mut hits = FacetHits::of(&bodies, order).map_err(malformed)?;
    // One server's setting leaves documents out of what is counted; nodes are never told about it.
    let is_distinct = index.settings.contains_key("distinctAttribute");
    let doubts = hits.doubts(search.facet());
    if !doubts.is_empty() && search.counts_all_that_match() {
        hits.clarify(&searching.clarify(doubts, &scattered).await).map_err(malformed)?;
    }
    let elapsed = core.now().0.saturating_sub(started.0);
    let body = search.answer(&hits.shown(), elapsed, !scattered.missing.is_empty());
    let approximate = if hits.is_exact() && !is_distinct { &[][..] } else { &[Part::Facets] };
    let response = with_approximate(Response::json_bytes(200, Bytes::from(body)), approximate);
    Ok(with_missing(response, &scattered.missing))
}

fn malformed(_: MergeError) -> ApiError {
    ApiError::new(Code::Internal, "A node sent an answer that is no answer to a facet search.")
}

struct FacetSearching<'a> {
    core: &'a Core,
    scope: ScatterScope<'a>,
    request: &'a FacetSearchRequest,
}

impl<'a> FacetSearching<'a> {
    fn node_request(&self, body: Vec<u8>) -> NodeRequest {
        NodeRequest::post_read(format!("/indexes/{}/facet-search", self.scope.index.node_uid), body)
    }

    fn choose(&self, uid: &IndexUid) -> Result<&'a CoveringSet, ApiError> {
        let identity = self.request.identity();
        let hash = query_hash(std::iter::once(uid.as_str().as_bytes()).chain(identity.iter().map(Vec::as_slice)));
        self.scope.choose(self.core, hash).ok_or_else(nothing_to_read)
    }

    /// The request that makes a node say what is wrong with the client's.
    fn explaining(&self) -> NodeRequest {
        self.node_request(self.request.explain_body())
    }

    /// Which facets may be searched is said by the user's rules, not by the nodes'.
    fn judged(&self, error: ApiError) -> ApiError {
        if error.code != Code::InvalidFacetSearchFacetName {
            return error;
        }
        self.request.check_facet(&self.scope.index.settings).err().unwrap_or(error)
    }

    async fn ask(&self, set: &CoveringSet) -> Result<Scattered, ApiError> {
        let make =
            |part: &CoverPart, _is_alone: bool| self.node_request(self.request.node_body(part.filter.as_deref()));
        match scatter(self.core, self.scope, set, make).await {
            Ok(scattered) => Ok(scattered),
            Err(refusal) => {
                let refusal = explained(self.core, self.scope, refusal, self.explaining()).await;
                Err(self.judged(refusal.for_client()))
            }
        }
    }

    /// Asks for values that cut lists lack, answer by answer. Who does not answer leaves the doubt.
    async fn clarify(&self, doubts: Vec<(usize, String)>, scattered: &Scattered) -> Vec<(usize, Vec<String>)> {
        let asked = doubts.into_iter().map(|(answer, filter)| {
            let set = CoveringSet { parts: vec![scattered.answers[answer].part.clone()], missing: Vec::new() };
            async move {
                let make = |part: &CoverPart, _is_alone: bool| {
                    let filters = part.filter.as_deref().into_iter().chain([filter.as_str()]);
                    self.node_request(self.request.node_body(filters))
                };
                let answered = scatter(self.core, self.scope, &set, make).await.ok()?;
                let bodies = bodies_of(&answered, self.scope.snapshot).ok()?.into_iter().map(str::to_owned).collect();
                answered.missing.is_empty().then_some((answer, bodies))
            }
        });
        all_in_order(asked, AT_ONCE).await.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests;
