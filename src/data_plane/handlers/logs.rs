//! `/logs`: what Miroir writes into its log. Nodes keep theirs to themselves.

use serde_json::Value;

use super::arguments::{Arguments, require_json};
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::bad_value::{parse_json, unexpected, unknown_field, wrong_type};
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Feature;
use crate::telemetry::log::{LogTargets, retarget};

const DOING: &str = "Modifying logs through the `/logs/*` routes";

/// `POST /logs/stderr`: other lines from now on, until the process ends.
pub(super) async fn change(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let body = parse_json(&request.body)?;
    let Value::Object(fields) = &body else { return Err(wrong_type(Code::BadRequest, "", "an object", &body)) };
    if let Some(other) = fields.keys().find(|field| *field != "target") {
        return Err(unknown_field(Code::BadRequest, "", other, &["target"]));
    }
    let targets = match fields.get("target") {
        None => "info",
        Some(Value::String(text)) if text.is_empty() => {
            let reason = "Empty string is not a valid target. If you want to get no logs use `OFF`. Usage: `info`, \
                          `meilisearch=info`, or you can write multiple filters in one target: \
                          `index_scheduler=info,milli=trace`";
            return Err(unexpected(Code::BadRequest, ".target", reason));
        }
        Some(Value::String(text)) => text,
        Some(other) => return Err(wrong_type(Code::BadRequest, ".target", "a string", other)),
    };
    let targets: LogTargets =
        targets.parse().map_err(|error| unexpected(Code::BadRequest, ".target", &format!("{error}")))?;
    core.bridge.features.load().require(Feature::LogsRoute, DOING)?;
    retarget(targets);
    Ok(Response::no_content())
}

/// `POST /logs/stream`: answers are whole, so there is none that never ends.
pub(super) async fn stream(core: &Core, _request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    core.bridge.features.load().require(Feature::LogsRoute, DOING)?;
    let message = "Miroir does not stream its log: it writes it to its standard error. `POST /logs/stderr` says what.";
    Err(ApiError::new(Code::MiroirNotSupported, message))
}

/// `DELETE /logs/stream`: nobody reads it.
pub(super) async fn cancel(core: &Core, _request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    core.bridge.features.load().require(Feature::LogsRoute, DOING)?;
    Ok(Response::no_content())
}
