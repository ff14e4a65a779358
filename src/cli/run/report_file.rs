//! The file of `--report`: looked at before the command runs, written when it has ended.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::report::Report;
use crate::cli::UsageError;

pub(super) struct ReportFile(PathBuf);

impl ReportFile {
    /// Refuses, before anything runs, what could not be written. Leaves everything as it was: the command may look.
    pub(super) fn begin(path: PathBuf) -> anyhow::Result<ReportFile> {
        match try_out(&path) {
            Ok(()) => Ok(ReportFile(path)),
            Err(error) => Err(UsageError(format!("--report: cannot write `{}`: {error}", path.display())).into()),
        }
    }

    pub(super) fn write(&self, report: &Report) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(report)?;
        text.push('\n');
        fs::write(&self.0, text).with_context(|| format!("cannot write the report `{}`", self.0.display()))
    }
}

fn try_out(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(there) if there.is_file() => OpenOptions::new().write(true).open(path).map(drop),
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        // Whoever reads a pipe sees its writer come and go.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => try_to_create(path),
        Err(error) => Err(error),
    }
}

fn try_to_create(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(_) => fs::remove_file(path),
        // A link to what is not there yet.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
