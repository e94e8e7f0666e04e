//! The fields of an index, with what they may be used for.

use super::arguments::{Arguments, require_json};
use super::indexes::not_found;
use super::search::with_missing;
use crate::data_plane::core::{Core, PartialPolicy};
use crate::data_plane::reading::{check_complete, node_error, nothing_to_read};
use crate::data_plane::scatter::{ScatterScope, scatter};
use crate::data_plane::upstream::NodeRequest;
use crate::http_types::{Request, Response};
use crate::logic::ids::ShardId;
use crate::meili::error::{ApiError, Code};
use crate::meili::index_fields::{ListFields, NodeFields};

/// `POST /indexes/{index}/fields`.
///
/// # Errors
/// `index_not_found`, those of [`ListFields::parse`], `miroir_shard_unavailable`.
pub(super) async fn list(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let list = ListFields::parse(&request.body)?;
    let uid = arguments.index()?;
    let snapshot = core.snapshot();
    let view = snapshot.indexes.get(&uid).ok_or_else(|| not_found(&uid))?;
    let scope = ScatterScope { snapshot: &snapshot, index: view, deadline: core.read_deadline(), trace: None };
    let set = scope.cover(&(0..snapshot.placement.len() as u16).map(ShardId).collect::<Vec<_>>(), &[]);
    if set.parts.is_empty() {
        return Err(nothing_to_read());
    }
    let target = format!("/indexes/{}/fields", view.node_uid);
    let scattered = scatter(core, scope, &set, |_, _| NodeRequest::post_read(target.clone(), ListFields::node_body()));
    let scattered = scattered.await.map_err(|refusal| node_error(&refusal.response.body, view))?;
    check_complete(&scattered, PartialPolicy::Partial)?;
    let read = |body: &[u8]| {
        serde_json::from_slice::<NodeFields>(body)
            .map_err(|error| ApiError::new(Code::Internal, format!("A node sent no list of fields: {error}.")))
    };
    let answers: Vec<NodeFields> =
        scattered.answers.iter().map(|answer| read(&answer.body)).collect::<Result<_, _>>()?;
    let names = answers.iter().flat_map(|answer| &answer.results).map(|field| field.name.as_str());
    let page = list.page(names, &view.settings);
    Ok(with_missing(Response::json(200, &page), &scattered.missing))
}
