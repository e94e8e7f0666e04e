//! Requests about indexes: names, bodies, paging.

use serde::Serialize;
use serde_json::{Map, Value};

use super::bad_value::{missing_field, parse_json, unexpected, unknown_field, wrong_type};
use super::error::{ApiError, Code};
use super::query_string::QueryString;
use crate::logic::marker;

/// Longest name of an index in bytes. (One server says 512 and means 400.)
const INDEX_UID_BYTES_MAX: usize = 400;

/// A name of an index, checked.
///
/// # Errors
/// `invalid_index_uid`.
pub fn check_index_uid(text: &str) -> Result<&str, ApiError> {
    let is_valid = !text.is_empty()
        && text.len() <= INDEX_UID_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if is_valid {
        return Ok(text);
    }
    let message = format!(
        "`{text}` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric characters, \
         hyphens (-) and underscores (_), and can not be more than 512 bytes."
    );
    Err(ApiError::new(Code::InvalidIndexUid, message))
}

/// `POST /indexes`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateIndex {
    /// Its name.
    pub uid: String,
    /// Its primary key, if given.
    pub primary_key: Option<String>,
}

impl CreateIndex {
    /// Reads the body.
    ///
    /// # Errors
    /// `missing_index_uid`, `invalid_index_uid`, `invalid_index_primary_key`, `bad_request`.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        const FIELDS: [&str; 2] = ["uid", "primaryKey"];
        let fields = object(body)?;
        let mut uid = None;
        let mut primary_key = None;
        for (key, value) in &fields {
            match key.as_str() {
                "uid" => uid = Some(required_text(value, ".uid", Code::InvalidIndexUid)?),
                "primaryKey" => primary_key = read_primary_key(value)?,
                other => return Err(unknown_field(Code::BadRequest, "", other, &FIELDS)),
            }
        }
        let uid = uid.ok_or_else(|| missing_field(Code::MissingIndexUid, "", "uid"))?;
        check_index_uid(uid).map_err(|error| unexpected(error.code, ".uid", &error.message))?;
        Ok(Self { uid: uid.to_owned(), primary_key })
    }
}

/// `PATCH /indexes/{uid}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateIndex {
    /// Its new primary key.
    pub primary_key: Option<String>,
    /// Its new name.
    pub uid: Option<String>,
}

impl UpdateIndex {
    /// Reads the body.
    ///
    /// # Errors
    /// `invalid_index_uid`, `invalid_index_primary_key`, `immutable_index_...`, `bad_request`.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        const FIELDS: [&str; 2] = ["primaryKey", "uid"];
        let fields = object(body)?;
        let mut update = Self { primary_key: None, uid: None };
        for (key, value) in &fields {
            let immutable =
                |code| ApiError::new(code, format!("Immutable field `{key}`: expected one of `primaryKey`, `uid`"));
            match key.as_str() {
                "primaryKey" => update.primary_key = read_primary_key(value)?,
                "uid" if value.is_null() => update.uid = None,
                "uid" => {
                    // Without its place, as on one server.
                    update.uid =
                        Some(check_index_uid(required_text(value, ".uid", Code::InvalidIndexUid)?)?.to_owned());
                }
                "createdAt" => return Err(immutable(Code::ImmutableIndexCreatedAt)),
                "updatedAt" => return Err(immutable(Code::ImmutableIndexUpdatedAt)),
                other => return Err(unknown_field(Code::BadRequest, "", other, &FIELDS)),
            }
        }
        Ok(update)
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match parse_json(body)? {
        Value::Object(fields) => Ok(fields),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(wrong_type(Code::BadRequest, "", "an object", &other))
        }
    }
}

fn required_text<'a>(value: &'a Value, location: &str, code: Code) -> Result<&'a str, ApiError> {
    value.as_str().ok_or_else(|| wrong_type(code, location, "a string", value))
}

fn read_primary_key(value: &Value) -> Result<Option<String>, ApiError> {
    if value.is_null() {
        return Ok(None);
    }
    let text = required_text(value, ".primaryKey", Code::InvalidIndexPrimaryKey)?;
    check_primary_key(text).map(|()| Some(text.to_owned()))
}

/// A primary key may not be Miroir's own field.
///
/// # Errors
/// `miroir_reserved_field`.
pub fn check_primary_key(text: &str) -> Result<(), ApiError> {
    if marker::is_reserved(text) {
        let message = "The attribute `_miroir` is reserved and cannot be a primary key.";
        return Err(ApiError::new(Code::MiroirReservedField, message));
    }
    Ok(())
}

/// `offset` and `limit` of `GET /indexes`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexPaging {
    /// Indexes to skip.
    pub offset: usize,
    /// Indexes to show.
    pub limit: usize,
}

impl IndexPaging {
    /// Reads the query string.
    ///
    /// # Errors
    /// `invalid_index_offset`, `invalid_index_limit`, `bad_request`.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        const LIMIT_DEFAULT: usize = 20;
        let query = QueryString::parse(query, &["offset", "limit"])?;
        let offset = query.number("offset", Code::InvalidIndexOffset)?.unwrap_or(0);
        let limit = query.number("limit", Code::InvalidIndexLimit)?.unwrap_or(LIMIT_DEFAULT);
        Ok(Self { offset, limit })
    }
}

/// One index, as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexShown {
    /// The client's name.
    pub uid: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// None until it is known.
    pub primary_key: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_checked_in_meilisearchs_words() {
        for (body, code, message) in [
            ("{}", Code::MissingIndexUid, "Missing field `uid`"),
            (
                r#"{"uid":5}"#,
                Code::InvalidIndexUid,
                "Invalid value type at `.uid`: expected a string, but found a positive integer: `5`",
            ),
            (
                r#"{"uid":null}"#,
                Code::InvalidIndexUid,
                "Invalid value type at `.uid`: expected a string, but found null",
            ),
            (
                r#"{"uid":""}"#,
                Code::InvalidIndexUid,
                "Invalid value at `.uid`: `` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric characters, hyphens (-) and underscores (_), and can not be more than 512 bytes.",
            ),
            (
                r#"{"uid":"a","primarykey":1}"#,
                Code::BadRequest,
                "Unknown field `primarykey`: did you mean `primaryKey`? expected one of `uid`, `primaryKey`",
            ),
            (
                r#"{"uid":"a","primaryKey":"_miroir"}"#,
                Code::MiroirReservedField,
                "The attribute `_miroir` is reserved and cannot be a primary key.",
            ),
            (
                "x",
                Code::MalformedPayload,
                "The json payload provided is malformed. `expected value at line 1 column 1`.",
            ),
            ("", Code::MissingPayload, "A json payload is missing."),
        ] {
            let error = CreateIndex::parse(body.as_bytes()).expect_err(body);
            assert_eq!((error.code, error.message.as_str()), (code, message));
        }
        let update = |body: &str| UpdateIndex::parse(body.as_bytes()).map_err(|error| error.code);
        assert_eq!(update(r#"{"createdAt":"x"}"#), Err(Code::ImmutableIndexCreatedAt));
        assert_eq!(update("{}"), Ok(UpdateIndex { primary_key: None, uid: None }));
        assert_eq!(
            update(r#"{"primaryKey":"k","uid":"b"}"#),
            Ok(UpdateIndex { primary_key: Some("k".into()), uid: Some("b".into()) })
        );
    }
}
