//! The documents that are near to one, by the vectors that an embedder has of them.

use super::filter_eval;
use super::format::{HitMaker, MatchingWords};
use super::index::Index;
use super::query::{Hit, SearchQuery};
use super::score::{Score, ranking_score};
use super::vectors;
use crate::meili::error::{ApiError, Code};
use crate::meili::similar::SimilarRequest;
use roaring::RoaringBitmap;

/// The answer.
#[derive(Clone, PartialEq, Debug)]
pub struct SimilarResult {
    /// The page of hits.
    pub hits: Vec<Hit>,
    /// Documents that might be found.
    pub estimated_total_hits: usize,
}

/// Finds the documents that are near to one.
pub(super) fn similar(index: &Index, request: &SimilarRequest) -> Result<SimilarResult, ApiError> {
    let Some(embedder) = index.settings.embedders.get(request.embedder()) else {
        let message = format!("Cannot find embedder with name `{}`.", request.embedder());
        return Err(ApiError::new(Code::InvalidSimilarEmbedder, message));
    };
    let universe = match request.filter() {
        Some(filter) => filter_eval::evaluate(index, filter, Code::InvalidSimilarFilter).map_err(|error| {
            // Here the name of the index does not stand before the message, as it does in searches.
            ApiError::new(error.code, error.message.replace(&index.message(""), ""))
        })?,
        None => None,
    };
    let id = request.id()?;
    let Some(number) = index.number(&id) else {
        return Err(ApiError::new(Code::NotFoundSimilarId, format!("Document `{id}` not found.")));
    };
    let mut candidates = universe.unwrap_or_else(|| index.all.clone());
    candidates.remove(number);
    let shown = shown(request);
    let mut seen = RoaringBitmap::new();
    let wanted = shown.offset.saturating_add(shown.limit).saturating_add(1);
    let nearest = nearest(index, request.embedder(), wanted, number, &candidates);
    let nearest: Vec<(f32, u32)> = nearest.into_iter().filter(|(_, document)| seen.insert(*document)).collect();
    let mut hits: Vec<(u32, Vec<Score>)> = Vec::new();
    for (place, (distance, document)) in nearest.iter().enumerate().skip(shown.offset).take(shown.limit) {
        let scores = vec![Score::Vector(Some(vectors::similarity(*distance, embedder)))];
        if request.threshold().is_some_and(|threshold| ranking_score(&scores) < threshold) {
            candidates = nearest[..place].iter().map(|(_, document)| *document).collect();
            break;
        }
        hits.push((*document, scores));
    }
    let hits = index.text_rules.with_highlight_tokenizer(|tokenizer| {
        let maker = HitMaker::new(index, &shown, tokenizer, MatchingWords::default(), &[]);
        hits.iter().map(|(document, scores)| maker.hit(*document, scores)).collect()
    });
    let estimated_total_hits = (candidates.len() as usize).min(index.settings.max_total_hits);
    Ok(SimilarResult { hits, estimated_total_hits })
}

/// What is shown of hits, and which.
fn shown(request: &SimilarRequest) -> SearchQuery {
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let attributes = request.attributes_to_retrieve();
    SearchQuery {
        offset: count(request.offset()),
        limit: count(request.limit()),
        attributes_to_retrieve: attributes.map(|names| names.into_iter().map(str::to_owned).collect()),
        retrieve_vectors: request.is_set("retrieveVectors"),
        show_ranking_score: request.is_set("showRankingScore"),
        show_ranking_score_details: request.is_set("showRankingScoreDetails"),
        ..SearchQuery::default()
    }
}

/// Distances and documents, the nearest first: the first vector is compared with the first one of others, the second with
/// the second one, and a document may be listed for each. So many are `wanted` of each.
fn nearest(index: &Index, embedder: &str, wanted: usize, number: u32, candidates: &RoaringBitmap) -> Vec<(f32, u32)> {
    let mut found = Vec::new();
    for (place, target) in index.embeddings(number, embedder).iter().enumerate() {
        let near = |document: u32| {
            let vector = index.embeddings(document, embedder).get(place)?;
            Some((vectors::distance(target, vector), document))
        };
        let mut all: Vec<(f32, u32)> = candidates.iter().filter_map(near).collect();
        all.sort_by(|left, right| left.0.total_cmp(&right.0));
        all.truncate(wanted);
        found.extend(all);
    }
    found.sort_by(|left, right| left.0.total_cmp(&right.0));
    found
}
