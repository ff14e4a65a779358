//! `egret run`: one command whose egress passes the policy, and a report at its end.
//!
//! What keeps the command inside is the jail's ([`crate::jail`]); what decides is the proxy's. Here the two are
//! joined, signals passed on, flows summed up and the exit code chosen.

mod ci;
mod command;
mod environment;
mod expect;
mod learn;
mod report;
mod show;
mod signals;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueHint;
use clap::builder::FalseyValueParser;
use tokio::runtime::Runtime;

use super::args::{self, PolicyArgs};
use super::output::{Format, Printer};
use super::serve::{start_record, telemetry_config};
use super::{Exit, UsageError};
use crate::config::{self, Config, Loaded, LogTarget, Overrides, Purpose};
use crate::flow::parse_port;
use crate::policy::{Policy, PolicyRules, RuleSet};
use crate::proxy::{Lifecycle, Proxy};
use crate::telemetry::{RunId, Tally, Telemetry};

use command::{Command, Ended};
use expect::{Expectations, FailOn};
use learn::Lesson;
use report::{Circumstances, Report};
use signals::Signals;

const EXAMPLES: &str = "\
Examples:
  egret run -- make test                                 with egret.toml of this folder, or the built-in policy
  egret run --allow https://pypi.org --allow 'https://*.pythonhosted.org' -- pip download requests
  egret run --host-port 5432 --policy egret.toml -- cargo test
  egret run --learn egret.toml -- make test              permit everything, write the policy that would
  egret run --expect-denied 169.254.169.254:80 -- ./probe

Exits with the command's own code; with 3 where that is 0 and something unexpected was denied; with 126 or 127 where
the command cannot be run or is not found; with 128 and the signal's number where a signal ended it. Ctrl-C is the
command's; twice within three seconds ends everything.";

/// Run a command so that all its egress passes the policy, and report what was denied
///
/// On Linux, without root, the command and all it starts live in namespaces from which nothing gets out but what the
/// policy allows, whatever their environment says. With --proxy-only the command is only told of a proxy.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The command and its arguments, after `--`
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
    /// Enforce nothing: set proxy variables, and hope that the command heeds them
    #[arg(long, env = "EGRET_PROXY_ONLY", value_parser = FalseyValueParser::new())]
    proxy_only: bool,
    /// A port of this machine's 127.0.0.1 that the command reaches at the same place
    #[arg(long, env = "EGRET_HOST_PORT", value_name = "PORT", value_delimiter = ';', value_parser = port)]
    host_port: Vec<u16>,
    /// What makes a command that succeeded exit with 3: any denial, an unexpected one, or none
    #[arg(long, env = "EGRET_FAIL_ON", value_enum, default_value = "unexpected")]
    fail_on: FailOn,
    /// A denial that is expected, written as for --deny
    #[arg(long, env = "EGRET_EXPECT_DENIED", value_name = "TARGET", value_delimiter = ';')]
    expect_denied: Vec<String>,
    /// Permit everything, and write the smallest policy that allows what was seen
    #[arg(long, env = "EGRET_LEARN", value_name = "FILE", value_hint = ValueHint::FilePath)]
    learn: Option<PathBuf>,
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
    #[arg(long, env = "EGRET_LOG_FORMAT", value_name = "auto|json|text|azure|azure-legacy")]
    log_format: Option<String>,
    /// Name server; the system's where not given
    #[arg(long, env = "EGRET_DNS_SERVER", value_name = "ADDR[:PORT]", value_delimiter = ';')]
    dns_server: Vec<String>,
    /// Resolve anything (azure), or what a rule could allow (strict) [default: strict]
    #[arg(long, env = "EGRET_DNS_MODE", value_name = "azure|strict")]
    dns_mode: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// What the flow log may take to be written to its end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// What workers may take to end once everything was cut.
const CUTTING: Duration = Duration::from_secs(5);

fn port(text: &str) -> Result<u16, String> {
    parse_port(text).ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}

pub(super) fn run(args: Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Plan { line, way, host_ports: _, config, digest, fail_on, expectations, lesson, format, report_file } =
        Plan::new(args, printer)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // From here on a signal is the command's.
    let signals = runtime.block_on(async { Signals::new() })?;
    let policy = Policy::compile(Arc::new(config.rules.clone()), config.private_addresses);
    let (run, tally) = (RunId::random(), Tally::default());
    let mut telemetry = telemetry_config(&config.log, start_record(&policy, &digest));
    (telemetry.run, telemetry.tally) = (run.clone(), Some(tally.clone()));
    let telemetry = Telemetry::start(telemetry)?;
    let ran = supervise(&runtime, &line, way, &config, policy, &telemetry, signals);
    runtime.shutdown_background();
    let lost = match telemetry.shutdown(LAST_WORDS) {
        Ok(counts) => counts.lost,
        Err(error) => {
            printer.warn(&error.to_string());
            0
        }
    };
    let Ran { ended, policy } = ran?;
    let totals = tally.totals();
    let written = lesson.map(|lesson| lesson.write(&totals, &line)).transpose();
    let circumstances = Circumstances { run: &run, way, config: &config, policy: policy.policy(), ended: &ended, lost };
    let report = Report::new(&totals, expectations, fail_on, &circumstances);
    show::print(&report, format, printer)?;
    ci::annotate(&report, printer);
    if let Some(path) = report_file {
        report.write(&path)?;
    }
    if let Some(learned) = written? {
        printer.tell(&learned.to_string());
    }
    Ok(Exit::Child(report.exit_code()))
}

