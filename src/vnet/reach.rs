//! Does what a subnet sends get anywhere, and do replies come back? Asked of routes, peerings and gateways, as who follows
//! packets asks; security groups and what a firewall lets through are not asked.

use std::net::IpAddr;

use super::network::{Network, Place};
use super::onward::{Barred, Gatekeeper, Towards};
use super::routes::Selection;
use super::topology::Firewall;

/// What is in the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Obstacle<'n> {
    /// The route that leads there; None where there is none.
    pub way: Option<Selection<'n>>,
    /// Lower-case: `there is no gateway`
    pub why: String,
    pub stage: Stage<'n>,
}

/// How far it got.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stage<'n> {
    /// It does not leave its own network.
    Out,
    /// This firewall cannot send it on.
    Beyond(&'n Firewall),
    /// This firewall cannot give the replies back.
    Back(&'n Firewall),
}

impl Network {
    /// What stops packets from a subnet to an address, or the replies to them. What an appliance does that is no firewall
    /// of the topology is not known, and what is behind a gateway neither: nothing stops them there.
    pub fn obstacle(&self, place: Place, to: IpAddr) -> Option<Obstacle<'_>> {
        let own = self.subnet(place).usable().map(|range| range.first()).find(|it| it.is_ipv4() == to.is_ipv4())?;
        let firewall = match self.led(place, own, to) {
            Err((way, why)) => return Some(Obstacle { way, why, stage: Stage::Out }),
            Ok(Towards::Firewall(Gatekeeper::Numbered(number))) => &self.topology().firewalls[number],
            Ok(_) => return None,
        };
        let there = self.place(&firewall.virtual_network, &firewall.subnet)?;
        let known_as = firewall.private_address?;
        if let Err((way, why)) = self.led(there, known_as, to) {
            return Some(Obstacle { way, why, stage: Stage::Beyond(firewall) });
        }
        // The source of a reply is who was asked: it is forwarded, whatever network the firewall is in.
        let (way, why) = self.led(there, to, own).err()?;
        Some(Obstacle { way, why, stage: Stage::Back(firewall) })
    }

    fn led(&self, place: Place, source: IpAddr, to: IpAddr) -> Result<Towards<'_>, (Option<Selection<'_>>, String)> {
        let Some(way) = self.route(place, to) else { return Err((None, format!("no route leads to {to}"))) };
        match self.onward(place, way.route, source, to) {
            Ok(onward) => Ok(onward.to),
            // It is where it is, whatever routes say of the prefix around it.
            Err(Barred::NoAppliance(address)) if self.place_near(place, address).is_some() => {
                Ok(Towards::Appliance(address))
            }
            Err(barred) => Err((Some(way), why(barred, to))),
        }
    }
}

fn why(barred: Barred<'_>, to: IpAddr) -> String {
    match barred {
        Barred::NoRoute => format!("no route leads to {to}"),
        Barred::Dropped(_) => "the next hop None drops it".to_owned(),
        Barred::NoSubnet => format!("{to} is in no subnet of the network"),
        Barred::NoSubnetOf(remote) => format!("{to} is in no subnet of {remote}"),
        Barred::Unconnected(remote) => format!("the peering with {remote} has no other half"),
        Barred::Closed(peering) => {
            format!(
                "the peering with {} lets no traffic of the networks through (allowVirtualNetworkAccess)",
                peering.remote
            )
        }
        Barred::NotForwarded(_, remote) => {
            format!("the peering of {remote} lets no forwarded traffic in (allowForwardedTraffic)")
        }
        Barred::Loop(address) => format!("{address} is in the very subnet that is routed to it"),
        Barred::NoAppliance(address) => {
            format!("{address} is neither in the network nor in one that is connected to it")
        }
        Barred::Nobody(address) => format!("{address} is in no subnet of the network that it would be in"),
        Barred::NoGateway => "there is no gateway".to_owned(),
        Barred::NothingBehind(_) => format!("nothing behind the gateway is known to have {to}"),
        Barred::Unroutable => format!("{to} is no address of the Internet"),
    }
}
