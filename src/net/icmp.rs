//! ICMP: telling a client that its datagram was refused.
//!
//! The message comes from this machine's own address, as a router's does, so nothing is forged. What arrives in ICMP
//! is not read.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::udp::Way;

/// Type and code of "destination unreachable: port unreachable" (RFC 792, RFC 4443).
const V4_PORT_UNREACHABLE: [u8; 2] = [3, 3];
const V6_PORT_UNREACHABLE: [u8; 2] = [1, 4];

const UDP: u8 = 17;
const UDP_HEADER: u16 = 8;
const HOPS: u8 = 64;

/// Sockets to say "port unreachable" with: one a family.
#[derive(Debug)]
pub(crate) struct Unreachable {
    v4: Socket,
    /// None where the kernel has no IPv6.
    v6: Option<Socket>,
}

impl Unreachable {
    /// Takes `CAP_NET_RAW`.
    pub(crate) fn open() -> io::Result<Unreachable> {
        Ok(Unreachable { v4: raw(Domain::IPV4)?, v6: raw(Domain::IPV6).ok() })
    }

    /// With sockets of another network, one a family. None where there is none for IPv4.
    #[cfg(target_os = "linux")]
    pub(crate) fn with(sockets: Vec<Socket>) -> Option<Unreachable> {
        let is_v4 = |socket: &Socket| socket.domain().is_ok_and(|domain| domain == Domain::IPV4);
        let (v4, v6): (Vec<Socket>, Vec<Socket>) = sockets.into_iter().partition(is_v4);
        Some(Unreachable { v4: v4.into_iter().next()?, v6: v6.into_iter().next() })
    }

    /// Tells the client that nobody is where it sent a datagram of so many bytes. As with any ICMP, it may get lost.
    pub(crate) fn tell(&self, way: Way, length: usize) {
        let Way { mut client, .. } = way;
        client.set_port(0);
        let socket = if client.is_ipv4() { Some(&self.v4) } else { self.v6.as_ref() };
        if let Some(socket) = socket {
            // A full queue loses it.
            let _ = socket.send_to(&port_unreachable(way, length), &client.into());
        }
    }
}

/// A socket for messages to clients of this family.
pub(crate) fn raw(domain: Domain) -> io::Result<Socket> {
    let protocol = if domain == Domain::IPV6 { Protocol::ICMPV6 } else { Protocol::ICMPV4 };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    // It gets a copy of all ICMP that arrives, and nobody reads it.
    socket.set_recv_buffer_size(0)?;
    Ok(socket)
}

/// The message without its IP header. It quotes the headers of the datagram, by which the client finds the socket.
fn port_unreachable(way: Way, length: usize) -> Vec<u8> {
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    let udp = UDP_HEADER.saturating_add(length);
    let mut message = Vec::with_capacity(64);
    match (way.client, way.asked) {
        (SocketAddr::V4(client), SocketAddr::V4(asked)) => {
            message.extend(V4_PORT_UNREACHABLE);
            message.extend([0; 6]);
            message.extend(v4_header(*client.ip(), *asked.ip(), udp));
        }
        (client, asked) => {
            message.extend(V6_PORT_UNREACHABLE);
            message.extend([0; 6]);
            message.extend(v6_header(v6(client), v6(asked), udp));
        }
    }
    for field in [way.client.port(), way.asked.port(), udp, 0] {
        message.extend(field.to_be_bytes());
    }
    // That of ICMPv6 covers addresses that only the kernel knows, and is the kernel's to write.
    if way.client.is_ipv4() {
        write_checksum(&mut message, checksum);
    }
    message
}

fn v6(addr: SocketAddr) -> Ipv6Addr {
    match addr {
        SocketAddr::V4(addr) => addr.ip().to_ipv6_mapped(),
        SocketAddr::V6(addr) => *addr.ip(),
    }
}

fn v4_header(from: Ipv4Addr, to: Ipv4Addr, payload: u16) -> [u8; 20] {
    let mut header = [0; 20];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&payload.saturating_add(20).to_be_bytes());
    (header[8], header[9]) = (HOPS, UDP);
    header[12..16].copy_from_slice(&from.octets());
    header[16..20].copy_from_slice(&to.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    header
}

fn v6_header(from: Ipv6Addr, to: Ipv6Addr, payload: u16) -> [u8; 40] {
    let mut header = [0; 40];
    header[0] = 0x60;
    header[4..6].copy_from_slice(&payload.to_be_bytes());
    (header[6], header[7]) = (UDP, HOPS);
    header[8..24].copy_from_slice(&from.octets());
    header[24..40].copy_from_slice(&to.octets());
    header
}

/// Into the place that ICMP has for it, which held zeros.
pub(super) fn write_checksum(message: &mut [u8], of: impl Fn(&[u8]) -> [u8; 2]) {
    let sum = of(message);
    if let Some([_, _, high, low, ..]) = message.get_mut(..) {
        [*high, *low] = sum;
    }
}

/// RFC 1071.
pub(super) fn checksum(bytes: &[u8]) -> [u8; 2] {
    let byte = |pair: &[u8], at| pair.get(at).copied().unwrap_or(0);
    let word = |pair: &[u8]| u32::from(u16::from_be_bytes([byte(pair, 0), byte(pair, 1)]));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [_, _, high, low] = (!sum).to_be_bytes();
    [high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(client: &str, asked: &str) -> Way {
        Way { client: client.parse().unwrap(), asked: asked.parse().unwrap() }
    }

    #[test]
    fn v4_quotes_the_datagram() {
        let message = port_unreachable(way("192.0.2.1:1000", "198.51.100.7:53"), 12);
        assert_eq!(message.len(), 8 + 20 + 8);
        assert_eq!(message[..2], V4_PORT_UNREACHABLE);
        assert_eq!(checksum(&message), [0, 0]);
        assert_eq!(checksum(&message[8..28]), [0, 0]);
        assert_eq!(message[10..12], [0, 40]);
        assert_eq!(message[20..28], [192, 0, 2, 1, 198, 51, 100, 7]);
        assert_eq!(message[28..], [0x03, 0xe8, 0, 53, 0, 20, 0, 0]);
    }

    #[test]
    fn v6_quotes_the_datagram() {
        let message = port_unreachable(way("[2001:db8::1]:1000", "[2001:db8::2]:53"), 70_000);
        assert_eq!(message.len(), 8 + 40 + 8);
        assert_eq!(message[..8], [1, 4, 0, 0, 0, 0, 0, 0]);
        assert_eq!(message[12..14], [0xff, 0xff]);
        assert_eq!((message[14], message[8 + 23], message[8 + 39]), (UDP, 1, 2));
        assert_eq!(message[48..], [0x03, 0xe8, 0, 53, 0xff, 0xff, 0, 0]);
    }
}
