//! Lines of styled text of a known width: wrapped, padded, put side by side.

use anstyle::Style;

use crate::cli::output::{HINT, STRONG};
use crate::telemetry::Printable;

/// Pieces of one line.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(Vec<(Style, String)>);

impl Line {
    pub(super) fn plain(text: impl Into<String>) -> Line {
        Line(vec![(Style::new(), text.into())])
    }

    pub(super) fn styled(style: Style, text: impl Into<String>) -> Line {
        Line(vec![(style, text.into())])
    }

    pub(super) fn and(mut self, style: Style, text: impl Into<String>) -> Line {
        self.0.push((style, text.into()));
        self
    }

    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// As wide as that; what is longer stays.
    fn padded(self, width: usize) -> Line {
        let missing = width.saturating_sub(self.width());
        self.and(Style::new(), " ".repeat(missing))
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.0.iter().rposition(|(_, text)| !text.trim_end().is_empty()).map_or(0, |at| at + 1);
        for (at, (style, text)) in self.0.iter().take(end).enumerate() {
            let text = if at + 1 == end { text.trim_end() } else { text };
            write!(f, "{style}{text}{style:#}")?;
        }
        Ok(())
    }
}

/// Words of a text in lines that are no wider than that; a longer word is cut.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let text = Printable(text).to_string();
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        for part in pieces(word, width) {
            let room = lines.last().map_or(0, |line| width.saturating_sub(line.chars().count()));
            match lines.last_mut() {
                Some(line) if line.is_empty() => line.push_str(&part),
                Some(line) if part.chars().count() < room => {
                    line.push(' ');
                    line.push_str(&part);
                }
                _ => lines.push(part),
            }
        }
    }
    lines
}

/// A long word is cut after a slash where there is one.
fn pieces(word: &str, width: usize) -> Vec<String> {
    let mut letters: Vec<char> = word.chars().collect();
    let mut pieces = Vec::new();
    while letters.len() > width {
        let at = letters[..width].iter().rposition(|it| *it == '/').map_or(width, |at| at + 1);
        let rest = letters.split_off(at);
        pieces.push(letters.into_iter().collect());
        letters = rest;
    }
    pieces.push(letters.into_iter().collect());
    pieces
}

/// A frame with a title, `╭ title ─ right ╮`.
pub(super) fn boxed(title: &str, right: &str, inside: Vec<Line>, width: usize) -> Vec<Line> {
    let room = width.saturating_sub(6);
    let title = short(title, room);
    let right = short(right, room.saturating_sub(title.chars().count() + 1));
    let gap = width.saturating_sub(title.chars().count() + right.chars().count() + 6);
    let right = if right.is_empty() { "──".to_owned() } else { format!(" {right} ") };
    let top = Line::styled(HINT, "╭ ").and(STRONG, title).and(HINT, format!(" {}{right}╮", "─".repeat(gap)));
    let mut lines = vec![top];
    for line in inside {
        let Line(pieces) = line.padded(width.saturating_sub(4));
        lines.push(Line([vec![(HINT, "│ ".to_owned())], pieces, vec![(HINT, " │".to_owned())]].concat()));
    }
    lines.push(Line::styled(HINT, format!("╰{}╯", "─".repeat(width.saturating_sub(2)))));
    lines
}

fn short(text: &str, room: usize) -> String {
    let text = Printable(text).to_string();
    if text.chars().count() <= room {
        return text;
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    if room == 0 { String::new() } else { format!("{kept}…") }
}

/// Two columns, the left one of that width.
pub(super) fn beside(left: Vec<Line>, right: Vec<Line>, width: usize, gap: usize) -> Vec<Line> {
    let rows = left.len().max(right.len());
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    let row = |_| {
        let Line(mut pieces) = left.next().unwrap_or_default().padded(width + gap);
        pieces.extend(right.next().unwrap_or_default().0);
        Line(pieces)
    };
    (0..rows).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wider_than_it_may_be() {
        let long = "a name that is wrapped-and-one-word-that-is-far-too-long-to-fit and an end";
        for width in [8, 12, 20, 40] {
            let lines = wrapped(long, width);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:?}");
            let together: String = lines.concat().replace(' ', "");
            assert_eq!(together, long.replace(' ', ""));
        }
        for width in [20, 40] {
            let framed = boxed(long, long, vec![Line::plain("x")], width);
            assert!(framed.iter().all(|line| line.width() == width), "{framed:?}");
        }
    }
}
