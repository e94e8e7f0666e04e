//! The nodes of a development fleet as child processes. None outlives this process: the kernel ends each with its parent.
//!
//! Nodes are in process groups of their own, so that Ctrl-C reaches Miroir first: it answers what has begun, then the nodes
//! are stopped.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

use super::super::Failure;
use super::NODE_KEY;
use super::places::{NodePlace, Places};
use crate::telemetry::clock;

/// How long nodes may take to come up; one with much data replays it first.
const START_LIMIT: Duration = Duration::from_mins(1);

/// How long nodes may take to stop before they are killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Between two looks at the nodes.
const LOOK_INTERVAL: Duration = Duration::from_millis(300);

/// For one question after a node's health.
const HEALTH_LIMIT: Duration = Duration::from_secs(2);

/// Lines of a node's log that are shown when it does not start.
const LOG_LINES: usize = 10;

/// One node.
#[derive(Debug)]
struct Member {
    place: NodePlace,
    child: Child,
    /// None for an embedded node.
    meilisearch: Option<PathBuf>,
    /// Its end was reported.
    is_gone: bool,
}

/// All of them. Dropping it kills those that still run.
#[derive(Debug)]
pub struct Fleet {
    members: Arc<Mutex<Vec<Member>>>,
}

/// Reports nodes that end, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fleet {
    /// Starts all nodes, without waiting until they answer.
    pub fn start(places: &Places, meilisearch: Option<&Path>) -> Result<Self, Failure> {
        let fleet = Self { members: Arc::default() };
        for place in &places.nodes {
            let child = start(place, meilisearch)?;
            let meilisearch = meilisearch.map(Path::to_owned);
            fleet.members.lock().push(Member { place: place.clone(), child, meilisearch, is_gone: false });
        }
        Ok(fleet)
    }

    /// The processes' numbers.
    pub fn pids(&self) -> Vec<u32> {
        self.members.lock().iter().map(|member| member.child.id()).collect()
    }

    /// Waits until every node answers; a node that ends instead is a failure that shows what it said last.
    pub fn wait_until_healthy(&self, asked: &Receiver<()>) -> Result<(), Failure> {
        let config = ureq::Agent::config_builder().timeout_global(Some(HEALTH_LIMIT)).build();
        let agent = config.new_agent();
        let deadline = clock::instant() + START_LIMIT;
        for member in self.members.lock().iter_mut() {
            let url = format!("{}/health", member.place.url());
            while agent.get(&url).call().is_err() {
                if let Ok(Some(status)) = member.child.try_wait() {
                    return Err(member.failure(&format!("ended at once ({status})")));
                }
                if clock::instant() > deadline {
                    return Err(member.failure(&format!("does not answer after {START_LIMIT:?}")));
                }
                match asked.recv_timeout(LOOK_INTERVAL) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                        return Err(Failure::Operation("stopped before the nodes were up".to_owned()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Starts to report nodes that end.
    pub fn watch(&self) -> Result<Watch, Failure> {
        let (stop, stopped) = bounded(0);
        let members = self.members.clone();
        let look = move || {
            while stopped.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                members.lock().iter_mut().for_each(Member::report_end);
            }
        };
        let thread = std::thread::Builder::new().name("fleet".to_owned()).spawn(look);
        let thread = thread.map_err(|error| Failure::Operation(format!("the nodes cannot be watched: {error}")))?;
        Ok(Watch { stop: Some(stop), thread: Some(thread) })
    }

    /// Asks all nodes to stop, and kills those that do not in time.
    pub fn stop(self) {
        let mut members = self.members.lock();
        for member in members.iter() {
            // One that has ended, and was reaped, is not asked: its number may be another's by now.
            if !member.is_gone {
                let _ = kill(Pid::from_raw(member.child.id() as i32), Signal::SIGTERM);
            }
        }
        let deadline = clock::instant() + STOP_LIMIT;
        for member in members.iter_mut() {
            while matches!(member.child.try_wait(), Ok(None)) && clock::instant() < deadline {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
        // Whoever is left is killed by the drop.
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for member in self.members.lock().iter_mut() {
            // Both are without effect on one that has ended.
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; the nodes are stopped all the same.
            let _ = thread.join();
        }
    }
}

impl Member {
    fn failure(&self, what: &str) -> Failure {
        let log = std::fs::read(&self.place.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n  ");
        let (id, file) = (&self.place.id, self.place.log.display());
        Failure::Operation(format!("{id} {what}; the end of {file}:\n  {tail}"))
    }

    fn report_end(&mut self) {
        if self.is_gone {
            return;
        }
        let Ok(Some(status)) = self.child.try_wait() else { return };
        self.is_gone = true;
        let (id, listen, folder) = (&self.place.id, self.place.address, self.place.folder.display());
        let again = match &self.meilisearch {
            None => format!("miroir node --listen {listen} --data-dir {folder} --master-key {NODE_KEY}"),
            Some(program) => {
                let program = program.display();
                format!("{program} --no-analytics --master-key {NODE_KEY} --http-addr {listen} --db-path {folder}")
            }
        };
        // When nobody reads this any more, everything else still goes on.
        let _ = writeln!(
            std::io::stdout(),
            "{id} has ended ({status}); its shards are served by the other replicas. It is started again by\n  {again}"
        );
    }
}

fn start(place: &NodePlace, meilisearch: Option<&Path>) -> Result<Child, Failure> {
    let failed = |error: std::io::Error| Failure::Operation(format!("{} cannot be started: {error}", place.id));
    let program = std::env::current_exe().map_err(failed)?;
    let log = File::options().create(true).append(true).open(&place.log).map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["node", "--exit-with-parent", "--master-key", NODE_KEY, "--listen", &place.address.to_string()]);
    command.arg("--data-dir").arg(&place.folder);
    if let Some(meilisearch) = meilisearch {
        command.arg("--meilisearch").arg(meilisearch);
    }
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log).process_group(0);
    command.spawn().map_err(failed)
}
