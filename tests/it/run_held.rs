//! `egret run` as an ordinary user: commands of every kind, held in namespaces, and what they try to get out.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::clients::is_here;
use super::support::command::{Answer, clean, finish, install, signal};
use super::support::netns::{self, NetNs};
use super::support::origin::{self, Origin};
use super::support::packages;
use super::support::run::{ALLOWED, DENIED, RunLab, curl, shell, started};
use super::support::{DEADLINE, eventually, poll, skip};

/// Who the command is, where the tests are root.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder of that user's.
fn lab(files: packages::Files) -> RunLab {
    let lab = RunLab::serving(files);
    if is_root() {
        lab.open_to(NOBODY);
    }
    lab
}

fn hello() -> RunLab {
    lab(packages::Files::from([("/hello".to_owned(), b"hello from the origin".to_vec())]))
}

fn as_nobody(mut command: Command) -> Command {
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// A command in no environment but its caller's, held; its report goes into a file.
fn held(lab: &RunLab, flags: &[&str]) -> Command {
    let mut command = as_nobody(lab.egret(&["--report=report.json"]));
    command.args(flags);
    command
}

/// A network in which the addresses that a command tries are somebody's: an escape would find an origin, and nobody of
/// this machine's network is ever asked. None, and said so, where that is not possible.
fn outside() -> Option<NetNs> {
    if !netns::is_possible() {
        return None;
    }
    let outside = NetNs::new("outside");
    for addr in ["192.0.2.7", "203.0.113.9", "203.0.113.10", "169.254.169.254"] {
        outside.ip(&format!("addr add {addr}/32 dev lo"));
    }
    Some(outside)
}

fn hold(lab: &RunLab, flags: &[&str], script: &str) -> (Answer, Value) {
    let answer = shell(&mut held(lab, flags), script);
    assert!(lab.path("report.json").exists(), "{}", answer.err);
    let report = lab.json("report.json");
    assert_eq!(report["enforced"], true);
    (answer, report)
}

/// Target, reason and count, of one side of a report.
fn lines(report: &Value, side: &str) -> Vec<String> {
    let text = |line: &Value, field: &str| line[field].as_str().unwrap_or("none").to_owned();
    let targets = report[side]["targets"].as_array().unwrap();
    targets.iter().map(|line| format!("{} {}", text(line, "target"), text(line, "reason"))).collect()
}

fn assert_denied(report: &Value, line: &str) {
    let denied = lines(report, "unexpected");
    assert!(denied.iter().any(|denied| denied == line), "{line}: {report:#}");
}

/// The same command gets through to one name and not to the other, whether that resolves or not.
fn check_client(lab: &RunLab, script: impl Fn(&str) -> String) {
    let (answer, report) = hold(lab, &[], &script(ALLOWED));
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(lines(&report, "allowed"), ["https://ok.test:443 application-rule"], "{report:#}");
    assert_eq!(report["unexpected"]["flows"], 0, "{report:#}");
    let (answer, report) = hold(lab, &[], &script(DENIED));
    assert_ne!(answer.code, 0, "{}", answer.out);
    assert_denied(&report, "dns://denied.test dns-not-allowed");
    let (answer, report) = hold(lab, &["--dns-mode=azure"], &script(DENIED));
    assert_ne!(answer.code, 0, "{}", answer.out);
    assert_denied(&report, "https://denied.test:443 not-allowed");
}

#[test]
fn curl_whatever_it_is_told_of_proxies() {
    let lab = hello();
    check_client(&lab, curl);
    check_client(&lab, |host| format!("https_proxy=http://192.0.2.1:3128 {} --noproxy '*'", curl(host)));
}

/// Most policies name the sources that a rule is for.
#[test]
fn a_command_has_the_address_that_it_is_given() {
    let lab = hello();
    let rule = r#"
        [[rule_collection_group]]
        name = "g"
        priority = 100
        [[rule_collection_group.rule_collection]]
        name = "c"
        priority = 100
        type = "application"
        action = "allow"
        [[rule_collection_group.rule_collection.rule]]
        name = "agents"
        source_addresses = ["10.0.1.0/24"]
        protocols = ["Https:443"]
        target_fqdns = ["ok.test"]
    "#;
    fs::write(lab.path("agents.toml"), rule).unwrap();
    let run = |from: &[&str]| {
        let mut command = as_nobody(lab.with_policy(&["--policy=agents.toml"]));
        shell(command.args(from), &curl(ALLOWED))
    };
    let answer = run(&["--from=10.0.1.4"]);
    assert_eq!((answer.code, answer.out.as_str()), (0, "hello from the origin"), "{}", answer.err);
    assert!(answer.err.contains("x1  agents/g/c/agents\n"), "{}", answer.err);
    for from in [&["--from=10.0.2.4"][..], &[]] {
        let answer = run(from);
        assert!(answer.code != 0 && answer.err.contains("dns://ok.test"), "{from:?}: {}", answer.err);
    }
    let answer = run(&["--from=127.0.0.1"]);
    assert_eq!(answer.code, 2, "{}", answer.err);
    assert_eq!(answer.err, "error: --from: no machine's connections come from 127.0.0.1\n");
}

#[test]
fn who_is_in_no_subnet_of_a_topology_is_told() {
    let lab = hello();
    for file in ["vnet.toml", "policy.toml"] {
        fs::copy(format!("docs/ase/{file}"), lab.path(file)).unwrap();
    }
    let told = |flags: &[&str]| hold(&lab, &[&["--topology=vnet.toml"], flags].concat(), "true").0.err;
    let warning = "warning: no security group and no route decides here, as the command is in no subnet of the topology: \
                   put it in one by --from SUBNET\n";
    assert!(told(&[]).starts_with(warning));
    assert!(told(&["--from=10.0.1.4"]).starts_with(warning));
    for known in ["--from=192.168.251.140", "--from=ase-subnet", "--client-subnet=ase-subnet"] {
        let silent = told(&[known]);
        assert!(!silent.contains("warning"), "{silent}");
    }
}

#[test]
fn a_script_that_unsets_everything() {
    let lab = hello();
    let ca = lab.origin.ca.display().to_string();
    check_client(&lab, |host| format!("exec env -i \"PATH=$PATH\" sh -c '{} --cacert {ca}'", curl(host)));
}

#[test]
fn python_urllib() {
    if !is_here("python3", &["--version"]) {
        return;
    }
    let lab = hello();
    check_client(&lab, |host| {
        format!("python3 -c \"import urllib.request as r; r.urlopen('https://{host}/hello', timeout=10).read()\"")
    });
}

#[test]
fn git_clone() {
    if !is_here("git", &["--version"]) {
        return;
    }
    let lab = lab(packages::repository());
    check_client(&lab, |host| {
        format!("rm -rf clone; GIT_TERMINAL_PROMPT=0 git clone -q https://{host}/repo.git clone")
    });
}

#[test]
fn pip_download() {
    if !is_here("python3", &["-m", "pip", "--version"]) {
        return;
    }
    let lab = lab(packages::wheel());
    check_client(&lab, |host| {
        format!(
            "export PIP_CONFIG_FILE=/dev/null PIP_DISABLE_PIP_VERSION_CHECK=1
             exec python3 -m pip download -q --no-deps --retries 0 --timeout 10 --no-cache-dir -d wheels \
             --index-url https://{host}/simple/ lab"
        )
    });
    assert!(lab.path("wheels").join(packages::WHEEL).exists());
}

/// The toolchain may lie where only its owner gets to: another name for what cargo needs of it.
fn open_toolchain(lab: &RunLab) -> String {
    let cargo = fs::canonicalize(env!("CARGO")).unwrap();
    let root = cargo.parent().and_then(Path::parent).unwrap();
    let open = lab.path("toolchain");
    for folder in ["bin", "lib"] {
        fs::create_dir_all(open.join(folder)).unwrap();
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_file() && (folder == "lib" || name == "cargo" || name == "rustc") {
                let other = open.join(folder).join(name);
                if fs::hard_link(&path, &other).is_err() {
                    install(&path, &other);
                }
            }
        }
    }
    open.join("bin").display().to_string()
}

