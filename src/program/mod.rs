//! What the programs do, one file per subcommand of `miroir`, and how they end.
//!
//! Here the parts of the library are put together. [`finish`] is the only place that turns an error into an exit code;
//! only the two `main` functions call it.
//!
//! | Exit code | Meaning |
//! |---|---|
//! | 0 | done, or the reader of the output went away |
//! | 1 | it did not work; the message says why |
//! | 2 | the command line or the configuration is wrong |
//! | 3 | `miroir-ctl`: the answer to the question is no |
//! | 4 | refused: by the server (`miroir-ctl`), or by this machine, which cannot run it (io_uring); the message names the remedy |
//! | 5 | `miroir-ctl`: the server could not be reached |
//! | 6 | `miroir-ctl`: nothing speaks for a no, but not everything could be looked at |

pub mod check_config;
pub mod dev;
pub mod import_dump;
pub mod node;
pub mod render;
pub mod restore;
pub mod serve;

use std::io::{self, Write};
use std::process::ExitCode;

use argh::{FromArgs, TopLevelCommand};

use crate::config::Problems;
use crate::import::ImportError;

/// Why a program ends early. The message is for people and names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The configuration has problems.
    #[error("{0}")]
    Configuration(#[from] Problems),
    /// A server does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// This machine cannot run it.
    #[error("{0}")]
    Machine(String),
    /// A server answered that it does not do this.
    #[error("{0}")]
    Refused(String),
    /// All worked, and the answer, which was printed, is no.
    #[error("no")]
    No,
    /// The answer, which was printed, is no yes: not everything could be looked at.
    #[error("unknown")]
    Unknown,
    /// Anything else.
    #[error("{0}")]
    Operation(String),
    /// Whoever read our output (`| head`) has seen enough.
    #[error("the output was closed")]
    ClosedOutput,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ClosedOutput
        } else {
            Self::Operation(format!("writing the output failed: {error}"))
        }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Usage(message) => Self::Usage(message),
            ImportError::Unreachable(message) => Self::Unreachable(message),
            ImportError::Refused(message) => Self::Refused(message),
            ImportError::Failed(message) => Self::Operation(message),
            ImportError::Output(error) => error.into(),
        }
    }
}

/// A fleet of Meilisearch servers that looks like one big, fault-tolerant Meilisearch.
#[derive(FromArgs, PartialEq, Debug)]
pub struct Miroir {
    /// print the version
    #[argh(switch)]
    pub version: bool,
    /// what to do
    #[argh(subcommand)]
    pub command: Option<Command>,
}

/// The subcommands of `miroir`.
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand)]
pub enum Command {
    /// See [`serve`].
    Serve(serve::Serve),
    /// See [`dev`].
    Dev(dev::Dev),
    /// See [`restore`].
    Restore(restore::Restore),
    /// See [`node`].
    Node(node::Node),
    /// See [`check_config`].
    CheckConfig(check_config::CheckConfig),
    /// See [`render`].
    Render(render::Render),
}

impl Miroir {
    /// Does it.
    pub fn run(self) -> Result<(), Failure> {
        if self.version {
            return print_version("miroir");
        }
        match self.command {
            Some(Command::Serve(command)) => command.run(),
            Some(Command::Dev(command)) => command.run(),
            Some(Command::Restore(command)) => command.run(),
            Some(Command::Node(command)) => command.run(),
            Some(Command::CheckConfig(command)) => command.run(),
            Some(Command::Render(command)) => command.run(),
            None => Err(Failure::Usage(
                "say what to do: serve, restore, dev, node or check-config; --help explains".to_owned(),
            )),
        }
    }
}

/// Prints `NAME VERSION`.
pub fn print_version(name: &str) -> Result<(), Failure> {
    Ok(writeln!(io::stdout(), "{name} {}", env!("CARGO_PKG_VERSION"))?)
}

/// Reads the command line of this process. `Err`: it asked for help, or is wrong; this is how to end.
pub fn arguments<T: TopLevelCommand>(name: &str) -> Result<T, ExitCode> {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    T::from_args(&[name], &words).map_err(|exit| {
        // When standard output or error is closed, nobody is left to tell.
        if exit.status.is_ok() {
            let _ = write!(io::stdout(), "{}", exit.output);
            return ExitCode::SUCCESS;
        }
        // The parser takes them for options.
        let is_negative = |word: &&&str| word.strip_prefix('-').is_some_and(|rest| rest.parse::<f64>().is_ok());
        let hint = words.iter().find(is_negative).map(|word| format!("\n{word}: no number here may be negative"));
        let (output, hint) = (exit.output.trim_end(), hint.unwrap_or_default());
        let _ = write!(io::stderr(), "{output}{hint}\nrun `{name} --help` for help\n");
        ExitCode::from(2)
    })
}

/// Says what went wrong, and how the process ends.
pub fn finish(name: &str, result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    let code = match &failure {
        Failure::ClosedOutput => return ExitCode::SUCCESS,
        Failure::No => return ExitCode::from(3),
        Failure::Unknown => return ExitCode::from(6),
        Failure::Operation(_) => 1,
        Failure::Usage(_) | Failure::Configuration(_) => 2,
        Failure::Machine(_) | Failure::Refused(_) => 4,
        Failure::Unreachable(_) => 5,
    };
    let _ = writeln!(io::stderr(), "{name}: {failure}");
    ExitCode::from(code)
}
