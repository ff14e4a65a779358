//! One file of `allowlists/`: a header and entries.

use std::sync::LazyLock;

use crate::policy::{AddressRange, FqdnPattern, IpProtocols, ServiceEndpoint};

use super::embedded::FILES;
use super::entry::{Endpoint, EntryError};
use super::table::{self, TableRow};

/// A list as it was published, with where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Its path below `allowlists/`, without `.txt`: `ase@2018-09-24/fqdn`.
    pub name: &'static str,
    pub title: &'static str,
    /// The document, with the date in the document's own header.
    pub source: &'static str,
    /// `2018-09-24`; the year alone where no more is known.
    pub date: &'static str,
    pub scope: &'static str,
    pub kind: Kind,
    /// What entries that are addresses stand for; TCP unless the list says otherwise.
    pub protocols: IpProtocols,
    /// Set where the list is no published fact: says why.
    pub approximation: Option<&'static str>,
    pub notes: Vec<&'static str>,
    /// One entry a line of the file, sorted by bytes, none twice.
    pub entries: Vec<&'static str>,
}

/// What the entries of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `host:port`, HTTP or HTTPS.
    Fqdn,
    /// The same, with `*` in the host, inside a label too.
    Wildcard,
    /// `address:port`; the address `*` is any.
    Ip,
    /// Names and addresses that only Linux apps need.
    Linux,
    /// `published -> meant`: damaged rows of the other lists.
    Intended,
    ServiceEndpoints,
    /// The tables of the networking document.
    Outbound,
    Inbound,
    AppPorts,
    /// Addresses that App Service manages from.
    Management,
    /// Prefixes.
    ServiceTag,
    /// Members of an FQDN tag, `host:port`.
    FqdnTag,
    /// Names in a web category.
    WebCategory,
}

impl Kind {
    pub const ALL: &'static [Kind] = &[
        Kind::Fqdn,
        Kind::Wildcard,
        Kind::Ip,
        Kind::Linux,
        Kind::Intended,
        Kind::ServiceEndpoints,
        Kind::Outbound,
        Kind::Inbound,
        Kind::AppPorts,
        Kind::Management,
        Kind::ServiceTag,
        Kind::FqdnTag,
        Kind::WebCategory,
    ];

    /// As in the header line `# kind: …`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Fqdn => "fqdn",
            Kind::Wildcard => "wildcard",
            Kind::Ip => "ip",
            Kind::Linux => "linux",
            Kind::Intended => "intended",
            Kind::ServiceEndpoints => "service-endpoints",
            Kind::Outbound => "outbound",
            Kind::Inbound => "inbound",
            Kind::AppPorts => "app-ports",
            Kind::Management => "management",
            Kind::ServiceTag => "service-tag",
            Kind::FqdnTag => "fqdn-tag",
            Kind::WebCategory => "web-category",
        }
    }

    fn parse(text: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error("{list}: the header lacks `# {field}: …`")]
    MissingHeader { list: &'static str, field: &'static str },
    #[error("{list}: `{line}` is no header line")]
    UnknownHeader { list: &'static str, line: &'static str },
    #[error("{list}: no list is of the kind `{kind}`")]
    UnknownKind { list: &'static str, kind: &'static str },
    #[error("{list}: `{protocol}` is neither tcp nor udp")]
    UnknownProtocol { list: &'static str, protocol: &'static str },
}

/// Every list, sorted by name.
pub fn lists() -> &'static [List] {
    &LISTS
}

static LISTS: LazyLock<Vec<List>> = LazyLock::new(|| {
    let read = |(name, text): &(&'static str, &'static str)| read(name, text);
    FILES.iter().map(read).collect::<Result<_, _>>().expect("a test reads every embedded list")
});

#[derive(Default)]
struct Header {
    title: Option<&'static str>,
    source: Option<&'static str>,
    date: Option<&'static str>,
    scope: Option<&'static str>,
    kind: Option<&'static str>,
    protocols: Option<&'static str>,
    approximation: Option<&'static str>,
    notes: Vec<&'static str>,
}

