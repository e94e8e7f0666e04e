//! `miroir serve`: the server.

use std::path::PathBuf;

use argh::FromArgs;

use super::Failure;
use crate::config::{self, environment::Environment};

/// serve clients from a fleet of nodes
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "serve")]
pub struct Serve {
    /// the YAML file; environment variables win over it
    #[argh(option)]
    pub config: PathBuf,
}

impl Serve {
    /// Runs until SIGTERM or Ctrl-C.
    pub fn run(self) -> Result<(), Failure> {
        let _settings = config::load(Some(&self.config), &Environment::of_process(), &[])?;
        Err(Failure::Operation("serve is not there yet".to_owned()))
    }
}
