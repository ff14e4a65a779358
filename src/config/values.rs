//! Single values as people write them: words, durations, addresses, overrides, protocols.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use crate::azure::category::Category;
use crate::flow::{Host, HostName, Profile, Protocol, nearest, parse_port};
use crate::policy::{Action, AppProtocol, DnatDeny, IpProtocols, PrivateAddresses, ThreatMode};

use super::error::Problem;
use super::options::quoted;
use super::resolved::{
    ConnectTo, Credentials, DeniedTcp, DeniedUdp, DnsMode, EchMode, Enforce, ForwardedFor, HandOver, HostWithoutPort,
    KernelRules, LogFormat, LogTarget, OnLogError, ResolveOverride, Rewrite, Snat,
};

/// Words with what they mean.
pub(super) type Words<T> = &'static [(&'static str, T)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceEndpoints {
    /// Those of the built-in policies in use.
    Auto,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RuleType {
    Network,
    Application,
    Dnat,
}

/// The action of a collection, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrittenAction {
    Verdict(Action),
    Dnat,
}

pub(super) const SERVICE_ENDPOINTS: Words<ServiceEndpoints> =
    &[("auto", ServiceEndpoints::Auto), ("none", ServiceEndpoints::None)];
pub(super) const PROFILES: Words<Profile> = &[("azure", Profile::Azure), ("strict", Profile::Strict)];
pub(super) const PRIVATE_ADDRESSES: Words<PrivateAddresses> =
    &[("allow", PrivateAddresses::Allow), ("deny", PrivateAddresses::Deny)];
pub(super) const ENFORCES: Words<Enforce> =
    &[("all", Enforce::All), ("gateway", Enforce::Gateway), ("none", Enforce::None)];
pub(super) const ECH_MODES: Words<EchMode> = &[("deny", EchMode::Deny), ("allow-outer", EchMode::AllowOuter)];
pub(super) const FORWARDED_FOR: Words<ForwardedFor> =
    &[("append", ForwardedFor::Append), ("replace", ForwardedFor::Replace)];
pub(super) const REWRITES: Words<Rewrite> = &[("minimal", Rewrite::Minimal), ("azure", Rewrite::Azure)];
pub(super) const SNATS: Words<Snat> = &[("policy", Snat::Policy), ("always", Snat::Always)];
pub(super) const HAND_OVERS: Words<HandOver> = &[("tproxy", HandOver::Tproxy), ("redirect", HandOver::Redirect)];
pub(super) const KERNEL_RULES: Words<KernelRules> = &[("manage", KernelRules::Manage), ("leave", KernelRules::Leave)];
pub(super) const DENIED_TCP: Words<DeniedTcp> = &[("silence", DeniedTcp::Silence), ("reset", DeniedTcp::Reset)];
pub(super) const DENIED_UDP: Words<DeniedUdp> = &[("drop", DeniedUdp::Drop), ("unreachable", DeniedUdp::Unreachable)];
pub(super) const HOSTS_WITHOUT_PORT: Words<HostWithoutPort> =
    &[("port-80", HostWithoutPort::Port80), ("any", HostWithoutPort::Any)];
pub(super) const DNAT_DENIES: Words<DnatDeny> = &[("ignored", DnatDeny::Ignored), ("overrides", DnatDeny::Overrides)];
pub(super) const DNS_MODES: Words<DnsMode> = &[("azure", DnsMode::Azure), ("strict", DnsMode::Strict)];
pub(super) const THREAT_MODES: Words<ThreatMode> =
    &[("off", ThreatMode::Off), ("alert", ThreatMode::Alert), ("deny", ThreatMode::Deny)];
pub(super) const ON_LOG_ERROR: Words<OnLogError> = &[("serve", OnLogError::Serve), ("refuse", OnLogError::Refuse)];
pub(super) const LOG_FORMATS: Words<LogFormat> = &[
    ("auto", LogFormat::Auto),
    ("json", LogFormat::Json),
    ("text", LogFormat::Text),
    ("azure", LogFormat::Azure),
    ("azure-legacy", LogFormat::AzureLegacy),
    ("vnet-flow", LogFormat::VnetFlow),
    ("nsg-flow", LogFormat::NsgFlow),
];
pub(super) const RULE_TYPES: Words<RuleType> =
    &[("network", RuleType::Network), ("application", RuleType::Application), ("dnat", RuleType::Dnat)];
