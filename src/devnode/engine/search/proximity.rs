//! Which documents hold two terms near each other, and how near.
//!
//! Of each pair of words only the smallest forward distance in a document counts. Distances are 1 to 3; backwards is
//! one worse than forwards. Measured by walking over the words of the documents in question.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::context::{Context, PhraseId};
use super::terms::TermSubset;
use crate::devnode::engine::postings::{DISTANCE_MAX, PlacedWord, WordId};
use crate::devnode::engine::settings::ProximityPrecision;

const LEFT_WORD: u8 = 1;
const LEFT_PHRASE: u8 = 2;
const RIGHT_WORD: u8 = 4;
const RIGHT_PHRASE: u8 = 8;
const RIGHT_PREFIX: u8 = 16;
/// The prefix itself as a word: the only one that counts backwards for a ready-made prefix.
const PREFIX_ITSELF: u8 = 32;
const ANY_LEFT: u8 = LEFT_WORD | LEFT_PHRASE;
const ANY_RIGHT: u8 = RIGHT_WORD | RIGHT_PHRASE | RIGHT_PREFIX;

/// Documents by the smallest distance of some pair of words, index 1 to 3.
#[derive(Default, Clone)]
pub(super) struct PairSets {
    pub(super) forward: [RoaringBitmap; DISTANCE_MAX as usize],
    pub(super) backward: [RoaringBitmap; DISTANCE_MAX as usize],
}

/// What the words of the documents are to the pair of terms.
struct Roles {
    flags: Vec<u8>,
    left_phrases: HashMap<WordId, RoaringBitmap>,
    right_phrases: HashMap<WordId, RoaringBitmap>,
}

impl Roles {
    fn set(&mut self, word: WordId, flag: u8) {
        // Words that no document holds have no place here.
        if let Some(flags) = self.flags.get_mut(word as usize) {
            *flags |= flag;
        }
    }

    fn of(&self, word: WordId) -> u8 {
        self.flags[word as usize]
    }

    fn left_counts(&self, word: WordId, document: u32) -> bool {
        self.of(word) & LEFT_WORD != 0
            || self.left_phrases.get(&word).is_some_and(|documents| documents.contains(document))
    }

    fn right_counts(&self, word: WordId, document: u32) -> bool {
        self.of(word) & (RIGHT_WORD | RIGHT_PREFIX) != 0
            || self.right_phrases.get(&word).is_some_and(|documents| documents.contains(document))
    }
}

impl Context<'_> {
    /// How near the words of two terms stand in the documents of `universe`.
    pub(super) fn pair_sets(&mut self, left: TermSubset, right: TermSubset, universe: &RoaringBitmap) -> PairSets {
        let roles = self.roles(left, right);
        let mut sets = PairSets::default();
        let by_word = self.index.settings.proximity_precision == ProximityPrecision::ByWord;
        for document in universe {
            let words = self.index.postings.document(document);
            if by_word {
                add_distances(document, words, &roles, &mut sets);
            } else if shares_field(document, words, &roles) {
                for set in sets.forward.iter_mut().chain(&mut sets.backward) {
                    set.insert(document);
                }
            }
        }
        sets
    }

    fn roles(&mut self, left: TermSubset, right: TermSubset) -> Roles {
        let mut roles = Roles {
            flags: vec![0; self.index.postings.word_limit()],
            left_phrases: HashMap::new(),
            right_phrases: HashMap::new(),
        };
        for word in self.single_words(left) {
            roles.set(word.word, LEFT_WORD);
        }
        for word in self.single_words(right) {
            roles.set(word.word, RIGHT_WORD);
        }
        let edge_word = |context: &Self, phrase: PhraseId, last: bool| {
            let words = context.phrase(phrase);
            if last { words.last().copied().flatten() } else { words.first().copied().flatten() }
        };
        for phrase in self.all_phrases(left) {
            if let Some(word) = edge_word(self, phrase, true) {
                roles.set(word, LEFT_PHRASE);
                *roles.left_phrases.entry(word).or_default() |= &*self.phrase_documents(phrase);
            }
        }
        for phrase in self.all_phrases(right) {
            if let Some(word) = edge_word(self, phrase, false) {
                roles.set(word, RIGHT_PHRASE);
                *roles.right_phrases.entry(word).or_default() |= &*self.phrase_documents(phrase);
            }
        }
        if let Some(prefix) = self.cached_prefix(right) {
            roles.set(prefix.word, PREFIX_ITSELF);
            for (_, word) in self.index.postings.words_with_prefix(self.text(prefix.word)) {
                roles.set(word, RIGHT_PREFIX);
            }
        }
        roles
    }
}

fn add_distances(document: u32, words: &[PlacedWord], roles: &Roles, sets: &mut PairSets) {
    // Few pairs of a document matter: lists are faster than maps.
    let mut forward: Vec<(WordId, WordId, u16)> = Vec::new();
    let mut backward: Vec<(WordId, WordId, u16)> = Vec::new();
    for (place, first) in words.iter().enumerate() {
        let flags = roles.of(first.word);
        if flags == 0 {
            continue;
        }
        for second in &words[place + 1..] {
            if second.field != first.field || second.position - first.position >= DISTANCE_MAX {
                break;
            }
            let gap = second.position - first.position;
            let others = roles.of(second.word);
            if gap == 0 || others == 0 {
                continue;
            }
            if flags & ANY_LEFT != 0 && others & ANY_RIGHT != 0 {
                keep_smallest(&mut forward, first.word, second.word, gap);
            }
            if flags & (RIGHT_WORD | PREFIX_ITSELF) != 0 && others & LEFT_WORD != 0 {
                keep_smallest(&mut backward, first.word, second.word, gap);
            }
        }
    }
    for (left, right, gap) in forward {
        if roles.left_counts(left, document) && roles.right_counts(right, document) {
            sets.forward[usize::from(gap)].insert(document);
        }
    }
    for (_, _, gap) in backward {
        sets.backward[usize::from(gap)].insert(document);
    }
}

fn keep_smallest(pairs: &mut Vec<(WordId, WordId, u16)>, first: WordId, second: WordId, gap: u16) {
    match pairs.iter_mut().find(|pair| pair.0 == first && pair.1 == second) {
        Some(pair) => pair.2 = pair.2.min(gap),
        None => pairs.push((first, second, gap)),
    }
}

fn shares_field(document: u32, words: &[PlacedWord], roles: &Roles) -> bool {
    let lefts = words.iter().filter(|word| roles.left_counts(word.word, document));
    lefts
        .into_iter()
        .any(|left| words.iter().any(|right| right.field == left.field && roles.right_counts(right.word, document)))
}
