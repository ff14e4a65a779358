//! The data plane: one thread a core, each with its own listener, and one pipeline for every flow.
//!
//! Front-ends ([`explicit`] and what it calls) learn where a flow wants to go; [`session`] decides, dials,
//! relays and records. Nothing here knows of the command line or of the admin server: they are given a
//! [`Proxy`] and its [`Shared`].
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unreachable))]

mod alarm;
mod answer;
mod auth;
mod body;
mod carry;
mod connect;
mod denied;
mod dns;
mod explicit;
mod gateway;
mod guard;
mod handshake;
mod headers;
mod http;
#[cfg(target_os = "linux")]
mod icmp;
mod imitate;
mod inspect;
mod intake;
mod limit;
mod mssql;
mod pac;
mod peek;
mod probe;
mod pulse;
mod rates;
mod records;
#[cfg(all(unix, any(test, fuzzing)))]
pub(crate) mod rehearsal;
mod session;
mod shared;
mod socks5;
mod surroundings;
mod udp;
mod unpack;
mod upstream;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::config::{DnsConfig, Enforce, GatewayConfig, ProxyConfig};
use crate::flow::Profile;
use crate::net::dns::Asker;
use crate::policy::Policy;
use crate::telemetry::Log;
use crate::vnet::Network;

pub(crate) use auth::same_secret;
#[cfg(target_os = "linux")]
pub(crate) use dns::Sockets as DnsSockets;
pub(crate) use intake::{BindError, Intake};
pub(crate) use probe::{Outcome, Probe, Probed, Way};
pub(crate) use shared::{Active, InForceFrom, Lifecycle, Shared};

/// What the data plane runs with, beside its sockets.
pub(crate) struct Setup {
    pub(crate) proxy: ProxyConfig,
    pub(crate) gateway: GatewayConfig,
    pub(crate) dns: DnsConfig,
    pub(crate) policy: Policy,
    /// What is around the firewall, and whose flows meet it.
    pub(crate) network: Option<Arc<Network>>,
    pub(crate) enforce: Enforce,
    pub(crate) profile: Profile,
    pub(crate) log: Log,
    pub(crate) lifecycle: Lifecycle,
    /// Where Egret listens besides, such as the admin server's address: never dialled either.
    pub(crate) others: Vec<SocketAddr>,
    /// The firewall mark of sockets that leave this machine.
    pub(crate) mark: Option<u32>,
}

/// The running data plane.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Ends after the last worker.
    dns: JoinHandle<()>,
}

impl Proxy {
    /// Starts the workers on these sockets, and before them the thread that they ask for names.
    pub(crate) fn start(setup: Setup, mut intake: Intake) -> io::Result<Proxy> {
        let own = [intake.explicit(), intake.gateway(), intake.dns(), &setup.others].concat();
        let (config, workers, mark) = (setup.dns.clone(), setup.proxy.workers, setup.mark);
        let shared = Arc::new(Shared::new(setup));
        shared.set_own_addresses(own);
        let (asker, requests) = Asker::new();
        let dns = dns::start(intake.take_dns(), requests, shared.clone(), &config, mark)?;
        let workers = (0..workers)
            .map(|number| worker::start(number, intake.doors(number), shared.clone(), &config, asker.clone()))
            .collect::<io::Result<_>>()?;
        Ok(Proxy { shared, workers, dns })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits until every worker has ended, which [`Lifecycle`] brings about.
    pub(crate) fn join(self) {
        for worker in self.workers.into_iter().chain([self.dns]) {
            if worker.join().is_err() {
                tracing::error!("a worker ended in a panic");
            }
        }
    }
}
