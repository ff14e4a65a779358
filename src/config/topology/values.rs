//! Single values of a topology as people write them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::error::{Findings, Placed, Problem};
use crate::config::reader::Section;
use crate::config::values::{Words, pick};
use crate::flow::PortRange;
use crate::policy::{Action, AddressRange};
use crate::vnet::{
    AseVersion, Cloud, FlowDirection, GatewayKind, IlbMode, LoadBalancing, NoneRoutes, SecurityProtocol,
    VirtualNetworkTag,
};

pub(in crate::config) const CLOUDS: Words<Cloud> =
    &[("public", Cloud::Public), ("usgov", Cloud::UsGov), ("china", Cloud::China)];
pub(in crate::config) const VIRTUAL_NETWORK_TAGS: Words<VirtualNetworkTag> = &[
    ("address-space", VirtualNetworkTag::AddressSpace),
    ("routes", VirtualNetworkTag::Routes),
    ("default-routes", VirtualNetworkTag::DefaultRoutes),
];
pub(in crate::config) const NONE_ROUTES: Words<NoneRoutes> =
    &[("documented", NoneRoutes::Documented), ("observed", NoneRoutes::Observed)];
pub(in crate::config) const GATEWAY_KINDS: Words<GatewayKind> =
    &[("Vpn", GatewayKind::Vpn), ("ExpressRoute", GatewayKind::ExpressRoute)];
pub(in crate::config) const DIRECTIONS: Words<FlowDirection> =
    &[("Inbound", FlowDirection::Inbound), ("Outbound", FlowDirection::Outbound)];
pub(in crate::config) const ACCESS: Words<Action> = &[("Allow", Action::Allow), ("Deny", Action::Deny)];
pub(in crate::config) const PROTOCOLS: Words<SecurityProtocol> = &[
    ("*", SecurityProtocol::Any),
    ("Tcp", SecurityProtocol::Tcp),
    ("Udp", SecurityProtocol::Udp),
    ("Icmp", SecurityProtocol::Icmp),
    ("Esp", SecurityProtocol::Esp),
    ("Ah", SecurityProtocol::Ah),
];
pub(super) const NEXT_HOPS: Words<HopKind> = &[
    ("VirtualNetworkGateway", HopKind::VirtualNetworkGateway),
    ("VnetLocal", HopKind::VnetLocal),
    ("Internet", HopKind::Internet),
    ("VirtualAppliance", HopKind::VirtualAppliance),
    ("None", HopKind::None),
];
pub(in crate::config) const ASE_VERSIONS: Words<AseVersion> =
    &[("ASEV1", AseVersion::V1), ("ASEV2", AseVersion::V2), ("ASEV3", AseVersion::V3)];
pub(in crate::config) const ILB_MODES: Words<LoadBalancing> = &[
    ("None", LoadBalancing::External),
    ("Web", LoadBalancing::Internal(IlbMode::Web)),
    ("Publishing", LoadBalancing::Internal(IlbMode::Publishing)),
    ("Web, Publishing", LoadBalancing::Internal(IlbMode::WebAndPublishing)),
];

/// A next hop without its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HopKind {
    VirtualNetworkGateway,
    VnetLocal,
    Internet,
    VirtualAppliance,
    None,
}

/// The text of a key that has to be there; what is missing was reported when the section was opened.
pub(super) fn text(section: &Section, key: &str) -> String {
    section.text(key).map(|text| text.value.trim().to_owned()).unwrap_or_default()
}

pub(super) fn maybe_text(section: &Section, key: &str) -> Option<String> {
    section.text(key).map(|text| text.value.trim().to_owned()).filter(|text| !text.is_empty())
}

pub(super) fn texts(section: &Section, key: &str) -> Vec<String> {
    section.items(key).into_iter().map(|item| item.value.trim().to_owned()).collect()
}

pub(super) fn flag(section: &Section, key: &str, usual: bool) -> bool {
    section.flag(key).unwrap_or(usual)
}

