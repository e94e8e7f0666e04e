//! To be written with the reads.

use super::arguments::Arguments;
use super::unsupported::refuse;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::error::ApiError;

/// See the module.
///
/// # Errors
/// Not supported yet.
pub async fn get(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    refuse(core, request, arguments).await
}

/// See the module.
///
/// # Errors
/// Not supported yet.
pub async fn post(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    refuse(core, request, arguments).await
}
