//! Routes of one server that Miroir does not have: either not yet, or because they have no meaning for a fleet.

use super::arguments::Arguments;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::error::{ApiError, Code};

type Refusal = Result<Response, ApiError>;

pub(super) async fn refuse(_core: &Core, request: &Request, _arguments: &Arguments) -> Refusal {
    Err(not_supported(request))
}

fn not_supported(request: &Request) -> ApiError {
    let message = format!("Miroir does not support `{} {}` yet.", request.method, request.path);
    ApiError::new(Code::MiroirNotSupported, message)
}
