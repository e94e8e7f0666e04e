//! `/multi-search`: lists of searches, plain and federated, on two servers.
//!
//! Federated answers are compared like those of one search, where a hit's `_federation` is part of its sort key.

use serde_json::{Map, Value, json};

use super::compare::{Aspect, Difference, compare};
use super::corpus::{Corpus, cities, films};
use super::queries::{Query, generate};
use super::search::{Alone, load, say_which_nodes};
use crate::support::{Answer, Client, Fleet, FleetOptions, Random, real_meilisearch, seed};

/// Documents of each corpus.
const DOCUMENTS: usize = 400;

/// Generated federated requests.
const REQUESTS: usize = 250;

/// How many differences are printed.
const SHOWN_MAX: usize = 8;

/// Kinds of queries whose results depend on a node's dictionary, or on what estimates are.
const LEFT_OUT: [&str; 5] = ["typo", "prefix", "refused", "threshold", "everything"];

/// Attributes with several values: which of several ties is shown for one of them decides about hits with the others.
const SEVERAL_VALUES: [&str; 2] = ["genres", "tags"];

/// Requests that try one thing each.
fn written(films: &Corpus, cities: &Corpus) -> Vec<Value> {
    let (film, city) = (films.index, cities.index);
    let word = |place: usize| films.words[place].clone();
    let two = |federation: Value| json!({"queries": [{"indexUid": film, "q": word(0)}, {"indexUid": city, "q": word(1)}], "federation": federation});
    let of = |queries: Value| json!({"queries": queries, "federation": {}});
    let facets = json!({film: ["genres", "year"], city: ["population"]});
    vec![
        json!({"queries": []}),
        json!({"queries": [], "federation": {}}),
        json!({"queries": [{"indexUid": film, "q": word(0)}, {"indexUid": city, "limit": 2, "facets": ["population"]}]}),
        json!({"queries": [{"indexUid": film, "page": 2, "hitsPerPage": 3}, {"indexUid": film, "q": "xylozzyqq"}]}),
        json!({"queries": [{"indexUid": film}, {"indexUid": "nowhere"}]}),
        json!({"queries": [{"indexUid": film}, {"indexUid": film, "federationOptions": {}}]}),
        json!({"queries": [{"indexUid": film, "filter": "nope = 1 = 2"}]}),
        json!({"queries": [{"indexUid": film}, {"indexUid": film, "sort": ["title"]}]}),
        json!({"queries": [{"indexUid": film}, {"indexUid": film, "sort": ["nowhere:asc"]}]}),
        json!({"queries": [{"indexUid": film}, {"indexUid": film, "facets": ["nowhere"]}]}),
        of(json!([{"indexUid": "nowhere"}])),
        of(json!([{"indexUid": film, "limit": 1}])),
        of(json!([{"indexUid": film, "facets": ["genres"]}])),
        of(json!([{"indexUid": film}, {"indexUid": film, "sort": ["title"]}])),
        of(json!([{"indexUid": film}, {"indexUid": film, "sort": ["nowhere:asc"]}])),
        of(json!([{"indexUid": film, "q": word(0)}, {"indexUid": film, "sort": ["year:asc"]}])),
        of(json!([{"indexUid": film, "sort": ["year:desc"]}, {"indexUid": film, "sort": ["year:asc"]}])),
        of(json!([{"indexUid": film, "federationOptions": {"remote": "x"}}])),
        of(json!([{"indexUid": film, "federationOptions": {"queryPosition": 4}}])),
        of(json!([{"indexUid": film, "personalize": {"userContext": "x"}}])),
        of(json!([{"indexUid": film, "useNetwork": true}])),
        of(json!([{"indexUid": film, "showPerformanceDetails": true}])),
        of(json!([{"indexUid": film, "distinct": "nowhere"}])),
        two(json!({"facetsByIndex": facets})),
        two(json!({"facetsByIndex": facets, "mergeFacets": {}})),
        two(json!({"facetsByIndex": facets, "mergeFacets": {"maxValuesPerFacet": 3}, "page": 1})),
        two(json!({"facetsByIndex": {film: ["nowhere"]}})),
        two(json!({"facetsByIndex": {film: [], city: null}})),
        two(json!({"facetsByIndex": {"nowhere": ["x"]}})),
        two(json!({"facetsByIndex": {film: ["genres"]}, "limit": 0})),
        two(json!({"distinct": "nowhere"})),
        two(json!({"personalize": {"userContext": "x"}})),
        json!({"queries": [{"indexUid": film, "distinct": "year"}], "federation": {"distinct": "year"}}),
        json!({"queries": [{"indexUid": film, "distinct": "year"}, {"indexUid": city, "distinct": "country"}], "federation": {}}),
        two(json!({"page": 0})),
        two(json!({"page": 2, "hitsPerPage": 4})),
        two(json!({"hitsPerPage": 0})),
        two(json!({"offset": 900, "limit": 500})),
    ]
}

