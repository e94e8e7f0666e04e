//! What a search asks for and what it answers, as JSON.

use serde_json::{Map, Value};

use crate::meili::error::{ApiError, Code};

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
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SearchQuery {
    /// The words; `None` and empty are a placeholder search.
    pub q: Option<String>,
}

impl SearchQuery {
    /// Reads the body of `POST /indexes/{uid}/search`.
    ///
    /// # Errors
    /// `invalid_search_...` for the first parameter with a wrong shape, `bad_request` for an unknown one,
    /// `miroir_not_supported` for hybrid and vector search.
    pub fn from_json(body: &Map<String, Value>) -> Result<Self, ApiError> {
        let _ = body;
        Err(ApiError::new(Code::MiroirNotSupported, "not there yet"))
    }
}

/// One found document.
#[derive(Clone, PartialEq, Debug)]
pub struct Hit {
    /// The document's fields, then `_formatted`, `_matchesPosition`, `_rankingScore`, `_rankingScoreDetails` and
    /// `_geoDistance` where asked for.
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
        /// Hits in all, capped by `pagination.maxTotalHits`.
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
}

impl SearchResult {
    /// The body of the answer; the time is the caller's to measure.
    pub fn to_json(&self, processing_time_ms: u64) -> Map<String, Value> {
        let _ = processing_time_ms;
        Map::new()
    }
}

/// One `facet-search`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FacetSearchQuery {
    /// The facet whose values are searched.
    pub facet_name: String,
    /// The beginning of the values.
    pub facet_query: Option<String>,
    /// The search that chooses the documents.
    pub search: SearchQuery,
}
