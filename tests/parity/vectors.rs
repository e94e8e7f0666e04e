//! Searches by vectors: alone, together with words, and what is similar to a document.

use serde_json::{Map, Value, json};

use super::compare::{Aspect, Difference, compare};
use super::corpus::{Corpus, films};
use super::search::{Alone, load, say_which_nodes};
use crate::support::{Answer, Client, Fleet, FleetOptions, Random, real_meilisearch, seed};

/// Documents of the corpus.
const DOCUMENTS: usize = 500;

/// Numbers in a vector: enough for the widest registers, and some more.
const DIMENSIONS: usize = 35;

/// Generated searches, and half as many questions for similar documents.
const SEARCHES: usize = 500;

/// How many differences are printed.
const SHOWN_MAX: usize = 8;

/// What is promised of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Promise {
    All,
    /// `estimatedTotalHits` depends on how deep each search went.
    NotTheEstimate,
}

/// A route below the index, a body, and what is promised.
pub(super) type Case = (&'static str, Value, Promise);

/// Not far from each other, so that similarities are like scores of words.
fn vector(random: &mut Random, dimensions: usize) -> Vec<f64> {
    (0..dimensions).map(|_| random.between(-200, 1000) as f64 / 1000.0).collect()
}

/// Films with vectors: most have one, some none; of one embedder some have two.
pub(super) fn films_with_vectors() -> Corpus {
    let random = &mut Random::new(seed() ^ 0x7EC7);
    let mut corpus = films(seed(), DOCUMENTS);
    for film in &mut corpus.documents {
        let vectors = match random.below(12) {
            0 => Value::Null,
            1 => json!([vector(random, DIMENSIONS)]),
            2 => json!({"embeddings": vector(random, DIMENSIONS), "regenerate": false}),
            _ => json!(vector(random, DIMENSIONS)),
        };
        let shifted = vector(random, 3);
        let several = json!((0..random.below(3)).map(|_| vector(random, 5)).collect::<Vec<_>>());
        film["_vectors"] = json!({"wide": vectors, "shifted": shifted, "several": several});
    }
    corpus.settings["embedders"] = json!({
        "wide": {"source": "userProvided", "dimensions": DIMENSIONS},
        // Similarities are not made equal, by being cut at 1 or for lack of digits: one server would tell them apart.
        "shifted": {"source": "userProvided", "dimensions": 3, "distribution": {"mean": 0.55, "sigma": 0.4}},
        "several": {"source": "userProvided", "dimensions": 5},
    });
    corpus
}

fn embedder(random: &mut Random) -> (&'static str, usize) {
    *random.pick(&[("wide", DIMENSIONS), ("wide", DIMENSIONS), ("shifted", 3), ("several", 5)])
}

pub(super) fn search(random: &mut Random, corpus: &Corpus) -> Case {
    let mut body = Map::new();
    let mut add = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    let words: Vec<&String> = (0..random.below(4)).map(|_| random.pick_skewed(&corpus.words)).collect();
    let mut text = words.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(" ");
    if !text.is_empty() && random.percent(15) {
        text = format!("{text} -{}", random.pick_skewed(&corpus.words));
    }
    if !text.is_empty() {
        // The whole last word: which words begin with it is not what is compared here.
        add("q", format!("{text} ").into());
    }
    let (embedder, dimensions) = embedder(random);
    let mut hybrid = json!({"embedder": embedder});
    if random.percent(60) {
        // Where neither list wins altogether.
        hybrid["semanticRatio"] = (random.between(300, 560) as f64 / 1000.0).into();
    } else if random.percent(80) {
        hybrid["semanticRatio"] = random.pick(&[0.0, 0.2, 0.7, 1.0]).to_owned().into();
    }
    add("hybrid", hybrid);
    if random.percent(93) {
        add("vector", vector(random, dimensions).into());
    }
    let mut promise = Promise::All;
    if random.percent(40) {
        add("page", (1 + random.below(4)).into());
        add("hitsPerPage", (1 + random.below(15)).into());
    } else {
        add("offset", random.below(30).into());
        add("limit", random.below(40).into());
        promise = Promise::NotTheEstimate;
    }
    if random.percent(25) {
        add("filter", random.pick(&["year > 1970", "genres = Drama", "seen = true AND rating < 7"]).to_owned().into());
    }
    if random.percent(25) {
        add("sort", json!([random.pick(&["year:asc", "rating:desc", "title:asc"])]));
    }
    if random.percent(20) {
        add("distinct", random.pick(&["year", "director.name"]).to_owned().into());
    }
    if random.percent(15) {
        add("rankingScoreThreshold", random.pick(&[0.3, 0.5, 0.55, 0.9]).to_owned().into());
    }
    if random.percent(30) {
        add("facets", json!(["genres", "seen"]));
    }
    if random.percent(20) {
        add("retrieveVectors", true.into());
    }
    if random.percent(20) {
        add("attributesToHighlight", json!(["title", "overview"]));
    }
    if random.percent(15) {
        add("attributesToRetrieve", json!(["id", "title"]));
    }
    ("search", body.into(), promise)
}

fn similar(random: &mut Random) -> Case {
    let mut body = json!({"id": random.below(DOCUMENTS), "embedder": embedder(random).0, "limit": random.below(30)});
    if random.percent(30) {
        body["offset"] = random.below(20).into();
    }
    if random.percent(25) {
        body["filter"] = "year > 1970".into();
    }
    if random.percent(25) {
        body["rankingScoreThreshold"] = random.pick(&[0.3, 0.55, 0.65]).to_owned().into();
    }
    if random.percent(20) {
        body["retrieveVectors"] = true.into();
    }
    ("similar", body, Promise::All)
}

/// Requests that try one thing each, most of them refused.
fn written() -> Vec<Case> {
    let wide: Vec<f64> = vec![0.5; DIMENSIONS];
    let hybrid = |ratio: f64| json!({"embedder": "wide", "semanticRatio": ratio});
    let searches = [
        json!({"vector": wide}),
        json!({"media": {"a": 1}}),
        json!({"vector": [1, 2], "hybrid": hybrid(0.5)}),
        json!({"vector": [1, 2], "hybrid": hybrid(0.0)}),
        json!({"vector": wide, "hybrid": {"embedder": "nobody"}}),
        json!({"hybrid": {"embedder": "nobody"}}),
        json!({"q": "night", "hybrid": {"embedder": "nobody"}}),
        json!({"q": "night", "hybrid": hybrid(1.0)}),
        json!({"q": "night", "hybrid": hybrid(0.5)}),
        json!({"q": "night", "hybrid": hybrid(1.5)}),
        json!({"q": "night", "hybrid": {"semanticRatio": 0.5}}),
        json!({"q": "night", "hybrid": {"embedder": "wide", "semanticRatio": "x"}}),
        json!({"q": "night", "hybrid": {"embedder": 7}}),
        json!({"q": "night", "hybrid": {"embedder": "wide", "ratio": 1}}),
        json!({"q": "night", "hybrid": "wide"}),
        json!({"q": "night", "vector": "wide", "hybrid": hybrid(0.5)}),
        json!({"q": "night", "vector": [1, "x"], "hybrid": hybrid(0.5)}),
        json!({"q": "night", "vector": wide, "media": {"a": 1}, "hybrid": hybrid(0.5)}),
        json!({"q": "night", "media": {"a": 1}, "hybrid": hybrid(0.5)}),
        json!({"q": "night", "vector": wide, "hybrid": hybrid(0.5), "limit": 0, "facets": ["seen"]}),
        json!({"q": "night", "vector": wide, "hybrid": hybrid(0.5), "offset": 2000}),
        json!({"q": "night", "vector": wide, "hybrid": hybrid(0.5), "page": 0}),
        json!({"q": "night", "vector": wide, "hybrid": hybrid(0.5), "sort": ["nowhere:asc"]}),
        json!({"q": "night", "vector": wide, "hybrid": hybrid(0.5), "filter": "nowhere"}),
        json!({"filter": "_vectors.wide EXISTS"}),
    ];
    let similar = [
        json!({"id": 3}),
        json!({"embedder": "wide"}),
        json!({"id": 100_000, "embedder": "wide"}),
        json!({"id": "a b", "embedder": "wide"}),
        json!({"id": null, "embedder": "wide"}),
        json!({"id": 1.5, "embedder": "wide"}),
        json!({"id": 3, "embedder": "nobody"}),
        json!({"id": 3, "embedder": null}),
        json!({"id": 3, "embedder": "wide", "filter": "nowhere = 1"}),
        json!({"id": 3, "embedder": "wide", "filter": "year"}),
        json!({"id": 3, "embedder": "wide", "filter": "nothing_at_all != 1"}),
        json!({"id": 3, "embedder": "wide", "filter": "year != 1990"}),
        json!({"id": 3, "embedder": "wide", "filter": "_miroir_ = 1"}),
        json!({"id": 3, "embedder": "wide", "limit": -1}),
        json!({"id": 3, "embedder": "wide", "offset": "x"}),
        json!({"id": 3, "embedder": "wide", "q": "x"}),
        json!({"id": 3, "embedder": "wide", "rankingScoreThreshold": 2}),
        json!({"id": 3, "embedder": "wide", "rankingScoreThreshold": "x"}),
        json!({"id": 3, "embedder": "wide", "showRankingScore": 1}),
        json!({"id": 3, "embedder": "wide", "retrieveVectors": "x"}),
        json!({"id": 3, "embedder": "wide", "attributesToRetrieve": "x"}),
        json!({"id": "3", "embedder": "wide", "attributesToRetrieve": ["id", "title"], "retrieveVectors": true}),
    ];
    let of = |route| move |body| (route, body, Promise::NotTheEstimate);
    searches.into_iter().map(of("search")).chain(similar.into_iter().map(of("similar"))).collect()
}

/// Questions as query strings.
const QUERY_STRINGS: [&str; 9] = [
    "similar?id=3&embedder=wide&limit=5&showRankingScore=true&showRankingScoreDetails=true",
    "similar?id=3&embedder=shifted&filter=year%20%3E%201970&offset=1&rankingScoreThreshold=0.5&showRankingScoreDetails=true",
    "similar?id=3",
    "similar?embedder=wide",
    "similar?id=3&embedder=wide&limit=x",
    "similar?id=3&embedder=wide&rankingScoreThreshold=x",
    "similar?id=3&embedder=wide&nothing=1",
    "similar?id=3&embedder=wide&retrieveVectors=maybe",
    "search?q=night%20&hybridEmbedder=shifted&hybridSemanticRatio=0.6&vector=1,2,3&showRankingScoreDetails=true",
];

fn differences(case: &Case, one: &Answer, other: &Answer) -> Vec<Difference> {
    if one.status != 200 || other.status != 200 {
        let is_equal = one.status == other.status && one.json == other.json;
        let text = format!("{} {}, and {} {}", one.status, one.text, other.status, other.text);
        return (!is_equal).then_some(Difference { aspect: Aspect::Status, text }).into_iter().collect();
    }
    let mut found = compare("id", &one.json, &other.json);
    let approximate = other.header("x-miroir-approximate").unwrap_or_default().to_owned();
    let has_threshold = has(case, "rankingScoreThreshold");
    found.retain(|difference| match difference.aspect {
        Aspect::Estimate => case.2 == Promise::All && !approximate.contains("totals"),
        // What words find above a threshold depends on a node's own dictionary.
        Aspect::Total => !(approximate.contains("totals") || has_threshold && has(case, "q")),
        // Above a threshold they are counted as deep as each search went.
        Aspect::Facets => !(approximate.contains("facets") || has_threshold && case.2 == Promise::NotTheEstimate),
        // Which of several that tie stands for a value decides what is left out.
        Aspect::Ties => !has(case, "distinct"),
        Aspect::Status | Aspect::Fields | Aspect::Order | Aspect::Body => true,
    });
    found
}

fn has(case: &Case, parameter: &str) -> bool {
    case.1.get(parameter).is_some()
}

/// Where documents have several vectors an embedder, one server compares the first with the first ones of others, the second
/// with the second ones, and so on; and where it has to look for more hits than the page has, it shows some too early.
fn is_of_several(case: &Case) -> bool {
    let embedder = case.1.get("embedder").or_else(|| case.1["hybrid"].get("embedder"));
    embedder.is_some_and(|name| name == "several")
        && (case.0 == "similar" || has(case, "distinct") || has(case, "rankingScoreThreshold"))
}

/// Asks both everything that is `promised`.
///
/// # Panics
/// When answers differ.
fn ask_all(corpus: &Corpus, promised: impl Fn(&Case) -> bool, one: &Client, other: &Client) {
    let random = &mut Random::new(seed() ^ 0x5EA2);
    let mut cases = written();
    cases.extend((0..SEARCHES).map(|_| search(random, corpus)));
    cases.extend((0..SEARCHES / 2).map(|_| similar(random)));
    cases.retain(promised);
    let mut unexplained = Vec::new();
    let (mut answered, mut both) = (0, 0);
    for case in &mut cases {
        case.1["showRankingScoreDetails"] = true.into();
        case.1["showRankingScore"] = case.1.get("showRankingScore").cloned().unwrap_or(true.into());
        let target = format!("/indexes/{}/{}", corpus.index, case.0);
        let (expected, found) = (one.post(&target, &case.1), other.post(&target, &case.1));
        let hits = expected.json["hits"].as_array().map_or(0, Vec::len);
        answered += usize::from(hits > 0);
        let semantic = expected.json["semanticHitCount"].as_u64().unwrap_or(0) as usize;
        both += usize::from(0 < semantic && semantic < hits);
        for difference in differences(case, &expected, &found) {
            unexplained.push(format!("{:?}: {} {}\n    {}", difference.aspect, case.0, case.1, difference.text));
        }
    }
    for query in QUERY_STRINGS {
        let target = format!("/indexes/{}/{query}", corpus.index);
        let case: Case = ("", target.as_str().into(), Promise::NotTheEstimate);
        for difference in differences(&case, &one.get(&target), &other.get(&target)) {
            unexplained.push(format!("{:?}: GET {target}\n    {}", difference.aspect, difference.text));
        }
    }
    eprintln!("{} questions, {answered} with hits, {both} with hits of words and of vectors", cases.len());
    assert!(answered * 10 > cases.len() * 7 && both * 20 > cases.len(), "{answered} and {both} of {}", cases.len());
    let total = unexplained.len();
    unexplained.truncate(SHOWN_MAX);
    assert!(total == 0, "{total} differences (MIROIR_TEST_SEED={}); first:\n{}", seed(), unexplained.join("\n"));
}

#[test]
fn an_embedded_node_searches_by_vectors_as_a_real_one() {
    say_which_nodes();
    let Some(meilisearch) = real_meilisearch() else { return };
    let corpus = films_with_vectors();
    let (real, embedded) = (Alone::of(Some(meilisearch)), Alone::of(None));
    load(&real.node.client(), &corpus);
    load(&embedded.node.client(), &corpus);
    ask_all(&corpus, |_| true, &real.node.client(), &embedded.node.client());
}

/// What is written, one after the other: `PATCH` of settings, `POST` or `PUT` of documents.
fn writes() -> Vec<(&'static str, Value)> {
    let pair = json!({"source": "userProvided", "dimensions": 2});
    vec![
        ("POST", json!([{"id": 1, "_vectors": {"pair": [1, 2]}}, {"id": 2}])),
        ("PATCH", json!({"embedders": {"pair": pair}})),
        ("POST", json!([{"id": 2, "t": 1, "_vectors": {"pair": null}}])),
        ("PATCH", json!({"embedders": {"pair": pair}})),
        ("POST", json!([{"id": 3}])),
        ("POST", json!([{"id": 3, "_vectors": {"other": [1, 2]}}])),
        ("POST", json!([{"id": 3, "_vectors": {"pair": [1, 2, 3]}}])),
        ("POST", json!([{"id": 3, "_vectors": {"pair": [1, "x"]}}])),
        ("POST", json!([{"id": 3, "_vectors": {"pair": {"embeddings": [1, 2]}}}])),
        ("POST", json!([{"id": 3, "_vectors": {"pair": {"regenerate": true}}}])),
        ("POST", json!([{"id": 3, "_vectors": {"pair": [[1, 0.3], [0.1, 1]], "other": [7]}}])),
        ("POST", json!([{"id": 4, "_vectors": {"pair": {"embeddings": [1, 2], "regenerate": true}}}])),
        ("POST", json!([{"id": 3, "t": "put without vectors"}])),
        ("PUT", json!([{"id": 1, "_vectors": {"other": [5]}}])),
        ("PUT", json!([{"id": 1, "_vectors": {"pair": [0, 2]}}])),
        ("PUT", json!([{"id": 1, "t": "changed"}])),
        ("PATCH", json!({"embedders": {"pair": {"distribution": {"mean": 0.3, "sigma": 0.2}}}})),
        ("PATCH", json!({"embedders": {"pair": {"source": "userProvided", "dimensions": 2, "model": "x"}}})),
        ("PATCH", json!({"embedders": {"pair": {"source": "userProvided"}}})),
        ("PATCH", json!({"embedders": {"pair": {"source": "userProvided", "dimensions": 0}}})),
        ("PATCH", json!({"embedders": {"pair": {"source": "nobody", "dimensions": 1}}})),
        ("PATCH", json!({"embedders": {"pair": {"distribution": {"mean": 3, "sigma": 0.2}}}})),
        ("PATCH", json!({"embedders": {"pair": {"distribution": {"mean": 0.3}}}})),
        ("PATCH", json!({"embedders": {"pair": {"dimensions": "2"}}})),
        ("PATCH", json!({"embedders": {"pair": 2}})),
        ("PATCH", json!({"embedders": {"more": {"source": "userProvided", "dimensions": 1}}})),
        ("PATCH", json!({"embedders": {"nobody": null}})),
        ("PATCH", json!({"embedders": {"pair": null}})),
        ("PATCH", json!({"embedders": {"pair": pair}})),
        ("PATCH", json!({"embedders": null})),
    ]
}

/// Vectors of an embedder that was taken back are written in full, those that no embedder ever had as they were sent.
fn in_full(vectors: &mut Value) {
    let single = |value: &Value| value.as_f64().map_or(Value::Null, |number| json!(f64::from(number as f32)));
    if let Some(numbers) = vectors.as_array().filter(|items| items.iter().all(Value::is_number)) {
        let embedding: Vec<Value> = numbers.iter().map(single).collect();
        *vectors = json!({"embeddings": [embedding], "regenerate": false});
    }
}

/// How a write ends, and what can be read then.
fn written_state(client: &Client, method: &str, body: &Value) -> Value {
    let target = if method == "PATCH" { "/indexes/pairs/settings" } else { "/indexes/pairs/documents" };
    let answer = client.ask(method, target, Some(body));
    let end = if answer.status == 202 {
        let task = client.wait_for_task(answer.json["taskUid"].as_u64().expect("a task"));
        // How many documents lack vectors is counted by each node, and the first of them is named.
        json!([task["status"], task["error"]["code"]])
    } else if real_meilisearch().is_some() {
        json!([answer.status, answer.json])
    } else {
        // The embedded node says it in fewer words.
        json!([answer.status, answer.code()])
    };
    let mut documents =
        client.post("/indexes/pairs/documents/fetch", &json!({"retrieveVectors": true})).expect(200).json;
    let list = documents["results"].as_array_mut().expect("a list");
    list.sort_by_key(|document| document["id"].as_u64());
    for document in list.iter_mut() {
        for vectors in document["_vectors"].as_object_mut().into_iter().flat_map(|vectors| vectors.values_mut()) {
            in_full(vectors);
        }
    }
    let stats = client.get("/indexes/pairs/stats").expect(200).json;
    json!({
        "end": end,
        "documents": list,
        "embedders": client.get("/indexes/pairs/settings/embedders").expect(200).json,
        "embeddings": [stats["numberOfEmbeddings"], stats["numberOfEmbeddedDocuments"], stats["fieldDistribution"]],
    })
}

#[test]
fn vectors_are_kept_as_on_one_server() {
    say_which_nodes();
    let alone = Alone::start();
    let options = FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    let (one, miroir) = (alone.node.client(), fleet.client());
    for client in [&one, &miroir] {
        client.write_well("POST", "/indexes", Some(&json!({"uid": "pairs", "primaryKey": "id"})));
    }
    for (method, body) in writes() {
        let (expected, found) = (written_state(&one, method, &body), written_state(&miroir, method, &body));
        assert_eq!(found, expected, "{method} {body}");
    }
}

#[test]
fn vectors_are_searched_as_on_one_server() {
    say_which_nodes();
    let corpus = films_with_vectors();
    let alone = Alone::start();
    let options = FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    let (one, miroir) = (alone.node.client(), fleet.client());
    load(&one, &corpus);
    load(&miroir, &corpus);
    ask_all(&corpus, |case| !is_of_several(case), &one, &miroir);
}
