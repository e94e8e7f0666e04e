//! The drift thread: compares the settings that nodes have with those that they should have, again and again.
//!
//! It reads while writes go on, and only trusts a look during which the settings stood ([`Fleet::settings_mark`]). What
//! differs is looked at once more when the node has shown its tasks since; if it still differs, with the same mark, somebody
//! else has changed it. The looks are spread over the interval, since a node has only some twenty indexes open at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Coordinator;
use crate::config::{DriftAction, DriftSettings};
use crate::control_plane::drift::{DriftFinding, DriftKind, DriftState, Drifts, PRIMARY_KEY};
use crate::control_plane::node_client::{NodeClient, NodeError};
use crate::logic::feeder::SettingsMark;
use crate::logic::ids::{NodeId, NodeIndexUid};
use crate::logic::topology::Mend;
use crate::meili::error::Code;
use crate::meili::settings;
use crate::store::IndexRecord;
use crate::telemetry::clock;

/// For one answer of a node.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Before the first look: nodes are busy with what was left undone.
const FIRST_LOOK_MAX: Duration = Duration::from_secs(30);
/// Between two looks of one round.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Between two looks whether a node has shown its tasks.
const POLL: Duration = Duration::from_millis(50);
/// So long it is waited for that. A node that takes longer is looked at again in the next round.
const SECOND_LOOK_MAX: Duration = Duration::from_secs(10);

/// A member as the thread sees it.
struct Watched {
    number: usize,
    id: NodeId,
    client: NodeClient,
}

