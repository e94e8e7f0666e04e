//! A dump, as the source of an import.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Value, json};

use super::ImportError;
use super::source::{EachPage, Object, Page, Source, SourceIndex};
use crate::dump::{DumpError, DumpReader, DumpedIndex};
use crate::meili::features::Features;
use crate::meili::settings;

/// Bytes of the documents that are handed on at once, about.
const PAGE_BYTES: usize = 8 << 20;

/// An unpacked dump.
pub struct DumpFile {
    name: String,
    reader: DumpReader,
    indexes: Vec<SourceIndex>,
}

impl From<DumpError> for ImportError {
    fn from(error: DumpError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl DumpFile {
    /// Unpacks a dump within a folder, for as long as this lives.
    ///
    /// # Errors
    /// There is none, it is damaged, or of another version.
    pub fn open(path: &Path, within: &Path) -> Result<Self, ImportError> {
        let name = path.display().to_string();
        let failed = |error: &dyn std::fmt::Display| ImportError::Failed(format!("the dump {name}: {error}"));
        let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
        let reader = DumpReader::open(file, within).map_err(|error| failed(&error))?;
        let mut indexes = Vec::new();
        for index in reader.indexes().map_err(|error| failed(&error))? {
            indexes.push(described(&index).map_err(|error| failed(&error))?);
        }
        Ok(Self { name, reader, indexes })
    }

    fn index(&self, uid: &str) -> Result<DumpedIndex<'_>, ImportError> {
        let found = self.reader.indexes()?.into_iter().find(|index| index.metadata.uid == uid);
        found.ok_or_else(|| ImportError::Failed(format!("the dump {} has no index `{uid}`", self.name)))
    }
}

/// With its documents counted.
fn described(index: &DumpedIndex<'_>) -> Result<SourceIndex, DumpError> {
    // Dates are texts for people and to be told apart by.
    let metadata = json!(index.metadata);
    let date = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
    let mut documents = 0;
    for line in index.documents()? {
        line?;
        documents += 1;
    }
    Ok(SourceIndex {
        uid: index.metadata.uid.clone(),
        primary_key: index.metadata.primary_key.clone(),
        created_at: date("createdAt"),
        updated_at: date("updatedAt"),
        documents,
    })
}

impl Source for DumpFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> String {
        format!("dump of {}", self.reader.metadata().dump_date)
    }

    fn obstacles(&self) -> Result<Vec<String>, ImportError> {
        let mut unfinished = 0;
        for task in self.reader.tasks()? {
            unfinished += u64::from(matches!(task?.status.as_str(), "enqueued" | "processing"));
        }
        let obstacle = format!(
            "{unfinished} tasks of the dump had not been worked on when it was made, and what they write is not in its \
             documents: make a dump when nothing waits"
        );
        Ok(if unfinished > 0 { vec![obstacle] } else { Vec::new() })
    }

    fn features(&self) -> Result<Vec<String>, ImportError> {
        let features = self.reader.experimental_features()?;
        Ok(features.into_iter().filter(|(_, is_on)| *is_on == Value::Bool(true)).map(|(name, _)| name).collect())
    }

    fn keys(&self) -> Result<Vec<Object>, ImportError> {
        let mut keys = self.reader.keys()?.collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|key| key.created_at);
        let shown = |key: &crate::meili::keys::ApiKey| {
            let mut shown = key.shown("").as_object().cloned().unwrap_or_default();
            // It follows from a master key that the dump does not have.
            shown.shift_remove("key");
            shown
        };
        Ok(keys.iter().map(shown).collect())
    }

    fn webhooks(&self) -> Result<Vec<Object>, ImportError> {
        let shown = |(uuid, webhook): (uuid::Uuid, crate::meili::webhooks::Webhook)| {
            let shown = json!({ "url": webhook.url, "headers": webhook.headers, "isEditable": !uuid.is_nil() });
            shown.as_object().cloned().unwrap_or_default()
        };
        Ok(self.reader.webhooks()?.into_iter().map(shown).collect())
    }

    fn indexes(&self) -> Result<Vec<SourceIndex>, ImportError> {
        Ok(self.indexes.clone())
    }

    fn settings(&self, uid: &str) -> Result<Object, ImportError> {
        let mut settings = self.index(uid)?.settings()?;
        let features = self.features()?;
        // One server writes them whether they may be set or not.
        for (name, feature) in [("chat", "chatCompletions"), ("foreignKeys", "foreignKeys")] {
            if !features.iter().any(|on| on == feature) {
                settings.shift_remove(name);
            }
        }
        Ok(settings)
    }

    /// A dump shows nothing: as the settings are shown that Miroir is given.
    fn shown_settings(&self, _uid: &str, given: &Object) -> Result<Object, ImportError> {
        let patch = settings::parse_patch(Value::Object(given.clone()).to_string().as_bytes());
        let patch = patch.map_err(|error| ImportError::Failed(error.message))?;
        Ok(settings::display_with(&settings::merge(&Object::new(), &patch), Features::all()))
    }

    fn documents(&self, index: &SourceIndex, from: u64, each: &mut EachPage<'_>) -> Result<(), ImportError> {
        let dumped = self.index(&index.uid)?;
        let mut page = Page { documents: Vec::new(), from };
        let mut bytes = 0;
        for line in dumped.documents()?.skip(from as usize) {
            let line = line?;
            bytes += line.len();
            page.documents.push(Cow::Owned(line));
            if bytes >= PAGE_BYTES {
                let next = Page { documents: Vec::new(), from: page.next() };
                each(std::mem::replace(&mut page, next))?;
                bytes = 0;
            }
        }
        if page.documents.is_empty() { Ok(()) } else { each(page) }
    }
}
