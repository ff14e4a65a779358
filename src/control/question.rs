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

/// Policies with more rules are walked only on demand, so that a thousand questions do not take minutes.
const WALKED: usize = 2_000;

/// Who answers.
pub(crate) struct Oracle<'a> {
    policy: &'a Policy,
    profile: Profile,
    dns: &'a DnsConfig,
    /// A walk is cheap enough to be made for a hint.
    walkable: bool,
    /// Some rule is for certain clients only.
    tells_clients_apart: bool,
    /// Some network rule denies, so an address may turn an allowed name into a denied one.
    denies_addresses: bool,
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
struct Decided<'q> {
    query: Query<'q>,
    decision: Decision,
    address_open: bool,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(policy: &'a Policy, profile: Profile, dns: &'a DnsConfig) -> Oracle<'a> {
        let looked_at = policy.rule_names().len() + policy.rules().threat_intel.feed.indicators().len();
        let walkable = looked_at <= WALKED;
        let tells_clients_apart = walkable && tells_clients_apart(policy.rules());
        let denies_addresses = !walkable || denies_addresses(policy.rules());
        Oracle { policy, profile, dns, walkable, tells_clients_apart, denies_addresses }
    }

    /// Without a client the question is for a client of any address: only rules for everybody match.
    pub(crate) fn ask<'t>(&self, target: &'t CheckTarget, client: Option<IpAddr>, detail: Detail) -> Answer<'t>
    where
        'a: 't,
    {
        let path = (target.protocol == Protocol::Http).then(|| target.path.as_deref().unwrap_or("/"));
        let resolved = self.leading_to(&target.host, target.port);
        let query = Query::new(client, target.protocol, &target.host, target.port);
        let query = Query { path, resolved: &resolved, ..query };
        let to = Authority { host: target.host.clone(), port: target.port };
        let Decided { query, decision, address_open } = self.decide(query, &to);
        let asks_for_any = client.is_none() && self.tells_clients_apart;
        let hints = self.walkable && (decision.verdict == Verdict::Deny || asks_for_any);
        let worth_walking = hints || detail == Detail::Steps || decision.reason == Reason::ServiceEndpoint;
        let walked = worth_walking.then(|| self.policy.explain(&query));
        Answer {
            target: &target.text,
            verdict: decision.verdict,
            reason: decision.reason,
            rule: decision.rule.map(|rule| RulePlace::from(&**self.policy.rule_name(rule))),
            profile: self.profile.as_str(),
            threat_intel: self.threat(decision),
            note: note(walked.as_ref(), client, address_open, self.may_be_known(&query, decision)),
            nearest_miss: walked.as_ref().and_then(nearest_miss),
            steps: walked.filter(|_| detail == Detail::Steps).map(step_lines),
        }
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
            && decision.reason != Reason::ServiceEndpoint
            && query.address == Address::Unknown
            && self.policy.denies_known_addresses()
    }

    /// As the proxy does: by name first, then by the address where there is one.
    fn decide<'q>(&self, query: Query<'q>, to: &Authority) -> Decided<'q> {
        let decision = self.policy.decide(&query);
        let allowed = decision.verdict == Verdict::Allow;
        let as_is = |address_open| Decided { query, decision, address_open };
        let Some(name) = query.name else { return as_is(false) };
        if !allowed && !self.policy.is_decided_by_address(decision, query.port) {
            return as_is(false);
        }
        if allowed && self.dns.connect_to.iter().any(|rule| rule.is_for(to)) {
            return as_is(false);
        }
        // That another rule would allow it as well is nobody's concern.
        let address_open = decision.address_matters && (!allowed || self.denies_addresses);
        let Some(given) = self.dns.overrides.iter().find(|given| given.is_for(name, query.port)) else {
            return as_is(address_open);
        };
        let judged = given.addresses.iter().map(|addr| {
            let query = query.with_address(Address::Override(*addr));
            Decided { query, decision: self.policy.decide(&query), address_open: false }
        });
        let judged: Vec<Decided<'q>> = judged.collect();
        let best = judged.iter().position(|judged| judged.decision.verdict == Verdict::Allow).unwrap_or(0);
        judged.into_iter().nth(best).unwrap_or_else(|| as_is(address_open))
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

fn note(
    walked: Option<&Explanation<'_>>,
    client: Option<IpAddr>,
    address_open: bool,
    may_be_known: bool,
) -> Option<String> {
    let endpoint = walked.and_then(|walked| walked.endpoint);
    let endpoint = endpoint.map(|service| format!("the service endpoint {service} takes it past the firewall"));
    let source = walked.filter(|_| client.is_none()).and_then(by_source);
    let address = address_open
        .then(|| "an address-based network rule could decide otherwise; give the address with --resolve".to_owned());
    let known = may_be_known.then(|| "threat intelligence may know the address; give it with --resolve".to_owned());
    let notes: Vec<String> = [endpoint, source, address, known].into_iter().flatten().collect();
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
