//! ICMP echo on the gateway: requests that clients send elsewhere, asking their destination in Egret's own name, and
//! answering in the destination's.
//!
//! Requests are seen by packet sockets, beside the kernel, whose rules drop them: nothing is handed over as TCP and UDP
//! are. Only plain ones are taken: whole, without IP options or extension headers, and to be forwarded. No other ICMP is
//! carried, errors about a request neither. Takes `CAP_NET_RAW`, and Linux.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::libc;
use nix::net::if_::if_indextoname;
use nix::sys::socket::{LinkAddr, SockaddrStorage, recvfrom};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::dial::set_mark;
use super::icmp::{checksum, write_checksum};
use super::udp::Way;
use crate::config::Interface;
use crate::policy::Permit;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const HOPS: u8 = 64;
/// Of an echo, before what it carries.
const ECHO_HEADER: usize = 8;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;

/// How long receiving pauses when it fails, as for a lack of memory.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Of one family: where requests come from, where they are sent on, and where answers go.
pub(crate) struct Sockets {
    requests: Socket,
    origins: Socket,
    answers: Socket,
}

impl Sockets {
    /// Takes `CAP_NET_RAW`.
    pub(crate) fn open(domain: Domain) -> io::Result<Sockets> {
        let v4 = domain == Domain::IPV4;
        let (ether_type, icmp) =
            if v4 { (libc::ETH_P_IP, Protocol::ICMPV4) } else { (libc::ETH_P_IPV6, Protocol::ICMPV6) };
        let ether_type = u16::try_from(ether_type).expect("it has sixteen bits").to_be();
        let requests = raw(Domain::PACKET, Type::DGRAM, Protocol::from(i32::from(ether_type)))?;
        requests.attach_filter(&filter(if v4 { &V4_REQUESTS } else { &V6_REQUESTS }))?;
        let origins = raw(domain, Type::RAW, icmp)?;
        origins.attach_filter(&filter(if v4 { &V4_REPLIES } else { &V6_REPLIES }))?;
        // The IP header is written here, so any source will do, and nothing is received.
        let answers = raw(domain, Type::RAW, Protocol::from(libc::IPPROTO_RAW))?;
        Ok(Sockets { requests, origins, answers })
    }
}

fn raw(domain: Domain, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What the kernel looks at for each packet, so that Egret is not woken for others: the bytes there under the mask are
/// this. What gets by before it is asked to look is seen to in [`request`] and [`reply`].
struct Look {
    load: u16,
    at: u32,
    mask: u32,
    is: u32,
}

const BYTE: u16 = 0x30;
const TWO_BYTES: u16 = 0x28;
const AND: u16 = 0x54;
const JUMP_IF: u16 = 0x15;
const RETURN: u16 = 0x06;
/// Not in the packet: to whom it was sent on the link.
const PACKET_TYPE: u32 = 0xffff_f000 + 4;

const fn look(load: u16, at: u32, mask: u32, is: u32) -> Look {
    Look { load, at, mask, is }
}

const TO_THIS_HOST: Look = look(BYTE, PACKET_TYPE, 0xff, libc::PACKET_HOST as u32);
const V4_REQUESTS: [Look; 5] = [
    TO_THIS_HOST,
    look(BYTE, 0, 0xff, 0x45),
    look(BYTE, 9, 0xff, ICMP as u32),
    look(TWO_BYTES, 6, 0x3fff, 0),
    look(BYTE, 20, 0xff, V4_REQUEST as u32),
];
const V6_REQUESTS: [Look; 3] =
    [TO_THIS_HOST, look(BYTE, 6, 0xff, ICMPV6 as u32), look(BYTE, 40, 0xff, V6_REQUEST as u32)];
const V4_REPLIES: [Look; 2] = [look(BYTE, 0, 0xff, 0x45), look(BYTE, 20, 0xff, V4_REPLY as u32)];
const V6_REPLIES: [Look; 1] = [look(BYTE, 0, 0xff, V6_REPLY as u32)];

const V4_REQUEST: u8 = 8;
const V4_REPLY: u8 = 0;
const V6_REQUEST: u8 = 128;
const V6_REPLY: u8 = 129;

/// The same for the kernel: three instructions a look, then "take it" and "do not".
fn filter(looks: &[Look]) -> Vec<SockFilter> {
    let mut program = Vec::with_capacity(3 * looks.len() + 2);
    for (look, left) in looks.iter().zip((0..looks.len()).rev()) {
        let otherwise = u8::try_from(3 * left + 1).expect("there are few");
        program.push(SockFilter::new(look.load, 0, 0, look.at));
        program.push(SockFilter::new(AND, 0, 0, look.mask));
        program.push(SockFilter::new(JUMP_IF, 0, otherwise, look.is));
    }
    program.push(SockFilter::new(RETURN, 0, 0, u32::MAX));
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    program
}

/// What an echo says beside what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Echo<'a> {
    pub(crate) sequence: u16,
    pub(crate) payload: &'a [u8],
}

