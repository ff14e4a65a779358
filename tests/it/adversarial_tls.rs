//! Adversarial cases about what is inside a tunnel. The numbers of the cases run through all these files; those that
//! are missing concern other modes than the explicit one and the gateway.

use std::io::{Read, Write};
use std::time::Duration;

use egret::wire::client_hello;

use super::support::egret::Egret;
use super::support::hello::{Hello, Tls, alpn, ech, hello_retry_request, server_names, vector16};
use super::support::lab::{Lab, PROFILES};
use super::support::origin::{Origin, tls_configs};
use super::support::random::Random;
use super::support::raw::{Client, End, connect, get};

/// The first bytes of tunnels to ok.test:443 that are closed for this reason, without a byte.
fn check_denied<T: AsRef<[u8]>>(firsts: impl IntoIterator<Item = T>, reason: &str) {
    let firsts: Vec<T> = firsts.into_iter().collect();
    Lab::both(Origin::echo, |lab| assert_denied(lab, &firsts, reason));
}

/// The same for the gateway too, to which another name is just one that no rule allows.
fn check_denied_everywhere<T: AsRef<[u8]>>(firsts: impl IntoIterator<Item = T>, reason: &str) {
    let firsts: Vec<T> = firsts.into_iter().collect();
    Lab::everywhere(Origin::echo, |lab| assert_denied(lab, &firsts, reason));
}

fn assert_denied(lab: &Lab, firsts: &[impl AsRef<[u8]>], reason: &str) {
    for first in firsts {
        let mut client = lab.tunnel("ok.test:443");
        // A verdict may fall before the last byte is sent.
        client.try_send(first.as_ref());
        lab.assert_closed(&mut client, &format!("deny {}", at_the_door(lab, reason)));
    }
}

fn at_the_door<'a>(lab: &Lab, reason: &'a str) -> &'a str {
    if reason == ANOTHER_NAME { lab.by_door(reason, "not-allowed") } else { reason }
}

const ANOTHER_NAME: &str = "sni-connect-mismatch";

/// Sends the first bytes of a tunnel, which have to reach the origin as they are.
fn assert_passes(lab: &Lab, mut client: Client, send: impl Fn(&mut Client), first: &[u8]) {
    send(&mut client);
    assert!(client.bytes(first.len()) == first, "the origin saw other bytes");
    assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule");
}

fn check_passes<T: AsRef<[u8]>>(firsts: impl IntoIterator<Item = T>) {
    let firsts: Vec<T> = firsts.into_iter().collect();
    Lab::everywhere(Origin::echo, |lab| {
        for first in firsts.iter().map(AsRef::as_ref) {
            assert_passes(lab, lab.tunnel("ok.test:443"), |client| client.send(first), first);
        }
    });
}

#[test]
fn case_01_connect_sni_mismatch() {
    let names = ["evil.test", "wild.test", "ok.test.evil.test", "evil-ok.test", "test", "k.test"];
    check_denied_everywhere(names.map(|name| Hello::of(name).bytes()), ANOTHER_NAME);
    // Another tunnel's name.
    check_denied([Hello::of("a.wild.test").bytes()], ANOTHER_NAME);
}

#[test]
fn case_01_the_log_names_the_sni() {
    let lab = Lab::new("azure", Origin::echo());
    let mut client = lab.tunnel("ok.test:443");
    client.send(Hello::of("evil.test").bytes());
    lab.assert_closed(&mut client, "deny sni-connect-mismatch");
    let record = &lab.egret.flows(client.addr(), 1)[0];
    assert_eq!((record["host"].as_str(), record["sni"].as_str()), (Some("ok.test"), Some("evil.test")));
}

#[test]
fn case_01_by_socks5() {
    Lab::both(Origin::echo, |lab| {
        let (mut client, reply) = Client::socks(lab.addr(), "ok.test", 443);
        assert_eq!(reply, 0);
        client.send(Hello::of("evil.test").bytes());
        lab.assert_closed(&mut client, "deny sni-connect-mismatch");
    });
}

#[test]
fn case_02_no_sni() {
    check_denied_everywhere([Hello::nameless().bytes()], "missing-sni");
}

