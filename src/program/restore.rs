//! `miroir restore`: a new `data_dir` made of a backup.

use std::io::Write;
use std::path::PathBuf;

use argh::FromArgs;

use super::Failure;
use crate::config::{self, environment::Environment};
use crate::store::sqlite::{BackupError, restore_backup};

/// make the data_dir of the configuration, which must be empty, of a backup made by miroir-ctl backup. Not while Miroir runs;
/// the next start compares all nodes with it and makes replicas equal
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "restore")]
pub struct Restore {
    /// the YAML file; environment variables win over it
    #[argh(option)]
    pub config: PathBuf,
    /// the folder of the backup
    #[argh(positional)]
    pub backup: PathBuf,
}

impl Restore {
    /// Does it.
    pub fn run(self) -> Result<(), Failure> {
        let settings = config::load(Some(&self.config), &Environment::of_process(), &[])?;
        let record = restore_backup(&self.backup, &settings.data_dir)?;
        let (data_dir, next) = (settings.data_dir.display(), record.next_entry);
        writeln!(
            std::io::stdout(),
            "{data_dir} is as it was before task {next}. Start miroir with all nodes up: it looks what they have got since, gives \
             no number again, and makes replicas equal (docs/OPERATIONS.md, \"Backups of data_dir\")"
        )?;
        Ok(())
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Damaged { .. } | BackupError::Newer { .. } | BackupError::Occupied { .. } => {
                Self::Refused(error.to_string())
            }
            BackupError::Io { .. } => Self::Operation(error.to_string()),
        }
    }
}
