//! Facet search and facets of mixed values with random settings, on one node and on Miroir over three.
//!
//! Every key has one spelling in these documents: which of several is shown depends on internal numbers.

use serde_json::{Map, Value, json};

use super::search::{Alone, say_which_nodes};
use crate::support::{Client, Fleet, FleetOptions, Random, real_meilisearch, seed};

const DOCUMENTS: u64 = 400;

/// Settings that are tried, and requests with each of them.
const ROUNDS: usize = 12;
const REQUESTS: usize = 60;

/// How many differences are printed.
const SHOWN_MAX: usize = 8;

const TEXTS: &[&str] = &[
    "Été",
    "ete",
    "Jane Austen",
    "jane",
    "jan",
    "x",
    "œuvre",
    "oeuvre",
    "straße",
    "strasse",
    "Ångström",
    "angstrom",
    "true",
    "cao",
    "北京",
    "日本語",
    "Привет",
    "naïve café",
    "naive cafe",
    " lead",
    "a\"b",
    "c'd",
    "e\\f",
    "emoji 🚀",
    "مرحبا",
    "v10",
    "v9",
    "hello",
    "hallo",
    "hullo",
    "help",
    "helps",
    "helpful",
    "world",
    "word",
    "sword",
    "wordy",
    "wonderful",
    "wonderfull",
    "fish",
    "istanbul",
    "i",
    "Ж",
    "ё",
    "е",
    "σ",
    "ς",
    "ÆØÅ",
];

const NUMBERS: &[f64] = &[1.0, 2.0, 10.0, -5.0, 1.5, 0.0, 0.1, 1e21, 1e-7, 100.0, 3.0, 20.0, 9.0, 99.0];

fn value(random: &mut Random, depth: usize) -> Value {
    match random.below(100) {
        0..45 => json!(random.pick(TEXTS)),
        45..70 => json!(random.pick(NUMBERS)),
        70..75 => json!(random.percent(50)),
        75..80 => random.pick(&[Value::Null, json!(""), json!([]), json!({})]).clone(),
        80..97 if depth < 3 => (0..random.below(4)).map(|_| value(random, depth + 1)).collect(),
        97.. if depth < 3 => json!({"in": value(random, depth + 1)}),
        _ => Value::Null,
    }
}

fn documents(random: &mut Random) -> Vec<Value> {
    let words = ["alpha", "beta", "gamma", "delta", "hello", "world"];
    let document = |id: u64| {
        let text: Vec<&str> = (0..4).map(|_| *random.pick(&words)).collect();
        json!({
            "id": id, "n": id, "words": text.join(" "), "a": value(random, 0), "b": value(random, 0),
            "dog": {"age": value(random, 1), "name": value(random, 1)},
        })
    };
    (0..DOCUMENTS).map(document).collect()
}

fn load(client: &Client, documents: &[Value]) {
    let rule = |patterns: Value, facet_search: bool, equality: bool| {
        let filter = json!({"equality": equality, "comparison": false});
        json!({"attributePatterns": patterns, "features": {"facetSearch": facet_search, "filter": filter}})
    };
    let settings = json!({
        "filterableAttributes": ["a", "b", "n", rule(json!(["dog", "dog.*"]), true, true), rule(json!(["words"]), false, true)],
        "displayedAttributes": ["id", "a", "words"],
    });
    client.write_well("POST", "/indexes", Some(&json!({"uid": "values", "primaryKey": "id"})));
    client.write_well("PATCH", "/indexes/values/settings", Some(&settings));
    client.write_well("POST", "/indexes/values/documents", Some(&documents.into()));
}

