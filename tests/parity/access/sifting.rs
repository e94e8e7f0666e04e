//! What of several indexes, and of the documents of one, somebody gets to see: the filters of tokens, and lists that show
//! only what a key is for.

use serde_json::{Value, json};

use super::super::scenario::masked;
use super::tokens::Signer;
use super::{expected, fleet};
use crate::support::Client;

/// Who asks.
enum Who {
    /// A key with actions and indexes.
    Key(&'static [&'static str], &'static [&'static str]),
    /// A token of a key that may search everything.
    Token(Value),
}

/// One request: who, method, target, body.
type Question = (Who, &'static str, &'static str, Value);

fn documents() -> Value {
    json!([
        {"id": 1, "title": "one", "year": 1990, "genre": "a", "_vectors": {"e": [1.0, 0.0]}},
        {"id": 2, "title": "two", "year": 2010, "genre": "b", "_vectors": {"e": [0.9, 0.1]}},
        {"id": 3, "title": "three", "year": 2011, "genre": "a", "_vectors": {"e": [0.8, 0.3]}},
        {"id": 4, "title": "four", "year": 2012, "genre": "c", "_vectors": {"e": [0.0, 1.0]}},
    ])
}

/// The indexes `movies`, `movies-old` and `shows`, alike.
fn fill(client: &Client) -> Signer {
    let settings = json!({
        "filterableAttributes": ["year", "genre"], "sortableAttributes": ["year"],
        "embedders": {"e": {"source": "userProvided", "dimensions": 2}},
    });
    for index in ["movies", "movies-old", "shows"] {
        client.write_well("POST", "/indexes", Some(&json!({"uid": index, "primaryKey": "id"})));
        client.write_well("PATCH", &format!("/indexes/{index}/settings"), Some(&settings));
        client.write_well("POST", &format!("/indexes/{index}/documents"), Some(&documents()));
    }
    make_key(client, &["search"], &["*"])
}

fn make_key(client: &Client, actions: &[&str], indexes: &[&str]) -> Signer {
    let body = json!({"actions": actions, "indexes": indexes, "expiresAt": null});
    let key = client.post("/keys", &body).expect(201).json;
    let text = |name: &str| key[name].as_str().expect("a text").to_owned();
    Signer { uid: text("uid"), value: text("key") }
}

fn young() -> Who {
    Who::Token(json!({"movies": {"filter": "year > 2000"}, "shows": null}))
}

fn nested() -> Who {
    Who::Token(json!({"mov*": {"filter": ["year > 1995", ["genre = a", "genre = b"]]}}))
}

fn closest() -> Who {
    Who::Token(json!({"*": {"filter": "year = 1990"}, "movies*": null, "movies": {"filter": "genre = c"}}))
}

/// A token with this filter for everything.
fn everywhere(filter: &Value) -> Who {
    Who::Token(json!({"*": {"filter": filter}}))
}

fn by_year(filter: &Value) -> Value {
    json!({"sort": ["year:asc"], "filter": filter, "facets": ["genre"]})
}

/// Searches in one index.
fn searches() -> Vec<Question> {
    let all = || by_year(&Value::Null);
    let page = json!({"sort": ["year:asc"], "page": 1, "hitsPerPage": 1});
    vec![
        (young(), "GET", "/indexes/movies/search?sort=year:asc", Value::Null),
        (young(), "POST", "/indexes/movies/search", all()),
        (young(), "POST", "/indexes/movies/search", by_year(&json!("genre = a"))),
        (young(), "POST", "/indexes/movies/search", by_year(&json!("genre = a OR genre = c"))),
        (young(), "POST", "/indexes/movies/search", by_year(&json!([["genre = a", "genre = c"]]))),
        (young(), "POST", "/indexes/movies/search", by_year(&json!(["year < 2012", "genre != c"]))),
        (young(), "POST", "/indexes/movies/search", page),
        (young(), "POST", "/indexes/shows/search", all()),
        (young(), "POST", "/indexes/movies-old/search", json!({})),
        (nested(), "POST", "/indexes/movies/search", all()),
        (nested(), "POST", "/indexes/movies-old/search", by_year(&json!(["genre = a"]))),
        (nested(), "POST", "/indexes/shows/search", json!({})),
        (closest(), "POST", "/indexes/movies/search", all()),
        (closest(), "POST", "/indexes/movies-old/search", all()),
        (closest(), "POST", "/indexes/shows/search", all()),
        (everywhere(&json!("title = one")), "POST", "/indexes/movies/search", json!({})),
        (everywhere(&json!("year >")), "POST", "/indexes/movies/search", json!({})),
        (everywhere(&json!(5)), "POST", "/indexes/movies/search", json!({})),
        (everywhere(&json!("")), "POST", "/indexes/movies/search", all()),
        (Who::Key(&["search"], &["movies"]), "POST", "/indexes/movies/search", all()),
    ]
}

