//! The body of `POST /swap-indexes`.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

use super::bad_value::{missing_field, parse_json, unexpected, unknown_field, wrong_type};
use super::error::{ApiError, Code};
use super::index::check_index_uid;

const FIELDS: [&str; 2] = ["indexes", "rename"];

/// The pairs of names, with whether the second one is new.
///
/// # Errors
/// `invalid_swap_...`, `missing_swap_indexes`, `bad_request`, `malformed_payload`.
pub fn parse_swaps(body: &[u8]) -> Result<Vec<(String, String, bool)>, ApiError> {
    let value = parse_json(body)?;
    let Value::Array(elements) = &value else { return Err(wrong_type(Code::BadRequest, "", "an array", &value)) };
    let mut read = Vec::new();
    for (place, element) in elements.iter().enumerate() {
        let location = format!("[{place}]");
        let Value::Object(fields) = element else {
            return Err(wrong_type(Code::BadRequest, &location, "an object", element));
        };
        read.push(read_swap(fields, &location)?);
    }
    read.into_iter().map(pair).collect()
}

fn read_swap(fields: &Map<String, Value>, location: &str) -> Result<(Vec<String>, bool), ApiError> {
    let mut indexes = None;
    let mut is_rename = false;
    for (key, value) in fields {
        match key.as_str() {
            "indexes" => indexes = Some(read_indexes(value, &format!("{location}.indexes"))?),
            "rename" => {
                let refused = || wrong_type(Code::InvalidSwapRename, &format!("{location}.rename"), "a boolean", value);
                is_rename = value.as_bool().ok_or_else(refused)?;
            }
            other => return Err(unknown_field(Code::BadRequest, location, other, &FIELDS)),
        }
    }
    let indexes = indexes.ok_or_else(|| missing_field(Code::MissingSwapIndexes, location, "indexes"))?;
    Ok((indexes, is_rename))
}

fn read_indexes(value: &Value, location: &str) -> Result<Vec<String>, ApiError> {
    let Value::Array(elements) = value else {
        return Err(wrong_type(Code::InvalidSwapIndexes, location, "an array", value));
    };
    let read = |(place, element): (usize, &Value)| {
        let location = format!("{location}[{place}]");
        let Value::String(uid) = element else {
            return Err(wrong_type(Code::InvalidSwapIndexes, &location, "a string", element));
        };
        check_index_uid(uid).map_err(|error| unexpected(Code::InvalidSwapIndexes, &location, &error.message))?;
        Ok(uid.clone())
    };
    elements.iter().enumerate().map(read).collect()
}

fn pair((indexes, is_rename): (Vec<String>, bool)) -> Result<(String, String, bool), ApiError> {
    let count = indexes.len();
    <[String; 2]>::try_from(indexes).map(|[left, right]| (left, right, is_rename)).map_err(|indexes| {
        let message = format!(
            "Two indexes must be given for each swap. The list `{}` contains {count} indexes.",
            Value::from(indexes).to_string().replace("\",\"", "\", \"")
        );
        ApiError::new(Code::InvalidSwapIndexes, message)
    })
}

/// Every name may occur once.
///
/// # Errors
/// `invalid_swap_duplicate_index_found`.
pub fn refuse_duplicates(swaps: &[(String, String, bool)]) -> Result<(), ApiError> {
    let mut seen = HashSet::new();
    let names = swaps.iter().flat_map(|(left, right, _)| [left, right]);
    let repeated: BTreeSet<&String> = names.filter(|name| !seen.insert(*name)).collect();
    let verb = match repeated.len() {
        0 => return Ok(()),
        1 => "was",
        _ => "were",
    };
    let listed = repeated.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let message = format!("Indexes must be declared only once during a swap. {listed} {verb} specified several times.");
    Err(ApiError::new(Code::InvalidSwapDuplicateIndexFound, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read() {
        let body = br#"[{"indexes":["a","b"]},{"indexes":["c","d"],"rename":true}]"#;
        let pair = |left: &str, right: &str, is_rename| (left.to_owned(), right.to_owned(), is_rename);
        assert_eq!(parse_swaps(body), Ok(vec![pair("a", "b", false), pair("c", "d", true)]));
        assert_eq!(parse_swaps(b"[]"), Ok(vec![]));
    }

    #[test]
    fn what_is_no_swap_is_refused_in_meilisearchs_words() {
        for (body, code, message) in [
            (r#""doggo""#, Code::BadRequest, "Invalid value type: expected an array, but found a string: `\"doggo\"`"),
            (
                r#"["doggo"]"#,
                Code::BadRequest,
                "Invalid value type at `[0]`: expected an object, but found a string: `\"doggo\"`",
            ),
            (
                r#"[{"indexes":"doggo"}]"#,
                Code::InvalidSwapIndexes,
                "Invalid value type at `[0].indexes`: expected an array, but found a string: `\"doggo\"`",
            ),
            (
                r#"[{"indexes":["doggo","crabo","croco"]}]"#,
                Code::InvalidSwapIndexes,
                "Two indexes must be given for each swap. The list `[\"doggo\", \"crabo\", \"croco\"]` contains 3 indexes.",
            ),
            (
                r#"[{"indexes":["a","b"],"rename":"hello"}]"#,
                Code::InvalidSwapRename,
                "Invalid value type at `[0].rename`: expected a boolean, but found a string: `\"hello\"`",
            ),
            ("[{}]", Code::MissingSwapIndexes, "Missing field `indexes` inside `[0]`"),
            (
                r#"[{"indexes":["a","b"]},{"indexes":["c","a"]}]"#,
                Code::InvalidSwapDuplicateIndexFound,
                "Indexes must be declared only once during a swap. `a` was specified several times.",
            ),
            (
                r#"[{"indexes":["a","b"]},{"indexes":["b","a"]}]"#,
                Code::InvalidSwapDuplicateIndexFound,
                "Indexes must be declared only once during a swap. `a`, `b` were specified several times.",
            ),
        ] {
            let parsed = parse_swaps(body.as_bytes());
            let error = parsed.and_then(|swaps| refuse_duplicates(&swaps)).expect_err(body);
            assert_eq!((error.code, error.message.as_str()), (code, message));
        }
    }
}
