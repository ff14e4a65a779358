//! Addresses as rules write them: single, CIDR, range, `*`, IP groups and service tags.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

/// Addresses `first..=last` of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("`{0}` is no address: write 10.0.0.4, 10.1.0.0/16, 10.2.0.0-10.2.0.31 or *")]
    NotAnAddress(String),
    #[error("`{0}` has a prefix that is too long: at most /{1}")]
    PrefixLength(String, u8),
    #[error("`{0}` is upside down: write the lower address first")]
    UpsideDown(String),
    #[error("`{0}` mixes IPv4 and IPv6")]
    MixedFamilies(String),
}

impl AddressRange {
    pub fn first(self) -> IpAddr {
        self.first
    }

    pub fn last(self) -> IpAddr {
        self.last
    }

    /// None where the ends are not of one family, or upside down.
    pub fn between(first: IpAddr, last: IpAddr) -> Option<AddressRange> {
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(AddressRange { first, last })
    }

    pub fn contains(self, addr: IpAddr) -> bool {
        self.first.is_ipv4() == addr.is_ipv4() && self.first <= addr && addr <= self.last
    }

    /// The fewest prefixes that cover just this range.
    pub fn nets(self) -> Vec<IpNet> {
        match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect(),
            (IpAddr::V6(first), IpAddr::V6(last)) => Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect(),
            _ => Vec::new(),
        }
    }

    fn is_all_ipv4(self) -> bool {
        self.first == IpAddr::V4(Ipv4Addr::UNSPECIFIED) && self.last == IpAddr::V4(Ipv4Addr::BROADCAST)
    }

    fn of_net(net: IpNet) -> AddressRange {
        AddressRange { first: net.network(), last: net.broadcast() }
    }
}

impl From<IpAddr> for AddressRange {
    fn from(addr: IpAddr) -> Self {
        AddressRange { first: addr, last: addr }
    }
}

impl FromStr for AddressRange {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let bad = || AddressError::NotAnAddress(text.to_owned());
        if let Some((addr, length)) = text.split_once('/') {
            return parse_cidr(text, addr, length);
        }
        let Some((first, last)) = text.split_once('-') else {
            return Ok(AddressRange::from(text.parse::<IpAddr>().map_err(|_| bad())?));
        };
        let first: IpAddr = first.trim().parse().map_err(|_| bad())?;
        let last: IpAddr = last.trim().parse().map_err(|_| bad())?;
        if first.is_ipv4() != last.is_ipv4() {
            return Err(AddressError::MixedFamilies(text.to_owned()));
        }
        if first > last {
            return Err(AddressError::UpsideDown(text.to_owned()));
        }
        Ok(AddressRange { first, last })
    }
}

