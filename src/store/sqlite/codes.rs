//! How enums are written in columns. Fixed for ever: stored files depend on them.

use crate::meili::tasks::{TaskKind, TaskStatus};

/// The `status` column.
pub(super) fn status_code(status: TaskStatus) -> i64 {
    match status {
        TaskStatus::Enqueued => 0,
        TaskStatus::Processing => 1,
        TaskStatus::Succeeded => 2,
        TaskStatus::Failed => 3,
        TaskStatus::Canceled => 4,
    }
}

/// The `kind` column: the API's own name.
pub(super) fn kind_name(kind: TaskKind) -> String {
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(_) | Err(_) => unreachable!("a fieldless enum is written as a string"),
    }
}
