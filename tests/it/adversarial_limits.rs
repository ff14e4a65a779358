//! Adversarial cases about what a client may take up and how long: caps, deadlines, credentials, reloads.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::adversarial_http::{assert_malformed, post};
use super::support::command::{egret_with_descriptors, run};
use super::support::egret::Egret;
use super::support::hello::Hello;
use super::support::lab::{Lab, PROFILES};
use super::support::origin::{Origin, silent};
use super::support::poll;
use super::support::raw::{Client, End, connect, get, header, socks_request, status_of};

#[test]
fn case_39_heads_without_end() {
    for profile in PROFILES {
        let lab = Lab::new(profile, Origin::http_ok());
        let line = format!("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nX: {}", "a".repeat(1 << 20));
        let target = format!("GET http://ok.test/{}", "a".repeat(1 << 20));
        let lines = format!("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n{}\r\n", "X: a\r\n".repeat(1000));
        for head in [line, target, lines] {
            let mut client = Client::connect(lab.addr());
            client.try_send(head.as_bytes());
            assert_eq!(status_of(&client.head()), 431);
            assert_eq!(lab.egret.verdict(client.addr()), "deny limit-head");
        }
        let method = "A".repeat(1 << 16);
        assert_malformed(&lab, &method.as_bytes()[..100], 400, "bad-request");
    }
}

/// hyper takes as many as our own reader lets through, or it would answer by itself and nobody would know.
#[test]
fn case_39_as_many_lines_as_a_head_may_have() {
    let lab = || Lab::new("strict", Origin::http_ok());
    let with =
        |lines: usize| format!("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n{}\r\n", "X: a\r\n".repeat(lines - 1));
    let accepting = lab();
    assert_eq!(status_of(&accepting.send(with(100).as_bytes()).head()), 200);
    assert_malformed(&lab(), with(101).as_bytes(), 431, "limit-head");
}

/// The limit is the configured one, for CONNECT as well.
#[test]
fn case_39_the_configured_limit_of_heads() {
    let lab = Lab::with_config("strict", Origin::echo(), "[limits]\nhead_bytes = 600\n");
    let padding = "a".repeat(600);
    for request in [
        format!("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nX: {padding}\r\n\r\n"),
        format!("CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test\r\nX: {padding}\r\n\r\n"),
    ] {
        assert_malformed(&lab, request.as_bytes(), 431, "limit-head");
    }
}

const SHORT_HEAD: &str = "[timeouts]\nhead = \"400ms\"\nidle_client = \"400ms\"\n";

#[test]
fn case_39_half_a_head_then_silence() {
    for profile in PROFILES {
        let lab = Lab::with_config(profile, Origin::http_ok(), SHORT_HEAD);
        for request in ["G", "GET http://ok.test/ HTTP/1.1\r\nHost: ok", "CONNECT ok.test:443 HTTP/1.1\r\n"] {
            assert_malformed(&lab, request.as_bytes(), 408, "head-timeout");
        }
        for greeting in [&[5][..], &[5, 1], &[5, 1, 0, 5, 1, 0, 3, 9]] {
            let mut client = lab.send(greeting);
            assert_eq!(client.rest().1, End::Eof);
            assert_eq!(lab.egret.verdict(client.addr()), "deny head-timeout");
        }
        // Nothing at all is no request, and no flow.
        assert_eq!(Client::connect(lab.addr()).rest(), (Vec::new(), End::Eof));
    }
}

/// To the gateway the first bytes are waited for as a hello is, and the rest of a head as anywhere.
#[test]
fn case_39_half_a_head_to_the_gateway() {
    let config = "[timeouts]\nhead = \"400ms\"\nhello = \"400ms\"\n";
    for lab in PROFILES.iter().filter_map(|profile| Lab::gateway(profile, Origin::http_ok, config)) {
        for request in ["G", "GET / HTTP/1.1\r\nHost: ok"] {
            assert_malformed(&lab, request.as_bytes(), 408, "head-timeout");
        }
        lab.assert_closed(&mut lab.tunnel(":80"), "deny hello-timeout");
        let endless = format!("GET / HTTP/1.1\r\nHost: ok.test\r\nX: {}", "a".repeat(1 << 20));
        let mut client = lab.tunnel(":80");
        client.try_send(endless.as_bytes());
        assert_eq!(status_of(&client.head()), 431);
        assert_eq!(lab.egret.verdict(client.addr()), "deny limit-head");
    }
}

