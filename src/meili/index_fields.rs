//! `POST /indexes/{uid}/fields`: which fields an index has, and what the user's settings make of each.
//!
//! Nodes know the names. What a field may be used for is told from the user's settings here: those of the nodes are
//! others.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::attribute_pattern::{Match, is_at_or_below, plain, wildcard};
use super::bad_value::{parse_json, unknown_field, wrong_type};
use super::error::{ApiError, Code};
use super::filterable::{FilterFeatures, FilterableRule, deciding_rule, rules_of_settings};
use super::search::Displayed;
use super::settings::long_locale;
use crate::logic::marker;

const FIELDS: [&str; 3] = ["offset", "limit", "filter"];
const FILTER_FIELDS: [&str; 7] =
    ["attributePatterns", "displayed", "searchable", "sortable", "distinct", "rankingRule", "filterable"];
const LIMIT_DEFAULT: usize = 20;

/// Which fields a client wants to see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListFields {
    offset: usize,
    limit: usize,
    filter: Filter,
}

/// What must hold of a field; an absent part does not restrict.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Filter {
    patterns: Option<Vec<String>>,
    displayed: Option<bool>,
    searchable: Option<bool>,
    sortable: Option<bool>,
    distinct: Option<bool>,
    ranking_rule: Option<bool>,
    filterable: Option<bool>,
}

impl ListFields {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// `invalid_index_offset`, `invalid_index_limit`, `invalid_index_fields_filter...`, `bad_request`, `malformed_payload`.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let value = parse_json(body)?;
        let Value::Object(fields) = &value else { return Err(wrong_type(Code::BadRequest, "", "an object", &value)) };
        let mut list = Self { offset: 0, limit: LIMIT_DEFAULT, filter: Filter::default() };
        for (key, value) in fields {
            match key.as_str() {
                "offset" => list.offset = number(value, ".offset", Code::InvalidIndexOffset)?,
                "limit" => list.limit = number(value, ".limit", Code::InvalidIndexLimit)?,
                "filter" => list.filter = Filter::parse(value)?,
                other => return Err(unknown_field(Code::BadRequest, "", other, &FIELDS)),
            }
        }
        Ok(list)
    }

    /// What a node is asked: all names that it knows.
    pub fn node_body() -> String {
        json!({ "limit": u32::MAX }).to_string()
    }

    /// The page, made of the names that the nodes have answered.
    pub fn page<'a>(&self, names: impl Iterator<Item = &'a str>, settings: &Map<String, Value>) -> Value {
        let names: BTreeSet<&str> = names.filter(|name| !marker::is_reserved(name)).collect();
        let uses = Uses::new(settings);
        let fields: Vec<Field<'_>> =
            names.into_iter().map(|name| uses.of(name)).filter(|field| self.filter.admits(field)).collect();
        let shown: Vec<Value> = fields.iter().skip(self.offset).take(self.limit).map(Field::shown).collect();
        json!({ "results": shown, "offset": self.offset, "limit": self.limit, "total": fields.len() })
    }
}

fn number(value: &Value, location: &str, code: Code) -> Result<usize, ApiError> {
    match value {
        Value::Number(number) if number.is_u64() => Ok(number.as_u64().unwrap_or(0) as usize),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            Err(wrong_type(code, location, "a positive integer", value))
        }
    }
}

