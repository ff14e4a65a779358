//! `egret doctor --live`: each outbound dependency really tried, through a running Egret.
//!
//! Nothing is tried from here: the running Egret does it, by the outbound dependency API of its admin server, so that its
//! policy, its names and its way out are those that count. The environment is found there by its name.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::FalseyValueParser;
use hyper::StatusCode;
use serde::Serialize;

use crate::azure::ase::{ALL_DEPENDENCIES, EndpointDetail, ErrorBody, OutboundEnvironmentEndpointCollection};
use crate::cli::asking::{self, Admin};
use crate::cli::output::{ALLOW, DENY, HINT, PrintError, Printer, STRONG};
use crate::telemetry::Printable;
use crate::vnet::Topology;

use super::report::Report;

/// A sweep of all dependencies has its own deadline, which is shorter.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Live")]
pub(super) struct LiveArgs {
    /// Try each outbound dependency too, through a running Egret with the same topology
    #[arg(long, env = "EGRET_LIVE", value_parser = FalseyValueParser::new())]
    live: bool,
    /// Where the admin server of that Egret listens
    #[arg(long, env = "EGRET_ADMIN", value_name = "ADDR:PORT", default_value = "127.0.0.1:9315")]
    admin: Admin,
    /// Its bearer token, where it wants one
    #[arg(long, env = "EGRET_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
}

/// What became of the dependencies of one environment.
#[derive(Serialize)]
pub(super) struct Tried {
    pub(super) environment: String,
    outbound: OutboundEnvironmentEndpointCollection,
}

/// What became of one dependency at one port.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    category: &'a str,
    domain: &'a str,
    pub(super) detail: &'a EndpointDetail,
}

impl Tried {
    pub(super) fn attempts(&self) -> impl Iterator<Item = Attempt<'_>> {
        self.outbound.value.iter().flat_map(|category| {
            let endpoints = category.endpoints.iter();
            endpoints.flat_map(|endpoint| {
                let (category, domain) = (category.category.as_str(), endpoint.domain_name.as_str());
                endpoint.endpoint_details.iter().map(move |detail| Attempt { category, domain, detail })
            })
        })
    }

    /// `12 of 130 dependencies are reached`
    pub(super) fn counted(&self) -> String {
        let all = self.attempts().count();
        format!("{} of {all} dependencies are reached", all - self.not_reached().count())
    }

    pub(super) fn not_reached(&self) -> impl Iterator<Item = Attempt<'_>> {
        self.attempts().filter(|attempt| !attempt.detail.is_accessible)
    }
}

impl Attempt<'_> {
    /// `login.windows.net:443`
    pub(super) fn target(&self) -> String {
        format!("{}:{}", Printable(self.domain), self.detail.port)
    }

    /// `policy: not_allowed`, where the running Egret says it.
    fn why(&self) -> Option<String> {
        self.detail.reason.as_ref().map(|reason| Printable(reason).to_string())
    }

    /// What is the matter with one that was not reached.
    pub(super) fn failure(&self) -> String {
        let at = self.detail.ip_address.map(|address| format!(" at {address}")).unwrap_or_default();
        let why = self.why().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{} ({}) is not reached{at}{why}", self.target(), Printable(self.category))
    }
}

/// Empty where nobody asked for it.
pub(super) fn look(args: &LiveArgs, report: &Report) -> anyhow::Result<Vec<Tried>> {
    let LiveArgs { live, admin, admin_token } = args;
    if !live {
        return Ok(Vec::new());
    }
    let each = report.environments.iter().map(|examination| {
        let name = examination.environment.name.clone();
        let path = path(report.network.topology(), &name);
        let outbound = outbound(*admin, admin_token.as_deref(), &path)
            .with_context(|| format!("--live: the dependencies of {name} could not be tried"))?;
        Ok(Tried { environment: name, outbound })
    });
    each.collect()
}

fn outbound(admin: Admin, token: Option<&str>, path: &str) -> anyhow::Result<OutboundEnvironmentEndpointCollection> {
    let (status, text) = asking::get(admin, token, path, LIMIT)?;
    if status == StatusCode::OK {
        return serde_json::from_str(&text).context("the answer is none of an admin server of this version");
    }
    let said = serde_json::from_str(&text).map(|ErrorBody { error }| format!("{}: {}", error.code, error.message));
    bail!("the running Egret answers {}: {}", status.as_u16(), said.unwrap_or(text).trim())
}

fn path(topology: &Topology, name: &str) -> String {
    let or = |text: &str| escaped(if text.is_empty() { "egret" } else { text });
    let home = topology.home("Microsoft.Web/hostingEnvironments", name);
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Web/hostingEnvironments/{}\
         /outboundNetworkDependenciesEndpoints?api-version=2021-01-15&{ALL_DEPENDENCIES}",
        or(home.subscription),
        or(home.resource_group),
        escaped(name)
    )
}

/// As a segment of a path.
fn escaped(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// Was every dependency reached?
pub(super) fn is_reached(tried: &[Tried]) -> bool {
    tried.iter().all(|it| it.not_reached().next().is_none())
}

/// The report with what was tried beside it, where that was asked for.
#[derive(Serialize)]
pub(super) struct Beside<'a, T> {
    #[serde(flatten)]
    report: T,
    #[serde(skip_serializing_if = "<[Tried]>::is_empty")]
    live: &'a [Tried],
}

pub(super) fn beside<T>(report: T, live: &[Tried]) -> Beside<'_, T> {
    Beside { report, live }
}

/// For people: a table of latency and accessibility.
pub(super) fn print(tried: &[Tried], printer: &mut Printer) -> Result<(), PrintError> {
    tried.iter().try_for_each(|it| one(it, printer))
}

fn one(tried: &Tried, printer: &mut Printer) -> Result<(), PrintError> {
    let all: Vec<Attempt<'_>> = tried.attempts().collect();
    let width = all.iter().map(|attempt| attempt.domain.len()).max().unwrap_or(0);
    let environment = Printable(&tried.environment);
    printer.line("")?;
    printer.line(format_args!("{STRONG}{environment}{STRONG:#}: {}", tried.counted()))?;
    let mut last = "";
    for attempt in all {
        let Attempt { category, domain, detail } = attempt;
        let EndpointDetail { ip_address, port, latency, is_accessible, reason: _ } = detail;
        if category != last {
            printer.line(format_args!("  {HINT}{}{HINT:#}", Printable(category)))?;
            last = category;
        }
        let (style, word) = if *is_accessible { (ALLOW, "reached") } else { (DENY, "not reached") };
        let address = ip_address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        let latency = latency.map_or_else(|| "-".to_owned(), |latency| format!("{latency:.1} ms"));
        let domain = Printable(domain).to_string();
        let why = attempt.why().map(|why| format!("  {HINT}{why}{HINT:#}")).unwrap_or_default();
        let line =
            format_args!("    {style}{word:<11}{style:#}  {domain:<width$}  {port:>5}  {latency:>10}  {address}{why}");
        printer.line(line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let topology = Topology { resource_group: "my group (lab)".into(), ..Topology::default() };
        let expected = "/subscriptions/egret/resourceGroups/my%20group%20%28lab%29/providers/Microsoft.Web\
                        /hostingEnvironments/ase/outboundNetworkDependenciesEndpoints?api-version=2021-01-15&egret=all";
        assert_eq!(path(&topology, "ase"), expected);
    }
}
