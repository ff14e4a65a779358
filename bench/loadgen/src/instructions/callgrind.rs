//! A program under callgrind, and what it counted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// A program that stands for another one, which it runs under callgrind.
pub(super) struct Counted {
    folder: TempDir,
}

impl Counted {
    pub(super) fn new(program: &Path) -> Result<Counted> {
        let counted = Counted { folder: tempfile::tempdir()? };
        let script = format!(
            "#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file='{}' '{}' \"$@\"\n",
            counted.output().display(),
            program.display()
        );
        fs::write(counted.program(), script)?;
        fs::set_permissions(counted.program(), fs::Permissions::from_mode(0o755))?;
        Ok(counted)
    }

    pub(super) fn program(&self) -> PathBuf {
        self.folder.path().join("counted")
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("callgrind.out")
    }

    /// Instructions of all threads, from start to end. To be asked once the program has ended.
    pub(super) fn instructions(&self) -> Result<u64> {
        let text =
            fs::read_to_string(self.output()).context("callgrind has written nothing: is valgrind installed?")?;
        // A part for each dump; there is one, unless somebody asked for more.
        let totals: Vec<u64> =
            text.lines().filter_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok()).collect();
        ensure!(!totals.is_empty(), "callgrind's file has no totals");
        Ok(totals.iter().sum())
    }
}
