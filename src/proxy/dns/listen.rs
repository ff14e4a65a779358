//! Datagrams and connections of DNS clients.
//!
//! A socket on every address (`0.0.0.0`) answers from the address that the kernel chooses, which on a machine with
//! several may be another than the one that was asked: listen on each by name then.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Dns;
use super::answer::{Answered, Asked};
use crate::flow::{ClientAddr, Reason};
use crate::net::dns::outcome;
use crate::net::listener;
use crate::telemetry::Transport;
use crate::wire::dns::{DnsQuery, Misasked};

/// Bytes of a question, at most: the name takes 255, and EDNS options a few hundred. What is longer is *dropped and
/// counted*; a connection that announces it is closed.
const MAX_QUESTION: usize = 4096;

/// Connections at once, a listener; the rest *waits* in the kernel's queue.
const CONNECTIONS: usize = 256;

/// Questions of one connection that are worked on at once; the rest *waits* to be read.
const PIPELINED: usize = 16;

/// From one question of a connection to the end of the next.
const IDLE: Duration = Duration::from_secs(10);

/// For a client to take an answer.
const WRITE: Duration = Duration::from_secs(5);

/// What a socket rests that cannot be read.
const BACK_OFF: Duration = Duration::from_millis(50);

pub(super) struct Sockets {
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
}

impl Sockets {
    pub(super) fn new(sockets: super::Sockets) -> io::Result<Sockets> {
        let super::Sockets { udp, tcp, addrs: _ } = sockets;
        let datagrams = |socket: std::net::UdpSocket| {
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        };
        let connections = |listener: std::net::TcpListener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        Ok(Sockets {
            udp: udp.into_iter().map(datagrams).collect::<io::Result<_>>()?,
            tcp: tcp.into_iter().map(connections).collect::<io::Result<_>>()?,
        })
    }

    pub(super) fn serve(self, dns: &Rc<Dns>, serving: &mut JoinSet<()>) {
        for socket in self.udp {
            serving.spawn_local(serve_datagrams(dns.clone(), Rc::new(socket)));
        }
        for listener in self.tcp {
            serving.spawn_local(serve_connections(dns.clone(), listener));
        }
    }
}

async fn serve_datagrams(dns: Rc<Dns>, socket: Rc<UdpSocket>) {
    // One byte more, to tell what is too long.
    let mut buffer = vec![0; MAX_QUESTION + 1];
    let mut answering = JoinSet::new();
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // On Windows, that a client of before did not wait for its answer.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => continue,
            Err(_) => {
                sleep(BACK_OFF).await;
                continue;
            }
        };
        while answering.try_join_next().map(outcome).is_some() {}
        if length > MAX_QUESTION {
            dns.counters().dropped.add(1);
            continue;
        }
        let message = buffer.get(..length).unwrap_or_default();
        if dns.answer_again(ClientAddr::new(from), message, |answer| send(&dns, &socket, answer, from)) {
            continue;
        }
        match DnsQuery::read(message) {
            Ok(query) => match dns.places.clone().try_acquire_owned() {
                Ok(place) => {
                    let datagram = Datagram { query, message: message.into(), from };
                    answering.spawn_local(answer_datagram(dns.clone(), socket.clone(), datagram, place));
                }
                Err(_) => dns.counters().dropped.add(1),
            },
            Err(misasked) => {
                if let Some(answer) = dns.misasked(misasked) {
                    send(&dns, &socket, &answer, from);
                }
            }
        }
    }
}

/// A question that has to be worked on.
struct Datagram {
    query: DnsQuery,
    /// As it came.
    message: Box<[u8]>,
    from: SocketAddr,
}

async fn answer_datagram(dns: Rc<Dns>, socket: Rc<UdpSocket>, datagram: Datagram, place: OwnedSemaphorePermit) {
    let Datagram { query, message, from } = datagram;
    let client = ClientAddr::new(from);
    let asked = Asked { client, transport: Transport::Udp, request_bytes: message.len() };
    let Answered { bytes, again } = dns.answer(&query, asked, query.udp_limit()).await;
    if let Some(again) = again {
        dns.ready.keep(client.ip(), &message, again);
    }
    send(&dns, &socket, &bytes, from);
    drop(place);
}

