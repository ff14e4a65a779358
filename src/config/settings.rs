//! Everything that is not a rule: as a file says it, as flags say it, and what both come to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::azure::category::{Categories, Category};
use crate::flow::Profile;
use crate::policy::PrivateAddresses;

use super::error::{Findings, Place, Placed, Problem};
use super::gateway::{DnsProxySettings, GatewaySettings};
use super::honoured::Honoured;
use super::load::Overrides;
use super::reader::Section;
use super::resolved::{
    AdminConfig, ConnectTo, Credentials, DnsConfig, EchMode, Enforce, GatewayConfig, HealthConfig, HttpConfig, Limits,
    LogConfig, LogFormat, LogSink, LogTarget, OnLogError, ProxyConfig, ResolveOverride, Timeouts,
};
use super::threat::ThreatSettings;
use super::values::{self, ResolveEntry, ServiceEndpoints, Words};

/// Settings as one origin gives them; None is what it does not speak of.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub service_endpoints: Option<ServiceEndpoints>,
    pub profile: Option<Profile>,
    private_addresses: Option<PrivateAddresses>,
    enforce: Option<Enforce>,
    pub client_subnet: Option<Placed<String>>,
    listen: Option<Vec<Placed<SocketAddr>>>,
    open: Option<bool>,
    pub credentials_file: Option<Placed<PathBuf>>,
    credentials: Option<Credentials>,
    workers: Option<usize>,
    reason_headers: Option<bool>,
    ech: Option<EchMode>,
    http: HttpConfig,
    limits: Limits,
    timeouts: Timeouts,
    health: HealthConfig,
    admin: Option<Placed<Option<SocketAddr>>>,
    pub token_file: Option<Placed<PathBuf>>,
    token: Option<String>,
    gateway: GatewaySettings,
    dns_proxy: DnsProxySettings,
    dns_servers: Option<Vec<SocketAddr>>,
    resolve: Vec<ResolveEntry>,
    connect_to: Vec<ConnectTo>,
    on_log_error: Option<OnLogError>,
    log_categories: Option<Vec<Placed<Category>>>,
    fat_flow_every: Option<Duration>,
    flow_log_every: Option<Duration>,
    sinks: Vec<Placed<LogSink>>,
    /// For all sinks; of flags only.
    log_format: Option<LogFormat>,
    pub threat_intel: ThreatSettings,
}

pub(super) fn read_word<T: Copy>(text: Option<Placed<String>>, words: Words<T>, findings: &mut Findings) -> Option<T> {
    text?.read(findings, |text| values::pick(words, text))
}

pub(super) fn read_each<T>(
    texts: &[Placed<String>],
    findings: &mut Findings,
    make: impl Fn(&str) -> Result<T, Problem>,
) -> Vec<T> {
    texts.iter().filter_map(|text| text.read(findings, |text| make(text))).collect()
}

/// `system` alone is an empty list: nobody else's.
fn read_name_servers(texts: &[Placed<String>], findings: &mut Findings) -> Vec<SocketAddr> {
    match texts {
        [only] if only.value == "system" => Vec::new(),
        texts => read_each(texts, findings, values::name_server),
    }
}

fn read_placed<T>(
    text: Placed<String>,
    findings: &mut Findings,
    make: impl Fn(&str) -> Result<T, Problem>,
) -> Option<Placed<T>> {
    let value = text.read(findings, |text| make(text))?;
    Some(Placed { value, place: text.place })
}

fn read_categories(texts: Vec<Placed<String>>, findings: &mut Findings) -> Vec<Placed<Category>> {
    let read = |text| read_placed(text, findings, values::log_category);
    texts.into_iter().filter_map(read).collect()
}

fn read_listeners(texts: Vec<Placed<String>>, findings: &mut Findings) -> Vec<Placed<SocketAddr>> {
    texts.into_iter().filter_map(|text| read_placed(text, findings, values::listen)).collect()
}

