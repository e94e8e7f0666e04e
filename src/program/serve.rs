//! `miroir serve`: the server.

use std::path::PathBuf;

use argh::FromArgs;
use crossbeam::channel::{Receiver, bounded, select};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Failure;
use super::import_dump::{self, DumpWish};
use crate::config::{self, Settings, environment::Environment};
use crate::server::{self, End, RunningServer, StartError};
use crate::telemetry::log;

/// serve clients from a fleet of nodes
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "serve")]
pub struct Serve {
    /// the YAML file; environment variables win over it
    #[argh(option)]
    pub config: PathBuf,
    /// first import this dump of a Meilisearch, before anybody is served; only where there are no data yet
    #[argh(option)]
    pub import_dump: Option<PathBuf>,
    /// with --import-dump: start without it if there is no such file
    #[argh(switch)]
    pub ignore_missing_dump: bool,
    /// with --import-dump: start without it if there are data already
    #[argh(switch)]
    pub ignore_dump_if_db_exists: bool,
    /// with --import-dump: go without what Miroir does not take
    #[argh(switch)]
    pub leave_out_unsupported: bool,
}

impl Serve {
    /// Runs until SIGTERM or Ctrl-C.
    pub fn run(self) -> Result<(), Failure> {
        let settings = config::load(Some(&self.config), &Environment::of_process(), &[])?;
        // A second set-up in one process is no reason not to run.
        let _already = log::init(settings.log);
        for warning in settings.warnings() {
            tracing::warn!("{warning}");
        }
        let asked = asked_to_stop()?;
        let wish = DumpWish {
            dump: self.import_dump,
            ignores_missing: self.ignore_missing_dump,
            ignores_existing: self.ignore_dump_if_db_exists,
            leaves_out: self.leave_out_unsupported,
        };
        if !import_dump::before_serving(&settings, &wish, &asked)? {
            return Ok(());
        }
        let Some(server) = start(settings, &asked)? else { return Ok(()) };
        match server.wait(&asked) {
            End::Asked => {
                tracing::info!("stopping: requests in progress are answered first");
                server.stop();
                Ok(())
            }
            End::Died(death) => Err(Failure::Operation(death.to_string())),
        }
    }
}

/// Starts the server, which may wait long for nodes; none when it is asked to stop before it is up. The process ends then,
/// and with it what has begun: nobody was served yet.
pub(super) fn start(settings: Settings, asked: &Receiver<()>) -> Result<Option<RunningServer>, Failure> {
    let failed = |error| Failure::Operation(format!("a thread cannot be started: {error}"));
    let (started, is_started) = bounded(1);
    // Nobody listens any more when the process is on its way down.
    let work = move || drop(started.send(server::start(&settings)));
    std::thread::Builder::new().name("start".to_owned()).spawn(work).map_err(failed)?;
    select! {
        recv(is_started) -> server => match server {
            Ok(server) => Ok(Some(server?)),
            Err(_) => Err(Failure::Operation("the start panicked; see the log".to_owned())),
        },
        recv(asked) -> _ => {
            tracing::info!("stopping before Miroir is up");
            Ok(None)
        }
    }
}

/// Hears of the first SIGTERM or Ctrl-C. The second one ends the process at once.
pub fn asked_to_stop() -> Result<Receiver<()>, Failure> {
    let failed = |error| Failure::Operation(format!("signals cannot be watched: {error}"));
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(failed)?;
    let (asked, receiver) = bounded(1);
    let watch = move || {
        for (signal, count) in signals.forever().zip(1..) {
            if count > 1 {
                // 128 plus the number of the signal, as a shell reports it.
                std::process::exit(128 + signal);
            }
            // The server may be gone already.
            let _ = asked.send(());
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(watch).map_err(failed)?;
    Ok(receiver)
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Runtime(error) => Self::Machine(error.to_string()),
            StartError::Bind { .. }
            | StartError::Serve(_)
            | StartError::Control(_)
            | StartError::NodeKey(_)
            | StartError::AdminWithoutKey(_) => Self::Operation(error.to_string()),
        }
    }
}
