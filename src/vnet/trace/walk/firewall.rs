//! The firewall: the policy's own decision, and what the packet looks like behind it.

use std::net::IpAddr;

use crate::flow::{AddrClass, Host, Protocol, Reason};
use crate::policy::{Address, Decision, Direction, Policy, Query};
use crate::vnet::onward::Gatekeeper;
use crate::vnet::snat::keeps_source;

use super::super::outcome::{By, Leg, Outcome};
use super::super::path::{FirewallStep, Mark, Node, Step, Translates, Translation};
use super::super::words;
use super::{Keeper, Meant, Next, Record, Site, Walk};

/// What a firewall is called that the topology does not have.
const UNNAMED: &str = "firewall";

impl<'n> Walk<'n, '_> {
    pub(super) fn name_of(&self, firewall: Gatekeeper) -> &'n str {
        match firewall {
            Gatekeeper::Numbered(number) => &self.scene.network.topology().firewalls[number].name,
            Gatekeeper::At(_) => UNNAMED,
        }
    }

    pub(super) fn node_of(firewall: Gatekeeper) -> Node {
        match firewall {
            Gatekeeper::Numbered(number) => Node::Firewall(number),
            Gatekeeper::At(address) => Node::Appliance(address),
        }
    }

    fn private_address_of(&self, firewall: Gatekeeper) -> Option<IpAddr> {
        match firewall {
            Gatekeeper::Numbered(number) => self.scene.network.topology().firewalls[number].private_address,
            Gatekeeper::At(address) => Some(address),
        }
    }

    fn public_address_of(&self, firewall: Gatekeeper) -> IpAddr {
        match firewall {
            Gatekeeper::Numbered(number) => self.book.of_firewall(&self.scene.network.topology().firewalls[number]),
            Gatekeeper::At(_) => self.book.outbound(),
        }
    }

    /// The firewall that has an address, one that the packet came through among them.
    pub(super) fn firewall_at(&self, address: IpAddr) -> Option<Gatekeeper> {
        let passed = || {
            self.records.iter().find_map(|it| match it.keeper {
                Keeper::Firewall(firewall @ Gatekeeper::At(own)) if own == address => Some(firewall),
                _ => None,
            })
        };
        self.book.private_firewall_at(address).map(Gatekeeper::Numbered).or_else(passed)
    }

    /// The firewall that a flow begins at with this address.
    pub(super) fn own_of_firewall(&self, address: IpAddr) -> Option<Gatekeeper> {
        let firewall = Gatekeeper::Numbered(self.book.firewall_at(address)?);
        let place = self.scene.network.place_of_firewall(firewall);
        let is_there = self.begins.is_none() || place.is_none() || self.begins == place;
        is_there.then_some(firewall)
    }

    pub(super) fn at_firewall(&mut self, firewall: Gatekeeper) -> Next {
        let to = self.packet.destination;
        let seen = match firewall {
            Gatekeeper::Numbered(number) if self.book.public_firewall_at(to) == Some(number) => Some(to),
            _ => self.private_address_of(firewall),
        };
        self.at(Self::node_of(firewall), self.name_of(firewall), seen);
        match self.leg {
            Leg::Request => self.filter(firewall),
            Leg::Reply => self.back_through(firewall),
        }
    }

    fn back_through(&mut self, firewall: Gatekeeper) -> Next {
        match self.take_record(Keeper::Firewall(firewall)) {
            Some(back) => {
                self.tell(Step::Remark { mark: Mark::Pass, text: "it knows the flow".into() });
                self.give_back(back);
                self.beyond(firewall)
            }
            // What it asked for itself it takes.
            None if self.own_of_firewall(self.first.source) == Some(firewall) => {
                Next::Arrived(Site::Firewall(firewall))
            }
            None => {
                let (private, public) = (self.private_address_of(firewall), self.public_address_of(firewall));
                let is_outward = AddrClass::of(self.packet.destination) == AddrClass::Global;
                let leaves = self.book.shown(private.filter(|_| !is_outward).unwrap_or(public));
                let name = self.name_of(firewall);
                let what = format!("{name} has not seen the request, and drops what it does not know");
                self.tell(Step::stop(what.clone()));
                Next::Stop(self.asymmetric(leaves, what))
            }
        }
    }

    fn filter(&mut self, firewall: Gatekeeper) -> Next {
        let Some(policy) = self.scene.policy else {
            let what = format!("what {} lets through is not known here", self.name_of(firewall));
            return Next::Stop(Outcome::Unknown(what));
        };
        let to = self.packet.destination;
        let direction = self.direction(firewall);
        let (step, decision) = self.decision(policy, firewall, direction);
        if self.private_address_of(firewall) == Some(to) && decision.reason != Reason::DnatRule {
            self.tell(Step::info("it is meant for the firewall itself"));
            return Next::Arrived(Site::Firewall(firewall));
        }
        let denial = words::firewall(&step);
        self.tell(Step::Firewall(step));
        if decision.permit().is_err() {
            return Next::Stop(Outcome::Denied { by: By::Firewall, what: denial });
        }
        self.pass(policy, firewall, &decision)
    }

    /// What is for one of its own addresses comes in: to a public one by DNAT rules alone.
    fn direction(&self, firewall: Gatekeeper) -> Direction {
        let to = self.packet.destination;
        match firewall {
            _ if self.private_address_of(firewall) == Some(to) => Direction::Inbound,
            Gatekeeper::Numbered(it) if self.book.public_firewall_at(to) == Some(it) => Direction::Published,
            _ => Direction::Outbound,
        }
    }

    fn decision(&self, policy: &Policy, firewall: Gatekeeper, direction: Direction) -> (FirewallStep, Decision) {
        let address = match self.meant {
            Meant::Address => Address::Given(self.packet.destination),
            Meant::Host(_) => Address::Override(self.packet.destination),
            Meant::HostSomewhere { .. } => Address::Unknown,
        };
        let query = Query {
            client: Some(self.packet.source),
            protocol: self.packet.protocol,
            name: self.meant.host().filter(|_| direction == Direction::Outbound),
            address,
            dialled: None,
            port: self.packet.destination_port,
            direction,
            resolved: &[],
            path: (self.packet.protocol == Protocol::Http).then_some("/"),
        };
        let decision = policy.decide_at_firewall(&query);
        let is_denied = decision.permit().is_err();
        let nearest = is_denied.then(|| policy.explain_at_firewall(&query)).and_then(|walked| {
            let (step, wish) = walked.nearest_miss()?;
            Some(format!("{} would allow it if {wish}", step.rule.rule.name()))
        });
        let open = (decision.address_matters && is_denied).then(|| {
            "a network rule may allow it by its address, which is not known here: tell it with --resolve".to_owned()
        });
        let closed = (direction == Direction::Published && decision.reason == Reason::NotAllowed)
            .then(|| "no DNAT rule is for it, and nothing else opens a public address of the firewall".to_owned());
        let step = FirewallStep {
            firewall: self.name_of(firewall).to_owned(),
            verdict: decision.verdict,
            reason: decision.reason,
            rule: decision.rule.map(|rule| policy.rule_name(rule).to_string()),
            at: decision.rule.map(|rule| policy.spot_of(rule)).unwrap_or_default(),
            hint: nearest.or(closed).or(open),
        };
        (step, decision)
    }

    /// Let through: whose address it has from here on depends on who let it through.
    fn pass(&mut self, policy: &Policy, firewall: Gatekeeper, decision: &Decision) -> Next {
        let before = self.packet;
        if let Some(translated) = policy.translated(decision) {
            let Host::Addr(to) = translated.host else {
                return Next::Stop(Outcome::Unknown(format!("the address of {} is not known here", translated.host)));
            };
            self.packet.destination = to;
            self.packet.destination_port = translated.port;
            let (from, to) = (self.shown(before.destination), self.shown(to));
            self.tell(Step::Translation(Translation { what: Translates::Destination, from, to }));
        }
        let to = self.packet.destination;
        if !keeps_source(policy, decision.reason, to) {
            let seen = self.scene.network.seen_behind(firewall, to);
            self.packet.source = seen.unwrap_or_else(|| self.public_address_of(firewall));
            let (from, to) = (self.shown(before.source), self.shown(self.packet.source));
            self.tell(Step::Translation(Translation { what: Translates::Source, from, to }));
        }
        self.records.push(Record { keeper: Keeper::Firewall(firewall), before, after: self.packet, is_used: false });
        self.beyond(firewall)
    }

    /// What it sends itself: a question, a reply, a probe's answer. It has no security group (azure-docs,
    /// firewall-faq.yml: none is needed or taken there).
    pub(super) fn leave_firewall(&mut self, firewall: Gatekeeper) -> Next {
        let place = self.scene.network.place_of_firewall(firewall);
        match place.filter(|_| AddrClass::of(self.packet.destination) == AddrClass::Metadata) {
            Some(place) => self.reach_host(place),
            None => self.beyond(firewall),
        }
    }

    /// By the routes of the firewall's own subnet.
    pub(super) fn beyond(&mut self, firewall: Gatekeeper) -> Next {
        if let Some(place) = self.scene.network.place_of_firewall(firewall) {
            return self.forward(place);
        }
        match self.scene.network.beyond(firewall, self.packet.source, self.packet.destination) {
            Some(entered) => self.entered(self.name_of(firewall), entered),
            None => {
                let (name, to) = (self.name_of(firewall), self.shown(self.packet.destination));
                Next::Stop(Outcome::Unknown(format!("{name} is in no subnet, and its way to {to} is not known here")))
            }
        }
    }
}
