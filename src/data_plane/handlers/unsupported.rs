//! Routes of one server that Miroir does not have: either not yet, or as a server with that feature switched off.

use super::arguments::Arguments;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::error::{ApiError, Code};

type Refusal = Result<Response, ApiError>;

pub(super) async fn refuse(_core: &Core, request: &Request, _arguments: &Arguments) -> Refusal {
    let message = format!("Miroir does not support `{} {}` yet.", request.method, request.path);
    Err(ApiError::new(Code::MiroirNotSupported, message))
}

fn not_enabled(doing: &str, feature: &str, link: &str) -> Refusal {
    let message =
        format!("{doing} requires enabling the `{feature}` experimental feature. See https://github.com/{link}");
    Err(ApiError::new(Code::FeatureNotEnabled, message))
}

macro_rules! switched_off {
    ($($name:ident: $doing:literal, $feature:literal, $link:literal;)*) => {
        $(pub(super) async fn $name(_core: &Core, _request: &Request, _arguments: &Arguments) -> Refusal {
            not_enabled($doing, $feature, $link)
        })*
    };
}

switched_off! {
    edit_documents: "Using the documents edit route", "edit documents by function", "orgs/meilisearch/discussions/762";
    network: "Using the /network route", "network", "orgs/meilisearch/discussions/805";
    metrics: "Getting metrics", "metrics", "meilisearch/product/discussions/625";
    logs: "Modifying logs through the `/logs/*` routes", "logs route", "orgs/meilisearch/discussions/721";
    chats: "listing the chats", "chat completions", "orgs/meilisearch/discussions/835";
    search_rules: "Using the `/dynamic-search-rules` routes", "dynamic search rules", "orgs/meilisearch/discussions/884";
    task_documents: "Getting the documents of an enqueued task", "get task documents route", "orgs/meilisearch/discussions/808";
    task_compaction: "Using the /tasks/compact route", "task queue compaction route", "orgs/meilisearch/discussions/883";
}
