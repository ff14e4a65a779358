//! A question about one flow, as `egret check` and `/v1/check` put it.
//!
//! The policy decides as it does on the wire, but DNS is not asked and nothing is dialled: a name has an address
//! only where `--resolve` gives one.

use std::net::IpAddr;

use serde::Serialize;

use crate::config::{CheckTarget, DnsConfig};
use crate::flow::{Authority, Host, HostName, Profile, Protocol, Reason, Verdict};
use crate::policy::{
    Action, Address, AnyRule, Decision, Explanation, Indicator, Miss, OrderedRule, Policy, Query, RuleName, RuleSet,
    Step, ThreatMode, in_order,
};
use crate::vnet::{self, Arrival, Because, Client, Crossing, Egress, Flows, Network, Secured, Way};

/// Policies with more rules are walked only on demand, so that a thousand questions do not take minutes.
const WALKED: usize = 2_000;

/// Who answers.
pub(crate) struct Oracle<'a> {
    policy: &'a Policy,
    network: Option<&'a Network>,
    profile: Profile,
    dns: &'a DnsConfig,
    /// A walk is cheap enough to be made for a hint.
    walkable: bool,
    /// Some rule is for certain clients only.
    tells_clients_apart: bool,
    /// Some network rule denies, so an address may turn an allowed name into a denied one.
    denies_addresses: bool,
}

/// Who a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    Address(IpAddr),
    /// Of a subnet that was named: the address alone may be of several.
    Machine(Client),
}

impl Asking {
    pub(crate) fn address(self) -> IpAddr {
        match self {
            Asking::Address(address) | Asking::Machine(Client { address, .. }) => address,
        }
    }
}

/// Who a question is taken to be about.
#[derive(Debug, Clone, Copy)]
struct Counted {
    address: Option<IpAddr>,
    /// Set where it is in a subnet.
    client: Option<Client>,
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Verdict,
    /// And every rule that was looked at.
    Steps,
}

/// The answer, as `--format json` and `/v1/check` show it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Answer<'a> {
    pub(crate) target: &'a str,
    #[serde(serialize_with = "as_str")]
    pub(crate) verdict: Verdict,
    #[serde(serialize_with = "reason")]
    pub(crate) reason: Reason,
    pub(crate) rule: Option<RulePlace<'a>>,
    pub(crate) profile: &'static str,
    /// What threat intelligence knows of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threat_intel: Option<ThreatLine<'a>>,
    /// What the network around the firewall makes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<NetworkLine<'a>>,
    /// What the answer depends on beyond the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// Of a denied flow: the rule that would have allowed it but for the fewest things, and what those are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nearest_miss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) steps: Option<Vec<StepLine<'a>>>,
}

/// An indicator that the flow meets.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ThreatLine<'a> {
    /// `alert` or `deny`
    pub(crate) action: &'static str,
    pub(crate) indicator: String,
    pub(crate) description: &'a str,
}

/// Security groups and route, by the names that the flow log has for them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NetworkLine<'a> {
    /// None of a client in no subnet, whose flow a DNAT rule leads to one.
    #[serde(flatten)]
    pub(crate) source: Option<SecuredLine<'a>>,
    pub(crate) next_hop: Option<&'static str>,
    pub(crate) prefix: Option<String>,
    pub(crate) route: Option<&'a str>,
    pub(crate) destination: Option<SecuredLine<'a>>,
    /// It is for the platform of the host, which needs no route.
    #[serde(skip)]
    pub(crate) is_platform: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct SecuredLine<'a> {
    pub(crate) virtual_network: &'a str,
    pub(crate) subnet: &'a str,
    pub(crate) nsg: Option<&'a str>,
    pub(crate) nsg_rule: Option<&'a str>,
    #[serde(serialize_with = "as_str")]
    pub(crate) nsg_access: Verdict,
}

impl<'a> NetworkLine<'a> {
    fn of(network: &'a Network, crossing: &Crossing<'a>) -> NetworkLine<'a> {
        let route = crossing.route;
        NetworkLine {
            source: Some(SecuredLine::of(network, &crossing.outbound)),
            next_hop: route.map(|(route, _)| route.next_hop.as_str()),
            prefix: route.map(|(_, prefix)| prefix.to_string()),
            route: route.map(|(route, _)| route.name.as_str()).filter(|name| !name.is_empty()),
            destination: crossing.inbound.as_ref().map(|it| SecuredLine::of(network, it)),
            is_platform: crossing.way == Way::Platform,
        }
    }

    fn arrived(network: &'a Network, arrival: &Arrival<'a>) -> NetworkLine<'a> {
        let destination = Some(SecuredLine::of(network, &arrival.inbound));
        NetworkLine { source: None, next_hop: None, prefix: None, route: None, destination, is_platform: false }
    }
}

