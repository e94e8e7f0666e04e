//! The operator's command line, one file per subcommand: a client of the admin API (`docs/ADMIN-API.md`), and for `import`
//! of clients' API.
//!
//! Tables for people; with `--json` the answer of the server as it is, for programs. It holds no state and decides
//! nothing. Exit codes: [`crate::program`].

mod backup;
mod client;
mod explain;
mod import;
mod node;
mod nodes;
mod progress;
mod rebalance;
mod replication_factor;
mod shards;
mod status;
mod table;
mod tasks;
mod verify;

#[cfg(test)]
mod tests;

use std::io::Write;

use argh::FromArgs;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::program::{Failure, print_version};
use client::{Call, Client};

/// Look after a running Miroir.
#[derive(FromArgs, PartialEq, Debug)]
pub struct Ctl {
    /// the admin address (default http://127.0.0.1:7701)
    #[argh(option, default = "\"http://127.0.0.1:7701\".to_owned()")]
    pub admin: String,
    /// the admin key, if the server has one
    #[argh(option)]
    pub admin_key: Option<String>,
    /// print JSON instead of tables
    #[argh(switch)]
    pub json: bool,
    /// print the version
    #[argh(switch)]
    pub version: bool,
    /// what to do
    #[argh(subcommand)]
    pub command: Option<Command>,
}

/// The subcommands of `miroir-ctl`.
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand)]
pub enum Command {
    /// See [`status`].
    Status(status::Status),
    /// See [`nodes`].
    Nodes(nodes::Nodes),
    /// See [`shards`].
    Shards(shards::Shards),
    /// See [`tasks`].
    Tasks(tasks::Tasks),
    /// See [`node`].
    Node(node::Node),
    /// See [`explain`].
    Explain(explain::Explain),
    /// See [`rebalance`].
    Rebalance(rebalance::Rebalance),
    /// See [`replication_factor`].
    ReplicationFactor(replication_factor::ReplicationFactor),
    /// See [`verify`].
    Verify(verify::Verify),
    /// See [`backup`].
    Backup(backup::Backup),
    /// See [`import`].
    Import(import::Import),
}

impl Command {
    /// None: it does not ask the admin listener.
    fn call(&self) -> Option<Call> {
        let call = match self {
            Self::Import(_) => return None,
            Self::Status(_) => Call::get("/status"),
            Self::Nodes(_) => Call::get("/fleet"),
            Self::Shards(_) => Call::get("/shards"),
            Self::Tasks(tasks) => Call::get(tasks.target()),
            Self::Node(node) => node.command.call(),
            Self::Explain(explain) => explain.what.call(),
            Self::Rebalance(rebalance) => rebalance.command.call(),
            Self::ReplicationFactor(replication_factor) => replication_factor.call(),
            Self::Verify(verify) => verify.call(),
            Self::Backup(backup) => backup.call(),
        };
        Some(call)
    }

    /// The answer for people.
    fn render(&self, answer: &Value) -> String {
        match self {
            Self::Status(_) => status::Status::render(answer),
            Self::Nodes(_) => nodes::Nodes::render(answer),
            Self::Shards(_) => shards::Shards::render(answer),
            Self::Tasks(_) => tasks::Tasks::render(answer),
            Self::Node(node) => node.command.render(answer),
            Self::Explain(explain) => explain.what.render(answer),
            Self::Rebalance(rebalance) => rebalance.command.render(answer),
            Self::ReplicationFactor(replication_factor) => replication_factor.render(answer),
            Self::Verify(_) => verify::render(answer),
            Self::Backup(_) => backup::render(answer),
            Self::Import(_) => String::new(),
        }
    }

    /// What the exit code says: of a question, whether the answer is yes.
    fn verdict(&self, answer: &Value) -> Result<(), Failure> {
        match self {
            Self::Node(node) => node.command.verdict(answer),
            Self::Explain(explain) => explain.what.verdict(answer),
            Self::Verify(_) => verify::verdict(answer),
            Self::Backup(_) => backup::verdict(answer),
            Self::Status(_)
            | Self::Nodes(_)
            | Self::Shards(_)
            | Self::Tasks(_)
            | Self::Rebalance(_)
            | Self::ReplicationFactor(_)
            | Self::Import(_) => Ok(()),
        }
    }
}

impl Command {
    /// To be asked again until it is over.
    fn is_followed(&self) -> bool {
        matches!(self, Self::Rebalance(rebalance) if rebalance.command.is_followed())
    }
}

impl Ctl {
    /// Asks the server and prints its answer.
    pub fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        if self.version {
            return print_version("miroir-ctl");
        }
        let Some(command) = self.command else {
            return Err(Failure::Usage(
                "say what to do: status, nodes, shards, tasks, node, explain, rebalance, replication-factor, verify, \
                 backup or import; --help explains"
                    .to_owned(),
            ));
        };
        if let Command::Import(import) = command {
            return import.run(out, self.json);
        }
        let client = Client::new(&self.admin, self.admin_key.as_deref())?;
        if let Command::Verify(verify) = &command {
            return verify.run(&client, out, self.json);
        }
        if let Command::Backup(backup) = &command {
            return backup.run(&client, out, self.json);
        }
        let Some(call) = command.call() else { return Ok(()) };
        if command.is_followed() {
            return progress::follow(&client, &call, out, self.json);
        }
        let answer = client.send(&call)?;
        if self.json {
            writeln!(out, "{answer}")?;
        } else {
            write!(out, "{}", command.render(&answer))?;
        }
        command.verdict(&answer)
    }
}

/// A text as one segment of a path.
fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
