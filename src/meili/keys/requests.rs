//! Requests about keys, checked as Meilisearch 1.50 checks them.

use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime};
use uuid::Uuid;

use super::{Action, ApiKey, IndexPattern};
use crate::logic::ids::Timestamp;
use crate::meili::bad_value::{missing_field, parse_json, unexpected, unknown_field, unknown_value, wrong_type};
use crate::meili::dates::date_of;
use crate::meili::error::{ApiError, Code};
use crate::meili::query_string::QueryString;

/// `POST /keys`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateKey {
    description: Option<String>,
    name: Option<String>,
    /// None: to be made.
    pub uid: Option<Uuid>,
    actions: Vec<Action>,
    indexes: Vec<IndexPattern>,
    expires_at: Option<OffsetDateTime>,
}

impl CreateKey {
    /// Reads the body.
    ///
    /// # Errors
    /// `invalid_api_key_...`, `missing_api_key_...`, `bad_request`, `index_scoped_api_key_with_global_action`.
    pub fn parse(body: &[u8], now: Timestamp) -> Result<Self, ApiError> {
        const FIELDS: [&str; 6] = ["description", "name", "uid", "actions", "indexes", "expiresAt"];
        let (mut description, mut name, mut uid) = (None, None, None);
        let (mut actions, mut indexes, mut expires_at) = (None, None, None);
        for (key, value) in &object(body)? {
            match key.as_str() {
                "description" => description = read_text(value, ".description", Code::InvalidApiKeyDescription)?,
                "name" => name = read_text(value, ".name", Code::InvalidApiKeyName)?,
                "uid" => uid = Some(read_uid(value)?),
                "actions" => actions = Some(read_list(value, ".actions", Code::InvalidApiKeyActions, read_action)?),
                "indexes" => indexes = Some(read_list(value, ".indexes", Code::InvalidApiKeyIndexes, read_pattern)?),
                "expiresAt" => expires_at = Some(read_end(value, now)?),
                other => return Err(unknown_field(Code::BadRequest, "", other, &FIELDS)),
            }
        }
        let missing = |code, name| missing_field(code, "", name);
        let actions = actions.ok_or_else(|| missing(Code::MissingApiKeyActions, "actions"))?;
        let indexes = indexes.ok_or_else(|| missing(Code::MissingApiKeyIndexes, "indexes"))?;
        let expires_at = expires_at.ok_or_else(|| missing(Code::MissingApiKeyExpiresAt, "expiresAt"))?;
        let request = Self { description, name, uid, actions, indexes, expires_at };
        request.check_scope().map(|()| request)
    }

    /// What concerns the whole server is not for a key of some indexes.
    fn check_scope(&self) -> Result<(), ApiError> {
        if self.indexes.is_empty() || self.indexes.iter().any(IndexPattern::is_all) {
            return Ok(());
        }
        let Some(action) = self.actions.iter().find(|action| action.scope() == super::Scope::Server) else {
            return Ok(());
        };
        let action = format!("\"{}\"", action.name());
        let message = format!(
            "cannot create index-scoped API key with global action `{action}`\n  - Hint: remove action `{action}` from the \
             action list, or remove `indexes` to make the key global"
        );
        Err(ApiError::new(Code::IndexScopedApiKeyWithGlobalAction, message))
    }

    /// The key, with its uid, as of now.
    pub fn into_key(self, uid: Uuid, now: Timestamp) -> ApiKey {
        let Self { description, name, uid: _, actions, indexes, expires_at } = self;
        let (created_at, updated_at) = (date_of(now), date_of(now));
        ApiKey { description, name, uid, actions, indexes, expires_at, created_at, updated_at }
    }
}

/// What becomes of a text: nothing, none, another one.
type TextChange = Option<Option<String>>;

/// `PATCH /keys/{key}`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PatchKey {
    description: TextChange,
    name: TextChange,
}

impl PatchKey {
    /// Reads the body.
    ///
    /// # Errors
    /// `invalid_api_key_...`, `immutable_api_key_...`, `bad_request`.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        const FIELDS: [&str; 2] = ["description", "name"];
        let mut patch = Self::default();
        for (key, value) in &object(body)? {
            let immutable =
                |code| ApiError::new(code, format!("Immutable field `{key}`: expected one of `description`, `name`"));
            match key.as_str() {
                "description" => {
                    patch.description = Some(read_text(value, ".description", Code::InvalidApiKeyDescription)?);
                }
                "name" => patch.name = Some(read_text(value, ".name", Code::InvalidApiKeyName)?),
                "uid" => return Err(immutable(Code::ImmutableApiKeyUid)),
                "actions" => return Err(immutable(Code::ImmutableApiKeyActions)),
                "indexes" => return Err(immutable(Code::ImmutableApiKeyIndexes)),
                "expiresAt" => return Err(immutable(Code::ImmutableApiKeyExpiresAt)),
                "createdAt" => return Err(immutable(Code::ImmutableApiKeyCreatedAt)),
                "updatedAt" => return Err(immutable(Code::ImmutableApiKeyUpdatedAt)),
                other => return Err(unknown_field(Code::BadRequest, "", other, &FIELDS)),
            }
        }
        Ok(patch)
    }

    /// Changes the key, now.
    pub fn apply(self, key: &mut ApiKey, now: Timestamp) {
        if let Some(description) = self.description {
            key.description = description;
        }
        if let Some(name) = self.name {
            key.name = name;
        }
        key.updated_at = date_of(now);
    }
}

