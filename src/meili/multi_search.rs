//! `POST /multi-search`: several searches in one request, answered one by one, or as one list of hits (federated).
//!
//! The body is checked as Meilisearch 1.50 checks it, in its order: first everything that the body alone can be wrong in
//! ([`MultiSearch::from_json`]), then what a federated request must not ask for ([`MultiSearch::check_federated`]). Whether
//! results of several queries can be compared at all is the business of [`ranking_rules`].

use serde_json::{Map, Value};

use super::bad_value::{missing_field, parse_json, unexpected, unknown_field, wrong_type};
use super::error::{ApiError, Code};
use super::features::{Feature, Features};
use super::filter::Filter;
use super::index::check_index_uid;
use super::search::{PARAMETERS, restrict};

mod federation;
pub mod ranking_rules;
mod union;

pub use federation::{Federation, FederationOptions, MergeFacets};
pub use union::UnionQuestion;

use ranking_rules::QueryKind;

/// How much vectors count in a hybrid search that does not say.
const SEMANTIC_RATIO_DEFAULT: f64 = 0.5;

/// Parameters that only queries of a list may give as `null`.
const NULLABLE_IN_LIST: [&str; 3] = ["offset", "limit", "showPerformanceDetails"];

/// The whole request.
#[derive(Clone, PartialEq, Debug)]
pub struct MultiSearch {
    /// In the order of the request.
    pub queries: Vec<ListedQuery>,
    /// There when one list of hits is wanted.
    pub federation: Option<Federation>,
}

/// One query of the list.
#[derive(Clone, PartialEq, Debug)]
pub struct ListedQuery {
    /// A valid name; whether there is such an index is not known yet.
    pub index_uid: String,
    /// Checked parameters of a search, nulls left out.
    pub parameters: Map<String, Value>,
    /// What the query says about its part in a federated answer.
    pub options: Option<FederationOptions>,
}

impl MultiSearch {
    /// Reads the body.
    ///
    /// # Errors
    /// As one server: `missing_payload`, `malformed_payload`, `bad_request`, `missing_index_uid`, `invalid_index_uid`,
    /// `invalid_search_...`, `invalid_multi_search_...`.
    pub fn from_json(body: &[u8]) -> Result<Self, ApiError> {
        Self::from_value(parse_json(body)?)
    }

    /// Reads the body.
    ///
    /// # Errors
    /// As [`MultiSearch::from_json`].
    pub fn from_value(body: Value) -> Result<Self, ApiError> {
        const FIELDS: [&str; 2] = ["queries", "federation"];
        let fields = object(Code::BadRequest, "", body)?;
        let (mut queries, mut federation) = (None, None);
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("queries", Value::Array(items)) => {
                    let read = |(place, item)| ListedQuery::read(item, &format!(".queries[{place}]"));
                    queries = Some(items.into_iter().enumerate().map(read).collect::<Result<_, _>>()?);
                }
                ("queries", other) => return Err(wrong_type(Code::BadRequest, ".queries", "an array", &other)),
                ("federation", Value::Null) => {}
                ("federation", value) => federation = Some(Federation::read(value)?),
                _ => return Err(unknown_field(Code::BadRequest, "", &name, &FIELDS)),
            }
        }
        let queries = queries.ok_or_else(|| missing_field(Code::BadRequest, "", "queries"))?;
        Ok(Self { queries, federation })
    }

    /// The same queries with other filters, where there are some.
    #[must_use]
    pub fn with_filters(&self, filters: Vec<Option<Value>>) -> Self {
        let mut changed = self.clone();
        for (query, filter) in changed.queries.iter_mut().zip(filters) {
            query.parameters.extend(filter.map(|filter| ("filter".to_owned(), filter)));
        }
        changed
    }

    /// What is wrong with the queries of a federated request, whatever indexes there are; with the place of the query.
    ///
    /// # Errors
    /// `invalid_search_filter`, `invalid_multi_search_...`, `feature_not_enabled`.
    pub fn check_federated(&self, federation: &Federation) -> Result<(), ApiError> {
        for (place, query) in self.queries.iter().enumerate() {
            query.check_filter().map_err(|error| inside_query(place, &error))?;
        }
        let checks = self.queries.iter().map(|query| query.check_federated(federation));
        checks.enumerate().try_for_each(|(place, check)| check.map_err(|error| inside_query(place, &error)))
    }
}

/// The HTTP status of an error: an index that is not there is the fault of the body, not of the path. With the experimental
/// feature `foreignKeys` one server looks for the indexes of queries in another place, and says 404.
pub fn status_of(error: &ApiError, features: Features) -> u16 {
    let is_of_query = features.has(Feature::ForeignKeys) && !error.message.starts_with(INSIDE_FACETS);
    if error.code == Code::IndexNotFound && !is_of_query { 400 } else { error.status() }
}

