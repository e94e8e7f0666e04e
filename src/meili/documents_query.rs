//! Reading documents: one by id, or a list with paging, filter, ids and sort.

use serde_json::{Map, Value, json};

use super::bad_value::{parse_json, unknown_field, wrong_type};
use super::error::{ApiError, Code};
use super::fields::{Selection, select};
use super::filter::{denied_attributes, node_form};
use super::query_string::QueryString;
use super::search::{check_filter, comma_separated, invalid_sort, join_filters, refuse_marker, sort_list};
use crate::logic::document_id::canonical_id;

const FIELDS: [&str; 8] = ["offset", "limit", "fields", "retrieveVectors", "ids", "filter", "sort", "useNetwork"];

/// Documents that are returned when nothing else is asked.
const LIMIT_DEFAULT: u64 = 20;

/// A list of documents.
#[derive(Clone, PartialEq, Debug)]
pub struct DocumentsQuery {
    /// Documents to skip.
    pub offset: u64,
    /// Documents to return.
    pub limit: u64,
    /// None: all fields.
    pub fields: Option<Vec<String>>,
    /// With `_vectors`.
    pub retrieve_vectors: bool,
    /// Only these, as sent.
    pub ids: Option<Vec<Value>>,
    /// Only those that match, as sent.
    pub filter: Option<Value>,
    /// Sort rules; without any, the nodes' own order.
    pub sort: Vec<String>,
    /// Attributes that the filter denies and that no node knows.
    pub unknown: Vec<String>,
}

impl Default for DocumentsQuery {
    fn default() -> Self {
        Self {
            offset: 0,
            limit: LIMIT_DEFAULT,
            fields: None,
            retrieve_vectors: false,
            ids: None,
            filter: None,
            sort: Vec::new(),
            unknown: Vec::new(),
        }
    }
}

impl DocumentsQuery {
    /// Reads the body of `POST /indexes/{uid}/documents/fetch`.
    pub fn from_json(body: &[u8]) -> Result<Self, ApiError> {
        let body = parse_json(body)?;
        let Value::Object(fields) = body else { return Err(wrong_type(Code::BadRequest, "", "an object", &body)) };
        let mut query = Self::default();
        for (name, value) in fields {
            query.set(&name, value)?;
        }
        Ok(query)
    }

    fn set(&mut self, name: &str, value: Value) -> Result<(), ApiError> {
        let number =
            |code| value.as_u64().ok_or_else(|| wrong_type(code, &format!(".{name}"), "a positive integer", &value));
        let boolean = |code| value.as_bool().ok_or_else(|| wrong_type(code, &format!(".{name}"), "a boolean", &value));
        match name {
            "offset" => self.offset = number(Code::InvalidDocumentOffset)?,
            "limit" => self.limit = number(Code::InvalidDocumentLimit)?,
            "retrieveVectors" => self.retrieve_vectors = boolean(Code::InvalidDocumentRetrieveVectors)?,
            "fields" | "ids" | "filter" | "sort" | "useNetwork" if value.is_null() => {}
            "fields" => self.fields = Some(texts(".fields", &value, Code::InvalidDocumentFields)?),
            "sort" => self.sort = texts(".sort", &value, Code::InvalidDocumentSort)?,
            "filter" => self.filter = Some(value),
            "ids" => {
                let ids =
                    value.as_array().ok_or_else(|| wrong_type(Code::InvalidDocumentIds, ".ids", "an array", &value))?;
                self.ids = Some(ids.clone());
            }
            "useNetwork" => {
                boolean(Code::InvalidDocumentUseNetwork)?;
                return Err(network_is_off());
            }
            _ => return Err(unknown_field(Code::BadRequest, "", name, &FIELDS)),
        }
        Ok(())
    }