impl Filter {
    fn parse(value: &Value) -> Result<Self, ApiError> {
        let code = Code::InvalidIndexFieldsFilter;
        let fields = match value {
            Value::Null => return Ok(Self::default()),
            Value::Object(fields) => fields,
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(wrong_type(code, ".filter", "an object", value));
            }
        };
        let mut filter = Self::default();
        for (key, value) in fields {
            let location = format!(".filter.{key}");
            let flag = |code| match value {
                Value::Null => Ok(None),
                Value::Bool(flag) => Ok(Some(*flag)),
                Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                    Err(wrong_type(code, &location, "a boolean", value))
                }
            };
            match key.as_str() {
                "attributePatterns" => filter.patterns = read_patterns(value, &location)?,
                "displayed" => filter.displayed = flag(Code::InvalidIndexFieldsFilterDisplayed)?,
                "searchable" => filter.searchable = flag(Code::InvalidIndexFieldsFilterSearchable)?,
                "sortable" => filter.sortable = flag(Code::InvalidIndexFieldsFilterSortable)?,
                "distinct" => filter.distinct = flag(Code::InvalidIndexFieldsFilterDistinct)?,
                "rankingRule" => filter.ranking_rule = flag(Code::InvalidIndexFieldsFilterRankingRule)?,
                "filterable" => filter.filterable = flag(Code::InvalidIndexFieldsFilterFilterable)?,
                other => return Err(unknown_field(code, ".filter", other, &FILTER_FIELDS)),
            }
        }
        Ok(filter)
    }

    fn admits(&self, field: &Field<'_>) -> bool {
        let is_named = |patterns: &Vec<String>| patterns.iter().any(|pattern| wildcard(pattern, field.name).is_yes());
        self.patterns.as_ref().is_none_or(is_named)
            && self.displayed.is_none_or(|wanted| wanted == field.is_displayed)
            && self.searchable.is_none_or(|wanted| wanted == field.is_searchable)
            && self.sortable.is_none_or(|wanted| wanted == field.is_sortable)
            && self.distinct.is_none_or(|wanted| wanted == field.is_distinct)
            && self.ranking_rule.is_none_or(|wanted| wanted == field.ranked.is_some())
            && self.filterable.is_none_or(|wanted| wanted == field.is_filterable())
    }
}

fn read_patterns(value: &Value, location: &str) -> Result<Option<Vec<String>>, ApiError> {
    let code = Code::InvalidIndexFieldsFilterAttributePatterns;
    match value {
        Value::Null => Ok(None),
        Value::Array(patterns) => {
            let read = |(place, pattern): (usize, &Value)| {
                let refused = || wrong_type(code, &format!("{location}[{place}]"), "a string", pattern);
                pattern.as_str().map(str::to_owned).ok_or_else(refused)
            };
            patterns.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(wrong_type(code, location, "an array", value))
        }
    }
}

/// What the settings say of fields.
struct Uses<'a> {
    displayed: Displayed,
    /// None: all.
    searchable: Option<Vec<&'a str>>,
    sortable: Vec<&'a str>,
    distinct: Option<&'a str>,
    /// By attribute: `asc` or `desc`.
    ranked: Vec<(&'a str, &'a str)>,
    filterable: Vec<FilterableRule>,
    localized: Vec<(Vec<&'a str>, Vec<String>)>,
    facet_orders: Option<&'a Map<String, Value>>,
}

/// One field.
struct Field<'a> {
    name: &'a str,
    is_displayed: bool,
    is_searchable: bool,
    is_sortable: bool,
    is_distinct: bool,
    ranked: Option<&'a str>,
    features: Option<FilterFeatures>,
    sort_by: &'a str,
    locales: &'a [String],
}

