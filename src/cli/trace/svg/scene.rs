//! Where everything stands: the Internet, premises and services on top, below them load balancers and gateways, below
//! those the networks with their subnets.

use std::net::IpAddr;

use crate::vnet::trace::{Node, Station, Trace};
use crate::vnet::{Firewall, Network, Place, Subnet, VirtualNetwork};

/// Whole units are enough for a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) w: i32,
    pub(super) h: i32,
}

/// A box with a name, lines below it, and badges.
pub(super) struct Drawn {
    pub(super) rect: Rect,
    pub(super) node: Option<Node>,
    pub(super) name: String,
    pub(super) lines: Vec<String>,
    pub(super) badges: Vec<String>,
}

/// A virtual network around its subnets.
pub(super) struct Frame {
    pub(super) rect: Rect,
    pub(super) name: String,
    pub(super) detail: String,
}

pub(super) struct Scene {
    /// Between load balancers and networks: where paths that pass the former by turn.
    pub(super) lane: i32,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) frames: Vec<Frame>,
    pub(super) nodes: Vec<Drawn>,
    /// The boxes that request and reply pass, by their numbers.
    pub(super) request: Vec<usize>,
    pub(super) reply: Vec<usize>,
}

const MARGIN: i32 = 24;
/// Of a box.
const BOX: (i32, i32) = (264, 96);
const SMALL: (i32, i32) = (200, 62);
const GAP: (i32, i32) = (36, 34);
const PADDING: i32 = 22;
/// Below the subnets of a network, for its name: paths come from above.
const HEADING: i32 = 56;
/// Between what is above and below, for paths.
const LANE: i32 = 54;
/// Networks that stand side by side are no wider than that.
const WIDEST: i32 = 1300;
/// For the title.
const TOP: i32 = 104;
/// For the legend.
const BOTTOM: i32 = 76;
const LEAST_WIDTH: i32 = 760;
/// Services that are named in their box.
const SERVICES: usize = 3;

pub(super) fn laid_out(network: &Network, trace: &Trace) -> Scene {
    let mut scene = Scene {
        lane: 0,
        width: 0,
        height: 0,
        frames: Vec::new(),
        nodes: Vec::new(),
        request: Vec::new(),
        reply: Vec::new(),
    };
    let edges = edges(network);
    let top = outside(network, trace);
    let (premises, others): (Vec<Wanted>, Vec<Wanted>) =
        top.into_iter().partition(|it| matches!(it.node, Some(Node::Premises(_))));
    // Nothing stands below what is reached past the second row.
    let aside =
        (0..).zip(&edges).map(|(number, _)| (number + 1) * (SMALL.0 + GAP.0)).last().unwrap_or(0).min(WIDEST / 2);
    let below = scene.row(MARGIN, TOP, premises).max(scene.row(MARGIN + aside, TOP, others)) + LANE;
    let below = scene.row(MARGIN, below, edges) + LANE;
    scene.lane = below - LANE / 2;
    let bottom = scene.networks(network, trace, below);
    scene.width = scene.right_end().max(LEAST_WIDTH) + MARGIN;
    scene.height = bottom + BOTTOM;
    scene.request = scene.way(network, &trace.request);
    scene.reply = scene.way(network, &trace.reply);
    scene
}

/// What a box is about, before it has a place.
struct Wanted {
    node: Option<Node>,
    name: String,
    lines: Vec<String>,
    badges: Vec<String>,
}

impl Wanted {
    fn plain(node: Node, name: impl Into<String>, line: impl Into<String>) -> Wanted {
        Wanted { node: Some(node), name: name.into(), lines: vec![line.into()], badges: Vec::new() }
    }
}

/// Premises, the Internet, services with endpoints, the platform and networks that are not in the topology.
fn outside(network: &Network, trace: &Trace) -> Vec<Wanted> {
    let topology = network.topology();
    let mut wanted = Vec::new();
    for (number, own) in topology.virtual_networks.iter().enumerate() {
        if let Some(gateway) = &own.gateway {
            let first = gateway.routes.first().map(ToString::to_string).unwrap_or_default();
            wanted.push(Wanted::plain(Node::Premises(number), "on-premises", first));
        }
    }
    wanted.push(Wanted::plain(Node::Internet, "Internet", address_at(trace, &Node::Internet)));
    let services = services(network);
    if let Some(first) = services.first() {
        let more = services.len().saturating_sub(SERVICES);
        let mut named = services.iter().take(SERVICES).map(|it| short(it)).collect::<Vec<_>>().join(", ");
        if more > 0 {
            named = format!("{named} +{more}");
        }
        wanted.push(Wanted::plain(Node::Service(first.clone()), "service endpoints", named));
    }
    let stations = trace.request.iter().chain(&trace.reply);
    for station in stations {
        let is_new = wanted.iter().all(|it| it.node.as_ref() != Some(&station.node));
        if is_new && matches!(station.node, Node::Platform | Node::Peer(_)) {
            let address = address_at(trace, &station.node);
            wanted.push(Wanted::plain(station.node.clone(), station.name.clone(), address));
        }
    }
    wanted
}

