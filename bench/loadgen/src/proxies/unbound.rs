//! unbound: a thread a core.

use std::process::Command;

use anyhow::Result;
use rustix::process::Signal;

use super::launch::{Launch, Ready, Site};
use super::peer::Spec;
use super::stage::Pattern;
use crate::door::Door;

const CONF: &str = include_str!("../../../peers/unbound.conf");

pub const SPEC: Spec = Spec {
    program: || Spec::on_path("unbound"),
    version: "-V",
    serves: |door, _| door == Door::Dns,
    most_names: 1_000_000,
    reloads: true,
    launch,
};

/// Its word for a name means what is below it too.
fn launch(site: &Site) -> Result<Launch> {
    let zones = site.write_list("zones", |pattern| match pattern {
        Pattern::Name(name) | Pattern::Below(name) => format!("local-zone: \"{name}.\" transparent"),
    })?;
    let file = site.configure("unbound.conf", CONF, &[])?;
    let mut command = Command::new((SPEC.program)()?);
    command.args(["-d", "-p", "-c"]).arg(file);
    let launch = site.by_name(command, Ready::At(site.addr));
    Ok(launch.reloads(Signal::HUP, zones, "local-zone: \"churn.test.\" transparent"))
}
