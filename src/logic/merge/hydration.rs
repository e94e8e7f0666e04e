//! Documents of other indexes in the place of their ids: what one server does with foreign keys when it has its hits.
//!
//! * Looked for are the ids that stand in a hit at the path of a foreign key, alone or in a list up to the first value that
//!   is none.
//! * Then every single value at or below that path, in the hit and in its `_formatted`, is replaced if it is one of the ids
//!   that were looked for, for whichever hit: by the document, or by `{}` if there is none.
//! * One key after the other does so, the later ones in what the earlier ones have put in, too.
//!
//! The text of the answer stays as it is but for these values.

use std::collections::{BTreeMap, BTreeSet};

use super::MergeError;
use super::documents::NodePage;
use crate::logic::document_id::canonical_id;
use crate::logic::json::{Malformed, Member, Part, elements, members, offset_of};
use crate::logic::marker::strip;
use crate::logic::primary_key::id_in;
use crate::meili::fields::{Selection, select};
use crate::meili::search::Displayed;
use crate::meili::settings::ForeignKey;

/// The foreign keys that the hits of an answer have.
#[derive(Clone, Copy, Debug)]
pub enum Keys<'a> {
    /// All hits are of one index.
    OfIndex(&'a [ForeignKey]),
    /// Those of each query of a federated search, by its place.
    OfQueries(&'a [Vec<ForeignKey>]),
}

impl<'a> Keys<'a> {
    /// There are none.
    pub fn is_empty(self) -> bool {
        match self {
            Self::OfIndex(keys) => keys.is_empty(),
            Self::OfQueries(lists) => lists.iter().all(Vec::is_empty),
        }
    }

    fn of_hit(self, hit: &str) -> Result<&'a [ForeignKey], Malformed> {
        match self {
            Self::OfIndex(keys) => Ok(keys),
            Self::OfQueries(lists) => Ok(lists.get(query_of(hit)?).map(Vec::as_slice).unwrap_or_default()),
        }
    }
}

/// Documents of one index by their canonical ids. What is not there is not known: its value stays.
pub type ForeignDocuments = BTreeMap<String, String>;

/// A document that does not exist.
pub const NO_DOCUMENT: &str = "{}";

/// The answer cannot be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HydrationError {
    /// It cannot be read.
    Malformed,
    /// It would have too many bytes.
    TooLarge,
}

impl From<Malformed> for HydrationError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The documents that the hits of a search answer name: ids by index.
///
/// # Errors
/// [`Malformed`].
pub fn wanted<'a>(body: &str, keys: Keys<'a>) -> Result<BTreeMap<&'a str, BTreeSet<String>>, Malformed> {
    let mut wanted: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for hit in hits_of(body)?.map(elements).into_iter().flatten() {
        let hit = hit?.text;
        for ForeignKey { index_uid, field } in keys.of_hit(hit)? {
            visit_ids(members(hit), field, &mut |id| {
                wanted.entry(&**index_uid).or_default().insert(id);
            })?;
        }
    }
    Ok(wanted)
}

/// The answer with documents in the place of their ids, if these come to so many bytes at most.
///
/// # Errors
/// [`HydrationError`].
pub fn hydrated(
    body: &str,
    keys: Keys<'_>,
    documents: &BTreeMap<&str, ForeignDocuments>,
    bytes_max: usize,
) -> Result<String, HydrationError> {
    let (mut text, mut done, mut bytes) = (String::with_capacity(body.len()), 0, 0);
    for hit in hits_of(body)?.map(elements).into_iter().flatten() {
        let hit = hit?.text;
        let start = offset_of(body, hit);
        text.push_str(&body[done..start]);
        done = start + hit.len();
        let mut whole = hit.to_owned();
        for key in keys.of_hit(hit)? {
            let Some(documents) = documents.get(&*key.index_uid) else { continue };
            let mut filling = Filling { whole: &whole, field: &key.field, documents, text: String::new(), done: 0 };
            filling.hit(bytes_max - bytes)?;
            let filled = filling.finish();
            bytes += filled.len().saturating_sub(whole.len());
            if bytes > bytes_max {
                return Err(HydrationError::TooLarge);
            }
            whole = filled;
        }
        text.push_str(&whole);
    }
    text.push_str(&body[done..]);
    Ok(text)
}

/// One key puts documents into one hit.
struct Filling<'a> {
    whole: &'a str,
    field: &'a str,
    documents: &'a ForeignDocuments,
    text: String,
    /// What of the hit is in the text.
    done: usize,
}

impl<'a> Filling<'a> {
    fn hit(&mut self, bytes_max: usize) -> Result<(), HydrationError> {
        for member in members(self.whole) {
            let member = member?;
            match member.key.as_ref() {
                "_rankingScore" | "_rankingScoreDetails" | "_matchesPosition" | "_federation" => {}
                "_formatted" if member.value.text.starts_with('{') => {
                    for member in member.value.members()? {
                        let member = member?;
                        self.value(member.value, &member.key, bytes_max)?;
                    }
                }
                key => self.value(member.value, key, bytes_max)?,
            }
        }
        Ok(())
    }

