//! API keys: list, show, create, change, delete. They are shown from the snapshot, and changed by the control plane.

use serde_json::{Value, json};
use uuid::Uuid;

use super::arguments::{Arguments, require_json};
use crate::bridge::Command;
use crate::bridge::keys::KeyChange;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::error::ApiError;
use crate::meili::keys::{ApiKey, CreateKey, KeyPaging, PatchKey, key_not_found};
use crate::telemetry::clock;

/// As clients see it. Without a master key nobody gets here.
fn shown(core: &Core, key: &ApiKey) -> Value {
    key.shown(core.settings.master_key.as_deref().unwrap_or_default())
}

/// The key that the path names by its uid or its value.
fn uid_of(core: &Core, arguments: &Arguments) -> Result<Uuid, ApiError> {
    let name = arguments.text(0);
    let by_value = || core.snapshot().keys.by_value(name).map(|held| held.key.uid);
    Uuid::parse_str(name).ok().or_else(by_value).ok_or_else(|| key_not_found(name))
}

async fn change(core: &Core, change: KeyChange) -> Result<ApiKey, ApiError> {
    let reply = core.bridge.ask(|reply| Command::Keys(Box::new(change), reply));
    let reply = reply.ok_or_else(|| ApiError::overloaded("too many requests wait for the control plane"))?;
    match core.before(core.write_deadline(), reply).await {
        Some(Some(changed)) => changed,
        Some(None) => Err(ApiError::overloaded("Miroir is stopping")),
        None => Err(ApiError::overloaded("the keys were not changed everywhere in time, but may still be")),
    }
}

pub(super) async fn list(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    let KeyPaging { offset, limit } = KeyPaging::parse(&request.query)?;
    let snapshot = core.snapshot();
    let keys = snapshot.keys.keys();
    let total = keys.len();
    let results: Vec<Value> = keys.skip(offset).take(limit).map(|key| shown(core, key)).collect();
    Ok(Response::json(200, &json!({"results": results, "offset": offset, "limit": limit, "total": total})))
}

pub(super) async fn get(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let uid = uid_of(core, arguments)?;
    let snapshot = core.snapshot();
    let held = snapshot.keys.by_uid(uid).ok_or_else(|| key_not_found(&uid.to_string()))?;
    Ok(Response::json(200, &shown(core, &held.key)))
}

pub(super) async fn create(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let asked = CreateKey::parse(&request.body, clock::timestamp())?;
    let key = change(core, KeyChange::Create(asked)).await?;
    Ok(Response::json(201, &shown(core, &key)))
}

pub(super) async fn update(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let patch = PatchKey::parse(&request.body)?;
    let key = change(core, KeyChange::Patch(uid_of(core, arguments)?, patch)).await?;
    Ok(Response::json(200, &shown(core, &key)))
}

pub(super) async fn delete(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    change(core, KeyChange::Delete(uid_of(core, arguments)?)).await?;
    Ok(Response::empty(204))
}