/// How the command is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Enforced,
    ProxyOnly,
}

/// What was asked for, understood.
struct Plan {
    line: Vec<OsString>,
    way: Way,
    host_ports: Vec<u16>,
    config: Config,
    digest: String,
    fail_on: FailOn,
    expectations: Expectations,
    lesson: Option<Lesson>,
    format: Format,
    report_file: Option<PathBuf>,
}

impl Plan {
    fn new(args: Args, printer: &mut Printer) -> anyhow::Result<Plan> {
        let Args {
            command,
            proxy_only,
            host_port,
            fail_on,
            expect_denied,
            learn,
            generalise,
            report,
            format,
            log,
            log_format,
            dns_server,
            dns_mode,
            policy,
        } = args;
        let expectations = Expectations::read(&args::given(expect_denied))?;
        let learn = learn.filter(|path| !path.as_os_str().is_empty());
        let lesson = learn.map(|path| Lesson::begin(path, generalise)).transpose()?;
        let overrides = Overrides {
            purpose: Purpose::Run,
            log: args::given(log),
            log_format: args::one(log_format),
            dns_servers: args::given(dns_server),
            dns_mode: args::one(dns_mode),
            // Nobody is to be refused for what only `serve` listens on.
            admin: Some("off".to_owned()),
            listen: vec![ANY_PORT.to_string()],
            ..policy.into_overrides()
        };
        if lesson.is_some() && !(overrides.policy.is_empty() && overrides.allow.is_empty() && overrides.deny.is_empty())
        {
            printer.warn("with --learn everything is permitted: --policy, --allow and --deny decide nothing");
        }
        let Loaded { mut config, warnings, files: _, admin_is_default: _, digest } = config::load(&overrides, true)?;
        warnings.iter().for_each(|warning| printer.warn(warning));
        if overrides.log.iter().any(|target| target == "stdout") {
            return Err(UsageError("--log: standard output is the command's; name a file".into()).into());
        }
        // What the file says of standard output is meant for `serve`.
        config.log.sinks.retain(|sink| sink.target != LogTarget::Stdout);
        config.proxy.credentials = None;
        if lesson.is_some() {
            config.rules = learn::permit_everything()?;
        }
        admit_host_ports(&mut config.rules, &host_port)?;
        let way = if proxy_only { Way::ProxyOnly } else { Way::Enforced };
        let report_file = report.filter(|path| !path.as_os_str().is_empty());
        let (line, host_ports) = (command, host_port);
        Ok(Plan { line, way, host_ports, config, digest, fail_on, expectations, lesson, format, report_file })
    }
}

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The policy of `--host-port`.
const HOST_PORTS: &str = "host-ports";

/// Rules for what the command may reach of this machine, before all others.
fn admit_host_ports(rules: &mut RuleSet, ports: &[u16]) -> anyhow::Result<()> {
    let targets = ports.iter().flat_map(|port| [format!("tcp://127.0.0.1:{port}"), format!("tcp://[::1]:{port}")]);
    if let Some(admitted) = of_targets(HOST_PORTS, targets.collect())? {
        rules.policies.insert(0, admitted);
    }
    Ok(())
}

/// A policy that allows some targets, as `--allow` would.
fn of_targets(name: &str, allow: Vec<String>) -> anyhow::Result<Option<PolicyRules>> {
    if allow.is_empty() {
        return Ok(None);
    }
    let loaded = config::load(&Overrides { allow, ..Overrides::default() }, false)?;
    let first = loaded.config.rules.policies.into_iter().next();
    Ok(first.map(|policy| PolicyRules { name: name.to_owned(), ..policy }))
}

/// What became of the command, and what decided meanwhile.
struct Ran {
    ended: Ended,
    policy: report::InForce,
}

/// Starts the filter, then the command; waits for its end; ends the filter.
fn supervise(
    runtime: &Runtime,
    line: &[OsString],
    way: Way,
    config: &Config,
    policy: Policy,
    telemetry: &Telemetry,
    signals: Signals,
) -> anyhow::Result<Ran> {
    let lifecycle = Lifecycle::default();
    let (proxy, dns) = (config.proxy.clone(), config.dns.clone());
    let proxy = Proxy::start(proxy, dns, policy, config.profile, telemetry.log().clone(), lifecycle.clone(), &[])?;
    let addr = *proxy.local_addrs().first().context("the proxy listens nowhere")?;
    let policy = report::InForce::of(proxy.shared());
    let run = telemetry.log().run();
    let ended = runtime.block_on(async {
        match way {
            Way::ProxyOnly => Command::start(line, environment::proxied(addr, run))?.supervise(signals).await,
            Way::Enforced => Err(not_here()),
        }
    });
    lifecycle.drain.cancel();
    lifecycle.kill.cancel();
    let join = tokio::task::spawn_blocking;
    let joined = runtime.block_on(async { tokio::time::timeout(CUTTING, join(move || proxy.join())).await });
    joined.context("a worker of the proxy does not end")??;
    Ok(Ran { ended: ended?, policy })
}

fn not_here() -> anyhow::Error {
    UsageError("a command can be held on Linux only: --proxy-only tells it of a proxy instead".into()).into()
}
