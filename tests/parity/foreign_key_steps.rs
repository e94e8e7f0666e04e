//! Foreign keys: the setting, documents in the place of their ids, and filters on documents of another index.

use serde_json::{Value, json};

use super::steps::{Step, delete, get, patch, post, put};

const SETTING: &str = "/indexes/books/settings/foreign-keys";

/// All of them.
pub fn foreign_key_steps() -> Vec<Step> {
    let on = || patch("/experimental-features", json!({"foreignKeys": true}));
    let off = || patch("/experimental-features", json!({"foreignKeys": false}));
    let mut steps = vec![get(SETTING), post("/indexes", json!({"uid": "books", "primaryKey": "id"}))];
    steps.extend(refused_settings());
    steps.push(on());
    steps.extend(settings());
    steps.extend(documents());
    steps.extend(lists_of_a_missing_index());
    steps.push(post("/indexes", json!({"uid": "towns"})));
    steps.push(search(json!({})));
    steps.push(post("/indexes/towns/documents", towns()));
    steps.push(put("/indexes/towns/settings/displayed-attributes", json!(["nested.country", "label"])));
    steps.extend(hits());
    steps.extend(filters());
    steps.extend(too_many());
    steps.push(off());
    steps.extend(switched_off());
    steps.push(on());
    steps.push(delete("/indexes/authors"));
    steps.push(search(json!({})));
    steps.push(search(json!({"attributesToRetrieve": ["title"]})));
    steps.push(search(json!({"filter": "_foreign(author, name = Alice)"})));
    steps
}

fn sorted(mut body: Value) -> Value {
    if body.get("sort").is_none() {
        body["sort"] = json!(["id:asc"]);
    }
    body
}

fn search(body: Value) -> Step {
    post("/indexes/books/search", sorted(body))
}

fn query(body: Value) -> Value {
    let mut query = sorted(body);
    if query.get("indexUid").is_none() {
        query["indexUid"] = json!("books");
    }
    query
}

fn several(queries: impl IntoIterator<Item = Value>) -> Step {
    let queries: Vec<Value> = queries.into_iter().map(query).collect();
    post("/multi-search", json!({"queries": queries}))
}

fn federated(queries: impl IntoIterator<Item = Value>) -> Step {
    let queries: Vec<Value> = queries.into_iter().map(query).collect();
    post("/multi-search", json!({"federation": {}, "queries": queries}))
}

fn refused_settings() -> Vec<Step> {
    let keys = json!([{"foreignIndexUid": "authors", "fieldName": "author"}]);
    vec![
        get(SETTING),
        put(SETTING, json!([])),
        put(SETTING, keys.clone()),
        patch("/indexes/books/settings", json!({"foreignKeys": keys})),
        patch("/indexes/books/settings", json!({"foreignKeys": null})),
        put(SETTING, Value::Null),
        delete(SETTING),
        get("/indexes/books/settings"),
    ]
}

fn settings() -> Vec<Step> {
    let mut steps = vec![get(SETTING), get("/indexes/books/settings")];
    for keys in [
        json!("authors"),
        json!({"author": "authors"}),
        json!([7]),
        json!([{"foreignIndexUid": "authors"}]),
        json!([{"fieldName": "author"}]),
        json!([{"foreignIndexUid": 7, "fieldName": "author"}]),
        json!([{"foreignIndexUid": "authors", "fieldName": null}]),
        json!([{"foreignIndexUid": "authors", "fieldName": "author", "colour": "red"}]),
        json!([{"foreignIndexUid": "no / name", "fieldName": ""}]),
        json!([{"foreignIndexUid": "a", "fieldName": "x"}, {"foreignIndexUid": "a", "fieldName": "x"}]),
        Value::Null,
        json!([{"foreignIndexUid": "a", "fieldName": "x"}]),
    ] {
        steps.push(put(SETTING, keys.clone()));
        steps.push(get(SETTING));
        steps.push(patch("/indexes/books/settings", json!({"foreignKeys": keys})));
    }
    steps.extend([
        delete(SETTING),
        get(SETTING),
        put(SETTING, json!([{"foreignIndexUid": "a", "fieldName": "x"}])),
        delete("/indexes/books/settings"),
        get(SETTING),
    ]);
    let keys = [
        ("authors", "author"),
        ("authors", "related"),
        ("towns", "meta.where.town"),
        ("authors", "meta.editor"),
        ("authors", "next.author"),
    ];
    let keys: Vec<Value> =
        keys.iter().map(|(uid, field)| json!({"foreignIndexUid": uid, "fieldName": field})).collect();
    steps.push(patch(
        "/indexes/books/settings",
        json!({
            "foreignKeys": keys,
            "filterableAttributes": ["genres", "author", "related", "id", "meta"],
            "sortableAttributes": ["id"],
            "rankingRules": ["sort", "words"],
        }),
    ));
    steps.push(get("/indexes/books/settings"));
    steps
}

