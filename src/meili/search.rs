//! A search as a client asks for it, and as a node is asked for its part.
//!
//! The client's parameters are checked as Meilisearch 1.50 checks them and then kept as they are; a node gets the same
//! parameters with paging, filter and attribute lists replaced. `_miroir` is refused wherever a parameter can name an
//! attribute. What Miroir cannot answer exactly yet is refused with `miroir_not_supported`.

use serde_json::{Map, Value, json};

use super::bad_value::parse_json;
use super::error::{ApiError, Code};
use super::filter::{Filter, both, knows_attribute, node_form, quoted};
use super::filterable;
use super::hidden_distinct;
use super::settings::Object;
use crate::logic::marker;

mod displayed;
mod kind;
mod parameters;
mod query_string;
mod retrieved;

pub use displayed::Displayed;
pub use kind::{SearchKind, Semantic, Used, query_vector_of, query_vector_text, vector_json};
pub(super) use parameters::{PARAMETERS, Parameter, Shape, fixed, nullable, read_body};
pub use parameters::{code_of_parameter, parameter_names};
pub use query_string::from_query as parameters_of_query;
pub(super) use query_string::{comma_separated, sort_list, value_of};
pub use retrieved::{Retrieved, Share};

/// Hits that are returned when nothing else is asked.
const LIMIT_DEFAULT: u64 = 20;

/// Most hits that can be reached, unless the settings say otherwise.
pub const MAX_TOTAL_HITS_DEFAULT: u64 = 1000;

/// Which hits are wanted, and which totals come with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Paging {
    /// `offset` and `limit`: the total is an estimate.
    Window {
        /// Hits to skip.
        offset: u64,
        /// Hits to return.
        limit: u64,
    },
    /// `page` and `hitsPerPage`: totals are exhaustive.
    Page {
        /// From 1; page 0 has no hits.
        page: u64,
        /// May be 0.
        hits_per_page: u64,
    },
}

impl Paging {
    /// First hit and number of hits, neither beyond what the settings allow.
    pub fn window(self, max_total_hits: u64) -> (u64, u64) {
        let (offset, limit) = match self {
            Self::Window { offset, limit } => (offset, limit),
            Self::Page { page: 0, .. } => (0, 0),
            Self::Page { page, hits_per_page } => ((page - 1).saturating_mul(hits_per_page), hits_per_page),
        };
        let offset = offset.min(max_total_hits);
        (offset, limit.min(max_total_hits - offset))
    }
}

/// A checked search.
#[derive(Clone, PartialEq, Debug)]
pub struct SearchRequest {
    /// As sent, nulls left out; GET parameters in the types of POST.
    parameters: Map<String, Value>,
    /// See there.
    pub paging: Paging,
    /// Attributes that the filter denies and that no node knows.
    unknown: Vec<String>,
    /// It is one of several whose hits are merged.
    is_listed: bool,
    /// `retrieveVectors` as sent: the answer carries `queryVector` whether or not vectors of documents are displayed.
    shows_query_vector: bool,
}

/// Which hits a node is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// The client's page: nobody else has any.
    Page,
    /// Its first hits, so many.
    First(u64),
}

/// What one node is asked.
#[derive(Clone, Copy, Debug)]
pub struct NodeQuery<'a> {
    /// The filter that keeps the shards of this node's part.
    pub marker_filter: Option<&'a str>,
    /// Which hits.
    pub asked: Asked,
    /// What the user's settings let be seen.
    pub displayed: &'a Displayed,
    /// Attributes that the merge needs.
    pub needed: &'a [&'a str],
    /// The node keeps one hit for each value of this attribute.
    pub distinct: Option<&'a str>,
    /// Hits carry what the merge needs and nothing more: their documents are fetched by themselves.
    pub is_bare: bool,
}

