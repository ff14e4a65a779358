//! `--learn`: everything is permitted, and what was seen becomes the smallest policy that allows it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::plan::{HOST_PORTS, of_targets};
use crate::azure::export::{Exported, Format, Options, export};
use crate::azure::note::{Note, Severity};
use crate::cli::UsageError;
use crate::cli::convert::To;
use crate::config::TargetRule;
use crate::flow::{Authority, Host, Protocol, Reason, Via};
use crate::policy::{RuleSet, ThreatMode};
use crate::telemetry::{FlowRecord, Printable, Row, Seen, Totals};

/// What a file that may be written over begins with, behind what its format wants there.
const MARK: &str = "Learned by `egret run --learn`";
/// What may stand before the mark. JSON has no comments: there it is a value near the top.
const BEFORE_MARK: [&str; 3] = ["# ", "// ", "#!/usr/bin/env bash\n# "];
/// So much of a file is looked at for it.
const HEAD: usize = 512;

/// The ports that the gateway looks into are for application rules, so that names are learned there and no
/// addresses; all the rest is for network rules.
const EVERYTHING: [&str; 9] = [
    "http://*:80",
    "https://*:443",
    "mssql://*:1433",
    "tcp://*:1-79",
    "tcp://*:81-442",
    "tcp://*:444-1432",
    "tcp://*:1434-65535",
    "udp://*:*",
    "icmp://*",
];

/// What the policies' threat intelligence knows is told, and not denied either.
pub(super) fn permit_everything(instead_of: &RuleSet) -> anyhow::Result<RuleSet> {
    let policy = of_targets("learn", EVERYTHING.map(str::to_owned).to_vec())?;
    let mut threat_intel = instead_of.threat_intel.clone();
    threat_intel.mode = threat_intel.mode.min(ThreatMode::Alert);
    Ok(RuleSet { policies: policy.into_iter().collect(), threat_intel, ..RuleSet::default() })
}

/// A file to be written when all was seen.
pub(super) struct Lesson {
    path: PathBuf,
    to: To,
    /// So many hosts of one domain stand for all of it; None: each for itself.
    generalise: Option<u16>,
}

/// What was written.
#[derive(Debug)]
pub(super) struct Learned {
    path: PathBuf,
    targets: usize,
    /// Flows that a full table did not tell apart.
    missed: u64,
    /// What the format has no words for.
    lost: Vec<Note>,
}

impl std::fmt::Display for Learned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Learned { path, targets, missed, lost } = self;
        write!(f, "learned: {targets} targets, written to {}", path.display())?;
        if *missed > 0 {
            write!(f, "; {missed} flows to further targets are missing")?;
        }
        for Note { what, .. } in lost {
            write!(f, "\n  not in it: {}", Printable(what))?;
        }
        Ok(())
    }
}

impl Lesson {
    /// Refuses to write over what somebody else wrote, before anything runs.
    pub(super) fn begin(path: PathBuf, to: Option<To>, generalise: Option<u16>) -> anyhow::Result<Lesson> {
        let to = to.or_else(|| To::of_path(&path)).unwrap_or(To::Toml);
        let shown = path.display();
        match Before::of(&path) {
            Ok(Before::Nothing | Before::Learned) => {}
            Ok(Before::Foreign) => {
                let what = format!("--learn: `{shown}` is there and was not learned; remove it or name another file");
                return Err(UsageError(what).into());
            }
            Ok(Before::NoFile) => return Err(UsageError(format!("--learn: `{shown}` is no regular file")).into()),
            Err(error) => return Err(UsageError(format!("--learn: cannot read `{shown}`: {error}")).into()),
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(UsageError(format!("--learn: there is no folder `{}`", folder.display())).into());
        }
        Ok(Lesson { path, to, generalise })
    }

    /// The file appears whole.
    pub(super) fn write(self, totals: &Totals, program: &str) -> anyhow::Result<Learned> {
        let Lesson { path, to, generalise } = self;
        let targets = targets(totals, generalise);
        let (text, lost) = match to.azure() {
            None => (text(&targets, totals, program), Vec::new()),
            Some(format) => exported(&targets, format, program)?,
        };
        let mut beside = path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path));
        if written.is_err() {
            // Perhaps it was never there.
            let _ = fs::remove_file(&beside);
        }
        written.with_context(|| format!("cannot write what was learned to `{}`", path.display()))?;
        Ok(Learned { path, targets: targets.len(), missed: totals.allowed.more, lost })
    }
}

/// What is where a lesson is to be written.
enum Before {
    Nothing,
    Learned,
    /// Somebody else's words.
    Foreign,
    /// A folder, a device, a pipe.
    NoFile,
}

