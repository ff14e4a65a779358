//! SQL Server's clients: a TDS pre-login, TLS in TDS packets, and the rules that go by the SNI in it. Server and client
//! are made here of rustls and of packets; what comes after the handshake is an echo.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use super::support::egret::Egret;
use super::support::hello::{Hello, Tls, ech, hello_retry_request};
use super::support::lab::PROFILES;
use super::support::origin::{Note, Origin, silent, tls_configs};
use super::support::raw::{Client, End};

const HEADER: usize = 8;
const PRE_LOGIN: u8 = 0x12;
const ANSWER: u8 = 0x04;

const OFF: u8 = 0;
const ON: u8 = 1;
const NOT_SUPPORTED: u8 = 2;
const REQUIRED: u8 = 3;

/// A message in packets with so many bytes in each.
fn packets(kind: u8, message: &[u8], size: usize) -> Vec<u8> {
    let count = message.chunks(size).count();
    let packet = |(index, part): (usize, &[u8])| {
        let [high, low] = ((HEADER + part.len()) as u16).to_be_bytes();
        [&[kind, u8::from(index + 1 == count), high, low, 0, 0, index as u8, 0], part].concat()
    };
    message.chunks(size).enumerate().flat_map(packet).collect()
}

fn options(options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut at = options.len() * 5 + 1;
    let (mut table, mut values) = (Vec::new(), Vec::new());
    for (token, value) in options {
        table.extend([&[*token][..], &(at as u16).to_be_bytes(), &(value.len() as u16).to_be_bytes()].concat());
        values.extend(*value);
        at += value.len();
    }
    [&table[..], &[0xff], &values].concat()
}

/// What a .NET client asks for.
fn asked(encryption: u8, mars: u8) -> Vec<u8> {
    let message = options(&[
        (0, &[5, 1, 0, 0, 0, 0]),
        (1, &[encryption]),
        (2, b"MSSQLServer\0"),
        (3, &[0, 0, 9, 7]),
        (4, &[mars]),
        (5, &[7; 36]),
        (6, &[1]),
    ]);
    packets(PRE_LOGIN, &message, 4096)
}

/// What SQL Server answers.
fn answer(encryption: u8, mars: u8) -> Vec<u8> {
    let version = [16, 0, 0x10, 0x54, 0, 0];
    packets(ANSWER, &options(&[(0, &version), (1, &[encryption]), (2, &[0]), (3, &[]), (4, &[mars])]), 4096)
}

/// What Egret answers: encryption, MARS and federated login as promised.
fn promised(encryption: u8, mars: u8) -> Vec<u8> {
    let version = [12, 0, 0x07, 0xd0, 0, 0];
    let options = options(&[(0, &version), (1, &[encryption]), (2, &[0]), (3, &[]), (4, &[mars]), (6, &[1])]);
    [&[ANSWER, 1, 0, HEADER as u8 + options.len() as u8, 0, 0, 1, 0], &options[..]].concat()
}

fn read_packet(stream: &mut TcpStream) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let mut header = vec![0; HEADER];
    stream.read_exact(&mut header)?;
    let mut content = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])) - HEADER];
    stream.read_exact(&mut content)?;
    Ok((header, content))
}

/// One side of a handshake in packets, of so many bytes each.
fn handshake<S>(tls: &mut rustls::ConnectionCommon<S>, stream: &mut TcpStream, size: usize) -> std::io::Result<()> {
    while tls.is_handshaking() || tls.wants_write() {
        if tls.wants_write() {
            let mut records = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut records)?;
            }
            stream.write_all(&packets(PRE_LOGIN, &records, size))?;
            continue;
        }
        let (header, content) = read_packet(stream)?;
        assert_eq!(header[0], PRE_LOGIN);
        let mut content = &content[..];
        while !content.is_empty() {
            tls.read_tls(&mut content)?;
            tls.process_new_packets().map_err(std::io::Error::other)?;
        }
    }
    Ok(())
}

/// TLS 1.2, as it is in TDS before 8.0: both sides know where the handshake ends.
fn configs(names: &[&str]) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let (server, client) = tls_configs(names, &[]);
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.tls13().is_none());
    let server = ServerConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(server.cert_resolver.clone());
    (server.into(), client)
}