/// What a list of searches wants of one of them.
#[derive(Clone, Copy, Debug)]
pub struct Widening<'a> {
    /// What the user's settings let be seen.
    pub displayed: &'a Displayed,
    /// Attributes that the merge needs of every hit.
    pub needed: &'a [&'a str],
    /// So many hits from the first one on.
    pub hits: u64,
    /// Whether totals must be exact.
    pub is_exhaustive: bool,
    /// Facets to count.
    pub facets: Option<&'a [String]>,
    /// The attribute that makes hits distinct, if the whole list has one.
    pub distinct: Option<&'a str>,
}

impl SearchRequest {
    /// Reads the body of `POST /indexes/{uid}/search`.
    pub fn from_json(body: &[u8]) -> Result<Self, ApiError> {
        Self::checked(read_body(parse_json(body)?, &PARAMETERS)?)
    }

    /// Reads the query string of `GET /indexes/{uid}/search`.
    pub fn from_query(query: &str) -> Result<Self, ApiError> {
        Self::checked(query_string::from_query(query)?)
    }

    /// From parameters that were checked one by one, as those of a list of searches are.
    ///
    /// # Errors
    /// As [`SearchRequest::from_json`] has for parameters that do not go together, or are switched off.
    pub fn from_parameters(parameters: Map<String, Value>) -> Result<Self, ApiError> {
        Self::checked(parameters)
    }

    /// Only documents that this filter lets pass are found, too.
    pub fn restrict(&mut self, rule: &Value) {
        restrict(&mut self.parameters, rule);
    }

    fn checked(parameters: Map<String, Value>) -> Result<Self, ApiError> {
        let number = |name: &str| parameters.get(name).and_then(Value::as_u64);
        let (page, hits_per_page) = (number("page"), number("hitsPerPage"));
        let paging = if page.is_some() || hits_per_page.is_some() {
            Paging::Page { page: page.unwrap_or(1), hits_per_page: hits_per_page.unwrap_or(LIMIT_DEFAULT) }
        } else {
            Paging::Window { offset: number("offset").unwrap_or(0), limit: number("limit").unwrap_or(LIMIT_DEFAULT) }
        };
        let shows_query_vector = parameters.get("retrieveVectors") == Some(&Value::Bool(true));
        let request = Self { parameters, paging, unknown: Vec::new(), is_listed: false, shows_query_vector };
        request.refuse_switched_off()?;
        Ok(request)
    }

    /// What is checked once the index is known to exist: sort rules, reserved names, the filter, what is not supported.
    /// `index` is its name.
    pub fn check(&self, index: &str, user: &Object) -> Result<(), ApiError> {
        self.kind(user)?;
        self.check_sort()?;
        self.refuse_reserved()?;
        hidden_distinct::check(index, user, self.distinct(), self.parameters.get("filter"))
    }

