//! What is recorded: one struct a kind of record, plain data, already safe to print.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::flow::{Authority, ClientAddr, Host, HostName, Profile, Protocol, Reason, Verdict, Via};
use crate::policy::RuleName;

/// One start of the process: eight hexadecimal digits, drawn at random.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunId(Arc<str>);

impl RunId {
    pub fn random() -> RunId {
        let [a, b, c, d, ..] = RandomState::new().hash_one(std::process::id()).to_be_bytes();
        RunId::from_bits(u32::from_be_bytes([a, b, c, d]))
    }

    pub fn from_bits(bits: u32) -> RunId {
        RunId(format!("{bits:08x}").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text from the network that may be anything, as printable ASCII without blanks.
///
/// Every other byte is written `\xNN`, a backslash `\\`. So no record can be forged, split or coloured by a
/// name, whatever the format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escaped(Box<str>);

impl Escaped {
    /// A name that is no name, cut after 255 bytes.
    pub fn name(raw: &[u8]) -> Escaped {
        Escaped::up_to(raw, 255)
    }

    /// Host and path of a URL, cut at the query (which may hold secrets) or after 2048 bytes.
    pub fn url(host_and_path: &str) -> Escaped {
        let before_query = host_and_path.split(['?', '#']).next().unwrap_or_default();
        Escaped::up_to(before_query.as_bytes(), 2048)
    }

    fn up_to(raw: &[u8], limit: usize) -> Escaped {
        use fmt::Write;
        let kept = raw.get(..limit).unwrap_or(raw);
        let is_plain = |byte: &u8| matches!(byte, 0x21..=0x7e) && *byte != b'\\';
        if let Ok(plain) = str::from_utf8(raw)
            && raw.len() <= limit
            && raw.iter().all(is_plain)
        {
            return Escaped(plain.into());
        }
        let mut text = String::with_capacity(kept.len());
        for byte in kept {
            match byte {
                b'\\' => text.push_str("\\\\"),
                0x21..=0x7e => text.push(char::from(*byte)),
                _ => write!(text, "\\x{byte:02x}").expect("writing to a String cannot fail"),
            }
        }
        if kept.len() < raw.len() {
            text.push_str("...");
        }
        Escaped(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A host or name as it was seen: understood, or kept escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen<T> {
    Valid(T),
    Raw(Escaped),
}

impl<T> From<T> for Seen<T> {
    fn from(valid: T) -> Seen<T> {
        Seen::Valid(valid)
    }
}

impl<T: fmt::Display> fmt::Display for Seen<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seen::Valid(valid) => valid.fmt(f),
            Seen::Raw(raw) => f.write_str(raw.as_str()),
        }
    }
}

/// One decision, at the moment it was made.
///
/// A flow that went past the firewall is counted as bypassed. Unless a topology says so, it is not written and has no
/// [`CloseRecord`]; and Azure Firewall's own formats never have it, nor what was denied before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRecord {
    pub ts: Timestamp,
    /// Unique within a run; the close record carries it again.
    pub flow: u64,
    pub via: Via,
    pub client: ClientAddr,
    pub protocol: Protocol,
    /// What the client asked for.
    pub host: Option<Seen<Host>>,
    pub port: u16,
    pub sni: Option<Seen<HostName>>,
    /// The address that is dialled, where it is known.
    pub dst: Option<SocketAddr>,
    pub verdict: Verdict,
    pub reason: Reason,
    pub rule: Option<Arc<RuleName>>,
    pub profile: Profile,
    pub policy_hash: Arc<str>,
    /// Plain HTTP only, and only written in Azure's formats.
    pub url: Option<Escaped>,
    /// What threat intelligence knows of it.
    pub threat: Option<Box<KnownThreat>>,
    /// What the network around the firewall made of it, where the client is in a subnet of a topology.
    pub network: Option<Arc<Surroundings>>,
}

/// Security groups and route of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// `/subscriptions/S/resourceGroups/G`
    pub scope: Arc<str>,
    /// `westus2`; may be empty.
    pub location: Arc<str>,
    /// At the client. None where it is in no subnet: then a DNAT rule leads its flow to one.
    pub outbound: Option<Secured>,
    /// None where a group denied before, or where there is none.
    pub route: Option<RouteTaken>,
    /// At the destination, where that is in a subnet too and the flow came so far.
    pub inbound: Option<Secured>,
    /// What the firewall let through that a group behind it denied.
    pub passed: Option<Passed>,
}

/// By what the firewall allowed a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    pub reason: Reason,
    pub rule: Option<Arc<RuleName>>,
}

