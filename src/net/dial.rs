//! Dialling, for those who own a permit.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::{
    io::Errno,
    net::{SendFlags, send},
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpStream, UdpSocket};

use crate::flow::Reason;
use crate::policy::{AddressRange, Permit};

use super::deadline::{Late, Timer};
#[cfg(target_os = "linux")]
use super::listener::set_transparent;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("no address to dial")]
    NoAddress,
    #[error("no answer from {0} in time")]
    Timeout(SocketAddr),
    #[error("cannot connect to {0}: {1}")]
    Refused(SocketAddr, io::Error),
}

impl DialError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            DialError::NoAddress | DialError::Refused(..) => Reason::UpstreamUnreachable,
            DialError::Timeout(_) => Reason::UpstreamTimeout,
        }
    }
}

/// What a socket that dials looks like.
#[derive(Clone, Copy)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "elsewhere there is nothing to bind and no mark"))]
pub(crate) struct Source<'a> {
    pub(crate) mark: Option<u32>,
    /// The address that these destinations are to see instead of this machine's own, and the destinations.
    pub(crate) client: Option<(IpAddr, &'a [AddressRange])>,
}

#[cfg(target_os = "linux")]
impl Source<'_> {
    fn addr_towards(&self, to: SocketAddr) -> Option<SocketAddr> {
        let (client, ranges) = self.client?;
        let seen = client.is_ipv4() == to.is_ipv4() && ranges.iter().any(|range| range.contains(to.ip()));
        seen.then_some(SocketAddr::new(client, 0))
    }
}

/// Addresses that are tried at most: how many there are is for DNS to say, how long it takes is not.
const MAX_ADDRS: usize = 4;

/// A connection to a judged address.
pub(crate) struct Dialled {
    pub(crate) stream: TcpStream,
    pub(crate) addr: SocketAddr,
    /// How many of the first bytes went with it.
    pub(crate) sent: usize,
}

/// Connects to the first of the judged addresses that answers, `each` allowed for every one of the first four. The
/// sockets are bound and marked as `source` says. Where a connection stands at once, `first` or a part of it goes with
/// it: who dials need not be woken for that.
///
/// # Errors
///
/// That of the last address, where none answers.
pub(crate) async fn dial(
    _permit: &Permit,
    addrs: impl Iterator<Item = SocketAddr>,
    each: Duration,
    source: Source<'_>,
    timer: &Timer,
    first: &[u8],
) -> Result<Dialled, DialError> {
    let mut last = DialError::NoAddress;
    for (tried, addr) in addrs.take(MAX_ADDRS).enumerate() {
        // Whoever waited for another address looks at the policy again before anything is sent.
        let first = if tried == 0 { first } else { &[] };
        match timer.within(each, connect(addr, source, first)).await {
            Ok(Ok((stream, sent))) => return Ok(Dialled { stream, addr, sent }),
            Ok(Err(error)) => last = DialError::Refused(addr, error),
            Err(Late) => last = DialError::Timeout(addr),
        }
    }
    Err(last)
}

/// On this machine the handshake is over when connect(2) returns, though it says that it is not. What is sent tells:
/// there is no connection yet where it is not taken.
#[cfg(target_os = "linux")]
async fn connect(addr: SocketAddr, source: Source<'_>, first: &[u8]) -> io::Result<(TcpStream, usize)> {
    #[cfg(all(unix, any(test, fuzzing)))]
    if let Some(rehearsed) = super::rehearsal::connect(addr) {
        return rehearsed.map(|stream| (stream, 0));
    }
    let socket = unconnected(addr, source)?;
    match socket.connect(&addr.into()) {
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
        other => other?,
    }
    let sent = if first.is_empty() { 0 } else { or_nothing(send(&socket, first, SendFlags::NOSIGNAL))? };
    let stream = TcpStream::from_std(socket.into())?;
    if sent == 0 {
        stream.writable().await?;
        stream.take_error()?.map_or(Ok(()), Err)?;
    }
    Ok((stream, sent))
}

#[cfg(target_os = "linux")]
fn unconnected(addr: SocketAddr, source: Source<'_>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    no_delay(SockRef::from(&socket));
    let Some(mark) = source.mark else { return Ok(socket) };
    set_mark(&socket, mark)?;
    if let Some(client) = source.addr_towards(addr) {
        set_transparent(&socket, client)?;
        socket.bind(&client.into())?;
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn or_nothing(sent: rustix::io::Result<usize>) -> io::Result<usize> {
    match sent {
        Err(Errno::AGAIN) => Ok(0),
        other => Ok(other?),
    }
}

/// Elsewhere there is nothing to bind and no mark.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "whoever calls it holds a permit for the address")]
async fn connect(addr: SocketAddr, _source: Source<'_>, _first: &[u8]) -> io::Result<(TcpStream, usize)> {
    #[cfg(all(unix, any(test, fuzzing)))]
    if let Some(rehearsed) = super::rehearsal::connect(addr) {
        return rehearsed.map(|stream| (stream, 0));
    }
    let stream = TcpStream::connect(addr).await?;
    no_delay(SockRef::from(&stream));
    Ok((stream, 0))
}

/// A socket of its own for a UDP flow: it sends to the judged address and takes from there only. Nothing is sent yet.
///
/// # Errors
///
/// There is no way there, or no descriptor left.
pub(crate) fn dial_udp(_permit: &Permit, addr: SocketAddr, mark: Option<u32>) -> Result<UdpSocket, DialError> {
    connected(addr, mark).map_err(|error| DialError::Refused(addr, error))
}

fn connected(addr: SocketAddr, mark: Option<u32>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    mark.map_or(Ok(()), |mark| set_mark(&socket, mark))?;
    socket.connect(&addr.into())?;
    UdpSocket::from_std(socket.into())
}

/// May this process mark sockets?
pub(crate) fn try_mark(mark: u32) -> io::Result<()> {
    set_mark(&Socket::new(Domain::IPV4, Type::DGRAM, None)?, mark)
}

/// Lets the kernel tell Egret's own sockets from those that it is to hand over. Takes `CAP_NET_ADMIN`.
#[cfg(target_os = "linux")]
pub(crate) fn set_mark(socket: &Socket, mark: u32) -> io::Result<()> {
    socket.set_mark(mark)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn set_mark(_: &Socket, _: u32) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "firewall marks take Linux"))
}

/// A relay must not hold back small writes. A socket that refuses the option still works.
pub(crate) fn no_delay(socket: SockRef<'_>) {
    let _ = socket.set_tcp_nodelay(true);
}