/// Takes requests. The identifier stands where a datagram has its client's port; the destination has none.
pub(crate) struct Requests {
    socket: UdpSocket,
    /// Names, of which some end with `*`; empty: any.
    interfaces: Vec<Interface>,
}

/// Takes replies to what Egret asked.
pub(crate) struct Replies(UdpSocket);

/// Asks and answers.
pub(crate) struct Senders {
    origins: Socket,
    answers: Socket,
}

impl Sockets {
    /// To be called inside a runtime. What is sent carries `mark`, where there is one.
    pub(crate) fn split(self, interfaces: &[Interface], mark: Option<u32>) -> io::Result<(Requests, Replies, Senders)> {
        let Sockets { requests, origins, answers } = self;
        if let Some(mark) = mark {
            set_mark(&origins, mark)?;
            set_mark(&answers, mark)?;
        }
        // To the runtime both are sockets for datagrams like any other.
        let replies = UdpSocket::from_std(origins.try_clone()?.into())?;
        let requests = UdpSocket::from_std(requests.into())?;
        let requests = Requests { socket: requests, interfaces: interfaces.to_vec() };
        Ok((requests, Replies(replies), Senders { origins, answers }))
    }
}

impl Requests {
    /// The next request that came in by one of the interfaces.
    pub(crate) async fn receive<'a>(&self, buffer: &'a mut [u8]) -> (Way, Echo<'a>) {
        let (way, sequence, payload) = loop {
            let (length, from): (_, Option<LinkAddr>) = receive(&self.socket, buffer).await;
            if from.is_some_and(|from| self.takes_from(&from))
                && let Some((way, echo)) = request(buffer.get(..length).unwrap_or_default())
            {
                // Both headers are behind it.
                let end = if way.client.is_ipv4() { V4_HEADER } else { V6_HEADER } + ECHO_HEADER;
                break (way, echo.sequence, end..end + echo.payload.len());
            }
        };
        (way, Echo { sequence, payload: buffer.get(payload).unwrap_or_default() })
    }

    fn takes_from(&self, from: &LinkAddr) -> bool {
        if from.pkttype() != libc::PACKET_HOST || from.hatype() == libc::ARPHRD_LOOPBACK {
            return false;
        }
        let name = || libc::c_uint::try_from(from.ifindex()).ok().and_then(|index| if_indextoname(index).ok());
        self.interfaces.is_empty()
            || name().is_some_and(|name| self.interfaces.iter().any(|wanted| wanted.covers(name.as_bytes())))
    }
}

impl Replies {
    /// The next reply: who sent it, and to which identifier.
    pub(crate) async fn receive<'a>(&self, buffer: &'a mut [u8]) -> (IpAddr, u16, Echo<'a>) {
        let (from, identifier, sequence, payload) = loop {
            let (length, from): (_, Option<SockaddrStorage>) = receive(&self.0, buffer).await;
            if let Some((from, echo_at)) = from.and_then(|from| sender(&from))
                && let Some((identifier, echo)) = reply(from, buffer.get(echo_at..length).unwrap_or_default())
            {
                break (from, identifier, echo.sequence, length - echo.payload.len()..length);
            }
        };
        (from, identifier, Echo { sequence, payload: buffer.get(payload).unwrap_or_default() })
    }
}

/// Who sent it, and where in the packet the echo begins: IPv4 comes with its header.
fn sender(from: &SockaddrStorage) -> Option<(IpAddr, usize)> {
    let v4 = from.as_sockaddr_in().map(|from| (from.ip().into(), V4_HEADER));
    v4.or_else(|| from.as_sockaddr_in6().map(|from| (from.ip().into(), 0)))
}