impl Settings {
    pub(super) fn of_file(root: &Section, findings: &mut Findings) -> Settings {
        let mut settings = Settings {
            service_endpoints: read_word(root.text("service_endpoints"), values::SERVICE_ENDPOINTS, findings),
            profile: read_word(root.text("profile"), values::PROFILES, findings),
            private_addresses: read_word(root.text("private_addresses"), values::PRIVATE_ADDRESSES, findings),
            enforce: read_word(root.text("enforce"), values::ENFORCES, findings),
            client_subnet: root.text("client_subnet"),
            ..Settings::default()
        };
        if let Some(proxy) = root.table("proxy", findings) {
            settings.read_proxy(&proxy, findings);
        }
        if let Some(limits) = root.table("limits", findings) {
            settings.limits = read_limits(&limits);
        }
        if let Some(timeouts) = root.table("timeouts", findings) {
            settings.timeouts = read_timeouts(&timeouts, findings);
        }
        if let Some(health) = root.table("health", findings) {
            settings.health = read_health(&health, findings);
        }
        if let Some(admin) = root.table("admin", findings) {
            settings.admin = admin.text("listen").and_then(|it| read_placed(it, findings, values::admin_listen));
            settings.token_file = admin.text("token_file").map(|text| in_folder(text, admin.folder()));
        }
        if let Some(gateway) = root.table("gateway", findings) {
            settings.gateway = GatewaySettings::of_file(&gateway, findings);
        }
        if let Some(dns) = root.table("dns", findings) {
            settings.read_dns(&dns, findings);
        }
        if let Some(threat_intel) = root.table("threat_intel", findings) {
            settings.threat_intel = ThreatSettings::of_file(&threat_intel, findings);
        }
        if let Some(log) = root.table("log", findings) {
            settings.read_log(&log, findings);
        }
        settings
    }

    fn read_proxy(&mut self, proxy: &Section, findings: &mut Findings) {
        if let Some(texts) = proxy.list("listen") {
            if texts.is_empty() {
                findings.error(&proxy.place_of_key("listen"), Problem::new("`listen` names no address"));
            }
            self.listen = Some(read_listeners(texts, findings));
        }
        self.open = proxy.flag("open");
        self.credentials_file = proxy.text("credentials_file").map(|text| in_folder(text, proxy.folder()));
        self.workers = proxy.count("workers").and_then(|workers| usize::try_from(workers.value).ok());
        self.reason_headers = proxy.flag("reason_headers");
        self.ech = read_word(proxy.text("ech"), values::ECH_MODES, findings);
        let forwarded_for = read_word(proxy.text("forwarded_for"), values::FORWARDED_FOR, findings);
        let rewrite = read_word(proxy.text("rewrite"), values::REWRITES, findings);
        self.http =
            HttpConfig { forwarded_for: forwarded_for.unwrap_or_default(), rewrite: rewrite.unwrap_or_default() };
    }

    fn read_dns(&mut self, dns: &Section, findings: &mut Findings) {
        self.dns_proxy = DnsProxySettings::of_file(dns, findings);
        self.dns_servers = dns.list("servers").map(|texts| read_name_servers(&texts, findings));
        self.resolve = read_each(&dns.items("resolve"), findings, values::resolve_entry);
        self.connect_to = read_each(&dns.items("connect_to"), findings, values::connect_to);
    }

    fn read_log(&mut self, log: &Section, findings: &mut Findings) {
        self.on_log_error = read_word(log.text("on_error"), values::ON_LOG_ERROR, findings);
        self.log_categories = log.list("categories").map(|texts| read_categories(texts, findings));
        self.fat_flow_every =
            log.text("fat_flow_every").and_then(|text| text.read(findings, |text| values::duration(text)));
        self.flow_log_every =
            log.text("flow_log_every").and_then(|text| text.read(findings, |text| values::duration(text)));
        for sink in log.tables("sink", findings) {
            let format = read_word(sink.text("format"), values::LOG_FORMATS, findings).unwrap_or(LogFormat::Auto);
            let read = |text: &str| values::log_target(text, sink.folder());
            let target = sink.text("target").and_then(|text| read_placed(text, findings, read));
            self.sinks.extend(target.map(|target| target.map(|target| LogSink { target, format })));
        }
    }

