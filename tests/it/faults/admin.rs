//! The admin server flooded: flows go on as if nothing were, and it is there again when the flood is over.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::denied;
use crate::support::DEADLINE;
use crate::support::egret::{Egret, NO_FLAGS};
use crate::support::eventually;
use crate::support::origin::Origin;
use crate::support::raw::{Client, get};

/// Opens connections until there are so many or descriptors are gone, says these bytes on each as soon as it is open,
/// tells when it is through, and holds them until its standard input ends.
const CROWD: &str = r#"
import resource, selectors, socket, sys, time
wanted, port, says = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode().decode("unicode_escape").encode("latin-1")
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
wanted = min(wanted, hard - 50)
held, selector = [], selectors.DefaultSelector()
for _ in range(wanted):
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(("127.0.0.1", port))
    held.append(one)
    selector.register(one, selectors.EVENT_WRITE)
until = time.monotonic() + 1
while time.monotonic() < until:
    for key, _ in selector.select(0.1):
        selector.unregister(key.fileobj)
        try:
            key.fileobj.send(says)
        except OSError:
            pass
print(len(held), flush=True)
sys.stdin.read()
"#;

struct Crowd(Child);

impl Crowd {
    fn at(egret: &Egret, wanted: usize, says: &str) -> Crowd {
        let mut python = Command::new("python3");
        python.args(["-c", CROWD, &wanted.to_string(), &egret.admin().port().to_string(), says]);
        let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut through = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut through)
            .unwrap();
        assert!(through.trim().parse::<usize>().unwrap() > 500, "{through}");
        Crowd(child)
    }

    fn leave(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Resident, in KiB.
fn memory(egret: &Egret) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", egret.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Requests of both verdicts, some hundreds of them.
fn assert_serves(egret: &Egret, allowed: &str) {
    let mut client = Client::connect(egret.addr);
    for _ in 0..200 {
        client.send(get(&format!("http://{allowed}/"), allowed));
        assert_eq!(client.status(), 200);
        client.send(get("http://evil.test/", "evil.test"));
        assert_eq!(client.status(), 470);
    }
}

fn serving() -> (Origin, Egret) {
    let origin = Origin::http_ok();
    let flags = ["--allow=http://ok.test".to_owned(), format!("--connect-to=ok.test:80:{}", origin.addr)];
    let egret = Egret::start(&flags);
    (origin, egret)
}

#[test]
fn ten_thousand_connections() {
    // That say nothing, half a head, half a body.
    for says in
        ["", "GET /metrics HTTP/1.1\\r\\nHost: 127", "POST /v1/check HTTP/1.1\\r\\nContent-Length: 60000\\r\\n\\r\\n{"]
    {
        let (_origin, egret) = serving();
        assert_serves(&egret, "ok.test");
        let (descriptors, kib) = (egret.descriptors(), memory(&egret));
        let crowd = Crowd::at(&egret, 10_000, says);
        assert_serves(&egret, "ok.test");
        assert!(egret.descriptors() < descriptors + 100, "{says}: {}", egret.descriptors());
        assert!(memory(&egret) < kib + 32 * 1024, "{says}: {kib} KiB, then {}", memory(&egret));
        crowd.leave();
        assert_eq!(egret.get("/readyz").status, 200, "{says}");
    }
}

/// However few there are, those that the admin server takes are not those of flows.
#[test]
fn a_crowd_takes_no_descriptors_of_flows() {
    let origin = Origin::http_ok();
    let flags = ["--allow=http://ok.test".to_owned(), format!("--connect-to=ok.test:80:{}", origin.addr)];
    let egret = Egret::with_descriptors(256, &flags);
    let crowd = Crowd::at(&egret, 1000, "");
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(egret.addr)).collect();
    let request = get("http://ok.test/", "ok.test");
    // Who finds no place waits, and is closed; nobody is let in who finds no origin then.
    let served = clients.iter_mut().filter_map(|client| {
        (client.try_send(request.as_bytes()) && client.rest_starts_with(b"HTTP/1.1 ")).then(|| client.status())
    });
    let served: Vec<u16> = served.collect();
    assert!(served.len() > 50 && served.iter().all(|status| *status == 200), "{served:?}");
    assert!(!egret.stderr().contains("cannot accept"), "{}", egret.stderr());
    crowd.leave();
    assert_eq!(egret.metric("egret_connect_failures_total"), 0);
}

#[test]
fn heads_and_bodies_that_are_too_large() {
    let (_origin, egret) = serving();
    let kib = memory(&egret);
    let large = "a".repeat(1 << 20);
    let lines = "X: a\r\n".repeat(10_000);
    let chunked =
        format!("POST /v1/check HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n{large}");
    let requests = [
        format!("GET /{large} HTTP/1.1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nX: {large}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{lines}\r\n"),
        chunked,
        large.clone(),
    ];
    for request in requests.iter().cycle().take(50) {
        let mut stream = TcpStream::connect_timeout(&egret.admin(), DEADLINE).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        // It may be refused before its end.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", answer.escape_ascii());
    }
    assert_serves(&egret, "ok.test");
    assert!(memory(&egret) < kib + 32 * 1024, "{kib} KiB, then {}", memory(&egret));
}

/// One reload at a time, also where those who asked do not wait for it.
#[test]
fn a_storm_of_reloads() {
    let hosts: String = (0..20_000).map(|number| format!("\"n{number}.test\", ")).collect();
    let egret = Egret::with_config(&format!("allow = [{hosts}]\n"), NO_FLAGS);
    let post = format!("POST /v1/reload HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", egret.admin());
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", egret.pid())).unwrap().flatten();
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        tasks.map(name).filter(|name| name.starts_with("tokio")).count()
    };
    let mut most = 0;
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        // Asked for, and gone before it is done.
        let crowd: Vec<TcpStream> = (0..16)
            .map(|_| {
                let mut stream = TcpStream::connect_timeout(&egret.admin(), DEADLINE).unwrap();
                stream.write_all(post.as_bytes()).unwrap();
                stream
            })
            .collect();
        std::thread::park_timeout(Duration::from_millis(20));
        drop(crowd);
        most = most.max(threads());
        assert_eq!(denied(&egret, "evil.example"), 470);
    }
    // One that loads, and one whose turn is next.
    assert!(most <= 4, "{most} threads load at once");
    let hash = egret.get("/v1/policy").json()["hash"].clone();
    let answer = eventually("it reloads", || Some(egret.post("/v1/reload", "")).filter(|it| it.status == 200));
    assert_eq!(answer.json()["policy_hash"], hash);
}