#[test]
fn case_03_not_tls() {
    check_denied(
        [
            "SSH-2.0-OpenSSH_9.9\r\n",
            "GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n",
        ],
        "not-tls",
    );
    let lines: &[u8] = b"\r\nGET / HTTP/1.1\r\nHost: ok.test\r\n\r\n";
    // No version of TLS, no length, and an SSLv2 hello.
    let odd: [&[u8]; 5] = [
        lines,
        &[0, 1, 2, 3],
        &[0x16, 0x02, 0x00],
        &[0x16, 3, 1, 0, 4, 2, 0, 0, 0],
        &[0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10],
    ];
    check_denied_everywhere(odd, "not-tls");
    // A TDS pre-login where a rule wants TLS.
    check_denied([[0x12, 1, 0, 0x2f, 0, 0, 1, 0]], "not-tls");
}

const SHORT_HELLO: &str = "[timeouts]\nhello = \"300ms\"\n";

#[test]
fn case_03_server_first_silence() {
    let greeter = || Origin::start(|mut stream, _| drop(stream.write_all(b"220 hello\r\n")));
    for profile in PROFILES {
        let lab = Lab::with_config(profile, greeter(), SHORT_HELLO);
        lab.assert_closed(&mut lab.tunnel("ok.test:443"), "deny hello-timeout");
    }
}

#[test]
fn case_03_the_client_leaves_first() {
    let lab = Lab::new("azure", Origin::echo());
    let mut client = lab.tunnel("ok.test:443");
    client.finish();
    lab.assert_closed(&mut client, "deny client-gone");
}

/// What is inside an opaque session is out of sight: a Host header that fronts is not seen.
#[test]
fn case_09_fronting_inside_tls_is_opaque() {
    let (server, client_config) = tls_configs(&["ok.test"], &[]);
    let lab = Lab::new("strict", Origin::tls(server));
    let client = lab.tunnel("ok.test:443");
    let mut tls = Tls::new(&client.stream, &client_config, "ok.test");
    let request = get("/", "evil.test");
    assert_eq!(tls.echo(&request).unwrap(), request);
    assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule");
}

#[test]
fn case_17_one_byte_a_segment() {
    Lab::everywhere(Origin::echo, |lab| {
        let evil = Hello::of("evil.test").bytes();
        let mut client = lab.tunnel("ok.test:443");
        client.trickle(&evil);
        lab.assert_closed(&mut client, &format!("deny {}", at_the_door(lab, ANOTHER_NAME)));
        let fine = Hello::of("ok.test").bytes();
        assert_passes(lab, lab.tunnel("ok.test:443"), |client| client.trickle(&fine), &fine);
    });
}

#[test]
fn case_17_one_byte_a_record() {
    check_passes([1, 7].map(|size| Hello::of("ok.test").records_of(size).bytes()));
    check_denied_everywhere([1, 7].map(|size| Hello::of("evil.test").records_of(size).bytes()), ANOTHER_NAME);
}

#[test]
fn case_19_post_quantum_hello_in_segments() {
    let (server, client_config) = tls_configs(&["ok.test", "evil.test"], &[]);
    Lab::everywhere(
        || Origin::tls(server.clone()),
        |lab| {
            let mut client = lab.tunnel("ok.test:443");
            let hello = Tls::new(&client.stream, &client_config, "evil.test").hello();
            // Proof that it is a post-quantum one: X25519MLKEM768 shares take 1216 bytes.
            assert!(hello.len() > 1216, "{}", hello.len());
            let (first, second) = hello.split_at(700);
            client.send(first);
            client.trickle(&second[..300]);
            client.send(&second[300..]);
            lab.assert_closed(&mut client, &format!("deny {}", at_the_door(lab, ANOTHER_NAME)));

            let client = lab.tunnel("ok.test:443");
            let mut tls = Tls::new(&client.stream, &client_config, "ok.test");
            assert_eq!(tls.echo("post-quantum").unwrap(), "post-quantum");
            assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule");
        },
    );
}

