//! `/indexes/{uid}/documents` and what is below it.

use serde_json::{Value, json};

use super::params::{Params, check_uid};
use super::{Node, body};
use crate::devnode::engine::{Document, DocumentsQuery, Index};
use crate::devnode::http::{Request, Response};
use crate::devnode::payload::{self, Format};
use crate::devnode::queue::{Content, PutMethod};
use crate::meili::error::{ApiError, Code};

const FETCH_FIELDS: &[&str] = &["offset", "limit", "fields", "retrieveVectors", "ids", "filter", "sort", "useNetwork"];

/// `POST` (replace) and `PUT` (update) `/indexes/{uid}/documents`.
pub fn put(node: &Node, uid: &str, request: Request) -> Result<Response, ApiError> {
    let params = Params::parse(&request.query, &["primaryKey", "csvDelimiter", "customMetadata", "skipCreation"])?;
    let delimiter = params.parsed("csvDelimiter", Code::InvalidDocumentCsvDelimiter, csv_delimiter)?;
    let skip_creation = params.parsed("skipCreation", Code::InvalidSkipCreation, |text| {
        let reason = || format!("skipCreation must be either `true` or `false`. Found: `{text}`");
        text.to_ascii_lowercase().parse::<bool>().map_err(|_| reason())
    })?;
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

fn csv_delimiter(text: &str) -> Result<u8, String> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) if character.is_ascii() => Ok(character as u8),
        (Some(character), None) => Err(format!("csv delimiter must be an ascii character. Found: `{character}`")),
        (None, _) => Err("expected a string of one character, but found an empty string".to_owned()),
        (Some(_), Some(_)) => Err(format!(
            "expected a string of one character, but found the following string of {} characters: `{text}`",
            text.chars().count()
        )),
    }
}

