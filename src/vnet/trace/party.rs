//! What the two ends of a flow are in a network: names become addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::flow::{AddrClass, HostName, Protocol, nearest};
use crate::policy::AddressRange;
use crate::vnet::tags::{KEY_MANAGEMENT, METADATA};
use crate::vnet::{
    AppServiceEnvironment, AseVersion, EPHEMERAL, Firewall, HOST, MANAGEMENT_PORTS, Network, NetworkInterface, Place,
    VirtualNetwork, endpoint_tag,
};

use super::Scene;
use super::book::Book;
use super::names::{self, Asker};
use super::path::{Answer, Lookup};
use super::target::Target;
use super::walk::Meant;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownParty {
    #[error("`{text}` is nothing here: {known}{}", hint(.near.as_deref()))]
    Nothing { text: String, known: String, near: Option<String> },
    #[error("there is no {0} in the topology")]
    None(&'static str),
    #[error("`{0}` is in no subnet, behind no gateway and not public: nothing begins there")]
    Nowhere(String),
    #[error("`{0}` names no port: write {0}:443")]
    Port(String),
    #[error("`{text}` may be {}: write which", any_of(.choices))]
    Ambiguous { text: String, choices: Vec<String> },
    #[error("`{text}` is no end of a flow: {why}")]
    NoEnd { text: String, why: &'static str },
    #[error(
        "the service tag `{0}` is not at hand: give the file that it is in by --service-tags, or write the tag of all regions"
    )]
    Regional(String),
    #[error(
        "{from} and {to} come to {begins} and {ends} parts that may fare differently, each with each: more than {most} flows are not followed; write one address at one end"
    )]
    TooMany { from: String, begins: usize, to: String, ends: usize, most: usize },
}

/// `a`, `b` or `c`
fn any_of(choices: &[String]) -> String {
    let quoted: Vec<String> = choices.iter().map(|it| format!("`{it}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    }
}

fn hint(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// Both ends, with all that a walk has to know.
pub(super) struct Parties<'n> {
    pub(super) scene: Scene<'n>,
    pub(super) book: Book<'n>,
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    pub(super) source_port: u16,
    pub(super) lookup: Option<Lookup>,
    pub(super) notes: Vec<String>,
}

pub(super) struct Party {
    pub(super) label: String,
    /// Never empty.
    pub(super) addresses: Addresses,
    /// The subnet that was named: its address alone may be of several.
    pub(super) place: Option<Place>,
    pub(super) host: Known,
}

/// What is known of the name of an end.
pub(super) enum Known {
    /// It has none.
    Nameless,
    /// Its address.
    Address(HostName),
    /// Not its address: one stands for it. The service, where it is surely of one whose addresses are not at hand.
    Name(HostName, Option<String>),
}

pub(super) enum Addresses {
    One(IpAddr),
    /// Of a service tag, a prefix, or a name with several addresses.
    Many(Vec<IpNet>),
}

impl Party {
    fn one(label: impl Into<String>, address: IpAddr) -> Party {
        Party { label: label.into(), addresses: Addresses::One(address), place: None, host: Known::Nameless }
    }

    fn in_subnet(self, place: Option<Place>) -> Party {
        Party { place, ..self }
    }

    /// As what is sent to it is meant.
    pub(super) fn meant(&self) -> Meant<'_> {
        match &self.host {
            Known::Nameless => Meant::Address,
            Known::Address(host) => Meant::Host(host),
            Known::Name(host, service) => Meant::HostSomewhere { host, service: service.as_deref() },
        }
    }

    /// The subnet where a flow begins at one of its addresses.
    pub(super) fn begins_in(&self, network: &Network, address: IpAddr) -> Option<Place> {
        self.place.or_else(|| network.place_of(address))
    }

    pub(super) fn first(&self) -> IpAddr {
        match &self.addresses {
            Addresses::One(address) => *address,
            Addresses::Many(nets) => nets.first().map_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), IpNet::network),
        }
    }
}

