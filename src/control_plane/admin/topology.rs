//! What operators ask about nodes, shards and moves: from a path to a [`TopologyRequest`].

use serde::Deserialize;
use serde_json::{Map, Value};

use super::routes::Captures;
use crate::bridge::topology::{TopologyRequest, WhatIf};
use crate::config::{NodeSettings, value};
use crate::logic::ids::{IndexUid, NodeId, ShardId};
use crate::logic::topology::{NodeRecord, NodeState};
use crate::meili::error::{ApiError, Code};

/// A node in a body, as the configuration describes one.
struct Described {
    node: NodeRecord,
    has_weight: bool,
    dry_run: bool,
}

/// The body may have `dryRun` besides.
fn described(path: &Captures<'_>) -> Result<Described, ApiError> {
    let mut fields: Map<String, Value> = path.body()?;
    let dry_run = match fields.remove("dryRun") {
        None => false,
        Some(Value::Bool(dry_run)) => dry_run,
        Some(other) => {
            return Err(ApiError::new(Code::BadRequest, format!("`dryRun` is {other}; it must be true or false.")));
        }
    };
    let has_weight = fields.contains_key("weight");
    let wrong = |problems: Vec<(String, String)>| {
        let texts: Vec<String> = problems.into_iter().map(|(place, problem)| named(&place, &problem)).collect();
        ApiError::new(Code::BadRequest, texts.join("; "))
    };
    let nodes = value::nodes(&Value::Array(vec![fields.into()])).map_err(wrong)?;
    let node = nodes.into_iter().next().expect("a list of one node that has no problem");
    let NodeSettings { id, url, zone, weight } = node;
    let node = NodeRecord { id, url, zone, weight, state: NodeState::Active, life: 0, has_identity: false };
    Ok(Described { node, has_weight, dry_run })
}

pub(super) fn add_node(path: &Captures<'_>) -> Result<TopologyRequest, ApiError> {
    let Described { node, dry_run, .. } = described(path)?;
    Ok(TopologyRequest::AddNode { node, dry_run })
}

pub(super) fn replace_node(path: &Captures<'_>) -> Result<TopologyRequest, ApiError> {
    let Described { node: new, has_weight, dry_run } = described(path)?;
    Ok(TopologyRequest::ReplaceNode { old: NodeId::new(path.text(0)), new, has_weight, dry_run })
}

/// `[0].url` is `url` here.
fn named(place: &str, problem: &str) -> String {
    format!("`{}` {problem}", place.trim_start_matches("[0]").trim_start_matches('.'))
}

/// The query may have `force` and `dryRun`.
pub(super) fn remove_node(path: &Captures<'_>) -> Result<TopologyRequest, ApiError> {
    path.no_query_but(&["force", "dryRun"])?;
    let node = NodeId::new(path.text(0));
    let (force, dry_run) = (flag(path, "force")?, flag(path, "dryRun")?);
    Ok(if force {
        TopologyRequest::RemoveByForce { node, dry_run }
    } else {
        TopologyRequest::RemoveNode { node, dry_run }
    })
}

/// `true` or `false` in the query; false when it is not there.
fn flag(path: &Captures<'_>, name: &str) -> Result<bool, ApiError> {
    let mut pairs = path.request.query.split('&').filter_map(|pair| pair.split_once('='));
    match pairs.find(|(key, _)| *key == name).map(|(_, value)| value) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(ApiError::new(Code::BadRequest, format!("`{name}` is {other}; it must be true or false."))),
    }
}

/// The body of a request for maintenance.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Maintenance {
    on: bool,
    /// Even if some documents are not found then.
    #[serde(default)]
    force: bool,
    /// Only say what would not be found.
    #[serde(default)]
    dry_run: bool,
}

pub(super) fn maintain(path: &Captures<'_>) -> Result<TopologyRequest, ApiError> {
    let Maintenance { on: is_on, force, dry_run } = path.body()?;
    Ok(TopologyRequest::Maintain { node: NodeId::new(path.text(0)), is_on, force, dry_run })
}

/// The body of a request to compare all replicas.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verify {
    /// Put right what is known to be wrong.
    #[serde(default)]
    repair: bool,
    /// This node is wrong where nothing else says which one is.
    distrust: Option<NodeId>,
}

pub(super) fn verify(path: &Captures<'_>) -> Result<TopologyRequest, ApiError> {
    let Verify { repair: is_repairing, distrust } = path.body()?;
    if distrust.is_some() && !is_repairing {
        return Err(ApiError::new(Code::BadRequest, "`distrust` needs `repair`."));
    }
    Ok(TopologyRequest::Verify { is_repairing, distrust })
}

/// The body of a request that changes something.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Trial {
    /// Only say what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// The body of a request for another replication factor.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Replicas {
    value: u16,
    /// Only say what would move.
    #[serde(default)]
    dry_run: bool,
}

fn tried(to: WhatIf, dry_run: bool) -> TopologyRequest {
    if dry_run { TopologyRequest::Preview(to) } else { TopologyRequest::Start(to) }
}

/// The body may have `dryRun`.
pub(super) fn start(path: &Captures<'_>, to: WhatIf) -> Result<TopologyRequest, ApiError> {
    let Trial { dry_run } = path.body()?;
    Ok(tried(to, dry_run))
}

pub(super) fn drain(path: &Captures<'_>) -> Result<TopologyRequest, ApiError> {
    start(path, WhatIf { drain: vec![NodeId::new(path.text(0))], ..WhatIf::default() })
}

/// The opposite of [`drain`].
pub(super) fn keep(path: &Captures<'_>) -> Result<TopologyRequest, ApiError> {
    start(path, WhatIf { keep: vec![NodeId::new(path.text(0))], ..WhatIf::default() })
}

/// The body has `value`, and may have `dryRun`.
pub(super) fn replication_factor(path: &Captures<'_>) -> Result<TopologyRequest, ApiError> {
    let Replicas { value, dry_run } = path.body()?;
    Ok(tried(WhatIf { replication_factor: Some(value), ..WhatIf::default() }, dry_run))
}

/// The body may have `dryRun`.
pub(super) fn pause(path: &Captures<'_>, is_paused: bool) -> Result<TopologyRequest, ApiError> {
    let Trial { dry_run } = path.body()?;
    Ok(TopologyRequest::Pause { is_paused, dry_run })
}

/// The body may have `dryRun`.
pub(super) fn abort(path: &Captures<'_>) -> Result<TopologyRequest, ApiError> {
    let Trial { dry_run } = path.body()?;
    Ok(TopologyRequest::Abort { dry_run })
}

/// The body may have `dryRun`.
pub(super) fn compact(path: &Captures<'_>) -> Result<TopologyRequest, ApiError> {
    let Trial { dry_run } = path.body()?;
    Ok(TopologyRequest::Compact { node: NodeId::new(path.text(0)), dry_run })
}

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

/// A backup takes no wish.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackUp {}

/// `POST /backup`.
pub(super) fn back_up(path: &Captures<'_>) -> Result<TopologyRequest, ApiError> {
    let BackUp {} = path.body()?;
    Ok(TopologyRequest::BackUp)
}