pub(super) fn word<T: Copy>(section: &Section, key: &str, words: Words<T>, findings: &mut Findings) -> Option<T> {
    section.text(key)?.read(findings, |text| pick(words, text))
}

pub(super) fn address(section: &Section, key: &str, findings: &mut Findings) -> Option<IpAddr> {
    section.text(key)?.read(findings, |text| parse_address(text))
}

pub(super) fn addresses(section: &Section, key: &str, findings: &mut Findings) -> Vec<IpAddr> {
    each(section, key, findings, parse_address)
}

fn each<T>(
    section: &Section,
    key: &str,
    findings: &mut Findings,
    parse: impl Fn(&str) -> Result<T, Problem>,
) -> Vec<T> {
    section.items(key).iter().filter_map(|item| item.read(findings, |text| parse(text))).collect()
}

pub(super) fn parse_address(text: &str) -> Result<IpAddr, Problem> {
    text.trim().parse().map_err(|_| Problem::new(format!("`{text}` is no address")).mend("write one such as 10.0.0.4"))
}

pub(super) fn range(text: &str) -> Result<AddressRange, Problem> {
    Ok(text.parse::<AddressRange>()?)
}

pub(super) fn ranges(section: &Section, key: &str, findings: &mut Findings) -> Vec<AddressRange> {
    each(section, key, findings, range)
}

/// Prefixes, in their normal form: bits of the host are cut off, and told.
pub(super) fn prefixes(section: &Section, key: &str, findings: &mut Findings) -> Vec<IpNet> {
    section.items(key).iter().filter_map(|item| prefix(item, findings)).collect()
}

pub(super) fn prefix(item: &Placed<String>, findings: &mut Findings) -> Option<IpNet> {
    let net = item.read(findings, |text| parse_prefix(text))?;
    if net != net.trunc() {
        let what = format!("`{}` has bits of the host set: it is taken as {}", item.value.trim(), net.trunc());
        findings.warn(&item.place, Problem::new(what).mend(format!("write {}", net.trunc())));
    }
    Some(net.trunc())
}

/// An address alone is a prefix of its own.
pub(super) fn parse_prefix(text: &str) -> Result<IpNet, Problem> {
    let text = text.trim();
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    parsed.map_err(|_| Problem::new(format!("`{text}` is no prefix")).mend("write one such as 10.0.0.0/16"))
}

/// As security rules write them: port 0 is no mistake there. None where one cannot be read.
pub(super) fn ports(section: &Section, key: &str, findings: &mut Findings) -> Option<Vec<PortRange>> {
    let Some(items) = section.list(key) else { return Some(vec![PortRange::ANY]) };
    let parts = items.iter().flat_map(|item| {
        item.value.split(',').map(|part| Placed { value: part.trim().to_owned(), place: item.place.clone() })
    });
    let read: Vec<Option<PortRange>> = parts.map(|item| item.read(findings, |text| port_range(text))).collect();
    read.into_iter().collect()
}

pub(super) fn port_range(text: &str) -> Result<PortRange, Problem> {
    let of = |text: &str| match text.trim() {
        digits if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => None,
        digits => digits.parse::<u16>().ok(),
    };
    if text == "*" {
        return Ok(PortRange::ANY);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let bad = || Problem::new(format!("`{text}` is no port")).mend("write 443, 10001-10020 or *");
    let (first, last) = of(first).zip(of(last)).ok_or_else(bad)?;
    if first > last {
        return Err(Problem::new(format!("`{text}` is upside down")).mend(format!("write {last}-{first}")));
    }
    Ok(PortRange::between(first, last))
}

/// A name rather than an address.
pub(super) fn is_tag(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.contains([':', '/'])
}

pub(super) fn number(section: &Section, key: &str) -> Option<u32> {
    section.count(key).and_then(|number| u32::try_from(number.value).ok())
}