pub(super) fn resolve<'n>(scene: Scene<'n>, from: Option<&Target>, to: &Target) -> Result<Parties<'n>, UnknownParty> {
    let book = Book::new(scene.network);
    let mut resolver = Resolver { scene, book, notes: Vec::new(), lookup: None, like: None };
    let (protocol, port) = resolver.service(from, to)?;
    resolver.like = resolver.family_of(to, port);
    let mut begins = match from {
        Some(from) => resolver.end(from, None, protocol, port)?,
        None => resolver.environment_itself()?,
    };
    if from.is_some_and(|from| from.name.eq_ignore_ascii_case("internet")) {
        resolver.prefer_known_client(&mut begins, port);
    }
    let address = begins.first();
    let asker = Asker { address, place: begins.begins_in(scene.network, address) };
    let ends = resolver.end(to, Some(asker), protocol, port)?;
    let source_port = from.and_then(|from| from.port).unwrap_or(EPHEMERAL);
    let Resolver { notes, lookup, book, .. } = resolver;
    Ok(Parties { scene, book, from: begins, to: ends, protocol, port, source_port, lookup, notes })
}

struct Resolver<'n> {
    scene: Scene<'n>,
    book: Book<'n>,
    notes: Vec<String>,
    lookup: Option<Lookup>,
    /// An address of the family that a flow is of, as far as its end says so.
    like: Option<IpAddr>,
}

impl<'n> Resolver<'n> {
    fn family_of(&self, to: &Target, port: u16) -> Option<IpAddr> {
        if let Some(net) = as_net(&to.name) {
            return Some(net.addr());
        }
        match self.named(&to.name).ok()? {
            Some(Named::Subnet(place)) => self.scene.network.free_address(place, None),
            Some(Named::Interface(interface)) => interface.addresses.first().copied(),
            Some(_) => None,
            None => (self.scene.given)(&HostName::parse(&to.name).ok()?, port).first().copied(),
        }
    }

    /// The protocol and the port, as far as they are not said: those that one would expect.
    fn service(&self, from: Option<&Target>, to: &Target) -> Result<(Protocol, u16), UnknownParty> {
        let is_host = self.is_host(to);
        let from_is = |name: &str| from.is_some_and(|from| from.name.eq_ignore_ascii_case(name));
        let to_is = |name: &str| to.name.eq_ignore_ascii_case(name);
        let usual = match to.scheme {
            Some(Protocol::Icmp | Protocol::Other) => return Ok((to.scheme.unwrap_or(Protocol::Icmp), 0)),
            Some(Protocol::Tcp | Protocol::Udp) => None,
            Some(Protocol::Http) => Some(80),
            Some(Protocol::Mssql) => Some(1433),
            _ if to_is("sql") => Some(1433),
            _ if to_is("azureplatformdns") => Some(53),
            _ if to_is("azureplatformimds") => Some(80),
            _ if to_is("azureplatformlkm") => Some(1688),
            _ if from_is("appservicemanagement") => Some(454),
            _ if from_is("azureloadbalancer") => Some(self.probed(to)),
            _ => Some(443),
        };
        let port = to.port.or(usual).ok_or_else(|| UnknownParty::Port(to.text.clone()))?;
        let protocol = to.scheme.unwrap_or(match (port, Protocol::usual(port)) {
            (53 | 123, _) => Protocol::Udp,
            (_, Protocol::Tcp) if is_host => Protocol::Https,
            (_, usual) if is_host => usual,
            _ => Protocol::Tcp,
        });
        Ok((protocol, port))
    }

    /// Is it a name of DNS, and of nothing here?
    fn is_host(&self, target: &Target) -> bool {
        let is_more = self.keyword(target).is_some() || !matches!(self.named(&target.name), Ok(None));
        !is_more && as_net(&target.name).is_none() && self.tag(&target.name).is_none() && target.name.contains('.')
    }

    /// `from` is None for the end where a flow begins.
    fn end(
        &mut self,
        target: &Target,
        from: Option<Asker>,
        protocol: Protocol,
        port: u16,
    ) -> Result<Party, UnknownParty> {
        if let Some(why) = no_end(&target.name) {
            return Err(UnknownParty::NoEnd { text: target.text.clone(), why });
        }
        if let Some(word) = self.keyword(target) {
            return self.word(word, target, from, port);
        }
        if let Some(net) = as_net(&target.name) {
            return Ok(of_net(&target.name, net));
        }
        if let Some(named) = self.named(&target.name)? {
            return Ok(self.of_named(named, from, port));
        }
        if let Some((name, nets)) = self.tag(&target.name) {
            return Ok(self.of_tag(name, nets));
        }
        if self.is_regional(target) {
            return Err(UnknownParty::Regional(target.name.clone()));
        }
        match HostName::parse(&target.name) {
            Ok(host) if target.name.contains('.') || target.scheme.is_some() => {
                Ok(self.host(host, from, protocol, port))
            }
            _ => Err(self.nothing(target)),
        }
    }

