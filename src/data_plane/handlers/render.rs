//! `/render-template`: a node renders, one that has the document. Index names are the nodes' on the way there and the
//! client's on the way back, and nothing of the marker is rendered.

use serde_json::{Map, Value, json};

use super::arguments::{Arguments, require_json};
use crate::data_plane::core::Core;
use crate::data_plane::forwarding::{all_nodes, ask_one};
use crate::data_plane::reading::nothing_to_read;
use crate::data_plane::scatter::ScatterScope;
use crate::data_plane::upstream::NodeRequest;
use crate::http_types::{Request, Response};
use crate::logic::ids::{IndexUid, NodeSlot};
use crate::logic::shard_hash::shard_of;
use crate::logic::snapshot::{IndexView, RoutingSnapshot};
use crate::meili::bad_value::{missing_field, parse_json, unknown_field, wrong_type};
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Feature;
use crate::meili::keys::Grant;
use crate::meili::search_message::client_error;
use crate::meili::settings::{chat, embedder_template};
use crate::meili::template::guarded_value;

/// A request on its way to a node.
struct Rendering<'a> {
    snapshot: &'a RoutingSnapshot,
    template: Map<String, Value>,
    input: Option<Map<String, Value>>,
    /// What the client is shown as its template: nodes have it with guards.
    shown: Option<Value>,
}

pub(super) async fn post(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let (template, input) = parse(&request.body)?;
    core.bridge.features.load().require(Feature::RenderRoute, "calling the /render-template route")?;
    check_grant(arguments.grant(), &template, input.as_ref())?;
    let snapshot = core.snapshot();
    let mut rendering = Rendering { snapshot: &snapshot, template, input, shown: None };
    let views = rendering.views()?;
    let nodes = rendering.nodes(core)?;
    rendering.prepare(&views)?;
    let mut body = Map::from_iter([("template".to_owned(), Value::Object(rendering.template))]);
    if let Some(input) = rendering.input {
        body.insert("input".to_owned(), Value::Object(input));
    }
    let request = NodeRequest::post_read("/render-template", Value::Object(body).to_string());
    let response = ask_one(core, &snapshot, &nodes, request).await?;
    if response.status != 200 {
        return Err(clients_error(&response.body, &views));
    }
    let Ok(Value::Object(mut answer)) = serde_json::from_slice(&response.body) else {
        return Err(ApiError::new(Code::Internal, "A node sent an answer that cannot be read."));
    };
    if let Some(shown) = rendering.shown {
        answer.insert("template".to_owned(), shown);
    }
    Ok(Response::json(200, &answer))
}

type Parsed = (Map<String, Value>, Option<Map<String, Value>>);

/// The two parts; what is wrong inside them a node says.
fn parse(body: &[u8]) -> Result<Parsed, ApiError> {
    let body = parse_json(body)?;
    let Value::Object(mut fields) = body else { return Err(wrong_type(Code::BadRequest, "", "an object", &body)) };
    if let Some(other) = fields.keys().find(|field| !["template", "input"].contains(&field.as_str())) {
        return Err(unknown_field(Code::BadRequest, "", other, &["template", "input"]));
    }
    let template = match fields.shift_remove("template") {
        Some(Value::Object(template)) => template,
        Some(other) => return Err(wrong_type(Code::InvalidRenderTemplate, ".template", "an object", &other)),
        None => return Err(missing_field(Code::BadRequest, "", "template")),
    };
    let input = match fields.shift_remove("input") {
        Some(Value::Object(input)) => Some(input),
        None | Some(Value::Null) => None,
        Some(other) => return Err(wrong_type(Code::InvalidRenderInput, ".input", "an object", &other)),
    };
    Ok((template, input))
}

fn check_grant(
    grant: &Grant,
    template: &Map<String, Value>,
    input: Option<&Map<String, Value>>,
) -> Result<(), ApiError> {
    let parts = [Some(template), input].into_iter().flatten();
    let mut named = parts.filter_map(|part| part.get("indexUid")?.as_str());
    if named.all(|uid| grant.allows_index(uid)) { Ok(()) } else { Err(Grant::refusal()) }
}

/// What a node says, with the client's names of indexes.
fn clients_error(body: &[u8], views: &[&IndexView]) -> ApiError {
    let names = |view: &IndexView| (view.node_uid.to_string(), view.uid.to_string());
    let (node_uid, uid) = views.first().map(|view| names(view)).unwrap_or_default();
    let Some(mut error) = client_error(body, &node_uid, &uid, None) else {
        return ApiError::new(Code::Internal, "A node sent an error that cannot be read.");
    };
    for view in views {
        let (node_uid, uid) = names(view);
        error.message = error.message.replace(&format!("`{node_uid}`"), &format!("`{uid}`"));
    }
    error
}

