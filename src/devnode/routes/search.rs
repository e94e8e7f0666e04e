//! `/indexes/{uid}/search` and `/indexes/{uid}/facet-search`.

use serde_json::{Map, Value};

use super::params::check_uid;
use super::{Node, body};
use crate::devnode::engine::{FacetSearchQuery, SearchQuery};
use crate::devnode::http::{Request, Response};
use crate::meili::error::ApiError;
use crate::meili::facet_search::FacetSearchRequest;
use crate::meili::search::parameters_of_query;
use crate::telemetry::clock;

/// `GET` and `POST /indexes/{uid}/search`.
pub fn search(node: &Node, uid: &str, request: Request) -> Result<Response, ApiError> {
    let uid = check_uid(uid)?;
    let body = if request.method == "GET" { parameters_of_query(&request.query)? } else { body::object(request)? };
    Ok(Response::json(200, &search_index(node, uid, &body)?))
}

/// The body of the answer to one search.
pub(super) fn search_index(
    node: &Node,
    uid: &str,
    parameters: &Map<String, Value>,
) -> Result<Map<String, Value>, ApiError> {
    let started = clock::instant();
    let query = SearchQuery::from_json(parameters)?;
    let index = node.indexes.get(uid)?;
    let result = index.read().engine.search(&query)?;
    Ok(result.to_json(started.elapsed().as_millis() as u64))
}

/// `POST /indexes/{uid}/facet-search`.
pub fn facet_search(node: &Node, uid: &str, request: Request) -> Result<Response, ApiError> {
    let started = clock::instant();
    let uid = check_uid(uid)?;
    let request = FacetSearchRequest::from_value(body::json(request)?)?;
    let index = node.indexes.get(uid)?;
    let mut search = SearchQuery::from_json(&request.search())?;
    search.page = request.is_exhaustive().then_some(0);
    let facet_query = request.facet_query().map(str::to_owned);
    let query = FacetSearchQuery { facet_name: request.facet().to_owned(), facet_query, search };
    let mut answer = index.read().engine.facet_search(&query)?;
    answer.insert("processingTimeMs".to_owned(), Value::from(started.elapsed().as_millis() as u64));
    Ok(Response::json(200, &answer))
}
