//! From text to words: charabia with the settings of one index, and the walk over a document's fields.
//!
//! Positions count words inside a field; a hard separator or a new value of the same field adds eight, so that words
//! on both sides are never "near". Values that hold nothing but separators (such as the shard mark) give no word.

use std::collections::HashMap;

use charabia::{SeparatorKind, Token, TokenKind, Tokenizer, TokenizerBuilder};
use fst::Set;
use serde_json::{Map, Value};

use super::documents::Document;
use super::fields::{FieldId, Fields};
use super::settings::Settings;

/// What a hard separator or the next value of a field adds to positions.
const FAR: u32 = 8;
/// Positions at and past this are not indexed.
const POSITION_LIMIT: u32 = u16::MAX as u32;
/// Longer words, in bytes, are not indexed.
pub(super) const WORD_BYTES_MAX: usize = 250;
/// Top-level fields that are neither searched nor filtered by their plain values.
const RESERVED: [&str; 3] = ["_vectors", "_geo", "_geojson"];

/// The parts of the settings that decide what is a word.
#[derive(Clone, Debug)]
pub(super) struct TextRules {
    stop_words: Option<Set<Vec<u8>>>,
    separators: Option<Vec<String>>,
    dictionary: Option<Vec<String>>,
}

impl TextRules {
    /// Takes what it needs from the settings.
    pub(super) fn new(settings: &Settings) -> Self {
        let stop_words = (!settings.stop_words.is_empty())
            .then(|| Set::from_iter(&settings.stop_words).expect("an ordered set gives sorted keys"));
        let customised = !settings.separator_tokens.is_empty() || !settings.non_separator_tokens.is_empty();
        let separators = customised.then(|| {
            let defaults = charabia::separators::DEFAULT_SEPARATORS.iter().map(|text| (*text).to_owned());
            let mut all: std::collections::BTreeSet<String> = defaults.collect();
            all.extend(settings.separator_tokens.iter().cloned());
            all.retain(|text| !settings.non_separator_tokens.contains(text));
            all.into_iter().collect()
        });
        let dictionary = (!settings.dictionary.is_empty()).then(|| settings.dictionary.iter().cloned().collect());
        Self { stop_words, separators, dictionary }
    }