fn format(content_type: Option<&str>, delimiter: Option<u8>) -> Result<Format, ApiError> {
    let accepted =
        "Accepted values for the Content-Type header are: `application/json`, `application/x-ndjson`, `text/csv`";
    let Some(content_type) = content_type else {
        let message = format!("A Content-Type header is missing. {accepted}");
        return Err(ApiError::new(Code::MissingContentType, message));
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let format = match essence.as_str() {
        "application/json" => Format::Json,
        "application/x-ndjson" => Format::Ndjson,
        "text/csv" => return Ok(Format::Csv(delimiter.unwrap_or(b','))),
        _ => {
            let message = format!("The Content-Type `{essence}` is invalid. {accepted}");
            return Err(ApiError::new(Code::InvalidContentType, message));
        }
    };
    if delimiter.is_some() {
        let message = format!(
            "The Content-Type `{essence}` does not support the use of a csv delimiter. The csv delimiter can only be \
             used with the Content-Type `text/csv`."
        );
        return Err(ApiError::new(Code::InvalidContentType, message));
    }
    Ok(format)
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
    let Value::Array(items) = body::json(request)? else {
        let message = "Json deserialize error: invalid type: map, expected a sequence at line 1 column 0";
        return Err(ApiError::new(Code::BadRequest, message));
    };
    let ids = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect();
    let task = node.queue.register(Some(check_uid(uid)?), Content::Delete { ids }, metadata, None)?;
    Ok(Response::json(202, &task))
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
    let empty = match &filter {
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    if empty {
        return Err(ApiError::new(Code::InvalidDocumentFilter, "Sending an empty filter is forbidden."));
    }
    check_syntax(&filter)?;
    let task = node.queue.register(Some(uid), Content::DeleteByFilter { filter }, metadata, None)?;
    Ok(Response::json(202, &task))
}

/// Lets pass what can be parsed; whether the attributes are filterable is found out by the batch.
fn check_syntax(filter: &Value) -> Result<(), ApiError> {
    match Index::new(None).ids_matching(filter) {
        Err(error) if error.message.contains("is not filterable") || error.message.contains("not allowed for") => {
            Ok(())
        }
        checked => checked.map(|_| ()),
    }
}

/// `GET /indexes/{uid}/documents/{id}`.
pub fn get(node: &Node, uid: &str, id: &str, request: &Request) -> Result<Response, ApiError> {
    let params = Params::parse(&request.query, &["fields", "retrieveVectors", "useNetwork"])?;
    params.boolean("retrieveVectors", Code::InvalidDocumentRetrieveVectors)?;
    let index = node.indexes.get(check_uid(uid)?)?;
    let document = index.read().engine.get(id);
    let Some(document) = document else {
        return Err(ApiError::new(Code::DocumentNotFound, format!("Document `{id}` not found.")));
    };
    let fields: Option<Vec<String>> =
        params.list("fields").map(|fields| fields.into_iter().map(str::to_owned).collect());
    Ok(Response::json(200, &select(document, fields.as_deref())))
}

/// The fields asked for; a field below another one is named with dots.
fn select(document: Document, fields: Option<&[String]>) -> Document {
    let Some(fields) = fields else { return document };
    fn keep(name: &str, value: Value, fields: &[String]) -> Option<Value> {
        if fields.iter().any(|field| field == name) {
            return Some(value);
        }
        let below = format!("{name}.");
        if !fields.iter().any(|field| field.starts_with(&below)) {
            return None;
        }
        let Value::Object(object) = value else { return None };
        let kept: Document = object
            .into_iter()
            .filter_map(|(key, value)| keep(&format!("{below}{key}"), value, fields).map(|value| (key, value)))
            .collect();
        (!kept.is_empty()).then_some(Value::Object(kept))
    }
    document.into_iter().filter_map(|(key, value)| keep(&key, value, fields).map(|value| (key, value))).collect()
}

/// `GET /indexes/{uid}/documents`.
pub fn list(node: &Node, uid: &str, request: &Request) -> Result<Response, ApiError> {
    let params = Params::parse(&request.query, FETCH_FIELDS)?;
    params.boolean("retrieveVectors", Code::InvalidDocumentRetrieveVectors)?;
    let owned = |items: Vec<&str>| items.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let filter = params.text("filter").map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)));
    let query = DocumentsQuery {
        filter,
        ids: params.text("ids").map(|ids| ids.split(',').map(str::to_owned).collect()),
        fields: params.list("fields").map(owned),
        sort: params.text("sort").map(split_sort).unwrap_or_default(),
        offset: params.number("offset", Code::InvalidDocumentOffset)?.unwrap_or(0) as usize,
        limit: params.number("limit", Code::InvalidDocumentLimit)?.unwrap_or(20) as usize,
    };
    answer(node, uid, &query)
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
    if let Some(other) = body.get("retrieveVectors").filter(|value| !value.is_boolean()) {
        return Err(body::wrong_type(Code::InvalidDocumentRetrieveVectors, ".retrieveVectors", "a boolean", other));
    }
    let query = DocumentsQuery {
        filter: body.get("filter").filter(|filter| !filter.is_null()).cloned(),
        ids: ids(body.get("ids"))?,
        fields: body::texts(&body, "fields", Code::InvalidDocumentFields)?,
        sort: body::texts(&body, "sort", Code::InvalidDocumentSort)?.unwrap_or_default(),
        offset: body::number(&body, "offset", Code::InvalidDocumentOffset)?.unwrap_or(0),
        limit: body::number(&body, "limit", Code::InvalidDocumentLimit)?.unwrap_or(20),
    };
    answer(node, uid, &query)
}

fn ids(value: Option<&Value>) -> Result<Option<Vec<String>>, ApiError> {
    let items = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(body::wrong_type(Code::InvalidDocumentIds, ".ids", "an array", other)),
    };
    let read = |(position, item): (usize, &Value)| match item {
        Value::String(id) => Ok(id.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        other => Err(ApiError::new(
            Code::InvalidDocumentIds,
            format!(
                "In `.ids[{position}]`: Document identifier `{other}` is invalid. A document identifier can be of type \
                 integer or string, only composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and \
                 underscores (_), and can not be more than 511 bytes."
            ),
        )),
    };
    items.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
}

fn answer(node: &Node, uid: &str, query: &DocumentsQuery) -> Result<Response, ApiError> {
    let index = node.indexes.get(check_uid(uid)?)?;
    let page = index.read().engine.documents(query)?;
    let answer = json!({ "results": page.results, "offset": query.offset, "limit": query.limit, "total": page.total });
    Ok(Response::json(200, &answer))
}
