//! `/indexes/{uid}/documents` and what is below it.

use serde_json::{Value, json};

use super::params::{Params, check_uid};
use super::{Node, body};
use crate::devnode::engine::{Document, DocumentsQuery};
use crate::devnode::http::{Request, Response};
use crate::devnode::payload::{self, Format};
use crate::devnode::queue::{Content, PutMethod};
use crate::meili::error::{ApiError, Code};
use crate::meili::filter::Filter;
use crate::meili::formats::DocumentFormat;

const FETCH_FIELDS: &[&str] = &["offset", "limit", "fields", "retrieveVectors", "ids", "filter", "sort", "useNetwork"];

/// `POST` (replace) and `PUT` (update) `/indexes/{uid}/documents`.
pub fn put(node: &Node, uid: &str, request: Request) -> Result<Response, ApiError> {
    let params = Params::parse(&request.query, &["primaryKey", "csvDelimiter", "customMetadata", "skipCreation"])?;
    let delimiter = params.text("csvDelimiter").map(csv_delimiter).transpose()?;
    let skip_creation = match params.text("skipCreation").map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => {
            let found = params.text("skipCreation").unwrap_or_default();
            let message = format!("skipCreation must be either `true` or `false`. Found: `{found}`");
            return Err(ApiError::new(Code::InvalidSkipCreation, message));
        }
    };
    let uid = check_uid(uid)?;
    let format = format(request.content_type.as_deref(), delimiter)?;
    let (body, received) = payload::check(request.body?, format)?;
    let content = Content::Put {
        method: if request.method == "POST" { PutMethod::Replace } else { PutMethod::Update },
        primary_key: params.text("primaryKey").map(str::to_owned),
        received,
        skip_creation: skip_creation.unwrap_or(false),
    };
    let metadata = params.text("customMetadata").map(str::to_owned);
    let task = node.queue.register(Some(uid), content, metadata, Some(&body))?;
    Ok(Response::json(202, &task))
}

fn csv_delimiter(text: &str) -> Result<u8, ApiError> {
    let mut characters = text.chars();
    let place = "Invalid value in parameter `csvDelimiter`: expected a string of one character, but found";
    let message = match (characters.next(), characters.next()) {
        (Some(character), None) if character.is_ascii() => return Ok(character as u8),
        (Some(character), None) => format!("csv delimiter must be an ascii character. Found: `{character}`"),
        (None, _) => format!("{place} an empty string"),
        (Some(_), Some(_)) => {
            format!("{place} the following string of {} characters: `{text}`", text.chars().count())
        }
    };
    Err(ApiError::new(Code::InvalidDocumentCsvDelimiter, message))
}

fn format(content_type: Option<&str>, delimiter: Option<u8>) -> Result<Format, ApiError> {
    Ok(match DocumentFormat::of_request(content_type, delimiter)? {
        DocumentFormat::Json => Format::Json,
        DocumentFormat::Ndjson => Format::Ndjson,
        DocumentFormat::Csv { delimiter } => Format::Csv(delimiter),
    })
}

fn metadata(request: &Request) -> Result<Option<String>, ApiError> {
    let params = Params::parse(&request.query, &["customMetadata"])?;
    Ok(params.text("customMetadata").map(str::to_owned))
}

/// `DELETE /indexes/{uid}/documents`.
pub fn clear(node: &Node, uid: &str, request: &Request) -> Result<Response, ApiError> {
    let metadata = metadata(request)?;
    let task = node.queue.register(Some(check_uid(uid)?), Content::Clear, metadata, None)?;
    Ok(Response::json(202, &task))
}

/// `DELETE /indexes/{uid}/documents/{id}`.
pub fn delete(node: &Node, uid: &str, id: &str, request: &Request) -> Result<Response, ApiError> {
    let metadata = metadata(request)?;
    let content = Content::Delete { ids: vec![id.to_owned()] };
    let task = node.queue.register(Some(check_uid(uid)?), content, metadata, None)?;
    Ok(Response::json(202, &task))
}

