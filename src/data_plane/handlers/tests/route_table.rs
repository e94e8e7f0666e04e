//! Every route of Meilisearch 1.50, as its sources declare them: here, in docs/COMPATIBILITY.md, and answered.

use http::Method;

use super::Fixture;
use crate::data_plane::handlers::routes::ROUTES;
use crate::http_types::Request;

const DOCUMENT: &str = include_str!("../../../../docs/COMPATIBILITY.md");

/// Paths with their methods.
const ONE_SERVER: &[(&str, &str)] = &[
    ("/health", "GET"),
    ("/version", "GET"),
    ("/stats", "GET"),
    ("/chats", "GET"),
    ("/chats/{workspace_uid}", "GET DELETE"),
    ("/chats/{workspace_uid}/settings", "GET PATCH DELETE"),
    ("/chats/{workspace_uid}/chat/completions", "POST"),
    ("/tasks", "GET DELETE"),
    ("/tasks/cancel", "POST"),
    ("/tasks/compact", "POST"),
    ("/tasks/{task_id}", "GET"),
    ("/tasks/{task_id}/documents", "GET"),
    ("/batches", "GET"),
    ("/batches/{batch_id}", "GET"),
    ("/indexes", "GET POST"),
    ("/indexes/{index_uid}", "GET PATCH DELETE"),
    ("/indexes/{index_uid}/stats", "GET"),
    ("/indexes/{index_uid}/fields", "POST"),
    ("/indexes/{index_uid}/compact", "POST"),
    ("/indexes/{index_uid}/documents", "GET POST PUT DELETE"),
    ("/indexes/{index_uid}/documents/delete-batch", "POST"),
    ("/indexes/{index_uid}/documents/delete", "POST"),
    ("/indexes/{index_uid}/documents/edit", "POST"),
    ("/indexes/{index_uid}/documents/fetch", "POST"),
    ("/indexes/{index_uid}/documents/{document_id}", "GET DELETE"),
    ("/indexes/{index_uid}/search", "GET POST"),
    ("/indexes/{index_uid}/facet-search", "POST"),
    ("/indexes/{index_uid}/similar", "GET POST"),
    ("/indexes/{index_uid}/settings", "GET PATCH DELETE"),
    ("/indexes/{index_uid}/settings/displayed-attributes", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/searchable-attributes", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/filterable-attributes", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/sortable-attributes", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/foreign-keys", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/ranking-rules", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/stop-words", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/non-separator-tokens", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/separator-tokens", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/dictionary", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/synonyms", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/distinct-attribute", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/proximity-precision", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/typo-tolerance", "GET PATCH DELETE"),
    ("/indexes/{index_uid}/settings/faceting", "GET PATCH DELETE"),
    ("/indexes/{index_uid}/settings/pagination", "GET PATCH DELETE"),
    ("/indexes/{index_uid}/settings/embedders", "GET PATCH DELETE"),
    ("/indexes/{index_uid}/settings/search-cutoff-ms", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/localized-attributes", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/facet-search", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/prefix-search", "GET PUT DELETE"),
    ("/indexes/{index_uid}/settings/chat", "GET PATCH DELETE"),
    ("/snapshots", "POST"),
    ("/dumps", "POST"),
    ("/keys", "GET POST"),
    ("/keys/{key}", "GET PATCH DELETE"),
    ("/metrics", "GET"),
    ("/logs/stream", "POST DELETE"),
    ("/logs/stderr", "POST"),
    ("/multi-search", "POST"),
    ("/swap-indexes", "POST"),
    ("/experimental-features", "GET PATCH"),
    ("/export", "POST"),
    ("/network", "GET PATCH"),
    ("/network/control", "POST"),
    ("/webhooks", "GET POST"),
    ("/webhooks/{uuid}", "GET PATCH DELETE"),
    ("/dynamic-search-rules", "POST DELETE"),
    ("/dynamic-search-rules/{uid}", "GET PATCH DELETE"),
    ("/render-template", "POST"),
];

/// `/keys/{key}` as `/keys/{}`.
fn shape(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_of_one_server_is_there_documented_and_answered() {
    let fixture = Fixture::new();
    let mut known = 0;
    for (path, methods) in ONE_SERVER {
        let row = format!("| `{path}` | {methods} |");
        assert!(DOCUMENT.contains(&row), "docs/COMPATIBILITY.md has no row `{row}`");
        for method in methods.split(' ') {
            let route = ROUTES.iter().find(|route| route.method == method && shape(&route.path) == shape(path));
            assert!(route.is_some(), "{method} {path} is not there");
            known += 1;
            let target = shape(path).replacen("{}", if path.starts_with("/indexes/") { "movies" } else { "1" }, 1);
            let method: Method = method.parse().expect("a method");
            let response = fixture.send(Request::new(method.clone(), &target.replace("{}", "1")).with_json("{}"));
            assert!(response.status != 405, "{method} {target}");
            assert!(response.status != 404 || !response.body.is_empty(), "{method} {target}");
            assert!(response.status != 500, "{method} {target}: {response:?}");
        }
    }
    let unknown = ROUTES.len() - known;
    assert_eq!(unknown, 1, "only `/` is a route that the sources do not list");
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `/")).count();
    assert_eq!(rows, ONE_SERVER.len(), "docs/COMPATIBILITY.md lists a route that is none");
}
