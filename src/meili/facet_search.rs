//! A search in the values of a facet, as a client asks for it and as a node is asked for its part.
//!
//! Checked as Meilisearch 1.50 checks it: fields that it does not know are ignored, the others are those of a search.

use serde_json::{Map, Value, json};

use super::bad_value::{missing_field, parse_json, wrong_type};
use super::error::{ApiError, Code};
use super::filter::node_form;
use super::filterable::{check_facet_search, rules_of_settings};
use super::hidden_distinct;
use super::search::{
    Displayed, PARAMETERS, Parameter, Shape, check_filter, fixed, join_filters, nullable, refuse_marker, restrict,
};
use super::settings::Object;

/// Those of its own.
static OWN: [Parameter; 3] = [
    nullable("facetQuery", Shape::Text, Code::InvalidFacetSearchQuery),
    fixed("facetName", Shape::Text, Code::InvalidFacetSearchFacetName),
    nullable("exhaustiveFacetCount", Shape::Boolean, Code::InvalidFacetSearchExhaustiveFacetCount),
];

/// Those of a search that it has, too: they choose the documents.
const OF_SEARCH: [&str; 10] = [
    "q",
    "vector",
    "media",
    "hybrid",
    "filter",
    "matchingStrategy",
    "attributesToSearchOn",
    "rankingScoreThreshold",
    "locales",
    "useNetwork",
];

/// A checked search in the values of a facet.
#[derive(Clone, PartialEq, Debug)]
pub struct FacetSearchRequest {
    /// As sent, nulls and what is not known left out.
    parameters: Map<String, Value>,
    /// Attributes that the filter denies and that no node knows.
    unknown: Vec<String>,
}

impl FacetSearchRequest {
    /// Reads the body of `POST /indexes/{uid}/facet-search`.
    ///
    /// # Errors
    /// As one server.
    pub fn from_json(body: &[u8]) -> Result<Self, ApiError> {
        Self::from_value(parse_json(body)?)
    }

    /// The same from a body that was read.
    ///
    /// # Errors
    /// As one server.
    pub fn from_value(body: Value) -> Result<Self, ApiError> {
        let Value::Object(fields) = body else { return Err(wrong_type(Code::BadRequest, "", "an object", &body)) };
        let mut parameters = Map::new();
        for (name, value) in fields {
            let of_search = PARAMETERS.iter().filter(|parameter| OF_SEARCH.contains(&parameter.name));
            let Some(parameter) = OWN.iter().chain(of_search).find(|parameter| parameter.name == name) else {
                continue;
            };
            if parameter.is_nullable && value.is_null() {
                continue;
            }
            parameter.check(&value, "")?;
            parameters.insert(name, value);
        }
        if !parameters.contains_key("facetName") {
            return Err(missing_field(Code::MissingFacetSearchFacetName, "", "facetName"));
        }
        if parameters.contains_key("useNetwork") {
            let message = "passing `useNetwork` in a search query requires enabling the `network` experimental feature. See \
                           https://github.com/orgs/meilisearch/discussions/805";
            return Err(ApiError::new(Code::FeatureNotEnabled, message));
        }
        Ok(Self { parameters, unknown: Vec::new() })
    }

    /// Only documents that this filter lets pass count, too.
    pub fn restrict(&mut self, rule: &Value) {
        restrict(&mut self.parameters, rule);
    }

    /// The facet.
    pub fn facet(&self) -> &str {
        self.parameters.get("facetName").and_then(Value::as_str).unwrap_or_default()
    }

    /// What its values are searched for.
    pub fn facet_query(&self) -> Option<&str> {
        self.parameters.get("facetQuery").and_then(Value::as_str)
    }

    /// The search that chooses the documents.
    pub fn search(&self) -> Map<String, Value> {
        let of_search = self.parameters.iter().filter(|(name, _)| OF_SEARCH.contains(&name.as_str()));
        of_search.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Whether the documents are counted as for a page, which is exact under `distinct` and a score threshold, too.
    pub fn is_exhaustive(&self) -> bool {
        self.parameters.get("exhaustiveFacetCount") == Some(&Value::Bool(true))
    }

    /// What decides which replicas answer.
    pub fn identity(&self) -> Vec<Vec<u8>> {
        let text = |name: &&str| self.parameters.get(*name).map(|value| value.to_string().into_bytes());
        ["q", "filter", "facetName"].iter().map(|name| text(name).unwrap_or_default()).collect()
    }

    /// Whether every document that matches query and filter is counted: then one more filter counts a part of them.
    pub fn counts_all_that_match(&self) -> bool {
        !self.parameters.contains_key("rankingScoreThreshold")
    }

    /// What is checked once the index is known to exist: the filter, and reserved names.
    ///
    /// # Errors
    /// As one server; `miroir_reserved_field`.
    pub fn check(&self, user: &Object) -> Result<(), ApiError> {
        let has = |name: &str| self.parameters.contains_key(name);
        if has("vector") && has("media") {
            let message = "Invalid request: both `media` and `vector` parameters are present.";
            return Err(ApiError::new(Code::InvalidSearchMediaAndVector, message));
        }
        if (has("vector") || has("media")) && !has("hybrid") {
            let message = "Invalid request: missing `hybrid` parameter when `vector` or `media` are present.";
            return Err(ApiError::new(Code::MissingSearchHybrid, message));
        }
        refuse_marker("facetName", self.facet())?;
        let attributes = self.parameters.get("attributesToSearchOn").and_then(Value::as_array);
        for attribute in attributes.into_iter().flatten().filter_map(Value::as_str) {
            refuse_marker("attributesToSearchOn", attribute)?;
        }
        let filter = self.parameters.get("filter");
        if let Some(filter) = filter {
            check_filter(filter, Code::InvalidSearchFilter)?;
        }
        filter.map_or(Ok(()), |filter| hidden_distinct::check_filter(user, filter, Code::InvalidSearchFilter))
    }

    /// Whether the user's rules let this facet be searched. One server looks at this last of all.
    ///
    /// # Errors
    /// `invalid_facet_search_facet_name`.
    pub fn check_facet(&self, user: &Object) -> Result<(), ApiError> {
        check_facet_search(&rules_of_settings(user), &Displayed::from_settings(user), self.facet())
    }

    /// The filter, as sent.
    pub fn filter(&self) -> Option<&Value> {
        self.parameters.get("filter")
    }

    /// The same search with another filter.
    #[must_use]
    pub fn with_filter(mut self, filter: Value) -> Self {
        self.parameters.insert("filter".to_owned(), filter);
        self
    }

    /// The same search, when these attributes are in no document.
    #[must_use]
    pub fn with_unknown(&self, unknown: Vec<String>) -> Self {
        Self { unknown, ..self.clone() }
    }

    /// The body that makes a node say what is wrong with the client's request: as sent, without the marker.
    pub fn explain_body(&self) -> Vec<u8> {
        serde_json::to_vec(&self.parameters).expect("a JSON object with text keys can always be written")
    }

    /// The body for a node, with filters of ours beside the client's.
    pub fn node_body<'a>(&self, filters: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
        let mut body = self.parameters.clone();
        let user = body.shift_remove("filter").map(|filter| node_form(filter, &self.unknown));
        if let Some(filter) = filters.into_iter().fold(user, |joined, ours| Some(join_filters(joined, ours))) {
            body.insert("filter".to_owned(), filter);
        }
        serde_json::to_vec(&body).expect("a JSON object with text keys can always be written")
    }

