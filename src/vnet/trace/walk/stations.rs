//! What a walk tells of itself: stations and the steps at each.

use std::net::IpAddr;

use crate::vnet::Place;

use super::super::book::Shown;
use super::super::outcome::{BlackHole, By, Outcome};
use super::super::path::{Node, Station, Step};
use super::{Meant, Walk};

impl Walk<'_, '_> {
    pub(super) fn at(&mut self, node: Node, name: &str, address: Option<IpAddr>) {
        let address = address.map(|address| self.shown(address));
        self.stations.push(Station { node, name: name.to_owned(), address, steps: Vec::new() });
    }

    pub(super) fn at_subnet(&mut self, place: Place, address: Option<IpAddr>) {
        let name = self.book.subnet_name(place);
        self.at(Node::Subnet(place), &name, address);
    }

    pub(super) fn at_gateway(&mut self, network: usize) {
        let gateway = self.scene.network.topology().virtual_networks[network].gateway.as_ref();
        let name = gateway.map(|it| it.name.as_str()).filter(|name| !name.is_empty()).unwrap_or("gateway").to_owned();
        self.at(Node::Gateway(network), &name, None);
    }

    pub(super) fn at_premises(&mut self, network: usize, address: IpAddr) {
        self.at(Node::Premises(network), "on-premises", Some(address));
    }

    pub(super) fn tell(&mut self, step: Step) {
        if let Some(station) = self.stations.last_mut() {
            station.steps.push(step);
        }
    }

    pub(super) fn shown(&self, address: IpAddr) -> Shown {
        match self.meant {
            Meant::HostSomewhere { host, .. } if address == self.first.destination => {
                Shown { address: None, name: host.to_string() }
            }
            _ => self.book.shown(address),
        }
    }

    pub(super) fn lost(&mut self, why: BlackHole, what: impl Into<String>) -> Outcome {
        let what = what.into();
        self.tell(Step::stop(what.clone()));
        Outcome::BlackHole { leg: self.leg, why, what }
    }

    pub(super) fn denied(&mut self, by: By, what: impl Into<String>) -> Outcome {
        let what = what.into();
        self.tell(Step::stop(what.clone()));
        Outcome::Denied { by, what }
    }
}
