//! What the apps need of others, asked on its whole way (`FW-APPDEPS`): the security group, the routes, the firewall.

use crate::flow::{Host, PortRange, Protocol};
use crate::policy::{
    AddressRange, AddressSet, AppProtocol, ApplicationRule, FqdnPattern, IpProtocols, NetworkRule, Spot,
};
use crate::vnet::{AppDependency, AseVersion, Change, FlowDirection, Hop, Prefix, SecurityProtocol, Stage, Transport};

use crate::doctor::filter::{Filtered, Needed, Opening, decider};
use crate::doctor::finding::{Coverage, Finding, Outcome};
use crate::doctor::gate::Gate;
use crate::doctor::outbound::anywhere;
use crate::doctor::ways::{self, Ways};
use crate::doctor::words::{count, some};
use crate::doctor::{Patient, spans};

use super::{APPDEPS, WEB, sources};

pub(super) fn app_dependencies(patient: &Patient<'_>) -> Outcome {
    if patient.environment.app_dependencies.is_empty() {
        return Outcome::not_applicable("no dependencies of apps are named");
    }
    let gate = Gate::of(patient);
    let dependencies = patient.environment.app_dependencies.iter();
    let denied: Vec<Unreached<'_>> =
        dependencies.filter_map(|it| app_dependency(patient, gate.as_ref().ok(), it)).collect();
    if denied.is_empty() {
        return Outcome::Passed;
    }
    let is_firewalls = denied.iter().flat_map(|it| &it.stops).all(|stop| matches!(stop, Stop::Firewall));
    let subnet = patient.network.subnet(patient.place);
    let (name, at) = match &gate {
        Ok(gate) if is_firewalls => gate.name(),
        _ => (subnet.name.clone(), subnet.at),
    };
    let what = format!(
        "{} {} that apps need: {}",
        if is_firewalls { "it denies" } else { "it does not reach" },
        count(denied.len(), "dependency"),
        some(denied.iter().map(|it| shown(it.dependency)))
    );
    let finding = Finding::new(&APPDEPS, at, name, what);
    Outcome::Found(vec![denied.into_iter().enumerate().fold(finding, |it, (nth, lost)| lost.told(patient, nth, it))])
}

/// A dependency of the apps, and all that is in its way.
struct Unreached<'a> {
    dependency: &'a AppDependency,
    stops: Vec<Stop<'a>>,
}

enum Stop<'a> {
    SecurityGroup(Filtered<'a>),
    Route(String),
    Firewall,
}

fn app_dependency<'a>(
    patient: &Patient<'a>,
    gate: Option<&Gate<'_>>,
    dependency: &'a AppDependency,
) -> Option<Unreached<'a>> {
    let AppDependency { protocol, host, port } = dependency;
    let is_denied = gate.is_some_and(|gate| !gate.ask(host, *protocol, *port).is_open());
    let by_group = by_group(patient, dependency).map(Stop::SecurityGroup);
    let by_route = by_route(patient, dependency).map(Stop::Route);
    let stops: Vec<Stop<'_>> =
        by_group.into_iter().chain(by_route).chain(is_denied.then_some(Stop::Firewall)).collect();
    (!stops.is_empty()).then_some(Unreached { dependency, stops })
}

/// A name may lead to any address. Of environments before version 3 the ports of the web are OUT-WEB's.
fn by_group<'a>(patient: &Patient<'a>, dependency: &AppDependency) -> Option<Filtered<'a>> {
    let remote: Vec<AddressRange> = match &dependency.host {
        Host::Addr(address) => vec![AddressRange::from(*address)],
        Host::Name(_) if is_before_v3(patient) && WEB.contains(&dependency.port) => return None,
        Host::Name(_) => anywhere().map(AddressRange::from).collect(),
    };
    let (transports, ports) = ([transport(dependency)], [PortRange::single(dependency.port)]);
    let needed = Needed { direction: FlowDirection::Outbound, transports: &transports, ports: &ports, remote: &remote };
    Some(Filtered::of(patient, &needed)).filter(|it| it.coverage() == Coverage::Missing)
}

fn transport(dependency: &AppDependency) -> Transport {
    if dependency.protocol == Protocol::Udp { Transport::Udp } else { Transport::Tcp }
}

