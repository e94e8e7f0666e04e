//! What each route of the embedded node does: which routes there are, who may call them, and the answers.
//!
//! As in Meilisearch an unknown route (404) and a wrong method (405) are answered before the key is asked for, both
//! without a body. What Meilisearch has and this node has not answers 501 `miroir_not_supported`.

mod body;
mod documents;
mod indexes;
mod multi_search;
mod params;
mod search;
mod settings;
mod similar;
mod tasks;

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;

use super::http::{Request, Response};
use super::indexes::Indexes;
use super::queue::Queue;
use crate::meili::error::{ApiError, Code};
use crate::meili::features::{Features, FeaturesPatch};

/// What handlers work on.
pub struct Node {
    /// The task queue.
    pub queue: Arc<Queue>,
    /// The indexes.
    pub indexes: Arc<Indexes>,
    /// Asked for on every route but `/health`.
    pub master_key: Option<String>,
    /// Experimental features, which do not outlive the process: Miroir switches them on again.
    pub features: Mutex<Features>,
    /// What it says its version is.
    pub version: String,
}

/// The `Allow` lines of the routes.
const GET: &str = "Allow: GET";
const POST: &str = "Allow: POST";
const GET_POST: &str = "Allow: GET, POST";
const GET_PATCH: &str = "Allow: GET, PATCH";
const GET_DELETE: &str = "Allow: GET, DELETE";
const GET_PATCH_DELETE: &str = "Allow: GET, PATCH, DELETE";
const GET_PUT_DELETE: &str = "Allow: GET, PUT, DELETE";
const GET_POST_PUT_DELETE: &str = "Allow: GET, POST, PUT, DELETE";

/// First segments of routes that Meilisearch has and this node has not.
const MISSING: &[&str] = &[
    "keys",
    "dumps",
    "snapshots",
    "swap-indexes",
    "network",
    "webhooks",
    "chats",
    "export",
    "logs",
    "metrics",
    "dynamic-search-rules",
    "render-template",
];

fn unsupported() -> Response {
    ApiError::new(Code::MiroirNotSupported, "The embedded development node does not have this route.").into()
}

fn wrong_method(allow: &'static str) -> Response {
    Response { allow: Some(allow), ..Response::empty(405) }
}

impl Node {
    /// Answers one request.
    pub fn answer(&self, request: Request) -> Response {
        // The router merges slashes and ignores those at the end.
        let segments: Vec<String> =
            request.path.split('/').filter(|segment| !segment.is_empty()).map(params::decode).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let Some(allow) = allow_of(&segments) else { return Response::empty(404) };
        let known = segments.first().is_some_and(|first| MISSING.contains(first));
        if !known && !allow.trim_start_matches("Allow: ").split(", ").any(|method| method == request.method) {
            return wrong_method(allow);
        }
        let open = segments.is_empty() || segments == ["health"];
        if let (false, Err(error)) = (open, self.authorize(&request)) {
            return error.into();
        }
        self.dispatch(&segments, request).unwrap_or_else(Response::from)
    }

    fn authorize(&self, request: &Request) -> Result<(), ApiError> {
        let Some(master_key) = &self.master_key else { return Ok(()) };
        let header = request.authorization.as_deref().unwrap_or_default();
        let Some(key) = header.strip_prefix("Bearer ") else {
            let message = "The Authorization header is missing. It must use the bearer authorization method.";
            return Err(ApiError::new(Code::MissingAuthorizationHeader, message));
        };
        if key.trim() != master_key {
            return Err(ApiError::new(Code::InvalidApiKey, "The provided API key is invalid."));
        }
        Ok(())
    }

    fn switch_features(&self, request: Request) -> Result<Response, ApiError> {
        let patch = FeaturesPatch::parse(&body::bytes(request)?)?;
        let mut features = self.features.lock();
        *features = features.patched(patch);
        Ok(Response::json(200, &features.to_json()))
    }