/// A byte now and then does not move the deadline.
#[test]
fn case_39_a_head_that_trickles() {
    let lab = Lab::with_config("strict", Origin::http_ok(), SHORT_HEAD);
    let head = format!("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nX: {}\r\n\r\n", "a".repeat(200));
    let mut client = Client::connect(lab.addr());
    for byte in head.bytes() {
        if !client.try_send(&[byte]) || !client.is_silent_for(Duration::from_millis(20)) {
            break;
        }
    }
    assert_eq!(lab.egret.verdict(client.addr()), "deny head-timeout");
    assert_eq!(lab.origin.connections(), 0);
}

#[test]
fn case_39_a_body_that_stands_still() {
    let lab = Lab::with_config("strict", Origin::http_ok(), "[timeouts]\nidle = \"300ms\"\n");
    let mut client = lab.send(post("Content-Length: 10\r\n", "half"));
    let (_, end) = client.rest();
    assert_eq!(end, End::Eof);
    lab.egret.close(client.addr());
    assert!(lab.origin.noted().is_empty(), "the request reached the origin whole");
}

const AUTH: &str = "Proxy-Authorization: Basic bGFiOnNlY3JldA==\r\n";

fn with_auth(request: &str) -> String {
    request.replacen("\r\n", &format!("\r\n{AUTH}"), 1)
}

#[test]
fn credentials_are_asked_for_and_taken_on_the_same_connection() {
    for profile in PROFILES {
        let origin = Origin::http_ok();
        let to = format!("--connect-to=::{}", origin.addr);
        let flags = ["--allow=http://ok.test", "--auth=lab:secret", &to, "--profile", profile];
        let egret = Egret::start(&flags);
        for request in [get("http://ok.test/", "ok.test"), connect("ok.test:80")] {
            let mut client = Client::send_to(egret.addr, &request);
            let (head, _) = client.answer();
            assert_eq!(status_of(&head), 407);
            assert_eq!(header(&head, "proxy-authenticate"), Some("Basic realm=\"egret\""));
            client.send(with_auth(&request));
            assert_eq!(client.head().split(' ').nth(1), Some("200"));
        }
        let wrong = with_auth(&get("http://ok.test/", "ok.test")).replace("bGFi", "bGFj");
        assert_eq!(Client::send_to(egret.addr, wrong).status(), 407);
        assert_eq!(Client::send_to(egret.addr, get("/proxy.pac", "p")).status(), 200);
        let head = &origin.wait_noted(1)[0];
        assert_eq!(header(head, "proxy-authorization"), None, "{head}");
        let refused = || Some(egret.records(|record| record["reason"] == "auth-required")).filter(|it| it.len() == 3);
        assert!(poll(refused).is_some(), "{:#?}", egret.log());
    }
}

#[test]
fn socks5_with_user_and_password() {
    let origin = Origin::http_ok();
    let to = format!("--connect-to=::{}", origin.addr);
    let egret = Egret::start(&["--allow=http://ok.test", "--auth=lab:secret", &to]);
    let greet = |user: &[u8]| {
        let mut client = Client::send_to(egret.addr, [5, 2, 0, 2]);
        assert_eq!(client.bytes(2), [5, 2]);
        client.send(user);
        client
    };
    let mut client = greet(b"\x01\x03lab\x06secret");
    assert_eq!(client.bytes(2), [1, 0]);
    client.send(socks_request("ok.test", 80));
    assert_eq!(client.bytes(10)[1], 0);
    client.send(get("/", "ok.test"));
    assert_eq!(client.status(), 200);

    let mut client = greet(b"\x01\x03lab\x06Secret");
    assert_eq!(client.rest(), (vec![1, 1], End::Eof));
    assert_eq!(egret.verdict(client.addr()), "deny auth-required");
    let mut client = Client::send_to(egret.addr, [5, 1, 0]);
    assert_eq!(client.rest(), (vec![5, 0xff], End::Eof));
    assert_eq!(egret.verdict(client.addr()), "deny auth-required");
}