#[test]
fn case_19_large_hellos() {
    let sizes = [1800, 16 * 1024, 20_000, 60_000, 65_000];
    check_passes(sizes.map(|size| Hello::of("ok.test").padded(size).bytes()));
    check_denied_everywhere(sizes.map(|size| Hello::of("evil.test").padded(size).bytes()), ANOTHER_NAME);
    let too_large = [
        Hello::of("ok.test").padded(66_000).bytes(),
        vec![22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff],
        // Cut so fine that the records take more than twice what a hello may.
        Hello::of("ok.test").padded(60_000).records_of(1).bytes(),
    ];
    check_denied_everywhere(too_large, "hello-too-large");
}

#[test]
fn case_20_half_a_hello_then_silence() {
    let proxies = PROFILES.map(|profile| Some(Lab::with_config(profile, Origin::echo(), SHORT_HELLO)));
    let gateways = PROFILES.map(|profile| Lab::gateway(profile, Origin::echo, SHORT_HELLO));
    for lab in proxies.into_iter().chain(gateways).flatten() {
        let hello = Hello::of("ok.test").bytes();
        for first in [1, 5, 60, hello.len() - 1] {
            let mut client = lab.tunnel("ok.test:443");
            client.send(&hello[..first]);
            lab.assert_closed(&mut client, "deny hello-timeout");
        }
    }
}

/// A byte now and then does not move the deadline.
#[test]
fn case_20_a_hello_that_trickles() {
    let proxy = Lab::with_config("strict", Origin::echo(), SHORT_HELLO);
    for lab in [Some(proxy), Lab::gateway("strict", Origin::echo, SHORT_HELLO)].into_iter().flatten() {
        let mut client = lab.tunnel("ok.test:443");
        for byte in Hello::of("ok.test").bytes() {
            if !client.try_send(&[byte]) || !client.is_silent_for(Duration::from_millis(40)) {
                break;
            }
        }
        assert_eq!(lab.egret.verdict(client.addr()), "deny hello-timeout");
        assert_eq!(lab.origin.connections(), 0);
    }
}

#[test]
fn case_21_malformed_hellos() {
    let ok = || Hello::of("ok.test");
    let many = vec![&b"h2"[..]; 5000];
    let twice = Hello::nameless().with(0, server_names(&[b"ok.test", b"evil.test"]));
    let spare = |body: &[u8]| Hello::nameless().with(0, body);
    let hellos = [
        ok().with(16, alpn(&[b""])),
        ok().with(16, alpn(&[b"h2", b""])),
        ok().with(16, alpn(&many)),
        ok().with(16, alpn(&[])),
        ok().with(16, [0]),
        twice,
        ok().with(0, server_names(&[b"evil.test"])),
        ok().with(43, [2, 3, 4]),
        spare(&[]),
        spare(&vector16(&[])),
        spare(&[0, 9, 0, 0, 99, b'o', b'k']),
        spare(&[server_names(&[b"ok.test"]), vec![0]].concat()),
        spare(&vector16(&[&[1][..], &vector16(b"ok.test")].concat())),
    ];
    let mut hellos: Vec<Vec<u8>> = hellos.iter().map(Hello::bytes).collect();
    // An empty record, bytes after the hello in its record, and alerts between its records.
    hellos.push(vec![22, 3, 1, 0, 0]);
    let message = ok().message();
    hellos.push([&[22, 3, 1][..], &vector16(&[&message[..], &[0]].concat())].concat());
    let cut = ok().records_of(50).bytes();
    hellos.push([&cut[..55], &[21, 3, 1, 0, 2, 1, 0], &cut[55..]].concat());
    check_denied_everywhere(hellos, "bad-hello");
}

#[test]
fn case_21_the_log_stays_small() {
    Lab::everywhere(Origin::echo, |lab| {
        let mut client = lab.tunnel("ok.test:443");
        client.try_send(&Hello::of("ok.test").with(16, alpn(&vec![&b"h2"[..]; 5000])).bytes());
        lab.assert_closed(&mut client, "deny bad-hello");
        assert!(lab.egret.flows(client.addr(), 1)[0].to_string().len() < 1000);
    });
}

