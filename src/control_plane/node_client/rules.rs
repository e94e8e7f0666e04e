//! Search rules of a node.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

use super::reads::decode;
use super::{ANSWER_BYTES_MAX, BodyParts, NodeClient, NodeError};
use crate::logic::ids::NodeTask;
use crate::logic::pins::RulesStep;
use crate::meili::tasks::TaskView;

/// Rules in one answer.
const PER_PAGE: usize = 1_000;

#[derive(Deserialize)]
struct RulesPage {
    results: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registered {
    task_uid: u64,
}

impl NodeClient {
    /// All rules, as the node shows them, in its order.
    pub fn search_rules(&self, timeout: Duration) -> Result<Vec<Value>, NodeError> {
        let mut found = Vec::new();
        loop {
            let body = BodyParts::json(&json!({"offset": found.len(), "limit": PER_PAGE}));
            let parts = Some(("application/json", body));
            let answer = self.exchange(Method::POST, "/dynamic-search-rules", parts, timeout);
            let RulesPage { results } = decode(answer, ANSWER_BYTES_MAX)?;
            let is_last = results.len() < PER_PAGE;
            found.extend(results);
            if is_last {
                return Ok(found);
            }
        }
    }

    /// Changes rules. Doing it twice does no harm.
    pub fn change_rules(&self, step: &RulesStep, timeout: Duration) -> Result<NodeTask, NodeError> {
        let (method, path, body) = match step {
            RulesStep::Clear => (Method::DELETE, "/dynamic-search-rules".to_owned(), None),
            RulesStep::Delete(uid) => (Method::DELETE, format!("/dynamic-search-rules/{uid}"), None),
            RulesStep::Make(uid, fields) => {
                let parts = ("application/json", BodyParts::json(fields));
                (Method::PATCH, format!("/dynamic-search-rules/{uid}"), Some(parts))
            }
        };
        let Registered { task_uid } = decode(self.exchange(method, &path, body, timeout), ANSWER_BYTES_MAX)?;
        Ok(NodeTask(task_uid))
    }

    /// Whether a task has not ended yet. One that is not there any more has.
    pub fn is_under_way(&self, task: NodeTask, timeout: Duration) -> Result<bool, NodeError> {
        match self.get::<TaskView>(&format!("/tasks/{task}"), timeout) {
            Ok(task) => Ok(!task.status.is_terminal()),
            Err(NodeError::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
