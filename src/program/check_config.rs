//! `miroir check-config`: all problems of a configuration at once. Touches nothing but the file.

use std::io::Write;
use std::path::PathBuf;

use argh::FromArgs;

use super::Failure;
use crate::config::{self, environment::Environment};

/// check a configuration and report all its problems at once
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "check-config")]
pub struct CheckConfig {
    /// the YAML file
    #[argh(option)]
    pub config: PathBuf,
}

impl CheckConfig {
    /// Does it.
    pub fn run(self) -> Result<(), Failure> {
        let settings = config::load(Some(&self.config), &Environment::of_process(), &[])?;
        let mut out = std::io::stdout();
        for warning in settings.warnings() {
            writeln!(out, "warning: {warning}")?;
        }
        let (nodes, shards, replicas) = (settings.nodes.len(), settings.shards, settings.replication_factor);
        writeln!(out, "{} is good: {nodes} nodes, {shards} shards, {replicas} replicas each", self.config.display())?;
        Ok(())
    }
}
