//! The elements of a JSON array one at a time, so that a long one can be read in turns.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::logic::json::Walked;
use crate::meili::bad_value::read_json;
use crate::meili::error::{ApiError, Code};

/// See the module.
#[derive(Debug)]
pub struct ListReader<'a> {
    body: &'a [u8],
    position: usize,
    is_inside: bool,
}

impl<'a> ListReader<'a> {
    /// A reader at the start of a body.
    pub fn new(body: &'a [u8]) -> Self {
        Self { body, position: 0, is_inside: false }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The next element, an empty array in the place of an array or an object; none at the end.
    ///
    /// # Errors
    /// `missing_payload`, `malformed_payload`, `bad_request` (no array); the reader must not be used after that.
    pub fn next_scalar(&mut self) -> Result<Option<Value>, ApiError> {
        self.try_next().map_err(|BadList| self.error())
    }

    fn try_next(&mut self) -> Result<Option<Value>, BadList> {
        let is_first = !self.is_inside;
        if is_first {
            self.take(b'[')?;
            self.is_inside = true;
        }
        if self.take(b']').is_ok() {
            self.skip_space();
            return if self.position == self.body.len() { Ok(None) } else { Err(BadList) };
        }
        if !is_first {
            self.take(b',')?;
        }
        self.skip_space();
        let is_nested = matches!(self.body.get(self.position), Some(b'[' | b'{'));
        let value =
            if is_nested { self.read::<Walked>().map(|_| Value::Array(Vec::new())) } else { self.read::<Value>() };
        value.map(Some)
    }

    fn read<T: DeserializeOwned>(&mut self) -> Result<T, BadList> {
        let mut values = serde_json::Deserializer::from_slice(&self.body[self.position..]).into_iter();
        let value = values.next().and_then(Result::ok).ok_or(BadList)?;
        self.position += values.byte_offset();
        Ok(value)
    }

    /// In the words of one server: the whole is read once more for them.
    fn error(&self) -> ApiError {
        if let Err(error) = read_json::<Walked>(self.body) {
            return error;
        }
        let error = serde_json::from_slice::<Vec<Walked>>(self.body).err();
        let message = error.map_or_else(|| "the list cannot be read".to_owned(), |error| error.to_string());
        ApiError::new(Code::BadRequest, format!("Json deserialize error: {message}"))
    }

    fn take(&mut self, byte: u8) -> Result<(), BadList> {
        self.skip_space();
        if self.body.get(self.position) != Some(&byte) {
            return Err(BadList);
        }
        self.position += 1;
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.body.get(self.position), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.position += 1;
        }
    }
}

/// Something is wrong.
struct BadList;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &str) -> Result<Vec<Value>, ApiError> {
        let mut reader = ListReader::new(body.as_bytes());
        let mut elements = Vec::new();
        while let Some(element) = reader.next_scalar()? {
            elements.push(element);
        }
        Ok(elements)
    }

    #[test]
    fn lists_are_read_as_serde_json_reads_them() {
        proptest::proptest!(|(body in "[\\[\\], 1a\"{}:.-]{0,12}")| {
            for body in [format!("[{body}"), format!("[{body}]"), body] {
                let whole = serde_json::from_str::<Vec<Value>>(&body).ok();
                let flat = |value: Value| if value.is_array() || value.is_object() { json!([]) } else { value };
                let whole = whole.map(|whole| whole.into_iter().map(flat).collect::<Vec<_>>());
                proptest::prop_assert_eq!(read(&body).ok(), whole, "{}", body);
            }
        });
    }

    #[test]
    fn what_is_no_list_is_refused_in_meilisearchs_words() {
        for (body, code, message) in [
            ("", "missing_payload", "A json payload is missing."),
            (
                "[1,",
                "malformed_payload",
                "The json payload provided is malformed. `EOF while parsing a value at line 1 column 3`.",
            ),
            ("{}", "bad_request", "Json deserialize error: invalid type: map, expected a sequence at line 1 column 0"),
        ] {
            let error = read(body).expect_err(body).body();
            assert_eq!((error.code.as_str(), error.message.as_str()), (code, message));
        }
    }
}
