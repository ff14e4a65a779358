//! What the documents list as dependencies of an environment, as questions to a firewall.

use std::net::IpAddr;

use crate::allowlist::{Endpoint, EndpointHost, Kind, List, lists};
use crate::flow::{Host, HostName, Protocol};
use crate::policy::FqdnPattern;
use crate::vnet::Cloud;

/// One row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// As it is published: `gr-prod-*.cloudapp.net:443`.
    pub(super) text: &'static str,
    /// What it says, or was meant to say where it is damaged.
    pub(super) meant: Endpoint,
    /// Whom to ask for: of a wildcard a name that it holds.
    pub(super) host: Host,
}

/// What a wildcard's `*` is taken to be when it is asked about.
const SOMEBODY: &str = "egret";

impl Row {
    fn of(text: &'static str, meant: Endpoint) -> Option<Row> {
        let host = match &meant.host {
            EndpointHost::Any => return None,
            EndpointHost::Addr(address) => Host::Addr(*address),
            EndpointHost::Name(pattern) => Host::Name(representative(pattern)?),
        };
        Some(Row { text, meant, host })
    }

    /// HTTP or HTTPS for a name; what is listed by its address is no web traffic, whatever the port.
    pub(super) fn protocol(&self) -> Protocol {
        match self.host {
            Host::Name(_) => self.meant.app_protocol().protocol,
            Host::Addr(_) => Protocol::Tcp,
        }
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Addr(address) => Some(address),
            Host::Name(_) => None,
        }
    }

    pub(super) fn pattern(&self) -> Option<&FqdnPattern> {
        match &self.meant.host {
            EndpointHost::Name(pattern) => Some(pattern),
            EndpointHost::Any | EndpointHost::Addr(_) => None,
        }
    }

    /// With what was asked where that is not what is published: `*.update.microsoft.com:443 (asked: …)`.
    pub(super) fn shown(&self) -> String {
        let asked = format!("{}:{}", self.host, self.meant.port);
        if asked.eq_ignore_ascii_case(self.text) { asked } else { format!("{} (asked: {asked})", self.text) }
    }
}

/// A name that a pattern holds. None for `*` alone, which no list has.
pub(super) fn representative(pattern: &FqdnPattern) -> Option<HostName> {
    match pattern {
        FqdnPattern::Any => None,
        FqdnPattern::Exact(name) => Some(name.clone()),
        FqdnPattern::Subdomains(below) => HostName::parse(&format!("{SOMEBODY}.{below}")).ok(),
        FqdnPattern::Suffix(tail) => HostName::parse(&format!("{SOMEBODY}{tail}")).ok(),
        FqdnPattern::Glob(glob) => HostName::parse(&glob.replace('*', SOMEBODY)).ok(),
    }
}

/// The lists of one date for one cloud: `ase@2023-11-20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edition {
    pub(super) name: &'static str,
    pub(super) date: &'static str,
}

/// What is published for a cloud, the newest first. Of the cloud in China nothing is.
pub(super) fn editions(cloud: Cloud) -> Vec<Edition> {
    let stem = match cloud {
        Cloud::Public => "ase",
        Cloud::UsGov => "ase-usgov",
        Cloud::China => return Vec::new(),
    };
    let of_cloud = |list: &&List| list.folder().split_once('@').is_some_and(|(name, _)| name == stem);
    let named = |list: &List| Some(Edition { name: list.folder(), date: list.folder().split_once('@')?.1 });
    let mut editions: Vec<Edition> = lists().iter().filter(of_cloud).filter_map(named).collect();
    editions.sort_by_key(|edition| std::cmp::Reverse(edition.date));
    editions.dedup();
    editions
}

impl Edition {
    /// The rows of one of its lists, without those for any destination.
    pub(super) fn rows(self, kind: Kind) -> Vec<Row> {
        let intended = self.list(Kind::Intended);
        let list = self.list(kind).into_iter().flat_map(List::endpoints);
        list.filter_map(|(text, said)| Row::of(text, meant(intended, text).unwrap_or(said))).collect()
    }

    fn list(self, kind: Kind) -> Option<&'static List> {
        lists().iter().find(|list| list.kind == kind && list.folder() == self.name)
    }
}

/// What a damaged row was meant to say.
fn meant(intended: Option<&'static List>, text: &str) -> Option<Endpoint> {
    let pairs = intended?.entries.iter().filter_map(|row| row.split_once(" -> "));
    let (_, meant) = pairs.into_iter().find(|(damaged, _)| *damaged == text)?;
    meant.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editions_by_cloud() {
        let names = |cloud| editions(cloud).into_iter().map(|it| it.name).collect::<Vec<_>>();
        assert_eq!(names(Cloud::Public), ["ase@2023-11-20", "ase@2018-09-24"]);
        assert_eq!(names(Cloud::UsGov), ["ase-usgov@2023-11-20"]);
        assert_eq!(names(Cloud::China), [""; 0]);
    }

    #[test]
    fn rows() {
        let [newest, seed] = editions(Cloud::Public)[..] else { panic!() };
        let count = |edition: Edition, kind| edition.rows(kind).len();
        assert_eq!(
            (count(newest, Kind::Fqdn), count(newest, Kind::Wildcard), count(newest, Kind::Linux)),
            (88, 11, 27)
        );
        assert_eq!((count(seed, Kind::Fqdn), count(seed, Kind::Wildcard), count(seed, Kind::Linux)), (51, 10, 9));
        assert_eq!((count(newest, Kind::Ip), count(seed, Kind::Ip)), (8, 7));
    }

    #[test]
    fn a_wildcard_is_asked_by_a_name_that_it_holds() {
        let gov = editions(Cloud::UsGov)[0];
        let all = editions(Cloud::Public).into_iter().chain([gov]);
        let rows: Vec<Row> = all.flat_map(|edition| edition.rows(Kind::Wildcard)).collect();
        for row in &rows {
            let Host::Name(name) = &row.host else { panic!("{row:?}") };
            assert!(row.pattern().unwrap().matches(name), "{row:?}");
        }
        let shown = |text: &str| rows.iter().find(|row| row.text == text).unwrap().shown();
        assert_eq!(
            shown("gr-Prod-*.cloudapp.net:443"),
            "gr-Prod-*.cloudapp.net:443 (asked: gr-prod-egret.cloudapp.net:443)"
        );
        assert_eq!(
            shown("*ctldl.windowsupdate.com:443"),
            "*ctldl.windowsupdate.com:443 (asked: egret.ctldl.windowsupdate.com:443)"
        );
    }

    #[test]
    fn a_damaged_row_is_asked_as_it_was_meant() {
        let rows = editions(Cloud::UsGov)[0].rows(Kind::Fqdn);
        let row = rows.iter().find(|row| row.text == "wp.microsoft.com:80").unwrap();
        assert_eq!(row.shown(), "wp.microsoft.com:80 (asked: wdcp.microsoft.com:80)");
        assert_eq!(rows.len(), 112);
    }
}
