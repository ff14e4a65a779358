//! What `egret run` was asked for, understood: flags and configuration together.

use std::borrow::Cow;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueHint;
use clap::builder::FalseyValueParser;

use super::expect::{Expectations, FailOn};
use super::learn::{self, Lesson};
use super::report_file::ReportFile;
use crate::cli::UsageError;
use crate::cli::args::{FlowArgs, PolicyArgs, given, one};
use crate::cli::asker::Asker;
use crate::cli::convert::To;
use crate::cli::output::{Format, Printer};
use crate::cli::serve::warn_of_empty_logs;
use crate::config::{self, Config, DefaultFile, Loaded, LogTarget, Overrides, Purpose};
use crate::control::Asking;
use crate::flow::parse_port;
use crate::policy::{Policy, PolicyRules, RuleSet};
use crate::proxy::{Lifecycle, Setup};
use crate::telemetry::Log;
use crate::vnet::Network;

const EXAMPLES: &str = "\
Examples:
  egret run -- make test                                 with egret.toml, or the built-in policy
  egret run --allow https://pypi.org --allow 'https://*.pythonhosted.org' -- pip download requests
  egret run --host-port 5432 --policy egret.toml -- cargo test
  egret run --policy policy.json --from 10.0.1.4 -- make test   with the address of a build agent
  egret run --learn egret.toml -- make test              permit all, write what that was
  egret run --expect-denied 169.254.169.254:80 -- ./probe

Exits with the command's own code; with 3 where that is 0 and something unexpected was denied; with
126 or 127 where the command cannot be run or is not found; with 128 and the signal's number where a
signal ended it. Ctrl-C is the command's; twice within three seconds ends everything.";

/// Run a command so that all its egress passes the policy, and report what was denied
///
/// On Linux, without root, the command and all it starts live in namespaces from which nothing gets out but what the
/// policy allows, whatever their environment says. With --proxy-only the command is only told of a proxy.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    /// The command and its arguments, after `--`
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
    /// Enforce nothing: set proxy variables, and hope that the command heeds them
    #[arg(long, env = "EGRET_PROXY_ONLY", value_parser = FalseyValueParser::new())]
    proxy_only: bool,
    /// A port of this machine's 127.0.0.1 that the command reaches at the same place
    #[arg(long, env = "EGRET_HOST_PORT", value_name = "PORT", value_delimiter = ';', value_parser = port)]
    host_port: Vec<u16>,
    /// The address that the command has, or the subnet of the topology that it is in [default: 192.0.0.8]
    #[arg(long, env = "EGRET_FROM", value_name = "ADDR|SUBNET")]
    from: Option<Asker>,
    /// What makes a command that succeeded exit with 3: any denial, an unexpected one, or none
    #[arg(long, env = "EGRET_FAIL_ON", value_enum, default_value = "unexpected")]
    fail_on: FailOn,
    /// A denial that is expected, written as for --deny
    #[arg(long, env = "EGRET_EXPECT_DENIED", value_name = "TARGET", value_delimiter = ';')]
    expect_denied: Vec<String>,
    /// Permit everything, and write the smallest policy that allows what was seen
    #[arg(long, env = "EGRET_LEARN", value_name = "FILE", value_hint = ValueHint::FilePath)]
    learn: Option<PathBuf>,
    /// With --learn: what to write [default: by the file's name, else toml]
    #[arg(long, env = "EGRET_LEARN_FORMAT", value_name = "FORMAT", value_enum, requires = "learn")]
    learn_format: Option<To>,
    /// With --learn: write *.contoso.com for so many hosts of contoso.com or more
    #[arg(long, env = "EGRET_GENERALISE", value_name = "HOSTS", requires = "learn")]
    #[arg(value_parser = clap::value_parser!(u16).range(2..))]
    generalise: Option<u16>,
    /// Write the report into this file too, as JSON
    #[arg(long, env = "EGRET_REPORT", value_name = "FILE", value_hint = ValueHint::FilePath)]
    report: Option<PathBuf>,
    /// How the report on standard error is written: for people, or as one JSON object
    #[arg(long, env = "EGRET_FORMAT", value_enum, default_value = "text")]
    format: Format,
    /// Write the flow log into this file; more than once for several
    #[arg(long, env = "EGRET_LOG", value_name = "FILE", value_hint = ValueHint::FilePath, value_delimiter = ';')]
    log: Vec<String>,
    /// Shape of the flow log
    #[arg(long, env = "EGRET_LOG_FORMAT", value_name = "auto|json|text|azure|azure-legacy|vnet-flow|nsg-flow")]
    log_format: Option<String>,
    /// What the shapes azure and azure-legacy write, such as AZFWNetworkRule; more than once for several
    #[arg(long, env = "EGRET_LOG_CATEGORIES", value_name = "CATEGORY", value_delimiter = ';')]
    log_categories: Vec<String>,
    /// Name server, or system; the policy's where not given, else the system's
    #[arg(long, env = "EGRET_DNS_SERVER", value_name = "ADDR[:PORT]", value_delimiter = ';')]
    dns_server: Vec<String>,
    /// Resolve anything (azure), or what a rule could allow (strict) [default: strict]
    #[arg(long, env = "EGRET_DNS_MODE", value_name = "azure|strict")]
    dns_mode: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    flow: FlowArgs,
}

