//! Random policies and flows, for the tests of whatever takes a policy.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::flow::{Host, HostName, PortSet, Protocol};

use super::*;

fn address_set() -> impl Strategy<Value = AddressSet> {
    let entry = select(vec![
        "*",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3",
        "10.1.2.0-10.1.2.9",
        "40.77.24.27",
        "40.0.0.0/6",
        "127.0.0.0/8",
        "127.0.0.1",
        "169.254.169.254",
        "2001:db8::/32",
        "::/0",
        "0.0.0.0/1",
        "10.1.2.3-40.77.24.27",
    ]);
    let group = prop_oneof![9 => Just(None), 1 => Just(Some(false)), 1 => Just(Some(true))];
    (vec(entry, 1..3), group).prop_map(|(entries, group)| {
        let mut set = AddressSet::default();
        entries.iter().for_each(|entry| set.insert_text(entry).unwrap());
        if let Some(filled) = group {
            let ranges: &[AddressRange] = if filled { &["192.168.0.0/16".parse().unwrap()] } else { &[] };
            set.insert_named(NamedRanges { name: "group".into(), kind: NamedKind::IpGroup, ranges: ranges.into() });
        }
        set
    })
}

fn sources() -> impl Strategy<Value = AddressSet> {
    prop_oneof![Just(AddressSet::any()), address_set()]
}

fn port_set() -> impl Strategy<Value = PortSet> {
    let range = select(vec!["*", "80", "443", "1433", "400-500", "1-1024", "443-65535"]);
    vec(range, 1..3).prop_map(|texts| texts.iter().map(|text| text.parse().unwrap()).collect())
}

fn fqdn() -> impl Strategy<Value = FqdnPattern> {
    select(vec![
        "*",
        "a.test",
        "b.a.test",
        "*.a.test",
        "*a.test",
        "*.test",
        "*test",
        "glob:*a*.test",
        "glob:b?a.test",
        "evila.test",
        "glob:*",
        "glob:x*",
        "*.b.a.test",
    ])
    .prop_map(|text| FqdnPattern::parse(text).unwrap())
}

fn app_protocol() -> impl Strategy<Value = AppProtocol> {
    (select(vec![Protocol::Http, Protocol::Https, Protocol::Mssql]), select(vec![80, 443, 1433]))
        .prop_map(|(protocol, port)| AppProtocol { protocol, port })
}

fn application_rule() -> impl Strategy<Value = ApplicationRule> {
    let tag =
        vec((fqdn(), app_protocol()), 0..3).prop_map(|members| FqdnTag { name: "Tag".into(), members: members.into() });
    let url = select(vec!["a.test/x", "*.a.test/x/*", "b.a.test"]).prop_map(|url| UrlPattern::parse(url).unwrap());
    let tags = prop_oneof![4 => Just(Vec::new()), 1 => vec(tag, 1..3)];
    let urls = prop_oneof![4 => Just(Vec::new()), 1 => vec(url, 1..3)];
    let category =
        vec(fqdn(), 0..3).prop_map(|members| WebCategory { name: "Category".into(), members: members.into() });
    let categories = prop_oneof![4 => Just(Vec::new()), 1 => vec(category, 1..3)];
    (sources(), vec(app_protocol(), 1..3), vec(fqdn(), 0..3), tags, urls, categories).prop_map(
        |(sources, protocols, fqdns, tags, urls, categories)| ApplicationRule {
            name: "app".into(),
            sources,
            protocols,
            fqdns,
            tags,
            urls,
            categories,
            ..ApplicationRule::default()
        },
    )
}

fn ip_protocols() -> impl Strategy<Value = IpProtocols> {
    vec(select(vec![IpProtocols::TCP, IpProtocols::UDP, IpProtocols::ICMP, IpProtocols::ANY]), 1..3)
        .prop_map(|all| all.into_iter().fold(IpProtocols::default(), IpProtocols::union))
}

fn network_rule() -> impl Strategy<Value = NetworkRule> {
    let fqdns = vec(select(vec!["a.test", "b.a.test"]), 0..2);
    let destinations = prop_oneof![address_set(), Just(AddressSet::default())];
    (sources(), ip_protocols(), destinations, fqdns, port_set()).prop_map(
        |(sources, protocols, destinations, fqdns, ports)| NetworkRule {
            name: "net".into(),
            sources,
            protocols,
            destinations,
            fqdns: fqdns.into_iter().map(|name| HostName::parse(name).unwrap()).collect(),
            ports,
            ..NetworkRule::default()
        },
    )
}

