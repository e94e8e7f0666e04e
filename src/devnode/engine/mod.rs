//! The search engine of the embedded development node: Meilisearch's rules over documents held in memory.
//!
//! Pure: no sockets, files, threads or clock. An [`Index`] is changed by [`Index::apply`] and [`Index::set_settings`]
//! and read by [`Index::search`] and [`Index::documents`]; the caller keeps it behind a lock and stores what
//! [`BatchReport::changed`] names. Everything is evaluated exactly but simply, meant for up to 100,000 documents.
//!
//! Internal document numbers are given as Meilisearch gives them (the lowest free number first), because ties and
//! listings follow them.

mod documents;
mod facet_counts;
mod facet_search;
mod facets;
mod federated;
mod fields;
mod filter_eval;
mod format;
mod geo;
mod index;
mod postings;
mod query;
mod score;
mod search;
mod settings;
mod similar;
mod sort;
mod tokenize;
mod vectors;

pub use documents::{Document, DocumentsPage, DocumentsQuery, document_id};
pub use federated::{
    FederatedError, FederatedFacets, FederatedHits, FederatedIndex, FederatedPart, FederatedQuery,
    merge as merge_federated, remove_from_counts,
};
pub use index::{BatchReport, Index, IndexStats, Payload};
pub use query::{FacetSearchQuery, Hit, HitsInfo, MatchingStrategy, SearchQuery, SearchResult};
pub use settings::{FacetOrder, Settings};
pub use similar::SimilarResult;
