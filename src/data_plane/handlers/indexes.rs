//! Indexes: create, show, list, update, swap, delete. What is shown is what readers see.

use serde_json::json;

use super::arguments::{Arguments, require_json};
use super::write::{accepted, commit};
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::logic::entry::{Operation, Swap};
use crate::logic::ids::IndexUid;
use crate::logic::snapshot::IndexView;
use crate::meili::dates::rfc3339;
use crate::meili::error::{ApiError, Code};
use crate::meili::index::{CreateIndex, IndexPaging, IndexShown, UpdateIndex};
use crate::meili::keys::Grant;
use crate::meili::swaps::{parse_swaps, refuse_duplicates};

fn shown(view: &IndexView) -> IndexShown {
    IndexShown {
        uid: view.uid.to_string(),
        created_at: rfc3339(view.created_at),
        updated_at: rfc3339(view.updated_at.get()),
        primary_key: view.primary_key.as_deref().map(str::to_owned),
    }
}

/// `index_not_found`.
pub(super) fn not_found(index: &IndexUid) -> ApiError {
    ApiError::new(Code::IndexNotFound, format!("Index `{index}` not found."))
}

pub(super) async fn list(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let IndexPaging { offset, limit } = IndexPaging::parse(&request.query)?;
    let snapshot = core.snapshot();
    let is_shown = |uid: &&IndexUid| arguments.grant().allows_index(uid.as_str());
    let mut uids: Vec<&IndexUid> = snapshot.indexes.keys().filter(is_shown).collect();
    uids.sort();
    let results: Vec<IndexShown> =
        uids.iter().skip(offset).take(limit).map(|uid| shown(&snapshot.indexes[*uid])).collect();
    let page = json!({"results": results, "offset": offset, "limit": limit, "total": uids.len()});
    Ok(Response::json(200, &page))
}

pub(super) async fn get(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let index = arguments.index()?;
    let snapshot = core.snapshot();
    let view = snapshot.indexes.get(&index).ok_or_else(|| not_found(&index))?;
    Ok(Response::json(200, &shown(view)))
}

pub(super) async fn create(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let CreateIndex { uid, primary_key } = CreateIndex::parse(&request.body)?;
    if !arguments.grant().may_create_index(&uid) {
        return Err(Grant::refusal());
    }
    let operation = Operation::CreateIndex { primary_key };
    commit(core, Some(IndexUid::new(uid)), operation, None).await.map(|task| accepted(&task))
}

pub(super) async fn update(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let UpdateIndex { primary_key, uid } = UpdateIndex::parse(&request.body)?;
    let index = arguments.index()?;
    let operation = Operation::UpdateIndex { primary_key, rename: uid.map(|uid| (index.clone(), IndexUid::new(uid))) };
    commit(core, Some(index), operation, None).await.map(|task| accepted(&task))
}

pub(super) async fn compact(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let index = arguments.index()?;
    commit(core, Some(index), Operation::CompactIndex, None).await.map(|task| accepted(&task))
}

pub(super) async fn swap(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let swaps = parse_swaps(&request.body)?;
    let grant = arguments.grant();
    if !swaps.iter().all(|(left, right, _)| grant.allows_index(left) && grant.allows_index(right)) {
        return Err(Grant::refusal());
    }
    refuse_duplicates(&swaps)?;
    let swaps = swaps
        .into_iter()
        .map(|(left, right, is_rename)| Swap { indexes: (IndexUid::new(left), IndexUid::new(right)), is_rename });
    // The journal looks the names up.
    let operation = Operation::SwapIndexes { swaps: swaps.collect(), names: Vec::new() };
    commit(core, None, operation, None).await.map(|task| accepted(&task))
}

pub(super) async fn delete(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let index = arguments.index()?;
    commit(core, Some(index), Operation::DeleteIndex, None).await.map(|task| accepted(&task))
}
