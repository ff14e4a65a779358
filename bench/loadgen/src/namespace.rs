//! Surroundings of a measurement: a network namespace of this process alone, in which connections to one address are
//! handed over to the gateway under test by REDIRECT, whichever it is, and a hosts file of its own, so that every proxy
//! looks up the same names. There is nothing beyond loopback in it that anybody could reach.
//!
//! The namespace is made before anything else runs, by starting this program anew inside it, and ends with it. Nothing
//! of the machine outside is read or changed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::{env, io};

use anyhow::{Context, Result, ensure};

use crate::proxies::find;

/// Where clients believe that they connect to.
pub const DESTINATION: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 443);

/// Where squid's processes find each other by a name that is the machine's, and leave it behind.
const SHARED: [&str; 2] = ["/run/squid", "/dev/shm"];

/// What leads to loopback, where nobody says otherwise.
const NAMES: [&str; 2] = ["ok.test", "denied.test"];

/// Holds the namespace that this program came from, once it runs in its own.
const OUTSIDE: &str = "EGRET_BENCH_OUTSIDE";

/// Connection tracking keeps closed connections for two minutes, and so many are closed here that its table would be
/// full within seconds.
const TRACKED: [&str; 3] = ["time_wait", "close", "last_ack"];

/// The hosts file of the namespace, which lies over the machine's.
static HOSTS: OnceLock<Mutex<File>> = OnceLock::new();

/// Whether this program has started itself anew in the namespace, whether or not that is ready.
pub fn is_entered() -> bool {
    env::var_os(OUTSIDE).is_some()
}

/// Whether this process runs in surroundings of its own.
pub fn is_inside() -> bool {
    HOSTS.get().is_some()
}

/// Has these names lead to loopback, and no others. Does nothing outside.
pub fn resolve<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let Some(hosts) = HOSTS.get() else { return Ok(()) };
    let mut file = hosts.lock().expect("nobody panics while writing a file");
    let text: String = names.into_iter().map(|name| format!("127.0.0.1 {name}\n")).collect();
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes()).context("writing the hosts file")
}

/// Whether [`enter`] can work, tried in a child.
pub fn probe() -> Result<()> {
    if is_entered() {
        return Ok(());
    }
    let mut command = unshare();
    command.args(["sh", "-c", r#""$0" link set lo up && "$1" list tables"#]).args(["ip", "nft"].map(path_of));
    run(&mut command, "")
}

/// A program of the system, which may be where only root's PATH leads.
pub(crate) fn tool(program: &str) -> Command {
    Command::new(path_of(program))
}

/// Its name alone where it is not to be found, for the message.
fn path_of(program: &str) -> PathBuf {
    find(program).unwrap_or_else(|| program.into())
}

/// Without root, a user namespace lends the rights.
fn unshare() -> Command {
    let mut command = tool("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--net", "--mount", "--"]);
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
    run(tool("ip").args(["link", "set", "lo", "up"]), "")?;
    run(tool("ip").args(["address", "add", &DESTINATION.ip().to_string(), "dev", "lo"]), "")?;
    hand_over_to(1)?;
    for state in TRACKED {
        let path = format!("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_{state}");
        fs::write(&path, "1").with_context(|| format!("writing {path}"))?;
    }
    let shared = SHARED.into_iter().filter(|folder| fs::exists(folder).unwrap_or_default());
    for folder in shared {
        run(tool("mount").args(["-t", "tmpfs", "-o", "mode=1777", "egret-bench", folder]), "")?;
    }
    cover_hosts()?;
    resolve(NAMES)
}

/// The file that lies over the machine's is written by its handle: the machine's own is never opened.
fn cover_hosts() -> Result<()> {
    let file = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o644)).tempfile()?;
    run(tool("mount").arg("--bind").arg(file.path()).arg("/etc/hosts"), "")?;
    // Its name goes here, and itself with the mount.
    let hosts = HOSTS.set(Mutex::new(file.into_file()));
    ensure!(hosts.is_ok(), "a process enters its namespace once");
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
    run(tool("nft").args(["-f", "-"]), &rules)
}

/// Runs it to its end with this input; what it says is the error's.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<()> {
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
