//! Conversations (`/chats/{workspace}/chat/completions`): what a client sends, what a language model is sent, and what of its
//! answer goes back.
//!
//! Everything here is pure: who speaks to the model, and who searches, is elsewhere.

pub mod calls;
pub mod chunk;
pub mod completion;
pub mod event_stream;
pub mod failure;
pub mod rendering;
pub mod source;
pub mod tools;
