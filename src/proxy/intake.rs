//! The sockets that the data plane serves, ready: `egret serve` binds them, `egret run` gets them from its jail.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

#[cfg(target_os = "linux")]
use socket2::Domain;

use crate::config::{DeniedUdp, GatewayConfig, HandOver};
#[cfg(target_os = "linux")]
use crate::net::echo;
use crate::net::icmp::Unreachable;
use crate::net::listener::{self, Accepts};
use crate::net::udp::{self, ReplySockets};

use super::dns;

/// Listeners by worker, and where they listen.
#[derive(Default)]
pub(crate) struct Intake {
    explicit: Door,
    gateway: Door,
    datagrams: Datagrams,
    #[cfg(target_os = "linux")]
    echoes: Vec<echo::Sockets>,
    dns: dns::Sockets,
}

/// A listener that is not to be had. Its text names the address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    #[error(transparent)]
    Explicit(io::Error),
    #[error(transparent)]
    Gateway(io::Error),
    #[error(transparent)]
    Dns(io::Error),
}

/// How a connection is served, by where it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    Explicit,
    Gateway,
}

/// The listeners of one front-end. A worker has one for each address.
#[derive(Default)]
struct Door {
    of_worker: Vec<Vec<TcpListener>>,
    addrs: Vec<SocketAddr>,
}

/// What the gateway serves UDP with.
#[derive(Default)]
struct Datagrams {
    of_worker: Vec<Vec<UdpSocket>>,
    replies: ReplySockets,
    /// None: what is denied is dropped in silence.
    unreachable: Option<Arc<Unreachable>>,
}

/// Everything that one worker serves.
pub(super) struct Doors {
    pub(super) listeners: Vec<(Front, TcpListener)>,
    pub(super) datagrams: Vec<UdpSocket>,
    pub(super) replies: ReplySockets,
    pub(super) unreachable: Option<Arc<Unreachable>>,
    /// ICMP echo: one worker serves it all.
    #[cfg(target_os = "linux")]
    pub(super) echoes: Vec<echo::Sockets>,
}

impl Intake {
    /// Binds everything that is configured, for so many workers.
    pub(crate) fn bind(
        explicit: &[SocketAddr],
        gateway: &GatewayConfig,
        dns: &[SocketAddr],
        workers: usize,
    ) -> Result<Intake, BindError> {
        if !gateway.listen.is_empty() && !cfg!(target_os = "linux") {
            let error = io::Error::new(io::ErrorKind::Unsupported, "a gateway takes Linux");
            return Err(BindError::Gateway(error));
        }
        let handed_over = match gateway.mode {
            HandOver::Tproxy => Accepts::AnyAddress,
            HandOver::Redirect => Accepts::ItsOwn,
        };
        let explicit = Door::bind(explicit, workers, Accepts::ItsOwn).map_err(BindError::Explicit)?;
        let door = Door::bind(&gateway.listen, workers, handed_over).map_err(BindError::Gateway)?;
        let datagrams = Datagrams::bind(&door.addrs, gateway, workers).map_err(BindError::Gateway)?;
        let dns = dns::Sockets::bind(dns).map_err(BindError::Dns)?;
        Ok(Intake {
            #[cfg(target_os = "linux")]
            echoes: echoes(&door.addrs, gateway),
            explicit,
            gateway: door,
            datagrams,
            dns,
        })
    }

    /// Sockets of another network, in which everything is handed over: for `egret run`, whose jail opens them.
    #[cfg(target_os = "linux")]
    pub(crate) fn handed_over(gateway: Vec<Vec<TcpListener>>, dns: dns::Sockets) -> io::Result<Intake> {
        let addrs = gateway.first().into_iter().flatten().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        Ok(Intake { gateway: Door { of_worker: gateway, addrs }, dns, ..Intake::default() })
    }

    /// The same with UDP: each socket for a worker of its own, where there are enough. Without `unreachable` what is
    /// denied is dropped in silence.
    #[cfg(target_os = "linux")]
    pub(crate) fn with_datagrams(
        self,
        sockets: Vec<UdpSocket>,
        replies: ReplySockets,
        unreachable: Option<Unreachable>,
        workers: usize,
    ) -> Intake {
        let mut of_worker: Vec<Vec<UdpSocket>> = (0..workers).map(|_| Vec::new()).collect();
        for (number, socket) in sockets.into_iter().enumerate() {
            if let Some(of_one) = of_worker.get_mut(number % workers.max(1)) {
                of_one.push(socket);
            }
        }
        Intake { datagrams: Datagrams { of_worker, replies, unreachable: unreachable.map(Arc::new) }, ..self }
    }

