//! A question for similar documents as a client asks it, checked as Meilisearch 1.50 checks it.

use serde_json::{Map, Value, json};

use super::bad_value::{parse_json, unexpected};
use super::error::{ApiError, Code};
use super::filter::node_form;
use super::hidden_distinct;
use super::query_string::QueryString;
use super::search::{
    Displayed, Parameter, Retrieved, Shape, check_filter, fixed, join_filters, nullable, read_body, refuse_marker,
    restrict, value_of,
};
use super::settings::{Object, dimensions_of_embedder, display};

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
    /// What a tenant token lets pass: of the document that is asked about, too.
    rule: Option<Value>,
    /// Attributes that the filter denies and that no document has.
    unknown: Vec<String>,
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
        Ok(Self { parameters, rule: None, unknown: Vec::new() })
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
        Ok(Self { parameters, rule: None, unknown: Vec::new() })
    }

    /// Only documents that this filter lets pass are found, or can be asked about.
    pub fn restrict(&mut self, rule: &Value) {
        restrict(&mut self.parameters, rule);
        self.rule = Some(rule.clone());
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

    /// What a tenant token lets pass.
    pub fn rule(&self) -> Option<&Value> {
        self.rule.as_ref()
    }

    /// The same question with another filter, or another rule, where there is one.
    #[must_use]
    pub fn with_filters(mut self, filter: Option<Value>, rule: Option<Value>) -> Self {
        self.parameters.extend(filter.map(|filter| ("filter".to_owned(), filter)));
        self.rule = rule.or(self.rule);
        self
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

    /// The same question, when these attributes are in no document.
    #[must_use]
    pub fn with_unknown(&self, unknown: Vec<String>) -> Self {
        Self { unknown, ..self.clone() }
    }

    /// `retrieveVectors`, `showRankingScore`, `showRankingScoreDetails` or `showPerformanceDetails`.
    pub fn is_set(&self, name: &str) -> bool {
        self.parameters.get(name) == Some(&Value::Bool(true))
    }

    /// What is checked once the index is known to exist.
    ///
    /// # Errors
    /// `invalid_similar_embedder`, `invalid_similar_filter`, `miroir_reserved_field`; `miroir_not_supported` where searches do
    /// not go by vectors.
    pub fn check(&self, user: &Object) -> Result<(), ApiError> {
        let embedder = self.embedder();
        if dimensions_of_embedder(user, embedder).is_none() {
            let message = format!("Cannot find embedder with name `{embedder}`.");
            return Err(ApiError::new(Code::InvalidSimilarEmbedder, message));
        }
        for attribute in self.attributes_to_retrieve().unwrap_or_default() {
            refuse_marker("attributesToRetrieve", attribute)?;
        }
        if let Some(filter) = self.filter() {
            check_filter(filter, Code::InvalidSimilarFilter)?;
            hidden_distinct::check_filter(user, filter, Code::InvalidSimilarFilter)?;
        }
        if !rules_of(user).any(|rule| !rule.contains(':')) {
            let message = "Miroir does not support similar documents where no ranking rule is about words.";
            return Err(ApiError::new(Code::MiroirNotSupported, message));
        }
        Ok(())
    }

    /// Whether a search by a vector finds what is near first: no values of documents come before.
    pub fn finds_near_first(user: &Object) -> bool {
        rules_of(user).next().is_some_and(|first| !first.contains(':'))
    }

    /// The body of a node's `POST /documents/fetch` for the vectors of a document.
    pub fn fetch_body(&self, id: &str) -> Vec<u8> {
        let mut body = json!({"ids": [id], "limit": 1, "fields": ["_vectors"], "retrieveVectors": true});
        if let Some(rule) = &self.rule {
            body["filter"] = node_form(rule.clone(), &self.unknown);
        }
        body.to_string().into_bytes()
    }

    /// The body of a node's `POST /documents/fetch` that tells whether the filter finds a document; none without a filter.
    pub fn found_body(&self, id: &str) -> Option<Vec<u8>> {
        let filter = node_form(self.filter()?.clone(), &self.unknown);
        Some(json!({"ids": [id], "limit": 0, "filter": filter}).to_string().into_bytes())
    }

    /// The body of a node's `POST /documents/fetch` that makes it say what is wrong with the filter.
    pub fn explain_body(&self) -> Vec<u8> {
        json!({"limit": 0, "filter": self.filter()}).to_string().into_bytes()
    }

    /// The body of a node's `POST /search` for its first documents near to a vector.
    pub fn node_body(
        &self,
        displayed: &Displayed,
        primary_key: &str,
        vector: &Value,
        first_hits: u64,
        marker_filter: Option<&str>,
    ) -> Vec<u8> {
        let mut body = self.filtered(marker_filter);
        for name in ["attributesToRetrieve", "retrieveVectors", "showRankingScore"] {
            if let Some(value) = self.parameters.get(name) {
                body.insert(name.to_owned(), value.clone());
            }
        }
        displayed.restrict(&mut body);
        Retrieved::add(&mut body, &[primary_key]);
        body.insert("hybrid".to_owned(), json!({"embedder": self.embedder(), "semanticRatio": 1.0}));
        body.insert("vector".to_owned(), vector.clone());
        body.insert("limit".to_owned(), first_hits.into());
        body.insert("showRankingScoreDetails".to_owned(), true.into());
        Value::Object(body).to_string().into_bytes()
    }

    /// The body of a node's `POST /search` that counts what may be found.
    pub fn count_body(&self, marker_filter: Option<&str>) -> Vec<u8> {
        let mut body = self.filtered(marker_filter);
        body.insert("limit".to_owned(), 0.into());
        Value::Object(body).to_string().into_bytes()
    }

    fn filtered(&self, marker_filter: Option<&str>) -> Map<String, Value> {
        let user = self.filter().cloned().map(|filter| node_form(filter, &self.unknown));
        let filter = marker_filter.map_or(user.clone(), |ours| Some(join_filters(user, ours)));
        filter.into_iter().map(|filter| ("filter".to_owned(), filter)).collect()
    }

    /// What a node's hits hold beside what the client gets of them.
    pub fn retrieved(&self, displayed: &Displayed, primary_key: &str) -> Retrieved {
        let mut parameters = self.parameters.clone();
        displayed.restrict(&mut parameters);
        Retrieved::add(&mut parameters, &[primary_key])
    }
}

/// The ranking rules that have a say: nobody sorts similar documents.
fn rules_of(user: &Object) -> impl Iterator<Item = String> {
    let rules = match display(user)["rankingRules"].take() {
        Value::Array(rules) => rules,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Vec::new(),
    };
    rules.into_iter().filter_map(|rule| rule.as_str().map(str::to_owned)).filter(|rule| rule != "sort")
}
