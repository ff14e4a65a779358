//! What a policy holds beside its rules, and rules that want something of it.

use std::net::IpAddr;

use crate::policy::{AddressRange, ExplicitProxySettings, NetworkRule, PolicyRules, RuleSet, Rules, ThreatMode, Tier};

use super::catalogue as c;
use super::finding::{Check, Finding};
use super::place::{Place, of_policy};

const MOST_FQDNS: usize = 1_000;
const MOST_SERVERS: usize = 15;
const HIGHEST_PORT: u16 = 64_000;
/// What is not translated as it comes.
const PRIVATE: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];

pub(super) fn check(set: &RuleSet, found: &mut Vec<Finding>) {
    for policy in &set.policies {
        found.extend(fqdn_rules(policy));
        found.extend(threats(policy));
        found.extend(dns_of_basic(policy));
        laxer(set, policy, found);
        proxy(set, policy, found);
        found.extend(snat(policy));
        found.extend(servers(policy));
    }
    found.extend(too_many_fqdns(set));
}

fn say(policy: &PolicyRules, check: &'static Check, what: impl Into<String>, words: &[&str]) -> Finding {
    words.iter().fold(of_policy(policy, check, what), |finding, word| finding.about(word))
}

/// The network rules that name names.
fn with_names(policy: &PolicyRules) -> impl Iterator<Item = (Place<'_>, &NetworkRule)> {
    let rules = Place::of_policy(policy).filter_map(|place| match &place.collection.rules {
        Rules::Network(_, rules) => Some(rules.iter().map(move |rule| (place, rule))),
        _ => None,
    });
    rules.flatten().filter(|(_, rule)| !rule.fqdns.is_empty())
}

/// Told once a policy, at the first such rule.
fn fqdn_rules(policy: &PolicyRules) -> Option<Finding> {
    let dns = &policy.settings.dns;
    let (place, rule) = with_names(policy).next()?;
    let name = rule.fqdns.first()?;
    let others = with_names(policy).count() - 1;
    let more = if others > 0 { format!(" (and {others} more such rules)") } else { String::new() };
    let at = |check, what: String| place.rule(check, &rule.name, &rule.about, what).about(name);
    if policy.settings.tier == Some(Tier::Basic) {
        let what = format!("`{name}` in a network rule wants Standard; the policy is Basic{more}");
        return Some(at(&c::NOT_IN_BASIC, what).mend("use an application rule, or change the tier"));
    }
    if policy.settings.base_policy.is_some() && dns.proxy.is_none() {
        let what = format!("`{name}` in a network rule wants the DNS proxy, which a child does not inherit{more}");
        return Some(at(&c::INHERITED_DNS, what).mend("set `dnsSettings` in this policy: enableProxy and the servers"));
    }
    let what = format!("`{name}` is resolved by the firewall, and clients may hold another address{more}");
    let mend = "set `dnsSettings.enableProxy` and let clients ask the firewall, or use an application rule";
    (dns.proxy != Some(true)).then(|| at(&c::FQDN_RULE_WITHOUT_DNS_PROXY, what).mend(mend))
}

fn too_many_fqdns(set: &RuleSet) -> Option<Finding> {
    let all = || set.policies.iter().flat_map(with_names);
    let count: usize = all().map(|(_, rule)| rule.fqdns.len()).sum();
    let (place, rule) = all().last()?;
    let what = format!("network rules name {count} FQDNs; {MOST_FQDNS} is the most that is recommended");
    let say = || place.rule(&c::TOO_MANY_FQDNS, &rule.name, &rule.about, what);
    (count > MOST_FQDNS).then(|| say().mend("use application rules for what is HTTP, HTTPS or SQL"))
}

fn threats(policy: &PolicyRules) -> Option<Finding> {
    let words = ["threatIntelMode", "mode"];
    match (policy.settings.threat_intel.mode?, policy.settings.tier) {
        (ThreatMode::Off, _) => {
            let what = "threat intelligence is off";
            Some(say(policy, &c::THREAT_INTEL_OFF, what, &words).mend("set `threatIntelMode` to Alert or Deny"))
        }
        (ThreatMode::Deny, Some(Tier::Basic)) => {
            let what = "threat intelligence that denies wants Standard; the policy is Basic";
            Some(say(policy, &c::NOT_IN_BASIC, what, &words).mend("set `threatIntelMode` to Alert"))
        }
        _ => None,
    }
}

fn dns_of_basic(policy: &PolicyRules) -> Option<Finding> {
    let on = policy.settings.dns.proxy == Some(true) && policy.settings.tier == Some(Tier::Basic);
    let what = "the DNS proxy wants Standard; the policy is Basic";
    on.then(|| say(policy, &c::NOT_IN_BASIC, what, &["enableProxy", "proxy"]).mend("switch it off, or change the tier"))
}

