//! The key of a request. For now there is one key, the master key, which allows everything.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};

use crate::meili::error::{ApiError, Code};

/// Whether the request carries the master key; anything goes when there is none.
///
/// # Errors
/// `missing_authorization_header`, `invalid_api_key`.
pub(super) fn check(master_key: Option<&str>, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(master_key) = master_key else { return Ok(()) };
    let header = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let Some((b"Bearer", key)) = header.and_then(|value| value.split_at_checked(6)) else {
        let message = "The Authorization header is missing. It must use the bearer authorization method.";
        return Err(ApiError::new(Code::MissingAuthorizationHeader, message));
    };
    if is_equal(key.strip_prefix(b" ").unwrap_or_default(), master_key.as_bytes()) {
        return Ok(());
    }
    Err(ApiError::new(Code::InvalidApiKey, "The provided API key is invalid."))
}

/// Compares in a time that does not tell how much of the text is right.
fn is_equal(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = u8::from(given.len() != expected.len());
    for (place, &byte) in expected.iter().enumerate() {
        difference |= byte ^ given.get(place).copied().unwrap_or(0);
    }
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_of_the_key_may_pass() {
        let code = |header: Option<&'static str>| {
            let headers = header.map(|value| (AUTHORIZATION, HeaderValue::from_static(value))).into_iter().collect();
            check(Some("key"), &headers).map_err(|error| error.code)
        };
        assert_eq!(code(Some("Bearer key")), Ok(()));
        for header in [None, Some(""), Some("key"), Some("Basic key"), Some("bearer key")] {
            assert_eq!(code(header), Err(Code::MissingAuthorizationHeader), "{header:?}");
        }
        for header in [Some("Bearer"), Some("Bearer "), Some("Bearer ke"), Some("Bearer key2"), Some("Bearer  key")] {
            assert_eq!(code(header), Err(Code::InvalidApiKey), "{header:?}");
        }
        assert_eq!(check(None, &HeaderMap::new()), Ok(()));
    }
}
