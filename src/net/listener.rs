//! Listening sockets: one a core on the same address, and an accept that outlives a lack of descriptors.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 4096;

/// How long accepting pauses when descriptors or memory have run out.
const BACK_OFF: Duration = Duration::from_millis(50);

/// What a listener takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepts {
    /// Connections to its own address.
    ItsOwn,
    /// Connections to any address that the kernel hands over (TPROXY). Takes `CAP_NET_ADMIN`, and Linux.
    AnyAddress,
}

/// Binds one socket for each worker to the same address; the kernel spreads connections over them. Where it
/// cannot, all workers share one. Port 0 is chosen once, for all.
pub(crate) fn bind(addr: SocketAddr, workers: usize, accepts: Accepts) -> io::Result<Vec<StdListener>> {
    // Sockets that share a port would share it with another Egret too, so one that does not share goes first.
    unbound(addr)?.bind(&addr.into())?;
    let first = bind_one(addr, accepts)?;
    let addr = first.local_addr()?;
    let more =
        (1..workers).map(|_| if cfg!(target_os = "linux") { bind_one(addr, accepts) } else { first.try_clone() });
    let more = more.collect::<io::Result<Vec<_>>>()?;
    Ok([vec![first], more].into_iter().flatten().collect())
}

fn bind_one(addr: SocketAddr, accepts: Accepts) -> io::Result<StdListener> {
    let socket = unbound(addr)?;
    if accepts == Accepts::AnyAddress {
        set_transparent(&socket, addr)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(true)?;
    // Linux hands it on to every connection: a call fewer for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(target_os = "linux")]
pub(crate) fn set_transparent(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    if addr.is_ipv4() { socket.set_ip_transparent_v4(true) } else { socket.set_ip_transparent_v6(true) }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn set_transparent(_: &Socket, _: SocketAddr) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "a gateway takes Linux"))
}

fn unbound(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// The next connection. An error of one connection is passed over; where the process lacks something, it waits
/// and tries again, so a burst that eats all descriptors ends by itself.
pub(crate) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut told = false;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !told {
                    tracing::warn!(%error, "cannot accept connections for now; trying again until it works");
                    told = true;
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// The next connection for whoever has something to tell while all descriptors are taken: then one that was kept back
/// makes room for it. With what gives it back when the connection is gone.
pub(crate) async fn accept_in_need(listener: &TcpListener, spare: &Arc<Spare>) -> (TcpStream, Lent) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, Lent(spare.clone())),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) if is_lack(&error) && spare.give_up() => {}
            Err(_) => {
                tokio::time::sleep(BACK_OFF).await;
                spare.keep();
            }
        }
    }
}

/// A descriptor that nobody uses, so that there is one for who needs it.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Option<Socket>>);

impl Spare {
    /// False where there is none.
    fn give_up(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// Where none is left, not now.
    pub(crate) fn keep(&self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            *kept = Socket::new(Domain::IPV4, Type::DGRAM, None).ok();
        }
    }
}

/// Dropped after the connection that it came with, it keeps a descriptor back again.
pub(crate) struct Lent(Arc<Spare>);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.keep();
    }
}

/// Of descriptors, or of the kernel's memory.
pub(crate) fn is_lack(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        lacks.iter().any(|lack| error.raw_os_error() == Some(lack.raw_os_error()))
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::OutOfMemory
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Does a connection to this address come to a listener on that one? A listener on every address has all of this
/// machine's, and 0.0.0.0 as a destination is this machine too.
pub(crate) fn leads_to(listener: IpAddr, addr: IpAddr) -> bool {
    listener == addr
        || addr.is_unspecified()
        || (listener.is_unspecified() && (addr.is_loopback() || is_of_this_machine(addr)))
}

/// A socket can be bound to this machine's own addresses alone. Nothing is sent.
fn is_of_this_machine(addr: IpAddr) -> bool {
    UdpSocket::bind((addr, 0)).is_ok()
}

/// Descriptors that connections leave alone: those of listeners, runtimes, logs, name servers, and the admin server's.
#[cfg(unix)]
const RESERVE: u64 = 128;

/// Connections that the descriptors of this process are enough for, once it has as many as it may: each takes two, the
/// client's and the origin's.
pub(crate) fn room_for_connections() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};
        let Some(maximum) = getrlimit(Resource::Nofile).maximum else { return usize::MAX };
        let room = (maximum - RESERVE.min(maximum / 2)) / 2;
        usize::try_from(room).unwrap_or(usize::MAX).max(1)
    }
    #[cfg(not(unix))]
    usize::MAX
}

/// Lets the process have as many descriptors as it may. Where that fails, what it had is left to it.
pub(crate) fn raise_descriptor_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        // Accepting copes with a lack of them.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}
