//! Connections of one core to the nodes: reused, bounded, each request before its deadline.
//!
//! The connection is driven by the request that uses it, not by a task of its own: dropping the request drops the
//! connection with whatever was in flight, so that a late answer can never reach a later request.
//!
//! Who finds the bound of a node reached waits for its turn. When the deadline comes first and the node has answered
//! others meanwhile, the load is to blame and not the node ([`UpstreamError::Busy`]).
//!
//! Cancel safety: a dropped `send` closes its connection. What the node did with the request is unknown then.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, Connection, SendRequest};

use super::core::Timers;
use super::pieces::Pieces;
use super::places::{Place, Places};
use super::rt::{self, ExecutorTimers};
use super::socket::{Meter, Socket};
use super::upstream::{LocalFuture, NodeLoad, NodeRequest, NodeResponse, Upstream, UpstreamError};
use crate::bridge::memory::{Memory, Share, UNCOUNTED_MAX};
use crate::logic::ids::{Monotonic, NodeId};
use crate::logic::snapshot::NodeView;
use crate::telemetry::clock;

/// Bounds on connections to nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolLimits {
    /// Requests of one core to one node at a time; more wait for their turn.
    pub in_flight_max: u32,
    /// Connections of one core to one node that are kept for later.
    pub idle_max: usize,
    /// Idle connections older than this are closed.
    pub idle_timeout_ms: u64,
    /// Time for a connection to come about, in milliseconds: shorter than a request's deadline, so that another replica
    /// can still be asked.
    pub connect_timeout_ms: u64,
    /// Longest answer that is read.
    pub answer_max_bytes: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            in_flight_max: 512,
            idle_max: 64,
            idle_timeout_ms: 30_000,
            connect_timeout_ms: 1_000,
            answer_max_bytes: 512 * 1024 * 1024,
        }
    }
}

/// What has passed over one connection to a node.
#[derive(Default)]
struct Traffic {
    has_written: Cell<bool>,
    has_read: Cell<bool>,
}

impl Meter for Traffic {
    fn on_read(&self, bytes: usize) {
        if bytes > 0 {
            self.has_read.set(true);
        }
    }

    fn on_written(&self, _bytes: usize) {
        self.has_written.set(true);
    }

    fn on_flushed(&self) {}
}

type HttpRequest = http::Request<Pieces<()>>;
type Driver = Connection<Socket<Traffic>, Pieces<()>>;

struct NodeConnection {
    sender: SendRequest<Pieces<()>>,
    /// None once it has ended.
    driver: Option<Pin<Box<Driver>>>,
    traffic: Rc<Traffic>,
    address: SocketAddr,
    idle_since: Monotonic,
}

/// Why one attempt on one connection failed.
enum Failure {
    /// The connection ended; `is_untouched`: the node has sent nothing of an answer.
    Broken {
        reason: String,
        is_untouched: bool,
    },
    TooLarge,
    /// There is no memory for the answer now.
    NoRoom,
}

impl NodeConnection {
    async fn open(address: SocketAddr) -> Result<Self, String> {
        let traffic = Rc::new(Traffic::default());
        let socket = Socket::connecting(address, traffic.clone()).map_err(|error| error.to_string())?;
        let (sender, driver) = http1::handshake(socket).await.map_err(|error| error.to_string())?;
        Ok(Self { sender, driver: Some(Box::pin(driver)), traffic, address, idle_since: Monotonic::default() })
    }

