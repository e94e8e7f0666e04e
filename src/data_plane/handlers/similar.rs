//! Similar documents.

use bytes::Bytes;

use super::arguments::{Arguments, require_json};
use super::indexes::not_found;
use super::search::{partial_policy, with_missing};
use crate::data_plane::core::Core;
use crate::data_plane::foreign_keys::{ForeignIndexes, Rewritten};
use crate::data_plane::scatter::ScatterScope;
use crate::data_plane::similar::Similarity;
use crate::http_types::{Request, Response};
use crate::logic::merge::AnswerSettings;
use crate::meili::error::ApiError;
use crate::meili::similar::SimilarRequest;

/// `GET /indexes/{index}/similar`.
///
/// # Errors
/// As one server; `miroir_reserved_field`, `miroir_not_supported`, `miroir_shard_unavailable`.
pub async fn get(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let similar = SimilarRequest::from_query(&request.query)?;
    answer(core, request, arguments, similar).await
}

/// `POST /indexes/{index}/similar`.
///
/// # Errors
/// As [`get`].
pub async fn post(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let similar = SimilarRequest::from_json(&request.body)?;
    answer(core, request, arguments, similar).await
}

async fn answer(
    core: &Core,
    request: &Request,
    arguments: &Arguments,
    mut similar: SimilarRequest,
) -> Result<Response, ApiError> {
    let uid = arguments.index()?;
    if let Some(rule) = arguments.grant().filter_of(uid.as_str()) {
        similar.restrict(rule);
    }
    let snapshot = core.snapshot();
    let index = snapshot.indexes.get(&uid).ok_or_else(|| not_found(&uid))?;
    let scope = ScatterScope { snapshot: &snapshot, index, deadline: core.read_deadline(), trace: None };
    let settings = AnswerSettings::from_settings(&index.settings);
    let policy = partial_policy(core, request)?;
    let foreign = ForeignIndexes { core, snapshot: &snapshot, deadline: scope.deadline, policy };
    let asked = [similar.filter(), similar.rule()].map(|filter| (&**index, filter));
    let Rewritten { filters: [filter, rule], missing } = foreign.rewrite(asked).await?;
    let similar = similar.with_filters(filter, rule);
    let answer = Similarity { core, scope, request: &similar, settings: &settings, policy }.answer().await?;
    let answer = answer.lacking(missing);
    Ok(with_missing(Response::json_bytes(200, Bytes::from(answer.body)), &answer.missing))
}
