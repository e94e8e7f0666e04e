//! JSON bodies, read with the errors that Meilisearch gives.

use serde_json::error::Category;
use serde_json::{Map, Value};

use crate::devnode::http::Request;
use crate::meili::error::{ApiError, Code};

/// The body, which says that it is JSON.
///
/// # Errors
/// `missing_content_type`, `invalid_content_type`.
pub fn bytes(request: Request) -> Result<Vec<u8>, ApiError> {
    let accepted = "Accepted values for the Content-Type header are: `application/json`";
    let Some(content_type) = &request.content_type else {
        let message = format!("A Content-Type header is missing. {accepted}");
        return Err(ApiError::new(Code::MissingContentType, message));
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence != "application/json" && !essence.ends_with("+json") {
        let message = format!("The Content-Type `{content_type}` is invalid. {accepted}");
        return Err(ApiError::new(Code::InvalidContentType, message));
    }
    request.body
}

/// The body as JSON.
///
/// # Errors
/// `missing_content_type`, `invalid_content_type`, `missing_payload`, `malformed_payload`.
pub fn json(request: Request) -> Result<Value, ApiError> {
    let body = bytes(request)?;
    if body.is_empty() {
        return Err(ApiError::new(Code::MissingPayload, "A json payload is missing."));
    }
    serde_json::from_slice(&body).map_err(|error| match error.classify() {
        Category::Syntax | Category::Eof => {
            ApiError::new(Code::MalformedPayload, format!("The json payload provided is malformed. `{error}`."))
        }
        Category::Data | Category::Io => ApiError::new(Code::BadRequest, format!("Json deserialize error: {error}")),
    })
}

/// The body as a JSON object.
///
/// # Errors
/// Those of [`json`], `bad_request` for another kind of value.
pub fn object(request: Request) -> Result<Map<String, Value>, ApiError> {
    let value = json(request)?;
    if let Value::Object(object) = value {
        return Ok(object);
    }
    Err(wrong_type(Code::BadRequest, "", "an object", &value))
}

/// Refuses keys that a route does not know.
///
/// # Errors
/// `bad_request`.
pub fn known_fields(object: &Map<String, Value>, names: &[&str]) -> Result<(), ApiError> {
    for name in object.keys() {
        if !names.contains(&name.as_str()) {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            let message = format!("Unknown field `{name}`: expected one of {}", names.join(", "));
            return Err(ApiError::new(Code::BadRequest, message));
        }
    }
    Ok(())
}

/// The error for a value of the wrong kind at a place like `.uid`.
pub fn wrong_type(code: Code, place: &str, expected: &str, found: &Value) -> ApiError {
    let kind = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_u64() => "a positive integer",
        Value::Number(number) if number.is_i64() => "a negative integer",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    let place = if place.is_empty() { String::new() } else { format!(" at `{place}`") };
    let found = if found.is_null() { kind.to_owned() } else { format!("{kind}: `{found}`") };
    ApiError::new(code, format!("Invalid value type{place}: expected {expected}, but found {found}"))
}

/// A text at a top-level key; `None` when it is absent or null.
///
/// # Errors
/// `code` for another kind of value.
pub fn text(object: &Map<String, Value>, name: &str, code: Code) -> Result<Option<String>, ApiError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong_type(code, &format!(".{name}"), "a string", other)),
    }
}

/// A whole number at a top-level key; `None` when it is absent.
///
/// # Errors
/// `code` for another kind of value.
pub fn number(object: &Map<String, Value>, name: &str, code: Code) -> Result<Option<usize>, ApiError> {
    let Some(value) = object.get(name) else { return Ok(None) };
    match value.as_u64() {
        Some(number) => Ok(Some(usize::try_from(number).unwrap_or(usize::MAX))),
        None => Err(wrong_type(code, &format!(".{name}"), "a positive integer", value)),
    }
}

/// A list of texts at a top-level key; `None` when it is absent or null.
///
/// # Errors
/// `code` for another kind of value.
pub fn texts(object: &Map<String, Value>, name: &str, code: Code) -> Result<Option<Vec<String>>, ApiError> {
    let items = match object.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(wrong_type(code, &format!(".{name}"), "an array", other)),
    };
    let read = |(position, item): (usize, &Value)| {
        let wrong = || wrong_type(code, &format!(".{name}[{position}]"), "a string", item);
        item.as_str().map(str::to_owned).ok_or_else(wrong)
    };
    items.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
}
