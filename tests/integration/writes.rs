//! Writes to one index of small documents, and what they make of each: shared by the tests that write while things happen.

use serde_json::{Value, json};

use crate::support::{Answer, Client, Random};

/// Where the writes go.
pub const INDEX: &str = "things";

/// What there is to write.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Ids are below this: small enough that documents are overwritten, updated and deleted.
    pub ids: usize,
    /// Documents whose ids leave the same rest are deleted together by a filter.
    pub groups: usize,
    /// Documents per write.
    pub batch: usize,
}

impl Shape {
    /// The ids of one group, ascending.
    pub fn group(self, group: usize) -> impl Iterator<Item = usize> {
        (group..self.ids).step_by(self.groups)
    }
}

/// A stored document: which writes its fields are from. The rest of it follows from its id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Document {
    /// The write that put it.
    pub put: Option<usize>,
    /// The last one since that updated it.
    pub updated: Option<usize>,
}

impl Document {
    /// As it is sent, or as a server shows it.
    pub fn json(self, id: usize, shape: Shape) -> Value {
        let group = id % shape.groups;
        let mut document = json!({"id": id, "group": group, "word": word(group)});
        for (field, version) in [("put", self.put), ("updated", self.updated)] {
            if let Some(version) = version {
                document[field] = json!(version);
            }
        }
        document
    }

    /// What a server shows, and its id; the error says what is wrong with it.
    pub fn parse(shown: &Value, shape: Shape) -> Result<(usize, Self), String> {
        let number = |field: &str| shown[field].as_u64().map(|number| number as usize);
        let id = number("id").ok_or_else(|| format!("no id in {shown}"))?;
        let document = Self { put: number("put"), updated: number("updated") };
        if *shown == document.json(id, shape) { Ok((id, document)) } else { Err(format!("nobody wrote {shown}")) }
    }
}

/// A word that only this group has: four letters, so that neither typos nor prefixes find another.
pub fn word(group: usize) -> String {
    let letter = |place: u32| char::from(b'a' + (group / 26_usize.pow(place) % 26) as u8);
    ['w', letter(2), letter(1), letter(0)].iter().collect()
}

/// That no document has.
pub fn stop_words(version: usize) -> Value {
    json!([format!("word{version}")])
}

/// One write.
#[derive(Clone, Debug)]
pub enum Write {
    /// Replaces documents, as of this version.
    Put(Vec<usize>, usize),
    /// Changes one field of documents.
    Update(Vec<usize>, usize),
    /// By ids.
    Delete(Vec<usize>),
    /// By a filter.
    DeleteGroup(usize),
    /// See [`stop_words`].
    Settings(usize),
}

impl Write {
    /// Any, puts most often.
    pub fn random(random: &mut Random, version: usize, shape: Shape) -> Self {
        let ids: Vec<usize> = (0..shape.batch).map(|_| random.below(shape.ids)).collect();
        match random.below(100) {
            0..60 => Self::Put(ids, version),
            60..80 => Self::Update(ids, version),
            80..93 => Self::Delete(ids),
            93..98 => Self::DeleteGroup(random.below(shape.groups)),
            _ => Self::Settings(version),
        }
    }

    /// Sends it, once.
    pub fn send(&self, client: &Client, shape: Shape) -> Result<Answer, ureq::Error> {
        let all =
            |ids: &[usize], document: Document| -> Value { ids.iter().map(|id| document.json(*id, shape)).collect() };
        let documents = format!("/indexes/{INDEX}/documents");
        match self {
            Self::Put(ids, version) => {
                let body = all(ids, Document { put: Some(*version), updated: None });
                client.try_ask("POST", &documents, Some(&body))
            }
            Self::Update(ids, version) => {
                let body = all(ids, Document { put: None, updated: Some(*version) });
                client.try_ask("PUT", &documents, Some(&body))
            }
            Self::Delete(ids) => client.try_ask("POST", &format!("{documents}/delete-batch"), Some(&json!(ids))),
            Self::DeleteGroup(group) => {
                let body = json!({"filter": format!("group = {group}")});
                client.try_ask("POST", &format!("{documents}/delete"), Some(&body))
            }
            Self::Settings(version) => {
                let body = stop_words(*version);
                client.try_ask("PUT", &format!("/indexes/{INDEX}/settings/stop-words"), Some(&body))
            }
        }
    }

    /// The documents that it may change.
    pub fn ids(&self, shape: Shape) -> Vec<usize> {
        match self {
            Self::Put(ids, _) | Self::Update(ids, _) | Self::Delete(ids) => ids.clone(),
            Self::DeleteGroup(group) => shape.group(*group).collect(),
            Self::Settings(_) => Vec::new(),
        }
    }

    /// What becomes of each of [`Self::ids`].
    pub fn apply(&self, before: Option<Document>) -> Option<Document> {
        match self {
            Self::Put(_, version) => Some(Document { put: Some(*version), updated: None }),
            Self::Update(_, version) => Some(Document { updated: Some(*version), ..before.unwrap_or_default() }),
            Self::Delete(_) | Self::DeleteGroup(_) => None,
            Self::Settings(_) => before,
        }
    }
}