/// What one look has shown.
struct Seen {
    mark: SettingsMark,
    record: IndexRecord,
    /// None: all is right.
    wrong: Option<Wrong>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Wrong {
    /// These differ.
    Settings(Vec<&'static str>),
    Missing,
}

/// To be looked at once more.
struct Suspect {
    index: NodeIndexUid,
    mark: SettingsMark,
    wrong: Wrong,
    /// Questions for tasks up to then.
    polls: u64,
}

impl Coordinator {
    /// Begins a round of looks at the settings of all nodes now, beside those that come by themselves.
    pub fn check_settings_soon(&self) {
        self.state.lock().is_check_asked = true;
        self.rounds.notify_all();
    }

    pub(super) fn run_drift(&self, drift: &DriftSettings) {
        let mut wait = drift.interval.min(FIRST_LOOK_MAX);
        while let Some(is_asked) = self.await_round(wait) {
            wait = drift.interval;
            if is_asked || drift.action != DriftAction::Off {
                self.check_all(drift, if is_asked { Duration::ZERO } else { drift.interval });
            }
        }
    }

    /// True when somebody asked for it, none at the end.
    fn await_round(&self, wait: Duration) -> Option<bool> {
        let until = clock::instant() + wait;
        let mut state = self.state.lock();
        loop {
            let left = until.saturating_duration_since(clock::instant());
            if self.is_stopping() {
                return None;
            }
            if std::mem::take(&mut state.is_check_asked) {
                return Some(true);
            }
            if left.is_zero() {
                return Some(false);
            }
            state.wait(&self.rounds, left);
        }
    }

    /// False at the end.
    fn rest(&self, pause: Duration) -> bool {
        let mut state = self.state.lock();
        if !pause.is_zero() && !self.is_stopping() && !state.is_check_asked {
            state.wait(&self.rounds, pause);
        }
        !self.is_stopping()
    }

    fn check_all(&self, drift: &DriftSettings, spread: Duration) {
        let (watched, indexes) = {
            let state = self.state.lock();
            let numbers = state.fleet.member_numbers().into_iter();
            let members: Vec<_> = numbers.map(|number| (number, state.fleet.address(number))).collect();
            (members, state.book.all().len())
        };
        let pause = (spread / 2 / (watched.len() * indexes).max(1) as u32).min(PAUSE_MAX);
        for (number, (id, url)) in watched {
            let node = Watched { number, id, client: NodeClient::new(url, self.node_key.as_deref()) };
            match self.check_node(&node, drift.action, pause) {
                Ok(()) => {}
                Err(Interrupted::Stopping) => return,
                Err(Interrupted::Node(error)) => {
                    tracing::debug!(node = %node.id, %error, "a node's settings cannot be read");
                }
            }
        }
        let state = self.state.lock();
        let members = state.fleet.members();
        self.troubles.drifts().checked(clock::timestamp(), |finding| {
            let exists = match finding.kind {
                DriftKind::Settings | DriftKind::Missing => state.book.get(&finding.node_index).is_some(),
                DriftKind::Unknown => true,
            };
            exists && members.contains(&finding.node)
        });
    }

    fn check_node(&self, node: &Watched, action: DriftAction, pause: Duration) -> Result<(), Interrupted> {
        let listed = node.client.primary_keys(ANSWER_TIMEOUT)?;
        let records = self.state.lock().book.all();
        self.note_unknown(node, &listed, &records);
        let mut suspects = Vec::new();
        for record in &records {
            let index = &record.node_uid;
            let Some(seen) = self.look_at(node, index, listed.get(index))? else { continue };
            match seen.wrong {
                None => self.troubles.drifts().is_right(&(node.id.clone(), index.clone())),
                Some(wrong) => {
                    let polls = self.state.lock().fleet.polls_begun(node.number);
                    suspects.push(Suspect { index: index.clone(), mark: seen.mark, wrong, polls });
                }
            }
            if !self.rest(pause) {
                return Err(Interrupted::Stopping);
            }
        }
        for suspect in suspects {
            self.look_again(node, &suspect, action)?;
        }
        Ok(())
    }

    /// One look at one index. None: the settings did not stand, which says nothing.
    fn look_at(
        &self,
        node: &Watched,
        index: &NodeIndexUid,
        listed: Option<&Option<String>>,
    ) -> Result<Option<Seen>, NodeError> {
        let Some((mark, record)) = self.standing(node.number, index) else { return Ok(None) };
        let answer = node.client.settings(index, ANSWER_TIMEOUT).and_then(|settings| {
            let primary_key = match listed {
                Some(listed) => listed.clone(),
                None => node.client.primary_key(index, ANSWER_TIMEOUT)?,
            };
            Ok((settings, primary_key))
        });
        let wrong = match answer {
            Ok((found, primary_key)) => {
                let other_key = (primary_key != record.primary_key).then_some(PRIMARY_KEY);
                let expected = self.with_tie_rule(&record.settings, record.primary_key.as_deref());
                let differing = settings::differences(&expected, &found);
                let all: Vec<&'static str> = other_key.into_iter().chain(differing).collect();
                (!all.is_empty()).then_some(Wrong::Settings(all))
            }
            Err(NodeError::Refused { error, .. }) if Code::from_name(&error.code) == Some(Code::IndexNotFound) => {
                Some(Wrong::Missing)
            }
            Err(error) => return Err(error),
        };
        let stood = self.standing(node.number, index).is_some_and(|(now, _)| now == mark);
        Ok(stood.then_some(Seen { mark, record, wrong }))
    }

    /// The index as the node should have it, while its settings stand.
    fn standing(&self, node: usize, index: &NodeIndexUid) -> Option<(SettingsMark, IndexRecord)> {
        let state = self.state.lock();
        let mark = state.fleet.settings_mark(node, index)?;
        Some((mark, state.book.get(index)?.clone()))
    }

    /// Whoever is seen to be wrong twice, with the node's tasks read in between, was changed by somebody else.
    fn look_again(&self, node: &Watched, suspect: &Suspect, action: DriftAction) -> Result<(), Interrupted> {
        let until = clock::instant() + SECOND_LOOK_MAX;
        while !self.state.lock().fleet.has_polled_since(node.number, suspect.polls) {
            if clock::instant() >= until {
                return Ok(());
            }
            if !self.rest(POLL) {
                return Err(Interrupted::Stopping);
            }
        }
        let Some(seen) = self.look_at(node, &suspect.index, None)? else { return Ok(()) };
        if seen.mark == suspect.mark && seen.wrong.as_ref() == Some(&suspect.wrong) {
            self.found(node, &seen, &suspect.wrong, action);
        }
        Ok(())
    }

    fn found(&self, node: &Watched, seen: &Seen, wrong: &Wrong, action: DriftAction) {
        let (kind, differing) = match wrong {
            Wrong::Settings(differing) => (DriftKind::Settings, differing.clone()),
            Wrong::Missing => (DriftKind::Missing, Vec::new()),
        };
        let mut finding = DriftFinding {
            node: node.id.clone(),
            index: Some(seen.record.uid.clone()),
            node_index: seen.record.node_uid.clone(),
            kind,
            settings: differing,
            state: DriftState::Reported,
            error: None,
            since: clock::timestamp(),
        };
        if kind == DriftKind::Settings && action == DriftAction::Repair {
            let primary_key = finding.settings.contains(&PRIMARY_KEY);
            let mend = Mend { primary_key, settings: finding.settings.iter().any(|key| *key != PRIMARY_KEY) };
            let mut state = self.state.lock();
            // Otherwise another change has come, which the next round looks at.
            if !state.fleet.mend(node.number, &finding.node_index, seen.mark, mend) {
                return;
            }
            finding.state = DriftState::Repairing;
            report(self.troubles.drifts(), finding);
            self.wake(state, true);
            return;
        }
        report(self.troubles.drifts(), finding);
    }

    fn note_unknown(&self, node: &Watched, listed: &BTreeMap<NodeIndexUid, Option<String>>, records: &[IndexRecord]) {
        let drifts = self.troubles.drifts();
        let known: BTreeSet<&NodeIndexUid> = records.iter().map(|record| &record.node_uid).collect();
        for index in listed.keys().filter(|index| !known.contains(index)) {
            let finding = DriftFinding {
                node: node.id.clone(),
                index: None,
                node_index: index.clone(),
                kind: DriftKind::Unknown,
                settings: Vec::new(),
                state: DriftState::Reported,
                error: None,
                since: clock::timestamp(),
            };
            report(drifts, finding);
        }
        for finding in drifts.report().findings {
            let is_gone = finding.kind == DriftKind::Unknown && !listed.contains_key(&finding.node_index);
            if finding.node == node.id && is_gone {
                drifts.is_right(&(finding.node, finding.node_index));
            }
        }
    }
}

/// Why a node was not looked at to the end.
enum Interrupted {
    /// The process ends.
    Stopping,
    /// It does not answer.
    Node(NodeError),
}

impl From<NodeError> for Interrupted {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

/// Notes it; in the log once.
fn report(drifts: &Drifts, finding: DriftFinding) {
    let DriftFinding { node, index, node_index, kind, settings, state, .. } = finding.clone();
    if !drifts.found(finding) {
        return;
    }
    let index = index.as_ref().map_or("", |index| index.as_str());
    match (kind, state) {
        (DriftKind::Settings, DriftState::Repairing) => {
            tracing::warn!(%node, index, %node_index, ?settings, "settings were changed on a node; sending them again");
        }
        (DriftKind::Settings, DriftState::Reported | DriftState::Rejected) => {
            tracing::warn!(%node, index, %node_index, ?settings, "settings were changed on a node");
        }
        (DriftKind::Missing, _) => tracing::error!(%node, index, %node_index, "a node does not have an index"),
        (DriftKind::Unknown, _) => tracing::warn!(%node, %node_index, "a node has an index that is not ours"),
    }
}