/// IDPS, and what a child may not loosen.
fn laxer(set: &RuleSet, policy: &PolicyRules, found: &mut Vec<Finding>) {
    let settings = &policy.settings;
    if let (Some(mode @ (ThreatMode::Alert | ThreatMode::Deny)), Some(tier @ (Tier::Basic | Tier::Standard))) =
        (settings.idps, settings.tier)
    {
        let what = format!("IDPS in mode {mode} wants Premium; the policy is {tier}");
        found.push(
            say(policy, &c::NEEDS_PREMIUM, what, &["intrusionDetection", "idps"])
                .mend("leave it out, or change the tier"),
        );
    } else if settings.idps == Some(ThreatMode::Deny) {
        let what = "IDPS drops what a signature matches, in silence";
        let finding = say(policy, &c::IDPS_DENY, what, &["intrusionDetection", "idps"]);
        found.push(finding.mend("nothing, where it is meant; Alert logs and lets pass"));
    }
    let Some(parent) = parent_of(set, policy) else { return };
    let pairs = [
        (
            "threat intelligence",
            settings.threat_intel.mode,
            parent.settings.threat_intel.mode,
            ["threatIntelMode", "mode"],
        ),
        ("IDPS", settings.idps, parent.settings.idps, ["intrusionDetection", "idps"]),
    ];
    for (what, own, above, words) in pairs {
        if let (Some(own), Some(above)) = (own, above)
            && own < above
        {
            let what =
                format!("{what} is {own} here and {above} in the parent `{}`, which stays in force", parent.name);
            found.push(say(policy, &c::WEAKER_THAN_PARENT, what, &words).mend(format!("write {above}")));
        }
    }
}

/// By its name, or the last part of its resource id.
fn parent_of<'a>(set: &'a RuleSet, policy: &PolicyRules) -> Option<&'a PolicyRules> {
    let base = policy.settings.base_policy.as_deref()?;
    let name = base.rsplit('/').next().unwrap_or(base);
    set.policies.iter().find(|it| it.name.eq_ignore_ascii_case(name) && !std::ptr::eq(*it, policy))
}

fn proxy(set: &RuleSet, policy: &PolicyRules, found: &mut Vec<Finding>) {
    let settings = &policy.settings.explicit_proxy;
    if settings.enabled != Some(true) {
        return;
    }
    let is_application =
        |place: Place<'_>| matches!(&place.collection.rules, Rules::Application(_, rules) if !rules.is_empty());
    if !Place::all(set).any(is_application) {
        let what = "the explicit proxy is on, and there is no application rule";
        let words = ["enableExplicitProxy", "explicit_proxy"];
        found.push(say(policy, &c::EXPLICIT_PROXY_WITHOUT_RULES, what, &words).mend("add application rules"));
    }
    for (what, words) in wrong_ports(settings) {
        found.push(say(policy, &c::EXPLICIT_PROXY_PORTS, what, &words).mend("choose another port"));
    }
}

fn wrong_ports(settings: &ExplicitProxySettings) -> Vec<(String, [&'static str; 2])> {
    let ports = [
        ("HTTP", settings.http_port, ["httpPort", "http_port"]),
        ("HTTPS", settings.https_port, ["httpsPort", "https_port"]),
        ("the PAC file", settings.pac_port, ["pacFilePort", "pac_port"]),
    ];
    let mut wrong = Vec::new();
    for (at, (whose, port, words)) in ports.iter().enumerate() {
        let Some(port) = port else { continue };
        if let Some((other, ..)) = ports[..at].iter().find(|(_, other, _)| other.as_ref() == Some(port)) {
            wrong.push((format!("{other} and {whose} have the same port {port}"), *words));
        }
        if *port > HIGHEST_PORT {
            wrong.push((format!("the port {port} for {whose} is above {HIGHEST_PORT}"), *words));
        }
    }
    wrong
}

fn snat(policy: &PolicyRules) -> Option<Finding> {
    let ranges = policy.settings.snat.private_ranges.as_deref().filter(|ranges| !ranges.is_empty())?;
    // `255.255.255.255/32` alone says that everything is translated.
    let never = |range: &AddressRange| range.first().to_string() == "255.255.255.255";
    if ranges.iter().any(never) {
        return None;
    }
    let missing: Vec<&str> = PRIVATE.into_iter().filter(|private| !covers(ranges, private)).collect();
    let what = format!("the private ranges leave out {}", missing.join(", "));
    let words = ["privateRanges", "private_ranges"];
    let mend = format!("add {}, where traffic there is not to be translated", missing.join(", "));
    (!missing.is_empty()).then(|| say(policy, &c::SNAT_MISSES_PRIVATE, what, &words).mend(mend))
}

/// By one range or by ranges that follow each other.
fn covers(ranges: &[AddressRange], private: &str) -> bool {
    let Ok(private) = private.parse::<AddressRange>() else { return false };
    let number = |addr: IpAddr| match addr {
        IpAddr::V4(addr) => u64::from(u32::from(addr)),
        IpAddr::V6(_) => u64::MAX,
    };
    let v4 = ranges.iter().filter(|range| range.first().is_ipv4());
    let mut sorted: Vec<(u64, u64)> = v4.map(|range| (number(range.first()), number(range.last()))).collect();
    sorted.sort_unstable();
    let mut next = number(private.first());
    for (first, last) in sorted {
        if first <= next && last >= next {
            next = last + 1;
        }
    }
    next > number(private.last())
}

fn servers(policy: &PolicyRules) -> Option<Finding> {
    let count = policy.settings.dns.servers.len();
    let what = format!("{count} DNS servers; {MOST_SERVERS} is the most");
    let words = ["servers"];
    (count > MOST_SERVERS).then(|| say(policy, &c::TOO_MANY_DNS_SERVERS, what, &words).mend("leave some out"))
}