#[test]
fn case_22_server_names() {
    let long = ["a".repeat(60).as_str(); 5].join(".");
    let names = [
        &b"127.0.0.1"[..],
        b"169.254.169.254",
        b"::1",
        b"[::1]",
        b"ok.test:443",
        b"ok.test\0",
        b"ok.test\0.evil.test",
        b"evil.test\0.ok.test",
        b"\xffok.test",
        "ök.test".as_bytes(),
        b"ok.test..",
        b".ok.test",
        b"ok test",
        b"ok.test/",
        b"*.wild.test",
        b"",
        b"2130706433",
        b"0x7f.1",
        long.as_bytes(),
        &[b'a'; 300],
    ];
    check_denied_everywhere(names.map(|name| Hello::of(name).bytes()), "bad-sni");
    check_denied_everywhere([Hello::of("o_k.test").bytes()], ANOTHER_NAME);
    check_passes(["OK.TEST", "ok.test."].map(|name| Hello::of(name).bytes()));
}

#[test]
fn case_22_an_underscore_is_part_of_a_name() {
    Lab::everywhere(Origin::echo, |lab| {
        let hello = Hello::of("a_b.wild.test").bytes();
        assert_passes(lab, lab.tunnel("a_b.wild.test:443"), |client| client.send(&hello), &hello);
    });
}

#[test]
fn case_23_encrypted_hello() {
    check_denied_everywhere([Hello::of("ok.test").with(0xfe0d, ech()).bytes()], "ech-present");
    check_denied_everywhere([Hello::of("evil.test").with(0xfe0d, ech()).bytes()], ANOTHER_NAME);
    check_denied_everywhere([Hello::of("ok.test").with(0xfe0d, [0, 1]).bytes()], "bad-hello");
    let config = "[proxy]\nech = \"allow-outer\"\n";
    let proxy = Lab::with_config("strict", Origin::echo(), config);
    for lab in [Some(proxy), Lab::gateway("strict", Origin::echo, config)].into_iter().flatten() {
        let hello = Hello::of("ok.test").with(0xfe0d, ech()).bytes();
        assert_passes(&lab, lab.tunnel("ok.test:443"), |client| client.send(&hello), &hello);
    }
}

/// Asks for another hello, and notes everything that it gets.
fn retrying() -> Origin {
    Origin::start(|mut stream, note| {
        let mut buffer = [0; 4096];
        let mut asked = false;
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            note.note(&buffer[..read]);
            let answer = if asked { b"served".to_vec() } else { hello_retry_request() };
            asked = true;
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    })
}

fn retried(lab: &Lab) -> Client {
    let mut client = lab.tunnel("ok.test:443");
    client.send(Hello::of("ok.test").bytes());
    let retry = hello_retry_request();
    assert_eq!(client.bytes(retry.len()), retry);
    client
}

#[test]
fn case_25_the_second_hello_names_another() {
    let changed_cipher_spec = vec![20, 3, 3, 0, 1, 1];
    let early_data = [&[23, 3, 3][..], &vector16(&[0; 40])].concat();
    for before in [Vec::new(), changed_cipher_spec, early_data] {
        Lab::everywhere(retrying, |lab| {
            let mut client = retried(lab);
            client.send([&before[..], &Hello::of("evil.test").bytes()].concat());
            assert_eq!(client.rest(), (Vec::new(), End::Eof));
            assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule");
            assert_eq!(lab.egret.close(client.addr())["reason"], "sni-changed");
            let noted = lab.origin.noted().concat();
            assert!(!noted.windows(9).any(|it| it == b"evil.test"), "the second hello reached the origin");
        });
    }
}

#[test]
fn case_25_the_second_hello_names_nobody() {
    let lab = Lab::new("strict", retrying());
    let mut client = retried(&lab);
    client.send(Hello::nameless().bytes());
    assert_eq!(client.rest(), (Vec::new(), End::Eof));
    assert_eq!(lab.egret.close(client.addr())["reason"], "sni-changed");
}