    /// The answer to the client: values with their counts.
    pub fn answer(&self, hits: &[(&str, u64)], processing_time_ms: u64, is_degraded: bool) -> Vec<u8> {
        let hits: Vec<Value> = hits.iter().map(|(value, count)| json!({"value": value, "count": count})).collect();
        let mut answer = json!({
            "facetHits": hits, "facetQuery": self.facet_query(), "processingTimeMs": processing_time_ms,
        });
        if is_degraded {
            answer["degraded"] = json!(true);
        }
        serde_json::to_vec(&answer).expect("a JSON object with text keys can always be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &Value) -> Option<(Code, String)> {
        let read = FacetSearchRequest::from_json(body.to_string().as_bytes());
        let checked = read.and_then(|request| request.check(&Object::new()));
        checked.err().map(|error| (error.code, error.message))
    }

    #[test]
    fn what_is_wrong_is_said_as_one_server_says_it() {
        for (body, code, message) in [
            (json!({}), Code::MissingFacetSearchFacetName, "Missing field `facetName`"),
            (
                json!({"facetName": null}),
                Code::InvalidFacetSearchFacetName,
                "Invalid value type at `.facetName`: expected a string, but found null",
            ),
            (
                json!({"facetQuery": 3, "facetName": "dog"}),
                Code::InvalidFacetSearchQuery,
                "Invalid value type at `.facetQuery`: expected a string, but found a positive integer: `3`",
            ),
            (
                json!({"q": 3}),
                Code::InvalidSearchQ,
                "Invalid value type at `.q`: expected a string, but found a positive integer: `3`",
            ),
            (
                json!({"facetName": "dog", "exhaustiveFacetCount": "x"}),
                Code::InvalidFacetSearchExhaustiveFacetCount,
                "Invalid value type at `.exhaustiveFacetCount`: expected a boolean, but found a string: `\"x\"`",
            ),
            (
                json!({"facetName": "dog", "vector": [1]}),
                Code::MissingSearchHybrid,
                "Invalid request: missing `hybrid` parameter when `vector` or `media` are present.",
            ),
            (
                json!({"facetName": "dog", "filter": "num >"}),
                Code::InvalidSearchFilter,
                "Was expecting a value but instead got nothing.\n6:6 num >",
            ),
            (
                json!({"facetName": "_miroir.x"}),
                Code::MiroirReservedField,
                "`_miroir` is reserved by Miroir and cannot be used in `facetName`.",
            ),
        ] {
            assert_eq!(error(&body), Some((code, message.to_owned())), "{body}");
        }
        for body in [
            json!({"facetName": "dog", "facetQuery": null, "limit": "x", "sort": [3], "useNetwork": null}),
            json!({"facetName": "dog", "filter": null, "hybrid": {"embedder": "x"}, "vector": [1.5]}),
        ] {
            assert_eq!(error(&body), None, "{body}");
        }
        assert_eq!(
            error(&json!({"facetName": "dog", "filter": "_miroir = a"})).map(|error| error.0),
            Some(Code::MiroirReservedField)
        );
    }

    #[test]
    fn nodes_get_what_was_asked_with_all_filters_and_nothing_that_is_not_known() {
        let body =
            json!({"facetName": "dog", "limit": 3, "facetQuery": "a", "filter": ["x = 1", ["y = 1"]], "q": null});
        let request = FacetSearchRequest::from_json(body.to_string().as_bytes()).expect("a valid request");
        let sent: Value = serde_json::from_slice(&request.node_body(["m", "n"])).expect("JSON");
        assert_eq!(sent, json!({"facetName": "dog", "facetQuery": "a", "filter": ["x = 1", ["y = 1"], "m", "n"]}));
        assert_eq!(
            String::from_utf8(request.answer(&[("Rex", 2)], 7, false)).expect("UTF-8"),
            r#"{"facetHits":[{"value":"Rex","count":2}],"facetQuery":"a","processingTimeMs":7}"#
        );
    }
}
