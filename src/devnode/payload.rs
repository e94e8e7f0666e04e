//! Bodies of document routes: JSON, NDJSON and CSV, checked when they come and read again by their batch.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::engine::Document;
use crate::meili::error::{ApiError, Code};

/// How a body is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// `application/json`: an array of objects or one object.
    Json,
    /// `application/x-ndjson`: objects one after the other.
    Ndjson,
    /// `text/csv` with this delimiter.
    Csv(u8),
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv(_) => "csv",
        }
    }
}

/// An object of which nothing is kept.
struct AnyObject;

impl<'de> Deserialize<'de> for AnyObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = AnyObject;
            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyObject, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(AnyObject)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The number of objects in an array.
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Objects;
        impl<'de> Visitor<'de> for Objects {
            type Value = Count;
            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a nonempty sequence")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while objects.next_element::<AnyObject>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        deserializer.deserialize_seq(Objects)
    }
}

/// Checks a body; its bytes as they are to be kept (CSV becomes NDJSON) and the number of documents in it.
///
/// # Errors
/// `missing_payload`, `malformed_payload`, `internal` for elements that are no objects (as Meilisearch answers).
pub fn check(body: Vec<u8>, format: Format) -> Result<(Vec<u8>, u64), ApiError> {
    if body.is_empty() {
        let message = format!("A {} payload is missing.", format.name());
        return Err(ApiError::new(Code::MissingPayload, message));
    }
    match format {
        Format::Json => {
            let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
            let count = if first == Some(&b'[') {
                read_array::<Count>(&body).map_err(|error| element_error(&error, format))?.0
            } else {
                serde_json::from_slice::<AnyObject>(&body).map_err(|error| malformed(&error, format))?;
                1
            };
            Ok((body, count))
        }
        Format::Ndjson => {
            let mut count = 0;
            for object in serde_json::Deserializer::from_slice(&body).into_iter::<AnyObject>() {
                object.map_err(|error| element_error(&error, format))?;
                count += 1;
            }
            Ok((body, count))
        }
        Format::Csv(delimiter) => from_csv(&body, delimiter),
    }
}

/// What is behind the end of an array is not looked at.
fn read_array<'de, T: Deserialize<'de>>(body: &'de [u8]) -> serde_json::Result<T> {
    T::deserialize(&mut serde_json::Deserializer::from_slice(body))
}

fn element_error(error: &serde_json::Error, format: Format) -> ApiError {
    if error.classify() == Category::Data {
        return ApiError::new(Code::Internal, error.to_string());
    }
    malformed(error, format)
}

fn malformed(error: &serde_json::Error, format: Format) -> ApiError {
    let mut reason = match error.classify() {
        Category::Data => "data are neither an object nor a list of objects".to_owned(),
        Category::Io | Category::Syntax | Category::Eof => error.to_string(),
    };
    // The reason may quote the client's text, which may be long.
    let (start, end) = (50, 85);
    if reason.len() > start + end + 3 && reason.is_ascii() {
        reason.replace_range(start..reason.len() - end, "...");
    }
    let message = format!(
        "The `{}` payload provided is malformed. `Couldn't serialize document value: {reason}`.",
        format.name()
    );
    ApiError::new(Code::MalformedPayload, message)
}

fn malformed_csv(reason: impl fmt::Display) -> ApiError {
    ApiError::new(Code::MalformedPayload, format!("The `csv` payload provided is malformed: `{reason}`."))
}

#[derive(Clone, Copy)]
enum ColumnType {
    Text,
    Boolean,
    Number,
}

fn column(header: &str) -> (String, ColumnType) {
    // Only the last separator counts, and only before a known type.
    let (name, kind) = match header.rsplit_once(':') {
        Some((name, "string")) => (name, ColumnType::Text),
        Some((name, "boolean")) => (name, ColumnType::Boolean),
        Some((name, "number")) => (name, ColumnType::Number),
        Some(_) | None => (header, ColumnType::Text),
    };
    (name.to_owned(), kind)
}

fn cell(value: &str, kind: ColumnType, line: u64) -> Result<Value, ApiError> {
    let trimmed = value.trim();
    match kind {
        ColumnType::Text if value.is_empty() => Ok(Value::Null),
        ColumnType::Text => Ok(Value::from(value)),
        ColumnType::Boolean | ColumnType::Number if trimmed.is_empty() => Ok(Value::Null),
        ColumnType::Boolean => trimmed
            .parse::<bool>()
            .map(Value::from)
            .map_err(|error| malformed_csv(format!("Error parsing boolean \"{value}\" at line {line}: {error}"))),
        ColumnType::Number => match trimmed.parse::<i64>() {
            Ok(integer) => Ok(Value::from(integer)),
            Err(_) => trimmed
                .parse::<f64>()
                .map(Value::from)
                .map_err(|error| malformed_csv(format!("Error parsing number \"{value}\" at line {line}: {error}"))),
        },
    }
}

fn from_csv(body: &[u8], delimiter: u8) -> Result<(Vec<u8>, u64), ApiError> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(body);
    let columns: Vec<_> = reader.headers().map_err(malformed_csv)?.iter().map(column).collect();
    let mut ndjson = Vec::with_capacity(body.len() * 2);
    let mut count = 0;
    for record in reader.records() {
        let record = record.map_err(malformed_csv)?;
        count += 1;
        let mut object = Map::new();
        for ((name, kind), value) in columns.iter().zip(&record) {
            object.insert(name.clone(), cell(value, *kind, count)?);
        }
        serde_json::to_writer(&mut ndjson, &object).expect("plain values with text keys serialize");
        ndjson.push(b'\n');
    }
    Ok((ndjson, count))
}

/// The documents of a body that [`check`] let pass.
///
/// # Errors
/// `internal`: something only a full reading finds, a lone surrogate for example.
pub fn documents(body: &[u8]) -> Result<Vec<Document>, ApiError> {
    let internal = |error: serde_json::Error| ApiError::new(Code::Internal, error.to_string());
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return read_array(body).map_err(internal);
    }
    serde_json::Deserializer::from_slice(body).into_iter().collect::<Result<_, _>>().map_err(internal)
}