/// What the security groups of one subnet said of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    pub virtual_network: Arc<str>,
    pub subnet: Arc<str>,
    /// As the groups see them.
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub access: Verdict,
    pub by: SecuredBy,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecuredBy {
    /// There is no group.
    Nobody,
    /// The platform's own traffic, which no group filters.
    Platform,
    /// Of the group that denied, or of the last that allowed.
    Rule(SecurityRuleName),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecurityRuleName {
    pub group: Arc<str>,
    pub rule: Arc<str>,
    pub is_default: bool,
}

/// A route by what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTaken {
    /// As Azure spells it, such as `VirtualAppliance`.
    pub next_hop: &'static str,
    pub prefix: IpNet,
    /// Of a user-defined route; empty for others.
    pub name: Arc<str>,
}

impl Surroundings {
    /// What decided before the firewall, or instead of it: the rule of a group, or a route.
    pub fn because(&self, reason: Reason) -> Option<String> {
        match reason {
            Reason::NsgDenied => self.denied_by().map(ToString::to_string),
            reason if reason.is_past_firewall() || reason == Reason::NoRoute => {
                self.route.as_ref().map(ToString::to_string)
            }
            _ => None,
        }
    }

    /// The group and rule that denied it.
    pub fn denied_by(&self) -> Option<&SecurityRuleName> {
        let denied = self.outbound.iter().chain(&self.inbound).find(|it| it.access == Verdict::Deny)?;
        match &denied.by {
            SecuredBy::Rule(rule) => Some(rule),
            SecuredBy::Nobody | SecuredBy::Platform => None,
        }
    }
}

impl fmt::Display for RouteTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RouteTaken { next_hop, prefix, name } = self;
        write!(f, "{prefix} to {next_hop}")?;
        if name.is_empty() { Ok(()) } else { write!(f, " by {name}") }
    }
}

impl fmt::Display for SecurityRuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.rule)
    }
}

/// The indicator that a flow met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownThreat {
    pub indicator: Box<str>,
    pub description: Arc<str>,
}

impl FlowRecord {
    /// Whose flow it is for the network around the firewall: a client of no subnet may count as a machine of one.
    pub fn counted_as(&self) -> IpAddr {
        let outbound = self.network.as_ref().and_then(|network| network.outbound.as_ref());
        outbound.map_or(self.client.ip(), |outbound| outbound.source.ip())
    }

    pub fn bypassed(&self) -> bool {
        self.reason.is_past_firewall()
    }

    /// True for what no log has: it never met the firewall, and there is no topology that says what it met.
    pub fn is_unwritten(&self) -> bool {
        self.bypassed() && self.network.is_none()
    }

