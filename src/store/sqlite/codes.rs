//! How enums are written in columns. Fixed for ever: stored files depend on them.

use crate::meili::tasks::TaskStatus;

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
