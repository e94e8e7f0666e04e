//! What a node is asked about several queries of one index together.

use serde_json::{Value, json};

use crate::meili::search::SearchRequest;

/// What the queries find, each document once.
#[derive(Clone, Copy, Debug)]
pub struct UnionQuestion<'a> {
    /// The node's name of the index.
    pub node_uid: &'a str,
    /// The queries. Whether one makes hits distinct does not count.
    pub queries: &'a [SearchRequest],
    /// The filter that keeps the shards of the node's part.
    pub marker_filter: Option<&'a str>,
    /// How deep each query is searched: estimates depend on it.
    pub hits: u64,
    /// Whether totals must be exact.
    pub is_exhaustive: bool,
    /// Facets to count.
    pub facets: Option<&'a [String]>,
}

/// Parameters that decide nothing about which documents are found.
const NOT_COUNTED: [&str; 8] = [
    "attributesToHighlight",
    "attributesToCrop",
    "showMatchesPosition",
    "showRankingScore",
    "showRankingScoreDetails",
    "retrieveVectors",
    "facets",
    "distinct",
];

impl UnionQuestion<'_> {
    /// The body of a node's `POST /multi-search`.
    pub fn node_body(&self) -> Vec<u8> {
        let query = |query: &SearchRequest| {
            let mut parameters = query.node_parameters(self.marker_filter);
            for name in NOT_COUNTED {
                parameters.shift_remove(name);
            }
            parameters.insert("indexUid".to_owned(), self.node_uid.into());
            parameters.insert("attributesToRetrieve".to_owned(), json!([]));
            Value::from(parameters)
        };
        let queries: Vec<Value> = self.queries.iter().map(query).collect();
        let mut federation =
            if self.is_exhaustive { json!({"page": 1, "hitsPerPage": self.hits}) } else { json!({"limit": self.hits}) };
        if let Some(facets) = self.facets {
            federation["facetsByIndex"] = json!({self.node_uid: facets});
        }
        let body = json!({"queries": queries, "federation": federation});
        serde_json::to_vec(&body).expect("a JSON object with text keys can always be written")
    }
}
