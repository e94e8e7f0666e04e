//! Payloads: how they are written as bytes, and the files of those that are too large for the database.
//!
//! A file is complete and synced, its folder too, before the transaction that refers to it commits; so a file without a
//! row is left over from a crash and is removed at the next start, and a row without its file is damage.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use super::backup::{copy_file, private_folder, sync};
use crate::logic::ids::{EntryId, ShardId};
use crate::logic::payload::{Payload, Section};
use crate::store::StoreError;

/// Payloads above this many bytes (documents and section table) get a file of their own.
pub(super) const INLINE_MAX: usize = 64 * 1024;

/// The folder of payload files.
#[derive(Debug)]
pub(super) struct PayloadFolder {
    path: PathBuf,
    /// While somebody copies files none is removed: these are to be.
    pinned: Mutex<Option<Vec<EntryId>>>,
}

/// Files stay as long as this is there.
pub(super) struct Pinned<'a>(&'a PayloadFolder);

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        let due = self.0.pinned.lock().take();
        self.0.remove(&due.unwrap_or_default());
    }
}

/// A payload as it is stored.
pub(super) struct StoredPayload {
    /// Documents or ids.
    pub byte_count: usize,
    /// Over the bytes, then the section table.
    pub checksum: u64,
    /// The section table.
    pub sections: Vec<u8>,
}

impl StoredPayload {
    pub(super) fn of(payload: &Payload) -> Self {
        let sections = encode_sections(&payload.sections);
        Self { byte_count: payload.bytes.len(), checksum: checksum(&payload.bytes, &sections), sections }
    }

    pub(super) fn is_inline(&self) -> bool {
        self.byte_count + self.sections.len() <= INLINE_MAX
    }
}

