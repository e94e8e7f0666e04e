//! Routes of one server that Miroir does not have: either not yet, or because they have no meaning for a fleet.
//!
//! Those that are an experimental feature answer as one server as long as it is off.

use serde_json::{Map, Value};

use super::arguments::{Arguments, require_json};
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::bad_value::{parse_json, unknown_field, wrong_type};
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Feature;

type Refusal = Result<Response, ApiError>;

pub(super) async fn refuse(_core: &Core, request: &Request, _arguments: &Arguments) -> Refusal {
    Err(not_supported(request))
}

fn not_supported(request: &Request) -> ApiError {
    let message = format!("Miroir does not support `{} {}` yet.", request.method, request.path);
    ApiError::new(Code::MiroirNotSupported, message)
}

macro_rules! experimental {
    ($($name:ident: $feature:ident, $doing:literal;)*) => {
        $(pub(super) async fn $name(core: &Core, request: &Request, _arguments: &Arguments) -> Refusal {
            core.bridge.features.load().require(Feature::$feature, $doing)?;
            Err(not_supported(request))
        })*
    };
}

experimental! {
    get_search_rule: DynamicSearchRules, "Calling the `GET /dynamic-search-rules/{:ruleUid}` route";
    delete_search_rules: DynamicSearchRules, "Using the `/dynamic-search-rules` routes";
    task_documents: GetTaskDocumentsRoute, "Getting the documents of an enqueued task";
    task_compaction: TaskQueueCompactionRoute, "Using the /tasks/compact route";
}

/// Bodies are read before the feature is looked for.
pub(super) async fn list_search_rules(core: &Core, request: &Request, _arguments: &Arguments) -> Refusal {
    let body = read_fields(request, &["offset", "limit", "filter"])?;
    for (name, code) in
        [("offset", Code::InvalidDynamicSearchRuleOffset), ("limit", Code::InvalidDynamicSearchRuleLimit)]
    {
        if let Some(value) = body.get(name).filter(|value| !value.is_u64()) {
            return Err(wrong_type(code, &format!(".{name}"), "a positive integer", value));
        }
    }
    core.bridge
        .features
        .load()
        .require(Feature::DynamicSearchRules, "Calling the `POST /dynamic-search-rules` route")?;
    Err(not_supported(request))
}

pub(super) async fn update_search_rule(core: &Core, request: &Request, _arguments: &Arguments) -> Refusal {
    read_fields(request, &["description", "precedence", "active", "conditions", "actions"])?;
    core.bridge.features.load().require(Feature::DynamicSearchRules, "Using the `/dynamic-search-rules` routes")?;
    Err(not_supported(request))
}

fn read_fields(request: &Request, allowed: &[&str]) -> Result<Map<String, Value>, ApiError> {
    require_json(request)?;
    let body = parse_json(&request.body)?;
    let Value::Object(fields) = body else { return Err(wrong_type(Code::BadRequest, "", "an object", &body)) };
    match fields.keys().find(|field| !allowed.contains(&field.as_str())) {
        Some(other) => Err(unknown_field(Code::BadRequest, "", other, allowed)),
        None => Ok(fields),
    }
}