    fn value(&mut self, value: Part<'a>, path: &str, bytes_max: usize) -> Result<(), HydrationError> {
        if !is_below(path, self.field) && !is_below(self.field, path) {
            return Ok(());
        }
        match value.text.as_bytes().first() {
            Some(b'{') => {
                for member in value.members()? {
                    let member = member?;
                    self.value(member.value, &format!("{path}.{}", member.key), bytes_max)?;
                }
            }
            Some(b'[') => {
                for element in elements(value.text) {
                    self.value(element?, path, bytes_max)?;
                }
            }
            Some(_) | None => {
                let document = canonical_id(value.text).ok().and_then(|id| self.documents.get(id.as_ref()));
                if let Some(document) = document {
                    let start = offset_of(self.whole, value.text);
                    self.text.push_str(&self.whole[self.done..start]);
                    self.text.push_str(document);
                    self.done = start + value.text.len();
                    if self.text.len() > bytes_max.saturating_add(self.done) {
                        return Err(HydrationError::TooLarge);
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> String {
        self.text.push_str(&self.whole[self.done..]);
        self.text
    }
}

/// The hits of a search answer.
fn hits_of(body: &str) -> Result<Option<&str>, Malformed> {
    for member in members(body) {
        let member = member?;
        if member.key == "hits" {
            return Ok(Some(member.value.text));
        }
    }
    Ok(None)
}

/// A search answer that says that it is not whole.
#[must_use]
pub fn degraded(mut answer: String) -> String {
    let says_so = members(&answer).filter_map(Result::ok).any(|member| member.key == "degraded");
    if !says_so && let Some(end) = answer.rfind('}') {
        answer.truncate(end);
        answer.push_str(",\"degraded\":true}");
    }
    answer
}

/// Whether a path is another one or lies below it.
fn is_below(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The place of the query that a hit of a federated search is of.
fn query_of(hit: &str) -> Result<usize, Malformed> {
    let mut query = None;
    for member in members(hit) {
        let member = member?;
        if member.key == "_federation" && member.value.text.starts_with('{') {
            for field in member.value.members()? {
                let field = field?;
                if field.key == "queriesPosition" {
                    query = field.value.text.parse().ok();
                }
            }
        }
    }
    query.ok_or(Malformed)
}

/// Visits the ids that stand at a path, alone or in a list up to what is none.
fn visit_ids<'a>(
    object: impl Iterator<Item = Result<Member<'a>, Malformed>>,
    path: &str,
    found: &mut dyn FnMut(String),
) -> Result<(), Malformed> {
    for member in object {
        let member = member?;
        let Some(rest) = path.strip_prefix(member.key.as_ref()) else { continue };
        let is_list = member.value.text.starts_with('[');
        if rest.is_empty() {
            let list = elements(if is_list { member.value.text } else { "[]" });
            let texts = list.map(|element| element.map(|element| element.text));
            let single = (!is_list).then_some(Ok(member.value.text));
            for text in single.into_iter().chain(texts) {
                let Ok(id) = canonical_id(text?) else { break };
                found(id.into_owned());
            }
        } else if let Some(rest) = rest.strip_prefix('.') {
            if is_list {
                for element in elements(member.value.text) {
                    let element = element?;
                    if element.text.starts_with('{') {
                        visit_ids(element.members()?, rest, found)?;
                    }
                }
            } else if member.value.text.starts_with('{') {
                visit_ids(member.value.members()?, rest, found)?;
            }
        }
    }
    Ok(())
}

/// The documents in a node's answer to `documents/fetch`, each with its id and as the user's settings let it be seen. The
/// fields of [`fetched_fields`] were asked for.
///
/// # Errors
/// [`MergeError::Malformed`].
pub fn read_documents(
    body: &str,
    primary_key: &str,
    displayed: &Displayed,
    documents: &mut ForeignDocuments,
) -> Result<(), MergeError> {
    for document in NodePage::read(body)?.documents {
        let id = id_in(primary_key, document).map_err(|_| MergeError::Malformed)?.into_owned();
        let shown = match displayed {
            Displayed::Only(names) if !displayed.shows(primary_key) => {
                let whole = serde_json::from_str(document).map_err(|_| MergeError::Malformed)?;
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                serde_json::Value::Object(select(&whole, &names, Selection::Document)).to_string()
            }
            Displayed::All | Displayed::Only(_) => strip(document)?.into_owned(),
        };
        documents.insert(id, shown);
    }
    Ok(())
}

/// What to ask of documents, whose ids must be known; none: everything.
pub fn fetched_fields(primary_key: &str, displayed: &Displayed) -> Option<Vec<String>> {
    match displayed {
        Displayed::All => None,
        Displayed::Only(names) => Some(names.iter().cloned().chain([primary_key.to_owned()]).collect()),
    }
}

#[cfg(test)]
mod tests;