/// Notes the pre-login and the SNI, answers with this encryption, and echoes inside TLS.
fn sql_server(config: Arc<ServerConfig>, encryption: u8, mars: u8) -> Origin {
    Origin::start(move |stream, note| {
        // A client that breaks off is that client's affair.
        let _ = serve_sql(stream, note, &config, &answer(encryption, mars));
    })
}

fn serve_sql(mut stream: TcpStream, note: &Note, config: &Arc<ServerConfig>, answer: &[u8]) -> std::io::Result<()> {
    let (header, content) = read_packet(&mut stream)?;
    note.note(&[header, content].concat());
    stream.write_all(answer)?;
    let mut tls = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
    handshake(&mut tls, &mut stream, 1000)?;
    note.note(tls.server_name().unwrap_or_default().as_bytes());
    let mut tls = rustls::Stream::new(&mut tls, &mut stream);
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = tls.read(&mut buffer) {
        tls.write_all(&buffer[..read])?;
    }
    Ok(())
}

struct Lab {
    egret: Egret,
    origin: Origin,
}

impl Lab {
    fn new(profile: &str, origin: Origin) -> Lab {
        Lab::with_config(profile, origin, "")
    }

    fn with_config(profile: &str, origin: Origin, config: &str) -> Lab {
        let to = format!("--connect-to=::{}", origin.addr);
        let flags = [
            "--allow=mssql://sql.test",
            "--allow=mssql://*.wild.test",
            "--allow=https://ok.test",
            "--profile",
            profile,
            &to,
        ];
        Lab { egret: Egret::with_config(config, &flags), origin }
    }

    fn tunnel(&self) -> Client {
        Client::tunnel(self.egret.addr, "sql.test:1433")
    }

    /// A tunnel in which the pre-login was asked for and answered.
    fn logged_in(&self) -> Client {
        let mut client = self.tunnel();
        client.send(asked(ON, 0));
        let promised = promised(ON, 0);
        assert_eq!(client.bytes(promised.len()), promised);
        client
    }

    /// Closed without another byte, and the origin has seen nothing.
    fn assert_closed(&self, client: &mut Client, verdict: &str) {
        let (bytes, end) = client.rest();
        assert_eq!((bytes.escape_ascii().to_string(), end), (String::new(), End::Eof), "{verdict}");
        assert_eq!(self.egret.verdict(client.addr()), verdict);
        assert_eq!(self.origin.connections(), 0, "{verdict}");
    }

    /// Allowed, and closed for this reason once the server had its say.
    fn assert_cut(&self, client: &mut Client, reason: &str) {
        let (bytes, end) = client.rest();
        assert_eq!((bytes.escape_ascii().to_string(), end), (String::new(), End::Eof), "{reason}");
        assert_eq!(self.egret.verdict(client.addr()), "allow application-rule");
        assert_eq!(self.egret.close(client.addr())["reason"], reason);
    }
}

fn in_packets(hello: &Hello) -> Vec<u8> {
    packets(PRE_LOGIN, &hello.bytes(), 4096)
}

/// A hello in packets, after an answered pre-login, that is refused for this reason.
fn check_denied(hello: &[u8], reason: &str) {
    for profile in PROFILES {
        let lab = Lab::new(profile, Origin::echo());
        let mut client = lab.logged_in();
        // A verdict may fall before the last byte is sent.
        client.try_send(hello);
        lab.assert_closed(&mut client, &format!("deny {reason}"));
    }
}

/// A session from the pre-login to an echo, in packets of this size.
fn session(client: &mut Client, config: &Arc<ClientConfig>, name: &str, encryption: u8, size: usize) {
    client.send(asked(encryption, 1));
    let promised = promised(if encryption == OFF { REQUIRED } else { ON }, 1);
    assert_eq!(client.bytes(promised.len()), promised);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut tls = ClientConnection::new(config.clone(), name).unwrap();
    handshake(&mut tls, &mut client.stream, size).unwrap();
    let mut tls = rustls::Stream::new(&mut tls, &mut client.stream);
    tls.write_all(b"select 1").unwrap();
    let mut back = [0; 8];
    tls.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"select 1");
}

