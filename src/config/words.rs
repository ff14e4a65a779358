//! Finds a word in what a file says at some place, for people to be sent to the very word.
//!
//! Of JSON and TOML alike it knows quotes, brackets and bare words, and no more: who asks knows what stands there.

use std::ops::Range;

/// Where the first of `words` that is there stands, in any letter case: where it is nested least, if more than once.
pub(super) fn find(text: &str, words: &[String]) -> Option<Range<usize>> {
    let mut best: Option<((usize, usize), Range<usize>)> = None;
    let mut named = false;
    for (depth, token) in tokens(text) {
        let written = text[token.clone()].trim_matches(['"', '\'']);
        // A name may be any word, and is never what is looked for.
        if std::mem::replace(&mut named, is_naming(written)) {
            named = false;
            continue;
        }
        let Some(word) = words.iter().position(|word| word.eq_ignore_ascii_case(written)) else { continue };
        if best.as_ref().is_none_or(|(rank, _)| (word, depth) < *rank) {
            best = Some(((word, depth), token));
        }
    }
    best.map(|(_, token)| token)
}

fn is_naming(written: &str) -> bool {
    written.eq_ignore_ascii_case("name") || written.eq_ignore_ascii_case("description")
}

/// What is in quotes, with them, and bare words, each with the number of brackets around it.
fn tokens(text: &str) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut depth = 0_usize;
    std::iter::from_fn(move || {
        while let Some(byte) = bytes.get(at).copied() {
            let start = at;
            at += 1;
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                b'"' | b'\'' => {
                    at = end_of_quoted(bytes, at, byte);
                    return Some((depth, start..at));
                }
                byte if is_bare(byte) => {
                    at = bytes[start..].iter().position(|byte| !is_bare(*byte)).map_or(bytes.len(), |end| start + end);
                    return Some((depth, start..at));
                }
                _ => {}
            }
        }
        None
    })
}

/// No text goes beyond its line: what looks like a quote may be an apostrophe in a comment.
fn end_of_quoted(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut escaped = false;
    for (at, byte) in bytes.iter().copied().enumerate().skip(from) {
        match byte {
            b'\n' => return at,
            _ if escaped => escaped = false,
            b'\\' if quote == b'"' => escaped = true,
            byte if byte == quote => return at + 1,
            _ => {}
        }
    }
    bytes.len()
}

fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.:*/".contains(&byte) || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |text: &str, words: &[&str], expected: Option<usize>| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            assert_eq!(find(text, &words).map(|found| found.start), expected, "{text}");
        };
        check("{\"a\": [\"*.Contoso.com\"]}", &["*.contoso.com"], Some(7));
        check("{\"list\": [{\"priority\": 1}], \"priority\": 2}", &["priority"], Some(28));
        check("name = 'x' # don't\npriority = 2", &["priority"], Some(19));
        check("a = \"q\\\"b\" b = 1", &["b"], Some(11));
        check("mode = \"off\"", &["threatIntelMode", "mode"], Some(0));
        check("ports = [8443]", &["8443"], Some(9));
        check("name = \"any\"\nprotocols = [\"Any\"]", &["Any"], Some(26));
        check("a = 1", &["b"], None);
        check("\"never closed\nb", &["b"], Some(14));
        check("ü = \"ü", &["ü"], Some(0));
    }
}
