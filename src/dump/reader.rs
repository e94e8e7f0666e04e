//! Reads a dump.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::marker::PhantomData;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tempfile::TempDir;
use uuid::Uuid;

use super::unpack::unpack;
use super::{
    BATCHES, CHATS, DOCUMENTS, DumpError, FEATURES, INDEXES, INSTANCE_UID, IndexMetadata, KEYS, METADATA, Metadata,
    SETTINGS, TASKS, UPDATE_FILES, VERSION, WEBHOOKS,
};
use crate::meili::keys::ApiKey;
use crate::meili::webhooks::Webhooks;

/// Of what is read as a whole. Bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Of a document, or any other line. Bytes.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// An unpacked dump; the folder goes with it.
#[derive(Debug)]
pub struct DumpReader {
    folder: TempDir,
    metadata: Metadata,
}

/// One index of a dump.
#[derive(Debug)]
pub struct DumpedIndex<'a> {
    reader: &'a DumpReader,
    /// Its folder in the dump.
    path: String,
    /// Name, primary key, dates.
    pub metadata: IndexMetadata,
}

/// One task of a dump.
#[derive(Clone, PartialEq, Debug)]
pub struct DumpedTask {
    /// Its number there.
    pub uid: u64,
    /// `enqueued`, `succeeded`, …
    pub status: String,
    /// All that the dump says of it, as `type` what it was to do.
    pub task: Map<String, Value>,
    /// The dump has its documents.
    pub has_documents: bool,
}

impl DumpReader {
    /// Unpacks a dump into a new folder within the given one. What is there must be a dump of version 6.
    pub fn open(archive: impl Read, within: &Path) -> Result<Self, DumpError> {
        let folder = tempfile::Builder::new().prefix("miroir-dump-").tempdir_in(within)?;
        unpack(archive, folder.path())?;
        let metadata = read_metadata(folder.path())?;
        let reader = Self { folder, metadata };
        for member in [KEYS, TASKS] {
            reader.lines(member)?;
        }
        Ok(reader)
    }

    /// Who wrote it, and when.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Of the server that wrote it.
    pub fn instance_uid(&self) -> Result<Option<Uuid>, DumpError> {
        let Some(text) = self.text(INSTANCE_UID)? else { return Ok(None) };
        let uid = Uuid::parse_str(text.trim()).map_err(|error| malformed(INSTANCE_UID, &error))?;
        Ok(Some(uid))
    }

    /// In the order of the dump. Their values follow from the master key.
    pub fn keys(&self) -> Result<JsonLines<ApiKey>, DumpError> {
        Ok(JsonLines::new(self.lines(KEYS)?))
    }

    /// As `PATCH /experimental-features` takes them, but for features that this version may not know.
    pub fn experimental_features(&self) -> Result<Map<String, Value>, DumpError> {
        Ok(self.json(FEATURES)?.unwrap_or_default())
    }

    /// Without that of the server's configuration.
    pub fn webhooks(&self) -> Result<Webhooks, DumpError> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            webhooks: Webhooks,
        }
        Ok(self.json(WEBHOOKS)?.map(|File { webhooks }| webhooks).unwrap_or_default())
    }

    /// By workspace, with secrets.
    pub fn chat_settings(&self) -> Result<BTreeMap<String, Map<String, Value>>, DumpError> {
        let mut settings = BTreeMap::new();
        for name in self.names(CHATS)? {
            let Some(workspace) = name.strip_suffix(".json") else { continue };
            settings.insert(workspace.to_owned(), self.json(&format!("{CHATS}/{name}"))?.unwrap_or_default());
        }
        Ok(settings)
    }

    /// Tasks by number. A server writes a dump before it has worked on all of them: those with the status `enqueued` are
    /// not in the documents.
    pub fn tasks(&self) -> Result<impl Iterator<Item = Result<DumpedTask, DumpError>> + '_, DumpError> {
        let tasks: JsonLines<Map<String, Value>> = JsonLines::new(self.lines(TASKS)?);
        Ok(tasks.map(|task| self.dumped(task?)))
    }

    fn dumped(&self, task: Map<String, Value>) -> Result<DumpedTask, DumpError> {
        let uid = task.get("uid").and_then(Value::as_u64);
        let (Some(uid), Some(status)) = (uid, task.get("status").and_then(Value::as_str)) else {
            return Err(DumpError::member(TASKS, "has a task without a number or a status"));
        };
        let has_documents = self.folder.path().join(update_file(uid)).exists();
        Ok(DumpedTask { uid, status: status.to_owned(), task, has_documents })
    }

    /// The documents of an unfinished task, one a line.
    pub fn task_documents(&self, task: u64) -> Result<Lines, DumpError> {
        self.lines(&update_file(task))
    }

    /// As they are in the dump; none of servers before 1.13.
    pub fn batches(&self) -> Result<Option<JsonLines<Map<String, Value>>>, DumpError> {
        let is_there = self.folder.path().join(BATCHES).exists();
        is_there.then(|| self.lines(BATCHES).map(JsonLines::new)).transpose()
    }

    /// By name. Each is checked to be whole.
    pub fn indexes(&self) -> Result<Vec<DumpedIndex<'_>>, DumpError> {
        let mut indexes = Vec::new();
        for name in self.names(INDEXES)? {
            let path = format!("{INDEXES}/{name}");
            let member = format!("{path}/{METADATA}");
            let metadata: IndexMetadata = self.json(&member)?.ok_or_else(|| DumpError::member(member, "is missing"))?;
            let index = DumpedIndex { reader: self, path, metadata };
            index.settings()?;
            index.documents()?;
            indexes.push(index);
        }
        indexes.sort_by(|one, other| one.metadata.uid.cmp(&other.metadata.uid));
        match indexes.windows(2).find(|pair| pair[0].metadata.uid == pair[1].metadata.uid) {
            Some(pair) => Err(DumpError::member(pair[1].path.clone(), "is an index that is there twice")),
            None => Ok(indexes),
        }
    }

    /// Of what is in a folder of the dump, which may be missing.
    fn names(&self, folder: &str) -> Result<Vec<String>, DumpError> {
        let entries = match fs::read_dir(self.folder.path().join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn text(&self, member: &str) -> Result<Option<String>, DumpError> {
        read_text(self.folder.path(), member)
    }

    fn json<T: DeserializeOwned>(&self, member: &str) -> Result<Option<T>, DumpError> {
        let Some(text) = self.text(member)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| malformed(member, &error))
    }

    fn lines(&self, member: &str) -> Result<Lines, DumpError> {
        match File::open(self.folder.path().join(member)) {
            Ok(file) => Ok(Lines { member: member.to_owned(), reader: BufReader::new(file), number: 0 }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DumpError::member(member, "is missing")),
            Err(error) => Err(error.into()),
        }
    }
}