fn documents() -> Vec<Step> {
    let names = ["Alice", "Bob", "Charlie", "Diana", "Ethan", "Fiona", "George"];
    let author = |(place, name): (usize, &&str)| {
        let number = place + 1;
        json!({"id": format!("a{number}"), "name": name, "birth": 1900 + number, "town": number % 3, "secret": "s"})
    };
    let mut authors: Vec<Value> = names.iter().enumerate().map(author).collect();
    authors.push(json!({"id": 7, "name": "Seven", "birth": 2000, "town": 1, "secret": "x", "Mixed": true}));
    authors.push(json!({"id": "A1", "name": "Capital", "birth": 2001, "town": {"x": [1]}}));
    let books = json!([
        {"id": 1, "title": "Rust in action", "author": "a1", "related": ["a2", "a3"], "genres": ["tech"]},
        {
            "id": 2, "title": "Captain story", "author": "a2", "genres": ["action", "fiction"],
            "related": ["a3", "zz", "a 4", 7, null, true, 1.5, "a4"],
            "meta": {"editor": "a5", "where": [{"town": 0}, {"town": 2, "x": "a1"}, {"town": [1, 9]}]},
        },
        {
            "id": 3, "title": "Gatsby", "author": {"id": "a3", "also": ["a4"]}, "related": [["a1"], ["a2", ["a3"]]],
            "genres": ["action", "classic"], "next.author": "a6", "meta": {"where": {"town": 1}},
        },
        {
            "id": 4, "title": "Kill a mockingbird", "author": null, "related": [], "genres": ["classic"],
            "meta": {"editor": 7},
        },
        {"id": 5, "title": "1984 a1", "author": 7, "genres": ["dystopia"], "meta": "a7"},
        {"id": 6, "title": "Nobody knows a2", "author": "nobody", "related": "a6", "genres": ["action"]},
        {
            "id": 7, "title": "Rye", "author": "A1", "related": {"x": "a1"}, "genres": ["tech"],
            "meta": {"editor": {"deep": "a1"}},
        },
    ]);
    let settings = json!({
        "filterableAttributes": ["id", "birth", "name", "town"],
        "displayedAttributes": ["name", "town", "birth", "Mixed"],
    });
    vec![
        patch("/indexes/authors/settings", settings),
        post("/indexes/authors/documents?primaryKey=id", Value::from(authors)),
        post("/indexes/books/documents", books),
    ]
}

fn towns() -> Value {
    let town = |id: u64| json!({"town_id": id, "label": format!("T{id}"), "nested": {"country": {"code": id}, "x": 1}});
    (0..3).map(town).collect()
}

fn lists_of_a_missing_index() -> Vec<Step> {
    vec![
        search(json!({})),
        search(json!({"filter": "id = 99"})),
        search(json!({"attributesToRetrieve": ["title"]})),
        search(json!({"filter": "_foreign(meta.where.town, label = T1)"})),
        federated([json!({})]),
        federated([json!({"filter": "id = 1"})]),
        several([json!({})]),
        several([json!({"indexUid": "colour"})]),
        federated([json!({}), json!({"indexUid": "colour"})]),
        federated([json!({"filter": "_foreign(title, name = a)"}), json!({"indexUid": "colour"})]),
    ]
}

fn hits() -> Vec<Step> {
    vec![
        search(json!({})),
        search(json!({"attributesToRetrieve": ["title", "author"]})),
        search(json!({"attributesToRetrieve": ["meta.where"]})),
        search(json!({"attributesToRetrieve": ["title"], "attributesToHighlight": ["title", "author"], "q": "a1 a2"})),
        search(json!({"attributesToHighlight": ["*"]})),
        search(json!({
            "q": "a1", "attributesToRetrieve": ["related"], "attributesToHighlight": ["author"], "attributesToCrop": ["meta"],
        })),
        search(json!({"q": "a1", "showMatchesPosition": true, "showRankingScore": true})),
        search(json!({"page": 2, "hitsPerPage": 2, "attributesToRetrieve": ["id", "author", "related"]})),
        search(json!({"facets": ["genres"], "limit": 1})),
        get("/indexes/books/search?q=rust"),
        several([json!({"limit": 2}), json!({"q": "rye"})]),
        federated([json!({})]),
        federated([json!({"attributesToHighlight": ["*"]})]),
        federated([json!({"attributesToRetrieve": ["meta"]})]),
        federated([json!({"filter": "id = 7"}), json!({"indexUid": "authors", "filter": "id = 7", "sort": []})]),
        federated([
            json!({"q": "a1", "attributesToHighlight": ["author"], "attributesToRetrieve": ["title"]}),
            json!({"q": "rust"}),
        ]),
        get("/indexes/books/documents/1"),
        post("/indexes/books/documents/fetch", json!({"ids": [1]})),
    ]
}

