//! JSON texts taken apart without building anything: members of objects and elements of arrays as slices of the text.
//!
//! A text is checked once, by whoever walks it from the outside; what is taken out of it is known to be JSON then, and is
//! walked faster. Nothing here panics on a text that is not JSON.

use std::borrow::Cow;

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
