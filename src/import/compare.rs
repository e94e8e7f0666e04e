//! Whether two indexes have the same documents, whatever the order, in little memory: what they come to by ranges of ids; then
//! only the ids in ranges that differ.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::ImportError;
use super::source::{Object, Page, Source, SourceIndex};
use crate::logic::digest::{ContentHash, document_digest};
use crate::logic::primary_key::id_in;

/// Ranges of hashes of ids.
const RANGES: usize = 1 << 16;
/// Ids that are named.
const EXAMPLES_MAX: usize = 10;
/// Ranges whose documents are told apart when examples are enough.
const EXAMPLE_RANGES_MAX: usize = 64;

/// What the documents of a range, or of all, come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum {
    /// How many.
    pub documents: u64,
    /// Of their hashes: the same in whatever order they come.
    pub hash: u128,
}

/// What the documents of an index come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fingerprint(Vec<Sum>);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(vec![Sum::default(); RANGES])
    }
}

impl Fingerprint {
    /// Adds a document.
    pub fn add(&mut self, id_hash: u64, content: ContentHash) {
        let sum = &mut self.0[range_of(id_hash)];
        sum.documents += 1;
        sum.hash = sum.hash.wrapping_add(content.value());
    }

    /// Of all documents.
    pub fn total(&self) -> Sum {
        self.0.iter().fold(Sum::default(), |all, sum| Sum {
            documents: all.documents + sum.documents,
            hash: all.hash.wrapping_add(sum.hash),
        })
    }

    /// The ranges that differ.
    pub fn differing(&self, other: &Self) -> BTreeSet<usize> {
        (0..RANGES).filter(|range| self.0[*range] != other.0[*range]).collect()
    }
}

fn range_of(id_hash: u64) -> usize {
    (id_hash >> 48) as usize
}

/// One document, as it is compared.
struct Seen<'a> {
    id_hash: u64,
    content: ContentHash,
    text: &'a str,
}

/// Goes through all documents of an index; one without a single id is an error.
fn each_document(
    source: &dyn Source,
    index: &SourceIndex,
    each: &mut dyn FnMut(Seen<'_>) -> Result<(), ImportError>,
    after_page: &mut dyn FnMut(u64) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let primary_key = index.primary_key.as_deref().unwrap_or_default();
    source.documents(index, 0, &mut |page: Page<'_>| {
        for text in &page.documents {
            let digest = document_digest(text, primary_key).map_err(|error| {
                ImportError::Failed(format!(
                    "{} gives a document of `{}` without an id: {error}",
                    source.name(),
                    index.uid
                ))
            })?;
            each(Seen { id_hash: digest.id_hash, content: digest.content, text })?;
        }
        after_page(page.next())
    })
}

/// Reads all documents of an index.
pub fn fingerprint(
    source: &dyn Source,
    index: &SourceIndex,
    after_page: &mut dyn FnMut(u64) -> Result<(), ImportError>,
) -> Result<Fingerprint, ImportError> {
    let mut fingerprint = Fingerprint::default();
    let mut add = |seen: Seen<'_>| {
        fingerprint.add(seen.id_hash, seen.content);
        Ok(())
    };
    each_document(source, index, &mut add, after_page)?;
    Ok(fingerprint)
}

/// What is done about documents that differ.
pub trait Mending {
    /// The source's document is not in Miroir, or is another one there.
    fn put(&mut self, document: &str) -> Result<(), ImportError>;
    /// Miroir's document is not in the source.
    fn delete(&mut self, id: &str) -> Result<(), ImportError>;
}

/// Tells documents apart in ranges that differ, and does something about each. `second` is Miroir.
pub fn mend(
    (first, second): (&dyn Source, &dyn Source),
    index: &SourceIndex,
    ranges: &BTreeSet<usize>,
    mending: &mut dyn Mending,
) -> Result<(), ImportError> {
    let primary_key = index.primary_key.as_deref().unwrap_or_default();
    let mut there: HashMap<u64, (ContentHash, String)> = HashMap::new();
    let mut note = |seen: Seen<'_>| {
        if ranges.contains(&range_of(seen.id_hash)) {
            let id = id_in(primary_key, seen.text).map(std::borrow::Cow::into_owned).unwrap_or_default();
            there.insert(seen.id_hash, (seen.content, id));
        }
        Ok(())
    };
    each_document(second, index, &mut note, &mut |_| Ok(()))?;
    let mut put = |seen: Seen<'_>| {
        let is_same = there.remove(&seen.id_hash).is_some_and(|(content, _)| content == seen.content);
        if is_same || !ranges.contains(&range_of(seen.id_hash)) { Ok(()) } else { mending.put(seen.text) }
    };
    each_document(first, index, &mut put, &mut |_| Ok(()))?;
    there.values().try_for_each(|(_, id)| mending.delete(id))
}

/// Some ids of documents that differ.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Examples {
    /// In the source, and not so in Miroir.
    pub missing_or_other: Vec<String>,
    /// In Miroir only.
    pub only_in_miroir: Vec<String>,
}

struct Collecting<'a> {
    primary_key: &'a str,
    found: Examples,
}

impl Mending for Collecting<'_> {
    fn put(&mut self, document: &str) -> Result<(), ImportError> {
        if self.found.missing_or_other.len() < EXAMPLES_MAX {
            let id = id_in(self.primary_key, document).map(std::borrow::Cow::into_owned).unwrap_or_default();
            self.found.missing_or_other.push(id);
        }
        Ok(())
    }

    fn delete(&mut self, id: &str) -> Result<(), ImportError> {
        if self.found.only_in_miroir.len() < EXAMPLES_MAX {
            self.found.only_in_miroir.push(id.to_owned());
        }
        Ok(())
    }
}

/// Some documents that differ.
pub fn examples(
    sources: (&dyn Source, &dyn Source),
    index: &SourceIndex,
    ranges: &BTreeSet<usize>,
) -> Result<Examples, ImportError> {
    let primary_key = index.primary_key.as_deref().unwrap_or_default();
    let some = ranges.iter().copied().take(EXAMPLE_RANGES_MAX).collect();
    let mut collecting = Collecting { primary_key, found: Examples::default() };
    mend(sources, index, &some, &mut collecting)?;
    Ok(collecting.found)
}

/// The settings that were given to Miroir and that it does not show so.
pub fn differing_settings(given: &Object, source: &Object, shown: &Object) -> Vec<String> {
    // Keys of embedders are shown shortened, so what is compared is what both show.
    let expected = |name: &String| match source.get(name) {
        Some(Value::Object(fields)) if name == "embedders" => {
            let taken = given[name].as_object();
            let is_taken = |embedder: &str| taken.is_some_and(|taken| taken.contains_key(embedder));
            fields
                .iter()
                .filter(|(name, _)| is_taken(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        }
        value => value.cloned().unwrap_or_default(),
    };
    given.keys().filter(|name| shown.get(*name).cloned().unwrap_or_default() != expected(name)).cloned().collect()
}
