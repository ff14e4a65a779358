//! The firewall in the way of what leaves the environment's subnet.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::sync::Arc;

use crate::flow::{Host, Protocol, Reason, Verdict};
use crate::policy::{
    Action, AddressRange, AddressSet, AnyRule, Decision, Policy, Query, RuleId, RuleSet, Rules, ServiceEndpoint, Spot,
    ThreatIntel, in_order,
};
use crate::vnet::{Change, Hop, Network, Topology, after};

use super::Patient;
use super::dependencies::Row;
use super::finding::{Finding, Outcome};
use super::ways::Ways;

/// The policy, asked from every part of the subnet that its rules tell apart: a rule for half of it is none.
pub(super) struct Gate<'a> {
    pub(super) policy: &'a Policy,
    ways: Ways<'a>,
    network: &'a Network,
    clients: Vec<IpAddr>,
    /// The services whose flows pass the firewall by, as the subnet has their endpoints.
    endpoints: Vec<ServiceEndpoint>,
    without_denials: OnceCell<Policy>,
    /// Where the destination of some network rule begins, or what is behind one; sorted.
    begins: OnceCell<Vec<IpAddr>>,
}

/// What becomes of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Passage {
    /// It never meets the firewall.
    Bypasses,
    Passes,
    /// No rule lets it through.
    Lacks,
    /// A rule would let it through, and this denies it before.
    Denied(Blocker),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocker {
    Rule(RuleId),
    ThreatIntelligence,
}

