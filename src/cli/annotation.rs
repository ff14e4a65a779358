//! GitHub's workflow commands: a line that its runner reads as an annotation.
//!
//! Names come from whoever wrote a file or was denied: what could end a command or begin another is escaped.

/// As GitHub calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Error,
    Warning,
    Notice,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Notice => "notice",
        }
    }
}

/// `::error file=…,line=…::message`
pub(super) fn github(level: Level, properties: &[(&str, String)], message: &str) -> String {
    let properties: Vec<String> =
        properties.iter().map(|(name, value)| format!("{name}={}", property(value))).collect();
    format!("::{} {}::{}", level.as_str(), properties.join(","), data(message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_command_or_begins_one() {
        let line = github(Level::Error, &[("file", "a,b:c\n".into()), ("line", "3".into())], "50%\r\n::error::x");
        assert_eq!(line, "::error file=a%2Cb%3Ac%0A,line=3::50%25%0D%0A::error::x");
    }
}
