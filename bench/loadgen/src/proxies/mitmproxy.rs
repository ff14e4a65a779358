//! mitmproxy: one process of Python, with an addon for the allowlist. It ends TLS, or passes it on unread.
//!
//! It has a CA of its own for the former, which is the one that the clients here trust.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::launch::{Launch, Site};
use super::peer::Spec;
use super::stage::Pattern;
use crate::door::Door;
use crate::tls::Identity;
use crate::workload::Workload;

const ADDON: &str = include_str!("../../../peers/mitmproxy.py");

/// What is no TLS, although it begins with a ClientHello, cannot be looked into.
pub const INSPECT: Spec = Spec {
    serves: |door, workload| {
        matches!(door, Door::Explicit | Door::Socks5)
            && matches!(workload, Workload::Handshake | Workload::Refused | Workload::Http)
            && workload.fits(door)
    },
    launch: |site| launch(site, "inspect"),
    ..PASSTHROUGH
};

pub const PASSTHROUGH: Spec = Spec {
    program: || Spec::on_path("mitmdump"),
    version: "--version",
    serves: |door, workload| matches!(door, Door::Explicit | Door::Socks5) && workload != Workload::Crowd,
    most_names: 1_000_000,
    reloads: false,
    launch: |site| launch(site, "passthrough"),
};

fn launch(site: &Site, tls: &str) -> Result<Launch> {
    let addon = site.write("mitmproxy.py", ADDON)?;
    let names = site.write_list_with_host("names", Pattern::dotted)?;
    let identity = Identity::get()?;
    site.write("mitmproxy-ca.pem", &identity.ca_pem())?;
    let ca = site.write("ca-certificates.pem", &identity.ca_certificate_pem())?;
    let mut command = Command::new((PASSTHROUGH.program)()?);
    command.args(["--quiet", "--listen-host", "127.0.0.1", "--listen-port", &site.addr.port().to_string()]);
    if site.stage.door == Door::Socks5 {
        command.args(["--mode", "socks5"]);
    }
    command.arg("--set").arg(setting("confdir", site.dir));
    command.arg("--set").arg(setting("ssl_verify_upstream_trusted_ca", &ca));
    command.arg("--scripts").arg(addon);
    command.arg("--set").arg(setting("egress_names", &names));
    command.arg("--set").arg(format!("egress_tls={tls}"));
    Ok(site.at_origins(command, site.host()))
}

fn setting(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}
