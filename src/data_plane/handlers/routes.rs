//! The one table of what clients can call, and the search in it.

use std::sync::LazyLock;

use super::arguments::Arguments;
use super::{
    batches, chats, conversation, documents_read, documents_write, export, facet_search, features, index_fields,
    indexes, keys, logs, metrics, multi_search, network, render, search, search_rules, settings, similar, stats,
    system, tasks, webhooks,
};
use crate::data_plane::body::BodyUse;
use crate::data_plane::core::Core;
use crate::data_plane::upstream::LocalFuture;
use crate::http_types::{Request, Response};
use crate::meili::error::ApiError;
use crate::meili::keys::Action;
use crate::meili::settings::{SETTINGS, Verb};

/// Answers a request.
pub type Handle = for<'a> fn(&'a Core, &'a Request, &'a Arguments) -> LocalFuture<'a, Result<Response, ApiError>>;

/// One method of one path.
#[derive(Clone, Debug)]
pub struct Route {
    /// In capitals.
    pub method: &'static str,
    /// Variable parts are in braces: `/indexes/{index}/search`.
    pub path: String,
    /// What the caller's key must allow, all of it; nobody is asked for a key where there is none.
    pub actions: &'static [Action],
    /// How its body is read.
    pub body_use: BodyUse,
    /// Its place among [`ROUTES`].
    pub place: usize,
    pub(super) handle: Handle,
}

impl Route {
    /// Whether its first variable part is the name of an index.
    pub(super) fn names_an_index(&self) -> bool {
        self.path.starts_with("/indexes/{index}")
    }
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

fn body_use(handler: &str) -> BodyUse {
    let in_pieces = ["documents_write::replace", "documents_write::update", "documents_write::delete_batch"];
    if in_pieces.contains(&handler) { BodyUse::InPieces } else { BodyUse::AtOnce }
}

macro_rules! table {
    ($($method:literal $path:literal [$($action:ident)*] $handler:path;)*) => {
        vec![$(Route {
            method: $method,
            path: $path.to_owned(),
            actions: &[$(Action::$action),*],
            body_use: body_use(stringify!($handler)),
            place: 0,
            handle: handle!($handler),
        },)*]
    };
}

/// Every route, in no particular order but with the paths of one resource together.
pub static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let mut routes: Vec<Route> = [most(), search_rules(), chats()].into_iter().flatten().collect();
    for setting in SETTINGS {
        let path = format!("/indexes/{{index}}/settings/{}", setting.route);
        let update = match setting.verb {
            Verb::Put => "PUT",
            Verb::Patch => "PATCH",
        };
        let (read, write): (&[Action], &[Action]) = (&[Action::SettingsGet], &[Action::SettingsUpdate]);
        let methods: [(&'static str, &'static [Action], Handle); 3] = [
            ("GET", read, handle!(settings::get_one)),
            (update, write, handle!(settings::update_one)),
            ("DELETE", write, handle!(settings::reset_one)),
        ];
        routes.extend(methods.map(|(method, actions, handle)| Route {
            method,
            path: path.clone(),
            actions,
            body_use: BodyUse::AtOnce,
            place: 0,
            handle,
        }));
    }
    routes.iter_mut().zip(0..).for_each(|(route, place)| route.place = place);
    routes
});

