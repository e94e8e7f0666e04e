//! How often near vectors are found: one server and Miroir against looking at all vectors, and against each other.
//!
//! Real servers look for near vectors in a graph and may miss some, each of its own. What is compared is how many of the
//! nearest are found. Embedded nodes look at all vectors, and must find all.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::search::{Alone, say_which_nodes};
use crate::support::{Client, Fleet, FleetOptions, Random, real_meilisearch, seed};

/// Numbers in a vector.
const DIMENSIONS: usize = 64;

/// Documents lie around so many points.
const TOPICS: usize = 40;

/// Questions of each kind.
const QUESTIONS: usize = 100;

/// Hits of each answer.
const HITS: usize = 20;

/// Documents in one request.
const BATCH: usize = 2_000;

const WORDS: [&str; 12] =
    ["red", "cat", "dog", "river", "stone", "night", "garden", "winter", "flower", "sun", "harbor", "bridge"];

struct Library {
    vectors: Vec<Vec<f32>>,
    texts: Vec<String>,
    topics: Vec<Vec<f32>>,
}

/// Between -1 and 1, those around 0 more often.
fn chance(random: &mut Random) -> f32 {
    (0..4).map(|_| random.between(-1_000_000, 1_000_000) as f32).sum::<f32>() / 4_000_000.0
}

/// A point around one of these.
fn near(random: &mut Random, topics: &[Vec<f32>]) -> Vec<f32> {
    random.pick(topics).iter().map(|number| number + 0.6 * chance(random)).collect()
}

impl Library {
    fn new(random: &mut Random, documents: usize) -> Self {
        let topics: Vec<Vec<f32>> = (0..TOPICS).map(|_| (0..DIMENSIONS).map(|_| chance(random)).collect()).collect();
        let vectors = (0..documents).map(|_| near(random, &topics)).collect();
        let text = |random: &mut Random| {
            (0..2 + random.below(6)).map(|_| *random.pick_skewed(&WORDS)).collect::<Vec<_>>().join(" ")
        };
        let texts = (0..documents).map(|_| text(random)).collect();
        Self { vectors, texts, topics }
    }

    fn load(&self, client: &Client) {
        client.write_well("POST", "/indexes", Some(&json!({"uid": "library", "primaryKey": "id"})));
        let embedders = json!({"e": {"source": "userProvided", "dimensions": DIMENSIONS}});
        client.write_well("PATCH", "/indexes/library/settings", Some(&json!({"embedders": embedders})));
        let documents = self.vectors.iter().zip(&self.texts).enumerate();
        let documents: Vec<Value> =
            documents.map(|(id, (vector, text))| json!({"id": id, "text": text, "_vectors": {"e": vector}})).collect();
        for batch in documents.chunks(BATCH) {
            client.write_well("POST", "/indexes/library/documents", Some(&batch.into()));
        }
    }

    /// Ids of the nearest by their angle.
    fn nearest(&self, vector: &[f32]) -> Vec<u64> {
        let dot = |left: &[f32], right: &[f32]| left.iter().zip(right).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let cosine = |other: &Vec<f32>| dot(vector, other) / (dot(other, other).sqrt() * dot(vector, vector).sqrt());
        let mut all: Vec<(f64, u64)> = self.vectors.iter().map(cosine).zip(0..).collect();
        all.sort_by(|left, right| right.0.total_cmp(&left.0));
        all.into_iter().map(|(_, id)| id).take(HITS + 1).collect()
    }
}

fn ids(client: &Client, route: &str, body: &Value) -> Vec<u64> {
    let answer = client.post(&format!("/indexes/library/{route}"), body).expect(200).json;
    let hits = answer["hits"].as_array().expect("hits");
    hits.iter().map(|hit| hit["id"].as_u64().expect("an id")).collect()
}

/// How much of the hits of both is the same, in percent of what could be.
fn shared(left: &[u64], right: &[u64]) -> f64 {
    let right: HashSet<_> = right.iter().collect();
    let both = left.iter().filter(|id| right.contains(id)).count();
    100.0 * both as f64 / left.len().max(1) as f64
}

