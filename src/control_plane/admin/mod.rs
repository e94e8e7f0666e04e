//! The admin API: what an operator sees of this Miroir and asks of it, as JSON, through the bridge.
//!
//! The routes are in [`routes`]; each may be written with `/_miroir` in front. Shapes: `docs/ADMIN-API.md` and
//! `docs/admin-api.yaml`. What the snapshot says is answered here ([`view`]); the task desk answers about tasks and the fleet,
//! the operator's thread about nodes, shards and moves ([`topology`]).
//!
//! Invariant: no key of a client, node or operator is ever part of an answer.

use std::sync::Arc;

use http::header::{ALLOW, HeaderValue};
use serde_json::Value;

use super::status::Looks;
use super::troubles::Troubles;
use crate::bridge::reply::Reply;
use crate::bridge::{Bridge, Command};
use crate::config::Secret;
use crate::http_types::{Request, Response};
use crate::meili::error::{ApiError, Code};
use crate::meili::tasks::{TaskPage, TaskQuery, TaskStatus};
use routes::{NoQuestion, Question, question};
use view::{ListView, node_versions, nodes, shards, status};

mod routes;
#[cfg(test)]
mod tests;
mod topology;
mod view;

pub use routes::{ROUTES, Route};

/// See the module.
#[derive(Debug)]
pub struct AdminApi {
    bridge: Arc<Bridge>,
    troubles: Troubles,
    looks: Looks,
    /// None: everyone who reaches the address.
    key: Option<Secret>,
}

impl AdminApi {
    /// In front of this bridge.
    pub fn new(bridge: Arc<Bridge>, troubles: Troubles, looks: Looks, key: Option<Secret>) -> Self {
        Self { bridge, troubles, looks, key }
    }

    /// Answers one request. Waits for the control plane when it needs more than the snapshot: bound it from outside.
    pub async fn answer(&self, request: Request) -> Response {
        let path = request.path.strip_prefix("/_miroir").unwrap_or(&request.path);
        if path != "/health"
            && let Err(error) = self.authorize(&request)
        {
            return Response::error(&error);
        }
        match question(path, &request) {
            Ok(question) => self.reply(question).await.into(),
            Err(NoQuestion::Method(allowed)) => {
                let allowed = HeaderValue::from_str(&allowed).expect("names of methods are header texts");
                Response::empty(405).with_header(ALLOW, allowed)
            }
            Err(NoQuestion::Error(error)) => Response::error(&error),
        }
    }

    async fn reply(&self, question: Question) -> Result<Response, ApiError> {
        // Taken when nothing is waited for any more: some answers wait until nobody holds an old one.
        let snapshot = || self.bridge.snapshot.load_full();
        Ok(match question {
            Question::Health => Response::json_bytes(200, r#"{"status":"available"}"#),
            Question::Status => {
                let unfinished = self.unfinished().await?;
                let snapshot = snapshot();
                let versions = node_versions(&snapshot, &self.looks);
                Response::json(200, &status(&self.bridge, &snapshot, &self.troubles, (unfinished, versions)))
            }
            Question::Nodes => Response::json(200, &ListView { results: nodes(&snapshot()) }),
            Question::Shards => Response::json(200, &ListView { results: shards(&snapshot()) }),
            Question::Fleet => Response::json(200, &self.ask::<Value>(Command::Fleet).await?),
            Question::Tasks(query) => Response::json(200, &self.tasks(*query).await?),
            Question::Topology(request) => {
                let command = |reply| Command::Topology(request, reply);
                Response::json(200, &self.ask::<Value>(command).await?)
            }
        })
    }

    fn authorize(&self, request: &Request) -> Result<(), ApiError> {
        let Some(key) = &self.key else { return Ok(()) };
        let Some(given) = request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) else {
            let message = "The Authorization header is missing. It must use the bearer authorization method.";
            return Err(ApiError::new(Code::MissingAuthorizationHeader, message));
        };
        if is_equal(given.as_bytes(), key.expose().as_bytes()) {
            Ok(())
        } else {
            Err(ApiError::new(Code::InvalidApiKey, "The provided API key is invalid."))
        }
    }

    async fn unfinished(&self) -> Result<u64, ApiError> {
        let statuses = Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]);
        Ok(self.tasks(TaskQuery { limit: 0, statuses, ..TaskQuery::default() }).await?.total)
    }

    async fn tasks(&self, query: TaskQuery) -> Result<TaskPage, ApiError> {
        self.ask(|reply| Command::Tasks(Box::new(query), reply)).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<Result<T, ApiError>>) -> Command) -> Result<T, ApiError> {
        let overloaded = || ApiError::new(Code::MiroirOverloaded, "The journal does not answer. Try again later.");
        self.bridge.ask(command).ok_or_else(overloaded)?.await.ok_or_else(overloaded)?
    }
}

/// In a time that does not depend on where the texts differ.
fn is_equal(given: &[u8], expected: &[u8]) -> bool {
    let difference = given.iter().zip(expected).fold(0, |difference, (one, other)| difference | (one ^ other));
    std::hint::black_box(difference) == 0 && given.len() == expected.len()
}