impl Before {
    /// Reads no further than the mark goes: files may be large, and devices have no end.
    fn of(path: &Path) -> io::Result<Before> {
        let kind = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Before::Nothing),
            there => there?.file_type(),
        };
        if !kind.is_file() {
            return Ok(Before::NoFile);
        }
        let mut first = Vec::with_capacity(HEAD);
        fs::File::open(path)?.take(HEAD as u64).read_to_end(&mut first)?;
        Ok(if is_marked(&first) { Before::Learned } else { Before::Foreign })
    }
}

fn is_marked(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    let comment = BEFORE_MARK.iter().any(|before| head.strip_prefix(before).is_some_and(|it| it.starts_with(MARK)));
    let in_json = || ["comment", "comments"].iter().any(|key| head.contains(&format!("\"{key}\": \"{MARK}")));
    comment || (head.starts_with(['{', '[']) && in_json())
}

/// A target by its host, for the order of the file; then how it is written.
type Targets = BTreeMap<(String, String), Target>;

#[derive(Debug, Default)]
struct Target {
    flows: u64,
    /// Denied even so, because it is not what its port is for.
    denied: Option<Reason>,
}

fn targets(totals: &Totals, generalise: Option<u16>) -> Targets {
    let mut targets = Targets::new();
    let allowed = totals.allowed.rows.iter().filter_map(|row| Some((row, of_allowed(&row.first)?, None)));
    let denied =
        totals.denied.rows.iter().filter_map(|row| Some((row, of_denied(&row.first)?, Some(row.first.reason))));
    for (row, target, denied) in allowed.chain(denied) {
        add(&mut targets, row, target, denied);
    }
    match generalise {
        Some(hosts) => generalised(targets, usize::from(hosts)),
        None => targets,
    }
}

fn add(targets: &mut Targets, row: &Row, target: (String, String), denied: Option<Reason>) {
    // What cannot be written as a rule is left out: the report has it.
    if TargetRule::parse(&target.1).is_err() {
        return;
    }
    let target = targets.entry(target).or_default();
    target.flows += row.count;
    target.denied = denied.filter(|_| target.denied.is_none() || target.flows == row.count);
}

/// Host and target of a flow that was let through. Names that were only resolved are no flows, and what goes past the
/// firewall needs no rule of it.
fn of_allowed(record: &FlowRecord) -> Option<(String, String)> {
    if record.via == Via::Dns
        || record.bypassed()
        || record.rule.as_ref().is_some_and(|rule| &*rule.policy == HOST_PORTS)
    {
        return None;
    }
    let host = match (&record.host, record.dst) {
        (Some(Seen::Valid(host)), _) => host.clone(),
        (None, Some(dst)) => Host::Addr(dst.ip()),
        _ => return None,
    };
    // What a network rule let through was not looked into, whatever it is called.
    let scheme = match (record.reason, record.protocol) {
        (_, Protocol::Udp) => "udp",
        (_, Protocol::Icmp) => return Some((host.to_string(), format!("icmp://{}", bracketed(&host)))),
        (_, Protocol::Other) => return None,
        (Reason::NetworkRule, _) => "tcp",
        (_, protocol) => protocol.as_str(),
    };
    let to = Authority { host: host.clone(), port: record.port };
    Some((host.to_string(), format!("{scheme}://{to}")))
}

fn bracketed(host: &Host) -> String {
    match host {
        Host::Addr(std::net::IpAddr::V6(addr)) => format!("[{addr}]"),
        host => host.to_string(),
    }
}

/// What would have allowed a flow that no policy of names can: no name in its hello, or no TLS at all. Names that were
/// not resolved are no flows.
fn of_denied(record: &FlowRecord) -> Option<(String, String)> {
    if record.via == Via::Dns {
        return None;
    }
    if record.via == Via::Gateway && is_nameless(record.reason) {
        return by_address(record);
    }
    let mend = record.mend()?;
    let target = mend.strip_prefix("--allow ")?;
    let host = target.split_once("://").map_or(target, |(_, host)| host);
    Some((host.to_owned(), target.to_owned()))
}

/// What a client says that names no host, where names decide.
fn is_nameless(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BadRequest
            | Reason::HelloTimeout
            | Reason::BadFraming
            | Reason::NotTls
            | Reason::MissingSni
            | Reason::BadHello
    )
}