/// `offset` and `limit` of `GET /keys`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyPaging {
    /// Keys to skip.
    pub offset: usize,
    /// Keys to show.
    pub limit: usize,
}

impl KeyPaging {
    /// Reads the query string.
    ///
    /// # Errors
    /// `invalid_api_key_offset`, `invalid_api_key_limit`, `bad_request`.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        const LIMIT_DEFAULT: usize = 20;
        let query = QueryString::parse(query, &["offset", "limit"])?;
        let offset = query.number("offset", Code::InvalidApiKeyOffset)?.unwrap_or(0);
        let limit = query.number("limit", Code::InvalidApiKeyLimit)?.unwrap_or(LIMIT_DEFAULT);
        Ok(Self { offset, limit })
    }
}

/// `api_key_not_found`, for a uid or a value.
pub fn key_not_found(name: &str) -> ApiError {
    ApiError::new(Code::ApiKeyNotFound, format!("API key `{name}` not found."))
}

fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match parse_json(body)? {
        Value::Object(fields) => Ok(fields),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(wrong_type(Code::BadRequest, "", "an object", &other))
        }
    }
}

fn text<'a>(value: &'a Value, location: &str, code: Code) -> Result<&'a str, ApiError> {
    value.as_str().ok_or_else(|| wrong_type(code, location, "a string", value))
}

fn read_text(value: &Value, location: &str, code: Code) -> Result<Option<String>, ApiError> {
    if value.is_null() { Ok(None) } else { text(value, location, code).map(|text| Some(text.to_owned())) }
}

fn read_uid(value: &Value) -> Result<Uuid, ApiError> {
    let code = Code::InvalidApiKeyUid;
    text(value, ".uid", code)?.parse().map_err(|error: uuid::Error| unexpected(code, ".uid", &error.to_string()))
}

fn read_list<T>(
    value: &Value,
    location: &str,
    code: Code,
    read: impl Fn(&str, &str) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    let Value::Array(items) = value else { return Err(wrong_type(code, location, "an array", value)) };
    let item = |(place, item): (usize, &Value)| {
        let location = format!("{location}[{place}]");
        read(text(item, &location, code)?, &location)
    };
    items.iter().enumerate().map(item).collect()
}

fn read_action(name: &str, location: &str) -> Result<Action, ApiError> {
    Action::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
        unknown_value(Code::InvalidApiKeyActions, location, name, &names)
    })
}

fn read_pattern(text: &str, location: &str) -> Result<IndexPattern, ApiError> {
    IndexPattern::parse(text).map_err(|reason| unexpected(Code::InvalidApiKeyIndexes, location, &reason))
}

/// A date in the future, or none.
fn read_end(value: &Value, now: Timestamp) -> Result<Option<OffsetDateTime>, ApiError> {
    const LOCATION: &str = ".expiresAt";
    let code = Code::InvalidApiKeyExpiresAt;
    let Some(text) = read_text(value, LOCATION, code)? else { return Ok(None) };
    let end = date(&text).filter(|end| *end > date_of(now));
    end.map(Some).ok_or_else(|| {
        let reason = format!(
            "`{text}` is not a valid date. It should follow the RFC 3339 format to represents a date or datetime in the \
             future or specified as a null value. e.g. 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'.\n"
        );
        unexpected(code, LOCATION, &reason)
    })
}

/// RFC 3339, or the same without an offset, or without a time: UTC.
fn date(text: &str) -> Option<OffsetDateTime> {
    let without_offset = || {
        let with_letter =
            format_description!("[year repr:full base:calendar]-[month repr:numerical]-[day]T[hour]:[minute]:[second]");
        let with_space =
            format_description!("[year repr:full base:calendar]-[month repr:numerical]-[day] [hour]:[minute]:[second]");
        let time = PrimitiveDateTime::parse(text, with_letter);
        time.or_else(|_| PrimitiveDateTime::parse(text, with_space)).ok().map(PrimitiveDateTime::assume_utc)
    };
    let day = || {
        let form = format_description!("[year repr:full base:calendar]-[month repr:numerical]-[day]");
        Date::parse(text, form).ok().map(|day| day.midnight().assume_utc())
    };
    OffsetDateTime::parse(text, &Rfc3339).ok().or_else(without_offset).or_else(day)
}

#[cfg(test)]
mod tests;