/// Several queries of both corpora, with weights, a page, facets.
fn generated(films: &Corpus, cities: &Corpus) -> Vec<Value> {
    let random = &mut Random::new(seed() ^ 0xFED);
    let queries = |corpus: &Corpus| -> Vec<Query> {
        let all = generate(seed(), corpus, 3).into_iter();
        all.filter(|query| !LEFT_OUT.iter().any(|part| query.kind.contains(part))).collect()
    };
    let pools = [(films, queries(films)), (cities, queries(cities))];
    (0..REQUESTS).map(|_| federated(random, &pools)).collect()
}

fn federated(random: &mut Random, pools: &[(&Corpus, Vec<Query>); 2]) -> Value {
    let mut queries = Vec::new();
    let mut uids = Vec::new();
    for _ in 0..=random.below(4) {
        let (corpus, pool) = &pools[random.below(2)];
        let mut body = random.pick(pool).body.clone();
        for name in ["offset", "limit", "page", "hitsPerPage", "facets"] {
            body.remove(name);
        }
        if random.below(3) > 0 {
            // Otherwise most requests would be refused: rules of queries must be of the same kinds.
            body.remove("sort");
        }
        if body.get("q").is_none_or(|q| q == "") && random.below(3) > 0 {
            body.insert("q".to_owned(), corpus.words[random.below(12)].clone().into());
        }
        if let Some(Value::Array(attributes)) = body.get_mut("attributesToRetrieve") {
            attributes.push(corpus.primary_key.into());
        }
        body.insert("indexUid".to_owned(), corpus.index.into());
        body.insert("showRankingScoreDetails".to_owned(), true.into());
        if random.below(2) == 0 {
            let weight = *random.pick(&[0.0, 0.3, 0.5, 1.0, 1.7, 2.0]);
            body.insert("federationOptions".to_owned(), json!({"weight": weight}));
        }
        uids.push(corpus.index);
        queries.push(Value::from(body));
    }
    let mut federation = Map::new();
    match random.below(3) {
        0 => {
            federation.insert("offset".to_owned(), random.below(20).into());
            federation.insert("limit".to_owned(), random.below(40).into());
        }
        1 => {
            federation.insert("page".to_owned(), (1 + random.below(4)).into());
            federation.insert("hitsPerPage".to_owned(), (1 + random.below(15)).into());
        }
        _ => {}
    }
    if random.below(2) == 0 {
        let facets = pools.iter().filter(|(corpus, _)| uids.contains(&corpus.index));
        let facets = facets.map(|(corpus, _)| {
            let texts = corpus.fields.texts.iter().map(|(name, _)| *name);
            let names: Value = texts.chain(corpus.fields.numbers.iter().map(|(name, ..)| *name)).collect();
            (corpus.index.to_owned(), names)
        });
        federation.insert("facetsByIndex".to_owned(), Value::Object(facets.collect()));
        if random.below(2) == 0 {
            federation.insert("mergeFacets".to_owned(), json!({}));
        }
    }
    let corpus = pools.iter().map(|(corpus, _)| corpus).find(|corpus| uids.iter().all(|uid| *uid == corpus.index));
    if let Some(corpus) = corpus
        && random.below(3) == 0
    {
        let names = corpus.fields.texts.iter().map(|(name, _)| *name);
        let names: Vec<&str> = names.filter(|name| !SEVERAL_VALUES.contains(name)).collect();
        federation.insert("distinct".to_owned(), (*random.pick(&names)).into());
    }
    json!({"queries": queries, "federation": federation})
}

/// Hits that can be told apart and compared as those of one search are.
fn comparable(answer: &Value, keys: &Map<String, Value>) -> Value {
    let mut answer = answer.clone();
    for hit in answer["hits"].as_array_mut().into_iter().flatten() {
        let federation = hit["_federation"].clone();
        let uid = federation["indexUid"].as_str().unwrap_or_default();
        hit["_id"] = format!("{uid}/{}", hit[keys[uid].as_str().unwrap_or_default()]).into();
        hit["_rankingScoreDetails"]["_federation"] = federation;
    }
    answer
}

fn differences(body: &Value, keys: &Map<String, Value>, one: &Answer, other: &Answer) -> Vec<Difference> {
    if one.status != 200 || other.status != 200 {
        let is_equal = one.status == other.status && one.json == other.json;
        let text = format!("{} {}, and {} {}", one.status, one.text, other.status, other.text);
        return (!is_equal).then_some(Difference { aspect: Aspect::Status, text }).into_iter().collect();
    }
    let other_answer = other;
    let (one, other) = (comparable(&one.json, keys), comparable(&other.json, keys));
    let mut found = match (one["results"].as_array(), other["results"].as_array()) {
        (Some(left), Some(right)) if left.len() == right.len() => {
            let key = |result: &Value| keys.get(result["indexUid"].as_str()?)?.as_str().map(str::to_owned);
            let compare = |(left, right)| compare(&key(left).unwrap_or_default(), left, right);
            left.iter().zip(right).flat_map(compare).collect()
        }
        _ => compare("_id", &one, &other),
    };
    let approximate = other_answer.header("x-miroir-approximate").unwrap_or_default();
    found.retain(|difference| match difference.aspect {
        Aspect::Estimate | Aspect::Total => !approximate.contains("totals"),
        Aspect::Facets => !approximate.contains("facets"),
        Aspect::Fields if difference.text.starts_with("facetsByIndex") => !approximate.contains("facets"),
        // Which of several ties stands for a value is up to each server.
        Aspect::Ties => body["federation"].get("distinct").is_none(),
        Aspect::Status | Aspect::Fields | Aspect::Order | Aspect::Body => true,
    });
    found
}