    /// What threat intelligence made of a flow that it knows: what else denied it is not its doing.
    pub fn threat_action(&self) -> &'static str {
        if self.reason == Reason::ThreatIntel { "deny" } else { "alert" }
    }

    /// The flag that would have allowed a denied flow; None where no flag would.
    pub fn mend(&self) -> Option<String> {
        if self.verdict == Verdict::Allow {
            return None;
        }
        let host = match &self.host {
            Some(Seen::Valid(host)) => host.clone(),
            Some(Seen::Raw(_)) => return None,
            None => Host::Addr(self.dst?.ip()),
        };
        match self.reason {
            Reason::NotAllowed | Reason::DeniedByRule if self.protocol == Protocol::Icmp => {
                Some(format!("--allow icmp://{}", bracketed_host(&host)))
            }
            Reason::NotAllowed | Reason::DeniedByRule | Reason::PortNotAllowed | Reason::ProtoNotAllowed => {
                let scheme = self.scheme(&host)?;
                Some(format!("--allow {scheme}://{}", Authority { host, port: self.port }))
            }
            // A flow that is not looked into needs no ClientHello: a network rule's.
            Reason::MissingSni | Reason::NotTls | Reason::NotTds => Some(self.as_it_is(host)),
            // On the gateway that may be another protocol, or one whose server speaks first.
            Reason::HelloTimeout | Reason::BadRequest if self.via == Via::Gateway => Some(self.as_it_is(host)),
            // By which protocol it would be reached, DNS does not say: a bare name is for HTTP and HTTPS.
            Reason::DnsNotAllowed => Some(format!("--allow {host}")),
            Reason::InternalAddress => match host {
                Host::Name(name) => Some(format!("--resolve {name}:{}", bracketed(self.dst?.ip()))),
                Host::Addr(_) => None,
            },
            _ => None,
        }
    }

    /// Without looking into it.
    fn as_it_is(&self, host: Host) -> String {
        format!("--allow tcp://{}", Authority { host, port: self.port })
    }

    /// Application rules name hosts: an address is allowed by a network rule.
    fn scheme(&self, host: &Host) -> Option<&'static str> {
        match (self.protocol, host) {
            (Protocol::Udp, _) => Some("udp"),
            (Protocol::Icmp | Protocol::Other, _) => None,
            (Protocol::Tcp, _) | (_, Host::Addr(_)) => Some("tcp"),
            (protocol, Host::Name(_)) => Some(protocol.as_str()),
        }
    }
}

fn bracketed_host(host: &Host) -> String {
    match host {
        Host::Name(name) => name.to_string(),
        Host::Addr(addr) => bracketed(*addr),
    }
}

fn bracketed(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(addr) => addr.to_string(),
        IpAddr::V6(addr) => format!("[{addr}]"),
    }
}

/// The end of an allowed flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseRecord {
    pub ts: Timestamp,
    pub flow: u64,
    /// Bytes from the client to the origin.
    pub bytes_up: u64,
    pub bytes_down: u64,
    /// Of request and answer in plain HTTP, up and down, where a flow log of a network is written: beside those above.
    pub heads: [u64; 2],
    pub duration: Duration,
    pub closed_by: ClosedBy,
    pub why: CloseWhy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedBy {
    Client,
    Origin,
    Egret,
}

impl ClosedBy {
    pub fn as_str(self) -> &'static str {
        match self {
            ClosedBy::Client => "client",
            ClosedBy::Origin => "origin",
            ClosedBy::Egret => "egret",
        }
    }
}

/// How a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseWhy {
    /// Both sides said all they had to say.
    Eof,
    Reset,
    IdleTimeout,
    /// Egret is going down and the drain's deadline passed.
    Shutdown,
    /// It was denied after all, or its upstream failed.
    Reason(Reason),
}

impl CloseWhy {
    pub fn as_str(self) -> &'static str {
        match self {
            CloseWhy::Eof => "eof",
            CloseWhy::Reset => "reset",
            CloseWhy::IdleTimeout => "idle-timeout",
            CloseWhy::Shutdown => "shutdown",
            CloseWhy::Reason(reason) => reason.as_str(),
        }
    }
}

/// The first record of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRecord {
    pub ts: Timestamp,
    pub version: &'static str,
    /// The names of the policies in force, in the order of their precedence.
    pub policies: Vec<Arc<str>>,
    pub policy_hash: Arc<str>,
    pub config_digest: Arc<str>,
}

