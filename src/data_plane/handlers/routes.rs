//! The one table of what clients can call, and the search in it.

use std::sync::LazyLock;

use super::arguments::Arguments;
use super::{
    documents_read, documents_write, facet_search, indexes, multi_search, search, settings, similar, stats, system,
    tasks, unsupported,
};
use crate::data_plane::core::Core;
use crate::data_plane::upstream::LocalFuture;
use crate::http_types::{Request, Response};
use crate::meili::error::ApiError;
use crate::meili::settings::{SETTINGS, Verb};

/// Who may call a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Everyone.
    Open,
    /// Who has the key.
    Key,
}

/// Answers a request.
pub type Handle = for<'a> fn(&'a Core, &'a Request, &'a Arguments) -> LocalFuture<'a, Result<Response, ApiError>>;

/// One method of one path.
#[derive(Clone, Debug)]
pub struct Route {
    /// In capitals.
    pub method: &'static str,
    /// Variable parts are in braces: `/indexes/{index}/search`.
    pub path: String,
    /// See [`Access`].
    pub access: Access,
    /// Whether Miroir does it; otherwise it says that it does not.
    pub is_supported: bool,
    pub(super) handle: Handle,
}

/// What was found for a request.
pub(super) enum Found {
    Route(&'static Route, Arguments),
    /// The path exists for these methods only.
    OtherMethods(Vec<&'static str>),
    Nothing,
}

/// The routes of one path.
struct Resource {
    /// None for a variable part.
    parts: Vec<Option<&'static str>>,
    routes: Vec<&'static Route>,
}

macro_rules! handle {
    ($handler:path) => {
        |core, request, arguments| Box::pin($handler(core, request, arguments))
    };
}

macro_rules! table {
    ($($method:literal $path:literal $handler:path;)*) => {
        vec![$((
            $method,
            $path,
            stringify!($handler).starts_with("unsupported::"),
            handle!($handler) as Handle,
        ),)*]
    };
}

/// Every route, in no particular order but with the paths of one resource together.
pub static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let mut routes: Vec<Route> = [supported(), not_supported()].into_iter().flatten().map(route).collect();
    for setting in SETTINGS {
        let path = format!("/indexes/{{index}}/settings/{}", setting.route);
        let update = match setting.verb {
            Verb::Put => "PUT",
            Verb::Patch => "PATCH",
        };
        let methods: [(&'static str, Handle); 3] = [
            ("GET", handle!(settings::get_one)),
            (update, handle!(settings::update_one)),
            ("DELETE", handle!(settings::reset_one)),
        ];
        routes.extend(methods.map(|(method, handle)| Route {
            method,
            path: path.clone(),
            access: Access::Key,
            is_supported: true,
            handle,
        }));
    }
    routes
});

fn route((method, path, is_unsupported, handle): (&'static str, &str, bool, Handle)) -> Route {
    let access = if matches!(path, "/" | "/health") { Access::Open } else { Access::Key };
    Route { method, path: path.to_owned(), access, is_supported: !is_unsupported, handle }
}

fn supported() -> Vec<(&'static str, &'static str, bool, Handle)> {
    table! {
        "GET" "/" system::running;
        "GET" "/health" system::health;
        "GET" "/version" system::version;
        "GET" "/stats" stats::all;
        "GET" "/indexes" indexes::list;
        "POST" "/indexes" indexes::create;
        "GET" "/indexes/{index}" indexes::get;
        "PATCH" "/indexes/{index}" indexes::update;
        "DELETE" "/indexes/{index}" indexes::delete;
        "GET" "/indexes/{index}/stats" stats::one;
        "GET" "/indexes/{index}/search" search::get;
        "POST" "/indexes/{index}/search" search::post;
        "POST" "/indexes/{index}/facet-search" facet_search::post;
        "GET" "/indexes/{index}/similar" similar::get;
        "POST" "/indexes/{index}/similar" similar::post;
        "POST" "/multi-search" multi_search::post;
        "GET" "/indexes/{index}/documents" documents_read::list;
        "POST" "/indexes/{index}/documents" documents_write::replace;
        "PUT" "/indexes/{index}/documents" documents_write::update;
        "DELETE" "/indexes/{index}/documents" documents_write::clear;
        "POST" "/indexes/{index}/documents/delete-batch" documents_write::delete_batch;
        "POST" "/indexes/{index}/documents/delete" documents_write::delete_by_filter;
        "POST" "/indexes/{index}/documents/fetch" documents_read::fetch;
        "GET" "/indexes/{index}/documents/{document}" documents_read::get;
        "DELETE" "/indexes/{index}/documents/{document}" documents_write::delete_one;
        "GET" "/indexes/{index}/settings" settings::get_all;
        "PATCH" "/indexes/{index}/settings" settings::update_all;
        "DELETE" "/indexes/{index}/settings" settings::reset_all;
        "GET" "/tasks" tasks::list;
        "DELETE" "/tasks" tasks::delete;
        "POST" "/tasks/cancel" tasks::cancel;
        "GET" "/tasks/{task}" tasks::get;
    }
}

/// What one server has besides.
fn not_supported() -> Vec<(&'static str, &'static str, bool, Handle)> {
    table! {
        "POST" "/swap-indexes" unsupported::refuse;
        "POST" "/dumps" unsupported::refuse;
        "POST" "/snapshots" unsupported::refuse;
        "POST" "/export" unsupported::refuse;
        "POST" "/render-template" unsupported::refuse;
        "GET" "/keys" unsupported::refuse;
        "POST" "/keys" unsupported::refuse;
        "GET" "/keys/{key}" unsupported::refuse;
        "PATCH" "/keys/{key}" unsupported::refuse;
        "DELETE" "/keys/{key}" unsupported::refuse;
        "GET" "/experimental-features" unsupported::refuse;
        "PATCH" "/experimental-features" unsupported::refuse;
        "GET" "/webhooks" unsupported::refuse;
        "POST" "/webhooks" unsupported::refuse;
        "GET" "/webhooks/{webhook}" unsupported::refuse;
        "PATCH" "/webhooks/{webhook}" unsupported::refuse;
        "DELETE" "/webhooks/{webhook}" unsupported::refuse;
        "GET" "/batches" unsupported::refuse;
        "GET" "/batches/{batch}" unsupported::refuse;
        "POST" "/indexes/{index}/fields" unsupported::refuse;
        "POST" "/indexes/{index}/compact" unsupported::refuse;
        "POST" "/indexes/{index}/documents/edit" unsupported::edit_documents;
        "GET" "/network" unsupported::network;
        "PATCH" "/network" unsupported::network;
        "GET" "/metrics" unsupported::metrics;
        "POST" "/logs/stream" unsupported::logs;
        "DELETE" "/logs/stream" unsupported::logs;
        "POST" "/logs/stderr" unsupported::logs;
        "GET" "/chats" unsupported::chats;
        "POST" "/dynamic-search-rules" unsupported::search_rules;
        "DELETE" "/dynamic-search-rules" unsupported::search_rules;
        "GET" "/tasks/{task}/documents" unsupported::task_documents;
        "POST" "/tasks/compact" unsupported::task_compaction;
    }
}

static RESOURCES: LazyLock<Vec<Resource>> = LazyLock::new(|| {
    let mut resources: Vec<(&'static str, Resource)> = Vec::new();
    for route in ROUTES.iter() {
        if let Some((_, resource)) = resources.iter_mut().find(|(path, _)| *path == route.path) {
            resource.routes.push(route);
            continue;
        }
        let parts = parts_of(&route.path).map(|part| (!part.starts_with('{')).then_some(part)).collect();
        resources.push((&route.path, Resource { parts, routes: vec![route] }));
    }
    let mut resources: Vec<Resource> = resources.into_iter().map(|(_, resource)| resource).collect();
    // A path written out goes before one with a variable part in its place.
    resources.sort_by_key(|resource| resource.parts.iter().map(Option::is_none).collect::<Vec<_>>());
    resources
});

/// Empty parts do not count: `//health/` is `/health`.
fn parts_of(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// Finds the route of a request.
pub(super) fn find(request: &Request) -> Found {
    let parts: Vec<&str> = parts_of(&request.path).collect();
    let fits = |resource: &&Resource| {
        resource.parts.len() == parts.len()
            && resource.parts.iter().zip(&parts).all(|(own, part)| own.is_none_or(|own| own == *part))
    };
    let Some(resource) = RESOURCES.iter().find(fits) else { return Found::Nothing };
    let Some(route) = resource.routes.iter().find(|route| route.method == request.method.as_str()) else {
        return Found::OtherMethods(resource.routes.iter().map(|route| route.method).collect());
    };
    let mut arguments = Arguments::default();
    for (_, part) in resource.parts.iter().zip(&parts).filter(|(own, _)| own.is_none()) {
        arguments.push(part);
    }
    Found::Route(route, arguments)
}
