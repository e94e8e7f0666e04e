//! `/experimental-features`: what is switched on in the whole fleet.

use super::arguments::{Arguments, require_json};
use super::tasks::ask;
use crate::bridge::Command;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::error::ApiError;
use crate::meili::features::FeaturesPatch;

pub(super) async fn get(core: &Core, _request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    Ok(Response::json(200, &core.bridge.features.load().to_json()))
}

pub(super) async fn update(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let patch = FeaturesPatch::parse(&request.body)?;
    let features = ask(core, |reply| Command::Features(patch, reply)).await?;
    Ok(Response::json(200, &features.to_json()))
}
