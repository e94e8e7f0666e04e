//! Generated searches over two corpora, on one node and on Miroir over three nodes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::compare::{Aspect, Difference, IGNORED, compare};
use super::corpus::{Corpus, cities, films};
use super::queries::{Query, generate};
use super::rules::{Comparison, RULES, Rule};
use crate::support::fleet::{Node, START_LIMIT};
use crate::support::{Answer, Client, Fleet, FleetOptions, real_meilisearch, seed};

/// Documents of a corpus.
const DOCUMENTS: usize = 900;

/// Rounds over all kinds of queries: with two corpora and about 38 kinds more than 300 queries for each R.
const ROUNDS: usize = 5;

/// How many unexplained differences are printed.
const SHOWN_MAX: usize = 12;

/// One server, alone.
pub struct Alone {
    /// It.
    pub node: Node,
    _folder: tempfile::TempDir,
}

impl Alone {
    /// Of the kind that the fleet has.
    pub fn start() -> Self {
        Self::of(real_meilisearch())
    }

    /// A real one, or an embedded one.
    pub fn of(meilisearch: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let mut node = Node::new("alone", folder.path(), meilisearch);
        node.start();
        node.client().wait_until_healthy(START_LIMIT);
        Self { node, _folder: folder }
    }
}

/// For who reads the output of a test.
pub fn say_which_nodes() {
    match real_meilisearch() {
        Some(path) => eprintln!("parity on real nodes: {}", path.display()),
        None => {
            eprintln!("parity on embedded nodes; MIROIR_TEST_MEILISEARCH=/path/to/meilisearch runs it on real ones");
        }
    }
}

/// Makes the corpus' index.
pub fn load(client: &Client, corpus: &Corpus) {
    let index = format!("/indexes/{}", corpus.index);
    let create = serde_json::json!({"uid": corpus.index, "primaryKey": corpus.primary_key});
    client.write_well("POST", "/indexes", Some(&create));
    client.write_well("PATCH", &format!("{index}/settings"), Some(&corpus.settings));
    // Several tasks, and one of them an update of documents that are there already.
    let (first, second) = corpus.documents.split_at(corpus.documents.len() / 2);
    client.write_well("POST", &format!("{index}/documents"), Some(&first.into()));
    client.write_well("POST", &format!("{index}/documents"), Some(&second.into()));
    let again: Vec<Value> = corpus.documents.iter().step_by(7).cloned().collect();
    client.write_well("PUT", &format!("{index}/documents"), Some(&again.into()));
}

/// With details in the answer and the key retrieved, so that hits can be compared one by one.
fn detailed(corpus: &Corpus, query: &Query) -> Value {
    let mut body = query.body.clone();
    body.insert("showRankingScoreDetails".to_owned(), true.into());
    body.insert("showRankingScore".to_owned(), true.into());
    if let Some(Value::Array(attributes)) = body.get_mut("attributesToRetrieve") {
        attributes.push(corpus.primary_key.into());
    }
    body.into()
}

fn compare_answers(corpus: &Corpus, one: &Answer, miroir: &Answer) -> Vec<Difference> {
    if (one.status, one.code()) != (miroir.status, miroir.code()) {
        let text = format!("one server {} {}, miroir {} {}", one.status, one.text, miroir.status, miroir.text);
        return vec![Difference { aspect: Aspect::Status, text }];
    }
    if one.status != 200 {
        return Vec::new();
    }
    compare(corpus.primary_key, &one.json, &miroir.json)
}

/// As asked: no details but where they were asked for, and no field that the client did not ask for.
fn compare_shapes(one: &Answer, miroir: &Answer) -> Vec<Difference> {
    let names = |answer: &Answer| {
        let fields = |value: &Value| {
            value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
        };
        let mut names = fields(&answer.json);
        let hits = answer.json["hits"].as_array().cloned().unwrap_or_default();
        names.extend(hits.iter().flat_map(fields).filter(|name| name.starts_with('_')));
        names.retain(|name| !IGNORED.contains(&name.as_str()));
        names.sort();
        names.dedup();
        names
    };
    let (one, miroir) = (names(one), names(miroir));
    if one == miroir {
        return Vec::new();
    }
    // Which of several ties are on the page may decide about `_geo`; details and scores never depend on that.
    let is_tie = |names: &[String]| names.iter().filter(|name| *name != "_geo").cloned().collect::<Vec<_>>();
    if is_tie(&one) == is_tie(&miroir) {
        return Vec::new();
    }
    vec![Difference { aspect: Aspect::Fields, text: format!("fields: one server {one:?}, miroir {miroir:?}") }]
}

