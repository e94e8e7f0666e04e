//! Search rules: what is kept of them, and bringing them to every node.
//!
//! Changes come by the journal. They are made here in its order, stored, and only then told: every node that answers has all
//! rules before the task is done. Nodes that come, or come back, get them as soon as they answer; now and then each is asked
//! whether it still has them. Indexes have other names on the nodes, so nodes are told anew, too, when a rule names an index
//! that is created or renamed.
//!
//! The cores see which nodes have the rules as they are: while one has not, searches that it answers say so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::after;
use serde::{Deserialize, Serialize};

use super::node_client::{NodeClient, NodeError};
use crate::bridge::Bridge;
use crate::bridge::rules::RulesView;
use crate::logic::entry::Operation;
use crate::logic::ids::{EntryId, NodeId, NodeTask};
use crate::logic::pins::{NodeNames, RulesStep, ToldRules, steps_to};
use crate::logic::snapshot::RoutingSnapshot;
use crate::meili::features::Feature;
use crate::meili::search_rules::SearchRules;
use crate::store::{Store, StoreError};
use crate::telemetry::clock;

/// Its name in the store.
const KEPT_AS: &str = "search rules";
/// Between two questions to a node that had them.
const ASKED_AGAIN_AFTER: Duration = Duration::from_mins(1);
/// Before a node is asked again that could not be told.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// For one answer of a node.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// So long others wait for a node that works on its tasks.
const TASKS_PATIENCE: Duration = Duration::from_secs(1);
const TASKS_POLL: Duration = Duration::from_millis(10);
/// Changes after which a node that still shows something else is left for later.
const TURNS_MAX: usize = 4;

/// As it is stored.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The last change that was made.
    last: Option<EntryId>,
    rules: SearchRules,
}

/// How far a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// It showed this version then.
    Told { version: u64, at: Instant },
    /// It has the last change as this task.
    Working(NodeTask),
    /// It does not have them, and will be asked again.
    Refusing { why: String, at: Instant, is_final: bool },
}

/// A change that was made, and what it has deleted if that was to be all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DoneChange {
    pub entry: EntryId,
    pub deleted: Option<u64>,
}

/// See the module.
pub(super) struct RulesKeeper {
    store: Arc<dyn Store>,
    bridge: Arc<Bridge>,
    node_key: Option<String>,
    kept: Kept,
    names: NodeNames,
    told: Arc<ToldRules>,
    version: u64,
    changed_at: Instant,
    /// Whether nodes go by rules.
    is_on: bool,
    nodes: BTreeMap<NodeId, Stage>,
    /// Made, and not done until the nodes have them.
    made: Vec<DoneChange>,
}

impl RulesKeeper {
    /// Reads what is kept.
    pub(super) fn open(
        store: Arc<dyn Store>,
        bridge: Arc<Bridge>,
        node_key: Option<String>,
    ) -> Result<Self, StoreError> {
        let damaged = |error: serde_json::Error| StoreError::Damaged(format!("{KEPT_AS}: {error}"));
        let kept = store.kept(KEPT_AS)?.map(serde_json::from_value).transpose().map_err(damaged)?;
        let mut keeper = Self {
            store,
            bridge,
            node_key,
            kept: kept.unwrap_or_default(),
            names: NodeNames::new(),
            told: Arc::default(),
            version: 0,
            changed_at: clock::instant(),
            is_on: false,
            nodes: BTreeMap::new(),
            made: Vec::new(),
        };
        keeper.renew();
        Ok(keeper)
    }

    /// Makes the changes that were not made yet, and tells nodes what they do not know. Gives the changes that are done.
    pub(super) fn round(&mut self, waiting: &[EntryId]) -> Result<Vec<DoneChange>, StoreError> {
        self.made.retain(|made| waiting.contains(&made.entry));
        let is_changed = self.make(waiting)?;
        let snapshot = self.bridge.snapshot.load_full();
        if is_changed || self.names_in(&snapshot) != self.names {
            self.renew();
        }
        let is_on = self.bridge.features.load().has(Feature::DynamicSearchRules);
        if is_on != self.is_on {
            self.is_on = is_on;
            self.nodes.clear();
            self.changed_at = clock::instant();
            self.show();
        }
        if !is_on {
            // They have no say, and nodes take none.
            return Ok(std::mem::take(&mut self.made));
        }
        self.tell_nodes(&snapshot);
        let has_them = |stage: Option<&Stage>| match stage {
            Some(Stage::Told { version, .. }) => *version == self.version,
            // Nothing can be waited for.
            Some(Stage::Refusing { is_final, .. }) => *is_final,
            Some(Stage::Working(_)) | None => false,
        };
        let mut answering = snapshot.nodes.iter().filter(|node| node.reachable);
        let is_done = answering.all(|node| has_them(self.nodes.get(&node.id)));
        Ok(if is_done { std::mem::take(&mut self.made) } else { Vec::new() })
    }

    /// Says whether anything was changed.
    fn make(&mut self, waiting: &[EntryId]) -> Result<bool, StoreError> {
        let mut kept = self.kept.clone();
        let mut made = Vec::new();
        for &entry in waiting {
            if self.made.iter().any(|made| made.entry == entry) {
                continue;
            }
            let mut deleted = None;
            // What was made in an earlier life is only told.
            if kept.last.is_none_or(|last| last < entry) {
                if let Some(record) = self.store.entry(entry)?
                    && let Operation::ChangeRules(change) = &record.entry.operation
                {
                    deleted = kept.rules.apply(change);
                }
                kept.last = Some(entry);
            }
            made.push(DoneChange { entry, deleted });
        }
        let is_changed = kept.rules != self.kept.rules;
        if kept != self.kept {
            let value = serde_json::to_value(&kept).map_err(|error| StoreError::Failed(error.to_string()))?;
            self.store.keep(KEPT_AS, &value)?;
            self.kept = kept;
        }
        self.made.extend(made);
        Ok(is_changed)
    }

