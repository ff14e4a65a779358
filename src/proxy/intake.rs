//! The sockets that the data plane serves, ready: `egret serve` binds them, `egret run` gets them from its jail.

use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::config::{GatewayConfig, HandOver};
use crate::flow::Via;
use crate::net::listener::{self, Accepts};

/// Listeners by worker, and where they listen.
#[derive(Default)]
pub(crate) struct Intake {
    explicit: Door,
    gateway: Door,
}

/// How a connection is served, by where it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    Explicit,
    Gateway,
}

impl Front {
    /// What is recorded of a connection that said nothing yet.
    pub(super) fn via(self) -> Via {
        match self {
            Front::Explicit => Via::Http,
            Front::Gateway => Via::Gateway,
        }
    }
}

/// The listeners of one front-end. A worker has one for each address.
#[derive(Default)]
struct Door {
    of_worker: Vec<Vec<TcpListener>>,
    addrs: Vec<SocketAddr>,
}

impl Intake {
    /// Binds everything that is configured, for so many workers. An error names the address.
    pub(crate) fn bind(explicit: &[SocketAddr], gateway: &GatewayConfig, workers: usize) -> io::Result<Intake> {
        if !gateway.listen.is_empty() && !cfg!(target_os = "linux") {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a gateway takes Linux"));
        }
        let handed_over = match gateway.mode {
            HandOver::Tproxy => Accepts::AnyAddress,
            HandOver::Redirect => Accepts::ItsOwn,
        };
        Ok(Intake {
            explicit: Door::bind(explicit, workers, Accepts::ItsOwn)?,
            gateway: Door::bind(&gateway.listen, workers, handed_over)?,
        })
    }

    /// The listeners of one worker; they are gone from here.
    pub(super) fn doors(&mut self, worker: usize) -> Vec<(Front, TcpListener)> {
        let explicit = self.explicit.take(worker).into_iter().map(|listener| (Front::Explicit, listener));
        explicit.chain(self.gateway.take(worker).into_iter().map(|listener| (Front::Gateway, listener))).collect()
    }

    /// Where the explicit proxy listens, with the ports that were chosen for 0.
    pub(crate) fn explicit(&self) -> &[SocketAddr] {
        &self.explicit.addrs
    }

    /// The same of the gateway.
    pub(crate) fn gateway(&self) -> &[SocketAddr] {
        &self.gateway.addrs
    }
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
