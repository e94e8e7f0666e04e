//! The features thread: keeps which experimental features are on, and takes care that every node has those that it acts on.
//!
//! A change is durable before any node hears of it, and every node that answers has it before the client has its answer.
//! Nodes that come, or come back, are told as soon as they have shown who they are; a server that took the place of one is
//! not taken for it. And now and then each is asked whether it still is so,
//! for somebody else may have changed it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, select};

use super::node_client::{NodeClient, NodeError};
use super::task_desk::api_error;
use crate::bridge::Bridge;
use crate::bridge::reply::Reply;
use crate::config::Secret;
use crate::logic::ids::NodeId;
use crate::logic::snapshot::NodeView;
use crate::meili::error::ApiError;
use crate::meili::features::{Features, FeaturesPatch};
use crate::store::{Store, StoreError};
use crate::telemetry::clock;

/// Changes that may wait; past this they are refused.
pub const JOBS_MAX: usize = 16;
/// Its name in the store.
pub(super) const KEPT_AS: &str = "experimental features";
/// Between two looks at who has come.
const ROUND: Duration = Duration::from_secs(1);
/// Between two questions to a node that had them.
const ASKED_AGAIN_AFTER: Duration = Duration::from_mins(1);
/// For one answer of a node.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A change, and who waits for it.
#[derive(Debug)]
pub struct FeaturesJob {
    /// What changes.
    pub patch: FeaturesPatch,
    /// Told what is on then.
    pub reply: Reply<Result<Features, ApiError>>,
}

impl FeaturesJob {
    /// Answers that there is no time for it.
    pub fn refuse(self) {
        self.reply.send(Err(ApiError::overloaded("too many changes of experimental features wait")));
    }
}

/// The state of the thread.
pub struct FeaturesKeeper {
    store: Arc<dyn Store>,
    bridge: Arc<Bridge>,
    node_key: Option<Secret>,
    features: Features,
    /// Nodes that have them, where each was seen, and when it said so.
    told: BTreeMap<NodeId, (SocketAddr, Instant)>,
    /// Nodes that could not be told, so that each is logged once.
    refusing: BTreeMap<NodeId, String>,
}

impl FeaturesKeeper {
    /// Reads what is kept, and shows it to the cores.
    pub fn open(store: Arc<dyn Store>, bridge: Arc<Bridge>, node_key: Option<Secret>) -> Result<Self, StoreError> {
        let features = store.kept(KEPT_AS)?.map(|kept| Features::from_json(&kept)).unwrap_or_default();
        bridge.features.store(Arc::new(features));
        Ok(Self { store, bridge, node_key, features, told: BTreeMap::new(), refusing: BTreeMap::new() })
    }

    /// Works until `stop` is closed.
    pub fn run(mut self, jobs: &Receiver<FeaturesJob>, stop: &Receiver<()>) {
        loop {
            self.tell_nodes();
            select! {
                recv(stop) -> _ => return,
                recv(jobs) -> job => {
                    let Ok(FeaturesJob { patch, reply }) = job else {
                        // The journal died, and is mourned under its own name.
                        let _ = stop.recv();
                        return;
                    };
                    reply.send(self.change(patch));
                },
                default(ROUND) => {}
            }
        }
    }

    fn change(&mut self, patch: FeaturesPatch) -> Result<Features, ApiError> {
        let changed = self.features.patched(patch);
        if changed != self.features {
            self.store.keep(KEPT_AS, &changed.to_json()).map_err(|error| api_error(&error))?;
            self.features = changed;
            self.told.clear();
            self.tell_nodes();
            self.bridge.features.store(Arc::new(changed));
        }
        Ok(changed)
    }

    /// Tells all who answer and may not have them, at once.
    fn tell_nodes(&mut self) {
        let now = clock::instant();
        let snapshot = self.bridge.snapshot.load_full();
        self.told.retain(|id, told| snapshot.nodes.iter().any(|node| node.id == *id && is_same(node, *told, now)));
        let features = self.features;
        let key = self.node_key.as_ref().map(Secret::expose);
        let client = |node: &NodeView| {
            let address = node.address.filter(|_| node.reachable && !self.told.contains_key(&node.id))?;
            Some((node.id.clone(), address, NodeClient::new(node.url.clone(), key)))
        };
        let asked: Vec<(NodeId, SocketAddr, NodeClient)> = snapshot.nodes.iter().filter_map(client).collect();
        let answers = std::thread::scope(|scope| {
            let tellers: Vec<_> =
                asked.iter().map(|(id, at, client)| (id, at, scope.spawn(|| tell(client, features)))).collect();
            let answers = tellers.into_iter().map(|(id, at, teller)| (id.clone(), *at, teller.join()));
            answers.collect::<Vec<_>>()
        });
        for (id, address, answer) in answers {
            match answer {
                Ok(Ok(())) => {
                    self.refusing.remove(&id);
                    self.told.insert(id, (address, now));
                }
                Ok(Err(error)) => {
                    let error = error.to_string();
                    if self.refusing.get(&id) != Some(&error) {
                        tracing::warn!(node = %id, error, "a node does not have the experimental features of the fleet yet");
                        self.refusing.insert(id, error);
                    }
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    }
}

/// What a node said counts for a while, as long as it answers, has shown who it is, and is seen where it was.
fn is_same(node: &NodeView, (address, told_at): (SocketAddr, Instant), now: Instant) -> bool {
    node.reachable && node.address == Some(address) && now.duration_since(told_at) < ASKED_AGAIN_AFTER
}

/// Makes a node have these features, as far as it knows them.
fn tell(client: &NodeClient, features: Features) -> Result<(), NodeError> {
    let mut shown = client.features(ANSWER_TIMEOUT)?;
    if !features.are_on_node(&shown) {
        let mut told = features.node_json();
        told.retain(|key, _| shown.contains_key(key));
        shown = client.set_features(&told, ANSWER_TIMEOUT)?;
    }
    if features.are_on_node(&shown) {
        return Ok(());
    }
    Err(NodeError::BadAnswer("it was told, and shows other experimental features".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_said_is_not_believed_of_another_server_in_its_place() {
        let now = clock::instant();
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let told = (at("10.0.0.1:7700"), now);
        let mut node = NodeView::of(&crate::logic::topology::NodeRecord::active(NodeId::new("n"), "http://n:7700"));
        node.reachable = true;
        assert!(!is_same(&node, told, now), "it has not shown who it is");
        node.address = Some(at("10.0.0.1:7700"));
        assert!(is_same(&node, told, now));
        assert!(!is_same(&node, told, now + ASKED_AGAIN_AFTER));
        node.address = Some(at("10.0.0.2:7700"));
        assert!(!is_same(&node, told, now));
    }
}
