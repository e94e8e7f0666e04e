//! `miroir node`: one embedded development node.

use std::net::SocketAddr;
use std::path::PathBuf;

use argh::FromArgs;

use super::Failure;
use crate::config::{LogFormat, LogLevel, LogSettings};
use crate::devnode::{self, ServerOptions};
use crate::telemetry::log;

/// run one embedded node, for development and tests only
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "node")]
pub struct Node {
    /// where it listens, IP:PORT
    #[argh(option)]
    pub listen: SocketAddr,
    /// where it keeps its data
    #[argh(option)]
    pub data_dir: PathBuf,
    /// the key that its clients send
    #[argh(option)]
    pub master_key: String,
    /// end when the process that started this one ends
    #[argh(switch, hidden_help)]
    pub exit_with_parent: bool,
}

impl Node {
    /// Runs until SIGTERM or Ctrl-C.
    pub fn run(self) -> Result<(), Failure> {
        if self.exit_with_parent {
            end_with_parent()?;
        }
        // A second set-up in one process is no reason not to run.
        let _already = log::init(LogSettings { format: LogFormat::Text, level: LogLevel::Info });
        let options = ServerOptions::new(self.listen.to_string(), self.data_dir, Some(self.master_key));
        devnode::run(options).map_err(|error| Failure::Operation(error.to_string()))
    }
}

/// Asks the kernel to end this process with the one that started it, so that a killed `miroir dev` leaves no node behind.
fn end_with_parent() -> Result<(), Failure> {
    let parent = nix::unistd::getppid();
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
        .map_err(|error| Failure::Operation(format!("cannot follow the parent process: {error}")))?;
    // It may have ended before the kernel was asked.
    if nix::unistd::getppid() == parent {
        Ok(())
    } else {
        Err(Failure::Operation("the parent process is gone".to_owned()))
    }
}
