//! Which flows leave by a service endpoint: by the zone of the name or by the prefix of the address, on the
//! ports that the service is documented to use.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use crate::flow::{AddrClass, HostName, PortSet, Protocol};

use super::chains::{ChainId, Chains, PerChain};
use super::decision::{Address, Query};
use super::names::{NameIndex, NameIndexBuilder};
use super::pattern::FqdnPattern;
use super::tree::ServiceEndpoint;

pub(super) struct EndpointIndex {
    zones: NameIndex,
    v4: PrefixMap<Ipv4Net, u32>,
    v6: PrefixMap<Ipv6Net, u32>,
    ports: Vec<PortSet>,
}

impl EndpointIndex {
    pub(super) fn build(endpoints: &[ServiceEndpoint]) -> EndpointIndex {
        let mut chains = Chains::new();
        let mut zones = NameIndexBuilder::default();
        let (mut v4, mut v6) = (PrefixMap::<Ipv4Net, ChainId>::new(), PrefixMap::<Ipv6Net, ChainId>::new());
        for (endpoint, number) in endpoints.iter().zip(0..) {
            for zone in &endpoint.zones {
                zones.add(&FqdnPattern::Subdomains(zone.clone()), &mut chains, number);
            }
            for net in endpoint.ranges.iter().flat_map(|range| range.nets()) {
                let chain = match net {
                    IpNet::V4(net) => v4.entry(net).or_insert(0),
                    IpNet::V6(net) => v6.entry(net).or_insert(0),
                };
                *chain = chains.extend(*chain, number);
            }
        }
        let mut ports = PerChain::new();
        let mut ports_of = |chain| {
            ports.get_or_build(chain, || {
                let members = chains.rules(chain);
                members.iter().flat_map(|at| endpoints[*at as usize].ports.ranges().iter().copied()).collect()
            })
        };
        EndpointIndex {
            zones: zones.build(&mut ports_of),
            v4: v4.into_iter().map(|(net, chain)| (net, ports_of(chain))).collect(),
            v6: v6.into_iter().map(|(net, chain)| (net, ports_of(chain))).collect(),
            ports: ports.into_values(),
        }
    }

    pub(super) fn matches(&self, query: &Query<'_>) -> bool {
        if self.ports.is_empty() || !is_tcp(query.protocol) || !is_routed_to_service(query.address) {
            return false;
        }
        let mut found = false;
        let mut look = |ports: u32| found |= self.ports[ports as usize].contains(query.port);
        if let Some(name) = query.name {
            self.zones.visit(name, &mut look);
        }
        match query.address.ip() {
            Some(IpAddr::V4(addr)) => self.v4.cover(&Ipv4Net::from(addr)).for_each(|(_, ports)| look(*ports)),
            Some(IpAddr::V6(addr)) => self.v6.cover(&Ipv6Net::from(addr)).for_each(|(_, ports)| look(*ports)),
            None => {}
        }
        found
    }

    /// Is there an endpoint whose zone holds this name?
    pub(super) fn has_zone_of(&self, name: &HostName) -> bool {
        let mut found = false;
        self.zones.visit(name, |_| found = true);
        found
    }
}

/// The route of a service endpoint has public prefixes only: a name below the service's zone that leads
/// elsewhere (a private endpoint, a lie) meets the firewall like any other.
fn is_routed_to_service(address: Address) -> bool {
    match address {
        Address::Given(addr) => AddrClass::of(addr) == AddrClass::Global,
        Address::Unknown | Address::Override(_) => true,
    }
}

fn is_tcp(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Http | Protocol::Https | Protocol::Mssql | Protocol::Tcp)
}