impl<'a> SecuredLine<'a> {
    fn of(network: &'a Network, secured: &Secured<'a>) -> SecuredLine<'a> {
        let (nsg, nsg_rule) = match secured.decision.because {
            Because::Rule { group, rule, .. } => (Some(group), Some(rule)),
            Because::NoGroup | Because::Exempt => (None, None),
        };
        SecuredLine {
            virtual_network: &network.virtual_network(secured.place).name,
            subnet: &network.subnet(secured.place).name,
            nsg,
            nsg_rule,
            nsg_access: if secured.decision.is_allowed() { Verdict::Allow } else { Verdict::Deny },
        }
    }
}

/// `subnet ase-subnet: NSG ase-nsg/web allows, 0.0.0.0/0 to VirtualAppliance by default`
impl std::fmt::Display for NetworkLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let NetworkLine { source, next_hop, prefix, route, destination, is_platform } = self;
        let Some(source) = source else {
            return destination.iter().try_for_each(|destination| write!(f, "from outside, {destination}"));
        };
        write!(f, "{source}")?;
        match (next_hop, prefix) {
            (Some(next_hop), Some(prefix)) => write!(f, ", {prefix} to {next_hop}")?,
            _ if *is_platform => f.write_str(", to the platform without a route")?,
            _ if source.nsg_access == Verdict::Allow => f.write_str(", no route")?,
            _ => {}
        }
        if let Some(route) = route {
            write!(f, " by {route}")?;
        }
        destination.iter().try_for_each(|destination| write!(f, ", {destination}"))
    }
}

impl std::fmt::Display for SecuredLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let SecuredLine { virtual_network: _, subnet, nsg, nsg_rule, nsg_access } = self;
        let says = match nsg_access {
            Verdict::Allow => "allows",
            Verdict::Deny => "denies",
        };
        match (nsg, nsg_rule) {
            (Some(nsg), Some(rule)) => write!(f, "subnet {subnet}: {nsg}/{rule} {says}"),
            _ => write!(f, "subnet {subnet}: no group decides"),
        }
    }
}

/// A rule by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct RulePlace<'a> {
    pub(crate) policy: &'a str,
    pub(crate) group: &'a str,
    pub(crate) collection: &'a str,
    pub(crate) rule: &'a str,
}

/// One rule that was looked at.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StepLine<'a> {
    pub(crate) rule: RulePlace<'a>,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) action: &'static str,
    pub(crate) matched: bool,
    /// Why it did not match.
    pub(crate) misses: Vec<String>,
}

fn as_str<S: serde::Serializer>(verdict: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(verdict.as_str())
}

fn reason<S: serde::Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.as_str())
}

impl std::fmt::Display for RulePlace<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}", self.policy, self.group, self.collection, self.rule)
    }
}

impl<'a> From<&'a RuleName> for RulePlace<'a> {
    fn from(name: &'a RuleName) -> RulePlace<'a> {
        let RuleName { policy, group, collection, rule, .. } = name;
        RulePlace { policy, group, collection, rule }
    }
}

impl<'a> From<&OrderedRule<'a>> for RulePlace<'a> {
    fn from(ordered: &OrderedRule<'a>) -> RulePlace<'a> {
        let OrderedRule { policy, group, collection, rule } = *ordered;
        RulePlace { policy, group, collection, rule: rule.name() }
    }
}

