//! What one search knows: the index, the words and phrases of the query by number, and sets of documents computed once.
//!
//! A word of the query that no document holds gets a number past those of the index, so that all words compare alike.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use roaring::{MultiOps as _, RoaringBitmap};

use super::terms::QueryTerm;
use crate::devnode::engine::fields::FieldId;
use crate::devnode::engine::index::Index;
use crate::devnode::engine::postings::{WordId, WordPostings};
use crate::devnode::engine::settings::ProximityPrecision;

/// The number of a phrase of one search.
pub(in crate::devnode::engine) type PhraseId = usize;

/// Words side by side; `None` is a stop word.
pub(in crate::devnode::engine) type Phrase = Vec<Option<WordId>>;

/// A word with its origin: derived words (typos, joined words) are not looked for where words must be written right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct SearchedWord {
    pub(super) word: WordId,
    pub(super) is_derived: bool,
}

/// Where all words with a prefix are.
#[derive(Default)]
pub(super) struct PrefixPostings {
    pub(super) tolerant: RoaringBitmap,
    pub(super) exact: RoaringBitmap,
    pub(super) by_field: BTreeMap<FieldId, RoaringBitmap>,
    pub(super) by_position: BTreeMap<u16, RoaringBitmap>,
}

/// The fields of `attributesToSearchOn`.
#[derive(Default)]
pub(super) struct RestrictedFields {
    pub(super) tolerant: Vec<FieldId>,
    pub(super) exact: Vec<FieldId>,
}

