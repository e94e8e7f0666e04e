//! The inverted index: which documents hold a word, in which fields, at which places; and the words of each document
//! in their order, from which proximities are measured on demand.
//!
//! Invariant: the dictionary holds exactly the words that some document holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use roaring::RoaringBitmap;

use super::fields::FieldId;
use super::tokenize::{FieldWord, bucketed_position};

/// The number of a word in one index. Numbers are never taken back.
pub(super) type WordId = u32;

/// From this many words on, a prefix of at most [`CACHED_PREFIX_BYTES_MAX`] bytes is one of those that Meilisearch keeps
/// ready-made: they find every word, others at most a thousand.
const CACHED_PREFIX_WORDS_MIN: usize = 100;
/// See [`CACHED_PREFIX_WORDS_MIN`].
const CACHED_PREFIX_BYTES_MAX: usize = 4;
/// Fields with more words are not counted.
const COUNTED_WORDS_MAX: u32 = 30;
/// Words at this distance or more are not near.
pub(super) const DISTANCE_MAX: u16 = 4;

/// Where a word is.
#[derive(Clone, Debug, Default)]
pub(super) struct WordPostings {
    text: Box<str>,
    /// Documents where it may be found with typos.
    pub(super) tolerant: RoaringBitmap,
    /// Documents where it must be written right.
    pub(super) exact: RoaringBitmap,
    /// Documents by field.
    pub(super) by_field: BTreeMap<FieldId, RoaringBitmap>,
    /// Documents by bucketed position, whatever the field.
    pub(super) by_position: BTreeMap<u16, RoaringBitmap>,
}

/// A word at its place in a document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct PlacedWord {
    /// The field.
    pub(super) field: FieldId,
    /// The place in the field, not bucketed.
    pub(super) position: u16,
    /// The word.
    pub(super) word: WordId,
    /// Whether it must be written right here.
    exact: bool,
}

/// Words in byte order, their texts one after the other.
#[derive(Clone, Debug, Default)]
struct WordList {
    text: String,
    /// Where each text ends, and whose it is.
    ends: Vec<(usize, WordId)>,
}

/// See the head of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Postings {
    dictionary: BTreeMap<Box<str>, WordId>,
    /// The dictionary again, in one piece of memory for walks over all words; made when first needed after a change.
    list: OnceLock<WordList>,
    numbers: HashMap<Box<str>, WordId>,
    words: Vec<WordPostings>,
    documents: HashMap<u32, Vec<PlacedWord>>,
    word_counts: HashMap<(FieldId, u8), RoaringBitmap>,
}

impl Postings {
    /// Adds a word of a document; [`Postings::finish`] must follow once per document.
    pub(super) fn add(&mut self, document: u32, word: FieldWord<'_>, exact: bool) {
        let id = self.number(word.word);
        let entry = &mut self.words[id as usize];
        if entry.tolerant.is_empty() && entry.exact.is_empty() {
            self.dictionary.insert(entry.text.clone(), id);
            self.list = OnceLock::new();
        }
        if exact { &mut entry.exact } else { &mut entry.tolerant }.insert(document);
        entry.by_field.entry(word.field).or_default().insert(document);
        entry.by_position.entry(bucketed_position(word.position)).or_default().insert(document);
        let placed = PlacedWord { field: word.field, position: word.position, word: id, exact };
        self.documents.entry(document).or_default().push(placed);
    }

    /// Ends a document: sorts its words and counts those of each field.
    pub(super) fn finish(&mut self, document: u32) {
        let Some(placed) = self.documents.get_mut(&document) else { return };
        placed.sort_unstable();
        placed.shrink_to_fit();
        for (field, count) in word_counts(placed) {
            self.word_counts.entry((field, count)).or_default().insert(document);
        }
    }

    /// Takes a document out.
    pub(super) fn remove(&mut self, document: u32) {
        let Some(placed) = self.documents.remove(&document) else { return };
        for key in word_counts(&placed) {
            if let Some(documents) = self.word_counts.get_mut(&key) {
                documents.remove(document);
            }
        }
        for PlacedWord { field, position, word, exact } in placed {
            let entry = &mut self.words[word as usize];
            if exact { &mut entry.exact } else { &mut entry.tolerant }.remove(document);
            remove_from(&mut entry.by_field, field, document);
            remove_from(&mut entry.by_position, bucketed_position(position), document);
            if entry.tolerant.is_empty() && entry.exact.is_empty() {
                self.dictionary.remove(&entry.text);
                self.list = OnceLock::new();
            }
        }
    }

    fn number(&mut self, text: &str) -> WordId {
        if let Some(&id) = self.numbers.get(text) {
            return id;
        }
        let id = self.words.len() as WordId;
        let text: Box<str> = text.into();
        self.numbers.insert(text.clone(), id);
        self.words.push(WordPostings { text, ..WordPostings::default() });
        id
    }

    /// The number of a word that some document holds.
    pub(super) fn word(&self, text: &str) -> Option<WordId> {
        self.dictionary.get(text).copied()
    }

    /// The text of a word.
    pub(super) fn text(&self, word: WordId) -> &str {
        &self.words[word as usize].text
    }

    /// Where a word is; `None` for words that no document ever held.
    pub(super) fn postings(&self, word: WordId) -> Option<&WordPostings> {
        self.words.get(word as usize)
    }