    /// What the flags say.
    pub(super) fn of_flags(flags: &Overrides, findings: &mut Findings) -> Settings {
        let (gateway, dns_proxy) =
            (GatewaySettings::of_flags(flags, findings), DnsProxySettings::of_flags(flags, findings));
        let threat_intel = ThreatSettings::of_flags(flags, findings);
        // The loader itself reads the first ones, the gateway and the DNS proxy the last seven.
        let Overrides {
            purpose: _,
            config: _,
            topology_by: _,
            topology_words: _,
            parameters: _,
            topology: _,
            set: _,
            service_tags: _,
            tags: _,
            threat_intel: _,
            threat_feed: _,
            policy: _,
            allow: _,
            deny: _,
            without: _,
            resolve,
            connect_to,
            log,
            log_format,
            log_on_error,
            log_categories,
            listen,
            profile,
            private_addresses,
            enforce,
            client_subnet,
            service_endpoints,
            open,
            auth,
            workers,
            dns_servers,
            admin,
            admin_token,
            gateway: _,
            gateway_mode: _,
            gateway_rules: _,
            interfaces: _,
            dns: _,
            dns_mode: _,
            dns_synthetic: _,
        } = flags;
        let log_format = read_word(one("--log-format", log_format), values::LOG_FORMATS, findings);
        let private_addresses = one("--private-addresses", private_addresses);
        let service_endpoints = one("--service-endpoints", service_endpoints);
        let auth = one("--auth", auth);
        let servers = many("--dns-server", dns_servers);
        let log_target = |text: &str| values::log_target(text, Path::new(""));
        let sink = |target: Placed<LogTarget>| target.map(|target| LogSink { target, format: LogFormat::Auto });
        let targets = many("--log", log).into_iter().filter_map(|text| read_placed(text, findings, log_target));
        let sinks = targets.map(sink).collect();
        Settings {
            service_endpoints: read_word(service_endpoints, values::SERVICE_ENDPOINTS, findings),
            profile: read_word(one("--profile", profile), values::PROFILES, findings),
            private_addresses: read_word(private_addresses, values::PRIVATE_ADDRESSES, findings),
            enforce: read_word(one("--enforce", enforce), values::ENFORCES, findings),
            client_subnet: one("--client-subnet", client_subnet),
            listen: given(many("--listen", listen)).map(|texts| read_listeners(texts, findings)),
            open: open.then_some(true),
            credentials: auth.and_then(|text| text.read(findings, |text| values::credentials(text))),
            workers: *workers,
            admin: one("--admin", admin).and_then(|it| read_placed(it, findings, values::admin_listen)),
            token: one("--admin-token", admin_token).and_then(|text| text.read(findings, |text| values::token(text))),
            gateway,
            dns_proxy,
            dns_servers: given(servers).map(|texts| read_name_servers(&texts, findings)),
            resolve: read_each(&many("--resolve", resolve), findings, values::resolve_entry),
            connect_to: read_each(&many("--connect-to", connect_to), findings, values::connect_to),
            on_log_error: read_word(one("--log-on-error", log_on_error), values::ON_LOG_ERROR, findings),
            log_categories: given(many("--log-categories", log_categories)).map(|it| read_categories(it, findings)),
            sinks,
            log_format,
            threat_intel,
            ..Settings::default()
        }
    }

    /// What flags say beats what the file says; what can be said more than once adds up, the flags' first.
    pub(super) fn over(self, file: Settings) -> Settings {
        Settings {
            service_endpoints: self.service_endpoints.or(file.service_endpoints),
            profile: self.profile.or(file.profile),
            private_addresses: self.private_addresses.or(file.private_addresses),
            enforce: self.enforce.or(file.enforce),
            client_subnet: self.client_subnet.or(file.client_subnet),
            listen: self.listen.or(file.listen),
            open: self.open.or(file.open),
            credentials_file: file.credentials_file.filter(|_| self.credentials.is_none()),
            credentials: self.credentials,
            workers: self.workers.or(file.workers),
            reason_headers: file.reason_headers,
            ech: file.ech,
            http: file.http,
            limits: file.limits,
            timeouts: file.timeouts,
            health: file.health,
            admin: self.admin.or(file.admin),
            token_file: file.token_file.filter(|_| self.token.is_none()),
            token: self.token,
            gateway: self.gateway.over(file.gateway),
            dns_proxy: self.dns_proxy.over(file.dns_proxy),
            dns_servers: self.dns_servers.or(file.dns_servers),
            resolve: standing(self.resolve, file.resolve),
            connect_to: joined(self.connect_to, file.connect_to),
            on_log_error: self.on_log_error.or(file.on_log_error),
            log_categories: self.log_categories.or(file.log_categories),
            fat_flow_every: file.fat_flow_every,
            flow_log_every: file.flow_log_every,
            sinks: sinks(self.sinks, self.log_format, file.sinks),
            log_format: None,
            threat_intel: self.threat_intel.over(file.threat_intel),
        }
    }

