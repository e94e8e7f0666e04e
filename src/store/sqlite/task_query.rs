//! The task list as SQL: every filter of the API is a condition on an indexed column.

use rusqlite::types::Value;

use super::codes::status_code;
use crate::meili::keys::IndexPattern;
use crate::meili::tasks::{TaskQuery, TaskStatus, TimeRange};

/// A condition with its arguments in order.
pub(super) struct Selection {
    /// After `WHERE`.
    pub condition: String,
    /// For its question marks.
    pub arguments: Vec<Value>,
}

/// What matches, whatever page is asked for.
pub(super) fn not_paged(query: &TaskQuery) -> Selection {
    let mut selection = Selection { condition: "is_deleted = 0".to_owned(), arguments: Vec::new() };
    if let Some(uids) = &query.uids {
        selection.numbers("id", uids);
    }
    if let Some(uids) = &query.batch_uids {
        // One batch a task, once it began; canceled tasks belong to the batch of the task that canceled them.
        selection.condition.push_str(" AND started_at IS NOT NULL AND (");
        selection.list("canceled_by IS NULL AND id", number_list(uids));
        selection.condition.push_str(" OR ");
        selection.list("canceled_by", number_list(uids));
        selection.condition.push(')');
    }
    if let Some(uids) = &query.canceled_by {
        selection.numbers("canceled_by", uids);
    }
    if let Some(types) = &query.types {
        selection.texts("kind", types.iter().map(|kind| kind.name().to_owned()).collect());
    }
    if let Some(statuses) = &query.statuses {
        let codes: Vec<u64> = statuses.iter().map(|&status: &TaskStatus| status_code(status) as u64).collect();
        selection.numbers("status", &codes);
    }
    if let Some(uids) = &query.index_uids {
        selection.condition.push_str(" AND line IN (SELECT number FROM lines WHERE ");
        selection.list("uid", serde_json::Value::from(uids.clone()).to_string());
        selection.condition.push(')');
    }
    if let Some(patterns) = &query.visible {
        selection.visible(patterns);
    }
    selection.range("enqueued_at", query.enqueued);
    selection.range("started_at", query.started);
    selection.range("finished_at", query.finished);
    selection
}

impl Selection {
    /// From this task on, in the direction of the query.
    pub(super) fn page(mut self, query: &TaskQuery) -> Self {
        if let Some(from) = query.from {
            self.condition.push_str(if query.reverse { " AND id >= ?" } else { " AND id <= ?" });
            self.arguments.push(Value::Integer(i64::try_from(from).unwrap_or(i64::MAX)));
        }
        self
    }

    fn numbers(&mut self, column: &str, numbers: &[u64]) {
        self.condition.push_str(" AND ");
        self.list(column, number_list(numbers));
    }

    fn texts(&mut self, column: &str, texts: Vec<String>) {
        self.condition.push_str(" AND ");
        self.list(column, serde_json::Value::from(texts).to_string());
    }

    /// One argument for a list of any length: the number of question marks is bounded.
    fn list(&mut self, column: &str, json: String) {
        self.condition.push_str(column);
        self.condition.push_str(" IN (SELECT value FROM json_each(?))");
        self.arguments.push(Value::Text(json));
    }

    /// Tasks of one index that a pattern matches.
    fn visible(&mut self, patterns: &[IndexPattern]) {
        let list: Vec<[&str; 2]> =
            patterns.iter().map(|pattern| [if pattern.is_exact() { "=" } else { "*" }, pattern.stem()]).collect();
        self.condition.push_str(
            " AND line IN (SELECT number FROM lines, json_each(?) AS pattern WHERE CASE pattern.value ->> 0
             WHEN '=' THEN uid = pattern.value ->> 1
             ELSE substr(uid, 1, length(pattern.value ->> 1)) = pattern.value ->> 1 END)",
        );
        self.arguments.push(Value::Text(serde_json::json!(list).to_string()));
    }

    fn range(&mut self, column: &str, range: TimeRange) {
        for (bound, comparison) in [(range.after, " > "), (range.before, " < ")] {
            if let Some(bound) = bound {
                self.condition.extend([" AND ", column, comparison, "?"]);
                self.arguments.push(Value::Integer(bound));
            }
        }
    }
}

fn number_list(numbers: &[u64]) -> String {
    let list = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    format!("[{list}]")
}