/// See the head of the file.
pub(in crate::devnode::engine) struct Context<'a> {
    pub(super) index: &'a Index,
    pub(super) restricted: Option<RestrictedFields>,
    pub(super) terms: Vec<QueryTerm>,
    unknown_words: Vec<String>,
    phrases: Vec<Phrase>,
    phrase_documents: HashMap<PhraseId, Rc<RoaringBitmap>>,
    prefixes: HashMap<WordId, Rc<PrefixPostings>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        Self {
            index,
            restricted: None,
            terms: Vec::new(),
            unknown_words: Vec::new(),
            phrases: Vec::new(),
            phrase_documents: HashMap::new(),
            prefixes: HashMap::new(),
        }
    }

    /// The number of a word, whether documents hold it or not.
    pub(super) fn word(&mut self, text: &str) -> WordId {
        if let Some(word) = self.index.postings.word(text) {
            return word;
        }
        let first = self.index.postings.word_limit();
        let place = self.unknown_words.iter().position(|known| known == text).unwrap_or_else(|| {
            self.unknown_words.push(text.to_owned());
            self.unknown_words.len() - 1
        });
        (first + place) as WordId
    }

    /// The text of a word.
    pub(in crate::devnode::engine) fn text(&self, word: WordId) -> &str {
        match (word as usize).checked_sub(self.index.postings.word_limit()) {
            Some(place) => &self.unknown_words[place],
            None => self.index.postings.text(word),
        }
    }

    /// The number of a phrase.
    pub(super) fn phrase_number(&mut self, phrase: Phrase) -> PhraseId {
        self.phrases.iter().position(|known| *known == phrase).unwrap_or_else(|| {
            self.phrases.push(phrase);
            self.phrases.len() - 1
        })
    }

    /// The words of a phrase.
    pub(in crate::devnode::engine) fn phrase(&self, phrase: PhraseId) -> &Phrase {
        &self.phrases[phrase]
    }

    /// Adds to `found` the documents of `universe` (all when `None`) that hold a word.
    pub(super) fn add_word_documents(
        &self,
        universe: Option<&RoaringBitmap>,
        word: SearchedWord,
        found: &mut RoaringBitmap,
    ) {
        let Some(entry) = self.index.postings.postings(word.word) else { return };
        self.add_documents((&entry.tolerant, &entry.exact, &entry.by_field), universe, word.is_derived, found);
    }

    /// Adds to `found` the documents that hold a word with a prefix.
    pub(super) fn add_prefix_documents(
        &mut self,
        universe: Option<&RoaringBitmap>,
        prefix: SearchedWord,
        found: &mut RoaringBitmap,
    ) {
        let entry = self.prefix(prefix.word);
        self.add_documents((&entry.tolerant, &entry.exact, &entry.by_field), universe, prefix.is_derived, found);
    }

    fn add_documents(
        &self,
        (tolerant, exact, by_field): (&RoaringBitmap, &RoaringBitmap, &BTreeMap<FieldId, RoaringBitmap>),
        universe: Option<&RoaringBitmap>,
        is_derived: bool,
        found: &mut RoaringBitmap,
    ) {
        let mut add = |documents: &RoaringBitmap| match universe {
            Some(universe) => *found |= documents & universe,
            None => *found |= documents,
        };
        match &self.restricted {
            None => {
                add(tolerant);
                if !is_derived {
                    add(exact);
                }
            }
            Some(fields) => {
                fields.tolerant.iter().filter_map(|field| by_field.get(field)).for_each(&mut add);
                if !is_derived {
                    fields.exact.iter().filter_map(|field| by_field.get(field)).for_each(&mut add);
                }
            }
        }
    }

    /// All documents that hold a word.
    pub(super) fn word_documents(&self, word: WordId) -> RoaringBitmap {
        let mut found = RoaringBitmap::new();
        self.add_word_documents(None, SearchedWord { word, is_derived: false }, &mut found);
        found
    }

    /// Where the words with a prefix are.
    pub(super) fn prefix(&mut self, prefix: WordId) -> Rc<PrefixPostings> {
        if let Some(entry) = self.prefixes.get(&prefix) {
            return Rc::clone(entry);
        }
        let postings = &self.index.postings;
        let entries: Vec<&WordPostings> =
            postings.words_with_prefix(self.text(prefix)).filter_map(|(_, word)| postings.postings(word)).collect();
        let all = PrefixPostings {
            tolerant: entries.iter().map(|entry| &entry.tolerant).union(),
            exact: entries.iter().map(|entry| &entry.exact).union(),
            by_field: unions(entries.iter().flat_map(|entry| &entry.by_field)),
            by_position: unions(entries.iter().flat_map(|entry| &entry.by_position)),
        };
        let all = Rc::new(all);
        self.prefixes.insert(prefix, Rc::clone(&all));
        all
    }

    /// Whether the fields searched include this one.
    pub(super) fn is_searched(&self, field: FieldId) -> bool {
        self.restricted.as_ref().is_none_or(|fields| fields.tolerant.contains(&field) || fields.exact.contains(&field))
    }

    /// The documents that hold a phrase: each pair of neighbours at distance 1, words two apart at most 2.
    pub(super) fn phrase_documents(&mut self, phrase: PhraseId) -> Rc<RoaringBitmap> {
        if let Some(documents) = self.phrase_documents.get(&phrase) {
            return Rc::clone(documents);
        }
        let documents = Rc::new(self.compute_phrase_documents(phrase));
        self.phrase_documents.insert(phrase, Rc::clone(&documents));
        documents
    }

    fn compute_phrase_documents(&self, phrase: PhraseId) -> RoaringBitmap {
        let words = &self.phrases[phrase];
        let mut known = words.iter().flatten().map(|word| self.word_documents(*word));
        let Some(first) = known.next() else { return RoaringBitmap::new() };
        let mut candidates = known.fold(first, |left, right| left & right);
        let mut pairs = Vec::new();
        for (place, first) in words.iter().enumerate() {
            let Some(first) = *first else { continue };
            for apart in 1..=2 {
                if let Some(Some(second)) = words.get(place + apart) {
                    pairs.push((first, *second, apart as u8));
                }
            }
        }
        let near =
            |document: u32| pairs.iter().all(|(first, second, apart)| self.is_near(document, *first, *second, *apart));
        candidates = candidates.iter().filter(|document| near(*document)).collect();
        candidates
    }

    /// Whether `second` follows `first` within `apart` words in a document, or shares a field with it where only
    /// attributes count.
    pub(super) fn is_near(&self, document: u32, first: WordId, second: WordId, apart: u8) -> bool {
        match self.index.settings.proximity_precision {
            ProximityPrecision::ByWord => {
                self.index.postings.distance(document, first, second).is_some_and(|distance| distance <= apart)
            }
            ProximityPrecision::ByAttribute => self.index.postings.share_field(document, first, second),
        }
    }
}

/// The union of the sets of each key; many small sets are united at once, which is far faster than one by one.
fn unions<'a, K: Ord + Copy + 'a>(
    sets: impl Iterator<Item = (&'a K, &'a RoaringBitmap)>,
) -> BTreeMap<K, RoaringBitmap> {
    let mut by_key: BTreeMap<K, Vec<&RoaringBitmap>> = BTreeMap::new();
    for (key, set) in sets {
        by_key.entry(*key).or_default().push(set);
    }
    by_key.into_iter().map(|(key, sets)| (key, sets.into_iter().union())).collect()
}