pub(super) const ACTIONS: Words<WrittenAction> = &[
    ("allow", WrittenAction::Verdict(Action::Allow)),
    ("deny", WrittenAction::Verdict(Action::Deny)),
    ("dnat", WrittenAction::Dnat),
];
const APP_PROTOCOLS: Words<Protocol> =
    &[("Http", Protocol::Http), ("Https", Protocol::Https), ("Mssql", Protocol::Mssql)];
const IP_PROTOCOLS: Words<IpProtocols> =
    &[("TCP", IpProtocols::TCP), ("UDP", IpProtocols::UDP), ("ICMP", IpProtocols::ICMP), ("Any", IpProtocols::ANY)];

/// The meaning of a word, in any letter case.
pub(super) fn pick<T: Copy>(words: Words<T>, text: &str) -> Result<T, Problem> {
    if let Some((_, value)) = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text.trim())) {
        return Ok(*value);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let mend = nearest(text, known.iter().copied()).map(|near| format!("did you mean \"{near}\"?"));
    Err(Problem::new(format!("`{text}` is not one of {}", quoted(&known))).maybe_mend(mend))
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `500ms`, `10s`, `4m`, `1h`; above zero, at most a day.
pub(super) fn duration(text: &str) -> Result<Duration, Problem> {
    let bad = || Problem::new(format!("`{text}` is no duration")).mend("write 500ms, 10s, 4m or 1h");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad()),
    };
    if number.is_empty() {
        return Err(bad());
    }
    let total = number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis)).map(Duration::from_millis);
    match total {
        Some(total) if Duration::ZERO < total && total <= DAY => Ok(total),
        _ => Err(Problem::new(format!("`{text}` is out of range: above 0, at most 24h"))),
    }
}

/// An address and a port to listen on; port 0 is any free one.
pub(super) fn listen(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| {
        let near = match text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text).parse::<u16>() {
            Ok(port) => format!("127.0.0.1:{port}"),
            Err(_) => "127.0.0.1:3128 or [::1]:3128".to_owned(),
        };
        Problem::new(format!("`{text}` is no address and port")).mend(format!("write {near}"))
    })
}

/// The admin listener; None is `off`.
pub(super) fn admin_listen(text: &str) -> Result<Option<SocketAddr>, Problem> {
    if text == "off" { Ok(None) } else { listen(text).map(Some) }
}

/// A name server, on port 53 where none is given.
pub(super) fn name_server(text: &str) -> Result<SocketAddr, Problem> {
    if let Ok(addr) = unbracketed(text).parse::<IpAddr>() {
        return Ok(SocketAddr::new(addr, 53));
    }
    text.parse().map_err(|_| {
        Problem::new(format!("`{text}` is no address of a name server")).mend("write 10.0.0.53 or 10.0.0.53:53")
    })
}

/// A network to give names addresses from: at least four addresses.
pub(super) fn synthetic(text: &str) -> Result<IpNet, Problem> {
    let mend = "write a network that nothing else uses, such as 198.18.0.0/15";
    let net: IpNet = text.parse().map_err(|_| Problem::new(format!("`{text}` is no network")).mend(mend))?;
    if net.max_prefix_len() - net.prefix_len() < 2 {
        return Err(Problem::new(format!("`{text}` is too small to give names addresses from")).mend(mend));
    }
    Ok(net.trunc())
}

fn unbracketed(text: &str) -> &str {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text)
}

/// One `--resolve`, to be read after those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ResolveEntry {
    /// Instead of what there is for the same host and port.
    Set(ResolveOverride),
    /// Nothing any more for this host and port.
    Drop { host: Option<HostName>, port: Option<u16> },
}

impl ResolveEntry {
    pub(super) fn is_for_the_same(&self, other: &ResolveEntry) -> bool {
        self.key() == other.key()
    }

    fn key(&self) -> (Option<&HostName>, Option<u16>) {
        match self {
            ResolveEntry::Set(ResolveOverride { host, port, addresses: _ }) | ResolveEntry::Drop { host, port } => {
                (host.as_ref(), *port)
            }
        }
    }
}

