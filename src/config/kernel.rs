//! What the kernel's rules are written with: names of interfaces and marks. What is read here can be written there.

use std::fmt;

use super::error::Problem;

/// The name of a network interface, or its beginning and `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface(String);

/// The firewall mark of Egret's own sockets. The one after it marks what TPROXY leads here, and numbers its routing
/// table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u32);

impl Interface {
    /// As the kernel takes them: at most 15 bytes, no blank, slash or colon. What would end the text in which it stands
    /// in a ruleset is no part of one either.
    pub(super) fn parse(text: &str) -> Result<Interface, Problem> {
        let known = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '"' | '\\' | '*');
        let stem = text.strip_suffix('*').unwrap_or(text);
        let fits = (1..=15).contains(&stem.len()) && stem.chars().all(known) && !matches!(stem, "." | "..");
        if fits {
            return Ok(Interface(text.to_owned()));
        }
        let mend = "write it as `ip link` does, such as eth1, or br-* for all that begin so";
        Err(Problem::new(format!("`{text}` is no name of a network interface")).mend(mend))
    }

    /// Is this, as the kernel has it, one that is meant?
    pub fn covers(&self, name: &[u8]) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning.as_bytes()),
            None => name == self.0.as_bytes(),
        }
    }

    /// None where it stands for several.
    pub fn single(&self) -> Option<&str> {
        (!self.0.ends_with('*')).then_some(&*self.0)
    }
}

/// As nft writes it.
impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Mark {
    pub(super) const MIN: i64 = 1;
    pub(super) const MAX: i64 = 2_147_483_646;

    /// `Eg`.
    pub(super) const USUAL: Mark = Mark(0x4567);

    /// Tables 0 and 253 to 255 are the kernel's.
    pub(super) fn parse(number: i64) -> Result<Mark, Problem> {
        match u32::try_from(number) {
            Ok(mark) if (Mark::MIN..=Mark::MAX).contains(&number) && !(252..=254).contains(&mark) => Ok(Mark(mark)),
            _ => {
                Err(Problem::new(format!("the mark {number} cannot be used: the one after it numbers a routing table"))
                    .mend(format!("take one from {} to {} that is not 252, 253 or 254", Mark::MIN, Mark::MAX)))
            }
        }
    }

    pub fn get(self) -> u32 {
        self.0
    }

    /// Of what TPROXY leads here; also the number of the routing table.
    pub fn routing(self) -> u32 {
        self.0 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_by_their_beginning() {
        let covers = |wanted: &str, name: &str| Interface::parse(wanted).unwrap().covers(name.as_bytes());
        assert!(covers("eth0", "eth0") && covers("br-*", "br-1f") && covers("br-*", "br-"));
        assert!(!covers("eth0", "eth01") && !covers("br-*", "br1") && !covers("eth0", "eth"));
    }

    #[test]
    fn marks() {
        for good in [1, 251, 255, 17767, Mark::MAX] {
            assert_eq!(i64::from(Mark::parse(good).unwrap().routing()), good + 1);
        }
        for bad in [-1, 0, 252, 253, 254, Mark::MAX + 1, i64::from(u32::MAX) + 2] {
            assert!(Mark::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn interfaces() {
        for good in ["eth1", "br-*", "veth0.100", "wg0", "a23456789012345", "eth0@x", "tun+", "v~1"] {
            assert_eq!(Interface::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "*", "eth 1", "e\"; flush ruleset", "a/b", "a:1", "a234567890123456", "br*x", "..", "é", "a\n"]
        {
            assert!(Interface::parse(bad).is_err(), "{bad}");
        }
    }
}
