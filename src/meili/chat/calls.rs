//! The calls of a model, which come in pieces among what it says.

use std::collections::BTreeMap;

use super::chunk::{CalledTool, Chunk};
use super::completion::{FunctionCall, ToolCall};
use super::tools::SEARCH;

/// Bytes of the arguments of all calls of one answer.
const ARGUMENTS_MAX: usize = 1024 * 1024;

/// What is to be done about a chunk.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// It goes to the client.
    Forward,
    /// It was a piece of a call.
    Nothing,
    /// The calls before it are complete; it goes nowhere.
    Answer(Vec<ToolCall>),
    /// The answer is complete.
    End,
}

/// The pieces that have come up to now.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Calls {
    /// None for a function that is not ours.
    by_number: BTreeMap<u32, Option<ToolCall>>,
    bytes: usize,
    /// Why the model stopped, as far as it said.
    finish_reason: Option<String>,
}

impl Calls {
    /// Looks at a chunk.
    pub fn push(&mut self, chunk: &Chunk) -> Step {
        let Some(choice) = chunk.choices.first() else { return Step::End };
        self.finish_reason.clone_from(&choice.finish_reason);
        match &choice.delta.tool_calls {
            Some(pieces) => {
                for piece in pieces {
                    self.push_piece(piece);
                }
                Step::Nothing
            }
            None if self.by_number.is_empty() => Step::Forward,
            None => Step::Answer(self.take()),
        }
    }

    fn push_piece(&mut self, piece: &CalledTool) {
        let function = piece.function.as_ref();
        let arguments = function.and_then(|function| function.arguments.as_deref()).unwrap_or_default();
        self.bytes += arguments.len();
        // What is cut is no JSON, and the model is told so.
        let arguments = if self.bytes > ARGUMENTS_MAX { "" } else { arguments };
        let name = function.and_then(|function| function.name.as_deref());
        let is_ours = name == Some(SEARCH);
        let call = self.by_number.entry(piece.index).or_insert_with(|| {
            is_ours.then(|| ToolCall {
                id: piece.id.clone().unwrap_or_default(),
                r#type: Some("function".to_owned()),
                function: FunctionCall { name: SEARCH.to_owned(), arguments: String::new() },
            })
        });
        if let Some(call) = call {
            call.function.arguments.push_str(arguments);
        }
    }

    /// The model wants to go on when its calls are answered.
    pub fn goes_on(&self) -> bool {
        self.finish_reason.as_deref() == Some("tool_calls")
    }

    /// Calls that were not followed by anything, when the answer is over.
    pub fn rest(&mut self) -> Option<Vec<ToolCall>> {
        (self.goes_on() && !self.by_number.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> Vec<ToolCall> {
        self.bytes = 0;
        std::mem::take(&mut self.by_number).into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn chunk(delta: &Value, finish_reason: Option<&str>) -> Chunk {
        let chunk = json!({
            "id": "x", "created": 1, "model": "m", "object": "o",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        });
        serde_json::from_value(chunk).expect("a chunk")
    }

    fn piece(index: u32, name: Option<&str>, arguments: &str) -> Value {
        let id = name.map(|_| format!("call-{index}"));
        json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]})
    }

    #[test]
    fn calls_are_put_together_and_those_of_others_left_out() {
        let mut calls = Calls::default();
        assert_eq!(calls.push(&chunk(&json!({"content": "a"}), None)), Step::Forward);
        for delta in
            [piece(1, Some(SEARCH), "{\"q\""), piece(0, Some("other"), "x"), piece(1, None, ":1}"), piece(0, None, "y")]
        {
            assert_eq!(calls.push(&chunk(&delta, None)), Step::Nothing);
        }
        let Step::Answer(complete) = calls.push(&chunk(&json!({}), Some("tool_calls"))) else { panic!("calls") };
        assert!(calls.goes_on() && calls.rest().is_none());
        assert_eq!((complete.len(), complete[0].id.as_str()), (1, "call-1"));
        assert_eq!(complete[0].function.arguments, "{\"q\":1}");
        assert_eq!(calls.push(&Chunk { choices: Vec::new(), ..chunk(&json!({}), None) }), Step::End);
    }

    #[test]
    fn calls_at_the_very_end_are_not_lost() {
        let mut calls = Calls::default();
        assert_eq!(calls.push(&chunk(&piece(0, Some(SEARCH), "{}"), Some("tool_calls"))), Step::Nothing);
        assert_eq!(calls.rest().map(|calls| calls.len()), Some(1));
    }
}
