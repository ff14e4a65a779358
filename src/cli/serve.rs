//! `egret serve`: the proxy, until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueHint;
use clap::builder::FalseyValueParser;
use jiff::Timestamp;
use tokio::runtime::Runtime;

use super::args::{FlowArgs, PolicyArgs, ProxyArgs};
use super::banner::{self, Listening};
use super::handover::HandOver;
use super::manager;
use super::output::{self, Printer};
use super::rights;
use super::signals::{Signal, Signals};
use super::{Exit, UsageError, portfile::PortFile};
use crate::azure;
use crate::config::{
    self, AdminConfig, Config, DefaultFile, GatewayConfig, Loaded, LogConfig, LogFormat, LogSink, LogTarget, OnLogError,
};
use crate::control::{AdminListener, Control, Origin};
use crate::net::dial::try_mark;
use crate::net::listener::raise_descriptor_limit;
use crate::policy::Policy;
use crate::proxy::{BindError, Intake, Lifecycle, Proxy, Setup};
use crate::telemetry::{Duty, Format, Log, OnError, RunId, SinkSpec, StartRecord, Target, Telemetry, TelemetryConfig};

const EXAMPLES: &str = "\
Examples:
  egret serve                                      the built-in App Service Environment policy
  egret serve --policy ase --allow '*.contoso.com'  the same, and hosts of your own
  egret serve --config lab.toml --log flows.json   a policy of your own, with the flow log in a file
  egret serve --listen 127.0.0.1:0 --port-file p   any free port, written to p: for tests

SIGHUP reloads the policy and opens log files again; so does a change of a policy file. SIGTERM or Ctrl-C drains.";

/// Run the proxy: HTTP, CONNECT and SOCKS5 on one port
///
/// Without arguments it listens on 127.0.0.1:3128 and allows what an App Service Environment needs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    flow: FlowArgs,
    #[command(flatten)]
    proxy: ProxyArgs,
    /// Write the addresses that are listened on into this file, one a line; it goes when Egret does
    #[arg(long, env = "EGRET_PORT_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    port_file: Option<PathBuf>,
    /// The same for the admin server's address
    #[arg(long, env = "EGRET_ADMIN_PORT_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    admin_port_file: Option<PathBuf>,
    /// Say nothing but warnings and errors on standard error
    #[arg(long, env = "EGRET_QUIET", value_parser = FalseyValueParser::new())]
    quiet: bool,
}

/// What the flow log may take to be written to its end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// What workers may take to end once everything was cut.
const CUTTING: Duration = Duration::from_secs(5);

pub(super) fn run(args: Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Args { policy, flow, proxy, port_file, admin_port_file, quiet } = args;
    let overrides = proxy.over(flow.over(policy.into_overrides()));
    let default_file = DefaultFile::Read;
    let Loaded { mut config, warnings, infos, read: _, texts: _, files, admin_is_default, digest } =
        config::load(&overrides, default_file)?;
    warnings.iter().for_each(|warning| printer.warn(&warning.one_line()));
    if !quiet {
        infos.iter().for_each(|info| printer.note(&info.one_line()));
    }
    warn_of_empty_logs(&config, printer);
    if admin_port_file.is_some() && config.admin.is_none() {
        return Err(UsageError("--admin-port-file: the admin server is off".into()).into());
    }
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // From here on a signal is a wish and no longer the end.
    let signals = runtime.block_on(async { Signals::new() })?;
    let rules = std::mem::take(&mut config.rules);
    let policy = Policy::compile(Arc::new(rules), config.switches());
    let start = start_record(&policy, &digest);
    let tries = banner::Tries::new(&policy);
    let admin = config.admin.clone().map(|admin| bind_admin(admin, admin_is_default, printer)).transpose()?;
    let (listen, dns) = (&config.proxy.listen, &config.dns.proxy.listen);
    let intake = Intake::bind(listen, &config.gateway, dns, config.proxy.workers);
    let origin = Origin { overrides, default_file, config: config.clone(), files };
    let mut telemetry = telemetry_config(&config.log, start);
    if !quiet {
        telemetry.sinks.extend(for_whoever_watches(&config.log));
    }
    // Before the first thread, and after what takes a privilege once.
    let files = rights::Files::of(&config.log, [&port_file, &admin_port_file]);
    rights::drop_unneeded(&config.gateway, files).context("cannot give up what is not needed")?;
    let telemetry = Telemetry::start(telemetry)?;
    let service = Service { config, policy, admin, intake, origin, port_file, admin_port_file, tries, quiet };
    // The log gets its end, however the rest ended.
    let served = service.run(&runtime, signals, telemetry.log(), printer);
    runtime.shutdown_background();
    let written = telemetry.shutdown(LAST_WORDS);
    served?;
    written?;
    Ok(Exit::Clean)
}

