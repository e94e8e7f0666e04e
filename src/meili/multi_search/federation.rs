//! What a list of searches says about the one list of hits that is made of them: `federation` and `federationOptions`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{object, read_count, read_text};
use crate::meili::bad_value::{unexpected, unknown_field, wrong_type};
use crate::meili::error::{ApiError, Code};
use crate::meili::index::check_index_uid;
use crate::meili::search::{PARAMETERS, Paging, Parameter, refuse_marker, refuse_marker_pattern};

/// Weight of a query that says none.
const WEIGHT_DEFAULT: f64 = 1.0;

/// Hits of a federated answer, or of its pages, when the request does not say.
const LIMIT_DEFAULT: u64 = 20;

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

impl FederationOptions {
    pub(super) fn read(value: Value, location: &str) -> Result<Self, ApiError> {
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
    pub(super) fn read(value: Value) -> Result<Self, ApiError> {
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

    /// Refuses names that are Miroir's own.
    ///
    /// # Errors
    /// `miroir_reserved_field`.
    pub fn refuse_reserved(&self) -> Result<(), ApiError> {
        for pattern in self.facets_by_index.values().flatten().flatten() {
            refuse_marker_pattern("federation.facetsByIndex", pattern)?;
        }
        self.distinct.iter().try_for_each(|distinct| refuse_marker("federation.distinct", distinct))
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
