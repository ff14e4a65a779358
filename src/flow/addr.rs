//! What kind of address an address is, whatever it is wrapped in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The classes that matter to a firewall. Anything but `Global` is reached only on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddrClass {
    Global,
    /// RFC 1918, RFC 6598 (100.64.0.0/10) and fc00::/7: networks of one's own.
    Private,
    /// 198.18.0.0/15, for benchmarks (RFC 2544).
    Benchmark,
    Loopback,
    LinkLocal,
    /// The platform's own: 169.254.169.254 (IMDS), 168.63.129.16 (Azure DNS, health probes), fd00:ec2::254.
    Metadata,
    Unspecified,
    Multicast,
    Reserved,
}

impl AddrClass {
    /// Classifies an address by the most dangerous thing it can lead to: an IPv6 address that embeds an IPv4
    /// one (mapped, compatible, NAT64, 6to4, Teredo) is never safer than what it embeds.
    pub fn of(addr: IpAddr) -> AddrClass {
        match addr {
            IpAddr::V4(v4) => of_v4(v4),
            IpAddr::V6(v6) => match embedded_ipv4(v6) {
                Some(v4) if of_v4(v4) != AddrClass::Global => of_v4(v4),
                _ => of_v6(v6),
            },
        }
    }

    /// True for what no rule reaches unless it names it: neither the internet nor a network of one's own.
    pub fn is_never_a_destination(self) -> bool {
        !matches!(self, AddrClass::Global | AddrClass::Private | AddrClass::Benchmark)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            AddrClass::Global => "global",
            AddrClass::Private => "private",
            AddrClass::Benchmark => "benchmark",
            AddrClass::Loopback => "loopback",
            AddrClass::LinkLocal => "link-local",
            AddrClass::Metadata => "metadata",
            AddrClass::Unspecified => "unspecified",
            AddrClass::Multicast => "multicast",
            AddrClass::Reserved => "reserved",
        }
    }
}

const IMDS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
const AWS_IMDS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

fn of_v4(addr: Ipv4Addr) -> AddrClass {
    let [a, b, c, _] = addr.octets();
    match (a, b, c) {
        _ if addr == IMDS || addr == WIRE_SERVER => AddrClass::Metadata,
        (0, _, _) => AddrClass::Unspecified,
        (127, _, _) => AddrClass::Loopback,
        (169, 254, _) => AddrClass::LinkLocal,
        (10, _, _) | (192, 168, _) => AddrClass::Private,
        (172, 16..=31, _) | (100, 64..=127, _) => AddrClass::Private,
        (198, 18..=19, _) => AddrClass::Benchmark,
        (224..=239, _, _) => AddrClass::Multicast,
        (240..=255, _, _) | (192, 0, 0) => AddrClass::Reserved,
        _ => AddrClass::Global,
    }
}

fn of_v6(addr: Ipv6Addr) -> AddrClass {
    let first = addr.segments()[0];
    match first {
        _ if addr == AWS_IMDS => AddrClass::Metadata,
        _ if addr.is_unspecified() => AddrClass::Unspecified,
        _ if addr.is_loopback() => AddrClass::Loopback,
        _ if first & 0xffc0 == 0xfe80 => AddrClass::LinkLocal,
        // Site-local, deprecated by RFC 3879, still routed by some.
        _ if first & 0xffc0 == 0xfec0 => AddrClass::Private,
        _ if first & 0xfe00 == 0xfc00 => AddrClass::Private,
        _ if first & 0xff00 == 0xff00 => AddrClass::Multicast,
        0x64 if addr.segments()[1] == 0xff9b => of_nat64(addr),
        0 => AddrClass::Reserved,
        _ => AddrClass::Global,
    }
}

/// 64:ff9b::/96 leads where the IPv4 address inside leads; 64:ff9b:1::/48 is a network's own (RFC 8215), and
/// where in it the IPv4 address stands is that network's choice.
fn of_nat64(addr: Ipv6Addr) -> AddrClass {
    if addr.segments()[2..6] == [0, 0, 0, 0] { AddrClass::Global } else { AddrClass::Reserved }
}

/// The IPv4 address that an IPv6 address carries, if it is of a form that carries one.
pub fn embedded_ipv4(addr: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = addr.segments();
    let from = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        // ::ffff:a.b.c.d, and the obsolete ::ffff:0:a.b.c.d (SIIT)
        [0, 0, 0, 0, 0, 0xffff, h, l] | [0, 0, 0, 0, 0xffff, 0, h, l] => Some(from(h, l)),
        // ::a.b.c.d, but for :: and ::1
        [0, 0, 0, 0, 0, 0, h, l] if h != 0 || l > 1 => Some(from(h, l)),
        // NAT64 (RFC 6052)
        [0x64, 0xff9b, 0, 0, 0, 0, h, l] => Some(from(h, l)),
        // 6to4 (RFC 3056)
        [0x2002, h, l, ..] => Some(from(h, l)),
        // Teredo (RFC 4380): the client's address, every bit turned
        [0x2001, 0, _, _, _, _, h, l] => Some(from(!h, !l)),
        // ISATAP (RFC 5214)
        [_, _, _, _, 0 | 0x200, 0x5efe, h, l] => Some(from(h, l)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(addr: &str, class: AddrClass) {
        assert_eq!(AddrClass::of(addr.parse().unwrap()), class, "{addr}");
    }

    #[test]
    fn classes() {
        for addr in ["1.1.1.1", "40.77.24.27", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::", "192.0.2.1"] {
            check(addr, AddrClass::Global);
        }
        for addr in ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd00::1", "fec0::1"] {
            check(addr, AddrClass::Private);
        }
        for addr in ["169.254.169.254", "168.63.129.16", "fd00:ec2::254"] {
            check(addr, AddrClass::Metadata);
        }
        check("127.255.0.1", AddrClass::Loopback);
        check("::1", AddrClass::Loopback);
        check("0.0.0.0", AddrClass::Unspecified);
        check("0.1.2.3", AddrClass::Unspecified);
        check("::", AddrClass::Unspecified);
        check("169.254.0.1", AddrClass::LinkLocal);
        check("fe80::1", AddrClass::LinkLocal);
        check("198.18.0.1", AddrClass::Benchmark);
        check("239.1.1.1", AddrClass::Multicast);
        check("ff02::1", AddrClass::Multicast);
        check("255.255.255.255", AddrClass::Reserved);
        check("64:ff9b:1::1", AddrClass::Reserved);
    }

    #[test]
    fn every_wrapping_of_the_metadata_address() {
        for addr in [
            "::ffff:169.254.169.254",
            "::ffff:0:169.254.169.254",
            "::a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "2001:0:1:2:3:4:5601:5601",
            "fe80::5efe:a9fe:a9fe",
        ] {
            check(addr, AddrClass::Metadata);
        }
        check("::7f00:1", AddrClass::Loopback);
        check("2002:7f00:1::", AddrClass::Loopback);
        check("2002:a00:1::", AddrClass::Private);
    }
}
