//! What a search asks for and what it answers, as JSON.

mod parse;

use serde_json::{Map, Value, json};

use super::sort;
use crate::meili::error::{ApiError, Code};
use crate::meili::search::vector_json;

/// What to do when not all words of the query are found together.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum MatchingStrategy {
    /// Drop words from the end.
    #[default]
    Last,
    /// Every word must be there.
    All,
    /// Drop the most frequent words first.
    Frequency,
}

/// One search, defaults as Meilisearch's.
#[derive(Clone, PartialEq, Debug)]
pub struct SearchQuery {
    /// The words; `None` and empty are a placeholder search.
    pub q: Option<String>,
    /// Hits to skip.
    pub offset: usize,
    /// Hits to return.
    pub limit: usize,
    /// Page from 1: with this or `hits_per_page` totals are exhaustive.
    pub page: Option<usize>,
    /// Hits on a page.
    pub hits_per_page: Option<usize>,
    /// Fields of hits; `None` and `*` mean all that are displayed.
    pub attributes_to_retrieve: Option<Vec<String>>,
    /// Fields to crop, `name` or `name:words`.
    pub attributes_to_crop: Vec<String>,
    /// Words that a crop keeps.
    pub crop_length: usize,
    /// What stands for text left out.
    pub crop_marker: String,
    /// Fields to highlight.
    pub attributes_to_highlight: Vec<String>,
    /// Before a highlighted word.
    pub highlight_pre_tag: String,
    /// After a highlighted word.
    pub highlight_post_tag: String,
    /// Adds `_matchesPosition`.
    pub show_matches_position: bool,
    /// Adds `_rankingScore`.
    pub show_ranking_score: bool,
    /// Adds `_rankingScoreDetails`.
    pub show_ranking_score_details: bool,
    /// The filter as it stands in the request.
    pub filter: Option<Value>,
    /// `name:asc`, `name:desc`, `_geoPoint(lat,lng):asc`.
    pub sort: Option<Vec<String>>,
    /// Show each value of this attribute once.
    pub distinct: Option<String>,
    /// Facets to count; patterns allowed.
    pub facets: Option<Vec<String>>,
    /// Which words may be missing.
    pub matching_strategy: MatchingStrategy,
    /// Search in these attributes only.
    pub attributes_to_search_on: Option<Vec<String>>,
    /// Leave out hits with a lower score.
    pub ranking_score_threshold: Option<f64>,
    /// Search by vectors, too.
    pub hybrid: Option<Hybrid>,
    /// The vector to search by.
    pub vector: Option<Vec<f32>>,
    /// Whether something else than words is to be made a vector.
    pub has_media: bool,
    /// Adds `_vectors` to hits, and `queryVector`.
    pub retrieve_vectors: bool,
}

/// `hybrid`.
#[derive(Clone, PartialEq, Debug)]
pub struct Hybrid {
    /// How much vectors count, from 0 to 1.
    pub semantic_ratio: f32,
    /// Whose vectors.
    pub embedder: String,
}

impl Default for SearchQuery {
    fn default() -> Self {
        Self {
            q: None,
            offset: 0,
            limit: 20,
            page: None,
            hits_per_page: None,
            attributes_to_retrieve: None,
            attributes_to_crop: Vec::new(),
            crop_length: 10,
            crop_marker: "…".to_owned(),
            attributes_to_highlight: Vec::new(),
            highlight_pre_tag: "<em>".to_owned(),
            highlight_post_tag: "</em>".to_owned(),
            show_matches_position: false,
            show_ranking_score: false,
            show_ranking_score_details: false,
            filter: None,
            sort: None,
            distinct: None,
            facets: None,
            matching_strategy: MatchingStrategy::default(),
            attributes_to_search_on: None,
            ranking_score_threshold: None,
            hybrid: None,
            vector: None,
            has_media: false,
            retrieve_vectors: false,
        }
    }
}

impl SearchQuery {
    /// Reads the body of `POST /indexes/{uid}/search`.
    ///
    /// # Errors
    /// `invalid_search_...` for the first parameter with a wrong shape, `bad_request` for an unknown one.
    pub fn from_json(body: &Map<String, Value>) -> Result<Self, ApiError> {
        parse::from_json(body)
    }