#[test]
fn socks5_commands_other_than_connect() {
    Lab::both(Origin::echo, |lab| {
        for command in [2, 3, 9] {
            let mut request = socks_request("ok.test", 443);
            request[1] = command;
            let mut client = lab.send([&[5, 1, 0][..], &request].concat());
            assert_eq!(client.rest(), (vec![5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0], End::Eof));
            assert_eq!(lab.egret.verdict(client.addr()), "deny bad-request");
        }
    });
}

#[test]
fn off_loopback_is_refused_without_a_word() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let ended = run(&["serve", "--listen", listen, "--admin", "off"]);
        assert_eq!(ended.code, 2, "{}", ended.err);
        assert!(ended.err.contains("off loopback"), "{}", ended.err);
    }
}

#[test]
fn the_cap_of_one_client_refuses() {
    let lab = Lab::with_config("strict", Origin::http_ok(), "[limits]\nconnections_per_client = 2\n");
    let request = get("http://ok.test/", "ok.test");
    let mut held: Vec<Client> = (0..2).map(|_| lab.send(&request)).collect();
    held.iter_mut().for_each(|client| assert_eq!(client.status(), 200));
    let mut third = Client::connect(lab.addr());
    assert_ne!(third.rest().1, End::Silent);
    assert_eq!(lab.egret.verdict(third.addr()), "deny limit-client");
    drop(held);
    let again = poll(|| {
        let mut client = Client::connect(lab.addr());
        (client.try_send(request.as_bytes()) && client.rest_starts_with(b"HTTP/1.1 200")).then_some(())
    });
    assert!(again.is_some(), "the places were not given back");
}

#[test]
fn the_cap_of_all_connections_waits_and_refuses() {
    let lab = Lab::with_config("strict", Origin::http_ok(), "[limits]\nconnections = 2\n[proxy]\nworkers = 1\n");
    let request = get("http://ok.test/", "ok.test");
    let mut held: Vec<Client> = (0..2).map(|_| lab.send(&request)).collect();
    held.iter_mut().for_each(|client| assert_eq!(client.status(), 200));
    let mut third = lab.send(&request);
    assert!(third.is_silent_for(Duration::from_millis(300)));
    drop(held.pop());
    assert_eq!(third.status(), 200);
    // Not for ever; and who comes after that does not wait at all.
    for _ in 0..3 {
        let mut late = Client::connect(lab.addr());
        assert_eq!(late.rest().0, b"");
        assert_eq!(lab.egret.verdict(late.addr()), "deny limit-connections");
    }
    drop(held);
    let served = poll(|| {
        let mut again = Client::connect(lab.addr());
        (again.try_send(request.as_bytes()) && again.rest_starts_with(b"HTTP/1.1 200")).then_some(())
    });
    assert!(served.is_some(), "nobody is served any more");
}

const RELOADED: &str = "allow = [\"https://ok.test\", \"http://ok.test\"]\n";

fn reloading(origin: &Origin) -> Egret {
    Egret::with_config(RELOADED, &[&format!("--connect-to=::{}", origin.addr), "--admin=off"])
}

fn assert_cut(egret: &Egret, client: &mut Client, end: End) {
    assert_eq!(client.rest(), (Vec::new(), end));
    let close = egret.close(client.addr());
    assert_eq!((close["reason"].as_str(), close["closed_by"].as_str()), (Some("policy-changed"), Some("egret")));
}

