//! tinyproxy: by the name of CONNECT, against a list of regular expressions that it walks.

use std::process::Command;

use anyhow::Result;
use rustix::process::Signal;

use super::launch::{Launch, Site};
use super::peer::Spec;
use super::stage::Pattern;
use crate::door::Door;

const CONF: &str = include_str!("../../../peers/tinyproxy.conf");

pub const SPEC: Spec = Spec {
    program: || Spec::on_path("tinyproxy"),
    version: "-v",
    serves: |door, _| door == Door::Explicit,
    most_names: 10_000,
    reloads: true,
    launch,
};

fn launch(site: &Site) -> Result<Launch> {
    let filter = site.write_list_with_host("filter", Pattern::regex)?;
    let file = site.configure("tinyproxy.conf", CONF, &[])?;
    let mut command = Command::new((SPEC.program)()?);
    command.args(["-d", "-c"]).arg(file);
    Ok(site.at_origins(command, site.host()).reloads(Signal::HUP, filter, "^churn[.]test$"))
}