impl<'a> Gate<'a> {
    /// Why there is none to ask, otherwise.
    pub(super) fn of(patient: &Patient<'a>) -> Result<Gate<'a>, Outcome> {
        let ways = Ways::of(patient);
        let outside = ways.outside().map(|way| &way.route.next_hop);
        if !outside.is_some_and(|hop| leads_to_firewall(patient.network, hop)) {
            return Err(Outcome::not_applicable(no_firewall(outside)));
        }
        let Some(policy) = patient.policy else {
            return Err(Outcome::not_applicable("the policy of the firewall is not known"));
        };
        Ok(Gate {
            policy,
            ways,
            clients: askers(patient, policy),
            network: patient.network,
            endpoints: endpoints(patient),
            without_denials: OnceCell::new(),
            begins: OnceCell::new(),
        })
    }

    pub(super) fn row(&self, row: &Row) -> Passage {
        self.ask(&row.host, row.protocol(), row.meant.port)
    }

    pub(super) fn ask(&self, host: &Host, protocol: Protocol, port: u16) -> Passage {
        if self.is_passed_by(host, port) {
            return Passage::Bypasses;
        }
        let answers = self.clients.iter().map(|client| self.passage(&question(*client, host, protocol, port)));
        answers.max_by_key(Passage::weight).unwrap_or(Passage::Lacks)
    }

    /// An address of each part of a range that network rules or routes tell apart.
    pub(super) fn parts(&self, range: AddressRange) -> Vec<IpAddr> {
        let begins = self.begins.get_or_init(|| begins(self.policy));
        let first = begins.partition_point(|begin| *begin <= range.first());
        let inner = begins[first..].iter().copied().take_while(|begin| *begin <= range.last());
        let routes = self.ways.stretches(range).into_iter().map(|stretch| stretch.range.first());
        let mut parts: Vec<IpAddr> = routes.chain([range.first()]).chain(inner).collect();
        parts.sort_unstable();
        parts.dedup();
        parts
    }

    /// What becomes of TCP to each of them.
    pub(super) fn ask_range(&self, range: AddressRange, port: u16) -> Vec<Passage> {
        let parts = self.parts(range).into_iter();
        parts.map(|address| self.ask(&Host::Addr(address), Protocol::Tcp, port)).collect()
    }

    /// Adds to a finding what opens it, where that is enough: what denies may come first, whatever is added.
    pub(super) fn mended_by(
        &self,
        patient: &Patient<'_>,
        finding: Finding,
        mend: Vec<Change>,
        blocker: Option<Blocker>,
        is_open: impl Fn(&Gate<'_>) -> bool,
    ) -> Finding {
        let Some(blocker) = blocker else { return mend.into_iter().fold(finding, Finding::mend) };
        let mut rules = RuleSet::clone(self.policy.rules());
        Change::apply_all(&mend, &mut Topology::default(), &mut rules);
        let after = Policy::compile(Arc::new(rules), self.policy.switches());
        let after = Gate::of(&Patient { policy: Some(&after), ..*patient });
        if !mend.is_empty() && after.is_ok_and(|after| is_open(&after)) {
            return mend.into_iter().fold(finding, Finding::mend);
        }
        let (by, _) = self.shown(blocker);
        finding.by_hand(format!(
            "take what is needed out of {by}, or give the collection that allows it the smaller priority: that rule may be meant \
             for others"
        ))
    }

    /// The network rule that denies TCP to an address: whatever name leads there, no application rule is asked.
    pub(super) fn network_denial(&self, address: IpAddr, port: u16) -> Option<RuleId> {
        let host = Host::Addr(address);
        if self.is_passed_by(&host, port) {
            return None;
        }
        self.clients.iter().find_map(|client| {
            let decision = self.decide(&question(*client, &host, Protocol::Tcp, port));
            let rule = decision.rule.filter(|_| decision.reason == Reason::DeniedByRule)?;
            matches!(in_order(self.policy.rules())[rule.0 as usize].rule, AnyRule::Network(..)).then_some(rule)
        })
    }

    fn passage(&self, query: &Query<'_>) -> Passage {
        let decision = self.decide(query);
        match (decision.verdict, decision.reason, decision.rule) {
            (Verdict::Allow, ..) => Passage::Passes,
            (_, Reason::DeniedByRule, Some(rule)) if self.would_pass(query) => Passage::Denied(Blocker::Rule(rule)),
            (_, Reason::ThreatIntel, _) if self.would_pass(query) => Passage::Denied(Blocker::ThreatIntelligence),
            _ => Passage::Lacks,
        }
    }

    /// A service endpoint that the policy speaks of and the subnet lacks opens nothing.
    fn decide(&self, query: &Query<'_>) -> Decision {
        self.policy.decide_at_firewall(query)
    }

    fn would_pass(&self, query: &Query<'_>) -> bool {
        let policy = self.without_denials.get_or_init(|| without_denials(self.policy));
        policy.decide_at_firewall(query).verdict == Verdict::Allow
    }

    fn is_passed_by(&self, host: &Host, port: u16) -> bool {
        match host {
            Host::Name(name) => self.endpoints.iter().any(|it| it.ports.contains(port) && it.has_name(name)),
            Host::Addr(address) => {
                let hop = self.ways.to(*address).map(|way| &way.route.next_hop);
                hop.is_some_and(|hop| *hop != Hop::None && !leads_to_firewall(self.network, hop))
            }
        }
    }

    /// The same where no rule has an FQDN tag.
    pub(super) fn without_tag(&self, tag: &str) -> Policy {
        let mut rules = RuleSet::clone(self.policy.rules());
        let collections = rules.policies.iter_mut().flat_map(|it| &mut it.groups).flat_map(|it| &mut it.collections);
        for collection in collections {
            let Rules::Application(_, rules) = &mut collection.rules else { continue };
            rules.iter_mut().for_each(|rule| rule.tags.retain(|it| !it.name.eq_ignore_ascii_case(tag)));
        }
        Policy::compile(Arc::new(rules), self.policy.switches())
    }

    /// Does a network rule with a service tag let TCP out by a port, from all of the subnet?
    pub(super) fn has_service_tag(&self, tag: &str, port: u16) -> bool {
        let rules = in_order(self.policy.rules());
        let allowing = || {
            rules.iter().filter_map(|rule| match rule.rule {
                AnyRule::Network(Action::Allow, rule) => Some(rule),
                _ => None,
            })
        };
        self.clients.iter().all(|client| {
            allowing().any(|rule| {
                rule.protocols.tcp
                    && rule.ports.contains(port)
                    && rule.sources.contains(*client)
                    && rule.destinations.named().iter().any(|it| it.name.eq_ignore_ascii_case(tag))
            })
        })
    }

    /// Is there an FQDN tag in a rule that decides for the subnet? Of what it stands for in other clouds nothing is known,
    /// so it is asked by the names of the public one.
    pub(super) fn has_tag(&self, tag: &str) -> bool {
        let rules = in_order(self.policy.rules());
        let members = rules.iter().filter_map(|rule| match rule.rule {
            AnyRule::Application(Action::Allow, rule) => Some(&rule.tags),
            _ => None,
        });
        let mut members = members.flatten().filter(|it| it.name.eq_ignore_ascii_case(tag)).take(1);
        let Some(known) = members.next() else { return false };
        known
            .members
            .iter()
            .filter_map(|(pattern, protocol)| match pattern {
                crate::policy::FqdnPattern::Exact(name) => Some((name, protocol)),
                _ => None,
            })
            .any(|(name, protocol)| {
                let host = Host::Name(name.clone());
                self.clients.iter().all(|client| {
                    let decision = self.decide(&question(*client, &host, protocol.protocol, protocol.port));
                    decision.rule.is_some_and(|rule| has_it(rules[rule.0 as usize].rule, tag))
                })
            })
    }

    /// `rule hub/egress/deny-web/block`, and where it is written.
    pub(super) fn shown(&self, blocker: Blocker) -> (String, Spot) {
        let Blocker::Rule(id) = blocker else { return ("threat intelligence".to_owned(), Spot::nowhere()) };
        (format!("rule {}", self.policy.rule_name(id)), self.policy.spot_of(id))
    }

    /// What the policy goes by: the last of those that were named, which is the firewall's own.
    pub(super) fn name(&self) -> (String, Spot) {
        let last = self.policy.rules().policies.last();
        last.map_or_else(|| ("the firewall".to_owned(), Spot::nowhere()), |it| (it.name.clone(), it.at))
    }
}

impl Passage {
    /// The worse for an environment, the greater.
    fn weight(&self) -> u8 {
        match self {
            Passage::Bypasses => 0,
            Passage::Passes => 1,
            Passage::Denied(_) => 2,
            Passage::Lacks => 3,
        }
    }

    pub(super) fn blocker(&self) -> Option<Blocker> {
        match self {
            Passage::Denied(blocker) => Some(*blocker),
            Passage::Bypasses | Passage::Passes | Passage::Lacks => None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self, Passage::Bypasses | Passage::Passes)
    }
}

fn leads_to_firewall(network: &Network, hop: &Hop) -> bool {
    matches!(hop, Hop::VirtualAppliance(address) if network.is_firewall(*address))
}

/// Why no firewall is asked.
fn no_firewall(outside: Option<&Hop>) -> String {
    match outside {
        Some(Hop::Internet) => "nothing passes a firewall: what leaves goes to the Internet at once".to_owned(),
        Some(Hop::VirtualNetworkGateway) => {
            "what leaves goes to one's own premises, and what they let through is not known".to_owned()
        }
        Some(Hop::VirtualAppliance(address)) => {
            format!(
                "what leaves goes to {address}, which is no firewall of the topology, and what it lets through is not known"
            )
        }
        _ => "what leaves does not get to a firewall".to_owned(),
    }
}

fn question<'q>(client: IpAddr, host: &'q Host, protocol: Protocol, port: u16) -> Query<'q> {
    Query::new(Some(client), protocol, host, port).outbound()
}

