//! Pages far from the beginning: the nodes rank their hits without the documents, and only the page's are fetched.
//!
//! Every node has to give all its hits up to the end of the page, most of which are on no page that the client sees. Without
//! their documents they are a fraction of the bytes.

use std::borrow::Cow;
use std::collections::HashMap;

use super::MergeError;
use super::documents::NodePage;
use super::hit::{Hit, HitView};
use crate::logic::document_id::canonical_id;
use crate::logic::json::members;

/// The documents of a page by their canonical id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Documents<'a> {
    primary_key: &'a str,
    by_id: HashMap<String, &'a str>,
}

impl<'a> Documents<'a> {
    /// From answers to `documents/fetch`.
    ///
    /// # Errors
    /// [`MergeError::Malformed`].
    pub fn read(primary_key: &'a str, bodies: &[&'a str]) -> Result<Self, MergeError> {
        let mut by_id = HashMap::new();
        for body in bodies {
            for document in NodePage::read(body)?.documents {
                by_id.insert(id_of(document, primary_key)?, document);
            }
        }
        Ok(Self { primary_key, by_id })
    }

    /// Whether the document of this hit is there: it may have been deleted since it was ranked.
    ///
    /// # Errors
    /// [`MergeError::Malformed`].
    pub fn has(&self, hit: &Hit<'_>) -> Result<bool, MergeError> {
        Ok(self.by_id.contains_key(&id_of(hit.text(), self.primary_key)?))
    }

    /// Appends the document of a hit, with what its node said about its rank, as the client may see it.
    ///
    /// # Errors
    /// [`MergeError::Malformed`].
    pub fn write(&self, view: &HitView<'_>, hit: &Hit<'_>, text: &mut String) -> Result<(), MergeError> {
        let document = self.by_id.get(&id_of(hit.text(), self.primary_key)?).ok_or(MergeError::Malformed)?;
        let mut whole = (*document).to_owned();
        let end = whole.rfind('}').ok_or(MergeError::Malformed)?;
        whole.truncate(end);
        let mut has_members = !whole.trim_end().ends_with('{');
        for member in members(hit.text()) {
            let member = member?;
            if matches!(member.key.as_ref(), "_rankingScore" | "_rankingScoreDetails") {
                if std::mem::replace(&mut has_members, true) {
                    whole.push(',');
                }
                whole.push_str(member.text);
            }
        }
        whole.push('}');
        let (hit, _) = Hit::read(&whole)?;
        view.write(&hit, text)
    }
}

/// The canonical id of a document or hit.
///
/// # Errors
/// [`MergeError::Malformed`] when it has none.
pub fn id_of(document: &str, primary_key: &str) -> Result<String, MergeError> {
    for member in members(document) {
        let member = member?;
        if member.key == primary_key {
            return canonical_id(member.value.text).map(Cow::into_owned).map_err(|_| MergeError::Malformed);
        }
    }
    Err(MergeError::Malformed)
}
