//! What a path is made of: stations, and at each of them what was asked and answered.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::flow::{HostName, Reason, Verdict};
use crate::policy::{Action, Spot};
use crate::vnet::{FlowDirection, Hop, Place, RouteSource, Selection, Why};

use super::book::Shown;

/// Where a packet is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    Subnet(Place),
    /// By its number in the topology.
    Firewall(usize),
    /// The load balancer with the public VIP of an environment, by its number in the topology.
    Vip(usize),
    /// A machine with its own ideas.
    Appliance(IpAddr),
    /// The gateway of the network with this number, and what is behind it.
    Gateway(usize),
    Premises(usize),
    /// A network that is not in the topology.
    Peer(String),
    /// A service that is reached by its endpoint, `Microsoft.Sql`.
    Service(String),
    Internet,
    /// Azure's own host: probes and DNS.
    Platform,
}

/// A place on the way, with all that happened there.
#[derive(Debug, Clone)]
pub struct Station {
    pub node: Node,
    pub name: String,
    /// Of who sends, forwards or receives there; as it is seen when the packet comes in.
    pub address: Option<Shown>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub enum Step {
    Dns(Lookup),
    Security(SecurityStep),
    /// A reply of a flow that a security group has let through needs no rule.
    FlowRecord(FlowDirection),
    Route(RouteStep),
    Firewall(FirewallStep),
    Translation(Translation),
    Remark {
        mark: Mark,
        text: String,
    },
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    Pass,
    Stop,
    /// Worth to be known.
    Info,
}

#[derive(Debug, Clone)]
pub struct Lookup {
    pub name: HostName,
    pub resolver: String,
    pub answer: Answer,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Given by whoever asks.
    Given(Vec<IpAddr>),
    /// From a private zone, or known of an environment's own names.
    Zone(String, IpAddr),
    /// Nobody said. Below the names of a service, with its tag.
    NotAsked(Option<&'static str>),
    /// It is known that nobody has it: the name is in no public DNS, and in no private zone of the topology.
    Nowhere,
    /// Why the server cannot be reached.
    Unreachable(String),
}

#[derive(Debug, Clone)]
pub struct SecurityStep {
    pub direction: FlowDirection,
    pub access: Action,
    pub because: Deciding,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Deciding {
    NoGroup,
    Exempt,
    Rule {
        group: String,
        rule: String,
        priority: u16,
        is_default: bool,
        on: Level,
        /// Of a default rule: where its group is written.
        at: Spot,
    },
}

/// What a security group is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Subnet,
    Interface,
}

#[derive(Debug, Clone)]
pub struct RouteStep {
    pub line: RouteLine,
    pub why: Why,
    /// The likeliest first.
    pub beaten: Vec<RouteLine>,
}

/// A route, as far as it is for one destination.
#[derive(Debug, Clone)]
pub struct RouteLine {
    /// `table/route` of a user-defined one.
    pub name: Option<String>,
    pub source: RouteSource,
    pub prefix: IpNet,
    /// The service tag that it was written with.
    pub tag: Option<String>,
    pub next_hop: Hop,
    pub at: Spot,
}

#[derive(Debug, Clone)]
pub struct FirewallStep {
    pub firewall: String,
    pub verdict: Verdict,
    pub reason: Reason,
    /// `policy/group/collection/rule`
    pub rule: Option<String>,
    pub at: Spot,
    /// What would have made the difference.
    pub hint: Option<String>,
}

/// An address that becomes another.
#[derive(Debug, Clone)]
pub struct Translation {
    pub what: Translates,
    pub from: Shown,
    pub to: Shown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Translates {
    /// The source, on the way out.
    Source,
    /// The destination, on the way in.
    Destination,
    /// Either, back to what it was, on the reply.
    Back,
}

impl Node {
    pub fn as_str(&self) -> &'static str {
        match self {
            Node::Subnet(_) => "subnet",
            Node::Firewall(_) => "firewall",
            Node::Vip(_) => "vip",
            Node::Appliance(_) => "appliance",
            Node::Gateway(_) => "gateway",
            Node::Premises(_) => "on-premises",
            Node::Peer(_) => "peer",
            Node::Service(_) => "service",
            Node::Internet => "internet",
            Node::Platform => "platform",
        }
    }
}

impl Step {
    pub fn mark(&self) -> Mark {
        let passes = |passes: bool| if passes { Mark::Pass } else { Mark::Stop };
        match self {
            Step::Dns(Lookup { answer: Answer::Unreachable(_) | Answer::Nowhere, .. }) => Mark::Stop,
            Step::Dns(_) | Step::Route(_) | Step::Translation(_) => Mark::Info,
            Step::Security(step) => passes(step.access == Action::Allow),
            Step::FlowRecord(_) => Mark::Pass,
            Step::Firewall(step) => passes(step.verdict == Verdict::Allow),
            Step::Remark { mark, .. } => *mark,
        }
    }

    pub(super) fn stop(text: impl Into<String>) -> Step {
        Step::Remark { mark: Mark::Stop, text: text.into() }
    }

    pub(super) fn info(text: impl Into<String>) -> Step {
        Step::Remark { mark: Mark::Info, text: text.into() }
    }
}

impl RouteStep {
    pub(super) fn of(selection: &Selection<'_>) -> RouteStep {
        let line = |route: &super::super::EffectiveRoute, prefix| RouteLine {
            name: route.route_table.as_ref().map(|table| format!("{table}/{}", route.name)),
            source: route.source,
            prefix,
            tag: route.tag.clone(),
            next_hop: route.next_hop.clone(),
            at: route.at,
        };
        RouteStep {
            line: line(selection.route, selection.prefix),
            why: selection.why,
            beaten: selection.beaten.iter().map(|(route, prefix)| line(route, *prefix)).collect(),
        }
    }
}