fn run(corpus: &Corpus, replication_factor: usize) {
    say_which_nodes();
    let alone = Alone::start();
    let options = FleetOptions { replication_factor, meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    let (one, miroir) = (alone.node.client(), fleet.client());
    load(&one, corpus);
    load(&miroir, corpus);
    ask_all(corpus, Comparison::Fleet, &one, &miroir);
}

fn ask_all(corpus: &Corpus, comparison: Comparison, one: &Client, miroir: &Client) {
    let target = format!("/indexes/{}/search", corpus.index);
    let queries = generate(seed(), corpus, ROUNDS);
    assert!(queries.len() >= 150, "{} queries", queries.len());
    let mut explained: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unexplained = Vec::new();
    let mut with_hits = 0;
    for query in &queries {
        let plain = Value::from(query.body.clone());
        let body = detailed(corpus, query);
        let expected = one.post(&target, &body);
        let is_refusal = query.kind == "refused";
        assert!(is_refusal || expected.status == 200, "the generator is wrong: {body}: {}", expected.text);
        let has_hits = expected.json["hits"].as_array().is_some_and(|hits| !hits.is_empty());
        with_hits += usize::from(has_hits);
        let mut found = compare_answers(corpus, &expected, &miroir.post(&target, &body));
        found.extend(compare_shapes(&one.post(&target, &plain), &miroir.post(&target, &plain)));
        let mut rules = Vec::new();
        for Difference { aspect, text } in found {
            let applies = |rule: &&Rule| {
                rule.applies.to(comparison, real_meilisearch().is_some()) && (rule.covers)(query, aspect)
            };
            match RULES.iter().find(applies) {
                Some(rule) => {
                    eprintln!("explained by {}: {}: {plain} {text}", rule.name, query.kind);
                    rules.push(rule.name);
                }
                None => unexplained.push(format!("{} ({aspect:?}): {plain}\n    {text}", query.kind)),
            }
        }
        rules.dedup();
        for rule in rules {
            *explained.entry(rule).or_default() += 1;
        }
    }
    assert!(with_hits * 100 > queries.len() * 65, "only {with_hits} of {} queries find something", queries.len());
    eprintln!("{} queries, {with_hits} with hits", queries.len());
    for rule in RULES {
        let count = explained.get(rule.name).copied().unwrap_or_default();
        eprintln!("{count} of {} queries differ in {}: {}", queries.len(), rule.name, rule.reason);
        if count * 100 > rule.percent_max * queries.len() {
            unexplained.push(format!(
                "{}: {count} of {} queries, at most {} %",
                rule.name,
                queries.len(),
                rule.percent_max
            ));
        }
    }
    let total = unexplained.len();
    unexplained.truncate(SHOWN_MAX);
    let seed = seed();
    assert!(
        total == 0,
        "{total} unexplained differences (MIROIR_TEST_SEED={seed}); first:\n{}",
        unexplained.join("\n")
    );
}

#[test]
fn films_are_found_as_on_one_server_with_one_replica() {
    run(&films(seed(), DOCUMENTS), 1);
}

#[test]
fn films_are_found_as_on_one_server_with_two_replicas() {
    run(&films(seed(), DOCUMENTS), 2);
}

#[test]
fn cities_are_found_as_on_one_server_with_one_replica() {
    run(&cities(seed(), DOCUMENTS), 1);
}

#[test]
fn cities_are_found_as_on_one_server_with_two_replicas() {
    run(&cities(seed(), DOCUMENTS), 2);
}

/// The comparison itself: two servers with the same documents, loaded in another order, must count as equal.
#[test]
fn two_servers_alone_do_not_differ() {
    say_which_nodes();
    let (first, second) = (Alone::start(), Alone::start());
    for corpus in [films(seed(), DOCUMENTS / 2), cities(seed(), DOCUMENTS / 2)] {
        load(&first.node.client(), &corpus);
        load(&second.node.client(), &corpus);
        ask_all(&corpus, Comparison::Fleet, &first.node.client(), &second.node.client());
    }
}

/// The embedded node is a model of the real one, and this is what says so.
fn run_embedded_against_real(corpus: &Corpus) {
    say_which_nodes();
    let Some(meilisearch) = real_meilisearch() else { return };
    let (real, embedded) = (Alone::of(Some(meilisearch)), Alone::of(None));
    load(&real.node.client(), corpus);
    load(&embedded.node.client(), corpus);
    ask_all(corpus, Comparison::Model, &real.node.client(), &embedded.node.client());
}

#[test]
fn an_embedded_node_finds_films_as_a_real_one() {
    run_embedded_against_real(&films(seed(), DOCUMENTS));
}

#[test]
fn an_embedded_node_finds_cities_as_a_real_one() {
    run_embedded_against_real(&cities(seed(), DOCUMENTS));
}