/// Everything that serving takes.
struct Service {
    /// Without its rules.
    config: Config,
    policy: Policy,
    admin: Option<AdminListener>,
    intake: Result<Intake, BindError>,
    origin: Origin,
    port_file: Option<PathBuf>,
    admin_port_file: Option<PathBuf>,
    tries: banner::Tries,
    quiet: bool,
}

impl Service {
    fn run(self, runtime: &Runtime, signals: Signals, log: &Log, printer: &mut Printer) -> anyhow::Result<()> {
        let Service { config, policy, admin, intake, origin, port_file, admin_port_file, tries, quiet } = self;
        let intake = intake.map_err(bind_error)?;
        let admin_addr = admin.as_ref().map(AdminListener::addr);
        let lifecycle = Lifecycle::default();
        let (dns, drain) = (config.dns.clone(), config.proxy.timeouts.drain);
        let addrs = Listening {
            explicit: intake.explicit().to_vec(),
            gateway: intake.gateway().to_vec(),
            dns: intake.dns().to_vec(),
        };
        let setup = Setup {
            proxy: config.proxy.clone(),
            gateway: config.gateway.clone(),
            dns: dns.clone(),
            policy,
            network: config.network.clone(),
            enforce: config.enforce,
            profile: config.profile,
            log: log.clone(),
            lifecycle: lifecycle.clone(),
            others: admin_addr.into_iter().collect(),
            mark: mark_of(&config.gateway)?,
        };
        let proxy = Proxy::start(setup, intake)?;
        let gateway = GatewayConfig { listen: addrs.gateway.clone(), ..config.gateway.clone() };
        let handover = HandOver::install(gateway, proxy.shared().active().policy.rules(), printer)?;
        if !quiet {
            banner::show(&config, &addrs, admin_addr, &tries, printer);
        }
        banner::warn_of_strangers(&config, &addrs, printer);
        let control = Control::start(admin, proxy.shared().clone(), lifecycle.clone(), dns, origin)?;
        // The proxy's own comes last: who sees it finds the other.
        let _admin_port = admin_port_file.map(|path| PortFile::write(path, admin_addr.as_slice())).transpose()?;
        let _port = port_file.map(|path| PortFile::write(path, &addrs.all())).transpose()?;
        if !quiet {
            banner::ready(&addrs, printer);
        }
        manager::ready(&addrs);
        let running = Running { proxy, control: &control, log, lifecycle, drain, handover };
        runtime.block_on(running.until_stopped(signals, printer))
    }
}

struct Running<'a> {
    proxy: Proxy,
    control: &'a Control,
    log: &'a Log,
    lifecycle: Lifecycle,
    drain: Duration,
    handover: HandOver,
}

impl Running<'_> {
    /// Serves until a signal, drains until its deadline or a second signal, then cuts what is left.
    async fn until_stopped(self, mut signals: Signals, printer: &mut Printer) -> anyhow::Result<()> {
        let Running { proxy, control, log, lifecycle, drain, mut handover } = self;
        let shared = proxy.shared().clone();
        let mut policy_changes = shared.policy_changes();
        let mut ended = tokio::task::spawn_blocking(move || proxy.join());
        loop {
            tokio::select! {
                _ = &mut ended => bail!("every worker of the proxy has ended"),
                Ok(()) = policy_changes.changed() => handover.follow(shared.active().policy.rules(), printer),
                signal = signals.next() => match signal {
                    Signal::Stop => break,
                    Signal::Reload => {
                        log.reopen();
                        control.reload();
                    }
                },
            }
        }
        manager::stopping();
        lifecycle.drain.cancel();
        let drained = tokio::select! {
            _ = &mut ended => true,
            () = tokio::time::sleep(drain) => false,
            () = signals.stop() => false,
        };
        if !drained {
            printer.tell("still running flows are cut");
            lifecycle.kill.cancel();
        }
        let all_ended = drained || tokio::time::timeout(CUTTING, ended).await.is_ok();
        // Their clients hear of it by way of these rules.
        handover.remove(printer);
        if !all_ended {
            bail!("a worker of the proxy does not end");
        }
        Ok(())
    }
}

/// The default port being taken is no reason to do without; a port that was asked for is.
fn bind_admin(admin: AdminConfig, is_default: bool, printer: &mut Printer) -> anyhow::Result<AdminListener> {
    let AdminConfig { listen, token } = admin;
    match AdminListener::bind(listen, token.clone()) {
        Err(error) if is_default && error.kind() == io::ErrorKind::AddrInUse => {
            let free = SocketAddr::new(listen.ip(), 0);
            let bound = AdminListener::bind(free, token).context("cannot listen for the admin server")?;
            printer.warn(&format!("{listen} is in use: the admin server listens on {} instead", bound.addr()));
            Ok(bound)
        }
        Err(error) => {
            let error = io::Error::new(error.kind(), format!("cannot listen on {listen} (admin): {error}"));
            Err(listen_error(error, "--admin 127.0.0.1:0", BELOW_1024))
        }
        Ok(bound) => Ok(bound),
    }
}

