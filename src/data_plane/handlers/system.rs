//! `/`, `/health` and `/version`.

use serde_json::json;

use super::arguments::Arguments;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::MEILISEARCH_VERSION;
use crate::meili::error::ApiError;

pub(super) async fn running(_core: &Core, _request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    Ok(Response::json(200, &json!({"status": "Meilisearch is running"})))
}

pub(super) async fn health(_core: &Core, _request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    Ok(Response::json(200, &json!({"status": "available"})))
}

pub(super) async fn version(_core: &Core, _request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    let version = json!({"commitSha": "unknown", "commitDate": "unknown", "pkgVersion": MEILISEARCH_VERSION});
    Ok(Response::json(200, &version))
}