    fn dispatch(&self, segments: &[&str], request: Request) -> Result<Response, ApiError> {
        let method = request.method.clone();
        match (method.as_str(), segments) {
            (_, []) => Ok(Response::json(200, &json!({ "status": "Meilisearch is running" }))),
            (_, ["health"]) => Ok(Response::json(200, &json!({ "status": "available" }))),
            (_, ["version"]) => Ok(Response::json(
                200,
                &json!({ "commitSha": "unknown", "commitDate": "unknown", "pkgVersion": self.version }),
            )),
            (_, ["stats"]) => Ok(indexes::stats_all(self)),
            ("GET", ["experimental-features"]) => Ok(Response::json(200, &self.features.lock().to_json())),
            (_, ["experimental-features"]) => self.switch_features(request),
            ("GET", ["indexes"]) => indexes::list(self, &request),
            (_, ["indexes"]) => indexes::create(self, request),
            ("GET", ["indexes", uid]) => indexes::get(self, uid),
            ("PATCH", ["indexes", uid]) => indexes::update(self, uid, request),
            (_, ["indexes", uid]) => indexes::delete(self, uid),
            (_, ["indexes", uid, "compact"]) => indexes::compact(self, uid),
            (_, ["indexes", uid, "fields"]) => indexes::fields(self, uid),
            (_, ["indexes", uid, "stats"]) => indexes::stats(self, uid),
            (_, ["indexes", uid, "search"]) => search::search(self, uid, request),
            (_, ["indexes", uid, "similar"]) => similar::similar(self, uid, request),
            (_, ["indexes", uid, "facet-search"]) => search::facet_search(self, uid, request),
            ("GET", ["indexes", uid, "documents"]) => documents::list(self, uid, &request),
            ("DELETE", ["indexes", uid, "documents"]) => documents::clear(self, uid, &request),
            (_, ["indexes", uid, "documents"]) => documents::put(self, uid, request),
            (_, ["indexes", uid, "documents", "fetch"]) if method == "POST" => documents::fetch(self, uid, request),
            (_, ["indexes", uid, "documents", "delete"]) if method == "POST" => {
                documents::delete_by_filter(self, uid, request)
            }
            (_, ["indexes", uid, "documents", "delete-batch"]) if method == "POST" => {
                documents::delete_batch(self, uid, request)
            }
            ("GET", ["indexes", uid, "documents", id]) => documents::get(self, uid, id, &request),
            ("DELETE", ["indexes", uid, "documents", id]) => documents::delete(self, uid, id, &request),
            ("GET", ["indexes", uid, "settings"]) => settings::get(self, uid),
            ("PATCH", ["indexes", uid, "settings"]) => settings::update(self, uid, request),
            (_, ["indexes", uid, "settings"]) => settings::reset(self, uid),
            ("GET", ["indexes", uid, "settings", name]) => settings::get_one(self, uid, name),
            ("DELETE", ["indexes", uid, "settings", name]) => settings::reset_one(self, uid, name),
            (_, ["indexes", uid, "settings", name]) => settings::update_one(self, uid, name, request),
            (_, ["multi-search"]) => multi_search::answer(self, request),
            ("GET", ["tasks"]) => tasks::list(self, &request),
            (_, ["tasks"]) => tasks::delete(self, &request),
            ("POST", ["tasks", "cancel"]) => tasks::cancel(self, &request),
            (_, ["tasks", uid]) => tasks::get(self, uid),
            (_, ["batches"]) => tasks::list_batches(self, &request),
            (_, ["batches", uid]) => tasks::get_batch(self, uid),
            _ => Ok(unsupported()),
        }
    }
}

/// The methods of a route as an `Allow` line, `None` when there is no such route.
fn allow_of(segments: &[&str]) -> Option<&'static str> {
    let allow = match segments {
        [] => GET,
        ["health" | "version" | "stats" | "batches"] | ["batches", _] => GET,
        ["experimental-features"] => GET_PATCH,
        ["tasks"] => GET_DELETE,
        ["tasks", "cancel"] | ["multi-search"] => POST,
        ["tasks", _] => GET,
        ["indexes"] => GET_POST,
        ["indexes", _, rest @ ..] => match rest {
            [] => GET_PATCH_DELETE,
            ["stats"] => GET,
            ["search" | "similar"] => GET_POST,
            ["facet-search" | "compact" | "fields"] => POST,
            ["documents"] => GET_POST_PUT_DELETE,
            ["documents", "fetch" | "delete" | "delete-batch" | "edit"] => POST,
            ["documents", _] => GET_DELETE,
            ["settings"] => GET_PATCH_DELETE,
            ["settings", name] => settings::find(name)?.allow(),
            _ => return None,
        },
        [first, ..] if MISSING.contains(first) => GET,
        _ => return None,
    };
    Some(allow)
}