fn most() -> Vec<Route> {
    table! {
        "GET" "/" [] system::running;
        "GET" "/health" [] system::health;
        "GET" "/version" [Version] system::version;
        "GET" "/stats" [StatsGet] stats::all;
        "GET" "/indexes" [IndexesGet] indexes::list;
        "POST" "/indexes" [IndexesCreate] indexes::create;
        "GET" "/indexes/{index}" [IndexesGet] indexes::get;
        "PATCH" "/indexes/{index}" [IndexesUpdate] indexes::update;
        "DELETE" "/indexes/{index}" [IndexesDelete] indexes::delete;
        "POST" "/swap-indexes" [IndexesSwap] indexes::swap;
        "GET" "/indexes/{index}/stats" [StatsGet] stats::one;
        "POST" "/indexes/{index}/fields" [FieldsPost] index_fields::list;
        "POST" "/indexes/{index}/compact" [IndexesCompact] indexes::compact;
        "POST" "/snapshots" [SnapshotsCreate] tasks::create_snapshot;
        "POST" "/dumps" [DumpsCreate] tasks::create_dump;
        "POST" "/export" [Export] export::post;
        "GET" "/indexes/{index}/search" [Search] search::get;
        "POST" "/indexes/{index}/search" [Search] search::post;
        "POST" "/indexes/{index}/facet-search" [Search] facet_search::post;
        "GET" "/indexes/{index}/similar" [Search] similar::get;
        "POST" "/indexes/{index}/similar" [Search] similar::post;
        "POST" "/multi-search" [Search] multi_search::post;
        "GET" "/indexes/{index}/documents" [DocumentsGet] documents_read::list;
        "POST" "/indexes/{index}/documents" [DocumentsAdd] documents_write::replace;
        "PUT" "/indexes/{index}/documents" [DocumentsAdd] documents_write::update;
        "DELETE" "/indexes/{index}/documents" [DocumentsDelete] documents_write::clear;
        "POST" "/indexes/{index}/documents/delete-batch" [DocumentsDelete] documents_write::delete_batch;
        "POST" "/indexes/{index}/documents/delete" [DocumentsDelete] documents_write::delete_by_filter;
        "POST" "/indexes/{index}/documents/edit" [DocumentsAll] documents_write::edit;
        "POST" "/indexes/{index}/documents/fetch" [DocumentsGet] documents_read::fetch;
        "GET" "/indexes/{index}/documents/{document}" [DocumentsGet] documents_read::get;
        "DELETE" "/indexes/{index}/documents/{document}" [DocumentsDelete] documents_write::delete_one;
        "GET" "/indexes/{index}/settings" [SettingsGet] settings::get_all;
        "PATCH" "/indexes/{index}/settings" [SettingsUpdate] settings::update_all;
        "DELETE" "/indexes/{index}/settings" [SettingsUpdate] settings::reset_all;
        "GET" "/experimental-features" [ExperimentalFeaturesGet] features::get;
        "PATCH" "/experimental-features" [ExperimentalFeaturesUpdate] features::update;
        "GET" "/metrics" [MetricsGet] metrics::get;
        "POST" "/logs/stream" [MetricsGet] logs::stream;
        "DELETE" "/logs/stream" [MetricsGet] logs::cancel;
        "POST" "/logs/stderr" [MetricsGet] logs::change;
        "GET" "/network" [NetworkGet] network::get;
        "PATCH" "/network" [NetworkUpdate] network::update;
        "POST" "/network/control" [NetworkUpdate] network::control;
        "POST" "/render-template" [SettingsGet DocumentsGet] render::post;
        "GET" "/tasks" [TasksGet] tasks::list;
        "DELETE" "/tasks" [TasksDelete] tasks::delete;
        "POST" "/tasks/cancel" [TasksCancel] tasks::cancel;
        "POST" "/tasks/compact" [TasksCompact] tasks::compact;
        "GET" "/tasks/{task}" [TasksGet] tasks::get;
        "GET" "/tasks/{task}/documents" [TasksGet] tasks::documents;
        "GET" "/batches" [TasksGet] batches::list;
        "GET" "/batches/{batch}" [TasksGet] batches::get;
        "GET" "/webhooks" [WebhooksGet] webhooks::list;
        "POST" "/webhooks" [WebhooksCreate] webhooks::create;
        "GET" "/webhooks/{webhook}" [WebhooksGet] webhooks::get;
        "PATCH" "/webhooks/{webhook}" [WebhooksUpdate] webhooks::update;
        "DELETE" "/webhooks/{webhook}" [WebhooksDelete] webhooks::delete;
        "GET" "/keys" [KeysGet] keys::list;
        "POST" "/keys" [KeysCreate] keys::create;
        "GET" "/keys/{key}" [KeysGet] keys::get;
        "PATCH" "/keys/{key}" [KeysUpdate] keys::update;
        "DELETE" "/keys/{key}" [KeysDelete] keys::delete;
    }
}

/// Which documents are pinned to which places of searches.
fn search_rules() -> Vec<Route> {
    table! {
        "POST" "/dynamic-search-rules" [DynamicSearchRulesGet] search_rules::list;
        "DELETE" "/dynamic-search-rules" [DynamicSearchRulesDelete] search_rules::clear;
        "GET" "/dynamic-search-rules/{rule}" [DynamicSearchRulesGet] search_rules::get;
        "PATCH" "/dynamic-search-rules/{rule}" [DynamicSearchRulesUpdate] search_rules::update;
        "DELETE" "/dynamic-search-rules/{rule}" [DynamicSearchRulesDelete] search_rules::delete;
    }
}

/// Workspaces, and conversations in them.
fn chats() -> Vec<Route> {
    table! {
        "GET" "/chats" [ChatsGet] chats::list;
        "GET" "/chats/{workspace}" [ChatsGet] chats::get;
        "DELETE" "/chats/{workspace}" [ChatsDelete] chats::delete;
        "GET" "/chats/{workspace}/settings" [ChatsSettingsGet] chats::get_settings;
        "PATCH" "/chats/{workspace}/settings" [ChatsSettingsUpdate] chats::update_settings;
        "DELETE" "/chats/{workspace}/settings" [ChatsSettingsUpdate] chats::reset_settings;
        "POST" "/chats/{workspace}/chat/completions" [ChatCompletions] conversation::post;
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
    let variable = resource.parts.iter().zip(&parts).filter(|(own, _)| own.is_none());
    Found::Route(route, Arguments::new(variable.map(|(_, part)| *part)))
}