/// Of many questions of one kind.
#[derive(Default)]
struct Figures {
    of_one_server: f64,
    of_miroir: f64,
    of_each_other: f64,
    equal_orders: usize,
}

impl Figures {
    fn add(&mut self, nearest: Option<&[u64]>, one: &[u64], miroir: &[u64]) {
        if let Some(nearest) = nearest {
            self.of_one_server += shared(nearest, one) / QUESTIONS as f64;
            self.of_miroir += shared(nearest, miroir) / QUESTIONS as f64;
        }
        self.of_each_other += shared(one, miroir) / QUESTIONS as f64;
        self.equal_orders += usize::from(one == miroir);
    }
}

fn compare(documents: usize) {
    say_which_nodes();
    let random = &mut Random::new(seed() ^ 0x2ECA);
    let library = Library::new(random, documents);
    let alone = Alone::start();
    let fleet = Fleet::start(&FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() });
    let (one, miroir) = (alone.node.client(), fleet.client());
    library.load(&one);
    library.load(&miroir);
    let (mut by_vector, mut similar, mut hybrid) =
        (Figures::default(), Figures::default(), [0.2, 0.5, 0.8].map(|ratio| (ratio, Figures::default())));
    for _ in 0..QUESTIONS {
        let vector = near(random, &library.topics);
        let ask = |body: &Value| (ids(&one, "search", body), ids(&miroir, "search", body));
        let query = |ratio: f64| json!({"embedder": "e", "semanticRatio": ratio});
        let (left, right) = ask(&json!({"vector": vector, "hybrid": query(1.0), "limit": HITS}));
        by_vector.add(Some(&library.nearest(&vector)[..HITS]), &left, &right);
        let words = format!("{} {} ", random.pick(&WORDS), random.pick(&WORDS));
        for (ratio, figures) in &mut hybrid {
            let (left, right) = ask(&json!({"q": words, "vector": vector, "hybrid": query(*ratio), "limit": HITS}));
            figures.add(None, &left, &right);
        }
        let id = random.below(documents);
        let nearest = library.nearest(&library.vectors[id]);
        let nearest: Vec<u64> = nearest.into_iter().filter(|other| *other != id as u64).take(HITS).collect();
        let body = json!({"id": id, "embedder": "e", "limit": HITS});
        similar.add(Some(&nearest), &ids(&one, "similar", &body), &ids(&miroir, "similar", &body));
    }
    let near = [("by vector", &by_vector), ("similar", &similar)];
    for (kind, figures) in near {
        let Figures { of_one_server, of_miroir, of_each_other, equal_orders } = figures;
        eprintln!(
            "{documents} documents, {DIMENSIONS} dimensions, {kind}: of the {HITS} nearest one server finds {of_one_server:.2} %, \
             Miroir {of_miroir:.2} %; {of_each_other:.2} % of hits and {equal_orders} of {QUESTIONS} orders are the same"
        );
    }
    for (ratio, Figures { of_each_other, equal_orders, .. }) in &hybrid {
        eprintln!(
            "{documents} documents, hybrid at {ratio}: {of_each_other:.2} % of hits and {equal_orders} of {QUESTIONS} orders are \
             the same"
        );
    }
    // Three graphs, each searched for as many hits as one, miss no more than one.
    for (kind, figures) in near {
        assert!(figures.of_miroir >= figures.of_one_server - 0.5, "{kind}");
    }
    if real_meilisearch().is_none() {
        assert!(by_vector.of_miroir > 99.9 && similar.of_miroir > 99.9);
    }
}

#[test]
fn near_vectors_are_found_as_often_as_on_one_server() {
    compare(2_000);
}

#[test]
#[ignore = "takes minutes; `cargo test --test parity -- --ignored --nocapture recall`"]
fn near_vectors_of_20_000_documents_are_found_as_often_as_on_one_server() {
    compare(20_000);
}