    /// The sockets of one worker; they are gone from here.
    pub(super) fn doors(&mut self, worker: usize) -> Doors {
        let explicit = self.explicit.take(worker).into_iter().map(|listener| (Front::Explicit, listener));
        let gateway = self.gateway.take(worker).into_iter().map(|listener| (Front::Gateway, listener));
        Doors {
            listeners: explicit.chain(gateway).collect(),
            datagrams: self.datagrams.of_worker.get_mut(worker).map(std::mem::take).unwrap_or_default(),
            replies: self.datagrams.replies.clone(),
            unreachable: self.datagrams.unreachable.clone(),
            #[cfg(target_os = "linux")]
            echoes: std::mem::take(&mut self.echoes),
        }
    }

    /// Where the explicit proxy listens, with the ports that were chosen for 0.
    pub(crate) fn explicit(&self) -> &[SocketAddr] {
        &self.explicit.addrs
    }

    /// The sockets of DNS clients; they are gone from here.
    pub(super) fn take_dns(&mut self) -> dns::Sockets {
        std::mem::take(&mut self.dns)
    }

    /// The same of the DNS proxy.
    pub(crate) fn dns(&self) -> &[SocketAddr] {
        self.dns.addrs()
    }

    /// The same of the gateway.
    pub(crate) fn gateway(&self) -> &[SocketAddr] {
        &self.gateway.addrs
    }
}

impl Datagrams {
    /// At the addresses where the gateway listens for TCP already.
    fn bind(addrs: &[SocketAddr], gateway: &GatewayConfig, workers: usize) -> io::Result<Datagrams> {
        if gateway.mode == HandOver::Redirect || addrs.is_empty() {
            return Ok(Datagrams::default());
        }
        let mut of_worker: Vec<Vec<UdpSocket>> = (0..workers).map(|_| Vec::new()).collect();
        for addr in addrs {
            let sockets = udp::bind(*addr, workers)
                .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {addr} (UDP): {error}")))?;
            of_worker.iter_mut().zip(sockets).for_each(|(worker, socket)| worker.push(socket));
        }
        let unreachable = match gateway.denied_udp {
            DeniedUdp::Drop => None,
            DeniedUdp::Unreachable => unreachable(),
        };
        Ok(Datagrams { of_worker, replies: ReplySockets::Here, unreachable })
    }
}

/// Of the families in which the gateway listens. Without them echo requests are dropped, as all other ICMP is.
#[cfg(target_os = "linux")]
fn echoes(addrs: &[SocketAddr], gateway: &GatewayConfig) -> Vec<echo::Sockets> {
    let listens = |domain: &Domain| addrs.iter().any(|addr| Domain::for_address(*addr) == *domain);
    let domains = [Domain::IPV4, Domain::IPV6].into_iter().filter(listens);
    let wanted = domains.filter(|_| gateway.mode == HandOver::Tproxy);
    let opened = wanted.map(echo::Sockets::open).collect::<io::Result<_>>();
    opened.unwrap_or_else(|error| {
        tracing::warn!(%error, "clients' echo requests (ping) are dropped, and not logged: taking them takes CAP_NET_RAW");
        Vec::new()
    })
}

fn unreachable() -> Option<Arc<Unreachable>> {
    let opened = Unreachable::open();
    if let Err(error) = &opened {
        tracing::warn!(%error, "denied datagrams are dropped in silence: answering them takes CAP_NET_RAW");
    }
    opened.ok().map(Arc::new)
}

impl Door {
    fn bind(addrs: &[SocketAddr], workers: usize, accepts: Accepts) -> io::Result<Door> {
        let mut door = Door { of_worker: (0..workers).map(|_| Vec::new()).collect(), addrs: Vec::new() };
        for addr in addrs {
            let sockets = listener::bind(*addr, workers, accepts)
                .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}")))?;
            door.addrs.extend(sockets.first().map(TcpListener::local_addr).transpose()?);
            door.of_worker.iter_mut().zip(sockets).for_each(|(worker, socket)| worker.push(socket));
        }
        Ok(door)
    }

    fn take(&mut self, worker: usize) -> Vec<TcpListener> {
        self.of_worker.get_mut(worker).map(std::mem::take).unwrap_or_default()
    }
}
