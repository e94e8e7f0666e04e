//! What makes a document bad, checked before the entry is journalled, so that one bad document fails the whole entry
//! here as it does on one server, with the same words.
//!
//! Checked: the id (see [`super::primary_key`]), the shape of `_vectors`, and that every value can be read to its depths
//! ([`check_readable`]). Not checked: what depends on the settings in force when the entry's turn comes, which are not
//! known yet: `_geo`, `_geojson`, dimensions of vectors. There the nodes decide.

use serde_json::{Map, Value};

use super::json::{ValueCount, Walked};
use crate::meili::error::{ApiError, Code};
use crate::meili::formats::Field;

/// Why a document, and with it its entry, is refused. Texts are JSON where a message quotes a value.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants say what they mean; their texts are in `message`")]
pub enum DocumentError {
    NoPrimaryKeyCandidate,
    SeveralPrimaryKeyCandidates { count: usize, first: String, second: String },
    PrimaryKeyCannotChange { current: String },
    InvalidId { value: String },
    MissingId { primary_key: String, document: String },
    TooManyIds { primary_key: String, document: String },
    Vectors { message: String },
    Unreadable { reason: String },
    TooManyFields,
}

/// Fields of a document that an index can tell apart.
pub const FIELDS_MAX: usize = 65_535;

/// Values that `_vectors` of one document may hold: they are read in one go.
const VECTOR_VALUES_MAX: u64 = 1_000_000;

/// Bytes of a value that is quoted whole.
const QUOTED_MAX: usize = 64 * 1024;

/// A value as Meilisearch quotes it: parsed and written again. Of a long one the beginning: parsed it would be many times as
/// long, and the message stays in the journal.
fn quoted(json: &str) -> String {
    if json.len() > QUOTED_MAX {
        return format!("{}…", &json[..json.floor_char_boundary(QUOTED_MAX)]);
    }
    serde_json::from_str::<Value>(json).map_or_else(|_| json.to_owned(), |value| value.to_string())
}

impl DocumentError {
    /// The value is no id.
    pub fn invalid_id(value: &str) -> Self {
        Self::InvalidId { value: quoted(value) }
    }

    /// The document has no id.
    pub fn missing_id(primary_key: &str, document: &str) -> Self {
        Self::MissingId { primary_key: primary_key.to_owned(), document: quoted(document) }
    }

    /// The document has several.
    pub fn too_many_ids(primary_key: &str, document: &str) -> Self {
        Self::TooManyIds { primary_key: primary_key.to_owned(), document: quoted(document) }
    }

    /// As the task shows it; `index` is the client's name of the index.
    pub fn api_error(&self, index: &str) -> ApiError {
        let message = match self {
            // A server finds these while it indexes, and says where.
            Self::Vectors { .. } | Self::Unreadable { .. } => {
                format!("Index `{index}`: {}", self.message())
            }
            Self::NoPrimaryKeyCandidate
            | Self::SeveralPrimaryKeyCandidates { .. }
            | Self::PrimaryKeyCannotChange { .. }
            | Self::InvalidId { .. }
            | Self::MissingId { .. }
            | Self::TooManyIds { .. }
            | Self::TooManyFields => self.message(),
        };
        ApiError::new(self.code(), message)
    }

    fn code(&self) -> Code {
        match self {
            Self::NoPrimaryKeyCandidate => Code::IndexPrimaryKeyNoCandidateFound,
            Self::SeveralPrimaryKeyCandidates { .. } => Code::IndexPrimaryKeyMultipleCandidatesFound,
            Self::PrimaryKeyCannotChange { .. } => Code::IndexPrimaryKeyAlreadyExists,
            Self::InvalidId { .. } | Self::TooManyIds { .. } => Code::InvalidDocumentId,
            Self::MissingId { .. } => Code::MissingDocumentId,
            Self::Vectors { .. } => Code::InvalidVectorsType,
            // So says one server.
            Self::Unreadable { .. } => Code::Internal,
            Self::TooManyFields => Code::MaxFieldsLimitExceeded,
        }
    }

