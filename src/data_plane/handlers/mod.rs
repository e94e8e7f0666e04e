//! From a request to its handler: match the route, check the key, answer.
//!
//! [`routes`] is the one table of what clients can call; one file per group of operations. An unknown path is 404 and a
//! known path with another method 405, both before the key is looked at, as on one server.

use http::header::{ALLOW, AUTHORIZATION, HeaderValue, RETRY_AFTER};

use super::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::error::{ApiError, Code};
use crate::meili::keys::{AccessCheck, Grant, Need};
use crate::telemetry::clock;

pub mod arguments;
mod batches;
mod chats;
mod conversation;
pub mod cors;
pub mod documents_read;
mod documents_write;
mod export;
mod facet_search;
mod features;
mod index_fields;
mod indexes;
mod keys;
mod logs;
mod metrics;
mod multi_search;
mod network;
mod render;
pub mod routes;
pub mod search;
mod search_rules;
mod settings;
mod similar;
pub mod stats;
mod system;
mod tasks;
mod webhooks;
mod write;

use arguments::Arguments;
use routes::{Found, ROUTES, Route};

/// Answers a client's request.
pub async fn route(core: &Core, request: Request) -> Response {
    let began = clock::instant();
    let (route, response) = match admit(core, &request) {
        Ok((route, arguments)) => {
            let answered = (route.handle)(core, &request, &arguments).await;
            (Some(route), answered.unwrap_or_else(|error| refusal(&error)))
        }
        Err(response) => match routes::find(&request) {
            Found::Route(route, _) => (Some(route), response),
            Found::OtherMethods(_) | Found::Nothing => (None, response),
        },
    };
    if let Some(route) = route {
        let place = (route.place, ROUTES.len());
        core.bridge.requests.count(core.number, place, response.status, began.elapsed());
    }
    response
}

/// The route of a request that may use it. Looks at the head alone.
///
/// # Errors
/// The answer, whatever the body.
pub fn admit(core: &Core, request: &Request) -> Result<(&'static Route, Arguments), Response> {
    if let Some(response) = cors::preflight(request) {
        return Err(response);
    }
    let (route, mut arguments) = match routes::find(request) {
        Found::Route(route, arguments) => (route, arguments),
        Found::OtherMethods(allowed) => {
            let response = Response::empty(405);
            return Err(match HeaderValue::from_str(&allowed.join(", ")) {
                Ok(allowed) => response.with_header(ALLOW, allowed),
                Err(_) => response,
            });
        }
        Found::Nothing => return Err(Response::empty(404)),
    };
    match grant(core, request, route, &arguments) {
        Ok(grant) => {
            arguments.set_grant(grant);
            Ok((route, arguments))
        }
        Err(error) => Err(refusal(&error)),
    }
}

/// What the caller may do with this route.
fn grant(core: &Core, request: &Request, route: &Route, arguments: &Arguments) -> Result<Grant, ApiError> {
    if route.actions.is_empty() {
        return Ok(Grant::everything());
    }
    let index = route.names_an_index().then(|| arguments.text(0));
    granted(core, request, Need { actions: route.actions, index })
}

/// What the caller may do, if it may do this.
fn granted(core: &Core, request: &Request, need: Need<'_>) -> Result<Grant, ApiError> {
    let snapshot = core.snapshot();
    let master_key = core.settings.master_key.as_deref();
    let check = AccessCheck { master_key, ring: &snapshot.keys, now: clock::timestamp() };
    let header = request.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    check.check(header, need)
}

/// An error as an answer; where coming back later may help, it says when.
fn refusal(error: &ApiError) -> Response {
    let response = Response::error(error);
    if matches!(error.code, Code::MiroirOverloaded | Code::MiroirShardUnavailable) {
        return response.with_header(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests;