    /// Runs `work` with the tokenizer of documents and queries.
    pub(super) fn with_tokenizer<R>(&self, work: impl FnOnce(&Tokenizer<'_>) -> R) -> R {
        self.build(true, work)
    }

    /// Runs `work` with the tokenizer of highlighting: it keeps stop words and the map back to the original letters.
    pub(super) fn with_highlight_tokenizer<R>(&self, work: impl FnOnce(&Tokenizer<'_>) -> R) -> R {
        self.build(false, work)
    }

    fn build<R>(&self, for_index: bool, work: impl FnOnce(&Tokenizer<'_>) -> R) -> R {
        let separators: Option<Vec<&str>> =
            self.separators.as_ref().map(|list| list.iter().map(String::as_str).collect());
        let dictionary: Option<Vec<&str>> =
            self.dictionary.as_ref().map(|list| list.iter().map(String::as_str).collect());
        let mut builder = TokenizerBuilder::new();
        if let Some(stop_words) = self.stop_words.as_ref().filter(|_| for_index) {
            builder.stop_words(stop_words);
        }
        builder.create_char_map(!for_index);
        if let Some(separators) = &separators {
            builder.separators(separators);
        }
        if let Some(dictionary) = &dictionary {
            builder.words_dict(dictionary);
        }
        work(&builder.build())
    }
}

/// The words of a text, normalised, without stop words and separators. Used for synonyms.
pub(super) fn words_of(tokenizer: &Tokenizer<'_>, text: &str) -> Vec<String> {
    tokenizer
        .tokenize(text)
        .filter(|token| token.is_word() && !token.lemma().is_empty())
        .map(|token| token.lemma().to_owned())
        .collect()
}

/// One word of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldWord<'a> {
    /// Number of the field.
    pub(super) field: FieldId,
    /// Flattened name of the field.
    pub(super) name: &'a str,
    /// Place in the field.
    pub(super) position: u16,
    /// The word, normalised.
    pub(super) word: &'a str,
}

/// Walks over a document in its order and emits the words of its searchable fields. Every name of a field that is met
/// on the way gets its number.
pub(super) fn document_words(
    tokenizer: &Tokenizer<'_>,
    settings: &Settings,
    fields: &mut Fields,
    document: &Document,
    emit: &mut dyn FnMut(FieldWord<'_>),
) {
    let mut walk = Walk { tokenizer, settings, fields, next_position: HashMap::new(), emit };
    for (name, value) in document {
        if !RESERVED.contains(&name.as_str()) {
            walk.value(name, value);
        }
    }
}

struct Walk<'a, 't> {
    tokenizer: &'a Tokenizer<'t>,
    settings: &'a Settings,
    fields: &'a mut Fields,
    /// Where the last word of each field stood.
    next_position: HashMap<FieldId, u32>,
    emit: &'a mut dyn FnMut(FieldWord<'_>),
}

impl Walk<'_, '_> {
    fn value(&mut self, name: &str, value: &Value) {
        match value {
            Value::Object(object) => {
                self.fields.id_or_insert(name);
                self.object(name, object);
            }
            Value::Array(values) => {
                self.fields.id_or_insert(name);
                for value in values {
                    match value {
                        Value::Object(object) => self.object(name, object),
                        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                            self.value(name, value);
                        }
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => self.leaf(name, value),
        }
    }

    fn object(&mut self, name: &str, object: &Map<String, Value>) {
        for (key, value) in object {
            self.value(&format!("{name}.{key}"), value);
        }
    }

    fn leaf(&mut self, name: &str, value: &Value) {
        let field = self.fields.id_or_insert(name);
        if !self.settings.searchable(name).0.is_yes() {
            return;
        }
        let start = *self.next_position.entry(field).and_modify(|position| *position += FAR).or_insert(0);
        if start >= POSITION_LIMIT {
            return;
        }
        let text = match value {
            Value::String(text) => std::borrow::Cow::Borrowed(text.as_str()),
            Value::Number(number) => number.to_string().into(),
            Value::Bool(flag) => flag.to_string().into(),
            Value::Null | Value::Array(_) | Value::Object(_) => return,
        };
        let mut last = start;
        for (place, token) in placed_words(start, self.tokenizer.tokenize(&text)) {
            if place >= POSITION_LIMIT {
                break;
            }
            let word = token.lemma().trim();
            if !word.is_empty() && word.len() <= WORD_BYTES_MAX {
                last = place;
                let position = u16::try_from(place).expect("below the limit of positions");
                (self.emit)(FieldWord { field, name, position, word });
            }
        }
        self.next_position.insert(field, last);
    }
}

/// The words of a token stream with their positions; stop words take a position but are left out.
fn placed_words<'t>(start: u32, tokens: impl Iterator<Item = Token<'t>>) -> impl Iterator<Item = (u32, Token<'t>)> {
    let hard = TokenKind::Separator(SeparatorKind::Hard);
    let mut place = start;
    let mut previous: Option<TokenKind> = None;
    tokens.skip_while(Token::is_separator).filter_map(move |token| match token.kind {
        TokenKind::Word | TokenKind::StopWord if !token.lemma().is_empty() => {
            place += match previous {
                None => 0,
                Some(kind) if kind == hard => FAR,
                Some(_) => 1,
            };
            previous = Some(token.kind);
            token.is_word().then_some((place, token))
        }
        TokenKind::Separator(SeparatorKind::Hard) => {
            previous = Some(hard);
            None
        }
        TokenKind::Separator(SeparatorKind::Soft) => {
            if previous != Some(hard) {
                previous = Some(token.kind);
            }
            None
        }
        TokenKind::Word | TokenKind::StopWord | TokenKind::Unknown => None,
    })
}

/// The place as the position index keeps it: exact below 16, then ever coarser.
pub(super) fn bucketed_position(position: u16) -> u16 {
    match position {
        0..16 => position,
        16..24 => 24,
        24.. => u16::try_from(u32::from(position).next_power_of_two()).unwrap_or(u16::MAX),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(settings: &Settings, document: &Value) -> Vec<(String, u16, String)> {
        let mut fields = Fields::default();
        let mut found = Vec::new();
        let document = document.as_object().unwrap();
        TextRules::new(settings).with_tokenizer(|tokenizer| {
            document_words(tokenizer, settings, &mut fields, document, &mut |word| {
                found.push((word.name.to_owned(), word.position, word.word.to_owned()));
            });
        });
        found
    }

    #[test]
    fn positions_count_words_and_jump_at_hard_separators_and_new_values() {
        let found = words(&Settings::default(), &json!({"t": ["Hello brave, World", "again"], "n": {"x": 12}}));
        let expected = [("t", 0, "hello"), ("t", 1, "brave"), ("t", 9, "world"), ("t", 17, "again"), ("n.x", 0, "12")];
        let found: Vec<_> = found.iter().map(|(name, place, word)| (name.as_str(), *place, word.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn shard_marks_add_no_word() {
        let mark = "\u{2E00}\u{2E18}";
        assert!(words(&Settings::default(), &json!({"_miroir": mark})).is_empty());
        assert_eq!(words(&Settings::default(), &json!({"_miroir": mark, "a": "b"})).len(), 1);
    }

    #[test]
    fn stop_words_take_a_place_but_are_not_found() {
        let settings = Settings { stop_words: ["the".to_owned()].into(), ..Settings::default() };
        let found = words(&settings, &json!({"t": "the end of the road"}));
        let found: Vec<_> = found.iter().map(|(_, place, word)| (*place, word.as_str())).collect();
        assert_eq!(found, [(1, "end"), (2, "of"), (4, "road")]);
    }

    #[test]
    fn places_are_kept_coarser_the_farther_they_are() {
        for (place, expected) in [(0, 0), (15, 15), (16, 24), (23, 24), (24, 32), (32, 32), (33, 64), (1000, 1024)] {
            assert_eq!(bucketed_position(place), expected, "{place}");
        }
    }
}
