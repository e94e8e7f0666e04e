//! `/logs`: what Miroir writes into its log. Nodes keep theirs to themselves.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::arguments::{Arguments, require_json};
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::bad_value::{parse_json, unexpected, unknown_field, unknown_value, wrong_type};
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Feature;
use crate::telemetry::log::{self, LogTargets};
use crate::telemetry::log_stream::{LineForm, Listening, Taken};

const DOING: &str = "Modifying logs through the `/logs/*` routes";
/// How often a client that reads along is given what there is: lines do not wake it.
const PAUSE_MS: u64 = 100;
/// Bytes that it is given at once, but for the last line.
const PIECE_BYTES: usize = 64 * 1024;
/// For proxies.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// `POST /logs/stderr`: other lines from now on, until the process ends.
pub(super) async fn change(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let targets = targets(&fields(request, &["target"])?)?;
    core.bridge.features.load().require(Feature::LogsRoute, DOING)?;
    log::retarget(targets);
    Ok(Response::no_content())
}

/// `POST /logs/stream`: this client reads along until it goes away, or somebody ends it.
pub(super) async fn stream(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let fields = fields(request, &["target", "mode", "profileMemory"])?;
    let targets = targets(&fields)?;
    let form = form(&fields)?;
    core.bridge.features.load().require(Feature::LogsRoute, DOING)?;
    let Some(form) = form else {
        let message =
            "Miroir does not support the mode `profile` of `/logs/stream`: it is for Meilisearch's own profiler.";
        return Err(ApiError::new(Code::MiroirNotSupported, message));
    };
    let message = "The `/logs/stream` route is currently in use by someone else.";
    let listening = log::listen(form, targets).ok_or_else(|| ApiError::new(Code::BadRequest, message))?;
    request.stream.begin(beginning());
    relay(core, request, &listening).await;
    Ok(Response::empty(200))
}

/// `DELETE /logs/stream`: whoever reads along has read all.
pub(super) async fn cancel(core: &Core, _request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    core.bridge.features.load().require(Feature::LogsRoute, DOING)?;
    log::hush();
    Ok(Response::no_content())
}

fn beginning() -> Response {
    let unbuffered = (UNBUFFERED, HeaderValue::from_static("no"));
    Response::empty(200)
        .with_header(unbuffered.0, unbuffered.1)
        .with_header(CONTENT_ENCODING, HeaderValue::from_static("identity"))
}

async fn relay(core: &Core, request: &Request, listening: &Listening) {
    loop {
        match listening.take(PIECE_BYTES) {
            Taken::Lines(lines) => request.stream.send(Bytes::from(lines)).await,
            Taken::Nothing => core.timers.sleep_until(core.now().plus_ms(PAUSE_MS)).await,
            Taken::End => return,
        }
    }
}

fn fields(request: &Request, allowed: &[&str]) -> Result<Map<String, Value>, ApiError> {
    let body = parse_json(&request.body)?;
    let Value::Object(fields) = body else { return Err(wrong_type(Code::BadRequest, "", "an object", &body)) };
    match fields.keys().find(|field| !allowed.contains(&field.as_str())) {
        Some(other) => Err(unknown_field(Code::BadRequest, "", other, allowed)),
        None => Ok(fields),
    }
}

fn targets(fields: &Map<String, Value>) -> Result<LogTargets, ApiError> {
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
    targets.parse().map_err(|error| unexpected(Code::BadRequest, ".target", &format!("{error}")))
}

/// None: a profile.
fn form(fields: &Map<String, Value>) -> Result<Option<LineForm>, ApiError> {
    let form = match fields.get("mode") {
        None => Some(LineForm::Human),
        Some(Value::String(mode)) => match mode.as_str() {
            "human" => Some(LineForm::Human),
            "json" => Some(LineForm::Json),
            "profile" => None,
            other => return Err(unknown_value(Code::BadRequest, ".mode", other, &["human", "json", "profile"])),
        },
        Some(other) => return Err(wrong_type(Code::BadRequest, ".mode", "a string", other)),
    };
    let profiles_memory = match fields.get("profileMemory") {
        None => false,
        Some(Value::Bool(value)) => *value,
        Some(other) => return Err(wrong_type(Code::BadRequest, ".profileMemory", "a boolean", other)),
    };
    match form {
        Some(form) if profiles_memory => {
            let reason = format!(
                "`profile_memory` can only be used while profiling code and is not compatible with the {form:?} mode."
            );
            // The code is that of one server.
            Err(unexpected(Code::InvalidSettingsTypoTolerance, "", &reason))
        }
        form => Ok(form),
    }
}
