//! Lists of searches by vectors, by words, and by both: plain ones, and federated ones.

use serde_json::{Value, json};

use super::corpus::{Corpus, cities};
use super::multi_search::ask_all;
use super::search::{Alone, load, say_which_nodes};
use super::vectors::{films_with_vectors, search};
use crate::support::{Fleet, FleetOptions, Random, real_meilisearch, seed};

/// Generated requests.
const REQUESTS: usize = 200;

/// A search of the films; every third one by words alone.
fn film_query(random: &mut Random, films: &Corpus) -> Value {
    let (_, mut body, _) = search(random, films);
    let fields = body.as_object_mut().expect("an object");
    // Depends on how deep a search looks, or on which of several that tie stands for a value.
    for name in ["rankingScoreThreshold", "distinct"] {
        fields.remove(name);
    }
    if random.percent(33) {
        for name in ["hybrid", "vector", "retrieveVectors"] {
            fields.remove(name);
        }
    }
    fields.insert("indexUid".to_owned(), films.index.into());
    fields.insert("showRankingScoreDetails".to_owned(), true.into());
    body
}

fn city_query(random: &mut Random, cities: &Corpus) -> Value {
    json!({"indexUid": cities.index, "q": format!("{} ", random.pick(&cities.words)), "showRankingScoreDetails": true})
}

fn plain(random: &mut Random, films: &Corpus, cities: &Corpus) -> Value {
    let mut queries: Vec<Value> = (0..=random.below(4)).map(|_| film_query(random, films)).collect();
    queries.push(city_query(random, cities));
    for query in &mut queries {
        // An estimate goes by how deep each search went.
        let fields = query.as_object_mut().expect("an object");
        let size = fields.remove("limit").and_then(|limit| limit.as_u64()).unwrap_or(9);
        fields.remove("offset");
        fields.entry("page").or_insert(1.into());
        fields.entry("hitsPerPage").or_insert(size.into());
    }
    json!({"queries": queries})
}

fn federated(random: &mut Random, films: &Corpus, cities: &Corpus) -> Value {
    let mut queries: Vec<Value> = (0..=random.below(3)).map(|_| film_query(random, films)).collect();
    if random.percent(40) {
        queries.push(city_query(random, cities));
    }
    let has_cities = queries.iter().any(|query| query["indexUid"] == cities.index);
    for query in &mut queries {
        let fields = query.as_object_mut().expect("an object");
        for name in ["offset", "limit", "page", "hitsPerPage", "facets"] {
            fields.remove(name);
        }
        if has_cities || random.percent(70) {
            // Otherwise most requests would be refused: rules of queries must be of the same kinds.
            fields.remove("sort");
        }
        if random.percent(50) {
            let weight = *random.pick(&[0.3, 0.5, 1.0, 1.7]);
            fields.insert("federationOptions".to_owned(), json!({"weight": weight}));
        }
    }
    let mut federation = if random.percent(50) {
        json!({"page": 1 + random.below(3), "hitsPerPage": 1 + random.below(15)})
    } else {
        json!({"offset": random.below(20), "limit": random.below(40)})
    };
    if random.percent(40) {
        federation["facetsByIndex"] = json!({films.index: ["genres", "seen"]});
    }
    json!({"queries": queries, "federation": federation})
}

/// Requests that try one thing each.
fn written(films: &Corpus) -> Vec<Value> {
    let uid = films.index;
    let of = |query: Value| {
        let mut query = query;
        query["indexUid"] = uid.into();
        [
            json!({"queries": [{"indexUid": uid}, query]}),
            json!({"queries": [{"indexUid": uid}, query], "federation": {}}),
        ]
    };
    let queries = [
        json!({"vector": [1, 2]}),
        json!({"q": "night", "hybrid": {"embedder": "nobody"}}),
        json!({"q": "night", "hybrid": {"embedder": "wide"}}),
        json!({"q": "night", "hybrid": {"embedder": "wide", "semanticRatio": 1}}),
        json!({"q": "night", "vector": [1, 2], "hybrid": {"embedder": "wide"}}),
        json!({"q": "night", "vector": [1, "x"], "hybrid": {"embedder": "wide"}}),
        json!({"q": "night", "media": {"a": 1}, "hybrid": {"embedder": "wide"}}),
        json!({"q": "night", "hybrid": {"embedder": "wide", "semanticRatio": 3}}),
        json!({"q": "night", "hybrid": {}}),
    ];
    queries.into_iter().flat_map(of).collect()
}

#[test]
fn lists_of_searches_by_vectors_are_answered_as_on_one_server() {
    say_which_nodes();
    let (films, cities) = (films_with_vectors(), cities(seed(), 200));
    let alone = Alone::start();
    let fleet = Fleet::start(&FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() });
    for server in [&alone.node.client(), &fleet.client()] {
        load(server, &films);
        load(server, &cities);
    }
    let random = &mut Random::new(seed() ^ 0x71E5);
    let mut bodies = written(&films);
    bodies.extend((0..REQUESTS / 4).map(|_| plain(random, &films, &cities)));
    bodies.extend((0..REQUESTS).map(|_| federated(random, &films, &cities)));
    ask_all(&[&films, &cities], bodies, &alone.node.client(), &fleet.client(), 0);
}