impl<'a> Uses<'a> {
    fn new(settings: &'a Map<String, Value>) -> Self {
        let list = |value: &'a Value| -> Vec<&'a str> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let of = |name: &str| settings.get(name).unwrap_or(&Value::Null);
        let searchable = of("searchableAttributes");
        let rule_of = |rule: &'a str| {
            ["asc", "desc"].into_iter().find_map(|order| Some((rule.strip_suffix(order)?.strip_suffix(':')?, order)))
        };
        let localized = of("localizedAttributes").as_array().into_iter().flatten();
        let locale = |short: &str| {
            let long = long_locale(short).unwrap_or(short);
            let (first, rest) = long.split_at_checked(1).unwrap_or((long, ""));
            format!("{}{rest}", first.to_ascii_uppercase())
        };
        let localized = localized
            .map(|rule| (list(&rule["attributePatterns"]), list(&rule["locales"]).into_iter().map(locale).collect()));
        Self {
            displayed: Displayed::from_settings(settings),
            searchable: searchable.is_array().then(|| list(searchable)).filter(|names| !names.contains(&"*")),
            sortable: list(of("sortableAttributes")),
            distinct: of("distinctAttribute").as_str(),
            ranked: list(of("rankingRules")).into_iter().filter_map(rule_of).collect(),
            filterable: rules_of_settings(settings),
            localized: localized.collect(),
            facet_orders: of("faceting").get("sortFacetValuesBy").and_then(Value::as_object),
        }
    }

    fn of<'f>(&'f self, name: &'f str) -> Field<'f> {
        let is_vectors = is_at_or_below(name, "_vectors");
        let is_json = is_at_or_below(name, "_geojson");
        let is_reserved = is_vectors || is_json || is_at_or_below(name, "_geo");
        let is_in = |names: &[&str]| names.iter().any(|setting| plain(setting, name) == Match::Yes);
        let order = self.facet_orders.and_then(|orders| orders.get(name).or_else(|| orders.get("*"))?.as_str());
        let locales =
            self.localized.iter().find(|(patterns, _)| patterns.iter().any(|pattern| wildcard(pattern, name).is_yes()));
        Field {
            name,
            is_displayed: self.displayed.shows(name),
            is_searchable: !is_reserved && self.searchable.as_deref().is_none_or(is_in),
            is_sortable: !is_vectors && !is_json && is_in(&self.sortable),
            is_distinct: !is_reserved && self.distinct == Some(name),
            ranked: self
                .ranked
                .iter()
                .find(|(attribute, _)| !is_reserved && *attribute == name)
                .map(|(_, order)| *order),
            features: deciding_rule(&self.filterable, name).map(|(_, features)| features).filter(|_| !is_vectors),
            sort_by: order.filter(|_| !is_vectors).unwrap_or("alpha"),
            locales: locales.filter(|_| !is_reserved).map_or(&[], |(_, locales)| locales),
        }
    }
}

impl Field<'_> {
    fn is_filterable(&self) -> bool {
        self.features.is_some_and(|features| features.is_filterable() || features.facet_search)
    }

    fn shown(&self) -> Value {
        let off = FilterFeatures { facet_search: false, equality: false, comparison: false };
        let features = self.features.unwrap_or(off);
        let mut ranking_rule = json!({ "enabled": self.ranked.is_some() });
        if let Some(order) = self.ranked {
            ranking_rule["order"] = json!(order);
        }
        json!({
            "name": self.name,
            "displayed": { "enabled": self.is_displayed },
            "searchable": { "enabled": self.is_searchable },
            "sortable": { "enabled": self.is_sortable },
            "distinct": { "enabled": self.is_distinct },
            "rankingRule": ranking_rule,
            "filterable": {
                "enabled": self.is_filterable(),
                "sortBy": self.sort_by,
                "facetSearch": features.facet_search,
                "equality": features.equality,
                "comparison": features.comparison,
            },
            "localized": { "locales": self.locales },
        })
    }
}

/// What a node answers, as far as it is read.
#[derive(Deserialize)]
pub struct NodeFields {
    /// Its fields.
    pub results: Vec<NodeField>,
}