    /// Puts what the policies in force say where nobody else said anything.
    pub(super) fn over_policies(self, honoured: Honoured, findings: &mut Findings) -> Settings {
        let Honoured { listen, dns_servers, dns_proxy, private_ranges } = honoured;
        let place = Place::Flag("--policy");
        if let (None, Some(servers)) = (&self.dns_servers, &dns_servers) {
            let each: Vec<String> = servers.iter().map(|server| server.ip().to_string()).collect();
            let what = format!("names are resolved by {}, as the policy says", each.join(", "));
            findings.info(&place, Problem::new(what).mend("for this machine's own name servers: --dns-server system"));
        }
        let placed = |addr| Placed { value: addr, place: place.clone() };
        let listen = listen.map(|addrs| addrs.into_iter().map(placed).collect());
        let dns_proxy_listen = self.gateway.addresses().filter(|_| dns_proxy);
        Settings {
            listen: self.listen.or(listen),
            dns_servers: self.dns_servers.or(dns_servers),
            dns_proxy: self.dns_proxy.or_listen(dns_proxy_listen),
            gateway: self.gateway.or_private_ranges(private_ranges),
            ..self
        }
    }

    /// Takes in what the files of secrets hold.
    pub(super) fn with_secrets(self, credentials: Option<Credentials>, token: Option<String>) -> Settings {
        Settings { credentials: self.credentials.or(credentials), token: self.token.or(token), ..self }
    }

    /// The files that the log goes to, each with where it was named.
    pub(super) fn log_files(&self) -> impl Iterator<Item = (&Path, &Place)> {
        self.sinks.iter().filter_map(|Placed { value, place }| match &value.target {
            LogTarget::File(path) => Some((path.as_path(), place)),
            LogTarget::Stdout => None,
        })
    }

    pub(super) fn admin_is_default(&self) -> bool {
        self.admin.is_none()
    }

    /// Fills in the defaults, and reports listeners that anybody could use.
    pub(super) fn resolve(self, findings: &mut Findings) -> ResolvedSettings {
        let (listen, open) = self.listeners(findings);
        let admin = self.admin_listener(findings);
        let Settings {
            profile,
            private_addresses,
            enforce,
            credentials,
            workers,
            reason_headers,
            ech,
            http,
            limits,
            timeouts,
            health,
            token,
            gateway,
            dns_proxy,
            dns_servers,
            resolve,
            connect_to,
            on_log_error,
            log_categories,
            fat_flow_every,
            flow_log_every,
            sinks,
            service_endpoints: _,
            client_subnet: _,
            listen: _,
            open: _,
            credentials_file: _,
            admin: _,
            token_file: _,
            log_format: _,
            threat_intel: _,
        } = self;
        let profile = profile.unwrap_or_default();
        let workers = workers.filter(|workers| *workers > 0).unwrap_or_else(cores);
        let (reason_headers, ech) = (reason_headers.unwrap_or(true), ech.unwrap_or_default());
        let (dns_proxy, synthetic) = dns_proxy.resolve(profile);
        let servers = dns_servers.filter(|servers| !servers.is_empty());
        ResolvedSettings {
            profile,
            private_addresses: private_addresses.unwrap_or(usual_private_addresses(profile)),
            enforce: enforce.unwrap_or_default(),
            proxy: ProxyConfig { listen, open, credentials, workers, limits, timeouts, reason_headers, ech, http },
            gateway: gateway.resolve(profile),
            admin: admin.map(|listen| AdminConfig { listen, token }),
            dns: DnsConfig { proxy: dns_proxy, synthetic, servers, overrides: overrides(resolve), connect_to },
            health,
            log: LogConfig {
                sinks: sinks.into_iter().map(|sink| sink.value).collect(),
                on_error: on_log_error.unwrap_or_default(),
                categories: categories(log_categories.unwrap_or_default(), findings),
                fat_flow_every: fat_flow_every.unwrap_or(FAT_FLOW_EVERY),
                flow_log_every: flow_log_every.unwrap_or(FLOW_LOG_EVERY),
            },
        }
    }

