//! Vectors of documents: read from `_vectors`, kept apart from the document for configured embedders, compared.
//!
//! Similarity is computed in 32-bit floats and summed in the order of Meilisearch's store (with the instructions of a
//! present-day x86-64), so that scores are equal to the last bit.

mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub(super) use read::{EmbedderVectors, Missing, read};

use super::documents::Document;
use super::settings::Embedder;

/// Where a document carries its vectors.
pub(super) const VECTORS: &str = "_vectors";

/// The vectors of one document by embedder; configured embedders only.
pub(super) type DocumentVectors = BTreeMap<String, EmbedderVectors>;

/// The document with its vectors in `_vectors`, behind what is there for embedders that are not configured.
pub(super) fn with_vectors(document: &Document, vectors: Option<&DocumentVectors>) -> Document {
    let mut document = document.clone();
    let Some(vectors) = vectors.filter(|vectors| !vectors.is_empty()) else { return document };
    let mut shown = match document.shift_remove(VECTORS) {
        Some(Value::Object(shown)) => shown,
        Some(_) | None => Map::new(),
    };
    for (name, vectors) in vectors {
        shown.insert(name.clone(), json!({"embeddings": vectors.embeddings, "regenerate": vectors.regenerate}));
    }
    document.insert(VECTORS.to_owned(), shown.into());
    document
}

/// The cosine of two vectors as a distance: 0 for the same direction, 1 for opposite ones. Null vectors are near to all.
pub(super) fn distance(left: &[f32], right: &[f32]) -> f32 {
    let norms = dot(left, left).sqrt() * dot(right, right).sqrt();
    if norms > f32::EPSILON { (1.0 - (dot(left, right) / norms).clamp(-1.0, 1.0)) / 2.0 } else { 0.0 }
}

/// The similarity that is shown for a distance.
pub(super) fn similarity(distance: f32, embedder: &Embedder) -> f32 {
    let similarity = 1.0 - distance;
    let Some(distribution) = embedder.distribution else { return similarity };
    // The mean of the embedder's similarities is moved to 0.5, their deviation to 0.4.
    let factor = 0.4 / distribution.sigma;
    let shifted = factor * similarity + (0.5 - factor * distribution.mean);
    if shifted <= 0.0 { f32::EPSILON } else { shifted.min(1.0) }
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    match left.len() {
        0..16 => left.iter().zip(right).map(|(left, right)| left * right).sum(),
        16..32 => dot_in_lanes::<4>(left, right, |left, right, sum| left * right + sum),
        32.. => dot_in_lanes::<8>(left, right, f32::mul_add),
    }
}

/// Four registers of `LANES` numbers each, added up at the end; what does not fill them all is added one by one.
fn dot_in_lanes<const LANES: usize>(left: &[f32], right: &[f32], add: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut registers = [[0.0_f32; LANES]; 4];
    let whole = left.len() - left.len() % (4 * LANES);
    for (place, (left, right)) in left.iter().zip(right).take(whole).enumerate() {
        let sum = &mut registers[place / LANES % 4][place % LANES];
        *sum = add(*left, *right, *sum);
    }
    let across = |register: &[f32; LANES]| {
        let mut sums = register.to_vec();
        while sums.len() > 1 {
            let half = sums.len() / 2;
            sums = (0..half).map(|lane| sums[lane] + sums[lane + half]).collect();
        }
        sums[0]
    };
    let mut sum = across(&registers[0]) + across(&registers[1]) + across(&registers[2]) + across(&registers[3]);
    for (left, right) in left[whole..].iter().zip(&right[whole..]) {
        sum += left * right;
    }
    sum
}
