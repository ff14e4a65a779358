//! The configuration as the program uses it: complete, checked, without an option left open.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::azure::category::Categories;
use crate::flow::{Host, HostName, Profile};
use crate::policy::{AddressRange, DnatDeny, PrivateAddresses, RuleSet, Switches};
use crate::vnet::Network;

use super::kernel::{Interface, Mark};

/// Everything that `serve` needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    pub rules: RuleSet,
    /// What is around the firewall, where a topology is given.
    pub network: Option<Arc<Network>>,
    /// What the rules were made from, in order, for the banner and the log.
    pub sources: Vec<PolicySource>,
    pub profile: Profile,
    pub private_addresses: PrivateAddresses,
    pub enforce: Enforce,
    pub proxy: ProxyConfig,
    pub gateway: GatewayConfig,
    /// None switches the admin listener off.
    pub admin: Option<AdminConfig>,
    pub dns: DnsConfig,
    pub health: HealthConfig,
    pub log: LogConfig,
}

impl Config {
    /// What the policy is compiled with.
    pub fn switches(&self) -> Switches {
        Switches { private: self.private_addresses, dnat_deny: self.gateway.dnat_deny }
    }

    /// What is around the firewall, where some flow is to meet it.
    pub fn enforced_network(&self) -> Option<&Arc<Network>> {
        self.network.as_ref().filter(|_| self.enforce != Enforce::None)
    }
}

/// Whose flows meet what a topology says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enforce {
    /// Also those of clients that ask for a proxy, as if they went to their destinations themselves.
    #[default]
    All,
    /// Those that the kernel hands over. A client that asks for a proxy sends to the proxy alone.
    Gateway,
    /// Nobody's: the topology is for `trace`, `doctor` and the like.
    None,
}

/// One policy that takes part.
#[derive(Debug, Clone)]
pub struct PolicySource {
    pub name: String,
    pub origin: SourceOrigin,
    /// Its lists or collections with their dates and numbers of entries, for people.
    pub summary: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceOrigin {
    Builtin,
    /// Built in, and in force because nothing else was said.
    Default,
    /// Watched for changes.
    File(PathBuf),
    CommandLine,
}

#[derive(Debug, Clone)]
pub struct ProxyConfig {
    pub listen: Vec<SocketAddr>,
    /// Serve anybody who can reach a listener off loopback.
    pub open: bool,
    pub credentials: Option<Credentials>,
    /// Threads, each with a runtime and a listener of its own.
    pub workers: usize,
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// `X-Egret-Reason` and `X-Egret-Rule` on answers of Egret's own.
    pub reason_headers: bool,
    pub ech: EchMode,
    pub http: HttpConfig,
}

/// What plain HTTP looks like behind the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HttpConfig {
    pub forwarded_for: ForwardedFor,
    pub rewrite: Rewrite,
}

/// What becomes of an `X-Forwarded-For` that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedFor {
    /// It is kept, and the client's address added (azure-docs, firewall known issues, 2025).
    #[default]
    Append,
    /// The client's address stands in its place (the same page in 2023).
    Replace,
}

/// How much of requests and answers is written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rewrite {
    /// What a proxy has to.
    #[default]
    Minimal,
    /// What was observed of Azure Firewall: gzip is asked for and unpacked, headers are in its order.
    Azure,
}

/// The transparent gateway: what the kernel hands over is filtered, whether the client asked for it or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayConfig {
    /// None: there is no gateway.
    pub listen: Vec<SocketAddr>,
    pub mode: HandOver,
    pub rules: KernelRules,
    /// Those that clients come in by; empty: all.
    pub interfaces: Vec<Interface>,
    /// Filter this machine's own traffic as well.
    pub local: bool,
    pub mark: Mark,
    pub denied_tcp: DeniedTcp,
    pub denied_udp: DeniedUdp,
    pub host_without_port: HostWithoutPort,
    pub dnat_deny: DnatDeny,
    /// Destinations that see the client's own address: of flows by network rules, where the kernel hands over by
    /// TPROXY. Azure does not translate those either.
    pub keeps_client: Vec<AddressRange>,
}

