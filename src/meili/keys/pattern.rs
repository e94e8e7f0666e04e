//! Which indexes a key, or a rule of a tenant token, is for.

use serde::{Deserialize, Serialize};

use crate::meili::index::check_index_uid;

/// The name of an index, or the beginning of names with a star behind it. Rules of tokens are taken as they come; what
/// is no name matches no index.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IndexPattern(String);

impl IndexPattern {
    /// A pattern that is known to be right.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A checked pattern.
    ///
    /// # Errors
    /// What is wrong, in the words of one server.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = text.strip_suffix('*').unwrap_or(text);
        if text == "*" || check_index_uid(name).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "`{text}` is not a valid index uid pattern. Index uid patterns can be an integer or a string containing only \
             alphanumeric characters, hyphens (-), underscores (_), and optionally end with a star (*)."
        ))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Every index.
    pub fn is_all(&self) -> bool {
        self.0 == "*"
    }

    /// One index only.
    pub fn is_exact(&self) -> bool {
        !self.0.ends_with('*')
    }

    /// What names begin with; the name itself of a pattern for one index.
    pub fn stem(&self) -> &str {
        self.0.strip_suffix('*').unwrap_or(&self.0)
    }

    /// Is this index meant?
    pub fn matches(&self, index: &str) -> bool {
        if self.is_exact() { self.0 == index } else { index.starts_with(self.stem()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_the_end_stands_for_anything() {
        for (pattern, index, expected) in [
            ("*", "a", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "a", true),
            ("a*", "ab", true),
            ("a*", "b", false),
            ("a**", "a*b", true),
        ] {
            assert_eq!(IndexPattern::new(pattern).matches(index), expected, "{pattern} {index}");
        }
    }

    #[test]
    fn only_the_last_character_may_be_a_star() {
        for (text, is_valid) in
            [("*", true), ("a-_1", true), ("a*", true), ("", false), ("a*b", false), ("**", false), ("a b", false)]
        {
            assert_eq!(IndexPattern::parse(text).is_ok(), is_valid, "{text}");
        }
        assert!(IndexPattern::parse(&"a".repeat(401)).is_err());
        let message = IndexPattern::parse("é").expect_err("no ASCII");
        assert!(message.starts_with("`é` is not a valid index uid pattern. Index uid patterns can be"), "{message}");
    }
}
