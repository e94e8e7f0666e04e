//! Search: ask one replica of every shard, merge, answer as one server would.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};

use super::arguments::{Arguments, require_json};
use super::indexes::not_found;
use crate::data_plane::core::{Core, PartialPolicy};
use crate::data_plane::foreign_keys::{ForeignIndexes, Rewritten};
use crate::data_plane::reading::list;
use crate::data_plane::scatter::ScatterScope;
use crate::data_plane::searching::{SearchAnswer, Searching};
use crate::data_plane::trace::Trace;
use crate::http_types::{Request, Response};
use crate::logic::ids::ShardId;
use crate::logic::merge::hydration::Keys;
use crate::logic::merge::{AnswerSettings, Part};
use crate::meili::error::{ApiError, Code};
use crate::meili::keys::Grant;
use crate::meili::search::SearchRequest;
use crate::meili::settings::foreign_keys;

/// Which shards an answer lacks.
const DEGRADED: HeaderName = HeaderName::from_static("x-miroir-degraded");

/// Which parts of an answer are not exact.
const APPROXIMATE: HeaderName = HeaderName::from_static("x-miroir-approximate");

/// `true`: the answer says how it came about.
const EXPLAIN: &str = "x-miroir-explain";

/// `allow` or `deny`: what one request wants instead of the configured policy.
const PARTIAL: &str = "x-miroir-partial";

/// `GET /indexes/{index}/search`.
///
/// # Errors
/// As one server; `miroir_reserved_field`, `miroir_not_supported`, `miroir_shard_unavailable`.
pub async fn get(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let search = SearchRequest::from_query(&request.query)?;
    answer(core, request, arguments, search).await
}

/// `POST /indexes/{index}/search`.
///
/// # Errors
/// As [`get`].
pub async fn post(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let search = SearchRequest::from_json(&request.body)?;
    answer(core, request, arguments, search).await
}

async fn answer(
    core: &Core,
    request: &Request,
    arguments: &Arguments,
    mut search: SearchRequest,
) -> Result<Response, ApiError> {
    let uid = arguments.index()?;
    if let Some(rule) = arguments.grant().filter_of(uid.as_str()) {
        search.restrict(rule);
    }
    let snapshot = core.snapshot();
    let index = snapshot.indexes.get(&uid).ok_or_else(|| not_found(&uid))?;
    let trace = is_explained(request, arguments.grant())?.then(Trace::default);
    let scope = ScatterScope { snapshot: &snapshot, index, deadline: core.read_deadline(), trace: trace.as_ref() };
    let answer = answer_query(core, scope, &search, || partial_policy(core, request)).await?;
    let response = with_approximate(Response::json_bytes(200, Bytes::from(answer.body)), &answer.approximate);
    Ok(with_missing(response, &answer.missing))
}

/// Answers one search of an index that is there.
pub(super) async fn answer_query(
    core: &Core,
    scope: ScatterScope<'_>,
    search: &SearchRequest,
    policy: impl FnOnce() -> Result<PartialPolicy, ApiError>,
) -> Result<SearchAnswer, ApiError> {
    let ScatterScope { snapshot, index, deadline, .. } = scope;
    let foreign = ForeignIndexes { core, snapshot, deadline, policy: policy()? };
    let Rewritten { filters: [filter], missing } = foreign.rewrite([(index, search.filter())]).await?;
    let search = filter.map_or(Cow::Borrowed(search), |filter| Cow::Owned(search.with_filter(filter)));
    search.check(index.uid.as_str(), &index.settings)?;
    search.check_media(**core.bridge.features.load())?;
    let settings = AnswerSettings::from_settings(&index.settings);
    let answer = Searching::of(core, scope, &search, &settings, foreign.policy).answer().await?;
    foreign.hydrate(answer.lacking(missing), Keys::OfIndex(&foreign_keys(&index.settings))).await
}

/// Whether the answer is to say how it came about: which nodes there are is not for everybody.
fn is_explained(request: &Request, grant: &Grant) -> Result<bool, ApiError> {
    match request.header(EXPLAIN) {
        None | Some("false") => Ok(false),
        Some("true") if grant.may_see_fleet() => Ok(true),
        Some("true") => {
            let message = "The header `X-Miroir-Explain` takes the master key, or a key with the action `network.get`.";
            Err(ApiError::new(Code::InvalidApiKey, message))
        }
        Some(other) => {
            let message = format!("The header `X-Miroir-Explain` must be `true` or `false`, found `{other}`.");
            Err(ApiError::new(Code::BadRequest, message))
        }
    }
}

/// What this request wants of partial results.
pub(super) fn partial_policy(core: &Core, request: &Request) -> Result<PartialPolicy, ApiError> {
    match request.header(PARTIAL) {
        Some("allow") => Ok(PartialPolicy::Partial),
        Some("deny") => Ok(PartialPolicy::Error),
        Some(other) => {
            let message = format!("The header `X-Miroir-Partial` must be `allow` or `deny`, found `{other}`.");
            Err(ApiError::new(Code::BadRequest, message))
        }
        None => Ok(core.settings.partial),
    }
}

/// Marks an answer of which some parts may be a little off what one server would say.
pub(super) fn with_approximate(response: Response, parts: &[Part]) -> Response {
    if parts.is_empty() {
        return response;
    }
    let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
    let value = HeaderValue::from_str(&names.join(",")).expect("letters and commas are valid in a header");
    response.with_header(APPROXIMATE, value)
}

/// Marks an answer that lacks shards.
pub(super) fn with_missing(response: Response, missing: &[ShardId]) -> Response {
    if missing.is_empty() {
        return response;
    }
    let value = format!("shards={}", list(missing));
    let value = HeaderValue::from_str(&value).expect("digits and commas are valid in a header");
    response.with_header(DEGRADED, value)
}

#[cfg(test)]
pub(super) mod tests;
