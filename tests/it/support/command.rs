//! Runs the real binary: commands to their end, and `serve` with its admin server for as long as a test needs it.
//!
//! Everything has a deadline, and no variable `EGRET_…` of whoever runs the tests gets in.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use super::{DEADLINE, poll};

/// The binary, in a clean environment.
pub fn egret() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EGRET_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs a command in the root of the repository.
pub fn run(args: &[&str]) -> Answer {
    run_with_input(args, "")
}

pub fn run_with_input(args: &[&str], input: &str) -> Answer {
    let mut command = egret();
    finish(command.args(args), input)
}

/// Feeds a command its standard input and waits for its end.
pub fn finish(command: &mut Command, input: &str) -> Answer {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A command that reads nothing closes its end.
    let feeding = std::thread::spawn(move || stdin.write_all(input.as_bytes()).is_ok());
    let (end, ended) = std::sync::mpsc::sync_channel(1);
    let pid = child.id();
    std::thread::spawn(move || end.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(DEADLINE) else {
        signal(pid, "KILL");
        panic!("{command:?} does not end");
    };
    feeding.join().unwrap();
    let Output { status, stdout, stderr } = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

/// A signal to a process that a test started.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}

/// Polls until there is an answer.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    poll(probe).unwrap_or_else(|| panic!("{what}: not in time"))
}

/// A running `egret serve`. Dropped, it is killed.
pub struct Serve {
    child: Child,
    folder: tempfile::TempDir,
    proxy: SocketAddr,
    admin: Option<SocketAddr>,
}

impl Serve {
    /// On free ports, with an admin server, two workers and these arguments besides. It runs in a
    /// folder of its own, see [`Serve::path`].
    pub fn start(args: &[&str]) -> Serve {
        Serve::start_in(tempfile::tempdir().unwrap(), args)
    }

    /// In a folder that may hold files already. `--admin off` among the arguments does without an admin server;
    /// `--listen` replaces the usual one.
    pub fn start_in(folder: tempfile::TempDir, args: &[&str]) -> Serve {
        let mut command = egret();
        command.current_dir(folder.path()).args(["serve", "--port-file", "port", "--workers", "2"]);
        if !args.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let has_admin = args.windows(2).all(|pair| pair != ["--admin", "off"]);
        if has_admin {
            command.args(["--admin-port-file", "admin-port"]);
        }
        if !args.contains(&"--admin") {
            command.args(["--admin", "127.0.0.1:0"]);
        }
        let file = |name: &str| fs::File::create(folder.path().join(name)).unwrap();
        command.args(args).stdout(file("stdout")).stderr(file("stderr"));
        let mut child = command.spawn().unwrap();
        let read = |child: &mut Child, name: &str| {
            eventually(&format!("{command:?} is ready"), || {
                if let Some(status) = child.try_wait().unwrap() {
                    let said = fs::read_to_string(folder.path().join("stderr")).unwrap();
                    panic!("egret ended with {status}: {said}");
                }
                fs::read_to_string(folder.path().join(name)).ok()?.lines().next()?.parse().ok()
            })
        };
        // Written last.
        let admin = has_admin.then(|| read(&mut child, "admin-port"));
        let proxy = read(&mut child, "port");
        Serve { child, folder, proxy, admin }
    }

    pub fn proxy(&self) -> SocketAddr {
        self.proxy
    }

    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("started with an admin server")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The flow log so far, as JSON lines.
    pub fn log(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.path("stdout")).unwrap();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap()
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("egret ends", || child.try_wait().unwrap())
    }

    /// An admin request, with the Host header that belongs there.
    pub fn get(&self, path: &str) -> HttpAnswer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.admin()), "")
    }

    pub fn post(&self, path: &str, body: &str) -> HttpAnswer {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n", self.admin(), body.len());
        self.ask(&head, body)
    }

    /// An admin request: a head without its empty line, and a body.
    pub fn ask(&self, head: &str, body: &str) -> HttpAnswer {
        exchange(self.admin(), format!("{head}Connection: close\r\n\r\n{body}").as_bytes())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer as it came.
#[derive(Debug)]
pub struct HttpAnswer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl HttpAnswer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends bytes and reads until the other side closes.
pub fn exchange(to: SocketAddr, request: &[u8]) -> HttpAnswer {
    let mut stream = TcpStream::connect_timeout(&to, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    HttpAnswer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}
