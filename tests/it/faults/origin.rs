//! Origins that reset, stall, trickle, close early or send garbage. The client gets an answer that says so, or an answer
//! that is cut, never one that looks whole; and the next request is served as if nothing had been.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

use crate::support::egret::Egret;
use crate::support::free::free_addr;
use crate::support::hello::Hello;
use crate::support::raw::{Client, End, get, status_of};

/// One that serves each connection by itself: nobody else holds it, so that it can be reset.
fn origin(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).unwrap();
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    addr
}

/// How an origin leaves.
#[derive(Debug, Clone, Copy)]
enum Leaves {
    Closing,
    Resetting,
    /// It stays, and says nothing more.
    Not,
}

fn leave(mut stream: TcpStream, how: Leaves) {
    match how {
        Leaves::Closing => {
            stream.shutdown(Shutdown::Write).unwrap();
            // A close with unread bytes would be a reset.
            let _ = stream.read_to_end(&mut Vec::new());
        }
        Leaves::Resetting => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
        Leaves::Not => while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {},
    }
}

/// Reads something, says this, and leaves so.
fn saying(says: &[u8], how: Leaves) -> SocketAddr {
    let says = says.to_vec();
    origin(move |mut stream| {
        // Who resets before it is asked does not listen.
        if !says.is_empty() || !matches!(how, Leaves::Resetting) {
            let _ = stream.read(&mut [0; 4096]);
        }
        // It may not be taken to its end.
        let _ = stream.write_all(&says);
        if matches!(how, Leaves::Resetting) {
            // What was sent arrives before the reset throws it away.
            thread::park_timeout(Duration::from_millis(200));
        }
        leave(stream, how);
    })
}

/// Short deadlines, and these origins by the names `o0.test`, `o1.test` and so on.
fn egret_before(origins: &[SocketAddr]) -> Egret {
    let mut flags = vec!["--allow=http://*.test".to_owned(), "--allow=https://*.test".to_owned()];
    for (number, origin) in origins.iter().enumerate() {
        flags.extend([80, 443].map(|port| format!("--connect-to=o{number}.test:{port}:{origin}")));
    }
    Egret::with_config("[timeouts]\nresponse = \"1s\"\nidle = \"1s\"\nconnect = \"700ms\"\n", &flags)
}

fn ask(egret: &Egret, number: usize) -> Client {
    Client::send_to(egret.addr, get(&format!("http://o{number}.test/"), &format!("o{number}.test")))
}

/// Who closed a flow, and why.
fn end(close: &Value) -> String {
    format!("{} {}", close["closed_by"].as_str().unwrap(), close["reason"].as_str().unwrap())
}

fn reason(close: &Value) -> &str {
    close["reason"].as_str().unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn answers_that_are_none() {
    let long_line = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(1_200_000));
    let many_lines = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: a\r\n".repeat(20_000));
    let twice = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!";
    let (closing, resetting) = (Leaves::Closing, Leaves::Resetting);
    let cases: &[(&str, &[u8], Leaves, &str)] = &[
        ("closes at once", b"", closing, "upstream-unreachable"),
        ("resets at once", b"", resetting, "upstream-unreachable"),
        ("half a head", b"HTTP/1.1 200 OK\r\nContent-Le", closing, "upstream-unreachable"),
        ("half a head, reset", b"HTTP/1.1 200 OK\r\nContent-Le", resetting, "upstream-unreachable"),
        ("no HTTP", b"220 mail.test ESMTP\r\n", closing, "upstream-invalid"),
        ("TLS", b"\x15\x03\x01\x00\x02\x02\x28", closing, "upstream-invalid"),
        ("HTTP/2", b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", closing, "upstream-invalid"),
        ("NUL in a line", b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok", closing, "upstream-invalid"),
        ("NULs", &[0; 4096], closing, "upstream-invalid"),
        ("a status of four digits", b"HTTP/1.1 2000 OK\r\n\r\n", closing, "upstream-invalid"),
        ("a folded line", b"HTTP/1.1 200 OK\r\nX: a\r\n b: c\r\n\r\n", closing, "upstream-invalid"),
        ("a line of a megabyte", long_line.as_bytes(), closing, "upstream-invalid"),
        ("twenty thousand lines", many_lines.as_bytes(), closing, "upstream-invalid"),
        ("two lengths", twice.as_bytes(), closing, "upstream-invalid"),
        ("a negative length", b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", closing, "upstream-invalid"),
    ];
    let origins: Vec<SocketAddr> = cases.iter().map(|(_, says, leaves, _)| saying(says, *leaves)).collect();
    let well = saying(OK.as_bytes(), Leaves::Not);
    let egret = egret_before(&[&origins[..], &[well]].concat());
    for (number, (case, _, _, expected)) in cases.iter().enumerate() {
        let mut client = ask(&egret, number);
        assert_eq!(client.status(), 502, "{case}");
        assert_eq!(reason(&egret.close(client.addr())), *expected, "{case}");
        // On the same connection.
        let well = format!("o{}.test", origins.len());
        client.send(get(&format!("http://{well}/"), &well));
        assert_eq!(client.answer().1, "ok", "{case}");
    }
}

#[test]
fn answers_that_are_cut() {
    let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it";
    let chunked = |chunks: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n{chunks}");
    let (no_size, too_large, torn) = (chunked("zz\r\nof it\r\n"), chunked("fffffffffffffffff\r\n"), chunked("9\r\nof"));
    let (closing, resetting) = (Leaves::Closing, Leaves::Resetting);
    let cases: &[(&str, &[u8], Leaves, &str)] = &[
        ("closed within a length", sized, closing, "origin reset"),
        ("reset within a length", sized, resetting, "origin reset"),
        ("stalled within a length", sized, Leaves::Not, "egret idle-timeout"),
        ("a chunk without a size", no_size.as_bytes(), closing, "origin reset"),
        ("a chunk without end", too_large.as_bytes(), closing, "origin reset"),
        ("closed within a chunk", torn.as_bytes(), closing, "origin reset"),
        ("reset within a chunk", torn.as_bytes(), resetting, "origin reset"),
        ("stalled within a chunk", torn.as_bytes(), Leaves::Not, "egret idle-timeout"),
    ];
    let origins: Vec<SocketAddr> = cases.iter().map(|(_, says, leaves, _)| saying(says, *leaves)).collect();
    let egret = egret_before(&origins);
    for (number, (case, _, _, expected)) in cases.iter().enumerate() {
        let mut client = ask(&egret, number);
        let head = client.head();
        assert_eq!(status_of(&head), 200, "{case}");
        let (body, ended) = client.rest();
        assert_ne!(ended, End::Silent, "{case}");
        // Neither all that was promised nor the mark of an end.
        assert!(body.len() < 100 && !body.ends_with(b"0\r\n\r\n"), "{case}: {}", body.escape_ascii());
        assert!(body.windows(4).any(|it| it == b"half"), "{case}: what came is passed on");
        assert_eq!(end(&egret.close(client.addr())), *expected, "{case}");
    }
}

/// Interim answers that never end are no answer, and a head byte by byte takes no longer than another.
#[test]
fn heads_without_end() {
    let flood = origin(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {}
    });
    let hints = origin(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        while stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").is_ok() {
            thread::park_timeout(Duration::from_millis(20));
        }
    });
    let trickle = origin(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        for byte in format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(1000)).bytes() {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::park_timeout(Duration::from_millis(50));
        }
    });
    let silent = saying(b"", Leaves::Not);
    let well = saying(OK.as_bytes(), Leaves::Not);
    let egret = egret_before(&[flood, hints, trickle, silent, well]);
    let mut clients: Vec<Client> = (0..4).map(|number| ask(&egret, number)).collect();
    // Nobody else has to wait for them.
    assert_eq!(ask(&egret, 4).status(), 200);
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.status(), 504, "{number}");
        assert_eq!(reason(&egret.close(client.addr())), "upstream-timeout", "{number}");
    }
}