/// By where the connection went. A stand-in address has its name for that.
fn by_address(record: &FlowRecord) -> Option<(String, String)> {
    let host = match (record.dst, &record.host) {
        (Some(dst), _) => Host::Addr(dst.ip()),
        (None, Some(Seen::Valid(host))) => host.clone(),
        _ => return None,
    };
    let to = Authority { host, port: record.port };
    Some((to.host.to_string(), format!("tcp://{to}")))
}

/// `*.contoso.com` for so many hosts of contoso.com or more, port by port and protocol by protocol.
fn generalised(targets: Targets, hosts: usize) -> Targets {
    let mut domains: BTreeMap<String, usize> = BTreeMap::new();
    for wild in targets.keys().filter_map(wildcard) {
        *domains.entry(wild).or_default() += 1;
    }
    domains.retain(|_, members| *members >= hosts);
    let mut merged = Targets::new();
    for (key, target) in targets {
        let wild = wildcard(&key).filter(|wild| domains.contains_key(wild));
        let key = wild.map_or(key, |wild| (domain_of(&wild), wild));
        merged.entry(key).or_default().flows += target.flows;
    }
    merged
}

/// The target for all hosts of this one's domain. Network rules take no wildcard, and nobody owns a top-level domain.
fn wildcard((host, target): &(String, String)) -> Option<String> {
    let (scheme, rest) = target.split_once("://")?;
    let port = rest.strip_prefix(host.as_str())?;
    let (_, domain) = host.split_once('.')?;
    let by_name = matches!(scheme, "http" | "https" | "mssql") && domain.contains('.');
    by_name.then(|| format!("{scheme}://*.{domain}{port}"))
}

fn domain_of(wild: &str) -> String {
    let (_, rest) = wild.split_once("://*.").unwrap_or(("", wild));
    rest.split(':').next().unwrap_or(rest).to_owned()
}

/// The same in one of Azure's formats, which have no place for the numbers of flows.
fn exported(targets: &Targets, format: Format, program: &str) -> anyhow::Result<(String, Vec<Note>)> {
    let allow = targets.keys().map(|(_, target)| target.clone()).collect();
    let policies = of_targets("learned", allow)?.into_iter().collect();
    let remark = Some(format!("{MARK} from `{}`", Printable(program)));
    let options = Options { remark, ..Options::default() };
    let Exported { text, notes } = export(&RuleSet { policies, ..RuleSet::default() }, format, &options);
    Ok((text, notes.into_iter().filter(|note| note.severity == Severity::Error).collect()))
}

