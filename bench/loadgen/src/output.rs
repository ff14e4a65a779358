//! What this program writes, and whether it can, which is asked before the work. Nobody has to read it: where a reader has
//! gone, as `head` does, the work goes on, and with it the files that were asked for and the exit code.

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// To standard output.
pub fn print(text: impl Display) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to standard output"),
    }
}

/// A line to standard error. One that cannot be shown is no reason to stop.
pub fn tell(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Tries to write this file, so that nobody works for what cannot be kept. One that is there stays as it is, and one that
/// is not is gone again.
pub fn try_file(path: &Path) -> Result<()> {
    let there = fs::metadata(path).ok();
    ensure!(!there.as_ref().is_some_and(fs::Metadata::is_dir), "writing {}: it is a folder", path.display());
    // Who reads from a pipe would take this for all there is.
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        return Ok(());
    }
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.with_context(|| format!("writing {}", path.display()))?;
    if there.is_none() {
        fs::remove_file(path).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_leaves_everything_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&old, "figures").unwrap();
        try_file(&old).unwrap();
        try_file(&new).unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "figures");
        assert!(!new.exists());
        try_file(Path::new("/dev/null")).unwrap();
    }

    #[test]
    fn what_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [folder.path(), &file.join("x"), &folder.path().join("none/x")] {
            let error = try_file(path).unwrap_err().to_string();
            assert_eq!(error.strip_suffix(": it is a folder").unwrap_or(&error), format!("writing {}", path.display()));
        }
    }
}
