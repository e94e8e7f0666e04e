//! A child process that ends with its test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::{miroir_program, wait_for};

/// One running program. Dropping it kills it; when the test has failed, the end of its output is shown.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

/// The program under test: the one that was built with the tests, unless another one is named.
pub fn miroir() -> Command {
    Command::new(miroir_program().unwrap_or_else(|| env!("CARGO_BIN_EXE_miroir").into()))
}

/// The operator's command line.
pub fn miroir_ctl() -> Command {
    Command::new(env!("CARGO_BIN_EXE_miroir-ctl"))
}

impl Process {
    /// Starts it with its output going to `NAME.log` in `folder` (appended, so that restarts keep what was said before).
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let output = folder.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(&output).expect("the temporary folder is writable");
        let errors = log.try_clone().expect("a file can be opened twice");
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} cannot be started ({command:?}): {error}"));
        Self { name: name.to_owned(), child, output }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// kill -9, and waits for its end.
    pub fn kill(mut self) {
        self.end();
    }

    /// A signal such as SIGTERM.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid() as i32), signal).expect("the child exists");
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait_for(&format!("the end of {name}"), limit, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(format!("it runs; its output: {}", self.output())),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Has it ended?
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    fn end(&mut self) {
        // It may have ended before; both calls are then without effect.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            const LINES: usize = 60;
            let output = self.output();
            let lines: Vec<&str> = output.lines().collect();
            let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
            eprintln!("--- last lines of {} ---\n{tail}", self.name);
        }
    }
}
