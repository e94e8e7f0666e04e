//! Configuration in two steps: raw (what was written, in the file or the environment), then resolved (checked, with
//! defaults, typed).
//!
//! [`keys::KEYS`] is the one table of keys: names, variables, defaults and descriptions. The reference page
//! (`docs/CONFIGURATION.md`) and the example file are generated from it by [`page`].
//!
//! All problems of a configuration are reported at once, each naming its key and what to do. Later sources win:
//! defaults, file, environment, command line. This module is the only one that reads the environment.

pub mod environment;
pub mod keys;
pub mod page;
pub mod raw;
pub mod resolve;
pub mod settings;
pub mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

pub use settings::{
    AdminSettings, ChatSettings, Cores, DriftAction, DriftSettings, FeederSettings, HttpSettings, LogFormat, LogLevel,
    LogSettings, NodeSettings, PartialPolicy, ProbeSettings, RepairPolicy, SearchSettings, Secret, Settings,
    TaskSettings, UpstreamSettings, VerifySettings, WebhookSettings,
};

use environment::Environment;
use raw::Raw;

/// One thing that is wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The key it is about, as written in the file; or the file itself.
    pub key: String,
    /// What is wrong and what to do about it, lower case, without a full stop.
    pub message: String,
}

/// Everything that is wrong with a configuration, at least one thing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} problem{}:", if count == 1 { "" } else { "s" })?;
        for Problem { key, message } in &self.0 {
            write!(f, "\n  {key}: {message}")?;
        }
        Ok(())
    }
}

/// Reads the file (if any) and the environment, puts `overrides` (pairs of key and text) over them, and checks the whole.
pub fn load(
    file: Option<&Path>,
    environment: &Environment,
    overrides: &[(&str, String)],
) -> Result<Settings, Problems> {
    let mut raw = Raw::default();
    let is_readable = file.is_none_or(|path| raw.read_file(path));
    resolved(raw, is_readable, environment, overrides)
}

/// As [`load`], for a text in place of a file.
pub fn load_text(yaml: &str, environment: &Environment, overrides: &[(&str, String)]) -> Result<Settings, Problems> {
    let mut raw = Raw::default();
    let is_readable = raw.read_yaml(yaml, "the configuration");
    resolved(raw, is_readable, environment, overrides)
}

fn resolved(
    mut raw: Raw,
    is_readable: bool,
    environment: &Environment,
    overrides: &[(&str, String)],
) -> Result<Settings, Problems> {
    if !is_readable {
        return Err(Problems(raw.problems));
    }
    raw.read_environment(environment);
    for (key, text) in overrides {
        raw.set(key, text.clone(), "the command line");
    }
    resolve::resolve(raw)
}
