//! Dialling, for those who own a permit.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::flow::Reason;
use crate::policy::{AddressRange, Permit};

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
pub(crate) struct Source<'a> {
    pub(crate) mark: Option<u32>,
    /// The address that these destinations are to see instead of this machine's own, and the destinations.
    pub(crate) client: Option<(IpAddr, &'a [AddressRange])>,
}

impl Source<'_> {
    fn addr_towards(&self, to: SocketAddr) -> Option<SocketAddr> {
        let (client, ranges) = self.client?;
        let seen = client.is_ipv4() == to.is_ipv4() && ranges.iter().any(|range| range.contains(to.ip()));
        seen.then_some(SocketAddr::new(client, 0))
    }
}

/// Addresses that are tried at most: how many there are is for DNS to say, how long it takes is not.
const MAX_ADDRS: usize = 4;

/// Connects to the first of the judged addresses that answers, `each` allowed for every one of the first four. Tells
/// which one it was. The sockets are bound and marked as `source` says.
///
/// # Errors
///
/// That of the last address, where none answers.
pub(crate) async fn dial(
    _permit: &Permit,
    addrs: impl Iterator<Item = SocketAddr>,
    each: Duration,
    source: Source<'_>,
) -> Result<(TcpStream, SocketAddr), DialError> {
    let mut last = DialError::NoAddress;
    for addr in addrs.take(MAX_ADDRS) {
        match timeout(each, connect(addr, source)).await {
            Ok(Ok(stream)) => {
                no_delay(&stream);
                return Ok((stream, addr));
            }
            Ok(Err(error)) => last = DialError::Refused(addr, error),
            Err(_) => last = DialError::Timeout(addr),
        }
    }
    Err(last)
}

#[expect(clippy::disallowed_methods, reason = "whoever calls it holds a permit for the address")]
async fn connect(addr: SocketAddr, source: Source<'_>) -> io::Result<TcpStream> {
    #[cfg(all(unix, any(test, fuzzing)))]
    if let Some(rehearsed) = super::rehearsal::connect(addr) {
        return rehearsed;
    }
    let Some(mark) = source.mark else { return TcpStream::connect(addr).await };
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    set_mark(&SockRef::from(&socket), mark)?;
    if let Some(client) = source.addr_towards(addr) {
        set_transparent(&SockRef::from(&socket), client)?;
        socket.bind(client)?;
    }
    socket.connect(addr).await
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
pub(crate) fn no_delay(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_tcp_nodelay(true);
}
