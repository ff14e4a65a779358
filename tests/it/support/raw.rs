//! A client that sends bytes and shows what comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::DEADLINE;

pub struct Client {
    pub stream: TcpStream,
    /// Read but not yet taken.
    pub held: Vec<u8>,
}

/// How a connection went silent.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Eof,
    Reset,
    /// It is still open.
    Silent,
}

impl Client {
    pub fn connect(to: SocketAddr) -> Client {
        Client::of(TcpStream::connect_timeout(&to, DEADLINE).expect("egret accepts"))
    }

    /// Connects from this address and port, or from any. What it was is known also where nobody accepts.
    pub fn connect_from(from: Option<IpAddr>, port: u16, to: SocketAddr) -> (SocketAddr, std::io::Result<Client>) {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("descriptors are left");
        let any = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        socket.bind(&SocketAddr::new(from.unwrap_or(any), port).into()).expect("the address is this machine's");
        let connected = socket.connect_timeout(&to.into(), DEADLINE);
        let addr = socket.local_addr().expect("it is bound").as_socket().expect("it is of IP");
        // A mapped address is one of IPv4 on the wire.
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        (addr, connected.map(|()| Client::of(socket.into())))
    }

    fn of(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline is allowed");
        stream.set_write_timeout(Some(DEADLINE)).expect("a deadline is allowed");
        stream.set_nodelay(true).expect("it is TCP");
        Client { stream, held: Vec::new() }
    }

    /// Connects and sends.
    pub fn send_to(to: SocketAddr, bytes: impl AsRef<[u8]>) -> Client {
        let mut client = Client::connect(to);
        client.send(bytes);
        client
    }

    pub fn addr(&self) -> SocketAddr {
        self.stream.local_addr().expect("it is connected")
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("egret reads");
    }

    /// Sends what the other side may refuse to read.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends byte by byte, each in a segment of its own.
    pub fn trickle(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send([*byte]);
        }
    }

    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("it is connected");
    }

    fn read_more(&mut self) -> Result<(), End> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(End::Eof),
            Ok(read) => {
                self.held.extend_from_slice(&buffer[..read]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(End::Silent),
            Err(_) => Err(End::Reset),
        }
    }

    fn take_until(&mut self, complete: impl Fn(&[u8]) -> Option<usize>) -> Vec<u8> {
        loop {
            if let Some(end) = complete(&self.held) {
                return self.held.drain(..end).collect();
            }
            if let Err(end) = self.read_more() {
                panic!("{end:?} after {}", self.held.escape_ascii());
            }
        }
    }

    /// The next head, with its empty line.
    pub fn head(&mut self) -> String {
        let bytes = self.take_until(|held| held.windows(4).position(|it| it == b"\r\n\r\n").map(|at| at + 4));
        String::from_utf8(bytes).expect("heads are ASCII here")
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        self.take_until(|held| (held.len() >= count).then_some(count))
    }

    /// The next answer whose length its head tells: head and body.
    pub fn answer(&mut self) -> (String, String) {
        let head = self.head();
        let length = header(&head, "content-length").map_or(0, |length| length.parse().expect("a number"));
        (head, String::from_utf8_lossy(&self.bytes(length)).into_owned())
    }

    /// The status of the next answer, whose body is skipped.
    pub fn status(&mut self) -> u16 {
        status_of(&self.answer().0)
    }

    /// Everything until the other side closes.
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(end) = self.read_more() {
                return (std::mem::take(&mut self.held), end);
            }
        }
    }

    /// True where nothing comes and nothing closes for that long.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a deadline is allowed");
        let silent = self.held.is_empty() && self.read_more() == Err(End::Silent);
        self.stream.set_read_timeout(Some(DEADLINE)).expect("a deadline is allowed");
        silent
    }

    /// True where the other side says this before it closes.
    pub fn rest_starts_with(&mut self, expected: &[u8]) -> bool {
        while self.held.len() < expected.len() && self.read_more().is_ok() {}
        self.held.starts_with(expected)
    }

    /// Asks for a tunnel, which has to be granted.
    pub fn tunnel(to: SocketAddr, authority: &str) -> Client {
        let mut client = Client::send_to(to, connect(authority));
        assert_eq!(client.head(), "HTTP/1.1 200 Connection established\r\n\r\n", "{authority}");
        client
    }

    /// Asks for a tunnel by SOCKS5; the reply code.
    pub fn socks(to: SocketAddr, host: &str, port: u16) -> (Client, u8) {
        let mut client = Client::send_to(to, [5, 1, 0]);
        assert_eq!(client.bytes(2), [5, 0]);
        client.send(socks_request(host, port));
        let reply = client.bytes(10);
        (client, reply[1])
    }
}

pub fn connect(authority: &str) -> String {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")
}

pub fn get(url: &str, host: &str) -> String {
    format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

pub fn socks_request(host: &str, port: u16) -> Vec<u8> {
    let destination = match host.parse() {
        Ok(IpAddr::V4(addr)) => [&[1][..], &addr.octets()].concat(),
        Ok(IpAddr::V6(addr)) => [&[4][..], &addr.octets()].concat(),
        Err(_) => [&[3, u8::try_from(host.len()).expect("a short name")], host.as_bytes()].concat(),
    };
    [&[5, 1, 0], &destination[..], &port.to_be_bytes()].concat()
}

pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

pub fn status_of(head: &str) -> u16 {
    let digits = head.split(' ').nth(1).and_then(|digits| digits.get(..3));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no status in {head:?}"))
}