impl PayloadFolder {
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("payloads");
        fs::create_dir_all(&path)?;
        File::open(data_dir)?.sync_all()?;
        Ok(Self::at(path))
    }

    /// One that is there.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, pinned: Mutex::new(None) }
    }

    /// No file is removed before this is dropped. For one at a time.
    pub(super) fn pin(&self) -> Pinned<'_> {
        self.pinned.lock().get_or_insert_default();
        Pinned(self)
    }

    /// Copies the files of these entries to a new folder, and says how many bytes they have. They are linked where that can be
    /// done: a file that a row names is never written again.
    pub(super) fn copy_to(&self, entries: &[EntryId], target: &Path) -> io::Result<u64> {
        private_folder(target, false)?;
        let mut bytes = 0;
        for &entry in entries {
            let from = self.file(entry);
            let to = target.join(from.file_name().unwrap_or_default());
            bytes += fs::metadata(&from)?.len();
            if fs::hard_link(&from, &to).is_err() {
                copy_file(&from, &to)?;
            }
        }
        sync(target)?;
        Ok(bytes)
    }

    fn file(&self, entry: EntryId) -> PathBuf {
        self.path.join(format!("{:020}.payload", entry.0))
    }

    /// Writes and syncs one file. The folder must be synced before the commit: see [`Self::sync`].
    pub(super) fn write(&self, entry: EntryId, payload: &Payload, stored: &StoredPayload) -> io::Result<()> {
        let mut file = File::create(self.file(entry))?;
        file.write_all(&payload.bytes)?;
        file.write_all(&stored.sections)?;
        file.sync_all()
    }

    /// Makes the names of new files durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// How many bytes the file has.
    pub(super) fn length(&self, entry: EntryId) -> io::Result<u64> {
        Ok(fs::metadata(self.file(entry))?.len())
    }

    /// The file's bytes: documents or ids, then the section table.
    pub(super) fn read(&self, entry: EntryId) -> io::Result<Vec<u8>> {
        fs::read(self.file(entry))
    }

    /// Removes files that no row refers to any more.
    pub(super) fn remove(&self, entries: &[EntryId]) {
        if let Some(due) = &mut *self.pinned.lock() {
            return due.extend(entries);
        }
        for &entry in entries {
            if let Err(error) = fs::remove_file(self.file(entry)) {
                // Left over, then; the next start removes it.
                tracing::warn!(%entry, %error, "payload file not removed");
            }
        }
    }

    /// Removes what a crash left: files that are not in `known`. Returns how many.
    pub(super) fn remove_orphans(&self, known: &HashSet<PathBuf>) -> io::Result<u64> {
        let mut removed = 0;
        for item in fs::read_dir(&self.path)? {
            let path = item?.path();
            if !known.contains(&path) {
                fs::remove_file(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The paths of these entries' files.
    pub(super) fn paths(&self, entries: &[EntryId]) -> HashSet<PathBuf> {
        entries.iter().map(|&entry| self.file(entry)).collect()
    }
}

/// Puts the parts together again and checks them.
pub(super) fn decode(
    entry: EntryId,
    mut bytes: Bytes,
    sections: Option<&[u8]>,
    byte_count: usize,
    expected: u64,
) -> Result<Payload, StoreError> {
    let damaged = |what: &str| StoreError::Damaged(format!("payload of entry {entry}: {what}"));
    let table = match sections {
        Some(sections) => Bytes::copy_from_slice(sections),
        None if bytes.len() >= byte_count => bytes.split_off(byte_count),
        None => return Err(damaged("its file is too short")),
    };
    if bytes.len() != byte_count || checksum(&bytes, &table) != expected {
        return Err(damaged("its checksum is wrong"));
    }
    let sections = decode_sections(&table).ok_or_else(|| damaged("its section table cannot be read"))?;
    Ok(Payload { sections, bytes })
}

fn checksum(bytes: &[u8], sections: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(bytes);
    hash.update(sections);
    hash.digest()
}

/// Little-endian: shard (2 bytes), start, length, number of hashes (8 bytes each), the hashes.
fn encode_sections(sections: &[Section]) -> Vec<u8> {
    let hashes: usize = sections.iter().map(|section| section.id_hashes.len()).sum();
    let mut table = Vec::with_capacity(sections.len() * 26 + hashes * 8);
    for section in sections {
        table.extend_from_slice(&section.shard.0.to_le_bytes());
        table.extend_from_slice(&section.start.to_le_bytes());
        table.extend_from_slice(&section.length.to_le_bytes());
        table.extend_from_slice(&(section.id_hashes.len() as u64).to_le_bytes());
        for hash in &section.id_hashes {
            table.extend_from_slice(&hash.to_le_bytes());
        }
    }
    table
}

fn decode_sections(mut table: &[u8]) -> Option<Vec<Section>> {
    fn take<const N: usize>(table: &mut &[u8]) -> Option<[u8; N]> {
        let (head, rest) = table.split_first_chunk::<N>()?;
        *table = rest;
        Some(*head)
    }
    let mut sections = Vec::new();
    while !table.is_empty() {
        let shard = ShardId(u16::from_le_bytes(take(&mut table)?));
        let start = u64::from_le_bytes(take(&mut table)?);
        let length = u64::from_le_bytes(take(&mut table)?);
        let count = u64::from_le_bytes(take(&mut table)?) as usize;
        if count > table.len() / 8 {
            return None;
        }
        let id_hashes = (0..count).map(|_| take(&mut table).map(u64::from_le_bytes)).collect::<Option<_>>()?;
        sections.push(Section { shard, start, length, id_hashes });
    }
    Some(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_table_is_read_back_and_a_cut_one_is_refused() {
        let sections = vec![
            Section { shard: ShardId(3), start: 0, length: 10, id_hashes: vec![1, u64::MAX] },
            Section { shard: ShardId(9), start: 10, length: 5, id_hashes: vec![] },
        ];
        let table = encode_sections(&sections);
        assert_eq!(decode_sections(&table), Some(sections));
        assert_eq!(decode_sections(&table[..table.len() - 1]), None);
    }
}