/// Which destinations see the gateway's address instead of the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Snat {
    /// All but the private ranges that a policy names (`snat.privateRanges`). Where it names none, all: a lab's servers
    /// seldom have a route back to its clients.
    #[default]
    Policy,
    Always,
}

/// How the kernel hands connections over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HandOver {
    /// TCP and UDP, with the destination as the socket's own address.
    #[default]
    Tproxy,
    /// TCP, with the destination kept by connection tracking.
    Redirect,
}

/// Who sees to the nftables rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KernelRules {
    /// `egret serve` writes them when it starts and removes them when it ends.
    #[default]
    Manage,
    /// Somebody else, such as `egret gateway up`.
    Leave,
}

/// What a client sees of a denied connection on a port that is not intercepted. Its handshake is complete by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeniedTcp {
    /// Nothing, until it gives up or `timeouts.silence` is over.
    Silence,
    Reset,
}

/// What a client sees of a denied datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeniedUdp {
    Drop,
    /// ICMP: port unreachable.
    Unreachable,
}

/// The port that a Host header without one speaks of (azure-docs, rule-processing.md of 2023; the text of 2026 is
/// silent).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostWithoutPort {
    /// Port 80: on any other port the request is a mismatch and dropped.
    #[default]
    Port80,
    /// The one that was connected to.
    Any,
}

/// What becomes of a ClientHello that carries an encrypted one: the name inside cannot be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EchMode {
    #[default]
    Deny,
    /// Judge by the outer name. Browsers send a decoy of the same shape (GREASE).
    AllowOuter,
}

/// What a client has to say in `Proxy-Authorization: Basic` or to SOCKS5.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.user)
    }
}

#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once, or half as many as there may be descriptors. At the cap new ones wait for two
    /// seconds (one with each listener, the rest in the kernel's queue) and are then closed and logged.
    pub connections: usize,
    /// Connections and UDP flows at once from one address, or from one /64 of IPv6. At the cap new ones are closed or
    /// denied, and logged. 0: nine tenths of all connections, so that others find a place, and no cap on flows.
    pub connections_per_client: usize,
    /// Bytes of a request head, at most 65 536.
    pub head_bytes: usize,
    /// Bytes of a ClientHello, at most 65 536.
    pub hello_bytes: usize,
    /// UDP flows that the gateway carries at once. At the cap new ones are denied.
    pub udp_flows: usize,
    /// Denied connections that are left without an answer at once. Beyond it they are reset.
    pub silent: usize,
}

/// One deadline for each phase. Every wait on a peer has one.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// From the accept, or from the end of the last answer, to the first byte of a request.
    pub idle_client: Duration,
    /// From the first byte of a request head to its last.
    pub head: Duration,
    /// From the 200 to the last byte of the ClientHello.
    pub hello: Duration,
    pub resolve: Duration,
    /// For one address; the next one is tried after it.
    pub connect: Duration,
    /// From the last byte of a request to the head of the answer.
    pub response: Duration,
    /// A body or a tunnel that moves no byte in either direction.
    pub idle: Duration,
    /// A UDP flow that moves no datagram.
    pub udp: Duration,
    /// A denied connection that is left without an answer.
    pub silence: Duration,
    /// From SIGTERM until what still runs is closed.
    pub drain: Duration,
}

#[derive(Debug, Clone)]
pub struct AdminConfig {
    pub listen: SocketAddr,
    /// Wanted as `Authorization: Bearer` on every request; off loopback there has to be one.
    pub token: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsProxyConfig {
    /// UDP and TCP. None: there is no DNS proxy.
    pub listen: Vec<SocketAddr>,
    pub mode: DnsMode,
}

/// What the DNS proxy answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsMode {
    /// Any question.
    Azure,
    /// Names that some rule could allow; REFUSED for all others. Never HTTPS or SVCB records, which would start an
    /// encrypted ClientHello.
    Strict,
}

/// Addresses that stand for names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synthetic {
    /// Where they are taken from.
    pub net: IpNet,
    pub names: SyntheticNames,
}