impl<'a> Rendering<'a> {
    fn view(&self, uid: &str) -> Option<&'a IndexView> {
        self.snapshot.indexes.get(&IndexUid::new(uid)).map(AsRef::as_ref)
    }

    /// The indexes that are named, that of the template first. Names that nobody has must not reach a node: there they could
    /// be those of other indexes.
    fn views(&self) -> Result<Vec<&'a IndexView>, ApiError> {
        let mut views = Vec::new();
        let named = [(Some(&self.template), "error while fetching template: cannot"), (self.input.as_ref(), "Cannot")];
        for (part, beginning) in named {
            let Some(uid) = part.and_then(|part| part.get("indexUid")).and_then(Value::as_str) else { continue };
            let message = || format!("{beginning} open index `{uid}`: Index `{uid}` not found.");
            let view = self.view(uid).ok_or_else(|| ApiError::new(Code::IndexNotFound, message()))?;
            views.push(view);
        }
        Ok(views)
    }

    /// Who has the document, or anybody.
    fn nodes(&self, core: &Core) -> Result<Vec<NodeSlot>, ApiError> {
        let input = self.input.as_ref();
        let text = |name: &str| input.and_then(|input| input.get(name)).and_then(Value::as_str);
        let (Some(view), Some(id)) = (text("indexUid").and_then(|uid| self.view(uid)), text("id")) else {
            return Ok(all_nodes(self.snapshot));
        };
        let scope = ScatterScope { snapshot: self.snapshot, index: view, deadline: core.read_deadline(), trace: None };
        let shard = shard_of(id, self.snapshot.placement.len().max(1) as u16);
        let mut nodes: Vec<NodeSlot> = Vec::new();
        // One replica after the other.
        while let Some(part) = scope.cover(&[shard], &nodes).parts.first() {
            nodes.push(part.node);
        }
        if nodes.is_empty() { Err(nothing_to_read()) } else { Ok(nodes) }
    }

    /// Puts the nodes' names and guarded templates into it.
    fn prepare(&mut self, views: &[&IndexView]) -> Result<(), ApiError> {
        let settings = |uid: Option<&Value>| {
            let uid = uid.and_then(Value::as_str)?;
            views.iter().find(|view| view.uid.as_str() == uid).map(|view| &view.settings)
        };
        let kind = self.template.get("kind").and_then(Value::as_str).unwrap_or_default();
        match kind {
            "inlineDocumentTemplate" | "inlineFragment" => {
                if let Some(inline) = self.template.get_mut("inline") {
                    self.shown = Some(inline.clone());
                    *inline = guarded_value(inline)?;
                }
            }
            "chatDocumentTemplate" => {
                if let Some(settings) = settings(self.template.get("indexUid")) {
                    let chat = chat(settings);
                    let has_other =
                        ["embedder", "fragment", "inline"].iter().any(|name| self.template.contains_key(*name));
                    // Nodes have no chat settings: they get the template itself.
                    if !has_other {
                        let max_bytes = self.template.get("documentTemplateMaxBytes").filter(|max| !max.is_null());
                        let max_bytes = max_bytes.unwrap_or(&chat["documentTemplateMaxBytes"]).clone();
                        self.shown = Some(chat["documentTemplate"].clone());
                        let inline = guarded_value(&chat["documentTemplate"])?;
                        let inline = json!({
                            "kind": "inlineDocumentTemplate", "inline": inline, "documentTemplateMaxBytes": max_bytes,
                        });
                        self.template = inline.as_object().cloned().unwrap_or_default();
                    }
                }
            }
            _ => {
                let text = |name: &str| self.template.get(name).and_then(Value::as_str);
                if let (Some(settings), Some(embedder)) = (settings(self.template.get("indexUid")), text("embedder")) {
                    self.shown = embedder_template(settings, embedder, kind, text("fragment"));
                }
            }
        }
        for part in [Some(&mut self.template), self.input.as_mut()].into_iter().flatten() {
            let Some(Value::String(uid)) = part.get_mut("indexUid") else { continue };
            if let Some(view) = views.iter().find(|view| view.uid.as_str() == uid) {
                *uid = view.node_uid.to_string();
            }
        }
        Ok(())
    }
}