    /// Reads the query string of `GET /indexes/{uid}/documents`.
    pub fn from_query(query: &str) -> Result<Self, ApiError> {
        let query = QueryString::parse(query, &FIELDS)?;
        refuse_network(&query)?;
        let ids = query.get("ids").map(|text| comma_separated(text).into_iter().map(Value::from).collect());
        let filter = query.get("filter").map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)));
        Ok(Self {
            offset: query.number("offset", Code::InvalidDocumentOffset)?.unwrap_or(0),
            limit: query.number("limit", Code::InvalidDocumentLimit)?.unwrap_or(LIMIT_DEFAULT),
            fields: fields_of(&query),
            retrieve_vectors: query.boolean("retrieveVectors", Code::InvalidDocumentRetrieveVectors)?.unwrap_or(false),
            ids,
            filter,
            sort: query.get("sort").map(sort_list).unwrap_or_default(),
            unknown: Vec::new(),
        })
    }

    /// What is checked once the index is known to exist: ids, sort rules, reserved names, the filter.
    pub fn check(&self) -> Result<(), ApiError> {
        for (place, id) in self.ids.iter().flatten().enumerate() {
            if canonical_id(&id.to_string()).is_err() {
                let message = format!(
                    "In `.ids[{place}]`: Document identifier `{id}` is invalid. A document identifier can be of type integer or string, only composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores (_), and can not be more than 511 bytes."
                );
                return Err(ApiError::new(Code::InvalidDocumentIds, message));
            }
        }
        for rule in &self.sort {
            let Some((attribute, "asc" | "desc")) = rule.rsplit_once(':') else {
                return Err(invalid_sort(Code::InvalidDocumentSort, rule));
            };
            refuse_marker("sort", attribute)?;
        }
        for field in self.fields.iter().flatten() {
            refuse_marker("fields", field)?;
        }
        self.filter.as_ref().map_or(Ok(()), |filter| check_filter(filter, Code::InvalidDocumentFilter))
    }

    /// The body of a node's `POST /documents/fetch`: documents from `offset` on, only of the shards that the marker
    /// filter keeps.
    pub fn node_body(&self, offset: u64, limit: u64, marker_filter: Option<&str>) -> Vec<u8> {
        self.body(offset, limit, self.fields.clone(), marker_filter)
    }

    /// The body that makes a node say what is wrong with the client's request: without the marker, the filter as sent.
    pub fn explain_body(&self) -> Vec<u8> {
        let unknown = self.filter.as_ref().map(denied_attributes).unwrap_or_default();
        Self { unknown, ..self.clone() }.node_body(0, 0, None)
    }

    /// How many documents from the first on the page reaches.
    pub fn depth(&self) -> u64 {
        self.offset.saturating_add(self.limit)
    }

    /// The same documents in the same order, with what the sort rules look at besides the fields that the client wants.
    /// In one request: a write between two would give keys of other documents.
    pub fn sortable_body(&self, offset: u64, limit: u64, marker_filter: Option<&str>) -> Vec<u8> {
        let attribute = |rule: &String| {
            let attribute = rule.rsplit_once(':').map_or(rule.as_str(), |(attribute, _)| attribute);
            if attribute.starts_with("_geoPoint(") { "_geo".to_owned() } else { attribute.to_owned() }
        };
        let fields = self.fields.as_ref();
        let fields = fields.map(|fields| fields.iter().cloned().chain(self.sort.iter().map(attribute)).collect());
        self.body(offset, limit, fields, marker_filter)
    }

    /// A document of [`Self::sortable_body`] with nothing but what the client wants; none when it cannot be read.
    pub fn shown(&self, document: &str) -> Option<String> {
        let Some(names) = &self.fields else { return Some(document.to_owned()) };
        let document: Map<String, Value> = serde_json::from_str(document).ok()?;
        // Vectors are shown whatever fields are.
        let vectors = self.retrieve_vectors.then_some("_vectors");
        let names: Vec<&str> = names.iter().map(String::as_str).chain(vectors).collect();
        let shown = select(&document, &names, Selection::Document);
        Some(Value::Object(shown).to_string())
    }

    fn body(&self, offset: u64, limit: u64, fields: Option<Vec<String>>, marker_filter: Option<&str>) -> Vec<u8> {
        let mut body = Map::new();
        body.insert("offset".to_owned(), json!(offset));
        body.insert("limit".to_owned(), json!(limit));
        if let Some(fields) = fields {
            body.insert("fields".to_owned(), json!(fields));
        }
        if self.retrieve_vectors {
            body.insert("retrieveVectors".to_owned(), json!(true));
        }
        if let Some(ids) = &self.ids {
            body.insert("ids".to_owned(), json!(ids));
        }
        let user = self.filter.clone().map(|filter| node_form(filter, &self.unknown));
        let filter = marker_filter.map_or(user.clone(), |ours| Some(join_filters(user, ours)));
        if let Some(filter) = filter {
            body.insert("filter".to_owned(), filter);
        }
        if !self.sort.is_empty() {
            body.insert("sort".to_owned(), json!(self.sort));
        }
        serde_json::to_vec(&body).expect("a JSON object with text keys can always be written")
    }
}