/// Neither end is to take it for an end in good order: what was said so far may look whole.
#[test]
fn a_live_tunnel_is_cut_by_a_reload_that_denies_it() {
    let origin = Origin::start(|mut stream, note| {
        let mut buffer = [0; 4096];
        note.note(&loop {
            match stream.read(&mut buffer) {
                Ok(0) => break b"end".to_vec(),
                Ok(read) => stream.write_all(&buffer[..read]).unwrap(),
                Err(error) => break error.kind().to_string().into_bytes(),
            }
        });
    });
    let egret = reloading(&origin);
    let mut client = Client::tunnel(egret.addr, "ok.test:443");
    let hello = Hello::of("ok.test").bytes();
    client.send(&hello);
    assert_eq!(client.bytes(hello.len()), hello);
    egret.reload(&format!("{RELOADED}deny = [\"https://evil.test\"]\n"));
    client.send("still");
    assert_eq!(client.bytes(5), b"still");
    egret.reload("allow = [\"http://ok.test\"]\n");
    assert_cut(&egret, &mut client, End::Reset);
    assert_eq!(origin.wait_noted(1), ["connection reset"]);
    assert_eq!(Client::send_to(egret.addr, connect("ok.test:443")).status(), 470);
}

#[test]
fn a_tunnel_whose_origin_has_not_answered_is_cut_as_well() {
    let origin = Origin::start(silent);
    let egret = reloading(&origin);
    let mut client = Client::tunnel(egret.addr, "ok.test:443");
    client.send(Hello::of("ok.test").bytes());
    origin.wait_noted(1);
    egret.reload("allow = [\"http://ok.test\"]\n");
    // Nothing came back yet that could look whole.
    assert_cut(&egret, &mut client, End::Eof);
}

/// So is what was asked for in plain HTTP, whether its client reads it or not.
#[test]
fn a_download_is_cut_by_a_reload_that_denies_it() {
    let origin = Origin::start(|mut stream, note| {
        let mut request = [0; 4096];
        let read = stream.read(&mut request).unwrap_or(0);
        note.note(&request[..read]);
        let much = vec![b'x'; 64 * 1024];
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\nfirst");
        if request.starts_with(b"GET /much") {
            while stream.write_all(&much).is_ok() {}
        }
        while stream.read(&mut request).is_ok_and(|read| read > 0) {}
    });
    let egret = reloading(&origin);
    let mut reading = Client::send_to(egret.addr, get("http://ok.test/", "ok.test"));
    assert_eq!(status_of(&reading.head()), 200);
    assert_eq!(reading.bytes(5), b"first");
    let mut stuck = Client::send_to(egret.addr, get("http://ok.test/much", "ok.test"));
    origin.wait_noted(2);
    egret.reload(&format!("{RELOADED}deny = [\"https://evil.test\"]\n"));
    assert!(reading.is_silent_for(Duration::from_millis(200)));
    egret.reload("allow = [\"https://ok.test\"]\n");
    assert_cut(&egret, &mut reading, End::Reset);
    assert_eq!(stuck.rest().1, End::Reset);
    assert_eq!(egret.close(stuck.addr())["reason"], "policy-changed");
}

#[test]
fn a_request_that_waits_for_its_answer_is_refused_by_a_reload_that_denies_it() {
    let origin = Origin::start(silent);
    let egret = reloading(&origin);
    let post = "POST http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 1000\r\n\r\nhalf";
    let mut clients =
        [get("http://ok.test/", "ok.test"), post.to_owned()].map(|request| Client::send_to(egret.addr, request));
    origin.wait_noted(2);
    egret.reload("allow = [\"https://ok.test\"]\n");
    for client in &mut clients {
        assert_eq!(client.status(), 470);
        assert_eq!(egret.close(client.addr())["reason"], "policy-changed");
    }
}

/// One connection with much to be refused leaves the core to others in between.
#[test]
fn many_refusals_at_once_are_answered_in_turns() {
    let egret = Egret::with_config("", &["--workers=1", "--admin=off"]);
    let greedy = TcpStream::connect(egret.addr).unwrap();
    let mut others = Client::connect(egret.addr);
    let numbers: Vec<u64> = std::thread::scope(|scope| {
        let (mut sending, mut reading) = (&greedy, &greedy);
        let much = connect("evil.test:443").repeat(1000);
        scope.spawn(move || while sending.write_all(much.as_bytes()).is_ok() {});
        scope.spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
        for number in 0..20 {
            others.send(connect(&format!("n{number}.test:443")));
            assert_eq!(others.status(), 470);
        }
        greedy.shutdown(Shutdown::Both).unwrap();
        egret.flows(others.addr(), 20).iter().map(|flow| flow["seq"].as_u64().unwrap()).collect()
    });
    // Hundreds of refusals come out of one read, and hundreds of reads out of one turn.
    let between = numbers.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
    assert!(between < 1000, "{numbers:?}");
}

