//! From a request to its handler: one file per operation.

use super::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::error::{ApiError, Code};

/// Answers a client's request.
pub async fn route(_core: &Core, request: Request) -> Response {
    let message = format!("`{} {}` is not supported.", request.method, request.path);
    Response::error(&ApiError::new(Code::MiroirNotSupported, message))
}
