//! `/chats`: workspaces and their settings, kept for the whole fleet. Conversations are in [`super::conversation`].
//!
//! Only what a client has set is kept. What that comes to (defaults, what may not be set, which part of a secret is shown) is
//! asked of a node each time, which is sent the whole of it but the secret: of that only the beginning, which is shown.

use http::Method;
use serde_json::{Map, Value, json};

use super::arguments::{Arguments, require_json};
use super::tasks::ask;
use crate::bridge::{CHATS, Command, Keep};
use crate::data_plane::core::Core;
use crate::data_plane::forwarding::{all_nodes, ask_one};
use crate::data_plane::upstream::{NodeRequest, NodeResponse};
use crate::http_types::{Request, Response};
use crate::meili::bad_value::{parse_json, wrong_type};
use crate::meili::chat::source::Source;
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Feature;
use crate::meili::index::{IndexPaging, check_index_uid};

/// On the nodes, which need none of their own.
const NODE_WORKSPACE: &str = "miroir";
const PROMPTS: [&str; 5] = ["system", "searchDescription", "searchQParam", "searchFilterParam", "searchIndexUidParam"];
const FIELDS: [&str; 7] = ["source", "orgId", "projectId", "apiVersion", "deploymentId", "baseUrl", "apiKey"];
/// Bytes of a key that may be shown.
const SHOWN_OF_KEY: usize = 5;
/// Times that a change is tried again because another one came in between.
const TRIES_MAX: usize = 8;

type Workspaces = Map<String, Value>;

pub(super) fn require(core: &Core, doing: &str) -> Result<(), ApiError> {
    core.bridge.features.load().require(Feature::ChatCompletions, doing)
}

/// What is kept, as it is in the store too.
async fn workspaces(core: &Core) -> Result<(Option<Value>, Workspaces), ApiError> {
    let kept: Option<Value> = ask(core, |reply| Command::Kept(CHATS, reply)).await?;
    let workspaces = kept.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    Ok((kept, workspaces))
}

/// False if another change came in between.
async fn keep(core: &Core, before: Option<Value>, mut workspaces: Workspaces) -> Result<bool, ApiError> {
    workspaces.sort_keys();
    let keep = Keep { name: CHATS, before, value: Value::Object(workspaces) };
    ask(core, |reply| Command::Keep(Box::new(keep), reply)).await
}

fn changes_too_often() -> ApiError {
    ApiError::overloaded("the chat settings change too often")
}

pub(super) async fn list(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    let IndexPaging { offset, limit } = IndexPaging::parse(&request.query)?;
    require(core, "listing the chats")?;
    let (_, workspaces) = workspaces(core).await?;
    let shown: Vec<Value> = workspaces.keys().skip(offset).take(limit).map(|uid| json!({"uid": uid})).collect();
    let page = json!({"results": shown, "offset": offset, "limit": limit, "total": workspaces.len()});
    Ok(Response::json(200, &page))
}

pub(super) async fn get(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require(core, "displaying a chat")?;
    let uid = check_index_uid(arguments.text(0))?;
    if workspaces(core).await?.1.contains_key(uid) {
        return Ok(Response::json(200, &json!({"uid": uid})));
    }
    Err(ApiError::new(Code::ChatNotFound, format!("chat {uid} not found")))
}

pub(super) async fn delete(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require(core, "deleting a chat")?;
    let uid = arguments.text(0);
    for _ in 0..TRIES_MAX {
        let (before, mut workspaces) = workspaces(core).await?;
        if workspaces.shift_remove(uid).is_none() {
            return Err(ApiError::new(Code::ChatNotFound, format!("chat {uid} not found")));
        }
        if keep(core, before, workspaces).await? {
            return Ok(Response::no_content());
        }
    }
    Err(changes_too_often())
}

fn no_settings(uid: &str) -> ApiError {
    ApiError::new(Code::ChatNotFound, format!("Chat `{uid}` not found"))
}

pub(super) async fn get_settings(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require(core, "using the /chats/settings route")?;
    let uid = arguments.text(0);
    let settings = workspaces(core).await?.1.shift_remove(uid).ok_or_else(|| no_settings(uid))?;
    shown(core, &settings).await.map(answer)
}

/// The settings of a workspace for a conversation.
pub(super) async fn source(core: &Core, uid: &str) -> Result<Source, ApiError> {
    let set = workspaces(core).await?.1.shift_remove(uid).ok_or_else(|| no_settings(uid))?;
    let complete = shown(core, &set).await?;
    let complete = serde_json::from_slice(&complete.body).unwrap_or_default();
    Source::read(&set, &complete)
}

