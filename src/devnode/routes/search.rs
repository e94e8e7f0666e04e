//! `/indexes/{uid}/search` and `/indexes/{uid}/facet-search`.

use serde_json::{Map, Value};

use super::documents::with_vectors;
use super::params::{Params, check_uid};
use super::{Node, body};
use crate::devnode::engine::{FacetSearchQuery, SearchQuery};
use crate::devnode::http::{Request, Response};
use crate::meili::error::{ApiError, Code};
use crate::telemetry::clock;

/// Parameters of a search by GET, in the order in which Meilisearch names them.
const PARAMETERS: &[&str] = &[
    "q",
    "offset",
    "limit",
    "page",
    "hitsPerPage",
    "attributesToRetrieve",
    "attributesToCrop",
    "cropLength",
    "cropMarker",
    "attributesToHighlight",
    "highlightPreTag",
    "highlightPostTag",
    "showMatchesPosition",
    "filter",
    "sort",
    "distinct",
    "facets",
    "matchingStrategy",
    "attributesToSearchOn",
    "rankingScoreThreshold",
    "locales",
    "hybridEmbedder",
    "hybridSemanticRatio",
    "vector",
    "retrieveVectors",
    "personalizeUserContext",
    "useNetwork",
    "showRankingScore",
    "showRankingScoreDetails",
    "showPerformanceDetails",
];

/// `GET` and `POST /indexes/{uid}/search`.
pub fn search(node: &Node, uid: &str, request: Request) -> Result<Response, ApiError> {
    let started = clock::instant();
    let uid = check_uid(uid)?;
    let body = if request.method == "GET" { from_parameters(&request.query)? } else { body::object(request)? };
    let vectors = body.get("retrieveVectors") == Some(&Value::Bool(true));
    let query = SearchQuery::from_json(&body)?;
    let index = node.indexes.get(uid)?;
    let mut result = index.read().engine.search(&query)?;
    for hit in &mut result.hits {
        hit.fields = with_vectors(std::mem::take(&mut hit.fields), vectors);
    }
    Ok(Response::json(200, &result.to_json(started.elapsed().as_millis() as u64)))
}

/// A search by GET as the body of a search by POST.
fn from_parameters(query: &str) -> Result<Map<String, Value>, ApiError> {
    let params = Params::parse(query, PARAMETERS)?;
    let mut body = Map::new();
    for name in PARAMETERS {
        let Some(text) = params.text(name) else { continue };
        let value = match *name {
            "offset" | "limit" | "page" | "hitsPerPage" | "cropLength" => {
                let code = match *name {
                    "offset" => Code::InvalidSearchOffset,
                    "limit" => Code::InvalidSearchLimit,
                    "page" => Code::InvalidSearchPage,
                    "hitsPerPage" => Code::InvalidSearchHitsPerPage,
                    _ => Code::InvalidSearchCropLength,
                };
                Value::from(params.number(name, code)?)
            }
            "retrieveVectors"
            | "showMatchesPosition"
            | "showRankingScore"
            | "showRankingScoreDetails"
            | "showPerformanceDetails"
            | "useNetwork" => {
                let code = match *name {
                    "retrieveVectors" => Code::InvalidSearchRetrieveVectors,
                    "showMatchesPosition" => Code::InvalidSearchShowMatchesPosition,
                    "showRankingScore" => Code::InvalidSearchShowRankingScore,
                    "showRankingScoreDetails" => Code::InvalidSearchShowRankingScoreDetails,
                    "showPerformanceDetails" => Code::InvalidSearchShowPerformanceDetails,
                    _ => Code::InvalidSearchUseNetwork,
                };
                Value::from(params.boolean(name, code)?)
            }
            "attributesToRetrieve"
            | "attributesToCrop"
            | "attributesToHighlight"
            | "facets"
            | "attributesToSearchOn"
            | "locales" => Value::from(text.split(',').collect::<Vec<_>>()),
            "sort" => Value::from(super::documents::split_sort(text)),
            "filter" => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
            "rankingScoreThreshold" => {
                let reason = || {
                    format!(
                        "Invalid value in parameter `{name}`: the value of `rankingScoreThreshold` is invalid, \
                         expected a float between `0.0` and `1.0`."
                    )
                };
                let threshold: f64 =
                    text.parse().map_err(|_| ApiError::new(Code::InvalidSearchRankingScoreThreshold, reason()))?;
                Value::from(threshold)
            }
            "hybridEmbedder" | "hybridSemanticRatio" | "vector" | "personalizeUserContext" => {
                let message = format!("The embedded development node does not have `{name}`.");
                return Err(ApiError::new(Code::MiroirNotSupported, message));
            }
            _ => Value::from(text),
        };
        body.insert((*name).to_owned(), value);
    }
    Ok(body)
}

/// `POST /indexes/{uid}/facet-search`.
pub fn facet_search(node: &Node, uid: &str, request: Request) -> Result<Response, ApiError> {
    let started = clock::instant();
    let uid = check_uid(uid)?;
    let mut body = body::object(request)?;
    let facet_name = body::text(&body, "facetName", Code::InvalidFacetSearchFacetName)?
        .ok_or_else(|| ApiError::new(Code::MissingFacetSearchFacetName, "Missing field `facetName`"))?;
    let facet_query = body::text(&body, "facetQuery", Code::InvalidFacetSearchQuery)?;
    body.shift_remove("facetName");
    body.shift_remove("facetQuery");
    body.shift_remove("exhaustiveFacetCount");
    let query = FacetSearchQuery { facet_name, facet_query, search: SearchQuery::from_json(&body)? };
    let index = node.indexes.get(uid)?;
    let mut answer = index.read().engine.facet_search(&query)?;
    answer.insert("processingTimeMs".to_owned(), Value::from(started.elapsed().as_millis() as u64));
    Ok(Response::json(200, &answer))
}