    /// The text that is searched for; empty for a placeholder search.
    pub fn text(&self) -> &str {
        self.parameters.get("q").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether how many hits there are depends on how deep a server has looked.
    pub fn has_estimated_threshold(&self) -> bool {
        matches!(self.paging, Paging::Window { .. }) && self.parameters.contains_key("rankingScoreThreshold")
    }

    /// Whether hits carry `_rankingScoreDetails`.
    pub fn shows_score_details(&self) -> bool {
        self.is_on("showRankingScoreDetails")
    }

    /// Whether hits carry `_rankingScore`.
    pub fn shows_score(&self) -> bool {
        self.is_on("showRankingScore")
    }

    /// Whether the answer carries `performanceDetails`.
    pub fn shows_performance(&self) -> bool {
        self.is_on("showPerformanceDetails")
    }

    /// Whether the user's rules let these facets be counted. One server looks at this last of all.
    ///
    /// # Errors
    /// `invalid_search_facets`.
    pub fn check_facets(&self, settings: &Map<String, Value>) -> Result<(), ApiError> {
        filterable::check_facets(&filterable::rules_of_settings(settings), self.texts("facets"))
    }

    /// The patterns of `facets`.
    pub fn facets(&self) -> Vec<&str> {
        self.texts("facets").collect()
    }

    /// Whether totals and facets count every document that matches the query and the filter: then more filters count a part
    /// of them.
    pub fn counts_all_that_match(&self) -> bool {
        ["distinct", "hybrid", "vector", "media", "rankingScoreThreshold"]
            .iter()
            .all(|name| !self.parameters.contains_key(*name))
    }

    /// The body that makes a node count values of one facet among the documents of its part that a filter matches.
    pub fn clarifying_body(&self, facet: &str, filter: &str, marker_filter: Option<&str>) -> Vec<u8> {
        let kept = ["q", "matchingStrategy", "attributesToSearchOn", "locales"];
        let kept = kept.iter().filter_map(|name| Some(((*name).to_owned(), self.parameters.get(*name)?.clone())));
        let mut body: Map<String, Value> = kept.collect();
        body.extend(self.parameters.get("filter").map(|filter| ("filter".to_owned(), filter.clone())));
        self.set_node_filter(&mut body, marker_filter.into_iter().chain([filter]));
        body.insert("facets".to_owned(), json!([facet]));
        body.insert("limit".to_owned(), Value::from(0));
        serde_json::to_vec(&body).expect("a JSON object with text keys can always be written")
    }

    /// Whether the answer carries `facetDistribution`.
    pub fn has_facets(&self) -> bool {
        self.parameters.contains_key("facets")
    }

    fn is_on(&self, name: &str) -> bool {
        self.parameters.get(name) == Some(&Value::Bool(true))
    }

    fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.parameters.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// What decides which replicas answer: two pages of one search have the same.
    pub fn identity(&self) -> Vec<Vec<u8>> {
        ["q", "filter", "sort"]
            .iter()
            .map(|name| self.parameters.get(*name).map(|value| value.to_string().into_bytes()).unwrap_or_default())
            .collect()
    }

    /// The attribute whose values make hits distinct, if the client says so.
    pub fn distinct(&self) -> Option<&str> {
        self.parameters.get("distinct").and_then(Value::as_str)
    }

    /// Whether one server shows empty texts of the distinct attribute once on its page. It does so where the search itself
    /// names the attribute, and is not one of a federated list.
    pub fn shows_empty_texts_once(&self) -> bool {
        self.distinct().is_some() && !self.is_listed
    }

    /// Whether a node can be asked for the client's page as it is: no limit of ours cuts it.
    pub fn is_page_whole(&self, max_total_hits: u64) -> bool {
        if self.is_listed && self.distinct().is_some() {
            // Asked by itself, a node would leave out empty texts.
            return false;
        }
        let wanted = match self.paging {
            Paging::Window { offset, limit } => offset.saturating_add(limit),
            Paging::Page { page, hits_per_page } => page.saturating_mul(hits_per_page),
        };
        wanted <= max_total_hits
    }

    /// The rules of `sort`.
    pub fn sort(&self) -> impl Iterator<Item = &str> {
        self.texts("sort")
    }

    /// Whether hits are their documents and nothing that only a search can say: those can be fetched by themselves.
    pub fn has_plain_hits(&self) -> bool {
        let is_list_empty = |name: &str| self.texts(name).next().is_none();
        is_list_empty("attributesToHighlight")
            && is_list_empty("attributesToCrop")
            && !self.is_on("showMatchesPosition")
            && !self.texts("sort").any(|rule| rule.starts_with("_geoPoint"))
    }

    /// The body of a node's `POST /documents/fetch` for the documents of these hits.
    pub fn fetch_body(&self, displayed: &Displayed, primary_key: &str, ids: &[String]) -> Vec<u8> {
        let mut shown = self.parameters.clone();
        displayed.restrict(&mut shown);
        Retrieved::add(&mut shown, &[primary_key]);
        let mut body = json!({"ids": ids, "limit": ids.len()});
        if let Some(fields) = shown.get("attributesToRetrieve").filter(|fields| !has_wildcard(fields)) {
            body["fields"] = fields.clone();
        }
        if let Some(retrieve) = shown.get("retrieveVectors") {
            body["retrieveVectors"] = retrieve.clone();
        }
        serde_json::to_vec(&body).expect("a JSON object with text keys can always be written")
    }

    /// What a node's hits hold beside what the client gets of them.
    pub fn retrieved(&self, displayed: &Displayed, needed: &[&str]) -> Retrieved {
        let mut body = self.parameters.clone();
        displayed.restrict(&mut body);
        Retrieved::add(&mut body, needed)
    }

    /// The same search with more to its hits and other pages: as a part of a list of searches that is merged into one.
    pub fn widened(&self, widening: &Widening<'_>) -> (Self, Retrieved) {
        let mut parameters = self.parameters.clone();
        widening.displayed.restrict(&mut parameters);
        let retrieved = Retrieved::add(&mut parameters, widening.needed);
        let (first, size) = if widening.is_exhaustive { ("page", "hitsPerPage") } else { ("offset", "limit") };
        let paging = if widening.is_exhaustive {
            Paging::Page { page: 1, hits_per_page: widening.hits }
        } else {
            Paging::Window { offset: 0, limit: widening.hits }
        };
        parameters.insert(first.to_owned(), Value::from(u64::from(widening.is_exhaustive)));
        parameters.insert(size.to_owned(), Value::from(widening.hits));
        for shown in ["showRankingScore", "showRankingScoreDetails"] {
            parameters.insert(shown.to_owned(), Value::Bool(true));
        }
        match widening.facets {
            Some(facets) => drop(parameters.insert("facets".to_owned(), json!(facets))),
            None => drop(parameters.shift_remove("facets")),
        }
        if let Some(distinct) = widening.distinct {
            parameters.insert("distinct".to_owned(), Value::from(distinct));
        }
        (Self { parameters, paging, is_listed: true, ..self.clone() }, retrieved)
    }

    /// The body of a node's `POST /search`.
    pub fn node_body(&self, query: NodeQuery<'_>) -> Vec<u8> {
        let mut body = self.parameters.clone();
        // Miroir measures the whole; what one node took is nothing to a client.
        body.shift_remove("showPerformanceDetails");
        body.shift_remove("distinct");
        if let Asked::First(first_hits) = query.asked {
            for name in ["offset", "limit", "page", "hitsPerPage"] {
                body.shift_remove(name);
            }
            let (first, count) = match self.paging {
                Paging::Window { .. } => ("offset", "limit"),
                Paging::Page { .. } => ("page", "hitsPerPage"),
            };
            body.insert(first.to_owned(), Value::from(u64::from(first == "page")));
            body.insert(count.to_owned(), Value::from(first_hits));
        }
        // Beside the order they say whether the node ran out of time.
        body.insert("showRankingScoreDetails".to_owned(), Value::Bool(true));
        if let Some(distinct) = query.distinct {
            body.insert("distinct".to_owned(), Value::from(distinct));
        }
        self.set_node_filter(&mut body, query.marker_filter);
        if query.is_bare {
            body.insert("attributesToRetrieve".to_owned(), json!(query.needed));
            body.shift_remove("retrieveVectors");
        } else {
            query.displayed.restrict(&mut body);
            Retrieved::add(&mut body, query.needed);
        }
        serde_json::to_vec(&body).expect("a JSON object with text keys can always be written")
    }

    /// The body that makes a node count its documents that match, and those of each value of an attribute.
    pub fn count_body(&self, marker_filter: Option<&str>, attribute: &str) -> Vec<u8> {
        let mut body = self.counting(marker_filter);
        body.insert("facets".to_owned(), json!([attribute]));
        serde_json::to_vec(&body).expect("a JSON object with text keys can always be written")
    }

    /// The body that makes a node count its documents that match and have no value of an attribute. Where nodes cannot
    /// compare values, what has none for other reasons than that it is empty (an object) is not counted.
    pub fn count_without_body(&self, marker_filter: Option<&str>, attribute: &str, can_compare: bool) -> Vec<u8> {
        let mut body = self.counting(marker_filter);
        body.shift_remove("facets");
        let name = quoted(attribute);
        let user = body.shift_remove("filter");
        let without = if can_compare {
            format!("NOT ({name} >= '' OR {name} >= {:e})", f64::MIN)
        } else {
            format!("{name} NOT EXISTS OR {name} IS NULL OR {name} IS EMPTY")
        };
        body.insert("filter".to_owned(), join_filters(user, &without));
        serde_json::to_vec(&body).expect("a JSON object with text keys can always be written")
    }

    /// No hits, but all of them counted. Where vectors have a say, the engine counts only what it has looked for: one hit,
    /// or more of them where it goes on until a threshold.
    fn counting(&self, marker_filter: Option<&str>) -> Map<String, Value> {
        let mut body = self.parameters.clone();
        for name in
            ["offset", "limit", "distinct", "showPerformanceDetails", "attributesToHighlight", "attributesToCrop"]
        {
            body.shift_remove(name);
        }
        body.insert("page".to_owned(), Value::from(1));
        let hits = match (self.is_with_vector(), self.parameters.contains_key("rankingScoreThreshold")) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 100,
        };
        body.insert("hitsPerPage".to_owned(), Value::from(hits));
        self.set_node_filter(&mut body, marker_filter);
        body
    }