#[test]
fn cargo_fetch() {
    let lab = lab(packages::cargo_registry(ALLOWED));
    let tools = open_toolchain(&lab);
    for host in [ALLOWED, DENIED] {
        let project = packages::cargo_project(&lab.path("."), host);
        open_all(&project);
    }
    check_client(&lab, |host| {
        format!(
            "rm -rf cargo-home
             export PATH={tools}:$PATH CARGO_HOME=$PWD/cargo-home CARGO_HTTP_MULTIPLEXING=false
             unset RUSTC RUSTUP_TOOLCHAIN RUSTC_WRAPPER CARGO; cd project-{host} && exec cargo fetch -q"
        )
    });
}

/// A folder and what is in it, for anybody to write.
fn open_all(folder: &Path) {
    assert!(Command::new("chmod").args(["-R", "a+rwX"]).arg(folder).status().unwrap().success());
}

#[test]
fn npm_install() {
    if !is_here("npm", &["--version"]) {
        return;
    }
    let lab = lab(packages::npm_registry(ALLOWED));
    check_client(&lab, |host| {
        format!(
            "export npm_config_update_notifier=false npm_config_audit=false npm_config_fund=false
             rm -rf npm && mkdir npm && cd npm && exec npm install --loglevel error --fetch-retries 0 --cache cache \
             --registry https://{host}/ lab"
        )
    });
}