    fn message(&self) -> String {
        const SPECIFY: &str = "Please specify the primary key manually using the `primaryKey` query parameter.";
        match self {
            Self::NoPrimaryKeyCandidate => format!(
                "The primary key inference failed as the engine did not find any field ending with `id` in its name. {SPECIFY}"
            ),
            Self::SeveralPrimaryKeyCandidates { count, first, second } => format!(
                "The primary key inference failed as the engine found {count} fields ending with `id` in their names: \
                 '{first}' and '{second}'. {SPECIFY}"
            ),
            Self::PrimaryKeyCannotChange { current } => format!("Index already has a primary key: `{current}`."),
            Self::InvalidId { value } => format!(
                "Document identifier `{value}` is invalid. A document identifier can be of type integer or string, only \
                 composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores (_), and can not be more \
                 than 511 bytes."
            ),
            Self::MissingId { primary_key, document } => {
                format!("Document doesn't have a `{primary_key}` attribute: `{document}`.")
            }
            Self::TooManyIds { primary_key, document } => {
                format!("Document have too many matching `{primary_key}` attribute: `{document}`.")
            }
            Self::Vectors { message } => message.clone(),
            Self::Unreadable { reason } => format!("internal: {reason}."),
            Self::TooManyFields => "A document cannot contain more than 65,535 fields.".to_owned(),
        }
    }
}