    /// What indexes that rules name are called on the nodes.
    fn names_in(&self, snapshot: &RoutingSnapshot) -> NodeNames {
        let named = self.kept.rules.iter().flat_map(|rule| rule.pins().filter_map(|pin| pin.index));
        let indexes: BTreeSet<String> = named.collect();
        let found = indexes.iter().filter_map(|uid| snapshot.indexes.get(uid.as_str()));
        found.map(|index| (index.uid.clone(), index.node_uid.clone())).collect()
    }

    /// Nobody has the rules as they are now.
    fn renew(&mut self) {
        self.names = self.names_in(&self.bridge.snapshot.load());
        self.told = Arc::new(ToldRules::of(&self.kept.rules, &self.names));
        self.version += 1;
        self.changed_at = clock::instant();
        // Before the first node hears of it: whoever has asked one is told so.
        self.show();
    }

    fn show(&self) {
        let told = self.nodes.iter().filter_map(|(node, stage)| match stage {
            Stage::Told { version, .. } if *version == self.version => Some(node.clone()),
            Stage::Told { .. } | Stage::Working(_) | Stage::Refusing { .. } => None,
        });
        self.bridge.rules.store(Arc::new(RulesView {
            rules: Arc::new(self.kept.rules.clone()),
            book: Arc::new(self.told.book.clone()),
            names: Arc::new(self.names.clone()),
            told: told.collect(),
            version: self.version,
            changed_at: Some(self.changed_at),
        }));
    }

    /// Tells all who answer and may not have them, at once.
    fn tell_nodes(&mut self, snapshot: &RoutingSnapshot) {
        let now = clock::instant();
        let answering = || snapshot.nodes.iter().filter(|node| node.reachable);
        let before = self.nodes.len();
        self.nodes.retain(|id, _| answering().any(|node| node.id == *id));
        let mut is_news = self.nodes.len() < before;
        let version = self.version;
        let is_due = |stage: Option<&Stage>| match stage {
            None | Some(Stage::Working(_)) => true,
            Some(Stage::Told { version: known, at }) => {
                *known != version || now.duration_since(*at) >= ASKED_AGAIN_AFTER
            }
            Some(Stage::Refusing { at, .. }) => now.duration_since(*at) >= RETRY_AFTER,
        };
        let due: Vec<(NodeId, NodeClient, Option<NodeTask>)> = answering()
            .filter(|node| is_due(self.nodes.get(&node.id)))
            .map(|node| {
                let under_way = match self.nodes.get(&node.id) {
                    Some(Stage::Working(task)) => Some(*task),
                    Some(Stage::Told { .. } | Stage::Refusing { .. }) | None => None,
                };
                (node.id.clone(), NodeClient::new(node.url.clone(), self.node_key.as_deref()), under_way)
            })
            .collect();
        let told = &self.told;
        let answers = std::thread::scope(|scope| {
            let tellers: Vec<_> =
                due.iter().map(|(_, client, task)| scope.spawn(move || tell(client, told, *task))).collect();
            tellers.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        for ((id, ..), answer) in due.into_iter().zip(answers) {
            let answer = answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let stage = match answer {
                Ok(None) => Stage::Told { version, at: now },
                Ok(Some(task)) => Stage::Working(task),
                Err(error) => self.refused(&id, &error, now),
            };
            let was_told = matches!(self.nodes.get(&id), Some(Stage::Told { version: known, .. }) if *known == version);
            is_news |= was_told != matches!(stage, Stage::Told { .. });
            self.nodes.insert(id, stage);
        }
        if is_news {
            self.show();
        }
    }

    /// Logged once for each reason.
    fn refused(&self, id: &NodeId, error: &NodeError, at: Instant) -> Stage {
        let is_final = matches!(error, NodeError::Refused { status: 501 | 404, .. });
        let why = error.to_string();
        if !matches!(self.nodes.get(id), Some(Stage::Refusing { why: known, .. }) if *known == why) {
            tracing::warn!(node = %id, error = why, "a node does not have the search rules of the fleet yet");
        }
        Stage::Refusing { why, at, is_final }
    }
}

/// Makes a node have these rules; the task that it works on if that takes longer.
fn tell(client: &NodeClient, told: &ToldRules, under_way: Option<NodeTask>) -> Result<Option<NodeTask>, NodeError> {
    if let Some(task) = under_way
        && is_under_way(client, task)?
    {
        return Ok(Some(task));
    }
    for _ in 0..TURNS_MAX {
        let found = client.search_rules(ANSWER_TIMEOUT)?;
        if found == told.shown {
            return Ok(None);
        }
        let mut last = None;
        for step in steps_to(&told.shown, &found) {
            last = Some(client.change_rules(&step, ANSWER_TIMEOUT)?);
        }
        if let Some(task) = last
            && is_under_way(client, task)?
        {
            return Ok(Some(task));
        }
    }
    // One that fails at a change may do with all rules anew.
    client.change_rules(&RulesStep::Clear, ANSWER_TIMEOUT)?;
    Err(NodeError::BadAnswer("it was told, and shows other search rules".to_owned()))
}

/// After having waited for it a little.
fn is_under_way(client: &NodeClient, task: NodeTask) -> Result<bool, NodeError> {
    let until = clock::instant() + TASKS_PATIENCE;
    while client.is_under_way(task, ANSWER_TIMEOUT)? {
        if clock::instant() >= until {
            return Ok(true);
        }
        let _ = after(TASKS_POLL).recv();
    }
    Ok(false)
}