const STATIC: &str = r#"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])) };
    char answer[64] = { 0 };
    int s = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    if (connect(s, (struct sockaddr *)&to, sizeof to)) { perror("connect"); return 1; }
    if (write(s, "ping", 4) != 4) { perror("write"); return 1; }
    if (read(s, answer, sizeof answer - 1) < 1) { perror("read"); return 1; }
    puts(answer);
    return 0;
}
"#;

/// It asks no library for anything, and no name.
#[test]
fn a_static_binary() {
    let lab = hello();
    let source = lab.path("client.c");
    fs::write(&source, STATIC).unwrap();
    let mut compile = Command::new("cc");
    compile.args(["-static", "-o"]).arg(lab.path("client")).arg(&source);
    assert!(compile.status().unwrap().success());
    let echo = Origin::echo();
    let led = format!("--connect-to=192.0.2.7:9000:{}", echo.addr);
    let also = format!("--connect-to=192.0.2.8:9000:{}", echo.addr);
    let flags = ["--allow=tcp://192.0.2.7:9000", &led, &also];
    let (answer, report) = hold(&lab, &flags, "./client 192.0.2.7 9000");
    assert_eq!((answer.code, answer.out.as_str()), (0, "ping\n"), "{}", answer.err);
    assert_eq!(lines(&report, "allowed"), ["tcp://192.0.2.7:9000 network-rule"]);
    let (answer, report) = hold(&lab, &flags, "./client 192.0.2.8 9000");
    assert_eq!(answer.code, 1);
    assert_denied(&report, "tcp://192.0.2.8:9000 not-allowed");
    assert_eq!(report["unexpected"]["targets"][0]["mend"], "--allow tcp://192.0.2.8:9000");
    assert_eq!(echo.connections(), 1);
}

/// Names that were never asked for, and addresses at which somebody listens.
#[test]
fn a_hard_coded_address_is_no_way_out() {
    let Some(outside) = outside() else { return };
    outside.enter(|| {
        let lab = hello();
        let [named, metadata] = ["203.0.113.9:443", "169.254.169.254:80"].map(|to| Origin::start_on(to, origin::echo));
        let there = |addr: &str| format!("{} --resolve denied.test:443:{addr}", curl(DENIED));
        let nameless = "curl -sk --max-time 10 https://203.0.113.9/";
        let instance = "curl -s --max-time 10 http://169.254.169.254/latest/meta-data/";
        let (answer, report) = hold(&lab, &[], &there("203.0.113.9"));
        assert_ne!(answer.code, 0);
        assert_denied(&report, "https://denied.test:443 not-allowed");
        let (answer, report) = hold(&lab, &[], nameless);
        assert_ne!(answer.code, 0);
        assert_denied(&report, "https://203.0.113.9:443 missing-sni");
        let (_, report) = hold(&lab, &[], instance);
        assert_denied(&report, "http://169.254.169.254:80 internal-address");
        // The address does not matter where the name is allowed: it is resolved again.
        let (answer, _) = hold(&lab, &[], &format!("{} --resolve ok.test:443:203.0.113.9", curl(ALLOWED)));
        assert_eq!(answer.out, "hello from the origin");
        assert_eq!((named.connections(), metadata.connections()), (0, 0));
        free(&[nameless, instance]);
        assert_eq!((named.connections(), metadata.connections()), (1, 1), "they are there for whoever gets out");
    });
}

