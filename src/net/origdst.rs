//! Where a connection wanted to go before the kernel handed it over.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::SockRef;
use tokio::net::TcpStream;

/// The destination that the client dialled: what connection tracking kept of it (REDIRECT), else the socket's own
/// address (TPROXY). Of a connection that nobody redirected it is the listener's address. `client` tells the family.
///
/// # Errors
/// Those of asking for the socket's own address: it is gone.
pub(crate) fn original_destination(stream: &TcpStream, client: IpAddr) -> io::Result<SocketAddr> {
    let socket = SockRef::from(stream);
    let tracked = if client.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    let tracked = tracked.ok().and_then(|addr| addr.as_socket());
    Ok(canonical(tracked.map_or_else(|| stream.local_addr(), Ok)?))
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