    /// The client's filter in the form for nodes, and ours.
    fn set_node_filter<'a>(&self, body: &mut Map<String, Value>, ours: impl IntoIterator<Item = &'a str>) {
        let user = body.shift_remove("filter").map(|filter| node_form(filter, &self.unknown));
        if let Some(filter) = ours.into_iter().fold(user, |joined, ours| Some(join_filters(joined, ours))) {
            body.insert("filter".to_owned(), filter);
        }
    }

    /// The parameters with the filter in the form for nodes, and ours.
    pub(super) fn node_parameters(&self, marker_filter: Option<&str>) -> Map<String, Value> {
        let mut parameters = self.parameters.clone();
        self.set_node_filter(&mut parameters, marker_filter);
        parameters
    }

    /// The filter, as sent.
    pub fn filter(&self) -> Option<&Value> {
        self.parameters.get("filter")
    }

    /// The same search with another filter.
    #[must_use]
    pub fn with_filter(&self, filter: Value) -> Self {
        let mut parameters = self.parameters.clone();
        parameters.insert("filter".to_owned(), filter);
        Self { parameters, ..self.clone() }
    }

    /// The same search, when no node knows these attributes.
    #[must_use]
    pub fn with_unknown(&self, unknown: Vec<String>) -> Self {
        Self { unknown, ..self.clone() }
    }

    /// The body that makes a node count its documents if it knows an attribute, and nothing else.
    pub fn knowing_body(attribute: &str) -> Vec<u8> {
        let body = json!({"filter": knows_attribute(attribute), "page": 1, "hitsPerPage": 0});
        serde_json::to_vec(&body).expect("a JSON object with text keys can always be written")
    }

    /// The body that makes a node say what is wrong with the client's request, in the words that are for the client: as
    /// sent, without the marker and without hits.
    pub fn explain_body(&self) -> Vec<u8> {
        let mut body = self.parameters.clone();
        for name in ["offset", "page", "hitsPerPage"] {
            body.shift_remove(name);
        }
        body.insert("limit".to_owned(), Value::from(0));
        serde_json::to_vec(&body).expect("a JSON object with text keys can always be written")
    }

    fn refuse_switched_off(&self) -> Result<(), ApiError> {
        let switched_off = |what: &str, feature: &str, discussion: u16| {
            ApiError::new(
                Code::FeatureNotEnabled,
                format!(
                    "{what} requires enabling the `{feature}` experimental feature. See https://github.com/orgs/meilisearch/discussions/{discussion}"
                ),
            )
        };
        if self.parameters.contains_key("useNetwork") {
            return Err(switched_off("passing `useNetwork` in a search query", "network", 805));
        }
        if self.parameters.contains_key("personalize") {
            return Err(switched_off("reranking search results", "personalization", 866));
        }
        let (has_vector, has_media) = (self.parameters.contains_key("vector"), self.parameters.contains_key("media"));
        if has_vector && has_media {
            let message = "Invalid request: both `media` and `vector` parameters are present.";
            return Err(ApiError::new(Code::InvalidSearchMediaAndVector, message));
        }
        if (has_vector || has_media) && !self.parameters.contains_key("hybrid") {
            let message = "Invalid request: missing `hybrid` parameter when `vector` or `media` are present.";
            return Err(ApiError::new(Code::MissingSearchHybrid, message));
        }
        Ok(())
    }

    fn check_sort(&self) -> Result<(), ApiError> {
        for rule in self.texts("sort") {
            if !rule.ends_with(":asc") && !rule.ends_with(":desc") {
                return Err(invalid_sort(Code::InvalidSearchSort, rule));
            }
        }
        Ok(())
    }

    fn refuse_reserved(&self) -> Result<(), ApiError> {
        self.texts("facets").try_for_each(|pattern| refuse_marker_pattern("facets", pattern))?;
        for name in ["attributesToRetrieve", "attributesToHighlight", "attributesToSearchOn"] {
            for attribute in self.texts(name) {
                refuse_marker(name, attribute)?;
            }
        }
        for attribute in self.texts("attributesToCrop") {
            refuse_marker("attributesToCrop", attribute.rsplit_once(':').map_or(attribute, |(name, _)| name))?;
        }
        for rule in self.texts("sort") {
            refuse_marker("sort", rule.rsplit_once(':').map_or(rule, |(name, _)| name))?;
        }
        if let Some(distinct) = self.distinct() {
            refuse_marker("distinct", distinct)?;
        }
        if let Some(filter) = self.parameters.get("filter") {
            check_filter(filter, Code::InvalidSearchFilter)?;
        }
        Ok(())
    }
}

