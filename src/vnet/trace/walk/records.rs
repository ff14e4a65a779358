//! Addresses become others, and back again on the reply.

use std::net::IpAddr;

use super::super::outcome::Leg;
use super::super::path::{Step, Translates, Translation};
use super::{Keeper, Packet, Record, Walk};

impl Walk<'_, '_> {
    pub(super) fn translate_source(&mut self, keeper: Keeper, to: IpAddr) {
        let before = self.packet;
        self.packet.source = to;
        self.tell(Step::Translation(Translation {
            what: Translates::Source,
            from: self.shown(before.source),
            to: self.shown(to),
        }));
        self.records.push(Record { keeper, before, after: self.packet, is_used: false });
    }

    pub(super) fn translate_destination(&mut self, keeper: Keeper, to: IpAddr, port: u16) {
        let before = self.packet;
        self.packet.destination = to;
        self.packet.destination_port = port;
        self.tell(Step::Translation(Translation {
            what: Translates::Destination,
            from: self.shown(before.destination),
            to: self.shown(to),
        }));
        self.records.push(Record { keeper, before, after: self.packet, is_used: false });
    }

    /// The packet as it was before somebody translated it, the other way round, if this is a reply to it.
    pub(super) fn take_record(&mut self, keeper: Keeper) -> Option<Packet> {
        let (leg, wanted) = (self.leg, self.packet.reversed());
        let fits = |it: &&mut Record| leg == Leg::Reply && it.keeper == keeper && it.after == wanted && !it.is_used;
        let record = self.records.iter_mut().find(fits)?;
        record.is_used = true;
        Some(record.before.reversed())
    }

    pub(super) fn give_back(&mut self, back: Packet) {
        let (from, to) = if back.source == self.packet.source {
            (self.packet.destination, back.destination)
        } else {
            (self.packet.source, back.source)
        };
        if from != to {
            let (from, to) = (self.shown(from), self.shown(to));
            self.tell(Step::Translation(Translation { what: Translates::Back, from, to }));
        }
        self.packet = back;
    }
}
