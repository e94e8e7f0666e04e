//! How long a client's connection may take for what it does, and who is told when it took too long.
//!
//! One sweep per core looks at all connections a few times a second. This covers every phase (waiting, head, body, answer)
//! with one comparison, without a timer per request, and without racing or dropping a read.
//!
//! Invariant: in every phase there is a deadline.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::Waker;

use super::socket::Meter;
use crate::logic::ids::Monotonic;
use crate::telemetry::clock;

/// Bounds on what clients may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpLimits {
    /// Longest body of a request.
    pub body_max_bytes: u64,
    /// Longest body that is read in one go.
    pub parsed_body_max_bytes: u64,
    /// Requests that one core may work on at a time; past this the answer is 503.
    pub requests_max_per_core: usize,
    /// Connections of the whole process; past this they get 503 and are closed.
    pub connections_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Longest head of a request: line and headers.
    pub head_max_bytes: usize,
    /// Time for the head, from its first byte, in milliseconds.
    pub head_timeout_ms: u64,
    /// Time between requests on one connection, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Time that a body or an answer may take on top of what [`Self::bytes_per_ms_min`] grants, in milliseconds; twice as
    /// long nothing at all may move.
    pub transfer_timeout_ms: u64,
    /// Slowest transfer that is tolerated. 16 bytes per millisecond are 16 KB/s.
    pub bytes_per_ms_min: u64,
    /// Time for a handler, in milliseconds: a net below its own deadlines, hence longer than they are.
    pub handler_timeout_ms: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_max_bytes: 100 * 1024 * 1024,
            parsed_body_max_bytes: 10 * 1024 * 1024,
            requests_max_per_core: 4096,
            connections_max: 10_000,
            headers_max: 100,
            head_max_bytes: 64 * 1024,
            head_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            transfer_timeout_ms: 30_000,
            bytes_per_ms_min: 16,
            handler_timeout_ms: 120_000,
        }
    }
}

/// What a connection does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Waits for a request.
    Idle,
    /// Reads the head of a request.
    Head,
    /// Reads the body.
    Body,
    /// A handler works.
    Handler,
    /// The answer is on its way.
    Answer,
    /// The last piece of the answer is on its way.
    AnswerEnd,
    /// The answer has been sent; what the client still sends is thrown away for a moment, so that it gets to read it.
    Lingering,
}

/// One connection, as the sweep sees it.
pub struct Lifetime {
    phase: Cell<Phase>,
    deadline: Cell<Monotonic>,
    is_over: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    limits: Rc<HttpLimits>,
}

impl Lifetime {
    /// A fresh connection.
    pub fn new(limits: Rc<HttpLimits>) -> Rc<Self> {
        let lifetime = Self {
            phase: Cell::new(Phase::Idle),
            deadline: Cell::default(),
            is_over: Cell::new(false),
            waker: RefCell::default(),
            limits,
        };
        lifetime.enter(Phase::Idle);
        Rc::new(lifetime)
    }

    /// What it does.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// It does something else now.
    pub fn enter(&self, phase: Phase) {
        let limits = &*self.limits;
        let allowed_ms = match phase {
            Phase::Idle => limits.idle_timeout_ms,
            Phase::Head => limits.head_timeout_ms,
            Phase::Body | Phase::Answer | Phase::AnswerEnd => limits.transfer_timeout_ms,
            Phase::Handler => limits.handler_timeout_ms,
            Phase::Lingering => 2_000,
        };
        self.phase.set(phase);
        self.deadline.set(clock::monotonic().plus_ms(allowed_ms));
    }

    /// The server's buffer has the last of the answer; its time goes on.
    pub fn answer_ends(&self) {
        if self.phase.get() == Phase::Answer {
            self.phase.set(Phase::AnswerEnd);
        }
    }

    /// A transfer that moves has more time, but never much: what went fast does not pay for a stop.
    fn moved(&self, bytes: usize) {
        let granted = self.deadline.get().plus_ms(bytes as u64 / self.limits.bytes_per_ms_min);
        let latest = clock::monotonic().plus_ms(2 * self.limits.transfer_timeout_ms);
        self.deadline.set(granted.min(latest));
    }

    /// Whether the deadline has passed; the waker is kept for that moment otherwise.
    pub fn is_over(&self, waker: &Waker) -> bool {
        let mut kept = self.waker.borrow_mut();
        match &*kept {
            Some(old) if old.will_wake(waker) => {}
            Some(_) | None => *kept = Some(waker.clone()),
        }
        self.is_over.get()
    }

    fn end(&self) {
        self.is_over.set(true);
        self.wake();
    }

    /// Makes the connection's task look at its state.
    pub fn wake(&self) {
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Meter for Lifetime {
    fn on_read(&self, bytes: usize) {
        match self.phase.get() {
            Phase::Idle if bytes > 0 => self.enter(Phase::Head),
            Phase::Body => self.moved(bytes),
            Phase::Idle | Phase::Head | Phase::Handler | Phase::Answer | Phase::AnswerEnd | Phase::Lingering => {}
        }
    }

    fn on_written(&self, bytes: usize) {
        match self.phase.get() {
            Phase::Answer | Phase::AnswerEnd => self.moved(bytes),
            Phase::Idle | Phase::Head | Phase::Body | Phase::Handler | Phase::Lingering => {}
        }
    }

    fn on_flushed(&self) {
        if self.phase.get() == Phase::AnswerEnd {
            self.enter(Phase::Idle);
        }
    }
}

/// The connections of one core.
#[derive(Default)]
pub struct Lifetimes {
    connections: RefCell<Vec<Weak<Lifetime>>>,
    is_draining: Cell<bool>,
}

impl Lifetimes {
    /// Watches one more.
    pub fn watch(&self, lifetime: &Rc<Lifetime>) {
        self.connections.borrow_mut().push(Rc::downgrade(lifetime));
    }

    /// Whether connections should end with the request that they are at.
    pub fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// Tells all connections to end with the request that they are at.
    pub fn drain(&self) {
        self.is_draining.set(true);
        self.each(Lifetime::wake);
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.each(Lifetime::end);
    }

    /// Ends what took too long. Called a few times a second.
    pub fn sweep(&self, now: Monotonic) {
        self.connections.borrow_mut().retain(|connection| connection.strong_count() > 0);
        self.each(|lifetime| {
            if lifetime.deadline.get() <= now {
                lifetime.end();
            }
        });
    }

    fn each(&self, visit: impl Fn(&Lifetime)) {
        for lifetime in self.connections.borrow().iter().filter_map(Weak::upgrade) {
            visit(&lifetime);
        }
    }
}