    fn keyword(&self, target: &Target) -> Option<Word> {
        Some(match target.name.to_ascii_lowercase().as_str() {
            "internet" => Word::Internet,
            "ase" | "" => Word::Environment,
            "vip" => Word::Vip,
            "firewall" => Word::Firewall,
            "on-premises" | "onprem" | "premises" => Word::Premises,
            "azureloadbalancer" | "azureplatformdns" => Word::Platform(HOST),
            "azureplatformimds" => Word::Platform(METADATA),
            _ => return None,
        })
    }

    fn word(&mut self, word: Word, target: &Target, from: Option<Asker>, port: u16) -> Result<Party, UnknownParty> {
        let topology = self.scene.network.topology();
        Ok(match word {
            Word::Internet => Party::one("Internet", self.book.anyone()),
            Word::Environment => self.of_environment(self.environment(&target.text, "")?, from, port),
            Word::Vip if from.is_some() => {
                Party::one("the VIP", self.book.vip(self.environment(&target.text, OF_VIP)?))
            }
            Word::Vip => self.of_environment(self.environment(&target.text, OF_VIP)?, None, port),
            Word::Firewall => {
                let named = topology.firewalls.iter().map(|it| (it.name.as_str(), it));
                self.of_firewall(only(named.collect(), &target.text, "", "firewall")?, from)
            }
            Word::Premises => {
                let behind = |it: &'n VirtualNetwork| Some((it.gateway.as_ref()?.name.as_str(), of_premises(it)?));
                let gateways = topology.virtual_networks.iter().filter_map(behind).collect();
                Party::one("on-premises", only(gateways, &target.text, "", "gateway with routes")?)
            }
            Word::Platform(address) => Party::one(target.name.clone(), address),
        })
    }

