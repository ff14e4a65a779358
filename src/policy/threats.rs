//! Threat intelligence: what is known to be bad, what is exempt from it, and what becomes of a flow that meets it.
//!
//! It is asked before any rule (azure-docs, rule-processing.md). What Microsoft knows is not published, so the feed is
//! the user's own: names, addresses and URLs, one a line. [`walk`](super::walk) looks at each indicator in turn by
//! [`ThreatIntel::first`]; the compiled policy has an index instead.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use crate::flow::{AddrClass, HostName};

use super::address::{AddressError, AddressRange, AddressSet};
use super::decision::Query;
use super::digest::{Digest, digest};
use super::pattern::{FqdnPattern, PatternError, UrlPattern, is_ambiguous};
use super::settings::ThreatMode;

/// The mode, the allowlist and the feed that are in force. As it comes, nothing is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ThreatIntel {
    pub mode: ThreatMode,
    /// A flow to such a name is not looked at, but for its client.
    pub allowed_fqdns: Vec<FqdnPattern>,
    /// Such an address is no indicator's, on either side of a flow.
    pub allowed_addresses: AddressSet,
    pub feed: Arc<Feed>,
}

impl Default for ThreatIntel {
    fn default() -> ThreatIntel {
        ThreatIntel {
            mode: ThreatMode::Off,
            allowed_fqdns: Vec::new(),
            allowed_addresses: AddressSet::default(),
            feed: Arc::default(),
        }
    }
}

/// Indicators in the order in which they were given: of several that match, the first is told.
#[derive(Clone)]
pub struct Feed {
    indicators: Vec<Indicator>,
    /// Two feeds with the same are the same: a million indicators are not looked through for that.
    digest: Digest,
}

/// Something that is known to be bad.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Indicator {
    pub sign: Sign,
    /// What it is known for, as logs tell it.
    pub description: Arc<str>,
}

/// By what a flow is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sign {
    /// `evil.test`, `*.evil.test`
    Name(FqdnPattern),
    Addresses(AddressRange),
    /// `evil.test/kit/*`: of plain HTTP only, where the path is seen.
    Url(UrlPattern),
}

/// An indicator by its place in the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreatId(pub u32);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("`{0}` is this machine, not a threat: of a hosts file, keep the names alone")]
    Nobody(String),
    #[error("`{0}` is everybody: a threat is something in particular")]
    Everybody(String),
    #[error("`{0}` is a URL of an address: name the address alone")]
    AddressUrl(String),
}

/// What Microsoft gives to try threat intelligence with (azure-docs, threat-intel.md), known without any feed.
const TEST_NAME: &str = "testmaliciousdomain.eastus.cloudapp.azure.com";
const TEST_DESCRIPTION: &str = "This is a test indicator for a Microsoft owned domain.";

impl Indicator {
    pub fn test() -> Indicator {
        let name = HostName::parse(TEST_NAME).expect("a test reads it");
        Indicator { sign: Sign::Name(FqdnPattern::Exact(name)), description: TEST_DESCRIPTION.into() }
    }
}

impl Sign {
    /// Reads a name, an address, a CIDR, a range or a URL, the last with or without `http://` or `https://`.
    pub fn parse(text: &str) -> Result<Sign, SignError> {
        let text = text.trim();
        if is_numeric(text) {
            return parse_addresses(text);
        }
        let url = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let bare = url.unwrap_or(text);
        let (host, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
        if is_numeric(host) {
            return Err(SignError::AddressUrl(text.to_owned()));
        }
        // Without a path it is a name, whose path need not be seen.
        let sign = match path {
            "" if url.is_none() || !host.contains(['?', ':']) => Sign::Name(FqdnPattern::parse_azure(host)?),
            _ => Sign::Url(UrlPattern::parse(bare)?),
        };
        match sign {
            Sign::Name(FqdnPattern::Any) => Err(SignError::Everybody(text.to_owned())),
            sign => Ok(sign),
        }
    }
}

/// No name is digits all through, nor has it a colon that no port follows.
fn is_numeric(text: &str) -> bool {
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b".-/".contains(&b));
    let v6 = text.matches(':').count() > 1 && text.bytes().all(|b| b.is_ascii_hexdigit() || b":.-/".contains(&b));
    digits && text.contains('.') || v6
}

fn parse_addresses(text: &str) -> Result<Sign, SignError> {
    let range: AddressRange = text.parse()?;
    if range.first().is_unspecified() && range.first() != range.last() {
        return Err(SignError::Everybody(text.to_owned()));
    }
    match AddrClass::of(range.first()) {
        AddrClass::Unspecified | AddrClass::Loopback => Err(SignError::Nobody(text.to_owned())),
        _ => Ok(Sign::Addresses(range)),
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sign::Name(pattern) => pattern.fmt(f),
            Sign::Addresses(range) => range.fmt(f),
            Sign::Url(url) => url.fmt(f),
        }
    }
}

impl Feed {
    /// Indicators at most: what `docs/threat-intelligence.md` promises to compile within a second.
    pub const MOST: usize = 1_000_000;