fn is_before_v3(patient: &Patient<'_>) -> bool {
    patient.environment.version != AseVersion::V3
}

/// Where no way leads to it. Of environments before version 3 the default route is RT-DEFAULT's. Whether somebody in the
/// network itself is there is not asked.
fn by_route(patient: &Patient<'_>, dependency: &AppDependency) -> Option<String> {
    let address = match dependency.host {
        Host::Addr(address) => address,
        Host::Name(_) => anywhere().next()?,
    };
    let way = Ways::of(patient).to(address);
    let hop = way.as_ref().map(|way| &way.route.next_hop);
    let is_rt_default = way.as_ref().is_none_or(|way| way.prefix.prefix_len() == 0 && spans::is_public(address));
    if matches!(hop, Some(Hop::VnetLocal)) || (is_before_v3(patient) && is_rt_default) {
        return None;
    }
    let is_name = matches!(dependency.host, Host::Name(_));
    let obstacle = patient.network.obstacle(patient.place, address).filter(|it| it.stage == Stage::Out)?;
    match &way {
        Some(way) if is_name && way.prefix.prefix_len() > 1 => None,
        Some(way) => Some(format!("{}: {}", ways::shown(way), obstacle.why)),
        None => Some(obstacle.why),
    }
}

impl Unreached<'_> {
    fn told(self, patient: &Patient<'_>, nth: usize, finding: Finding) -> Finding {
        let Unreached { dependency, stops } = self;
        let finding = finding.covers(Coverage::Missing, shown(dependency));
        stops.into_iter().fold(finding, |finding, stop| match stop {
            Stop::Firewall => finding.mend(open(patient, dependency)),
            Stop::Route(why) => finding
                .because(why, Spot::nowhere())
                .by_hand("lead what the apps need to where it is: a route, a peering, a gateway"),
            Stop::SecurityGroup(passage) => {
                let by = passage.blocks.first().map(|it| decider(patient, &it.because));
                let (by, at) = by.unwrap_or_default();
                let finding = finding.because(format!("{by} denies it"), at);
                let ports = [PortRange::single(dependency.port)];
                let_out(dependency, nth, &ports).mend(patient, &passage.blocks, finding)
            }
        })
    }
}

fn let_out<'p>(dependency: &AppDependency, nth: usize, ports: &'p [PortRange]) -> Opening<'p> {
    let remote = match dependency.host {
        Host::Addr(address) => Prefix::Net(address.into()),
        Host::Name(_) => Prefix::Any,
    };
    let protocol = match transport(dependency) {
        Transport::Udp => SecurityProtocol::Udp,
        _ => SecurityProtocol::Tcp,
    };
    Opening { rule: &APPDEPS, nth, direction: FlowDirection::Outbound, protocol, remote: vec![remote], ports }
}

fn shown(dependency: &AppDependency) -> String {
    format!("{}://{}:{}", dependency.protocol, dependency.host, dependency.port)
}

fn open(patient: &Patient<'_>, dependency: &AppDependency) -> Change {
    let AppDependency { protocol, host, port } = dependency;
    let name = format!("app-{host}-{port}");
    match (protocol, host) {
        (Protocol::Http | Protocol::Https | Protocol::Mssql, Host::Name(fqdn)) => {
            Change::ApplicationRule(ApplicationRule {
                name,
                sources: sources(patient),
                protocols: vec![AppProtocol { protocol: *protocol, port: *port }],
                fqdns: vec![FqdnPattern::Exact(fqdn.clone())],
                ..ApplicationRule::default()
            })
        }
        (_, host) => Change::NetworkRule(NetworkRule {
            name,
            sources: sources(patient),
            protocols: if *protocol == Protocol::Udp { IpProtocols::UDP } else { IpProtocols::TCP },
            destinations: addresses(host),
            fqdns: fqdns(host),
            ports: [PortRange::single(*port)].into_iter().collect(),
            ..NetworkRule::default()
        }),
    }
}

fn addresses(host: &Host) -> AddressSet {
    let mut addresses = AddressSet::default();
    if let Host::Addr(address) = host {
        addresses.insert(AddressRange::from(*address));
    }
    addresses
}

fn fqdns(host: &Host) -> Vec<crate::flow::HostName> {
    match host {
        Host::Name(name) => vec![name.clone()],
        Host::Addr(_) => Vec::new(),
    }
}