fn address_at(trace: &Trace, node: &Node) -> String {
    let mut stations = trace.request.iter().chain(&trace.reply);
    let station = stations.find(|it| it.node == *node);
    station.and_then(|it| it.address.as_ref()).map(ToString::to_string).unwrap_or_default()
}

fn services(network: &Network) -> Vec<String> {
    let mut services: Vec<String> = Vec::new();
    for place in network.places() {
        for service in &network.subnet(place).service_endpoints {
            if !services.iter().any(|it| it.eq_ignore_ascii_case(service)) {
                services.push(service.clone());
            }
        }
    }
    services
}

/// All of Azure's begin alike.
fn short(service: &str) -> &str {
    service.strip_prefix("Microsoft.").unwrap_or(service)
}

/// Gateways and the public load balancers of environments.
fn edges(network: &Network) -> Vec<Wanted> {
    let topology = network.topology();
    let gateways = topology.virtual_networks.iter().enumerate().filter_map(|(number, own)| {
        let gateway = own.gateway.as_ref()?;
        let name = if gateway.name.is_empty() { "gateway" } else { &gateway.name };
        Some(Wanted::plain(Node::Gateway(number), name, format!("gateway of {}", own.name)))
    });
    let vips = topology.environments.iter().enumerate().map(|(number, it)| {
        let address = it.public_address.map(|address| address.to_string()).unwrap_or_default();
        Wanted::plain(Node::Vip(number), format!("VIP of {}", it.name), address)
    });
    gateways.chain(vips).collect()
}

impl Scene {
    /// Boxes side by side; where the row ends below.
    fn row(&mut self, left: i32, y: i32, wanted: Vec<Wanted>) -> i32 {
        let (w, h) = SMALL;
        if wanted.is_empty() {
            return y - LANE;
        }
        let (mut x, mut y) = (left, y);
        for it in wanted {
            if x + w > WIDEST && x > left {
                (x, y) = (left, y + h + GAP.1);
            }
            self.place(it, Rect { x, y, w, h });
            x += w + GAP.0;
        }
        y + h
    }

    fn place(&mut self, wanted: Wanted, rect: Rect) {
        let Wanted { node, name, lines, badges } = wanted;
        self.nodes.push(Drawn { rect, node, name, lines, badges });
    }

    fn networks(&mut self, network: &Network, trace: &Trace, y: i32) -> i32 {
        let (mut x, mut y, mut bottom) = (MARGIN, y, y);
        let mut all: Vec<(&VirtualNetwork, Vec<Place>)> = network
            .topology()
            .virtual_networks
            .iter()
            .map(|own| (own, network.places().filter(|it| std::ptr::eq(network.virtual_network(*it), own)).collect()))
            .collect();
        all.sort_by_key(|(_, places)| !places.iter().any(|place| is_passed(network, trace, *place)));
        for (own, places) in all {
            let columns = columns(places.len());
            let w = columns * (BOX.0 + GAP.0) - GAP.0 + 2 * PADDING;
            if x + w > WIDEST && x > MARGIN {
                (x, y) = (MARGIN, bottom + GAP.1);
            }
            let h = self.frame(network, own, on_the_way_first(network, trace, places), Rect { x, y, w, h: 0 });
            bottom = bottom.max(y + h);
            x += w + GAP.0;
        }
        bottom
    }

    /// One network; how high it has become.
    fn frame(&mut self, network: &Network, own: &VirtualNetwork, places: Vec<Place>, at: Rect) -> i32 {
        let across = columns(places.len());
        let mut rows = 1;
        for (number, place) in (0..).zip(places) {
            let (column, row) = (number % across, number / across);
            rows = row + 1;
            let rect = Rect {
                x: at.x + PADDING + column * (BOX.0 + GAP.0),
                y: at.y + PADDING + row * (BOX.1 + GAP.1),
                w: BOX.0,
                h: BOX.1,
            };
            self.place(subnet(network, place), rect);
        }
        let h = HEADING + rows * (BOX.1 + GAP.1) - GAP.1 + PADDING;
        let peers: Vec<&str> = own.peerings.iter().map(|it| it.remote.as_str()).collect();
        let peers = if peers.is_empty() { String::new() } else { format!(", peered with {}", peers.join(", ")) };
        let space: Vec<String> = own.address_space.iter().map(ToString::to_string).collect();
        self.frames.push(Frame {
            rect: Rect { h, ..at },
            name: own.name.clone(),
            detail: format!("{}{peers}", space.join(", ")),
        });
        h
    }

