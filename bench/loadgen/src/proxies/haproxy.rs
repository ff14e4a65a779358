//! haproxy: as a gateway, and for `http` a frontend with one fixed server.

use std::process::Command;

use anyhow::Result;
use rustix::process::Signal;

use super::launch::{Launch, Ready, Site};
use super::nginx;
use super::peer::Spec;
use super::stage::Pattern;

const CONF: &str = include_str!("../../../peers/haproxy.cfg");

pub const SPEC: Spec = Spec { program: || Spec::on_path("haproxy"), version: "-v", launch, ..nginx::SPEC };

fn launch(site: &Site) -> Result<Launch> {
    let names = site.write_list("names", |pattern| match pattern {
        Pattern::Name(name) => name.clone(),
        Pattern::Below(_) => String::new(),
    })?;
    site.write_list("below", |pattern| match pattern {
        Pattern::Name(_) => String::new(),
        Pattern::Below(name) => format!(".{name}"),
    })?;
    let file = site.configure("haproxy.cfg", CONF, &[])?;
    let mut command = Command::new((SPEC.program)()?);
    command.args(["-W", "-db", "-q", "-f"]).arg(file);
    Ok(site.by_name(command, Ready::At(site.heard_at())).reloads(Signal::USR2, names, "churn.test"))
}