/// Asks both everything; so many of a hundred requests may be answered in another order.
///
/// # Panics
/// When answers differ.
pub(super) fn ask_all(
    corpora: &[&Corpus],
    bodies: Vec<Value>,
    one: &Client,
    other: &Client,
    reordered_percent_max: usize,
) {
    let keys = corpora.iter().map(|corpus| (corpus.index.to_owned(), corpus.primary_key.into())).collect();
    let mut unexplained = Vec::new();
    let (mut answered, mut asked, mut reordered) = (0, 0, 0);
    for body in bodies {
        let (expected, found) = (one.post("/multi-search", &body), other.post("/multi-search", &body));
        asked += 1;
        let hits = [&expected.json, &expected.json["results"][0]].map(|answer| answer["hits"].as_array());
        answered += usize::from(hits.iter().any(|hits| hits.is_some_and(|hits| !hits.is_empty())));
        let found = differences(&body, &keys, &expected, &found);
        reordered += usize::from(found.iter().any(|difference| difference.aspect == Aspect::Order));
        for difference in found {
            unexplained.push(format!("{:?}: {body}\n    {}", difference.aspect, difference.text));
        }
    }
    eprintln!("{asked} lists of searches, {answered} of them with hits, {reordered} in another order");
    if reordered * 100 <= reordered_percent_max * asked {
        unexplained.retain(|text| !text.starts_with("Order"));
    }
    assert!(answered * 2 > asked, "only {answered} of {asked} find something");
    let total = unexplained.len();
    unexplained.truncate(SHOWN_MAX);
    assert!(total == 0, "{total} differences (MIROIR_TEST_SEED={}); first:\n{}", seed(), unexplained.join("\n"));
}

/// Lists that are answered query by query.
fn plain(films: &Corpus, cities: &Corpus) -> Vec<Value> {
    let random = &mut Random::new(seed() ^ 0x715);
    let queries = |corpus: &Corpus| -> Vec<Value> {
        let all = generate(seed(), corpus, 1).into_iter();
        let all = all.filter(|query| !LEFT_OUT.iter().any(|part| query.kind.contains(part)));
        let listed = all.map(|Query { mut body, .. }| {
            body.insert("indexUid".to_owned(), corpus.index.into());
            body.insert("showRankingScoreDetails".to_owned(), true.into());
            if let Some(Value::Array(attributes)) = body.get_mut("attributesToRetrieve") {
                attributes.push(corpus.primary_key.into());
            }
            Value::from(body)
        });
        listed.collect()
    };
    let pools = [queries(films), queries(cities)];
    let list = |random: &mut Random| {
        let pick = |place: usize| random.pick(&pools[place % 2]).clone();
        json!({"queries": (0..12).map(pick).collect::<Vec<_>>()})
    };
    (0..20).map(|_| list(random)).collect()
}

#[test]
fn lists_of_searches_are_answered_as_on_one_server() {
    say_which_nodes();
    let (films, cities) = (films(seed(), DOCUMENTS), cities(seed(), DOCUMENTS));
    let alone = Alone::start();
    let fleet = Fleet::start(&FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() });
    for server in [&alone.node.client(), &fleet.client()] {
        load(server, &films);
        load(server, &cities);
    }
    let mut bodies = written(&films, &cities);
    bodies.extend(plain(&films, &cities));
    bodies.extend(generated(&films, &cities));
    ask_all(&[&films, &cities], bodies, &alone.node.client(), &fleet.client(), 0);
}

#[test]
fn an_embedded_node_answers_lists_of_searches_as_a_real_one() {
    say_which_nodes();
    let Some(meilisearch) = real_meilisearch() else { return };
    let (films, cities) = (films(seed(), DOCUMENTS), cities(seed(), DOCUMENTS));
    let (real, embedded) = (Alone::of(Some(meilisearch)), Alone::of(None));
    for server in [&real, &embedded] {
        load(&server.node.client(), &films);
        load(&server.node.client(), &cities);
    }
    // The places of words that stand in a document several times: a difference of the searches themselves.
    let bodies = written(&films, &cities).into_iter().chain(generated(&films, &cities)).collect();
    ask_all(&[&films, &cities], bodies, &real.node.client(), &embedded.node.client(), 2);
}
