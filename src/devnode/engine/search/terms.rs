//! A term of the query and the words of the index that it finds: itself, longer words, synonyms, words with typos, and
//! itself split in two. Typos are looked for only when a rule asks for them.
//!
//! Rules narrow a term down; a [`TermSubset`] says what is left of it.

use charabia::Tokenizer;
use levenshtein_automata::{DFA, Distance, LevenshteinAutomatonBuilder, SINK_STATE};

use super::context::{Context, PhraseId, SearchedWord};
use crate::devnode::engine::postings::WordId;
use crate::devnode::engine::tokenize::{WORD_BYTES_MAX, words_of};

/// Longer words found by one prefix.
const PREFIX_WORDS_MAX: usize = 1_000;
/// Words found with one typo.
const ONE_TYPO_WORDS_MAX: usize = 150;
/// Words found with two typos.
const TWO_TYPO_WORDS_MAX: usize = 50;
/// Synonyms of one word.
const SYNONYM_PHRASES_MAX: usize = 50;
/// Words in all synonyms of one word.
const SYNONYM_WORDS_MAX: usize = 100;

/// The number of a term of one search.
pub(super) type TermId = usize;

/// See the head of the file.
#[derive(Clone, Debug)]
pub(in crate::devnode::engine) struct QueryTerm {
    /// As written in the query, or the words of the phrase joined by spaces.
    pub(super) original: WordId,
    /// Several words of the query written as one.
    pub(super) joined_words: Option<Vec<WordId>>,
    pub(super) typos_max: u8,
    pub(super) is_prefix: bool,
    pub(super) phrase: Option<PhraseId>,
    /// The word itself, if documents hold it.
    pub(super) exact: Option<WordId>,
    pub(super) prefix_of: Vec<WordId>,
    pub(super) synonyms: Vec<PhraseId>,
    /// The prefix finds all longer words at once instead of `prefix_of`.
    pub(super) is_cached_prefix: bool,
    typos: Option<Typos>,
}

#[derive(Clone, Debug, Default)]
struct Typos {
    split: Option<PhraseId>,
    one: Vec<WordId>,
    two: Vec<WordId>,
}

impl QueryTerm {
    fn empty(original: WordId) -> Self {
        Self {
            original,
            joined_words: None,
            typos_max: 0,
            is_prefix: false,
            phrase: None,
            exact: None,
            prefix_of: Vec::new(),
            synonyms: Vec::new(),
            is_cached_prefix: false,
            typos: None,
        }
    }

    /// A phrase: found as it is or not at all.
    pub(super) fn of_phrase(phrase: PhraseId, description: WordId) -> Self {
        Self { phrase: Some(phrase), ..Self::empty(description) }
    }

    /// Words and phrases that were looked for so far.
    pub(in crate::devnode::engine) fn found(&self) -> (Vec<WordId>, Vec<PhraseId>) {
        let mut words: Vec<WordId> = self.exact.iter().chain(&self.prefix_of).copied().collect();
        let mut phrases: Vec<PhraseId> = self.phrase.iter().chain(&self.synonyms).copied().collect();
        if let Some(typos) = &self.typos {
            words.extend(typos.one.iter().chain(&typos.two));
            phrases.extend(typos.split);
        }
        (words, phrases)
    }

    /// Whether longer words are found too.
    pub(in crate::devnode::engine) fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// The word as written in the query.
    pub(in crate::devnode::engine) fn original(&self) -> WordId {
        self.original
    }
}

/// What is left of the words found without typos.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum WithoutTypos {
    All,
    /// Only the word or phrase itself (and, as Meilisearch has it, a ready-made prefix).
    Exact,
    Nothing,
}

/// What is left of a term.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct TermSubset {
    pub(super) term: TermId,
    pub(super) without_typos: WithoutTypos,
    pub(super) one_typo: bool,
    pub(super) two_typos: bool,
    /// May not be dropped by the matching strategy.
    pub(super) is_mandatory: bool,
}

/// A term that can be compared exactly.
#[derive(Clone, Copy, Debug)]
pub(super) enum ExactTerm {
    Word(WordId),
    Phrase(PhraseId),
}

impl TermSubset {
    pub(super) fn full(term: TermId) -> Self {
        Self { term, without_typos: WithoutTypos::All, one_typo: true, two_typos: true, is_mandatory: false }
    }

    /// What both leave; `is_mandatory` stays this one's.
    pub(super) fn intersection(self, other: Self) -> Self {
        let without_typos = match (self.without_typos, other.without_typos) {
            (WithoutTypos::Nothing, _) | (_, WithoutTypos::Nothing) => WithoutTypos::Nothing,
            (WithoutTypos::Exact, _) | (_, WithoutTypos::Exact) => WithoutTypos::Exact,
            (WithoutTypos::All, WithoutTypos::All) => WithoutTypos::All,
        };
        Self {
            without_typos,
            one_typo: self.one_typo && other.one_typo,
            two_typos: self.two_typos && other.two_typos,
            ..self
        }
    }
}

