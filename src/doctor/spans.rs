//! Sets of IPv4 addresses: what of one is not in another, and how much that is.

use std::net::{IpAddr, Ipv4Addr};

use crate::flow::AddrClass;
use crate::policy::AddressRange;
use crate::vnet::{HOST, Ranges};

use super::Patient;
use super::ways;

/// Ends of the stretches of the Internet: what lies between is set aside.
const INTERNET: [(u32, u32); 9] = [
    (net(1, 0, 0), net(10, 0, 0)),
    (net(11, 0, 0), net(100, 64, 0)),
    (net(100, 128, 0), net(127, 0, 0)),
    (net(128, 0, 0), net(169, 254, 0)),
    (net(169, 255, 0), net(172, 16, 0)),
    (net(172, 32, 0), net(192, 0, 0)),
    (net(192, 0, 1), net(192, 168, 0)),
    (net(192, 169, 0), net(198, 18, 0)),
    (net(198, 20, 0), net(224, 0, 0)),
];

const fn net(first: u32, second: u32, third: u32) -> u32 {
    first << 24 | second << 16 | third << 8
}

/// Every address of the Internet, but for those that the networks around the environment have: whatever a service tag
/// says.
pub(super) fn internet(patient: &Patient<'_>) -> Vec<AddressRange> {
    let all = INTERNET.iter().filter_map(|(from, until)| range(*from, until - 1));
    let host = AddressRange::from(HOST);
    without(all, &[near(patient), vec![host]].concat())
}

/// The addresses of the network, of those that it peers with and of one's own premises.
pub(super) fn near(patient: &Patient<'_>) -> Vec<AddressRange> {
    let own = patient.network.virtual_network(patient.place);
    let peers = own.peerings.iter().filter(|it| it.allow_virtual_network_access);
    let peers = peers.flat_map(|peering| patient.network.remote_space(peering));
    let premises = ways::gateway(patient).into_iter().flat_map(|gateway| &gateway.routes).copied();
    let nets = own.address_space.iter().copied().chain(peers).chain(premises.filter(|net| net.prefix_len() > 0));
    let ranges = nets.filter_map(|net| AddressRange::between(net.network(), net.broadcast()));
    joined(ranges.filter(|range| range.first().is_ipv4()))
}

fn range(first: u32, last: u32) -> Option<AddressRange> {
    let address = |bits: u32| IpAddr::V4(Ipv4Addr::from_bits(bits));
    AddressRange::between(address(first), address(last))
}

fn set(ranges: impl IntoIterator<Item = AddressRange>) -> Ranges {
    ranges.into_iter().filter(|range| range.first().is_ipv4()).collect()
}

/// In order, and no two of them overlap or touch. Without those of IPv6.
pub(super) fn joined(ranges: impl IntoIterator<Item = AddressRange>) -> Vec<AddressRange> {
    set(ranges).as_slice().to_vec()
}

/// What of some ranges is in none of the others.
pub(super) fn without(ranges: impl IntoIterator<Item = AddressRange>, others: &[AddressRange]) -> Vec<AddressRange> {
    set(ranges).minus(&set(others.iter().copied())).as_slice().to_vec()
}

/// What two sets share.
pub(super) fn shared(ranges: &[AddressRange], others: &[AddressRange]) -> Vec<AddressRange> {
    without(ranges.iter().copied(), &without(ranges.iter().copied(), others))
}

pub(super) fn size(ranges: &[AddressRange]) -> u64 {
    ranges.iter().map(|range| ways::size(*range)).sum()
}

/// Is it an address of the Internet?
pub(super) fn is_public(address: IpAddr) -> bool {
    AddrClass::of(address) == AddrClass::Global
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(texts: &[&str]) -> Vec<AddressRange> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn sets() {
        let check = |ranges: &[&str], others: &[&str], left: &[&str]| {
            let got: Vec<String> = without(parsed(ranges), &parsed(others)).iter().map(ToString::to_string).collect();
            assert_eq!(got, left);
        };
        check(&["10.0.0.0/30", "10.0.0.4/30"], &["10.0.0.3"], &["10.0.0.0-10.0.0.2", "10.0.0.4/30"]);
        check(&["10.0.0.0/24"], &["10.0.0.0/25", "10.0.0.255"], &["10.0.0.128-10.0.0.254"]);
        check(&["10.0.0.0/24"], &["9.0.0.0/8", "11.0.0.0/8"], &["10.0.0.0/24"]);
        check(&["0.0.0.0/0"], &["0.0.0.0/1", "128.0.0.0/1"], &[]);
        check(&["255.255.255.0/24"], &["255.255.255.255"], &["255.255.255.0-255.255.255.254"]);
        check(&["::/0"], &[], &[]);
        assert_eq!(
            shared(&parsed(&["10.0.0.0/24"]), &parsed(&["10.0.0.128/24", "10.0.0.0/31"])),
            parsed(&["10.0.0.0/24"])
        );
        assert_eq!(size(&parsed(&["10.0.0.0/24", "1.2.3.4"])), 257);
    }
}
