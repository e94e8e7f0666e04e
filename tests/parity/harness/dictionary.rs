//! The words of a corpus as a server that has all of it knows them, and what a query's words may stand for in it.
//!
//! A node knows the words of its own documents only. For most searches that is enough: what a word stands for on a node is
//! what it stands for on one server, as far as the node has it. It is not where the engine takes a limited number of
//! words for one with typos, or one of several ways to split a word: then it depends on which words it chooses from.

use std::collections::{BTreeSet, HashSet};
use std::sync::OnceLock;

use charabia::separators::DEFAULT_SEPARATORS;
use charabia::{Tokenize, Tokenizer, TokenizerBuilder};
use levenshtein_automata::{Distance, LevenshteinAutomatonBuilder};
use serde_json::Value;

use super::corpus::Corpus;

/// Words with one typo, and with two, that the engine takes at most.
const ONE_TYPO_MAX: usize = 150;
const TWO_TYPOS_MAX: usize = 50;

/// A prefix of so many words is kept ready-made, if it is no longer than this.
const READY_MADE_MIN: usize = 100;
const READY_MADE_BYTES_MAX: usize = 4;

/// So many words in a row may be taken as one.
const JOINED_MAX: usize = 3;

/// Of a corpus.
#[derive(Default)]
pub struct Dictionary {
    words: BTreeSet<String>,
    /// Words that stand beside each other.
    pairs: HashSet<(String, String)>,
}

/// Made when it is first asked for: few cases need it.
pub struct LazyDictionary<'a> {
    /// Whose words.
    pub corpus: &'a Corpus,
    made: OnceLock<Dictionary>,
}

impl<'a> LazyDictionary<'a> {
    /// Of this corpus.
    pub fn of(corpus: &'a Corpus) -> Self {
        Self { corpus, made: OnceLock::new() }
    }

    /// Of the whole corpus.
    pub fn get(&self) -> &Dictionary {
        self.made.get_or_init(|| {
            let mut dictionary = Dictionary::default();
            let tokens = |name| self.corpus.setting_texts(name).unwrap_or_default();
            let words = tokens("nonSeparatorTokens");
            let separators: Vec<&str> = DEFAULT_SEPARATORS
                .iter()
                .copied()
                .filter(|token| !words.contains(token))
                .chain(tokens("separatorTokens"))
                .collect();
            let mut builder = TokenizerBuilder::<Vec<u8>>::default();
            let tokenizer = builder.separators(&separators).build();
            for document in &self.corpus.documents {
                let fields = document.as_object().into_iter().flatten();
                fields.filter(|(name, _)| *name != "_vectors").for_each(|(_, value)| dictionary.add(&tokenizer, value));
            }
            dictionary
        })
    }
}

/// Normalised words, in order.
pub fn words_of(text: &str) -> Vec<String> {
    text.tokenize().filter(charabia::Token::is_word).map(|token| token.lemma().to_owned()).collect()
}

impl Dictionary {
    fn add(&mut self, tokenizer: &Tokenizer<'_>, value: &Value) {
        match value {
            Value::String(text) => self.add_text(tokenizer, text),
            Value::Number(number) => self.add_text(tokenizer, &number.to_string()),
            Value::Bool(boolean) => self.add_text(tokenizer, &boolean.to_string()),
            Value::Array(items) => items.iter().for_each(|item| self.add(tokenizer, item)),
            Value::Object(fields) => fields.values().for_each(|value| self.add(tokenizer, value)),
            Value::Null => {}
        }
    }

    fn add_text(&mut self, tokenizer: &Tokenizer<'_>, text: &str) {
        let words: Vec<String> =
            tokenizer.tokenize(text).filter(charabia::Token::is_word).map(|token| token.lemma().to_owned()).collect();
        for pair in words.windows(2) {
            self.pairs.insert((pair[0].clone(), pair[1].clone()));
        }
        self.words.extend(words);
    }

    /// Whether a word of the query, or several joined, stands for more words than the engine takes.
    pub fn has_too_many_typos(&self, query: &str, sizes: WordSizes) -> bool {
        let terms = terms_of(query);
        terms.iter().any(|term| {
            let typos = sizes.typos_of(&term.text);
            let (one, two) = self.count_typos(&term.text, typos, term.may_be_prefix);
            one >= ONE_TYPO_MAX || two >= TWO_TYPOS_MAX
        })
    }

    /// How many words have one typo, and how many have two.
    fn count_typos(&self, term: &str, typos: u8, is_prefix: bool) -> (usize, usize) {
        if typos == 0 {
            return (0, 0);
        }
        let builder = LevenshteinAutomatonBuilder::new(typos, true);
        let automaton = if is_prefix { builder.build_prefix_dfa(term) } else { builder.build_dfa(term) };
        let mut counts = (0, 0);
        for word in &self.words {
            // A typo in the first letter counts twice.
            let first = usize::from(word.chars().next() != term.chars().next());
            match automaton.eval(word) {
                Distance::Exact(distance) if distance > 0 => match usize::from(distance) + first {
                    1 => counts.0 += 1,
                    _ => counts.1 += 1,
                },
                Distance::Exact(_) | Distance::AtLeast(_) => {}
            }
        }
        counts
    }

    /// Whether the query's last word is a prefix that the engine keeps ready-made.
    pub fn has_ready_made_prefix(&self, query: &str) -> bool {
        let prefixes = terms_of(query).into_iter().filter(|term| term.may_be_prefix).map(|term| term.text);
        prefixes.filter(|prefix| prefix.len() <= READY_MADE_BYTES_MAX).any(|prefix| {
            let words = self.words.range(prefix.clone()..).take_while(|word| word.starts_with(&prefix));
            words.take(READY_MADE_MIN).count() == READY_MADE_MIN
        })
    }

    /// Whether a word of the query can be split in several ways into words that stand beside each other.
    pub fn has_several_splits(&self, query: &str) -> bool {
        terms_of(query).iter().any(|term| {
            let places = term.text.char_indices().skip(1).map(|(place, _)| term.text.split_at(place));
            let splits = places.filter(|(left, right)| self.pairs.contains(&((*left).to_owned(), (*right).to_owned())));
            splits.count() > 1
        })
    }
}

/// From how many letters on a word may have typos.
#[derive(Clone, Copy, Debug)]
pub struct WordSizes {
    one: u64,
    two: u64,
}

impl WordSizes {
    /// As the settings say.
    pub fn of(corpus: &Corpus) -> Self {
        let typos = corpus.settings.get("typoTolerance").unwrap_or(&Value::Null);
        if typos["enabled"] == Value::Bool(false) {
            return Self { one: u64::MAX, two: u64::MAX };
        }
        let size = |name: &str, default| typos["minWordSizeForTypos"][name].as_u64().unwrap_or(default);
        Self { one: size("oneTypo", 5), two: size("twoTypos", 9) }
    }

    fn typos_of(self, word: &str) -> u8 {
        let letters = word.chars().count() as u64;
        u8::from(letters >= self.one) + u8::from(letters >= self.two)
    }
}

/// A word that is searched for.
struct Term {
    text: String,
    may_be_prefix: bool,
}

/// The query's words, and several in a row joined.
fn terms_of(query: &str) -> Vec<Term> {
    let words = words_of(query);
    let mut terms = Vec::new();
    for start in 0..words.len() {
        for end in start + 1..=words.len().min(start + JOINED_MAX) {
            terms.push(Term { text: words[start..end].concat(), may_be_prefix: end == words.len() });
        }
    }
    terms
}
