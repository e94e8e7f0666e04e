//! `POST /multi-search`: several searches in one request, answered one by one, or as one list of hits (federated).
//!
//! The body is checked as Meilisearch 1.50 checks it, in its order: first everything that the body alone can be wrong in
//! ([`MultiSearch::from_json`]), then what a federated request must not ask for ([`MultiSearch::check_federated`]). Whether
//! results of several queries can be compared at all is the business of [`ranking_rules`].

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::bad_value::{missing_field, parse_json, unexpected, unknown_field, wrong_type};
use super::error::{ApiError, Code};
use super::filter::Filter;
use super::index::check_index_uid;
use super::search::{PARAMETERS, Paging, Parameter};

pub mod ranking_rules;

/// Weight of a query that says none.
const WEIGHT_DEFAULT: f64 = 1.0;

/// Hits of a federated answer, or of its pages, when the request does not say.
const LIMIT_DEFAULT: u64 = 20;

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

/// `federationOptions`.
#[derive(Clone, PartialEq, Debug)]
pub struct FederationOptions {
    /// Not negative.
    pub weight: f64,
    /// A server of a network.
    pub remote: Option<String>,
    /// Another place in the list than the query has.
    pub query_position: Option<u64>,
}

impl Default for FederationOptions {
    fn default() -> Self {
        Self { weight: WEIGHT_DEFAULT, remote: None, query_position: None }
    }
}

/// `federation`.
#[derive(Clone, PartialEq, Debug)]
pub struct Federation {
    /// Which hits of the whole list.
    pub paging: Paging,
    /// Facets to count; `None` is a null in the request.
    pub facets_by_index: BTreeMap<String, Option<Vec<String>>>,
    /// There when the facets of all indexes are wanted as one.
    pub merge_facets: Option<MergeFacets>,
    /// Each value of this attribute once, over all queries.
    pub distinct: Option<String>,
    /// Whether the answer says how long its parts took.
    pub shows_performance: bool,
    /// Whether hits are to be ordered for a person.
    pub is_personalized: bool,
}

/// `federation.mergeFacets`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MergeFacets {
    /// Values of each facet after the merge; none: as many as there are.
    pub max_values_per_facet: Option<u64>,
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

/// The HTTP status of an error: an index that is not there is the fault of the body, not of the path.
pub fn status_of(error: &ApiError) -> u16 {
    if error.code == Code::IndexNotFound { 400 } else { error.status() }
}

/// An error of one query of the list.
pub fn inside_query(place: usize, error: &ApiError) -> ApiError {
    ApiError::new(error.code, format!("Inside `.queries[{place}]`: {}", error.message))
}

