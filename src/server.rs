//! A whole Miroir in this process: both planes, their listeners, and how they start and stop.
//!
//! The only place that imports both planes. Order of the start: what can be refused without a trace first (io_uring, the
//! addresses, which are also the lock against a second start), then the store and the control plane, last the clients.
//! A stop goes the other way round: clients are drained, then the control plane stops, then the admin listener. It is
//! bounded: a thread that does not end (a node hangs, or the disk) is left behind, for the process to end with it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, select};

use crate::bridge::Bridge;
use crate::bridge::memory::Memory;
use crate::config::{self, Secret, Settings};
use crate::control_plane::admin::AdminApi;
use crate::control_plane::{self, ControlPlane};
use crate::data_plane::client_api::client_handlers;
use crate::data_plane::connection::{Handler, overloaded};
use crate::data_plane::core::{CoreSettings, Timers};
use crate::data_plane::cores::Cores;
use crate::data_plane::http_server::{
    BoundServer, DeadExecutor, HandlerFactory, HttpServer, ServeError, ServerOptions,
};
use crate::data_plane::lifetime::HttpLimits;
use crate::data_plane::pool::{InvalidNodeKey, PoolLimits};
use crate::data_plane::rt::{self, ExecutorTimers, RuntimeError};
use crate::data_plane::upstream::LocalFuture;
use crate::http_types::{Request, Response};
use files::FileShares;

mod files;

/// How long an answer of the admin API may wait for the control plane.
const ADMIN_DEADLINE_MS: u64 = 10_000;
/// Bytes of requests of operators and answers to them.
const ADMIN_MEMORY_MAX: u64 = 256 * 1024 * 1024;
/// How long the admin listener is drained.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// How long a stop waits for the threads of clients after the drain, and then for all the others.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Why Miroir did not start. Each message names cause and remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The machine cannot run it.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// An address cannot be had.
    #[error("{key}: {source}")]
    Bind {
        /// Where it is configured.
        key: &'static str,
        /// Why.
        source: ServeError,
    },
    /// Nothing can be served there.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The store or the fleet cannot be used.
    #[error(transparent)]
    Control(#[from] control_plane::StartError),
    /// `node_master_key` cannot be sent.
    #[error("node_master_key: {0}; use printable ASCII")]
    NodeKey(#[from] InvalidNodeKey),
    /// An open door.
    #[error("admin.listen is the public address {0}, and admin.key is missing; set a key or listen on 127.0.0.1")]
    AdminWithoutKey(SocketAddr),
}

/// Where a running server listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// For clients.
    pub client: SocketAddr,
    /// For operators.
    pub admin: SocketAddr,
}

/// A running Miroir. Dropping it stops it without a drain.
pub struct RunningServer {
    addresses: Addresses,
    /// None once it was stopped.
    parts: Option<Parts>,
    drain: Duration,
}

/// What runs.
struct Parts {
    client: HttpServer,
    control: ControlPlane,
    admin: HttpServer,
}

impl Parts {
    /// Says when clients are gone, and when everything has ended.
    fn stop(mut self, drain: Duration, told: &Sender<()>) {
        self.client.stop(drain);
        // Who has waited for long enough hears nothing more.
        let _ = told.send(());
        self.control.stop();
        self.admin.stop(ADMIN_DRAIN.min(drain));
        let _ = told.send(());
    }
}

/// A thread that panicked, or ended unasked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the thread {name} died: {reason}; no accepted write is lost: start miroir again, and if it happens again, report it \
     with the log"
)]
pub struct DeadThread {
    /// Which.
    pub name: String,
    /// What its panic said.
    pub reason: String,
}

impl DeadThread {
    fn unknown(name: &str) -> Self {
        Self { name: name.to_owned(), reason: "unknown".to_owned() }
    }

    fn executor(death: Option<DeadExecutor>) -> Self {
        death.map_or_else(|| Self::unknown("executor"), |death| Self { name: death.name, reason: death.panic })
    }
}

/// Why a running server ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// It was asked to.
    Asked,
    /// This thread panicked. It cannot go on without it: the process must end with an error.
    Died(DeadThread),
}

struct AdminHandler(AdminApi);