fn port(text: &str) -> Result<u16, String> {
    parse_port(text).ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}

/// How the command is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Enforced,
    ProxyOnly,
}

/// What is to be run, and how.
pub(super) struct Plan {
    pub(super) line: Vec<OsString>,
    pub(super) way: Way,
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there is no jail"))]
    pub(super) host_ports: Vec<u16>,
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there is no jail"))]
    pub(super) from: Option<IpAddr>,
    pub(super) config: Config,
    pub(super) digest: String,
}

/// The command's address of the other family is in no subnet, and several networks may use the one that it has: it counts
/// as in the subnet that was named, else in that of its address.
fn counted_with(network: Arc<Network>, from: Asking) -> Arc<Network> {
    let place = match from {
        Asking::Machine(client) => Some(client.place),
        Asking::Address(address) => network.place_of(address).filter(|_| network.client_subnet().is_none()),
    };
    match place {
        Some(place) => {
            let anew = Network::new(network.topology().clone(), network.tags().clone());
            Arc::new(anew.with_client_subnet(place))
        }
        None => network,
    }
}

/// What is to be made of it in the end.
pub(super) struct Wishes {
    pub(super) fail_on: FailOn,
    pub(super) expectations: Expectations,
    pub(super) lesson: Option<Lesson>,
    pub(super) format: Format,
    pub(super) report_file: Option<ReportFile>,
}

impl Plan {
    pub(super) fn new(args: Args, printer: &mut Printer) -> anyhow::Result<(Plan, Wishes)> {
        let Args {
            command: line,
            proxy_only,
            host_port: host_ports,
            from,
            fail_on,
            expect_denied,
            learn,
            learn_format,
            generalise,
            report,
            format,
            log,
            log_format,
            log_categories,
            dns_server,
            dns_mode,
            policy,
            flow,
        } = args;
        if proxy_only && !(host_ports.is_empty() && dns_mode.is_none()) {
            printer.warn("--host-port and --dns-mode do nothing with --proxy-only: the command is on the host");
        }
        let expectations = Expectations::read(&given(expect_denied))?;
        let report_file = named(report).map(ReportFile::begin).transpose()?;
        let lesson = named(learn).map(|path| Lesson::begin(path, learn_format, generalise)).transpose()?;
        let overrides = Overrides {
            purpose: Purpose::Run,
            log: given(log),
            log_format: one(log_format),
            log_categories: given(log_categories),
            dns_servers: given(dns_server),
            dns_mode: one(dns_mode),
            // Nobody is to be refused for what only `serve` listens on.
            admin: Some("off".to_owned()),
            listen: vec![ANY_PORT.to_string()],
            ..flow.over(policy.into_overrides())
        };
        warn_of_lessons(lesson.as_ref(), &overrides, printer);
        let (mut config, digest) = load(&overrides, printer)?;
        let from = from.map(|from| from.resolved(config.network.as_deref())).transpose()?;
        let is_of_subnet =
            |from: Asking| config.network.as_deref().is_some_and(|network| network.place_of(from.address()).is_some());
        if proxy_only && from.is_some_and(|from| !is_of_subnet(from)) {
            printer.warn("--from does nothing with --proxy-only where it is in no subnet: the command is 127.0.0.1");
        }
        if let Some(from) = from {
            config.network = config.network.take().map(|network| counted_with(network, from));
        }
        let from = from.map(Asking::address);
        if lesson.is_some() {
            config.rules = learn::permit_everything(&config.rules)?;
        }
        admit_host_ports(&mut config.rules, &host_ports)?;
        let way = if proxy_only { Way::ProxyOnly } else { Way::Enforced };
        warn_of_strangers(&config, way, from, printer);
        // What was denied even so is in the lesson.
        let fail_on = if lesson.is_some() { FailOn::Never } else { fail_on };
        let plan = Plan { line, way, host_ports, from, config, digest };
        Ok((plan, Wishes { fail_on, expectations, lesson, format, report_file }))
    }