/// One document.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DocumentQuery {
    /// None: all fields.
    pub fields: Option<Vec<String>>,
    /// With `_vectors`.
    pub retrieve_vectors: bool,
}

impl DocumentQuery {
    /// Reads the query string of `GET /indexes/{uid}/documents/{id}`.
    pub fn from_query(query: &str) -> Result<Self, ApiError> {
        let query = QueryString::parse(query, &["fields", "retrieveVectors", "useNetwork"])?;
        refuse_network(&query)?;
        let fields = fields_of(&query);
        for field in fields.iter().flatten() {
            refuse_marker("fields", field)?;
        }
        let retrieve_vectors = query.boolean("retrieveVectors", Code::InvalidDocumentRetrieveVectors)?.unwrap_or(false);
        Ok(Self { fields, retrieve_vectors })
    }
}

/// A `*` among them means all fields.
fn fields_of(query: &QueryString) -> Option<Vec<String>> {
    let fields: Vec<String> = comma_separated(query.get("fields")?).into_iter().map(str::to_owned).collect();
    if fields.iter().any(|field| field == "*") { None } else { Some(fields) }
}

fn texts(location: &str, value: &Value, code: Code) -> Result<Vec<String>, ApiError> {
    let Value::Array(items) = value else { return Err(wrong_type(code, location, "an array", value)) };
    let text = |(place, item): (usize, &Value)| {
        let wrong = || wrong_type(code, &format!("{location}[{place}]"), "a string", item);
        item.as_str().map(str::to_owned).ok_or_else(wrong)
    };
    items.iter().enumerate().map(text).collect()
}

/// One server does not understand it in a query string whatever it says.
fn refuse_network(query: &QueryString) -> Result<(), ApiError> {
    let Some(value) = query.get("useNetwork") else { return Ok(()) };
    let message =
        format!("Invalid value type for parameter `useNetwork`: expected a string, but found a string: `{value}`");
    Err(ApiError::new(Code::InvalidDocumentUseNetwork, message))
}

