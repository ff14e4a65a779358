//! What the kernel keeps of what was written to clients and is not sent yet: shared among them, on Linux.
//!
//! For a client that does not read it keeps up to four megabytes (`net.ipv4.tcp_wmem`), and a thousand of them take what
//! it has for everybody's connections (`net.ipv4.tcp_mem`). From there on whoever closes is heard 200 ms late, and at
//! last nobody's bytes are taken. What is on its way does not count: where a network is far, it is full all the same.
//!
//! What origins send and nobody reads is left to the kernel: a bound on it (`SO_RCVBUF`) stays for as long as the
//! connection, and would slow a download from far away because many others are idle.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use socket2::{SockAddr, SockRef, Socket};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::coop::consume_budget;

use super::listener;

/// For all clients, bytes, were they to come at once. Who came when there were fewer keeps more: those that come one after
/// another get 144 MiB in all when they are a thousand, 284 MiB when they are ten thousand.
const FOR_ALL: usize = 32 * 1024 * 1024;
/// For one where there are few, bytes: what the kernel would keep anyway. A quarter of it costs bulk an eighth more.
const MOST: usize = 4 * 1024 * 1024;
/// For one, however many there are, bytes.
const LEAST: usize = 16 * 1024;

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
        let unsent = of(connections);
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

fn adopt((socket, client): (Socket, SockAddr), unsent: usize) -> io::Result<(TcpStream, SocketAddr)> {
    let _ = set_unsent(SockRef::from(&socket), unsent);
    socket.set_nonblocking(true)?;
    let client = client.as_socket().ok_or(ErrorKind::AddrNotAvailable)?;
    Ok((TcpStream::from_std(socket.into())?, client))
}

/// For one of so many. In steps, so that it changes rarely.
fn of(connections: usize) -> usize {
    (FOR_ALL / connections.max(1).next_power_of_two()).clamp(LEAST, MOST)
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
        for (connections, expected) in
            [(0, MOST), (8, MOST), (9, MOST / 2), (1000, MOST / 128), (10_000, LEAST), (1 << 40, LEAST), (1, MOST)]
        {
            let _client = connect(&listener);
            let (accepted, _) = share.accept(&listener, connections).await;
            assert_eq!(unsent(&accepted), expected, "{connections}");
        }
        assert!((1..=FOR_ALL / LEAST).all(|connections| connections * of(connections) <= FOR_ALL));
        let one_after_another = |connections| (1..=connections).map(of).sum::<usize>() >> 20;
        assert_eq!((one_after_another(1024), one_after_another(10_000)), (144, 284));
    }

    #[tokio::test]
    async fn those_that_waited_have_no_more_than_those_that_come() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut share = Share::default();
        let mut clients: Vec<_> = (0..3).map(|_| connect(&listener)).collect();
        for (connections, expected) in [(1, MOST), (64, MOST / 8), (64, MOST / 8)] {
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
        assert_eq!(unsent(&accepted), MOST / 8);
    }
}
