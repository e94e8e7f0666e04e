//! `POST /export`: sends indexes to another server. The control plane does it, where it stands in the journal.

use super::arguments::{Arguments, require_json};
use super::write::commit;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::logic::entry::Operation;
use crate::meili::error::ApiError;
use crate::meili::export::Export;

pub(super) async fn post(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let export = Export::parse(&request.body)?;
    // 200 and not 202: so does one server.
    commit(core, None, Operation::Export(export), None).await.map(|task| Response::json(200, &task))
}
