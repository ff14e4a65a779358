//! The data plane: one thread a core, each with its own listener, and one pipeline for every flow.
//!
//! Front-ends ([`explicit`] and what it calls) learn where a flow wants to go; [`session`] decides, dials,
//! relays and records. Nothing here knows of the command line or of the admin server: they are given a
//! [`Proxy`] and its [`Shared`].

mod answer;
mod auth;
mod body;
mod carry;
mod connect;
mod explicit;
mod guard;
mod handshake;
mod headers;
mod http;
mod inspect;
mod limit;
mod pac;
mod records;
mod session;
mod shared;
mod socks5;
mod upstream;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::config::{DnsConfig, ProxyConfig};
use crate::flow::Profile;
use crate::net::listener;
use crate::policy::Policy;
use crate::telemetry::Log;

pub(crate) use auth::same_secret;
pub(crate) use shared::{Active, Lifecycle, Shared};

/// The running data plane.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    addrs: Vec<SocketAddr>,
    workers: Vec<JoinHandle<()>>,
}

impl Proxy {
    /// Binds every listener and starts the workers. `others` are addresses that Egret listens on besides, such
    /// as the admin server's: they are never dialled either. An error names the address.
    pub(crate) fn start(
        config: ProxyConfig,
        dns: DnsConfig,
        policy: Policy,
        profile: Profile,
        log: Log,
        lifecycle: Lifecycle,
        others: &[SocketAddr],
    ) -> io::Result<Proxy> {
        let mut of_worker: Vec<Vec<TcpListener>> = (0..config.workers).map(|_| Vec::new()).collect();
        let mut addrs = Vec::new();
        for addr in &config.listen {
            let sockets = listener::bind(*addr, config.workers)
                .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}")))?;
            addrs.extend(sockets.first().map(TcpListener::local_addr).transpose()?);
            of_worker.iter_mut().zip(sockets).for_each(|(worker, socket)| worker.push(socket));
        }
        let shared = Arc::new(Shared::new(config, policy, profile, log, lifecycle));
        shared.set_own_addresses(addrs.iter().chain(others).copied().collect());
        let workers = of_worker
            .into_iter()
            .enumerate()
            .map(|(number, listeners)| worker::start(number, listeners, shared.clone(), dns.clone()))
            .collect::<io::Result<_>>()?;
        Ok(Proxy { shared, addrs, workers })
    }

    /// Where it listens, with the ports that were chosen for 0.
    pub(crate) fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits until every worker has ended, which [`Lifecycle`] brings about.
    pub(crate) fn join(self) {
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker ended in a panic");
            }
        }
    }
}
