//! Steps and outcomes in words: one line each, without a full stop.

use std::fmt;

use crate::flow::Verdict;
use crate::policy::Action;
use crate::vnet::{FlowDirection, RouteSource, Why};

use super::outcome::Outcome;
use super::path::{
    Answer, Deciding, FirewallStep, Level, Lookup, RouteLine, RouteStep, SecurityStep, Step, Translates, Translation,
};

/// Prefixes and names that a line lists at most.
const LISTED: usize = 2;

impl Step {
    /// What was asked, in a word or two.
    pub fn label(&self) -> &'static str {
        match self {
            Step::Dns(_) => "DNS",
            Step::Security(SecurityStep { direction: FlowDirection::Inbound, .. }) => "NSG in",
            Step::Security(_) => "NSG out",
            Step::FlowRecord(FlowDirection::Inbound) => "NSG in",
            Step::FlowRecord(FlowDirection::Outbound) => "NSG out",
            Step::Route(_) => "route",
            Step::Firewall(_) => "rule",
            Step::Translation(Translation { what, .. }) => match what {
                Translates::Source => "SNAT",
                Translates::Destination => "DNAT",
                Translates::Back => "NAT",
            },
            Step::Remark { .. } => "",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Dns(lookup) => lookup.fmt(f),
            Step::Security(step) => f.write_str(&security(step)),
            Step::FlowRecord(_) => f.write_str("flow record of the request"),
            Step::Route(step) => step.fmt(f),
            Step::Firewall(step) => f.write_str(&firewall(step)),
            Step::Translation(Translation { from, to, .. }) => write!(f, "{from} becomes {to}"),
            Step::Remark { text, .. } => f.write_str(text),
        }
    }
}

impl fmt::Display for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lookup { name, resolver, answer } = self;
        match answer {
            Answer::Given(addresses) => {
                let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                write!(f, "{name} is {} (as given); asked of {resolver}", all.join(", "))
            }
            Answer::Zone(zone, address) => write!(f, "{name} is {address} (zone {zone}); asked of {resolver}"),
            Answer::NotAsked(None) => write!(f, "{name}, asked of {resolver}; address not known here"),
            Answer::NotAsked(Some(tag)) => write!(f, "{name}, asked of {resolver}; an address of the tag {tag}"),
            Answer::Nowhere => {
                write!(f, "{name} is in no public DNS, and in no private zone here; asked of {resolver}")
            }
            Answer::Unreachable(why) => write!(f, "{name}: {resolver} cannot be reached: {why}"),
        }
    }
}

impl fmt::Display for RouteStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RouteStep { line, why, beaten } = self;
        f.write_str(&route(line))?;
        let others = beaten.iter().take(LISTED).map(short).collect::<Vec<_>>().join(", ");
        let more = match beaten.len().saturating_sub(LISTED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        match (why, beaten.is_empty()) {
            (_, true) => f.write_str("; no other"),
            (Why::LongestPrefix, _) => write!(f, "; longest prefix, before {others}{more}"),
            (Why::Source, _) => write!(f, "; {} before {others}{more}", source(line.source)),
            (Why::ServiceEndpoint, _) => write!(f, "; service endpoints go before {others}{more}"),
            (Why::SystemBeforeBgp, _) => write!(f, "; system routes go before {others}{more}"),
            (Why::TagOrder, _) => write!(f, "; prefixes go before service tags: before {others}{more}"),
            (_, false) => write!(f, "; before {others}{more}"),
        }
    }
}

/// `default 0.0.0.0/0 → VirtualAppliance 192.168.0.4`
pub(super) fn route(line: &RouteLine) -> String {
    let RouteLine { name, source: from, prefix, tag, next_hop, .. } = line;
    let what = name.as_deref().unwrap_or_else(|| source(*from));
    let tag = tag.as_ref().map(|tag| format!(" of {tag}")).unwrap_or_default();
    format!("{what}, {prefix}{tag} → {next_hop}")
}

fn short(line: &RouteLine) -> String {
    let what = line.name.as_deref().unwrap_or_else(|| source(line.source));
    format!("{what} {} → {}", line.prefix, line.next_hop)
}

fn source(source: RouteSource) -> &'static str {
    match source {
        RouteSource::Default => "system route",
        RouteSource::VirtualNetworkGateway => "BGP route",
        RouteSource::User => "user-defined route",
    }
}

fn security(step: &SecurityStep) -> String {
    let verb = match step.access {
        Action::Allow => "allows",
        Action::Deny => "denies",
    };
    match &step.because {
        because @ Deciding::Rule { .. } => format!("{} {verb}", deciding(because)),
        because => deciding(because),
    }
}

/// `ase-nsg/web (120)`
pub(super) fn deciding(because: &Deciding) -> String {
    match because {
        Deciding::NoGroup => "no security group".to_owned(),
        Deciding::Exempt => "traffic of the platform itself is exempt".to_owned(),
        Deciding::Rule { group, rule, priority, is_default, on, at: _ } => {
            let default = if *is_default { ", default" } else { "" };
            let on = match on {
                Level::Subnet => "",
                Level::Interface => " on the interface",
            };
            format!("{group}/{rule} ({priority}{default}){on}")
        }
    }
}

pub(super) fn firewall(step: &FirewallStep) -> String {
    let FirewallStep { verdict, reason, rule, hint, .. } = step;
    let verb = match verdict {
        Verdict::Allow => "allows",
        Verdict::Deny => "denies",
    };
    let rule = rule.as_ref().map(|rule| format!(" {rule}")).unwrap_or_default();
    let hint = hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{verb}, {reason}{rule}{hint}")
}

/// The end in one line.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered => "delivered, and the reply comes back the same way".to_owned(),
        Outcome::Denied { by, what } => format!("denied by {}: {what}", by.name()),
        Outcome::BlackHole { leg, what, .. } => format!("the {} is lost: {what}", leg.as_str()),
        Outcome::Asymmetric(it) if it.is_by_one_address() => format!("asymmetric route: {}", it.what),
        Outcome::Asymmetric(it) => {
            format!("asymmetric route: sent to {}, its reply would leave by {}: {}", it.came_to, it.leaves_by, it.what)
        }
        Outcome::Unresolved(what) => format!("the name has no address: {what}"),
        Outcome::Unknown(what) => format!("not known: {what}"),
    }
}

impl super::By {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            super::By::SecurityGroup => "the network security group",
            super::By::Firewall => "the firewall",
            super::By::Peering => "the peering",
            super::By::LoadBalancer => "the load balancer",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&outcome(self))
    }
}