    fn right_end(&self) -> i32 {
        let nodes = self.nodes.iter().map(|it| it.rect);
        nodes.chain(self.frames.iter().map(|it| it.rect)).map(|rect| rect.x + rect.w).max().unwrap_or(0)
    }

    /// The boxes of stations, each once where several follow each other.
    fn way(&self, network: &Network, stations: &[Station]) -> Vec<usize> {
        let mut way: Vec<usize> = Vec::new();
        for at in stations.iter().filter_map(|station| self.number_of(network, &station.node)) {
            if way.last() != Some(&at) {
                way.push(at);
            }
        }
        way
    }

    fn number_of(&self, network: &Network, node: &Node) -> Option<usize> {
        let wanted = match node {
            Node::Firewall(number) => place_of_firewall(network, *number).map(Node::Subnet),
            Node::Appliance(address) => network.place_of(*address).map(Node::Subnet),
            Node::Service(_) => return self.nodes.iter().position(|it| matches!(it.node, Some(Node::Service(_)))),
            node => Some(node.clone()),
        };
        self.nodes.iter().position(|it| it.node.is_some() && it.node == wanted)
    }
}

fn place_of_firewall(network: &Network, number: usize) -> Option<Place> {
    let firewall = &network.topology().firewalls[number];
    let named = network.place(&firewall.virtual_network, &firewall.subnet);
    named.or_else(|| firewall.private_address.and_then(|address: IpAddr| network.place_of(address)))
}

fn columns(subnets: usize) -> i32 {
    match subnets {
        0 | 1 => 1,
        2..=4 => 2,
        5..=9 => 3,
        _ => 4,
    }
}

/// In the first row nothing stands between them and what is above.
fn on_the_way_first(network: &Network, trace: &Trace, mut places: Vec<Place>) -> Vec<Place> {
    places.sort_by_key(|place| !is_passed(network, trace, *place));
    places
}

fn is_passed(network: &Network, trace: &Trace, place: Place) -> bool {
    let stations = trace.request.iter().chain(&trace.reply);
    stations.map(|it| &it.node).any(|node| match node {
        Node::Subnet(there) => *there == place,
        Node::Firewall(number) => place_of_firewall(network, *number) == Some(place),
        _ => false,
    })
}

fn subnet(network: &Network, place: Place) -> Wanted {
    let Subnet { name, prefixes, security_group, route_table, service_endpoints, .. } = network.subnet(place);
    let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
    let badge = |kind: &str, name: &Option<String>| name.as_ref().map(|name| format!("{kind} {name}"));
    let mut who = occupants(network, place);
    if !service_endpoints.is_empty() {
        who.push(format!("{} service endpoints", service_endpoints.len()));
    }
    Wanted {
        node: Some(Node::Subnet(place)),
        name: name.clone(),
        lines: vec![prefixes.join(", "), who.join(", ")],
        badges: [badge("NSG", security_group), badge("UDR", route_table)].into_iter().flatten().collect(),
    }
}

fn occupants(network: &Network, place: Place) -> Vec<String> {
    let (topology, own, subnet) = (network.topology(), network.virtual_network(place), network.subnet(place));
    let is_here = |of: &str, name: &str| of.eq_ignore_ascii_case(&own.name) && name.eq_ignore_ascii_case(&subnet.name);
    let environments = topology.environments.iter().filter(|it| is_here(&it.virtual_network, &it.subnet));
    let environments = environments.map(|it| format!("ASE {}", it.name));
    let firewalls = topology.firewalls.iter().filter(|it| is_here(&it.virtual_network, &it.subnet));
    let addresses = |it: &Firewall| -> String {
        let all = it.private_address.iter().chain(&it.public_addresses).map(ToString::to_string);
        all.collect::<Vec<_>>().join(", ")
    };
    let firewalls = firewalls.map(|it| format!("{} {}", it.name, addresses(it)));
    let interfaces = topology.interfaces.iter().filter(|it| is_here(&it.virtual_network, &it.subnet));
    environments.chain(firewalls).chain(interfaces.map(|it| it.name.clone())).collect()
}
