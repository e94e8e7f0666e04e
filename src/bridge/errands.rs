//! What conversations need done outside of the cores, because it may take long or block: speaking to a language model,
//! and rendering documents by a user's template.
//!
//! Conversations have places, and one errand each at a time. Who finds no place is refused; nothing waits for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crossbeam::channel::{Receiver, Sender, bounded};

use super::pipe::{PipeReceiver, PipeSender, pipe};
use super::reply::{Reply, ReplyFuture, reply_channel};
use crate::meili::chat::rendering::Rendering;

/// Errands that may wait for a thread.
const WAITING_MAX: usize = 4096;
/// Events of a model that may wait for their core.
const EVENTS_MAX: usize = 10;

/// A request to a language model, which answers in a stream.
#[derive(Clone, PartialEq, Eq)]
pub struct ModelRequest {
    /// Where.
    pub url: String,
    /// Who asks. Secret.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Bytes,
    /// How long the model may send nothing.
    pub patience: Duration,
}

impl std::fmt::Debug for ModelRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelRequest({})", self.url)
    }
}

/// What a model says, or what comes of asking it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ModelEvent {
    /// The data of an event.
    Data(Bytes),
    /// It did not answer with a stream; what it said, which may be cut.
    Refused(Bytes),
    /// It could not be asked, or heard to the end.
    Broken(String),
    /// It said that this was all.
    Done,
}

/// Work for a thread.
#[derive(Debug)]
pub enum Errand {
    /// Ask a model.
    Ask(ModelRequest, PipeSender<ModelEvent>),
    /// Render documents; answered with their texts, or why there are none.
    Render(Rendering, Reply<Result<Vec<String>, String>>),
}

/// What both planes know of conversations.
#[derive(Debug)]
pub struct Errands {
    queue: Sender<Errand>,
    waiting: Receiver<Errand>,
    conversations: Arc<AtomicUsize>,
}

/// Of one conversation, until the drop.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Default for Errands {
    fn default() -> Self {
        let (queue, waiting) = bounded(WAITING_MAX);
        Self { queue, waiting, conversations: Arc::default() }
    }
}

impl Errands {
    /// A place for a conversation, of which there may be so many at a time.
    pub fn enter(&self, max: usize) -> Option<Place> {
        let entered = |now: usize| (now < max).then_some(now + 1);
        let place = self.conversations.fetch_update(Ordering::AcqRel, Ordering::Acquire, entered);
        place.is_ok().then(|| Place(self.conversations.clone()))
    }

    /// Asks a model. Who drops the receiver ends the request.
    pub fn ask(&self, request: ModelRequest) -> PipeReceiver<ModelEvent> {
        let (sender, receiver) = pipe(EVENTS_MAX);
        // Nobody answers: the receiver hears of the end.
        let _ = self.queue.try_send(Errand::Ask(request, sender));
        receiver
    }

    /// Renders documents.
    pub fn render(&self, rendering: Rendering) -> ReplyFuture<Result<Vec<String>, String>> {
        let (reply, future) = reply_channel();
        let _ = self.queue.try_send(Errand::Render(rendering, reply));
        future
    }

    /// Where errands come out, for the thread that does them.
    pub fn waiting(&self) -> Receiver<Errand> {
        self.waiting.clone()
    }
}
