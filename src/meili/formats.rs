//! The formats that documents come in: JSON, NDJSON and CSV, read one document at a time without copying.
//!
//! JSON and NDJSON are read by serde_json in one pass, as a node does: what is accepted here is accepted there. A document
//! is the slice of the body that holds it, and its top-level fields are slices too. CSV is turned into NDJSON first
//! ([`csv`]). Nothing here knows ids or shards.
//!
//! Limits: the depth of a value is not checked here (a node refuses documents deeper than 128 levels).

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{ApiError, Code};
use crate::logic::document_check::FIELDS_MAX;

pub mod csv;
pub mod list;
mod messages;

use messages::{NEITHER, Place};

/// How documents are written in a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DocumentFormat {
    /// An array of objects, or one object.
    Json,
    /// Objects one after the other.
    Ndjson,
    /// Lines with a header.
    Csv {
        /// Between two fields; ASCII.
        delimiter: u8,
    },
}

impl DocumentFormat {
    /// The word in error messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv { .. } => "csv",
        }
    }

    /// The error for a body without a byte.
    pub fn missing_payload(self) -> ApiError {
        ApiError::new(Code::MissingPayload, format!("A {} payload is missing.", self.name()))
    }

    /// The format of a request by its headers and query.
    ///
    /// # Errors
    /// `invalid_content_type`, `missing_content_type`.
    pub fn of_request(content_type: Option<&str>, csv_delimiter: Option<u8>) -> Result<Self, ApiError> {
        const ACCEPTED: &str = "`application/json`, `application/x-ndjson`, `text/csv`";
        let Some(content_type) = content_type else {
            let message = format!(
                "A Content-Type header is missing. Accepted values for the Content-Type header are: {ACCEPTED}"
            );
            return Err(ApiError::new(Code::MissingContentType, message));
        };
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let format = match essence.as_str() {
            "application/json" => Self::Json,
            "application/x-ndjson" => Self::Ndjson,
            "text/csv" => return Ok(Self::Csv { delimiter: csv_delimiter.unwrap_or(b',') }),
            _ => {
                let message = format!(
                    "The Content-Type `{essence}` is invalid. Accepted values for the Content-Type header are: {ACCEPTED}"
                );
                return Err(ApiError::new(Code::InvalidContentType, message));
            }
        };
        if csv_delimiter.is_some() {
            let message = format!(
                "The Content-Type `{essence}` does not support the use of a csv delimiter. The csv delimiter can only be \
                 used with the Content-Type `text/csv`."
            );
            return Err(ApiError::new(Code::InvalidContentType, message));
        }
        Ok(format)
    }
}

/// One top-level field of a document.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// Decoded.
    pub key: Cow<'a, str>,
    /// JSON text, without white space around it.
    pub value: &'a str,
}

/// Reads the documents of a JSON or NDJSON body. CSV bodies are converted first.
#[derive(Debug)]
pub struct DocumentReader<'a> {
    text: &'a str,
    position: usize,
    state: State,
    format: DocumentFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Start,
    InArray { is_first: bool },
    InStream,
    AfterSingle,
    Done,
}