/// `POST /indexes/{uid}/documents/delete-batch`.
pub fn delete_batch(node: &Node, uid: &str, request: Request) -> Result<Response, ApiError> {
    let metadata = metadata(&request)?;
    let body = body::json(request)?;
    let items = body.as_array().ok_or_else(|| no_sequence(&body))?;
    let ids = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect();
    let task = node.queue.register(Some(check_uid(uid)?), Content::Delete { ids }, metadata, None)?;
    Ok(Response::json(202, &task))
}

fn no_sequence(found: &Value) -> ApiError {
    let (kind, column) = match found {
        Value::Null => ("null".to_owned(), 4),
        Value::Bool(flag) => (format!("boolean `{flag}`"), flag.to_string().len()),
        Value::Number(number) if !number.is_f64() => (format!("integer `{number}`"), number.to_string().len()),
        Value::Number(number) => (format!("floating point `{number}`"), number.to_string().len()),
        Value::String(text) => (format!("string {text:?}"), text.len() + 2),
        Value::Array(_) | Value::Object(_) => ("map".to_owned(), 0),
    };
    let message =
        format!("Json deserialize error: invalid type: {kind}, expected a sequence at line 1 column {column}");
    ApiError::new(Code::BadRequest, message)
}

/// `POST /indexes/{uid}/documents/delete`.
pub fn delete_by_filter(node: &Node, uid: &str, request: Request) -> Result<Response, ApiError> {
    let metadata = metadata(&request)?;
    let mut body = body::object(request)?;
    body::known_fields(&body, &["filter"])?;
    let Some(filter) = body.remove("filter") else {
        return Err(ApiError::new(Code::MissingDocumentFilter, "Missing field `filter`"));
    };
    let uid = check_uid(uid)?;
    // Whether its attributes are filterable is found out by the batch.
    let invalid = |message: String| ApiError::new(Code::InvalidDocumentFilter, message);
    if !filter.is_string() && !filter.is_array() {
        let message = format!("Invalid syntax for the filter parameter: `expected String, Array, found: {filter}`.");
        return Err(invalid(message));
    }
    if Filter::parse(&filter).map_err(|error| invalid(error.to_string()))?.is_none() {
        return Err(invalid("Sending an empty filter is forbidden.".to_owned()));
    }
    let task = node.queue.register(Some(uid), Content::DeleteByFilter { filter }, metadata, None)?;
    Ok(Response::json(202, &task))
}

/// `GET /indexes/{uid}/documents/{id}`.
pub fn get(node: &Node, uid: &str, id: &str, request: &Request) -> Result<Response, ApiError> {
    let params = Params::parse(&request.query, &["fields", "retrieveVectors", "useNetwork"])?;
    let vectors = params.boolean("retrieveVectors", Code::InvalidDocumentRetrieveVectors)?.unwrap_or(false);
    let index = node.indexes.get(check_uid(uid)?)?;
    let query = DocumentsQuery {
        ids: Some(vec![id.to_owned()]),
        fields: shown(params.list("fields").map(owned), vectors),
        limit: 1,
        ..DocumentsQuery::default()
    };
    let found = index.read().engine.documents(&query)?.results.pop();
    let missing = || ApiError::new(Code::DocumentNotFound, format!("Document `{id}` not found."));
    Ok(Response::json(200, &with_vectors(found.ok_or_else(missing)?, vectors)))
}

fn owned(items: Vec<&str>) -> Vec<String> {
    items.into_iter().map(str::to_owned).collect()
}

/// Vectors that are asked for are shown whatever fields are named.
fn shown(fields: Option<Vec<String>>, vectors: bool) -> Option<Vec<String>> {
    let named = vectors.then(|| "_vectors".to_owned());
    fields.map(|fields| fields.into_iter().chain(named).collect())
}

/// Vectors are shown when asked for, even when there are none; they are hidden otherwise.
pub fn with_vectors(mut document: Document, vectors: bool) -> Document {
    if vectors {
        document.entry("_vectors").or_insert_with(|| json!({}));
    } else {
        document.shift_remove("_vectors");
    }
    document
}

