//! Addresses and ports that nobody else takes while a test holds them for later.
//!
//! What the kernel gives out for port 0 is anybody's again as soon as it is closed: tests run side by side, and each of
//! their connections takes such a port.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// An address of this machine that nobody listens on, not given out twice.
pub fn free_addr() -> SocketAddr {
    let number = next();
    let [high, low] = own_part();
    if cfg!(target_os = "linux") {
        // All of 127.0.0.0/8 is this machine's.
        let [more, last] = (number + 1).to_be_bytes();
        return ([127, high | 0x80, low ^ more, last], 5399).into();
    }
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// A port of 127.0.0.1 that nobody listens on, not given out twice, and none of those that the kernel chooses from.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const MANY: u16 = 20_000;
    loop {
        let number = u16::from_be_bytes(own_part()).wrapping_mul(37).wrapping_add(next());
        let addr = (Ipv4Addr::LOCALHOST, FIRST + number % MANY);
        if TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok() {
            return addr.1;
        }
    }
}

fn next() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What tells this process from another one.
fn own_part() -> [u8; 2] {
    let [.., high, low] = std::process::id().to_be_bytes();
    [high, low]
}
