//! An address of its own for each name, out of a network that nothing else uses: what connects to it says which name
//! it means, and a lab needs no name server at all.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::RecordType;
use ipnet::IpNet;

use crate::flow::HostName;

/// Names at once; beyond it, as where the network has no more addresses, the name that was asked for longest ago loses
/// its address, unless a client may still mean it: then the question *fails*.
const NAMES: u32 = 65_536;

/// Seconds that a client may keep an address: another name may have it one day.
pub(crate) const SYNTHETIC_TTL: u32 = 10;

/// How long after the last answer nobody else gets an address: its time to live, and what a client takes to connect.
const HELD: Duration = Duration::from_secs(SYNTHETIC_TTL as u64 + 20);

/// Names and addresses, one to one, for as long as the process runs.
#[derive(Debug)]
pub(crate) struct Synthetic {
    net: IpNet,
    names: RwLock<Names>,
}

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<HostName, Given>,
    by_addr: HashMap<IpAddr, HostName>,
    /// By the time of the last question.
    order: BTreeMap<u64, HostName>,
    next_use: u64,
}

#[derive(Debug, Clone, Copy)]
struct Given {
    addr: IpAddr,
    used: u64,
    at: Instant,
}

impl Synthetic {
    pub(crate) fn new(net: IpNet) -> Synthetic {
        Synthetic { net: net.trunc(), names: RwLock::default() }
    }

    /// The kind of question that has an answer here.
    pub(crate) fn kind(&self) -> RecordType {
        match self.net {
            IpNet::V4(_) => RecordType::A,
            IpNet::V6(_) => RecordType::AAAA,
        }
    }

    /// The name's address: the same one again, or the next that is free. None where all may still be meant.
    pub(crate) fn address_of(&self, name: &HostName, now: Instant) -> Option<IpAddr> {
        // Whole between any two of its operations.
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let given = names.by_name.get(name).copied();
        let addr = match given {
            Some(Given { addr, used, at: _ }) => {
                names.order.remove(&used);
                addr
            }
            None if names.by_addr.len() < self.room() => self.nth(names.by_addr.len()),
            None => names.take_oldest(now)?,
        };
        names.give(name, addr, now);
        Some(addr)
    }

    pub(crate) fn name_of(&self, addr: IpAddr) -> Option<HostName> {
        if !self.net.contains(&addr) {
            return None;
        }
        self.names.read().unwrap_or_else(PoisonError::into_inner).by_addr.get(&addr).cloned()
    }

    /// Addresses that can be given: not the first, which names the network, nor the last, which is for broadcasts.
    fn room(&self) -> usize {
        let bits = u32::from(self.net.max_prefix_len() - self.net.prefix_len());
        let addresses = 1_u128.checked_shl(bits).unwrap_or(u128::MAX);
        usize::try_from(addresses.saturating_sub(2).min(NAMES.into())).unwrap_or(0)
    }

    fn nth(&self, number: usize) -> IpAddr {
        let offset = number as u128 + 1;
        match self.net {
            IpNet::V4(net) => {
                let offset = u32::try_from(offset).unwrap_or(1);
                Ipv4Addr::from(u32::from(net.network()).saturating_add(offset)).into()
            }
            IpNet::V6(net) => Ipv6Addr::from(u128::from(net.network()).saturating_add(offset)).into(),
        }
    }
}

impl Names {
    /// Where there is no room left: the address of the name that was asked for longest ago.
    fn take_oldest(&mut self, now: Instant) -> Option<IpAddr> {
        let (_, oldest) = self.order.first_key_value()?;
        let Given { addr, used, at } = *self.by_name.get(oldest)?;
        if now.saturating_duration_since(at) < HELD {
            return None;
        }
        let oldest = self.order.remove(&used)?;
        self.by_name.remove(&oldest);
        self.by_addr.remove(&addr);
        Some(addr)
    }

    fn give(&mut self, name: &HostName, addr: IpAddr, now: Instant) {
        let used = self.next_use;
        self.next_use += 1;
        self.order.insert(used, name.clone());
        self.by_name.insert(name.clone(), Given { addr, used, at: now });
        self.by_addr.insert(addr, name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    /// What a name gets when it is asked for after so many seconds.
    fn synthetic(net: &str) -> impl Fn(&str, u64) -> String {
        let (synthetic, start) = (Synthetic::new(net.parse().unwrap()), Instant::now());
        move |text, seconds| {
            let addr = synthetic.address_of(&name(text), start + Duration::from_secs(seconds));
            let Some(addr) = addr else { return "none".to_owned() };
            assert_eq!(synthetic.name_of(addr), Some(name(text)));
            addr.to_string()
        }
    }

    #[test]
    fn the_same_address_for_as_long_as_there_is_room() {
        let of = synthetic("198.18.0.0/15");
        assert_eq!(["a.test", "b.test", "a.test"].map(|name| of(name, 0)), ["198.18.0.1", "198.18.0.2", "198.18.0.1"]);
        let of = synthetic("2001:db8::/64");
        assert_eq!(["a.test", "b.test"].map(|name| of(name, 0)), ["2001:db8::1", "2001:db8::2"]);
    }

    #[test]
    fn a_full_network_takes_from_the_name_that_was_asked_for_longest_ago() {
        let of = synthetic("192.0.2.248/29");
        let first = ["a.test", "b.test", "c.test", "d.test", "e.test", "f.test"].map(|name| of(name, 0));
        assert_eq!((first[0].as_str(), first[5].as_str()), ("192.0.2.249", "192.0.2.254"), "neither .248 nor .255");
        let later = ["a.test", "g.test", "a.test"].map(|name| of(name, 60));
        assert_eq!(later, ["192.0.2.249", "192.0.2.250", "192.0.2.249"]);
        assert_eq!(of("b.test", 60), "192.0.2.251", "its own went to g");
    }

    #[test]
    fn no_address_is_taken_that_a_client_may_still_mean() {
        let of = synthetic("192.0.2.248/30");
        assert_eq!(["a.test", "b.test", "c.test"].map(|name| of(name, 0)), ["192.0.2.249", "192.0.2.250", "none"]);
        assert_eq!(["a.test", "c.test"].map(|name| of(name, 20)), ["192.0.2.249", "none"]);
        assert_eq!(["c.test", "d.test"].map(|name| of(name, 30)), ["192.0.2.250", "none"], "a was asked for since");
        assert_eq!(of("d.test", 50), "192.0.2.249");
        assert_eq!(synthetic("192.0.2.1/32")("a.test", 0), "none");
    }

    #[test]
    fn an_address_that_was_given_to_nobody_has_no_name() {
        let synthetic = Synthetic::new("198.18.0.0/15".parse().unwrap());
        synthetic.address_of(&name("a.test"), Instant::now());
        for addr in ["198.18.0.0", "198.18.0.2", "198.20.0.1", "2001:db8::1"] {
            assert_eq!(synthetic.name_of(addr.parse().unwrap()), None, "{addr}");
        }
    }
}
