//! `miroir dev`: a whole fleet on this machine, for development.
//!
//! Nodes are processes of their own (embedded ones, or real Meilisearch servers), so that one can be killed and started
//! again; Miroir runs in this process. Everything is kept below the data directory, ports included: a second start on it
//! finds the same fleet.

mod fleet;
mod places;
mod sample;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use argh::FromArgs;
use serde_json::json;

use super::Failure;
use super::serve::asked_to_stop;
use crate::config::{self, Settings, environment::Environment};
use crate::server::{self, End};
use crate::telemetry::log;
use fleet::Fleet;
use places::Places;

/// The key of the nodes, which listen on the loopback address only. At least 16 bytes, as Meilisearch wants it.
const NODE_KEY: &str = "miroir-dev-node-key";

/// start a fleet on this machine, for development: nodes, and Miroir in front of them
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "dev")]
pub struct Dev {
    /// how many nodes (default 3)
    #[argh(option, default = "3")]
    pub nodes: usize,
    /// how many nodes hold each shard (default 2, or 1 with a single node)
    #[argh(option)]
    pub replication_factor: Option<usize>,
    /// into how many shards indexes are cut (default 64)
    #[argh(option, default = "64")]
    pub shards: u16,
    /// where clients connect (default 127.0.0.1:7700)
    #[argh(option, default = "SocketAddr::from(([127, 0, 0, 1], 7700))")]
    pub listen: SocketAddr,
    /// where miroir-ctl connects (default 127.0.0.1:7701)
    #[argh(option, default = "SocketAddr::from(([127, 0, 0, 1], 7701))")]
    pub admin_listen: SocketAddr,
    /// where all data is kept; a second start finds it (default ./miroir-dev)
    #[argh(option, default = "PathBuf::from(\"./miroir-dev\")")]
    pub data_dir: PathBuf,
    /// the key that clients send (default dev-key)
    #[argh(option, default = "\"dev-key\".to_owned()")]
    pub master_key: String,
    /// a real Meilisearch to start instead of embedded nodes
    #[argh(option)]
    pub meilisearch: Option<PathBuf>,
    /// load a small set of sample documents
    #[argh(switch)]
    pub sample: bool,
}

impl Dev {
    /// Runs until SIGTERM or Ctrl-C, which stops everything.
    pub fn run(self) -> Result<(), Failure> {
        let places = Places::open(&self.data_dir, self.nodes, self.meilisearch.is_some())?;
        // Before anything is started: a mistake on the command line leaves nothing behind.
        let settings = self.settings(&places)?;
        // A second set-up in one process is no reason not to run.
        let _already = log::init(settings.log);
        let asked = asked_to_stop()?;
        let fleet = Fleet::start(&places, self.meilisearch.as_deref())?;
        fleet.wait_until_healthy(&asked)?;
        let server = server::start(&settings)?;
        if self.sample {
            sample::load(self.listen, &self.master_key)?;
        }
        self.print(&places, &fleet)?;
        let watch = fleet.watch()?;
        let end = server.wait(&asked);
        drop(watch);
        server.stop();
        fleet.stop();
        match end {
            End::Asked => Ok(()),
            End::Died(death) => Err(Failure::Operation(death.to_string())),
        }
    }

    fn settings(&self, places: &Places) -> Result<Settings, Failure> {
        let nodes: Vec<_> = places.nodes.iter().map(|node| json!({"id": node.id, "url": node.url()})).collect();
        let replication_factor = self.replication_factor.unwrap_or(2.min(self.nodes));
        let flags = [
            ("nodes", json!(nodes).to_string()),
            ("node_master_key", NODE_KEY.to_owned()),
            ("listen", self.listen.to_string()),
            ("admin.listen", self.admin_listen.to_string()),
            ("master_key", self.master_key.clone()),
            ("data_dir", places.miroir().display().to_string()),
            ("shards", self.shards.to_string()),
            ("replication_factor", replication_factor.to_string()),
        ];
        Ok(config::load(None, &Environment::of_process(), &flags)?)
    }

    fn print(&self, places: &Places, fleet: &Fleet) -> Result<(), Failure> {
        let mut out = std::io::stdout();
        let (listen, admin, key) = (self.listen, self.admin_listen, &self.master_key);
        let kind = if self.meilisearch.is_some() { "Meilisearch" } else { "embedded, for development only" };
        writeln!(out, "\nMiroir    http://{listen}  master key: {key}")?;
        writeln!(out, "operators http://{admin}")?;
        for (node, pid) in places.nodes.iter().zip(fleet.pids()) {
            writeln!(out, "{:<9} {}  pid {pid}  ({kind}; key: {NODE_KEY})", node.id, node.url())?;
        }
        let data = self.data_dir.display();
        write!(
            out,
            "\nall data is in {data}; Ctrl-C stops everything, and a second start finds it\n\ntry:\n\
             \x20 curl -X POST http://{listen}/indexes/movies/documents -H 'Authorization: Bearer {key}' \\\n\
             \x20   -H 'Content-Type: application/json' -d '[{{\"id\": 1, \"title\": \"Inception\"}}, {{\"id\": 2, \"title\": \"Interstellar\"}}]'\n\
             \x20 curl -X POST http://{listen}/indexes/movies/search -H 'Authorization: Bearer {key}' \\\n\
             \x20   -H 'Content-Type: application/json' -d '{{\"q\": \"inception\"}}'\n\
             \x20 {} --admin http://{admin} shards\n\
             \x20 kill -9 {}   (a node dies: searches go on)\n\n",
            ctl(),
            fleet.pids().last().copied().unwrap_or_default(),
        )?;
        out.flush()?;
        Ok(())
    }
}

/// How the operator's command is called: it need not be on the search path.
fn ctl() -> String {
    let beside = std::env::current_exe().map(|program| program.with_file_name("miroir-ctl"));
    let beside = beside.ok().filter(|program| program.exists());
    beside.map_or_else(|| "miroir-ctl".to_owned(), |program| program.display().to_string())
}
