//! What a handler gets: one `Core` per executor, shared by its connections, never sent to another thread.
//!
//! Invariant: a request takes the snapshot once and uses that one to its end, so that it sees one state of the fleet.
//! No `RefCell` borrow is held across an `.await`.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use super::patience::Patience;
use super::scatter::HedgeBudget;
use super::upstream::{LocalFuture, Upstream};
use crate::bridge::Bridge;
use crate::bridge::memory::Share;
pub use crate::config::PartialPolicy;
use crate::logic::ids::Monotonic;
use crate::logic::snapshot::RoutingSnapshot;
use crate::meili::error::ApiError;

/// The part of the configuration that handlers need.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreSettings {
    /// None: no key is asked for.
    pub master_key: Option<String>,
    /// Shards of the cluster.
    pub shard_count: u16,
    /// Bytes of a body that every node takes.
    pub node_body_max: u64,
    /// Time for one search or document read, from its first byte to its answer, in milliseconds.
    pub read_deadline_ms: u64,
    /// Time to wait for the commit of a write, in milliseconds.
    pub write_deadline_ms: u64,
    /// When a shard has no replica that answers, unless the request chooses.
    pub partial: PartialPolicy,
    /// Conversations at a time, all cores together.
    pub conversations_max: usize,
    /// How long a language model may send nothing, in milliseconds.
    pub model_patience_ms: u64,
    /// The primary key is the nodes' last ranking rule.
    pub sort_ties_by_id: bool,
}

impl Default for CoreSettings {
    fn default() -> Self {
        Self {
            master_key: None,
            shard_count: 64,
            node_body_max: 100 * 1024 * 1024,
            read_deadline_ms: 10_000,
            write_deadline_ms: 30_000,
            partial: PartialPolicy::Partial,
            conversations_max: 64,
            model_patience_ms: 120_000,
            sort_ties_by_id: false,
        }
    }
}

/// What the executor offers, behind a trait so that handlers run without one in tests.
pub trait Timers {
    /// The monotonic clock.
    fn now(&self) -> Monotonic;

    /// Ends at this time, or at once when it has passed.
    fn sleep_until(&self, deadline: Monotonic) -> LocalFuture<'static, ()>;

    /// Lets other tasks of this executor run: called while a large body is cut or a large list is merged.
    fn yield_now(&self) -> LocalFuture<'static, ()>;
}

/// Lets other tasks run now and then in a long piece of work.
pub struct Turns<'a> {
    timers: &'a dyn Timers,
    left: usize,
}

impl<'a> Turns<'a> {
    /// Bytes worked on before others get their turn: well below a millisecond.
    const BYTES: usize = 128 * 1024;

    /// Nothing is done yet.
    pub fn new(core: &'a Core) -> Self {
        Self { timers: &*core.timers, left: Self::BYTES }
    }

    /// So many bytes more were worked on.
    pub async fn worked(&mut self, bytes: usize) {
        if bytes < self.left {
            self.left -= bytes;
        } else {
            self.left = Self::BYTES;
            self.timers.yield_now().await;
        }
    }
}

/// Where the snapshot cache looks.
struct SnapshotSource(Arc<Bridge>);

impl Deref for SnapshotSource {
    type Target = ArcSwap<RoutingSnapshot>;

    fn deref(&self) -> &Self::Target {
        &self.0.snapshot
    }
}

/// See the module.
pub struct Core {
    /// Its number on the bridge's acknowledgement board.
    pub number: usize,
    /// To the control plane.
    pub bridge: Arc<Bridge>,
    /// Resolved configuration.
    pub settings: Arc<CoreSettings>,
    /// To the nodes.
    pub upstream: Rc<dyn Upstream>,
    /// Time and tasks.
    pub timers: Rc<dyn Timers>,
    /// Second requests that it may send.
    pub hedges: HedgeBudget,
    /// With nodes that the prober cannot reach.
    pub patience: Patience,
    snapshot: RefCell<Cache<SnapshotSource, Arc<RoutingSnapshot>>>,
}

impl Core {
    /// A core with its number on the board.
    pub fn new(
        number: usize,
        bridge: Arc<Bridge>,
        settings: Arc<CoreSettings>,
        upstream: Rc<dyn Upstream>,
        timers: Rc<dyn Timers>,
    ) -> Self {
        let snapshot = RefCell::new(Cache::new(SnapshotSource(bridge.clone())));
        let (hedges, patience) = (HedgeBudget::default(), Patience::default());
        Self { number, bridge, settings, upstream, timers, hedges, patience, snapshot }
    }

    /// The newest snapshot. Take it once per request.
    pub fn snapshot(&self) -> Arc<RoutingSnapshot> {
        self.snapshot.borrow_mut().load().clone()
    }

    /// Takes room for something that a handler makes, or lets it grow.
    ///
    /// # Errors
    /// `miroir_overloaded`.
    pub fn take_room(&self, share: &mut Share, bytes: u64) -> Result<(), ApiError> {
        let refusal = || ApiError::overloaded("too much of requests and answers is in memory");
        share.grow(bytes).then_some(()).ok_or_else(refusal)
    }

    /// The monotonic clock.
    pub fn now(&self) -> Monotonic {
        self.timers.now()
    }

    /// When a read that begins now must be answered.
    pub fn read_deadline(&self) -> Monotonic {
        self.now().plus_ms(self.settings.read_deadline_ms)
    }

    /// When a write that begins now must be answered.
    pub fn write_deadline(&self) -> Monotonic {
        self.now().plus_ms(self.settings.write_deadline_ms)
    }

    /// The future's value, or none when the deadline comes first; the future is dropped then.
    pub async fn before<T>(&self, deadline: Monotonic, future: impl Future<Output = T>) -> Option<T> {
        race(future, || self.timers.sleep_until(deadline)).await
    }
}

/// The future's value, or none when the sleep ends first. The sleep is made at the first wait only: many futures that
/// get here are ready at once.
pub async fn race<T>(future: impl Future<Output = T>, sleep: impl FnOnce() -> LocalFuture<'static, ()>) -> Option<T> {
    let mut future = pin!(future);
    let mut make_sleep = Some(sleep);
    let mut sleep = None;
    poll_fn(move |context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        if let Some(make) = make_sleep.take() {
            sleep = Some(make());
        }
        let sleep = sleep.as_mut().expect("made at the first wait");
        sleep.as_mut().poll(context).map(|()| None)
    })
    .await
}
