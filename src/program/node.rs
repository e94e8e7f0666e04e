//! `miroir node`: one embedded development node.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

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
    /// bytes of a request body at most (100 MiB unless given)
    #[argh(option)]
    pub http_payload_size_limit: Option<usize>,
    /// end when the process that started this one ends
    #[argh(switch, hidden_help)]
    pub exit_with_parent: bool,
    /// say that this is its version
    #[argh(option, hidden_help)]
    pub claim_version: Option<String>,
    /// become this real Meilisearch, with the same arguments
    #[argh(option, hidden_help)]
    pub meilisearch: Option<PathBuf>,
}

impl Node {
    /// Runs until SIGTERM or Ctrl-C.
    pub fn run(self) -> Result<(), Failure> {
        if self.exit_with_parent {
            end_with_parent()?;
        }
        if let Some(program) = &self.meilisearch {
            return Err(self.become_meilisearch(program));
        }
        // A second set-up in one process is no reason not to run.
        let _already = log::init(LogSettings { format: LogFormat::Text, level: LogLevel::Info });
        let mut options = ServerOptions::new(self.listen.to_string(), self.data_dir, Some(self.master_key));
        options.body_bytes_max = self.http_payload_size_limit.unwrap_or(options.body_bytes_max);
        options.version = self.claim_version.unwrap_or(options.version);
        devnode::run(options).map_err(|error| Failure::Operation(error.to_string()))
    }

    /// Replaces this process, which keeps its number and the bond with its parent. Comes back only if that fails.
    fn become_meilisearch(&self, program: &Path) -> Failure {
        let mut command = Command::new(program);
        // Meilisearch leaves files (dumps, snapshots) where it is started.
        if let Some(folder) = self.data_dir.parent() {
            command.current_dir(folder);
        }
        command.args(["--no-analytics", "--log-level", "WARN", "--master-key", &self.master_key]);
        command.args(["--http-addr", &self.listen.to_string()]).arg("--db-path").arg(&self.data_dir);
        if let Some(bytes) = self.http_payload_size_limit {
            command.args(["--http-payload-size-limit", &bytes.to_string()]);
        }
        let error = command.exec();
        Failure::Operation(format!("{} cannot be started ({error}); check --meilisearch", program.display()))
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