    /// Where a file of secrets is named but cannot be read, that was reported already.
    fn listeners(&self, findings: &mut Findings) -> (Vec<SocketAddr>, bool) {
        let open = self.open.unwrap_or(false);
        let Some(listen) = &self.listen else {
            return (vec![DEFAULT_LISTEN], open);
        };
        if !open && self.credentials.is_none() && self.credentials_file.is_none() {
            listen.iter().for_each(|one| refuse_open(one, findings));
        }
        (listen.iter().map(|one| one.value).collect(), open)
    }

    fn admin_listener(&self, findings: &mut Findings) -> Option<SocketAddr> {
        let Some(Placed { value, place }) = &self.admin else {
            return Some(DEFAULT_ADMIN);
        };
        let addr = (*value)?;
        if self.token.is_none() && self.token_file.is_none() && !is_loopback(addr) {
            let what = format!("`{addr}` is off loopback: anybody who reaches it could reload the configuration");
            findings.error(place, Problem::new(what).mend("give it a token (token_file or --admin-token)"));
        }
        Some(addr)
    }
}

/// What of the configuration is no rule.
pub(super) struct ResolvedSettings {
    pub profile: Profile,
    pub private_addresses: PrivateAddresses,
    pub enforce: Enforce,
    pub proxy: ProxyConfig,
    pub gateway: GatewayConfig,
    pub admin: Option<AdminConfig>,
    pub dns: DnsConfig,
    pub health: HealthConfig,
    pub log: LogConfig,
}

const DEFAULT_LISTEN: SocketAddr = loopback(3128);
const DEFAULT_ADMIN: SocketAddr = loopback(9315);

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

pub(super) fn flagged(flag: &'static str, value: String) -> Placed<String> {
    Placed { value, place: Place::Flag(flag) }
}

pub(super) fn one(flag: &'static str, text: &Option<String>) -> Option<Placed<String>> {
    text.clone().map(|value| flagged(flag, value))
}

pub(super) fn many(flag: &'static str, texts: &[String]) -> Vec<Placed<String>> {
    texts.iter().map(|text| flagged(flag, text.clone())).collect()
}

/// A flag that was given not once says nothing.
pub(super) fn given(texts: Vec<Placed<String>>) -> Option<Vec<Placed<String>>> {
    (!texts.is_empty()).then_some(texts)
}

fn joined<T>(first: Vec<T>, then: Vec<T>) -> Vec<T> {
    first.into_iter().chain(then).collect()
}

/// What is left once every entry has replaced or dropped those before it: the file's come before the flags'. Of
/// what stands, the flags' are asked first.
fn standing(flags: Vec<ResolveEntry>, file: Vec<ResolveEntry>) -> Vec<ResolveEntry> {
    let mut standing: Vec<(Origin, ResolveEntry)> = Vec::new();
    let file = file.into_iter().map(|entry| (Origin::File, entry));
    for (origin, entry) in file.chain(flags.into_iter().map(|entry| (Origin::Flags, entry))) {
        standing.retain(|(_, before)| !before.is_for_the_same(&entry));
        standing.push((origin, entry));
    }
    standing.sort_by_key(|(origin, _)| *origin);
    standing.into_iter().map(|(_, entry)| entry).collect()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Flags,
    File,
}

fn overrides(entries: Vec<ResolveEntry>) -> Vec<ResolveOverride> {
    let set = |entry| match entry {
        ResolveEntry::Set(given) => Some(given),
        ResolveEntry::Drop { .. } => None,
    };
    entries.into_iter().filter_map(set).collect()
}

fn in_folder(text: Placed<String>, folder: &Path) -> Placed<PathBuf> {
    Placed { value: values::join(folder, &text.value), place: text.place }
}

