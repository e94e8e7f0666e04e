//! Which words of a text the query found: the words and phrases that its terms stood for in this search.

use charabia::Token;

use crate::devnode::engine::search::{Context, LocatedTerm};

/// First and last position in the query.
pub(super) type Positions = (u16, u16);

struct FoundPhrase {
    /// `None` is a stop word.
    words: Vec<Option<String>>,
    positions: Positions,
}

struct FoundWords {
    words: Vec<String>,
    positions: Positions,
    is_prefix: bool,
    letters: usize,
}

/// See the head of the file.
#[derive(Default)]
pub(in crate::devnode::engine) struct MatchingWords {
    phrases: Vec<FoundPhrase>,
    words: Vec<FoundWords>,
}

/// A match of the beginning of the words that are left of a phrase.
pub(super) enum Step<'a> {
    /// All of it.
    Whole,
    /// More words must follow.
    Begun(&'a [Option<String>]),
}

impl MatchingWords {
    /// Everything that the terms of a search stood for.
    pub(in crate::devnode::engine) fn new(context: &Context<'_>, terms: &[LocatedTerm]) -> Self {
        let mut found = Self::default();
        for located in terms {
            let term = context.term(located.term);
            let (words, phrases) = term.found();
            for phrase in phrases {
                let words = context.phrase(phrase).iter();
                let words = words.map(|word| word.map(|word| context.text(word).to_owned())).collect();
                found.phrases.push(FoundPhrase { words, positions: located.positions });
            }
            found.words.push(FoundWords {
                words: words.iter().map(|word| context.text(*word).to_owned()).collect(),
                positions: located.positions,
                is_prefix: term.is_prefix(),
                letters: context.text(term.original()).chars().count(),
            });
        }
        // Exact matches before prefixes, joined words before single ones.
        found.words.sort_by_key(|words| {
            (words.is_prefix, std::cmp::Reverse(words.positions.1.wrapping_sub(words.positions.0)))
        });
        found
    }

    /// The phrases that begin with this token.
    pub(super) fn phrases_at<'a>(&'a self, token: &'a Token<'_>) -> impl Iterator<Item = (Step<'a>, Positions)> {
        self.phrases.iter().filter_map(move |phrase| Some((step(&phrase.words, token)?, phrase.positions)))
    }

    /// The word that this token is, with the letters of the token that count.
    pub(super) fn word_at(&self, token: &Token<'_>) -> Option<(usize, Positions)> {
        for found in &self.words {
            for word in &found.words {
                if found.is_prefix && token.lemma().starts_with(word.as_str()) {
                    let bytes: usize = word.chars().take(found.letters).map(char::len_utf8).sum();
                    if bytes == 0 {
                        continue;
                    }
                    return Some((token.original_lengths(bytes).0, found.positions));
                }
                if token.lemma() == word {
                    return Some((token.original_char_count(), found.positions));
                }
            }
        }
        None
    }
}

/// Matches the first of the words that are left with a token.
pub(super) fn step<'a>(words: &'a [Option<String>], token: &Token<'_>) -> Option<Step<'a>> {
    let (first, rest) = words.split_first()?;
    let matches = match first {
        Some(word) => token.lemma() == word,
        None => token.is_stopword(),
    };
    matches.then_some(if rest.is_empty() { Step::Whole } else { Step::Begun(rest) })
}
