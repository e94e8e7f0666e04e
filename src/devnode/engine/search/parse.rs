//! From the text of the query to terms: words, phrases in quotes, negative words and phrases, and the last word as a
//! prefix.

use charabia::{SeparatorKind, Token, TokenKind, Tokenizer};

use super::context::{Context, Phrase, PhraseId};
use super::terms::{QueryTerm, TermId};
use crate::devnode::engine::postings::WordId;
use crate::devnode::engine::settings::PrefixSearch;
use crate::devnode::engine::tokenize::WORD_BYTES_MAX;

/// Tokens of a query that are read.
const TOKENS_MAX: usize = 1_000;
/// Terms of a query that are used.
const TERMS_MAX: usize = 10;
/// What a hard separator adds to positions in the query, beside the next word's one.
const HARD_SEPARATOR_GAP: u16 = 7;

/// A term and where it stands in the query.
#[derive(Clone, Copy, Debug)]
pub(in crate::devnode::engine) struct LocatedTerm {
    pub(in crate::devnode::engine) term: TermId,
    /// First and last position.
    pub(in crate::devnode::engine) positions: (u16, u16),
}

/// What the query asks for.
#[derive(Default, Debug)]
pub(super) struct ParsedQuery {
    pub(super) terms: Vec<LocatedTerm>,
    pub(super) negative_words: Vec<WordId>,
    pub(super) negative_phrases: Vec<PhraseId>,
}

struct OpenPhrase {
    words: Phrase,
    positions: (u16, u16),
    is_negative: bool,
}

impl OpenPhrase {
    fn new(is_negative: bool) -> Self {
        Self { words: Vec::new(), positions: (u16::MAX, u16::MAX), is_negative }
    }
}

struct Parser<'a, 'i, 't> {
    context: &'a mut Context<'i>,
    tokenizer: &'a Tokenizer<'t>,
    query: ParsedQuery,
    phrase: Option<OpenPhrase>,
    position: u16,
    is_negated: bool,
}

/// Reads a query.
pub(super) fn parse(context: &mut Context<'_>, tokenizer: &Tokenizer<'_>, text: &str) -> ParsedQuery {
    // The first word wraps around to position 0.
    let mut parser = Parser {
        context,
        tokenizer,
        query: ParsedQuery::default(),
        phrase: None,
        position: u16::MAX,
        is_negated: false,
    };
    let mut after_space = true;
    let mut tokens = tokenizer.tokenize(text).take(TOKENS_MAX).peekable();
    while let Some(token) = tokens.next() {
        if token.lemma().is_empty() {
            continue;
        }
        if parser.query.terms.len() >= TERMS_MAX {
            return parser.query;
        }
        match token.kind {
            TokenKind::Word | TokenKind::StopWord => parser.word(&token, tokens.peek().is_none()),
            TokenKind::Separator(kind) => parser.separator(&token, kind, after_space),
            TokenKind::Unknown => {}
        }
        after_space = token.lemma().chars().last().is_some_and(char::is_whitespace);
    }
    // A quote that is never closed reaches to the end.
    if let Some(phrase) = parser.phrase.take() {
        parser.close(phrase);
    }
    parser.query
}

