//! Real clients through the proxy, to a TLS origin on loopback: what is allowed works, what is denied fails, and the
//! log says so.

use std::collections::HashMap;
use std::fs;
use std::process::{Command, Output, Stdio};

use super::support::egret::Egret;
use super::support::https::Https;
use super::support::packages;
use super::support::{DEADLINE, poll, skip};

/// Two names lead to the origin; only the first is allowed.
const ALLOWED: &str = "ok.test";
const DENIED: &str = "denied.test";

/// What a package manager may take, to start a compiler or an interpreter as well.
const PATIENCE: u32 = 8;

struct Lab {
    egret: Egret,
    origin: Https,
    folder: tempfile::TempDir,
}

impl Lab {
    fn new(files: HashMap<String, Vec<u8>>) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let origin = Https::start(&[ALLOWED, DENIED], files, folder.path());
        let egret = Egret::start(&[
            format!("--allow=https://{ALLOWED}"),
            format!("--connect-to={ALLOWED}:443:{}", origin.addr),
            format!("--connect-to={DENIED}:443:{}", origin.addr),
        ]);
        Lab { egret, origin, folder }
    }

    /// The origin serves `/hello` only.
    fn hello() -> Lab {
        Lab::new(HashMap::from([("/hello".to_owned(), b"hello from the origin".to_vec())]))
    }

    fn proxy(&self) -> String {
        format!("http://{}", self.egret.addr)
    }

    /// A command with an environment of its own: the proxy and the authority, and nothing of this machine's.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for name in ["NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"] {
            command.env_remove(name);
        }
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env(name, self.proxy());
        }
        for name in ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"] {
            command.env(name, &self.origin.ca);
        }
        command.env("HOME", self.folder.path()).current_dir(self.folder.path());
        command
    }

    /// The log has a flow to this name with this verdict and reason, and none with another.
    fn assert_logged(&self, host: &str, verdict: &str, reason: &str) {
        let flows = || self.egret.records(|record| record["kind"] == "flow" && record["host"] == host);
        let found = poll(|| Some(flows()).filter(|flows| !flows.is_empty()));
        for flow in found.unwrap_or_else(|| panic!("no flow to {host} in {:#?}", self.egret.log())) {
            assert_eq!((flow["verdict"].as_str(), flow["reason"].as_str()), (Some(verdict), Some(reason)), "{flow:#}");
        }
    }

    fn assert_allowed_and_denied(&self) {
        self.assert_logged(ALLOWED, "allow", "application-rule");
        self.assert_logged(DENIED, "deny", "not-allowed");
    }
}

/// Runs to the end, within a deadline.
fn run(command: &mut Command) -> Output {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let readers = [
        child.stdout.take().map(|out| std::thread::spawn(move || std::io::read_to_string(out).unwrap_or_default())),
        child.stderr.take().map(|out| std::thread::spawn(move || std::io::read_to_string(out).unwrap_or_default())),
    ];
    let status = (0..PATIENCE).find_map(|_| poll(|| child.try_wait().unwrap()));
    let Some(status) = status else {
        child.kill().unwrap();
        panic!("{command:?} did not end within {:?}", DEADLINE * PATIENCE);
    };
    let [stdout, stderr] = readers.map(|reader| reader.unwrap().join().unwrap().into_bytes());
    Output { status, stdout, stderr }
}

