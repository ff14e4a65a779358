//! What the kernel keeps of connections: what was written and is not sent yet, and what came and is not read yet. It is
//! shared among them, on Linux.
//!
//! For a client that does not read it keeps up to four megabytes (`net.ipv4.tcp_wmem`), and of an origin that is not
//! read up to six or more (`tcp_rmem`); a thousand of them take what it has for everybody's connections (`tcp_mem`).
//! From there on whoever closes is heard 200 ms late, and at last nobody's bytes are taken. What is on its way does not
//! count as kept: where a network is far, it is full all the same.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use socket2::{SockAddr, SockRef, Socket};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::coop::consume_budget;

use super::listener;

/// Unsent, for all clients, bytes.
const UNSENT: usize = 32 * 1024 * 1024;
/// For one where there are few, bytes: what the kernel would keep anyway. A quarter of it costs bulk an eighth more.
const MOST_UNSENT: usize = 4 * 1024 * 1024;
/// For one, however many there are, bytes.
const LEAST_UNSENT: usize = 16 * 1024;

/// Unread, of all origins, bytes. The kernel takes twice that, for what it adds to them.
const UNREAD: usize = 64 * 1024 * 1024;
/// Of one, bytes: where there is more for each, the kernel finds out by itself how much is good, as a rule.
const MOST_UNREAD: usize = 128 * 1024;
/// Of one, however many there are, bytes.
const LEAST_UNREAD: usize = 32 * 1024;

/// What new connections of a listener get.
#[derive(Debug, Default)]
pub(crate) struct Share {
    unsent: Option<usize>,
    /// Connections may wait that came before it was so much.
    is_new: bool,
}

impl Share {
    /// The next connection. It gets as much as there is for one where there are so many; others keep what they have.
    pub(crate) async fn accept(&mut self, listener: &TcpListener, connections: usize) -> (TcpStream, SocketAddr) {
        let unsent = of(connections, UNSENT).clamp(LEAST_UNSENT, MOST_UNSENT);
        if self.unsent != Some(unsent) {
            // Linux hands it on to every connection that comes. It is no more than a bound: a kernel that does not know
            // it keeps its own.
            let _ = set_unsent(SockRef::from(listener), unsent);
            *self = Share { unsent: Some(unsent), is_new: true };
        }
        if self.is_new {
            // The runtime does not say whether somebody waits: the kernel does.
            consume_budget().await;
            match SockRef::from(listener).accept() {
                Ok(waited) => {
                    if let Ok(adopted) = adopt(waited, unsent) {
                        return adopted;
                    }
                }
                Err(error) => self.is_new = error.kind() != ErrorKind::WouldBlock,
            }
        }
        listener::accept(listener).await
    }
}

/// Bounds what the kernel keeps of an origin's socket that is not connected yet, where there are many connections.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "elsewhere tokio makes the sockets that dial"))]
pub(crate) fn bound_unread(socket: SockRef<'_>, connections: usize) -> io::Result<()> {
    let unread = of(connections, UNREAD).max(LEAST_UNREAD);
    // From then on the kernel leaves it as it is.
    if unread <= MOST_UNREAD { socket.set_recv_buffer_size(unread) } else { Ok(()) }
}

fn adopt((socket, client): (Socket, SockAddr), unsent: usize) -> io::Result<(TcpStream, SocketAddr)> {
    let _ = set_unsent(SockRef::from(&socket), unsent);
    socket.set_nonblocking(true)?;
    let client = client.as_socket().ok_or(ErrorKind::AddrNotAvailable)?;
    Ok((TcpStream::from_std(socket.into())?, client))
}

/// In steps, so that it changes rarely.
fn of(connections: usize, all: usize) -> usize {
    all / connections.max(1).next_power_of_two()
}

#[cfg(target_os = "linux")]
fn set_unsent(socket: SockRef<'_>, share: usize) -> io::Result<()> {
    socket.set_tcp_notsent_lowat(u32::try_from(share).unwrap_or(u32::MAX))
}

#[cfg(not(target_os = "linux"))]
fn set_unsent(_: SockRef<'_>, _: usize) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn unsent(stream: &TcpStream) -> usize {
        SockRef::from(stream).tcp_notsent_lowat().unwrap() as usize
    }

    fn connect(listener: &TcpListener) -> std::net::TcpStream {
        std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn few_have_much_and_many_little() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut share = Share::default();
        for (connections, expected) in [
            (0, MOST_UNSENT),
            (8, MOST_UNSENT),
            (9, MOST_UNSENT / 2),
            (1000, MOST_UNSENT / 128),
            (10_000, LEAST_UNSENT),
            (1 << 40, LEAST_UNSENT),
            (1, MOST_UNSENT),
        ] {
            let _client = connect(&listener);
            let (accepted, _) = share.accept(&listener, connections).await;
            assert_eq!(unsent(&accepted), expected, "{connections}");
        }
        assert!((1..=UNSENT / LEAST_UNSENT).all(|connections| connections * of(connections, UNSENT) <= UNSENT));
    }

    #[tokio::test]
    async fn those_that_waited_have_no_more_than_those_that_come() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut share = Share::default();
        let mut clients: Vec<_> = (0..3).map(|_| connect(&listener)).collect();
        for (connections, expected) in [(1, MOST_UNSENT), (64, MOST_UNSENT / 8), (64, MOST_UNSENT / 8)] {
            let (accepted, _) = share.accept(&listener, connections).await;
            assert_eq!(unsent(&accepted), expected);
        }
        tokio::select! {
            biased;
            _ = share.accept(&listener, 64) => panic!("nobody came"),
            () = std::future::ready(()) => {}
        }
        assert!(!share.is_new);
        clients.push(connect(&listener));
        let (accepted, _) = share.accept(&listener, 64).await;
        assert_eq!(unsent(&accepted), MOST_UNSENT / 8);
    }

    #[test]
    fn origins_are_bounded_where_connections_are_many() {
        let kept = |connections| {
            let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            let before = socket.recv_buffer_size().unwrap();
            bound_unread(SockRef::from(&socket), connections).unwrap();
            (before, socket.recv_buffer_size().unwrap())
        };
        for few in [0, 1, 256] {
            let (before, after) = kept(few);
            assert_eq!(before, after, "{few}");
        }
        // The kernel doubles it.
        assert_eq!(kept(257).1, 2 * MOST_UNREAD);
        assert_eq!(kept(1000).1, MOST_UNREAD);
        assert_eq!(kept(1 << 40).1, 2 * LEAST_UNREAD);
    }
}