impl Handler for AdminHandler {
    fn handle(&self, request: Request) -> LocalFuture<'_, Response> {
        Box::pin(async move {
            let deadline = ExecutorTimers.now().plus_ms(ADMIN_DEADLINE_MS);
            let answer = rt::before(deadline, self.0.answer(request)).await;
            answer.unwrap_or_else(|| overloaded("the control plane does not answer"))
        })
    }
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

fn core_settings(settings: &Settings) -> CoreSettings {
    CoreSettings {
        master_key: settings.master_key.as_ref().map(|key| key.expose().to_owned()),
        shard_count: settings.shards,
        node_body_max: settings.feeder.max_body,
        read_deadline_ms: milliseconds(settings.search.deadline),
        write_deadline_ms: milliseconds(settings.write_deadline),
        partial: settings.search.partial,
        conversations_max: settings.chats.max_conversations,
        model_patience_ms: milliseconds(settings.chats.timeout),
        sort_ties_by_id: settings.search.sort_ties_by_id,
    }
}

fn http_limits(settings: &Settings, executors: usize, files: FileShares) -> HttpLimits {
    let http = &settings.http;
    let default = HttpLimits::default();
    let deadline = settings.search.deadline.max(settings.write_deadline).max(settings.chats.timeout);
    HttpLimits {
        // A handler may use its whole deadline.
        handler_timeout_ms: default.handler_timeout_ms + milliseconds(deadline),
        body_max_bytes: http.max_body,
        parsed_body_max_bytes: http.max_json_body,
        requests_max_per_core: http.max_in_flight.div_ceil(executors),
        connections_max: http.max_connections.min(files.clients),
        headers_max: http.max_headers,
        head_max_bytes: http.max_header_bytes,
        head_timeout_ms: milliseconds(http.header_timeout),
        idle_timeout_ms: milliseconds(http.idle_timeout),
        transfer_timeout_ms: milliseconds(http.body_timeout),
        ..default
    }
}

/// A body of the configured length must find room, and what is made of it.
fn memory_max(settings: &Settings) -> u64 {
    settings.http.max_memory.max(settings.http.max_body.saturating_mul(5))
}

fn pool_limits(settings: &Settings, files: FileShares) -> PoolLimits {
    let default = PoolLimits::default();
    PoolLimits {
        in_flight_max: default.in_flight_max.min(files.each_node),
        answer_max_bytes: default.answer_max_bytes.min(memory_max(settings) as usize / 2),
        idle_max: settings.upstream.max_connections,
        idle_timeout_ms: milliseconds(settings.upstream.idle_timeout),
        connect_timeout_ms: milliseconds(settings.upstream.connect_timeout),
    }
}

fn cores(settings: &Settings) -> Cores {
    match &settings.cores {
        config::Cores::Auto => Cores::Auto,
        config::Cores::List(cpus) => Cores::Pinned(cpus.clone()),
    }
}

/// Starts a Miroir with this configuration.
pub fn start(settings: &Settings) -> Result<RunningServer, StartError> {
    start_on(settings, cores(settings))
}

