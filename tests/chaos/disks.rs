//! Small disks for data, which can be filled, and damage to what is stored. Disks need the rights to mount a tmpfs.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;

use crate::support::Random;

/// What takes up the space of a full disk.
const FILLER: &str = "filler";

/// The mounted folders of one run.
#[derive(Debug, Default)]
pub struct Disks {
    mounted: Vec<PathBuf>,
    /// They stay as they are when the run is over.
    pub are_kept: bool,
}

impl Disks {
    /// Mounts one at this folder, which is made.
    pub fn mount(&mut self, folder: &Path, megabytes: usize) -> Result<(), String> {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "miroir-chaos"]).arg(folder);
        let output = command.output().map_err(|error| format!("mount: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        self.mounted.push(folder.to_owned());
        Ok(())
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for folder in &self.mounted {
            if self.are_kept || std::thread::panicking() {
                eprintln!("still mounted: umount {}", folder.display());
            } else {
                // Nothing is left to do about an error.
                let _ = Command::new("umount").arg("-l").arg(folder).status();
            }
        }
    }
}

/// Takes all the space that is left.
pub fn fill(folder: &Path) -> std::io::Result<()> {
    static BLOCK: [u8; 1 << 16] = [0; 1 << 16];
    let mut file = File::create(folder.join(FILLER))?;
    let mut rest = BLOCK.len();
    while rest > 0 {
        match file.write_all(&BLOCK[..rest]) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => rest /= 2,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Gives it back.
pub fn free(folder: &Path) -> std::io::Result<()> {
    std::fs::remove_file(folder.join(FILLER))
}

/// Nothing is left in this folder.
pub fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A database that nobody uses, as it is in one file: what its log holds is in it.
pub fn checkpoint(database: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(database)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Damages a database in one of two ways: it is cut, or one bit is another one.
pub fn damage(database: &Path, random: &mut Random) -> Result<String, String> {
    if random.percent(50) {
        let file = File::options().write(true).open(database).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        let left = length * random.between(0, 95) as u64 / 100;
        file.set_len(left).map_err(|error| error.to_string())?;
        return Ok(format!("cut from {length} to {left} bytes"));
    }
    // What a page says of itself: a bit within a text is beyond what any check of the structure sees.
    let connection = Connection::open(database).map_err(|error| error.to_string())?;
    let sql = "SELECT name, rootpage, page_size FROM sqlite_master, pragma_page_size WHERE rootpage > 1 ORDER BY name";
    let mut statement = connection.prepare(sql).map_err(|error| error.to_string())?;
    let roots =
        statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?, row.get::<_, u32>(2)?)));
    let roots: Result<Vec<_>, _> = roots.map_err(|error| error.to_string())?.collect();
    let roots = roots.map_err(|error| error.to_string())?;
    drop(statement);
    connection.close().map_err(|(_, error)| error.to_string())?;
    let (name, root, page_size) = random.pick(&roots);
    let bit = random.below(8);
    flip(database, u64::from(root - 1) * u64::from(*page_size), bit).map_err(|error| error.to_string())?;
    Ok(format!("bit {bit} of the first byte of {name} is another one"))
}

fn flip(path: &Path, at: u64, bit: usize) -> std::io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut byte)?;
    byte[0] ^= 1 << bit;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&byte)
}
