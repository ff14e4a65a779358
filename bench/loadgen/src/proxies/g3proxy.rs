//! g3proxy: by the host of CONNECT or SOCKS5. Its resolver knows no hosts file, so that it is asked for an address.

use std::process::Command;

use anyhow::Result;

use super::launch::{Launch, Site};
use super::peer::Spec;
use super::stage::Pattern;
use crate::door::Door;
use crate::workload::Workload;

const CONF: &str = include_str!("../../../peers/g3proxy.yaml");

pub const SPEC: Spec = Spec {
    program: || Spec::on_path("g3proxy"),
    version: "--version",
    serves: |door, workload| match door {
        Door::Explicit => true,
        Door::Socks5 => workload != Workload::Crowd,
        Door::Gateway | Door::Dns => false,
    },
    most_names: 100_000,
    reloads: false,
    launch,
};

fn launch(site: &Site) -> Result<Launch> {
    let kind = if site.stage.door == Door::Socks5 { "socks_proxy" } else { "http_proxy" };
    let names = site.stage.policy.patterns().filter_map(|pattern| match pattern {
        Pattern::Name(name) => Some(format!("        - {name}\n")),
        Pattern::Below(_) => None,
    });
    let extra = [("{server}", kind.to_owned()), ("{names}", names.collect())];
    let file = site.configure("g3proxy.yaml", CONF, &extra)?;
    let mut command = Command::new((SPEC.program)()?);
    command.args(["-G", "egretbench", "-c"]).arg(file);
    Ok(site.at_origins(command, "127.0.0.1"))
}