/// Its name is the first one's, and may be a front for another.
#[test]
fn case_25_the_second_hello_is_encrypted() {
    let hidden = |name: &str| Hello::of(name).with(0xfe0d, ech()).bytes();
    Lab::everywhere(retrying, |lab| {
        for (second, reason) in [(hidden("ok.test"), "ech-present"), (hidden("evil.test"), "sni-changed")] {
            let mut client = retried(lab);
            client.send(second);
            assert_eq!(client.rest(), (Vec::new(), End::Eof));
            assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule");
            assert_eq!(lab.egret.close(client.addr())["reason"], reason);
            let noted = lab.origin.noted().concat();
            assert!(!noted.windows(144).any(|it| it == [2; 144]), "the second hello reached the origin");
        }
    });
}

#[test]
fn case_25_an_encrypted_second_hello_that_is_allowed() {
    let config = "[proxy]\nech = \"allow-outer\"\n";
    let proxies = PROFILES.map(|profile| Some(Lab::with_config(profile, retrying(), config)));
    let gateways = PROFILES.map(|profile| Lab::gateway(profile, retrying, config));
    for lab in proxies.into_iter().chain(gateways).flatten() {
        let mut client = retried(&lab);
        client.send(Hello::of("ok.test").with(0xfe0d, ech()).bytes());
        assert_eq!(client.bytes(6), b"served");
    }
}

/// A client that knows what the origin will ask need not wait for it.
#[test]
fn case_25_the_second_hello_comes_with_the_first() {
    Lab::everywhere(retrying, |lab| {
        let mut client = lab.tunnel("ok.test:443");
        client.send([Hello::of("ok.test").bytes(), Hello::of("evil.test").bytes()].concat());
        let (_, end) = client.rest();
        assert_eq!(end, End::Eof);
        assert_eq!(lab.egret.close(client.addr())["reason"], "sni-changed");
        let noted = lab.origin.noted().concat();
        assert!(!noted.windows(9).any(|it| it == b"evil.test"), "the second hello reached the origin");
    });
}

#[test]
fn case_25_the_same_name_again() {
    Lab::everywhere(retrying, |lab| {
        let mut client = retried(lab);
        let second = Hello::of("ok.test").with(44, vector16(b"cookie")).bytes();
        client.send([&[20, 3, 3, 0, 1, 1][..], &second].concat());
        assert_eq!(client.bytes(6), b"served");
        assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule");
    });
}

/// rustls really asks again where the client guessed another group.
#[test]
fn case_25_a_real_retry() {
    let (server, client_config) = tls_configs(&["ok.test"], &[]);
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::SECP384R1];
    let server = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(server.cert_resolver.clone());
    let lab = Lab::new("strict", Origin::tls(server.into()));
    let client = lab.tunnel("ok.test:443");
    assert_eq!(Tls::new(&client.stream, &client_config, "ok.test").echo("twice").unwrap(), "twice");
}

#[test]
fn bytes_that_came_with_the_connect_are_not_lost() {
    Lab::both(Origin::echo, |lab| {
        let hello = Hello::of("ok.test").bytes();
        for cut in [1, 50, hello.len()] {
            let mut client = lab.send([connect("ok.test:443").as_bytes(), &hello[..cut]].concat());
            assert!(client.head().starts_with("HTTP/1.1 200 "));
            assert_passes(lab, client, |client| client.send(&hello[cut..]), &hello);
        }
    });
}

/// Where a rule wants plain HTTP or SQL Server, TLS is another protocol and SSH is none at all.
#[test]
fn tunnels_that_carry_another_protocol() {
    let pre_login = [&[0x12, 1, 0, 0x1a, 0, 0, 1, 0][..], &[0; 18]].concat();
    let hello = |name: &str| Hello::of(name).bytes();
    for profile in PROFILES {
        let origin = Origin::echo();
        let to = format!("--connect-to=::{}", origin.addr);
        let egret = Egret::start(&["--allow=http://ok.test", "--allow=mssql://sql.test", &to, "--profile", profile]);
        for (tunnel, first, verdict) in [
            ("sql.test:1433", hello("sql.test"), "allow application-rule"),
            ("sql.test:1433", hello("evil.test"), "deny sni-connect-mismatch"),
            ("sql.test:1433", Hello::nameless().bytes(), "deny missing-sni"),
            ("sql.test:1433", b"SSH-2.0-x\r\n".to_vec(), "deny not-tds"),
            ("sql.test:1433", get("/", "sql.test").into_bytes(), "deny not-tds"),
            ("sql.test:1433", vec![0; 8], "deny not-tds"),
            ("ok.test:80", hello("ok.test"), "deny proto-not-allowed"),
            ("ok.test:80", pre_login.clone(), "deny proto-not-allowed"),
        ] {
            let mut client = Client::tunnel(egret.addr, tunnel);
            client.send(&first);
            let before = origin.connections();
            if verdict.starts_with("allow") {
                assert_eq!(client.bytes(first.len()), first);
            } else {
                assert_eq!(client.rest(), (Vec::new(), End::Eof));
                assert_eq!(origin.connections(), before);
            }
            assert_eq!(egret.verdict(client.addr()), verdict, "{tunnel} {}", first.escape_ascii());
        }
    }
}

