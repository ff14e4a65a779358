//! Host names: lower-cased once, compared as bytes ever after.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A DNS host name in its one normal form: lower-case A-labels, no trailing dot, at most 253 bytes.
///
/// Underscores are accepted, because service names (`_acme-challenge`) and sloppy hosts have them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name is longer than 253 bytes")]
    TooLong,
    #[error("a label is empty")]
    EmptyLabel,
    #[error("a label is longer than 63 bytes")]
    LabelTooLong,
    #[error("a name holds letters, digits, hyphens, underscores and dots only")]
    Character,
    #[error("a label starts or ends with a hyphen")]
    Hyphen,
    #[error("not a valid internationalised name")]
    Idna,
    #[error("an IPv6 address belongs in brackets")]
    Brackets,
    #[error("an IPv6 zone id is not a destination")]
    ZoneId,
    #[error("the port is missing or not between 1 and 65535")]
    Port,
    #[error("an IPv4 address is written as four decimal numbers")]
    Numeric,
}

/// Bytes of a name at most.
pub(crate) const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

impl HostName {
    /// Normalises a name that came from the network or from a file: one trailing dot goes, letters become
    /// lower-case, `xn--` labels must be valid IDNA, anything outside ASCII is refused.
    pub fn parse(text: &str) -> Result<HostName, NameError> {
        if is_normal(text) {
            return Ok(HostName(Arc::from(text)));
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        check_labels(text)?;
        let lower = if text.bytes().any(|b| b.is_ascii_uppercase()) {
            Arc::from(text.to_ascii_lowercase())
        } else {
            Arc::from(text)
        };
        let name = HostName(lower);
        if name.0.split('.').any(|label| label.starts_with("xn--")) {
            name.check_idna()?;
        }
        Ok(name)
    }

    /// As [`HostName::parse`], for names that a person typed: `bücher.example` becomes its A-label form.
    pub fn parse_typed(text: &str) -> Result<HostName, NameError> {
        if text.is_ascii() {
            return HostName::parse(text);
        }
        let ascii = idna::domain_to_ascii(text).map_err(|_| NameError::Idna)?;
        HostName::parse(&ascii)
    }

    /// A decoder that only yields the same label again accepts what browsers accept and refuses the rest.
    fn check_idna(&self) -> Result<(), NameError> {
        let (unicode, decoded) = idna::domain_to_unicode(&self.0);
        decoded.map_err(|_| NameError::Idna)?;
        match idna::domain_to_ascii(&unicode) {
            Ok(again) if *again == *self.0 => Ok(()),
            _ => Err(NameError::Idna),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// True for nearly every name that is one, in its normal form: told in one pass. Of the others [`check_labels`] knows more.
fn is_normal(text: &str) -> bool {
    let (mut label, mut first, mut before) = (0, 0, b'.');
    for byte in text.bytes() {
        match byte {
            b'.' if label == 0 || before == b'-' => return false,
            b'.' => label = 0,
            // Where `xn--` has its hyphens, and where none may stand.
            b'-' if label < 4 => return false,
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => {
                if label == 0 {
                    first = byte;
                }
                label += 1;
                if label > MAX_LABEL {
                    return false;
                }
            }
            _ => return false,
        }
        before = byte;
    }
    // A last label that begins with a letter is no number.
    label > 0 && before != b'-' && first.is_ascii_lowercase() && text.len() <= MAX_NAME
}

fn check_labels(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME {
        return Err(NameError::TooLong);
    }
    let mut last = "";
    for label in text.split('.') {
        if label.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        if label.len() > MAX_LABEL {
            return Err(NameError::LabelTooLong);
        }
        if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(NameError::Character);
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(NameError::Hyphen);
        }
        last = label;
    }
    // A resolver that reads "0177.1" or "2130706433" as an address would be a way round the policy.
    if last.bytes().all(|b| b.is_ascii_digit()) || is_hex_number(last) {
        return Err(NameError::Numeric);
    }
    Ok(())
}

fn is_hex_number(label: &str) -> bool {
    let digits = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, NameError>) {
        let got = HostName::parse(text);
        assert_eq!(got.as_ref().map(HostName::as_str), expected.as_ref().map(|s| *s), "{text:?}");
    }

    /// Every text of up to five of those bytes that matter, behind the beginning of a name and in front of its end.
    #[test]
    fn what_is_taken_at_a_glance_is_taken_at_a_second_look() {
        let mut texts = vec![String::new()];
        let mut taken = 0;
        for _ in 0..5 {
            let longer = texts.iter().flat_map(|text| "ax0-_.A".chars().map(move |next| format!("{text}{next}")));
            texts = longer.collect();
            for text in texts.iter().flat_map(|text| [text.clone(), format!("xn{text}"), format!("{text}.a0")]) {
                if is_normal(&text) {
                    taken += 1;
                    assert_eq!(check_labels(&text), Ok(()), "{text}");
                    assert!(!text.bytes().any(|byte| byte.is_ascii_uppercase()), "{text}");
                    assert!(!text.split('.').any(|label| label.starts_with("xn--")), "{text}");
                }
            }
        }
        assert!(taken > 1_000, "{taken}");
        for (length, expected) in [(63, true), (64, false)] {
            assert_eq!(is_normal(&format!("{}.test", "a".repeat(length))), expected);
        }
        let long = "a.".repeat(126);
        assert_eq!((is_normal(&format!("{long}a")), is_normal(&format!("{long}aa"))), (true, false));
    }

    #[test]
    fn one_normal_form() {
        check("ok.test", Ok("ok.test"));
        check("OK.Test", Ok("ok.test"));
        check("ok.test.", Ok("ok.test"));
        check("_dmarc.ok.test", Ok("_dmarc.ok.test"));
        check("xn--bcher-kva.example", Ok("xn--bcher-kva.example"));
        check("XN--BCHER-KVA.example", Ok("xn--bcher-kva.example"));
        check("a--b.test", Ok("a--b.test"));
    }

    #[test]
    fn what_is_no_name() {
        check("", Err(NameError::Empty));
        check(".", Err(NameError::Empty));
        check("ok.test..", Err(NameError::EmptyLabel));
        check("ok..test", Err(NameError::EmptyLabel));
        check(".ok.test", Err(NameError::EmptyLabel));
        check("ok\0.test", Err(NameError::Character));
        check("ok .test", Err(NameError::Character));
        check("ok。test", Err(NameError::Character));
        check("bücher.example", Err(NameError::Character));
        check("-ok.test", Err(NameError::Hyphen));
        check("xn--a.test", Err(NameError::Idna));
        check("xn--.test", Err(NameError::Hyphen));
        check("127.1", Err(NameError::Numeric));
        check("2130706433", Err(NameError::Numeric));
        check("0x7f000001", Err(NameError::Numeric));
        check("127.0.0.0x1", Err(NameError::Numeric));
        check(&"a".repeat(64), Err(NameError::LabelTooLong));
        check(&["a"; 128].join("."), Err(NameError::TooLong));
    }

    #[test]
    fn typed_names_may_be_unicode() {
        assert_eq!(HostName::parse_typed("Bücher.example").unwrap().as_str(), "xn--bcher-kva.example");
        assert_eq!(HostName::parse_typed("ok。test").unwrap().as_str(), "ok.test");
    }
}
