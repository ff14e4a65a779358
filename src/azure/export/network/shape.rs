//! Security rules, routes and subnets as ARM objects, which the other forms take their values from.

use crate::azure::export::rules::port;
use crate::azure::export::tree::{Builder, Tree};
use crate::flow::PortRange;
use crate::vnet::{Prefix, Route, RuleSide, SecurityProtocol, SecurityRule};

use super::{appliance, destination};

/// One side of a security rule, in the words of every tool.
pub(super) struct Side {
    pub prefixes: Vec<String>,
    pub ports: Vec<String>,
    pub groups: Vec<String>,
}

impl Side {
    pub(super) fn of(end: &RuleSide) -> Side {
        let RuleSide { prefixes, ports, application_security_groups } = end;
        let text = |prefix: &Prefix| match prefix {
            Prefix::Any => "*".to_owned(),
            // A single address is written as such: a rule without a mask says the same.
            Prefix::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().to_string(),
            Prefix::Net(net) => net.to_string(),
            Prefix::Tag(tag) => tag.clone(),
        };
        Side {
            prefixes: prefixes.iter().map(text).collect(),
            ports: ports.iter().map(port_text).collect(),
            groups: application_security_groups.clone(),
        }
    }
}

/// Security rules may name port 0.
fn port_text(range: &PortRange) -> String {
    if range.first() == 0 && range.last() < u16::MAX { range.to_string() } else { port(range) }
}

pub(super) fn protocol(rule: &SecurityRule) -> &'static str {
    match rule.protocol {
        SecurityProtocol::Any => "*",
        SecurityProtocol::Tcp => "Tcp",
        SecurityProtocol::Udp => "Udp",
        SecurityProtocol::Icmp => "Icmp",
        SecurityProtocol::Esp => "Esp",
        SecurityProtocol::Ah => "Ah",
    }
}

/// The properties of a security rule; `id` makes an application security group's id of its name.
pub(super) fn security_rule(rule: &SecurityRule, id: impl Fn(&str) -> String) -> Tree {
    let built = Builder::default()
        .number("priority", Some(rule.priority))
        .text("direction", Some(rule.direction.as_str()))
        .text("access", Some(rule.access.as_str()))
        .text("protocol", Some(protocol(rule)));
    let built = side(built, "source", Side::of(&rule.source), &id);
    side(built, "destination", Side::of(&rule.destination), &id).object()
}

fn side(built: Builder, end: &str, side: Side, id: impl Fn(&str) -> String) -> Builder {
    let Side { prefixes, ports, groups } = side;
    let groups = groups.iter().map(|group| Builder::default().text("id", Some(id(group))).object());
    let built = one_or_more(built, &format!("{end}AddressPrefix"), "es", prefixes);
    one_or_more(built, &format!("{end}PortRange"), "s", ports)
        .put(&format!("{end}ApplicationSecurityGroups"), Tree::List(groups.collect()))
}

/// ARM has a property for one value and another for several.
pub(super) fn one_or_more(built: Builder, name: &str, plural: &str, values: Vec<String>) -> Builder {
    match values.as_slice() {
        [one] => built.text(name, Some(one.as_str())),
        _ => built.put(&format!("{name}{plural}"), Tree::texts(values)),
    }
}

pub(super) fn route(route: &Route) -> Tree {
    Builder::default()
        .text("addressPrefix", Some(destination(route)))
        .text("nextHopType", Some(route.next_hop.as_str()))
        .text("nextHopIpAddress", appliance(route))
        .object()
}
