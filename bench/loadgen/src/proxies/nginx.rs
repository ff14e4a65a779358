//! nginx: the stream module as a gateway, and for `http` a server with one fixed upstream.

use std::process::Command;

use anyhow::Result;
use rustix::process::Signal;

use super::launch::{Launch, Ready, Site};
use super::peer::{Spec, is_tunnelled};
use super::stage::Pattern;
use crate::door::Door;
use crate::workload::Workload;

const CONF: &str = include_str!("../../../peers/nginx.conf");

pub const SPEC: Spec = Spec {
    program: || Spec::on_path("nginx"),
    version: "-v",
    serves: |door, workload| match door {
        Door::Explicit => workload == Workload::Http,
        Door::Gateway => is_tunnelled(workload),
        Door::Socks5 | Door::Dns => false,
    },
    most_names: 1_000_000,
    reloads: true,
    launch,
};

fn launch(site: &Site) -> Result<Launch> {
    let origin = site.stage.origins.tls;
    let names = site.write_list("names", |pattern| match pattern {
        Pattern::Name(name) => format!("{name} {origin};"),
        Pattern::Below(name) => format!("*.{name} {origin};"),
    })?;
    let buckets = (site.stage.policy.beside * 2).next_power_of_two().max(2048);
    let file = site.configure("nginx.conf", CONF, &[("{buckets}", buckets.to_string())])?;
    let mut command = Command::new((SPEC.program)()?);
    command.arg("-c").arg(file);
    let launch = site.by_name(command, Ready::At(site.heard_at()));
    Ok(launch.reloads(Signal::HUP, names, &format!("churn.test {origin};")))
}
