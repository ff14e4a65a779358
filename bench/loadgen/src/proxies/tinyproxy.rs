//! tinyproxy: by the name of CONNECT, against a list of regular expressions that it walks.

use std::process::Command;

use anyhow::Result;

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
    // While it loads its list again it denies what is on it.
    reloads: false,
    launch,
};

fn launch(site: &Site, mut command: Command) -> Result<Launch> {
    site.write_list_with_host("filter", Pattern::regex)?;
    let file = site.configure("tinyproxy.conf", CONF, &[])?;
    command.args(["-d", "-c"]).arg(file);
    Ok(site.at_origins(command, site.host()))
}
