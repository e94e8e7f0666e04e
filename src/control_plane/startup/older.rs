//! Whether `data_dir` is an older copy: then nodes have writes that its journal does not know, and the next ones would get the
//! same numbers with other documents.

use super::{ANSWER_TIMEOUT, FleetError};
use crate::control_plane::node_client::{NodeClient, NodeTaskQuery};
use crate::logic::feeder::Label;
use crate::logic::ids::EntryId;
use crate::logic::topology::NodeRecord;
use crate::meili::tasks::TaskView;

/// The newest tasks of a node, which are looked at.
const TASKS: u64 = 200;

/// Refuses if a task of the node belongs to an entry that the journal, which ends before `next`, does not have.
pub(super) fn check_journal(node: &NodeRecord, client: &NodeClient, next: EntryId) -> Result<(), FleetError> {
    let newest = NodeTaskQuery { limit: TASKS, ..NodeTaskQuery::default() };
    let tasks = match client.tasks(&newest, ANSWER_TIMEOUT) {
        Ok(page) => page.results,
        Err(error) => {
            tracing::warn!(node = %node.id, %error, "the tasks of a node could not be looked at");
            return Ok(());
        }
    };
    match tasks.iter().filter_map(entry_of).max().filter(|&entry| entry >= next) {
        Some(entry) => Err(FleetError::Older { node: node.id.clone(), entry, next }),
        None => Ok(()),
    }
}

fn entry_of(task: &TaskView) -> Option<EntryId> {
    match Label::parse(task.custom_metadata.as_deref()?)? {
        Label::Step { position, .. } => position.entry(),
        Label::Copy { .. } | Label::Mark { .. } => None,
    }
}
