//! The firewall: the policy's own decision, and what the packet looks like behind it.

use crate::flow::{AddrClass, Host, Protocol, Reason};
use crate::policy::{Address, AnyRule, Decision, Direction, Policy, Query, RuleId, Spot, in_order};
use crate::vnet::snat::keeps_source;

use super::super::outcome::{By, Leg, Outcome};
use super::super::path::{FirewallStep, Mark, Node, Step, Translates, Translation};
use super::super::words;
use super::{At, Keeper, Next, Record, Site, Walk};

impl Walk<'_, '_> {
    pub(super) fn at_firewall(&mut self, number: usize) -> Next {
        let firewall = &self.scene.network.topology().firewalls[number];
        let seen = if self.book.public_firewall_at(self.packet.destination) == Some(number) {
            Some(self.packet.destination)
        } else {
            firewall.private_address
        };
        self.at(Node::Firewall(number), &firewall.name, seen);
        match self.leg {
            Leg::Request => self.filter(number),
            Leg::Reply => self.back_through(number),
        }
    }

    pub(super) fn back_through(&mut self, number: usize) -> Next {
        match self.take_record(Keeper::Firewall(number)) {
            Some(back) => {
                self.tell(Step::Remark { mark: Mark::Pass, text: "it knows the flow".into() });
                self.give_back(back);
                self.beyond(number)
            }
            // What it asked for itself it takes.
            None if self.book.firewall_at(self.first.source) == Some(number) => Next::Arrived(Site::Firewall(number)),
            None => {
                let firewall = &self.scene.network.topology().firewalls[number];
                let public = AddrClass::of(self.packet.destination) == AddrClass::Global;
                let private = firewall.private_address.unwrap_or_else(|| self.book.of_firewall(firewall));
                let leaves = self.book.shown(if public { self.book.of_firewall(firewall) } else { private });
                let what = format!("{} has not seen the request, and drops what it does not know", firewall.name);
                self.tell(Step::stop(what.clone()));
                Next::Stop(self.asymmetric(leaves, what))
            }
        }
    }

    pub(super) fn filter(&mut self, number: usize) -> Next {
        let firewall = &self.scene.network.topology().firewalls[number];
        let Some(policy) = self.scene.policy else {
            let what = format!("what {} lets through is not known here", firewall.name);
            return Next::Stop(Outcome::Unknown(what));
        };
        let direction = self.direction(number);
        let to_itself = direction != Direction::Outbound;
        let (step, decision) = self.decision(policy, number, direction);
        let denial = words::firewall(&step);
        let is_allowed = decision.permit().is_ok();
        if to_itself && decision.reason != Reason::DnatRule && firewall.private_address == Some(self.packet.destination)
        {
            self.tell(Step::info("it is meant for the firewall itself"));
            return Next::Arrived(Site::Firewall(number));
        }
        self.tell(Step::Firewall(step));
        if !is_allowed {
            return Next::Stop(Outcome::Denied { by: By::Firewall, what: denial });
        }
        self.pass(policy, number, &decision)
    }

    /// What is for one of its own addresses comes in: to a public one by DNAT rules alone.
    fn direction(&self, number: usize) -> Direction {
        let to = self.packet.destination;
        if self.scene.network.topology().firewalls[number].private_address == Some(to) {
            Direction::Inbound
        } else if self.book.public_firewall_at(to) == Some(number) {
            Direction::Published
        } else {
            Direction::Outbound
        }
    }

    pub(super) fn decision(&self, policy: &Policy, number: usize, direction: Direction) -> (FirewallStep, Decision) {
        let known = Address::Given(self.packet.destination);
        let address = match self.host {
            Some(_) if self.is_assumed => Address::Unknown,
            Some(_) => Address::Override(self.packet.destination),
            None => known,
        };
        let query = Query {
            client: Some(self.packet.source),
            protocol: self.packet.protocol,
            name: self.host.filter(|_| direction == Direction::Outbound),
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
            firewall: self.scene.network.topology().firewalls[number].name.clone(),
            verdict: decision.verdict,
            reason: decision.reason,
            rule: decision.rule.map(|rule| policy.rule_name(rule).to_string()),
            at: decision.rule.and_then(|rule| written(policy, rule)).unwrap_or_default(),
            hint: nearest.or(closed).or(open),
        };
        (step, decision)
    }

    /// Let through: whose address it has from here on depends on who let it through.
    pub(super) fn pass(&mut self, policy: &Policy, number: usize, decision: &Decision) -> Next {
        let firewall = &self.scene.network.topology().firewalls[number];
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
            self.packet.source = seen.unwrap_or_else(|| self.book.of_firewall(firewall));
            let (from, to) = (self.shown(before.source), self.shown(self.packet.source));
            self.tell(Step::Translation(Translation { what: Translates::Source, from, to }));
        }
        self.records.push(Record { keeper: Keeper::Firewall(number), before, after: self.packet, is_used: false });
        self.beyond(number)
    }

    /// What it sends itself: a question, a reply, a probe's answer. It has no security group (azure-docs,
    /// firewall-faq.yml: none is needed or taken there).
    pub(super) fn leave_firewall(&mut self, number: usize) -> Next {
        let firewall = &self.scene.network.topology().firewalls[number];
        let place = self.scene.network.place(&firewall.virtual_network, &firewall.subnet);
        match place.filter(|_| AddrClass::of(self.packet.destination) == AddrClass::Metadata) {
            Some(place) => self.reach_host(place),
            None => self.beyond(number),
        }
    }

    /// By the routes of the firewall's own subnet.
    pub(super) fn beyond(&mut self, number: usize) -> Next {
        let firewall = &self.scene.network.topology().firewalls[number];
        match self.scene.network.place(&firewall.virtual_network, &firewall.subnet) {
            Some(place) => self.forward(place),
            None if AddrClass::of(self.packet.destination) == AddrClass::Global => Next::Go(At::Internet),
            None => self.enter_network(&firewall.virtual_network),
        }
    }
}

fn written(policy: &Policy, rule: RuleId) -> Option<Spot> {
    let rules = in_order(policy.rules());
    let rule = rules.get(usize::try_from(rule.0).ok()?)?.rule;
    Some(match rule {
        AnyRule::Dnat(rule) => rule.about.at,
        AnyRule::Network(_, rule) => rule.about.at,
        AnyRule::Application(_, rule) | AnyRule::Infrastructure(rule) => rule.about.at,
    })
}