impl Parser<'_, '_, '_> {
    fn word(&mut self, token: &Token<'_>, is_last: bool) {
        self.position = self.position.wrapping_add(1);
        let word = token.lemma();
        if let Some(phrase) = &mut self.phrase {
            if phrase.words.iter().all(Option::is_none) {
                phrase.positions.0 = self.position;
            }
            phrase.positions.1 = self.position;
            let word = token.is_word().then(|| self.context.word(word));
            phrase.words.push(word);
        } else if self.is_negated {
            self.query.negative_words.push(self.context.word(word));
            self.is_negated = false;
        } else if is_last || token.is_word() {
            let prefixes_allowed = self.context.index.settings.prefix_search != PrefixSearch::Disabled;
            let typos = self.context.typos_allowed(word);
            let term = self.context.new_term(self.tokenizer, word, typos, is_last && prefixes_allowed);
            self.push(term, (self.position, self.position));
        }
    }

    fn separator(&mut self, token: &Token<'_>, kind: SeparatorKind, after_space: bool) {
        if kind == SeparatorKind::Hard {
            self.position = self.position.wrapping_add(HARD_SEPARATOR_GAP);
            // A hard separator inside a phrase begins a new one.
            if let Some(phrase) = self.phrase.take() {
                let is_negative = phrase.is_negative;
                self.close(phrase);
                self.phrase = Some(OpenPhrase::new(is_negative));
            }
        }
        let mut quotes = token.lemma().chars().filter(|letter| *letter == '"').count();
        if quotes > 0 {
            if let Some(phrase) = self.phrase.take() {
                quotes -= 1;
                self.close(phrase);
            }
            self.phrase = (quotes % 2 == 1).then(|| OpenPhrase::new(self.is_negated));
        }
        self.is_negated = self.phrase.is_none() && token.lemma() == "-" && after_space;
    }

    fn close(&mut self, phrase: OpenPhrase) {
        if phrase.words.iter().all(Option::is_none) {
            return;
        }
        let description: Vec<&str> = phrase.words.iter().flatten().map(|word| self.context.text(*word)).collect();
        let description = description.join(" ");
        let number = self.context.phrase_number(phrase.words);
        if phrase.is_negative {
            self.query.negative_phrases.push(number);
        } else {
            let description = self.context.word(&description);
            self.push(QueryTerm::of_phrase(number, description), phrase.positions);
        }
    }

    fn push(&mut self, term: QueryTerm, positions: (u16, u16)) {
        self.context.terms.push(term);
        self.query.terms.push(LocatedTerm { term: self.context.terms.len() - 1, positions });
    }
}

impl Context<'_> {
    /// How many typos the settings forgive in a word.
    pub(super) fn typos_allowed(&self, word: &str) -> u8 {
        let typo = &self.index.settings.typo_tolerance;
        let letters = word.chars().count();
        if !typo.enabled || letters < usize::from(typo.one_typo) || typo.disable_on_words.contains(word) {
            0
        } else if letters < usize::from(typo.two_typos) {
            1
        } else {
            2
        }
    }

    /// Neighbouring words of the query written as one, if they are plain words side by side.
    pub(super) fn join_words(&mut self, tokenizer: &Tokenizer<'_>, terms: &[LocatedTerm]) -> Option<LocatedTerm> {
        let side_by_side = terms.windows(2).all(|pair| pair[0].positions.1.wrapping_add(1) == pair[1].positions.0);
        let plain = terms.iter().all(|located| {
            let term = &self.terms[located.term];
            term.phrase.is_none() && term.joined_words.is_none()
        });
        let (first, last) = (terms.first()?, terms.last()?);
        if !side_by_side || !plain {
            return None;
        }
        let numbers: Vec<WordId> = terms.iter().map(|located| self.terms[located.term].original).collect();
        let words: Vec<String> = numbers.iter().map(|word| self.text(*word).to_owned()).collect();
        let joined = words.concat();
        if joined.len() > WORD_BYTES_MAX {
            return None;
        }
        let typos = self.typos_allowed(&joined).saturating_sub(terms.len() as u8 - 1);
        let is_prefix = self.terms[last.term].is_prefix;
        let mut term = self.new_term(tokenizer, &joined, typos, is_prefix);
        for synonym in self.synonyms(tokenizer, &words, false) {
            if !term.synonyms.contains(&synonym) {
                term.synonyms.push(synonym);
            }
        }
        term.joined_words = Some(numbers);
        self.terms.push(term);
        Some(LocatedTerm { term: self.terms.len() - 1, positions: (first.positions.0, last.positions.1) })
    }
}
