//! How often near vectors are found: one server and Miroir against looking at all vectors, and against each other.
//!
//! Real servers look for near vectors in a graph and may miss some, each of its own. What is compared is how many of the
//! nearest are found. Embedded nodes look at all vectors, and must find all.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::compare::{self, Aspect};
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

/// Documents are of so many kinds.
const KINDS: usize = 12;

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
    random.pick(topics).iter().map(|number| number + chance(random)).collect()
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
        let settings = json!({"embedders": embedders, "filterableAttributes": ["kind"]});
        client.write_well("PATCH", "/indexes/library/settings", Some(&settings));
        let documents = self.vectors.iter().zip(&self.texts).enumerate();
        let document = |(id, (vector, text)): (usize, (&Vec<f32>, &String))| json!({"id": id, "text": text, "kind": id % KINDS, "_vectors": {"e": vector}});
        let documents: Vec<Value> = documents.map(document).collect();
        for batch in documents.chunks(BATCH) {
            client.write_well("POST", "/indexes/library/documents", Some(&batch.into()));
        }
    }

    /// Ids of the nearest by their angle, among those that count.
    fn nearest(&self, vector: &[f32], counts: impl Fn(u64) -> bool) -> Vec<u64> {
        let dot = |left: &[f32], right: &[f32]| left.iter().zip(right).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let cosine = |other: &Vec<f32>| dot(vector, other) / (dot(other, other).sqrt() * dot(vector, vector).sqrt());
        let mut all: Vec<(f64, u64)> = self.vectors.iter().map(cosine).zip(0..).filter(|(_, id)| counts(*id)).collect();
        all.sort_by(|left, right| right.0.total_cmp(&left.0));
        all.into_iter().map(|(_, id)| id).take(HITS).collect()
    }
}

fn ask(client: &Client, route: &str, body: &Value) -> Value {
    let mut body = body.clone();
    body["showRankingScoreDetails"] = true.into();
    client.post(&format!("/indexes/library/{route}"), &body).expect(200).json
}

fn ids(answer: &Value) -> Vec<u64> {
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
    /// Answers with the same scores in the same order, and the same documents up to ties.
    equal: usize,
}

impl Figures {
    fn add(&mut self, nearest: &[u64], one: &Value, miroir: &Value) {
        self.of_one_server += shared(nearest, &ids(one)) / QUESTIONS as f64;
        self.of_miroir += shared(nearest, &ids(miroir)) / QUESTIONS as f64;
        let mut differences = compare::compare("id", one, miroir);
        differences.retain(|difference| matches!(difference.aspect, Aspect::Order | Aspect::Ties | Aspect::Body));
        self.equal += usize::from(differences.is_empty());
    }
}

fn compare_recall(documents: usize) {
    say_which_nodes();
    let random = &mut Random::new(seed() ^ 0x2ECA);
    let library = Library::new(random, documents);
    let alone = Alone::start();
    let fleet = Fleet::start(&FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() });
    let (one, miroir) = (alone.node.client(), fleet.client());
    library.load(&one);
    library.load(&miroir);
    let (mut by_vector, mut filtered, mut similar) = (Figures::default(), Figures::default(), Figures::default());
    let mut hybrid = [0.2, 0.5, 0.8].map(|ratio| (ratio, Figures::default()));
    for _ in 0..QUESTIONS {
        let vector = near(random, &library.topics);
        let both = |route: &str, body: &Value| (ask(&one, route, body), ask(&miroir, route, body));
        let query = |ratio: f64| json!({"embedder": "e", "semanticRatio": ratio});
        let (left, right) = both("search", &json!({"vector": vector, "hybrid": query(1.0), "limit": HITS}));
        by_vector.add(&library.nearest(&vector, |_| true), &left, &right);
        let kind = random.below(KINDS) as u64;
        let filter = format!("kind = {kind}");
        let body = json!({"vector": vector, "hybrid": query(1.0), "limit": HITS, "filter": filter});
        let (left, right) = both("search", &body);
        filtered.add(&library.nearest(&vector, |id| id % KINDS as u64 == kind), &left, &right);
        let words = format!("{} {} ", random.pick(&WORDS), random.pick(&WORDS));
        for (ratio, figures) in &mut hybrid {
            let body = json!({"q": words, "vector": vector, "hybrid": query(*ratio), "limit": HITS});
            let (left, right) = both("search", &body);
            figures.add(&[], &left, &right);
        }
        let id = random.below(documents);
        let nearest = library.nearest(&library.vectors[id], |other| other != id as u64);
        let body = json!({"id": id, "embedder": "e", "limit": HITS});
        let (left, right) = both("similar", &body);
        similar.add(&nearest, &left, &right);
    }
    let near = [("by vector", &by_vector), ("of one kind in twelve", &filtered), ("similar", &similar)];
    for (kind, figures) in near {
        let Figures { of_one_server, of_miroir, equal } = figures;
        eprintln!(
            "{documents} documents, {DIMENSIONS} dimensions, {kind}: of the {HITS} nearest one server finds {of_one_server:.2} %, \
             Miroir {of_miroir:.2} %; {equal} of {QUESTIONS} answers are the same"
        );
    }
    for (ratio, Figures { equal, .. }) in &hybrid {
        eprintln!("{documents} documents, hybrid at {ratio}: {equal} of {QUESTIONS} answers are the same");
    }
    // Three graphs, each searched for as many hits as one, miss no more than one.
    for (kind, figures) in near {
        assert!(figures.of_miroir >= figures.of_one_server - 0.5, "{kind}");
    }
    if real_meilisearch().is_none() {
        assert!(near.iter().all(|(_, figures)| figures.of_miroir > 99.9));
    }
}

#[test]
fn near_vectors_are_found_as_often_as_on_one_server() {
    // Embedded nodes look at all vectors, slowly.
    compare_recall(if real_meilisearch().is_some() { 2_000 } else { 400 });
}

#[test]
#[ignore = "takes minutes; `cargo test --test parity -- --ignored --nocapture recall`"]
fn near_vectors_of_20_000_documents_are_found_as_often_as_on_one_server() {
    compare_recall(20_000);
}