    /// The one that there is, where no other is meant.
    fn environment(&self, text: &str, written: &str) -> Result<&'n AppServiceEnvironment, UnknownParty> {
        let all = self.scene.network.topology().environments.iter().map(|it| (it.name.as_str(), it));
        only(all.collect(), text, written, "App Service Environment")
    }

    fn environment_itself(&self) -> Result<Party, UnknownParty> {
        if self.scene.network.topology().environments.is_empty() {
            return Err(UnknownParty::None("App Service Environment to begin in"));
        }
        Ok(self.of_environment(self.environment("ase", "")?, None, 0))
    }

    /// The port that Azure's load balancer asks an environment on (reference: ase.md, 1.1; networking.md, 2023).
    fn probed(&self, to: &Target) -> u16 {
        let environments = &self.scene.network.topology().environments;
        let named = match (self.keyword(to), self.named(&to.name)) {
            (Some(_), _) => environments.first().filter(|_| environments.len() == 1),
            (None, Ok(Some(Named::Environment(it) | Named::Vip(it)))) => Some(it),
            (None, Ok(Some(Named::Subnet(place)))) => self.scene.network.environment_in(place).map(|(_, it)| it),
            _ => None,
        };
        if named.is_some_and(|it| it.version == AseVersion::V3) { 80 } else { 16001 }
    }

    /// From outside by the VIP, from inside by its load balancer's address, in itself and where it begins by one of its
    /// subnet.
    fn of_environment(&self, environment: &AppServiceEnvironment, from: Option<Asker>, port: u16) -> Party {
        let network = self.scene.network;
        let place = network.place(&environment.virtual_network, &environment.subnet);
        let inside = place.and_then(|place| self.in_subnet(place, from));
        let vip = self.book.vip(environment);
        let is_own = |from: Asker| {
            AddrClass::of(from.address) == AddrClass::Metadata || (place.is_some() && place == from.place)
        };
        let is_management = MANAGEMENT_PORTS.contains(&port) && environment.version != AseVersion::V3;
        let is_outside = |from: Asker| from.place.is_none() && AddrClass::of(from.address) == AddrClass::Global;
        let address = match (from, inside) {
            (_, None) => vip,
            (None, Some(inside)) => inside,
            (Some(from), Some(inside)) if is_own(from) => inside,
            (Some(from), _) if is_outside(from) || is_management || !environment.load_balancing.is_internal() => vip,
            (_, Some(inside)) => environment.internal_address.unwrap_or(inside),
        };
        let name = if from.is_none() { &environment.subnet } else { &environment.name };
        Party::one(name.clone(), address).in_subnet(place.filter(|_| address != vip))
    }

    fn of_firewall(&self, firewall: &Firewall, from: Option<Asker>) -> Party {
        let outside = from.is_some_and(|from| AddrClass::of(from.address) == AddrClass::Global);
        let public = self.book.of_firewall(firewall);
        let address = if outside { public } else { firewall.private_address.unwrap_or(public) };
        let place = self.scene.network.place(&firewall.virtual_network, &firewall.subnet);
        Party::one(firewall.name.clone(), address).in_subnet(place.filter(|_| address != public))
    }

    fn named(&self, name: &str) -> Result<Option<Named<'n>>, UnknownParty> {
        let topology = self.scene.network.topology();
        let is = |it: &str| !it.is_empty() && it.eq_ignore_ascii_case(name);
        if let Some(place) = self.subnet(name)? {
            return Ok(Some(Named::Subnet(place)));
        }
        let interface = || topology.interfaces.iter().find(|it| is(&it.name)).map(Named::Interface);
        let environment = || topology.environments.iter().find(|it| is(&it.name)).map(Named::Environment);
        let firewall = || topology.firewalls.iter().find(|it| is(&it.name)).map(Named::Firewall);
        let gateway = || {
            let has = |it: &&VirtualNetwork| it.gateway.as_ref().is_some_and(|gateway| is(&gateway.name));
            topology.virtual_networks.iter().find(has).and_then(of_premises).map(Named::Premises)
        };
        let vip = || {
            let of = name.split_at_checked(OF_VIP.len()).filter(|(vip, _)| vip.eq_ignore_ascii_case(OF_VIP))?.1;
            topology.environments.iter().find(|it| it.name.eq_ignore_ascii_case(of)).map(Named::Vip)
        };
        Ok(interface().or_else(environment).or_else(firewall).or_else(gateway).or_else(vip))
    }

    fn subnet(&self, name: &str) -> Result<Option<Place>, UnknownParty> {
        let (network, subnet) = name.split_once('/').map_or((None, name), |(network, subnet)| (Some(network), subnet));
        let own = |place: &Place| self.scene.network.virtual_network(*place).name.as_str();
        let is_it = |place: &Place| {
            self.scene.network.subnet(*place).name.eq_ignore_ascii_case(subnet)
                && network.is_none_or(|network| own(place).eq_ignore_ascii_case(network))
        };
        let places: Vec<Place> = self.scene.network.places().filter(is_it).collect();
        match places.as_slice() {
            [_, _, ..] if network.is_none() => {
                let choices = places.iter().map(|place| format!("{}/{subnet}", own(place))).collect();
                Err(UnknownParty::Ambiguous { text: name.to_owned(), choices })
            }
            places => Ok(places.first().copied()),
        }
    }

    fn of_named(&mut self, named: Named<'n>, from: Option<Asker>, port: u16) -> Party {
        match named {
            Named::Subnet(place) => self.of_subnet(place, from, port),
            Named::Interface(interface) => {
                let place = self.scene.network.place(&interface.virtual_network, &interface.subnet);
                of_interface(interface, from).in_subnet(place.filter(|_| from.is_none()))
            }
            Named::Environment(environment) => self.of_environment(environment, from, port),
            Named::Vip(environment) if from.is_some() => Party::one("the VIP", self.book.vip(environment)),
            Named::Vip(environment) => self.of_environment(environment, None, port),
            Named::Firewall(firewall) => self.of_firewall(firewall, from),
            Named::Premises(address) => Party::one("on-premises", address),
        }
    }

    fn of_subnet(&mut self, place: Place, from: Option<Asker>, port: u16) -> Party {
        let network = self.scene.network;
        let subnet = network.subnet(place);
        match network.environment_in(place) {
            Some((_, environment)) if from.is_some() => {
                let party = self.of_environment(environment, from, port);
                if party.first() == self.book.vip(environment) {
                    self.notes
                        .push(format!("{} is reached from there by the VIP of {}", subnet.name, environment.name));
                }
                party
            }
            _ => {
                let address = self.in_subnet(place, from).unwrap_or(self.book.anyone());
                Party::one(subnet.name.clone(), address).in_subnet(Some(place))
            }
        }
    }

    /// An address of a subnet: that of the special thing in it, or one that a new machine would be given, of the family
    /// that the other end has.
    fn in_subnet(&self, place: Place, from: Option<Asker>) -> Option<IpAddr> {
        let network = self.scene.network;
        let like = from.map(|from| from.address).or(self.like);
        let internal = network.environment_in(place).and_then(|(_, it)| it.internal_address);
        let firewall = network.firewall_in(place).and_then(|it| it.private_address);
        let all = [internal, firewall, network.free_address(place, like)];
        let fits = |it: &IpAddr| like.is_none_or(|like| like.is_ipv4() == it.is_ipv4());
        let mut fitting = all.iter().flatten().filter(|it| fits(it));
        fitting.next().or_else(|| all.iter().flatten().next()).copied()
    }

    fn tag(&self, name: &str) -> Option<(String, Vec<IpNet>)> {
        if name.eq_ignore_ascii_case("azureplatformlkm") {
            return Some((name.to_owned(), KEY_MANAGEMENT.map(IpNet::from).to_vec()));
        }
        let ranges = self.scene.network.tags().published(name)?;
        Some((name.to_owned(), ranges.iter().flat_map(|range: &AddressRange| range.nets()).collect()))
    }

    fn of_tag(&mut self, name: String, nets: Vec<IpNet>) -> Party {
        let all = nets.len();
        let mut nets: Vec<IpNet> = nets.into_iter().filter(|net| net.addr().is_ipv4()).collect();
        nets.sort_unstable();
        if all > nets.len() && !nets.is_empty() {
            self.notes.push(format!("{name} has {} IPv6 prefixes too, which are left out", all - nets.len()));
        }
        Party { label: name, addresses: Addresses::Many(nets), place: None, host: Known::Nameless }
    }

    /// A name begins or ends where its address is; a name whose address nobody knows is somewhere on the Internet.
    fn host(&mut self, host: HostName, from: Option<Asker>, protocol: Protocol, port: u16) -> Party {
        let asker = from.unwrap_or(Asker { address: self.book.anyone(), place: None });
        let lookup = names::look_up(self.scene, &self.book, asker, &host, port);
        let label = format!("{}://{host}", protocol.as_str());
        let (addresses, host) = match &lookup.answer {
            Answer::Given(given) if given.len() > 1 => {
                (Addresses::Many(given.iter().map(|it| IpNet::from(*it)).collect()), Known::Address(host))
            }
            Answer::Given(given) => {
                (Addresses::One(given.first().copied().unwrap_or(self.book.anyone())), Known::Address(host))
            }
            Answer::Zone(_, address) => (Addresses::One(*address), Known::Address(host)),
            Answer::NotAsked(tag) => self.somewhere(host, *tag),
            Answer::Unreachable(_) | Answer::Nowhere => (Addresses::One(self.book.anyone()), Known::Name(host, None)),
        };
        self.lookup = from.is_some().then_some(lookup);
        Party { label, addresses, place: None, host }
    }

    /// Where a name is whose address nobody knows.
    fn somewhere(&mut self, host: HostName, tag: Option<&str>) -> (Addresses, Known) {
        let first = tag.and_then(|tag| self.any_of(tag));
        let tags: Vec<&str> =
            names::services_of(self.scene, &host).iter().filter_map(|service| endpoint_tag(service)).collect();
        let where_to = match (tag, tags.as_slice()) {
            (Some(tag), _) => format!("in the service tag {tag}"),
            (None, []) => "on the Internet".to_owned(),
            (None, several) => format!("on the Internet (it may be of {})", several.join(" or ")),
        };
        self.notes.push(format!(
            "the address of {host} is not known here and is taken to be {where_to}: tell it with --resolve {host}:ADDR"
        ));
        let service = names::service_of(self.scene, &host).filter(|_| first.is_none());
        (Addresses::One(first.unwrap_or(self.book.anyone())), Known::Name(host, service))
    }

    fn any_of(&self, tag: &str) -> Option<IpAddr> {
        let ranges = self.scene.network.tags().published(tag)?;
        ranges.iter().map(|range| range.first()).find(IpAddr::is_ipv4)
    }

    /// Where clients are known to be, they come from there.
    fn prefer_known_client(&self, from: &mut Party, port: u16) {
        let ranges = match self.scene.network.topology().environments.as_slice() {
            [only] => only.client_ranges.as_slice(),
            _ => &[],
        };
        let public = ranges.iter().map(|range| range.first()).find(|it| AddrClass::of(*it) == AddrClass::Global);
        if let Some(address) = public.filter(|_| !MANAGEMENT_PORTS.contains(&port)) {
            from.addresses = Addresses::One(address);
        }
    }

    fn nothing(&self, target: &Target) -> UnknownParty {
        let network = self.scene.network;
        let subnets: Vec<&str> = network.places().map(|place| network.subnet(place).name.as_str()).collect();
        let topology = network.topology();
        let has = |is_there: bool, word: &'static str| is_there.then_some(word);
        let gateways = topology.virtual_networks.iter().any(|it| of_premises(it).is_some());
        let words: Vec<&str> = [
            has(!topology.environments.is_empty(), "ase"),
            has(!topology.environments.is_empty(), "vip"),
            has(!topology.firewalls.is_empty(), "firewall"),
            has(gateways, "on-premises"),
            Some("internet"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let names = topology.interfaces.iter().map(|it| it.name.as_str());
        let names = names.chain(subnets.iter().copied()).chain(words.iter().copied());
        let near = nearest(&target.name, names).map(str::to_owned);
        let shown = subnets.iter().take(12).copied().collect::<Vec<_>>().join(", ");
        let known =
            format!("there are the subnets {shown}, {}, addresses, hosts and published service tags", words.join(", "));
        UnknownParty::Nothing { text: target.text.clone(), known, near }
    }

    /// `Storage.WestUS`, where `Storage` is known: no host is written so.
    fn is_regional(&self, target: &Target) -> bool {
        let Some((tag, region)) = target.name.split_once('.') else { return false };
        let location = &self.scene.network.topology().location;
        let is_region = region.starts_with(|it: char| it.is_ascii_uppercase())
            || (!location.is_empty() && region.eq_ignore_ascii_case(location));
        target.scheme.is_none() && !region.contains('.') && is_region && self.tag(tag).is_some()
    }
}

#[derive(Clone, Copy)]
enum Word {
    Internet,
    Environment,
    Vip,
    Firewall,
    Premises,
    /// A tag that Azure does not publish, for what every machine has at one address.
    Platform(IpAddr),
}

/// How a VIP is written where there are several.
const OF_VIP: &str = "vip/";

/// The only one, or what has to be written instead, behind `written`.
fn only<T>(mut all: Vec<(&str, T)>, text: &str, written: &str, what: &'static str) -> Result<T, UnknownParty> {
    if all.len() > 1 {
        let named = all.iter().filter(|(name, _)| !name.is_empty());
        let choices = named.map(|(name, _)| format!("{written}{name}")).collect();
        return Err(UnknownParty::Ambiguous { text: text.to_owned(), choices });
    }
    all.pop().map(|(_, it)| it).ok_or(UnknownParty::None(what))
}

/// What rules may name, but no flow begins or ends at.
fn no_end(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "*" => Some("it stands for every address: write one, a prefix, or internet"),
        "virtualnetwork" => Some("it stands for other addresses in each subnet: write a subnet or a prefix"),
        _ => None,
    }
}