/// A question that the DNS proxy was asked, with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsRecord {
    pub ts: Timestamp,
    pub client: ClientAddr,
    pub transport: Transport,
    /// Of the message.
    pub id: u16,
    /// With its trailing dot, in the case in which it was asked.
    pub name: Escaped,
    /// `AAAA`
    pub kind: Cow<'static, str>,
    /// `IN`
    pub class: Cow<'static, str>,
    pub request_bytes: usize,
    pub dnssec_ok: bool,
    /// Bytes that the client can take in a datagram.
    pub buffer_bytes: u16,
    /// `NOERROR`
    pub code: &'static str,
    /// `qr,rd,ra`
    pub flags: Cow<'static, str>,
    pub response_bytes: usize,
    pub duration: Duration,
    /// Why there is no answer of a server.
    pub error: Option<Box<str>>,
}

/// What carries a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

/// A name of a network or DNAT rule that does not resolve. Written when it begins, and not again until it did resolve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FqdnFailureRecord {
    pub ts: Timestamp,
    pub fqdn: HostName,
    /// The name server that was asked last, where one was.
    pub server: Option<SocketAddr>,
    pub error: Box<str>,
    /// Those that have the name.
    pub rules: Vec<Arc<RuleName>>,
}

/// A flow that moved much since it was last looked at. In Azure's tables only, and not numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FatFlowRecord {
    pub ts: Timestamp,
    pub client: ClientAddr,
    pub protocol: Protocol,
    pub dst: SocketAddr,
    /// Both ways together.
    pub bits_per_second: u64,
}

/// How far an allowed flow is. In flow logs of networks only, and not numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressRecord {
    pub ts: Timestamp,
    pub flow: u64,
    /// So far.
    pub bytes_up: u64,
    pub bytes_down: u64,
}

/// A reload that was asked for, done or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadRecord {
    pub ts: Timestamp,
    /// Of the policy in force from now on: the old one's where the reload was refused.
    pub policy_hash: Arc<str>,
    /// Why the old policy stays in force; None where the reload succeeded.
    pub error: Option<Box<str>>,
}

/// What became of an App Service Environment: its state changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentRecord {
    pub ts: Timestamp,
    pub name: Arc<str>,
    /// Its resource id, for Azure's formats.
    pub id: Arc<str>,
    pub state: EnvironmentState,
    pub why: EnvironmentWhy,
    /// What it cannot reach, as far as that matters; not all where there are many.
    pub unreachable: Vec<Arc<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EnvironmentState {
    #[default]
    Healthy,
    Unhealthy,
    Suspended,
}

impl EnvironmentState {
    pub fn as_str(self) -> &'static str {
        match self {
            EnvironmentState::Healthy => "healthy",
            EnvironmentState::Unhealthy => "unhealthy",
            EnvironmentState::Suspended => "suspended",
        }
    }
}

/// What changed a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentWhy {
    /// What it depends on is denied, or is again not.
    Dependencies,
    /// Somebody asked for it, by the API.
    Asked,
}

impl EnvironmentWhy {
    pub fn as_str(self) -> &'static str {
        match self {
            EnvironmentWhy::Dependencies => "dependencies",
            EnvironmentWhy::Asked => "asked",
        }
    }
}

/// Everything that callers record. The start and end records are the log's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Flow(FlowRecord),
    Close(CloseRecord),
    Dns(DnsRecord),
    Environment(EnvironmentRecord),
    FqdnFailure(FqdnFailureRecord),
    FatFlow(FatFlowRecord),
    Progress(ProgressRecord),
    Reload(ReloadRecord),
}