    /// One more than the largest number of a word.
    pub(super) fn word_limit(&self) -> usize {
        self.words.len()
    }

    /// All words in byte order.
    pub(super) fn all_words(&self) -> impl Iterator<Item = (&str, WordId)> {
        let list = self.list.get_or_init(|| {
            let mut list = WordList::default();
            for (text, id) in &self.dictionary {
                list.text.push_str(text);
                list.ends.push((list.text.len(), *id));
            }
            list
        });
        let starts = std::iter::once(0).chain(list.ends.iter().map(|(end, _)| *end));
        starts.zip(&list.ends).map(|(start, (end, id))| (&list.text[start..*end], *id))
    }

    /// The words that begin with a prefix, in byte order.
    pub(super) fn words_with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, WordId)> {
        self.dictionary
            .range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .take_while(move |(text, _)| text.starts_with(prefix))
            .map(|(text, id)| (&**text, *id))
    }

    /// Whether Meilisearch keeps this prefix ready-made, see [`CACHED_PREFIX_WORDS_MIN`].
    pub(super) fn is_cached_prefix(&self, prefix: &str) -> bool {
        prefix.len() <= CACHED_PREFIX_BYTES_MAX
            && self.words_with_prefix(prefix).take(CACHED_PREFIX_WORDS_MIN).count() == CACHED_PREFIX_WORDS_MIN
    }

    /// Documents whose field has exactly this many words.
    pub(super) fn with_word_count(&self, field: FieldId, count: u8) -> Option<&RoaringBitmap> {
        self.word_counts.get(&(field, count))
    }

    /// The words of a document by field and place.
    pub(super) fn document(&self, document: u32) -> &[PlacedWord] {
        self.documents.get(&document).map_or(&[], Vec::as_slice)
    }

    /// The smallest distance (1 to 3) at which `second` follows `first` in one field of the document.
    pub(super) fn distance(&self, document: u32, first: WordId, second: WordId) -> Option<u8> {
        let placed = self.document(document);
        let mut best: Option<u8> = None;
        for (start, left) in placed.iter().enumerate().filter(|(_, placed)| placed.word == first) {
            for right in &placed[start + 1..] {
                let gap = right.position - left.position.min(right.position);
                if right.field != left.field || gap >= DISTANCE_MAX {
                    break;
                }
                if right.word == second && gap > 0 {
                    let gap = gap as u8;
                    best = Some(best.map_or(gap, |best| best.min(gap)));
                    break;
                }
            }
        }
        best
    }

    /// Whether one field of the document holds both words.
    pub(super) fn share_field(&self, document: u32, first: WordId, second: WordId) -> bool {
        let holds = |word: WordId| {
            let fields = self.postings(word).into_iter().flat_map(|entry| &entry.by_field);
            fields.filter(|(_, documents)| documents.contains(document)).map(|(field, _)| *field)
        };
        let second_fields: Vec<FieldId> = holds(second).collect();
        holds(first).any(|field| second_fields.contains(&field))
    }
}

fn remove_from<K: Ord>(map: &mut BTreeMap<K, RoaringBitmap>, key: K, document: u32) {
    if let std::collections::btree_map::Entry::Occupied(mut entry) = map.entry(key) {
        entry.get_mut().remove(document);
        if entry.get().is_empty() {
            entry.remove();
        }
    }
}

fn word_counts(placed: &[PlacedWord]) -> Vec<(FieldId, u8)> {
    let mut counts: BTreeMap<FieldId, u32> = BTreeMap::new();
    for word in placed {
        *counts.entry(word.field).or_default() += 1;
    }
    counts
        .into_iter()
        .filter(|(_, count)| *count <= COUNTED_WORDS_MAX)
        .map(|(field, count)| (field, count as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(postings: &mut Postings, document: u32, field: FieldId, text: &str) {
        for (position, word) in text.split(' ').enumerate() {
            postings.add(document, FieldWord { field, name: "f", position: position as u16, word }, false);
        }
        postings.finish(document);
    }

    #[test]
    fn a_removed_document_leaves_no_word_behind() {
        let mut postings = Postings::default();
        add(&mut postings, 1, 0, "deep purple rain");
        add(&mut postings, 2, 0, "purple rain");
        postings.remove(1);
        assert_eq!(postings.word("deep"), None);
        assert_eq!(postings.all_words().map(|(word, _)| word).collect::<Vec<_>>(), ["purple", "rain"]);
        assert!(postings.with_word_count(0, 3).is_none_or(RoaringBitmap::is_empty));
        assert!(postings.with_word_count(0, 2).is_some_and(|documents| documents.contains(2)));
        add(&mut postings, 3, 0, "deep");
        assert!(postings.word("deep").is_some());
    }

    #[test]
    fn distance_is_the_smallest_forward_gap_below_four() {
        let mut postings = Postings::default();
        add(&mut postings, 1, 0, "a x x b a y b");
        let word = |text| postings.word(text).unwrap();
        assert_eq!(postings.distance(1, word("a"), word("b")), Some(2));
        assert_eq!(postings.distance(1, word("b"), word("a")), Some(1));
        assert_eq!(postings.distance(1, word("x"), word("x")), Some(1));
        assert_eq!(postings.distance(1, word("y"), word("x")), None);
    }
}