pub(super) async fn update_settings(
    core: &Core,
    request: &Request,
    arguments: &Arguments,
) -> Result<Response, ApiError> {
    require_json(request)?;
    let patch = parse_json(&request.body)?;
    let Value::Object(changes) = &patch else { return Err(wrong_type(Code::BadRequest, "", "an object", &patch)) };
    require(core, "using the /chats/settings route")?;
    for _ in 0..TRIES_MAX {
        let (before, mut workspaces) = workspaces(core).await?;
        let settings = workspaces.entry(arguments.text(0)).or_insert_with(|| json!({}));
        merge(settings, changes);
        let response = shown(core, settings).await?;
        if response.status != 200 || keep(core, before, workspaces).await? {
            return Ok(answer(response));
        }
    }
    Err(changes_too_often())
}

pub(super) async fn reset_settings(
    core: &Core,
    _request: &Request,
    arguments: &Arguments,
) -> Result<Response, ApiError> {
    require(core, "using the /chats/settings route")?;
    let uid = arguments.text(0);
    for _ in 0..TRIES_MAX {
        let (before, mut workspaces) = workspaces(core).await?;
        let settings = workspaces.get_mut(uid).ok_or_else(|| no_settings(uid))?;
        *settings = json!({});
        let response = shown(core, settings).await?;
        if keep(core, before, workspaces).await? {
            return Ok(answer(response));
        }
    }
    Err(changes_too_often())
}

/// Fields are set and reset one by one, those of the prompts too.
fn merge(settings: &mut Value, changes: &Map<String, Value>) {
    for (name, change) in changes {
        match change {
            Value::Object(changes) if name == "prompts" => {
                let prompts = &mut settings["prompts"];
                if !prompts.is_object() {
                    *prompts = json!({});
                }
                merge(prompts, changes);
            }
            // What is wrong stays in it, for the node to say so.
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                settings[name] = change.clone();
            }
        }
    }
}

/// All settings as a node is sent them. It keeps them, so it does not get the secret.
fn node_form(settings: &Value) -> Value {
    let mut whole = settings.as_object().cloned().unwrap_or_default();
    for field in FIELDS {
        whole.entry(field).or_insert(Value::Null);
    }
    let mut prompts = json!({});
    for prompt in PROMPTS {
        prompts[prompt] = Value::Null;
    }
    match whole.get("prompts") {
        None | Some(Value::Null) => {}
        Some(Value::Object(set)) => merge(&mut prompts, set),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            prompts = whole["prompts"].clone();
        }
    }
    whole.insert("prompts".to_owned(), prompts);
    if let Some(Value::String(key)) = whole.get_mut("apiKey") {
        *key = masked(key);
    }
    Value::Object(whole)
}

/// A secret that a node shows in the same way: by its length and its beginning.
fn masked(key: &str) -> String {
    let hidden = key.char_indices().map(|(at, _)| at).find(|&at| at >= SHOWN_OF_KEY).unwrap_or(key.len());
    let (shown, hidden) = key.split_at(hidden);
    format!("{shown}{}", "X".repeat(hidden.len()))
}

/// The settings as a node shows them, or why it does not take them.
async fn shown(core: &Core, settings: &Value) -> Result<NodeResponse, ApiError> {
    let request = NodeRequest {
        method: Method::PATCH,
        target: format!("/chats/{NODE_WORKSPACE}/settings"),
        content_type: Some("application/json"),
        body: node_form(settings).to_string().into(),
        is_repeatable: true,
    };
    let snapshot = core.snapshot();
    ask_one(core, &snapshot, &all_nodes(&snapshot), request).await
}

fn answer(response: NodeResponse) -> Response {
    Response::json_bytes(response.status, response.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_node_gets_a_key() {
        let sent = |key: &str| node_form(&json!({ "source": "openAi", "apiKey": key }))["apiKey"].clone();
        for (key, form) in [
            ("", ""),
            ("abc", "abc"),
            ("sk-abcdefghi", "sk-abXXXXXXX"),
            ("sk-0123456789012345678901234567890", "sk-01XXXXXXXXXXXXXXXXXXXXXXXXXXXXX"),
            ("sk-1ü23456789", "sk-1üXXXXXXXX"),
        ] {
            assert_eq!(sent(key), form);
            assert_eq!(sent(key).as_str().map(str::len), Some(key.len()));
        }
        assert_eq!(node_form(&json!({}))["apiKey"], Value::Null);
    }
}