/// Where the kernel has no room for it, the client asks again.
fn send(dns: &Dns, socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    if socket.try_send_to(answer, to).is_err() {
        dns.counters().dropped.add(1);
    }
}

async fn serve_connections(dns: Rc<Dns>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut serving = JoinSet::new();
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (stream, client) = listener::accept(&listener).await;
        while serving.try_join_next().map(outcome).is_some() {}
        let connection = Connection { dns: dns.clone(), client: ClientAddr::new(client) };
        serving.spawn_local(async move {
            connection.admit(stream).await;
            drop(place);
        });
    }
}

struct Connection {
    dns: Rc<Dns>,
    client: ClientAddr,
}

impl Connection {
    /// A client has as many connections as it may, those to the proxy among them.
    async fn admit(self, stream: TcpStream) {
        let dns = self.dns.clone();
        match dns.shared.limiter.client_place(self.client.ip()) {
            Ok(client_place) => {
                self.serve(stream).await;
                drop(client_place);
            }
            Err(()) => {
                drop(stream);
                dns.deny(self.client, Transport::Tcp, None, Reason::LimitClient).await;
            }
        }
    }

    /// Questions may come before the one before them is answered, and answers in any order (RFC 7766).
    async fn serve(self, mut stream: TcpStream) {
        let (mut reader, mut writer) = stream.split();
        let mut incoming = Incoming::default();
        let mut answering = JoinSet::new();
        let mut deadline = Instant::now() + IDLE;
        loop {
            tokio::select! {
                message = timeout_at(deadline, incoming.next(&mut reader)), if answering.len() < PIPELINED => {
                    let Ok(Ok(message)) = message else { break };
                    if !self.take(&message, &mut answering) {
                        break;
                    }
                }
                Some(answer) = answering.join_next() => {
                    if write(&mut writer, outcome(answer)).await.is_err() {
                        return;
                    }
                }
            }
            deadline = Instant::now() + IDLE;
        }
        while let Some(answer) = answering.join_next().await {
            if write(&mut writer, outcome(answer)).await.is_err() {
                return;
            }
        }
    }

    /// False for what no client of DNS sends.
    fn take(&self, message: &[u8], answering: &mut JoinSet<Vec<u8>>) -> bool {
        let dns = self.dns.clone();
        match DnsQuery::read(message) {
            Ok(query) => {
                let (client, request_bytes) = (self.client, message.len());
                answering.spawn_local(async move {
                    let place = dns.places.acquire().await.expect("the semaphore is never closed");
                    let asked = Asked { client, transport: Transport::Tcp, request_bytes };
                    let answer = dns.answer(&query, asked, usize::from(u16::MAX)).await;
                    drop(place);
                    answer.bytes
                });
                true
            }
            Err(misasked) => {
                let Some(answer) = dns.misasked(misasked) else { return false };
                answering.spawn_local(async { answer });
                true
            }
        }
    }
}

/// Messages as they come in, each after its length.
#[derive(Default)]
struct Incoming(Vec<u8>);

impl Incoming {
    /// May be dropped and called again: nothing that was read is lost.
    async fn next(&mut self, reader: &mut ReadHalf<'_>) -> io::Result<Vec<u8>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(message);
            }
            if reader.read_buf(&mut self.0).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(([high, low], rest)) = self.0.split_first_chunk() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length > MAX_QUESTION {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(message) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
        self.0.drain(..2 + length);
        Ok(Some(message))
    }
}

/// Nothing where the answer's task ended in a panic.
async fn write(writer: &mut WriteHalf<'_>, answer: Option<Vec<u8>>) -> io::Result<()> {
    let Some(answer) = answer else { return Err(io::ErrorKind::Other.into()) };
    let length = u16::try_from(answer.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    timeout(WRITE, writer.write_all(&[&length.to_be_bytes(), answer.as_slice()].concat())).await?
}

impl Dns {
    /// The answer to what is no question, if there is one; counted either way.
    fn misasked(&self, misasked: Misasked) -> Option<Vec<u8>> {
        match misasked {
            Misasked::Noise => self.counters().dropped.add(1),
            Misasked::Answered { code, .. } => self.count(code),
        }
        misasked.to_bytes()
    }
}
