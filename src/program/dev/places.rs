//! Where a development fleet lives: folders and ports, kept in the data directory for the next start.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::Failure;

/// The file that remembers.
const FILE: &str = "fleet.json";

/// What is remembered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Remembered {
    meilisearch: bool,
    ports: Vec<u16>,
}

/// One node's place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodePlace {
    /// Its name: `node-0` and so on.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it keeps its data.
    pub folder: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
}

impl NodePlace {
    /// `http://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The whole fleet's.
#[derive(Debug)]
pub struct Places {
    /// In the order of their names.
    pub nodes: Vec<NodePlace>,
    folder: PathBuf,
    /// Held for as long as this lives: one fleet per directory.
    _lock: File,
}

impl Places {
    /// Finds what an earlier start left, or chooses ports that are free.
    pub fn open(folder: &Path, nodes: usize, meilisearch: bool) -> Result<Self, Failure> {
        let wrong = |error: std::io::Error| {
            let shown = folder.display();
            Failure::Operation(format!("--data-dir {shown}: {error}; give a directory that can be written"))
        };
        std::fs::create_dir_all(folder).map_err(wrong)?;
        // Children are started elsewhere.
        let folder = folder.canonicalize().map_err(wrong)?;
        let lock = File::create(folder.join("lock")).map_err(wrong)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Failure::Operation(format!(
                "{} is in use by another `miroir dev`; stop it or give another --data-dir",
                folder.display()
            )),
            TryLockError::Error(error) => wrong(error),
        })?;
        let ports = ports(&folder, nodes, meilisearch)?;
        let remembered = Remembered { meilisearch, ports: ports.clone() };
        let text = serde_json::to_string(&remembered).expect("numbers can be written");
        std::fs::write(folder.join(FILE), text).map_err(wrong)?;
        let place = |(number, port): (usize, u16)| NodePlace {
            id: format!("node-{number}"),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            folder: folder.join(format!("node-{number}")),
            log: folder.join(format!("node-{number}.log")),
        };
        Ok(Self { nodes: ports.into_iter().enumerate().map(place).collect(), folder, _lock: lock })
    }

    /// Where Miroir itself keeps its data.
    pub fn miroir(&self) -> PathBuf {
        self.folder.join("miroir")
    }
}

fn ports(folder: &Path, nodes: usize, meilisearch: bool) -> Result<Vec<u16>, Failure> {
    let remembered = std::fs::read_to_string(folder.join(FILE)).ok();
    let remembered: Option<Remembered> = remembered.and_then(|text| serde_json::from_str(&text).ok());
    let shown = folder.display();
    let Some(remembered) = remembered else {
        return (0..nodes).map(|_| free_port()).collect();
    };
    if remembered.meilisearch != meilisearch {
        let (there, flag) =
            if meilisearch { ("embedded nodes", "without") } else { ("real Meilisearch servers", "with") };
        return Err(Failure::Usage(format!(
            "{shown} holds the data of {there}; start {flag} --meilisearch or give another --data-dir"
        )));
    }
    if remembered.ports.len() != nodes {
        let count = remembered.ports.len();
        return Err(Failure::Usage(format!(
            "{shown} holds the data of {count} nodes; start with --nodes {count} or give another --data-dir"
        )));
    }
    // Somebody else may have taken a port in between.
    remembered.ports.into_iter().map(|port| if is_free(port) { Ok(port) } else { free_port() }).collect()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let port = listener.and_then(|listener| listener.local_addr()).map(|address| address.port());
    port.map_err(|error| Failure::Operation(format!("no free port for a node: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_finds_the_same_ports() {
        let folder = tempfile::tempdir().unwrap();
        let first = Places::open(folder.path(), 3, false).unwrap().nodes;
        let second = Places::open(folder.path(), 3, false).unwrap().nodes;
        assert_eq!(first, second);
        assert_eq!(first[2].id, "node-2");
    }

    #[test]
    fn another_kind_or_number_of_nodes_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        drop(Places::open(folder.path(), 3, false).unwrap());
        let refused = |nodes, meilisearch| Places::open(folder.path(), nodes, meilisearch).unwrap_err().to_string();
        assert!(refused(2, false).contains("--nodes 3"), "{}", refused(2, false));
        assert!(refused(3, true).contains("without --meilisearch"), "{}", refused(3, true));
    }

    #[test]
    fn two_fleets_in_one_directory_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Places::open(folder.path(), 1, false).unwrap();
        let message = Places::open(folder.path(), 1, false).unwrap_err().to_string();
        assert!(message.contains("another `miroir dev`"), "{message}");
    }
}
