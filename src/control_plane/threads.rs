//! The control plane's threads: each has a name, ends when the stop is called, and is not mourned in silence.
//!
//! A thread dies when it panics, or when it ends although nobody asked it to. Either way the process cannot go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, TryRecvError, bounded, unbounded};

/// A thread that panicked or ended unasked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadThread {
    /// Which.
    pub name: String,
    /// What its panic said.
    pub reason: String,
}

/// Starts, stops and joins threads.
#[derive(Debug)]
pub struct Threads {
    stop: Option<Sender<()>>,
    stopped: Receiver<()>,
    deaths: (Sender<DeadThread>, Receiver<DeadThread>),
    handles: Vec<JoinHandle<()>>,
    /// For how many more the system has room, all groups together.
    #[cfg(test)]
    pub room: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Default for Threads {
    fn default() -> Self {
        Self::telling(unbounded())
    }
}

impl Threads {
    fn telling(deaths: (Sender<DeadThread>, Receiver<DeadThread>)) -> Self {
        let (stop, stopped) = bounded(0);
        Self {
            stop: Some(stop),
            stopped,
            deaths,
            handles: Vec::new(),
            #[cfg(test)]
            room: std::sync::Arc::new(usize::MAX.into()),
        }
    }

    /// None yet, with a stop of their own. Their deaths are heard of here.
    #[must_use]
    pub fn group(&self) -> Self {
        #[cfg_attr(not(test), expect(unused_mut, reason = "only tests change it"))]
        let mut group = Self::telling(self.deaths.clone());
        #[cfg(test)]
        group.room.clone_from(&self.room);
        group
    }

    /// Starts a thread. Its work gets a channel that is closed when it shall end.
    pub fn spawn(
        &mut self,
        name: impl Into<String>,
        work: impl FnOnce(&Receiver<()>) + Send + 'static,
    ) -> std::io::Result<()> {
        #[cfg(test)]
        self.take_room()?;
        let name = name.into();
        let stopped = self.stopped.clone();
        let deaths = self.deaths.0.clone();
        let builder = std::thread::Builder::new().name(name.clone());
        self.handles.push(builder.spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| work(&stopped)));
            let reason = match ended {
                Err(panic) => text_of(&*panic),
                Ok(()) if stopped.try_recv() == Err(TryRecvError::Empty) => {
                    "it ended without being asked to".to_owned()
                }
                Ok(()) => return,
            };
            tracing::error!(thread = name, reason, "a thread of the control plane died");
            // Nobody listens any more when the process is on its way down.
            let _ = deaths.send(DeadThread { name, reason });
        })?);
        Ok(())
    }

    #[cfg(test)]
    fn take_room(&self) -> std::io::Result<()> {
        use std::sync::atomic::Ordering::{AcqRel, Acquire};
        let taken = self.room.fetch_update(AcqRel, Acquire, |room| room.checked_sub(1));
        taken.map(drop).map_err(|_| std::io::Error::from(std::io::ErrorKind::WouldBlock))
    }

    /// Hears of every thread that dies.
    pub fn deaths(&self) -> &Receiver<DeadThread> {
        &self.deaths.1
    }

    /// Tells all threads to end.
    pub fn ask_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Tells all threads to end and waits for them.
    pub fn stop(&mut self) {
        self.ask_to_stop();
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

pub(super) fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_ends_all_threads_and_a_death_is_heard_of() {
        let mut threads = Threads::default();
        let mut group = threads.group();
        threads.spawn("waits", |stop| assert!(stop.recv().is_err())).unwrap();
        let hear = || threads.deaths().recv_timeout(std::time::Duration::from_secs(10)).unwrap();
        group.spawn("dies", |_| panic!("of hunger")).unwrap();
        assert_eq!(hear(), DeadThread { name: "dies".to_owned(), reason: "of hunger".to_owned() });
        group.spawn("leaves", |_| {}).unwrap();
        assert_eq!(hear().reason, "it ended without being asked to");
        group.stop();
        threads.stop();
        assert!(threads.deaths().is_empty(), "who ends when asked is not mourned");
    }
}
