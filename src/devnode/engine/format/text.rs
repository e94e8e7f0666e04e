//! One text with the words that the query found in it: their places, highlighting, cropping.

use charabia::{Token, Tokenizer};
use serde_json::{Value, json};

use super::crop;
use super::matching::{MatchingWords, Positions, Step, step};

/// What is put into a formatted text.
pub(super) struct Markup<'a> {
    pub(super) before: &'a str,
    pub(super) after: &'a str,
    pub(super) crop_marker: &'a str,
}

/// A found word or phrase.
pub(super) struct TextMatch {
    /// Letters of the original text, from the beginning of the first token.
    letters: usize,
    /// Which words of the query it is.
    pub(super) query_positions: Positions,
    /// First and last word, counted in the text.
    pub(super) words: (usize, usize),
    /// First and last token.
    pub(super) tokens: (usize, usize),
}

/// See the head of the file.
pub(super) struct TextMatches<'t> {
    text: &'t str,
    tokens: Vec<Token<'t>>,
    matches: Vec<TextMatch>,
}

impl<'t> TextMatches<'t> {
    pub(super) fn new(text: &'t str, tokenizer: &Tokenizer<'_>, found: &MatchingWords) -> Self {
        let tokens: Vec<Token<'t>> = tokenizer.tokenize(text).collect();
        let words: Vec<(usize, &Token<'t>)> =
            tokens.iter().enumerate().filter(|(_, token)| !token.is_separator()).collect();
        let mut matches = Vec::new();
        let mut next = 0;
        while next < words.len() {
            let (place, token) = words[next];
            let phrase = found.phrases_at(token).find_map(|(first, positions)| {
                let last = phrase_end(&words, next, &first)?;
                Some((last, positions))
            });
            if let Some((last, query_positions)) = phrase {
                let (last_place, last_token) = words[last];
                let letters =
                    if last == next { token.original_char_count() } else { last_token.char_end - token.char_start };
                matches.push(TextMatch { letters, query_positions, words: (next, last), tokens: (place, last_place) });
                next = last;
            } else if let Some((letters, query_positions)) = found.word_at(token) {
                matches.push(TextMatch { letters, query_positions, words: (next, next), tokens: (place, place) });
            }
            next += 1;
        }
        Self { text, tokens, matches }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.matches.is_empty()
    }

    /// The entries of `_matchesPosition`; `places` are the indices in the arrays around the text.
    pub(super) fn bounds(&self, places: &[usize]) -> impl Iterator<Item = Value> {
        self.matches.iter().map(move |found| {
            let start = self.tokens[found.tokens.0].byte_start;
            let length: usize = (found.tokens.0..=found.tokens.1)
                .flat_map(|place| original_letter_bytes(&self.tokens[place]))
                .take(found.letters)
                .sum();
            if places.is_empty() {
                json!({"start": start, "length": length})
            } else {
                json!({"start": start, "length": length, "indices": places})
            }
        })
    }

    /// The text highlighted and cropped.
    pub(super) fn format(&self, highlight: bool, crop: Option<usize>, markup: &Markup<'_>) -> String {
        let (start, end) = match crop {
            Some(words) if words > 0 => crop::bounds(self.text, &self.tokens, &self.matches, words),
            Some(_) | None => (0, self.text.len()),
        };
        let mut formatted = String::with_capacity(end - start);
        if start > 0 {
            formatted.push_str(markup.crop_marker);
        }
        let mut done = start;
        for found in self.matches.iter().filter(|_| highlight) {
            let (from, to) = (self.tokens[found.tokens.0].byte_start, self.tokens[found.tokens.1].byte_end);
            if to < start || from > end {
                continue;
            }
            let (from, to) = (from.max(start), to.min(end));
            if done < from {
                formatted.push_str(&self.text[done..from]);
            }
            let marked = self.text[from..].char_indices().nth(found.letters);
            let marked = marked.map_or(to, |(offset, _)| to.min(from + offset));
            formatted.push_str(markup.before);
            formatted.push_str(&self.text[from..marked]);
            formatted.push_str(markup.after);
            formatted.push_str(&self.text[marked..to]);
            done = to;
        }
        if done < end {
            formatted.push_str(&self.text[done..end]);
        }
        if end < self.text.len() {
            formatted.push_str(markup.crop_marker);
        }
        formatted
    }
}

/// The place of the last word of a phrase that begins at `start`, if it is all there.
fn phrase_end(words: &[(usize, &Token<'_>)], start: usize, first: &Step<'_>) -> Option<usize> {
    let mut left = match first {
        Step::Whole => return Some(start),
        Step::Begun(left) => *left,
    };
    for (place, (_, token)) in words.iter().enumerate().skip(start + 1) {
        match step(left, token)? {
            Step::Whole => return Some(place),
            Step::Begun(rest) => left = rest,
        }
    }
    None
}

/// The bytes of each letter as it stands in the text.
fn original_letter_bytes(token: &Token<'_>) -> Vec<usize> {
    match &token.char_map {
        Some(map) => map.iter().map(|(original, _)| usize::from(*original)).collect(),
        None => token.lemma().chars().map(char::len_utf8).collect(),
    }
}
