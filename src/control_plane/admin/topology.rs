//! What operators ask about nodes, shards and moves: from a path to a [`TopologyRequest`].

use super::routes::Captures;
use crate::bridge::topology::TopologyRequest;
use crate::logic::ids::{IndexUid, NodeId, ShardId};
use crate::meili::error::{ApiError, Code};

pub(super) fn can_stop(path: &Captures<'_>) -> TopologyRequest {
    TopologyRequest::CanStop { node: NodeId::new(path.text(0)) }
}

pub(super) fn explain_shard(path: &Captures<'_>) -> Result<TopologyRequest, ApiError> {
    let text = path.text(0);
    let unknown = |_| ApiError::new(Code::MiroirShardUnknown, format!("`{text}` is no number of a shard."));
    Ok(TopologyRequest::ExplainShard { shard: ShardId(text.parse().map_err(unknown)?) })
}

pub(super) fn explain_document(path: &Captures<'_>) -> TopologyRequest {
    TopologyRequest::ExplainDocument { index: IndexUid::new(path.text(0)), document: path.text(1) }
}
