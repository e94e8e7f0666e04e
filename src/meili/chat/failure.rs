//! What a client hears within a stream of what goes wrong.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::source::Protocol;
use crate::meili::error::ApiError;

/// An error as an event.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct Failure {
    event_id: String,
    r#type: &'static str,
    error: Inner,
}

#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
struct Inner {
    r#type: String,
    code: Option<String>,
    message: String,
    param: Option<String>,
    event_id: Option<String>,
}

/// An error as models say it.
#[derive(Deserialize)]
struct Said {
    message: String,
    r#type: String,
    param: Option<String>,
    code: Option<String>,
}

/// As most of them wrap it.
#[derive(Deserialize)]
struct Wrapped {
    error: Said,
}

impl Failure {
    fn new(kind: &str, code: Option<String>, message: String) -> Self {
        Self::of(Inner { r#type: kind.to_owned(), code, message, param: None, event_id: None })
    }

    fn of(error: Inner) -> Self {
        Self { event_id: Uuid::new_v4().to_string(), r#type: "error", error }
    }

    /// A model refused to answer, and said so.
    pub fn refused(protocol: Protocol, answer: &[u8]) -> Self {
        let said = match protocol {
            Protocol::Mistral => serde_json::from_slice::<Said>(answer),
            Protocol::OpenAi | Protocol::AzureOpenAi | Protocol::VLlm => {
                serde_json::from_slice::<Wrapped>(answer).map(|wrapped| wrapped.error)
            }
        };
        match said {
            Ok(Said { message, r#type, param, code }) => {
                Self::of(Inner { r#type, code, message, param, event_id: None })
            }
            Err(_) => Self::new("reqwest_error", None, "error decoding response body".to_owned()),
        }
    }

    /// A model could not be asked, or heard to the end.
    pub fn broken(message: String) -> Self {
        Self::new("transport_error", None, message)
    }

    /// A model stopped in the middle.
    pub fn ended() -> Self {
        Self::new("stream_ended", None, "Stream ended".to_owned())
    }

    /// A model said what nobody understands.
    pub fn unreadable(error: &serde_json::Error) -> Self {
        Self::new("json_deserialize_error", Some("internal".to_owned()), error.to_string())
    }

    /// A search failed.
    pub fn of_search(error: &ApiError) -> Self {
        Self::new("response_error", Some(error.status().to_string()), error.message.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_models_say_is_told_by_their_own_words() {
        let inner = br#"{"message":"no","type":"t","param":null,"code":"c"}"#;
        let wrapped = br#"{"error":{"message":"no","type":"t","param":null,"code":"c"}}"#;
        for (protocol, good, bad) in
            [(Protocol::OpenAi, &wrapped[..], &inner[..]), (Protocol::Mistral, &inner[..], &wrapped[..])]
        {
            let error = Failure::refused(protocol, good).error;
            assert_eq!((error.r#type.as_str(), error.code.as_deref(), error.message.as_str()), ("t", Some("c"), "no"));
            assert_eq!(Failure::refused(protocol, bad).error.r#type, "reqwest_error");
        }
    }
}
