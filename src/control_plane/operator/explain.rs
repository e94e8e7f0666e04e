//! Where a shard or a document is, and how well.

use serde::Serialize;

use super::ASK_TIMEOUT;
use super::picture::Picture;
use super::rebalance::{JobView, job_view};
use crate::control_plane::node_client::NodeClient;
use crate::control_plane::status::lag_of_index;
use crate::control_plane::task_desk::api_error;
use crate::logic::digest::content_hash;
use crate::logic::ids::{EntryId, IndexUid, NodeId, ShardId};
use crate::logic::shard_hash::shard_of;
use crate::meili::error::{ApiError, Code};
use crate::store::{IndexRecord, Store};

/// A shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct ShardExplained {
    shard: ShardId,
    owners: Vec<OwnerExplained>,
    /// Who is to own it.
    plan: Vec<NodeId>,
    /// What brings it there.
    jobs: Vec<JobView>,
}

/// One owner of a shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct OwnerExplained {
    node: NodeId,
    reachable: bool,
    indexes: Vec<ReplicaExplained>,
}

/// One index on one owner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplicaExplained {
    index: IndexUid,
    in_sync: bool,
    needs_rebuild: bool,
    /// The last task of which anything is applied there; all before it are applied. Null before the first.
    applied_task: Option<EntryId>,
    /// Tasks of the shard that are yet to be applied there.
    lag: u64,
}

/// A document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct DocumentExplained {
    index: IndexUid,
    document: String,
    shard: ShardId,
    replicas: Vec<DocumentReplica>,
    plan: Vec<NodeId>,
    jobs: Vec<JobView>,
}

/// One owner of a document's shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DocumentReplica {
    node: NodeId,
    reachable: bool,
    #[serde(flatten)]
    replica: ReplicaExplained,
    /// Null: it could not be asked, `error` says why.
    found: Option<bool>,
    /// XXH3-128 of the document, vectors included; equal on replicas that hold the same.
    content_hash: Option<String>,
    error: Option<String>,
}

/// # Errors
/// `miroir_shard_unknown`; the store.
pub(super) fn shard(picture: &Picture, store: &dyn Store, shard: ShardId) -> Result<ShardExplained, ApiError> {
    let count = picture.shard_count();
    if shard.0 >= count {
        let message = format!("Shard `{shard}` does not exist. There are {count} shards, the first one is 0.");
        return Err(ApiError::new(Code::MiroirShardUnknown, message));
    }
    let owner = |node: &NodeId| -> Result<OwnerExplained, ApiError> {
        let replica = |record: &IndexRecord| replica(picture, store, (node, record, shard));
        let indexes = picture.indexes.iter().map(replica).collect::<Result<_, _>>()?;
        Ok(OwnerExplained { node: node.clone(), reachable: picture.is_reachable(node), indexes })
    };
    let owners = picture.owners(shard).iter().map(owner).collect::<Result<_, _>>()?;
    Ok(ShardExplained { shard, owners, plan: picture.plan(shard).to_vec(), jobs: jobs(picture, shard) })
}

/// Asks every owner that is reachable for the document, each at most [`ASK_TIMEOUT`].
///
/// # Errors
/// `index_not_found`; the store.
pub(super) fn document(
    picture: &Picture,
    store: &dyn Store,
    (index, document): (&IndexUid, &str),
    node_key: Option<&str>,
) -> Result<DocumentExplained, ApiError> {
    let Some(record) = picture.indexes.iter().find(|record| record.uid == *index) else {
        return Err(ApiError::new(Code::IndexNotFound, format!("Index `{index}` not found.")));
    };
    let shard = shard_of(document, picture.shard_count().max(1));
    let mut replicas = Vec::new();
    for node in picture.owners(shard) {
        let seen = look(picture, (node, record, document), node_key);
        let (found, content_hash, error) = match seen {
            Ok(hash) => (Some(hash.is_some()), hash, None),
            Err(error) => (None, None, Some(error)),
        };
        let replica = replica(picture, store, (node, record, shard))?;
        let reachable = picture.is_reachable(node);
        replicas.push(DocumentReplica { node: node.clone(), reachable, replica, found, content_hash, error });
    }
    let (plan, jobs) = (picture.plan(shard).to_vec(), jobs(picture, shard));
    Ok(DocumentExplained { index: index.clone(), document: document.to_owned(), shard, replicas, plan, jobs })
}

/// The hash of the document on a node; none when it is not there.
fn look(
    picture: &Picture,
    (node, record, document): (&NodeId, &IndexRecord, &str),
    node_key: Option<&str>,
) -> Result<Option<String>, String> {
    if !picture.is_reachable(node) {
        return Err("the node does not answer".to_owned());
    }
    let url = picture.member(node).map_err(|error| error.message)?.url.clone();
    let found = NodeClient::new(url, node_key).fetch_stored(&record.node_uid, [document], ASK_TIMEOUT);
    let found = found.map_err(|error| error.to_string())?;
    let hash = |text: &str| content_hash(text).map_err(|error| error.to_string());
    found.first().map(|found| Ok(format!("{:032x}", hash(found.get())?.value()))).transpose()
}

fn replica(
    picture: &Picture,
    store: &dyn Store,
    (node, record, shard): (&NodeId, &IndexRecord, ShardId),
) -> Result<ReplicaExplained, ApiError> {
    let key = (node.clone(), record.node_uid.clone());
    let applied = picture.protocol.applied.get(&key).copied().unwrap_or_default();
    Ok(ReplicaExplained {
        index: record.uid.clone(),
        in_sync: picture.is_in_sync(node, &record.uid),
        needs_rebuild: picture.protocol.needs_rebuild.contains(&key),
        applied_task: applied.entry(),
        lag: lag_of_index(store, record, applied, &[shard]).map_err(|error| api_error(&error))?,
    })
}

fn jobs(picture: &Picture, shard: ShardId) -> Vec<JobView> {
    picture.jobs_of(shard).map(|job| job_view(picture, job)).collect()
}
