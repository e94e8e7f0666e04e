//! Start and stop of the embedded node.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use parking_lot::{Condvar, Mutex};

use super::http::{Handler, Listener};
use super::indexes::{Indexes, LoadError};
use super::queue::{Ended, Queue, Scheduler};
use super::routes::Node;

/// How a node is started.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// `host:port`; port 0 chooses a free one.
    pub listen: String,
    /// Where tasks, documents and settings are kept; created if missing.
    pub data_dir: PathBuf,
    /// Asked for on every route but `/health`; `None` leaves all open.
    pub master_key: Option<String>,
    /// Bytes of a request body at most.
    pub body_bytes_max: usize,
    /// What it says its version is.
    pub version: String,
    /// Misbehaviour for tests.
    pub faults: Faults,
}

/// Of the Meilisearch that it behaves as.
const VERSION: &str = "1.50.0";

/// What Meilisearch takes unless told otherwise.
const BODY_BYTES_MAX: usize = 100 * 1024 * 1024;

impl ServerOptions {
    /// A node that behaves.
    pub fn new(listen: impl Into<String>, data_dir: impl Into<PathBuf>, master_key: Option<String>) -> Self {
        Self {
            listen: listen.into(),
            data_dir: data_dir.into(),
            master_key,
            body_bytes_max: BODY_BYTES_MAX,
            version: VERSION.to_owned(),
            faults: Faults::default(),
        }
    }
}

/// Misbehaviour for tests; the default is none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Faults {
    /// Time that a batch of an index takes at least, so that the tasks behind it make batches.
    pub batch_time: Duration,
    /// Tasks in a batch at most.
    pub batch_tasks_max: Option<usize>,
    /// Dies, as by kill -9, after this many batches have been committed to their index since the start, before the
    /// last one's tasks are marked as done.
    pub die_after_commits: Option<u64>,
}

/// Meilisearch keeps the version of its database here.
const MEILISEARCH_FILE: &str = "VERSION";

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be understood.
    #[error("`{listen}` is not an address to listen on (give host:port, for example 127.0.0.1:7801)")]
    Address {
        /// As given.
        listen: String,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}; choose another --listen address or stop the program that uses it")]
    Bind {
        /// As asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The directory cannot be used.
    #[error("cannot use the data directory {}: {source}; give a --data-dir that can be written", path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another node uses the directory.
    #[error("the data directory {} is in use by another node; stop it or give another --data-dir", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// It is not an embedded node's.
    #[error("{} is the data directory of a real Meilisearch; start that, or give another --data-dir", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// What is stored cannot be read.
    #[error("cannot read the node's data in {}: {reason}", path.display())]
    Data {
        /// Which directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// A running node.
pub struct Server {
    address: SocketAddr,
    queue: Arc<Queue>,
    /// Taken away by whoever stops it first: the owner, or the kill point.
    listener: Arc<Mutex<Option<Listener>>>,
    scheduler: Option<JoinHandle<()>>,
    ended: Arc<(Mutex<Option<Ended>>, Condvar)>,
    /// Held as long as the node lives.
    _lock: Flock<File>,
}

impl Server {
    /// Starts a node: reads its data, goes on with the tasks that were waiting, listens.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(options: ServerOptions) -> Result<Self, StartError> {
        let listen = options.listen.clone();
        let address = listen
            .to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next())
            .ok_or(StartError::Address { listen })?;
        let folder = options.data_dir.as_path();
        if folder.join(MEILISEARCH_FILE).exists() {
            return Err(StartError::Foreign { path: folder.to_owned() });
        }
        let lock = lock(folder)?;
        let unreadable = |reason: String| StartError::Data { path: folder.to_owned(), reason };
        let queue = Arc::new(Queue::open(folder).map_err(|error| unreadable(error.to_string()))?);
        let indexes = Indexes::open(folder).map_err(|error: LoadError| unreadable(error.to_string()))?;
        let indexes = Arc::new(indexes);
        let node = Node {
            queue: Arc::clone(&queue),
            indexes: Arc::clone(&indexes),
            master_key: options.master_key,
            features: Mutex::default(),
            version: options.version,
        };
        let handler: Handler = Arc::new(move |request| node.answer(request));
        let listener = Listener::start(address, &handler, options.body_bytes_max)
            .map_err(|source| StartError::Bind { address, source })?;
        let address = listener.address();
        let listener = Arc::new(Mutex::new(Some(listener)));
        let ended = Arc::new((Mutex::new(None), Condvar::new()));
        let scheduler = Scheduler::new(Arc::clone(&queue), indexes, options.faults);
        let scheduler = spawn_scheduler(scheduler, Arc::clone(&listener), Arc::clone(&ended))?;
        tracing::info!(%address, data_dir = %folder.display(), "embedded node started: for development and tests only");
        Ok(Self { address, queue, listener, scheduler: Some(scheduler), ended, _lock: lock })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops answering, lets the running batch end, and waits for all threads. The same as dropping it.
    pub fn shutdown(self) {
        drop(self);
    }

    /// Waits until the node died at its kill point, at most `patience`. True when it is dead.
    pub fn wait_dead(&self, patience: Duration) -> bool {
        let (ended, changed) = &*self.ended;
        let mut ended = ended.lock();
        changed.wait_while_for(&mut ended, |ended| ended.is_none(), patience);
        *ended == Some(Ended::Died)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let listener = self.listener.lock().take();
        drop(listener);
        self.queue.stop();
        if let Some(scheduler) = self.scheduler.take() {
            // A panic in there has been reported by the panic itself.
            let _panicked = scheduler.join();
        }
    }
}

fn spawn_scheduler(
    scheduler: Scheduler,
    listener: Arc<Mutex<Option<Listener>>>,
    ended: Arc<(Mutex<Option<Ended>>, Condvar)>,
) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name("devnode-queue".to_owned())
        .spawn(move || {
            let reason = scheduler.run();
            if reason == Ended::Died {
                let listener = listener.lock().take();
                drop(listener);
            }
            *ended.0.lock() = Some(reason);
            ended.1.notify_all();
        })
        .map_err(StartError::Thread)
}

fn lock(folder: &Path) -> Result<Flock<File>, StartError> {
    let unusable = |source| StartError::DataDir { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("node.lock")).map_err(unusable)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_file, errno)| {
        if errno == nix::errno::Errno::EWOULDBLOCK {
            StartError::InUse { path: folder.to_owned() }
        } else {
            unusable(errno.into())
        }
    })
}

/// Runs a node until SIGTERM or SIGINT, or until it dies at its kill point (then with exit code 9, as if killed).
///
/// # Errors
/// See [`StartError`].
pub fn run(options: ServerOptions) -> Result<(), StartError> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT])
        .map_err(StartError::Thread)?;
    let deadly = options.faults.die_after_commits.is_some();
    let server = Server::start(options)?;
    if deadly {
        let ended = Arc::clone(&server.ended);
        std::thread::spawn(move || {
            let mut reason = ended.0.lock();
            ended.1.wait_while(&mut reason, |reason| reason.is_none());
            if *reason == Some(Ended::Died) {
                std::process::exit(9);
            }
        });
    }
    signals.forever().next();
    tracing::info!("embedded node stops");
    server.shutdown();
    Ok(())
}