fn is_loopback(addr: SocketAddr) -> bool {
    addr.ip().to_canonical().is_loopback()
}

/// An open proxy is how a laptop becomes a way out for its whole network.
fn refuse_open(one: &Placed<SocketAddr>, findings: &mut Findings) {
    if !is_loopback(one.value) {
        let what = format!("`{}` is off loopback: anybody who reaches it could use this proxy", one.value);
        let mend = "ask for credentials (credentials_file or --auth), or say that it is meant (open = true or --open)";
        findings.error(&one.place, Problem::new(what).mend(mend));
    }
}

fn usual_private_addresses(profile: Profile) -> PrivateAddresses {
    match profile {
        Profile::Azure => PrivateAddresses::Allow,
        Profile::Strict => PrivateAddresses::Deny,
    }
}

/// As Azure's (azure-docs, enable-top-ten-and-flow-trace).
const FAT_FLOW_EVERY: Duration = Duration::from_secs(180);
const FLOW_LOG_EVERY: Duration = Duration::from_secs(60);

/// Nobody is to wait for records that never come.
fn categories(named: Vec<Placed<Category>>, findings: &mut Findings) -> Categories {
    for Placed { value, place } in named.iter().filter(|named| !named.value.is_emulated()) {
        findings.warn(place, Problem::new(format!("`{}` is not emulated: it has no records", value.name())));
    }
    let named: Vec<Category> = named.into_iter().map(|named| named.value).collect();
    Categories::chosen(&named)
}

/// A format given by a flag is for the flags' own sinks, or for all where flags name no sink.
fn sinks(flags: Vec<Placed<LogSink>>, format: Option<LogFormat>, file: Vec<Placed<LogSink>>) -> Vec<Placed<LogSink>> {
    let usual = LogSink { target: LogTarget::Stdout, format: LogFormat::Auto };
    let stdout = || vec![Placed { value: usual, place: Place::Flag("--log") }];
    let formatted = |sink: Placed<LogSink>| {
        sink.map(|LogSink { target, format: own }| LogSink { target, format: format.unwrap_or(own) })
    };
    if flags.is_empty() {
        let sinks = if file.is_empty() { stdout() } else { file };
        return sinks.into_iter().map(formatted).collect();
    }
    flags.into_iter().map(formatted).chain(file).collect()
}

fn read_limits(section: &Section) -> Limits {
    let usual = Limits::default();
    let read = |name: &str, usual: usize| {
        section.count(name).and_then(|number| usize::try_from(number.value).ok()).unwrap_or(usual)
    };
    Limits {
        connections: read("connections", usual.connections),
        connections_per_client: read("connections_per_client", usual.connections_per_client),
        head_bytes: read("head_bytes", usual.head_bytes),
        hello_bytes: read("hello_bytes", usual.hello_bytes),
        udp_flows: read("udp_flows", usual.udp_flows),
        silent: read("silent", usual.silent),
    }
}

fn read_health(section: &Section, findings: &mut Findings) -> HealthConfig {
    let usual = HealthConfig::default();
    let mut read = |name: &str, usual| {
        section.text(name).and_then(|text| text.read(findings, |text| values::duration(text))).unwrap_or(usual)
    };
    HealthConfig {
        unhealthy_after: read("unhealthy_after", usual.unhealthy_after),
        suspended_after: read("suspended_after", usual.suspended_after),
    }
}

fn read_timeouts(section: &Section, findings: &mut Findings) -> Timeouts {
    let usual = Timeouts::default();
    let mut read = |name: &str, usual| {
        section.text(name).and_then(|text| text.read(findings, |text| values::duration(text))).unwrap_or(usual)
    };
    Timeouts {
        idle_client: read("idle_client", usual.idle_client),
        head: read("head", usual.head),
        hello: read("hello", usual.hello),
        resolve: read("resolve", usual.resolve),
        connect: read("connect", usual.connect),
        response: read("response", usual.response),
        idle: read("idle", usual.idle),
        udp: read("udp", usual.udp),
        silence: read("silence", usual.silence),
        drain: read("drain", usual.drain),
    }
}
