//! Looks at one node again and again: where its name points to, and whether it answers.
//!
//! What it finds is a hint for the choice among replicas and for the operator. It never takes a replica out of the in-sync
//! set: only the feeder protocol does, by what was applied.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError};

use super::node_client::{NodeClient, NodeError};
use super::publisher::Publisher;
use super::status::{Looks, NodeLook};
use crate::logic::ids::NodeId;

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
    pub id: NodeId,
    /// `http://HOST:PORT`.
    pub url: String,
    /// Its own.
    pub client: NodeClient,
    /// Told of every change.
    pub publisher: Arc<Publisher>,
    /// Where operators look.
    pub looks: Looks,
    /// See there.
    pub timing: ProbeTiming,
}

impl Prober {
    /// Works until `stop` is closed.
    pub fn run(self, stop: &Receiver<()>) {
        let mut was_well = None;
        loop {
            let address = resolve(&self.url);
            let health = self.client.health(self.timing.timeout);
            let is_well = health.is_ok();
            self.publisher.publish_node(&self.id, |node| {
                node.reachable = is_well;
                // While a name cannot be resolved the last address is the best that is known.
                node.address = address.or(node.address);
            });
            self.looks.note(&self.id, self.look(&health));
            if was_well != Some(is_well) {
                self.log(&health);
                was_well = Some(is_well);
            }
            match stop.recv_timeout(self.timing.interval) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// For operators only: what fails here is shown, and changes nothing else.
    fn look(&self, health: &Result<(), NodeError>) -> NodeLook {
        if let Err(error) = health {
            return NodeLook { error: Some(error.to_string()), ..NodeLook::default() };
        }
        let timeout = self.timing.timeout;
        let seen = self.client.version(timeout).and_then(|version| Ok((version, self.client.stats(timeout)?)));
        match seen {
            Ok((version, stats)) => NodeLook {
                version: Some(version),
                documents: Some(stats.indexes.values().map(|index| index.number_of_documents).sum()),
                database_size: Some(stats.database_size),
                error: None,
            },
            Err(error) => NodeLook { error: Some(error.to_string()), ..NodeLook::default() },
        }
    }

    fn log(&self, health: &Result<(), NodeError>) {
        let (node, url) = (&self.id, &self.url);
        match health {
            Ok(()) => tracing::info!(%node, url, "node answers"),
            Err(error) => tracing::warn!(%node, url, %error, "node does not answer"),
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
