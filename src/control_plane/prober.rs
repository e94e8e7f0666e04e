//! Looks at one node again and again: where its name points to, and whether it answers.
//!
//! Whether it answers is a hint for the choice among replicas and for the operator. It never takes a replica out of the
//! in-sync set: only the feeder protocol does, by what was applied. But cores get the address of a server only once that has
//! shown that it is the node.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError};

use super::identity::Identity;
use super::node_client::{NodeClient, NodeError};
use super::publisher::Publisher;
use super::status::{Looks, NodeLook};
use crate::logic::feeder::Bearer;
use crate::meili::node_version::{Fitness, NodeVersion, fitness_of};

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct ProbeTiming {
    /// Between two looks.
    pub interval: Duration,
    /// For one look.
    pub timeout: Duration,
}

/// The thread of one node.
pub struct Prober {
    /// Which.
    pub identity: Identity,
    /// `http://HOST:PORT`.
    pub url: String,
    /// Of the nodes.
    pub node_key: Option<String>,
    /// Told of every change.
    pub publisher: Arc<Publisher>,
    /// Where operators look.
    pub looks: Looks,
    /// See there.
    pub timing: ProbeTiming,
}

/// What a look found at the URL.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Found {
    /// Of this version.
    Node(String),
    /// Another server, or one that lost what it had: why it is not used.
    Stranger(String),
    /// Nobody, or nobody that says who it is.
    Nobody(NodeError),
}

impl Prober {
    /// Works until `stop` is closed. `is_itself` says of each answer whether it is the node that answered: somebody, or a
    /// server that cannot be a node.
    pub fn run(self, stop: &Receiver<()>, is_itself: impl Fn(Option<Bearer>) -> bool) {
        let mut before = None;
        let (mut client, mut asked) = (self.client(), None);
        loop {
            let address = resolve(&self.url);
            if asked != address {
                // A connection that is kept would go on with the server that the name led to before.
                (client, asked) = (self.client(), address);
            }
            let found = self.find(&client, &is_itself);
            self.publisher.publish_node(&self.identity.node, |node| {
                node.reachable = matches!(found, Found::Node(_));
                node.address = match found {
                    Found::Node(_) => address.or(node.address),
                    // Whoever answers there next need not be the same server.
                    Found::Stranger(_) | Found::Nobody(NodeError::Unreachable(_) | NodeError::TooOld(_)) => None,
                    // Cores may try a slow one.
                    Found::Nobody(_) => node.address,
                };
            });
            self.looks.note(&self.identity.node, self.look(&client, &found));
            let kind = std::mem::discriminant(&found);
            if before.replace(kind) != Some(kind) {
                self.log(&found);
            }
            match stop.recv_timeout(self.timing.interval) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn client(&self) -> NodeClient {
        NodeClient::new(&*self.url, self.node_key.as_deref())
    }

    fn find(&self, client: &NodeClient, is_itself: impl Fn(Option<Bearer>) -> bool) -> Found {
        let timeout = self.timing.timeout;
        let health = client.health(timeout);
        match health.and_then(|()| self.identity.ask(client, timeout)) {
            Ok(answerer) if is_itself(Some(answerer.bearer)) => Found::Node(answerer.version),
            Ok(answerer) => Found::Stranger(self.identity.stranger(&answerer)),
            Err(error @ NodeError::TooOld(_)) => {
                is_itself(None);
                Found::Nobody(error)
            }
            Err(error) => Found::Nobody(error),
        }
    }

    /// For operators only: what fails here is shown, and changes nothing else.
    fn look(&self, client: &NodeClient, found: &Found) -> NodeLook {
        let version = match found {
            Found::Stranger(why) => return NodeLook { error: Some(why.clone()), ..NodeLook::default() },
            Found::Nobody(error) => {
                let version = if let NodeError::TooOld(version) = error { Some(version.clone()) } else { None };
                return NodeLook { version, error: Some(error.to_string()), ..NodeLook::default() };
            }
            Found::Node(version) => Some(version.clone()),
        };
        match client.stats(self.timing.timeout) {
            Ok(stats) => NodeLook {
                version,
                documents: Some(stats.indexes.values().map(|index| index.number_of_documents).sum()),
                database_size: Some(stats.database_size),
                error: None,
            },
            Err(error) => NodeLook { version, error: Some(error.to_string()), ..NodeLook::default() },
        }
    }

    fn log(&self, found: &Found) {
        let (node, url) = (&self.identity.node, &self.url);
        match found {
            Found::Node(version) if fitness_of(version) == Fitness::Untested => {
                tracing::warn!(%node, url, version, tested = %NodeVersion::LEAST, "node answers, with a version that is newer than the tested one");
            }
            Found::Node(version) => tracing::info!(%node, url, version, "node answers"),
            Found::Nobody(error @ NodeError::TooOld(_)) => tracing::error!(%node, url, %error, "node is not used"),
            Found::Nobody(error) => tracing::warn!(%node, url, %error, "node does not answer"),
            Found::Stranger(why) => tracing::error!(%node, url, why, "the node is not where it is said to be"),
        }
    }
}

/// The address behind a URL, the first one that the name has.
pub fn resolve(url: &str) -> Option<SocketAddr> {
    let authority = url.strip_prefix("http://")?.split('/').next()?;
    if let Ok(address) = authority.parse() {
        return Some(address);
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let with_port = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    with_port.to_socket_addrs().ok()?.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_addresses() {
        assert_eq!(resolve("http://127.0.0.1:7700"), Some(([127, 0, 0, 1], 7700).into()));
        assert_eq!(resolve("http://127.0.0.1/prefix"), Some(([127, 0, 0, 1], 80).into()));
        assert_eq!(resolve("http://[::1]:7700").map(|address| address.port()), Some(7700));
        assert!(resolve("http://localhost:7700").is_some_and(|address| address.ip().is_loopback()));
        assert_eq!(resolve("http://no.such.name.invalid:1"), None);
    }
}
