//! Query strings, read with the errors that Meilisearch gives.

use percent_encoding::percent_decode_str;

use crate::meili::error::{ApiError, Code};

/// One percent-decoded path segment.
pub fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn decode_parameter(text: &str) -> String {
    decode(&text.replace('+', " "))
}

/// The parameters of a request; of duplicates the last counts.
pub struct Params(Vec<(String, String)>);

fn invalid(code: Code, name: &str, reason: impl std::fmt::Display) -> ApiError {
    ApiError::new(code, format!("Invalid value in parameter `{name}`: {reason}"))
}

impl Params {
    /// Reads a query string in which only `names` may occur.
    ///
    /// # Errors
    /// `bad_request` for any other parameter.
    pub fn parse(query: &str, names: &[&str]) -> Result<Self, ApiError> {
        let mut parameters = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode_parameter(name);
            if !names.contains(&name.as_str()) {
                let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
                let message = format!("Unknown parameter `{name}`: expected one of {}", names.join(", "));
                return Err(ApiError::new(Code::BadRequest, message));
            }
            parameters.push((name, decode_parameter(value)));
        }
        Ok(Self(parameters))
    }

    /// The text of a parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rfind(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }

    /// A whole number.
    pub fn number(&self, name: &str, code: Code) -> Result<Option<u64>, ApiError> {
        self.text(name).map(|text| parse_number(text, name, code)).transpose()
    }

    /// `true` or `false`.
    pub fn boolean(&self, name: &str, code: Code) -> Result<Option<bool>, ApiError> {
        let parse = |text: &str| {
            let reason = || format!("could not parse `{text}` as a boolean, expected either `true` or `false`");
            text.parse().map_err(|_| invalid(code, name, reason()))
        };
        self.text(name).map(parse).transpose()
    }

    /// Comma-separated texts; absent or with a `*` there is no restriction.
    pub fn list(&self, name: &str) -> Option<Vec<&str>> {
        let items: Vec<&str> = self.text(name)?.split(',').filter(|item| !item.is_empty()).collect();
        (!items.contains(&"*")).then_some(items)
    }
}

fn parse_number(text: &str, name: &str, code: Code) -> Result<u64, ApiError> {
    text.parse().map_err(|_| invalid(code, name, format!("could not parse `{text}` as a positive integer")))
}

/// Longest name of an index. The message says 512, Meilisearch refuses more than this.
const UID_BYTES_MAX: usize = 400;

/// Checks the name of an index.
///
/// # Errors
/// `invalid_index_uid`.
pub fn check_uid(uid: &str) -> Result<&str, ApiError> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '_';
    if uid.is_empty() || uid.len() > UID_BYTES_MAX || !uid.chars().all(allowed) {
        return Err(ApiError::new(Code::InvalidIndexUid, invalid_uid(uid)));
    }
    Ok(uid)
}

/// Why a name is no index uid.
pub fn invalid_uid(uid: &str) -> String {
    format!(
        "`{uid}` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric \
         characters, hyphens (-) and underscores (_), and can not be more than 512 bytes."
    )
}