fn parse_cidr(text: &str, addr: &str, length: &str) -> Result<AddressRange, AddressError> {
    let bad = || AddressError::NotAnAddress(text.to_owned());
    let addr: IpAddr = addr.parse().map_err(|_| bad())?;
    if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let longest = if addr.is_ipv4() { 32 } else { 128 };
    let too_long = || AddressError::PrefixLength(text.to_owned(), longest);
    let length: u8 = length.parse().map_err(|_| too_long())?;
    let net = IpNet::new(addr, length).map_err(|_| too_long())?;
    Ok(AddressRange::of_net(net))
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nets().as_slice() {
            _ if self.first == self.last => self.first.fmt(f),
            [net] => net.fmt(f),
            _ => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// Ranges that go by a name: an IP group or a service tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamedRanges {
    pub name: String,
    pub kind: NamedKind,
    pub ranges: Arc<[AddressRange]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NamedKind {
    IpGroup,
    /// One that is not at hand: unlike an empty group, which Azure skips the whole rule for, it matches nothing.
    UnknownIpGroup,
    /// Without a range where its name is not known here: it matches nothing.
    ServiceTag,
}

/// The addresses that a rule names. Without an entry it holds no address at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AddressSet {
    any: bool,
    ranges: Vec<AddressRange>,
    named: Vec<NamedRanges>,
}

impl AddressSet {
    pub fn any() -> Self {
        AddressSet { any: true, ..AddressSet::default() }
    }

    /// Adds one entry. `0.0.0.0/0` is taken as `*`: Azure Firewall's rules know IPv4 only, so there it says all.
    pub fn insert(&mut self, range: AddressRange) {
        if range.is_all_ipv4() {
            self.any = true;
        } else {
            self.ranges.push(range);
        }
    }

    /// Reads one entry: an address, a CIDR, a range or `*`.
    pub fn insert_text(&mut self, text: &str) -> Result<(), AddressError> {
        if text.trim() == "*" {
            self.any = true;
        } else {
            self.insert(text.parse()?);
        }
        Ok(())
    }

    pub fn insert_named(&mut self, named: NamedRanges) {
        self.named.push(named);
    }

    /// Adds all of another set's.
    pub fn extend(&mut self, other: &AddressSet) {
        self.any |= other.any;
        self.ranges.extend(&other.ranges);
        self.named.extend(other.named.iter().cloned());
    }

    pub fn is_any(&self) -> bool {
        self.any
    }

    pub fn is_empty(&self) -> bool {
        !self.any && self.ranges().next().is_none()
    }

    /// True when an IP group in it is empty. Azure skips such a rule whole, whatever else it names
    /// (azure-docs, ip-groups.md).
    pub fn has_empty_group(&self) -> bool {
        self.named.iter().any(|named| named.kind == NamedKind::IpGroup && named.ranges.is_empty())
    }

    pub fn ranges(&self) -> impl Iterator<Item = AddressRange> + '_ {
        self.ranges.iter().copied().chain(self.named.iter().flat_map(|named| named.ranges.iter().copied()))
    }

    /// The entries that are addresses, without what goes by a name.
    pub fn listed(&self) -> &[AddressRange] {
        &self.ranges
    }

    pub fn named(&self) -> &[NamedRanges] {
        &self.named
    }

    pub fn contains(&self, addr: IpAddr) -> bool {
        self.any || self.ranges().any(|range| range.contains(addr))
    }
}

impl fmt::Display for AddressSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entries: Vec<String> = Vec::new();
        if self.any {
            entries.push("*".to_owned());
        }
        entries.extend(self.ranges.iter().map(ToString::to_string));
        entries.extend(self.named.iter().map(|named| named.name.clone()));
        f.write_str(&entries.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        for text in ["10.0.0.4", "10.1.0.0/16", "10.2.0.0-10.2.0.30", "2001:db8::/32", "fd00::1"] {
            assert_eq!(text.parse::<AddressRange>().unwrap().to_string(), text);
        }
        assert_eq!("10.2.0.0-10.2.0.31".parse::<AddressRange>().unwrap().to_string(), "10.2.0.0/27");
        assert_eq!("10.1.2.3/16".parse::<AddressRange>().unwrap().to_string(), "10.1.0.0/16");
    }

    #[test]
    fn errors() {
        let error = |text: &str| text.parse::<AddressRange>().unwrap_err();
        assert_eq!(error("10.0.0.0/35"), AddressError::PrefixLength("10.0.0.0/35".into(), 32));
        assert_eq!(error("10.0.0.9-10.0.0.1"), AddressError::UpsideDown("10.0.0.9-10.0.0.1".into()));
        assert_eq!(error("10.0.0.9-::1"), AddressError::MixedFamilies("10.0.0.9-::1".into()));
        for bad in ["10.0.0", "10.0.0.0/", "10.0.0.0/+8", "contoso.com", "", "10.0.0.256"] {
            assert_eq!(error(bad), AddressError::NotAnAddress(bad.into()), "{bad}");
        }
    }

    #[test]
    fn all_of_ipv4_is_any() {
        let mut set = AddressSet::default();
        assert!(set.is_empty());
        set.insert_text("0.0.0.0/0").unwrap();
        assert!(set.is_any() && set.contains("::1".parse().unwrap()));
    }
}
