//! The steps of the API scenario, in order: each builds on those before it.

use serde_json::{Value, json};

/// A request's body.
pub enum Body {
    /// None, and no content type.
    None,
    /// JSON.
    Json(Value),
    /// Any text with any content type.
    Raw(Option<&'static str>, &'static str),
}

/// A request's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// The right one.
    Right,
    /// Another one.
    Wrong,
    /// No header at all.
    None,
}

/// One request.
pub struct Step {
    /// GET and so on.
    pub method: &'static str,
    /// Path and query.
    pub target: &'static str,
    /// What is sent.
    pub body: Body,
    /// Which key goes with it.
    pub key: Key,
}

impl Step {
    /// How findings and recorded answers call it.
    pub fn name(&self) -> String {
        let body = match &self.body {
            Body::None => String::new(),
            Body::Json(value) => format!(" {value}"),
            Body::Raw(content_type, text) => format!(" {} {text:?}", content_type.unwrap_or("(no type)")),
        };
        let key = match self.key {
            Key::Right => String::new(),
            Key::Wrong => " with key Some(\"wrong\")".to_owned(),
            Key::None => " with key None".to_owned(),
        };
        format!("{} {}{body}{key}", self.method, self.target)
    }
}

/// A GET.
pub fn get(target: &'static str) -> Step {
    Step { method: "GET", target, body: Body::None, key: Key::Right }
}

/// A DELETE.
pub fn delete(target: &'static str) -> Step {
    Step { method: "DELETE", target, body: Body::None, key: Key::Right }
}

/// A POST of JSON.
pub fn post(target: &'static str, body: Value) -> Step {
    Step { method: "POST", target, body: Body::Json(body), key: Key::Right }
}

/// A PUT of JSON.
pub fn put(target: &'static str, body: Value) -> Step {
    Step { method: "PUT", target, body: Body::Json(body), key: Key::Right }
}

/// A PATCH of JSON.
pub fn patch(target: &'static str, body: Value) -> Step {
    Step { method: "PATCH", target, body: Body::Json(body), key: Key::Right }
}

/// Any method with any text.
pub fn raw(method: &'static str, target: &'static str, content_type: Option<&'static str>, text: &'static str) -> Step {
    Step { method, target, body: Body::Raw(content_type, text), key: Key::Right }
}

fn keyed(target: &'static str, key: Key) -> Step {
    Step { method: "GET", target, body: Body::None, key }
}