/// What these come to where nobody holds them.
fn free(scripts: &[&str]) {
    for script in scripts {
        finish(clean("sh").args(["-c", script]), "");
    }
}

/// Inside, 127.0.0.1 is the command's own: the name leads to the host's all the same.
#[test]
fn a_name_that_the_user_leads_to_loopback() {
    let lab = hello();
    let origin = Origin::http_ok();
    let url = format!("http://local.test:{}/", origin.addr.port());
    let (allow, resolve) = (format!("--allow={url}"), "--resolve=local.test:127.0.0.1");
    let (answer, report) = hold(&lab, &[&allow, resolve], &format!("curl -sf --max-time 10 {url}"));
    assert_eq!(answer.code, 0, "{} {report:#}", answer.err);
    assert_eq!(origin.connections(), 1);
    let (answer, _) = hold(&lab, &[&allow, resolve], &format!("curl -s --max-time 10 {}", origin.addr));
    assert_ne!(answer.code, 0, "without its name it is inside, where nobody listens");
}

const ASK_DNS: &str = r"
import socket, struct
question = b'\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06denied\x04test\x00\x00\x01\x00\x01'
stream = socket.create_connection(('192.0.2.53', 53), 10)
stream.sendall(struct.pack('>H', len(question)) + question)
print('tcp', stream.recv(512)[5] & 15)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.settimeout(10)
datagrams.sendto(question, ('192.0.2.53', 53))
answer, sender = datagrams.recvfrom(512)
print('udp', answer[3] & 15, sender[0])
";

#[test]
fn any_name_server_is_egret() {
    let lab = hello();
    fs::write(lab.path("ask.py"), ASK_DNS).unwrap();
    let (answer, report) = hold(&lab, &[], "python3 ask.py");
    assert_eq!(answer.out, "tcp 5\nudp 5 192.0.2.53\n", "refused: {}", answer.err);
    let denied = &report["unexpected"];
    assert_eq!((&denied["flows"], &denied["targets"][0]["reason"]), (&1.into(), &"dns-not-allowed".into()));
    assert_eq!(denied["targets"][0]["mend"], "--allow denied.test", "what allows it by any protocol");
    assert_eq!(report["names_resolved"], 0);
}

/// Questions are egress, too.
#[test]
fn names_that_are_only_resolved_are_counted() {
    let lab = hello();
    let look_up = format!("getent ahosts {ALLOWED} >/dev/null; getent ahosts {ALLOWED}");
    let (answer, report) = hold(&lab, &[], &look_up);
    assert_eq!((answer.code, &report["names_resolved"], &report["allowed"]["flows"]), (0, &1.into(), &0.into()));
    let told = "egret run: none denied, none allowed, 1 name resolved\n";
    assert!(answer.err.contains(told), "{}", answer.err);
    let (answer, report) = hold(&lab, &[], &format!("getent ahosts {DENIED}; true"));
    assert_eq!((&report["names_resolved"], &report["unexpected"]["flows"]), (&0.into(), &1.into()), "{report:#}");
    assert!(answer.err.contains("egret run: 1 denied, none allowed\n"), "{}", answer.err);
}

const SEND_UDP: &str = r"
import socket
sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sending.settimeout(10)
sending.connect(('192.0.2.7', 9001))
sending.send(b'out')
try:
    print(sending.recv(64))
except OSError as error:
    print(type(error).__name__)
";

#[test]
fn udp_goes_by_network_rules() {
    let lab = hello();
    fs::write(lab.path("send.py"), SEND_UDP).unwrap();
    let (answer, report) = hold(&lab, &[], "python3 send.py");
    assert_eq!(answer.out, "ConnectionRefusedError\n", "an ICMP error: {}", answer.err);
    assert_denied(&report, "udp://192.0.2.7:9001 not-allowed");
}

