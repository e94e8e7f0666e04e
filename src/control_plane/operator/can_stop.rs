//! Whether a node can be stopped and every document still be found.

use serde::Serialize;

use super::picture::Picture;
use crate::logic::ids::{IndexUid, NodeId, ShardId};
use crate::meili::error::ApiError;

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct CanStop {
    node: NodeId,
    ok: bool,
    /// What would not be found any more.
    shards: Vec<ShardInTheWay>,
}

/// A shard of which some index is read from no other node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct ShardInTheWay {
    shard: ShardId,
    /// Those that no other node could answer for; all of them when nobody else is there.
    indexes: Vec<IndexUid>,
    /// Its other owners.
    others: Vec<OtherOwner>,
}

/// Why another owner does not do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OtherOwner {
    node: NodeId,
    reachable: bool,
    /// Its state allows that it is read.
    read: bool,
    /// Of the indexes named above, those that it is not in sync with.
    out_of_sync: Vec<IndexUid>,
}

impl CanStop {
    /// What stands in the way, ascending.
    pub fn shards(&self) -> Vec<ShardId> {
        self.shards.iter().map(|shard| shard.shard).collect()
    }
}

/// For a member; one that owns nothing can always be stopped.
///
/// # Errors
/// `miroir_node_unknown`.
pub(super) fn can_stop(picture: &Picture, node: &NodeId) -> Result<CanStop, ApiError> {
    picture.member(node)?;
    let shards = (0..picture.shard_count()).map(ShardId);
    let owned = shards.filter(|shard| picture.owners(*shard).contains(node));
    let shards: Vec<ShardInTheWay> = owned.filter_map(|shard| in_the_way(picture, node, shard)).collect();
    Ok(CanStop { node: node.clone(), ok: shards.is_empty(), shards })
}

fn in_the_way(picture: &Picture, node: &NodeId, shard: ShardId) -> Option<ShardInTheWay> {
    let others = || picture.owners(shard).iter().filter(|other| *other != node);
    let is_there = |other: &NodeId| picture.is_reachable(other) && picture.is_read(other);
    let is_kept = |index: &IndexUid| others().any(|other| is_there(other) && picture.is_in_sync(other, index));
    let lost = picture.indexes.iter().map(|record| &record.uid).filter(|index| !is_kept(index));
    let indexes: Vec<IndexUid> = lost.cloned().collect();
    // Without any index, there must be somebody for the first one.
    if indexes.is_empty() && others().any(is_there) {
        return None;
    }
    let other = |id: &NodeId| OtherOwner {
        node: id.clone(),
        reachable: picture.is_reachable(id),
        read: picture.is_read(id),
        out_of_sync: indexes.iter().filter(|index| !picture.is_in_sync(id, index)).cloned().collect(),
    };
    let others = others().map(other).collect();
    Some(ShardInTheWay { shard, indexes, others })
}
