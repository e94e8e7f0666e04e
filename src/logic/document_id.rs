//! What a document id may be, and its canonical text.
//!
//! The rule is Meilisearch's: an integer from `i64::MIN` to `u64::MAX` in its plain decimal form, or a string of 1 to
//! 511 bytes of `[A-Za-z0-9_-]`; nothing is trimmed. The canonical id is the text that Meilisearch itself uses, so the
//! number `1` and the string `"1"` are one document, while `"01"` is another. Everything that hashes or compares ids
//! uses this text.

use std::borrow::Cow;

/// The longest id, in bytes.
pub const DOCUMENT_ID_BYTES_MAX: usize = 511;

/// The value is no document id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a valid document identifier")]
pub struct InvalidDocumentId;

/// Whether a text is a valid id.
pub fn is_valid_document_id(text: &str) -> bool {
    (1..=DOCUMENT_ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// The canonical id of a JSON value, given as its JSON text without surrounding white space: `12`, `"a-b"`. Borrows
/// unless the string holds escapes.
pub fn canonical_id(json: &str) -> Result<Cow<'_, str>, InvalidDocumentId> {
    let bytes = json.as_bytes();
    match bytes.first() {
        Some(b'"') if bytes.len() >= 2 && bytes.last() == Some(&b'"') => {
            let inner = &json[1..json.len() - 1];
            let id = if inner.contains('\\') {
                Cow::Owned(serde_json::from_str::<String>(json).map_err(|_| InvalidDocumentId)?)
            } else {
                Cow::Borrowed(inner)
            };
            if is_valid_document_id(&id) { Ok(id) } else { Err(InvalidDocumentId) }
        }
        Some(b'-' | b'0'..=b'9') if is_plain_integer(json) => Ok(Cow::Borrowed(json)),
        Some(_) | None => Err(InvalidDocumentId),
    }
}

/// `-0`, fractions, exponents and numbers beyond 64 bits are floats for Meilisearch, hence no ids.
fn is_plain_integer(json: &str) -> bool {
    let has_form = match json.strip_prefix('-') {
        Some(digits) => !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => (json == "0" || !json.starts_with('0')) && json.bytes().all(|byte| byte.is_ascii_digit()),
    };
    // Most ids are short: no need to parse them.
    has_form && (json.len() < 19 || json.parse::<u64>().is_ok() || json.parse::<i64>().is_ok()) && json != "-"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_ids_have_the_text_that_meilisearch_uses() {
        for (json, id) in [
            ("1", "1"),
            ("0", "0"),
            ("-7", "-7"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            (r#""1""#, "1"),
            (r#""01""#, "01"),
            (r#""a_B-9""#, "a_B-9"),
            (r#""\u0061b""#, "ab"),
        ] {
            assert_eq!(canonical_id(json).as_deref(), Ok(id), "{json}");
        }
        let longest = format!("\"{}\"", "x".repeat(511));
        assert!(canonical_id(&longest).is_ok());
    }

    #[test]
    fn invalid_ids_are_refused() {
        for json in [
            "",
            "-",
            "-0",
            "1.0",
            "1e2",
            "1E2",
            "01",
            "-01",
            "18446744073709551616",
            "-9223372036854775809",
            "null",
            "true",
            "[]",
            "{}",
            r#""""#,
            r#"" 1""#,
            r#""1 ""#,
            r#""a.b""#,
            r#""é""#,
            r#""\n""#,
            "\"",
        ] {
            assert_eq!(canonical_id(json), Err(InvalidDocumentId), "{json}");
        }
        assert!(canonical_id(&format!("\"{}\"", "x".repeat(512))).is_err());
    }

    #[test]
    fn every_integer_that_serde_json_keeps_as_an_integer_is_an_id() {
        proptest::proptest!(|(value in "-?[0-9]{1,21}")| {
            let parsed = serde_json::from_str::<serde_json::Value>(&value).ok();
            let expected = parsed.filter(|value| value.is_i64() || value.is_u64()).map(|value| value.to_string());
            proptest::prop_assert_eq!(canonical_id(&value).ok().map(Cow::into_owned), expected);
        });
    }
}