#[test]
fn a_kept_connection_is_judged_anew_after_a_reload() {
    let origin = Origin::http_ok();
    let egret = reloading(&origin);
    let mut client = Client::send_to(egret.addr, get("http://ok.test/", "ok.test"));
    assert_eq!(client.status(), 200);
    egret.reload("allow = [\"https://ok.test\"]\n");
    client.send(get("http://ok.test/", "ok.test"));
    assert_eq!(client.status(), 470);
    assert_eq!(origin.noted().len(), 1);
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let origin = Origin::http_ok();
    let egret = reloading(&origin);
    let refused = egret.reload("allow = [");
    let error = refused["error"].as_str().unwrap_or_else(|| panic!("taken up: {refused}"));
    assert!(refused["ok"] == false && error.starts_with("egret.toml:1:"), "{refused}");
    assert_eq!(refused["policy_hash"], egret.log()[0]["policy_hash"]);
    assert_eq!(Client::send_to(egret.addr, get("http://ok.test/", "ok.test")).status(), 200);
    assert_eq!(egret.reload(RELOADED)["ok"], true);
    assert_eq!(Client::send_to(egret.addr, get("http://ok.test/", "ok.test")).status(), 200);
}

/// Connections that come and go leave no place taken.
#[test]
fn places_are_given_back_however_a_connection_ends() {
    let config = "[limits]\nconnections = 4\n[timeouts]\nhello = \"200ms\"\nhead = \"200ms\"\n[proxy]\nworkers = 1\n";
    let lab = Lab::with_config("strict", Origin::echo(), config);
    let hello = Hello::of("ok.test").bytes();
    for _ in 0..20 {
        // Cut by the client in each phase.
        drop(Client::connect(lab.addr()));
        drop(lab.send("GET http"));
        drop(lab.send(connect("ok.test:443")));
        drop(lab.tunnel("ok.test:443"));
        let mut half = lab.tunnel("ok.test:443");
        half.send(&hello[..9]);
        drop(half);
        drop(lab.send([5, 1, 0]));
        let mut open = lab.tunnel("ok.test:443");
        open.send(&hello);
        assert_eq!(open.bytes(hello.len()), hello);
    }
    let mut last = lab.tunnel("ok.test:443");
    last.send(&hello);
    assert_eq!(last.bytes(hello.len()), hello);
}

#[test]
fn a_hundred_half_hellos_do_not_keep_others_out() {
    let lab = Lab::with_config("strict", Origin::echo(), "[timeouts]\nhello = \"2s\"\n");
    let hello = Hello::of("ok.test").bytes();
    let mut held: Vec<Client> = (0..100).map(|_| lab.tunnel("ok.test:443")).collect();
    held.iter_mut().for_each(|client| client.send(&hello[..40]));
    let mut client = lab.tunnel("ok.test:443");
    client.send(&hello);
    assert_eq!(client.bytes(hello.len()), hello);
    for client in &mut held {
        lab.egret.verdict(client.addr());
        assert_eq!(client.rest(), (Vec::new(), End::Eof));
    }
    assert_eq!(lab.egret.records(|record| record["reason"] == "hello-timeout").len(), 100);
    assert_eq!(lab.origin.connections(), 1);
}

/// A client that leaves while its origin thinks does not leave the origin thinking.
#[test]
fn a_client_that_leaves_while_it_waits() {
    let silent = || {
        Origin::start(|mut stream, note| {
            while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {
                note.note(b"asked");
            }
            note.note(b"gone");
        })
    };
    let lab = Lab::new("strict", silent());
    let mut client = lab.tunnel("ok.test:443");
    client.send(Hello::of("ok.test").bytes());
    lab.origin.wait_noted(1);
    drop(client);
    assert_eq!(lab.origin.wait_noted(2).pop().as_deref(), Some("gone"));
}

