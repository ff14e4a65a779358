//! Surroundings of a gateway: a network namespace of this process alone, in which connections to one address are handed
//! over to the proxy under test by REDIRECT, whichever proxy it is.
//!
//! The namespace is made before anything else runs, by starting this program anew inside it, and ends with it. Nothing
//! of the machine outside is read or changed.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::{env, io};

use anyhow::{Context, Result, ensure};

/// Where clients believe that they connect to.
pub const DESTINATION: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 443);

/// Holds the namespace that this program came from, once it runs in its own.
const OUTSIDE: &str = "EGRET_BENCH_OUTSIDE";

/// Connection tracking keeps closed connections for two minutes, and so many are closed here that its table would be
/// full within seconds.
const TRACKED: [&str; 3] = ["time_wait", "close", "last_ack"];

/// Whether [`enter`] can work, tried in a child.
pub fn probe() -> Result<()> {
    if env::var_os(OUTSIDE).is_some() {
        return Ok(());
    }
    let mut command = unshare();
    command.args(["sh", "-c", "ip link set lo up && nft list tables"]);
    run(&mut command, "")
}

/// Without root, a user namespace lends the rights.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--net", "--"]);
    command
}

/// Returns inside the namespace. Outside it, this program is replaced by itself inside.
pub fn enter() -> Result<()> {
    let here = fs::read_link("/proc/self/ns/net").context("asking for the network namespace")?;
    let Some(outside) = env::var_os(OUTSIDE) else {
        let error = restart_inside(here.into_os_string())?;
        return Err(error).context("starting anew in a network namespace with unshare (is util-linux installed?)");
    };
    ensure!(here.as_os_str() != outside, "unshare did not make a network namespace");
    prepare()
}

/// Returns only if that failed.
fn restart_inside(here: OsString) -> Result<io::Error> {
    let mut command = unshare();
    command.arg(env::current_exe().context("finding this program")?);
    Ok(command.args(env::args_os().skip(1)).env(OUTSIDE, here).exec())
}

fn prepare() -> Result<()> {
    run(Command::new("ip").args(["link", "set", "lo", "up"]), "")?;
    run(Command::new("ip").args(["address", "add", &DESTINATION.ip().to_string(), "dev", "lo"]), "")?;
    hand_over_to(1)?;
    for state in TRACKED {
        let path = format!("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_{state}");
        fs::write(&path, "1").with_context(|| format!("writing {path}"))?;
    }
    Ok(())
}

/// Connections to [`DESTINATION`] come to this port from now on. What a proxy itself dials is on 127.0.0.1 and is not
/// touched.
pub fn hand_over_to(port: u16) -> Result<()> {
    let (ip, to) = (DESTINATION.ip(), DESTINATION.port());
    let rules = format!(
        "table ip egret-bench {{}}\n\
         delete table ip egret-bench\n\
         table ip egret-bench {{\n\
         chain output {{\n\
         type nat hook output priority -100;\n\
         ip daddr {ip} tcp dport {to} redirect to :{port}\n\
         }}\n\
         }}\n"
    );
    run(Command::new("nft").args(["-f", "-"]), &rules)
}

fn run(command: &mut Command, input: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("running {program} (is it installed?)"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that wants no input may have ended.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
