//! `/indexes`, `/indexes/{uid}`, their statistics, `/stats`.

use serde_json::{Map, Value, json};

use super::params::{Params, check_uid, invalid_uid};
use super::{Node, body};
use crate::devnode::http::{Request, Response};
use crate::devnode::indexes::NamedIndex;
use crate::devnode::queue::{Content, date};
use crate::meili::error::{ApiError, Code};

fn view(index: &NamedIndex) -> Value {
    let content = index.read();
    json!({
        "uid": index.uid,
        "createdAt": date(index.created_at()),
        "updatedAt": date(content.updated_at),
        "primaryKey": content.engine.primary_key(),
    })
}

/// `GET /indexes`.
pub fn list(node: &Node, request: &Request) -> Result<Response, ApiError> {
    let params = Params::parse(&request.query, &["offset", "limit"])?;
    let offset = params.number("offset", Code::InvalidIndexOffset)?.unwrap_or(0) as usize;
    let limit = params.number("limit", Code::InvalidIndexLimit)?.unwrap_or(20) as usize;
    let indexes = node.indexes.list();
    let results: Vec<_> = indexes.iter().skip(offset).take(limit).map(|index| view(index)).collect();
    Ok(Response::json(200, &json!({ "results": results, "offset": offset, "limit": limit, "total": indexes.len() })))
}

/// `POST /indexes`.
pub fn create(node: &Node, request: Request) -> Result<Response, ApiError> {
    let body = body::object(request)?;
    body::known_fields(&body, &["uid", "primaryKey"])?;
    let uid = match body.get("uid") {
        None => return Err(ApiError::new(Code::MissingIndexUid, "Missing field `uid`")),
        Some(Value::String(uid)) => uid,
        Some(other) => return Err(body::wrong_type(Code::InvalidIndexUid, ".uid", "a string", other)),
    };
    if check_uid(uid).is_err() {
        return Err(ApiError::new(Code::InvalidIndexUid, format!("Invalid value at `.uid`: {}", invalid_uid(uid))));
    }
    let primary_key = body::text(&body, "primaryKey", Code::InvalidIndexPrimaryKey)?;
    let task = node.queue.register(Some(uid), Content::CreateIndex { primary_key }, None, None)?;
    Ok(Response::json(202, &task))
}

/// `GET /indexes/{uid}`.
pub fn get(node: &Node, uid: &str) -> Result<Response, ApiError> {
    Ok(Response::json(200, &view(&*node.indexes.get(check_uid(uid)?)?)))
}

/// `PATCH /indexes/{uid}`.
pub fn update(node: &Node, uid: &str, request: Request) -> Result<Response, ApiError> {
    let uid = check_uid(uid)?;
    let body = body::object(request)?;
    for immutable in ["createdAt", "updatedAt"] {
        if body.contains_key(immutable) {
            let code =
                if immutable == "createdAt" { Code::ImmutableIndexCreatedAt } else { Code::ImmutableIndexUpdatedAt };
            let message = format!("Immutable field `{immutable}`: expected one of `primaryKey`, `uid`");
            return Err(ApiError::new(code, message));
        }
    }
    body::known_fields(&body, &["primaryKey", "uid"])?;
    if body.contains_key("uid") {
        let message = "The embedded development node does not rename indexes.";
        return Err(ApiError::new(Code::MiroirNotSupported, message));
    }
    let primary_key = body::text(&body, "primaryKey", Code::InvalidIndexPrimaryKey)?;
    let task = node.queue.register(Some(uid), Content::UpdateIndex { primary_key }, None, None)?;
    Ok(Response::json(202, &task))
}

/// `DELETE /indexes/{uid}`.
pub fn delete(node: &Node, uid: &str) -> Result<Response, ApiError> {
    let task = node.queue.register(Some(check_uid(uid)?), Content::DeleteIndex, None, None)?;
    Ok(Response::json(202, &task))
}

/// `POST /indexes/{uid}/compact`. Whether the index exists is found out by its task.
pub fn compact(node: &Node, uid: &str) -> Result<Response, ApiError> {
    let task = node.queue.register(Some(check_uid(uid)?), Content::CompactIndex, None, None)?;
    Ok(Response::json(202, &task))
}

/// `POST /indexes/{uid}/fields`: all names, whatever is asked for, and nothing but names.
pub fn fields(node: &Node, uid: &str) -> Result<Response, ApiError> {
    let index = node.indexes.get(check_uid(uid)?)?;
    let names = index.read().engine.field_names();
    let total = names.len();
    let results: Vec<Value> = names.into_iter().map(|name| json!({ "name": name })).collect();
    Ok(Response::json(200, &json!({ "results": results, "offset": 0, "limit": total, "total": total })))
}

fn index_stats(node: &Node, index: &NamedIndex) -> Value {
    let stats = index.read().engine.stats();
    json!({
        "numberOfDocuments": stats.number_of_documents,
        "rawDocumentDbSize": 0,
        "avgDocumentSize": 0,
        "isIndexing": node.queue.is_indexing(&index.uid),
        "numberOfEmbeddings": stats.number_of_embeddings,
        "numberOfEmbeddedDocuments": stats.number_of_embedded_documents,
        "fieldDistribution": stats.field_distribution,
    })
}

/// `GET /indexes/{uid}/stats`.
pub fn stats(node: &Node, uid: &str) -> Result<Response, ApiError> {
    let index = node.indexes.get(check_uid(uid)?)?;
    Ok(Response::json(200, &index_stats(node, &index)))
}

/// `GET /stats`.
pub fn stats_all(node: &Node) -> Response {
    let indexes = node.indexes.list();
    let last_update = indexes.iter().map(|index| index.read().updated_at).max().map(date);
    let by_uid: Map<String, Value> =
        indexes.iter().map(|index| (index.uid.clone(), index_stats(node, index))).collect();
    let stats = json!({ "databaseSize": 0, "usedDatabaseSize": 0, "lastUpdate": last_update, "indexes": by_uid });
    Response::json(200, &stats)
}
