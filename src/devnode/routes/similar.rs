//! `/indexes/{uid}/similar`.

use serde_json::{Value, json};

use super::params::check_uid;
use super::{Node, body};
use crate::devnode::http::{Request, Response};
use crate::meili::error::ApiError;
use crate::meili::similar::SimilarRequest;
use crate::telemetry::clock;

/// `GET` and `POST /indexes/{uid}/similar`.
pub fn similar(node: &Node, uid: &str, request: Request) -> Result<Response, ApiError> {
    let started = clock::instant();
    let uid = check_uid(uid)?;
    let query = if request.method == "GET" {
        SimilarRequest::from_query(&request.query)?
    } else {
        SimilarRequest::from_value(body::json(request)?)?
    };
    let index = node.indexes.get(uid)?;
    let result = index.read().engine.similar(&query)?;
    let hits: Vec<Value> = result.hits.into_iter().map(|hit| hit.fields.into()).collect();
    let answer = json!({
        "hits": hits,
        "id": query.id()?,
        "processingTimeMs": started.elapsed().as_millis() as u64,
        "limit": query.limit(),
        "offset": query.offset(),
        "estimatedTotalHits": result.estimated_total_hits,
    });
    Ok(Response::json(200, &answer))
}
