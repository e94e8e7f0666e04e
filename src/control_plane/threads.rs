//! The control plane's threads: each has a name, ends when the stop is called, and is not mourned in silence.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};

/// A thread that panicked. The process cannot go on without it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadThread {
    /// Which.
    pub name: String,
    /// What it said.
    pub panic: String,
}

/// Starts, stops and joins threads.
#[derive(Debug)]
pub struct Threads {
    stop: Option<Sender<()>>,
    stopped: Receiver<()>,
    deaths: (Sender<DeadThread>, Receiver<DeadThread>),
    handles: Vec<JoinHandle<()>>,
}

impl Default for Threads {
    fn default() -> Self {
        let (stop, stopped) = bounded(0);
        Self { stop: Some(stop), stopped, deaths: unbounded(), handles: Vec::new() }
    }
}

impl Threads {
    /// Starts a thread. Its work gets a channel that is closed when it shall end.
    pub fn spawn(
        &mut self,
        name: impl Into<String>,
        work: impl FnOnce(&Receiver<()>) + Send + 'static,
    ) -> std::io::Result<()> {
        let name = name.into();
        let stopped = self.stopped.clone();
        let deaths = self.deaths.0.clone();
        let builder = std::thread::Builder::new().name(name.clone());
        self.handles.push(builder.spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&stopped))) {
                let panic = text_of(&*panic);
                tracing::error!(thread = name, panic, "a thread of the control plane died");
                // Nobody listens any more when the process is on its way down.
                let _ = deaths.send(DeadThread { name, panic });
            }
        })?);
        Ok(())
    }

    /// Hears of every thread that panics.
    pub fn deaths(&self) -> &Receiver<DeadThread> {
        &self.deaths.1
    }

    /// Tells all threads to end and waits for them.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        for handle in self.handles.drain(..) {
            // Panics were caught inside.
            let _ = handle.join();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_ends_all_threads_and_a_death_is_heard_of() {
        let mut threads = Threads::default();
        threads.spawn("waits", |stop| assert!(stop.recv().is_err())).unwrap();
        threads.spawn("dies", |_| panic!("of hunger")).unwrap();
        let death = threads.deaths().recv_timeout(std::time::Duration::from_secs(10)).unwrap();
        assert_eq!(death, DeadThread { name: "dies".to_owned(), panic: "of hunger".to_owned() });
        threads.stop();
    }
}