/// One field of a node.
#[derive(Deserialize)]
pub struct NodeField {
    /// With points between levels.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(body: &str, names: &[&str]) -> Value {
        let settings = json!({
            "filterableAttributes": ["n", {"attributePatterns": ["x*"], "features": {
                "facetSearch": true, "filter": {"equality": true, "comparison": false}}}],
            "sortableAttributes": ["m", "_geo"], "displayedAttributes": ["n", "id"], "searchableAttributes": ["n", "t"],
            "distinctAttribute": "n", "rankingRules": ["words", "n:desc", "sort"],
            "localizedAttributes": [{"attributePatterns": ["t"], "locales": ["fr"]}],
            "faceting": {"sortFacetValuesBy": {"n": "count", "*": "alpha"}},
        });
        let list = ListFields::parse(body.as_bytes()).expect("valid");
        list.page(names.iter().copied(), settings.as_object().expect("an object"))
    }

    fn names(page: &Value) -> Vec<&str> {
        page["results"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect()
    }

    const ALL: [&str; 10] = ["t", "n", "id", "m", "_miroir", "_geo.lat", "xa", "o", "o.p", "n"];

    #[test]
    fn every_use_of_a_field_is_told_from_the_users_settings() {
        let all = page("{}", &ALL);
        assert_eq!(names(&all), ["_geo.lat", "id", "m", "n", "o", "o.p", "t", "xa"]);
        assert_eq!((&all["total"], &all["limit"]), (&json!(8), &json!(20)));
        assert_eq!(
            all["results"][3],
            json!({
                "name": "n", "displayed": {"enabled": true}, "searchable": {"enabled": true},
                "sortable": {"enabled": false}, "distinct": {"enabled": true},
                "rankingRule": {"enabled": true, "order": "desc"},
                "filterable": {
                    "enabled": true, "sortBy": "count", "facetSearch": true, "equality": true, "comparison": true,
                },
                "localized": {"locales": []},
            })
        );
        let of = |name: &str| all["results"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap();
        assert_eq!(of("t")["localized"], json!({"locales": ["Fra"]}));
        assert_eq!(of("t")["rankingRule"], json!({"enabled": false}));
        assert_eq!(
            (&of("_geo.lat")["sortable"]["enabled"], &of("_geo.lat")["searchable"]["enabled"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(of("xa")["filterable"]["comparison"], json!(false));
    }

    #[test]
    fn fields_are_chosen_by_what_they_are_used_for_and_paged() {
        for (filter, expected) in [
            (json!({"attributePatterns": ["o.*"]}), vec!["o.p"]),
            (json!({"attributePatterns": ["*a*"]}), vec!["_geo.lat", "xa"]),
            (json!({"displayed": true}), vec!["id", "n"]),
            (json!({"searchable": true}), vec!["n", "t"]),
            (json!({"sortable": true}), vec!["_geo.lat", "m"]),
            (json!({"distinct": true}), vec!["n"]),
            (json!({"rankingRule": true}), vec!["n"]),
            (json!({"filterable": true}), vec!["n", "xa"]),
            (json!({"filterable": false, "displayed": true}), vec!["id"]),
            (json!(null), vec!["_geo.lat", "id", "m", "n", "o", "o.p", "t", "xa"]),
        ] {
            assert_eq!(names(&page(&json!({ "filter": filter }).to_string(), &ALL)), expected, "{filter}");
        }
        let paged = page(r#"{"offset":1,"limit":2}"#, &ALL);
        assert_eq!((names(&paged), &paged["total"]), (vec!["id", "m"], &json!(8)));
    }

    #[test]
    fn bad_requests_are_refused_in_meilisearchs_words() {
        for (body, code, message) in [
            (
                r#"{"limit":"a"}"#,
                Code::InvalidIndexLimit,
                "Invalid value type at `.limit`: expected a positive integer, but found a string: `\"a\"`",
            ),
            (
                r#"{"offset":null}"#,
                Code::InvalidIndexOffset,
                "Invalid value type at `.offset`: expected a positive integer, but found null",
            ),
            (r#"{"lol":1}"#, Code::BadRequest, "Unknown field `lol`: expected one of `offset`, `limit`, `filter`"),
            (
                r#"{"filter":{"displayed":3}}"#,
                Code::InvalidIndexFieldsFilterDisplayed,
                "Invalid value type at `.filter.displayed`: expected a boolean, but found a positive integer: `3`",
            ),
        ] {
            let error = ListFields::parse(body.as_bytes()).expect_err(body);
            assert_eq!((error.code, error.message.as_str()), (code, message));
        }
    }
}
