//! What the kernel keeps of what was written to clients and is not sent yet: shared among them, on Linux.
//!
//! Of a client that does not read it keeps up to four megabytes (`net.ipv4.tcp_wmem`), and a thousand of them take what
//! it has for everybody's connections (`net.ipv4.tcp_mem`). From there on whoever closes is heard 200 ms late, and at
//! last nobody's bytes are taken. What is on its way does not count: where a network is far, it is full all the same.

use socket2::SockRef;
use tokio::net::TcpListener;

/// For all clients, bytes.
const FOR_ALL: usize = 32 * 1024 * 1024;
/// For one where there are few, bytes: what the kernel would keep anyway. A quarter of it costs bulk an eighth more.
const MOST: usize = 4 * 1024 * 1024;
/// For one, however many there are, bytes.
const LEAST: usize = 16 * 1024;

/// What a listener's new connections get.
#[derive(Debug, Default)]
pub(crate) struct Share(Option<usize>);

impl Share {
    /// Those that come from now on get as much as there is for one where there are so many. Others keep what they have.
    pub(crate) fn settle(&mut self, listener: &TcpListener, connections: usize) {
        let share = of(connections);
        if self.0 != Some(share) {
            // It is no more than a bound: a kernel that does not know it keeps its own.
            let _ = set(SockRef::from(listener), share);
            self.0 = Some(share);
        }
    }
}

/// In steps, so that it changes rarely.
fn of(connections: usize) -> usize {
    (FOR_ALL / connections.max(1).next_power_of_two()).clamp(LEAST, MOST)
}

/// Linux hands it on to every connection that is accepted.
#[cfg(target_os = "linux")]
fn set(listener: SockRef<'_>, share: usize) -> std::io::Result<()> {
    listener.set_tcp_notsent_lowat(u32::try_from(share).unwrap_or(u32::MAX))
}

#[cfg(not(target_os = "linux"))]
fn set(_: SockRef<'_>, _: usize) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_have_much_and_many_little() {
        let check = |connections: usize, share: usize| assert_eq!(of(connections), share, "{connections}");
        check(0, MOST);
        check(8, MOST);
        check(9, MOST / 2);
        check(1000, MOST / 128);
        check(10_000, LEAST);
        check(1 << 40, LEAST);
        assert!((1..=FOR_ALL / LEAST).all(|connections| connections * of(connections) <= FOR_ALL));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn connections_have_what_their_listener_was_set_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut share = Share::default();
        for (connections, expected) in [(1, MOST), (1000, MOST / 128), (1, MOST)] {
            share.settle(&listener, connections);
            let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            assert_eq!(SockRef::from(&accepted).tcp_notsent_lowat().unwrap() as usize, expected);
        }
    }
}
