//! No more rights than needed: what the kernel says of a running Egret, and what systemd says of its units.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command};

use tempfile::TempDir;

use super::support::command::{BINARY, clean, finish, install, signal};
use super::support::egret::{Egret, NO_FLAGS};
use super::support::gateway::Gateway;
use super::support::netns::{HandOver, NetNs};
use super::support::raw::{Client, connect};
use super::support::{DEADLINE, eventually, skip};

const NOBODY: u32 = 65534;

/// Bits of capability sets, as capabilities(7) numbers them.
const DAC_OVERRIDE: u64 = 1 << 1;
const DAC_READ_SEARCH: u64 = 1 << 2;
const NET_BIND_SERVICE: u64 = 1 << 10;
const NET_ADMIN: u64 = 1 << 12;

/// What `/proc/PID/task/TID/status` says of a thread.
struct Thread {
    name: String,
    status: String,
}

impl Thread {
    fn all_of(pid: u32) -> Vec<Thread> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let read = |path: &Path| fs::read_to_string(path.join("status")).unwrap();
        let threads = tasks
            .map(|task| read(&task.unwrap().path()))
            .map(|status| Thread { name: status.lines().next().unwrap_or_default().to_owned(), status });
        threads.collect()
    }

    fn field(&self, name: &str) -> &str {
        let line = self.status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.status)).trim()
    }

    fn set(&self, name: &str) -> u64 {
        u64::from_str_radix(self.field(name), 16).unwrap()
    }
}

/// By every thread: the process has what any of them has.
#[track_caller]
fn assert_has_only(pid: u32, capabilities: u64) {
    let threads = Thread::all_of(pid);
    assert!(threads.len() > 3, "workers, names and the log");
    for thread in threads {
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(thread.set(set), capabilities, "{set} of {}", thread.name);
        }
        assert_eq!(thread.set("CapAmb"), 0, "{}", thread.name);
        assert_eq!(thread.field("NoNewPrivs"), "1", "{}", thread.name);
    }
}

/// Who writes into it may be anybody.
fn folder_for_anybody() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    folder
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("only root has rights to give up");
    }
    root
}

/// Its log and its port are in files.
#[test]
fn root_keeps_its_way_to_files_and_nothing_else() {
    if is_root() {
        assert_has_only(Egret::start(NO_FLAGS).pid(), DAC_OVERRIDE);
    }
}

/// An Egret that writes no file. Its configuration is somebody else's, whom root has no other way past.
struct Reader {
    child: Child,
    folder: TempDir,
}

