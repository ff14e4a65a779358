//! What a run came to, for people and programs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::command::Ended;
use super::expect::{Expectations, FailOn};
use super::plan::Way;
use crate::config::{CheckTarget, Config};
use crate::control::{Asking, Detail, Oracle};
use crate::flow::{Authority, Host, Protocol, Verdict, Via};
use crate::policy::Policy;
use crate::proxy::{Active, Shared};
use crate::telemetry::{FlowRecord, Row, Rows, RunId, Seen, Totals};

/// Of the shape of [`Report`]; grows when a field changes its meaning or goes.
const SCHEMA: u32 = 1;

/// The policy that decided.
pub(super) struct InForce(Arc<Active>);

impl InForce {
    pub(super) fn of(shared: &Shared) -> InForce {
        InForce(shared.active())
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.0.policy
    }
}

/// What a report says beyond the flows.
pub(super) struct Circumstances<'a> {
    pub(super) run: &'a RunId,
    pub(super) way: Way,
    pub(super) config: &'a Config,
    pub(super) policy: &'a Policy,
    pub(super) ended: &'a Ended,
    /// Records that a log file lacks.
    pub(super) lost: u64,
}

/// The report, as `--format json` and `--report` write it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: u32,
    run: String,
    pub(super) enforced: bool,
    pub(super) outcome: Outcome,
    /// Egret's own exit code.
    exit_code: u8,
    /// The command's, as a shell gives it.
    command_exit_code: u8,
    /// Why it could not be run, where it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command_error: Option<String>,
    policies: Vec<String>,
    policy_hash: String,
    pub(super) allowed: Side<AllowedLine>,
    /// Denied, and nobody said that it should be.
    pub(super) unexpected: Side<DeniedLine>,
    pub(super) expected: Side<DeniedLine>,
    /// Names that were looked up, whatever the answer.
    pub(super) names_resolved: u64,
    /// Names that a resolver tried with a search domain behind: no flows of the command's own.
    pub(super) search_list: u64,
    /// What `--expect-denied` named and nobody asked for.
    pub(super) unmet: Vec<String>,
    /// Flows that threat intelligence knew and did not deny.
    pub(super) threat_alerts: u64,
    /// Flows past the firewall, by a service endpoint.
    pub(super) bypassed: u64,
    /// Allowed flows that failed later, by reason.
    pub(super) failed: BTreeMap<&'static str, u64>,
    pub(super) log_records_lost: u64,
}

/// Whether the policy was kept to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Clean,
    /// Something was denied that fails the run.
    Denied,
}

#[derive(Debug, Serialize)]
pub(super) struct Side<T> {
    pub(super) flows: u64,
    /// Most frequent first.
    pub(super) targets: Vec<T>,
    /// Flows to targets that are not listed, because there were too many.
    pub(super) unlisted: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct AllowedLine {
    #[serde(flatten)]
    pub(super) line: Line,
}

#[derive(Debug, Serialize)]
pub(super) struct DeniedLine {
    #[serde(flatten)]
    pub(super) line: Line,
    /// The flag that would have allowed it.
    pub(super) mend: Option<String>,
    /// The rule that would have allowed it but for the fewest things, and what those are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nearest_miss: Option<String>,
}

/// Flows of one kind.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) target: String,
    protocol: &'static str,
    host: Option<String>,
    port: u16,
    pub(super) sni: Option<String>,
    pub(super) count: u64,
    pub(super) reason: &'static str,
    /// The rule that decided, where one did.
    pub(super) rule: Option<String>,
    /// The security group's rule or the route that decided before the firewall, or instead of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<String>,
    /// The indicator of threat intelligence that it met, if it met one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) threat_intel: Option<String>,
}

impl Line {
    /// The firewall's rule, or what decided before it or instead of it.
    pub(super) fn decided_by(&self) -> Option<&str> {
        self.network.as_deref().or(self.rule.as_deref())
    }

