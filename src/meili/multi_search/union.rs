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
const NOT_COUNTED: [&str; 9] = [
    "attributesToHighlight",
    "attributesToCrop",
    "showMatchesPosition",
    "showRankingScore",
    "showRankingScoreDetails",
    "retrieveVectors",
    "facets",
    "distinct",
    "sort",
];

/// Finds everything, as no text does. To a federated search it is a text, whose rules can be compared with those of others,
/// although nodes sort ties by a rule of their own.
const EVERYTHING: &str = " ";

const STRATEGY: &str = "matchingStrategy";

impl UnionQuestion<'_> {
    /// The body of a node's `POST /multi-search`.
    pub fn node_body(&self) -> Vec<u8> {
        let strategy = self.strategy();
        let query = |query: &SearchRequest| {
            let mut parameters = query.node_parameters(self.marker_filter);
            for name in NOT_COUNTED {
                parameters.shift_remove(name);
            }
            let ratio = parameters.get("hybrid").map(|hybrid| hybrid["semanticRatio"].as_f64());
            let is_by_vector = ratio.is_some_and(|ratio| ratio != Some(0.0)) && parameters.contains_key("vector");
            if query.text().is_empty() && !is_by_vector {
                parameters.retain(|name, _| !matches!(name.as_str(), "hybrid" | "vector"));
                parameters.insert("q".to_owned(), EVERYTHING.into());
                // Which rules there are goes by the strategy.
                parameters.shift_remove(STRATEGY);
                parameters.extend(strategy.clone().map(|strategy| (STRATEGY.to_owned(), strategy)));
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

impl UnionQuestion<'_> {
    /// How the first query for words leaves some of them out, if it says so.
    fn strategy(&self) -> Option<Value> {
        let first = self.queries.iter().find(|query| !query.text().is_empty())?;
        first.node_parameters(None).shift_remove(STRATEGY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_asked_so_that_their_rules_can_be_compared() {
        let read = |body: Value| SearchRequest::from_json(body.to_string().as_bytes()).expect("a valid search");
        let hybrid = |ratio: f64| json!({"embedder": "e", "semanticRatio": ratio});
        let queries = [
            read(json!({"q": "cat", "sort": ["a:desc"], "filter": "a = 1", "matchingStrategy": "all"})),
            read(json!({"facets": ["a"], "matchingStrategy": "last"})),
            read(json!({"hybrid": hybrid(0.5)})),
            read(json!({"hybrid": hybrid(0.0), "vector": [1]})),
            read(json!({"hybrid": hybrid(0.5), "vector": [1]})),
        ];
        let question = UnionQuestion {
            node_uid: "m-1",
            queries: &queries,
            marker_filter: None,
            hits: 20,
            is_exhaustive: false,
            facets: None,
        };
        let body: Value = serde_json::from_slice(&question.node_body()).expect("JSON");
        let found = body["queries"].as_array().expect("a list");
        let texts: Vec<&Value> = found.iter().map(|query| &query["q"]).collect();
        assert_eq!(texts, [&json!("cat"), &json!(" "), &json!(" "), &json!(" "), &Value::Null]);
        assert_eq!((&found[1][STRATEGY], &found[2][STRATEGY]), (&json!("all"), &json!("all")));
        let are_by_vector: Vec<bool> = found.iter().map(|query| query.get("hybrid").is_some()).collect();
        assert_eq!(are_by_vector, [false, false, false, false, true]);
        assert_eq!(found[0]["filter"], "a = 1");
        assert!(found.iter().all(|query| query.get("sort").is_none() && query.get("facets").is_none()));
    }
}
