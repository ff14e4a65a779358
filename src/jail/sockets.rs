//! The sockets inside that Egret holds.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket};

use crate::net::listener::{self, Accepts, set_transparent};
use crate::net::{icmp, udp};

use super::network::{DNS_PORT, Family, GATEWAY_PORT, UDP_PORT};
use super::refusal::Refusal;

/// None of them blocks. There is one of each for IPv4, and one for IPv6 where the kernel has it.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For each worker: all TCP but DNS. SO_ORIGINAL_DST of what they accept is where the command wanted to go.
    pub gateway: Vec<Vec<TcpListener>>,
    pub dns_tcp: Vec<TcpListener>,
    /// The kernel puts the address that was asked into the answers.
    pub dns_udp: Vec<UdpSocket>,
    /// All other UDP. IP_ORIGDSTADDR or IPV6_ORIGDSTADDR beside each datagram is where it was to go; an answer goes
    /// out through a socket that is bound to that, see [`super::ReplySockets`].
    pub udp: Vec<UdpSocket>,
    /// Raw ICMP, for telling the command that a datagram was refused.
    pub icmp: Vec<Socket>,
}

/// What a descriptor is, on its way out.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Kind {
    Gateway { worker: usize },
    DnsTcp,
    DnsUdp,
    Udp,
    Icmp,
}

impl Sockets {
    pub(super) fn add(&mut self, kind: Kind, sockets: Vec<OwnedFd>) {
        for socket in sockets {
            match kind {
                Kind::Gateway { worker } => {
                    self.gateway.resize_with(self.gateway.len().max(worker + 1), Vec::new);
                    self.gateway[worker].push(socket.into());
                }
                Kind::DnsTcp => self.dns_tcp.push(socket.into()),
                Kind::DnsUdp => self.dns_udp.push(socket.into()),
                Kind::Udp => self.udp.push(socket.into()),
                Kind::Icmp => self.icmp.push(socket.into()),
            }
        }
    }
}

pub(super) fn open(families: &[Family], workers: usize) -> Result<Vec<(Kind, OwnedFd)>, Refusal> {
    let mut opened = Vec::new();
    for family in families {
        opened.extend(of_family(*family, workers).map_err(Refusal::of_sockets)?);
    }
    Ok(opened)
}

fn of_family(family: Family, workers: usize) -> io::Result<Vec<(Kind, OwnedFd)>> {
    let at = |port| SocketAddr::new(family.loopback(), port);
    let gateway = listener::bind(at(GATEWAY_PORT), workers.max(1), Accepts::ItsOwn)?;
    let gateway = gateway.into_iter().enumerate().map(|(worker, socket)| (Kind::Gateway { worker }, socket.into()));
    let mut opened: Vec<(Kind, OwnedFd)> = gateway.collect();
    let dns_tcp = listener::bind(at(DNS_PORT), 1, Accepts::ItsOwn)?;
    opened.extend(dns_tcp.into_iter().map(|socket| (Kind::DnsTcp, socket.into())));
    opened.push((Kind::DnsUdp, udp_socket(at(DNS_PORT))?.into()));
    opened.push((Kind::Udp, transparent(at(UDP_PORT))?.into()));
    opened.push((Kind::Icmp, icmp::raw(Domain::for_address(at(0)))?.into()));
    Ok(opened)
}

fn udp_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = udp::unbound(addr)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Gets what is meant for others, and learns for whom.
fn transparent(addr: SocketAddr) -> io::Result<Socket> {
    let socket = udp::unbound(addr)?;
    set_transparent(&socket, addr)?;
    udp::tell_destinations(&socket, addr)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Speaks for somebody else. Several may speak for the same one.
pub(super) fn reply_socket(from: SocketAddr) -> io::Result<OwnedFd> {
    Ok(udp::speaks_for(from)?.into())
}
