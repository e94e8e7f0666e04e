//! Vectors: embedders of a corpus, vectors of its documents, and searches by them.

use serde_json::{Map, Value, json};

use super::corpus::Corpus;
use super::queries::Object;
use crate::support::Random;

/// Numbers in a vector: fewer and more than what is computed at a time.
const DIMENSIONS: [usize; 3] = [3, 5, 35];

/// An embedder of an index, whose vectors clients bring.
#[derive(Clone, Debug)]
pub struct Embedder {
    /// Its name.
    pub name: &'static str,
    /// Numbers in each vector.
    pub dimensions: usize,
    /// Some documents have more than one vector.
    pub has_several: bool,
    /// Of a hundred documents so many have none.
    missing_percent: usize,
}

/// Embedders of a corpus: none, or one, or two.
pub fn embedders(random: &mut Random) -> Vec<Embedder> {
    let count = *random.pick(&[0, 0, 0, 1, 1, 2]);
    let names = ["near", "far"].into_iter().take(count);
    let embedder = |name| Embedder {
        name,
        dimensions: *random.pick(&DIMENSIONS),
        has_several: random.percent(8),
        missing_percent: *random.pick(&[0, 5, 40]),
    };
    names.map(embedder).collect()
}

/// Their setting.
pub fn setting(random: &mut Random, embedders: &[Embedder]) -> Value {
    let setting = |embedder: &Embedder| {
        let mut setting = json!({"source": "userProvided", "dimensions": embedder.dimensions});
        if random.percent(15) {
            // Wide enough that similarities are not made equal: one server would tell them apart.
            setting["distribution"] = json!({"mean": 0.55, "sigma": 0.4});
        }
        (embedder.name.to_owned(), setting)
    };
    Value::Object(embedders.iter().map(setting).collect())
}

/// `_vectors` of a document without any: every embedder must be named.
pub fn nothing(embedders: &[Embedder]) -> Value {
    embedders.iter().map(|embedder| (embedder.name.to_owned(), Value::Null)).collect::<Map<_, _>>().into()
}

/// `_vectors` of a document, in the forms that clients use.
pub fn of_document(random: &mut Random, embedders: &[Embedder]) -> Value {
    let vectors = |embedder: &Embedder| {
        let vector = vector(random, embedder.dimensions);
        let vectors = match random.below(10) {
            _ if random.percent(embedder.missing_percent) => Value::Null,
            0 => json!([vector]),
            1 => json!({"embeddings": vector, "regenerate": false}),
            2 if embedder.has_several => json!([vector, self::vector(random, embedder.dimensions)]),
            _ => json!(vector),
        };
        (embedder.name.to_owned(), vectors)
    };
    Value::Object(embedders.iter().map(vectors).collect())
}

/// Not far from each other, so that similarities are like scores of words.
fn vector(random: &mut Random, dimensions: usize) -> Vec<f64> {
    (0..dimensions).map(|_| random.between(-200, 1_000) as f64 / 1_000.0).collect()
}

/// Whether to ask for vectors, in so many of a hundred searches: in fewer where the settings say what is displayed, for one
/// server mistakes that.
pub fn retrieves(random: &mut Random, corpus: &Corpus, percent: usize) -> bool {
    let is_told = corpus.settings.contains_key("displayedAttributes") && !corpus.embedders.is_empty();
    random.percent(percent) && (!is_told || random.percent(10))
}

/// How much vectors count: everything, nothing, and mostly such that neither list wins altogether.
const RATIOS: [f64; 12] = [0.0, 0.2, 0.3, 0.4, 0.45, 0.5, 0.5, 0.55, 0.7, 0.9, 1.0, 1.0];

/// Makes a search one by vectors, or by words and vectors.
pub fn add_to(random: &mut Random, corpus: &Corpus, body: &mut Object) {
    let Some(embedder) = corpus.embedders.get(random.below(corpus.embedders.len().max(1))) else { return };
    let mut hybrid = json!({"embedder": embedder.name});
    if random.percent(90) {
        hybrid["semanticRatio"] = json!(random.pick(&RATIOS));
    }
    if random.percent(2) {
        hybrid["embedder"] = json!("nobody");
    }
    body.insert("hybrid".to_owned(), hybrid);
    if random.percent(94) {
        let dimensions = if random.percent(98) { embedder.dimensions } else { 2 };
        body.insert("vector".to_owned(), json!(vector(random, dimensions)));
    }
    if retrieves(random, corpus, 15) {
        body.insert("retrieveVectors".to_owned(), json!(true));
    }
}