/// `HOST:PORT:ADDR[,ADDR]` or `HOST:ADDR[,ADDR]`, or `-HOST:PORT`. curl's `+` says that an entry may expire: here
/// none does.
pub(super) fn resolve_entry(text: &str) -> Result<ResolveEntry, Problem> {
    let Some(dropped) = text.strip_prefix('-') else {
        return resolve_override(text.strip_prefix('+').unwrap_or(text)).map(ResolveEntry::Set);
    };
    let bad = |why: String| Problem::new(format!("`{text}`: {why}")).mend("write -HOST:PORT or -HOST");
    let (host, digits) = dropped.split_once(':').map_or((dropped, None), |(host, digits)| (host, Some(digits)));
    let number = |digits| parse_port(digits).ok_or_else(|| bad(format!("`{digits}` is no port")));
    Ok(ResolveEntry::Drop { host: override_host(host, bad)?, port: digits.map(number).transpose()? })
}

fn override_host(host: &str, bad: impl Fn(String) -> Problem) -> Result<Option<HostName>, Problem> {
    match host {
        "*" => Ok(None),
        name => HostName::parse_typed(name).map(Some).map_err(|error| bad(format!("`{name}` is no host: {error}"))),
    }
}

/// What looks like a port is one, as in curl: an IPv6 address without a port before it wants brackets.
fn resolve_override(text: &str) -> Result<ResolveOverride, Problem> {
    let bad = |why: String| Problem::new(format!("`{text}`: {why}")).mend("write HOST:PORT:ADDR[,ADDR] or HOST:ADDR");
    let (host, rest) = text.split_once(':').ok_or_else(|| bad("an address is missing".to_owned()))?;
    let host = override_host(host, bad)?;
    let (port, addresses) = match rest.split_once(':') {
        Some((digits, rest)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            (Some(parse_port(digits).ok_or_else(|| bad(format!("`{digits}` is no port")))?), rest)
        }
        _ => (None, rest),
    };
    let address = |text: &str| unbracketed(text).parse().map_err(|_| bad(format!("`{text}` is no address")));
    let addresses = addresses.split(',').map(|text| address(text.trim())).collect::<Result<Vec<IpAddr>, _>>()?;
    Ok(ResolveOverride { host, port, addresses })
}

/// `HOST1:PORT1:HOST2:PORT2`, any part empty, IPv6 addresses in brackets.
pub(super) fn connect_to(text: &str) -> Result<ConnectTo, Problem> {
    let bad = |why: String| Problem::new(format!("`{text}`: {why}")).mend("write HOST1:PORT1:HOST2:PORT2");
    let parts = split_outside_brackets(text);
    let [from_host, from_port, to_host, to_port] = parts.as_slice() else {
        return Err(bad(format!("{} parts where four are wanted", parts.len())));
    };
    let host = |part: &str| match part {
        "" => Ok(None),
        part => Host::parse(part).map(Some).map_err(|error| bad(format!("`{part}` is no host: {error}"))),
    };
    let number = |part: &str| match part {
        "" => Ok(None),
        part => parse_port(part).map(Some).ok_or_else(|| bad(format!("`{part}` is no port"))),
    };
    Ok(ConnectTo {
        from_host: host(from_host)?,
        from_port: number(from_port)?,
        to_host: host(to_host)?,
        to_port: number(to_port)?,
    })
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(|c| {
        inside = (inside || c == '[') && c != ']';
        c == ':' && !inside
    })
    .collect()
}

/// `user:password`.
pub(super) fn credentials(text: &str) -> Result<Credentials, Problem> {
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() => {
            Ok(Credentials { user: user.to_owned(), password: password.to_owned() })
        }
        // The text is a secret: it is not repeated.
        _ => Err(Problem::new("no credentials").mend("write user:password")),
    }
}

/// A bearer token; blanks around it do not count.
pub(super) fn token(text: &str) -> Result<String, Problem> {
    match text.trim() {
        "" => Err(Problem::new("the token is empty")),
        token => Ok(token.to_owned()),
    }
}

/// A category of Azure's diagnostic settings. Many leave out what all of them begin with.
pub(super) fn log_category(text: &str) -> Result<Category, Problem> {
    pick(Category::WORDS, text).map_err(|problem| match pick(Category::WORDS, &format!("AZFW{text}")) {
        Ok(category) => problem.mend(format!("did you mean \"{}\"?", category.name())),
        Err(_) => problem,
    })
}

/// `stdout` or a file, relative to `folder`.
pub(super) fn log_target(text: &str, folder: &Path) -> Result<LogTarget, Problem> {
    match text {
        "" => Err(Problem::new("the log's target is empty").mend("write stdout or a file")),
        "stdout" | "-" => Ok(LogTarget::Stdout),
        file => Ok(LogTarget::File(join(folder, file))),
    }
}