    /// The command's name, without where it is and what it is told.
    pub(super) fn program(&self) -> Cow<'_, str> {
        let program = self.line.first().map(Path::new);
        program.and_then(Path::file_name).unwrap_or_default().to_string_lossy()
    }

    /// What the data plane runs with.
    pub(super) fn setup(&self, policy: Policy, log: Log, lifecycle: Lifecycle) -> Setup {
        let Config { profile, network, enforce, proxy, gateway, dns, .. } = &self.config;
        Setup {
            proxy: proxy.clone(),
            gateway: gateway.clone(),
            dns: dns.clone(),
            policy,
            network: network.clone(),
            enforce: *enforce,
            profile: *profile,
            log,
            lifecycle,
            others: Vec::new(),
            // What leaves this machine is in another namespace than the rules.
            mark: None,
        }
    }
}

fn named(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

/// Who is in no subnet of the topology meets its firewall and nothing else of it.
fn warn_of_strangers(config: &Config, way: Way, from: Option<IpAddr>, printer: &mut Printer) {
    let Some(network) = config.enforced_network() else { return };
    let (client, mend) = match way {
        Way::Enforced => (from, "--from SUBNET"),
        Way::ProxyOnly => (None, "--client-subnet SUBNET"),
    };
    let place = client.and_then(|client| network.place_of(client)).or(network.client_subnet());
    if place.is_none() {
        printer.warn(&format!(
            "no security group and no route decides here, as the command is in no subnet of the topology: put it in one by {mend}"
        ));
    }
}

fn warn_of_lessons(lesson: Option<&Lesson>, overrides: &Overrides, printer: &mut Printer) {
    let silent = overrides.policy.is_empty() && overrides.allow.is_empty() && overrides.deny.is_empty();
    if lesson.is_some() && !silent {
        printer.warn("with --learn everything is permitted: --policy, --allow and --deny decide nothing");
    }
}

/// The configuration without what only `serve` is concerned with, and its digest.
fn load(overrides: &Overrides, printer: &mut Printer) -> anyhow::Result<(Config, String)> {
    if overrides.log.iter().any(|target| target == "stdout") {
        return Err(UsageError("--log: standard output is the command's; name a file".into()).into());
    }
    let Loaded { mut config, warnings, infos, digest, .. } = config::load(overrides, DefaultFile::Read)?;
    warnings.iter().for_each(|warning| printer.warn(&warning.one_line()));
    infos.iter().for_each(|info| printer.note(&info.one_line()));
    warn_of_empty_logs(&config, printer);
    config.log.sinks.retain(|sink| sink.target != LogTarget::Stdout);
    config.proxy.credentials = None;
    config.gateway.listen.clear();
    config.dns.proxy.listen.clear();
    Ok((config, digest))
}

/// Any free one.
pub(super) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The policy of `--host-port`.
pub(super) const HOST_PORTS: &str = "host-ports";

/// Rules for what the command may reach of this machine, before all others.
fn admit_host_ports(rules: &mut RuleSet, ports: &[u16]) -> anyhow::Result<()> {
    let targets = ports.iter().flat_map(|port| [format!("tcp://127.0.0.1:{port}"), format!("tcp://[::1]:{port}")]);
    if let Some(admitted) = of_targets(HOST_PORTS, targets.collect())? {
        rules.policies.insert(0, admitted);
    }
    Ok(())
}

/// A policy that allows some targets, as `--allow` would.
pub(super) fn of_targets(name: &str, allow: Vec<String>) -> anyhow::Result<Option<PolicyRules>> {
    if allow.is_empty() {
        return Ok(None);
    }
    let loaded = config::load(&Overrides { allow, ..Overrides::default() }, DefaultFile::Ignored)?;
    let first = loaded.config.rules.policies.into_iter().next();
    Ok(first.map(|policy| PolicyRules { name: name.to_owned(), ..policy }))
}
