//! What a model streams, and what goes on to the client: chunks of OpenAI's shape, with every known field in its place.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A piece of an answer. Clients get its fields in this order, absent ones as `null`.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[expect(missing_docs, reason = "the fields are those of OpenAI")]
pub struct Chunk {
    pub id: String,
    pub choices: Vec<Choice>,
    pub created: u32,
    pub model: String,
    pub service_tier: Option<String>,
    pub system_fingerprint: Option<String>,
    pub object: String,
    pub usage: Option<Value>,
}

/// The answer that it is a piece of; there is one.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[expect(missing_docs, reason = "the fields are those of OpenAI")]
pub struct Choice {
    pub index: u32,
    pub delta: Delta,
    pub finish_reason: Option<String>,
    pub logprobs: Option<Value>,
}

/// What is new.
#[derive(Clone, PartialEq, Serialize, Deserialize, Default, Debug)]
#[expect(missing_docs, reason = "the fields are those of OpenAI")]
pub struct Delta {
    #[serde(default, deserialize_with = "text_or_parts")]
    pub content: Option<String>,
    pub function_call: Option<CalledFunction>,
    pub tool_calls: Option<Vec<CalledTool>>,
    pub role: Option<String>,
    pub refusal: Option<String>,
}

/// A piece of a call.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[expect(missing_docs, reason = "the fields are those of OpenAI")]
pub struct CalledTool {
    pub index: u32,
    pub id: Option<String>,
    pub r#type: Option<String>,
    pub function: Option<CalledFunction>,
}

/// A piece of what is called.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[expect(missing_docs, reason = "the fields are those of OpenAI")]
pub struct CalledFunction {
    pub name: Option<String>,
    pub arguments: Option<String>,
}

/// Mistral sends lists of parts, of which texts count.
fn text_or_parts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = match Option::<Value>::deserialize(deserializer)? {
        Some(Value::String(text)) => return Ok(Some(text)),
        Some(Value::Array(parts)) => {
            parts.iter().filter(|part| part["type"] == "text").filter_map(|part| part["text"].as_str()).collect()
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => String::new(),
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

impl Chunk {
    /// The same with a call of one of the client's tools as all that it says.
    #[must_use]
    pub fn telling(&self, tool: &str, arguments: String) -> Self {
        let call = CalledTool {
            index: 0,
            id: Some(Uuid::new_v4().to_string()),
            r#type: Some("function".to_owned()),
            function: Some(CalledFunction { name: Some(tool.to_owned()), arguments: Some(arguments) }),
        };
        let delta = Delta { tool_calls: Some(vec![call]), role: Some("assistant".to_owned()), ..Delta::default() };
        let mut chunk = self.clone();
        chunk.choices = vec![Choice { index: 0, delta, finish_reason: None, logprobs: None }];
        chunk
    }
}

/// A JSON value as an event for the client.
pub fn event(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("types of answers have text keys and cannot fail to serialize");
    format!("data: {json}\n\n")
}

/// What every stream begins with: when to come back should it break.
pub const BEGINNING: &str = "retry: 10000\n\n";

/// What every stream ends with.
pub const END: &str = "data: [DONE]\n\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn content(delta: &str) -> Option<String> {
        let text =
            format!(r#"{{"id":"x","choices":[{{"index":0,"delta":{delta}}}],"created":1,"model":"m","object":"o"}}"#);
        serde_json::from_str::<Chunk>(&text).expect("a chunk").choices[0].delta.content.clone()
    }

    #[test]
    fn contents_are_texts_or_their_parts() {
        assert_eq!(content("{}"), None);
        assert_eq!(content(r#"{"content":""}"#).as_deref(), Some(""));
        assert_eq!(content(r#"{"content":[{"type":"reference"},{"type":"text","text":"a"}]}"#).as_deref(), Some("a"));
        assert_eq!(content(r#"{"content":[{"type":"reference"}]}"#), None);
    }

    #[test]
    fn what_is_forwarded_has_every_field_in_its_place_and_no_other() {
        let sent =
            r#"{"object":"o","id":"x","z":1,"choices":[{"delta":{"content":"a"},"index":0}],"created":1,"model":"m"}"#;
        let chunk: Chunk = serde_json::from_str(sent).expect("a chunk");
        assert_eq!(
            event(&chunk),
            "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\",\"function_call\":null,\
             \"tool_calls\":null,\"role\":null,\"refusal\":null},\"finish_reason\":null,\"logprobs\":null}],\"created\":1,\
             \"model\":\"m\",\"service_tier\":null,\"system_fingerprint\":null,\"object\":\"o\",\"usage\":null}\n\n"
        );
    }
}
