//! What nodes have otherwise than Miroir made it, for operators: settings and primary keys that somebody else has changed,
//! indexes that are missing, and indexes that nobody knows. Found and noted by the coordinator ([`super::coordinator`]),
//! shown by the admin API. In memory only: after a restart it is found again.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use super::troubles::as_date;
use crate::logic::ids::{IndexUid, NodeId, NodeIndexUid, Timestamp};

/// How the primary key is named among settings.
pub const PRIMARY_KEY: &str = "primaryKey";

/// Where something is not as it should be.
pub type DriftPlace = (NodeId, NodeIndexUid);

/// What is not as it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DriftKind {
    /// Settings, or the primary key.
    Settings,
    /// The node does not have the index.
    Missing,
    /// The index is none of ours.
    Unknown,
}

/// What is done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DriftState {
    /// Nothing: an operator looks at it.
    Reported,
    /// What the node should have is sent to it.
    Repairing,
    /// The node does not take it.
    Rejected,
}

/// One index of a node that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftFinding {
    /// Where.
    pub node: NodeId,
    /// The client's name; none of an index that nobody knows.
    pub index: Option<IndexUid>,
    /// The node's name of it.
    pub node_index: NodeIndexUid,
    /// What.
    pub kind: DriftKind,
    /// The settings that differ, in the order of the table, the primary key as `primaryKey` before them.
    pub settings: Vec<&'static str>,
    /// What is done about it.
    pub state: DriftState,
    /// Why the node does not take what it should have.
    pub error: Option<String>,
    /// Found first.
    #[serde(serialize_with = "as_date")]
    pub since: Timestamp,
}

/// All that is known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DriftReport {
    /// When all members were looked at last; none: not yet in this life of the process.
    pub checked_at: Option<Timestamp>,
    /// Indexes of nodes whose settings were put right in this life of the process.
    pub put_right: u64,
    /// What is not as it should be, by node and index.
    pub findings: Vec<DriftFinding>,
}

/// Shared by the coordinator and the admin API.
#[derive(Clone, Debug, Default)]
pub struct Drifts(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    checked_at: Option<Timestamp>,
    put_right: u64,
    findings: BTreeMap<DriftPlace, DriftFinding>,
}

impl Drifts {
    /// Seen, and seen again. Keeps the date of the first time. True when operators have not heard of it yet.
    pub fn found(&self, finding: DriftFinding) -> bool {
        let mut noted = self.0.lock();
        let place = (finding.node.clone(), finding.node_index.clone());
        let before = noted.findings.get(&place).filter(|before| before.kind == finding.kind);
        let is_new = before.is_none_or(|before| before.settings != finding.settings);
        let since = before.map_or(finding.since, |before| before.since);
        noted.findings.insert(place, DriftFinding { since, ..finding });
        is_new
    }

    /// It is as it should be.
    pub fn is_right(&self, place: &DriftPlace) {
        self.0.lock().findings.remove(place);
    }

    /// What was wrong was sent again, and the node has taken it.
    pub fn put_right(&self, place: &DriftPlace) {
        let mut noted = self.0.lock();
        noted.put_right += 1;
        noted.findings.remove(place);
    }

    /// What was wrong was sent again, and the node has not taken it.
    pub fn rejected(&self, place: &DriftPlace, error: String) {
        if let Some(finding) = self.0.lock().findings.get_mut(place) {
            (finding.state, finding.error) = (DriftState::Rejected, Some(error));
        }
    }

    /// Everything was looked at; what does not exist any more is forgotten.
    pub fn checked(&self, at: Timestamp, exists: impl Fn(&DriftFinding) -> bool) {
        let mut noted = self.0.lock();
        noted.checked_at = Some(at);
        noted.findings.retain(|_, finding| exists(finding));
    }

    /// All that is known.
    pub fn report(&self) -> DriftReport {
        let noted = self.0.lock();
        DriftReport {
            checked_at: noted.checked_at,
            put_right: noted.put_right,
            findings: noted.findings.values().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_dated_from_the_first_time_and_ends_when_it_is_right() {
        let drifts = Drifts::default();
        let place = (NodeId::new("n1"), NodeIndexUid::new("a-0"));
        let finding = |settings: &[&'static str], at| DriftFinding {
            node: place.0.clone(),
            index: Some(IndexUid::new("a")),
            node_index: place.1.clone(),
            kind: DriftKind::Settings,
            settings: settings.to_vec(),
            state: DriftState::Reported,
            error: None,
            since: Timestamp(at),
        };
        assert!(drifts.found(finding(&["stopWords"], 1_000_000)));
        assert!(!drifts.found(finding(&["stopWords"], 2_000_000)), "known already");
        assert!(drifts.found(finding(&["stopWords", "synonyms"], 3_000_000)));
        drifts.rejected(&place, "no".to_owned());
        let shown = serde_json::to_value(drifts.report().findings).expect("JSON");
        let expected = serde_json::json!([{
            "node": "n1", "index": "a", "nodeIndex": "a-0", "kind": "settings", "settings": ["stopWords", "synonyms"],
            "state": "rejected", "error": "no", "since": "1970-01-01T00:00:01Z",
        }]);
        assert_eq!(shown, expected);
        drifts.put_right(&place);
        assert_eq!((drifts.report().put_right, drifts.report().findings), (1, vec![]));
        drifts.found(finding(&["stopWords"], 4_000_000));
        drifts.is_right(&place);
        assert_eq!(drifts.report().findings, []);
        drifts.found(finding(&["stopWords"], 5_000_000));
        drifts.checked(Timestamp(6), |finding| finding.node.as_str() != "n1");
        assert_eq!((drifts.report().checked_at, drifts.report().findings), (Some(Timestamp(6)), vec![]));
    }
}
