//! What can be asked of a subject, and why a case cannot.

use super::case::{Case, Door};
use super::flow;
use super::subject::Running;
use super::ways::{Gateway, Ways};

/// What can be asked of a subject.
pub struct Abilities<'a> {
    running: &'a Running,
    /// Doors by which it opens tunnels for plain HTTP: a proxy that cannot look into them had better not.
    http_tunnels: Vec<Door>,
}

impl<'a> Abilities<'a> {
    /// Opens tunnels to find out.
    pub fn of(running: &'a Running) -> Abilities<'a> {
        let opens = |door: &Door| flow::tunnels_http(&running.ways, *door);
        Abilities { running, http_tunnels: [Door::Connect, Door::Socks5].into_iter().filter(opens).collect() }
    }

    /// Why this case cannot be sent by this door.
    pub fn lacking(&self, case: &Case, door: Door) -> Option<&'static str> {
        let Ways { proxy, socks, gateway, dns } = &self.running.ways;
        let port = case.target.rsplit_once(':').map_or("", |(_, port)| port);
        let lacks = match door {
            Door::Http | Door::Connect if proxy.is_none() => Some("it is no proxy of HTTP"),
            Door::Socks5 if socks.is_none() => Some("it does not speak SOCKS5"),
            Door::Connect | Door::Socks5 if port == "80" && !self.http_tunnels.contains(&door) => {
                Some("it opens no tunnels to port 80")
            }
            Door::Gateway => at_the_gateway(*gateway, port),
            Door::Dns if dns.is_none() => Some("it is no DNS proxy"),
            _ => None,
        };
        lacks.or_else(|| case.needs.iter().find(|need| !self.running.can.contains(need)).map(|need| need.lacking()))
    }
}

fn at_the_gateway(gateway: Option<Gateway>, port: &str) -> Option<&'static str> {
    match (gateway, port) {
        (None, _) => Some("it is no gateway"),
        (Some(Gateway::At { http: None, .. }), "80") => Some("it is no gateway for plain HTTP"),
        (Some(Gateway::HandedOver), _) | (_, "80" | "443") => None,
        (Some(Gateway::At { .. }), _) => Some("the gateway is not told which port clients believe to connect to"),
    }
}