/// An error of one query of the list.
pub fn inside_query(place: usize, error: &ApiError) -> ApiError {
    ApiError::new(error.code, format!("Inside `.queries[{place}]`: {}", error.message))
}

/// How errors about facets begin.
const INSIDE_FACETS: &str = "Inside `.federation.facetsByIndex.";

/// An error about the facets of one index. One server mentions it when no query uses the index.
pub fn inside_facets(index_uid: &str, is_used: bool, error: &ApiError) -> ApiError {
    let note = if is_used { String::new() } else { format!("\n - Note: index `{index_uid}` is not used in queries") };
    let message = format!("{INSIDE_FACETS}{index_uid}`: {}{note}", error.message);
    ApiError::new(error.code, message)
}

/// The error of a query that has options of a federation in a request without one.
pub fn options_without_federation() -> ApiError {
    ApiError::new(
        Code::InvalidMultiSearchFederationOptions,
        "Using `federationOptions` is not allowed in a non-federated search.\n - Hint: remove `federationOptions` from the query or add `federation` to the request.",
    )
}

/// The error of a feature that is not there.
fn switched_off(what: &str) -> ApiError {
    let message = format!(
        "{what} requires enabling the `network` experimental feature. See https://github.com/orgs/meilisearch/discussions/805"
    );
    ApiError::new(Code::FeatureNotEnabled, message)
}

impl ListedQuery {
    fn read(value: Value, location: &str) -> Result<Self, ApiError> {
        let mut index_uid = None;
        let mut query = Self { index_uid: String::new(), parameters: Map::new(), options: None };
        for (name, value) in object(Code::BadRequest, location, value)? {
            match name.as_str() {
                "indexUid" => index_uid = Some(read_uid(&value, &format!("{location}.indexUid"))?),
                "federationOptions" if value.is_null() => {}
                "federationOptions" => {
                    query.options = Some(FederationOptions::read(value, &format!("{location}.federationOptions"))?);
                }
                _ => {
                    let parameter = PARAMETERS.iter().find(|parameter| parameter.name == name);
                    let parameter = parameter.ok_or_else(|| unknown_parameter(location, &name))?;
                    let is_nullable = parameter.is_nullable || NULLABLE_IN_LIST.contains(&parameter.name);
                    if !(is_nullable && value.is_null()) {
                        parameter.check(&value, location)?;
                        query.parameters.insert(name, value);
                    }
                }
            }
        }
        query.index_uid = index_uid.ok_or_else(|| missing_field(Code::MissingIndexUid, location, "indexUid"))?;
        Ok(query)
    }

    /// Only documents that this filter lets pass are found, too.
    pub fn restrict(&mut self, rule: &Value) {
        restrict(&mut self.parameters, rule);
    }

    /// What the query searches for, which decides by which rules its hits are ordered.
    pub fn kind(&self) -> QueryKind {
        match self.text() {
            _ if self.is_semantic() && (self.semantic_ratio() >= 1.0 || self.text().trim().is_empty()) => {
                QueryKind::Vector
            }
            "" => QueryKind::Placeholder,
            _ => QueryKind::Words,
        }
    }

    /// Whether vectors have a part in its hits.
    pub fn is_semantic(&self) -> bool {
        let is_searched = !self.text().trim().is_empty() || self.has("vector") || self.has("media");
        self.has("hybrid") && self.semantic_ratio() > 0.0 && is_searched
    }

    /// Whether the vector that it searches by is shown.
    pub fn retrieves_vectors(&self) -> bool {
        self.parameters.get("retrieveVectors") == Some(&Value::Bool(true))
    }

    fn text(&self) -> &str {
        self.parameters.get("q").and_then(Value::as_str).unwrap_or_default()
    }

    fn semantic_ratio(&self) -> f64 {
        let ratio = self.parameters.get("hybrid").and_then(|hybrid| hybrid.get("semanticRatio"));
        ratio.and_then(Value::as_f64).unwrap_or(SEMANTIC_RATIO_DEFAULT)
    }

    /// The texts of a list; none when the query does not have it.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        let items = self.parameters.get(name)?.as_array()?;
        Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// How much the scores of this query count.
    pub fn weight(&self) -> f64 {
        self.options.as_ref().map_or_else(|| FederationOptions::default().weight, |options| options.weight)
    }

    fn has(&self, name: &str) -> bool {
        self.parameters.contains_key(name)
    }

    /// Which documents may be found, as it stands in the request.
    pub fn filter(&self) -> Option<&Value> {
        self.parameters.get("filter")
    }

    /// Whether the filter can be read; one server finds that out before it looks for the index.
    ///
    /// # Errors
    /// `invalid_search_filter`.
    pub fn check_filter(&self) -> Result<(), ApiError> {
        let Some(filter) = self.parameters.get("filter") else { return Ok(()) };
        Filter::parse(filter).map_err(|error| ApiError::new(Code::InvalidSearchFilter, error.to_string()))?;
        Ok(())
    }