fn settings(random: &mut Random) -> Value {
    let orders = [
        json!({"*": "alpha"}),
        json!({"*": "count"}),
        json!({"a": "count", "dog.name": "count"}),
        json!({"*": "count", "a": "alpha", "dog.age": "alpha"}),
    ];
    let typos = [
        Value::Null,
        json!({"enabled": false}),
        json!({"minWordSizeForTypos": {"oneTypo": 2, "twoTypos": 4}}),
        json!({"disableOnAttributes": ["a"]}),
        json!({"disableOnWords": ["hello", "word"]}),
    ];
    json!({
        "faceting": {"maxValuesPerFacet": random.pick(&[0, 1, 2, 3, 5, 10, 20, 100]), "sortFacetValuesBy": random.pick(&orders)},
        "typoTolerance": random.pick(&typos),
    })
}

/// Path and body.
fn request(random: &mut Random) -> (&'static str, Value) {
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    if random.percent(50) {
        set("q", json!(random.pick(&["alpha", "beta gamma", "hell", "wor", "zzz", ""])));
    }
    if random.percent(50) {
        let bound = random.below(DOCUMENTS as usize);
        let filters = [format!("n < {bound}"), format!("n > {bound}"), "a = 1".to_owned(), "b = x".to_owned()];
        set("filter", json!(random.pick(&filters)));
    }
    if random.percent(20) {
        set("matchingStrategy", json!(random.pick(&["all", "last"])));
    }
    if random.percent(40) {
        let names = ["a", "b", "dog", "dog.age", "dog.*", "dog.name"];
        let facets: Vec<&str> = (0..=random.below(3)).map(|_| *random.pick(&names)).collect();
        set("facets", json!(facets));
        set("limit", json!(0));
        return ("/indexes/values/search", body.into());
    }
    set("facetName", json!(random.pick(&["a", "b", "dog.age", "dog.name"])));
    if random.percent(80) {
        set("facetQuery", json!(facet_query(random)));
    }
    if random.percent(30) {
        set("exhaustiveFacetCount", json!(random.percent(50)));
    }
    if random.percent(10) {
        let wrong = [
            ("facetName", json!("words")),
            ("facetName", json!("nowhere")),
            ("facetName", Value::Null),
            ("facetQuery", json!(3)),
            ("filter", json!("nowhere = 1")),
            ("filter", json!("n >")),
            ("filter", json!("dog.age > 1")),
            ("locales", json!(["xx"])),
            ("vector", json!([1.0])),
            ("limit", json!("ignored")),
        ];
        let (name, value) = random.pick(&wrong);
        set(name, value.clone());
    }
    ("/indexes/values/facet-search", body.into())
}

/// The beginning of a value, perhaps with a typo.
fn facet_query(random: &mut Random) -> String {
    let mut letters: Vec<char> = random.pick(TEXTS).chars().collect();
    if random.percent(60) {
        letters.truncate(random.below(letters.len() + 1));
    }
    if random.percent(30) && !letters.is_empty() {
        let place = random.below(letters.len());
        match random.below(3) {
            0 => drop(letters.remove(place)),
            1 => letters[place] = 'e',
            _ => letters.insert(place, letters[place]),
        }
    }
    letters.into_iter().collect()
}

/// The answer without what measures, as text: the order of values counts.
fn answer(client: &Client, (path, body): &(&str, Value)) -> (u16, Value) {
    let mut answer = client.post(path, body);
    if let Some(fields) = answer.json.as_object_mut() {
        fields.shift_remove("processingTimeMs");
        fields.shift_remove("requestUid");
    }
    (answer.status, answer.json)
}

