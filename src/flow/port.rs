//! Ports and sets of them.

use std::fmt;
use std::str::FromStr;

/// Ports `first..=last`, both between 0 and 65535, `first <= last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    first: u16,
    last: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    #[error("`{0}` is no port: ports are 1 to 65535, a range is written 1000-2000, any port is *")]
    NotAPort(String),
    #[error("`{0}` is upside down: write the lower port first")]
    UpsideDown(String),
}

impl PortRange {
    pub const ANY: PortRange = PortRange { first: 0, last: u16::MAX };

    pub fn single(port: u16) -> Self {
        PortRange { first: port, last: port }
    }

    /// The two ends, in whichever order.
    pub fn between(one: u16, other: u16) -> Self {
        PortRange { first: one.min(other), last: one.max(other) }
    }

    pub fn first(self) -> u16 {
        self.first
    }

    pub fn last(self) -> u16 {
        self.last
    }

    pub fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// A port number in plain decimal digits, 1 to 65535; no sign, no blanks.
pub(crate) fn parse_port(digits: &str) -> Option<u16> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|port| *port != 0)
}

impl FromStr for PortRange {
    type Err = PortError;

    /// `80`, `1000-2000` or `*`, as network rules write them.
    fn from_str(text: &str) -> Result<Self, PortError> {
        let text = text.trim();
        if text == "*" {
            return Ok(PortRange::ANY);
        }
        let bad = || PortError::NotAPort(text.to_owned());
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first = parse_port(first.trim()).ok_or_else(bad)?;
        let last = parse_port(last.trim()).ok_or_else(bad)?;
        if first > last {
            return Err(PortError::UpsideDown(text.to_owned()));
        }
        Ok(PortRange { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == PortRange::ANY {
            f.write_str("*")
        } else if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// A set of ports as sorted ranges that neither overlap nor touch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PortSet(Vec<PortRange>);

impl PortSet {
    pub fn any() -> Self {
        PortSet(vec![PortRange::ANY])
    }

    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(port))
    }

    pub fn is_any(&self) -> bool {
        self.0 == [PortRange::ANY]
    }

    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }
}

impl FromIterator<PortRange> for PortSet {
    fn from_iter<I: IntoIterator<Item = PortRange>>(ranges: I) -> Self {
        let mut sorted: Vec<PortRange> = ranges.into_iter().collect();
        sorted.sort();
        let mut merged: Vec<PortRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => {
                    last.last = last.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        PortSet(merged)
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_shown() {
        for text in ["80", "1000-2000", "*", "1-65535"] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), text);
        }
        assert_eq!("90-80".parse::<PortRange>(), Err(PortError::UpsideDown("90-80".into())));
        for bad in ["0", "65536", "", "-", "80-", "+80", "http", "0x50"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sets_merge() {
        let set: PortSet = ["20-30", "80", "25-40", "41"].iter().map(|t| t.parse().unwrap()).collect();
        assert_eq!(set.to_string(), "20-41,80");
        assert!(set.contains(41) && set.contains(80) && !set.contains(42) && !set.contains(19));
        assert!(PortSet::any().is_any());
    }
}