    pub fn new(indicators: Vec<Indicator>) -> Feed {
        Feed { digest: digest(&indicators), indicators }
    }

    pub fn indicators(&self) -> &[Indicator] {
        &self.indicators
    }

    /// The id comes from this feed's own policy.
    pub fn get(&self, threat: ThreatId) -> &Indicator {
        &self.indicators[threat.0 as usize]
    }
}

impl Default for Feed {
    fn default() -> Feed {
        Feed::new(Vec::new())
    }
}

impl PartialEq for Feed {
    fn eq(&self, other: &Feed) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Feed {}

impl Hash for Feed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("indicators", &self.indicators.len()).field("digest", &self.digest).finish()
    }
}

impl ThreatIntel {
    /// The first indicator that the flow meets, each looked at in turn.
    pub(super) fn first(&self, query: &Query<'_>) -> Option<ThreatId> {
        let mut numbered = self.feed.indicators.iter().zip(0..).filter(|_| self.mode != ThreatMode::Off);
        numbered.find(|(indicator, _)| self.is_met(&indicator.sign, query)).map(|(_, number)| ThreatId(number))
    }

    fn is_met(&self, sign: &Sign, query: &Query<'_>) -> bool {
        let exempt = query.name.is_some_and(|name| self.allowed_fqdns.iter().any(|allowed| allowed.matches(name)));
        match sign {
            Sign::Name(pattern) => !exempt && query.name.is_some_and(|name| pattern.matches(name)),
            Sign::Url(url) => {
                !exempt && query.name.is_some_and(|name| url.host.matches(name)) && leads(url, query.path)
            }
            Sign::Addresses(range) => {
                let known = |addr: &IpAddr| range.contains(*addr) && !self.allowed_addresses.contains(*addr);
                let to = query.address.ip().into_iter().chain(query.dialled).any(|addr| known(&addr));
                to && !exempt || query.client.is_some_and(|client| known(&client))
            }
        }
    }
}

/// What two servers could read differently is taken for what is known.
fn leads(url: &UrlPattern, path: Option<&str>) -> bool {
    path.is_some_and(|path| url.path.matches(path) || is_ambiguous(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match Sign::parse(text) {
            Ok(Sign::Name(name)) => format!("name {name}"),
            Ok(Sign::Addresses(range)) => format!("addresses {range}"),
            Ok(Sign::Url(url)) => format!("url {url}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn signs() {
        check("Evil.test", "name evil.test");
        check("*.evil.test", "name *.evil.test");
        check("bücher.example", "name xn--bcher-kva.example");
        check("http://evil.test", "name evil.test");
        check("http://evil.test/", "url evil.test/");
        check("https://evil.test/kit/*", "url evil.test/kit/*");
        check("evil.test/a.exe", "url evil.test/a.exe");
        check("203.0.113.7", "addresses 203.0.113.7");
        check(" 203.0.113.7\n", "addresses 203.0.113.7");
        check("203.0.113.0/24", "addresses 203.0.113.0/24");
        check("203.0.113.7-203.0.113.9", "addresses 203.0.113.7-203.0.113.9");
        check("2001:db8::/32", "addresses 2001:db8::/32");
        check("2001:db8::7", "addresses 2001:db8::7");
        check("cafe.test", "name cafe.test");
    }

    #[test]
    fn what_is_no_sign() {
        let nobody =
            |text: &str| format!("`{text}` is this machine, not a threat: of a hosts file, keep the names alone");
        let everybody = |text: &str| format!("`{text}` is everybody: a threat is something in particular");
        check("0.0.0.0", &nobody("0.0.0.0"));
        check("127.0.0.1", &nobody("127.0.0.1"));
        check("::1", &nobody("::1"));
        check("*", &everybody("*"));
        check("0.0.0.0/0", &everybody("0.0.0.0/0"));
        check("::/0", &everybody("::/0"));
        check("http://203.0.113.7/x", "`http://203.0.113.7/x` is a URL of an address: name the address alone");
        check("203.0.113.7/x", "`203.0.113.7/x` is a URL of an address: name the address alone");
        check("203.0.113.0/33", "`203.0.113.0/33` has a prefix that is too long: at most /32");
        check("evil.test/a?b", "`evil.test/a?b`: a target URL holds no query; leave it out");
        check("http://evil.test:8080", "`evil.test:8080`: a target URL holds no port; leave it out");
        for bad in ["evil..test", "evil.test:80", "a b", "", "ftp://evil.test/x", "evil.*"] {
            assert!(Sign::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn feeds_are_told_apart_by_what_they_hold() {
        let feed = |description: &str| {
            Feed::new(vec![Indicator { sign: Sign::parse("evil.test").unwrap(), description: description.into() }])
        };
        assert_eq!(feed("a"), feed("a"));
        assert_ne!(feed("a"), feed("b"));
        assert_ne!(feed("a"), Feed::default());
        assert!(Indicator::test().description.ends_with("Microsoft owned domain."));
    }
}
