//! What is said about a body that cannot be read: Meilisearch's words, serde_json's reasons.

use super::DocumentFormat;
use crate::meili::error::{ApiError, Code};

/// The reason for anything but objects.
pub(super) const NEITHER: &str = "data are neither an object nor a list of objects";

/// `malformed_payload` for a reason; a long one is cut in the middle.
pub(super) fn malformed(format: DocumentFormat, reason: &str) -> ApiError {
    let message = format!(
        "The `{}` payload provided is malformed. `Couldn't serialize document value: {}`.",
        format.name(),
        shorten(reason)
    );
    ApiError::new(Code::MalformedPayload, message)
}

fn shorten(reason: &str) -> String {
    const HEAD: usize = 50;
    const TAIL: usize = 85;
    if reason.len() <= HEAD + TAIL + 3 {
        return reason.to_owned();
    }
    let head = (0..=HEAD).rev().find(|&at| reason.is_char_boundary(at)).unwrap_or(0);
    let tail = (reason.len() - TAIL..=reason.len()).find(|&at| reason.is_char_boundary(at)).unwrap_or(reason.len());
    format!("{}...{}", &reason[..head], &reason[tail..])
}

/// A place in a body, counted as serde_json counts.
pub(super) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    /// The place behind these bytes.
    pub(super) fn of(before: &[u8]) -> Self {
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        Self { line, column: before.len() - line_start }
    }

    /// A reason at this place.
    pub(super) fn message(&self, what: &str) -> String {
        format!("{what} at line {} column {}", self.line, self.column)
    }

    /// An error of a parser that started at this place.
    pub(super) fn shift(&self, error: &serde_json::Error) -> String {
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or(&text);
        let column = if error.line() == 1 { self.column + error.column() } else { error.column() };
        Self { line: self.line + error.line().max(1) - 1, column }.message(what)
    }
}
