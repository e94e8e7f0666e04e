//! Texts as values of facets: when two of them are one value, and how facet search compares them.

use charabia::normalizer::{CharNormalizer as _, CompatibilityDecompositionNormalizer, NormalizerOption};
use charabia::{Normalize as _, StrDetection, Token};

/// Keys are cut to so many bytes by the engine: what is equal up to there is one value.
pub const KEY_BYTES_MAX: usize = 468;

/// The engine's key of a text: without space around it, decomposed, in lower case. Not cut.
pub fn facet_key(text: &str) -> String {
    let trimmed = text.trim();
    if trimmed.is_ascii() {
        trimmed.to_ascii_lowercase()
    } else {
        CompatibilityDecompositionNormalizer.normalize_str(trimmed).to_lowercase()
    }
}

/// The key under which the engine stores a text.
pub fn stored_key(text: &str) -> String {
    let mut key = facet_key(text);
    key.truncate(key.floor_char_boundary(KEY_BYTES_MAX));
    key
}

/// What facet search compares: of a query, or of a key. Marks are gone, too. Languages with a dictionary of their own are
/// treated as any other.
pub fn searched_key(text: &str) -> String {
    let script = StrDetection::new(text, None).script();
    let token = Token { lemma: text.into(), script, ..Token::default() };
    token.normalize(&NormalizerOption { lossy: true, ..NormalizerOption::default() }).lemma.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_engine() {
        for (text, key, searched) in [
            (" Été\u{a0}", "e\u{301}te\u{301}", "ete"),
            ("Jane AUSTEN ", "jane austen", "jane austen"),
            ("ﬁsh", "fish", "fish"),
            ("Œuvre", "œuvre", "oeuvre"),
            ("ÆØÅ", "æøa\u{30a}", "aeøa"),
            ("", "", ""),
        ] {
            assert_eq!(
                (facet_key(text), searched_key(&facet_key(text))),
                (key.to_owned(), searched.to_owned()),
                "{text}"
            );
        }
        let long = format!("{}é", "a".repeat(KEY_BYTES_MAX - 2));
        assert_eq!(stored_key(&long).len(), KEY_BYTES_MAX - 1, "the mark of the last letter does not fit");
    }
}
