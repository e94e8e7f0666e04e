//! Settings routes: whole and single. Users see their own settings, never those of the nodes.

use serde_json::Value;

use super::arguments::{Arguments, require_json};
use super::indexes::not_found;
use super::write::{accepted, commit};
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::logic::entry::Operation;
use crate::meili::error::{ApiError, Code};
use crate::meili::settings::{
    Object, Setting, by_route, check_features, display_with, parse_patch, parse_single, reset_patch,
};

/// The setting that the path ends in.
fn setting_of(request: &Request) -> Result<&'static Setting, ApiError> {
    let name = request.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    by_route(name).ok_or_else(|| ApiError::new(Code::Internal, "a settings route without its setting"))
}

async fn change(core: &Core, arguments: &Arguments, patch: Object, is_deletion: bool) -> Result<Response, ApiError> {
    let index = arguments.index()?;
    check_features(&patch, **core.bridge.features.load())?;
    let creates_index = !is_deletion && arguments.grant().may_create_index(index.as_str());
    let operation = Operation::UpdateSettings { patch: Value::Object(patch), is_deletion, creates_index };
    commit(core, Some(index), operation, None).await.map(|task| accepted(&task))
}

pub(super) async fn get_all(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let index = arguments.index()?;
    let snapshot = core.snapshot();
    let view = snapshot.indexes.get(&index).ok_or_else(|| not_found(&index))?;
    Ok(Response::json(200, &display_with(&view.settings, **core.bridge.features.load())))
}

pub(super) async fn update_all(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    change(core, arguments, parse_patch(&request.body)?, false).await
}

pub(super) async fn reset_all(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    change(core, arguments, reset_patch(None), true).await
}

pub(super) async fn get_one(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let setting = setting_of(request)?;
    let index = arguments.index()?;
    let snapshot = core.snapshot();
    let view = snapshot.indexes.get(&index).ok_or_else(|| not_found(&index))?;
    Ok(Response::json(200, &setting.display(&view.settings)))
}

pub(super) async fn update_one(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    change(core, arguments, parse_single(setting_of(request)?, &request.body)?, false).await
}

pub(super) async fn reset_one(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    change(core, arguments, reset_patch(Some(setting_of(request)?)), true).await
}