/// All of them.
pub fn steps() -> Vec<Step> {
    [
        empty_server(),
        keys(),
        indexes(),
        documents(),
        refused_documents(),
        reading(),
        deleting(),
        settings(),
        refused_settings(),
        search(),
        tasks(),
        last(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn empty_server() -> Vec<Step> {
    vec![
        get("/health"),
        get("/version"),
        get("/stats"),
        get("/indexes"),
        get("/tasks"),
        get("/indexes/nowhere"),
        get("/indexes/nowhere/stats"),
        get("/indexes/nowhere/settings"),
        get("/indexes/nowhere/documents"),
        get("/indexes/nowhere/documents/1"),
        post("/indexes/nowhere/search", json!({"q": "x"})),
        get("/tasks/77"),
        get("/tasks/x"),
    ]
}

fn keys() -> Vec<Step> {
    vec![
        keyed("/indexes", Key::None),
        keyed("/indexes", Key::Wrong),
        keyed("/health", Key::None),
        keyed("/version", Key::None),
        keyed("/stats", Key::Wrong),
        keyed("/tasks", Key::None),
        keyed("/indexes/nowhere/search?q=x", Key::Wrong),
    ]
}

fn indexes() -> Vec<Step> {
    vec![
        post("/indexes", json!({"uid": "films", "primaryKey": "id"})),
        post("/indexes", json!({"uid": "films"})),
        post("/indexes", json!({"uid": "plain"})),
        post("/indexes", json!({"uid": "not a name"})),
        post("/indexes", json!({})),
        post("/indexes", json!({"uid": "x", "colour": "red"})),
        post("/indexes", json!({"uid": 7})),
        post("/indexes", json!([1])),
        raw("POST", "/indexes", Some("application/json"), "{\"uid\": "),
        raw("POST", "/indexes", Some("application/json"), ""),
        raw("POST", "/indexes", Some("text/plain"), "{\"uid\": \"y\"}"),
        raw("POST", "/indexes", None, "{\"uid\": \"y\"}"),
        get("/indexes"),
        get("/indexes?limit=1"),
        get("/indexes?offset=1&limit=5"),
        get("/indexes?limit=x"),
        get("/indexes?limit=-1"),
        get("/indexes?colour=red"),
        get("/indexes/films"),
        patch("/indexes/plain", json!({"primaryKey": "key"})),
        patch("/indexes/films", json!({"primaryKey": "key", "createdAt": 1})),
        patch("/indexes/nowhere", json!({"primaryKey": "key"})),
        get("/indexes/plain"),
        delete("/indexes/nowhere"),
        get("/indexes/films/stats"),
        get("/indexes/not%20a%20name"),
    ]
}

fn documents() -> Vec<Step> {
    vec![
        post(
            "/indexes/films/documents",
            json!([
                {"id": 1, "title": "Inception", "year": 2010, "genres": ["Action", "Science Fiction"], "director": {"name": "Nolan"}},
                {"id": "2", "title": "Interstellar", "year": 2014, "genres": ["Drama"], "rating": 8.6},
                {"id": "a-b_c", "title": "Amélie", "year": 2001, "genres": [], "seen": true},
                {"id": 4, "title": "Metropolis", "year": 1927, "rating": null},
                {"id": 5, "title": "東京物語", "year": 1953, "nested": {"list": [{"a": 1}, {"a": "x"}]}},
            ]),
        ),
        post("/indexes/films/documents", json!({"id": 6, "title": "Single object"})),
        put("/indexes/films/documents", json!([{"id": 6, "year": 1999}, {"id": 7, "title": "New by update"}])),
        post("/indexes/films/documents", json!([{"id": 7, "title": "Replaced"}])),
        raw(
            "POST",
            "/indexes/films/documents",
            Some("application/x-ndjson"),
            "{\"id\": 8, \"title\": \"Lines\"}\n{\"id\": 9, \"title\": \"More lines\"}\n",
        ),
        raw(
            "POST",
            "/indexes/films/documents",
            Some("text/csv"),
            "id,title,year:number,seen:boolean\n10,\"Comma, separated\",1980,true\n11,Second,,\n",
        ),
        raw("POST", "/indexes/films/documents?csvDelimiter=%3B", Some("text/csv"), "id;title\n12;Semicolon\n"),
        post("/indexes/films/documents", json!([{"id": 13, "title": "first"}, {"id": 13, "title": "second"}])),
        post("/indexes/films/documents", json!([])),
        post(
            "/indexes/films/documents?customMetadata=mine",
            json!([{"id": 14, "title": "Numbers", "a": 1.50, "b": 1e3, "c": -0.0, "d": 12_345_678_901_234_567_u64}]),
        ),
        // An index that is made by its first documents, and its primary key inferred.
        post("/indexes/inferred/documents", json!([{"movieId": 1, "title": "x"}, {"movieId": 2, "title": "y"}])),
        get("/indexes/inferred"),
        post("/indexes/given/documents?primaryKey=key", json!([{"key": "k1", "id": 1}])),
        get("/indexes/given"),
        get("/indexes/films"),
    ]
}

fn refused_documents() -> Vec<Step> {
    vec![
        post("/indexes/films/documents", json!([{"title": "no id"}])),
        post("/indexes/films/documents", json!([{"id": "no spaces please"}])),
        post("/indexes/films/documents", json!([{"id": 1.5}])),
        post("/indexes/films/documents", json!([{"id": null}])),
        post("/indexes/films/documents", json!([{"id": {"a": 1}}])),
        post("/indexes/films/documents", json!([{"id": 20, "title": "good"}, {"id": "bad id"}])),
        post("/indexes/films/documents?primaryKey=title", json!([{"id": 1, "title": "other-key"}])),
        post("/indexes/nokey/documents", json!([{"title": "x"}])),
        post("/indexes/twokeys/documents", json!([{"aId": 1, "bId": 2}])),
        // In an index of their own: one stored bad place makes every later change of settings fail.
        post("/indexes/places/documents", json!([{"id": 21, "_geo": {"lat": 100, "lng": 0}}])),
        post("/indexes/places/documents", json!([{"id": 22, "_geo": "here"}, {"id": 23}])),
        put("/indexes/places/settings/filterable-attributes", json!(["_geo"])),
        get("/indexes/places/settings/filterable-attributes"),
        get("/indexes/places/documents/22"),
        delete("/indexes/places"),
        post("/indexes/films/documents", json!("text")),
        post("/indexes/films/documents", json!([1, 2])),
        raw("POST", "/indexes/films/documents", Some("application/json"), "[{\"id\": 1}"),
        raw("POST", "/indexes/films/documents", Some("application/json"), ""),
        raw("POST", "/indexes/films/documents", Some("application/x-ndjson"), "{\"id\": 1}\nnonsense\n"),
        raw("POST", "/indexes/films/documents", Some("text/csv"), "id,title\n1\n"),
        raw("POST", "/indexes/films/documents", Some("text/csv"), "id,year:number\n1,many\n"),
        raw("POST", "/indexes/films/documents", Some("application/xml"), "<a/>"),
        raw("POST", "/indexes/films/documents", None, "[]"),
        raw("POST", "/indexes/films/documents?csvDelimiter=%3B", Some("application/json"), "[]"),
        raw("POST", "/indexes/films/documents?csvDelimiter=ab", Some("text/csv"), "id\n1\n"),
        post("/indexes/films/documents?colour=red", json!([])),
        post("/indexes/not%20a%20name/documents", json!([{"id": 1}])),
        get("/indexes/films/stats"),
    ]
}

fn reading() -> Vec<Step> {
    vec![
        get("/indexes/films/documents/1"),
        get("/indexes/films/documents/a-b_c"),
        get("/indexes/films/documents/7"),
        get("/indexes/films/documents/14"),
        get("/indexes/films/documents/1?fields=title,director.name"),
        get("/indexes/films/documents/404"),
        get("/indexes/films/documents/1?colour=red"),
        get("/indexes/films/documents?limit=0"),
        get("/indexes/films/documents?limit=x"),
        get("/indexes/films/documents?fields=id&ids=1,2,a-b_c"),
        post("/indexes/films/documents/fetch", json!({"ids": [1], "fields": ["id", "title"]})),
        post("/indexes/films/documents/fetch", json!({"ids": ["404"]})),
        post("/indexes/films/documents/fetch", json!({"filter": "year > 2000"})),
        post("/indexes/films/documents/fetch", json!({"limit": -1})),
        post("/indexes/films/documents/fetch", json!({"colour": "red"})),
        put("/indexes/films/settings/filterable-attributes", json!(["year", "genres"])),
        put("/indexes/films/settings/sortable-attributes", json!(["year"])),
        post("/indexes/films/documents/fetch", json!({"filter": "year = 2010"})),
        post(
            "/indexes/films/documents/fetch",
            json!({"filter": ["year > 2000", ["genres = Action", "genres = Drama"]], "sort": ["year:asc"], "fields": ["year"]}),
        ),
        post("/indexes/films/documents/fetch", json!({"filter": "year >"})),
        post("/indexes/films/documents/fetch", json!({"filter": "title = x"})),
        post("/indexes/films/documents/fetch", json!({"sort": ["title:asc"]})),
        get("/indexes/films/documents?filter=year%20%3D%202014"),
        get("/indexes/films/documents?sort=year:desc&limit=2&fields=id,year"),
        get("/indexes/films/stats"),
        get("/stats"),
    ]
}

fn deleting() -> Vec<Step> {
    vec![
        delete("/indexes/films/documents/13"),
        delete("/indexes/films/documents/404"),
        delete("/indexes/films/documents/bad%20id"),
        post("/indexes/films/documents/delete-batch", json!([8, "9", "404"])),
        post("/indexes/films/documents/delete-batch", json!([])),
        post("/indexes/films/documents/delete-batch", json!({"ids": [1]})),
        post("/indexes/films/documents/delete-batch", json!([{"id": 1}])),
        post("/indexes/films/documents/delete", json!({"filter": "year = 1980"})),
        post("/indexes/films/documents/delete", json!({"filter": "year = 3000"})),
        post("/indexes/films/documents/delete", json!({"filter": "title = x"})),
        post("/indexes/films/documents/delete", json!({"filter": "year ="})),
        post("/indexes/films/documents/delete", json!({})),
        delete("/indexes/plain/documents"),
        delete("/indexes/nowhere/documents"),
        get("/indexes/films/stats"),
        delete("/indexes/given/documents"),
        get("/indexes/given/stats"),
        delete("/indexes/given"),
        get("/indexes/given"),
        post("/indexes/given/documents", json!([{"id": 1}])),
        get("/indexes/given"),
    ]
}

fn settings() -> Vec<Step> {
    const SINGLE: &[&str] = &[
        "/indexes/films/settings/ranking-rules",
        "/indexes/films/settings/searchable-attributes",
        "/indexes/films/settings/displayed-attributes",
        "/indexes/films/settings/filterable-attributes",
        "/indexes/films/settings/sortable-attributes",
        "/indexes/films/settings/stop-words",
        "/indexes/films/settings/synonyms",
        "/indexes/films/settings/distinct-attribute",
        "/indexes/films/settings/typo-tolerance",
        "/indexes/films/settings/faceting",
        "/indexes/films/settings/pagination",
        "/indexes/films/settings/separator-tokens",
        "/indexes/films/settings/non-separator-tokens",
        "/indexes/films/settings/dictionary",
        "/indexes/films/settings/proximity-precision",
        "/indexes/films/settings/search-cutoff-ms",
        "/indexes/films/settings/localized-attributes",
        "/indexes/films/settings/prefix-search",
        "/indexes/films/settings/facet-search",
    ];
    let mut steps = vec![
        get("/indexes/films/settings"),
        patch(
            "/indexes/films/settings",
            json!({"searchableAttributes": ["title", "genres"], "stopWords": ["the", "a"], "synonyms": {"film": ["movie"]},
                   "typoTolerance": {"minWordSizeForTypos": {"oneTypo": 4}}, "pagination": {"maxTotalHits": 500}}),
        ),
        patch("/indexes/made-by-settings/settings", json!({"stopWords": ["x"]})),
        get("/indexes/made-by-settings"),
        put("/indexes/films/settings/ranking-rules", json!(["words", "typo", "sort", "year:desc"])),
        put("/indexes/films/settings/searchable-attributes", json!(["title"])),
        put("/indexes/films/settings/displayed-attributes", json!(["id", "title", "year"])),
        put(
            "/indexes/films/settings/filterable-attributes",
            json!(["year", "genres", {"attributePatterns": ["dir*"], "features": {"facetSearch": true, "filter": {"equality": true, "comparison": false}}}]),
        ),
        put("/indexes/films/settings/stop-words", json!(["of"])),
        put("/indexes/films/settings/synonyms", json!({"a": ["b", "c"]})),
        patch("/indexes/films/settings/typo-tolerance", json!({"disableOnWords": ["skate"], "disableOnNumbers": true})),
        patch("/indexes/films/settings/faceting", json!({"maxValuesPerFacet": 7})),
        patch("/indexes/films/settings/pagination", json!({"maxTotalHits": 11})),
        put("/indexes/films/settings/separator-tokens", json!(["|"])),
        put("/indexes/films/settings/non-separator-tokens", json!(["#"])),
        put("/indexes/films/settings/dictionary", json!(["J. R. R."])),
        put("/indexes/films/settings/proximity-precision", json!("byAttribute")),
        put("/indexes/films/settings/search-cutoff-ms", json!(900)),
        put(
            "/indexes/films/settings/localized-attributes",
            json!([{"attributePatterns": ["title"], "locales": ["jpn", "eng"]}]),
        ),
        put("/indexes/films/settings/prefix-search", json!("disabled")),
        put("/indexes/films/settings/facet-search", json!(false)),
        get("/indexes/films/settings"),
        patch("/indexes/films/settings", json!({"stopWords": null, "faceting": {"maxValuesPerFacet": null}})),
    ];
    steps.extend(SINGLE.iter().map(|target| get(target)));
    steps.extend(SINGLE.iter().map(|target| delete(target)));
    steps.extend([get("/indexes/films/settings"), delete("/indexes/films/settings"), get("/indexes/films/settings")]);
    steps
}

fn refused_settings() -> Vec<Step> {
    vec![
        patch("/indexes/films/settings", json!({"colour": "red"})),
        patch("/indexes/films/settings", json!({"rankingRules": ["words", "colour"]})),
        patch("/indexes/films/settings", json!({"searchableAttributes": "title"})),
        patch("/indexes/films/settings", json!({"pagination": {"maxTotalHits": "many"}})),
        patch("/indexes/films/settings", json!({"pagination": {"colour": 1}})),
        patch(
            "/indexes/films/settings",
            json!({"typoTolerance": {"minWordSizeForTypos": {"oneTypo": 9, "twoTypos": 5}}}),
        ),
        patch("/indexes/films/settings", json!([1])),
        put("/indexes/films/settings/ranking-rules", json!(["price:up"])),
        put("/indexes/films/settings/stop-words", json!("the")),
        put("/indexes/films/settings/search-cutoff-ms", json!("soon")),
        put("/indexes/films/settings/proximity-precision", json!("byMagic")),
        put("/indexes/films/settings/filterable-attributes", json!([1])),
        put("/indexes/films/settings/filterable-attributes", json!([{"attributePatterns": "x"}])),
        put(
            "/indexes/films/settings/localized-attributes",
            json!([{"attributePatterns": ["a"], "locales": ["klingon"]}]),
        ),
        raw("PUT", "/indexes/films/settings/stop-words", Some("application/json"), "[\"a\""),
        get("/indexes/nowhere/settings/stop-words"),
        delete("/indexes/nowhere/settings/stop-words"),
        get("/indexes/films/settings/colour"),
        post("/indexes/films/settings/stop-words", json!(["a"])),
    ]
}

fn search() -> Vec<Step> {
    vec![
        put("/indexes/films/settings/filterable-attributes", json!(["year", "genres"])),
        put("/indexes/films/settings/sortable-attributes", json!(["year"])),
        post("/indexes/films/search", json!({"q": "inception"})),
        get("/indexes/films/search?q=inception&limit=1&attributesToRetrieve=title"),
        get("/indexes/films/search?filter=year%20%3D%202014&facets=genres&sort=year:asc"),
        get("/indexes/films/search?limit=x"),
        get("/indexes/films/search?colour=red"),
        post(
            "/indexes/films/search",
            json!({"q": "interstellar", "showRankingScore": true, "showMatchesPosition": true, "attributesToHighlight": ["title"]}),
        ),
        post(
            "/indexes/films/search",
            json!({"filter": "year > 1950", "sort": ["year:asc"], "facets": ["genres", "year"], "page": 1, "hitsPerPage": 2}),
        ),
        post("/indexes/films/search", json!({"q": "x", "colour": "red"})),
        post("/indexes/films/search", json!({"q": 1})),
        post("/indexes/films/search", json!({"filter": "title = x"})),
        post("/indexes/films/search", json!({"filter": 1})),
        post("/indexes/films/search", json!({"sort": ["title:asc"]})),
        post("/indexes/films/search", json!({"sort": ["year:up"]})),
        post("/indexes/films/search", json!({"facets": ["title"]})),
        post("/indexes/films/search", json!({"attributesToSearchOn": ["colour"]})),
        post("/indexes/films/search", json!({"matchingStrategy": "most"})),
        post("/indexes/films/search", json!({"cropLength": -1})),
        post("/indexes/films/search", json!([])),
        raw("POST", "/indexes/films/search", Some("application/json"), "{"),
        raw("POST", "/indexes/films/search", Some("application/json"), ""),
        raw("POST", "/indexes/films/search", Some("text/csv"), "{}"),
        put("/indexes/films/settings/displayed-attributes", json!(["title", "year"])),
        post("/indexes/films/search", json!({"q": "inception", "attributesToRetrieve": ["*"]})),
        post(
            "/indexes/films/search",
            json!({"q": "inception", "attributesToRetrieve": ["id", "director"], "attributesToHighlight": ["*"]}),
        ),
    ]
}

fn tasks() -> Vec<Step> {
    vec![
        get("/tasks?limit=3"),
        get("/tasks?limit=2&from=4"),
        get("/tasks?reverse=true&limit=2"),
        get("/tasks?uids=0,3,4"),
        get("/tasks?statuses=failed&limit=2"),
        get("/tasks?types=indexCreation,indexDeletion&limit=3"),
        get("/tasks?indexUids=inferred"),
        get("/tasks?statuses=canceled"),
        get("/tasks?statuses=broken"),
        get("/tasks?types=colour"),
        get("/tasks?uids=x"),
        get("/tasks?limit=x"),
        get("/tasks?colour=red"),
        get("/tasks?beforeEnqueuedAt=yesterday"),
        get("/tasks?afterEnqueuedAt=2000-01-01&limit=1"),
        raw("POST", "/tasks/cancel", None, ""),
        raw("POST", "/tasks/cancel?colour=red", None, ""),
        raw("POST", "/tasks/cancel?uids=0,1", None, ""),
        raw("POST", "/tasks/cancel?statuses=enqueued", None, ""),
        delete("/tasks"),
        delete("/tasks?uids=0,1"),
        get("/tasks/0"),
        get("/tasks?uids=0,1,2"),
        delete("/tasks?statuses=canceled"),
    ]
}

fn last() -> Vec<Step> {
    vec![
        get("/colour"),
        raw("DELETE", "/health", None, ""),
        raw("PUT", "/indexes", None, ""),
        get("/indexes/films/documents/delete-batch"),
        get("/indexes"),
        delete("/indexes/films"),
        get("/indexes/films"),
        post("/indexes/films/search", json!({})),
    ]
}