fn filters() -> Vec<Step> {
    let mut steps = Vec::new();
    for filter in [
        json!("_foreign(author, birth > 1901)"),
        json!("_foreign(author, birth != 1901)"),
        json!("_foreign(author, id != 1901)"),
        json!("NOT _foreign(author, birth > 1901)"),
        json!("_foreign(author, name = nobody)"),
        json!("_foreign(related, birth < 1904) AND genres = action"),
        json!("genres = classic OR _foreign(author, birth = 1901)"),
        json!(["genres = action", ["_foreign(author, birth=1902)", "_foreign(related, birth=1906)"]]),
        json!("_foreign('author', (birth=1902 OR name = Alice))"),
        json!("_foreign(meta.editor, birth=1905)"),
        json!("_foreign(author, id = A1)"),
        json!("_foreign(meta.where.town, town_id=1)"),
        json!("_foreign(title, id = a1)"),
        json!("_foreign(author, id = a1 AND _foreign(related, id = a2))"),
        json!("genres = tech AND _foreign(author, secret = a1)"),
        json!("_foreign(author"),
        json!("genres = tech AND _foreign(author, )"),
        json!("genres = tech AND _foreign(author, id = 1) AND author = "),
        json!("_foreign(author, _vectors EXISTS)"),
        json!("_foreign(author, birth=1902) AND genres CONTAINS te"),
    ] {
        steps.push(search(json!({"filter": filter, "attributesToRetrieve": ["id"]})));
        steps.push(federated([json!({}), json!({"filter": filter, "attributesToRetrieve": ["id"]})]));
        steps.push(several([json!({"filter": filter, "attributesToRetrieve": ["id"]})]));
        let documents = json!({"filter": filter, "fields": ["id"], "sort": ["id:asc"]});
        steps.push(post("/indexes/books/documents/fetch", documents));
        steps.push(post("/indexes/books/facet-search", json!({"filter": filter, "facetName": "genres"})));
    }
    for filter in ["id = 99 AND _foreign(author, id = a1)", "_foreign(author", "_foreign(title, _foreign(a, b = 1))"] {
        steps.push(post("/indexes/books/documents/delete", json!({"filter": filter})));
    }
    steps.push(search(json!({"sort": ["title"], "filter": "_foreign(title, id = a1)"})));
    let not_filterable = "_foreign(author, birth IS NULL) AND title = 3";
    steps.push(search(json!({"filter": not_filterable})));
    steps.push(post("/indexes/books/documents/fetch", json!({"filter": not_filterable})));
    let two = "_foreign(author, birth=1902) AND NOT _foreign(related, birth=1906)";
    steps.push(post("/indexes/books/documents/fetch", json!({"filter": two, "fields": ["id"]})));
    steps
}

fn too_many() -> Vec<Step> {
    let author = |number: u64| {
        let name = if number < 101 { "many" } else { "few" };
        json!({"id": format!("m{number}"), "name": name, "birth": 5000 + number})
    };
    let authors: Value = (0..205).map(author).collect();
    let by = |filter: &str| json!({"filter": filter, "attributesToRetrieve": ["id"]});
    let (first, last) = ("_foreign(author, birth < 5000)", "_foreign(author, birth > 5113)");
    vec![
        post("/indexes/authors/documents", authors),
        search(by("_foreign(author, name = many)")),
        search(by(first)),
        search(by("_foreign(author, name = few) OR _foreign(author, birth < 5000)")),
        search(by("_foreign(author, birth > 5130) OR _foreign(author, birth > 5131)")),
        federated([by(first), by(last)]),
        several([by(first), by(last)]),
        federated([by(first), by("_foreign(author, birth > 5114)")]),
    ]
}

fn switched_off() -> Vec<Step> {
    let filter = "genres = tech AND _foreign(author, birth > 1) AND id = 3";
    vec![
        search(json!({})),
        search(json!({"filter": filter})),
        several([json!({"filter": filter})]),
        federated([json!({})]),
        federated([json!({"filter": filter})]),
        several([json!({"indexUid": "colour"})]),
        post("/indexes/books/documents/fetch", json!({"filter": filter})),
        post("/indexes/books/documents/delete", json!({"filter": filter})),
        get(SETTING),
        delete(SETTING),
        get(SETTING),
        put(SETTING, json!([{"foreignIndexUid": "authors", "fieldName": "author"}])),
    ]
}