    fn of(row: &Row) -> Line {
        let Row { count, first } = row;
        let host = host_of(first);
        let protocol = if first.via == Via::Dns { "dns" } else { first.protocol.as_str() };
        let sni = first.sni.as_ref().map(ToString::to_string).filter(|sni| Some(sni) != host.as_ref());
        Line {
            target: target_of(first, protocol),
            protocol,
            host,
            port: first.port,
            sni,
            count: *count,
            reason: first.reason.as_str(),
            rule: first.rule.as_ref().map(ToString::to_string),
            network: first.network.as_ref().and_then(|network| network.because(first.reason)),
            threat_intel: first.threat.as_ref().map(|it| format!("{} ({})", it.indicator, it.description)),
        }
    }
}

fn host_of(record: &FlowRecord) -> Option<String> {
    let host = record.host.as_ref().map(ToString::to_string);
    host.or_else(|| record.dst.map(|dst| dst.ip().to_string()))
}

/// As a flag or `egret check` would take it, where it is a destination at all.
fn target_of(record: &FlowRecord, protocol: &str) -> String {
    let host = match (&record.host, record.dst) {
        (Some(Seen::Valid(host)), _) => host.clone(),
        (Some(Seen::Raw(raw)), _) => return format!("{protocol}://{}", raw.as_str()),
        (None, Some(dst)) => Host::Addr(dst.ip()),
        (None, None) => return format!("{protocol}://?"),
    };
    match protocol {
        "dns" | "icmp" | "ip" => format!("{protocol}://{host}"),
        _ => format!("{protocol}://{}", Authority { host, port: record.port }),
    }
}