#[test]
fn a_session() {
    let (server, client_config) = configs(&["sql.test"]);
    for (encryption, server_says) in [(ON, ON), (REQUIRED, ON), (OFF, ON), (OFF, REQUIRED)] {
        for profile in PROFILES {
            let lab = Lab::new(profile, sql_server(server.clone(), server_says, 1));
            let mut client = lab.tunnel();
            session(&mut client, &client_config, "sql.test", encryption, 4096);
            assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule");
            let record = &lab.egret.flows(client.addr(), 1)[0];
            let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
            assert_eq!((text("proto"), text("sni")), ("mssql".to_owned(), "sql.test".to_owned()));
            // What would have encrypted the login alone has to encrypt everything.
            let expected = asked(if encryption == OFF { ON } else { encryption }, 1);
            assert_eq!(lab.origin.noted(), [expected, b"sql.test".to_vec()]);
        }
    }
}

#[test]
fn a_session_by_socks5_and_by_a_wildcard() {
    let (server, client_config) = configs(&["a.wild.test"]);
    let lab = Lab::new("azure", sql_server(server, ON, 1));
    let (mut client, reply) = Client::socks(lab.egret.addr, "a.wild.test", 1433);
    assert_eq!(reply, 0);
    session(&mut client, &client_config, "a.wild.test", ON, 4096);
    assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule");
}

#[test]
fn the_hello_comes_in_many_packets() {
    let (server, client_config) = configs(&["sql.test"]);
    let lab = Lab::new("strict", sql_server(server, ON, 1));
    for size in [1, 3, 100] {
        session(&mut lab.tunnel(), &client_config, "sql.test", ON, size);
    }
}

/// The origin gets the hello as it came, behind its own pre-login's answer.
#[test]
fn one_byte_a_segment() {
    for records_of in [3, 1 << 14] {
        let origin = Origin::start(|mut stream, note| {
            let (header, content) = read_packet(&mut stream).unwrap();
            note.note(&[header, content].concat());
            stream.write_all(&answer(ON, 0)).unwrap();
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                stream.write_all(&buffer[..read]).unwrap();
            }
        });
        let lab = Lab::new("strict", origin);
        let mut client = lab.tunnel();
        client.trickle(&asked(ON, 0));
        let promised = promised(ON, 0);
        assert_eq!(client.bytes(promised.len()), promised);
        let hello = packets(PRE_LOGIN, &Hello::of("sql.test").records_of(records_of).bytes(), 5);
        client.trickle(&hello);
        assert_eq!(client.bytes(hello.len()), hello);
        assert_eq!(lab.egret.verdict(client.addr()), "allow application-rule");
        assert_eq!(lab.origin.noted(), [asked(ON, 0)]);
    }
}

/// A client that does not wait for the answers gets no less.
#[test]
fn everything_at_once() {
    let origin = sql_server(configs(&["sql.test"]).0, ON, 0);
    let lab = Lab::new("strict", origin);
    let mut client = lab.tunnel();
    client.send([asked(ON, 0), in_packets(&Hello::of("evil.test"))].concat());
    let promised = promised(ON, 0);
    assert_eq!(client.bytes(promised.len()), promised);
    lab.assert_closed(&mut client, "deny sni-connect-mismatch");
}

#[test]
fn another_name() {
    check_denied(&in_packets(&Hello::of("evil.test")), "sni-connect-mismatch");
    check_denied(&in_packets(&Hello::of("a.wild.test")), "sni-connect-mismatch");
    check_denied(&packets(PRE_LOGIN, &Hello::of("evil.test").records_of(7).bytes(), 3), "sni-connect-mismatch");
}

#[test]
fn the_log_names_the_sni() {
    let lab = Lab::new("azure", Origin::echo());
    let mut client = lab.logged_in();
    client.send(in_packets(&Hello::of("evil.test")));
    lab.assert_closed(&mut client, "deny sni-connect-mismatch");
    let record = &lab.egret.flows(client.addr(), 1)[0];
    let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
    assert_eq!([text("proto"), text("host"), text("sni")], ["mssql", "sql.test", "evil.test"]);
}

#[test]
fn no_name() {
    check_denied(&in_packets(&Hello::nameless()), "missing-sni");
}