/// A body may take its time as long as it moves.
#[test]
fn a_body_that_trickles_arrives() {
    let trickle = origin(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n").unwrap();
        for _ in 0..20 {
            thread::park_timeout(Duration::from_millis(100));
            stream.write_all(b".").unwrap();
        }
    });
    let egret = egret_before(&[trickle]);
    let mut client = ask(&egret, 0);
    assert_eq!(client.answer().1, ".".repeat(20));
    assert_eq!(end(&egret.close(client.addr())), "origin eof");
}

#[test]
fn tunnels() {
    let (closing, resetting) = (Leaves::Closing, Leaves::Resetting);
    let garbage = [0xa5; 5000];
    let cases: &[(&str, &[u8], Leaves, &str)] = &[
        ("closes at once", b"", closing, "origin eof"),
        ("resets at once", b"", resetting, "origin reset"),
        ("stalls", b"", Leaves::Not, "egret upstream-timeout"),
        ("garbage, then an end", &garbage, closing, "origin eof"),
        ("garbage, then a reset", &garbage, resetting, "origin reset"),
        ("garbage, then nothing", &garbage, Leaves::Not, "egret idle-timeout"),
    ];
    let origins: Vec<SocketAddr> = cases.iter().map(|(_, says, leaves, _)| saying(says, *leaves)).collect();
    let egret = egret_before(&origins);
    for (number, (case, says, _, expected)) in cases.iter().enumerate() {
        let name = format!("o{number}.test");
        let mut client = Client::tunnel(egret.addr, &format!("{name}:443"));
        client.try_send(&Hello::of(&name).bytes());
        assert!(client.rest_starts_with(says), "{case}: what came is passed on");
        let (_, ended) = client.rest();
        let is_reset = matches!(*expected, "origin reset" | "egret idle-timeout");
        assert_eq!(ended == End::Reset, is_reset, "{case}: {ended:?}");
        if !is_reset {
            // The client's own half may be closed by Egret already.
            let _ = client.stream.shutdown(Shutdown::Write);
        }
        assert_eq!(end(&egret.close(client.addr())), *expected, "{case}");
    }
}

/// Nobody there, and somebody whose kernel says nothing: the queue of who listens is full.
#[test]
fn destinations_that_cannot_be_reached() {
    let free = free_addr();
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let addr = full.local_addr().unwrap();
    let crowd: Vec<Socket> = (0..4)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&addr);
            socket
        })
        .collect();
    let egret = egret_before(&[free, addr.as_socket().unwrap()]);
    for (number, status, expected) in [(0, 502, "upstream-unreachable"), (1, 504, "upstream-timeout")] {
        let mut client = ask(&egret, number);
        assert_eq!(client.status(), status);
        assert_eq!(reason(&egret.close(client.addr())), expected);
        let name = format!("o{number}.test");
        let mut tunnel = Client::tunnel(egret.addr, &format!("{name}:443"));
        tunnel.try_send(&Hello::of(&name).bytes());
        assert_ne!(tunnel.rest().1, End::Silent);
        assert_eq!(reason(&egret.close(tunnel.addr())), expected);
    }
    drop(crowd);
}
