//! What is allowed in a play, and where names lead.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Config, Enforce, Overrides, Rewrite, load};
use crate::flow::{HostName, Profile};
use crate::net::dns::{Request, Requests, Resolved, Unresolved};
use crate::policy::Policy;
use crate::proxy::{Lifecycle, Setup};
use crate::telemetry::Log;

pub(super) const OWN: SocketAddr = addr([192, 0, 2, 1], 3128);
pub(super) const CLIENT: SocketAddr = addr([192, 0, 2, 2], 40_000);

const OK: [u8; 4] = [198, 51, 100, 1];
const BELOW_OK: [u8; 4] = [198, 51, 100, 2];
const RAW: [u8; 4] = [198, 51, 100, 7];
const RAW_ADDR: [u8; 4] = [198, 51, 100, 9];
/// Of every name that may not be reached.
pub(super) const DENIED: [u8; 4] = [203, 0, 113, 66];

const ALLOWED: [&str; 8] = [
    "https://ok.test",
    "https://*.ok.test",
    "http://ok.test",
    "http://*.ok.test",
    "mssql://ok.test",
    "https://nx.test",
    "tcp://198.51.100.9:9000",
    "tcp://raw.test:7000",
];
const FORBIDDEN: [&str; 2] = ["https://bad.ok.test", "http://bad.ok.test"];

pub(super) const fn addr(ip: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3]), port))
}

pub(super) fn config() -> &'static Config {
    static CONFIG: LazyLock<Config> = LazyLock::new(|| {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        let flags = Overrides { allow: texts(&ALLOWED), deny: texts(&FORBIDDEN), ..Overrides::default() };
        load(&flags, crate::config::DefaultFile::Ignored).expect("the flags are right").config
    });
    &CONFIG
}

/// One core. The strict profile rewrites requests and answers besides, so that bodies are unpacked.
pub(super) fn setup(profile: Profile, log: Log) -> Setup {
    let config = config();
    let mut proxy = config.proxy.clone();
    proxy.workers = 1;
    if profile == Profile::Strict {
        proxy.http.rewrite = Rewrite::Azure;
    }
    Setup {
        proxy,
        gateway: config.gateway.clone(),
        dns: config.dns.clone(),
        policy: Policy::compile(Arc::new(config.rules.clone()), config.switches()),
        network: None,
        enforce: Enforce::None,
        profile,
        log,
        lifecycle: Lifecycle::default(),
        others: Vec::new(),
        mark: None,
    }
}

/// As the thread `egret-dns` does.
pub(super) async fn answer_names(mut requests: Requests) {
    while let Some(Request { name, answer }) = requests.recv().await {
        // Who asked may be gone.
        let _ = answer.send(resolved(&name));
    }
}

fn resolved(name: &HostName) -> Resolved {
    match address_of(name.as_str()) {
        Some(ip) => Resolved::To { addrs: vec![ip], until: Instant::now() + Duration::from_secs(60) },
        None => Resolved::Failed(Unresolved { why: "no such name".to_owned(), server: None }),
    }
}

/// The address of a name.
pub(super) fn address_of(name: &str) -> Option<IpAddr> {
    let ip = match name {
        "nx.test" => return None,
        "ok.test" => OK,
        "raw.test" => RAW,
        name if may_be_reached(name) => BELOW_OK,
        _ => DENIED,
    };
    Some(Ipv4Addr::from(ip).into())
}

/// By an application rule.
pub(super) fn may_be_reached(name: &str) -> bool {
    (name == "ok.test" || name.ends_with(".ok.test")) && name != "bad.ok.test"
}

/// Everything that may be dialled at all.
pub(super) fn may_be_dialled(to: SocketAddr) -> bool {
    let IpAddr::V4(ip) = to.ip() else { return false };
    match (ip.octets(), to.port()) {
        (OK, port) => [80, 443, 1433].contains(&port),
        (BELOW_OK, port) => [80, 443].contains(&port),
        place => is_raw(place),
    }
}

/// Reached by a network rule: nobody looks into it.
pub(super) fn is_raw(place: ([u8; 4], u16)) -> bool {
    place == (RAW, 7000) || place == (RAW_ADDR, 9000)
}