fn dnat_rule() -> impl Strategy<Value = DnatRule> {
    let protocols = select(vec![IpProtocols::TCP, IpProtocols::UDP, IpProtocols::TCP.union(IpProtocols::UDP)]);
    (sources(), protocols, address_set(), port_set()).prop_map(|(sources, protocols, destinations, ports)| DnatRule {
        name: "dnat".into(),
        sources,
        protocols,
        destinations,
        ports,
        translated: Translated { host: Host::Addr("10.0.0.1".parse().unwrap()), port: 8080 },
        about: About::default(),
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let action = || select(vec![Action::Allow, Action::Deny]);
    prop_oneof![
        1 => vec(dnat_rule(), 0..2).prop_map(Rules::Dnat),
        4 => (action(), vec(network_rule(), 0..3)).prop_map(|(action, rules)| Rules::Network(action, rules)),
        6 => (action(), vec(application_rule(), 0..3)).prop_map(|(action, rules)| Rules::Application(action, rules)),
    ]
}

pub(crate) fn rule_set() -> impl Strategy<Value = RuleSet> {
    let priority = || select(vec![100_i64, 200, 300]).prop_map(|p| Priority::try_from(p).unwrap());
    let collection = (priority(), rules()).prop_map(|(priority, rules)| RuleCollection {
        name: "rc".into(),
        priority,
        rules,
        at: Spot::nowhere(),
    });
    let group = (priority(), vec(collection, 0..4)).prop_map(|(priority, collections)| RuleCollectionGroup {
        name: "rcg".into(),
        priority,
        collections,
        at: Spot::nowhere(),
    });
    let policy = vec(group, 0..3).prop_map(|groups| PolicyRules { name: "p".into(), groups, ..PolicyRules::default() });
    let endpoint = ServiceEndpoint {
        service: "Microsoft.Storage".into(),
        zones: vec![HostName::parse("b.a.test").unwrap()],
        ranges: ["40.77.24.0/24".parse().unwrap()].into(),
        ports: ["443".parse().unwrap()].into_iter().collect(),
    };
    let endpoints = prop_oneof![3 => Just(Vec::new()), 1 => Just(vec![endpoint])];
    (vec(policy, 1..3), vec(application_rule(), 0..2), endpoints, threat_intel()).prop_map(
        |(policies, infrastructure, service_endpoints, threat_intel)| RuleSet {
            policies,
            infrastructure,
            service_endpoints,
            threat_intel,
        },
    )
}

fn threat_intel() -> impl Strategy<Value = ThreatIntel> {
    let signs = vec![
        "a.test",
        "*.a.test",
        "*a.test",
        "x.example",
        "10.1.2.3",
        "10.9.0.0/16",
        "40.0.0.0-41.255.255.255",
        "2001:db8::/32",
        "8.8.8.8",
        "a.test/x",
        "a.test/x/*",
        "*.a.test/",
        "b.a.test/*",
        "*.test/x",
    ];
    let sign = select(signs).prop_map(|text| Indicator { sign: Sign::parse(text).unwrap(), description: text.into() });
    let mode = select(ThreatMode::ALL.to_vec());
    let indicators = prop_oneof![1 => Just(Vec::new()), 3 => vec(sign, 1..5)];
    let allowed_fqdns = prop_oneof![2 => Just(Vec::new()), 1 => vec(fqdn(), 1..3)];
    let allowed_addresses = prop_oneof![2 => Just(AddressSet::default()), 1 => address_set()];
    (mode, indicators, allowed_fqdns, allowed_addresses).prop_map(
        |(mode, indicators, allowed_fqdns, allowed_addresses)| ThreatIntel {
            mode,
            allowed_fqdns,
            allowed_addresses,
            feed: Arc::new(Feed::new(indicators)),
        },
    )
}

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) client: Option<IpAddr>,
    pub(crate) protocol: Protocol,
    pub(crate) name: Option<HostName>,
    pub(crate) address: Address,
    pub(crate) dialled: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) direction: Direction,
    pub(crate) resolved: Vec<HostName>,
    pub(crate) path: Option<&'static str>,
}

impl Asked {
    pub(crate) fn query(&self) -> Query<'_> {
        Query {
            client: self.client,
            protocol: self.protocol,
            name: self.name.as_ref(),
            address: self.address,
            dialled: self.dialled,
            port: self.port,
            direction: self.direction,
            resolved: &self.resolved,
            path: self.path,
        }
    }
}

pub(crate) fn asked() -> impl Strategy<Value = Asked> {
    let ip = || {
        select(vec![
            "10.1.2.3",
            "10.1.2.9",
            "10.9.0.1",
            "40.77.24.27",
            "41.0.0.1",
            "127.0.0.1",
            "127.1.0.1",
            "169.254.169.254",
            "192.168.1.1",
            "8.8.8.8",
            "2001:db8::1",
            "fd00::1",
            "::1",
        ])
        .prop_map(|text| text.parse::<IpAddr>().unwrap())
    };
    let protocols = vec![
        Protocol::Http,
        Protocol::Https,
        Protocol::Mssql,
        Protocol::Tcp,
        Protocol::Udp,
        Protocol::Icmp,
        Protocol::Other,
    ];
    let name = select(vec!["a.test", "b.a.test", "c.b.a.test", "evila.test", "bxa.test", "test", "x.example"]);
    let address = prop_oneof![ip().prop_map(Address::Given), ip().prop_map(Address::Override)];
    let host = prop_oneof![
        (name.clone(), prop_oneof![Just(Address::Unknown), address.clone()])
            .prop_map(|(name, address)| (Some(HostName::parse(name).unwrap()), address)),
        address.prop_map(|address| (None, address)),
    ];
    let resolved =
        vec(select(vec!["a.test", "b.a.test", "test"]).prop_map(|name| HostName::parse(name).unwrap()), 0..3);
    let path = select(vec![None, Some("/x"), Some("/x/y?q"), Some("/"), Some("/x/../y")]);
    let port = select(vec![80, 443, 1433, 450, 22]);
    let direction = select(vec![Direction::Inbound, Direction::Published, Direction::Outbound]);
    let ends = (prop::option::of(ip()), prop::option::weighted(0.2, ip()));
    (ends, select(protocols), host, port, direction, path, resolved).prop_map(
        |((client, dialled), protocol, (name, address), port, direction, path, resolved)| Asked {
            client,
            protocol,
            name,
            address,
            dialled,
            port,
            direction,
            resolved,
            path,
        },
    )
}