/// Answers come from the address that was asked, which is nobody's inside.
#[test]
fn allowed_udp_is_answered() {
    if !netns::is_possible() {
        return;
    }
    let lab = hello();
    fs::write(lab.path("send.py"), SEND_UDP).unwrap();
    let outside = NetNs::new("outside");
    outside.ip("addr add 192.0.2.7/32 dev lo");
    let echo = outside.enter(|| UdpSocket::bind("192.0.2.7:9001").unwrap());
    echo.set_read_timeout(Some(DEADLINE)).unwrap();
    let answering = std::thread::spawn(move || {
        let mut buffer = [0; 64];
        let (length, from) = echo.recv_from(&mut buffer).unwrap();
        echo.send_to(&[b"back: ", &buffer[..length]].concat(), from).unwrap();
    });
    let mut command = outside.command("setpriv");
    let user = NOBODY.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", &lab.program(), "run"]);
    command.args(["--allow=udp://192.0.2.7:9001", "--report=report.json"]).current_dir(lab.path("."));
    let answer = finish(command.args(["--", "python3", "send.py"]), "");
    assert_eq!((answer.code, answer.out.as_str()), (0, "b'back: out'\n"), "{}", answer.err);
    assert_eq!(lines(&lab.json("report.json"), "allowed"), ["udp://192.0.2.7:9001 network-rule"]);
    answering.join().unwrap();
}

/// To an origin of [`outside`], with nobody's help.
const DIRECTLY: &str =
    "curl -sk --max-time 5 --noproxy '*' https://denied.test/hello --resolve denied.test:443:203.0.113.9";

/// What takes rights that nobody has inside, or makes them.
#[test]
fn neither_new_namespaces_nor_raw_sockets_lead_out() {
    let Some(outside) = outside() else { return };
    outside.enter(|| {
        let lab = hello();
        let origin = Origin::start_on("203.0.113.9:443", origin::echo);
        let try_it = DIRECTLY;
        let up = format!("ip link set lo up; ip route add default dev lo; {try_it}");
        for wrapped in [format!("unshare -rn {try_it}"), format!("unshare -rn sh -c \"{up}\"")] {
            let (answer, report) = hold(&lab, &[], &wrapped);
            assert_ne!(answer.code, 0, "{wrapped}");
            assert_eq!(report["allowed"]["flows"], 0, "{wrapped}");
        }
        let (answer, _) = hold(&lab, &[], &format!("nft flush ruleset; {up}"));
        assert!(answer.err.contains("Operation not permitted") && answer.code != 0, "{}", answer.err);
        for pid in ["1", "$PPID"] {
            hold(&lab, &[], &format!("nsenter -t {pid} -n {try_it}; nsenter -U -n -t {pid} {try_it}"));
        }
        assert_eq!(origin.connections(), 0);
        free(&[try_it]);
        assert_eq!(origin.connections(), 1, "it is there for whoever gets out");
        let raw = "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)";
        let packet = "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)";
        let mark = "import socket; socket.socket().setsockopt(socket.SOL_SOCKET, 36, 17767)";
        for forbidden in [raw, packet, mark] {
            let (answer, _) = hold(&lab, &[], &format!("python3 -c '{forbidden}'"));
            assert!(answer.err.contains("PermissionError"), "{forbidden}: {}", answer.err);
        }
    });
}

/// Processes that have this word on their command line.
fn processes(word: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(word.len()).any(|part| part == word.as_bytes())
    };
    pids.filter(has).collect()
}

#[test]
fn a_grandchild_of_its_own_session_is_inside_and_ends_with_the_command() {
    let lab = hello();
    let inside = format!("(setsid sh -c '{}; : > done' &); until [ -e done ]; do sleep 0.05; done", curl(DENIED));
    let (answer, report) = hold(&lab, &[], &inside);
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert_denied(&report, "dns://denied.test dns-not-allowed");
    let word = format!("left-behind-{}", std::process::id());
    let leaving = format!(
        "setsid sh -c 'trap \"\" HUP TERM INT; : > begun; sleep 300; {}' {word} >/dev/null 2>&1 &
         until [ -e begun ]; do sleep 0.05; done",
        curl(DENIED)
    );
    let (answer, report) = hold(&lab, &[], &leaving);
    assert_eq!((answer.code, &report["unexpected"]["flows"]), (0, &0.into()), "{}", answer.err);
    assert_eq!(processes(&word), Vec::<u32>::new());
}