/// The same on other cores than the configuration says: tests and `miroir dev` share their machine with others.
pub fn start_on(settings: &Settings, cores: Cores) -> Result<RunningServer, StartError> {
    if !settings.admin.listen.ip().is_loopback() && settings.admin.key.is_none() {
        return Err(StartError::AdminWithoutKey(settings.admin.listen));
    }
    rt::preflight()?;
    let executors = cores.plan().len();
    let files = files::of_process(executors, settings.nodes.len());
    if files.clients < settings.http.max_connections {
        tracing::warn!(
            connections = files.clients,
            "fewer connections of clients than http.max_connections are possible: raise `ulimit -n` (LimitNOFILE= in systemd)"
        );
    }
    let limits = http_limits(settings, executors, files);
    let (bridge, commands) = Bridge::with_memory(executors, memory_max(settings));
    let memory = bridge.memory.clone();
    let client = ServerOptions { address: settings.listen, cores, name: "core", limits, memory };
    let client = BoundServer::bind(client).map_err(|source| StartError::Bind { key: "listen", source })?;
    let admin = ServerOptions {
        address: settings.admin.listen,
        cores: Cores::Unpinned(1),
        name: "admin",
        limits: HttpLimits { body_max_bytes: 1024 * 1024, connections_max: 256, ..HttpLimits::default() },
        memory: Memory::new(ADMIN_MEMORY_MAX),
    };
    let admin = BoundServer::bind(admin).map_err(|source| StartError::Bind { key: "admin.listen", source })?;

    let node_key = settings.node_master_key.as_ref().map(|key| key.expose().to_owned());
    let core_settings = Arc::new(core_settings(settings));
    let client_handlers = client_handlers(bridge.clone(), core_settings, pool_limits(settings, files), node_key)?;

    let control = control_plane::start(settings, &bridge, commands)?;
    let addresses = Addresses { client: client.address(), admin: admin.address() };
    let admin = admin.start(&admin_handlers(bridge, &control, settings.admin.key.clone()))?;
    let client = client.start(&client_handlers)?;
    tracing::info!(client = %addresses.client, admin = %addresses.admin, executors, "miroir is up");
    Ok(RunningServer { addresses, parts: Some(Parts { client, control, admin }), drain: settings.shutdown_timeout })
}

fn admin_handlers(bridge: Arc<Bridge>, control: &ControlPlane, key: Option<Secret>) -> HandlerFactory {
    let (troubles, looks) = (control.troubles().clone(), control.looks().clone());
    let api = move || AdminApi::new(bridge.clone(), troubles.clone(), looks.clone(), key.clone());
    Arc::new(move |_| Rc::new(AdminHandler(api())))
}

impl RunningServer {
    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Waits until something comes through `asked` (or its sender is gone), or until the server cannot go on.
    pub fn wait<T>(&self, asked: &Receiver<T>) -> End {
        match self.wait_for(asked, &crossbeam::channel::never::<std::convert::Infallible>()) {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    /// Waits for something that is done meanwhile.
    ///
    /// # Errors
    /// As [`Self::wait`]: what came before.
    pub fn wait_for<T, D>(&self, asked: &Receiver<T>, done: &Receiver<D>) -> Result<D, End> {
        let Parts { client, control, admin } =
            self.parts.as_ref().expect("they are taken by the stop, which takes the server");
        let end = select! {
            recv(done) -> done => return done.map_err(|_| End::Died(DeadThread::unknown("what was waited for"))),
            recv(asked) -> _ => End::Asked,
            recv(control.deaths()) -> death => {
                let death = death.map(|death| DeadThread { name: death.name, reason: death.reason });
                End::Died(death.unwrap_or_else(|_| DeadThread::unknown("control plane")))
            }
            recv(client.deaths()) -> death => End::Died(DeadThread::executor(death.ok())),
            recv(admin.deaths()) -> death => End::Died(DeadThread::executor(death.ok())),
        };
        Err(end)
    }

    /// Answers what has begun, as long as the configuration allows, then stops. What has not stopped in time is left
    /// behind and named in the log: everything that counts is in the store.
    pub fn stop(mut self) {
        let drain = self.drain;
        self.stop_within(drain);
    }

    fn stop_within(&mut self, drain: Duration) {
        let Some(parts) = self.parts.take() else { return };
        let (told, hear) = bounded(2);
        // Without a thread the parts are dropped here, which stops them too.
        let thread = std::thread::Builder::new().name("stop".to_owned()).spawn(move || parts.stop(drain, &told));
        if let Err(error) = thread {
            return tracing::error!(%error, "no thread for an orderly stop");
        }
        for limit in [drain + STOP_LIMIT, STOP_LIMIT] {
            match hear.recv_timeout(limit) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => {
                    let threads = living_threads().join(", ");
                    return tracing::warn!(threads, "the stop took too long: these threads are not waited for");
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// The names of the threads of this process, as far as the system keeps them (15 bytes).
fn living_threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut names: Vec<String> = tasks
        .filter(|task| task.file_name().to_str() != Some(&std::process::id().to_string()))
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .filter(|name| !["stop", "signals"].contains(&name.as_str()))
        .collect();
    names.sort_unstable();
    names
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stop_within(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests;
