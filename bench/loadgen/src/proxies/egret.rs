//! Egret as it would run: its built-in policy, the names of the stage beside it, every flow logged to a file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::launch::{Launch, Ready, Site};
use super::stage::{Pattern, Policy};
use crate::door::Door;
use crate::workload::LogTo;

/// Here one client is everybody: its share is all there is.
const ONE_CLIENT: &str = "[limits]\nconnections_per_client = 10000000\n";
/// A file of Egret's may have 16 MiB, and a name here takes 16 bytes of it.
const NAMES_A_FILE: usize = 500_000;

/// The binary that somebody has named, if it is one.
pub fn binary(path: &Path) -> Result<PathBuf> {
    let mend = "build it with `cargo build --release`, or say where it is with --egret PATH";
    ensure!(path.is_file(), "there is no file {}: {mend}", path.display());
    // Who gave a file name alone meant the file, not the PATH.
    let path = std::path::absolute(path).with_context(|| format!("finding {}", path.display()))?;
    let output = Command::new(&path).arg("--version").output();
    let output = output.with_context(|| format!("running {}", path.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().next().unwrap_or_default();
    ensure!(line.starts_with("egret "), "{} is no egret: its --version says {line:?}", path.display());
    Ok(path)
}

pub fn launch(path: &Path, site: &Site) -> Result<Launch> {
    let mut command = Command::new(path);
    command.args(["serve", "--quiet", "--listen", "127.0.0.1:0", "--admin", "off"]);
    command.arg("--port-file").arg(site.dir.join("port"));
    doors(&mut command, site);
    command.args(["--policy", "ase"]).arg("--config").arg(site.write("egret.toml", ONE_CLIENT)?);
    let list = policies(&mut command, site)?;
    match site.stage.log {
        LogTo::Off => command.args(["--log", "/dev/null"]),
        LogTo::File => command.arg("--log").arg(site.dir.join("flows.log")),
        LogTo::SlowSink => command.args(["--log", "stdout"]),
    };
    Ok(site.by_name(command, Ready::PortFile).reloads(Signal::HUP, list, r#"allow = ["https://churn.test:443"]"#))
}

fn doors(command: &mut Command, site: &Site) {
    match site.stage.door {
        Door::Explicit | Door::Socks5 => {}
        Door::Gateway => {
            let redirected = ["--gateway", "127.0.0.1:0", "--gateway-mode", "redirect", "--gateway-rules", "leave"];
            command.args(redirected);
        }
        Door::Dns => {
            command.args(["--dns", "127.0.0.1:0", "--dns-mode", "strict"]);
            command.arg("--dns-server").arg(site.stage.origins.dns.to_string());
        }
    }
}

/// The names that are asked for, those beside them, and a file of its own for what changes; that file is returned.
fn policies(command: &mut Command, site: &Site) -> Result<PathBuf> {
    let Policy { names, beside } = &site.stage.policy;
    let origins = site.stage.origins;
    for (scheme, port, origin) in [("https", 443, origins.tls), ("http", 80, origins.http)] {
        // Whatever is allowed and asked for leads to the stage's origins.
        command.arg("--connect-to").arg(format!(":{port}:{origin}"));
        let allow = |name: &Pattern| format!("{scheme}://{}:{port}", name.starred());
        for name in names {
            command.arg("--allow").arg(allow(name));
        }
    }
    for first in (0..*beside).step_by(NAMES_A_FILE) {
        let file = site.dir.join(format!("beside{first}.toml"));
        write_rule(&file, first..(first + NAMES_A_FILE).min(*beside))?;
        command.arg("--policy").arg(file);
    }
    let churn = site.write("churn.toml", "name = \"churn\"\n")?;
    command.arg("--policy").arg(&churn);
    Ok(churn)
}

/// One application rule with all the names: the least text, so that a million fit.
fn write_rule(file: &Path, names: std::ops::Range<usize>) -> Result<()> {
    const HEAD: &str = "[[rule_collection_group]]\nname = \"beside\"\npriority = 300\n\
        [[rule_collection_group.rule_collection]]\nname = \"beside\"\npriority = 100\ntype = \"application\"\n\
        action = \"allow\"\n\
        [[rule_collection_group.rule_collection.rule]]\nname = \"beside\"\nprotocols = [\"Http:80\", \"Https:443\"]\n\
        target_fqdns = [\n";
    let mut out = BufWriter::new(File::create(file)?);
    out.write_all(HEAD.as_bytes())?;
    for at in names {
        writeln!(out, "\"{}\",", Policy::beside_name(at))?;
    }
    out.write_all(b"]\n")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxies::stage::{Origins, Stage};
    use crate::workload::{Limit, Plan, Setting, Workload};

    fn arguments(plan: &Plan, dir: &Path) -> Vec<String> {
        let stage = Stage::of(plan, Origins::all("127.0.0.1:4433".parse().unwrap()));
        let launch = launch(Path::new("egret"), &Site::new(&stage, dir).unwrap()).unwrap();
        launch.command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_long_policy_is_in_files_that_egret_reads() {
        let dir = tempfile::tempdir().unwrap();
        let usual = Plan::usual(Door::Explicit, Workload::Tunnel, Limit::Count(1));
        let plan = Plan { setting: Setting { policy: NAMES_A_FILE + 1, ..usual.setting }, ..usual };
        let arguments = arguments(&plan, dir.path());
        assert_eq!(arguments.iter().filter(|argument| *argument == "--policy").count(), 4);
        let text = std::fs::read_to_string(dir.path().join("beside500000.toml")).unwrap();
        assert!(text.ends_with("\"500000.b.test\",\n]\n"), "{text}");
        assert!(std::fs::metadata(dir.path().join("beside0.toml")).unwrap().len() < 16 << 20);
    }

    #[test]
    fn each_door_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let of = |door, workload| arguments(&Plan::usual(door, workload, Limit::Count(1)), dir.path()).join(" ");
        assert!(of(Door::Gateway, Workload::Tunnel).contains("--gateway 127.0.0.1:0 --gateway-mode redirect"));
        let dns = of(Door::Dns, Workload::Lookup);
        assert!(dns.contains("--dns-server 127.0.0.1:4433") && dns.contains("--allow https://*.ok.test:443"), "{dns}");
        assert!(of(Door::Socks5, Workload::Tunnel).contains("--connect-to :443:127.0.0.1:4433"));
    }
}
