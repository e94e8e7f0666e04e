//! What Meilisearch says about a JSON body or a query string with a wrong value in it.
//!
//! Only the words: which code goes with which field is the caller's business. A location is a path as Meilisearch writes
//! it (`.typoTolerance.enabled`, `.ids[3]`), empty for the whole body.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{ApiError, Code};

fn at(location: &str) -> String {
    if location.is_empty() { String::new() } else { format!(" at `{location}`") }
}

fn inside(location: &str) -> String {
    if location.is_empty() { String::new() } else { format!(" inside `{location}`") }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn hint(name: &str, allowed: &[&str]) -> String {
    near(name, allowed).map_or_else(String::new, |name| format!("did you mean `{name}`? "))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_u64() => "a positive integer",
        Value::Number(number) if number.is_i64() => "a negative integer",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A value of another type; `accepted` with its article, `an array` for example.
pub fn wrong_type(code: Code, location: &str, accepted: &str, value: &Value) -> ApiError {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            format!("{}: `{value}`", kind(value))
        }
    };
    ApiError::new(code, format!("Invalid value type{}: expected {accepted}, but found {found}", at(location)))
}

/// A value of the right type that will not do.
pub fn unexpected(code: Code, location: &str, reason: &str) -> ApiError {
    ApiError::new(code, format!("Invalid value{}: {reason}", at(location)))
}

/// A text that is none of those allowed.
pub fn unknown_value(code: Code, location: &str, value: &str, allowed: &[&str]) -> ApiError {
    ApiError::new(
        code,
        format!("Unknown value `{value}`{}: {}expected one of {}", at(location), hint(value, allowed), listed(allowed)),
    )
}

/// A field that is none of those allowed.
pub fn unknown_field(code: Code, location: &str, field: &str, allowed: &[&str]) -> ApiError {
    ApiError::new(
        code,
        format!(
            "Unknown field `{field}`{}: {}expected one of {}",
            inside(location),
            hint(field, allowed),
            listed(allowed)
        ),
    )
}

/// A field that must be there.
pub fn missing_field(code: Code, location: &str, field: &str) -> ApiError {
    ApiError::new(code, format!("Missing field `{field}`{}", inside(location)))
}

/// A query parameter that is none of those allowed.
pub fn unknown_parameter(code: Code, name: &str, allowed: &[&str]) -> ApiError {
    ApiError::new(
        code,
        format!("Unknown parameter `{name}`: {}expected one of {}", hint(name, allowed), listed(allowed)),
    )
}

/// A query parameter with a text that is none of those allowed.
pub fn unknown_parameter_value(code: Code, name: &str, value: &str, allowed: &[&str]) -> ApiError {
    let hint = hint(value, allowed);
    let message = format!("Unknown value `{value}` for parameter `{name}`: {hint}expected one of {}", listed(allowed));
    ApiError::new(code, message)
}

/// A query parameter with a value that will not do.
pub fn bad_parameter(code: Code, name: &str, reason: &str) -> ApiError {
    ApiError::new(code, format!("Invalid value in parameter `{name}`: {reason}"))
}

/// A body that must be JSON: parsed.
///
/// # Errors
/// `missing_payload`, `malformed_payload`.
pub fn parse_json(body: &[u8]) -> Result<Value, ApiError> {
    read_json(body)
}

/// A body that must be JSON, as any type that can be read from all of it.
///
/// # Errors
/// As [`parse_json`].
pub fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if body.is_empty() {
        return Err(ApiError::new(Code::MissingPayload, "A json payload is missing."));
    }
    serde_json::from_slice(body).map_err(|error| {
        ApiError::new(Code::MalformedPayload, format!("The json payload provided is malformed. `{error}`."))
    })
}

/// The allowed name that was probably meant; the longer a name, the more changes away it may be.
fn near<'a>(name: &str, allowed: &[&'a str]) -> Option<&'a str> {
    let changes_max = match name.len() {
        0..=3 => return None,
        4..=7 => 1,
        8..=12 => 2,
        13..=17 => 3,
        18..=24 => 4,
        _ => 5,
    };
    let distances = allowed.iter().map(|candidate| (changes_between(name, candidate), *candidate));
    distances.filter(|(changes, _)| *changes <= changes_max).min_by_key(|(changes, _)| *changes).map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other.
fn changes_between(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(64).collect();
    let right: Vec<char> = right.chars().collect();
    let mut before = vec![0; right.len() + 1];
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for row in 1..=left.len() {
        let mut current = vec![row; right.len() + 1];
        for column in 1..=right.len() {
            let differs = usize::from(left[row - 1] != right[column - 1]);
            current[column] = (previous[column] + 1).min(current[column - 1] + 1).min(previous[column - 1] + differs);
            let is_swap =
                row > 1 && column > 1 && left[row - 1] == right[column - 2] && left[row - 2] == right[column - 1];
            if is_swap {
                current[column] = current[column].min(before[column - 2] + 1);
            }
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_read_as_meilisearch_writes_them() {
        for (error, expected) in [
            (
                wrong_type(Code::BadRequest, "", "an object", &json!([])),
                "Invalid value type: expected an object, but found an array: `[]`",
            ),
            (
                wrong_type(Code::BadRequest, ".a[0]", "a string", &json!(-1)),
                "Invalid value type at `.a[0]`: expected a string, but found a negative integer: `-1`",
            ),
            (
                unknown_value(Code::BadRequest, ".a", "x", &["y", "z"]),
                "Unknown value `x` at `.a`: expected one of `y`, `z`",
            ),
            (
                unknown_field(Code::BadRequest, ".a", "far", &["facet", "other"]),
                "Unknown field `far` inside `.a`: expected one of `facet`, `other`",
            ),
            (
                unknown_field(Code::BadRequest, "", "limitt", &["limit", "from"]),
                "Unknown field `limitt`: did you mean `limit`? expected one of `limit`, `from`",
            ),
            (missing_field(Code::BadRequest, "", "uid"), "Missing field `uid`"),
        ] {
            assert_eq!(error.message, expected);
        }
    }

    #[test]
    fn changes_are_counted() {
        for (left, right, changes) in [("abc", "abc", 0), ("acb", "abc", 1), ("", "ab", 2), ("kitten", "sitting", 3)] {
            assert_eq!(changes_between(left, right), changes, "{left} {right}");
        }
    }
}
