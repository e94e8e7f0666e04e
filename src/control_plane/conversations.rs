//! Errands of conversations: a thread for each while it lasts, for language models answer slowly, and templates may be slow.
//!
//! A conversation that ends closes the connection of its errand, wherever that waits. Addresses of models are named by
//! clients, so they must be public ones unless the configuration says otherwise.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;
use std::time::Duration;

use bytes::Bytes;
use crossbeam::channel::{Receiver, select};
use ureq::http::Response;
use ureq::{Agent, Body};

use super::{public_addresses, rendering};
use crate::bridge::errands::{Errand, ModelEvent, ModelRequest};
use crate::bridge::memory::Memory;
use crate::bridge::pipe::{Left, PipeSender};
use crate::config::ChatSettings;
use crate::meili::chat::event_stream::EventStream;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of what a model says when it does not stream.
const REFUSAL_MAX: u64 = 64 * 1024;
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;
/// Threads for each conversation: those of ended ones may take a moment to notice.
const THREADS_EACH: usize = 2;
const STREAM: &str = "text/event-stream";
const CANNOT_READ: &str = "error decoding response body";

/// The state of the thread.
pub struct Conversations {
    threads_max: usize,
    may_be_private: bool,
    memory: Arc<Memory>,
}

/// A thread that runs.
struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Conversations {
    /// By the configuration; what models say takes part in `memory`.
    pub fn new(settings: &ChatSettings, memory: Arc<Memory>) -> Self {
        let threads_max = settings.max_conversations * THREADS_EACH;
        Self { threads_max, may_be_private: settings.may_be_private, memory }
    }

    /// Works until `stop` is closed. By then cores have ended, and with them their conversations.
    pub fn run(self, errands: &Receiver<Errand>, stop: &Receiver<()>) {
        let running = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            loop {
                let errand = select! {
                    recv(stop) -> _ => return,
                    recv(errands) -> errand => errand,
                };
                let Ok(errand) = errand else { return };
                if running.load(Ordering::Acquire) >= self.threads_max {
                    tracing::warn!("too many errands of conversations: one is dropped");
                    continue;
                }
                running.fetch_add(1, Ordering::AcqRel);
                let place = Running(&running);
                let this = &self;
                let work = move || {
                    let _place = place;
                    this.run_errand(errand);
                };
                if let Err(error) = Builder::new().name("conversation".to_owned()).spawn_scoped(scope, work) {
                    tracing::warn!(%error, "no thread can be started for a conversation");
                }
            }
        });
    }

    fn run_errand(&self, errand: Errand) {
        let run = std::panic::AssertUnwindSafe(|| match errand {
            Errand::Ask(request, events) => drop(self.ask(&request, &events)),
            Errand::Render(rendering, reply) => reply.send(rendering::texts(&rendering)),
        });
        if std::panic::catch_unwind(run).is_err() {
            tracing::error!("an errand of a conversation panicked");
        }
    }

    fn ask(&self, request: &ModelRequest, events: &PipeSender<ModelEvent>) -> Result<(), Left> {
        let config = Agent::config_builder()
            .user_agent("miroir")
            .max_redirects(0)
            .proxy(None)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(request.patience))
            .timeout_per_write(Some(request.patience))
            .build();
        let agent = public_addresses::agent(config, self.may_be_private, "chats.private_addresses");
        let closed = agent.clone();
        events.on_leave(move || closed.shutdown());
        let mut call = agent.post(&request.url).content_type("application/json").header("accept", STREAM);
        for (name, value) in &request.headers {
            call = call.header(*name, value);
        }
        match call.send(&request.body[..]) {
            Ok(answer) => self.relay(answer, request, events),
            Err(error) => {
                tracing::info!(url = request.url, %error, "a language model cannot be asked");
                let words = format!("error sending request for url ({})", request.url);
                events.send(ModelEvent::Broken(told(&words, &error, request)))
            }
        }
    }

    /// What the model says, event by event.
    fn relay(
        &self,
        answer: Response<Body>,
        request: &ModelRequest,
        events: &PipeSender<ModelEvent>,
    ) -> Result<(), Left> {
        let content_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
        let is_stream = content_type.is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with(STREAM));
        let (status, is_good) = (answer.status(), answer.status() == 200);
        let mut body = answer.into_body();
        if !is_good || !is_stream {
            tracing::info!(url = request.url, status = status.as_u16(), "a language model did not answer");
            let mut said = Vec::new();
            // What is lacking makes it unreadable, and the client hears that.
            let _ = body.as_reader().take(REFUSAL_MAX).read_to_end(&mut said);
            return events.send(ModelEvent::Refused(said.into()));
        }
        let mut reader = body.as_reader();
        let (mut stream, mut buffer) = (EventStream::default(), vec![0; READ_BYTES]);
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) => {
                    let error = ureq::Error::from(error);
                    return events.send(ModelEvent::Broken(told(CANNOT_READ, &error, request)));
                }
            };
            let mut came = Vec::new();
            if stream.push(&buffer[..count], |data| came.push(data)).is_err() {
                return events.send(ModelEvent::Broken("an event is too long".to_owned()));
            }
            for data in came {
                if data == b"[DONE]" {
                    return events.send(ModelEvent::Done);
                }
                events.send(self.counted(data.into()))?;
            }
        }
    }

    fn counted(&self, data: Bytes) -> ModelEvent {
        let full = || ModelEvent::Broken("too much of requests and answers is in memory".to_owned());
        self.memory.carry(data).map_or_else(full, ModelEvent::Data)
    }
}

/// As one server says it, and the reason where the remedy is in Miroir's configuration.
fn told(words: &str, error: &ureq::Error, request: &ModelRequest) -> String {
    if matches!(error, ureq::Error::Timeout(_)) {
        let seconds = request.patience.as_secs_f64();
        return format!("{words}: the language model has sent nothing for {seconds} s (`chats.timeout`)");
    }
    let is_forbidden = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    if matches!(error, ureq::Error::Io(error) if is_forbidden(error)) {
        return format!("{words}: {error}");
    }
    words.to_owned()
}