/// The type of a rule, as configurations write it.
pub(crate) fn kind_of(rule: AnyRule<'_>) -> &'static str {
    match rule {
        AnyRule::Dnat(_) => "dnat",
        AnyRule::Network(..) => "network",
        AnyRule::Application(..) => "application",
        AnyRule::Infrastructure(_) => "infrastructure",
    }
}

pub(crate) fn action_of(rule: AnyRule<'_>) -> &'static str {
    match (rule, rule.action()) {
        (AnyRule::Dnat(_), _) => "dnat",
        (_, Action::Allow) => "allow",
        (_, Action::Deny) => "deny",
    }
}

/// A decision, the query that it was made for, and whether an address may change it on the wire.
struct Decided<'q, 'n> {
    query: Query<'q>,
    crossing: Option<Crossing<'n>>,
    arrival: Option<Arrival<'n>>,
    decision: Decision,
    address_open: bool,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(
        policy: &'a Policy,
        network: Option<&'a Network>,
        profile: Profile,
        dns: &'a DnsConfig,
    ) -> Oracle<'a> {
        let looked_at = policy.rule_names().len() + policy.rules().threat_intel.feed.indicators().len();
        let walkable = looked_at <= WALKED;
        let tells_clients_apart = walkable && tells_clients_apart(policy.rules());
        let denies_addresses = !walkable || denies_addresses(policy.rules());
        Oracle { policy, network, profile, dns, walkable, tells_clients_apart, denies_addresses }
    }

    fn egress(&self, client: Option<Client>) -> Egress<'a> {
        Egress::new(self.policy, self.network, Flows::New).asked_by(client)
    }

    /// What the firewall looks at, where the flow comes to it. Nobody's client and one of no subnet are its alone.
    fn walk(&self, query: &Query<'_>, decision: Decision, client: Option<Client>) -> Option<Explanation<'a>> {
        match decision.reason {
            reason if reason.is_before_firewall() => None,
            _ if client.is_none() => Some(self.policy.explain(query)),
            reason if reason.is_past_firewall() => None,
            _ => Some(self.policy.explain_at_firewall(query)),
        }
    }

    /// Without a client the question is for a client of any address: only rules for everybody match.
    pub(crate) fn ask<'t>(&self, target: &'t CheckTarget, asking: Option<Asking>, detail: Detail) -> Answer<'t>
    where
        'a: 't,
    {
        let Counted { address: client, client: machine } = self.counted_as(asking, &target.host);
        let path = (target.protocol == Protocol::Http).then(|| target.path.as_deref().unwrap_or("/"));
        let resolved = self.leading_to(&target.host, target.port);
        let query = Query::new(client, target.protocol, &target.host, target.port);
        let query = Query { path, resolved: &resolved, ..query };
        let to = Authority { host: target.host.clone(), port: target.port };
        let Decided { query, crossing, arrival, decision, address_open } = self.decide(query, &to, machine);
        let asks_for_any = client.is_none() && self.tells_clients_apart;
        let hints = self.walkable && (decision.verdict == Verdict::Deny || asks_for_any);
        let is_platform = crossing.as_ref().is_some_and(|crossing| crossing.way == Way::Platform);
        let worth_walking =
            !is_platform && (hints || detail == Detail::Steps || decision.reason == Reason::ServiceEndpoint);
        let walked = worth_walking.then(|| self.walk(&query, decision, machine)).flatten();
        let in_subnet = query.address == Address::Unknown && machine.is_some();
        let asked_nobody = client.is_none() && self.network.is_some();
        Answer {
            target: &target.text,
            verdict: decision.verdict,
            reason: decision.reason,
            rule: decision.rule.map(|rule| RulePlace::from(&**self.policy.rule_name(rule))),
            profile: self.profile.as_str(),
            threat_intel: self.threat(decision),
            network: self.network.and_then(|network| match (&crossing, &arrival) {
                (Some(crossing), _) => Some(NetworkLine::of(network, crossing)),
                (None, arrival) => arrival.as_ref().map(|arrival| NetworkLine::arrived(network, arrival)),
            }),
            note: note(
                walked.as_ref(),
                client,
                &[
                    (
                        address_open,
                        "an address-based network rule could decide otherwise; give the address with --resolve",
                    ),
                    (
                        self.may_be_known(&query, decision),
                        "threat intelligence may know the address; give it with --resolve",
                    ),
                    (in_subnet, "security group and route look at the address; give it with --resolve"),
                    (
                        is_platform,
                        "no route leads to the platform and no firewall sees it; Egret leads nobody to that of its own host, unless --resolve does",
                    ),
                    (asked_nobody, "of the topology nothing was asked; say who asks with --from"),
                ],
            ),
            nearest_miss: walked.as_ref().and_then(nearest_miss),
            steps: (detail == Detail::Steps).then(|| walked.map(step_lines).unwrap_or_default()),
        }
    }

    /// Whoever is in no subnet, and nobody in particular, counts as a machine of the subnet that is chosen for such.
    fn counted_as(&self, asking: Option<Asking>, to: &Host) -> Counted {
        let to = match to {
            Host::Addr(to) => Some(*to),
            Host::Name(_) => None,
        };
        let client = match (self.network, asking) {
            (Some(_), Some(Asking::Machine(client))) => Some(client),
            (Some(network), Some(Asking::Address(address))) => network.client(address, to),
            (Some(network), None) => network.stand_in(to),
            (None, _) => None,
        };
        Counted { address: client.map(|client| client.address).or(asking.map(Asking::address)), client }
    }

    /// The names of network rules that `--resolve` leads to this address: the rules for them match it, as they do on
    /// the wire.
    fn leading_to(&self, host: &Host, port: u16) -> Vec<HostName> {
        let Host::Addr(asked) = host else { return Vec::new() };
        let leads_there = |name: &&HostName| {
            let given = self.dns.overrides.iter().find(|given| given.is_for(name, port));
            given.is_some_and(|given| given.addresses.iter().any(|addr| addr.to_canonical() == asked.to_canonical()))
        };
        self.policy.network_fqdns().iter().filter(leads_there).cloned().collect()
    }

    fn threat(&self, decision: Decision) -> Option<ThreatLine<'a>> {
        let (mode, Indicator { sign, description }) = self.policy.indicator(decision.threat?)?;
        let action = if mode == ThreatMode::Deny { "deny" } else { "alert" };
        Some(ThreatLine { action, indicator: sign.to_string(), description })
    }

    /// An address that is not known here may be one that threat intelligence denies.
    fn may_be_known(&self, query: &Query<'_>, decision: Decision) -> bool {
        decision.verdict == Verdict::Allow
            && !decision.reason.is_past_firewall()
            && query.address == Address::Unknown
            && self.policy.denies_known_addresses()
    }

    /// As the proxy does: by name first, then by the address where there is one.
    fn decide<'q>(&self, query: Query<'q>, to: &Authority, client: Option<Client>) -> Decided<'q, 'a> {
        let as_is = |address_open| Decided { address_open, ..self.decide_one(query, client) };
        let Decided { decision, .. } = as_is(false);
        let allowed = decision.verdict == Verdict::Allow;
        let Some(name) = query.name else { return as_is(false) };
        let by_address = client.is_some();
        if !by_address && !allowed && !self.policy.is_decided_by_address(decision, query.port) {
            return as_is(false);
        }
        if !by_address && allowed && self.dns.connect_to.iter().any(|rule| rule.is_for(to)) {
            return as_is(false);
        }
        // That another rule would allow it as well is nobody's concern.
        let address_open = decision.address_matters && (!allowed || self.denies_addresses);
        let Some(given) = self.dns.overrides.iter().find(|given| given.is_for(name, query.port)) else {
            return as_is(address_open);
        };
        let judged =
            given.addresses.iter().map(|addr| self.decide_one(query.with_address(Address::Override(*addr)), client));
        let judged: Vec<Decided<'q, 'a>> = judged.collect();
        let best = judged.iter().position(|judged| judged.decision.verdict == Verdict::Allow).unwrap_or(0);
        judged.into_iter().nth(best).unwrap_or_else(|| as_is(address_open))
    }
}

