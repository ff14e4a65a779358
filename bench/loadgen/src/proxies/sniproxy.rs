//! sniproxy: a gateway by a table of regular expressions that it walks.

use std::process::Command;

use anyhow::Result;

use super::launch::{Launch, Ready, Site};
use super::peer::{Spec, is_tunnelled};
use super::stage::Pattern;
use crate::door::Door;

const CONF: &str = include_str!("../../../peers/sniproxy.conf");

pub const SPEC: Spec = Spec {
    program: || Spec::on_path("sniproxy"),
    version: "-V",
    serves: |door, workload| door == Door::Gateway && is_tunnelled(workload),
    most_names: 10_000,
    // Its one file would have to be written anew as a whole.
    reloads: false,
    launch,
};

fn launch(site: &Site) -> Result<Launch> {
    let origin = site.stage.origins.tls;
    let line = |pattern: Pattern| format!("    {} {origin}\n", pattern.regex().replace("[.]", r"\."));
    let names = site.stage.policy.patterns().map(line).collect();
    let file = site.configure("sniproxy.conf", CONF, &[("{names}", names)])?;
    let mut command = Command::new((SPEC.program)()?);
    command.args(["-f", "-c"]).arg(file);
    Ok(site.by_name(command, Ready::At(site.addr)))
}