/// The command's arguments may hold secrets, and this is kept.
fn text(targets: &Targets, totals: &Totals, program: &str) -> String {
    let mut text = format!("# {MARK} from `{}`\n", Printable(program));
    let flows = totals.allowed.flows();
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d");
    writeln!(text, "# on {today}: {flows} flows. Read it before you rely on it.").expect("a String takes any text");
    text.push_str("allow = [\n");
    for ((_, target), Target { flows, denied }) in targets {
        let denied = denied.map(|reason| format!(", denied this time ({reason})")).unwrap_or_default();
        writeln!(text, "  {:<56} # {flows}{denied}", format!("\"{target}\",")).expect("a String takes any text");
    }
    text.push_str("]\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, load};
    use crate::policy::RuleName;
    use crate::telemetry::Rows;
    use crate::telemetry::tests::{allowed, denied};

    fn seen(host: &str, protocol: Protocol, port: u16, reason: Reason) -> FlowRecord {
        FlowRecord { host: Some(Host::parse(host).unwrap().into()), protocol, port, reason, ..allowed() }
    }

    fn https(host: &str) -> FlowRecord {
        seen(host, Protocol::Https, 443, Reason::ApplicationRule)
    }

    fn learned(allowed: Vec<FlowRecord>, denied: Vec<FlowRecord>, generalise: Option<u16>) -> Vec<String> {
        let rows = |flows: Vec<FlowRecord>| Rows {
            rows: flows.into_iter().map(|first| Row { count: 2, first }).collect(),
            more: 0,
        };
        let totals = Totals { allowed: rows(allowed), denied: rows(denied), ..Totals::default() };
        targets(&totals, generalise).into_keys().map(|(_, target)| target).collect()
    }

    #[test]
    fn exact_targets_in_order_and_none_twice() {
        let flows = vec![
            https("ok.test"),
            https("api.ok.test"),
            seen("ok.test", Protocol::Http, 80, Reason::ApplicationRule),
            seen("ok.test", Protocol::Https, 8443, Reason::NetworkRule),
            seen("192.0.2.7", Protocol::Tcp, 22, Reason::NetworkRule),
            seen("2001:db8::1", Protocol::Udp, 123, Reason::NetworkRule),
            FlowRecord {
                host: None,
                dst: Some("192.0.2.9:5671".parse().unwrap()),
                ..seen("ok.test", Protocol::Tcp, 5671, Reason::NetworkRule)
            },
            https("ok.test"),
        ];
        let expected = [
            "tcp://192.0.2.7:22",
            "tcp://192.0.2.9:5671",
            "udp://[2001:db8::1]:123",
            "https://api.ok.test:443",
            "http://ok.test:80",
            "https://ok.test:443",
            "tcp://ok.test:8443",
        ];
        assert_eq!(learned(flows, Vec::new(), None), expected);
    }

    #[test]
    fn what_was_not_looked_for_is_not_learned() {
        let by_dns = FlowRecord { via: Via::Dns, ..https("looked.up.test") };
        let past = seen("past.test", Protocol::Https, 443, Reason::RoutedPast);
        let rule = RuleName { policy: HOST_PORTS.into(), ..RuleName::clone(&allowed().rule.unwrap()) };
        let host_port =
            FlowRecord { rule: Some(rule.into()), ..seen("127.0.0.1", Protocol::Tcp, 5432, Reason::NetworkRule) };
        let internal = FlowRecord { reason: Reason::InternalAddress, ..denied() };
        let nameless =
            FlowRecord { host: Some(Host::parse("192.0.2.1").unwrap().into()), reason: Reason::MissingSni, ..denied() };
        let not_resolved = FlowRecord { via: Via::Dns, reason: Reason::DnsNotAllowed, ..denied() };
        let denied = vec![internal, nameless, not_resolved];
        assert_eq!(learned(vec![by_dns, past, host_port], denied, None), ["tcp://192.0.2.1:443"]);
    }

    #[test]
    fn what_names_no_host_where_names_decide_is_learned_by_its_address() {
        let nameless = [
            Reason::BadRequest,
            Reason::HelloTimeout,
            Reason::BadFraming,
            Reason::NotTls,
            Reason::MissingSni,
            Reason::BadHello,
        ];
        let to = |host: &str, reason| {
            let host = Some(Host::parse(host).unwrap().into());
            FlowRecord { via: Via::Gateway, protocol: Protocol::Tcp, host, reason, ..denied() }
        };
        for reason in nameless {
            assert_eq!(learned(Vec::new(), vec![to("192.0.2.1", reason)], None), ["tcp://192.0.2.1:443"], "{reason}");
            let v6 = to("2001:db8::1", reason);
            assert_eq!(learned(Vec::new(), vec![v6], None), ["tcp://[2001:db8::1]:443"], "{reason}");
        }
        for reason in [Reason::LimitClient, Reason::Loop, Reason::EchPresent] {
            assert!(learned(Vec::new(), vec![to("192.0.2.1", reason)], None).is_empty(), "{reason}");
        }
        // What a Host header says is no address.
        let header = to("said.test", Reason::BadFraming);
        let header = FlowRecord { dst: Some("192.0.2.1:443".parse().unwrap()), ..header };
        assert_eq!(learned(Vec::new(), vec![header], None), ["tcp://192.0.2.1:443"]);
    }

    #[test]
    fn generalises_on_request_only() {
        let hosts = || ["a.contoso.com", "b.contoso.com", "c.contoso.com", "x.fabrikam.com", "one.test", "two.test"];
        let flows = || hosts().map(https).to_vec();
        assert_eq!(learned(flows(), Vec::new(), None).len(), 6);
        assert_eq!(
            learned(flows(), Vec::new(), Some(3)),
            ["https://*.contoso.com:443", "https://one.test:443", "https://two.test:443", "https://x.fabrikam.com:443"]
        );
        assert_eq!(learned(flows(), Vec::new(), Some(4)).len(), 6);
        let mixed = vec![https("a.contoso.com"), seen("b.contoso.com", Protocol::Http, 80, Reason::ApplicationRule)];
        assert_eq!(learned(mixed, Vec::new(), Some(2)).len(), 2, "each port and protocol for itself");
    }

    #[test]
    fn what_is_written_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("egret.toml");
        let row = Row { count: 3, first: https("ok.test") };
        let totals = Totals { allowed: Rows { rows: vec![row], more: 0 }, ..Totals::default() };
        for _ in 0..2 {
            let learned = Lesson::begin(path.clone(), None, None).unwrap().write(&totals, "s\nh").unwrap();
            assert_eq!(learned.targets, 1);
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&format!("# {MARK} from `s\\nh`\n# on 2")), "{text}");
        assert!(text.contains("\"https://ok.test:443\", "), "{text}");
        let overrides = Overrides { config: Some(path.clone()), ..Overrides::default() };
        assert_eq!(load(&overrides, crate::config::DefaultFile::Ignored).unwrap().config.rules.policies.len(), 1);
        fs::write(&path, "allow = []\n").unwrap();
        let refused = Lesson::begin(path, None, None).err().unwrap();
        assert!(refused.is::<UsageError>() && refused.to_string().contains("was not learned"), "{refused}");
    }

    #[test]
    fn every_format_is_known_again_and_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let row = || Row { count: 3, first: https("ok.test") };
        let totals = || Totals { allowed: Rows { rows: vec![row()], more: 0 }, ..Totals::default() };
        let learn = |name: &str, to: Option<To>| {
            let path = folder.path().join(name);
            for _ in 0..2 {
                let learned = Lesson::begin(path.clone(), to, None).unwrap().write(&totals(), "sh").unwrap();
                assert!(learned.lost.is_empty(), "{learned}");
            }
            fs::read_to_string(&path).unwrap()
        };
        for name in ["a.json", "a.bicep", "a.tf", "a.sh", "a.toml"] {
            let text = learn(name, None);
            assert!(text.contains("ok.test") && text.contains(MARK), "{text}");
        }
        for (name, to) in [("b.arm", To::Arm), ("c.json", To::Json), ("d", To::Bicep)] {
            assert!(learn(name, Some(to)).contains("ok.test"), "{name}");
        }
        let refused = |text: &str| {
            let path = folder.path().join("foreign.json");
            fs::write(&path, text).unwrap();
            Lesson::begin(path, None, None).err().unwrap().to_string().contains("was not learned")
        };
        assert!(refused("{\"metadata\": {}}") && refused(&format!("x # {MARK}")));
        let v6 = seen("2001:db8::1", Protocol::Tcp, 22, Reason::NetworkRule);
        let totals = Totals { allowed: Rows { rows: vec![Row { count: 1, first: v6 }], more: 0 }, ..Totals::default() };
        let path = folder.path().join("v6.tf");
        let learned = Lesson::begin(path, None, None).unwrap().write(&totals, "sh").unwrap().to_string();
        assert!(learned.contains("IPv6 addresses are left out"), "{learned}");
    }

    /// What would block or never end is not so much as opened; of a file the mark is read and nothing behind it.
    #[test]
    fn what_is_there_before_is_looked_at_and_not_read_through() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: PathBuf| Lesson::begin(path, None, None).err().map(|error| error.to_string());
        assert!(refused(folder.path().to_owned()).unwrap().contains("is no regular file"));
        #[cfg(unix)]
        assert_eq!(refused("/dev/null".into()).unwrap(), "--learn: `/dev/null` is no regular file");
        let path = folder.path().join("egret.toml");
        fs::write(&path, [b"# ", MARK.as_bytes(), b"\xff\xff"].concat()).unwrap();
        assert_eq!(refused(path.clone()), None);
        fs::write(&path, &MARK[1..]).unwrap();
        assert!(refused(path).unwrap().contains("was not learned"));
    }

    #[test]
    fn everything_is_permitted_and_names_are_asked_for_where_they_are_seen() {
        let rules = permit_everything(&RuleSet::default()).unwrap();
        let policy = crate::policy::Policy::compile(std::sync::Arc::new(rules), crate::policy::PrivateAddresses::Allow);
        let decide = |host: &str, protocol, port| {
            let host = Host::parse(host).unwrap();
            policy.decide(&crate::policy::Query::new(None, protocol, &host, port)).reason
        };
        assert_eq!(decide("ok.test", Protocol::Https, 443), Reason::ApplicationRule);
        assert_eq!(decide("ok.test", Protocol::Http, 80), Reason::ApplicationRule);
        assert_eq!(decide("ok.test", Protocol::Mssql, 1433), Reason::ApplicationRule);
        assert_eq!(decide("192.0.2.1", Protocol::Tcp, 443), Reason::ProtoNotAllowed);
        for port in [1, 22, 81, 442, 444, 1432, 1434, 8443, 65535] {
            assert_eq!(decide("192.0.2.1", Protocol::Tcp, port), Reason::NetworkRule, "{port}");
            assert_eq!(decide("192.0.2.1", Protocol::Udp, port), Reason::NetworkRule, "{port}");
        }
        assert_eq!(decide("192.0.2.1", Protocol::Icmp, 0), Reason::NetworkRule);
        assert_eq!(decide("127.0.0.1", Protocol::Tcp, 22), Reason::InternalAddress);
    }
}