impl Context<'_> {
    /// A term for a word of the query, without its typos.
    pub(super) fn new_term(
        &mut self,
        tokenizer: &Tokenizer<'_>,
        text: &str,
        typos_max: u8,
        is_prefix: bool,
    ) -> QueryTerm {
        let word = self.word(text);
        let mut term = QueryTerm::empty(word);
        if text.len() > WORD_BYTES_MAX {
            term.typos = Some(Typos::default());
            return term;
        }
        term.typos_max = typos_max;
        term.is_prefix = is_prefix;
        term.exact = self.index.postings.word(text);
        if is_prefix {
            term.is_cached_prefix = self.index.postings.is_cached_prefix(text);
            if !term.is_cached_prefix {
                let longer = self.index.postings.words_with_prefix(text).map(|(_, word)| word);
                term.prefix_of = longer.filter(|longer| *longer != word).take(PREFIX_WORDS_MAX).collect();
            }
        }
        term.synonyms = self.synonyms(tokenizer, &[text.to_owned()], true);
        term
    }

    /// The synonyms of one or several words, as phrases.
    pub(super) fn synonyms(&mut self, tokenizer: &Tokenizer<'_>, words: &[String], bounded: bool) -> Vec<PhraseId> {
        let settings = &self.index.settings.synonyms;
        let mut lists: Vec<Vec<String>> = settings
            .iter()
            .filter(|(key, _)| words_of(tokenizer, key) == words)
            .flat_map(|(_, list)| list)
            .map(|synonym| words_of(tokenizer, synonym))
            .filter(|synonym| !synonym.is_empty())
            .collect();
        if bounded {
            lists.truncate(SYNONYM_PHRASES_MAX);
        }
        let mut total = 0;
        let mut phrases = Vec::new();
        for list in lists {
            if bounded && total + list.len() > SYNONYM_WORDS_MAX {
                continue;
            }
            total += list.len();
            let phrase = list.iter().map(|word| Some(self.word(word))).collect();
            phrases.push(self.phrase_number(phrase));
        }
        phrases
    }

    /// Looks for the words with typos of a term, once.
    fn find_typos(&mut self, term: TermId) {
        if self.terms[term].typos.is_some() {
            return;
        }
        let QueryTerm { original, is_prefix, typos_max, .. } = self.terms[term];
        let text = self.text(original).to_owned();
        let mut typos = match typos_max {
            0 => Typos::default(),
            1 => self.one_typo_words(&text, is_prefix),
            _ => self.two_typo_words(&text, is_prefix),
        };
        let may_split = typos_max > 1 || self.terms[term].phrase.is_none();
        let split = if may_split { self.best_split(&text) } else { None };
        typos.split = split
            .filter(|split| typos_max > 1 || self.terms[term].joined_words.as_ref() != Some(split))
            .map(|split| self.phrase_number(split.into_iter().map(Some).collect()));
        self.terms[term].typos = Some(typos);
    }

    fn one_typo_words(&self, text: &str, is_prefix: bool) -> Typos {
        let dfa = automaton(text, 1, is_prefix);
        let words = self.index.postings.words_with_prefix(first_letter(text));
        let one = words
            .filter(|(word, id)| self.allows_typos(*id) && distance(&dfa, word) == Some(1))
            .map(|(_, id)| id)
            .take(ONE_TYPO_WORDS_MAX)
            .collect();
        Typos { split: None, one, two: Vec::new() }
    }

    /// One and two typos; a typo in the first letter counts as two.
    fn two_typo_words(&self, text: &str, is_prefix: bool) -> Typos {
        let (near, far) = (automaton(text, 1, is_prefix), automaton(text, 2, is_prefix));
        let first = first_letter(text);
        let mut typos = Typos::default();
        for (word, id) in self.index.postings.all_words() {
            if typos.one.len() >= ONE_TYPO_WORDS_MAX && typos.two.len() >= TWO_TYPO_WORDS_MAX {
                break;
            }
            let count = if word.starts_with(first) { distance(&far, word) } else { distance(&near, word).map(|_| 2) };
            let (list, limit) = match count {
                Some(1) => (&mut typos.one, ONE_TYPO_WORDS_MAX),
                Some(2) => (&mut typos.two, TWO_TYPO_WORDS_MAX),
                _ => continue,
            };
            if list.len() < limit && self.allows_typos(id) {
                list.push(id);
            }
        }
        typos
    }

    /// Whether some document holds the word in a field where typos are forgiven.
    fn allows_typos(&self, word: WordId) -> bool {
        self.index.postings.postings(word).is_some_and(|entry| !entry.tolerant.is_empty())
    }

    /// The two halves of a word that stand side by side in the most documents.
    fn best_split(&self, text: &str) -> Option<Vec<WordId>> {
        let postings = &self.index.postings;
        let mut best: Option<(usize, Vec<WordId>)> = None;
        for (cut, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(cut);
            let (Some(left), Some(right)) = (postings.word(left), postings.word(right)) else { continue };
            let everywhere =
                |word| postings.postings(word).map(|entry| &entry.tolerant | &entry.exact).unwrap_or_default();
            let both = everywhere(left) & everywhere(right);
            let count = both.iter().filter(|document| self.is_near(*document, left, right, 1)).count();
            if count > 0 && best.as_ref().is_none_or(|(most, _)| count > *most) {
                best = Some((count, vec![left, right]));
            }
        }
        best.map(|(_, halves)| halves)
    }

    fn searched(&self, term: TermId, word: WordId) -> SearchedWord {
        SearchedWord { word, is_derived: self.terms[term].joined_words.is_some() }
    }

    /// The ready-made prefix that is left of a term.
    pub(super) fn cached_prefix(&self, subset: TermSubset) -> Option<SearchedWord> {
        let term = &self.terms[subset.term];
        let is_left = term.is_cached_prefix && subset.without_typos != WithoutTypos::Nothing;
        is_left.then(|| self.searched(subset.term, term.original))
    }

    /// The words that are left of a term, ready-made prefixes aside.
    pub(super) fn single_words(&mut self, subset: TermSubset) -> Vec<SearchedWord> {
        if subset.one_typo || subset.two_typos {
            self.find_typos(subset.term);
        }
        let term = &self.terms[subset.term];
        let mut words: Vec<SearchedWord> = Vec::new();
        if subset.without_typos != WithoutTypos::Nothing {
            words.extend(term.exact.map(|word| self.searched(subset.term, word)));
        }
        if subset.without_typos == WithoutTypos::All {
            words.extend(term.prefix_of.iter().map(|word| self.searched(subset.term, *word)));
        }
        let typos = term.typos.as_ref();
        let derived = |word: &WordId| SearchedWord { word: *word, is_derived: true };
        if subset.one_typo {
            words.extend(typos.iter().flat_map(|typos| &typos.one).map(derived));
        }
        if subset.two_typos {
            words.extend(typos.iter().flat_map(|typos| &typos.two).map(derived));
        }
        words
    }

    /// The phrases that are left of a term; the phrase itself and synonyms always are.
    pub(super) fn all_phrases(&mut self, subset: TermSubset) -> Vec<PhraseId> {
        if subset.one_typo {
            self.find_typos(subset.term);
        }
        let term = &self.terms[subset.term];
        let mut phrases: Vec<PhraseId> = term.phrase.iter().chain(&term.synonyms).copied().collect();
        if subset.one_typo {
            phrases.extend(term.typos.as_ref().and_then(|typos| typos.split));
        }
        phrases.sort_unstable();
        phrases.dedup();
        phrases
    }

    /// The phrase that the user wrote, if it is left.
    pub(super) fn original_phrase(&self, subset: TermSubset) -> Option<PhraseId> {
        self.terms[subset.term].phrase.filter(|_| subset.without_typos != WithoutTypos::Nothing)
    }

    /// The exact form that is left of a term; joined words have none.
    pub(super) fn exact_term(&self, subset: TermSubset) -> Option<ExactTerm> {
        let term = &self.terms[subset.term];
        if term.joined_words.is_some() || subset.without_typos == WithoutTypos::Nothing {
            return None;
        }
        term.phrase.map(ExactTerm::Phrase).or(term.exact.map(ExactTerm::Word))
    }

    /// The most typos that are left of a term; split words count as one.
    pub(super) fn typos_left(&self, subset: TermSubset) -> u8 {
        let term = &self.terms[subset.term];
        match term.typos_max {
            0 => u8::from(term.phrase.is_none()),
            1 => u8::from(subset.one_typo),
            _ if subset.two_typos => 2,
            _ => u8::from(subset.one_typo),
        }
    }
}

fn first_letter(text: &str) -> &str {
    text.chars().next().map_or("", |letter| &text[..letter.len_utf8()])
}

fn automaton(text: &str, typos: u8, is_prefix: bool) -> DFA {
    // Building the tables takes a moment: once per thread.
    thread_local! {
        static ONE: LevenshteinAutomatonBuilder = LevenshteinAutomatonBuilder::new(1, true);
        static TWO: LevenshteinAutomatonBuilder = LevenshteinAutomatonBuilder::new(2, true);
    }
    let build = |builder: &LevenshteinAutomatonBuilder| {
        if is_prefix { builder.build_prefix_dfa(text) } else { builder.build_dfa(text) }
    };
    if typos == 1 { ONE.with(build) } else { TWO.with(build) }
}

/// The number of typos between the automaton's word and another, if it is within its reach.
fn distance(dfa: &DFA, word: &str) -> Option<u8> {
    let mut state = dfa.initial_state();
    for byte in word.bytes() {
        state = dfa.transition(state, byte);
        if state == SINK_STATE {
            return None;
        }
    }
    match dfa.distance(state) {
        Distance::Exact(distance) => Some(distance),
        Distance::AtLeast(_) => None,
    }
}