/// The first and the last address of each of the subnet's prefixes that Azure gives to anybody; of one without any, its
/// own first and last.
pub(super) fn clients(patient: &Patient<'_>) -> Vec<IpAddr> {
    let ends = |range: AddressRange| [range.first(), range.last()];
    patient.network.subnet(patient.place).usable_or_all().flat_map(ends).collect()
}

/// Parts that are asked of, at most: a policy that cuts the subnet up further is not asked from the rest.
const MOST_PARTS: usize = 256;

/// The ends of the subnet, and the first address of each part that the sources of the rules cut it into.
fn askers(patient: &Patient<'_>, policy: &Policy) -> Vec<IpAddr> {
    let mut asked = clients(patient);
    let rules = in_order(policy.rules());
    let ranges = rules.iter().filter_map(|it| sources(it.rule)).flat_map(AddressSet::ranges);
    let begins = ranges.flat_map(|range| [Some(range.first()), after(range.last())]).flatten();
    let mut inner: Vec<IpAddr> = begins.filter(|it| is_given(patient, *it)).collect();
    inner.sort_unstable();
    inner.dedup();
    asked.extend(inner.into_iter().take(MOST_PARTS));
    asked
}

fn begins(policy: &Policy) -> Vec<IpAddr> {
    let rules = in_order(policy.rules());
    let destinations = rules.iter().filter_map(|it| match it.rule {
        AnyRule::Network(_, rule) => Some(&rule.destinations),
        _ => None,
    });
    let ranges = destinations.flat_map(AddressSet::ranges);
    let mut begins: Vec<IpAddr> = ranges.flat_map(|it| [Some(it.first()), after(it.last())]).flatten().collect();
    begins.sort_unstable();
    begins.dedup();
    begins
}

