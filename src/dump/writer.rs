//! Writes a dump.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tar::{Builder, EntryType, Header};
use uuid::Uuid;

use super::{
    BATCHES, CHATS, DOCUMENTS, DumpError, FEATURES, INDEXES, INSTANCE_UID, IndexMetadata, KEYS, METADATA, Metadata,
    SETTINGS, TASKS, UPDATE_FILES, WEBHOOKS,
};
use crate::meili::keys::ApiKey;
use crate::meili::webhooks::Webhooks;

/// Of file systems. Bytes.
const FOLDER_NAME_MAX: usize = 255;

/// Writes a dump beside its place; [`Self::finish`] puts it there. Whoever stops before that leaves nothing.
pub struct DumpWriter {
    archive: Builder<GzEncoder<BufWriter<File>>>,
    /// Of the members, in seconds since 1970.
    date: u64,
    place: PathBuf,
    unfinished: Unfinished,
}

/// A file that is removed unless it gets its name.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It may have its name.
        let _ = fs::remove_file(&self.0);
    }
}

impl DumpWriter {
    /// Begins a dump that will be at `place`, as one that a server of this version wrote at this time.
    pub fn create(place: PathBuf, metadata: &Metadata) -> Result<Self, DumpError> {
        let unfinished = Unfinished(unfinished(&place));
        let file = File::create(&unfinished.0)?;
        let gzip = GzEncoder::new(BufWriter::new(file), Compression::fast());
        let date = metadata.dump_date.unix_timestamp().try_into().unwrap_or_default();
        let mut writer = Self { archive: Builder::new(gzip), date, place, unfinished };
        // Without them a server does not read the dump, whatever else there is.
        for folder in [INDEXES, "tasks", UPDATE_FILES, "batches"] {
            writer.folder(folder)?;
        }
        writer.json(METADATA, metadata)?;
        Ok(writer)
    }

    /// Removes what earlier lives have left unfinished in a folder of dumps.
    pub fn remove_unfinished(folder: &Path) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Who writes it.
    pub fn instance_uid(&mut self, uid: Uuid) -> Result<(), DumpError> {
        self.file(INSTANCE_UID, uid.hyphenated().to_string().as_bytes())
    }

    /// API keys.
    pub fn keys(&mut self, keys: &[ApiKey]) -> Result<(), DumpError> {
        self.json_lines(KEYS, keys)
    }

    /// Which are switched on.
    pub fn experimental_features(&mut self, features: &Value) -> Result<(), DumpError> {
        self.json(FEATURES, features)
    }

    /// Without that of the configuration.
    pub fn webhooks(&mut self, webhooks: &Webhooks) -> Result<(), DumpError> {
        self.json(WEBHOOKS, &json!({"webhooks": webhooks}))
    }

    /// Of one workspace, with secrets.
    pub fn chat_settings(&mut self, workspace: &str, settings: &Value) -> Result<(), DumpError> {
        self.json(&format!("{CHATS}/{workspace}.json"), settings)
    }

    /// All tasks, in the form of a dump. Batches are left out, as servers before 1.13 did.
    pub fn tasks(&mut self, tasks: &mut LinesWriter) -> Result<(), DumpError> {
        self.lines_of(TASKS, tasks)?;
        self.file(BATCHES, &[])
    }

    /// One index.
    pub fn index(
        &mut self,
        metadata: &IndexMetadata,
        settings: &Map<String, Value>,
        documents: &mut LinesWriter,
    ) -> Result<(), DumpError> {
        let path = format!("{INDEXES}/{}", folder_name(&metadata.uid));
        self.folder(&path)?;
        self.json(&format!("{path}/{METADATA}"), metadata)?;
        self.json(&format!("{path}/{SETTINGS}"), settings)?;
        self.lines_of(&format!("{path}/{DOCUMENTS}"), documents)
    }