enum Named<'n> {
    Subnet(Place),
    Interface(&'n NetworkInterface),
    Environment(&'n AppServiceEnvironment),
    /// Its public VIP.
    Vip(&'n AppServiceEnvironment),
    Firewall(&'n Firewall),
    Premises(IpAddr),
}

fn of_interface(interface: &NetworkInterface, from: Option<Asker>) -> Party {
    let outside = from.is_some_and(|from| AddrClass::of(from.address) == AddrClass::Global);
    let public = interface.public_addresses.first().filter(|_| outside);
    let address = public.or(interface.addresses.first()).copied();
    Party::one(interface.name.clone(), address.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)))
}

/// Somebody behind a network's gateway.
fn of_premises(network: &VirtualNetwork) -> Option<IpAddr> {
    let routes = &network.gateway.as_ref()?.routes;
    let net = routes.iter().find(|net| net.prefix_len() > 0)?;
    net.hosts().nth(9).or_else(|| net.hosts().next())
}

fn as_net(name: &str) -> Option<IpNet> {
    let address = name.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    address.ok().or_else(|| name.parse::<IpNet>().ok().map(|net| net.trunc()))
}

fn of_net(label: &str, net: IpNet) -> Party {
    let is_one = net.prefix_len() == net.max_prefix_len();
    let addresses = if is_one { Addresses::One(net.addr()) } else { Addresses::Many(vec![net]) };
    Party { label: label.to_owned(), addresses, place: None, host: Known::Nameless }
}
