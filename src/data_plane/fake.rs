//! A core without an executor, for tests of handlers: nodes are a function, time is real, tasks run on this thread.
//!
//! ```ignore
//! let upstream = FakeUpstream::new(|node, request| Ok(NodeResponse { status: 200, body: "{}".into() }));
//! let core = core_with(upstream);
//! core.bridge.snapshot.store(Arc::new(snapshot));
//! let response = block_on(route(&core, Request::new(Method::GET, "/health")));
//! ```

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crossbeam::channel::Receiver;

use super::core::{Core, CoreSettings, Timers};
use super::upstream::{LocalFuture, NodeLoad, NodeRequest, NodeResponse, Upstream, UpstreamError};
use crate::bridge::{Bridge, Command};
use crate::logic::ids::{Monotonic, NodeId};
use crate::logic::snapshot::NodeView;
use crate::telemetry::clock;

type Answer = dyn Fn(&NodeView, &NodeRequest) -> Result<NodeResponse, UpstreamError>;

/// Nodes played by a function; it keeps what was asked. A node that times out does so at the deadline.
pub struct FakeUpstream {
    answer: Box<Answer>,
    /// Every request so far, in order.
    pub requests: RefCell<Vec<(NodeId, NodeRequest)>>,
    /// Until when each of them was waited for.
    pub deadlines: RefCell<Vec<Monotonic>>,
}

impl FakeUpstream {
    /// Answers by this function, at once.
    pub fn new(answer: impl Fn(&NodeView, &NodeRequest) -> Result<NodeResponse, UpstreamError> + 'static) -> Rc<Self> {
        Rc::new(Self { answer: Box::new(answer), requests: RefCell::default(), deadlines: RefCell::default() })
    }

    /// No node can be reached.
    pub fn refusing() -> Rc<Self> {
        Self::new(|node, _| Err(UpstreamError::Unreachable { node: node.id.clone(), reason: "fake".to_owned() }))
    }
}

impl Upstream for FakeUpstream {
    fn send<'a>(
        &'a self,
        node: &'a NodeView,
        request: NodeRequest,
        deadline: Monotonic,
    ) -> LocalFuture<'a, Result<NodeResponse, UpstreamError>> {
        let answer = (self.answer)(node, &request);
        self.requests.borrow_mut().push((node.id.clone(), request));
        self.deadlines.borrow_mut().push(deadline);
        Box::pin(async move {
            if matches!(answer, Err(UpstreamError::TimedOut { .. })) {
                FakeTimers.sleep_until(deadline).await;
            }
            answer
        })
    }

    fn load(&self, _node: &NodeId) -> NodeLoad {
        NodeLoad { slow_us: 1_000.0, ..NodeLoad::default() }
    }
}

struct FakeTimers;

impl Timers for FakeTimers {
    fn now(&self) -> Monotonic {
        clock::monotonic()
    }

    fn sleep_until(&self, deadline: Monotonic) -> LocalFuture<'static, ()> {
        // `block_on` polls every millisecond, so no waker is needed.
        Box::pin(std::future::poll_fn(
            move |_| {
                if clock::monotonic() >= deadline { Poll::Ready(()) } else { Poll::Pending }
            },
        ))
    }

    fn yield_now(&self) -> LocalFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A core with default settings in front of these nodes; commands to the control plane are lost.
pub fn core_with(upstream: Rc<FakeUpstream>) -> Core {
    core_and_commands(upstream, CoreSettings::default()).0
}

/// The same with settings and the control plane's end of the queue: answer the commands from another thread.
pub fn core_and_commands(upstream: Rc<FakeUpstream>, settings: CoreSettings) -> (Core, Receiver<Command>) {
    let (bridge, commands) = Bridge::new(1);
    (Core::new(0, bridge, Arc::new(settings), upstream, Rc::new(FakeTimers)), commands)
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread.
///
/// # Panics
/// When it takes longer than 20 seconds.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker: Waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let deadline = clock::instant() + Duration::from_secs(20);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        assert!(clock::instant() < deadline, "the future did not end in time");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