/// What else a token opens.
fn other_searches() -> Vec<Question> {
    const OF_SOME: Who = Who::Key(&["search"], &["movies*"]);
    let two = |first: &str, second: &str| {
        let query = |index: &str| json!({"indexUid": index, "sort": ["year:asc"]});
        json!({"queries": [query(first), query(second)]})
    };
    let federated = |first: &str, second: &str| {
        let mut searches = two(first, second);
        searches["federation"] = json!({"facetsByIndex": {first: ["genre"]}});
        searches
    };
    let similar = |id: u64| json!({"id": id, "embedder": "e"});
    let facet = |query: &str| json!({"facetName": "genre", "facetQuery": query});
    let facet_before_2011 = json!({"facetName": "genre", "filter": "year < 2011"});
    vec![
        (young(), "POST", "/indexes/movies/facet-search", facet("a")),
        (young(), "POST", "/indexes/shows/facet-search", facet("a")),
        (nested(), "POST", "/indexes/movies/facet-search", facet_before_2011),
        (young(), "POST", "/indexes/movies/similar", similar(2)),
        (young(), "POST", "/indexes/movies/similar", similar(1)),
        (young(), "GET", "/indexes/movies/similar?id=3&embedder=e&filter=genre=b", Value::Null),
        (young(), "POST", "/indexes/shows/similar", similar(1)),
        (nested(), "POST", "/indexes/movies/similar", similar(4)),
        (young(), "POST", "/multi-search", two("movies", "shows")),
        (young(), "POST", "/multi-search", two("movies", "movies-old")),
        (young(), "POST", "/multi-search", two("nowhere", "movies")),
        (young(), "POST", "/multi-search", federated("movies", "shows")),
        (young(), "POST", "/multi-search", federated("shows", "movies-old")),
        (nested(), "POST", "/multi-search", federated("movies", "movies-old")),
        (OF_SOME, "POST", "/multi-search", two("movies", "movies-old")),
        (OF_SOME, "POST", "/multi-search", two("movies", "shows")),
        (Who::Key(&["search"], &["movies"]), "POST", "/multi-search", federated("movies", "movies-old")),
    ]
}

/// Lists, and writes to what is there or not.
fn lists_and_writes() -> Vec<Question> {
    const OF_MOVIES: Who = Who::Key(&["*"], &["movies"]);
    const OF_MANY: Who = Who::Key(&["indexes.get", "stats.get", "tasks.get"], &["movies*"]);
    const WRITER: Who = Who::Key(&["documents.*", "settings.update", "indexes.update"], &["movies", "new"]);
    const MAKER: Who = Who::Key(&["documents.add", "settings.update", "indexes.create"], &["new*"]);
    const CLEANER: Who = Who::Key(&["tasks.cancel", "tasks.delete"], &["movies-old"]);
    let document = || json!([{"id": 1}]);
    vec![
        (OF_MOVIES, "GET", "/indexes", Value::Null),
        (OF_MANY, "GET", "/indexes?limit=1", Value::Null),
        (OF_MANY, "GET", "/indexes?offset=1", Value::Null),
        (OF_MOVIES, "GET", "/stats", Value::Null),
        (OF_MOVIES, "GET", "/tasks", Value::Null),
        (OF_MANY, "GET", "/tasks?types=documentAdditionOrUpdate", Value::Null),
        (OF_MANY, "GET", "/tasks?indexUids=shows,movies", Value::Null),
        (OF_MOVIES, "GET", "/tasks/0", Value::Null),
        (OF_MOVIES, "GET", "/tasks/8", Value::Null),
        (WRITER, "POST", "/indexes/new/documents", document()),
        (WRITER, "PUT", "/indexes/new/documents", json!([{"none": 1}])),
        (WRITER, "PATCH", "/indexes/new/settings", json!({"stopWords": ["a"]})),
        (WRITER, "PUT", "/indexes/new/settings/stop-words", json!(["a"])),
        (WRITER, "POST", "/indexes", json!({"uid": "new"})),
        (WRITER, "POST", "/indexes/movies/documents", document()),
        (WRITER, "POST", "/indexes/shows/documents", document()),
        (WRITER, "DELETE", "/indexes/movies/documents/1", Value::Null),
        (MAKER, "POST", "/indexes", json!({"uid": "other"})),
        (MAKER, "POST", "/indexes", json!({"uid": "new-one"})),
        (MAKER, "POST", "/indexes/new-two/documents", document()),
        (MAKER, "PATCH", "/indexes/new-three/settings", json!({"stopWords": ["a"]})),
        (CLEANER, "POST", "/tasks/cancel?uids=*", Value::Null),
        (CLEANER, "DELETE", "/tasks?statuses=succeeded", Value::Null),
        (OF_MANY, "GET", "/tasks", Value::Null),
    ]
}

/// The answer as it is compared: status, body, and the task at its end.
fn outcome(client: &Client, signer: &Signer, (who, method, target, body): &Question) -> Value {
    let value = match who {
        Who::Key(actions, indexes) => make_key(client, actions, indexes).value,
        Who::Token(rules) => signer.token(rules),
    };
    let answer = client.with_key(Some(&value)).ask(method, target, (!body.is_null()).then_some(body));
    let mut shown = masked(&answer.json);
    if answer.code() == "invalid_search_filter" {
        // It points into the filter as it was rewritten there, and as it was written here.
        shown["message"] = Value::Null;
    }
    if target.starts_with("/tasks") {
        // One server counts tasks that it does not show.
        shown["total"] = Value::Null;
    }
    let mut outcome = json!({"question": format!("{method} {target} {body}"), "status": answer.status, "body": shown});
    if let Some(uid) = answer.json["taskUid"].as_u64() {
        outcome["task"] = masked(&client.wait_for_task(uid));
    }
    outcome
}

fn ask(client: &Client) -> Vec<Value> {
    let signer = fill(client);
    let questions = searches().into_iter().chain(other_searches()).chain(lists_and_writes());
    questions.map(|question| outcome(client, &signer, &question)).collect()
}

#[test]
fn everybody_sees_what_one_server_shows_them() {
    let expected = expected("sifting.json", ask);
    let found = ask(&fleet().client());
    assert_eq!(expected.len(), found.len(), "record again: the questions have changed");
    let different = expected.iter().zip(&found).filter(|(one, miroir)| masked(one) != **miroir);
    let findings: Vec<String> =
        different.map(|(one, miroir)| format!("    one server: {one}\n    miroir:     {miroir}")).collect();
    assert!(findings.is_empty(), "{} of {} differ:\n{}", findings.len(), found.len(), findings.join("\n"));
}