impl DumpedIndex<'_> {
    /// As `PATCH /settings` takes them, with secrets.
    pub fn settings(&self) -> Result<Map<String, Value>, DumpError> {
        let member = format!("{}/{SETTINGS}", self.path);
        self.reader.json(&member)?.ok_or_else(|| DumpError::member(member, "is missing"))
    }

    /// One document a line, as JSON that nobody has checked.
    pub fn documents(&self) -> Result<Lines, DumpError> {
        self.reader.lines(&format!("{}/{DOCUMENTS}", self.path))
    }
}

/// The lines of a member that are not empty.
#[derive(Debug)]
pub struct Lines {
    member: String,
    reader: BufReader<File>,
    number: u64,
}

impl Lines {
    fn read(&mut self) -> Result<Option<String>, DumpError> {
        loop {
            let mut line = Vec::new();
            self.number += 1;
            if (&mut self.reader).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            if line.len() as u64 > LINE_BYTES_MAX {
                return Err(self.problem(&format!("has more than {LINE_BYTES_MAX} bytes")));
            }
            let line = String::from_utf8(line).map_err(|error| self.problem(&format!("is no text: {error}")))?;
            let line = line.trim_ascii();
            if !line.is_empty() {
                return Ok(Some(line.to_owned()));
            }
        }
    }

    fn problem(&self, problem: &str) -> DumpError {
        DumpError::member(format!("{}, line {}", self.member, self.number), problem)
    }
}

impl Iterator for Lines {
    type Item = Result<String, DumpError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Lines, each read as JSON.
#[derive(Debug)]
pub struct JsonLines<T> {
    lines: Lines,
    of: PhantomData<T>,
}

impl<T> JsonLines<T> {
    fn new(lines: Lines) -> Self {
        Self { lines, of: PhantomData }
    }
}

impl<T: DeserializeOwned> Iterator for JsonLines<T> {
    type Item = Result<T, DumpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.lines.next()?;
        let read = |line: String| {
            serde_json::from_str(&line).map_err(|error| self.lines.problem(&format!("is malformed: {error}")))
        };
        Some(line.and_then(read))
    }
}

fn update_file(task: u64) -> String {
    format!("{UPDATE_FILES}/{task}.jsonl")
}

fn malformed(member: &str, error: &dyn std::fmt::Display) -> DumpError {
    DumpError::member(member, format!("is malformed: {error}"))
}

fn read_metadata(folder: &Path) -> Result<Metadata, DumpError> {
    // What else it says depends on the version.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        dump_version: String,
    }
    let text = read_text(folder, METADATA)?.ok_or_else(|| DumpError::member(METADATA, "is missing"))?;
    let version: Version = serde_json::from_str(&text).map_err(|error| malformed(METADATA, &error))?;
    if version.dump_version != VERSION {
        return Err(DumpError::Version(version.dump_version));
    }
    serde_json::from_str(&text).map_err(|error| malformed(METADATA, &error))
}

/// None if it is not there.
fn read_text(folder: &Path, member: &str) -> Result<Option<String>, DumpError> {
    let file = match File::open(folder.join(member)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(DumpError::member(member, format!("has more than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| malformed(member, &error))
}