impl Header {
    /// False for a line that is no header line.
    fn take(&mut self, line: &'static str) -> bool {
        let Some((field, value)) = line.strip_prefix("# ").and_then(|line| line.split_once(": ")) else {
            return false;
        };
        let slot = match field {
            "title" => &mut self.title,
            "source" => &mut self.source,
            "date" => &mut self.date,
            "scope" => &mut self.scope,
            "kind" => &mut self.kind,
            "protocols" => &mut self.protocols,
            "approximation" => &mut self.approximation,
            "note" => {
                self.notes.push(value);
                return true;
            }
            _ => return false,
        };
        slot.replace(value).is_none()
    }
}

fn read(list: &'static str, text: &'static str) -> Result<List, ListError> {
    let mut header = Header::default();
    let mut entries = Vec::new();
    for line in text.lines() {
        if !line.starts_with('#') {
            entries.push(line);
        } else if !header.take(line) {
            return Err(ListError::UnknownHeader { list, line });
        }
    }
    let Header { title, source, date, scope, kind, protocols, approximation, notes } = header;
    let need = |value: Option<_>, field| value.ok_or(ListError::MissingHeader { list, field });
    let kind = need(kind, "kind")?;
    Ok(List {
        name: list,
        title: need(title, "title")?,
        source: need(source, "source")?,
        date: need(date, "date")?,
        scope: need(scope, "scope")?,
        kind: Kind::parse(kind).ok_or(ListError::UnknownKind { list, kind })?,
        protocols: protocols.map_or(Ok(IpProtocols::TCP), |text| read_protocols(list, text))?,
        approximation,
        notes,
        entries,
    })
}

fn read_protocols(list: &'static str, text: &'static str) -> Result<IpProtocols, ListError> {
    text.split_whitespace().try_fold(IpProtocols::default(), |sum, protocol| match protocol {
        "tcp" => Ok(sum.union(IpProtocols::TCP)),
        "udp" => Ok(sum.union(IpProtocols::UDP)),
        _ => Err(ListError::UnknownProtocol { list, protocol }),
    })
}

impl List {
    /// `ase@2018-09-24` of `ase@2018-09-24/fqdn`.
    pub fn folder(&self) -> &'static str {
        self.name.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// `Storage@360` of `service-tags/Storage@360`.
    pub fn file(&self) -> &'static str {
        self.name.rsplit_once('/').map_or(self.name, |(_, file)| file)
    }

    /// The file's name without its version: `Storage` of `service-tags/Storage@360`.
    pub fn stem(&self) -> &'static str {
        self.file().split_once('@').map_or(self.file(), |(stem, _)| stem)
    }

    /// The entries that name a host and a port, each with its text. Damaged rows give what they were meant to
    /// say. Empty for lists of another kind.
    pub fn endpoints(&self) -> Vec<(&'static str, Endpoint)> {
        let entries = match self.kind {
            Kind::Fqdn | Kind::Wildcard | Kind::Ip | Kind::Linux | Kind::FqdnTag => self.entries.clone(),
            Kind::Intended => meant(&self.entries),
            Kind::ServiceEndpoints | Kind::Outbound | Kind::Inbound | Kind::AppPorts => Vec::new(),
            Kind::Management | Kind::ServiceTag | Kind::WebCategory => Vec::new(),
        };
        let read = |text: &'static str| Ok((text, text.parse()?));
        let read: Result<_, EntryError> = entries.into_iter().map(read).collect();
        read.expect("a test reads every entry of every list")
    }

    /// Management addresses and the prefixes of a service tag. Empty for lists of another kind.
    pub fn addresses(&self) -> Vec<AddressRange> {
        match self.kind {
            Kind::Management | Kind::ServiceTag => {
                let read: Result<_, _> = self.entries.iter().map(|text| text.parse()).collect();
                read.expect("a test reads every entry of every list")
            }
            _ => Vec::new(),
        }
    }

    /// The names in a web category. Empty for lists of another kind.
    pub fn names(&self) -> Vec<FqdnPattern> {
        match self.kind {
            Kind::WebCategory => {
                let read: Result<_, _> = self.entries.iter().map(|text| FqdnPattern::parse_azure(text)).collect();
                read.expect("a test reads every entry of every list")
            }
            _ => Vec::new(),
        }
    }

    /// The rows of one of the networking document's tables. Empty for lists of another kind.
    pub fn table(&self) -> Vec<TableRow> {
        match self.kind {
            Kind::Outbound | Kind::Inbound | Kind::AppPorts => {
                let read: Result<_, _> = self.entries.iter().map(|text| TableRow::parse(text)).collect();
                read.expect("a test reads every entry of every list")
            }
            _ => Vec::new(),
        }
    }

    /// The services of a list of service endpoints, with the ranges of their tags. Empty for lists of another
    /// kind.
    pub fn service_endpoints(&self) -> Vec<ServiceEndpoint> {
        match self.kind {
            Kind::ServiceEndpoints => {
                let read: Result<_, _> = self.entries.iter().map(|text| table::parse_service_endpoint(text)).collect();
                read.expect("a test reads every entry of every list")
            }
            _ => Vec::new(),
        }
    }
}

