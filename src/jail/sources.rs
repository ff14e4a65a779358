//! The addresses that the command's connections come from: one of each family, and no other has a way out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Who the command is to rules with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
}

/// A loopback address would not do: the kernel loses the answers to it. These are for sources only and never a
/// destination (RFC 7600 and RFC 9780), so they hide nobody.
impl Default for Sources {
    fn default() -> Sources {
        Sources { v4: Ipv4Addr::new(192, 0, 0, 8), v6: Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 8) }
    }
}

impl Sources {
    /// This address, and the usual one of the other family. None where no machine has such an address.
    pub fn of(address: IpAddr) -> Option<Sources> {
        let usual = Sources::default();
        match address {
            IpAddr::V4(v4) => is_a_machines(v4).then_some(Sources { v4, ..usual }),
            IpAddr::V6(v6) => is_a_machines_v6(v6).then_some(Sources { v6, ..usual }),
        }
    }
}

fn is_a_machines(address: Ipv4Addr) -> bool {
    let reserved = address.octets()[0] == 0 || address.octets()[0] >= 240;
    !(reserved || address.is_loopback() || address.is_multicast() || address.is_link_local())
}

fn is_a_machines_v6(address: Ipv6Addr) -> bool {
    let mapped = address.to_ipv4_mapped().is_some();
    !(mapped
        || address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machines_address_stands_beside_the_usual_one_of_the_other_family() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let sources = Sources::of(text.parse().unwrap());
            let shown = sources.map(|it| (it.v4.to_string(), it.v6.to_string()));
            assert_eq!(shown, expected.map(|(v4, v6)| (v4.to_owned(), v6.to_owned())), "{text}");
        };
        check("10.0.1.4", Some(("10.0.1.4", "100:0:0:1::8")));
        check("2001:db8::4", Some(("192.0.0.8", "2001:db8::4")));
        for nobodys in ["0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"] {
            check(nobodys, None);
        }
        check("fe80::1", None);
        check("::ffff:10.0.1.4", None);
    }
}
