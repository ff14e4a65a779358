//! `egret run` as a process: a policy that allows one name, an origin that it leads to, and a folder to run in.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::command::{Answer, BINARY, clean, finish, install};
use super::eventually;
use super::https::Https;
use super::packages::Files;

/// Two names lead to the origin; only the first is allowed.
pub const ALLOWED: &str = "ok.test";
pub const DENIED: &str = "denied.test";

/// What a CI system says of itself, and what a caller may have set for clients.
const FOREIGN: [&str; 12] = [
    "GITHUB_ACTIONS",
    "GITHUB_STEP_SUMMARY",
    "TF_BUILD",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "JAVA_TOOL_OPTIONS",
];

/// Variables by which clients take an authority of their own.
const AUTHORITIES: [&str; 8] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "PIP_CERT",
    "npm_config_cafile",
];

/// Where the names lead, as far as the command is told.
pub const ADDRESS: &str = "192.0.2.7";

pub struct RunLab {
    pub origin: Https,
    folder: tempfile::TempDir,
}

impl RunLab {
    /// The origin serves `/hello` only.
    pub fn new() -> RunLab {
        RunLab::serving(Files::from([("/hello".to_owned(), b"hello from the origin".to_vec())]))
    }

    pub fn serving(files: Files) -> RunLab {
        let folder = tempfile::tempdir().unwrap();
        let origin = Https::start(&[ALLOWED, DENIED], files, folder.path());
        RunLab { origin, folder }
    }

    /// `egret run` with the policy that allows one of the names, and these flags.
    pub fn egret(&self, flags: &[&str]) -> Command {
        let mut command = self.with_policy(&[&format!("--allow=https://{ALLOWED}")]);
        command.args(flags);
        command
    }

    /// The same with this policy, in an environment that knows the origin's authority and no proxy.
    pub fn with_policy(&self, policy: &[&str]) -> Command {
        let mut command = undisturbed(&self.program());
        for name in AUTHORITIES {
            command.env(name, &self.origin.ca);
        }
        command.env("HOME", self.folder.path()).current_dir(self.folder.path());
        command.arg("run").args(policy);
        for name in [ALLOWED, DENIED] {
            command.arg(format!("--connect-to={name}:443:{}", self.origin.addr));
            command.arg(format!("--resolve={name}:{ADDRESS}"));
        }
        command
    }

    /// Where whoever runs in the folder finds Egret.
    pub fn program(&self) -> String {
        let own = self.path("egret");
        if own.exists() { own.display().to_string() } else { BINARY.to_owned() }
    }

    /// Runs a shell script without holding it.
    pub fn proxied(&self, flags: &[&str], script: &str) -> Answer {
        shell(self.egret(&["--proxy-only"]).args(flags), script)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// From now on the folder is this user's, and the program one in it: others may not get to where it was built.
    #[cfg(unix)]
    pub fn open_to(&self, uid: u32) {
        use std::os::unix::fs::{PermissionsExt, chown};
        fs::set_permissions(self.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        chown(self.folder.path(), Some(uid), Some(uid)).unwrap();
        if fs::hard_link(BINARY, self.path("egret")).is_err() {
            install(BINARY, self.path("egret"));
        }
    }
}

/// A program in an environment without what a CI system or a caller says of itself.
pub fn undisturbed(program: &str) -> Command {
    without_surroundings(clean(program))
}

/// The same of a command that was made elsewhere.
pub fn without_surroundings(mut command: Command) -> Command {
    for name in FOREIGN {
        command.env_remove(name);
    }
    command
}

pub fn shell(command: &mut Command, script: &str) -> Answer {
    finish(command.args(["--", "sh", "-c", script]), "")
}

pub fn curl(host: &str) -> String {
    format!("curl -s --max-time 10 https://{host}/hello")
}

/// Egret with a command. Dropped, it is killed.
pub struct Running(Child);

impl Running {
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The exit code, once it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        eventually("egret ends", || self.0.try_wait().unwrap()).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a script that says when it is ready, waits for that, and lets it run on: for a minute, as a command that is
/// not held outlives Egret.
pub fn started(mut command: Command, lab: &RunLab, script: &str) -> Running {
    let script = format!("{script}\n: > ready; for try in $(seq 1200); do sleep 0.05; done");
    command.args(["--", "sh", "-c", &script]).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    eventually("the command runs", || lab.path("ready").exists().then_some(()));
    running
}
