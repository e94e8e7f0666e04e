//! A question for similar documents as a client asks it, checked as Meilisearch 1.50 checks it.

use serde_json::{Map, Value};

use super::bad_value::{parse_json, unexpected};
use super::error::{ApiError, Code};
use super::query_string::QueryString;
use super::search::{Parameter, Shape, fixed, nullable, read_body, value_of};

/// All parameters, in the order of error messages about a body.
static PARAMETERS: [Parameter; 11] = [
    fixed("id", Shape::Anything, Code::InvalidSimilarId),
    fixed("offset", Shape::PositiveInteger, Code::InvalidSimilarOffset),
    fixed("limit", Shape::PositiveInteger, Code::InvalidSimilarLimit),
    nullable("filter", Shape::Anything, Code::InvalidSimilarFilter),
    fixed("embedder", Shape::Text, Code::InvalidSimilarEmbedder),
    nullable("attributesToRetrieve", Shape::Texts, Code::InvalidSimilarAttributesToRetrieve),
    fixed("retrieveVectors", Shape::Boolean, Code::InvalidSimilarRetrieveVectors),
    fixed("showRankingScore", Shape::Boolean, Code::InvalidSimilarShowRankingScore),
    fixed("showRankingScoreDetails", Shape::Boolean, Code::InvalidSimilarShowRankingScoreDetails),
    fixed("showPerformanceDetails", Shape::Boolean, Code::InvalidSimilarShowPerformanceDetails),
    nullable("rankingScoreThreshold", Shape::Threshold, Code::InvalidSimilarRankingScoreThreshold),
];

/// The names in a query string, in the order of error messages.
const NAMES_IN_QUERY: [&str; 11] = [
    "id",
    "embedder",
    "offset",
    "limit",
    "attributesToRetrieve",
    "retrieveVectors",
    "filter",
    "showRankingScore",
    "showRankingScoreDetails",
    "showPerformanceDetails",
    "rankingScoreThreshold",
];

/// A checked question.
#[derive(Clone, PartialEq, Debug)]
pub struct SimilarRequest {
    /// As sent, nulls left out; GET parameters in the types of POST.
    parameters: Map<String, Value>,
}

impl SimilarRequest {
    /// Reads the body of `POST /indexes/{uid}/similar`.
    ///
    /// # Errors
    /// As one server.
    pub fn from_json(body: &[u8]) -> Result<Self, ApiError> {
        Self::from_value(parse_json(body)?)
    }

    /// Reads a body that is JSON.
    ///
    /// # Errors
    /// As one server.
    pub fn from_value(body: Value) -> Result<Self, ApiError> {
        let parameters = read_body(body, &PARAMETERS)?;
        for name in ["id", "embedder"] {
            if !parameters.contains_key(name) {
                return Err(ApiError::new(Code::BadRequest, format!("Missing field `{name}`")));
            }
        }
        Ok(Self { parameters })
    }

    /// Reads the query string of `GET /indexes/{uid}/similar`.
    ///
    /// # Errors
    /// As one server.
    pub fn from_query(query: &str) -> Result<Self, ApiError> {
        let query = QueryString::parse(query, &NAMES_IN_QUERY)?;
        let mut parameters = Map::new();
        for name in NAMES_IN_QUERY {
            let parameter = PARAMETERS.iter().find(|parameter| parameter.name == name).expect("names of the table");
            let Some(text) = query.get(name) else { continue };
            let value = if name == "id" { Value::from(text) } else { value_of(parameter, text)? };
            parameters.insert(name.to_owned(), value);
        }
        for name in ["id", "embedder"] {
            if !parameters.contains_key(name) {
                return Err(ApiError::new(Code::BadRequest, format!("Missing parameter `{name}`")));
            }
        }
        Ok(Self { parameters })
    }

    /// The canonical id of the document. Asked for when index, embedder and filter are known to be right.
    ///
    /// # Errors
    /// `invalid_similar_id`.
    pub fn id(&self) -> Result<String, ApiError> {
        let allowed = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '_';
        match &self.parameters["id"] {
            Value::String(id) if (1..512).contains(&id.len()) && id.chars().all(allowed) => Ok(id.clone()),
            Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
            value @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_)) => Err(unexpected(
                Code::InvalidSimilarId,
                ".id",
                &format!(
                    "Document identifier `{value}` is invalid. A document identifier can be of type integer or string, only \
                     composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores (_), and can not be \
                     more than 511 bytes."
                ),
            )),
        }
    }

    /// By whose vectors.
    pub fn embedder(&self) -> &str {
        self.parameters["embedder"].as_str().unwrap_or_default()
    }

    /// Hits to skip.
    pub fn offset(&self) -> u64 {
        self.parameters.get("offset").and_then(Value::as_u64).unwrap_or(0)
    }

    /// Hits to return.
    pub fn limit(&self) -> u64 {
        self.parameters.get("limit").and_then(Value::as_u64).unwrap_or(20)
    }

    /// Which documents may be found, as it stands in the request.
    pub fn filter(&self) -> Option<&Value> {
        self.parameters.get("filter")
    }

    /// Hits with a lower score are left out.
    pub fn threshold(&self) -> Option<f64> {
        self.parameters.get("rankingScoreThreshold").and_then(Value::as_f64)
    }

    /// Only these attributes; `None` is all.
    pub fn attributes_to_retrieve(&self) -> Option<Vec<&str>> {
        let list = self.parameters.get("attributesToRetrieve")?.as_array()?;
        Some(list.iter().filter_map(Value::as_str).collect())
    }

    /// `retrieveVectors`, `showRankingScore`, `showRankingScoreDetails` or `showPerformanceDetails`.
    pub fn is_set(&self, name: &str) -> bool {
        self.parameters.get(name) == Some(&Value::Bool(true))
    }
}
