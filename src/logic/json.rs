//! JSON texts taken apart without building anything: members of objects and elements of arrays as slices of the text.
//!
//! A text is checked once, by whoever walks it from the outside; what is taken out of it is known to be JSON then, and is
//! walked faster. Nothing here panics on a text that is not JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use sonic_rs::{ArrayJsonIter, LazyValue, ObjectJsonIter, to_array_iter, to_object_iter};

/// The text is not the JSON object or array that it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the JSON that it should be")]
pub struct Malformed;

/// A value inside of a text that was checked.
#[derive(Debug)]
pub struct Part<'a> {
    /// As it stands in the text.
    pub text: &'a str,
    /// The same, known to be JSON.
    checked: LazyValue<'a>,
}

impl<'a> Part<'a> {
    /// The members, if it is an object.
    pub fn members(self) -> Result<Members<'a>, Malformed> {
        Ok(Members::new(self.text, self.checked.into_object_iter().ok_or(Malformed)?))
    }
}

/// One member of a JSON object.
#[derive(Debug)]
pub struct Member<'a> {
    /// Decoded.
    pub key: Cow<'a, str>,
    /// Key and value as they stand in the text.
    pub text: &'a str,
    /// The value.
    pub value: Part<'a>,
}

/// The members of a JSON object in order.
pub struct Members<'a> {
    text: &'a str,
    /// Where to look for the next key.
    unread: usize,
    rest: ObjectJsonIter<'a>,
}

/// The members of a JSON object in order. White space before the object and anything behind it is allowed.
pub fn members(object: &str) -> Members<'_> {
    Members::new(object, to_object_iter(object))
}

impl<'a> Members<'a> {
    fn new(text: &'a str, rest: ObjectJsonIter<'a>) -> Self {
        Self { text, unread: text.find('{').map_or(0, |place| place + 1), rest }
    }

    /// Where the object ends in the text, once all members were walked.
    pub fn end(&self) -> Result<usize, Malformed> {
        let rest = self.text[self.unread..].trim_start();
        if rest.starts_with('}') { Ok(offset_of(self.text, rest) + 1) } else { Err(Malformed) }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let Ok((key, value)) = self.rest.next()? else { return Some(Err(Malformed)) };
        let start = match &key {
            Cow::Borrowed(key) => offset_of(self.text, key) - 1,
            // What lies between two values is comma, space and key.
            Cow::Owned(_) => self.unread + self.text[self.unread..].find('"').unwrap_or_default(),
        };
        let Ok(value) = part(value) else { return Some(Err(Malformed)) };
        self.unread = offset_of(self.text, value.text) + value.text.len();
        Some(Ok(Member { key, text: &self.text[start..self.unread], value }))
    }
}

/// The elements of a JSON array in order, each looked at only when its turn comes.
pub struct Elements<'a>(ArrayJsonIter<'a>);

/// See [`Elements`].
pub fn elements(array: &str) -> Elements<'_> {
    Elements(to_array_iter(array))
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Part<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(|_| Malformed).and_then(part))
    }
}

/// Where a slice of a text begins in it.
pub fn offset_of(text: &str, slice: &str) -> usize {
    slice.as_ptr() as usize - text.as_ptr() as usize
}

fn part(checked: LazyValue<'_>) -> Result<Part<'_>, Malformed> {
    match checked.as_raw_cow() {
        Cow::Borrowed(text) => Ok(Part { text, checked }),
        // Never: the texts here are not owned by the iterators.
        Cow::Owned(_) => Err(Malformed),
    }
}

/// Counts the values of a text piece by piece, without looking whether it is JSON: never too few of one that is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ValueCount {
    values: u64,
    is_in_string: bool,
    is_escaped: bool,
}

impl ValueCount {
    /// Goes on with this piece.
    pub fn push(&mut self, piece: &[u8]) {
        for byte in piece {
            if self.is_escaped {
                self.is_escaped = false;
            } else if self.is_in_string {
                self.is_escaped = *byte == b'\\';
                self.is_in_string = *byte != b'"';
            } else {
                self.is_in_string = *byte == b'"';
                self.values += u64::from(matches!(byte, b'[' | b'{' | b','));
            }
        }
    }

    /// How many there are.
    pub fn values(&self) -> u64 {
        self.values + 1
    }
}

/// Any value, read to its depths as a tree of values is, of which nothing is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Walked;

impl<'de> Deserialize<'de> for Walked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Walked {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// Writes a JSON object member by member.
#[derive(Debug)]
pub struct ObjectWriter(String);

impl ObjectWriter {
    /// An object without members, with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes.max(2));
        text.push('{');
        Self(text)
    }

    fn separate(&mut self) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
    }

    /// Adds a member that is JSON text already: `"key":value`.
    pub fn push_text(&mut self, member: &str) {
        self.separate();
        self.0.push_str(member);
    }

    /// Adds a member with a value that is JSON text already.
    pub fn push(&mut self, key: &str, value: &str) {
        self.separate();
        self.0.push_str(&serde_json::to_string(key).expect("a string is always valid JSON"));
        self.0.push(':');
        self.0.push_str(value);
    }

    /// The whole object.
    pub fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn values_are_counted_whatever_stands_in_strings() {
        for (text, values) in [("1", 1), ("[1,2]", 3), (r#"{"a,[":"\"{,","b":[{}]}"#, 5), (r#"["\\",1]"#, 3)] {
            let (mut whole, mut bytes) = (ValueCount::default(), ValueCount::default());
            whole.push(text.as_bytes());
            text.as_bytes().iter().for_each(|byte| bytes.push(&[*byte]));
            assert_eq!((whole.values(), bytes.values()), (values, values), "{text}");
        }
    }

    #[test]
    fn a_walk_finds_wrong_what_a_tree_of_values_finds_wrong() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in [
            "[1,{\"a\":[null,true,-1,1.5,\"\\u00e9\"]}]",
            "[1e999]",
            "[\"\\ud800\"]",
            "{1:2}",
            "[1",
            "{\"a\"}",
            "x",
            &deep,
        ] {
            let tree = serde_json::from_str::<Value>(text).map(|_| Walked).map_err(|error| error.to_string());
            assert_eq!(serde_json::from_str::<Walked>(text).map_err(|error| error.to_string()), tree, "{text}");
        }
    }
}
