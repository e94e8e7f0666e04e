//! `POST /multi-search`: several searches in one request.

use std::cell::RefCell;
use std::fmt::Write as _;

use bytes::Bytes;

use super::arguments::{Arguments, require_json};
use super::indexes::not_found;
use super::search::{answer_query, partial_policy, with_approximate, with_missing};
use crate::data_plane::core::{Core, PartialPolicy};
use crate::data_plane::federating::Federating;
use crate::data_plane::gather::in_order;
use crate::data_plane::scatter::ScatterScope;
use crate::data_plane::searching::SearchAnswer;
use crate::http_types::{Request, Response};
use crate::logic::ids::{IndexUid, Monotonic};
use crate::logic::snapshot::RoutingSnapshot;
use crate::meili::error::ApiError;
use crate::meili::keys::Grant;
use crate::meili::multi_search::{
    Federation, ListedQuery, MultiSearch, inside_query, options_without_federation, status_of,
};
use crate::meili::search::SearchRequest;

/// Queries of one request that are answered at a time; each asks several nodes.
const AT_ONCE: usize = 8;

/// `POST /multi-search`.
///
/// # Errors
/// As one server; `miroir_reserved_field`, `miroir_not_supported`, `miroir_shard_unavailable`.
pub(super) async fn post(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let mut searches = MultiSearch::from_json(&request.body)?;
    restrict(&mut searches, arguments.grant())?;
    let policy = partial_policy(core, request)?;
    let answered = match &searches.federation {
        Some(federation) => federated(core, &searches, federation, policy).await,
        None => plain(core, &searches.queries, policy).await,
    };
    answered.or_else(|error| match status_of(&error, **core.bridge.features.load()) {
        400 => Ok(Response::json(400, &error.body())),
        _ => Err(error),
    })
}

/// Refuses queries that the caller may not ask, and gives the others the filters of its token.
fn restrict(searches: &mut MultiSearch, grant: &Grant) -> Result<(), ApiError> {
    for (place, query) in searches.queries.iter_mut().enumerate() {
        if !grant.allows_index(&query.index_uid) {
            return Err(inside_query(place, &Grant::refusal()));
        }
        if let Some(rule) = grant.filter_of(&query.index_uid) {
            query.restrict(rule);
        }
    }
    Ok(())
}

/// Answers each query as if it had come alone.
async fn plain(core: &Core, queries: &[ListedQuery], policy: PartialPolicy) -> Result<Response, ApiError> {
    let snapshot = core.snapshot();
    // All of them together have the time of one.
    let deadline = core.read_deadline();
    // Each answer is there twice at the end.
    let share = RefCell::new(core.bridge.memory.share());
    let searches = queries.iter().map(async |query| {
        let answer = answer_one(core, &snapshot, query, policy, deadline).await?;
        core.take_room(&mut share.borrow_mut(), 2 * answer.body.len() as u64)?;
        Ok(answer)
    });
    let answers = in_order(searches, AT_ONCE).await.map_err(|(place, error)| inside_query(place, &error))?;
    let mut results = String::from("{\"results\":[");
    for (query, answer) in queries.iter().zip(&answers) {
        if results.ends_with('}') {
            results.push(',');
        }
        let members = answer.body.strip_prefix('{').unwrap_or_default();
        write!(results, "{{\"indexUid\":\"{}\",{members}", query.index_uid).expect("strings take all");
    }
    results.push_str("]}");
    Ok(marked(Response::json_bytes(200, Bytes::from(results)), &answers))
}

/// Answers all queries as one.
async fn federated(
    core: &Core,
    searches: &MultiSearch,
    federation: &Federation,
    policy: PartialPolicy,
) -> Result<Response, ApiError> {
    let snapshot = core.snapshot();
    let answer = Federating { core, snapshot: &snapshot, searches, federation, policy }.answer().await?;
    let SearchAnswer { body, missing, approximate, .. } = answer;
    let response = with_approximate(Response::json_bytes(200, Bytes::from(body)), &approximate);
    Ok(with_missing(response, &missing))
}

async fn answer_one(
    core: &Core,
    snapshot: &RoutingSnapshot,
    query: &ListedQuery,
    policy: PartialPolicy,
    deadline: Monotonic,
) -> Result<SearchAnswer, ApiError> {
    if query.options.is_some() {
        return Err(options_without_federation());
    }
    query.check_filter()?;
    query.check_network()?;
    let uid = IndexUid::new(query.index_uid.as_str());
    let index = snapshot.indexes.get(&uid).ok_or_else(|| not_found(&uid))?;
    let search = SearchRequest::from_parameters(query.parameters.clone())?;
    let scope = ScatterScope { snapshot, index, deadline, trace: None };
    answer_query(core, scope, &search, || Ok(policy)).await
}

/// Says what the answers lack, all together.
fn marked(response: Response, answers: &[SearchAnswer]) -> Response {
    let mut missing: Vec<_> = answers.iter().flat_map(|answer| answer.missing.iter().copied()).collect();
    let mut approximate: Vec<_> = answers.iter().flat_map(|answer| answer.approximate.iter().copied()).collect();
    missing.sort_unstable();
    missing.dedup();
    approximate.sort_unstable();
    approximate.dedup();
    with_missing(with_approximate(response, &approximate), &missing)
}

#[cfg(test)]
mod tests;