/// The right-hand sides of `published -> meant`; two damaged rows may mean the same.
fn meant(entries: &[&'static str]) -> Vec<&'static str> {
    let mut names: Vec<_> = entries.iter().filter_map(|row| row.split_once(" -> ")).map(|(_, meant)| meant).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(name: &str) -> &'static List {
        lists().iter().find(|list| list.name == name).unwrap_or_else(|| panic!("no list {name}"))
    }

    #[test]
    fn entries_are_sorted_and_none_is_twice() {
        assert!(lists().windows(2).all(|pair| pair[0].name < pair[1].name), "lists");
        for list in lists() {
            assert!(!list.entries.is_empty(), "{}", list.name);
            for pair in list.entries.windows(2) {
                assert!(pair[0] < pair[1], "{}: `{}` before `{}`", list.name, pair[0], pair[1]);
            }
            for entry in &list.entries {
                assert_eq!(entry.trim(), *entry, "{}", list.name);
                assert!(!entry.is_empty(), "{}", list.name);
            }
        }
    }

    #[test]
    fn headers_are_complete_and_first() {
        for (name, text) in FILES {
            let header = text.lines().take_while(|line| line.starts_with('#')).count();
            assert_eq!(text.lines().filter(|line| line.starts_with('#')).count(), header, "{name}");
            assert!(text.ends_with('\n') && !text.contains('\r'), "{name}");
        }
        for list in lists() {
            for field in [list.title, list.source, list.scope] {
                assert!(field.len() > 5, "{}: `{field}`", list.name);
            }
            let year: u16 = list.date[..4].parse().unwrap();
            assert!((2017..2030).contains(&year), "{}: {}", list.name, list.date);
            assert!(matches!(list.date.len(), 4 | 10), "{}: {}", list.name, list.date);
        }
    }

    #[test]
    fn every_entry_is_read() {
        for list in lists() {
            let read =
                list.endpoints().len() + list.addresses().len() + list.table().len() + list.service_endpoints().len();
            let read = read + list.names().len();
            let expected = if list.kind == Kind::Intended { meant(&list.entries).len() } else { list.entries.len() };
            assert_eq!(read, expected, "{}", list.name);
        }
    }

    #[test]
    fn counts_are_those_of_the_documents() {
        let check = |name: &str, count: usize| assert_eq!(list(name).entries.len(), count, "{name}");
        check("ase@2018-09-24/fqdn", 51);
        check("ase@2018-09-24/wildcard", 10);
        check("ase@2018-09-24/ip", 7);
        check("ase@2018-09-24/linux", 9);
        check("ase@2018-09-24/service-endpoints", 3);
        check("ase@2018-09-24/outbound", 8);
        check("ase@2018-09-24/inbound", 5);
        check("ase@2018-09-24/app-ports", 3);
        check("ase@2023-11-20/fqdn", 88);
        check("ase@2023-11-20/wildcard", 11);
        check("ase@2023-11-20/ip", 10);
        check("ase@2023-11-20/linux", 27);
        check("ase@2023-11-20/service-endpoints", 3);
        check("ase-usgov@2023-11-20/fqdn", 53 + 57 + 2);
        check("ase-usgov@2023-11-20/wildcard", 8);
        check("ase-usgov@2023-11-20/ip", 10);
        check("ase-usgov@2023-11-20/intended", 8);
        check("ase-usgov@2023-11-20/service-endpoints", 3);
        check("management/public@2018-05-29", 33);
        check("management/public@2019-01-16", 37);
        check("management/public@2019-04-03", 40);
        check("management/public@2020-12-21", 64);
        check("management/public@2022-10-24", 72);
        check("management/usgov@2018-05-29", 5);
        check("management/usgov@2019-01-16", 5);
        check("management/usgov@2019-04-03", 5);
        check("management/usgov@2020", 8);
        check("management/usgov@2022-10-24", 10);
        check("management/china@2022-10-24", 2);
        check("service-tags/AppServiceManagement@305", 219 + 201);
        check("service-tags/AppServiceManagement@360", 231 + 213);
        check("service-tags/AppServiceManagement-usgov@401", 23 + 17);
        check("fqdn-tags/AppServiceEnvironment", 88 + 11);
    }

    #[test]
    fn damaged_rows_are_published_rows() {
        let published: Vec<&str> = lists()
            .iter()
            .filter(|list| list.folder() == "ase-usgov@2023-11-20" && list.kind != Kind::Intended)
            .flat_map(|list| list.entries.iter().copied())
            .collect();
        for row in &list("ase-usgov@2023-11-20/intended").entries {
            let (damaged, meant) = row.split_once(" -> ").unwrap();
            assert!(published.contains(&damaged), "{damaged}");
            assert_eq!(damaged.rsplit_once(':').unwrap().1, meant.rsplit_once(':').unwrap().1, "{row}");
        }
    }

    #[test]
    fn approximations_say_so() {
        let approximations: Vec<&str> =
            lists().iter().filter(|list| list.approximation.is_some()).map(|list| list.name).collect();
        assert_eq!(
            approximations,
            [
                "ase-usgov@2023-11-20/intended",
                "fqdn-tags/AppServiceEnvironment",
                "fqdn-tags/AzureKubernetesService",
                "fqdn-tags/WindowsUpdate",
                "management/public@2020-12-21",
                "management/usgov@2020",
                "web-categories/Gambling",
                "web-categories/Games",
                "web-categories/JobSearch",
                "web-categories/News",
                "web-categories/SearchEnginesAndPortals",
                "web-categories/Shopping",
                "web-categories/SocialNetworking",
                "web-categories/StreamingMediaAndDownloads",
                "web-categories/WebBasedEmail",
            ]
        );
    }

    #[test]
    fn broken_headers() {
        let error = |text: &'static str| read("x", text).unwrap_err().to_string();
        assert_eq!(error("# title: T\n"), "x: the header lacks `# kind: …`");
        assert_eq!(error("# colour: red\n"), "x: `# colour: red` is no header line");
        assert_eq!(error("# title: T\n# title: U\n"), "x: `# title: U` is no header line");
        let full = "# title: T\n# source: S\n# date: 2018\n# scope: s\n# kind: fruit\n";
        assert_eq!(error(full), "x: no list is of the kind `fruit`");
    }
}
