//! `miroir dev`: a whole fleet on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use argh::FromArgs;

use super::Failure;

/// start a fleet on this machine, for development: nodes, and Miroir in front of them
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "dev")]
pub struct Dev {
    /// how many nodes (default 3)
    #[argh(option, default = "3")]
    pub nodes: usize,
    /// how many nodes hold each shard (default 2)
    #[argh(option, default = "2")]
    pub replication_factor: usize,
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
    /// Runs until SIGTERM or Ctrl-C.
    pub fn run(self) -> Result<(), Failure> {
        Err(Failure::Operation("dev is not there yet".to_owned()))
    }
}
