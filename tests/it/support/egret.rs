//! `egret serve` as a process of its own, with a folder for its configuration and its log.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use super::command::{egret, egret_with_descriptors, signal};
use super::exchange::{HttpAnswer, exchange};
use super::{eventually, poll};

pub const NO_FLAGS: &[&str] = &[];

/// Dropped, it is killed.
pub struct Egret {
    child: Child,
    pub addr: SocketAddr,
    admin: Option<SocketAddr>,
    folder: TempDir,
    /// Those that came after the harness's own.
    flags: Vec<String>,
}

impl Egret {
    /// On ports of its choice, with two workers and an admin server where the flags do not say otherwise. The last
    /// takes `--admin=off`, in one word. It logs JSON to a file.
    pub fn start<S: AsRef<str>>(flags: &[S]) -> Egret {
        Egret::with_config("", flags)
    }

    /// The same with an `egret.toml` of this content, which [`Egret::reload`] replaces.
    pub fn with_config<S: AsRef<str>>(config: &str, flags: &[S]) -> Egret {
        Egret::spawn(egret(), config, flags)
    }

    /// The same with so many descriptors, soft and hard.
    pub fn with_descriptors<S: AsRef<str>>(limit: usize, flags: &[S]) -> Egret {
        Egret::spawn(egret_with_descriptors(limit), "", flags)
    }

    /// The same inside a network namespace, whose loopback its addresses are on.
    #[cfg(target_os = "linux")]
    pub fn inside<S: AsRef<str>>(namespace: &super::netns::NetNs, config: &str, flags: &[S]) -> Egret {
        Egret::spawn(namespace.command(super::command::BINARY), config, flags)
    }

    /// The same as a root that lacks a capability, such as `net_raw`.
    #[cfg(target_os = "linux")]
    pub fn without<S: AsRef<str>>(
        capability: &str,
        namespace: &super::netns::NetNs,
        config: &str,
        flags: &[S],
    ) -> Egret {
        let mut command = namespace.command("setpriv");
        command.args([&format!("--bounding-set=-{capability}"), "--", super::command::BINARY]);
        Egret::spawn(command, config, flags)
    }

    fn spawn<S: AsRef<str>>(command: Command, config: &str, flags: &[S]) -> Egret {
        Egret::spawn_in(tempfile::tempdir().unwrap(), command, config, flags)
    }

    /// In a folder that has something in it already. The command ends in the program: what it gets to do with it, such
    /// as to run it elsewhere, comes before.
    pub fn spawn_in<S: AsRef<str>>(folder: TempDir, mut command: Command, config: &str, flags: &[S]) -> Egret {
        if !config.is_empty() {
            fs::write(folder.path().join("egret.toml"), config).unwrap();
        }
        let given: Vec<&str> = flags.iter().map(AsRef::as_ref).collect();
        let mut flags: Vec<String> = given.iter().map(ToString::to_string).collect();
        for (name, value) in [("listen", "127.0.0.1:0"), ("admin", "127.0.0.1:0"), ("workers", "2")] {
            let flag = format!("--{name}");
            if !config.contains(name) && given.iter().all(|given| given.split('=').next() != Some(&flag)) {
                flags.extend([flag, value.to_owned()]);
            }
        }
        let child = serve(&mut command, &folder, &flags);
        let mut egret = Egret { child, addr: ([127, 0, 0, 1], 0).into(), admin: None, folder, flags };
        egret.wait_ready();
        egret
    }

    /// Ends it as nothing else does, without a chance to say good-bye, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts another in the same folder, at the same address, with the same log. The first has ended.
    pub fn start_again(&mut self, mut command: Command) {
        for file in ["port", "admin-port"] {
            // A clean end has taken it away.
            let _ = fs::remove_file(self.path(file));
        }
        let mut flags = self.flags.clone();
        if let Some(at) = flags.iter().position(|flag| flag == "--listen") {
            flags[at + 1] = self.addr.to_string();
        }
        self.child = serve(&mut command, &self.folder, &flags);
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        // Written last.
        self.addr = self.read_port("port");
        self.admin = has_admin(&self.flags).then(|| self.read_port("admin-port"));
    }

