//! `/chats/{workspace}/chat/completions`: a language model answers, and searches the whole fleet meanwhile.
//!
//! The handler goes on for as long as the conversation does; the server drops it when the client goes away. Who speaks to the
//! model is a thread outside of the cores, of which the handler hears one event after the other.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};

use serde::Serialize;

use super::arguments::{Arguments, require_json};
use super::chats;
use crate::bridge::errands::{ModelEvent, ModelRequest};
use crate::bridge::memory::Share;
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::meili::chat::calls::{Calls, Step};
use crate::meili::chat::chunk::{BEGINNING, Chunk, END, event};
use crate::meili::chat::completion::{Completion, Content, Message, StreamOptions, ToolCall};
use crate::meili::chat::failure::Failure;
use crate::meili::chat::source::Source;
use crate::meili::chat::tools::{APPEND, PROGRESS, SOURCES, ToolSupport};
use crate::meili::error::ApiError;
use searches::{Found, Searcher};

mod searches;

/// How often a model is asked for one answer.
const ROUNDS_MAX: usize = 20;
/// For proxies.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(super) async fn post(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let mut completion = Completion::parse(&request.body)?;
    chats::require(core, "using the /chats chat completions route")?;
    completion.check()?;
    let source = chats::source(core, arguments.text(0)).await?;
    let support = completion.take_tools()?;
    let place = core.bridge.errands.enter(core.settings.conversations_max);
    let _place = place.ok_or_else(|| ApiError::overloaded("too many conversations are in progress"))?;
    let searcher = Searcher { core, request };
    let tool = Box::pin(searcher.tool(arguments.grant(), &source.prompts)).await?;
    completion.prepare(source.protocol.first_message(&completion.model, &source.prompts.system), tool);
    completion.stream_options = source.protocol.tells_usage().then_some(StreamOptions { include_usage: true });
    let share = RefCell::new(core.bridge.memory.share());
    let conversation = Conversation { searcher, source, support, share };
    conversation.take_room(request.body.len())?;
    request.stream.begin(beginning());
    conversation.run(completion).await;
    Ok(Response::empty(200))
}

fn beginning() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_ENCODING, "identity"),
        (UNBUFFERED, "no"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value))).into();
    Response { status: 200, headers, body: BEGINNING.into() }
}

struct Conversation<'a> {
    searcher: Searcher<'a>,
    source: Source,
    support: ToolSupport,
    /// Of the memory, for what was said.
    share: RefCell<Share>,
}

/// What a client is told of a search that begins.
#[derive(Serialize)]
struct Progress<'a> {
    call_id: &'a str,
    function_name: &'a str,
    function_arguments: &'a str,
}

/// What a client is told of one that has ended.
#[derive(Serialize)]
struct Sources<'a> {
    call_id: &'a str,
    sources: &'a [serde_json::Value],
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("types of messages have text keys and cannot fail to serialize")
}

impl Conversation<'_> {
    async fn run(&self, mut completion: Completion) {
        for _ in 0..ROUNDS_MAX {
            match self.round(&mut completion).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) => {
                    self.say(&failure).await;
                    break;
                }
            }
        }
        self.searcher.request.stream.send(Bytes::from_static(END.as_bytes())).await;
    }

    async fn say(&self, value: &impl Serialize) {
        self.searcher.request.stream.send(event(value).into()).await;
    }

    /// Twice as much: once as messages, and once as the body that they are sent in.
    fn take_room(&self, bytes: usize) -> Result<(), ApiError> {
        self.searcher.core.take_room(&mut self.share.borrow_mut(), 2 * bytes as u64)
    }

    /// Asks the model once; true if it has called tools and is to be asked again.
    async fn round(&self, completion: &mut Completion) -> Result<bool, Failure> {
        let core = self.searcher.core;
        let mut events = core.bridge.errands.ask(ModelRequest {
            url: self.source.url.clone(),
            headers: self.source.headers.clone(),
            body: json(completion).into(),
            patience: Duration::from_millis(core.settings.model_patience_ms),
        });
        let (mut calls, mut last) = (Calls::default(), None);
        loop {
            let data = match events.receive().await {
                Some(ModelEvent::Data(data)) => data,
                Some(ModelEvent::Refused(said)) => return Err(Failure::refused(self.source.protocol, &said)),
                Some(ModelEvent::Broken(reason)) => return Err(Failure::broken(reason)),
                Some(ModelEvent::Done) => break,
                None => return Err(Failure::ended()),
            };
            let chunk: Chunk = serde_json::from_slice(&data).map_err(|error| Failure::unreadable(&error))?;
            match calls.push(&chunk) {
                Step::Forward => self.say(&chunk).await,
                Step::Nothing => {}
                Step::Answer(complete) => self.answer(complete, &chunk, completion).await?,
                Step::End => break,
            }
            last = Some(chunk);
        }
        drop(events);
        if let (Some(complete), Some(chunk)) = (calls.rest(), &last) {
            self.answer(complete, chunk, completion).await?;
        }
        Ok(calls.goes_on())
    }

    /// Does what the model has called for, and puts it into the conversation.
    async fn answer(&self, calls: Vec<ToolCall>, chunk: &Chunk, completion: &mut Completion) -> Result<(), Failure> {
        completion.messages.push(Message::of_calls(calls.clone()));
        for call in calls {
            self.tell_of(&call, chunk).await;
            let Found { sources, text, error } = Box::pin(self.searcher.search(&call.function.arguments)).await;
            if let Some(sources) = sources.filter(|_| self.support.sources) {
                let told = Sources { call_id: &call.id, sources: &sources };
                self.say(&chunk.telling(SOURCES, json(&told))).await;
            }
            let room = self.take_room(text.len() + call.function.arguments.len());
            room.map_err(|error| Failure::of_search(&error))?;
            let message = Message::Tool { content: Content::Text(text), tool_call_id: call.id };
            if self.support.append {
                self.say(&chunk.telling(APPEND, json(&message))).await;
            }
            completion.messages.push(message);
            if let Some(error) = error {
                self.say(&Failure::of_search(&error)).await;
            }
        }
        Ok(())
    }

    async fn tell_of(&self, call: &ToolCall, chunk: &Chunk) {
        if self.support.progress {
            let (function_name, function_arguments) = (&call.function.name, &call.function.arguments);
            let told = Progress { call_id: &call.id, function_name, function_arguments };
            self.say(&chunk.telling(PROGRESS, json(&told))).await;
        }
        if self.support.append {
            self.say(&chunk.telling(APPEND, json(&Message::of_calls(vec![call.clone()])))).await;
        }
    }
}