fn has_wildcard(list: &Value) -> bool {
    list.as_array().is_some_and(|names| names.iter().any(|name| name == "*"))
}

/// Refuses a pattern that is about the marker; those that cover it with everything else are taken.
pub(super) fn refuse_marker_pattern(parameter: &str, pattern: &str) -> Result<(), ApiError> {
    let beginning = pattern.strip_suffix('*').filter(|text| text.len() > 1 && marker::FIELD.starts_with(text));
    refuse_marker(parameter, beginning.map_or(pattern, |_| marker::FIELD))
}

/// Refuses a text that names the marker.
pub(super) fn refuse_marker(parameter: &str, attribute: &str) -> Result<(), ApiError> {
    if !marker::is_reserved(attribute) {
        return Ok(());
    }
    let message = format!("`{}` is reserved by Miroir and cannot be used in `{parameter}`.", marker::FIELD);
    Err(ApiError::new(Code::MiroirReservedField, message))
}

/// Checks that a filter can be read and does not name the marker.
pub fn check_filter(filter: &Value, code: Code) -> Result<(), ApiError> {
    let Some(parsed) = Filter::parse(filter).map_err(|error| ApiError::new(code, error.to_string()))? else {
        return Ok(());
    };
    parsed.attributes().try_for_each(|attribute| refuse_marker("filter", attribute))
}

/// Joins the filter among these parameters with that of a tenant token.
pub(super) fn restrict(parameters: &mut Map<String, Value>, rule: &Value) {
    let user = parameters.shift_remove("filter");
    parameters.insert("filter".to_owned(), both(user, rule));
}

/// A client's filter and a filter of ours, both of which must hold.
pub(super) fn join_filters(user: Option<Value>, ours: &str) -> Value {
    match user {
        None | Some(Value::Null) => Value::from(ours),
        Some(Value::Array(mut items)) => {
            items.push(Value::from(ours));
            Value::Array(items)
        }
        Some(user) => json!([user, ours]),
    }
}

pub(super) fn invalid_sort(code: Code, rule: &str) -> ApiError {
    let message = format!(
        "Invalid syntax for the sort parameter: expected expression ending by `:asc` or `:desc`, found `{rule}`."
    );
    ApiError::new(code, message)
}

#[cfg(test)]
mod tests;
