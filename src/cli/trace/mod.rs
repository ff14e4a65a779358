//! `egret trace`: one flow through the network around the firewall, hop by hop, both ways.

mod json;
mod layout;
mod svg;
mod text;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::ValueHint;

use super::args::PolicyArgs;
use super::output::{Format, Printer};
use super::{Exit, UsageError};
use crate::azure::watcher::read_effective_routes;
use crate::config::{self, DefaultFile, Loaded};
use crate::flow::HostName;
use crate::policy::{Policy, RuleSet};
use crate::vnet::trace::{Scene, Target, Trace, endpoints};
use crate::vnet::{EffectiveRoute, Network};

const EXAMPLES: &str = "\
What a flow begins and ends at:
  ase                        the App Service Environment: its subnet, or the address that others reach it at
  vip, firewall              its public VIP; the firewall
  ase-subnet, vnet/subnet    a subnet, any address of it
  vm1                        a network interface
  10.1.2.3, 10.1.0.0/16      an address; every address of a prefix
  internet, on-premises      anybody there
  AppServiceManagement, Sql  a service tag: every prefix of it
  https://login.windows.net  a host: http://, mssql://, tcp://host:port, udp://host:port, icmp://host too
A port follows a colon: vip:454. With one end alone, the flow begins in the App Service Environment.

Examples:
  egret trace --topology vnet.toml ase https://login.windows.net
  egret trace --topology vnet.toml AppServiceManagement vip:454
  egret trace --topology vnet.toml --svg trace.svg internet vip:443
  egret trace --topology template.json --format json vm1 10.1.0.4:1433
  egret trace --topology vnet.toml 'ase -> https://login.windows.net'
An arrow between the ends is welcome, and has to be quoted: to a shell, > is a file to write to.

Exits with 3 unless the flow is delivered and its reply comes back, with 2 when an end is none.";

/// Follow one flow through security groups, routes, service endpoints and the firewall, and its reply back.
///
/// Nothing is sent and no name is resolved: give addresses with --resolve where a route or a rule looks at them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "egret trace [OPTIONS] [FROM] <TO>\n       egret trace [OPTIONS] 'FROM -> TO'")]
pub(super) struct Args {
    /// Where the flow begins and what it is for: FROM TO, or TO alone
    #[arg(required = true, num_args = 1..=3, value_name = "FROM TO")]
    flow: Vec<String>,
    /// How to answer: drawn for people or one JSON object
    #[arg(long, env = "EGRET_FORMAT", value_enum, default_value = "text")]
    format: Format,
    /// Draw the topology with the path on it
    #[arg(long, env = "EGRET_SVG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    svg: Option<PathBuf>,
    /// What `az network nic show-effective-route-table` printed for a machine in the subnet where the flow begins: these
    /// routes count there instead of those that the topology comes to
    #[arg(long, env = "EGRET_EFFECTIVE_ROUTES", value_name = "FILE", value_hint = ValueHint::FilePath)]
    effective_routes: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// A bare arrow would be taken for a flag.
pub(super) fn without_arrow(args: Vec<OsString>) -> Vec<OsString> {
    let is_trace = args.get(1).is_some_and(|command| command == "trace");
    if !is_trace {
        return args;
    }
    let stripped = |arg: OsString| match arg.to_str().and_then(|text| text.strip_prefix("->")) {
        Some(rest) => OsString::from(rest.trim_start()),
        None => arg,
    };
    args.into_iter().map(stripped).filter(|arg| !arg.is_empty()).collect()
}

pub(super) fn run(args: Args, printer: &mut Printer) -> anyhow::Result<Exit> {
    let Args { flow, format, svg, effective_routes, policy } = args;
    let (from, to) = endpoints(&flow).map_err(|error| UsageError(error.to_string()))?;
    let Loaded { config, warnings, texts, .. } = config::load(&policy.into_overrides(), DefaultFile::Read)?;
    warnings.iter().for_each(|warning| printer.warn(&warning.one_line()));
    let switches = config.switches();
    let Some(network) = config.network.as_deref() else {
        let what =
            "there is no network to trace in: name one, as in `egret trace --topology vnet.toml ase internet:443`";
        return Err(UsageError(what.into()).into());
    };
    // Which flows pass the firewall by is what routes say, not what the policy takes for usual.
    let rules = RuleSet { service_endpoints: Vec::new(), ..config.rules };
    let policy = Policy::compile(Arc::new(rules), switches);
    let overrides = &config.dns.overrides;
    let given = |name: &HostName, port: u16| -> Vec<IpAddr> {
        let found = overrides.iter().find(|given| given.is_for(name, port));
        found.map(|given| given.addresses.clone()).unwrap_or_default()
    };
    let read = effective_routes.filter(|path| path != Path::new("")).map(|path| read_routes(&path)).transpose()?;
    let scene = Scene { network, policy: Some(&policy), given: &given };
    let told = read.map(|routes| with_routes(scene, from.as_ref(), &to, routes)).transpose()?;
    let scene = Scene { network: told.as_ref().unwrap_or(network), ..scene };
    let network = scene.network;
    let trace = Trace::of(scene, from.as_ref(), &to).map_err(|error| UsageError(error.to_string()))?;
    match format {
        Format::Json => printer.json(&json::shown(&trace, &texts))?,
        Format::Text => text::print(&trace, text::width(), printer)?,
    }
    if let Some(path) = svg.filter(|path| path != Path::new("")) {
        let drawn = svg::drawn(network, &trace);
        std::fs::write(&path, drawn).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if trace.is_delivered() { Exit::Clean } else { Exit::Denied })
}

fn read_routes(path: &Path) -> anyhow::Result<Vec<EffectiveRoute>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let routes = read_effective_routes(&text);
    Ok(routes.map_err(|error| UsageError(format!("--effective-routes: {}: {error}", path.display())))?)
}

/// The network with these routes in the subnet where the flow begins.
fn with_routes(
    scene: Scene<'_>,
    from: Option<&Target>,
    to: &Target,
    routes: Vec<EffectiveRoute>,
) -> anyhow::Result<Network> {
    let place = Trace::begins_in(scene, from, to).map_err(|error| UsageError(error.to_string()))?;
    let nowhere =
        || UsageError("--effective-routes: the flow begins in no subnet, which routes would be of".to_owned());
    let (topology, tags) = (scene.network.topology().clone(), scene.network.tags().clone());
    Ok(Network::new(topology, tags).with_effective_routes(place.ok_or_else(nowhere)?, routes))
}
