//! Where subjects that the runner starts are attacked: a network namespace of this process alone in which every address
//! is this machine's, so that whatever a proxy dials comes to the runner, and every name is the runner's to answer.
//!
//! It is made before anything else runs, by starting this program anew inside it, and ends with it. Nothing outside is
//! read or changed.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::Arc;
use std::{env, fs};

use anyhow::{Context, Result, ensure};

use super::origin::Origin;
use super::ways::MARK;
use super::witness::Witness;
use super::{GATEWAY, GATEWAY_HTTP, NAMES};
use crate::namespace::{run, tool};

/// Where permitted names lead to.
const PUBLIC: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 7))];

/// Ports that a case names, so that what gets there is seen.
const PORTS: [u16; 16] = [21, 22, 25, 79, 80, 81, 442, 443, 444, 465, 853, 1433, 3306, 8080, 8443, 65535];

/// Holds the namespace that this program came from, once it runs in its own.
const OUTSIDE: &str = "EGRET_BENCH_ATTACK_OUTSIDE";

const ADDRESSES: &str = "\
link set lo up
addr add 192.0.2.1/32 dev lo
addr add 198.51.100.7/32 dev lo
addr add 2001:db8:2::1/128 dev lo nodad
addr add 2001:db8:2::7/128 dev lo nodad
route add local 0.0.0.0/0 dev lo src 192.0.2.1
";
const ROUTES_6: &str = "route add local ::/0 dev lo src 2001:db8:2::1\n";

/// Returns inside the namespace. Outside it, this program is replaced by itself inside.
pub fn enter() -> Result<()> {
    let here = fs::read_link("/proc/self/ns/net").context("asking for the network namespace")?;
    let Some(outside) = env::var_os(OUTSIDE) else {
        let error = restart_inside(here.into_os_string())?;
        return Err(error).context("starting anew in namespaces with unshare (is util-linux installed?)");
    };
    ensure!(here.as_os_str() != outside, "unshare did not make a network namespace");
    run(tool("ip").args(["-batch", "-"]), ADDRESSES)?;
    run(tool("ip").args(["-6", "-batch", "-"]), ROUTES_6)?;
    run(tool("nft").args(["-f", "-"]), &hand_over())
}

/// Returns only if that failed. Without root, a user namespace lends the rights.
fn restart_inside(here: OsString) -> Result<io::Error> {
    let mut command = tool("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--net", "--mount", "--"]).arg(env::current_exe().context("finding this program")?);
    Ok(command.args(env::args_os().skip(1)).env(OUTSIDE, here).exec())
}

/// What clients of the gateway mark is the gateway's; what proxies dial is not marked.
fn hand_over() -> String {
    let rules = |family: &str| {
        format!(
            "table {family} attack {{\nchain output {{\ntype nat hook output priority -100;\n\
             meta mark {MARK} tcp dport 80 redirect to :{GATEWAY_HTTP}\n\
             meta mark {MARK} meta l4proto tcp redirect to :{GATEWAY}\n}}\n}}\n"
        )
    };
    rules("ip") + &rules("ip6")
}

/// The system's resolver asks the runner, and there is no hosts file.
fn own_resolver(folder: &Path) -> Result<()> {
    let files = [("/etc/resolv.conf", format!("nameserver {}\n", NAMES.ip())), ("/etc/hosts", String::new())];
    for (path, text) in files {
        let own = folder.join(path.trim_start_matches("/etc/"));
        fs::write(&own, text)?;
        // A link, as systemd-resolved has it, is mounted over where it leads to.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        run(tool("mount").arg("--bind").arg(own).arg(path), "")?;
    }
    Ok(())
}

/// The origin on every port, and the name server. They run until this program ends.
pub fn prepare(folder: &Path) -> Result<Arc<Witness>> {
    own_resolver(folder)?;
    let witness = Arc::new(Witness::of(PUBLIC.to_vec(), super::marker::prefix()));
    let origin = Origin::new(witness.clone())?;
    for port in PORTS {
        // One listener for both families: the kernel shows IPv4 addresses as mapped ones.
        origin.listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port))?;
    }
    super::names::listen(NAMES, &witness)?;
    Ok(witness)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::case::Verdict;
    use crate::attack::corpus::Corpus;

    /// A leak to a port that nobody listens on would look like a refusal.
    #[test]
    fn every_port_of_the_corpus_has_an_origin() {
        for (_, case) in Corpus::embedded().unwrap().cases() {
            let port = case.target.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            let listens = port.is_none_or(|port| [0, super::super::PROXY].contains(&port) || PORTS.contains(&port));
            assert!(listens || case.strict == Verdict::Malformed, "{}: {}", case.id, case.target);
        }
    }
}
