//! dnsmasq: one process, one thread.

use std::process::Command;

use anyhow::Result;
use rustix::process::Signal;

use super::launch::{Launch, Ready, Site};
use super::peer::Spec;
use super::stage::Pattern;
use crate::door::Door;

const CONF: &str = include_str!("../../../peers/dnsmasq.conf");

pub const SPEC: Spec = Spec {
    program: || Spec::on_path("dnsmasq"),
    version: "--version",
    serves: |door, _| door == Door::Dns,
    most_names: 100_000,
    reloads: true,
    launch,
};

/// Its word for a name means what is below it too.
fn launch(site: &Site) -> Result<Launch> {
    let server = format!("127.0.0.1#{}", site.stage.origins.dns.port());
    let servers = site.write_list("servers", |pattern| match pattern {
        Pattern::Name(name) | Pattern::Below(name) => format!("server=/{name}/{server}"),
    })?;
    let file = site.configure("dnsmasq.conf", CONF, &[])?;
    let mut command = Command::new((SPEC.program)()?);
    command.arg("--keep-in-foreground").arg("--conf-file").arg(file);
    let launch = site.by_name(command, Ready::At(site.addr));
    Ok(launch.reloads(Signal::HUP, servers, &format!("server=/churn.test/{server}")))
}
