//! An address of its own for each name, out of a network that nothing else uses: what connects to it says which name
//! it means, and a lab needs no name server at all.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{PoisonError, RwLock};

use hickory_resolver::proto::rr::RecordType;
use ipnet::IpNet;

use crate::flow::HostName;

/// Names at once; beyond it, as where the network has no more addresses, the name that was asked for longest ago loses
/// its address.
const NAMES: u32 = 65_536;

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

    /// The name's address: the same one again, or the next that is free.
    pub(crate) fn address_of(&self, name: &HostName) -> IpAddr {
        // Whole between any two of its operations.
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let given = names.by_name.get(name).copied();
        let addr = match given {
            Some(Given { addr, used }) => {
                names.order.remove(&used);
                addr
            }
            None => names.take_oldest(self.room()).unwrap_or_else(|| self.nth(names.by_addr.len())),
        };
        names.give(name, addr);
        addr
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
    fn take_oldest(&mut self, room: usize) -> Option<IpAddr> {
        if self.by_addr.len() < room {
            return None;
        }
        let (_, oldest) = self.order.pop_first()?;
        let Given { addr, .. } = self.by_name.remove(&oldest)?;
        self.by_addr.remove(&addr);
        Some(addr)
    }

    fn give(&mut self, name: &HostName, addr: IpAddr) {
        let used = self.next_use;
        self.next_use += 1;
        self.order.insert(used, name.clone());
        self.by_name.insert(name.clone(), Given { addr, used });
        self.by_addr.insert(addr, name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    fn synthetic(net: &str) -> impl Fn(&str) -> String {
        let synthetic = Synthetic::new(net.parse().unwrap());
        move |text| {
            let addr = synthetic.address_of(&name(text));
            assert_eq!(synthetic.name_of(addr), Some(name(text)));
            addr.to_string()
        }
    }

    #[test]
    fn the_same_address_for_as_long_as_there_is_room() {
        let of = synthetic("198.18.0.0/15");
        assert_eq!(["a.test", "b.test", "a.test"].map(&of), ["198.18.0.1", "198.18.0.2", "198.18.0.1"]);
        let of = synthetic("2001:db8::/64");
        assert_eq!(["a.test", "b.test"].map(&of), ["2001:db8::1", "2001:db8::2"]);
    }

    #[test]
    fn a_full_network_takes_from_the_name_that_was_asked_for_longest_ago() {
        let of = synthetic("192.0.2.248/29");
        let first: Vec<String> = ["a.test", "b.test", "c.test", "d.test", "e.test", "f.test"].map(&of).into();
        assert_eq!((first[0].as_str(), first[5].as_str()), ("192.0.2.249", "192.0.2.254"), "neither .248 nor .255");
        assert_eq!(["a.test", "g.test", "a.test"].map(&of), ["192.0.2.249", "192.0.2.250", "192.0.2.249"]);
        assert_eq!(of("b.test"), "192.0.2.251", "its own went to g");
    }

    #[test]
    fn an_address_that_was_given_to_nobody_has_no_name() {
        let synthetic = Synthetic::new("198.18.0.0/15".parse().unwrap());
        synthetic.address_of(&name("a.test"));
        for addr in ["198.18.0.0", "198.18.0.2", "198.20.0.1", "2001:db8::1"] {
            assert_eq!(synthetic.name_of(addr.parse().unwrap()), None, "{addr}");
        }
    }
}
