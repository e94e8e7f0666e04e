//! Exports: what a client asks for, what its task shows of it, and what it fails with where the destination refuses.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use byte_unit::{Byte, UnitType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::bad_value::{parse_json, unexpected, unknown_field, wrong_type};
use super::error::{ApiError, Code, ErrorBody};
use super::features::Features;
use super::filter::check_of_documents;
use super::keys::IndexPattern;
use super::secret::shown_secret;

const FIELDS: [&str; 4] = ["url", "apiKey", "payloadSize", "indexes"];
const INDEX_FIELDS: [&str; 2] = ["filter", "overrideSettings"];

/// What is sent where.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// Of the server that gets it, as the client wrote it.
    pub url: String,
    /// What that server wants to be shown.
    pub api_key: Option<String>,
    /// Bytes of documents in one request.
    pub payload_size: Option<u64>,
    /// Which indexes; for each the first pattern counts that matches its name.
    pub indexes: BTreeMap<IndexPattern, IndexExport>,
}

/// What is sent of the indexes of a pattern.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct IndexExport {
    /// Which documents, as the client sent it; none: all.
    pub filter: Option<Value>,
    /// Settings and primary key are sent to an index that is there, too.
    pub overrides_settings: bool,
}

/// Without the key, and without the URL, which may have one in it.
impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("indexes", &self.indexes).finish_non_exhaustive()
    }
}

impl Export {
    /// A request body.
    ///
    /// # Errors
    /// Those of one server for what is wrong first.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let body = parse_json(body)?;
        let fields = body.as_object().ok_or_else(|| wrong_type(Code::BadRequest, "", "an object", &body))?;
        let mut export = Self { url: String::new(), api_key: None, payload_size: None, indexes: all_indexes() };
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("url", value) => export.url = text(value, Code::InvalidExportUrl, ".url")?,
                ("apiKey" | "payloadSize" | "indexes", Value::Null) => {}
                ("apiKey", value) => export.api_key = Some(text(value, Code::InvalidExportApiKey, ".apiKey")?),
                ("payloadSize", value) => export.payload_size = Some(read_size(value)?),
                ("indexes", value) => export.indexes = read_indexes(value)?,
                (other, _) => return Err(unknown_field(Code::BadRequest, "", other, &FIELDS)),
            }
        }
        Ok(export)
    }

    /// What is sent of this index, if anything is.
    pub fn of_index(&self, uid: &str) -> Option<&IndexExport> {
        self.indexes.iter().find(|(pattern, _)| pattern.matches(uid)).map(|(_, export)| export)
    }

    /// The details of its task; once it has succeeded by the indexes that were sent, with the number of their documents.
    pub fn details<'a>(&self, sent: Option<impl Iterator<Item = (&'a str, u64)>>) -> Value {
        let indexes: Map<String, Value> = match sent {
            Some(sent) => {
                let shown = |(uid, documents): (&str, u64)| {
                    let mut shown = self.of_index(uid).cloned().unwrap_or_default().shown();
                    // One server writes this one otherwise than all others.
                    shown["matched_documents"] = json!(documents);
                    (uid.to_owned(), shown)
                };
                sent.map(shown).collect()
            }
            None => {
                self.indexes.iter().map(|(pattern, export)| (pattern.as_str().to_owned(), export.shown())).collect()
            }
        };
        let mut details = json!({ "url": self.url });
        if let Some(key) = &self.api_key {
            details["apiKey"] = shown_secret(key).into();
        }
        if let Some(size) = self.payload_size {
            details["payloadSize"] = Byte::from_u64(size).get_appropriate_unit(UnitType::Both).to_string().into();
        }
        details["indexes"] = indexes.into();
        details
    }
}

impl IndexExport {
    fn shown(&self) -> Value {
        json!({ "filter": self.filter, "overrideSettings": self.overrides_settings })
    }

    /// The filter for an index, unless it says nothing.
    ///
    /// # Errors
    /// Those of [`check_of_documents`].
    pub fn filter(&self, uid: &str, features: Features) -> Result<Option<&Value>, ApiError> {
        let Some(filter) = &self.filter else { return Ok(None) };
        let says_anything = check_of_documents(filter, features, &format!("Index `{uid}`: "))?;
        Ok(says_anything.then_some(filter))
    }
}

/// A task fails with this if the destination has answered with an error.
pub fn refused_by_destination(error: &ErrorBody) -> ErrorBody {
    let ErrorBody { message, code, kind, link } = error;
    let message = format!("Failed to export documents to remote server {code} ({kind}): {message} <{link}>");
    ApiError::new(Code::Internal, message).body()
}

fn all_indexes() -> BTreeMap<IndexPattern, IndexExport> {
    BTreeMap::from([(IndexPattern::new("*"), IndexExport::default())])
}

fn text(value: &Value, code: Code, location: &str) -> Result<String, ApiError> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong_type(code, location, "a string", value))
}

fn read_size(value: &Value) -> Result<u64, ApiError> {
    const LOCATION: &str = ".payloadSize";
    let code = Code::InvalidExportPayloadSize;
    match (value.as_u64(), value) {
        (Some(bytes), _) => Ok(bytes),
        // The library makes characters of these by hand, and wrong ones: undefined behaviour.
        (None, Value::String(text)) => match text.trim().chars().find(|letter| !letter.is_ascii()) {
            Some(letter) => Err(unexpected(code, LOCATION, &format!("the character {letter:?} is not a number"))),
            None => Byte::from_str(text)
                .map(byte_unit::Byte::as_u64)
                .map_err(|error| unexpected(code, LOCATION, &error.to_string())),
        },
        (None, _) => Err(wrong_type(code, LOCATION, "a positive integer or a string", value)),
    }
}

fn read_indexes(value: &Value) -> Result<BTreeMap<IndexPattern, IndexExport>, ApiError> {
    const LOCATION: &str = ".indexes";
    let indexes = value.as_object().ok_or_else(|| wrong_type(Code::BadRequest, LOCATION, "an object", value))?;
    let read = |(pattern, export): (&String, &Value)| {
        let key = IndexPattern::parse(pattern).map_err(|_| {
            let kind = "meilisearch_types::index_uid_pattern::IndexUidPattern";
            let reason = format!("the key \"{pattern}\" could not be deserialized into the key type `{kind}`");
            unexpected(Code::BadRequest, LOCATION, &reason)
        })?;
        Ok((key, read_index(export, &format!("{LOCATION}.{pattern}"))?))
    };
    indexes.iter().map(read).collect()
}

fn read_index(value: &Value, location: &str) -> Result<IndexExport, ApiError> {
    let fields = value.as_object().ok_or_else(|| wrong_type(Code::BadRequest, location, "an object", value))?;
    let mut export = IndexExport::default();
    for (name, value) in fields {
        match name.as_str() {
            "filter" => export.filter = Some(value.clone()).filter(|filter| !filter.is_null()),
            "overrideSettings" => {
                let location = format!("{location}.overrideSettings");
                let code = Code::InvalidExportIndexOverrideSettings;
                export.overrides_settings =
                    value.as_bool().ok_or_else(|| wrong_type(code, &location, "a boolean", value))?;
            }
            other => return Err(unknown_field(Code::BadRequest, location, other, &INDEX_FIELDS)),
        }
    }
    Ok(export)
}

#[cfg(test)]
mod tests;
