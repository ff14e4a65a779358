//! What `serve` says first: which policy, from which lists, where it listens, what to try.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::output::{HINT, Printer, STRONG};
use crate::config::{CheckTarget, Config, Enforce, LogSink, LogTarget, PolicySource, SourceOrigin};
use crate::flow::{HostName, Protocol, Verdict};
use crate::policy::{AnyRule, FqdnPattern, Policy, Query, in_order};
use crate::telemetry::Printable;
use crate::vnet::{Network, Topology};

/// Something that the policy allows, and something that it denies, if there is such a thing.
pub(super) struct Tries {
    allowed: Option<String>,
    denied: Option<&'static str>,
}

const WELL_KNOWN: &str = "https://login.windows.net/";
const FOREIGN: &str = "http://example.com/";

impl Tries {
    pub(super) fn new(policy: &Policy) -> Tries {
        let is = |url: &str, verdict| {
            CheckTarget::parse(url).is_ok_and(|target| {
                let query = Query { path: Some("/"), ..Query::new(None, target.protocol, &target.host, target.port) };
                policy.decide(&query).verdict == verdict
            })
        };
        let allowed = std::iter::once(WELL_KNOWN.to_owned()).chain(named(policy));
        Tries {
            allowed: allowed.into_iter().find(|url| is(url, Verdict::Allow)),
            denied: Some(FOREIGN).filter(|url| is(url, Verdict::Deny)),
        }
    }
}

/// The first names that HTTPS rules spell out.
fn named(policy: &Policy) -> Vec<String> {
    let rules = in_order(policy.rules()).into_iter().filter_map(|ordered| match ordered.rule {
        AnyRule::Application(_, rule) => Some(rule),
        _ => None,
    });
    let urls = rules.filter_map(|rule| {
        let protocol = rule.protocols.iter().find(|protocol| protocol.protocol == Protocol::Https)?;
        let name = rule.fqdns.iter().find_map(|pattern| match pattern {
            FqdnPattern::Exact(name) => Some(name.clone()),
            FqdnPattern::Subdomains(parent) => HostName::parse(&format!("www.{parent}")).ok(),
            _ => None,
        })?;
        let port = if protocol.port == 443 { String::new() } else { format!(":{}", protocol.port) };
        Some(format!("https://{name}{port}/"))
    });
    urls.take(16).collect()
}

/// Where Egret listens, by front-end.
pub(super) struct Listening {
    pub(super) explicit: Vec<SocketAddr>,
    pub(super) gateway: Vec<SocketAddr>,
    pub(super) dns: Vec<SocketAddr>,
}

impl Listening {
    /// In the order of the port file.
    pub(super) fn all(&self) -> Vec<SocketAddr> {
        [self.explicit.as_slice(), &self.gateway, &self.dns].concat()
    }
}

pub(super) fn show(
    config: &Config,
    addrs: &Listening,
    admin: Option<SocketAddr>,
    tries: &Tries,
    printer: &mut Printer,
) {
    let version = env!("CARGO_PKG_VERSION");
    printer.tell(&format!("{STRONG}egret {version}{STRONG:#}, profile {}\n", config.profile.as_str()));
    config.sources.iter().for_each(|source| show_source(source, printer));
    if config.sources.is_empty() {
        printer.tell("policy   none: everything is denied");
    }
    if let [PolicySource { origin: SourceOrigin::CommandLine, .. }] = config.sources.as_slice() {
        printer.warn("only what is allowed here: add --policy ase to keep the built-in policy");
    }
    if let Some(network) = &config.network {
        show_network(config, network, printer);
    }
    for addr in &addrs.explicit {
        printer.tell(&format!("proxy    http://{addr}   HTTP, CONNECT and SOCKS5; /proxy.pac"));
    }
    for addr in &addrs.gateway {
        printer.tell(&format!("gateway  {addr}   what the kernel hands over"));
    }
    for addr in &addrs.dns {
        printer.tell(&format!("dns      {addr}   UDP and TCP"));
    }
    match admin {
        Some(addr) => printer.tell(&format!("admin    http://{addr}   /healthz /readyz /metrics /v1/policy /v1/flows")),
        None => printer.tell("admin    off"),
    }
    for LogSink { target, format: _ } in &config.log.sinks {
        match target {
            LogTarget::Stdout => printer.tell("log      standard output"),
            LogTarget::File(path) => printer.tell(&format!("log      {}", path.display())),
        }
    }
    if let Some(addr) = addrs.explicit.first() {
        show_tries(config, *addr, tries, printer);
    }
}

