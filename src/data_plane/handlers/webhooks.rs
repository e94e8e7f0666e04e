//! Webhooks: list, show, create, change, delete. They are kept, and told of tasks, by the control plane.

use serde_json::Value;

use super::arguments::{Arguments, require_json};
use super::tasks::ask;
use crate::bridge::Command;
use crate::bridge::webhooks::WebhookRequest;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::error::ApiError;
use crate::meili::webhooks::{WebhookSettings, parse_webhook_uuid};

async fn answer(core: &Core, request: WebhookRequest) -> Result<Value, ApiError> {
    ask(core, |reply| Command::Webhooks(Box::new(request), reply)).await
}

pub(super) async fn list(core: &Core, _request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    Ok(Response::json(200, &answer(core, WebhookRequest::List).await?))
}

pub(super) async fn get(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let uuid = parse_webhook_uuid(arguments.text(0))?;
    Ok(Response::json(200, &answer(core, WebhookRequest::Get(uuid)).await?))
}

pub(super) async fn create(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let settings = WebhookSettings::parse(&request.body)?;
    Ok(Response::json(201, &answer(core, WebhookRequest::Create(settings)).await?))
}

pub(super) async fn update(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    // The body is looked at first, as on one server.
    let settings = WebhookSettings::parse(&request.body)?;
    let uuid = parse_webhook_uuid(arguments.text(0))?;
    Ok(Response::json(200, &answer(core, WebhookRequest::Change(uuid, settings)).await?))
}

pub(super) async fn delete(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let uuid = parse_webhook_uuid(arguments.text(0))?;
    answer(core, WebhookRequest::Delete(uuid)).await?;
    Ok(Response::empty(204))
}