    /// A place for lines on the same disk.
    pub fn lines(&self) -> Result<LinesWriter, DumpError> {
        LinesWriter::create(folder_of(&self.place))
    }

    /// The dump is whole, on the disk, and in its place.
    pub fn finish(self) -> Result<(), DumpError> {
        let Self { archive, place, unfinished, .. } = self;
        let buffered = archive.into_inner()?.finish()?;
        let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&unfinished.0, &place)?;
        File::open(folder_of(&place))?.sync_all()?;
        Ok(())
    }

    fn json(&mut self, member: &str, value: &impl Serialize) -> Result<(), DumpError> {
        self.file(member, &serde_json::to_vec(value).map_err(io::Error::from)?)
    }

    /// Puts the lines there, and takes them out of the writer.
    fn lines_of(&mut self, member: &str, lines: &mut LinesWriter) -> Result<(), DumpError> {
        let length = lines.mark()?;
        lines.file.seek(SeekFrom::Start(0))?;
        let mut header = self.header(EntryType::Regular, length);
        self.archive.append_data(&mut header, member, lines.file.get_ref())?;
        lines.go_back(0)
    }

    fn json_lines(&mut self, member: &str, values: &[impl Serialize]) -> Result<(), DumpError> {
        let mut lines = Vec::new();
        for value in values {
            serde_json::to_writer(&mut lines, value).map_err(io::Error::from)?;
            lines.push(b'\n');
        }
        self.file(member, &lines)
    }

    fn file(&mut self, member: &str, content: &[u8]) -> Result<(), DumpError> {
        let mut header = self.header(EntryType::Regular, content.len() as u64);
        Ok(self.archive.append_data(&mut header, member, content)?)
    }

    fn folder(&mut self, path: &str) -> Result<(), DumpError> {
        let mut header = self.header(EntryType::Directory, 0);
        Ok(self.archive.append_data(&mut header, path, io::empty())?)
    }

    fn header(&self, kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_mtime(self.date);
        header.set_size(size);
        header
    }
}

/// Documents of an index, or tasks, on their way into a dump: a tar says first how long a member is, so they wait in a file
/// until all of them are known.
pub struct LinesWriter {
    file: BufWriter<File>,
}

impl LinesWriter {
    /// In a file of this folder that goes away by itself.
    pub fn create(folder: &Path) -> Result<Self, DumpError> {
        Ok(Self { file: BufWriter::new(tempfile::tempfile_in(folder)?) })
    }

    /// All lines, from the first one on.
    pub fn read(&mut self) -> Result<impl BufRead, DumpError> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(BufReader::new(self.file.get_ref()))
    }

    /// One of them, as JSON without line breaks.
    pub fn push(&mut self, line: &str) -> Result<(), DumpError> {
        self.file.write_all(line.as_bytes())?;
        Ok(self.file.write_all(b"\n")?)
    }

    /// The place behind the last line, in bytes.
    pub fn mark(&mut self) -> Result<u64, DumpError> {
        Ok(self.file.stream_position()?)
    }

    /// Forgets all lines behind a mark.
    pub fn go_back(&mut self, mark: u64) -> Result<(), DumpError> {
        self.file.flush()?;
        self.file.get_ref().set_len(mark)?;
        self.file.seek(SeekFrom::Start(mark))?;
        Ok(())
    }
}

/// The name of the index, if a file can have it. Readers go by the metadata.
fn folder_name(uid: &str) -> Cow<'_, str> {
    if uid.len() <= FOLDER_NAME_MAX { Cow::Borrowed(uid) } else { Cow::Owned(Uuid::new_v4().to_string()) }
}

/// A path without a folder is in the current one.
fn folder_of(place: &Path) -> &Path {
    place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The extension of files that are no dumps yet.
const UNFINISHED: &str = "unfinished";

fn unfinished(place: &Path) -> PathBuf {
    let mut path = place.as_os_str().to_owned();
    path.push(".");
    path.push(UNFINISHED);
    path.into()
}