impl<'a> Oracle<'a> {
    /// Of a client's port nothing is known.
    fn decide_one<'q>(&self, query: Query<'q>, client: Option<Client>) -> Decided<'q, 'a> {
        let vnet::Decided { decision, crossing, arrival } = self.egress(client).decide(&query, 0);
        Decided { query, crossing, arrival, decision, address_open: false }
    }
}

fn tells_clients_apart(rules: &RuleSet) -> bool {
    in_order(rules).iter().any(|ordered| {
        let sources = match ordered.rule {
            AnyRule::Dnat(rule) => &rule.sources,
            AnyRule::Network(_, rule) => &rule.sources,
            AnyRule::Application(_, rule) | AnyRule::Infrastructure(rule) => &rule.sources,
        };
        !sources.is_any()
    })
}

fn denies_addresses(rules: &RuleSet) -> bool {
    in_order(rules).iter().any(|ordered| matches!(ordered.rule, AnyRule::Network(Action::Deny, _)))
}

fn note(walked: Option<&Explanation<'_>>, client: Option<IpAddr>, others: &[(bool, &str)]) -> Option<String> {
    let endpoint = walked.and_then(|walked| walked.endpoint);
    let endpoint = endpoint.map(|service| format!("the service endpoint {service} takes it past the firewall"));
    let source = walked.filter(|_| client.is_none()).and_then(by_source);
    let others = others.iter().filter(|(holds, _)| *holds).map(|(_, text)| (*text).to_owned());
    let notes: Vec<String> = endpoint.into_iter().chain(source).chain(others).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// The first rule that only looks at who asks, where nobody in particular was asked about.
fn by_source(walked: &Explanation<'_>) -> Option<String> {
    walked.steps.iter().find_map(|step| match step.misses.as_slice() {
        [Miss::Source { wanted }] => {
            let rule = RulePlace::from(&step.rule);
            Some(format!("{rule} decides for clients in {wanted}; say who asks with --from"))
        }
        _ => None,
    })
}

fn nearest_miss(walked: &Explanation<'_>) -> Option<String> {
    let (step, wish) = walked.nearest_miss()?;
    Some(format!("{} would match if {wish}", RulePlace::from(&step.rule)))
}

fn step_lines<'a>(walked: Explanation<'a>) -> Vec<StepLine<'a>> {
    let line = |Step { rule, misses }: Step<'a>| StepLine {
        rule: RulePlace::from(&rule),
        kind: kind_of(rule.rule),
        action: action_of(rule.rule),
        matched: misses.is_empty(),
        misses: misses.iter().map(ToString::to_string).collect(),
    };
    walked.steps.into_iter().map(line).collect()
}