pub(super) fn join(folder: &Path, file: &str) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(file) } else { folder.join(file) }
}

/// `Https:443`: the port is always written, as Azure has it.
pub(super) fn app_protocol(text: &str) -> Result<AppProtocol, Problem> {
    let (name, digits) = text.split_once(':').unwrap_or((text, ""));
    let (name, digits) = (name.trim(), digits.trim());
    let protocol = pick(APP_PROTOCOLS, name)?;
    match parse_port(digits) {
        Some(port) => Ok(AppProtocol { protocol, port }),
        None if digits.is_empty() => {
            let usual = match protocol {
                Protocol::Http => 80,
                Protocol::Mssql => 1433,
                _ => 443,
            };
            Err(Problem::new(format!("`{text}` names no port")).mend(format!("write {name}:{usual}")))
        }
        None => Err(Problem::new(format!("`{text}`: `{digits}` is no port: ports are 1 to 65535"))),
    }
}

pub(super) fn ip_protocol(text: &str) -> Result<IpProtocols, Problem> {
    pick(IP_PROTOCOLS, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [("500ms", 500), ("10s", 10_000), ("4m", 240_000), ("24h", 86_400_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "10", "s", "1.5s", "-1s", "10 s", "0s", "25h", "99999999999999999999s", "18446744073709551615h"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn resolve_overrides() {
        let shown = |text: &str| {
            resolve_override(text).ok().map(|it| (it.host.map(|host| host.to_string()), it.port, it.addresses))
        };
        let addrs = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let ok = Some("ok.test".to_owned());
        assert_eq!(shown("ok.test:443:10.0.0.1"), Some((ok.clone(), Some(443), addrs(&["10.0.0.1"]))));
        assert_eq!(shown("OK.test:10.0.0.1"), Some((ok.clone(), None, addrs(&["10.0.0.1"]))));
        assert_eq!(shown("*:443:10.0.0.1,[::1]"), Some((None, Some(443), addrs(&["10.0.0.1", "::1"]))));
        assert_eq!(shown("ok.test:443:2001:db8::1"), Some((ok.clone(), Some(443), addrs(&["2001:db8::1"]))));
        assert_eq!(shown("ok.test:[2001:db8::1]"), Some((ok, None, addrs(&["2001:db8::1"]))));
        for bad in ["", "ok.test", "ok.test:443", "ok.test:443:", "ok.test:0:1.1.1.1", "a..b:1.1.1.1", ":1.1.1.1"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
        assert_eq!(resolve_entry("+ok.test:443:10.0.0.1"), resolve_entry("ok.test:443:10.0.0.1"));
        let drop =
            |host: Option<&str>, port| ResolveEntry::Drop { host: host.map(|it| HostName::parse(it).unwrap()), port };
        assert_eq!(resolve_entry("-OK.test:443"), Ok(drop(Some("ok.test"), Some(443))));
        assert_eq!(resolve_entry("-*"), Ok(drop(None, None)));
        for bad in ["-", "+", "-ok.test:", "-ok.test:443:10.0.0.1", "++ok.test:10.0.0.1", "+-ok.test:443"] {
            assert!(resolve_entry(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn connect_tos() {
        let all = connect_to("a.test:443:[::1]:8443").unwrap();
        assert_eq!(all.to_host.unwrap().to_string(), "::1");
        assert_eq!((all.from_port, all.to_port), (Some(443), Some(8443)));
        let none = connect_to(":::").unwrap();
        assert_eq!(none, ConnectTo { from_host: None, from_port: None, to_host: None, to_port: None });
        for bad in ["", "a.test:443:b.test", "a.test:x:b.test:1", "a.test:1:::1:2", "a..b:1:b.test:2"] {
            assert!(connect_to(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn protocols_of_application_rules() {
        assert_eq!(app_protocol("https:8443").unwrap().to_string(), "https:8443");
        for bad in ["Https", "Https:", "Https:0", "Ftp:21", ""] {
            assert!(app_protocol(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_of_servers() {
        assert_eq!(name_server("10.0.0.53").unwrap().to_string(), "10.0.0.53:53");
        assert_eq!(name_server("[::1]").unwrap().to_string(), "[::1]:53");
        assert_eq!(name_server("[::1]:5353").unwrap().to_string(), "[::1]:5353");
        assert!(name_server("dns.test").is_err());
        assert_eq!(listen("3128"), Err(Problem::new("`3128` is no address and port").mend("write 127.0.0.1:3128")));
    }
}
