//! Asks a server whether it can be a node and which one it is, and tells it: the document of [`IDENTITY_INDEX`]. What follows from the answer is the
//! protocol's business (`logic/feeder/identity`).

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::node_client::{BodyParts, NodeClient, NodeError, NodeWrite, SendOutcome};
use crate::logic::entry::PutMode;
use crate::logic::feeder::{Bearer, IDENTITY_INDEX};
use crate::logic::ids::{NodeId, NodeIndexUid};
use crate::meili::node_version::{Fitness, fitness_of};

/// Documents that are looked at, one for each life.
const LIVES_MAX: u64 = 10_000;

/// Which member of which cluster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// See [`crate::store::ClusterRecord::cluster_id`].
    pub cluster: String,
    /// The operator's name.
    pub node: NodeId,
}

/// Who answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answerer {
    /// For the protocol.
    pub bearer: Bearer,
    /// What it carries; none if it carries nothing.
    pub carried: Option<Identity>,
    /// Of Meilisearch, `1.50.0`.
    pub version: String,
}

/// One for each life, so that a request that arrives far too late never takes a later life back.
#[derive(Serialize, Deserialize)]
struct Document {
    #[serde(flatten)]
    identity: Identity,
    life: u64,
}

impl Identity {
    /// Asks whoever answers whether it is this node. `timeout` is for one answer of three.
    ///
    /// # Errors
    /// Nobody answers, or a version that is too old to be read or written.
    pub fn ask(&self, client: &NodeClient, timeout: Duration) -> Result<Answerer, NodeError> {
        let version = client.version(timeout)?;
        if fitness_of(&version) == Fitness::TooOld {
            return Err(NodeError::TooOld(version));
        }
        let fields = ["cluster", "node", "life"];
        let found = match client.fetch_documents(&index(), None, &fields, 0..LIVES_MAX, timeout) {
            Ok(found) => found.results,
            Err(NodeError::Refused { status: 404, .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        // What somebody else put there says nothing.
        let carried = found.into_iter().filter_map(|document| serde_json::from_value(document.into()).ok());
        let carried: Vec<Document> = carried.collect();
        // One that carries two names is not ours alone.
        if let Some(other) = carried.iter().find(|document| document.identity != *self) {
            return Ok(Answerer { bearer: Bearer::Other, carried: Some(other.identity.clone()), version });
        }
        if let Some(life) = carried.iter().map(|document| document.life).max() {
            return Ok(Answerer { bearer: Bearer::Node { life }, carried: Some(self.clone()), version });
        }
        let is_empty = client.stats(timeout)?.indexes.is_empty();
        Ok(Answerer { bearer: Bearer::Nobody { is_empty }, carried: None, version })
    }

    /// Lets a server carry it from now on: a task there.
    pub fn tell(&self, client: &NodeClient, life: u64, timeout: Duration) -> SendOutcome {
        let Self { cluster, node } = self;
        let document = json!({ "id": format!("{cluster}-{life}"), "cluster": cluster, "node": node, "life": life });
        let put = NodeWrite::Put {
            mode: PutMode::Replace,
            primary_key: Some("id"),
            metadata: "identity",
            body: BodyParts::whole(Bytes::from(document.to_string())),
        };
        client.write(&index(), &put, timeout)
    }

    /// What an operator is to know of a server that is not this node.
    pub fn stranger(&self, answerer: &Answerer) -> String {
        let node = &self.node;
        match &answerer.carried {
            Some(_) if answerer.bearer != Bearer::Other => format!(
                "the server at this url has the data of an earlier life of {node}; it is rebuilt as soon as others have all \
                 it had, and not used before"
            ),
            Some(other) if other.cluster == self.cluster => format!(
                "the server at this url is node {}, not {node}: nothing is read or written there; correct the url of {node}",
                other.node
            ),
            Some(other) => format!(
                "the server at this url is node {} of another cluster ({}): nothing is read or written there; correct the \
                 url of {node}",
                other.node, other.cluster
            ),
            None if answerer.bearer == (Bearer::Nobody { is_empty: false }) => format!(
                "the server at this url has indexes, but nothing says that it is {node}: nothing is read or written there; \
                 correct the url, or start the server with an empty data directory to have {node} rebuilt"
            ),
            None => format!(
                "the server at this url is empty; {node} is rebuilt there as soon as others have all it had. If its disk is \
                 not lost, start it with that"
            ),
        }
    }
}

fn index() -> NodeIndexUid {
    NodeIndexUid::new(IDENTITY_INDEX)
}
