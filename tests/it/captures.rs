//! What real clients send first, for the corpora of the fuzz targets: `cargo test --test it captures -- --ignored`
//! writes it anew. Names, times and random numbers are all that differs from one run to the next.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use egret::wire::{client_hello, http_head, socks5};

use super::support::command::clean;
use super::support::skip;

/// A client has nothing more to say when it was silent for so long.
const SILENCE: Duration = Duration::from_millis(1_500);

/// To whom nobody listens in a play: see `src/proxy/rehearsal`.
const EXPLICIT: u8 = 0;
const GATEWAY_443: u8 = 1;

/// What it said, one message after each of our answers.
fn listen(listener: &TcpListener, child: &mut Child) -> Vec<Vec<u8>> {
    listener.set_nonblocking(true).unwrap();
    let accepted = super::support::poll(|| listener.accept().ok());
    let Some((mut stream, _)) = accepted else { return Vec::new() };
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let mut said = Vec::new();
    while let Some(message) = hear(&mut stream) {
        let answer = answer_to(&message, said.len());
        said.push(message);
        match answer {
            Some(answer) => stream.write_all(answer).unwrap(),
            None => break,
        }
    }
    drop(stream);
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
    said
}

fn hear(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while !is_whole(&message) {
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => message.extend_from_slice(&buffer[..read]),
            Ok(_) | Err(_) => break,
        }
    }
    Some(message).filter(|message| !message.is_empty())
}

fn is_whole(message: &[u8]) -> bool {
    match message.first() {
        None => false,
        Some(22) => client_hello::parse(message).is_ok(),
        Some(5) => socks5::greeting(message).is_ok_and(|(_, length)| length == message.len()) || message.len() > 9,
        Some(_) => http_head::parse(message).is_ok(),
    }
}

/// What lets it go on.
fn answer_to(message: &[u8], number: usize) -> Option<&'static [u8]> {
    match (message, number) {
        ([b'C', b'O', ..], 0) => Some(b"HTTP/1.1 200 Connection established\r\n\r\n"),
        ([5, ..], 0) => Some(&[5, 0]),
        ([5, ..], 1) => Some(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
        _ => None,
    }
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target).join(name);
    fs::write(path, bytes).unwrap();
}

fn record(name: &str, door: u8, mut command: Command, listener: &TcpListener) {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = child else { return skip(&format!("{name} cannot be run")) };
    let said = listen(listener, &mut child);
    assert!(!said.is_empty(), "{name} said nothing");
    let script = [&[door, 1, 6, 0, 0][..], &said.concat()].concat();
    write("session", &format!("real_{name}"), &script);
    for message in &said {
        let target = match message[0] {
            22 => "client_hello",
            5 => "socks5",
            _ => "http_head",
        };
        let number = said.iter().position(|it| it == message).unwrap();
        write(target, &format!("real_{name}_{number}"), message);
    }
}

/// A client, and how it is told of the proxy at this address.
type Client = (&'static str, u8, fn(SocketAddr) -> Command);

fn with(program: &str, args: &[&str]) -> Command {
    let mut command = clean(program);
    command.args(args);
    command
}

const JAVA: &str = "import java.net.*;import java.net.http.*;public class X{public static void main(String[] a)throws Exception{\
                    var p=ProxySelector.of(new InetSocketAddress(\"127.0.0.1\",Integer.parseInt(a[0])));\
                    HttpClient.newBuilder().proxy(p).build().send(HttpRequest.newBuilder(URI.create(\"https://ok.test/\"))\
                    .build(),HttpResponse.BodyHandlers.ofString());}}";

const CLIENTS: &[Client] = &[
    ("curl_connect", EXPLICIT, |at| with("curl", &["-s", "-x", &format!("http://{at}"), "https://ok.test/"])),
    ("curl_http", EXPLICIT, |at| with("curl", &["-s", "-x", &format!("http://{at}"), "http://ok.test/a?b"])),
    ("curl_post", EXPLICIT, |at| {
        with("curl", &["-s", "-x", &format!("http://{at}"), "-H", "Expect:", "-d", "a=b", "http://ok.test/"])
    }),
    ("curl_socks", EXPLICIT, |at| with("curl", &["-s", "--socks5-hostname", &at.to_string(), "https://ok.test/"])),
    ("curl_bare", GATEWAY_443, |at| with("curl", &["-s", "--connect-to", &format!("::{at}"), "https://www.ok.test/"])),
    ("wget", EXPLICIT, |at| {
        let mut command = with("wget", &["-qO-", "--tries=1", "https://ok.test/"]);
        command.env("https_proxy", format!("http://{at}"));
        command
    }),
    ("openssl_bare", GATEWAY_443, |at| {
        with("openssl", &["s_client", "-connect", &at.to_string(), "-servername", "ok.test"])
    }),
    ("openssl_tls12", GATEWAY_443, |at| {
        with(
            "openssl",
            &["s_client", "-tls1_2", "-connect", &at.to_string(), "-servername", "ok.test", "-alpn", "h2,http/1.1"],
        )
    }),
    ("openssl_nameless", GATEWAY_443, |at| {
        with("openssl", &["s_client", "-connect", &at.to_string(), "-noservername"])
    }),
    ("python", EXPLICIT, |at| {
        let script = "import sys,urllib.request as u;u.build_opener(u.ProxyHandler({'https':sys.argv[1]})).open('https://ok.test/')";
        with("python3", &["-c", script, &format!("http://{at}")])
    }),
    ("requests", EXPLICIT, |at| {
        let script = "import sys,requests;requests.get('http://ok.test/',proxies={'http':sys.argv[1]})";
        with("python3", &["-c", script, &format!("http://{at}")])
    }),
    ("git", EXPLICIT, |at| {
        with("git", &["-c", &format!("http.proxy=http://{at}"), "ls-remote", "https://ok.test/x.git"])
    }),
    ("node", EXPLICIT, |at| {
        let script = "const[h,p]=process.argv[1].split(':');const r=require('http').request({host:h,port:p,method:'CONNECT',\
                      path:'ok.test:443'});r.on('connect',(_,s)=>require('tls').connect({socket:s,servername:'ok.test'}));r.end()";
        with("node", &["-e", script, &at.to_string()])
    }),
    ("java", EXPLICIT, |at| {
        let source = std::env::temp_dir().join("egret-capture-X.java");
        fs::write(&source, JAVA).unwrap();
        with("java", &[&source.to_string_lossy(), &at.port().to_string()])
    }),
];

#[test]
#[ignore = "writes into tests/fuzz/corpus"]
fn of_real_clients() {
    for (name, door, command) in CLIENTS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        record(name, *door, command(listener.local_addr().unwrap()), &listener);
    }
}

#[test]
#[ignore = "writes into tests/fuzz/corpus"]
fn of_rustls() {
    use super::support::hello::Tls;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (_, config) = super::support::origin::tls_configs(&["ok.test"], &["h2"]);
    let hello = Tls::new(&stream, &config, "ok.test").hello();
    write("client_hello", "real_rustls", &hello);
    write("session", "real_rustls", &[&[GATEWAY_443, 1, 6, 0, 0][..], &hello].concat());
}