/// A network rule asks for no hello: whoever wants may speak first.
#[test]
fn a_server_that_speaks_first_behind_a_network_rule() {
    let greeter = Origin::start(|mut stream, _| drop(stream.write_all(b"220 hello\r\n")));
    let flags = [format!("--connect-to=::{}", greeter.addr), "--allow=tcp://mail.test:25".to_owned()];
    let egret = Egret::start(&flags);
    let mut client = Client::tunnel(egret.addr, "mail.test:25");
    assert_eq!(client.rest().0, b"220 hello\r\n");
    assert_eq!(egret.verdict(client.addr()), "allow network-rule");
    let (mut client, reply) = Client::socks(egret.addr, "mail.test", 25);
    assert_eq!((reply, client.rest().0), (0, b"220 hello\r\n".to_vec()));
}

/// A client that half-closes behind a second hello gets it through no more than another.
#[test]
fn case_25_a_second_hello_and_the_end() {
    Lab::everywhere(retrying, |lab| {
        let mut client = lab.tunnel("ok.test:443");
        client.send([Hello::of("ok.test").bytes(), Hello::of("evil.test").bytes()].concat());
        client.finish();
        assert_eq!(client.rest().1, End::Eof);
        assert_eq!(lab.egret.close(client.addr())["reason"], "sni-changed");
        let noted = lab.origin.noted().concat();
        assert!(!noted.windows(9).any(|it| it == b"evil.test"), "the second hello reached the origin");
    });
}

/// Early data, which may come with the hello, is not held back for ever.
#[test]
fn early_data_behind_the_hello() {
    Lab::everywhere(Origin::echo, |lab| {
        let early_data = [&[20, 3, 3, 0, 1, 1][..], &[23, 3, 3], &vector16(&[7; 400])].concat();
        let first = [Hello::of("ok.test").bytes(), early_data].concat();
        assert_passes(lab, lab.tunnel("ok.test:443"), |client| client.send(&first), &first);
        assert_passes(lab, lab.tunnel("ok.test:443"), |client| client.trickle(&first), &first);
    });
}

/// Whatever happens to a hello: where we read ok.test, a server reads no other name.
#[test]
fn no_hello_reads_one_way_here_and_another_way_there() {
    let whole = Hello::of("ok.test").with(16, alpn(&[b"h2", b"http/1.1"])).with(0xfe0d, [1]);
    let mut random = Random::seeded(25);
    let (mut read, mut agreed) = (0, 0);
    for round in 0..30_000 {
        let mut hello = whole.clone().records_of(*random.pick(&[16_384, 100, 7])).bytes();
        random.mutate(&mut hello, &[0, 1, 2, 3, 7, 9, 16, 22, 0xff, b'.', b'a', b'O']);
        let Ok(ours) = client_hello::parse(&hello) else { continue };
        read += 1;
        let mut acceptor = rustls::server::Acceptor::default();
        let mut bytes = &hello[..];
        while !bytes.is_empty() && acceptor.read_tls(&mut bytes).is_ok() {}
        let Ok(Some(accepted)) = acceptor.accept() else { continue };
        let hello = accepted.client_hello();
        let theirs = hello.server_name().map(|name| name.trim_end_matches('.').to_lowercase());
        assert_eq!(ours.sni.map(|name| name.to_string()), theirs, "round {round}");
        agreed += 1;
    }
    assert!(read > 1000 && agreed > 1000, "{read} read, {agreed} agreed");
}