    /// Whether the query keeps to one server; one server finds that out before it looks for the index.
    ///
    /// # Errors
    /// `feature_not_enabled`.
    pub fn check_network(&self) -> Result<(), ApiError> {
        if self.has("useNetwork") {
            return Err(switched_off("passing `useNetwork` in a search query"));
        }
        Ok(())
    }

    fn check_federated(&self, federation: &Federation) -> Result<(), ApiError> {
        let refuse = |code, message: &str| Err(ApiError::new(code, message));
        if let Some(name) = ["offset", "limit", "page", "hitsPerPage"].into_iter().find(|name| self.has(name)) {
            let message = format!(
                "Using pagination options is not allowed in federated queries.\n - Hint: remove `{name}` from the query or remove `federation` from the request\n - Hint: pass `federation.limit` and `federation.offset` for pagination in federated search"
            );
            return Err(ApiError::new(Code::InvalidMultiSearchQueryPagination, message));
        }
        if let Some(Value::Array(facets)) = self.parameters.get("facets")
            && !facets.is_empty()
        {
            let facets: Vec<_> = facets.iter().filter_map(Value::as_str).collect();
            let message = format!(
                "Using facet options is not allowed in federated queries.\n - Hint: remove `facets` from the query or remove `federation` from the request\n - Hint: pass `federation.facetsByIndex.{}: {facets:?}` for facets in federated search",
                self.index_uid
            );
            return Err(ApiError::new(Code::InvalidMultiSearchQueryFacets, message));
        }
        if self.has("personalize") {
            return refuse(
                Code::InvalidMultiSearchQueryPersonalization,
                "Using `.personalize` is not allowed in federated queries.\n - Hint: remove `personalize` from the query or remove `federation` from the request\n - Hint: pass `federation.personalize` for personalization in federated search",
            );
        }
        let options = self.options.clone().unwrap_or_default();
        if options.remote.is_some() && self.parameters.get("useNetwork") == Some(&Value::Bool(true)) {
            return refuse(
                Code::InvalidMultiSearchFederationOptions,
                "Using `.useNetwork` is not allowed as the same time as `.federationOptions.remote`.\n  - Hint: to perform an explicit query against a remote, remove `.useNetwork`.\n  - Hint: to automatically perform queries against the entire network, remove `.federationOptions.remote`.",
            );
        }
        if self.has("showPerformanceDetails") {
            return refuse(
                Code::InvalidMultiSearchQueryShowPerformanceDetails,
                "Using `.showPerformanceDetails` is not allowed in federated queries.\n - Hint: remove `showPerformanceDetails` from the query or remove `federation` from the request",
            );
        }
        if self.has("distinct") && federation.distinct.is_some() {
            return refuse(
                Code::InvalidMultiSearchDistinct,
                "Using `distinct` options is not allowed in federated queries when it also appears in `.federation.distinct`.\n - Hint: remove `distinct` from the query or remove `federation` from the request\n  - Note: `distinct` at the query level is discouraged in federated search.",
            );
        }
        self.check_network()?;
        if options.remote.is_some() {
            return Err(switched_off("Performing a remote federated search"));
        }
        if options.query_position.is_some() {
            return Err(switched_off("Using `federationOptions.queryPosition`"));
        }
        Ok(())
    }
}

/// The error about a name that no parameter of a query has.
fn unknown_parameter(location: &str, name: &str) -> ApiError {
    let parameters = PARAMETERS.iter().map(|parameter| parameter.name);
    let names: Vec<&str> = std::iter::once("indexUid").chain(parameters).chain(["federationOptions"]).collect();
    unknown_field(Code::BadRequest, location, name, &names)
}

fn object(code: Code, location: &str, value: Value) -> Result<Map<String, Value>, ApiError> {
    if let Value::Object(fields) = value {
        return Ok(fields);
    }
    Err(wrong_type(code, location, "an object", &value))
}

fn read_uid(value: &Value, location: &str) -> Result<String, ApiError> {
    let text = value.as_str().ok_or_else(|| wrong_type(Code::InvalidIndexUid, location, "a string", value))?;
    check_index_uid(text).map_err(|error| unexpected(error.code, location, &error.message))?;
    Ok(text.to_owned())
}

fn read_count(code: Code, location: &str, value: &Value) -> Result<u64, ApiError> {
    value.as_u64().ok_or_else(|| wrong_type(code, location, "a positive integer", value))
}

fn read_text(code: Code, location: &str, value: &Value) -> Result<String, ApiError> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong_type(code, location, "a string", value))
}

#[cfg(test)]
mod tests;
