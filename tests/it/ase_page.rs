//! What docs/ase.md shows is what happens, from an empty folder on, in a network namespace that has nothing but a loopback.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::clients::is_here;
use super::readme::page;
use super::support::command::{BINARY, finish};
use super::support::eventually;
use super::support::netns::{self, NetNs};
use super::support::run::without_surroundings;

/// Where the commands that the page leaves in the background listen.
const SERVERS: [(&str, u16); 2] = [("openssl s_server ", 8443), ("egret serve ", 9315)];

/// An empty folder, and what runs in the background. Dropped, that is killed.
struct Lab {
    folder: tempfile::TempDir,
    namespace: NetNs,
    background: Vec<Child>,
}

impl Lab {
    fn new() -> Lab {
        Lab { folder: tempfile::tempdir().unwrap(), namespace: NetNs::new("page"), background: Vec::new() }
    }

    fn shell(&self, line: &str) -> Command {
        let path = format!("{}:{}", Path::new(BINARY).parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut shell = without_surroundings(self.namespace.command("sh"));
        shell.current_dir(self.folder.path()).env("PATH", path).args(["-c", line]);
        shell
    }

    /// A file's first line is a comment with its name.
    fn keep(&self, file: &str) {
        let name = file.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap();
        fs::write(self.folder.path().join(name), file).unwrap();
    }

    /// What a command says, on either stream.
    fn answer(&mut self, line: &str) -> String {
        match line.strip_suffix(" &") {
            Some(server) => self.leave(server),
            None => finish(&mut self.shell(&format!("exec 2>&1; {line}")), "").out,
        }
    }

    /// Until it listens.
    fn leave(&mut self, server: &str) -> String {
        let port = SERVERS.iter().find(|(start, _)| server.starts_with(start)).expect("the page leaves two servers").1;
        let mut shell = self.shell(&format!("exec {server}"));
        self.background.push(shell.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        let connect = || self.namespace.enter(|| TcpStream::connect(("127.0.0.1", port)).ok());
        eventually("the server listens", connect);
        String::new()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in &mut self.background {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn every_console_block_is_what_happens() {
    let here = [("make", "--version"), ("curl", "--version"), ("openssl", "version")];
    if !netns::is_possible() || !here.iter().all(|(program, look)| is_here(program, &[look])) {
        return;
    }
    let mut lab = Lab::new();
    let mut commands = 0;
    let page = page("docs/ase.md");
    // Inside and outside of fences take turns.
    for fence in page.split("```").skip(1).step_by(2) {
        let (language, text) = fence.split_once('\n').unwrap();
        if language != "console" {
            lab.keep(text);
            continue;
        }
        for session in text.strip_prefix("$ ").unwrap().split("\n$ ") {
            let (line, shown) = session.split_once('\n').unwrap_or((session, ""));
            assert_eq!(lab.answer(line).trim(), shown.trim(), "{line}");
            commands += 1;
        }
    }
    assert!(commands > 15, "{commands}");
}