fn network_is_off() -> ApiError {
    let message = "passing `useNetwork` in a search query requires enabling the `network` experimental feature. See https://github.com/orgs/meilisearch/discussions/805";
    ApiError::new(Code::FeatureNotEnabled, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_queries_are_refused_in_meilisearchs_words() {
        for (body, code, message) in [
            (
                r#"{"limit":"a"}"#,
                Code::InvalidDocumentLimit,
                "Invalid value type at `.limit`: expected a positive integer, but found a string: `\"a\"`",
            ),
            (
                r#"{"offset":null}"#,
                Code::InvalidDocumentOffset,
                "Invalid value type at `.offset`: expected a positive integer, but found null",
            ),
            (
                r#"{"foo":1}"#,
                Code::BadRequest,
                "Unknown field `foo`: expected one of `offset`, `limit`, `fields`, `retrieveVectors`, `ids`, `filter`, `sort`, `useNetwork`",
            ),
            (
                r#"{"ids":"a"}"#,
                Code::InvalidDocumentIds,
                "Invalid value type at `.ids`: expected an array, but found a string: `\"a\"`",
            ),
            (
                r#"{"ids":["a b"]}"#,
                Code::InvalidDocumentIds,
                "In `.ids[0]`: Document identifier `\"a b\"` is invalid. A document identifier can be of type integer or string, only composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores (_), and can not be more than 511 bytes.",
            ),
            (
                r#"{"sort":["title"]}"#,
                Code::InvalidDocumentSort,
                "Invalid syntax for the sort parameter: expected expression ending by `:asc` or `:desc`, found `title`.",
            ),
            (
                r#"{"filter":"price ="}"#,
                Code::InvalidDocumentFilter,
                "Was expecting a value but instead got nothing.\n8:8 price =",
            ),
            (
                r#"{"fields":["_miroir"]}"#,
                Code::MiroirReservedField,
                "`_miroir` is reserved by Miroir and cannot be used in `fields`.",
            ),
            (
                r#"{"sort":["_miroir:asc"]}"#,
                Code::MiroirReservedField,
                "`_miroir` is reserved by Miroir and cannot be used in `sort`.",
            ),
        ] {
            let error = DocumentsQuery::from_json(body.as_bytes()).and_then(|query| query.check()).expect_err(body);
            assert_eq!((error.code, error.message.as_str()), (code, message), "{body}");
        }
    }

    #[test]
    fn query_strings_say_the_same_as_bodies() {
        for (query, body) in [
            ("", r#"{"fields":null,"filter":null}"#),
            (
                "fields=id,a&limit=2&offset=1&retrieveVectors=true",
                r#"{"fields":["id","a"],"limit":2,"offset":1,"retrieveVectors":true}"#,
            ),
            ("fields=a,*", "{}"),
            (
                "ids=1,a&filter=x%3D1&sort=a:asc,_geoPoint(1,2):desc",
                r#"{"ids":["1","a"],"filter":"x=1","sort":["a:asc","_geoPoint(1,2):desc"]}"#,
            ),
        ] {
            let from_query = DocumentsQuery::from_query(query).expect(query);
            assert_eq!(from_query, DocumentsQuery::from_json(body.as_bytes()).expect(body), "{query}");
        }
        assert!(DocumentQuery::from_query("fields=a,_miroir").is_err());
        assert_eq!(DocumentQuery::from_query("fields=").expect("valid").fields, Some(vec![]));
    }

    #[test]
    fn nodes_are_asked_with_the_marker_filter_added() {
        let query = DocumentsQuery::from_json(
            br#"{"filter":"a = 1","sort":["n.b:asc","_geoPoint(1, 2):asc"],"fields":["id"]}"#,
        );
        let query = query.expect("valid");
        let text = |body: Vec<u8>| String::from_utf8(body).expect("JSON");
        assert_eq!(
            text(query.node_body(3, 4, Some("m"))),
            r#"{"offset":3,"limit":4,"fields":["id"],"filter":["a = 1","m"],"sort":["n.b:asc","_geoPoint(1, 2):asc"]}"#
        );
        let denying = |unknown: &[&str]| {
            let unknown = unknown.iter().map(|name| (*name).to_owned()).collect();
            DocumentsQuery { filter: Some(json!("a != 1")), unknown, ..DocumentsQuery::default() }
        };
        let [known, unknown] = [denying(&[]), denying(&["a"])].map(|query| text(query.node_body(0, 0, None)));
        assert_eq!(
            [known.as_str(), unknown.as_str()],
            [r#"{"offset":0,"limit":0,"filter":"NOT a = 1"}"#, r#"{"offset":0,"limit":0,"filter":"a != 1"}"#]
        );
        assert_eq!(text(denying(&[]).explain_body()), unknown, "in the client's words");
        assert!(text(query.sortable_body(0, 1, None)).contains(r#""fields":["id","n.b","_geo"],"filter":"a = 1""#));
        assert_eq!(query.shown(r#"{"id":1,"n":{"b":2}}"#).as_deref(), Some(r#"{"id":1}"#));
    }
}
