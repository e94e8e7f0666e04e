//! Unpacks the members of a dump that we know into a folder. The archive may be anybody's: nothing is written outside of the
//! folder, and nothing but plain files.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};

use flate2::bufread::GzDecoder;
use nix::sys::statvfs::statvfs;
use tar::{Archive, Entry};

use super::{
    BATCHES, CHATS, DOCUMENTS, DumpError, FEATURES, INDEXES, INSTANCE_UID, KEYS, METADATA, SETTINGS, TASKS,
    UPDATE_FILES, WEBHOOKS,
};

/// What may follow the last member: tars are filled up to whole blocks.
const FILLING_MAX: u64 = 1 << 20;

/// Unpacks it.
pub(super) fn unpack(archive: impl Read, into: &Path) -> Result<(), DumpError> {
    let mut archive = Archive::new(GzDecoder::new(BufReader::new(archive)));
    for entry in archive.entries().map_err(DumpError::Archive)? {
        unpack_one(&mut entry.map_err(DumpError::Archive)?, into)?;
    }
    // Only now the checksum is read.
    let mut rest = archive.into_inner().take(FILLING_MAX);
    io::copy(&mut rest, &mut io::sink()).map_err(DumpError::Archive)?;
    Ok(())
}

fn unpack_one(entry: &mut Entry<'_, impl Read>, into: &Path) -> Result<(), DumpError> {
    let path = entry.path().map_err(DumpError::Archive)?.into_owned();
    let name = path.display().to_string();
    let Some(path) = inner(&path) else {
        return Err(DumpError::member(name, "has a path that leads out of it"));
    };
    let kind = entry.header().entry_type();
    if !is_known(&path) || kind.is_dir() {
        return Ok(());
    }
    if !kind.is_file() && !kind.is_contiguous() {
        return Err(DumpError::member(name, "is no plain file"));
    }
    let available = available(into)?;
    if entry.size() > available {
        return Err(DumpError::NoRoom { member: name, size: entry.size(), available });
    }
    let place = into.join(&path);
    fs::create_dir_all(place.parent().unwrap_or(into))?;
    let mut file = match File::create_new(&place) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(DumpError::member(name, "is there twice"));
        }
        Err(error) => return Err(error.into()),
    };
    copy(entry, &mut file)
}

/// Tells a damaged archive from a full disk.
fn copy(entry: &mut Entry<'_, impl Read>, file: &mut File) -> Result<(), DumpError> {
    let mut buffer = vec![0; 1 << 16];
    let mut left = entry.size();
    while left > 0 {
        let length = match entry.read(&mut buffer) {
            Ok(0) => return Err(DumpError::Archive(io::ErrorKind::UnexpectedEof.into())),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(DumpError::Archive(error)),
        };
        file.write_all(&buffer[..length])?;
        left = left.saturating_sub(length as u64);
    }
    Ok(())
}

/// The path without `.`; none if it may lead elsewhere.
fn inner(path: &Path) -> Option<PathBuf> {
    let parts = path.components().filter(|part| !matches!(part, Component::CurDir));
    parts.map(|part| if let Component::Normal(name) = part { Some(name) } else { None }).collect()
}

fn is_known(path: &Path) -> bool {
    let Some(parts) = path.iter().map(|part| part.to_str()).collect::<Option<Vec<&str>>>() else { return false };
    // What a Mac adds to archives.
    if parts.iter().any(|part| part.starts_with("._")) {
        return false;
    }
    let whole = [METADATA, INSTANCE_UID, KEYS, FEATURES, WEBHOOKS, TASKS, BATCHES].map(Path::new);
    whole.contains(&path)
        || match parts.as_slice() {
            [INDEXES, _, file] => [METADATA, SETTINGS, DOCUMENTS].contains(file),
            [CHATS, _] => true,
            _ => path.parent() == Some(Path::new(UPDATE_FILES)),
        }
}

fn available(folder: &Path) -> Result<u64, DumpError> {
    let stats = statvfs(folder).map_err(io::Error::from)?;
    Ok(stats.blocks_available().saturating_mul(stats.fragment_size()))
}
