//! Where a subject listens, and connections to there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use super::case::{Case, Door};
use super::{GATEWAY, query};

pub const CONNECT: Duration = Duration::from_secs(5);
/// How long a read waits before somebody looks at what else happened.
pub const TICK: Duration = Duration::from_millis(10);

/// Marks connections that the kernel hands over to the gateway.
pub const MARK: u32 = 0x6567;

/// Where a gateway's clients believe that they connect to, if it does not matter where.
pub const NOBODY: &str = "203.0.113.9";

/// Where a subject listens.
#[derive(Debug, Clone, Default)]
pub struct Ways {
    pub proxy: Option<SocketAddr>,
    pub socks: Option<SocketAddr>,
    pub gateway: Option<Gateway>,
    pub dns: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy)]
pub enum Gateway {
    /// The kernel hands over what is marked.
    HandedOver,
    /// It is connected to, for TLS and, where it has another port for that, for HTTP.
    At { tls: SocketAddr, http: Option<SocketAddr> },
}

impl Ways {
    /// As a client of this case connects by this door.
    pub fn connect(&self, case: &Case, door: Door) -> Result<TcpStream> {
        if door == Door::Gateway {
            return self.dial(case);
        }
        connect(self.known(door).with_context(|| format!("there is no {} here", door.as_str()))?)
    }

    /// Where clients ask that know whom they ask. Those of a gateway do not.
    pub fn known(&self, door: Door) -> Option<SocketAddr> {
        match door {
            Door::Http | Door::Connect => self.proxy,
            Door::Socks5 => self.socks,
            Door::Dns => self.dns,
            Door::Gateway => None,
        }
    }

    /// All that has to listen; a gateway that is handed connections does so where it is started.
    pub fn listeners(&self) -> impl Iterator<Item = SocketAddr> {
        let (tls, http) = match self.gateway {
            None => (None, None),
            Some(Gateway::HandedOver) => (Some(SocketAddr::from((Ipv4Addr::LOCALHOST, GATEWAY))), None),
            Some(Gateway::At { tls, http }) => (Some(tls), http),
        };
        [self.proxy, self.socks, tls, http, self.dns].into_iter().flatten()
    }

    /// Whether all of it is there: what nobody carries out would look like a refusal.
    pub fn try_all(&self, patience: Duration) -> Result<()> {
        for addr in self.listeners().filter(|addr| Some(*addr) != self.dns) {
            connect(addr)?;
        }
        self.dns.map_or(Ok(()), |server| query::try_it(server, patience))
    }

    fn dial(&self, case: &Case) -> Result<TcpStream> {
        let (_, port) = case.target.rsplit_once(':').context("a target of host:port")?;
        let port: u16 = port.parse().context("a target's port")?;
        match self.gateway.context("there is no gateway here")? {
            Gateway::At { tls, http } => connect(if port == 80 { http.unwrap_or(tls) } else { tls }),
            Gateway::HandedOver => {
                let addr: IpAddr = case.dial.as_deref().unwrap_or(NOBODY).parse().context("an address to dial")?;
                connect_marked(SocketAddr::new(addr, port))
            }
        }
    }
}

pub fn connect(to: SocketAddr) -> Result<TcpStream> {
    connected(socket(to)?, to)
}

/// The kernel hands it over to the gateway.
fn connect_marked(to: SocketAddr) -> Result<TcpStream> {
    let socket = socket(to)?;
    socket.set_mark(MARK).context("marking a connection for the gateway (it takes CAP_NET_ADMIN)")?;
    connected(socket, to)
}

fn socket(to: SocketAddr) -> Result<Socket> {
    Ok(Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?)
}

fn connected(socket: Socket, to: SocketAddr) -> Result<TcpStream> {
    bind(|from| socket.bind(&from.into()), to);
    socket.connect_timeout(&to.into(), CONNECT).with_context(|| format!("connecting to {to}"))?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TICK))?;
    stream.set_write_timeout(Some(TICK))?;
    Ok(stream)
}

/// Binds to a port that no run before had, so that a log tells the runs apart; where none is free, the kernel chooses.
pub fn bind(bind: impl Fn(SocketAddr) -> std::io::Result<()>, to: SocketAddr) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 22_000;
    let any = if to.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    for _ in 0..20 {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if bind(SocketAddr::new(any, port)).is_ok() {
            return;
        }
    }
}