fn show_source(source: &PolicySource, printer: &mut Printer) {
    let PolicySource { name, origin, summary } = source;
    let is_default = *origin == SourceOrigin::Default;
    let origin = match origin {
        SourceOrigin::Builtin | SourceOrigin::Default => "built-in".to_owned(),
        SourceOrigin::CommandLine => "command line".to_owned(),
        SourceOrigin::File(path) => path.display().to_string(),
    };
    printer.tell(&format!("policy   {STRONG}{}{STRONG:#} ({})", Printable(name), Printable(&origin)));
    for line in summary {
        printer.tell(&format!("           {}", Printable(line)));
    }
    if is_default {
        printer.tell(&format!("           {HINT}default; keep it with --policy ase when you add --allow{HINT:#}"));
    }
}

fn show_network(config: &Config, network: &Network, printer: &mut Printer) {
    let Topology { virtual_networks, security_groups, route_tables, environments, .. } = network.topology();
    let names: Vec<String> = virtual_networks.iter().map(|it| Printable(&it.name).to_string()).collect();
    let counted = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let subnets = virtual_networks.iter().map(|it| it.subnets.len()).sum();
    let counts = [
        counted(subnets, "subnet"),
        counted(security_groups.len(), "security group"),
        counted(route_tables.len(), "route table"),
        counted(environments.len(), "App Service Environment"),
    ];
    printer.tell(&format!("network  {STRONG}{}{STRONG:#}", names.join(", ")));
    printer.tell(&format!("           {}", counts.join(", ")));
    let met = match (config.enforce, network.client_subnet()) {
        (Enforce::None, _) => "enforced for nobody: --enforce all".to_owned(),
        (Enforce::Gateway, _) => "enforced for clients of its subnets that come in by the gateway or by DNS".to_owned(),
        (Enforce::All, None) => "enforced for clients of its subnets".to_owned(),
        (Enforce::All, Some(place)) => {
            let subnet = Printable(&network.subnet(place).name);
            format!("enforced for clients of its subnets; all others count as being in {subnet}")
        }
    };
    printer.tell(&format!("           {met}"));
}

/// Where only this machine is a client, and this machine is in no subnet, a topology that is there decides nothing.
pub(super) fn warn_of_strangers(config: &Config, addrs: &Listening, printer: &mut Printer) {
    let Some(network) = config.enforced_network().filter(|_| config.enforce == Enforce::All) else { return };
    let is_stranger = |addr: &SocketAddr| addr.ip().is_loopback() && network.place_of(addr.ip()).is_none();
    let by_proxy_alone = addrs.gateway.is_empty() && !addrs.explicit.is_empty();
    if !by_proxy_alone || network.client_subnet().is_some() || !addrs.explicit.iter().all(is_stranger) {
        return;
    }
    let environments = network.topology().environments.iter().map(|it| it.subnet.as_str());
    let subnets = network.topology().virtual_networks.iter().flat_map(|it| &it.subnets).map(|it| it.name.as_str());
    let subnet = environments.chain(subnets).next().unwrap_or("SUBNET");
    printer.warn(&format!(
        "clients of this machine are in no subnet of the topology, and only this machine can connect: no security group \
         and no route decides for them; put them in one by --client-subnet {}",
        Printable(subnet)
    ));
}

fn show_tries(config: &Config, addr: SocketAddr, tries: &Tries, printer: &mut Printer) {
    let Tries { allowed, denied } = tries;
    let user = config.proxy.credentials.as_ref();
    let user = user.map(|it| format!("--proxy-user {}:… ", Printable(&it.user))).unwrap_or_default();
    let curl = format!("  curl -x http://{} {user}", reachable(addr));
    printer.tell("\ntry");
    if let Some(url) = allowed {
        printer.tell(&format!("{curl}{url:<28} {HINT}# allowed{HINT:#}"));
    }
    if let Some(url) = denied {
        printer.tell(&format!("{curl}{url:<28} {HINT}# denied{HINT:#}"));
    }
    printer.tell("Ctrl-C stops it.\n");
}

/// Where a client of this machine finds a listener on every address.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

pub(super) fn ready(addrs: &Listening, printer: &mut Printer) {
    let addrs: Vec<String> = addrs.all().iter().map(ToString::to_string).collect();
    printer.tell(&format!("ready: listening on {}", addrs.join(", ")));
}