    /// Lets hyper read and write. Its end is remembered; the reason reaches the request by itself.
    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(context).is_ready()
        {
            self.driver = None;
        }
    }

    async fn exchange(
        &mut self,
        request: HttpRequest,
        max: usize,
        memory: &Arc<Memory>,
    ) -> Result<NodeResponse, Failure> {
        self.traffic.has_read.set(false);
        let mut answer = pin!(self.sender.send_request(request));
        let driver = &mut self.driver;
        let head = poll_fn(|context| {
            if let Some(alive) = driver
                && alive.as_mut().poll(context).is_ready()
            {
                *driver = None;
            }
            answer.as_mut().poll(context)
        })
        .await;
        let head = head.map_err(|error| self.failure(&error))?;
        let status = head.status().as_u16();
        let body = self.read(head.into_body(), max, memory.share()).await?;
        Ok(NodeResponse { status, body })
    }

    async fn read(&mut self, mut body: Incoming, max: usize, mut share: Share) -> Result<Bytes, Failure> {
        let announced = body.size_hint().exact();
        if announced.is_some_and(|length| length > max as u64) {
            return Err(Failure::TooLarge);
        }
        let mut first: Option<Bytes> = None;
        let mut whole = BytesMut::new();
        let mut total = 0;
        while let Some(frame) = poll_fn(|context| {
            self.drive(context);
            Pin::new(&mut body).poll_frame(context)
        })
        .await
        {
            let frame = frame.map_err(|error| self.failure(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            total += data.len();
            if total > max {
                return Err(Failure::TooLarge);
            }
            if total > UNCOUNTED_MAX && !share.grow(data.len() as u64) {
                return Err(Failure::NoRoom);
            }
            // Most answers come in one piece, which is passed on without a copy.
            match first.take() {
                None if whole.is_empty() => first = Some(data),
                None => whole.extend_from_slice(&data),
                Some(piece) => {
                    whole.reserve(announced.map_or(piece.len() + data.len(), |length| length as usize));
                    whole.extend_from_slice(&piece);
                    whole.extend_from_slice(&data);
                }
            }
        }
        Ok(share.carried_by(first.unwrap_or_else(|| whole.freeze())))
    }

    fn failure(&self, error: &hyper::Error) -> Failure {
        let source = std::error::Error::source(error);
        let reason = source.map_or_else(|| error.to_string(), ToString::to_string);
        Failure::Broken { reason, is_untouched: !self.traffic.has_read.get() }
    }

    /// Whether another request may use it.
    async fn is_reusable(&mut self) -> bool {
        // One more turn, so that hyper sees the end of the answer.
        poll_fn(|context| {
            self.drive(context);
            Poll::Ready(())
        })
        .await;
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// What a core knows of one node.
struct NodePool {
    /// Of requests in flight.
    places: Places,
    idle: RefCell<Vec<NodeConnection>>,
    latency_us: Cell<f64>,
    slow_us: Cell<f64>,
    /// When it last answered, or when the first of the requests was sent that are in flight.
    heard_at: Cell<Monotonic>,
}

/// A request that counts as in flight until it is dropped.
struct InFlight<'a> {
    pool: &'a NodePool,
    begun: std::time::Instant,
    _place: Place<'a>,
}

impl<'a> InFlight<'a> {
    async fn enter(pool: &'a NodePool) -> Self {
        if pool.places.taken() == 0 {
            pool.heard_at.set(clock::monotonic());
        }
        let place = pool.places.enter().await;
        Self { pool, begun: clock::instant(), _place: place }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        // What was given up counts with the time that it cost: a node that hangs looks slow.
        self.pool.note_latency(self.begun.elapsed());
    }
}

impl NodePool {
    fn new(in_flight_max: u32) -> Self {
        Self {
            places: Places::new(in_flight_max),
            idle: RefCell::default(),
            latency_us: Cell::default(),
            slow_us: Cell::default(),
            heard_at: Cell::default(),
        }
    }

    /// The youngest idle connection to this address, if it is young enough. A node that has moved leaves none to where it
    /// was, not even those that are given back after its move was known.
    fn take_idle(&self, address: SocketAddr, idle_timeout_ms: u64) -> Option<NodeConnection> {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|connection| connection.address == address);
        let connection = idle.pop()?;
        if connection.idle_since.plus_ms(idle_timeout_ms) > clock::monotonic() {
            return Some(connection);
        }
        // The others are older still.
        idle.clear();
        None
    }

    fn give_back(&self, mut connection: NodeConnection, idle_max: usize) {
        connection.idle_since = clock::monotonic();
        let mut idle = self.idle.borrow_mut();
        if idle.len() < idle_max {
            idle.push(connection);
        }
    }

    fn note_latency(&self, elapsed: std::time::Duration) {
        /// Weight of the newest answer: the average forgets half of it after five more.
        const WEIGHT: f64 = 0.13;
        let sample = elapsed.as_micros() as f64;
        let old = self.latency_us.get();
        self.latency_us.set(if old == 0.0 { sample } else { old + WEIGHT * (sample - old) });
    }

    /// Moves the estimate of what nineteen of twenty answers stay below: in balance when one of twenty raises it.
    fn note_answer(&self, elapsed: std::time::Duration) {
        const STEP: f64 = 0.02;
        self.heard_at.set(clock::monotonic());
        let (sample, old) = (elapsed.as_micros() as f64, self.slow_us.get());
        self.slow_us.set(match sample > old {
            _ if old == 0.0 => 2.0 * sample,
            true => old * (1.0 + 19.0 * STEP / 2.0),
            false => old * (1.0 - STEP / 2.0),
        });
    }
}

/// All connections of one core to nodes.
pub struct UpstreamPool {
    nodes: RefCell<HashMap<NodeId, Rc<NodePool>>>,
    limits: PoolLimits,
    /// Answers take their share of it.
    memory: Arc<Memory>,
    /// `Bearer` and the node key.
    authorization: Option<HeaderValue>,
}

/// The key cannot stand in a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the node key contains a character that a header cannot carry")]
pub struct InvalidNodeKey;

impl UpstreamPool {
    /// No connections yet.
    pub fn new(limits: PoolLimits, node_key: Option<&str>, memory: Arc<Memory>) -> Result<Self, InvalidNodeKey> {
        let authorization = node_key
            .map(|key| {
                let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| InvalidNodeKey)?;
                value.set_sensitive(true);
                Ok(value)
            })
            .transpose()?;
        Ok(Self { nodes: RefCell::default(), limits, memory, authorization })
    }

    /// Closes what has been idle for too long, and forgets all nodes but these. Called now and then.
    pub fn sweep(&self, members: &[NodeView]) {
        let now = clock::monotonic();
        let mut nodes = self.nodes.borrow_mut();
        nodes.retain(|id, _| members.iter().any(|node| node.id == *id));
        for pool in nodes.values() {
            let timeout = self.limits.idle_timeout_ms;
            pool.idle.borrow_mut().retain(|connection| connection.idle_since.plus_ms(timeout) > now);
        }
    }

    fn pool(&self, node: &NodeId) -> Rc<NodePool> {
        if let Some(pool) = self.nodes.borrow().get(node) {
            return pool.clone();
        }
        self.nodes
            .borrow_mut()
            .entry(node.clone())
            .or_insert_with(|| Rc::new(NodePool::new(self.limits.in_flight_max)))
            .clone()
    }

    fn to_hyper(&self, node: &NodeView, request: &NodeRequest) -> Result<HttpRequest, UpstreamError> {
        let unreachable = |reason: String| UpstreamError::Unreachable { node: node.id.clone(), reason };
        let Some(host) = node.url.strip_prefix("http://") else {
            return Err(unreachable("only http:// is supported".to_owned()));
        };
        let mut builder = http::Request::builder().method(&request.method).uri(&request.target).header(HOST, host);
        if let Some(authorization) = &self.authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if let Some(content_type) = request.content_type {
            builder = builder.header(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        builder.body(Pieces::new(request.body.clone(), None, ())).map_err(|error| unreachable(error.to_string()))
    }

    async fn attempt(
        &self,
        node: &NodeView,
        request: &NodeRequest,
        deadline: Monotonic,
    ) -> Result<NodeResponse, UpstreamError> {
        let timed_out = || UpstreamError::TimedOut { node: node.id.clone() };
        let Some(address) = node.address else {
            return Err(UpstreamError::Unresolved { node: node.id.clone() });
        };
        let pool = self.pool(&node.id);
        let begun = clock::monotonic();
        let Some(in_flight) = rt::before(deadline, InFlight::enter(&pool)).await else {
            // A node that answers nobody hangs; one that answers others has more to do than it can.
            let answers = pool.heard_at.get() > begun;
            return Err(if answers { UpstreamError::Busy { node: node.id.clone() } } else { timed_out() });
        };
        let result = rt::before(deadline, self.attempt_at(address, &pool, node, request)).await;
        let result = result.unwrap_or_else(|| Err(timed_out()));
        if result.is_ok() {
            pool.note_answer(in_flight.begun.elapsed());
        }
        result
    }

    async fn attempt_at(
        &self,
        address: SocketAddr,
        pool: &NodePool,
        node: &NodeView,
        request: &NodeRequest,
    ) -> Result<NodeResponse, UpstreamError> {
        if let Some(connection) = pool.take_idle(address, self.limits.idle_timeout_ms) {
            match self.exchange(pool, connection, self.to_hyper(node, request)?).await {
                // The node had closed it while it was idle: ask once more on a fresh one.
                Err(Failure::Broken { is_untouched: true, .. }) if request.is_repeatable => {}
                result => return result.map_err(|failure| broken(node, failure)),
            }
        }
        let connection = NodeConnection::open(address).await;
        let connection = connection.map_err(|reason| UpstreamError::Unreachable { node: node.id.clone(), reason })?;
        let traffic = connection.traffic.clone();
        let exchange = self.exchange(pool, connection, self.to_hyper(node, request)?);
        let result = self.when_connected(&traffic, exchange).await;
        match result {
            Some(Ok(response)) => Ok(response),
            Some(Err(Failure::Broken { reason, .. })) if !traffic.has_written.get() => {
                Err(UpstreamError::Unreachable { node: node.id.clone(), reason })
            }
            Some(Err(failure)) => Err(broken(node, failure)),
            None => {
                let reason = "no connection in time".to_owned();
                Err(UpstreamError::Unreachable { node: node.id.clone(), reason })
            }
        }
    }

    /// The exchange's result, or none when there is no connection in time.
    async fn when_connected<T>(&self, traffic: &Traffic, exchange: impl Future<Output = T>) -> Option<T> {
        let mut exchange = pin!(exchange);
        let mut timer = Some(ExecutorTimers.sleep_until(clock::monotonic().plus_ms(self.limits.connect_timeout_ms)));
        poll_fn(|context| {
            if let Poll::Ready(result) = exchange.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            if traffic.has_written.get() {
                timer = None;
            }
            match &mut timer {
                Some(timer) => timer.as_mut().poll(context).map(|()| None),
                None => Poll::Pending,
            }
        })
        .await
    }

    async fn exchange(
        &self,
        pool: &NodePool,
        mut connection: NodeConnection,
        request: HttpRequest,
    ) -> Result<NodeResponse, Failure> {
        let response = connection.exchange(request, self.limits.answer_max_bytes, &self.memory).await?;
        if connection.is_reusable().await {
            pool.give_back(connection, self.limits.idle_max);
        }
        Ok(response)
    }
}

fn broken(node: &NodeView, failure: Failure) -> UpstreamError {
    let node = node.id.clone();
    match failure {
        Failure::Broken { reason, .. } => UpstreamError::Broken { node, reason },
        Failure::TooLarge => UpstreamError::TooLarge { node },
        Failure::NoRoom => UpstreamError::Busy { node },
    }
}

impl Upstream for UpstreamPool {
    fn send<'a>(
        &'a self,
        node: &'a NodeView,
        request: NodeRequest,
        deadline: Monotonic,
    ) -> LocalFuture<'a, Result<NodeResponse, UpstreamError>> {
        Box::pin(async move { self.attempt(node, &request, deadline).await })
    }

    fn load(&self, node: &NodeId) -> NodeLoad {
        self.nodes.borrow().get(node).map_or_else(NodeLoad::default, |pool| NodeLoad {
            in_flight: pool.places.taken() + pool.places.waiting(),
            latency_us: pool.latency_us.get(),
            slow_us: pool.slow_us.get(),
            silent_ms: if pool.places.taken() == 0 {
                0
            } else {
                clock::monotonic().0.saturating_sub(pool.heard_at.get().0)
            },
        })
    }
}

#[cfg(test)]
mod tests;