/// Facets in count order are equal when their counts are and every value has the count that it has: of equal counts any may
/// come first, and the last ones that are shown may be others.
fn are_equal((one, miroir): (&Value, &Value), all: &Value) -> bool {
    // As texts: the order of members counts.
    let as_text = |value: &Value| value.to_string();
    let Some(facets) = one["facetDistribution"].as_object() else { return as_text(one) == as_text(miroir) };
    let list = |value: &Value| {
        let pairs = value.as_object().into_iter().flatten();
        pairs.map(|(value, count)| (value.clone(), count.as_u64())).collect::<Vec<_>>()
    };
    let counts = |value: &Value| list(value).into_iter().map(|(_, count)| count).collect::<Vec<_>>();
    one["facetStats"] == miroir["facetStats"]
        && facets.len() == miroir["facetDistribution"].as_object().map_or(0, Map::len)
        && facets.iter().all(|(facet, values)| {
            let found = &miroir["facetDistribution"][facet];
            let known = list(&all["facetDistribution"][facet]);
            as_text(values) == as_text(found)
                || (counts(values) == counts(found) && list(found).iter().all(|value| known.contains(value)))
        })
}

fn run(replication_factor: usize) {
    say_which_nodes();
    let alone = Alone::start();
    let options = FleetOptions { replication_factor, meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    let (one, miroir) = (alone.node.client(), fleet.client());
    let random = &mut Random::new(seed() ^ 0xFACE);
    let documents = documents(random);
    load(&one, &documents);
    load(&miroir, &documents);
    let mut differences = Vec::new();
    let mut found = 0;
    for _ in 0..ROUNDS {
        let settings = settings(random);
        let requests: Vec<_> = (0..REQUESTS).map(|_| request(random)).collect();
        one.write_well("PATCH", "/indexes/values/settings", Some(&settings));
        miroir.write_well("PATCH", "/indexes/values/settings", Some(&settings));
        let answers: Vec<_> =
            requests.iter().map(|request| (answer(&one, request), answer(&miroir, request))).collect();
        // All values with their counts, whatever is shown.
        let everything = json!({"faceting": {"maxValuesPerFacet": 1_000}});
        one.write_well("PATCH", "/indexes/values/settings", Some(&everything));
        for (request, (expected, got)) in requests.iter().zip(answers) {
            found += usize::from(expected.1["facetHits"].as_array().is_some_and(|hits| !hits.is_empty()));
            let all = answer(&one, request).1;
            if expected.0 != got.0 || !are_equal((&expected.1, &got.1), &all) {
                differences
                    .push(format!("{settings} {request:?}\n    one server {expected:?}\n    miroir     {got:?}"));
            }
        }
    }
    assert!(found > 100, "only {found} facet searches find something");
    let total = differences.len();
    differences.truncate(SHOWN_MAX);
    assert!(total == 0, "{total} differences (MIROIR_TEST_SEED={}); first:\n{}", seed(), differences.join("\n"));
}

#[test]
fn values_of_facets_are_found_as_on_one_server_with_one_replica() {
    run(1);
}

#[test]
fn values_of_facets_are_found_as_on_one_server_with_two_replicas() {
    run(2);
}

/// The embedded node is a model of the real one.
#[test]
fn an_embedded_node_finds_values_of_facets_as_a_real_one() {
    say_which_nodes();
    let Some(meilisearch) = real_meilisearch() else { return };
    let (real, embedded) = (Alone::of(Some(meilisearch)), Alone::of(None));
    let random = &mut Random::new(seed() ^ 0xFACE);
    let documents = documents(random);
    for node in [&real, &embedded] {
        load(&node.node.client(), &documents);
    }
    for _ in 0..ROUNDS {
        let settings = settings(random);
        for node in [&real, &embedded] {
            node.node.client().write_well("PATCH", "/indexes/values/settings", Some(&settings));
        }
        for _ in 0..REQUESTS {
            let request = request(random);
            let (expected, found) = (answer(&real.node.client(), &request), answer(&embedded.node.client(), &request));
            if request.0.ends_with("facet-search") {
                // Messages name the same things in other words here and there.
                let told = |(status, body): &(u16, Value)| {
                    if *status == 200 { body.to_string() } else { body["code"].to_string() }
                };
                assert_eq!(told(&found), told(&expected), "{settings} {request:?} (MIROIR_TEST_SEED={})", seed());
            }
        }
    }
}
