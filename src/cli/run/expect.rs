//! Denials that are meant, and those that fail a run.

use std::sync::Arc;

use clap::ValueEnum;

use crate::cli::UsageError;
use crate::config::{self, DefaultFile, Overrides, TargetRule};
use crate::flow::{Host, Protocol, Reason, Via};
use crate::policy::{Address, Policy, PrivateAddresses, Query};
use crate::telemetry::{FlowRecord, Seen};

/// What makes a command that succeeded fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// Any denial
    Denied,
    /// A denial that no --expect-denied is about
    Unexpected,
    /// Nothing
    Never,
}

/// Every `--expect-denied`, and whether it came about.
#[derive(Default)]
pub(super) struct Expectations(Vec<Expectation>);

struct Expectation {
    text: String,
    rule: TargetRule,
    /// Denies the target and nothing else by a rule.
    policy: Policy,
    met: bool,
}

impl Expectations {
    pub(super) fn read(targets: &[String]) -> anyhow::Result<Expectations> {
        targets.iter().map(|text| Expectation::read(text)).collect::<anyhow::Result<_>>().map(Expectations)
    }

    /// Was this denial expected?
    pub(super) fn meet(&mut self, denied: &FlowRecord) -> bool {
        let mut met = false;
        // One denial may meet several.
        for expectation in self.0.iter_mut().filter(|expectation| expectation.is_about(denied)) {
            (expectation.met, met) = (true, true);
        }
        met
    }

    /// Those that did not come about.
    pub(super) fn unmet(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|expectation| !expectation.met).map(|expectation| expectation.text.as_str())
    }
}

impl Expectation {
    fn read(text: &str) -> anyhow::Result<Expectation> {
        let rule = TargetRule::parse(text).map_err(|error| UsageError(format!("--expect-denied: {error}")))?;
        let deny = Overrides { deny: vec![text.to_owned()], ..Overrides::default() };
        let rules = config::load(&deny, DefaultFile::Ignored)?.config.rules;
        let policy = Policy::compile(Arc::new(rules), PrivateAddresses::Allow);
        Ok(Expectation { text: text.to_owned(), rule, policy, met: false })
    }

    fn is_about(&self, denied: &FlowRecord) -> bool {
        let host = match (&denied.host, denied.dst) {
            (Some(Seen::Valid(host)), _) => host.clone(),
            (None, Some(dst)) => Host::Addr(dst.ip()),
            _ => return false,
        };
        if denied.via == Via::Dns {
            return self.names(&host);
        }
        let address = denied.dst.map_or(Address::Unknown, |dst| Address::Given(dst.ip()));
        // A flow that was denied before it said what it speaks is called TCP.
        let possible: &[Protocol] = match denied.protocol {
            Protocol::Tcp => &[Protocol::Tcp, Protocol::Https, Protocol::Http, Protocol::Mssql],
            _ => std::slice::from_ref(&denied.protocol),
        };
        possible.iter().any(|protocol| {
            let mut query = Query::new(Some(denied.client.ip()), *protocol, &host, denied.port);
            if query.address == Address::Unknown {
                query = query.with_address(address);
            }
            self.policy.decide(&query).reason == Reason::DeniedByRule
        })
    }

    /// A name that did not even resolve has no port yet.
    fn names(&self, host: &Host) -> bool {
        let Host::Name(name) = host else { return false };
        match &self.rule {
            TargetRule::Application(rule) => rule.fqdns.iter().any(|pattern| pattern.matches(name)),
            TargetRule::Network(rule) => rule.fqdns.contains(name) || rule.destinations.is_any(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::tests::denied;

    fn check(target: &str, record: &FlowRecord, expected: bool) {
        let mut expectations = Expectations::read(&[target.to_owned()]).unwrap();
        assert_eq!(expectations.meet(record), expected, "{target}");
        assert_eq!(expectations.unmet().next().is_none(), expected, "{target}");
    }

    #[test]
    fn a_target_is_read_as_for_deny() {
        let by_name = denied();
        check("evil.test", &by_name, true);
        check("https://evil.test", &by_name, true);
        check("tcp://evil.test:443", &by_name, true);
        check("*.test:443", &by_name, true);
        check("*:443", &by_name, true);
        check("http://evil.test", &by_name, false);
        check("evil.test:8443", &by_name, false);
        check("other.test", &by_name, false);
        let by_dns = FlowRecord { via: Via::Dns, protocol: Protocol::Udp, port: 53, ..denied() };
        check("evil.test:8443", &by_dns, true);
        check("tcp://evil.test:22", &by_dns, true);
        check("*.other.test", &by_dns, false);
        let address = |host: Option<&str>| FlowRecord {
            host: host.map(|host| Host::parse(host).unwrap().into()),
            dst: Some("169.254.169.254:80".parse().unwrap()),
            protocol: Protocol::Tcp,
            port: 80,
            reason: Reason::InternalAddress,
            ..denied()
        };
        for host in [None, Some("169.254.169.254")] {
            check("169.254.169.254:80", &address(host), true);
            check("169.254.0.0/16:*", &address(host), true);
            check("169.254.169.254:443", &address(host), false);
        }
        check("http://rebound.test", &address(Some("rebound.test")), true);
        check("169.254.0.0/16:80", &address(Some("rebound.test")), true);
    }

    #[test]
    fn what_is_no_target_is_a_mistake() {
        let error = Expectations::read(&["evil.test/x".to_owned()]).err().unwrap();
        assert!(error.is::<UsageError>() && error.to_string().starts_with("--expect-denied: `evil.test/x`"), "{error}");
    }
}
