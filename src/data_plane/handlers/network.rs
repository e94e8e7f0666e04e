//! `/network`: Miroir owns the topology. The network that it shows has nobody in it, and nothing can be put into it.
//!
//! Nodes are added and removed with `miroir-ctl`, shards placed by Miroir; a network of Meilisearch's kind beside that would
//! be a second truth about the same nodes.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::arguments::{Arguments, require_json};
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::bad_value::{parse_json, unknown_field, wrong_type};
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Feature;

const FIELDS: [&str; 6] = ["remotes", "shards", "previousShards", "self", "leader", "previousRemotes"];

fn nobody() -> Response {
    let version = uuid::Uuid::nil().to_string();
    Response::json(200, &json!({"self": null, "remotes": {}, "shards": {}, "leader": null, "version": version}))
}

pub(super) async fn get(core: &Core, _request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    core.bridge.features.load().require(Feature::Network, "Using the /network route")?;
    Ok(nobody())
}

/// Takes what changes nothing: who clears the network finds it clear.
pub(super) async fn update(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let patch = parse_json(&request.body)?;
    let Value::Object(fields) = &patch else { return Err(wrong_type(Code::BadRequest, "", "an object", &patch)) };
    if let Some(other) = fields.keys().find(|field| !FIELDS.contains(&field.as_str())) {
        return Err(unknown_field(Code::BadRequest, "", other, &FIELDS));
    }
    core.bridge.features.load().require(Feature::Network, "Using the /network route")?;
    if fields.get("leader").is_some_and(|leader| !leader.is_null()) {
        return Err(enterprise("set `network.leader`"));
    }
    let is_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Object(members) => members.values().all(Value::is_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    };
    if fields.values().all(is_nothing) {
        return Ok(nobody());
    }
    let message = "Miroir owns the topology: it does not take a network. Add and remove nodes with `miroir-ctl node`.";
    Err(ApiError::new(Code::MiroirNotSupported, message))
}

/// What one server wants of the body before it says that it is not an enterprise.
#[derive(Deserialize)]
struct Change {
    #[serde(rename = "origin")]
    _origin: IgnoredAny,
    #[serde(rename = "message")]
    _message: IgnoredAny,
}

pub(super) async fn control(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    parse_json(&request.body)?;
    let refused = |error| ApiError::new(Code::BadRequest, format!("Json deserialize error: {error}"));
    serde_json::from_slice::<Change>(&request.body).map_err(refused)?;
    core.bridge.features.load().require(Feature::Network, "Using the /network/control route")?;
    Err(enterprise("call this route"))
}

fn enterprise(doing: &str) -> ApiError {
    let message = format!("Meilisearch Enterprise Edition is required to {doing}");
    ApiError::new(Code::RequiresEnterpriseEdition, message)
}
