//! What this program writes. Nobody has to read it: where a reader has gone, as `head` does, the work goes on, and with it
//! the files that were asked for and the exit code.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

use anyhow::{Context, Result};

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