    /// Whether `sort` can be read.
    ///
    /// # Errors
    /// `invalid_search_sort`.
    pub fn check_sort_syntax(&self) -> Result<(), ApiError> {
        let parsed = sort::parse(self.sort.as_deref().unwrap_or_default());
        parsed.map(drop).map_err(|message| ApiError::new(Code::InvalidSearchSort, message))
    }

    /// Whether totals must be exhaustive.
    pub fn is_paged(&self) -> bool {
        self.page.is_some() || self.hits_per_page.is_some()
    }
}

/// One found document.
#[derive(Clone, PartialEq, Debug)]
pub struct Hit {
    /// The document's fields, then `_formatted`, `_matchesPosition`, `_rankingScore` and `_rankingScoreDetails` where
    /// asked for; `_geoDistance` stands after the fields.
    pub fields: Map<String, Value>,
}

/// Paging as it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HitsInfo {
    /// `page` and `hitsPerPage`: totals are exhaustive.
    Pages {
        /// Hits on a page.
        hits_per_page: usize,
        /// Page, from 1.
        page: usize,
        /// Pages in all.
        total_pages: usize,
        /// Hits in all, also those past `pagination.maxTotalHits`, which no page reaches.
        total_hits: usize,
    },
    /// `offset` and `limit`.
    Offsets {
        /// Hits to return.
        limit: usize,
        /// Hits to skip.
        offset: usize,
        /// Meilisearch's estimate of the number of hits.
        estimated_total_hits: usize,
    },
}

/// The answer of a search.
#[derive(Clone, PartialEq, Debug)]
pub struct SearchResult {
    /// The page of hits.
    pub hits: Vec<Hit>,
    /// The words that were searched.
    pub query: String,
    /// Totals.
    pub hits_info: HitsInfo,
    /// Counts by facet and value, in order; `None` when no facets were asked for.
    pub facet_distribution: Option<Map<String, Value>>,
    /// Minimum and maximum of numeric facets.
    pub facet_stats: Option<Map<String, Value>>,
    /// The vector that was searched by, where it was asked for.
    pub query_vector: Option<Vec<f32>>,
    /// How many hits vectors brought; `None` in a search by words only.
    pub semantic_hit_count: Option<usize>,
}

impl SearchResult {
    /// The body of the answer; the time is the caller's to measure.
    pub fn to_json(&self, processing_time_ms: u64) -> Map<String, Value> {
        let hits: Vec<Value> = self.hits.iter().map(|hit| Value::Object(hit.fields.clone())).collect();
        let mut body = Map::new();
        body.insert("hits".to_owned(), hits.into());
        body.insert("query".to_owned(), self.query.as_str().into());
        if let Some(vector) = &self.query_vector {
            body.insert("queryVector".to_owned(), vector_json(vector));
        }
        body.insert("processingTimeMs".to_owned(), processing_time_ms.into());
        let info = match &self.hits_info {
            HitsInfo::Pages { hits_per_page, page, total_pages, total_hits } => json!({
                "hitsPerPage": hits_per_page, "page": page, "totalPages": total_pages, "totalHits": total_hits
            }),
            HitsInfo::Offsets { limit, offset, estimated_total_hits } => {
                json!({"limit": limit, "offset": offset, "estimatedTotalHits": estimated_total_hits})
            }
        };
        if let Value::Object(info) = info {
            body.extend(info);
        }
        if let Some(distribution) = &self.facet_distribution {
            body.insert("facetDistribution".to_owned(), distribution.clone().into());
        }
        if let Some(stats) = &self.facet_stats {
            body.insert("facetStats".to_owned(), stats.clone().into());
        }
        if let Some(count) = self.semantic_hit_count {
            body.insert("semanticHitCount".to_owned(), count.into());
        }
        body
    }
}

/// One `facet-search`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FacetSearchQuery {
    /// The facet whose values are searched.
    pub facet_name: String,
    /// What the values are searched for.
    pub facet_query: Option<String>,
    /// The search that chooses the documents.
    pub search: SearchQuery,
}