/// Checks that every value can be read to its depths. A node takes a document in without looking into its values, and fails
/// when it indexes it: on numbers beyond any float, halves of surrogate pairs, more than 127 levels. To a node that is an
/// internal error and no verdict, so such a document must not get there.
///
/// # Errors
/// As one server.
pub fn check_readable(document: &str, fields: &[Field<'_>]) -> Result<(), DocumentError> {
    if !may_be_unreadable(document.as_bytes()) {
        return Ok(());
    }
    for field in fields {
        serde_json::from_str::<Walked>(field.value)
            .map_err(|error| DocumentError::Unreadable { reason: error.to_string() })?;
    }
    Ok(())
}

/// Brackets that a document may hold before its depth is looked at.
const BRACKETS_MAX: usize = 100;
/// Digits in a row that a number may have before it is looked at; with an exponent of two digits some 200 are too many.
const DIGITS_MAX: usize = 64;

/// Quick, and never wrongly false: the documents that it lets through need no second parse.
fn may_be_unreadable(document: &[u8]) -> bool {
    if memchr::memchr2_iter(b'{', b'[', document).nth(BRACKETS_MAX).is_some() {
        return true;
    }
    let is_digit = |at: usize| document.get(at).is_some_and(u8::is_ascii_digit);
    // `\ud800`: an escape of the surrogate range.
    let has_surrogate = memchr::memchr_iter(b'\\', document)
        .any(|at| matches!(document.get(at + 1..at + 3), Some([b'u', b'd' | b'D'])));
    // `1e400`: an exponent of three digits or more.
    let has_exponent = memchr::memchr2_iter(b'e', b'E', document).any(|at| {
        let digits = at + 1 + usize::from(matches!(document.get(at + 1), Some(b'+' | b'-')));
        at > 0 && is_digit(at - 1) && is_digit(digits) && is_digit(digits + 1) && is_digit(digits + 2)
    });
    // So many digits in a row cannot be missed in such steps.
    let has_long_number = (DIGITS_MAX..document.len()).step_by(DIGITS_MAX).any(|at| {
        is_digit(at) && document[at - DIGITS_MAX / 2..at].iter().all(u8::is_ascii_digit)
            || is_digit(at) && document[at..].iter().take(DIGITS_MAX / 2).all(u8::is_ascii_digit)
    });
    has_surrogate || has_exponent || has_long_number
}

/// Checks the shape of the value of `_vectors`: an object with, for each embedder, an array, `null`, or an object with
/// `regenerate` and perhaps `embeddings`.
///
/// # Errors
/// As a node, whatever embedders it has.
pub fn check_vectors(id: &str, json: &str) -> Result<(), DocumentError> {
    let vectors = |message: String| Err(DocumentError::Vectors { message });
    // A value is two bytes at least, with its comma.
    if json.len() as u64 > 2 * VECTOR_VALUES_MAX {
        let mut count = ValueCount::default();
        count.push(json.as_bytes());
        if count.values() > VECTOR_VALUES_MAX {
            let message = format!(
                "The `_vectors` field in the document with id: `{id}` holds more than {VECTOR_VALUES_MAX} values."
            );
            return vectors(message);
        }
    }
    let embedders = match serde_json::from_str(json) {
        Ok(Value::Object(embedders)) => embedders,
        Ok(value) => {
            return vectors(format!(
                "The `_vectors` field in the document with id: `{id}` is not an object. Was expecting an object with a key \
                 for each embedder with manually provided vectors, but instead got `{value}`"
            ));
        }
        Err(_) => return Ok(()),
    };
    for (name, value) in &embedders {
        if let Err(reason) = check_embedder_vectors(name, value) {
            return vectors(format!("Bad embedder configuration in the document with id: `{id}`. {reason}"));
        }
    }
    Ok(())
}

fn check_embedder_vectors(name: &str, value: &Value) -> Result<(), String> {
    let (kind, shown) = match value {
        Value::Null | Value::Array(_) => return Ok(()),
        Value::Object(fields) => return check_explicit_vectors(name, fields),
        Value::Bool(value) => ("boolean", value.to_string()),
        Value::Number(value) if value.is_f64() => ("number", value.to_string()),
        Value::Number(value) => ("integer", value.to_string()),
        Value::String(value) => ("string", value.clone()),
    };
    Err(format!(
        "Expected `._vectors.{name}` to be an array of floats, an array of arrays of floats, or an object with at least the \
         field `regenerate`, but got the {kind} `{shown}`"
    ))
}

fn check_explicit_vectors(name: &str, fields: &Map<String, Value>) -> Result<(), String> {
    for (key, value) in fields {
        match key.as_str() {
            "regenerate" if value.is_boolean() => {}
            "regenerate" => {
                return Err(format!(
                    "Could not parse `._vectors.{name}.regenerate`: expected a boolean, got `{value}`"
                ));
            }
            "embeddings" => {}
            _ => {
                return Err(format!(
                    "Unexpected field `._vectors.{name}.{key}`\n  - note: the allowed fields are `regenerate` and `embeddings`"
                ));
            }
        }
    }
    if fields.contains_key("regenerate") {
        Ok(())
    } else {
        Err(format!(
            "Missing field `._vectors.{name}.regenerate`\n  - note: `._vectors.{name}` must be an array of floats, an array \
             of arrays of floats, or an object with field `regenerate`"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_no_node_can_read_are_refused() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for (value, reason) in [
            ("1e308".to_owned(), None),
            ("1e-999".to_owned(), None),
            ("\"1e999 {[{[\"".to_owned(), None),
            (r#""\ud83d\ude00""#.to_owned(), None),
            (format!("{}.5", "9".repeat(300)), None),
            (deep(127), None),
            ("1e999".to_owned(), Some("number out of range at line 1 column 5")),
            ("[0.5E+1234]".to_owned(), Some("number out of range at line 1 column 10")),
            ("9".repeat(400), Some("number out of range at line 1 column 400")),
            (r#""\ud800""#.to_owned(), Some("unexpected end of hex escape at line 1 column 8")),
            (deep(128), Some("recursion limit exceeded at line 1 column 128")),
        ] {
            let document = format!("{{\"id\":1,\"a\":{value}}}");
            let fields = [Field { key: "id".into(), value: "1" }, Field { key: "a".into(), value: &value }];
            let message = check_readable(&document, &fields).err().map(|error| error.api_error("i").message);
            assert_eq!(message, reason.map(|reason| format!("Index `i`: internal: {reason}.")), "{value}");
        }
    }

    #[test]
    fn the_quick_look_misses_nothing() {
        proptest::proptest!(|(value in r#"(\[{0,3})("[a-zA-Z0-9\\ud83e+-]{0,8}"|-?[1-9][0-9]{0,330}(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,4})?)(\]{0,3})"#)| {
            let Ok(raw) = serde_json::from_str::<&serde_json::value::RawValue>(&value) else { return Ok(()) };
            let is_readable = serde_json::from_str::<Value>(raw.get()).is_ok();
            let document = format!("{{\"id\":1,\"a\":{value}}}");
            let fields = [Field { key: "a".into(), value: raw.get() }];
            proptest::prop_assert_eq!(check_readable(&document, &fields).is_ok(), is_readable, "{}", value);
        });
    }

    #[test]
    fn vectors_must_have_their_shape() {
        for (json, is_good) in [
            ("{}", true),
            (r#"{"a":[1,2],"b":null,"c":{"regenerate":true}}"#, true),
            (r#"{"a":{"regenerate":false,"embeddings":[[1]]}}"#, true),
            ("5", false),
            ("null", false),
            (r#"{"a":"x"}"#, false),
            (r#"{"a":{"embeddings":[1]}}"#, false),
            (r#"{"a":{"regenerate":1}}"#, false),
            (r#"{"a":{"regenerate":true,"more":1}}"#, false),
        ] {
            assert_eq!(check_vectors("1", json).is_ok(), is_good, "{json}");
        }
    }
}