/// The mark of Egret's own sockets, where there is a gateway whose rules ask for it.
fn mark_of(gateway: &GatewayConfig) -> anyhow::Result<Option<u32>> {
    if gateway.listen.is_empty() {
        return Ok(None);
    }
    match try_mark(gateway.mark.get()) {
        Ok(()) => Ok(Some(gateway.mark.get())),
        // Without a mark only traffic of this machine itself could come back.
        Err(_) if !gateway.local => Ok(None),
        Err(error) => {
            let mend = "run it as root or with CAP_NET_ADMIN, or leave gateway.local out";
            bail!("cannot mark the sockets of Egret itself: {error}\n  = mend: {mend}")
        }
    }
}

/// Which flag to change, or which right is lacking.
fn bind_error(error: BindError) -> anyhow::Error {
    let (error, other, lacking) = match error {
        BindError::Explicit(error) => (error, "--listen 127.0.0.1:0", BELOW_1024),
        BindError::Dns(error) => (error, "--dns 127.0.0.1:5353", BELOW_1024),
        BindError::Gateway(error) => (
            error,
            "--gateway 0.0.0.0:PORT",
            "TPROXY takes CAP_NET_ADMIN: be root, or give it (setcap cap_net_admin,cap_net_bind_service,cap_net_raw+ep), or take \
             --gateway-mode redirect",
        ),
    };
    listen_error(error, other, lacking)
}

const BELOW_1024: &str = "ports below 1024 take a privilege";

fn listen_error(error: io::Error, other: &str, lacking: &str) -> anyhow::Error {
    let mend = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("something listens there already, perhaps another egret: stop it, or take another with {other}")
        }
        io::ErrorKind::PermissionDenied if lacking == BELOW_1024 => format!("{lacking}: take another with {other}"),
        io::ErrorKind::PermissionDenied => lacking.to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => return error.into(),
    };
    anyhow::anyhow!("{error}\n  = mend: {mend}")
}

/// Flow logs of networks have what clients of a subnet do: without a subnet there is none.
pub(super) fn warn_of_empty_logs(config: &Config, printer: &mut Printer) {
    let of_networks = |sink: &LogSink| matches!(sink.format, LogFormat::VnetFlow | LogFormat::NsgFlow);
    if config.enforced_network().is_some() || !config.log.sinks.iter().any(of_networks) {
        return;
    }
    let why = if config.network.is_none() {
        "there is none: --topology FILE"
    } else {
        "nobody's flows meet it: --enforce all"
    };
    printer.warn(&format!("vnet-flow and nsg-flow log what a topology's security groups see, and {why}"));
}

pub(super) fn start_record(policy: &Policy, digest: &str) -> StartRecord {
    StartRecord {
        ts: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION"),
        policies: policy.rules().policies.iter().map(|policy| policy.name.as_str().into()).collect(),
        policy_hash: policy.hash().clone(),
        config_digest: digest.into(),
    }
}

pub(super) fn telemetry_config(log: &LogConfig, start: StartRecord) -> TelemetryConfig {
    let LogConfig { sinks, on_error, categories, fat_flow_every, flow_log_every } = log;
    TelemetryConfig {
        sinks: sinks.iter().map(sink).collect(),
        run: RunId::random(),
        start,
        on_error: match on_error {
            OnLogError::Serve => OnError::Serve,
            OnLogError::Refuse => OnError::Refuse,
        },
        resource_id: azure::logs::DEFAULT_RESOURCE_ID.into(),
        categories: *categories,
        fat_flow_every: *fat_flow_every,
        flow_log_every: *flow_log_every,
        tally: None,
    }
}

/// Somebody at a terminal sees what is denied, also where the log goes to files.
fn for_whoever_watches(log: &LogConfig) -> Option<SinkSpec> {
    let written = log.sinks.iter().any(|sink| sink.target == LogTarget::Stdout);
    let watched = output::stdout_is_terminal() && !written;
    watched.then_some(SinkSpec { target: Target::Stdout, format: Format::Text, duty: Duty::BestEffort })
}

fn sink(sink: &LogSink) -> SinkSpec {
    let LogSink { target, format } = sink;
    let for_people = *target == LogTarget::Stdout && output::stdout_is_terminal();
    SinkSpec {
        target: match target {
            LogTarget::Stdout => Target::Stdout,
            LogTarget::File(path) => Target::File(path.clone()),
        },
        format: match format {
            LogFormat::Auto if for_people => Format::Text,
            LogFormat::Auto | LogFormat::Json => Format::Json,
            LogFormat::Text => Format::Text,
            LogFormat::Azure => Format::Azure,
            LogFormat::AzureLegacy => Format::AzureLegacy,
            LogFormat::VnetFlow => Format::VnetFlow,
            LogFormat::NsgFlow => Format::NsgFlow,
        },
        duty: Duty::Kept,
    }
}
