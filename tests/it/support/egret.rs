//! Egret as a process of its own, with a folder for its configuration and its log.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::poll;

pub struct Egret {
    child: Child,
    pub addr: SocketAddr,
    folder: TempDir,
}

/// The end of a process that was not to serve.
pub struct Ended {
    pub code: Option<i32>,
    pub stderr: String,
}

impl Egret {
    /// `egret serve` with these flags, on a port of its choice, logging JSON to a file.
    pub fn start<S: AsRef<str>>(flags: &[S]) -> Egret {
        Egret::with_config("", flags)
    }

    /// The same with an `egret.toml` of this content, which [`Egret::reload`] replaces.
    pub fn with_config<S: AsRef<str>>(config: &str, flags: &[S]) -> Egret {
        Egret::run(command(flags), config)
    }

    /// The same with so many descriptors, soft and hard.
    pub fn with_descriptors<S: AsRef<str>>(limit: usize, flags: &[S]) -> Egret {
        let egret = command(flags);
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {limit} && exec \"$@\""), "sh"]).arg(egret.get_program());
        limited.args(egret.get_args());
        Egret::run(limited, "")
    }

    fn run(mut command: Command, config: &str) -> Egret {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (port_file, config_file) = (folder.path().join("port"), folder.path().join("egret.toml"));
        fs::write(&config_file, config).expect("the folder can be written");
        command.args(["--listen", "127.0.0.1:0"]).arg("--port-file").arg(&port_file);
        command.arg("--config").arg(&config_file);
        command.arg("--log").arg(folder.path().join("log.json")).args(["--log-format", "json"]);
        let said = fs::File::create(folder.path().join("stderr")).expect("the folder can be written");
        let child = command.stdout(Stdio::null()).stderr(said).spawn().expect("egret starts");
        let mut egret = Egret { child, addr: ([127, 0, 0, 1], 0).into(), folder };
        let port = poll(|| {
            let ended = egret.child.try_wait().expect("the child can be asked");
            assert!(ended.is_none(), "egret ended: {ended:?}\n{}", egret.said());
            fs::read_to_string(&port_file).ok()?.lines().next()?.rsplit(':').next()?.trim().parse().ok()
        });
        egret.addr.set_port(port.expect("egret writes its port file in time"));
        egret
    }

    /// Runs `egret serve` with flags that it has to refuse.
    pub fn refused(flags: &[&str]) -> Ended {
        let mut child = command(flags).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("egret starts");
        let code = poll(|| child.try_wait().expect("the child can be asked"));
        let mut stderr = String::new();
        if code.is_none() {
            child.kill().expect("the child can be ended");
        }
        child.stderr.take().expect("it is piped").read_to_string(&mut stderr).expect("it is UTF-8");
        Ended { code: code.expect("egret ends by itself").code(), stderr }
    }

    /// Writes the configuration anew and waits until it is in force.
    pub fn reload(&self, config: &str) {
        let before = self.records(|record| record["kind"] == "reload").len();
        fs::write(self.folder.path().join("egret.toml"), config).expect("the folder can be written");
        self.signal("HUP");
        poll(|| (self.records(|record| record["kind"] == "reload").len() > before).then_some(()))
            .expect("a reload is logged");
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Descriptors that it holds now.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error so far.
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }

    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("log.json")
    }

    /// All complete lines of the log. Every one has to be a JSON object.
    pub fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.log_path()).unwrap_or_default();
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
}

fn verdict(record: &Value) -> String {
    let text = |field: &str| record[field].as_str().unwrap_or("none").to_owned();
    format!("{} {}", text("verdict"), text("reason"))
}

fn command<S: AsRef<str>>(flags: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.arg("serve").args(["--admin", "off"]).args(flags.iter().map(AsRef::as_ref));
    command
}

impl Drop for Egret {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