/// The next packet. After some in a row others have their turn, which tokio sees to.
async fn receive<A: nix::sys::socket::SockaddrLike>(socket: &UdpSocket, buffer: &mut [u8]) -> (usize, Option<A>) {
    let mut told = false;
    loop {
        let read = || Ok(recvfrom::<A>(socket.as_raw_fd(), buffer)?);
        let received = socket.async_io(Interest::READABLE, read).await;
        match received {
            Ok(received) => return received,
            Err(error) => {
                if !told {
                    tracing::warn!(%error, "cannot receive ICMP for now; trying again until it works");
                    told = true;
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

impl Senders {
    /// Asks a judged address, without waiting: what the kernel does not take is lost, as on any line.
    pub(crate) fn ask(&self, _permit: &Permit, to: IpAddr, identifier: u16, echo: Echo<'_>) -> io::Result<()> {
        let kind = if to.is_ipv4() { V4_REQUEST } else { V6_REQUEST };
        let mut message = message(kind, identifier, echo);
        // That of ICMPv6 is the kernel's to write.
        if to.is_ipv4() {
            write_checksum(&mut message, checksum);
        }
        self.origins.send_to(&message, &SocketAddr::new(to, 0).into()).map(drop)
    }

    /// Answers a client in the name of whom it asked.
    pub(crate) fn answer(&self, way: Way, echo: Echo<'_>) -> io::Result<()> {
        let packet = answer(way, echo).ok_or(io::ErrorKind::InvalidInput)?;
        self.answers.send_to(&packet, &SocketAddr::new(way.client.ip(), 0).into()).map(drop)
    }
}

/// Without its checksum.
fn message(kind: u8, identifier: u16, echo: Echo<'_>) -> Vec<u8> {
    let mut message = Vec::with_capacity(ECHO_HEADER + echo.payload.len());
    message.extend([kind, 0, 0, 0]);
    message.extend(identifier.to_be_bytes());
    message.extend(echo.sequence.to_be_bytes());
    message.extend(echo.payload);
    message
}

/// The whole packet. None where it would be too long.
fn answer(way: Way, echo: Echo<'_>) -> Option<Vec<u8>> {
    let identifier = way.client.port();
    match (way.asked.ip(), way.client.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut message = message(V4_REPLY, identifier, echo);
            write_checksum(&mut message, checksum);
            let length = u16::try_from(V4_HEADER + message.len()).ok()?;
            // Identification and checksum are the kernel's to write.
            let mut packet = vec![0x45, 0];
            packet.extend(length.to_be_bytes());
            packet.extend([0, 0, 0, 0, HOPS, ICMP, 0, 0]);
            packet.extend(from.octets().into_iter().chain(to.octets()));
            packet.append(&mut message);
            Some(packet)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut message = message(V6_REPLY, identifier, echo);
            write_checksum(&mut message, |message| v6_checksum(from, to, message));
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend(u16::try_from(message.len()).ok()?.to_be_bytes());
            packet.extend([ICMPV6, HOPS]);
            packet.extend(from.octets().into_iter().chain(to.octets()));
            packet.append(&mut message);
            Some(packet)
        }
        _ => None,
    }
}

/// RFC 8200, section 8.1.
fn v6_checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> [u8; 2] {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut covered = Vec::with_capacity(V6_HEADER + message.len());
    covered.extend(from.octets().into_iter().chain(to.octets()));
    covered.extend(length.to_be_bytes());
    covered.extend([0, 0, 0, ICMPV6]);
    covered.extend(message);
    checksum(&covered)
}

/// Reads a packet as it came in. None for everything that is no plain request, or that no router would forward.
fn request(packet: &[u8]) -> Option<(Way, Echo<'_>)> {
    let (client, asked, message) = match packet.first()? >> 4 {
        4 => v4_request(packet)?,
        6 => v6_request(packet)?,
        _ => return None,
    };
    let kind = if client.is_ipv4() { V4_REQUEST } else { V6_REQUEST };
    let (identifier, echo) = echo(kind, message)?;
    let way = Way { client: SocketAddr::new(client, identifier), asked: SocketAddr::new(asked, 0) };
    (is_forwarded(client) && is_forwarded(asked) && !is_near_by(client)).then_some((way, echo))
}

fn v4_request(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let header = packet.first_chunk::<V4_HEADER>()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
    let (hops, protocol) = (header[8], header[9]);
    if header[0] != 0x45 || fragment || hops <= 1 || protocol != ICMP || checksum(header) != [0, 0] {
        return None;
    }
    let message = packet.get(V4_HEADER..length)?;
    let addr = |at| Some(IpAddr::V4(Ipv4Addr::from(*header.get(at..)?.first_chunk::<4>()?)));
    (checksum(message) == [0, 0]).then_some((addr(12)?, addr(16)?, message))
}

fn v6_request(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let header = packet.first_chunk::<V6_HEADER>()?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let (next, hops) = (header[6], header[7]);
    if next != ICMPV6 || hops <= 1 {
        return None;
    }
    let message = packet.get(V6_HEADER..V6_HEADER + length)?;
    let addr = |at| Some(Ipv6Addr::from(*header.get(at..)?.first_chunk::<16>()?));
    let (from, to): (Ipv6Addr, Ipv6Addr) = (addr(8)?, addr(24)?);
    (v6_checksum(from, to, message) == [0, 0]).then_some((from.into(), to.into(), message))
}

/// Reads a message that the kernel took in: its checksum is right.
fn reply(from: IpAddr, message: &[u8]) -> Option<(u16, Echo<'_>)> {
    echo(if from.is_ipv4() { V4_REPLY } else { V6_REPLY }, message)
}

/// Identifier, and the rest.
fn echo(kind: u8, message: &[u8]) -> Option<(u16, Echo<'_>)> {
    let (header, payload) = message.split_first_chunk::<ECHO_HEADER>()?;
    let [is, code, _, _, id_high, id_low, high, low] = *header;
    let echo = Echo { sequence: u16::from_be_bytes([high, low]), payload };
    (is == kind && code == 0).then_some((u16::from_be_bytes([id_high, id_low]), echo))
}

/// Addresses of one machine each, beyond this link or not. IPv4's link-local ones are asked for from afar too: that of
/// the metadata service is taken to be denied.
fn is_forwarded(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => !matches!(addr.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(addr) => {
            let special = addr.is_unspecified() || addr.is_loopback() || addr.is_multicast();
            !special && !addr.is_unicast_link_local() && addr.to_ipv4_mapped().is_none()
        }
    }
}

fn is_near_by(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V4(addr) if addr.is_link_local())
}

/// Is this an address of some other machine's? The kernel answers for its own, and nobody for a network's broadcast
/// address: both can be bound to. Where `ip_nonlocal_bind` is set so can all be, and no echo is carried.
pub(crate) fn is_elsewhere(addr: IpAddr) -> bool {
    StdUdpSocket::bind((addr, 0)).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// The body of a fuzz target: a packet that is read as a request, and its payload as a reply. What is answered is a
/// packet that says what the request said.
#[cfg(any(test, fuzzing))]
pub fn rehearse(packet: &[u8]) {
    let _ = reply(Ipv4Addr::LOCALHOST.into(), packet);
    let _ = reply(Ipv6Addr::LOCALHOST.into(), packet);
    let Some((way, asked)) = request(packet) else { return };
    assert!(asked.payload.len() < packet.len() && is_forwarded(way.client.ip()) && is_forwarded(way.asked.ip()));
    let Some(answer) = answer(way, asked) else { return };
    let header = if way.client.is_ipv4() { V4_HEADER } else { V6_HEADER };
    let (identifier, said) = reply(way.asked.ip(), &answer[header..]).expect("an answer is a reply");
    assert_eq!((identifier, said.sequence, said.payload), (way.client.port(), asked.sequence, asked.payload));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus() {
        crate::rehearsal::replay("echo", rehearse);
    }

    fn way(client: &str, asked: &str) -> Way {
        Way { client: client.parse().unwrap(), asked: asked.parse().unwrap() }
    }

    /// An answer is a request but for its type, and reads the other way round.
    fn packet(client: &str, asked: &str, payload: &[u8]) -> Vec<u8> {
        let Way { client, asked } = way(client, asked);
        let way = Way { client: SocketAddr::new(asked.ip(), client.port()), asked: SocketAddr::new(client.ip(), 0) };
        let mut packet = answer(way, Echo { sequence: 7, payload }).unwrap();
        mend(&mut packet, |packet| match packet[0] >> 4 {
            4 => packet[20] = V4_REQUEST,
            _ => packet[40] = V6_REQUEST,
        });
        packet
    }

    /// Changes a packet so that its checksums hold.
    fn mend(packet: &mut [u8], change: impl Fn(&mut [u8])) {
        change(packet);
        if packet[0] >> 4 == 4 {
            packet[10..12].fill(0);
            let sum = checksum(&packet[..20]);
            packet[10..12].copy_from_slice(&sum);
            packet[22..24].fill(0);
            let sum = checksum(&packet[20..]);
            packet[22..24].copy_from_slice(&sum);
        } else {
            let addr = |at: usize| Ipv6Addr::from(*packet[at..].first_chunk::<16>().unwrap());
            let (from, to) = (addr(8), addr(24));
            packet[42..44].fill(0);
            let sum = v6_checksum(from, to, &packet[40..]);
            packet[42..44].copy_from_slice(&sum);
        }
    }

    type Change = fn(&mut [u8]);

    const V4: (&str, &str) = ("192.0.2.10:4242", "198.51.100.7:0");
    const V6: (&str, &str) = ("[2001:db8:1::10]:4242", "[2001:db8:2::7]:0");

    #[test]
    fn reads_requests_whatever_their_length() {
        for (client, asked) in [V4, V6] {
            for payload in [&b""[..], b"x", b"odd", b"even"] {
                let mut packet = packet(client, asked, payload);
                let expected = (way(client, asked), Echo { sequence: 7, payload });
                assert_eq!(request(&packet), Some(expected));
                // Short frames are filled up.
                packet.extend([0xff; 9]);
                assert_eq!(request(&packet), Some(expected));
            }
        }
    }

    #[test]
    fn whatever_is_cut_off_is_no_request() {
        for (client, asked) in [V4, V6] {
            let packet = packet(client, asked, b"payload");
            (0..packet.len()).for_each(|end| assert_eq!(request(&packet[..end]), None, "{asked} {end}"));
        }
    }

    #[test]
    fn passes_over_what_is_not_plain() {
        let v4: [(&str, Change); 8] = [
            ("a reply", |packet| packet[20] = V4_REPLY),
            ("another code", |packet| packet[21] = 1),
            ("options", |packet| packet[0] = 0x46),
            ("more fragments", |packet| packet[6] = 0x20),
            ("a later fragment", |packet| packet[7] = 1),
            ("its last hop", |packet| packet[8] = 1),
            ("UDP", |packet| packet[9] = 17),
            ("no room for a header", |packet| packet[3] = 27),
        ];
        let v6: [(&str, Change); 4] = [
            ("a reply", |packet| packet[40] = V6_REPLY),
            ("an extension header", |packet| packet[6] = 0),
            ("its last hop", |packet| packet[7] = 1),
            ("another version", |packet| packet[0] = 0x50),
        ];
        for ((client, asked), changes) in [(V4, &v4[..]), (V6, &v6[..])] {
            for (what, change) in changes {
                let mut packet = packet(client, asked, b"payload");
                mend(&mut packet, change);
                assert_eq!(request(&packet), None, "{what}");
            }
        }
        for (client, asked) in [V4, V6] {
            let mut packet = packet(client, asked, b"payload");
            *packet.last_mut().unwrap() ^= 1;
            assert_eq!(request(&packet), None, "a wrong checksum");
        }
    }

    #[test]
    fn passes_over_what_is_not_forwarded() {
        let not = [
            ("192.0.2.10:1", "224.0.0.1:0"),
            ("192.0.2.10:1", "255.255.255.255:0"),
            ("192.0.2.10:1", "127.0.0.1:0"),
            ("192.0.2.10:1", "0.0.0.0:0"),
            ("0.0.0.0:1", "198.51.100.7:0"),
            ("169.254.1.1:1", "198.51.100.7:0"),
            ("[2001:db8::1]:1", "[ff02::1]:0"),
            ("[2001:db8::1]:1", "[fe80::1]:0"),
            ("[fe80::1]:1", "[2001:db8::1]:0"),
            ("[2001:db8::1]:1", "[::ffff:192.0.2.1]:0"),
            ("[::]:1", "[2001:db8::1]:0"),
        ];
        for (client, asked) in not {
            assert_eq!(request(&packet(client, asked, b"")), None, "{client} {asked}");
        }
        assert!(request(&packet("192.0.2.10:1", "169.254.169.254:0", b"")).is_some(), "it is denied, not passed over");
    }
}