impl Report {
    pub(super) fn new(
        totals: &Totals,
        mut expectations: Expectations,
        fail_on: FailOn,
        at: &Circumstances<'_>,
    ) -> Report {
        let Circumstances { run, way, config, policy, ended, lost } = at;
        let Totals { allowed, denied, bypassed, failed, names, alerts } = totals;
        let oracle = Oracle::new(policy, config.enforced_network().map(|it| &**it), config.profile, &config.dns);
        let domains = search_domains();
        let searched = Searched::new(allowed, denied, &domains);
        let (own, by_search_list): (Vec<&Row>, Vec<&Row>) = denied.rows.iter().partition(|row| !searched.is(row));
        let (expected, unexpected): (Vec<&Row>, Vec<&Row>) =
            own.into_iter().partition(|row| expectations.meet(&row.first));
        let line = |row: &&Row| DeniedLine {
            line: Line::of(row),
            mend: row.first.mend(),
            nearest_miss: near(&oracle, &row.first),
        };
        let unexpected = Side::new(unexpected.iter().map(line).collect(), denied.more);
        let expected = Side::new(expected.iter().map(line).collect(), 0);
        let fails = match fail_on {
            FailOn::Denied => unexpected.flows + expected.flows > 0,
            FailOn::Unexpected => unexpected.flows > 0,
            FailOn::Never => false,
        };
        let command_exit_code = ended.code();
        Report {
            schema: SCHEMA,
            run: run.as_str().to_owned(),
            enforced: *way == Way::Enforced,
            outcome: if fails { Outcome::Denied } else { Outcome::Clean },
            exit_code: if fails && command_exit_code == 0 { DENIED } else { command_exit_code },
            command_exit_code,
            command_error: ended.error().map(str::to_owned),
            policies: policy.rules().policies.iter().map(|policy| policy.name.clone()).collect(),
            policy_hash: policy.hash().to_string(),
            allowed: Side::new(
                allowed.rows.iter().map(|row| AllowedLine { line: Line::of(row) }).collect(),
                allowed.more,
            ),
            unexpected,
            expected,
            names_resolved: *names,
            search_list: by_search_list.iter().map(|row| row.count).sum(),
            unmet: expectations.unmet().map(str::to_owned).collect(),
            threat_alerts: *alerts,
            bypassed: *bypassed,
            failed: failed.iter().map(|(reason, count)| (reason.as_str(), *count)).collect(),
            log_records_lost: *lost,
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

/// Of a command that succeeded while something was denied.
const DENIED: u8 = 3;

impl<T: AsRef<Line>> Side<T> {
    fn new(targets: Vec<T>, unlisted: u64) -> Side<T> {
        let listed: u64 = targets.iter().map(|target| target.as_ref().count).sum();
        Side { flows: listed + unlisted, targets, unlisted }
    }
}

impl AsRef<Line> for AllowedLine {
    fn as_ref(&self) -> &Line {
        &self.line
    }
}

impl AsRef<Line> for DeniedLine {
    fn as_ref(&self) -> &Line {
        &self.line
    }
}

/// The nearest miss, as `egret check` has it.
fn near(oracle: &Oracle<'_>, denied: &FlowRecord) -> Option<String> {
    let Some(Seen::Valid(host)) = &denied.host else { return None };
    let (protocol, port) = match denied.via {
        Via::Dns => (Protocol::Https, 443),
        _ => (denied.protocol, denied.port),
    };
    let target = CheckTarget { text: String::new(), protocol, host: host.clone(), port, path: None };
    let answer = oracle.ask(&target, Some(Asking::Address(denied.client.ip())), Detail::Verdict);
    answer.nearest_miss.filter(|_| answer.verdict == Verdict::Deny)
}

/// Names that were asked for with a search domain behind.
struct Searched<'a> {
    domains: &'a [String],
    /// Everything that was asked for.
    asked: std::collections::HashSet<String>,
}

impl<'a> Searched<'a> {
    fn new(allowed: &Rows, denied: &Rows, domains: &'a [String]) -> Searched<'a> {
        let rows = allowed.rows.iter().chain(&denied.rows);
        Searched { domains, asked: rows.filter_map(|row| host_of(&row.first)).collect() }
    }

    fn is(&self, row: &Row) -> bool {
        let Some(host) = host_of(&row.first).filter(|_| row.first.via == Via::Dns) else { return false };
        let base = |domain: &String| host.strip_suffix(domain.as_str())?.strip_suffix('.');
        self.domains.iter().filter_map(base).any(|base| self.asked.contains(base))
    }
}

/// What the system's resolver appends to names, from resolv.conf(5).
fn search_domains() -> Vec<String> {
    search_domains_of(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

fn search_domains_of(text: &str) -> Vec<String> {
    let fields = text.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let domains = fields.filter_map(|fields| match fields.as_slice() {
        ["search" | "domain", domains @ ..] => Some(domains.to_vec()),
        _ => None,
    });
    domains
        .flatten()
        .map(|domain| domain.trim_end_matches('.').to_ascii_lowercase())
        .filter(|it| !it.is_empty())
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{Overrides, load};
    use crate::flow::{Host, Reason};
    use crate::telemetry::tests::{allowed, denied};
    use crate::telemetry::{Escaped, Seen};

    /// A denied flow to a host.
    pub(in crate::cli::run) fn to(host: &str) -> FlowRecord {
        FlowRecord { host: Some(Host::parse(host).unwrap().into()), ..denied() }
    }

    /// The same to what is no host.
    pub(in crate::cli::run) fn hostile(name: &[u8]) -> FlowRecord {
        FlowRecord { host: Some(Seen::Raw(Escaped::name(name))), reason: Reason::BadName, ..denied() }
    }

    /// The report of a command that succeeded under a policy that allows `ok.test`.
    pub(in crate::cli::run) fn report(flows: &[(FlowRecord, u64)], fail_on: FailOn) -> Report {
        report_of(flows, 0, fail_on, &[], &Ended::Exited(0))
    }

    fn report_of(flows: &[(FlowRecord, u64)], more: u64, fail_on: FailOn, expected: &[&str], ended: &Ended) -> Report {
        let rows = |verdict| {
            let these = flows.iter().filter(move |(first, _)| first.verdict == verdict);
            these.map(|(first, count)| Row { count: *count, first: first.clone() }).collect()
        };
        let totals = Totals {
            allowed: Rows { rows: rows(Verdict::Allow), more: 0 },
            denied: Rows { rows: rows(Verdict::Deny), more },
            ..Totals::default()
        };
        let overrides = Overrides { allow: vec!["https://ok.test".to_owned()], ..Overrides::default() };
        let config = load(&overrides, crate::config::DefaultFile::Ignored).unwrap().config;
        let policy = Policy::compile(Arc::new(config.rules.clone()), config.private_addresses);
        let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        let (run, way) = (RunId::from_bits(1), Way::Enforced);
        let at = Circumstances { run: &run, way, config: &config, policy: &policy, ended, lost: 0 };
        Report::new(&totals, Expectations::read(&expected).unwrap(), fail_on, &at)
    }

    #[test]
    fn what_decides_the_exit_code() {
        let check = |flows: &[(FlowRecord, u64)], more, fail_on, expected: &[&str], ended, code| {
            assert_eq!(report_of(flows, more, fail_on, expected, &ended).exit_code(), code, "{fail_on:?} {ended:?}");
        };
        let (clean, one) = ([(allowed(), 1)], [(to("evil.test"), 1)]);
        let meant = &["evil.test"][..];
        check(&clean, 0, FailOn::Denied, &[], Ended::Exited(0), 0);
        check(&one, 0, FailOn::Unexpected, &[], Ended::Exited(0), 3);
        check(&one, 0, FailOn::Unexpected, meant, Ended::Exited(0), 0);
        check(&one, 0, FailOn::Denied, meant, Ended::Exited(0), 3);
        check(&one, 0, FailOn::Never, &[], Ended::Exited(0), 0);
        check(&one, 0, FailOn::Unexpected, &[], Ended::Exited(1), 1);
        check(&one, 0, FailOn::Unexpected, &[], Ended::Signalled(9), 137);
        check(&one, 0, FailOn::Unexpected, &[], Ended::Interrupted, 130);
        check(&clean, 0, FailOn::Unexpected, &[], Ended::NotFound(String::new()), 127);
        check(&clean, 0, FailOn::Unexpected, &[], Ended::NotRun(String::new()), 126);
        // What was not told apart was expected by nobody.
        check(&clean, 1, FailOn::Unexpected, &["*:443"], Ended::Exited(0), 3);
    }

    #[test]
    fn a_line_says_what_would_have_allowed_it() {
        let line = |record: FlowRecord| report(&[(record, 2)], FailOn::Unexpected).unexpected.targets.remove(0);
        let wrong_port = line(FlowRecord { port: 8443, reason: Reason::PortNotAllowed, ..to("ok.test") });
        assert_eq!(wrong_port.line.target, "https://ok.test:8443");
        assert_eq!(wrong_port.mend.as_deref(), Some("--allow https://ok.test:8443"));
        let near = "local/shorthand/allow/https://ok.test would match if the port were 443";
        assert_eq!(wrong_port.nearest_miss.as_deref(), Some(near));
        let by_dns = FlowRecord { via: Via::Dns, protocol: Protocol::Udp, port: 0, ..to("evil.test") };
        let by_dns = line(FlowRecord { reason: Reason::DnsNotAllowed, ..by_dns });
        assert_eq!(
            (by_dns.line.target.as_str(), by_dns.mend.as_deref()),
            ("dns://evil.test", Some("--allow evil.test"))
        );
        let nowhere = line(FlowRecord { host: None, dst: None, reason: Reason::BadRequest, ..denied() });
        assert_eq!((nowhere.line.target.as_str(), nowhere.mend), ("https://?", None));
        let by_address = FlowRecord { protocol: Protocol::Udp, port: 123, ..to("2001:db8::1") };
        assert_eq!(line(by_address).line.target, "udp://[2001:db8::1]:123");
    }

    #[test]
    fn search_domains_of_a_resolver() {
        let text =
            "# search no\nnameserver 192.0.2.1\nsearch Corp.test. svc.local\n\tdomain lab.test\noptions ndots:5\n";
        let domains = search_domains_of(text);
        assert_eq!(domains, ["corp.test", "svc.local", "lab.test"]);
        let row = |host: &str, via| Row { count: 1, first: FlowRecord { via, ..to(host) } };
        let allowed = Rows { rows: vec![row("ok.test", Via::Gateway)], more: 0 };
        let tried = |host, via| {
            Searched::new(&allowed, &Rows { rows: vec![row("evil.test", Via::Dns)], more: 0 }, &domains)
                .is(&row(host, via))
        };
        assert!(tried("ok.test.corp.test", Via::Dns));
        assert!(tried("evil.test.svc.local", Via::Dns));
        assert!(!tried("ok.test.corp.test", Via::Gateway), "a flow is a flow");
        assert!(!tried("other.corp.test", Via::Dns), "a name of the domain itself");
        assert!(!tried("ok.testcorp.test", Via::Dns));
    }
}