impl<'a> DocumentReader<'a> {
    /// A reader at the start of a body.
    ///
    /// # Errors
    /// `missing_payload`, `malformed_payload` (not UTF-8).
    pub fn new(body: &'a [u8], format: DocumentFormat) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Err(format.missing_payload());
        }
        let text = std::str::from_utf8(body).map_err(|error| {
            let place = Place::of(&body[..error.valid_up_to()]);
            messages::malformed(format, &place.message("invalid unicode code point"))
        })?;
        let state = if format == DocumentFormat::Json { State::Start } else { State::InStream };
        Ok(Self { text, position: 0, state, format })
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The next document, from its `{` to its `}`, and its fields in `fields` (in order, duplicate keys included; what
    /// was in there is dropped). None at the end.
    ///
    /// # Errors
    /// `malformed_payload`; the reader must not be used after that.
    pub fn next_document(&mut self, fields: &mut Vec<Field<'a>>) -> Result<Option<&'a str>, ApiError> {
        fields.clear();
        self.skip_space();
        match self.state {
            State::Start => match self.peek() {
                Some(b'[') => {
                    self.position += 1;
                    self.state = State::InArray { is_first: true };
                    self.next_document(fields)
                }
                Some(b'{') => {
                    self.state = State::AfterSingle;
                    self.read_object(fields).map(Some)
                }
                Some(_) => Err(self.bad_value()),
                None => Err(self.malformed("EOF while parsing a value")),
            },
            State::InArray { is_first } => {
                if !self.enter_element(is_first)? {
                    self.state = State::Done;
                    return Ok(None);
                }
                self.state = State::InArray { is_first: false };
                self.read_object(fields).map(Some)
            }
            State::InStream if self.peek().is_some() => self.read_object(fields).map(Some),
            State::AfterSingle if self.peek().is_some() => Err(self.malformed("trailing characters")),
            // A node does not look behind the end of an array either.
            State::InStream | State::AfterSingle | State::Done => Ok(None),
        }
    }

    /// Goes to the next element of the array; false at its end.
    fn enter_element(&mut self, is_first: bool) -> Result<bool, ApiError> {
        match (self.peek(), is_first) {
            (Some(b']'), _) => return Ok(false),
            (Some(b','), false) => {
                self.position += 1;
                self.skip_space();
            }
            (Some(_), true) => {}
            (Some(_), false) => return Err(self.malformed("expected `,` or `]`")),
            (None, _) => return Err(self.malformed("EOF while parsing a list")),
        }
        match self.peek() {
            Some(b']') => Err(self.malformed("trailing comma")),
            Some(_) => Ok(true),
            None => Err(self.malformed("EOF while parsing a value")),
        }
    }

    fn read_object(&mut self, fields: &mut Vec<Field<'a>>) -> Result<&'a str, ApiError> {
        let start = self.position;
        if self.peek() != Some(b'{') {
            return Err(self.bad_value());
        }
        let mut deserializer = serde_json::Deserializer::from_str(&self.text[start..]);
        if let Err(error) = deserializer.deserialize_map(ReadFields(fields)) {
            return Err(messages::malformed(self.format, &Place::of(&self.text.as_bytes()[..start]).shift(&error)));
        }
        let length = deserializer.into_iter::<IgnoredAny>().byte_offset();
        self.position = start + length;
        Ok(&self.text[start..self.position])
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.position += 1;
        }
    }

    /// Something else than an object where a document must stand.
    fn bad_value(&self) -> ApiError {
        match self.peek() {
            Some(b'"' | b'[' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => messages::malformed(self.format, NEITHER),
            Some(_) | None => self.malformed("expected value"),
        }
    }

    fn malformed(&self, what: &str) -> ApiError {
        // A character that is wrong counts as read; the end of the text is no character.
        let end = (self.position + 1).min(self.text.len());
        messages::malformed(self.format, &Place::of(&self.text.as_bytes()[..end]).message(what))
    }
}

/// Collects the fields of one object.
struct ReadFields<'v, 'a>(&'v mut Vec<Field<'a>>);

impl<'a> Visitor<'a> for ReadFields<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(ReadKey)? {
            let value: &'a RawValue = map.next_value()?;
            // One more than there may be: it is refused for that.
            if self.0.len() <= FIELDS_MAX {
                self.0.push(Field { key, value: value.get() });
            }
        }
        Ok(())
    }
}

/// A key as a slice of the body, unless it holds escapes.
struct ReadKey;

impl<'a> DeserializeSeed<'a> for ReadKey {
    type Value = Cow<'a, str>;

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for ReadKey {
    type Value = Cow<'a, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string key")
    }

    fn visit_borrowed_str<E>(self, key: &'a str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

#[cfg(test)]
mod tests;
