//! Rows with columns: the networking document's tables, and the services reached by service endpoints.

use crate::flow::{HostName, NameError, PortError, PortRange, PortSet};
use crate::policy::ServiceEndpoint;

use super::list::{Kind, List, lists};
use super::tags::service_tag;

/// A dependency of an App Service Environment, as a row of the networking document
/// (azure-docs, network-info.md, ms.date 05/08/2017). The tables name no protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    /// The column "Use": `Azure Storage`.
    pub usage: &'static str,
    pub from: Party,
    pub to: Party,
    /// Of the destination.
    pub ports: PortSet,
    pub note: Option<&'static str>,
}

/// One end of a dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    AseSubnet,
    /// The addresses of the management lists, or the service tag AppServiceManagement.
    ManagementAddresses,
    LoadBalancer,
    /// Addresses assigned to single apps of an External ASE.
    AppAddresses,
    /// Whoever the owner of the apps lets in.
    UserConfigurable,
    Internet,
    /// DNS names; of Storage and SQL the zones below which the names are.
    Names(Vec<HostName>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RowError {
    #[error("`{0}` has too few or too many columns")]
    Columns(&'static str),
    #[error("`{0}` names a service tag that is not embedded")]
    Tag(&'static str),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Port(#[from] PortError),
}

/// What an App Service Environment reaches.
pub fn outbound() -> Vec<TableRow> {
    rows(Kind::Outbound)
}

/// What reaches an App Service Environment. The row `Azure load balancer minimum` is from the text below the
/// document's table.
pub fn inbound() -> Vec<TableRow> {
    rows(Kind::Inbound)
}

/// The ports on which apps are normally reached.
pub fn app_ports() -> Vec<TableRow> {
    rows(Kind::AppPorts)
}

fn rows(kind: Kind) -> Vec<TableRow> {
    lists().iter().filter(|list| list.kind == kind).flat_map(List::table).collect()
}

impl TableRow {
    /// `use | from | to | ports`, and perhaps `| note`.
    pub(super) fn parse(line: &'static str) -> Result<TableRow, RowError> {
        let columns: Vec<&'static str> = line.split(" | ").collect();
        let (usage, from, to, ports, note) = match columns[..] {
            [usage, from, to, ports] => (usage, from, to, ports, None),
            [usage, from, to, ports, note] => (usage, from, to, ports, Some(note)),
            _ => return Err(RowError::Columns(line)),
        };
        Ok(TableRow { usage, from: Party::parse(from)?, to: Party::parse(to)?, ports: parse_ports(ports)?, note })
    }
}

impl Party {
    fn parse(text: &str) -> Result<Party, NameError> {
        Ok(match text {
            "ASE subnet" => Party::AseSubnet,
            "App Service management addresses" => Party::ManagementAddresses,
            "Azure load balancer" => Party::LoadBalancer,
            "App assigned addresses" => Party::AppAddresses,
            "User configurable" => Party::UserConfigurable,
            "Internet" => Party::Internet,
            names => Party::Names(parse_names(names)?),
        })
    }
}

/// `service | name in the document | zones | ports | service tag`; the tag `-` stands for no ranges.
pub(super) fn parse_service_endpoint(line: &'static str) -> Result<ServiceEndpoint, RowError> {
    let columns: Vec<&'static str> = line.split(" | ").collect();
    let [service, _, zones, ports, tag] = columns[..] else { return Err(RowError::Columns(line)) };
    let ranges = match tag {
        "-" => [].into(),
        tag => service_tag(tag).ok_or(RowError::Tag(line))?.ranges,
    };
    Ok(ServiceEndpoint { service: service.to_owned(), zones: parse_names(zones)?, ranges, ports: parse_ports(ports)? })
}

fn parse_names(text: &str) -> Result<Vec<HostName>, NameError> {
    text.split(' ').map(HostName::parse).collect()
}

fn parse_ports(text: &str) -> Result<PortSet, PortError> {
    text.split(',').map(str::parse::<PortRange>).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rows: &[TableRow], usage: &str) -> TableRow {
        rows.iter().find(|row| row.usage == usage).unwrap_or_else(|| panic!("no row {usage}")).clone()
    }

    #[test]
    fn outbound_rows() {
        let rows = outbound();
        let storage = row(&rows, "Azure Storage");
        assert_eq!(storage.ports.to_string(), "80,443,445");
        assert_eq!(storage.note, Some("445 is only needed for ASEv1"));
        assert!(matches!(&storage.to, Party::Names(names) if names.len() == 4));
        assert_eq!(row(&rows, "Azure SQL Database").ports.to_string(), "1433,11000-11999,14000-14999");
        let dns = row(&rows, "Azure DNS");
        assert_eq!((dns.from, dns.to, dns.ports.to_string()), (Party::AseSubnet, Party::Internet, "53".to_owned()));
        assert!(row(&rows, "ASE internal communication").ports.is_any());
        assert!(matches!(row(&rows, "SSL certificate verification").to, Party::Names(names) if names.len() == 3));
    }

    #[test]
    fn inbound_rows() {
        let rows = inbound();
        let management = row(&rows, "Management");
        assert_eq!((management.from, management.to), (Party::ManagementAddresses, Party::AseSubnet));
        assert_eq!(management.ports.to_string(), "454-455");
        assert_eq!(row(&rows, "Azure load balancer minimum").ports.to_string(), "454-455,16001");
        assert!(row(&rows, "App assigned IP addresses").ports.is_any());
    }

    #[test]
    fn app_port_rows() {
        assert_eq!(row(&app_ports(), "FTP/FTPS").ports.to_string(), "21,990,10001-10020");
        assert_eq!(row(&app_ports(), "Visual Studio remote debugging").ports.to_string(), "4016,4018,4020,4022");
    }

    #[test]
    fn broken_rows() {
        assert_eq!(TableRow::parse("a | b"), Err(RowError::Columns("a | b")));
        assert!(matches!(TableRow::parse("a | Internet | Internet | x"), Err(RowError::Port(_))));
        let unknown = "Microsoft.X | X | x.test | 443 | NoSuchTag";
        assert_eq!(parse_service_endpoint(unknown), Err(RowError::Tag(unknown)));
    }
}