    fn read_port(&mut self, file: &str) -> SocketAddr {
        eventually("egret is ready", || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "egret ended: {ended:?}\n{}", self.stderr());
            fs::read_to_string(self.path(file)).ok()?.lines().next()?.parse().ok()
        })
    }

    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("started with an admin server")
    }

    /// In the folder it runs in.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the configuration, asks by SIGHUP for it to be taken up, and waits for the record that says what
    /// became of it.
    pub fn reload(&self, config: &str) -> Value {
        let new = self.path("egret.toml.new");
        fs::write(&new, config).unwrap();
        fs::rename(new, self.path("egret.toml")).unwrap();
        let written = Timestamp::now();
        let since = |record: &Value| record["kind"] == "reload" && time(record) > written;
        // The file watcher asks as well, so the first to end since may have begun before. The second begins when the
        // first has ended.
        for count in 1..=2 {
            self.signal("HUP");
            eventually("a reload is logged", || (self.records(since).len() >= count).then_some(()));
        }
        self.records(since).swap_remove(1)
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("egret ends", || self.child.try_wait().unwrap())
    }

    /// Descriptors that it holds now.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap()
    }

    /// All complete lines of the log. Every one has to be a JSON object.
    pub fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("log.json")).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        complete.lines().map(read).collect()
    }

    pub fn records(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.log().into_iter().filter(|record| wanted(record)).collect()
    }

    /// The flow records of one client connection, of which there have to be so many.
    pub fn flows(&self, client: SocketAddr, count: usize) -> Vec<Value> {
        let mine = |record: &Value| record["kind"] == "flow" && record["client"] == client.to_string();
        let found = poll(|| Some(self.records(mine)).filter(|found| found.len() >= count));
        let found = found.unwrap_or_else(|| panic!("not {count} records of {client} in {:#?}", self.log()));
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// Verdict and reason of each flow of a client connection, `deny not-allowed`.
    pub fn verdicts(&self, client: SocketAddr, count: usize) -> Vec<String> {
        self.flows(client, count).iter().map(verdict).collect()
    }

    /// The same of its only flow.
    pub fn verdict(&self, client: SocketAddr) -> String {
        verdict(&self.flows(client, 1)[0])
    }

    /// The close record of a client connection's only flow.
    pub fn close(&self, client: SocketAddr) -> Value {
        let flow = self.flows(client, 1)[0]["flow"].clone();
        let mine = |record: &Value| record["kind"] == "close" && record["flow"] == flow;
        let found = poll(|| self.records(mine).pop());
        found.unwrap_or_else(|| panic!("no close record of flow {flow} in {:#?}", self.log()))
    }

    /// An admin request, with the Host header that belongs there.
    pub fn get(&self, path: &str) -> HttpAnswer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.admin()), "")
    }

    pub fn post(&self, path: &str, body: &str) -> HttpAnswer {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n", self.admin(), body.len());
        self.ask(&head, body)
    }

    /// A number of `/metrics`, such as `egret_reloads_total{result="refused"}`. One that is not there yet is 0.
    pub fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics").body;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// An admin request: a head without its empty line, and a body.
    pub fn ask(&self, head: &str, body: &str) -> HttpAnswer {
        exchange(self.admin(), format!("{head}Connection: close\r\n\r\n{body}").as_bytes())
    }
}

fn serve(command: &mut Command, folder: &TempDir, flags: &[String]) -> Child {
    command.current_dir(folder.path()).args(["serve", "--log", "log.json", "--log-format", "json"]);
    command.args(["--port-file", "port"]).args(flags);
    if has_admin(flags) {
        command.args(["--admin-port-file", "admin-port"]);
    }
    let said = fs::OpenOptions::new().create(true).append(true).open(folder.path().join("stderr")).unwrap();
    command.stdout(Stdio::null()).stderr(said).spawn().unwrap()
}

fn has_admin(flags: &[String]) -> bool {
    flags.iter().all(|flag| flag != "--admin=off")
}

fn verdict(record: &Value) -> String {
    let text = |field: &str| record[field].as_str().unwrap_or("none").to_owned();
    format!("{} {}", text("verdict"), text("reason"))
}

fn time(record: &Value) -> Timestamp {
    record["ts"].as_str().and_then(|ts| ts.parse().ok()).unwrap_or_else(|| panic!("no time in {record}"))
}

impl Drop for Egret {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