/// What the end record says of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counts {
    pub allowed: u64,
    pub denied: u64,
    /// Flows that a service endpoint took past the firewall.
    pub bypassed: u64,
    pub closed: u64,
    pub reloads: u64,
    /// Records that a sink could not write; one lost by two sinks counts twice.
    pub lost: u64,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::policy::{RuleCategories, RuleKind};

    /// A denied CONNECT to `evil.test:443`.
    pub(crate) fn denied() -> FlowRecord {
        FlowRecord {
            ts: "2026-11-21T21:14:03.5Z".parse().unwrap(),
            flow: 7,
            via: Via::Connect,
            client: ClientAddr::new("127.0.0.1:51000".parse().unwrap()),
            protocol: Protocol::Https,
            host: Some(Host::parse("evil.test").unwrap().into()),
            port: 443,
            sni: None,
            dst: None,
            verdict: Verdict::Deny,
            reason: Reason::NotAllowed,
            rule: None,
            profile: Profile::Azure,
            policy_hash: "c0ffee".into(),
            url: None,
            threat: None,
            network: None,
        }
    }

    pub(crate) fn rule(kind: RuleKind, collection: &str, rule: &str) -> RuleName {
        RuleName {
            policy: "lab".into(),
            group: "group".into(),
            collection: collection.into(),
            rule: rule.into(),
            kind,
            categories: RuleCategories::default(),
        }
    }

    /// The same client's CONNECT to `ok.test:443`, allowed by an application rule.
    pub(crate) fn allowed() -> FlowRecord {
        let rule = rule(RuleKind::Application, "web", "allow ok");
        FlowRecord {
            host: Some(Host::parse("ok.test").unwrap().into()),
            sni: Some(HostName::parse("ok.test").unwrap().into()),
            dst: Some("192.0.2.7:443".parse().unwrap()),
            verdict: Verdict::Allow,
            reason: Reason::ApplicationRule,
            rule: Some(Arc::new(rule)),
            ..denied()
        }
    }

    /// The same, of which threat intelligence knows.
    pub(crate) fn alerted() -> FlowRecord {
        let threat = KnownThreat { indicator: "*.test".into(), description: "a botnet".into() };
        FlowRecord { threat: Some(Box::new(threat)), ..allowed() }
    }

    /// A flow of the worked set-up that the group of another subnet denies.
    pub(crate) fn crossed() -> FlowRecord {
        let (source, destination) = ("192.168.251.140:51000".parse().unwrap(), "192.168.7.4:5432".parse().unwrap());
        let secured = |subnet: &str, access, group: &str, rule: &str, is_default| Secured {
            virtual_network: "ase-vnet".into(),
            subnet: subnet.into(),
            source,
            destination,
            access,
            by: SecuredBy::Rule(SecurityRuleName { group: group.into(), rule: rule.into(), is_default }),
        };
        let network = Surroundings {
            scope: "/subscriptions/s/resourceGroups/g".into(),
            location: "westus2".into(),
            outbound: Some(secured("ase-subnet", Verdict::Allow, "ase-nsg", "vnet", false)),
            route: Some(RouteTaken {
                next_hop: "VnetLocal",
                prefix: "192.168.0.0/16".parse().unwrap(),
                name: "".into(),
            }),
            inbound: Some(secured("data", Verdict::Deny, "data-nsg", "DenyAllInBound", true)),
            passed: None,
        };
        FlowRecord {
            via: Via::Gateway,
            client: ClientAddr::new(source),
            protocol: Protocol::Tcp,
            host: Some(Host::Addr(destination.ip()).into()),
            port: destination.port(),
            reason: Reason::NsgDenied,
            network: Some(Arc::new(network)),
            ..denied()
        }
    }

    pub(crate) fn closed() -> CloseRecord {
        CloseRecord {
            ts: "2026-11-21T21:14:05Z".parse().unwrap(),
            flow: 7,
            bytes_up: 517,
            bytes_down: 12_000,
            heads: [0, 0],
            duration: Duration::from_micros(1_500_250),
            closed_by: ClosedBy::Origin,
            why: CloseWhy::Eof,
        }
    }

    pub(crate) fn asked() -> DnsRecord {
        DnsRecord {
            ts: "2026-11-21T21:14:04Z".parse().unwrap(),
            client: ClientAddr::new("10.12.3.5:7943".parse().unwrap()),
            transport: Transport::Udp,
            id: 8951,
            name: Escaped::name(b"ok.test."),
            kind: "AAAA".into(),
            class: "IN".into(),
            request_bytes: 58,
            dnssec_ok: false,
            buffer_bytes: 512,
            code: "NOERROR",
            flags: "qr,rd,ra".into(),
            response_bytes: 135,
            duration: Duration::from_nanos(4_987_569),
            error: None,
        }
    }

    pub(crate) fn unanswered() -> DnsRecord {
        DnsRecord { code: "SERVFAIL", error: Some("no answer in time".into()), ..asked() }
    }

    pub(crate) fn fqdn_failure() -> FqdnFailureRecord {
        let fqdn = HostName::parse("git.test").unwrap();
        let rules = vec![Arc::new(rule(RuleKind::Network, "net", "allow git"))];
        let server = Some("192.0.2.53:53".parse().unwrap());
        FqdnFailureRecord { ts: asked().ts, fqdn, server, error: "no answer in time".into(), rules }
    }

    pub(crate) fn environment() -> EnvironmentRecord {
        EnvironmentRecord {
            ts: asked().ts,
            name: "ase".into(),
            id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/hostingEnvironments/ase".into(),
            state: EnvironmentState::Unhealthy,
            why: EnvironmentWhy::Dependencies,
            unreachable: vec!["login.windows.net:443".into()],
        }
    }

    pub(crate) fn start() -> StartRecord {
        StartRecord {
            ts: "2026-11-21T21:14:00Z".parse().unwrap(),
            version: "0.1.0",
            policies: vec!["command-line".into(), "lab".into()],
            policy_hash: "c0ffee".into(),
            config_digest: "d1ce57".into(),
        }
    }

    #[test]
    fn hostile_names_become_printable() {
        assert_eq!(Escaped::name(b"a\n\x1b[31m b\\\xff").as_str(), "a\\x0a\\x1b[31m\\x20b\\\\\\xff");
        assert_eq!(Escaped::name(&[b'a'; 300]).as_str().len(), 255 + "...".len());
        assert_eq!(Escaped::url("ok.test/a?token=secret").as_str(), "ok.test/a");
        assert_eq!(Escaped::url("ok.test/a#f").as_str(), "ok.test/a");
    }

    #[test]
    fn a_denial_names_the_flag_that_would_allow_it() {
        let check = |record: FlowRecord, expected: Option<&str>| assert_eq!(record.mend().as_deref(), expected);
        check(denied(), Some("--allow https://evil.test:443"));
        check(allowed(), None);
        check(FlowRecord { protocol: Protocol::Tcp, port: 22, ..denied() }, Some("--allow tcp://evil.test:22"));
        check(FlowRecord { host: None, dst: allowed().dst, ..denied() }, Some("--allow tcp://192.0.2.7:443"));
        check(FlowRecord { reason: Reason::NotTls, ..denied() }, Some("--allow tcp://evil.test:443"));
        let echo = |host: &str| {
            let host = Host::Addr(host.parse().unwrap());
            FlowRecord { protocol: Protocol::Icmp, host: Some(Seen::Valid(host)), port: 0, ..denied() }
        };
        check(echo("192.0.2.7"), Some("--allow icmp://192.0.2.7"));
        check(echo("2001:db8::7"), Some("--allow icmp://[2001:db8::7]"));
        for reason in [Reason::HelloTimeout, Reason::BadRequest] {
            let silent = FlowRecord { reason, via: Via::Gateway, host: None, dst: allowed().dst, ..denied() };
            check(silent, Some("--allow tcp://192.0.2.7:443"));
            check(FlowRecord { reason, ..denied() }, None);
        }
        check(FlowRecord { reason: Reason::SniConnectMismatch, ..denied() }, None);
        check(FlowRecord { host: Some(Seen::Raw(Escaped::name(b"x\n"))), ..denied() }, None);
        let internal = FlowRecord { reason: Reason::InternalAddress, ..denied() };
        check(
            FlowRecord { dst: Some("10.0.0.1:443".parse().unwrap()), ..internal.clone() },
            Some("--resolve evil.test:10.0.0.1"),
        );
        check(internal, None);
        let asked = FlowRecord { via: Via::Dns, port: 0, reason: Reason::DnsNotAllowed, ..denied() };
        check(asked, Some("--allow evil.test"));
    }

    #[test]
    fn runs_differ() {
        assert_ne!(RunId::random(), RunId::random());
        assert_eq!(RunId::from_bits(0xab).as_str(), "000000ab");
    }
}