/// No origin failed, and nothing was denied: the client's end is what is logged, however it came.
#[test]
fn a_client_that_leaves_in_the_middle_of_a_body() {
    let silent = || Origin::start(|mut stream, _| while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {});
    let leave: [fn(Client); 3] = [
        drop,
        |client| SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap(),
        |mut client| {
            client.finish();
            assert_eq!(client.status(), 400, "who only has no more to send is told");
        },
    ];
    Lab::everywhere(silent, |lab| {
        for (framing, part) in [("Content-Length: 100", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")] {
            for leave in leave {
                let head = format!("POST http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n{framing}\r\n\r\n{part}");
                let client = lab.send(head);
                let addr = client.addr();
                lab.egret.flows(addr, 1);
                leave(client);
                let close = lab.egret.close(addr);
                let ended = (close["closed_by"].as_str(), close["reason"].as_str());
                assert_eq!(ended, (Some("client"), Some("client-gone")), "{framing}: {close}");
            }
        }
    });
}

/// A connection takes two: those for which there are none wait, and find their origin later.
#[test]
fn descriptors_do_not_run_out() {
    let origin = Origin::http_ok();
    let flags = ["--allow=http://ok.test".to_owned(), format!("--connect-to=ok.test:80:{}", origin.addr)];
    // Or a tenth of the places would be left to others.
    let config = "[limits]\nconnections_per_client = 1000\n";
    let egret = Egret::spawn_in(tempfile::tempdir().unwrap(), egret_with_descriptors(100), config, &flags);
    let mut clients: Vec<Client> = (0..120).map(|_| Client::connect(egret.addr)).collect();
    // Who was served leaves its place to another.
    let once = "GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nConnection: close\r\n\r\n";
    clients.iter_mut().for_each(|client| client.send(once));
    for mut client in clients {
        assert_eq!(client.status(), 200);
    }
    assert!(!egret.stderr().contains("cannot accept"), "{}", egret.stderr());
}

#[test]
fn idle_listeners_keep_no_places() {
    let origin = Origin::http_ok();
    let config = "[proxy]\nworkers = 4\n[limits]\nconnections = 2\n";
    let flags = ["--allow=http://ok.test".to_owned(), format!("--connect-to=ok.test:80:{}", origin.addr)];
    let egret = Egret::with_config(config, &flags);
    for _ in 0..20 {
        assert_eq!(Client::send_to(egret.addr, get("http://ok.test/", "ok.test")).status(), 200);
    }
}

#[test]
fn a_client_that_never_reads_is_given_up() {
    let origin = Origin::http(|_| {
        [b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n".as_slice(), &[7; 50_000_000]].concat()
    });
    let config = "[timeouts]\nidle = \"300ms\"\n";
    let flags = ["--allow=http://ok.test".to_owned(), format!("--connect-to=ok.test:80:{}", origin.addr)];
    let egret = Egret::with_config(config, &flags);
    let client = Client::send_to(egret.addr, get("http://ok.test/", "ok.test"));
    let close = egret.close(client.addr());
    assert_eq!(
        (close["closed_by"].as_str(), close["reason"].as_str()),
        (Some("egret"), Some("idle-timeout")),
        "{close}"
    );
}

#[test]
fn an_upload_that_the_origin_never_reads_is_given_up() {
    let origin = Origin::start(|_stream, _| std::thread::park_timeout(super::support::DEADLINE));
    let config = "[timeouts]\nidle = \"300ms\"\nresponse = \"300ms\"\n";
    let flags = ["--allow=http://ok.test".to_owned(), format!("--connect-to=ok.test:80:{}", origin.addr)];
    let egret = Egret::with_config(config, &flags);
    let mut client = Client::connect(egret.addr);
    let head = "POST http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 50000000\r\n\r\n";
    client.send(head);
    let mut writer = client.stream.try_clone().unwrap();
    std::thread::spawn(move || writer.write_all(&[7; 50_000_000]).is_ok());
    let close = egret.close(client.addr());
    assert_eq!(close["reason"], "upstream-timeout", "{close}");
    assert!(close["bytes_up"].as_u64() > Some(0), "{close}");
}

#[test]
fn what_is_cut_at_the_end_has_a_close_record() {
    let origin = Origin::start(|mut stream, _| while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {});
    let flags = ["--allow=http://ok.test".to_owned(), format!("--connect-to=ok.test:80:{}", origin.addr)];
    let egret = Egret::with_config("[timeouts]\ndrain = \"200ms\"\n", &flags);
    let client = Client::send_to(egret.addr, get("http://ok.test/", "ok.test"));
    egret.flows(client.addr(), 1);
    egret.signal("TERM");
    let close = egret.close(client.addr());
    assert_eq!((close["closed_by"].as_str(), close["reason"].as_str()), (Some("egret"), Some("shutdown")), "{close}");
}

#[test]
fn a_dnat_rule_opens_nothing_outbound() {
    let origin = Origin::http_ok();
    let (addr, port) = (origin.addr.ip(), origin.addr.port());
    let config = format!(
        "[[rule_collection_group]]\nname = \"g\"\npriority = 100\n[[rule_collection_group.rule_collection]]\n\
         name = \"c\"\npriority = 100\ntype = \"dnat\"\n[[rule_collection_group.rule_collection.rule]]\nname = \"r\"\n\
         ip_protocols = \"TCP\"\ndestination_addresses = \"{addr}\"\ndestination_ports = {port}\n\
         translated_address = \"127.0.0.9\"\ntranslated_port = 9\n"
    );
    for profile in PROFILES {
        let egret = Egret::with_config(&config, &[format!("--profile={profile}")]);
        let url = format!("http://{addr}:{port}/");
        let mut client = Client::send_to(egret.addr, get(&url, &format!("{addr}:{port}")));
        assert_ne!(client.status(), 200);
        assert_eq!(egret.verdict(client.addr()), "deny internal-address");
        assert_eq!(origin.connections(), 0);
    }
    // Nor does it close anything.
    let egret = Egret::with_config(&config, &[format!("--allow=tcp://{addr}:{port}")]);
    let mut client = Client::send_to(egret.addr, connect(&format!("{addr}:{port}")));
    assert_eq!(client.status(), 200);
    assert_eq!(egret.verdict(client.addr()), "allow network-rule");
}

#[test]
fn a_denied_name_that_does_not_resolve_is_denied() {
    let config = "[dns]\nservers = [\"127.0.0.1:9\"]\n[timeouts]\nresolve = \"200ms\"\n";
    let egret = Egret::with_config(config, &["--allow=10.0.0.0/8:9000", "--profile=strict"]);
    let mut client = Client::send_to(egret.addr, connect("evil.test:9000"));
    assert_eq!(client.status(), 403);
    assert_eq!(egret.verdict(client.addr()), "deny not-allowed");
}

#[test]
fn dot_segments_are_no_way_round_a_url_rule() {
    let origin = Origin::http_ok();
    let config = "[[rule_collection_group]]\nname = \"g\"\npriority = 100\n[[rule_collection_group.rule_collection]]\n\
         name = \"c\"\npriority = 100\ntype = \"application\"\naction = \"allow\"\n\
         [[rule_collection_group.rule_collection.rule]]\nname = \"r\"\nprotocols = \"Http:80\"\n\
         target_urls = \"ok.test/pub/*\"\n";
    let egret = Egret::with_config(config, &[format!("--connect-to=ok.test:80:{}", origin.addr)]);
    let status = |path: &str| {
        let mut client = Client::send_to(egret.addr, get(&format!("http://ok.test{path}"), "ok.test"));
        (client.status(), egret.verdict(client.addr()))
    };
    assert_eq!(status("/pub/a"), (200, "allow application-rule".to_owned()));
    for path in ["/pub/../admin", "/pub/%2e%2e/admin", "/pub/..%2fadmin", "/pub/%5c../admin"] {
        assert_eq!(status(path), (400, "deny bad-path".to_owned()), "{path}");
    }
    assert_eq!(origin.connections(), 1);
}
