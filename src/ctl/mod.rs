//! The operator's command line, one file per subcommand: a client of the admin API (`docs/ADMIN-API.md`).
//!
//! Tables for people; with `--json` the answer of the server as it is, for programs. It holds no state and decides
//! nothing. Exit codes: [`crate::program`].

mod client;
mod nodes;
mod shards;
mod status;
mod table;
mod tasks;

#[cfg(test)]
mod tests;

use std::io::Write;

use argh::FromArgs;
use serde_json::Value;

use crate::program::{Failure, print_version};
use client::Client;

/// Look at a running Miroir.
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
    /// what to look at
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
}

impl Command {
    /// Path and query of the request.
    fn target(&self) -> String {
        match self {
            Self::Status(_) => "/status".to_owned(),
            Self::Nodes(_) => "/fleet".to_owned(),
            Self::Shards(_) => "/shards".to_owned(),
            Self::Tasks(tasks) => tasks.target(),
        }
    }

    /// The answer for people.
    fn render(&self, answer: &Value) -> String {
        match self {
            Self::Status(_) => status::Status::render(answer),
            Self::Nodes(_) => nodes::Nodes::render(answer),
            Self::Shards(_) => shards::Shards::render(answer),
            Self::Tasks(_) => tasks::Tasks::render(answer),
        }
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
                "say what to look at: status, nodes, shards or tasks; --help explains".to_owned(),
            ));
        };
        let answer = Client::new(&self.admin, self.admin_key.as_deref())?.get(&command.target())?;
        if self.json {
            writeln!(out, "{answer}")?;
        } else {
            write!(out, "{}", command.render(&answer))?;
        }
        Ok(())
    }
}
