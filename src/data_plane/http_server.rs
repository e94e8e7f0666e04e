//! An HTTP server: one address, one or more executors, a handler on each.
//!
//! Used for clients and, with one unpinned executor, for the admin listener. Stopping drains: no new connections, idle
//! ones are closed, requests in progress are answered until a deadline, then everything is closed.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::connection::{Handler, Listening, serve};
use super::cores::Cores;
use super::lifetime::HttpLimits;
use super::listener::{Acceptor, ListenError, bind};
use super::mailbox::{Mail, Mailbox};
use super::rt::{self, ExecutorPlan, RuntimeError};
use crate::bridge::memory::Memory;
use crate::telemetry::{clock, log};

/// How often deadlines are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// How often a draining executor looks whether its connections are gone.
const DRAIN_INTERVAL: Duration = Duration::from_millis(5);
/// How long connections may take to notice that they are cut.
const CUT_LIMIT_MS: u64 = 1_000;

/// Makes the handler of one executor, on that executor. The argument is its number.
pub type HandlerFactory = Arc<dyn Fn(usize) -> Rc<dyn Handler> + Send + Sync>;

/// What a server needs to know.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where to listen; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Which executors.
    pub cores: Cores,
    /// First part of the names of its threads.
    pub name: &'static str,
    /// Bounds on clients.
    pub limits: HttpLimits,
    /// Of their requests and answers.
    pub memory: Arc<Memory>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// See there.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// See there.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No thread, no pipe.
    #[error("the acceptor could not be started: {0}")]
    Acceptor(#[from] std::io::Error),
}

/// An executor that ended though nobody had asked: the process must not go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("executor {name} died: {panic}")]
pub struct DeadExecutor {
    /// The name of its thread.
    pub name: String,
    /// What its panic said.
    pub panic: String,
}

/// A bound address that nobody serves yet. The bind is the lock against a second start: take it before anything else.
#[derive(Debug)]
pub struct BoundServer {
    listener: std::net::TcpListener,
    address: SocketAddr,
    plan: Vec<Option<usize>>,
    options: ServerOptions,
}

impl BoundServer {
    /// Binds.
    pub fn bind(options: ServerOptions) -> Result<Self, ServeError> {
        let listener = bind(options.address)?;
        let address = listener.local_addr()?;
        let plan = options.cores.plan();
        Ok(Self { listener, address, plan, options })
    }

    /// Where it will listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many executors it will have.
    pub fn executor_count(&self) -> usize {
        self.plan.len()
    }

    /// Starts the executors, then accepts.
    pub fn start(self, factory: &HandlerFactory) -> Result<HttpServer, ServeError> {
        let (died, deaths) = unbounded();
        let drain_ms = Arc::new(AtomicU64::new(0));
        let mut server = HttpServer {
            address: self.address,
            acceptor: None,
            executors: Vec::new(),
            mailboxes: Vec::new(),
            drain_ms,
            deaths,
        };
        for (number, cpu) in self.plan.iter().enumerate() {
            let plan = ExecutorPlan { name: format!("{}-{number}", self.options.name), cpu: *cpu };
            let mailbox = Arc::new(Mailbox::default());
            let thread = start_one(&plan, number, &mailbox, &server.drain_ms, &self.options, factory, &died)?;
            server.mailboxes.push(mailbox);
            server.executors.push(thread);
        }
        let connections_max = self.options.limits.connections_max;
        server.acceptor = Some(Acceptor::start(self.listener, server.mailboxes.clone(), connections_max)?);
        Ok(server)
    }
}

#[expect(clippy::too_many_arguments, reason = "the wiring of one executor, called once")]
fn start_one(
    plan: &ExecutorPlan,
    number: usize,
    mailbox: &Arc<Mailbox>,
    drain_ms: &Arc<AtomicU64>,
    options: &ServerOptions,
    factory: &HandlerFactory,
    died: &Sender<DeadExecutor>,
) -> Result<JoinHandle<()>, RuntimeError> {
    let (mailbox, drain_ms) = (mailbox.clone(), drain_ms.clone());
    let (limits, memory) = (options.limits.clone(), options.memory.clone());
    let (factory, died, name) = (factory.clone(), died.clone(), plan.name.clone());
    let main = move || async move {
        let listening = Listening::new(Rc::new(limits), factory(number), memory);
        run(&mailbox, &listening, &drain_ms).await;
    };
    rt::start_executor(plan, main, move |result| {
        if let Err(panic) = result {
            // The server may be gone already; then nobody waits for this.
            let _ = died.send(DeadExecutor { name, panic });
        }
    })
}

/// The life of one executor: serve what comes, then drain.
async fn run(mailbox: &Arc<Mailbox>, listening: &Rc<Listening>, drain_ms: &AtomicU64) {
    let swept = listening.clone();
    rt::spawn_detached(async move {
        loop {
            rt::sleep(SWEEP_INTERVAL).await;
            swept.lifetimes.sweep(clock::monotonic());
        }
    });
    while let Mail::Connection(stream) = mailbox.receive().await {
        let (mailbox, listening) = (mailbox.clone(), listening.clone());
        rt::spawn_detached(async move {
            let _open = mailbox.opened();
            serve(stream, listening).await;
        });
    }
    listening.lifetimes.drain();
    // One that reads the log would not go.
    log::hush();
    wait_until_empty(mailbox, drain_ms.load(Ordering::Acquire)).await;
    if mailbox.connections() > 0 {
        tracing::warn!(connections = mailbox.connections(), "the drain took too long: connections are cut");
        // By their own tasks: what is left when the executor ends is not always closed.
        listening.lifetimes.cut();
        wait_until_empty(mailbox, CUT_LIMIT_MS).await;
    }
}

async fn wait_until_empty(mailbox: &Mailbox, limit_ms: u64) {
    let deadline = clock::monotonic().plus_ms(limit_ms);
    while mailbox.connections() > 0 && clock::monotonic() < deadline {
        rt::sleep(DRAIN_INTERVAL).await;
    }
}

/// A running server. Dropping it stops it without a drain.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    acceptor: Option<Acceptor>,
    executors: Vec<JoinHandle<()>>,
    mailboxes: Vec<Arc<Mailbox>>,
    drain_ms: Arc<AtomicU64>,
    deaths: Receiver<DeadExecutor>,
}

impl HttpServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Executors that died. Anything here means that the process must end with an error.
    pub fn deaths(&self) -> &Receiver<DeadExecutor> {
        &self.deaths
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.mailboxes.iter().map(|mailbox| mailbox.connections()).sum()
    }

    /// Drains for at most this time, then closes everything.
    pub fn stop(&mut self, drain: Duration) {
        if let Some(mut acceptor) = self.acceptor.take() {
            acceptor.stop();
        }
        self.drain_ms.store(drain.as_millis() as u64, Ordering::Release);
        for mailbox in &self.mailboxes {
            mailbox.stop();
        }
        for thread in self.executors.drain(..) {
            // A panic of the executor was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests;
