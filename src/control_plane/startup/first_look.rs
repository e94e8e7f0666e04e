//! Whether a node can join: it answers, lets us in, is of a version that Miroir works with, and is empty.

use std::time::{Duration, Instant};

use super::{ANSWER_TIMEOUT, FleetError};
use crate::config::Secret;
use crate::control_plane::identity::Identity;
use crate::control_plane::node_client::{NodeClient, NodeError, NodeTaskQuery};
use crate::logic::ids::NodeTask;
use crate::logic::topology::NodeRecord;
use crate::meili::node_version::{Fitness, NodeVersion, fitness_of};
use crate::telemetry::clock;

/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// Indexes named in a message.
const NAMES_MAX: usize = 5;

/// What is seen of a node that can join.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FirstLook {
    /// The number that its next task gets.
    pub next_task: NodeTask,
    /// Of Meilisearch, `1.50.0`.
    pub version: String,
}

/// Waits until the deadline for a node to answer, which must be empty then. Blocks; a deadline that is over is for one try
/// of a few seconds.
pub fn first_look(
    node: &NodeRecord,
    cluster_id: &str,
    key: Option<&Secret>,
    deadline: Instant,
) -> Result<FirstLook, FleetError> {
    let client = client_of(node, key);
    let mut is_told = false;
    let stats = loop {
        match client.stats(ANSWER_TIMEOUT) {
            Ok(stats) => break stats,
            Err(NodeError::Unreachable(error) | NodeError::TimedOut(error)) if clock::instant() < deadline => {
                if !is_told {
                    is_told = true;
                    let seconds = deadline.saturating_duration_since(clock::instant()).as_secs();
                    tracing::warn!(node = %node.id, url = node.url, %error, seconds, "node does not answer; waiting for it");
                }
                std::thread::park_timeout(TRY_AGAIN);
            }
            Err(error) => return Err(refusal(node, error)),
        }
    };
    let identity = Identity { cluster: cluster_id.to_owned(), node: node.id.clone() };
    let answerer = identity.ask(&client, ANSWER_TIMEOUT).map_err(|error| refusal(node, error))?;
    if let Some(Identity { cluster, node: other }) = &answerer.carried {
        let whose =
            if *cluster == cluster_id { "this cluster".to_owned() } else { format!("another cluster ({cluster})") };
        return Err(FleetError::Taken { node: node.id.clone(), url: node.url.clone(), other: other.clone(), whose });
    }
    let found: Vec<&str> = stats.indexes.keys().map(String::as_str).collect();
    if !found.is_empty() {
        return Err(FleetError::Foreign { node: node.id.clone(), url: node.url.clone(), names: names(&found) });
    }
    let newest = NodeTaskQuery { limit: 1, ..NodeTaskQuery::default() };
    let page = client.tasks(&newest, ANSWER_TIMEOUT).map_err(|error| refusal(node, error))?;
    let next_task = page.results.first().map_or(NodeTask(0), |task| NodeTask(task.uid + 1));
    if fitness_of(&answerer.version) == Fitness::Untested {
        let (node, version) = (&node.id, &answerer.version);
        tracing::warn!(%node, version, tested = %NodeVersion::LEAST, "this version of Meilisearch is newer than the tested one");
    }
    Ok(FirstLook { next_task, version: answerer.version })
}

pub(super) fn client_of(node: &NodeRecord, key: Option<&Secret>) -> NodeClient {
    NodeClient::new(node.url.clone(), key.map(Secret::expose))
}

pub(super) fn refusal(record: &NodeRecord, error: NodeError) -> FleetError {
    let (node, url) = (record.id.clone(), record.url.clone());
    match error {
        NodeError::Unreachable(error) | NodeError::TimedOut(error) => FleetError::Unreachable { node, url, error },
        NodeError::Refused { status: 401 | 403, error } => FleetError::WrongKey { node, url, message: error.message },
        NodeError::TooOld(version) => FleetError::TooOld { node, url, version, least: NodeVersion::LEAST },
        NodeError::Refused { .. } | NodeError::BadAnswer(_) | NodeError::TooLong(_) => {
            FleetError::NotUsable { node, url, error: error.to_string() }
        }
    }
}

pub(super) fn names(found: &[&str]) -> String {
    let more = if found.len() > NAMES_MAX { " …" } else { "" };
    found[..found.len().min(NAMES_MAX)].join(", ") + more
}
