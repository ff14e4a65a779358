//! The only printer: data to standard output, everything else to standard error.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;

use crate::flow::Verdict;

use super::Exit;

/// How data are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

pub(super) const ALLOW: Style = AnsiColor::Green.on_default();
pub(super) const DENY: Style = AnsiColor::Red.on_default().bold();
pub(super) const HINT: Style = Style::new().dimmed();
pub(super) const STRONG: Style = Style::new().bold();

pub(super) fn style_of(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Allow => ALLOW,
        Verdict::Deny => DENY,
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum PrintError {
    /// `egret check … | head` is no failure.
    #[error("nobody reads standard output any more")]
    Closed,
    #[error("cannot write to standard output: {0}")]
    Failed(io::Error),
}

impl From<io::Error> for PrintError {
    fn from(error: io::Error) -> PrintError {
        if error.kind() == io::ErrorKind::BrokenPipe { PrintError::Closed } else { PrintError::Failed(error) }
    }
}

/// Writes text with styles, which go away where the stream is no terminal or `NO_COLOR` is set.
pub(super) struct Printer {
    data: BufWriter<AutoStream<io::Stdout>>,
    rest: anstream::Stderr,
}

impl Printer {
    pub(super) fn new() -> Printer {
        let choice = AutoStream::choice(&io::stdout());
        Printer { data: BufWriter::new(AutoStream::new(io::stdout(), choice)), rest: anstream::stderr() }
    }

    /// One line of data.
    pub(super) fn line(&mut self, line: impl fmt::Display) -> Result<(), PrintError> {
        Ok(writeln!(self.data, "{line}")?)
    }

    /// One line of JSON.
    pub(super) fn json_line(&mut self, value: &impl Serialize) -> Result<(), PrintError> {
        let line = serde_json::to_string(value).map_err(io::Error::other)?;
        self.line(line)
    }

    /// JSON over several lines, for people too.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), PrintError> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        self.line(text)
    }

    /// Bytes of data, as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), PrintError> {
        Ok(self.data.write_all(bytes)?)
    }

    pub(super) fn flush(&mut self) -> Result<(), PrintError> {
        Ok(self.data.flush()?)
    }

    /// A line that is no data.
    pub(super) fn tell(&mut self, line: &str) {
        // At once: what others write to the same terminal is not to get between the line and its end. Without a standard
        // error nobody is there to be told of it.
        let _ = self.rest.write_all(format!("{line}\n").as_bytes());
    }

    /// One line of JSON that is no data.
    pub(super) fn tell_json(&mut self, value: &impl Serialize) -> Result<(), PrintError> {
        let line = serde_json::to_string(value).map_err(io::Error::other)?;
        self.tell(&line);
        Ok(())
    }

    pub(super) fn warn(&mut self, what: &str) {
        let style = AnsiColor::Yellow.on_default().bold();
        self.tell(&format!("{style}warning:{style:#} {what}"));
    }

    /// Nothing is the matter.
    pub(super) fn note(&mut self, what: &str) {
        self.tell(&format!("{HINT}note:{HINT:#} {what}"));
    }

    pub(super) fn error(&mut self, what: &str) {
        self.tell(&format!("{DENY}error:{DENY:#} {what}"));
    }
}

/// Help and version are data; anything else that clap has to say is a usage error.
pub(super) fn usage(refusal: &clap::Error) -> Exit {
    // Nobody reads it any more: so be it.
    let _ = refusal.print();
    if refusal.use_stderr() { Exit::Usage } else { Exit::Clean }
}

pub(super) fn stderr_is_coloured() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

pub(super) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}