#[test]
fn what_is_wrong_with_a_hello() {
    check_denied(&in_packets(&Hello::of("127.0.0.1")), "bad-sni");
    check_denied(&in_packets(&Hello::of("sql.test").with(0xfe0d, ech())), "ech-present");
    check_denied(&in_packets(&Hello::of("sql.test").padded(66_000)), "hello-too-large");
    check_denied(&packets(PRE_LOGIN, &Hello::of("sql.test").padded(20_000).bytes(), 1), "hello-too-large");
    check_denied(&Hello::of("sql.test").bytes(), "bad-hello");
    check_denied(&packets(PRE_LOGIN, b"GET / HTTP/1.1\r\n", 4096), "bad-hello");
    // A login in the clear, and one that is to be ignored, but by whom?
    check_denied(&packets(0x10, &[0; 94], 4096), "bad-hello");
    check_denied(&[PRE_LOGIN, 3, 0, 9, 0, 0, 0, 0, 22], "bad-hello");
    // A second hello that hides in the packet of the first.
    let two = [Hello::of("sql.test").bytes(), Hello::of("evil.test").bytes()].concat();
    check_denied(&packets(PRE_LOGIN, &two, 4096), "bad-hello");
}

fn check_first_denied(first: &[u8], reason: &str) {
    for profile in PROFILES {
        let lab = Lab::new(profile, Origin::echo());
        let mut client = lab.tunnel();
        client.try_send(first);
        lab.assert_closed(&mut client, &format!("deny {reason}"));
    }
}

#[test]
fn no_tls_is_to_follow() {
    check_first_denied(&asked(NOT_SUPPORTED, 0), "missing-sni");
    check_first_denied(&packets(PRE_LOGIN, &options(&[(0, &[5, 1, 0, 0, 0, 0])]), 4096), "missing-sni");
}

#[test]
fn what_is_no_pre_login() {
    check_first_denied(&asked(9, 0), "not-tds");
    check_first_denied(&packets(PRE_LOGIN, &[0; 18], 4096), "not-tds");
    check_first_denied(&[PRE_LOGIN, 1, 0, 8], "not-tds");
    check_first_denied(&packets(PRE_LOGIN, &[0; 40_000], 4096), "hello-too-large");
}

/// A rule for HTTPS lets no pre-login in, which is not answered either.
#[test]
fn a_pre_login_where_a_rule_wants_tls() {
    let lab = Lab::new("azure", Origin::echo());
    let mut client = Client::tunnel(lab.egret.addr, "ok.test:443");
    client.send(asked(ON, 0));
    lab.assert_closed(&mut client, "deny not-tls");
}

#[test]
fn a_client_that_falls_silent() {
    let short = "[timeouts]\nhello = \"300ms\"\n";
    let hello = in_packets(&Hello::of("sql.test"));
    for profile in PROFILES {
        let lab = Lab::with_config(profile, Origin::echo(), short);
        for cut in [1, 20] {
            let mut client = lab.tunnel();
            client.send(&asked(ON, 0)[..cut]);
            lab.assert_closed(&mut client, "deny hello-timeout");
        }
        for cut in [0, 1, 20, hello.len() - 1] {
            let mut client = lab.logged_in();
            client.send(&hello[..cut]);
            lab.assert_closed(&mut client, "deny hello-timeout");
        }
    }
}

#[test]
fn a_client_that_leaves() {
    let lab = Lab::new("azure", Origin::echo());
    let mut client = lab.logged_in();
    client.finish();
    lab.assert_closed(&mut client, "deny client-gone");
}

/// Answers the pre-login so, and notes what comes then.
fn answering(answer: Vec<u8>) -> Origin {
    Origin::start(move |mut stream, note| {
        let Ok(_) = read_packet(&mut stream) else { return };
        if stream.write_all(&answer).is_ok() {
            silent(stream, note);
        }
    })
}

/// What the client was told already has to be true.
#[test]
fn a_server_that_answers_otherwise() {
    for answer in [
        answer(NOT_SUPPORTED, 0),
        answer(OFF, 0),
        answer(ON, 1),
        [answer(ON, 0), vec![0]].concat(),
        packets(PRE_LOGIN, &options(&[(0, &[16, 0, 0, 0, 0, 0]), (1, &[ON])]), 4096),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
    ] {
        let lab = Lab::new("strict", answering(answer));
        let mut client = lab.logged_in();
        client.send(in_packets(&Hello::of("sql.test")));
        lab.assert_cut(&mut client, "upstream-invalid");
        assert!(lab.origin.noted().is_empty(), "more was sent");
    }
}

