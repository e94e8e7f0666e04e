//! `/indexes/{uid}/search` and `/indexes/{uid}/facet-search`.

use serde_json::{Map, Value};

use super::params::check_uid;
use super::{Node, body};
use crate::devnode::engine::{FacetSearchQuery, SearchQuery};
use crate::devnode::http::{Request, Response};
use crate::meili::error::{ApiError, Code};
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
    let mut body = body::object(request)?;
    let facet_name = body::text(&body, "facetName", Code::InvalidFacetSearchFacetName)?
        .ok_or_else(|| ApiError::new(Code::MissingFacetSearchFacetName, "Missing field `facetName`"))?;
    let facet_query = body::text(&body, "facetQuery", Code::InvalidFacetSearchQuery)?;
    body.shift_remove("facetName");
    body.shift_remove("facetQuery");
    body.shift_remove("exhaustiveFacetCount");
    let query = FacetSearchQuery { facet_name, facet_query, search: SearchQuery::from_json(&body)? };
    let index = node.indexes.get(uid)?;
    let mut answer = index.read().engine.facet_search(&query)?;
    answer.insert("processingTimeMs".to_owned(), Value::from(started.elapsed().as_millis() as u64));
    Ok(Response::json(200, &answer))
}