/// `GET /indexes/{uid}/documents`.
pub fn list(node: &Node, uid: &str, request: &Request) -> Result<Response, ApiError> {
    let params = Params::parse(&request.query, FETCH_FIELDS)?;
    let vectors = params.boolean("retrieveVectors", Code::InvalidDocumentRetrieveVectors)?.unwrap_or(false);
    let ids = params.text("ids").map(|ids| Value::from(ids.split(',').collect::<Vec<_>>()));
    let filter = params.text("filter").map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)));
    let query = DocumentsQuery {
        filter,
        ids: read_ids(ids.as_ref())?,
        fields: shown(params.list("fields").map(owned), vectors),
        sort: params.text("sort").map(split_sort).unwrap_or_default(),
        offset: params.number("offset", Code::InvalidDocumentOffset)?.unwrap_or(0) as usize,
        limit: params.number("limit", Code::InvalidDocumentLimit)?.unwrap_or(20) as usize,
    };
    answer(node, uid, &query, vectors)
}

/// Splits at commas, but not inside `_geoPoint(1,2)`.
pub fn split_sort(text: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let mut items = vec![String::new()];
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if character == ',' && depth == 0 {
            items.push(String::new());
        } else if let Some(item) = items.last_mut() {
            item.push(character);
        }
    }
    items.into_iter().map(|item| item.trim().to_owned()).collect()
}

/// `POST /indexes/{uid}/documents/fetch`.
pub fn fetch(node: &Node, uid: &str, request: Request) -> Result<Response, ApiError> {
    let body = body::object(request)?;
    body::known_fields(&body, FETCH_FIELDS)?;
    let vectors = match body.get("retrieveVectors") {
        None => false,
        Some(Value::Bool(flag)) => *flag,
        Some(other) => {
            return Err(body::wrong_type(Code::InvalidDocumentRetrieveVectors, ".retrieveVectors", "a boolean", other));
        }
    };
    let query = DocumentsQuery {
        filter: body.get("filter").filter(|filter| !filter.is_null()).cloned(),
        ids: read_ids(body.get("ids"))?,
        fields: shown(body::texts(&body, "fields", Code::InvalidDocumentFields)?, vectors),
        sort: body::texts(&body, "sort", Code::InvalidDocumentSort)?.unwrap_or_default(),
        offset: body::number(&body, "offset", Code::InvalidDocumentOffset)?.unwrap_or(0),
        limit: body::number(&body, "limit", Code::InvalidDocumentLimit)?.unwrap_or(20),
    };
    answer(node, uid, &query, vectors)
}

fn read_ids(value: Option<&Value>) -> Result<Option<Vec<String>>, ApiError> {
    let items = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(body::wrong_type(Code::InvalidDocumentIds, ".ids", "an array", other)),
    };
    let allowed = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '_';
    let read = |(position, item): (usize, &Value)| match item {
        Value::String(id) if !id.is_empty() && id.len() < 512 && id.chars().all(allowed) => Ok(id.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            let message = format!(
                "In `.ids[{position}]`: Document identifier `{item}` is invalid. A document identifier can be of type \
                 integer or string, only composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and \
                 underscores (_), and can not be more than 511 bytes."
            );
            Err(ApiError::new(Code::InvalidDocumentIds, message))
        }
    };
    items.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
}

fn answer(node: &Node, uid: &str, query: &DocumentsQuery, vectors: bool) -> Result<Response, ApiError> {
    let index = node.indexes.get(check_uid(uid)?)?;
    let page = index.read().engine.documents(query).map_err(|error| {
        // Here the name of the index does not stand before the message, as it does in tasks and searches.
        let message = error.message.replace(&format!("Index `{uid}`: "), "");
        ApiError::new(error.code, message)
    })?;
    let results: Vec<_> = page.results.into_iter().map(|document| with_vectors(document, vectors)).collect();
    let answer = json!({ "results": results, "offset": query.offset, "limit": query.limit, "total": page.total });
    Ok(Response::json(200, &answer))
}
