//! What a client asks of a conversation: the body of OpenAI's chat completions, of which Meilisearch 1.50 takes a part.
//!
//! Fields that nobody knows are left out, as there; those that only the model understands go to it as they are.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tools::{self, ToolSupport};
use crate::meili::error::{ApiError, Code};

/// The body. Its fields are sent on in this order.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(expecting = "struct CreateChatCompletionRequest")]
pub struct Completion {
    /// What was said up to now.
    pub messages: Vec<Message>,
    /// Which model is to answer.
    pub model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logit_bias: Option<serde_json::Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modalities: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prediction: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    /// Set by us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<Tool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    functions: Option<Value>,
}

/// What is to be streamed besides.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct StreamOptions {
    /// What the answer has cost.
    pub include_usage: bool,
}

/// One message of a conversation, by who said it.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(tag = "role", rename_all = "lowercase")]
#[expect(missing_docs, reason = "the fields are those of OpenAI")]
pub enum Message {
    /// Who runs the conversation, to newer models.
    Developer {
        content: Content,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Who runs the conversation.
    System {
        content: Content,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Who asks.
    User {
        content: Content,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// The model.
    Assistant {
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<Content>,
        #[serde(skip_serializing_if = "Option::is_none")]
        refusal: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        audio: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tool_calls: Option<Vec<ToolCall>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        function_call: Option<Value>,
    },
    /// What a call came to.
    Tool { content: Content, tool_call_id: String },
    /// The older form of it.
    Function { content: Option<String>, name: String },
}

impl Message {
    /// The model has called tools.
    pub fn of_calls(calls: Vec<ToolCall>) -> Self {
        Self::Assistant {
            content: None,
            refusal: None,
            name: None,
            audio: None,
            tool_calls: Some(calls),
            function_call: None,
        }
    }
}

/// A text, or parts of one, which only models look at.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(untagged)]
pub enum Content {
    /// A text.
    Text(String),
    /// Texts, images, and so on.
    Parts(Vec<Value>),
}

/// A tool that was called.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct ToolCall {
    /// By which its result refers to it.
    pub id: String,
    /// `function`.
    #[serde(default)]
    pub r#type: Option<String>,
    /// Which, and with what.
    pub function: FunctionCall,
}

/// A function that was called.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct FunctionCall {
    /// Its name.
    pub name: String,
    /// JSON, if the model made no mistake.
    pub arguments: String,
}

/// A tool that may be called.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Tool {
    /// `function`.
    pub r#type: String,
    /// What it is.
    pub function: Function,
}

/// A function that may be called.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A JSON schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// Whether calls keep to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

impl Completion {
    /// Reads a body.
    ///
    /// # Errors
    /// `missing_payload`, `malformed_payload`, `bad_request`.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Err(ApiError::new(Code::MissingPayload, "A json payload is missing."));
        }
        serde_json::from_slice(body).map_err(|error| {
            if error.is_data() {
                return ApiError::new(Code::BadRequest, format!("Json deserialize error: {error}"));
            }
            let message = format!("The json payload provided is malformed. `{error}`.");
            ApiError::new(Code::MalformedPayload, message)
        })
    }

    /// Checks that it asks for what there is: one answer, streamed.
    ///
    /// # Errors
    /// As one server.
    pub fn check(&self) -> Result<(), ApiError> {
        if let Some(n) = self.n.filter(|n| *n != 1) {
            let message = format!("You tried to specify n = {n} but only single choices are supported (n = 1).");
            return Err(ApiError::new(Code::UnimplementedMultiChoiceChatCompletions, message));
        }
        if self.stream != Some(true) {
            let message = "Non-streamed chat completions is not implemented";
            return Err(ApiError::new(Code::UnimplementedNonStreamingChatCompletions, message));
        }
        Ok(())
    }

    /// Takes out the client's tools: they are what it wants to be told, and no business of the model.
    ///
    /// # Errors
    /// It has others.
    pub fn take_tools(&mut self) -> Result<ToolSupport, ApiError> {
        let tools = self.tools.take().unwrap_or_default();
        let names: Vec<&str> = tools.iter().map(|tool| tool.function.name.as_str()).collect();
        ToolSupport::of(&names)
    }

    /// Adds what one server adds: what is said in front, and the tool to search with.
    pub fn prepare(&mut self, first: Message, search: tools::SearchTool) {
        self.messages.insert(0, first);
        self.tools = Some(vec![search.into_tool()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_refused_as_by_one_server() {
        let code = |text: &str| {
            let read = Completion::parse(text.as_bytes());
            let checked = read.and_then(|mut read| read.check().and_then(|()| read.take_tools().map(drop)));
            checked.map_err(|error| (error.code, error.message)).err()
        };
        let of = |tool: &str| {
            format!(
                r#"{{"model":"m","messages":[],"stream":true,"tools":[{{"type":"function","function":{{"name":"{tool}"}}}}]}}"#
            )
        };
        assert_eq!(code(r#"{"model":"m","messages":[],"stream":true,"n":1}"#), None);
        assert_eq!(code(&of("_meiliSearchProgress")), None);
        for (text, wanted, words) in [
            ("", Code::MissingPayload, "A json payload is missing."),
            (
                "{bad",
                Code::MalformedPayload,
                "The json payload provided is malformed. `key must be a string at line 1 column 2`.",
            ),
            ("{}", Code::BadRequest, "Json deserialize error: missing field `messages` at line 1 column 2"),
            (
                r#""a""#,
                Code::BadRequest,
                "Json deserialize error: invalid type: string \"a\", expected struct CreateChatCompletionRequest at line 1 column 3",
            ),
            (
                r#"{"model":"m","messages":[],"n":2}"#,
                Code::UnimplementedMultiChoiceChatCompletions,
                "You tried to specify n = 2 but only single choices are supported (n = 1).",
            ),
            (
                r#"{"model":"m","messages":[]}"#,
                Code::UnimplementedNonStreamingChatCompletions,
                "Non-streamed chat completions is not implemented",
            ),
            (&of("_meiliSearchInIndex"), Code::BadRequest, "_meiliSearchInIndex function is already defined."),
            (
                &of("mine"),
                Code::UnimplementedExternalFunctionCalling,
                "mine: External functions are not supported yet.",
            ),
        ] {
            assert_eq!(code(text), Some((wanted, words.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_a_model_gets_has_what_is_known_in_a_fixed_order() {
        let body =
            br#"{"x":1,"temperature":0.1,"model":"m","messages":[{"content":"hi","role":"user","z":2}],"stream":true}"#;
        let sent = serde_json::to_string(&Completion::parse(body).unwrap()).unwrap();
        assert_eq!(
            sent,
            r#"{"messages":[{"role":"user","content":"hi"}],"model":"m","stream":true,"temperature":0.1}"#
        );
    }
}
