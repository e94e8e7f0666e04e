//! Comparing all replicas by command, and what came of it.

use serde::Serialize;
use serde_json::{Value, json};

use super::Operator;
use super::picture::Picture;
use crate::control_plane::drift::DriftReport;
use crate::logic::feeder::{
    AuditOrigin, AuditReport, AuditStage, NotCompared, RepairState, StrayDocuments, UnequalReplicas,
};
use crate::logic::ids::{IndexUid, Monotonic, NodeId, NodeIndexUid, ShardId, Timestamp};
use crate::meili::dates::rfc3339;
use crate::meili::error::ApiError;
use crate::telemetry::clock;

/// The answer.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VerifyStatus {
    /// 0: none since Miroir started.
    number: u64,
    state: State,
    /// `operator` or `background`.
    by: &'static str,
    repair: bool,
    began: Option<String>,
    ended: Option<String>,
    progress: Progress,
    holds: Holds,
    unequal: Vec<UnequalView>,
    strays: Vec<StrayView>,
    not_compared: Vec<NotComparedView>,
    settings: SettingsView,
}

/// Settings are looked at by themselves, not with the documents.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SettingsView {
    /// When those on all members were looked at last.
    checked_at: Option<String>,
    /// Indexes of nodes that are not as Miroir made them; the status has them all.
    drifting: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// None since Miroir started.
    Never,
    Comparing,
    Repairing,
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
struct Progress {
    done: usize,
    total: usize,
}

/// Writes of an index to two nodes that were held up.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Holds {
    count: usize,
    longest_seconds: f64,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UnequalView {
    /// None when the index is gone.
    index: Option<IndexUid>,
    node_index: NodeIndexUid,
    shard: ShardId,
    documents: u64,
    examples: Vec<String>,
    alike: Vec<Vec<NodeId>>,
    wrong: Vec<NodeId>,
    repair: &'static str,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StrayView {
    index: Option<IndexUid>,
    node_index: NodeIndexUid,
    node: NodeId,
    /// By their marker; none: without one.
    shard: Option<ShardId>,
    documents: u64,
    examples: Vec<String>,
    repair: &'static str,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NotComparedView {
    index: Option<IndexUid>,
    node_index: NodeIndexUid,
    nodes: Vec<NodeId>,
    shards: Vec<ShardId>,
    reason: String,
}

impl Operator {
    /// Begins, or joins what another operator began. The answer names the number to wait for.
    ///
    /// # Errors
    /// `miroir_node_unknown`.
    pub(super) fn verify(
        &self,
        picture: &Picture,
        is_repairing: bool,
        distrust: Option<&NodeId>,
    ) -> Result<Value, ApiError> {
        if let Some(node) = distrust {
            picture.member(node)?;
        }
        let before = self.members.audit_report();
        let number = self.change(|fleet| fleet.begin_audit(is_repairing, distrust))?;
        let joined = number == before.number;
        tracing::info!(number, is_repairing, ?distrust, joined, "an operator asked for a comparison of all replicas");
        let mut warnings = Vec::new();
        if picture.protocol.tables.owners.iter().all(|owners| owners.len() < 2) {
            warnings.push("every shard has one replica: there is nothing to compare it with");
        }
        if picture.indexes.is_empty() {
            warnings.push("there is no index");
        }
        if is_repairing && picture.protocol.tables.is_paused {
            warnings.push("moves are paused; replicas are put right when they are resumed");
        }
        Ok(json!({ "number": number, "joined": joined, "warnings": warnings }))
    }

    pub(super) fn verify_status(&self, picture: &Picture) -> VerifyStatus {
        let report = self.members.audit_report();
        let index = |uid: &NodeIndexUid| {
            let record = picture.indexes.iter().find(|record| record.node_uid == *uid);
            record.map(|record| record.uid.clone())
        };
        status(report, index, (clock::monotonic(), clock::timestamp()), &self.drifts.report())
    }
}

