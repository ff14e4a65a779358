//! Many requests on one connection, and many tunnels, leave memory and descriptors where they were.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::weight::{Weight, weigh};
use crate::support::egret::Egret;
use crate::support::hello::Hello;
use crate::support::{DEADLINE, eventually, poll};

const REQUESTS: usize = 100_000;
const TUNNELS: usize = 5_000;

/// Requests that are on their way at once: pipelined, which every one of them has to survive.
const BATCH: usize = 100;

const THREADS: usize = 4;

/// Caches and arenas fill in the beginning and then stay: what may come on top, whatever was done since.
const GROWTH_KIB: u64 = 4 * 1024;

/// An origin that holds nothing: it answers each read, by a request's answer or by the bytes themselves.
fn origin(answer: fn(&[u8]) -> Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&answer(&buffer[..read])).is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nok";

fn answers(requests: &[u8]) -> Vec<u8> {
    let count = requests.windows(4).filter(|end| end == b"\r\n\r\n").count();
    ANSWER.repeat(count)
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn requests(egret: &Egret, count: usize) {
    let mut client = connect(egret.addr);
    let batch = b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n".repeat(BATCH);
    let mut answers = vec![0; ANSWER.len() * BATCH];
    for _ in 0..count / BATCH {
        client.write_all(&batch).unwrap();
        client.read_exact(&mut answers).unwrap();
        assert!(answers.starts_with(b"HTTP/1.1 200 OK\r\n") && answers.ends_with(b"\r\n\r\nok"));
    }
}

fn tunnels(egret: &Egret, count: usize) {
    let hello = Hello::of("ok.test").bytes();
    let one = || {
        let mut client = connect(egret.addr);
        client.write_all(b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n\r\n").unwrap();
        let mut established = [0; 39];
        client.read_exact(&mut established).unwrap();
        assert_eq!(&established, b"HTTP/1.1 200 Connection established\r\n\r\n");
        client.write_all(&hello).unwrap();
        let mut echo = vec![0; hello.len()];
        client.read_exact(&mut echo).unwrap();
        assert_eq!(echo, hello);
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..count / THREADS).for_each(|_| one()));
        }
    });
}

fn assert_same_weight(egret: &Egret, before: Weight, what: &str) {
    let settled = poll(|| Some(weigh(egret)).filter(|now| now.descriptors <= before.descriptors));
    let now = settled.unwrap_or_else(|| panic!("{what}: {before:?} became {:?}", weigh(egret)));
    println!("{what}: {before:?} became {now:?}");
    assert!(now.resident_kib <= before.resident_kib + GROWTH_KIB, "{what}: {before:?} became {now:?}");
}

#[test]
fn requests_and_tunnels_leave_nothing_behind() {
    let (http, echo) = (origin(answers), origin(<[u8]>::to_vec));
    let egret = Egret::start(&[
        "--allow=http://ok.test".to_owned(),
        "--allow=https://ok.test".to_owned(),
        format!("--connect-to=ok.test:80:{http}"),
        format!("--connect-to=ok.test:443:{echo}"),
        "--workers=2".to_owned(),
    ]);
    requests(&egret, REQUESTS / 10);
    tunnels(&egret, TUNNELS / 10);
    eventually("connections close", || (egret.metric("egret_connections") == 0).then_some(()));
    let before = weigh(&egret);
    requests(&egret, REQUESTS);
    assert_same_weight(&egret, before, "requests");
    tunnels(&egret, TUNNELS);
    assert_same_weight(&egret, before, "tunnels");
}
