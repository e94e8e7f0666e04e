//! Every route with everybody: who is let in, and what the others are told.
//!
//! Requests are such that who is let in changes nothing that the next one could meet: there is no index, and bodies are
//! wrong where a right one would leave something behind.

use std::collections::BTreeMap;

use miroir::data_plane::handlers::routes::ROUTES;
use serde_json::{Value, json};

use super::bearers::{Bearer, bearers};
use super::{expected, fleet};
use crate::support::fleet::NODE_KEY;
use crate::support::{Answer, Client};

/// Method, target, body.
type Question = (&'static str, &'static str, &'static str);

/// Every route of Meilisearch 1.50; of those for single settings the three of one stand for all.
const QUESTIONS: &[Question] = &[
    ("GET", "/health", ""),
    ("GET", "/version", ""),
    ("GET", "/stats", ""),
    ("GET", "/indexes", ""),
    ("POST", "/indexes", "{}"),
    ("POST", "/indexes", r#"{"uid":"a b"}"#),
    ("GET", "/indexes/movies", ""),
    ("GET", "/indexes/a%20b", ""),
    ("PATCH", "/indexes/movies", "x"),
    ("DELETE", "/indexes/movies", ""),
    ("GET", "/indexes/movies/stats", ""),
    ("GET", "/indexes/movies/search", ""),
    ("POST", "/indexes/movies/search", "{}"),
    ("POST", "/indexes/movies/facet-search", r#"{"facetName":"a"}"#),
    ("GET", "/indexes/movies/similar?id=1&embedder=e", ""),
    ("POST", "/indexes/movies/similar", r#"{"id":1,"embedder":"e"}"#),
    ("POST", "/multi-search", r#"{"queries":[]}"#),
    ("POST", "/multi-search", r#"{"queries":[{"indexUid":"movies"}]}"#),
    ("POST", "/multi-search", r#"{"federation":{},"queries":[{"indexUid":"movies"}]}"#),
    ("GET", "/indexes/movies/documents", ""),
    ("POST", "/indexes/movies/documents", "x"),
    ("PUT", "/indexes/movies/documents", "x"),
    ("DELETE", "/indexes/movies/documents", ""),
    ("POST", "/indexes/movies/documents/delete-batch", "x"),
    ("POST", "/indexes/movies/documents/delete", "{}"),
    ("POST", "/indexes/movies/documents/fetch", "{}"),
    ("POST", "/indexes/movies/documents/edit", r#"{"function":""}"#),
    ("GET", "/indexes/movies/documents/1", ""),
    ("DELETE", "/indexes/movies/documents/1", ""),
    ("GET", "/indexes/movies/settings", ""),
    ("PATCH", "/indexes/movies/settings", "x"),
    ("DELETE", "/indexes/movies/settings", ""),
    ("GET", "/indexes/movies/settings/stop-words", ""),
    ("PUT", "/indexes/movies/settings/stop-words", "x"),
    ("DELETE", "/indexes/movies/settings/stop-words", ""),
    ("POST", "/indexes/movies/fields", "{}"),
    ("POST", "/indexes/movies/compact", ""),
    ("POST", "/swap-indexes", "{}"),
    ("GET", "/tasks", ""),
    ("DELETE", "/tasks", ""),
    ("POST", "/tasks/cancel", ""),
    ("GET", "/tasks/4000000", ""),
    ("GET", "/tasks/4000000/documents", ""),
    ("POST", "/tasks/compact", ""),
    ("GET", "/batches", ""),
    ("GET", "/batches/4000000", ""),
    ("GET", "/keys", ""),
    ("POST", "/keys", "{}"),
    ("GET", "/keys/none", ""),
    ("PATCH", "/keys/none", "{}"),
    ("DELETE", "/keys/none", ""),
    ("POST", "/dumps", ""),
    ("POST", "/snapshots", ""),
    ("POST", "/export", "{}"),
    ("POST", "/render-template", "{}"),
    ("GET", "/experimental-features", ""),
    ("PATCH", "/experimental-features", "{}"),
    ("GET", "/webhooks", ""),
    ("POST", "/webhooks", "{}"),
    ("GET", "/webhooks/none", ""),
    ("PATCH", "/webhooks/none", "{}"),
    ("DELETE", "/webhooks/none", ""),
    ("GET", "/network", ""),
    ("PATCH", "/network", "{}"),
    ("GET", "/metrics", ""),
    ("POST", "/logs/stream", "{}"),
    ("DELETE", "/logs/stream", ""),
    ("POST", "/logs/stderr", "{}"),
    ("GET", "/chats", ""),
    ("GET", "/chats/none", ""),
    ("DELETE", "/chats/none", ""),
    ("GET", "/chats/none/settings", ""),
    ("PATCH", "/chats/none/settings", "{}"),
    ("DELETE", "/chats/none/settings", ""),
    ("POST", "/chats/none/chat/completions", "{}"),
    ("POST", "/dynamic-search-rules", "{}"),
    ("DELETE", "/dynamic-search-rules", ""),
    ("GET", "/dynamic-search-rules/none", ""),
    ("PATCH", "/dynamic-search-rules/none", "{}"),
    ("DELETE", "/dynamic-search-rules/none", ""),
];

/// Questions to which those who are let in get another answer than from one server, and why. Who is let in is the same.
const ANSWERED_OTHERWISE: &[(&str, &str)] = &[];

fn name_of((method, target, body): Question) -> String {
    format!("{method} {target} {body}").trim_end().to_owned()
}

/// Status and code; where somebody is not let in, what it is told, without the time.
fn outcome(answer: &Answer) -> String {
    let (status, code) = (answer.status, answer.code());
    if !matches!(status, 401 | 403) {
        return format!("{status} {code}").trim_end().to_owned();
    }
    let message = answer.json["message"].as_str().unwrap_or_default();
    let message = message.split(" and we're now").next().unwrap_or_default();
    format!("{status} {code}: {message}")
}

/// For each question the answer that most get, and those of the others.
fn ask(client: &Client, questions: &[Question], bearers: &[Bearer]) -> Vec<Value> {
    let answers = questions.iter().map(|question| {
        let (method, target, body) = *question;
        let mut outcomes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for bearer in bearers {
            let client = client.with_key(bearer.value.as_deref());
            let content_type = (!body.is_empty()).then_some("application/json");
            let answer = client.send(method, target, content_type, body.as_bytes());
            let answer = answer.unwrap_or_else(|error| panic!("{method} {target}: {error}"));
            outcomes.entry(outcome(&answer)).or_default().push(&bearer.name);
        }
        let most = outcomes.iter().max_by_key(|(_, bearers)| bearers.len()).map(|(outcome, _)| outcome.clone());
        let most = most.expect("somebody asks");
        outcomes.remove(&most);
        json!({"question": name_of(*question), "most": most, "others": outcomes})
    });
    answers.collect()
}

/// What one of them gets.
fn answer_to<'a>(answers: &'a Value, bearer: &str) -> &'a str {
    let others = answers["others"].as_object().into_iter().flatten();
    let is_named = |bearers: &Value| bearers.as_array().into_iter().flatten().any(|name| *name == *bearer);
    let own = others.into_iter().find(|(_, bearers)| is_named(bearers)).map(|(outcome, _)| outcome.as_str());
    own.or(answers["most"].as_str()).expect("a recorded answer")
}

fn is_refusal(outcome: &str) -> bool {
    outcome.starts_with("401") || outcome.starts_with("403")
}

fn is_same(question: &str, one: &str, miroir: &str) -> bool {
    if is_refusal(one) || is_refusal(miroir) {
        return one == miroir;
    }
    let is_otherwise = ANSWERED_OTHERWISE.iter().any(|(name, _)| *name == question);
    one == miroir || is_otherwise || miroir == "501 miroir_not_supported"
}

#[test]
fn every_route_lets_in_whom_one_server_lets_in() {
    let expected = expected("access.json", |client| ask(client, QUESTIONS, &bearers(client, NODE_KEY)));
    assert_eq!(expected.len(), QUESTIONS.len(), "record again: the questions have changed");
    let fleet = fleet();
    let bearers = bearers(&fleet.client(), NODE_KEY);
    let mut findings = Vec::new();
    for (question, expected) in QUESTIONS.iter().zip(&expected) {
        let name = name_of(*question);
        assert_eq!(expected["question"], name, "record again: the questions have changed");
        if !is_there(*question) {
            continue;
        }
        let found = &ask(&fleet.client(), &[*question], &bearers)[0];
        for bearer in &bearers {
            let (one, miroir) = (answer_to(expected, &bearer.name), answer_to(found, &bearer.name));
            if !is_same(&name, one, miroir) {
                findings.push(format!("{name} with {}\n    one server: {one}\n    miroir:     {miroir}", bearer.name));
            }
        }
    }
    assert!(findings.is_empty(), "{} answers differ:\n{}", findings.len(), findings.join("\n"));
}

/// Has Miroir this route?
fn is_there((method, target, _): Question) -> bool {
    ROUTES.iter().any(|route| route.method == method && fits(&route.path, target))
}

fn fits(pattern: &str, target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let (own, asked): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    own.len() == asked.len() && own.iter().zip(&asked).all(|(own, asked)| own == asked || own.starts_with('{'))
}

#[test]
fn no_route_is_left_out() {
    let is_asked = |method: &str, path: &str| {
        let mut questions = QUESTIONS.iter().filter(|question| question.0 == method);
        questions.any(|question| fits(path, question.1))
    };
    let is_single_setting = |path: &str| path.starts_with("/indexes/{index}/settings/");
    // The last one belongs to the Enterprise Edition, and does nothing here for anybody.
    let is_left_out = |path: &str| is_single_setting(path) || ["/", "/network/control"].contains(&path);
    let routes = ROUTES.iter().filter(|route| !is_left_out(&route.path));
    let left_out: Vec<_> = routes.filter(|route| !is_asked(route.method, &route.path)).collect();
    assert!(left_out.is_empty(), "{left_out:?}");
}