fn succeeds(command: &mut Command) -> String {
    let output = run(command);
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{shown}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fails(command: &mut Command) -> String {
    let output = run(command);
    assert!(!output.status.success(), "{command:?} got through");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Is the program here? In CI it has to be.
pub fn is_here(program: &str, look: &[&str]) -> bool {
    let found = Command::new(program).args(look).output().is_ok_and(|output| output.status.success());
    if !found {
        skip(&format!("{program} is not here"));
    }
    found
}

#[test]
fn curl_by_http_connect_and_socks5() {
    if !is_here("curl", &["--version"]) {
        return;
    }
    let lab = Lab::hello();
    let curl = |args: &[&str]| {
        let mut command = lab.command("curl");
        command.args(["-sS", "--max-time", "10"]).args(args);
        command
    };
    let hello = "hello from the origin";
    assert_eq!(succeeds(&mut curl(&["https://ok.test/hello"])), hello);
    assert_eq!(succeeds(&mut curl(&["--http2", "https://ok.test/hello"])), hello);
    let socks = format!("socks5h://{}", lab.egret.addr);
    assert_eq!(succeeds(&mut curl(&["-x", &socks, "https://ok.test/hello"])), hello);
    let refused = fails(&mut curl(&["https://denied.test/hello"]));
    assert!(refused.contains("470"), "{refused}");
    fails(&mut curl(&["-x", &socks, "https://denied.test/hello"]));
    let body = succeeds(&mut curl(&["http://denied.test/"]));
    assert_eq!(body, "Action: Deny. Reason: No rule matched. Proceeding with default action.");
    lab.assert_allowed_and_denied();
}

#[test]
fn wget() {
    if !is_here("wget", &["--version"]) {
        return;
    }
    let lab = Lab::hello();
    let wget = |url: &str| {
        let mut command = lab.command("wget");
        command.args(["-q", "-O", "-", "--tries=1", "--timeout=10", "--ca-certificate"]).arg(&lab.origin.ca).arg(url);
        command
    };
    assert_eq!(succeeds(&mut wget("https://ok.test/hello")), "hello from the origin");
    fails(&mut wget("https://denied.test/hello"));
    lab.assert_allowed_and_denied();
}

#[test]
fn python_urllib() {
    if !is_here("python3", &["--version"]) {
        return;
    }
    let lab = Lab::hello();
    let urllib = |host: &str| {
        let script = format!(
            "import urllib.request as r; print(r.urlopen('https://{host}/hello', timeout=10).read().decode(), end='')"
        );
        let mut command = lab.command("python3");
        command.args(["-c", &script]);
        command
    };
    assert_eq!(succeeds(&mut urllib(ALLOWED)), "hello from the origin");
    let refused = fails(&mut urllib(DENIED));
    assert!(refused.contains("470"), "{refused}");
    lab.assert_allowed_and_denied();
}

#[test]
fn python_requests() {
    if !is_here("python3", &["-c", "import requests"]) {
        return;
    }
    let lab = Lab::hello();
    let requests = |host: &str| {
        let script = format!("import requests; print(requests.get('https://{host}/hello', timeout=10).text, end='')");
        let mut command = lab.command("python3");
        command.args(["-c", &script]);
        command
    };
    assert_eq!(succeeds(&mut requests(ALLOWED)), "hello from the origin");
    let refused = fails(&mut requests(DENIED));
    assert!(refused.contains("ProxyError") && refused.contains("470"), "{refused}");
    lab.assert_allowed_and_denied();
}

/// Node's own clients ignore the environment before version 24: this is the CONNECT that its proxy agents do.
const NODE: &str = "
const http = require('http'), tls = require('tls');
const proxy = new URL(process.env.https_proxy), host = process.argv[1];
const request = http.request({ host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: host + ':443' });
request.on('connect', (answer, socket) => {
  if (answer.statusCode !== 200) { console.error('refused with ' + answer.statusCode); process.exit(1); }
  const inner = tls.connect({ socket, servername: host }, () => {
    http.get({ host, path: '/hello', createConnection: () => inner }, (got) => {
      got.on('data', (data) => process.stdout.write(data)).on('end', () => process.exit(0));
    });
  });
});
request.on('error', (error) => { console.error(error); process.exit(1); });
request.end();
";

#[test]
fn node() {
    if !is_here("node", &["--version"]) {
        return;
    }
    let lab = Lab::hello();
    let node = |host: &str| {
        let mut command = lab.command("node");
        command.args(["-e", NODE, host]);
        command
    };
    assert_eq!(succeeds(&mut node(ALLOWED)), "hello from the origin");
    let refused = fails(&mut node(DENIED));
    assert!(refused.contains("refused with 470"), "{refused}");
    lab.assert_allowed_and_denied();
}

#[test]
fn git_clone() {
    if !is_here("git", &["--version"]) {
        return;
    }
    let lab = Lab::new(packages::repository());
    let clone = |host: &str| {
        let mut command = lab.command("git");
        command.env("GIT_TERMINAL_PROMPT", "0");
        command.args(["clone", "-q", &format!("https://{host}/repo.git"), host]);
        command
    };
    succeeds(&mut clone(ALLOWED));
    assert_eq!(fs::read_to_string(lab.folder.path().join("ok.test/README")).unwrap(), "cloned");
    let refused = fails(&mut clone(DENIED));
    assert!(refused.contains("470"), "{refused}");
    lab.assert_allowed_and_denied();
}

#[test]
fn pip_download() {
    if !is_here("python3", &["-m", "pip", "--version"]) {
        return;
    }
    let lab = Lab::new(packages::wheel());
    let pip = |host: &str| {
        let mut command = lab.command("python3");
        command.env("PIP_CERT", &lab.origin.ca).env("PIP_CONFIG_FILE", "/dev/null");
        command.env("PIP_INDEX_URL", format!("https://{host}/simple/")).env_remove("PIP_EXTRA_INDEX_URL");
        command.args(["-m", "pip", "download", "--no-deps", "--retries", "0", "--timeout", "10", "-d", host, "lab"]);
        command
    };
    succeeds(&mut pip(ALLOWED));
    assert!(lab.folder.path().join(ALLOWED).join(packages::WHEEL).exists());
    fails(&mut pip(DENIED));
    lab.assert_allowed_and_denied();
}

#[test]
fn cargo_fetch() {
    let lab = Lab::new(packages::cargo_registry(ALLOWED));
    let fetch = |host: &str| {
        let project = packages::cargo_project(lab.folder.path(), host);
        let mut command = lab.command(env!("CARGO"));
        command.env("CARGO_HOME", lab.folder.path().join("cargo-home")).env("CARGO_HTTP_CAINFO", &lab.origin.ca);
        command.env("CARGO_HTTP_MULTIPLEXING", "false").current_dir(project).args(["fetch"]);
        command
    };
    succeeds(&mut fetch(ALLOWED));
    let refused = fails(&mut fetch(DENIED));
    assert!(refused.contains("470"), "{refused}");
    lab.assert_allowed_and_denied();
}

const JAVA: &str = r#"
import java.net.*;
public class Get {
    public static void main(String[] args) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) new URL("https://" + args[0] + "/hello").openConnection();
        connection.setConnectTimeout(10000);
        connection.setReadTimeout(10000);
        System.out.print(new String(connection.getInputStream().readAllBytes()));
    }
}
"#;

#[test]
fn java() {
    if !is_here("javac", &["-version"]) || !is_here("keytool", &["-help"]) {
        return;
    }
    let lab = Lab::hello();
    fs::write(lab.folder.path().join("Get.java"), JAVA).unwrap();
    let mut import = lab.command("keytool");
    import.args([
        "-importcert",
        "-noprompt",
        "-alias",
        "lab",
        "-storepass",
        "secret",
        "-keystore",
        "trust.p12",
        "-file",
    ]);
    succeeds(import.arg(&lab.origin.ca));
    let java = |host: &str| {
        let mut command = lab.command("java");
        // The JVM ignores the environment.
        command.arg(format!("-Dhttps.proxyHost={}", lab.egret.addr.ip()));
        command.arg(format!("-Dhttps.proxyPort={}", lab.egret.addr.port()));
        command.args(["-Djavax.net.ssl.trustStore=trust.p12", "-Djavax.net.ssl.trustStorePassword=secret"]);
        command.args(["Get.java", host]);
        command
    };
    assert_eq!(succeeds(&mut java(ALLOWED)), "hello from the origin");
    let refused = fails(&mut java(DENIED));
    assert!(refused.contains("470"), "{refused}");
    lab.assert_allowed_and_denied();
}