/// Which of the names that a rule could allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyntheticNames {
    All,
    /// Those that `--resolve` leads to loopback, which is another one for a command in its own network, and those that
    /// `--connect-to` leads elsewhere, which DNS may not know.
    Redirected,
}

#[derive(Debug, Clone)]
pub struct DnsConfig {
    pub proxy: DnsProxyConfig,
    /// Allowed names that get an address of their own, which the gateway maps back.
    pub synthetic: Option<Synthetic>,
    /// None: the system's own.
    pub servers: Option<Vec<SocketAddr>>,
    pub overrides: Vec<ResolveOverride>,
    pub connect_to: Vec<ConnectTo>,
}

impl DnsConfig {
    /// Does this name have a synthetic address, if a rule could allow it?
    pub fn is_synthetic(&self, name: &HostName) -> bool {
        self.is_closed() || (self.synthetic.is_some() && self.is_redirected(name))
    }

    /// Is no question ever forwarded?
    pub fn is_closed(&self) -> bool {
        self.synthetic.is_some_and(|synthetic| synthetic.names == SyntheticNames::All)
    }

    fn is_redirected(&self, name: &HostName) -> bool {
        let to_loopback = |given: &ResolveOverride| {
            given.host.as_ref() == Some(name) && given.addresses.iter().any(IpAddr::is_loopback)
        };
        let elsewhere = |rule: &ConnectTo| matches!(&rule.from_host, Some(Host::Name(from)) if from == name);
        self.overrides.iter().any(to_loopback) || self.connect_to.iter().any(elsewhere)
    }
}

/// `--resolve HOST:PORT:ADDR[,ADDR]`, as curl has it. Such an address is the user's own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveOverride {
    /// None: any host (`*`).
    pub host: Option<HostName>,
    /// None: any port.
    pub port: Option<u16>,
    pub addresses: Vec<IpAddr>,
}

/// `--connect-to HOST1:PORT1:HOST2:PORT2`, as curl has it: what is asked for HOST1:PORT1 is dialled at
/// HOST2:PORT2. An empty part means any (1) or the same (2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectTo {
    pub from_host: Option<Host>,
    pub from_port: Option<u16>,
    pub to_host: Option<Host>,
    pub to_port: Option<u16>,
}

#[derive(Debug, Clone)]
pub struct LogConfig {
    pub sinks: Vec<LogSink>,
    pub on_error: OnLogError,
    /// What Azure's formats write.
    pub categories: Categories,
    /// How often the rates of flows are looked at, where `AZFWFatFlow` is among them.
    pub fat_flow_every: Duration,
    /// How often flow logs of networks are written.
    pub flow_log_every: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSink {
    pub target: LogTarget,
    pub format: LogFormat,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    Stdout,
    File(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text where the target is a terminal, JSON elsewhere.
    Auto,
    Json,
    Text,
    Azure,
    AzureLegacy,
    VnetFlow,
    NsgFlow,
}

/// What becomes of flows while a log cannot be written (a full disk).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLogError {
    /// Go on, count what is lost.
    #[default]
    Serve,
    /// Deny what is new until the log can be written again.
    Refuse,
}

/// How long an environment lives without what it depends on. Azure publishes no durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthConfig {
    /// From the first denial of a dependency that stays denied.
    pub unhealthy_after: Duration,
    /// From then on, until it is suspended.
    pub suspended_after: Duration,
}

impl Default for HealthConfig {
    fn default() -> Self {
        HealthConfig { unhealthy_after: Duration::from_secs(300), suspended_after: Duration::from_secs(3600) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 10_000,
            connections_per_client: 0,
            head_bytes: 65_536,
            hello_bytes: 65_536,
            udp_flows: 10_000,
            silent: 1_024,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            idle_client: Duration::from_secs(60),
            head: Duration::from_secs(30),
            hello: Duration::from_secs(10),
            resolve: Duration::from_secs(5),
            connect: Duration::from_secs(10),
            response: Duration::from_secs(120),
            idle: Duration::from_secs(240),
            udp: Duration::from_secs(60),
            silence: Duration::from_secs(60),
            drain: Duration::from_secs(30),
        }
    }
}