fn sources(rule: AnyRule<'_>) -> Option<&AddressSet> {
    match rule {
        AnyRule::Network(_, rule) => Some(&rule.sources),
        AnyRule::Application(_, rule) => Some(&rule.sources),
        AnyRule::Infrastructure(_) | AnyRule::Dnat(_) => None,
    }
}

/// Is it an address of the subnet that Azure gives to anybody?
fn is_given(patient: &Patient<'_>, address: IpAddr) -> bool {
    patient.network.subnet(patient.place).usable().any(|range| range.contains(address))
}

/// By the zones and ports that the lists give.
fn endpoints(patient: &Patient<'_>) -> Vec<ServiceEndpoint> {
    let subnet = patient.network.subnet(patient.place);
    let known = patient.network.tags().services().into_iter();
    known.filter(|endpoint| subnet.has_endpoint(&endpoint.service)).collect()
}

fn has_it(rule: AnyRule<'_>, tag: &str) -> bool {
    match rule {
        AnyRule::Application(Action::Allow, rule) => rule.tags.iter().any(|it| it.name.eq_ignore_ascii_case(tag)),
        _ => false,
    }
}

fn without_denials(policy: &Policy) -> Policy {
    let mut rules = RuleSet { threat_intel: ThreatIntel::default(), ..RuleSet::clone(policy.rules()) };
    for group in rules.policies.iter_mut().flat_map(|policy| &mut policy.groups) {
        group
            .collections
            .retain(|it| !matches!(it.rules, Rules::Network(Action::Deny, _) | Rules::Application(Action::Deny, _)));
    }
    Policy::compile(Arc::new(rules), policy.switches())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        AddressSet, IpProtocols, NetworkRule, PolicyRules, PrivateAddresses, RuleCollection, RuleCollectionGroup,
    };
    use crate::vnet::samples::{self, SUBNET, VNET};

    fn collection(priority: u16, action: Action) -> RuleCollection {
        let rule = NetworkRule {
            name: "all".to_owned(),
            sources: AddressSet::any(),
            protocols: IpProtocols::TCP,
            destinations: AddressSet::any(),
            ports: [crate::flow::PortRange::ANY].into_iter().collect(),
            ..NetworkRule::default()
        };
        RuleCollection {
            name: format!("at-{priority}"),
            priority: i64::from(priority).try_into().unwrap(),
            rules: Rules::Network(action, vec![rule]),
            at: Spot::nowhere(),
        }
    }

    /// A wide rule leads to no private address where the set-up says so, with the denials before it or without.
    #[test]
    fn switches_are_those_of_the_set_up() {
        let group = RuleCollectionGroup {
            name: "group".to_owned(),
            priority: 200.try_into().unwrap(),
            collections: vec![collection(200, Action::Deny), collection(300, Action::Allow)],
            at: Spot::nowhere(),
        };
        let policy = PolicyRules { name: "policy".to_owned(), groups: vec![group], ..PolicyRules::default() };
        let rules = Arc::new(RuleSet { policies: vec![policy], ..RuleSet::default() });
        let network = samples::built(samples::worked());
        let environment = &network.topology().environments[0];
        let place = network.place(VNET, SUBNET).unwrap();
        let asked = |private: PrivateAddresses| {
            let policy = Policy::compile(Arc::clone(&rules), private);
            let gate = Gate::of(&Patient { network: &network, environment, place, policy: Some(&policy) });
            let private = Host::Addr(IpAddr::from([10, 9, 0, 1]));
            gate.unwrap_or_else(|why| panic!("{why:?}")).ask(&private, Protocol::Tcp, 5672)
        };
        assert!(matches!(asked(PrivateAddresses::Allow), Passage::Denied(_)));
        assert_eq!(asked(PrivateAddresses::Deny), Passage::Lacks);
    }
}
