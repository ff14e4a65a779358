//! Squid: by the name of CONNECT alone, or with a look at the ClientHello ("peek and splice").
//!
//! The latter takes a build with OpenSSL, which Debian has as `squid-openssl`; only one of the two packages can be
//! installed. `EGRET_BENCH_SQUID` names another program for it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use rustix::process::Signal;

use super::launch::{Launch, Site, cores};
use super::peer::{Spec, find};
use super::stage::Pattern;
use crate::door::Door;
use crate::namespace;
use crate::tls::Identity;

const CONF: &str = include_str!("../../../peers/squid.conf");
const SPLICE_CONF: &str = include_str!("../../../peers/squid-splice.conf");
const WITH_OPENSSL: &str = "EGRET_BENCH_SQUID";

pub const PLAIN: Spec = Spec {
    program: || Spec::on_path("squid"),
    version: "-v",
    serves: |door, _| door == Door::Explicit,
    most_names: 1_000_000,
    reloads: true,
    launch: |site| launch(site, &Spec::on_path("squid")?, CONF),
};

pub const SPLICE: Spec =
    Spec { program: with_openssl, launch: |site| launch(site, &with_openssl()?, SPLICE_CONF), ..PLAIN };

fn with_openssl() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os(WITH_OPENSSL) {
        return Ok(program.into());
    }
    let said =
        |program: &Path| Command::new(program).arg("-v").output().map(|output| output.stdout).unwrap_or_default();
    let fits = |program: &PathBuf| String::from_utf8_lossy(&said(program)).contains("--with-openssl");
    match ["squid-openssl", "squid"].into_iter().filter_map(find).find(fits) {
        Some(program) => Ok(program),
        None => bail!("there is no squid with OpenSSL on the PATH, and {WITH_OPENSSL} names none"),
    }
}

fn launch(site: &Site, program: &Path, template: &str) -> Result<Launch> {
    let names = site.write_list("names", Pattern::dotted)?;
    let hosts = if namespace::is_inside() { "/etc/hosts".into() } else { site.write("hosts", "127.0.0.1 ok.test\n")? };
    site.write("ca.pem", &Identity::get()?.ca_pem())?;
    // SMP needs the rights of the package's user.
    let workers = if rustix::process::geteuid().is_root() { cores() } else { 1 };
    let extra = [("{workers}", workers.to_string()), ("{hosts}", hosts.display().to_string())];
    let file = site.configure("squid.conf", template, &extra)?;
    let mut command = Command::new(program);
    command.args(["--foreground", "-n", "egretbench", "-f"]).arg(file);
    Ok(site.at_origins(command, "ok.test").reloads(Signal::HUP, names, "churn.test"))
}
