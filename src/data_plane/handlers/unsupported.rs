//! Routes of one server that Miroir does not have: either not yet, or because they have no meaning for a fleet.
//!
//! Those that are an experimental feature answer as one server as long as it is off.

use super::arguments::Arguments;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Feature;

type Refusal = Result<Response, ApiError>;

pub(super) async fn refuse(_core: &Core, request: &Request, _arguments: &Arguments) -> Refusal {
    Err(not_supported(request))
}

fn not_supported(request: &Request) -> ApiError {
    let message = format!("Miroir does not support `{} {}` yet.", request.method, request.path);
    ApiError::new(Code::MiroirNotSupported, message)
}

macro_rules! experimental {
    ($($name:ident: $feature:ident, $doing:literal;)*) => {
        $(pub(super) async fn $name(core: &Core, request: &Request, _arguments: &Arguments) -> Refusal {
            core.bridge.features.load().require(Feature::$feature, $doing)?;
            Err(not_supported(request))
        })*
    };
}

experimental! {
    task_compaction: TaskQueueCompactionRoute, "Using the /tasks/compact route";
}