#[test]
fn nothing_is_left_when_egret_is_killed() {
    let lab = hello();
    let before = entries(&lab);
    let word = format!("killed-{}", std::process::id());
    let script = format!("setsid sh -c 'trap \"\" HUP TERM; sleep 300' {word} &");
    let mut child = started(held(&lab, &[]), &lab, &script);
    eventually("it runs", || (!processes(&word).is_empty()).then_some(()));
    // Egret's own command line has the word, too.
    let inside = |network: &String| Some(network) != network_of(std::process::id()).as_ref();
    let networks_of = |pids: Vec<u32>| pids.into_iter().filter_map(network_of).filter(inside).collect::<Vec<_>>();
    let namespaces = networks_of(processes(&word));
    assert!(!namespaces.is_empty());
    signal(child.id(), "KILL");
    child.ended();
    eventually("all of it is gone", || processes(&word).is_empty().then_some(()));
    let gone = poll(|| namespaces.iter().all(|inside| !networks().contains(inside)).then_some(()));
    assert!(gone.is_some(), "nobody is in its network any more: {namespaces:?}");
    fs::remove_file(lab.path("ready")).unwrap();
    assert_eq!(entries(&lab), before);
}

/// Of the processes between Egret and the command, too.
#[test]
fn nothing_is_left_when_what_holds_it_is_killed() {
    let lab = hello();
    for depth in [1, 2] {
        let word = format!("held-{depth}-{}", std::process::id());
        let script = format!("setsid sh -c 'trap \"\" HUP TERM; sleep 300' {word} &");
        let mut child = started(held(&lab, &[]), &lab, &script);
        eventually("it runs", || (!processes(&word).is_empty()).then_some(()));
        let holding = (0..depth).fold(child.id(), |pid, _| child_of(pid));
        assert!(network_of(holding).is_some());
        signal(holding, "KILL");
        assert_eq!(child.ended(), Some(128 + 9), "{depth}");
        eventually("all of it is gone", || processes(&word).is_empty().then_some(()));
        assert_eq!(lab.json("report.json")["command_exit_code"], 137, "{depth}");
        fs::remove_file(lab.path("ready")).unwrap();
    }
}

/// The only one.
fn child_of(pid: u32) -> u32 {
    let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parent = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let children: Vec<u32> = all.filter(|child| parent(child) == Some(pid)).collect();
    let [child] = children[..] else { panic!("children of {pid}: {children:?}") };
    child
}