impl Reader {
    /// The command ends in the program.
    fn start(mut command: Command) -> Reader {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let manager = UnixDatagram::bind(path("notify")).unwrap();
        manager.set_read_timeout(Some(DEADLINE)).unwrap();
        fs::write(path("egret.toml"), "allow = [\"https://ok.test\"]\n").unwrap();
        let [said, stderr] = ["said", "stderr"].map(|name| File::create(path(name)).unwrap());
        command.args(["serve", "--listen=127.0.0.1:0", "--admin=off", "--workers=2", "--log=-", "--log-format=json"]);
        command.current_dir(folder.path()).env("NOTIFY_SOCKET", path("notify")).stdout(said).stderr(stderr);
        for (path, mode) in [(path("egret.toml"), 0o600), (folder.path().to_owned(), 0o700)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let started = Reader { child: command.spawn().unwrap(), folder };
        let read = manager.recv(&mut [0; 1024]);
        assert!(read.is_ok(), "{read:?} {}", started.read("stderr"));
        started
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reading takes no right to write, unless there is no other, as in a container of Docker's.
#[test]
fn root_that_only_reads_keeps_its_way_to_read() {
    if !is_root() {
        return;
    }
    let mut as_in_docker = clean("setpriv");
    as_in_docker.args(["--bounding-set=-dac_read_search", "--", BINARY]);
    for (command, kept) in [(clean(BINARY), DAC_READ_SEARCH), (as_in_docker, DAC_OVERRIDE)] {
        let egret = Reader::start(command);
        assert_has_only(egret.child.id(), kept);
        signal(egret.child.id(), "HUP");
        let reload = eventually("a reload is logged", || {
            egret.read("said").lines().find(|line| line.contains(r#""kind":"reload""#)).map(str::to_owned)
        });
        assert!(reload.contains(r#""ok":true"#), "{reload}");
    }
}

/// Its sockets for ICMP are open already, and where it redirects it answers for nobody else. The rules that it wrote are
/// still followed and taken away.
#[test]
fn a_gateway_keeps_what_its_sockets_and_rules_take() {
    for (how, kept) in [(HandOver::Tproxy, NET_ADMIN | NET_BIND_SERVICE), (HandOver::Redirect, NET_ADMIN)] {
        let flags = ["--allow=https://ok.test"];
        let Some(mut gateway) = Gateway::start(how, "", &flags) else { return };
        assert_has_only(gateway.egret.pid(), DAC_OVERRIDE | kept);
        let namespace = &gateway.net.gateway;
        let tables = || finish(namespace.command("nft").args(["list", "tables"]), "").out;
        assert!(tables().contains("egret"), "{}", tables());
        gateway.egret.signal("TERM");
        assert!(gateway.egret.wait().success());
        assert_eq!(tables(), "");
    }
}

/// A port below 1024 takes a capability once, and no longer than that.
#[test]
fn a_privileged_port_takes_its_capability_along_no_further() {
    if !is_root() {
        return;
    }
    let namespace = NetNs::new("rights");
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("egret");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    install(BINARY, &program);
    let mut command = namespace.command("setpriv");
    let nobody = NOBODY.to_string();
    command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
    command.args(["--inh-caps", "-all,+net_bind_service", "--ambient-caps", "-all,+net_bind_service"]);
    command.args(["--bounding-set", "-all,+net_bind_service"]).arg(&program);
    let egret = Egret::spawn_in(folder_for_anybody(), command, "", &["--listen=127.0.0.1:443"]);
    assert_eq!(egret.addr.port(), 443);
    for thread in Thread::all_of(egret.pid()) {
        for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
            assert_eq!(thread.set(set), 0, "{set} of {}", thread.name);
        }
        assert_eq!(thread.field("NoNewPrivs"), "1");
    }
    let status = namespace.enter(|| Client::send_to(egret.addr, connect("denied.test:443")).status());
    assert_eq!(status, 470);
}

#[test]
fn a_service_manager_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let hears = || {
        let mut buffer = [0; 1024];
        let read = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..read].to_vec()).unwrap()
    };
    let mut command = clean(BINARY);
    command.env("NOTIFY_SOCKET", &socket);
    let mut egret = Egret::spawn_in(folder_for_anybody(), command, "", NO_FLAGS);
    assert_eq!(hears(), format!("READY=1\nSTATUS=listening on {}\n", egret.addr));
    egret.signal("TERM");
    assert_eq!(hears(), "STOPPING=1\nSTATUS=draining\n");
    assert!(egret.wait().success());
}

/// The units, with this program in the place where they expect it: no mistake, and little left to take away.
#[test]
fn units_of_systemd() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        skip("systemd-analyze is not installed");
        return;
    }
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/systemd");
    // Tenths, as systemd-analyze-security(1) takes them; a service without directives has 9.6.
    for (unit, exposure) in [("egret.service", "13"), ("egret-gateway.service", "19")] {
        let text = fs::read_to_string(units.join(unit)).unwrap();
        let here = text.replace("/usr/local/bin/egret", BINARY);
        assert_ne!(text, here);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(unit);
        fs::write(&path, here).unwrap();
        let verified = finish(clean("systemd-analyze").arg("verify").arg(&path), "");
        assert_eq!((verified.code, verified.err.as_str()), (0, ""), "{unit}: {}", verified.out);
        let mut security = clean("systemd-analyze");
        security.args(["security", "--offline=yes", "--no-pager", "--threshold", exposure]).arg(&path);
        let secured = finish(&mut security, "");
        assert_eq!(secured.code, 0, "{unit}: {}", secured.out);
    }
}