fn status(
    report: AuditReport,
    index: impl Fn(&NodeIndexUid) -> Option<IndexUid>,
    (now, today): (Monotonic, Timestamp),
    drift: &DriftReport,
) -> VerifyStatus {
    let date = |at: Monotonic| rfc3339(Timestamp(today.0 - 1_000 * now.0.saturating_sub(at.0) as i64));
    let unequal = |found: UnequalReplicas| {
        let UnequalReplicas { index: node_index, shard, documents, examples, alike, wrong, repair } = found;
        let (index, repair) = (index(&node_index), word(repair));
        UnequalView { index, node_index, shard, documents, examples, alike, wrong, repair }
    };
    let stray = |found: StrayDocuments| {
        let StrayDocuments { index: node_index, node, shard, documents, examples, repair } = found;
        let (index, repair) = (index(&node_index), word(repair));
        StrayView { index, node_index, node, shard, documents, examples, repair }
    };
    let not_compared = |NotCompared { index: node_index, nodes, shards, reason }| {
        let index = index(&node_index);
        NotComparedView { index, node_index, nodes, shards, reason }
    };
    VerifyStatus {
        number: report.number,
        state: match report.stage {
            AuditStage::Never => State::Never,
            AuditStage::Comparing => State::Comparing,
            AuditStage::Repairing => State::Repairing,
            AuditStage::Ended => State::Done,
        },
        by: match report.origin {
            AuditOrigin::Operator => "operator",
            AuditOrigin::Background => "background",
        },
        repair: report.is_repairing,
        began: (report.stage != AuditStage::Never).then(|| date(report.began)),
        ended: report.ended.map(date),
        progress: Progress { done: report.done, total: report.total },
        holds: Holds { count: report.holds, longest_seconds: report.longest_hold_ms as f64 / 1_000.0 },
        unequal: report.unequal.into_iter().map(unequal).collect(),
        strays: report.strays.into_iter().map(stray).collect(),
        not_compared: report.not_compared.into_iter().map(not_compared).collect(),
        settings: SettingsView { checked_at: drift.checked_at.map(rfc3339), drifting: drift.findings.len() },
    }
}

/// As in the answer.
fn word(repair: RepairState) -> &'static str {
    match repair {
        RepairState::NotAsked => "notAsked",
        RepairState::NoSign => "noSign",
        RepairState::NoOther => "noOther",
        RepairState::Moved => "moved",
        RepairState::Waiting => "waiting",
        RepairState::UnderWay => "underWay",
        RepairState::Done => "done",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_dated_and_speaks_of_the_clients_indexes() {
        let uid = NodeIndexUid::new("films-0");
        let report = AuditReport {
            number: 2,
            origin: AuditOrigin::Operator,
            stage: AuditStage::Ended,
            began: Monotonic(1_000),
            ended: Some(Monotonic(3_000)),
            done: 3,
            total: 4,
            holds: 1,
            longest_hold_ms: 250,
            unequal: vec![UnequalReplicas {
                index: uid.clone(),
                shard: ShardId(1),
                documents: 1,
                examples: vec!["x".to_owned()],
                alike: vec![vec![NodeId::new("a")], vec![NodeId::new("b")]],
                wrong: vec![],
                repair: RepairState::NoSign,
            }],
            not_compared: vec![NotCompared {
                index: NodeIndexUid::new("gone-7"),
                nodes: vec![NodeId::new("a"), NodeId::new("b")],
                shards: vec![ShardId(0)],
                reason: "b does not answer".to_owned(),
            }],
            ..AuditReport::default()
        };
        let index = |of: &NodeIndexUid| (*of == uid).then(|| IndexUid::new("films"));
        let drift = DriftReport { checked_at: Some(Timestamp(0)), ..DriftReport::default() };
        let status = status(report, index, (Monotonic(4_000), Timestamp(4_000_000)), &drift);
        let shown = serde_json::to_value(status).unwrap();
        let expected = json!({
            "number": 2, "state": "done", "by": "operator", "repair": false,
            "began": "1970-01-01T00:00:01Z", "ended": "1970-01-01T00:00:03Z", "progress": {"done": 3, "total": 4},
            "holds": {"count": 1, "longestSeconds": 0.25},
            "unequal": [{"index": "films", "nodeIndex": "films-0", "shard": 1, "documents": 1, "examples": ["x"],
                "alike": [["a"], ["b"]], "wrong": [], "repair": "noSign"}],
            "strays": [],
            "notCompared": [{"index": null, "nodeIndex": "gone-7", "nodes": ["a", "b"], "shards": [0],
                "reason": "b does not answer"}],
            "settings": {"checkedAt": "1970-01-01T00:00:00Z", "drifting": 0},
        });
        assert_eq!(shown, expected);
    }
}