fn entries(lab: &RunLab) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(lab.path(".")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn network_of(pid: u32) -> Option<String> {
    Some(fs::read_link(format!("/proc/{pid}/ns/net")).ok()?.display().to_string())
}

/// The networks that any process is in.
fn networks() -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| network_of(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// What `sh -c` tells of itself, outside and held.
#[test]
fn it_stays_who_and_where_it_was() {
    let lab = hello();
    let script = "id -u; id -g; pwd; umask; cat; echo variables; env";
    let flags = ["-c", script];
    let mut outside = clean("sh");
    outside.args(flags).current_dir(lab.path("."));
    let outside = finish(&mut as_nobody(outside), "what was typed\n");
    let mut inside = as_nobody(clean(&lab.program()));
    inside.current_dir(lab.path(".")).args(["run", "--", "sh"]).args(flags);
    let inside = finish(&mut inside, "what was typed\n");
    let split = |answer: &Answer| {
        let (facts, variables) = answer.out.split_once("variables\n").expect("all of it");
        let read = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        (facts.to_owned(), variables.lines().filter_map(read).collect::<BTreeMap<_, _>>())
    };
    let ((facts, mut variables), (outside, expected)) = (split(&inside), split(&outside));
    assert_eq!(facts, outside);
    assert_eq!(variables.remove("EGRET_RUN").map(|run| run.len()), Some(8));
    assert_eq!(variables, expected);
}

#[test]
fn the_terminal_is_its_own() {
    let lab = hello();
    let mut command = as_nobody(clean("python3"));
    let spawn =
        format!("import pty; pty.spawn(['{}', 'run', '--', 'sh', '-c', 'tty; test -t 0 -a -t 2']) ", lab.program());
    let answer = finish(command.current_dir(lab.path(".")).args(["-c", &spawn]), "");
    assert!(answer.out.starts_with("/dev/pts/"), "{answer:?}");
    assert!(answer.out.contains("egret run: nothing asked of the network"), "{answer:?}");
}

const CONNECT: &str = r"
import socket, sys
try:
    stream = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 10)
    stream.sendall(b'ping')
    print(stream.recv(64).decode())
except OSError as error:
    print(type(error).__name__)
";

#[test]
fn of_the_hosts_services_only_those_that_are_named() {
    let lab = hello();
    fs::write(lab.path("connect.py"), CONNECT).unwrap();
    let (named, other) = (Origin::echo(), Origin::echo());
    let port = named.addr.port().to_string();
    let connect = |origin: &Origin| format!("python3 connect.py {}", origin.addr.port());
    let (answer, report) = hold(&lab, &["--host-port", &port], &connect(&named));
    assert_eq!(answer.out, "ping\n", "{}", answer.err);
    assert_eq!(report["allowed"]["targets"][0]["target"], format!("tcp://127.0.0.1:{port}"));
    assert_eq!(
        report["allowed"]["targets"][0]["rule"],
        format!("host-ports/shorthand/allow-network/tcp://127.0.0.1:{port}")
    );
    let (answer, report) = hold(&lab, &["--host-port", &port], &connect(&other));
    assert_eq!(answer.out, "ConnectionRefusedError\n", "its own loopback, where nobody listens");
    assert_eq!((&report["allowed"]["flows"], &report["unexpected"]["flows"]), (&0.into(), &0.into()));
    assert_eq!((named.connections(), other.connections()), (1, 0));
}

#[test]
fn its_own_loopback_is_nobodys_business() {
    let lab = hello();
    let script = "python3 -m http.server 8000 --bind 127.0.0.1 >/dev/null 2>&1 &
        for try in $(seq 200); do curl -sf http://127.0.0.1:8000/ca.pem && exit; sleep 0.05; done; exit 1";
    let (answer, report) = hold(&lab, &[], script);
    assert!(answer.code == 0 && answer.out.contains("BEGIN CERTIFICATE"), "{}", answer.err);
    assert_eq!((&report["allowed"]["flows"], &report["unexpected"]["flows"]), (&0.into(), &0.into()));
}

const TALK: &str = r"
import socket, sys
stream = socket.create_connection((sys.argv[1], 443), 10)
stream.sendall(sys.argv[2].encode())
print(stream.recv(64))
";

#[test]
fn a_learned_policy_holds() {
    let Some(outside) = outside() else { return };
    outside.enter(|| {
        let lab = hello();
        fs::write(lab.path("egret.toml"), "timeouts.hello = \"500ms\"\n").unwrap();
        fs::write(lab.path("talk.py"), TALK).unwrap();
        let greeting = |addr: &str| Origin::start_on(addr, origin::greeter);
        let origins = ["203.0.113.9:443", "203.0.113.10:443", "192.0.2.7:443"].map(greeting);
        // No policy of names could allow the last three: no name, no TLS, and a server that is to speak first.
        let nameless = "curl -sk --max-time 10 https://203.0.113.9/";
        let script = format!(
            "{}; {}; {nameless}; python3 talk.py 203.0.113.10 'SSH-2.0-x\r\n'; python3 talk.py 192.0.2.7 ''; true",
            curl(ALLOWED),
            curl(DENIED)
        );
        let run = |flags: &[&str]| shell(&mut as_nobody(lab.with_policy(flags)), &script);
        let reached = || origins.each_ref().map(Origin::connections);
        let learned = run(&["--learn=learned.toml"]);
        assert_eq!((learned.code, learned.out.matches("hello").count()), (0, 2), "{}", learned.err);
        assert_eq!(reached(), [0, 0, 0]);
        let text = fs::read_to_string(lab.path("learned.toml")).unwrap();
        let policy: toml::Table = text.parse().unwrap();
        let expected = [
            "tcp://192.0.2.7:443",
            "tcp://203.0.113.10:443",
            "tcp://203.0.113.9:443",
            "https://denied.test:443",
            "https://ok.test:443",
        ];
        assert_eq!(policy["allow"], toml::Value::Array(expected.map(toml::Value::from).to_vec()), "{text}");
        for (target, reason) in expected.iter().zip(["hello-timeout", "bad-request", "missing-sni"]) {
            let line = text.lines().find(|line| line.contains(target)).unwrap();
            assert!(line.ends_with(&format!("# 1, denied this time ({reason})")), "{line}");
        }
        fs::rename(lab.path("learned.toml"), lab.path("egret.toml")).unwrap();
        let again = run(&[]);
        assert_eq!(again.code, 0, "as egret.toml of this folder: {}", again.err);
        assert_eq!((reached(), again.out.matches("b'").count()), ([1, 1, 1], 2), "{}", again.out);
        let other = shell(&mut as_nobody(lab.with_policy(&[])), "curl -s --max-time 10 https://third.test/; true");
        assert_eq!(other.code, 3, "{}", other.err);
    });
}

#[test]
fn exit_codes_and_signals() {
    let lab = hello();
    let code = |line: &[&str]| finish(held(&lab, &[]).arg("--").args(line), "").code;
    assert_eq!(code(&["sh", "-c", "exit 7"]), 7);
    assert_eq!(code(&["sh", "-c", "kill -SEGV $$"]), 128 + 11);
    assert_eq!(code(&["no-such-program"]), 127);
    assert_eq!(code(&["./ca.pem"]), 126);
    for (name, code) in [("TERM", 21), ("HUP", 22), ("USR1", 23), ("INT", 24), ("QUIT", 25)] {
        let mut child = started(held(&lab, &[]), &lab, &format!("trap 'exit {code}' {name}"));
        signal(child.id(), name);
        assert_eq!(child.ended(), Some(code), "{name}");
        fs::remove_file(lab.path("ready")).unwrap();
    }
    let mut child = started(held(&lab, &[]), &lab, "trap ': > told' INT");
    signal(child.id(), "INT");
    eventually("the first is the command's", || lab.path("told").exists().then_some(()));
    signal(child.id(), "INT");
    assert_eq!(child.ended(), Some(130));
}

#[test]
fn as_root_it_is_held_too() {
    if !is_root() {
        return skip("not root");
    }
    let Some(outside) = outside() else { return };
    outside.enter(|| {
        let lab = hello();
        let origin = Origin::start_on("203.0.113.9:443", origin::echo);
        let try_it = DIRECTLY;
        let hold = |script: &str| {
            let answer = shell(&mut lab.egret(&["--report=report.json"]), script);
            (answer, lab.json("report.json"))
        };
        let (answer, report) = hold(&format!("id -u; {}", curl(DENIED)));
        assert!(answer.out == "0\n" && answer.code != 0, "{} {}", answer.out, answer.err);
        assert_denied(&report, "dns://denied.test dns-not-allowed");
        for ruleset in ["nft list ruleset", "nft flush ruleset"] {
            let (answer, _) = hold(&format!("{ruleset}; echo not allowed: $?"));
            assert!(answer.err.contains("Operation not permitted"), "{ruleset}: {}", answer.err);
            assert_eq!(answer.out, "not allowed: 1\n", "{ruleset}");
        }
        // What root has everywhere else; as root, new namespaces need no new user.
        for way in
            ["nft flush ruleset", "ip route add default dev lo", "ip link add x type dummy", "mount -t tmpfs x /mnt"]
        {
            let (answer, _) = hold(&format!("{way} && echo done; {try_it}; nsenter -t 1 -n {try_it}"));
            assert_eq!(answer.out, "", "{way}");
        }
        hold(&format!("unshare -n sh -c \"ip link set lo up; {try_it}\""));
        assert_eq!(origin.connections(), 0);
        free(&[try_it]);
        assert_eq!(origin.connections(), 1, "it is there for whoever gets out");
    });
}

/// It says what is in the way and what to do, and runs nothing.
#[test]
fn where_no_namespace_may_be_made_it_says_so_and_runs_nothing() {
    let lab = hello();
    let run = |flags: &[&str]| {
        let forbidding = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all \"$@\"";
        let mut command = as_nobody(clean("unshare"));
        command.args(["-Ur", "sh", "-c", forbidding, "sh"]).arg(lab.program()).arg("run").args(flags);
        finish(command.current_dir(lab.path(".")).args(["--", "/bin/sh", "-c", "echo ran"]), "")
    };
    let answer = run(&[]);
    assert_eq!((answer.code, answer.out.as_str()), (4, ""), "{}", answer.err);
    for part in ["user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=", "--proxy-only"] {
        assert!(answer.err.contains(part), "{part}: {}", answer.err);
    }
    let answer = run(&["--proxy-only"]);
    assert_eq!((answer.code, answer.out.as_str()), (0, "ran\n"), "{}", answer.err);
}
