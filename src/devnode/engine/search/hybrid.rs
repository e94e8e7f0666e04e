//! Searches by vectors: which kind of search is meant, and how the lists of words and of vectors become one.

use std::rc::Rc;

use roaring::RoaringBitmap;

use super::bucket_sort::{self, Ranking};
use super::rules::Target;
use crate::devnode::engine::fields::FieldId;
use crate::devnode::engine::index::Index;
use crate::devnode::engine::query::{Hybrid, SearchQuery};
use crate::devnode::engine::score::{Score, ranking_score, weighted};
use crate::meili::error::{ApiError, Code};

/// Keyword hits are good enough when each has at least this score after weighing.
const GOOD_ENOUGH: f64 = 0.45;

/// What kind of search is meant.
pub(super) enum Kind {
    /// By words, or all documents.
    Words,
    Vector(Rc<Target>),
    Hybrid {
        /// None when there is no vector and nobody makes one: then words alone decide.
        target: Option<Rc<Target>>,
        semantic_ratio: f32,
    },
}

impl Kind {
    /// Of a query.
    ///
    /// # Errors
    /// Where vectors are asked for that cannot be compared, those of Meilisearch.
    pub(super) fn of(index: &Index, query: &SearchQuery) -> Result<Self, ApiError> {
        let has_words = query.q.as_deref().is_some_and(|q| !q.trim().is_empty());
        if query.has_media && query.vector.is_some() {
            let message = "Invalid request: both `media` and `vector` parameters are present.";
            return Err(ApiError::new(Code::InvalidSearchMediaAndVector, message));
        }
        let Some(hybrid) = &query.hybrid else {
            if query.has_media || query.vector.is_some() {
                let message = "Invalid request: missing `hybrid` parameter when `vector` or `media` are present.";
                return Err(ApiError::new(Code::MissingSearchHybrid, message));
            }
            return Ok(Self::Words);
        };
        let is_placeholder = !query.has_media && !has_words && query.vector.is_none();
        let kind = if hybrid.semantic_ratio <= 0.0 || is_placeholder {
            Self::Words
        } else if hybrid.semantic_ratio >= 1.0 || !has_words {
            Self::semantic(index, query, hybrid)?
        } else {
            let target = target(index, query, hybrid)?;
            Self::Hybrid { target, semantic_ratio: hybrid.semantic_ratio }
        };
        if query.has_media {
            let message = "passing `media` in a search query requires enabling the `multimodal` experimental feature. See \
                           https://github.com/orgs/meilisearch/discussions/846";
            return Err(ApiError::new(Code::FeatureNotEnabled, message));
        }
        Ok(kind)
    }

    fn semantic(index: &Index, query: &SearchQuery, hybrid: &Hybrid) -> Result<Self, ApiError> {
        let target = target(index, query, hybrid)?;
        target.map(Self::Vector).ok_or_else(|| {
            let message = format!(
                "Error while generating embeddings: user error: attempt to embed the following text in a configuration where \
                 embeddings must be user provided:\n  - `{}`",
                query.q.as_deref().unwrap_or_default()
            );
            ApiError::new(Code::VectorEmbeddingError, message)
        })
    }
}

fn target(index: &Index, query: &SearchQuery, hybrid: &Hybrid) -> Result<Option<Rc<Target>>, ApiError> {
    let Some(embedder) = index.settings.embedders.get(&hybrid.embedder) else {
        let message = format!("Cannot find embedder with name `{}`.", hybrid.embedder);
        return Err(ApiError::new(Code::InvalidSearchEmbedder, message));
    };
    let Some(vector) = &query.vector else { return Ok(None) };
    if vector.len() != embedder.dimensions {
        let (expected, found) = (embedder.dimensions, vector.len());
        let message = format!("Invalid vector dimensions: expected: `{expected}`, found: `{found}`.");
        return Err(ApiError::new(Code::InvalidVectorDimensions, message));
    }
    Ok(Some(Rc::new(Target { vector: vector.clone(), embedder: hybrid.embedder.clone() })))
}

/// Whether the hits by words fill the page, each of them good.
pub(super) fn is_good_enough(hits: &[(u32, Vec<Score>)], wanted: usize, semantic_ratio: f32) -> bool {
    let weight = f64::from(1.0 - semantic_ratio);
    hits.len() >= wanted && hits.iter().all(|(_, scores)| ranking_score(scores) * weight >= GOOD_ENOUGH)
}

/// Both lists, each from its first hit on.
pub(super) struct Lists {
    pub(super) words: Ranking,
    pub(super) vector: Ranking,
    pub(super) semantic_ratio: f32,
}

impl Lists {
    /// One list, and how many hits of its page are from the list of vectors.
    pub(super) fn combined(
        self,
        index: &Index,
        distinct: Option<FieldId>,
        offset: usize,
        limit: usize,
    ) -> (Ranking, usize) {
        let Self { words, vector, semantic_ratio } = self;
        let (mut by_words, mut by_vector) = (words.page.into_iter().peekable(), vector.page.into_iter().peekable());
        let (mut excluded, mut kept) = (RoaringBitmap::new(), RoaringBitmap::new());
        let (mut page, mut semantic_hit_count) = (Vec::new(), 0);
        while page.len() < limit {
            let is_semantic = match (by_vector.peek(), by_words.peek()) {
                (Some((_, vector)), Some((_, words))) => {
                    let vector = weighted(vector, semantic_ratio.into());
                    vector.compare_lists(&weighted(words, (1.0 - semantic_ratio).into())).is_ge()
                }
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            let next = if is_semantic { by_vector.next() } else { by_words.next() };
            let Some((document, scores)) = next.filter(|(document, _)| excluded.insert(*document)) else { continue };
            if let Some(field) = distinct {
                bucket_sort::exclude_same_values(index, field, document, &mut excluded);
            }
            kept.insert(document);
            if kept.len() as usize > offset {
                semantic_hit_count += usize::from(is_semantic);
                page.push((document, scores));
            }
        }
        let mut candidates = words.candidates | vector.candidates;
        if distinct.is_some() {
            candidates -= excluded;
            candidates |= kept;
        }
        (Ranking { page, candidates }, semantic_hit_count)
    }
}