#[test]
fn a_server_that_closes_or_says_nothing() {
    let hello = in_packets(&Hello::of("sql.test"));
    let lab = Lab::new("strict", Origin::start(|mut stream, _| drop(read_packet(&mut stream))));
    let mut client = lab.logged_in();
    client.send(&hello);
    lab.assert_cut(&mut client, "upstream-invalid");
    let lab = Lab::with_config("strict", answering(Vec::new()), "[timeouts]\nresponse = \"300ms\"\n");
    let mut client = lab.logged_in();
    client.send(&hello);
    lab.assert_cut(&mut client, "upstream-timeout");
}

/// Asks for another hello in packets, as a server of TLS 1.3 might.
fn retried(lab: &Lab) -> Client {
    let mut client = lab.logged_in();
    client.send(in_packets(&Hello::of("sql.test")));
    let retry = packets(PRE_LOGIN, &hello_retry_request(), 20);
    assert_eq!(client.bytes(retry.len()), retry);
    client
}

fn retrying() -> Origin {
    Origin::start(|mut stream, note| {
        let Ok(_) = read_packet(&mut stream) else { return };
        let retry = packets(PRE_LOGIN, &hello_retry_request(), 20);
        for said in [answer(ON, 0), retry, b"served".to_vec()] {
            if stream.write_all(&said).is_err() {
                return;
            }
            let Ok((header, content)) = read_packet(&mut stream) else { return };
            note.note(&[header, content].concat());
        }
    })
}

#[test]
fn the_second_hello_names_another() {
    let evil = Hello::of("evil.test").bytes();
    for second in [evil.clone(), [&[20, 3, 3, 0, 1, 1][..], &evil].concat(), Hello::nameless().bytes()] {
        for size in [5, 4096] {
            let lab = Lab::new("strict", retrying());
            let mut client = retried(&lab);
            client.send(packets(PRE_LOGIN, &second, size));
            lab.assert_cut(&mut client, "sni-changed");
            let noted = lab.origin.noted().concat();
            assert!(!noted.windows(9).any(|it| it == b"evil.test"), "the second hello reached the origin");
        }
    }
}

/// A client that knows what the server will ask need not wait for it.
#[test]
fn the_second_hello_comes_with_the_first() {
    let lab = Lab::new("strict", retrying());
    let mut client = lab.logged_in();
    client.send([in_packets(&Hello::of("sql.test")), in_packets(&Hello::of("evil.test"))].concat());
    assert_eq!(client.rest().1, End::Eof);
    assert_eq!(lab.egret.close(client.addr())["reason"], "sni-changed");
}

#[test]
fn the_same_name_again() {
    let lab = Lab::new("strict", retrying());
    let mut client = retried(&lab);
    client.send(in_packets(&Hello::of("sql.test")));
    assert_eq!(client.bytes(6), b"served");
}

/// TDS 8.0 begins with TLS.
#[test]
fn tds_8() {
    let (server, client_config) = tls_configs(&["sql.test"], &["tds/8.0"]);
    let lab = Lab::new("strict", Origin::tls(server));
    let client = lab.tunnel();
    let mut tls = Tls::new(&client.stream, &client_config, "sql.test");
    assert_eq!(tls.echo("select 1").unwrap(), "select 1");
    assert_eq!(tls.alpn(), Some(&b"tds/8.0"[..]));
    assert_eq!(lab.egret.flows(client.addr(), 1)[0]["proto"], "mssql");
    let mut client = lab.tunnel();
    client.send(Hello::of("evil.test").bytes());
    assert_eq!(client.rest(), (Vec::new(), End::Eof));
    assert_eq!(lab.egret.verdict(client.addr()), "deny sni-connect-mismatch");
}

/// A network rule looks at nothing: the server's own pre-login is what the client sees.
#[test]
fn a_network_rule_looks_at_nothing() {
    let origin = answering(answer(NOT_SUPPORTED, 0));
    let flags = [format!("--connect-to=::{}", origin.addr), "--allow=tcp://sql.test:1433".to_owned()];
    let egret = Egret::start(&flags);
    let mut client = Client::tunnel(egret.addr, "sql.test:1433");
    client.send(asked(NOT_SUPPORTED, 0));
    let expected = answer(NOT_SUPPORTED, 0);
    assert_eq!(client.bytes(expected.len()), expected);
    assert_eq!(egret.verdict(client.addr()), "allow network-rule");
}
