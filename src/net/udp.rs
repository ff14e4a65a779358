//! UDP that the kernel hands over (TPROXY): datagrams with the destination that their sender meant, and sockets that
//! answer in its name.
//!
//! Who may send where is not decided here, and no flow is kept.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::listener::set_transparent;

/// No datagram is larger.
pub(crate) const LARGEST: usize = 65_536;

/// How long receiving pauses when it fails, as for a lack of memory.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A datagram's way: who sent it, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Way {
    pub(crate) client: SocketAddr,
    pub(crate) asked: SocketAddr,
}

/// Binds one socket for each worker to the same address, which take what the kernel hands over to it, wherever it was
/// sent. The kernel spreads clients over them by address and port: a flow stays with one worker. Takes
/// `CAP_NET_ADMIN`, and Linux.
pub(crate) fn bind(addr: SocketAddr, workers: usize) -> io::Result<Vec<StdUdpSocket>> {
    // Sockets that share a port would share it with another Egret too, so one that does not share goes first.
    unbound(addr)?.bind(&addr.into())?;
    (0..workers).map(|_| bind_one(addr)).collect()
}

/// Binds a socket of Egret's own to an address that nobody has. Beside it Egret may answer for others at the same port,
/// which the kernel would refuse where this one is bound to every address.
pub(crate) fn bind_own(addr: SocketAddr) -> io::Result<StdUdpSocket> {
    let socket = unbound(addr)?;
    socket.bind(&addr.into())?;
    // Before, somebody else who shares would have been let pass.
    socket.set_reuse_address(true)?;
    Ok(socket.into())
}

fn bind_one(addr: SocketAddr) -> io::Result<StdUdpSocket> {
    let socket = unbound(addr)?;
    // Somebody may be asked at this very port, and is answered for.
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(true)?;
    set_transparent(&socket, addr)?;
    tell_destinations(&socket, addr)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// A UDP socket that does not block, for one family.
pub(crate) fn unbound(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Where sockets come from that answer in the name of others.
#[derive(Clone, Default)]
pub(crate) enum ReplySockets {
    /// From the network that Egret itself is in.
    #[default]
    Here,
    /// From another one, such as a jail's. Asking may block for a moment.
    #[cfg_attr(not(any(test, target_os = "linux")), expect(dead_code, reason = "there is no jail"))]
    Asked(Arc<dyn Fn(SocketAddr) -> io::Result<StdUdpSocket> + Send + Sync>),
}

impl fmt::Debug for ReplySockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReplySockets::Here => "Here",
            ReplySockets::Asked(_) => "Asked",
        })
    }
}

impl ReplySockets {
    /// A socket that is bound to this address, whosever it is. Several may be bound to the same one.
    pub(crate) async fn open(&self, from: SocketAddr) -> io::Result<UdpSocket> {
        let socket = match self {
            ReplySockets::Here => speaks_for(from)?,
            ReplySockets::Asked(ask) => {
                let ask = ask.clone();
                tokio::task::spawn_blocking(move || ask(from)).await.map_err(io::Error::other)??
            }
        };
        UdpSocket::from_std(socket)
    }
}

/// Bound to this address, whosever it is. Several may be bound to the same one.
pub(crate) fn speaks_for(addr: SocketAddr) -> io::Result<StdUdpSocket> {
    let socket = unbound(addr)?;
    socket.set_reuse_address(true)?;
    set_transparent(&socket, addr)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// A socket that takes what the kernel hands over.
pub(crate) struct Receiver {
    socket: UdpSocket,
    #[cfg(target_os = "linux")]
    beside: Vec<u8>,
}

impl Receiver {
    /// To be called inside a runtime.
    pub(crate) fn new(socket: StdUdpSocket) -> io::Result<Receiver> {
        Ok(Receiver {
            socket: UdpSocket::from_std(socket)?,
            #[cfg(target_os = "linux")]
            beside: nix::cmsg_space!(nix::libc::sockaddr_in6),
        })
    }

    /// The next datagram: its way, and its length in the buffer. One that came without its destination is passed
    /// over. After some datagrams in a row others have their turn, which tokio sees to.
    pub(crate) async fn receive(&mut self, buffer: &mut [u8]) -> (Way, usize) {
        let mut told = false;
        loop {
            match self.receive_one(buffer).await {
                Ok(Some(received)) => return received,
                Ok(None) => {}
                Err(error) => {
                    if !told {
                        tracing::warn!(%error, "cannot receive datagrams for now; trying again until it works");
                        told = true;
                    }
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSliceMut};
    use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg, setsockopt, sockopt,
    };
    use socket2::Socket;
    use tokio::io::Interest;

    use super::{Receiver, Way};

    impl Receiver {
        pub(super) async fn receive_one(&mut self, buffer: &mut [u8]) -> io::Result<Option<(Way, usize)>> {
            let Receiver { socket, beside } = self;
            let fd = socket.as_raw_fd();
            socket.async_io(Interest::READABLE, || receive_now(fd, buffer, beside)).await
        }
    }

    fn receive_now(fd: i32, buffer: &mut [u8], beside: &mut [u8]) -> io::Result<Option<(Way, usize)>> {
        let mut parts = [IoSliceMut::new(buffer)];
        let received = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(beside), MsgFlags::empty())?;
        let client = received.address.as_ref().and_then(address);
        let asked = received.cmsgs()?.find_map(destination);
        let way = client.zip(asked).map(|(client, asked)| Way { client, asked });
        Ok(way.map(|way| (way, received.bytes)))
    }

    fn destination(message: ControlMessageOwned) -> Option<SocketAddr> {
        match message {
            ControlMessageOwned::Ipv4OrigDstAddr(addr) => Some(SocketAddrV4::from(SockaddrIn::from(addr)).into()),
            ControlMessageOwned::Ipv6OrigDstAddr(addr) => Some(SocketAddrV6::from(SockaddrIn6::from(addr)).into()),
            _ => None,
        }
    }

    fn address(addr: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = addr.as_sockaddr_in().map(|addr| SocketAddrV4::from(*addr).into());
        v4.or_else(|| addr.as_sockaddr_in6().map(|addr| SocketAddrV6::from(*addr).into()))
    }

    /// From now on each datagram comes with its destination beside it.
    /// Has the kernel say beside each datagram where it was to go.
    pub(crate) fn tell_destinations(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
        match addr {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4OrigDstAddr, &true)?,
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6OrigDstAddr, &true)?,
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::tell_destinations;

#[cfg(not(target_os = "linux"))]
fn tell_destinations(_: &Socket, _: SocketAddr) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "a gateway takes Linux"))
}

#[cfg(not(target_os = "linux"))]
impl Receiver {
    /// None of these sockets can be had here.
    async fn receive_one(&mut self, _: &mut [u8]) -> io::Result<Option<(Way, usize)>> {
        let _ = &self.socket;
        std::future::pending().await
    }
}