/// An error about the facets of one index. One server mentions it when no query uses the index.
pub fn inside_facets(index_uid: &str, is_used: bool, error: &ApiError) -> ApiError {
    let note = if is_used { String::new() } else { format!("\n - Note: index `{index_uid}` is not used in queries") };
    let message = format!("Inside `.federation.facetsByIndex.{index_uid}`: {}{note}", error.message);
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

    /// How much the scores of this query count.
    pub fn weight(&self) -> f64 {
        self.options.as_ref().map_or(WEIGHT_DEFAULT, |options| options.weight)
    }

    fn has(&self, name: &str) -> bool {
        self.parameters.contains_key(name)
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

impl FederationOptions {
    fn read(value: Value, location: &str) -> Result<Self, ApiError> {
        const FIELDS: [&str; 3] = ["weight", "remote", "queryPosition"];
        let mut options = Self::default();
        for (name, value) in object(Code::BadRequest, location, value)? {
            let at = format!("{location}.{name}");
            match name.as_str() {
                "weight" => {
                    let code = Code::InvalidMultiSearchWeight;
                    options.weight = value.as_f64().ok_or_else(|| wrong_type(code, &at, "a number", &value))?;
                    if options.weight < 0.0 {
                        let reason = "the value of `weight` is invalid, expected a positive float (>= 0.0).";
                        return Err(unexpected(code, &at, reason));
                    }
                }
                "remote" if value.is_null() => {}
                "remote" => options.remote = Some(read_text(Code::InvalidMultiSearchRemote, &at, &value)?),
                "queryPosition" if value.is_null() => {}
                "queryPosition" => {
                    let position = read_count(Code::InvalidMultiSearchQueryPosition, &at, &value)?;
                    options.query_position = Some(position);
                }
                _ => return Err(unknown_field(Code::BadRequest, location, &name, &FIELDS)),
            }
        }
        Ok(options)
    }
}

impl Federation {
    fn read(value: Value) -> Result<Self, ApiError> {
        const AT: &str = ".federation";
        const FIELDS: [&str; 9] = [
            "limit",
            "offset",
            "page",
            "hitsPerPage",
            "facetsByIndex",
            "mergeFacets",
            "distinct",
            "showPerformanceDetails",
            "personalize",
        ];
        let mut federation = Self {
            paging: Paging::Window { offset: 0, limit: LIMIT_DEFAULT },
            facets_by_index: BTreeMap::new(),
            merge_facets: None,
            distinct: None,
            shows_performance: false,
            is_personalized: false,
        };
        let (mut offset, mut limit, mut page, mut hits_per_page) = (0, LIMIT_DEFAULT, None, None);
        for (name, value) in object(Code::BadRequest, AT, value)? {
            let at = format!("{AT}.{name}");
            match name.as_str() {
                "page" | "hitsPerPage" | "mergeFacets" | "distinct" | "personalize" if value.is_null() => {}
                "limit" => limit = read_count(Code::InvalidSearchLimit, &at, &value)?,
                "offset" => offset = read_count(Code::InvalidSearchOffset, &at, &value)?,
                "page" => page = Some(read_count(Code::InvalidSearchPage, &at, &value)?),
                "hitsPerPage" => hits_per_page = Some(read_count(Code::InvalidSearchHitsPerPage, &at, &value)?),
                "facetsByIndex" => federation.facets_by_index = read_facets(value, &at)?,
                "mergeFacets" => federation.merge_facets = Some(MergeFacets::read(value, &at)?),
                "distinct" => federation.distinct = Some(read_text(Code::InvalidSearchDistinct, &at, &value)?),
                "showPerformanceDetails" => {
                    let code = Code::InvalidSearchShowPerformanceDetails;
                    let flag = value.as_bool().ok_or_else(|| wrong_type(code, &at, "a boolean", &value))?;
                    federation.shows_performance = flag;
                }
                "personalize" => {
                    parameter("personalize").check(&value, AT)?;
                    federation.is_personalized = true;
                }
                _ => return Err(unknown_field(Code::BadRequest, AT, &name, &FIELDS)),
            }
        }
        if page.is_some() || hits_per_page.is_some() {
            let (page, hits_per_page) = (page.unwrap_or(1), hits_per_page.unwrap_or(LIMIT_DEFAULT));
            federation.paging = Paging::Page { page, hits_per_page };
        } else {
            federation.paging = Paging::Window { offset, limit };
        }
        Ok(federation)
    }

    /// How many hits of each query can have a part in the page: all that come before its end.
    pub fn needed_hits(&self) -> u64 {
        let (offset, limit) = self.window();
        offset.saturating_add(limit)
    }

    /// First hit of the page in the whole list, and hits of the page.
    pub fn window(&self) -> (u64, u64) {
        match self.paging {
            Paging::Window { offset, limit } => (offset, limit),
            Paging::Page { page: 0, .. } => (0, 0),
            Paging::Page { page, hits_per_page } => ((page - 1).saturating_mul(hits_per_page), hits_per_page),
        }
    }

    /// Whether totals must be exact.
    pub fn is_exhaustive(&self) -> bool {
        matches!(self.paging, Paging::Page { .. })
    }

    /// The error of a request that asks for hits ordered for a person; one server finds it when all else is done.
    ///
    /// # Errors
    /// `feature_not_enabled`.
    pub fn check_personalization(&self) -> Result<(), ApiError> {
        if !self.is_personalized {
            return Ok(());
        }
        let message = "reranking search results requires enabling the `personalization` experimental feature. See https://github.com/orgs/meilisearch/discussions/866";
        Err(ApiError::new(Code::FeatureNotEnabled, message))
    }
}

fn parameter(name: &str) -> &'static Parameter {
    PARAMETERS.iter().find(|parameter| parameter.name == name).expect("it is one of the parameters of a search")
}

fn read_facets(value: Value, location: &str) -> Result<BTreeMap<String, Option<Vec<String>>>, ApiError> {
    let code = Code::InvalidMultiSearchFacetsByIndex;
    let mut facets = BTreeMap::new();
    for (uid, value) in object(code, location, value)? {
        if check_index_uid(&uid).is_err() {
            let reason = format!(
                "the key {uid:?} could not be deserialized into the key type `meilisearch_types::index_uid::IndexUid`"
            );
            return Err(unexpected(code, location, &reason));
        }
        let at = format!("{location}.{uid}");
        let patterns = match &value {
            Value::Null => None,
            Value::Array(items) => {
                let read = |(place, item): (usize, &Value)| read_text(code, &format!("{at}[{place}]"), item);
                Some(items.iter().enumerate().map(read).collect::<Result<_, _>>()?)
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                return Err(wrong_type(code, &at, "an array", &value));
            }
        };
        facets.insert(uid, patterns);
    }
    Ok(facets)
}

impl MergeFacets {
    fn read(value: Value, location: &str) -> Result<Self, ApiError> {
        let code = Code::InvalidMultiSearchMergeFacets;
        let mut merge = Self::default();
        for (name, value) in object(code, location, value)? {
            match name.as_str() {
                "maxValuesPerFacet" if value.is_null() => {}
                "maxValuesPerFacet" => {
                    let at = format!("{location}.maxValuesPerFacet");
                    let most = read_count(Code::InvalidMultiSearchMaxValuesPerFacet, &at, &value)?;
                    merge.max_values_per_facet = Some(most);
                }
                _ => return Err(unknown_field(code, location, &name, &["maxValuesPerFacet"])),
            }
        }
        Ok(merge)
    }
}

#[cfg(test)]
mod tests;
